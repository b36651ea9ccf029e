//! Two registries on one database, as a server and a command are.

use super::*;
use crate::access::accounts::{self, AccountRefusal};
use crate::access::device_key::{DeviceKey, NewDeviceKey};
use crate::access::session::Session;
use crate::access::{Account, Role, SensorPattern};
use crate::database::DocumentDatabase;
use crate::documents::test_support::MemoryDocuments;
use crate::domain::Sites;
use pretty_assertions::assert_eq;
use std::convert::Infallible;
use std::sync::Arc;

fn account(name: &str, role: Role) -> Account {
    Account {
        name: name.to_owned(),
        password_hash: String::new(),
        role,
        sites: Sites::ALL,
        created_ms: 0,
        last_login_ms: None,
    }
}

async fn put(registry: &Registry, account: Account) {
    let changed = registry.change(|_| {
        let mut change = Change::default();
        change.put_account(account.clone());
        Ok::<_, Infallible>((change, ()))
    });
    changed.await.unwrap();
}

fn names(registry: &Registry) -> Vec<String> {
    let mut names: Vec<_> = registry.book(|book| book.accounts.keys().cloned().collect());
    names.sort();
    names
}

async fn two() -> (Registry, Registry) {
    let database = Arc::new(MemoryDocuments::default());
    (
        Registry::open(Arc::clone(&database) as Arc<dyn DocumentDatabase>)
            .await
            .unwrap(),
        Registry::open(database).await.unwrap(),
    )
}

#[tokio::test]
async fn an_account_that_another_process_removed_takes_its_sessions_along() {
    let (one, other) = two().await;
    put(&one, account("ada", Role::Admin)).await;
    other.refresh().await.unwrap();
    assert_eq!(names(&other), ["ada"]);
    let (id, session, _) = Session::begin("ada", false, Timestamp::from_millis(1));
    let begun = one.change(|_| {
        let mut change = Change::default();
        change.put_session(id.clone(), session.clone());
        Ok::<_, Infallible>((change, ()))
    });
    begun.await.unwrap();
    // It has not heard of the session, and ends it all the same.
    put(&other, account("eve", Role::Admin)).await;
    let removed =
        other.change(|book| Ok::<_, AccountRefusal>((accounts::remove(book, "ada")?, ())));
    removed.await.unwrap();
    one.refresh().await.unwrap();
    assert_eq!(names(&one), ["eve"]);
    assert!(one.book(|book| book.sessions.is_empty()));
}

#[tokio::test]
async fn what_is_over_is_removed() {
    let (one, _) = two().await;
    put(&one, account("ada", Role::Admin)).await;
    let sessions = [1_000, 2_000].map(|end| {
        let (id, session, _) = Session::begin("ada", false, Timestamp::from_millis(end));
        (id, session)
    });
    let begun = one.change(|_| {
        let mut change = Change::default();
        for (id, session) in sessions.clone() {
            change.put_session(id, session);
        }
        Ok::<_, Infallible>((change, ()))
    });
    begun.await.unwrap();
    let over = Timestamp::from_millis(1_000);
    one.remove_expired(over).await.unwrap();
    let left: Vec<String> = one.book(|book| book.sessions.keys().cloned().collect());
    assert_eq!(left, [sessions[1].0.clone()]);
}

#[tokio::test]
async fn uses_of_keys_outlive_a_refresh_and_are_written_for_others() {
    let (one, other) = two().await;
    let (id, key, _) = DeviceKey::create(NewDeviceKey {
        label: String::new(),
        sensors: vec![SensorPattern::parse("*").unwrap()],
        sites: Sites::ALL,
        place: None,
        created_by: "ada".to_owned(),
        created_ms: 0,
    });
    let added = one.change(|_| {
        let mut change = Change::default();
        change.put_key(id.clone(), key.clone());
        Ok::<_, Infallible>((change, ()))
    });
    added.await.unwrap();
    let used = |registry: &Registry| registry.book(|book| book.keys[&id].used_ms());
    assert_eq!(used(&one), None);
    one.book(|book| book.keys[&id].note_use(42));
    put(&other, account("ada", Role::Viewer)).await;
    one.refresh().await.unwrap();
    assert_eq!(used(&one), Some(42));
    assert_eq!(used(&other), None);
    one.write_uses().await.unwrap();
    put(&one, account("grace", Role::Viewer)).await;
    other.refresh().await.unwrap();
    assert_eq!(used(&other), Some(42));
}
