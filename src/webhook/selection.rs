//! Which measurements a webhook is about.

use crate::store::Stored;
use serde::{Deserialize, Serialize};

/// What a measurement must be of; an absent field matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Selection {
    pub enseigne: Option<String>,
    pub salle: Option<String>,
    pub sensor_id: Option<String>,
}

impl Selection {
    pub(super) fn has(&self, stored: &Stored) -> bool {
        let same = |wanted: &Option<String>, is: &str| wanted.as_ref().is_none_or(|it| it == is);
        same(&self.enseigne, stored.place.site.as_str())
            && same(&self.salle, stored.place.room.as_str())
            && same(&self.sensor_id, stored.scored.reading.sensor.as_str())
    }
}
