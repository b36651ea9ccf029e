//! What may become of the keys of devices: the same for a call, a command and a sensor that redeems its
//! code.

use super::book::{Book, Change};
use super::device_key::DeviceKey;
use crate::domain::Sites;

/// Most keys there can be.
const KEYS_MAX: usize = 100_000;

/// There are as many keys as there can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are {KEYS_MAX} keys, and that is the most")]
pub(crate) struct TooManyKeys;

/// Adds a key to the book.
pub(crate) fn add(
    book: &Book,
    change: &mut Change,
    id: &str,
    key: &DeviceKey,
) -> Result<(), TooManyKeys> {
    if book.keys.len() >= KEYS_MAX {
        return Err(TooManyKeys);
    }
    change.put_key(id.to_owned(), key.clone());
    Ok(())
}

/// Removes a key that writes for nothing but `sites`; `None` when there is no such key.
pub(crate) fn remove(book: &Book, id: &str, sites: &Sites) -> Option<Change> {
    let entry = book.keys.get(id);
    entry.filter(|entry| entry.key.sites.are_within(sites))?;
    let mut change = Change::default();
    change.remove_key(id);
    Some(change)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::device_key::NewDeviceKey;
    use crate::access::pattern::SensorPattern;
    use crate::documents::Book as _;

    fn key(sites: Sites) -> DeviceKey {
        let (_, key, _) = DeviceKey::create(NewDeviceKey {
            label: String::new(),
            sensors: vec![SensorPattern::parse("bureau*").unwrap()],
            sites,
            place: None,
            created_by: "ada".to_owned(),
            created_ms: 1,
        });
        key
    }

    #[test]
    fn a_key_is_revoked_by_whom_all_of_its_sites_belong_to() {
        let only = |site: &str| Sites::only([site.to_owned()]).unwrap();
        let mut book = Book::default();
        for (id, sites) in [("everywhere", Sites::ALL), ("house", only("Maison"))] {
            let mut change = Change::default();
            add(&book, &mut change, id, &key(sites)).unwrap();
            book.apply(change);
        }
        assert!(remove(&book, "none", &Sites::ALL).is_none());
        assert!(remove(&book, "everywhere", &only("Maison")).is_none());
        assert!(remove(&book, "house", &only("Bureau")).is_none());
        for (id, sites) in [("everywhere", Sites::ALL), ("house", only("Maison"))] {
            let change = remove(&book, id, &sites).unwrap();
            book.apply(change);
        }
        assert!(book.keys.is_empty());
    }

    #[test]
    fn there_are_only_so_many_keys() {
        let key = key(Sites::ALL);
        let mut book = Book::default();
        let mut full = Change::default();
        for number in 0..KEYS_MAX {
            full.put_key(number.to_string(), key.clone());
        }
        book.apply(full);
        let mut change = Change::default();
        assert_eq!(add(&book, &mut change, "new", &key), Err(TooManyKeys));
        assert!(Book::documents(&change).is_empty());
        assert!(book.keys.remove("7").is_some());
        assert_eq!(add(&book, &mut change, "new", &key), Ok(()));
    }
}
