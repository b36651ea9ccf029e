//! Reproducible random numbers.
//!
//! A draw is addressed, not taken in turn: seed, owner (room or site), purpose and index (day,
//! minute, millisecond) name one stream. So no room disturbs another, and what happens at an
//! instant does not depend on how the simulation got there.

use std::f64::consts::TAU;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// What a stream is used for; two purposes never share numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(super) enum Purpose {
    Construction = 1,
    DayPlan = 2,
    Window = 3,
    SensorOffset = 4,
    SensorNoise = 5,
    WeatherTemperature = 6,
    WeatherMoisture = 7,
    WeatherCloud = 8,
    WeatherDust = 9,
    RetryJitter = 10,
}

/// One stream of random numbers.
#[derive(Debug)]
pub(super) struct Random(ChaCha8Rng);

impl Random {
    pub(super) fn new(seed: u64, owner: u64, purpose: Purpose, index: i64) -> Self {
        let mut key = [0; 32];
        let words = [
            seed.to_le_bytes(),
            owner.to_le_bytes(),
            (purpose as u64).to_le_bytes(),
            index.to_le_bytes(),
        ];
        for (slot, word) in key.chunks_exact_mut(8).zip(words) {
            slot.copy_from_slice(&word);
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Uniform in `[0, 1)`, in steps of 2⁻³².
    pub(super) fn unit(&mut self) -> f64 {
        f64::from(self.0.next_u32()) / 4_294_967_296.0
    }

    /// Uniform between the two bounds.
    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform among the whole numbers from `low` to `high`, both included.
    pub(super) fn whole(&mut self, low: u32, high: u32) -> u32 {
        let span = f64::from(high.saturating_sub(low)) + 1.0;
        low + whole_from(span * self.unit()).min(high.saturating_sub(low))
    }

    /// True with the given probability.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Standard normal, by Box and Muller.
    pub(super) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (TAU * self.unit()).cos()
    }

    /// Minute of the day around `mean`, kept within three deviations and within the day.
    pub(super) fn minute(&mut self, mean: f64, deviation: f64) -> u32 {
        let minute = mean + deviation * self.normal().clamp(-3.0, 3.0);
        whole_from(minute.clamp(0.0, 1439.0))
    }
}

/// Whole part of a number; below 0 gives 0, above `u32` its maximum.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "dropping the fraction is the purpose, and the cast saturates"
)]
pub(super) fn whole_from(value: f64) -> u32 {
    value as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(mut random: Random) -> Vec<f64> {
        (0..20).map(|_| random.unit()).collect()
    }

    #[test]
    fn every_part_of_the_address_selects_another_stream() {
        let base = draws(Random::new(1, 2, Purpose::DayPlan, 3));
        assert_eq!(base, draws(Random::new(1, 2, Purpose::DayPlan, 3)));
        for other in [
            Random::new(2, 2, Purpose::DayPlan, 3),
            Random::new(1, 3, Purpose::DayPlan, 3),
            Random::new(1, 2, Purpose::Window, 3),
            Random::new(1, 2, Purpose::DayPlan, -3),
        ] {
            assert_ne!(base, draws(other));
        }
    }

    #[test]
    fn normal_has_mean_zero_and_deviation_one() {
        let mut random = Random::new(7, 0, Purpose::SensorNoise, 0);
        let values: Vec<f64> = (0..20_000).map(|_| random.normal()).collect();
        let mean = values.iter().sum::<f64>() / 20_000.0;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03, "{mean}");
        assert!((variance - 1.0).abs() < 0.05, "{variance}");
    }

    #[test]
    fn whole_reaches_both_bounds_and_nothing_else() {
        let mut random = Random::new(7, 0, Purpose::Construction, 0);
        let mut seen = [0; 5];
        for _ in 0..500 {
            seen[random.whole(1, 3) as usize] += 1;
        }
        assert_eq!((seen[0], seen[4]), (0, 0));
        assert!(seen[1..=3].iter().all(|&count| count > 100), "{seen:?}");
    }
}
