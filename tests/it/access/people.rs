//! Accounts, as admins have to do with them.

use super::stage::{Credentials, Stage, admin};
use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};

async fn errors(stage: &Stage, call: &str, body: &Value) -> Vec<(String, String)> {
    let response = stage.call(call, &admin(), Some(body)).await;
    assert_eq!(response.status(), 422, "{body}");
    let problem: Value = response.json().await.unwrap();
    let errors = problem["errors"].as_array().unwrap().iter();
    let text = |error: &Value, name: &str| error[name].as_str().unwrap().to_owned();
    errors
        .map(|error| (text(error, "pointer"), text(error, "code")))
        .collect()
}

#[tokio::test]
async fn an_account_is_added_listed_changed_and_removed() {
    let stage = Stage::new().await;
    stage.account("ada", "admin", Value::Null).await;
    stage
        .account("grace@example.org", "viewer", json!(["Maison", "École"]))
        .await;
    let users = stage.json("GET /api/users", &admin(), None).await;
    assert_eq!(users[0]["name"], "ada");
    assert_eq!(users[1]["sites"], json!(["Maison", "École"]));
    assert_eq!(users[1]["last_login_at"], Value::Null);
    assert!(!users.to_string().contains("argon2"));
    let change = json!({"role": "operator", "sites": null});
    let call = "PATCH /api/users/grace@example.org";
    let changed = stage.json(call, &admin(), Some(&change)).await;
    assert_eq!(
        (&changed["role"], &changed["sites"]),
        (&json!("operator"), &Value::Null)
    );
    let again = json!({"name": "ada", "password": "long enough for all", "role": "viewer"});
    let taken = stage
        .problem("POST /api/users", &admin(), Some(&again))
        .await;
    assert_eq!(taken, (409, "exists".to_owned()));
    let removed = stage
        .call("DELETE /api/users/grace@example.org", &admin(), None)
        .await;
    assert_eq!(removed.status(), 204);
    let gone = stage
        .problem("DELETE /api/users/grace@example.org", &admin(), None)
        .await;
    assert_eq!(gone, (404, "not_found".to_owned()));
}

#[tokio::test]
async fn the_last_admin_stays() {
    let stage = Stage::new().await;
    stage.account("ada", "admin", Value::Null).await;
    let last = (409, "last_admin".to_owned());
    let viewer = json!({"role": "viewer"});
    let call = "PATCH /api/users/ada";
    assert_eq!(stage.problem(call, &admin(), Some(&viewer)).await, last);
    assert_eq!(
        stage.problem("DELETE /api/users/ada", &admin(), None).await,
        last
    );
    stage.account("grace", "admin", Value::Null).await;
    stage.json(call, &admin(), Some(&viewer)).await;
}

#[rstest]
#[case::missing(json!({}), &[("/name", "required"), ("/password", "required"), ("/role", "required")])]
#[case::empty(json!({"name": "", "password": "", "role": ""}),
    &[("/name", "bad_name"), ("/password", "bad_password"), ("/role", "unknown_role")])]
#[case::name(json!({"name": "a b", "password": "long enough!", "role": "viewer"}), &[("/name", "bad_name")])]
#[case::short(json!({"name": "a", "password": "123456789", "role": "viewer"}), &[("/password", "bad_password")])]
#[case::long(json!({"name": "a", "password": "x".repeat(257), "role": "viewer"}), &[("/password", "bad_password")])]
#[case::role(json!({"name": "a", "password": "long enough!", "role": "root"}), &[("/role", "unknown_role")])]
#[case::sites(json!({"name": "a", "password": "long enough!", "role": "viewer", "sites": []}), &[("/sites", "bad_sites")])]
#[case::restricted_admin(json!({"name": "a", "password": "long enough!", "role": "admin", "sites": ["M"]}), &[("/sites", "bad_sites")])]
#[case::types(json!({"name": 1, "password": [], "role": {}, "sites": "M"}),
    &[("/name", "not_text"), ("/password", "not_text"), ("/role", "not_text"), ("/sites", "not_a_list")])]
#[case::mass_assignment(json!({"name": "a", "password": "long enough!", "role": "viewer",
    "id": 1, "owner_id": 2, "password_hash": "x", "created_ms": 0}),
    &[("/created_ms", "unknown_field"), ("/id", "unknown_field"), ("/owner_id", "unknown_field"),
    ("/password_hash", "unknown_field")])]
#[tokio::test]
async fn what_is_wrong_with_an_account_is_told_field_by_field(
    #[case] body: Value,
    #[case] expected: &[(&str, &str)],
) {
    let stage = Stage::new().await;
    let told = errors(&stage, "POST /api/users", &body).await;
    let told: Vec<_> = told.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(told, expected);
    assert_eq!(
        stage.json("GET /api/users", &admin(), None).await,
        json!([])
    );
}

#[tokio::test]
async fn nobody_gives_himself_more_than_he_has() {
    let stage = Stage::new().await;
    stage.account("ada", "viewer", json!(["Maison"])).await;
    let tokens = stage.log_in("ada").await;
    let ada = Credentials::bearer(tokens["access_token"].as_str().unwrap());
    let call = "PATCH /api/users/ada";
    for more in [json!({"role": "admin"}), json!({"sites": null})] {
        let refused = stage.problem(call, &ada, Some(&more)).await;
        assert_eq!(refused, (403, "forbidden".to_owned()));
    }
    let told = errors(&stage, call, &json!({"role": "viewer", "name": "grace"})).await;
    assert_eq!(told, [("/name".to_owned(), "unknown_field".to_owned())]);
    let told = errors(&stage, call, &json!({})).await;
    assert_eq!(told, [(String::new(), "nothing_to_change".to_owned())]);
    let users = stage.json("GET /api/users", &admin(), None).await;
    assert_eq!(users[0]["role"], "viewer");
    assert_eq!(users[0]["sites"], json!(["Maison"]));
}
