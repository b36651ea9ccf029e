use super::*;
use crate::clock::SystemClock;
use crate::webhook::address::AllowedNetworks;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use pretty_assertions::assert_eq;
use std::io;
use std::net::{IpAddr, TcpListener};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

/// A name's server that answers something else each time.
#[derive(Debug, Default)]
struct Fickle {
    answers: Mutex<Vec<Vec<IpAddr>>>,
    asked: Mutex<Vec<String>>,
}

impl Fickle {
    fn with(answers: &[&[&str]]) -> Arc<Self> {
        let parsed = answers.iter().rev().map(|addresses| {
            let addresses = addresses.iter();
            addresses.map(|text| text.parse().unwrap()).collect()
        });
        Arc::new(Self {
            answers: Mutex::new(parsed.collect()),
            asked: Mutex::default(),
        })
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock())
    }
}

impl Lookup for Fickle {
    fn lookup(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        self.asked.lock().push(name.to_owned());
        let answer = self.answers.lock().pop();
        Box::pin(async move { answer.ok_or_else(|| io::Error::other("no such name")) })
    }
}

fn reach(port: u16, networks: &[&str]) -> Reach {
    let networks: Vec<_> = networks.iter().map(|net| net.parse().unwrap()).collect();
    Reach::new(&[port], AllowedNetworks::new(&networks))
}

fn courier(lookup: &Arc<Fickle>, reach: Reach) -> Courier {
    let lookup: Arc<dyn Lookup> = Arc::<Fickle>::clone(lookup);
    Courier::asking(&lookup, reach, Arc::new(SystemClock))
}

async fn result(courier: &Courier, url: &str) -> Result<u16, Failure> {
    let delivery = Delivery {
        id: "3-17".to_owned(),
        body: b"{}".to_vec(),
    };
    let secret = SecretString::from("secret".to_owned());
    let attempt = courier.deliver(url, &secret, delivery).await;
    attempt.result.map(|status| status.as_u16())
}

/// A receiver on 127.0.0.1 and, on the same port, 127.0.0.2, where nobody may knock.
async fn receiver_and_forbidden() -> (MockServer, TcpListener, u16) {
    let (receiver, forbidden) = loop {
        let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = receiver.local_addr().unwrap().port();
        if let Ok(forbidden) = TcpListener::bind(("127.0.0.2", port)) {
            break (receiver, forbidden);
        }
    };
    forbidden.set_nonblocking(true).unwrap();
    let port = forbidden.local_addr().unwrap().port();
    let receiver = MockServer::builder().listener(receiver).start().await;
    let answer = Mock::given(any()).respond_with(ResponseTemplate::new(204));
    answer.mount(&receiver).await;
    (receiver, forbidden, port)
}

#[tokio::test]
async fn a_name_is_asked_once_and_what_it_said_is_where_the_delivery_goes() {
    let (receiver, forbidden, port) = receiver_and_forbidden().await;
    let names = Fickle::with(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let courier = courier(&names, reach(port, &["127.0.0.1/32"]));
    let url = format!("http://rebind.example:{port}/");
    assert_eq!(result(&courier, &url).await, Ok(204));
    assert_eq!(names.asked(), ["rebind.example"]);
    assert_eq!(receiver.received_requests().await.unwrap().len(), 1);
    // For the next one it is asked again, and its answer checked again.
    assert_eq!(result(&courier, &url).await, Err(Failure::NotAllowed));
    assert_eq!(names.asked(), ["rebind.example"]);
    assert!(forbidden.accept().is_err(), "somebody knocked");
}

#[tokio::test]
async fn a_name_that_was_public_when_it_was_added_leads_nowhere_else_later() {
    let (_receiver, forbidden, port) = receiver_and_forbidden().await;
    let names = Fickle::with(&[&["1.1.1.1"], &["127.0.0.2"]]);
    let courier = courier(&names, reach(port, &[]));
    let url = format!("https://rebind.example:{port}/");
    let target = courier.reach().check(&url).unwrap();
    courier.look_up(&target).await.unwrap();
    assert_eq!(result(&courier, &url).await, Err(Failure::NotAllowed));
    assert!(forbidden.accept().is_err(), "somebody knocked");
}

#[tokio::test]
async fn one_address_that_is_not_allowed_spoils_all() {
    let (receiver, forbidden, port) = receiver_and_forbidden().await;
    let mixed: [&[&str]; 4] = [
        &["127.0.0.1", "127.0.0.2"],
        &["127.0.0.1", "::ffff:10.0.0.1"],
        &["169.254.169.254"],
        &[],
    ];
    let names = Fickle::with(&mixed);
    let courier = courier(&names, reach(port, &["127.0.0.1/32"]));
    let url = format!("http://mixed.example:{port}/");
    // And once for a name that nobody knows.
    for _ in 0..=mixed.len() {
        assert_eq!(result(&courier, &url).await, Err(Failure::NotAllowed));
    }
    assert_eq!(receiver.received_requests().await.unwrap().len(), 0);
    assert!(forbidden.accept().is_err(), "somebody knocked");
}

#[tokio::test]
async fn http_leads_to_allowed_networks_only() {
    let (receiver, _forbidden, port) = receiver_and_forbidden().await;
    let names = Fickle::with(&[&["1.1.1.1"], &["1.1.1.1"]]);
    let courier = courier(&names, reach(port, &["127.0.0.1/32"]));
    let plain = format!("http://public.example:{port}/");
    assert_eq!(result(&courier, &plain).await, Err(Failure::NotAllowed));
    let target = courier.reach().check(&plain).unwrap();
    assert_eq!(courier.look_up(&target).await, Err(NoAddress));
    assert_eq!(receiver.received_requests().await.unwrap().len(), 0);
}

#[tokio::test]
async fn what_is_allowed_is_asked_at_each_delivery() {
    let (receiver, _forbidden, port) = receiver_and_forbidden().await;
    let courier = courier(&Fickle::with(&[]), reach(port, &[]));
    for url in [
        format!("http://127.0.0.1:{port}/"),
        format!("https://127.0.0.1:{port}/"),
        format!("https://[::ffff:127.0.0.1]:{port}/"),
        format!("https://2130706433:{port}/"),
        format!("https://ada@127.0.0.1:{port}/"),
    ] {
        assert_eq!(result(&courier, &url).await, Err(Failure::NotAllowed));
    }
    assert_eq!(receiver.received_requests().await.unwrap().len(), 0);
}

#[tokio::test]
async fn nobody_there_is_refused() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = gone.local_addr().unwrap().port();
    drop(gone);
    let courier = courier(&Fickle::with(&[]), reach(port, &["127.0.0.0/8"]));
    let url = format!("http://127.0.0.1:{port}/");
    assert_eq!(result(&courier, &url).await, Err(Failure::Refused));
}
