//! One delivery: a signed POST to an address that was checked for it.
//!
//! Every delivery has a connection of its own, to an address that [`CheckedNames`] gave out for it.
//! Nothing leads it elsewhere: no redirect, no proxy, no second look-up.

use super::names::{CheckedNames, Lookup, NoAddress, SystemLookup};
use super::signature::signature;
use super::target::{Reach, Scheme, Target};
use crate::clock::Clock;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Response, StatusCode, redirect, retry};
use secrecy::{ExposeSecret, SecretString};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Longest for a name to be found and a connection to stand.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest for a whole delivery, the answer included.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of an answer's body that are read. Nobody needs them; they are read so that a receiver
/// that is still writing does not see its connection reset.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Id of the last message of a delivery.
const DELIVERY: &str = "x-iaqverse-delivery";
/// Time of a delivery, in seconds since 1970.
const TIMESTAMP: &str = "x-iaqverse-timestamp";
/// See [`signature`].
const SIGNATURE: &str = "x-iaqverse-signature";

/// What is to be delivered.
#[derive(Debug)]
pub(super) struct Delivery {
    pub id: String,
    /// JSON.
    pub body: Vec<u8>,
}

/// Why a delivery was not taken. Nothing of it tells what is at an address, beyond this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The URL is not one that is allowed any more, or its name leads nowhere that is.
    #[error("its address is not allowed, or not found")]
    NotAllowed,
    #[error("timed out")]
    TimedOut,
    /// No connection, no trust in its certificate, or no answer in HTTP.
    #[error("refused")]
    Refused,
    #[error("status {}", .0.as_u16())]
    Status(StatusCode),
}

/// What came of a delivery.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    /// The status, which is a 2xx.
    pub result: Result<StatusCode, Failure>,
    pub duration: Duration,
}

/// Delivers. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Courier {
    reach: Reach,
    clock: Arc<dyn Clock>,
    https: Way,
    http: Way,
}

/// A scheme, and whom names are asked of.
#[derive(Debug, Clone)]
struct Way {
    client: Client,
    names: CheckedNames,
}

impl Courier {
    pub(super) fn new(reach: Reach, clock: Arc<dyn Clock>) -> reqwest::Result<Self> {
        Self::asking(&(Arc::new(SystemLookup) as Arc<dyn Lookup>), reach, clock)
    }

    fn asking(
        lookup: &Arc<dyn Lookup>,
        reach: Reach,
        clock: Arc<dyn Clock>,
    ) -> reqwest::Result<Self> {
        let way = |scheme| {
            let names = CheckedNames::new(Arc::clone(lookup), reach.clone(), scheme);
            let client = client(&names, scheme)?;
            Ok(Way { client, names })
        };
        Ok(Self {
            https: way(Scheme::Https)?,
            http: way(Scheme::Http)?,
            reach,
            clock,
        })
    }

    pub(super) fn reach(&self) -> &Reach {
        &self.reach
    }

    fn way(&self, scheme: Scheme) -> &Way {
        match scheme {
            Scheme::Https => &self.https,
            Scheme::Http => &self.http,
        }
    }

    /// Whether a target can be found where it is allowed, at this moment.
    pub(super) async fn look_up(&self, target: &Target) -> Result<(), NoAddress> {
        let Some(name) = target.name() else {
            return Ok(());
        };
        let addresses = self.way(target.scheme()).names.addresses(name);
        let found = timeout(CONNECT_TIMEOUT, addresses).await;
        found.unwrap_or(Err(NoAddress)).map(drop)
    }

    /// Delivers once. Cancelled, the delivery may or may not have arrived.
    pub(super) async fn deliver(
        &self,
        url: &str,
        secret: &SecretString,
        delivery: Delivery,
    ) -> Attempt {
        let began = Instant::now();
        let result = self.attempt(url, secret, delivery).await;
        Attempt {
            result,
            duration: began.elapsed(),
        }
    }

    async fn attempt(
        &self,
        url: &str,
        secret: &SecretString,
        delivery: Delivery,
    ) -> Result<StatusCode, Failure> {
        // What is allowed may have changed since it was added.
        let target = self.reach.check(url);
        let target = target.map_err(|_error| Failure::NotAllowed)?;
        let timestamp_s = self.clock.now().millis().div_euclid(1000);
        let signature = signature(secret.expose_secret(), timestamp_s, &delivery.body);
        let request = self
            .way(target.scheme())
            .client
            .post(target.url().clone())
            .headers(headers(&delivery.id, timestamp_s, &signature))
            .body(delivery.body);
        let response = request.send().await.map_err(|error| failure(&error))?;
        let status = response.status();
        read_away(response).await;
        if status.is_success() {
            Ok(status)
        } else {
            Err(Failure::Status(status))
        }
    }
}

fn client(names: &CheckedNames, scheme: Scheme) -> reqwest::Result<Client> {
    let builder = || {
        Client::builder()
            .dns_resolver(names.clone())
            .no_proxy()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .user_agent(concat!("iaqverse/", env!("CARGO_PKG_VERSION")))
            .pool_max_idle_per_host(0)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(DELIVERY_TIMEOUT)
            .https_only(scheme == Scheme::Https)
    };
    let without_certificates = || builder().tls_certs_only([]).build();
    match scheme {
        Scheme::Http => without_certificates(),
        Scheme::Https => builder().build().or_else(|error| {
            tracing::warn!(
                reason = cause(&error),
                "there are no certificates of authorities on this machine, so webhooks with https \
                 will be refused"
            );
            without_certificates()
        }),
    }
}

fn headers(id: &str, timestamp_s: i64, signature: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(TIMESTAMP, HeaderValue::from(timestamp_s));
    for (name, value) in [(DELIVERY, id), (SIGNATURE, signature)] {
        // Ids and hexadecimal fit into a header.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    headers
}

/// Reads what an answer has, up to its bound; the time for it is that of the delivery.
async fn read_away(mut response: Response) {
    let mut read = 0;
    while read < ANSWER_BYTES_MAX {
        // A body that breaks off changes nothing: the status was there.
        let Ok(Some(chunk)) = response.chunk().await else {
            return;
        };
        read += chunk.len();
    }
}

fn failure(error: &reqwest::Error) -> Failure {
    let mut source = error.source();
    while let Some(cause) = source {
        if cause.is::<NoAddress>() {
            return Failure::NotAllowed;
        }
        source = cause.source();
    }
    if error.is_timeout() {
        Failure::TimedOut
    } else {
        Failure::Refused
    }
}

/// The innermost reason, without the URL that the outer ones may have.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests;
