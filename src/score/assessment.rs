//! The result of scoring: the number and what it rests on.

use super::Profile;
use crate::domain::{Level, Quantity, Values};

/// How good the air is and why.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Assessment {
    pub profile: Profile,
    /// 0 to 100 before rounding; `None` when no pollutant was measured.
    pub score: Option<f64>,
    /// The pollutant with the lowest sub-score; the first in [`Quantity::ALL`] among equals.
    pub dominant: Option<Quantity>,
    pub sub_scores: SubScores,
}

/// How much of what a score needs was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confidence {
    /// CO2 and PM2.5 are both there.
    High,
    /// One of CO2 and PM2.5 is there.
    Medium,
    /// Neither is there.
    Low,
}

/// What a complete reading has, with the weight of each in [`Assessment::coverage`].
const EXPECTED: [(Quantity, f64); 5] = [
    (Quantity::Co2, 3.0),
    (Quantity::Pm25, 3.0),
    (Quantity::Tvoc, 2.0),
    (Quantity::Temperature, 1.0),
    (Quantity::Humidity, 1.0),
];

impl Assessment {
    /// The score as shown: rounded half up to a whole number.
    pub fn shown(&self) -> Option<u8> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a score is within 0 to 100"
        )]
        self.score.map(|score| (score + 0.5).floor() as u8)
    }

    /// The level of the score as shown, so that a page never says "90, good".
    pub fn level(&self) -> Option<Level> {
        self.shown().map(Level::of)
    }

    /// Quantities of a complete reading that took no part because they were not measured.
    pub fn missing(&self) -> impl Iterator<Item = Quantity> + '_ {
        EXPECTED
            .into_iter()
            .map(|(quantity, _)| quantity)
            .filter(|quantity| self.sub_scores.get(*quantity).is_none())
    }

    /// Weight of what was measured over the weight of a complete reading, 0 to 1. CO2 and PM2.5
    /// weigh 3, TVOC 2, temperature and humidity 1; other pollutants count only when present.
    pub fn coverage(&self) -> f64 {
        let absent: f64 = EXPECTED
            .into_iter()
            .filter(|(quantity, _)| self.sub_scores.get(*quantity).is_none())
            .map(|(_, weight)| weight)
            .sum();
        let others = self
            .sub_scores
            .iter()
            .filter(|(quantity, _)| EXPECTED.iter().all(|(expected, _)| expected != quantity))
            .count();
        #[expect(clippy::cast_precision_loss, reason = "at most 18 quantities")]
        let expected = EXPECTED.iter().map(|(_, weight)| weight).sum::<f64>() + others as f64;
        (expected - absent) / expected
    }

    pub fn confidence(&self) -> Confidence {
        let has = |quantity| self.sub_scores.get(quantity).is_some();
        match (has(Quantity::Co2), has(Quantity::Pm25)) {
            (true, true) => Confidence::High,
            (false, false) => Confidence::Low,
            _ => Confidence::Medium,
        }
    }
}

impl Confidence {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }
}

/// Sub-score, 0 to 100, of each quantity that took part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SubScores([Option<f64>; Quantity::COUNT]);

impl SubScores {
    /// Scores every value for which `curve` has a sub-score.
    pub(super) fn of(values: &Values, curve: impl Fn(Quantity, f64) -> Option<f64>) -> Self {
        let mut scores = [None; Quantity::COUNT];
        for (quantity, number) in values.iter() {
            scores[quantity.index()] = curve(quantity, number);
        }
        Self(scores)
    }

    pub fn get(&self, quantity: Quantity) -> Option<f64> {
        self.0[quantity.index()]
    }

    pub fn iter(&self) -> impl Iterator<Item = (Quantity, f64)> + '_ {
        Quantity::ALL
            .into_iter()
            .filter_map(|quantity| Some((quantity, self.get(quantity)?)))
    }

    /// The lowest sub-score among the quantities `among` accepts; the first among equals.
    pub(super) fn lowest(&self, among: impl Fn(Quantity) -> bool) -> Option<(Quantity, f64)> {
        self.iter()
            .filter(|(quantity, _)| among(*quantity))
            .reduce(|lowest, next| if next.1 < lowest.1 { next } else { lowest })
    }

    /// The mean sub-score of the quantities `among` accepts.
    pub(super) fn mean(&self, among: impl Fn(Quantity) -> bool) -> Option<f64> {
        let (sum, count) = self
            .iter()
            .filter(|(quantity, _)| among(*quantity))
            .fold((0.0, 0.0), |(sum, count), (_, score)| {
                (sum + score, count + 1.0)
            });
        (count > 0.0).then(|| sum / count)
    }
}
