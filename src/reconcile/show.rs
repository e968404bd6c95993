//! One record: its rows on both sides, and what each field's values are to each other.

use std::borrow::Cow;

use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::access;
use super::diff::{Bench, prepare};
use super::hash::{Hashed, UNPARSED};
use super::plan::{EntityPlan, FieldPlan, Side, Status};
use super::rules::normal::Normaliser;
use super::rules::{self, Judgement};
use super::side::Staged;
use crate::error::{Error, Result};
use crate::query::{literal, render};
use crate::spec::Entity;
use crate::value::cast::{Class, Reading, cast};
use crate::value::{Number, Value};

/// One field of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldShown {
    /// Its name.
    pub name: String,
    /// The source's value, where there is exactly one row.
    pub source: Option<String>,
    /// The target's value, where there is exactly one row.
    pub target: Option<String>,
    /// `equal`, `equal by …`, `unequal`, `key`, `not compared`, …
    pub verdict: String,
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
    /// Files the rows came from.
    pub places: Vec<String>,
    /// Its fields in the order of the plan.
    pub fields: Vec<FieldShown>,
}

/// Looks a record up by the texts of its key's fields.
///
/// # Errors
/// Too few or too many key fields, or texts that are no such values (exit 2).
pub fn show(
    bench: &Bench<'_>,
    entity: &Entity,
    source: &Staged,
    target: &Staged,
    key: &[String],
) -> Result<Shown> {
    if key.len() != entity.key.len() {
        let fields = if entity.key.len() == 1 { "field" } else { "fields" };
        return Err(Error::usage(format!(
            "the key of entity `{}` has {} {fields} ({}), not {}",
            entity.name,
            entity.key.len(),
            entity.key.join(", "),
            key.len()
        ))
        .help(format!("recon show -e {} {}", entity.name, entity.key.join(" ").to_uppercase())));
    }
    let (plan, hashed) = prepare(bench, entity, source, target)?;
    // Between two schemaless sides `42` may be a number or a text; at most one of them is there in most tables.
    let untyped = |field: &FieldPlan| matches!(field.status, Status::Compared { class: Class::Any, .. });
    let mut found = positions(bench, &hashed, key_hash(&plan, key, bench.seed, false)?)?;
    if found.iter().all(Vec::is_empty) && plan.key().iter().any(untyped) {
        found = positions(bench, &hashed, key_hash(&plan, key, bench.seed, true)?)?;
    }
    shown(bench, &plan, found)
}

/// The positions of the rows with a key, on both sides.
fn positions(bench: &Bench<'_>, hashed: &[Hashed; 2], hash: u128) -> Result<[Vec<i64>; 2]> {
    let parts =
        |i: usize| format!("read_parquet({}, hive_partitioning = false)", literal(&hashed[i].parts()));
    let (k1, k2) = (((hash >> 64) as u64).to_string(), (hash as u64).to_string());
    let pieces = [("source", parts(0)), ("target", parts(1)), ("k1", k1), ("k2", k2)];
    let pieces: Vec<(&str, &str)> = pieces.iter().map(|(name, piece)| (*name, piece.as_str())).collect();
    let found =
        bench.warehouse.integers(&render(include_str!("../../queries/reconcile/show_rows.sql"), &pieces))?;
    let of = |side: i64| found.iter().filter(|row| row[0] == Some(side)).filter_map(|row| row[1]).collect();
    Ok([of(0), of(1)])
}

/// The hash of a key given as texts. `as_text`: where a field has no type of its own, it is text even if it reads as a number.
fn key_hash(plan: &EntityPlan<'_>, key: &[String], seed: u64, as_text: bool) -> Result<u128> {
    let mut bytes = Vec::new();
    for (field, text) in plan.key().iter().zip(key) {
        let normaliser = plan.normaliser(field, Side::Source).expect("a key field is compared");
        let reading = Reading { free: true, ..normaliser.reading.clone() };
        let given = Value::Text(Cow::Borrowed(text.as_str()));
        let value = match (normaliser.class, Number::parse(text)) {
            (Class::Any, Ok(number)) if !as_text => Value::Number(number),
            (class, _) => cast(given, class, &reading).map_err(|e| {
                Error::usage(format!("`{text}` is no value of the key field `{}`: {e}", field.name))
            })?,
        };
        let normal = Normaliser { reading, ..normaliser };
        normal.normal_only(value).unwrap_or(Value::Null).encode(&mut bytes);
    }
    Ok(xxh3_128_with_seed(&bytes, seed))
}

fn shown(bench: &Bench<'_>, plan: &EntityPlan<'_>, positions: [Vec<i64>; 2]) -> Result<Shown> {
    let mut sides: Vec<Vec<Option<Value<'static>>>> = Vec::new();
    let mut places = Vec::new();
    for (side, positions) in [Side::Source, Side::Target].into_iter().zip(&positions) {
        let mut values = Vec::new();
        if let [pos] = positions.as_slice()
            && *pos < UNPARSED
        {
            let staged = plan.staged(side);
            let unit = staged.parts.get((pos >> 40) as usize).map_or("", |part| part.unit.as_str());
            places.push(format!("{}: {unit}", side.word()));
            let sql = format!("select * from ({}\n) as rows where pos = {pos}", plan.query(side));
            bench.warehouse.stream(&sql, |batch| {
                let cells = access::cells(&batch);
                let mut first = 1;
                for field in &plan.fields {
                    let access = field.access(side).filter(|_| field.is_compared());
                    values.push(access.and_then(|a| a.value(&cells, first, 0).ok()).map(Value::into_owned));
                    first += access.map_or(0, |a| a.select().len());
                }
                Ok(())
            })?;
        }
        sides.push(values);
    }
    let mut unequal = 0;
    let mut unchecked = 0;
    let fields = plan
        .fields
        .iter()
        .enumerate()
        .map(|(i, field)| {
            let value = |side: usize| sides[side].get(i).cloned().flatten();
            let verdict = verdict_of(plan, i, [value(0), value(1)]);
            unequal += usize::from(verdict == "unequal");
            unchecked += usize::from(verdict.starts_with("does not cast"));
            let text = |side: usize| value(side).and_then(|v| v.display().map(Cow::into_owned));
            FieldShown { name: field.name.clone(), source: text(0), target: text(1), verdict }
        })
        .collect();
    let verdict = match (positions[0].len(), positions[1].len()) {
        (0, 0) => "unknown",
        (n, m) if n > 1 || m > 1 => "duplicate",
        _ if unchecked > 0 || positions.iter().flatten().any(|pos| *pos >= UNPARSED || *pos < 0) => {
            "unchecked"
        }
        (1, 0) => "missing",
        (0, 1) => "extra",
        _ if unequal > 0 => "mismatched",
        _ => "matched",
    };
    Ok(Shown { verdict, source_rows: positions[0].len(), target_rows: positions[1].len(), places, fields })
}

fn verdict_of(plan: &EntityPlan<'_>, index: usize, values: [Option<Value<'static>>; 2]) -> String {
    let field = &plan.fields[index];
    if !field.is_compared() {
        return "not compared".to_owned();
    }
    let [Some(source), Some(target)] = values else { return String::new() };
    let see = |side, value| plan.normaliser(field, side).expect("a compared field has a class").see(value);
    match (see(Side::Source, source), see(Side::Target, target)) {
        (Err(e), _) | (_, Err(e)) => format!("does not cast: {e}"),
        _ if field.rule.sql.is_some() => "decided by its own SQL; see mismatches.csv".to_owned(),
        (Ok(source), Ok(target)) => match rules::judge(&field.rule, &source, &target, None) {
            _ if field.is_key => "key".to_owned(),
            Judgement::Equal => "equal".to_owned(),
            Judgement::EqualByRule { .. } => format!("equal by {}", rules::word(&field.rule)),
            Judgement::Unequal { .. } => "unequal".to_owned(),
        },
    }
}
