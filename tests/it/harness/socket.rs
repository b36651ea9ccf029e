//! A WebSocket client, message by message.

use super::PATIENCE;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// A WebSocket client.
pub struct Socket(pub WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    pub async fn open(
        url: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, tokio_tungstenite::tungstenite::Error> {
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let connected = timeout(PATIENCE, tokio_tungstenite::connect_async(request))
            .await
            .unwrap();
        connected.map(|(socket, _)| Self(socket))
    }

    /// The next text message; pings in between are answered by the library.
    pub async fn next(&mut self) -> Value {
        match self.next_message().await {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("not a text message: {other:?}"),
        }
    }

    /// The next message that is no ping or pong.
    pub async fn next_message(&mut self) -> Message {
        let next = async {
            loop {
                let message = self.0.next().await.expect("an open connection");
                match message.unwrap() {
                    Message::Ping(_) | Message::Pong(_) => {}
                    message => return message,
                }
            }
        };
        timeout(PATIENCE, next).await.expect("a message in time")
    }

    /// The code of the close frame that comes next.
    pub async fn close_code(&mut self) -> u16 {
        match self.next_message().await {
            Message::Close(Some(frame)) => frame.code.into(),
            other => panic!("not a close frame with a code: {other:?}"),
        }
    }

    pub async fn send(&mut self, message: &Value) {
        self.0
            .send(Message::text(message.to_string()))
            .await
            .unwrap();
    }

    /// Everything received before the answer to a ping sent now.
    pub async fn drain(&mut self) -> Vec<Value> {
        self.send(&json!({"type": "ping", "id": "drain"})).await;
        let mut messages = Vec::new();
        loop {
            let message = self.next().await;
            if message["type"] == "pong" && message["id"] == "drain" {
                return messages;
            }
            messages.push(message);
        }
    }
}

pub fn subscribe(topics: &[&str]) -> Value {
    json!({"type": "subscribe", "topics": topics})
}

/// The command of a client that comes back and has seen everything up to `since`.
pub fn resume(topics: &[&str], since: &Value) -> Value {
    json!({"type": "subscribe", "topics": topics, "since": since})
}

/// Sends a command and gives its answer back.
pub async fn ask(socket: &mut Socket, command: &Value) -> Value {
    socket.send(command).await;
    socket.next().await
}

impl Socket {
    /// The next `count` messages.
    pub async fn take(&mut self, count: usize) -> Vec<Value> {
        let mut messages = Vec::new();
        while messages.len() < count {
            messages.push(self.next().await);
        }
        messages
    }
}
