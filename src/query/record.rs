//! Readings and scores as the API shows them.

use crate::domain::{Extras, Level, Place, Quantity, SensorId, Timestamp, Values};
use crate::score::{Assessment, Profile, standard};
use crate::store::Stored;
use crate::wire::{Number, Shown, flat_values, state_times};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use utoipa::ToSchema;

/// One reading in flat keys.
pub(super) struct Record<'a> {
    pub(super) timestamp: Timestamp,
    pub(super) sensor: &'a SensorId,
    pub(super) place: &'a Place,
    pub(super) values: &'a Values,
    pub(super) extras: &'a Extras,
    pub(super) assessment: Assessment,
}

impl Record<'_> {
    fn serialize_into<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("timestamp", &Shown(&self.timestamp))?;
        map.serialize_entry("sensor_id", self.sensor.as_str())?;
        map.serialize_entry("enseigne", self.place.site.as_str())?;
        map.serialize_entry("salle", self.place.room.as_str())?;
        flat_values(map, self.values)?;
        if !self.extras.is_empty() {
            map.serialize_entry("extra", &ExtraValues(self.extras))?;
        }
        verdict(map, &self.assessment)
    }
}

impl Serialize for Record<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.serialize_into(&mut map)?;
        map.end()
    }
}

struct ExtraValues<'a>(&'a Extras);

impl Serialize for ExtraValues<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, number)| (key, Number(number))))
    }
}

/// The state of a sensor, with why it scores as it does.
pub(super) struct LatestRecord<'a> {
    pub(super) latest: &'a Stored,
    pub(super) profile: Profile,
}

impl Serialize for LatestRecord<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let reading = &self.latest.scored.reading;
        let state = self.latest.state.as_deref();
        let (values, assessment, tvoc_unit_assumed) = if let Some(state) = state {
            (&state.values, state.assessment, state.tvoc_unit_assumed)
        } else {
            let assessment = self.latest.scored.assessment;
            (&reading.values, assessment, reading.tvoc_unit_assumed)
        };
        let record = Record {
            timestamp: reading.observed_at,
            sensor: &reading.sensor,
            place: &self.latest.place,
            values,
            extras: &reading.extras,
            assessment: if assessment.profile == self.profile {
                assessment
            } else {
                self.profile.assess(values)
            },
        };
        let mut map = serializer.serialize_map(None)?;
        record.serialize_into(&mut map)?;
        explanation(&mut map, &record.assessment, values, Averaging::Reading)?;
        if let Some(state) = state {
            state_times(&mut map, state)?;
        }
        if tvoc_unit_assumed {
            map.serialize_entry("tvoc_unit_assumed", &true)?;
        }
        map.end()
    }
}

/// Over what time the values of a score were averaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Averaging {
    /// Not at all: one reading.
    Reading,
    /// Each over the window of its standard.
    Windows,
}

/// Writes the score in the two keys every record has.
pub(super) fn verdict<M: SerializeMap>(
    map: &mut M,
    assessment: &Assessment,
) -> Result<(), M::Error> {
    map.serialize_entry("global_score", &assessment.shown())?;
    map.serialize_entry("global_level", &assessment.level().map(Level::as_str))
}

/// Writes why a score is what it is.
pub(super) fn explanation<M: SerializeMap>(
    map: &mut M,
    assessment: &Assessment,
    values: &Values,
    averaging: Averaging,
) -> Result<(), M::Error> {
    let missing: Vec<_> = assessment.missing().map(Quantity::flat_key).collect();
    map.serialize_entry("profile", assessment.profile.as_str())?;
    map.serialize_entry("dominant", &assessment.dominant.map(Quantity::flat_key))?;
    map.serialize_entry(
        "sub_scores",
        &SubScores {
            assessment,
            values,
            averaging,
        },
    )?;
    map.serialize_entry("missing", &missing)?;
    map.serialize_entry("coverage", &Number(rounded(assessment.coverage(), 100.0)))?;
    map.serialize_entry("confidence", assessment.confidence().as_str())
}

struct SubScores<'a> {
    assessment: &'a Assessment,
    values: &'a Values,
    averaging: Averaging,
}

impl Serialize for SubScores<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (quantity, score) in self.assessment.sub_scores.iter() {
            let stored = self.values.get(quantity).unwrap_or_default();
            map.serialize_entry(
                quantity.flat_key(),
                &SubScore::new(
                    self.assessment.profile,
                    quantity,
                    score,
                    stored,
                    self.averaging,
                ),
            )?;
        }
        map.end()
    }
}

#[derive(Serialize, ToSchema)]
pub(super) struct SubScore {
    #[schema(value_type = f64, minimum = 0, maximum = 100)]
    score: Number,
    #[schema(value_type = f64)]
    value: Number,
    unit: &'static str,
    averaging: String,
    source: &'static str,
}

impl SubScore {
    fn new(
        profile: Profile,
        quantity: Quantity,
        score: f64,
        stored: f64,
        averaging: Averaging,
    ) -> Self {
        let standard = standard(quantity);
        let averaging = match (averaging, standard) {
            (Averaging::Windows, Some(standard)) => format!("{} min", standard.averaging_minutes),
            _ => "reading".to_owned(),
        };
        // The classic profile judges the stored unit, the other one the unit of its limits.
        let (value, unit, source) = match (profile, standard) {
            (Profile::Iaqverse, Some(standard)) => {
                (standard.convert(stored), standard.unit, standard.source)
            }
            _ => (
                stored,
                quantity.unit(),
                "stepwise limits of earlier deployments",
            ),
        };
        Self {
            score: Number(rounded(score, 10.0)),
            value: Number(rounded(value, 100.0)),
            unit,
            averaging,
            source,
        }
    }
}

/// `number` to one part in `steps`.
pub(super) fn rounded(number: f64, steps: f64) -> f64 {
    (number * steps).round() / steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{PlaceName, Reading, StreamId};
    use crate::query::shapes::{self, describes};
    use crate::store::{ScoredReading, ShownState};
    use smallvec::SmallVec;
    use std::sync::Arc;

    fn latest(numbers: &[(Quantity, f64)], battery: Option<f64>, state: bool) -> Stored {
        let mut values = Values::default();
        for (quantity, number) in numbers {
            assert!(values.set(*quantity, *number));
        }
        let mut extras = Extras::default();
        if let Some(battery) = battery {
            extras.insert("battery", battery).unwrap();
        }
        let observed_at = Timestamp::from_millis(0);
        let state = state.then(|| ShownState {
            values,
            measured_at: SmallVec::from_slice(&[(Quantity::Co2, observed_at)]),
            stale_values: SmallVec::from_slice(&[Quantity::Tvoc]),
            is_stale: true,
            tvoc_unit_assumed: true,
            assessment: Profile::Iaqverse.assess(&values),
        });
        Stored {
            id: StreamId::default(),
            place: Arc::new(Place {
                site: PlaceName::parse("Home").unwrap(),
                room: PlaceName::parse("Office").unwrap(),
            }),
            scored: Arc::new(ScoredReading {
                assessment: Profile::Iaqverse.assess(&values),
                reading: Reading {
                    sensor: SensorId::parse("bureau1").unwrap(),
                    site: None,
                    room: None,
                    observed_at,
                    values,
                    extras,
                    tvoc_unit_assumed: battery.is_some(),
                },
            }),
            late: false,
            state: state.map(Arc::new),
        }
    }

    #[test]
    fn records_are_written_as_they_are_described() {
        let all = [(Quantity::Co2, 645.0), (Quantity::Pm25, 12.0)];
        for latest in [
            latest(&[], None, false),
            latest(&all, Some(3.5), false),
            latest(&all, Some(3.5), true),
        ] {
            for profile in [Profile::Iaqverse, Profile::Classic] {
                let latest = &latest;
                let record = serde_json::to_value(LatestRecord { latest, profile }).unwrap();
                describes::<shapes::Latest>(&record);
                let reading = &latest.scored.reading;
                let record = Record {
                    timestamp: reading.observed_at,
                    sensor: &reading.sensor,
                    place: &latest.place,
                    values: &reading.values,
                    extras: &reading.extras,
                    assessment: latest.scored.assessment,
                };
                describes::<shapes::Record>(&serde_json::to_value(record).unwrap());
            }
        }
    }
}
