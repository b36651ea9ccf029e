//! What is kept of a webhook.

use super::selection::Selection;
use crate::database::{Document, StoreError};
use crate::documents::Record;
use crate::domain::StreamId;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// What somebody asked for. It does not change. Without its secret in `Debug`, and without its URL,
/// which often is one.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Webhook {
    #[serde(skip)]
    pub id: String,
    pub url: String,
    pub selection: Selection,
    /// Deliveries are signed with it, so it is kept as it is.
    #[serde(with = "exposed")]
    pub secret: SecretString,
    pub created_ms: i64,
    pub created_by: String,
}

impl Record for Webhook {
    const KIND: &'static str = "webhook";
    const SUBJECT: &'static str = "webhooks";

    fn of(document: &Document) -> Result<Self, StoreError> {
        Ok(Self {
            id: document.id.clone(),
            ..document.record()?
        })
    }
}

/// The one place a secret is written.
mod exposed {
    use secrecy::{ExposeSecret, SecretString};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        secret: &SecretString,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(secret.expose_secret())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<SecretString, D::Error> {
        String::deserialize(from).map(SecretString::from)
    }
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Webhook")
            .field("id", &self.id)
            .field("selection", &self.selection)
            .finish_non_exhaustive()
    }
}

/// How far a webhook has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Every message up to this one was delivered, or is none that was asked for.
    #[serde(with = "position")]
    pub position: StreamId,
    /// Messages delivered so far.
    pub delivered: u64,
    /// When the last delivery was taken.
    pub delivery_ms: Option<i64>,
    /// Messages are missing before the next delivery.
    pub gap: bool,
}

impl Record for Progress {
    const KIND: &'static str = "webhook_progress";
    const SUBJECT: &'static str = "progress of webhooks";

    fn of(document: &Document) -> Result<Self, StoreError> {
        document.record()
    }
}

/// As it is on the wire.
mod position {
    use crate::domain::StreamId;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(
        id: &StreamId,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<StreamId, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

impl Progress {
    /// That of a webhook which gets what comes behind `position`.
    pub(super) fn behind(position: StreamId) -> Self {
        Self {
            position,
            delivered: 0,
            delivery_ms: None,
            gap: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    fn webhook() -> Webhook {
        Webhook {
            id: "a1".to_owned(),
            url: "https://receiver.example/canary-path".to_owned(),
            selection: Selection::default(),
            secret: "canary-secret".to_owned().into(),
            created_ms: 1,
            created_by: "ada".to_owned(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let written = Document::of(Webhook::KIND, "a1", &webhook());
        let read: Webhook = written.record().unwrap();
        assert_eq!(read.secret.expose_secret(), "canary-secret");
        assert_eq!(read.url, webhook().url);
        let progress = Progress {
            delivered: 7,
            gap: true,
            ..Progress::behind("3-17".parse().unwrap())
        };
        let written = Document::of(Progress::KIND, "a1", &progress);
        assert!(written.body.contains(r#""position":"3-17""#));
        assert_eq!(written.record::<Progress>().unwrap(), progress);
    }

    #[test]
    fn no_secret_is_shown() {
        assert!(!format!("{:?}", webhook()).contains("canary"));
        let damaged = Document {
            body: r#"{"url":"canary","secret":"canary"}"#.to_owned(),
            ..Document::of(Webhook::KIND, "a1", &webhook())
        };
        let error = damaged.record::<Webhook>().unwrap_err();
        assert!(!error.to_string().contains("canary"), "{error}");
    }
}
