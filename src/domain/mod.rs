//! The words of the product as pure types: quantities, readings, places, scores.
//!
//! Everything here is valid by construction and does no I/O: no serde, no SQL, no HTTP, no clock.
//! Other modules turn bytes, rows and requests into these types and back.

mod level;
mod name_form;
mod place;
mod quantity;
mod reading;
mod selector;
mod sensor_id;
mod sites;
mod stream_id;
mod time_range;
mod timestamp;
mod timestamp_text;
mod topic;
mod values;
mod zone;

pub use level::Level;
pub use place::{Place, PlaceName, PlaceNameError};
pub use quantity::{KEYS_MAX, Quantity};
pub use reading::{Extras, ExtrasError, Merged, Reading};
pub use selector::{Selector, Subject};
pub use sensor_id::{SensorId, SensorIdError};
pub use sites::Sites;
pub use stream_id::{StreamId, StreamIdError};
pub use time_range::TimeRange;
pub use timestamp::Timestamp;
pub use topic::{Topic, TopicSet};
pub use values::Values;
pub use zone::Zone;
