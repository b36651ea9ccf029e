//! The calls that change sensors and rooms: renamed, moved, merged, removed.
//!
//! What a change comes to is decided by the store ([`crate::store::RegistryChange`]); here it is read from
//! a request and answered.

mod problem;
mod rooms;
mod sensors;

use crate::access::Call;

pub(crate) fn calls() -> Vec<Call> {
    [sensors::calls(), rooms::calls()]
        .into_iter()
        .flatten()
        .collect()
}

/// What becomes of the readings of something that is removed, by the parameter `readings`.
fn kept(parameters: &mut crate::http::Parameters) -> crate::store::Kept {
    use crate::store::Kept;
    let kept = match parameters.text("readings") {
        None | Some("keep") => Some(Kept::Keep),
        Some("remove") => Some(Kept::Remove),
        Some(_) => None,
    };
    parameters
        .keep("readings", kept, "bad_choice", "must be keep or remove")
        .unwrap_or_default()
}
