//! A server that everybody has to log in to, and everybody who tries.

use crate::harness::{Server, client};
use iaqverse::access::Need;
use iaqverse::clock::{Clock, SystemClock};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::{Method, Response};
use serde_json::{Value, json};

pub const SECRET: &str = "canary-secret-that-signs-every-token";

/// A server with readings of two sites: `bureau1` in Maison, `classe1` in École.
pub struct Stage {
    pub server: Server,
}

impl Stage {
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    pub async fn with(settings: &[(&str, &str)]) -> Self {
        let required = [("IAQ_AUTH", "required"), ("IAQ_JWT_SECRET", SECRET)];
        let stage = Self {
            server: Server::with(&[&required[..], settings].concat()),
        };
        for (sensor, site, room) in [
            ("bureau1", "Maison", "Bureau"),
            ("classe1", "École", "Classe"),
        ] {
            let reading = json!({"sensor_id": sensor, "enseigne": site, "salle": room,
                "values": {"CO2": 645}});
            let posted = stage
                .call("POST /api/ingest", &operator(), Some(&reading))
                .await;
            assert_eq!(posted.status(), 200);
        }
        stage
    }

    /// Makes a call like `GET /api/latest` with credentials.
    pub async fn call(&self, call: &str, who: &Credentials, body: Option<&Value>) -> Response {
        let (method, path) = call.split_once(' ').unwrap();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = client().request(method, self.server.url(path));
        if let Some((name, value)) = &who.0 {
            request = request.header(*name, value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        request.send().await.unwrap()
    }

    /// Sends a file like `PUT /api/models?enseigne=a&salle=b`.
    pub async fn upload(&self, call: &str, who: &Credentials, file: Vec<u8>) -> Response {
        let (_, path) = call.split_once(' ').unwrap();
        let mut request = client()
            .put(self.server.url(path))
            .header("content-type", "model/gltf-binary");
        if let Some((name, value)) = &who.0 {
            request = request.header(*name, value);
        }
        request.body(file).send().await.unwrap()
    }

    /// Status of the answer to a call without a body.
    pub async fn status(&self, call: &str, who: &Credentials) -> u16 {
        self.call(call, who, None).await.status().as_u16()
    }

    /// The answer to a call that must go well.
    pub async fn json(&self, call: &str, who: &Credentials, body: Option<&Value>) -> Value {
        let response = self.call(call, who, body).await;
        let status = response.status();
        let answer = response.text().await.unwrap();
        assert!(status.is_success(), "{call}: {status} {answer}");
        serde_json::from_str(&answer).unwrap_or_default()
    }

    /// Status and code of an answer that is a problem.
    pub async fn problem(
        &self,
        call: &str,
        who: &Credentials,
        body: Option<&Value>,
    ) -> (u16, String) {
        let response = self.call(call, who, body).await;
        let status = response.status().as_u16();
        let problem: Value = response.json().await.unwrap();
        (status, problem["code"].as_str().unwrap().to_owned())
    }

    /// A key for a device; its id and its credentials.
    pub async fn device(&self, body: &Value) -> (String, Credentials) {
        let key = self
            .json("POST /api/device-keys", &operator(), Some(body))
            .await;
        let text = |name: &str| key[name].as_str().unwrap().to_owned();
        (text("id"), Credentials::key(&text("key")))
    }

    /// Every log line so far.
    pub async fn log_up_to_now(&self) -> String {
        const MARKER: &str = "/end-of-log.html";
        self.server.get(MARKER).await;
        let mut log = String::new();
        while !log.contains(MARKER) {
            log = log + &self.server.logged("") + "\n";
        }
        log
    }

    /// An account, made by an admin.
    pub async fn account(&self, name: &str, role: &str, sites: Value) {
        let account = json!({"name": name, "password": PASSWORD, "role": role, "sites": sites});
        self.json("POST /api/users", &admin(), Some(&account)).await;
    }

    /// What a login gives.
    pub async fn log_in(&self, name: &str) -> Value {
        let login = json!({"name": name, "password": PASSWORD});
        self.json("POST /api/auth/login", &Credentials::none(), Some(&login))
            .await
    }
}

pub const PASSWORD: &str = "canary-password-of-everybody";

/// The credentials that a caller sends.
#[derive(Debug, Clone)]
pub struct Credentials(pub Option<(&'static str, String)>);

impl Credentials {
    pub fn none() -> Self {
        Self(None)
    }

    pub fn bearer(token: &str) -> Self {
        Self(Some(("authorization", format!("Bearer {token}"))))
    }

    pub fn key(key: &str) -> Self {
        Self(Some(("x-api-key", key.to_owned())))
    }
}

pub fn now_s() -> u64 {
    let now = SystemClock.now().millis();
    u64::try_from(now).unwrap() / 1000
}

/// Claims of a token that counts for a minute.
pub fn claims(role: &str) -> Value {
    json!({"iss": "iaqverse", "aud": "iaqverse", "sub": role, "role": role, "exp": now_s() + 60})
}

pub fn signed_with(secret: &str, claims: &Value) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    encode(&Header::new(Algorithm::HS256), claims, &key).unwrap()
}

pub fn signed(claims: &Value) -> String {
    signed_with(SECRET, claims)
}

pub fn viewer() -> Credentials {
    Credentials::bearer(&signed(&claims("viewer")))
}

pub fn operator() -> Credentials {
    Credentials::bearer(&signed(&claims("operator")))
}

pub fn admin() -> Credentials {
    Credentials::bearer(&signed(&claims("admin")))
}

/// Somebody of one site.
pub fn of_site(role: &str, site: &str) -> Credentials {
    Credentials::bearer(&token_of_site(role, site))
}

pub fn token_of_site(role: &str, site: &str) -> String {
    let mut claims = claims(role);
    claims["sites"] = json!([site]);
    signed(&claims)
}

pub fn expired_token() -> String {
    let mut claims = claims("admin");
    claims["exp"] = json!(now_s() - 120);
    signed(&claims)
}

pub fn foreign_token() -> String {
    signed_with("the secret of somebody else altogether", &claims("admin"))
}

pub fn token_for_another_audience() -> String {
    let mut claims = claims("admin");
    claims["aud"] = json!("another-service");
    signed(&claims)
}

/// A call by one of its methods, and what it needs.
pub struct Rule {
    pub method: String,
    pub path: String,
    pub need: Need,
}

/// Every call that the server declares.
pub fn rules() -> Vec<Rule> {
    let calls = iaqverse::server::calls().into_iter();
    let rules = calls.flat_map(|call| {
        call.methods.into_iter().map(move |method| Rule {
            method: method.to_string(),
            path: call.path.clone(),
            need: call.need,
        })
    });
    rules.collect()
}
