//! What a client may say, and the answers.

use super::filter::{self, Filter};
use super::stats::Stats;
use crate::access::{Limited, Refusal};
use crate::domain::{Selector, Timestamp, Topic, TopicSet};
use crate::host::Metrics;
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;

/// A message of a client that makes sense.
#[derive(PartialEq, Eq)]
pub(super) enum ClientCommand {
    Subscribe(Subscription),
    Unsubscribe {
        topics: Vec<Topic>,
    },
    Ping {
        id: Option<serde_json::Value>,
    },
    /// Host metrics, now.
    RequestMetrics,
    /// Who is connected, now.
    GetStats,
    /// Another token for this connection.
    Auth {
        token: String,
    },
}

/// Without the token.
impl std::fmt::Debug for ClientCommand {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Subscribe(wanted) => out.debug_tuple("Subscribe").field(wanted).finish(),
            Self::Unsubscribe { topics } => out.debug_tuple("Unsubscribe").field(topics).finish(),
            Self::Ping { id } => out.debug_tuple("Ping").field(id).finish(),
            Self::RequestMetrics => out.write_str("RequestMetrics"),
            Self::GetStats => out.write_str("GetStats"),
            Self::Auth { .. } => out.write_str("Auth"),
        }
    }
}

/// What a client wants to get from now on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Subscription {
    pub(super) topics: Vec<Topic>,
    pub(super) filter: Selector,
    pub(super) snapshot: bool,
    /// The last id the client saw, as it sent it.
    pub(super) since: Option<String>,
    /// Shortest time between two measurements of a sensor; zero for no limit.
    pub(super) interval: Option<Duration>,
}

/// Most names in one list of topics.
const TOPICS_MAX: usize = 16;
/// `max_hz` below this would hold a measurement back for more than a day.
const HZ_MIN: f64 = 1.0 / 86_400.0;
const HZ_MAX: f64 = 1000.0;

/// A message of a client that cannot be followed. The connection stays.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CommandError {
    pub(super) code: &'static str,
    pub(super) detail: String,
}

impl From<Refusal> for CommandError {
    fn from(refusal: Refusal) -> Self {
        Self {
            code: refusal.code(),
            detail: refusal.detail().to_owned(),
        }
    }
}

impl From<Limited> for CommandError {
    fn from(_: Limited) -> Self {
        Self {
            code: "rate_limited",
            detail: "too many credentials were refused; try again later".to_owned(),
        }
    }
}

#[derive(Deserialize)]
struct Wire {
    r#type: String,
    #[serde(default)]
    topics: Vec<String>,
    #[serde(default)]
    snapshot: bool,
    since: Option<String>,
    #[serde(default)]
    filter: Filter,
    max_hz: Option<f64>,
    id: Option<serde_json::Value>,
    token: Option<String>,
}

/// Longest `id` of a ping that is sent back.
const PING_ID_BYTES_MAX: usize = 128;

pub(super) fn parse(text: &str) -> Result<ClientCommand, CommandError> {
    let wire: Wire = serde_json::from_str(text).map_err(|error| bad_json(error.to_string()))?;
    match wire.r#type.as_str() {
        "subscribe" => Ok(ClientCommand::Subscribe(Subscription {
            topics: topics(&wire.topics)?,
            filter: checked_filter(wire.filter)?,
            snapshot: wire.snapshot,
            since: wire.since,
            interval: wire.max_hz.map(interval).transpose()?,
        })),
        "unsubscribe" => Ok(ClientCommand::Unsubscribe {
            topics: topics(&wire.topics)?,
        }),
        "ping" => match wire.id {
            Some(id) if id.to_string().len() > PING_ID_BYTES_MAX => Err(bad_json(format!(
                "an id may have {PING_ID_BYTES_MAX} bytes"
            ))),
            id => Ok(ClientCommand::Ping { id }),
        },
        "request_metrics" => Ok(ClientCommand::RequestMetrics),
        "get_stats" => Ok(ClientCommand::GetStats),
        "auth" => match wire.token {
            Some(token) => Ok(ClientCommand::Auth { token }),
            None => Err(bad_json("auth brings a token".to_owned())),
        },
        _ => Err(CommandError {
            code: "unknown_type",
            detail: "known are subscribe, unsubscribe, ping, get_stats, request_metrics and auth"
                .to_owned(),
        }),
    }
}

/// A filter that could match something.
fn checked_filter(filter: Filter) -> Result<Selector, CommandError> {
    if filter.makes_sense() {
        Ok(filter.into())
    } else {
        Err(bad_json(filter::NAME_TOO_LONG.to_owned()))
    }
}

/// The time between two measurements at `max_hz`, of which 0 stands for no limit.
pub(super) fn interval(max_hz: f64) -> Result<Duration, CommandError> {
    if max_hz == 0.0 {
        return Ok(Duration::ZERO);
    }
    if (HZ_MIN..=HZ_MAX).contains(&max_hz) {
        Ok(Duration::from_secs_f64(1.0 / max_hz))
    } else {
        Err(bad_json(format!(
            "max_hz must be 0 for no limit, or from once a day to {HZ_MAX}"
        )))
    }
}

/// Topics named in a command or in the query of the handshake.
pub(super) fn topics(names: &[String]) -> Result<Vec<Topic>, CommandError> {
    if names.len() > TOPICS_MAX {
        return Err(CommandError {
            code: "too_many_topics",
            detail: format!("a list may name {TOPICS_MAX} topics"),
        });
    }
    if names.is_empty() {
        return Err(bad_json(
            "topics must be a list of at least one name".to_owned(),
        ));
    }
    names
        .iter()
        .map(|name| {
            Topic::from_name(name).ok_or_else(|| {
                let known: Vec<_> = Topic::EVERY.into_iter().map(Topic::as_str).collect();
                CommandError {
                    code: "unknown_topic",
                    detail: format!("known are {}", known.join(", ")),
                }
            })
        })
        .collect()
}

fn bad_json(detail: String) -> CommandError {
    CommandError {
        code: "bad_json",
        detail,
    }
}

pub(super) fn welcome(
    topics: TopicSet,
    id: &impl std::fmt::Display,
    node: &str,
    now: Timestamp,
) -> String {
    json!({
        "type": "connection",
        "status": "connected",
        "timestamp": now.to_string(),
        "subscriptions": names(topics.iter()),
        "id": id.to_string(),
        "node": node,
    })
    .to_string()
}

/// The answer to a subscription: everything that the connection is subscribed to by now.
pub(super) fn subscribed(topics: TopicSet, recovered: bool, replayed: usize) -> String {
    json!({
        "type": "subscribed",
        "topics": names(topics.iter()),
        "recovered": recovered,
        "replayed": replayed,
    })
    .to_string()
}

pub(super) fn unsubscribed(topics: &[Topic]) -> String {
    json!({"type": "unsubscribed", "topics": names(topics.iter().copied())}).to_string()
}

pub(super) fn pong(id: Option<serde_json::Value>, now: Timestamp) -> String {
    match id {
        Some(id) => json!({"type": "pong", "id": id, "timestamp": now.to_string()}),
        None => json!({"type": "pong", "timestamp": now.to_string()}),
    }
    .to_string()
}

pub(super) fn metrics_update(metrics: &Metrics, now: Timestamp) -> String {
    json!({"type": "metrics_update", "timestamp": now.to_string(), "data": metrics}).to_string()
}

pub(super) fn stats_update(stats: &Stats, now: Timestamp) -> String {
    json!({"type": "stats_update", "timestamp": now.to_string(), "data": stats}).to_string()
}

/// The answer to a token: until when it counts.
pub(super) fn authenticated(expires_at: Option<Timestamp>, now: Timestamp) -> String {
    json!({
        "type": "authenticated",
        "timestamp": now.to_string(),
        "expires_at": expires_at.map(|end| end.to_string()),
    })
    .to_string()
}

/// Says that the connection ends unless another token comes.
pub(super) fn token_expiring(expires_at: Timestamp, now: Timestamp) -> String {
    json!({
        "type": "token_expiring",
        "timestamp": now.to_string(),
        "expires_at": expires_at.to_string(),
    })
    .to_string()
}

/// Says that this many measurements were replaced by later ones.
pub(super) fn conflated(count: u64) -> String {
    json!({"type": "conflated", "count": count}).to_string()
}

pub(super) fn error(error: &CommandError, now: Timestamp) -> String {
    json!({
        "type": "error",
        "code": error.code,
        "detail": error.detail,
        "timestamp": now.to_string(),
    })
    .to_string()
}

fn names(topics: impl Iterator<Item = Topic>) -> Vec<&'static str> {
    topics.map(Topic::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_understood() {
        assert_eq!(
            parse(r#"{"type":"subscribe","topics":["alerts","all"],"snapshot":true}"#).unwrap(),
            ClientCommand::Subscribe(Subscription {
                topics: vec![Topic::Alerts, Topic::All],
                snapshot: true,
                ..Subscription::default()
            })
        );
        assert_eq!(
            parse(r#"{"type":"subscribe","topics":["all"],"max_hz":4,"since":"1-2"}"#).unwrap(),
            ClientCommand::Subscribe(Subscription {
                topics: vec![Topic::All],
                since: Some("1-2".to_owned()),
                interval: Some(Duration::from_millis(250)),
                ..Subscription::default()
            })
        );
        assert_eq!(
            parse(r#"{"type":"unsubscribe","topics":["system"]}"#).unwrap(),
            ClientCommand::Unsubscribe {
                topics: vec![Topic::System]
            }
        );
        assert_eq!(
            parse(r#"{"type":"ping","id":7}"#).unwrap(),
            ClientCommand::Ping { id: Some(json!(7)) }
        );
    }

    #[test]
    fn what_makes_no_sense_has_a_code() {
        let long = format!(r#"{{"type":"ping","id":"{}"}}"#, "x".repeat(200));
        let filter = format!(
            r#"{{"type":"subscribe","topics":["all"],"filter":{{"salle":"{}"}}}}"#,
            "x".repeat(129)
        );
        let many = format!(
            r#"{{"type":"unsubscribe","topics":[{}]}}"#,
            vec![r#""all""#; 17].join(",")
        );
        for (text, code) in [
            ("{", "bad_json"),
            ("[]", "bad_json"),
            ("{}", "bad_json"),
            (r#"{"type":"subscribe"}"#, "bad_json"),
            (r#"{"type":"subscribe","topics":"all"}"#, "bad_json"),
            (
                r#"{"type":"subscribe","topics":["all"],"filter":{"pièce":"x"}}"#,
                "bad_json",
            ),
            (
                r#"{"type":"subscribe","topics":["weather"]}"#,
                "unknown_topic",
            ),
            (
                r#"{"type":"subscribe","topics":["all"],"max_hz":-1}"#,
                "bad_json",
            ),
            (
                r#"{"type":"subscribe","topics":["all"],"max_hz":1e9}"#,
                "bad_json",
            ),
            (&many, "too_many_topics"),
            (r#"{"type":"dance"}"#, "unknown_type"),
            (&long, "bad_json"),
            (&filter, "bad_json"),
        ] {
            assert_eq!(parse(text).unwrap_err().code, code, "{text}");
        }
    }
}
