//! A response body that holds its part of the read budget until it is sent.

use crate::read_budget::Lease;
use actix_web::body::{BodySize, MessageBody};
use actix_web::http::header::ContentType;
use actix_web::{HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use serde::Serialize;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Bytes handed to the connection at once, which copies them.
const PIECE_BYTES: usize = 64 * 1024;

/// Bytes with the memory they take.
#[derive(Debug)]
struct LeasedBody {
    bytes: Bytes,
    _lease: Lease,
}

/// The answer with `value` as JSON; what the lease was too large by is given back.
pub(super) fn json(
    response: &mut HttpResponseBuilder,
    value: &impl Serialize,
    lease: Lease,
) -> HttpResponse {
    // Texts and finite numbers, in memory: that cannot fail.
    let bytes = serde_json::to_vec(value).unwrap_or_default();
    json_bytes(response, bytes.into(), lease)
}

/// The same with JSON that is written already.
pub(super) fn json_bytes(
    response: &mut HttpResponseBuilder,
    bytes: Bytes,
    mut lease: Lease,
) -> HttpResponse {
    lease.shrink_to(bytes.len());
    let body = LeasedBody {
        bytes,
        _lease: lease,
    };
    response.content_type(ContentType::json()).body(body)
}

impl MessageBody for LeasedBody {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.bytes.len() as u64)
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        let length = self.bytes.len().min(PIECE_BYTES);
        let piece = self.bytes.split_to(length);
        Poll::Ready((!piece.is_empty()).then_some(Ok(piece)))
    }
}
