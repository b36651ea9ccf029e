//! 3D models of rooms: GLB files that operators upload and the digital twin shows.
//!
//! A file is checked while it comes in ([`glb`], `incoming`), is made durable in one folder under a
//! name of the server's making (`folder`, `id`), and counts once its record is in the database
//! (`catalogue`). Nothing of a request becomes part of a path. What a model looks like is the
//! browser's business: nothing here draws or converts.

mod book;
mod catalogue;
mod change;
mod file_body;
mod folder;
pub mod glb;
mod http;
mod id;
mod incoming;
mod model;
mod rooms;
mod space;

pub use catalogue::{ModelLimits, Models, ModelsError};
pub use folder::FolderError;
pub(crate) use http::calls;
pub use id::ModelId;
pub use model::Model;
pub use rooms::Rooms;
