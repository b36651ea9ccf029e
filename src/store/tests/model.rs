//! The store against a naive model: any writes, in any order and batches, with notices between them,
//! commits and settling that fail, readings that are erased, restarts, and a clock that goes any way.

use super::*;
use crate::clock::CLOCK_PRECISION;
use crate::domain::Zone;
use pretty_assertions::assert_eq;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// When the times below begin: a set clock, and a boundary of every bucket.
const BEGIN_S: i64 = 2870 * 7 * 86_400;
/// Seconds in several minutes, quarters, hours and days, at their ends too.
const TIMES: [i64; 12] = [
    0, 59, 60, 61, 899, 900, 3599, 3600, 7200, 86_399, 86_400, 200_000,
];

fn after_begin(seconds: i64) -> Timestamp {
    Timestamp::from_millis((BEGIN_S + seconds) * 1000)
}

#[derive(Debug, Clone)]
struct Write {
    sensor: u8,
    /// One of [`TIMES`].
    time: u8,
    room: Option<u8>,
    co2: Option<u16>,
    pm25: Option<u16>,
    /// TVOC, and whether its unit was assumed.
    tvoc: Option<(u16, bool)>,
    battery: Option<u8>,
}

impl Write {
    fn reading(&self) -> Reading {
        let mut values = Values::default();
        let tvoc = self.tvoc.map(|(tvoc, _)| tvoc);
        for (quantity, number) in [
            (Quantity::Co2, self.co2),
            (Quantity::Pm25, self.pm25),
            (Quantity::Tvoc, tvoc),
        ] {
            if let Some(number) = number {
                assert!(values.set(quantity, f64::from(number) + 0.1));
            }
        }
        let mut extras = Extras::default();
        if let Some(battery) = self.battery {
            extras.insert("battery", f64::from(battery)).unwrap();
        }
        Reading {
            sensor: SensorId::parse(&format!("s{}", self.sensor)).unwrap(),
            site: self.room.map(|_| PlaceName::parse("site").unwrap()),
            room: self.room.map(room_name),
            observed_at: after_begin(TIMES[usize::from(self.time)]),
            values,
            extras,
            tvoc_unit_assumed: self.tvoc.is_some_and(|(_, assumed)| assumed),
        }
    }

    fn scored(&self) -> ScoredReading {
        let reading = self.reading();
        ScoredReading {
            assessment: PROFILE.assess(&reading.values),
            reading,
        }
    }
}

fn room_name(room: u8) -> PlaceName {
    PlaceName::parse(&format!("room {room}")).unwrap()
}

#[derive(Debug, Clone)]
enum Step {
    Write(Vec<Write>),
    Fail(Vec<Write>, Failure),
    Announce,
    Settle,
    /// Settling breaks off after so many transactions.
    FailToSettle(u32),
    /// Everything from one of [`TIMES`] on goes, of all sensors or one.
    Erase(u8, Option<u8>),
    /// The same, which breaks off after so many transactions and is done again after a restart.
    FailToErase(u8, Option<u8>, u32),
    Query,
    Restart,
    /// The clock says something else: one of [`TIMES`], or later than all.
    Clock(u8),
}

/// What is published of a reading, and how a reading is kept: its room in place of the named one.
#[derive(Debug, Clone, PartialEq)]
struct Event {
    reading: Reading,
    late: bool,
}

impl Event {
    fn of(stored: &Stored) -> Self {
        let reading = &stored.scored.reading;
        assert_eq!(stored.scored.assessment, PROFILE.assess(&reading.values));
        Self {
            reading: Reading {
                site: None,
                room: Some(stored.place.room.clone()),
                ..reading.clone()
            },
            late: stored.late,
        }
    }
}

/// What the store should hold, kept the simplest way.
#[derive(Debug, Clone)]
struct Model {
    /// What is newer has not come.
    horizon: Timestamp,
    readings: BTreeMap<(SensorId, i64), Reading>,
    /// Where sensors stood none of whose readings is left.
    stood: BTreeMap<SensorId, PlaceName>,
    /// Everything that ever changed, in order.
    events: Vec<Event>,
    /// The state of the sensor after each of them.
    states: Vec<State>,
}

/// The newest value of each quantity, where that was measured in a room, and when.
type State = BTreeMap<usize, (f64, Timestamp)>;

/// What is shown of a state: without number and time what is too old.
fn assert_shows(stored: &Stored, expected: &State) {
    let reading = &stored.scored.reading;
    let Some(state) = &stored.state else {
        let own = reading.values.iter();
        let own = own.map(|(quantity, number)| (quantity.index(), (number, reading.observed_at)));
        assert_eq!(own.collect::<State>(), *expected, "{stored:?}");
        return;
    };
    let mut shown = expected.clone();
    for quantity in &state.stale_values {
        assert!(shown.remove(&quantity.index()).is_some(), "{stored:?}");
    }
    let values = state.values.iter().map(|(quantity, number)| {
        let mut times = state.measured_at.iter();
        let at = times.find(|(of, _)| *of == quantity);
        (
            quantity.index(),
            (number, at.map_or(reading.observed_at, |(_, at)| *at)),
        )
    });
    assert_eq!(values.collect::<State>(), shown, "{stored:?}");
    assert_eq!(state.assessment, PROFILE.assess(&state.values));
}

impl Model {
    /// Writes and says what the store should answer.
    fn write(&mut self, write: &Write) -> &'static str {
        let newer = write.reading();
        let sensor = newer.sensor.clone();
        let latest = self.latest(&sensor).map(|latest| latest.observed_at);
        let Some(room) = newer.room.clone().or_else(|| self.room(&sensor)) else {
            return "refused";
        };
        let observed_at = newer.observed_at;
        let newest = Quantity::ALL.map(|quantity| self.newest(&sensor, quantity));
        let newest = newest.map(|newest| newest.map(|reading| reading.observed_at));
        let is_older =
            |newest: Option<Timestamp>| newest.is_some_and(|newest| observed_at < newest);
        let identity = (sensor.clone(), newer.observed_at.millis());
        let (answer, reading) = match self.readings.get_mut(&identity) {
            None => {
                let kept = Reading {
                    site: None,
                    room: Some(room),
                    ..newer
                };
                ("accepted", self.readings.entry(identity).or_insert(kept))
            }
            Some(kept) => {
                if !kept.merge(&newer).changed {
                    return "duplicate";
                }
                if let Some(room) = newer.room {
                    kept.room = Some(room);
                }
                ("updated", kept)
            }
        };
        let reading = reading.clone();
        let late = if reading.values.is_empty() {
            is_older(latest)
        } else {
            let mut values = reading.values.iter();
            values.all(|(quantity, _)| is_older(newest[quantity.index()]))
        };
        self.events.push(Event { reading, late });
        let room = self
            .events
            .last()
            .and_then(|event| event.reading.room.clone());
        self.states.push(self.state(&sensor, room.as_ref()));
        answer
    }

    /// The newest that has come.
    fn latest(&self, sensor: &SensorId) -> Option<&Reading> {
        let mut readings = self.readings.values();
        readings.rfind(|reading| reading.sensor == *sensor && reading.observed_at <= self.horizon)
    }

    /// The newest that has come and has a quantity.
    fn newest(&self, sensor: &SensorId, quantity: Quantity) -> Option<&Reading> {
        let mut readings = self.readings.values();
        readings.rfind(|reading| {
            reading.sensor == *sensor
                && reading.observed_at <= self.horizon
                && reading.values.has(quantity)
        })
    }

    fn state(&self, sensor: &SensorId, room: Option<&PlaceName>) -> State {
        let newest = Quantity::ALL.into_iter().filter_map(|quantity| {
            let reading = self.newest(sensor, quantity)?;
            let value = (reading.values.get(quantity)?, reading.observed_at);
            (reading.room.as_ref() == room).then_some((quantity.index(), value))
        });
        newest.collect()
    }

    /// Where it stands: by its latest reading, else by the first that is to come.
    fn room(&self, sensor: &SensorId) -> Option<PlaceName> {
        let mut readings = self.readings.values();
        let first = readings.find(|reading| reading.sensor == *sensor);
        match self.latest(sensor).or(first) {
            Some(reading) => reading.room.clone(),
            None => self.stood.get(sensor).cloned(),
        }
    }

    /// Removes readings. A sensor of which none is left stands where it stood.
    fn erase(&mut self, erased: &[(SensorId, i64)]) {
        for (sensor, _) in erased {
            let room = self.room(sensor).unwrap();
            self.stood.insert(sensor.clone(), room);
        }
        for identity in erased {
            self.readings.remove(identity).unwrap();
        }
    }
}

fn name_of(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted(_) => "accepted",
        Outcome::Updated(_) => "updated",
        Outcome::Duplicate(_) => "duplicate",
        Outcome::InPart { .. } => "in part",
        Outcome::Refused(_) | Outcome::Counted(_) => "refused",
    }
}

/// A store, what it should hold, and what its listener was told.
struct Trial<'a> {
    url: &'a str,
    readings_kept: usize,
    running: Running,
    model: Model,
    /// Events published, or known from the disk after a restart.
    told: usize,
    last_id: StreamId,
    /// Every id there was, and the number of events up to it.
    marks: Vec<(StreamId, usize)>,
    /// Marks there were before a commit that failed and yet reached the disk.
    marks_before_doubt: Option<usize>,
    /// The last step was a settling that succeeded.
    settled_last: bool,
    /// Events that went from the log because of readings that were erased, or before those.
    forgotten: usize,
}

/// Rows a chunk of the log may have: the largest batch, and what failed before it.
const CHUNK_MAX: usize = 24;

impl<'a> Trial<'a> {
    async fn begin(url: &'a str, readings_kept: usize) -> Self {
        let mut trial = Self {
            url,
            readings_kept,
            running: Running::open(url, readings_kept, QUEUE_MAX).await,
            model: Model {
                horizon: LATER.plus(CLOCK_PRECISION),
                readings: BTreeMap::new(),
                stood: BTreeMap::new(),
                events: Vec::new(),
                states: Vec::new(),
            },
            told: 0,
            last_id: StreamId::default(),
            marks: vec![(StreamId::default(), 0)],
            marks_before_doubt: None,
            settled_last: false,
            forgotten: 0,
        };
        trial.mark_epoch();
        trial
    }

    fn mark_epoch(&mut self) {
        let position = self.running.store.position();
        assert!(position > self.last_id, "ids grow, across restarts too");
        self.last_id = position;
        self.marks.push((position, self.told));
    }

    async fn step(&mut self, step: Step) {
        self.settled_last = matches!(step, Step::Settle);
        match step {
            Step::Write(batch) => self.write(&batch, None).await,
            Step::Fail(batch, failure) => self.write(&batch, Some(failure)).await,
            Step::Announce => {
                self.running.announce().await;
                self.listen();
            }
            Step::Settle => self.running.settle().await,
            Step::FailToSettle(after) => {
                *self.running.database.rewrites_left.lock() = Some(after);
                let result = settle::settle(&self.running.store).await;
                let failed = self.running.database.rewrites_left.lock().take().is_none();
                assert_eq!(result.is_err(), failed);
            }
            Step::Erase(from, sensor) => self.erase(from, sensor, None).await,
            Step::FailToErase(from, sensor, after) => self.erase(from, sensor, Some(after)).await,
            Step::Query => self.check().await,
            Step::Restart => self.restart().await,
            Step::Clock(time) => self.set_clock(time),
        }
    }

    fn set_clock(&mut self, time: u8) {
        let seconds = TIMES.get(usize::from(time));
        let now = seconds.map_or(LATER, |seconds| after_begin(*seconds));
        self.running.clock.0.store(now.millis(), Ordering::Relaxed);
        self.model.horizon = now.plus(CLOCK_PRECISION);
    }

    async fn write(&mut self, batch: &[Write], failure: Option<Failure>) {
        let before = self.model.clone();
        let expected: Vec<_> = batch.iter().map(|write| self.model.write(write)).collect();
        *self.running.database.failure.lock() = failure;
        let readings = batch.iter().map(Write::scored).collect();
        let result = self.running.queue.append(readings, &Sites::ALL).await;
        // It is still there when nothing was to be written.
        let failed = failure.filter(|_| self.running.database.failure.lock().take().is_none());
        match failed {
            None => {
                let outcomes = result.unwrap();
                assert_eq!(outcomes.iter().map(name_of).collect::<Vec<_>>(), expected);
                self.marks_before_doubt = None;
                self.listen();
                assert_eq!(self.told, self.model.events.len(), "all is published");
            }
            Some(failure) => {
                assert_eq!(result.unwrap_err(), AppendError::Failed);
                // What failed before is published nevertheless.
                self.listen();
                assert_eq!(self.told, before.events.len());
                match failure {
                    Failure::Lost => {
                        self.model = before;
                        self.marks_before_doubt = None;
                    }
                    Failure::Unheard => self.marks_before_doubt = Some(self.marks.len()),
                }
            }
        }
    }

    /// Erases everything from a time on, of all sensors or one.
    async fn erase(&mut self, from: u8, sensor: Option<u8>, fails_after: Option<u32>) {
        if self.marks_before_doubt.is_some() {
            // Whoever erases has heard what became of everything that was written.
            return;
        }
        let from = after_begin(TIMES[usize::from(from)]);
        let sensor = sensor.map(|sensor| SensorId::parse(&format!("s{sensor}")).unwrap());
        let is_meant = |id: &SensorId| sensor.as_ref().is_none_or(|sensor| sensor == id);
        let identities = self.model.readings.keys();
        let goes = identities.filter(|(id, at)| *at >= from.millis() && is_meant(id));
        let goes: Vec<_> = goes.cloned().collect();
        *self.running.database.rewrites_left.lock() = fails_after;
        let result = self.running.erase(from, &is_meant).await;
        let left = self.running.database.rewrites_left.lock().take();
        if let Ok(erased) = result {
            assert_eq!(erased, goes.len());
        } else {
            assert_eq!((fails_after.is_some(), left), (true, None));
            self.running.close().await;
            let now = self.running.clock.now();
            self.running = Running::open_at(self.url, self.readings_kept, QUEUE_MAX, now).await;
            self.mark_epoch();
            self.running.erase(from, &is_meant).await.unwrap();
        }
        self.model.erase(&goes);
        let logged = self.rows_logged().await;
        let gone = self.model.events.len() - logged;
        let is_erased = |event: &Event| event.reading.observed_at >= from;
        assert!(!self.model.events[gone..].iter().any(is_erased));
        if self.model.events[self.forgotten..].iter().any(is_erased) {
            self.forgotten = gone;
        }
    }

    /// Compares what was published since the last time.
    fn listen(&mut self) {
        for message in self.running.published() {
            assert!(message.id() > self.last_id, "ids grow");
            self.last_id = message.id();
            if let Published::Measurement(stored) = &message {
                assert_eq!(Event::of(stored), self.model.events[self.told]);
                assert_shows(stored, &self.model.states[self.told]);
                self.told += 1;
            }
            self.marks.push((message.id(), self.told));
        }
    }

    async fn restart(&mut self) {
        self.check().await;
        self.running.close().await;
        let now = self.running.clock.now();
        self.running = Running::open_at(self.url, self.readings_kept, QUEUE_MAX, now).await;
        // Nobody was told of what failed, but it is in the log before whatever was told since.
        self.told = self.model.events.len();
        if let Some(before) = self.marks_before_doubt.take() {
            for (_, events) in &mut self.marks[before..] {
                *events = self.told;
            }
        }
        self.mark_epoch();
        self.check().await;
    }

    async fn check(&self) {
        self.check_replay().await;
        // Not before there is nothing in doubt: the directory does not know of that.
        if self.marks_before_doubt.is_none() {
            self.check_history().await;
            self.check_buckets().await;
            self.check_replay().await;
        }
    }

    async fn check_history(&self) {
        let rows = self.running.rows().await;
        // As the writer does when it has nothing to do.
        let store = &self.running.store;
        store.follow(self.model.horizon).await.unwrap();
        store.directory(|directory| {
            let stored: BTreeMap<_, _> = rows
                .into_iter()
                .map(|row| {
                    let (sensor, place) = directory.origin(&row).unwrap();
                    let at = row.observed_at.millis();
                    let reading = Reading {
                        room: Some(place.room.clone()),
                        ..row.scored(sensor.clone(), PROFILE).reading
                    };
                    ((sensor, at), reading)
                })
                .collect();
            assert_eq!(stored, self.model.readings);
            for sensor in directory.sensors() {
                let id = &sensor.latest.scored.reading.sensor;
                let latest = sensor.come().map(|latest| &*latest.scored);
                let time_and_values = |reading: &Reading| (reading.observed_at, reading.values);
                assert_eq!(
                    latest.map(|latest| time_and_values(&latest.reading)),
                    self.model.latest(id).map(time_and_values)
                );
                if let Some(latest) = latest {
                    assert_eq!(latest.assessment, PROFILE.assess(&latest.reading.values));
                }
                if let Some(stored) = sensor.stored(self.running.clock.now(), PROFILE) {
                    let room = self.model.room(id);
                    assert_shows(&stored, &self.model.state(id, room.as_ref()));
                }
                let place = directory.place(sensor.room).unwrap();
                assert_eq!(Some(&place.room), self.model.room(id).as_ref());
                let of_sensor = self.model.readings.keys().filter(|(known, _)| known == id);
                assert_eq!(sensor.reading_count, of_sensor.clone().count() as u64);
                let oldest = of_sensor.map(|(_, at)| *at).min();
                assert_eq!(Some(sensor.first_seen.millis()), oldest);
            }
        });
    }

    /// Replays from every id there was.
    async fn check_replay(&self) {
        let store = &self.running.store;
        let events = &self.model.events;
        let logged = self.rows_logged().await;
        assert!(logged >= (events.len() - self.forgotten).min(self.readings_kept));
        let gone = events.len() - logged;
        for (number, (after, before)) in self.marks.iter().enumerate() {
            let told: Option<Vec<_>> = self.running.replay(*after).await.map(|stored| {
                assert!(stored.iter().all(|stored| stored.id > *after));
                assert!(stored.is_sorted_by(|a, b| a.id < b.id));
                for (stored, state) in stored.iter().zip(self.model.states.iter().skip(*before)) {
                    assert_shows(stored, state);
                }
                stored.iter().map(Event::of).collect()
            });
            if *before < gone {
                assert_eq!(told, None, "{after}");
                continue;
            }
            let told = told.unwrap_or_else(|| panic!("nothing is gone after {after}"));
            assert_eq!(told, events[*before..self.told], "after {after}");
            // A part of it, too.
            let (up_to, last) = self.marks[usize::midpoint(number, self.marks.len() - 1)];
            let part = store.replay(*after, up_to, 3).await.unwrap().unwrap();
            let part: Vec<_> = part.iter().map(Event::of).collect();
            let expected = &events[*before..last.min(self.told)];
            assert_eq!(part, expected[..expected.len().min(3)]);
        }
        let position = store.position();
        let next_epoch = StreamId {
            epoch: position.epoch + 1,
            sequence: 0,
        };
        for future in [position.plus(1), next_epoch] {
            assert_eq!(
                self.running.replay(future).await.map(|told| told.len()),
                None
            );
        }
    }

    async fn rows_logged(&self) -> usize {
        let sizes = self.running.database.log_sizes().await.unwrap();
        let rows: u32 = sizes.iter().map(|(_, readings)| readings).sum();
        let loaded = self.running.database.load().await.unwrap();
        let unsettled: u32 = loaded.log.iter().map(|batch| batch.readings).sum();
        let [rows, unsettled] = [rows, unsettled].map(|count| count as usize);
        if self.marks_before_doubt.is_none() {
            let rows_max = self.readings_kept + CHUNK_MAX + unsettled;
            assert!(
                rows <= rows_max || !self.settled_last,
                "{rows} rows in the log"
            );
        }
        rows
    }

    /// Every step over any time, from roll-ups, readings and what is not settled, is what all readings
    /// of the model come to.
    async fn check_buckets(&self) {
        let store = &self.running.store;
        let sensors: Vec<_> = store.directory(|directory| {
            let mut keys: Vec<_> = directory.sensors().map(|sensor| sensor.key).collect();
            keys.sort();
            keys
        });
        let query = HistoryQuery {
            sensors,
            rooms: None,
        };
        for bucket in every_bucket() {
            for (from_ms, to_ms) in [(0, 300_000_000), (59_500, 7_200_001), (60_000, 86_400_000)] {
                let (from, to) = (
                    Timestamp::from_millis(BEGIN_S * 1000 + from_ms),
                    Timestamp::from_millis(BEGIN_S * 1000 + to_ms),
                );
                let buckets = store
                    .buckets(&query, &bucket, TimeRange::new(from, to), usize::MAX)
                    .await
                    .unwrap()
                    .unwrap();
                if to_ms - from_ms < 10_000_000 {
                    // About forty rows, so that it is put together from many pieces.
                    let pieces =
                        store.large_buckets(&query, &bucket, TimeRange::new(from, to), 20_000);
                    assert_eq!(pieces.await.unwrap(), buckets, "{bucket:?} {from} {to}");
                }
                let shown: Vec<_> = store.directory(|directory| {
                    let shown = buckets.iter().map(|row| Shown::of(directory, row));
                    shown.collect()
                });
                let mut expected = self.model.buckets(&bucket, from, to);
                let mut shown_sorted = shown.clone();
                shown_sorted.sort_by_key(Shown::order);
                expected.sort_by_key(Shown::order);
                assert_eq!(shown_sorted, expected, "{bucket:?} {from} {to}");
                assert!(shown.is_sorted_by_key(|shown| shown.start));
            }
        }
    }
}

/// Buckets of every width that roll-ups have and of others, and days of places that are whole and half
/// hours and quarters of an hour away from UTC.
fn every_bucket() -> Vec<Bucket> {
    let widths_s = [30, 60, 300, 900, 3600, 86_400];
    let mut buckets: Vec<_> = widths_s.map(|width_s| Bucket::even(width_s * 1000)).into();
    buckets.extend(
        [(7200, 3600), (604_800, 345_600)].map(|(width_s, origin_s)| Bucket::Even {
            width_ms: width_s * 1000,
            origin_ms: origin_s * 1000,
        }),
    );
    for name in ["Europe/Paris", "Asia/Kathmandu", "Pacific/Marquesas"] {
        let zone = Zone::named(name).unwrap();
        buckets.extend(
            [(1, 0), (7, 4), (3, 0)].map(|(days, origin)| Bucket::days(&zone, days, origin)),
        );
    }
    buckets
}

/// A bucket by names.
#[derive(Debug, Clone, PartialEq)]
struct Shown {
    start: Timestamp,
    sensor: String,
    room: String,
    readings: u32,
    statistics: Vec<(Measure, Statistics)>,
}

impl Shown {
    fn of(directory: &Directory, row: &BucketRow) -> Self {
        let entry = directory.sensor(row.sensor).unwrap();
        Self {
            start: row.start,
            sensor: entry.latest.scored.reading.sensor.as_str().to_owned(),
            room: directory.place(row.room).unwrap().room.as_str().to_owned(),
            readings: row.readings,
            statistics: row.statistics.to_vec(),
        }
    }

    fn order(&self) -> (Timestamp, String, String) {
        (self.start, self.sensor.clone(), self.room.clone())
    }
}

impl Model {
    /// The same as [`Store::buckets`], from all readings one by one.
    fn buckets(&self, bucket: &Bucket, from: Timestamp, to: Timestamp) -> Vec<Shown> {
        type Numbers = BTreeMap<Measure, Vec<f64>>;
        let mut buckets: BTreeMap<(Timestamp, String, String), (u32, Numbers)> = BTreeMap::new();
        for reading in self.readings.values() {
            if !(from..to).contains(&reading.observed_at) {
                continue;
            }
            let start = bucket.start(reading.observed_at);
            let room = reading.room.as_ref().unwrap().as_str().to_owned();
            let key = (start, reading.sensor.as_str().to_owned(), room);
            let (count, numbers) = buckets.entry(key).or_default();
            *count += 1;
            for (quantity, number) in reading.values.iter() {
                let measure = Measure::Quantity(quantity);
                numbers.entry(measure).or_default().push(number);
            }
            for profile in [Profile::Iaqverse, Profile::Classic] {
                if let Some(score) = profile.assess(&reading.values).shown() {
                    let measure = Measure::Score(profile);
                    numbers.entry(measure).or_default().push(f64::from(score));
                }
            }
        }
        let shown = buckets
            .into_iter()
            .map(|((start, sensor, room), (count, numbers))| Shown {
                start,
                sensor,
                room,
                readings: count,
                statistics: numbers
                    .into_iter()
                    .map(|(measure, numbers)| (measure, naive(&numbers)))
                    .collect(),
            });
        shown.collect()
    }
}

fn naive(numbers: &[f64]) -> Statistics {
    #[expect(clippy::cast_possible_truncation, reason = "small numbers")]
    let millionths = numbers.iter().map(|number| (number * 1e6).round() as i64);
    Statistics {
        count: u32::try_from(numbers.len()).unwrap(),
        sum_millionths: millionths.sum(),
        min: numbers.iter().copied().fold(f64::INFINITY, f64::min),
        max: numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    }
}

async fn run(url: &str, readings_kept: usize, steps: Vec<Step>) {
    let mut trial = Trial::begin(url, readings_kept).await;
    for step in steps {
        trial.step(step).await;
    }
    trial.restart().await;
    trial.running.close().await;
}

fn any_write() -> impl Strategy<Value = Write> {
    (
        0..3_u8,
        0..u8::try_from(TIMES.len()).unwrap(),
        prop::option::of(0..3_u8),
        prop::option::weighted(0.7, 0..3_u16),
        prop::option::weighted(0.7, 0..3_u16),
        prop::option::weighted(0.3, (0..2_u16, any::<bool>())),
        prop::option::weighted(0.2, 0..3_u8),
    )
        .prop_map(|(sensor, time, room, co2, pm25, tvoc, battery)| Write {
            sensor,
            time,
            room,
            co2,
            pm25,
            tvoc,
            battery,
        })
}

fn any_step() -> impl Strategy<Value = Step> {
    let batch = || prop::collection::vec(any_write(), 1..12);
    let any_time = || 0..u8::try_from(TIMES.len()).unwrap();
    let any_sensor = || prop::option::of(0..3_u8);
    let failure = prop_oneof![Just(Failure::Lost), Just(Failure::Unheard)];
    prop_oneof![
        6 => batch().prop_map(Step::Write),
        2 => (batch(), failure).prop_map(|(batch, failure)| Step::Fail(batch, failure)),
        2 => Just(Step::Announce),
        2 => Just(Step::Settle),
        1 => (0..4_u32).prop_map(Step::FailToSettle),
        2 => (any_time(), any_sensor()).prop_map(|(time, sensor)| Step::Erase(time, sensor)),
        1 => (any_time(), any_sensor(), 0..8_u32)
            .prop_map(|(time, sensor, after)| Step::FailToErase(time, sensor, after)),
        1 => Just(Step::Query),
        2 => Just(Step::Restart),
        3 => (0..=u8::try_from(TIMES.len()).unwrap()).prop_map(Step::Clock),
    ]
}

fn any_history() -> impl Strategy<Value = (usize, Vec<Step>)> {
    let readings_kept = prop_oneof![Just(0), 1..20_usize, Just(100_000)];
    (readings_kept, prop::collection::vec(any_step(), 1..14))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn the_store_on_sqlite_holds_what_a_naive_model_holds((readings_kept, steps) in any_history()) {
        on_sqlite(&async |url: &str| run(url, readings_kept, steps.clone()).await);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(15))]

    #[test]
    fn the_store_on_postgres_holds_what_a_naive_model_holds((readings_kept, steps) in any_history()) {
        on_postgres(&async |url: &str| run(url, readings_kept, steps.clone()).await);
    }
}

fn write_co2(sensor: u8, time: u8, room: Option<u8>) -> Write {
    Write {
        sensor,
        time,
        room,
        co2: Some(0),
        pm25: None,
        tvoc: None,
        battery: None,
    }
}

/// The clock went back below all readings between two looks of the writer, and then all were erased.
#[test]
fn a_sensor_without_readings_stands_where_it_stood_by_the_clock_when_they_were_erased() {
    let steps = vec![
        Step::Write(vec![write_co2(0, 3, Some(0)), write_co2(0, 6, Some(1))]),
        Step::Clock(0),
        Step::Erase(0, None),
        Step::Write(vec![write_co2(0, 0, None)]),
    ];
    on_sqlite(&async |url: &str| run(url, 0, steps.clone()).await);
}

/// A late reading has a chunk of its own; then others come at both sides of it.
#[test]
fn late_readings_around_a_late_one_are_all_found() {
    let steps = vec![
        Step::Write(vec![write_co2(0, 10, Some(0))]),
        Step::Settle,
        Step::Write(vec![write_co2(0, 4, None)]),
        Step::Settle,
        Step::Write(vec![
            write_co2(0, 3, None),
            write_co2(0, 8, None),
            write_co2(0, 10, Some(1)),
        ]),
        Step::Settle,
    ];
    on_sqlite(&async |url: &str| run(url, 0, steps.clone()).await);
}
