//! Keys with which devices write their readings.

use super::pattern::SensorPattern;
use super::secret::{SECRET_LENGTH, fingerprint, has_fingerprint, random_id, random_secret};
use crate::database::{Document, StoreError};
use crate::documents::Record;
use crate::domain::{PlaceName, Sites};
use crate::store::Covers;
use serde::{Deserialize, Serialize};

const PREFIX: &str = "iaqk_";
/// Characters of a key's id.
const ID_LENGTH: usize = 12;

/// What a device that has this key may write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceKey {
    pub label: String,
    /// Sensors it writes for.
    pub sensors: Vec<SensorPattern>,
    /// Sites its sensors may stand in.
    #[serde(default, with = "super::sites_json")]
    pub sites: Sites,
    /// Site and room of every reading, whatever the device says.
    pub place: Option<(String, String)>,
    /// Fingerprint of its secret.
    secret: String,
    pub created_by: String,
    pub created_ms: i64,
}

impl Record for DeviceKey {
    const KIND: &'static str = "device_key";
    const SUBJECT: &'static str = "keys of devices";

    fn of(document: &Document) -> Result<Self, StoreError> {
        let mut key: Self = document.record()?;
        if let Some((site, room)) = &mut key.place {
            for name in [site, room] {
                PlaceName::nearest(name).as_str().clone_into(name);
            }
        }
        Ok(key)
    }
}

/// What a new key is for.
#[derive(Debug, Clone)]
pub struct NewDeviceKey {
    pub label: String,
    pub sensors: Vec<SensorPattern>,
    pub sites: Sites,
    pub place: Option<(String, String)>,
    pub created_by: String,
    pub created_ms: i64,
}

/// Most patterns of one key.
const PATTERNS_MAX: usize = 32;

/// What is wrong with the number of sensors of a key.
pub(crate) fn sensors_fault(count: usize) -> Option<String> {
    let is_right = (1..=PATTERNS_MAX).contains(&count);
    (!is_right).then(|| format!("must name 1 to {PATTERNS_MAX} sensors"))
}

/// What is wrong with a label; none is as good as any.
pub(crate) fn label_fault(label: &str) -> Option<String> {
    let parsed = PlaceName::parse(label);
    let fault = parsed.err().map(|error| error.to_string());
    fault.filter(|_| !label.is_empty())
}

/// What is wrong with a place and sites that are given together.
pub(crate) fn place_fault(site: &str, sites: &Sites) -> Option<&'static str> {
    // Nothing could ever be written with such a key.
    (!sites.allow(site)).then_some("must be one of the key's sites")
}

/// A key as a device presents it.
#[derive(Clone, Copy)]
pub struct PresentedKey<'a> {
    pub id: &'a str,
    secret: &'a str,
}

impl<'a> PresentedKey<'a> {
    /// Whether a credential means to be a key.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    pub fn parse(text: &'a str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        (id.len() == ID_LENGTH && secret.len() == SECRET_LENGTH).then_some(Self { id, secret })
    }
}

impl DeviceKey {
    /// A new key: its id, what is kept of it, and the text its device gets.
    pub fn create(new: NewDeviceKey) -> (String, Self, String) {
        let (id, secret) = (random_id::<{ ID_LENGTH / 2 }>(), random_secret());
        let text = format!("{PREFIX}{id}_{secret}");
        let key = Self {
            label: new.label,
            sensors: new.sensors,
            sites: new.sites,
            place: new.place,
            secret: fingerprint(&secret),
            created_by: new.created_by,
            created_ms: new.created_ms,
        };
        (id, key, text)
    }

    pub fn is(&self, presented: PresentedKey<'_>) -> bool {
        has_fingerprint(presented.secret, &self.secret)
    }

    pub fn writes_for(&self, sensor: &str) -> bool {
        self.sensors.iter().any(|pattern| pattern.matches(sensor))
    }
}

impl Covers for DeviceKey {
    fn covers(&self, sensor: &str) -> bool {
        self.writes_for(sensor)
    }
}

impl std::fmt::Debug for PresentedKey<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("PresentedKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> (String, DeviceKey, String) {
        DeviceKey::create(NewDeviceKey {
            label: String::new(),
            sensors: vec![SensorPattern::parse("bureau*").unwrap()],
            sites: Sites::ALL,
            place: None,
            created_by: "ada".to_owned(),
            created_ms: 0,
        })
    }

    #[test]
    fn a_key_is_known_by_its_text_which_is_not_kept() {
        let (id, key, text) = key();
        let presented = PresentedKey::parse(&text).unwrap();
        assert_eq!(presented.id, id);
        assert!(key.is(presented));
        let (_, other, _) = self::key();
        assert!(!other.is(presented));
        let kept = serde_json::to_string(&key).unwrap();
        assert!(
            !kept.contains(presented.secret)
                && !format!("{presented:?}").contains(presented.secret)
        );
        assert!(key.writes_for("bureau7") && !key.writes_for("salon"));
    }

    #[test]
    fn a_key_from_before_names_had_one_form_writes_where_it_always_did() {
        let (id, mut key, _) = key();
        key.place = Some(("E\u{301}cole".to_owned(), "Sal\u{202e}on ".to_owned()));
        let read = DeviceKey::of(&Document::of(DeviceKey::KIND, &id, &key)).unwrap();
        assert_eq!(read.place, Some(("École".to_owned(), "Salon".to_owned())));
    }

    #[test]
    fn other_texts_are_no_keys() {
        let (.., text) = key();
        for wrong in ["", "iaqk_", "iaqk_a_b", text.split_at(20).0, "bearer"] {
            assert!(PresentedKey::parse(wrong).is_none(), "{wrong}");
        }
    }
}
