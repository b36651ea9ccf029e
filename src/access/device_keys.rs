//! What may become of the keys of devices: the same for a call, a command and a sensor that redeems its
//! code.

use super::book::{Book, Change};
use super::device_key::DeviceKey;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::device_key::NewDeviceKey;
    use crate::access::pattern::SensorPattern;
    use crate::documents::Book as _;
    use crate::domain::Sites;

    #[test]
    fn there_are_only_so_many_keys() {
        let (_, key, _) = DeviceKey::create(NewDeviceKey {
            label: String::new(),
            sensors: vec![SensorPattern::parse("bureau*").unwrap()],
            sites: Sites::ALL,
            place: None,
            created_by: "ada".to_owned(),
            created_ms: 1,
        });
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
