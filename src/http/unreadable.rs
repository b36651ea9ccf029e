//! Answers to requests that could not be read.
//!
//! The HTTP library answers them itself, before any route or middleware, with a status and nothing
//! else. What leaves through the connection is therefore looked at here, and such an answer is given
//! the body and headers that every error has.

use super::measures;
use super::problem::Problem;
use super::request_id::{RequestIds, X_REQUEST_ID};
use super::security_headers::SECURITY_HEADERS;
use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use bytes::Bytes;

/// The complete answer in place of `sent`, when that is a bare error of the library.
pub(super) fn complete_answer(sent: &[u8], request_ids: &RequestIds) -> Option<Bytes> {
    let status = bare_error(sent)?;
    measures::unreadable();
    let request_id = request_ids.of(&HeaderMap::new());
    let body = Problem::of_status(status).body(&request_id);
    let mut head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\n\
         Connection: close\r\nX-Request-Id: {request_id}\r\n",
        body.len()
    );
    for (name, value) in SECURITY_HEADERS {
        let value = value.to_str().unwrap_or_default();
        head.extend([name.as_str(), ": ", value, "\r\n"]);
    }
    tracing::info!(
        request_id,
        status = status.as_u16(),
        "a request could not be read"
    );
    Some(format!("{head}\r\n{body}").into())
}

/// The status of an answer that is an error and has no request id, which each of ours has.
fn bare_error(sent: &[u8]) -> Option<StatusCode> {
    let rest = sent.strip_prefix(b"HTTP/1.1 ")?;
    let status = StatusCode::from_bytes(rest.get(..3)?).ok()?;
    let name = X_REQUEST_ID;
    let name = name.as_str().as_bytes();
    let ours = |line: &[u8]| {
        line.get(..name.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(name))
    };
    let mut head = sent
        .split(|byte| *byte == b'\n')
        .take_while(|line| *line != b"\r");
    (status.is_client_error() && !head.any(ours)).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_without_a_request_id_are_replaced() {
        let status = |sent: &str| bare_error(sent.as_bytes()).map(|status| status.as_u16());
        let bare = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        assert_eq!(status(bare), Some(400));
        assert_eq!(
            status("HTTP/1.1 404 Not Found\r\nx-request-id: a\r\n\r\n"),
            None
        );
        assert_eq!(status("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), None);
        assert_eq!(status("{\"the rest of\": \"a body\"}"), None);
        let body = "HTTP/1.1 400 Bad Request\r\n\r\nx-request-id: in the body";
        assert_eq!(status(body), Some(400));
    }
}
