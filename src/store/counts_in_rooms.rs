//! How many readings a sensor has in some of its rooms, for those who may see no others.
//!
//! In memory is what it has in all. What it has in a room follows from the roll-ups, and is looked up
//! only of sensors that were moved.

use super::rows::BucketRow;
use super::{HistoryQuery, Store};
use crate::database::{RoomKey, SensorKey, Series, StoreError};
use crate::domain::{TimeRange, Timestamp};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// How long a count is taken for the present one.
const AGE_MS_MAX: i64 = 5000;
/// Counts that are remembered; all are forgotten when there are so many.
const KNOWN_MAX: usize = 4096;

/// Some rooms of a sensor, in any order.
pub type RoomsOfSensor = (SensorKey, SmallVec<[RoomKey; 1]>);

/// What a sensor has in some rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountInRooms {
    pub readings: u64,
    /// Time of the first of them; `None` without any.
    pub first: Option<Timestamp>,
}

/// Counts and when they were taken.
pub(super) type TimedCounts = FxHashMap<RoomsOfSensor, (Timestamp, CountInRooms)>;

impl Store {
    /// What each of these sensors has in these of its rooms, at most some seconds old.
    pub async fn counts_in_rooms(
        &self,
        wanted: &[RoomsOfSensor],
        now: Timestamp,
    ) -> Result<Vec<CountInRooms>, StoreError> {
        let mut counts = Vec::with_capacity(wanted.len());
        for one in wanted {
            let known = self.counts_in_rooms.lock().get(one).copied();
            let is_new = |at: Timestamp| (now.millis() - at.millis()).abs() < AGE_MS_MAX;
            if let Some((_, count)) = known.filter(|(at, _)| is_new(*at)) {
                counts.push(count);
                continue;
            }
            // One after the other: roll-ups of many years are in memory for one sensor only.
            let count = match self.count_in_rooms(one).await {
                // One chunk that cannot be read keeps nobody from hearing of the others.
                Err(error @ StoreError::Corrupt { .. }) => {
                    tracing::error!(%error, "what a sensor has in its rooms cannot be counted");
                    CountInRooms {
                        readings: 0,
                        first: None,
                    }
                }
                count => count?,
            };
            counts.push(count);
            let mut known = self.counts_in_rooms.lock();
            if known.len() >= KNOWN_MAX {
                known.clear();
            }
            known.insert(one.clone(), (now, count));
        }
        Ok(counts)
    }

    async fn count_in_rooms(
        &self,
        (sensor, rooms): &RoomsOfSensor,
    ) -> Result<CountInRooms, StoreError> {
        let none = CountInRooms {
            readings: 0,
            first: None,
        };
        let seen = self.directory(|directory| {
            let entry = directory.sensor(*sensor)?;
            Some((entry.first_seen, entry.newest_at))
        });
        let Some((first_seen, newest_at)) = seen else {
            return Ok(none);
        };
        let behind = Timestamp::from_millis(newest_at.millis().saturating_add(1));
        // From the beginning of a day on, so that it follows from a roll-up when its readings are gone.
        let all = TimeRange::new(Series::Days.start(first_seen), behind);
        let parts = self.own_parts(*sensor, rooms, Series::Days, all).await?;
        let Some(earliest) = parts.iter().map(|part| part.start).min() else {
            return Ok(none);
        };
        let readings = parts.iter().map(|part| u64::from(part.readings)).sum();
        let first = self.first_in_rooms(*sensor, rooms, earliest).await?;
        Ok(CountInRooms {
            readings,
            first: Some(first.max(first_seen)),
        })
    }

    /// Time of the first reading of a day; the beginning of its hour when that is all that is known.
    async fn first_in_rooms(
        &self,
        sensor: SensorKey,
        rooms: &[RoomKey],
        from: Timestamp,
    ) -> Result<Timestamp, StoreError> {
        let behind = |at: Timestamp, series: Series| {
            Timestamp::from_millis(series.start(at).millis() + series.width_ms())
        };
        let day = TimeRange::new(from, behind(from, Series::Days));
        let parts = self.own_parts(sensor, rooms, Series::Hours, day).await?;
        let Some(earliest) = parts.iter().map(|part| part.start).min() else {
            return Ok(from);
        };
        let query = HistoryQuery {
            sensors: vec![sensor],
            rooms: Some(rooms.to_vec()),
        };
        let hour = TimeRange::new(earliest, behind(earliest, Series::Hours));
        let rows = self.history(&query, hour, usize::MAX).await?;
        let first = rows.unwrap_or_default().first().map(|row| row.observed_at);
        Ok(first.unwrap_or(earliest))
    }

    async fn own_parts(
        &self,
        sensor: SensorKey,
        rooms: &[RoomKey],
        coarsest: Series,
        time: TimeRange,
    ) -> Result<Vec<BucketRow>, StoreError> {
        let parts = self.parts(&[sensor], coarsest, time).await?;
        let parts = parts.into_iter().flat_map(|(_, parts)| parts);
        Ok(parts.filter(|part| rooms.contains(&part.room)).collect())
    }
}
