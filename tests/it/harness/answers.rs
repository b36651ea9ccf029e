//! Answers over HTTP.

use super::{PATIENCE, Server};
use serde_json::{Value, json};

pub fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .timeout(PATIENCE)
        .build()
        .unwrap()
}

/// Status of an answer that is read to its end.
pub async fn status_of(server: &Server, path: &str) -> u16 {
    let response = server.get(path).await;
    let status = response.status().as_u16();
    response.bytes().await.unwrap();
    status
}

/// The body of an error answer, which has everything that every error answer has.
pub async fn problem(response: reqwest::Response, status: u16, code: &str) -> Value {
    let header = |name: &str| {
        response
            .headers()
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
    };
    let (content_type, request_id) = (header("content-type"), header("x-request-id"));
    let got = response.status().as_u16();
    let text = response.text().await.unwrap();
    assert_eq!(got, status, "{text}");
    assert_eq!(
        content_type.as_deref(),
        Some("application/problem+json"),
        "{text}"
    );
    let body: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&body["status"], &body["code"]),
        (&json!(status), &json!(code)),
        "{text}"
    );
    assert_eq!(body["request_id"].as_str(), request_id.as_deref(), "{text}");
    for member in ["type", "title", "detail", "request_id"] {
        assert!(
            body[member].as_str().is_some_and(|text| !text.is_empty()),
            "{member}: {text}"
        );
    }
    body
}

/// Pointer and code of each error of a problem or of a rejected reading, sorted.
pub fn faults(errors: &Value) -> Vec<(&str, &str)> {
    let mut faults = Vec::new();
    for error in errors.as_array().unwrap() {
        assert!(
            error["detail"]
                .as_str()
                .is_some_and(|detail| !detail.is_empty()),
            "{error}"
        );
        faults.push((
            error["pointer"].as_str().unwrap(),
            error["code"].as_str().unwrap(),
        ));
    }
    faults.sort_unstable();
    faults
}
