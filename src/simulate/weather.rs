//! Outdoor air of a temperate town (about Lyon, 45.75° N): season, day, and passing weather.
//!
//! The curves are a plausible climate, not a forecast. Outdoor CO2 is constant.

use std::f64::consts::TAU;

use super::moisture;
use super::random::{Purpose, Random};
use super::time::LocalMinute;

/// Outdoor CO2, in ppm.
pub(super) const OUTDOOR_CO2_PPM: f64 = 420.0;

/// Outdoor TVOC, in ppb.
pub(super) const OUTDOOR_TVOC_PPB: f64 = 15.0;

const YEAR_DAYS: f64 = 365.2425;
const LATITUDE_RAD: f64 = 45.75 * TAU / 360.0;
const AXIAL_TILT_RAD: f64 = 23.44 * TAU / 360.0;

/// Outdoor air at one minute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Outdoor {
    pub(super) temperature_c: f64,
    /// Grams of vapour per kilogram of dry air.
    pub(super) moisture_g_kg: f64,
    /// Mass of particles below 1 µm, from 1 to 2.5 µm and from 2.5 to 10 µm, in µg/m³.
    pub(super) dust_ug_m3: [f64; 3],
    /// Sunlight on the façade, 0 (night) to 1.
    pub(super) sun: f64,
}

/// Weather of one site.
#[derive(Debug)]
pub(super) struct Weather {
    temperature: Wander,
    moisture: Wander,
    cloud: Wander,
    dust: Wander,
}

impl Weather {
    /// Weather of the site with this number; sites of one seed differ a little.
    pub(super) fn new(seed: u64, site: u64) -> Self {
        let wander = |purpose, hours| Wander::new(seed, site, purpose, hours);
        Self {
            temperature: wander(Purpose::WeatherTemperature, 40),
            moisture: wander(Purpose::WeatherMoisture, 30),
            cloud: wander(Purpose::WeatherCloud, 9),
            dust: wander(Purpose::WeatherDust, 14),
        }
    }

    /// Outdoor air at a minute since the Unix epoch, which is `local` at the site.
    pub(super) fn outdoor(&mut self, minute: i64, local: LocalMinute) -> Outdoor {
        let cloud = 0.5 + 0.5 * self.cloud.value(minute);
        // Warmest around 20 July, day 201 of the year.
        let summer = (TAU * (local.days() - 201.0) / YEAR_DAYS).cos();
        let season_c = 12.5 + 8.5 * summer;
        let passing = self.temperature.value(minute);
        let day_mean_c = season_c + 5.0 * passing;
        let day_swing_c = (2.0 + 3.0 * (1.0 - cloud)) * (TAU * (local.hour() - 15.0) / 24.0).cos();
        let temperature_c = day_mean_c + day_swing_c;
        // Air is drier in summer, and a warm spell brings less vapour than it could hold.
        let dew_point_c =
            season_c - 5.0 - 3.0 * summer + 3.0 * passing + 2.5 * self.moisture.value(minute);
        let pm2_5 = (10.0 - 4.0 * summer) * (0.8 * self.dust.value(minute)).exp();
        Outdoor {
            temperature_c,
            moisture_g_kg: moisture::saturation_g_kg(dew_point_c)
                .min(0.97 * moisture::saturation_g_kg(temperature_c)),
            dust_ug_m3: [0.7 * pm2_5, 0.3 * pm2_5, 4.0 + 0.5 * pm2_5],
            sun: sun_height(local) * (1.0 - 0.75 * cloud),
        }
    }
}

/// Sine of the sun's height, 0 when it is down; solar noon at 12:30 local time.
fn sun_height(local: LocalMinute) -> f64 {
    let declination = AXIAL_TILT_RAD * (TAU * (local.days() - 80.0) / YEAR_DAYS).sin();
    let hour_angle = TAU * (local.hour() - 12.5) / 24.0;
    (LATITUDE_RAD.sin() * declination.sin()
        + LATITUDE_RAD.cos() * declination.cos() * hour_angle.cos())
    .max(0.0)
}

/// A smooth random curve between −1 and 1: a new random value every so many hours, joined by
/// curves that start and end flat.
#[derive(Debug)]
struct Wander {
    seed: u64,
    site: u64,
    purpose: Purpose,
    spacing_minutes: u32,
    /// Index and values of the segment last asked for; neighbours in time share it.
    segment: Option<(i64, f64, f64)>,
}

impl Wander {
    fn new(seed: u64, site: u64, purpose: Purpose, spacing_hours: u32) -> Self {
        Self {
            seed,
            site,
            purpose,
            spacing_minutes: spacing_hours * 60,
            segment: None,
        }
    }

    fn value(&mut self, minute: i64) -> f64 {
        let spacing = i64::from(self.spacing_minutes);
        let index = minute.div_euclid(spacing);
        let (left, right) = match self.segment {
            Some((known, left, right)) if known == index => (left, right),
            _ => {
                let ends = (self.knot(index), self.knot(index.saturating_add(1)));
                self.segment = Some((index, ends.0, ends.1));
                ends
            }
        };
        let into = u32::try_from(minute.rem_euclid(spacing)).unwrap_or(0);
        let x = f64::from(into) / f64::from(self.spacing_minutes);
        left + (right - left) * x * x * (3.0 - 2.0 * x)
    }

    fn knot(&self, index: i64) -> f64 {
        Random::new(self.seed, self.site, self.purpose, index).between(-1.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::time::DAY_MINUTES;

    fn year() -> Vec<(LocalMinute, Outdoor)> {
        let mut weather = Weather::new(3, 0);
        // 2026-01-01 is day 20454.
        (0..365 * 24)
            .map(|hour| {
                let minute = 20_454 * DAY_MINUTES + hour * 60;
                let local = LocalMinute::at(minute, 60);
                (local, weather.outdoor(minute, local))
            })
            .collect()
    }

    fn mean(values: impl Iterator<Item = f64>) -> f64 {
        let values: Vec<f64> = values.collect();
        values.iter().sum::<f64>() / f64::from(u32::try_from(values.len()).unwrap())
    }

    #[test]
    fn a_year_is_temperate() {
        let year = year();
        for (_, air) in &year {
            assert!((-15.0..=40.0).contains(&air.temperature_c), "{air:?}");
            let humidity = moisture::relative_humidity_pct(air.moisture_g_kg, air.temperature_c);
            assert!((10.0..=100.0).contains(&humidity), "{humidity} in {air:?}");
            assert!(
                air.dust_ug_m3
                    .iter()
                    .all(|&mass| mass > 0.0 && mass < 100.0),
                "{air:?}"
            );
            assert!((0.0..=1.0).contains(&air.sun), "{air:?}");
        }
        let july = mean(
            year[181 * 24..212 * 24]
                .iter()
                .map(|(_, air)| air.temperature_c),
        );
        let january = mean(year[..31 * 24].iter().map(|(_, air)| air.temperature_c));
        assert!(july > january + 10.0, "{july} {january}");
        let vapour_g_kg = mean(
            year[181 * 24..212 * 24]
                .iter()
                .map(|(_, air)| air.moisture_g_kg),
        );
        assert!((7.0..12.0).contains(&vapour_g_kg), "{vapour_g_kg}");
    }

    #[test]
    fn afternoons_are_warmer_than_nights_and_nights_are_dark() {
        let year = year();
        let at_hour = |hour: u32| {
            let year = &year;
            mean(
                year.iter()
                    .filter(|(l, _)| l.minute_of_day == hour * 60)
                    .map(|(_, air)| air.temperature_c),
            )
        };
        assert!(at_hour(15) > at_hour(4) + 4.0);
        assert!(
            year.iter()
                .filter(|(l, _)| l.hour() < 3.0)
                .all(|(_, air)| air.sun == 0.0)
        );
        assert!(
            year.iter()
                .filter(|(l, _)| l.minute_of_day == 720)
                .all(|(_, air)| air.sun > 0.0)
        );
    }

    #[test]
    fn asking_out_of_order_gives_the_same_air() {
        let minutes = [1_000_000, 9_000_000, 1_000_000, 1_000_700];
        let mut used = Weather::new(9, 4);
        for minute in minutes {
            let local = LocalMinute::at(minute, 0);
            let fresh = Weather::new(9, 4).outdoor(minute, local);
            assert_eq!(used.outdoor(minute, local), fresh);
        }
    }
}
