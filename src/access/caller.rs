//! Who is asking, once that is known.

use super::device_key::DeviceKey;
use super::role::Role;
use crate::domain::Sites;
use crate::domain::Timestamp;
use crate::http::Problem;
use crate::store::Covers;
use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use std::future::{Ready, ready};
use std::sync::Arc;

/// Somebody who may do something. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Caller(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    who: Who,
    sites: Sites,
    expires_at: Option<Timestamp>,
}

/// Whose credentials they were.
#[derive(Debug, Clone)]
pub enum Who {
    /// Nobody has to log in here.
    Anyone,
    Person {
        name: String,
        role: Role,
        /// The login it came from; `None` for a token that belongs to none.
        session: Option<String>,
    },
    Device {
        id: String,
        key: Arc<DeviceKey>,
    },
}

impl Caller {
    /// Everybody, where nobody has to log in.
    pub fn anyone() -> Self {
        Self::new(Who::Anyone, Sites::ALL, None)
    }

    pub(super) fn new(who: Who, sites: Sites, expires_at: Option<Timestamp>) -> Self {
        Self(Arc::new(Inner {
            who,
            sites,
            expires_at,
        }))
    }

    pub fn who(&self) -> &Who {
        &self.0.who
    }

    /// `None` for a device, which has none.
    pub fn role(&self) -> Option<Role> {
        match &self.0.who {
            Who::Anyone => Some(Role::Operator),
            Who::Person { role, .. } => Some(*role),
            Who::Device { .. } => None,
        }
    }

    pub fn is_at_least(&self, role: Role) -> bool {
        self.role().is_some_and(|has| has >= role)
    }

    pub fn sites(&self) -> &Sites {
        &self.0.sites
    }

    /// The sensors it is restricted to, when it is a device.
    pub fn sensors(&self) -> Option<Arc<dyn Covers>> {
        match &self.0.who {
            Who::Device { key, .. } => Some(Arc::clone(key) as _),
            Who::Anyone | Who::Person { .. } => None,
        }
    }

    /// Until when the credentials count.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.0.expires_at
    }

    /// Name for logs and records.
    pub fn name(&self) -> &str {
        match &self.0.who {
            Who::Anyone => "anyone",
            Who::Person { name, .. } => name,
            Who::Device { id, .. } => id,
        }
    }

    /// Whether somebody else may do exactly the same.
    pub fn may_the_same_as(&self, other: &Self) -> bool {
        self.role() == other.role() && self.sites() == other.sites()
    }
}

/// The guard has put it there for every request that reaches a handler.
impl FromRequest for Caller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let caller = request.extensions().get::<Self>().cloned();
        ready(caller.ok_or_else(Problem::internal))
    }
}
