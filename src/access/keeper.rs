//! The background task of access: writes when keys were used, and removes what has expired. Other
//! processes' changes are taken over by `documents`.

use super::book::Book;
use super::gate::Access;
use crate::database::{DocumentVersions, StoreError};
use crate::documents::{Book as _, Follower};
use crate::shutdown::Shutdown;
use crate::store::Store;
use futures_util::future::BoxFuture;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// How often counts that nobody asks for any more are forgotten.
const FORGET_INTERVAL: Duration = Duration::from_secs(1);
/// How many of those go by before uses of keys are written and what has expired is removed.
const FORGETS_PER_TIDYING: u32 = 60;

impl Follower for Access {
    fn kinds(&self) -> &'static [&'static str] {
        Book::KINDS
    }

    fn subject(&self) -> &'static str {
        Book::SUBJECT
    }

    fn follow<'a>(
        &'a self,
        versions: &'a DocumentVersions,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.registry().refresh_to(versions))
    }
}

/// Keeps accounts tidy until the server stops.
pub async fn keep(access: Access, store: Store, shutdown: Shutdown) {
    let mut ticks = interval(FORGET_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut forgets: u32 = 0;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.begun() => break,
        }
        access.limits().forget_idle();
        forgets = (forgets + 1) % FORGETS_PER_TIDYING;
        if forgets == 0
            && let Err(error) = tidy(&access, &store).await
        {
            tracing::warn!(%error, "what has expired is not removed; it does not count");
        }
    }
    if let Err(error) = access.registry().write_uses().await {
        tracing::warn!(%error, "when keys were last used is not written");
    }
}

async fn tidy(access: &Access, store: &Store) -> Result<(), StoreError> {
    // Not on the word of a clock that may be ahead.
    let over = access.now().min(store.certain_now());
    access.registry().remove_expired(over).await?;
    access.registry().write_uses().await
}
