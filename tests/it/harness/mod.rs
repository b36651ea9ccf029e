//! Starts the real binary and talks to it like devices and browsers do, one file for each way to talk.

mod answers;
mod events;
mod readings;
mod run;
mod server;
mod socket;
mod wire;

pub use answers::*;
pub use events::*;
pub use readings::*;
pub use run::*;
pub use server::*;
pub use socket::*;
pub use wire::*;

use std::time::Duration;

/// How long anything a test waits for may take before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);
