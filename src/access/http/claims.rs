//! Adopting a new sensor: an operator makes a code, the sensor uses it up for a key of its own.

use super::device_keys::{place_of, too_many_keys};
use super::sessions::{address_of, limit_attempts, unauthorized};
use super::{label, not_changed, shown};
use crate::access::Access;
use crate::access::book::{Book, Change};
use crate::access::claim::{CLAIMS_MAX, Claim, NewClaim};
use crate::access::device_key::{DeviceKey, NewDeviceKey};
use crate::access::device_keys;
use crate::access::{Caller, SensorPattern};
use crate::domain::SensorId;
use crate::http::{BodyReader, Fields, Problem, TrustedProxies};
use crate::store::Store;
use actix_web::http::header;
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};

/// `GET /api/claims`: those that are not over, the newest first.
pub async fn claims(caller: Caller, access: Data<Access>) -> HttpResponse {
    let now = access.now();
    let mut claims: Vec<(String, Claim)> = access.registry().book(|book| {
        let own = book
            .claims
            .iter()
            .filter(|(_, claim)| !claim.has_expired(now) && caller.sites().allow(&claim.site));
        own.map(|(id, claim)| (id.clone(), claim.clone())).collect()
    });
    claims.sort_by(|(a, one), (b, other)| (other.created_ms, a).cmp(&(one.created_ms, b)));
    let claims: Vec<_> = claims.iter().map(|(id, claim)| body(id, claim)).collect();
    HttpResponse::Ok().json(claims)
}

/// `POST /api/claims`: a code for a sensor that will stand in this room.
pub async fn claim(
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
    access: Data<Access>,
    bodies: Data<BodyReader>,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::read(&bodies, &request, payload).await?;
    let label = label(&mut fields, "label");
    let (site, room) = (fields.text("enseigne"), fields.text("salle"));
    let place = site
        .zip(room)
        .map(|(site, room)| place_of(&mut fields, &caller, site, room));
    let sensor = fields.optional_text("sensor_id");
    if let Some(sensor) = &sensor
        && let Err(error) = SensorId::parse(sensor)
    {
        fields.fault("sensor_id", "bad_sensor_id", error.to_string());
    }
    fields.finish()?;

    let (site, room) = place.unwrap_or_default();
    let now = access.now();
    let new = NewClaim {
        label,
        site,
        room,
        sensor,
        sites: caller.sites().clone(),
        created_by: caller.name().to_owned(),
    };
    let (id, claim, code) = Claim::create(new, now);
    let made = access.registry().change(|book| {
        let mut change = Change::default();
        let mut left = 0;
        for (id, claim) in &book.claims {
            if claim.has_expired(now) {
                change.remove_claim(id);
            } else {
                left += 1;
            }
        }
        if left >= CLAIMS_MAX {
            return Err(Problem::conflict(
                "too_many_claims",
                "too many sensors are awaited",
            ));
        }
        change.put_claim(id.clone(), claim.clone());
        Ok((change, ()))
    });
    made.await.map_err(not_changed)?;
    tracing::info!(id, by = caller.name(), "a sensor is awaited");
    let mut answer = body(&id, &claim);
    answer["code"] = code.into();
    Ok(HttpResponse::Created().json(answer))
}

/// `DELETE /api/claims/{id}`: the code is worth nothing from now on.
pub async fn drop_claim(
    caller: Caller,
    id: Path<String>,
    access: Data<Access>,
) -> Result<HttpResponse, Problem> {
    let dropped = access.registry().change(|book| {
        let claim = book.claims.get(&*id);
        if !claim.is_some_and(|claim| caller.sites().allow(&claim.site)) {
            return Err(Problem::not_found());
        }
        let mut change = Change::default();
        change.remove_claim(&id);
        Ok((change, ()))
    });
    dropped.await.map_err(not_changed)?;
    Ok(HttpResponse::NoContent().finish())
}

/// `POST /api/claims/redeem`: a sensor gets its key for the code.
pub async fn redeem(
    request: HttpRequest,
    payload: Payload,
    access: Data<Access>,
    proxies: Data<TrustedProxies>,
    bodies: Data<BodyReader>,
    store: Data<Store>,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::read(&bodies, &request, payload).await?;
    let (code, sensor) = (fields.text("code"), fields.text("sensor_id"));
    let sensor = sensor.and_then(|sensor| {
        let parsed = SensorId::parse(&sensor);
        parsed
            .map_err(|error| fields.fault("sensor_id", "bad_sensor_id", error.to_string()))
            .ok()
    });
    fields.finish()?;
    let (Some(code), Some(sensor)) = (code, sensor) else {
        return Err(Problem::internal());
    };
    limit_attempts(&access, address_of(&proxies, &request), None)?;

    let now = access.now();
    let is_known = store.directory(|directory| directory.sensor_key(sensor.as_str()).is_some());
    let redeemed = access.registry().change(|book| {
        let mut waiting = book.claims.iter();
        let (id, claim) = waiting
            .find(|(_, claim)| claim.waits_for(&code, now))
            .ok_or_else(|| unauthorized("bad_code", "the code is not valid, or not any more"))?;
        require_free(book, claim, &sensor, is_known)?;
        let (key_id, key, text) = DeviceKey::create(NewDeviceKey {
            label: claim.label.clone().unwrap_or_default(),
            sensors: vec![SensorPattern::exactly(&sensor)],
            sites: claim.sites.clone(),
            place: Some((claim.site.clone(), claim.room.clone())),
            created_by: claim.created_by.clone(),
            created_ms: now.millis(),
        });
        let used = claim.used(&sensor, key_id.clone());
        let mut change = Change::default();
        change.put_claim(id.clone(), used.clone());
        device_keys::add(book, &mut change, &key_id, &key).map_err(too_many_keys)?;
        Ok((change, (used, key_id, text)))
    });
    let (claim, key_id, text) = redeemed.await.map_err(not_changed)?;
    tracing::info!(sensor_id = sensor.as_str(), key_id, "a sensor was adopted");
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(json!({
            "key": text,
            "key_id": key_id,
            "sensor_id": sensor.as_str(),
            "enseigne": claim.site,
            "salle": claim.room,
        })))
}

/// A code that names no sensor is worth a new one only: nobody takes over another's readings with it.
fn require_free(
    book: &Book,
    claim: &Claim,
    sensor: &SensorId,
    is_known: bool,
) -> Result<(), Problem> {
    match &claim.sensor {
        Some(named) if named == sensor.as_str() => Ok(()),
        Some(_) => Err(Problem::conflict(
            "other_sensor",
            "the code is for another sensor",
        )),
        None => {
            let has_key = book.keys.values().any(|entry| {
                let mut patterns = entry.key.sensors.iter();
                patterns.any(|pattern| pattern.is_exact() && pattern.matches(sensor.as_str()))
            });
            if is_known || has_key {
                return Err(Problem::conflict(
                    "sensor_taken",
                    "there is a sensor of this id",
                ));
            }
            Ok(())
        }
    }
}

fn body(id: &str, claim: &Claim) -> Value {
    let state = if claim.key_id.is_some() {
        "redeemed"
    } else {
        "waiting"
    };
    json!({
        "id": id,
        "state": state,
        "enseigne": claim.site,
        "salle": claim.room,
        "sensor_id": claim.sensor,
        "label": claim.label,
        "key_id": claim.key_id,
        "created_by": claim.created_by,
        "created_at": shown(claim.created_ms),
        "expires_at": shown(claim.expires_ms),
    })
}
