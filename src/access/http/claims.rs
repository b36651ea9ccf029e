//! Adopting a new sensor: an operator makes a code, the sensor uses it up for a key of its own.

use super::device_keys::{require_own, too_many_keys};
use super::sessions::{address_of, limit_attempts, unauthorized};
use super::{label, label_rule, not_changed};
use crate::access::call::{Call, call};
use crate::access::claim::{Claim, NewClaim};
use crate::access::claims::{self, ClaimRefusal, Comer, Redeemed};
use crate::access::{Access, Caller, Need};
use crate::domain::{PlaceName, SensorId, Timestamp};
use crate::http::{BodyReader, Fields, Problem, TrustedProxies};
use crate::store::Store;
use actix_web::http::header;
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;
use validator::Validate;

pub(super) fn calls() -> Vec<Call> {
    vec![
        call!(Need::OPERATOR, claims),
        call!(Need::OPERATOR, claim),
        call!(Need::OPERATOR, drop_claim),
        call!(Need::Itself, redeem),
    ]
}

/// A place that waits for its sensor.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Claim)]
struct ShownClaim<'a> {
    id: &'a str,
    state: ClaimState,
    enseigne: &'a str,
    salle: &'a str,
    #[schema(required = true)]
    sensor_id: Option<&'a str>,
    #[schema(required = true)]
    label: Option<&'a str>,
    #[schema(required = true)]
    key_id: Option<&'a str>,
    created_by: &'a str,
    created_at: Timestamp,
    expires_at: Timestamp,
    /// The code, in the answer that made it and nowhere else.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ClaimState {
    Waiting,
    Redeemed,
}

impl<'a> ShownClaim<'a> {
    fn of(id: &'a str, claim: &'a Claim) -> Self {
        Self {
            id,
            state: if claim.key_id.is_some() {
                ClaimState::Redeemed
            } else {
                ClaimState::Waiting
            },
            enseigne: &claim.site,
            salle: &claim.room,
            sensor_id: claim.sensor.as_deref(),
            label: claim.label.as_deref(),
            key_id: claim.key_id.as_deref(),
            created_by: &claim.created_by,
            created_at: Timestamp::from_millis(claim.created_ms),
            expires_at: Timestamp::from_millis(claim.expires_ms),
            code: None,
        }
    }
}

/// Sensors that are awaited
#[utoipa::path(get, path = "/api/claims", tag = "devices",
    responses((status = 200, description = "The newest first", body = Vec<ShownClaim>)))]
async fn claims(caller: Caller, access: Data<Access>) -> HttpResponse {
    let now = access.now();
    let mut claims: Vec<(String, Claim)> = access.registry().book(|book| {
        let own = book
            .claims
            .iter()
            .filter(|(_, claim)| !claim.has_expired(now) && caller.sites().allow(&claim.site));
        own.map(|(id, claim)| (id.clone(), claim.clone())).collect()
    });
    claims.sort_by(|(a, one), (b, other)| (other.created_ms, a).cmp(&(one.created_ms, b)));
    let claims: Vec<_> = claims
        .iter()
        .map(|(id, claim)| ShownClaim::of(id, claim))
        .collect();
    HttpResponse::Ok().json(claims)
}

#[derive(Debug, Validate, ToSchema)]
#[schema(as = NewClaim)]
struct WantedClaim {
    #[schema(value_type = String, min_length = 1, max_length = 128)]
    enseigne: Option<PlaceName>,
    #[schema(value_type = String, min_length = 1, max_length = 128)]
    salle: Option<PlaceName>,
    /// The only sensor that may use the code, when it is known.
    #[schema(value_type = Option<String>)]
    sensor_id: Option<SensorId>,
    #[validate(custom(function = "label_rule"))]
    #[schema(max_length = 128)]
    label: Option<String>,
}

/// A code for a sensor that will stand in a room
#[utoipa::path(post, path = "/api/claims", tag = "devices", request_body = WantedClaim,
    responses(
        (status = 201, description = "Made", body = ShownClaim),
        (status = 409, description = "Too many are awaited"),
        (status = 422, description = "A field is missing or wrong"),
    ))]
async fn claim(
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
    access: Data<Access>,
    bodies: Data<BodyReader>,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::read(&bodies, &request, payload).await?;
    let site = fields.required("enseigne", "bad_name", PlaceName::parse);
    require_own(&mut fields, &caller, site.as_ref());
    let values = WantedClaim {
        enseigne: site,
        salle: fields.required("salle", "bad_name", PlaceName::parse),
        sensor_id: fields.optional("sensor_id", "bad_sensor_id", SensorId::parse),
        label: label(&mut fields, "label"),
    };
    let values = fields.finish(values)?;
    // Without one there was a fault.
    let place = values.enseigne.zip(values.salle);
    let (site, room) = place.ok_or_else(Problem::internal)?;

    let now = access.now();
    let new = NewClaim {
        label: values.label,
        site: site.as_str().to_owned(),
        room: room.as_str().to_owned(),
        sensor: values.sensor_id.map(|sensor| sensor.as_str().to_owned()),
        sites: caller.sites().clone(),
        created_by: caller.name().to_owned(),
    };
    let (id, claim, code) = Claim::create(new, now);
    let made = access.registry().change(|book| {
        let change = claims::add(book, &id, &claim, now).map_err(refused)?;
        Ok((change, ()))
    });
    made.await.map_err(not_changed)?;
    tracing::info!(id, by = caller.name(), "a sensor is awaited");
    Ok(HttpResponse::Created().json(ShownClaim {
        code: Some(code),
        ..ShownClaim::of(&id, &claim)
    }))
}

/// Takes a code back
#[utoipa::path(delete, path = "/api/claims/{id}", tag = "devices",
    params(("id" = String, Path, description = "Id of the claim")),
    responses(
        (status = 204, description = "Taken back"),
        (status = 404, description = "There is none"),
    ))]
async fn drop_claim(
    caller: Caller,
    id: Path<String>,
    access: Data<Access>,
) -> Result<HttpResponse, Problem> {
    let dropped = access.registry().change(|book| {
        let change = claims::remove(book, &id, caller.sites()).map_err(refused)?;
        Ok((change, ()))
    });
    dropped.await.map_err(not_changed)?;
    Ok(HttpResponse::NoContent().finish())
}

#[derive(Debug, Validate, ToSchema)]
struct Redeem {
    /// As somebody types it.
    #[schema(example = "K7QM-3F9P")]
    code: String,
    #[schema(value_type = String, pattern = "^[A-Za-z0-9._:-]{1,64}$")]
    sensor_id: Option<SensorId>,
}

/// The key of a sensor that was adopted.
#[derive(Debug, Serialize, ToSchema)]
struct Adopted<'a> {
    key: String,
    key_id: String,
    sensor_id: &'a str,
    enseigne: &'a str,
    salle: &'a str,
}

/// A key for a code, for the sensor that has it
#[utoipa::path(post, path = "/api/claims/redeem", tag = "devices", request_body = Redeem,
    responses(
        (status = 200, description = "Adopted", body = Adopted),
        (status = 409, description = "The sensor, or the code, is another's"),
        (status = 422, description = "A field is missing or wrong"),
    ))]
async fn redeem(
    request: HttpRequest,
    payload: Payload,
    access: Data<Access>,
    proxies: Data<TrustedProxies>,
    bodies: Data<BodyReader>,
    store: Data<Store>,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::read(&bodies, &request, payload).await?;
    let values = Redeem {
        code: fields.text("code"),
        sensor_id: fields.required("sensor_id", "bad_sensor_id", SensorId::parse),
    };
    let Redeem { code, sensor_id } = fields.finish(values)?;
    // Without one there was a fault.
    let sensor = sensor_id.ok_or_else(Problem::internal)?;
    limit_attempts(&access, address_of(&proxies, &request), None)?;

    let now = access.now();
    let is_known = store.directory(|directory| directory.sensor_key(sensor.as_str()).is_some());
    let redeemed = access.registry().change(|book| {
        let comer = Comer {
            code: &code,
            sensor: &sensor,
            is_known,
        };
        claims::redeem(book, comer, now).map_err(refused)
    });
    let Redeemed { claim, key_id, key } = redeemed.await.map_err(not_changed)?;
    tracing::info!(sensor_id = sensor.as_str(), key_id, "a sensor was adopted");
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(Adopted {
            key,
            key_id,
            sensor_id: sensor.as_str(),
            enseigne: &claim.site,
            salle: &claim.room,
        }))
}

fn refused(refusal: ClaimRefusal) -> Problem {
    match refusal {
        ClaimRefusal::TooMany => {
            Problem::conflict("too_many_claims", "too many sensors are awaited")
        }
        ClaimRefusal::Unknown => Problem::not_found(),
        ClaimRefusal::BadCode => unauthorized("bad_code", "the code is not valid, or not any more"),
        ClaimRefusal::OtherSensor => {
            Problem::conflict("other_sensor", "the code is for another sensor")
        }
        ClaimRefusal::SensorTaken => {
            Problem::conflict("sensor_taken", "there is a sensor of this id")
        }
        ClaimRefusal::TooManyKeys(error) => too_many_keys(error),
    }
}
