//! A connection that no peer can hold open without end, and whose every error is a whole answer.
//!
//! The HTTP library times the first head of a connection only; on a kept-alive one the first byte of
//! the next head ends its timer for good. So the stream itself knows whether a request is being
//! served, and fails when nothing complete arrives in time.

mod idle;
mod received;
mod stream;

pub use idle::IdleConnections;
pub use stream::GuardedStream;

use actix_web::http::StatusCode;
use idle::Notice;
use received::Received;
use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::yield_now;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a connection may take for what.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a head to arrive.
    pub head: Duration,
    /// For the next request to begin.
    pub idle: Duration,
}

/// What a connection waits for, shared between the stream and the requests on it.
#[derive(Debug)]
pub struct ConnectionGuard {
    patience: Patience,
    address: Option<IpAddr>,
    requests: Cell<u32>,
    /// Answers whose bodies are still being sent.
    sending: Cell<u32>,
    idle: Rc<IdleConnections>,
    /// Under which it waits for its next request.
    idle_number: Cell<Option<u64>>,
    notice: Rc<Notice>,
    /// Since when the peer owes the rest of a head; `None` while it owes nothing.
    head_since: Cell<Option<Instant>>,
    received: RefCell<Received>,
    /// Bytes have come since a request was last begun.
    has_read: Cell<bool>,
    /// Requests in a row that were refused for want of good credentials.
    unauthorized: Cell<u32>,
    /// When something was last answered.
    answered: Cell<Instant>,
    /// When the connection ends, once it has been answered for the last time.
    end: Cell<Option<Instant>>,
    /// The peer sends nothing any more.
    hung_up: CancellationToken,
    /// There since readings came over it.
    kept: OnceCell<Box<dyn Any>>,
}

/// An answer whose end nobody knows: as long as this lives, the connection is not idle.
#[derive(Debug)]
pub(crate) struct EndlessAnswer(Rc<ConnectionGuard>);

impl EndlessAnswer {
    pub(crate) fn begin(guard: Rc<ConnectionGuard>) -> Self {
        guard.request_begun();
        Self(guard)
    }

    /// Ends when the peer has closed its side: nobody waits for more.
    pub(crate) async fn hung_up(&self) {
        self.0.hung_up.cancelled().await;
    }
}

impl Drop for EndlessAnswer {
    fn drop(&mut self) {
        self.0.request_ended();
    }
}

/// An answer whose body is not wholly written yet: as long as this lives, the connection waits for its
/// peer to read, not for its next request.
#[derive(Debug)]
pub(super) struct AnswerInParts(Rc<ConnectionGuard>);

impl AnswerInParts {
    pub(super) fn begin(guard: Rc<ConnectionGuard>) -> Self {
        guard.leave_idle();
        guard.sending.set(guard.sending.get() + 1);
        Self(guard)
    }
}

impl Drop for AnswerInParts {
    fn drop(&mut self) {
        let guard = &self.0;
        guard.sending.set(guard.sending.get().saturating_sub(1));
        guard.has_answered();
    }
}

/// How much longer a connection is kept than is told: whoever sends at the last moment is still heard.
const IDLE_GRACE: Duration = Duration::from_secs(1);
/// How long a peer may take none of an answer.
const STALLED_MAX: Duration = Duration::from_secs(15);
/// Requests in a row on one connection that may be refused for want of good credentials.
const UNAUTHORIZED_MAX: u32 = 10;
/// How long a refused body is still read before the connection ends, so that the refusal arrives.
pub const LINGER: Duration = Duration::from_secs(1);

impl ConnectionGuard {
    fn new(patience: Patience, address: Option<IpAddr>, idle: Rc<IdleConnections>) -> Self {
        Self {
            patience,
            address,
            requests: Cell::new(0),
            sending: Cell::new(0),
            idle,
            idle_number: Cell::new(None),
            notice: Rc::default(),
            received: RefCell::default(),
            has_read: Cell::new(false),
            unauthorized: Cell::new(0),
            head_since: Cell::new(None),
            answered: Cell::new(Instant::now()),
            end: Cell::new(None),
            hung_up: CancellationToken::new(),
            kept: OnceCell::new(),
        }
    }

    /// How long the connection is kept for its next request, as clients are told.
    pub(super) fn idle_s(&self) -> u64 {
        self.patience.idle.as_secs()
    }

    /// A request has been read and is being served.
    pub(crate) fn request_begun(&self) {
        self.leave_idle();
        self.requests.set(self.requests.get() + 1);
        self.head_since.set(None);
    }

    /// The request that is served says to have so long a body.
    pub(super) fn expects(&self, body_bytes: u64) {
        self.received.borrow_mut().begun(body_bytes);
    }

    /// Waits for the turn of the next request. One that was sent behind another, without waiting for
    /// an answer, lets the other connections of this thread go first: the HTTP library serves as many
    /// as it has in its buffer without a pause.
    pub(crate) async fn turn(&self) {
        if !self.has_read.replace(false) {
            yield_now().await;
        }
    }

    /// Whether an answer of this status is the last on its connection: one that says to come later,
    /// and the last of many that ask for credentials. They cost as much as what was asked for.
    pub(crate) fn is_last_of(&self, status: StatusCode) -> bool {
        let in_a_row = match status {
            StatusCode::UNAUTHORIZED => self.unauthorized.get() + 1,
            _ => 0,
        };
        self.unauthorized.set(in_a_row);
        status == StatusCode::TOO_MANY_REQUESTS || in_a_row >= UNAUTHORIZED_MAX
    }

    /// A request has been answered.
    pub(crate) fn request_ended(&self) {
        self.requests.set(self.requests.get().saturating_sub(1));
        self.has_answered();
    }

    fn has_answered(&self) {
        self.answered.set(Instant::now());
        if self.requests.get() == 0 && self.sending.get() == 0 && self.end.get().is_none() {
            self.leave_idle();
            if self.received.borrow().is_whole() {
                self.received.take();
            } else if self.head_since.get().is_none() {
                self.head_since.set(Some(Instant::now()));
            }
            let number = self.idle.enter(self.address, &self.notice);
            self.idle_number.set(Some(number));
        }
    }

    fn leave_idle(&self) {
        if let Some(number) = self.idle_number.take() {
            self.idle.leave(number);
        }
    }

    /// Keeps what `make` gives, the first time it is called, for as long as the connection is open.
    pub(crate) fn keep<T: 'static>(&self, make: impl FnOnce() -> T) {
        self.kept.get_or_init(|| Box::new(make()));
    }

    /// What was answered is the last: a body that was refused is not read to its end.
    pub(crate) fn end_soon(&self) {
        self.end.set(Some(Instant::now() + LINGER));
    }

    /// When the peer has had its time.
    fn deadline(&self) -> Option<Instant> {
        if self.end.get().is_some() {
            return self.end.get();
        }
        if self.requests.get() > 0 {
            return None;
        }
        if self.sending.get() > 0 {
            return Some(self.answered.get() + STALLED_MAX);
        }
        Some(match self.head_since.get() {
            Some(since) => since + self.patience.head,
            None => self.answered.get() + self.patience.idle + IDLE_GRACE,
        })
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.leave_idle();
    }
}
