//! Which sensors and rooms belong to which site, so that who asks for one site pays for one.

use super::{Directory, SensorEntry};
use crate::database::{RoomKey, SensorKey};
use crate::domain::{Place, Sites};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// The rooms of each site, and the sensors that are or were in one of them.
#[derive(Debug, Default)]
pub(super) struct SiteIndex {
    /// Of the directory that it was made of.
    version: u64,
    of_site: FxHashMap<Box<str>, OfSite>,
}

#[derive(Debug, Default)]
struct OfSite {
    rooms: Vec<RoomKey>,
    sensors: Vec<SensorKey>,
}

impl Directory {
    /// Takes over that a room is new or called otherwise, or that a sensor is new, gone or elsewhere.
    pub(super) fn places_changed(&mut self) {
        self.places_version += 1;
    }

    /// The sensors that are shown and are or were at one of the sites.
    pub fn sensors_of<'a>(&'a self, sites: &Sites) -> impl Iterator<Item = &'a SensorEntry> {
        let every = self.every_sensor_of(sites);
        every.filter(|entry| !entry.is_removed)
    }

    /// The same with those that people removed and whose readings are kept.
    pub fn every_sensor_of<'a>(
        &'a self,
        sites: &Sites,
    ) -> Box<dyn Iterator<Item = &'a SensorEntry> + 'a> {
        let Some(names) = sites.names() else {
            return Box::new(self.sensors.values());
        };
        let index = self.sites();
        let of_sites = names.filter_map(|name| index.of_site.get(name));
        let mut keys: Vec<_> = of_sites.flat_map(|site| &site.sensors).copied().collect();
        keys.sort_unstable();
        keys.dedup();
        Box::new(keys.into_iter().filter_map(|key| self.sensors.get(&key)))
    }

    /// The rooms of the sites.
    pub fn rooms_of_sites<'a>(
        &'a self,
        sites: &Sites,
    ) -> Box<dyn Iterator<Item = (RoomKey, &'a Arc<Place>)> + 'a> {
        let Some(names) = sites.names() else {
            return Box::new(self.rooms());
        };
        let index = self.sites();
        let of_sites = names.filter_map(|name| index.of_site.get(name));
        let keys: Vec<_> = of_sites.flat_map(|site| &site.rooms).copied().collect();
        let known = |key| self.rooms.get(&key).map(|place| (key, place));
        Box::new(keys.into_iter().filter_map(known))
    }

    /// The index of what there is now. Places change seldom, so it is made when it is asked for.
    fn sites(&self) -> Arc<SiteIndex> {
        let mut kept = self.site_index.lock();
        if kept.version != self.places_version {
            *kept = Arc::new(self.indexed());
        }
        Arc::clone(&kept)
    }

    fn indexed(&self) -> SiteIndex {
        let mut of_site: FxHashMap<Box<str>, OfSite> = FxHashMap::default();
        for (key, place) in &self.rooms {
            let site = of_site.entry(place.site.as_str().into()).or_default();
            site.rooms.push(*key);
        }
        for entry in self.sensors.values() {
            let rooms = entry.rooms.iter().chain([&entry.room]);
            for place in rooms.filter_map(|room| self.rooms.get(room)) {
                if let Some(site) = of_site.get_mut(place.site.as_str())
                    && site.sensors.last() != Some(&entry.key)
                {
                    site.sensors.push(entry.key);
                }
            }
        }
        SiteIndex {
            version: self.places_version,
            of_site,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::RoomRow;
    use crate::domain::{SensorId, Timestamp};
    use crate::score::Profile;
    use crate::store::directory::KnownSensor;
    use crate::store::rows::ReadingRow;
    use pretty_assertions::assert_eq;

    fn add(directory: &mut Directory, sensor: i64, room: i64) {
        let latest = ReadingRow {
            sensor: SensorKey(sensor),
            observed_at: Timestamp::from_millis(1),
            room: RoomKey(room),
            values: crate::domain::Values::default(),
            extras: crate::domain::Extras::default(),
            tvoc_unit_assumed: false,
        };
        directory.add_known(KnownSensor {
            key: SensorKey(sensor),
            id: SensorId::parse(&format!("s{sensor}")).unwrap(),
            room: RoomKey(room),
            reading_count: 1,
            first_seen: Some(Timestamp::from_millis(1)),
            latest: Some(latest),
            newest_at: None,
            state: None,
        });
        directory.add_sensor_room(SensorKey(sensor), RoomKey(room));
    }

    fn found(directory: &Directory, sites: &[&str]) -> Vec<i64> {
        let sites = Sites::only(sites.iter().map(|site| (*site).to_owned())).unwrap();
        directory
            .sensors_of(&sites)
            .map(|sensor| sensor.key.0)
            .collect()
    }

    #[test]
    fn sensors_are_found_by_every_site_they_were_at() {
        let mut directory = Directory::new(Profile::Iaqverse, 1, Timestamp::from_millis(0));
        for (key, site) in [(1, "A"), (2, "A"), (3, "B")] {
            directory.add_room(&RoomRow {
                key: RoomKey(key),
                site: site.into(),
                room: format!("Room {key}").into(),
            });
        }
        add(&mut directory, 1, 1);
        add(&mut directory, 2, 2);
        assert_eq!(found(&directory, &["A"]), [1, 2]);
        assert_eq!(found(&directory, &["B"]), [] as [i64; 0]);
        add(&mut directory, 2, 3);
        add(&mut directory, 3, 3);
        assert_eq!(found(&directory, &["B"]), [2, 3]);
        assert_eq!(found(&directory, &["A", "B"]), [1, 2, 3]);
        assert_eq!(found(&directory, &["C"]), [] as [i64; 0]);
        let site = Sites::only(["A".to_owned()]).unwrap();
        assert_eq!(directory.rooms_of_sites(&site).count(), 2);
        assert_eq!(directory.sensors_of(&Sites::ALL).count(), 3);
    }
}
