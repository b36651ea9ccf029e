//! What belongs to no single stage of the road: routes, errors, headers, health, pages.

mod client_address;
mod connection;
mod context;
mod etag;
mod health;
mod host;
mod media_type;
mod openapi;
mod origin;
mod pages;
mod problem;
mod request_id;
mod routes;
mod unreadable;

pub use client_address::TrustedProxies;
pub(crate) use connection::EndlessAnswer;
pub use connection::{ConnectionGuard, GuardedStream, KEEP_ALIVE, LINGER};
pub use origin::AllowedOrigins;
pub use problem::Problem;
pub use request_id::RequestIds;
pub use routes::{Services, routes};

pub(crate) use context::request_context;
pub(crate) use etag::is_known;
pub(crate) use media_type::media_type;
