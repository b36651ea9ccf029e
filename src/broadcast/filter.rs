//! Which messages of a topic a subscription is about.

use crate::domain::PlaceName;
use serde::Deserialize;

/// What a message must be about; an absent field matches everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    pub(super) enseigne: Option<Box<str>>,
    pub(super) salle: Option<Box<str>>,
    pub(super) sensor_id: Option<Box<str>>,
}

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Subject<'a> {
    pub(super) site: Option<&'a str>,
    pub(super) room: Option<&'a str>,
    pub(super) sensor: Option<&'a str>,
}

/// Why a name in a filter is refused.
pub(super) const NAME_TOO_LONG: &str = "a filter holds names of up to 128 characters";

/// Whether anything could have this name.
pub(super) fn could_be_a_name(text: &str) -> bool {
    text.chars().count() <= PlaceName::CHARACTERS_MAX
}

impl Filter {
    /// Whether it could match anything: no name is longer than this.
    pub(super) fn makes_sense(&self) -> bool {
        [&self.enseigne, &self.salle, &self.sensor_id]
            .into_iter()
            .flatten()
            .all(|text| could_be_a_name(text))
    }

    pub(super) fn is_open(&self) -> bool {
        *self == Self::default()
    }

    /// Whether any of them matches.
    pub(super) fn any_matches(filters: &[Self], subject: Subject<'_>) -> bool {
        filters.iter().any(|filter| filter.matches(subject))
    }

    pub(super) fn matches(&self, subject: Subject<'_>) -> bool {
        let same = |wanted: &Option<Box<str>>, is: Option<&str>| {
            wanted.is_none() || wanted.as_deref() == is
        };
        same(&self.enseigne, subject.site)
            && same(&self.salle, subject.room)
            && same(&self.sensor_id, subject.sensor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_matches_by_every_field_it_has() {
        let filter = Filter {
            enseigne: Some("Maison".into()),
            sensor_id: Some("s".into()),
            ..Filter::default()
        };
        let subject = |site, sensor| Subject {
            site: Some(site),
            room: Some("any"),
            sensor: Some(sensor),
        };
        assert!(filter.matches(subject("Maison", "s")));
        assert!(!filter.matches(subject("Maison", "t")));
        assert!(!filter.matches(subject("Bureau", "s")));
        assert!(!filter.matches(Subject::default()));
        assert!(Filter::default().matches(Subject::default()));
        assert!(Filter::default().is_open() && !filter.is_open());
    }
}
