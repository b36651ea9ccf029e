//! The real server, talked to over real connections.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod harness;
mod ingest;
mod live;
