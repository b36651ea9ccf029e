//! The refresh token of a browser, where no script can read it.

use actix_web::http::header::{self, HeaderMap, HeaderValue};
use std::time::Duration;

const NAME: &str = "iaqverse_refresh";

/// The token a browser has sent.
pub(super) fn refresh_token(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .filter_map(|cookies| cookies.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find(|(name, _)| *name == NAME)
        .map(|(_, token)| token.to_owned())
}

/// Has the browser keep a token, which it sends to nothing but the calls about its session.
pub(super) fn keep(token: &str, lifetime: Duration, is_secure: bool) -> Option<HeaderValue> {
    let secure = if is_secure { "; Secure" } else { "" };
    let cookie = format!(
        "{NAME}={token}; Path=/api/auth; Max-Age={}; HttpOnly; SameSite=Strict{secure}",
        lifetime.as_secs()
    );
    HeaderValue::from_str(&cookie).ok()
}

/// Has the browser forget it.
pub(super) fn forget(is_secure: bool) -> Option<HeaderValue> {
    keep("", Duration::ZERO, is_secure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_as_it_was_kept() {
        let cookie = keep("iaqr_a_b", Duration::from_mins(1), true).unwrap();
        assert_eq!(
            cookie,
            "iaqverse_refresh=iaqr_a_b; Path=/api/auth; Max-Age=60; HttpOnly; SameSite=Strict; Secure"
        );
        let mut headers = HeaderMap::new();
        let sent =
            HeaderValue::from_static("other=1; iaqverse_refresh=iaqr_a_b; xiaqverse_refresh=2");
        headers.insert(header::COOKIE, sent);
        assert_eq!(refresh_token(&headers).as_deref(), Some("iaqr_a_b"));
        assert_eq!(refresh_token(&HeaderMap::new()), None);
    }
}
