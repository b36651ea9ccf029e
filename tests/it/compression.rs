//! permessage-deflate as it is on the wire.

use crate::harness::{
    CLOSE, CROWDED, ONE_SHARD, PING, PONG, Server, TALKATIVE, TEXT, Wire, handshake, long_readings,
    masked, number, numbered,
};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};

/// Set on the first frame of a compressed message.
const COMPRESSED: u8 = 0x40;
const FIN: u8 = 0x80;
/// What a message leaves out of its stream (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
/// What every agreement says.
const TERMS: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
/// What browsers offer.
const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
/// Shortest payload that is compressed.
const COMPRESSED_FROM_BYTES: usize = 128;
/// Memory that nothing a client sends compressed may take, in KiB.
const BOMB_GROWTH_KIB_MAX: u64 = 8 * 1024;

/// A connection with these offers, past its handshake, and what was agreed on.
async fn offering(server: &Server, target: &str, offers: &str) -> (Wire, Option<String>) {
    let mut wire = Wire::over(server.connect().await);
    wire.send(handshake(target, offers)).await;
    let answer = wire.answer().await;
    assert_eq!(answer.status, 101, "{answer:?}");
    let agreed = answer.all("sec-websocket-extensions");
    assert!(agreed.len() <= 1, "{answer:?}");
    let agreed = agreed.first().map(|&agreed| agreed.to_owned());
    (wire, agreed)
}

/// A connection like a browser's, past its welcome.
async fn compressing(server: &Server, target: &str) -> Wire {
    let (mut wire, agreed) = offering(server, target, OFFER).await;
    assert_eq!(agreed.as_deref(), Some(TERMS));
    assert_eq!(next(&mut wire).await["type"], "connection");
    wire
}

/// The same without compression.
async fn plain(server: &Server, target: &str) -> Wire {
    let (mut wire, agreed) = offering(server, target, "").await;
    assert_eq!(agreed, None);
    assert_eq!(next(&mut wire).await["type"], "connection");
    wire
}

fn deflated(payload: &[u8]) -> Vec<u8> {
    let mut deflater = Compress::new(Compression::default(), false);
    let mut output = Vec::with_capacity(payload.len() + 1024);
    deflater
        .compress_vec(payload, &mut output, FlushCompress::Sync)
        .unwrap();
    assert_eq!(deflater.total_in(), payload.len() as u64);
    output.strip_suffix(&TAIL).unwrap().to_vec()
}

/// Expands one message by itself: nothing before it is looked back at.
fn inflated(payload: &[u8]) -> Vec<u8> {
    let mut inflater = Decompress::new(false);
    let mut output = Vec::with_capacity(4 << 20);
    for part in [payload, &TAIL] {
        let before = inflater.total_in();
        inflater
            .decompress_vec(part, &mut output, FlushDecompress::Sync)
            .expect("raw deflate");
        assert_eq!(inflater.total_in() - before, part.len() as u64);
    }
    output
}

/// The next text message: whether it came compressed, and its text.
async fn message(wire: &mut Wire) -> (bool, String) {
    let (first, payload) = wire.frame().await;
    let compressed = first & COMPRESSED != 0;
    assert_eq!(first & !COMPRESSED, TEXT);
    let text = if compressed {
        inflated(&payload)
    } else {
        payload
    };
    (compressed, String::from_utf8(text).unwrap())
}

async fn next(wire: &mut Wire) -> Value {
    serde_json::from_str(&message(wire).await.1).unwrap()
}

async fn command(wire: &mut Wire, command: &Value) {
    let text = command.to_string();
    wire.send(masked(TEXT | COMPRESSED, &deflated(text.as_bytes())))
        .await;
}

/// Checks that the connection still understands what comes compressed.
async fn check_alive(wire: &mut Wire) {
    command(wire, &json!({"type": "ping", "id": "alive"})).await;
    assert_eq!(next(wire).await["id"], "alive");
}

const WINDOW_9: &str = "permessage-deflate; server_no_context_takeover; \
                        client_no_context_takeover; server_max_window_bits=9";

/// Offers, each in a header line of its own, and what is agreed on.
const AGREED: [(&[&str], &str); 12] = [
    (&["permessage-deflate"], TERMS),
    (&["permessage-deflate; client_max_window_bits"], TERMS),
    (&["permessage-deflate; client_max_window_bits=15"], TERMS),
    (&["permessage-deflate;client_max_window_bits=\"8\""], TERMS),
    (&["permessage-deflate; server_no_context_takeover"], TERMS),
    (&["permessage-deflate; client_no_context_takeover"], TERMS),
    (
        &["permessage-deflate ; server_max_window_bits = 9"],
        WINDOW_9,
    ),
    (
        &["permessage-deflate; server_max_window_bits=\"9\""],
        WINDOW_9,
    ),
    // The first that can be met.
    (&["x-webkit-deflate-frame, permessage-deflate"], TERMS),
    (&["x-webkit-deflate-frame", "permessage-deflate"], TERMS),
    (
        &["permessage-deflate; server_max_window_bits=9, permessage-deflate"],
        WINDOW_9,
    ),
    (
        &["permessage-deflate; server_max_window_bits=7, permessage-deflate"],
        TERMS,
    ),
];

/// Offers that cannot be met, or are not as they must be written.
const PASSED_OVER: [&str; 17] = [
    "x-webkit-deflate-frame",
    "permessage-deflate2",
    "permessage-deflate; mood=good",
    "permessage-deflate; server_max_window_bits",
    "permessage-deflate; server_max_window_bits=7",
    "permessage-deflate; server_max_window_bits=16",
    "permessage-deflate; server_max_window_bits=09",
    "permessage-deflate; server_max_window_bits=+9",
    "permessage-deflate; server_max_window_bits=nine",
    "permessage-deflate; server_max_window_bits=",
    "permessage-deflate; client_max_window_bits=7",
    "permessage-deflate; client_max_window_bits=16",
    "permessage-deflate; server_no_context_takeover=1",
    "permessage-deflate; client_no_context_takeover=1",
    "permessage-deflate; server_max_window_bits=9; server_max_window_bits=9",
    "permessage-deflate; client_max_window_bits; client_max_window_bits=9",
    "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
];

#[tokio::test]
async fn the_first_offer_that_can_be_met_is_agreed_to() {
    let server = Server::with(&[TALKATIVE]);
    let agreed = AGREED.map(|(offers, terms)| (offers.to_vec(), Some(terms)));
    let passed_over = PASSED_OVER.map(|offer| (vec![offer], None));
    for (offers, terms) in agreed
        .into_iter()
        .chain(passed_over)
        .chain([(vec![], None)])
    {
        let mut lines = String::new();
        for offer in &offers {
            lines = lines + "Sec-WebSocket-Extensions: " + offer + "\r\n";
        }
        let (mut wire, answer) = offering(&server, "/ws?topics=alerts", &lines).await;
        assert_eq!(answer.as_deref(), terms, "{offers:?}");
        // Agreed or not, it works.
        assert_eq!(next(&mut wire).await["type"], "connection", "{offers:?}");
        wire.send(masked(TEXT, br#"{"type":"ping"}"#)).await;
        assert_eq!(next(&mut wire).await["type"], "pong", "{offers:?}");
    }
}

#[tokio::test]
async fn compressed_messages_expand_to_what_others_get() {
    let server = Server::start();
    let mut plain = plain(&server, "/ws").await;
    let mut compressing = compressing(&server, "/ws").await;
    let mut odd = numbered("a", 1);
    odd["salle"] = "Bureau \"<1>\" é".into();
    odd["values"]["a\u{2028}"] = json!(1);
    server.accept(&odd).await;
    server.accept(&long_readings(2, 30)).await;
    for _ in 0..31 {
        let (was_compressed, text) = message(&mut plain).await;
        assert!(!was_compressed);
        // Each by itself, so `inflated` would fail if one looked back at the one before.
        assert_eq!(message(&mut compressing).await, (true, text));
    }
}

#[tokio::test]
async fn what_is_too_short_comes_as_it_is() {
    let server = Server::with(&[TALKATIVE]);
    let mut wire = compressing(&server, "/ws?topics=alerts").await;
    // Around the length from which it pays: the rest of an answer to a ping is always as long.
    for length in 0..=100 {
        command(
            &mut wire,
            &json!({"type": "ping", "id": "x".repeat(length)}),
        )
        .await;
        let (compressed, text) = message(&mut wire).await;
        assert_eq!(compressed, text.len() >= COMPRESSED_FROM_BYTES, "{text}");
    }
    for short in [
        json!({"type": "subscribe", "topics": ["system"]}),
        json!({"type": "unsubscribe", "topics": ["system"]}),
    ] {
        command(&mut wire, &short).await;
        assert!(!message(&mut wire).await.0, "{short}");
    }
    wire.send(masked(PING, &[b'x'; 125])).await;
    assert_eq!(wire.frame().await, (PONG, vec![b'x'; 125]));
}

#[tokio::test]
async fn nothing_looks_back_further_than_the_window_that_was_asked_for() {
    let server = Server::with(&[ONE_SHARD]);
    let wanted = json!({"type": "subscribe", "topics": ["measurements"], "snapshot": true});
    let mut plain = plain(&server, "/ws").await;
    let mut wires = Vec::new();
    for bits in 8..=15 {
        let offer = format!(
            "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits={bits}\r\n"
        );
        let (mut wire, agreed) = offering(&server, "/ws", &offer).await;
        let agreed = agreed.unwrap();
        assert!(
            agreed.ends_with(&format!("; server_max_window_bits={bits}")),
            "{agreed}"
        );
        assert_eq!(next(&mut wire).await["type"], "connection");
        wires.push((bits, wire));
    }
    // Some hundred bytes, some thousand, and together more than the largest window.
    let mut batch = long_readings(1, 20);
    for (at, reading) in (0..).zip(batch.as_array_mut().unwrap()) {
        reading["sensor_id"] = format!("s{at}").into();
    }
    server.accept(&numbered("short", 1)).await;
    server.accept(&batch).await;
    plain
        .send(masked(TEXT, wanted.to_string().as_bytes()))
        .await;
    for (_, wire) in &mut wires {
        wire.send(masked(TEXT, wanted.to_string().as_bytes())).await;
    }
    let mut lengths = Vec::new();
    for _ in 0..1 + 20 + 2 {
        let (_, text) = message(&mut plain).await;
        lengths.push(text.len());
        for (bits, wire) in &mut wires {
            // What fits into the window as a whole cannot look back beyond it.
            let fits = *bits == 15 || text.len() <= 1 << *bits;
            let compressed = fits && text.len() >= COMPRESSED_FROM_BYTES;
            assert_eq!(
                message(wire).await,
                (compressed, text.clone()),
                "{bits} bits"
            );
        }
    }
    assert!(lengths[0] > 256 && lengths[0] <= 512, "{lengths:?}");
    assert!(
        lengths.iter().any(|length| (2049..=4096).contains(length)),
        "{lengths:?}"
    );
    assert!(
        lengths.iter().any(|length| *length > 1 << 15),
        "{lengths:?}"
    );
}

#[tokio::test]
async fn a_client_may_send_compressed_or_not_as_it_likes() {
    let server = Server::start();
    let mut wire = compressing(&server, "/ws?topics=alerts").await;
    let ping = |id: u32| json!({"type": "ping", "id": id}).to_string();
    let mut ended = Compress::new(Compression::default(), false);
    let mut with_its_end = Vec::with_capacity(1024);
    ended
        .compress_vec(ping(4).as_bytes(), &mut with_its_end, FlushCompress::Finish)
        .unwrap();
    let stored = |text: &str| {
        let length = u16::try_from(text.len()).unwrap();
        let head = [&[0][..], &length.to_le_bytes(), &(!length).to_le_bytes()].concat();
        [&head, text.as_bytes(), &[0]].concat()
    };
    let two_flushes = {
        let text = ping(5);
        let (first, second) = text.split_at(7);
        let mut deflater = Compress::new(Compression::best(), false);
        let mut output = Vec::with_capacity(1024);
        for part in [first, second] {
            deflater
                .compress_vec(part.as_bytes(), &mut output, FlushCompress::Sync)
                .unwrap();
        }
        output.strip_suffix(&TAIL).unwrap().to_vec()
    };
    for (id, frame) in (1..).zip([
        masked(TEXT | COMPRESSED, &deflated(ping(1).as_bytes())),
        masked(TEXT, ping(2).as_bytes()),
        // RFC 7692 §7.2.3.3 to .5: stored, with an end of its own, in two blocks.
        masked(TEXT | COMPRESSED, &stored(&ping(3))),
        masked(TEXT | COMPRESSED, &with_its_end),
        masked(TEXT | COMPRESSED, &two_flushes),
    ]) {
        wire.send(frame).await;
        assert_eq!(next(&mut wire).await["id"], id);
    }
    // A compressed nothing is a message of no length, which is no JSON.
    wire.send(masked(TEXT | COMPRESSED, &[0])).await;
    assert_eq!(next(&mut wire).await["code"], "bad_json");

    command(
        &mut wire,
        &json!({"type": "subscribe", "topics": ["measurements"]}),
    )
    .await;
    assert_eq!(next(&mut wire).await["type"], "subscribed");
    server.accept(&numbered("a", 7)).await;
    assert_eq!(number(&next(&mut wire).await), 7);
}

#[tokio::test]
async fn a_compressed_command_in_fragments_with_a_ping_between_is_one_command() {
    let server = Server::start();
    let mut wire = compressing(&server, "/ws?topics=alerts").await;
    let ping = json!({"type": "ping", "id": "whole"}).to_string();
    let payload = deflated(ping.as_bytes());
    // Only the first says that the message is compressed; one is empty, one is a byte.
    let mut bytes = masked((TEXT & !FIN) | COMPRESSED, &payload[..3]);
    bytes.extend(masked(PING, b"between"));
    bytes.extend(masked(0, b""));
    bytes.extend(masked(0, &payload[3..4]));
    bytes.extend(masked(FIN, &payload[4..]));
    wire.send(bytes).await;
    assert_eq!(wire.frame().await, (PONG, b"between".to_vec()));
    assert_eq!(next(&mut wire).await["id"], "whole");
    check_alive(&mut wire).await;
}

#[tokio::test]
async fn compressed_frames_are_understood_however_they_are_cut() {
    let server = Server::start();
    let mut wire = compressing(&server, "/ws?topics=alerts").await;
    wire.stream.set_nodelay(true).unwrap();
    let ping = json!({"type": "ping", "id": "bytes"}).to_string();
    for byte in masked(TEXT | COMPRESSED, &deflated(ping.as_bytes())) {
        wire.send([byte]).await;
    }
    assert_eq!(next(&mut wire).await["id"], "bytes");
}

#[tokio::test]
async fn a_message_that_expands_to_64_kib_is_still_read() {
    let server = Server::start();
    let mut wire = compressing(&server, "/ws?topics=alerts").await;
    let ping = r#"{"type":"ping","id":1}"#.to_owned();
    let message = ping.clone() + &" ".repeat(65_536 - ping.len());
    wire.send(masked(TEXT | COMPRESSED, &deflated(message.as_bytes())))
        .await;
    assert_eq!(next(&mut wire).await["id"], 1);
    let longer = message + " ";
    wire.send(masked(TEXT | COMPRESSED, &deflated(longer.as_bytes())))
        .await;
    assert_eq!(wire.close_code().await, 1009);
}

#[tokio::test]
async fn a_bomb_is_closed_with_1009_and_costs_nothing() {
    const BOMBS: u32 = 20;
    let server = Server::start();
    // Expands to a thousand times as much as it is long.
    let bomb = deflated(&vec![b' '; 48 << 20]);
    assert!(bomb.len() < 60_000, "{}", bomb.len());
    let whole = masked(TEXT | COMPRESSED, &bomb);
    let (first, second) = bomb.split_at(bomb.len() / 2);
    let mut in_fragments = masked((TEXT & !FIN) | COMPRESSED, first);
    in_fragments.extend(masked(FIN, second));
    let mut before = 0;
    for each in 0..BOMBS {
        let mut wire = compressing(&server, "/ws?topics=alerts").await;
        wire.send(if each % 2 == 0 { &whole } else { &in_fragments })
            .await;
        assert_eq!(wire.close_code().await, 1009);
        if each == 0 {
            before = server.resident_kib();
            let growth = server.peak_kib() - before;
            assert!(growth < BOMB_GROWTH_KIB_MAX, "{growth} KiB for the first");
        }
    }
    let growth = server.peak_kib() - before;
    assert!(growth < BOMB_GROWTH_KIB_MAX, "{growth} KiB");
    check_alive(&mut compressing(&server, "/ws").await).await;
}

#[rstest]
#[case::garbage(masked(TEXT | COMPRESSED, b"\xff\xff\xff"), 1007)]
#[case::text_that_is_not_compressed(masked(TEXT | COMPRESSED, br#"{"type":"ping"}"#), 1007)]
#[case::expands_to_no_utf8(masked(TEXT | COMPRESSED, &deflated(b"\xff\xfe")), 1007)]
#[case::expands_to_half_a_character(masked(TEXT | COMPRESSED, &deflated(b"\xc3")), 1007)]
#[case::binary(masked(0x82 | COMPRESSED, &deflated(b"{}")), 1003)]
#[case::control_frame(masked(PING | COMPRESSED, b""), 1002)]
#[case::close_frame(masked(CLOSE | COMPRESSED, b""), 1002)]
#[case::continuation(
    [masked(TEXT & !FIN, b"{"), masked(FIN | COMPRESSED, b"}")].concat(),
    1002
)]
#[case::continuation_of_a_compressed_one(
    [masked((TEXT & !FIN) | COMPRESSED, b"\0"), masked(FIN | COMPRESSED, b"\0")].concat(),
    1002
)]
#[case::other_reserved_bit(masked(TEXT | COMPRESSED | 0x20, &deflated(b"{}")), 1002)]
#[case::too_long_before_it_expands(masked(TEXT | COMPRESSED, &vec![0; 65_537]), 1009)]
#[tokio::test]
async fn what_cannot_be_expanded_is_closed_with(#[case] bytes: Vec<u8>, #[case] code: u16) {
    let server = Server::start();
    let mut witness = compressing(&server, "/ws?topics=alerts").await;
    let mut wire = compressing(&server, "/ws?topics=alerts").await;
    wire.send(bytes).await;
    assert_eq!(wire.close_code().await, code);
    // What one client broke is whole for the next.
    check_alive(&mut witness).await;
}

#[tokio::test]
async fn nobody_may_compress_who_has_not_agreed_to() {
    let server = Server::start();
    for offers in [
        "",
        "Sec-WebSocket-Extensions: permessage-deflate; mood=good\r\n",
    ] {
        let (mut wire, agreed) = offering(&server, "/ws?topics=alerts", offers).await;
        assert_eq!(agreed, None);
        assert!(!message(&mut wire).await.0);
        command(&mut wire, &json!({"type": "ping"})).await;
        assert_eq!(wire.close_code().await, 1002);
    }
}

/// How often the server has encoded and compressed something.
async fn work(server: &Server) -> [u64; 2] {
    [
        server.counter("iaqverse_broadcast_encodes_total").await,
        server
            .counter("iaqverse_broadcast_compressions_total")
            .await,
    ]
}

#[rstest]
#[tokio::test]
async fn a_message_is_encoded_once_and_compressed_once_whoever_gets_it(
    #[values("1", "2")] threads: &str,
) {
    const MESSAGES: u32 = 40;
    let server = Server::with(&[("IAQ_WS_THREADS", threads), CROWDED]);
    let mut wires = Vec::new();
    for each in 0..50 {
        // Not all of them get it in the same way: whole topics, filters, other windows.
        let target = ["/ws", "/ws?topics=measurements"][each % 2];
        wires.push(plain(&server, target).await);
        let mut wire = if each % 10 == 0 {
            let offer =
                "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=12\r\n";
            let (mut wire, _) = offering(&server, target, offer).await;
            next(&mut wire).await;
            wire
        } else {
            compressing(&server, target).await
        };
        if each % 5 == 0 {
            command(
                &mut wire,
                &json!({"type": "unsubscribe", "topics": ["all", "measurements"]}),
            )
            .await;
            assert_eq!(next(&mut wire).await["type"], "unsubscribed");
            let filter = json!({"salle": "Bureau"});
            command(
                &mut wire,
                &json!({"type": "subscribe", "topics": ["measurements"], "filter": filter}),
            )
            .await;
            assert_eq!(next(&mut wire).await["type"], "subscribed");
        }
        wires.push(wire);
    }
    let before = work(&server).await;
    for each in 1..=MESSAGES / 2 {
        server.accept(&numbered("a", each)).await;
    }
    let batch: Value = (MESSAGES / 2 + 1..=MESSAGES)
        .map(|each| numbered("a", each))
        .collect();
    server.accept(&batch).await;
    for wire in &mut wires {
        for each in 1..=MESSAGES {
            assert_eq!(number(&next(wire).await), each);
        }
    }
    let after = work(&server).await;
    assert_eq!(
        [after[0] - before[0], after[1] - before[1]],
        [u64::from(MESSAGES); 2]
    );
}

#[tokio::test]
async fn what_nobody_gets_is_neither_encoded_nor_compressed() {
    let server = Server::with(&[ONE_SHARD]);
    let mut elsewhere = compressing(&server, "/ws?topics=alerts").await;
    let before = work(&server).await;
    server.accept(&numbered("a", 1)).await;
    check_alive(&mut elsewhere).await;
    assert_eq!(work(&server).await, before);
    // A plain client costs no compression.
    let mut plain = plain(&server, "/ws").await;
    server.accept(&numbered("a", 2)).await;
    assert_eq!(number(&next(&mut plain).await), 2);
    assert_eq!(work(&server).await, [before[0] + 1, before[1]]);
}

#[tokio::test]
async fn a_snapshot_that_many_ask_for_is_made_once_until_something_new_comes() {
    let server = Server::with(&[("IAQ_WS_THREADS", "2")]);
    let wanted = json!({"type": "subscribe", "topics": ["measurements"], "snapshot": true});
    let mut wires = Vec::new();
    for _ in 0..10 {
        wires.push(plain(&server, "/ws?topics=alerts").await);
        wires.push(compressing(&server, "/ws?topics=alerts").await);
    }
    for each in 1..=2 {
        server.accept(&numbered("a", each)).await;
        let before = work(&server).await;
        for wire in &mut wires {
            wire.send(masked(TEXT, wanted.to_string().as_bytes())).await;
            loop {
                // In the second round it gets the measurement too.
                let message = next(wire).await;
                if message["type"] == "snapshot" {
                    assert_eq!(number(&message["data"][0]), each);
                    break;
                }
            }
        }
        let after = work(&server).await;
        let live = u64::from(each == 2);
        assert!(after[0] - before[0] <= 1 + live, "{before:?} {after:?}");
        assert!(after[1] - before[1] <= 1 + live, "{before:?} {after:?}");
        assert!(after[0] > before[0] && after[1] > before[1]);
    }
}

/// Writes a block of deflate by hand (RFC 1951 §3.2.6), bit by bit.
#[derive(Default)]
struct FixedBlock {
    bytes: Vec<u8>,
    bits: u32,
}

impl FixedBlock {
    fn begin() -> Self {
        let mut block = Self::default();
        // Not the last one, with the fixed codes.
        block.number(0, 1);
        block.number(1, 2);
        block
    }

    fn bit(&mut self, bit: u32) {
        if self.bits.is_multiple_of(8) {
            self.bytes.push(0);
        }
        *self.bytes.last_mut().unwrap() |= u8::try_from(bit << (self.bits % 8)).unwrap();
        self.bits += 1;
    }

    /// The lowest bit first.
    fn number(&mut self, value: u32, bits: u32) {
        (0..bits).for_each(|at| self.bit(value >> at & 1));
    }

    /// The highest bit first.
    fn code(&mut self, value: u32, bits: u32) {
        (0..bits).rev().for_each(|at| self.bit(value >> at & 1));
    }

    fn text(mut self, text: &str) -> Self {
        for byte in text.bytes() {
            assert!(byte.is_ascii());
            self.code(0x30 + u32::from(byte), 8);
        }
        self
    }

    /// Ten bytes from 16 385 to 24 576 bytes ago.
    fn ten_bytes_from(mut self, distance: u32) -> Self {
        self.code(264 - 256, 7);
        self.code(28, 5);
        self.number(distance - 16_385, 13);
        self
    }

    fn end(mut self) -> Vec<u8> {
        self.code(0, 7);
        // An empty stored block, as a flush leaves it, without its tail.
        self.number(0, 3);
        self.bytes
    }
}

#[tokio::test]
async fn nobody_can_look_back_at_what_another_has_sent() {
    const SECRET: &str = "top secret";
    let server = Server::with(&[ONE_SHARD]);
    let own = FixedBlock::begin()
        .text(r#"{"type":"ping","id":"own"}"#)
        .end();
    let mut wire = compressing(&server, "/ws?topics=alerts").await;
    wire.send(masked(TEXT | COMPRESSED, &own)).await;
    assert_eq!(next(&mut wire).await["id"], "own");

    // More than a window of it, so that it lies wherever one could look.
    let secrets = json!({"type": "auth", "token": SECRET.repeat(5000)});
    let mut other = compressing(&server, "/ws?topics=alerts").await;
    command(&mut other, &secrets).await;
    assert_eq!(next(&mut other).await["type"], "authenticated");

    let look = FixedBlock::begin().text(r#"{"type":"ping","id":""#);
    wire.send(masked(
        TEXT | COMPRESSED,
        &look.ten_bytes_from(20_000).text(r#""}"#).end(),
    ))
    .await;
    // What lies before the beginning is nothing, which no text may have in it.
    assert_eq!(next(&mut wire).await["code"], "bad_json");
}
