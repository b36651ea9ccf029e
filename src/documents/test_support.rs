//! Documents for tests of other modules.

use crate::database::{
    Document, DocumentChange, DocumentDatabase, DocumentVersions, LoadedDocuments, StoreError,
};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

/// Documents that are gone with the process.
#[derive(Debug, Default)]
pub(crate) struct MemoryDocuments {
    kept: Mutex<Kept>,
    is_silent: AtomicBool,
    is_refusing: AtomicBool,
}

#[derive(Debug, Default)]
struct Kept {
    versions: DocumentVersions,
    /// By kind and id.
    bodies: BTreeMap<(String, String), String>,
}

impl MemoryDocuments {
    /// The next change is durable, though nobody hears of it.
    pub(crate) fn fall_silent(&self) {
        self.is_silent.store(true, Ordering::Relaxed);
    }

    /// The next change fails and is not made.
    pub(crate) fn refuse(&self) {
        self.is_refusing.store(true, Ordering::Relaxed);
    }

    /// The kinds of all documents there are.
    pub(crate) fn kinds(&self) -> Vec<String> {
        let kept = self.kept.lock();
        kept.bodies.keys().map(|(kind, _)| kind.clone()).collect()
    }
}

impl Kept {
    fn versions_of(&self, kinds: &[&str]) -> DocumentVersions {
        let version = |kind| self.versions.get(kind).copied().unwrap_or(0);
        kinds
            .iter()
            .map(|kind| ((*kind).to_owned(), version(*kind)))
            .collect()
    }

    fn put(&mut self, documents: &[Document]) {
        for Document { kind, id, body } in documents.iter().cloned() {
            self.bodies.insert((kind, id), body);
        }
    }
}

impl DocumentDatabase for MemoryDocuments {
    fn versions<'a>(
        &'a self,
        kinds: &'a [&'a str],
    ) -> BoxFuture<'a, Result<DocumentVersions, StoreError>> {
        Box::pin(async { Ok(self.kept.lock().versions_of(kinds)) })
    }

    fn load<'a>(
        &'a self,
        kinds: &'a [&'a str],
    ) -> BoxFuture<'a, Result<LoadedDocuments, StoreError>> {
        Box::pin(async {
            let kept = self.kept.lock();
            let asked = kept.bodies.iter();
            let asked = asked.filter(|((kind, _), _)| kinds.contains(&kind.as_str()));
            let documents = asked.map(|((kind, id), body)| Document {
                kind: kind.clone(),
                id: id.clone(),
                body: body.clone(),
            });
            Ok(LoadedDocuments {
                versions: kept.versions_of(kinds),
                documents: documents.collect(),
            })
        })
    }

    fn change<'a>(
        &'a self,
        expected: &'a DocumentVersions,
        change: &'a DocumentChange,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            if self.is_refusing.swap(false, Ordering::Relaxed) {
                return Err(StoreError::Failing("it is not made"));
            }
            let kept = &mut *self.kept.lock();
            let kinds: Vec<&str> = expected.keys().map(String::as_str).collect();
            if kept.versions_of(&kinds) != *expected {
                return Ok(false);
            }
            for kind in change.kinds() {
                *kept.versions.entry(kind.to_owned()).or_default() += 1;
            }
            for name in &change.removed {
                kept.bodies.remove(name);
            }
            kept.put(&change.put);
            if self.is_silent.swap(false, Ordering::Relaxed) {
                return Err(StoreError::Failing("nobody hears of it"));
            }
            Ok(true)
        })
    }

    fn note<'a>(&'a self, noted: &'a [Document]) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            self.kept.lock().put(noted);
            Ok(())
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}
