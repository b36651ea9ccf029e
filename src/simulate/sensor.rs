//! What a sensor makes of the air: its own offset, noise, resolution and range.

use super::moisture;
use super::random::{Purpose, Random, whole_from};
use super::reading::SimulatedValues;
use super::room::Air;

/// Errors that belong to one device for life.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sensor {
    seed: u64,
    room: u64,
    co2_offset_ppm: f64,
    temperature_offset_c: f64,
    humidity_offset_pct: f64,
    dust_gain: f64,
    tvoc_gain: f64,
}

impl Sensor {
    /// The sensor of the room with this number.
    pub(super) fn new(seed: u64, room: u64) -> Self {
        let mut random = Random::new(seed, room, Purpose::SensorOffset, 0);
        Self {
            seed,
            room,
            co2_offset_ppm: random.between(-12.0, 12.0),
            temperature_offset_c: random.between(-0.2, 0.2),
            humidity_offset_pct: random.between(-1.0, 1.0),
            dust_gain: random.between(0.93, 1.07),
            tvoc_gain: random.between(0.9, 1.1),
        }
    }

    /// Measures air at an instant; the noise of an instant is always the same.
    pub(super) fn measure(&self, air: &Air, people: u32, unix_ms: i64) -> SimulatedValues {
        let mut random = Random::new(self.seed, self.room, Purpose::SensorNoise, unix_ms);
        let mut noise = |deviation: f64| deviation * random.normal().clamp(-4.0, 4.0);

        let co2_ppm = air.co2_ppm * (1.0 + noise(0.002)) + self.co2_offset_ppm + noise(3.0);
        let temperature_c = air.temperature_c + self.temperature_offset_c + noise(0.03);
        let humidity_pct = moisture::relative_humidity_pct(air.moisture_g_kg, air.temperature_c)
            + self.humidity_offset_pct
            + noise(0.12);
        let tvoc_ppb = air.tvoc_ppb * self.tvoc_gain * (1.0 + noise(0.01)) + noise(1.5);
        // Summing size by size keeps PM1 ≤ PM2.5 ≤ PM10 whatever the noise.
        let mut sum = 0.0;
        let [pm1, pm2_5, pm10] = air.dust_ug_m3.map(|mass| {
            sum += (mass * self.dust_gain * (1.0 + noise(0.03)) + noise(0.1)).max(0.0);
            sum
        });
        SimulatedValues {
            co2_ppm: whole_from(co2_ppm.clamp(0.0, 40_000.0).round()),
            pm2_5_ug_m3: tenths(pm2_5, 0.0, 1000.0),
            pm10_ug_m3: tenths(pm10, 0.0, 2000.0),
            pm1_ug_m3: tenths(pm1, 0.0, 1000.0),
            tvoc_ppb: whole_from(tvoc_ppb.clamp(0.0, 65_000.0).round()),
            temperature_c: tenths(temperature_c, -40.0, 85.0),
            humidity_pct: tenths(humidity_pct, 0.0, 100.0),
            occupants: people,
        }
    }
}

/// Rounds to 0.1 within a range; the result prints with one decimal.
fn tenths(value: f64, low: f64, high: f64) -> f64 {
    // Adding 0 turns a negative zero into a plain one.
    (value.clamp(low, high) * 10.0).round() / 10.0 + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const AIR: Air = Air {
        co2_ppm: 800.0,
        temperature_c: 21.0,
        moisture_g_kg: 7.0,
        dust_ug_m3: [6.0, 2.0, 5.0],
        tvoc_ppb: 150.0,
    };

    #[test]
    fn noise_is_small_and_belongs_to_the_instant() {
        let sensor = Sensor::new(4, 2);
        let first = sensor.measure(&AIR, 2, 1000);
        assert_eq!(first, sensor.measure(&AIR, 2, 1000));
        let others: Vec<_> = (0..200).map(|ms| sensor.measure(&AIR, 2, ms)).collect();
        assert!(others.iter().any(|values| values.co2_ppm != first.co2_ppm));
        for values in others {
            assert!(values.co2_ppm.abs_diff(800) < 40, "{values:?}");
            assert!((values.temperature_c - 21.0).abs() < 0.5, "{values:?}");
            assert!((values.pm2_5_ug_m3 - 8.0).abs() < 2.0, "{values:?}");
            assert_eq!(values.occupants, 2);
        }
    }

    #[test]
    fn particle_sizes_stay_in_order_near_zero() {
        let clean = Air {
            dust_ug_m3: [0.0; 3],
            ..AIR
        };
        for ms in 0..2000 {
            let values = Sensor::new(1, 1).measure(&clean, 0, ms);
            assert!(values.pm1_ug_m3 <= values.pm2_5_ug_m3, "{values:?}");
            assert!(values.pm2_5_ug_m3 <= values.pm10_ug_m3, "{values:?}");
            assert!(values.pm1_ug_m3 >= 0.0, "{values:?}");
        }
    }

    #[test]
    fn values_never_leave_the_accepted_range() {
        let absurd = Air {
            co2_ppm: 1e9,
            temperature_c: 500.0,
            moisture_g_kg: 400.0,
            dust_ug_m3: [1e6; 3],
            tvoc_ppb: 1e9,
        };
        let values = Sensor::new(1, 1).measure(&absurd, 0, 0);
        assert_eq!((values.co2_ppm, values.tvoc_ppb), (40_000, 65_000));
        let rest = [
            values.pm1_ug_m3,
            values.pm2_5_ug_m3,
            values.pm10_ug_m3,
            values.temperature_c,
        ];
        assert_eq!(format!("{rest:?}"), "[1000.0, 1000.0, 2000.0, 85.0]");
    }

    #[test]
    fn tenths_print_with_one_decimal() {
        for (value, want) in [
            (21.349, "21.3"),
            (0.05, "0.1"),
            (-0.02, "0.0"),
            (99.99, "100.0"),
        ] {
            assert_eq!(format!("{:?}", tenths(value, -40.0, 100.0)), want);
        }
    }
}
