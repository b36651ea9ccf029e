//! Records as the API document shows them.
//!
//! What is sent is written member by member, because the quantities that a record has differ; a test
//! holds what is written to what is described.

mod reading;

pub(super) use reading::Record;

use super::record::SubScore;
use crate::domain::{Level, Timestamp};
use crate::score::{Confidence, Profile};
use reading::{FlatValues, Reading};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A sensor's state: the newest value of each quantity, and why its score is what it is.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes")]
pub(super) struct Latest {
    #[schema(inline)]
    #[serde(flatten)]
    reading: Reading,
    #[schema(inline)]
    #[serde(flatten)]
    explanation: Explanation,
    /// For each value that is not of `timestamp`, when it was measured.
    measured_at: Option<BTreeMap<String, Timestamp>>,
    /// Quantities whose last values are too old to be shown beside the others.
    stale_values: Option<Vec<String>>,
    /// Nothing is fresh: these are the last values.
    stale: Option<bool>,
    /// The unit of TVOC was not sent but taken for granted.
    tvoc_unit_assumed: Option<bool>,
}

/// Why a score is what it is.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes")]
pub(super) struct Explanation {
    profile: Profile,
    /// The pollutant that costs the most.
    #[schema(required = true)]
    dominant: Option<String>,
    /// For each quantity its score, value, unit, averaging time and the source of the limit.
    sub_scores: BTreeMap<String, SubScore>,
    /// Quantities that would make it complete.
    missing: Vec<String>,
    #[schema(minimum = 0, maximum = 1)]
    coverage: f64,
    confidence: Confidence,
}

/// A room as it is now: averages over the window of each pollutant.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes")]
pub(super) struct Room {
    salle: String,
    #[schema(minimum = 0, maximum = 100, required = true)]
    global_score: Option<f64>,
    #[schema(required = true)]
    global_level: Option<Level>,
    #[schema(inline)]
    #[serde(flatten)]
    explanation: Explanation,
    #[schema(inline)]
    #[serde(flatten)]
    values: FlatValues,
    timestamp: Timestamp,
    /// Every sensor of the room is offline.
    stale: bool,
    sensors: Vec<String>,
}

/// Whether JSON has every member that a shape requires, and no other that the shape does not know.
#[cfg(test)]
pub(super) fn describes<T: ToSchema>(written: &serde_json::Value) {
    use std::collections::BTreeSet;
    let mut parts = vec![serde_json::to_value(T::schema()).unwrap()];
    let (mut known, mut required) = (BTreeSet::new(), BTreeSet::new());
    while let Some(part) = parts.pop() {
        if let Some(of) = part["allOf"].as_array() {
            parts.extend(of.iter().cloned());
            continue;
        }
        let properties = part["properties"].as_object().unwrap();
        known.extend(properties.keys().cloned());
        let names = part["required"].as_array().into_iter().flatten();
        required.extend(names.map(|name| name.as_str().unwrap().to_owned()));
    }
    let written: BTreeSet<_> = written.as_object().unwrap().keys().cloned().collect();
    let unknown: Vec<_> = written.difference(&known).collect();
    let missing: Vec<_> = required.difference(&written).collect();
    assert!(
        unknown.is_empty() && missing.is_empty(),
        "unknown {unknown:?}, missing {missing:?}"
    );
    assert!(!required.is_empty());
}
