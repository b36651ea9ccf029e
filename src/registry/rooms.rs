//! The calls that change rooms.

use super::kept;
use super::problem::problem;
use crate::access::{Call, Caller, Need, call};
use crate::domain::{Place, PlaceName};
use crate::http::{BodyReader, Fields, Parameters, Problem};
use crate::pipeline::Pipeline;
use crate::store::{NewName, RegistryChange, Store};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;
use validator::Validate;

pub(super) fn calls() -> Vec<Call> {
    vec![
        call!(Need::OPERATOR, rename_room),
        call!(Need::OPERATOR, remove_room),
    ]
}

#[derive(Debug, Validate, ToSchema)]
struct RoomChange {
    #[schema(value_type = String, min_length = 1, max_length = 128)]
    enseigne: Option<PlaceName>,
    #[schema(value_type = String, min_length = 1, max_length = 128)]
    salle: Option<PlaceName>,
    /// What it is called from now on; without a site it stays at its own.
    #[schema(value_type = RoomName)]
    to: Option<(Option<PlaceName>, Option<PlaceName>)>,
}

/// Another name of a room.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it only describes")]
struct RoomName {
    #[schema(min_length = 1, max_length = 128)]
    enseigne: Option<String>,
    #[schema(min_length = 1, max_length = 128)]
    salle: Option<String>,
}

/// A room after a change.
#[derive(Debug, Serialize, ToSchema)]
struct RoomChanged {
    enseigne: String,
    salle: String,
    /// There was a room of this name, which has everything now.
    merged: bool,
    /// Names that lead here besides its own.
    aliases: Vec<RoomAlias>,
    /// Stored readings that were moved.
    readings_moved: u64,
}

#[derive(Debug, Serialize, ToSchema)]
struct RoomAlias {
    enseigne: String,
    salle: String,
}

/// Renames a room
///
/// With all its history. When there is a room of the new name, the two become one. The old name goes on
/// leading there, so devices need no change.
#[utoipa::path(patch, path = "/api/rooms", tag = "registry", request_body = RoomChange,
    responses(
        (status = 200, description = "The room as it is now", body = RoomChanged),
        (status = 404, description = "There is none"),
        (status = 409, description = "Too many names lead there"),
        (status = 422, description = "A field is missing or wrong"),
    ))]
async fn rename_room(
    caller: Caller,
    request: HttpRequest,
    payload: Payload,
    bodies: Data<BodyReader>,
    pipeline: Data<Pipeline>,
    store: Data<Store>,
) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::read(&bodies, &request, payload).await?;
    let values = RoomChange {
        enseigne: fields.required("enseigne", "bad_name", PlaceName::parse),
        salle: fields.required("salle", "bad_name", PlaceName::parse),
        to: fields.object("to", |to| {
            let site = to.optional("enseigne", "bad_name", PlaceName::parse);
            let room = to.optional("salle", "bad_name", PlaceName::parse);
            if site.is_none() && room.is_none() {
                to.fault("", "required", "must name a site or a room");
            }
            (site, room)
        }),
    };
    let RoomChange {
        enseigne,
        salle,
        to,
    } = fields.finish(values)?;
    // Without any of them there was a fault.
    let (site, room) = enseigne.zip(salle).ok_or_else(Problem::internal)?;
    let (to_site, to_room) = to.ok_or_else(Problem::internal)?;
    let change = RegistryChange::MoveRoom {
        from: Place { site, room },
        to: NewName {
            site: to_site,
            room: to_room,
        },
    };
    let changed = pipeline.queue.change(change, caller.sites()).await;
    let changed = changed.map_err(|error| problem(error, "/to"))?;
    let to = changed.place.ok_or_else(Problem::internal)?;
    tracing::info!(place = ?to, by = caller.name(), "a room was renamed");
    let aliases = store.directory(|directory| {
        let room = directory.room_key(&to);
        let aliases = room.map(|room| directory.room_aliases_of(room));
        let aliases = aliases.into_iter().flatten();
        let own = aliases.filter(|place| caller.sites().allow(place.site.as_str()));
        let mut own: Vec<_> = own.cloned().collect();
        own.sort();
        own
    });
    Ok(HttpResponse::Ok().json(RoomChanged {
        enseigne: to.site.as_str().to_owned(),
        salle: to.room.as_str().to_owned(),
        merged: changed.is_merged,
        aliases: aliases
            .iter()
            .map(|place| RoomAlias {
                enseigne: place.site.as_str().to_owned(),
                salle: place.room.as_str().to_owned(),
            })
            .collect(),
        readings_moved: changed.readings,
    }))
}

/// Removes a room
///
/// No sensor may stand there. With `readings=keep` history goes on having what was measured there, under
/// its name; with `readings=remove` that goes as well. A name that it had before only ceases to lead to it.
#[utoipa::path(delete, path = "/api/rooms", tag = "registry",
    params(
        ("enseigne" = String, Query, description = "Site"),
        ("salle" = String, Query, description = "Room"),
        ("readings" = Option<String>, Query, description = "keep or remove; keep"),
    ),
    responses(
        (status = 204, description = "Removed"),
        (status = 404, description = "There is none"),
        (status = 409, description = "A sensor stands there"),
        (status = 422, description = "A parameter is missing or wrong"),
    ))]
async fn remove_room(
    caller: Caller,
    request: HttpRequest,
    pipeline: Data<Pipeline>,
) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of(&request);
    let [site, room] = ["enseigne", "salle"].map(|name| place_name(&mut parameters, name));
    let readings = kept(&mut parameters);
    parameters.done()?;
    let (site, room) = site.zip(room).ok_or_else(Problem::internal)?;
    let place = Place { site, room };
    let change = RegistryChange::RemoveRoom {
        place: place.clone(),
        readings,
    };
    let removed = pipeline.queue.change(change, caller.sites()).await;
    removed.map_err(|error| problem(error, ""))?;
    tracing::info!(?place, ?readings, by = caller.name(), "a room was removed");
    Ok(HttpResponse::NoContent().finish())
}

fn place_name(parameters: &mut Parameters, name: &'static str) -> Option<PlaceName> {
    let Some(text) = parameters.text(name) else {
        parameters.fault(name, "required", "must be given");
        return None;
    };
    let parsed = PlaceName::parse(text);
    parsed
        .map_err(|error| parameters.fault(name, "bad_name", error.to_string()))
        .ok()
}
