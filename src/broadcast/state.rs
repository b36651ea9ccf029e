//! What all shards share: the limits, who is connected, and the snapshots that clients have.

use super::encoding::Encoding;
use super::log::LogLimits;
use super::snapshot::{Packer, Snapshot, SnapshotAge, SnapshotError, Snapshots};
use super::stats::{Stats, Subscriptions, Transport};
use crate::access::{Access, customer};
use crate::clock::Clock;
use crate::domain::Selector;
use crate::domain::{StreamId, Topic, TopicSet};
use crate::host::Host;
use crate::read_budget::{Lease, ReadBudget};
use crate::shutdown::Shutdown;
use crate::store::{Directory, Store};
use parking_lot::Mutex;
use rand::Rng;
use rustc_hash::FxHashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, OwnedMutexGuard};
use tokio::task::spawn_blocking;

/// Bounds of the hub and of each client.
#[derive(Debug, Clone, Copy)]
pub struct HubLimits {
    /// Connections in all; 0 for no limit.
    pub connections_max: usize,
    /// Connections of one address; 0 for no limit.
    pub connections_per_address_max: usize,
    /// Bytes that may wait for one client.
    pub queue_bytes_max: usize,
    /// Commands a client may send each second; 0 for no limit.
    pub commands_per_second: u32,
    /// Filters the subscriptions of a client may have.
    pub filters_max: usize,
    pub ping_interval: Duration,
    /// A client silent for this long is dropped.
    pub silence_max: Duration,
    /// What is kept in memory for clients that come back.
    pub replay: LogLimits,
}

/// What a hub works with.
#[derive(Debug)]
pub struct HubParts {
    pub store: Store,
    pub read_budget: ReadBudget,
    pub access: Access,
    pub clock: Arc<dyn Clock>,
    pub host: Arc<Host>,
    pub shutdown: Shutdown,
    pub limits: HubLimits,
}

/// What all shards share: the limits, who is connected, and the snapshots that clients have. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct HubState(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    parts: HubParts,
    node: String,
    connections: AtomicUsize,
    by_transport: [AtomicUsize; Transport::COUNT],
    by_topic: [AtomicUsize; Topic::COUNT],
    by_address: Mutex<FxHashMap<IpAddr, usize>>,
    left: Notify,
    snapshots: Snapshots,
    packer: Arc<tokio::sync::Mutex<Packer>>,
}

/// A connection that was admitted; dropping it lets another in.
#[derive(Debug)]
pub(super) struct Seat {
    state: HubState,
    address: Option<IpAddr>,
    transport: Transport,
}

impl HubState {
    pub(super) fn new(parts: HubParts) -> Self {
        Self(Arc::new(Shared {
            parts,
            node: format!("{:08x}", rand::rng().random::<u32>()),
            connections: AtomicUsize::new(0),
            by_transport: Default::default(),
            by_topic: Default::default(),
            by_address: Mutex::default(),
            left: Notify::new(),
            snapshots: Snapshots::default(),
            packer: Arc::default(),
        }))
    }

    pub(super) fn limits(&self) -> &HubLimits {
        &self.0.parts.limits
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.0.parts.clock
    }

    pub(super) fn access(&self) -> &Access {
        &self.0.parts.access
    }

    pub(super) fn shutdown(&self) -> &Shutdown {
        &self.0.parts.shutdown
    }

    pub(super) fn host(&self) -> &Host {
        &self.0.parts.host
    }

    pub(super) fn store(&self) -> &Store {
        &self.0.parts.store
    }

    pub(super) fn read_budget(&self) -> &ReadBudget {
        &self.0.parts.read_budget
    }

    /// Where the stream is; shards may be a little behind.
    pub(super) fn position(&self) -> StreamId {
        self.0.parts.store.position()
    }

    /// Name of this start of the server.
    pub(super) fn node(&self) -> &str {
        &self.0.node
    }

    pub(super) fn stats(&self) -> Stats {
        let count = |topic: Topic| self.0.by_topic[topic as usize].load(Ordering::Relaxed);
        let active_connections = self.0.connections.load(Ordering::Relaxed);
        Stats {
            active_connections,
            total_connections: active_connections,
            subscriptions: Subscriptions {
                measurements: count(Topic::Measurements),
                predictions: count(Topic::Predictions),
                actions: count(Topic::Actions),
                alerts: count(Topic::Alerts),
                modules: count(Topic::Modules),
                system: count(Topic::System),
                all: count(Topic::All),
            },
        }
    }

    /// How many are reached in one way.
    pub(super) fn clients(&self, transport: Transport) -> usize {
        self.0.by_transport[transport as usize].load(Ordering::Relaxed)
    }

    /// Whether anybody gets messages of `topic`.
    pub(super) fn is_wanted(&self, topic: Topic) -> bool {
        [topic, Topic::All]
            .iter()
            .any(|topic| self.0.by_topic[*topic as usize].load(Ordering::Relaxed) > 0)
    }

    /// Counts a client under other topics than before.
    pub(super) fn recount(&self, before: TopicSet, after: TopicSet) {
        for topic in before.counted().iter() {
            self.0.by_topic[topic as usize].fetch_sub(1, Ordering::Relaxed);
        }
        for topic in after.counted().iter() {
            self.0.by_topic[topic as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A seat for a client of `address`; `None` when there are too many.
    pub(super) fn admit(&self, address: Option<IpAddr>, transport: Transport) -> Option<Seat> {
        let address = address.map(customer);
        let limits = &self.0.parts.limits;
        let has_place = |count: usize, max: usize| max == 0 || count < max;
        if let Some(address) = address {
            let mut by_address = self.0.by_address.lock();
            let count = by_address.entry(address).or_default();
            if !has_place(*count, limits.connections_per_address_max) {
                return None;
            }
            *count += 1;
        }
        let before = self.0.connections.fetch_add(1, Ordering::AcqRel);
        self.0.by_transport[transport as usize].fetch_add(1, Ordering::Relaxed);
        let seat = Seat {
            state: self.clone(),
            address,
            transport,
        };
        has_place(before, limits.connections_max).then_some(seat)
    }

    /// The age of a snapshot that is taken now; a client needs none of before the message `since`.
    pub(super) fn snapshot_age(&self, since: StreamId) -> SnapshotAge {
        let latest_version = self.store().directory(Directory::latest_version);
        SnapshotAge {
            since,
            latest_version,
        }
    }

    /// A snapshot that another client has and that is no older than `age`.
    pub(super) fn known_snapshot(
        &self,
        filters: &[Selector],
        encoding: Encoding,
        age: SnapshotAge,
    ) -> Option<Arc<Snapshot>> {
        self.0.snapshots.get(filters, encoding, age)
    }

    /// The turn to make a snapshot: one at a time, so that of many who come at once for the same the
    /// first makes it and the others share it, and sending keeps its processor.
    pub(super) async fn packer(&self) -> OwnedMutexGuard<Packer> {
        Arc::clone(&self.0.packer).lock_owned().await
    }

    /// About how many bytes a snapshot takes.
    pub(super) async fn snapshot_bytes(
        &self,
        filters: &[Selector],
    ) -> Result<usize, SnapshotError> {
        let (state, filters) = (self.clone(), filters.to_vec());
        Ok(spawn_blocking(move || Snapshot::size(state.store(), &filters)).await?)
    }

    /// The latest reading of every sensor that any filter matches, and where live goes on.
    pub(super) async fn make_snapshot(
        &self,
        filters: &[Selector],
        encoding: Encoding,
        lease: Lease,
        packer: OwnedMutexGuard<Packer>,
    ) -> Result<Arc<Snapshot>, SnapshotError> {
        let (state, filters) = (self.clone(), filters.to_vec());
        let make = move || {
            let age = state.snapshot_age(state.position());
            let frame = state.known_snapshot(&filters, Encoding::Frames, age);
            let snapshot = if let Some(frame) = frame {
                packer.pack_again(&frame, encoding, lease)
            } else {
                let now = state.clock().now();
                packer.pack(state.store(), &filters, encoding, lease, now)
            };
            let snapshot = Arc::new(snapshot);
            state.0.snapshots.put(&filters, encoding, &snapshot);
            snapshot
        };
        Ok(spawn_blocking(make).await?)
    }

    /// Waits until all clients have left.
    pub(super) async fn all_left(&self) {
        loop {
            let left = self.0.left.notified();
            if self.0.connections.load(Ordering::Acquire) == 0 {
                return;
            }
            left.await;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let shared = &self.state.0;
        if let Some(address) = self.address {
            let mut by_address = shared.by_address.lock();
            if let Some(count) = by_address.get_mut(&address) {
                *count -= 1;
                if *count == 0 {
                    by_address.remove(&address);
                }
            }
        }
        shared.by_transport[self.transport as usize].fetch_sub(1, Ordering::Relaxed);
        shared.connections.fetch_sub(1, Ordering::AcqRel);
        shared.left.notify_waiters();
    }
}
