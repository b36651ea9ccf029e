//! Settings of who may do what.
#![expect(rustdoc::bare_urls, reason = "these comments are the help text")]

use super::bounds::duration;
use super::{ConfigError, switch};
use crate::access::{
    AuthMode, Lifetimes, OutsideIssuer, OutsideKeys, PublishedKeys, RateLimits, SECRET_BYTES_MIN,
};
use crate::http::is_local_name;
use anyhow::Context;
use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;
use url::{Host, Url};

/// Who has to log in, and how.
#[derive(Debug, Clone, Args)]
pub struct AccessConfig {
    /// Whether anybody has to log in: off or required. By default off on a loopback address, and
    /// required on any other
    #[arg(long, env = "IAQ_AUTH", value_name = "IAQ_AUTH", value_parser = auth_mode)]
    pub auth: Option<AuthMode>,

    /// Serve with IAQ_AUTH=off on an address that others can reach
    #[arg(long, env = "IAQ_INSECURE", value_parser = switch, default_value = "0",
        num_args = 0..=1, default_missing_value = "1", value_name = "IAQ_INSECURE")]
    pub insecure: bool,

    /// Secret that tokens are signed with (HS256), at least 32 bytes; by default a random one for
    /// each start
    #[arg(
        long,
        env = "IAQ_JWT_SECRET",
        value_name = "IAQ_JWT_SECRET",
        hide_env_values = true
    )]
    pub jwt_secret: Option<SecretString>,

    /// File with the public key (PEM; RS256, ES256 or EdDSA) of an issuer whose tokens count too
    #[arg(
        long,
        env = "IAQ_JWT_PUBLIC_KEY_FILE",
        value_name = "IAQ_JWT_PUBLIC_KEY_FILE"
    )]
    pub jwt_public_key_file: Option<PathBuf>,

    /// Where that issuer publishes its keys instead (JWKS), for example
    /// https://login.example/realms/home/protocol/openid-connect/certs
    #[arg(
        long,
        env = "IAQ_JWT_JWKS_URL",
        value_name = "IAQ_JWT_JWKS_URL",
        hide_env_values = true
    )]
    pub jwt_jwks_url: Option<String>,

    /// `iss` of that issuer's tokens, for example https://login.example
    #[arg(long, env = "IAQ_JWT_ISSUER", value_name = "IAQ_JWT_ISSUER")]
    pub jwt_issuer: Option<String>,

    /// `aud` of that issuer's tokens
    #[arg(long, env = "IAQ_JWT_AUDIENCE", value_name = "IAQ_JWT_AUDIENCE")]
    pub jwt_audience: Option<String>,

    /// Claim of that issuer's tokens with the roles, with dots between the names of a path, for example
    /// realm_access.roles; by default role and roles
    #[arg(long, env = "IAQ_JWT_ROLE_CLAIM", value_name = "IAQ_JWT_ROLE_CLAIM")]
    pub jwt_role_claim: Option<String>,

    /// How long the token of a login counts
    #[arg(long, env = "IAQ_TOKEN_TTL", value_name = "IAQ_TOKEN_TTL", default_value = "10m",
        value_parser = duration)]
    pub token_ttl: Duration,

    /// How long somebody stays logged in without being there
    #[arg(long, env = "IAQ_REFRESH_TTL", value_name = "IAQ_REFRESH_TTL", default_value = "30days",
        value_parser = duration)]
    pub refresh_ttl: Duration,

    /// Requests with readings a second of one address or key, twice as many at once; 0 for no limit
    #[arg(
        long,
        env = "IAQ_RATE_INGEST",
        value_name = "IAQ_RATE_INGEST",
        default_value_t = 50
    )]
    pub rate_ingest: u32,

    /// Readings a second of one address or key, ten times as many at once and never fewer than one
    /// request may have; 0 for no limit. By default 20000, or no limit where IAQ_RATE_INGEST is 0
    #[arg(long, env = "IAQ_RATE_READINGS", value_name = "IAQ_RATE_READINGS")]
    pub rate_readings: Option<u32>,

    /// Other requests a second of one address, key or account, twice as many at once; 0 for no limit
    #[arg(
        long,
        env = "IAQ_RATE_API",
        value_name = "IAQ_RATE_API",
        default_value_t = 100
    )]
    pub rate_api: u32,

    /// Attempts to log in a minute from one address and to one account; 0 for no limit
    #[arg(
        long,
        env = "IAQ_RATE_LOGIN",
        value_name = "IAQ_RATE_LOGIN",
        default_value_t = 10
    )]
    pub rate_login: u32,
}

/// Readings a second, as many as 20 000 devices send that measure each second: a gateway that sends what
/// it has gathered in a day does not notice, and it is a part of what the store takes.
const RATE_READINGS_USUAL: u32 = 20_000;
/// Below this a page would do little else than renew its token.
const TOKEN_TTL_MIN: Duration = Duration::from_secs(1);

impl AccessConfig {
    /// Whether anybody has to log in on this address.
    pub fn mode(&self, address: IpAddr) -> AuthMode {
        self.auth.unwrap_or(if address.is_loopback() {
            AuthMode::Off
        } else {
            AuthMode::Required
        })
    }

    pub(super) fn check(&self, address: IpAddr) -> Result<(), ConfigError> {
        let refuse = |setting, reason: String| Err(ConfigError { setting, reason });
        let is_open = self.mode(address) == AuthMode::Off;
        if is_open && !address.is_loopback() && !self.insecure {
            return refuse(
                "IAQ_AUTH",
                format!(
                    "off is refused on {address}, which others can reach: set IAQ_AUTH=required, \
                     listen on 127.0.0.1 behind nginx, or set IAQ_INSECURE=1"
                ),
            );
        }
        let secret = self.jwt_secret.as_ref();
        if secret.is_some_and(|secret| secret.expose_secret().len() < SECRET_BYTES_MIN) {
            return refuse(
                "IAQ_JWT_SECRET",
                format!("must have at least {SECRET_BYTES_MIN} bytes"),
            );
        }
        self.check_outside()?;
        for (setting, lifetime) in [
            ("IAQ_TOKEN_TTL", self.token_ttl),
            ("IAQ_REFRESH_TTL", self.refresh_ttl),
        ] {
            if lifetime < TOKEN_TTL_MIN {
                return refuse(setting, "must be at least 1s".to_owned());
            }
        }
        Ok(())
    }

    pub fn lifetimes(&self) -> Lifetimes {
        Lifetimes {
            token: self.token_ttl,
            refresh: self.refresh_ttl,
        }
    }

    pub fn limits(&self, batch_readings_max: usize) -> RateLimits {
        let readings_usual = if self.rate_ingest > 0 {
            RATE_READINGS_USUAL
        } else {
            0
        };
        RateLimits::new(self.rate_ingest, self.rate_api, self.rate_login).with_readings(
            self.rate_readings.unwrap_or(readings_usual),
            batch_readings_max,
        )
    }

    fn check_outside(&self) -> Result<(), ConfigError> {
        let refuse = |setting, reason: String| Err(ConfigError { setting, reason });
        if let Some(url) = &self.jwt_jwks_url {
            if self.jwt_public_key_file.is_some() {
                let reason = "and IAQ_JWT_PUBLIC_KEY_FILE exclude each other";
                return refuse("IAQ_JWT_JWKS_URL", reason.to_owned());
            }
            if keys_url(url).is_none() {
                return refuse("IAQ_JWT_JWKS_URL", NO_KEYS_URL.to_owned());
            }
        }
        let has_key = self.jwt_public_key_file.is_some() || self.jwt_jwks_url.is_some();
        for (setting, given, is_needed) in [
            ("IAQ_JWT_ISSUER", &self.jwt_issuer, true),
            ("IAQ_JWT_AUDIENCE", &self.jwt_audience, true),
            ("IAQ_JWT_ROLE_CLAIM", &self.jwt_role_claim, false),
        ] {
            let is_given = given.as_ref().is_some_and(|text| !text.is_empty());
            if has_key && is_needed && !is_given {
                let reason = "must be given with IAQ_JWT_PUBLIC_KEY_FILE or IAQ_JWT_JWKS_URL";
                return refuse(setting, reason.to_owned());
            }
            // Without a key no token of the issuer would count, and nobody would say so.
            if is_given && !has_key {
                let reason = "needs IAQ_JWT_PUBLIC_KEY_FILE or IAQ_JWT_JWKS_URL";
                return refuse(setting, reason.to_owned());
            }
        }
        Ok(())
    }

    /// The outside issuer, with its key where it is in a file.
    pub fn outside_issuer(&self) -> anyhow::Result<Option<OutsideIssuer>> {
        let (Some(issuer), Some(audience)) = (&self.jwt_issuer, &self.jwt_audience) else {
            return Ok(None);
        };
        let url = self.jwt_jwks_url.as_deref().and_then(keys_url);
        let keys = if let Some(url) = url {
            OutsideKeys::Published(PublishedKeys::new(url))
        } else if let Some(file) = &self.jwt_public_key_file {
            let pem = std::fs::read(file).with_context(|| {
                format!("IAQ_JWT_PUBLIC_KEY_FILE: {} cannot be read", file.display())
            })?;
            OutsideKeys::Pem(pem)
        } else {
            return Ok(None);
        };
        Ok(Some(OutsideIssuer {
            keys,
            issuer: issuer.clone(),
            audience: audience.clone(),
            role_claim: self
                .jwt_role_claim
                .clone()
                .filter(|claim| !claim.is_empty()),
        }))
    }
}

const NO_KEYS_URL: &str = "must be a URL with https://, or with http:// and a host of the local \
    network: whoever can change the answer on its way can log in as anybody";

/// Where keys are published, if nobody on the way can change them.
fn keys_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_near = match url.host()? {
        Host::Domain(name) => is_local_name(name),
        Host::Ipv4(address) => address.is_loopback() || address.is_private(),
        Host::Ipv6(address) => address.is_loopback() || address.is_unique_local(),
    };
    (url.scheme() == "https" || url.scheme() == "http" && is_near).then_some(url)
}

fn auth_mode(text: &str) -> Result<AuthMode, String> {
    match text {
        "off" => Ok(AuthMode::Off),
        "required" => Ok(AuthMode::Required),
        _ => Err("must be off or required".to_owned()),
    }
}
