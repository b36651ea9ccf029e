//! [`Sites`] in JSON: `null` or left out for all, or a list of names. For `#[serde(with)]`.

use crate::domain::Sites;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeSet;

/// What becomes JSON.
pub(super) fn names(sites: &Sites) -> Option<Vec<&str>> {
    sites.names().map(Iterator::collect)
}

pub(super) fn serialize<S: Serializer>(sites: &Sites, serializer: S) -> Result<S::Ok, S::Error> {
    names(sites).serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Sites, D::Error> {
    Option::<BTreeSet<String>>::deserialize(deserializer).map(Sites::from)
}
