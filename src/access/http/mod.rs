//! The calls about who may do what.

mod claims;
mod cookie;
mod device_keys;
mod fields;
mod sessions;
mod users;

pub use claims::{claim, claims, drop_claim, redeem};
pub use device_keys::{add_device_key, device_keys, revoke_device_key};
pub use sessions::{change_password, log_in, log_out, me, refresh};
pub use users::{add_user, change_user, remove_user, users};

pub(crate) use fields::Fields;

use super::registry::ChangeError;
use crate::http::Problem;

/// What a change that was not made means to whoever asked for it.
fn not_changed(error: ChangeError<Problem>) -> Problem {
    match error {
        ChangeError::Refused(problem) => problem,
        ChangeError::Store(error) => Problem::store_unavailable(&error),
    }
}

/// A time as it is sent.
fn shown(millis: i64) -> String {
    crate::domain::Timestamp::from_millis(millis).to_string()
}
