//! The server: everything put together, started and stopped, and what is of no single part of it.

mod announce;
mod app;
mod health;
mod metrics;
mod openapi;
mod pages;
mod routes;
pub mod telemetry;

pub use app::Application;
