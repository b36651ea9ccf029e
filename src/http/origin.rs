//! Which pages may talk to this server from a browser.

use super::host;
use actix_web::http::header::{self, HeaderMap};
use std::sync::Arc;
use url::Url;

/// Same host, or on the configured list. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct AllowedOrigins(Arc<[String]>);

impl AllowedOrigins {
    pub fn new(origins: &[String]) -> Self {
        Self(origins.into())
    }

    /// Whether the name a request was made to is one that nobody else can have.
    pub(crate) fn knows_host(&self, headers: &HeaderMap) -> bool {
        let names = self.0.iter().filter_map(|origin| {
            let (_, host) = origin.split_once("://")?;
            host.split(':').next()
        });
        host::is_ours(headers, names)
    }

    /// Whether a request may be served. One without `Origin` does not come from a page.
    pub fn allow(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else {
            return true;
        };
        let Ok(origin) = origin.to_str() else {
            return false;
        };
        if self.0.iter().any(|allowed| allowed == origin) {
            return true;
        }
        let host = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        same_host(origin, host.unwrap_or_default())
    }
}

fn same_host(origin: &str, host: &str) -> bool {
    let Ok(page) = Url::parse(origin) else {
        return false;
    };
    if !matches!(page.scheme(), "http" | "https") {
        return false;
    }
    // Read under the page's scheme, so that a default port that one of them leaves out is the same.
    let Ok(server) = Url::parse(&format!("{}://{host}", page.scheme())) else {
        return false;
    };
    page.host().is_some()
        && page.host() == server.host()
        && page.port_or_known_default() == server.port_or_known_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;
    use rstest::rstest;

    #[rstest]
    #[case("http://127.0.0.1:8080", true)]
    #[case("http://127.0.0.1:8081", false)]
    #[case("http://evil.example", false)]
    #[case("null", false)]
    #[case("https://dashboard.example", true)]
    #[case("https://dashboard.example.evil.com", false)]
    #[case("file://127.0.0.1:8080", false)]
    fn the_same_host_and_listed_origins_are_allowed(
        #[case] origin: &'static str,
        #[case] ok: bool,
    ) {
        let allowed = AllowedOrigins::new(&["https://dashboard.example".to_owned()]);
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("127.0.0.1:8080"));
        headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
        assert_eq!(allowed.allow(&headers), ok);
    }

    #[test]
    fn a_default_port_may_be_left_out() {
        assert!(same_host("https://iaq.example", "iaq.example:443"));
        assert!(!same_host("https://iaq.example", "iaq.example:80"));
        assert!(!same_host("http://", ""));
    }
}
