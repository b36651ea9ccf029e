//! How the machine under the server is doing.

mod host;

pub use host::{Host, Metrics};
