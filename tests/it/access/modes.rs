//! Whether anybody has to log in.

use super::stage::{Credentials, SECRET, admin, expired_token, foreign_token, viewer};
use crate::harness::{Ended, Run, Server, Wire, client, command, handshake};
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};

/// How a start ends on an address for documentation (RFC 5737), which no machine has: so it fails
/// either way, for the reason that counts.
fn start(settings: &[(&str, &str)]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command();
    command
        .env("IAQ_BIND", "192.0.2.1:0")
        .env("DATABASE_URL", crate::harness::database_url(folder.path()))
        .envs(settings.iter().copied());
    Run::of(&mut command).ended()
}

#[rstest]
#[case::off(&[("IAQ_AUTH", "off")], "IAQ_AUTH: off is refused on 192.0.2.1")]
#[case::off_and_told_to(&[("IAQ_AUTH", "off"), ("IAQ_INSECURE", "1")], "IAQ_BIND: cannot listen")]
#[case::required(&[("IAQ_AUTH", "required")], "IAQ_BIND: cannot listen")]
#[case::by_default(&[], "IAQ_BIND: cannot listen")]
fn an_address_that_others_can_reach_is_open_only_when_told_to(
    #[case] settings: &[(&str, &str)],
    #[case] said: &str,
) {
    let ended = start(settings);
    assert_eq!(ended.code, Some(1), "{}", ended.logged);
    assert!(ended.logged.contains(said), "{}", ended.logged);
}

#[rstest]
#[case::everywhere("0.0.0.0:0")]
#[case::everywhere_v6("[::]:0")]
#[tokio::test]
async fn everywhere_but_on_this_machine_everybody_has_to_log_in(#[case] bind: &str) {
    let server = Server::with(&[("IAQ_BIND", bind), ("IAQ_JWT_SECRET", SECRET)]);
    let status = async |who: Credentials| {
        let url = format!("http://127.0.0.1:{}/api/latest", server.address.port());
        let mut request = client().get(url);
        if let Some((name, value)) = who.0 {
            request = request.header(name, value);
        }
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(status(Credentials::none()).await, 401);
    assert_eq!(status(viewer()).await, 200);
}

#[tokio::test]
async fn on_this_machine_nobody_has_to_log_in() {
    let server = Server::with(&[("IAQ_JWT_SECRET", SECRET)]);
    let me = server.get_json("/api/auth/me").await;
    assert_eq!(
        me,
        json!({"auth": "off", "kind": "anyone", "name": "anyone", "role": "operator",
            "sites": null, "expires_at": null})
    );
    let status = async |path: &str, who: &Credentials| {
        let mut request = client().get(server.url(path));
        if let Some((name, value)) = &who.0 {
            request = request.header(*name, value);
        }
        request.send().await.unwrap().status().as_u16()
    };
    for who in [
        Credentials::none(),
        Credentials::bearer(&expired_token()),
        Credentials::bearer(&foreign_token()),
        Credentials::key("iaqk_000000000000_0000000000000000000000000000000000000000000"),
    ] {
        assert_eq!(status("/api/latest", &who).await, 200);
        assert_eq!(status("/api/device-keys", &who).await, 200);
        // An account would outlive the day somebody turns the login on.
        assert_eq!(status("/api/users", &who).await, 403);
    }
    assert_eq!(status("/api/users", &admin()).await, 200);
}

/// A page of elsewhere may have its own name point to this machine; only the name tells.
#[tokio::test]
async fn where_nobody_has_to_log_in_only_requests_to_this_machine_are_answered() {
    // A browser of this machine looks like a proxy that is trusted.
    let open = Server::with(&[
        ("IAQ_ALLOWED_ORIGINS", "https://iaq.example"),
        ("IAQ_TRUSTED_PROXIES", "127.0.0.1"),
    ]);
    let closed = Server::with(&[("IAQ_AUTH", "required"), ("IAQ_JWT_SECRET", SECRET)]);
    let status = async |server: &Server, head: String| {
        let mut wire = Wire::open(server.address).await;
        wire.send(head).await;
        wire.answer().await.status
    };
    let get = |host: &str| format!("GET /api/latest HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let upgrade =
        |host: &str| handshake("/ws", "").replace("Host: server", &format!("Host: {host}"));
    for (host, get_status, upgrade_status) in [
        ("127.0.0.1:8080", 200, 101),
        ("localhost", 200, 101),
        ("iaq.example", 200, 101),
        ("evil.example:8080", 403, 403),
    ] {
        assert_eq!(status(&open, get(host)).await, get_status, "{host}");
        assert_eq!(status(&open, upgrade(host)).await, upgrade_status, "{host}");
    }
    assert_eq!(status(&closed, get("evil.example")).await, 401);
    assert_eq!(status(&closed, upgrade("any.example")).await, 101);
}

#[tokio::test]
async fn a_server_nobody_can_log_in_to_says_how_to_change_that() {
    let server = Server::with(&[("IAQ_AUTH", "required")]);
    // It came before the line that the server listens.
    assert_eq!(server.get("/api/latest").await.status(), 401);
    let folder = tempfile::tempdir().unwrap();
    let mut command = command();
    command
        .env("IAQ_BIND", "127.0.0.1:0")
        .env("IAQ_AUTH", "required")
        .env("IAQ_LOG_FORMAT", "json")
        .env("DATABASE_URL", crate::harness::database_url(folder.path()));
    let run = Run::of(&mut command);
    run.logged("iaqverse user add NAME --role admin");
}

#[tokio::test]
async fn the_demo_goes_on_where_everybody_has_to_log_in() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command();
    command
        .args(["serve", "--demo"])
        .env("IAQ_BIND", "127.0.0.1:0")
        .env("IAQ_AUTH", "required")
        .env("IAQ_JWT_SECRET", SECRET)
        .env("IAQ_LOG_FORMAT", "json")
        .env("DATABASE_URL", crate::harness::database_url(folder.path()));
    let run = Run::of(&mut command);
    let line = run.logged("listening on http://");
    let (_, address) = line.split_once("http://").unwrap();
    let address = address.split('"').next().unwrap();
    let Credentials(Some((name, value))) = viewer() else {
        panic!("nobody");
    };
    loop {
        let request = client()
            .get(format!("http://{address}/api/sensors"))
            .header(name, &value);
        let sensors: Value = request.send().await.unwrap().json().await.unwrap();
        if sensors
            .as_array()
            .is_some_and(|sensors| !sensors.is_empty())
        {
            return;
        }
    }
}
