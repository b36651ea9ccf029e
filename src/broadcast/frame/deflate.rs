//! permessage-deflate (RFC 7692) without context takeover on either side.

use super::FrameError;
use actix_web::http::header::{HeaderMap, SEC_WEBSOCKET_EXTENSIONS};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use std::fmt;

/// What every sync flush ends with and a message leaves out (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
/// Windows that can be asked for: 2⁸ … 2¹⁵ bytes.
const WINDOW_BITS: std::ops::RangeInclusive<u8> = 8..=15;

/// The terms on which messages may be compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Negotiated {
    /// The client can look back this far: 2ⁿ bytes.
    server_window_bits: u8,
    /// It asked for that window, so the answer has to name it.
    asked: bool,
}

impl Negotiated {
    /// The first of the client's offers that can be met.
    pub(crate) fn from_offers(headers: &HeaderMap) -> Option<Self> {
        headers
            .get_all(SEC_WEBSOCKET_EXTENSIONS)
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .find_map(Self::from_offer)
    }

    fn from_offer(offer: &str) -> Option<Self> {
        let mut parts = offer.split(';').map(str::trim);
        if parts.next() != Some("permessage-deflate") {
            return None;
        }
        let mut seen = Vec::new();
        let mut terms = Self {
            server_window_bits: *WINDOW_BITS.end(),
            asked: false,
        };
        for part in parts {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name.trim_end(), Some(value.trim().trim_matches('"'))),
                None => (part, None),
            };
            if seen.contains(&name) {
                return None;
            }
            seen.push(name);
            match (name, value) {
                (
                    "server_no_context_takeover"
                    | "client_no_context_takeover"
                    | "client_max_window_bits",
                    None,
                ) => {}
                ("client_max_window_bits", Some(bits)) => drop(window_bits(bits)?),
                ("server_max_window_bits", Some(bits)) => {
                    terms.server_window_bits = window_bits(bits)?;
                    terms.asked = true;
                }
                _ => return None,
            }
        }
        Some(terms)
    }

    /// The header's value that accepts these terms.
    pub(crate) fn answer(self) -> String {
        let window = if self.asked {
            format!("; server_max_window_bits={}", self.server_window_bits)
        } else {
            String::new()
        };
        format!(
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover{window}"
        )
    }

    /// Whether a payload of this length may be sent compressed. The compressor's window is always
    /// the largest; what fits into a smaller one cannot look back beyond it.
    pub(crate) fn takes(self, payload_length: usize) -> bool {
        self.server_window_bits == *WINDOW_BITS.end()
            || payload_length <= 1 << self.server_window_bits
    }
}

fn window_bits(text: &str) -> Option<u8> {
    // No sign and no leading zero (RFC 7692 §7.1.2.1).
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse()
        .ok()
        .filter(|bits| plain && WINDOW_BITS.contains(bits))
}

/// Compresses messages, each for itself.
pub(crate) struct Deflater(Compress);

impl Default for Deflater {
    fn default() -> Self {
        Self(Compress::new(Compression::default(), false))
    }
}

impl Deflater {
    /// The payload of a compressed message.
    pub(crate) fn deflate(&mut self, payload: &[u8]) -> Vec<u8> {
        /// More than a flush adds to what does not compress: five bytes for each 16 KiB.
        const SPARE_BYTES: usize = 64;
        self.0.reset();
        let mut output = Vec::with_capacity(payload.len() + payload.len() / 1024 + SPARE_BYTES);
        loop {
            let read = usize::try_from(self.0.total_in()).unwrap_or(usize::MAX);
            let rest = payload.get(read..).unwrap_or_default();
            let status = self.0.compress_vec(rest, &mut output, FlushCompress::Sync);
            if output.len() < output.capacity() || status.is_err() {
                break;
            }
            output.reserve(output.len().max(SPARE_BYTES));
        }
        let length = output.len();
        if output.ends_with(&TAIL) {
            output.truncate(length - TAIL.len());
        }
        output
    }
}

impl fmt::Debug for Deflater {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Deflater").finish_non_exhaustive()
    }
}

/// Expands messages, each for itself.
pub struct Inflater(Decompress);

impl Default for Inflater {
    fn default() -> Self {
        Self(Decompress::new(false))
    }
}

impl Inflater {
    /// Expands the payload of a compressed message, to at most `bytes_max` bytes.
    pub(super) fn inflate(
        &mut self,
        payload: &[u8],
        bytes_max: usize,
    ) -> Result<Vec<u8>, FrameError> {
        let mut output = Vec::new();
        self.0.reset(false);
        let ended = self.inflate_part(payload, &mut output, bytes_max)?;
        if ended {
            // A message that ends its own stream needs no tail.
            return Ok(output);
        }
        self.inflate_part(&TAIL, &mut output, bytes_max)?;
        Ok(output)
    }

    /// Expands more of a message; says whether its stream has come to its own end.
    fn inflate_part(
        &mut self,
        mut input: &[u8],
        output: &mut Vec<u8>,
        bytes_max: usize,
    ) -> Result<bool, FrameError> {
        const OUTPUT_STEP_BYTES: usize = 4096;
        loop {
            // One byte of space beyond the bound tells that there is more.
            let space = (bytes_max + 1).saturating_sub(output.len());
            if output.len() == output.capacity() {
                output.reserve(space.min(output.len().max(OUTPUT_STEP_BYTES)));
            }
            let before = (self.0.total_in(), output.len());
            let status = self
                .0
                .decompress_vec(input, output, FlushDecompress::Sync)
                .map_err(|_corrupt| FrameError::NotDeflate)?;
            if output.len() > bytes_max {
                return Err(FrameError::TooBig {
                    message_bytes_max: bytes_max,
                });
            }
            let read = usize::try_from(self.0.total_in() - before.0).unwrap_or(input.len());
            input = input.get(read..).unwrap_or_default();
            match status {
                // A message may consist of several streams (RFC 7692 §7.2.3.5).
                Status::StreamEnd if input.is_empty() => return Ok(true),
                Status::StreamEnd => self.0.reset(false),
                _ if input.is_empty() && output.len() < output.capacity() => return Ok(false),
                _ if read == 0 && output.len() == before.1 && output.len() < output.capacity() => {
                    return Err(FrameError::NotDeflate);
                }
                _ => {}
            }
        }
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Inflater").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;
    use proptest::prelude::*;

    fn negotiate(offers: &[&'static str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for offer in offers {
            headers.append(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(offer));
        }
        Negotiated::from_offers(&headers).map(Negotiated::answer)
    }

    const TERMS: &str =
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

    #[test]
    fn the_first_offer_that_can_be_met_is_answered() {
        let plain = || Some(TERMS.to_owned());
        let window = |bits| Some(format!("{TERMS}; server_max_window_bits={bits}"));
        assert_eq!(negotiate(&[]), None);
        assert_eq!(negotiate(&["permessage-deflate"]), plain());
        assert_eq!(
            negotiate(&["permessage-deflate; client_max_window_bits"]),
            plain()
        );
        assert_eq!(
            negotiate(&["x-other, permessage-deflate; client_max_window_bits=9"]),
            plain()
        );
        assert_eq!(
            negotiate(&["permessage-deflate; server_max_window_bits=\"9\""]),
            window(9)
        );
        assert_eq!(
            negotiate(&[
                "permessage-deflate; server_max_window_bits=7",
                "permessage-deflate; server_max_window_bits=10; server_no_context_takeover"
            ]),
            window(10)
        );
    }

    #[test]
    fn offers_that_break_the_rules_are_passed_over() {
        for offer in [
            "permessage-deflate; unknown",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=08",
            "permessage-deflate; server_max_window_bits=+9",
            "permessage-deflate; client_max_window_bits=16",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
            "x-webkit-deflate-frame",
        ] {
            assert_eq!(negotiate(&[offer]), None, "{offer}");
        }
    }

    #[test]
    fn a_small_window_takes_only_what_fits_into_it() {
        let terms = Negotiated::from_offer("permessage-deflate; server_max_window_bits=9").unwrap();
        assert!(terms.takes(512) && !terms.takes(513));
        let terms = Negotiated::from_offer("permessage-deflate").unwrap();
        assert!(terms.takes(1 << 20));
    }

    #[test]
    fn the_examples_of_the_specification_are_read() {
        // RFC 7692 §7.2.3.1, .2 (other than the window's), .3 without compression, .4 with BFINAL, .5.
        for payload in [
            &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..],
            &[
                0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00,
            ],
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
            &[
                0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00,
            ],
        ] {
            assert_eq!(
                Inflater::default().inflate(payload, 5).unwrap(),
                b"Hello",
                "{payload:x?}"
            );
        }
    }

    #[test]
    fn expansion_stops_at_the_bound() {
        let bomb = Deflater::default().deflate(&vec![b' '; 1 << 20]);
        assert!(bomb.len() < 2048);
        let mut inflater = Inflater::default();
        assert_eq!(
            inflater.inflate(&bomb, 1000),
            Err(FrameError::TooBig {
                message_bytes_max: 1000
            })
        );
        // And nothing of it is left for the next message.
        let next = Deflater::default().deflate(b"next");
        assert_eq!(inflater.inflate(&next, 4).unwrap(), b"next");
    }

    #[test]
    fn what_is_not_deflate_is_refused() {
        for payload in [&[0xff][..], &[0x07, 0x07], b"plain text"] {
            assert_eq!(
                Inflater::default().inflate(payload, 1000),
                Err(FrameError::NotDeflate),
                "{payload:x?}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_was_compressed_expands_to_itself(
            payload in proptest::collection::vec(any::<u8>(), 0..5000),
            repeat in 1_usize..40,
        ) {
            let payload = payload.repeat(repeat);
            let mut deflater = Deflater::default();
            let first = deflater.deflate(&payload);
            prop_assert_eq!(&first, &deflater.deflate(&payload));
            let mut inflater = Inflater::default();
            prop_assert_eq!(inflater.inflate(&first, payload.len()).unwrap(), &payload[..]);
            if !payload.is_empty() {
                prop_assert!(inflater.inflate(&first, payload.len() - 1).is_err());
            }
        }
    }
}
