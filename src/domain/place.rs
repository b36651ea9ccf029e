//! Where a sensor stands: a room of a site.

use super::name_form;
use std::sync::Arc;

/// Name of a site (`enseigne`) or a room (`salle`): 1 to 128 characters of any script, in the one form
/// that names are compared in. None is a control character or one of direction, and at least one can
/// be seen. It is what people typed, so pages must treat it as hostile text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlaceName(Arc<str>);

/// Why a text is not a [`PlaceName`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlaceNameError {
    #[error("must have 1 to 128 characters")]
    Length,
    #[error("must not contain control characters")]
    ControlCharacter,
    #[error("must not contain controls of direction")]
    Direction,
    #[error("must have a character that can be seen")]
    Invisible,
}

/// Longest text that is looked at. A name of the longest length is shorter, however it is composed; the
/// form of a longer text would take memory.
const BYTES_MAX: usize = 4096;

impl PlaceName {
    /// Longest name, in characters.
    pub const CHARACTERS_MAX: usize = 128;

    /// The name that a text means, in the form names are compared in.
    pub fn parse(text: &str) -> Result<Self, PlaceNameError> {
        if text.is_empty() || text.len() > BYTES_MAX {
            return Err(PlaceNameError::Length);
        }
        let form = name_form::of(text);
        if form.chars().any(char::is_control) {
            return Err(PlaceNameError::ControlCharacter);
        }
        if form.chars().any(name_form::is_of_direction) {
            return Err(PlaceNameError::Direction);
        }
        if !form.chars().any(name_form::is_visible) {
            return Err(PlaceNameError::Invisible);
        }
        if form.chars().count() > Self::CHARACTERS_MAX {
            return Err(PlaceNameError::Length);
        }
        Ok(Self(form.into()))
    }

    /// The name of a text that was taken before names had one form, or that somebody looks for. What a
    /// name must not have is left out, and one that cannot be seen is spelt out by the numbers of its
    /// characters. So there always is one, and whoever looks for an old name as it was finds it.
    pub fn nearest(text: &str) -> Self {
        Self::parse(text).unwrap_or_else(|_fault| {
            let kept = |character: &char| {
                !(character.is_control() || name_form::is_of_direction(*character))
            };
            let form: String = text.chars().take(BYTES_MAX).filter(kept).collect();
            let form = name_form::of(&form);
            if form.chars().any(name_form::is_visible) {
                return Self(form.into());
            }
            let characters = text.chars().take(SPELT_CHARACTERS_MAX);
            let numbers: Vec<_> = characters
                .map(|character| format!("U+{:04X}", u32::from(character)))
                .collect();
            Self(numbers.join(" ").into())
        })
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Characters that are spelt out of a name that cannot be seen: what that makes is a name again.
const SPELT_CHARACTERS_MAX: usize = 16;

/// A room of a site.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    pub site: PlaceName,
    pub room: PlaceName,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
    fn one_room_has_one_name_however_it_is_written() {
        let forms = [
            "Réunion",
            "Re\u{301}union",
            " Réunion ",
            "Réu\u{200b}nion\n",
        ];
        for text in forms {
            assert_eq!(PlaceName::parse(text).unwrap().as_str(), "Réunion");
        }
        // It is counted in the form it is kept in.
        let apart = "e\u{301}".repeat(128);
        assert_eq!(PlaceName::parse(&apart).unwrap().as_str(), "é".repeat(128));
    }

    #[test]
    fn texts_that_are_no_name_are_refused_for_what_they_are() {
        use PlaceNameError::{ControlCharacter, Direction, Invisible, Length};
        let (long, longer) = ("é".repeat(129), "\u{301}".repeat(1 << 20));
        for (text, error) in [
            ("", Length),
            (&*long, Length),
            (&*longer, Length),
            ("a\nb", ControlCharacter),
            ("\u{0}", ControlCharacter),
            ("a\u{7f}", ControlCharacter),
            ("a\u{85}b\u{1}", ControlCharacter),
            ("Sal\u{202e}on", Direction),
            ("\u{2067}Salon", Direction),
            ("Salon\u{200f}", Direction),
            ("   ", Invisible),
            ("\u{200b}", Invisible),
            ("\u{301}\u{302}", Invisible),
            ("\u{2800} \u{3164}", Invisible),
        ] {
            assert_eq!(PlaceName::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn a_name_of_old_that_is_none_now_has_one_that_can_be_seen() {
        for (old, now) in [
            ("Salon", "Salon"),
            ("Sal\u{202e}on ", "Salon"),
            ("\u{200b}", "U+200B"),
            ("   ", "U+0020 U+0020 U+0020"),
            ("\u{301}", "U+0301"),
        ] {
            assert_eq!(PlaceName::nearest(old).as_str(), now);
        }
    }

    proptest! {
        #[test]
        fn the_nearest_name_is_its_own(text in "\\PC{0,40}|[\u{200b}\u{301} \u{202e}a]{1,40}") {
            let name = PlaceName::nearest(&text);
            prop_assert_eq!(PlaceName::nearest(name.as_str()), name.clone());
            if !text.is_empty() && name.as_str().chars().count() <= PlaceName::CHARACTERS_MAX {
                prop_assert_eq!(PlaceName::parse(name.as_str()), Ok(name));
            }
        }
    }
}
