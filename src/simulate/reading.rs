//! A reading as the ingest endpoint takes it.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};

/// One reading of one simulated sensor; serialises to the JSON of `POST /api/ingest`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SimulatedReading {
    /// `sim-<site>-<room>-<n>`, at most 64 characters.
    pub sensor_id: String,
    /// Site.
    pub enseigne: String,
    /// Room.
    pub salle: String,
    /// Instant of the measurement.
    #[serde(serialize_with = "rfc_3339")]
    pub timestamp: DateTime<Utc>,
    /// Measured values.
    pub values: SimulatedValues,
    /// Units of the values that have more than one in use.
    pub units: SimulatedUnits,
}

/// Values of a reading, rounded to the resolution of a sensor and within the accepted ranges.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SimulatedValues {
    /// Carbon dioxide in ppm, 0 to 40 000.
    #[serde(rename = "CO2")]
    pub co2_ppm: u32,
    /// Particles below 2.5 µm in µg/m³, 0 to 1000, in steps of 0.1.
    #[serde(rename = "PM25")]
    pub pm2_5_ug_m3: f64,
    /// Particles below 10 µm in µg/m³, 0 to 2000, in steps of 0.1; at least PM2.5.
    #[serde(rename = "PM10")]
    pub pm10_ug_m3: f64,
    /// Particles below 1 µm in µg/m³, 0 to 1000, in steps of 0.1; at most PM2.5.
    #[serde(rename = "PM1")]
    pub pm1_ug_m3: f64,
    /// Volatile organic compounds in ppb, 0 to 65 000.
    #[serde(rename = "TVOC")]
    pub tvoc_ppb: u32,
    /// Air temperature in °C, −40 to 85, in steps of 0.1.
    #[serde(rename = "Temperature")]
    pub temperature_c: f64,
    /// Relative humidity in %, 0 to 100, in steps of 0.1.
    #[serde(rename = "Humidity")]
    pub humidity_pct: f64,
    /// People in the room.
    #[serde(rename = "Occupants")]
    pub occupants: u32,
}

/// Declared units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SimulatedUnits {
    /// Always `ppb`: without it a TVOC value would be read by an assumption.
    #[serde(rename = "TVOC")]
    pub tvoc: &'static str,
}

impl SimulatedUnits {
    /// The units every simulated sensor uses.
    pub(super) const ALL: Self = Self { tvoc: "ppb" };
}

/// Writes an instant as RFC 3339 in UTC with `Z`, with no more decimals than it needs.
fn rfc_3339<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;
    use serde_json::json;

    use super::*;

    #[test]
    fn serialises_to_the_wire_shape() {
        let reading = SimulatedReading {
            sensor_id: "sim-maison-salon-1".to_owned(),
            enseigne: "Maison".to_owned(),
            salle: "Salon".to_owned(),
            timestamp: Utc.with_ymd_and_hms(2025, 11, 19, 10, 5, 0).unwrap(),
            values: SimulatedValues {
                co2_ppm: 645,
                pm2_5_ug_m3: 12.0,
                pm10_ug_m3: 20.3,
                pm1_ug_m3: 8.1,
                tvoc_ppb: 40,
                temperature_c: 22.3,
                humidity_pct: 45.0,
                occupants: 2,
            },
            units: SimulatedUnits::ALL,
        };
        let want = json!({
            "sensor_id": "sim-maison-salon-1", "enseigne": "Maison", "salle": "Salon",
            "timestamp": "2025-11-19T10:05:00Z",
            "values": {"CO2": 645, "PM25": 12.0, "PM10": 20.3, "PM1": 8.1, "TVOC": 40,
                       "Temperature": 22.3, "Humidity": 45.0, "Occupants": 2},
            "units": {"TVOC": "ppb"},
        });
        assert_eq!(serde_json::to_value(&reading).unwrap(), want);
        let later = reading.timestamp + chrono::TimeDelta::milliseconds(5);
        let reading = SimulatedReading {
            timestamp: later,
            ..reading
        };
        let got = serde_json::to_value(&reading).unwrap();
        assert_eq!(got["timestamp"], "2025-11-19T10:05:00.005Z");
    }
}
