//! Exact numbers and durations of rules: the text as written, never through a float.

use super::words::{PRECISIONS, UNITS_NS};

/// Larger powers of ten are not meant; the bound keeps exact arithmetic on them cheap.
const EXPONENT_MAX: u32 = 10_000;

/// Why a text is not an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Below zero.
    Negative,
    /// Not of the form wanted.
    Malformed,
    /// Beyond what can be held.
    TooLarge,
    /// A duration that is no whole number of nanoseconds.
    TooFine,
}

/// A non-negative decimal's text without sign and separators: digits, at most one point, at most one exponent.
pub(super) fn decimal(text: &str) -> Result<String, Fault> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return Err(Fault::Malformed);
    }
    if let Some(exponent) = exponent {
        let magnitude = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        if magnitude.is_empty() || !digits(magnitude) {
            return Err(Fault::Malformed);
        }
        if magnitude.parse::<u32>().map_or(true, |magnitude| magnitude > EXPONENT_MAX) {
            return Err(Fault::TooLarge);
        }
    }
    let zero = mantissa.bytes().all(|b| matches!(b, b'0' | b'.'));
    if negative && !zero { Err(Fault::Negative) } else { Ok(unsigned.to_owned()) }
}

/// A duration such as `1s`, `1.5ms` or `2 h` in nanoseconds.
pub(super) fn duration(text: &str) -> Result<i128, Fault> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let unit_start = unsigned.find(|c: char| c.is_alphabetic()).ok_or(Fault::Malformed)?;
    let (number, unit) = unsigned.split_at(unit_start);
    let number = number.trim_end();
    // The micro sign and the Greek letter look the same and are both typed.
    let unit = if matches!(unit, "µs" | "μs") { "us" } else { unit };
    let unit_ns = PRECISIONS.iter().position(|u| *u == unit).map(|i| UNITS_NS[i]).ok_or(Fault::Malformed)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || number.ends_with('.') {
        return Err(Fault::Malformed);
    }
    let whole_ns = whole.parse::<i128>().ok().and_then(|n| n.checked_mul(unit_ns)).ok_or(Fault::TooLarge)?;
    let total = whole_ns.checked_add(fraction_ns(fraction, unit_ns)?).ok_or(Fault::TooLarge)?;
    if negative && total != 0 { Err(Fault::Negative) } else { Ok(total) }
}

fn fraction_ns(fraction: &str, unit_ns: i128) -> Result<i128, Fault> {
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() {
        return Ok(0);
    }
    // A day has 14 digits of nanoseconds: no unit is divisible by a higher power of ten.
    let scale = u32::try_from(fraction.len()).ok().filter(|n| *n <= 20).ok_or(Fault::TooFine)?;
    let parts = 10_i128.pow(scale);
    let scaled = fraction.parse::<i128>().map_err(|_| Fault::Malformed)? * unit_ns;
    if scaled % parts == 0 { Ok(scaled / parts) } else { Err(Fault::TooFine) }
}
