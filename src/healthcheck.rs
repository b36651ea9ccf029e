//! `iaqverse healthcheck`: is the server ready? For containers and scripts.

use anyhow::Context;
use clap::Args;
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
}

const ANSWER_WAIT_MAX: Duration = Duration::from_secs(3);

/// Fails unless `/health/ready` answers 200.
pub async fn command(arguments: HealthcheckArgs) -> anyhow::Result<()> {
    let url = format!("http://{}/health/ready", reachable(arguments.bind));
    let client = reqwest::Client::builder()
        .timeout(ANSWER_WAIT_MAX)
        .no_proxy()
        .build()?;
    let response = client
        .get(&url)
        .send()
        .await
        .with_context(|| format!("{url} is silent"))?;
    let status = response.status();
    anyhow::ensure!(
        status.is_success(),
        "{url} answers {status}: {}",
        response.text().await?
    );
    Ok(())
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
