//! Request bodies under limits that hold while reading and while expanding, never only after.

use crate::http::Problem;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap};
use actix_web::web::Payload;
use bytes::{Bytes, BytesMut};
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use futures_util::StreamExt;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Bodies expanded at the same time; together with the size limit it bounds their memory.
const EXPANSIONS_MAX: usize = 4;
/// Largest zstd window, as a power of two: 8 MiB, what RFC 8878 asks decoders to support.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Reads request bodies. Cheap to clone.
#[derive(Debug, Clone)]
pub struct BodyReader {
    bytes_max: usize,
    expanded_bytes_max: usize,
    timeout: Duration,
    expansions: Arc<Semaphore>,
}

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Identity,
    Gzip,
    Deflate,
    Zstd,
}

impl BodyReader {
    pub fn new(bytes_max: usize, expanded_bytes_max: usize, timeout: Duration) -> Self {
        Self {
            bytes_max,
            expanded_bytes_max,
            timeout,
            expansions: Arc::new(Semaphore::new(EXPANSIONS_MAX)),
        }
    }

    /// Reads bodies of at most so many bytes, as sent and expanded.
    #[must_use]
    pub fn up_to(&self, bytes: usize) -> Self {
        Self {
            bytes_max: self.bytes_max.min(bytes),
            expanded_bytes_max: self.expanded_bytes_max.min(bytes),
            ..self.clone()
        }
    }

    /// The whole body, expanded. It must arrive within the timeout and stay within both sizes.
    pub async fn read(&self, headers: &HeaderMap, payload: Payload) -> Result<Bytes, Problem> {
        let encoding = encoding(headers)?;
        let declared = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if declared.is_some_and(|length| length > self.bytes_max) {
            return Err(self.too_large());
        }
        let read = async {
            let sent = self.gather(declared.unwrap_or(0), payload).await?;
            match encoding {
                Encoding::Identity => Ok(sent),
                encoding => self.expand(encoding, sent).await,
            }
        };
        tokio::time::timeout(self.timeout, read)
            .await
            .map_err(|_elapsed| Problem::of_status(StatusCode::REQUEST_TIMEOUT).closing())?
    }

    async fn gather(&self, declared: usize, mut payload: Payload) -> Result<Bytes, Problem> {
        let mut body = BytesMut::new();
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_cut| {
                Problem::bad_request("incomplete", "the body ended early or is not well formed")
                    .closing()
            })?;
            if body.is_empty() && chunk.len() == declared {
                return Ok(chunk);
            }
            if body.len() + chunk.len() > self.bytes_max {
                return Err(self.too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    async fn expand(&self, encoding: Encoding, sent: Bytes) -> Result<Bytes, Problem> {
        let bytes_max = self.expanded_bytes_max;
        // Waiting here is bounded by the timeout around the whole body.
        let Ok(permit) = Arc::clone(&self.expansions).acquire_owned().await else {
            return Err(Problem::internal());
        };
        let expanded = tokio::task::spawn_blocking(move || {
            let expanded = expand(encoding, &sent, bytes_max);
            drop(permit);
            expanded
        });
        match expanded.await {
            Ok(Ok(Some(expanded))) => Ok(expanded),
            Ok(Ok(None)) => Err(Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                "Body too large",
                format!("the expanded body may have {bytes_max} bytes"),
            )),
            Ok(Err(_)) => Err(Problem::bad_request(
                "bad_encoding",
                "the body is not what Content-Encoding says",
            )),
            Err(_) => Err(Problem::internal()),
        }
    }

    fn too_large(&self) -> Problem {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            "Body too large",
            format!("the body may have {} bytes as sent", self.bytes_max),
        )
        .closing()
    }
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, Problem> {
    let mut named = headers.get_all(header::CONTENT_ENCODING);
    let name = named
        .next()
        .map_or(Ok("identity"), |name| name.to_str().map(str::trim));
    let encoding = match name.unwrap_or_default().to_ascii_lowercase().as_str() {
        "identity" => Some(Encoding::Identity),
        "gzip" | "x-gzip" => Some(Encoding::Gzip),
        "deflate" => Some(Encoding::Deflate),
        "zstd" => Some(Encoding::Zstd),
        _ => None,
    };
    match encoding {
        Some(encoding) if named.next().is_none() => Ok(encoding),
        _ => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_encoding",
            "Content-Encoding not supported",
            "use one of gzip, deflate, zstd or identity",
        )
        .closing()),
    }
}

/// Expands `sent`; `None` when it would be larger than `bytes_max`.
///
/// It is expanded twice: once to measure it, through a small buffer, and once into memory of exactly
/// its size. So a body that is refused has taken no memory, and the allocator keeps none of it.
fn expand(encoding: Encoding, sent: &[u8], bytes_max: usize) -> io::Result<Option<Bytes>> {
    let limit = bytes_max as u64;
    let size = io::copy(
        &mut decoder(encoding, sent)?.take(limit + 1),
        &mut io::sink(),
    )?;
    if size > limit {
        return Ok(None);
    }
    let mut expanded = Vec::with_capacity(usize::try_from(size).unwrap_or(bytes_max));
    decoder(encoding, sent)?
        .take(limit)
        .read_to_end(&mut expanded)?;
    Ok(Some(expanded.into()))
}

fn decoder<'a>(encoding: Encoding, sent: &'a [u8]) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match encoding {
        Encoding::Identity => Box::new(sent),
        Encoding::Gzip => Box::new(MultiGzDecoder::new(sent)),
        // The name means zlib (RFC 9110), but some senders leave its two-byte header away.
        Encoding::Deflate if sent.first().is_some_and(|byte| byte & 0x0f == 8) => {
            Box::new(ZlibDecoder::new(sent))
        }
        Encoding::Deflate => Box::new(DeflateDecoder::new(sent)),
        Encoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(sent)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Box::new(decoder)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use std::io::Write;

    const TEXT: &[u8] = b"{\"sensor_id\":\"bureau1\",\"values\":{\"CO2\":645}}";

    fn encoded() -> Vec<(Encoding, Vec<u8>)> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(TEXT).unwrap();
        zlib.write_all(TEXT).unwrap();
        raw.write_all(TEXT).unwrap();
        vec![
            (Encoding::Gzip, gzip.finish().unwrap()),
            (Encoding::Deflate, zlib.finish().unwrap()),
            (Encoding::Deflate, raw.finish().unwrap()),
            (Encoding::Zstd, zstd::encode_all(TEXT, 3).unwrap()),
            (Encoding::Identity, TEXT.to_vec()),
        ]
    }

    #[test]
    fn every_encoding_is_undone_up_to_the_limit() {
        for (encoding, bytes) in encoded() {
            let expanded = expand(encoding, &bytes, TEXT.len()).unwrap();
            assert_eq!(expanded.as_deref(), Some(TEXT), "{encoding:?}");
        }
        for (encoding, bytes) in &encoded()[..4] {
            assert_eq!(
                expand(*encoding, bytes, TEXT.len() - 1).unwrap(),
                None,
                "{encoding:?}"
            );
        }
    }

    #[test]
    fn truncated_and_foreign_bytes_are_errors() {
        for (encoding, bytes) in &encoded()[..4] {
            assert!(
                expand(*encoding, &bytes[..bytes.len() / 2], 1000).is_err(),
                "{encoding:?}"
            );
            assert!(
                expand(*encoding, &[0x78, 0xff, 0xff, 0xff], 1000).is_err(),
                "{encoding:?}"
            );
        }
    }
}
