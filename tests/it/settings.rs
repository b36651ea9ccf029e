//! Settings, and what a start says about them; logs.

use crate::harness::{Run, Server, client, command, database_url, example, problem, reading};
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The binary on a free port with a database of its own.
fn serving(folder: &Path) -> Command {
    let mut command = command();
    command
        .current_dir(folder)
        .env("IAQ_BIND", "127.0.0.1:0")
        .env("DATABASE_URL", database_url(folder))
        .env("IAQ_LOG_FORMAT", "json");
    command
}

/// The address of a server that started.
fn address(run: &Run) -> String {
    let line = run.logged("listening on http://");
    let (_, address) = line.split_once("listening on ").unwrap();
    address.split('"').next().unwrap().to_owned()
}

/// What a start that must fail says.
#[track_caller]
fn refusal(command: &mut Command) -> String {
    let ended = Run::of(command).ended();
    assert!(
        ended.code.is_some_and(|code| code != 0),
        "{:?} {}",
        ended.code,
        ended.logged
    );
    assert!(!ended.logged.contains("listening"), "{}", ended.logged);
    assert!(!ended.logged.contains("panicked"), "{}", ended.logged);
    ended.logged
}

#[rstest]
#[case("IAQ_BIND", "--bind", "nowhere")]
#[case("IAQ_BIND", "--bind", "127.0.0.1:99999")]
#[case("IAQ_AUTH", "--auth", "sometimes")]
#[case("IAQ_JWT_SECRET", "--jwt-secret", "shorter than thirty-two bytes")]
#[case("IAQ_JWT_ISSUER", "--jwt-public-key-file", "key.pem")]
#[case("IAQ_JWT_ISSUER", "--jwt-jwks-url", "https://login.example/keys")]
#[case("IAQ_JWT_JWKS_URL", "--jwt-jwks-url", "http://login.example/keys")]
#[case("IAQ_JWT_JWKS_URL", "--jwt-jwks-url", "keys")]
#[case("IAQ_JWT_ROLE_CLAIM", "--jwt-role-claim", "roles")]
#[case("IAQ_IDLE_TIMEOUT", "--idle-timeout", "0s")]
#[case("IAQ_IDLE_CONNECTIONS_MAX", "--idle-connections-max", "0")]
#[case("IAQ_WORKERS", "--workers", "100000")]
#[case("IAQ_WS_THREADS", "--ws-threads", "10000")]
#[case("IAQ_SYSTEM_INTERVAL", "--system-interval", "1ns")]
#[case("IAQ_TOKEN_TTL", "--token-ttl", "0s")]
#[case("IAQ_REFRESH_TTL", "--refresh-ttl", "soon")]
#[case("IAQ_RATE_INGEST", "--rate-ingest", "-1")]
#[case("IAQ_RATE_API", "--rate-api", "many")]
#[case("IAQ_RATE_LOGIN", "--rate-login", "few")]
#[case("IAQ_INSECURE", "--insecure", "maybe")]
#[case("IAQ_WORKERS", "--workers", "many")]
#[case("DATABASE_URL", "--database-url", "mysql://somewhere/db")]
#[case(
    "DATABASE_URL",
    "--database-url",
    "sqlite:///nonexistent-folder/iaqverse.db"
)]
#[case("IAQ_SCORE_PROFILE", "--score-profile", "best")]
#[case("IAQ_TIMEZONE", "--timezone", "Paris")]
#[case("IAQ_TVOC_UNIT", "--tvoc-unit", "furlong")]
#[case("IAQ_ALLOWED_ORIGINS", "--allowed-origins", "dashboard.example")]
#[case(
    "IAQ_ALLOWED_ORIGINS",
    "--allowed-origins",
    "https://a.example,https://b.example/path"
)]
#[case("IAQ_TRUSTED_PROXIES", "--trusted-proxies", "10.0.0.0/33")]
#[case("IAQ_MODEL_BYTES_MAX", "--model-bytes-max", "4294967296")]
#[case("IAQ_MODELS_BYTES_MAX", "--models-bytes-max", "1000")]
#[case("IAQ_MODEL_TIMEOUT", "--model-timeout", "0s")]
#[case("IAQ_BODY_BYTES_MAX", "--body-bytes-max", "1MiB")]
#[case("IAQ_BODY_BYTES_MAX", "--body-bytes-max", "0")]
#[case("IAQ_BODY_EXPANDED_BYTES_MAX", "--body-expanded-bytes-max", "0")]
#[case("IAQ_BATCH_READINGS_MAX", "--batch-readings-max", "0")]
#[case("IAQ_READ_BYTES_MAX", "--read-bytes-max", "1048576")]
#[case("IAQ_HEAD_TIMEOUT", "--head-timeout", "soon")]
#[case("IAQ_HEAD_TIMEOUT", "--head-timeout", "0s")]
#[case("IAQ_BODY_TIMEOUT", "--body-timeout", "5")]
#[case("IAQ_QUEUE_READINGS_MAX", "--queue-readings-max", "9999")]
#[case("IAQ_QUEUE_READINGS_MAX", "--queue-readings-max", "99999999")]
#[case("IAQ_SENSORS_MAX", "--sensors-max", "0")]
#[case("IAQ_ROOMS_MAX", "--rooms-max", "0")]
#[case("IAQ_WS_MAX", "--ws-max", "-1")]
#[case("IAQ_WS_MAX_PER_IP", "--ws-max-per-ip", "all")]
#[case("IAQ_WS_QUEUE_BYTES_MAX", "--ws-queue-bytes-max", "1")]
#[case("IAQ_WS_PING_INTERVAL", "--ws-ping-interval", "0s")]
#[case("IAQ_WS_SILENCE_MAX", "--ws-silence-max", "1s")]
#[case("IAQ_SHUTDOWN_TIMEOUT", "--shutdown-timeout", "never")]
#[case("IAQ_LOG", "--log", "iaqverse=loud")]
#[case("IAQ_LOG_FORMAT", "--log-format", "xml")]
#[test]
fn a_bad_setting_stops_the_start_and_is_named(
    #[case] variable: &str,
    #[case] flag: &str,
    #[case] bad: &str,
) {
    let folder = tempfile::tempdir().unwrap();
    let named = format!(
        "IAQ_{}",
        flag.trim_start_matches("--")
            .replace('-', "_")
            .to_uppercase()
    );
    let named = if variable.starts_with("IAQ_") {
        &named
    } else {
        variable
    };
    let as_variable = refusal(serving(folder.path()).env(named, bad));
    assert!(as_variable.contains(variable), "{as_variable}");
    let as_flag = refusal(serving(folder.path()).arg(format!("{flag}={bad}")));
    assert!(as_flag.contains(variable), "{as_flag}");
    assert!(!folder.path().join("iaqverse.db").exists() || variable.starts_with("DATABASE"));
}

#[test]
fn an_unknown_flag_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let said = refusal(serving(folder.path()).arg("--colour"));
    assert!(said.contains("--colour"), "{said}");
}

#[test]
fn a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let said = refusal(serving(folder.path()).env("IAQ_BIND", &address));
    assert!(
        said.contains("IAQ_BIND") && said.contains(&address),
        "{said}"
    );
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("iaqverse.db");
    let text = "Dear diary,\n".repeat(1000);
    std::fs::write(&file, &text).unwrap();
    let said = refusal(&mut serving(folder.path()));
    assert!(
        said.contains("DATABASE_URL") && said.contains("iaqverse.db"),
        "{said}"
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
}

#[test]
fn a_folder_is_no_database() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("iaqverse.db")).unwrap();
    let said = refusal(&mut serving(folder.path()));
    assert!(said.contains("DATABASE_URL"), "{said}");
}

#[tokio::test]
async fn a_database_of_another_program_is_refused_and_left_alone() {
    use sqlx::Connection;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("{}?mode=rwc", database_url(folder.path()));
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    for statement in [
        "create table sensors (id integer primary key, name text)",
        "insert into sensors (name) values ('theirs')",
    ] {
        sqlx::query(statement)
            .execute(&mut connection)
            .await
            .unwrap();
    }
    connection.close().await.unwrap();

    let said = refusal(&mut serving(folder.path()));
    assert!(said.contains("DATABASE_URL"), "{said}");
    let mut connection = sqlx::SqliteConnection::connect(&database_url(folder.path()))
        .await
        .unwrap();
    let names: Vec<String> = sqlx::query_scalar("select name from sensors")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert_eq!(names, ["theirs"]);
}

/// Every setting is a line `#NAME=default` in the example file.
fn variables() -> Vec<&'static str> {
    let example = include_str!("../../.env.example");
    let names = example
        .lines()
        .filter_map(|line| line.strip_prefix('#')?.split_once('='));
    names
        .map(|(name, _)| name)
        .filter(|name| {
            name.bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte == b'_')
        })
        .collect()
}

#[rstest]
#[case(&["--help"])]
#[case(&["serve", "--help"])]
#[test]
fn help_lists_every_setting_as_a_flag_and_a_variable(#[case] arguments: &[&str]) {
    let ended = Run::of(command().args(arguments)).ended();
    assert_eq!(ended.code, Some(0));
    let contract = [
        "IAQ_BIND",
        "IAQ_INSECURE",
        "IAQ_WORKERS",
        "DATABASE_URL",
        "IAQ_ALLOWED_ORIGINS",
        "IAQ_TRUSTED_PROXIES",
        "IAQ_WS_MAX",
        "IAQ_WS_MAX_PER_IP",
        "IAQ_SCORE_PROFILE",
        "IAQ_LOG",
        "IAQ_LOG_FORMAT",
    ];
    let variables = variables();
    assert!(variables.len() > 20, "{variables:?}");
    for variable in variables.into_iter().chain(contract) {
        let flag = variable.strip_prefix("IAQ_").unwrap_or(variable);
        let flag = format!("--{}", flag.to_lowercase().replace('_', "-"));
        assert!(ended.printed.contains(variable), "{variable}");
        assert!(ended.printed.contains(&flag), "{flag}");
    }
}

#[test]
fn help_lists_the_commands() {
    let help = Run::of(command().arg("--help")).ended().printed;
    for name in ["serve", "simulate", "watch", "healthcheck", "--demo"] {
        assert!(help.contains(name), "{name}");
    }
}

#[rstest]
#[case::without_a_command(&[])]
#[case::with_the_command(&["serve"])]
#[tokio::test]
async fn the_server_starts_with_settings_from_variables(#[case] arguments: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::of(
        serving(folder.path())
            .args(arguments)
            .env("IAQ_SCORE_PROFILE", "classic"),
    );
    assert_eq!(score_of_the_example(&address(&run)).await, 92);
    assert!(folder.path().join("iaqverse.db").exists());
}

#[rstest]
#[case::without_a_command(&[])]
#[case::with_the_command(&["serve"])]
#[tokio::test]
async fn the_server_starts_with_settings_from_flags_which_win(#[case] command: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.db");
    let url = format!("--database-url=sqlite://{}", other.display());
    let flags = ["--bind", "127.0.0.1:0", "--score-profile", "classic", &url];
    let run = Run::of(
        serving(folder.path())
            .args(command)
            .args(flags)
            .env("IAQ_SCORE_PROFILE", "iaqverse"),
    );
    assert_eq!(score_of_the_example(&address(&run)).await, 92);
    assert!(other.exists() && !folder.path().join("iaqverse.db").exists());
}

#[rstest]
#[case::without_a_command(&[])]
#[case::with_the_command(&["serve"])]
#[test]
fn a_flag_wins_over_a_variable_that_makes_no_sense(#[case] arguments: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let mut start = serving(folder.path());
    start
        .args(arguments)
        .args(["--workers", "1"])
        .env("IAQ_WORKERS", "many");
    address(&Run::of(&mut start));
}

async fn score_of_the_example(address: &str) -> u64 {
    let request = client().post(format!("{address}/api/ingest"));
    let answer = request
        .json(&example("2025-11-19T10:05:00Z"))
        .send()
        .await
        .unwrap();
    answer.json::<Value>().await.unwrap()["global_score"]
        .as_u64()
        .unwrap()
}

#[test]
fn who_is_told_that_the_server_listens_can_stop_it_without_a_failure() {
    // Several times, for a signal that comes too early meets a server that does not wait for it yet.
    for _ in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let run = Run::of(&mut serving(folder.path()));
        address(&run);
        run.interrupt();
        assert_eq!(run.ended().code, Some(0));
    }
}

/// The fields of a log line.
fn fields(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?} is no JSON: {error}"))
}

#[tokio::test]
async fn a_refused_request_is_found_in_the_log_by_its_id() {
    let server = Server::start();
    let problem = problem(server.post(&json!({})).await, 422, "reading_rejected").await;
    let id = problem["request_id"].as_str().unwrap();
    let line = fields(&server.logged(id));
    assert_eq!(
        (
            &line["request_id"],
            &line["status"],
            &line["method"],
            &line["path"]
        ),
        (
            &json!(id),
            &json!(422),
            &json!("POST"),
            &json!("/api/ingest")
        )
    );
    assert!(
        line["level"].is_string() && line["timestamp"].is_string(),
        "{line}"
    );
}

#[tokio::test]
async fn refusals_are_logged_when_nothing_is_configured() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::of(&mut serving(folder.path()));
    let response = client()
        .get(address(&run) + "/api/nothing")
        .send()
        .await
        .unwrap();
    let problem = problem(response, 404, "not_found").await;
    let line = fields(&run.logged(problem["request_id"].as_str().unwrap()));
    assert_eq!(
        (&line["level"], &line["status"]),
        (&json!("INFO"), &json!(404))
    );
}

/// Every log line up to the one of a request made now.
async fn log_up_to_now(server: &Server, marker: &str) -> Vec<String> {
    let request = client()
        .get(server.url("/api/nothing"))
        .header("x-request-id", marker);
    assert_eq!(request.send().await.unwrap().status(), 404);
    let mut lines = Vec::new();
    loop {
        let line = server.logged("");
        let found = line.contains(marker);
        lines.push(line);
        if found {
            return lines;
        }
    }
}

#[tokio::test]
async fn each_refused_reading_has_one_line() {
    let server = Server::start();
    let bad = |sensor: &str| json!({"sensor_id": sensor, "values": {"CO2": -1}});
    let batch = json!([
        bad("s1"),
        reading(json!({"CO2": 600})),
        bad("s2"),
        bad("s3")
    ]);
    assert_eq!(server.post(&batch).await.status(), 207);
    let lines: Vec<_> = log_up_to_now(&server, "end-of-test")
        .await
        .iter()
        .map(|line| fields(line))
        .collect();
    let refused: Vec<_> = lines
        .iter()
        .filter(|line| line["message"] == "reading refused")
        .collect();
    let sensors: Vec<_> = refused
        .iter()
        .map(|line| line["sensor_id"].as_str().unwrap())
        .collect();
    assert_eq!(sensors, ["s1", "s2", "s3"]);
    for line in refused {
        assert_eq!(line["level"], "DEBUG");
        assert!(
            line["errors"].as_str().unwrap().contains("out_of_range"),
            "{line}"
        );
    }
}

#[tokio::test]
async fn a_token_never_reaches_the_log() {
    const SECRET: &str = "s3cr3t-t0ken";
    let server = Server::start();
    let query = format!("?token={SECRET}&topics=measurements");
    let mut socket = server.watch(&query).await;
    socket.send(&json!({"type": "auth", "token": SECRET})).await;
    socket.drain().await;
    drop(socket);
    server.logged("client disconnected");
    for (method, path, status) in [
        ("GET", "/api/latest", 200),
        ("GET", "/api/nothing", 404),
        ("GET", "/ws", 426),
        ("PUT", "/api/ingest", 405),
        ("POST", "/api/ingest", 400),
    ] {
        let url = server.url(&format!("{path}?token={SECRET}"));
        let request = client().request(method.parse().unwrap(), url);
        let request = request.header("authorization", format!("Bearer {SECRET}"));
        assert_eq!(
            request.send().await.unwrap().status(),
            status,
            "{method} {path}"
        );
    }
    let lines = log_up_to_now(&server, "end-of-test").await;
    assert!(
        lines.iter().any(|line| line.contains("/api/latest")),
        "the lines are there"
    );
    for line in lines {
        assert!(!line.contains(SECRET), "{line}");
    }
}

#[tokio::test]
async fn a_name_cannot_forge_a_log_line() {
    let server = Server::start();
    let forged = "x\"}\n{\"level\":\"ERROR\",\"message\":\"forged\"}";
    let body = json!({"sensor_id": forged, "values": {forged: "no number"}});
    assert_eq!(server.post(&body).await.status(), 422);
    for line in log_up_to_now(&server, "end-of-test").await {
        assert_ne!(fields(&line)["message"], "forged");
    }
}

#[tokio::test]
async fn the_stop_waits_no_longer_for_clients_than_configured() {
    let server = Server::with(&[("IAQ_SHUTDOWN_TIMEOUT", "1s")]);
    // A client that never reads, so it never answers the close frame.
    let socket = server.watch("").await;
    server.terminate();
    let ended = tokio::time::timeout(Duration::from_secs(15), server.ended_well()).await;
    assert!(ended.unwrap());
    drop(socket);
}

#[tokio::test]
async fn log_lines_can_be_made_for_people() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::of(serving(folder.path()).env("IAQ_LOG_FORMAT", "pretty"));
    let line = run.logged("listening on http://");
    assert!(serde_json::from_str::<Value>(&line).is_err(), "{line}");
    assert!(line.contains("INFO"), "{line}");
}

/// Every setting that is a number.
const NUMBERS: [&str; 29] = [
    "IAQ_WORKERS",
    "IAQ_WS_THREADS",
    "IAQ_BODY_BYTES_MAX",
    "IAQ_BODY_EXPANDED_BYTES_MAX",
    "IAQ_READ_BYTES_MAX",
    "IAQ_BATCH_READINGS_MAX",
    "IAQ_QUEUE_READINGS_MAX",
    "IAQ_WS_MAX",
    "IAQ_WS_MAX_PER_IP",
    "IAQ_WS_QUEUE_BYTES_MAX",
    "IAQ_WS_COMMANDS_PER_SECOND",
    "IAQ_WS_FILTERS_MAX",
    "IAQ_REPLAY_MESSAGES",
    "IAQ_REPLAY_READINGS",
    "IAQ_SENSORS_MAX",
    "IAQ_ROOMS_MAX",
    "IAQ_IDLE_CONNECTIONS_MAX",
    "IAQ_WEBHOOKS_MAX",
    "IAQ_MODEL_BYTES_MAX",
    "IAQ_MODELS_BYTES_MAX",
    "IAQ_RATE_INGEST",
    "IAQ_RATE_READINGS",
    "IAQ_RATE_API",
    "IAQ_RATE_LOGIN",
    "IAQ_RETENTION_DAYS",
    "IAQ_RETENTION_1MIN_DAYS",
    "IAQ_RETENTION_15MIN_DAYS",
    "IAQ_RETENTION_1H_DAYS",
    "IAQ_RETENTION_1D_DAYS",
];
/// Every setting that is a time.
const TIMES: [&str; 11] = [
    "IAQ_HEAD_TIMEOUT",
    "IAQ_BODY_TIMEOUT",
    "IAQ_IDLE_TIMEOUT",
    "IAQ_WS_PING_INTERVAL",
    "IAQ_WS_SILENCE_MAX",
    "IAQ_REPLAY_AGE",
    "IAQ_SYSTEM_INTERVAL",
    "IAQ_SHUTDOWN_TIMEOUT",
    "IAQ_TOKEN_TTL",
    "IAQ_REFRESH_TTL",
    "IAQ_MODEL_TIMEOUT",
];

/// As large as can be written, and as may just make sense.
#[tokio::test]
async fn absurd_numbers_are_refused_by_name_or_do_no_harm() {
    let numbers = NUMBERS.iter().flat_map(|name| {
        let large = [
            "18446744073709551615",
            "4294967296",
            "4294967295",
            "1000000",
        ];
        large.map(|number| (*name, number))
    });
    let times = TIMES.iter().flat_map(|name| {
        let long = ["500000000000years", "99years"];
        long.map(|time| (*name, time))
    });
    for (name, value) in numbers.chain(times) {
        match Server::attempt(&[(name, value)]) {
            Ok(server) => {
                server.accept(&reading(json!({"CO2": 645}))).await;
                assert_eq!(
                    server.get("/api/latest").await.status(),
                    200,
                    "{name}={value}"
                );
                server.terminate();
                let (content, panics) = server.ended_with_panics().await;
                assert!(content && panics.is_empty(), "{name}={value}: {panics:?}");
            }
            Err(ended) => {
                // It, or the other one that it does not fit.
                assert!(
                    ended.logged.contains("IAQ_"),
                    "{name}={value}: {}",
                    ended.logged
                );
                assert!(
                    !ended.logged.contains("panicked"),
                    "{name}={value}: {}",
                    ended.logged
                );
            }
        }
    }
}

#[test]
fn what_is_not_text_is_named() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let bad = OsStr::from_bytes(b"caf\xe9");
    let said = refusal(serving(folder.path()).env("IAQ_WORKERS", bad));
    assert!(
        said.contains("IAQ_WORKERS") && said.contains("UTF-8"),
        "{said}"
    );
    let said = refusal(
        serving(folder.path())
            .arg("export")
            .env("DATABASE_URL", bad),
    );
    assert!(said.contains("DATABASE_URL"), "{said}");
    for arguments in [
        vec![bad],
        vec![OsStr::new("--workers"), bad],
        vec![OsStr::new("user"), bad],
    ] {
        let said = refusal(serving(folder.path()).args(&arguments));
        assert!(said.contains("caf"), "{said}");
    }
}
