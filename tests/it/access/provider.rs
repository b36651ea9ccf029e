//! Tokens of a provider that publishes its keys.

use super::stage::{Credentials, SECRET, now_s};
use crate::harness::{PATIENCE, Server, client};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;
use tokio::time::{interval, timeout};
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

const ISSUER: &str = "https://login.example/realms/home";

/// A key of the provider, with the name it is published under.
struct Key {
    id: &'static str,
    private: EncodingKey,
}

impl Key {
    fn new(id: &'static str) -> Self {
        let made = Command::new("openssl")
            .args([
                "genpkey",
                "-algorithm",
                "RSA",
                "-pkeyopt",
                "rsa_keygen_bits:2048",
            ])
            .output()
            .unwrap();
        let private = EncodingKey::from_rsa_pem(&made.stdout).unwrap();
        Self { id, private }
    }

    fn published(&self) -> Value {
        let key = Jwk::from_encoding_key(&self.private, Algorithm::RS256).unwrap();
        let mut key = serde_json::to_value(key).unwrap();
        key["kid"] = self.id.into();
        key["use"] = "sig".into();
        key
    }

    fn token(&self, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(self.id.to_owned());
        encode(&header, claims, &self.private).unwrap()
    }
}

fn claims() -> Value {
    json!({"iss": ISSUER, "aud": "iaq", "sub": "ada", "exp": now_s() + 600,
        "realm_access": {"roles": ["offline_access", "viewer"]}})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

async fn publish(provider: &MockServer, keys: &[&Key]) {
    let keys: Vec<_> = keys.iter().map(|key| key.published()).collect();
    provider.reset().await;
    Mock::given(path("/keys"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"keys": keys})))
        .mount(provider)
        .await;
}

fn server(provider: &MockServer) -> Server {
    let url = format!("{}/keys", provider.uri());
    Server::with(&[
        ("IAQ_AUTH", "required"),
        ("IAQ_JWT_SECRET", SECRET),
        ("IAQ_JWT_JWKS_URL", &url),
        ("IAQ_JWT_ISSUER", ISSUER),
        ("IAQ_JWT_AUDIENCE", "iaq"),
        ("IAQ_JWT_ROLE_CLAIM", "realm_access.roles"),
    ])
}

async fn status(server: &Server, token: &str) -> u16 {
    let Credentials(Some((name, value))) = Credentials::bearer(token) else {
        panic!("a token is a credential");
    };
    let request = client().get(server.url("/api/latest")).header(name, value);
    request.send().await.unwrap().status().as_u16()
}

/// Shows a token until it counts.
async fn counts(server: &Server, token: &str) {
    let mut looks = interval(Duration::from_millis(50));
    let counts = async {
        while status(server, token).await != 200 {
            looks.tick().await;
        }
    };
    timeout(PATIENCE, counts).await.expect("it counts");
}

#[tokio::test]
async fn keys_are_fetched_changed_and_kept_while_the_provider_is_away() {
    let provider = MockServer::start().await;
    let (one, two) = (Key::new("one"), Key::new("two"));
    publish(&provider, &[&one]).await;
    let server = server(&provider);
    counts(&server, &one.token(&claims())).await;
    let fetched = provider.received_requests().await.unwrap().len();
    assert_eq!(fetched, 1);

    // A key that nobody has announced: it is looked for once, however many ask.
    publish(&provider, &[&two]).await;
    let token = two.token(&claims());
    assert_eq!(status(&server, &token).await, 401);
    counts(&server, &token).await;
    assert_eq!(provider.received_requests().await.unwrap().len(), 1);
    assert_eq!(
        status(&server, &one.token(&claims())).await,
        401,
        "it is withdrawn"
    );

    provider.reset().await;
    assert_eq!(status(&server, &token).await, 200);
}

#[tokio::test]
async fn why_a_token_is_refused_is_in_the_log_and_the_token_is_not() {
    let provider = MockServer::start().await;
    let one = Key::new("one");
    publish(&provider, &[&one]).await;
    let server = server(&provider);
    counts(&server, &one.token(&claims())).await;
    let mut foreign = Key::new("one");
    let forged = foreign.token(&claims());
    foreign.id = "another";
    for (token, answer, reason) in [
        (
            one.token(&with("aud", json!("mail"))),
            401,
            "IAQ_JWT_AUDIENCE",
        ),
        (
            one.token(&with("iss", json!("https://evil.example"))),
            401,
            "IAQ_JWT_ISSUER",
        ),
        (
            one.token(&with("exp", json!(now_s() - 100))),
            401,
            "expired",
        ),
        (
            one.token(&with("realm_access", json!({}))),
            403,
            "IAQ_JWT_ROLE_CLAIM",
        ),
        (forged, 401, "signature"),
        (foreign.token(&claims()), 401, "no key of this name"),
    ] {
        assert_eq!(status(&server, &token).await, answer, "{reason}");
        let line = server.logged(reason);
        assert!(line.contains("outside issuer"), "{line}");
        let (_, signature) = token.rsplit_once('.').unwrap();
        assert!(!line.contains(signature), "{line}");
    }
}

#[tokio::test]
async fn a_public_key_is_no_secret() {
    let provider = MockServer::start().await;
    let one = Key::new("one");
    publish(&provider, &[&one]).await;
    let server = server(&provider);
    counts(&server, &one.token(&claims())).await;
    let modulus = one.published()["n"].as_str().unwrap().to_owned();
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some("one".to_owned());
    let confused = EncodingKey::from_secret(modulus.as_bytes());
    let confused = encode(&header, &claims(), &confused).unwrap();
    assert_eq!(status(&server, &confused).await, 401);
}

#[tokio::test]
async fn a_server_starts_while_the_provider_is_away() {
    let provider = MockServer::start().await;
    let one = Key::new("one");
    let server = server(&provider);
    server.logged("IAQ_JWT_JWKS_URL");
    assert_eq!(status(&server, &one.token(&claims())).await, 401);
    publish(&provider, &[&one]).await;
    counts(&server, &one.token(&claims())).await;
}
