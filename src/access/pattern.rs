//! Patterns of sensor ids with `*`, as device keys have them.

use crate::domain::SensorId;
use serde::{Deserialize, Serialize};

/// A sensor id in which `*` stands for any run of characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SensorPattern(String);

impl SensorPattern {
    /// What is wrong with a text that is none.
    pub const FAULT: &'static str =
        "must be a sensor id, in which * stands for any run of characters";

    /// `None` when the text is no sensor id, the stars aside.
    pub fn parse(text: &str) -> Option<Self> {
        let bare = text.replace('*', "");
        let fits = text.len() <= SensorId::LENGTH_MAX && !text.is_empty();
        let plain = bare.is_empty() || SensorId::parse(&bare).is_ok();
        (fits && plain).then(|| Self(text.to_owned()))
    }

    /// The pattern that only this sensor matches.
    pub fn exactly(sensor: &SensorId) -> Self {
        Self(sensor.as_str().to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_exact(&self) -> bool {
        !self.0.contains('*')
    }

    pub fn matches(&self, sensor: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else {
            return self.0 == sensor;
        };
        let Some(mut left) = sensor.strip_prefix(first) else {
            return false;
        };
        let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
        // The first place that fits leaves the most for what follows.
        for part in middle.split('*') {
            let Some((_, behind)) = left.split_once(part) else {
                return false;
            };
            left = behind;
        }
        left.ends_with(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("bureau1", "bureau1", true)]
    #[case("bureau1", "bureau10", false)]
    #[case("bureau*", "bureau10", true)]
    #[case("bureau*", "Bureau1", false)]
    #[case("*", "anything", true)]
    #[case("*-co2", "room-1-co2", true)]
    #[case("*-co2", "room-1-co2-b", false)]
    #[case("a*b*c", "abc", true)]
    #[case("a*b*c", "a-b-b-c", true)]
    #[case("a*b*c", "acb", false)]
    #[case("ab*bc", "abc", false)]
    #[case("**", "x", true)]
    fn a_star_is_any_run(#[case] pattern: &str, #[case] sensor: &str, #[case] is: bool) {
        assert_eq!(SensorPattern::parse(pattern).unwrap().matches(sensor), is);
    }

    #[test]
    fn what_no_sensor_can_be_called_is_no_pattern() {
        for text in ["", "a b", "bureau/*", &"x".repeat(65)] {
            assert!(SensorPattern::parse(text).is_none(), "{text}");
        }
    }

    /// The plainest way to say it: every way to take the star is tried.
    fn model(pattern: &str, sensor: &str) -> bool {
        match pattern.split_at_checked(1) {
            None => sensor.is_empty(),
            Some(("*", rest)) => (0..=sensor.len())
                .filter_map(|taken| sensor.get(taken..))
                .any(|left| model(rest, left)),
            Some((one, rest)) => sensor
                .strip_prefix(one)
                .is_some_and(|left| model(rest, left)),
        }
    }

    proptest! {
        #[test]
        fn matching_is_as_the_model_says(pattern in "[ab*]{1,7}", sensor in "[ab]{1,8}") {
            let parsed = SensorPattern::parse(&pattern).unwrap();
            prop_assert_eq!(parsed.matches(&sensor), model(&pattern, &sensor));
        }
    }
}
