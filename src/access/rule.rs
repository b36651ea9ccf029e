//! What a call needs, and whether somebody has it.

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
    pub const VIEWER: Self = Self::Role(Role::Viewer);
    pub const OPERATOR: Self = Self::Role(Role::Operator);
    pub const ADMIN: Self = Self::Role(Role::Admin);

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

/// What each method of one path needs. A method that is not here is refused, whoever asks.
#[derive(Debug, Default)]
pub(crate) struct PathRules {
    pub(super) needs: Vec<(Method, Need)>,
    pub(super) takes_token_in_query: bool,
}

impl PathRules {
    pub(super) fn methods(&self) -> impl Iterator<Item = &Method> {
        self.needs.iter().map(|(method, _)| method)
    }

    pub(super) fn need(&self, method: &Method) -> Option<Need> {
        let mut needs = self.needs.iter();
        let rule = needs.find(|(known, _)| known == method);
        rule.map(|(_, need)| *need)
    }
}
