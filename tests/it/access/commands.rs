//! Accounts, keys and tokens from the command line, beside a running server.

use super::stage::{Credentials, PASSWORD, SECRET, Stage, admin};
use crate::harness::{PATIENCE, Socket, command, database_url};
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};
use tokio::time::{interval, timeout};

fn run_on(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = command()
        .args(arguments)
        .env("DATABASE_URL", database_url(folder))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Who needs no input may have ended.
    stdin.write_all(input.as_bytes()).unwrap_or_default();
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn printed(folder: &Path, arguments: &[&str], input: &str) -> String {
    let output = run_on(folder, arguments, input);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn refused(folder: &Path, arguments: &[&str], input: &str) -> String {
    let output = run_on(folder, arguments, input);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// Waits until a call is answered with `status`: the server looks for changes now and then.
async fn until(stage: &Stage, status: u16, call: &str, who: &Credentials, body: Option<&Value>) {
    let mut tries = interval(std::time::Duration::from_millis(50));
    let wanted = async {
        loop {
            tries.tick().await;
            if stage.call(call, who, body).await.status() == status {
                return;
            }
        }
    };
    timeout(PATIENCE, wanted).await.unwrap();
}

#[tokio::test]
async fn an_account_is_made_before_the_first_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let add = ["user", "add", "ada", "--role", "admin"];
    printed(path, &add, &format!("{PASSWORD}\n"));
    let listed = printed(path, &["user", "list"], "");
    assert!(listed.starts_with("ada\tadmin\tall sites\t"), "{listed}");
    let again = refused(path, &add, PASSWORD);
    assert!(again.contains("there is an account ada"), "{again}");
    printed(path, &["user", "add", "eve", "--role", "admin"], PASSWORD);
    printed(
        path,
        &["user", "set", "ada", "--role", "viewer", "--site", "Maison"],
        "",
    );
    assert!(printed(path, &["user", "list"], "").starts_with("ada\tviewer\tMaison\t"));
    printed(path, &["user", "remove", "ada"], "");
    assert!(printed(path, &["user", "list"], "").starts_with("eve\tadmin\t"));
}

#[test]
fn the_last_admin_stays_until_there_is_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    printed(path, &["user", "add", "ada", "--role", "admin"], PASSWORD);
    printed(path, &["user", "add", "bob"], PASSWORD);
    let demoted = ["user", "set", "ada", "--role", "viewer"];
    let removed = ["user", "remove", "ada"];
    for (command, argument) in [(&demoted[..], "--role: "), (&removed[..], "NAME: ")] {
        let said = refused(path, command, "");
        assert!(said.contains("ada is the last admin"), "{said}");
        assert!(said.contains(argument), "{said}");
    }
    // What does not take the role away is possible, and so is all of it once there is another admin.
    printed(path, &["user", "set", "ada", "--role", "admin"], "");
    printed(path, &["user", "password", "ada"], PASSWORD);
    printed(path, &["user", "set", "bob", "--role", "admin"], "");
    printed(path, &demoted, "");
    printed(path, &removed, "");
    let said = refused(path, &["user", "remove", "bob"], "");
    assert!(said.contains("bob is the last admin"), "{said}");
}

#[tokio::test]
async fn a_command_and_a_server_do_not_remove_the_last_two_admins_together() {
    let stage = Stage::new().await;
    for name in ["ada", "eve"] {
        stage.account(name, "admin", Value::Null).await;
    }
    let folder = stage.server.folder().to_owned();
    let command = tokio::task::spawn_blocking(move || {
        run_on(&folder, &["user", "remove", "ada"], "")
            .status
            .success()
    });
    let call = stage.call("DELETE /api/users/eve", &admin(), None).await;
    let removed = [command.await.unwrap(), call.status() == 204];
    assert_eq!(
        removed.into_iter().filter(|removed| *removed).count(),
        1,
        "{removed:?}"
    );
    let listed = printed(stage.server.folder(), &["user", "list"], "");
    assert_eq!(listed.lines().count(), 1, "{listed}");
}

#[tokio::test]
async fn an_account_made_beside_a_server_can_log_in_and_one_removed_is_out() {
    let stage = Stage::new().await;
    let folder = stage.server.folder();
    printed(
        folder,
        &["user", "add", "ada", "--role", "operator"],
        PASSWORD,
    );
    let login = json!({"name": "ada", "password": PASSWORD});
    until(
        &stage,
        200,
        "POST /api/auth/login",
        &Credentials::none(),
        Some(&login),
    )
    .await;
    let tokens = stage.log_in("ada").await;
    let token = tokens["access_token"].as_str().unwrap();
    let url = format!("ws://{}/ws?token={token}", stage.server.address);
    let mut socket = Socket::open(&url, &[]).await.unwrap();
    assert_eq!(socket.next().await["type"], "connection");
    printed(folder, &["user", "remove", "ada"], "");
    assert_eq!(socket.next().await["code"], "revoked");
    assert_eq!(socket.close_code().await, 1008);
    until(
        &stage,
        401,
        "GET /api/latest",
        &Credentials::bearer(token),
        None,
    )
    .await;
}

#[tokio::test]
async fn a_key_made_beside_a_server_writes_until_it_is_revoked() {
    let stage = Stage::new().await;
    let folder = stage.server.folder();
    let key = printed(
        folder,
        &["device-key", "add", "esp-*", "--label", "hall"],
        "",
    );
    let device = Credentials::key(&key);
    let reading = json!({"sensor_id": "esp-1", "enseigne": "Maison", "salle": "Hall",
        "values": {"CO2": 500}});
    until(&stage, 200, "POST /api/ingest", &device, Some(&reading)).await;
    let listed = printed(folder, &["device-key", "list"], "");
    assert!(
        listed.contains("\tesp-*\thall\t") && !listed.contains(&key),
        "{listed}"
    );
    let id = listed.split('\t').next().unwrap();
    printed(folder, &["device-key", "revoke", id], "");
    until(&stage, 401, "POST /api/ingest", &device, Some(&reading)).await;
}

#[tokio::test]
async fn changes_of_the_server_and_of_commands_do_not_overwrite_each_other() {
    let stage = Stage::new().await;
    let folder = stage.server.folder().to_owned();
    let commands = tokio::task::spawn_blocking(move || {
        for number in 0..5 {
            let name = format!("by-command-{number}");
            printed(&folder, &["user", "add", &name], PASSWORD);
        }
    });
    for number in 0..5 {
        stage
            .account(&format!("by-server-{number}"), "viewer", Value::Null)
            .await;
    }
    commands.await.unwrap();
    let listed = printed(stage.server.folder(), &["user", "list"], "");
    assert_eq!(listed.lines().count(), 10, "{listed}");
}

#[tokio::test]
async fn a_token_for_a_program_counts_for_what_it_says() {
    let stage = Stage::new().await;
    let token = |arguments: &[&str]| {
        let mut command = command();
        command
            .arg("token")
            .args(arguments)
            .env("IAQ_JWT_SECRET", SECRET);
        let output = command.output().unwrap();
        assert!(output.status.success());
        Credentials::bearer(String::from_utf8(output.stdout).unwrap().trim())
    };
    let me = async |who: Credentials| stage.json("GET /api/auth/me", &who, None).await;
    assert_eq!(me(token(&[])).await["role"], "viewer");
    let operator = me(token(&[
        "--role",
        "operator",
        "--site",
        "École",
        "--subject",
        "grafana",
    ]));
    let operator = operator.await;
    assert_eq!(operator["sites"], json!(["École"]));
    assert_eq!(operator["name"], "grafana");
}

const NAME_OF_65: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const LABEL_OF_129: &str = concat!(
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
);
const NUMBERS: [&str; 33] = [
    "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17",
    "18", "19", "20", "21", "22", "23", "24", "25", "26", "27", "28", "29", "30", "31", "32", "33",
];

#[test]
fn a_command_names_what_is_too_many() {
    let folder = tempfile::tempdir().unwrap();
    let sensors = [&["device-key", "add"][..], &NUMBERS].concat();
    let said = refused(folder.path(), &sensors, "");
    assert!(said.contains("SENSOR: must name 1 to 32 sensors"), "{said}");
    let sites = NUMBERS.map(|site| ["--site", site]).concat();
    for command in [&["user", "add", "ada"][..], &["device-key", "add", "a"]] {
        let said = refused(folder.path(), &[command, &sites].concat(), PASSWORD);
        assert!(said.contains("--site: must name 1 to 32 sites"), "{said}");
    }
}

#[rstest]
#[case::no_secret(&["token"], "IAQ_JWT_SECRET")]
#[case::short_password(&["user", "add", "ada"], "10 to 256 characters")]
#[case::name(&["user", "add", "a b"], "NAME: the name must be")]
#[case::long_name(&["user", "add", NAME_OF_65], "NAME: the name must be")]
#[case::bad_site(&["user", "add", "ada", "--site", "a\nb"], "--site: ")]
#[case::nothing(&["user", "set", "ada"], "--role, --site or --all-sites")]
#[case::restricted_admin(&["user", "add", "ada", "--role", "admin", "--site", "M"], "admin")]
#[case::no_account(&["user", "remove", "ada"], "there is no account ada")]
#[case::no_key(&["device-key", "revoke", "x"], "ID: there is no key x")]
#[case::label(&["device-key", "add", "a", "--label", "a\nb"], "--label: ")]
#[case::long_label(&["device-key", "add", "a", "--label", LABEL_OF_129], "--label: ")]
#[case::bad_place(
    &["device-key", "add", "a", "--enseigne", "b", "--salle", "a\nb"],
    "--salle: "
)]
#[case::place_elsewhere(
    &["device-key", "add", "a", "--site", "b", "--enseigne", "c", "--salle", "d"],
    "must be one of the key's sites"
)]
#[case::no_pattern(&["device-key", "add", "a b"], "SENSOR \"a b\": must be a sensor id")]
fn what_a_command_cannot_do_it_says(#[case] arguments: &[&str], #[case] why: &str) {
    let folder = tempfile::tempdir().unwrap();
    let said = refused(folder.path(), arguments, "short\n");
    assert!(said.contains(why), "{said}");
}

#[tokio::test]
async fn whoever_checks_the_health_needs_no_token_to_see_that_the_server_lives() {
    let stage = Stage::new().await;
    let address = stage.server.address.to_string();
    for secret in [None, Some(SECRET)] {
        let mut command = command();
        command.arg("healthcheck").env("IAQ_BIND", &address);
        if let Some(secret) = secret {
            command.env("IAQ_JWT_SECRET", secret);
        }
        assert!(command.status().unwrap().success(), "{secret:?}");
    }
    let mut wrong = command();
    wrong.arg("healthcheck").env("IAQ_BIND", &address);
    wrong.env("IAQ_TOKEN", "not.a.token");
    assert!(!wrong.output().unwrap().status.success());
}
