//! `iaqverse healthcheck`: is the server ready? For containers and scripts.

use crate::access::{Role, Tokens, Verified};
use crate::clock::{Clock, SystemClock};
use crate::domain::Sites;
use anyhow::Context;
use clap::Args;
use reqwest::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

#[derive(Debug, Clone, Args)]
pub struct HealthcheckArgs {
    /// Address the server listens on
    #[arg(
        long,
        env = "IAQ_BIND",
        value_name = "IAQ_BIND",
        default_value = "127.0.0.1:8080"
    )]
    pub bind: SocketAddr,

    /// Token, where the server asks for one
    #[arg(
        long,
        env = "IAQ_TOKEN",
        value_name = "IAQ_TOKEN",
        hide_env_values = true
    )]
    pub token: Option<SecretString>,

    /// Secret of the server, with which a token is made when none is given
    #[arg(
        long = "jwt-secret",
        env = "IAQ_JWT_SECRET",
        value_name = "IAQ_JWT_SECRET",
        hide_env_values = true
    )]
    pub secret: Option<SecretString>,
}

const ANSWER_WAIT_MAX: Duration = Duration::from_secs(3);

/// How long a token made here counts.
const TOKEN_TTL: Duration = Duration::from_mins(1);

/// Fails unless `/health/ready` answers 200. Where that is told to nobody without a token, and there
/// is none, `/health/live` must do.
pub(crate) async fn command(arguments: HealthcheckArgs) -> anyhow::Result<()> {
    let token = arguments.token()?;
    match ask(&arguments, "/health/ready", token.as_ref()).await? {
        StatusCode::UNAUTHORIZED if token.is_none() => {
            let status = ask(&arguments, "/health/live", None).await?;
            anyhow::ensure!(status.is_success(), "/health/live answers {status}");
        }
        status => anyhow::ensure!(status.is_success(), "/health/ready answers {status}"),
    }
    Ok(())
}

impl HealthcheckArgs {
    fn token(&self) -> anyhow::Result<Option<SecretString>> {
        if self.token.is_some() {
            return Ok(self.token.clone());
        }
        let Some(secret) = &self.secret else {
            return Ok(None);
        };
        let now = SystemClock.now();
        let token = Verified {
            subject: "healthcheck".to_owned(),
            session: None,
            role: Some(Role::Viewer),
            sites: Sites::ALL,
            expires_at: now.plus(TOKEN_TTL),
        };
        let token = Tokens::new(Some(secret), None)?.issue(&token, now)?;
        Ok(Some(token.into()))
    }
}

async fn ask(
    arguments: &HealthcheckArgs,
    path: &str,
    token: Option<&SecretString>,
) -> anyhow::Result<StatusCode> {
    let url = format!("http://{}{path}", reachable(arguments.bind));
    let client = reqwest::Client::builder()
        .timeout(ANSWER_WAIT_MAX)
        .no_proxy()
        // Nothing is encrypted here, and there may be no certificates to read.
        .tls_certs_only([])
        .build()?;
    let mut request = client.get(&url);
    if let Some(token) = token {
        request = request.bearer_auth(token.expose_secret());
    }
    let response = request.send().await;
    let response = response.with_context(|| format!("{url} is silent"))?;
    let status = response.status();
    if status.is_server_error() {
        anyhow::bail!("{url} answers {status}: {}", response.text().await?);
    }
    Ok(status)
}

/// Where a server that listens on every address can be asked.
fn reachable(bind: SocketAddr) -> SocketAddr {
    let ip = match bind.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bind.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_means_this_machine() {
        assert_eq!(
            reachable("0.0.0.0:80".parse().unwrap()).to_string(),
            "127.0.0.1:80"
        );
        assert_eq!(
            reachable("[::]:80".parse().unwrap()).to_string(),
            "[::1]:80"
        );
        assert_eq!(
            reachable("10.0.0.1:80".parse().unwrap()).to_string(),
            "10.0.0.1:80"
        );
    }
}
