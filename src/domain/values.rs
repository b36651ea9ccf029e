//! The measured values of one reading.

use super::Quantity;

/// At most one finite, in-range number per [`Quantity`], in the quantity's unit.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Values {
    present: u32,
    numbers: [f64; Quantity::COUNT],
}

impl Values {
    /// Sets a value; `false`, and nothing changes, when it is not finite or out of range.
    #[must_use]
    pub fn set(&mut self, quantity: Quantity, number: f64) -> bool {
        let plausible = quantity.range().contains(&number);
        if plausible {
            self.present |= 1 << quantity.index();
            self.numbers[quantity.index()] = number;
        }
        plausible
    }

    /// The value of `quantity`, when the reading has one.
    pub fn get(&self, quantity: Quantity) -> Option<f64> {
        self.has(quantity).then(|| self.numbers[quantity.index()])
    }

    /// Whether the reading has a value for `quantity`.
    pub fn has(&self, quantity: Quantity) -> bool {
        self.present & (1 << quantity.index()) != 0
    }

    /// Whether there is no value at all.
    pub fn is_empty(&self) -> bool {
        self.present == 0
    }

    /// Number of values.
    pub fn count(&self) -> usize {
        self.present.count_ones() as usize
    }

    /// The values that are present, in the order of [`Quantity::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Quantity, f64)> + '_ {
        Quantity::ALL
            .into_iter()
            .filter_map(|quantity| Some((quantity, self.get(quantity)?)))
    }

    /// Takes over every value of `newer`; says whether anything changed.
    pub fn merge(&mut self, newer: &Self) -> bool {
        let before = *self;
        for (quantity, number) in newer.iter() {
            self.present |= 1 << quantity.index();
            self.numbers[quantity.index()] = number;
        }
        *self != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_numbers_leave_no_trace() {
        let mut values = Values::default();
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.1, 40_000.1] {
            assert!(!values.set(Quantity::Co2, number));
        }
        assert!(values.is_empty());
        assert!(values.set(Quantity::Co2, 0.0) && values.set(Quantity::Co2, 40_000.0));
        assert_eq!(values.get(Quantity::Co2), Some(40_000.0));
    }

    #[test]
    fn merging_lets_the_later_write_win_field_by_field() {
        let mut older = Values::default();
        assert!(older.set(Quantity::Co2, 600.0) && older.set(Quantity::Pm25, 5.0));
        let mut newer = Values::default();
        assert!(newer.set(Quantity::Co2, 700.0) && newer.set(Quantity::Humidity, 40.0));

        assert!(older.merge(&newer));
        let merged: Vec<_> = older.iter().collect();
        assert_eq!(
            merged,
            [
                (Quantity::Co2, 700.0),
                (Quantity::Pm25, 5.0),
                (Quantity::Humidity, 40.0)
            ]
        );
        assert!(!older.merge(&newer), "the same values again change nothing");
    }
}
