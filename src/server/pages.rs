//! The built pages, for running without nginx.

use crate::http::Problem;
use actix_files::NamedFile;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use std::path::{Component, Path, PathBuf};

/// Built files carry a hash in their name and never change.
const ASSETS: &str = "assets";
const CACHE_FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const CACHE_AFTER_ASKING: HeaderValue = HeaderValue::from_static("no-cache");

/// Serves a file below `pages_dir`; the folder itself is `index.html`.
pub(super) fn page(request: &HttpRequest, pages_dir: &Path) -> Result<HttpResponse, Problem> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(Problem::not_found());
    }
    let Some(file) = file_of(request.path()) else {
        return Err(Problem::not_found());
    };
    let file = with_ending(file);
    let cache = if file.starts_with(ASSETS) {
        CACHE_FOR_EVER
    } else {
        CACHE_AFTER_ASKING
    };
    let path = pages_dir.join(file);
    let Ok(file) = NamedFile::open(&path) else {
        return Err(Problem::not_found());
    };
    let mut response = file.into_response(request);
    response.headers_mut().insert(header::CACHE_CONTROL, cache);
    Ok(response)
}

/// A page may be asked for without its ending.
fn with_ending(file: PathBuf) -> PathBuf {
    match file.extension() {
        Some(_) => file,
        None => file.with_extension("html"),
    }
}

/// The relative file a URL path means; `None` for one that could lead outside.
fn file_of(path: &str) -> Option<PathBuf> {
    let relative = path.strip_prefix('/')?;
    if relative.is_empty() {
        return Some(PathBuf::from("index.html"));
    }
    let plain = relative
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte));
    let inside = Path::new(relative).components().all(|part| {
        matches!(part, Component::Normal(name) if !name.as_encoded_bytes().starts_with(b"."))
    });
    (plain && inside).then(|| PathBuf::from(relative))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_needs_no_ending() {
        assert_eq!(with_ending("login".into()), Path::new("login.html"));
        assert_eq!(with_ending("icon.svg".into()), Path::new("icon.svg"));
    }

    #[test]
    fn only_plain_paths_inside_are_files() {
        assert_eq!(file_of("/"), Some("index.html".into()));
        assert_eq!(
            file_of("/assets/index-1a.js"),
            Some("assets/index-1a.js".into())
        );
        for path in [
            "",
            "/../x",
            "/a/../../x",
            "/%2e%2e/x",
            "//etc/passwd",
            "/.env",
            "/a\0b",
        ] {
            assert_eq!(file_of(path), None, "{path}");
        }
    }
}
