//! JSON Web Tokens: those made here, and those of an outside issuer.
//!
//! Which key checks a token follows from its algorithm, and each key has exactly one: a public key can
//! never be taken for a secret. Headers that point to other keys are not looked at.

use super::role::Role;
use crate::domain::Sites;
use crate::domain::Timestamp;
use anyhow::{Context, ensure};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// Issuer and audience of the tokens made here.
pub(super) const OWN_NAME: &str = "iaqverse";
/// Bytes of a secret: as many as HS256 has (RFC 7518 §3.2).
pub const SECRET_BYTES_MIN: usize = 32;
/// How far the clock of an outside issuer may be off.
const OUTSIDE_LEEWAY: Duration = Duration::from_secs(30);
/// Longest token that is looked at.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Whose tokens are believed besides our own.
#[derive(Debug, Clone)]
pub struct OutsideIssuer {
    /// Public key in PEM.
    pub key_pem: Vec<u8>,
    pub issuer: String,
    pub audience: String,
}

/// Makes and checks tokens.
pub struct Tokens {
    encoding: EncodingKey,
    own: Issuer,
    outside: Option<Issuer>,
}

struct Issuer {
    key: DecodingKey,
    validation: Validation,
    leeway: Duration,
    /// It is this server: what a token says of sessions is about those here.
    is_own: bool,
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
struct Claims {
    sub: String,
    exp: f64,
    nbf: Option<f64>,
    sid: Option<String>,
    role: Option<String>,
    /// Other issuers give several.
    #[serde(default)]
    roles: Vec<String>,
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
            own: Issuer {
                key: DecodingKey::from_secret(secret),
                validation: validation(Algorithm::HS256, OWN_NAME, OWN_NAME),
                leeway: Duration::ZERO,
                is_own: true,
            },
            outside: outside.map(Issuer::outside).transpose()?,
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
        let issuer = [Some(&self.own), self.outside.as_ref()]
            .into_iter()
            .flatten()
            .find(|issuer| issuer.validation.algorithms.contains(&header.alg))
            .ok_or(TokenError::Invalid)?;
        issuer.verify(token, now)
    }
}

impl Issuer {
    fn outside(outside: &OutsideIssuer) -> anyhow::Result<Self> {
        let pem = &outside.key_pem;
        let rsa = || DecodingKey::from_rsa_pem(pem).map(|key| (Algorithm::RS256, key));
        let elliptic = || DecodingKey::from_ec_pem(pem).map(|key| (Algorithm::ES256, key));
        let edwards = || DecodingKey::from_ed_pem(pem).map(|key| (Algorithm::EdDSA, key));
        let (algorithm, key) = rsa()
            .or_else(|_| elliptic())
            .or_else(|_| edwards())
            .ok()
            .context(
                "IAQ_JWT_PUBLIC_KEY_FILE: holds no public key in PEM for RS256, ES256 or EdDSA",
            )?;
        Ok(Self {
            key,
            validation: validation(algorithm, &outside.issuer, &outside.audience),
            leeway: OUTSIDE_LEEWAY,
            is_own: false,
        })
    }

    fn verify(&self, token: &str, now: Timestamp) -> Result<Verified, TokenError> {
        let claims = decode::<Claims>(token, &self.key, &self.validation)
            .map_err(|_refused| TokenError::Invalid)?
            .claims;
        let expires_at = timestamp(claims.exp).ok_or(TokenError::Invalid)?;
        if expires_at.plus(self.leeway) <= now {
            return Err(TokenError::Expired);
        }
        if let Some(from) = claims.nbf {
            let from = timestamp(from).ok_or(TokenError::Invalid)?;
            if now.plus(self.leeway) < from {
                return Err(TokenError::Invalid);
            }
        }
        let roles = claims.roles.iter().chain(&claims.role);
        let sites = match claims.sites {
            None => Sites::ALL,
            Some(names) => Sites::only(names).map_err(|_unusable| TokenError::Invalid)?,
        };
        Ok(Verified {
            subject: claims.sub,
            session: claims.sid.filter(|_| self.is_own),
            role: roles.filter_map(|role| Role::from_name(role)).max(),
            sites,
            expires_at,
        })
    }
}

fn validation(algorithm: Algorithm, issuer: &str, audience: &str) -> Validation {
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
