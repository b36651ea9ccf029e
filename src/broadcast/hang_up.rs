//! Closes a TCP connection so that its last close frame still arrives.

use super::client::CLOSE_WAIT_MAX;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio::time::timeout;

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Close frames went both ways.
    Agreed,
    /// The peer is gone, or gave no answer.
    Broken,
}

/// Ends the connection so that a last close frame is not lost: a socket closed with unread bytes
/// resets the connection, which throws away what the peer has not read yet.
pub(super) async fn hang_up(stream: TcpStream, end: End) {
    match end {
        End::Agreed => {
            let mut stream = stream;
            let drained = async {
                stream.shutdown().await?;
                let mut rest = [0; 512];
                while stream.read(&mut rest).await? > 0 {
                    yield_now().await;
                }
                io::Result::Ok(())
            };
            // Whatever went wrong, the connection is over.
            drop(timeout(CLOSE_WAIT_MAX, drained).await);
        }
        // A peer that reads nothing would keep our unsent bytes for ever: reset it.
        End::Broken => drop(stream.set_zero_linger()),
    }
}
