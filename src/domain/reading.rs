//! One measurement of one sensor.

use super::{PlaceName, SensorId, Timestamp, Values};

/// A reading that passed validation. Its identity is (`sensor`, `observed_at`).
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    pub sensor: SensorId,
    /// Site named by the sender; `None` leaves the sensor where it was last.
    pub site: Option<PlaceName>,
    /// Room named by the sender; `None` leaves the sensor where it was last.
    pub room: Option<PlaceName>,
    pub observed_at: Timestamp,
    pub values: Values,
    pub extras: Extras,
    /// The sender gave TVOC without its unit, so the configured one was taken.
    pub tvoc_unit_assumed: bool,
}

/// What a merge came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merged {
    pub changed: bool,
    /// Extra keys that were not taken over, because both together have too many.
    pub left_out: usize,
}

impl Reading {
    /// Takes over what a later write for the same identity says.
    pub fn merge(&mut self, newer: &Self) -> Merged {
        let extras = self.extras.merge(&newer.extras);
        let values_changed = self.values.merge(&newer.values);
        let mut unit_changed = false;
        if newer.values.has(super::Quantity::Tvoc) {
            unit_changed = self.tvoc_unit_assumed != newer.tvoc_unit_assumed;
            self.tvoc_unit_assumed = newer.tvoc_unit_assumed;
        }
        Merged {
            changed: values_changed || extras.changed || unit_changed,
            ..extras
        }
    }
}

/// Numbers under keys the server does not know: kept as they came, at most
/// [`Extras::KEYS_MAX`] keys of at most [`Extras::KEY_CHARACTERS_MAX`] characters, sorted by key.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Extras(Vec<(Box<str>, f64)>);

/// Why a key and number cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExtrasError {
    #[error("a key has 1 to 64 characters")]
    KeyLength,
    #[error("at most 32 keys beside the known quantities are kept")]
    TooMany,
    #[error("must be a finite number")]
    NotFinite,
    #[error("the key is given twice")]
    Duplicate,
}

impl Extras {
    /// Most keys kept with one reading.
    pub const KEYS_MAX: usize = 32;
    /// Longest key, in characters.
    pub const KEY_CHARACTERS_MAX: usize = 64;

    pub fn insert(&mut self, key: &str, number: f64) -> Result<(), ExtrasError> {
        if key.is_empty() || key.chars().count() > Self::KEY_CHARACTERS_MAX {
            return Err(ExtrasError::KeyLength);
        }
        if !number.is_finite() {
            return Err(ExtrasError::NotFinite);
        }
        match self.position(key) {
            Ok(_) => Err(ExtrasError::Duplicate),
            Err(_) if self.0.len() >= Self::KEYS_MAX => Err(ExtrasError::TooMany),
            Err(position) => {
                self.0.insert(position, (key.into(), number));
                Ok(())
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Keys and numbers in the order of the keys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, f64)> {
        self.0.iter().map(|(key, number)| (&**key, *number))
    }

    /// Takes over the numbers of keys there are, and as many new keys as there is space for.
    fn merge(&mut self, newer: &Self) -> Merged {
        let mut merged = Merged {
            changed: false,
            left_out: 0,
        };
        for (key, number) in newer.iter() {
            match self.position(key) {
                Ok(position) => {
                    merged.changed |= self.0[position].1.to_bits() != number.to_bits();
                    self.0[position].1 = number;
                }
                Err(_) if self.0.len() >= Self::KEYS_MAX => merged.left_out += 1,
                Err(position) => {
                    self.0.insert(position, (key.into(), number));
                    merged.changed = true;
                }
            }
        }
        merged
    }

    fn position(&self, key: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| (**known).cmp(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Quantity;

    fn reading(co2: f64, extra: &[(&str, f64)]) -> Reading {
        let mut values = Values::default();
        assert!(values.set(Quantity::Co2, co2));
        let mut extras = Extras::default();
        for (key, number) in extra {
            extras.insert(key, *number).unwrap();
        }
        Reading {
            sensor: SensorId::parse("s").unwrap(),
            site: None,
            room: None,
            observed_at: Timestamp::from_millis(0),
            values,
            extras,
            tvoc_unit_assumed: false,
        }
    }

    #[test]
    fn extras_are_bounded_in_number_and_length() {
        let mut extras = Extras::default();
        for number in 0..32 {
            extras.insert(&format!("k{number}"), 1.0).unwrap();
        }
        assert_eq!(extras.insert("one more", 1.0), Err(ExtrasError::TooMany));
        assert_eq!(extras.insert("k1", 1.0), Err(ExtrasError::Duplicate));
        assert_eq!(
            extras.insert(&"é".repeat(65), 1.0),
            Err(ExtrasError::KeyLength)
        );
        assert_eq!(extras.insert("", 1.0), Err(ExtrasError::KeyLength));
        assert_eq!(extras.insert("x", f64::NAN), Err(ExtrasError::NotFinite));
    }

    #[test]
    fn of_too_many_extra_keys_a_merge_takes_those_that_fit_and_whatever_else_there_is() {
        let many: Vec<_> = (0..31).map(|number| format!("k{number}")).collect();
        let many: Vec<_> = many.iter().map(|key| (key.as_str(), 1.0)).collect();
        let mut kept = reading(600.0, &many);
        let newer = reading(700.0, &[("a", 1.0), ("b", 1.0), ("c", 1.0), ("k3", 2.0)]);
        let merged = Merged {
            changed: true,
            left_out: 2,
        };
        assert_eq!(kept.merge(&newer), merged);
        assert_eq!(kept.values.get(Quantity::Co2), Some(700.0));
        let number = |key| kept.extras.iter().find(|(known, _)| *known == key);
        assert_eq!(number("k3"), Some(("k3", 2.0)));
        assert_eq!((number("a"), number("b")), (Some(("a", 1.0)), None));
    }

    #[test]
    fn merging_says_whether_anything_changed() {
        let mut kept = reading(600.0, &[("battery", 3.0)]);
        let mut changes = |newer: Reading| kept.merge(&newer).changed;
        assert!(!changes(reading(600.0, &[("battery", 3.0)])));
        assert!(changes(reading(600.0, &[("rssi", -60.0)])));
        assert!(changes(reading(601.0, &[])));
        assert_eq!(
            kept.extras.iter().collect::<Vec<_>>(),
            [("battery", 3.0), ("rssi", -60.0)]
        );
    }
}
