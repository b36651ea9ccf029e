//! The calls about who may do what.

mod claims;
mod cookie;
mod device_keys;
mod sessions;
mod users;

pub use claims::{claim, claims, drop_claim, redeem};
pub use device_keys::{add_device_key, device_keys, revoke_device_key};
pub use sessions::{change_password, log_in, log_out, me, refresh};
pub use users::{add_user, change_user, remove_user, users};

use super::device_key::label_fault;
use super::registry::ChangeError;
use super::role::Role;
use crate::http::{Fields, Problem};

/// What a change that was not made means to whoever asked for it.
fn not_changed(error: ChangeError<Problem>) -> Problem {
    match error {
        ChangeError::Refused(problem) => problem,
        ChangeError::Store(error) => Problem::store_unavailable(&error),
    }
}

/// A role that must be given.
fn role(fields: &mut Fields, name: &str) -> Role {
    let Some(text) = fields.text(name) else {
        return Role::Viewer;
    };
    Role::from_name(&text).unwrap_or_else(|| {
        fields.fault(name, "unknown_role", "must be viewer, operator or admin");
        Role::Viewer
    })
}

/// A name for people, which may be left out.
fn label(fields: &mut Fields, name: &str) -> Option<String> {
    let label = fields
        .optional_text(name)
        .filter(|label| !label.is_empty())?;
    if let Some(fault) = label_fault(&label) {
        fields.fault(name, "bad_name", fault);
    }
    Some(label)
}

/// A time as it is sent.
fn shown(millis: i64) -> String {
    crate::domain::Timestamp::from_millis(millis).to_string()
}
