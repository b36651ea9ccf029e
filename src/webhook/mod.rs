//! Stored readings → other systems, by HTTP.
//!
//! A webhook is a URL that somebody asked measurements to be posted to. Each has a task (`worker`),
//! which wakes when something was published (`news`), reads what is new from the store and hands it to
//! the `courier`. How far each has come is written now and then (`dispatch`), so that a delivery is
//! made at least once and in order, whatever stops in between.
//!
//! A URL is somebody else's wish that this server connects to an address. Which addresses it does
//! connect to is decided in [`address`] and [`target`], asked for in `names`, and nowhere else.

mod additions;
pub mod address;
mod book;
mod change;
mod connection;
mod courier;
mod dispatch;
mod entry;
mod http;
mod names;
mod news;
mod record;
mod selection;
mod signature;
pub mod target;
mod webhooks;
mod worker;

pub use courier::Failure;
pub use dispatch::dispatch;
pub(crate) use http::calls;
pub use news::{Announced, News};
pub use webhooks::{Lag, WebhookParts, Webhooks};
