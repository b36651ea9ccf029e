//! The background task of each book: takes over what other processes have changed.

use crate::database::{DocumentDatabase, DocumentVersions, StoreError};
use crate::shutdown::Shutdown;
use futures_util::future::{BoxFuture, join_all};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// How often it is looked whether another process has changed anything: a key revoked there is worth
/// nothing here after this.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);

/// Whoever has a book, and maybe more that follows from it.
pub trait Follower: Debug + Send + Sync {
    /// The kinds of the book.
    fn kinds(&self) -> &'static [&'static str];

    /// What is in it, for messages.
    fn subject(&self) -> &'static str;

    /// Takes over what other processes have changed, up to these versions.
    fn follow<'a>(
        &'a self,
        versions: &'a DocumentVersions,
    ) -> BoxFuture<'a, Result<(), StoreError>>;
}

/// Keeps every book up to date until the server stops. Each has a look of its own, so that one whose
/// disk is slow holds up no other.
pub async fn keep(
    database: Arc<dyn DocumentDatabase>,
    followers: Vec<Box<dyn Follower>>,
    shutdown: Shutdown,
) {
    let kept = followers
        .iter()
        .map(|follower| keep_one(&*database, &**follower, &shutdown));
    join_all(kept).await;
}

async fn keep_one(database: &dyn DocumentDatabase, follower: &dyn Follower, shutdown: &Shutdown) {
    let mut ticks = interval(REFRESH_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut fails = false;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.begun() => return,
        }
        let looking = async {
            let versions = database.versions(follower.kinds()).await?;
            follower.follow(&versions).await
        };
        let result = tokio::select! {
            result = looking => result,
            () = shutdown.begun() => return,
        };
        // Once, not every second for as long as it lasts.
        if let Err(error) = &result
            && !fails
        {
            let subject = follower.subject();
            tracing::warn!(%error, "{subject} cannot be read; those known still count");
        }
        fails = result.is_err();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Document;
    use crate::documents::test_support::MemoryDocuments;
    use crate::documents::{Book, Collection, Record, RecordChanges, Records};
    use pretty_assertions::assert_eq;
    use serde::{Deserialize, Serialize};
    use std::convert::Infallible;

    #[derive(Debug, Serialize, Deserialize)]
    struct Lamp;

    impl Record for Lamp {
        const KIND: &'static str = "lamp";
        const SUBJECT: &'static str = "lamps";

        fn of(document: &Document) -> Result<Self, StoreError> {
            document.record()
        }
    }

    type Lamps = Arc<Collection<Records<Lamp>>>;

    /// One that never ends.
    #[derive(Debug)]
    struct Stuck;

    impl Follower for Stuck {
        fn kinds(&self) -> &'static [&'static str] {
            &["table"]
        }

        fn subject(&self) -> &'static str {
            "tables"
        }

        fn follow<'a>(&'a self, _: &'a DocumentVersions) -> BoxFuture<'a, Result<(), StoreError>> {
            Box::pin(std::future::pending())
        }
    }

    /// One that never can.
    #[derive(Debug)]
    struct Failing;

    impl Follower for Failing {
        fn kinds(&self) -> &'static [&'static str] {
            &["chair"]
        }

        fn subject(&self) -> &'static str {
            "chairs"
        }

        fn follow<'a>(&'a self, _: &'a DocumentVersions) -> BoxFuture<'a, Result<(), StoreError>> {
            Box::pin(async { Err(StoreError::Failing("it never can")) })
        }
    }

    impl Follower for Lamps {
        fn kinds(&self) -> &'static [&'static str] {
            Records::<Lamp>::KINDS
        }

        fn subject(&self) -> &'static str {
            Records::<Lamp>::SUBJECT
        }

        fn follow<'a>(
            &'a self,
            versions: &'a DocumentVersions,
        ) -> BoxFuture<'a, Result<(), StoreError>> {
            Box::pin(self.refresh_to(versions))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn every_book_follows_within_a_second_whatever_happens_to_others() {
        let documents = Arc::new(MemoryDocuments::default());
        let opened = async || -> Lamps {
            let lamps = Collection::open(Arc::clone(&documents) as _).await;
            Arc::new(lamps.unwrap())
        };
        let (here, elsewhere) = (opened().await, opened().await);
        let followers: Vec<Box<dyn Follower>> = vec![
            Box::new(Failing),
            Box::new(Stuck),
            Box::new(Arc::clone(&here)),
        ];
        let shutdown = Shutdown::default();
        let keeping = keep(Arc::clone(&documents) as _, followers, shutdown.clone());
        let changing = async {
            for number in 1..=3 {
                let added = elsewhere.change(|_| {
                    let mut change = RecordChanges::default();
                    change.put(number.to_string(), Lamp);
                    Ok::<_, Infallible>((change, ()))
                });
                added.await.unwrap();
                tokio::time::sleep(REFRESH_INTERVAL + Duration::from_millis(1)).await;
                assert_eq!(here.book(|book| book.len()), number);
            }
            shutdown.begin();
        };
        tokio::join!(keeping, changing);
    }
}
