//! The server: everything put together, started and stopped, and the few calls that belong to no other module: health, metrics, pages.

mod announce;
mod app;
mod health;
mod http_server;
mod metrics;
mod open;
mod openapi;
mod pages;
mod routes;
pub mod telemetry;

pub use app::Application;
pub use openapi::document;
pub use routes::calls;
