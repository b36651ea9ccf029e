//! A client of server-sent events.

use super::PATIENCE;
use serde_json::Value;
use tokio::time::timeout;

/// What an event begins with that only keeps the stream open and tells the time.
pub const SIGN_OF_LIFE: &str = "event: time\ndata: ";

/// Whether a block of a stream is such an event.
pub fn is_sign_of_life(block: Option<&str>) -> bool {
    block.is_some_and(|block| block.starts_with(SIGN_OF_LIFE))
}

/// A stream of server-sent events.
pub struct Events {
    pub response: reqwest::Response,
    received: Vec<u8>,
}

/// One event, of which only these fields are ever used.
#[derive(Debug, PartialEq)]
pub struct Event {
    pub id: Option<String>,
    pub data: Value,
}

impl Events {
    pub async fn open(url: &str, headers: &[(&str, &str)]) -> Self {
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([])
            .build()
            .unwrap();
        let mut request = client.get(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = timeout(PATIENCE, request.send()).await.unwrap().unwrap();
        assert_eq!(response.status(), 200);
        Self {
            response,
            received: Vec::new(),
        }
    }

    /// The lines up to the next empty one, or a line that belongs to no event: a comment, or when to
    /// come back. `None` when the stream has come to its proper end.
    pub async fn block(&mut self) -> Option<String> {
        loop {
            let line = self.received.iter().position(|byte| *byte == b'\n');
            if let Some(end) = line
                && [&b":"[..], b"retry: "]
                    .iter()
                    .any(|start| self.received.starts_with(start))
            {
                let line: Vec<u8> = self.received.drain(..=end).take(end).collect();
                return Some(String::from_utf8(line).unwrap());
            }
            let end = self.received.windows(2).position(|two| two == b"\n\n");
            if let Some(end) = end {
                let block: Vec<u8> = self.received.drain(..end + 2).take(end).collect();
                return Some(String::from_utf8(block).unwrap());
            }
            let chunk = timeout(PATIENCE, self.response.chunk()).await;
            let Some(chunk) = chunk.expect("an event in time").unwrap() else {
                assert_eq!(self.received, b"", "half an event");
                return None;
            };
            self.received.extend_from_slice(&chunk);
        }
    }

    /// The next message; signs of life in between are skipped, as by pages that listen to messages.
    pub async fn next(&mut self) -> Event {
        let next = async {
            loop {
                let block = self.block().await.expect("an open stream");
                if !block.starts_with(SIGN_OF_LIFE) {
                    return block;
                }
            }
        };
        let block = timeout(PATIENCE, next).await.expect("an event in time");
        let (id, data) = match block
            .strip_prefix("id: ")
            .and_then(|it| it.split_once('\n'))
        {
            Some((id, data)) => (Some(id.to_owned()), data),
            None => (None, &*block),
        };
        let data = data.strip_prefix("data: ");
        let data = data.unwrap_or_else(|| panic!("no event: {block:?}"));
        Event {
            id,
            data: serde_json::from_str(data).unwrap(),
        }
    }

    /// The data of the next `count` events.
    pub async fn take(&mut self, count: usize) -> Vec<Value> {
        let mut messages = Vec::new();
        while messages.len() < count {
            messages.push(self.next().await.data);
        }
        messages
    }
}
