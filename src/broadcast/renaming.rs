//! Filters of open subscriptions, when what they name is called otherwise.

use crate::domain::{Place, Selector};
use crate::store::Renamed;

pub(super) trait Renaming: Sized {
    /// The filter of what is called otherwise now; `None` when that is not what this one names.
    fn renamed(&self, renamed: &Renamed) -> Option<Self>;
}

impl Renaming for Selector {
    fn renamed(&self, renamed: &Renamed) -> Option<Self> {
        match renamed {
            Renamed::Sensor { from, to } => {
                let is_named = self.sensor.as_deref() == Some(from.as_str());
                is_named.then(|| Self {
                    sensor: Some(to.as_str().into()),
                    ..self.clone()
                })
            }
            Renamed::Room { from, to } => names(self, from).then(|| Self {
                site: Some(to.site.as_str().into()),
                room: Some(to.room.as_str().into()),
                sensor: self.sensor.clone(),
            }),
        }
    }
}

/// Whether a filter names this room, with or without its site.
fn names(filter: &Selector, place: &Place) -> bool {
    let is_of_site = filter
        .site
        .as_deref()
        .is_none_or(|site| site == place.site.as_str());
    is_of_site && filter.room.as_deref() == Some(place.room.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{PlaceName, SensorId};

    fn place(site: &str, room: &str) -> Place {
        Place {
            site: PlaceName::parse(site).unwrap(),
            room: PlaceName::parse(room).unwrap(),
        }
    }

    fn filter(site: Option<&str>, room: Option<&str>, sensor: Option<&str>) -> Selector {
        Selector::of_names(site, room, sensor)
    }

    #[test]
    fn a_filter_follows_the_room_it_names_and_no_other() {
        let renamed = Renamed::Room {
            from: place("Maison", "Salon"),
            to: place("Bureau", "Accueil"),
        };
        let now = filter(Some("Bureau"), Some("Accueil"), None);
        for (site, room, expected) in [
            (Some("Maison"), Some("Salon"), Some(&now)),
            (None, Some("Salon"), Some(&now)),
            (Some("Bureau"), Some("Salon"), None),
            (Some("Maison"), None, None),
            (None, None, None),
        ] {
            let found = filter(site, room, None).renamed(&renamed);
            assert_eq!(found.as_ref(), expected, "{site:?} {room:?}");
        }
    }

    #[test]
    fn a_filter_follows_the_sensor_it_names() {
        let id = |text| SensorId::parse(text).unwrap();
        let renamed = Renamed::Sensor {
            from: id("a"),
            to: id("b"),
        };
        let here = filter(Some("Maison"), None, Some("a"));
        let there = filter(Some("Maison"), None, Some("b"));
        assert_eq!(here.renamed(&renamed), Some(there.clone()));
        assert_eq!(there.renamed(&renamed), None);
    }
}
