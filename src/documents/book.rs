//! What the owner of some kinds of documents makes of them.

use crate::database::{Document, DocumentChange, StoreError};
use std::fmt::Debug;

/// Everything there is of some kinds of documents, in memory.
pub trait Book: Debug + Sized + Send + Sync + 'static {
    /// The kinds that are decided together. No other book has one of them.
    const KINDS: &'static [&'static str];
    /// What is in it, for messages.
    const SUBJECT: &'static str;

    /// What is to become of it. It takes the place of whole records, so that it can be applied to the
    /// book and written as documents.
    type Change: Debug + Send + Sync;

    /// Makes the book of all documents of its kinds.
    fn read(documents: &[Document]) -> Result<Self, StoreError>;

    /// Takes over a change that is durable.
    fn apply(&mut self, change: Self::Change);

    /// A change as the database keeps it.
    fn documents(change: &Self::Change) -> DocumentChange;

    /// Takes over what the book that this one takes the place of knows and the database does not.
    fn succeed(&mut self, _before: &Self) {}
}
