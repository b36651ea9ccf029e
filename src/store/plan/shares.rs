//! What part of the directory somebody may fill with new sensors and rooms.
//!
//! Nothing is kept for it: what somebody has follows from the directory, so it is the same after a
//! restart, and what is removed counts no more. A key has the sensors that it writes for and the rooms
//! those have been in; a site has its rooms and the sensors that stand there.

use super::Planner;
use crate::database::{RoomKey, SensorKey};
use crate::domain::{Place, PlaceName, Reading};
use crate::fault::FieldError;
use rustc_hash::FxHashSet;

/// A key, or a site by those who are restricted to it, may fill one of so many parts of each limit.
const PARTS: usize = 4;
/// No share is less, however low the limit.
const SHARE_MIN: usize = 16;
/// Rooms that a sensor may have been in for its key to make another one. A device moves now and then;
/// rooms that exist it may go to as often as it likes.
pub(super) const SENSOR_ROOMS_MAX: usize = 16;

/// What a key or a site has.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Has {
    sensors: usize,
    rooms: usize,
}

type Refused = Result<(), Vec<FieldError>>;

impl Planner<'_> {
    /// Whether there may be one more sensor, at the site that its reading names; it counts then.
    pub(super) fn require_sensor_share(&mut self, reading: &Reading) -> Refused {
        let pointer = "/sensor_id";
        let max = self.limits.sensors_max;
        let count = self.directory.id_count() + self.new_sensors.len();
        if count >= max {
            let detail = format!("the server takes {max} sensors and has them");
            return refuse(pointer, "too_many_sensors", detail);
        }
        let share = share(max);
        // Nobody can have more than there are.
        if count < share {
            return Ok(());
        }
        if let Some(site) = reading.site.as_ref().filter(|_| self.is_of_sites())
            && self.sensors_at(site) >= share
        {
            let detail = format!("the site has {share} sensors, all that one site may have");
            return refuse(pointer, "too_many_sensors_of_site", detail);
        }
        if self.author.sensors.is_some() {
            let has = self.has();
            if has.sensors >= share {
                let detail = format!("the key has {share} sensors, all that one key may have");
                return refuse(pointer, "too_many_sensors_of_key", detail);
            }
            has.sensors += 1;
        }
        Ok(())
    }

    /// Whether a sensor may make a room; it counts then.
    pub(super) fn require_room_share(
        &mut self,
        place: &Place,
        sensor: Option<SensorKey>,
    ) -> Refused {
        let pointer = "/salle";
        let max = self.limits.rooms_max;
        let count = self.directory.room_count() + self.new_rooms.len();
        if count >= max {
            let detail = format!("the server takes {max} rooms and has them");
            return refuse(pointer, "too_many_rooms", detail);
        }
        let is_of_key = self.author.sensors.is_some();
        if is_of_key && sensor.is_some_and(|sensor| self.rooms_of(sensor) >= SENSOR_ROOMS_MAX) {
            let detail = format!(
                "the sensor has been in {SENSOR_ROOMS_MAX} rooms, and its key makes no further ones"
            );
            return refuse(pointer, "too_many_rooms_of_sensor", detail);
        }
        let share = share(max);
        if count < share {
            return Ok(());
        }
        if self.is_of_sites() && self.rooms_at(&place.site) >= share {
            let detail = format!("the site has {share} rooms, all that one site may have");
            return refuse(pointer, "too_many_rooms_of_site", detail);
        }
        if is_of_key {
            let has = self.has();
            if has.rooms >= share {
                let detail = format!(
                    "the sensors of the key have been in {share} rooms, all that one key may have"
                );
                return refuse(pointer, "too_many_rooms_of_key", detail);
            }
            has.rooms += 1;
        }
        Ok(())
    }

    /// Whether the author is restricted to sites: only then is a site somebody's share.
    fn is_of_sites(&self) -> bool {
        !self.author.sites.are_all()
    }

    fn rooms_at(&mut self, site: &PlaceName) -> usize {
        let known = self.known_at(site).rooms;
        let new = self.new_rooms.keys();
        known + new.filter(|place| place.site == *site).count()
    }

    fn sensors_at(&mut self, site: &PlaceName) -> usize {
        let known = self.known_at(site).sensors;
        let new = self.plan.sensors.iter();
        let new = new.filter_map(|(key, ..)| self.sensors.get(key));
        known + new.filter(|sensor| sensor.place.site == *site).count()
    }

    /// What the directory has at a site, counted once for a transaction.
    fn known_at(&mut self, site: &PlaceName) -> Has {
        let directory = self.directory;
        *self.at_sites.entry(site.clone()).or_insert_with(|| {
            let rooms = directory.rooms().filter(|(key, place)| {
                // One that became one with another is that one.
                place.site == *site && directory.former_room(*key).is_none()
            });
            let sensors = directory.ids_with_rooms();
            let places = sensors.filter_map(|(_, room, _)| directory.place(room));
            Has {
                sensors: places.filter(|place| place.site == *site).count(),
                rooms: rooms.count(),
            }
        })
    }

    /// Rooms that a sensor has been in, or will have been.
    fn rooms_of(&self, sensor: SensorKey) -> usize {
        let new = self.plan.sensor_rooms.iter();
        let new = new.filter(|(of, _)| *of == sensor).count();
        self.directory.rooms_of(sensor).len() + new
    }

    /// What the author, who is restricted to sensors, has so far.
    fn has(&mut self) -> &mut Has {
        let (directory, plan, author) = (self.directory, &self.plan, &self.author);
        self.shares.entry(author.party).or_insert_with(|| {
            let covers = |id: &str| author.sensors.as_ref().is_some_and(|key| key.covers(id));
            let mut rooms = FxHashSet::<RoomKey>::default();
            let mut sensors = FxHashSet::<SensorKey>::default();
            for (key, ..) in directory.ids_with_rooms().filter(|(.., id)| covers(id)) {
                sensors.insert(key);
                rooms.extend(directory.rooms_of(key));
            }
            let new = plan.sensors.iter().filter(|(_, id, _)| covers(id.as_str()));
            sensors.extend(new.map(|(key, ..)| *key));
            let moved = plan.sensor_rooms.iter();
            let moved = moved.filter(|(sensor, _)| sensors.contains(sensor));
            rooms.extend(moved.map(|(_, room)| *room));
            Has {
                sensors: sensors.len(),
                rooms: rooms.len(),
            }
        })
    }
}

/// The part of a limit that a key or a site may fill.
fn share(max: usize) -> usize {
    (max / PARTS).max(SHARE_MIN)
}

fn refuse(pointer: &'static str, code: &'static str, detail: String) -> Refused {
    Err(vec![FieldError::new(pointer, code, detail)])
}

#[cfg(test)]
mod tests {
    use super::super::{Moment, RegistryLimits, Sent, plan};
    use super::*;
    use crate::domain::{Extras, Quantity, SensorId, Sites, Timestamp, Values};
    use crate::score::Profile;
    use crate::store::directory::Directory;
    use crate::store::turns::Party;
    use crate::store::{Author, Covers, Outcome, ScoredReading};
    use pretty_assertions::assert_eq;
    use std::sync::Arc;

    const PROFILE: Profile = Profile::Iaqverse;
    /// Shares of 16 sensors and of 20 rooms.
    const LIMITS: RegistryLimits = RegistryLimits {
        sensors_max: 64,
        rooms_max: 80,
    };
    const NOW: Timestamp = Timestamp::from_millis(1_000_000_000_000);

    /// A key for sensors whose ids begin like this.
    #[derive(Debug)]
    struct Beginning(&'static str);

    impl Covers for Beginning {
        fn covers(&self, sensor: &str) -> bool {
            sensor.starts_with(self.0)
        }
    }

    fn key(beginning: &'static str) -> Author {
        Author {
            party: Some(Party(beginning.len() as u64)),
            sites: Sites::ALL,
            sensors: Some(Arc::new(Beginning(beginning))),
        }
    }

    fn scored(sensor: &str, site: &str, room: &str, observed_at: Timestamp) -> ScoredReading {
        let mut values = Values::default();
        assert!(values.set(Quantity::Co2, 500.0));
        ScoredReading {
            assessment: PROFILE.assess(&values),
            reading: Reading {
                sensor: SensorId::parse(sensor).unwrap(),
                site: Some(PlaceName::parse(site).unwrap()),
                room: Some(PlaceName::parse(room).unwrap()),
                observed_at,
                values,
                extras: Extras::default(),
                tvoc_unit_assumed: false,
            },
        }
    }

    /// Sends one reading after the other, some of them together, and says what became of each.
    fn send(
        directory: &mut Directory,
        author: &Author,
        sent: &[(&str, &str, &str)],
    ) -> Vec<String> {
        let mut codes = Vec::new();
        for together in sent.chunks(7) {
            let sequence = directory.last_id().sequence;
            let at = |index: usize| {
                let millis = i64::try_from(sequence).unwrap() + i64::try_from(index).unwrap();
                Timestamp::from_millis(millis)
            };
            let readings = together.iter().enumerate();
            let readings = readings.map(|(index, (sensor, site, room))| {
                let scored = scored(sensor, site, room, at(index));
                Sent {
                    scored,
                    author: Arc::new(author.clone()),
                    delivery: 1,
                }
            });
            let moment = Moment {
                now: NOW,
                horizon: NOW,
            };
            let readings = readings.collect();
            let plan = plan(directory, Vec::new(), readings, PROFILE, LIMITS, moment);
            let (outcomes, ..) = plan.apply(directory);
            codes.extend(outcomes.iter().map(|outcome| match outcome {
                Outcome::Refused(rejection) => rejection.code().to_owned(),
                _ => "taken".to_owned(),
            }));
        }
        codes
    }

    fn empty() -> Directory {
        Directory::new(PROFILE, 1, Timestamp::from_millis(i64::MIN))
    }

    fn taken(codes: &[String]) -> usize {
        codes.iter().filter(|code| *code == "taken").count()
    }

    #[test]
    fn a_key_has_a_share_of_the_sensors_and_others_have_the_rest() {
        let mut directory = empty();
        let names: Vec<_> = (0..80).map(|number| format!("x-{number}")).collect();
        let all: Vec<_> = names.iter().map(|name| (name.as_str(), "S", "R")).collect();
        let codes = send(&mut directory, &key("x-"), &all);
        assert_eq!(taken(&codes), 16);
        assert_eq!(codes[20], "too_many_sensors_of_key");
        assert_eq!(
            send(&mut directory, &key("y"), &[("y", "S", "R")]),
            ["taken"]
        );
        // It goes on with those it has.
        let again = send(&mut directory, &key("x-"), all.get(..16).unwrap());
        assert_eq!(taken(&again), 16);
        // Whoever may write for any is bounded by the whole.
        let codes = send(&mut directory, &Author::default(), &all);
        assert_eq!(taken(&codes), 63);
        assert_eq!(codes[79], "too_many_sensors");
    }

    #[test]
    fn a_sensor_makes_few_rooms_and_its_key_a_share_of_them() {
        let mut directory = empty();
        let rooms: Vec<_> = (0..100).map(|number| format!("room {number}")).collect();
        let one: Vec<_> = rooms
            .iter()
            .map(|room| ("x-1", "S", room.as_str()))
            .collect();
        let codes = send(&mut directory, &key("x-"), &one);
        assert_eq!(taken(&codes), SENSOR_ROOMS_MAX);
        assert_eq!(codes[50], "too_many_rooms_of_sensor");
        let two: Vec<_> = rooms
            .iter()
            .map(|room| ("x-2", "T", room.as_str()))
            .collect();
        let codes = send(&mut directory, &key("x-"), &two);
        assert_eq!(taken(&codes), 20 - SENSOR_ROOMS_MAX);
        assert_eq!(codes[50], "too_many_rooms_of_key");
        // It may go to a room that is there.
        assert_eq!(
            send(&mut directory, &key("x-"), &[("x-2", "S", "room 1")]),
            ["taken"]
        );
        assert_eq!(directory.room_count(), 20);
        assert_eq!(
            send(&mut directory, &key("y"), &[("y", "U", "R")]),
            ["taken"]
        );
    }

    #[test]
    fn a_reading_that_changes_nothing_makes_no_room() {
        let mut directory = empty();
        let one = [("x-1", "S", "R")];
        send(&mut directory, &key("x-"), &one);
        let author = Arc::new(key("x-"));
        let sent = |millis: i64, room: &str| Sent {
            scored: scored("x-1", "S", room, Timestamp::from_millis(millis)),
            author: Arc::clone(&author),
            delivery: 2,
        };
        let readings = (0..30).map(|number| sent(0, &format!("room {number}")));
        let readings = readings.chain([sent(5, "R")]).collect();
        let moment = Moment {
            now: NOW,
            horizon: NOW,
        };
        plan(&directory, Vec::new(), readings, PROFILE, LIMITS, moment).apply(&mut directory);
        assert_eq!(directory.room_count(), 1);
    }

    #[test]
    fn a_site_has_a_share_for_those_who_are_restricted_to_it() {
        let mut directory = empty();
        let operator = Author {
            sites: Sites::only(["S".to_owned()]).unwrap(),
            ..Author::default()
        };
        let names: Vec<_> = (0..60).map(|number| format!("s{number}")).collect();
        let sensors: Vec<_> = names.iter().map(|name| (name.as_str(), "S", "R")).collect();
        let codes = send(&mut directory, &operator, &sensors);
        assert_eq!(taken(&codes), 16);
        assert_eq!(codes[50], "too_many_sensors_of_site");
        let rooms: Vec<_> = names
            .iter()
            .map(|room| ("s1", "S", room.as_str()))
            .collect();
        let codes = send(&mut directory, &operator, &rooms);
        assert_eq!(taken(&codes), 19);
        assert_eq!(codes[50], "too_many_rooms_of_site");
        assert_eq!(directory.room_count(), 20);
    }

    #[test]
    fn a_sensor_that_is_refused_makes_no_room() {
        let mut directory = empty();
        let names: Vec<_> = (0..40).map(|number| format!("x-{number}")).collect();
        let all = names.iter().map(|name| (name.as_str(), "S", name.as_str()));
        let all: Vec<_> = all.collect();
        assert_eq!(taken(&send(&mut directory, &key("x-"), &all)), 16);
        assert_eq!(directory.room_count(), 16);
    }
}
