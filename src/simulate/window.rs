//! When people open and close the windows.

use super::random::Random;

/// CO2 at which nobody finds the air stuffy any more, in ppm.
const FRESH_PPM: f64 = 620.0;

/// Fine dust above the outdoor level that people notice (smoke, burnt food), in µg/m³.
const SMOKE_UG_M3: f64 = 40.0;

/// Fine dust above the outdoor level that is no longer noticed, in µg/m³.
const CLEAR_UG_M3: f64 = 12.0;

/// People air against heat above this temperature, in °C.
const HOT_C: f64 = 26.5;

/// How far below the setpoint people feel cold and close, in K.
const COLD_K: f64 = 2.5;

/// How far below the setpoint people still refuse to open, in K; less than [`COLD_K`].
const COOL_K: f64 = 1.0;

/// Minutes a window stays as it is once touched.
const DWELL_MINUTES: i64 = 5;

/// What people in the room perceive.
#[derive(Debug, Clone, Copy)]
pub(super) struct Perception {
    pub(super) awake: u32,
    pub(super) airing: bool,
    pub(super) co2_ppm: f64,
    pub(super) fine_dust_above_outdoor_ug_m3: f64,
    pub(super) temperature_c: f64,
    pub(super) outdoor_c: f64,
    pub(super) setpoint_c: f64,
}

/// The windows of a room, and how much stuffiness its people bear.
#[derive(Debug, Clone, Copy)]
pub(super) struct Windows {
    pub(super) open: bool,
    touched_minute: i64,
    stuffy_ppm: f64,
}

impl Windows {
    /// Closed windows; people begin to think of opening above `stuffy_ppm`.
    pub(super) fn closed(stuffy_ppm: f64) -> Self {
        Self {
            open: false,
            touched_minute: i64::MIN,
            stuffy_ppm,
        }
    }

    /// Lets people act in this minute; `random` is asked only when there is a reason to.
    pub(super) fn act(&mut self, minute: i64, seen: &Perception, random: impl FnOnce() -> Random) {
        if minute.saturating_sub(self.touched_minute) < DWELL_MINUTES {
            return;
        }
        let probability = if self.open {
            closing_probability(seen)
        } else {
            self.opening_probability(seen)
        };
        if probability > 0.0 && random().chance(probability) {
            self.open = !self.open;
            self.touched_minute = minute;
        }
    }

    /// Probability per minute that somebody opens.
    fn opening_probability(&self, seen: &Perception) -> f64 {
        let bearable = seen.temperature_c > seen.setpoint_c - COOL_K && seen.outdoor_c > -8.0;
        if !bearable {
            return 0.0;
        }
        if seen.airing {
            return 0.9;
        }
        let stuffy = seen.co2_ppm > self.stuffy_ppm;
        let smoky = seen.fine_dust_above_outdoor_ug_m3 > SMOKE_UG_M3;
        if seen.awake > 0 && (stuffy || smoky || is_hot(seen)) {
            0.12
        } else {
            0.0
        }
    }
}

/// Probability per minute that somebody closes.
fn closing_probability(seen: &Perception) -> f64 {
    if seen.temperature_c < seen.setpoint_c - COLD_K {
        return 0.6;
    }
    if seen.airing {
        return 0.0;
    }
    if seen.awake == 0 {
        return 0.3;
    }
    let fresh = seen.co2_ppm < FRESH_PPM
        && seen.fine_dust_above_outdoor_ug_m3 < CLEAR_UG_M3
        && !is_hot(seen);
    if fresh { 0.15 } else { 0.0 }
}

fn is_hot(seen: &Perception) -> bool {
    seen.temperature_c > HOT_C && seen.outdoor_c < seen.temperature_c - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::random::Purpose;

    const STUFFY: Perception = Perception {
        awake: 3,
        airing: false,
        co2_ppm: 1400.0,
        fine_dust_above_outdoor_ug_m3: 0.0,
        temperature_c: 21.0,
        outdoor_c: 8.0,
        setpoint_c: 21.0,
    };

    /// Minutes until the windows change, if they do within three hours.
    fn minutes_until_touched(mut windows: Windows, seen: &Perception) -> Option<i64> {
        let was_open = windows.open;
        (0..180).find(|&minute| {
            windows.act(minute, seen, || Random::new(1, 1, Purpose::Window, minute));
            windows.open != was_open
        })
    }

    fn open() -> Windows {
        Windows {
            open: true,
            ..Windows::closed(1100.0)
        }
    }

    #[test]
    fn stuffy_air_opens_and_fresh_air_closes() {
        let closed = Windows::closed(1100.0);
        assert!(minutes_until_touched(closed, &STUFFY).is_some());
        assert_eq!(minutes_until_touched(open(), &STUFFY), None);
        let fresh = Perception {
            co2_ppm: 500.0,
            ..STUFFY
        };
        assert_eq!(minutes_until_touched(closed, &fresh), None);
        assert!(minutes_until_touched(open(), &fresh).is_some());
    }

    #[test]
    fn between_the_two_limits_nothing_moves() {
        let middling = Perception {
            co2_ppm: 900.0,
            temperature_c: 19.0,
            ..STUFFY
        };
        assert_eq!(
            minutes_until_touched(Windows::closed(1100.0), &middling),
            None
        );
        assert_eq!(minutes_until_touched(open(), &middling), None);
    }

    #[test]
    fn cold_closes_even_in_stuffy_air() {
        let cold = Perception {
            temperature_c: 18.0,
            ..STUFFY
        };
        assert!(minutes_until_touched(open(), &cold).is_some());
        assert_eq!(minutes_until_touched(Windows::closed(1100.0), &cold), None);
    }

    #[test]
    fn nobody_awake_opens_nothing_but_habit_airs() {
        let asleep = Perception { awake: 0, ..STUFFY };
        assert_eq!(
            minutes_until_touched(Windows::closed(1100.0), &asleep),
            None
        );
        let airing = Perception {
            airing: true,
            ..asleep
        };
        assert!(minutes_until_touched(Windows::closed(1100.0), &airing).is_some());
    }

    #[test]
    fn heat_and_smoke_open_too() {
        let hot = Perception {
            co2_ppm: 500.0,
            temperature_c: 28.0,
            outdoor_c: 22.0,
            ..STUFFY
        };
        let smoky = Perception {
            co2_ppm: 500.0,
            fine_dust_above_outdoor_ug_m3: 90.0,
            ..STUFFY
        };
        let hotter_outside = Perception {
            outdoor_c: 33.0,
            ..hot
        };
        let closed = Windows::closed(1100.0);
        assert!(minutes_until_touched(closed, &hot).is_some());
        assert!(minutes_until_touched(closed, &smoky).is_some());
        assert_eq!(minutes_until_touched(closed, &hotter_outside), None);
    }
}
