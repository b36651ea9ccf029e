//! How the machine under the server is doing.

mod announce;
mod host;

pub use announce::announce;
pub use host::{Host, Metrics};
