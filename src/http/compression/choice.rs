//! Which coding a client likes best (RFC 9110 §12.5.3), and what makes it.

use actix_web::http::header::{self, HeaderMap, HeaderValue};
use brotli::CompressorWriter;
use brotli::enc::BrotliEncoderParams;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

/// A content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Brotli,
    Gzip,
}

/// What makes bytes of a coding.
pub(super) enum Encoder {
    // Boxed: it is the larger one by far.
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Gzip(GzEncoder<Vec<u8>>),
}

/// Levels at which a core compresses some 100 MB a second; higher ones save a few percent for twice
/// the time.
const BROTLI_QUALITY: i32 = 3;
const GZIP_LEVEL: u32 = 4;
/// Bytes that repetitions are looked for in, as a power of two: what it takes in memory follows.
const BROTLI_WINDOW: i32 = 18;
/// Bytes gathered before they are compressed.
const BROTLI_BUFFER_BYTES: usize = 4096;

impl Coding {
    pub(super) const fn name(self) -> HeaderValue {
        match self {
            Self::Brotli => HeaderValue::from_static("br"),
            Self::Gzip => HeaderValue::from_static("gzip"),
        }
    }

    pub(super) fn encoder(self) -> Encoder {
        match self {
            Self::Brotli => {
                let parameters = BrotliEncoderParams {
                    quality: BROTLI_QUALITY,
                    lgwin: BROTLI_WINDOW,
                    ..BrotliEncoderParams::default()
                };
                let writer =
                    CompressorWriter::with_params(Vec::new(), BROTLI_BUFFER_BYTES, &parameters);
                Encoder::Brotli(Box::new(writer))
            }
            Self::Gzip => Encoder::Gzip(GzEncoder::new(Vec::new(), Compression::new(GZIP_LEVEL))),
        }
    }
}

// Writing into memory cannot fail.
impl Encoder {
    pub(super) fn write(&mut self, bytes: &[u8]) {
        match self {
            Self::Brotli(writer) => drop(writer.write_all(bytes)),
            Self::Gzip(writer) => drop(writer.write_all(bytes)),
        }
    }

    /// Makes bytes of everything that was written.
    pub(super) fn flush(&mut self) {
        match self {
            Self::Brotli(writer) => drop(writer.flush()),
            Self::Gzip(writer) => drop(writer.flush()),
        }
    }

    /// The bytes that there are by now.
    pub(super) fn take(&mut self) -> Bytes {
        let made = match self {
            Self::Brotli(writer) => writer.get_mut(),
            Self::Gzip(writer) => writer.get_mut(),
        };
        std::mem::take(made).into()
    }

    /// The last bytes.
    pub(super) fn finish(self) -> Bytes {
        let last = match self {
            Self::Brotli(writer) => writer.into_inner(),
            Self::Gzip(writer) => writer.finish().unwrap_or_default(),
        };
        last.into()
    }
}

/// The coding that a client likes best; `None` when it takes neither, or likes the bytes as they are
/// better. Of equals Brotli, which makes less of them.
pub(super) fn chosen(headers: &HeaderMap) -> Option<Coding> {
    let accepted = Accepted::of(headers);
    let liked = |names: &[&str]| accepted.quality(names);
    let (brotli, gzip) = (liked(&["br"]), liked(&["gzip", "x-gzip"]));
    let (best, coding) = if brotli >= gzip {
        (brotli, Coding::Brotli)
    } else {
        (gzip, Coding::Gzip)
    };
    (best > 0.0 && best >= accepted.named("identity").unwrap_or(0.0)).then_some(coding)
}

/// Codings that a client names, and how much it likes each.
struct Accepted<'a>(Vec<(&'a str, f32)>);

impl<'a> Accepted<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        let texts = headers.get_all(header::ACCEPT_ENCODING);
        let texts = texts.filter_map(|text| text.to_str().ok());
        let codings = texts.flat_map(|text| text.split(',')).map(|coding| {
            let (name, quality) = coding.split_once(';').unwrap_or((coding, "q=1"));
            let quality = quality.trim().get(2..).and_then(|text| text.parse().ok());
            (name.trim(), quality.unwrap_or(0.0))
        });
        Self(codings.collect())
    }

    fn named(&self, wanted: &str) -> Option<f32> {
        let mut codings = self.0.iter();
        let found = codings.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, quality)| *quality)
    }

    fn quality(&self, names: &[&str]) -> f32 {
        let mut qualities = names.iter().filter_map(|name| self.named(name));
        qualities.next().or_else(|| self.named("*")).unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::nothing(&[], None)]
    #[case::browser(&["gzip, deflate, br, zstd"], Some(Coding::Brotli))]
    #[case::command_line(&["deflate, gzip"], Some(Coding::Gzip))]
    #[case::any_case(&["GZIP"], Some(Coding::Gzip))]
    #[case::old_name(&["x-gzip"], Some(Coding::Gzip))]
    #[case::preferred(&["br;q=0.5, gzip;q=0.8"], Some(Coding::Gzip))]
    #[case::two_headers(&["identity", "br"], Some(Coding::Brotli))]
    #[case::any(&["*"], Some(Coding::Brotli))]
    #[case::any_but(&["br;q=0, *"], Some(Coding::Gzip))]
    #[case::refused(&["gzip;q=0, br; q=0.0"], None)]
    #[case::as_it_is(&["identity;q=1, gzip;q=0.5"], None)]
    #[case::unknown(&["zstd, deflate"], None)]
    #[case::nonsense(&["gzip;q=x", ";;", "br;level=3"], None)]
    fn the_coding_liked_best_is_taken(
        #[case] sent: &[&'static str],
        #[case] expected: Option<Coding>,
    ) {
        let mut headers = HeaderMap::new();
        for text in sent {
            headers.append(header::ACCEPT_ENCODING, HeaderValue::from_static(text));
        }
        assert_eq!(chosen(&headers), expected);
    }
}
