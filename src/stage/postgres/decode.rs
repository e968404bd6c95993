//! PostgreSQL's binary values to cells.
//!
//! Formats: the `*send` functions of PostgreSQL's sources (`numeric_send`, `timestamptz_send`, `array_send`, …), as `COPY …
//! (format binary)` writes them: big-endian, days and microseconds since 2000-01-01.

use std::fmt::Write as _;

use crate::stage::table::ColumnBuilder;
use crate::value::Value;
use crate::value::column::ColumnType;
use crate::value::time::Moment;

/// Days from 1970-01-01 to 2000-01-01.
const DAYS_TO_2000: i32 = 10_957;
/// Microseconds from 1970 to 2000.
const MICROS_TO_2000: i64 = 946_684_800_000_000;

/// How a column's bytes are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decoder {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
    Text,
    /// Text whose trailing spaces are padding: `char(n)`.
    PaddedText,
    Bytes,
    Date,
    Time,
    TimeTz,
    Timestamp {
        zoned: bool,
    },
    Interval,
    Uuid,
    Json,
    Jsonb,
    /// An array, by its elements' reader.
    Array(Box<Decoder>),
}

impl Decoder {
    /// The reader and the column type of a type that is read in binary, by the type's oid (`pg_type.dat`).
    pub(super) fn of(oid: i64) -> Option<(Self, ColumnType)> {
        Some(match oid {
            16 => (Self::Bool, ColumnType::Bool),
            17 => (Self::Bytes, ColumnType::Bytes),
            20 => (Self::Int8, ColumnType::Int),
            21 => (Self::Int2, ColumnType::Int),
            23 => (Self::Int4, ColumnType::Int),
            25 | 1043 | 19 => (Self::Text, ColumnType::Text),
            1042 => (Self::PaddedText, ColumnType::Text),
            114 => (Self::Json, ColumnType::Json),
            3802 => (Self::Jsonb, ColumnType::Json),
            700 => (Self::Float4, ColumnType::Float32),
            701 => (Self::Float8, ColumnType::Float64),
            // Even a numeric(10,2) may be NaN, which no decimal holds.
            1700 => (Self::Numeric, ColumnType::Number),
            1082 => (Self::Date, ColumnType::Date),
            1083 => (Self::Time, ColumnType::Time),
            1266 => (Self::TimeTz, ColumnType::TimeTz),
            1114 => (Self::Timestamp { zoned: false }, ColumnType::Timestamp { zoned: false }),
            1184 => (Self::Timestamp { zoned: true }, ColumnType::Timestamp { zoned: true }),
            1186 => (Self::Interval, ColumnType::Interval),
            2950 => (Self::Uuid, ColumnType::Uuid),
            _ => return None,
        })
    }

    /// Appends a value's cell.
    ///
    /// # Errors
    /// Bytes that are no such value, or a value that cannot be carried; nothing was appended then.
    pub(super) fn append(
        &self,
        bytes: &[u8],
        to: &mut ColumnBuilder,
        scratch: &mut String,
    ) -> Result<(), String> {
        match (self, to) {
            (Self::Bool, ColumnBuilder::Bool(b)) => b.append_value(fixed::<1>(bytes)? != [0]),
            (Self::Int2, ColumnBuilder::Int(b)) => b.append_value(i16::from_be_bytes(fixed(bytes)?).into()),
            (Self::Int4, ColumnBuilder::Int(b)) => b.append_value(i32::from_be_bytes(fixed(bytes)?).into()),
            (Self::Int8, ColumnBuilder::Int(b)) => b.append_value(i64::from_be_bytes(fixed(bytes)?)),
            (Self::Float4, ColumnBuilder::Float32(b)) => b.append_value(f32::from_be_bytes(fixed(bytes)?)),
            (Self::Float8, ColumnBuilder::Float64(b)) => b.append_value(f64::from_be_bytes(fixed(bytes)?)),
            (Self::Bytes, ColumnBuilder::Bytes(b)) => b.append_value(bytes),
            (Self::Text | Self::Json, ColumnBuilder::Text(b)) => b.append_value(utf8(bytes)?),
            (Self::PaddedText, ColumnBuilder::Text(b)) => b.append_value(utf8(bytes)?.trim_end_matches(' ')),
            (Self::Jsonb, ColumnBuilder::Text(b)) => b.append_value(jsonb(bytes)?),
            (Self::Date, ColumnBuilder::Date(b)) => b.append_value(date(bytes)?),
            (Self::Time, ColumnBuilder::Time(b)) => b.append_value(i64::from_be_bytes(fixed(bytes)?)),
            (Self::Timestamp { .. }, ColumnBuilder::Timestamp(b)) => b.append_value(timestamp(bytes)?),
            (_, ColumnBuilder::Text(b)) => {
                scratch.clear();
                self.text(bytes, scratch)?;
                b.append_value(&scratch);
            }
            _ => return Err("a value of another type than the column's".to_owned()),
        }
        Ok(())
    }

    /// The text of a value, where it can be read.
    pub(super) fn shown(&self, bytes: &[u8]) -> Option<String> {
        let mut json = String::new();
        self.json(bytes, &mut json).ok()?;
        Some(serde_json::from_str::<String>(&json).unwrap_or(json))
    }

    /// Writes the text as which a value is carried.
    fn text(&self, bytes: &[u8], out: &mut String) -> Result<(), String> {
        match self {
            Self::Numeric => numeric(bytes, out),
            Self::TimeTz => time_tz(bytes, out),
            Self::Interval => interval(bytes, out),
            Self::Uuid => {
                let value = Value::Uuid(u128::from_be_bytes(fixed(bytes)?));
                out.push_str(&value.display().expect("a UUID is no NULL"));
                Ok(())
            }
            Self::Array(element) => array(element, bytes, out),
            _ => Err("a value of another type than the column's".to_owned()),
        }
    }

    /// Writes a value as an element of a JSON array; [`ColumnType::List`] reads it back.
    fn json(&self, bytes: &[u8], out: &mut String) -> Result<(), String> {
        let quoted = |text: &str, out: &mut String| {
            out.push_str(&serde_json::to_string(text).expect("a text is always JSON"));
        };
        let mut write = |args: std::fmt::Arguments<'_>| out.write_fmt(args).expect("a text grows");
        match self {
            Self::Bool => write(format_args!("{}", fixed::<1>(bytes)? != [0])),
            Self::Int2 => write(format_args!("{}", i16::from_be_bytes(fixed(bytes)?))),
            Self::Int4 => write(format_args!("{}", i32::from_be_bytes(fixed(bytes)?))),
            Self::Int8 => write(format_args!("{}", i64::from_be_bytes(fixed(bytes)?))),
            Self::Float4 => {
                let value = f32::from_be_bytes(fixed(bytes)?);
                if value.is_finite() {
                    write(format_args!("{value:e}"))
                } else {
                    quoted(special(value.into()), out)
                }
            }
            Self::Float8 => {
                let value = f64::from_be_bytes(fixed(bytes)?);
                if value.is_finite() { write(format_args!("{value:e}")) } else { quoted(special(value), out) }
            }
            Self::Numeric => {
                let from = out.len();
                numeric(bytes, out)?;
                if out[from..].contains(['N', 'I']) {
                    let text = out.split_off(from);
                    quoted(&text, out);
                }
            }
            Self::Text => quoted(utf8(bytes)?, out),
            Self::PaddedText => quoted(utf8(bytes)?.trim_end_matches(' '), out),
            // A document inside a list is a text: whoever reads it parses it.
            Self::Json => quoted(utf8(bytes)?, out),
            Self::Jsonb => quoted(jsonb(bytes)?, out),
            Self::Bytes => {
                let value = Value::Bytes(bytes.into());
                quoted(&value.display().expect("bytes are no NULL"), out);
            }
            Self::Date => quoted(&shown(Value::Date(moment(date(bytes)?.into(), i32::MAX.into()))), out),
            Self::Time => quoted(&shown(Value::Time(i64::from_be_bytes(fixed(bytes)?) * 1_000)), out),
            Self::Timestamp { zoned } => {
                let at = match moment(timestamp(bytes)?, i64::MAX) {
                    Moment::At(micros) => Moment::At(micros * 1_000),
                    infinite => infinite,
                };
                quoted(&shown(Value::Timestamp { at, zoned: *zoned }), out);
            }
            Self::TimeTz | Self::Interval | Self::Uuid => {
                let mut text = String::new();
                self.text(bytes, &mut text)?;
                quoted(&text, out);
            }
            Self::Array(element) => array(element, bytes, out)?,
        }
        Ok(())
    }
}

fn shown(value: Value<'_>) -> String {
    value.display().expect("no NULL").into_owned()
}

fn special(value: f64) -> &'static str {
    match value {
        v if v.is_nan() => "NaN",
        v if v > 0.0 => "Infinity",
        _ => "-Infinity",
    }
}

fn moment(units: i64, infinity: i64) -> Moment {
    match units {
        x if x == infinity => Moment::Infinity,
        x if x == -infinity => Moment::NegInfinity,
        x => Moment::At(x.into()),
    }
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], String> {
    bytes.try_into().map_err(|_| format!("{} bytes where {N} are expected", bytes.len()))
}

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    simdutf8::compat::from_utf8(bytes).map_err(|e| format!("invalid UTF-8 at byte {}", e.valid_up_to() + 1))
}

/// `jsonb` is sent with a version before it.
fn jsonb(bytes: &[u8]) -> Result<&str, String> {
    match bytes.split_first() {
        Some((1, text)) => utf8(text),
        _ => Err("an unknown version of jsonb".to_owned()),
    }
}

/// Days since 1970; the infinities as the engine has them.
fn date(bytes: &[u8]) -> Result<i32, String> {
    match i32::from_be_bytes(fixed(bytes)?) {
        i32::MAX => Ok(i32::MAX),
        i32::MIN => Ok(-i32::MAX),
        days => days.checked_add(DAYS_TO_2000).ok_or_else(|| "a date that is too late".to_owned()),
    }
}

/// Microseconds since 1970; the infinities as the engine has them.
fn timestamp(bytes: &[u8]) -> Result<i64, String> {
    match i64::from_be_bytes(fixed(bytes)?) {
        i64::MAX => Ok(i64::MAX),
        i64::MIN => Ok(-i64::MAX),
        micros => micros.checked_add(MICROS_TO_2000).ok_or_else(|| "a timestamp that is too late".to_owned()),
    }
}

fn time_tz(bytes: &[u8], out: &mut String) -> Result<(), String> {
    let bytes: [u8; 12] = fixed(bytes)?;
    let (micros, west) = bytes.split_at(8);
    let nanos = i64::from_be_bytes(fixed(micros)?) * 1_000;
    let east_s = -i32::from_be_bytes(fixed(west)?);
    out.push_str(&shown(Value::TimeTz(nanos, east_s)));
    Ok(())
}

/// ISO 8601 with months, days and microseconds as they are: nothing is carried over between them.
fn interval(bytes: &[u8], out: &mut String) -> Result<(), String> {
    let bytes: [u8; 16] = fixed(bytes)?;
    let micros = i64::from_be_bytes(fixed(&bytes[..8])?);
    let days = i32::from_be_bytes(fixed(&bytes[8..12])?);
    let months = i32::from_be_bytes(fixed(&bytes[12..])?);
    if (micros, days, months).eq(&(i64::MAX, i32::MAX, i32::MAX))
        || (micros, days, months).eq(&(i64::MIN, i32::MIN, i32::MIN))
    {
        return Err("an infinite interval".to_owned());
    }
    let (sign, whole) = (if micros < 0 { "-" } else { "" }, micros.unsigned_abs());
    let (seconds, fraction) = (whole / 1_000_000, whole % 1_000_000);
    write!(out, "P{months}M{days}DT{sign}{seconds}.{fraction:06}S").expect("a text grows");
    Ok(())
}

/// Digits in base 10,000 with the weight of the first and the number of decimals (`numeric_send`).
fn numeric(bytes: &[u8], out: &mut String) -> Result<(), String> {
    let word = |at: usize| -> Result<u16, String> {
        let pair = bytes.get(at..at + 2).ok_or_else(|| "a numeric that is cut short".to_owned())?;
        Ok(u16::from_be_bytes([pair[0], pair[1]]))
    };
    let (count, weight, sign, scale) =
        (usize::from(word(0)?), i32::from(word(2)? as i16), word(4)?, usize::from(word(6)?));
    match sign {
        0 => {}
        0x4000 => out.push('-'),
        0xC000 => {
            out.push_str("NaN");
            return Ok(());
        }
        0xD000 => {
            out.push_str("Infinity");
            return Ok(());
        }
        0xF000 => {
            out.push_str("-Infinity");
            return Ok(());
        }
        _ => return Err("an unknown kind of numeric".to_owned()),
    }
    let digit = |i: i32| -> Result<u16, String> {
        match usize::try_from(i) {
            Ok(i) if i < count => word(8 + 2 * i),
            _ => Ok(0),
        }
    };
    if weight < 0 {
        out.push('0');
    } else {
        write!(out, "{}", digit(0)?).expect("a text grows");
        for i in 1..=weight {
            write!(out, "{:04}", digit(i)?).expect("a text grows");
        }
    }
    if scale > 0 {
        out.push('.');
        let from = out.len();
        let mut i = weight + 1;
        while out.len() - from < scale {
            write!(out, "{:04}", digit(i)?).expect("a text grows");
            i += 1;
        }
        out.truncate(from + scale);
    }
    Ok(())
}

/// Dimensions, then the elements in order of the last dimension first (`array_send`). Lower bounds are not part of the value.
fn array(element: &Decoder, bytes: &[u8], out: &mut String) -> Result<(), String> {
    let mut rest = Words(bytes);
    let dimensions = rest.number()?;
    let (_has_nulls, _element_type) = (rest.number()?, rest.number()?);
    if dimensions == 0 {
        out.push_str("[]");
        return Ok(());
    }
    let mut sizes = Vec::new();
    for _ in 0..dimensions {
        sizes.push(usize::try_from(rest.number()?).map_err(|_| "an array of a negative size".to_owned())?);
        rest.number()?;
    }
    nested(element, &sizes, &mut rest, out)
}

fn nested(element: &Decoder, sizes: &[usize], rest: &mut Words<'_>, out: &mut String) -> Result<(), String> {
    let Some((size, inner)) = sizes.split_first() else {
        return match rest.number()? {
            -1 => {
                out.push_str("null");
                Ok(())
            }
            length => element.json(rest.take(length)?, out),
        };
    };
    out.push('[');
    for i in 0..*size {
        if i > 0 {
            out.push(',');
        }
        nested(element, inner, rest, out)?;
    }
    out.push(']');
    Ok(())
}

/// The rest of a value's bytes.
struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    fn number(&mut self) -> Result<i32, String> {
        Ok(i32::from_be_bytes(fixed(self.take(4)?)?))
    }

    fn take(&mut self, length: i32) -> Result<&'a [u8], String> {
        let cut = || "an array that is cut short".to_owned();
        let length = usize::try_from(length).map_err(|_| cut())?;
        let (head, tail) = self.0.split_at_checked(length).ok_or_else(cut)?;
        self.0 = tail;
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(decoder: &Decoder, bytes: &[u8]) -> Result<String, String> {
        let mut out = String::new();
        decoder.text(bytes, &mut out).map(|()| out)
    }

    fn words(words: &[u16]) -> Vec<u8> {
        words.iter().flat_map(|w| w.to_be_bytes()).collect()
    }

    #[test]
    fn numerics_of_every_shape() {
        let numeric = |w: &[u16]| text(&Decoder::Numeric, &words(w)).unwrap();
        // count, weight, sign, scale, digits
        assert_eq!(numeric(&[0, 0, 0, 0]), "0");
        assert_eq!(numeric(&[2, 0, 0, 2, 1, 5000]), "1.50");
        assert_eq!(numeric(&[1, 1, 0x4000, 0, 12]), "-120000");
        assert_eq!(numeric(&[1, 0xFFFE, 0, 9, 1200]), "0.000012000");
        assert_eq!(numeric(&[3, 2, 0, 3, 9007, 1992, 5474]), "900719925474.000");
        assert_eq!(numeric(&[0, 0, 0xC000, 0]), "NaN");
        assert_eq!(numeric(&[0, 0, 0xF000, 0]), "-Infinity");
        assert!(text(&Decoder::Numeric, &words(&[2, 1, 0, 0, 1])).is_err());
    }

    #[test]
    fn intervals_keep_their_parts_apart() {
        let bytes = |micros: i64, days: i32, months: i32| {
            [micros.to_be_bytes().to_vec(), days.to_be_bytes().to_vec(), months.to_be_bytes().to_vec()]
                .concat()
        };
        let read =
            |bytes: &[u8]| crate::value::time::parse_interval(&text(&Decoder::Interval, bytes).unwrap());
        let found = read(&bytes(-1_500_001, -3, 14)).unwrap();
        assert_eq!((found.months, found.days, found.micros), (14, -3, -1_500_001));
        let least = read(&bytes(i64::MIN, 0, 0)).unwrap();
        assert_eq!(least.micros, i64::MIN);
        assert!(text(&Decoder::Interval, &bytes(i64::MAX, i32::MAX, i32::MAX)).is_err());
    }

    #[test]
    fn arrays_of_several_dimensions_with_nulls() {
        let mut bytes: Vec<u8> = Vec::new();
        for n in [2, 1, 23, 2, 1, 2, 1] {
            bytes.extend(i32::to_be_bytes(n));
        }
        for value in [Some(1), None, Some(-3), Some(4)] {
            match value {
                Some(v) => bytes.extend([4i32.to_be_bytes(), i32::to_be_bytes(v)].concat()),
                None => bytes.extend((-1i32).to_be_bytes()),
            }
        }
        let decoder = Decoder::Array(Box::new(Decoder::Int4));
        assert_eq!(text(&decoder, &bytes).unwrap(), "[[1,null],[-3,4]]");
        assert!(text(&decoder, &bytes[..bytes.len() - 1]).is_err());
        let json = |d: Decoder, b: &[u8]| {
            let mut out = String::new();
            d.json(b, &mut out).unwrap();
            out
        };
        assert_eq!(json(Decoder::Float8, &f64::NAN.to_be_bytes()), "\"NaN\"");
        assert_eq!(json(Decoder::Float8, &0.1f64.to_be_bytes()), "1e-1");
        assert_eq!(json(Decoder::Timestamp { zoned: true }, &0i64.to_be_bytes()), "\"2000-01-01T00:00:00Z\"");
    }
}
