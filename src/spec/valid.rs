//! What holds of a field's values, whatever the other side has.

use std::cmp::Ordering;

use super::Sql;
use crate::value::cast::{Class, Reading, Zone, cast};
use crate::value::kind::Type;
use crate::value::{Number, Value};

/// What holds of a field's values. The default lets every value pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Valid {
    /// There is a value.
    pub required: bool,
    /// The least one.
    pub min: Option<Bound>,
    /// The greatest one.
    pub max: Option<Bound>,
    /// How long it is.
    pub length: Option<Length>,
    /// A regular expression that is somewhere in it.
    pub pattern: Option<Bound>,
    /// The only values.
    pub one_of: Option<Vec<Bound>>,
    /// A condition over `value` and the entity's other fields.
    pub check: Option<Sql>,
}

/// A value that a rule names, as it is written, with its place in the spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Its text; of a number, with all its digits.
    pub text: String,
    /// Whether it is written as a number.
    pub is_number: bool,
    /// 1-based line.
    pub line: usize,
    /// 1-based column.
    pub column: usize,
}

/// `length`: characters of a text, bytes, or elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    /// The least.
    pub min: Option<u64>,
    /// The greatest.
    pub max: Option<u64>,
}

impl Valid {
    /// The spec's words for the rules that are given.
    pub fn given(&self) -> Vec<&'static str> {
        let all = [
            ("required", self.required),
            ("min", self.min.is_some()),
            ("max", self.max.is_some()),
            ("length", self.length.is_some()),
            ("pattern", self.pattern.is_some()),
            ("one_of", self.one_of.is_some()),
            ("check", self.check.is_some()),
        ];
        all.into_iter().filter(|(_, is_given)| *is_given).map(|(word, _)| word).collect()
    }

    /// The rules that mean nothing for values of a class, each with what it is for.
    pub fn unfit(&self, class: Class) -> Vec<(&'static str, &'static str)> {
        let what = |word: &'static str| match word {
            "min" | "max" if !has_order(class) => Some("numbers and times"),
            "length"
                if !matches!(
                    class,
                    Class::Text | Class::Bytes | Class::Set(_) | Class::List | Class::Any
                ) =>
            {
                Some("text, bytes, lists and sets")
            }
            "pattern" if !matches!(class, Class::Text | Class::Any) => Some("text"),
            "one_of" if matches!(class, Class::Json | Class::Set(_) | Class::List) => Some("single values"),
            "check" if class == Class::Any => Some("values of one type"),
            _ => None,
        };
        self.given().into_iter().filter_map(|word| Some((word, what(word)?))).collect()
    }
}

impl Bound {
    /// Its value among those of a class. Numbers are exact, whatever the class.
    ///
    /// # Errors
    /// Why it is none, in words.
    pub fn value(&self, class: Class, reading: &Reading) -> Result<Value<'static>, String> {
        if is_number(class) || (class == Class::Any && self.is_number) {
            return Number::parse(&self.text).map(Value::Number);
        }
        let reading = Reading { free: true, ..reading.clone() };
        cast(Value::Text(self.text.clone().into()), class, &reading).map(Value::into_owned)
    }
}

/// The class of a declared type.
pub(super) fn class(ty: Type) -> Class {
    match ty {
        Type::String | Type::Enum => Class::Text,
        Type::Int => Class::Int,
        Type::Decimal(_) => Class::Number,
        Type::Float => Class::Float64,
        Type::Bool => Class::Bool,
        Type::Timestamp => Class::Timestamp(Zone::Either),
        Type::Date => Class::Date,
        Type::Time => Class::Time,
        Type::TimeTz => Class::TimeTz,
        Type::Interval => Class::Interval,
        Type::Uuid => Class::Uuid,
        Type::Bytes => Class::Bytes,
        Type::Json => Class::Json,
        Type::Set(element) => Class::Set(Some(element)),
        Type::List => Class::List,
    }
}

fn is_number(class: Class) -> bool {
    matches!(class, Class::Int | Class::Number | Class::Decimal(_) | Class::Float32 | Class::Float64)
}

fn has_order(class: Class) -> bool {
    is_number(class) || matches!(class, Class::Timestamp(_) | Class::Date | Class::Time | Class::TimeTz)
}

/// How a number or a time stands to another; `None` where nothing says: NaN, an instant against a time on some clock.
pub fn order(a: &Value<'_>, b: &Value<'_>) -> Option<Ordering> {
    match (a, b) {
        (Value::Timestamp { at: x, zoned: s }, Value::Timestamp { at: y, zoned: t }) if s == t => {
            Some(x.cmp(y))
        }
        (Value::Date(x), Value::Date(y)) => Some(x.cmp(y)),
        (Value::Time(x), Value::Time(y)) => Some(x.cmp(y)),
        (Value::TimeTz(x, s), Value::TimeTz(y, t)) => {
            let utc = |ns: i64, offset_s: i32| i128::from(ns) - i128::from(offset_s) * 1_000_000_000;
            Some(utc(*x, *s).cmp(&utc(*y, *t)))
        }
        _ => match (infinite(a), infinite(b)) {
            (None, None) => Some(number(a)?.cmp(&number(b)?)),
            (x, y) => Some(x.unwrap_or(0).cmp(&y.unwrap_or(0))),
        },
    }
}

/// A number exactly; a float by its shortest digits.
pub fn number(value: &Value<'_>) -> Option<Number> {
    match value {
        Value::Number(number) => Some(number.clone()),
        Value::Float32(f) => Number::from_f32(*f),
        Value::Float64(f) => Number::from_f64(*f),
        _ => None,
    }
}

/// 1 and −1 for the infinities.
fn infinite(value: &Value<'_>) -> Option<i32> {
    let float = match value {
        Value::Float32(f) => f64::from(*f),
        Value::Float64(f) => *f,
        _ => return None,
    };
    float.is_infinite().then_some(if float > 0.0 { 1 } else { -1 })
}
