//! In which class a field is compared: from the spec, else from the two stores' own types.

use crate::spec::Rule;
use crate::value::cast::{Class, Zone};
use crate::value::column::ColumnType;
use crate::value::kind::{DecimalSize, Element, Type};

/// What a store says of a column or an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreType {
    /// Text of a store that has no types (CSV).
    Untyped,
    /// Text.
    Text,
    /// Integers of any width.
    Int,
    /// Fixed decimals.
    Decimal(DecimalSize),
    /// Exact numbers of any size.
    Number,
    /// Single-precision floats.
    Float32,
    /// Double-precision floats.
    Float64,
    /// True or false.
    Bool,
    /// Integers by which a store without booleans has them.
    BoolInt,
    /// Timestamps, as instants or not.
    Timestamp {
        /// Whether they are instants.
        zoned: bool,
    },
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
    /// Lists.
    List,
    /// Maps and structs.
    Map,
    /// An attribute of a schemaless store.
    Document {
        /// The store has DynamoDB's types rather than JSON's.
        dynamodb: bool,
        /// The types seen, as DynamoDB names them, sorted; without `NULL`.
        tags: Vec<String>,
    },
    /// A type that recon does not compare, by its name.
    Other(String),
}

impl From<&ColumnType> for StoreType {
    fn from(ty: &ColumnType) -> Self {
        match ty {
            ColumnType::Int | ColumnType::UnsignedInt => Self::Int,
            ColumnType::Decimal(size) => Self::Decimal(*size),
            ColumnType::Number => Self::Number,
            ColumnType::Float32 => Self::Float32,
            ColumnType::Float64 => Self::Float64,
            ColumnType::Bool => Self::Bool,
            ColumnType::BoolInt => Self::BoolInt,
            ColumnType::Text => Self::Text,
            ColumnType::Untyped => Self::Untyped,
            ColumnType::Bytes => Self::Bytes,
            ColumnType::Date => Self::Date,
            ColumnType::Timestamp { zoned } => Self::Timestamp { zoned: *zoned },
            ColumnType::Time | ColumnType::LongTime => Self::Time,
            ColumnType::TimeTz => Self::TimeTz,
            ColumnType::Interval => Self::Interval,
            ColumnType::Uuid => Self::Uuid,
            ColumnType::Json => Self::Json,
            ColumnType::List(_) => Self::List,
            ColumnType::Other(name) => Self::Other(name.clone()),
        }
    }
}

impl StoreType {
    /// Reads DuckDB's name of a type.
    pub fn from_duckdb(name: &str) -> Self {
        if name.ends_with(']') {
            return Self::List;
        }
        let (head, arguments) =
            name.split_once('(').map_or((name, ""), |(h, a)| (h, a.trim_end_matches(')')));
        match head {
            "TINYINT" | "SMALLINT" | "INTEGER" | "BIGINT" | "HUGEINT" | "UTINYINT" | "USMALLINT"
            | "UINTEGER" | "UBIGINT" | "UHUGEINT" | "BIGNUM" => Self::Int,
            "DECIMAL" => match arguments.split_once(',').map(|(p, s)| (p.trim().parse(), s.trim().parse())) {
                Some((Ok(precision), Ok(scale))) => Self::Decimal(DecimalSize { precision, scale }),
                _ => Self::Other(name.to_owned()),
            },
            "FLOAT" => Self::Float32,
            "DOUBLE" => Self::Float64,
            "VARCHAR" | "ENUM" | "BIT" => Self::Text,
            "BOOLEAN" => Self::Bool,
            "DATE" => Self::Date,
            "TIME" | "TIME_NS" => Self::Time,
            "TIME WITH TIME ZONE" => Self::TimeTz,
            "TIMESTAMP" | "TIMESTAMP_S" | "TIMESTAMP_MS" | "TIMESTAMP_NS" => Self::Timestamp { zoned: false },
            "TIMESTAMP WITH TIME ZONE" => Self::Timestamp { zoned: true },
            "INTERVAL" => Self::Interval,
            "UUID" => Self::Uuid,
            "BLOB" => Self::Bytes,
            "JSON" => Self::Json,
            "MAP" | "STRUCT" => Self::Map,
            _ => Self::Other(name.to_owned()),
        }
    }

    /// A name for messages.
    pub fn describe(&self) -> String {
        match self {
            Self::Untyped => "untyped text".to_owned(),
            Self::Text => "string".to_owned(),
            Self::Int => "int".to_owned(),
            Self::Decimal(size) => format!("decimal({},{})", size.precision, size.scale),
            Self::Number => "decimal".to_owned(),
            Self::Float32 => "float32".to_owned(),
            Self::Float64 => "float64".to_owned(),
            Self::Bool => "bool".to_owned(),
            Self::BoolInt => "int for a bool".to_owned(),
            Self::Timestamp { zoned: true } => "timestamp with time zone".to_owned(),
            Self::Timestamp { zoned: false } => "timestamp without time zone".to_owned(),
            Self::Date => "date".to_owned(),
            Self::Time => "time".to_owned(),
            Self::TimeTz => "timetz".to_owned(),
            Self::Interval => "interval".to_owned(),
            Self::Uuid => "uuid".to_owned(),
            Self::Bytes => "bytes".to_owned(),
            Self::Json => "json".to_owned(),
            Self::List => "list".to_owned(),
            Self::Map => "map".to_owned(),
            Self::Document { tags, .. } if tags.is_empty() => {
                "attribute that has no value anywhere".to_owned()
            }
            Self::Document { dynamodb, tags } => {
                format!(
                    "{} attribute of type {}",
                    if *dynamodb { "DynamoDB" } else { "JSON" },
                    tags.join(" and ")
                )
            }
            Self::Other(name) => name.to_lowercase(),
        }
    }

    fn tags(&self) -> Option<Vec<&str>> {
        match self {
            Self::Document { tags, .. } => Some(tags.iter().map(String::as_str).collect()),
            _ => None,
        }
    }
}

/// How a field is compared, and what there is to say about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The class to which both sides are cast.
    pub class: Class,
    /// A remark for the report, as "compared as float32, the narrower width".
    pub note: Option<String>,
}

/// Decides the class; `Err` says why the field cannot be compared and how the spec can change that.
///
/// # Errors
/// Two types that do not go together.
pub fn resolve(
    source: &StoreType,
    target: &StoreType,
    declared: Option<Type>,
    rule: &Rule,
) -> Result<Resolved, String> {
    for side in [source, target] {
        if let StoreType::Other(name) = side {
            return Err(format!("the type {} is not compared", name.to_lowercase()));
        }
    }
    let plain = |class| Ok(Resolved { class, note: None });
    if rule.json || declared == Some(Type::Json) {
        return plain(Class::Json);
    }
    if rule.set && !matches!(declared, Some(Type::Set(_))) {
        return plain(Class::Set(None));
    }
    match declared {
        Some(ty) => resolve_declared(ty, source, target),
        None => match pair(source, target).or_else(|| pair(target, source)) {
            Some(class) => Ok(Resolved { class, note: narrowing(source, target) }),
            None => Err(format!("{} against {}; say how with `type`", source.describe(), target.describe())),
        },
    }
}

fn narrowing(source: &StoreType, target: &StoreType) -> Option<String> {
    let widths = [source, target];
    (widths.contains(&&StoreType::Float32) && widths.contains(&&StoreType::Float64))
        .then(|| "compared as float32, the narrower of the two widths".to_owned())
}

fn resolve_declared(ty: Type, source: &StoreType, target: &StoreType) -> Result<Resolved, String> {
    let class = match ty {
        Type::String | Type::Enum => Class::Text,
        Type::Int => Class::Int,
        Type::Decimal(None) => Class::Number,
        Type::Decimal(Some(size)) => Class::Decimal(size),
        Type::Float if [source, target].contains(&&StoreType::Float32) => Class::Float32,
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
    };
    for (name, side) in [("source", source), ("target", target)] {
        if !castable(side, class) {
            return Err(format!("the {name}'s {} cannot be read as {ty}", side.describe()));
        }
    }
    let note = if class == Class::Float32 { narrowing(source, target) } else { None };
    Ok(Resolved { class, note })
}

/// Whether some value of a store's type could be of the class. Text could always be.
fn castable(side: &StoreType, class: Class) -> bool {
    use StoreType as S;
    match side {
        S::Untyped | S::Text | S::Document { .. } => true,
        S::Int | S::BoolInt | S::Decimal(_) | S::Number => matches!(
            class,
            Class::Text
                | Class::Int
                | Class::Number
                | Class::Decimal(_)
                | Class::Float32
                | Class::Float64
                | Class::Bool
        ),
        S::Float32 | S::Float64 => matches!(
            class,
            Class::Text | Class::Int | Class::Number | Class::Decimal(_) | Class::Float32 | Class::Float64
        ),
        S::Bool => matches!(class, Class::Text | Class::Bool),
        S::Timestamp { .. } => matches!(class, Class::Text | Class::Timestamp(_) | Class::Date),
        S::Date => matches!(class, Class::Text | Class::Timestamp(_) | Class::Date),
        S::Time => matches!(class, Class::Text | Class::Time),
        S::TimeTz => matches!(class, Class::Text | Class::TimeTz),
        S::Interval => matches!(class, Class::Text | Class::Interval),
        S::Uuid => matches!(class, Class::Text | Class::Uuid),
        S::Bytes => matches!(class, Class::Text | Class::Bytes),
        // A document may be an array.
        S::Json => matches!(class, Class::Text | Class::Json | Class::List | Class::Set(_)),
        S::Map => matches!(class, Class::Text | Class::Json),
        S::List => matches!(class, Class::Text | Class::Json | Class::List | Class::Set(_)),
        S::Other(_) => false,
    }
}

/// The class of two undeclared types; called with both orders.
fn pair(a: &StoreType, b: &StoreType) -> Option<Class> {
    use StoreType as S;
    Some(match (a, b) {
        (S::Document { dynamodb: x, tags: s }, S::Document { dynamodb: y, tags: t }) => {
            documents(*x, s, *y, t)
        }
        (S::Document { .. }, typed) => document_and(&a.tags()?, typed)?,
        (S::Untyped, typed) => own_class(typed)?,
        (S::Int, S::Int) => Class::Int,
        // As wide as the other side has it.
        (S::BoolInt, S::Bool) => Class::Bool,
        (S::BoolInt, S::Int | S::Decimal(_) | S::Number | S::Float32 | S::Float64) => Class::Number,
        (S::Float32, S::Float32 | S::Float64) => Class::Float32,
        (S::Float64, S::Float64) => Class::Float64,
        (S::Int | S::Decimal(_) | S::Number, S::Decimal(_) | S::Number | S::Float32 | S::Float64) => {
            Class::Number
        }
        (S::Uuid, S::Uuid | S::Text) => Class::Uuid,
        (a, b) if std::mem::discriminant(a) == std::mem::discriminant(b) => own_class(a)?,
        _ => return None,
    })
}

/// The class of a type compared with itself or with untyped text.
fn own_class(side: &StoreType) -> Option<Class> {
    use StoreType as S;
    Some(match side {
        S::Untyped | S::Text => Class::Text,
        S::Int | S::BoolInt => Class::Int,
        S::Decimal(_) | S::Number => Class::Number,
        S::Float32 => Class::Float32,
        S::Float64 => Class::Float64,
        S::Bool => Class::Bool,
        S::Timestamp { .. } => Class::Timestamp(Zone::Either),
        S::Date => Class::Date,
        S::Time => Class::Time,
        S::TimeTz => Class::TimeTz,
        S::Interval => Class::Interval,
        S::Uuid => Class::Uuid,
        S::Bytes => Class::Bytes,
        S::Json | S::Map => Class::Json,
        S::List => Class::List,
        S::Document { .. } | S::Other(_) => return None,
    })
}

/// Two schemaless attributes: as they are, but where only one of the stores has the type.
fn documents(x_dynamodb: bool, x: &[String], y_dynamodb: bool, y: &[String]) -> Class {
    if x_dynamodb == y_dynamodb {
        return Class::Any;
    }
    let dynamodb = if x_dynamodb { x } else { y };
    match dynamodb.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["SS"] => Class::Set(Some(Element::String)),
        ["NS"] => Class::Set(Some(Element::Number)),
        ["BS"] => Class::Set(Some(Element::Bytes)),
        ["B"] => Class::Bytes,
        tags if tags.iter().all(|tag| matches!(*tag, "M" | "L")) && !tags.is_empty() => Class::Json,
        _ => Class::Any,
    }
}

/// A schemaless attribute against a store with types, or against untyped text.
fn document_and(tags: &[&str], typed: &StoreType) -> Option<Class> {
    use StoreType as S;
    if tags.is_empty() {
        return own_class(typed);
    }
    let only = |allowed: &[&str]| tags.iter().all(|tag| allowed.contains(tag));
    match typed {
        S::Untyped => Some(match tags {
            ["S"] => Class::Text,
            ["N"] => Class::Number,
            ["BOOL"] => Class::Bool,
            ["B"] => Class::Bytes,
            ["SS"] => Class::Set(Some(Element::String)),
            ["NS"] => Class::Set(Some(Element::Number)),
            ["BS"] => Class::Set(Some(Element::Bytes)),
            ["L"] | ["M"] | ["L", "M"] => Class::Json,
            _ => return None,
        }),
        S::Text if only(&["S"]) => Some(Class::Text),
        S::Int | S::Decimal(_) | S::Number | S::Float32 | S::Float64 if only(&["N"]) => Some(Class::Number),
        S::Bool | S::BoolInt if only(&["BOOL"]) => Some(Class::Bool),
        S::BoolInt if only(&["N"]) => Some(Class::Number),
        S::Timestamp { .. } | S::Date | S::Time | S::TimeTz | S::Interval | S::Uuid if only(&["S"]) => {
            own_class(typed)
        }
        S::Bytes if only(&["B"]) => Some(Class::Bytes),
        S::List | S::Json if tags == ["SS"] => Some(Class::Set(Some(Element::String))),
        S::List | S::Json if tags == ["NS"] => Some(Class::Set(Some(Element::Number))),
        S::List | S::Json if tags == ["BS"] => Some(Class::Set(Some(Element::Bytes))),
        S::List if only(&["L"]) => Some(Class::Json),
        S::Map | S::Json if only(&["M", "L"]) => Some(Class::Json),
        // A mixed attribute against a type that some of its values have: the others fail to cast, each by name.
        S::Text if tags.contains(&"S") => Some(Class::Text),
        S::Int | S::Decimal(_) | S::Number | S::Float32 | S::Float64 if tags.contains(&"N") => {
            Some(Class::Number)
        }
        S::Bool if tags.contains(&"BOOL") => Some(Class::Bool),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doc(tags: &[&str]) -> StoreType {
        StoreType::Document { dynamodb: true, tags: tags.iter().map(|t| (*t).to_owned()).collect() }
    }

    fn class(a: &StoreType, b: &StoreType) -> Option<Class> {
        let forward = resolve(a, b, None, &Rule::default()).ok().map(|r| r.class);
        assert_eq!(
            forward,
            resolve(b, a, None, &Rule::default()).ok().map(|r| r.class),
            "order does not matter"
        );
        forward
    }

    #[test]
    fn undeclared_pairs() {
        use StoreType as S;
        let decimal = S::Decimal(DecimalSize { precision: 9, scale: 2 });
        for (a, b, want) in [
            (S::Untyped, S::Untyped, Some(Class::Text)),
            (S::Untyped, S::Int, Some(Class::Int)),
            (S::Int, decimal.clone(), Some(Class::Number)),
            (S::Float32, S::Float64, Some(Class::Float32)),
            (S::Float64, S::Int, Some(Class::Number)),
            (S::Uuid, S::Text, Some(Class::Uuid)),
            (S::Bool, S::Int, None),
            (S::Date, S::Timestamp { zoned: false }, None),
            // A dataset's `timezone` can make them one kind; where it does not, the values show it.
            (
                S::Timestamp { zoned: true },
                S::Timestamp { zoned: false },
                Some(Class::Timestamp(Zone::Either)),
            ),
            (S::Text, S::Int, None),
            (S::Text, S::Json, None),
            (doc(&["S"]), doc(&["N"]), Some(Class::Any)),
            (doc(&["S"]), S::Int, None),
            (doc(&["N"]), S::Text, None),
            (doc(&["N"]), S::Timestamp { zoned: true }, None),
            (doc(&["S"]), S::Timestamp { zoned: true }, Some(Class::Timestamp(Zone::Either))),
            (doc(&["SS"]), S::List, Some(Class::Set(Some(Element::String)))),
            (doc(&["N", "S"]), S::Untyped, None),
            (doc(&["N"]), S::Untyped, Some(Class::Number)),
            (doc(&[]), S::Date, Some(Class::Date)),
            (S::Other("UNION".to_owned()), S::Text, None),
        ] {
            assert_eq!(class(&a, &b), want, "{a:?} against {b:?}");
        }
    }

    #[test]
    fn a_declared_type_must_be_possible() {
        let by = |ty, a: &StoreType| resolve(a, &StoreType::Untyped, Some(ty), &Rule::default());
        assert!(by(Type::Int, &StoreType::Date).is_err());
        assert!(by(Type::Date, &StoreType::Timestamp { zoned: false }).is_ok());
        assert!(by(Type::Int, &doc(&["S"])).is_ok());
        assert!(by(Type::List, &StoreType::Json).is_ok() && by(Type::List, &StoreType::Map).is_err());
    }

    #[test]
    fn two_widths_are_said_to_be_two() {
        let both = resolve(&StoreType::Float32, &StoreType::Float64, None, &Rule::default()).expect("floats");
        assert!(both.note.expect("a note").contains("float32"));
    }
}
