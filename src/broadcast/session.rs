//! The life of one WebSocket, from the welcome to the end.

use super::admission::{Admitted, ECHO_BYTES_MAX, Newcomer, Visitor, admit};
use super::client::Client;
use super::encoding::Encoding;
use super::frame::{self, Decoder, Frame, FrameError, close};
use super::hang_up::{End, hang_up};
use super::index::ClientKey;
use super::interest::Interest;
use super::pass::Pass;
use super::protocol::{self, ClientCommand, CommandError, Subscription};
use super::rate::{RateBudget, TOO_MANY_OVERHEAD_FRAMES};
use super::scope;
use super::shard::{Guest, Shard};
use super::sink::Sink;
use super::state::Seat;
use super::subscribe::subscribe;
use crate::access::{Caller, Refusal};
use crate::domain::Selector;
use crate::domain::{StreamId, Topic, TopicSet};
use crate::store::Store;
use bytes::BytesMut;
use futures_util::future::LocalBoxFuture;
use std::cell::Cell;
use std::io;
use std::ops::ControlFlow;
use std::rc::Rc;
use tokio::io::Interest as Readiness;
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio::time::Instant;

/// Messages in a row that make no sense before the connection is closed with 1008.
const ERRORS_MAX: u32 = 20;
/// Frames followed before the other connections of the thread get their turn.
const FRAMES_AT_ONCE: usize = 32;
struct Session {
    shard: Rc<Shard>,
    key: ClientKey,
    client: Rc<Client>,
    decoder: Decoder,
    /// Received bytes that are not decoded yet, because what came before them is not done.
    unread: BytesMut,
    commands: RateBudget,
    overhead_frames: RateBudget,
    /// What was asked for, as far as it is not taken back; what comes of it follows from the caller.
    asked: Vec<(Topic, Selector)>,
    errors: u32,
    /// A subscription has not begun yet; what the client says next waits.
    waiting: Rc<Cell<bool>>,
    echo: bool,
}

impl Guest for Newcomer {
    fn serve(self: Box<Self>, shard: Rc<Shard>) -> LocalBoxFuture<'static, ()> {
        Box::pin(run(shard, self))
    }
}

/// Serves a connection until it ends.
async fn run(shard: Rc<Shard>, newcomer: Box<Newcomer>) {
    let address = newcomer.address;
    let request_id = newcomer.request_id.clone();
    // Boxed pieces that are needed at the beginning only must not stay with an idle connection.
    let Some(admitted) = Box::pin(admit(&shard, *newcomer)).await else {
        return;
    };
    let (mut session, seat) = begin(&shard, admitted);
    let end = session.serve().await;

    shard.leave(session.key);
    let client = Rc::clone(&session.client);
    drop(session);
    let topics = client.interest.borrow().all_topics();
    if let Ok(client) = Rc::try_unwrap(client)
        && let Sink::Socket(stream) = client.sink
    {
        hang_up(stream, end).await;
    }
    drop(seat);
    tracing::info!(
        total = shard.hub.stats().active_connections,
        topics = ?names(topics),
        ?address,
        request_id,
        "client disconnected"
    );
}

fn begin(shard: &Rc<Shard>, admitted: Admitted) -> (Session, Seat) {
    let Admitted {
        newcomer,
        caller,
        is_late,
        stream,
        decoder,
        unread,
    } = admitted;
    let hub = &shard.hub;
    // Nothing may come between what is sent and its echo.
    let (topics, queue_bytes_max) = if newcomer.echo {
        (TopicSet::EMPTY, ECHO_BYTES_MAX)
    } else {
        (newcomer.topics, hub.limits().queue_bytes_max)
    };
    let asked: Vec<_> = topics
        .iter()
        .map(|topic| (topic, Selector::default()))
        .collect();
    // What was acknowledged before a client came is not news to it. Its interest begins behind that, or
    // a replay would leave out what it never got.
    shard.deliver_published();
    let store = hub.store();
    let (interest, forbidden) =
        interest(store, &asked, &caller, newcomer.encoding, shard.position());
    let expires_at = caller.expires_at();
    let now = hub.clock().now();
    let client = Rc::new(Client::new(
        Sink::Socket(stream),
        newcomer.address,
        Pass::new(caller, now),
        interest,
        queue_bytes_max,
    ));
    let key = shard.join(Rc::clone(&client));
    if is_late {
        let answer = protocol::authenticated(expires_at, now);
        client.send(client.encoding.encode_short(answer.as_bytes()));
    }
    let welcome = protocol::welcome(topics, &shard.position(), hub.node(), now);
    if !newcomer.echo {
        client.send(client.encoding.encode(welcome.as_bytes(), &shard.deflater));
    }
    tracing::info!(
        total = hub.stats().active_connections,
        topics = ?names(topics),
        address = ?newcomer.address,
        request_id = newcomer.request_id,
        "client connected"
    );
    let mut session = Session {
        shard: Rc::clone(shard),
        key,
        client,
        decoder,
        unread,
        commands: RateBudget::new(hub.limits().commands_per_second),
        overhead_frames: RateBudget::of_overhead_frames(),
        asked,
        errors: 0,
        waiting: Rc::default(),
        echo: newcomer.echo,
    };
    for error in newcomer.error.iter().chain(&forbidden) {
        session.refuse(error);
    }
    if hub.shutdown().has_begun() {
        session
            .client
            .close(close::GOING_AWAY, "the server is stopping");
    }
    (session, newcomer.seat)
}

/// What somebody gets of what was asked for, and what not.
fn interest(
    store: &Store,
    asked: &[(Topic, Selector)],
    caller: &Caller,
    encoding: Encoding,
    since: StreamId,
) -> (Interest, Vec<CommandError>) {
    let mut interest = Interest::new(TopicSet::EMPTY, encoding, since);
    let mut forbidden = Vec::new();
    for (topic, filter) in asked {
        match scope::filters(store, caller, &[*topic], filter) {
            Ok(filters) => {
                for filter in filters {
                    interest.add(&[*topic], &filter, since);
                }
            }
            Err(error) => forbidden.push(error),
        }
    }
    (interest, forbidden)
}

impl Session {
    async fn serve(&mut self) -> End {
        let client = Rc::clone(&self.client);
        let Sink::Socket(stream) = &client.sink else {
            return End::Broken;
        };
        loop {
            let step = if self.has_work() {
                let unread = std::mem::take(&mut self.unread);
                self.work_off(&unread)
            } else {
                self.wait(&client, stream).await
            };
            if let ControlFlow::Break(end) = step {
                return end;
            }
            if client.is_gone() {
                return End::Broken;
            }
            // A socket that always has bytes is always ready, and looking at it does not count against
            // the budget by which the runtime takes turns. So the turn is given away here.
            yield_now().await;
        }
    }

    /// Waits until the socket can be read, or written when something waits for that, and does so once.
    async fn wait(&mut self, client: &Client, stream: &TcpStream) -> ControlFlow<End> {
        // A client is not heard while it does not read: what it asks for would only pile up.
        let readiness = if client.has_backlog() {
            Readiness::WRITABLE
        } else {
            Readiness::READABLE
        };
        tokio::select! {
            ready = stream.ready(readiness), if !self.waiting.get() || client.has_backlog() => {
                let Ok(ready) = ready else { return ControlFlow::Break(End::Broken) };
                if ready.is_writable() {
                    client.flush_waiting();
                }
                if ready.is_readable() {
                    return self.read(stream);
                }
            }
            () = client.woken.notified() => {}
        }
        ControlFlow::Continue(())
    }

    /// Whether there are received bytes that can be worked off now.
    fn has_work(&self) -> bool {
        !self.unread.is_empty() && self.may_go_on()
    }

    fn may_go_on(&self) -> bool {
        !self.waiting.get() && !self.client.has_backlog()
    }

    /// Takes what the socket has, once: other connections wait too.
    #[expect(
        clippy::disallowed_methods,
        reason = "its one caller yields after each read"
    )]
    fn read(&mut self, stream: &TcpStream) -> ControlFlow<End> {
        let shard = Rc::clone(&self.shard);
        let mut scratch = shard.scratch.borrow_mut();
        match stream.try_read(&mut scratch) {
            Ok(0) => ControlFlow::Break(End::Broken),
            Ok(count) => {
                self.client.heard.set(Instant::now());
                self.work_off(scratch.get(..count).unwrap_or_default())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(End::Broken),
        }
    }

    /// Follows some of the frames received, as long as the client takes the answers; what is left of
    /// them waits for the next turn.
    fn work_off(&mut self, mut received: &[u8]) -> ControlFlow<End> {
        for _ in 0..FRAMES_AT_ONCE {
            if !self.may_go_on() {
                break;
            }
            let mut inflater = self.shard.inflater.borrow_mut();
            let frame = self.decoder.decode(&mut received, &mut inflater);
            drop(inflater);
            match frame {
                Ok(None) => return ControlFlow::Continue(()),
                Ok(Some(frame)) => self.follow(frame)?,
                Err(error) => return self.violated(error),
            }
        }
        self.unread.extend_from_slice(received);
        ControlFlow::Continue(())
    }

    fn violated(&mut self, error: FrameError) -> ControlFlow<End> {
        tracing::debug!(%error, "a client broke the WebSocket protocol");
        self.client.close(error.close_code(), &error.to_string());
        // What follows a violation cannot be understood, so an answer is not waited for.
        ControlFlow::Break(self.agreed_if_sent())
    }

    fn follow(&mut self, frame: Frame) -> ControlFlow<End> {
        if frame.is_overhead() && !self.echo && !self.overhead_frames.take(Instant::now()) {
            self.client.close(close::POLICY, TOO_MANY_OVERHEAD_FRAMES);
            return ControlFlow::Break(self.agreed_if_sent());
        }
        match frame {
            Frame::Text(text) if self.echo => {
                let answer = self
                    .client
                    .encoding
                    .encode(text.as_bytes(), &self.shard.deflater);
                self.client.send(answer);
            }
            Frame::Binary(bytes) if self.echo => self.client.send(frame::binary(&bytes)),
            Frame::Text(text) => self.obey(&text),
            Frame::Binary(_) => {
                self.client.close(close::UNSUPPORTED, "send text messages");
            }
            Frame::Ping(payload) => self.client.send(frame::pong(&payload)),
            Frame::Fragment | Frame::Pong => {}
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
        if !self.commands.take(Instant::now()) {
            return self.refuse(&self.commands.exceeded("commands"));
        }
        // An answer comes behind everything that was acknowledged before the question.
        self.shard.deliver_published();
        let hub = self.shard.hub.clone();
        let now = hub.clock().now();
        match protocol::parse(text) {
            Ok(ClientCommand::Ping { id }) => self.say(&protocol::pong(id, now)),
            Ok(ClientCommand::GetStats) => self.say(&protocol::stats_update(&hub.stats(), now)),
            Ok(ClientCommand::Auth { token }) => {
                if let Err(error) = self.authenticate(&token) {
                    return self.refuse(&error);
                }
            }
            Ok(ClientCommand::RequestMetrics) => {
                let allowed = scope::may_see_host(self.client.pass.borrow().caller());
                if let Err(error) = allowed {
                    return self.refuse(&error);
                }
                self.say(&protocol::metrics_update(&hub.host().metrics(), now));
            }
            Ok(ClientCommand::Subscribe(wanted)) => {
                if let Err(error) = self.subscribe(wanted) {
                    return self.refuse(&error);
                }
            }
            Ok(ClientCommand::Unsubscribe { topics }) => {
                self.shard
                    .change_interest(self.key, &self.client, |interest| {
                        interest.remove(&topics);
                    });
                self.client.drop_unwanted();
                self.asked.retain(|(topic, _)| !topics.contains(topic));
                self.say(&protocol::unsubscribed(&topics));
            }
            Err(error) => return self.refuse(&error),
        }
        self.errors = 0;
    }

    /// Takes another token. When it gives other rights, the client gets what it asked for as far as it
    /// may have it now.
    fn authenticate(&mut self, token: &str) -> Result<(), CommandError> {
        let hub = self.shard.hub.clone();
        let caller = match Visitor::of(hub.access(), Some(token), self.client.address) {
            Ok(Visitor::Known(caller)) => caller,
            Ok(Visitor::Unknown) => return Err(Refusal::Missing.into()),
            Ok(Visitor::Refused(refusal)) => return Err(refusal.into()),
            Err(limited) => return Err(limited.into()),
        };
        let now = hub.clock().now();
        let before = self.client.pass.replace(Pass::new(caller.clone(), now));
        self.say(&protocol::authenticated(caller.expires_at(), now));
        if caller.may_the_same_as(before.caller()) {
            return Ok(());
        }
        let client = Rc::clone(&self.client);
        let (interest, forbidden) = interest(
            hub.store(),
            &self.asked,
            &caller,
            client.encoding,
            self.shard.position(),
        );
        self.shard.change_interest(self.key, &client, |known| {
            let paced = known.paced;
            *known = interest;
            known.paced = paced;
        });
        client.drop_unwanted();
        for error in &forbidden {
            self.refuse(error);
        }
        Ok(())
    }

    /// Begins a subscription; until it has, the client is not heard.
    fn subscribe(&mut self, wanted: Subscription) -> Result<(), CommandError> {
        let filters = scope::filters(
            self.shard.hub.store(),
            self.client.pass.borrow().caller(),
            &wanted.topics,
            &wanted.filter,
        )?;
        let mut asked = self.asked.clone();
        for topic in &wanted.topics {
            if wanted.filter.is_open() {
                asked.retain(|(known, _)| known != topic);
            }
            let one = (*topic, wanted.filter.clone());
            if !asked.contains(&one) {
                asked.push(one);
            }
        }
        let filtered = asked.iter().filter(|(_, filter)| !filter.is_open());
        let filters_max = self.shard.hub.limits().filters_max;
        if filtered.count() > filters_max {
            return Err(CommandError {
                code: "too_many_filters",
                detail: format!("a connection may have {filters_max} filters"),
            });
        }
        self.asked = asked;
        self.waiting.set(true);
        let (client, waiting) = (Rc::clone(&self.client), Rc::clone(&self.waiting));
        let begun = move || {
            waiting.set(false);
            client.woken.notify_one();
        };
        subscribe(&self.shard, self.key, &self.client, wanted, filters, begun);
        Ok(())
    }

    fn say(&self, json: &str) {
        let bytes = self
            .client
            .encoding
            .encode(json.as_bytes(), &self.shard.deflater);
        self.client.send(bytes);
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

pub(super) fn names(topics: TopicSet) -> Vec<&'static str> {
    topics.iter().map(Topic::as_str).collect()
}
