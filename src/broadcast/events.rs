//! The stream as server-sent events: for networks that let no WebSocket through.
//!
//! The same messages from the same shards; only the way out differs. The stream goes one way, so
//! everything a client wants is in its request.

use super::admission;
use super::client::Client;
use super::encoding::{Encoding, event};
use super::filter;
use super::hub::Hub;
use super::interest::Interest;
use super::pass::Pass;
use super::protocol::{self, Subscription};
use super::scope;
use super::session::names;
use super::shard::{Guest, Shard};
use super::sink::{self, BodySender, Part, Sink};
use super::state::Seat;
use super::stats::Transport;
use super::subscribe::subscribe;
use crate::access::{Call, Caller, call};
use crate::domain::Selector;
use crate::domain::{Topic, TopicSet};
use crate::http::{
    ConnectionGuard, EndlessAnswer, Parameters, Problem, RequestIds, TrustedProxies,
};
use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use bytes::{Bytes, BytesMut};
use futures_util::future::LocalBoxFuture;
use futures_util::stream;
use rand::Rng;
use std::convert::Infallible;
use std::net::IpAddr;
use std::rc::Rc;
use tokio::sync::mpsc;
use tokio::task::yield_now;

/// A client that waits to be served by a shard.
#[derive(Debug)]
pub(super) struct EventStream {
    body: BodySender,
    seat: Seat,
    wanted: Subscription,
    filters: Vec<Selector>,
    caller: Caller,
    address: Option<IpAddr>,
    request_id: Box<str>,
}

/// The response gets this much at once, and whole events as far as they fit, for it copies what it gets.
const PIECE_BYTES_MAX: usize = 16 * 1024;
/// A browser whose stream broke comes back after a random time within these.
const RETRY_MS: std::ops::RangeInclusive<u32> = 1000..=5000;
/// Sent by browsers that come back.
const LAST_EVENT_ID: &str = "last-event-id";

pub(super) fn calls() -> Vec<Call> {
    vec![call!(admission::NEED, events).with_token_in_query()]
}

/// The stream as server-sent events
#[utoipa::path(get, path = "/api/events", tag = "live",
    params(
        ("topics" = Option<String>, Query, description = "Comma-separated; all"),
        ("enseigne" = Option<String>, Query, description = "Site"),
        ("salle" = Option<String>, Query, description = "Room"),
        ("sensor_id" = Option<String>, Query, description = "Sensor"),
        ("snapshot" = Option<bool>, Query, description = "The latest of every sensor first"),
        ("since" = Option<String>, Query, description = "Id of the last message one has"),
        ("max_hz" = Option<f64>, Query, description = "Measurements at most so often"),
        ("token" = Option<String>, Query, description = "Where no header can be set"),
        ("Last-Event-ID" = Option<String>, Header, description = "The same as since"),
    ),
    responses(
        (status = 200, description = "Events without end", body = String,
            content_type = "text/event-stream"),
        (status = 422, description = "A parameter cannot be read"),
    ))]
// `Last-Event-ID` has the meaning of `since`, and each event the JSON that the WebSocket carries.
async fn events(
    caller: Caller,
    request: HttpRequest,
    hub: web::Data<Hub>,
    proxies: web::Data<TrustedProxies>,
    request_ids: web::Data<RequestIds>,
) -> Result<HttpResponse, Problem> {
    let wanted = subscription(&request)?;
    let filters = scope::filters(hub.state().store(), &caller, &wanted.topics, &wanted.filter);
    let filters = filters.map_err(|error| {
        Problem::new(StatusCode::FORBIDDEN, error.code, "Forbidden", error.detail)
    })?;
    if hub.shutdown().has_begun() {
        return Err(Problem::unavailable("stopping", "the server is stopping"));
    }
    if *request.method() == Method::HEAD {
        return Ok(answer().streaming(stream::pending::<Result<Bytes, Infallible>>()));
    }
    let address = proxies.client(request.peer_addr(), request.headers());
    let seat = hub
        .state()
        .admit(address, Transport::Events)
        .ok_or_else(|| Problem::unavailable("server_full", "too many clients are connected"))?;
    let (body, parts) = sink::body();
    let stream = EventStream {
        body,
        seat,
        wanted,
        filters,
        caller,
        address,
        request_id: request_ids.of(request.headers()).into(),
    };
    hub.serve(Box::new(stream)).await;
    let body = Body {
        parts,
        part: None,
        answer: request
            .conn_data::<Rc<ConnectionGuard>>()
            .map(|guard| EndlessAnswer::begin(Rc::clone(guard))),
    };
    let body = stream::unfold(body, async |mut body| {
        let piece = body.next().await?;
        Some((Ok::<_, actix_web::Error>(piece), body))
    });
    Ok(answer().streaming(body))
}

fn answer() -> HttpResponseBuilder {
    let mut answer = HttpResponse::Ok();
    answer
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        // nginx would gather events otherwise.
        .insert_header(("X-Accel-Buffering", "no"));
    answer
}

/// What a response sends.
struct Body {
    parts: mpsc::Receiver<Part>,
    /// What is left of a part, which keeps its capacity until all of it is sent.
    part: Option<Part>,
    answer: Option<EndlessAnswer>,
}

impl Body {
    /// The next whole events, or the next piece of a long one; `None` when the stream has ended or
    /// nobody listens.
    async fn next(&mut self) -> Option<Bytes> {
        let mut part = match self.part.take() {
            Some(part) => part,
            None => self.next_part().await?,
        };
        let whole = |bytes: &[u8]| bytes.windows(2).rposition(|end| end == b"\n\n");
        let piece = match part.bytes.get(..PIECE_BYTES_MAX) {
            // An event that is longer goes in pieces.
            Some(first) => {
                let end = whole(first).map_or(first.len(), |end| end + 2);
                part.bytes.split_to(end)
            }
            None => std::mem::take(&mut part.bytes),
        };
        self.part = (!part.bytes.is_empty()).then_some(part);
        Some(piece)
    }

    async fn next_part(&mut self) -> Option<Part> {
        let hung_up = async {
            match &self.answer {
                Some(answer) => answer.hung_up().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            part = self.parts.recv() => part,
            () = hung_up => None,
        }
    }
}

fn subscription(request: &HttpRequest) -> Result<Subscription, Problem> {
    let mut parameters = Parameters::of(request);
    let topics = topics(&mut parameters);
    let names = ["enseigne", "salle", "sensor_id"];
    let [site, room, sensor] = names.map(|field| name(&mut parameters, field));
    let filter = Selector::of_names(site.as_deref(), room.as_deref(), sensor.as_deref());
    let last_event = request.headers().get(LAST_EVENT_ID);
    let asked = parameters.given("since");
    // Whoever asks to go on without saying from where gets a snapshot.
    let since = last_event
        .and_then(|id| id.to_str().ok())
        .or(asked)
        .map(str::to_owned);
    let snapshot = parameters.flag("snapshot");
    let is_paced = parameters.text("max_hz").is_some();
    let max_hz = is_paced.then(|| parameters.number("max_hz")).flatten();
    let interval = max_hz.and_then(|max_hz| {
        let interval = protocol::interval(max_hz);
        interval
            .map_err(|error| parameters.fault("max_hz", "out_of_range", error.detail))
            .ok()
    });
    parameters.done()?;
    Ok(Subscription {
        topics,
        filter,
        snapshot,
        since,
        interval,
    })
}

fn topics(parameters: &mut Parameters) -> Vec<Topic> {
    let names = parameters.every("topics").flat_map(|list| list.split(','));
    let names = names.map(|name| name.trim().to_owned());
    let names: Vec<_> = names.filter(|name| !name.is_empty()).collect();
    if names.is_empty() {
        return vec![Topic::All];
    }
    let topics = protocol::topics(&names);
    topics.unwrap_or_else(|error| {
        parameters.fault("topics", error.code, error.detail);
        Vec::new()
    })
}

/// A name that a message must be about.
fn name(parameters: &mut Parameters, field: &'static str) -> Option<Box<str>> {
    let name: Box<str> = parameters.text(field)?.into();
    if !filter::could_be_a_name(&name) {
        parameters.fault(field, "bad_name", filter::NAME_TOO_LONG);
    }
    Some(name)
}

impl Guest for EventStream {
    fn serve(self: Box<Self>, shard: Rc<Shard>) -> LocalBoxFuture<'static, ()> {
        Box::pin(run(shard, self))
    }
}

/// Serves a stream until it ends.
async fn run(shard: Rc<Shard>, stream: Box<EventStream>) {
    let EventStream {
        body,
        seat,
        wanted,
        filters,
        caller,
        address,
        request_id,
    } = *stream;
    let hub = shard.hub.clone();
    // What was acknowledged before a client came is not news to it.
    shard.deliver_published();
    let ended = body.clone();
    let client = Rc::new(Client::new(
        Sink::Body(body),
        address,
        Pass::new(caller, hub.clock().now()),
        Interest::new(TopicSet::EMPTY, Encoding::Events, shard.position()),
        hub.limits().queue_bytes_max,
    ));
    let topics: TopicSet = wanted.topics.iter().copied().collect();
    let key = shard.join(Rc::clone(&client));
    let position = shard.position();
    let welcome = protocol::welcome(topics, &position, hub.node(), hub.clock().now());
    // Who comes back keeps its last id until it has got what it missed.
    let id = wanted.since.is_none().then_some(position);
    // In one block with it: one of its own would be an event without data to some clients.
    let mut first =
        BytesMut::from(format!("retry: {}\n", rand::rng().random_range(RETRY_MS)).as_bytes());
    first.extend_from_slice(&event(id, welcome.as_bytes()));
    client.send(first.freeze());
    tracing::info!(
        total = hub.stats().active_connections,
        topics = ?names(topics),
        ?address,
        request_id,
        "event stream opened"
    );
    subscribe(&shard, key, &client, wanted, filters, || {});
    if hub.shutdown().has_begun() {
        client.drop_now();
    }
    serve(&client, &ended).await;

    // Nothing that it still waits for has to be made.
    client.drop_now();
    shard.leave(key);
    drop((client, seat));
    tracing::info!(
        total = hub.stats().active_connections,
        topics = ?names(topics),
        ?address,
        request_id,
        "event stream closed"
    );
}

async fn serve(client: &Client, body: &BodySender) {
    loop {
        if client.is_gone() || client.is_closing() && !client.has_backlog() {
            return;
        }
        let waiting = client.next_length();
        tokio::select! {
            () = body.ready(waiting.unwrap_or(0)), if waiting.is_some() => client.flush_waiting(),
            () = body.closed() => return,
            () = client.woken.notified() => {}
        }
        // Whoever reads as fast as it is written gets no more than a turn at a time.
        yield_now().await;
    }
}
