//! Accounts for tests of other modules.

use super::caller::{Caller, Who};
use super::gate::{Access, AccessParts, AuthMode, Lifetimes};
use super::rate::RateLimits;
use super::registry::Registry;
use super::role::Role;
use super::token::Tokens;
use crate::clock::Clock;
use crate::documents::test_support::MemoryDocuments;
use crate::domain::Sites;
use std::sync::Arc;
use std::time::Duration;

/// A viewer who is restricted to these sites.
pub(crate) fn viewer_of(sites: &[&str]) -> Caller {
    let who = Who::Person {
        name: "ada".to_owned(),
        role: Role::Viewer,
        session: None,
    };
    let sites = Sites::only(sites.iter().map(|site| (*site).to_owned())).unwrap();
    Caller::new(who, sites, None)
}

/// A server's access, with nothing in it.
pub(crate) async fn access(mode: AuthMode, clock: Arc<dyn Clock>) -> Access {
    limited_access(mode, clock, RateLimits::new(0, 0, 0)).await
}

/// The same, with limits.
pub(crate) async fn limited_access(
    mode: AuthMode,
    clock: Arc<dyn Clock>,
    limits: RateLimits,
) -> Access {
    Access::new(AccessParts {
        mode,
        registry: Registry::open(Arc::new(MemoryDocuments::default()))
            .await
            .unwrap(),
        tokens: Tokens::new(None, None).unwrap(),
        lifetimes: Lifetimes {
            token: Duration::from_mins(10),
            refresh: Duration::from_hours(1),
        },
        limits,
        clock,
    })
}
