//! Numbers as text, in one spelling per value, so that equal numbers are equal texts.
//!
//! In: a number as DynamoDB or JSON writes it. Out: what [`Number`] writes, which is plain digits (`1E2` → `100`,
//! `1.50` → `1.5`, `-0` → `0`) up to 60 of them, and digits and exponent beyond (`1E130`). What is in that form already,
//! as nearly all numbers of an export are, is copied without being read as a number.

use crate::value::Number;

/// Up to this length, any text of the right form is how [`Number`] would write it.
const COPIED_BYTES_MAX: usize = 60;

/// Appends the canonical form of `text` and says whether `text` is a number at all. Where it is not, nothing is appended.
///
/// Accepted: what [`Number::parse`] accepts.
pub(crate) fn canonical(text: &str, out: &mut Vec<u8>) -> bool {
    let bytes = text.as_bytes();
    if is_canonical(bytes) {
        out.extend_from_slice(bytes);
        return true;
    }
    match Number::parse(text) {
        Ok(number) => {
            out.extend_from_slice(number.to_string().as_bytes());
            true
        }
        Err(_) => false,
    }
}

/// Whether `text` is a number that [`canonical`] takes.
pub(crate) fn is_number(text: &str) -> bool {
    is_canonical(text.as_bytes()) || Number::parse(text).is_ok()
}

/// The fast path: a short integer without leading zeros, or a short decimal without leading or trailing zeros.
fn is_canonical(bytes: &[u8]) -> bool {
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    if digits.is_empty() || digits.len() > COPIED_BYTES_MAX {
        return false;
    }
    let whole = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    if whole == 0 || (digits[0] == b'0' && whole > 1) {
        return false;
    }
    match digits.get(whole) {
        None => digits != b"0" || digits.len() == bytes.len(),
        Some(b'.') => {
            let fraction = &digits[whole + 1..];
            fraction.iter().all(u8::is_ascii_digit) && fraction.last().is_some_and(|b| *b != b'0')
        }
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests;
