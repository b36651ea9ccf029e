//! Tokens of an outside issuer, such as the login of a company.

use super::published_keys::PublishedKeys;
use super::role::Role;
use super::token::{Claims, TokenError, Verified, validation};
use crate::domain::Timestamp;
use anyhow::Context;
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, DecodingKey, Header};
use serde_json::Value;
use std::time::Duration;

/// How far the clock of an outside issuer may be off.
const LEEWAY: Duration = Duration::from_secs(30);
/// Longest name of a key in the log, which anybody can choose.
const SHOWN_CHARS_MAX: usize = 64;

/// Whose tokens are believed besides our own.
#[derive(Debug, Clone)]
pub struct OutsideIssuer {
    pub keys: OutsideKeys,
    pub issuer: String,
    pub audience: String,
    /// Where its tokens have the roles; by default in `role` and `roles`.
    pub role_claim: Option<String>,
}

/// What checks its tokens.
#[derive(Debug, Clone)]
pub enum OutsideKeys {
    /// One public key in PEM.
    Pem(Vec<u8>),
    Published(PublishedKeys),
}

/// The same, ready to check tokens.
pub(super) struct Outside {
    keys: Keys,
    issuer: String,
    audience: String,
    role_claim: Option<String>,
}

enum Keys {
    One(Algorithm, DecodingKey),
    Published(PublishedKeys),
}

impl Outside {
    pub(super) fn new(outside: &OutsideIssuer) -> anyhow::Result<Self> {
        Ok(Self {
            keys: match &outside.keys {
                OutsideKeys::Pem(pem) => one_key(pem)?,
                OutsideKeys::Published(keys) => Keys::Published(keys.clone()),
            },
            issuer: outside.issuer.clone(),
            audience: outside.audience.clone(),
            role_claim: outside.role_claim.clone(),
        })
    }

    pub(super) fn published_keys(&self) -> Option<&PublishedKeys> {
        match &self.keys {
            Keys::One(..) => None,
            Keys::Published(keys) => Some(keys),
        }
    }

    /// What a token says, if it is to be believed now. Why it is not is for the log: whoever shows it
    /// is told no more than that.
    pub(super) fn verify(
        &self,
        token: &str,
        header: &Header,
        now: Timestamp,
    ) -> Result<Verified, TokenError> {
        let claims = self.claims(token, header).map_err(|reason| {
            let key_id = header.kid.as_deref().unwrap_or_default();
            let key_id: String = key_id.chars().take(SHOWN_CHARS_MAX).collect();
            let algorithm = header.alg;
            tracing::info!(
                reason,
                ?algorithm,
                ?key_id,
                "a token of the outside issuer is refused"
            );
            TokenError::Invalid
        })?;
        let verified = claims.verified(now, LEEWAY).inspect_err(|error| {
            let reason = match error {
                TokenError::Expired => "it has expired",
                TokenError::Invalid => "its `exp`, `nbf` or `sites` is wrong",
            };
            tracing::info!(reason, "a token of the outside issuer is refused");
        })?;
        let role = match &self.role_claim {
            None => verified.role,
            Some(path) => role_at(token, path),
        };
        if role.is_none() {
            let place = self.role_claim.as_deref().unwrap_or("role, roles");
            tracing::info!(
                subject = verified.subject,
                place,
                "a token of the outside issuer has no role that is known here; see IAQ_JWT_ROLE_CLAIM"
            );
        }
        Ok(Verified {
            role,
            // A session there is none of ours.
            session: None,
            ..verified
        })
    }

    /// The claims of a token that one of the keys has signed for us, or why it is not one.
    fn claims(&self, token: &str, header: &Header) -> Result<Claims, &'static str> {
        let decode = |algorithm, key: &DecodingKey| {
            let validation = validation(algorithm, &self.issuer, &self.audience);
            Claims::of(token, key, &validation).map_err(|error| reason(&error))
        };
        match &self.keys {
            Keys::One(algorithm, _) if *algorithm != header.alg => {
                Err("its algorithm is not that of the key")
            }
            Keys::One(algorithm, key) => decode(*algorithm, key),
            Keys::Published(keys) => {
                let mut decoded = Err("no key of this name and algorithm is published");
                for known in keys.of(header.alg, header.kid.as_deref()) {
                    decoded = decode(known.algorithm, &known.key);
                    if decoded.is_ok() {
                        break;
                    }
                }
                decoded
            }
        }
    }
}

fn one_key(pem: &[u8]) -> anyhow::Result<Keys> {
    let rsa = || DecodingKey::from_rsa_pem(pem).map(|key| Keys::One(Algorithm::RS256, key));
    let elliptic = || DecodingKey::from_ec_pem(pem).map(|key| Keys::One(Algorithm::ES256, key));
    let edwards = || DecodingKey::from_ed_pem(pem).map(|key| Keys::One(Algorithm::EdDSA, key));
    let key = rsa().or_else(|_| elliptic()).or_else(|_| edwards());
    key.ok()
        .context("IAQ_JWT_PUBLIC_KEY_FILE: holds no public key in PEM for RS256, ES256 or EdDSA")
}

fn reason(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::InvalidSignature => "its signature is not that of the key",
        ErrorKind::InvalidIssuer => "its `iss` is not IAQ_JWT_ISSUER",
        ErrorKind::InvalidAudience => "its `aud` is not IAQ_JWT_AUDIENCE",
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::Json(_) => {
            "`exp`, `iss`, `aud` or `sub` is missing, or a claim is of another kind"
        }
        _ => "it cannot be read",
    }
}

/// The highest role that is named at a place in the claims of a token that is believed.
fn role_at(token: &str, path: &str) -> Option<Role> {
    let claims: Value = jsonwebtoken::dangerous::insecure_decode_claims(token).ok()?;
    match value_at(&claims, path)? {
        Value::String(names) => names.split_whitespace().filter_map(Role::from_name).max(),
        names => Role::highest_of(names),
    }
}

/// What is at a path of names with dots between them; a name may have dots itself, as those do that
/// are URLs.
fn value_at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    value.get(path).or_else(|| {
        let dots = path.match_indices('.').map(|(position, _)| position);
        dots.filter_map(|dot| path.split_at_checked(dot))
            .find_map(|(name, rest)| value_at(value.get(name)?, rest.strip_prefix('.')?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_claim_is_found_by_its_path() {
        let claims = json!({
            "realm_access": {"roles": ["viewer"]},
            "https://iaq.example/roles": ["operator"],
            "resource_access": {"iaq.example": {"roles": ["admin"]}},
            "scope": "openid viewer",
        });
        let at = |path| value_at(&claims, path).cloned();
        assert_eq!(at("realm_access.roles"), Some(json!(["viewer"])));
        assert_eq!(at("https://iaq.example/roles"), Some(json!(["operator"])));
        assert_eq!(
            at("resource_access.iaq.example.roles"),
            Some(json!(["admin"]))
        );
        assert_eq!(at("scope"), Some(json!("openid viewer")));
        for path in ["", ".", "realm_access.", "realm_access.roles.0", "nothing"] {
            assert_eq!(at(path), None, "{path}");
        }
    }
}
