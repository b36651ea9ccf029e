//! Parameters of the calls of this folder.

use super::write::Format;
use crate::domain::Selector;
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

/// What is asked for by `enseigne`, `salle` and `sensor_id`.
pub(super) fn selector(parameters: &Parameters) -> Selector {
    let [site, room, sensor] = ["enseigne", "salle", "sensor_id"].map(|name| parameters.text(name));
    Selector::of_names(site, room, sensor)
}
