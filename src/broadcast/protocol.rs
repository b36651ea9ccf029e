//! What a client may say, and the answers.

use crate::domain::{PlaceName, Timestamp};
use crate::domain::{Topic, TopicSet};
use crate::system::Metrics;
use serde::Deserialize;
use serde_json::json;

/// A message of a client that makes sense.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    Subscribe {
        topics: Vec<Topic>,
        snapshot: bool,
        since: Option<String>,
        filter: Filter,
    },
    Unsubscribe {
        topics: Vec<Topic>,
    },
    Ping {
        id: Option<serde_json::Value>,
    },
    /// Host metrics, now.
    RequestMetrics,
}

/// Which measurements a subscription is about; an absent field matches everything.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    pub(super) enseigne: Option<String>,
    pub(super) salle: Option<String>,
    pub(super) sensor_id: Option<String>,
}

impl Filter {
    /// Whether it could match anything: no name is longer than this.
    fn makes_sense(&self) -> bool {
        let texts = [&self.enseigne, &self.salle, &self.sensor_id];
        let short = |text: &String| text.chars().count() <= PlaceName::CHARACTERS_MAX;
        texts.into_iter().flatten().all(short)
    }

    pub(super) fn is_open(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn matches(&self, site: &str, room: &str, sensor: &str) -> bool {
        let same =
            |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
        same(&self.enseigne, site) && same(&self.salle, room) && same(&self.sensor_id, sensor)
    }
}

/// A message of a client that cannot be followed. The connection stays.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CommandError {
    pub(super) code: &'static str,
    pub(super) detail: String,
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
}

/// Longest `id` of a ping that is sent back.
const PING_ID_BYTES_MAX: usize = 128;

pub(super) fn parse(text: &str) -> Result<Command, CommandError> {
    let wire: Wire = serde_json::from_str(text).map_err(|error| bad_json(error.to_string()))?;
    match wire.r#type.as_str() {
        "subscribe" => {
            if wire.max_hz.is_some() {
                return Err(CommandError {
                    code: "unsupported",
                    detail: "max_hz is not available in this version".to_owned(),
                });
            }
            if !wire.filter.makes_sense() {
                return Err(bad_json(
                    "a filter holds names of up to 128 characters".to_owned(),
                ));
            }
            Ok(Command::Subscribe {
                topics: topics(&wire.topics)?,
                snapshot: wire.snapshot,
                since: wire.since,
                filter: wire.filter,
            })
        }
        "unsubscribe" => Ok(Command::Unsubscribe {
            topics: topics(&wire.topics)?,
        }),
        "ping" => match wire.id {
            Some(id) if id.to_string().len() > PING_ID_BYTES_MAX => Err(bad_json(format!(
                "an id may have {PING_ID_BYTES_MAX} bytes"
            ))),
            id => Ok(Command::Ping { id }),
        },
        "request_metrics" => Ok(Command::RequestMetrics),
        _ => Err(CommandError {
            code: "unknown_type",
            detail: "known are subscribe, unsubscribe, ping and request_metrics".to_owned(),
        }),
    }
}

/// Topics named in a command or in the query of the handshake.
pub(super) fn topics(names: &[String]) -> Result<Vec<Topic>, CommandError> {
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

pub(super) fn subscribed(topics: &[Topic], recovered: bool, replayed: usize) -> String {
    json!({
        "type": "subscribed",
        "topics": names(topics.iter().copied()),
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
            Command::Subscribe {
                topics: vec![Topic::Alerts, Topic::All],
                snapshot: true,
                since: None,
                filter: Filter::default(),
            }
        );
        assert_eq!(
            parse(r#"{"type":"unsubscribe","topics":["system"]}"#).unwrap(),
            Command::Unsubscribe {
                topics: vec![Topic::System]
            }
        );
        assert_eq!(
            parse(r#"{"type":"ping","id":7}"#).unwrap(),
            Command::Ping { id: Some(json!(7)) }
        );
    }

    #[test]
    fn what_makes_no_sense_has_a_code() {
        let long = format!(r#"{{"type":"ping","id":"{}"}}"#, "x".repeat(200));
        let filter = format!(
            r#"{{"type":"subscribe","topics":["all"],"filter":{{"salle":"{}"}}}}"#,
            "x".repeat(129)
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
                r#"{"type":"subscribe","topics":["all"],"max_hz":1}"#,
                "unsupported",
            ),
            (r#"{"type":"dance"}"#, "unknown_type"),
            (&long, "bad_json"),
            (&filter, "bad_json"),
        ] {
            assert_eq!(parse(text).unwrap_err().code, code, "{text}");
        }
    }

    #[test]
    fn a_filter_matches_by_every_field_it_has() {
        let filter = Filter {
            enseigne: Some("Maison".to_owned()),
            sensor_id: Some("s".to_owned()),
            ..Filter::default()
        };
        assert!(filter.matches("Maison", "any", "s"));
        assert!(!filter.matches("Maison", "any", "t"));
        assert!(!filter.matches("Bureau", "any", "s"));
        assert!(Filter::default().is_open() && !filter.is_open());
    }
}
