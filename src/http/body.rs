//! Request bodies under limits that hold while reading and while expanding, never only after.

use super::Problem;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap};
use actix_web::web::Payload;
use bytes::{Bytes, BytesMut};
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use futures_util::StreamExt;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// Larger bodies are expanded and parsed on threads of their own, so that they hold up nobody else of
/// their worker, and take their memory from what all of those share.
const INLINE_BYTES_MAX: usize = 64 * 1024;
/// Memory that large bodies share, in bodies of the largest size.
const LARGEST_BODIES: u32 = 2;
/// What a large body takes of it at least: its readings, up to 10 000, take memory as well. So few are
/// worked on at once, on few threads, each of which keeps some memory for its next allocations.
const LARGE_BYTES_MIN: usize = 8 * 1024 * 1024;
/// Capacity of the buffer that a large body is expanded into. Only what is used of it becomes memory.
/// glibc gives a buffer beyond 32 MiB pages of its own, which are the system's again when it is dropped;
/// a smaller one may stay with its thread.
const BUFFER_BYTES_MIN: usize = 32 * 1024 * 1024 + 4096;
/// Unit of that memory.
const UNIT_BYTES: usize = 1024;
/// Largest zstd window, as a power of two: 8 MiB, what RFC 8878 asks decoders to support.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// How long a large body waits for its memory: what was sent of it is held meanwhile.
const MEMORY_WAIT_MAX: Duration = Duration::from_secs(2);

/// Reads request bodies. Cheap to clone.
#[derive(Debug, Clone)]
pub struct BodyReader {
    bytes_max: usize,
    expanded_bytes_max: usize,
    timeout: Duration,
    /// What is left for large bodies, in units. Whoever waits gets it in turn.
    memory: Arc<Semaphore>,
    memory_units: u32,
}

/// A body in memory, with its part of what large bodies share.
#[derive(Debug)]
pub struct Body {
    bytes: Bytes,
    memory: BodyMemory,
}

/// The part that a large body and its readings have of the memory for large bodies, until it is dropped.
#[derive(Debug, Default)]
pub struct BodyMemory {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Body {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its bytes, which may be changed where they are, and the memory to be held while anything that was
    /// made of them waits. Only bytes that somebody else has as well are copied: those that came in one
    /// piece with others of their connection, so not many.
    pub fn into_parts(self) -> (BytesMut, BodyMemory) {
        (self.bytes.into(), self.memory)
    }

    pub fn is_large(&self) -> bool {
        self.bytes.len() > INLINE_BYTES_MAX
    }
}

impl From<OwnedSemaphorePermit> for BodyMemory {
    fn from(permit: OwnedSemaphorePermit) -> Self {
        Self {
            _permit: Some(permit),
        }
    }
}

/// A body that no request brought takes no part in what they share.
impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self {
            bytes,
            memory: BodyMemory::default(),
        }
    }
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
        let memory_units = units(bytes_max.max(expanded_bytes_max)).saturating_mul(LARGEST_BODIES);
        Self {
            bytes_max,
            expanded_bytes_max,
            timeout,
            memory: Arc::new(Semaphore::new(memory_units as usize)),
            memory_units,
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
    pub async fn read(&self, headers: &HeaderMap, payload: Payload) -> Result<Body, Problem> {
        let encoding = encoding(headers)?;
        let declared = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if declared.is_some_and(|length| length > self.bytes_max) {
            return Err(self.too_large());
        }
        let deadline = Instant::now() + self.timeout;
        let sent = timeout_at(deadline, self.gather(declared.unwrap_or(0), payload))
            .await
            .map_err(|_elapsed| Problem::of_status(StatusCode::REQUEST_TIMEOUT).closing())??;
        match encoding {
            Encoding::Identity if sent.len() <= INLINE_BYTES_MAX => Ok(sent.into()),
            Encoding::Identity => Ok(Body {
                memory: self.memory_for(sent.len(), deadline).await?.into(),
                bytes: sent,
            }),
            encoding => self.expand(encoding, sent, deadline).await,
        }
    }

    /// Waits for the memory of a large body, behind everybody who has waited longer.
    async fn memory_for(
        &self,
        bytes: usize,
        deadline: Instant,
    ) -> Result<OwnedSemaphorePermit, Problem> {
        let deadline = deadline.min(Instant::now() + MEMORY_WAIT_MAX);
        let wanted = units(bytes.max(LARGE_BYTES_MIN)).min(self.memory_units);
        let memory = Arc::clone(&self.memory).acquire_many_owned(wanted);
        match timeout_at(deadline, memory).await {
            Ok(memory) => memory.map_err(|_closed| Problem::internal()),
            Err(_elapsed) => Err(Problem::unavailable(
                "too_many_bodies",
                "too many large bodies are being worked on",
            )),
        }
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

    async fn expand(
        &self,
        encoding: Encoding,
        sent: Bytes,
        deadline: Instant,
    ) -> Result<Body, Problem> {
        let bytes_max = self.expanded_bytes_max;
        if sent.len() <= INLINE_BYTES_MAX {
            let small_max = bytes_max.min(INLINE_BYTES_MAX);
            match expand_small(encoding, &sent, small_max) {
                Ok(Some(expanded)) => return Ok(expanded.into()),
                Ok(None) if small_max < bytes_max => {}
                Ok(None) => return Err(too_large_expanded(bytes_max)),
                Err(_) => return Err(bad_encoding()),
            }
        }
        // How large it will be is not known before it is measured.
        let mut memory = self.memory_for(bytes_max, deadline).await?;
        let work = move || -> io::Result<Option<Body>> {
            let Some(size) = measure(encoding, &sent, bytes_max)? else {
                return Ok(None);
            };
            let needed = units(size.max(LARGE_BYTES_MIN)) as usize;
            drop(memory.split(memory.num_permits().saturating_sub(needed)));
            Ok(Some(Body {
                bytes: expand(encoding, &sent, size)?,
                memory: memory.into(),
            }))
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok(Some(expanded))) => Ok(expanded),
            Ok(Ok(None)) => Err(too_large_expanded(bytes_max)),
            Ok(Err(_)) => Err(bad_encoding()),
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

fn too_large_expanded(bytes_max: usize) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too_large",
        "Body too large",
        format!("the expanded body may have {bytes_max} bytes"),
    )
}

fn bad_encoding() -> Problem {
    Problem::bad_request("bad_encoding", "the body is not what Content-Encoding says")
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

/// Expands what is small once it is expanded, too; `None` when it would be larger than `bytes_max`.
fn expand_small(encoding: Encoding, sent: &[u8], bytes_max: usize) -> io::Result<Option<Bytes>> {
    let mut expanded = Vec::new();
    decoder(encoding, sent)?
        .take(bytes_max as u64 + 1)
        .read_to_end(&mut expanded)?;
    Ok((expanded.len() <= bytes_max).then(|| expanded.into()))
}

/// Size of `sent` when it is expanded; `None` when it is larger than `bytes_max`.
///
/// It is expanded through a small buffer. So a body that is refused has taken no memory, and the
/// allocator keeps none of it.
fn measure(encoding: Encoding, sent: &[u8], bytes_max: usize) -> io::Result<Option<usize>> {
    let limit = bytes_max as u64;
    let size = io::copy(
        &mut decoder(encoding, sent)?.take(limit + 1),
        &mut io::sink(),
    )?;
    Ok(usize::try_from(size).ok().filter(|size| *size <= bytes_max))
}

/// Expands `sent`, which has `size` bytes then.
fn expand(encoding: Encoding, sent: &[u8], size: usize) -> io::Result<Bytes> {
    let mut expanded = Vec::with_capacity(size.max(BUFFER_BYTES_MIN));
    decoder(encoding, sent)?
        .take(size as u64)
        .read_to_end(&mut expanded)?;
    Ok(expanded.into())
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
    use actix_web::FromRequest;
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
            let small = expand_small(encoding, &bytes, TEXT.len()).unwrap();
            assert_eq!(small.as_deref(), Some(TEXT), "{encoding:?}");
            let size = measure(encoding, &bytes, TEXT.len()).unwrap();
            assert_eq!(size, Some(TEXT.len()), "{encoding:?}");
            assert_eq!(
                expand(encoding, &bytes, TEXT.len()).unwrap(),
                TEXT,
                "{encoding:?}"
            );
        }
        for (encoding, bytes) in encoded() {
            let less = TEXT.len() - 1;
            assert_eq!(
                expand_small(encoding, &bytes, less).unwrap(),
                None,
                "{encoding:?}"
            );
            assert_eq!(
                measure(encoding, &bytes, less).unwrap(),
                None,
                "{encoding:?}"
            );
        }
    }

    #[test]
    fn truncated_and_foreign_bytes_are_errors() {
        for (encoding, bytes) in &encoded()[..4] {
            for bytes in [&bytes[..bytes.len() / 2], &[0x78, 0xff, 0xff, 0xff]] {
                assert!(
                    expand_small(*encoding, bytes, 1000).is_err(),
                    "{encoding:?}"
                );
                assert!(measure(*encoding, bytes, 1000).is_err(), "{encoding:?}");
            }
        }
    }

    fn reader(timeout: Duration) -> BodyReader {
        BodyReader::new(16 * 1024 * 1024, 16 * 1024 * 1024, timeout)
    }

    async fn read(reader: &BodyReader, sent: Vec<u8>, encoding: &str) -> Result<Body, Problem> {
        let (request, mut payload) = actix_web::test::TestRequest::default()
            .insert_header((header::CONTENT_ENCODING, encoding))
            .set_payload(sent)
            .to_http_parts();
        reader
            .read(
                request.headers(),
                Payload::from_request(&request, &mut payload).await.unwrap(),
            )
            .await
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(bytes).unwrap();
        gzip.finish().unwrap()
    }

    #[actix_web::test]
    async fn a_large_body_has_its_memory_until_it_is_dropped_and_a_small_one_needs_none() {
        let reader = reader(Duration::from_mins(1));
        let all = reader.memory.available_permits();
        let large = vec![b' '; 9 * 1024 * 1024];
        let plain = read(&reader, large.clone(), "identity").await.unwrap();
        assert_eq!(all - reader.memory.available_permits(), 9 * 1024);
        let packed = read(&reader, gzip(&large), "gzip").await.unwrap();
        // What was taken before its size was known is given back.
        assert_eq!(all - reader.memory.available_permits(), 18 * 1024);
        let small = read(&reader, gzip(b" "), "gzip").await.unwrap();
        assert_eq!(all - reader.memory.available_permits(), 18 * 1024);
        drop((plain, packed, small));
        assert_eq!(reader.memory.available_permits(), all);
    }

    #[actix_web::test]
    async fn whoever_waits_for_memory_too_long_may_come_back_and_small_bodies_do_not_wait() {
        let reader = reader(Duration::from_millis(1));
        let taken = Arc::clone(&reader.memory).acquire_many_owned(reader.memory_units);
        let taken = taken.await.unwrap();
        let large = vec![b' '; INLINE_BYTES_MAX + 1];
        for (sent, encoding) in [(large.clone(), "identity"), (gzip(&large), "gzip")] {
            let problem = read(&reader, sent, encoding).await.unwrap_err();
            assert_eq!(problem.status, StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(
                (problem.code, problem.retry_after_s),
                ("too_many_bodies", Some(1))
            );
        }
        let small = &large[..INLINE_BYTES_MAX];
        read(&reader, small.to_vec(), "identity").await.unwrap();
        read(&reader, gzip(small), "gzip").await.unwrap();
        drop(taken);
        read(&reader, large, "identity").await.unwrap();
    }
}
