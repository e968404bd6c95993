//! How a field's values are read from one side: which SQL columns it needs and how a [`Value`] is made of them.

use std::borrow::Cow;

use arrow::record_batch::RecordBatch;

use super::resolve::StoreType;
use super::side::Column;
use crate::query::{identifier, literal};
use crate::value::arrow::Cells;
use crate::value::column::ColumnType;
use crate::value::{Number, Value, json};

/// How one side of a field is read.
#[derive(Clone, Debug)]
pub enum Access {
    /// A table's column.
    Column {
        /// Its SQL.
        sql: String,
        /// Its name in the parts.
        physical: String,
        /// What the store says of it.
        store: StoreType,
        /// Its type, where values are carried as text that has to be read.
        carried: Option<ColumnType>,
    },
    /// An expression of the spec; a row for which it fails does not cast.
    Expression {
        /// Its SQL.
        sql: String,
        /// What DuckDB says of it.
        store: StoreType,
    },
    /// An attribute of a document, or a path inside one.
    Document {
        /// Tag and physical column of each type the attribute has.
        physical: Vec<(String, String)>,
        /// Names below the attribute.
        path: Vec<String>,
        /// What was seen there.
        store: StoreType,
    },
}

impl Access {
    /// A whole column, or a document's whole attribute.
    pub fn of_column(column: &Column) -> Self {
        match &column.store {
            store @ StoreType::Document { .. } => {
                Self::Document { physical: column.physical.clone(), path: Vec::new(), store: store.clone() }
            }
            store => Self::Column {
                sql: identifier(&column.sql_name),
                physical: column.physical[0].1.clone(),
                store: store.clone(),
                carried: column.carried(),
            },
        }
    }

    /// What the store says.
    pub fn store(&self) -> &StoreType {
        match self {
            Self::Column { store, .. } | Self::Expression { store, .. } | Self::Document { store, .. } => {
                store
            }
        }
    }

    /// Whether absent and NULL are two things here.
    pub fn expresses_absence(&self) -> bool {
        matches!(self, Self::Document { .. })
    }

    /// The SQL columns to select, over the logical names and physical columns of the side.
    pub fn select(&self) -> Vec<String> {
        match self {
            Self::Column { sql, store, .. } => vec![readable(sql, store)],
            // The struct tells a NULL from a failure: TRY makes the whole struct NULL.
            Self::Expression { sql, store } => {
                vec![format!("try({{'v': {}}})", readable(&format!("({sql}\n)"), store))]
            }
            Self::Document { physical, .. } => physical.iter().map(|(_, name)| identifier(name)).collect(),
        }
    }

    /// The columns of the parts from which values may be read without any SQL, with what the store says of each; `None`
    /// where columns alone are not enough.
    pub fn physical(&self) -> Option<Vec<(&str, &StoreType)>> {
        match self {
            Self::Column { physical, store, .. } => Some(vec![(physical.as_str(), store)]),
            Self::Document { physical, store, .. } => {
                Some(physical.iter().map(|(_, name)| (name.as_str(), store)).collect())
            }
            Self::Expression { .. } => None,
        }
    }

    /// Reads a row. `first` is the index of this field's first column in the batch.
    ///
    /// # Errors
    /// Why there is no value, in words.
    pub fn value<'a>(&self, cells: &[Cells<'a>], first: usize, row: usize) -> Result<Value<'a>, String> {
        match self {
            Self::Column { carried: None, .. } => cells[first].value(row),
            Self::Column { carried: Some(ty), .. } => ty.read(cells[first].value(row)?),
            Self::Expression { .. } => match cells[first].value(row)? {
                Value::Map(mut entries) => Ok(entries.pop().expect("the struct has one entry").1),
                _ => Err("the spec's SQL fails for this row".to_owned()),
            },
            Self::Document { physical, path, .. } => {
                for (i, (tag, _)) in physical.iter().enumerate() {
                    match (tag.as_str(), cells[first + i].value(row)) {
                        (_, Ok(Value::Null | Value::Absent)) => {}
                        // What is plainly in its column is not moved about.
                        ("S" | "B" | "BOOL", cell) if path.is_empty() => return cell,
                        (tag, cell) => return below(attribute(tag, cell?)?, path),
                    }
                }
                Ok(Value::Absent)
            }
        }
    }
}

/// SQL types whose Arrow form loses something are read as their text.
fn readable(sql: &str, store: &StoreType) -> String {
    match store {
        StoreType::TimeTz | StoreType::Uuid | StoreType::Text => format!("cast({sql} as varchar)"),
        _ => sql.to_owned(),
    }
}

/// SQL that digs a value of one type out of an attribute's typed JSON. A value of another type fails to convert there: it is
/// never taken for none.
pub fn path_sql(physical: &[(String, String)], path: &[String], tag: &str) -> String {
    let Some((_, root)) = physical.iter().find(|(tag, _)| tag == "M") else {
        return "null::varchar".to_owned();
    };
    let (root, value) = (identifier(root), literal(&pointer(path, Some(tag))));
    // Not `error()`, whose being volatile keeps the engine from moving filters.
    let other = format!("json_keys(json_extract({root}, {}))[1]", literal(&pointer(path, None)));
    let no_other = format!("cast(cast(nullif({other}, 'NULL') as utinyint) as varchar)");
    format!("coalesce(json_extract_string({root}, {value}), {no_other})")
}

/// A JSON pointer (RFC 6901) to the attribute at the end of the path, or to its value of one type.
pub fn pointer(path: &[String], tag: Option<&str>) -> String {
    let mut steps = Vec::new();
    for (i, name) in path.iter().enumerate() {
        if i > 0 {
            steps.push("M".to_owned());
        }
        steps.push(name.replace('~', "~0").replace('/', "~1"));
    }
    steps.extend(tag.map(str::to_owned));
    steps.iter().map(|step| format!("/{step}")).collect()
}

/// The value of a document's physical column.
fn attribute<'a>(tag: &str, cell: Value<'a>) -> Result<Value<'a>, String> {
    Ok(match (tag, cell) {
        ("N", Value::Text(text)) => Value::Number(Number::parse(&text)?),
        ("NULL", _) => Value::Null,
        ("M", Value::Text(Cow::Borrowed(text))) => json::parse_typed_map(text)?,
        ("M", Value::Text(text)) => json::parse_typed_map(&text)?.into_owned(),
        ("L", Value::Text(Cow::Borrowed(text))) => json::parse_typed_list(text)?,
        ("L", Value::Text(text)) => json::parse_typed_list(&text)?.into_owned(),
        ("SS" | "BS", Value::List(elements)) => Value::set(elements),
        ("NS", Value::List(elements)) => {
            let numbers: Result<Vec<_>, String> = elements
                .iter()
                .map(|element| match element {
                    Value::Text(text) => Number::parse(text).map(Value::Number),
                    other => Err(format!("a {} in a set of numbers", other.kind_name())),
                })
                .collect();
            Value::set(numbers?)
        }
        (_, cell) => cell,
    })
}

/// Follows a path into maps; whatever is not there is absent.
fn below<'a>(value: Value<'a>, path: &[String]) -> Result<Value<'a>, String> {
    let mut value = value;
    for name in path {
        let Value::Map(entries) = value else { return Ok(Value::Absent) };
        let mut found = entries.into_iter().filter(|(n, _)| matches!(n, Value::Text(t) if t == name));
        value = match (found.next(), found.next()) {
            (Some((_, inner)), None) => inner,
            (None, _) => return Ok(Value::Absent),
            (Some(_), Some(_)) => return Err(format!("the name `{name}` occurs twice")),
        };
    }
    Ok(value)
}

/// The cells of a batch.
pub fn cells(batch: &RecordBatch) -> Vec<Cells<'_>> {
    batch.columns().iter().map(|column| Cells::new(column.as_ref())).collect()
}
