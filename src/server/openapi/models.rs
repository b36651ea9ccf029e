//! 3D models of rooms.

use super::shapes::Problem;
use super::shapes::models::Model;

/// The models of all rooms
#[utoipa::path(get, path = "/api/models", tag = "models",
    responses((status = 200, description = "By site and room", body = Vec<Model>)))]
pub(super) fn models() {}

/// The model of a room
///
/// A GLB (glTF 2 in its binary form) with everything in itself. It takes the place of the one the room
/// had.
#[utoipa::path(put, path = "/api/models", tag = "models",
    params(
        ("enseigne" = String, Query, description = "Site"),
        ("salle" = String, Query, description = "Room"),
    ),
    request_body(content = Vec<u8>, content_type = "model/gltf-binary"),
    responses(
        (status = 200, description = "In place of the one there was", body = Model),
        (status = 201, description = "Added", body = Model),
        (status = 409, description = "All models would be too large, or there are too many",
            body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not a model, with the place of the fault in `errors` or \
            `offset`; or a parameter is missing or wrong", body = Problem,
            content_type = "application/problem+json"),
    ))]
pub(super) fn put_model() {}

/// A model
///
/// What an id names never changes.
#[utoipa::path(get, path = "/api/models/{id}", tag = "models",
    params(
        ("id" = String, Path, description = "Id of the model"),
        ("If-None-Match" = Option<String>, Header, description = "ETag of the one one has"),
    ),
    responses(
        (status = 200, description = "The file", body = Vec<u8>,
            content_type = "model/gltf-binary"),
        (status = 304, description = "One has it"),
        (status = 404, description = "There is none", body = Problem,
            content_type = "application/problem+json"),
        (status = 500, description = "Its file is missing or damaged", body = Problem,
            content_type = "application/problem+json"),
    ))]
pub(super) fn model() {}

/// Removes a model
#[utoipa::path(delete, path = "/api/models/{id}", tag = "models",
    params(("id" = String, Path, description = "Id of the model")),
    responses(
        (status = 204, description = "Removed"),
        (status = 404, description = "There is none", body = Problem,
            content_type = "application/problem+json"),
    ))]
pub(super) fn remove_model() {}
