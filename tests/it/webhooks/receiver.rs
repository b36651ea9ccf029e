//! Another system that measurements are posted to, and a server that may do so.

use crate::access::stage::{Stage, admin, operator};
use crate::harness::{PATIENCE, numbered};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

/// Deliveries that nobody has looked at yet.
const DELIVERIES_MAX: usize = 10_000;

pub struct Receiver {
    server: MockServer,
    deliveries: Mutex<mpsc::Receiver<Delivery>>,
    status: Arc<AtomicU16>,
}

/// One request that came.
#[derive(Debug)]
pub struct Delivery {
    pub path: String,
    pub id: String,
    pub timestamp: String,
    pub signature: String,
    pub content_type: String,
    pub bytes: Vec<u8>,
    pub body: Value,
    /// How it was answered.
    pub status: u16,
}

impl Receiver {
    pub async fn start() -> Self {
        let server = MockServer::start().await;
        let (sender, deliveries) = mpsc::channel(DELIVERIES_MAX);
        let status = Arc::new(AtomicU16::new(204));
        let answered = Arc::clone(&status);
        let respond = move |request: &Request| {
            let status = answered.load(Ordering::SeqCst);
            let delivery = Delivery::of(request, status);
            sender.try_send(delivery).unwrap();
            ResponseTemplate::new(status)
        };
        Mock::given(any())
            .respond_with(respond)
            .mount(&server)
            .await;
        Self {
            server,
            deliveries: Mutex::new(deliveries),
            status,
        }
    }

    pub fn port(&self) -> u16 {
        self.server.address().port()
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server.uri())
    }

    /// Answers with this status from now on.
    pub fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    /// The next delivery, whatever it was answered.
    pub async fn next(&self) -> Delivery {
        let mut deliveries = self.deliveries.lock().await;
        let delivery = timeout(PATIENCE, deliveries.recv()).await;
        delivery.expect("a delivery in time").unwrap()
    }

    /// The next delivery that was taken.
    pub async fn taken(&self) -> Delivery {
        loop {
            let delivery = self.next().await;
            if delivery.status == 204 {
                return delivery;
            }
        }
    }

    /// The CO2 of the messages that were taken, up to and with `last`.
    pub async fn numbers_up_to(&self, last: u32) -> Vec<u32> {
        let mut numbers = Vec::new();
        while numbers.last() != Some(&last) {
            numbers.extend(self.taken().await.numbers());
        }
        numbers
    }
}

impl Delivery {
    fn of(request: &Request, status: u16) -> Self {
        let header = |name: &str| {
            let value = request.headers.get(name);
            value.map_or_else(String::new, |it| it.to_str().unwrap().to_owned())
        };
        Self {
            path: request.url.path().to_owned(),
            id: header("x-iaqverse-delivery"),
            timestamp: header("x-iaqverse-timestamp"),
            signature: header("x-iaqverse-signature"),
            content_type: header("content-type"),
            body: serde_json::from_slice(&request.body).unwrap(),
            bytes: request.body.clone(),
            status,
        }
    }

    pub fn messages(&self) -> &[Value] {
        self.body["messages"].as_array().unwrap()
    }

    pub fn numbers(&self) -> Vec<u32> {
        self.messages().iter().map(crate::harness::number).collect()
    }

    /// Whether it is signed with this secret.
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(format!("{}.", self.timestamp).as_bytes());
        mac.update(&self.bytes);
        let claimed = self.signature.strip_prefix("sha256=").unwrap();
        let hex = |byte: &u8| [byte >> 4, byte & 15].map(|it| char::from_digit(it.into(), 16));
        let code = mac.finalize().into_bytes();
        claimed.chars().map(Some).eq(code.iter().flat_map(hex))
    }
}

/// A server whose webhooks may lead to these ports of this machine.
pub async fn stage_reaching(ports: &[u16], settings: &[(&str, &str)]) -> Stage {
    let ports: Vec<_> = ports.iter().map(ToString::to_string).collect();
    let reach = [
        ("IAQ_WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8"),
        ("IAQ_WEBHOOK_PORTS", &ports.join(",")),
    ];
    Stage::with(&[&reach[..], settings].concat()).await
}

impl Stage {
    /// Adds a webhook and gives the answer back.
    pub async fn webhook(&self, body: &Value) -> Value {
        self.json("POST /api/webhooks", &admin(), Some(body)).await
    }

    /// The only webhook there is.
    pub async fn the_webhook(&self) -> Value {
        let listed = self.json("GET /api/webhooks", &admin(), None).await;
        assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
        listed[0].clone()
    }

    /// What a test delivery of a webhook came to.
    pub async fn try_out(&self, webhook: &Value) -> Value {
        let id = webhook["id"].as_str().unwrap();
        let call = format!("POST /api/webhooks/{id}/test");
        self.json(&call, &admin(), None).await
    }

    /// Stores a reading of `bureau1` for each number, in one request.
    pub async fn post_numbers(&self, numbers: impl IntoIterator<Item = u32>) {
        let readings: Value = numbers
            .into_iter()
            .map(|number| numbered("bureau1", number))
            .collect();
        let who = operator();
        let posted = self.call("POST /api/ingest", &who, Some(&readings)).await;
        assert_eq!(posted.status(), 200);
    }

    /// Looks at the only webhook until it is as it must be.
    pub async fn webhook_becomes(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut looks = tokio::time::interval(std::time::Duration::from_millis(50));
        let found = async {
            loop {
                looks.tick().await;
                let webhook = self.the_webhook().await;
                if wanted(&webhook) {
                    return webhook;
                }
            }
        };
        timeout(PATIENCE, found).await.expect("it becomes so")
    }
}

/// A webhook to `url` for everything.
pub fn to(url: &str) -> Value {
    json!({"url": url})
}
