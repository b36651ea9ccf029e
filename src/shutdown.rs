//! When the server stops, and in which order.
//!
//! Take in nothing more, write what waits, close the sockets with 1001, let requests end, close the
//! database: `app` walks these stages; here are the signal and the tasks it waits for.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The wish to stop and the tasks that end because of it. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    wish: CancellationToken,
    /// The same as a flag, which every request looks at without a lock.
    begun: Arc<AtomicBool>,
    tasks: TaskTracker,
}

impl Shutdown {
    /// Asks everything to stop. Calling it again changes nothing.
    pub fn begin(&self) {
        self.begun.store(true, Ordering::Release);
        self.wish.cancel();
    }

    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Ends when the server is asked to stop.
    pub async fn begun(&self) {
        self.wish.cancelled().await;
    }

    pub fn token(&self) -> CancellationToken {
        self.wish.clone()
    }

    /// Runs a task of this thread that [`Shutdown::tasks_ended`] waits for.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        // The handle is not needed: the tracker knows the task.
        drop(actix_rt::spawn(self.tasks.track_future(task)));
    }

    /// Ends when every task has.
    pub async fn tasks_ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Waits for SIGTERM or Ctrl-C. Both stop gracefully.
pub async fn signal() -> std::io::Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}
