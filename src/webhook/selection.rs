//! Which measurements a webhook is about, as it is kept and shown.

use crate::domain::Selector;
use serde::{Deserialize, Serialize};

/// What a measurement must be of, by names as they were given; an absent field matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Selection {
    pub enseigne: Option<Box<str>>,
    pub salle: Option<Box<str>>,
    pub sensor_id: Option<Box<str>>,
}

impl Selection {
    pub(super) fn selector(&self) -> Selector {
        Selector::of_names(
            self.enseigne.as_deref(),
            self.salle.as_deref(),
            self.sensor_id.as_deref(),
        )
    }
}
