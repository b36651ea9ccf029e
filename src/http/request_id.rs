//! A name for each request, to find its log lines by.

use actix_web::http::header::{HeaderMap, HeaderName};
use rand::Rng;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id taken over from a proxy or client.
const LENGTH_MAX: usize = 64;

/// Gives out request ids. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RequestIds {
    /// Tells the ids of one start of the server from those of others.
    prefix: u32,
    next: Arc<AtomicU64>,
}

impl Default for RequestIds {
    fn default() -> Self {
        Self {
            prefix: rand::rng().random(),
            next: Arc::default(),
        }
    }
}

impl RequestIds {
    /// The id a proxy has given, when it is a plain one, else a new one.
    pub(crate) fn of(&self, headers: &HeaderMap) -> String {
        let given = headers.get(&X_REQUEST_ID).and_then(|id| id.to_str().ok());
        let plain = |id: &&str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            !id.is_empty() && id.len() <= LENGTH_MAX && id.bytes().all(allowed)
        };
        match given.filter(plain) {
            Some(id) => id.to_owned(),
            None => format!(
                "{:08x}-{:x}",
                self.prefix,
                self.next.fetch_add(1, Ordering::Relaxed)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    #[test]
    fn a_plain_id_is_kept_and_anything_else_replaced() {
        let ids = RequestIds::default();
        let given = |id: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(X_REQUEST_ID, HeaderValue::from_static(id));
            ids.of(&headers)
        };
        assert_eq!(given("abc-1.2_3"), "abc-1.2_3");
        assert_ne!(given("a b"), "a b");
        assert_ne!(ids.of(&HeaderMap::new()), ids.of(&HeaderMap::new()));
    }
}
