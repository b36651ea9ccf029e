//! 3D models of rooms.

use utoipa::ToSchema;

/// A 3D model of a room.
#[derive(ToSchema)]
pub(in crate::server::openapi) struct Model {
    #[schema(pattern = "^[0-9a-f]{32}$")]
    id: String,
    /// Site.
    enseigne: String,
    /// Room.
    salle: String,
    /// Size of the file.
    bytes: u64,
    /// Path of the file.
    url: String,
    #[schema(format = DateTime)]
    created_at: String,
    /// Name of whoever uploaded it.
    created_by: String,
}
