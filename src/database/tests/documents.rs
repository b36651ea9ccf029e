use super::*;
use crate::database::{
    Document, DocumentChange, DocumentDatabase, open, open_documents, prepare_documents,
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

async fn loaded(documents: &dyn DocumentDatabase) -> (i64, Vec<(String, String)>) {
    let loaded = documents.load().await.unwrap();
    assert_eq!(documents.version().await.unwrap(), loaded.version);
    let all = loaded.documents.into_iter();
    let all = all.map(|document| (format!("{} {}", document.kind, document.id), document.body));
    (loaded.version, all.collect())
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
    assert_eq!(loaded(&*documents).await, (0, vec![]));
    let first = putting(&[("account", "ada", "{\"é\":1}"), ("session", "ada", "2")]);
    assert!(documents.change(0, &first).await.unwrap());
    let after_first = texts(&[("account ada", "{\"é\":1}"), ("session ada", "2")]);
    assert_eq!(loaded(&*documents).await, (1, after_first.clone()));

    let other = opened(&test).await;
    let late = putting(&[("account", "ada", "late"), ("account", "new", "3")]);
    for stale in [0, 2, -1] {
        assert!(!other.change(stale, &late).await.unwrap());
    }
    assert_eq!(loaded(&*other).await, (1, after_first));
    let second = DocumentChange {
        removed: vec![("session".to_owned(), "ada".to_owned())],
        ..putting(&[("account", "ada", "4")])
    };
    assert!(other.change(1, &second).await.unwrap());
    assert_eq!(
        loaded(&*documents).await,
        (2, texts(&[("account ada", "4")]))
    );

    let noted = [document("use", "k", "5"), document("use", "k2", "6")];
    documents.note(&noted).await.unwrap();
    documents.note(&[document("use", "k", "7")]).await.unwrap();
    let all = texts(&[("account ada", "4"), ("use k", "7"), ("use k2", "6")]);
    assert_eq!(loaded(&*other).await, (2, all));
    documents.close().await;
    assert!(documents.version().await.is_err());
    other.close().await;
}

/// Counts up in a document, as often as it takes to be the one who did.
async fn count_up(documents: Arc<dyn DocumentDatabase>) {
    loop {
        let loaded = documents.load().await.unwrap();
        let count = loaded.documents.first().map_or("0", |first| &first.body);
        let next = (count.parse::<u32>().unwrap() + 1).to_string();
        let change = putting(&[("count", "", &next)]);
        if documents.change(loaded.version, &change).await.unwrap() {
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
    assert_eq!(loaded(&*one).await, (20, texts(&[("count ", "20")])));
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
    assert!(documents.change(0, &change).await.unwrap());
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.db");
    owner.back_up(&copy).await.unwrap();
    let copy = format!("sqlite://{}", copy.display());
    let copied = open_documents(&copy).await.unwrap();
    assert_eq!(
        loaded(&*copied).await,
        (1, texts(&[("account ada", "'\"\\")]))
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
        "drop table document_version",
        "delete from _sqlx_migrations where version = 2",
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
    assert_eq!(loaded(&*documents).await, (0, vec![]));
    documents.close().await;
    owner.close().await;
}
