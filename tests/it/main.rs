//! The real server, talked to over real connections.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]
#![expect(unreachable_pub, reason = "nothing outside of the tests uses them")]

mod commands;
mod durability;
mod guards;
mod harness;
mod ingest;
mod live;
mod nginx;
mod query;
mod settings;
mod shutdown;
