//! The state of every sensor in one message.

use super::encoding::{Encoded, Encoding};
use super::frame::Deflater;
use crate::domain::{Selector, Subject};
use crate::domain::{StreamId, Timestamp, Topic};
use crate::read_budget::{Lease, TooMuchRead};
use crate::store::{LatestReading, SensorEntry, Store, Stored};
use crate::wire::{Measurement, Shown};
use bytes::Bytes;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use serde::Serialize;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use tokio::task::JoinError;

/// Bytes of the message of a sensor without what it measures.
const MESSAGE_BYTES: usize = 400;
/// What each quantity adds at most: a value, and when it was measured.
const QUANTITY_BYTES: usize = 96;
/// Small snapshots that are kept for the next who asks for the same, and the most bytes of each. Who
/// shares one is charged nothing for it: as much may wait for a client anyway.
const KEPT_MAX: usize = 4;
const KEPT_BYTES_MAX: usize = 256 * 1024;
/// Snapshots that can be found: small ones while they are kept or shared, larger ones as long as a
/// client has them. Beyond this number each client gets one of its own.
const KNOWN_MAX: usize = 4096;

/// The latest reading of every sensor that any of the filters matches, as it is sent in one encoding,
/// and where live goes on.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) id: StreamId,
    /// Of which change of the latest readings it is: they change with the clock, too.
    latest_version: u64,
    /// The complete bytes to send.
    pub(super) bytes: Bytes,
    /// The memory they take, for as long as anybody has them; `None` for a small one that is kept.
    _lease: Option<Lease>,
}

/// How old a snapshot may be at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct SnapshotAge {
    /// It has everything up to this message.
    pub(super) since: StreamId,
    /// And every change of the latest readings up to this one.
    pub(super) latest_version: u64,
}

impl Snapshot {
    /// About how many bytes one takes.
    pub(super) fn size(store: &Store, filters: &[Selector]) -> usize {
        store.directory(|directory| {
            let wanted = directory.sensors().filter(|sensor| {
                let latest = sensor.come();
                latest.is_some_and(|latest| Selector::any_matches(filters, subject(latest)))
            });
            wanted.map(message_bytes).sum()
        })
    }
}

/// Makes snapshots.
#[derive(Debug, Default)]
pub(super) struct Packer(RefCell<Deflater>);

impl Packer {
    /// What the store has now.
    pub(super) fn pack(
        &self,
        store: &Store,
        filters: &[Selector],
        encoding: Encoding,
        mut lease: Lease,
        now: Timestamp,
    ) -> Snapshot {
        let (id, latest_version, latest) = store.directory(|directory| {
            let wanted = directory.sensors().filter(|sensor| {
                let latest = sensor.come();
                latest.is_some_and(|latest| Selector::any_matches(filters, subject(latest)))
            });
            let stored = wanted.filter_map(|sensor| sensor.stored(now, directory.profile()));
            let stored: Vec<_> = stored.collect();
            (directory.position(), directory.latest_version(), stored)
        });
        let encoded = Encoded::default();
        let bytes = encoded.get(encoding, id, &self.0, || json(id, &latest));
        let bytes = bytes.clone();
        // It was an estimate. What it is short of is too little to begin again for it.
        lease.shrink_to(bytes.len());
        let _grown = lease.grow(bytes.len() - lease.bytes());
        Snapshot {
            id,
            latest_version,
            bytes,
            _lease: Some(lease),
        }
    }

    /// The snapshot that `frame` is, in another encoding.
    pub(super) fn pack_again(
        &self,
        frame: &Snapshot,
        encoding: Encoding,
        mut lease: Lease,
    ) -> Snapshot {
        let encoded = Encoded::of_frame(frame.bytes.clone());
        let bytes = encoded.get(encoding, frame.id, &self.0, Vec::new).clone();
        lease.shrink_to(bytes.len());
        Snapshot {
            id: frame.id,
            latest_version: frame.latest_version,
            bytes,
            _lease: Some(lease),
        }
    }
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub(super) enum SnapshotError {
    #[error(transparent)]
    TooMuchRead(#[from] TooMuchRead),
    #[error("too many snapshots are made")]
    Busy,
    #[error("the snapshot could not be made")]
    BrokenOff(#[from] JoinError),
}

fn json(id: StreamId, latest: &[Stored]) -> Vec<u8> {
    #[derive(Serialize)]
    struct Message<'a> {
        r#type: &'static str,
        topic: &'static str,
        id: Shown<'a, StreamId>,
        data: Vec<Measurement<'a>>,
    }
    let message = Message {
        r#type: "snapshot",
        topic: Topic::Measurements.as_str(),
        id: Shown(&id),
        data: latest.iter().map(Measurement).collect(),
    };
    // Serialising texts and finite numbers into memory cannot fail.
    serde_json::to_vec(&message).unwrap_or_default()
}

fn message_bytes(sensor: &SensorEntry) -> usize {
    let latest = &sensor.latest;
    let place = &latest.place;
    let names = place.site.as_str().len() + place.room.as_str().len();
    let extras = latest.scored.reading.extras.iter();
    // A number in JSON has up to 24 characters, and a key its quotes.
    let state = sensor.state.quantity_count() * QUANTITY_BYTES;
    MESSAGE_BYTES + state + names + extras.map(|(key, _)| key.len() + 32).sum::<usize>()
}

fn subject(latest: &LatestReading) -> Subject<'_> {
    Subject::of(&latest.place, &latest.scored.reading.sensor)
}

/// The snapshots that clients have, so that those who ask for the same at about the same time share
/// one.
#[derive(Debug, Default)]
pub(super) struct Snapshots(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_scope: FxHashMap<(Vec<Selector>, Encoding), Weak<Snapshot>>,
    /// Small ones stay when their clients have them, for the next.
    kept: VecDeque<Arc<Snapshot>>,
}

impl Snapshots {
    /// One that is no older than `age`, if there is one.
    pub(super) fn get(
        &self,
        filters: &[Selector],
        encoding: Encoding,
        age: SnapshotAge,
    ) -> Option<Arc<Snapshot>> {
        let scope = (filters.to_vec(), encoding);
        let known = self.0.lock();
        let snapshot = known.by_scope.get(&scope)?.upgrade()?;
        let is_new = snapshot.id >= age.since && snapshot.latest_version >= age.latest_version;
        is_new.then_some(snapshot)
    }

    pub(super) fn put(&self, filters: &[Selector], encoding: Encoding, snapshot: &Arc<Snapshot>) {
        let mut known = self.0.lock();
        // Of those of before nobody has any use.
        known.kept.retain(|kept| kept.id == snapshot.id);
        let mut shared = Arc::clone(snapshot);
        if snapshot.bytes.len() <= KEPT_BYTES_MAX {
            // Kept at nobody's cost: its maker may have no use for it any more.
            shared = Arc::new(Snapshot {
                bytes: snapshot.bytes.clone(),
                _lease: None,
                ..**snapshot
            });
            known.kept.push_back(Arc::clone(&shared));
            if known.kept.len() > KEPT_MAX {
                known.kept.pop_front();
            }
        }
        if known.by_scope.len() >= KNOWN_MAX {
            known.by_scope.retain(|_, known| known.strong_count() > 0);
        }
        if known.by_scope.len() < KNOWN_MAX {
            let scope = (filters.to_vec(), encoding);
            known.by_scope.insert(scope, Arc::downgrade(&shared));
        }
    }
}
