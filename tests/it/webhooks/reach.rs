//! Where nothing is delivered, whatever a URL looks like.

use super::receiver::{Receiver, stage_reaching, to};
use crate::access::stage::{Stage, admin};
use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use std::net::TcpListener;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

/// Ports of this machine where nobody may knock, on both loopback addresses where there are two.
struct Forbidden {
    port: u16,
    listeners: Vec<TcpListener>,
}

impl Forbidden {
    fn listen() -> Self {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        let second = TcpListener::bind(("::1", port));
        let listeners: Vec<_> = [Ok(first), second].into_iter().flatten().collect();
        for listener in &listeners {
            listener.set_nonblocking(true).unwrap();
        }
        Self { port, listeners }
    }

    fn is_untouched(&self) -> bool {
        self.listeners
            .iter()
            .all(|listener| listener.accept().is_err())
    }
}

#[tokio::test]
async fn every_hostile_url_is_refused_and_nobody_is_called() {
    let forbidden = Forbidden::listen();
    let port = forbidden.port;
    let stage = Stage::with(&[("IAQ_WEBHOOK_PORTS", &port.to_string())]).await;
    let hosts = [
        "127.0.0.1",
        "localhost",
        "localhost.",
        "LOCALHOST",
        "127.1",
        "0x7f000001",
        "0x7f.1",
        "2130706433",
        "0177.0.0.1",
        "127.0.0.1.",
        "%31%32%37.0.0.1",
        "①②⑦.0.0.1",
        "0",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[::ffff:10.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "169.254.169.254",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "name.invalid",
    ];
    for host in hosts {
        for scheme in ["https", "http"] {
            let url = format!("{scheme}://{host}:{port}/latest/meta-data/");
            let response = stage
                .call("POST /api/webhooks", &admin(), Some(&to(&url)))
                .await;
            assert_eq!(response.status(), 422, "{url}");
            let problem: Value = response.json().await.unwrap();
            assert_eq!(problem["errors"][0]["pointer"], "/url", "{url}");
            // The same for whatever is there, so that nothing is learnt of it.
            assert_eq!(problem["errors"][0]["code"], "address_not_allowed", "{url}");
        }
    }
    for (url, code) in [
        (format!("https://ada:secret@127.0.0.1:{port}/"), "userinfo"),
        (format!("https://1.1.1.1@127.0.0.1:{port}/"), "userinfo"),
        (format!("ftp://127.0.0.1:{port}/"), "bad_scheme"),
        ("file:///etc/passwd".to_owned(), "bad_scheme"),
        ("gopher://127.0.0.1:6379/_".to_owned(), "bad_scheme"),
        ("https://1.1.1.1:22/".to_owned(), "port_not_allowed"),
        ("http://1.1.1.1/".to_owned(), "address_not_allowed"),
        ("https://".to_owned(), "bad_url"),
        ("127.0.0.1".to_owned(), "bad_url"),
        (String::new(), "bad_url"),
        (format!("https://a.example/{}", "x".repeat(2048)), "bad_url"),
    ] {
        let response = stage
            .call("POST /api/webhooks", &admin(), Some(&to(&url)))
            .await;
        assert_eq!(response.status(), 422, "{url}");
        let problem: Value = response.json().await.unwrap();
        assert_eq!(problem["errors"][0]["code"], code, "{url}");
    }
    let listed = stage.json("GET /api/webhooks", &admin(), None).await;
    assert_eq!(listed, json!([]));
    assert!(forbidden.is_untouched(), "somebody knocked");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let forbidden = Forbidden::listen();
    for status in [301, 302, 303, 307, 308] {
        let receiver = MockServer::start().await;
        let elsewhere = format!("http://127.0.0.1:{}/", forbidden.port);
        let answer = ResponseTemplate::new(status).insert_header("location", elsewhere.as_str());
        Mock::given(any())
            .respond_with(answer)
            .mount(&receiver)
            .await;
        // Where it leads would be allowed.
        let ports = [receiver.address().port(), forbidden.port];
        let stage = stage_reaching(&ports, &[]).await;
        let webhook = stage.webhook(&to(&receiver.uri())).await;
        let result = stage.try_out(&webhook).await;
        assert_eq!(result["reason"], format!("status {status}"));
        assert_eq!(receiver.received_requests().await.unwrap().len(), 1);
    }
    assert!(forbidden.is_untouched(), "somebody knocked");
}

#[tokio::test]
async fn a_proxy_of_the_environment_is_not_used() {
    let forbidden = Forbidden::listen();
    let receiver = Receiver::start().await;
    let proxy = format!("http://127.0.0.1:{}", forbidden.port);
    let settings = ["http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"].map(|it| (it, &*proxy));
    let stage = stage_reaching(&[receiver.port()], &settings).await;
    let webhook = stage.webhook(&to(&receiver.url("/"))).await;
    assert_eq!(stage.try_out(&webhook).await["delivered"], true);
    assert!(forbidden.is_untouched(), "somebody knocked");
}
