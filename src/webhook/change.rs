//! What may become of webhooks: decided on the book.

use super::book::{Book, Change};
use super::record::{Progress, Webhook};

/// Why webhooks stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum WebhookRefusal {
    #[error("there are too many webhooks")]
    TooMany,
    #[error("there is no such webhook")]
    Unknown,
}

/// Adds a webhook where there are less than `count_max`.
pub(super) fn add(
    book: &Book,
    webhook: &Webhook,
    progress: &Progress,
    count_max: usize,
) -> Result<Change, WebhookRefusal> {
    if book.webhooks.len() >= count_max {
        return Err(WebhookRefusal::TooMany);
    }
    let mut change = Change::default();
    change.put(webhook.clone(), progress.clone());
    Ok(change)
}

/// Removes a webhook.
pub(super) fn remove(book: &Book, id: &str) -> Result<Change, WebhookRefusal> {
    if !book.webhooks.contains_key(id) {
        return Err(WebhookRefusal::Unknown);
    }
    let mut change = Change::default();
    change.remove(id);
    Ok(change)
}

/// Removes webhooks that may be there or not. It is written in any case: what was begun before cannot
/// be made any more then.
pub(super) fn remove_all(ids: &[String]) -> Change {
    let mut change = Change::default();
    for id in ids {
        change.remove(id);
    }
    change
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::Book as _;
    use crate::webhook::selection::Selection;
    use pretty_assertions::assert_eq;

    #[test]
    fn webhooks_are_added_up_to_a_count_and_removed_with_their_progress() {
        let webhook = |id: &str| Webhook {
            id: id.to_owned(),
            url: "https://receiver.example/".to_owned(),
            selection: Selection::default(),
            secret: "secret".to_owned().into(),
            created_ms: 1,
            created_by: "ada".to_owned(),
        };
        let progress = Progress::behind("3-17".parse().unwrap());
        let mut book = Book::default();
        let change = add(&book, &webhook("a1"), &progress, 1).unwrap();
        book.apply(change);
        assert_eq!(book.progress.get("a1"), Some(&progress));
        let refused = add(&book, &webhook("b2"), &progress, 1).unwrap_err();
        assert_eq!(refused, WebhookRefusal::TooMany);
        assert!(add(&book, &webhook("b2"), &progress, 2).is_ok());
        let refused = remove(&book, "b2").unwrap_err();
        assert_eq!(refused, WebhookRefusal::Unknown);
        let change = remove(&book, "a1").unwrap();
        book.apply(change);
        assert!(book.webhooks.is_empty() && book.progress.is_empty());
    }
}
