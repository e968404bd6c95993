//! Values as literals of MySQL's SQL.
//!
//! A value that the column would round, cut off, pad or take for another is refused here by name: the server does these silently, strict
//! or not. What the server refuses itself (a range, a length, a character) it is left to say.
//! Formats: <https://dev.mysql.com/doc/refman/8.4/en/literals.html>, <https://dev.mysql.com/doc/refman/8.4/en/data-types.html>.

use std::fmt::Write;

use super::columns::{Kind, Limits};
use crate::migrate::Fault;
use crate::migrate::mapped::Column;
use crate::value::cast::Class;
use crate::value::time::{DAY_NS, Moment, SECOND_NS, civil_from_days, format_time};
use crate::value::{Number, Value, hex, json};

/// The longest TIME, in nanoseconds.
const TIME_MAX: i64 = (838 * 3_600 + 59 * 60 + 59) * SECOND_NS as i64 + 999_999_000;

/// A value as it is sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Null,
    /// A number.
    Plain(String),
    Text(String),
    Bits(String),
    Bytes(Vec<u8>),
}

impl Literal {
    /// Appends it as SQL.
    pub(super) fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Plain(digits) => out.push_str(digits),
            Self::Bits(digits) => {
                let _ = write!(out, "b'{digits}'");
            }
            Self::Bytes(bytes) => {
                let _ = write!(out, "x'{}'", &hex(bytes)[2..]);
            }
            Self::Text(text) => {
                out.push('\'');
                for c in text.chars() {
                    match c {
                        '\'' => out.push_str("''"),
                        '\\' => out.push_str("\\\\"),
                        '\0' => out.push_str("\\0"),
                        other => out.push(other),
                    }
                }
                out.push('\'');
            }
        }
    }

    /// It as SQL.
    pub(super) fn sql(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    /// For people.
    pub(super) fn shown(&self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Plain(text) | Self::Text(text) | Self::Bits(text) => Some(text.clone()),
            Self::Bytes(bytes) => Some(hex(bytes)),
        }
    }
}

type Refusal = (&'static str, String);

/// A value as it is sent.
///
/// # Errors
/// A value that the column cannot hold.
pub(super) fn literal(column: &Column, limits: &Limits, value: &Value<'_>) -> Result<Literal, Fault> {
    let made = match value.is_null() {
        true => null(limits),
        false => typed(column, limits, value),
    };
    made.map_err(|(code, message)| Fault::permanent(code, Some(&column.name), message))
}

fn null(limits: &Limits) -> Result<Literal, Refusal> {
    // Some servers would take the time of day for it.
    if limits.kind == Kind::Timestamp && !limits.nullable {
        return Err(("not_null", "NULL for a timestamp that is not null".to_owned()));
    }
    Ok(Literal::Null)
}

fn typed(column: &Column, limits: &Limits, value: &Value<'_>) -> Result<Literal, Refusal> {
    match &limits.kind {
        Kind::Int | Kind::Year | Kind::Decimal | Kind::Float | Kind::Double => number(limits, value),
        Kind::Date | Kind::DateTime | Kind::Timestamp | Kind::Time => time(column, limits, value),
        Kind::Bytes { padded } => bytes(limits, *padded, value),
        Kind::Bit(width) => {
            let text = value.display().unwrap_or_default();
            match text.len() == *width && text.bytes().all(|b| matches!(b, b'0' | b'1')) {
                true => Ok(Literal::Bits(text.into_owned())),
                false => Err(("range", format!("not {width} binary digits"))),
            }
        }
        Kind::Geometry => Err(("type", "a geometry is not written".to_owned())),
        Kind::Document => Ok(Literal::Text(document(column, value))),
        Kind::Text { padded } => text(limits, *padded, document(column, value)),
        Kind::Enum(members) => {
            let text = value.display().unwrap_or_default().into_owned();
            match members.contains(&text) {
                true => Ok(Literal::Text(text)),
                false => Err(("member", "none of the column's members, letter by letter".to_owned())),
            }
        }
        Kind::Set(members) => {
            let text = value.display().unwrap_or_default().into_owned();
            let mut left = members.iter();
            let is_kept = text.is_empty() || text.split(',').all(|part| left.any(|member| member == part));
            match is_kept {
                true => Ok(Literal::Text(text)),
                false => Err(("member", "not some of the column's members in their order".to_owned())),
            }
        }
        Kind::Other => Ok(Literal::Text(value.display().unwrap_or_default().into_owned())),
    }
}

/// The text of a value; of a document its canonical form, unless the spec says that it is moved as the text that it is.
fn document(column: &Column, value: &Value<'_>) -> String {
    match column.class() {
        Some(Class::Json) => json::canonical(value),
        _ => value.display().unwrap_or_default().into_owned(),
    }
}

fn text(limits: &Limits, padded: bool, text: String) -> Result<Literal, Refusal> {
    if padded && text.ends_with(' ') {
        return Err(("padding", "a space at the end, which a column of type CHAR does not keep".to_owned()));
    }
    // The server cuts spaces at the end silently.
    if let Some(most) = limits.chars.filter(|most| text.len() as u64 > *most) {
        let length = text.chars().count() as u64;
        if length > most {
            return Err(("too_long", format!("{length} characters, where the column holds {most}")));
        }
    }
    let most = limits.bytes.filter(|_| limits.chars.is_none() && limits.is_utf8());
    if let Some(most) = most.filter(|most| text.len() as u64 > *most) {
        return Err(("too_long", format!("{} bytes, where the column holds {most}", text.len())));
    }
    Ok(Literal::Text(text))
}

fn bytes(limits: &Limits, padded: bool, value: &Value<'_>) -> Result<Literal, Refusal> {
    let Value::Bytes(bytes) = value else {
        return Err(("type", format!("a {} for a column of bytes", value.kind_name())));
    };
    match limits.bytes {
        Some(length) if padded && bytes.len() as u64 != length => {
            Err(("padding", format!("{} bytes, where the column holds exactly {length}", bytes.len())))
        }
        Some(most) if bytes.len() as u64 > most => {
            Err(("too_long", format!("{} bytes, where the column holds {most}", bytes.len())))
        }
        _ => Ok(Literal::Bytes(bytes.to_vec())),
    }
}

fn number(limits: &Limits, value: &Value<'_>) -> Result<Literal, Refusal> {
    let special = || ("nan", "the server has neither NaN nor infinities".to_owned());
    let number = match value {
        Value::Bool(flag) => Number::from(i64::from(*flag)),
        Value::Number(number) => number.clone(),
        Value::Float32(f) if limits.kind == Kind::Double => {
            Number::from_f64((*f).into()).ok_or_else(special)?
        }
        Value::Float32(f) => Number::from_f32(*f).ok_or_else(special)?,
        Value::Float64(f) => Number::from_f64(*f).ok_or_else(special)?,
        other => {
            // A text of the field may be a number to the column; then it has to be that number's own text.
            let text = other.display().unwrap_or_default();
            let parsed = Number::parse(&text).ok().filter(|number| number.to_string() == text);
            parsed.ok_or_else(|| ("type", format!("a {} for a column of numbers", other.kind_name())))?
        }
    };
    match limits.kind {
        Kind::Int | Kind::Year if !number.is_integer() => {
            return Err(("precision", "digits after the point, for a column of whole numbers".to_owned()));
        }
        Kind::Year if number.to_scaled(0).is_some_and(|year| (1..100).contains(&year)) => {
            return Err(("range", "a year of two digits, which the server takes for another".to_owned()));
        }
        Kind::Float if Number::from_f32(number.to_f32()).as_ref() != Some(&number) => {
            return Err(("precision", "the number has more digits than a float holds".to_owned()));
        }
        Kind::Double if Number::from_f64(number.to_f64()).as_ref() != Some(&number) => {
            return Err(("precision", "the number has more digits than a double holds".to_owned()));
        }
        _ => {}
    }
    if let Some((digits, scale)) = limits.decimal.filter(|(digits, scale)| !number.fits(*digits, *scale)) {
        return Err(("range", format!("the number does not fit decimal({digits},{scale})")));
    }
    Ok(Literal::Plain(match limits.kind {
        // All digits of the single itself, as the double that it is.
        Kind::Float => format!("{:e}", f64::from(number.to_f32())),
        Kind::Double => format!("{:e}", number.to_f64()),
        _ => number.to_string(),
    }))
}

fn time(column: &Column, limits: &Limits, value: &Value<'_>) -> Result<Literal, Refusal> {
    let is_own = column.class().is_none();
    let (at, zoned) = match (&limits.kind, value) {
        (Kind::Time, Value::Time(nanos)) => {
            let nanos = cut(column, limits, (*nanos).into())? as i64;
            if nanos.abs() > TIME_MAX {
                return Err(("range", "a time beyond 838:59:59".to_owned()));
            }
            return Ok(Literal::Text(format_time(nanos, None)));
        }
        (Kind::Date | Kind::DateTime, Value::Date(Moment::At(days))) => (Moment::At(days * DAY_NS), false),
        (Kind::DateTime | Kind::Timestamp, Value::Timestamp { at, zoned }) => (*at, *zoned),
        (Kind::Date, Value::Timestamp { .. }) => {
            return Err(("precision", "a timestamp for a column of dates".to_owned()));
        }
        (_, Value::Date(_)) => return Err(("range", "a date that the column cannot hold".to_owned())),
        _ => return Err(("type", format!("a {} for a column of times", value.kind_name()))),
    };
    // What recon itself writes is in UTC.
    if zoned != (limits.kind == Kind::Timestamp) && !is_own {
        let (has, wants) = if zoned { ("with", "without") } else { ("without", "with") };
        return Err(("zone", format!("a timestamp {has} a time zone for a column {wants} one")));
    }
    let Moment::At(nanos) = at else {
        return Err(("range", "an end of time, which the server does not have".to_owned()));
    };
    if limits.kind == Kind::Timestamp && nanos < SECOND_NS {
        return Err(("range", "an instant before 1970-01-01T00:00:01Z".to_owned()));
    }
    let nanos = cut(column, limits, nanos)?;
    let (year, month, day) = civil_from_days(nanos.div_euclid(DAY_NS) as i64);
    if !(1..=9999).contains(&year) {
        return Err(("range", "a year beyond 1 to 9999".to_owned()));
    }
    let mut text = format!("{year:04}-{month:02}-{day:02}");
    if limits.kind != Kind::Date {
        text.push(' ');
        text.push_str(&format_time(nanos.rem_euclid(DAY_NS) as i64, None));
    }
    Ok(Literal::Text(text))
}

/// Nanoseconds without the digits that the column does not have.
fn cut(column: &Column, limits: &Limits, nanos: i128) -> Result<i128, Refusal> {
    if limits.kind == Kind::Date {
        return Ok(nanos);
    }
    let unit = 10_i128.pow(9 - limits.fraction.min(6));
    let rest = nanos.rem_euclid(unit);
    // The spec says that less will do, or it is recon's own.
    let may_be_cut =
        column.class().is_none() || column.precision.is_some_and(|precision| precision.unit_ns >= unit);
    if rest == 0 || may_be_cut {
        return Ok(nanos - rest);
    }
    Err((
        "precision",
        format!(
            "the time has more digits of a second than the {} that the column holds; `precision` in the spec lets it be cut",
            limits.fraction
        ),
    ))
}
