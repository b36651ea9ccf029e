//! Stored readings → everybody who subscribed.
//!
//! A connection comes in as an HTTP request (`handshake`), leaves the HTTP library with its raw
//! socket and becomes a `session` of a [`shard`], a thread with the clients it serves; they never
//! move. A published message (`outgoing`) is encoded once for each form there is (`encoding`,
//! `frame`) and handed to every shard, which finds the clients that want it (`index`) and writes the
//! same bytes straight to their sockets (`client`).
//!
//! A client that does not keep up has a bounded queue of its own (`outbox`) and holds up nobody else.
//! One that comes back gets what it missed (`subscribe`) from a log of the last messages (`log`) or
//! from the store. Networks that let no WebSocket through get the same stream as server-sent events
//! (`events`).
//!
//! From the ground up: `state` is what all shards share, a `shard` serves clients, `subscribe` begins
//! their subscriptions, and the `hub` stands above the shards. `session` and `events` are the two kinds
//! of [`shard::Guest`]; `handshake` and `events` are where they come in. No file names one above it.

mod admission;
mod calls;
mod client;
mod encoding;
mod events;
mod filter;
mod frame;
mod handshake;
mod hang_up;
mod hub;
mod index;
mod interest;
mod log;
mod message;
mod outbox;
mod outgoing;
mod pace;
mod pass;
mod protocol;
mod rate;
mod renaming;
mod scope;
mod session;
mod shard;
mod sink;
mod snapshot;
mod state;
mod stats;
mod subscribe;

pub(crate) use calls::calls;
pub use frame::{Decoder, Frame, FrameError, Inflater};
pub use handshake::Upgrade;
pub use hub::{Hub, HubThreads};
pub use log::LogLimits;
pub use state::{HubLimits, HubParts};
pub use stats::{Stats, Transport};
