//! Numbers and durations by themselves.

use crate::spec::amount::{Fault, decimal, duration};

#[test]
fn decimals_keep_their_text() {
    let good =
        ["0", "1", "0.1", ".5", "5.", "1e-6", "1E+3", "00012.50", "123456789012345678901234567890.123"];
    for text in good {
        assert_eq!(decimal(text).as_deref(), Ok(text));
    }
    assert_eq!(decimal("+1").as_deref(), Ok("1"));
    assert_eq!(decimal("-0.0").as_deref(), Ok("0.0"));
}

#[test]
fn what_is_no_decimal() {
    for text in ["", ".", "1,5", "e5", "1e", "1e+", "1.2.3", "0x10", "١", "--1", "1 ", "inf", "NaN"] {
        assert_eq!(decimal(text), Err(Fault::Malformed), "{text}");
    }
    assert_eq!(decimal("-1"), Err(Fault::Negative));
    assert_eq!(decimal("1e10001"), Err(Fault::TooLarge));
    assert_eq!(decimal("1e99999999999999999999"), Err(Fault::TooLarge));
}

#[test]
fn durations_in_every_unit() {
    let good = [
        ("5ns", 5),
        ("10us", 10_000),
        ("10µs", 10_000),
        ("500ms", 500_000_000),
        ("1.5s", 1_500_000_000),
        ("2m", 120_000_000_000),
        ("1 h", 3_600_000_000_000),
        ("1d", 86_400_000_000_000),
        ("0.001us", 1),
        ("1.500000000000s", 1_500_000_000),
        ("0.00000000000001d", 0),
        ("-0s", 0),
    ];
    for (text, ns) in good {
        let expected = if text == "0.00000000000001d" { Err(Fault::TooFine) } else { Ok(ns) };
        assert_eq!(duration(text), expected, "{text}");
    }
}

#[test]
fn what_is_no_duration() {
    for text in ["", "s", "1", "1x", "1 sec", "1s2", "1.s", ".5s", "1e3s", "1h30m", "+1s"] {
        assert_eq!(duration(text), Err(Fault::Malformed), "{text}");
    }
    assert_eq!(duration("-1s"), Err(Fault::Negative));
    assert_eq!(duration("0.5ns"), Err(Fault::TooFine));
    assert_eq!(duration("0.0000000000000000000000000000001d"), Err(Fault::TooFine));
    assert_eq!(duration("999999999999999999999999999999999999d"), Err(Fault::TooLarge));
    assert_eq!(duration("9999999999999999999999999999999999999999s"), Err(Fault::TooLarge));
}
