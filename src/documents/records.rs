//! The records of one kind, by their ids.

use super::book::Book;
use crate::database::{Document, DocumentChange, StoreError};
use rustc_hash::FxHashMap;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::Deref;

/// What a document of a kind is made of, as JSON. A member that is added later needs
/// `#[serde(default)]`.
pub trait Record: Debug + Serialize + Sized + Send + Sync + 'static {
    /// What its documents are called in the database; no other record is called so.
    const KIND: &'static str;
    /// What such records are, for messages.
    const SUBJECT: &'static str;

    /// The record of a document, mostly [`Document::record`].
    fn of(document: &Document) -> Result<Self, StoreError>;
}

/// The records of one kind: a book by themselves, or part of one.
#[derive(Debug)]
pub struct Records<R>(FxHashMap<String, R>);

/// What is to become of records of one kind, by their ids; of two wishes for one id the last counts.
#[derive(Debug)]
pub struct RecordChanges<R>(BTreeMap<String, Option<R>>);

impl<R> Default for Records<R> {
    fn default() -> Self {
        Self(FxHashMap::default())
    }
}

impl<R> Default for RecordChanges<R> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<R> Deref for Records<R> {
    type Target = FxHashMap<String, R>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<R: Record> Records<R> {
    /// Those among documents of several kinds.
    pub fn among(documents: &[Document]) -> Result<Self, StoreError> {
        let own = documents.iter().filter(|document| document.kind == R::KIND);
        let records = own.map(|document| Ok((document.id.clone(), R::of(document)?)));
        Ok(Self(records.collect::<Result<_, StoreError>>()?))
    }

    /// Takes over what became of them.
    pub fn take_over(&mut self, changes: RecordChanges<R>) {
        for (id, record) in changes {
            match record {
                Some(record) => drop(self.0.insert(id, record)),
                None => drop(self.0.remove(&id)),
            }
        }
    }
}

impl<R> IntoIterator for RecordChanges<R> {
    /// An id, and its record unless that goes.
    type Item = (String, Option<R>);
    type IntoIter = std::collections::btree_map::IntoIter<String, Option<R>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<R: Record> RecordChanges<R> {
    /// Adds a record, or one in place of that with its id.
    pub fn put(&mut self, id: impl Into<String>, record: R) {
        self.0.insert(id.into(), Some(record));
    }

    pub fn remove(&mut self, id: impl Into<String>) {
        self.0.insert(id.into(), None);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Ids of records that go.
    pub fn removed(&self) -> impl Iterator<Item = &String> {
        let removed = self.0.iter().filter(|(_, record)| record.is_none());
        removed.map(|(id, _)| id)
    }

    /// Adds the same for the database.
    pub fn write(&self, change: &mut DocumentChange) {
        for (id, record) in &self.0 {
            match record {
                Some(record) => change.put.push(Document::of(R::KIND, id, record)),
                None => change.removed.push((R::KIND.to_owned(), id.clone())),
            }
        }
    }
}

impl<R: Record> Book for Records<R> {
    const KINDS: &'static [&'static str] = &[R::KIND];
    const SUBJECT: &'static str = R::SUBJECT;

    type Change = RecordChanges<R>;

    fn read(documents: &[Document]) -> Result<Self, StoreError> {
        Self::among(documents)
    }

    fn apply(&mut self, change: Self::Change) {
        self.take_over(change);
    }

    fn documents(change: &Self::Change) -> DocumentChange {
        let mut documents = DocumentChange::default();
        change.write(&mut documents);
        documents
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;
    use serde::Deserialize;

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

    fn watts(lamps: &Records<Lamp>) -> Vec<(&str, u32)> {
        let mut watts: Vec<_> = lamps
            .iter()
            .map(|(id, lamp)| (id.as_str(), lamp.watts))
            .collect();
        watts.sort_unstable();
        watts
    }

    #[test]
    fn of_two_wishes_for_an_id_the_last_counts_in_the_book_and_in_the_database() {
        let mut changes = RecordChanges::default();
        changes.put("desk", Lamp { watts: 5 });
        changes.put("desk", Lamp { watts: 7 });
        changes.put("hall", Lamp { watts: 9 });
        changes.remove("hall");
        let documents = Records::documents(&changes);
        assert_eq!(
            documents.put,
            [Document::of("lamp", "desk", &Lamp { watts: 7 })]
        );
        assert_eq!(documents.removed, [("lamp".to_owned(), "hall".to_owned())]);
        let mut lamps = Records::default();
        lamps.apply(changes);
        assert_eq!(watts(&lamps), [("desk", 7)]);
    }

    #[test]
    fn records_are_read_from_among_documents_of_other_kinds() {
        let documents = [
            Document::of("chair", "desk", &1),
            Document::of("lamp", "desk", &Lamp { watts: 7 }),
        ];
        assert_eq!(watts(&Records::read(&documents).unwrap()), [("desk", 7)]);
        let damaged = [Document::of("lamp", "desk", &"secret")];
        let error = Records::<Lamp>::read(&damaged).unwrap_err().to_string();
        assert!(
            error.contains("lamp desk") && !error.contains("secret"),
            "{error}"
        );
    }
}
