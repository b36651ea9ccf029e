//! Who may do what.

mod abuse;
mod baseline;
mod commands;
mod devices;
mod limits;
mod modes;
mod people;
mod provider;
mod routes;
mod sessions;
mod shares;
pub mod stage;
mod turns;
mod websocket;
