//! Whether a request means this server at all.
//!
//! A page of anywhere can have its own name point to this machine (DNS rebinding), and is then of the
//! same origin as what answers here. Where nobody has to log in, only the name in the request gives it
//! away.

use actix_web::http::header::{self, HeaderMap};
use url::{Host, Url};

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
            let is_local = !name.contains('.') || name.ends_with(".localhost");
            is_local || names.any(|ours| ours == name)
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
    #[case("iaq.example", true)]
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
