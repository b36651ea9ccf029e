//! `iaqverse watch`: what a server sends over its WebSocket, one message a line.

use crate::shutdown::Signals;
use anyhow::Context;
use clap::Args;
use futures_util::{SinkExt, StreamExt};
use secrecy::{ExposeSecret, SecretString};
use std::io::Write;
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::header::{AUTHORIZATION, HeaderValue};

#[derive(Debug, Clone, Args)]
pub struct WatchArgs {
    /// WebSocket of the server
    #[arg(default_value = "ws://127.0.0.1:8080/ws")]
    pub url: String,

    /// Topics to watch, comma-separated
    #[arg(long, default_value = "all", value_delimiter = ',')]
    pub topics: Vec<String>,

    /// Show the latest reading of every sensor first
    #[arg(long)]
    pub snapshot: bool,

    /// Token, where the server asks for one
    #[arg(
        long,
        env = "IAQ_TOKEN",
        value_name = "IAQ_TOKEN",
        hide_env_values = true
    )]
    pub token: Option<SecretString>,

    /// End after so many messages; 0 goes on for ever
    #[arg(long, default_value_t = 0)]
    pub count: u64,
}

/// Wait before the next try, from the first to the longest.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(20);

/// Prints messages to standard output until interrupted, reconnecting as often as needed.
pub(crate) async fn command(arguments: WatchArgs) -> anyhow::Result<()> {
    let mut url = url::Url::parse(&arguments.url).context("the address of the server")?;
    anyhow::ensure!(
        url.scheme() == "ws",
        "only ws:// addresses can be watched, not {url}"
    );
    url.query_pairs_mut()
        .append_pair("topics", &arguments.topics.join(","));
    let mut shown = 0;
    let mut wait = RETRY_FIRST;
    let mut signals = Signals::listen()?;
    loop {
        match watch(&url, &arguments, &mut shown, &mut wait, &mut signals).await {
            Ok(()) => return Ok(()),
            Err(error) => note(&format!(
                "{error:#}; trying again in {} ms",
                wait.as_millis()
            )),
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = signals.next() => return Ok(()),
        }
        wait = (wait * 2).min(RETRY_MAX);
    }
}

/// One connection. Ends with `Ok` when enough is shown or the user had enough.
async fn watch(
    url: &url::Url,
    arguments: &WatchArgs,
    shown: &mut u64,
    wait: &mut Duration,
    signals: &mut Signals,
) -> anyhow::Result<()> {
    let mut request = url.as_str().into_client_request()?;
    if let Some(token) = &arguments.token {
        let mut bearer: HeaderValue = format!("Bearer {}", token.expose_secret())
            .parse()
            .context("the token has characters no header can carry")?;
        bearer.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, bearer);
    }
    let (mut socket, _) = tokio_tungstenite::connect_async(request)
        .await
        .context("cannot connect")?;
    *wait = RETRY_FIRST;
    if arguments.snapshot {
        let subscribe = serde_json::json!(
            {"type": "subscribe", "topics": arguments.topics, "snapshot": true}
        );
        socket.send(Message::text(subscribe.to_string())).await?;
    }
    loop {
        let message = tokio::select! {
            message = socket.next() => message,
            _ = signals.next() => return Ok(()),
        };
        match message.context("the server is gone")?? {
            Message::Text(text) => {
                let mut output = std::io::stdout().lock();
                if writeln!(output, "{text}")
                    .and_then(|()| output.flush())
                    .is_err()
                {
                    // Whoever read our output is gone.
                    return Ok(());
                }
                *shown += 1;
                if *shown == arguments.count {
                    return Ok(());
                }
            }
            Message::Close(frame) => match frame {
                Some(frame) => {
                    anyhow::bail!("closed with {} {}", u16::from(frame.code), frame.reason)
                }
                None => anyhow::bail!("closed"),
            },
            _ => {}
        }
    }
}

fn note(text: &str) {
    #[expect(clippy::print_stderr, reason = "a command talks to its user")]
    {
        eprintln!("{text}");
    }
}
