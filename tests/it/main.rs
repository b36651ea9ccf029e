//! The real server, talked to over real connections.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]
#![expect(unreachable_pub, reason = "nothing outside of the tests uses them")]

mod churn;
mod commands;
mod compression;
mod durability;
mod events;
mod guards;
mod harness;
mod ingest;
mod live;
mod nginx;
mod pace;
mod query;
mod resume;
mod settings;
mod shutdown;
mod talk;
