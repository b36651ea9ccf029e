//! The book of access and its database.

use super::book::{Book, Change};
use super::claims;
use crate::database::StoreError;
use crate::documents::Collection;
use crate::domain::Timestamp;

pub(crate) use crate::documents::ChangeError;

/// The accounts, sessions, keys and claims, in memory and in the database.
pub type Registry = Collection<Book>;

impl Registry {
    /// Whether nobody can log in.
    pub fn has_no_account(&self) -> bool {
        self.book(|book| book.accounts.is_empty())
    }

    /// Writes when keys were last used.
    pub async fn write_uses(&self) -> Result<(), StoreError> {
        self.note(Book::unwritten_uses).await
    }

    /// Forgets sessions and claims that are over.
    pub async fn remove_expired(&self, now: Timestamp) -> Result<(), StoreError> {
        let removed = self.change(|book| {
            let mut change = Change::default();
            for (id, session) in book.sessions.iter() {
                if session.has_expired(now) {
                    change.remove_session(id);
                }
            }
            claims::remove_expired(book, &mut change, now);
            Ok::<_, std::convert::Infallible>((change, ()))
        });
        match removed.await {
            Ok(()) => Ok(()),
            Err(ChangeError::Store(error)) => Err(error),
            Err(ChangeError::Refused(never)) => match never {},
        }
    }
}

#[cfg(test)]
mod tests;
