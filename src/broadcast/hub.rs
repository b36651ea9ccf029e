//! What all shards share: who is connected, and the way in for messages.

use super::frame;
use super::message::Measurement;
use super::protocol::Filter;
use super::shard::{NextShard, ORDERS_MAX, Order, Outgoing, Shard};
use crate::clock::Clock;
use crate::domain::Place;
use crate::domain::{Topic, TopicSet};
use crate::shutdown::Shutdown;
use crate::store::{LatestReading, Publish, Published, Store, Stored, StreamId};
use crate::system::Host;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use rand::Rng;
use rustc_hash::FxHashMap;
use serde::Serialize;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

/// Bounds of the hub and of each client.
#[derive(Debug, Clone, Copy)]
pub struct HubLimits {
    /// Connections in all; 0 for no limit.
    pub connections_max: usize,
    /// Connections of one address; 0 for no limit.
    pub connections_per_address_max: usize,
    /// Bytes that may wait for one client.
    pub queue_bytes_max: usize,
    pub ping_interval: Duration,
    /// A client silent for this long is dropped.
    pub silence_max: Duration,
}

/// The hub. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hub(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Store,
    clock: Arc<dyn Clock>,
    shutdown: Shutdown,
    limits: HubLimits,
    host: Host,
    node: String,
    chains: Mutex<Vec<Chain>>,
    connections: AtomicUsize,
    by_topic: [AtomicUsize; Topic::COUNT],
    by_address: Mutex<FxHashMap<IpAddr, usize>>,
    left: Notify,
    snapshot: Mutex<Option<(StreamId, Bytes)>>,
}

/// Shards that deliver one after the other.
///
/// Sending is work of the kernel, and threads that do it on every core at once get in each other's
/// way and in that of whoever receives: on two cores a delivery took 1.7 times the CPU of the floor
/// with two shards at once, and 1.25 times with one after the other, in otherwise equal builds. Under
/// load a chain is a pipeline, and its shards work side by side.
#[derive(Debug)]
struct Chain {
    first: mpsc::Sender<Order>,
    /// Where the last shard finds the next one, once there is one.
    last: NextShard,
    length: usize,
}

/// Shards of one chain: half of the cores send at a time.
const CHAIN_SHARDS_MAX: usize = 2;

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
    pub fn new(store: Store, clock: Arc<dyn Clock>, shutdown: Shutdown, limits: HubLimits) -> Self {
        Self(Arc::new(Shared {
            store,
            clock,
            shutdown,
            limits,
            host: Host::default(),
            node: format!("{:08x}", rand::rng().random::<u32>()),
            chains: Mutex::default(),
            connections: AtomicUsize::new(0),
            by_topic: Default::default(),
            by_address: Mutex::default(),
            left: Notify::new(),
            snapshot: Mutex::default(),
        }))
    }

    pub(super) fn limits(&self) -> &HubLimits {
        &self.0.limits
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.0.clock
    }

    pub(super) fn shutdown(&self) -> &Shutdown {
        &self.0.shutdown
    }

    pub(super) fn host(&self) -> &Host {
        &self.0.host
    }

    /// Name of this start of the server.
    pub(super) fn node(&self) -> &str {
        &self.0.node
    }

    /// Starts a shard on this thread.
    pub(super) fn start_shard(&self) -> Rc<Shard> {
        let (sender, orders) = mpsc::channel(ORDERS_MAX);
        let next = NextShard::default();
        // A publish looks for its shards under this lock, after the position has moved: so either the
        // shard starts behind a message, or it is sent it.
        let mut chains = self.0.chains.lock();
        let shard = Shard::new(self.clone(), self.0.store.position(), Arc::clone(&next));
        match chains
            .last_mut()
            .filter(|chain| chain.length < CHAIN_SHARDS_MAX)
        {
            Some(chain) => {
                // Set once, by whoever comes next: it cannot be there yet.
                chain.last.set(sender).unwrap_or_default();
                chain.last = next;
                chain.length += 1;
            }
            None => chains.push(Chain {
                first: sender,
                last: next,
                length: 1,
            }),
        }
        drop(actix_rt::spawn(Rc::clone(&shard).run(orders)));
        shard
    }

    async fn order(&self, order: Order) {
        let firsts: Vec<_> = self
            .0
            .chains
            .lock()
            .iter()
            .map(|chain| chain.first.clone())
            .collect();
        for first in firsts {
            // A shard that is gone has nobody to tell.
            first.send(order.clone()).await.unwrap_or_default();
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
        let limits = &self.0.limits;
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

    /// The latest reading of every sensor that matches, as one frame, and where live goes on.
    pub(super) fn snapshot(&self, filter: &Filter) -> (StreamId, Bytes) {
        if filter.is_open()
            && let Some((id, frame)) = &*self.0.snapshot.lock()
            && *id == self.0.store.position()
        {
            return (*id, frame.clone());
        }
        let (id, latest): (_, Vec<Stored>) = self.0.store.directory(|directory| {
            let latest = directory
                .sensors()
                .map(|sensor| &sensor.latest)
                .filter(|latest| {
                    let Place { site, room } = &*latest.place;
                    let sensor = &latest.scored.reading.sensor;
                    filter.matches(site.as_str(), room.as_str(), sensor.as_str())
                });
            (
                directory.position(),
                latest.map(LatestReading::stored).collect(),
            )
        });
        let frame = snapshot_frame(id, &latest);
        if filter.is_open() {
            *self.0.snapshot.lock() = Some((id, frame.clone()));
        }
        (id, frame)
    }

    /// Closes every client with 1001 and waits until all have left.
    pub async fn close(&self) {
        self.order(Order::Close).await;
        loop {
            let left = self.0.left.notified();
            if self.0.connections.load(Ordering::Acquire) == 0 {
                return;
            }
            left.await;
        }
    }
}

fn snapshot_frame(id: StreamId, latest: &[Stored]) -> Bytes {
    #[derive(Serialize)]
    struct Snapshot<'a> {
        r#type: &'static str,
        topic: &'static str,
        id: String,
        data: Vec<Measurement<'a>>,
    }
    let snapshot = Snapshot {
        r#type: "snapshot",
        topic: Topic::Measurements.as_str(),
        id: id.to_string(),
        data: latest.iter().map(Measurement).collect(),
    };
    // Serialising texts and finite numbers into memory cannot fail.
    frame::text(&serde_json::to_vec(&snapshot).unwrap_or_default())
}

impl Publish for Hub {
    fn publish(&self, published: Vec<Published>) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let messages: Arc<[Outgoing]> = published
                .into_iter()
                .filter_map(|message| match message {
                    Published::Measurement(stored) => Some(Outgoing::measurement(stored)),
                    // Nobody announces any yet.
                    Published::Notice { .. } => None,
                })
                .collect();
            self.order(Order::Publish(messages)).await;
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
