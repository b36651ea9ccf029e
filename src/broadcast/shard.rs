//! The clients of one worker thread.
//!
//! Single-threaded: a publish is one message to the shard, then plain loops over its clients.

use super::client::Client;
use super::frame;
use super::hub::Hub;
use super::message::measurement;
use super::protocol::Filter;
use crate::domain::{Topic, TopicSet};
use crate::store::{Stored, StreamId};
use bytes::{Bytes, BytesMut};
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// A message for every client that wants it.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) topic: Topic,
    stored: Stored,
    frame: OnceLock<Bytes>,
}

impl Outgoing {
    pub(super) fn measurement(stored: Stored) -> Self {
        Self {
            topic: Topic::Measurements,
            stored,
            frame: OnceLock::new(),
        }
    }

    pub(super) fn id(&self) -> StreamId {
        self.stored.id
    }

    /// The complete frame, encoded by whoever needs it first and by nobody when nobody listens.
    fn frame(&self) -> &Bytes {
        self.frame
            .get_or_init(|| frame::text(&measurement(&self.stored)))
    }

    pub(super) fn matches(&self, filter: &Filter) -> bool {
        let Stored { place, scored, .. } = &self.stored;
        filter.matches(
            place.site.as_str(),
            place.room.as_str(),
            scored.reading.sensor.as_str(),
        )
    }
}

/// What the hub asks of a shard, which passes it on to the next one of its chain.
#[derive(Debug, Clone)]
pub(super) enum Order {
    Publish(Arc<[Outgoing]>),
    /// Close everybody with 1001.
    Close,
}

/// The shard that delivers after this one, once it has started.
pub(super) type NextShard = Arc<OnceLock<mpsc::Sender<Order>>>;

/// Publishes that may wait for a shard; the writer waits when there are more.
pub(super) const ORDERS_MAX: usize = 256;
/// Most messages written to each client in one turn.
const MESSAGES_PER_TURN_MAX: usize = 256;
/// How often silence and deadlines are looked at.
const TICK: Duration = Duration::from_millis(500);

/// See the module.
pub(super) struct Shard {
    pub(super) hub: Hub,
    /// Where the bytes of whichever client is read land first.
    pub(super) scratch: RefCell<Box<[u8]>>,
    clients: RefCell<Slab<Rc<Client>>>,
    /// Id of the last message delivered.
    position: Cell<StreamId>,
    next: NextShard,
    /// What is to happen once the stream has come to a position.
    awaited: RefCell<Vec<(StreamId, Action)>>,
}

/// Something to do between two messages.
type Action = Box<dyn FnOnce()>;

/// Bytes read from a client at once.
const SCRATCH_BYTES: usize = 16 * 1024;

impl Shard {
    pub(super) fn new(hub: Hub, position: StreamId, next: NextShard) -> Rc<Self> {
        Rc::new(Self {
            hub,
            scratch: RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice()),
            clients: RefCell::default(),
            position: Cell::new(position),
            next,
            awaited: RefCell::default(),
        })
    }

    pub(super) fn position(&self) -> StreamId {
        self.position.get()
    }

    pub(super) fn join(&self, client: Rc<Client>) -> usize {
        self.clients.borrow_mut().insert(client)
    }

    pub(super) fn leave(&self, key: usize) {
        drop(self.clients.borrow_mut().try_remove(key));
    }

    /// Does `action` right behind the message `id`, before the next one; at once when that one is
    /// delivered already.
    pub(super) fn after(&self, id: StreamId, action: Action) {
        if self.position() >= id {
            action();
        } else {
            self.awaited.borrow_mut().push((id, action));
        }
    }

    fn do_awaited(&self) {
        let position = self.position();
        let (due, later) = self
            .awaited
            .take()
            .into_iter()
            .partition(|(id, _)| *id <= position);
        self.awaited.replace(later);
        let due: Vec<(StreamId, Action)> = due;
        for (_, action) in due {
            action();
        }
    }

    /// Follows orders until the hub is gone.
    pub(super) async fn run(self: Rc<Self>, mut orders: mpsc::Receiver<Order>) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                order = orders.recv() => {
                    let Some(order) = order else { return };
                    self.turn(order, &mut orders).await;
                }
                now = ticks.tick() => self.tick(now),
            }
        }
    }

    /// Follows `order` together with what else has gathered, and passes all of it on.
    async fn turn(&self, order: Order, orders: &mut mpsc::Receiver<Order>) {
        let mut gathered = vec![order];
        let mut count = 0;
        while let Some(Order::Publish(messages)) = gathered.last() {
            count += messages.len();
            match orders.try_recv() {
                Ok(order) if count < MESSAGES_PER_TURN_MAX => gathered.push(order),
                Ok(order) => {
                    gathered.push(order);
                    break;
                }
                Err(_) => break,
            }
        }
        let messages: Vec<&Outgoing> = gathered
            .iter()
            .filter_map(|order| match order {
                Order::Publish(messages) => Some(messages.iter()),
                Order::Close => None,
            })
            .flatten()
            // A shard that has just started may be handed what was published before.
            .filter(|message| message.id() > self.position.get())
            .collect();
        let mut rest = &messages[..];
        while !rest.is_empty() {
            // A snapshot belongs between two messages, so they must not be written together.
            let next_awaited = self.awaited.borrow().iter().map(|(id, _)| *id).min();
            let together = next_awaited.map_or(rest.len(), |awaited| {
                rest.iter()
                    .take_while(|message| message.id() <= awaited)
                    .count()
                    .max(1)
            });
            let (now, later) = rest.split_at(together.min(MESSAGES_PER_TURN_MAX));
            self.deliver(now);
            self.do_awaited();
            rest = later;
        }
        if gathered.iter().any(|order| matches!(order, Order::Close)) {
            self.close_all();
        }
        if let Some(next) = self.next.get() {
            for order in gathered {
                // A shard that is gone has nobody to tell.
                next.send(order).await.unwrap_or_default();
            }
        }
        // The connections of this thread get their turn between two publishes.
        tokio::task::yield_now().await;
    }

    fn deliver(&self, messages: &[&Outgoing]) {
        let Some(last) = messages.last() else { return };
        self.position.set(last.id());
        let clients = self.clients.borrow();
        if clients.is_empty() {
            return;
        }
        let frames: Vec<Bytes> = messages
            .iter()
            .map(|message| message.frame().clone())
            .collect();
        let joined = join(&frames);
        let topics: TopicSet = messages.iter().map(|message| message.topic).collect();
        for (_, client) in &*clients {
            let interest = client.interest.borrow();
            let wants_all = topics.iter().all(|topic| interest.topics.wants(topic));
            if wants_all {
                client.send_all(&frames, &joined);
                continue;
            }
            let wanted: Vec<Bytes> = messages
                .iter()
                .filter(|message| interest.wants(message))
                .map(|message| message.frame().clone())
                .collect();
            if !wanted.is_empty() {
                client.send_all(&wanted, &join(&wanted));
            }
        }
    }

    fn tick(&self, now: Instant) {
        let limits = self.hub.limits();
        for (_, client) in &*self.clients.borrow() {
            client.check_deadline(now);
            if !client.is_open() {
                continue;
            }
            if now.duration_since(client.heard.get()) >= limits.silence_max {
                tracing::debug!(address = ?client.address, "a client is silent and dropped");
                client.drop_now();
            } else if now.duration_since(client.pinged.get()) >= limits.ping_interval {
                client.pinged.set(now);
                client.send(frame::ping());
            }
        }
    }

    fn close_all(&self) {
        for (_, client) in &*self.clients.borrow() {
            client.close(frame::close::GOING_AWAY, "the server is stopping");
        }
    }
}

/// Frames as one run of bytes, which every client then gets with one plain write.
fn join(frames: &[Bytes]) -> Bytes {
    if let [one] = frames {
        return one.clone();
    }
    let mut joined = BytesMut::with_capacity(frames.iter().map(Bytes::len).sum());
    for frame in frames {
        joined.extend_from_slice(frame);
    }
    joined.freeze()
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Shard")
            .field("clients", &self.clients.borrow().len())
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}
