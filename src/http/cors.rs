//! What browsers must be told so that pages of listed origins can use every call (Fetch standard,
//! "HTTP extensions"). Pages of other origins are told nothing, so their browsers refuse.

use super::origin::{AllowedOrigins, is_of_one_page};
use actix_web::HttpResponse;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// Headers that a page may send besides those any page may.
const REQUEST_HEADERS: &str = "Accept, Authorization, Cache-Control, Content-Encoding, \
    Content-Type, If-Match, If-Modified-Since, If-None-Match, If-Unmodified-Since, Last-Event-ID, \
    Prefer, Range, X-API-Key, X-Request-Id, X-Requested-With";
/// Headers that a page may read besides those any page may.
const RESPONSE_HEADERS: &str = "Accept-Ranges, Allow, Content-Disposition, Content-Encoding, \
    Content-Range, Date, ETag, Location, RateLimit, RateLimit-Policy, Retry-After, \
    WWW-Authenticate, X-Request-Id, X-Server-Time";
/// How long a browser need not ask again: as long as any of them remembers.
const MAX_AGE_S: u32 = 7200;

const REQUEST_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-allow-private-network");

/// Whether a browser asks what a page may do before it lets it.
pub(crate) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to that for a listed origin. Who asks is added to every answer (see [`set_headers`]).
pub(crate) fn preflight<'a>(
    headers: &HeaderMap,
    methods: impl Iterator<Item = &'a Method>,
) -> HttpResponse {
    let methods: Vec<_> = methods.map(Method::as_str).collect();
    let mut response = HttpResponse::NoContent();
    response
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, methods.join(", ")))
        .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, MAX_AGE_S));
    if headers
        .get(REQUEST_PRIVATE_NETWORK)
        .is_some_and(|asked| asked == "true")
    {
        response.insert_header((ALLOW_PRIVATE_NETWORK, "true"));
    }
    response.finish()
}

/// Lets a page of a listed origin read this answer, whatever it is.
pub(super) fn set_headers(origins: &AllowedOrigins, asked: &HeaderMap, answered: &mut HeaderMap) {
    if origins.is_empty() {
        return;
    }
    // Also where nobody is let in: a cache must not give that answer to a page of the list.
    answered.append(header::VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = origins.listed(asked) else {
        return;
    };
    answered.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    let exposed = HeaderValue::from_static(RESPONSE_HEADERS);
    answered.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    // Any page can get itself an origin without a name, so those do not act with somebody's cookies.
    if is_of_one_page(origin) {
        let yes = HeaderValue::from_static("true");
        answered.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(origins: &[&str], origin: Option<&'static str>) -> HeaderMap {
        let origins: Vec<_> = origins.iter().map(|&origin| origin.to_owned()).collect();
        let mut asked = HeaderMap::new();
        if let Some(origin) = origin {
            asked.insert(header::ORIGIN, HeaderValue::from_static(origin));
        }
        let mut answered = HeaderMap::new();
        set_headers(&AllowedOrigins::new(&origins), &asked, &mut answered);
        answered
    }

    fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
        headers.get(name).unwrap().to_str().unwrap()
    }

    #[test]
    fn a_listed_origin_is_named_and_caches_are_told_that_it_matters() {
        let listed = answered(&["http://a.example"], Some("http://a.example"));
        assert_eq!(
            text(&listed, "access-control-allow-origin"),
            "http://a.example"
        );
        assert_eq!(text(&listed, "access-control-allow-credentials"), "true");
        for origin in [Some("http://b.example"), None] {
            let others = answered(&["http://a.example"], origin);
            assert_eq!(text(&others, "vary"), "Origin");
            assert_eq!(others.len(), 1);
        }
        assert!(answered(&[], Some("http://a.example")).is_empty());
    }

    #[test]
    fn an_origin_without_a_name_brings_no_cookies() {
        for origin in ["null", "file://"] {
            let opaque = answered(&["null", "file://"], Some(origin));
            assert_eq!(text(&opaque, "access-control-allow-origin"), origin);
            assert!(!opaque.contains_key("access-control-allow-credentials"));
        }
    }
}
