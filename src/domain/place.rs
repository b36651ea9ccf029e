//! Where a sensor stands: a room of a site.

use std::sync::Arc;

/// Name of a site (`enseigne`) or a room (`salle`): 1 to 128 characters of any script, none of them
/// a control character. It is what people typed, so pages must treat it as hostile text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlaceName(Arc<str>);

/// Why a text is not a [`PlaceName`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlaceNameError {
    #[error("must have 1 to 128 characters")]
    Length,
    #[error("must not contain control characters")]
    ControlCharacter,
}

impl PlaceName {
    /// Longest name, in characters.
    pub const CHARACTERS_MAX: usize = 128;

    pub fn parse(text: &str) -> Result<Self, PlaceNameError> {
        if text.is_empty() || text.chars().count() > Self::CHARACTERS_MAX {
            return Err(PlaceNameError::Length);
        }
        if text.chars().any(char::is_control) {
            return Err(PlaceNameError::ControlCharacter);
        }
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A room of a site.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    pub site: PlaceName,
    pub room: PlaceName,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_script_up_to_the_limit_are_accepted() {
        for text in [
            "Bureau",
            "Salle de réunion 2ᵉ",
            "会议室",
            "<b>x</b>",
            &"é".repeat(128),
        ] {
            assert_eq!(PlaceName::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn empty_long_and_control_texts_are_refused() {
        assert_eq!(PlaceName::parse(""), Err(PlaceNameError::Length));
        assert_eq!(
            PlaceName::parse(&"é".repeat(129)),
            Err(PlaceNameError::Length)
        );
        for text in ["a\nb", "\u{0}", "a\u{7f}", "\u{85}"] {
            assert_eq!(
                PlaceName::parse(text),
                Err(PlaceNameError::ControlCharacter)
            );
        }
    }
}
