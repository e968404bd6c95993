//! A repair as a script, for people to read, change and run: SQL with the values in it, or requests to DynamoDB. Nothing is written to
//! the target.

use std::io::Write;

use super::batch::{Loaded, Stamp};
use super::dry_run::Rehearsal;
use super::mapped::{Column, Mapped};
use super::plan::Plan;
use super::retry::Retries;
use super::{Batch, Fault, Target};
use crate::error::{Context, Error, Result};
use crate::event::{self, Progress};
use crate::query::render;
use crate::spec::{OnConflict, Policy};
use crate::value::Value;

const UPDATE: &str = include_str!("../../queries/migrate/script/update.sql");
const INSERT: &str = include_str!("../../queries/migrate/script/insert.sql");

/// What stands around the statements of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What a line for people begins with; `None` where there can be none.
    pub comment: Option<&'static str>,
    /// Comes first.
    pub head: &'static str,
    /// Comes last.
    pub foot: &'static str,
}

/// What became of a batch in a script.
#[derive(Debug, Default)]
pub struct Scripted {
    /// Records that the script writes.
    pub written: u64,
    /// Records that are there and as they should be, where that was looked up.
    pub unchanged: u64,
    /// Records that it leaves out.
    pub faults: Vec<(usize, Fault)>,
}

/// Writes the statements of a plan.
///
/// # Errors
/// A plan that is damaged; a target that has no script, or cannot be read; an interruption; `out` that takes no more.
pub fn write(
    mapped: &Mapped<'_>,
    plan: &Plan,
    target: &dyn Target,
    (stamp, retries): (&Stamp, Retries),
    progress: &Progress,
    out: &mut dyn Write,
) -> Result<Rehearsal> {
    let mut found = Rehearsal::default();
    let entity = mapped.plan.entity.name.as_str();
    let comment = target.script_frame()?.comment;
    let fail = || "cannot write the script".to_owned();
    if let Some(comment) = comment {
        writeln!(out, "\n{comment} entity {} into {}", one_line(entity), one_line(target.fingerprint()))
            .or_failed(fail)?;
    }
    event::add(&progress.units_total, plan.batches());
    for number in 0..plan.batches() {
        progress.check()?;
        let (data, hash) = (plan.read(number)?, plan.hash_of(number));
        let loaded = Loaded::new(&data);
        let (records, mut faults) = loaded.records(mapped, stamp)?;
        let batch = Batch {
            run_id: &stamp.run_id,
            entity,
            number,
            hash: &hash,
            records: &records,
            earlier: &[],
            retries,
            progress,
        };
        let mut text = String::new();
        let scripted = target.script(&batch, &mut text).map_err(super::Trouble::error)?;
        out.write_all(text.as_bytes()).or_failed(fail)?;
        found.records += scripted.written;
        found.unchanged += scripted.unchanged;
        faults.extend(scripted.faults);
        faults.sort_by_key(|(row, _)| *row);
        for (row, fault) in faults {
            let key = loaded.key_text(mapped, row);
            if let Some(comment) = comment {
                let (code, message) = (&fault.code, one_line(&fault.message));
                writeln!(out, "{comment} left out: {}: {code}: {message}", one_line(&key)).or_failed(fail)?;
            }
            found.reject(key, fault);
        }
        event::add(&progress.units_done, 1);
        event::add(&progress.rows_done, loaded.rows() as u64);
    }
    Ok(found)
}

/// A text that does not end the comment which it stands in.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c })
        .collect()
}

/// A table and the SQL of its store.
pub(super) struct Dialect<'a> {
    /// The table in quotes.
    pub(super) table: &'a str,
    /// Puts a name into quotes.
    pub(super) quoted: fn(&str) -> String,
    /// The greater of two values, or the one that is not NULL.
    pub(super) greatest: fn(&str, &str) -> String,
    /// What an insert needs to write a column that the store numbers.
    pub(super) overriding: &'a str,
    /// What a `select` without a table is from.
    pub(super) from: &'a str,
}

impl Dialect<'_> {
    /// Appends the statements of a batch. `literals` says a record's values in SQL; `keys` says by them how its key is looked up by the
    /// index, and whether what is found has that very key.
    pub(super) fn batch(
        &self,
        mapped: &Mapped<'_>,
        batch: &Batch<'_>,
        out: &mut String,
        literals: impl Fn(&[Value<'_>]) -> Result<Vec<String>, Fault>,
        keys: impl Fn(&[String]) -> (Vec<String>, Vec<String>),
    ) -> Scripted {
        let mut scripted = Scripted::default();
        for record in batch.records {
            match literals(&record.values) {
                Ok(literals) => {
                    let (same, mut exact) = keys(&literals);
                    exact.splice(0..0, same.iter().cloned());
                    self.record(mapped, &literals, (&same.join(" and "), &exact.join(" and ")), out);
                    scripted.written += 1;
                }
                Err(fault) => scripted.faults.push((record.row, fault)),
            }
        }
        scripted
    }

    /// The statements that write one record, each of which can be run again: one that changes it, one that inserts it.
    fn record(
        &self,
        mapped: &Mapped<'_>,
        literals: &[String],
        (same, exact): (&str, &str),
        out: &mut String,
    ) {
        let name = |c: &Column| (self.quoted)(&c.name);
        let with = || mapped.columns.iter().zip(literals);
        let set = with().filter(|(c, _)| !c.is_key).filter_map(|(c, new)| {
            let old = format!("old.{}", name(c));
            let value = match &c.on_conflict {
                OnConflict::Overwrite => new.clone(),
                OnConflict::Coalesce => format!("coalesce({new}, {old})"),
                OnConflict::Greatest => (self.greatest)(new, &old),
                // SQL of the user's own was refused before.
                OnConflict::Keep | OnConflict::Sql(_) => return None,
            };
            Some(format!("{} = {value}", name(c)))
        });
        let set: Vec<String> = set.collect();
        let allowed = mapped.version.map(|at| {
            let version = format!("old.{}", name(&mapped.columns[at]));
            format!("({version} is null or {version} < {})", literals[at])
        });
        let columns: Vec<String> = mapped.columns.iter().map(name).collect();
        let mut add = |template: &str, pieces: &[(&str, &str)]| {
            // The statement alone: what is said of it is for the reader of the file.
            let statement: Vec<&str> = template.lines().skip_while(|line| line.starts_with("--")).collect();
            out.push_str(&render(&statement.join("\n"), pieces));
            out.push_str(";\n");
        };
        if mapped.policy() != Policy::InsertOnly && !set.is_empty() {
            let allowed = allowed.as_deref().unwrap_or("true");
            let set = set.join(", ");
            add(UPDATE, &[("table", self.table), ("set", &set), ("same", exact), ("allowed", allowed)]);
        }
        if mapped.policy() != Policy::UpdateOnly {
            let pieces = [
                ("table", self.table),
                ("columns", &columns.join(", ")),
                ("overriding", self.overriding),
                ("values", &literals.join(", ")),
                ("from", self.from),
                ("same", same),
            ];
            add(INSERT, &pieces);
        }
    }
}

/// Refuses what a script cannot say.
///
/// # Errors
/// SQL that merges both rows: run twice, it would do so twice (exit 2).
pub(super) fn check(mapped: &Mapped<'_>) -> Result<()> {
    match mapped.columns.iter().find(|c| matches!(c.on_conflict, OnConflict::Sql(_))) {
        Some(column) => Err(Error::usage(format!(
            "field `{}` has `on_conflict_sql`, which a script that may be run again cannot hold",
            column.field
        ))
        .help("replay without --sql writes such records once, by the ledger")),
        None => Ok(()),
    }
}
