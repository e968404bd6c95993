//! What stands at the names that the spec's SQL uses: the types of each path inside an attribute, and how wide the numbers
//! are. One scan of all rows tells it for all names of a side. A sample would not do: a value of a type that the sample does
//! not show would be taken for no value.

use super::access::pointer;
use super::resolve::StoreType;
use super::side::{Column, Staged};
use crate::error::Result;
use crate::query::{identifier, literal, render};
use crate::warehouse::Warehouse;

/// The largest decimal that the engine holds.
const DECIMAL_DIGITS_MAX: i64 = 38;
/// The types of attributes, each with the bit of its index.
const TAGS: [&str; 10] = ["S", "N", "B", "BOOL", "NULL", "M", "L", "SS", "NS", "BS"];

/// An attribute, or a path inside one.
pub(super) type Place<'a> = (&'a Column, Vec<String>);

/// What all rows of one side hold at some places.
#[derive(Debug, Default)]
pub(super) struct Facts(Vec<Fact>);

#[derive(Debug)]
struct Fact {
    column: String,
    path: Vec<String>,
    /// For a path, the types of its values, sorted; without `NULL`.
    tags: Vec<String>,
    /// Precision and scale of its numbers, where a decimal of the engine holds all of them and somebody asked.
    size: Option<(u32, u32)>,
}

impl Facts {
    /// Scans the rows of a side: for the types at the places `typed` and `sized`, and for the width of numbers at the latter.
    ///
    /// # Errors
    /// What the engine says of the staged rows.
    pub(super) fn gather(
        staged: &Staged,
        warehouse: &Warehouse,
        typed: &[Place<'_>],
        sized: &[Place<'_>],
    ) -> Result<Self> {
        let same = |a: &Place<'_>, b: &Place<'_>| a.0.name == b.0.name && a.1 == b.1;
        let is_sized = |place: &Place<'_>| sized.iter().any(|one| same(one, place));
        let mut wanted: Vec<&Place<'_>> = Vec::new();
        for place in typed.iter().chain(sized).filter(|(column, path)| is_open(column, path)) {
            if !wanted.iter().any(|known| same(known, place)) {
                wanted.push(place);
            }
        }
        if wanted.is_empty() {
            return Ok(Self::default());
        }
        // The paths of one column are dug out of it together, so that the engine reads each document once.
        let mut roots: Vec<&Column> = Vec::new();
        for (column, _) in wanted.iter().filter(|(_, path)| !path.is_empty()) {
            if !roots.iter().any(|known| known.name == column.name) {
                roots.push(column);
            }
        }
        let mut values: Vec<String> =
            roots.iter().enumerate().map(|(i, root)| paths_sql(i, root, &wanted)).collect();
        let mut facts = Vec::new();
        for (i, (column, path)) in wanted.iter().enumerate() {
            if path.is_empty() {
                let tag = if column.store == StoreType::Number { column.physical[0].0.as_str() } else { "N" };
                values.push(format!("{} as n{i}", physical(column, tag)));
                facts.push(format!("null, {}", size_sql(&format!("n{i}"))));
                continue;
            }
            let root = roots.iter().position(|known| known.name == column.name).unwrap_or_default();
            let nth = wanted[..i].iter().filter(|(c, p)| c.name == column.name && !p.is_empty()).count();
            let value = format!("p{root}[{}]", nth + 1);
            let size = match is_sized(wanted[i]) {
                true => size_sql(&format!("json_extract_string({value}, '/N')")),
                false => "null::bigint, null::bigint".to_owned(),
            };
            facts.push(format!("{}, {size}", tags_sql(&value)));
        }
        let pieces =
            [("facts", facts.join(",\n")), ("values", values.join(", ")), ("rows", staged.rows_sql())];
        let pieces: Vec<(&str, &str)> = pieces.iter().map(|(name, piece)| (*name, piece.as_str())).collect();
        let sql = render(include_str!("../../queries/mapping/facts.sql"), &pieces);
        let row = warehouse.integers(&sql)?.pop().unwrap_or_default();
        let found = wanted.iter().zip(row.chunks(3)).map(|(place, three)| Fact {
            column: place.0.name.clone(),
            path: place.1.clone(),
            tags: tags_of(three[0].unwrap_or(0)),
            size: is_sized(place)
                .then(|| size_of(three[1].unwrap_or(1).max(1), three[2].unwrap_or(0)))
                .flatten(),
        });
        Ok(Self(found.collect()))
    }

    /// The types of the values at a path, sorted; without `NULL`.
    pub(super) fn tags(&self, column: &Column, path: &[String]) -> Vec<String> {
        self.of(column, path).map_or_else(Vec::new, |fact| fact.tags.clone())
    }

    /// Precision and scale of the numbers at a place, where a decimal of the engine holds all of them.
    pub(super) fn size(&self, column: &Column, path: &[String]) -> Option<(u32, u32)> {
        self.of(column, path)?.size
    }

    fn of(&self, column: &Column, path: &[String]) -> Option<&Fact> {
        self.0.iter().find(|fact| fact.column == column.name && fact.path == path)
    }
}

/// Whether only the rows can tell what is there: the types of a path, the width of an attribute that is always a number.
fn is_open(column: &Column, path: &[String]) -> bool {
    match &column.store {
        StoreType::Number => path.is_empty(),
        StoreType::Document { tags, .. } if path.is_empty() => tags.as_slice() == ["N"],
        StoreType::Document { tags, .. } => tags.iter().any(|tag| tag == "M"),
        _ => false,
    }
}

/// The physical column of one type.
fn physical(column: &Column, tag: &str) -> String {
    let name = column.physical.iter().find(|(t, _)| t == tag).map(|(_, name)| identifier(name));
    name.expect("the column has values of this type")
}

/// The typed values of all paths inside a column.
fn paths_sql(i: usize, root: &Column, wanted: &[&Place<'_>]) -> String {
    let paths = wanted.iter().filter(|(column, path)| column.name == root.name && !path.is_empty());
    let pointers: Vec<String> = paths.map(|(_, path)| literal(&pointer(path, None))).collect();
    format!("json_extract({}, [{}]) as p{i}", physical(root, "M"), pointers.join(", "))
}

fn tags_sql(value: &str) -> String {
    let cases: Vec<String> =
        TAGS.iter().enumerate().map(|(i, tag)| format!("when {} then {}", literal(tag), 1 << i)).collect();
    let unknown = (1 << TAGS.len()).to_string();
    let pieces = [("value", value), ("cases", &cases.join(" ")), ("unknown", &unknown)];
    render(include_str!("../../queries/mapping/path_tags.sql"), &pieces)
}

fn tags_of(bits: i64) -> Vec<String> {
    let known = TAGS.iter().enumerate().filter(|(i, tag)| bits >> i & 1 == 1 && **tag != "NULL");
    let mut tags: Vec<String> = known.map(|(_, tag)| (*tag).to_owned()).collect();
    if bits >> TAGS.len() != 0 {
        tags.push("unknown".to_owned());
    }
    tags.sort();
    tags
}

fn size_sql(number: &str) -> String {
    render(include_str!("../../queries/mapping/number_size.sql"), &[("number", number)])
}

fn size_of(before: i64, after: i64) -> Option<(u32, u32)> {
    (before + after <= DECIMAL_DIGITS_MAX).then_some(((before + after) as u32, after as u32))
}
