//! The security baseline, line by line, as far as it is not looked at elsewhere.

use super::stage::{
    Credentials, SECRET, Stage, admin, claims, now_s, operator, rules, signed, signed_with, viewer,
};
use crate::harness::client;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use iaqverse::access::Need;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::process::Command;

/// A pair of keys made by openssl: the file of the public one, and the private one in PEM.
fn rsa_pair(folder: &std::path::Path) -> (String, Vec<u8>) {
    let private = folder.join("private.pem");
    let public = folder.join("public.pem");
    let run = |arguments: &[&str]| {
        let mut command = Command::new("openssl");
        assert!(command.args(arguments).output().unwrap().status.success());
    };
    let [private, public] = [&private, &public].map(|path| path.to_str().unwrap());
    run(&["genpkey", "-algorithm", "RSA", "-out", private]);
    run(&["pkey", "-in", private, "-pubout", "-out", public]);
    (public.to_owned(), std::fs::read(private).unwrap())
}

#[tokio::test]
async fn a_token_that_is_not_signed_as_it_must_be_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (public, private) = rsa_pair(folder.path());
    let stage = Stage::with(&[
        ("IAQ_JWT_PUBLIC_KEY_FILE", &public),
        ("IAQ_JWT_ISSUER", "https://login.example"),
        ("IAQ_JWT_AUDIENCE", "iaq"),
    ])
    .await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let elsewhere = format!("http://{}/keys", listener.local_addr().unwrap());

    let mut outside = claims("operator");
    outside["iss"] = json!("https://login.example");
    outside["aud"] = json!("iaq");
    let rsa = EncodingKey::from_rsa_pem(&private).unwrap();
    let by_rsa = |header: &Header, claims: &Value| encode(header, claims, &rsa).unwrap();
    let good = by_rsa(&Header::new(Algorithm::RS256), &outside);
    let me = stage
        .json("GET /api/auth/me", &Credentials::bearer(&good), None)
        .await;
    assert_eq!(me["role"], "operator");

    let text = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let unsigned = |algorithm: &str| {
        let header = json!({"alg": algorithm, "typ": "JWT"});
        format!("{}.{}.", text(&header), text(&claims("admin")))
    };
    let (start, _) = good.rsplit_once('.').unwrap();
    let pem = std::fs::read_to_string(&public).unwrap();
    let mut pointing = Header::new(Algorithm::HS256);
    pointing.jku = Some(elsewhere.clone());
    pointing.x5u = Some(elsewhere);
    pointing.kid = Some("../../../../dev/null".to_owned());
    let another = EncodingKey::from_secret(b"a secret that is to be found elsewhere");
    let mut without_end = claims("admin");
    without_end.as_object_mut().unwrap().remove("exp");
    let mut ended = claims("admin");
    ended["exp"] = json!(now_s() - 120);
    for (what, token) in [
        ("no algorithm", unsigned("none")),
        ("no algorithm, in other letters", unsigned("nOnE")),
        ("no signature", format!("{start}.")),
        ("the public key as a secret", signed_with(&pem, &outside)),
        (
            "the public key as a secret, in our name",
            signed_with(&pem, &claims("admin")),
        ),
        (
            "a key that is elsewhere",
            encode(&pointing, &claims("admin"), &another).unwrap(),
        ),
        (
            "our name by the other issuer",
            by_rsa(&Header::new(Algorithm::RS256), &claims("admin")),
        ),
        (
            "another algorithm",
            by_rsa(&Header::new(Algorithm::RS512), &outside),
        ),
        ("no end", signed(&without_end)),
        ("an end that was", signed(&ended)),
    ] {
        let refused = stage
            .problem("GET /api/latest", &Credentials::bearer(&token), None)
            .await;
        assert_eq!(refused.0, 401, "{what}");
    }
    assert!(listener.accept().is_err(), "somebody was asked for a key");
}

/// Texts that mean something to a database, a shell or a browser.
const HOSTILE: [&str; 9] = [
    "'",
    "\")--",
    "' or '1'='1",
    "(select 1)",
    "%",
    "_",
    "*",
    "<img src=x onerror=alert(1)>",
    "../../etc/passwd",
];

#[tokio::test]
async fn no_parameter_is_more_than_a_text() {
    let stage = Stage::new().await;
    let parameters = [
        "enseigne",
        "salle",
        "sensor_id",
        "start",
        "end",
        "hours",
        "step",
        "raw",
        "points",
        "limit",
        "format",
        "profile",
        "minmax",
        "since",
        "topics",
        "max_hz",
    ];
    for path in ["/api/iaq/data", "/api/latest", "/api/rooms"] {
        for name in parameters {
            for text in HOSTILE {
                let url = url::Url::parse_with_params(&stage.server.url(path), [(name, text)]);
                let Credentials(Some((header, value))) = viewer() else {
                    panic!("nobody");
                };
                let request = client().get(url.unwrap()).header(header, value);
                let response = request.send().await.unwrap();
                let status = response.status().as_u16();
                assert!(
                    status == 200 || status == 422,
                    "{path} {name}={text}: {status}"
                );
                let is_name = matches!(name, "enseigne" | "salle" | "sensor_id");
                if is_name
                    && path != "/api/rooms"
                    && !(name == "sensor_id" && path == "/api/latest")
                {
                    assert_eq!(response.text().await.unwrap(), "[]", "{path} {name}={text}");
                }
            }
        }
    }
    for text in HOSTILE {
        let mut url = url::Url::parse(&stage.server.url("/api/users")).unwrap();
        url.path_segments_mut().unwrap().push(text);
        let Credentials(Some((header, value))) = admin() else {
            panic!("nobody");
        };
        let request = client().delete(url).header(header, value);
        assert_eq!(request.send().await.unwrap().status(), 404, "{text}");
    }
}

/// No answer tells how the server is made.
#[tokio::test]
async fn errors_tell_nothing_about_the_inside() {
    let stage = Stage::new().await;
    let long = "x".repeat(100_000);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let post = |call: &'static str, body: &str| {
        let (method, path) = call.split_once(' ').unwrap();
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let Credentials(Some((header, value))) = admin() else {
            panic!("nobody");
        };
        client()
            .request(method, stage.server.url(path))
            .header(header, value)
            .header("content-type", "application/json")
            .body(body.to_owned())
    };
    let mut answers = Vec::new();
    for rule in rules()
        .into_iter()
        .filter(|rule| rule.method != "GET" && rule.method != "HEAD")
    {
        let path = rule
            .path
            .replace("{name}", "nobody")
            .replace("{id}", "none");
        let call: &'static str = format!("{} {path}", rule.method).leak();
        for body in [
            "",
            "{",
            "[]",
            "null",
            "\"\u{0}\"",
            &long,
            &deep,
            "{\"name\": 1e999}",
        ] {
            answers.push((call, post(call, body).send().await.unwrap()));
        }
    }
    for (call, response) in answers {
        let status = response.status().as_u16();
        let body = response.text().await.unwrap().to_lowercase();
        assert!(status < 500, "{call}: {status} {body}");
        for inside in [
            "panicked", "sqlx", "select ", "/home", "/src/", ".rs:", "argon2", "serde",
        ] {
            assert!(!body.contains(inside), "{call}: {body}");
        }
    }
    assert_eq!(stage.server.panics(), Vec::<String>::new());
}

#[tokio::test]
async fn a_page_of_another_site_can_do_nothing_through_a_browser() {
    let stage = Stage::new().await;
    for rule in rules() {
        if matches!(rule.method.as_str(), "GET" | "HEAD") {
            continue;
        }
        let path = rule
            .path
            .replace("{name}", "nobody")
            .replace("{id}", "none");
        let method = reqwest::Method::from_bytes(rule.method.as_bytes()).unwrap();
        // What a browser adds by itself.
        let request = client()
            .request(method, stage.server.url(&path))
            .header("cookie", "iaqverse_refresh=iaqr_a_b")
            .header("authorization", "Basic YTpi")
            .header("origin", "https://evil.example");
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 403, "{} {path}", rule.method);
        assert!(
            response
                .headers()
                .get("access-control-allow-origin")
                .is_none()
        );
        let problem: Value = response.json().await.unwrap();
        assert_eq!(problem["code"], "forbidden_origin");
    }
}

#[rstest]
#[case::page("GET /")]
#[case::missing("GET /nothing.html")]
#[case::refused("GET /api/latest")]
#[case::alive("GET /health/live")]
#[case::login("POST /api/auth/login")]
#[tokio::test]
async fn every_answer_has_the_headers_that_guard_browsers(#[case] call: &str) {
    let stage = Stage::new().await;
    let response = stage.call(call, &Credentials::none(), None).await;
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    let policy = header("content-security-policy");
    for directive in [
        "default-src 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(directive), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert!(response.headers().contains_key("referrer-policy"));
    assert_eq!(header("cross-origin-opener-policy"), "same-origin");
    assert!(
        response
            .headers()
            .get("access-control-allow-origin")
            .is_none()
    );
}

#[tokio::test]
async fn tokens_are_kept_by_no_cache() {
    let stage = Stage::new().await;
    stage.account("ada", "viewer", Value::Null).await;
    let login = json!({"name": "ada", "password": super::stage::PASSWORD});
    let call = "POST /api/auth/login";
    let response = stage.call(call, &Credentials::none(), Some(&login)).await;
    assert_eq!(response.headers()["cache-control"], "no-store");
    let me = stage.call("GET /api/auth/me", &viewer(), None).await;
    assert_eq!(me.headers()["cache-control"], "no-store");
}

/// What is sent in one go is bounded before anything is done about it.
#[tokio::test]
async fn a_million_readings_at_once_are_refused() {
    let stage = Stage::new().await;
    let line = "{\"sensor_id\":\"a\",\"values\":{}}\n";
    let Credentials(Some((header, value))) = operator() else {
        panic!("nobody");
    };
    let lines = line.repeat(30_000);
    let request = client()
        .post(stage.server.url("/api/ingest"))
        .header(header, value)
        .header("content-type", "application/x-ndjson")
        .body(lines);
    assert_eq!(request.send().await.unwrap().status(), 413);
}

#[test]
fn little_is_open_to_everybody() {
    let mut open: Vec<_> = rules()
        .into_iter()
        .filter(|rule| matches!(rule.need, Need::Nothing | Need::Itself))
        .map(|rule| format!("{} {}", rule.method, rule.path))
        .collect();
    open.sort();
    assert_eq!(
        open,
        [
            "GET /health/live",
            "HEAD /health/live",
            "POST /api/auth/login",
            "POST /api/auth/logout",
            "POST /api/auth/refresh",
            "POST /api/claims/redeem",
        ]
    );
    assert!(SECRET.len() >= 32);
}
