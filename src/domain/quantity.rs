//! What a sensor can measure: names on the wire, units and accepted ranges.

use std::ops::RangeInclusive;

/// A measured quantity the server knows: it has a unit, a plausible range and, for most, a score.
///
/// The order is the order of columns, of JSON fields and of ties between equally bad pollutants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Quantity {
    Co2,
    Pm25,
    Tvoc,
    Temperature,
    Humidity,
    Pm10,
    Pm1,
    No2,
    O3,
    Hcho,
    Co,
    Radon,
    Pressure,
    VocIndex,
    NoxIndex,
    Noise,
    Light,
    Occupants,
}

/// Length of the longest key that can name a quantity; longer keys are never one.
pub const KEYS_MAX: usize = 16;

impl Quantity {
    /// Number of quantities.
    pub const COUNT: usize = 18;

    /// Every quantity, in order.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Co2,
        Self::Pm25,
        Self::Tvoc,
        Self::Temperature,
        Self::Humidity,
        Self::Pm10,
        Self::Pm1,
        Self::No2,
        Self::O3,
        Self::Hcho,
        Self::Co,
        Self::Radon,
        Self::Pressure,
        Self::VocIndex,
        Self::NoxIndex,
        Self::Noise,
        Self::Light,
        Self::Occupants,
    ];

    /// Position in [`Quantity::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Key inside `values` on the wire, for example `PM25`.
    pub const fn wire_key(self) -> &'static str {
        match self {
            Self::Co2 => "CO2",
            Self::Pm25 => "PM25",
            Self::Tvoc => "TVOC",
            Self::Temperature => "Temperature",
            Self::Humidity => "Humidity",
            Self::Pm10 => "PM10",
            Self::Pm1 => "PM1",
            Self::No2 => "NO2",
            Self::O3 => "O3",
            Self::Hcho => "HCHO",
            Self::Co => "CO",
            Self::Radon => "Radon",
            Self::Pressure => "Pressure",
            Self::VocIndex => "VOCIndex",
            Self::NoxIndex => "NOxIndex",
            Self::Noise => "Noise",
            Self::Light => "Light",
            Self::Occupants => "Occupants",
        }
    }

    /// The wire key in lower case: the flat field of records and messages, and the column name.
    pub const fn flat_key(self) -> &'static str {
        match self {
            Self::Co2 => "co2",
            Self::Pm25 => "pm25",
            Self::Tvoc => "tvoc",
            Self::Temperature => "temperature",
            Self::Humidity => "humidity",
            Self::Pm10 => "pm10",
            Self::Pm1 => "pm1",
            Self::No2 => "no2",
            Self::O3 => "o3",
            Self::Hcho => "hcho",
            Self::Co => "co",
            Self::Radon => "radon",
            Self::Pressure => "pressure",
            Self::VocIndex => "vocindex",
            Self::NoxIndex => "noxindex",
            Self::Noise => "noise",
            Self::Light => "light",
            Self::Occupants => "occupants",
        }
    }

    /// Unit in which the value is stored and sent.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Co2 | Self::Co => "ppm",
            Self::Pm25 | Self::Pm10 | Self::Pm1 => "µg/m³",
            Self::Tvoc | Self::No2 | Self::O3 | Self::Hcho => "ppb",
            Self::Temperature => "°C",
            Self::Humidity => "% RH",
            Self::Radon => "Bq/m³",
            Self::Pressure => "hPa",
            Self::VocIndex | Self::NoxIndex => "index",
            Self::Noise => "dBA",
            Self::Light => "lx",
            Self::Occupants => "persons",
        }
    }

    /// Values outside this range, in [`Quantity::unit`], are refused as impossible.
    pub const fn range(self) -> RangeInclusive<f64> {
        match self {
            Self::Co2 => 0.0..=40_000.0,
            Self::Pm25 | Self::Co => 0.0..=1_000.0,
            Self::Pm10 | Self::Pm1 => 0.0..=2_000.0,
            Self::Tvoc => 0.0..=65_000.0,
            Self::Temperature => -40.0..=85.0,
            Self::Humidity => 0.0..=100.0,
            Self::No2 | Self::O3 | Self::Hcho | Self::Occupants => 0.0..=10_000.0,
            Self::Radon => 0.0..=100_000.0,
            Self::Pressure => 300.0..=1_100.0,
            Self::VocIndex | Self::NoxIndex => 1.0..=500.0,
            Self::Noise => 0.0..=150.0,
            Self::Light => 0.0..=200_000.0,
        }
    }

    /// The quantity a wire key or one of its aliases names, whatever its case.
    pub fn from_key(key: &str) -> Option<Self> {
        let mut buffer = [0_u8; KEYS_MAX];
        let lower = buffer.get_mut(..key.len())?;
        lower.copy_from_slice(key.as_bytes());
        lower.make_ascii_lowercase();
        Some(match &*lower {
            b"co2" => Self::Co2,
            b"pm25" | b"pm2.5" | b"pm2_5" | b"pm02" => Self::Pm25,
            b"pm10" => Self::Pm10,
            b"pm1" => Self::Pm1,
            b"tvoc" | b"voc" => Self::Tvoc,
            b"temperature" | b"temp" => Self::Temperature,
            b"humidity" | b"rh" => Self::Humidity,
            b"no2" => Self::No2,
            b"o3" => Self::O3,
            b"hcho" => Self::Hcho,
            b"co" => Self::Co,
            b"radon" => Self::Radon,
            b"pressure" => Self::Pressure,
            b"vocindex" => Self::VocIndex,
            b"noxindex" => Self::NoxIndex,
            b"noise" => Self::Noise,
            b"light" => Self::Light,
            b"occupants" => Self::Occupants,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_follow_the_order_of_all() {
        for (position, quantity) in Quantity::ALL.into_iter().enumerate() {
            assert_eq!(quantity.index(), position);
        }
    }

    #[test]
    fn every_name_leads_back_to_its_quantity() {
        for quantity in Quantity::ALL {
            assert_eq!(Quantity::from_key(quantity.wire_key()), Some(quantity));
            assert_eq!(Quantity::from_key(quantity.flat_key()), Some(quantity));
            assert_eq!(
                quantity.wire_key().to_ascii_lowercase(),
                quantity.flat_key()
            );
            assert!(quantity.wire_key().len() <= KEYS_MAX);
        }
    }

    #[test]
    fn aliases_in_any_case_are_known_and_other_keys_are_not() {
        for key in ["PM2.5", "pm2_5", "Pm02"] {
            assert_eq!(Quantity::from_key(key), Some(Quantity::Pm25));
        }
        assert_eq!(Quantity::from_key("VOC"), Some(Quantity::Tvoc));
        assert_eq!(Quantity::from_key("TEMP"), Some(Quantity::Temperature));
        assert_eq!(Quantity::from_key("RH"), Some(Quantity::Humidity));
        for key in [
            "",
            "co22",
            "pm",
            "température",
            "a key longer than any that is known",
        ] {
            assert_eq!(Quantity::from_key(key), None);
        }
    }
}
