//! IAQverse: an indoor-air-quality server.
//!
//! A reading travels one road, and the modules below are in its order: bytes come in (`ingest`), are
//! checked (`validate`), judged (`score`), made durable (`store`) and shown to everybody
//! (`broadcast`, `webhook`). [`pipeline`] is that road in one function; ARCHITECTURE.md is the map.

pub mod database;
pub mod domain;
pub mod fault;
pub mod payload;
pub mod pipeline;

pub mod ingest;
pub mod validate;

pub mod score;

pub mod store;

pub mod access;

pub mod broadcast;

pub mod webhook;

pub mod query;
pub mod wire;

pub mod models;

pub mod host;
pub mod http;
pub mod server;

pub mod clock;
pub mod config;
pub mod read_budget;
pub mod shutdown;

pub mod commands;
pub mod simulate;
