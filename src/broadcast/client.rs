//! One connected client: what it wants, what waits for it, and how it ends.

use super::encoding::Encoding;
use super::frame::{self, Deflater, close};
use super::interest::Interest;
use super::outbox::{Content, Kept, Outbox};
use super::outgoing::Outgoing;
use super::pace::Pace;
use super::pass::{Ending, Pass};
use super::protocol;
use super::sink::Sink;
use super::state::HubLimits;
use crate::access::Access;
use crate::domain::Timestamp;
use bytes::Bytes;
use smallvec::SmallVec;
use std::cell::{Cell, RefCell};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long a client has to answer our close frame, or to read it when it was slow.
pub(super) const CLOSE_WAIT_MAX: Duration = Duration::from_secs(2);

/// A client of one shard. Everything about it happens on the shard's thread.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) sink: Sink,
    pub(super) address: Option<IpAddr>,
    pub(super) encoding: Encoding,
    pub(super) interest: RefCell<Interest>,
    /// Whose client it is.
    pub(super) pass: RefCell<Pass>,
    pub(super) pace: RefCell<Option<Box<Pace>>>,
    /// Measurements were left out, so it may lack any of those it subscribed to.
    pub(super) has_gaps: Cell<bool>,
    /// It is in no index and gets nothing until its subscription has begun.
    pub(super) paused: Cell<bool>,
    /// When it last gave a sign of life.
    pub(super) heard: Cell<Instant>,
    /// When it was last pinged.
    pub(super) pinged: Cell<Instant>,
    /// Wakes the session: there is something to flush, or an end has come.
    pub(super) woken: Notify,
    outbox: RefCell<Outbox>,
    phase: Cell<Phase>,
    queue_bytes_max: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// A close frame is sent or waits to be; only the other one's is awaited.
    Closing {
        deadline: Instant,
    },
    Gone,
}

impl Client {
    pub(super) fn new(
        sink: Sink,
        address: Option<IpAddr>,
        pass: Pass,
        interest: Interest,
        queue_bytes_max: usize,
    ) -> Self {
        let now = Instant::now();
        Self {
            sink,
            address,
            encoding: interest.encoding,
            interest: RefCell::new(interest),
            pass: RefCell::new(pass),
            pace: RefCell::default(),
            has_gaps: Cell::new(false),
            paused: Cell::new(false),
            heard: Cell::new(now),
            pinged: Cell::new(now),
            woken: Notify::new(),
            outbox: RefCell::default(),
            phase: Cell::new(Phase::Open),
            queue_bytes_max,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.phase.get() == Phase::Open
    }

    pub(super) fn is_gone(&self) -> bool {
        self.phase.get() == Phase::Gone
    }

    pub(super) fn is_closing(&self) -> bool {
        matches!(self.phase.get(), Phase::Closing { .. })
    }

    pub(super) fn has_backlog(&self) -> bool {
        !self.outbox.borrow().is_empty()
    }

    /// Length of the next message that waits.
    pub(super) fn next_length(&self) -> Option<usize> {
        self.outbox.borrow().first().map(Bytes::len)
    }

    /// Sends bytes that are for this client only, or queues them when the connection is full.
    pub(super) fn send(&self, bytes: Bytes) {
        if self.is_open() {
            self.outbox.borrow_mut().push(bytes, Content::Message);
            self.flush();
            self.check_queue();
        }
    }

    /// Queues a part of a snapshot or replay, which does not count towards the bound of the queue.
    pub(super) fn catch_up(&self, bytes: Bytes, kept: Kept) {
        if self.is_open() {
            let content = Content::Catchup { kept };
            self.outbox.borrow_mut().push(bytes, content);
        }
    }

    /// Sends messages whose bytes together are `joined`. The usual case, an empty queue and a
    /// connection that takes bytes, is one system call and nothing else.
    pub(super) fn deliver_joined(
        &self,
        messages: &[Arc<Outgoing>],
        joined: &Bytes,
        deflater: &RefCell<Deflater>,
    ) {
        let write = || self.sink.try_write(joined);
        self.deliver_with(write, joined.len(), messages.iter(), deflater);
    }

    /// Sends messages that no other client gets in this selection.
    pub(super) fn deliver<'a>(
        &self,
        messages: impl Iterator<Item = &'a Arc<Outgoing>>,
        deflater: &RefCell<Deflater>,
    ) {
        let messages: SmallVec<[&Arc<Outgoing>; 8]> = messages.collect();
        let parts: SmallVec<[&Bytes; 8]> = messages
            .iter()
            .map(|message| message.encoded(self.encoding, deflater))
            .collect();
        let length = parts.iter().map(|part| part.len()).sum();
        let write = || self.sink.try_write_parts(&parts);
        self.deliver_with(write, length, messages.iter().copied(), deflater);
    }

    fn deliver_with<'a>(
        &self,
        write: impl FnOnce() -> io::Result<usize>,
        length: usize,
        messages: impl Iterator<Item = &'a Arc<Outgoing>>,
        deflater: &RefCell<Deflater>,
    ) {
        if !self.is_open() {
            return;
        }
        let mut written = 0;
        if !self.has_backlog() {
            match write() {
                Ok(bytes) if bytes == length => return,
                Ok(bytes) => written = bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return self.drop_now(),
            }
        }
        for message in messages {
            let bytes = message.encoded(self.encoding, deflater);
            if written >= bytes.len() {
                written -= bytes.len();
                continue;
            }
            let content = match message.measured() {
                Some(_) => Content::Measurement(Arc::clone(message)),
                None => Content::Message,
            };
            let mut outbox = self.outbox.borrow_mut();
            outbox.push_rest(bytes.clone(), std::mem::take(&mut written), content);
        }
        if self.has_backlog() {
            self.woken.notify_one();
            self.check_queue();
        }
    }

    /// Writes what waits, as far as the connection takes it.
    pub(super) fn flush(&self) {
        while self.has_backlog() {
            let result = self.sink.try_write_waiting(&self.outbox.borrow());
            match result {
                Ok(written) => self.outbox.borrow_mut().advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.woken.notify_one();
                    return;
                }
                Err(_) => return self.drop_now(),
            }
        }
    }

    /// Writes what waited until the connection takes bytes again: the peer reads, if slowly.
    pub(super) fn flush_waiting(&self) {
        self.heard.set(Instant::now());
        self.flush();
    }

    /// Shortens a full queue: first by leaving out measurements that later ones have
    /// overtaken, then by giving the client up. A quarter must become free, so that the work is done
    /// once for many messages.
    fn check_queue(&self) {
        if !self.is_open() || self.outbox.borrow().bytes() <= self.queue_bytes_max {
            return;
        }
        let encoding = self.encoding;
        let notice = |count| encoding.encode_short(protocol::conflated(count).as_bytes());
        let replaced = self.outbox.borrow_mut().conflate(notice);
        metrics::counter!("iaqverse_broadcast_conflated_total").increment(replaced);
        self.has_gaps.set(self.has_gaps.get() || replaced > 0);
        if self.outbox.borrow().bytes() > self.queue_bytes_max / 4 * 3 {
            metrics::counter!("iaqverse_broadcast_slow_clients_closed_total").increment(1);
            self.outbox.borrow_mut().keep_only_rest();
            self.close(close::TRY_AGAIN_LATER, "too slow");
        }
    }

    /// Says goodbye after what waits, and waits a little for the answer.
    pub(super) fn close(&self, code: u16, reason: &str) {
        if !self.is_open() {
            return;
        }
        if self.encoding != Encoding::Events {
            let goodbye = frame::goodbye(code, reason);
            self.outbox.borrow_mut().push(goodbye, Content::Message);
        }
        self.phase.set(Phase::Closing {
            deadline: Instant::now() + CLOSE_WAIT_MAX,
        });
        self.flush();
        self.woken.notify_one();
    }

    /// Says when the credentials are about to expire, and closes when they count no more.
    pub(super) fn check_pass(&self, access: &Access, now: Timestamp) {
        if !self.is_open() {
            return;
        }
        let notice = self.pass.borrow_mut().check(access, now);
        match notice {
            None => {}
            Some(Ending::Expiring(expires_at)) => {
                let text = protocol::token_expiring(expires_at, now);
                self.send(self.encoding.encode_short(text.as_bytes()));
            }
            Some(Ending::Over(refusal)) => {
                let text = protocol::error(&refusal.into(), now);
                self.send(self.encoding.encode_short(text.as_bytes()));
                self.close(close::POLICY, refusal.detail());
            }
        }
    }

    /// Takes back what is held for it when it wants, or may have, less than before.
    pub(super) fn drop_unwanted(&self) {
        if let Some(pace) = self.pace.borrow_mut().as_mut() {
            let interest = self.interest.borrow();
            pace.keep(|held| interest.wants(held.topic, held.subject()));
        }
    }

    /// Ends without another word.
    pub(super) fn drop_now(&self) {
        self.phase.set(Phase::Gone);
        self.woken.notify_one();
    }

    /// Does not count the last `stalled` against the client: nobody listened to it.
    pub(super) fn excuse(&self, stalled: Duration) {
        self.heard.set(self.heard.get() + stalled);
        if let Phase::Closing { deadline } = self.phase.get() {
            let deadline = deadline + stalled;
            self.phase.set(Phase::Closing { deadline });
        }
    }

    /// Pings a client that may be idle, drops one that is silent, and ends one whose goodbye has
    /// waited long enough.
    pub(super) fn tick(&self, now: Instant, time: Timestamp, limits: &HubLimits) {
        match self.phase.get() {
            Phase::Gone => {}
            Phase::Closing { deadline } => {
                if now >= deadline {
                    self.drop_now();
                }
            }
            Phase::Open => {
                if now.duration_since(self.heard.get()) >= limits.silence_max {
                    tracing::debug!(address = ?self.address, "a client is silent and dropped");
                    metrics::counter!("iaqverse_broadcast_silent_clients_dropped_total")
                        .increment(1);
                    self.drop_now();
                } else if now.duration_since(self.pinged.get()) >= limits.ping_interval {
                    self.pinged.set(now);
                    self.send(self.encoding.ping(time));
                    if self.encoding == Encoding::Events && !self.has_backlog() {
                        // Nobody answers on a one-way stream; that it takes bytes must do.
                        self.heard.set(now);
                    }
                }
            }
        }
    }
}
