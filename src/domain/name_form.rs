//! The one form in which a name is kept and compared, so that names that look alike are the same name.
//!
//! NFC, trimmed, white space inside folded to one blank. Characters that cannot be seen and change
//! nothing of what is seen are left out. Joiners and variation selectors stay where scripts and emoji
//! need them: behind a character that they can change.

use std::borrow::Cow;
use unicode_normalization::char::is_combining_mark;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc, is_nfc_quick};

const ZERO_WIDTH_NON_JOINER: char = '\u{200c}';
const ZERO_WIDTH_JOINER: char = '\u{200d}';
/// The emoji that tags make flags of regions of.
const BLACK_FLAG: char = '\u{1f3f4}';
/// A pattern of Braille without a dot.
const BRAILLE_BLANK: char = '\u{2800}';

/// A text in that form. White space at its ends may be of any kind; what else it must not have is
/// looked for by whoever asks.
pub(super) fn of(text: &str) -> Cow<'_, str> {
    if is_plain(text) {
        return Cow::Borrowed(text);
    }
    let composed: String = text.nfc().collect();
    let kept = without_invisible(&composed);
    Cow::Owned(if is_nfc(&kept) {
        kept
    } else {
        // What stood between a letter and its mark is gone.
        kept.nfc().collect()
    })
}

/// Whether a text is certainly in that form already, as nearly all are.
fn is_plain(text: &str) -> bool {
    let is_plain = |character: char| match character {
        ' '..='~' => true,
        _ => !is_blank(character) && !is_ignorable(character),
    };
    !text.starts_with(' ')
        && !text.ends_with(' ')
        && !text.contains("  ")
        && text.chars().all(is_plain)
        && (text.is_ascii() || is_nfc_quick(text.chars()) == IsNormalized::Yes)
}

fn without_invisible(composed: &str) -> String {
    let mut kept = String::with_capacity(composed.len());
    let mut characters = trimmed(composed).chars().peekable();
    while let Some(character) = characters.next() {
        let before = kept.chars().next_back();
        // What is a control character besides stays, for whoever asks to see.
        if is_blank(character) && !character.is_control() {
            if before != Some(' ') {
                kept.push(' ');
            }
        } else if !is_ignorable(character)
            || changes_what_is_before(character, before)
            || joins(character, before, characters.peek().copied())
        {
            kept.push(character);
        }
    }
    // A blank may have stood between what is left out and the end.
    trimmed(&kept).to_owned()
}

fn trimmed(text: &str) -> &str {
    text.trim_matches(is_blank)
}

fn is_blank(character: char) -> bool {
    character.is_whitespace() || character == BRAILLE_BLANK
}

/// Whether it is one of the selectors and tags that choose another look of what they follow.
fn changes_what_is_before(character: char, before: Option<char>) -> bool {
    match character {
        // Of letters of ASCII there is one look only.
        '\u{fe00}'..='\u{fe0f}'
        | '\u{e0100}'..='\u{e01ef}'
        | '\u{180b}'..='\u{180d}'
        | '\u{180f}' => {
            before.is_some_and(|before| is_visible(before) && !before.is_ascii_alphabetic())
        }
        '\u{e0020}'..='\u{e007f}' => before.is_some_and(|before| {
            before == BLACK_FLAG || matches!(before, '\u{e0020}'..='\u{e007e}')
        }),
        _ => false,
    }
}

/// Whether it is a joiner between two characters that it can join or keep apart.
fn joins(character: char, before: Option<char>, behind: Option<char>) -> bool {
    let can_join = |beside: char| {
        !is_blank(beside)
            && !beside.is_control()
            && !is_joiner(beside)
            && (!is_ignorable(beside) || is_selector(beside))
    };
    is_joiner(character)
        && before.is_some_and(|before| can_join(before) && !before.is_ascii_alphanumeric())
        && behind.is_some_and(|behind| can_join(behind) && !is_selector(behind))
}

fn is_joiner(character: char) -> bool {
    matches!(character, ZERO_WIDTH_NON_JOINER | ZERO_WIDTH_JOINER)
}

fn is_selector(character: char) -> bool {
    matches!(character, '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

/// Whether it is a control of direction: with it a name is shown in another order than it is written in,
/// and so can what stands beside it.
pub(super) fn is_of_direction(character: char) -> bool {
    matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

/// Whether it can be seen by itself. Marks are seen on what is before them only.
pub(super) fn is_visible(character: char) -> bool {
    !(is_blank(character)
        || character.is_control()
        || is_ignorable(character)
        || is_of_direction(character)
        || is_combining_mark(character))
}

/// Unicode's `Default_Ignorable_Code_Point`: shown as nothing by software that does not know more of
/// them. Without the controls of direction, which are never left out without a word.
fn is_ignorable(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{34f}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200d}'
            | '\u{2060}'..='\u{2065}'
            | '\u{206a}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fff8}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;

    #[test]
    fn names_that_look_alike_are_the_same() {
        for (sent, form) in [
            ("Re\u{301}union", "R\u{e9}union"),
            (" R\u{e9}union\u{a0}", "R\u{e9}union"),
            (
                "\tSalle  de\u{3000}\u{2003}bain\u{2800}\r\n",
                "Salle de bain",
            ),
            ("a\nb", "a\nb"),
            ("Sal\u{200b}on\u{feff}", "Salon"),
            ("Sa\u{ad}lon\u{2060} 1", "Salon 1"),
            ("Salon\u{200d}", "Salon"),
            ("Sa\u{200d}lon\u{fe0f}", "Salon"),
            ("e\u{34f}\u{301}", "\u{e9}"),
            ("Salon \u{200b} \u{200d}", "Salon"),
            ("\u{212b}", "\u{c5}"),
        ] {
            assert_eq!(of(sent), form, "{sent:?}");
        }
    }

    #[test]
    fn what_scripts_and_emoji_need_stays() {
        for name in [
            "Salle de r\u{e9}union 2\u{1d49}",
            "\u{4f1a}\u{8bae}\u{5ba4}",
            // Persian keeps two parts of a word apart.
            "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}",
            // A half form of Devanagari.
            "\u{915}\u{94d}\u{200d}\u{937}",
            "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}",
            "\u{2764}\u{fe0f}\u{200d}\u{1f525}",
            "1\u{fe0f}\u{20e3}",
            "\u{1f3f4}\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
            "\u{845b}\u{e0100}",
        ] {
            assert_eq!(of(name), name, "{name:?}");
        }
    }

    #[test]
    fn only_what_is_seen_by_itself_is_visible() {
        for invisible in [
            ' ', '\u{a0}', '\u{200b}', '\u{200d}', '\u{301}', '\u{2800}', '\u{3164}', '\u{202e}',
            '\0',
        ] {
            assert!(!is_visible(invisible), "{invisible:?}");
        }
        for visible in ['a', '.', '\u{e9}', '\u{4f1a}', '\u{1f468}', '\u{627}'] {
            assert!(is_visible(visible), "{visible:?}");
        }
    }

    /// Texts full of what is special here.
    fn odd_text() -> impl Strategy<Value = String> {
        let odd: Vec<char> = " \u{a0}\u{3000}aeK\u{212a}\u{301}\u{e9}1\u{200b}\u{200c}\u{200d}\u{fe0f}\
            \u{34f}\u{e0067}\u{e007f}\u{1f3f4}\u{1f468}\u{1100}\u{1161}\u{627}\u{feff}\u{2800}\u{958}"
            .chars()
            .collect();
        let character = prop_oneof![3 => prop::sample::select(odd), 1 => any::<char>()];
        prop::collection::vec(character, 0..12)
            .prop_map(|characters| characters.into_iter().collect())
    }

    proptest! {
        #[test]
        fn the_form_of_a_form_is_itself(text in odd_text()) {
            let form = of(&text).into_owned();
            prop_assert_eq!(of(&form), &*form, "{:?}", text);
            prop_assert!(is_nfc(&form) && form.trim() == form && !form.contains("  "));
        }

        #[test]
        fn composed_or_not_it_is_the_same(text in odd_text()) {
            let (composed, apart): (String, String) = (text.nfc().collect(), text.nfd().collect());
            prop_assert_eq!(of(&composed), of(&text));
            prop_assert_eq!(of(&apart), of(&text));
        }
    }
}
