//! Logging in, staying logged in, and out.

use super::stage::{Credentials, PASSWORD, Stage, admin, now_s, operator};
use crate::harness::{Server, Socket, Wire, client, gzip, long_readings};
use pretty_assertions::assert_eq;
use reqwest::Response;
use rstest::rstest;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

async fn stage() -> Stage {
    let stage = Stage::new().await;
    stage.account("ada", "operator", json!(["Maison"])).await;
    stage
}

fn token_of(tokens: &Value) -> Credentials {
    Credentials::bearer(tokens["access_token"].as_str().unwrap())
}

async fn refresh(stage: &Stage, tokens: &Value) -> Response {
    let body = json!({"refresh_token": tokens["refresh_token"]});
    let call = "POST /api/auth/refresh";
    stage.call(call, &Credentials::none(), Some(&body)).await
}

async fn code_of(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let problem: Value = response.json().await.unwrap();
    (
        status,
        problem["code"].as_str().unwrap_or_default().to_owned(),
    )
}

#[tokio::test]
async fn a_login_gives_a_short_token_and_one_to_stay() {
    let stage = stage().await;
    let tokens = stage.log_in("ada").await;
    assert_eq!(tokens["token_type"], "Bearer");
    assert_eq!(tokens["expires_in"], 600);
    assert_eq!(tokens["role"], "operator");
    assert_eq!(tokens["sites"], json!(["Maison"]));
    let me = stage
        .json("GET /api/auth/me", &token_of(&tokens), None)
        .await;
    assert_eq!(me["name"], "ada");
    assert_eq!(me["kind"], "person");
    assert_eq!(me["auth"], "required");
    assert_eq!(me["sites"], json!(["Maison"]));
    let users = stage.json("GET /api/users", &admin(), None).await;
    assert!(users[0]["last_login_at"].is_string(), "{users}");
}

#[rstest]
#[case::wrong_password("ada", "canary-password-of-nobody")]
#[case::nobody("nobody", PASSWORD)]
#[case::empty("ada", "x")]
#[case::injection("ada' --", PASSWORD)]
#[tokio::test]
async fn a_login_that_is_refused_tells_nothing(#[case] name: &str, #[case] password: &str) {
    let stage = stage().await;
    let login = json!({"name": name, "password": password});
    let call = "POST /api/auth/login";
    let response = stage.call(call, &Credentials::none(), Some(&login)).await;
    assert_eq!(response.status(), 401);
    let mut problem: Value = response.json().await.unwrap();
    problem["request_id"] = Value::Null;
    assert_eq!(
        problem,
        json!({"type": "/problems/bad-credentials", "title": "Unauthorized", "status": 401,
            "detail": "name or password is not right", "code": "bad_credentials",
            "request_id": null})
    );
}

/// The answer for a name that nobody has takes as long as for one that somebody has. A busy machine makes
/// an answer slower and never faster, so the fastest of each are compared, and tried for until they agree.
#[tokio::test]
async fn how_long_a_login_takes_does_not_tell_who_is_there() {
    const TRIES_MIN: usize = 5;
    const TRIES_MAX: usize = 100;
    const RATIO_MAX: f64 = 1.25;
    let stage = stage().await;
    let mut fastest = [Duration::MAX; 2];
    let mut ratio = f64::INFINITY;
    for tried in 1..=TRIES_MAX {
        for (name, fastest) in ["ada", "nobody"].into_iter().zip(&mut fastest) {
            let login = json!({"name": name, "password": "canary-password-of-nobody"});
            let begun = Instant::now();
            let call = "POST /api/auth/login";
            let response = stage.call(call, &Credentials::none(), Some(&login)).await;
            assert_eq!(response.status(), 401);
            *fastest = begun.elapsed().min(*fastest);
        }
        let [known, unknown] = fastest.map(|time| time.as_secs_f64());
        ratio = known.max(unknown) / known.min(unknown);
        if tried >= TRIES_MIN && ratio < RATIO_MAX {
            break;
        }
    }
    assert!(ratio < RATIO_MAX, "known and unknown: {fastest:?}");
}

#[tokio::test]
async fn a_refresh_token_counts_once_and_a_second_use_ends_the_session() {
    let stage = stage().await;
    let first = stage.log_in("ada").await;
    let response = refresh(&stage, &first).await;
    assert_eq!(response.status(), 200);
    let second: Value = response.json().await.unwrap();
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    assert_eq!(
        stage.status("GET /api/latest", &token_of(&second)).await,
        200
    );

    let used_again = refresh(&stage, &first).await;
    assert_eq!(
        code_of(used_again).await,
        (401, "refresh_token_reused".to_owned())
    );
    // Whoever has the newest may be the thief, so it ends for both, and at once.
    let ended = refresh(&stage, &second).await;
    assert_eq!(code_of(ended).await, (401, "bad_refresh_token".to_owned()));
    for tokens in [&first, &second] {
        let refused = stage
            .problem("GET /api/latest", &token_of(tokens), None)
            .await;
        assert_eq!(refused, (401, "revoked".to_owned()));
    }
}

#[tokio::test]
async fn a_session_outlives_a_kill_of_the_server() {
    let mut stage = stage().await;
    let tokens = stage.log_in("ada").await;
    stage.server = stage.server.revive();
    let response = refresh(&stage, &tokens).await;
    assert_eq!(response.status(), 200);
    assert_eq!(
        stage.status("GET /api/latest", &token_of(&tokens)).await,
        200
    );
}

#[tokio::test]
async fn a_refresh_token_is_no_access_token() {
    let stage = stage().await;
    let tokens = stage.log_in("ada").await;
    let refresh_token = tokens["refresh_token"].as_str().unwrap();
    let refused = stage
        .problem("GET /api/latest", &Credentials::bearer(refresh_token), None)
        .await;
    assert_eq!(refused, (401, "bad_token".to_owned()));
    let access_token = json!({"refresh_token": tokens["access_token"]});
    let call = "POST /api/auth/refresh";
    let misused = stage
        .problem(call, &Credentials::none(), Some(&access_token))
        .await;
    assert_eq!(misused, (401, "bad_refresh_token".to_owned()));
}

#[tokio::test]
async fn a_logout_ends_the_session_and_its_tokens_and_no_other() {
    let stage = stage().await;
    let (one, other) = (stage.log_in("ada").await, stage.log_in("ada").await);
    let body = json!({"refresh_token": one["refresh_token"]});
    let call = "POST /api/auth/logout";
    let response = stage.call(call, &Credentials::none(), Some(&body)).await;
    assert_eq!(response.status(), 204);
    let refused = stage
        .problem("GET /api/latest", &token_of(&one), None)
        .await;
    assert_eq!(refused, (401, "revoked".to_owned()));
    assert_eq!(refresh(&stage, &one).await.status(), 401);
    assert_eq!(refresh(&stage, &other).await.status(), 200);
}

#[tokio::test]
async fn another_password_ends_every_session() {
    let stage = stage().await;
    let (one, other) = (stage.log_in("ada").await, stage.log_in("ada").await);
    let call = "PUT /api/auth/password";
    let wrong = json!({"current_password": "not the one", "new_password": "another password"});
    let response = stage.call(call, &token_of(&one), Some(&wrong)).await;
    assert_eq!(response.status(), 422);
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["errors"][0]["pointer"], "/current_password");
    let right = json!({"current_password": PASSWORD, "new_password": "another password"});
    let response = stage.call(call, &token_of(&one), Some(&right)).await;
    assert_eq!(response.status(), 204);
    for tokens in [&one, &other] {
        assert_eq!(refresh(&stage, tokens).await.status(), 401);
        assert_eq!(
            stage.status("GET /api/latest", &token_of(tokens)).await,
            401
        );
    }
    let login = |password: &str| json!({"name": "ada", "password": password});
    let call = "POST /api/auth/login";
    for (password, status) in [(PASSWORD, 401), ("another password", 200)] {
        let response = stage
            .call(call, &Credentials::none(), Some(&login(password)))
            .await;
        assert_eq!(response.status(), status);
    }
}

#[tokio::test]
async fn the_oldest_of_too_many_sessions_makes_room() {
    let stage = stage().await;
    let mut all = Vec::new();
    for _ in 0..21 {
        all.push(stage.log_in("ada").await);
    }
    assert_eq!(refresh(&stage, &all[0]).await.status(), 401);
    assert_eq!(refresh(&stage, &all[1]).await.status(), 200);
    assert_eq!(refresh(&stage, &all[20]).await.status(), 200);
}

/// Logs in as a browser does; the cookie and the answer.
async fn log_in_by_cookie(server: &Server, further: &[(&str, &str)]) -> (String, Value) {
    let mut request = client()
        .post(server.url("/api/auth/login"))
        .json(&json!({"name": "ada", "password": PASSWORD, "cookie": true}));
    for (name, value) in further {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    let cookie = response.headers()["set-cookie"]
        .to_str()
        .unwrap()
        .to_owned();
    (cookie, response.json().await.unwrap())
}

async fn refresh_by_cookie(server: &Server, cookie: &str, origin: Option<&str>) -> Response {
    let mut request = client()
        .post(server.url("/api/auth/refresh"))
        .header("cookie", cookie.split(';').next().unwrap());
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    request.send().await.unwrap()
}

#[tokio::test]
async fn a_browser_keeps_its_session_where_no_script_can_read_it() {
    let stage = stage().await;
    let server = &stage.server;
    let (cookie, tokens) = log_in_by_cookie(server, &[]).await;
    assert!(tokens.get("refresh_token").is_none());
    for attribute in [
        "HttpOnly",
        "SameSite=Strict",
        "Path=/api/auth",
        "Max-Age=2592000",
    ] {
        assert!(cookie.split("; ").any(|one| one == attribute), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "{cookie}");

    let response = refresh_by_cookie(server, &cookie, None).await;
    let next = response.headers()["set-cookie"]
        .to_str()
        .unwrap()
        .to_owned();
    assert_ne!(next.split(';').next(), cookie.split(';').next());
    let tokens: Value = response.json().await.unwrap();
    assert_eq!(
        stage.status("GET /api/latest", &token_of(&tokens)).await,
        200
    );
    // Two tabs may ask at the same moment; the second gets a token and keeps the cookie of the first.
    let overlapping = refresh_by_cookie(server, &cookie, None).await;
    assert_eq!(overlapping.status(), 200);
    assert!(overlapping.headers().get("set-cookie").is_none());

    let request = client()
        .post(server.url("/api/auth/logout"))
        .header("cookie", next.split(';').next().unwrap());
    let response = request.send().await.unwrap();
    let forgotten = response.headers()["set-cookie"].to_str().unwrap();
    assert!(forgotten.starts_with("iaqverse_refresh=; ") && forgotten.contains("Max-Age=0"));
    assert_eq!(refresh_by_cookie(server, &next, None).await.status(), 401);
}

#[tokio::test]
async fn a_page_of_another_site_cannot_use_the_cookie() {
    let stage = stage().await;
    let (cookie, _) = log_in_by_cookie(&stage.server, &[]).await;
    let origin = format!("http://{}", stage.server.address);
    for evil in ["https://evil.example", "null", "http://127.0.0.1:1"] {
        let refused = refresh_by_cookie(&stage.server, &cookie, Some(evil)).await;
        assert_eq!(code_of(refused).await, (403, "forbidden_origin".to_owned()));
    }
    let own = refresh_by_cookie(&stage.server, &cookie, Some(&origin)).await;
    assert_eq!(own.status(), 200);
    // The cookie is for the session alone: it opens nothing else.
    let request = client()
        .get(stage.server.url("/api/latest"))
        .header("cookie", cookie.split(';').next().unwrap());
    assert_eq!(request.send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn the_cookie_is_secure_when_the_proxy_says_that_the_connection_is() {
    let stage = Stage::with(&[("IAQ_TRUSTED_PROXIES", "127.0.0.1")]).await;
    stage.account("ada", "viewer", Value::Null).await;
    let https = [("x-forwarded-proto", "https")];
    let (cookie, _) = log_in_by_cookie(&stage.server, &https).await;
    assert!(cookie.ends_with("; Secure"), "{cookie}");
    let stranger = self::stage().await;
    let (cookie, _) = log_in_by_cookie(&stranger.server, &https).await;
    assert!(!cookie.contains("Secure"), "{cookie}");
}

#[tokio::test]
async fn twenty_wrong_passwords_are_too_many() {
    let stage = Stage::with(&[("IAQ_RATE_LOGIN", "10")]).await;
    stage.account("ada", "viewer", Value::Null).await;
    let wrong = json!({"name": "ada", "password": "canary-password-of-nobody"});
    let call = "POST /api/auth/login";
    let mut codes = Vec::new();
    for _ in 0..20 {
        codes.push(
            stage
                .problem(call, &Credentials::none(), Some(&wrong))
                .await,
        );
    }
    assert!(
        codes[..10]
            .iter()
            .all(|code| code == &(401, "bad_credentials".to_owned()))
    );
    assert_eq!(codes[19], (429, "rate_limited".to_owned()));
    // Not even the right one is looked at, or the limit would tell when it was found.
    let right = json!({"name": "ada", "password": PASSWORD});
    let response = stage.call(call, &Credentials::none(), Some(&right)).await;
    assert_eq!(response.status(), 429);
    assert!(
        response.headers()["retry-after"]
            .to_str()
            .unwrap()
            .parse::<u32>()
            .unwrap()
            > 0
    );
}

#[tokio::test]
async fn an_account_is_guarded_whatever_address_the_attempts_come_from() {
    let settings = [
        ("IAQ_RATE_LOGIN", "10"),
        ("IAQ_TRUSTED_PROXIES", "127.0.0.1"),
    ];
    let stage = Stage::with(&settings).await;
    stage.account("ada", "viewer", Value::Null).await;
    let attempt = async |name: &str, address: String| {
        let request = client()
            .post(stage.server.url("/api/auth/login"))
            .header("x-forwarded-for", address)
            .json(&json!({"name": name, "password": "canary-password-of-nobody"}));
        request.send().await.unwrap().status().as_u16()
    };
    for number in 0..10 {
        assert_eq!(attempt("ada", format!("203.0.113.{number}")).await, 401);
    }
    assert_eq!(attempt("ada", "203.0.113.99".to_owned()).await, 429);
    // Somebody else is not kept out, and neither are other names told from it.
    assert_eq!(attempt("grace", "203.0.113.98".to_owned()).await, 401);
    for number in 0..9 {
        assert_eq!(attempt("grace", format!("203.0.113.{number}")).await, 401);
    }
    assert_eq!(attempt("grace", "203.0.113.97".to_owned()).await, 429);
}

#[tokio::test]
async fn a_token_expires_and_says_so() {
    let stage = Stage::with(&[("IAQ_TOKEN_TTL", "1s")]).await;
    stage.account("ada", "viewer", Value::Null).await;
    let tokens = stage.log_in("ada").await;
    let me = stage
        .json("GET /api/auth/me", &token_of(&tokens), None)
        .await;
    assert!(me["expires_at"].is_string());
    let begun = now_s();
    let refused = loop {
        let response = stage
            .call("GET /api/latest", &token_of(&tokens), None)
            .await;
        if response.status() == 401 {
            break code_of(response).await;
        }
        assert!(now_s() < begun + 20, "it never expires");
    };
    assert_eq!(refused, (401, "token_expired".to_owned()));
    assert_eq!(refresh(&stage, &tokens).await.status(), 200);
}

#[tokio::test]
async fn a_changed_or_removed_account_is_out_at_once() {
    let stage = stage().await;
    for (call, body, status) in [
        ("PATCH /api/users/ada", Some(json!({"role": "viewer"})), 200),
        (
            "PATCH /api/users/ada",
            Some(json!({"sites": ["École"]})),
            200,
        ),
        (
            "PATCH /api/users/ada",
            Some(json!({"password": PASSWORD})),
            200,
        ),
        ("DELETE /api/users/ada", None, 204),
    ] {
        let tokens = stage.log_in("ada").await;
        let url = format!(
            "ws://{}/ws?token={}",
            stage.server.address,
            tokens["access_token"].as_str().unwrap()
        );
        let mut socket = Socket::open(&url, &[]).await.unwrap();
        assert_eq!(socket.next().await["type"], "connection");
        let response = stage.call(call, &admin(), body.as_ref()).await;
        assert_eq!(response.status(), status);
        assert_eq!(
            stage.status("GET /api/latest", &token_of(&tokens)).await,
            401
        );
        assert_eq!(refresh(&stage, &tokens).await.status(), 401);
        assert_eq!(socket.next().await["code"], "revoked");
        assert_eq!(socket.close_code().await, 1008);
    }
}

/// How an answer in chunks ends.
const END: &str = "\r\n0\r\n\r\n";

/// A history that is longer than all buffers is still read from the store while it is sent.
#[tokio::test]
async fn a_history_that_is_being_sent_ends_with_the_login() {
    let stage = Stage::new().await;
    stage.account("ada", "viewer", Value::Null).await;
    let tokens = stage.log_in("ada").await;
    let readings = long_readings(0, 5000).to_string();
    let (name, value) = operator().0.unwrap();
    let posted = client()
        .post(stage.server.url("/api/ingest"))
        .header(name, value)
        .header("content-type", "application/json")
        .header("content-encoding", "gzip")
        .body(gzip(readings.as_bytes()));
    assert_eq!(posted.send().await.unwrap().status(), 200);
    let ask = async || {
        let mut wire = Wire::over(stage.server.narrow().await);
        let token = tokens["access_token"].as_str().unwrap();
        wire.send(format!(
            "GET /api/iaq/data?start=2025-01-01T00:00:00Z&format=ndjson HTTP/1.1\r\nHost: server\r\n\
             Connection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
        ))
        .await;
        assert_eq!(wire.line().await, "HTTP/1.1 200 OK");
        wire
    };
    assert!(ask().await.rest().await.ends_with(END));
    let mut broken_off = ask().await;
    stage.json("DELETE /api/users/ada", &admin(), None).await;
    assert!(!broken_off.rest().await.ends_with(END));
}
