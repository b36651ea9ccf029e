//! Who may do what.
//!
//! Credentials become a [`Caller`] at one place ([`gate`]), which every way in asks: the middleware of
//! all calls (`guard`, by what each [`Call`] declares to need), the WebSocket and its commands. What somebody may see
//! or write then follows from their role and sites. Accounts, sessions, keys and claims are documents in
//! the database and all in memory (`book`, `registry`).

pub(crate) mod account;
pub(crate) mod accounts;
mod admit;
pub(crate) mod book;
mod call;
mod caller;
mod claim;
mod claims;
pub(crate) mod device_key;
pub(crate) mod device_keys;
pub(crate) mod gate;
mod guard;
pub(crate) mod http;
mod keeper;
mod outside;
pub(crate) mod password;
mod pattern;
mod published_keys;
mod rate;
pub(crate) mod registry;
mod role;
mod rule;
pub(crate) mod secret;
mod session;
mod sessions;
mod sites_json;
mod token;
mod writing;

#[cfg(test)]
pub(crate) mod test_support;

pub use account::Account;
pub use admit::{Admitted, Attempt, Cost, Denied};
pub use call::{Call, Schemas};
pub use caller::{Caller, Who};
pub use gate::{Access, AccessParts, AuthMode, Lifetimes, Refusal, credential, token_in_query};
pub use keeper::keep;
pub use outside::{OutsideIssuer, OutsideKeys};
pub use pattern::SensorPattern;
pub use published_keys::{PublishedKeys, follow_keys};
pub use rate::{Counted, Limited, RateLimits, customer};
pub use registry::Registry;
pub use role::Role;
pub use rule::Need;
pub use token::{SECRET_BYTES_MIN, Tokens, Verified};
pub use writing::may_write;

pub(crate) use call::{call, method_not_allowed, resources};
pub(crate) use guard::guard;
pub use guard::{CountedAs, Door};
pub(crate) use http::calls;
pub(crate) use rule::PathRules;
pub(crate) use secret::{hex, random_id, random_secret};
