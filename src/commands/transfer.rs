//! Readings in bulk: out to files, in from files, and whole copies of the database.
//!
//! The commands work on the database itself, not through a running server: [`export`] and [`backup`]
//! beside one, [`import`] only while none runs, because one process alone writes a database. [`future`]
//! lists beside one and changes while none runs.

pub(super) mod backup;
mod csv_records;
pub(super) mod export;
pub(super) mod future;
pub(super) mod import;
mod record;
