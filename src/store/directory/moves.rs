//! Whether a sensor is in two places at once.
//!
//! Two devices that were given one id, or one that was set up twice, post in turn from two rooms. A
//! device that is carried around does not come back that often.

use crate::database::RoomKey;
use crate::domain::Timestamp;
use smallvec::SmallVec;
use std::time::Duration;

/// Moves from one room to another and back, and there again, that are a conflict.
const MOVES: usize = 3;
/// Within this time, or [`PERIODS`] of a sensor that seldom measures.
const WINDOW_MIN: Duration = Duration::from_hours(1);
const PERIODS: u32 = 8;

/// The last moves of a sensor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Moves(SmallVec<[(Timestamp, RoomKey); MOVES]>);

impl Moves {
    /// A sensor came to a room.
    pub(super) fn add(&mut self, at: Timestamp, to: RoomKey) {
        if self.0.len() == MOVES {
            self.0.remove(0);
        }
        self.0.push((at, to));
    }

    /// The two rooms between which it goes back and forth, as of `now`.
    pub(super) fn conflict(
        &self,
        now: Timestamp,
        period: Option<Duration>,
    ) -> Option<[RoomKey; 2]> {
        let [(first, there), (_, back), (last, again)] = *self.0 else {
            return None;
        };
        let window = WINDOW_MIN.max(period.unwrap_or_default().saturating_mul(PERIODS));
        let is_now = last.since(first) <= window && now.since(last) <= window;
        (is_now && there == again && there != back).then_some([back, again])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conflict(moves: &[(u64, i64)], now_min: u64) -> Option<[RoomKey; 2]> {
        let at = |minutes| Timestamp::from_millis(0).plus(Duration::from_mins(minutes));
        let mut all = Moves::default();
        for (minutes, room) in moves {
            all.add(at(*minutes), RoomKey(*room));
        }
        all.conflict(at(now_min), Some(Duration::from_mins(1)))
    }

    #[test]
    fn going_back_and_forth_is_a_conflict_for_as_long_as_it_lasts() {
        let rooms = Some([RoomKey(1), RoomKey(2)]);
        assert_eq!(conflict(&[(1, 2), (2, 1), (3, 2)], 4), rooms);
        assert_eq!(conflict(&[(1, 2), (2, 1), (3, 2)], 64), None);
        assert_eq!(conflict(&[(1, 2), (50, 1), (63, 2)], 64), None);
        // Once there and back, or through the house, is none.
        assert_eq!(conflict(&[(1, 2), (2, 1)], 3), None);
        assert_eq!(conflict(&[(1, 2), (2, 3), (3, 4)], 4), None);
    }
}
