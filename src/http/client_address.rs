//! Who is on the other side, when a proxy stands between.

use actix_web::http::header::HeaderMap;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Networks whose `X-Forwarded-For` is believed. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Arc<[IpNet]>);

impl TrustedProxies {
    pub fn new(networks: &[IpNet]) -> Self {
        Self(networks.into())
    }

    /// The client's address: the peer's, or what trusted proxies say it is. The header is read from
    /// its end, where the nearest proxy wrote, up to the first address that is no trusted proxy.
    pub fn client(&self, peer: Option<SocketAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        let mut client = peer?.ip().to_canonical();
        let forwarded: Vec<&str> = headers
            .get_all("x-forwarded-for")
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .collect();
        for address in forwarded.into_iter().rev() {
            if !self.0.iter().any(|network| network.contains(&client)) {
                break;
            }
            let Ok(address) = address.trim().parse::<IpAddr>() else {
                break;
            };
            client = address.to_canonical();
        }
        Some(client)
    }

    /// Whether a trusted proxy sent this, whatever it says about its client.
    pub fn trust(&self, peer: Option<SocketAddr>) -> bool {
        let peer = peer.map(|peer| peer.ip().to_canonical());
        peer.is_some_and(|peer| self.0.iter().any(|network| network.contains(&peer)))
    }

    /// Whether the client's connection is encrypted, as the trusted proxy that ends it says.
    pub fn is_secure(&self, peer: Option<SocketAddr>, headers: &HeaderMap) -> bool {
        let scheme = headers.get("x-forwarded-proto");
        self.trust(peer) && scheme.is_some_and(|scheme| scheme == "https")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{HeaderName, HeaderValue};
    use rstest::rstest;

    #[rstest]
    #[case::stranger("9.9.9.9:1", "1.1.1.1", "9.9.9.9")]
    #[case::proxy("10.0.0.1:1", "1.1.1.1", "1.1.1.1")]
    #[case::forged_by_the_client("10.0.0.1:1", "7.7.7.7, 1.1.1.1", "1.1.1.1")]
    #[case::two_proxies("10.0.0.1:1", "7.7.7.7, 1.1.1.1, 10.0.0.2", "1.1.1.1")]
    #[case::nonsense("10.0.0.1:1", "7.7.7.7, x", "10.0.0.1")]
    #[case::mapped("[::ffff:10.0.0.1]:1", "1.1.1.1", "1.1.1.1")]
    fn the_header_is_believed_only_from_trusted_proxies(
        #[case] peer: &str,
        #[case] header: &'static str,
        #[case] client: &str,
    ) {
        let proxies = TrustedProxies::new(&["10.0.0.0/8".parse().unwrap()]);
        let mut headers = HeaderMap::new();
        headers.insert(
            HeaderName::from_static("x-forwarded-for"),
            HeaderValue::from_static(header),
        );
        let got = proxies
            .client(Some(peer.parse().unwrap()), &headers)
            .unwrap();
        assert_eq!(got.to_string(), client);
    }
}
