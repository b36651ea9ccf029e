//! What the store counts of itself for operators. What each name means stands in `server::metrics`.

use super::{Became, Outcome, Store, Stored};
use crate::domain::{StreamId, Timestamp};
use metrics::{Counter, Histogram, counter, histogram};
use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// Counters and histograms, looked up once.
#[derive(Debug)]
pub(super) struct Measures {
    new: Counter,
    updated: Counter,
    duplicate: Counter,
    late: Counter,
    commits: Counter,
    commit_failures: Counter,
    commit_duration: Histogram,
    commit_readings: Histogram,
    write_wait: Histogram,
    settlings: Histogram,
    settle_failures: Counter,
    /// Since when what the writer works on has waited; nothing behind it waits for longer.
    writing_since: Mutex<Option<Instant>>,
}

/// How the store is at this moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StoreCondition {
    /// Why it takes no readings, when it does not, is in `/health/ready`.
    pub is_up: bool,
    pub sensors: usize,
    pub newest_at: Option<Timestamp>,
    pub position: StreamId,
    pub log_readings: usize,
    pub unsettled_readings: usize,
    /// How long the oldest readings wait that are taken in and not durable.
    pub oldest_waiting: Option<Duration>,
}

impl Default for Measures {
    fn default() -> Self {
        let taken = |outcome| counter!("iaqverse_readings_taken_total", "outcome" => outcome);
        Self {
            new: taken("new"),
            updated: taken("updated"),
            duplicate: taken("duplicate"),
            late: counter!("iaqverse_readings_late_total"),
            commits: counter!("iaqverse_commits_total"),
            commit_failures: counter!("iaqverse_commit_failures_total"),
            commit_duration: histogram!("iaqverse_commit_duration_seconds"),
            commit_readings: histogram!("iaqverse_commit_readings"),
            write_wait: histogram!("iaqverse_write_wait_seconds"),
            settlings: histogram!("iaqverse_settle_duration_seconds"),
            settle_failures: counter!("iaqverse_settle_failures_total"),
            writing_since: Mutex::default(),
        }
    }
}

impl Measures {
    /// Readings have become durable, or were so already.
    pub(super) fn taken(&self, outcomes: &[Outcome], stored: &[Stored]) {
        let (mut new, mut updated, mut duplicate) = (0, 0, 0);
        for outcome in outcomes {
            // The road counts what is refused, with what it has refused itself.
            match outcome.taken() {
                Some((_, Became::New)) => new += 1,
                Some((_, Became::Changed)) => updated += 1,
                Some((_, Became::Same)) => duplicate += 1,
                None => {}
            }
        }
        self.new.increment(new);
        self.updated.increment(updated);
        self.duplicate.increment(duplicate);
        let late = stored.iter().filter(|stored| stored.late).count();
        self.late.increment(late as u64);
    }

    /// The database has committed.
    #[expect(clippy::cast_precision_loss, reason = "a transaction is small")]
    pub(super) fn committed(&self, readings: usize, duration: Duration) {
        self.commits.increment(1);
        self.commit_duration.record(duration.as_secs_f64());
        self.commit_readings.record(readings as f64);
    }

    pub(super) fn commit_failed(&self) {
        self.commit_failures.increment(1);
    }

    /// The writer works on what was taken in at `since`, or on nothing any more.
    pub(super) fn writes(&self, since: Option<Instant>) {
        *self.writing_since.lock() = since;
    }

    /// Readings of one request are durable.
    pub(super) fn waited(&self, wait: Duration) {
        self.write_wait.record(wait.as_secs_f64());
    }

    pub(super) fn settled(&self, duration: Duration, failed: bool) {
        if failed {
            self.settle_failures.increment(1);
        } else {
            self.settlings.record(duration.as_secs_f64());
        }
    }
}

impl Store {
    /// How it is now. Looks at every sensor.
    pub fn condition(&self) -> StoreCondition {
        let (sensors, newest_at, position) = self.directory(|directory| {
            let latest = directory.sensors().filter_map(|sensor| sensor.come());
            let newest = latest.map(|latest| latest.scored.reading.observed_at).max();
            (directory.sensor_count(), newest, directory.position())
        });
        StoreCondition {
            is_up: self.fault.read().is_none(),
            sensors,
            newest_at,
            position,
            log_readings: self.log.lock().readings(),
            unsettled_readings: self.recent.count(),
            oldest_waiting: self.measures.writing_since.lock().map(|at| at.elapsed()),
        }
    }

    /// How many bytes the database takes.
    pub async fn database_bytes(&self) -> Result<u64, crate::database::StoreError> {
        self.database.size_bytes().await
    }

    /// About how many messages come behind `position`.
    pub fn behind(&self, position: StreamId) -> u64 {
        let present = self.position();
        if position.epoch == present.epoch {
            return present.sequence.saturating_sub(position.sequence);
        }
        self.log.lock().readings_behind(position) as u64
    }
}
