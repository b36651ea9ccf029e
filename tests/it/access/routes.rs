//! Every call, made by everybody.

use super::stage::{
    Credentials, Stage, admin, expired_token, foreign_token, of_site, operator, rules,
    token_for_another_audience, viewer,
};
use crate::glb;
use crate::harness::{Wire, client};
use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Nobody, with a token that has expired, that somebody else signed, that is for another service; a
/// viewer, an operator, an admin; a viewer of another site; a device; a device whose key is revoked.
const EVERYBODY: [&str; 10] = [
    "nobody",
    "expired",
    "forged",
    "audience",
    "viewer",
    "operator",
    "admin",
    "elsewhere",
    "device",
    "revoked",
];

/// A call as it is registered, as it is made, and what each of [`EVERYBODY`] is answered.
type Row = (&'static str, &'static str, [u16; 10]);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    //                                                     nobody exp forged aud view oper admn else dev  revoked
    ("POST /api/ingest", "POST /api/ingest",                 [401, 401, 401, 401, 403, 200, 200, 403, 200, 401]),
    ("GET /api/iaq/data", "GET /api/iaq/data",               [401, 401, 401, 401, 200, 200, 200, 200, 403, 401]),
    ("GET /api/latest", "GET /api/latest",                   [401, 401, 401, 401, 200, 200, 200, 200, 403, 401]),
    ("GET /api/sensors", "GET /api/sensors",                 [401, 401, 401, 401, 200, 200, 200, 200, 403, 401]),
    ("GET /api/sensors/{id}", "GET /api/sensors/bureau1",    [401, 401, 401, 401, 200, 200, 200, 404, 403, 401]),
    ("GET /api/rooms", "GET /api/rooms",                     [401, 401, 401, 401, 200, 200, 200, 200, 403, 401]),
    ("PATCH /api/sensors/{id}", "PATCH /api/sensors/bureau1", [401, 401, 401, 401, 403, 200, 200, 403, 403, 401]),
    ("POST /api/sensors/{id}/merge", "POST /api/sensors/none/merge", [401, 401, 401, 401, 403, 404, 404, 403, 403, 401]),
    ("DELETE /api/sensors/{id}", "DELETE /api/sensors/none",  [401, 401, 401, 401, 403, 404, 404, 403, 403, 401]),
    ("PATCH /api/rooms", "PATCH /api/rooms",                 [401, 401, 401, 401, 403, 404, 404, 403, 403, 401]),
    ("DELETE /api/rooms", "DELETE /api/rooms?enseigne=a&salle=none", [401, 401, 401, 401, 403, 404, 404, 403, 403, 401]),
    ("GET /api/events", "GET /api/events?topics=alerts",     [401, 401, 401, 401, 200, 200, 200, 200, 403, 401]),
    ("GET /ws", "GET /ws",                                   [401, 401, 401, 401, 426, 426, 426, 426, 403, 401]),
    ("GET /ws/stats", "GET /ws/stats",                       [401, 401, 401, 401, 200, 200, 200, 200, 403, 401]),
    ("GET /metrics", "GET /metrics",                         [401, 401, 401, 401, 200, 200, 200, 200, 403, 401]),
    ("GET /api/health", "GET /api/health",                   [401, 401, 401, 401, 200, 200, 200, 200, 403, 401]),
    ("HEAD /api/health", "HEAD /api/health",                 [401, 401, 401, 401, 200, 200, 200, 200, 403, 401]),
    ("GET /health", "GET /health",                           [401, 401, 401, 401, 200, 200, 200, 200, 403, 401]),
    ("HEAD /health", "HEAD /health",                         [401, 401, 401, 401, 200, 200, 200, 200, 403, 401]),
    ("GET /health/ready", "GET /health/ready",               [401, 401, 401, 401, 200, 200, 200, 200, 403, 401]),
    ("HEAD /health/ready", "HEAD /health/ready",             [401, 401, 401, 401, 200, 200, 200, 200, 403, 401]),
    ("GET /health/live", "GET /health/live",                 [200, 200, 200, 200, 200, 200, 200, 200, 200, 200]),
    ("HEAD /health/live", "HEAD /health/live",               [200, 200, 200, 200, 200, 200, 200, 200, 200, 200]),
    ("GET /api/openapi.json", "GET /api/openapi.json",       [401, 401, 401, 401, 200, 200, 200, 200, 403, 401]),
    // Whose credentials are in the body answers for that alone.
    ("POST /api/auth/login", "POST /api/auth/login",         [401, 401, 401, 401, 401, 401, 401, 401, 401, 401]),
    ("POST /api/auth/refresh", "POST /api/auth/refresh",     [401, 401, 401, 401, 401, 401, 401, 401, 401, 401]),
    ("POST /api/auth/logout", "POST /api/auth/logout",       [204, 204, 204, 204, 204, 204, 204, 204, 204, 204]),
    ("POST /api/claims/redeem", "POST /api/claims/redeem",   [401, 401, 401, 401, 401, 401, 401, 401, 401, 401]),
    ("GET /api/auth/me", "GET /api/auth/me",                 [401, 401, 401, 401, 200, 200, 200, 200, 200, 401]),
    // Nobody of these has an account: `sessions` has those who do.
    ("PUT /api/auth/password", "PUT /api/auth/password",     [401, 401, 401, 401, 403, 403, 403, 403, 403, 401]),
    ("GET /api/users", "GET /api/users",                     [401, 401, 401, 401, 403, 403, 200, 403, 403, 401]),
    ("POST /api/users", "POST /api/users",                   [401, 401, 401, 401, 403, 403, 201, 403, 403, 401]),
    ("PATCH /api/users/{name}", "PATCH /api/users/known",    [401, 401, 401, 401, 403, 403, 200, 403, 403, 401]),
    ("DELETE /api/users/{name}", "DELETE /api/users/known",  [401, 401, 401, 401, 403, 403, 204, 403, 403, 401]),
    ("GET /api/device-keys", "GET /api/device-keys",         [401, 401, 401, 401, 403, 200, 200, 403, 403, 401]),
    ("POST /api/device-keys", "POST /api/device-keys",       [401, 401, 401, 401, 403, 201, 201, 403, 403, 401]),
    ("DELETE /api/device-keys/{id}", "DELETE /api/device-keys/none", [401, 401, 401, 401, 403, 404, 404, 403, 403, 401]),
    ("GET /api/claims", "GET /api/claims",                   [401, 401, 401, 401, 403, 200, 200, 403, 403, 401]),
    ("POST /api/claims", "POST /api/claims",                 [401, 401, 401, 401, 403, 201, 201, 403, 403, 401]),
    ("DELETE /api/claims/{id}", "DELETE /api/claims/none",   [401, 401, 401, 401, 403, 404, 404, 403, 403, 401]),
    ("GET /api/models", "GET /api/models",                   [401, 401, 401, 401, 200, 200, 200, 200, 403, 401]),
    ("PUT /api/models", "PUT /api/models?enseigne=a&salle=b", [401, 401, 401, 401, 403, 201, 200, 403, 403, 401]),
    ("GET /api/models/{id}", "GET /api/models/none",         [401, 401, 401, 401, 404, 404, 404, 404, 403, 401]),
    ("DELETE /api/models/{id}", "DELETE /api/models/none",   [401, 401, 401, 401, 403, 404, 404, 403, 403, 401]),
    ("GET /api/webhooks", "GET /api/webhooks",               [401, 401, 401, 401, 403, 403, 200, 403, 403, 401]),
    ("POST /api/webhooks", "POST /api/webhooks",             [401, 401, 401, 401, 403, 403, 201, 403, 403, 401]),
    ("DELETE /api/webhooks/{id}", "DELETE /api/webhooks/none", [401, 401, 401, 401, 403, 403, 404, 403, 403, 401]),
    ("POST /api/webhooks/{id}/test", "POST /api/webhooks/none/test", [401, 401, 401, 401, 403, 403, 404, 403, 403, 401]),
];

/// A body with which the call goes well for whoever may make it.
fn body(call: &str, number: usize) -> Option<Value> {
    let reading = json!({"sensor_id": "bureau1", "values": {"CO2": 645}});
    Some(match call {
        "POST /api/ingest" => reading,
        "PATCH /api/sensors/{id}" => json!({"model": "SCD41"}),
        "POST /api/sensors/{id}/merge" => json!({"into": "bureau1"}),
        "PATCH /api/rooms" => json!({"enseigne": "a", "salle": "none", "to": {"salle": "b"}}),
        "POST /api/auth/login" => json!({"name": "nobody", "password": "no password at all"}),
        "POST /api/auth/refresh" => json!({"refresh_token": "iaqr_0_0"}),
        "POST /api/auth/logout" => json!({}),
        "POST /api/claims/redeem" => json!({"code": "AAAA-AAAA", "sensor_id": "esp"}),
        "PUT /api/auth/password" => {
            json!({"current_password": "whatever it is", "new_password": "another password"})
        }
        "POST /api/users" => json!({"name": format!("new-{number}"), "role": "viewer",
            "password": "long enough for anybody"}),
        "PATCH /api/users/{name}" => json!({"role": "operator"}),
        "POST /api/device-keys" => json!({"sensors": [format!("esp-{number}")]}),
        // A public address, to which nothing is sent before there is a reading.
        "POST /api/webhooks" => json!({"url": "https://1.1.1.1/"}),
        "POST /api/claims" => json!({"enseigne": "Maison", "salle": "Salon"}),
        _ => return None,
    })
}

async fn everybody(stage: &Stage) -> [Credentials; 10] {
    let bureau = json!({"sensors": ["bureau1"]});
    let (_, device) = stage.device(&bureau).await;
    let (id, revoked) = stage.device(&bureau).await;
    let revoke = format!("DELETE /api/device-keys/{id}");
    assert_eq!(stage.status(&revoke, &operator()).await, 204);
    [
        Credentials::none(),
        Credentials::bearer(&expired_token()),
        Credentials::bearer(&foreign_token()),
        Credentials::bearer(&token_for_another_audience()),
        viewer(),
        operator(),
        admin(),
        of_site("viewer", "École"),
        device,
        revoked,
    ]
}

#[tokio::test]
async fn everybody_gets_the_answer_of_the_table() {
    let stage = Stage::new().await;
    let everybody = everybody(&stage).await;
    for (call, made, expected) in ROWS {
        if made.ends_with("/known") && made.starts_with("PATCH") {
            stage.account("known", "viewer", Value::Null).await;
        }
        let mut answered = Vec::new();
        for (number, who) in everybody.iter().enumerate() {
            let response = if *call == "PUT /api/models" {
                stage.upload(made, who, glb::triangle()).await
            } else {
                let body = body(call, number);
                stage.call(made, who, body.as_ref()).await
            };
            answered.push(response.status().as_u16());
        }
        let named = |statuses: &[u16]| -> Vec<(&str, u16)> {
            EVERYBODY
                .into_iter()
                .zip(statuses.iter().copied())
                .collect()
        };
        assert_eq!(named(&answered), named(expected), "{call}");
    }
}

fn rows() -> BTreeSet<String> {
    ROWS.iter().map(|(call, ..)| (*call).to_owned()).collect()
}

#[test]
fn every_rule_has_a_row() {
    let rules = rules().into_iter();
    let calls = rules.map(|rule| format!("{} {}", rule.method, rule.path));
    assert_eq!(rows(), calls.collect());
}

#[tokio::test]
async fn the_document_has_every_call_and_no_other() {
    let stage = Stage::new().await;
    let document = stage.json("GET /api/openapi.json", &viewer(), None).await;
    let mut documented = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            if method != "parameters" {
                documented.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    assert_eq!(documented, rows());
}

#[tokio::test]
async fn a_method_that_a_call_does_not_have_is_refused_to_everybody() {
    let stage = Stage::new().await;
    let calls = rows();
    let paths: BTreeSet<_> = rules().into_iter().map(|rule| rule.path).collect();
    for path in paths {
        for method in ["GET", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE"] {
            if calls.contains(&format!("{method} {path}")) {
                continue;
            }
            let call = format!("{method} {path}");
            let refused = stage.call(&call, &admin(), None).await;
            assert_eq!(refused.status(), 405, "{call}");
            let allowed = refused.headers()["allow"].to_str().unwrap().to_owned();
            for method in allowed.split(", ") {
                // HEAD is answered wherever GET is.
                let declared = if method == "HEAD" { "GET" } else { method };
                assert!(
                    calls.contains(&format!("{declared} {path}")),
                    "{allowed}: {path}"
                );
            }
            let unknown = stage.call(&call, &Credentials::none(), None).await;
            let open = path == "/health/live" || path.starts_with("/api/auth/");
            assert!(
                unknown.status() == 401 || open && unknown.status() == 405,
                "{call}: {}",
                unknown.status()
            );
        }
    }
}

#[tokio::test]
async fn what_is_not_there_is_told_to_those_who_are_let_in() {
    let stage = Stage::new().await;
    for path in ["/api", "/api/", "/api/nothing", "/api/users/a/b"] {
        let call = format!("GET {path}");
        assert_eq!(
            stage.problem(&call, &Credentials::none(), None).await.0,
            401,
            "{path}"
        );
        assert_eq!(stage.problem(&call, &viewer(), None).await.0, 404, "{path}");
    }
    // A page that is not there is no secret.
    for path in ["/ws/nothing", "/health/nothing", "/metrics/x"] {
        let call = format!("GET {path}");
        let missing = stage.problem(&call, &Credentials::none(), None).await;
        assert_eq!(missing.0, 404, "{path}");
    }
    let missing = stage
        .problem("GET /nothing.html", &Credentials::none(), None)
        .await;
    assert_eq!(missing, (404, "not_found".to_owned()));
}

#[tokio::test]
async fn another_spelling_of_a_path_opens_nothing() {
    let stage = Stage::new().await;
    for path in [
        "/%61pi/latest",
        "/api/%6Catest",
        "//api/latest",
        "/api//latest",
        "/./api/latest",
        "/x/../api/latest",
        "/api/latest/",
        "/API/latest",
        "/api/latest%00",
        "/api/latest;x",
        "/api%2Flatest",
    ] {
        let mut wire = Wire::open(stage.server.address).await;
        wire.send(format!("GET {path} HTTP/1.1\r\nHost: server\r\n\r\n"))
            .await;
        let answer = wire.answer().await;
        assert!(
            matches!(answer.status, 400 | 401 | 404),
            "{path}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn of_another_site_there_is_nothing_to_see() {
    let stage = Stage::new().await;
    let elsewhere = of_site("viewer", "École");
    for path in [
        "/api/latest",
        "/api/rooms",
        "/api/sensors",
        "/api/iaq/data",
        "/api/iaq/data?format=csv",
        "/api/iaq/data?format=ndjson",
        "/api/iaq/data?points=10",
        "/api/iaq/data?step=1h",
    ] {
        let call = format!("GET {path}");
        let all = stage
            .call(&call, &viewer(), None)
            .await
            .text()
            .await
            .unwrap();
        assert!(
            all.contains("Maison") && all.contains("École"),
            "{path}: {all}"
        );
        let own = stage
            .call(&call, &elsewhere, None)
            .await
            .text()
            .await
            .unwrap();
        assert!(
            own.contains("École") && own.contains("classe1"),
            "{path}: {own}"
        );
        assert!(
            !own.contains("Maison") && !own.contains("bureau1"),
            "{path}: {own}"
        );
    }
}

#[tokio::test]
async fn what_one_may_not_see_is_answered_like_what_is_not_there() {
    let stage = Stage::new().await;
    let elsewhere = of_site("viewer", "École");
    for (there, not_there) in [
        (
            "/api/latest?enseigne=Maison",
            "/api/latest?enseigne=Nowhere",
        ),
        (
            "/api/iaq/data?enseigne=Maison",
            "/api/iaq/data?enseigne=Nowhere",
        ),
        (
            "/api/iaq/data?sensor_id=bureau1",
            "/api/iaq/data?sensor_id=nothing",
        ),
        (
            "/api/iaq/data?salle=Bureau&format=csv",
            "/api/iaq/data?salle=Nowhere&format=csv",
        ),
    ] {
        let text = async |path: &str| {
            let call = format!("GET {path}");
            let response = stage.call(&call, &elsewhere, None).await;
            (response.status(), response.text().await.unwrap())
        };
        assert_eq!(text(there).await, text(not_there).await, "{there}");
    }
    let problem = async |path: &str| {
        let call = format!("GET {path}");
        let mut problem: Value = stage
            .call(&call, &elsewhere, None)
            .await
            .json()
            .await
            .unwrap();
        problem["request_id"] = Value::Null;
        problem
    };
    assert_eq!(
        problem("/api/sensors/bureau1").await,
        problem("/api/sensors/nothing").await
    );
}

#[tokio::test]
async fn a_sensor_that_moved_shows_each_site_its_own_time() {
    let stage = Stage::new().await;
    let moved = json!({"sensor_id": "bureau1", "enseigne": "École", "salle": "Classe",
        "values": {"CO2": 777}});
    stage
        .json("POST /api/ingest", &operator(), Some(&moved))
        .await;
    let history = async |site: &str| {
        let who = of_site("viewer", site);
        let all = stage
            .json("GET /api/iaq/data?sensor_id=bureau1", &who, None)
            .await;
        let values = all.as_array().unwrap().iter();
        values.map(|one| one["co2"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(history("Maison").await, [645]);
    assert_eq!(history("École").await, [777]);
    let gone = stage
        .problem(
            "GET /api/sensors/bureau1",
            &of_site("viewer", "Maison"),
            None,
        )
        .await;
    assert_eq!(gone.0, 404);
}

#[tokio::test]
async fn a_browser_that_two_people_use_is_not_told_that_nothing_has_changed() {
    let stage = Stage::new().await;
    let first = stage.call("GET /api/latest", &viewer(), None).await;
    let tag = first.headers()["etag"].to_str().unwrap().to_owned();
    let Credentials(Some((name, value))) = of_site("viewer", "École") else {
        panic!("nobody");
    };
    let request = client()
        .get(stage.server.url("/api/latest"))
        .header("if-none-match", &tag)
        .header(name, value);
    let second = request.send().await.unwrap();
    assert_eq!(second.status(), 200);
    assert_ne!(second.headers()["etag"].to_str().unwrap(), tag);
}
