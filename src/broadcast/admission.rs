//! Who comes in of those whose handshake was answered.
//!
//! A client may not have said yet who it is: browsers cannot set headers, and a token in an address
//! may end up in a log, so the first message may bring it. Until then nothing is sent and nothing else
//! is heard.

use super::client::CLOSE_WAIT_MAX;
use super::encoding::Encoding;
use super::frame::{self, Decoder, Frame, close};
use super::hang_up::{End, hang_up};
use super::protocol::{self, ClientCommand, CommandError};
use super::rate::{RateBudget, TOO_MANY_OVERHEAD_FRAMES};
use super::shard::Shard;
use super::state::Seat;
use crate::access::{Access, Attempt, AuthMode, Caller, Cost, Denied, Limited, Need, Refusal};
use crate::domain::TopicSet;
use bytes::{Bytes, BytesMut};
use std::net::IpAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// Largest message a client may send, in bytes.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// What conformance tests send and expect back.
pub(super) const ECHO_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long the token may take to come.
const TOKEN_WAIT_MAX: Duration = Duration::from_secs(5);

/// Who somebody at the door is.
#[derive(Debug)]
pub(super) enum Visitor {
    Known(Caller),
    /// Has shown nothing yet.
    Unknown,
    Refused(Refusal),
}

/// What the handshake found out about a connection.
#[derive(Debug)]
pub(super) struct Newcomer {
    /// Taken by whoever serves it.
    pub(super) stream: Option<std::net::TcpStream>,
    pub(super) seat: Seat,
    pub(super) visitor: Visitor,
    pub(super) topics: TopicSet,
    pub(super) encoding: Encoding,
    /// A topic of the query that does not exist; told to the client, for a browser cannot see why a
    /// handshake was refused.
    pub(super) error: Option<CommandError>,
    pub(super) address: Option<IpAddr>,
    /// Bytes the client sent right behind its handshake.
    pub(super) received: Bytes,
    pub(super) request_id: Box<str>,
    /// Send everything back instead.
    pub(super) echo: bool,
}

/// Somebody who has come in, and what was read meanwhile.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) newcomer: Newcomer,
    pub(super) caller: Caller,
    /// The token came in the first message, which wants an answer.
    pub(super) is_late: bool,
    pub(super) stream: TcpStream,
    pub(super) decoder: Decoder,
    pub(super) unread: BytesMut,
}

/// Why a visitor does not come in.
#[derive(Debug)]
enum TurnedAway {
    Refused(&'static str),
    /// It left by itself, or was never there.
    Gone,
}

/// The path of the handshake.
pub(super) const PATH: &str = "/ws";
/// What a stream needs, however it is begun.
pub(super) const NEED: Need = Need::VIEWER;

impl Visitor {
    /// Asks for what the call declares to need, wherever the credentials are shown: in the handshake,
    /// in the first message or on a live connection.
    pub(super) fn of(
        access: &Access,
        credential: Option<&str>,
        address: Option<IpAddr>,
    ) -> Result<Self, Limited> {
        if credential.is_none() && access.mode() == AuthMode::Required {
            return Ok(Self::Unknown);
        }
        let admitted = access.admit(&Attempt {
            credential,
            address,
            need: Some(NEED),
            cost: Cost::Beginning,
        });
        match admitted {
            Ok(admitted) => Ok(Self::Known(admitted.caller)),
            Err(Denied::Refused(refusal)) => Ok(Self::Refused(refusal)),
            Err(Denied::Role(_)) => Ok(Self::Refused(Refusal::NoRole)),
            Err(Denied::Limited(limited)) => Err(limited),
        }
    }
}

/// Why a connection is closed whose first message brings no token.
const TOKEN_NEEDED: &str = "a token is needed";
/// Why a connection is closed whose address has shown too many credentials that were refused.
const TOO_MANY_REFUSED: &str = "too many credentials were refused";

/// Whoever may come in does.
pub(super) async fn admit(shard: &Shard, mut newcomer: Newcomer) -> Option<Admitted> {
    let stream = newcomer.stream.take()?;
    let mut stream = match TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => {
            tracing::warn!(%error, "a connection could not be taken over");
            return None;
        }
    };
    let compressed = matches!(newcomer.encoding, Encoding::Compressed(_));
    let message_bytes_max = if newcomer.echo {
        ECHO_BYTES_MAX
    } else {
        MESSAGE_BYTES_MAX
    };
    let mut decoder = Decoder::new(message_bytes_max, compressed);
    let mut unread = BytesMut::from(&newcomer.received[..]);
    let visitor = std::mem::replace(&mut newcomer.visitor, Visitor::Unknown);
    let is_late = matches!(visitor, Visitor::Unknown);
    let caller = match visitor {
        Visitor::Known(caller) => Ok(caller),
        Visitor::Refused(refusal) => Err(TurnedAway::Refused(refusal.detail())),
        Visitor::Unknown => {
            let waiting = wait_for_token(
                shard,
                &mut stream,
                &mut decoder,
                &mut unread,
                newcomer.address,
            );
            tokio::select! {
                caller = waiting => caller,
                () = shard.hub.shutdown().begun() => Err(TurnedAway::Gone),
            }
        }
    };
    match caller {
        Ok(caller) => Some(Admitted {
            newcomer,
            caller,
            is_late,
            stream,
            decoder,
            unread,
        }),
        Err(away) => {
            turn_away(stream, away, &newcomer).await;
            None
        }
    }
}

async fn turn_away(mut stream: TcpStream, away: TurnedAway, newcomer: &Newcomer) {
    let TurnedAway::Refused(reason) = away else {
        return;
    };
    tracing::info!(
        address = ?newcomer.address,
        request_id = newcomer.request_id,
        reason,
        "client refused"
    );
    let goodbye = frame::goodbye(close::POLICY, reason);
    let written = stream.write_all(&goodbye);
    if matches!(timeout(CLOSE_WAIT_MAX, written).await, Ok(Ok(()))) {
        hang_up(stream, End::Agreed).await;
    }
}

/// Waits for the token in the first message. What comes behind it is left in `unread`.
async fn wait_for_token(
    shard: &Shard,
    stream: &mut TcpStream,
    decoder: &mut Decoder,
    unread: &mut BytesMut,
    address: Option<IpAddr>,
) -> Result<Caller, TurnedAway> {
    let token = first_token(shard, stream, decoder, unread);
    let token = match timeout(TOKEN_WAIT_MAX, token).await {
        Ok(token) => token?,
        Err(_elapsed) => return Err(TurnedAway::Refused(TOKEN_NEEDED)),
    };
    match Visitor::of(shard.hub.access(), Some(&token), address) {
        Ok(Visitor::Known(caller)) => Ok(caller),
        Ok(Visitor::Refused(refusal)) => Err(TurnedAway::Refused(refusal.detail())),
        Ok(Visitor::Unknown) => Err(TurnedAway::Refused(TOKEN_NEEDED)),
        Err(_limited) => Err(TurnedAway::Refused(TOO_MANY_REFUSED)),
    }
}

async fn first_token(
    shard: &Shard,
    stream: &mut TcpStream,
    decoder: &mut Decoder,
    unread: &mut BytesMut,
) -> Result<String, TurnedAway> {
    let mut overhead_frames = RateBudget::of_overhead_frames();
    loop {
        while let Some(frame) = next_frame(shard, decoder, unread)? {
            if frame.is_overhead() && !overhead_frames.take(Instant::now()) {
                return Err(TurnedAway::Refused(TOO_MANY_OVERHEAD_FRAMES));
            }
            let answer: Bytes = match frame {
                Frame::Text(text) => match protocol::parse(&text) {
                    Ok(ClientCommand::Auth { token }) => return Ok(token),
                    _ => return Err(TurnedAway::Refused(TOKEN_NEEDED)),
                },
                Frame::Ping(payload) => frame::pong(&payload),
                Frame::Fragment | Frame::Pong => continue,
                Frame::Binary(_) => return Err(TurnedAway::Refused(TOKEN_NEEDED)),
                Frame::Close(_) => return Err(TurnedAway::Gone),
            };
            let written = stream.write_all(&answer).await;
            written.map_err(|_broken| TurnedAway::Gone)?;
        }
        match stream.read_buf(unread).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return Err(TurnedAway::Gone),
        }
    }
}

fn next_frame(
    shard: &Shard,
    decoder: &mut Decoder,
    unread: &mut BytesMut,
) -> Result<Option<Frame>, TurnedAway> {
    let mut received = &unread[..];
    let frame = decoder.decode(&mut received, &mut shard.inflater.borrow_mut());
    let left = received.len();
    let read = unread.len() - left;
    drop(unread.split_to(read));
    frame.map_err(|_violation| TurnedAway::Refused("the protocol was broken"))
}
