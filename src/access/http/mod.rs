//! The calls about who may do what.

mod claims;
mod cookie;
mod device_keys;
mod sessions;
mod users;

use super::call::Call;
use super::device_key::label_fault;
use super::registry::ChangeError;
use super::role::Role;
use crate::http::{Fields, Problem, rule};
use validator::ValidationError;

pub(crate) fn calls() -> Vec<Call> {
    [
        sessions::calls(),
        users::calls(),
        device_keys::calls(),
        claims::calls(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What a change that was not made means to whoever asked for it.
fn not_changed(error: ChangeError<Problem>) -> Problem {
    match error {
        ChangeError::Refused(problem) => problem,
        ChangeError::Store(error) => Problem::store_unavailable(&error),
    }
}

/// A role that must be given.
fn role(fields: &mut Fields, name: &str) -> Role {
    let parse = |text: &str| Role::from_name(text).ok_or("must be viewer, operator or admin");
    let role = fields.required(name, "unknown_role", parse);
    role.unwrap_or(Role::Viewer)
}

/// A name for people, which may be left out.
fn label(fields: &mut Fields, name: &str) -> Option<String> {
    let label = fields.optional_text(name);
    label.filter(|label| !label.is_empty())
}

fn label_rule(label: &str) -> Result<(), ValidationError> {
    rule("bad_name", label_fault(label))
}
