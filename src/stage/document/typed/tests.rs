//! Typed JSON: what is taken, what is refused, and that nothing staged is refused later.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::AsArray;
use proptest::prelude::*;

use super::{read_item, read_keys, salvage};
use crate::stage::document::json_text::Cursor;
use crate::stage::document::{DocumentBuilder, Names, Stop, Tag};
use crate::value::json;

fn read(text: &str) -> Result<DocumentBuilder, String> {
    let mut builder = DocumentBuilder::new(Arc::new(Names::new("d")), false);
    let mut cursor = Cursor::new(text);
    let result = read_item(&mut cursor, &mut builder).and_then(|()| Ok(cursor.end()?));
    match result {
        Ok(()) => {
            builder.keep(1, None);
            Ok(builder)
        }
        Err(Stop::Row(fault)) => Err(format!("{}: {}", fault.attribute.unwrap_or_default(), fault.message)),
        Err(Stop::Fatal(error)) => panic!("{error}"),
    }
}

fn text(item: &str, column: &str) -> String {
    let batch = read(item).unwrap().take().unwrap().unwrap();
    batch.column_by_name(column).unwrap().as_string::<i32>().value(0).to_owned()
}

#[test]
fn documents_keep_their_text_but_for_white_space() {
    let map = r#"{"price":{"N":"1.50"},"é":{"S":"a b\u00e9\""},"l":{"L":[{"NULL":true},{"BS":["AQ=="]}]}}"#;
    assert_eq!(text(&format!(r#"{{"m":{{"M":{map}}}}}"#), "m:M"), map);
    assert_eq!(text(r#"{ "m" : { "M" : { "a b" : { "S" : " x " } } } }"#, "m:M"), r#"{"a b":{"S":" x "}}"#);
    assert_eq!(text(r#"{"l":{"L":[]}, "m": {"S":"x"}}"#, "l:L"), "[]");
}

#[test]
fn what_is_no_typed_json_is_refused_with_attribute_and_byte() {
    for (item, message) in [
        (r#"{"a":"x"}"#, "a: expected `{` and a type at byte 6"),
        (r#"{"a":{}}"#, "a: expected a string at byte 7"),
        (r#"{"a":{"X":"x"}}"#, "a: no type of DynamoDB at byte 7"),
        (r#"{"a":{"\u0053":"x"}}"#, "a: no type of DynamoDB at byte 7"),
        (r#"{"a":{"S":1}}"#, "a: expected a string at byte 11"),
        (r#"{"a":{"S":"x","N":"1"}}"#, "a: expected `}` after the value at byte 14"),
        (r#"{"a":{"N":1}}"#, "a: expected a string at byte 11"),
        (r#"{"a":{"N":"x"}}"#, "a: no number at byte 11"),
        (r#"{"a":{"N":""}}"#, "a: no number at byte 11"),
        (r#"{"a":{"N":"NaN"}}"#, "a: no number at byte 11"),
        (r#"{"a":{"B":"AQ"}}"#, "a: no base64 at byte 11"),
        (r#"{"a":{"B":"A*=="}}"#, "a: no base64 at byte 11"),
        (r#"{"a":{"BOOL":"true"}}"#, "a: expected `true` or `false` at byte 14"),
        (r#"{"a":{"NULL":false}}"#, "a: the NULL type is always `true` at byte 14"),
        (r#"{"a":{"SS":"x"}}"#, "a: expected `[` at byte 12"),
        (r#"{"a":{"SS":["x",]}}"#, "a: expected a string at byte 17"),
        (r#"{"a":{"NS":["1","x"]}}"#, "a: no number at byte 17"),
        (r#"{"a":{"BS":["AQ==","AQ"]}}"#, "a: no base64 at byte 20"),
        (r#"{"a":{"M":[]}}"#, "a: expected `{` at byte 11"),
        (r#"{"a":{"L":{}}}"#, "a: expected `[` at byte 11"),
        (r#"{"a":{"M":{"b":"x"}}}"#, "a: expected `{` and a type at byte 16"),
        (r#"{"a":{"M":{"b":{"N":"x"}}}}"#, "a: no number at byte 21"),
        (r#"{"a":{"L":[{"B":"AQ"}]}}"#, "a: no base64 at byte 17"),
        (r#"{"a":{"L":[{"S":"\ud800"}]}}"#, "a: half a surrogate pair is no character at byte 18"),
        (r#"{"a":{"L":[{"NS":["1","x"]}]}}"#, "a: no number at byte 23"),
        (r#"{"a":{"L":[{"X":"x"}]}}"#, "a: no type of DynamoDB at byte 13"),
        (
            r#"{"a":{"L":[{"S":"a"}{"S":"b"}]}}"#,
            "a: expected `,` or the end of the object or array at byte 21",
        ),
        (r#"{"a":{"S":"x"},"a":{"N":"1"}}"#, "a: the same attribute occurs twice"),
        (r#"{"a":{"S":"x"},}"#, ": expected a string at byte 16"),
        (r#"{"a":{"S":"x"}"#, ": expected `,` or `}` at byte 15"),
    ] {
        assert_eq!(read(item).err().as_deref(), Some(message), "{item}");
    }
}

#[test]
fn nesting_is_bounded_without_the_stack() {
    let nested = |depth: usize| {
        format!("{{\"d\":{{\"L\":{}[]{}}}}}", "[{\"L\":".repeat(depth - 1), "}]".repeat(depth - 1))
    };
    assert!(read(&nested(1_000)).is_ok());
    assert!(read(&nested(1_001)).err().unwrap().contains("nested more than 1,000 deep"));
    assert!(read(&format!("{{\"d\":{}", "{\"L\":[".repeat(1_000_000))).is_err());
}

#[test]
fn keys_are_strings_numbers_and_binaries() {
    let keys =
        read_keys(&mut Cursor::new(r#"{"sk":{"N":"1.0"},"pk":{"S":"\u0061"},"b":{"B":"AQ=="}}"#)).unwrap();
    let expected = [("b", Tag::B, &b"\x01"[..]), ("pk", Tag::S, b"a"), ("sk", Tag::N, b"1")];
    let expected: BTreeMap<_, _> =
        expected.map(|(name, tag, value)| (name.to_owned(), (tag, value.to_vec()))).into();
    assert_eq!(keys, expected);
    for text in [r#"{"a":{"BOOL":true}}"#, r#"{"a":{"S":"1"},"a":{"S":"1"}}"#, r#"{"a":{"S":"1"}"#] {
        assert!(read_keys(&mut Cursor::new(text)).is_err(), "{text}");
    }
}

#[test]
fn what_can_be_read_of_a_broken_item_is_kept_for_its_key() {
    let mut cells = BTreeMap::new();
    let text =
        r#"{"pk":{"S":"a\n"},"bad":{"N":"x"},"n":{"N":"1.0"},"t":{"BOOL":true},"m":{"M":{}},"cut":{"S":"x"#;
    salvage(&mut Cursor::new(text), &mut cells);
    let expected = [("pk", "a\n"), ("n", "1"), ("t", "true")];
    assert_eq!(cells, expected.map(|(name, value)| (name.to_owned(), Some(value.to_owned()))).into());
}

fn typed() -> impl Strategy<Value = serde_json::Value> {
    let number = || "-?[0-9]{1,40}(\\.[0-9]{1,5})?(E-?[0-9]{1,2})?";
    let leaf = prop_oneof![
        any::<String>().prop_map(|s| serde_json::json!({ "S": s })),
        number().prop_map(|n| serde_json::json!({ "N": n })),
        Just(serde_json::json!({ "B": "AQID" })),
        any::<bool>().prop_map(|b| serde_json::json!({ "BOOL": b })),
        Just(serde_json::json!({ "NULL": true })),
        prop::collection::vec(any::<String>(), 0..3).prop_map(|s| serde_json::json!({ "SS": s })),
        prop::collection::vec(number(), 0..3).prop_map(|n| serde_json::json!({ "NS": n })),
        Just(serde_json::json!({ "BS": ["AQ==", ""] })),
    ];
    leaf.prop_recursive(4, 30, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|l| serde_json::json!({ "L": l })),
            prop::collection::btree_map(any::<String>(), inner, 0..5)
                .prop_map(|m| serde_json::json!({ "M": m })),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// The promise to everything that reads a staged document: it is of the form that the rest of the program reads.
    #[test]
    fn what_is_staged_can_be_read_again(values in prop::collection::vec(typed(), 0..4), at: usize, byte in prop::sample::select(&b"{}[]\",:\\ 0aSNMLB"[..]), how in 0u8..4) {
        let mut item = serde_json::json!({ "d": { "L": values } }).to_string();
        let at = at % item.len();
        if item.is_char_boundary(at) && item.is_char_boundary(at + 1) {
            match how {
                0 => item.insert(at, char::from(byte)),
                1 => item.replace_range(at..=at, &char::from(byte).to_string()),
                2 => item.replace_range(at..=at, ""),
                _ => {}
            }
        }
        let batch = read(&item).ok().and_then(|mut builder| builder.take().unwrap());
        if let Some(list) = batch.as_ref().and_then(|batch| batch.column_by_name("d:L")) {
            let list = list.as_string::<i32>().value(0);
            prop_assert!(json::parse_typed_list(list).is_ok(), "{}", list);
        } else if how == 3 {
            prop_assert!(false, "refused: {}", item);
        }
    }
}
