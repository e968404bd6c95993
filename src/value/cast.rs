//! Casting: from what a store holds to the class in which a field is compared. Nothing is ever rounded or guessed; a value
//! that does not fit is an error in words.

use std::borrow::Cow;

use base64::Engine;
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::kind::{DecimalSize, Element};
use super::time::{self, DAY_NS, Moment, SECOND_NS};
use super::{Number, Value, json, unhex};

/// The class in which a field's values are compared; both sides are cast to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Each value as its own type: between two schemaless sides.
    Any,
    /// Text.
    Text,
    /// Integers of any size.
    Int,
    /// Exact numbers, and floats by their shortest digits.
    Number,
    /// Exact numbers that fit a `decimal(p,s)`.
    Decimal(DecimalSize),
    /// Single-precision floats.
    Float32,
    /// Double-precision floats.
    Float64,
    /// True or false.
    Bool,
    /// Timestamps.
    Timestamp(Zone),
    /// Dates.
    Date,
    /// Times of day.
    Time,
    /// Times of day with an offset.
    TimeTz,
    /// Intervals.
    Interval,
    /// UUIDs.
    Uuid,
    /// Bytes.
    Bytes,
    /// JSON documents.
    Json,
    /// Sets; `None`: elements as their own types.
    Set(Option<Element>),
    /// Lists.
    List,
}

impl Class {
    /// The spec's word for it; for [`Class::Any`] there is none.
    pub fn word(self) -> &'static str {
        match self {
            Self::Any => "each value's own type",
            Self::Text => "string",
            Self::Int => "int",
            Self::Number | Self::Decimal(_) => "decimal",
            Self::Float32 | Self::Float64 => "float",
            Self::Bool => "bool",
            Self::Timestamp(_) => "timestamp",
            Self::Date => "date",
            Self::Time => "time",
            Self::TimeTz => "timetz",
            Self::Interval => "interval",
            Self::Uuid => "uuid",
            Self::Bytes => "bytes",
            Self::Json => "json",
            Self::Set(None) => "set",
            Self::Set(Some(Element::String)) => "set<string>",
            Self::Set(Some(Element::Number)) => "set<number>",
            Self::Set(Some(Element::Bytes)) => "set<bytes>",
            Self::List => "list",
        }
    }

    /// The name of a class that every store but a text file has a type for: there a string is a value of another type.
    fn own_type_everywhere(self) -> Option<&'static str> {
        match self {
            Self::Int | Self::Number | Self::Decimal(_) | Self::Float32 | Self::Float64 => Some("number"),
            Self::Bool => Some("bool"),
            _ => None,
        }
    }
}

/// Which timestamps a field accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Zone {
    /// Any; the kinds are counted.
    Either,
    /// Instants only: a value without an offset does not cast.
    Instant,
}

/// How texts of one side are read.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The zone of timestamps that carry none.
    pub timezone: Option<TimeZone>,
    /// How bytes are written as text; `None`: `\x` and hex, else base64.
    pub bytes: Option<BytesText>,
    /// Whether values of another type are converted rather than refused: the spec declared the type, or the store knows
    /// only text.
    pub free: bool,
}

/// How bytes are written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BytesText {
    /// Hex digits, with or without `\x` before them.
    Hex,
    /// RFC 4648 with padding.
    Base64,
}

/// Casts a value to a class. NULL and absent stay what they are.
///
/// # Errors
/// What is wrong with the value, in words that do not repeat it.
#[inline]
pub fn cast<'a>(value: Value<'a>, class: Class, reading: &Reading) -> Result<Value<'a>, String> {
    match (&value, class) {
        (Value::Null | Value::Absent, _) | (_, Class::Any) | (Value::Text(_), Class::Text) => Ok(value),
        _ => cast_other(value, class, reading),
    }
}

fn cast_other<'a>(value: Value<'a>, class: Class, reading: &Reading) -> Result<Value<'a>, String> {
    if let (false, Value::Text(_), Some(wanted)) = (reading.free, &value, class.own_type_everywhere()) {
        return Err(format!("a string where a {wanted} is expected; give the field a `type` to convert it"));
    }
    match class {
        Class::Any => Ok(value),
        Class::Text => text(value, reading),
        Class::Int => {
            let number = number(value)?;
            match &number {
                Value::Number(n) if n.is_integer() => Ok(number),
                _ => Err("not an integer".to_owned()),
            }
        }
        Class::Number => number(value),
        Class::Decimal(size) => match number(value)? {
            Value::Number(n) if n.fits(size.precision, size.scale) => Ok(Value::Number(n)),
            Value::Number(_) => Err(format!("does not fit decimal({},{})", size.precision, size.scale)),
            special => Ok(special),
        },
        Class::Float32 => float(value, single).map(narrow),
        Class::Float64 => float(value, double),
        Class::Bool => bool(value),
        Class::Timestamp(zone) => timestamp(value, zone, reading),
        Class::Date => date(value),
        Class::Time => match value {
            Value::Text(t) => match time::parse_time(&t) {
                Some((nanos, None)) => Ok(Value::Time(nanos)),
                _ => Err("not a time of day (HH:MM:SS)".to_owned()),
            },
            other => only(other, "time", |v| matches!(v, Value::Time(_))),
        },
        Class::TimeTz => match value {
            Value::Text(t) => match time::parse_time(&t) {
                Some((nanos, Some(offset_s))) => Ok(Value::TimeTz(nanos, offset_s)),
                _ => Err("not a time of day with an offset (HH:MM:SS+HH:MM)".to_owned()),
            },
            other => only(other, "timetz", |v| matches!(v, Value::TimeTz(..))),
        },
        Class::Interval => match value {
            Value::Text(t) => {
                time::parse_interval(&t).map(Value::Interval).ok_or("not an interval".to_owned())
            }
            other => only(other, "interval", |v| matches!(v, Value::Interval(_))),
        },
        Class::Uuid => match value {
            Value::Text(t) => uuid(&t),
            other => only(other, "uuid", |v| matches!(v, Value::Uuid(_))),
        },
        Class::Bytes => bytes(value, reading),
        Class::Json => match value {
            Value::Text(t) => json::parse(&t),
            other => json::from_value(other),
        },
        Class::Set(element) => set(value, element, reading),
        Class::List => match value {
            Value::Text(t) => match json::parse(&t)? {
                list @ Value::List(_) => Ok(list),
                _ => Err("not a JSON array".to_owned()),
            },
            other => only(numbers_inside(other), "list", |v| matches!(v, Value::List(_))),
        },
    }
}

fn only<'a>(value: Value<'a>, wanted: &str, is: fn(&Value<'_>) -> bool) -> Result<Value<'a>, String> {
    if is(&value) { Ok(value) } else { Err(format!("a {} where a {wanted} is expected", value.kind_name())) }
}

fn text<'a>(value: Value<'a>, reading: &Reading) -> Result<Value<'a>, String> {
    match value {
        Value::Text(_) => Ok(value),
        other if reading.free => {
            Ok(Value::Text(Cow::Owned(other.display().expect("neither NULL nor absent").into_owned())))
        }
        other => Err(format!("a {} where a string is expected", other.kind_name())),
    }
}

/// A number; NaN and the infinities stay floats, which no number equals.
fn number(value: Value<'_>) -> Result<Value<'_>, String> {
    match value {
        Value::Number(_) => Ok(value),
        Value::Text(t) => match Number::parse(&t) {
            Ok(n) => Ok(Value::Number(n)),
            Err(_) if t == "NaN" => Ok(Value::Float64(f64::NAN)),
            Err(_) if t == "Infinity" => Ok(Value::Float64(f64::INFINITY)),
            Err(_) if t == "-Infinity" => Ok(Value::Float64(f64::NEG_INFINITY)),
            Err(e) => Err(e),
        },
        Value::Float32(f) => Ok(Number::from_f32(f).map_or(Value::Float64(f.into()), Value::Number)),
        Value::Float64(f) => Ok(Number::from_f64(f).map_or(Value::Float64(f), Value::Number)),
        other => Err(format!("a {} where a number is expected", other.kind_name())),
    }
}

/// A list whose floats are the numbers that they are written as, so that no width and no store is a difference of its own.
fn numbers_inside(value: Value<'_>) -> Value<'_> {
    match value {
        Value::List(elements) => Value::List(elements.into_iter().map(numbers_inside).collect()),
        Value::Set(elements) => Value::set(elements.into_iter().map(numbers_inside).collect()),
        Value::Map(entries) => {
            Value::Map(entries.into_iter().map(|(name, value)| (name, numbers_inside(value))).collect())
        }
        Value::Float32(f) => Number::from_f32(f).map_or(Value::Float64(f.into()), Value::Number),
        Value::Float64(f) => Number::from_f64(f).map_or(Value::Float64(f), Value::Number),
        other => other,
    }
}

/// A float; `meant` says which one a number is written for.
fn float(value: Value<'_>, meant: fn(Number) -> Result<Value<'static>, String>) -> Result<Value<'_>, String> {
    match value {
        Value::Float64(_) => Ok(value),
        Value::Float32(f) => Ok(Value::Float32(f)),
        Value::Number(n) => meant(n),
        Value::Text(t) => match t.as_ref() {
            "NaN" | "nan" => Ok(Value::Float64(f64::NAN)),
            "Infinity" | "inf" | "+Infinity" => Ok(Value::Float64(f64::INFINITY)),
            "-Infinity" | "-inf" => Ok(Value::Float64(f64::NEG_INFINITY)),
            digits => meant(Number::parse(digits)?),
        },
        other => Err(format!("a {} where a float is expected", other.kind_name())),
    }
}

/// The double that a number is written for: its digits are the shortest that give the double back, or the 17 that always do.
/// Any other number stays one, which no float equals: taken for the nearest double, two numbers could look equal.
fn double(n: Number) -> Result<Value<'static>, String> {
    let nearest = n.to_f64();
    if !nearest.is_finite() {
        return Err("too large for a float".to_owned());
    }
    Ok(if is_written_for(&n, nearest) { Value::Float64(nearest) } else { Value::Number(n) })
}

/// The single that a number is written for: by its own shortest digits, or by those of the double that is the same value, as a
/// store writes it that widened the single. Any other number stays one, as in [`double`].
fn single(n: Number) -> Result<Value<'static>, String> {
    if !n.to_f64().is_finite() {
        return Err("too large for a float".to_owned());
    }
    let nearest = n.to_f32();
    let shortest = Number::from_f32(nearest).is_some_and(|shortest| shortest == n);
    let is_meant = shortest || (nearest.is_finite() && is_written_for(&n, nearest.into()));
    Ok(if is_meant { Value::Float32(nearest) } else { Value::Number(n) })
}

fn is_written_for(n: &Number, double: f64) -> bool {
    let in_full = || Number::parse(&format!("{double:.16e}")).is_ok_and(|full| full == *n);
    Number::from_f64(double).is_some_and(|shortest| shortest == *n) || in_full()
}

/// To single precision; a finite double that overflows it stays a double, which no single equals.
fn narrow(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Float64(f) if f.is_finite() && !(f as f32).is_finite() => Value::Float64(f),
        Value::Float64(f) => Value::Float32(f as f32),
        other => other,
    }
}

fn bool(value: Value<'_>) -> Result<Value<'_>, String> {
    let zero_or_one = |n: &Number| match n {
        n if *n == Number::from(0i64) => Ok(Value::Bool(false)),
        n if *n == Number::from(1i64) => Ok(Value::Bool(true)),
        _ => Err("a number other than 0 and 1 where a bool is expected".to_owned()),
    };
    match value {
        Value::Bool(_) => Ok(value),
        Value::Number(n) => zero_or_one(&n),
        Value::Text(t) => match t.to_ascii_lowercase().as_str() {
            "true" | "t" | "1" | "yes" | "y" | "on" => Ok(Value::Bool(true)),
            "false" | "f" | "0" | "no" | "n" | "off" => Ok(Value::Bool(false)),
            _ => Err("not a bool (true or false)".to_owned()),
        },
        other => Err(format!("a {} where a bool is expected", other.kind_name())),
    }
}

fn timestamp<'a>(value: Value<'a>, zone: Zone, reading: &Reading) -> Result<Value<'a>, String> {
    let (local, offset_s) = match value {
        Value::Timestamp { at, zoned } => (at, zoned.then_some(0)),
        Value::Date(Moment::At(days)) => (Moment::At(days * DAY_NS), None),
        Value::Date(infinite) => (infinite, None),
        Value::Text(t) => {
            let parsed =
                time::parse_timestamp(&t).ok_or("not a timestamp (ISO 8601, at most nanoseconds)")?;
            (parsed.local, parsed.offset_s)
        }
        other => return Err(format!("a {} where a timestamp is expected", other.kind_name())),
    };
    match (local, offset_s, &reading.timezone) {
        (Moment::At(ns), Some(offset_s), _) => {
            Ok(Value::Timestamp { at: Moment::At(ns - i128::from(offset_s) * SECOND_NS), zoned: true })
        }
        (Moment::At(ns), None, Some(timezone)) => {
            Ok(Value::Timestamp { at: Moment::At(ns - offset_at(ns, timezone)?), zoned: true })
        }
        (Moment::At(_), None, None) if zone == Zone::Instant => {
            Err("a timestamp without an offset in a zoned field; give its dataset a `timezone`".to_owned())
        }
        (at @ Moment::At(_), None, None) => Ok(Value::Timestamp { at, zoned: false }),
        // An end of time is the same in every zone and in none.
        (at, _, _) => Ok(Value::Timestamp { at, zoned: false }),
    }
}

/// Nanoseconds east of UTC at a local time; a local time that does not exist or occurs twice is an error.
fn offset_at(local_ns: i128, timezone: &TimeZone) -> Result<i128, String> {
    let days = i64::try_from(local_ns.div_euclid(DAY_NS)).map_err(|e| e.to_string())?;
    let (year, month, day) = time::civil_from_days(days);
    let second = local_ns.rem_euclid(DAY_NS) / SECOND_NS;
    let year = i16::try_from(year).map_err(|_| "a year beyond what time zones cover".to_owned())?;
    let civil = jiff::civil::DateTime::new(
        year,
        month as i8,
        day as i8,
        (second / 3600) as i8,
        (second / 60 % 60) as i8,
        (second % 60) as i8,
        0,
    )
    .map_err(|e| e.to_string())?;
    match timezone.to_ambiguous_timestamp(civil).offset() {
        AmbiguousOffset::Unambiguous { offset } => Ok(i128::from(offset.seconds()) * SECOND_NS),
        AmbiguousOffset::Gap { .. } => Err("a local time that the dataset's timezone skips".to_owned()),
        AmbiguousOffset::Fold { .. } => {
            Err("a local time that occurs twice in the dataset's timezone".to_owned())
        }
    }
}

fn date(value: Value<'_>) -> Result<Value<'_>, String> {
    match value {
        Value::Date(_) => Ok(value),
        Value::Text(t) => time::parse_date(&t).map(Value::Date).ok_or("not a date (YYYY-MM-DD)".to_owned()),
        Value::Timestamp { at: Moment::At(ns), .. } if ns % DAY_NS == 0 => {
            Ok(Value::Date(Moment::At(ns / DAY_NS)))
        }
        Value::Timestamp { at: Moment::At(_), .. } => {
            Err("a timestamp that is not midnight as a date".to_owned())
        }
        Value::Timestamp { at, .. } => Ok(Value::Date(at)),
        other => Err(format!("a {} where a date is expected", other.kind_name())),
    }
}

fn uuid(text: &str) -> Result<Value<'static>, String> {
    uuid::Uuid::try_parse(text).map(|u| Value::Uuid(u.as_u128())).map_err(|_| "not a UUID".to_owned())
}

fn bytes<'a>(value: Value<'a>, reading: &Reading) -> Result<Value<'a>, String> {
    let Value::Text(text) = &value else { return only(value, "bytes", |v| matches!(v, Value::Bytes(_))) };
    let hex = match (reading.bytes, text.strip_prefix("\\x")) {
        (Some(BytesText::Base64), _) | (None, None) => None,
        (_, Some(digits)) => Some(digits),
        (Some(BytesText::Hex), None) => Some(text.as_ref()),
    };
    let decoded = match hex {
        Some(digits) => unhex(digits).ok_or("not hex digits in pairs")?,
        None => base64::engine::general_purpose::STANDARD.decode(text.as_ref()).map_err(|_| "not base64")?,
    };
    Ok(Value::Bytes(Cow::Owned(decoded)))
}

fn set<'a>(value: Value<'a>, element: Option<Element>, reading: &Reading) -> Result<Value<'a>, String> {
    let elements = match value {
        Value::List(elements) | Value::Set(elements) => elements,
        Value::Text(t) => match json::parse(&t)? {
            Value::List(elements) => elements,
            _ => return Err("not a JSON array".to_owned()),
        },
        other => return Err(format!("a {} where a set is expected", other.kind_name())),
    };
    let class = match element {
        None => Class::Any,
        Some(Element::String) => Class::Text,
        Some(Element::Number) => Class::Number,
        Some(Element::Bytes) => Class::Bytes,
    };
    elements.into_iter().map(|e| cast(e, class, reading)).collect::<Result<Vec<_>, _>>().map(Value::set)
}
