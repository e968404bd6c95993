//! What makes two values one, and what keeps them apart.

use proptest::prelude::*;

use super::cast::{BytesText, Class, Reading, Zone, cast};
use super::kind::{DecimalSize, Element};
use super::time::Moment;
use super::*;

fn text(t: &str) -> Value<'_> {
    Value::Text(Cow::Borrowed(t))
}

fn number(t: &str) -> Value<'static> {
    Value::Number(Number::parse(t).expect("a number"))
}

fn to(value: Value<'_>, class: Class) -> Result<Value<'_>, String> {
    cast(value, class, &Reading { free: true, ..Reading::default() })
}

#[test]
fn absent_null_and_empty_are_three_things() {
    let all = [Value::Absent, Value::Null, text(""), Value::Bytes(Cow::Borrowed(b"")), Value::List(vec![])];
    for (i, a) in all.iter().enumerate() {
        for (j, b) in all.iter().enumerate() {
            assert_eq!(a.same(b), i == j, "{a:?} and {b:?}");
        }
    }
}

#[test]
fn rows_are_never_joined_into_one_text() {
    let row = |cells: &[&str]| {
        cells.iter().fold(Vec::new(), |mut out, c| {
            text(c).encode(&mut out);
            out
        })
    };
    assert_ne!(row(&["a|b", "c"]), row(&["a", "b|c"]));
    assert_ne!(row(&["ab", ""]), row(&["", "ab"]));
}

#[test]
fn floats_have_one_nan_and_one_zero() {
    assert!(Value::Float64(f64::NAN).same(&Value::Float64(-f64::NAN)));
    assert!(Value::Float64(-0.0).same(&Value::Float64(0.0)));
    assert!(Value::Float32(-0.0).same(&Value::Float32(0.0)));
    assert!(!Value::Float64(f64::INFINITY).same(&Value::Float64(f64::NEG_INFINITY)));
}

#[test]
fn sets_have_no_order_and_lists_do() {
    let (a, b) = (vec![number("1"), number("2")], vec![number("2"), number("1"), number("1.0")]);
    assert!(Value::set(a.clone()).same(&Value::set(b.clone())));
    assert!(!Value::List(a.clone()).same(&Value::List(b)));
    assert!(!Value::set(a.clone()).same(&Value::List(a)));
}

#[test]
fn json_is_compared_by_meaning() {
    let same = |a: &str, b: &str| json::parse(a).expect(a).same(&json::parse(b).expect(b));
    assert!(same(r#"{"a":1,"b":[1.0,"x"]}"#, r#" { "b" : [1, "\u0078"], "a": 1e0 } "#));
    assert!(!same("[1,2]", "[2,1]"));
    assert!(!same(r#"{"a":9007199254740993}"#, r#"{"a":9007199254740992}"#));
    assert!(!same(r#"{"a":1,"a":1}"#, r#"{"a":1}"#));
    assert!(same(r#"{"a":1,"b":0,"a":2}"#, r#"{"b":0,"a":1.0,"a":2}"#));
    assert!(!same(r#"{"a":1,"a":2}"#, r#"{"a":2,"a":1}"#));
    assert!(!same(r#"{"a":null}"#, "{}"));
    assert!(json::has_duplicate_keys(&json::parse(r#"[{"x":{"a":1,"a":1}}]"#).expect("JSON")));
    for bad in ["", "{", "[1,]", "01", "1 2", r#""\ud800""#, "nul", "{\"a\":1,}", "'a'", "NaN"] {
        assert!(json::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn json_may_be_a_thousand_deep() {
    let deep = |n: usize| format!("{}1{}", "[".repeat(n), "]".repeat(n));
    assert!(json::parse(&deep(1_000)).is_ok());
    assert!(json::parse(&deep(1_001)).is_err());
}

#[test]
fn typed_attributes() {
    let typed = json::parse_typed(
        r#"{"M":{"a":{"N":"1.50"},"s":{"SS":["b","a"]},"z":{"NULL":true},"b":{"B":"AQI="}}}"#,
    );
    let shown = typed.expect("an attribute").display().expect("a text").into_owned();
    assert_eq!(shown, r#"{"a":1.5,"b":"AQI=","s":["a","b"],"z":null}"#);
    for bad in [
        r#"{"N":1}"#,
        r#"{"N":"x"}"#,
        r#"{"S":"a","N":"1"}"#,
        "{}",
        r#"{"Q":"a"}"#,
        r#"{"B":"?"}"#,
        r#"{"NULL":false}"#,
    ] {
        assert!(json::parse_typed(bad).is_err(), "{bad}");
    }
    assert!(
        !json::parse_typed(r#"{"S":"1"}"#).expect("S").same(&json::parse_typed(r#"{"N":"1"}"#).expect("N"))
    );
}

proptest! {
    #[test]
    fn texts_of_a_set_are_in_the_order_of_their_bytes(texts in prop::collection::vec("[ab\u{e9}]{0,4}", 0..8)) {
        let Value::Set(elements) = Value::set(texts.iter().map(|t| text(t)).collect()) else { panic!("a set") };
        let encoded: Vec<Vec<u8>> = elements.iter().map(Value::encoded).collect();
        let mut expected: Vec<Vec<u8>> = texts.iter().map(|t| text(t).encoded()).collect();
        expected.sort();
        expected.dedup();
        prop_assert_eq!(encoded, expected);
    }
}

#[test]
fn numbers_fit_or_fail() {
    assert!(to(text("1E2"), Class::Int).expect("an integer").same(&number("100")));
    assert!(to(text("1.0"), Class::Int).is_ok());
    for bad in ["1.5", "seven", "", " 7", "NaN"] {
        assert!(to(text(bad), Class::Int).is_err(), "{bad}");
    }
    let size = DecimalSize { precision: 18, scale: 4 };
    assert!(to(text("1.50000"), Class::Decimal(size)).is_ok());
    assert!(to(text("1.00001"), Class::Decimal(size)).is_err());
    assert!(to(Value::Float64(0.1), Class::Number).expect("a number").same(&number("0.1")));
    assert!(to(Value::Float32(0.1), Class::Number).expect("a number").same(&number("0.1")));
    assert!(!to(Value::Float64(f64::from(0.1f32)), Class::Number).expect("a number").same(&number("0.1")));
    assert!(
        cast(number("5"), Class::Text, &Reading::default()).is_err(),
        "a number is no text unless the spec says so"
    );
    assert!(to(number("5"), Class::Text).expect("declared").same(&text("5")));
}

#[test]
fn a_string_is_no_number_unless_the_spec_says_so() {
    assert!(cast(text("5"), Class::Number, &Reading::default()).is_err());
    assert!(cast(text("true"), Class::Bool, &Reading::default()).is_err());
    assert!(cast(text("2024-01-01"), Class::Date, &Reading::default()).is_ok());
}

#[test]
fn floats_narrow_but_never_into_infinity() {
    let narrow = |f: f64| to(Value::Float64(f), Class::Float32).expect("a float");
    assert!(narrow(0.1).same(&Value::Float32(0.1)));
    assert!(!narrow(1e39).same(&Value::Float32(f32::INFINITY)));
    assert!(narrow(f64::INFINITY).same(&Value::Float32(f32::INFINITY)));
}

#[test]
fn a_number_is_a_single_only_as_it_is_written() {
    let single = |t: &'static str| to(text(t), Class::Float32).expect("a number");
    for (written, meant) in
        [("0.1", 0.1), ("1.100000023841858", 1.1), ("1.1000000238418579", 1.1), ("16777216", 16_777_216.0)]
    {
        assert!(single(written).same(&Value::Float32(meant)), "{written}");
    }
    for (written, near) in [
        ("0.10000000001", 0.1),
        ("1.1000000238418578", 1.1),
        ("16777217", 16_777_216.0),
        ("3.5e38", f32::MAX),
    ] {
        assert!(!single(written).same(&Value::Float32(near)), "{written}");
    }
}

#[test]
fn timestamps_keep_whether_they_are_instants() {
    let read = |t: &'static str, zone, timezone: Option<&str>| {
        let timezone = timezone.map(|z| jiff::tz::TimeZone::get(z).expect("a zone"));
        cast(text(t), Class::Timestamp(zone), &Reading { timezone, ..Reading::default() })
    };
    let zoned = read("2024-06-01T12:00:00+02:00", Zone::Either, None).expect("an instant");
    assert!(zoned.same(&read("2024-06-01T10:00:00Z", Zone::Instant, None).expect("an instant")));
    assert!(!zoned.same(&read("2024-06-01T10:00:00", Zone::Either, None).expect("a civil time")));
    assert!(
        zoned.same(&read("2024-06-01T12:00:00", Zone::Either, Some("Europe/Paris")).expect("an instant"))
    );
    assert!(read("2024-06-01T10:00:00", Zone::Instant, None).is_err());
    assert!(read("2024-03-31T02:30:00", Zone::Either, Some("Europe/Paris")).is_err(), "skipped");
    assert!(read("2024-10-27T02:30:00", Zone::Either, Some("Europe/Paris")).is_err(), "twice");
    let end = read("infinity", Zone::Instant, None).expect("an end");
    assert!(end.same(&read("infinity", Zone::Either, Some("Europe/Paris")).expect("an end")));
    let typed = cast(
        Value::Timestamp { at: Moment::Infinity, zoned: true },
        Class::Timestamp(Zone::Either),
        &Reading::default(),
    );
    assert!(end.same(&typed.expect("an end")));
}

#[test]
fn a_number_is_a_float_only_where_the_float_is_written_so() {
    let free = Reading { free: true, ..Reading::default() };
    let same = |t: &'static str, f: f64| {
        let value = cast(text(t), Class::Float64, &free).expect(t);
        value.same(&Value::Float64(f))
    };
    assert!(same("0.1", 0.1) && same("1e-1", 0.1) && same("9007199254740992", 9_007_199_254_740_992.0));
    assert!(same("0.10000000000000001", 0.1), "17 digits, as `%.17g` writes");
    assert!(!same("9007199254740993", 9_007_199_254_740_992.0));
    assert!(!same("0.1000000000000000055", 0.1) && !same("1e-400", 0.0));
    assert!(cast(text("1e400"), Class::Float64, &free).is_err());
    let number = Value::Number(Number::parse("9007199254740993").expect("a number"));
    assert!(
        !cast(number, Class::Float64, &free)
            .expect("a number")
            .same(&Value::Float64(9_007_199_254_740_992.0))
    );
}

#[test]
fn bytes_are_bytes_however_they_are_written() {
    let read = |t: &'static str, bytes| cast(text(t), Class::Bytes, &Reading { bytes, ..Reading::default() });
    let want = Value::Bytes(Cow::Borrowed(&[1, 0xab]));
    for (t, encoding) in [
        ("\\x01ab", None),
        ("\\x01AB", Some(BytesText::Hex)),
        ("01ab", Some(BytesText::Hex)),
        ("Aas=", None),
        ("Aas=", Some(BytesText::Base64)),
    ] {
        assert!(read(t, encoding).expect(t).same(&want), "{t}");
    }
    for (t, encoding) in [("\\x1", None), ("zz", Some(BytesText::Hex)), ("A", Some(BytesText::Base64))] {
        assert!(read(t, encoding).is_err(), "{t}");
    }
}

#[test]
fn uuids_sets_and_dates() {
    assert!(
        to(text("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"), Class::Uuid)
            .expect("a UUID")
            .same(&to(text("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), Class::Uuid).expect("a UUID"))
    );
    assert!(to(text("a0eebc99"), Class::Uuid).is_err());
    let set = to(text(r#"[2,1,1.0]"#), Class::Set(Some(Element::Number))).expect("a set");
    assert!(set.same(&Value::set(vec![number("1"), number("2")])));
    assert!(to(Value::Timestamp { at: Moment::At(time::DAY_NS), zoned: false }, Class::Date).is_ok());
    assert!(to(Value::Timestamp { at: Moment::At(1), zoned: false }, Class::Date).is_err());
}

fn any_value() -> impl Strategy<Value = Value<'static>> {
    let leaf = prop_oneof![
        Just(Value::Absent),
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (any::<i64>(), -5i32..5).prop_map(|(c, s)| Value::Number(Number::from_scaled(c.into(), s))),
        any::<f64>().prop_map(Value::Float64),
        "\\PC{0,4}".prop_map(|t| Value::Text(Cow::Owned(t))),
        prop::collection::vec(any::<u8>(), 0..4).prop_map(|b| Value::Bytes(Cow::Owned(b))),
        (any::<i64>(), any::<bool>())
            .prop_map(|(ns, zoned)| Value::Timestamp { at: Moment::At(ns.into()), zoned }),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::set),
            prop::collection::vec(("[ab]{0,1}", inner), 0..4).prop_map(|m| Value::Map(
                m.into_iter().map(|(k, v)| (Value::Text(Cow::Owned(k)), v)).collect()
            )),
        ]
    })
}

proptest! {
    #[test]
    fn no_encoding_is_the_beginning_of_another(a in any_value(), b in any_value()) {
        let (ea, eb) = (a.encoded(), b.encoded());
        prop_assert!(ea == eb || (!ea.starts_with(&eb) && !eb.starts_with(&ea)));
    }

    #[test]
    fn sort_keys_are_as_distinct_as_values(a in any_value(), b in any_value()) {
        let key = |v: &Value<'_>| { let mut out = Vec::new(); v.sort_key(&mut out); out };
        prop_assert_eq!(key(&a) == key(&b), a.same(&b));
    }

    #[test]
    fn json_survives_its_canonical_text(v in any_value()) {
        if let Ok(document) = json::from_value(v) {
            prop_assert!(json::parse(&json::canonical(&document)).expect("our own JSON").same(&document));
        }
    }
}
