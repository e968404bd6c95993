//! The spec's own predicates: as which SQL type each class of values is shown to them, and the SQL that asks them.
//!
//! The values that a predicate sees are those that every other rule sees: cast to the field's class by us, never by the engine.
//! They lie beside the hashes in a type that holds them exactly; a value that it does not hold fails by name.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    StringArray, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, TimeUnit};

use crate::query;
use crate::value::cast::Class;
use crate::value::time::Moment;
use crate::value::{Number, Value};

/// Digits of the engine's widest decimal.
const DECIMAL_DIGITS_MAX: u32 = 38;
/// Digits after the point of numbers of which no store says how many they have.
pub const OPEN_SCALE: u32 = 18;

/// How the values of a field are shown to its predicate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// As the engine reads either side: the field has no class of its own.
    AsStored,
    /// Cast to the field's class, as this type.
    As(SqlType),
}

/// A type of the engine, and the one in which its values lie beside the hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlType {
    /// Beside the hashes.
    pub storage: DataType,
    /// The same in the engine's words.
    stored: String,
    /// As the predicate sees it, where that is another type.
    seen: Option<&'static str>,
}

/// One value beside the hashes.
#[derive(Clone, Debug)]
pub enum Cell {
    /// Decimals and whole numbers, unscaled.
    Scaled(i128),
    /// Single precision.
    Float32(f32),
    /// Double precision.
    Float64(f64),
    /// True or false.
    Bool(bool),
    /// Days, or microseconds.
    Units(i64),
    /// Text, and what is cast from it.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Shown {
    /// How values of a class are shown; `scale` is for numbers of which the class names none.
    pub fn of(class: Class, scale: u32) -> Self {
        let decimal = |scale: u32| {
            let scale = scale.min(DECIMAL_DIGITS_MAX);
            let storage = DataType::Decimal128(DECIMAL_DIGITS_MAX as u8, scale as i8);
            (storage, format!("decimal({DECIMAL_DIGITS_MAX}, {scale})"), None)
        };
        let text = |seen| (DataType::Utf8, "varchar".to_owned(), seen);
        let own = |storage, name: &str| (storage, name.to_owned(), None);
        let (storage, stored, seen) = match class {
            Class::Any => return Self::AsStored,
            Class::Text => text(None),
            Class::Int => {
                let (storage, stored, _) = decimal(0);
                (storage, stored, Some("hugeint"))
            }
            Class::Number => decimal(scale),
            Class::Decimal(size) => decimal(size.scale),
            Class::Float32 => own(DataType::Float32, "float"),
            Class::Float64 => own(DataType::Float64, "double"),
            Class::Bool => own(DataType::Boolean, "boolean"),
            Class::Timestamp(_) => own(DataType::Timestamp(TimeUnit::Microsecond, None), "timestamp"),
            Class::Date => own(DataType::Date32, "date"),
            Class::Time => own(DataType::Time64(TimeUnit::Microsecond), "time"),
            Class::TimeTz => text(Some("timetz")),
            Class::Interval => text(Some("interval")),
            Class::Uuid => text(Some("uuid")),
            Class::Bytes => own(DataType::Binary, "blob"),
            Class::Json | Class::Set(_) | Class::List => text(Some("json")),
        };
        Self::As(SqlType { storage, stored, seen })
    }

    /// The predicate over the columns `s.s<index>` and `t.s<index>`; NULL and an error are unequal.
    pub fn predicate(&self, text: &str, index: usize) -> String {
        let operand = |side: char| match self {
            Self::As(SqlType { seen: Some(seen), .. }) => format!("cast({side}.s{index} as {seen})"),
            _ => format!("{side}.s{index}"),
        };
        let mut sql = text.to_owned();
        for path in query::paths(text).unwrap_or_default().iter().rev().filter(|path| !path.call) {
            let replacement = match path.parts[0].to_lowercase().as_str() {
                "source" => operand('s'),
                "target" => operand('t'),
                _ => continue,
            };
            // The first part may stand in quotes, which belong to it.
            let quoted = text[path.range.start..].starts_with('"');
            let length = path.parts[0].len() + if quoted { 2 } else { 0 };
            sql.replace_range(path.range.start..path.range.start + length, &replacement);
        }
        format!("coalesce(try(({sql}\n)), false)")
    }

    /// A row with no values to bind a predicate to, where the type does not depend on the side.
    pub fn no_values(&self, index: usize) -> Option<String> {
        match self {
            Self::AsStored => None,
            Self::As(ty) => Some(format!("select cast(null as {}) as s{index}", ty.stored)),
        }
    }
}

impl SqlType {
    /// A column of such values as SQL sees it.
    pub fn seen(&self, column: &str) -> String {
        self.seen.map_or_else(|| column.to_owned(), |seen| format!("cast({column} as {seen})"))
    }

    /// The type in SQL, as it is seen.
    pub fn name(&self) -> &str {
        self.seen.unwrap_or(&self.stored)
    }

    /// A value as it lies beside the hashes; `None` for NULL and absent.
    ///
    /// # Errors
    /// A value that the type does not hold exactly, in words that do not repeat it.
    pub fn cell(&self, value: &Value<'_>) -> Result<Option<Cell>, String> {
        if value.is_null() {
            return Ok(None);
        }
        let text = || Some(Cell::Text(value.display().unwrap_or_default().into_owned()));
        let micros = |ns: i128| match ns % 1_000 {
            0 => i64::try_from(ns / 1_000).ok().map(Cell::Units),
            _ => None,
        };
        let cell = match (&self.storage, value) {
            (DataType::Decimal128(precision, scale), Value::Number(number)) => number
                .to_scaled(*scale as u32)
                .filter(|n| n.unsigned_abs() < 10u128.pow(u32::from(*precision)))
                .map(Cell::Scaled),
            (DataType::Float32, Value::Float32(f)) => Some(Cell::Float32(*f)),
            // Not finite: single precision has these too.
            (DataType::Float32, Value::Float64(f)) if !f.is_finite() => Some(Cell::Float32(*f as f32)),
            // A float's own shortest digits, where it is compared as a number.
            (DataType::Float32, Value::Number(number)) => {
                let float = number.to_f64() as f32;
                (Number::from_f32(float).as_ref() == Some(number)).then_some(Cell::Float32(float))
            }
            (DataType::Float64, Value::Number(number)) => {
                let float = number.to_f64();
                (Number::from_f64(float).as_ref() == Some(number)).then_some(Cell::Float64(float))
            }
            (DataType::Float64, Value::Float32(f)) => Some(Cell::Float64((*f).into())),
            (DataType::Float64, Value::Float64(f)) => Some(Cell::Float64(*f)),
            (DataType::Boolean, Value::Bool(b)) => Some(Cell::Bool(*b)),
            (DataType::Timestamp(..), Value::Timestamp { at, .. }) => match at {
                Moment::At(ns) => micros(*ns),
                // As the engine has them.
                Moment::Infinity => Some(Cell::Units(i64::MAX)),
                Moment::NegInfinity => Some(Cell::Units(-i64::MAX)),
            },
            (DataType::Date32, Value::Date(days)) => match days {
                Moment::At(days) => i32::try_from(*days).ok().map(|days| Cell::Units(days.into())),
                Moment::Infinity => Some(Cell::Units(i32::MAX.into())),
                Moment::NegInfinity => Some(Cell::Units((-i32::MAX).into())),
            },
            (DataType::Time64(_), Value::Time(ns)) => micros((*ns).into()),
            (DataType::Binary, Value::Bytes(bytes)) => Some(Cell::Bytes(bytes.to_vec())),
            (DataType::Utf8, Value::TimeTz(ns, _)) if ns % 1_000 != 0 => None,
            (DataType::Utf8, Value::Interval(i)) => {
                let (months, days, micros) = (i.months, i.days, i.micros);
                Some(Cell::Text(format!("{months} months {days} days {micros} microseconds")))
            }
            // A text among JSON documents is a document too.
            (DataType::Utf8, Value::Text(text)) if self.seen == Some("json") => {
                Some(Cell::Text(serde_json::Value::from(text.as_ref()).to_string()))
            }
            (DataType::Utf8, _) => text(),
            _ => None,
        };
        cell.map(Some).ok_or_else(|| {
            let seen = self.seen.unwrap_or(&self.stored);
            format!("the rule `sql` sees values as {seen}, which does not hold this one exactly")
        })
    }

    /// A column of such values.
    pub fn array(&self, cells: &[Option<Cell>]) -> ArrayRef {
        macro_rules! column {
            ($array:ty, $cell:pat => $value:expr) => {
                Arc::new(
                    cells
                        .iter()
                        .map(|cell| match cell {
                            Some($cell) => Some($value),
                            _ => None,
                        })
                        .collect::<$array>(),
                )
            };
        }
        match &self.storage {
            DataType::Decimal128(precision, scale) => {
                let column: Arc<Decimal128Array> = column!(Decimal128Array, Cell::Scaled(n) => *n);
                let sized = column.as_ref().clone().with_precision_and_scale(*precision, *scale);
                Arc::new(sized.expect("the engine has decimals of this size"))
            }
            DataType::Float32 => column!(Float32Array, Cell::Float32(f) => *f),
            DataType::Float64 => column!(Float64Array, Cell::Float64(f) => *f),
            DataType::Boolean => column!(BooleanArray, Cell::Bool(b) => *b),
            DataType::Timestamp(..) => column!(TimestampMicrosecondArray, Cell::Units(n) => *n),
            DataType::Date32 => column!(Date32Array, Cell::Units(n) => *n as i32),
            DataType::Time64(_) => column!(Time64MicrosecondArray, Cell::Units(n) => *n),
            DataType::Binary => column!(BinaryArray, Cell::Bytes(bytes) => bytes.as_slice()),
            _ => column!(StringArray, Cell::Text(text) => text.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::cast::Zone;
    use crate::value::kind::DecimalSize;

    fn cell(class: Class, value: &Value<'_>) -> Result<Option<Cell>, String> {
        match Shown::of(class, OPEN_SCALE) {
            Shown::As(ty) => ty.cell(value),
            Shown::AsStored => panic!("a class of its own"),
        }
    }

    #[test]
    fn what_a_type_does_not_hold_is_never_rounded() {
        let number = |text| Value::Number(Number::parse(text).expect("a number"));
        let decimal = Class::Decimal(DecimalSize { precision: 40, scale: 2 });
        let at = |ns| Value::Timestamp { at: Moment::At(ns), zoned: true };
        let timestamp = Class::Timestamp(Zone::Either);
        for (class, fits, does_not) in [
            (Class::Int, number("1e37"), number("1e38")),
            (Class::Number, number("0.000000000000000001"), number("0.0000000000000000001")),
            (Class::Number, number("12345678901234567890"), number("123456789012345678901")),
            (decimal, number("0.25"), number("1e36")),
            (Class::Float64, Value::Float64(0.1), number("0.10000000000000000001")),
            (Class::Float32, Value::Float32(0.1), Value::Float64(1e300)),
            (timestamp, at(1_000), at(1_001)),
            (Class::Time, Value::Time(2_000), Value::Time(2_500)),
            (Class::TimeTz, Value::TimeTz(2_000, 0), Value::TimeTz(2_500, 0)),
        ] {
            assert!(matches!(cell(class, &fits), Ok(Some(_))), "{class:?} {fits:?}");
            assert!(cell(class, &does_not).is_err(), "{class:?} {does_not:?}");
            assert!(matches!(cell(class, &Value::Absent), Ok(None)));
        }
    }

    #[test]
    fn names_are_replaced_and_nothing_else() {
        let shown = Shown::of(Class::Int, 0);
        let sql = shown.predicate("\"source\" <= Target and 'source' <> 'x'", 3);
        let want = "cast(s.s3 as hugeint) <= cast(t.s3 as hugeint) and 'source' <> 'x'";
        assert_eq!(sql, format!("coalesce(try(({want}\n)), false)"));
    }
}
