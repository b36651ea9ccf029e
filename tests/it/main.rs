//! The real server, talked to over real connections.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]
#![expect(unreachable_pub, reason = "nothing outside of the tests uses them")]

mod access;
mod churn;
mod clock;
mod cluster;
mod commands;
mod compression;
mod crash;
mod damage;
mod disk;
mod door;
mod durability;
mod events;
mod faulty;
mod files;
mod floods;
mod floors;
mod future;
mod glb;
mod guards;
mod harness;
mod history;
mod ingest;
mod io_errors;
mod ledger;
mod live;
mod manners;
mod many;
mod memory;
mod metrics;
mod models;
mod nginx;
mod outage;
mod pace;
mod place;
mod query;
mod registry;
mod resume;
mod retention;
mod settings;
mod shutdown;
mod slow_readers;
mod states;
mod talk;
mod transfer;
mod webhooks;
