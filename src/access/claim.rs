//! Codes with which a new sensor is adopted: typed in by a person, worth a key to the device.

use super::secret::{fingerprint, has_fingerprint, random_bytes, random_id};
use crate::database::{Document, StoreError};
use crate::documents::Record;
use crate::domain::{PlaceName, SensorId, Sites, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long a code can be used.
pub(crate) const CLAIM_LIFETIME: Duration = Duration::from_mins(10);
/// Characters of a code: without those that look like others.
const ALPHABET: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
/// 40 bits. With ten minutes to live and the limit on attempts nobody finds one.
const CODE_LENGTH: usize = 8;

/// A place that waits for its sensor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claim {
    pub label: Option<String>,
    pub site: String,
    pub room: String,
    /// The only sensor that may use the code, when it is known.
    pub sensor: Option<String>,
    /// Sites of whoever made the claim.
    #[serde(default, with = "super::sites_json")]
    pub sites: Sites,
    pub created_by: String,
    pub created_ms: i64,
    pub expires_ms: i64,
    /// The key it was worth, once it is used.
    pub key_id: Option<String>,
    /// Fingerprint of the code.
    code: String,
}

impl Record for Claim {
    const KIND: &'static str = "claim";
    const SUBJECT: &'static str = "claims";

    fn of(document: &Document) -> Result<Self, StoreError> {
        let mut claim: Self = document.record()?;
        for name in [&mut claim.site, &mut claim.room] {
            PlaceName::nearest(name).as_str().clone_into(name);
        }
        Ok(claim)
    }
}

/// What a new claim is for.
#[derive(Debug, Clone)]
pub(crate) struct NewClaim {
    pub label: Option<String>,
    pub site: String,
    pub room: String,
    pub sensor: Option<String>,
    pub sites: Sites,
    pub created_by: String,
}

impl Claim {
    /// A new claim: its id, what is kept of it, and its code.
    pub(crate) fn create(new: NewClaim, now: Timestamp) -> (String, Self, String) {
        let code = random_code();
        let claim = Self {
            label: new.label,
            site: new.site,
            room: new.room,
            sensor: new.sensor,
            sites: new.sites,
            created_by: new.created_by,
            created_ms: now.millis(),
            expires_ms: now.plus(CLAIM_LIFETIME).millis(),
            key_id: None,
            code: fingerprint(&code),
        };
        let (first, second) = code.split_at(CODE_LENGTH / 2);
        let shown = format!("{first}-{second}");
        (random_id::<6>(), claim, shown)
    }

    pub(crate) fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_ms <= now.millis()
    }

    /// Whether this claim waits for `code`, as people type it.
    pub(crate) fn waits_for(&self, code: &str, now: Timestamp) -> bool {
        let code: String = code
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .map(|character| character.to_ascii_uppercase())
            .collect();
        self.key_id.is_none() && !self.has_expired(now) && has_fingerprint(&code, &self.code)
    }

    /// The claim once `sensor` has got the key `key_id` for it.
    #[must_use]
    pub(crate) fn used(&self, sensor: &SensorId, key_id: String) -> Self {
        Self {
            key_id: Some(key_id),
            sensor: Some(sensor.as_str().to_owned()),
            ..self.clone()
        }
    }
}

fn random_code() -> String {
    let random = random_bytes();
    let characters = random.iter().take(CODE_LENGTH);
    // 256 is a multiple of 32, so every character is as likely as every other.
    characters
        .filter_map(|byte| {
            ALPHABET
                .get(usize::from(byte % 32))
                .copied()
                .map(char::from)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(now: Timestamp) -> (Claim, String) {
        let new = NewClaim {
            label: None,
            site: "Maison".to_owned(),
            room: "Bureau".to_owned(),
            sensor: None,
            sites: Sites::ALL,
            created_by: "ada".to_owned(),
        };
        let (_, claim, code) = Claim::create(new, now);
        (claim, code)
    }

    #[test]
    fn a_code_is_found_however_it_is_typed_until_it_is_used_or_too_old() {
        let now = Timestamp::from_millis(1_000_000);
        let (mut claim, code) = claim(now);
        assert_eq!(code.len(), CODE_LENGTH + 1);
        assert!(!serde_json::to_string(&claim).unwrap().contains(&code));
        let typed = code.to_lowercase().replace('-', " ");
        assert!(claim.waits_for(&code, now) && claim.waits_for(&typed, now));
        assert!(!claim.waits_for("K7QM-3F9P", now));
        assert!(!claim.waits_for(&code, now.plus(CLAIM_LIFETIME)));
        claim.key_id = Some("key".to_owned());
        assert!(!claim.waits_for(&code, now));
    }
}
