//! The types of a live table's columns, and how a part carries their values.
//!
//! What Arrow and the engine hold exactly is carried as that. The rest is carried as text of one canonical form, and
//! [`ColumnType::read`] makes the value of it: numbers of any size, times beyond a day, lists of whatever elements.

use std::fmt;
use std::str::FromStr;

use super::cast::{Class, Reading, cast};
use super::kind::DecimalSize;
use super::{Value, json, time};

/// The type of a column, as exact as its store declares it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// Integers of up to 64 bits with a sign.
    Int,
    /// Integers of 64 bits without a sign.
    UnsignedInt,
    /// Decimals of up to 38 digits.
    Decimal(DecimalSize),
    /// Exact numbers of any size, NaN and the infinities. Carried as text: digits, or digits and an exponent.
    Number,
    /// Single-precision floats.
    Float32,
    /// Double-precision floats.
    Float64,
    /// True or false.
    Bool,
    /// Integers by which a store without booleans has them: 0 and 1, though others may be there.
    BoolInt,
    /// Text.
    Text,
    /// Text of a store whose text may stand for other types.
    Untyped,
    /// Bytes.
    Bytes,
    /// Days since 1970, and the infinities.
    Date,
    /// Microseconds since 1970, and the infinities.
    Timestamp {
        /// Whether they are instants.
        zoned: bool,
    },
    /// Microseconds since midnight, a whole day at most.
    Time,
    /// A clock's hands or a duration, negative or beyond a day: carried as `[-]H…H:MM:SS[.ffffff]`.
    LongTime,
    /// Carried as `HH:MM:SS[.ffffff]±HH:MM[:SS]`.
    TimeTz,
    /// Months, days and microseconds apart: carried in ISO 8601, `P1Y2M3DT4H5M6.7S`.
    Interval,
    /// Carried as 36 characters.
    Uuid,
    /// A JSON document: carried as it was written.
    Json,
    /// A list: carried as a JSON array, its elements as this type carries them.
    List(Box<ColumnType>),
    /// A type that is not compared, by its name. Carried as the store's own text.
    Other(String),
}

impl ColumnType {
    /// Whether values are carried as text that has to be read.
    pub fn is_read_from_text(&self) -> bool {
        matches!(
            self,
            Self::Number | Self::LongTime | Self::TimeTz | Self::Interval | Self::Uuid | Self::List(_)
        )
    }

    /// The value of a cell of a part.
    ///
    /// # Errors
    /// A text that is not of the type's form: a defect of whoever wrote the part.
    pub fn read<'a>(&self, cell: Value<'a>) -> Result<Value<'a>, String> {
        let Value::Text(text) = cell else { return Ok(cell) };
        let reading = Reading { free: true, ..Reading::default() };
        match self {
            Self::Number => cast(Value::Text(text), Class::Number, &reading),
            Self::LongTime => {
                time::parse_long_time(&text).map(Value::Time).ok_or_else(|| "not a time".to_owned())
            }
            Self::TimeTz => cast(Value::Text(text), Class::TimeTz, &reading),
            Self::Interval => cast(Value::Text(text), Class::Interval, &reading),
            Self::Uuid => cast(Value::Text(text), Class::Uuid, &reading),
            Self::List(element) => element.elements(json::parse(&text)?),
            _ => Ok(Value::Text(text)),
        }
    }

    /// The elements of a list that was read as JSON, each of this type; a list in a list is a further dimension.
    fn elements(&self, value: Value<'static>) -> Result<Value<'static>, String> {
        let reading = Reading { free: true, ..Reading::default() };
        let class = match self {
            Self::Int | Self::UnsignedInt | Self::BoolInt => Class::Int,
            Self::Decimal(_) | Self::Number => Class::Number,
            Self::Float32 => Class::Float32,
            Self::Float64 => Class::Float64,
            Self::Bool => Class::Bool,
            Self::Bytes => Class::Bytes,
            Self::Date => Class::Date,
            Self::Timestamp { .. } => Class::Timestamp(super::cast::Zone::Either),
            Self::Time => Class::Time,
            Self::TimeTz => Class::TimeTz,
            Self::Interval => Class::Interval,
            Self::Uuid => Class::Uuid,
            Self::Json => Class::Json,
            Self::LongTime | Self::Text | Self::Untyped | Self::Other(_) | Self::List(_) => Class::Text,
        };
        match value {
            Value::List(values) => {
                values.into_iter().map(|v| self.elements(v)).collect::<Result<_, _>>().map(Value::List)
            }
            Value::Null => Ok(Value::Null),
            leaf => cast(leaf, class, &reading).map(Value::into_owned),
        }
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Int => "int",
            Self::UnsignedInt => "unsigned int",
            Self::Decimal(size) => return write!(f, "decimal({},{})", size.precision, size.scale),
            Self::Number => "number",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
            Self::Bool => "bool",
            Self::BoolInt => "bool int",
            Self::Text => "text",
            Self::Untyped => "untyped",
            Self::Bytes => "bytes",
            Self::Date => "date",
            Self::Timestamp { zoned: true } => "timestamptz",
            Self::Timestamp { zoned: false } => "timestamp",
            Self::Time => "time",
            Self::LongTime => "long time",
            Self::TimeTz => "timetz",
            Self::Interval => "interval",
            Self::Uuid => "uuid",
            Self::Json => "json",
            Self::List(element) => return write!(f, "list<{element}>"),
            Self::Other(name) => return write!(f, "other<{name}>"),
        })
    }
}

impl FromStr for ColumnType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let inside =
            |head: &str, tail: char| text.strip_prefix(head).and_then(|rest| rest.strip_suffix(tail));
        if let Some(element) = inside("list<", '>') {
            return Ok(Self::List(Box::new(element.parse()?)));
        }
        if let Some(name) = inside("other<", '>') {
            return Ok(Self::Other(name.to_owned()));
        }
        if let Some((precision, scale)) = inside("decimal(", ')').and_then(|size| size.split_once(',')) {
            let number = |text: &str| text.parse().map_err(|_| format!("no size: {text}"));
            return Ok(Self::Decimal(DecimalSize { precision: number(precision)?, scale: number(scale)? }));
        }
        let all = [
            Self::Int,
            Self::UnsignedInt,
            Self::Number,
            Self::Float32,
            Self::Float64,
            Self::Bool,
            Self::BoolInt,
            Self::Text,
            Self::Untyped,
            Self::Bytes,
            Self::Date,
            Self::Timestamp { zoned: true },
            Self::Timestamp { zoned: false },
            Self::Time,
            Self::LongTime,
            Self::TimeTz,
            Self::Interval,
            Self::Uuid,
            Self::Json,
        ];
        let found = all.into_iter().find(|ty| ty.to_string() == text);
        found.ok_or_else(|| format!("no column type is called `{text}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(ty: &str, text: &str) -> String {
        let ty: ColumnType = ty.parse().unwrap();
        format!("{:?}", ty.read(Value::Text(text.into())).unwrap())
    }

    #[test]
    fn names_are_read_back() {
        let decimal = ColumnType::Decimal(DecimalSize { precision: 18, scale: 4 });
        for ty in [
            ColumnType::UnsignedInt,
            decimal.clone(),
            ColumnType::LongTime,
            ColumnType::Timestamp { zoned: true },
            ColumnType::List(Box::new(ColumnType::List(Box::new(decimal)))),
            ColumnType::Other("money".to_owned()),
        ] {
            assert_eq!(ty.to_string().parse(), Ok(ty));
        }
        assert!("integer".parse::<ColumnType>().is_err());
    }

    #[test]
    fn what_is_carried_as_text_becomes_its_value() {
        assert!(shown("number", "1E+40").starts_with("Number("));
        assert_eq!(shown("number", "NaN"), "Float64(NaN)");
        assert_eq!(shown("long time", "-838:59:59.5"), "Time(-3020399500000000)");
        assert_eq!(shown("text", "1"), "Text(\"1\")");
        assert!(shown("uuid", "00000000-0000-0000-0000-00000000000a").starts_with("Uuid(10)"));
        let list = |ty: &str, text: &'static str| {
            ty.parse::<ColumnType>().unwrap().read(Value::Text(text.into())).unwrap()
        };
        let numbers = list("list<number>", "[1.0,\"NaN\",null,[2]]");
        let Value::List(numbers) = numbers else { panic!("no list") };
        assert!(
            numbers[0].same(&list("number", "1")) && matches!(numbers[1], Value::Float64(f) if f.is_nan())
        );
        assert!(numbers[2].is_null() && matches!(&numbers[3], Value::List(inner) if inner.len() == 1));
    }
}
