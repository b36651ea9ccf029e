//! Adds to each described call the credentials and refusals that its rule implies.

use crate::access::Role;
use crate::access::rule::{Need, need};
use actix_web::http::Method;
use utoipa::Modify;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Parameter, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, Response, ResponseBuilder};

/// Name of the token's scheme.
const BEARER: &str = "bearer";
/// Name of the device key's scheme.
const DEVICE_KEY: &str = "deviceKey";

/// Adds to every operation of the document the credentials and refusals that follow from its rule.
pub(super) struct Common;

impl Modify for Common {
    fn modify(&self, document: &mut OpenApi) {
        if let Some(components) = &mut document.components {
            let bearer = HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .bearer_format("JWT")
                .description(Some(
                    "Token of a login, of `iaqverse token`, or a device key",
                ));
            components.add_security_scheme(BEARER, SecurityScheme::Http(bearer.build()));
            let key = ApiKeyValue::with_description("X-API-Key", "Key of a device");
            let key = SecurityScheme::ApiKey(ApiKey::Header(key));
            components.add_security_scheme(DEVICE_KEY, key);
        }
        for (path, item) in &mut document.paths.paths {
            for (method, operation) in operations(item) {
                complete(path, &method, operation);
            }
        }
    }
}

/// The operations of a path and their methods.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    [
        (Method::GET, &mut item.get),
        (Method::HEAD, &mut item.head),
        (Method::POST, &mut item.post),
        (Method::PUT, &mut item.put),
        (Method::PATCH, &mut item.patch),
        (Method::DELETE, &mut item.delete),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

fn complete(path: &str, method: &Method, operation: &mut Operation) {
    let need = need(method, path);
    let (security, who) = match need {
        None | Some(Need::Nothing) => (Vec::new(), "Needs nothing."),
        Some(Need::Itself) => (Vec::new(), "Its body carries the credential."),
        Some(Need::Somebody) => (both(), "Needs a token or a device key."),
        Some(Need::Writing) => (both(), "Needs a device key, or the role operator."),
        Some(Need::Role(role)) => (bearer(), of_role(role)),
    };
    operation.security = Some(security);
    let said = operation.description.take().unwrap_or_default();
    operation.description = Some(format!("{said}\n\n{who}").trim().to_owned());

    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(parameter) = parameter {
            without_null(parameter);
        }
    }
    let has_body = !matches!(*method, Method::GET | Method::HEAD | Method::DELETE);
    add(
        operation,
        "403",
        "Not allowed, or from a page or to a host that is foreign",
    );
    if need != Some(Need::Nothing) {
        add(operation, "401", "No credentials, or none that count");
        add(operation, "429", "Too many requests");
        add(
            operation,
            "503",
            "Not now: the store does not answer, too much is read at once, or the server stops",
        );
    }
    if has_body {
        for (status, detail) in [
            ("400", "The body is not what it says it is"),
            ("408", "The body did not arrive in time"),
            ("413", "The body is too large"),
            (
                "415",
                "The body is of another type, or compressed in another way",
            ),
        ] {
            add(operation, status, detail);
        }
    }
    let is_head = *method == Method::HEAD;
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response {
            with_headers(status, response);
            if is_head {
                response.content.clear();
            }
        }
    }
}

/// What is not sent is left out: there is no null in a query or a header.
fn without_null(parameter: &mut Parameter) {
    let Some(RefOr::T(Schema::Object(schema))) = &mut parameter.schema else {
        return;
    };
    if let SchemaType::Array(kinds) = &schema.schema_type {
        let kind = kinds.iter().find(|kind| **kind != Type::Null);
        schema.schema_type = kind.cloned().unwrap_or(Type::String).into();
    }
    if parameter.name == "Content-Encoding" {
        let encodings = ["gzip", "deflate", "zstd", "identity"];
        schema.enum_values = Some(encodings.map(Into::into).to_vec());
    }
}

const fn of_role(role: Role) -> &'static str {
    match role {
        Role::Viewer => "Needs the role viewer.",
        Role::Operator => "Needs the role operator.",
        Role::Admin => "Needs the role admin.",
    }
}

fn scheme(name: &str) -> SecurityRequirement {
    SecurityRequirement::new::<_, [&str; 0], &str>(name, [])
}

fn bearer() -> Vec<SecurityRequirement> {
    vec![scheme(BEARER)]
}

fn both() -> Vec<SecurityRequirement> {
    vec![scheme(BEARER), scheme(DEVICE_KEY)]
}

/// Adds a refusal that the call does not describe itself.
fn add(operation: &mut Operation, status: &str, detail: &str) {
    let responses = &mut operation.responses.responses;
    if responses.contains_key(status) {
        return;
    }
    let problem = Content::new(Some(RefOr::Ref(Ref::from_schema_name("Problem"))));
    let response = ResponseBuilder::new()
        .description(detail)
        .content("application/problem+json", problem)
        .build();
    responses.insert(status.to_owned(), response.into());
}

fn with_headers(status: &str, response: &mut Response) {
    let mut header = |name: &str, kind: Type, detail: &str| {
        let header = HeaderBuilder::new()
            .schema(Some(ObjectBuilder::new().schema_type(kind).build()))
            .description(Some(detail));
        response
            .headers
            .insert(name.to_owned(), header.build().into());
    };
    header(
        "X-Request-Id",
        Type::String,
        "Finds this request in the log",
    );
    match status {
        "401" => header("WWW-Authenticate", Type::String, "Bearer"),
        "429" => {
            header("Retry-After", Type::Integer, "Seconds to wait");
            header(
                "RateLimit",
                Type::String,
                "What is left, and when more comes",
            );
            header("RateLimit-Policy", Type::String, "The limit");
        }
        "503" => header("Retry-After", Type::Integer, "Seconds to wait"),
        _ => {}
    }
}
