//! A WebSocket of somebody who has not said yet who he is.
//!
//! Browsers cannot set headers, and a token in an address may end up in a log, so the first message
//! may bring it. Until then nothing is sent and nothing else is heard.

use super::frame::{self, Decoder, Frame};
use super::protocol::{self, Command};
use super::shard::Shard;
use crate::access::{Caller, Refusal, Who};
use bytes::{Bytes, BytesMut};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

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

/// Why a visitor does not come in.
#[derive(Debug)]
pub(super) enum TurnedAway {
    Refused(&'static str),
    /// It left by itself, or was never there.
    Gone,
}

impl Visitor {
    /// A device writes and has nothing to do here.
    pub(super) fn of(caller: Result<Caller, Refusal>) -> Self {
        match caller {
            Ok(caller) if is_device(&caller) => Self::Refused(Refusal::NoRole),
            Ok(caller) => Self::Known(caller),
            Err(Refusal::Missing) => Self::Unknown,
            Err(refusal) => Self::Refused(refusal),
        }
    }
}

pub(super) fn is_device(caller: &Caller) -> bool {
    matches!(caller.who(), Who::Device { .. })
}

/// Why a connection is closed that shows no token.
pub(super) const TOKEN_NEEDED: &str = "a token is needed";
/// Why one is closed that is refused.
pub(super) const fn reason(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Missing => TOKEN_NEEDED,
        Refusal::BadToken => "the token is not valid",
        Refusal::Expired => "the token has expired",
        Refusal::BadKey => "the key is not valid",
        Refusal::Revoked => "the credentials were revoked",
        Refusal::NoRole => "these credentials are not for this",
    }
}

/// Waits for the token in the first message. What comes behind it is left in `unread`.
pub(super) async fn wait_for_token(
    shard: &Shard,
    stream: &mut TcpStream,
    decoder: &mut Decoder,
    unread: &mut BytesMut,
) -> Result<Caller, TurnedAway> {
    let token = first_token(shard, stream, decoder, unread);
    let token = match timeout(TOKEN_WAIT_MAX, token).await {
        Ok(token) => token?,
        Err(_elapsed) => return Err(TurnedAway::Refused(TOKEN_NEEDED)),
    };
    match Visitor::of(shard.hub.access().caller(Some(&token))) {
        Visitor::Known(caller) => Ok(caller),
        Visitor::Refused(refusal) => Err(TurnedAway::Refused(reason(refusal))),
        Visitor::Unknown => Err(TurnedAway::Refused(TOKEN_NEEDED)),
    }
}

async fn first_token(
    shard: &Shard,
    stream: &mut TcpStream,
    decoder: &mut Decoder,
    unread: &mut BytesMut,
) -> Result<String, TurnedAway> {
    loop {
        while let Some(frame) = next_frame(shard, decoder, unread)? {
            let answer: Bytes = match frame {
                Frame::Text(text) => match protocol::parse(&text) {
                    Ok(Command::Auth { token }) => return Ok(token),
                    _ => return Err(TurnedAway::Refused(TOKEN_NEEDED)),
                },
                Frame::Ping(payload) => frame::pong(&payload),
                Frame::Pong => continue,
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
