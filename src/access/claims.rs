//! What may become of claims: decided on the book.

use super::book::{Book, Change};
use super::claim::Claim;
use super::device_key::{DeviceKey, NewDeviceKey};
use super::device_keys::{self, TooManyKeys};
use super::pattern::SensorPattern;
use crate::domain::{SensorId, Sites, Timestamp};

/// Most claims at one time, so that nobody can fill memory with them.
pub(crate) const CLAIMS_MAX: usize = 200;

/// Why claims stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ClaimRefusal {
    #[error("too many sensors are awaited")]
    TooMany,
    #[error("there is no such claim")]
    Unknown,
    #[error("the code is not valid, or not any more")]
    BadCode,
    #[error("the code is for another sensor")]
    OtherSensor,
    #[error("there is a sensor of this id")]
    SensorTaken,
    #[error(transparent)]
    TooManyKeys(#[from] TooManyKeys),
}

/// A sensor that comes with a code.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Comer<'a> {
    pub code: &'a str,
    pub sensor: &'a SensorId,
    /// It has sent readings before.
    pub is_known: bool,
}

/// What a sensor has got for its code.
#[derive(Debug)]
pub(crate) struct Redeemed {
    /// The claim, used up.
    pub claim: Claim,
    pub key_id: String,
    /// What the device has to show, which is kept nowhere.
    pub key: String,
}

/// Adds a claim; those that are over go.
pub(crate) fn add(
    book: &Book,
    id: &str,
    claim: &Claim,
    now: Timestamp,
) -> Result<Change, ClaimRefusal> {
    let mut change = Change::default();
    let removed = remove_expired(book, &mut change, now);
    if book.claims.len() - removed >= CLAIMS_MAX {
        return Err(ClaimRefusal::TooMany);
    }
    change.put_claim(id.to_owned(), claim.clone());
    Ok(change)
}

/// Removes a claim of one of `sites`.
pub(crate) fn remove(book: &Book, id: &str, sites: &Sites) -> Result<Change, ClaimRefusal> {
    let claim = book.claims.get(id);
    if !claim.is_some_and(|claim| sites.allow(&claim.site)) {
        return Err(ClaimRefusal::Unknown);
    }
    let mut change = Change::default();
    change.remove_claim(id);
    Ok(change)
}

/// Uses a code up: the sensor gets a key of its own.
pub(crate) fn redeem(
    book: &Book,
    comer: Comer<'_>,
    now: Timestamp,
) -> Result<(Change, Redeemed), ClaimRefusal> {
    let Comer { code, sensor, .. } = comer;
    let mut waiting = book.claims.iter();
    let (id, claim) = waiting
        .find(|(_, claim)| claim.waits_for(code, now))
        .ok_or(ClaimRefusal::BadCode)?;
    require_free(book, claim, comer)?;
    let (key_id, device_key, key) = DeviceKey::create(NewDeviceKey {
        label: claim.label.clone().unwrap_or_default(),
        sensors: vec![SensorPattern::exactly(sensor)],
        sites: claim.sites.clone(),
        place: Some((claim.site.clone(), claim.room.clone())),
        created_by: claim.created_by.clone(),
        created_ms: now.millis(),
    });
    let claim = claim.used(sensor, key_id.clone());
    let mut change = Change::default();
    change.put_claim(id.clone(), claim.clone());
    device_keys::add(book, &mut change, &key_id, &device_key)?;
    let redeemed = Redeemed { claim, key_id, key };
    Ok((change, redeemed))
}

/// Removes claims that are over; says how many.
pub(crate) fn remove_expired(book: &Book, change: &mut Change, now: Timestamp) -> usize {
    let claims = book.claims.iter();
    let over = claims.filter(|(_, claim)| claim.has_expired(now));
    over.map(|(id, _)| change.remove_claim(id)).count()
}

/// A code that names no sensor is worth a new one only: nobody takes over another's readings with it.
fn require_free(book: &Book, claim: &Claim, comer: Comer<'_>) -> Result<(), ClaimRefusal> {
    let id = comer.sensor.as_str();
    match &claim.sensor {
        Some(named) if named == id => Ok(()),
        Some(_) => Err(ClaimRefusal::OtherSensor),
        None => {
            let has_key = book.keys.values().any(|entry| {
                let mut patterns = entry.key.sensors.iter();
                patterns.any(|pattern| pattern.is_exact() && pattern.matches(id))
            });
            if comer.is_known || has_key {
                return Err(ClaimRefusal::SensorTaken);
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::claim::{CLAIM_LIFETIME, NewClaim};
    use crate::documents::Book as _;
    use pretty_assertions::assert_eq;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn claim(sensor: Option<&str>, now: Timestamp) -> (String, Claim, String) {
        let new = NewClaim {
            label: None,
            site: "Maison".to_owned(),
            room: "Bureau".to_owned(),
            sensor: sensor.map(str::to_owned),
            sites: Sites::ALL,
            created_by: "ada".to_owned(),
        };
        Claim::create(new, now)
    }

    /// A book with a claim, and its code.
    fn awaiting(sensor: Option<&str>) -> (Book, String) {
        let (id, claim, code) = claim(sensor, NOW);
        let mut book = Book::default();
        let change = add(&book, &id, &claim, NOW).unwrap();
        book.apply(change);
        (book, code)
    }

    fn try_code(
        book: &Book,
        code: &str,
        sensor: &str,
        is_known: bool,
    ) -> Result<(Change, Redeemed), ClaimRefusal> {
        let sensor = SensorId::parse(sensor).unwrap();
        let comer = Comer {
            code,
            sensor: &sensor,
            is_known,
        };
        redeem(book, comer, NOW)
    }

    #[test]
    fn there_are_only_so_many_claims_and_those_that_are_over_go_first() {
        let mut book = Book::default();
        for _ in 0..CLAIMS_MAX {
            let (id, claim, _) = claim(None, NOW);
            let change = add(&book, &id, &claim, NOW).unwrap();
            book.apply(change);
        }
        let (id, one_more, _) = claim(None, NOW);
        let refused = add(&book, &id, &one_more, NOW).unwrap_err();
        assert_eq!(refused, ClaimRefusal::TooMany);
        let later = NOW.plus(CLAIM_LIFETIME);
        let change = add(&book, &id, &one_more, later).unwrap();
        book.apply(change);
        assert_eq!(book.claims.keys().collect::<Vec<_>>(), [&id]);
    }

    #[test]
    fn a_claim_is_removed_by_whom_its_site_belongs_to() {
        let (book, _) = awaiting(None);
        let id = book.claims.keys().next().unwrap();
        let elsewhere = Sites::only(["Bureau".to_owned()]).unwrap();
        let refused = remove(&book, id, &elsewhere).unwrap_err();
        assert_eq!(refused, ClaimRefusal::Unknown);
        assert_eq!(
            remove(&book, "none", &Sites::ALL).unwrap_err(),
            ClaimRefusal::Unknown
        );
        assert!(remove(&book, id, &Sites::ALL).is_ok());
    }

    #[test]
    fn a_code_is_worth_one_key() {
        let (mut book, code) = awaiting(None);
        assert_eq!(
            try_code(&book, "K7QM-3F9P", "new", false).unwrap_err(),
            ClaimRefusal::BadCode
        );
        let (change, redeemed) = try_code(&book, &code, "new", false).unwrap();
        book.apply(change);
        let place = Some(("Maison".to_owned(), "Bureau".to_owned()));
        assert_eq!(book.keys[&redeemed.key_id].key.place, place);
        assert_eq!(redeemed.claim.sensor.as_deref(), Some("new"));
        assert_eq!(
            try_code(&book, &code, "newer", false).unwrap_err(),
            ClaimRefusal::BadCode
        );
    }

    #[test]
    fn a_code_without_a_sensor_is_for_a_new_one_and_one_with_it_for_that_alone() {
        let (mut book, code) = awaiting(None);
        assert_eq!(
            try_code(&book, &code, "old", true).unwrap_err(),
            ClaimRefusal::SensorTaken
        );
        let (change, _) = try_code(&book, &code, "mine", false).unwrap();
        book.apply(change);
        let (id, second, code) = claim(None, NOW);
        let change = add(&book, &id, &second, NOW).unwrap();
        book.apply(change);
        // It has sent nothing yet, but there is a key for it.
        assert_eq!(
            try_code(&book, &code, "mine", false).unwrap_err(),
            ClaimRefusal::SensorTaken
        );

        let (book, code) = awaiting(Some("old"));
        assert_eq!(
            try_code(&book, &code, "new", false).unwrap_err(),
            ClaimRefusal::OtherSensor
        );
        assert!(try_code(&book, &code, "old", true).is_ok());
    }
}
