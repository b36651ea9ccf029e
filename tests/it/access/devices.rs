//! Keys of devices, and how a sensor gets one.

use super::stage::{Credentials, Stage, admin, of_site, operator, viewer};
use crate::harness::{Socket, client, faults};
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};

const INGEST: &str = "POST /api/ingest";

fn reading(sensor: &str, site: Option<&str>) -> Value {
    let mut reading = json!({"sensor_id": sensor, "values": {"CO2": 700}});
    if let Some(site) = site {
        reading["enseigne"] = site.into();
        reading["salle"] = "Salon".into();
    }
    reading
}

#[tokio::test]
async fn a_key_is_shown_once_and_kept_as_a_hash() {
    let stage = Stage::new().await;
    let body = json!({"sensors": ["esp-*"], "label": "Küche <b>"});
    let made = stage
        .json("POST /api/device-keys", &operator(), Some(&body))
        .await;
    let key = made["key"].as_str().unwrap().to_owned();
    // 256 bits, in base64url.
    let secret = key.get(18..).unwrap();
    assert_eq!((key.len(), secret.len()), (61, 43));
    let listed = stage.json("GET /api/device-keys", &operator(), None).await;
    assert_eq!(listed[0]["label"], "Küche <b>");
    assert_eq!(listed[0]["sensors"], json!(["esp-*"]));
    assert_eq!(listed[0]["created_by"], "operator");
    assert_eq!(listed[0]["last_used_at"], Value::Null);
    assert!(!listed.to_string().contains(secret));
    let device = Credentials::key(&key);
    stage
        .json(INGEST, &device, Some(&reading("esp-1", Some("Maison"))))
        .await;
    let listed = stage.json("GET /api/device-keys", &operator(), None).await;
    assert!(listed[0]["last_used_at"].is_string());
    // Nowhere on the disk, the log of the database included.
    let mut files = 0;
    for file in std::fs::read_dir(stage.server.folder()).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "{}", path.display());
            files += 1;
        }
    }
    assert!(files > 0);
}

#[tokio::test]
async fn when_a_key_was_last_used_is_known_after_a_stop() {
    let mut stage = Stage::new().await;
    let (_, device) = stage.device(&json!({"sensors": ["*"]})).await;
    stage
        .json(INGEST, &device, Some(&reading("esp-1", Some("Maison"))))
        .await;
    stage.server.terminate();
    let (content, server) = stage.server.ended_and_started_again().await;
    assert!(content);
    stage.server = server;
    let listed = stage.json("GET /api/device-keys", &operator(), None).await;
    assert!(listed[0]["last_used_at"].is_string(), "{listed}");
}

#[rstest]
#[case::bearer(true)]
#[case::x_api_key(false)]
#[tokio::test]
async fn a_device_writes_its_own_sensors_and_nothing_else(#[case] as_bearer: bool) {
    let stage = Stage::new().await;
    let (_, Credentials(Some((_, key)))) = stage.device(&json!({"sensors": ["esp-*"]})).await
    else {
        panic!("no key");
    };
    let device = if as_bearer {
        Credentials::bearer(&key)
    } else {
        Credentials::key(&key)
    };
    let own = stage
        .json(INGEST, &device, Some(&reading("esp-1", Some("Maison"))))
        .await;
    assert_eq!(own["status"], "success");
    let others = reading("bureau1", None);
    let response = stage.call(INGEST, &device, Some(&others)).await;
    assert_eq!(response.status(), 403);
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["errors"][0]["pointer"], "/sensor_id");
    let batch = json!([
        reading("esp-1", None),
        others,
        reading("esp-2", Some("Maison"))
    ]);
    let response = stage.call(INGEST, &device, Some(&batch)).await;
    assert_eq!(response.status(), 207);
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["accepted"], 2);
    assert_eq!(answer["rejected"][0]["index"], 1);
    assert_eq!(answer["rejected"][0]["errors"][0]["code"], "forbidden");
    let all = json!([others, others]);
    assert_eq!(
        stage.problem(INGEST, &device, Some(&all)).await,
        (403, "forbidden".to_owned())
    );
    // The value of before.
    let latest = stage
        .json("GET /api/latest?salle=Bureau", &viewer(), None)
        .await;
    assert_eq!(latest[0]["co2"], 645);
}

#[tokio::test]
async fn whoever_is_restricted_to_sites_writes_there_only() {
    let stage = Stage::new().await;
    let body = json!({"sensors": ["*"], "sites": ["Maison"]});
    let (_, device) = stage.device(&body).await;
    for who in [device, of_site("operator", "Maison")] {
        for (reading, pointer) in [
            (reading("new", Some("École")), ("/enseigne", "forbidden")),
            // To write it would change what another site has measured,
            (reading("classe1", None), ("/sensor_id", "other_sensor")),
            // and so would moving it first.
            (
                reading("classe1", Some("Maison")),
                ("/sensor_id", "other_sensor"),
            ),
        ] {
            let response = stage.call(INGEST, &who, Some(&reading)).await;
            assert_eq!(response.status(), 403, "{reading}");
            let problem: Value = response.json().await.unwrap();
            assert_eq!(problem["code"], "forbidden");
            assert_eq!(faults(&problem["errors"]), [pointer]);
            // Where it is, is nobody's business.
            let told = problem.to_string();
            assert!(
                !told.contains("Classe") && !told.contains("École"),
                "{told}"
            );
        }
        let taken = json!([reading("classe1", None), reading("classe1", Some("École"))]);
        assert_eq!(
            stage.problem(INGEST, &who, Some(&taken)).await,
            (403, "forbidden".to_owned())
        );
        stage
            .json(INGEST, &who, Some(&reading("bureau1", None)))
            .await;
        stage
            .json(INGEST, &who, Some(&reading("bureau1", Some("Maison"))))
            .await;
    }
}

#[tokio::test]
async fn a_key_with_a_room_puts_its_readings_there_whatever_they_say() {
    let stage = Stage::new().await;
    let body = json!({"sensors": ["esp-1"], "enseigne": "Maison", "salle": "Cuisine"});
    let (_, device) = stage.device(&body).await;
    for site in [None, Some("École")] {
        stage
            .json(INGEST, &device, Some(&reading("esp-1", site)))
            .await;
        let sensor = stage.json("GET /api/sensors/esp-1", &viewer(), None).await;
        assert_eq!(
            (&sensor["enseigne"], &sensor["salle"]),
            (&json!("Maison"), &json!("Cuisine"))
        );
    }
}

#[tokio::test]
async fn an_operator_hands_out_no_more_than_he_has() {
    let stage = Stage::new().await;
    let restricted = of_site("operator", "Maison");
    let call = "POST /api/device-keys";
    let key = stage
        .json(call, &restricted, Some(&json!({"sensors": ["*"]})))
        .await;
    assert_eq!(key["sites"], json!(["Maison"]));
    for (more, pointer) in [
        (json!({"sensors": ["*"], "sites": ["École"]}), "/sites"),
        (
            json!({"sensors": ["*"], "enseigne": "École", "salle": "Classe"}),
            "/enseigne",
        ),
    ] {
        let response = stage.call(call, &restricted, Some(&more)).await;
        assert_eq!(response.status(), 422);
        let problem: Value = response.json().await.unwrap();
        assert_eq!(problem["errors"][0]["pointer"], pointer);
    }
    // Keys of others are hidden from an operator of other sites.
    let (id, _) = stage.device(&json!({"sensors": ["*"]})).await;
    let listed = stage.json("GET /api/device-keys", &restricted, None).await;
    assert_eq!(listed.as_array().unwrap().len(), 1);
    let revoke = format!("DELETE /api/device-keys/{id}");
    let refused = stage.problem(&revoke, &restricted, None).await;
    assert_eq!(refused, (404, "not_found".to_owned()));
}

#[tokio::test]
async fn what_a_moved_sensor_measured_elsewhere_is_not_for_its_new_site() {
    let stage = Stage::new().await;
    let of = |site: &str, minute: u32, co2: u32| {
        json!({"sensor_id": "moved", "enseigne": site, "salle": "Salle",
            "timestamp": format!("2025-11-19T10:{minute:02}:00Z"), "values": {"CO2": co2}})
    };
    for reading in [of("École", 1, 500), of("Maison", 2, 600)] {
        stage.json(INGEST, &operator(), Some(&reading)).await;
    }
    let mut without_a_place = of("", 1, 5000);
    for field in ["enseigne", "salle"] {
        without_a_place.as_object_mut().unwrap().remove(field);
    }
    let restricted = json!({"sensors": ["moved"], "sites": ["Maison"]});
    let (_, device) = stage.device(&restricted).await;
    for who in [of_site("operator", "Maison"), device] {
        for reading in [&without_a_place, &of("Maison", 1, 5000)] {
            let refused = stage.call(INGEST, &who, Some(reading)).await;
            assert_eq!(refused.status(), 403);
            let problem: Value = refused.json().await.unwrap();
            assert_eq!(
                (&problem["code"], &problem["errors"][0]["pointer"]),
                (&json!("forbidden"), &json!("/timestamp"))
            );
        }
        let late = stage.json(INGEST, &who, Some(&of("Maison", 2, 700))).await;
        assert_eq!(late["status"], "success");
    }
    let call = "GET /api/iaq/data?sensor_id=moved&start=2025-11-19T10:00:00Z";
    let seen = stage.json(call, &of_site("viewer", "École"), None).await;
    let co2: Vec<_> = seen
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["co2"])
        .collect();
    assert_eq!(co2, [&json!(500)]);
}

#[tokio::test]
async fn of_a_moved_sensor_everybody_is_told_what_it_has_at_his_own_sites() {
    let mut stage = Stage::new().await;
    let of = |site: &str, at: &str| {
        json!({"sensor_id": "moved", "enseigne": site, "salle": "Salle", "timestamp": at,
            "values": {"CO2": 500}})
    };
    let readings = json!([
        of("École", "2025-11-17T10:00:00Z"),
        of("École", "2025-11-18T10:00:00Z"),
        of("École", "2025-11-19T10:00:00Z"),
        of("Maison", "2025-11-19T10:05:07Z"),
        of("Maison", "2025-11-20T10:00:00Z"),
    ]);
    stage.json(INGEST, &operator(), Some(&readings)).await;
    let told = async |stage: &Stage, who: &Credentials| {
        let one = stage.json("GET /api/sensors/moved", who, None).await;
        let all = stage.json("GET /api/sensors", who, None).await;
        let mut listed = all.as_array().unwrap().iter();
        let listed = listed.find(|one| one["sensor_id"] == "moved");
        assert_eq!(Some(&one), listed);
        ["reading_count", "first_seen", "last_seen"].map(|key| one[key].clone())
    };
    let last = json!("2025-11-20T10:00:00Z");
    for _ in 0..2 {
        assert_eq!(
            told(&stage, &viewer()).await,
            [json!(5), json!("2025-11-17T10:00:00Z"), last.clone()]
        );
        assert_eq!(
            told(&stage, &of_site("viewer", "Maison")).await,
            [json!(2), json!("2025-11-19T10:05:07Z"), last.clone()]
        );
        // The same out of the chunks and roll-ups.
        stage.server.terminate();
        let (content, server) = stage.server.ended_and_started_again().await;
        assert!(content);
        stage.server = server;
    }
}

#[tokio::test]
async fn a_code_is_worth_nothing_when_its_maker_is_gone() {
    let stage = Stage::new().await;
    stage.account("ada", "operator", Value::Null).await;
    let tokens = stage.log_in("ada").await;
    let ada = Credentials::bearer(tokens["access_token"].as_str().unwrap());
    let place = json!({"enseigne": "Maison", "salle": "Cuisine"});
    let claim = stage.json("POST /api/claims", &ada, Some(&place)).await;
    stage.json("DELETE /api/users/ada", &admin(), None).await;
    let body = json!({"code": claim["code"], "sensor_id": "esp-9"});
    let redeem = "POST /api/claims/redeem";
    let refused = stage
        .problem(redeem, &Credentials::none(), Some(&body))
        .await;
    assert_eq!(refused, (401, "bad_code".to_owned()));
}

#[rstest]
#[case::no_sensors(json!({}), "/sensors")]
#[case::no_list(json!({"sensors": "esp"}), "/sensors")]
#[case::empty(json!({"sensors": []}), "/sensors")]
#[case::too_many(json!({"sensors": vec!["a"; 33]}), "/sensors")]
#[case::no_id(json!({"sensors": ["a b"]}), "/sensors/0")]
#[case::half_a_place(json!({"sensors": ["a"], "enseigne": "Maison"}), "/salle")]
#[case::place_elsewhere(
    json!({"sensors": ["a"], "sites": ["b"], "enseigne": "c", "salle": "d"}),
    "/enseigne"
)]
#[case::no_name(json!({"sensors": ["a"], "enseigne": "a\nb", "salle": "c"}), "/enseigne")]
#[case::label(json!({"sensors": ["a"], "label": "x".repeat(129)}), "/label")]
#[case::unknown(json!({"sensors": ["a"], "key": "iaqk_mine"}), "/key")]
#[tokio::test]
async fn what_is_wrong_with_a_key_is_told(#[case] body: Value, #[case] pointer: &str) {
    let stage = Stage::new().await;
    let response = stage
        .call("POST /api/device-keys", &operator(), Some(&body))
        .await;
    assert_eq!(response.status(), 422);
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
}

#[tokio::test]
async fn a_sensor_is_adopted_with_a_code() {
    let stage = Stage::new().await;
    let place = json!({"enseigne": "Maison", "salle": "Cuisine", "label": "by the window"});
    let claim = stage
        .json("POST /api/claims", &operator(), Some(&place))
        .await;
    assert_eq!(claim["state"], "waiting");
    let code = claim["code"].as_str().unwrap();
    let listed = stage.json("GET /api/claims", &operator(), None).await;
    assert_eq!(listed[0]["id"], claim["id"]);
    assert!(listed[0].get("code").is_none());

    let redeem = "POST /api/claims/redeem";
    let typed = code.to_lowercase().replace('-', "");
    let body = json!({"code": typed, "sensor_id": "esp-9"});
    let key = stage.json(redeem, &Credentials::none(), Some(&body)).await;
    assert_eq!(
        (&key["enseigne"], &key["salle"]),
        (&json!("Maison"), &json!("Cuisine"))
    );
    let device = Credentials::key(key["key"].as_str().unwrap());
    stage
        .json(INGEST, &device, Some(&reading("esp-9", None)))
        .await;
    let sensor = stage.json("GET /api/sensors/esp-9", &viewer(), None).await;
    assert_eq!(sensor["salle"], "Cuisine");
    let listed = stage.json("GET /api/claims", &operator(), None).await;
    assert_eq!(
        (
            &listed[0]["state"],
            &listed[0]["sensor_id"],
            &listed[0]["key_id"]
        ),
        (&json!("redeemed"), &json!("esp-9"), &key["key_id"])
    );
    let again = json!({"code": code, "sensor_id": "esp-10"});
    let used = stage
        .problem(redeem, &Credentials::none(), Some(&again))
        .await;
    assert_eq!(used, (401, "bad_code".to_owned()));
}

#[rstest]
#[case::nothing(json!({}), "/code")]
#[case::no_sensor(json!({"code": "AAAA-AAAA"}), "/sensor_id")]
#[case::an_empty_one(json!({"code": "AAAA-AAAA", "sensor_id": ""}), "/sensor_id")]
#[tokio::test]
async fn what_is_wrong_with_what_a_sensor_sends_is_told(
    #[case] body: Value,
    #[case] pointer: &str,
) {
    let stage = Stage::new().await;
    let redeem = "POST /api/claims/redeem";
    let response = stage.call(redeem, &Credentials::none(), Some(&body)).await;
    assert_eq!(response.status(), 422);
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
}

#[rstest]
#[case::nothing(json!({}), "/enseigne")]
#[case::empty(json!({"enseigne": "", "salle": "a"}), "/enseigne")]
#[case::no_room(json!({"enseigne": "a"}), "/salle")]
#[case::sensor(json!({"enseigne": "a", "salle": "b", "sensor_id": ""}), "/sensor_id")]
#[tokio::test]
async fn what_is_wrong_with_a_claim_is_told(#[case] body: Value, #[case] pointer: &str) {
    let stage = Stage::new().await;
    let response = stage
        .call("POST /api/claims", &operator(), Some(&body))
        .await;
    assert_eq!(response.status(), 422);
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
}

#[tokio::test]
async fn a_code_takes_over_nobodys_sensor() {
    let stage = Stage::new().await;
    let redeem = "POST /api/claims/redeem";
    let code = async |sensor: Value| {
        let body = json!({"enseigne": "Maison", "salle": "Cuisine", "sensor_id": sensor});
        let claim = stage
            .json("POST /api/claims", &operator(), Some(&body))
            .await;
        claim["code"].clone()
    };
    let use_up = async |code: Value, sensor: &str| {
        let body = json!({"code": code, "sensor_id": sensor});
        let response = stage.call(redeem, &Credentials::none(), Some(&body)).await;
        response.status().as_u16()
    };
    stage.device(&json!({"sensors": ["has-a-key"]})).await;
    let open = code(Value::Null).await;
    assert_eq!(use_up(open.clone(), "bureau1").await, 409);
    assert_eq!(use_up(open.clone(), "has-a-key").await, 409);
    assert_eq!(use_up(open, "new").await, 200);
    let named = code(json!("bureau1")).await;
    assert_eq!(use_up(named.clone(), "new-too").await, 409);
    assert_eq!(use_up(named, "bureau1").await, 200);
}

#[tokio::test]
async fn a_code_that_is_taken_back_is_worth_nothing() {
    let stage = Stage::new().await;
    let place = json!({"enseigne": "Maison", "salle": "Cuisine"});
    let claim = stage
        .json("POST /api/claims", &operator(), Some(&place))
        .await;
    let call = format!("DELETE /api/claims/{}", claim["id"].as_str().unwrap());
    let elsewhere = of_site("operator", "École");
    assert_eq!(stage.status(&call, &elsewhere).await, 404);
    assert_eq!(
        stage.json("GET /api/claims", &elsewhere, None).await,
        json!([])
    );
    assert_eq!(stage.status(&call, &operator()).await, 204);
    let body = json!({"code": claim["code"], "sensor_id": "esp-9"});
    let refused = stage
        .problem("POST /api/claims/redeem", &Credentials::none(), Some(&body))
        .await;
    assert_eq!(refused, (401, "bad_code".to_owned()));
}

#[tokio::test]
async fn codes_cannot_be_tried_out() {
    let stage = Stage::with(&[("IAQ_RATE_LOGIN", "10")]).await;
    let mut statuses = Vec::new();
    for number in 0..12 {
        let body = json!({"code": format!("AAAA-AA{number:02}"), "sensor_id": "esp"});
        let tried = stage
            .problem("POST /api/claims/redeem", &Credentials::none(), Some(&body))
            .await;
        statuses.push(tried.0);
    }
    assert_eq!(statuses[..10], [401; 10]);
    assert_eq!(statuses[11], 429);
}

#[tokio::test]
async fn a_device_has_nothing_to_do_with_the_stream() {
    let stage = Stage::new().await;
    let (_, Credentials(Some((_, key)))) = stage.device(&json!({"sensors": ["*"]})).await else {
        panic!("no key");
    };
    let url = format!("ws://{}/ws", stage.server.address);
    let mut socket = Socket::open(&url, &[("x-api-key", &key)]).await.unwrap();
    assert_eq!(socket.close_code().await, 1008);
    let events = client()
        .get(stage.server.url("/api/events"))
        .header("x-api-key", &key);
    assert_eq!(events.send().await.unwrap().status(), 403);
    // Who it is it may ask.
    let me = stage
        .json("GET /api/auth/me", &Credentials::key(&key), None)
        .await;
    assert_eq!((&me["kind"], &me["role"]), (&json!("device"), &Value::Null));
    let users = stage
        .problem("GET /api/users", &Credentials::key(&key), None)
        .await;
    assert_eq!(users.0, 403);
    assert_eq!(
        stage.json("GET /api/users", &admin(), None).await,
        json!([])
    );
}
