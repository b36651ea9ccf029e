//! A book and its database: changes are durable before they count.
//!
//! Other processes may change the same documents (`iaqverse user add` beside a server, other servers
//! on one Postgres), so a change is made only on what it was decided on, and decided again otherwise.

use super::book::Book;
use crate::database::{Document, DocumentDatabase, DocumentVersions, LoadedDocuments, StoreError};
use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Mutex;

/// How often a change is decided again because somebody else was faster.
const TRIES_MAX: usize = 10;

/// A book, in memory and in the database.
#[derive(Debug)]
pub struct Collection<B> {
    database: Arc<dyn DocumentDatabase>,
    mirror: RwLock<Mirror<B>>,
    /// Held while a change is decided and written.
    changing: Mutex<Certainty>,
    /// Grows whenever something in the book changes.
    generation: AtomicU64,
}

/// A book and the versions it is of.
#[derive(Debug)]
struct Mirror<B> {
    book: B,
    versions: DocumentVersions,
}

/// Whether what was changed here is in the book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Certainty {
    #[default]
    Sure,
    /// A change was begun whose end nobody has seen.
    Unsure,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError<E> {
    #[error("{0}")]
    Refused(E),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<B: Book> Mirror<B> {
    fn of(loaded: LoadedDocuments) -> Result<Self, StoreError> {
        Ok(Self {
            book: B::read(&loaded.documents)?,
            versions: loaded.versions,
        })
    }
}

impl<B: Book> Collection<B> {
    /// Loads the book.
    pub async fn open(database: Arc<dyn DocumentDatabase>) -> Result<Self, StoreError> {
        let mirror = Mirror::of(database.load(B::KINDS).await?)?;
        Ok(Self {
            database,
            mirror: RwLock::new(mirror),
            changing: Mutex::default(),
            generation: AtomicU64::new(0),
        })
    }

    /// Looks something up; `look` must be short.
    pub fn book<T>(&self, look: impl FnOnce(&B) -> T) -> T {
        look(&self.mirror.read().book)
    }

    /// A number that is another one after every change.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Makes what `decide` says durable and then takes it over. It is asked again when the book has
    /// changed meanwhile. Without anything to change nothing is written.
    ///
    /// When it fails, or nobody waits for its end, the change may be made or not; the next one is
    /// decided on what the database has then.
    pub async fn change<T, E>(
        &self,
        mut decide: impl FnMut(&B) -> Result<(B::Change, T), E>,
    ) -> Result<T, ChangeError<E>> {
        let mut certainty = self.changing.lock().await;
        if *certainty == Certainty::Unsure {
            self.reload(&mut certainty).await?;
        }
        for _ in 0..TRIES_MAX {
            let (expected, decided) = {
                let mirror = self.mirror.read();
                (mirror.versions.clone(), decide(&mirror.book))
            };
            let (change, result) = decided.map_err(ChangeError::Refused)?;
            let documents = B::documents(&change);
            if documents.is_empty() {
                return Ok(result);
            }
            *certainty = Certainty::Unsure;
            if self.database.change(&expected, &documents).await? {
                let mut mirror = self.mirror.write();
                for kind in documents.kinds() {
                    *mirror.versions.entry(kind.to_owned()).or_default() += 1;
                }
                mirror.book.apply(change);
                drop(mirror);
                self.generation.fetch_add(1, Ordering::AcqRel);
                *certainty = Certainty::Sure;
                return Ok(result);
            }
            self.reload(&mut certainty).await?;
        }
        let busy = format!("others change the {} all the time", B::SUBJECT);
        Err(StoreError::InUse(busy).into())
    }

    /// Takes over what other processes have changed.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let mut certainty = self.changing.lock().await;
        let versions = self.database.versions(B::KINDS).await?;
        if !self.is_behind(&versions) {
            return Ok(());
        }
        self.reload(&mut certainty).await
    }

    /// The same when it is known which versions the database has.
    pub async fn refresh_to(&self, versions: &DocumentVersions) -> Result<(), StoreError> {
        if !self.is_behind(versions) {
            return Ok(());
        }
        // Whoever is at a change compares the versions as well, and other work is short: nobody has to
        // wait for it here.
        let Ok(mut certainty) = self.changing.try_lock() else {
            return Ok(());
        };
        self.reload(&mut certainty).await
    }

    /// Whether the book is of older versions than these.
    fn is_behind(&self, versions: &DocumentVersions) -> bool {
        let mirror = self.mirror.read();
        let mut mirrored = mirror.versions.iter();
        mirrored.any(|(kind, version)| versions.get(kind).is_some_and(|there| there > version))
    }

    async fn reload(&self, certainty: &mut Certainty) -> Result<(), StoreError> {
        let mut loaded: Mirror<B> = Mirror::of(self.database.load(B::KINDS).await?)?;
        let mut mirror = self.mirror.write();
        loaded.book.succeed(&mirror.book);
        *mirror = loaded;
        drop(mirror);
        self.generation.fetch_add(1, Ordering::AcqRel);
        *certainty = Certainty::Sure;
        Ok(())
    }

    /// Writes documents of its kinds that nobody needs to hear of. `gather` is asked for up to so many
    /// until it has fewer. Nothing is changed here while some are gathered and written, so that they
    /// cannot bring back what was removed; in between, changes have their turn.
    pub async fn note(
        &self,
        mut gather: impl FnMut(&mut B, usize) -> Vec<Document>,
    ) -> Result<(), StoreError> {
        /// One statement's worth, so that nobody waits long for the database.
        const DOCUMENTS_MAX: usize = 500;
        loop {
            let mut certainty = self.changing.lock().await;
            if *certainty == Certainty::Unsure {
                self.reload(&mut certainty).await?;
            }
            let documents = gather(&mut self.mirror.write().book, DOCUMENTS_MAX);
            if !documents.is_empty() {
                self.database.note(&documents).await?;
            }
            if documents.len() < DOCUMENTS_MAX {
                return Ok(());
            }
        }
    }

    pub async fn close(&self) {
        self.database.close().await;
    }
}

#[cfg(test)]
mod tests;
