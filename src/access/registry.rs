//! The book and its database: changes are durable before they count.
//!
//! Other processes may change the same documents (`iaqverse user add` beside a server, other servers
//! on one Postgres), so a change is made only on what it was decided on, and decided again otherwise.

use super::book::{Book, Change};
use crate::database::{DocumentDatabase, StoreError};
use crate::domain::Timestamp;
use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Mutex;

/// How often a change is decided again because somebody else was faster.
const TRIES_MAX: usize = 10;

/// The accounts, sessions, keys and claims, in memory and in the database.
#[derive(Debug)]
pub struct Registry {
    database: Arc<dyn DocumentDatabase>,
    book: RwLock<Book>,
    /// Held while a change is decided and written.
    changing: Mutex<()>,
    /// Grows whenever something in the book changes.
    generation: AtomicU64,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError<E> {
    #[error("{0}")]
    Refused(E),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Registry {
    pub async fn open(database: Arc<dyn DocumentDatabase>) -> Result<Self, StoreError> {
        let book = Book::read(&database.load().await?)?;
        Ok(Self {
            database,
            book: RwLock::new(book),
            changing: Mutex::default(),
            generation: AtomicU64::new(0),
        })
    }

    /// Looks something up; `look` must be short.
    pub fn book<T>(&self, look: impl FnOnce(&Book) -> T) -> T {
        look(&self.book.read())
    }

    /// Whether nobody can log in.
    pub fn has_no_account(&self) -> bool {
        self.book(|book| book.accounts.is_empty())
    }

    /// A number that is another one after every change.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Makes what `decide` says durable and then takes it over. It is asked again when the book has
    /// changed meanwhile. Without anything to change nothing is written.
    pub async fn change<T, E>(
        &self,
        mut decide: impl FnMut(&Book) -> Result<(Change, T), E>,
    ) -> Result<T, ChangeError<E>> {
        let _changing = self.changing.lock().await;
        for _ in 0..TRIES_MAX {
            let (version, decided) = self.book(|book| (book.version, decide(book)));
            let (change, result) = decided.map_err(ChangeError::Refused)?;
            if change.is_empty() {
                return Ok(result);
            }
            if self.database.change(version, &change.documents()).await? {
                self.book.write().apply(change);
                self.generation.fetch_add(1, Ordering::AcqRel);
                return Ok(result);
            }
            self.reload().await?;
        }
        Err(StoreError::InUse("others change the accounts all the time".to_owned()).into())
    }

    /// Takes over what other processes have changed.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let version = self.database.version().await?;
        if version == self.book(|book| book.version) {
            return Ok(());
        }
        let _changing = self.changing.lock().await;
        self.reload().await
    }

    async fn reload(&self) -> Result<(), StoreError> {
        let mut loaded = Book::read(&self.database.load().await?)?;
        let mut book = self.book.write();
        loaded.keep_uses(&book);
        *book = loaded;
        drop(book);
        self.generation.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// Writes when keys were last used.
    pub async fn write_uses(&self) -> Result<(), StoreError> {
        /// One statement's worth, so that nobody waits long for the database.
        const DOCUMENTS_MAX: usize = 500;
        let uses = self.book.write().unwritten_uses();
        for uses in uses.chunks(DOCUMENTS_MAX) {
            self.database.note(uses).await?;
        }
        Ok(())
    }

    /// Forgets sessions and claims that are over.
    pub async fn remove_expired(&self, now: Timestamp) -> Result<(), StoreError> {
        let removed = self.change(|book| {
            let mut change = Change::default();
            for (id, session) in &book.sessions {
                if session.has_expired(now) {
                    change.remove_session(id);
                }
            }
            for (id, claim) in &book.claims {
                if claim.has_expired(now) {
                    change.remove_claim(id);
                }
            }
            Ok::<_, std::convert::Infallible>((change, ()))
        });
        match removed.await {
            Ok(()) => Ok(()),
            Err(ChangeError::Store(error)) => Err(error),
            Err(ChangeError::Refused(never)) => match never {},
        }
    }

    pub async fn close(&self) {
        self.database.close().await;
    }
}

#[cfg(test)]
mod tests;
