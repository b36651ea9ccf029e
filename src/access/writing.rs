//! Whose readings somebody may write.

use super::caller::{Caller, Who};
use crate::domain::{PlaceName, Reading};
use crate::store::Store;
use crate::validate::{FieldError, Rejection};

/// Code of a reading that may not be written by whoever sent it.
pub const FORBIDDEN: &str = "forbidden";

/// Whether `caller` may write a reading, which then stands where his key says.
///
/// The sensor must be his, and so must the site it names and the one it has stood in: readings of
/// another's sensor cannot be changed by moving it first.
pub fn may_write(caller: &Caller, store: &Store, reading: &mut Reading) -> Result<(), Rejection> {
    if let Who::Device { key, .. } = caller.who() {
        if !key.writes_for(reading.sensor.as_str()) {
            return Err(refuse(reading, "/sensor_id", "is not a sensor of this key"));
        }
        if let Some((site, room)) = &key.place {
            // They were checked when the key was made.
            reading.site = PlaceName::parse(site).ok();
            reading.room = PlaceName::parse(room).ok();
        }
    }
    if caller.sites().are_all() {
        return Ok(());
    }
    let named = reading.site.as_ref().map(PlaceName::as_str);
    if named.is_some_and(|site| !caller.sites().allow(site)) {
        return Err(refuse(reading, "/enseigne", "is none of your sites"));
    }
    let is_elsewhere = store.directory(|directory| {
        let sensor = directory
            .sensor_key(reading.sensor.as_str())
            .and_then(|key| directory.sensor(key));
        sensor.is_some_and(|sensor| !caller.sites().allow(sensor.latest.place.site.as_str()))
    });
    if is_elsewhere {
        return Err(refuse(
            reading,
            "/sensor_id",
            "is not a sensor of your sites",
        ));
    }
    Ok(())
}

fn refuse(reading: &Reading, pointer: &'static str, detail: &'static str) -> Rejection {
    Rejection {
        sensor_id: Some(reading.sensor.as_str().to_owned()),
        errors: vec![FieldError::new(pointer, FORBIDDEN, detail)],
    }
}
