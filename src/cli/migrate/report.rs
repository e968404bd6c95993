//! What is told of a run that wrote: on the terminal, as JSON, in `summary.json` and `failures.csv`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::Task;
use crate::cli::{Format, Global, print};
use crate::error::{Context, Result};
use crate::ledger::Ledger;
use crate::ledger::migration::Counts;
use crate::migrate::dry_run::Rehearsal;
use crate::migrate::plan::NotFound;
use crate::reconcile::report::csv::{CsvFile, Style};
use crate::reconcile::report::key_columns;
use crate::reconcile::report::terminal::{plain, thousands};

/// What became of an entity.
pub(super) struct Entity {
    name: String,
    key: Vec<String>,
    records: u64,
    counts: Counts,
    left_over: u64,
    /// Records of it that did not go through in any run so far.
    open: u64,
    /// Rows of its source that did not parse when they were staged.
    unparsed: u64,
    /// Rows of its source that its records are folded from.
    folded: Option<u64>,
    not_found: NotFound,
    target: String,
}

/// What is known of an entity of a run beside what the ledger has.
pub(super) struct Known {
    entity: String,
    key: Vec<String>,
    /// Rows of its source that did not parse.
    pub(super) unparsed: u64,
    /// Rows that were folded into its records, where they were.
    pub(super) folded: Option<u64>,
    /// Keys that were asked for and are no record's.
    pub(super) not_found: NotFound,
}

impl Known {
    pub(super) fn of(entity: &crate::spec::Entity) -> Self {
        let (entity, key) = (entity.name.clone(), entity.key.clone());
        Self { entity, key, unparsed: 0, folded: None, not_found: NotFound::default() }
    }
}

/// What became of a run.
pub(super) struct Told {
    task: &'static str,
    run_id: String,
    folder: PathBuf,
    took: Duration,
    no_undo: bool,
    /// Records of entities that the run does not write and that did not go through earlier.
    pub(super) open_elsewhere: u64,
    entities: Vec<Entity>,
}

impl Told {
    pub(super) fn gather(
        task: Task,
        ledger: &Ledger,
        run_id: &str,
        folder: &Path,
        known: Vec<Known>,
        took: Duration,
        no_undo: bool,
    ) -> Result<Self> {
        let all = ledger.migrations()?;
        let mut entities = Vec::new();
        for known in known {
            let name = known.entity;
            let Some(own) = all.iter().find(|m| m.run_id == run_id && m.entity == name) else { continue };
            entities.push(Entity {
                key: known.key,
                records: own.records,
                counts: own.counts,
                left_over: (own.left_over + own.records).saturating_sub(own.counts.records),
                open: ledger.open_exceptions(&name, &own.target)?,
                unparsed: known.unparsed,
                folded: known.folded,
                not_found: known.not_found,
                target: own.target.clone(),
                name,
            });
        }
        Ok(Self {
            task: task.word(),
            run_id: run_id.to_owned(),
            folder: folder.to_path_buf(),
            took,
            no_undo,
            open_elsewhere: 0,
            entities,
        })
    }

    /// Rows that were never staged are missing in the target, whatever else went well; then come the records that did not go
    /// through, in this run or an earlier one.
    pub(super) fn exit_code(&self) -> u8 {
        if self.entities.iter().any(|e| e.unparsed > 0) {
            3
        } else {
            let is_short = |e: &Entity| e.counts.failed + e.open + e.not_found.keys > 0;
            u8::from(self.open_elsewhere > 0 || self.entities.iter().any(is_short))
        }
    }

    fn json(&self, exit_code: u8) -> Json {
        let seconds = self.took.as_secs_f64();
        let entities: serde_json::Map<String, Json> = self
            .entities
            .iter()
            .map(|e| {
                let c = &e.counts;
                let mut facts = json!({
                    "target": e.target, "records": e.records, "migrated": c.inserted + c.updated + c.unchanged,
                    "inserted": c.inserted, "updated": c.updated, "unchanged": c.unchanged, "failed": c.failed,
                    "failed_in_all_runs": e.open, "pending": e.left_over, "not_staged": e.unparsed,
                    "not_found": e.not_found.keys,
                });
                if let Some(rows) = e.folded {
                    facts["folded_rows"] = json!(rows);
                }
                (e.name.clone(), facts)
            })
            .collect();
        json!({
            "schema_version": 1, "run_id": self.run_id, "command": self.task, "exit_code": exit_code,
            "undo": !self.no_undo, "failed_elsewhere": self.open_elsewhere, "duration_seconds": (seconds * 1000.0).round() / 1000.0,
            "records_per_second": self.rate(), "entities": entities,
        })
    }

    fn rate(&self) -> u64 {
        let written: u64 = self.entities.iter().map(|e| e.counts.records).sum();
        (written as f64 / self.took.as_secs_f64().max(0.001)) as u64
    }
}

/// Writes `failures.csv` and `summary.json` into the run's folder.
pub(super) fn write(told: &Told, ledger: &Ledger, folder: &Path) -> Result<()> {
    let keys: Vec<&[String]> = told.entities.iter().map(|e| e.key.as_slice()).collect();
    write_failures(ledger, &told.run_id, &keys, folder)?;
    let text = serde_json::to_string_pretty(&told.json(told.exit_code())).expect("counts are always JSON");
    crate::reconcile::report::csv::write_whole(&folder.join("summary.json"), &format!("{text}\n"))
}

/// Writes `failures.csv`. `keys` are the key's fields of each of the run's entities.
pub(super) fn write_failures(ledger: &Ledger, run_id: &str, keys: &[&[String]], folder: &Path) -> Result<()> {
    let keys = key_columns(keys);
    let rest = ["stage", "class", "code", "column", "message", "attempts"];
    let header = std::iter::once("entity").chain(keys.iter().map(String::as_str)).chain(rest);
    let mut file = CsvFile::create(&folder.join("failures.csv"), &Style::default(), header)?;
    ledger.exceptions(Some(run_id), None, false, |e| {
        let key: Vec<Option<String>> =
            serde_json::from_str(&e.key).or_failed(|| "the ledger's keys are damaged".to_owned())?;
        let mut cells = vec![Some(e.entity)];
        cells.extend(key.into_iter().chain(std::iter::repeat(None)).take(keys.len()));
        cells.extend([
            Some(e.stage),
            Some(e.class),
            Some(e.code),
            e.column,
            Some(e.message),
            Some(e.attempts.to_string()),
        ]);
        file.row(cells.iter().map(Option::as_deref))
    })?;
    file.finish()
}

/// Shows the end of a run.
pub(super) fn show(global: &Global, told: &Told, exit_code: u8) -> Result<()> {
    if global.format == Format::Json {
        let text = serde_json::to_string_pretty(&told.json(exit_code)).expect("counts are always JSON");
        return print(&text).map(|_| ());
    }
    let mut out = String::new();
    for e in &told.entities {
        let c = &e.counts;
        out.push_str(&format!(
            "{}: {} of {} records migrated: {} inserted, {} updated, {} there already; {} failed, {} pending\n",
            plain(&e.name),
            thousands(c.inserted + c.updated + c.unchanged),
            thousands(e.records),
            thousands(c.inserted),
            thousands(c.updated),
            thousands(c.unchanged),
            thousands(c.failed),
            thousands(e.left_over)
        ));
        if let Some(rows) = e.folded {
            let rows = thousands(rows);
            out.push_str(&format!("{}: its source's records are folded from {rows} rows\n", plain(&e.name)));
        }
        if e.unparsed > 0 {
            out.push_str(&format!(
                "{}: {} rows of its source did not parse when they were staged, so they were not written\n",
                plain(&e.name),
                thousands(e.unparsed)
            ));
        }
        out.push_str(&not_found(&e.name, &e.not_found));
        if e.open > c.failed {
            let before = thousands(e.open - c.failed);
            out.push_str(&format!("{}: {before} more did not go through in earlier runs\n", plain(&e.name)));
        }
    }
    if told.entities.is_empty() {
        out.push_str("nothing to write\n");
    }
    if told.open_elsewhere > 0 {
        let open = thousands(told.open_elsewhere);
        out.push_str(&format!("{open} records that were not asked for did not go through in earlier runs\n"));
    }
    let seconds = told.took.as_secs_f64();
    out.push_str(&format!(
        "{seconds:.1} s, {} records a second; run {}\n",
        thousands(told.rate()),
        told.run_id
    ));
    if told.no_undo {
        out.push_str("without old images (--no-undo): this run cannot be rolled back\n");
    }
    let failed: u64 = told.entities.iter().map(|e| e.counts.failed).sum();
    if failed > 0 {
        out.push_str(&format!("what did not go through: {}\n", told.folder.join("failures.csv").display()));
    }
    if !global.quiet {
        let command = global.command();
        let pending: u64 = told.entities.iter().map(|e| e.left_over).sum();
        let open: u64 = told.open_elsewhere + told.entities.iter().map(|e| e.open).sum::<u64>();
        out.push_str(&match (open, pending) {
            (0, 0) => format!("next: {command} stage target && {command} diff\n"),
            (0, _) => format!("next: {command} migrate        (the records that are pending)\n"),
            _ => format!("next: mend the cause, then {command} replay\n"),
        });
    }
    print(&out).map(|_| ())
}

/// What a run would do with an entity.
pub(super) struct Rehearsed {
    pub(super) entity: String,
    pub(super) left_over: u64,
    pub(super) unparsed: u64,
    pub(super) not_found: NotFound,
    /// Records a second, where `--rate` or an earlier run says so.
    pub(super) a_second: Option<u64>,
    pub(super) rehearsal: Rehearsal,
}

/// Shows what a run would do, or what a script does.
pub(super) fn show_rehearsal(
    global: &Global,
    task: Task,
    script: Option<&Path>,
    found: &[Rehearsed],
) -> Result<u8> {
    let rejected: u64 = found.iter().map(|f| f.rehearsal.rejected).sum();
    let unparsed: u64 = found.iter().map(|f| f.unparsed).sum();
    let not_found_keys: u64 = found.iter().map(|f| f.not_found.keys).sum();
    let code = if unparsed > 0 { 3 } else { u8::from(rejected + not_found_keys > 0) };
    if global.format == Format::Json {
        let told = rehearsal_json(task, script, found, code);
        return print(&serde_json::to_string_pretty(&told).expect("counts are always JSON")).map(|_| code);
    }
    let mut out = match script.filter(|_| !found.is_empty()) {
        None if script.is_some() => String::new(),
        None => String::from("dry run: nothing is written\n"),
        Some(path) => format!("the target stays as it is; the repair is in {}\n", path.display()),
    };
    if found.is_empty() {
        out.push_str("nothing to write\n");
    }
    found.iter().for_each(|f| out.push_str(&rehearsed(f, script)));
    if !global.quiet {
        out.push_str(&match script {
            None => format!("next: {} {}\n", global.command(), task.word()),
            Some(_) if found.is_empty() => String::new(),
            Some(_) => {
                let command = global.command();
                format!("next: read it and run it, then {command} stage target && {command} diff\n")
            }
        });
    }
    print(&out).map(|_| code)
}

/// What a run would do with an entity, or what a script does, in words.
fn rehearsed(f: &Rehearsed, script: Option<&Path>) -> String {
    let mut out = String::new();
    let r = &f.rehearsal;
    let (name, records, rejected) = (plain(&f.entity), thousands(r.records), thousands(r.rejected));
    out.push_str(&match script {
        None => format!(
            "{name}: {records} records would be written ({}), {rejected} would be rejected, {} would be left\n",
            indicatif::HumanBytes(r.bytes),
            thousands(f.left_over)
        ),
        Some(_) => format!(
            "{name}: {records} records are in it, {rejected} are left out, {} are there and need nothing\n",
            thousands(r.unchanged)
        ),
    });
    if script.is_none() && r.records > 0 {
        out.push_str(&duration(r.records, f.a_second));
    }
    if let Some(units) = r.units {
        out.push_str(&cost(units, r.units_a_second));
    }
    for record in &r.first {
        let cells: Vec<String> = record
            .iter()
            .map(|(name, text)| {
                format!("{}={}", plain(name), text.as_deref().map_or_else(|| "NULL".to_owned(), plain))
            })
            .collect();
        out.push_str(&format!("  {}\n", cells.join("  ")));
    }
    for (key, fault) in &r.faults {
        let column = fault.column.as_ref().map(|column| format!(", {}", plain(column))).unwrap_or_default();
        out.push_str(&format!(
            "  rejected {}: {}{column}: {}\n",
            plain(key),
            fault.code,
            plain(&fault.message)
        ));
    }
    out.push_str(&not_found(&f.entity, &f.not_found));
    if f.unparsed > 0 {
        out.push_str(&format!(
            "  {} rows of its source did not parse when they were staged\n",
            thousands(f.unparsed)
        ));
    }
    out
}

fn rehearsal_json(task: Task, script: Option<&Path>, found: &[Rehearsed], code: u8) -> Json {
    let entities: serde_json::Map<String, Json> = found
        .iter()
        .map(|f| {
            let first: Vec<Json> = f.rehearsal.first.iter().map(|record| record.iter().cloned().map(|(name, text)| (name, json!(text))).collect()).collect();
            let faults: Vec<Json> = f.rehearsal.faults.iter().map(|(key, fault)| {
                let key: Json = serde_json::from_str(key).unwrap_or_default();
                json!({ "key": key, "class": fault.class.word(), "code": fault.code, "column": fault.column, "message": fault.message })
            }).collect();
            let facts = json!({
                "records": f.rehearsal.records, "rejected": f.rehearsal.rejected, "left_over": f.left_over,
                "seconds": f.a_second.map(|pace| f.rehearsal.records.div_ceil(pace)), "not_staged": f.unparsed, "not_found": f.not_found.keys, "bytes": f.rehearsal.bytes,
                "write_units": f.rehearsal.units, "write_units_a_second": f.rehearsal.units_a_second, "first": first, "first_rejected": faults,
            });
            (f.entity.clone(), facts)
        })
        .collect();
    json!({ "command": task.word(), "dry_run": true, "script": script, "exit_code": code, "entities": entities })
}

/// What was asked for and is not there.
fn not_found(entity: &str, keys: &NotFound) -> String {
    if keys.keys == 0 {
        return String::new();
    }
    let more = if keys.keys > keys.first.len() as u64 { ", …" } else { "" };
    format!(
        "{}: {} keys that were asked for are no record's in its source: {}{more}\n",
        plain(entity),
        thousands(keys.keys),
        plain(&keys.first.join("; "))
    )
}

/// How long writing takes.
fn duration(records: u64, a_second: Option<u64>) -> String {
    match a_second {
        Some(pace) => {
            let time = indicatif::HumanDuration(Duration::from_secs(records.div_ceil(pace)));
            format!("  about {time} at {} records a second\n", thousands(pace))
        }
        None => "  how long it takes nothing tells yet: `migrate --limit 1000` first, and then this again\n"
            .to_owned(),
    }
}

/// What writing costs, and how long the store takes for it.
fn cost(units: u64, a_second: Option<u64>) -> String {
    let time = match a_second {
        Some(most) => format!(
            "; {} at the {} units a second that the table has",
            indicatif::HumanDuration(Duration::from_secs(units.div_ceil(most))),
            thousands(most)
        ),
        None => String::new(),
    };
    format!("  about {} write units, without indexes{time}\n", thousands(units))
}
