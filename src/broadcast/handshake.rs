//! From an HTTP request to a session: RFC 6455 §4.2.
//!
//! The HTTP library hands every request with `Upgrade: websocket` over together with its connection,
//! past all routes and middleware, so everything they check is checked here.

use super::admission::Newcomer;
use super::admission::{self, Visitor};
use super::encoding::Encoding;
use super::frame::{self, Negotiated, close};
use super::hub::Hub;
use super::protocol;
use super::stats::Transport;
use crate::access::{Door, credential, method_not_allowed, token_in_query};
use crate::domain::{Topic, TopicSet};
use crate::http::{GuardedStream, Problem, RequestIds, RouteMeasure, RouteMeasures, UNKNOWN_ROUTE};
use actix_codec::Framed;
use actix_http::{Request, h1};
use actix_service::{Service, ServiceFactory, fn_factory, fn_service};
use actix_web::HttpMessage;
use actix_web::http::header::{self, HeaderMap};
use actix_web::http::{Method, StatusCode, Version};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha1::{Digest, Sha1};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What upgrades need. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Upgrade {
    pub hub: Hub,
    pub door: Door,
    pub request_ids: RequestIds,
    pub measures: Arc<RouteMeasures>,
}

/// Where a test build sends every message back, for conformance tests of the frame code.
const ECHO_PATH: &str = "/ws/echo";
/// The only subprotocol there is; clients need not ask for it.
const SUBPROTOCOL: &str = "iaqverse.v1";
/// What a subprotocol begins with that carries a token, because browsers can set no other header.
const BEARER: &str = "bearer.";
/// Appended to a client's key (RFC 6455 §1.3).
const KEY_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// How long the answer to a handshake may take to be sent.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);

impl Upgrade {
    /// A service for each worker.
    #[expect(clippy::type_complexity, reason = "a service can only be spelled out")]
    pub fn factory(
        self,
    ) -> impl ServiceFactory<
        (Request, Framed<GuardedStream, h1::Codec>),
        Config = (),
        Response = (),
        Error = actix_web::Error,
        Service = impl Service<
            (Request, Framed<GuardedStream, h1::Codec>),
            Response = (),
            Error = actix_web::Error,
            Future = impl Future<Output = Result<(), actix_web::Error>> + 'static,
        > + 'static,
        InitError = (),
        Future = impl Future + 'static,
    > {
        fn_factory(move || {
            let upgrade = self.clone();
            async move {
                Ok::<_, ()>(fn_service(move |(request, framed)| {
                    upgrade.clone().serve(request, framed)
                }))
            }
        })
    }

    async fn serve(
        self,
        request: Request,
        framed: Framed<GuardedStream, h1::Codec>,
    ) -> Result<(), actix_web::Error> {
        let parts = framed.into_parts();
        let mut stream = parts.io.into_inner();
        // Answers to requests before this one may still wait to be sent.
        let mut answer = parts.write_buf.to_vec();
        let request_id = self.request_ids.of(request.headers());
        let address = self
            .door
            .trusted_proxies
            .client(request.peer_addr(), request.headers());
        let begun = Instant::now();
        let accepted = self.accept(&request, &request_id, address);
        let status = match &accepted {
            Ok(_) => StatusCode::SWITCHING_PROTOCOLS,
            Err(problem) => problem.status,
        };
        self.measure(&request)
            .answered(request.method(), status, begun.elapsed());
        match accepted {
            Ok(accepted) => {
                answer.extend_from_slice(accepted.head.as_bytes());
                let seat = self.hub.state().admit(address, Transport::WebSocket);
                if seat.is_none() {
                    answer
                        .extend_from_slice(&frame::goodbye(close::TRY_AGAIN_LATER, "server full"));
                }
                if !write(&mut stream, &answer).await {
                    return Ok(());
                }
                let Some(seat) = seat else {
                    tracing::info!(?address, request_id, "client refused: too many connections");
                    return Ok(());
                };
                let limits = self.hub.state().limits();
                let socket = socket2::SockRef::from(&stream);
                if let Err(error) = socket.set_tcp_user_timeout(Some(limits.silence_max)) {
                    tracing::debug!(%error, "TCP_USER_TIMEOUT not set");
                }
                let newcomer = Newcomer {
                    stream: Some(stream.into_std()?),
                    seat,
                    visitor: accepted.visitor,
                    topics: accepted.topics,
                    encoding: accepted.encoding,
                    error: accepted.error,
                    address,
                    received: parts.read_buf.freeze(),
                    request_id: request_id.into(),
                    echo: is_echo(request.path()),
                };
                self.hub.serve(Box::new(newcomer)).await;
            }
            Err(problem) => {
                tracing::info!(request_id, %problem, "handshake refused");
                answer.extend_from_slice(refusal(&problem, &request_id).as_bytes());
                write(&mut stream, &answer).await;
            }
        }
        Ok(())
    }

    fn measure(&self, request: &Request) -> Arc<RouteMeasure> {
        let is_ours = is_ours(request.path());
        let route = if is_ours {
            admission::PATH
        } else {
            UNKNOWN_ROUTE
        };
        self.measures.of(route)
    }

    fn accept(
        &self,
        request: &Request,
        request_id: &str,
        address: Option<IpAddr>,
    ) -> Result<Accepted, Problem> {
        let headers = request.headers();
        if !is_ours(request.path()) {
            return Err(Problem::not_found());
        }
        if request.method() != Method::GET {
            return Err(method_not_allowed([Method::GET].iter()));
        }
        if self.hub.shutdown().has_begun() {
            return Err(Problem::unavailable("stopping", "the server is stopping"));
        }
        if request.version() != Version::HTTP_11
            || !has_token(headers, &header::CONNECTION, "upgrade")
            || !has_token(headers, &header::SEC_WEBSOCKET_VERSION, "13")
        {
            return Err(upgrade_required());
        }
        let key = headers
            .get(header::SEC_WEBSOCKET_KEY)
            .filter(|key| {
                BASE64_STANDARD
                    .decode(key.as_bytes())
                    .is_ok_and(|key| key.len() == 16)
            })
            .ok_or_else(|| {
                Problem::bad_request("bad_key", "Sec-WebSocket-Key must be 16 bytes in base64")
            })?;
        self.door.check_page(headers, true)?;
        let (topics, error) = topics(request.uri().query());
        let digest = Sha1::new()
            .chain_update(key.as_bytes())
            .chain_update(KEY_SUFFIX)
            .finalize();
        let accept = BASE64_STANDARD.encode(digest);
        let visitor = self.visitor(request, address)?;
        // A browser gives up when none of those it offered is taken.
        let subprotocol = if has_token(headers, &header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
            Some(SUBPROTOCOL)
        } else {
            bearer(headers).map(|(protocol, _)| protocol)
        };
        let subprotocol = subprotocol.map_or(String::new(), |protocol| {
            format!("Sec-WebSocket-Protocol: {protocol}\r\n")
        });
        let terms = Negotiated::from_offers(headers);
        let extension = terms.map_or(String::new(), |terms| {
            format!("Sec-WebSocket-Extensions: {}\r\n", terms.answer())
        });
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n{subprotocol}{extension}X-Request-Id: {request_id}\r\n\r\n"
        );
        Ok(Accepted {
            head,
            visitor,
            topics,
            encoding: terms.map_or(Encoding::Frames, Encoding::Compressed),
            error,
        })
    }

    /// Who it is, by the first place where there is a token or a key.
    fn visitor(&self, request: &Request, address: Option<IpAddr>) -> Result<Visitor, Problem> {
        let in_protocol = || bearer(request.headers()).map(|(_, token)| token.to_owned());
        let in_query = || token_in_query(request.uri().query()?);
        let shown = credential(request.headers())
            .or_else(in_protocol)
            .or_else(in_query);
        Ok(Visitor::of(&self.door.access, shown.as_deref(), address)?)
    }
}

/// Whether there is a WebSocket under a path, which may end with a slash like that of any call.
fn is_ours(path: &str) -> bool {
    path.strip_suffix('/').unwrap_or(path) == admission::PATH || is_echo(path)
}

fn is_echo(path: &str) -> bool {
    cfg!(feature = "echo") && path == ECHO_PATH
}

struct Accepted {
    head: String,
    visitor: Visitor,
    topics: TopicSet,
    encoding: Encoding,
    error: Option<protocol::CommandError>,
}

/// For a request to `/ws` that does not ask for what it offers.
pub(super) fn upgrade_required() -> Problem {
    Problem::new(
        StatusCode::UPGRADE_REQUIRED,
        "upgrade_required",
        "Upgrade required",
        "this path speaks WebSocket, version 13",
    )
}

/// The topics of `?topics=a,b`, else `all`; and what was wrong with them.
fn topics(query: Option<&str>) -> (TopicSet, Option<protocol::CommandError>) {
    let list = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .find(|(key, _)| key == "topics")
        .map(|(_, names)| names.into_owned());
    let Some(list) = list.filter(|names| !names.is_empty()) else {
        return (TopicSet::EMPTY.with(Topic::All), None);
    };
    let names: Vec<String> = list.split(',').map(|name| name.trim().to_owned()).collect();
    match protocol::topics(&names) {
        Ok(topics) => (topics.into_iter().collect(), None),
        Err(error) => (
            names
                .iter()
                .filter_map(|name| Topic::from_name(name))
                .collect(),
            Some(error),
        ),
    }
}

/// The subprotocol that carries a token, and the token.
fn bearer(headers: &HeaderMap) -> Option<(&str, &str)> {
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let mut protocols = offered
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim);
    protocols.find_map(|protocol| Some((protocol, protocol.strip_prefix(BEARER)?)))
}

fn has_token(headers: &HeaderMap, name: &header::HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|value| value.trim().eq_ignore_ascii_case(token))
}

/// An answer that ends the connection.
fn refusal(problem: &Problem, request_id: &str) -> String {
    let body = problem.body(request_id);
    let retry_after = problem.retry_after_s.map_or(String::new(), |seconds| {
        format!("Retry-After: {seconds}\r\n")
    });
    let mut further = retry_after;
    for (name, value) in &problem.headers {
        if let Ok(value) = value.to_str() {
            further.extend([name.as_str(), ": ", value, "\r\n"]);
        }
    }
    if problem.status == StatusCode::UPGRADE_REQUIRED {
        further.push_str("Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
    }
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/problem+json\r\nContent-Length: {length}\r\n\
         X-Request-Id: {request_id}\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\
         {further}\r\n{body}",
        status = problem.status,
        length = body.len(),
    )
}

async fn write(stream: &mut TcpStream, answer: &[u8]) -> bool {
    matches!(
        timeout(ANSWER_WAIT_MAX, stream.write_all(answer)).await,
        Ok(Ok(()))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(query: Option<&str>) -> Vec<&'static str> {
        topics(query).0.iter().map(Topic::as_str).collect()
    }

    #[test]
    fn topics_come_from_the_query_and_are_all_by_default() {
        assert_eq!(names(None), ["all"]);
        assert_eq!(names(Some("token=x&topics=")), ["all"]);
        assert_eq!(
            names(Some("topics=measurements%2Calerts")),
            ["measurements", "alerts"]
        );
        let (known, error) = topics(Some("topics=alerts,weather"));
        assert_eq!(known.iter().collect::<Vec<_>>(), [Topic::Alerts]);
        assert_eq!(error.unwrap().code, "unknown_topic");
    }
}
