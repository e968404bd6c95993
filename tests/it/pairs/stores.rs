//! The stores, and how each of them writes a value.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rusqlite::types::Value as Cell;
use serde_json::{Value as Json, json};

use super::columns::{COLUMNS, Column, Kind};
use crate::project::{Project, write_export, write_parquet};
use crate::servers::{dynamodb, mariadb, postgres};

/// A row: its key, and a value of each column.
pub(super) struct Row {
    pub(super) key: (&'static str, usize),
    pub(super) values: Vec<Option<&'static str>>,
}

type Write = fn(&Project, &str, &[Row]) -> String;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Store {
    Postgres,
    Mysql,
    Sqlite,
    Parquet,
    Csv,
    Jsonl,
    Export,
    Dynamodb,
}

impl Store {
    pub(super) const ALL: [Self; 8] = [
        Self::Postgres,
        Self::Mysql,
        Self::Sqlite,
        Self::Parquet,
        Self::Csv,
        Self::Jsonl,
        Self::Export,
        Self::Dynamodb,
    ];

    pub(super) fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// Whether it can hold a column's values.
    pub(super) fn holds(self, (name, ..): &Column) -> bool {
        match *name {
            "largest" | "smallest" => !self.is_dynamodb(),
            "special" => matches!(self, Self::Postgres | Self::Parquet | Self::Csv),
            "endless" => self != Self::Mysql,
            _ => true,
        }
    }

    fn is_dynamodb(self) -> bool {
        matches!(self, Self::Export | Self::Dynamodb)
    }

    /// Whether it has a type of its own for such values, or only text.
    fn has(self, kind: Kind) -> bool {
        match kind {
            Kind::Text => true,
            Kind::Int | Kind::Double | Kind::Single | Kind::Bool => self != Self::Csv,
            Kind::Unsigned | Kind::Decimal => !matches!(self, Self::Csv | Self::Sqlite),
            Kind::Instant | Kind::Moment | Kind::Day | Kind::Clock => {
                matches!(self, Self::Postgres | Self::Mysql | Self::Parquet)
            }
            Kind::Uuid => matches!(self, Self::Postgres | Self::Parquet),
            Kind::Bytes => !matches!(self, Self::Csv | Self::Jsonl),
            Kind::Json | Kind::List => !matches!(self, Self::Csv | Self::Sqlite),
            Kind::Set => self.is_dynamodb(),
        }
    }

    /// Whether a spec has to say the type in which two stores are compared.
    pub(super) fn need_a_type(a: Self, b: Self, kind: Kind) -> bool {
        let has = |store: Self| [a, b].contains(&store);
        match kind {
            // A string of JSON against bytes could be anything.
            Kind::Bytes if has(Self::Jsonl) => !(a.is_dynamodb() || b.is_dynamodb()),
            // An array of PostgreSQL or Parquet against a JSON document.
            Kind::List if has(Self::Mysql) && (has(Self::Postgres) || has(Self::Parquet)) => true,
            _ => !a.has(kind) && !b.has(kind),
        }
    }

    /// Writes rows as the dataset `name` and returns its keys in the spec. What the store cannot hold is NULL there.
    pub(super) fn write(self, project: &Project, name: &str, mut rows: Vec<Row>) -> String {
        for row in &mut rows {
            for (column, value) in COLUMNS.iter().zip(&mut row.values) {
                *value = value.filter(|_| self.holds(column));
            }
        }
        let write: Write = match self {
            Self::Postgres => postgres,
            Self::Mysql => mysql,
            Self::Sqlite => sqlite,
            Self::Parquet => parquet,
            Self::Csv => csv,
            Self::Jsonl => jsonl,
            Self::Export => export,
            Self::Dynamodb => dynamodb,
        };
        write(project, name, &rows)
    }
}

fn elements(text: &str) -> Vec<String> {
    serde_json::from_str(text).expect("an array of texts")
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn unhex(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|i| u8::from_str_radix(&digits[i..i + 2], 16).expect("hex")).collect()
}

/// `create table` and `insert` in a dialect, which is a type for each kind and a literal for each value.
fn table(rows: &[Row], key: &str, ty: fn(Kind) -> &'static str, literal: fn(Kind, &str) -> String) -> String {
    let columns: Vec<String> =
        COLUMNS.iter().map(|(name, kind, ..)| format!("{name} {}", ty(*kind))).collect();
    let mut sql = format!("create table t ({key}, {}, primary key (k1, k2));", columns.join(", "));
    for row in rows {
        let value = |((_, kind, ..), value): (&Column, &Option<&str>)| {
            value.map_or("null".to_owned(), |value| literal(*kind, value))
        };
        let values: Vec<String> = COLUMNS.iter().zip(&row.values).map(value).collect();
        let k1 = literal(Kind::Text, row.key.0);
        sql.push_str(&format!("insert into t values ({k1}, {}, {});", row.key.1, values.join(", ")));
    }
    sql
}

fn postgres(_: &Project, _: &str, rows: &[Row]) -> String {
    let ty = |kind| match kind {
        Kind::Text => "text",
        Kind::Int => "bigint",
        Kind::Unsigned => "numeric(20)",
        Kind::Decimal => "numeric(38,10)",
        Kind::Double => "double precision",
        Kind::Single => "real",
        Kind::Bool => "boolean",
        Kind::Instant => "timestamptz",
        Kind::Moment => "timestamp",
        Kind::Day => "date",
        Kind::Clock => "time",
        Kind::Uuid => "uuid",
        Kind::Bytes => "bytea",
        Kind::Json => "jsonb",
        Kind::List | Kind::Set => "text[]",
    };
    let literal = |kind, text: &str| match kind {
        Kind::Bytes => quoted(&format!("\\x{text}")),
        Kind::List | Kind::Set => {
            format!("array[{}]", elements(text).iter().map(|e| quoted(e)).collect::<Vec<_>>().join(", "))
        }
        _ => quoted(text),
    };
    let database = postgres::Database::new(&table(rows, "k1 text, k2 int", ty, literal));
    format!("kind = \"postgres\"\nurl = \"{}\"\ntable = \"t\"", database.url)
}

fn mysql(_: &Project, _: &str, rows: &[Row]) -> String {
    let ty = |kind| match kind {
        Kind::Text => "text",
        Kind::Int => "bigint",
        Kind::Unsigned => "bigint unsigned",
        Kind::Decimal => "decimal(38,10)",
        Kind::Double => "double",
        Kind::Single => "float",
        Kind::Bool => "tinyint(1)",
        Kind::Instant => "timestamp(6) null",
        Kind::Moment => "datetime(6)",
        Kind::Day => "date",
        Kind::Clock => "time(6)",
        Kind::Uuid => "char(36)",
        Kind::Bytes => "blob",
        Kind::Json | Kind::List | Kind::Set => "json",
    };
    let literal = |kind, text: &str| match kind {
        Kind::Bytes => format!("x'{text}'"),
        Kind::Bool => text.to_owned(),
        Kind::Instant => quoted(text.trim_end_matches('Z')),
        _ => quoted(&text.replace('\\', "\\\\")),
    };
    let key = "k1 varchar(20) collate utf8mb4_bin, k2 int";
    let sql = table(rows, key, ty, literal);
    let database = mariadb::Database::new(&format!("set time_zone = '+00:00'; {sql}"));
    format!("kind = \"mysql\"\nurl = \"{}\"\ntable = \"t\"", database.url)
}

fn sqlite(project: &Project, name: &str, rows: &[Row]) -> String {
    let ty = |kind| match kind {
        Kind::Int => "integer",
        Kind::Double | Kind::Single => "real",
        Kind::Bool => "boolean",
        Kind::Bytes => "blob",
        _ => "text",
    };
    let cell = |(&(_, kind, ..), value): (&Column, &Option<&str>)| match (kind, value) {
        (_, None) => Cell::Null,
        (Kind::Int, Some(text)) => Cell::Integer(text.parse().expect("an integer")),
        (Kind::Double | Kind::Single, Some(text)) => Cell::Real(text.parse().expect("a float")),
        (Kind::Bool, Some(text)) => Cell::Integer(i64::from(*text == "true")),
        (Kind::Bytes, Some(text)) => Cell::Blob(unhex(text)),
        (Kind::Set, Some(text)) => {
            let mut elements = elements(text);
            elements.sort();
            Cell::Text(json!(elements).to_string())
        }
        (_, Some(text)) => Cell::Text((*text).to_owned()),
    };
    let db = rusqlite::Connection::open(project.path(&format!("{name}.db"))).expect("a database");
    db.execute_batch(&table(&[], "k1 text, k2 integer", ty, |_, _| String::new())).expect("a table");
    let places = vec!["?"; COLUMNS.len() + 2].join(", ");
    for row in rows {
        let key = [Cell::Text(row.key.0.to_owned()), Cell::Integer(row.key.1 as i64)];
        let cells = key.into_iter().chain(COLUMNS.iter().zip(&row.values).map(cell));
        db.execute(&format!("insert into t values ({places})"), rusqlite::params_from_iter(cells))
            .expect("a row");
    }
    format!("kind = \"sqlite\"\npath = \"{name}.db\"\ntable = \"t\"")
}

fn parquet(project: &Project, name: &str, rows: &[Row]) -> String {
    let ty = |kind| match kind {
        Kind::Text => "VARCHAR",
        Kind::Int => "BIGINT",
        Kind::Unsigned => "UBIGINT",
        Kind::Decimal => "DECIMAL(38,10)",
        Kind::Double => "DOUBLE",
        Kind::Single => "FLOAT",
        Kind::Bool => "BOOLEAN",
        Kind::Instant => "TIMESTAMPTZ",
        Kind::Moment => "TIMESTAMP",
        Kind::Day => "DATE",
        Kind::Clock => "TIME",
        Kind::Uuid => "UUID",
        Kind::Bytes => "BLOB",
        Kind::Json => "JSON",
        Kind::List | Kind::Set => "VARCHAR[]",
    };
    let value = |(&(name, kind, ..), value): (&Column, &Option<&str>)| {
        let literal = match (kind, value) {
            (_, None) => "null".to_owned(),
            (Kind::Bytes, Some(text)) => format!("unhex('{text}')"),
            (Kind::List | Kind::Set, Some(text)) => {
                let mut elements: Vec<String> = elements(text).iter().map(|e| quoted(e)).collect();
                if kind == Kind::Set {
                    elements.rotate_left(1);
                }
                format!("[{}]", elements.join(", "))
            }
            (_, Some(text)) => quoted(text),
        };
        format!("cast({literal} as {}) as {name}", ty(kind))
    };
    let row = |row: &Row| {
        let values: Vec<String> = COLUMNS.iter().zip(&row.values).map(value).collect();
        format!("select {} as k1, {}::int as k2, {}", quoted(row.key.0), row.key.1, values.join(", "))
    };
    let rows: Vec<String> = rows.iter().map(row).collect();
    write_parquet(&rows.join(" union all "), &project.path(&format!("{name}.parquet")));
    format!("kind = \"parquet\"\nuri = \"{name}.parquet\"")
}

fn csv(project: &Project, name: &str, rows: &[Row]) -> String {
    let cell = |(&(_, kind, ..), value): (&Column, &Option<&str>)| match (kind, value) {
        (_, None) => String::new(),
        (Kind::Bool, Some(text)) => i32::from(*text == "true").to_string(),
        (Kind::Bytes, Some(text)) => format!("\\x{text}"),
        // Another spelling of the same instant.
        (Kind::Instant, Some(text)) => text.replace('T', " ").replace('Z', "+00"),
        (Kind::Uuid, Some(text)) => text.to_uppercase(),
        (_, Some(text)) => format!("\"{}\"", text.replace('"', "\"\"")),
    };
    let names: Vec<&str> = COLUMNS.iter().map(|(name, ..)| *name).collect();
    let mut text = format!("k1,k2,{}\r\n", names.join(","));
    for row in rows {
        let cells: Vec<String> = COLUMNS.iter().zip(&row.values).map(cell).collect();
        let k1 = row.key.0.replace('"', "\"\"");
        text.push_str(&format!("\"{k1}\",{},{}\r\n", row.key.1, cells.join(",")));
    }
    project.write(&format!("{name}.csv"), text);
    format!("kind = \"csv\"\nuri = \"{name}.csv\"")
}

fn jsonl(project: &Project, name: &str, rows: &[Row]) -> String {
    let value = |(&(name, kind, ..), value): (&Column, &Option<&str>)| {
        let text = match (kind, value) {
            (_, None) => "null".to_owned(),
            (Kind::Bytes, Some(text)) => json!(STANDARD.encode(unhex(text))).to_string(),
            (Kind::Set, Some(text)) => {
                json!(elements(text).into_iter().rev().collect::<Vec<_>>()).to_string()
            }
            (
                Kind::Int
                | Kind::Unsigned
                | Kind::Decimal
                | Kind::Double
                | Kind::Single
                | Kind::Bool
                | Kind::Json
                | Kind::List,
                Some(text),
            ) => (*text).to_owned(),
            (_, Some(text)) => json!(text).to_string(),
        };
        format!("\"{name}\":{text}")
    };
    let row = |row: &Row| {
        let values: Vec<String> = COLUMNS.iter().zip(&row.values).map(value).collect();
        format!("{{\"k1\":{},\"k2\":{},{}}}\n", json!(row.key.0), row.key.1, values.join(","))
    };
    project.write(&format!("{name}.jsonl"), rows.iter().map(row).collect::<String>());
    format!("kind = \"jsonl\"\nuri = \"{name}.jsonl\"")
}

/// JSON as DynamoDB types it.
fn typed(value: &Json) -> Json {
    match value {
        Json::Null => json!({ "NULL": true }),
        Json::Bool(flag) => json!({ "BOOL": flag }),
        Json::Number(n) => json!({ "N": n.to_string() }),
        Json::String(text) => json!({ "S": text }),
        Json::Array(values) => json!({ "L": values.iter().map(typed).collect::<Vec<_>>() }),
        Json::Object(values) => {
            json!({ "M": values.iter().map(|(k, v)| (k.clone(), typed(v))).collect::<serde_json::Map<_, _>>() })
        }
    }
}

fn item(row: &Row) -> Json {
    let mut item = json!({ "k1": { "S": row.key.0 }, "k2": { "N": row.key.1.to_string() } });
    for (&(name, kind, ..), value) in COLUMNS.iter().zip(&row.values) {
        item[name] = match (kind, value) {
            (_, None) => json!({ "NULL": true }),
            (Kind::Int | Kind::Unsigned | Kind::Decimal | Kind::Double | Kind::Single, Some(text)) => {
                json!({ "N": text })
            }
            (Kind::Bool, Some(text)) => json!({ "BOOL": *text == "true" }),
            (Kind::Bytes, Some(text)) => json!({ "B": STANDARD.encode(unhex(text)) }),
            (Kind::Json | Kind::List, Some(text)) => typed(&serde_json::from_str(text).expect("JSON")),
            (Kind::Set, Some(text)) => json!({ "SS": elements(text) }),
            (_, Some(text)) => json!({ "S": text }),
        };
    }
    item
}

fn export(project: &Project, name: &str, rows: &[Row]) -> String {
    let lines: String = rows.iter().map(|row| format!("{}\n", json!({ "Item": item(row) }))).collect();
    let folder = write_export(&project.path(name), 0, &lines);
    format!("kind = \"dynamodb-export\"\nuri = \"{name}/{folder}\"")
}

fn dynamodb(_: &Project, name: &str, rows: &[Row]) -> String {
    dynamodb::table(name, &[("k1", "S"), ("k2", "N")]);
    for chunk in rows.chunks(25) {
        let puts: Vec<Json> =
            chunk.iter().map(|row| json!({ "PutRequest": { "Item": item(row) } })).collect();
        dynamodb::ask("BatchWriteItem", &json!({ "RequestItems": { name: puts } }));
    }
    format!(
        "kind = \"dynamodb\"\ntable = \"{name}\"\nregion = \"eu-central-1\"\nendpoint = \"{}\"",
        dynamodb::endpoint()
    )
}
