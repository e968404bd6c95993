//! What is told of a rollback: on the terminal, as JSON, in `summary.json`, `plan.csv`, `conflicts.csv` and `failures.csv`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::cli::{Format, Global, print};
use crate::error::{Context, Result};
use crate::ledger::Ledger;
use crate::ledger::manifest::{Change, Image, Op};
use crate::ledger::rollback::{Rollback, UndoException};
use crate::migrate::undo::{Step, Undo};
use crate::reconcile::report::csv::{CsvFile, Style, write_whole};
use crate::reconcile::report::key_columns;
use crate::reconcile::report::terminal::{plain, thousands};
use crate::rollback::keys::{ordered, texts};
use crate::rollback::plan::{Group, Plan};
use crate::rollback::preview::Preview;

/// What is known of a rollback beside what the ledger has.
pub(super) struct Facts {
    /// The runs whose changes are taken back, the newest first.
    pub(super) runs: Vec<String>,
    /// Runs that are left as they are although something of them may be meant, with the reason.
    pub(super) left_out: Vec<String>,
    /// Keys that were asked for and that no run has changed.
    pub(super) not_found: Vec<String>,
    /// The fields of each entity's key.
    pub(super) key_fields: BTreeMap<String, Vec<String>>,
}

impl Facts {
    fn keys_of<'f>(&'f self, entities: impl Iterator<Item = &'f str>) -> Vec<&'f [String]> {
        entities.filter_map(|name| self.key_fields.get(name)).map(Vec::as_slice).collect()
    }

    /// The fields of an entity's key.
    fn key_of(&self, entity: &str) -> &[String] {
        self.key_fields.get(entity).map_or(&[][..], Vec::as_slice)
    }

    /// Whether something that may be meant is not part of it.
    fn is_short(&self) -> bool {
        !(self.not_found.is_empty() && self.left_out.is_empty())
    }

    /// What the user has to know besides.
    fn remarks(&self, out: &mut String) {
        for run in &self.left_out {
            out.push_str(&format!("left out: {run}\n"));
        }
        if !self.not_found.is_empty() {
            let first: Vec<String> = self.not_found.iter().take(3).map(|key| plain(key)).collect();
            let more = if self.not_found.len() > first.len() { ", …" } else { "" };
            let count = thousands(self.not_found.len() as u64);
            out.push_str(&format!(
                "{count} keys that were asked for no run has changed: {}{more}\n",
                first.join("; ")
            ));
        }
    }
}

/// What a plan would do.
pub(super) struct Looked {
    pub(super) run_id: String,
    pub(super) folder: PathBuf,
    pub(super) previews: BTreeMap<String, Preview>,
    pub(super) facts: Facts,
}

impl Looked {
    /// 1 where rows are in conflict, or keys are no record's.
    pub(super) fn exit_code(&self) -> u8 {
        let conflicts: u64 = self.previews.values().map(|preview| preview.conflicts).sum();
        u8::from(conflicts > 0 || self.facts.is_short())
    }

    fn json(&self) -> Json {
        let entities: serde_json::Map<String, Json> = self
            .previews
            .iter()
            .map(|(entity, p)| {
                let facts = json!({
                    "changes": p.changes, "restored": p.restored, "removed": p.removed, "inserted": p.inserted,
                    "unchanged": p.noop, "conflicts": p.conflicts,
                });
                (entity.clone(), facts)
            })
            .collect();
        json!({
            "schema_version": 1, "run_id": self.run_id, "command": "rollback plan", "dry_run": true,
            "exit_code": self.exit_code(), "runs": self.facts.runs, "left_out": self.facts.left_out,
            "not_found": self.facts.not_found, "entities": entities,
        })
    }
}

/// Writes `summary.json` of a plan; its rows are in `plan.csv` by then.
pub(super) fn write_looked(looked: &Looked) -> Result<()> {
    let text = serde_json::to_string_pretty(&looked.json()).expect("counts are always JSON");
    write_whole(&looked.folder.join("summary.json"), &format!("{text}\n"))
}

/// Shows what a plan would do. `refused`: it was to be done, and nothing was.
pub(super) fn show_looked(global: &Global, looked: &Looked, refused: bool) -> Result<()> {
    if global.format == Format::Json {
        let text = serde_json::to_string_pretty(&looked.json()).expect("counts are always JSON");
        return print(&text).map(|_| ());
    }
    let mut out = match refused {
        true => {
            String::from("nothing was rolled back: rows were changed since, and --on-conflict is abort\n")
        }
        false => String::from("plan: nothing is changed\n"),
    };
    for (entity, p) in &looked.previews {
        out.push_str(&format!(
            "{}: {} changes: {} rows get their old image, {} are removed, {} are made again, {} are as they were, {} conflicts\n",
            plain(entity),
            thousands(p.changes),
            thousands(p.restored),
            thousands(p.removed),
            thousands(p.inserted),
            thousands(p.noop),
            thousands(p.conflicts)
        ));
    }
    if looked.previews.is_empty() {
        out.push_str("nothing to roll back\n");
    }
    looked.facts.remarks(&mut out);
    out.push_str(&format!("row by row: {}\n", looked.folder.join("plan.csv").display()));
    if !global.quiet && !looked.previews.is_empty() {
        out.push_str(&format!("next: {} rollback apply, with the same options\n", global.command()));
    }
    print(&out).map(|_| ())
}

/// `plan.csv`.
pub(super) struct PlanFile<'a> {
    file: CsvFile,
    facts: &'a Facts,
    width: usize,
}

impl<'a> PlanFile<'a> {
    pub(super) fn create(folder: &Path, plan: &Plan, facts: &'a Facts) -> Result<Self> {
        let mut entities: Vec<&str> = plan.groups.iter().map(|group| group.entity.as_str()).collect();
        entities.dedup();
        let keys = key_columns(&facts.keys_of(entities.into_iter()));
        let rest = ["run", "change", "action", "reason"];
        let header = std::iter::once("entity").chain(keys.iter().map(String::as_str)).chain(rest);
        let file = CsvFile::create(&folder.join("plan.csv"), &Style::default(), header)?;
        Ok(Self { file, facts, width: keys.len() })
    }

    pub(super) fn row(&mut self, group: &Group, change: &Change, undo: &dyn Undo, step: &Step) -> Result<()> {
        let (action, reason) = match step {
            Step::Nothing => ("nothing", None),
            Step::Remove { .. } => ("remove", None),
            Step::Write(write) if write.is_new => ("insert", None),
            Step::Write(write) if write.merged => ("merge", None),
            Step::Write(_) => ("restore", None),
            Step::Conflict(conflict) => ("conflict", Some(conflict.kind.word().to_owned())),
        };
        let mut cells = vec![Some(group.entity.clone())];
        let key = texts(undo, &change.key, self.facts.key_of(&group.entity));
        cells.extend(key.into_iter().chain(std::iter::repeat(None)).take(self.width));
        let op = match change.op {
            Op::Insert => "insert",
            Op::Update => "update",
            Op::Delete => "delete",
            Op::SoftDelete => "soft_delete",
        };
        cells.extend([Some(group.run_id.clone()), Some(op.to_owned()), Some(action.to_owned()), reason]);
        self.file.row(cells.iter().map(Option::as_deref))
    }

    pub(super) fn finish(self) -> Result<()> {
        self.file.finish()
    }
}

/// What became of a rollback.
pub(super) struct Told {
    run_id: String,
    folder: PathBuf,
    took: Duration,
    entities: Vec<Rollback>,
    facts: Facts,
    /// Something stopped it.
    pub(super) interrupted: bool,
}

impl Told {
    pub(super) fn gather(
        ledger: &Ledger,
        run_id: &str,
        folder: &Path,
        took: Duration,
        facts: Facts,
    ) -> Result<Self> {
        let mut entities = ledger.rollbacks()?;
        entities.retain(|rollback| rollback.run_id == run_id);
        let (run_id, folder) = (run_id.to_owned(), folder.to_path_buf());
        Ok(Self { run_id, folder, took, entities, facts, interrupted: false })
    }

    fn sum(&self, of: impl Fn(&Rollback) -> u64) -> u64 {
        self.entities.iter().map(of).sum()
    }

    /// 1 where something is not as it was.
    pub(super) fn exit_code(&self) -> u8 {
        let left = self.sum(|r| r.counts.conflicts + r.counts.failed + r.counts.altered + r.counts.merged);
        match self.interrupted {
            true => 3,
            false => u8::from(left > 0 || self.facts.is_short()),
        }
    }

    fn json(&self) -> Json {
        let seconds = self.took.as_secs_f64();
        let entities: serde_json::Map<String, Json> = self
            .entities
            .iter()
            .map(|r| {
                let c = &r.counts;
                let facts = json!({
                    "target": r.target, "changes": r.changes, "rolled_back": c.restored + c.removed + c.inserted,
                    "restored": c.restored, "removed": c.removed, "inserted": c.inserted, "unchanged": c.noop,
                    "merged": c.merged, "forced": c.forced, "altered": c.altered, "conflicts": c.conflicts,
                    "failed": c.failed, "expired": c.expired, "pending": r.changes.saturating_sub(c.handled),
                });
                (r.entity.clone(), facts)
            })
            .collect();
        json!({
            "schema_version": 1, "run_id": self.run_id, "command": "rollback", "exit_code": self.exit_code(),
            "runs": self.facts.runs, "left_out": self.facts.left_out, "not_found": self.facts.not_found,
            "duration_seconds": (seconds * 1000.0).round() / 1000.0, "records_per_second": self.rate(), "entities": entities,
        })
    }

    fn rate(&self) -> u64 {
        (self.sum(|r| r.counts.handled) as f64 / self.took.as_secs_f64().max(0.001)) as u64
    }
}

/// Writes the reports into the run's folder.
pub(super) fn write(told: &Told, ledger: &Ledger) -> Result<()> {
    let keys = key_columns(&told.facts.keys_of(told.entities.iter().map(|r| r.entity.as_str())));
    let start = || std::iter::once("entity").chain(keys.iter().map(String::as_str));
    let (conflicts, failures) = (told.folder.join("conflicts.csv"), told.folder.join("failures.csv"));
    let header = start().chain(["run", "kind", "field", "old", "ours", "now", "message"]);
    let mut conflicts = CsvFile::create(&conflicts, &Style::default(), header)?;
    let header = start().chain(["stage", "class", "code", "column", "message", "attempts"]);
    let mut failures = CsvFile::create(&failures, &Style::default(), header)?;
    ledger.undo_exceptions(&told.run_id, |e| {
        let key: Image =
            serde_json::from_str(&e.key).or_failed(|| "the ledger's keys are damaged".to_owned())?;
        let mut cells = vec![Some(e.entity.clone())];
        let is_table =
            told.entities.iter().any(|r| r.entity == e.entity && !r.target.starts_with("dynamodb "));
        let key = ordered(is_table, &key, told.facts.key_of(&e.entity)).into_iter();
        let key = key.map(|text| text.as_str().map(str::to_owned));
        cells.extend(key.chain(std::iter::repeat(None)).take(keys.len()));
        if e.state == "ROLLBACK_CONFLICT" {
            return conflict_rows(&mut conflicts, &cells, &e);
        }
        let class = if e.state == "FAILED_RETRYABLE" { "retryable" } else { "permanent" };
        cells.extend(
            [Some("rollback"), Some(class), Some(e.code.as_str())].map(|cell| cell.map(str::to_owned)),
        );
        cells.extend([e.column, Some(e.message), Some("1".to_owned())]);
        failures.row(cells.iter().map(Option::as_deref))
    })?;
    conflicts.finish()?;
    failures.finish()?;
    let text = serde_json::to_string_pretty(&told.json()).expect("counts are always JSON");
    write_whole(&told.folder.join("summary.json"), &format!("{text}\n"))
}

/// A row for each field that is not as the run wrote it; where nobody knows what that was, for each that is not as before.
fn conflict_rows(file: &mut CsvFile, cells: &[Option<String>], e: &UndoException) -> Result<()> {
    let images: Json =
        serde_json::from_str(&e.images).or_failed(|| "the ledger's images are damaged".to_owned())?;
    let value = |image: &str, field: &str| images[image].get(field).and_then(Json::as_str).map(str::to_owned);
    let known = if images["ours"].is_object() { "ours" } else { "old" };
    let mut fields: Vec<&String> = ["old", "ours", "now"]
        .iter()
        .filter_map(|image| images[*image].as_object())
        .flat_map(|row| row.keys())
        .filter(|field| images[known].get(field.as_str()) != images["now"].get(field.as_str()))
        .collect();
    fields.sort();
    fields.dedup();
    let rows: Vec<Option<&String>> = match fields.is_empty() {
        true => vec![None],
        false => fields.into_iter().map(Some).collect(),
    };
    for field in rows {
        let of = |image: &str| field.and_then(|field| value(image, field));
        let more = [
            Some(e.of_run.clone()),
            Some(e.code.clone()),
            field.cloned(),
            of("old"),
            of("ours"),
            of("now"),
            Some(e.message.clone()),
        ];
        file.row(cells.iter().chain(&more).map(Option::as_deref))?;
    }
    Ok(())
}

/// Shows the end of a rollback.
pub(super) fn show(global: &Global, told: &Told) -> Result<()> {
    if global.format == Format::Json {
        let text = serde_json::to_string_pretty(&told.json()).expect("counts are always JSON");
        return print(&text).map(|_| ());
    }
    let mut out = String::new();
    for r in &told.entities {
        let c = &r.counts;
        out.push_str(&format!(
            "{}: {} of {} changes rolled back: {} rows have their old image, {} removed, {} made again; {} were as before; {} conflicts, {} failed\n",
            plain(&r.entity),
            thousands(c.restored + c.removed + c.inserted),
            thousands(r.changes),
            thousands(c.restored),
            thousands(c.removed),
            thousands(c.inserted),
            thousands(c.noop),
            thousands(c.conflicts),
            thousands(c.failed)
        ));
        for (n, what) in [
            (c.merged, "of them keep columns that somebody has changed (--on-conflict merge)"),
            (c.forced, "of them had been changed by somebody (--on-conflict force)"),
            (c.expired, "of them have a time to live that is past: the store will take them away again"),
            (c.altered, "are back but for columns in which the table keeps another value: failures.csv"),
        ] {
            if n > 0 {
                out.push_str(&format!("  {} {what}\n", thousands(n)));
            }
        }
    }
    if told.entities.is_empty() {
        out.push_str("nothing to roll back\n");
    }
    told.facts.remarks(&mut out);
    let (seconds, rate) = (told.took.as_secs_f64(), thousands(told.rate()));
    out.push_str(&format!("{seconds:.1} s, {rate} changes a second; run {}\n", told.run_id));
    let command = global.command();
    if told.sum(|r| r.counts.conflicts) > 0 {
        out.push_str(&format!("left as they are: {}\n", told.folder.join("conflicts.csv").display()));
    }
    if told.sum(|r| r.counts.failed) > 0 {
        out.push_str(&format!("what did not go back: {}\n", told.folder.join("failures.csv").display()));
    }
    if !global.quiet && told.sum(|r| r.counts.restored + r.counts.removed + r.counts.inserted) > 0 {
        out.push_str(&format!(
            "to undo this: {command} rollback apply --run {}\nnext: {command} rollback verify --run {}\n",
            told.run_id, told.run_id
        ));
    }
    print(&out).map(|_| ())
}
