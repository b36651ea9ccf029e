//! What a sensor measures now: the newest value of each quantity, with its own time.
//!
//! A device may send one quantity a message, so the latest message says little. The state is made of all
//! of them, and is the same whatever order they came in: of each quantity the value with the newest time.
//! It changes only by what has come (`crate::clock::horizon`) and is kept for the sensor over restarts
//! (`pack::pack_state`).

use super::rhythm::Rhythm;
use super::rows::ReadingRow;
use crate::database::RoomKey;
use crate::domain::{Quantity, Timestamp, Values};
use crate::score::{Assessment, Profile, standard};
use smallvec::SmallVec;
use std::time::Duration;

/// A quantity that was not measured for so long, while others were, is measured no more.
pub(super) const FORGOTTEN_AFTER: Duration = Duration::from_hours(31 * 24);
/// A value is fresh for so many of its own periods.
const FRESH_PERIODS: u32 = 3;
/// Every value is fresh for as long: no window is shorter.
const FRESH_MIN: Duration = Duration::from_mins(10);
/// Period of what came once.
const PERIOD_UNKNOWN: Duration = Duration::from_mins(5);
/// Averaging window of quantities without a standard.
pub(super) const WINDOW_WITHOUT_STANDARD_MINUTES: u32 = 10;

/// Minutes over which a quantity is averaged to be compared with its standard.
pub(super) fn window_minutes(quantity: Quantity) -> u32 {
    standard(quantity).map_or(WINDOW_WITHOUT_STANDARD_MINUTES, |standard| {
        standard.averaging_minutes
    })
}

/// The newest value of one quantity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Newest {
    pub(super) quantity: Quantity,
    pub(super) number: f64,
    pub(super) observed_at: Timestamp,
    /// Where it was measured.
    pub(super) room: RoomKey,
    /// Between its values.
    pub(super) rhythm: Rhythm,
}

impl Newest {
    /// How long it counts as of now, when its sensor sends something each `delivery`: what comes in
    /// batches cannot be newer than the last of them.
    fn lifetime(&self, delivery: Duration) -> Duration {
        let period = self.rhythm.usual().unwrap_or(PERIOD_UNKNOWN);
        let window = Duration::from_mins(window_minutes(self.quantity).into());
        (FRESH_PERIODS * period.max(delivery)).max(window)
    }

    fn is_fresh(&self, now: Timestamp, delivery: Duration) -> bool {
        now.since(self.observed_at) <= self.lifetime(delivery)
    }
}

/// Times that come one after another, of which several in one delivery count once.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Gaps {
    pub(super) last: Option<Timestamp>,
    pub(super) rhythm: Rhythm,
    /// Both before the delivery that goes on.
    before: (Option<Timestamp>, Rhythm),
}

impl Gaps {
    pub(super) fn known(last: Option<Timestamp>, rhythm: Rhythm) -> Self {
        Self {
            last,
            rhythm,
            before: (last, rhythm),
        }
    }

    fn begin(&mut self) {
        self.before = (self.last, self.rhythm);
    }

    fn move_to(&mut self, time: Timestamp) {
        let (last, rhythm) = self.before;
        self.rhythm = last.map_or(rhythm, |last| rhythm.learned(time.since(last)));
        self.last = Some(time);
    }
}

/// How a reading came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arrival {
    pub(super) at: Timestamp,
    /// It is the first of its sensor in a request or message.
    pub(super) begins: bool,
}

/// What a sensor measures, and how often.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SensorState {
    /// By quantity.
    pub(super) newest: SmallVec<[Newest; 5]>,
    /// The unit of the newest TVOC was assumed.
    pub(super) tvoc_unit_assumed: bool,
    /// Between the times of its readings.
    pub(super) measuring: Gaps,
    /// Between the newest times of deliveries.
    pub(super) deliveries: Gaps,
    /// Between the moments at which something new arrived.
    pub(super) arrivals: Gaps,
}

/// A state as it is shown at some time: what is fresh of it, or all when nothing is.
#[derive(Debug, Clone, PartialEq)]
pub struct ShownState {
    pub values: Values,
    /// Times of the values that are not of the reading they are shown with.
    pub measured_at: SmallVec<[(Quantity, Timestamp); 5]>,
    /// What is known but too old to be shown.
    pub stale_values: SmallVec<[Quantity; 2]>,
    /// Nothing is fresh.
    pub is_stale: bool,
    /// The unit of TVOC was assumed.
    pub tvoc_unit_assumed: bool,
    pub assessment: Assessment,
}

impl SensorState {
    /// Time between its readings, once there are two.
    pub fn period(&self) -> Option<Duration> {
        self.measuring.rhythm.usual()
    }

    /// Time from one delivery to the next: that of their newest readings, or the time that passes between
    /// them when that is longer, as with a device that sends one by one what it has gathered.
    pub fn delivery_period(&self) -> Option<Duration> {
        let gaps = [&self.deliveries, &self.arrivals];
        gaps.into_iter()
            .filter_map(|gaps| gaps.rhythm.usual())
            .max()
    }

    /// Whether a quantity was measured at `since` or after it.
    pub(super) fn has_since(&self, quantity: Quantity, since: Timestamp) -> bool {
        self.of(quantity)
            .is_some_and(|newest| newest.observed_at >= since)
    }

    /// When each quantity that is known was measured last.
    pub(super) fn quantity_times(&self) -> impl Iterator<Item = (Quantity, Timestamp)> + '_ {
        let newest = self.newest.iter();
        newest.map(|newest| (newest.quantity, newest.observed_at))
    }

    /// How many quantities are known.
    pub fn quantity_count(&self) -> usize {
        self.newest.len()
    }

    /// Whether it was made of any reading.
    pub(super) fn has_any(&self) -> bool {
        self.measuring.last.is_some()
    }

    /// What is known of it.
    pub(super) fn quantities(&self) -> impl Iterator<Item = Quantity> + '_ {
        self.newest.iter().map(|newest| newest.quantity)
    }

    /// Times of the readings that it is made of.
    pub(super) fn times(&self) -> impl Iterator<Item = Timestamp> + '_ {
        let newest = self.newest.iter().map(|newest| newest.observed_at);
        newest.chain(self.measuring.last)
    }

    fn of(&self, quantity: Quantity) -> Option<&Newest> {
        self.newest
            .iter()
            .find(|newest| newest.quantity == quantity)
    }

    /// Whether all values of a reading are older than the newest of their quantities. Of a reading without
    /// any, whether it is older than the newest reading.
    pub(super) fn is_late(&self, values: &Values, observed_at: Timestamp) -> bool {
        let is_older =
            |newest: Option<Timestamp>| newest.is_some_and(|newest| newest > observed_at);
        let forgotten = self
            .measuring
            .last
            .map(|newest| newest.minus(FORGOTTEN_AFTER));
        if values.is_empty() || is_older(forgotten) {
            return is_older(self.measuring.last);
        }
        let mut quantities = values.iter().map(|(quantity, _)| quantity);
        quantities.all(|quantity| is_older(self.of(quantity).map(|newest| newest.observed_at)))
    }

    /// Takes over a reading that is stored and has come, or another form of one that was taken over.
    pub(super) fn take(&mut self, row: &ReadingRow, arrival: Option<Arrival>) {
        let at = row.observed_at;
        if arrival.is_some_and(|arrival| arrival.begins) {
            self.deliveries.begin();
            self.arrivals.begin();
        }
        let before = self.measuring.last;
        if before.is_none_or(|before| at > before) {
            self.measuring.begin();
            self.measuring.move_to(at);
            match arrival {
                Some(arrival) => {
                    self.deliveries.move_to(at);
                    self.arrivals.move_to(arrival.at);
                }
                // Nobody knows any more what it came with.
                None if self.deliveries.rhythm.usual().is_none() => {
                    self.deliveries.begin();
                    self.deliveries.move_to(at);
                }
                None => self.deliveries = Gaps::known(Some(at), self.deliveries.rhythm),
            }
            let forgotten = at.minus(FORGOTTEN_AFTER);
            self.newest.retain(|newest| newest.observed_at >= forgotten);
        } else if before.is_some_and(|before| at < before.minus(FORGOTTEN_AFTER)) {
            return;
        }
        for (quantity, number) in row.values.iter() {
            self.take_value(row, quantity, number);
        }
    }

    fn take_value(&mut self, row: &ReadingRow, quantity: Quantity, number: f64) {
        let observed_at = row.observed_at;
        let position = self
            .newest
            .binary_search_by_key(&quantity.index(), |newest| newest.quantity.index());
        match position {
            Err(position) => self.newest.insert(
                position,
                Newest {
                    quantity,
                    number,
                    observed_at,
                    room: row.room,
                    rhythm: Rhythm::default(),
                },
            ),
            Ok(position) => {
                let newest = &mut self.newest[position];
                if newest.observed_at > observed_at {
                    return;
                }
                newest.rhythm = newest.rhythm.learned(observed_at.since(newest.observed_at));
                newest.number = number;
                newest.observed_at = observed_at;
                newest.room = row.room;
            }
        }
        if quantity == Quantity::Tvoc {
            self.tvoc_unit_assumed = row.tvoc_unit_assumed;
        }
    }

    /// What was measured at some times was measured in another room.
    pub(super) fn move_from(&mut self, is_meant: impl Fn(Timestamp) -> bool, to: RoomKey) {
        for newest in &mut self.newest {
            if is_meant(newest.observed_at) {
                newest.room = to;
            }
        }
    }

    /// What was measured in one room counts as measured in another.
    pub(super) fn move_room(&mut self, from: RoomKey, to: RoomKey) {
        for newest in &mut self.newest {
            if newest.room == from {
                newest.room = to;
            }
        }
    }

    /// The state of a sensor that has all readings of two: of each quantity the newest value, and the
    /// rhythm of the one that measured last. Of two values of the same time its own counts.
    pub(super) fn joined(&self, other: &Self) -> Self {
        let is_newer = other.measuring.last > self.measuring.last;
        let mut joined = if is_newer { other } else { self }.clone();
        let mut newest = self.newest.clone();
        let mut tvoc_unit_assumed = self.tvoc_unit_assumed;
        for theirs in &other.newest {
            let position = newest
                .binary_search_by_key(&theirs.quantity.index(), |newest| newest.quantity.index());
            match position {
                Err(position) => newest.insert(position, *theirs),
                Ok(position) if newest[position].observed_at < theirs.observed_at => {
                    newest[position] = *theirs;
                }
                Ok(_) => continue,
            }
            if theirs.quantity == Quantity::Tvoc {
                tvoc_unit_assumed = other.tvoc_unit_assumed;
            }
        }
        let forgotten = joined
            .measuring
            .last
            .map(|last| last.minus(FORGOTTEN_AFTER));
        newest.retain(|newest| forgotten.is_none_or(|forgotten| newest.observed_at >= forgotten));
        joined.newest = newest;
        joined.tvoc_unit_assumed = tvoc_unit_assumed;
        joined
    }

    /// What is known besides its readings, for those that are left.
    pub(super) fn without_readings(&self) -> Self {
        Self {
            deliveries: Gaps::known(None, self.deliveries.rhythm),
            arrivals: self.arrivals,
            ..Self::default()
        }
    }

    /// What of it holds when nothing behind `horizon` has come, and the quantities of which the values have
    /// to be looked up.
    pub(super) fn until(&self, horizon: Timestamp) -> (Self, Values) {
        let mut until = self.clone();
        let mut wanted = Values::default();
        until.newest.retain(|newest| {
            let holds = newest.observed_at <= horizon;
            // It was in range when it was stored.
            let _in_range = holds || wanted.set(newest.quantity, newest.number);
            holds
        });
        for gaps in [&mut until.measuring, &mut until.deliveries] {
            let last = gaps.last.filter(|last| *last <= horizon);
            *gaps = Gaps::known(last, gaps.rhythm);
        }
        (until, wanted)
    }

    /// What comes next is of another request or message.
    #[cfg(test)]
    pub(super) fn end_delivery(&mut self) {
        for gaps in [
            &mut self.measuring,
            &mut self.deliveries,
            &mut self.arrivals,
        ] {
            gaps.begin();
        }
    }

    /// Whether a reading is all there is to show, as of a device that sends all it measures each time.
    pub(super) fn is_of(&self, values: &Values, observed_at: Timestamp, room: RoomKey) -> bool {
        self.newest.len() == values.count()
            && self
                .newest
                .iter()
                .all(|newest| newest.observed_at == observed_at && newest.room == room)
    }

    pub(super) fn is_all_fresh(&self, now: Timestamp) -> bool {
        // The usual case, without the periods.
        if self.surely_fresh_until().is_none_or(|until| now <= until) {
            return true;
        }
        let delivery = self.delivery_period().unwrap_or_default();
        let mut newest = self.newest.iter();
        newest.all(|newest| newest.is_fresh(now, delivery))
    }

    /// What is fresh of it at `now` and was measured in a room.
    pub(super) fn fresh(
        &self,
        room: RoomKey,
        now: Timestamp,
    ) -> impl Iterator<Item = (Quantity, f64, Timestamp)> + '_ {
        let delivery = self.delivery_period().unwrap_or_default();
        let here = self.newest.iter().filter(move |newest| newest.room == room);
        let fresh = here.filter(move |newest| newest.is_fresh(now, delivery));
        fresh.map(|newest| (newest.quantity, newest.number, newest.observed_at))
    }

    /// What is shown of it at `now`, of a sensor that stands in `room`, with a reading of the time `with`.
    /// What was measured elsewhere says nothing about the room.
    pub(super) fn shown(
        &self,
        room: RoomKey,
        with: Timestamp,
        now: Timestamp,
        profile: Profile,
    ) -> ShownState {
        let here = || self.newest.iter().filter(|newest| newest.room == room);
        let delivery = self.delivery_period().unwrap_or_default();
        let is_stale = !here().any(|newest| newest.is_fresh(now, delivery));
        let mut shown = ShownState {
            values: Values::default(),
            measured_at: SmallVec::new(),
            stale_values: SmallVec::new(),
            is_stale,
            tvoc_unit_assumed: false,
            assessment: profile.assess(&Values::default()),
        };
        for newest in here() {
            if !is_stale && !newest.is_fresh(now, delivery) {
                shown.stale_values.push(newest.quantity);
                continue;
            }
            // It was in range when it was stored.
            let _in_range = shown.values.set(newest.quantity, newest.number);
            if newest.quantity == Quantity::Tvoc {
                shown.tvoc_unit_assumed = self.tvoc_unit_assumed;
            }
            if newest.observed_at != with {
                shown
                    .measured_at
                    .push((newest.quantity, newest.observed_at));
            }
        }
        shown.assessment = profile.assess(&shown.values);
        shown
    }

    /// Until when all of it is fresh whatever its periods; `None` when there is nothing.
    pub(super) fn surely_fresh_until(&self) -> Option<Timestamp> {
        let times = self.newest.iter().map(|newest| newest.observed_at);
        times.min().map(|oldest| oldest.plus(FRESH_MIN))
    }

    /// When something that is fresh at `now` will not be any more.
    pub(super) fn changes_after(&self, now: Timestamp) -> Option<Timestamp> {
        let delivery = self.delivery_period().unwrap_or_default();
        let newest = self.newest.iter();
        let fresh = newest.filter(|newest| newest.is_fresh(now, delivery));
        let ends = fresh.map(|newest| newest.observed_at.plus(newest.lifetime(delivery)));
        ends.min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_window_is_shorter_than_what_is_surely_fresh() {
        for quantity in Quantity::ALL {
            let window = Duration::from_mins(window_minutes(quantity).into());
            assert!(window >= FRESH_MIN, "{quantity:?}");
        }
    }
}
