//! IAQverse: an indoor-air-quality server.
//!
//! A reading travels one road: bytes come in by a door (`ingest`), are read in a format (`payload`),
//! checked (`validate`), judged (`score`), made durable (`store`) and shown to everybody (`broadcast`,
//! `webhook`). [`pipeline`] is that road in one function.
//!
//! The modules stand on floors, the lowest first; each names only what is below it. ARCHITECTURE.md is
//! the map.

pub mod domain;
pub mod fault;
pub mod host;
pub mod private_files;
pub mod shutdown;

pub mod clock;
pub mod database;
pub mod payload;
pub mod score;

pub mod documents;
pub mod simulate;
pub mod validate;

pub mod store;

pub mod http;
pub mod wire;

pub mod access;

pub mod read_budget;

pub mod broadcast;
pub mod models;
pub mod pipeline;
pub mod query;
pub mod webhook;

pub mod config;
pub mod ingest;
pub mod registry;

pub mod server;

pub mod commands;
