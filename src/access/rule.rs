//! What each call needs: the whole of it in one table.

use super::caller::{Caller, Who};
use super::role::Role;
use actix_web::http::Method;

/// What a call needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing at all.
    Nothing,
    /// Its body carries the credential.
    Itself,
    /// Credentials of whatever kind.
    Somebody,
    /// A role, or one above it.
    Role(Role),
    /// A device, or somebody who may write readings.
    Writing,
}

impl Need {
    /// Whether this caller may make such a call; otherwise the role that it would take.
    pub(crate) fn check(self, caller: &Caller) -> Result<(), Role> {
        let role = match self {
            Self::Nothing | Self::Itself | Self::Somebody => return Ok(()),
            Self::Writing if matches!(caller.who(), Who::Device { .. }) => return Ok(()),
            Self::Writing => Role::Operator,
            Self::Role(role) => role,
        };
        if caller.is_at_least(role) {
            Ok(())
        } else {
            Err(role)
        }
    }
}

/// A call and what it needs.
#[derive(Debug, Clone)]
pub struct Rule {
    pub method: Method,
    /// As it is registered.
    pub path: &'static str,
    pub need: Need,
}

const fn rule(method: Method, path: &'static str, need: Need) -> Rule {
    Rule { method, path, need }
}

const VIEWER: Need = Need::Role(Role::Viewer);
const OPERATOR: Need = Need::Role(Role::Operator);
const ADMIN: Need = Need::Role(Role::Admin);

/// Every call. One that is not here is refused, whoever asks.
pub const RULES: &[Rule] = &[
    rule(Method::POST, "/api/ingest", Need::Writing),
    rule(Method::GET, "/api/iaq/data", VIEWER),
    rule(Method::GET, "/api/latest", VIEWER),
    rule(Method::GET, "/api/sensors", VIEWER),
    rule(Method::GET, "/api/sensors/{id}", VIEWER),
    rule(Method::GET, "/api/rooms", VIEWER),
    rule(Method::GET, "/api/events", VIEWER),
    rule(Method::GET, "/ws", VIEWER),
    rule(Method::GET, "/ws/stats", VIEWER),
    rule(Method::GET, "/metrics", VIEWER),
    rule(Method::GET, "/api/health", VIEWER),
    rule(Method::HEAD, "/api/health", VIEWER),
    rule(Method::GET, "/health", VIEWER),
    rule(Method::HEAD, "/health", VIEWER),
    rule(Method::GET, "/health/ready", VIEWER),
    rule(Method::HEAD, "/health/ready", VIEWER),
    rule(Method::GET, "/health/live", Need::Nothing),
    rule(Method::HEAD, "/health/live", Need::Nothing),
    rule(Method::GET, "/api/openapi.json", VIEWER),
    rule(Method::POST, "/api/auth/login", Need::Itself),
    rule(Method::POST, "/api/auth/refresh", Need::Itself),
    rule(Method::POST, "/api/auth/logout", Need::Itself),
    rule(Method::GET, "/api/auth/me", Need::Somebody),
    rule(Method::PUT, "/api/auth/password", VIEWER),
    rule(Method::GET, "/api/users", ADMIN),
    rule(Method::POST, "/api/users", ADMIN),
    rule(Method::PATCH, "/api/users/{name}", ADMIN),
    rule(Method::DELETE, "/api/users/{name}", ADMIN),
    rule(Method::GET, "/api/device-keys", OPERATOR),
    rule(Method::POST, "/api/device-keys", OPERATOR),
    rule(Method::DELETE, "/api/device-keys/{id}", OPERATOR),
    rule(Method::GET, "/api/claims", OPERATOR),
    rule(Method::POST, "/api/claims", OPERATOR),
    rule(Method::POST, "/api/claims/redeem", Need::Itself),
    rule(Method::DELETE, "/api/claims/{id}", OPERATOR),
    rule(Method::GET, "/api/models", VIEWER),
    rule(Method::PUT, "/api/models", OPERATOR),
    rule(Method::GET, "/api/models/{id}", VIEWER),
    rule(Method::DELETE, "/api/models/{id}", OPERATOR),
    rule(Method::GET, "/api/webhooks", ADMIN),
    rule(Method::POST, "/api/webhooks", ADMIN),
    rule(Method::DELETE, "/api/webhooks/{id}", ADMIN),
    rule(Method::POST, "/api/webhooks/{id}/test", ADMIN),
];

/// What a call needs; `None` for one that nobody may make.
pub fn need(method: &Method, path: &str) -> Option<Need> {
    let mut rules = RULES.iter();
    let rule = rules.find(|rule| rule.path == path && rule.method == *method);
    rule.map(|rule| rule.need)
}

/// The methods there are for a path.
pub fn methods(path: &str) -> Vec<&'static str> {
    let rules = RULES.iter().filter(|rule| rule.path == path);
    rules.map(|rule| rule.method.as_str()).collect()
}
