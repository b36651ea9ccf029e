//! Errors as RFC 9457 problem details, and which error to use where.
//!
//! - A handler answers with [`Problem`]: a status, a stable `code`, a text for people. It is the only
//!   error that a client sees.
//! - A fault of what was sent is a [`FieldError`] with a JSON pointer; of one body or reading they are
//!   collected, up to a bound, and become one problem with [`Problem::invalid`].
//! - Inside, a module has an error type of its own (`thiserror`) that says what failed and never a
//!   status. Its `From` or a function beside the handler decides what the client is told.
//! - What only operators should see, such as the message of a database, goes to the log under the
//!   request id; the client gets [`Problem::internal`] or [`Problem::store_unavailable`].
//! - Commands and the start of the server use `anyhow` with a context that names the setting.

use crate::database::StoreError;
use crate::fault::FieldError;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use std::borrow::Cow;
use std::fmt;
use utoipa::ToSchema;

/// An error as the client sees it. The request context adds the `request_id`.
///
/// `detail` never holds what only operators should see: causes go to the log.
#[derive(Debug, Clone)]
pub struct Problem {
    pub status: StatusCode,
    /// Stable name of the problem.
    pub code: &'static str,
    pub title: &'static str,
    pub detail: Cow<'static, str>,
    pub errors: Vec<FieldError>,
    /// Further members of the body (RFC 9457 extension members), as JSON without the braces.
    pub members: String,
    /// When it may work again, in seconds.
    pub retry_after_s: Option<u32>,
    /// Further headers of the answer.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The connection cannot go on, for example because the body was not read to its end.
    pub close: bool,
}

impl Problem {
    pub fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            code,
            title,
            detail: detail.into(),
            errors: Vec::new(),
            members: String::new(),
            retry_after_s: None,
            headers: Vec::new(),
            close: false,
        }
    }

    pub fn bad_request(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, "Bad request", detail)
    }

    pub fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "Not found",
            "there is nothing here",
        )
    }

    /// 422 with a pointer to each bad field.
    pub fn invalid(code: &'static str, title: &'static str, errors: Vec<FieldError>) -> Self {
        let detail = match &errors[..] {
            [one] => format!("{}: {}", one.pointer, one.detail),
            all => format!("{} fields are not as they must be", all.len()),
        };
        Self {
            errors,
            ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, title, detail)
        }
    }

    pub fn unavailable(code: &'static str, detail: &'static str) -> Self {
        Self {
            retry_after_s: Some(1),
            ..Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                code,
                "Not available now",
                detail,
            )
        }
    }

    /// The store failed; why goes to the log.
    pub fn store_unavailable(error: &StoreError) -> Self {
        if matches!(error, StoreError::FilesChanged { .. }) {
            // The writer of the store says so, once.
            tracing::debug!(%error, "the store takes nothing");
        } else {
            tracing::error!(%error, "the store failed");
        }
        Self::unavailable("store_unavailable", "the store does not answer")
    }

    pub fn conflict(code: &'static str, detail: &'static str) -> Self {
        Self::new(StatusCode::CONFLICT, code, "Conflict", detail)
    }

    /// 415; `detail` says what to send.
    pub fn unsupported_media_type(detail: &'static str) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "Content-Type not supported",
            detail,
        )
    }

    /// The 5xx that says nothing: the cause is in the log under the request id.
    pub fn internal() -> Self {
        Self::of_status(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// What a bare status means, for errors that something else than our handlers found.
    pub fn of_status(status: StatusCode) -> Self {
        let (code, detail) = match status.as_u16() {
            400 => ("bad_request", "the request cannot be read"),
            404 => return Self::not_found(),
            405 => ("method_not_allowed", "this path does not take that method"),
            408 => ("request_timeout", "the request took too long to arrive"),
            413 => ("too_large", "the request is too large"),
            431 => ("headers_too_large", "the request head is too large"),
            500.. => (
                "internal",
                "the server failed; its log has the cause under the request id",
            ),
            _ => ("refused", "the request was refused"),
        };
        Self::new(
            status,
            code,
            status.canonical_reason().unwrap_or("Error"),
            detail,
        )
    }

    #[must_use]
    pub fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    /// The body, complete with the id of the request.
    pub fn body(&self, request_id: &str) -> String {
        let body = ProblemBody {
            r#type: format!("/problems/{}", self.code.replace('_', "-")),
            title: self.title,
            status: self.status.as_u16(),
            detail: &self.detail,
            code: self.code,
            request_id,
            errors: &self.errors,
        };
        // Only texts and numbers: serialising them cannot fail.
        let mut json = serde_json::to_string(&body).unwrap_or_default();
        if !self.members.is_empty() && json.pop().is_some() {
            json.reserve_exact(self.members.len() + 2);
            json.push(',');
            json.push_str(&self.members);
            json.push('}');
        }
        json
    }
}

/// An error, after RFC 9457.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody<'a> {
    r#type: String,
    title: &'a str,
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What went wrong, for people.
    detail: &'a str,
    /// Stable name of the problem.
    code: &'a str,
    request_id: &'a str,
    /// What is wrong with which field: the first faults.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(max_items = 20, required = false)]
    errors: &'a [FieldError],
}

/// Media type of a problem.
pub(crate) const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} {}: {}",
            self.status.as_u16(),
            self.code,
            self.detail
        )
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    /// The bare answer; the request context writes the body, for it knows the request id.
    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if let Some(seconds) = self.retry_after_s {
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        for (name, value) in &self.headers {
            response.insert_header((name.clone(), value.clone()));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"iaqverse\""));
        }
        if self.status == StatusCode::UPGRADE_REQUIRED {
            response.insert_header((header::UPGRADE, "websocket"));
            response.insert_header((header::SEC_WEBSOCKET_VERSION, "13"));
        }
        if self.close {
            response.force_close();
        }
        response.finish()
    }
}
