//! `If-None-Match`: whether a client already has what it asks for.

use actix_web::HttpRequest;
use actix_web::http::header;

/// Whether the client has the version with this tag. A proxy that compresses marks the tag as weak.
pub(crate) fn is_known(request: &HttpRequest, tag: &str) -> bool {
    request
        .headers()
        .get_all(header::IF_NONE_MATCH)
        .filter_map(|known| known.to_str().ok())
        .flat_map(|known| known.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}
