//! Values as SQLite stores them, what they may become there, and images of rows.

use std::borrow::Borrow;

use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, Value as Cell, ValueRef};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use crate::migrate::Fault;
use crate::migrate::mapped::Column;
use crate::store::sqlite::Affinity;
use crate::value::cast::{Class, Reading, cast};
use crate::value::column::ColumnType;
use crate::value::{Number, Value, hex, json, unhex};

/// How a column keeps its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// As text, whatever they are: what the column was declared as makes texts of numbers, or it holds texts.
    Text,
    /// Numbers as numbers; texts that look like numbers become such.
    Number,
    /// As what they are.
    Own,
}

impl Kept {
    pub(super) fn of(column: &Column, declared: &str) -> Self {
        match (Affinity::of(declared), &column.ty) {
            (Affinity::Text, _) => Self::Text,
            (_, Some(ty)) if is_number(ty) => Self::Number,
            _ => Self::Own,
        }
    }
}

fn is_number(ty: &ColumnType) -> bool {
    matches!(ty, ColumnType::Int | ColumnType::BoolInt | ColumnType::Number | ColumnType::Float64)
}

/// A value as it is sent.
///
/// # Errors
/// A number that no column but one of text holds.
pub(super) fn cell(column: &Column, kept: Kept, value: &Value<'_>) -> Result<Cell, Fault> {
    let refused = |code, message: &str| Err(Fault::permanent(code, Some(&column.name), message));
    let float = |f: f64| match f.is_nan() {
        true => refused("nan", "SQLite has no NaN but in a column of text"),
        false => Ok(Cell::Real(f)),
    };
    match value {
        Value::Null | Value::Absent => Ok(Cell::Null),
        value if column.class() == Some(Class::Json) => Ok(Cell::Text(json::canonical(value))),
        Value::Bytes(bytes) if kept == Kept::Text => Ok(Cell::Text(hex(bytes))),
        Value::Bytes(bytes) => Ok(Cell::Blob(bytes.to_vec())),
        Value::Bool(flag) if kept != Kept::Text => Ok(Cell::Integer((*flag).into())),
        Value::Number(number) if kept != Kept::Text => {
            let whole = number.is_integer().then(|| number.to_scaled(0).and_then(|n| i64::try_from(n).ok()));
            match whole.flatten() {
                Some(n) => Ok(Cell::Integer(n)),
                None if Number::from_f64(number.to_f64()).as_ref() == Some(number) => {
                    Ok(Cell::Real(number.to_f64()))
                }
                None => refused(
                    "range",
                    "a number beyond SQLite's integers of 64 bits and doubles; a column declared `text` would hold all its digits",
                ),
            }
        }
        Value::Float32(f) if kept != Kept::Text => float(f64::from(*f)),
        Value::Float64(f) if kept != Kept::Text => float(*f),
        other => Ok(other.display().map_or(Cell::Null, |text| Cell::Text(text.into_owned()))),
    }
}

/// A cell for people.
pub(super) fn shown(cell: &Cell) -> Option<String> {
    match cell {
        Cell::Null => None,
        Cell::Integer(n) => Some(n.to_string()),
        Cell::Real(f) => Some(f.to_string()),
        Cell::Text(text) => Some(text.clone()),
        Cell::Blob(bytes) => Some(hex(bytes)),
    }
}

/// A cell as SQL.
pub(super) fn literal(cell: &Cell) -> String {
    match cell {
        Cell::Null => "null".to_owned(),
        Cell::Integer(i64::MIN) => "(-9223372036854775807 - 1)".to_owned(),
        Cell::Integer(n) => n.to_string(),
        Cell::Real(f) if f.is_infinite() => if *f > 0.0 { "9e999" } else { "-9e999" }.to_owned(),
        Cell::Real(f) => real(*f),
        // The shell and the parser end a statement at a NUL.
        Cell::Text(text) if text.contains('\0') => format!("cast(x'{}' as text)", &hex(text.as_bytes())[2..]),
        Cell::Text(text) => format!("'{}'", text.replace('\'', "''")),
        Cell::Blob(bytes) => format!("x'{}'", &hex(bytes)[2..]),
    }
}

/// A double as SQL. SQLite reads digits that are many, or far from the point, as a neighbour of what they mean: such a one is written
/// as a product of whole numbers, which is exact.
fn real(f: f64) -> String {
    let digits = format!("{f:e}");
    let (mantissa, exponent) = digits.split_once('e').unwrap_or((&digits, "0"));
    let is_short = mantissa.bytes().filter(u8::is_ascii_digit).count() <= 15;
    if is_short && exponent.parse::<i32>().is_ok_and(|e| e.abs() <= 20) {
        return digits;
    }
    let bits = f.to_bits();
    let (fraction, power) = (bits & ((1 << 52) - 1), (bits >> 52 & 0x7ff) as i32);
    let (whole, mut power) = if power == 0 { (fraction, -1074) } else { (fraction | 1 << 52, power - 1075) };
    let mut out = format!("({}{whole} * 1.0", if f < 0.0 { "-" } else { "" });
    let by = if power < 0 { '/' } else { '*' };
    while power != 0 {
        let step = power.abs().min(62);
        out.push_str(&format!(" {by} {}", 1_u64 << step));
        power -= step * power.signum();
    }
    out.push(')');
    out
}

/// A value as it is stored. Text need not be UTF-8 there.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Stored {
    Null,
    Integer(i64),
    Real(f64),
    Text(Vec<u8>),
    Blob(Vec<u8>),
}

impl From<ValueRef<'_>> for Stored {
    fn from(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(n) => Self::Integer(n),
            ValueRef::Real(f) => Self::Real(f),
            ValueRef::Text(bytes) => Self::Text(bytes.to_vec()),
            ValueRef::Blob(bytes) => Self::Blob(bytes.to_vec()),
        }
    }
}

impl Stored {
    /// Whether it is NULL.
    pub(super) fn is_null(&self) -> bool {
        *self == Self::Null
    }

    /// The value in an image: NULL, or a letter for the storage class, a colon, and the value: `i:` and digits, `r:` and the shortest
    /// digits of a double, `t:` and the text, `u:` and the hex digits of a text that is no UTF-8, `b:` and hex digits.
    pub(super) fn image(&self) -> Json {
        let digits = |bytes: &[u8]| hex(bytes).split_off(2);
        Json::String(match self {
            Self::Null => return Json::Null,
            Self::Integer(n) => format!("i:{n}"),
            Self::Real(f) => format!("r:{f:e}"),
            Self::Text(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => format!("t:{text}"),
                Err(_) => format!("u:{}", digits(bytes)),
            },
            Self::Blob(bytes) => format!("b:{}", digits(bytes)),
        })
    }

    /// The value of an image; `None` where it is none.
    pub(super) fn of(image: &Json) -> Option<Self> {
        let Json::String(text) = image else { return image.is_null().then_some(Self::Null) };
        let (tag, value) = text.split_once(':')?;
        Some(match tag {
            "i" => Self::Integer(value.parse().ok()?),
            "r" => Self::Real(value.parse().ok()?),
            "t" => Self::Text(value.as_bytes().to_vec()),
            "u" => Self::Text(unhex(value)?),
            "b" => Self::Blob(unhex(value)?),
            _ => return None,
        })
    }

    /// Whether it is what was sent, or the same value in the column's own way: a whole number as a double and the other way round, or
    /// a number for a text that a diff reads as that number.
    pub(super) fn is_meant(&self, sent: &Cell, column: &Column, kept: Kept, wanted: &Value<'_>) -> bool {
        match (sent, self) {
            (Cell::Null, Self::Null) => true,
            (Cell::Integer(a), Self::Integer(b)) => a == b,
            (Cell::Real(a), Self::Real(b)) => a == b,
            (Cell::Text(a), Self::Text(b)) => a.as_bytes() == b,
            (Cell::Blob(a), Self::Blob(b)) => a == b,
            (Cell::Integer(a), Self::Real(b)) => *b == *a as f64 && *b as i64 == *a && *b < i64::MAX as f64,
            (Cell::Real(a), Self::Integer(b)) => *a == *b as f64,
            (Cell::Text(_), Self::Integer(_) | Self::Real(_)) if kept == Kept::Number => {
                let number = match self {
                    Self::Integer(n) => Value::Number(Number::from(*n)),
                    Self::Real(f) => Value::Float64(*f),
                    _ => return false,
                };
                let reading = Reading { free: true, ..Reading::default() };
                let class = column.class().unwrap_or(Class::Text);
                cast(number, class, &reading).is_ok_and(|read| read.same(wanted))
            }
            _ => false,
        }
    }
}

impl ToSql for Stored {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(n) => ValueRef::Integer(*n),
            Self::Real(f) => ValueRef::Real(*f),
            Self::Text(bytes) => ValueRef::Text(bytes),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// Hex SHA-256 of a row's values, each as its [`Stored::image`] with the length before it; NULL has none.
pub(super) fn digest(images: impl Iterator<Item = impl Borrow<Json>>) -> String {
    let mut digest = Sha256::new();
    for image in images {
        match image.borrow() {
            Json::String(text) => {
                digest.update((text.len() as u64).to_le_bytes());
                digest.update(text.as_bytes());
            }
            _ => digest.update(u64::MAX.to_le_bytes()),
        }
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_gives_the_same_double() {
        let db = rusqlite::Connection::open_in_memory().expect("a database");
        let mut all = vec![
            -1.5e300,
            f64::MAX,
            f64::MIN_POSITIVE,
            5e-324,
            0.1,
            -0.25,
            1e22,
            0.1 + 0.2,
            f64::INFINITY,
            0.0,
        ];
        let mut bits = 1_u64;
        for _ in 0..2_000 {
            // Multiplier and increment of Knuth's MMIX.
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            all.push(f64::from_bits(bits));
        }
        for f in all.into_iter().filter(|f| !f.is_nan()) {
            let sql = format!("select {}", literal(&Cell::Real(f)));
            let read: f64 = db.query_row(&sql, [], |row| row.get(0)).expect("a number");
            assert_eq!(read.to_bits(), f.to_bits(), "{sql}");
        }
    }

    #[test]
    fn an_image_gives_the_same_value_again() {
        let values = [
            Stored::Null,
            Stored::Integer(i64::MIN),
            Stored::Real(0.1 + 0.2),
            Stored::Real(f64::NEG_INFINITY),
            Stored::Text(b"t:\0'x".to_vec()),
            Stored::Text(vec![0xff, b'a']),
            Stored::Text(Vec::new()),
            Stored::Blob(vec![0, 255]),
        ];
        for value in &values {
            assert_eq!(Stored::of(&value.image()).as_ref(), Some(value));
        }
        let digests: std::collections::HashSet<String> =
            values.iter().map(|value| digest(std::iter::once(value.image()))).collect();
        assert_eq!(digests.len(), values.len());
        let texts =
            |a: &str, b: &str| digest([a, b].map(|text| Stored::Text(text.into()).image()).into_iter());
        assert_ne!(texts("a", "bc"), texts("ab", "c"));
        for damaged in ["", "i:x", "b:0", "b:é0", "x:1"] {
            assert_eq!(Stored::of(&Json::String(damaged.to_owned())), None, "{damaged}");
        }
    }
}
