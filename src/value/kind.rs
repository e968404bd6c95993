//! The types a spec can name, and the types that a store says its columns have.

use std::fmt;
use std::str::FromStr;

/// A type as written in the spec (`type = "decimal(18,4)"`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// Text of any length.
    String,
    /// A value out of a fixed list, compared as text.
    Enum,
    /// An integer of any size.
    Int,
    /// An exact decimal; without arguments, of any precision and scale.
    Decimal(Option<DecimalSize>),
    /// A binary floating-point number.
    Float,
    /// True or false.
    Bool,
    /// An instant (values carry an offset) or a civil date and time (they do not): one side is all of one kind.
    Timestamp,
    /// A calendar date.
    Date,
    /// A time of day.
    Time,
    /// A time of day with an offset.
    TimeTz,
    /// Months, days and microseconds, kept apart.
    Interval,
    /// A UUID, compared without regard to case.
    Uuid,
    /// Bytes.
    Bytes,
    /// A JSON document, compared semantically.
    Json,
    /// An order-free collection that holds each element once.
    Set(Element),
    /// An ordered collection.
    List,
}

/// Total digits and digits after the point of a `decimal(p,s)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DecimalSize {
    /// Total significant digits.
    pub precision: u32,
    /// Digits after the decimal point.
    pub scale: u32,
}

/// What a `set<…>` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element {
    /// Text.
    String,
    /// Exact numbers.
    Number,
    /// Bytes.
    Bytes,
}

/// The simple type names, for "did you mean" and the JSON Schema.
pub const TYPE_NAMES: [&str; 18] = [
    "string",
    "int",
    "decimal",
    "float",
    "bool",
    "timestamp",
    "date",
    "time",
    "timetz",
    "interval",
    "uuid",
    "bytes",
    "json",
    "enum",
    "list",
    "set<string>",
    "set<number>",
    "set<bytes>",
];

impl FromStr for Type {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        Ok(match compact.as_str() {
            "string" => Self::String,
            "enum" => Self::Enum,
            "int" => Self::Int,
            "decimal" => Self::Decimal(None),
            "float" => Self::Float,
            "bool" => Self::Bool,
            "timestamp" => Self::Timestamp,
            "date" => Self::Date,
            "time" => Self::Time,
            "timetz" => Self::TimeTz,
            "interval" => Self::Interval,
            "uuid" => Self::Uuid,
            "bytes" => Self::Bytes,
            "json" => Self::Json,
            "list" => Self::List,
            "set<string>" => Self::Set(Element::String),
            "set<number>" => Self::Set(Element::Number),
            "set<bytes>" => Self::Set(Element::Bytes),
            other => return Self::decimal(other).ok_or_else(|| format!("no type is called `{text}`"))?,
        })
    }
}

impl Type {
    fn decimal(text: &str) -> Option<Result<Self, String>> {
        let (precision, scale) = text.strip_prefix("decimal(")?.strip_suffix(')')?.split_once(',')?;
        let (precision, scale) = (precision.parse().ok()?, scale.parse().ok()?);
        Some(if precision == 0 || scale > precision {
            Err(format!("`{text}` needs 1 ≤ precision and scale ≤ precision"))
        } else {
            Ok(Self::Decimal(Some(DecimalSize { precision, scale })))
        })
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::String => "string",
            Self::Enum => "enum",
            Self::Int => "int",
            Self::Decimal(None) => "decimal",
            Self::Decimal(Some(size)) => return write!(f, "decimal({},{})", size.precision, size.scale),
            Self::Float => "float",
            Self::Bool => "bool",
            Self::Timestamp => "timestamp",
            Self::Date => "date",
            Self::Time => "time",
            Self::TimeTz => "timetz",
            Self::Interval => "interval",
            Self::Uuid => "uuid",
            Self::Bytes => "bytes",
            Self::Json => "json",
            Self::Set(Element::String) => "set<string>",
            Self::Set(Element::Number) => "set<number>",
            Self::Set(Element::Bytes) => "set<bytes>",
            Self::List => "list",
        })
    }
}
