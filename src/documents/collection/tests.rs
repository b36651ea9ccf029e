//! Two collections on one database, as two processes have them.

use super::*;
use crate::documents::test_support::MemoryDocuments;
use crate::documents::{Record, RecordChanges, Records};
use pretty_assertions::assert_eq;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;

#[derive(Debug, Serialize, Deserialize)]
struct Lamp {
    watts: u32,
}

impl Record for Lamp {
    const KIND: &'static str = "lamp";
    const SUBJECT: &'static str = "lamps";

    fn of(document: &Document) -> Result<Self, StoreError> {
        document.record()
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Chair;

impl Record for Chair {
    const KIND: &'static str = "chair";
    const SUBJECT: &'static str = "chairs";

    fn of(document: &Document) -> Result<Self, StoreError> {
        document.record()
    }
}

type Lamps = Collection<Records<Lamp>>;

async fn opened<R: Record>(database: &Arc<MemoryDocuments>) -> Collection<Records<R>> {
    let database: Arc<dyn DocumentDatabase> = Arc::clone(database) as _;
    Collection::open(database).await.unwrap()
}

async fn two() -> (Arc<MemoryDocuments>, Lamps, Lamps) {
    let database = Arc::new(MemoryDocuments::default());
    let (one, other) = (opened(&database).await, opened(&database).await);
    (database, one, other)
}

/// A change that adds a lamp.
fn adding(id: &str) -> RecordChanges<Lamp> {
    let mut change = RecordChanges::default();
    change.put(id, Lamp { watts: 7 });
    change
}

async fn add(lamps: &Lamps, id: &str) -> Result<(), ChangeError<Infallible>> {
    lamps.change(|_| Ok((adding(id), ()))).await
}

fn ids(lamps: &Lamps) -> Vec<String> {
    let mut ids: Vec<_> = lamps.book(|book| book.keys().cloned().collect());
    ids.sort();
    ids
}

#[tokio::test]
async fn what_another_has_changed_is_seen_after_a_refresh() {
    let (_, one, other) = two().await;
    add(&one, "desk").await.unwrap();
    assert_eq!(ids(&other), [""; 0]);
    let before = other.generation();
    other.refresh().await.unwrap();
    assert_eq!(ids(&other), ["desk"]);
    assert!(other.generation() > before);
    let unchanged = (one.generation(), other.generation());
    other.refresh().await.unwrap();
    one.refresh().await.unwrap();
    assert_eq!((one.generation(), other.generation()), unchanged);
}

#[tokio::test]
async fn changes_of_other_kinds_are_nothing_to_a_collection() {
    let (database, lamps, _) = two().await;
    let chairs: Collection<Records<Chair>> = opened(&database).await;
    let added = chairs.change(|_| {
        let mut change = RecordChanges::default();
        change.put("hall", Chair);
        Ok::<_, Infallible>((change, ()))
    });
    added.await.unwrap();
    let before = lamps.generation();
    lamps.refresh().await.unwrap();
    assert_eq!(lamps.generation(), before);
    // It is not decided again either.
    let mut decisions = 0;
    let changed = lamps.change(|_| {
        decisions += 1;
        Ok::<_, Infallible>((adding("desk"), ()))
    });
    changed.await.unwrap();
    assert_eq!((decisions, ids(&lamps)), (1, vec!["desk".to_owned()]));
}

#[tokio::test]
async fn a_change_is_decided_again_on_what_another_has_changed() {
    let (_, one, other) = two().await;
    add(&one, "desk").await.unwrap();
    let mut seen = Vec::new();
    // It has not refreshed, so it decides on an empty book first.
    let changed = other.change(|book| {
        seen.push(book.len());
        if book.contains_key("desk") {
            return Err("there is one");
        }
        Ok((adding("desk"), ()))
    });
    let refused = changed.await.unwrap_err();
    assert!(matches!(refused, ChangeError::Refused("there is one")));
    assert_eq!(seen, [0, 1]);
}

#[tokio::test]
async fn whoever_is_always_too_late_gives_up() {
    let (database, one, _) = two().await;
    let mut decisions = 0;
    let changed = one.change(|book| {
        decisions += 1;
        // Somebody else is faster, each time.
        let mut faster = DocumentVersions::new();
        faster.insert("lamp".to_owned(), decisions - 1);
        let change = Records::documents(&adding(&format!("faster {}", book.len())));
        let made = futures_util::FutureExt::now_or_never(database.change(&faster, &change));
        assert!(made.unwrap().unwrap());
        Ok::<_, Infallible>((adding("desk"), ()))
    });
    let late = changed.await.unwrap_err().to_string();
    assert_eq!(late, "others change the lamps all the time");
    assert_eq!((decisions, ids(&one).len()), (10, 10));
}

#[tokio::test]
async fn nothing_to_change_is_not_written() {
    let (database, one, _) = two().await;
    let before = one.generation();
    let changed = one.change(|_| Ok::<_, Infallible>((RecordChanges::default(), 5)));
    assert_eq!(changed.await.unwrap(), 5);
    assert_eq!(one.generation(), before);
    assert_eq!(database.versions(&["lamp"]).await.unwrap()["lamp"], 0);
}

#[tokio::test]
async fn the_change_after_one_whose_end_is_unknown_is_decided_on_what_is_there() {
    let (database, one, _) = two().await;
    database.fall_silent();
    let unheard = add(&one, "desk").await.unwrap_err();
    assert!(matches!(unheard, ChangeError::Store(_)));
    assert_eq!(ids(&one), [""; 0]);
    let mut seen = Vec::new();
    let changed = one.change(|book| {
        seen.push(book.len());
        Ok::<_, Infallible>((adding("hall"), ()))
    });
    changed.await.unwrap();
    assert_eq!(seen, [1]);
    assert_eq!(ids(&one), ["desk", "hall"]);
}

#[tokio::test]
async fn what_is_noted_raises_no_version() {
    let (database, one, other) = two().await;
    let noted = one.note(|_, _| vec![Document::of("lamp", "desk", &Lamp { watts: 3 })]);
    noted.await.unwrap();
    other.refresh().await.unwrap();
    assert_eq!(ids(&other), [""; 0]);
    assert_eq!(database.versions(&["lamp"]).await.unwrap()["lamp"], 0);
    let later: Lamps = opened(&database).await;
    assert_eq!(ids(&later), ["desk"]);
}

#[tokio::test]
async fn many_notes_are_written_in_parts_between_which_others_have_their_turn() {
    let (_database, one, _) = two().await;
    let mut left = 1200;
    let mut parts = Vec::new();
    let noted = one.note(|_, count_max| {
        let count = left.min(count_max);
        left -= count;
        parts.push(count);
        let lamp = |number| Document::of("lamp", &format!("{number}"), &Lamp { watts: 3 });
        (0..count).map(lamp).collect()
    });
    noted.await.unwrap();
    assert_eq!(parts, [500, 500, 200]);
}
