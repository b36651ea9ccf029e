//! Texts that people chose, as cells of CSV that a spreadsheet shows and never runs, and back.

use std::borrow::Cow;

/// What makes a spreadsheet take a text for a formula, or skip to one, when it comes first: in full width
/// too, which some of them take for the same. And the apostrophe that keeps it from it, so that one who
/// reads the file knows which were there before.
const GUARDED_BEGINS: [char; 12] = [
    '=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}', '\t', '\r', '\0', '\'',
];
const GUARD: char = '\'';

/// Whether a cell may begin behind this character, also where another one parts the cells: spreadsheets
/// go by the language of their owner, whatever the file was made for.
fn parts_cells(character: char) -> bool {
    matches!(character, ',' | ';' | '\t')
}

/// Whether a cell may begin behind this character: quotes around or within a cell are no part of it to a
/// program that parts cells elsewhere.
fn goes_on(at_begin: bool, character: char) -> bool {
    parts_cells(character) || (at_begin && character == '"')
}

/// The text with an apostrophe before each beginning of what might be a formula.
pub(crate) fn guarded(text: &str) -> Cow<'_, str> {
    let mut at_begin = true;
    let mut is_harmless = true;
    for character in text.chars() {
        is_harmless &= !(at_begin && GUARDED_BEGINS.contains(&character));
        at_begin = goes_on(at_begin, character);
    }
    if is_harmless {
        return text.into();
    }
    let mut guarded = String::with_capacity(text.len() + 4);
    let mut at_begin = true;
    for character in text.chars() {
        if at_begin && GUARDED_BEGINS.contains(&character) {
            guarded.push(GUARD);
        }
        guarded.push(character);
        at_begin = goes_on(at_begin, character);
    }
    guarded.into()
}

/// The text as it was before it was [`guarded`]. One that never was stays as it is, unless it looks as if.
pub(crate) fn unguarded(cell: &str) -> Cow<'_, str> {
    if !cell.contains(GUARD) {
        return cell.into();
    }
    let mut text = String::with_capacity(cell.len());
    let mut at_begin = true;
    let mut characters = cell.chars().peekable();
    while let Some(character) = characters.next() {
        let mut character = character;
        if at_begin
            && character == GUARD
            && let Some(guarded) = characters.next_if(|next| GUARDED_BEGINS.contains(next))
        {
            character = guarded;
        }
        text.push(character);
        at_begin = goes_on(at_begin, character);
    }
    text.into()
}

/// JSON whose texts hold no beginning of a formula behind what may part cells: those characters are
/// spelt by their numbers, which means the same.
pub(super) fn guard_json(json: &[u8], out: &mut Vec<u8>) {
    let Ok(text) = std::str::from_utf8(json) else {
        return;
    };
    let mut at_begin = false;
    for character in text.chars() {
        if at_begin && GUARDED_BEGINS.contains(&character) {
            out.extend_from_slice(format!("\\u{:04x}", u32::from(character)).as_bytes());
        } else {
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        at_begin = goes_on(at_begin, character);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case("a;=1+1", "a;'=1+1")]
    #[case("a,=1+1", "a,'=1+1")]
    #[case("a\t@x", "a\t'@x")]
    #[case("a;;-1", "a;;'-1")]
    #[case("=1;＝1,＋2;－3,＠4", "'=1;'＝1,'＋2;'－3,'＠4")]
    #[case("a;'s", "a;''s")]
    #[case("x;\"=1+1;y", "x;\"'=1+1;y")]
    #[case("\"=1", "\"'=1")]
    #[case("a;b = 1 - 1", "a;b = 1 - 1")]
    fn a_formula_behind_what_may_part_cells_is_guarded(#[case] text: &str, #[case] cell: &str) {
        assert_eq!(guarded(text), cell);
        assert_eq!(unguarded(cell), text);
    }

    #[rstest]
    #[case("'s Hertogenbosch")]
    #[case("a,'s")]
    #[case("'")]
    fn what_was_never_guarded_stays(#[case] cell: &str) {
        assert_eq!(unguarded(cell), cell);
    }

    /// Texts of what matters, far more often than chance would have it.
    fn text() -> impl Strategy<Value = String> {
        let characters = prop_oneof![
            prop::sample::select(&GUARDED_BEGINS),
            prop::sample::select(&[',', ';', '\t', '"', '\\', 'u', 'a']),
            any::<char>(),
        ];
        prop::collection::vec(characters, 0..20).prop_map(|text| text.into_iter().collect())
    }

    proptest! {
        #[test]
        fn a_text_comes_back_and_no_cell_of_it_begins_a_formula(text in text()) {
            let cell = guarded(&text);
            prop_assert_eq!(unguarded(&cell), text.as_str());
            for part in cell.split(parts_cells) {
                let first = part.chars().next();
                prop_assert!(first.is_none_or(|first| first == GUARD || !GUARDED_BEGINS.contains(&first)));
            }
        }

        #[test]
        fn json_means_the_same_and_no_cell_of_it_begins_a_formula(key in text(), other in text()) {
            let json = serde_json::to_string(&[(&key, -1.5)].into_iter().chain([(&other, -2.0)])
                .collect::<std::collections::BTreeMap<_, _>>()).unwrap();
            let mut out = Vec::new();
            guard_json(json.as_bytes(), &mut out);
            let cell = String::from_utf8(out).unwrap();
            let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            prop_assert_eq!(read(&cell), read(&json));
            for part in cell.split(parts_cells) {
                prop_assert!(!part.starts_with(GUARDED_BEGINS), "{}", cell);
            }
        }
    }
}
