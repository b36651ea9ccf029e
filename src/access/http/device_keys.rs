//! Keys of devices, for operators.

use super::{label, label_rule, not_changed};
use crate::access::book::{Change, KeyEntry};
use crate::access::call::{Call, call};
use crate::access::device_key::{DeviceKey, NewDeviceKey, place_fault, sensors_fault};
use crate::access::device_keys::{self, TooManyKeys};
use crate::access::{Access, Caller, Need, SensorPattern, sites_json};
use crate::domain::{PlaceName, Sites, Timestamp};
use crate::http::{BodyReader, Fields, Problem};
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;
use validator::Validate;

pub(super) fn calls() -> Vec<Call> {
    vec![
        call!(Need::OPERATOR, device_keys),
        call!(Need::OPERATOR, add_device_key),
        call!(Need::OPERATOR, revoke_device_key),
    ]
}

/// A key with which a device writes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeviceKey)]
struct ShownKey<'a> {
    id: &'a str,
    label: &'a str,
    /// Sensors it writes for, with `*` for any run of characters.
    #[schema(value_type = Vec<String>)]
    sensors: &'a [SensorPattern],
    #[schema(required = true)]
    sites: Option<Vec<&'a str>>,
    /// Site of every reading, whatever the device says.
    #[schema(required = true)]
    enseigne: Option<&'a str>,
    /// Room of every reading.
    #[schema(required = true)]
    salle: Option<&'a str>,
    created_at: Timestamp,
    created_by: &'a str,
    #[schema(required = true)]
    last_used_at: Option<Timestamp>,
    /// The key itself, in the answer that made it and nowhere else.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

impl<'a> ShownKey<'a> {
    fn of(id: &'a str, key: &'a DeviceKey, used_ms: Option<i64>) -> Self {
        let place = key.place.as_ref();
        Self {
            id,
            label: &key.label,
            sensors: &key.sensors,
            sites: sites_json::names(&key.sites),
            enseigne: place.map(|(site, _)| site.as_str()),
            salle: place.map(|(_, room)| room.as_str()),
            created_at: Timestamp::from_millis(key.created_ms),
            created_by: &key.created_by,
            last_used_at: used_ms.map(Timestamp::from_millis),
            key: None,
        }
    }
}

/// All keys of devices
#[utoipa::path(get, path = "/api/device-keys", tag = "devices",
    responses((status = 200, description = "The newest first", body = Vec<ShownKey>)))]
async fn device_keys(caller: Caller, access: Data<Access>) -> HttpResponse {
    let mut keys: Vec<(String, KeyEntry)> = access.registry().book(|book| {
        let own = book
            .keys
            .iter()
            .filter(|(_, entry)| entry.key.sites.are_within(caller.sites()));
        own.map(|(id, entry)| (id.clone(), entry.clone())).collect()
    });
    keys.sort_by(|(a, one), (b, other)| (other.key.created_ms, a).cmp(&(one.key.created_ms, b)));
    let keys: Vec<_> = keys
        .iter()
        .map(|(id, entry)| ShownKey::of(id, &entry.key, entry.used_ms()))
        .collect();
    HttpResponse::Ok().json(keys)
}

#[derive(Debug, Validate, ToSchema)]
#[schema(as = NewDeviceKey)]
struct WantedKey {
    #[validate(custom(function = "label_rule"))]
    #[schema(max_length = 128)]
    label: Option<String>,
    #[schema(value_type = Vec<String>, min_items = 1, max_items = 32)]
    sensors: Vec<SensorPattern>,
    #[schema(value_type = Option<Vec<String>>)]
    sites: Sites,
    #[schema(value_type = Option<String>)]
    enseigne: Option<PlaceName>,
    #[schema(value_type = Option<String>)]
    salle: Option<PlaceName>,
}

/// A new key
///
/// Its text is in this answer and nowhere else.
#[utoipa::path(post, path = "/api/device-keys", tag = "devices", request_body = WantedKey,
    responses(
        (status = 201, description = "Made", body = ShownKey),
        (status = 409, description = "There are too many"),
        (status = 422, description = "A field is missing or wrong"),
    ))]
async fn add_device_key(
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
    access: Data<Access>,
    bodies: Data<BodyReader>,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::read(&bodies, &request, payload).await?;
    let (enseigne, salle) = place(&mut fields, &caller);
    let values = WantedKey {
        label: label(&mut fields, "label"),
        sensors: patterns(&mut fields),
        sites: sites(&mut fields, &caller),
        enseigne,
        salle,
    };
    if let Some(site) = values.enseigne.as_ref().map(PlaceName::as_str)
        && caller.sites().allow(site)
        && let Some(fault) = place_fault(site, &values.sites)
    {
        fields.fault("enseigne", "bad_site", fault);
    }
    let WantedKey {
        label,
        sensors,
        sites,
        enseigne,
        salle,
    } = fields.finish(values)?;

    let place = enseigne.zip(salle);
    let (id, key, text) = DeviceKey::create(NewDeviceKey {
        label: label.unwrap_or_default(),
        sensors,
        sites,
        place: place.map(|(site, room)| (site.as_str().into(), room.as_str().into())),
        created_by: caller.name().to_owned(),
        created_ms: access.now().millis(),
    });
    let added = access.registry().change(|book| {
        let mut change = Change::default();
        device_keys::add(book, &mut change, &id, &key).map_err(too_many_keys)?;
        Ok((change, ()))
    });
    added.await.map_err(not_changed)?;
    tracing::info!(id, by = caller.name(), "a device key was added");
    Ok(HttpResponse::Created().json(ShownKey {
        key: Some(text),
        ..ShownKey::of(&id, &key, None)
    }))
}

/// Makes a key worth nothing
#[utoipa::path(delete, path = "/api/device-keys/{id}", tag = "devices",
    params(("id" = String, Path, description = "Id of the key")),
    responses(
        (status = 204, description = "Revoked"),
        (status = 404, description = "There is none"),
    ))]
async fn revoke_device_key(
    caller: Caller,
    id: Path<String>,
    access: Data<Access>,
) -> Result<HttpResponse, Problem> {
    let revoked = access.registry().change(|book| {
        let change = device_keys::remove(book, &id, caller.sites());
        Ok((change.ok_or_else(Problem::not_found)?, ()))
    });
    revoked.await.map_err(not_changed)?;
    tracing::info!(id = *id, by = caller.name(), "a device key was revoked");
    Ok(HttpResponse::NoContent().finish())
}

pub(super) fn too_many_keys(_: TooManyKeys) -> Problem {
    Problem::conflict("too_many_keys", "there are too many keys")
}

fn patterns(fields: &mut Fields) -> Vec<SensorPattern> {
    let given = fields.optional_texts("sensors").unwrap_or_default();
    if let Some(fault) = sensors_fault(given.len()) {
        fields.fault("sensors", "bad_sensors", fault);
    }
    let patterns = given.iter().enumerate().filter_map(|(index, text)| {
        let pattern = SensorPattern::parse(text);
        if pattern.is_none() {
            let pointer = format!("sensors/{index}");
            fields.fault(&pointer, "bad_sensor_id", SensorPattern::FAULT);
        }
        pattern
    });
    patterns.collect()
}

/// Site and room for every reading of a key: both or none.
fn place(fields: &mut Fields, caller: &Caller) -> (Option<PlaceName>, Option<PlaceName>) {
    match ["enseigne", "salle"].map(|name| fields.is_given(name)) {
        [true, false] => fields.fault("salle", "required", "must be given with enseigne"),
        [false, true] => fields.fault("enseigne", "required", "must be given with salle"),
        _ => {}
    }
    let site = fields.optional("enseigne", "bad_name", PlaceName::parse);
    require_own(fields, caller, site.as_ref());
    (site, fields.optional("salle", "bad_name", PlaceName::parse))
}

pub(super) fn require_own(fields: &mut Fields, caller: &Caller, site: Option<&PlaceName>) {
    if site.is_some_and(|site| !caller.sites().allow(site.as_str())) {
        fields.fault("enseigne", "forbidden", "is none of your sites");
    }
}

/// Callers can only hand out what they have themselves.
fn sites(fields: &mut Fields, caller: &Caller) -> Sites {
    let asked = fields.sites("sites");
    if asked.are_all() {
        return caller.sites().clone();
    }
    if !asked.are_within(caller.sites()) {
        fields.fault("sites", "forbidden", "are not all among your sites");
    }
    asked
}
