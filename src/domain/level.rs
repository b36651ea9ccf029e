//! The five words a score is told in.

/// Quality level of a score from 0 (worst) to 100 (best).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    VeryPoor,
    Poor,
    Moderate,
    Good,
    Excellent,
}

impl Level {
    /// Level of a score as shown, that is rounded to a whole number: the limits are 90, 70, 50 and
    /// 30, each belonging to the better level.
    pub const fn of(shown: u8) -> Self {
        match shown {
            90.. => Self::Excellent,
            70.. => Self::Good,
            50.. => Self::Moderate,
            30.. => Self::Poor,
            _ => Self::VeryPoor,
        }
    }

    /// Name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Excellent => "excellent",
            Self::Good => "good",
            Self::Moderate => "moderate",
            Self::Poor => "poor",
            Self::VeryPoor => "very_poor",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_belongs_to_the_better_level() {
        let levels: Vec<_> = [100, 90, 89, 70, 69, 50, 49, 30, 29, 0]
            .into_iter()
            .map(|shown| Level::of(shown).as_str())
            .collect();
        assert_eq!(
            levels,
            [
                "excellent",
                "excellent",
                "good",
                "good",
                "moderate",
                "moderate",
                "poor",
                "poor",
                "very_poor",
                "very_poor"
            ]
        );
    }
}
