//! Whether a request means this server at all.
//!
//! A page of anywhere can have its own name point to this machine (DNS rebinding), and is then of the
//! same origin as what answers here. Where nobody has to log in, only the name in the request gives it
//! away.

use actix_web::http::header::{self, HeaderMap};
use url::{Host, Url};

/// Ends of names that the public name system never answers: of this machine (RFC 6761), of multicast
/// DNS (RFC 6762), of home networks (RFC 8375) and of private ones (reserved by ICANN in 2024). `.lan`
/// is not among them: nobody has promised that it will never be sold.
const PRIVATE_ENDS: [&str; 4] = [".localhost", ".local", ".home.arpa", ".internal"];

/// Whether nobody on the internet can have a name. One without a dot is looked up in the local network
/// alone; the few that are top-level domains belong to registries, which may not give them an address.
pub(crate) fn is_local_name(name: &str) -> bool {
    // The dot at the end says that the name is whole.
    let name = name.strip_suffix('.').unwrap_or(name);
    !name.contains('.') || PRIVATE_ENDS.iter().any(|end| name.ends_with(end))
}

/// Whether `Host` is an address, a name of this machine or of a local network, or one of `names`.
/// Nobody else can have such a name point here.
pub(crate) fn is_ours<'a>(headers: &HeaderMap, mut names: impl Iterator<Item = &'a str>) -> bool {
    let Some(host) = headers.get(header::HOST) else {
        // Browsers always send it.
        return true;
    };
    let host = host
        .to_str()
        .ok()
        .and_then(|host| Url::parse(&format!("http://{host}")).ok());
    match host.as_ref().and_then(Url::host) {
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => true,
        Some(Host::Domain(name)) => {
            let whole = name.strip_suffix('.').unwrap_or(name);
            is_local_name(name) || names.any(|ours| ours == whole)
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;
    use rstest::rstest;

    #[rstest]
    #[case("127.0.0.1:8080", true)]
    #[case("[::1]:8080", true)]
    #[case("192.168.1.5", true)]
    #[case("localhost:8080", true)]
    #[case("iaq.localhost", true)]
    #[case("raspberry", true)]
    #[case("localhost.:8080", true)]
    #[case("raspberrypi.local:8080", true)]
    #[case("RaspberryPi.local.", true)]
    #[case("iaq.home.arpa", true)]
    #[case("iaq.corp.internal", true)]
    #[case("iaq.example", true)]
    #[case("iaq.example.", true)]
    #[case("iaq.lan", false)]
    #[case("evil.arpa", false)]
    #[case("raspberrypi.local.evil.example", false)]
    #[case("notlocal.example", false)]
    #[case("evilinternal.example", false)]
    #[case("evil.example", false)]
    #[case("127.0.0.1.evil.example:8080", false)]
    #[case("localhost.evil.example", false)]
    #[case("a b", false)]
    fn only_names_that_nobody_else_can_have_are_ours(
        #[case] host: &'static str,
        #[case] ours: bool,
    ) {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static(host));
        assert_eq!(is_ours(&headers, ["iaq.example"].into_iter()), ours);
        assert!(is_ours(&HeaderMap::new(), [].into_iter()));
    }
}
