//! The calls about people, sessions and devices, described.

use super::shapes::Problem;
use super::shapes::access::{
    ChangePassword, ChangeUser, Login, Me, NewUser, Refresh, Tokens, User,
};
use super::shapes::devices::{Adopted, Claim, DeviceKey, NewClaim, NewDeviceKey, Redeem};

/// A token for a name and a password
#[utoipa::path(post, path = "/api/auth/login", tag = "sessions", request_body = Login,
    responses(
        (status = 200, description = "Logged in", body = Tokens),
        (status = 422, description = "A field is missing or wrong", body = Problem,
            content_type = "application/problem+json"),
    ))]
pub(super) fn log_in() {}

/// The next token, for a refresh token that is used up
///
/// One that was used before ends its session.
#[utoipa::path(post, path = "/api/auth/refresh", tag = "sessions", request_body = Option<Refresh>,
    responses(
        (status = 200, description = "Still logged in", body = Tokens),
        (status = 422, description = "A field is wrong", body = Problem,
            content_type = "application/problem+json"),
    ))]
pub(super) fn refresh() {}

/// Ends a session and its tokens
#[utoipa::path(post, path = "/api/auth/logout", tag = "sessions", request_body = Option<Refresh>,
    responses(
        (status = 204, description = "Logged out"),
        (status = 422, description = "A field is wrong", body = Problem,
            content_type = "application/problem+json"),
    ))]
pub(super) fn log_out() {}

/// Who is asking
#[utoipa::path(get, path = "/api/auth/me", tag = "sessions",
    responses((status = 200, description = "Whose credentials they are", body = Me)))]
pub(super) fn me() {}

/// Another password for oneself
///
/// Every login of the account ends.
#[utoipa::path(put, path = "/api/auth/password", tag = "sessions", request_body = ChangePassword,
    responses(
        (status = 204, description = "Changed"),
        (status = 422, description = "A field is missing or wrong", body = Problem,
            content_type = "application/problem+json"),
    ))]
pub(super) fn change_password() {}

/// All accounts
#[utoipa::path(get, path = "/api/users", tag = "people",
    responses((status = 200, description = "By name", body = Vec<User>)))]
pub(super) fn users() {}

/// A new account
#[utoipa::path(post, path = "/api/users", tag = "people", request_body = NewUser,
    responses(
        (status = 201, description = "Added", body = User),
        (status = 409, description = "There is one of this name, or too many", body = Problem,
            content_type = "application/problem+json"),
        (status = 422, description = "A field is missing or wrong", body = Problem,
            content_type = "application/problem+json"),
    ))]
pub(super) fn add_user() {}

/// Another role, other sites or another password
///
/// Logins of the account end.
#[utoipa::path(patch, path = "/api/users/{name}", tag = "people", request_body = ChangeUser,
    params(("name" = String, Path, description = "Name of the account")),
    responses(
        (status = 200, description = "Changed", body = User),
        (status = 404, description = "There is none", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "It is the last admin", body = Problem,
            content_type = "application/problem+json"),
        (status = 422, description = "A field is wrong", body = Problem,
            content_type = "application/problem+json"),
    ))]
pub(super) fn change_user() {}

/// Removes an account
#[utoipa::path(delete, path = "/api/users/{name}", tag = "people",
    params(("name" = String, Path, description = "Name of the account")),
    responses(
        (status = 204, description = "Removed"),
        (status = 404, description = "There is none", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "It is the last admin", body = Problem,
            content_type = "application/problem+json"),
    ))]
pub(super) fn remove_user() {}

/// All keys of devices
#[utoipa::path(get, path = "/api/device-keys", tag = "devices",
    responses((status = 200, description = "The newest first", body = Vec<DeviceKey>)))]
pub(super) fn device_keys() {}

/// A new key
///
/// Its text is in this answer and nowhere else.
#[utoipa::path(post, path = "/api/device-keys", tag = "devices", request_body = NewDeviceKey,
    responses(
        (status = 201, description = "Made", body = DeviceKey),
        (status = 409, description = "There are too many", body = Problem,
            content_type = "application/problem+json"),
        (status = 422, description = "A field is missing or wrong", body = Problem,
            content_type = "application/problem+json"),
    ))]
pub(super) fn add_device_key() {}

/// Makes a key worth nothing
#[utoipa::path(delete, path = "/api/device-keys/{id}", tag = "devices",
    params(("id" = String, Path, description = "Id of the key")),
    responses(
        (status = 204, description = "Revoked"),
        (status = 404, description = "There is none", body = Problem,
            content_type = "application/problem+json"),
    ))]
pub(super) fn revoke_device_key() {}

/// Sensors that are awaited
#[utoipa::path(get, path = "/api/claims", tag = "devices",
    responses((status = 200, description = "The newest first", body = Vec<Claim>)))]
pub(super) fn claims() {}

/// A code for a sensor that will stand in a room
#[utoipa::path(post, path = "/api/claims", tag = "devices", request_body = NewClaim,
    responses(
        (status = 201, description = "Made", body = Claim),
        (status = 409, description = "Too many are awaited", body = Problem,
            content_type = "application/problem+json"),
        (status = 422, description = "A field is missing or wrong", body = Problem,
            content_type = "application/problem+json"),
    ))]
pub(super) fn claim() {}

/// Takes a code back
#[utoipa::path(delete, path = "/api/claims/{id}", tag = "devices",
    params(("id" = String, Path, description = "Id of the claim")),
    responses(
        (status = 204, description = "Taken back"),
        (status = 404, description = "There is none", body = Problem,
            content_type = "application/problem+json"),
    ))]
pub(super) fn drop_claim() {}

/// A key for a code, for the sensor that has it
#[utoipa::path(post, path = "/api/claims/redeem", tag = "devices", request_body = Redeem,
    responses(
        (status = 200, description = "Adopted", body = Adopted),
        (status = 409, description = "The sensor, or the code, is another's", body = Problem,
            content_type = "application/problem+json"),
        (status = 422, description = "A field is missing or wrong", body = Problem,
            content_type = "application/problem+json"),
    ))]
pub(super) fn redeem() {}
