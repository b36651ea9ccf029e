//! Why a change was not made, as it is answered.

use crate::fault::{FORBIDDEN, FieldError};
use crate::http::Problem;
use crate::store::{AppendError, RegistryError, RegistryRefusal};
use actix_web::http::StatusCode;

/// The problem of a change. `field` is the one that says where to: its name is pointed to when that is
/// what is wrong.
pub(super) fn problem(error: RegistryError, field: &str) -> Problem {
    match error {
        RegistryError::Refused(refusal) => refused(refusal, field),
        RegistryError::Queue(AppendError::Busy) => {
            Problem::unavailable("queue_full", "too much waits to be written")
        }
        RegistryError::Queue(AppendError::Closed) => {
            Problem::unavailable("stopping", "the server is stopping")
        }
        RegistryError::Queue(AppendError::Failed) => Problem::unavailable(
            "store_unavailable",
            "the change could not be stored; asking for it again is harmless",
        ),
        RegistryError::Store(error) => Problem::store_unavailable(&error),
    }
}

fn refused(refusal: RegistryRefusal, field: &str) -> Problem {
    let detail = refusal.to_string();
    let conflict = |code| Problem::new(StatusCode::CONFLICT, code, "Conflict", detail.clone());
    let invalid = |pointer: &str, code| {
        let error = FieldError::new(pointer.to_owned(), code, detail.clone());
        Problem::invalid("bad_body", "Bad body", vec![error])
    };
    match refusal {
        RegistryRefusal::UnknownSensor | RegistryRefusal::UnknownRoom => Problem::not_found(),
        RegistryRefusal::OtherSite => invalid(&format!("{field}/enseigne"), FORBIDDEN),
        RegistryRefusal::ReadingsElsewhere => Problem::new(
            StatusCode::FORBIDDEN,
            "other_sites",
            "Forbidden",
            format!("the sensor {refusal}"),
        ),
        RegistryRefusal::SensorIdTaken => Problem::new(
            StatusCode::CONFLICT,
            "sensor_id_taken",
            "Conflict",
            format!("it {refusal}; merge the two, or remove the other"),
        ),
        RegistryRefusal::SameSensor => invalid("/into", "same_sensor"),
        RegistryRefusal::RoomInUse => conflict("room_in_use"),
        RegistryRefusal::TooManyRooms(_) => conflict("too_many_rooms"),
        RegistryRefusal::TooManyAliases => conflict("too_many_aliases"),
        RegistryRefusal::SinceWithoutRoom => invalid("/since", "since_without_room"),
        RegistryRefusal::SinceInFuture => invalid("/since", "timestamp_in_future"),
        RegistryRefusal::MovedUnpinned => invalid("/pinned", "moved_unpinned"),
    }
}
