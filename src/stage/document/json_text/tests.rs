//! The cursor's verdicts and strings against `serde_json`'s, and the limits that are its own.

use proptest::prelude::*;

use super::{Cursor, DEPTH_MAX, SyntaxFault, push_compact, special};

fn check(text: &str) -> Result<&str, SyntaxFault> {
    let mut cursor = Cursor::new(text);
    let value = cursor.any()?;
    cursor.end()?;
    Ok(value)
}

fn string(text: &str) -> Result<String, SyntaxFault> {
    let mut out = Vec::new();
    let read = Cursor::new(text).string()?;
    read.push_to(&mut out);
    assert_eq!(read.value().as_bytes(), out);
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn strings_are_unescaped() {
    for text in [
        r#""""#,
        r#""plain""#,
        r#""quote \" slash \/ back \\ \b\f\n\r\t""#,
        r#""\u0041\u00e9\u65e5\ud83d\ude00 and 😀 日本""#,
        r#""\\u0041""#,
        r#""\u0000""#,
        r#""a string that is longer than eight bytes \n and goes on for a while""#,
    ] {
        assert_eq!(string(text).unwrap(), serde_json::from_str::<String>(text).unwrap(), "{text}");
    }
}

#[test]
fn half_a_surrogate_pair_is_refused_wherever_it_stands() {
    for text in [
        r#""\ud800""#,
        r#""\ud800x""#,
        r#""\ud800\n""#,
        r#""\ud800\u0041""#,
        r#""\udc00""#,
        r#""\udc00\ud800""#,
        r#""abc\ud83d""#,
        r#""\ud800\ud800\udc00""#,
    ] {
        assert_eq!(string(text).unwrap_err().what, "half a surrogate pair is no character", "{text}");
    }
}

#[test]
fn broken_text_is_refused_with_its_byte() {
    for (text, at) in [
        ("", 0),
        ("{", 1),
        ("{\"a\"}", 4),
        ("{\"a\":}", 5),
        ("{\"a\":1,}", 7),
        ("[1,]", 3),
        ("[1 2]", 3),
        ("[1}", 2),
        ("{\"a\":1]", 6),
        ("{,}", 1),
        ("01", 1),
        ("-", 1),
        ("1.", 2),
        ("1e", 2),
        (".5", 0),
        ("+1", 0),
        ("truex", 0),
        ("nul", 0),
        ("NaN", 0),
        ("1 1", 2),
        ("\"a", 2),
        ("\"a\nb\"", 2),
        ("\"\\x\"", 1),
        ("\"\\u12g4\"", 1),
        ("'a'", 0),
        ("{\"a\":1}}", 7),
    ] {
        assert_eq!(check(text).unwrap_err().at, at, "{text}");
        assert!(serde_json::from_str::<serde_json::Value>(text).is_err(), "{text}");
    }
}

#[test]
fn nesting_is_limited_but_never_by_the_stack() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(check(&nested(DEPTH_MAX)).is_ok());
    assert_eq!(check(&nested(DEPTH_MAX + 1)).unwrap_err().what, "nested more than 1,000 deep");
    assert!(check(&"[".repeat(5_000_000)).is_err());
    let maps = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    assert!(check(&maps(DEPTH_MAX)).is_ok());
    assert!(check(&maps(DEPTH_MAX + 1)).is_err());
}

#[test]
fn mixed_nesting_closes_with_the_bracket_that_opened() {
    assert!(check(r#"{"a":[{"b":[[],{}]},[]]}"#).is_ok());
    assert!(check(r#"{"a":[{"b":[[],{}]},[]}]"#).is_err());
}

#[test]
fn only_white_space_outside_strings_is_dropped() {
    let mut out = Vec::new();
    push_compact("{ \"a b\\\" \" :\t[1 ,\r\n \"\\\\\" , 2 ] }", &mut out);
    assert_eq!(String::from_utf8(out).unwrap(), r#"{"a b\" ":[1,"\\",2]}"#);
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_filter("JSON has no NaN", |f| f.is_finite()).prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Cut, changed or doubled somewhere, so that most of it is nearly JSON.
fn spoiled(text: &str, at: usize, byte: u8, how: u8) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let at = at % bytes.len().max(1);
    match how {
        0 => bytes.truncate(at),
        1 => bytes[at] = byte,
        2 => bytes.insert(at, byte),
        3 => {
            bytes.remove(at);
        }
        _ => {}
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_verdict_is_serde_jsons(value in json(), pretty: bool, at: usize, byte in prop::sample::select(&b"{}[]\",:\\/ \t\n0123456789.eE+-truefalsn\x01\x7f"[..]), how in 0u8..5) {
        let text = if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
        let text = spoiled(&text, at, byte, how);
        match serde_json::from_str::<serde_json::Value>(&text) {
            Ok(read) => {
                prop_assert_eq!(check(&text), Ok(text.trim_matches([' ', '\t', '\n', '\r'])), "{}", text);
                let mut compact = Vec::new();
                push_compact(&text, &mut compact);
                prop_assert_eq!(serde_json::from_slice::<serde_json::Value>(&compact).unwrap(), read);
            }
            // A double overflows where the text is a number all the same.
            Err(error) if error.to_string().contains("out of range") => {}
            Err(_) => prop_assert!(check(&text).is_err(), "{}", text),
        }
    }

    #[test]
    fn a_string_is_read_as_serde_json_reads_it(value: String, escapes in "(\\\\u[0-9a-fA-F]{4}|\\\\[bfnrt/\"\\\\]|[a-z ]{0,9}){0,6}") {
        let text = format!("\"{}{escapes}\"", serde_json::to_string(&value).unwrap().trim_matches('"'));
        // Trimming may take an escaped quote's own quote with it; what is left is no string for either reader.
        let ours = check(&text).ok().and_then(|_| string(&text).ok());
        prop_assert_eq!(ours, serde_json::from_str::<String>(&text).ok());
    }

    #[test]
    fn the_end_of_a_plain_run_is_found(bytes in prop::collection::vec(prop_oneof![8 => 0x20u8..0x7f, 4 => 0x80u8..=0xff, 1 => any::<u8>()], 0..40), at in 0usize..40) {
        let at = at.min(bytes.len());
        let slow = bytes[at..].iter().position(|b| matches!(b, b'"' | b'\\' | 0..0x20)).map_or(bytes.len(), |n| at + n);
        prop_assert_eq!(special(&bytes, at), slow);
    }
}
