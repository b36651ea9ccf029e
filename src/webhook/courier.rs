//! One delivery: a signed POST to an address that was checked for it.
//!
//! Every delivery has a connection of its own, to an address that [`CheckedNames`] gave out for it.
//! Nothing leads it elsewhere: no redirect, no proxy, no second look-up.

use super::connection::{Connection, connect, exchange, secured, trust};
use super::names::{CheckedNames, Lookup, NoAddress, SystemLookup};
use super::signature::signature;
use super::target::{Reach, Scheme, Target};
use crate::clock::Clock;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ACCEPT, CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, InvalidHeaderValue, USER_AGENT,
};
use hyper::{Request, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use url::{Host, Position, Url};

/// Longest for a name to be found and a connection to stand.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest for a whole delivery, the answer included.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);

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
#[derive(Clone)]
pub(super) struct Courier {
    reach: Reach,
    clock: Arc<dyn Clock>,
    https: CheckedNames,
    http: CheckedNames,
    /// Whose certificates are believed; `None` when this machine believes nobody's.
    tls: Option<TlsConnector>,
}

impl Courier {
    pub(super) fn new(reach: Reach, clock: Arc<dyn Clock>) -> Self {
        Self::asking(&(Arc::new(SystemLookup) as Arc<dyn Lookup>), reach, clock)
    }

    fn asking(lookup: &Arc<dyn Lookup>, reach: Reach, clock: Arc<dyn Clock>) -> Self {
        let names = |scheme| CheckedNames::new(Arc::clone(lookup), reach.clone(), scheme);
        let tls = trust().inspect_err(|error| {
            tracing::warn!(
                %error,
                "there are no certificates of authorities on this machine, so webhooks with https \
                 will be refused"
            );
        });
        Self {
            https: names(Scheme::Https),
            http: names(Scheme::Http),
            tls: tls.ok(),
            reach,
            clock,
        }
    }

    pub(super) fn reach(&self) -> &Reach {
        &self.reach
    }

    fn names(&self, scheme: Scheme) -> &CheckedNames {
        match scheme {
            Scheme::Https => &self.https,
            Scheme::Http => &self.http,
        }
    }

    /// Whether a target can be found where it is allowed, at this moment.
    pub(super) async fn look_up(&self, target: &Target) -> Result<(), NoAddress> {
        let found = timeout(CONNECT_TIMEOUT, self.addresses(target)).await;
        found.unwrap_or(Err(NoAddress)).map(drop)
    }

    /// Where a target is: what its name leads to at this moment, or the address it has itself.
    async fn addresses(&self, target: &Target) -> Result<Vec<IpAddr>, NoAddress> {
        match target.url().host() {
            Some(Host::Domain(name)) => self.names(target.scheme()).addresses(name).await,
            Some(Host::Ipv4(address)) => Ok(vec![address.into()]),
            Some(Host::Ipv6(address)) => Ok(vec![address.into()]),
            None => Err(NoAddress),
        }
    }

    /// Delivers once. Cancelled, the delivery may or may not have arrived.
    pub(super) async fn deliver(
        &self,
        url: &str,
        secret: &SecretString,
        delivery: Delivery,
    ) -> Attempt {
        let began = Instant::now();
        let result = timeout(DELIVERY_TIMEOUT, self.attempt(url, secret, delivery)).await;
        Attempt {
            result: result.unwrap_or(Err(Failure::TimedOut)),
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
        let request = request(target.url(), secret, timestamp_s, delivery)
            .map_err(|_never_in_a_header| Failure::NotAllowed)?;
        let connection = timeout(CONNECT_TIMEOUT, self.connect(&target)).await;
        let connection = connection.unwrap_or(Err(Failure::TimedOut))?;
        let status = exchange(connection, request).await;
        let status = status.map_err(|_broken| Failure::Refused)?;
        if status.is_success() {
            Ok(status)
        } else {
            Err(Failure::Status(status))
        }
    }

    /// The first connection that stands.
    async fn connect(&self, target: &Target) -> Result<Connection, Failure> {
        let tls = match target.scheme() {
            Scheme::Http => None,
            Scheme::Https => Some(self.tls.as_ref().ok_or(Failure::Refused)?),
        };
        let addresses = self.addresses(target).await;
        let addresses = addresses.map_err(|NoAddress| Failure::NotAllowed)?;
        let port = target.url().port_or_known_default();
        let host = target.url().host_str();
        let (port, host) = port.zip(host).ok_or(Failure::NotAllowed)?;
        // One that does not answer leaves time for the others.
        let wait_max = CONNECT_TIMEOUT / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        let mut failure = Failure::Refused;
        for address in addresses {
            let connecting = connect(SocketAddr::new(address, port));
            match timeout(wait_max, connecting).await {
                Ok(Ok(stream)) => {
                    let secured = secured(stream, tls, host).await;
                    return secured.map_err(|_untrusted| Failure::Refused);
                }
                Ok(Err(_)) => failure = Failure::Refused,
                Err(_elapsed) => failure = Failure::TimedOut,
            }
        }
        Err(failure)
    }
}

impl std::fmt::Debug for Courier {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Courier")
            .field("reach", &self.reach)
            .finish_non_exhaustive()
    }
}

fn request(
    url: &Url,
    secret: &SecretString,
    timestamp_s: i64,
    delivery: Delivery,
) -> Result<Request<Full<Bytes>>, InvalidHeaderValue> {
    let signature = signature(secret.expose_secret(), timestamp_s, &delivery.body);
    let mut request = Request::new(Full::from(delivery.body));
    *request.method_mut() = hyper::Method::POST;
    let path = url[Position::BeforePath..Position::AfterQuery].parse();
    // What a URL has for a path, an HTTP request takes as well.
    *request.uri_mut() = path.unwrap_or_default();
    let host = &url[Position::BeforeHost..Position::AfterPort];
    *request.headers_mut() = headers(host, &delivery.id, timestamp_s, &signature)?;
    Ok(request)
}

fn headers(
    host: &str,
    id: &str,
    timestamp_s: i64,
    signature: &str,
) -> Result<HeaderMap, InvalidHeaderValue> {
    const AGENT: &str = concat!("iaqverse/", env!("CARGO_PKG_VERSION"));
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::from_str(host)?);
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(TIMESTAMP, HeaderValue::from(timestamp_s));
    headers.insert(DELIVERY, HeaderValue::from_str(id)?);
    headers.insert(SIGNATURE, HeaderValue::from_str(signature)?);
    Ok(headers)
}

#[cfg(test)]
mod tests;
