//! A connection that no peer can hold open without end, and whose every error is a whole answer.
//!
//! The HTTP library times the first head of a connection only; on a kept-alive one the first byte of
//! the next head ends its timer for good. So the stream itself knows whether a request is being
//! served, and fails when nothing complete arrives in time.

use super::request_id::RequestIds;
use super::unreadable::complete_answer;
use actix_web::http::StatusCode;
use bytes::{Buf, Bytes};
use std::any::Any;
use std::cell::{Cell, OnceCell};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// What a connection waits for, shared between the stream and the requests on it.
#[derive(Debug)]
pub struct ConnectionGuard {
    requests: Cell<u32>,
    /// Since when the peer owes the rest of a head; `None` while it owes nothing.
    head_since: Cell<Option<Instant>>,
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

/// How long an idle connection is kept for its next request: longer than our nginx keeps it.
pub const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Requests in a row on one connection that may be refused for want of good credentials.
const UNAUTHORIZED_MAX: u32 = 10;
/// How long a refused body is still read before the connection ends, so that the refusal arrives.
pub const LINGER: Duration = Duration::from_secs(1);

impl ConnectionGuard {
    /// A request has been read and is being served.
    pub(crate) fn request_begun(&self) {
        self.requests.set(self.requests.get() + 1);
        self.head_since.set(None);
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
        self.answered.set(Instant::now());
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
    fn deadline(&self, head_timeout: Duration) -> Option<Instant> {
        if self.end.get().is_some() {
            return self.end.get();
        }
        if self.requests.get() > 0 {
            return None;
        }
        // A head that was begun while the previous request was served is not noticed as such; the
        // second deadline ends that one too.
        Some(match self.head_since.get() {
            Some(since) => since + head_timeout,
            None => self.answered.get() + KEEP_ALIVE + head_timeout,
        })
    }
}

/// The stream of a connection, with deadlines for every request head and for idleness.
#[derive(Debug)]
pub struct GuardedStream {
    stream: TcpStream,
    guard: Rc<ConnectionGuard>,
    head_timeout: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    request_ids: RequestIds,
    /// What is left to send of an answer that stands in for a bare one.
    replacement: Option<Bytes>,
}

impl GuardedStream {
    /// Guards a stream whose request heads must arrive within `head_timeout`.
    pub fn new(stream: TcpStream, head_timeout: Duration, request_ids: RequestIds) -> Self {
        let guard = ConnectionGuard {
            requests: Cell::new(0),
            has_read: Cell::new(false),
            unauthorized: Cell::new(0),
            head_since: Cell::new(None),
            answered: Cell::new(Instant::now()),
            end: Cell::new(None),
            hung_up: CancellationToken::new(),
            kept: OnceCell::new(),
        };
        Self {
            stream,
            guard: Rc::new(guard),
            head_timeout,
            timer: None,
            request_ids,
            replacement: None,
        }
    }

    pub fn guard(&self) -> Rc<ConnectionGuard> {
        Rc::clone(&self.guard)
    }

    /// Gives the stream up, unguarded.
    pub fn into_inner(self) -> TcpStream {
        self.stream
    }

    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(deadline) = self.guard.deadline(self.head_timeout) else {
            self.timer = None;
            return Poll::Pending;
        };
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(context).map(|()| Err(out_of_time()))
    }

    fn poll_replacement(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.replacement.as_mut().filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.stream).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => rest.advance(written),
            }
        }
        self.replacement = None;
        Poll::Ready(Ok(()))
    }
}

fn out_of_time() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the peer took too long")
}

impl AsyncRead for GuardedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Whoever goes on sending must not be read for ever.
        if self
            .guard
            .end
            .get()
            .is_some_and(|end| Instant::now() >= end)
        {
            return Poll::Ready(Err(out_of_time()));
        }
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Pending => self.poll_deadline(context),
            Poll::Ready(Ok(())) => {
                let read = buffer.filled().len() > before;
                if !read && buffer.remaining() > 0 {
                    self.guard.hung_up.cancel();
                }
                let guard = &self.guard;
                if read {
                    guard.has_read.set(true);
                }
                // While a request is served these bytes are its body, which has its own deadline.
                if read && guard.requests.get() == 0 && guard.head_since.get().is_none() {
                    guard.head_since.set(Some(Instant::now()));
                }
                Poll::Ready(Ok(()))
            }
            failed @ Poll::Ready(Err(_)) => failed,
        }
    }
}

impl AsyncWrite for GuardedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.replacement.is_none() && self.guard.requests.get() == 0 {
            self.replacement = complete_answer(bytes, &self.request_ids);
        }
        if self.replacement.is_some() {
            return self.poll_replacement(context).map_ok(|()| bytes.len());
        }
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if matches!(written, Poll::Ready(Ok(_))) {
            // A long answer is not an idle connection.
            self.guard.answered.set(Instant::now());
        }
        // After the last answer nothing may be read again before the end: it must wake us.
        if self.guard.end.get().is_some() && self.poll_deadline(context).is_ready() {
            return Poll::Ready(Err(out_of_time()));
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
