//! What a sensor that was moved has at the sites that somebody may see.

use super::Source;
use crate::domain::{Sites, Timestamp};
use crate::http::Problem;
use crate::store::{CountInRooms, Directory, RoomsOfSensor, SensorEntry};

/// The rooms of a sensor at these sites; `None` when it has no others.
pub(super) fn rooms_at(
    directory: &Directory,
    entry: &SensorEntry,
    sites: &Sites,
) -> Option<RoomsOfSensor> {
    if sites.are_all() {
        return None;
    }
    let is_own = |room| {
        let place = directory.place(room);
        place.is_some_and(|place| sites.allow(place.site.as_str()))
    };
    let own = entry.rooms.iter().copied().filter(|room| is_own(*room));
    let own: smallvec::SmallVec<_> = own.collect();
    (own.len() < entry.rooms.len()).then_some((entry.key, own))
}

/// What of each is told.
pub(super) async fn look_up(
    source: &Source,
    wanted: &[RoomsOfSensor],
    now: Timestamp,
) -> Result<Vec<CountInRooms>, Problem> {
    let counts = source.store.counts_in_rooms(wanted, now).await;
    counts.map_err(|error| Problem::store_unavailable(&error))
}
