//! Typed values: what a cell is, exactly, whatever store it came from.
//!
//! In: cells of Arrow batches (`arrow.rs`) and texts (`json.rs`, `cast.rs`). Out: a [`Value`] that is compared by its
//! canonical bytes ([`Value::encode`]), ordered by [`Value::sort_key`] and shown by [`Value::display`].

pub mod arrow;
pub mod cast;
pub mod column;
pub mod json;
pub mod kind;
mod number;
pub mod time;
mod typed;

use std::borrow::Cow;

use base64::Engine;

pub use number::Number;
use time::{Interval, Moment};

/// One value. Borrowed where it can be, since most values are looked at once.
///
/// Equality of values is equality of their canonical bytes: NaN equals NaN, −0 equals 0, sets and maps are order-free.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// The attribute is not there.
    Absent,
    /// It is there, and NULL.
    Null,
    /// True or false.
    Bool(bool),
    /// An exact number.
    Number(Number),
    /// A single-precision float.
    Float32(f32),
    /// A double-precision float.
    Float64(f64),
    /// Text.
    Text(Cow<'a, str>),
    /// Bytes.
    Bytes(Cow<'a, [u8]>),
    /// Nanoseconds since 1970 on a UTC clock (`zoned`) or on a clock that nobody named.
    Timestamp {
        /// Nanoseconds since 1970-01-01T00:00:00.
        at: Moment,
        /// Whether it is an instant.
        zoned: bool,
    },
    /// Days since 1970-01-01.
    Date(Moment),
    /// Nanoseconds since midnight.
    Time(i64),
    /// Nanoseconds since midnight, and seconds east of UTC.
    TimeTz(i64, i32),
    /// Months, days, microseconds.
    Interval(Interval),
    /// A UUID.
    Uuid(u128),
    /// In order.
    List(Vec<Value<'a>>),
    /// Without order, each element once (see [`Value::set`]).
    Set(Vec<Value<'a>>),
    /// Names and values, in an order that does not matter; where a name occurs twice, as in a JSON document, the order of its
    /// values does.
    Map(Vec<(Value<'a>, Value<'a>)>),
}

/// The first canonical byte of each kind of value. Never renumbered: hashes of one stage meet those of another.
mod tag {
    pub(super) const ABSENT: u8 = 0;
    pub(super) const NULL: u8 = 1;
    pub(super) const FALSE: u8 = 2;
    pub(super) const TRUE: u8 = 3;
    pub(super) const NUMBER: u8 = 4;
    pub(super) const BIG_NUMBER: u8 = 5;
    pub(super) const FLOAT32: u8 = 6;
    pub(super) const FLOAT64: u8 = 7;
    pub(super) const TEXT: u8 = 8;
    pub(super) const BYTES: u8 = 9;
    pub(super) const INSTANT: u8 = 10;
    pub(super) const CIVIL: u8 = 11;
    pub(super) const DATE: u8 = 12;
    pub(super) const TIME: u8 = 13;
    pub(super) const TIME_TZ: u8 = 14;
    pub(super) const INTERVAL: u8 = 15;
    pub(super) const UUID: u8 = 16;
    pub(super) const LIST: u8 = 17;
    pub(super) const SET: u8 = 18;
    pub(super) const MAP: u8 = 19;
}

impl<'a> Value<'a> {
    /// A set of these elements: sorted by their canonical bytes, each once.
    pub fn set(mut elements: Vec<Value<'a>>) -> Self {
        if elements.iter().all(|e| matches!(e, Self::Text(_))) {
            // Their canonical bytes are the length, then the text: nothing has to be encoded.
            elements.sort_by(|a, b| a.text_order().cmp(&b.text_order()));
            elements.dedup_by(|a, b| a.text_order() == b.text_order());
            return Self::Set(elements);
        }
        let mut keyed: Vec<(Vec<u8>, Value<'a>)> = elements.into_iter().map(|e| (e.encoded(), e)).collect();
        keyed.sort_by(|a, b| a.0.cmp(&b.0));
        keyed.dedup_by(|a, b| a.0 == b.0);
        Self::Set(keyed.into_iter().map(|(_, e)| e).collect())
    }

    /// What texts are ordered by in a set.
    fn text_order(&self) -> Option<([u8; 8], &[u8])> {
        match self {
            Self::Text(text) => Some(((text.len() as u64).to_le_bytes(), text.as_bytes())),
            _ => None,
        }
    }

    /// The same value, borrowing nothing.
    pub fn into_owned(self) -> Value<'static> {
        let all = |values: Vec<Value<'a>>| values.into_iter().map(Value::into_owned).collect();
        match self {
            Self::Absent => Value::Absent,
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Number(number) => Value::Number(number),
            Self::Float32(value) => Value::Float32(value),
            Self::Float64(value) => Value::Float64(value),
            Self::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Self::Bytes(bytes) => Value::Bytes(Cow::Owned(bytes.into_owned())),
            Self::Timestamp { at, zoned } => Value::Timestamp { at, zoned },
            Self::Date(days) => Value::Date(days),
            Self::Time(nanos) => Value::Time(nanos),
            Self::TimeTz(nanos, offset_s) => Value::TimeTz(nanos, offset_s),
            Self::Interval(interval) => Value::Interval(interval),
            Self::Uuid(value) => Value::Uuid(value),
            Self::List(elements) => Value::List(all(elements)),
            Self::Set(elements) => Value::Set(all(elements)),
            Self::Map(entries) => {
                Value::Map(entries.into_iter().map(|(name, v)| (name.into_owned(), v.into_owned())).collect())
            }
        }
    }

    /// Whether there is nothing to see: NULL or absent.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null | Self::Absent)
    }

    /// Whether both are the same value.
    pub fn same(&self, other: &Value<'_>) -> bool {
        self.encoded() == other.encoded()
    }

    /// The canonical bytes alone.
    pub fn encoded(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32);
        self.encode(&mut out);
        out
    }

    /// Appends the canonical bytes: a tag, then the value with lengths before everything of varying length. Equal values
    /// give equal bytes, different ones different bytes, and no value's bytes are the beginning of another's, so that
    /// the bytes of a row are those of its values one after the other.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Absent => out.push(tag::ABSENT),
            Self::Null => out.push(tag::NULL),
            Self::Bool(value) => out.push(if *value { tag::TRUE } else { tag::FALSE }),
            Self::Number(number) => number.encode(tag::NUMBER, tag::BIG_NUMBER, out),
            Self::Float32(value) => {
                out.push(tag::FLOAT32);
                let plain = if value.is_nan() { f32::NAN } else { *value + 0.0 };
                out.extend_from_slice(&plain.to_bits().to_le_bytes());
            }
            Self::Float64(value) => {
                out.push(tag::FLOAT64);
                let plain = if value.is_nan() { f64::NAN } else { *value + 0.0 };
                out.extend_from_slice(&plain.to_bits().to_le_bytes());
            }
            Self::Text(text) => encode_bytes(tag::TEXT, text.as_bytes(), out),
            Self::Bytes(bytes) => encode_bytes(tag::BYTES, bytes, out),
            Self::Timestamp { at, zoned } => {
                encode_moment(if *zoned { tag::INSTANT } else { tag::CIVIL }, *at, out)
            }
            Self::Date(days) => encode_moment(tag::DATE, *days, out),
            Self::Time(nanos) => {
                out.push(tag::TIME);
                out.extend_from_slice(&nanos.to_le_bytes());
            }
            Self::TimeTz(nanos, offset_s) => {
                out.push(tag::TIME_TZ);
                out.extend_from_slice(&nanos.to_le_bytes());
                out.extend_from_slice(&offset_s.to_le_bytes());
            }
            Self::Interval(interval) => {
                out.push(tag::INTERVAL);
                for part in [interval.months, interval.days, interval.micros] {
                    out.extend_from_slice(&part.to_le_bytes());
                }
            }
            Self::Uuid(value) => {
                out.push(tag::UUID);
                out.extend_from_slice(&value.to_be_bytes());
            }
            Self::List(elements) => encode_elements(tag::LIST, elements, out),
            Self::Set(elements) => encode_elements(tag::SET, elements, out),
            Self::Map(entries) => encode_entries(entries, out),
        }
    }

    /// Appends what [`Value::encode`] appends for a text, without making a value of it.
    pub fn encode_text(text: &str, out: &mut Vec<u8>) {
        encode_bytes(tag::TEXT, text.as_bytes(), out);
    }

    /// Appends what [`Value::encode`] appends for a whole number, without making a value of it.
    pub fn encode_int(value: i64, out: &mut Vec<u8>) {
        Number::from(value).encode(tag::NUMBER, tag::BIG_NUMBER, out);
    }

    /// Appends bytes whose order is the order in which reports show keys: NULL first, numbers by size, text by code
    /// point, times by time. Different values have different sort keys.
    pub fn sort_key(&self, out: &mut Vec<u8>) {
        match self {
            Self::Number(number) => {
                out.push(tag::NUMBER);
                number.sort_key(out);
            }
            Self::Text(text) => {
                out.push(tag::TEXT);
                sortable_bytes(text.as_bytes(), out);
            }
            Self::Bytes(bytes) => {
                out.push(tag::BYTES);
                sortable_bytes(bytes, out);
            }
            Self::Timestamp { at, zoned } => {
                out.push(if *zoned { tag::INSTANT } else { tag::CIVIL });
                sortable_moment(*at, out);
            }
            Self::Date(days) => {
                out.push(tag::DATE);
                sortable_moment(*days, out);
            }
            Self::Time(nanos) => {
                out.push(tag::TIME);
                out.extend_from_slice(&nanos.to_be_bytes());
            }
            Self::Float64(value) => {
                out.push(tag::FLOAT64);
                let bits = (*value + 0.0).to_bits();
                let flipped = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
                out.extend_from_slice(&flipped.to_be_bytes());
            }
            other => other.encode(out),
        }
    }

    /// The text of a cell in a report: lists, sets and maps as canonical JSON, bytes as `\x` hex, times as ISO 8601;
    /// `None` for NULL and absent.
    pub fn display(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::Absent | Self::Null => return None,
            Self::Bool(value) => Cow::Borrowed(if *value { "true" } else { "false" }),
            Self::Number(number) => Cow::Owned(number.to_string()),
            Self::Float32(value) => Cow::Owned(float_text(*value as f64, || Number::from_f32(*value))),
            Self::Float64(value) => Cow::Owned(float_text(*value, || Number::from_f64(*value))),
            Self::Text(text) => Cow::Borrowed(text),
            Self::Bytes(bytes) => Cow::Owned(hex(bytes)),
            Self::Timestamp { at, zoned } => Cow::Owned(time::format_timestamp(*at, *zoned)),
            Self::Date(days) => Cow::Owned(time::format_date(*days)),
            Self::Time(nanos) => Cow::Owned(time::format_time(*nanos, None)),
            Self::TimeTz(nanos, offset_s) => Cow::Owned(time::format_time(*nanos, Some(*offset_s))),
            Self::Interval(interval) => Cow::Owned(interval.to_string()),
            Self::Uuid(value) => Cow::Owned(uuid::Uuid::from_u128(*value).to_string()),
            Self::List(_) | Self::Set(_) | Self::Map(_) => Cow::Owned(json::canonical(self)),
        })
    }

    /// A name for the kind of value, for messages.
    pub fn kind_name(&self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Number(_) => "number",
            Self::Float32(_) | Self::Float64(_) => "float",
            Self::Text(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::Timestamp { .. } => "timestamp",
            Self::Date(_) => "date",
            Self::Time(_) => "time",
            Self::TimeTz(..) => "timetz",
            Self::Interval(_) => "interval",
            Self::Uuid(_) => "uuid",
            Self::List(_) => "list",
            Self::Set(_) => "set",
            Self::Map(_) => "map",
        }
    }
}

fn float_text(value: f64, shortest: impl Fn() -> Option<Number>) -> String {
    match shortest() {
        Some(number) => number.to_string(),
        None if value.is_nan() => "NaN".to_owned(),
        None => if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned(),
    }
}

/// `\x` and two lower-case hex digits a byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::from("\\x"), |mut out, byte| {
        out.push_str(&format!("{byte:02x}"));
        out
    })
}

/// The bytes of hex digits, two a byte; `None` where they are none.
pub fn unhex(digits: &str) -> Option<Vec<u8>> {
    let nibbles: Option<Vec<u8>> = digits.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect();
    let nibbles = nibbles.filter(|n| n.len() % 2 == 0)?;
    Some(nibbles.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// RFC 4648 with padding.
pub fn base64_text(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn encode_bytes(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn encode_moment(tag: u8, moment: Moment, out: &mut Vec<u8>) {
    out.push(tag);
    match moment {
        Moment::NegInfinity => out.push(0),
        Moment::At(units) => {
            out.push(1);
            out.extend_from_slice(&units.to_le_bytes());
        }
        Moment::Infinity => out.push(2),
    }
}

fn encode_elements(tag: u8, elements: &[Value<'_>], out: &mut Vec<u8>) {
    out.push(tag);
    out.extend_from_slice(&(elements.len() as u64).to_le_bytes());
    for element in elements {
        element.encode(out);
    }
}

fn encode_entries(entries: &[(Value<'_>, Value<'_>)], out: &mut Vec<u8>) {
    let mut sorted: Vec<(usize, Vec<u8>)> = entries
        .iter()
        .map(|(name, value)| {
            let mut bytes = name.encoded();
            let name_bytes = bytes.len();
            value.encode(&mut bytes);
            (name_bytes, bytes)
        })
        .collect();
    // By name alone: of two values with one name readers take the last, or the first, so that their order is a difference.
    sorted.sort_by(|(a, left), (b, right)| left[..*a].cmp(&right[..*b]));
    out.push(tag::MAP);
    out.extend_from_slice(&(sorted.len() as u64).to_le_bytes());
    out.extend(sorted.into_iter().flat_map(|(_, bytes)| bytes));
}

/// Bytes in their order, with an end that sorts before every continuation: 0x00 becomes 0x00 0xff, the end is 0x00 0x00.
fn sortable_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        out.push(*byte);
        if *byte == 0 {
            out.push(0xff);
        }
    }
    out.extend_from_slice(&[0, 0]);
}

fn sortable_moment(moment: Moment, out: &mut Vec<u8>) {
    match moment {
        Moment::NegInfinity => out.push(0),
        Moment::At(units) => {
            out.push(1);
            out.extend_from_slice(&(units as u128 ^ 1 << 127).to_be_bytes());
        }
        Moment::Infinity => out.push(2),
    }
}

#[cfg(test)]
mod tests;
