//! Bytes on a connection, as a client sends them that keeps to no library.

use super::PATIENCE;
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// An HTTP answer exactly as it came.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// Every value of a header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let same = |header: &&(String, String)| header.0.eq_ignore_ascii_case(name);
        self.headers
            .iter()
            .filter(same)
            .map(|(_, value)| value.as_str())
            .collect()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The body, after checking that it is the problem it must be.
    pub fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(
            self.all("content-type"),
            ["application/problem+json"],
            "{self:?}"
        );
        let body = self.json();
        assert_eq!(
            (&body["status"], &body["code"]),
            (&json!(status), &json!(code)),
            "{self:?}"
        );
        assert_eq!(
            body["request_id"].as_str(),
            self.header("x-request-id"),
            "{self:?}"
        );
        body
    }
}

/// A connection that sends just the bytes it is given and hides nothing of what comes back.
pub struct Wire {
    pub stream: TcpStream,
    received: Vec<u8>,
}

/// First byte of a whole frame of each kind.
pub const TEXT: u8 = 0x81;
pub const BINARY: u8 = 0x82;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;
pub const PONG: u8 = 0x8a;

/// The handshake of RFC 6455 §1.3 for `target`, with further header lines.
pub fn handshake(target: &str, further: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: server\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{further}\r\n"
    )
}

/// A frame as clients send it.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | u8::try_from(length).unwrap()),
        length @ 126..=0xffff => {
            frame.push(0x80 | 0x7e);
            frame.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            frame.push(0x80 | 0x7f);
            frame.extend_from_slice(&u64::try_from(length).unwrap().to_be_bytes());
        }
    }
    frame.extend_from_slice(&MASK);
    frame.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    frame
}

impl Wire {
    pub async fn open(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap())
    }

    pub fn over(stream: TcpStream) -> Self {
        Self {
            stream,
            received: Vec::new(),
        }
    }

    /// A WebSocket past its welcome.
    pub async fn upgraded(stream: TcpStream) -> Self {
        let mut wire = Self::over(stream);
        wire.send(handshake("/ws", "")).await;
        assert_eq!(wire.answer().await.status, 101);
        assert_eq!(wire.frame().await.0, TEXT);
        wire
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        use tokio::io::AsyncWriteExt;
        timeout(PATIENCE, self.stream.write_all(bytes.as_ref()))
            .await
            .unwrap()
            .unwrap();
    }

    /// Receives more; `false` when the server has ended the connection, politely or not.
    async fn more(&mut self) -> bool {
        use tokio::io::AsyncReadExt;
        let read = self.stream.read_buf(&mut self.received);
        let count = timeout(PATIENCE, read).await.expect("bytes in time");
        count.is_ok_and(|count| count > 0)
    }

    /// At least `count` bytes.
    async fn need(&mut self, count: usize) {
        while self.received.len() < count {
            assert!(
                self.more().await,
                "ended: {}",
                String::from_utf8_lossy(&self.received)
            );
        }
    }

    /// The next answer, whose body must have a declared length or none.
    pub async fn answer(&mut self) -> Answer {
        let head_length = loop {
            match self
                .received
                .windows(4)
                .position(|bytes| bytes == b"\r\n\r\n")
            {
                Some(position) => break position + 4,
                None => self.need(self.received.len() + 1).await,
            }
        };
        let head: Vec<u8> = self.received.drain(..head_length).collect();
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines
            .next()
            .unwrap()
            .split(' ')
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        let headers = lines
            .map(|line| line.split_once(':').unwrap())
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        let mut answer = Answer {
            status,
            headers,
            body: Vec::new(),
        };
        assert_eq!(answer.header("transfer-encoding"), None, "{answer:?}");
        let length = answer
            .header("content-length")
            .map_or(0, |length| length.parse().unwrap());
        self.need(length).await;
        answer.body = self.received.drain(..length).collect();
        answer
    }

    /// The first byte and the payload of the next WebSocket frame.
    pub async fn frame(&mut self) -> (u8, Vec<u8>) {
        self.need(2).await;
        let (first, second) = (self.received[0], self.received[1]);
        assert_eq!(second & 0x80, 0, "a server does not mask");
        let (header, length) = match second {
            126 => {
                self.need(4).await;
                (
                    4,
                    u16::from_be_bytes(self.received[2..4].try_into().unwrap()).into(),
                )
            }
            127 => {
                self.need(10).await;
                let length = u64::from_be_bytes(self.received[2..10].try_into().unwrap());
                (10, usize::try_from(length).unwrap())
            }
            length => (2, length.into()),
        };
        self.need(header + length).await;
        let payload = self
            .received
            .drain(..header + length)
            .skip(header)
            .collect();
        (first, payload)
    }

    /// The next line, without its end.
    pub async fn line(&mut self) -> String {
        let length = loop {
            match self.received.iter().position(|byte| *byte == b'\n') {
                Some(position) => break position + 1,
                None => self.need(self.received.len() + 1).await,
            }
        };
        let line: Vec<u8> = self.received.drain(..length).collect();
        let line = String::from_utf8(line).unwrap();
        line.trim_end_matches(['\r', '\n']).to_owned()
    }

    /// The code of the close frame that comes next.
    pub async fn close_code(&mut self) -> u16 {
        let (first, payload) = self.frame().await;
        assert_eq!(first, CLOSE, "{}", String::from_utf8_lossy(&payload));
        u16::from_be_bytes(payload[..2].try_into().unwrap())
    }

    /// Everything that comes until the server ends the connection.
    pub async fn rest(&mut self) -> String {
        timeout(PATIENCE, async { while self.more().await {} })
            .await
            .expect("the end in time");
        String::from_utf8_lossy(&std::mem::take(&mut self.received)).into_owned()
    }
}
