//! The size of the database, which is asked for from time to time and never waited for long.

use crate::store::Store;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// The page shows nothing that is much older than this.
const AGE_MAX: Duration = Duration::from_secs(15);
/// Longest the page waits for the answer; it shows what was known before then.
const WAIT_MAX: Duration = Duration::from_millis(500);

/// What is known of the size. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct DatabaseSize(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    bytes: Option<u64>,
    asked: Option<Instant>,
}

impl DatabaseSize {
    /// The size, as far as it is known.
    pub(super) async fn bytes(&self, store: &Store) -> Option<u64> {
        if self.is_due() {
            let (known, store) = (Arc::clone(&self.0), store.clone());
            let asking = async move {
                let size = store.database_bytes().await;
                if let Err(error) = &size {
                    tracing::debug!(%error, "the size of the database is not known");
                }
                known.lock().bytes = size.ok();
            };
            // It goes on when the page does not wait for it any more.
            let asking = actix_web::rt::spawn(asking);
            drop(timeout(WAIT_MAX, asking).await);
        }
        self.0.lock().bytes
    }

    /// Whether it is to be asked for, which then is done.
    fn is_due(&self) -> bool {
        let mut known = self.0.lock();
        let is_due = known.asked.is_none_or(|asked| asked.elapsed() >= AGE_MAX);
        if is_due {
            known.asked = Some(Instant::now());
        }
        is_due
    }
}
