//! When the server stops, and in which order.
//!
//! Take in nothing more, write what waits, close the sockets with 1001, let requests end, close the
//! database: `server::app` walks these stages; here are the signal and the tasks it waits for.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::signal::unix::{Signal, SignalKind, signal};
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

/// SIGTERM and Ctrl-C. Both stop gracefully.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens from now on.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for one and names it.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
