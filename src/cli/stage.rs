//! `recon stage`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::progress::Bar;
use super::watch::{Watch, WatchArgs};
use super::{Ended, Format, Global, in_run, parse_count, print};
use crate::error::{Context, Result};
use crate::event::Progress;
use crate::ledger::Ledger;
use crate::reconcile::report::csv::Style;
use crate::reconcile::report::stage_failures;
use crate::reconcile::report::summary::proven;
use crate::reconcile::report::terminal::{in_words, plain, thousands};
use crate::spec::{Dataset, DatasetKind, Spec};
use crate::stage::run::{Options, Outcome, failure_files, stage};
use crate::warehouse::Warehouse;

#[derive(Args, Debug, Default)]
pub(super) struct StageArgs {
    /// Only this side [default: both]
    #[arg(value_enum)]
    side: Option<WhichSide>,
    /// Stop once more rows than this do not parse
    #[arg(long, value_name = "N", value_parser = parse_count, allow_negative_numbers = true)]
    max_errors: Option<u64>,
    /// Copy local Parquet files into the stage instead of reading them where they lie
    #[arg(long)]
    copy: bool,
    /// Where both sides of an entity are tables of one kind of SQL store, compare ranges of keys in the stores and stage only
    /// those that differ; where that cannot be done exactly, stage everything and say why
    #[arg(long, conflicts_with = "side")]
    changed_only: bool,
    /// Most read capacity units a second of each DynamoDB table; goes before `max_rcu` in the spec
    #[arg(long, value_name = "N", value_parser = parse_rate, allow_negative_numbers = true)]
    max_rcu: Option<u32>,
    #[command(flatten)]
    watch: WatchArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum WhichSide {
    Source,
    Target,
}

/// A whole number from 1 on.
fn parse_rate(text: &str) -> Result<u32, String> {
    let wanted = || format!("`{text}` is no rate; write a whole number from 1 to {}", u32::MAX);
    text.parse().ok().filter(|n| *n > 0).ok_or_else(wanted)
}

/// What a staging gives to show.
pub(super) struct Done {
    run_id: String,
    outcomes: Vec<Outcome>,
    failed: Option<PathBuf>,
}

pub(super) fn run(global: &Global, args: &StageArgs) -> Result<u8> {
    let ended = execute(global, args)?;
    show(global, &ended.result)?;
    Ok(ended.code)
}

/// Stages without showing anything but progress.
pub(super) fn execute(global: &Global, args: &StageArgs) -> Result<Ended<Done>> {
    let mut spec = global.load_spec()?;
    if let Some(most) = args.max_rcu {
        set_rate(&mut spec, most);
    }
    let watch = Watch::open(&args.watch, &spec)?;
    let ledger = global.ledger("stage")?;
    let progress = Arc::new(Progress::default());
    in_run(&ledger, "stage", &spec.digest, &watch, &progress, |run_id| {
        let datasets = wanted(global, &spec, args.side);
        if args.max_rcu.is_some() && !global.quiet && !datasets.iter().any(|d| is_dynamodb(d)) {
            eprintln!("warning: --max-rcu changes nothing: no DynamoDB table is staged");
        }
        let errors_max = args.max_errors;
        let changed_only = args.changed_only.then(|| (&spec, global.entities(&spec)));
        let options =
            Options { threads: global.threads(), copy: args.copy, errors_max, rows_max: None, changed_only };
        let bar = Bar::start(global, "staging", &progress);
        let staged = stage(&datasets, &ledger, run_id, &options, &progress);
        drop(bar);
        let folder = ledger.home().join("runs").join(run_id);
        // Also where the staging failed: the rows that did not parse until then say why.
        let failed = write_failures(global, &ledger, &datasets, &folder);
        let (outcomes, failed) = (staged?, failed?);
        let code = if outcomes.iter().any(|o| o.failures > 0) { 3 } else { 0 };
        let folder = failed.as_ref().map(|_| folder);
        Ok(Ended { code, folder, result: Done { run_id: run_id.to_owned(), outcomes, failed } })
    })
}

/// Keeps every DynamoDB table to this rate.
fn set_rate(spec: &mut Spec, most: u32) {
    for dataset in &mut spec.datasets {
        if let DatasetKind::Dynamodb(options) = &mut dataset.kind {
            options.rcu_max = Some(most);
        }
    }
}

fn is_dynamodb(dataset: &Dataset) -> bool {
    matches!(dataset.kind, DatasetKind::Dynamodb(_))
}

/// The datasets of the wanted sides, each once, in the order of the spec.
fn wanted<'a>(global: &Global, spec: &'a Spec, side: Option<WhichSide>) -> Vec<&'a Dataset> {
    let used = |dataset: &Dataset| {
        global.entities(spec).iter().any(|e| {
            (side != Some(WhichSide::Target) && e.source == dataset.name)
                || (side != Some(WhichSide::Source) && e.target == dataset.name)
        })
    };
    spec.datasets.iter().filter(|d| used(d)).collect()
}

fn write_failures(
    global: &Global,
    ledger: &Ledger,
    datasets: &[&Dataset],
    folder: &Path,
) -> Result<Option<PathBuf>> {
    let files = failure_files(datasets, ledger)?;
    if files.is_empty() {
        return Ok(None);
    }
    std::fs::create_dir_all(folder).or_failed(|| format!("cannot write {}", folder.display()))?;
    let warehouse = Warehouse::in_memory(global.threads(), global.engine_memory())?;
    warehouse.spill_to(ledger.home())?;
    let path = folder.join("failures.csv");
    let files: Vec<(String, PathBuf)> = files.into_iter().map(|f| (f.unit, f.path)).collect();
    stage_failures(&files, &warehouse, &path, &Style::default())?;
    Ok(Some(path))
}

pub(super) fn show(global: &Global, done: &Done) -> Result<()> {
    let Done { run_id, outcomes, failed } = done;
    if global.format == Format::Json {
        let datasets: serde_json::Map<_, _> = outcomes
            .iter()
            .map(|o| {
                let facts = json!({
                    "units": o.units, "units_read": o.units_read, "rows": o.rows, "failures": o.failures,
                    "kept": o.kept, "warnings": o.warnings,
                    "proven": o.proof.as_ref().map(proven),
                });
                (o.dataset.clone(), facts)
            })
            .collect();
        let text = serde_json::to_string_pretty(&json!({ "run_id": run_id, "datasets": datasets }));
        return print(&text.expect("facts are always JSON")).map(|_| ());
    }
    for o in outcomes {
        for warning in o.warnings.iter().filter(|_| !global.quiet) {
            eprintln!("warning: dataset `{}`: {}", o.dataset, plain(warning));
        }
        let kept = match (o.kept, o.units_read) {
            (true, _) => ", unchanged since it was staged".to_owned(),
            (false, n) if n < o.units => format!(", {n} of them read now"),
            _ => String::new(),
        };
        let failed =
            if o.failures > 0 { format!(", {} did not parse", thousands(o.failures)) } else { String::new() };
        let rows = if o.rows == 1 { "row" } else { "rows" };
        let units = if o.units == 1 { "1 unit".to_owned() } else { format!("{} units", o.units) };
        print(&format!("{}: {} {rows} from {units}{kept}{failed}", o.dataset, thousands(o.rows)))?;
        if let Some(proof) = &o.proof {
            print(&format!("{}: {} more rows are {}", o.dataset, thousands(proof.rows()), in_words(proof)))?;
        }
    }
    match failed {
        Some(path) if global.quiet => print(&format!("rows that did not parse: {}", path.display())),
        None if global.quiet => Ok(0),
        Some(path) => print(&format!(
            "rows that did not parse: {}\nnext: mend them and stage again, or go on: {} diff",
            path.display(),
            global.command()
        )),
        None => print(&format!("next: {} diff", global.command())),
    }
    .map(|_| ())
}
