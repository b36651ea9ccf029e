//! Readings → how good the air is, from 0 (worst) to 100 (best), and why.
//!
//! Pure functions: no I/O, no clock, no state. Two profiles: [`Profile::Iaqverse`] is continuous and
//! led by the worst pollutant, [`Profile::Classic`] is the stepwise mean of earlier deployments. A
//! value that is missing is left out and named, never replaced by a default.

mod assessment;
mod classic;
mod iaqverse;
mod table;

pub use assessment::{Assessment, Confidence, SubScores};
pub(crate) use table::TVOC_MICROGRAMS_PER_PPB;
pub use table::{Standard, standard};

use crate::domain::Values;

/// Which of the two scores is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Profile {
    /// Continuous score after published limits; the worst pollutant leads.
    #[default]
    Iaqverse,
    /// Stepwise mean of five sub-scores, as earlier deployments computed it.
    Classic,
}

impl Profile {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Iaqverse => "iaqverse",
            Self::Classic => "classic",
        }
    }

    /// The profile called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Iaqverse, Self::Classic]
            .into_iter()
            .find(|profile| profile.as_str() == name)
    }

    /// Assesses values, which may be one reading's or averages over each pollutant's window.
    pub fn assess(self, values: &Values) -> Assessment {
        match self {
            Self::Iaqverse => iaqverse::assess(values),
            Self::Classic => classic::assess(values),
        }
    }
}
