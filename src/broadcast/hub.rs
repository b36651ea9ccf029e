//! What all shards share: who is connected, and the way in for messages.

use super::admission::Newcomer;
use super::encoding::Encoding;
use super::events::EventStream;
use super::filter::Filter;
use super::log::LogLimits;
use super::outgoing::Outgoing;
use super::shard::{ORDERS_MAX, Order, Shard};
use super::snapshot::{Packer, Snapshot, SnapshotError, Snapshots};
use crate::access::{Access, customer};
use crate::clock::Clock;
use crate::domain::{StreamId, Topic, TopicSet};
use crate::host::Host;
use crate::read_budget::{Lease, ReadBudget};
use crate::shutdown::Shutdown;
use crate::store::{Publish, Published, Store};
use actix_rt::Arbiter;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use rand::Rng;
use rustc_hash::FxHashMap;
use serde::Serialize;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, OwnedMutexGuard, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

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

/// The hub. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hub(Arc<Shared>);

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

#[derive(Debug)]
struct Shared {
    parts: HubParts,
    node: String,
    shards: Vec<mpsc::Sender<Order>>,
    next_shard: AtomicUsize,
    connections: AtomicUsize,
    by_topic: [AtomicUsize; Topic::COUNT],
    by_address: Mutex<FxHashMap<IpAddr, usize>>,
    left: Notify,
    snapshots: Snapshots,
    packer: Arc<tokio::sync::Mutex<Packer>>,
}

/// The threads that serve clients. They end when this is dropped after [`Hub::close`].
#[derive(Debug)]
pub struct HubThreads(Vec<Arbiter>);

/// Who is connected.
#[derive(Debug, Clone, Serialize)]
pub struct Stats {
    pub active_connections: usize,
    /// The same number under the name older clients read.
    pub total_connections: usize,
    pub subscriptions: Subscriptions,
}

/// Clients of each topic; those of `all` are counted there only.
#[derive(Debug, Clone, Serialize)]
pub struct Subscriptions {
    pub measurements: usize,
    pub predictions: usize,
    pub actions: usize,
    pub alerts: usize,
    pub modules: usize,
    pub system: usize,
    pub all: usize,
}

/// A connection that was admitted; dropping it makes room for another.
#[derive(Debug)]
pub(super) struct Seat {
    hub: Hub,
    address: Option<IpAddr>,
}

impl Hub {
    /// Starts a hub that serves its clients on `threads` threads of its own.
    ///
    /// Sending is work of the kernel, and threads that do it on every core at once get in each
    /// other's way and in that of whoever receives. So there are fewer of them than cores.
    pub fn start(parts: HubParts, threads: usize) -> (Self, HubThreads) {
        let (shards, orders): (Vec<_>, Vec<_>) = (0..threads.max(1))
            .map(|_| mpsc::channel(ORDERS_MAX))
            .unzip();
        let position = parts.store.position();
        let hub = Self(Arc::new(Shared {
            parts,
            node: format!("{:08x}", rand::rng().random::<u32>()),
            shards,
            next_shard: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            by_topic: Default::default(),
            by_address: Mutex::default(),
            left: Notify::new(),
            snapshots: Snapshots::default(),
            packer: Arc::default(),
        }));
        let start = |orders| {
            let (arbiter, hub) = (Arbiter::new(), hub.clone());
            arbiter.spawn_fn(move || {
                let shard = Shard::new(hub, position, orders);
                drop(actix_rt::spawn(shard.run()));
            });
            arbiter
        };
        let threads = HubThreads(orders.into_iter().map(start).collect());
        (hub, threads)
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

    pub(crate) fn shutdown(&self) -> &Shutdown {
        &self.0.parts.shutdown
    }

    pub(super) fn host(&self) -> &Host {
        &self.0.parts.host
    }

    pub(super) fn store(&self) -> &Store {
        &self.0.parts.store
    }

    pub(crate) fn read_budget(&self) -> &ReadBudget {
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

    /// Gives a connection to one of the shards.
    pub(super) async fn serve(&self, newcomer: Box<Newcomer>) {
        self.order_one(Order::Serve(newcomer)).await;
    }

    pub(super) async fn serve_events(&self, stream: Box<EventStream>) {
        self.order_one(Order::Stream(stream)).await;
    }

    async fn order_one(&self, order: Order) {
        let shards = &self.0.shards;
        let next = self.0.next_shard.fetch_add(1, Ordering::Relaxed) % shards.len().max(1);
        if let Some(shard) = shards.get(next) {
            // A shard that is gone drops the connection, as the server does too.
            drop(shard.send(order).await);
        }
    }

    pub fn stats(&self) -> Stats {
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

    /// Whether anybody gets messages of `topic`.
    pub fn is_wanted(&self, topic: Topic) -> bool {
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
    pub(super) fn admit(&self, address: Option<IpAddr>) -> Option<Seat> {
        let address = address.map(customer);
        let limits = &self.0.parts.limits;
        let room = |count: usize, max: usize| max == 0 || count < max;
        if let Some(address) = address {
            let mut by_address = self.0.by_address.lock();
            let count = by_address.entry(address).or_default();
            if !room(*count, limits.connections_per_address_max) {
                return None;
            }
            *count += 1;
        }
        let before = self.0.connections.fetch_add(1, Ordering::AcqRel);
        let seat = Seat {
            hub: self.clone(),
            address,
        };
        room(before, limits.connections_max).then_some(seat)
    }

    /// A snapshot that another client has and that was taken at the message `since` or later.
    pub(super) fn known_snapshot(
        &self,
        filters: &[Filter],
        encoding: Encoding,
        since: StreamId,
    ) -> Option<Arc<Snapshot>> {
        self.0.snapshots.get(filters, encoding, since)
    }

    /// The turn to make a snapshot: one at a time, so that of many who come at once for the same the
    /// first makes it and the others share it, and sending keeps its processor.
    pub(super) async fn packer(&self) -> OwnedMutexGuard<Packer> {
        Arc::clone(&self.0.packer).lock_owned().await
    }

    /// About how many bytes a snapshot takes.
    pub(super) async fn snapshot_bytes(&self, filters: &[Filter]) -> Result<usize, SnapshotError> {
        let (hub, filters) = (self.clone(), filters.to_vec());
        Ok(spawn_blocking(move || Snapshot::size(hub.store(), &filters)).await?)
    }

    /// The latest reading of every sensor that any filter matches, and where live goes on.
    pub(super) async fn make_snapshot(
        &self,
        filters: &[Filter],
        encoding: Encoding,
        lease: Lease,
        packer: OwnedMutexGuard<Packer>,
    ) -> Result<Arc<Snapshot>, SnapshotError> {
        let (hub, filters) = (self.clone(), filters.to_vec());
        let make = move || {
            let snapshot = match hub.known_snapshot(&filters, Encoding::Frames, hub.position()) {
                Some(frame) => packer.pack_again(&frame, encoding, lease),
                None => packer.pack(hub.store(), &filters, encoding, lease),
            };
            let snapshot = Arc::new(snapshot);
            hub.0.snapshots.put(&filters, encoding, &snapshot);
            snapshot
        };
        Ok(spawn_blocking(make).await?)
    }

    /// Closes every client with 1001 and waits until all have left.
    pub async fn close(&self) {
        for shard in &self.0.shards {
            // A shard that is gone has nobody to tell.
            drop(shard.send(Order::Close).await);
        }
        loop {
            let left = self.0.left.notified();
            if self.0.connections.load(Ordering::Acquire) == 0 {
                return;
            }
            left.await;
        }
    }
}

impl Drop for HubThreads {
    fn drop(&mut self) {
        for arbiter in self.0.drain(..) {
            arbiter.stop();
            if arbiter.join().is_err() {
                tracing::error!("a thread of the hub has panicked");
            }
        }
    }
}

impl Publish for Hub {
    fn publish(&self, published: Vec<Published>) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let now = Instant::now();
            let messages: Arc<[Arc<Outgoing>]> = published
                .into_iter()
                .map(|content| Arc::new(Outgoing::new(content, now)))
                .collect();
            for shard in &self.0.shards {
                // A shard that is gone has nobody to tell.
                drop(shard.send(Order::Publish(Arc::clone(&messages))).await);
            }
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let shared = &self.hub.0;
        if let Some(address) = self.address {
            let mut by_address = shared.by_address.lock();
            if let Some(count) = by_address.get_mut(&address) {
                *count -= 1;
                if *count == 0 {
                    by_address.remove(&address);
                }
            }
        }
        shared.connections.fetch_sub(1, Ordering::AcqRel);
        shared.left.notify_waiters();
    }
}
