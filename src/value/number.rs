//! Exact decimal numbers of any size: a coefficient and a power of ten, never a float.

use std::cmp::Ordering;
use std::fmt;

use num_bigint::{BigInt, Sign};

/// Largest accepted |power of ten|: beyond what any supported store holds (PostgreSQL's `numeric` has 131,072 digits before
/// the point), and small enough that aligning two numbers stays cheap.
const EXPONENT_MAX: i64 = 200_000;
/// Up to this many digits are written out in full; longer ones are written as digits and exponent.
const PLAIN_DIGITS_MAX: i64 = 60;

/// An exact number, `coefficient × 10^exponent`. The coefficient has no trailing zero (zero is `0 × 10^0`) and is `Big` only
/// where an `i128` does not hold it, so equal numbers have equal fields.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Number {
    coefficient: Coefficient,
    exponent: i32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Coefficient {
    Small(i128),
    Big(Box<BigInt>),
}

impl Number {
    /// `coefficient × 10^-scale`, as a fixed decimal column holds it.
    pub fn from_scaled(coefficient: i128, scale: i32) -> Self {
        Self::normalised(coefficient, -scale)
    }

    fn normalised(mut coefficient: i128, mut exponent: i32) -> Self {
        if coefficient == 0 {
            return Self { coefficient: Coefficient::Small(0), exponent: 0 };
        }
        if let Ok(mut narrow) = i64::try_from(coefficient) {
            // 64-bit division is several times cheaper than 128-bit, and nearly all numbers fit.
            while narrow % 10 == 0 {
                narrow /= 10;
                exponent += 1;
            }
            return Self { coefficient: Coefficient::Small(narrow.into()), exponent };
        }
        while coefficient % 10 == 0 {
            coefficient /= 10;
            exponent += 1;
        }
        Self { coefficient: Coefficient::Small(coefficient), exponent }
    }

    fn from_big(mut coefficient: BigInt, mut exponent: i32) -> Self {
        if let Ok(small) = i128::try_from(&coefficient) {
            return Self::normalised(small, exponent);
        }
        let ten = BigInt::from(10);
        while (&coefficient % &ten).sign() == Sign::NoSign {
            coefficient /= &ten;
            exponent += 1;
        }
        match i128::try_from(&coefficient) {
            Ok(small) => Self { coefficient: Coefficient::Small(small), exponent },
            Err(_) => Self { coefficient: Coefficient::Big(Box::new(coefficient)), exponent },
        }
    }

    /// Reads `[+-]digits[.digits][e[+-]digits]`; nothing else, no white space, no separators.
    ///
    /// # Errors
    /// Text that is no number, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::parse_bytes(text.as_bytes()).ok_or_else(|| "not a number".to_owned())
    }

    fn parse_bytes(text: &[u8]) -> Option<Self> {
        if let Some(value) = Self::short_int(text) {
            return Some(Self::from(value));
        }
        let (negative, rest) = signed(text)?;
        let (mantissa, power) = match rest.iter().position(|b| matches!(b, b'e' | b'E')) {
            Some(at) => (&rest[..at], std::str::from_utf8(&rest[at + 1..]).ok()?.parse::<i64>().ok()?),
            None => (rest, 0),
        };
        let (whole, fraction) = match mantissa.iter().position(|b| *b == b'.') {
            Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
            None => (mantissa, &mantissa[mantissa.len()..]),
        };
        let digits = whole.len() + fraction.len();
        if digits == 0 || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
            return None;
        }
        let exponent = power.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        if exponent.abs() > EXPONENT_MAX || digits as i64 > EXPONENT_MAX {
            return None;
        }
        let exponent = i32::try_from(exponent).ok()?;
        if digits <= 38 {
            let value = whole.iter().chain(fraction).fold(0i128, |sum, d| sum * 10 + i128::from(d - b'0'));
            return Some(Self::normalised(if negative { -value } else { value }, exponent));
        }
        let all: Vec<u8> = whole.iter().chain(fraction).copied().collect();
        let value = BigInt::parse_bytes(&all, 10)?;
        Some(Self::from_big(if negative { -value } else { value }, exponent))
    }

    /// Reads a whole number of at most 18 digits, as most numbers are; `None` says only that it looks otherwise.
    pub fn short_int(text: &[u8]) -> Option<i64> {
        let (negative, digits) = signed(text)?;
        if !(1..=18).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let value = digits.iter().fold(0i64, |sum, d| sum * 10 + i64::from(d - b'0'));
        Some(if negative { -value } else { value })
    }

    /// The number whose digits are the shortest that give back this float; `None` for NaN and infinities.
    pub fn from_f64(value: f64) -> Option<Self> {
        value
            .is_finite()
            .then(|| Self::parse(&format!("{value:e}")).expect("a finite float's digits are a number"))
    }

    /// As [`Number::from_f64`], for single precision.
    pub fn from_f32(value: f32) -> Option<Self> {
        value
            .is_finite()
            .then(|| Self::parse(&format!("{value:e}")).expect("a finite float's digits are a number"))
    }

    /// Whether nothing stands after the decimal point.
    pub fn is_integer(&self) -> bool {
        self.exponent >= 0
    }

    /// Whether a `decimal(precision, scale)` holds it exactly.
    pub fn fits(&self, precision: u32, scale: u32) -> bool {
        let after = i64::from((-self.exponent).max(0));
        let before = (self.digit_count() + i64::from(self.exponent)).max(0);
        after <= i64::from(scale) && before <= i64::from(precision) - i64::from(scale)
    }

    /// How many digits it has that count: none for zero.
    pub fn significant_digits(&self) -> u64 {
        self.digit_count().unsigned_abs()
    }

    /// The power of ten of its first digit, as in `9.9 × 10^125`; 0 for zero.
    pub fn magnitude(&self) -> i64 {
        match self.digit_count() {
            0 => 0,
            digits => digits - 1 + i64::from(self.exponent),
        }
    }

    /// The value times 10^scale where that is an integer of at most 38 digits: what a `decimal(38, scale)` stores.
    pub fn to_scaled(&self, scale: u32) -> Option<i128> {
        let Coefficient::Small(coefficient) = self.coefficient else { return None };
        let shift = u32::try_from(i64::from(self.exponent) + i64::from(scale)).ok()?;
        let value = if coefficient == 0 { 0 } else { coefficient.checked_mul(10i128.checked_pow(shift)?)? };
        (value.unsigned_abs() < 10u128.pow(38)).then_some(value)
    }

    /// The nearest 64-bit float, for where a user asked for floats.
    pub fn to_f64(&self) -> f64 {
        self.scientific().parse().expect("digits and an exponent are a float")
    }

    /// The nearest 32-bit float.
    pub fn to_f32(&self) -> f32 {
        self.scientific().parse().expect("digits and an exponent are a float")
    }

    /// The absolute value.
    #[must_use]
    pub fn abs(&self) -> Self {
        match &self.coefficient {
            Coefficient::Small(c) if *c != i128::MIN => {
                Self { coefficient: Coefficient::Small(c.abs()), exponent: self.exponent }
            }
            _ => Self::from_big(BigInt::from(self.big().magnitude().clone()), self.exponent),
        }
    }

    /// `self − other`, exactly.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let exponent = self.exponent.min(other.exponent);
        Self::from_big(self.aligned(exponent) - other.aligned(exponent), exponent)
    }

    /// `self × other`, exactly.
    #[must_use]
    pub fn times(&self, other: &Self) -> Self {
        Self::from_big(self.big() * other.big(), self.exponent + other.exponent)
    }

    /// A non-negative number without its digits after the `scale`th place.
    #[must_use]
    pub fn floor_at(&self, scale: u32) -> Self {
        match u32::try_from(-i64::from(self.exponent) - i64::from(scale)) {
            Ok(extra) if extra > 0 => {
                Self::from_big(self.big() / BigInt::from(10).pow(extra), -(scale as i32))
            }
            _ => self.clone(),
        }
    }

    /// Appends the canonical bytes: exponent, then the coefficient (16 bytes, or a length and as many).
    pub fn encode(&self, small: u8, big: u8, out: &mut Vec<u8>) {
        match &self.coefficient {
            Coefficient::Small(c) => {
                out.push(small);
                out.extend_from_slice(&self.exponent.to_le_bytes());
                out.extend_from_slice(&c.to_le_bytes());
            }
            Coefficient::Big(c) => {
                let bytes = c.to_signed_bytes_le();
                out.push(big);
                out.extend_from_slice(&self.exponent.to_le_bytes());
                out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
                out.extend_from_slice(&bytes);
            }
        }
    }

    /// Appends bytes whose order is the numbers' order: sign, magnitude of the leading digit, digits.
    pub fn sort_key(&self, out: &mut Vec<u8>) {
        let digits = self.big().magnitude().to_string();
        let magnitude = digits.len() as i64 + i64::from(self.exponent) + (1 << 32);
        let start = out.len() + 1;
        match self.big().sign() {
            Sign::NoSign => return out.push(1),
            Sign::Plus => out.push(2),
            Sign::Minus => out.push(0),
        }
        out.extend_from_slice(&magnitude.to_be_bytes());
        out.extend_from_slice(digits.as_bytes());
        out.push(b'/'); // sorts before every digit, so that a prefix comes first
        if self.big().sign() == Sign::Minus {
            out[start..].iter_mut().for_each(|byte| *byte = !*byte);
        }
    }

    fn big(&self) -> BigInt {
        match &self.coefficient {
            Coefficient::Small(c) => BigInt::from(*c),
            Coefficient::Big(c) => (**c).clone(),
        }
    }

    /// The coefficient of a number whose digits are few, as nearly all are.
    fn narrow(&self) -> Option<Narrow> {
        let Coefficient::Small(coefficient) = self.coefficient else { return None };
        (-18..=18).contains(&self.exponent).then(|| i64::try_from(coefficient).ok().map(Narrow)).flatten()
    }

    fn aligned(&self, exponent: i32) -> BigInt {
        let shift = u32::try_from(self.exponent - exponent).expect("aligned to the smaller exponent");
        self.big() * BigInt::from(10).pow(shift)
    }

    fn digit_count(&self) -> i64 {
        match &self.coefficient {
            Coefficient::Small(0) => 0,
            Coefficient::Small(c) => {
                let c = c.unsigned_abs();
                // As in `normalised`.
                i64::from(u64::try_from(c).map_or_else(|_| c.ilog10(), u64::ilog10)) + 1
            }
            Coefficient::Big(c) => c.magnitude().to_string().len() as i64,
        }
    }

    fn scientific(&self) -> String {
        format!("{}e{}", self.big(), self.exponent)
    }
}

/// Whether a minus stands before it, and the rest.
fn signed(text: &[u8]) -> Option<(bool, &[u8])> {
    Some(match text.first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    })
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self::normalised(value.into(), 0)
    }
}

impl From<i128> for Number {
    fn from(value: i128) -> Self {
        Self::normalised(value, 0)
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        if let (Coefficient::Small(a), Coefficient::Small(b), true) =
            (&self.coefficient, &other.coefficient, self.exponent == other.exponent)
        {
            return a.cmp(b);
        }
        let exponent = self.exponent.min(other.exponent);
        self.aligned(exponent).cmp(&other.aligned(exponent))
    }
}

/// A coefficient that 64-bit arithmetic writes.
struct Narrow(i64);

impl Narrow {
    /// Writes it with up to 18 zeros behind it or digits behind the point.
    fn fmt(&self, f: &mut fmt::Formatter<'_>, exponent: i32) -> fmt::Result {
        let digits = exponent.unsigned_abs();
        match exponent {
            0 => return write!(f, "{}", self.0),
            1.. => return write!(f, "{}{:0width$}", self.0, 0, width = digits as usize),
            _ => {}
        }
        let (sign, unit) = (if self.0 < 0 { "-" } else { "" }, 10_u64.pow(digits));
        let (whole, rest) = (self.0.unsigned_abs() / unit, self.0.unsigned_abs() % unit);
        write!(f, "{sign}{whole}.{rest:0width$}", width = digits as usize)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(narrow) = self.narrow() {
            return narrow.fmt(f, self.exponent);
        }
        let big = self.big();
        let digits = big.magnitude().to_string();
        let sign = if big.sign() == Sign::Minus { "-" } else { "" };
        let exponent = i64::from(self.exponent);
        let length = digits.len() as i64;
        if length.max(length + exponent).max(-exponent) > PLAIN_DIGITS_MAX {
            return write!(f, "{sign}{digits}E{exponent}");
        }
        if exponent >= 0 {
            return write!(f, "{sign}{digits}{}", "0".repeat(exponent as usize));
        }
        let point = length + exponent;
        if point <= 0 {
            return write!(f, "{sign}0.{}{digits}", "0".repeat(-point as usize));
        }
        let (whole, fraction) = digits.split_at(point as usize);
        write!(f, "{sign}{whole}.{fraction}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn n(text: &str) -> Number {
        Number::parse(text).expect("a number")
    }

    #[test]
    fn spellings_of_one_number_are_one_number() {
        for (a, b) in [
            ("1.0", "1"),
            ("1E2", "100"),
            ("-0", "0"),
            ("0.00", "0"),
            ("+5", "5"),
            (".5", "0.5"),
            ("5.", "5"),
        ] {
            assert_eq!(n(a), n(b), "{a} and {b}");
        }
        assert_ne!(n("9007199254740993"), n("9007199254740992"));
        let long = "123456789012345678901234567890123456789012345";
        assert_eq!(n(&format!("{long}000")), n(&format!("{long}e3")));
        assert_ne!(n(&format!("{long}1")), n(&format!("{long}2")));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in [
            "",
            "-",
            "+",
            ".",
            "e5",
            "1e",
            "1 ",
            " 1",
            "0x1",
            "1_000",
            "1,5",
            "NaN",
            "--1",
            "1e999999999",
            "١",
        ] {
            assert!(Number::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn text_is_plain_up_to_sixty_digits() {
        for text in ["0", "100", "-1.5", "0.001", "12345678901234567890123456789012345678901"] {
            assert_eq!(n(text).to_string(), text);
        }
        assert_eq!(n("9.9E125").to_string(), "99E124");
        assert_eq!(n("1E-130").to_string(), "1E-130");
    }

    #[test]
    fn a_float_is_its_shortest_digits() {
        assert_eq!(Number::from_f64(0.1), Some(n("0.1")));
        assert_eq!(Number::from_f32(0.1), Some(n("0.1")));
        assert_eq!(Number::from_f64(f64::NAN), None);
        assert_eq!(Number::from_f64(5e-324), Some(n("5e-324")));
    }

    #[test]
    fn decimal_sizes() {
        assert!(n("123.45").fits(5, 2) && !n("123.45").fits(4, 2) && !n("123.456").fits(9, 2));
        assert!(n("0").fits(1, 1) && n("0.5").fits(1, 1) && !n("1").fits(1, 1) && n("1E2").fits(3, 0));
        assert_eq!(n("1.5").to_scaled(4), Some(15_000));
        assert_eq!(n("1.5").to_scaled(0), None);
        assert_eq!(n("1E38").to_scaled(0), None);
        assert_eq!(n("0").to_scaled(38), Some(0));
    }

    proptest! {
        #[test]
        fn text_and_back(c in any::<i128>(), e in -40i32..40) {
            let number = Number::from_scaled(c, e);
            prop_assert_eq!(n(&number.to_string()), number);
        }

        #[test]
        fn every_digit_of_a_short_number_is_written(c in any::<i64>(), e in -20i32..20) {
            let digits = c.unsigned_abs().to_string();
            let (whole, rest) = match usize::try_from(-e) {
                Ok(after) => {
                    let digits = format!("{digits:0>width$}", width = after + 1);
                    let (whole, rest) = digits.split_at(digits.len() - after);
                    (whole.to_owned(), rest.trim_end_matches('0').to_owned())
                }
                Err(_) => (digits + &"0".repeat(e.unsigned_abs() as usize), String::new()),
            };
            let sign = if c < 0 { "-" } else { "" };
            let point = if rest.is_empty() { "" } else { "." };
            prop_assert_eq!(Number::from_scaled(c.into(), -e).to_string(), format!("{sign}{whole}{point}{rest}"));
        }

        #[test]
        fn order_of_sort_keys_is_the_order_of_numbers(a in any::<i64>(), b in any::<i64>(), ea in -6i32..6, eb in -6i32..6) {
            let (a, b) = (Number::from_scaled(a.into(), ea), Number::from_scaled(b.into(), eb));
            let (mut ka, mut kb) = (Vec::new(), Vec::new());
            a.sort_key(&mut ka);
            b.sort_key(&mut kb);
            prop_assert_eq!(ka.cmp(&kb), a.cmp(&b));
        }

        #[test]
        fn minus_is_exact(a in -(1i128 << 100)..(1i128 << 100), b in -(1i128 << 100)..(1i128 << 100)) {
            prop_assert_eq!(Number::from(a).minus(&Number::from(b)), Number::from(a - b));
        }
    }
}
