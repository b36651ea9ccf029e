//! Small records that are all in memory, and in the database: accounts, models, webhooks.
//!
//! A *book* is the mirror of one or several kinds of documents that are decided together ([`Book`],
//! `book`). A [`Collection`] keeps a book and the database the same: a change is decided on the book,
//! made durable, and counts then (`collection`). Other processes may change the same kinds, which
//! [`keep`] takes over. [`Records`] are the records of one kind: a book by themselves, or part of one.

mod book;
mod collection;
mod keeper;
mod records;
#[cfg(test)]
pub(crate) mod test_support;

pub use book::Book;
pub use collection::{ChangeError, Collection};
pub use keeper::{Follower, keep};
pub use records::{Record, RecordChanges, Records};
