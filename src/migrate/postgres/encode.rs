//! Values as PostgreSQL reads them: the text form of each type, in COPY's text format.
//!
//! A value that the column would round, cut off or take for another is refused here by name: the server would do it silently.
//! Formats: <https://www.postgresql.org/docs/current/sql-copy.html>, <https://www.postgresql.org/docs/current/arrays.html>,
//! <https://www.postgresql.org/docs/current/datatype-datetime.html>.

use std::fmt::Write;

use crate::migrate::Fault;
use crate::migrate::mapped::Column;
use crate::value::cast::Class;
use crate::value::column::ColumnType;
use crate::value::time::{DAY_NS, Moment, civil_from_days, format_time};
use crate::value::{Number, Value, json};

/// Digits of a second that PostgreSQL has where a column does not say fewer.
const DIGITS: u32 = 6;

/// What a column takes, beside its type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    /// The most characters of a text.
    pub(super) chars: Option<usize>,
    /// The digits of a second.
    pub(super) digits: Option<u32>,
    /// Whether spaces at the end are no part of a value.
    pub(super) padded: bool,
    /// Bytes of a whole number.
    pub(super) bytes: Option<u32>,
    /// Digits of an exact number, and those behind the point.
    pub(super) decimal: Option<(u32, u32)>,
}

impl Limits {
    /// Whether a number fits the column: the server would round it.
    fn takes(&self, number: &Number) -> bool {
        let is_whole = |bytes: u32| {
            let half = 1_i128 << (8 * bytes - 1);
            number.is_integer() && number.to_scaled(0).is_some_and(|n| (-half..half).contains(&n))
        };
        self.bytes.is_none_or(is_whole)
            && self.decimal.is_none_or(|(digits, scale)| number.fits(digits, scale))
    }

    /// The same of any value.
    fn check(&self, value: &Value<'_>) -> Result<(), Refusal> {
        let takes = match value {
            Value::Number(number) => self.takes(number),
            Value::Float64(f) => Number::from_f64(*f).is_none_or(|number| self.takes(&number)),
            Value::Float32(f) => Number::from_f32(*f).is_none_or(|number| self.takes(&number)),
            _ => true,
        };
        match (takes, self.decimal) {
            (true, _) => Ok(()),
            (false, Some((digits, scale))) => {
                Err(("range", format!("the number does not fit numeric({digits},{scale})")))
            }
            (false, None) => Err(("range", "the number is beyond the column's whole numbers".to_owned())),
        }
    }
}

/// Appends a record as a line of COPY's text format: its place, then its values.
///
/// # Errors
/// A value that the column cannot hold.
pub(super) fn line(
    columns: &[Column],
    limits: &[Limits],
    place: usize,
    values: &[Value<'_>],
    out: &mut Vec<u8>,
    scratch: &mut String,
) -> Result<(), Fault> {
    let start = out.len();
    out.extend_from_slice(place.to_string().as_bytes());
    for ((column, limits), value) in columns.iter().zip(limits).zip(values) {
        out.push(b'\t');
        scratch.clear();
        match text(column, limits, value, scratch) {
            Ok(true) => escape(scratch, out),
            Ok(false) => out.extend_from_slice(b"\\N"),
            Err((code, message)) => {
                out.truncate(start);
                return Err(Fault::permanent(code, Some(&column.name), message));
            }
        }
    }
    out.push(b'\n');
    Ok(())
}

/// A value's text; `None` for NULL.
///
/// # Errors
/// A value that the column cannot hold.
pub(super) fn shown(column: &Column, limits: &Limits, value: &Value<'_>) -> Result<Option<String>, Fault> {
    let mut out = String::new();
    match text(column, limits, value, &mut out) {
        Ok(some) => Ok(some.then_some(out)),
        Err((code, message)) => Err(Fault::permanent(code, Some(&column.name), message)),
    }
}

fn escape(text: &str, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    // Nearly all texts are plain; not stopping at the first byte that is not lets many be looked at together.
    if !rest.iter().fold(false, |is_odd, byte| is_odd | (*byte < b' ') | (*byte == b'\\')) {
        out.extend_from_slice(rest);
        return;
    }
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\\' | b'\t' | b'\n' | b'\r')) {
        out.extend_from_slice(&rest[..at]);
        out.push(b'\\');
        out.push(match rest[at] {
            b'\t' => b't',
            b'\n' => b'n',
            b'\r' => b'r',
            other => other,
        });
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

type Refusal = (&'static str, String);

/// Appends the text of a value; `false` for NULL.
fn text(column: &Column, limits: &Limits, value: &Value<'_>, out: &mut String) -> Result<bool, Refusal> {
    if value.is_null() {
        return Ok(false);
    }
    let ty = column.ty.as_ref().unwrap_or(&ColumnType::Text);
    typed(column, limits, ty, value, out)?;
    if out.contains('\0') {
        return Err(("nul", "a NUL character (U+0000), which PostgreSQL's text cannot hold".to_owned()));
    }
    Ok(true)
}

fn typed(
    column: &Column,
    limits: &Limits,
    ty: &ColumnType,
    value: &Value<'_>,
    out: &mut String,
) -> Result<(), Refusal> {
    if !matches!(ty, ColumnType::Json | ColumnType::List(_)) {
        limits.check(value)?;
    }
    match (ty, value) {
        // The spec says that the document is moved as the text that it is.
        (ColumnType::Json, Value::Text(text)) if column.class() == Some(Class::Text) => out.push_str(text),
        (ColumnType::Json, _) => out.push_str(&json::canonical(value)),
        (ColumnType::List(element), Value::List(elements) | Value::Set(elements)) => {
            array(column, limits, element, elements, out)?;
        }
        (ColumnType::Timestamp { zoned }, Value::Timestamp { at, zoned: has })
            if zoned == has || column.class().is_none() || !matches!(at, Moment::At(_)) =>
        {
            timestamp(cut(column, limits, *at)?, *zoned, out);
        }
        (ColumnType::Timestamp { zoned }, Value::Timestamp { .. }) => {
            let (has, wants) = if *zoned { ("without", "with") } else { ("with", "without") };
            return Err(("zone", format!("a timestamp {has} a time zone for a column {wants} one")));
        }
        (ColumnType::Timestamp { zoned: false } | ColumnType::Date, Value::Date(days)) => {
            let bc = date(*days, out);
            out.push_str(bc);
        }
        (ColumnType::Date, Value::Timestamp { .. }) => {
            return Err(("precision", "a timestamp for a column of dates".to_owned()));
        }
        (ColumnType::Time, Value::Time(nanos)) => {
            out.push_str(&format_time(cut_nanos(column, limits, *nanos)?, None));
        }
        (ColumnType::TimeTz, Value::TimeTz(nanos, offset_s)) => {
            out.push_str(&format_time(cut_nanos(column, limits, *nanos)?, Some(*offset_s)));
        }
        (ColumnType::Decimal(size), Value::Number(number)) if !number.fits(size.precision, size.scale) => {
            return Err((
                "range",
                format!("the number does not fit decimal({},{})", size.precision, size.scale),
            ));
        }
        (ColumnType::Float64, Value::Number(number))
            if Number::from_f64(number.to_f64()) != Some(number.clone()) =>
        {
            return Err(("precision", "the number has more digits than a double holds".to_owned()));
        }
        (ColumnType::Float32, Value::Number(number))
            if Number::from_f32(number.to_f32()) != Some(number.clone()) =>
        {
            return Err(("precision", "the number has more digits than a float holds".to_owned()));
        }
        _ => plain(limits, value, out)?,
    }
    Ok(())
}

/// What is written as reports show it.
fn plain(limits: &Limits, value: &Value<'_>, out: &mut String) -> Result<(), Refusal> {
    let start = out.len();
    match value {
        Value::Number(number) => write!(out, "{number}").expect("a String takes everything"),
        value => out.push_str(&value.display().unwrap_or_default()),
    }
    let text = &out[start..];
    if let Some(most) = limits.chars.filter(|most| text.len() > *most) {
        let length = text.chars().count();
        if length > most {
            return Err(("too_long", format!("{length} characters, where the column holds {most}")));
        }
    }
    if limits.padded && text.ends_with(' ') {
        return Err(("padding", "spaces at the end, which a column of type char does not keep".to_owned()));
    }
    Ok(())
}

fn cut(column: &Column, limits: &Limits, at: Moment) -> Result<Moment, Refusal> {
    let Moment::At(nanos) = at else { return Ok(at) };
    let unit = 10_i128.pow(9 - limits.digits.unwrap_or(DIGITS));
    let rest = nanos.rem_euclid(unit);
    // The spec says that less will do; but two keys must not become one. What recon itself writes is cut.
    let may_cut = column.precision.is_some_and(|precision| precision.unit_ns >= unit) && !column.is_key;
    if rest == 0 || may_cut || column.class().is_none() {
        return Ok(Moment::At(nanos - rest));
    }
    Err((
        "precision",
        format!(
            "the time has more digits of a second than the {} that the column holds; `precision` in the spec lets it be cut",
            limits.digits.unwrap_or(DIGITS)
        ),
    ))
}

fn cut_nanos(column: &Column, limits: &Limits, nanos: i64) -> Result<i64, Refusal> {
    match cut(column, limits, Moment::At(nanos.into()))? {
        Moment::At(nanos) => Ok(nanos as i64),
        Moment::Infinity | Moment::NegInfinity => {
            unreachable!("a time of day is no moment beyond all others")
        }
    }
}

/// Appends a date; what has to follow all of it is returned.
fn date(days: Moment, out: &mut String) -> &'static str {
    let days = match days {
        Moment::Infinity => {
            out.push_str("infinity");
            return "";
        }
        Moment::NegInfinity => {
            out.push_str("-infinity");
            return "";
        }
        Moment::At(days) => days,
    };
    let (year, month, day) = civil_from_days(days as i64);
    let (year, bc) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    write!(out, "{year:04}-{month:02}-{day:02}").expect("a String takes everything");
    bc
}

fn timestamp(at: Moment, zoned: bool, out: &mut String) {
    let Moment::At(nanos) = at else {
        date(at, out);
        return;
    };
    let bc = date(Moment::At(nanos.div_euclid(DAY_NS)), out);
    out.push(' ');
    out.push_str(&format_time(nanos.rem_euclid(DAY_NS) as i64, None));
    if zoned {
        out.push_str("+00");
    }
    out.push_str(bc);
}

fn array(
    column: &Column,
    limits: &Limits,
    element: &ColumnType,
    elements: &[Value<'_>],
    out: &mut String,
) -> Result<(), Refusal> {
    out.push('{');
    for (i, value) in elements.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        match value {
            Value::Null | Value::Absent => out.push_str("NULL"),
            // A list in a list is a further dimension.
            Value::List(inner) if !matches!(element, ColumnType::Json) => {
                array(column, limits, element, inner, out)?
            }
            value => {
                let mut text = String::new();
                typed(column, limits, element, value, &mut text)?;
                out.push('"');
                for c in text.chars() {
                    if matches!(c, '"' | '\\') {
                        out.push('\\');
                    }
                    out.push(c);
                }
                out.push('"');
            }
        }
    }
    out.push('}');
    Ok(())
}
