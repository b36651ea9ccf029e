//! Whose readings somebody may write.

use super::caller::{Caller, Who};
use crate::domain::{PlaceName, Reading};
use crate::fault::{FORBIDDEN, FieldError, Rejection};

/// Whether `caller` may write for the sensor of a reading, which is then put where the caller's key says.
///
/// Where it may be written follows from the caller's sites, and is decided where it is stored: only there is it
/// certain where the sensor is, and what would be changed (`store::plan`).
pub fn may_write(caller: &Caller, reading: &mut Reading) -> Result<(), Rejection> {
    let Who::Device { key, .. } = caller.who() else {
        return Ok(());
    };
    if !key.writes_for(reading.sensor.as_str()) {
        return Err(Rejection {
            sensor_id: Some(reading.sensor.as_str().to_owned()),
            errors: vec![FieldError::new(
                "/sensor_id",
                FORBIDDEN,
                "is not a sensor of this key",
            )],
        });
    }
    if let Some((site, room)) = &key.place {
        // They were checked when the key was made, if only by the rules of that time.
        reading.site = Some(PlaceName::nearest(site));
        reading.room = Some(PlaceName::nearest(room));
    }
    Ok(())
}
