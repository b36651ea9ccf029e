//! How much somebody may ask for.

use super::stage::{Credentials, Stage, viewer};
use crate::harness::{Server, Wire, client, handshake};
use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use std::time::Instant;

/// What all limits are set to here, and what passes at once: two seconds' worth.
const RATE_PER_S: f64 = 20.0;
const BURST: usize = 40;

/// The first request that is answered 429, after as many as the limit says.
async fn refused(mut request: impl AsyncFnMut(usize) -> reqwest::Response) -> reqwest::Response {
    let begun = Instant::now();
    for number in 0..1000 {
        let response = request(number).await;
        if response.status() == 429 {
            assert_is_the_burst(number, begun);
            return response;
        }
    }
    panic!("there is no limit");
}

/// Besides the burst, only what has come back since may pass.
fn assert_is_the_burst(passed: usize, begun: Instant) {
    let more = passed.checked_sub(BURST).expect("the whole burst passes");
    let back = RATE_PER_S * begun.elapsed().as_secs_f64();
    assert!(
        f64::from(u32::try_from(more).unwrap()) <= back + 1.0,
        "{passed} passed, {back} have come back"
    );
}

async fn post(server: &Server, who: &Credentials, headers: &[(&str, String)]) -> reqwest::Response {
    let reading = json!({"sensor_id": "bureau1", "enseigne": "Maison", "salle": "Bureau",
        "values": {"CO2": 645}});
    let mut request = client().post(server.url("/api/ingest")).json(&reading);
    if let Some((name, value)) = &who.0 {
        request = request.header(*name, value);
    }
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    request.send().await.unwrap()
}

#[tokio::test]
async fn too_many_requests_are_told_when_to_come_back() {
    let server = Server::with(&[("IAQ_RATE_INGEST", "20")]);
    let refused = refused(async |_| post(&server, &Credentials::none(), &[]).await).await;
    let header = |name: &str| refused.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("retry-after"), "1");
    assert_eq!(header("ratelimit-policy"), "\"ingest\";q=40;w=2");
    assert_eq!(header("ratelimit"), "\"ingest\";r=0;t=1");
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem["code"], "rate_limited");
    // Reading is counted by itself.
    assert_eq!(server.get("/api/latest").await.status(), 200);
}

#[tokio::test]
async fn whoever_tries_out_tokens_on_the_stream_is_slowed_down() {
    let stage = Stage::with(&[("IAQ_RATE_API", "20"), ("IAQ_WS_MAX_PER_IP", "0")]).await;
    let open = async |headers: &str| {
        let mut wire = Wire::open(stage.server.address).await;
        wire.send(handshake("/ws", headers)).await;
        wire.answer().await
    };
    let wrong =
        "Authorization: Bearer iaqk_000000000000_0000000000000000000000000000000000000000000\r\n";
    let (mut tries, begun) = (0, Instant::now());
    let refused = loop {
        let answer = open(wrong).await;
        if answer.status == 429 {
            break answer;
        }
        tries += 1;
        assert!(tries < 1000, "there is no limit");
    };
    assert_is_the_burst(tries, begun);
    assert_eq!(refused.all("retry-after"), ["1"]);
    assert_eq!(refused.all("ratelimit-policy"), ["\"api\";q=40;w=2"]);
    // Those whose tokens are right come in, and so do clients that have yet to say who they are.
    let (name, value) = viewer().0.unwrap();
    assert_eq!(open(&format!("{name}: {value}\r\n")).await.status, 101);
    assert_eq!(open("").await.status, 101);
}

#[tokio::test]
async fn a_made_up_address_is_worth_nothing() {
    let server = Server::with(&[("IAQ_RATE_INGEST", "20")]);
    refused(async |number| {
        let address = format!("203.0.113.{}", number % 250);
        let headers = [
            ("x-forwarded-for", address.clone()),
            ("forwarded", format!("for={address}")),
            ("x-real-ip", address),
        ];
        post(&server, &Credentials::none(), &headers).await
    })
    .await;
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_address_has_its_own_and_a_network_of_ipv6_is_one() {
    let settings = [
        ("IAQ_RATE_INGEST", "20"),
        ("IAQ_TRUSTED_PROXIES", "127.0.0.1"),
    ];
    let server = Server::with(&settings);
    let from = async |address: String| {
        let headers = [("x-forwarded-for", address)];
        post(&server, &Credentials::none(), &headers).await
    };
    refused(async |number| from(format!("2001:db8:0:1::{number:x}")).await).await;
    assert_eq!(from("2001:db8:0:2::1".to_owned()).await.status(), 200);
    assert_eq!(from("203.0.113.7".to_owned()).await.status(), 200);
}

#[tokio::test]
async fn a_key_and_an_account_are_counted_wherever_they_come_from() {
    let stage = Stage::with(&[("IAQ_RATE_INGEST", "20"), ("IAQ_RATE_API", "20")]).await;
    let (_, one) = stage.device(&json!({"sensors": ["*"]})).await;
    let (_, other) = stage.device(&json!({"sensors": ["*"]})).await;
    refused(async |_| post(&stage.server, &one, &[]).await).await;
    assert_eq!(post(&stage.server, &other, &[]).await.status(), 200);

    refused(async |_| stage.call("GET /api/sensors", &viewer(), None).await).await;
    let somebody_else = super::stage::operator();
    let response = stage.call("GET /api/sensors", &somebody_else, None).await;
    assert_eq!(response.status(), 200);
    // Whoever tries keys out is slowed down too.
    let wrong = Credentials::key("iaqk_000000000000_0000000000000000000000000000000000000000000");
    refused(async |_| stage.call("GET /api/latest", &wrong, None).await).await;
}

#[tokio::test]
async fn readings_are_counted_however_many_a_request_has() {
    let settings = [("IAQ_RATE_READINGS", "1"), ("IAQ_BATCH_READINGS_MAX", "50")];
    let stage = Stage::with(&settings).await;
    let (_, one) = stage.device(&json!({"sensors": ["*"]})).await;
    let (_, other) = stage.device(&json!({"sensors": ["*"]})).await;
    let batch: Value = (0..50)
        .map(|number| {
            json!({"sensor_id": format!("sensor-{number}"), "enseigne": "Maison",
                "salle": "Bureau", "values": {"CO2": 645}})
        })
        .collect();
    let send = async |who: &Credentials| {
        let (name, value) = who.0.clone().unwrap();
        let request = client().post(stage.server.url("/api/ingest"));
        request
            .header(name, value)
            .json(&batch)
            .send()
            .await
            .unwrap()
    };
    // A buffer as large as one request may have passes, whatever the rate.
    assert_eq!(send(&one).await.status(), 200);
    let refused = send(&one).await;
    assert_eq!(refused.status(), 429);
    let header = |name: &str| refused.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("ratelimit-policy"), "\"readings\";q=50;w=50");
    let wait_s: u32 = header("retry-after").parse().unwrap();
    assert!((40..=50).contains(&wait_s), "{wait_s}");
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem["code"], "rate_limited");
    assert_eq!(problem["detail"], "50 readings within 50 s are allowed");
    assert_eq!(send(&other).await.status(), 200);
}

#[tokio::test]
async fn who_asks_whether_the_server_lives_is_not_counted() {
    let server = Server::with(&[("IAQ_RATE_API", "1"), ("IAQ_RATE_INGEST", "1")]);
    for _ in 0..50 {
        assert_eq!(server.get("/health/live").await.status(), 200);
    }
}
