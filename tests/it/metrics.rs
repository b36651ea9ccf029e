//! The numbers of `/metrics`, found after what they count was provoked.
#![expect(clippy::float_cmp, reason = "counts, which are exact")]

use crate::access::stage::{Credentials, Stage, viewer};
use crate::harness::{PATIENCE, Server, client, example, from_now, reading, unlock_store};
use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::timeout;

/// The samples of the page, by name and labels.
struct Page(BTreeMap<String, f64>);

impl Page {
    async fn of(server: &Server) -> Self {
        Self::read(&server.get("/metrics").await.text().await.unwrap())
    }

    fn read(page: &str) -> Self {
        let samples = page.lines().filter(|line| !line.starts_with('#'));
        let samples = samples.filter_map(|line| line.rsplit_once(' '));
        Self(
            samples
                .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
                .collect(),
        )
    }

    #[track_caller]
    fn value(&self, name: &str) -> f64 {
        let value = self.0.get(name);
        *value.unwrap_or_else(|| panic!("{name} is none of {:?}", self.0.keys()))
    }

    /// Requests of a route, method and status.
    fn requests(&self, route: &str, method: &str, status: u16) -> f64 {
        let labels = format!(r#"{{route="{route}",method="{method}",status="{status}"}}"#);
        let name = format!("iaqverse_http_request_duration_seconds_count{labels}");
        self.0.get(&name).copied().unwrap_or(0.0)
    }

    /// Looks until a number is as it must be.
    async fn when(server: &Server, name: &str, wanted: impl Fn(f64) -> bool) -> Self {
        let looking = async {
            loop {
                let page = Self::of(server).await;
                if wanted(page.value(name)) {
                    return page;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, looking).await.expect(name)
    }
}

async fn post_with_status(server: &Server, body: &Value, status: u16) {
    let answer = server.post(body).await;
    assert_eq!(answer.status(), status, "{}", answer.text().await.unwrap());
}

/// Names in the document, but for those of a histogram without what a page adds to them.
fn documented() -> BTreeSet<String> {
    let rows = include_str!("../../docs/METRICS.md").lines();
    let names = rows.filter_map(|row| row.strip_prefix("| `")?.split('`').next());
    names.map(str::to_owned).collect()
}

#[tokio::test]
async fn every_name_on_the_page_is_documented_and_has_its_help_and_the_other_way_round() {
    let server = Server::start();
    server.get("/api/health").await;
    let page = server.get("/metrics").await.text().await.unwrap();
    let named = |start: &str| -> BTreeSet<String> {
        let lines = page.lines().filter_map(|line| line.strip_prefix(start));
        let names = lines.filter_map(|line| line.split(' ').next());
        names.map(str::to_owned).collect()
    };
    assert_eq!(named("# HELP "), documented());
    assert_eq!(named("# TYPE "), documented());
}

#[tokio::test]
async fn readings_are_counted_by_what_became_of_them() {
    let server = Server::start();
    let now = from_now(-60);
    let post = async |body: Value, status| post_with_status(&server, &body, status).await;
    post(example(&now), 200).await;
    post(example(&now), 200).await;
    let mut more = reading(json!({"PM10": 7}));
    more["timestamp"] = now.clone().into();
    post(more, 200).await;
    post(example(&from_now(-120)), 200).await;
    let mut partial = example(&from_now(-30));
    partial["values"]["CO2"] = json!(-5);
    partial["values"]["Humidity"] = json!("wet");
    post(partial, 200).await;
    let mut bad_id = example(&now);
    bad_id["sensor_id"] = "no good".into();
    let batch = json!([bad_id, {"sensor_id": "b", "values": {"CO2": "x"}}, "text", example(&now)]);
    post(batch, 207).await;
    post(json!({"sensor_id": "b", "values": {"CO2": 1e9}}), 422).await;

    let page = Page::of(&server).await;
    let taken = |outcome| {
        page.value(&format!(
            r#"iaqverse_readings_taken_total{{outcome="{outcome}"}}"#
        ))
    };
    assert_eq!(
        [taken("new"), taken("updated"), taken("duplicate")],
        [3.0, 1.0, 2.0]
    );
    assert_eq!(page.value("iaqverse_readings_late_total"), 1.0);
    assert_eq!(page.value("iaqverse_readings_partial_total"), 1.0);
    assert_eq!(page.value("iaqverse_values_left_out_total"), 2.0);
    let refused = |code| {
        page.value(&format!(
            r#"iaqverse_readings_refused_total{{code="{code}"}}"#
        ))
    };
    let refused = [
        "bad_sensor_id",
        "required",
        "not_an_object",
        "out_of_range",
        "other",
    ]
    .map(refused);
    assert_eq!(refused, [1.0, 0.0, 1.0, 1.0, 0.0]);
    let age = page.value("iaqverse_newest_reading_age_seconds");
    assert!((29.0..60.0).contains(&age), "{age}");
    assert_eq!(page.value("iaqverse_sensors"), 1.0);
    assert_eq!(page.value("iaqverse_unsettled_readings"), 3.0);
    // A change is told again, so the log has it as well.
    assert_eq!(page.value("iaqverse_log_readings"), 4.0);
    assert_eq!(page.value("iaqverse_commits_total"), 4.0);
    assert_eq!(page.value("iaqverse_commit_duration_seconds_count"), 4.0);
    assert_eq!(page.value("iaqverse_commit_readings_sum"), 4.0);
    assert_eq!(page.value("iaqverse_write_wait_seconds_count"), 6.0);
    assert_eq!(page.value("iaqverse_write_queue_readings"), 0.0);
    assert!(page.value("iaqverse_write_queue_capacity_readings") >= 1000.0);
    let bytes = page.value("iaqverse_database_bytes");
    assert!((4096.0..64e6).contains(&bytes), "{bytes}");
    assert_eq!(page.requests("/api/ingest", "POST", 200), 5.0);
    assert_eq!(page.requests("/api/ingest", "POST", 207), 1.0);
    assert_eq!(page.requests("/api/ingest", "POST", 422), 1.0);
}

#[tokio::test]
async fn requests_are_counted_by_route_whoever_answers_them() {
    let server = Server::with(&[("IAQ_BODY_BYTES_MAX", "1024"), ("IAQ_RATE_API", "40")]);
    let http = client();
    for path in ["/api/sensors/a", "/api/sensors/b", "/api/sensors/c%20"] {
        assert_eq!(server.get(path).await.status(), 404);
    }
    for path in ["/api/x", "/api/y/z", "/nothing", "/health/zzz"] {
        assert_eq!(server.get(path).await.status(), 404);
    }
    let deleted = http.delete(server.url("/api/latest")).send().await.unwrap();
    assert_eq!(deleted.status(), 405);
    let head = http.head(server.url("/api/latest")).send().await.unwrap();
    assert_eq!(head.status(), 200);
    let large = http
        .post(server.url("/api/ingest"))
        .body(" ".repeat(100_000));
    assert_eq!(large.send().await.unwrap().status(), 413);
    let foreign = http
        .post(server.url("/api/ingest"))
        .header("origin", "http://evil.example");
    assert_eq!(foreign.send().await.unwrap().status(), 403);
    assert_eq!(server.get("/ws").await.status(), 426);
    server.raw(b"GET \x01 HTTP/1.1\r\n\r\n").await;
    let socket = server.watch("").await;
    let events = server.follow("").await;

    let page = Page::of(&server).await;
    let count = |route, method, status| page.requests(route, method, status);
    assert_eq!(count("/api/sensors/{id}", "GET", 404), 3.0);
    assert_eq!(count("unknown", "GET", 404), 4.0);
    assert_eq!(count("/api/latest", "DELETE", 405), 1.0);
    assert_eq!(count("/api/latest", "HEAD", 200), 1.0);
    assert_eq!(count("/api/ingest", "POST", 413), 1.0);
    assert_eq!(count("/api/ingest", "POST", 403), 1.0);
    assert_eq!(count("/ws", "GET", 426), 1.0);
    assert_eq!(count("/ws", "GET", 101), 1.0);
    assert_eq!(count("/api/events", "GET", 200), 1.0);
    assert_eq!(page.value("iaqverse_http_unreadable_total"), 1.0);
    assert_eq!(page.value("iaqverse_http_server_errors_total"), 0.0);
    let clients = |transport| {
        page.value(&format!(
            r#"iaqverse_broadcast_clients{{transport="{transport}"}}"#
        ))
    };
    assert_eq!([clients("websocket"), clients("events")], [1.0, 1.0]);
    drop((socket, events));

    let limited = async { while server.get("/api/health").await.status() != 429 {} };
    timeout(PATIENCE, limited).await.unwrap();
    let name = r#"iaqverse_http_request_duration_seconds_count{route="/api/health",method="GET",status="429"}"#;
    let page = async {
        loop {
            let answer = server.get("/metrics").await;
            if answer.status() == 200 {
                return answer.text().await.unwrap();
            }
        }
    };
    let page = timeout(PATIENCE, page).await.unwrap();
    assert!(page.contains(&format!("{name} 1\n")), "{page}");
}

#[tokio::test]
async fn who_is_refused_for_want_of_credentials_is_counted() {
    let stage = Stage::new().await;
    assert_eq!(
        stage.status("GET /api/latest", &Credentials::none()).await,
        401
    );
    let refused = stage.call("GET /api/webhooks", &viewer(), None).await;
    assert_eq!(refused.status(), 403);
    let page = stage.call("GET /metrics", &viewer(), None).await;
    let page = Page::read(&page.text().await.unwrap());
    assert_eq!(page.requests("/api/latest", "GET", 401), 1.0);
    assert_eq!(page.requests("/api/webhooks", "GET", 403), 1.0);
}

#[tokio::test]
async fn commits_that_fail_are_counted_and_the_store_is_down_until_one_works() {
    let server = Server::start();
    post_with_status(&server, &example(&from_now(-9)), 200).await;
    let page = Page::of(&server).await;
    assert_eq!(page.value("iaqverse_store_up"), 1.0);
    assert_eq!(page.value("iaqverse_commit_failures_total"), 0.0);

    let lock = server.lock_store().await;
    let example = example(&from_now(-8));
    let waiting = async {
        let page = Page::when(&server, "iaqverse_write_queue_oldest_seconds", |age| {
            age > 0.0
        });
        page.await.value("iaqverse_write_queue_readings")
    };
    let ((), queued) = tokio::join!(post_with_status(&server, &example, 503), waiting);
    assert_eq!(queued, 1.0);
    let page = Page::of(&server).await;
    assert_eq!(page.value("iaqverse_store_up"), 0.0);
    assert_eq!(page.value("iaqverse_commit_failures_total"), 1.0);
    assert_eq!(page.value("iaqverse_commits_total"), 1.0);
    assert_eq!(page.value("iaqverse_http_server_errors_total"), 1.0);
    assert_eq!(page.requests("/api/ingest", "POST", 503), 1.0);

    unlock_store(lock).await;
    let page = Page::when(&server, "iaqverse_store_up", |up| up == 1.0).await;
    assert_eq!(page.value("iaqverse_write_queue_readings"), 0.0);
}
