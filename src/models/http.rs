//! The calls about models.

use super::catalogue::{ModelChangeError, Models};
use super::file_body::{FileFault, ModelFile};
use super::glb::{At, GlbFault};
use super::id::ModelId;
use super::incoming::{Part, Received, UploadError};
use super::model::Model;
use super::space::QuotaExceeded;
use crate::access::{Call, Caller, Need, call};
use crate::clock::Clock;
use crate::domain::{Place, PlaceName, Timestamp};
use crate::fault::{FORBIDDEN, FieldError};
use crate::http::{Parameters, Problem, is_known, media_type};
use crate::shutdown::Shutdown;
use actix_web::body::SizedStream;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::StreamExt;
use metrics::counter;
use serde::Serialize;
use std::io;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;
use utoipa::ToSchema;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};

/// Media type of a GLB.
const GLB: &str = "model/gltf-binary";
/// What clients send and want that know no media types of models.
const BYTES: &str = "application/octet-stream";
/// Parts of a body that may wait for the disk; each is at most what is read from a socket at once.
const PARTS_MAX: usize = 4;
/// Longest silence within an upload: others may wait for its place.
const PAUSE_MAX: Duration = Duration::from_secs(30);

pub(crate) fn calls() -> Vec<Call> {
    vec![
        call!(Need::VIEWER, models),
        call!(Need::OPERATOR, put_model),
        call!(Need::VIEWER, model),
        call!(Need::OPERATOR, remove_model),
    ]
}

/// A 3D model of a room.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Model)]
struct ShownModel<'a> {
    #[schema(pattern = "^[0-9a-f]{32}$")]
    id: String,
    /// Site.
    enseigne: &'a str,
    /// Room.
    salle: &'a str,
    /// Size of the file.
    bytes: u64,
    /// Path of the file.
    url: String,
    created_at: Timestamp,
    /// Name of whoever uploaded it.
    created_by: &'a str,
}

impl<'a> ShownModel<'a> {
    /// A model of the room that is called `place` now.
    fn of(model: &'a Model, place: &'a Place) -> Self {
        Self {
            id: model.id.to_string(),
            enseigne: place.site.as_str(),
            salle: place.room.as_str(),
            bytes: model.bytes,
            url: format!("/api/models/{}", model.id),
            created_at: Timestamp::from_millis(model.created_ms),
            created_by: &model.created_by,
        }
    }
}

/// A file as the API document shows it: bytes, not text.
struct Glb;

impl utoipa::PartialSchema for Glb {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)))
            .content_media_type(GLB)
            .into()
    }
}

impl ToSchema for Glb {}

/// The models of all rooms
#[utoipa::path(get, path = "/api/models", tag = "models",
    responses((status = 200, description = "By site and room", body = Vec<ShownModel>)))]
async fn models(
    caller: Caller,
    request: HttpRequest,
    models: Data<Models>,
) -> Result<HttpResponse, Problem> {
    Parameters::none(&request)?;
    let all: Vec<Model> = models.book(|book| book.iter().cloned().collect());
    let all = all.iter().map(|model| (models.place_of(model), model));
    let mut own: Vec<_> = all
        .filter(|(place, _)| caller.sites().allow(place.site.as_str()))
        .collect();
    own.sort_by(|(one, _), (other, _)| one.cmp(other));
    let shown: Vec<_> = own
        .iter()
        .map(|(place, model)| ShownModel::of(model, place))
        .collect();
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "private, no-cache"))
        .json(shown))
}

/// A model
///
/// What an id names never changes.
#[utoipa::path(get, path = "/api/models/{id}", tag = "models",
    params(
        ("id" = String, Path, description = "Id of the model"),
        ("If-None-Match" = Option<String>, Header, description = "ETag of the one one has"),
    ),
    responses(
        (status = 200, description = "The file, as whichever of the two is accepted", content(
            (inline(Glb) = "model/gltf-binary"),
            (inline(Glb) = "application/octet-stream"),
        )),
        (status = 304, description = "One has it"),
        (status = 404, description = "There is none"),
        (status = 500, description = "Its file is missing or damaged"),
    ))]
async fn model(
    caller: Caller,
    id: Path<String>,
    request: HttpRequest,
    models: Data<Models>,
) -> Result<HttpResponse, Problem> {
    let model = find(&models, &caller, &id)?;
    let (id, bytes) = (model.id, model.bytes);
    let file = ModelFile::open(models.path_of(id), model).await;
    let file = file.map_err(|fault| {
        tracing::error!(%id, error = %fault, "a model cannot be sent");
        not_sent(&fault)
    })?;
    let tag = format!("\"{id}\"");
    let is_known = is_known(&request, &tag);
    let mut response = HttpResponse::build(if is_known {
        StatusCode::NOT_MODIFIED
    } else {
        StatusCode::OK
    });
    response
        .insert_header((header::ETAG, tag))
        .insert_header((
            header::CACHE_CONTROL,
            "private, max-age=31536000, immutable",
        ))
        .insert_header((header::VARY, "Authorization, Accept"));
    if is_known {
        return Ok(response.finish());
    }
    let name = format!("attachment; filename=\"{id}.glb\"");
    Ok(response
        .insert_header((header::CONTENT_TYPE, wanted_type(request.headers())))
        .insert_header((header::CONTENT_DISPOSITION, name))
        .body(SizedStream::new(bytes, file.into_stream())))
}

/// The model of a room
///
/// A GLB (glTF 2 in its binary form) with everything in itself. It takes the place of the one the room
/// had.
#[utoipa::path(put, path = "/api/models", tag = "models",
    params(
        ("enseigne" = String, Query, description = "Site"),
        ("salle" = String, Query, description = "Room"),
    ),
    request_body(content(
        (inline(Glb) = "model/gltf-binary"),
        (inline(Glb) = "application/octet-stream"),
    )),
    responses(
        (status = 200, description = "In place of the one there was", body = ShownModel),
        (status = 201, description = "Added", body = ShownModel),
        (status = 409, description = "All models would be too large, or there are too many"),
        (status = 422, description = "Not a model, with the place of the fault in `errors` or \
            `offset`; or a parameter is missing or wrong"),
    ))]
async fn put_model(
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
    models: Data<Models>,
    clock: Data<dyn Clock>,
    shutdown: Data<Shutdown>,
) -> Result<HttpResponse, Problem> {
    let now = clock.now();
    let put = put(&caller, &request, payload, &models, &shutdown, now).await;
    let (model, replaced) = put.inspect_err(|_refused| {
        counter!("iaqverse_model_uploads_refused_total").increment(1);
    })?;
    tracing::info!(id = %model.id, bytes = model.bytes, by = caller.name(), "a model was uploaded");
    let mut response = if replaced {
        HttpResponse::Ok()
    } else {
        HttpResponse::Created()
    };
    Ok(response.json(ShownModel::of(&model, &models.place_of(&model))))
}

/// Removes a model
#[utoipa::path(delete, path = "/api/models/{id}", tag = "models",
    params(("id" = String, Path, description = "Id of the model")),
    responses(
        (status = 204, description = "Removed"),
        (status = 404, description = "There is none"),
    ))]
async fn remove_model(
    caller: Caller,
    id: Path<String>,
    models: Data<Models>,
) -> Result<HttpResponse, Problem> {
    let model = find(&models, &caller, &id)?;
    let removed = models.remove(model.id).await;
    removed.map_err(|error| not_changed(&error))?;
    tracing::info!(id = %model.id, by = caller.name(), "a model was removed");
    Ok(HttpResponse::NoContent().finish())
}

/// The model of an id that a request names. One of another site is answered like none.
fn find(models: &Models, caller: &Caller, id: &str) -> Result<Model, Problem> {
    let found = ModelId::parse(id).and_then(|id| models.book(|book| book.get(id).cloned()));
    found
        .filter(|model| caller.sites().allow(models.place_of(model).site.as_str()))
        .ok_or_else(Problem::not_found)
}

/// Whatever can be known before the body is judged before it is read.
async fn put(
    caller: &Caller,
    request: &HttpRequest,
    payload: Payload,
    models: &Models,
    shutdown: &Shutdown,
    now: Timestamp,
) -> Result<(Model, bool), Problem> {
    let place = place(request).map_err(Problem::closing)?;
    if !caller.sites().allow(place.site.as_str()) {
        return Err(forbidden().closing());
    }
    require_glb(request.headers()).map_err(Problem::closing)?;
    let declared = declared(request.headers(), models.limits().bytes_max);
    let declared = declared.map_err(Problem::closing)?;
    let received = receive(models, shutdown, payload, declared, &place).await?;
    let added = models.add(received, place, caller.name(), now).await;
    added.map_err(|error| not_changed(&error))
}

/// Reads the body to the disk.
async fn receive(
    models: &Models,
    shutdown: &Shutdown,
    payload: Payload,
    declared: u64,
    place: &Place,
) -> Result<Received, Problem> {
    let permit = models.may_upload();
    let permit = permit.ok_or_else(|| {
        Problem::unavailable("too_many_uploads", "other models are being uploaded").closing()
    })?;
    let (parts, mut taken) = mpsc::channel(PARTS_MAX);
    let (writer, place) = (models.clone(), place.clone());
    let writing = tokio::task::spawn_blocking(move || {
        writer.begin(declared, permit)?.receive(&mut taken, &place)
    });
    let time_max = models.limits().timeout;
    let sent = tokio::select! {
        sent = timeout(time_max, send(payload, parts)) => sent.unwrap_or_else(|_late| Err(late())),
        () = shutdown.begun() => {
            Err(Problem::unavailable("stopping", "the server is stopping"))
        }
    };
    match (sent, writing.await) {
        (Ok(()), Ok(Ok(received))) => Ok(received),
        // Whoever writes was not told the end, which only this side can explain.
        (Err(problem), Ok(Ok(_) | Err(UploadError::BrokenOff))) => Err(problem.closing()),
        (_, Ok(Err(error))) => Err(refused(error).closing()),
        (_, Err(_)) => Err(Problem::internal().closing()),
    }
}

/// Hands the parts of a body on as fast as they are written.
async fn send(mut payload: Payload, parts: mpsc::Sender<Part>) -> Result<(), Problem> {
    loop {
        let part = tokio::select! {
            part = timeout(PAUSE_MAX, payload.next()) => part.map_err(|_silence| late())?,
            // It is refused, and the other side says why.
            () = parts.closed() => return Ok(()),
        };
        let part = match part {
            Some(Ok(bytes)) => Part::Bytes(bytes),
            Some(Err(_cut)) => {
                let detail = "the body ended early or is not well formed";
                return Err(Problem::bad_request("incomplete", detail));
            }
            None => Part::End,
        };
        let is_last = matches!(part, Part::End);
        if parts.send(part).await.is_err() || is_last {
            return Ok(());
        }
    }
}

/// The room that the query names.
fn place(request: &HttpRequest) -> Result<Place, Problem> {
    let mut parameters = Parameters::of(request);
    let mut name = |parameter| {
        let Some(text) = parameters.text(parameter) else {
            parameters.fault(parameter, "required", "must be given");
            return None;
        };
        let name = PlaceName::parse(text);
        name.map_err(|error| parameters.fault(parameter, "bad_name", error.to_string()))
            .ok()
    };
    let place = name("enseigne").zip(name("salle"));
    let place = place.map(|(site, room)| Place { site, room });
    parameters.done()?;
    // Without one there was a fault.
    place.ok_or_else(Problem::internal)
}

/// The type a file is sent as: that of models, unless only bytes are accepted.
fn wanted_type(headers: &HeaderMap) -> &'static str {
    let accepted = headers.get(header::ACCEPT).map(HeaderValue::as_bytes);
    if accepted == Some(BYTES.as_bytes()) {
        BYTES
    } else {
        GLB
    }
}

fn require_glb(headers: &HeaderMap) -> Result<(), Problem> {
    if !matches!(media_type(headers).as_deref(), Some(GLB | BYTES)) {
        return Err(Problem::unsupported_media_type(
            "send model/gltf-binary, or application/octet-stream",
        ));
    }
    let mut encodings = headers.get_all(header::CONTENT_ENCODING);
    if encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_encoding",
            "Content-Encoding not supported",
            "send the file as it is",
        ));
    }
    Ok(())
}

/// How many bytes are said to come; 0 when nothing is said.
fn declared(headers: &HeaderMap, bytes_max: u64) -> Result<u64, Problem> {
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    match length {
        Some(length) if length > bytes_max => Err(too_large(bytes_max)),
        length => Ok(length.unwrap_or(0)),
    }
}

fn forbidden() -> Problem {
    let mut problem = Problem::new(
        StatusCode::FORBIDDEN,
        FORBIDDEN,
        "Forbidden",
        "the site is none of yours",
    );
    let fault = FieldError::new("/enseigne", FORBIDDEN, "is none of your sites");
    problem.errors.push(fault);
    problem
}

fn late() -> Problem {
    Problem::of_status(StatusCode::REQUEST_TIMEOUT)
}

fn too_large(bytes_max: u64) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too_large",
        "Model too large",
        format!("a model may have {bytes_max} bytes"),
    )
}

fn refused(error: UploadError) -> Problem {
    match error {
        UploadError::TooLarge { bytes_max } => too_large(bytes_max),
        UploadError::Quota(QuotaExceeded) => Problem::conflict(
            "quota_exceeded",
            "all models together would be too large; remove some first",
        ),
        UploadError::Bad(fault) => bad_model(fault),
        UploadError::File(error) => not_written(&error),
        UploadError::BrokenOff => Problem::bad_request("incomplete", "the body ended early"),
    }
}

fn bad_model(fault: GlbFault) -> Problem {
    let (pointer, members) = match fault.at {
        At::Byte(offset) => (String::new(), format!("\"offset\":{offset}")),
        At::Member(pointer) => (pointer, String::new()),
    };
    let error = FieldError::new(pointer, fault.code, fault.detail);
    Problem {
        members,
        ..Problem::invalid("bad_model", "Not a model", vec![error])
    }
}

fn not_written(error: &io::Error) -> Problem {
    tracing::error!(%error, "the file of a model could not be written");
    Problem::unavailable("models_unavailable", "the file could not be written")
}

fn not_changed(error: &ModelChangeError) -> Problem {
    match error {
        ModelChangeError::TooMany => {
            Problem::conflict("too_many_models", "there are too many models")
        }
        ModelChangeError::Missing => Problem::not_found(),
        ModelChangeError::OfAnotherRoom => Problem::conflict(
            "model_of_another_room",
            "the same file is the model of a room that was called so before",
        ),
        ModelChangeError::File(error) => not_written(error),
        ModelChangeError::Store(error) => Problem::store_unavailable(error),
    }
}

fn not_sent(fault: &FileFault) -> Problem {
    let (code, detail) = match fault {
        FileFault::Missing => ("model_missing", "the file of this model is missing"),
        FileFault::Damaged { .. } => ("model_damaged", "the file of this model is damaged"),
        FileFault::Unreadable(_) => ("model_unreadable", "the file of this model cannot be read"),
    };
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    Problem::new(status, code, "Model not available", detail)
}
