//! Reading back: history, latest readings, sensors, rooms.

mod history;
mod latest;
mod parameters;
mod record;
mod rooms;
mod sensors;
mod slices;

pub use history::history;
pub use latest::latest;
pub use rooms::rooms;
pub use sensors::{sensor, sensors};

use crate::http::Problem;
use crate::store::StoreError;

/// The answer when the store fails; its cause goes to the log.
fn unavailable(error: &StoreError) -> Problem {
    tracing::error!(%error, "a query failed");
    Problem::unavailable("store_unavailable", "the store does not answer")
}
