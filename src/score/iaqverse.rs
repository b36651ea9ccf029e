//! The continuous score: led by the worst pollutant, explained by its sub-scores.
//!
//! With `P` the sub-scores of the pollutants and `C` those of temperature and humidity:
//! `agg(S) = min(S) + min(5, 0.1 · (mean(S) − min(S)))`, `air = agg(P)`, and the score is
//! `min(air, 0.75 · air + 0.25 · agg(C))`. So the score is never more than 5 points above the worst
//! pollutant, comfort can only lower it, and it has no jump except the carbon monoxide alarm.

use super::table::standard;
use super::{Assessment, Profile, SubScores};
use crate::domain::{Quantity, Values};

/// Most that the mean of the other sub-scores can lift the score above the worst one.
const LIFT_MAX: f64 = 5.0;
const LIFT_SHARE: f64 = 0.1;
/// Share of comfort in the score when comfort is worse than the air.
const COMFORT_SHARE: f64 = 0.25;
/// Metal-oxide TVOC is indicative only (UBA), so alone it lowers the air no further than this.
const TVOC_SCORE_MIN: f64 = 50.0;
/// WHO 1-hour limit for carbon monoxide, in ppm: from here on nothing else matters.
const CO_ALARM_PPM: f64 = 30.0;

pub(super) fn assess(values: &Values) -> Assessment {
    let sub_scores = SubScores::of(values, sub_score);
    let dominant = sub_scores
        .lowest(is_pollutant)
        .map(|(quantity, _)| quantity);
    let score = aggregate(&sub_scores, is_pollutant).map(|air| {
        let with_comfort = aggregate(&sub_scores, is_comfort).map_or(air, |comfort| {
            (1.0 - COMFORT_SHARE) * air + COMFORT_SHARE * comfort
        });
        air.min(with_comfort)
    });
    let alarm = values
        .get(Quantity::Co)
        .is_some_and(|ppm| ppm >= CO_ALARM_PPM);
    Assessment {
        profile: Profile::Iaqverse,
        score: if alarm { Some(0.0) } else { score },
        dominant: if alarm { Some(Quantity::Co) } else { dominant },
        sub_scores,
    }
}

fn sub_score(quantity: Quantity, number: f64) -> Option<f64> {
    let score = standard(quantity)?.score(number);
    Some(match quantity {
        Quantity::Tvoc => score.max(TVOC_SCORE_MIN),
        Quantity::Co if number >= CO_ALARM_PPM => 0.0,
        _ => score,
    })
}

fn aggregate(sub_scores: &SubScores, among: impl Fn(Quantity) -> bool + Copy) -> Option<f64> {
    let (_, lowest) = sub_scores.lowest(among)?;
    let mean = sub_scores.mean(among)?;
    Some(lowest + LIFT_MAX.min(LIFT_SHARE * (mean - lowest)))
}

fn is_comfort(quantity: Quantity) -> bool {
    matches!(quantity, Quantity::Temperature | Quantity::Humidity)
}

fn is_pollutant(quantity: Quantity) -> bool {
    !is_comfort(quantity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::table::{Curve, KNOT_SCORES, TVOC_MICROGRAMS_PER_PPB};
    use proptest::prelude::*;

    fn values(numbers: &[(Quantity, f64)]) -> Values {
        let mut values = Values::default();
        for (quantity, number) in numbers {
            assert!(values.set(*quantity, *number), "{quantity:?} {number}");
        }
        values
    }

    /// CO2 in ppm, PM2.5 in µg/m³, TVOC in µg/m³, at 21 °C and 45 %.
    fn usual(co2: f64, pm25: f64, tvoc: f64) -> Values {
        values(&[
            (Quantity::Co2, co2),
            (Quantity::Pm25, pm25),
            (Quantity::Tvoc, tvoc / TVOC_MICROGRAMS_PER_PPB),
            (Quantity::Temperature, 21.0),
            (Quantity::Humidity, 45.0),
        ])
    }

    #[track_caller]
    fn check(values: &Values, score: f64, level: &str, dominant: Quantity) {
        let assessment = assess(values);
        let got = assessment.score.unwrap();
        assert!((got - score).abs() < 0.06, "{got} is not {score}");
        assert_eq!(assessment.level().unwrap().as_str(), level);
        assert_eq!(assessment.dominant, Some(dominant));
    }

    #[test]
    fn known_answers() {
        check(&usual(420.0, 3.0, 100.0), 100.0, "excellent", Quantity::Co2);
        check(&usual(800.0, 9.0, 300.0), 90.0, "excellent", Quantity::Co2);
        check(&usual(1000.0, 15.0, 500.0), 70.0, "good", Quantity::Co2);
        check(&usual(1200.0, 5.0, 200.0), 64.5, "moderate", Quantity::Co2);
        check(&usual(3000.0, 5.0, 200.0), 25.0, "very_poor", Quantity::Co2);
        check(&usual(600.0, 40.0, 200.0), 48.9, "poor", Quantity::Pm25);
        let mut warm = usual(600.0, 8.0, 200.0);
        assert!(warm.set(Quantity::Temperature, 29.0));
        check(&warm, 80.4, "good", Quantity::Pm25);
        check(
            &values(&[(Quantity::Co2, 1200.0)]),
            62.0,
            "moderate",
            Quantity::Co2,
        );
        let without_tvoc = values(&[
            (Quantity::Co2, 645.0),
            (Quantity::Pm25, 12.0),
            (Quantity::Temperature, 22.3),
            (Quantity::Humidity, 45.0),
        ]);
        check(&without_tvoc, 80.7, "good", Quantity::Pm25);
    }

    #[test]
    fn comfort_alone_is_no_score() {
        let assessment = assess(&values(&[
            (Quantity::Temperature, 21.0),
            (Quantity::Humidity, 45.0),
        ]));
        assert_eq!((assessment.score, assessment.dominant), (None, None));
        let missing: Vec<_> = assessment.missing().collect();
        assert_eq!(missing, [Quantity::Co2, Quantity::Pm25, Quantity::Tvoc]);
    }

    #[test]
    fn every_knot_of_every_curve_gives_its_score() {
        for quantity in Quantity::ALL {
            let Some(standard) = standard(quantity) else {
                continue;
            };
            let sides = match &standard.curve {
                Curve::Rising(knots) => vec![knots],
                Curve::Between { low, high } => vec![low, high],
            };
            for knots in sides {
                for (knot, score) in knots.iter().zip(KNOT_SCORES) {
                    let got = standard.score(knot / standard.factor);
                    assert!((got - score).abs() < 1e-9, "{quantity:?} at {knot}: {got}");
                }
            }
        }
    }

    #[test]
    fn carbon_monoxide_at_the_alarm_limit_overrides_everything() {
        let mut air = usual(420.0, 3.0, 100.0);
        assert!(air.set(Quantity::Co, 29.9));
        assert!(assess(&air).score.unwrap() > 20.0);
        assert!(air.set(Quantity::Co, 30.0));
        check(&air, 0.0, "very_poor", Quantity::Co);
    }

    #[test]
    fn tvoc_alone_lowers_the_air_no_further_than_fifty() {
        assert!(assess(&usual(420.0, 3.0, 60_000.0)).score.unwrap() >= 50.0);
    }

    #[test]
    fn coverage_and_confidence_tell_what_was_measured() {
        let complete = assess(&usual(600.0, 5.0, 100.0));
        assert!((complete.coverage() - 1.0).abs() < 1e-9);
        assert_eq!(complete.confidence().as_str(), "high");
        let only_co2 = assess(&values(&[(Quantity::Co2, 600.0)]));
        assert!((only_co2.coverage() - 0.3).abs() < 1e-9);
        assert_eq!(only_co2.confidence().as_str(), "medium");
        assert_eq!(
            assess(&values(&[(Quantity::Radon, 90.0)]))
                .confidence()
                .as_str(),
            "low"
        );
    }

    fn scored() -> impl Strategy<Value = Vec<(Quantity, f64)>> {
        let one = prop::sample::select(
            Quantity::ALL
                .into_iter()
                .filter(|q| standard(*q).is_some())
                .collect::<Vec<_>>(),
        )
        .prop_flat_map(|quantity| (Just(quantity), quantity.range()));
        prop::collection::vec(one, 1..12)
    }

    proptest! {
        #[test]
        fn a_worse_value_never_raises_the_score(
            base in scored(), quantity in 0..9_usize, lower in 0.0..1.0_f64, rise in 0.0..1.0_f64,
        ) {
            let quantity = [
                Quantity::Co2, Quantity::Pm25, Quantity::Tvoc, Quantity::Pm10, Quantity::No2,
                Quantity::O3, Quantity::Hcho, Quantity::Co, Quantity::Radon,
            ][quantity];
            let end = *quantity.range().end();
            let mut clean = values(&base);
            prop_assert!(clean.set(quantity, lower * end));
            let mut dirty = clean;
            prop_assert!(dirty.set(quantity, (lower + rise * (1.0 - lower)) * end));
            prop_assert!(assess(&dirty).score.unwrap() <= assess(&clean).score.unwrap() + 1e-9);
        }

        #[test]
        fn a_small_change_of_a_value_changes_the_score_little(base in scored(), step in 0.0..1.0_f64) {
            let before = values(&base);
            prop_assume!(before.get(Quantity::Co).is_none());
            let (quantity, number) = base[0];
            let number = before.get(quantity).unwrap_or(number);
            let Some(standard) = standard(quantity) else { return Ok(()) };
            let mut after = before;
            if !after.set(quantity, number + step) { return Ok(()) }
            let (Some(a), Some(b)) = (assess(&before).score, assess(&after).score) else {
                return Ok(());
            };
            let sub = (standard.score(number) - standard.score(number + step)).abs();
            prop_assert!((a - b).abs() <= sub + 1e-9, "moved {} for a sub-score moved {sub}", a - b);
        }

        #[test]
        fn the_score_is_within_bounds_and_close_to_the_worst(base in scored()) {
            let assessment = assess(&values(&base));
            if let Some(score) = assessment.score {
                let (_, lowest) = assessment.sub_scores.lowest(is_pollutant).unwrap();
                prop_assert!((0.0..=100.0).contains(&score));
                prop_assert!(score <= lowest + LIFT_MAX + 1e-9);
            }
        }

        #[test]
        fn leaving_a_value_out_names_it(base in scored()) {
            let all = values(&base);
            for (gone, _) in all.iter() {
                let mut rest = Values::default();
                for (quantity, number) in all.iter().filter(|(quantity, _)| *quantity != gone) {
                    prop_assert!(rest.set(quantity, number));
                }
                let assessment = assess(&rest);
                prop_assert_eq!(assessment.sub_scores.get(gone), None);
                let expected = [
                    Quantity::Co2, Quantity::Pm25, Quantity::Tvoc, Quantity::Temperature,
                    Quantity::Humidity,
                ].contains(&gone);
                prop_assert_eq!(assessment.missing().any(|missing| missing == gone), expected);
            }
        }
    }
}
