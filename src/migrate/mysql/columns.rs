//! What a server says of a table that is to be written, and what each of its columns takes.

use std::collections::BTreeMap;

use mysql::prelude::Queryable;
use mysql::{Conn, Row};

const COLUMNS: &str = include_str!("../../../queries/migrate/mysql/columns.sql");
const UNIQUE_COLUMNS: &str = include_str!("../../../queries/migrate/mysql/unique_columns.sql");
const KIND_OF_TABLE: &str = include_str!("../../../queries/migrate/mysql/kind_of_table.sql");

/// A table.
pub(super) struct Table {
    /// Its database.
    pub(super) database: String,
    /// Whether it is a view.
    pub(super) is_view: bool,
    /// Its engine, where that has no transactions.
    pub(super) without_transactions: Option<String>,
    /// Its columns in order.
    pub(super) columns: Vec<Found>,
    /// The columns of each unique index, sorted.
    unique: Vec<Vec<String>>,
}

/// A column.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// Its name.
    pub(super) name: String,
    /// Its type as it is declared, with character set and collation.
    pub(super) declared: String,
    /// What it takes.
    pub(super) limits: Limits,
    /// Whether the table makes its values.
    pub(super) generated: bool,
}

/// What a column takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// The kind of its values.
    pub(super) kind: Kind,
    /// Whether it takes NULL.
    pub(super) nullable: bool,
    /// The most characters of a CHAR or VARCHAR.
    pub(super) chars: Option<u64>,
    /// The most bytes of a text or of bytes.
    pub(super) bytes: Option<u64>,
    /// Digits, and those after the point, of a number to which the server would round.
    pub(super) decimal: Option<(u32, u32)>,
    /// Digits of a second.
    pub(super) fraction: u32,
    /// Its character set.
    pub(super) charset: Option<String>,
}

/// The kind of a column's values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Year,
    Decimal,
    Float,
    Double,
    /// So many binary digits.
    Bit(usize),
    Date,
    DateTime,
    Timestamp,
    Time,
    /// Text; `padded` where spaces at its end are no part of it.
    Text {
        padded: bool,
    },
    /// One of these.
    Enum(Vec<String>),
    /// Any of these, in their order.
    Set(Vec<String>),
    /// Bytes; `padded` where zeros are added up to the column's length.
    Bytes {
        padded: bool,
    },
    /// JSON that the server keeps in a form of its own.
    Document,
    Geometry,
    /// A type whose values the server writes in its own way.
    Other,
}

impl Limits {
    /// Whether what was sent has to be held against what the server made of it.
    pub(super) fn is_to_be_verified(&self) -> bool {
        matches!(self.kind, Kind::Document | Kind::Other)
    }

    /// Whether its text is UTF-8 on the server, too.
    pub(super) fn is_utf8(&self) -> bool {
        self.charset.as_deref().is_some_and(|set| set.starts_with("utf8"))
    }
}

impl Table {
    /// Whether a unique index is on exactly these columns.
    pub(super) fn is_unique_on(&self, key: &[&str]) -> bool {
        let mut key: Vec<&str> = key.to_vec();
        key.sort_unstable();
        self.unique.iter().any(|columns| *columns == key)
    }

    /// Whether other columns than the key's are unique.
    pub(super) fn has_other_unique(&self) -> bool {
        self.unique.len() > 1
    }

    /// Looks a table up; without a database, in the session's.
    pub(super) fn look_up(session: &mut Conn, database: Option<&str>, table: &str) -> mysql::Result<Self> {
        let database = match database {
            Some(database) => database.to_owned(),
            None => {
                session.query_first::<Option<String>, _>("select database()")?.flatten().unwrap_or_default()
            }
        };
        let kind: Option<(String, Option<String>, Option<String>)> =
            session.exec_first(KIND_OF_TABLE, (&database, table))?;
        let (kind, engine, transactions) = kind.unwrap_or_default();
        let mut indexes: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let rows: Vec<(String, Option<String>, bool)> = session.exec(UNIQUE_COLUMNS, (&database, table))?;
        for (index, column, is_prefix) in rows {
            // Neither an expression nor the beginning of a value is a column.
            let column = column.filter(|_| !is_prefix).unwrap_or_default();
            indexes.entry(index).or_default().push(column);
        }
        let unique = indexes.into_values().map(|mut columns| {
            columns.sort();
            columns
        });
        let rows: Vec<Row> = session.exec(COLUMNS, (&database, table))?;
        Ok(Self {
            is_view: kind.contains("VIEW"),
            without_transactions: engine.filter(|_| transactions.as_deref() != Some("YES")),
            columns: rows.into_iter().map(found).collect(),
            unique: unique.collect(),
            database,
        })
    }
}

fn found(mut row: Row) -> Found {
    let text =
        |row: &mut Row, name: &str| row.take_opt::<Option<String>, _>(name).and_then(Result::ok).flatten();
    let number =
        |row: &mut Row, name: &str| row.take_opt::<Option<u64>, _>(name).and_then(Result::ok).flatten();
    let (data_type, column_type) =
        (text(&mut row, "data_type").unwrap_or_default(), text(&mut row, "column_type").unwrap_or_default());
    let (charset, collation) = (text(&mut row, "charset"), text(&mut row, "collation"));
    let declared = match (&charset, collation) {
        (Some(charset), Some(collation)) => {
            format!("{column_type} character set {charset} collate {collation}")
        }
        _ => column_type.clone(),
    };
    let (digits, scale) = (number(&mut row, "digits"), number(&mut row, "scale"));
    let kind = kind(&data_type, &column_type, digits);
    let is_rounded = matches!(kind, Kind::Decimal | Kind::Float | Kind::Double);
    let is_text = matches!(data_type.as_str(), "char" | "varchar");
    Found {
        name: text(&mut row, "name").unwrap_or_default(),
        declared,
        generated: number(&mut row, "is_generated") == Some(1),
        limits: Limits {
            nullable: number(&mut row, "nullable") == Some(1),
            chars: number(&mut row, "chars").filter(|_| is_text),
            bytes: number(&mut row, "bytes"),
            decimal: digits.zip(scale).filter(|_| is_rounded).map(|(p, s)| (p as u32, s as u32)),
            fraction: number(&mut row, "fraction").unwrap_or(0) as u32,
            kind,
            charset,
        },
    }
}

fn kind(data_type: &str, column_type: &str, digits: Option<u64>) -> Kind {
    match data_type {
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" => Kind::Int,
        "year" => Kind::Year,
        "decimal" => Kind::Decimal,
        "float" => Kind::Float,
        "double" => Kind::Double,
        "bit" => Kind::Bit(digits.unwrap_or(1) as usize),
        "date" => Kind::Date,
        "datetime" => Kind::DateTime,
        "timestamp" => Kind::Timestamp,
        "time" => Kind::Time,
        "char" => Kind::Text { padded: true },
        "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => Kind::Text { padded: false },
        "enum" => Kind::Enum(members(column_type)),
        "set" => Kind::Set(members(column_type)),
        "binary" => Kind::Bytes { padded: true },
        "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => Kind::Bytes { padded: false },
        "json" => Kind::Document,
        "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
        | "multipolygon" | "geometrycollection" | "geomcollection" => Kind::Geometry,
        _ => Kind::Other,
    }
}

/// The members of `enum('a','b''c')`.
fn members(column_type: &str) -> Vec<String> {
    let mut members = Vec::new();
    let mut rest = column_type;
    while let Some(start) = rest.find('\'') {
        rest = &rest[start + 1..];
        let mut member = String::new();
        while let Some(end) = rest.find('\'') {
            member.push_str(&rest[..end]);
            rest = &rest[end + 1..];
            // Written twice, it is one of the member's own.
            match rest.strip_prefix('\'') {
                Some(after) => {
                    member.push('\'');
                    rest = after;
                }
                None => break,
            }
        }
        members.push(member);
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read_with_their_quotes() {
        assert_eq!(members("enum('a','b''c','',',')"), ["a", "b'c", "", ","]);
        assert_eq!(members("set('x')"), ["x"]);
    }
}
