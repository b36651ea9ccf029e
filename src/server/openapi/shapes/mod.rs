//! Shapes of bodies.

pub(super) mod access;
pub(super) mod devices;
pub(super) mod models;
pub(super) mod operation;
pub(super) mod readings;
pub(super) mod webhooks;

use utoipa::ToSchema;

/// An error, after RFC 9457.
#[derive(ToSchema)]
pub(super) struct Problem {
    r#type: String,
    title: String,
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What went wrong, for people.
    detail: String,
    /// Stable name of the problem.
    code: String,
    request_id: String,
    /// What is wrong with which field: the first faults.
    #[schema(max_items = 20)]
    errors: Option<Vec<FieldError>>,
}

/// What is wrong with one field.
#[derive(ToSchema)]
pub(super) struct FieldError {
    /// JSON pointer (RFC 6901).
    pointer: String,
    /// Stable name of the fault.
    code: String,
    /// What is expected, for people.
    detail: String,
}
