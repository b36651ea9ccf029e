//! What people said of a sensor, as it is kept.

use crate::database::RoomKey;
use crate::domain::Timestamp;
use crate::validate::TvocUnit;
use serde::{Deserialize, Serialize};

/// What people said of a sensor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SensorSettings {
    pub pin: Option<Pin>,
    /// The unit of its TVOC values that come without one.
    pub tvoc_unit: Option<TvocUnit>,
    /// What kind of device it is.
    pub model: Option<String>,
}

/// A sensor stands where a person said, whatever room its readings name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    pub room: RoomKey,
    pub since: Timestamp,
    /// Where it stood until then.
    pub left: RoomKey,
    /// Stored readings have still to follow.
    pub is_moving: bool,
}

/// As JSON.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Body {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pin: Option<PinBody>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tvoc_unit: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct PinBody {
    room: i64,
    since_ms: i64,
    left: i64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    moving: bool,
}

impl SensorSettings {
    /// Longest name of a model, in characters.
    pub const MODEL_LENGTH_MAX: usize = 128;

    pub(in crate::store) fn to_json(&self) -> String {
        let body = Body {
            pin: self.pin.map(|pin| PinBody {
                room: pin.room.0,
                since_ms: pin.since.millis(),
                left: pin.left.0,
                moving: pin.is_moving,
            }),
            tvoc_unit: self.tvoc_unit.map(|unit| unit.name().to_owned()),
            model: self.model.clone(),
        };
        // Only numbers and texts: serialising them cannot fail.
        serde_json::to_string(&body).unwrap_or_default()
    }

    pub(in crate::store) fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        let body: Body = serde_json::from_str(text)?;
        Ok(Self {
            pin: body.pin.map(|pin| Pin {
                room: RoomKey(pin.room),
                since: Timestamp::from_millis(pin.since_ms),
                left: RoomKey(pin.left),
                is_moving: pin.moving,
            }),
            tvoc_unit: body.tvoc_unit.as_deref().and_then(TvocUnit::parse),
            model: body.model,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back() {
        let settings = SensorSettings {
            pin: Some(Pin {
                room: RoomKey(3),
                since: Timestamp::from_millis(5),
                left: RoomKey(2),
                is_moving: true,
            }),
            tvoc_unit: Some(TvocUnit::MilligramsPerCubicMeter),
            model: Some("\"SCD41\"".to_owned()),
        };
        for settings in [settings, SensorSettings::default()] {
            assert_eq!(
                SensorSettings::from_json(&settings.to_json()).unwrap(),
                settings
            );
        }
        assert!(SensorSettings::from_json("nothing").is_err());
    }
}
