use super::sample::{document, glb, triangle};
use super::*;
use pretty_assertions::assert_eq;
use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};
use std::io::Cursor;

fn checked(bytes: &[u8]) -> Result<(), GlbFault> {
    match check(&mut Cursor::new(bytes), bytes.len() as u64) {
        Ok(()) => Ok(()),
        Err(CheckError::Fault(fault)) => Err(fault),
        Err(CheckError::File(error)) => panic!("{error}"),
    }
}

/// Code and place of the fault of a file.
#[track_caller]
fn fault(bytes: &[u8]) -> (At, &'static str) {
    let fault = checked(bytes).unwrap_err();
    (fault.at, fault.code)
}

/// The same of a document that has this member besides, or instead.
#[track_caller]
fn fault_with(name: &str, value: Value) -> (At, &'static str) {
    let mut with = document();
    with[name] = value;
    fault(&glb(&with.to_string(), None))
}

fn member(pointer: &str) -> At {
    At::Member(pointer.to_owned())
}

#[test]
fn a_triangle_is_a_model_with_and_without_binary_chunk() {
    checked(&triangle()).unwrap();
    checked(&glb(&document().to_string(), None)).unwrap();
    checked(&glb(&document().to_string(), Some(&[]))).unwrap();
    checked(&glb(r#"{"asset":{"version":"2.1"}}"#, None)).unwrap();
}

#[rstest]
#[case::html(b"<!doctype html><script>alert(1)</script>".to_vec(), 0, "not_glb")]
#[case::empty(Vec::new(), 0, "truncated")]
#[case::header_only(b"glTF\x02\0\0\0\x0c\0\0\0".to_vec(), 12, "truncated")]
#[case::truncated(triangle()[..200].to_vec(), 8, "wrong_length")]
#[case::longer_than_declared([triangle(), vec![0; 4]].concat(), 8, "wrong_length")]
#[case::version_1([b"glTF\x01".to_vec(), triangle()[5..].to_vec()].concat(), 4, "bad_version")]
#[case::json_4_gib([triangle()[..12].to_vec(), b"\xfc\xff\xff\xffJSON".to_vec()].concat(), 12, "json_too_large")]
#[case::binary_first([triangle()[..16].to_vec(), b"BIN\0".to_vec(), vec![0; 400]].concat(), 16, "bad_chunk")]
fn what_is_no_glb_is_told_with_its_byte(
    #[case] bytes: Vec<u8>,
    #[case] offset: u64,
    #[case] code: &str,
) {
    assert_eq!(fault(&bytes), (At::Byte(offset), code));
}

#[test]
fn chunks_must_fill_the_file() {
    let json = document().to_string();
    let with = |binary: &[u8]| glb(&json, Some(binary));
    let begin = u64::try_from(glb(&json, None).len()).unwrap();
    // A third chunk, inside what the header declares.
    let mut third = with(&[0; 8]);
    third.extend(b"\0\0\0\0JUNK");
    let length = u32::try_from(third.len()).unwrap();
    third.splice(8..12, length.to_le_bytes());
    assert_eq!(fault(&third), (At::Byte(begin), "bad_chunk"));
    // A length that is no multiple of 4.
    let mut odd = with(&[0; 8]);
    odd[usize::try_from(begin).unwrap()] = 7;
    assert_eq!(fault(&odd), (At::Byte(begin), "bad_chunk"));
    // A rest that is too small for a chunk.
    let mut rest = glb(&json, None);
    rest.extend([0; 4]);
    let length = u32::try_from(rest.len()).unwrap();
    rest.splice(8..12, length.to_le_bytes());
    assert_eq!(fault(&rest), (At::Byte(begin), "truncated"));
}

#[rstest]
#[case::http("http://evil.example/a.bin")]
#[case::https("HTTPS://evil.example/a.bin")]
#[case::file("file:///etc/passwd")]
#[case::relative("../../../api/latest")]
#[case::absolute("/api/latest")]
#[case::empty("")]
#[case::data_without_content("data:text/html")]
#[case::data_with_line_break("data:\n,")]
#[case::data_in_the_middle("http://evil.example/data:,")]
fn nothing_outside_of_the_file_is_asked_for(#[case] uri: &str) {
    let external = |pointer: &str| (member(pointer), "external_uri");
    let one = json!([{"uri": uri}]);
    assert_eq!(fault_with("images", one.clone()), external("/images/0/uri"));
    assert_eq!(
        fault_with("buffers", one.clone()),
        external("/buffers/0/uri")
    );
    let nested = json!({"MSFT_lod": {"a/b": [[], one]}});
    let pointer = "/extensions/MSFT_lod/a~1b/1/0/uri";
    assert_eq!(fault_with("extensions", nested), external(pointer));
}

#[test]
fn an_address_cannot_be_hidden() {
    let external = (member("/images/0/uri"), "external_uri");
    for text in [
        r#"{"asset":{"version":"2.0"},"images":[{"\u0075ri":"http://x"}]}"#,
        r#"{"asset":{"version":"2.0"},"images":[{"uri":"data:,","uri":"http://x"}]}"#,
        r#"{"asset":{"version":"2.0"},"images":[{"uri":"http://x","uri":"data:,"}]}"#,
        r#"{"asset":{"version":"2.0"},"images":[],"images":[{"uri":["http://x"]}]}"#,
        r#"{"asset":{"version":"2.0"},"images":[{"uri":null}]}"#,
    ] {
        assert_eq!(fault(&glb(text, None)), external, "{text}");
    }
}

#[test]
fn data_uris_and_data_of_applications_are_fine() {
    let mut with = document();
    with["images"] = json!([{"uri": "data:image/png;base64,iVBORw0KGgo="}, {"bufferView": 0}]);
    with["extras"] = json!({"uri": "https://where.it.comes.from", "extensionsRequired": 1});
    with["extensionsRequired"] = json!(["KHR_materials_unlit", "KHR_mesh_quantization"]);
    checked(&glb(&with.to_string(), None)).unwrap();
}

#[rstest]
#[case::decoder("extensionsRequired", json!(["KHR_materials_unlit", "KHR_draco_mesh_compression"]), "/extensionsRequired/1", "unsupported_extension")]
#[case::no_text("extensionsRequired", json!([1]), "/extensionsRequired/0", "not_text")]
#[case::no_list("extensionsRequired", json!("KHR_materials_unlit"), "/extensionsRequired", "not_a_list")]
#[case::version_1("asset", json!({"version": "1.0"}), "/asset/version", "bad_version")]
#[case::version_20("asset", json!({"version": "20.0"}), "/asset/version", "bad_version")]
#[case::version_number("asset", json!({"version": 2.0}), "/asset/version", "not_text")]
#[case::no_version("asset", json!({}), "/asset/version", "required")]
#[case::no_asset("asset", json!([]), "/asset", "not_an_object")]
fn what_the_pages_could_not_read_is_refused(
    #[case] name: &str,
    #[case] value: Value,
    #[case] pointer: &str,
    #[case] code: &str,
) {
    assert_eq!(fault_with(name, value), (member(pointer), code));
}

#[test]
fn json_that_is_none_is_told_with_its_byte() {
    assert_eq!(
        fault(&glb("{\"asset\":\n  oops}", None)),
        (At::Byte(32), "not_json")
    );
    assert_eq!(fault(&glb("{} {}", None)).1, "not_json");
    assert_eq!(fault(&glb("[]", None)), (member(""), "not_an_object"));
    assert_eq!(fault(&glb("", None)).1, "not_json");
}

#[test]
fn deep_json_is_refused_wherever_it_is_deep() {
    let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    let with = |name: &str, value: &str| {
        glb(
            &format!(r#"{{"asset":{{"version":"2.0"}},"{name}":{value}}}"#),
            None,
        )
    };
    checked(&with("extras", &deep(63))).unwrap();
    for name in ["extras", "nodes"] {
        for levels in [64, 1_000, 1_000_000] {
            assert_eq!(fault(&with(name, &deep(levels))).1, "too_deep", "{name}");
        }
    }
}

#[test]
fn a_long_name_is_not_repeated_in_full() {
    let text = format!(r#"{{"{}":{{"uri":1}}}}"#, "é".repeat(10_000));
    let (At::Member(pointer), _) = fault(&glb(&text, None)) else {
        panic!("not a member");
    };
    assert_eq!(pointer, format!("/{}/uri", "é".repeat(64)));
}

proptest! {
    #[test]
    fn any_bytes_are_judged(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        drop(checked(&bytes));
    }

    #[test]
    fn any_bytes_behind_a_good_header_are_judged(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let text = String::from_utf8_lossy(&bytes);
        drop(checked(&glb(&text, None)));
        let mut file = glb("", None);
        file.extend(&bytes);
        let length = u32::try_from(file.len()).unwrap();
        file.splice(8..12, length.to_le_bytes());
        drop(checked(&file));
    }

    #[test]
    fn a_model_with_another_byte_in_a_header_is_refused(at in 0_usize..28, byte: u8) {
        let mut file = triangle();
        // The header of the second chunk stands behind the JSON.
        let at = if at < HEAD_BYTES { at } else { file.len() - 36 - 28 + at };
        prop_assume!(file[at] != byte);
        file[at] = byte;
        prop_assert!(checked(&file).is_err());
    }

    #[test]
    fn a_model_that_is_cut_anywhere_is_refused(end in 0_usize..400) {
        let file = triangle();
        prop_assume!(end < file.len());
        prop_assert!(checked(&file[..end]).is_err());
    }
}
