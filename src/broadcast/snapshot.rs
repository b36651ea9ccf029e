//! The state of every sensor in one message.

use super::encoding::{Encoded, Encoding};
use super::filter::{Filter, Subject};
use super::frame::Deflater;
use crate::domain::{StreamId, Topic};
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

/// Bytes of the message of a sensor, unless it measures more than most.
const MESSAGE_BYTES: usize = 640;
/// Snapshots that are kept for the next who asks for the same, and the most bytes of each. They are
/// counted as long as they are kept.
const KEPT_MAX: usize = 4;
const KEPT_BYTES_MAX: usize = 256 * 1024;
/// Snapshots that are known as long as a client has them; of more than these only new ones are made.
const KNOWN_MAX: usize = 4096;

/// The latest reading of every sensor that any of the filters matches, as it is sent in one encoding,
/// and where live goes on.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) id: StreamId,
    /// The complete bytes to send.
    pub(super) bytes: Bytes,
    /// The memory they take, for as long as anybody has them.
    lease: Lease,
}

impl Snapshot {
    /// About how many bytes one takes.
    pub(super) fn size(store: &Store, filters: &[Filter]) -> usize {
        store.directory(|directory| {
            let latest = directory.sensors().filter_map(SensorEntry::come);
            let wanted = latest.filter(|latest| Filter::any_matches(filters, subject(latest)));
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
        filters: &[Filter],
        encoding: Encoding,
        mut lease: Lease,
    ) -> Snapshot {
        let (id, latest) = store.directory(|directory| {
            let latest = directory.sensors().filter_map(SensorEntry::come);
            let wanted = latest.filter(|latest| Filter::any_matches(filters, subject(latest)));
            let stored: Vec<_> = wanted.map(LatestReading::stored).collect();
            (directory.position(), stored)
        });
        let encoded = Encoded::default();
        let bytes = encoded.get(encoding, id, &self.0, || json(id, &latest));
        let bytes = bytes.clone();
        // It was an estimate. What it is short of is too little to begin again for it.
        lease.shrink_to(bytes.len());
        let _grown = lease.grow(bytes.len() - lease.bytes());
        Snapshot { id, bytes, lease }
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
            bytes,
            lease,
        }
    }
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub(super) enum SnapshotError {
    #[error(transparent)]
    TooMuchRead(#[from] TooMuchRead),
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

fn message_bytes(latest: &LatestReading) -> usize {
    let extras = latest.scored.reading.extras.iter();
    // A number in JSON has up to 24 characters, and a key its quotes.
    MESSAGE_BYTES + extras.map(|(key, _)| key.len() + 32).sum::<usize>()
}

fn subject(latest: &LatestReading) -> Subject<'_> {
    Subject {
        site: Some(latest.place.site.as_str()),
        room: Some(latest.place.room.as_str()),
        sensor: Some(latest.scored.reading.sensor.as_str()),
    }
}

/// The snapshots that clients have, so that those who ask for the same at about the same time share
/// one.
#[derive(Debug, Default)]
pub(super) struct Snapshots(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_scope: FxHashMap<(Vec<Filter>, Encoding), Weak<Snapshot>>,
    /// Small ones stay when their clients have them, for the next.
    kept: VecDeque<Arc<Snapshot>>,
}

impl Snapshots {
    /// One that was taken at the message `since` or later, if there is one.
    pub(super) fn get(
        &self,
        filters: &[Filter],
        encoding: Encoding,
        since: StreamId,
    ) -> Option<Arc<Snapshot>> {
        let scope = (filters.to_vec(), encoding);
        let known = self.0.lock();
        let snapshot = known.by_scope.get(&scope)?.upgrade()?;
        (snapshot.id >= since).then_some(snapshot)
    }

    pub(super) fn put(&self, filters: &[Filter], encoding: Encoding, snapshot: &Arc<Snapshot>) {
        let mut known = self.0.lock();
        // Of those of before nobody has any use.
        known.kept.retain(|kept| kept.id == snapshot.id);
        if known.by_scope.len() >= KNOWN_MAX {
            known.by_scope.retain(|_, known| known.strong_count() > 0);
        }
        if known.by_scope.len() < KNOWN_MAX {
            let scope = (filters.to_vec(), encoding);
            known.by_scope.insert(scope, Arc::downgrade(snapshot));
        }
        if snapshot.lease.bytes() <= KEPT_BYTES_MAX {
            known.kept.push_back(Arc::clone(snapshot));
            if known.kept.len() > KEPT_MAX {
                known.kept.pop_front();
            }
        }
    }
}
