//! JSON Web Tokens: those made here, and those of an outside issuer.
//!
//! Which key checks a token follows from its algorithm, and each key has exactly one: a public key can
//! never be taken for a secret. Headers that bring or point to other keys are not looked at, but for
//! the name of one of those that the issuer publishes.

use super::outside::{Outside, OutsideIssuer};
use super::published_keys::PublishedKeys;
use super::role::Role;
use crate::domain::Sites;
use crate::domain::Timestamp;
use anyhow::{Context, ensure};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

/// Issuer and audience of the tokens made here.
pub(super) const OWN_NAME: &str = "iaqverse";
/// Bytes of a secret: as many as HS256 has (RFC 7518 §3.2).
pub const SECRET_BYTES_MIN: usize = 32;
/// Longest token that is looked at.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Makes and checks tokens.
pub struct Tokens {
    encoding: EncodingKey,
    own: DecodingKey,
    outside: Option<Outside>,
}

/// What a token says, once it is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    pub subject: String,
    /// The session it came from.
    pub session: Option<String>,
    pub role: Option<Role>,
    pub sites: Sites,
    pub expires_at: Timestamp,
}

/// Why a token is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("the token is not valid")]
    Invalid,
    #[error("the token has expired")]
    Expired,
}

/// Claims of RFC 7519, and ours. Issuer and audience are compared before.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    sub: String,
    exp: f64,
    nbf: Option<f64>,
    sid: Option<String>,
    /// Other issuers give several, under either name, or something else that is no role.
    #[serde(default)]
    role: Value,
    #[serde(default)]
    roles: Value,
    sites: Option<BTreeSet<String>>,
}

/// The claims of tokens made here.
#[derive(Serialize)]
struct OwnClaims<'a> {
    iss: &'static str,
    aud: &'static str,
    sub: &'a str,
    iat: i64,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
    #[serde(
        skip_serializing_if = "Sites::are_all",
        serialize_with = "super::sites_json::serialize"
    )]
    sites: &'a Sites,
}

impl Tokens {
    /// Tokens are made with `secret`, or with a random one that ends with the process.
    pub fn new(
        secret: Option<&SecretString>,
        outside: Option<&OutsideIssuer>,
    ) -> anyhow::Result<Self> {
        let random = super::secret::random_bytes();
        let secret = secret.map_or(&random[..], |secret| secret.expose_secret().as_bytes());
        ensure!(
            secret.len() >= SECRET_BYTES_MIN,
            "IAQ_JWT_SECRET: must have at least {SECRET_BYTES_MIN} bytes"
        );
        Ok(Self {
            encoding: EncodingKey::from_secret(secret),
            own: DecodingKey::from_secret(secret),
            outside: outside.map(Outside::new).transpose()?,
        })
    }

    /// A token for somebody.
    pub fn issue(&self, token: &Verified, now: Timestamp) -> anyhow::Result<String> {
        let claims = OwnClaims {
            iss: OWN_NAME,
            aud: OWN_NAME,
            sub: &token.subject,
            iat: now.millis() / 1000,
            exp: token.expires_at.millis() / 1000,
            sid: token.session.as_deref(),
            role: token.role,
            sites: &token.sites,
        };
        encode(&Header::new(Algorithm::HS256), &claims, &self.encoding).context("a token")
    }

    /// What a token says, if it is to be believed now.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Verified, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Invalid);
        }
        let header = decode_header(token).map_err(|_malformed| TokenError::Invalid)?;
        // A token that says it must be understood in a way this server does not know (RFC 7515 §4.1.11).
        if header.crit.is_some() {
            return Err(TokenError::Invalid);
        }
        match &self.outside {
            // No public key belongs to this one.
            _ if header.alg == Algorithm::HS256 => {
                let validation = validation(Algorithm::HS256, OWN_NAME, OWN_NAME);
                let claims = Claims::of(token, &self.own, &validation);
                let claims = claims.map_err(|_refused| TokenError::Invalid)?;
                claims.verified(now, Duration::ZERO)
            }
            Some(outside) => outside.verify(token, &header, now),
            None => Err(TokenError::Invalid),
        }
    }

    /// The keys of the outside issuer, where it publishes them.
    pub(super) fn published_keys(&self) -> Option<&PublishedKeys> {
        self.outside.as_ref()?.published_keys()
    }
}

impl Claims {
    /// The claims of a token whose signature is right.
    pub(super) fn of(
        token: &str,
        key: &DecodingKey,
        validation: &Validation,
    ) -> jsonwebtoken::errors::Result<Self> {
        Ok(decode::<Self>(token, key, validation)?.claims)
    }

    /// What they say, if it is to be believed now by a clock that may be off by `leeway`.
    pub(super) fn verified(self, now: Timestamp, leeway: Duration) -> Result<Verified, TokenError> {
        let expires_at = timestamp(self.exp).ok_or(TokenError::Invalid)?;
        if expires_at.plus(leeway) <= now {
            return Err(TokenError::Expired);
        }
        if let Some(from) = self.nbf {
            let from = timestamp(from).ok_or(TokenError::Invalid)?;
            if now.plus(leeway) < from {
                return Err(TokenError::Invalid);
            }
        }
        let sites = match self.sites {
            None => Sites::ALL,
            Some(names) => Sites::only(names).map_err(|_unusable| TokenError::Invalid)?,
        };
        Ok(Verified {
            subject: self.sub,
            session: self.sid,
            role: [&self.role, &self.roles]
                .into_iter()
                .filter_map(Role::highest_of)
                .max(),
            sites,
            expires_at,
        })
    }
}

pub(super) fn validation(algorithm: Algorithm, issuer: &str, audience: &str) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[audience]);
    // Times are compared here, with the server's clock.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation
}

/// Numbers of RFC 7519 are seconds, with or without a fraction.
#[expect(clippy::cast_possible_truncation, reason = "checked to be in range")]
fn timestamp(seconds: f64) -> Option<Timestamp> {
    /// The year 9999, which is as far as timestamps go.
    const SECONDS_MAX: f64 = 253_402_300_799.0;
    (0.0..=SECONDS_MAX)
        .contains(&seconds)
        .then(|| Timestamp::from_millis((seconds * 1000.0) as i64))
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Tokens").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
