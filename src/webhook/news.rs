//! Wakes the webhooks when a measurement was published.

use crate::store::{Publish, Published, Renamed};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use tokio::sync::watch;

/// Stands before whoever is told of every message, and says that there was one. It holds nobody up:
/// the webhooks read it from the store when they come to it.
#[derive(Debug)]
pub struct Announced {
    next: Arc<dyn Publish>,
    news: watch::Sender<()>,
}

/// Where webhooks hear of news.
pub type News = watch::Receiver<()>;

impl Announced {
    pub fn before(next: Arc<dyn Publish>) -> (Self, News) {
        let (news, heard) = watch::channel(());
        (Self { next, news }, heard)
    }
}

impl Publish for Announced {
    fn publish(&self, published: Vec<Published>) -> BoxFuture<'_, ()> {
        let is_news = published
            .iter()
            .any(|one| matches!(one, Published::Measurement(_)));
        if is_news {
            self.news.send_replace(());
        }
        self.next.publish(published)
    }

    fn rename(&self, renamed: Vec<Renamed>) -> BoxFuture<'_, ()> {
        self.next.rename(renamed)
    }
}
