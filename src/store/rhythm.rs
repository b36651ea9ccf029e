//! The rhythm of something that comes again and again: the usual gap between its times.
//!
//! What comes is not regular: several messages at once, one that is lost, a night without current, another
//! interval from now on. So a gap counts by its length, and one that is far from the usual says nothing
//! until others like it confirm it:
//!
//! - A gap of a third to three times the usual one moves it by a fifth of the difference.
//! - A longer one becomes the usual one when the next long one is like it, unless shorter gaps have
//!   covered as much time in between: then it was an outage.
//! - Shorter ones become the usual gap when they are in a row and cover a tenth of it: until then they
//!   may be a burst. The very first gap has to be confirmed as well; a row of shorter ones takes its place
//!   whatever it covers.

use std::time::Duration;

/// A gap beyond this is no rhythm but a wrong time, or another life of the sensor.
const GAP_MAX: Duration = Duration::from_hours(31 * 24);
/// Gaps that are further than this factor from the usual one have to be confirmed.
const FAR: f32 = 3.0;
/// Weight of one gap near the usual one.
const WEIGHT: f32 = 0.2;
/// Two long gaps are alike when one is at most this many times the other.
const ALIKE: f32 = 2.0;
/// Fewest short gaps in a row that are not a burst.
const RUN_MIN: u8 = 5;
/// What part of the usual gap they must cover.
const RUN_COVER: f32 = 0.1;

/// What is learnt of the gaps between times; the same gaps in the same order give the same.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Rhythm {
    /// The usual gap in milliseconds; 0 until there is one.
    pub(super) usual_ms: f32,
    /// More than one gap speaks for it.
    pub(super) is_confirmed: bool,
    /// Longer gaps that wait for another like them: a longer one, and the longest.
    pub(super) longer: [Candidate; 2],
    /// What short gaps in a row have covered, and how many they are.
    pub(super) run_ms: f32,
    pub(super) run: u8,
}

/// A gap that may become the usual one.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Candidate {
    /// 0 when there is none.
    pub(super) gap_ms: f32,
    /// What other gaps have covered since.
    pub(super) since_ms: f32,
}

impl Candidate {
    fn new(gap_ms: f32) -> Self {
        Self {
            gap_ms,
            since_ms: 0.0,
        }
    }

    fn is_like(self, gap_ms: f32) -> bool {
        self.gap_ms <= ALIKE * gap_ms && gap_ms <= ALIKE * self.gap_ms
    }

    /// Whether another gap like it makes it the usual one.
    fn is_confirmed_by(self, gap_ms: f32) -> bool {
        self.is_like(gap_ms) && self.since_ms < gap_ms.min(self.gap_ms)
    }
}

impl Rhythm {
    /// The usual gap, once there are two times.
    pub(super) fn usual(&self) -> Option<Duration> {
        (self.usual_ms > 0.0)
            .then(|| Duration::try_from_secs_f32(self.usual_ms / 1000.0).unwrap_or(GAP_MAX))
            .map(|usual| usual.min(GAP_MAX))
    }

    /// With another gap.
    #[must_use]
    pub(super) fn learned(mut self, gap: Duration) -> Self {
        if gap.is_zero() || gap > GAP_MAX {
            return self;
        }
        let gap_ms = gap.as_secs_f32() * 1000.0;
        if self.usual_ms <= 0.0 {
            self.usual_ms = gap_ms;
        } else if gap_ms > FAR * self.usual_ms {
            self.learn_long(gap_ms);
            self.end_run();
        } else {
            for candidate in &mut self.longer {
                candidate.since_ms += gap_ms;
            }
            if gap_ms < self.usual_ms / FAR {
                self.learn_short(gap_ms);
            } else {
                self.usual_ms += WEIGHT * (gap_ms - self.usual_ms);
                self.is_confirmed = true;
                self.end_run();
            }
        }
        self
    }

    fn learn_long(&mut self, gap_ms: f32) {
        let [longer, longest] = &mut self.longer;
        if longest.is_confirmed_by(gap_ms) {
            self.usual_ms = gap_ms;
            self.is_confirmed = true;
            self.longer = [Candidate::default(); 2];
        } else if longest.is_like(gap_ms) {
            longer.since_ms += gap_ms;
            *longest = Candidate::new(gap_ms);
        } else if gap_ms > longest.gap_ms {
            longest.since_ms += gap_ms;
            *longer = std::mem::replace(longest, Candidate::new(gap_ms));
        } else {
            longest.since_ms += gap_ms;
            if longer.is_confirmed_by(gap_ms) {
                self.usual_ms = gap_ms;
                self.is_confirmed = true;
                *longer = Candidate::default();
            } else {
                *longer = Candidate::new(gap_ms);
            }
        }
    }

    fn learn_short(&mut self, gap_ms: f32) {
        self.run_ms += gap_ms;
        self.run = self.run.saturating_add(1);
        let covers = self.run_ms >= RUN_COVER * self.usual_ms;
        if self.run >= RUN_MIN && (covers || !self.is_confirmed) {
            self.is_confirmed = true;
            self.usual_ms = self.run_ms / f32::from(self.run);
            self.end_run();
        }
    }

    fn end_run(&mut self) {
        self.run_ms = 0.0;
        self.run = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(gaps_s: &[f32]) -> Rhythm {
        let gaps = gaps_s.iter().map(|gap| Duration::from_secs_f32(*gap));
        gaps.fold(Rhythm::default(), Rhythm::learned)
    }

    fn usual_s(gaps_s: &[f32]) -> f32 {
        of(gaps_s).usual().unwrap_or_default().as_secs_f32()
    }

    fn repeated(gaps_s: &[f32], times: usize) -> Vec<f32> {
        gaps_s.repeat(times)
    }

    #[track_caller]
    fn assert_about(usual_s: f32, wanted_s: f32) {
        assert!(
            (usual_s / wanted_s - 1.0).abs() < 0.15,
            "{usual_s} s and not about {wanted_s} s"
        );
    }

    #[test]
    fn nothing_is_known_of_one_time() {
        assert_eq!(Rhythm::default().usual(), None);
        assert_eq!(of(&[0.0]).usual(), None);
        assert_about(usual_s(&[60.0]), 60.0);
    }

    #[test]
    fn a_rhythm_can_grow_and_shrink() {
        assert_about(usual_s(&[10.0, 300.0, 300.0, 300.0, 300.0, 270.0]), 300.0);
        assert_about(usual_s(&[10.0, 10.0, 10.0, 3600.0, 3590.0]), 3600.0);
        let shrunk = [repeated(&[300.0], 10), repeated(&[10.0], 10)].concat();
        assert_about(usual_s(&shrunk), 10.0);
        let doubled = [repeated(&[60.0], 10), repeated(&[120.0], 10)].concat();
        assert_about(usual_s(&doubled), 120.0);
        let halved = [repeated(&[60.0], 10), repeated(&[30.0], 10)].concat();
        assert_about(usual_s(&halved), 30.0);
    }

    #[test]
    fn the_first_gap_may_be_an_odd_one() {
        let tried_once_before = [vec![14.0 * 86_400.0], repeated(&[60.0], 6)].concat();
        assert_about(usual_s(&tried_once_before), 60.0);
    }

    #[test]
    fn bursts_are_not_the_rhythm() {
        // A message for each quantity, and then a minute nothing.
        assert_about(usual_s(&repeated(&[0.1, 0.1, 59.8], 3)), 60.0);
        assert_about(
            usual_s(&repeated(&[0.2, 0.3, 0.1, 1.0, 0.5, 298.0], 10)),
            298.0,
        );
        // A buffer that is sent one by one, each quarter of an hour.
        let buffered = [repeated(&[0.05], 89), vec![895.0]].concat();
        assert_about(usual_s(&repeated(&buffered, 4)), 895.0);
    }

    #[test]
    fn a_rhythm_is_found_after_an_outage() {
        assert_about(usual_s(&[10.0, 10.0, 5000.0, 60.0, 60.0, 60.0]), 60.0);
    }

    #[test]
    fn an_odd_gap_is_forgotten() {
        let one = [repeated(&[60.0], 5), vec![86_400.0], repeated(&[60.0], 5)].concat();
        assert_about(usual_s(&one), 60.0);
        // Each night it is off.
        let nights = [repeated(&[60.0], 840), vec![36_000.0]].concat();
        assert_about(usual_s(&repeated(&nights, 5)), 60.0);
        // Two outages that are not alike, one after the other.
        assert_about(usual_s(&[60.0, 60.0, 400.0, 5000.0, 60.0, 60.0]), 60.0);
    }

    #[test]
    fn a_wrong_year_is_no_gap() {
        let years = 26.0 * 365.0 * 86_400.0;
        assert_eq!(of(&[years]).usual(), None);
        assert_about(usual_s(&[60.0, years, 60.0, 60.0]), 60.0);
    }

    proptest! {
        #[test]
        fn a_steady_interval_is_found_after_whatever_was_before(
            before_s in prop::collection::vec(0.01_f32..1e6, 0..20),
            interval_s in 0.5_f32..1e5,
            jitter in prop::collection::vec(0.9_f32..1.1, 200),
        ) {
            let mut learned = of(&before_s);
            let usual_s = learned.usual().unwrap_or_default().as_secs_f32();
            let (mut covered_s, mut count) = (0.0, 0);
            // As long as what was usual before has to be covered, and some more.
            for jitter in jitter.iter().cycle() {
                let gap_s = jitter * interval_s;
                learned = learned.learned(Duration::from_secs_f32(gap_s));
                covered_s += f64::from(gap_s);
                count += 1;
                if count >= 25 && covered_s >= f64::from(usual_s) {
                    break;
                }
            }
            let found_s = learned.usual().unwrap().as_secs_f32();
            prop_assert!((found_s / interval_s - 1.0).abs() < 0.15, "{found_s} of {interval_s}");
        }
    }
}
