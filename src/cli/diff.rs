//! `recon diff`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::out::Out;
use super::progress::Bar;
use super::recheck::{Rounds, recheck};
use super::references::{self, Sides};
use super::watch::{Watch, WatchArgs};
use super::{Ended, Format, Global, afresh, in_run, print};
use crate::error::{Error, Result};
use crate::event::{self, Progress};
use crate::fault;
use crate::ledger::{Ledger, Total, now};
use crate::mapping::side::Staged;
use crate::reconcile::diff::{Bench, EntityResult, diff_entity};
use crate::reconcile::report::csv::Style;
use crate::reconcile::report::gather::gather;
use crate::reconcile::report::of_diff::{self, About, SpecText};
use crate::reconcile::report::references::ReferenceResult;
use crate::reconcile::report::summary::{RunFacts, summary};
use crate::reconcile::report::{self, Example, html, terminal};
use crate::spec::{Dataset, Spec};
use crate::stage::run::{check_references, definition, stale_inputs};
use crate::warehouse::Warehouse;

#[derive(Args, Debug, Default)]
pub(super) struct DiffArgs {
    /// Folder or s3:// uri for the reports [default: runs/<run-id> in the home]; files there that recon did not write are not
    /// overwritten
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Count it as success when there is nothing to compare
    #[arg(long)]
    pub(super) allow_empty: bool,
    /// In every report, write a keyed digest in place of this field's values (may be given several times)
    #[arg(long, value_name = "FIELD")]
    pub(super) redact: Vec<String>,
    /// Read the records that differ again from their stores, up to N times, and drop those that have become equal
    #[arg(long, value_name = "N")]
    recheck: Option<u32>,
    /// Compare no fields: look only whether what records refer to is there
    #[arg(long, conflicts_with = "recheck")]
    references: bool,
    /// How long to wait before each recheck, as in 5s or 1m
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = super::parse_duration, requires = "recheck")]
    delay: Duration,
    /// Put a ' before values that a spreadsheet would run as a formula
    #[arg(long)]
    pub(super) spreadsheet_safe: bool,
    #[command(flatten)]
    pub(super) watch: WatchArgs,
}

/// What a diff gives to show.
pub(super) struct Done {
    /// By entity.
    pub(super) results: Vec<EntityResult>,
    /// The engine, by which the findings can be read.
    pub(super) warehouse: Warehouse,
    /// Where the reports are, on this machine.
    pub(super) folder: PathBuf,
    /// Where the user wants them.
    place: String,
    /// The content of `summary.json`.
    pub(super) summary: serde_json::Value,
    examples: Vec<Example>,
    allow_empty: bool,
}

pub(super) fn run(global: &Global, args: &DiffArgs) -> Result<u8> {
    if args.references {
        return references::run(global, args);
    }
    let ended = execute(global, args)?;
    match global.format {
        Format::Json => print(&pretty(&ended.result.summary))?,
        Format::Text => print(&text(global, &ended))?,
    };
    Ok(ended.code)
}

/// The summary for the terminal.
pub(super) fn text(global: &Global, ended: &Ended<Done>) -> String {
    let done = &ended.result;
    let command = global.command();
    let command = (!global.quiet).then_some(command.as_str());
    let empty = if done.allow_empty { Vec::new() } else { empty(&done.results) };
    terminal::summary(&done.results, &done.examples, &done.place, ended.code, &empty, command)
}

/// Compares and writes the reports without showing anything but progress.
pub(super) fn execute(global: &Global, args: &DiffArgs) -> Result<Ended<Done>> {
    let spec = global.load_spec()?;
    let out = args.out.as_deref().map(|out| Out::check(out, &spec)).transpose()?;
    let watch = Watch::open(&args.watch, &spec)?.without_units();
    let ledger = global.staged_ledger("diff")?;
    let progress = Arc::new(Progress::default());
    in_run(&ledger, "diff", &spec.digest, &watch, &progress, |run_id| {
        let started_at = now();
        let warehouse = Warehouse::open(ledger.home(), global.threads(), global.engine_memory())?;
        warehouse.stop_with(&progress)?;
        let style = style(&args.redact, args.spreadsheet_safe, &spec, &ledger)?;
        // Before the work, so that a wrong folder shows at once.
        let folder = match &out {
            Some(Out::Folder(folder)) => folder.clone(),
            _ => ledger.home().join("runs").join(run_id),
        };
        report::begin(&folder)?;
        if let Some(out) = &out {
            out.begin()?;
        }
        let bar = Bar::start(global, "comparing", &progress);
        let bench = Bench::new(&spec, &warehouse, &ledger, global.threads(), &progress)?;
        let (mut results, sides) = compare(global, &bench, &ledger)?;
        if let Some(count) = args.recheck {
            let rounds = Rounds { count, delay: args.delay };
            recheck(global, &bench, &progress, rounds, &mut results)?;
        }
        check_redacted(args, &results)?;
        report::redact(&mut results, &style);
        let examples = report::write_csvs(&results, &warehouse, &folder, &style)?;
        let found = references::check(&bench, &ledger, &sides, &folder, &style)?;
        results.iter_mut().zip(found).for_each(|(result, found)| result.references = found);
        drop(bar);
        let code = exit_code(&results, args.allow_empty);
        let facts = RunFacts {
            run_id,
            spec_digest: &spec.digest,
            started_at: &started_at,
            ended_at: &now(),
            exit_code: code,
        };
        let mut summary = summary(&facts, &results);
        if style.spreadsheet_safe || !style.redact.is_empty() {
            summary["altered"] =
                json!({ "spreadsheet_safe": style.spreadsheet_safe, "redacted": style.redact });
        }
        write_page(global, &spec, &summary, &folder)?;
        report::write_summary(&folder, &format!("{}\n", pretty(&summary)))?;
        if let Some(out) = &out {
            out.send(&folder)?;
        }
        afresh::clear(ledger.home())?;
        fault::point("diff.before-totals");
        ledger.insert_totals(&totals(run_id, &results))?;
        let place = out.as_ref().and_then(Out::elsewhere).unwrap_or_else(|| folder.display().to_string());
        let at = match out.as_ref().and_then(Out::elsewhere) {
            Some(uri) => PathBuf::from(uri),
            // Somebody may look for them from another folder.
            None => std::path::absolute(&folder).unwrap_or_else(|_| folder.clone()),
        };
        let allow_empty = args.allow_empty;
        let result = Done { results, warehouse, folder, place, summary, examples, allow_empty };
        Ok(Ended { code, folder: Some(at), result })
    })
}

/// Writes `report.html` from what the other reports say.
fn write_page(global: &Global, spec: &Spec, summary: &serde_json::Value, folder: &Path) -> Result<()> {
    let spec = SpecText { digest: spec.digest.clone(), text: spec.shown() };
    let about = About { command: global.command(), spec: Some(spec) };
    let page = of_diff::page(summary, &gather(folder)?, &about);
    html::write(&folder.join(html::NAME), &page, Some(folder))
}

pub(super) fn pretty(summary: &serde_json::Value) -> String {
    serde_json::to_string_pretty(summary).expect("counts are always JSON")
}

fn compare<'a>(
    global: &Global,
    bench: &Bench<'a>,
    ledger: &Ledger,
) -> Result<(Vec<EntityResult>, Vec<Sides<'a>>)> {
    let all = sides(global, bench, ledger)?;
    let mut results = Vec::new();
    for Sides { entity, source, target } in &all {
        results.push(diff_entity(bench, entity, source, target)?);
        event::add(&bench.progress.units_done, 1);
    }
    unchanged(ledger, &all)?;
    Ok((results, all))
}

/// What was read where it lies may have changed under our eyes.
pub(super) fn unchanged(ledger: &Ledger, all: &[Sides<'_>]) -> Result<()> {
    let mut datasets = all.iter().flat_map(|sides| [&sides.source.dataset, &sides.target.dataset]);
    datasets.try_for_each(|dataset| check_references(ledger, dataset))
}

/// The entities that are asked about, as they are read, with both sides.
pub(super) fn sides<'a>(global: &Global, bench: &Bench<'a>, ledger: &Ledger) -> Result<Vec<Sides<'a>>> {
    let Bench { spec, warehouse, progress, .. } = *bench;
    let mut all = Vec::new();
    let mut stale: BTreeMap<&str, Option<String>> = BTreeMap::new();
    event::add(&progress.units_total, global.entities(spec).len() as u64);
    for entity in global.entities(spec) {
        let mut side = |name: &str| {
            let dataset = spec.dataset(name).expect("the spec was checked");
            let mut staged = staged(ledger, warehouse, dataset)?;
            staged.make_view(warehouse)?;
            if !stale.contains_key(dataset.name.as_str()) {
                stale.insert(&dataset.name, warn_of_stale_inputs(global, ledger, dataset)?);
            }
            staged.warnings.extend(stale[dataset.name.as_str()].clone());
            Ok::<_, Error>(staged)
        };
        let (source, target) = (side(&entity.source)?, side(&entity.target)?);
        let (entity, source) = bench.fold(entity, source)?;
        all.push(Sides { entity, source, target });
    }
    Ok(all)
}

/// A dataset as it is staged; a Parquet file that is read where it lies must still be what it was.
pub(super) fn staged(ledger: &Ledger, warehouse: &Warehouse, dataset: &Dataset) -> Result<Staged> {
    let copied = definition(dataset, ledger.home(), true);
    let wanted = match ledger.latest_generation(&dataset.name)? {
        Some(generation) if generation.definition == copied => copied,
        _ => definition(dataset, ledger.home(), false),
    };
    let staged = Staged::load(ledger, warehouse, dataset, &wanted)?;
    check_references(ledger, dataset)?;
    Ok(staged)
}

/// Says on stderr what became of a dataset's files since they were staged, and returns it for the reports.
pub(super) fn warn_of_stale_inputs(
    global: &Global,
    ledger: &Ledger,
    dataset: &Dataset,
) -> Result<Option<String>> {
    let stale = stale_inputs(ledger, dataset)?;
    if let Some(words) = stale.as_ref().filter(|_| !global.quiet) {
        eprintln!("warning: dataset `{}`: {words}", dataset.name);
    }
    Ok(stale)
}

/// How values are written in reports.
///
/// # Errors
/// A field to be redacted that no entity has (exit 2).
pub(super) fn style(
    redact: &[String],
    spreadsheet_safe: bool,
    spec: &Spec,
    ledger: &Ledger,
) -> Result<Style> {
    for name in redact {
        let known =
            spec.entities.iter().flat_map(|e| e.fields.iter().flatten().map(|f| &f.name)).any(|f| f == name);
        let open = spec.entities.iter().any(|e| e.fields.is_none());
        if !known && !open {
            return Err(Error::usage(format!("--redact {name}: no entity has a field `{name}`"))
                .help("name a field as it stands in the spec"));
        }
    }
    Ok(Style {
        spreadsheet_safe,
        redact: redact.to_vec(),
        redact_key: ledger.hash_seed()?.to_le_bytes().to_vec(),
    })
}

/// Where the spec names no fields, whether one of them is to be redacted shows only now. A name that fits none would leave
/// the values of another in the reports.
fn check_redacted(args: &DiffArgs, results: &[EntityResult]) -> Result<()> {
    let known = |name: &String| results.iter().flat_map(|r| &r.fields).any(|f| f.name == *name);
    match args.redact.iter().find(|name| !known(name)) {
        Some(name) => {
            Err(Error::usage(format!("--redact {name}: no entity that is compared has such a field"))
                .help("name a field as it stands in the spec or in the data"))
        }
        None => Ok(()),
    }
}

/// Incomplete comes before different: what was not compared may differ too.
fn exit_code(results: &[EntityResult], allow_empty: bool) -> u8 {
    let incomplete =
        results.iter().any(EntityResult::is_incomplete) || !(allow_empty || empty(results).is_empty());
    let different = results.iter().any(|r| {
        let orphans: u64 = r.references.iter().map(ReferenceResult::orphans).sum();
        !r.counts.is_equal() || orphans > 0
    });
    match (incomplete, different) {
        (true, _) => 3,
        (false, true) => 1,
        (false, false) => 0,
    }
}

/// The entities of which neither side has a record.
fn empty(results: &[EntityResult]) -> Vec<&str> {
    let is_empty = |r: &&EntityResult| r.counts.source_rows + r.counts.target_rows == 0;
    results.iter().filter(is_empty).map(|r| r.name.as_str()).collect()
}

fn totals(run_id: &str, results: &[EntityResult]) -> Vec<Total> {
    let mut totals = Vec::new();
    for r in results {
        let c = &r.counts;
        for (state, source_records, target_records) in [
            ("VERIFIED", c.matched, c.matched),
            ("MISMATCHED", c.mismatched, c.mismatched),
            ("MISSING", c.missing, 0),
            ("EXTRA", 0, c.extra),
            ("DUPLICATE", c.duplicate_source, c.duplicate_target),
            ("UNCHECKED", c.unchecked, c.unchecked_target),
        ] {
            let (run_id, entity, state) = (run_id.to_owned(), r.name.clone(), state.to_owned());
            totals.push(Total { run_id, entity, state, source_records, target_records });
        }
    }
    totals
}
