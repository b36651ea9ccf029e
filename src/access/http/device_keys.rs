//! Keys of devices, for operators.

use super::{label, not_changed, shown};
use crate::access::Access;
use crate::access::book::{Change, KeyEntry};
use crate::access::device_key::{DeviceKey, NewDeviceKey, place_fault, sensors_fault};
use crate::access::device_keys::{self, TooManyKeys};
use crate::access::{Caller, SensorPattern, sites_json};
use crate::domain::Sites;
use crate::http::{BodyReader, Fields, Problem};
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};

/// `GET /api/device-keys`: the newest first.
pub async fn device_keys(caller: Caller, access: Data<Access>) -> HttpResponse {
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
        .map(|(id, entry)| body(id, &entry.key, entry.used_ms()))
        .collect();
    HttpResponse::Ok().json(keys)
}

/// `POST /api/device-keys`: a new key, whose text is in this answer and nowhere else.
pub async fn add_device_key(
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
    access: Data<Access>,
    bodies: Data<BodyReader>,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::read(&bodies, &request, payload).await?;
    let label = label(&mut fields, "label").unwrap_or_default();
    let sensors = patterns(&mut fields);
    let place = place(&mut fields, &caller);
    let sites = sites(&mut fields, &caller);
    if let Some((site, _)) = &place
        && caller.sites().allow(site)
        && let Some(fault) = place_fault(site, &sites)
    {
        fields.fault("enseigne", "bad_site", fault);
    }
    fields.finish()?;

    let (id, key, text) = DeviceKey::create(NewDeviceKey {
        label,
        sensors,
        sites,
        place,
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
    let mut answer = body(&id, &key, None);
    answer["key"] = text.into();
    Ok(HttpResponse::Created().json(answer))
}

/// `DELETE /api/device-keys/{id}`: the key is worth nothing from now on.
pub async fn revoke_device_key(
    caller: Caller,
    id: Path<String>,
    access: Data<Access>,
) -> Result<HttpResponse, Problem> {
    let revoked = access.registry().change(|book| {
        let entry = book.keys.get(&*id);
        if !entry.is_some_and(|entry| entry.key.sites.are_within(caller.sites())) {
            return Err(Problem::not_found());
        }
        let mut change = Change::default();
        change.remove_key(&id);
        Ok((change, ()))
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
fn place(fields: &mut Fields, caller: &Caller) -> Option<(String, String)> {
    let (site, room) = (
        fields.optional_text("enseigne"),
        fields.optional_text("salle"),
    );
    match (site, room) {
        (None, None) => None,
        (Some(site), Some(room)) => Some(place_of(fields, caller, site, room)),
        (Some(_), None) => {
            fields.fault("salle", "required", "must be given with enseigne");
            None
        }
        (None, Some(_)) => {
            fields.fault("enseigne", "required", "must be given with salle");
            None
        }
    }
}

pub(super) fn place_of(
    fields: &mut Fields,
    caller: &Caller,
    site: String,
    room: String,
) -> (String, String) {
    if !caller.sites().allow(&site) {
        fields.fault("enseigne", "forbidden", "is none of your sites");
    }
    (
        fields.place_name("enseigne", site),
        fields.place_name("salle", room),
    )
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

fn body(id: &str, key: &DeviceKey, used_ms: Option<i64>) -> Value {
    let (site, room) = key.place.clone().unzip();
    json!({
        "id": id,
        "label": key.label,
        "sensors": key.sensors,
        "sites": sites_json::names(&key.sites),
        "enseigne": site,
        "salle": room,
        "created_at": shown(key.created_ms),
        "created_by": key.created_by,
        "last_used_at": used_ms.map(shown),
    })
}
