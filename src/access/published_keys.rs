//! The keys that an outside issuer publishes (JWKS, RFC 7517), and how they are kept up to date.
//!
//! A new key is found before it is used where the issuer publishes it some minutes ahead, as they do,
//! and otherwise by the first token that names it. What cannot be fetched changes nothing: the keys of
//! before go on counting.

use crate::shutdown::Shutdown;
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey};
use parking_lot::RwLock;
use reqwest::{Client, StatusCode, redirect};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};
use url::Url;

/// How often the keys are looked at.
const LOOK_INTERVAL: Duration = Duration::from_mins(5);
/// How often at most, because a token names an unknown key or the last look failed.
const LOOK_INTERVAL_MIN: Duration = Duration::from_secs(10);
/// Longest time for one look.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a key set; those of large issuers have some 10 KiB.
const SET_BYTES_MAX: usize = 256 * 1024;
/// Keys of a set that are looked at.
const KEYS_MAX: usize = 64;

/// A published key, and the one algorithm it belongs to.
#[derive(Clone)]
pub(super) struct PublishedKey {
    id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// The keys of an issuer, as they were last published. Cheap to clone.
#[derive(Clone)]
pub struct PublishedKeys(Arc<Shared>);

struct Shared {
    url: Url,
    keys: RwLock<Vec<PublishedKey>>,
    /// A token has named a key that is not among them.
    missed: Notify,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<serde_json::Value>,
}

/// Why keys could not be fetched.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    #[error("the answer has the status {0}")]
    Status(StatusCode),
    #[error("the answer is larger than {SET_BYTES_MAX} bytes")]
    TooLarge,
    #[error("the answer is no key set: {0}")]
    NoSet(#[from] serde_json::Error),
    #[error("no key of the set can check a token")]
    NoKey,
}

impl PublishedKeys {
    pub fn new(url: Url) -> Self {
        Self(Arc::new(Shared {
            url,
            keys: RwLock::default(),
            missed: Notify::new(),
        }))
    }

    /// The keys that a token with this algorithm and key id can be signed with. When there are none,
    /// it is soon looked whether there are new ones.
    pub(super) fn of(&self, algorithm: Algorithm, id: Option<&str>) -> Vec<PublishedKey> {
        let fits = |key: &&PublishedKey| {
            key.algorithm == algorithm && (id.is_none() || key.id.as_deref() == id)
        };
        let found: Vec<_> = self.0.keys.read().iter().filter(fits).cloned().collect();
        if found.is_empty() {
            self.0.missed.notify_one();
        }
        found
    }

    async fn fetch(&self, client: &Client) -> Result<Vec<PublishedKey>, FetchError> {
        let mut response = client.get(self.0.url.clone()).send().await?;
        if !response.status().is_success() {
            return Err(FetchError::Status(response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > SET_BYTES_MAX {
                return Err(FetchError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        usable(&body)
    }

    fn replace(&self, keys: Vec<PublishedKey>) {
        *self.0.keys.write() = keys;
    }
}

/// The keys of a set that can check tokens.
fn usable(set: &[u8]) -> Result<Vec<PublishedKey>, FetchError> {
    let set: KeySet = serde_json::from_slice(set)?;
    // One that cannot be read is of a kind that is not known here.
    let keys = set.keys.into_iter().take(KEYS_MAX);
    let keys = keys.filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
    let keys: Vec<_> = keys.filter_map(|key| usable_key(&key)).collect();
    if keys.is_empty() {
        return Err(FetchError::NoKey);
    }
    Ok(keys)
}

fn usable_key(jwk: &Jwk) -> Option<PublishedKey> {
    let common = &jwk.common;
    let signs = match &common.public_key_use {
        None | Some(PublicKeyUse::Signature) => true,
        Some(_) => false,
    };
    let may = |operations: &Vec<KeyOperations>| operations.contains(&KeyOperations::Verify);
    if !signs || !common.key_operations.as_ref().is_none_or(may) {
        return None;
    }
    Some(PublishedKey {
        id: common.key_id.clone(),
        algorithm: algorithm(jwk)?,
        key: DecodingKey::from_jwk(jwk).ok()?,
    })
}

/// The one algorithm of a key: that which it says, if it can have it, else the usual one of its kind.
fn algorithm(jwk: &Jwk) -> Option<Algorithm> {
    let said = jwk.common.key_algorithm;
    match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => match said {
            None | Some(KeyAlgorithm::RS256) => Some(Algorithm::RS256),
            Some(KeyAlgorithm::RS384) => Some(Algorithm::RS384),
            Some(KeyAlgorithm::RS512) => Some(Algorithm::RS512),
            Some(KeyAlgorithm::PS256) => Some(Algorithm::PS256),
            Some(KeyAlgorithm::PS384) => Some(Algorithm::PS384),
            Some(KeyAlgorithm::PS512) => Some(Algorithm::PS512),
            Some(_) => None,
        },
        AlgorithmParameters::EllipticCurve(key) => match (&key.curve, said) {
            (EllipticCurve::P256, None | Some(KeyAlgorithm::ES256)) => Some(Algorithm::ES256),
            (EllipticCurve::P384, None | Some(KeyAlgorithm::ES384)) => Some(Algorithm::ES384),
            _ => None,
        },
        AlgorithmParameters::OctetKeyPair(key) => match (&key.curve, said) {
            (EllipticCurve::Ed25519, None | Some(KeyAlgorithm::EdDSA)) => Some(Algorithm::EdDSA),
            _ => None,
        },
        // A secret that is published is none.
        _ => None,
    }
}

/// Keeps the keys up to date until the server stops.
pub async fn follow_keys(keys: PublishedKeys, shutdown: Shutdown) {
    let mut client = Client::builder()
        .redirect(redirect::Policy::none())
        .timeout(FETCH_TIMEOUT);
    if keys.0.url.scheme() == "http" {
        // What nothing protects on its way stays in the local network.
        client = client.no_proxy();
    }
    let client = match client.build() {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(%error, "IAQ_JWT_JWKS_URL: the keys cannot be fetched");
            return;
        }
    };
    let mut fails = false;
    loop {
        let begun = Instant::now();
        let fetched = tokio::select! {
            fetched = keys.fetch(&client) => fetched,
            () = shutdown.begun() => return,
        };
        let interval = match fetched {
            Ok(found) => {
                tracing::debug!(count = found.len(), "the keys of the issuer are fetched");
                keys.replace(found);
                fails = false;
                LOOK_INTERVAL
            }
            Err(error) => {
                // Once, not for each try as long as it lasts.
                if !std::mem::replace(&mut fails, true) {
                    let error = anyhow::Error::from(error);
                    tracing::warn!("IAQ_JWT_JWKS_URL: the keys are those of before: {error:#}");
                }
                LOOK_INTERVAL_MIN
            }
        };
        let sooner = async {
            keys.0.missed.notified().await;
            sleep_until(begun + LOOK_INTERVAL_MIN).await;
        };
        tokio::select! {
            () = sleep(interval) => {}
            () = sooner => {}
            () = shutdown.begun() => return,
        }
    }
}

impl std::fmt::Debug for PublishedKeys {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let url = self.0.url.as_str();
        out.debug_tuple("PublishedKeys").field(&url).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// The public key of RFC 8037, appendix A.2.
    fn edwards(further: &Value) -> Value {
        let mut key = json!({"kty": "OKP", "crv": "Ed25519", "kid": "one",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        for (name, value) in further.as_object().unwrap() {
            key[name] = value.clone();
        }
        key
    }

    fn found(keys: &[Value]) -> Vec<(Option<String>, Algorithm)> {
        let set = json!({"keys": keys}).to_string();
        let keys = usable(set.as_bytes()).unwrap_or_default();
        keys.into_iter()
            .map(|key| (key.id, key.algorithm))
            .collect()
    }

    #[test]
    fn keys_that_check_nothing_are_left_out() {
        let one = [(Some("one".to_owned()), Algorithm::EdDSA)];
        assert_eq!(
            found(&[edwards(&json!({"use": "sig", "alg": "EdDSA"}))]),
            one
        );
        for other in [
            edwards(&json!({"use": "enc"})),
            edwards(&json!({"alg": "RS256"})),
            edwards(&json!({"key_ops": ["sign"]})),
            edwards(&json!({"x": "?"})),
            json!({"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}),
            json!({"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}),
            json!({"kty": "LMS"}),
            json!("no key"),
        ] {
            let both = [other.clone(), edwards(&json!({}))];
            assert_eq!(found(&both), one, "{other}");
        }
        assert!(matches!(usable(br#"{"keys":[]}"#), Err(FetchError::NoKey)));
        assert!(matches!(usable(b"<html>"), Err(FetchError::NoSet(_))));
    }

    #[test]
    fn a_key_is_found_by_its_id_and_algorithm() {
        let keys = PublishedKeys::new("http://127.0.0.1:9/".parse().unwrap());
        let set = json!({"keys": [edwards(&json!({})), edwards(&json!({"kid": "two"}))]});
        keys.replace(usable(set.to_string().as_bytes()).unwrap());
        let count = |algorithm, id| keys.of(algorithm, id).len();
        assert_eq!(count(Algorithm::EdDSA, Some("two")), 1);
        assert_eq!(count(Algorithm::EdDSA, None), 2);
        assert_eq!(count(Algorithm::EdDSA, Some("three")), 0);
        assert_eq!(count(Algorithm::RS256, Some("two")), 0);
    }
}
