//! The filter of a subscription, as clients send it.

use crate::domain::{PlaceName, Selector};
use serde::Deserialize;

/// What messages must be about; an absent field matches everything.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    enseigne: Option<Box<str>>,
    salle: Option<Box<str>>,
    sensor_id: Option<Box<str>>,
}

/// Why a name in a filter is refused.
pub(super) const NAME_TOO_LONG: &str = "a filter holds names of up to 128 characters";

/// Whether anything could have this name.
pub(super) fn could_be_a_name(text: &str) -> bool {
    let form = PlaceName::nearest(text);
    form.as_str().chars().count() <= PlaceName::CHARACTERS_MAX
}

impl Filter {
    /// Whether it could match anything: no name is longer than this.
    pub(super) fn makes_sense(&self) -> bool {
        [&self.enseigne, &self.salle, &self.sensor_id]
            .into_iter()
            .flatten()
            .all(|text| could_be_a_name(text))
    }
}

impl From<Filter> for Selector {
    fn from(filter: Filter) -> Self {
        let Filter {
            enseigne,
            salle,
            sensor_id,
        } = filter;
        Self::of_names(enseigne.as_deref(), salle.as_deref(), sensor_id.as_deref())
    }
}
