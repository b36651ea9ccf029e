use super::*;
use crate::access::AuthMode;
use clap::{CommandFactory, Parser};

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    serve: ServeConfig,
}

fn parse(arguments: &[&str]) -> Result<ServeConfig, String> {
    let arguments = ["iaqverse"].iter().chain(arguments);
    Line::try_parse_from(arguments)
        .map(|line| line.serve)
        .map_err(|error| error.to_string())
}

#[test]
fn the_defaults_are_a_valid_configuration() {
    let config = parse(&[]).unwrap();
    config.check().unwrap();
    assert_eq!(config.bind.to_string(), "127.0.0.1:8080");
    assert_eq!(config.body_bytes_max, 1_048_576);
}

#[test]
fn a_bad_setting_is_named() {
    for (flag, bad, name) in [
        ("--bind", "nowhere", "IAQ_BIND"),
        ("--workers", "many", "IAQ_WORKERS"),
        ("--score-profile", "best", "IAQ_SCORE_PROFILE"),
        ("--head-timeout", "soon", "IAQ_HEAD_TIMEOUT"),
        ("--trusted-proxies", "me", "IAQ_TRUSTED_PROXIES"),
        ("--webhook-ports", "https", "IAQ_WEBHOOK_PORTS"),
        (
            "--webhook-allowed-networks",
            "home",
            "IAQ_WEBHOOK_ALLOWED_NETWORKS",
        ),
        ("--insecure", "maybe", "IAQ_INSECURE"),
        ("--auth", "perhaps", "IAQ_AUTH"),
    ] {
        let error = parse(&[flag, bad]).unwrap_err();
        assert!(error.contains(name), "{error}");
    }
    for (arguments, name) in [
        (["--jwt-secret", "too short"], "IAQ_JWT_SECRET"),
        (["--jwt-public-key-file", "key.pem"], "IAQ_JWT_ISSUER"),
        (["--jwt-issuer", "https://login.example"], "IAQ_JWT_ISSUER"),
        (["--token-ttl", "0s"], "IAQ_TOKEN_TTL"),
        (["--database-url", "mysql://x"], "DATABASE_URL"),
        (["--queue-readings-max", "9"], "IAQ_QUEUE_READINGS_MAX"),
        (["--read-bytes-max", "9"], "IAQ_READ_BYTES_MAX"),
        (["--batch-readings-max", "0"], "IAQ_BATCH_READINGS_MAX"),
        (["--ws-silence-max", "1s"], "IAQ_WS_SILENCE_MAX"),
        (["--allowed-origins", "example.org"], "IAQ_ALLOWED_ORIGINS"),
        (["--model-bytes-max", "0"], "IAQ_MODEL_BYTES_MAX"),
        (["--models-bytes-max", "1"], "IAQ_MODELS_BYTES_MAX"),
        (["--model-timeout", "0s"], "IAQ_MODEL_TIMEOUT"),
    ] {
        assert_eq!(
            parse(&arguments).unwrap().check().unwrap_err().setting,
            name
        );
    }
}

#[test]
fn nobody_has_to_log_in_on_this_machine_and_everybody_elsewhere() {
    let mode = |arguments: &[&str]| {
        let config = parse(arguments).unwrap();
        config.check()?;
        Ok(config.access.mode(config.bind.ip()))
    };
    let refused = |result: Result<AuthMode, ConfigError>| result.unwrap_err().setting;
    assert_eq!(mode(&[]), Ok(AuthMode::Off));
    assert_eq!(mode(&["--bind", "[::1]:80"]), Ok(AuthMode::Off));
    assert_eq!(mode(&["--auth", "required"]), Ok(AuthMode::Required));
    assert_eq!(mode(&["--bind", "0.0.0.0:80"]), Ok(AuthMode::Required));
    let open = ["--bind", "0.0.0.0:80", "--auth", "off"];
    assert_eq!(refused(mode(&open)), "IAQ_AUTH");
    let insecure = [&open[..], &["--insecure"]].concat();
    assert_eq!(mode(&insecure), Ok(AuthMode::Off));
}

#[test]
fn no_secret_is_shown() {
    let secret = "a canary that must not be shown to anybody";
    let url = format!("postgres://iaq:{}@db/iaq", "canary-of-a-password");
    let config = parse(&["--jwt-secret", secret, "--database-url", &url]).unwrap();
    let shown = format!("{config:?}");
    assert!(!shown.contains("canary"), "{shown}");
    assert!(shown.contains("@db/iaq"), "{shown}");
}

#[test]
fn every_setting_is_in_the_example_file() {
    let example = include_str!("../../.env.example");
    for argument in Line::command().get_arguments() {
        if let Some(variable) = argument.get_env() {
            let variable = variable.to_str().unwrap();
            assert!(
                example.contains(&format!("{variable}=")),
                "{variable} is missing"
            );
        }
    }
}
