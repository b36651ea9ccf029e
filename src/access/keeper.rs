//! The background task of access: takes over other processes' changes, writes when keys were used, and removes what has expired.

use super::gate::Access;
use crate::database::StoreError;
use crate::shutdown::Shutdown;
use crate::store::Store;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// How often it is looked whether another process has changed anything: a key revoked there is worth
/// nothing here after this.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);
/// How many of those go by before uses of keys are written and what has expired is removed.
const REFRESHES_PER_TIDYING: u32 = 60;

/// Keeps accounts up to date until the server stops.
pub async fn keep(access: Access, store: Store, shutdown: Shutdown) {
    let mut ticks = interval(REFRESH_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut refreshes: u32 = 0;
    let mut fails = false;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.begun() => break,
        }
        access.limits().forget_idle();
        let mut result = access.registry().refresh().await;
        refreshes = (refreshes + 1) % REFRESHES_PER_TIDYING;
        if result.is_ok() && refreshes == 0 {
            result = tidy(&access, &store).await;
        }
        match result {
            Ok(()) => fails = false,
            // Once, not every second for as long as it lasts.
            Err(error) if !fails => {
                tracing::warn!(%error, "accounts cannot be read; those known still count");
                fails = true;
            }
            Err(_) => {}
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
