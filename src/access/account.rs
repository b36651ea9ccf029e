//! People who log in.

use super::role::Role;
use crate::database::{Document, StoreError};
use crate::documents::Record;
use crate::domain::Sites;
use serde::{Deserialize, Serialize};

/// Longest name, in characters.
const NAME_LENGTH_MAX: usize = 64;

/// Somebody with a password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub name: String,
    /// In the form of the Password Hashing Competition.
    pub password_hash: String,
    pub role: Role,
    #[serde(default, with = "super::sites_json")]
    pub sites: Sites,
    pub created_ms: i64,
    pub last_login_ms: Option<i64>,
}

impl Record for Account {
    const KIND: &'static str = "account";
    const SUBJECT: &'static str = "accounts";

    fn of(document: &Document) -> Result<Self, StoreError> {
        document.record()
    }
}

impl std::fmt::Debug for Account {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Account")
            .field("name", &self.name)
            .field("role", &self.role)
            .field("sites", &self.sites)
            .finish_non_exhaustive()
    }
}

/// What is wrong with a name of an account.
pub(crate) fn name_fault(text: &str) -> Option<&'static str> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@+".contains(&byte);
    let is_name = !text.is_empty() && text.len() <= NAME_LENGTH_MAX && text.bytes().all(allowed);
    (!is_name).then_some("must be 1 to 64 of A-Z a-z 0-9 . _ - @ +")
}

/// What is wrong with a role and sites that are given together.
pub(crate) fn role_fault(role: Role, sites: &Sites) -> Option<&'static str> {
    // An admin decides about all accounts, so a restriction to sites could be lifted at any time.
    let restricted_admin = role == Role::Admin && !sites.are_all();
    restricted_admin.then_some("an admin cannot be restricted to sites")
}
