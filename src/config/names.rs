//! Settings whose values have names, so that the types they become need to know no command line.

use crate::access::Role;
use crate::domain::Zone;
use crate::score::Profile;
use crate::validate::TvocUnit;
use clap::builder::{PossibleValuesParser, TypedValueParser};

pub(crate) fn profile() -> impl TypedValueParser<Value = Profile> {
    named(&[
        ("iaqverse", Profile::Iaqverse),
        ("classic", Profile::Classic),
    ])
}

pub(crate) fn tvoc_unit() -> impl TypedValueParser<Value = TvocUnit> {
    named(&[
        ("ppb", TvocUnit::Ppb),
        ("ug/m3", TvocUnit::MicrogramsPerCubicMeter),
        ("mg/m3", TvocUnit::MilligramsPerCubicMeter),
    ])
}

pub(crate) fn role() -> impl TypedValueParser<Value = Role> {
    named(&[
        ("viewer", Role::Viewer),
        ("operator", Role::Operator),
        ("admin", Role::Admin),
    ])
}

pub(crate) fn zone(name: &str) -> Result<Zone, &'static str> {
    Zone::named(name).ok_or("must be a name of the IANA database, for example Europe/Paris")
}

fn named<T: Copy + Send + Sync + 'static>(
    values: &'static [(&'static str, T)],
) -> impl TypedValueParser<Value = T> {
    let names = values.iter().map(|(name, _)| *name);
    PossibleValuesParser::new(names).try_map(move |text| {
        let mut values = values.iter();
        let value = values.find(|(name, _)| *name == text);
        value
            .map(|(_, value)| *value)
            .ok_or("is none of the possible values")
    })
}
