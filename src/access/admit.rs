//! Who comes in, whatever the transport: one question, which every door asks.
//!
//! A door takes the credential out of what its transport has for it (a header, a query, a message, a
//! password of a broker), and turns a [`Denied`] into what its transport can say.

use super::caller::Caller;
use super::gate::{Access, Refusal};
use super::rate::{Counted, Limited};
use super::role::Role;
use super::rule::Need;
use std::net::IpAddr;

/// Somebody at a door.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    pub credential: Option<&'a str>,
    pub address: Option<IpAddr>,
    /// What it takes to do what is wanted; `None` where nobody asks for more than credentials.
    pub need: Option<Need>,
    pub cost: Cost,
}

/// What an attempt counts in the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// A request.
    Request,
    /// Nothing, unless it is refused: the beginning of something that has limits of its own.
    Beginning,
}

/// Somebody who came in.
#[derive(Debug)]
pub struct Admitted {
    pub caller: Caller,
    /// As whom it is counted.
    pub counted: Option<Counted>,
}

/// Why somebody does not come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    Refused(Refusal),
    Limited(Limited),
    /// It takes this role.
    Role(Role),
}

impl Access {
    /// Lets somebody in, or says why not. Credentials that are refused are counted for their address:
    /// whoever tries some out is slowed down like everybody else.
    pub fn admit(&self, attempt: &Attempt<'_>) -> Result<Admitted, Denied> {
        let refused = |denied| {
            let limited = self.count_refused(attempt.address).err();
            limited.map_or(denied, Denied::Limited)
        };
        let caller = self.caller(attempt.credential);
        let caller = caller.map_err(|refusal| refused(Denied::Refused(refusal)))?;
        let counted = self.counted(&caller, attempt.address);
        if attempt.cost == Cost::Request
            && let Some(counted) = counted
        {
            let limits = self.limits();
            let limit = match attempt.need {
                Some(Need::Writing) => &limits.ingest,
                _ => &limits.api,
            };
            limit.check(counted).map_err(Denied::Limited)?;
        }
        match attempt.need.map_or(Ok(()), |need| need.check(&caller)) {
            Ok(()) => Ok(Admitted { caller, counted }),
            Err(role) if attempt.cost == Cost::Request => Err(Denied::Role(role)),
            Err(role) => Err(refused(Denied::Role(role))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::test_support::limited_access;
    use crate::access::{AuthMode, RateLimits, Verified};
    use crate::clock::{Clock, SystemClock};
    use crate::domain::Sites;
    use std::net::Ipv4Addr;
    use std::sync::Arc;
    use std::time::Duration;

    /// A door that lets two requests a second in for each address and account.
    async fn door() -> Access {
        let limits = RateLimits::new(1, 1, 0);
        limited_access(AuthMode::Required, Arc::new(SystemClock), limits).await
    }

    fn token(access: &Access, role: Role) -> String {
        let token = Verified {
            subject: "ada".to_owned(),
            session: None,
            role: Some(role),
            sites: Sites::ALL,
            expires_at: SystemClock.now().plus(Duration::from_mins(1)),
        };
        access.issue(&token).unwrap()
    }

    fn attempt(credential: &str, need: Need, cost: Cost) -> Attempt<'_> {
        Attempt {
            credential: Some(credential),
            address: Some(Ipv4Addr::LOCALHOST.into()),
            need: Some(need),
            cost,
        }
    }

    #[tokio::test]
    async fn credentials_that_are_refused_are_counted_wherever_they_are_shown() {
        for cost in [Cost::Request, Cost::Beginning] {
            let access = door().await;
            let wrong = attempt("none", Need::VIEWER, cost);
            for _ in 0..2 {
                let denied = access.admit(&wrong).unwrap_err();
                assert_eq!(denied, Denied::Refused(Refusal::BadToken));
            }
            let denied = access.admit(&wrong).unwrap_err();
            assert!(matches!(denied, Denied::Limited(_)), "{denied:?}");
        }
    }

    #[tokio::test]
    async fn what_has_limits_of_its_own_costs_nothing_and_a_request_does() {
        let access = door().await;
        let token = token(&access, Role::Viewer);
        for _ in 0..10 {
            let beginning = attempt(&token, Need::VIEWER, Cost::Beginning);
            assert!(access.admit(&beginning).is_ok());
        }
        let request = attempt(&token, Need::VIEWER, Cost::Request);
        assert!(access.admit(&request).is_ok() && access.admit(&request).is_ok());
        let denied = access.admit(&request).unwrap_err();
        assert!(matches!(denied, Denied::Limited(_)), "{denied:?}");
    }

    #[tokio::test]
    async fn a_role_that_is_not_enough_is_told() {
        for cost in [Cost::Request, Cost::Beginning] {
            let access = door().await;
            let token = token(&access, Role::Viewer);
            let denied = access.admit(&attempt(&token, Need::OPERATOR, cost));
            assert_eq!(denied.unwrap_err(), Denied::Role(Role::Operator));
            let denied = access.admit(&attempt(&token, Need::Writing, cost));
            assert_eq!(denied.unwrap_err(), Denied::Role(Role::Operator));
            assert!(access.admit(&attempt(&token, Need::VIEWER, cost)).is_ok());
        }
    }
}
