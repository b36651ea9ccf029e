//! Which pages may talk to this server from a browser.

use super::host;
use super::problem::Problem;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use std::sync::Arc;
use url::Url;

/// Same host, or on the configured list. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct AllowedOrigins(Arc<[String]>);

/// What browsers call the origin of a page that has none of its own: of a file, or in a sandbox.
const OPAQUE: &str = "null";
/// What some browsers inside of programs call the origin of their files.
const OF_FILES: &str = "file://";
/// Longest part of a header that an answer repeats.
const SHOWN_CHARS_MAX: usize = 128;

/// Whether a text is written like the origins of browsers.
pub(crate) fn is_origin(text: &str) -> bool {
    let is_plain = || Url::parse(text).is_ok_and(|url| url.origin().ascii_serialization() == *text);
    matches!(text, OPAQUE | OF_FILES) || is_plain()
}

impl AllowedOrigins {
    pub fn new(origins: &[String]) -> Self {
        Self(origins.into())
    }

    /// Whether no page but our own may use this server.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Refuses a request to a name that somebody else could have, where that is all there is to go by.
    pub(crate) fn check_host(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let names = self.0.iter().filter_map(|origin| {
            let (_, host) = origin.split_once("://")?;
            host.split(':').next().filter(|name| !name.is_empty())
        });
        if host::is_ours(headers, names) {
            return Ok(());
        }
        Err(foreign_host(&shown(headers.get(header::HOST))))
    }

    /// The origin of a request, if it is on the list.
    pub(crate) fn listed<'a>(&self, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        let mut allowed = self.0.iter();
        allowed
            .any(|allowed| origin.as_bytes() == allowed.as_bytes())
            .then_some(origin)
    }

    /// Refuses a request of a page that may not use this server. One without `Origin` does not come
    /// from a page.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(origin) = headers.get(header::ORIGIN) else {
            return Ok(());
        };
        let host = headers.get(header::HOST);
        if self.listed(headers).is_some() || same(origin, host, same_host) {
            return Ok(());
        }
        Err(forbidden_origin(
            &shown(Some(origin)),
            &shown(host),
            same(origin, host, same_name),
        ))
    }

    /// Refuses a request that the browser says a page of another site has made, though it sends no
    /// origin with it, as with an image. A link that somebody follows is none.
    pub(crate) fn check_site(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let is = |name: &str, value: &str| headers.get(name).is_some_and(|given| given == value);
        let follows_link = is("sec-fetch-mode", "navigate") && is("sec-fetch-dest", "document");
        if !is("sec-fetch-site", "cross-site") || follows_link || self.listed(headers).is_some() {
            return Ok(());
        }
        Err(cross_site(&shown(headers.get(header::ORIGIN))))
    }
}

/// Whether the origin names one page, not any page that has no origin of its own.
pub(super) fn is_of_one_page(origin: &HeaderValue) -> bool {
    origin != OPAQUE && origin != OF_FILES
}

/// A header in an answer.
fn shown(value: Option<&HeaderValue>) -> String {
    let value = value.map_or("".into(), |value| String::from_utf8_lossy(value.as_bytes()));
    value.chars().take(SHOWN_CHARS_MAX).collect()
}

fn forbidden_origin(origin: &str, host: &str, only_the_port_differs: bool) -> Problem {
    let hint = if only_the_port_differs {
        "; only the port differs: a proxy in between must pass on `Host` with its port (nginx: \
         proxy_set_header Host $http_host)"
    } else {
        "; see IAQ_ALLOWED_ORIGINS"
    };
    Problem::new(
        StatusCode::FORBIDDEN,
        "forbidden_origin",
        "Origin not allowed",
        format!("pages of `{origin}` may not use this server, which was asked as `{host}`{hint}"),
    )
}

fn cross_site(origin: &str) -> Problem {
    let page = match origin {
        "" => "a page of another site".to_owned(),
        origin => format!("a page of `{origin}`"),
    };
    Problem::new(
        StatusCode::FORBIDDEN,
        "forbidden_origin",
        "Origin not allowed",
        format!(
            "nobody has to log in here, and the browser says that {page} asks; see \
             IAQ_ALLOWED_ORIGINS and IAQ_AUTH"
        ),
    )
}

fn foreign_host(host: &str) -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "foreign_host",
        "Host not known",
        format!(
            "nobody has to log in here, so only requests to this machine by its address or a local \
             name are answered, and `{host}` is none; see IAQ_ALLOWED_ORIGINS and IAQ_AUTH"
        ),
    )
}

fn same(origin: &HeaderValue, host: Option<&HeaderValue>, compare: fn(&str, &str) -> bool) -> bool {
    let host = host.and_then(|host| host.to_str().ok());
    let origin = origin.to_str().ok();
    origin.is_some_and(|origin| compare(origin, host.unwrap_or_default()))
}

/// Whether only the ports differ, if anything.
fn same_name(origin: &str, host: &str) -> bool {
    let both = (Url::parse(origin), Url::parse(&format!("http://{host}")));
    matches!(both, (Ok(page), Ok(server)) if page.has_host() && page.host() == server.host())
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
        let headers = headers(&[("host", "127.0.0.1:8080"), ("origin", origin)]);
        assert_eq!(allowed.check(&headers).is_ok(), ok);
    }

    fn headers(sent: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            let name = header::HeaderName::from_static(name);
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_refusal_names_what_was_compared_and_what_a_proxy_leaves_out() {
        let refused = |origin, host| {
            let headers = headers(&[("host", host), ("origin", origin)]);
            let refused = AllowedOrigins::default().check(&headers);
            refused.unwrap_err().detail.into_owned()
        };
        let foreign = refused("http://evil.example", "iaq.example:8080");
        assert!(
            foreign.contains("`http://evil.example`") && foreign.contains("`iaq.example:8080`")
        );
        assert!(foreign.contains("IAQ_ALLOWED_ORIGINS") && !foreign.contains("nginx"));
        let port = refused("http://iaq.example:8081", "iaq.example");
        assert!(port.contains("proxy_set_header Host $http_host"), "{port}");
    }

    #[rstest]
    #[case::of_a_page_here(&[("sec-fetch-site", "same-origin")], true)]
    #[case::typed(&[("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate")], true)]
    #[case::of_no_browser(&[], true)]
    #[case::image(&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")], false)]
    #[case::frame(&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "iframe")], false)]
    #[case::link(&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document")], true)]
    #[case::listed(&[("sec-fetch-site", "cross-site"), ("origin", "null")], true)]
    #[case::not_listed(&[("sec-fetch-site", "cross-site"), ("origin", "file://")], false)]
    fn what_a_page_of_another_site_loads_is_refused(
        #[case] sent: &[(&'static str, &'static str)],
        #[case] ok: bool,
    ) {
        let allowed = AllowedOrigins::new(&["null".to_owned()]);
        assert_eq!(allowed.check_site(&headers(sent)).is_ok(), ok);
    }

    #[test]
    fn origins_are_written_as_browsers_write_them() {
        for origin in [
            "http://a.example",
            "https://a.example:8443",
            "null",
            "file://",
        ] {
            assert!(is_origin(origin), "{origin}");
        }
        for text in [
            "a.example",
            "http://a.example/",
            "http://A.example",
            "file:///a",
            "*",
            "",
        ] {
            assert!(!is_origin(text), "{text}");
        }
    }

    #[test]
    fn a_default_port_may_be_left_out() {
        assert!(same_host("https://iaq.example", "iaq.example:443"));
        assert!(!same_host("https://iaq.example", "iaq.example:80"));
        assert!(!same_host("http://", ""));
    }
}
