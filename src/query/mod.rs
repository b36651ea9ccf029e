//! Reading back: history, latest readings, sensors, rooms.

mod accept;
mod body;
mod export;
mod history;
mod latest;
mod leased_body;
mod lttb;
mod parameters;
mod record;
mod rooms;
mod rows;
mod sampling;
mod scope;
mod sensors;
mod slices;
mod step;
mod write;

pub use body::BodyError;
pub use export::Export;
pub use history::history;
pub use latest::latest;
pub(crate) use parameters::Parameters;
pub use rooms::rooms;
pub use scope::Filter;
pub use sensors::{sensor, sensors};
pub(crate) use write::GUARDED_BEGINS;
pub use write::{Format, Line, Names, RowWriter};
