//! Adds a call to the document, with the credentials and refusals that what it needs implies.

use crate::access::{Call, Need, Role};
use actix_web::http::Method;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{HttpMethod, Operation, Parameter};
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, Response, ResponseBuilder};

/// Media type of a problem.
const PROBLEM_JSON: &str = "application/problem+json";
/// Name of the token's scheme.
const BEARER: &str = "bearer";
/// Name of the device key's scheme.
const DEVICE_KEY: &str = "deviceKey";

/// Adds the two kinds of credentials.
pub(super) fn add_credentials(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
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

/// Adds a call: what it describes itself, and the credentials and refusals that follow from what it
/// needs.
pub(super) fn add_call(document: &mut OpenApi, call: &Call) {
    let components = document.components.get_or_insert_default();
    let mut schemas = Vec::new();
    call.add_schemas(&mut schemas);
    components.schemas.extend(schemas);
    for method in &call.methods {
        let mut operation = call.operation();
        complete(&mut operation, method, call.need);
        if *method == Method::HEAD {
            // The other method of the same path has the name, the words and the body.
            operation.operation_id = operation.operation_id.map(|id| format!("{id}_head"));
            operation.summary = Some("The same without a body".to_owned());
        }
        document
            .paths
            .add_path_operation(&call.path, vec![http_method(method)], operation);
    }
}

fn http_method(method: &Method) -> HttpMethod {
    match *method {
        Method::HEAD => HttpMethod::Head,
        Method::POST => HttpMethod::Post,
        Method::PUT => HttpMethod::Put,
        Method::PATCH => HttpMethod::Patch,
        Method::DELETE => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

fn complete(operation: &mut Operation, method: &Method, need: Need) {
    let (security, who) = match need {
        Need::Nothing => (Vec::new(), "Needs nothing."),
        Need::Itself => (Vec::new(), "Its body carries the credential."),
        Need::Somebody => (both(), "Needs a token or a device key."),
        Need::Writing => (both(), "Needs a device key, or the role operator."),
        Need::Role(role) => (bearer(), of_role(role)),
    };
    operation.security = Some(security);
    let said = operation.description.take().unwrap_or_default();
    operation.description = Some(format!("{said}\n\n{who}").trim().to_owned());

    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(parameter) = parameter {
            without_null(parameter);
        }
    }
    add(
        operation,
        "403",
        "Not allowed, or from a page or to a host that is foreign",
    );
    if need != Need::Nothing {
        add(operation, "401", "No credentials, or none that count");
        add(operation, "429", "Too many requests");
        add(
            operation,
            "503",
            "Not now: the store does not answer, too much is read at once, or the server stops",
        );
    }
    if operation.request_body.is_some() {
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
            if status.starts_with(['4', '5']) && response.content.is_empty() {
                response
                    .content
                    .insert(PROBLEM_JSON.to_owned(), problem().into());
            }
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
    let response = ResponseBuilder::new().description(detail).build();
    responses.insert(status.to_owned(), response.into());
}

fn problem() -> Content {
    Content::new(Some(RefOr::Ref(Ref::from_schema_name("Problem"))))
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
