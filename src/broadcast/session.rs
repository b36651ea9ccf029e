//! The life of one connection, from the welcome to the end.

use super::client::{CLOSE_WAIT_MAX, Client, Interest};
use super::frame::{self, Decoder, Frame, FrameError, close};
use super::hub::{Hub, Seat};
use super::protocol::{self, Command, CommandError, Filter};
use super::shard::Shard;
use crate::domain::{Topic, TopicSet};
use std::cell::Cell;
use std::io;
use std::ops::ControlFlow;
use std::rc::Rc;
use tokio::io::Interest as Readiness;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// Largest message a client may send, in bytes.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Messages in a row that make no sense before the connection is closed with 1008.
const ERRORS_MAX: u32 = 20;
/// Filters one client may have.
const FILTERS_MAX: usize = 32;

/// What the handshake found out about a connection.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) seat: Seat,
    pub(super) topics: TopicSet,
    /// A topic of the query that does not exist; told to the client, for a browser cannot see why a
    /// handshake was refused.
    pub(super) error: Option<CommandError>,
    pub(super) address: Option<std::net::IpAddr>,
    /// Bytes the client sent right behind its handshake.
    pub(super) received: bytes::Bytes,
    pub(super) request_id: String,
}

struct Session {
    shard: Rc<Shard>,
    client: Rc<Client>,
    decoder: Decoder,
    errors: u32,
    /// A subscription has not begun yet; what the client says next waits.
    waiting: Rc<Cell<bool>>,
}

/// Serves a connection until it ends.
pub(super) async fn run(shard: Rc<Shard>, stream: TcpStream, opening: Opening) {
    let Opening {
        seat,
        topics,
        error,
        address,
        received,
        request_id,
    } = opening;
    let hub = shard.hub.clone();
    let client = Rc::new(Client::new(
        stream,
        address,
        topics,
        hub.limits().queue_bytes_max,
    ));
    let mut session = Session {
        shard: Rc::clone(&shard),
        client: Rc::clone(&client),
        decoder: Decoder::new(MESSAGE_BYTES_MAX),
        errors: 0,
        waiting: Rc::default(),
    };
    hub.recount(TopicSet::EMPTY, topics);
    let welcome = protocol::welcome(topics, &shard.position(), hub.node(), hub.clock().now());
    client.send(frame::text(welcome.as_bytes()));
    let key = shard.join(Rc::clone(&client));
    tracing::info!(
        total = hub.stats().active_connections,
        topics = ?names(topics),
        address = ?address,
        request_id,
        "client connected"
    );
    if let Some(error) = error {
        session.refuse(&error);
    }
    if hub.shutdown().has_begun() {
        client.close(close::GOING_AWAY, "the server is stopping");
    }

    session.decoder.feed(&received);
    drop(received);
    let end = session.serve().await;

    shard.leave(key);
    let topics = client.interest.borrow().all_topics();
    hub.recount(topics, TopicSet::EMPTY);
    drop(session);
    if let Ok(client) = Rc::try_unwrap(client) {
        hang_up(client.stream, end).await;
    }
    drop(seat);
    tracing::info!(
        total = hub.stats().active_connections,
        topics = ?names(topics),
        address = ?address,
        request_id,
        "client disconnected"
    );
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Close frames went both ways.
    Agreed,
    /// The peer is gone, or gave no answer.
    Broken,
}

/// Ends the connection so that a last close frame is not lost: a socket closed with unread bytes
/// resets the connection, which throws away what the peer has not read yet.
async fn hang_up(stream: TcpStream, end: End) {
    match end {
        End::Agreed => {
            let mut stream = stream;
            let drained = async {
                tokio::io::AsyncWriteExt::shutdown(&mut stream).await?;
                let mut rest = [0; 512];
                while tokio::io::AsyncReadExt::read(&mut stream, &mut rest).await? > 0 {}
                io::Result::Ok(())
            };
            // Whatever went wrong, the connection is over.
            drop(timeout(CLOSE_WAIT_MAX, drained).await);
        }
        // A peer that reads nothing would keep our unsent bytes for ever: reset it.
        End::Broken => drop(stream.set_zero_linger()),
    }
}

impl Session {
    async fn serve(&mut self) -> End {
        loop {
            match self.work_off() {
                ControlFlow::Continue(()) => {}
                ControlFlow::Break(end) => return end,
            }
            // A client is not heard while it does not read: what it asks for would only pile up.
            let readiness = if self.client.has_backlog() {
                Readiness::WRITABLE
            } else {
                Readiness::READABLE
            };
            tokio::select! {
                ready = self.client.stream.ready(readiness), if !self.waiting.get() => {
                    let Ok(ready) = ready else { return End::Broken };
                    if ready.is_writable() {
                        self.client.flush();
                    }
                    if ready.is_readable()
                        && let ControlFlow::Break(end) = self.read()
                    {
                        return end;
                    }
                }
                () = self.client.woken.notified() => {}
            }
            if self.client.is_gone() {
                return End::Broken;
            }
        }
    }

    /// Takes what the socket has, once: other connections wait too.
    fn read(&mut self) -> ControlFlow<End> {
        let mut scratch = self.shard.scratch.borrow_mut();
        match self.client.stream.try_read(&mut scratch) {
            Ok(0) => ControlFlow::Break(End::Broken),
            Ok(count) => {
                self.client.heard.set(Instant::now());
                self.decoder.feed(scratch.get(..count).unwrap_or_default());
                ControlFlow::Continue(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(End::Broken),
        }
    }

    /// Follows every whole frame received.
    fn work_off(&mut self) -> ControlFlow<End> {
        while !self.waiting.get() && !self.client.has_backlog() {
            match self.decoder.next_frame() {
                Ok(None) => return ControlFlow::Continue(()),
                Ok(Some(frame)) => self.follow(frame)?,
                Err(error) => return self.violated(error),
            }
        }
        ControlFlow::Continue(())
    }

    fn violated(&mut self, error: FrameError) -> ControlFlow<End> {
        tracing::debug!(%error, "a client broke the WebSocket protocol");
        self.client.close(error.close_code(), &error.to_string());
        // What follows a violation cannot be understood, so an answer is not waited for.
        ControlFlow::Break(self.agreed_if_sent())
    }

    fn follow(&mut self, frame: Frame) -> ControlFlow<End> {
        match frame {
            Frame::Text(text) => self.obey(&text),
            Frame::Binary(_) => {
                self.client.close(close::UNSUPPORTED, "send text messages");
            }
            Frame::Ping(payload) => self.client.send(frame::pong(&payload)),
            Frame::Pong => {}
            Frame::Close(code) => {
                self.client.close(code.unwrap_or(close::NORMAL), "");
                return ControlFlow::Break(self.agreed_if_sent());
            }
        }
        ControlFlow::Continue(())
    }

    fn agreed_if_sent(&self) -> End {
        if self.client.has_backlog() {
            End::Broken
        } else {
            End::Agreed
        }
    }

    fn obey(&mut self, text: &str) {
        if !self.client.is_open() {
            return;
        }
        let now = self.shard.hub.clock().now();
        match protocol::parse(text) {
            Ok(Command::Ping { id }) => self.say(&protocol::pong(id, now)),
            Ok(Command::RequestMetrics) => {
                let metrics = self.shard.hub.host().metrics();
                self.say(&protocol::metrics_update(&metrics, now));
            }
            Ok(Command::Subscribe {
                topics,
                snapshot,
                since,
                filter,
            }) => {
                let mut wanted = self.client.interest.borrow().clone();
                wanted.add(&topics, &filter);
                if wanted.filtered.len() > FILTERS_MAX {
                    let detail = format!("a connection may have {FILTERS_MAX} filters");
                    return self.refuse(&CommandError {
                        code: "too_many_filters",
                        detail,
                    });
                }
                self.subscribe(topics, snapshot, since.as_deref(), &filter);
            }
            Ok(Command::Unsubscribe { topics }) => {
                change(&self.shard.hub, &self.client, |interest| {
                    interest.remove(&topics);
                });
                self.say(&protocol::unsubscribed(&topics));
            }
            Err(error) => return self.refuse(&error),
        }
        self.errors = 0;
    }

    fn subscribe(
        &mut self,
        topics: Vec<Topic>,
        snapshot: bool,
        since: Option<&str>,
        filter: &Filter,
    ) {
        let hub = self.shard.hub.clone();
        // Nothing was missed when the last message seen is the last there is; there is no log to
        // replay more from, and then a snapshot says what is true now.
        let recovered = since.is_some_and(|since| since == self.shard.position().to_string());
        let measurements = topics
            .iter()
            .any(|t| matches!(t, Topic::Measurements | Topic::All));
        let snapshot = (measurements && (snapshot || since.is_some()) && !recovered)
            .then(|| hub.snapshot(filter));
        let (at, frame) = snapshot.map_or((self.shard.position(), None), |(id, frame)| {
            (id, Some(frame))
        });
        // The snapshot may be ahead of what this shard has delivered. The subscription begins where
        // the snapshot stands, and until then the client is not heard.
        self.waiting.set(true);
        let (client, waiting) = (Rc::clone(&self.client), Rc::clone(&self.waiting));
        let filter = filter.clone();
        self.shard.after(
            at,
            Box::new(move || {
                change(&hub, &client, |interest| interest.add(&topics, &filter));
                let answer = protocol::subscribed(&topics, recovered, 0);
                client.send(frame::text(answer.as_bytes()));
                if let Some(frame) = frame {
                    client.send_snapshot(frame);
                }
                waiting.set(false);
                client.woken.notify_one();
            }),
        );
    }

    fn say(&self, json: &str) {
        self.client.send(frame::text(json.as_bytes()));
    }

    fn refuse(&mut self, error: &CommandError) {
        self.say(&protocol::error(error, self.shard.hub.clock().now()));
        self.errors += 1;
        if self.errors >= ERRORS_MAX {
            self.client
                .close(close::POLICY, "too many messages that make no sense");
        }
    }
}

fn change(hub: &Hub, client: &Client, change: impl FnOnce(&mut Interest)) {
    let mut interest = client.interest.borrow_mut();
    let before = interest.all_topics();
    change(&mut interest);
    hub.recount(before, interest.all_topics());
}

fn names(topics: TopicSet) -> Vec<&'static str> {
    topics.iter().map(Topic::as_str).collect()
}
