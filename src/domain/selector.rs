//! Which of many things are meant, by site, room and sensor.

use super::{Place, PlaceName, SensorId};

/// What something must be about; an absent field matches everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Selector {
    pub site: Option<Box<str>>,
    pub room: Option<Box<str>>,
    pub sensor: Option<Box<str>>,
}

/// What a reading or a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Subject<'a> {
    pub site: Option<&'a str>,
    pub room: Option<&'a str>,
    pub sensor: Option<&'a str>,
}

impl<'a> Subject<'a> {
    /// Something of a sensor at a place.
    pub fn of(place: &'a Place, sensor: &'a SensorId) -> Self {
        Self {
            sensor: Some(sensor.as_str()),
            ..Self::at(place)
        }
    }

    /// Something of a place.
    pub fn at(place: &'a Place) -> Self {
        Self {
            site: Some(place.site.as_str()),
            room: Some(place.room.as_str()),
            sensor: None,
        }
    }
}

impl Selector {
    /// Matches everything.
    pub const OPEN: Self = Self {
        site: None,
        room: None,
        sensor: None,
    };

    /// What somebody asks for, by names as they write them. A name that nothing can have matches nothing.
    pub fn of_names(site: Option<&str>, room: Option<&str>, sensor: Option<&str>) -> Self {
        let name = |text: &str| PlaceName::nearest(text).as_str().into();
        Self {
            site: site.map(name),
            room: room.map(name),
            sensor: sensor.map(Into::into),
        }
    }

    pub fn is_open(&self) -> bool {
        *self == Self::OPEN
    }

    /// Whether any of them matches.
    pub fn any_matches(selectors: &[Self], subject: Subject<'_>) -> bool {
        selectors.iter().any(|selector| selector.matches(subject))
    }

    pub fn matches(&self, subject: Subject<'_>) -> bool {
        let wanted = self.as_subject();
        let same = |wanted: Option<&str>, is| wanted.is_none() || wanted == is;
        same(wanted.site, subject.site)
            && same(wanted.room, subject.room)
            && same(wanted.sensor, subject.sensor)
    }

    /// The only subject that has exactly these fields.
    pub fn as_subject(&self) -> Subject<'_> {
        Subject {
            site: self.site.as_deref(),
            room: self.room.as_deref(),
            sensor: self.sensor.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_however_it_is_written() {
        let selector = Selector::of_names(Some(" E\u{301}cole"), Some("Salle  1"), None);
        assert_eq!(
            selector.as_subject(),
            Subject {
                site: Some("École"),
                room: Some("Salle 1"),
                sensor: None
            }
        );
        let nothing = Selector::of_names(Some(""), None, None);
        assert!(!nothing.is_open() && !nothing.matches(selector.as_subject()));
    }

    #[test]
    fn a_selector_matches_by_every_field_it_has() {
        let selector = Selector {
            site: Some("Maison".into()),
            sensor: Some("s".into()),
            ..Selector::OPEN
        };
        let subject = |site, sensor| Subject {
            site: Some(site),
            room: Some("any"),
            sensor: Some(sensor),
        };
        assert!(selector.matches(subject("Maison", "s")));
        assert!(!selector.matches(subject("Maison", "t")));
        assert!(!selector.matches(subject("Bureau", "s")));
        assert!(!selector.matches(Subject::default()));
        assert!(Selector::OPEN.matches(Subject::default()));
        assert!(Selector::OPEN.is_open() && !selector.is_open());
    }
}
