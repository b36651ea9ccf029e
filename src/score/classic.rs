//! The stepwise score of earlier deployments, to the point for every complete reading.
//!
//! The plain mean of five sub-scores of 100, 80, 60, 40 or 20. A value that is missing is left out
//! of the mean. Source: the limits of the earlier deployments' own score; they average nothing over
//! time and hide extremes, which is why [`super::Profile::Iaqverse`] is the default.

use super::{Assessment, Profile, SubScores};
use crate::domain::{Quantity, Values};

/// CO2 limits are laxer by this many ppm for each occupant, as they always were in this profile.
const CO2_PPM_PER_OCCUPANT: f64 = 100.0;

pub(super) fn assess(values: &Values) -> Assessment {
    let allowance = CO2_PPM_PER_OCCUPANT * values.get(Quantity::Occupants).unwrap_or(0.0).trunc();
    let sub_scores = SubScores::of(values, |quantity, number| {
        sub_score(quantity, number, allowance)
    });
    let everything = |_| true;
    Assessment {
        profile: Profile::Classic,
        score: sub_scores.mean(everything),
        dominant: sub_scores.lowest(everything).map(|(quantity, _)| quantity),
        sub_scores,
    }
}

fn sub_score(quantity: Quantity, number: f64, allowance: f64) -> Option<f64> {
    Some(match quantity {
        Quantity::Co2 => rising(number - allowance, [600.0, 1000.0, 1400.0, 2000.0]),
        Quantity::Pm25 => rising(number, [12.0, 25.0, 50.0, 100.0]),
        Quantity::Tvoc => rising(number, [200.0, 300.0, 500.0, 1000.0]),
        Quantity::Humidity => between(number, [(40.0, 50.0), (30.0, 60.0), (20.0, 70.0)]),
        Quantity::Temperature => between(number, [(19.0, 22.0), (18.0, 24.0), (16.0, 26.0)]),
        _ => return None,
    })
}

fn rising(number: f64, limits: [f64; 4]) -> f64 {
    let steps = [100.0, 80.0, 60.0, 40.0];
    limits
        .into_iter()
        .zip(steps)
        .find(|(limit, _)| number <= *limit)
        .map_or(20.0, |(_, step)| step)
}

fn between(number: f64, bands: [(f64, f64); 3]) -> f64 {
    let steps = [100.0, 80.0, 60.0];
    bands
        .into_iter()
        .zip(steps)
        .find(|((low, high), _)| (*low..=*high).contains(&number))
        .map_or(40.0, |(_, step)| step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const FULL: [Quantity; 6] = [
        Quantity::Co2,
        Quantity::Pm25,
        Quantity::Tvoc,
        Quantity::Humidity,
        Quantity::Temperature,
        Quantity::Occupants,
    ];

    fn assess_full(numbers: [f64; 6]) -> Assessment {
        let mut values = Values::default();
        for (quantity, number) in FULL.into_iter().zip(numbers) {
            assert!(values.set(quantity, number));
        }
        assess(&values)
    }

    // Values that the earlier deployments filled in when they were absent.
    const USUAL: [f64; 6] = [400.0, 5.0, 100.0, 45.0, 21.0, 0.0];

    fn usual_with(changes: &[(usize, f64)]) -> [f64; 6] {
        let mut numbers = USUAL;
        for (position, number) in changes {
            numbers[*position] = *number;
        }
        numbers
    }

    #[rstest]
    #[case(USUAL, 100, "excellent")]
    #[case([600.0, 12.0, 200.0, 40.0, 19.0, 0.0], 100, "excellent")]
    #[case([600.1, 12.1, 200.1, 39.9, 18.9, 0.0], 80, "good")]
    #[case([1000.0, 25.0, 300.0, 30.0, 24.0, 0.0], 80, "good")]
    #[case([1400.0, 50.0, 500.0, 20.0, 26.0, 0.0], 60, "moderate")]
    #[case([2000.0, 100.0, 1000.0, 19.9, 26.1, 0.0], 40, "poor")]
    #[case([2001.0, 101.0, 1001.0, 71.0, 15.0, 0.0], 28, "very_poor")]
    #[case(usual_with(&[(0, 1200.0)]), 92, "excellent")]
    #[case(usual_with(&[(0, 1200.0), (5, 2.0)]), 96, "excellent")]
    #[case(usual_with(&[(0, 1200.0), (5, 2.9)]), 96, "excellent")]
    #[case(usual_with(&[(0, 1200.0), (5, 6.0)]), 100, "excellent")]
    #[case(usual_with(&[(0, 3000.0)]), 84, "good")]
    #[case(usual_with(&[(1, 500.0)]), 84, "good")]
    #[case(usual_with(&[(0, 5000.0), (1, 500.0), (2, 5000.0)]), 52, "moderate")]
    #[case(usual_with(&[(0, 0.0), (1, 0.0), (2, 0.0), (3, 0.0)]), 88, "good")]
    fn equals_the_earlier_deployments(
        #[case] numbers: [f64; 6],
        #[case] shown: u8,
        #[case] level: &str,
    ) {
        let assessment = assess_full(numbers);
        assert_eq!(assessment.shown(), Some(shown));
        assert_eq!(assessment.level().unwrap().as_str(), level);
    }

    #[test]
    fn a_missing_value_is_left_out_of_the_mean() {
        let mut values = Values::default();
        assert!(values.set(Quantity::Co2, 2500.0) && values.set(Quantity::Pm25, 5.0));
        let assessment = assess(&values);
        assert_eq!(assessment.score, Some(60.0));
        assert_eq!(assessment.dominant, Some(Quantity::Co2));
        assert_eq!(assess(&Values::default()).score, None);
    }

    #[test]
    fn only_the_nineteen_multiples_of_four_exist() {
        let mut seen = std::collections::BTreeSet::new();
        for co2 in [500.0, 900.0, 1300.0, 1900.0, 2500.0] {
            for pm25 in [10.0, 20.0, 40.0, 90.0, 150.0] {
                for tvoc in [100.0, 250.0, 400.0, 900.0, 1500.0] {
                    for humidity in [45.0, 35.0, 25.0, 10.0] {
                        for temperature in [20.0, 23.0, 25.0, 30.0] {
                            let numbers = [co2, pm25, tvoc, humidity, temperature, 0.0];
                            seen.insert(assess_full(numbers).shown().unwrap());
                        }
                    }
                }
            }
        }
        assert_eq!(seen, (7..=25_u8).map(|quarter| quarter * 4).collect());
    }
}
