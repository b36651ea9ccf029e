//! What every call over HTTP needs, whatever it is about: errors, the context of a request, its
//! connection, origin, host and address, bodies and parameters. It knows no call: those stand with what
//! they are about, and `server` puts them together.

mod answer;
mod body;
mod client_address;
mod compression;
mod connection;
mod context;
mod cors;
mod etag;
mod fields;
mod host;
mod measures;
mod media_type;
mod origin;
mod parameters;
mod problem;
mod request_id;
mod rule;
mod security_headers;
mod unreadable;

pub use body::{Body, BodyMemory, BodyReader};
pub use client_address::TrustedProxies;
pub use connection::{ConnectionGuard, GuardedStream, IdleConnections, LINGER, Patience};
pub use measures::{RouteMeasure, RouteMeasures};
pub use origin::AllowedOrigins;
pub use problem::Problem;
pub use request_id::RequestIds;

pub(crate) use connection::EndlessAnswer;
pub(crate) use context::request_context;
pub(crate) use cors::{is_preflight, preflight};
pub(crate) use etag::is_known;
pub(crate) use fields::Fields;
pub(crate) use host::is_local_name;
pub(crate) use measures::{PAGES_ROUTE, UNKNOWN_ROUTE};
pub(crate) use media_type::media_type;
pub(crate) use origin::is_origin;
pub(crate) use parameters::Parameters;
pub(crate) use problem::ProblemBody;
pub(crate) use rule::rule;
