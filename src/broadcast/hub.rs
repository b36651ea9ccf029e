//! The hub: the threads that serve clients, and the way in for messages and for new clients.

use super::outgoing::Outgoing;
use super::shard::{Guest, ORDERS_MAX, Order, Shard};
use super::state::{HubParts, HubState};
use super::stats::{Stats, Transport};
use crate::domain::Topic;
use crate::read_budget::ReadBudget;
use crate::shutdown::Shutdown;
use crate::store::{Publish, Published, Renamed};
use actix_rt::Arbiter;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// The hub. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hub {
    state: HubState,
    shards: Arc<[mpsc::Sender<Order>]>,
    next_shard: Arc<AtomicUsize>,
}

/// The threads that serve clients. They end when this is dropped after [`Hub::close`].
#[derive(Debug)]
pub struct HubThreads(Vec<Arbiter>);

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
        let state = HubState::new(parts);
        let start = |orders| {
            let (arbiter, state) = (Arbiter::new(), state.clone());
            arbiter.spawn_fn(move || {
                let shard = Shard::new(state, position, orders);
                drop(actix_rt::spawn(shard.run()));
            });
            arbiter
        };
        let threads = HubThreads(orders.into_iter().map(start).collect());
        let hub = Self {
            state,
            shards: shards.into(),
            next_shard: Arc::default(),
        };
        (hub, threads)
    }

    pub(super) fn state(&self) -> &HubState {
        &self.state
    }

    pub(crate) fn read_budget(&self) -> &ReadBudget {
        self.state.read_budget()
    }

    pub(crate) fn shutdown(&self) -> &Shutdown {
        self.state.shutdown()
    }

    pub fn stats(&self) -> Stats {
        self.state.stats()
    }

    /// How many clients are reached in one way.
    pub fn clients(&self, transport: Transport) -> usize {
        self.state.clients(transport)
    }

    /// Whether anybody gets messages of `topic`.
    pub fn is_wanted(&self, topic: Topic) -> bool {
        self.state.is_wanted(topic)
    }

    /// Gives somebody to one of the shards.
    pub(super) async fn serve(&self, guest: Box<dyn Guest>) {
        let next = self.next_shard.fetch_add(1, Ordering::Relaxed) % self.shards.len().max(1);
        if let Some(shard) = self.shards.get(next) {
            // A shard that is gone drops the connection, as the server does too.
            drop(shard.send(Order::Serve(guest)).await);
        }
    }

    /// Closes every client with 1001 and waits until all have left.
    pub async fn close(&self) {
        for shard in &*self.shards {
            // A shard that is gone has nobody to tell.
            drop(shard.send(Order::Close).await);
        }
        self.state.all_left().await;
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
            for shard in &*self.shards {
                // A shard that is gone has nobody to tell.
                drop(shard.send(Order::Publish(Arc::clone(&messages))).await);
            }
        })
    }

    fn rename(&self, renamed: Vec<Renamed>) -> BoxFuture<'_, ()> {
        let renamed: Arc<[Renamed]> = renamed.into();
        Box::pin(async move {
            for shard in &*self.shards {
                // A shard that is gone has nobody to tell.
                drop(shard.send(Order::Rename(Arc::clone(&renamed))).await);
            }
        })
    }
}
