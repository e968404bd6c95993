//! Whether a piece of the spec's SQL is what it may be: exactly one expression, of one row alone, that gives the same value
//! each time. The engine's own parser says what it consists of.

use serde_json::Value as Json;

use crate::error::Result;
use crate::query::literal;
use crate::warehouse::Warehouse;

/// Names without parentheses that the engine takes for the clock's or the session's, where no column is called so.
const CLOCKS: [&str; 8] = [
    "current_date",
    "current_time",
    "current_timestamp",
    "current_localtime",
    "current_localtimestamp",
    "localtime",
    "localtimestamp",
    "get_current_timestamp",
];

/// What is wrong with a piece of SQL.
pub struct Problem {
    /// Byte offset of the piece at fault.
    pub offset: usize,
    /// In words.
    pub message: String,
}

/// What a piece of SQL looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sees {
    /// One row.
    Row,
    /// One row, to say by it to which others the row belongs.
    RowToGroup,
    /// The rows of a group.
    Group,
}

/// Looks at a piece of SQL; `is_column` says whether a name is one of the columns it can use.
///
/// # Errors
/// What the engine says where it cannot even be asked.
pub fn problem(
    warehouse: &Warehouse,
    text: &str,
    sees: Sees,
    is_column: &dyn Fn(&str) -> bool,
) -> Result<Option<Problem>> {
    let problem =
        |offset: usize, message: String| Ok(Some(Problem { offset: offset.min(text.len()), message }));
    let mut inside = parsed(warehouse, &format!("select ({text}\n)"))?;
    if inside["error"] == Json::Bool(true) {
        let position: usize = inside["position"].as_str().and_then(|p| p.parse().ok()).unwrap_or(8);
        let words = inside["error_message"].as_str().unwrap_or("it does not parse");
        return problem(
            position.saturating_sub("select (".len()),
            format!("SQL that does not parse: {words}"),
        );
    }
    let mut bare = parsed(warehouse, &format!("select {text}\n"))?;
    let mut parts = Vec::new();
    collect(&bare["statements"], &mut parts);
    forget_places(&mut inside);
    forget_places(&mut bare);
    // What parentheses do not change is one expression and not a list, nor the end of one and the beginning of another.
    if inside["statements"] != bare["statements"] {
        return problem(0, "SQL that is not exactly one expression".to_owned());
    }
    let refused = |part: &Part| match part.kind.as_str() {
        "SUBQUERY" => Some("a subquery cannot be used here".to_owned()),
        "WINDOW" => Some("a window function cannot be used here: only one row is seen".to_owned()),
        "STAR" => Some("`*` and COLUMNS cannot be used here: name one column".to_owned()),
        "PARAMETER" => Some("a parameter has no value here".to_owned()),
        "COLLATE" if sees == Sees::RowToGroup => {
            Some("COLLATE cannot be used here: it leaves open which spelling a group has".to_owned())
        }
        "COLUMN_REF" if CLOCKS.contains(&part.name.as_str()) && !is_column(&part.name) => {
            Some(clock(&part.name))
        }
        "FUNCTION" if part.name == "age" && part.arguments == 1 => Some(clock("age")),
        _ => None,
    };
    if let Some((part, message)) = parts.iter().find_map(|part| Some((part, refused(part)?))) {
        return problem(part.offset, message);
    }
    let functions: Vec<&Part> = parts.iter().filter(|part| part.kind == "FUNCTION").collect();
    let mut unfit = unfit(warehouse, &functions)?.into_iter();
    if let Some((name, is_aggregate)) = unfit.find(|(_, is_aggregate)| !is_aggregate || sees != Sees::Group) {
        let offset = functions.iter().find(|part| part.name == name).map_or(0, |part| part.offset);
        return match is_aggregate {
            true => {
                let shown = name.trim_end_matches("_star");
                problem(offset, format!("the aggregate `{shown}` cannot be used here: only one row is seen"))
            }
            false => problem(offset, clock(&name)),
        };
    }
    Ok(None)
}

fn clock(name: &str) -> String {
    format!("`{name}` gives another value each time, and nothing could be compared with it")
}

/// A piece of an expression.
struct Part {
    kind: String,
    name: String,
    arguments: usize,
    offset: usize,
}

pub(super) fn parsed(warehouse: &Warehouse, query: &str) -> Result<Json> {
    let answer = warehouse.texts(&format!("select json_serialize_sql({})", literal(query)))?;
    let json = answer.first().and_then(|row| row[0].clone()).unwrap_or_default();
    Ok(serde_json::from_str(&json).unwrap_or_default())
}

fn collect(json: &Json, parts: &mut Vec<Part>) {
    match json {
        Json::Object(members) => {
            if let Some(kind) = members.get("class").and_then(Json::as_str) {
                let column = || json["column_names"].as_array().filter(|names| names.len() == 1)?[0].as_str();
                let name = json["function_name"].as_str().or_else(column).unwrap_or_default();
                let place = json["query_location"].as_u64().and_then(|at| usize::try_from(at).ok());
                let place = place.filter(|at| *at < usize::MAX).unwrap_or(0);
                parts.push(Part {
                    kind: kind.to_owned(),
                    name: if json["is_operator"] == Json::Bool(true) {
                        String::new()
                    } else {
                        name.to_lowercase()
                    },
                    arguments: json["children"].as_array().map_or(0, Vec::len),
                    offset: place.saturating_sub("select ".len()),
                });
            }
            members.values().for_each(|inner| collect(inner, parts));
        }
        Json::Array(elements) => elements.iter().for_each(|inner| collect(inner, parts)),
        _ => {}
    }
}

pub(super) fn forget_places(json: &mut Json) {
    match json {
        Json::Object(members) => {
            members.remove("query_location");
            members.values_mut().for_each(forget_places);
        }
        Json::Array(elements) => elements.iter_mut().for_each(forget_places),
        _ => {}
    }
}

/// Which of these functions (names in lower case) are aggregates.
///
/// # Errors
/// What the engine says where it cannot even be asked.
pub(super) fn aggregates(warehouse: &Warehouse, names: &[String]) -> Result<Vec<String>> {
    let found = unfit_of(warehouse, names.iter().map(|name| literal(name)).collect())?;
    Ok(found.into_iter().filter(|(_, is_aggregate)| *is_aggregate).map(|(name, _)| name).collect())
}

/// The functions that look at more than one row, and those whose value changes from call to call or from query to query.
fn unfit(warehouse: &Warehouse, functions: &[&Part]) -> Result<Vec<(String, bool)>> {
    let names = functions.iter().filter(|part| !part.name.is_empty());
    unfit_of(warehouse, names.map(|part| literal(&part.name)).collect())
}

fn unfit_of(warehouse: &Warehouse, mut names: Vec<String>) -> Result<Vec<(String, bool)>> {
    names.sort();
    names.dedup();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let template = include_str!("../../queries/mapping/unfit_functions.sql");
    let rows = warehouse.texts(&crate::query::render(template, &[("names", &names.join(", "))]))?;
    let pair = |mut row: Vec<Option<String>>| Some((row[0].take()?, row[1].take()? == "aggregate"));
    Ok(rows.into_iter().filter_map(pair).collect())
}
