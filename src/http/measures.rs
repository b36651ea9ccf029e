//! Requests and their time, for operators, by the route that they were registered under: never by
//! what a client wrote, so that nobody can have names made up.

use actix_web::Error;
use actix_web::dev::ServiceResponse;
use actix_web::http::{Method, StatusCode};
use metrics::{Counter, Histogram, counter, histogram};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The route of what is none.
pub(crate) const UNKNOWN_ROUTE: &str = "unknown";
/// The route of pages and what belongs to them.
pub(crate) const PAGES_ROUTE: &str = "pages";

/// The measures of every route. Shared by all workers.
#[derive(Debug, Default)]
pub struct RouteMeasures(Mutex<FxHashMap<String, Arc<RouteMeasure>>>);

/// The answers to one method with one status.
type Answers = (&'static str, StatusCode, Histogram);

/// The answers of one route.
#[derive(Debug)]
pub struct RouteMeasure {
    route: String,
    /// One for each method and status that there was, of which a route has few.
    answers: Mutex<SmallVec<[Answers; 4]>>,
    failures: Counter,
}

impl RouteMeasures {
    /// Those of one route. What calls often keeps them.
    pub fn of(&self, route: &str) -> Arc<RouteMeasure> {
        let mut routes = self.0.lock();
        if let Some(known) = routes.get(route) {
            return Arc::clone(known);
        }
        let measure = Arc::new(RouteMeasure {
            route: route.to_owned(),
            answers: Mutex::default(),
            failures: counter!("iaqverse_http_server_errors_total"),
        });
        routes.insert(route.to_owned(), Arc::clone(&measure));
        measure
    }
}

impl RouteMeasure {
    /// Counts and times an answer that is being made.
    pub(crate) async fn around<B>(
        &self,
        method: Method,
        answering: impl Future<Output = Result<ServiceResponse<B>, Error>>,
    ) -> Result<ServiceResponse<B>, Error> {
        let begun = Instant::now();
        let result = answering.await;
        let status = match &result {
            Ok(response) => response.status(),
            Err(error) => error.as_response_error().status_code(),
        };
        self.answered(&method, status, begun.elapsed());
        result
    }

    /// Counts an answer that took this long to begin.
    pub(crate) fn answered(&self, method: &Method, status: StatusCode, duration: Duration) {
        if status.is_server_error() {
            self.failures.increment(1);
        }
        let method = label(method);
        let mut answers = self.answers.lock();
        let mut known = answers.iter();
        let is_same = |(known, at, _): &&Answers| *known == method && *at == status;
        if let Some((_, _, histogram)) = known.find(is_same) {
            histogram.record(duration.as_secs_f64());
            return;
        }
        let histogram = histogram!(
            "iaqverse_http_request_duration_seconds",
            "route" => self.route.clone(),
            "method" => method,
            "status" => status.as_str().to_owned(),
        );
        histogram.record(duration.as_secs_f64());
        answers.push((method, status, histogram));
    }
}

/// A request whose head could not be read; it has no route, no method and no time.
pub(super) fn unreadable() {
    counter!("iaqverse_http_unreadable_total").increment(1);
}

/// A method by its name; those that nobody needs have one.
fn label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
