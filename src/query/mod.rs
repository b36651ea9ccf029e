//! Reading back: history, latest readings, sensors, rooms.

mod accept;
mod body;
mod columns;
mod export;
mod history;
mod latest;
mod leased_body;
mod lttb;
mod own_counts;
mod parameters;
mod record;
mod rooms;
mod rows;
mod sampling;
mod scope;
mod sensors;
mod shapes;
mod slices;
mod step;
mod write;

pub use body::BodyError;
pub use export::{Export, buckets_of_step};
pub(crate) use sensors::{ShownSensor, shown_sensor};
pub use write::{Dialect, DialectError, Format, Line, Names, RowWriter};
pub(crate) use write::{guarded, unguarded};

use crate::access::Call;
use crate::clock::Clock;
use crate::domain::Zone;
use crate::read_budget::ReadBudget;
use crate::score::Profile;
use crate::store::Store;
use std::sync::Arc;

/// What the calls of this folder read, and how they show it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Source {
    pub store: Store,
    pub budget: ReadBudget,
    pub clock: Arc<dyn Clock>,
    /// The score that is shown to whoever asks for none.
    pub profile: Profile,
    /// Whose days are meant by whoever names no zone.
    pub zone: Zone,
}

pub(crate) fn calls() -> Vec<Call> {
    [
        history::calls(),
        latest::calls(),
        sensors::calls(),
        rooms::calls(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
