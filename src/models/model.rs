//! What is known of a model besides its file.

use super::id::ModelId;
use crate::database::{Document, RoomKey, StoreError};
use crate::documents::Record;
use crate::domain::{Place, PlaceName};
use serde::{Deserialize, Serialize, Serializer};

/// A model that a room has. As a document its id is the document's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    pub id: ModelId,
    /// What the room was called when the model was uploaded; its id is made of that.
    pub place: Place,
    /// The room; `None` while no reading has named it.
    pub room: Option<RoomKey>,
    /// Size of the file.
    pub bytes: u64,
    pub created_ms: i64,
    /// Name of whoever uploaded it.
    pub created_by: String,
}

#[derive(Serialize, Deserialize)]
struct Body {
    enseigne: String,
    salle: String,
    #[serde(default)]
    room_key: Option<i64>,
    bytes: u64,
    created_ms: i64,
    created_by: String,
}

impl Serialize for Model {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let body = Body {
            enseigne: self.place.site.as_str().to_owned(),
            salle: self.place.room.as_str().to_owned(),
            room_key: self.room.map(|room| room.0),
            bytes: self.bytes,
            created_ms: self.created_ms,
            created_by: self.created_by.clone(),
        };
        body.serialize(serializer)
    }
}

impl Record for Model {
    const KIND: &'static str = "model";
    const SUBJECT: &'static str = "models";

    fn of(document: &Document) -> Result<Self, StoreError> {
        let body: Body = document.record()?;
        Ok(Self {
            id: ModelId::parse(&document.id).ok_or_else(|| document.corrupt("not an id"))?,
            place: Place {
                site: PlaceName::nearest(&body.enseigne),
                room: PlaceName::nearest(&body.salle),
            },
            room: body.room_key.map(RoomKey),
            bytes: body.bytes,
            created_ms: body.created_ms,
            created_by: body.created_by,
        })
    }
}
