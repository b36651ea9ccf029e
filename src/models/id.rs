//! The id of a model: a hash of its file and its room.

use crate::domain::Place;
use sha2::{Digest, Sha256};
use std::fmt;

/// Names what is in a file and the room it belongs to: the first half of a SHA-256 over both. So the
/// content of an id never changes, and the same file is another model in another room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelId([u8; Self::BYTES]);

impl ModelId {
    const BYTES: usize = 16;

    /// Exactly as it is shown: 32 hexadecimal digits in lower case.
    pub fn parse(text: &str) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != Self::BYTES || !rest.is_empty() {
            return None;
        }
        let mut id = [0; Self::BYTES];
        for (byte, [high, low]) in id.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self(id))
    }

    /// The id of a file whose bytes have been hashed, in a room.
    pub fn of(content: Sha256, place: &Place) -> Self {
        // No name has a control character, so different rooms never hash the same bytes.
        let hash = content
            .chain_update([0])
            .chain_update(place.site.as_str())
            .chain_update([0])
            .chain_update(place.room.as_str())
            .finalize();
        let mut id = [0; Self::BYTES];
        for (byte, hashed) in id.iter_mut().zip(hash) {
            *byte = hashed;
        }
        Self(id)
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(&crate::access::hex(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::PlaceName;
    use pretty_assertions::assert_eq;
    use rstest::rstest;

    fn place(site: &str, room: &str) -> Place {
        Place {
            site: PlaceName::parse(site).unwrap(),
            room: PlaceName::parse(room).unwrap(),
        }
    }

    fn id(content: &str, site: &str, room: &str) -> ModelId {
        ModelId::of(Sha256::new_with_prefix(content), &place(site, room))
    }

    #[test]
    fn an_id_is_read_as_it_is_shown() {
        let id = id("content", "Maison", "Bureau");
        assert_eq!(ModelId::parse(&id.to_string()), Some(id));
        assert_eq!(id.to_string().len(), 32);
    }

    #[test]
    fn another_content_site_or_room_is_another_id() {
        let ids = [
            id("content", "Maison", "Bureau"),
            id("contenu", "Maison", "Bureau"),
            id("content", "École", "Bureau"),
            id("content", "Maison", "Salon"),
            id("content", "MaisonB", "ureau"),
        ];
        for (index, one) in ids.iter().enumerate() {
            assert!(!ids.iter().skip(index + 1).any(|other| other == one));
        }
    }

    #[rstest]
    #[case::empty("")]
    #[case::short("0123456789abcdef0123456789abcde")]
    #[case::long("0123456789abcdef0123456789abcdef0")]
    #[case::upper_case("0123456789ABCDEF0123456789ABCDEF")]
    #[case::path("../../../../../../../../../../etc")]
    #[case::nul("0123456789abcdef0123456789abcde\0")]
    #[case::with_ending("0123456789abcdef0123456789ab.glb")]
    #[case::not_ascii("0123456789abcdef0123456789abcdé")]
    fn nothing_else_is_an_id(#[case] text: &str) {
        assert_eq!(ModelId::parse(text), None);
    }
}
