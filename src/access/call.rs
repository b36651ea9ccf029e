//! The declaration of a call: its path, what it needs, who answers it and how the API document shows
//! it, in one value.
//!
//! A handler carries `#[utoipa::path]`, which names its method and path and describes what goes in and
//! out; `call!` adds what it needs. Each module that has calls lists them in a
//! function `calls`, and everything else comes from that list: routes, the guard's rules, the API
//! document, and the test that makes every call as everybody.

use super::rule::{Need, PathRules};
use crate::http::Problem;
use actix_web::http::{Method, StatusCode, header};
use actix_web::{FromRequest, Handler, Resource, Responder, Route, web};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use utoipa::__dev::{SchemaReferences, Tags};
use utoipa::openapi::path::{HttpMethod, Operation};
use utoipa::openapi::{RefOr, Schema};

/// The name and the shape of each type that the description of a call mentions.
pub type Schemas = Vec<(String, RefOr<Schema>)>;

/// A call. Made by `call!`.
pub struct Call {
    /// GET, and HEAD where the API document is to show it, because probes use it; one method otherwise.
    pub methods: Vec<Method>,
    /// As it is registered.
    pub path: String,
    pub need: Need,
    takes_token_in_query: bool,
    route: Box<dyn Fn(Method) -> Route>,
    operation: fn() -> Operation,
    schemas: fn(&mut Schemas),
}

impl Call {
    /// The call that `handler` answers, as `Description` has it.
    #[must_use]
    pub fn new<Description, F, Arguments>(need: Need, handler: F) -> Self
    where
        Description: utoipa::Path + SchemaReferences + for<'t> Tags<'t>,
        F: Handler<Arguments>,
        Arguments: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        Self {
            methods: Description::methods().iter().map(method).collect(),
            path: Description::path(),
            need,
            takes_token_in_query: false,
            route: Box::new(move |method| web::method(method).to(handler.clone())),
            operation: || {
                let mut operation = Description::operation();
                let tags = Description::tags().into_iter().map(str::to_owned);
                operation.tags = Some(tags.collect());
                operation
            },
            schemas: Description::schemas,
        }
    }

    /// Its token may also be in the query, for browsers that cannot send a header with it.
    #[must_use]
    pub fn with_token_in_query(mut self) -> Self {
        self.takes_token_in_query = true;
        self
    }

    /// How the API document shows it.
    #[must_use]
    pub fn operation(&self) -> Operation {
        (self.operation)()
    }

    /// Adds the types that its description mentions.
    pub fn add_schemas(&self, schemas: &mut Schemas) {
        (self.schemas)(schemas);
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut call = out.debug_struct("Call");
        call.field("methods", &self.methods)
            .field("path", &self.path)
            .field("need", &self.need)
            .finish_non_exhaustive()
    }
}

/// Declares a call: what it needs, and the handler whose `#[utoipa::path]` has the rest.
macro_rules! call {
    ($need:expr, $handler:ident) => {
        ::pastey::paste! {
            // The attribute describes a handler by a type of this name.
            $crate::access::Call::new::<[<__path_ $handler>], _, _>($need, $handler)
        }
    };
}
pub(crate) use call;

/// One resource for each path, with the path and the rules that its requests are guarded by. HEAD is answered
/// wherever GET is, and a slash behind a path changes nothing.
pub(crate) fn resources(calls: Vec<Call>) -> Vec<(String, Resource, Rc<PathRules>)> {
    let mut by_path: BTreeMap<String, (PathRules, Vec<Route>)> = BTreeMap::new();
    for call in calls {
        let (rules, routes) = by_path.entry(call.path).or_default();
        rules.takes_token_in_query |= call.takes_token_in_query;
        let takes = |method| call.methods.contains(&method);
        let head = (takes(Method::GET) && !takes(Method::HEAD)).then_some(Method::HEAD);
        for method in call.methods.into_iter().chain(head) {
            routes.push((call.route)(method.clone()));
            rules.needs.push((method, call.need));
        }
    }
    let resources = by_path.into_iter().map(|(path, (rules, routes))| {
        let with_slash = format!("{path}/");
        let resource = web::resource(vec![path.clone(), with_slash]);
        (
            path,
            routes.into_iter().fold(resource, Resource::route),
            Rc::new(rules),
        )
    });
    resources.collect()
}

/// 405 for a method that a path does not take.
pub(crate) fn method_not_allowed<'a>(methods: impl Iterator<Item = &'a Method>) -> Problem {
    let mut problem = Problem::of_status(StatusCode::METHOD_NOT_ALLOWED);
    let allowed: Vec<_> = methods.map(Method::as_str).collect();
    if let Ok(allowed) = allowed.join(", ").parse() {
        problem.headers.push((header::ALLOW, allowed));
    }
    problem
}

fn method(method: &HttpMethod) -> Method {
    match method {
        HttpMethod::Get => Method::GET,
        HttpMethod::Head => Method::HEAD,
        HttpMethod::Post => Method::POST,
        HttpMethod::Put => Method::PUT,
        HttpMethod::Patch => Method::PATCH,
        HttpMethod::Delete => Method::DELETE,
        HttpMethod::Options => Method::OPTIONS,
        HttpMethod::Trace => Method::TRACE,
    }
}
