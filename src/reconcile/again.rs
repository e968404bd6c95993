//! Looking at records again: by which values their stores find them, and what is left of the differences.

use std::collections::{HashMap, HashSet};

use super::diff::{Bench, EntityResult, Look, VERDICTS};
use crate::error::Result;
use crate::mapping::access::{self, Access};
use crate::mapping::plan::{EntityPlan, Side};
use crate::mapping::side::Staged;
use crate::query::{self, literal};
use crate::spec::Entity;
use crate::value::Value;
use crate::warehouse::Warehouse;

/// More records than this are not looked at again: their keys are held in memory, and such a comparison is better repeated.
pub const RECORDS_MAX: u64 = 1_000_000;

/// What became of the differing records that were looked at again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Again {
    /// Records that were looked at.
    pub records: u64,
    /// Of these, the ones that are equal now.
    pub equal: u64,
    /// Of these, the ones that neither side has any longer.
    pub gone: u64,
}

/// A record by the positions of its rows on both sides.
pub type Record = [Option<i64>; 2];

/// How the records of a side are read again.
#[derive(Clone, Debug)]
pub enum Reading {
    /// Looked up in the store: the columns (or attributes) that find a record, and their values.
    Afresh {
        /// Names of the columns.
        columns: Vec<String>,
        /// For each record a value of each column.
        values: Vec<Vec<Value<'static>>>,
    },
    /// Taken from what was staged, by position: files do not move.
    AsStaged(Vec<i64>),
}

/// How both sides read some records again.
#[derive(Clone, Debug)]
pub struct Readings {
    /// Source and target.
    pub sides: [Reading; 2],
    /// The keys of the records, in the form in which keys are matched.
    pub keys: HashSet<Vec<u8>>,
    /// Records whose key could not be read.
    pub without_key: usize,
}

/// Which verdicts' records can be looked up on both sides (by number), and in words why others cannot.
#[derive(Clone, Debug)]
pub struct Ways {
    sides: [Way; 2],
    /// Whether records of a verdict can be looked up.
    pub reach: [bool; VERDICTS],
    /// What the user should know.
    pub remarks: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Way {
    Staged,
    /// The key's fields are columns of the store, so a record is found there whether it was staged or not.
    Key(Vec<String>),
    /// Only the primary key of a row that was staged finds it again.
    Primary(Vec<String>),
    Nowhere,
}

/// Finds by what an entity's records can be looked up. `primary` is the primary key of each side's store; `None` where the
/// side is made of files.
///
/// # Errors
/// A spec that does not fit the stores (exit 2).
pub fn ways(
    bench: &Bench<'_>,
    entity: &Entity,
    sides: [&Staged; 2],
    primary: [Option<&[String]>; 2],
) -> Result<Ways> {
    let plan = EntityPlan::new(bench.spec, bench.warehouse, entity, sides[0], sides[1], &[])?;
    let way = |side: Side| {
        let staged = sides[side as usize];
        let Some(primary) = primary[side as usize] else { return Way::Staged };
        if staged.folded.is_some() {
            return Way::Nowhere;
        }
        let key: Option<Vec<String>> =
            plan.key().iter().map(|field| staged.column_of(field.access(side)?).map(str::to_owned)).collect();
        // Only by a primary key can it be told whether a row came twice.
        if primary.is_empty() || primary.iter().any(|name| staged.column(name).is_none()) {
            return Way::Nowhere;
        }
        let mut sorted = [key.clone().unwrap_or_default(), primary.to_vec()];
        sorted.iter_mut().for_each(|names| names.sort());
        // DynamoDB finds an item by its whole primary key and by nothing else.
        match key.filter(|_| !staged.dataset.kind.is_dynamodb() || sorted[0] == sorted[1]) {
            Some(key) if !key.is_empty() => Way::Key(key),
            _ => Way::Primary(primary.to_vec()),
        }
    };
    let sides_ways = [way(Side::Source), way(Side::Target)];
    let can = |side: Side| sides_ways[side as usize] != Way::Nowhere;
    let finds_new = |side: Side| matches!(sides_ways[side as usize], Way::Key(_) | Way::Staged);
    let both = can(Side::Source) && can(Side::Target) && !entity.key.is_empty();
    let mut reach = [both; VERDICTS];
    reach[2] = both && finds_new(Side::Target);
    reach[3] = both && finds_new(Side::Source);
    let mut remarks = Vec::new();
    for (side, verdict, word) in [(Side::Target, 2, "missing"), (Side::Source, 3, "extra")] {
        if !reach[verdict] {
            remarks.push(format!(
                "{word} records are not looked at again: the key's fields are no columns by which the {} finds a record",
                side.word()
            ));
        }
    }
    for side in [Side::Source, Side::Target] {
        if matches!(sides_ways[side as usize], Way::Primary(_)) {
            remarks.push(format!(
                "the {} finds its records by primary key: another row of the same key that came since is not seen",
                side.word()
            ));
        }
    }
    if !both && sides[0].folded.is_some() && sides_ways[0] == Way::Nowhere {
        remarks = vec![
            "nothing is looked at again: the source's records are folded from rows (`group_by`), and no store finds those by them".to_owned(),
        ];
    } else if !both {
        remarks = vec![
            "nothing is looked at again: the entity has no key, or a table no primary key, by which a store finds a record".to_owned(),
        ];
    }
    Ok(Ways { sides: sides_ways, reach, remarks })
}

/// The records whose findings in this look may be looked at again.
///
/// # Errors
/// What the engine says.
pub fn records(look: &Look, ways: &Ways, warehouse: &Warehouse) -> Result<Vec<Record>> {
    let mut found: Vec<Record> = Vec::new();
    let mut add = |sql: &str| -> Result<()> {
        found.extend(warehouse.integers(sql)?.iter().map(|row| [row[0], row[1]]));
        Ok(())
    };
    if ways.reach[1] && look.has_cells() {
        add(&format!(
            "select distinct source_pos, target_pos from read_parquet({})",
            literal(&look.judged.cells)
        ))?;
    }
    for verdict in [2, 3].into_iter().filter(|verdict| ways.reach[*verdict]) {
        let verdicts = query::file(&look.verdicts);
        add(&format!(
            "select source_pos, target_pos from read_parquet({verdicts}) where verdict = {verdict}"
        ))?;
    }
    found.sort();
    Ok(found)
}

/// How each side reads these records again; `None` where one of them has no value by which it could be found.
///
/// # Errors
/// What the engine says.
pub fn readings(
    bench: &Bench<'_>,
    entity: &Entity,
    sides: [&Staged; 2],
    ways: &Ways,
    records: &[Record],
) -> Result<Option<Readings>> {
    let plan = EntityPlan::new(bench.spec, bench.warehouse, entity, sides[0], sides[1], &[])?;
    let positions = |side: Side| -> Vec<i64> {
        let mut positions: Vec<i64> = records.iter().filter_map(|record| record[side as usize]).collect();
        positions.sort_unstable();
        positions.dedup();
        positions
    };
    let key_values =
        |side: Side| values(&plan, bench.warehouse, side, &key_accesses(&plan, side), Some(&positions(side)));
    // The values of the key as each side has them: what one side lacks is looked up by the other's.
    let known = [key_values(Side::Source)?, key_values(Side::Target)?];
    let at =
        |side: Side, record: &Record| record[side as usize].and_then(|pos| known[side as usize].get(&pos));
    let (mut keys, mut without_key) = (HashSet::new(), 0);
    for record in records {
        let of = |side| at(side, record).and_then(|values| key_of(&plan, side, values));
        let known: Vec<Vec<u8>> = [of(Side::Source), of(Side::Target)].into_iter().flatten().collect();
        without_key += usize::from(known.is_empty());
        keys.extend(known);
    }
    let mut readings = Vec::new();
    for (side, other) in [(Side::Source, Side::Target), (Side::Target, Side::Source)] {
        let (columns, values) = match &ways.sides[side as usize] {
            Way::Staged | Way::Nowhere => {
                readings.push(Reading::AsStaged(positions(side)));
                continue;
            }
            Way::Key(columns) => {
                let found =
                    records.iter().map(|record| at(side, record).or_else(|| at(other, record)).cloned());
                (columns, found.collect::<Option<Vec<_>>>())
            }
            Way::Primary(columns) => {
                let staged = sides[side as usize];
                let accesses: Vec<Access> =
                    columns.iter().filter_map(|name| staged.column(name).map(Access::of_column)).collect();
                let wanted = positions(side);
                let found = values(&plan, bench.warehouse, side, &accesses, Some(&wanted))?;
                (columns, wanted.iter().map(|pos| found.get(pos).cloned()).collect())
            }
        };
        let Some(mut values) = values.filter(|values| values.iter().flatten().all(|v| !v.is_null())) else {
            return Ok(None);
        };
        let mut seen = HashSet::new();
        values.retain(|values| seen.insert(encoded(values)));
        readings.push(Reading::Afresh { columns: columns.clone(), values });
    }
    Ok(readings.try_into().ok().map(|sides| Readings { sides, keys, without_key }))
}

/// Which rows of a live side that was read again are those of the wanted keys, each once. A store may find more by a key
/// than the rows that have exactly that key (a collation without case, `01` for 1), and one row by two of them.
///
/// # Errors
/// What the engine says.
pub fn wanted_rows(
    bench: &Bench<'_>,
    entity: &Entity,
    sides: [&Staged; 2],
    side: Side,
    keys: &HashSet<Vec<u8>>,
    primary: &[String],
) -> Result<Vec<i64>> {
    let plan = EntityPlan::new(bench.spec, bench.warehouse, entity, sides[0], sides[1], &[])?;
    let staged = sides[side as usize];
    let row: Vec<Access> =
        primary.iter().filter_map(|name| staged.column(name).map(Access::of_column)).collect();
    let found = values(&plan, bench.warehouse, side, &key_accesses(&plan, side), None)?;
    let rows = values(&plan, bench.warehouse, side, &row, None)?;
    let is_wanted = |pos: &i64| {
        found.get(pos).and_then(|values| key_of(&plan, side, values)).is_some_and(|key| keys.contains(&key))
    };
    let mut positions: Vec<i64> = found.keys().copied().filter(is_wanted).collect();
    positions.sort_unstable();
    let mut seen = HashSet::new();
    positions.retain(|pos| rows.get(pos).is_some_and(|values| seen.insert(encoded(values))));
    Ok(positions)
}

fn key_accesses(plan: &EntityPlan<'_>, side: Side) -> Vec<Access> {
    plan.key().iter().filter_map(|field| field.access(side).cloned()).collect()
}

/// A record's key in the form in which keys are matched; `None` where a value of it does not cast.
fn key_of(plan: &EntityPlan<'_>, side: Side, values: &[Value<'static>]) -> Option<Vec<u8>> {
    let mut key = Vec::new();
    for (field, value) in plan.key().iter().zip(values) {
        plan.normaliser(field, side)?.normal_only(value.clone()).ok()?.encode(&mut key);
    }
    Some(key)
}

fn encoded(values: &[Value<'static>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    values.iter().for_each(|value| value.encode(&mut bytes));
    bytes
}

/// The values that some accesses give of a side's rows, by position: of these rows, or of all.
fn values(
    plan: &EntityPlan<'_>,
    warehouse: &Warehouse,
    side: Side,
    accesses: &[Access],
    positions: Option<&[i64]>,
) -> Result<HashMap<i64, Vec<Value<'static>>>> {
    let mut found = HashMap::new();
    let wanted = match positions {
        None => "true".to_owned(),
        Some([]) => return Ok(found),
        Some(positions) => {
            let positions: Vec<String> = positions.iter().map(i64::to_string).collect();
            format!("pos in ({})", positions.join(", "))
        }
    };
    let selected = accesses.iter().flat_map(Access::select).enumerate();
    let columns: String = selected.map(|(n, sql)| format!(", {sql} as c{n}")).collect();
    let query = plan.query_of_columns(side, &columns);
    warehouse.stream(&format!("select * from ({query}\n) as rows where {wanted}"), |batch| {
        let cells = access::cells(&batch);
        for row in 0..batch.num_rows() {
            let mut first = 1;
            let mut values = Vec::new();
            for access in accesses {
                // What does not cast has no value to be found by.
                values.push(access.value(&cells, first, row).map_or(Value::Null, Value::into_owned));
                first += access.select().len();
            }
            if let Ok(Value::Number(pos)) = cells[0].value(row)
                && let Some(pos) = pos.to_scaled(0).and_then(|pos| i64::try_from(pos).ok())
            {
                found.insert(pos, values);
            }
        }
        Ok(())
    })?;
    Ok(found)
}

impl EntityResult {
    /// Adds what the user should know, once.
    pub fn remark(&mut self, words: &str) {
        if !self.spec_remarks.iter().any(|known| known == words) {
            self.spec_remarks.push(words.to_owned());
        }
    }

    /// Puts what was found by looking again in the place of the findings that it is about.
    ///
    /// Says no where a field could not be compared this time that was compared or not there: then the findings stay as they
    /// were.
    ///
    /// # Errors
    /// Counts that do not add up: a defect of recon.
    pub fn see_again(&mut self, again: Self, reach: [bool; VERDICTS]) -> Result<bool> {
        let status = |result: &Self, name: &str| {
            result.fields.iter().find(|f| f.name == name).map_or("not_compared", |f| f.status)
        };
        let was_open = |name: &str| self.fields.iter().any(|f| f.name == name && f.status == "not_compared");
        let names = self.fields.iter().chain(&again.fields).map(|f| f.name.as_str());
        if names.into_iter().any(|name| status(&again, name) == "not_compared" && !was_open(name)) {
            return Ok(false);
        }
        let (c, a) = (&mut self.counts, &again.counts);
        let taken = |count: &mut u64, verdict: usize| if reach[verdict] { std::mem::take(count) } else { 0 };
        let [mismatched, missing, extra] =
            [taken(&mut c.mismatched, 1), taken(&mut c.missing, 2), taken(&mut c.extra, 3)];
        c.source_rows = c.source_rows - mismatched - missing + a.source_rows;
        c.target_rows = c.target_rows - mismatched - extra + a.target_rows;
        for (ours, theirs) in [
            (&mut c.matched, a.matched),
            (&mut c.mismatched, a.mismatched),
            (&mut c.missing, a.missing),
            (&mut c.extra, a.extra),
            (&mut c.duplicate_source, a.duplicate_source),
            (&mut c.duplicate_target, a.duplicate_target),
            (&mut c.unchecked, a.unchecked),
            (&mut c.unchecked_target, a.unchecked_target),
        ] {
            *ours += theirs;
        }
        let compared = c.matched + c.mismatched;
        for field in &mut self.fields {
            let Some(now) = again.fields.iter().find(|f| f.name == field.name) else { continue };
            field.matched = field.matched.clone().plus(&now.matched);
            field.mismatched = now.mismatched.clone();
            (field.unequal, field.null_mismatch) = (now.unequal, now.null_mismatch);
            field.concentration = now.concentration.clone();
            field.compared = if field.status == "compared" { compared } else { 0 };
        }
        let records = mismatched + missing + extra;
        let unusable = a.duplicate_source.max(a.duplicate_target) + a.unchecked.max(a.unchecked_target);
        let there = a.matched + a.mismatched + a.missing + a.extra + unusable;
        self.again.push(Again { records, equal: a.matched, gone: records.saturating_sub(there) });
        self.failed += again.failed;
        self.unassigned += again.unassigned;
        for look in &mut self.looks {
            (1..=3).filter(|verdict| reach[*verdict]).for_each(|verdict| look.stands[verdict] = false);
        }
        self.looks.extend(again.looks);
        self.counts.check(&self.name)?;
        Ok(true)
    }
}
