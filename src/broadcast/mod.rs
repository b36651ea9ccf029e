//! Stored readings → everybody who subscribed.
//!
//! Each worker thread has a [`shard`] with the clients whose connections it accepted; they never
//! move. A published message is encoded once as a complete WebSocket frame (`message`, `frame`) and
//! handed to every shard, which writes the same bytes straight to the sockets of its clients. A
//! client that does not keep up has a bounded queue of its own and holds up nobody else.
//!
//! A connection comes in as an HTTP request (`handshake`), leaves the HTTP library with its raw
//! socket and becomes a `session`.

mod client;
mod frame;
mod handshake;
mod hub;
mod message;
mod protocol;
mod session;
mod shard;

pub use frame::{Decoder, Frame, FrameError};
pub use handshake::{Upgrade, upgrade_required};
pub use hub::{Hub, HubLimits, Stats};
pub use message::measurement;
pub(crate) use message::{Number, Shown, flat_values};
