//! `iaqverse token`: a token for a program, such as Prometheus or a script.

use super::{say, sites};
use crate::access::account::role_fault;
use crate::access::{Role, Tokens, Verified};
use crate::clock::{Clock, SystemClock};
use crate::config::bounds::duration;
use crate::config::names;
use anyhow::{Context, bail};
use clap::Args;
use secrecy::SecretString;
use std::time::Duration;

#[derive(Debug, Clone, Args)]
pub struct TokenArgs {
    /// What the token lets its owner do
    #[arg(long, default_value = "viewer", value_parser = names::role())]
    pub role: Role,

    /// Restrict to this site; may be given several times
    #[arg(long = "site", value_name = "SITE")]
    pub sites: Vec<String>,

    /// Name of the owner, for logs
    #[arg(long, default_value = "token")]
    pub subject: String,

    /// How long the token counts. Only another secret of the server takes it back
    #[arg(long, default_value = "1h", value_parser = duration)]
    pub ttl: Duration,

    /// Secret of the server
    #[arg(
        long = "jwt-secret",
        env = "IAQ_JWT_SECRET",
        value_name = "IAQ_JWT_SECRET",
        hide_env_values = true
    )]
    pub secret: Option<SecretString>,
}

/// Prints a token.
pub(crate) fn command(arguments: &TokenArgs) -> anyhow::Result<()> {
    let secret = arguments.secret.as_ref().context(
        "IAQ_JWT_SECRET: must be the secret of the server; without one a server makes one up at \
         each start",
    )?;
    let sites = sites(&arguments.sites)?;
    if let Some(fault) = role_fault(arguments.role, &sites) {
        bail!("{fault}");
    }
    let now = SystemClock.now();
    let token = Verified {
        subject: arguments.subject.clone(),
        session: None,
        role: Some(arguments.role),
        sites,
        expires_at: now.plus(arguments.ttl),
    };
    say(&Tokens::new(Some(secret), None)?.issue(&token, now)?);
    Ok(())
}
