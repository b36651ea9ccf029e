//! The codec against the rules of RFC 6455 and against any cut of the byte stream.

use super::decode::unmask;
use super::encode::frame;
use super::*;
use pretty_assertions::assert_eq;
use proptest::prelude::*;
use rstest::rstest;

const MAX: usize = 64 * 1024;

/// A frame as a client sends it.
fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let unmasked = frame(first, payload);
    let mask = [0x12, 0x34, 0x56, 0x78];
    let mut frame = vec![first, unmasked[1] | MASKED];
    frame.extend_from_slice(&unmasked[2..unmasked.len() - payload.len()]);
    frame.extend_from_slice(&mask);
    let mut payload = payload.to_vec();
    unmask(&mut payload, mask);
    frame.extend(payload);
    frame
}

fn decode(bytes: &[u8]) -> Result<Vec<Frame>, FrameError> {
    decode_all(&mut Decoder::new(MAX, true), bytes)
}

fn decode_all(decoder: &mut Decoder, mut bytes: &[u8]) -> Result<Vec<Frame>, FrameError> {
    let mut inflater = Inflater::default();
    std::iter::from_fn(|| decoder.decode(&mut bytes, &mut inflater).transpose()).collect()
}

fn compressed_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    client_frame(first | COMPRESSED, &Deflater::default().deflate(payload))
}

#[test]
fn messages_and_control_frames_are_read() {
    let mut bytes = client_frame(FIN | TEXT, "température".as_bytes());
    bytes.extend(client_frame(FIN | PING, b"x"));
    bytes.extend(client_frame(FIN | PONG, b""));
    bytes.extend(client_frame(FIN | BINARY, &[1, 2]));
    bytes.extend(client_frame(FIN | CLOSE, &1000_u16.to_be_bytes()));
    assert_eq!(
        decode(&bytes).unwrap(),
        [
            Frame::Text("température".to_owned()),
            Frame::Ping(Bytes::from_static(b"x")),
            Frame::Pong,
            Frame::Binary(Bytes::from_static(&[1, 2])),
            Frame::Close(Some(1000)),
        ]
    );
}

#[test]
fn fragments_make_one_message_with_control_frames_between() {
    let mut bytes = client_frame(TEXT, b"a");
    bytes.extend(client_frame(FIN | PING, b"p"));
    bytes.extend(client_frame(CONTINUATION, b"b"));
    bytes.extend(client_frame(FIN | CONTINUATION, b"c"));
    assert_eq!(
        decode(&bytes).unwrap(),
        [
            Frame::Fragment,
            Frame::Ping(Bytes::from_static(b"p")),
            Frame::Fragment,
            Frame::Text("abc".to_owned())
        ]
    );
}

#[test]
fn compressed_messages_are_expanded_whole_or_in_fragments() {
    let mut bytes = compressed_frame(FIN | TEXT, "température ".repeat(50).as_bytes());
    let deflated = Deflater::default().deflate(b"abcabcabc");
    let (a, b) = deflated.split_at(2);
    bytes.extend(client_frame(COMPRESSED | TEXT, a));
    bytes.extend(client_frame(FIN | PING, b""));
    bytes.extend(client_frame(FIN | CONTINUATION, b));
    assert_eq!(
        decode(&bytes).unwrap(),
        [
            Frame::Text("température ".repeat(50)),
            Frame::Fragment,
            Frame::Ping(Bytes::new()),
            Frame::Text("abcabcabc".to_owned()),
        ]
    );
}

#[test]
fn compression_that_was_not_agreed_on_is_a_violation() {
    let bytes = compressed_frame(FIN | TEXT, b"x");
    let error = decode_all(&mut Decoder::new(MAX, false), &bytes).unwrap_err();
    assert_eq!(error.close_code(), 1002);
}

#[test]
fn text_that_is_not_utf8_is_refused_before_its_end() {
    let bytes = client_frame(
        TEXT,
        &[0xce, 0xba, 0xe1, 0xbd, 0xb9, 0xf4, 0x90, 0x80, 0x80],
    );
    let mut decoder = Decoder::new(MAX, false);
    // Up to the first byte that no UTF-8 has at its place: the frame is not complete yet.
    let error = decode_all(&mut decoder, &bytes[..bytes.len() - 2]).unwrap_err();
    assert_eq!(error, FrameError::NotUtf8);
}

#[rstest]
#[case::reserved_bit(client_frame(FIN | 0x20 | TEXT, b"x"), 1002)]
#[case::compressed_ping(client_frame(FIN | COMPRESSED | PING, b"x"), 1002)]
#[case::compressed_continuation([client_frame(TEXT, b"x"), client_frame(FIN | COMPRESSED | CONTINUATION, b"x")].concat(), 1002)]
#[case::compressed_not_utf8(compressed_frame(FIN | TEXT, &[0xff]), 1007)]
#[case::not_deflate(client_frame(FIN | COMPRESSED | TEXT, &[0xff]), 1007)]
#[case::compressed_too_big(compressed_frame(FIN | TEXT, &vec![b'x'; MAX + 1]), 1009)]
#[case::unmasked(text(b"x").to_vec(), 1002)]
#[case::unknown_opcode(client_frame(FIN | 0x3, b"x"), 1002)]
#[case::unknown_control(client_frame(FIN | 0xB, b"x"), 1002)]
#[case::fragmented_ping(client_frame(PING, b"x"), 1002)]
#[case::long_ping(client_frame(FIN | PING, &[0; 126]), 1002)]
#[case::nothing_to_continue(client_frame(FIN | CONTINUATION, b"x"), 1002)]
#[case::message_within_another([client_frame(TEXT, b"x"), client_frame(FIN | TEXT, b"y")].concat(), 1002)]
#[case::half_a_close_code(client_frame(FIN | CLOSE, &[3]), 1002)]
#[case::forbidden_close_code(client_frame(FIN | CLOSE, &1005_u16.to_be_bytes()), 1002)]
#[case::close_reason_not_utf8(client_frame(FIN | CLOSE, &[3, 232, 0xff]), 1007)]
#[case::not_utf8(client_frame(FIN | TEXT, &[0xff, 0xfe]), 1007)]
#[case::too_big(client_frame(FIN | TEXT, &vec![b'x'; MAX + 1]), 1009)]
#[case::fragments_too_big(
    [client_frame(TEXT, &vec![b'x'; MAX]), client_frame(FIN | CONTINUATION, b"x")].concat(),
    1009
)]
fn violations_have_their_close_code(#[case] bytes: Vec<u8>, #[case] code: u16) {
    assert_eq!(decode(&bytes).unwrap_err().close_code(), code);
}

#[test]
fn a_frame_that_declares_too_much_is_refused_at_its_header() {
    let mut header = vec![FIN | BINARY, MASKED | 127];
    header.extend_from_slice(&(1_u64 << 40).to_be_bytes());
    let mut decoder = Decoder::new(MAX, false);
    assert!(matches!(
        decode_all(&mut decoder, &header),
        Err(FrameError::TooBig { .. })
    ));
    assert!(
        format!("{decoder:?}").contains("message: None"),
        "nothing is reserved for what will not come"
    );
}

#[rstest]
#[case(0, 2)]
#[case(125, 2)]
#[case(126, 4)]
#[case(65_535, 4)]
#[case(65_536, 10)]
fn lengths_use_the_shortest_header(#[case] length: usize, #[case] header: usize) {
    assert_eq!(text(&vec![b'x'; length]).len(), header + length);
}

#[test]
fn a_long_close_reason_is_cut_at_a_character() {
    let frame = goodbye(close::POLICY, &"é".repeat(100));
    assert_eq!(frame.len(), 2 + 2 + 122);
    assert!(std::str::from_utf8(&frame[4..]).is_ok());
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop::collection::vec(any::<u8>(), 0..300);
    prop_oneof![
        "\\PC{0,200}".prop_map(|text| client_frame(FIN | TEXT, text.as_bytes())),
        payload
            .clone()
            .prop_map(|payload| client_frame(FIN | BINARY, &payload)),
        prop::collection::vec(any::<u8>(), 0..125)
            .prop_map(|payload| client_frame(FIN | PING, &payload)),
        "\\PC{0,200}".prop_map(|text| compressed_frame(FIN | TEXT, text.as_bytes())),
        (payload.clone(), payload).prop_map(|(a, b)| {
            [
                client_frame(BINARY, &a),
                client_frame(FIN | CONTINUATION, &b),
            ]
            .concat()
        }),
    ]
}

proptest! {
    #[test]
    fn any_cut_of_the_stream_gives_the_same_frames(
        frames in prop::collection::vec(any_frame(), 1..8),
        cuts in prop::collection::vec(1..64_usize, 1..40),
    ) {
        let bytes = frames.concat();
        let mut decoder = Decoder::new(MAX, true);
        let mut got = Vec::new();
        let mut rest = &bytes[..];
        for cut in cuts.into_iter().cycle() {
            if rest.is_empty() { break }
            let (now, later) = rest.split_at(cut.min(rest.len()));
            got.extend(decode_all(&mut decoder, now).unwrap());
            rest = later;
        }
        prop_assert_eq!(got, decode(&bytes).unwrap());
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        drop(decode(&bytes));
    }
}
