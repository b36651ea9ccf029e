//! Readings to an earlier time: stored there like any other, and then taken out.
//!
//! A reading is durable under its new time before it goes from the old one, so a move that was broken
//! off is finished by doing it again: what was stored already is a duplicate then. For that a reading
//! must not come to lie among those that are still to be moved, or it would be moved twice.

use super::listing::{self, Listed};
use super::{READINGS_AT_ONCE, Selection};
use crate::clock::SystemClock;
use crate::commands::transfer::import::{Nobody, RETRY_WAIT, TRIES, note};
use crate::config::StoreConfig;
use crate::database::SensorKey;
use crate::domain::{Reading, Sites, Timestamp};
use crate::score::Profile;
use crate::store::{
    AppendError, HistoryRow, Keeper, Outcome, ScoredReading, Store, WriteQueue, Writer,
};
use crate::validate::CLOCK_AHEAD_MAX;
use anyhow::Context;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Readings that are stored together.
const STORED_AT_ONCE: usize = 1024;

/// Moves everything of the selection, as far as it would be taken under its new time.
pub(super) async fn run(
    store: &Store,
    selection: &Selection,
    listed: &[Listed],
    by: Duration,
    config: &StoreConfig,
) -> anyhow::Result<()> {
    let profile = Profile::default();
    let (writer, queue) = Writer::new(
        store,
        Arc::new(Nobody),
        profile,
        config.registry_limits(),
        config.queue_readings_max.max(STORED_AT_ONCE),
        Arc::new(SystemClock),
    );
    // Readings are refused by the same limit as in a running server.
    drop(Keeper::new(
        store,
        config.retention(),
        Arc::new(SystemClock),
    ));
    let mut moving = Moving {
        store,
        queue,
        profile,
        by,
        now: selection.now,
        latest: selection.after.min(selection.now.plus(CLOCK_AHEAD_MAX)),
        accepted: 0,
        updated: 0,
        duplicates: 0,
        left: BTreeMap::new(),
    };
    let sensors = listing::sensors(listed);
    let ((), result) = tokio::join!(writer.run(), async {
        let result = moving.all(selection, &sensors).await;
        moving.queue.close().await;
        result
    });
    moving.report(result)
}

struct Moving<'a> {
    store: &'a Store,
    queue: WriteQueue,
    profile: Profile,
    by: Duration,
    now: Timestamp,
    /// The last of the new times that are taken.
    latest: Timestamp,
    accepted: u64,
    updated: u64,
    duplicates: u64,
    /// Readings that stay where they are, by the code of the reason.
    left: BTreeMap<&'static str, u64>,
}

impl Moving<'_> {
    async fn all(&mut self, selection: &Selection, sensors: &[SensorKey]) -> anyhow::Result<()> {
        self.store.forget_from(selection.begin()).await?;
        let mut waiting = Vec::new();
        for sensor in sensors {
            let mut next = Some(selection.begin());
            while let Some(from) = next {
                let page = self.store.page(*sensor, from).await?;
                next = page.next;
                waiting.extend(page.rows);
                if waiting.len() >= READINGS_AT_ONCE {
                    self.some(std::mem::take(&mut waiting)).await?;
                }
            }
        }
        self.some(waiting).await
    }

    async fn some(&mut self, rows: Vec<HistoryRow>) -> anyhow::Result<()> {
        let mut wanted = Vec::with_capacity(rows.len());
        for row in rows {
            let at = row.observed_at.minus(self.by);
            if at > self.latest {
                self.leave("timestamp_in_future");
            } else if at < Timestamp::OLDEST {
                self.leave("timestamp_too_old");
            } else if let Some(scored) = self.moved(&row, at) {
                wanted.push(((row.sensor, row.observed_at), scored));
            } else {
                self.leave("unknown_place");
            }
        }
        let mut stored = Vec::with_capacity(wanted.len());
        for some in wanted.chunks(STORED_AT_ONCE) {
            let readings: Vec<_> = some.iter().map(|(_, scored)| scored.clone()).collect();
            let outcomes = self.stored(readings).await?;
            for ((identity, _), outcome) in some.iter().zip(outcomes) {
                match outcome {
                    Outcome::Updated(_) => self.updated += 1,
                    Outcome::Duplicate(_) => self.duplicates += 1,
                    // Not all of it would be there, so it stays where it is.
                    Outcome::InPart { left_out, .. } if left_out.keys > 0 => {
                        self.leave("too_many_keys");
                        continue;
                    }
                    Outcome::Accepted(_) | Outcome::InPart { .. } => self.accepted += 1,
                    Outcome::Counted(code) => {
                        self.leave(code);
                        continue;
                    }
                    Outcome::Refused(rejection) => {
                        let code = rejection
                            .errors
                            .first()
                            .map_or("refused", |error| error.code);
                        self.leave(code);
                        continue;
                    }
                }
                stored.push(*identity);
            }
        }
        self.store.erase(stored, self.now).await?;
        Ok(())
    }

    fn leave(&mut self, code: &'static str) {
        *self.left.entry(code).or_default() += 1;
    }

    /// A stored reading as it is to be stored under another time, in the same room.
    fn moved(&self, row: &HistoryRow, at: Timestamp) -> Option<ScoredReading> {
        self.store.directory(|directory| {
            let place = directory.place(row.room)?;
            let entry = directory.sensor(row.sensor)?;
            Some(ScoredReading {
                assessment: self.profile.assess(&row.values),
                reading: Reading {
                    sensor: entry.latest.scored.reading.sensor.clone(),
                    site: Some(place.site.clone()),
                    room: Some(place.room.clone()),
                    observed_at: at,
                    values: row.values,
                    extras: row.extras.clone(),
                    tvoc_unit_assumed: row.tvoc_unit_assumed,
                },
            })
        })
    }

    /// What becomes of readings; a database that fails for a while is waited for.
    async fn stored(&self, readings: Vec<ScoredReading>) -> anyhow::Result<Vec<Outcome>> {
        for _try in 1..TRIES {
            match self.queue.append(readings.clone(), &Sites::ALL).await {
                Err(AppendError::Failed | AppendError::Busy) => {
                    tokio::time::sleep(RETRY_WAIT).await;
                }
                result => return result.context("the readings cannot be stored"),
            }
        }
        let result = self.queue.append(readings, &Sites::ALL).await;
        result.context("the readings cannot be stored")
    }

    /// Says what became of all readings; an error when not all of them were moved.
    fn report(&self, result: anyhow::Result<()>) -> anyhow::Result<()> {
        note(&format!(
            "moved back by {}: {} new, {} changed, {} already there",
            humantime::format_duration(self.by),
            self.accepted,
            self.updated,
            self.duplicates
        ));
        let left = self.left.iter();
        let reasons: Vec<_> = left
            .map(|(code, count)| format!("{count} {code}"))
            .collect();
        result.context("not everything is moved; the command can be repeated")?;
        anyhow::ensure!(
            reasons.is_empty(),
            "readings that would not be taken there stay where they are: {}",
            reasons.join(", ")
        );
        Ok(())
    }
}
