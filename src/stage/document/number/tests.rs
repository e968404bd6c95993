//! One spelling per value, and the same on the fast and the slow path.

use proptest::prelude::*;

use super::{canonical, is_canonical};
use crate::value::Number;

fn canonical_of(text: &str) -> Option<String> {
    let mut out = Vec::new();
    canonical(text, &mut out).then(|| String::from_utf8(out).unwrap())
}

#[test]
fn equal_numbers_have_one_spelling() {
    for (text, expected) in [
        ("0", "0"),
        ("-0", "0"),
        ("-0.000", "0"),
        ("0E10", "0"),
        ("1E2", "100"),
        ("1e+2", "100"),
        ("100", "100"),
        ("007", "7"),
        ("-007.50", "-7.5"),
        ("1.50", "1.5"),
        ("1.0", "1"),
        ("1.", "1"),
        (".5", "0.5"),
        ("+5", "5"),
        ("-0.5", "-0.5"),
        ("12e-1", "1.2"),
        ("12e-5", "0.00012"),
        ("9007199254740993", "9007199254740993"),
        ("99999999999999999999999999999999999999", "99999999999999999999999999999999999999"),
        ("1E-130", "1E-130"),
        ("9.9E125", "99E124"),
        ("-1.230e99", "-123E97"),
    ] {
        assert_eq!(canonical_of(text).as_deref(), Some(expected), "{text}");
    }
}

#[test]
fn the_border_between_plain_and_exponent_depends_on_the_value_alone() {
    let plain = format!("1{}", "0".repeat(59));
    assert_eq!(canonical_of(&plain), Some(plain.clone()));
    assert_eq!(canonical_of("1E59"), Some(plain));
    let long = format!("1{}", "0".repeat(60));
    assert_eq!(canonical_of(&long).as_deref(), Some("1E60"));
    assert_eq!(canonical_of("10E59").as_deref(), Some("1E60"));
    let fraction = format!("0.{}1", "0".repeat(58));
    assert_eq!(canonical_of(&fraction), Some(fraction.clone()));
    assert_eq!(canonical_of("1e-59"), Some(fraction));
    let below = format!("0.{}1", "0".repeat(60));
    assert_eq!(canonical_of(&below).as_deref(), Some("1E-61"));
}

#[test]
fn what_is_no_number_is_refused_and_nothing_is_written() {
    for text in [
        "",
        "-",
        "+",
        ".",
        "1e",
        "1e+",
        "e5",
        "NaN",
        "Infinity",
        "0x10",
        "1_000",
        " 1",
        "1 ",
        "1,5",
        "--1",
        "1.2.3",
        "1e5.0",
        "1e99999999999999999999",
        "１",
    ] {
        let mut out = b"kept".to_vec();
        assert!(!canonical(text, &mut out), "{text}");
        assert_eq!(out, b"kept", "{text}");
    }
}

proptest! {
    #[test]
    fn the_canonical_form_is_a_fixed_point(digits in "[0-9]{1,70}", point in 0usize..70, exponent in -150i64..150, negative: bool) {
        let at = point.min(digits.len());
        let text = format!("{}{}.{}e{exponent}", if negative { "-" } else { "" }, &digits[..at], &digits[at..]);
        let once = canonical_of(&text).unwrap();
        prop_assert_eq!(canonical_of(&once).unwrap(), once);
    }

    #[test]
    fn moving_the_point_and_the_exponent_changes_nothing(digits in "[1-9][0-9]{0,40}", shift in 0i64..80, exponent in -90i64..90) {
        let one = canonical_of(&format!("{digits}e{exponent}")).unwrap();
        let other = canonical_of(&format!("{digits}{}e{}", "0".repeat(shift as usize), exponent - shift)).unwrap();
        prop_assert_eq!(one, other);
    }

    #[test]
    fn the_fast_path_only_takes_what_the_slow_path_would_leave_alone(text in "-?[0-9]{1,62}(\\.[0-9]{1,5})?") {
        if is_canonical(text.as_bytes()) {
            prop_assert_eq!(Number::parse(&text).unwrap().to_string(), text);
        }
    }
}
