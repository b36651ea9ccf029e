//! The `Content-Type` of a request.

use actix_web::http::header::{self, HeaderMap};

/// The media type of a body in lower case, without its parameters; `None` when nothing is said.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::CONTENT_TYPE)?.to_str();
    // What is no text is no media type either.
    let essence = text.unwrap_or_default().split(';').next();
    Some(essence.unwrap_or_default().trim().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    #[test]
    fn parameters_and_case_do_not_count() {
        let mut headers = HeaderMap::new();
        assert_eq!(media_type(&headers), None);
        for (sent, is) in [
            ("Application/JSON; charset=utf-8", "application/json"),
            (" text/json ", "text/json"),
            ("", ""),
            ("\u{e9}", ""),
        ] {
            let value = HeaderValue::from_bytes(sent.as_bytes()).unwrap();
            headers.insert(header::CONTENT_TYPE, value);
            assert_eq!(media_type(&headers).as_deref(), Some(is));
        }
    }
}
