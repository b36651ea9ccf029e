use super::*;
use crate::database::{
    Document, DocumentChange, DocumentDatabase, DocumentVersions, open, open_documents,
    prepare_documents,
};
use pretty_assertions::assert_eq;
use rstest::rstest;
use std::sync::Arc;

fn document(kind: &str, id: &str, body: &str) -> Document {
    Document {
        kind: kind.to_owned(),
        id: id.to_owned(),
        body: body.to_owned(),
    }
}

fn putting(documents: &[(&str, &str, &str)]) -> DocumentChange {
    let documents = documents.iter();
    DocumentChange {
        put: documents
            .map(|(kind, id, body)| document(kind, id, body))
            .collect(),
        removed: Vec::new(),
    }
}

async fn opened(test: &TestDatabase) -> Arc<dyn DocumentDatabase> {
    prepare_documents(test.url()).await.unwrap()
}

/// Every kind of these tests.
const KINDS: [&str; 4] = ["account", "count", "session", "use"];

fn versions(all: &[(&str, i64)]) -> DocumentVersions {
    let all = all.iter();
    all.map(|(kind, version)| ((*kind).to_owned(), *version))
        .collect()
}

/// The versions of accounts and sessions, and every document.
async fn loaded(documents: &dyn DocumentDatabase) -> ([i64; 2], Vec<(String, String)>) {
    let loaded = documents.load(&KINDS).await.unwrap();
    let versions = documents.versions(&KINDS).await.unwrap();
    assert_eq!(versions, loaded.versions);
    assert!(versions.keys().eq(KINDS));
    let all = loaded.documents.into_iter();
    let all = all.map(|document| (format!("{} {}", document.kind, document.id), document.body));
    (
        ["account", "session"].map(|kind| versions[kind]),
        all.collect(),
    )
}

fn texts(all: &[(&str, &str)]) -> Vec<(String, String)> {
    let all = all.iter();
    all.map(|(name, body)| ((*name).to_owned(), (*body).to_owned()))
        .collect()
}

#[rstest]
#[tokio::test]
async fn a_change_is_made_on_what_it_was_decided_on_or_not_at_all(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let test = TestDatabase::new(kind).await;
    let documents = opened(&test).await;
    assert_eq!(loaded(&*documents).await, ([0, 0], vec![]));
    let both = |account, session| versions(&[("account", account), ("session", session)]);
    let first = putting(&[("account", "ada", "{\"é\":1}"), ("session", "ada", "2")]);
    assert!(documents.change(&both(0, 0), &first).await.unwrap());
    let after_first = texts(&[("account ada", "{\"é\":1}"), ("session ada", "2")]);
    assert_eq!(loaded(&*documents).await, ([1, 1], after_first.clone()));

    let other = opened(&test).await;
    let late = putting(&[("account", "ada", "late"), ("account", "new", "3")]);
    for stale in [0, 2, -1] {
        assert!(!other.change(&both(stale, 1), &late).await.unwrap());
        // Of kinds that were only looked at, too.
        assert!(!other.change(&both(1, stale), &late).await.unwrap());
    }
    assert_eq!(loaded(&*other).await, ([1, 1], after_first));
    let second = DocumentChange {
        removed: vec![("session".to_owned(), "ada".to_owned())],
        ..putting(&[("account", "ada", "4")])
    };
    assert!(other.change(&both(1, 1), &second).await.unwrap());
    assert_eq!(
        loaded(&*documents).await,
        ([2, 2], texts(&[("account ada", "4")]))
    );

    let noted = [document("use", "k", "5"), document("use", "k2", "6")];
    documents.note(&noted).await.unwrap();
    documents.note(&[document("use", "k", "7")]).await.unwrap();
    let all = texts(&[("account ada", "4"), ("use k", "7"), ("use k2", "6")]);
    assert_eq!(loaded(&*other).await, ([2, 2], all));
    assert_eq!(documents.versions(&["use"]).await.unwrap()["use"], 0);
    documents.close().await;
    assert!(documents.versions(&KINDS).await.is_err());
    other.close().await;
}

#[rstest]
#[tokio::test]
async fn changes_of_different_kinds_do_not_disturb_each_other(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let test = TestDatabase::new(kind).await;
    let (one, other) = (opened(&test).await, opened(&test).await);
    let of = |kind, version| versions(&[(kind, version)]);
    for round in 0..3 {
        let account = putting(&[("account", "ada", &round.to_string())]);
        assert!(one.change(&of("account", round), &account).await.unwrap());
    }
    let session = putting(&[("session", "s", "1")]);
    assert!(other.change(&of("session", 0), &session).await.unwrap());
    let all = texts(&[("account ada", "2"), ("session s", "1")]);
    assert_eq!(loaded(&*one).await, ([3, 1], all));

    // Only what is asked for is loaded.
    let sessions = one.load(&["session"]).await.unwrap();
    assert_eq!(sessions.versions, of("session", 1));
    assert_eq!(sessions.documents, [document("session", "s", "1")]);

    // What a change was decided on and does not touch stays as it is.
    let decided_on_both = versions(&[("account", 3), ("session", 1)]);
    let account = putting(&[("account", "eve", "3")]);
    assert!(other.change(&decided_on_both, &account).await.unwrap());
    assert_eq!(loaded(&*one).await.0, [4, 1]);
    one.close().await;
    other.close().await;
}

#[rstest]
#[tokio::test]
async fn of_first_changes_of_a_kind_at_once_one_is_made(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let test = TestDatabase::new(kind).await;
    let (one, other) = (opened(&test).await, opened(&test).await);
    let expected = versions(&[("account", 0), ("session", 0)]);
    let racing = (0..10).map(|number: u32| {
        let documents = if number.is_multiple_of(2) {
            &one
        } else {
            &other
        };
        let expected = &expected;
        async move {
            // Some change both kinds, some either.
            let (account, session) = (("account", "first", "1"), ("session", "first", "1"));
            let change = match number % 3 {
                0 => putting(&[account, session]),
                1 => putting(&[session, account]),
                _ => putting(&[session]),
            };
            documents.change(expected, &change).await.unwrap()
        }
    });
    let made = futures_util::future::join_all(racing).await;
    assert_eq!(made.iter().filter(|made| **made).count(), 1, "{made:?}");
    let ([_, session], all) = loaded(&*one).await;
    assert_eq!(session, 1);
    assert!(all.contains(&("session first".to_owned(), "1".to_owned())));
    one.close().await;
    other.close().await;
}

/// Counts up in a document, as often as it takes to be the one who did.
async fn count_up(documents: Arc<dyn DocumentDatabase>) {
    loop {
        let loaded = documents.load(&["count"]).await.unwrap();
        let count = loaded.documents.first().map_or("0", |first| &first.body);
        let next = (count.parse::<u32>().unwrap() + 1).to_string();
        let change = putting(&[("count", "", &next)]);
        if documents.change(&loaded.versions, &change).await.unwrap() {
            return;
        }
    }
}

#[rstest]
#[tokio::test]
async fn of_several_at_once_none_overwrites_another(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let test = TestDatabase::new(kind).await;
    let (one, other) = (opened(&test).await, opened(&test).await);
    let counting = (0..20).map(|number| {
        let documents = if number % 2 == 0 { &one } else { &other };
        count_up(Arc::clone(documents))
    });
    futures_util::future::join_all(counting).await;
    let counted = one.load(&["count"]).await.unwrap();
    assert_eq!(counted.versions, versions(&[("count", 20)]));
    assert_eq!(counted.documents, [document("count", "", "20")]);
    one.close().await;
    other.close().await;
}

#[rstest]
#[tokio::test]
async fn documents_are_there_beside_an_owner_and_in_its_copy(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let test = TestDatabase::new(kind).await;
    let owner = test.open().await;
    let documents = opened(&test).await;
    let change = putting(&[("account", "ada", "'\"\\")]);
    let expected = versions(&[("account", 0)]);
    assert!(documents.change(&expected, &change).await.unwrap());
    documents.note(&[document("use", "k", "5")]).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.db");
    owner.back_up(&copy).await.unwrap();
    let copy = format!("sqlite://{}", copy.display());
    let copied = open_documents(&copy).await.unwrap();
    assert_eq!(
        loaded(&*copied).await,
        ([1, 0], texts(&[("account ada", "'\"\\"), ("use k", "5")]))
    );
    copied.close().await;
    documents.close().await;
    owner.close().await;
}

#[rstest]
#[tokio::test]
async fn a_database_of_before_gets_its_documents_from_the_next_owner(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let test = TestDatabase::new(kind).await;
    filled(&test).await.close().await;
    for statement in [
        "drop table documents",
        "drop table document_versions",
        "delete from _sqlx_migrations where version in (2, 4)",
    ] {
        test.execute(statement).await;
    }
    let reader = open(test.url(), OpenMode::Reader).await.unwrap_err();
    assert!(
        reader.to_string().contains("start the server on it once"),
        "{reader}"
    );
    let owner = test.open().await;
    assert_eq!(owner.load().await.unwrap().rooms.len(), 2);
    let documents = opened(&test).await;
    assert_eq!(loaded(&*documents).await, ([0, 0], vec![]));
    documents.close().await;
    owner.close().await;
}

#[rstest]
#[tokio::test]
async fn a_database_with_one_version_for_all_kinds_goes_on(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let test = TestDatabase::new(kind).await;
    filled(&test).await.close().await;
    for statement in [
        "drop table document_versions",
        "create table document_version (key bigint primary key, version bigint not null)",
        "insert into document_version (key, version) values (1, 41)",
        "insert into documents (kind, id, body) values ('account', 'ada', '1'), ('account', 'eve', '2')",
        "delete from _sqlx_migrations where version = 4",
    ] {
        test.execute(statement).await;
    }
    let documents = opened(&test).await;
    let all = texts(&[("account ada", "1"), ("account eve", "2")]);
    assert_eq!(loaded(&*documents).await, ([41, 0], all));
    let expected = versions(&[("account", 41), ("session", 0)]);
    let change = putting(&[("account", "ada", "3"), ("session", "s", "4")]);
    assert!(documents.change(&expected, &change).await.unwrap());
    assert_eq!(loaded(&*documents).await.0, [42, 1]);
    documents.close().await;
}
