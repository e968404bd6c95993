//! One record: its rows on both sides, and what each field's values are to each other.

use std::borrow::Cow;

use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::again::Record;
use super::diff::{Bench, prepare};
use super::failed;
use super::hash::{Hashed, UNPARSED};
use crate::error::{Error, Result};
use crate::mapping::access::{self, Access};
use crate::mapping::plan::{EntityPlan, FieldPlan, Side, Status};
use crate::mapping::rules::normal::Normaliser;
use crate::mapping::rules::own_sql::Shown as Shows;
use crate::mapping::rules::{self, Judgement};
use crate::mapping::side::Staged;
use crate::query::{literal, render};
use crate::spec::Entity;
use crate::value::cast::{self, Class};
use crate::value::{Number, Value};

/// A value of a record as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueShown {
    /// Its kind: `string`, `number`, …, `null`, `absent`; `unread` where it could not be read.
    pub kind: &'static str,
    /// Its text, where it has one.
    pub text: Option<String>,
}

/// One field of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldShown {
    /// Its name.
    pub name: String,
    /// The source's value, where there is exactly one row that could be read.
    pub source: Option<ValueShown>,
    /// The target's value, where there is exactly one row that could be read.
    pub target: Option<ValueShown>,
    /// `equal`, `equal by …`, `unequal`, `key`, `ignored`, `not compared: …`, …
    pub verdict: String,
}

/// One row of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowShown {
    /// The side that it is on.
    pub side: Side,
    /// Its file, with the line where that is known.
    pub place: String,
    /// Why it could not be read, where that is so.
    pub reason: Option<String>,
    /// By field of the plan; empty where it could not be read.
    pub values: Vec<Option<ValueShown>>,
}

/// What is known of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// `matched`, `mismatched`, `missing`, `extra`, `duplicate`, `unchecked` or `unknown`.
    pub verdict: &'static str,
    /// Rows in the source with this key.
    pub source_rows: usize,
    /// Rows in the target.
    pub target_rows: usize,
    /// The rows, of each side the first ones.
    pub rows: Vec<RowShown>,
    /// Its fields in the order of the plan.
    pub fields: Vec<FieldShown>,
}

/// An entity, a key of it, and what is known of the record.
pub type Found = (String, Vec<Option<String>>, Shown);

/// Rows of a side that are shown, where a key occurs more than once.
const ROWS_MAX: usize = 5;

/// Looks a record up by the texts of its key's fields, as many as the key has; `None` is NULL.
///
/// # Errors
/// Texts that are no such values (exit 2); stores, engine or disk that fail (exit 4).
pub fn show(
    bench: &Bench<'_>,
    entity: &Entity,
    source: &Staged,
    target: &Staged,
    key: &[Option<String>],
) -> Result<Shown> {
    let (plan, hashed) = prepare(bench, entity, source, target)?;
    // Between two schemaless sides `42` may be a number or a text, and NULL may be absent; one of them is there in most tables.
    let untyped = |field: &FieldPlan| matches!(field.status, Status::Compared { class: Class::Any, .. });
    let mut readings = vec![Reading::default()];
    if plan.key().iter().any(untyped) {
        readings.push(Reading { as_text: true, ..readings[0] });
    }
    if key.iter().any(Option::is_none) {
        readings.extend(readings.clone().into_iter().map(|r| Reading { absent: true, ..r }));
    }
    let mut found = [Vec::new(), Vec::new()];
    for reading in readings {
        found = positions(bench, &hashed, key_hash(&plan, key, bench.seed, reading)?)?;
        if found.iter().any(|positions| !positions.is_empty()) {
            break;
        }
    }
    shown(bench, &plan, &hashed, found)
}

/// Picks up to `count` records at random from both sides, the same ones for the same seed.
///
/// # Errors
/// A spec that does not fit the stores (exit 2); stores, engine or disk that fail (exit 4).
pub fn sample(
    bench: &Bench<'_>,
    entity: &Entity,
    sides: [&Staged; 2],
    count: u32,
    seed: u64,
) -> Result<Vec<Record>> {
    let (_, hashed) = prepare(bench, entity, sides[0], sides[1])?;
    let (count, seed) = (count.to_string(), format!("{seed}::ubigint"));
    let [source, target] = parts(&hashed);
    let pieces = [("source", source.as_str()), ("target", &target), ("seed", &seed), ("count", &count)];
    let found =
        bench.warehouse.integers(&render(include_str!("../../queries/reconcile/sample.sql"), &pieces))?;
    Ok(found.into_iter().map(|row| [row[0], row[1]]).collect())
}

/// Everything of an entity, record by record, with each one's key. For stagings that are known to be small.
///
/// # Errors
/// As [`show`].
pub fn show_all(
    bench: &Bench<'_>,
    entity: &Entity,
    sides: [&Staged; 2],
) -> Result<Vec<(Vec<Option<String>>, Shown)>> {
    let (plan, hashed) = prepare(bench, entity, sides[0], sides[1])?;
    let [source, target] = parts(&hashed);
    let pieces = [("source", source.as_str()), ("target", &target)];
    let sql = render(include_str!("../../queries/reconcile/all_records.sql"), &pieces);
    let rows = bench.warehouse.integers(&sql)?;
    let mut records = Vec::new();
    for rows in rows.chunk_by(|a, b| a[0] == b[0]) {
        let of =
            |side: i64| rows.iter().filter(|row| row[1] == Some(side)).filter_map(|row| row[2]).collect();
        let shown = shown(bench, &plan, &hashed, [of(0), of(1)])?;
        // The fields have no values where a side has several rows; every row has them.
        let row = shown.rows.iter().find(|row| !row.values.is_empty());
        let key = (0..plan.key().len()).map(|i| row.and_then(|row| row.values[i].as_ref()?.text.clone()));
        records.push((key.collect::<Vec<_>>(), shown));
    }
    records.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(records)
}

/// The hash parts of both sides, as SQL.
fn parts(hashed: &[Hashed; 2]) -> [String; 2] {
    [0, 1].map(|i: usize| format!("read_parquet({}, hive_partitioning = false)", literal(&hashed[i].parts())))
}

/// How the texts of a key are read.
#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    /// Where a field has no type of its own, it is text even if it reads as a number.
    as_text: bool,
    /// A field without a value is not there, rather than NULL.
    absent: bool,
}

/// The positions of the rows with a key, on both sides.
fn positions(bench: &Bench<'_>, hashed: &[Hashed; 2], hash: u128) -> Result<[Vec<i64>; 2]> {
    let [source, target] = parts(hashed);
    let (k1, k2) = (((hash >> 64) as u64).to_string(), (hash as u64).to_string());
    let pieces = [("source", source), ("target", target), ("k1", k1), ("k2", k2)];
    let pieces: Vec<(&str, &str)> = pieces.iter().map(|(name, piece)| (*name, piece.as_str())).collect();
    let found =
        bench.warehouse.integers(&render(include_str!("../../queries/reconcile/show_rows.sql"), &pieces))?;
    let of = |side: i64| found.iter().filter(|row| row[0] == Some(side)).filter_map(|row| row[1]).collect();
    Ok([of(0), of(1)])
}

/// The hash of a key given as texts.
fn key_hash(plan: &EntityPlan<'_>, key: &[Option<String>], seed: u64, as_read: Reading) -> Result<u128> {
    let mut bytes = Vec::new();
    for (field, text) in plan.key().iter().zip(key) {
        let normaliser = plan.normaliser(field, Side::Source).expect("a key field is compared");
        let reading = cast::Reading { free: true, ..normaliser.reading.clone() };
        let value = match text {
            None if as_read.absent => Value::Absent,
            None => Value::Null,
            Some(text) => {
                let given = Value::Text(Cow::Borrowed(text.as_str()));
                match (normaliser.class, Number::parse(text)) {
                    (Class::Any, Ok(number)) if !as_read.as_text => Value::Number(number),
                    (class, _) => cast::cast(given, class, &reading).map_err(|e| {
                        Error::usage(format!("`{text}` is no value of the key field `{}`: {e}", field.name))
                    })?,
                }
            }
        };
        let normal = Normaliser { reading, ..normaliser };
        normal.normal_only(value).unwrap_or(Value::Null).encode(&mut bytes);
    }
    Ok(xxh3_128_with_seed(&bytes, seed))
}

/// A row with its values, by field of the plan; without any where it did not parse.
struct Row {
    shown: RowShown,
    values: Vec<Option<Value<'static>>>,
}

fn shown(
    bench: &Bench<'_>,
    plan: &EntityPlan<'_>,
    hashed: &[Hashed; 2],
    positions: [Vec<i64>; 2],
) -> Result<Shown> {
    let mut rows: [Vec<Row>; 2] = [Vec::new(), Vec::new()];
    for (side, positions) in [Side::Source, Side::Target].into_iter().zip(&positions) {
        for pos in positions.iter().take(ROWS_MAX) {
            rows[side as usize].push(match parsed(*pos) {
                true => read(bench, plan, side, *pos)?,
                false => unparsed(bench, plan, side, *pos)?,
            });
        }
    }
    let only = |side: usize| match (positions[side].len(), rows[side].as_slice()) {
        (1, [row]) => Some(row),
        _ => None,
    };
    let (mut unequal, mut unchecked) = (0, 0);
    let mut fields = Vec::new();
    for (i, field) in plan.fields.iter().enumerate() {
        let value = |side: usize| only(side).and_then(|row| row.values.get(i).cloned().flatten());
        let own = match (field.own_predicate(i), positions[0].as_slice(), positions[1].as_slice()) {
            (Some(own), [s], [t]) if parsed(*s) && parsed(*t) => Some(holds(bench, hashed, &own, *s, *t)?),
            _ => None,
        };
        let verdict = verdict_of(plan, i, [value(0), value(1)], own);
        unequal += usize::from(verdict == "unequal");
        unchecked += usize::from(verdict.starts_with("does not cast"));
        let text = |side: usize| only(side).and_then(|row| row.shown.values.get(i).cloned().flatten());
        fields.push(FieldShown { name: field.name.clone(), source: text(0), target: text(1), verdict });
    }
    let verdict = match (positions[0].len(), positions[1].len()) {
        (0, 0) => "unknown",
        (n, m) if n > 1 || m > 1 => "duplicate",
        _ if unchecked > 0 || !positions.iter().flatten().all(|pos| parsed(*pos)) => "unchecked",
        (1, 0) => "missing",
        (0, 1) => "extra",
        _ if unequal > 0 => "mismatched",
        _ => "matched",
    };
    let [source_rows, target_rows] = positions.map(|p| p.len());
    let rows = rows.into_iter().flatten().map(|row| row.shown).collect();
    Ok(Shown { verdict, source_rows, target_rows, rows, fields })
}

/// Whether a row is among the parts.
fn parsed(pos: i64) -> bool {
    (0..UNPARSED).contains(&pos)
}

/// Reads a row with all its fields, those too that are not compared.
fn read(bench: &Bench<'_>, plan: &EntityPlan<'_>, side: Side, pos: i64) -> Result<Row> {
    let staged = plan.staged(side);
    let mut columns = String::new();
    let mut n = 0;
    for field in &plan.fields {
        for sql in field.access(side).map_or_else(Vec::new, |access| selected(field, access)) {
            columns.push_str(&format!(", {sql} as c{n}"));
            n += 1;
        }
    }
    let query = plan.query_of_columns(side, &columns);
    let mut values = Vec::new();
    bench.warehouse.stream(&format!("select * from ({query}\n) as rows where pos = {pos}"), |batch| {
        let cells = access::cells(&batch);
        let mut first = 1;
        for field in plan.fields.iter().filter(|_| batch.num_rows() > 0) {
            let access = field.access(side);
            let value = access.map(|access| match (access, field.is_compared()) {
                (Access::Document { .. }, _) | (_, true) => access.value(&cells, first, 0),
                _ => cells[first].value(0),
            });
            values.push(value.map(|value| value.map(Value::into_owned)));
            first += access.map_or(0, |access| selected(field, access).len());
        }
        Ok(())
    })?;
    let shown = |value: &Option<Result<Value<'static>, String>>| match value.as_ref()? {
        Ok(value) => {
            Some(ValueShown { kind: value.kind_name(), text: value.display().map(|text| text.into_owned()) })
        }
        Err(_) => Some(ValueShown { kind: "unread", text: None }),
    };
    let shown = RowShown {
        side,
        place: place(bench, staged, pos)?,
        reason: None,
        values: values.iter().map(shown).collect(),
    };
    Ok(Row { shown, values: values.into_iter().map(|value| value.and_then(Result::ok)).collect() })
}

/// The SQL columns of a field; one that is not compared may be of any type, and is read as its text.
fn selected(field: &FieldPlan, access: &Access) -> Vec<String> {
    match access {
        Access::Column { sql, .. } | Access::Expression { sql, .. } if !field.is_compared() => {
            vec![format!("try(cast(({sql}\n) as varchar))")]
        }
        _ => access.select(),
    }
}

/// The file of a row, with its line where the parts have lines.
fn place(bench: &Bench<'_>, staged: &Staged, pos: i64) -> Result<String> {
    let unit = staged.parts.get((pos >> 40) as usize).map_or("", |part| part.unit.as_str());
    if !staged.has_lines {
        return Ok(format!("{unit}, row {}", (pos & ((1 << 40) - 1)) + 1));
    }
    let sql = format!(
        "select __recon_line::bigint from ({}\n) as rows where __recon_pos = {pos}",
        staged.rows_sql()
    );
    let line = bench.warehouse.integers(&sql)?.first().and_then(|row| row[0]);
    Ok(line.map_or_else(|| unit.to_owned(), |line| format!("{unit}:{line}")))
}

/// A row that did not parse, of which the place and the reason are known.
fn unparsed(bench: &Bench<'_>, plan: &EntityPlan<'_>, side: Side, pos: i64) -> Result<Row> {
    let shared = pos < 0;
    let wanted = if shared { -1 - pos } else { pos - UNPARSED };
    let (mut nth, mut found) = (0, None);
    failed::unparsed(plan, side, bench.warehouse, |row| {
        // Of a dataset that several entities share, only the rows that are surely this one's were counted.
        if shared && (row.key.is_empty() || !row.belongs) {
            return Ok(());
        }
        if nth == wanted {
            found = Some(row);
        }
        nth += 1;
        Ok(())
    })?;
    let (place, reason) = match found {
        Some(row) => {
            let line = row.line.map_or_else(String::new, |line| format!(":{line}"));
            let column = row.column.map_or_else(String::new, |column| format!("column `{column}`: "));
            (format!("{}{line}", row.unit), format!("{column}{}", row.message))
        }
        None => (String::new(), "it did not parse".to_owned()),
    };
    let shown = RowShown { side, place, reason: Some(reason), values: Vec::new() };
    Ok(Row { shown, values: Vec::new() })
}

/// What a field's own predicate says of two rows.
fn holds(bench: &Bench<'_>, hashed: &[Hashed; 2], predicate: &str, source: i64, target: i64) -> Result<bool> {
    let row = |hashed: &Hashed, pos: i64| {
        format!(
            "select * from read_parquet({}, hive_partitioning = false) where pos = {pos}",
            literal(&hashed.parts())
        )
    };
    let sql = format!(
        "select ({predicate})::bigint from ({}) as s, ({}) as t",
        row(&hashed[0], source),
        row(&hashed[1], target)
    );
    Ok(bench.warehouse.integers(&sql)?.first().and_then(|row| row[0]) == Some(1))
}

fn verdict_of(
    plan: &EntityPlan<'_>,
    index: usize,
    values: [Option<Value<'static>>; 2],
    own: Option<bool>,
) -> String {
    let field = &plan.fields[index];
    match &field.status {
        Status::Ignored => return "ignored".to_owned(),
        Status::NotCompared(reason) => return format!("not compared: {reason}"),
        Status::Compared { .. } => {}
    }
    let mut seen = Vec::new();
    for (side, value) in [Side::Source, Side::Target].into_iter().zip(values) {
        let Some(value) = value else { continue };
        let cast = plan.normaliser(field, side).expect("a compared field has a class").see(value);
        let fits = |seen: &rules::Seen<'_>| match field.shown_to_sql(side) {
            Some(Shows::As(ty)) => ty.cell(&seen.raw).map(|_| ()),
            _ => Ok(()),
        };
        match cast.and_then(|seen| fits(&seen).map(|()| seen)) {
            Ok(value) => seen.push(value),
            Err(e) => return format!("does not cast: {e}"),
        }
    }
    let [source, target] = seen.as_slice() else {
        return if field.is_key { "key".to_owned() } else { String::new() };
    };
    match rules::judge(&field.rule, source, target, own) {
        _ if field.is_key => "key".to_owned(),
        Judgement::Equal => "equal".to_owned(),
        Judgement::EqualByRule { .. } => format!("equal by {}", rules::word(&field.rule)),
        Judgement::Unequal { .. } => "unequal".to_owned(),
    }
}
