use super::*;
use crate::access::outside::OutsideKeys;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};

const SECRET: &str = "a secret of more than thirty-two bytes";

fn now() -> Timestamp {
    Timestamp::parse("2026-11-27T12:00:00Z").unwrap()
}

fn tokens() -> Tokens {
    Tokens::new(Some(&SECRET.into()), None).unwrap()
}

fn ada() -> Verified {
    Verified {
        subject: "ada".to_owned(),
        session: Some("5e55".to_owned()),
        role: Some(Role::Operator),
        sites: Sites::only(["Maison".to_owned()]).unwrap(),
        expires_at: now().plus(Duration::from_mins(10)),
    }
}

/// A token with these claims, signed by whoever has `secret`.
fn signed(header: &Value, claims: &Value, secret: &str) -> String {
    let header: Header = serde_json::from_value(header.clone()).unwrap();
    encode(
        &header,
        claims,
        &EncodingKey::from_secret(secret.as_bytes()),
    )
    .unwrap()
}

fn claims() -> Value {
    json!({
        "iss": "iaqverse", "aud": "iaqverse", "sub": "ada", "role": "viewer",
        "exp": now().millis() / 1000 + 60,
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

#[test]
fn what_is_issued_is_believed_until_it_expires() {
    let token = tokens().issue(&ada(), now()).unwrap();
    assert_eq!(tokens().verify(&token, now()), Ok(ada()));
    let end = ada().expires_at;
    assert!(
        tokens()
            .verify(&token, end.minus(Duration::from_secs(1)))
            .is_ok()
    );
    assert_eq!(tokens().verify(&token, end), Err(TokenError::Expired));
}

#[test]
fn without_a_secret_nobody_else_can_make_a_token() {
    let one = Tokens::new(None, None).unwrap();
    let token = one.issue(&ada(), now()).unwrap();
    assert!(one.verify(&token, now()).is_ok());
    let other = Tokens::new(None, None).unwrap();
    assert_eq!(other.verify(&token, now()), Err(TokenError::Invalid));
    assert!(Tokens::new(Some(&"too short".into()), None).is_err());
}

#[test]
fn every_claim_is_checked() {
    let header = json!({"alg": "HS256"});
    let verify = |claims: &Value| tokens().verify(&signed(&header, claims, SECRET), now());
    assert!(verify(&claims()).is_ok());
    for wrong in [
        without("exp"),
        without("iss"),
        without("aud"),
        without("sub"),
        with("iss", json!("somebody")),
        with("aud", json!("another service")),
        with("aud", json!(["another service"])),
        with("exp", json!("soon")),
        with("exp", json!(1e300)),
        with("exp", json!(-1)),
        with("nbf", json!(now().millis() / 1000 + 5)),
        with("sites", json!([])),
        with("sites", json!("Maison")),
    ] {
        assert_eq!(verify(&wrong), Err(TokenError::Invalid), "{wrong}");
    }
    let expired = with("exp", json!(now().millis() / 1000 - 1));
    assert_eq!(verify(&expired), Err(TokenError::Expired));
    let several = with("roles", json!(["nonsense", "admin"]));
    assert_eq!(verify(&several).unwrap().role, Some(Role::Admin));
    let nothing = verify(&with("role", json!("nonsense"))).unwrap();
    assert_eq!(nothing.role, None);
}

#[test]
fn a_signature_of_somebody_else_is_not_believed() {
    let header = json!({"alg": "HS256"});
    let foreign = signed(&header, &claims(), "another secret of more than 32 bytes");
    let token = signed(&header, &claims(), SECRET);
    let (rest, _) = token.rsplit_once('.').unwrap();
    let header = |header: Value| BASE64_URL_SAFE_NO_PAD.encode(header.to_string());
    let (_, body) = rest.split_once('.').unwrap();
    for wrong in [
        foreign,
        format!("{rest}."),
        rest.to_owned(),
        format!("{}.{body}.", header(json!({"alg": "none"}))),
        format!("{}.{body}.AAAA", header(json!({"alg": "None"}))),
        String::new(),
        "a.b.c".to_owned(),
        format!("{token}x"),
        "x".repeat(TOKEN_BYTES_MAX + 1),
    ] {
        assert_eq!(
            tokens().verify(&wrong, now()),
            Err(TokenError::Invalid),
            "{wrong}"
        );
    }
}

#[test]
fn other_algorithms_and_unknown_demands_are_refused() {
    for header in [
        json!({"alg": "HS384"}),
        json!({"alg": "HS512"}),
        json!({"alg": "HS256", "crit": ["exp"]}),
    ] {
        let token = signed(&header, &claims(), SECRET);
        assert_eq!(
            tokens().verify(&token, now()),
            Err(TokenError::Invalid),
            "{header}"
        );
    }
    // Where it says its key is makes no difference.
    let header = json!({"alg": "HS256", "kid": "../../dev/null", "jku": "http://127.0.0.1:9/keys"});
    assert!(
        tokens()
            .verify(&signed(&header, &claims(), SECRET), now())
            .is_ok()
    );
}

/// A private and a public key, in PEM.
struct Pair {
    private: String,
    public: String,
}

fn pair(kind: &[&str]) -> Pair {
    let openssl = |arguments: &[&str], input: &str| {
        let mut child = Command::new("openssl")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    };
    let private = openssl(&[&["genpkey", "-algorithm"], kind].concat(), "");
    let public = openssl(&["pkey", "-pubout"], &private);
    Pair { private, public }
}

fn rsa() -> Pair {
    pair(&["RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
}

fn with_outside(key_pem: &str) -> Tokens {
    let outside = OutsideIssuer {
        keys: OutsideKeys::Pem(key_pem.as_bytes().to_vec()),
        role_claim: None,
        issuer: "https://login.example".to_owned(),
        audience: "iaq".to_owned(),
    };
    Tokens::new(Some(&SECRET.into()), Some(&outside)).unwrap()
}

fn outside_claims() -> Value {
    let mut claims = with("iss", json!("https://login.example"));
    claims["aud"] = json!(["iaq", "mail"]);
    claims
}

#[test]
fn tokens_of_an_outside_issuer_are_believed_by_its_one_algorithm() {
    let pairs = [
        rsa(),
        pair(&["EC", "-pkeyopt", "ec_paramgen_curve:P-256"]),
        pair(&["ed25519"]),
    ];
    let [rsa, ec, ed] = pairs.each_ref().map(|pair| pair.private.as_bytes());
    let rsa = EncodingKey::from_rsa_pem(rsa).unwrap();
    let ec = EncodingKey::from_ec_pem(ec).unwrap();
    let ed = EncodingKey::from_ed_pem(ed).unwrap();
    let [rsa_public, ec_public, edwards_public] = pairs.each_ref().map(|pair| pair.public.as_str());
    let token = |algorithm, key| encode(&Header::new(algorithm), &outside_claims(), key).unwrap();
    for (public, algorithm, key) in [
        (rsa_public, Algorithm::RS256, &rsa),
        (ec_public, Algorithm::ES256, &ec),
        (edwards_public, Algorithm::EdDSA, &ed),
    ] {
        let tokens = with_outside(public);
        let verified = tokens.verify(&token(algorithm, key), now()).unwrap();
        assert_eq!(verified.subject, "ada");
        assert_eq!(verified.role, Some(Role::Viewer));
        // Our own go on counting.
        let own = tokens.issue(&ada(), now()).unwrap();
        assert_eq!(tokens.verify(&own, now()), Ok(ada()));
    }
    let tokens = with_outside(rsa_public);
    for wrong in [
        token(Algorithm::RS384, &rsa),
        token(Algorithm::PS256, &rsa),
        token(Algorithm::ES256, &ec),
    ] {
        assert_eq!(tokens.verify(&wrong, now()), Err(TokenError::Invalid));
    }
}

#[test]
fn a_session_of_an_outside_issuer_is_none_of_ours() {
    let rsa = rsa();
    let key = EncodingKey::from_rsa_pem(rsa.private.as_bytes()).unwrap();
    let mut claims = outside_claims();
    claims["sid"] = json!("a-session-there");
    let token = encode(&Header::new(Algorithm::RS256), &claims, &key).unwrap();
    let verified = with_outside(&rsa.public).verify(&token, now()).unwrap();
    assert_eq!(verified.session, None);
}

#[test]
fn roles_are_found_where_the_issuer_has_them() {
    let rsa = rsa();
    let key = EncodingKey::from_rsa_pem(rsa.private.as_bytes()).unwrap();
    let role = |path: Option<&str>, claims: &Value| {
        let outside = OutsideIssuer {
            keys: OutsideKeys::Pem(rsa.public.as_bytes().to_vec()),
            issuer: "https://login.example".to_owned(),
            audience: "iaq".to_owned(),
            role_claim: path.map(str::to_owned),
        };
        let tokens = Tokens::new(Some(&SECRET.into()), Some(&outside)).unwrap();
        let token = encode(&Header::new(Algorithm::RS256), claims, &key).unwrap();
        tokens.verify(&token, now()).unwrap().role
    };
    let mut claims = outside_claims();
    claims["realm_access"] = json!({"roles": ["offline_access", "operator"]});
    claims["scope"] = json!("openid admin");
    assert_eq!(role(None, &claims), Some(Role::Viewer));
    let path = Some("realm_access.roles");
    assert_eq!(role(path, &claims), Some(Role::Operator));
    assert_eq!(role(Some("scope"), &claims), Some(Role::Admin));
    assert_eq!(role(path, &outside_claims()), None);
}

#[test]
fn a_public_key_is_no_secret_and_our_name_not_the_issuers() {
    let rsa = rsa();
    let tokens = with_outside(&rsa.public);
    let header = json!({"alg": "HS256"});
    for confused in [
        signed(&header, &outside_claims(), &rsa.public),
        signed(&header, &claims(), &rsa.public),
        // Signed by us, for somebody else.
        signed(&header, &outside_claims(), SECRET),
    ] {
        assert_eq!(tokens.verify(&confused, now()), Err(TokenError::Invalid));
    }
    let rsa = EncodingKey::from_rsa_pem(rsa.private.as_bytes()).unwrap();
    let as_us = encode(&Header::new(Algorithm::RS256), &claims(), &rsa).unwrap();
    assert_eq!(tokens.verify(&as_us, now()), Err(TokenError::Invalid));
}

#[test]
fn a_file_without_a_public_key_is_named() {
    let outside = OutsideIssuer {
        keys: OutsideKeys::Pem(b"no key".to_vec()),
        role_claim: None,
        issuer: "i".to_owned(),
        audience: "a".to_owned(),
    };
    let error = Tokens::new(None, Some(&outside)).unwrap_err().to_string();
    assert!(error.contains("IAQ_JWT_PUBLIC_KEY_FILE"), "{error}");
}
