//! The stream of a connection, which fails when its peer has had its time.

use super::idle::IdleConnections;
use super::{ConnectionGuard, Patience};
use crate::http::request_id::RequestIds;
use crate::http::unreadable::complete_answer;
use bytes::{Buf, Bytes};
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// The stream of a connection, with deadlines for every request head and for idleness.
#[derive(Debug)]
pub struct GuardedStream {
    stream: TcpStream,
    guard: Rc<ConnectionGuard>,
    timer: Option<Pin<Box<Sleep>>>,
    request_ids: RequestIds,
    /// What is left to send of an answer that stands in for a bare one.
    replacement: Option<Bytes>,
}

impl GuardedStream {
    /// Guards the stream of a connection of `address`.
    pub fn new(
        stream: TcpStream,
        address: Option<IpAddr>,
        patience: Patience,
        idle: Rc<IdleConnections>,
        request_ids: RequestIds,
    ) -> Self {
        Self {
            stream,
            guard: Rc::new(ConnectionGuard::new(patience, address, idle)),
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
        if self.guard.idle_number.get().is_some() {
            if self.guard.notice.is_given() {
                return Poll::Ready(Err(out_of_time()));
            }
            self.guard.notice.wake_by(context.waker());
        }
        let Some(deadline) = self.guard.deadline() else {
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
                    let bytes = buffer.filled().get(before..).unwrap_or_default();
                    guard.received.borrow_mut().read(bytes);
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
