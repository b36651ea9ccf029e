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

/// SIGTERM, Ctrl-C, and SIGHUP of a terminal that is closed. All stop gracefully.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// Not there where it was ignored from the start, as `nohup` has it.
    hang_up: Option<Signal>,
}

impl Signals {
    /// Listens from now on.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: if ignores_hang_up() {
                None
            } else {
                Some(signal(SignalKind::hangup())?)
            },
        })
    }

    /// Waits for one and names it.
    pub async fn next(&mut self) -> &'static str {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = hang_up => "SIGHUP",
        }
    }
}

/// Whether whoever started this process wants it to outlive its terminal. To listen to a signal would
/// undo that; where the system does not tell, nobody does.
fn ignores_hang_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    is_ignored(&status, SignalKind::hangup())
}

fn is_ignored(status: &str, signal: SignalKind) -> bool {
    let mut lines = status.lines();
    let mask = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal.as_raw_value() - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_that_is_ignored_is_known_by_its_bit() {
        let is = |mask: &str| {
            let status = format!("Name:\tiaqverse\nSigIgn:\t{mask}\nSigCgt:\tffffffffffffffff\n");
            is_ignored(&status, SignalKind::hangup())
        };
        assert!(is("0000000000000001") && is("0000000000001001"));
        assert!(!is("0000000000001000") && !is("") && !is_ignored("", SignalKind::hangup()));
    }
}
