//! One request to the ingest endpoint, and what its answer means for the sender.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use serde_json::Value;

use super::config::{SimulateError, Target};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Most bytes of an answer that are read; the rest is of no interest to a device.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Most characters of a foreign text that reach the log.
const DETAIL_CHARS_MAX: usize = 300;

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// The server has the batch, except for the readings it refused.
    Stored { refused: usize, detail: String },
    /// The server will never take this batch.
    Refused { detail: String },
    /// Nothing is wrong with the batch; try again, not before `after` if given.
    Retry {
        after: Option<Duration>,
        detail: String,
    },
}

/// Carries a batch to a server.
pub(super) trait Transport: Sync {
    /// Sends one JSON array of readings.
    fn send(&self, body: Vec<u8>) -> impl Future<Output = Answer> + Send;
}

/// HTTP client of one target.
#[derive(Debug)]
pub(super) struct HttpTransport {
    client: Client,
    url: Url,
    authorization: Option<HeaderValue>,
}

impl HttpTransport {
    pub(super) fn new(target: &Target) -> Result<Self, SimulateError> {
        let authorization = match &target.bearer {
            None => None,
            Some(key) => {
                let Ok(mut header) = HeaderValue::try_from(format!("Bearer {key}")) else {
                    return Err(SimulateError::Target(
                        "key has characters no header can carry",
                    ));
                };
                header.set_sensitive(true);
                Some(header)
            }
        };
        // Devices post to the address they were given: no proxy of the environment, and no
        // redirect, which would turn the POST into a GET.
        let client = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            // Nothing is encrypted here, and there may be no certificates to read.
            .tls_certs_only([])
            .build()?;
        Ok(Self {
            client,
            url: ingest_url(&target.url)?,
            authorization,
        })
    }
}

impl Transport for HttpTransport {
    async fn send(&self, body: Vec<u8>) -> Answer {
        let mut request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        match request.send().await {
            Ok(response) => understand(response).await,
            Err(error) => Answer::Retry {
                after: None,
                detail: chain(&error),
            },
        }
    }
}

/// Address of the ingest endpoint below a base address.
fn ingest_url(base: &str) -> Result<Url, SimulateError> {
    let Ok(mut url) = Url::parse(base) else {
        return Err(SimulateError::Target("address is not a url"));
    };
    if url.scheme() != "http" {
        return Err(SimulateError::Target("address must begin with http://"));
    }
    let Ok(mut segments) = url.path_segments_mut() else {
        return Err(SimulateError::Target("address has no path"));
    };
    segments.pop_if_empty().extend(["api", "ingest"]);
    drop(segments);
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

async fn understand(mut response: Response) -> Answer {
    let status = response.status();
    let after = retry_after(&response);
    let body = read_body(&mut response).await;
    let json: Value = serde_json::from_slice(&body).unwrap_or_default();
    if status.is_success() {
        // Readings, and values left out of those that were taken.
        let lists = ["rejected", "ignored"];
        let first = lists.iter().find_map(|list| json.get(*list)?.get(0));
        return Answer::Stored {
            refused: lists.iter().map(|list| count(&json, list)).sum(),
            detail: first.map_or_else(String::new, |first| shortened(&first.to_string())),
        };
    }
    let detail = problem_detail(status, &json);
    let passing = matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
    );
    if status.is_server_error() || passing {
        Answer::Retry { after, detail }
    } else {
        Answer::Refused { detail }
    }
}

/// How many a list of an answer is about, of which only the first may be told.
fn count(json: &Value, list: &str) -> usize {
    let total = json.get(format!("{list}_total")).and_then(Value::as_u64);
    let told = json.get(list).and_then(Value::as_array);
    total
        .and_then(|total| usize::try_from(total).ok())
        .unwrap_or_else(|| told.map_or(0, Vec::len))
}

/// `Retry-After` in seconds; its date form is left to the sender's own pace.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response
        .headers()
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}

/// Beginning of the body; what cannot be read is left out, since the status has said enough.
async fn read_body(response: &mut Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_BYTES_MAX {
            break;
        }
    }
    body
}

/// Status with the title, detail and first field error of a problem document (RFC 9457).
fn problem_detail(status: StatusCode, json: &Value) -> String {
    let mut parts = vec![status.to_string()];
    let member = |name: &str| json.get(name).and_then(Value::as_str).map(str::to_owned);
    parts.extend(member("title"));
    parts.extend(member("detail"));
    let first_error = json
        .get("errors")
        .or_else(|| json.get("rejected"))
        .and_then(|all| all.get(0));
    parts.extend(first_error.map(Value::to_string));
    shortened(&parts.join(": "))
}

fn shortened(text: &str) -> String {
    text.chars().take(DETAIL_CHARS_MAX).collect()
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    shortened(&text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wiremock::matchers::{body_string, header, method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;

    fn target(url: &str, bearer: Option<&str>) -> Target {
        Target {
            url: url.to_owned(),
            bearer: bearer.map(str::to_owned),
        }
    }

    async fn answer_to(template: ResponseTemplate) -> Answer {
        let server = MockServer::start().await;
        Mock::given(method("POST"))
            .and(path("/api/ingest"))
            .and(header("content-type", "application/json"))
            .and(body_string("[1]"))
            .respond_with(template)
            .expect(1)
            .mount(&server)
            .await;
        HttpTransport::new(&target(&server.uri(), None))
            .unwrap()
            .send(b"[1]".to_vec())
            .await
    }

    #[tokio::test]
    async fn success_counts_the_refused_readings() {
        let all = answer_to(ResponseTemplate::new(200).set_body_json(json!({"accepted": 1}))).await;
        assert_eq!(
            all,
            Answer::Stored {
                refused: 0,
                detail: String::new()
            }
        );
        let body = json!({"rejected": [{"index": 0}, {"index": 4}], "rejected_total": 3});
        let some = answer_to(ResponseTemplate::new(207).set_body_json(body)).await;
        assert_eq!(
            some,
            Answer::Stored {
                refused: 3,
                detail: r#"{"index":0}"#.to_owned()
            }
        );
    }

    #[tokio::test]
    async fn a_busy_server_is_asked_again() {
        for status in [429, 503] {
            let template = ResponseTemplate::new(status).insert_header("retry-after", "7");
            let Answer::Retry { after, .. } = answer_to(template).await else {
                panic!()
            };
            assert_eq!(after, Some(Duration::from_secs(7)));
        }
        for status in [408, 500, 502] {
            let answer = answer_to(ResponseTemplate::new(status)).await;
            assert!(
                matches!(answer, Answer::Retry { after: None, .. }),
                "{answer:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_refusal_carries_the_problem() {
        let body = json!({"title": "Readings refused", "detail": "no room",
                          "errors": [{"pointer": "/0/values/CO2"}]});
        let answer = answer_to(ResponseTemplate::new(422).set_body_json(body)).await;
        let detail =
            r#"422 Unprocessable Entity: Readings refused: no room: {"pointer":"/0/values/CO2"}"#;
        assert_eq!(
            answer,
            Answer::Refused {
                detail: detail.to_owned()
            }
        );
        let redirect = ResponseTemplate::new(302).insert_header("location", "/elsewhere");
        assert!(matches!(answer_to(redirect).await, Answer::Refused { .. }));
    }

    #[tokio::test]
    async fn an_absent_server_is_asked_again() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let answer = HttpTransport::new(&target(&url, None))
            .unwrap()
            .send(Vec::new())
            .await;
        assert!(
            matches!(answer, Answer::Retry { after: None, .. }),
            "{answer:?}"
        );
    }

    #[tokio::test]
    async fn the_key_is_sent() {
        let server = MockServer::start().await;
        Mock::given(header("authorization", "Bearer k.1"))
            .respond_with(ResponseTemplate::new(200))
            .expect(1)
            .mount(&server)
            .await;
        let transport = HttpTransport::new(&target(&server.uri(), Some("k.1"))).unwrap();
        assert!(matches!(
            transport.send(Vec::new()).await,
            Answer::Stored { .. }
        ));
        assert!(HttpTransport::new(&target(&server.uri(), Some("a\nb"))).is_err());
    }

    #[test]
    fn the_endpoint_lies_below_the_base_address() {
        let url = |base| ingest_url(base).map(|url| url.to_string()).ok();
        let here = Some("http://127.0.0.1:8080/api/ingest".to_owned());
        assert_eq!(url("http://127.0.0.1:8080"), here);
        assert_eq!(url("http://127.0.0.1:8080/?x#y"), here);
        assert_eq!(
            url("http://h/iaq/"),
            Some("http://h/iaq/api/ingest".to_owned())
        );
        assert_eq!(url("https://h"), None);
        assert_eq!(url("127.0.0.1:8080"), None);
    }
}
