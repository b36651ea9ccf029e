//! Parameters of the calls of this folder.

use super::write::{Dialect, Format};
use crate::domain::{Selector, Zone};
use crate::http::Parameters;
use crate::score::Profile;

pub(super) fn profile(parameters: &mut Parameters, default: Profile) -> Profile {
    let Some(name) = parameters.text("profile").map(str::to_owned) else {
        return default;
    };
    let profile = Profile::from_name(&name);
    let detail = "must be iaqverse or classic";
    parameters
        .keep("profile", profile, "unknown_profile", detail)
        .unwrap_or(default)
}

pub(super) fn format(parameters: &mut Parameters) -> Option<Format> {
    let format = Format::from_name(parameters.text("format")?);
    let detail = "must be json, csv or ndjson";
    parameters.keep("format", format, "unknown_format", detail)
}

/// What is asked for by `enseigne` and `salle`.
pub(super) fn place_selector(parameters: &Parameters) -> Selector {
    let [site, room] = ["enseigne", "salle"].map(|name| parameters.text(name));
    Selector::of_names(site, room, None)
}

/// What is asked for by `enseigne`, `salle` and `sensor_id`.
pub(super) fn selector(parameters: &Parameters) -> Selector {
    let [site, room, sensor] = ["enseigne", "salle", "sensor_id"].map(|name| parameters.text(name));
    Selector::of_names(site, room, sensor)
}

/// The zone whose days are meant.
pub(super) fn zone(parameters: &mut Parameters, default: &Zone) -> Zone {
    // A plus sign that was not escaped arrives as a space.
    let Some(name) = parameters.text("tz").map(|name| name.replace(' ', "+")) else {
        return default.clone();
    };
    let detail = "must be a name of the IANA database, for example Europe/Paris";
    let zone = parameters.keep("tz", Zone::named(&name), "unknown_zone", detail);
    zone.unwrap_or_else(|| default.clone())
}

/// The dialect of CSV.
pub(super) fn dialect(parameters: &mut Parameters) -> Dialect {
    let mark = parameters.flag("bom");
    let (delimiter, decimal) = (parameters.text("delimiter"), parameters.text("decimal"));
    Dialect::new(delimiter, decimal, mark).unwrap_or_else(|error| {
        parameters.fault(error.parameter(), error.code(), error.to_string());
        Dialect::default()
    })
}
