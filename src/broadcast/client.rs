//! One connected client: what it wants, what waits for it, and how it ends.

use super::frame::{self, close};
use super::protocol::Filter;
use super::shard::Outgoing;
use crate::domain::{Topic, TopicSet};
use bytes::{Buf, Bytes};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long a client has to answer our close frame, or to read it when it was slow.
pub(super) const CLOSE_WAIT_MAX: Duration = Duration::from_secs(2);
/// Most buffers handed to the kernel in one write.
const BUFFERS_PER_WRITE_MAX: usize = 256;

/// A client of one shard. Everything about it happens on the shard's thread.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) stream: TcpStream,
    pub(super) address: Option<IpAddr>,
    pub(super) interest: RefCell<Interest>,
    /// When it last sent anything.
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

/// Frames that the socket did not take yet.
#[derive(Debug, Default)]
struct Outbox {
    frames: VecDeque<Waiting>,
    /// Bytes waiting of the frames that count.
    bytes: usize,
    /// The first frame is the rest of one whose beginning is sent.
    first_is_rest: bool,
}

#[derive(Debug, PartialEq)]
struct Waiting {
    bytes: Bytes,
    /// A snapshot does not count: there is one at a time, and its size is bounded by the sensors.
    counts: bool,
}

/// What a client has subscribed to.
#[derive(Debug, Clone, Default)]
pub(super) struct Interest {
    pub(super) topics: TopicSet,
    /// Topics of which only what matches the filter is wanted.
    pub(super) filtered: Vec<(Topic, Filter)>,
}

impl Interest {
    pub(super) fn wants(&self, message: &Outgoing) -> bool {
        self.topics.wants(message.topic)
            || self.filtered.iter().any(|(topic, filter)| {
                (*topic == message.topic || *topic == Topic::All) && message.matches(filter)
            })
    }

    pub(super) fn add(&mut self, topics: &[Topic], filter: &Filter) {
        for topic in topics {
            if filter.is_open() {
                self.topics = self.topics.with(*topic);
                self.filtered.retain(|(known, _)| known != topic);
            } else if !self.filtered.contains(&(*topic, filter.clone())) {
                self.filtered.push((*topic, filter.clone()));
            }
        }
    }

    pub(super) fn remove(&mut self, topics: &[Topic]) {
        for topic in topics {
            self.topics = self.topics.without(*topic);
            self.filtered.retain(|(known, _)| known != topic);
        }
    }

    /// Everything subscribed to, filtered or not.
    pub(super) fn all_topics(&self) -> TopicSet {
        self.filtered
            .iter()
            .fold(self.topics, |topics, (topic, _)| topics.with(*topic))
    }
}

impl Client {
    pub(super) fn new(
        stream: TcpStream,
        address: Option<IpAddr>,
        topics: TopicSet,
        queue_bytes_max: usize,
    ) -> Self {
        let now = Instant::now();
        Self {
            stream,
            address,
            interest: RefCell::new(Interest {
                topics,
                filtered: Vec::new(),
            }),
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

    pub(super) fn has_backlog(&self) -> bool {
        !self.outbox.borrow().frames.is_empty()
    }

    /// Sends one frame, or queues it when the socket is full.
    pub(super) fn send(&self, frame: Bytes) {
        if self.is_open() {
            self.push(frame, true);
            self.flush();
            self.check_queue();
        }
    }

    /// Sends a snapshot, which does not count towards the bound of the queue.
    pub(super) fn send_snapshot(&self, frame: Bytes) {
        if self.is_open() {
            self.push(frame, false);
            self.flush();
        }
    }

    /// Sends frames, whose bytes are also in `joined`. The usual case, an empty queue and a socket
    /// with room, is one system call and nothing else.
    pub(super) fn send_all(&self, frames: &[Bytes], joined: &[u8]) {
        if !self.is_open() {
            return;
        }
        let mut written = 0;
        if !self.has_backlog() {
            match self.stream.try_write(joined) {
                Ok(bytes) if bytes == joined.len() => return,
                Ok(bytes) => written = bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return self.drop_now(),
            }
        }
        for frame in frames {
            if written >= frame.len() {
                written -= frame.len();
            } else {
                let rest = frame.slice(written..);
                let is_rest = written > 0;
                written = 0;
                let mut outbox = self.outbox.borrow_mut();
                outbox.push(rest, true);
                outbox.first_is_rest |= is_rest;
            }
        }
        if self.has_backlog() {
            self.woken.notify_one();
            self.check_queue();
        }
    }

    fn push(&self, frame: Bytes, counts: bool) {
        self.outbox.borrow_mut().push(frame, counts);
    }

    /// Writes what waits, as far as the socket takes it.
    pub(super) fn flush(&self) {
        while let Some(result) = self.write_some() {
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

    fn write_some(&self) -> Option<io::Result<usize>> {
        let outbox = self.outbox.borrow();
        let slices: smallvec::SmallVec<[IoSlice<'_>; 8]> = outbox
            .frames
            .iter()
            .take(BUFFERS_PER_WRITE_MAX)
            .map(|waiting| IoSlice::new(&waiting.bytes))
            .collect();
        (!slices.is_empty()).then(|| self.stream.try_write_vectored(&slices))
    }

    fn check_queue(&self) {
        if self.is_open() && self.outbox.borrow().bytes > self.queue_bytes_max {
            self.outbox.borrow_mut().keep_only_rest();
            self.close(close::TRY_AGAIN_LATER, "too slow");
        }
    }

    /// Says goodbye after what waits, and waits a little for the answer.
    pub(super) fn close(&self, code: u16, reason: &str) {
        if self.is_open() {
            self.push(frame::goodbye(code, reason), true);
            self.phase.set(Phase::Closing {
                deadline: Instant::now() + CLOSE_WAIT_MAX,
            });
            self.flush();
            self.woken.notify_one();
        }
    }

    /// Ends without another word.
    pub(super) fn drop_now(&self) {
        self.phase.set(Phase::Gone);
        self.woken.notify_one();
    }

    /// Ends when a goodbye has waited long enough.
    pub(super) fn check_deadline(&self, now: Instant) {
        if let Phase::Closing { deadline } = self.phase.get()
            && now >= deadline
        {
            self.drop_now();
        }
    }
}

impl Outbox {
    fn push(&mut self, bytes: Bytes, counts: bool) {
        if counts {
            self.bytes += bytes.len();
        }
        self.frames.push_back(Waiting { bytes, counts });
    }

    /// Takes `written` bytes off the front.
    fn advance(&mut self, mut written: usize) {
        while let Some(first) = self.frames.front_mut() {
            let sent = written.min(first.bytes.len());
            if first.counts {
                self.bytes -= sent;
            }
            if sent < first.bytes.len() {
                self.first_is_rest |= sent > 0;
                first.bytes.advance(sent);
                return;
            }
            written -= sent;
            self.first_is_rest = false;
            self.frames.pop_front();
        }
        // An idle client holds no buffer.
        *self = Self::default();
    }

    /// Forgets every frame that has not begun.
    fn keep_only_rest(&mut self) {
        self.frames.truncate(usize::from(self.first_is_rest));
        let counted = self.frames.iter().filter(|waiting| waiting.counts);
        self.bytes = counted.map(|waiting| waiting.bytes.len()).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(frames: &[&'static [u8]]) -> Outbox {
        let mut outbox = Outbox::default();
        for frame in frames {
            outbox.push(Bytes::from_static(frame), true);
        }
        outbox
    }

    fn waiting(outbox: &Outbox) -> Vec<&[u8]> {
        outbox
            .frames
            .iter()
            .map(|waiting| &waiting.bytes[..])
            .collect()
    }

    #[test]
    fn written_bytes_leave_the_front() {
        let mut outbox = outbox(&[b"abc", b"defg", b"h"]);
        outbox.advance(5);
        assert_eq!(waiting(&outbox), [&b"fg"[..], b"h"]);
        assert!(outbox.first_is_rest);
        assert_eq!(outbox.bytes, 3);
        outbox.advance(2);
        assert!(!outbox.first_is_rest);
        outbox.advance(1);
        assert_eq!((outbox.frames.len(), outbox.bytes), (0, 0));
    }

    #[test]
    fn a_snapshot_does_not_count_before_nor_after_it_is_sent() {
        let mut outbox = outbox(&[b"abc"]);
        outbox.push(Bytes::from_static(b"a long snapshot"), false);
        outbox.push(Bytes::from_static(b"de"), true);
        assert_eq!(outbox.bytes, 5);
        outbox.advance(3 + 6);
        assert_eq!(outbox.bytes, 2);
        outbox.advance(9);
        assert_eq!((outbox.bytes, waiting(&outbox)), (2, vec![&b"de"[..]]));
    }

    #[test]
    fn a_frame_that_has_begun_is_finished_whatever_is_forgotten() {
        let mut begun = outbox(&[b"abc", b"def"]);
        begun.advance(1);
        begun.keep_only_rest();
        assert_eq!(waiting(&begun), [&b"bc"[..]]);
        let mut fresh = outbox(&[b"abc", b"def"]);
        fresh.keep_only_rest();
        assert!(fresh.frames.is_empty() && fresh.bytes == 0);
    }
}
