//! Answers compressed for whoever takes them so, without nginx in front too.
//!
//! Only answers to GET are: what hands out a secret (a login, a key, a claim) is a POST, and a
//! compressed secret beside something that somebody else chose can be guessed by its length (BREACH).
//! The work is done in small pieces on the thread of the connection, which gives the turn away after
//! each; a thread of its own would cost more than a piece does. How many large answers are compressed
//! at once is bounded, because each needs memory until its reader has it all.

mod body;
mod choice;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::ServiceResponse;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::http::{Method, StatusCode};
use body::CompressedBody;
use choice::{Coding, chosen};
use tokio::sync::Semaphore;

/// Below this an answer fits into one packet anyway.
const BYTES_MIN: u64 = 1024;
/// An answer up to this is compressed at once, which takes about a millisecond.
const AT_ONCE_BYTES_MAX: usize = 64 * 1024;
/// Large answers that are compressed at the same time; further ones go as they are. Each takes less
/// than 1 MiB.
static TURNS: Semaphore = Semaphore::const_new(32);

/// The answer, compressed if that helps and the client takes it.
pub(super) fn compressed(mut response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let method = response.request().method();
    if !matches!(*method, Method::GET | Method::HEAD) {
        return response;
    }
    if response.status() == StatusCode::NOT_MODIFIED {
        let asked = response.request().headers().clone();
        name_what_is_known(&asked, response.headers_mut());
        return response;
    }
    if !is_worth_it(&response) {
        return response;
    }
    let vary = HeaderValue::from_static("Accept-Encoding");
    response.headers_mut().append(header::VARY, vary);
    let Some(coding) = chosen(response.request().headers()) else {
        return response;
    };
    let mut is_compressed = false;
    response = response.map_body(|_, body| {
        let (body, done) = body_in(coding, body);
        is_compressed = done;
        body
    });
    if is_compressed {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_ENCODING, coding.name());
        headers.remove(header::CONTENT_LENGTH);
        headers.remove(header::ACCEPT_RANGES);
        weaken_tag(headers);
    }
    response
}

/// A body in a coding, or as it is when there is no turn for it.
fn body_in(coding: Coding, body: BoxBody) -> (BoxBody, bool) {
    match body.try_into_bytes() {
        Ok(bytes) if bytes.len() <= AT_ONCE_BYTES_MAX => {
            let mut encoder = coding.encoder();
            encoder.write(&bytes);
            (BoxBody::new(encoder.finish()), true)
        }
        Ok(bytes) => in_pieces(coding, BoxBody::new(bytes)),
        Err(body) => in_pieces(coding, body),
    }
}

fn in_pieces(coding: Coding, body: BoxBody) -> (BoxBody, bool) {
    match TURNS.try_acquire() {
        Ok(turn) => (BoxBody::new(CompressedBody::new(body, coding, turn)), true),
        Err(_) => (body, false),
    }
}

fn is_worth_it(response: &ServiceResponse<BoxBody>) -> bool {
    let headers = response.headers();
    let has = |name: &header::HeaderName, value: &str| {
        let given = headers.get(name).and_then(|given| given.to_str().ok());
        given.is_some_and(|given| given.contains(value))
    };
    let is_large = match response.response().body().size() {
        BodySize::None => false,
        BodySize::Sized(bytes) => bytes >= BYTES_MIN,
        BodySize::Stream => true,
    };
    let kind = headers.get(header::CONTENT_TYPE);
    response.status() == StatusCode::OK
        && is_large
        && kind
            .and_then(|kind| kind.to_str().ok())
            .is_some_and(is_text)
        && !headers.contains_key(header::CONTENT_ENCODING)
        && !has(&header::CACHE_CONTROL, "no-transform")
}

/// Whether a media type is text, which compression makes shorter. Events are sent as they come.
fn is_text(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    match kind {
        "text/event-stream" => false,
        "application/json"
        | "application/x-ndjson"
        | "application/javascript"
        | "application/manifest+json"
        | "application/wasm"
        | "image/svg+xml" => true,
        kind => kind.starts_with("text/"),
    }
}

/// Compressed bytes are other bytes of the same thing, which a weak tag says (RFC 9110 §8.8.1).
fn weaken_tag(headers: &mut HeaderMap) {
    let Some(tag) = headers.get(header::ETAG) else {
        return;
    };
    if !tag.as_bytes().starts_with(b"W/")
        && let Ok(weak) = HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat())
    {
        headers.insert(header::ETAG, weak);
    }
}

/// 304 names the version as the client knows it.
fn name_what_is_known(asked: &HeaderMap, answered: &mut HeaderMap) {
    answered.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    let Some(tag) = answered.get(header::ETAG) else {
        return;
    };
    let weak = [b"W/", tag.as_bytes()].concat();
    let mut known = asked.get_all(header::IF_NONE_MATCH);
    if known.any(|known| {
        known
            .as_bytes()
            .windows(weak.len())
            .any(|part| part == weak)
    }) {
        weaken_tag(answered);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("application/json", true)]
    #[case("text/csv; charset=utf-8", true)]
    #[case("text/event-stream", false)]
    #[case("model/gltf-binary", false)]
    #[case("image/png", false)]
    fn only_text_is_compressed(#[case] content_type: &str, #[case] is: bool) {
        assert_eq!(is_text(content_type), is);
    }
}
