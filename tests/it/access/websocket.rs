//! The stream, and everybody who wants to hear it.

use super::stage::{
    Credentials, PASSWORD, SECRET, Stage, admin, claims, expired_token, foreign_token, now_s,
    operator, signed, token_for_another_audience, token_of_site,
};
use crate::harness::{PATIENCE, Socket, client};
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};
use tokio::time::timeout;

fn token(role: &str) -> String {
    signed(&claims(role))
}

async fn connect(stage: &Stage, query: &str, headers: &[(&'static str, &str)]) -> Socket {
    let url = format!("ws://{}/ws{query}", stage.server.address);
    Socket::open(&url, headers).await.unwrap()
}

/// A WebSocket of whoever has this token, past its welcome.
async fn welcomed(stage: &Stage, token: &str, topics: &str) -> Socket {
    let query = format!("?token={token}&topics={topics}");
    let mut socket = connect(stage, &query, &[]).await;
    assert_eq!(socket.next().await["type"], "connection");
    socket
}

async fn post(stage: &Stage, sensor: &str, co2: u32) {
    let reading = json!({"sensor_id": sensor, "values": {"CO2": co2}});
    stage
        .json("POST /api/ingest", &operator(), Some(&reading))
        .await;
}

#[tokio::test]
async fn a_token_comes_in_whichever_way_a_client_can_send_it() {
    let stage = Stage::new().await;
    let token = token("viewer");
    let bearer = format!("Bearer {token}");
    let protocols = format!("iaqverse.v1, bearer.{token}");
    let alone = format!("bearer.{token}");
    for (query, headers) in [
        (String::new(), vec![("authorization", bearer.as_str())]),
        (format!("?token={token}"), vec![]),
        (
            String::new(),
            vec![("sec-websocket-protocol", protocols.as_str())],
        ),
        (
            String::new(),
            vec![("sec-websocket-protocol", alone.as_str())],
        ),
    ] {
        let mut socket = connect(&stage, &query, &headers).await;
        assert_eq!(
            socket.next().await["type"],
            "connection",
            "{query} {headers:?}"
        );
    }
    let mut socket = connect(&stage, "", &[]).await;
    socket.send(&json!({"type": "auth", "token": token})).await;
    let answer = socket.next().await;
    assert_eq!(answer["type"], "authenticated");
    assert!(answer["expires_at"].is_string());
    let welcome = socket.next().await;
    assert_eq!(
        (&welcome["type"], &welcome["subscriptions"]),
        (&json!("connection"), &json!(["all"]))
    );
    post(&stage, "bureau1", 701).await;
    assert_eq!(socket.next().await["co2"], 701);
}

#[rstest]
#[case::expired(expired_token())]
#[case::forged(foreign_token())]
#[case::audience(token_for_another_audience())]
#[case::nonsense("x".to_owned())]
#[case::empty(String::new())]
#[tokio::test]
async fn a_bad_token_is_refused_with_1008_after_the_upgrade(#[case] token: String) {
    let stage = Stage::new().await;
    let mut by_query = connect(&stage, &format!("?token={token}"), &[]).await;
    assert_eq!(by_query.close_code().await, 1008);
    let bearer = format!("Bearer {token}");
    let mut by_header = connect(&stage, "", &[("authorization", &bearer)]).await;
    assert_eq!(by_header.close_code().await, 1008);
    let mut by_message = connect(&stage, "", &[]).await;
    by_message
        .send(&json!({"type": "auth", "token": token}))
        .await;
    assert_eq!(by_message.close_code().await, 1008);
}

#[tokio::test]
async fn whoever_shows_nothing_hears_nothing_and_is_closed_with_1008() {
    let stage = Stage::new().await;
    let mut silent = connect(&stage, "", &[]).await;
    let mut impatient = connect(&stage, "", &[]).await;
    let subscribe = json!({"type": "subscribe", "topics": ["all"], "snapshot": true});
    impatient.send(&subscribe).await;
    assert_eq!(impatient.close_code().await, 1008);
    post(&stage, "bureau1", 702).await;
    // The next thing it hears is the end.
    assert_eq!(silent.close_code().await, 1008);
}

/// Everything a client can ask, by whoever is let in: the code of the refusal, or what is answered.
#[tokio::test]
async fn everybody_gets_the_answer_of_the_table_to_every_command() {
    let stage = Stage::new().await;
    let own = json!({"type": "subscribe", "topics": ["measurements"],
        "filter": {"enseigne": "École"}});
    let others = json!({"type": "subscribe", "topics": ["measurements"],
        "filter": {"enseigne": "Maison"}});
    let subscribe = |topic: &str| json!({"type": "subscribe", "topics": [topic]});
    let unsubscribe = json!({"type": "unsubscribe", "topics": ["all"]});
    let auth = |token: &str| json!({"type": "auth", "token": token});
    // A viewer, an operator, an admin, a viewer of École.
    let everybody = [
        token("viewer"),
        token("operator"),
        token("admin"),
        token_of_site("viewer", "École"),
    ];
    let same = |answer: &'static str| [answer; 4];
    let not_restricted = |answer: &'static str| [answer, answer, answer, "forbidden"];
    let table: [(Value, [&str; 4]); 18] = [
        (json!({"type": "ping"}), same("pong")),
        (json!({"type": "get_stats"}), same("stats_update")),
        (
            json!({"type": "request_metrics"}),
            not_restricted("metrics_update"),
        ),
        (subscribe("measurements"), same("subscribed")),
        (subscribe("predictions"), same("subscribed")),
        (subscribe("actions"), same("subscribed")),
        (subscribe("alerts"), same("subscribed")),
        (subscribe("modules"), same("subscribed")),
        (subscribe("system"), not_restricted("subscribed")),
        (subscribe("all"), same("subscribed")),
        (
            json!({"type": "subscribe", "topics": ["alerts", "system"]}),
            not_restricted("subscribed"),
        ),
        (own, same("subscribed")),
        (others, not_restricted("subscribed")),
        (unsubscribe, same("unsubscribed")),
        (auth(&token("viewer")), same("authenticated")),
        (auth(&expired_token()), same("token_expired")),
        (auth(&foreign_token()), same("bad_token")),
        (json!({"type": "dance"}), same("unknown_type")),
    ];
    for (command, expected) in table {
        let mut answered = Vec::new();
        for token in &everybody {
            let mut socket = welcomed(&stage, token, "alerts").await;
            socket.send(&command).await;
            let answer = socket.next().await;
            let name = if answer["type"] == "error" {
                "code"
            } else {
                "type"
            };
            answered.push(answer[name].as_str().unwrap().to_owned());
        }
        assert_eq!(answered, expected, "{command}");
    }
}

/// What of a reading in Maison and one in École comes with each topic and filter.
#[rstest]
#[case::all("all", Value::Null)]
#[case::measurements("measurements", Value::Null)]
#[case::by_sensor("measurements", json!({"sensor_id": "bureau1"}))]
#[case::by_room("all", json!({"salle": "Bureau"}))]
#[tokio::test]
async fn of_another_site_nothing_is_heard(#[case] topic: &str, #[case] filter: Value) {
    let stage = Stage::new().await;
    let mut socket = welcomed(&stage, &token_of_site("viewer", "École"), "alerts").await;
    let mut everything = welcomed(&stage, &token("viewer"), "all").await;
    let id = everything.drain().await;
    assert!(id.is_empty());
    let mut subscribe = json!({"type": "subscribe", "topics": [topic], "snapshot": true});
    if !filter.is_null() {
        subscribe["filter"] = filter.clone();
    }
    socket.send(&subscribe).await;
    let answers = socket.drain().await;
    assert_eq!(answers[0]["type"], "subscribed");
    let expected: &[&str] = if filter.is_null() { &["classe1"] } else { &[] };
    assert_eq!(sensors(&answers[1]["data"]), expected);

    post(&stage, "bureau1", 801).await;
    post(&stage, "classe1", 802).await;
    let first = everything.next().await;
    everything.next().await;
    let heard = socket.drain().await;
    assert_eq!(sensors(&Value::Array(heard)), expected);

    // A replay, from memory and, after a kill, from the database.
    let before_first = previous(first["id"].as_str().unwrap());
    subscribe["since"] = before_first.into();
    let mut late = welcomed(&stage, &token_of_site("viewer", "École"), "alerts").await;
    late.send(&subscribe).await;
    let answers = late.drain().await;
    assert_eq!(answers[0]["recovered"], true, "{answers:?}");
    assert_eq!(sensors(&Value::Array(answers[1..].to_vec())), expected);
    let stage = Stage {
        server: stage.server.revive(),
    };
    let mut later = welcomed(&stage, &token_of_site("viewer", "École"), "alerts").await;
    later.send(&subscribe).await;
    let answers = later.drain().await;
    assert!(!Value::Array(answers).to_string().contains("Maison"));
}

/// The id before one: ids of one start are numbered.
fn previous(id: &str) -> String {
    let (epoch, sequence) = id.split_once('-').unwrap();
    format!("{epoch}-{}", sequence.parse::<u64>().unwrap() - 1)
}

fn sensors(messages: &Value) -> Vec<&str> {
    let messages = messages.as_array().unwrap().iter();
    messages
        .map(|message| message["sensor_id"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn the_address_asks_for_no_more_than_one_may_have() {
    let stage = Stage::new().await;
    let restricted = token_of_site("viewer", "École");
    let mut socket = welcomed(&stage, &restricted, "system,measurements").await;
    assert_eq!(socket.next().await["code"], "forbidden");
    post(&stage, "bureau1", 811).await;
    post(&stage, "classe1", 812).await;
    assert_eq!(socket.next().await["co2"], 812);
}

#[tokio::test]
async fn another_token_on_a_live_connection_changes_what_is_heard() {
    let stage = Stage::new().await;
    let mut socket = welcomed(&stage, &token_of_site("viewer", "École"), "measurements").await;
    let heard = async |socket: &mut Socket, co2: u32| {
        post(&stage, "bureau1", co2).await;
        post(&stage, "classe1", co2).await;
        let heard = socket.drain().await;
        let heard = Value::Array(heard);
        sensors(&heard)
            .iter()
            .map(|sensor| (*sensor).to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(heard(&mut socket, 821).await, ["classe1"]);
    for (token, expected) in [
        (token("viewer"), &["bureau1", "classe1"][..]),
        (token_of_site("operator", "Maison"), &["bureau1"][..]),
        (token("admin"), &["bureau1", "classe1"][..]),
    ] {
        socket.send(&json!({"type": "auth", "token": token})).await;
        assert_eq!(socket.next().await["type"], "authenticated");
        assert_eq!(heard(&mut socket, 822).await, expected);
    }
    // With a system topic asked for, a narrower token takes it away and says so.
    socket
        .send(&json!({"type": "subscribe", "topics": ["system"]}))
        .await;
    assert_eq!(socket.next().await["type"], "subscribed");
    let narrower = json!({"type": "auth", "token": token_of_site("viewer", "École")});
    socket.send(&narrower).await;
    assert_eq!(socket.next().await["type"], "authenticated");
    assert_eq!(socket.next().await["code"], "forbidden");
    assert_eq!(heard(&mut socket, 823).await, ["classe1"]);
}

#[tokio::test]
async fn what_max_hz_holds_back_for_a_wider_token_is_not_for_a_narrower_one() {
    let stage = Stage::new().await;
    let mut socket = welcomed(&stage, &token("viewer"), "alerts").await;
    let slowly = json!({"type": "subscribe", "topics": ["measurements"], "max_hz": 0.001});
    socket.send(&slowly).await;
    assert_eq!(socket.next().await["type"], "subscribed");
    post(&stage, "bureau1", 831).await;
    assert_eq!(socket.next().await["co2"], 831);
    post(&stage, "bureau1", 832).await;
    post(&stage, "classe1", 833).await;
    let narrower = json!({"type": "auth", "token": token_of_site("viewer", "École")});
    socket.send(&narrower).await;
    assert_eq!(socket.next().await["type"], "authenticated");
    // What is held goes out when nothing is held any more.
    let mut at_once = slowly.clone();
    at_once["max_hz"] = json!(0);
    socket.send(&at_once).await;
    let heard = socket.drain().await;
    let heard: Vec<_> = heard
        .iter()
        .filter(|message| message["type"] == "measurement")
        .collect();
    let co2: Vec<_> = heard.iter().map(|message| &message["co2"]).collect();
    assert_eq!(co2, [833], "{heard:?}");
}

fn token_for(seconds: u64) -> String {
    let mut claims = claims("viewer");
    claims["exp"] = json!(now_s() + seconds);
    signed(&claims)
}

#[tokio::test]
async fn an_end_is_announced_and_comes_unless_another_token_does() {
    let stage = Stage::new().await;
    let soon = token_for(3);
    let mut ends = welcomed(&stage, &soon, "alerts").await;
    let mut stays = welcomed(&stage, &soon, "alerts").await;
    for socket in [&mut ends, &mut stays] {
        let notice = socket.next().await;
        assert_eq!(notice["type"], "token_expiring", "{notice}");
        assert!(notice["expires_at"].is_string());
    }
    stays
        .send(&json!({"type": "auth", "token": token_for(300)}))
        .await;
    assert_eq!(stays.next().await["type"], "authenticated");
    let error = ends.next().await;
    assert_eq!(
        (&error["type"], &error["code"]),
        (&json!("error"), &json!("token_expired"))
    );
    assert_eq!(ends.close_code().await, 1008);
    assert!(stays.drain().await.is_empty());
}

#[tokio::test]
async fn who_logs_out_is_cut_off_and_nobody_else() {
    let stage = Stage::new().await;
    stage.account("ada", "viewer", Value::Null).await;
    let (one, other) = (stage.log_in("ada").await, stage.log_in("ada").await);
    let mut out = welcomed(&stage, one["access_token"].as_str().unwrap(), "alerts").await;
    let mut stays = welcomed(&stage, other["access_token"].as_str().unwrap(), "alerts").await;
    let events = client().get(stage.server.url(&format!(
        "/api/events?topics=alerts&token={}",
        one["access_token"].as_str().unwrap()
    )));
    let mut events = events.send().await.unwrap();
    let body = json!({"refresh_token": one["refresh_token"]});
    let call = "POST /api/auth/logout";
    stage.call(call, &Credentials::none(), Some(&body)).await;
    assert_eq!(out.next().await["code"], "revoked");
    assert_eq!(out.close_code().await, 1008);
    let mut heard = String::new();
    while let Some(part) = timeout(PATIENCE, events.chunk()).await.unwrap().unwrap() {
        heard.push_str(std::str::from_utf8(&part).unwrap());
    }
    assert!(heard.contains("\"revoked\""), "{heard}");
    assert!(stays.drain().await.is_empty());
}

#[tokio::test]
async fn a_stream_of_events_is_for_whoever_may_have_it() {
    let stage = Stage::new().await;
    let get = async |query: &str| {
        let request = client().get(stage.server.url(&format!("/api/events{query}")));
        request.send().await.unwrap()
    };
    assert_eq!(get("").await.status(), 401);
    let restricted = token_of_site("viewer", "École");
    let forbidden = get(&format!("?topics=system&token={restricted}")).await;
    assert_eq!(forbidden.status(), 403);
    let mut stream = get(&format!(
        "?topics=measurements&snapshot=true&token={restricted}"
    ))
    .await;
    assert_eq!(stream.status(), 200);
    let mut heard = String::new();
    post(&stage, "bureau1", 831).await;
    post(&stage, "classe1", 832).await;
    while !heard.contains("\"co2\":832") {
        let part = timeout(PATIENCE, stream.chunk()).await.unwrap().unwrap();
        heard.push_str(std::str::from_utf8(&part.unwrap()).unwrap());
    }
    assert!(!heard.contains("Maison"), "{heard}");
    // Elsewhere a token in the address is none.
    let latest = client().get(stage.server.url(&format!("/api/latest?token={restricted}")));
    assert_eq!(latest.send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn no_page_of_another_site_reads_along() {
    let stage = Stage::new().await;
    let query = format!("?token={}", token("viewer"));
    let url = format!("ws://{}/ws{query}", stage.server.address);
    let own = format!("http://{}", stage.server.address);
    let evil = format!("{own}.evil.example");
    for origin in ["https://evil.example", "null", &evil] {
        let refused = Socket::open(&url, &[("origin", origin)]).await;
        assert!(refused.is_err(), "{origin}");
    }
    let mut socket = Socket::open(&url, &[("origin", &own)]).await.unwrap();
    assert_eq!(socket.next().await["type"], "connection");
}

#[tokio::test]
async fn no_token_reaches_the_log() {
    let stage = Stage::new().await;
    stage.account("ada", "viewer", Value::Null).await;
    let tokens = stage.log_in("ada").await;
    let (access, refresh) = (
        tokens["access_token"].as_str().unwrap(),
        tokens["refresh_token"].as_str().unwrap(),
    );
    drop(welcomed(&stage, access, "all").await);
    let protocols = format!("bearer.{access}");
    drop(connect(&stage, "", &[("sec-websocket-protocol", &protocols)]).await);
    let mut socket = connect(&stage, "", &[]).await;
    socket.send(&json!({"type": "auth", "token": access})).await;
    socket.next().await;
    for call in ["GET /api/latest", "GET /api/nothing", "POST /api/ingest"] {
        stage.call(call, &Credentials::bearer(access), None).await;
    }
    let (_, Credentials(Some((_, key)))) = stage.device(&json!({"sensors": ["*"]})).await else {
        panic!("no key");
    };
    stage
        .call("GET /api/latest", &Credentials::key(&key), None)
        .await;
    for wrong in [
        json!({"name": "ada", "password": "canary-of-a-wrong-password"}),
        json!({"name": "canary-of-a-password-in-the-wrong-field", "password": "?"}),
    ] {
        let nobody = Credentials::none();
        let refused = stage.call("POST /api/auth/login", &nobody, Some(&wrong));
        assert_eq!(refused.await.status(), 401);
    }
    let metrics = stage
        .call("GET /metrics", &admin(), None)
        .await
        .text()
        .await
        .unwrap();
    let log = stage.log_up_to_now().await;
    assert!(log.contains("a login was refused"));
    for secret in [access, refresh, &key, SECRET, PASSWORD, "canary", "argon2"] {
        assert!(!log.contains(secret), "{secret}");
        assert!(!metrics.contains(secret), "{secret}");
    }
}
