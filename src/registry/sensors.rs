//! The calls that change sensors.

use super::kept;
use super::problem::problem;
use crate::access::{Call, Caller, Need, call};
use crate::domain::{PlaceName, SensorId, Timestamp};
use crate::http::{BodyReader, Fields, Parameters, Problem};
use crate::pipeline::Pipeline;
use crate::query::{ShownSensor, Source, shown_sensor};
use crate::store::{Changed, RegistryChange, SensorEdit, SensorSettings};
use crate::validate::TvocUnit;
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;
use validator::Validate;

pub(super) fn calls() -> Vec<Call> {
    vec![
        call!(Need::OPERATOR, edit_sensor),
        call!(Need::OPERATOR, merge_sensors),
        call!(Need::OPERATOR, remove_sensor),
    ]
}

/// What is to be changed; what is absent stays.
#[derive(Debug, Validate, ToSchema)]
struct SensorChange {
    /// Another id. The one of before goes on leading here, so the device need not know.
    #[schema(value_type = Option<String>, pattern = "^[A-Za-z0-9._:-]{1,64}$")]
    sensor_id: Option<SensorId>,
    /// The site it stands at; with `salle`, or the room of its name there.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128)]
    enseigne: Option<PlaceName>,
    /// The room it stands in. It is pinned there: what room its readings name is ignored and told.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 128)]
    salle: Option<PlaceName>,
    /// From when on it has stood there: readings since then are moved as well. Without it history stays.
    since: Option<Timestamp>,
    /// Whether the room that its readings name is ignored.
    pinned: Option<bool>,
    /// The unit of its TVOC values that come without one: ppb, ug/m3 or mg/m3; null forgets it.
    #[schema(value_type = Option<String>)]
    tvoc_unit: Option<TvocUnit>,
    /// What kind of device it is; null forgets it.
    #[schema(max_length = 128)]
    model: Option<String>,
}

/// A sensor after a change.
#[derive(Debug, Serialize, ToSchema)]
struct SensorChanged {
    #[serde(flatten)]
    #[schema(inline)]
    sensor: ShownSensor,
    /// Stored readings that were moved.
    readings_moved: u64,
}

/// Renames, moves or pins a sensor
///
/// History stays in the room it was measured in, unless `since` says from when on the sensor has stood in
/// the new one.
#[utoipa::path(patch, path = "/api/sensors/{id}", tag = "registry",
    params(("id" = String, Path, description = "Id of the sensor, or one it had before")),
    request_body = SensorChange,
    responses(
        (status = 200, description = "The sensor as it is now", body = SensorChanged),
        (status = 403, description = "It has readings at other sites"),
        (status = 404, description = "There is none"),
        (status = 409, description = "Another sensor has the id, or there are too many rooms or ids"),
        (status = 422, description = "A field is wrong"),
    ))]
async fn edit_sensor(
    caller: Caller,
    request: HttpRequest,
    id: Path<String>,
    payload: Payload,
    bodies: Data<BodyReader>,
    pipeline: Data<Pipeline>,
    source: Data<Source>,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::read(&bodies, &request, payload).await?;
    let (unit_is_given, model_is_given) = (fields.has("tvoc_unit"), fields.has("model"));
    if fields.are_none() {
        fields.fault("", "nothing_to_change", "must name what is to change");
    }
    let values = SensorChange {
        sensor_id: fields.optional("sensor_id", "bad_sensor_id", SensorId::parse),
        enseigne: fields.optional("enseigne", "bad_name", PlaceName::parse),
        salle: fields.optional("salle", "bad_name", PlaceName::parse),
        since: fields.optional("since", "bad_timestamp", |text| {
            Timestamp::parse(text).ok_or("must be RFC 3339, for example 2025-11-19T10:05:00Z")
        }),
        pinned: fields.optional_flag("pinned"),
        tvoc_unit: fields.optional("tvoc_unit", "unknown_unit", |name| {
            TvocUnit::parse(name).ok_or("must be ppb, ug/m3 or mg/m3")
        }),
        model: fields.optional("model", "bad_model", model),
    };
    let values = fields.finish(values)?;
    let edit = SensorEdit {
        id: values.sensor_id,
        site: values.enseigne,
        room: values.salle,
        since: values.since,
        is_pinned: values.pinned,
        tvoc_unit: unit_is_given.then_some(values.tvoc_unit),
        model: model_is_given.then_some(values.model),
    };
    let change = RegistryChange::EditSensor {
        id: id_of(&id)?,
        edit,
    };
    let changed = pipeline.queue.change(change, caller.sites()).await;
    let changed = changed.map_err(|error| problem(error, ""))?;
    tracing::info!(sensor_id = *id, by = caller.name(), "a sensor was changed");
    answer(&caller, &source, &changed).await
}

fn model(text: &str) -> Result<String, &'static str> {
    let length = text.chars().count();
    let is_right = (1..=SensorSettings::MODEL_LENGTH_MAX).contains(&length);
    if is_right && !text.chars().any(char::is_control) {
        Ok(text.to_owned())
    } else {
        Err("must have 1 to 128 characters, none of them a control")
    }
}

/// A text that is no id is no sensor's.
fn id_of(text: &str) -> Result<SensorId, Problem> {
    SensorId::parse(text).map_err(|_fault| Problem::not_found())
}

async fn answer(
    caller: &Caller,
    source: &Source,
    changed: &Changed,
) -> Result<HttpResponse, Problem> {
    let id = changed.sensor.as_ref().ok_or_else(Problem::internal)?;
    let sensor = shown_sensor(source, caller, id.as_str()).await?;
    // It may be at another site now, of somebody else.
    let sensor = sensor.ok_or_else(Problem::not_found)?;
    Ok(HttpResponse::Ok().json(SensorChanged {
        sensor,
        readings_moved: changed.readings,
    }))
}

#[derive(Debug, Validate, ToSchema)]
struct Merge {
    /// Id of the sensor whose the readings become.
    #[schema(value_type = String, pattern = "^[A-Za-z0-9._:-]{1,64}$")]
    into: Option<SensorId>,
}

/// Makes two sensors one
///
/// All readings become those of the sensor named in `into`, which keeps its own where both have the same
/// moment. The id goes on leading there, so a device that replaced another need not be told its id.
#[utoipa::path(post, path = "/api/sensors/{id}/merge", tag = "registry",
    params(("id" = String, Path, description = "Id of the sensor that is no more then")),
    request_body = Merge,
    responses(
        (status = 200, description = "The sensor that has all readings", body = SensorChanged),
        (status = 403, description = "One of them has readings at other sites"),
        (status = 404, description = "One of them is not there"),
        (status = 409, description = "Too many ids would lead there"),
        (status = 422, description = "A field is missing or wrong"),
    ))]
async fn merge_sensors(
    caller: Caller,
    request: HttpRequest,
    id: Path<String>,
    payload: Payload,
    bodies: Data<BodyReader>,
    pipeline: Data<Pipeline>,
    source: Data<Source>,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::read(&bodies, &request, payload).await?;
    let values = Merge {
        into: fields.required("into", "bad_sensor_id", SensorId::parse),
    };
    let values = fields.finish(values)?;
    // Without it there was a fault.
    let into = values.into.ok_or_else(Problem::internal)?;
    let change = RegistryChange::MergeSensors {
        from: id_of(&id)?,
        into,
    };
    let changed = pipeline.queue.change(change, caller.sites()).await;
    let changed = changed.map_err(|error| problem(error, ""))?;
    tracing::info!(
        sensor_id = *id,
        by = caller.name(),
        "a sensor became one with another"
    );
    answer(&caller, &source, &changed).await
}

/// Removes a sensor
///
/// With `readings=keep` it is shown nowhere until it sends again, and history goes on having its
/// readings; with `readings=remove` those go as well. An id that it had before only ceases to lead to it.
#[utoipa::path(delete, path = "/api/sensors/{id}", tag = "registry",
    params(
        ("id" = String, Path, description = "Id of the sensor"),
        ("readings" = Option<String>, Query, description = "keep or remove; keep"),
    ),
    responses(
        (status = 204, description = "Removed"),
        (status = 403, description = "It has readings at other sites"),
        (status = 404, description = "There is none"),
        (status = 422, description = "A parameter is wrong"),
    ))]
async fn remove_sensor(
    caller: Caller,
    request: HttpRequest,
    id: Path<String>,
    pipeline: Data<Pipeline>,
) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of(&request);
    let readings = kept(&mut parameters);
    parameters.done()?;
    let change = RegistryChange::RemoveSensor {
        id: id_of(&id)?,
        readings,
    };
    let removed = pipeline.queue.change(change, caller.sites()).await;
    removed.map_err(|error| problem(error, ""))?;
    tracing::info!(
        sensor_id = *id,
        ?readings,
        by = caller.name(),
        "a sensor was removed"
    );
    Ok(HttpResponse::NoContent().finish())
}
