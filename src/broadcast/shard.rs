//! Clients that are served by one thread.
//!
//! Single-threaded: a publish is one message to the shard, then plain loops over those of its clients
//! that want it.

mod delivery;
mod pause;

pub(super) use pause::Pause;

use super::client::Client;
use super::frame::{Deflater, Inflater, close};
use super::index::{ClientKey, Index};
use super::interest::Interest;
use super::log::ReplayLog;
use super::outgoing::Outgoing;
use super::pace::{Pace, Turns};
use super::state::HubState;
use crate::domain::{StreamId, Topic, TopicSet};
use crate::store::Renamed;
use futures_util::future::LocalBoxFuture;
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

/// What the hub asks of a shard.
#[derive(Debug)]
pub(super) enum Order {
    Publish(Arc<[Arc<Outgoing>]>),
    Serve(Box<dyn Guest>),
    /// Something is called otherwise in what is published from now on.
    Rename(Arc<[Renamed]>),
    /// Close everybody with 1001.
    Close,
}

/// Somebody who is served by a shard from now on: a WebSocket that has shaken hands, or a stream of
/// server-sent events.
pub(super) trait Guest: std::fmt::Debug + Send {
    fn serve(self: Box<Self>, shard: Rc<Shard>) -> LocalBoxFuture<'static, ()>;
}

/// Orders that may wait for a shard; the writer waits when there are more.
pub(super) const ORDERS_MAX: usize = 256;
/// Messages that are sent at once even when the last delivery has only just begun.
const GATHERED_MAX: usize = 256;
/// A delivery begins no sooner than this after the one before it, so that under load messages share
/// their writes. The first after a pause goes at once.
const DELIVERY_SPACING: Duration = Duration::from_millis(5);
/// How often silence and deadlines are looked at.
const TICK: Duration = Duration::from_millis(500);
/// Clients closed at once when the server stops, and the pause after them: those who come back at
/// once do not all come together.
const CLOSE_BATCH: usize = 500;
const CLOSE_PAUSE: Duration = Duration::from_millis(50);
/// Bytes read from a client at once.
const SCRATCH_BYTES: usize = 16 * 1024;

/// One delivery thread with its clients, their index and a replay log.
pub(super) struct Shard {
    pub(super) hub: HubState,
    /// Itself, for the tasks it starts.
    itself: Weak<Self>,
    orders: RefCell<mpsc::Receiver<Order>>,
    /// Where the bytes of whichever client is read land first.
    pub(super) scratch: RefCell<Box<[u8]>>,
    pub(super) deflater: RefCell<Deflater>,
    pub(super) inflater: RefCell<Inflater>,
    pub(super) log: RefCell<ReplayLog>,
    clients: RefCell<Slab<Rc<Client>>>,
    index: RefCell<Index>,
    /// Id of the last message delivered.
    position: Cell<StreamId>,
    /// Messages that wait for the next delivery.
    gathered: RefCell<Vec<Arc<Outgoing>>>,
    delivered_at: Cell<Option<Instant>>,
    /// When silence and deadlines were last looked at.
    ticked_at: Cell<Instant>,
    /// What is to happen once the stream has come to a position.
    awaited: RefCell<Vec<(StreamId, Action)>>,
    turns: RefCell<Turns>,
    /// Which client gets which of the messages, used again by every delivery.
    chosen: RefCell<Vec<(ClientKey, usize)>>,
}

/// Something to do between two messages.
type Action = Box<dyn FnOnce()>;

impl Shard {
    pub(super) fn new(
        hub: HubState,
        position: StreamId,
        orders: mpsc::Receiver<Order>,
    ) -> Rc<Self> {
        let log = ReplayLog::new(hub.limits().replay, position);
        Rc::new_cyclic(|itself| Self {
            hub,
            itself: Weak::clone(itself),
            orders: RefCell::new(orders),
            scratch: RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice()),
            deflater: RefCell::default(),
            inflater: RefCell::default(),
            log: RefCell::new(log),
            clients: RefCell::default(),
            index: RefCell::default(),
            position: Cell::new(position),
            gathered: RefCell::default(),
            delivered_at: Cell::new(None),
            ticked_at: Cell::new(Instant::now()),
            awaited: RefCell::default(),
            turns: RefCell::default(),
            chosen: RefCell::default(),
        })
    }

    pub(super) fn position(&self) -> StreamId {
        self.position.get()
    }

    /// Takes in a client, which gets what is published from now on.
    pub(super) fn join(&self, client: Rc<Client>) -> ClientKey {
        let interest = client.interest.borrow().clone();
        self.hub.recount(TopicSet::EMPTY, interest.all_topics());
        let key = self.clients.borrow_mut().insert(client);
        self.index.borrow_mut().add(key, &interest);
        key
    }

    pub(super) fn leave(&self, key: ClientKey) {
        if let Some(client) = self.clients.borrow_mut().try_remove(key) {
            self.take_out(key, &client);
            let interest = client.interest.borrow();
            self.hub.recount(interest.all_topics(), TopicSet::EMPTY);
        }
    }

    /// Takes a client out of the index: it gets nothing until its interest is changed.
    fn take_out(&self, key: ClientKey, client: &Client) {
        if !client.paused.replace(true) {
            let interest = client.interest.borrow();
            self.index.borrow_mut().remove(key, &interest);
        }
    }

    pub(super) fn change_interest(
        &self,
        key: ClientKey,
        client: &Client,
        change: impl FnOnce(&mut Interest),
    ) {
        let clients = self.clients.borrow();
        if !clients
            .get(key)
            .is_some_and(|it| std::ptr::eq(&raw const **it, client))
        {
            // It has left, and another may have its place.
            return;
        }
        self.take_out(key, client);
        let mut interest = client.interest.borrow_mut();
        let before = interest.all_topics();
        change(&mut interest);
        self.index.borrow_mut().add(key, &interest);
        client.paused.set(false);
        self.hub.recount(before, interest.all_topics());
    }

    /// Lets everybody who has asked by a name follow what was called so. Messages of before are not told
    /// again under names that are no more.
    fn rename(&self, renamed: &[Renamed]) {
        self.deliver_published();
        let clients: Vec<_> = self
            .clients
            .borrow()
            .iter()
            .filter(|(_, client)| client.interest.borrow().has_filters())
            .map(|(key, client)| (key, Rc::clone(client)))
            .collect();
        for (key, client) in clients {
            let caller = client.pass.borrow().caller().clone();
            let was_paused = client.paused.get();
            self.change_interest(key, &client, |interest| {
                interest.rename(renamed, |site| caller.sites().allow(site));
            });
            if was_paused {
                self.take_out(key, &client);
            }
        }
        self.log
            .borrow_mut()
            .outdate(Topic::Measurements, self.position());
    }

    /// Sends now what `max_hz` holds back for a client, before anything newer. Messages of `except`,
    /// which it gets in another way, are dropped instead.
    pub(super) fn send_held(&self, client: &Client, except: &[Arc<Outgoing>]) {
        if let Some(pace) = &mut *client.pace.borrow_mut() {
            pace.forget(except);
            self.send_released(client, pace, Instant::now());
        }
    }

    /// Sets the shortest time between two measurements of a sensor for a client; zero takes it away.
    pub(super) fn set_pace(&self, key: ClientKey, client: &Client, interval: Duration) {
        let now = Instant::now();
        let mut pace = client.pace.borrow_mut();
        match &mut *pace {
            Some(pace) if !interval.is_zero() => pace.set_interval(interval, now),
            None if !interval.is_zero() => *pace = Some(Box::new(Pace::new(interval, now))),
            pace => {
                if let Some(mut pace) = pace.take() {
                    self.send_released(client, &mut pace, now);
                }
            }
        }
        let paced = pace.is_some();
        client.has_gaps.set(client.has_gaps.get() || paced);
        if let Some(due) = pace.as_ref().and_then(|pace| pace.due()) {
            self.turns.borrow_mut().push(due, key);
        }
        drop(pace);
        self.change_interest(key, client, |interest| interest.paced = paced);
    }

    /// Does `action` right behind the message `id`, before the next one; at once when that one is
    /// delivered already. It starts no delivery, because it may itself be called in the middle of one.
    pub(super) fn after(&self, id: StreamId, action: Action) {
        if self.position() >= id {
            action();
        } else {
            self.awaited.borrow_mut().push((id, action));
        }
    }

    fn do_awaited(&self) {
        if self.awaited.borrow().is_empty() {
            return;
        }
        let position = self.position();
        let (due, later): (Vec<_>, Vec<_>) = self
            .awaited
            .take()
            .into_iter()
            .partition(|(id, _)| *id <= position);
        self.awaited.borrow_mut().extend(later);
        for (_, action) in due {
            action();
        }
    }

    /// Follows orders until the hub is gone.
    pub(super) async fn run(self: Rc<Self>) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let wake_at = self.next_wake();
            tokio::select! {
                order = poll_fn(|context| self.orders.borrow_mut().poll_recv(context)) => {
                    let Some(order) = order else { return };
                    self.follow(order);
                    self.follow_orders();
                }
                () = sleep_until(wake_at.unwrap_or_else(Instant::now)), if wake_at.is_some() => {}
                _ = ticks.tick() => self.tick(Instant::now()),
            }
            let now = Instant::now();
            if self.is_due(now) {
                self.deliver_gathered();
            }
            self.release_paced(now);
            // The connections of this thread get their turn between two deliveries.
            tokio::task::yield_now().await;
        }
    }

    fn next_wake(&self) -> Option<Instant> {
        let spaced = self.delivered_at.get().map(|at| at + DELIVERY_SPACING);
        let gathered = spaced.filter(|_| !self.gathered.borrow().is_empty());
        let paced = self.turns.borrow().next();
        gathered.into_iter().chain(paced).min()
    }

    fn is_due(&self, now: Instant) -> bool {
        let gathered = self.gathered.borrow().len();
        let spaced = self
            .delivered_at
            .get()
            .is_none_or(|at| now >= at + DELIVERY_SPACING);
        let awaited = !self.awaited.borrow().is_empty();
        gathered > 0 && (spaced || awaited || gathered >= GATHERED_MAX)
    }

    /// Follows the orders that are there, as many as make a delivery. Those that come meanwhile wait
    /// for the next turn.
    fn follow_orders(&self) {
        for _ in 0..ORDERS_MAX {
            if self.gathered.borrow().len() >= GATHERED_MAX {
                return;
            }
            let Ok(order) = self.orders.borrow_mut().try_recv() else {
                return;
            };
            self.follow(order);
        }
    }

    fn follow(&self, order: Order) {
        let Some(itself) = self.itself.upgrade() else {
            return;
        };
        let shutdown = self.hub.shutdown();
        match order {
            Order::Publish(messages) => {
                // A shard that has just started may be handed what was published before.
                let new = messages.iter().filter(|it| it.id > self.position());
                self.gathered.borrow_mut().extend(new.map(Arc::clone));
            }
            Order::Rename(renamed) => self.rename(&renamed),
            Order::Serve(guest) => shutdown.spawn(guest.serve(itself)),
            Order::Close => {
                self.deliver_gathered();
                shutdown.spawn(itself.close_all());
            }
        }
    }

    /// Sends now what has been published so far, whether or not this thread has come to it yet.
    pub(super) fn deliver_published(&self) {
        self.follow_orders();
        self.deliver_gathered();
    }

    fn deliver_gathered(&self) {
        let messages = self.gathered.take();
        if messages.is_empty() {
            return;
        }
        self.delivered_at.set(Some(Instant::now()));
        let mut rest = &messages[..];
        while !rest.is_empty() {
            // A snapshot belongs between two messages, so they must not be written together.
            let next_awaited = self.awaited.borrow().iter().map(|(id, _)| *id).min();
            let together = next_awaited.map_or(rest.len(), |awaited| {
                rest.partition_point(|message| message.id <= awaited).max(1)
            });
            let (now, later) = rest.split_at(together);
            self.deliver(now);
            self.do_awaited();
            rest = later;
        }
    }

    fn tick(&self, now: Instant) {
        let limits = self.hub.limits();
        let access = self.hub.access();
        let time = self.hub.clock().now();
        // While this thread stood still, no client could be heard: that is not their silence.
        let late = now.duration_since(self.ticked_at.replace(now));
        let stalled = late.saturating_sub(TICK);
        for (_, client) in &*self.clients.borrow() {
            if stalled >= TICK {
                client.excuse(stalled);
            }
            if client.paused.get() {
                // Nobody listens to it before its subscription has begun.
                client.heard.set(now);
            }
            client.tick(now, time, limits);
            client.check_pass(access, time);
        }
        self.log.borrow_mut().expire(now);
    }

    async fn close_all(self: Rc<Self>) {
        let clients: Vec<_> = self
            .clients
            .borrow()
            .iter()
            .map(|(_, client)| Rc::downgrade(client))
            .collect();
        for batch in clients.chunks(CLOSE_BATCH) {
            for client in batch.iter().filter_map(Weak::upgrade) {
                client.close(close::GOING_AWAY, "the server is stopping");
            }
            sleep(CLOSE_PAUSE).await;
        }
    }
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Shard")
            .field("clients", &self.clients.borrow().len())
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
