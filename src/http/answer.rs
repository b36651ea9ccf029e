//! What is done to every answer before it leaves: how its body is sent, and what becomes of the
//! connection.

use super::compression::compressed;
use super::connection::{AnswerInParts, ConnectionGuard};
use actix_web::Error;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::ServiceResponse;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::http::{ConnectionType, Method, Version};
use bytes::Bytes;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// The answer as it leaves.
pub(super) fn finished(
    response: ServiceResponse<BoxBody>,
    guard: Option<&Rc<ConnectionGuard>>,
) -> ServiceResponse<BoxBody> {
    let mut response = compressed(response);
    let asked = response.request().head();
    let (is_old, asked_connection) = (asked.version < Version::HTTP_11, asked.connection_type());
    let has_no_body = asked.method == Method::HEAD;
    let is_stream = response.response().body().size() == BodySize::Stream;

    let head = response.response_mut().head_mut();
    // Nothing is switched to another protocol here, and the library ends such a connection anyway.
    let mut closes = head.connection_type() == ConnectionType::Close
        || asked_connection != ConnectionType::KeepAlive;
    if is_old && is_stream && !has_no_body {
        // Such a client knows no chunks: the body goes on until the connection ends (RFC 9112 §6.3).
        head.no_chunking(true);
        closes = true;
    }
    if closes {
        head.set_connection_type(ConnectionType::Close);
    } else if let Some(guard) = guard
        && let Ok(told) = HeaderValue::try_from(format!("timeout={}", guard.idle_s()))
    {
        head.headers_mut().insert(KEEP_ALIVE, told);
    }
    response.map_body(|_, body| {
        if has_no_body {
            BoxBody::new(LengthOnly(body.size()))
        } else {
            watched(body, guard)
        }
    })
}

/// A body, with the connection told as long as there is more of it.
fn watched(body: BoxBody, guard: Option<&Rc<ConnectionGuard>>) -> BoxBody {
    match (body.try_into_bytes(), guard) {
        (Ok(bytes), _) => BoxBody::new(bytes),
        (Err(body), Some(guard)) => BoxBody::new(InParts {
            body,
            _answer: AnswerInParts::begin(Rc::clone(guard)),
        }),
        (Err(body), None) => body,
    }
}

/// A body that is sent in parts.
struct InParts {
    body: BoxBody,
    _answer: AnswerInParts,
}

impl MessageBody for InParts {
    type Error = Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        let piece = Pin::new(&mut self.body).poll_next(context);
        piece.map_err(Error::from)
    }
}

/// What HEAD is answered: how long the body would be, and nothing of it.
struct LengthOnly(BodySize);

impl MessageBody for LengthOnly {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        self.0
    }

    fn poll_next(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        Poll::Ready(None)
    }
}
