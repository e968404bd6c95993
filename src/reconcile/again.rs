//! Looking at records again: by which values their stores find them, and what is left of the differences.

use std::collections::HashMap;

use super::access::{self, Access};
use super::diff::{Bench, EntityResult, Look, VERDICTS};
use super::plan::{EntityPlan, Side};
use super::side::Staged;
use crate::error::Result;
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
        let key: Option<Vec<String>> =
            plan.key().iter().map(|field| staged.column_of(field.access(side)?).map(str::to_owned)).collect();
        let mut sorted = [key.clone().unwrap_or_default(), primary.to_vec()];
        sorted.iter_mut().for_each(|names| names.sort());
        // DynamoDB finds an item by its whole primary key and by nothing else.
        match key.filter(|_| !staged.dataset.kind.is_dynamodb() || sorted[0] == sorted[1]) {
            Some(key) if !key.is_empty() => Way::Key(key),
            _ if !primary.is_empty() && primary.iter().all(|name| staged.column(name).is_some()) => {
                Way::Primary(primary.to_vec())
            }
            _ => Way::Nowhere,
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
    if !both {
        remarks = vec![
            "nothing is looked at again: the entity has no key by which both stores find a record".to_owned(),
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
) -> Result<Option<[Reading; 2]>> {
    let plan = EntityPlan::new(bench.spec, bench.warehouse, entity, sides[0], sides[1], &[])?;
    let key = |side: Side| -> Vec<Access> {
        plan.key().iter().filter_map(|field| field.access(side).cloned()).collect()
    };
    // The values of the key as each side has them: what one side lacks is looked up by the other's.
    let keys = [
        values_at(&plan, bench.warehouse, Side::Source, &key(Side::Source), records)?,
        values_at(&plan, bench.warehouse, Side::Target, &key(Side::Target), records)?,
    ];
    let mut readings = Vec::new();
    for side in [Side::Source, Side::Target] {
        let (own, other) = (side as usize, 1 - side as usize);
        let at = |of: usize, record: &Record| record[of].and_then(|pos| keys[of].get(&pos));
        let (columns, values): (&[String], Vec<Option<&Vec<Value<'static>>>>) = match &ways.sides[own] {
            Way::Staged | Way::Nowhere => {
                readings.push(Reading::AsStaged(records.iter().filter_map(|record| record[own]).collect()));
                continue;
            }
            Way::Key(columns) => (
                columns,
                records.iter().map(|record| at(own, record).or_else(|| at(other, record))).collect(),
            ),
            Way::Primary(columns) => {
                let accesses: Vec<Access> = columns
                    .iter()
                    .filter_map(|name| sides[own].column(name).map(Access::of_column))
                    .collect();
                let found = values_at(&plan, bench.warehouse, side, &accesses, records)?;
                let there = records.iter().filter_map(|record| record[own]);
                let values = there.map(|pos| found.get(&pos).cloned()).collect::<Option<Vec<_>>>();
                let Some(values) = values.filter(|values| values.iter().flatten().all(|v| !v.is_null()))
                else {
                    return Ok(None);
                };
                readings.push(Reading::Afresh { columns: columns.clone(), values });
                continue;
            }
        };
        let values: Option<Vec<Vec<Value<'static>>>> =
            values.into_iter().map(|values| values.cloned()).collect();
        let Some(values) = values.filter(|values| values.iter().flatten().all(|v| !v.is_null())) else {
            return Ok(None);
        };
        readings.push(Reading::Afresh { columns: columns.to_vec(), values });
    }
    Ok(readings.try_into().ok())
}

/// The values that some accesses give of the records' rows on a side, by position.
fn values_at(
    plan: &EntityPlan<'_>,
    warehouse: &Warehouse,
    side: Side,
    accesses: &[Access],
    records: &[Record],
) -> Result<HashMap<i64, Vec<Value<'static>>>> {
    let positions: Vec<String> =
        records.iter().filter_map(|record| record[side as usize]).map(|pos| pos.to_string()).collect();
    let mut found = HashMap::new();
    if positions.is_empty() {
        return Ok(found);
    }
    let selected = accesses.iter().flat_map(Access::select).enumerate();
    let columns: String = selected.map(|(n, sql)| format!(", {sql} as c{n}")).collect();
    let query = plan.query_of_columns(side, &columns);
    let sql = format!("select * from ({query}\n) as rows where pos in ({})", positions.join(", "));
    warehouse.stream(&sql, |batch| {
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
    /// Says no where a field that was compared could not be compared this time: then the findings stay as they were.
    pub fn see_again(&mut self, again: Self, reach: [bool; VERDICTS]) -> bool {
        let lost = |name: &str| again.fields.iter().any(|f| f.name == name && f.status == "not_compared");
        if self.fields.iter().any(|f| f.status == "compared" && lost(&f.name)) {
            return false;
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
        for look in &mut self.looks {
            (1..=3).filter(|verdict| reach[*verdict]).for_each(|verdict| look.stands[verdict] = false);
        }
        self.looks.extend(again.looks);
        true
    }
}
