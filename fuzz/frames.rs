//! What a client sends → frames, whatever the bytes are and wherever the stream is cut.
//!
//! An input is one byte of settings, one byte with the number of piece lengths, the lengths, and then
//! the client's stream. `seeds.txt` has some written out.
#![no_main]

use iaqverse::broadcast::{Decoder, Frame, FrameError, Inflater};
use libfuzzer_sys::{Corpus, fuzz_target};
use peak_alloc::PeakAlloc;
use std::iter;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Largest payload of a control frame (RFC 6455 §5.5).
const CONTROL_BYTES_MAX: usize = 125;
/// What inflating may hold besides messages: a window of 32 KiB, and tables smaller than that.
const INFLATER_BYTES_MAX: usize = 64 * 1024;

struct Input<'a> {
    deflate: bool,
    message_bytes_max: usize,
    piece_lengths: &'a [u8],
    stream: &'a [u8],
}

impl<'a> Input<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let [settings, count, rest @ ..] = bytes else {
            return None;
        };
        let (piece_lengths, stream) = rest.split_at_checked(usize::from(*count))?;
        Some(Self {
            deflate: settings & 1 != 0,
            // Small, so that the limit is met by few bytes; every control frame fits.
            message_bytes_max: 128 << (settings >> 1 & 7),
            piece_lengths,
            stream,
        })
    }

    /// The stream in pieces of the lengths asked for, again and again; in one piece when there are none.
    fn pieces(&self) -> impl Iterator<Item = &'a [u8]> {
        let mut lengths = self.piece_lengths.iter().cycle();
        let mut rest = self.stream;
        iter::from_fn(move || {
            let length = lengths
                .next()
                .map_or(rest.len(), |length| usize::from(*length).max(1));
            let piece = rest.split_off(..length.min(rest.len()))?;
            (!piece.is_empty()).then_some(piece)
        })
    }

    /// What one connection may hold: a frame that is not whole, the fragments before it, and the
    /// message made of them, in buffers that grow by doubling.
    fn connection_bytes_max(&self) -> usize {
        4 * self.message_bytes_max + 1024
    }

    fn decoder(&self) -> Decoder {
        Decoder::new(self.message_bytes_max, self.deflate)
    }

    /// Reads all frames of a piece.
    fn read(
        &self,
        decoder: &mut Decoder,
        inflater: &mut Inflater,
        mut piece: &[u8],
        mut accept: impl FnMut(Frame),
    ) -> Result<(), FrameError> {
        loop {
            let left = piece.len();
            let Some(frame) = decoder.decode(&mut piece, inflater)? else {
                assert!(piece.is_empty(), "bytes were left without a frame");
                return Ok(());
            };
            assert!(piece.len() < left, "a frame was made of no bytes");
            let (length, length_max) = match &frame {
                Frame::Text(text) => (text.len(), self.message_bytes_max),
                Frame::Binary(bytes) => (bytes.len(), self.message_bytes_max),
                Frame::Ping(bytes) => (bytes.len(), CONTROL_BYTES_MAX),
                Frame::Fragment | Frame::Pong | Frame::Close(_) => (0, 0),
            };
            assert!(length <= length_max, "{length} bytes, {length_max} allowed");
            accept(frame);
        }
    }
}

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Some(input) = Input::parse(bytes) else {
        return Corpus::Reject;
    };
    let mut expected = Vec::new();
    let expected_end = input.read(
        &mut input.decoder(),
        &mut Inflater::default(),
        input.stream,
        |frame| expected.push(frame),
    );

    // Two connections take turns at one inflater, as those of a worker do: neither may see the other.
    let mut inflater = Inflater::default();
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let mut connections = [(); 2].map(|()| (input.decoder(), 0, Ok(())));
    for piece in input.pieces() {
        for (decoder, frames, end) in connections.iter_mut().filter(|(_, _, end)| end.is_ok()) {
            *end = input.read(decoder, &mut inflater, piece, |frame| {
                assert_eq!(Some(&frame), expected.get(*frames), "frame {frames}");
                *frames += 1;
            });
        }
    }
    for (_, frames, end) in &connections {
        assert_eq!((*frames, *end), (expected.len(), expected_end), "the end");
    }
    let held_max = MEMORY.peak_usage() - before;
    let allowed =
        2 * input.connection_bytes_max() + usize::from(input.deflate) * INFLATER_BYTES_MAX;
    assert!(
        held_max <= allowed,
        "{held_max} bytes held, {allowed} allowed"
    );
    Corpus::Keep
});
