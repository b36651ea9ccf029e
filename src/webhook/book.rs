//! Every webhook, in memory.

use super::record::{Progress, Webhook};
use crate::database::{Document, DocumentChange, StoreError};
use crate::documents::{self, Record, RecordChanges, Records};

/// A mirror of the documents in the database. How far each has come is that of when it was loaded:
/// whoever delivers knows better.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub webhooks: Records<Webhook>,
    pub progress: Records<Progress>,
}

/// What a change does to the book.
#[derive(Debug, Default)]
pub(super) struct Change {
    webhooks: RecordChanges<Webhook>,
    progress: RecordChanges<Progress>,
}

impl documents::Book for Book {
    const KINDS: &'static [&'static str] = &[Webhook::KIND, Progress::KIND];
    const SUBJECT: &'static str = Webhook::SUBJECT;

    type Change = Change;

    fn read(documents: &[Document]) -> Result<Self, StoreError> {
        Ok(Self {
            webhooks: Records::among(documents)?,
            progress: Records::among(documents)?,
        })
    }

    fn apply(&mut self, change: Change) {
        self.webhooks.take_over(change.webhooks);
        self.progress.take_over(change.progress);
    }

    fn documents(change: &Change) -> DocumentChange {
        let mut documents = DocumentChange::default();
        change.webhooks.write(&mut documents);
        change.progress.write(&mut documents);
        documents
    }
}

impl Change {
    pub(super) fn put(&mut self, webhook: Webhook, progress: Progress) {
        self.progress.put(webhook.id.clone(), progress);
        self.webhooks.put(webhook.id.clone(), webhook);
    }

    pub(super) fn remove(&mut self, id: &str) {
        self.webhooks.remove(id);
        self.progress.remove(id);
    }
}
