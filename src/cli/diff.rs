//! `recon diff`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::progress::Bar;
use super::{Format, Global, in_run, print};
use crate::error::{Context, Error, Result};
use crate::event::Progress;
use crate::fault;
use crate::ledger::{Ledger, Total, now};
use crate::reconcile::diff::{Bench, EntityResult, diff_entity};
use crate::reconcile::report::csv::{Style, write_whole};
use crate::reconcile::report::summary::{RunFacts, summary};
use crate::reconcile::report::{self, terminal};
use crate::reconcile::side::Staged;
use crate::spec::{Dataset, Spec};
use crate::stage::run::{check_references, definition};
use crate::warehouse::Warehouse;

#[derive(Args, Debug)]
pub(super) struct DiffArgs {
    /// Folder for the reports [default: runs/<run-id> in the home]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Count it as success when there is nothing to compare
    #[arg(long)]
    allow_empty: bool,
    /// In every report, write a keyed digest in place of this field's values (may be given several times)
    #[arg(long, value_name = "FIELD")]
    redact: Vec<String>,
    /// Put a ' before values that a spreadsheet would run as a formula
    #[arg(long)]
    spreadsheet_safe: bool,
}

pub(super) fn run(global: &Global, args: &DiffArgs) -> Result<u8> {
    let spec = global.load_spec()?;
    let ledger = Ledger::open(&global.home(), "diff")?;
    let progress = Arc::new(Progress::default());
    in_run(&ledger, "diff", &spec.digest, &progress, |run_id| {
        let started_at = now();
        let warehouse = Warehouse::open(ledger.home(), global.threads(), global.engine_memory())?;
        let bar = Bar::start(global, "comparing", &progress);
        let results = compare(global, &spec, &ledger, &warehouse, &progress)?;
        let folder = args.out.clone().unwrap_or_else(|| ledger.home().join("runs").join(run_id));
        std::fs::create_dir_all(&folder).or_failed(|| format!("cannot write {}", folder.display()))?;
        let style = style(args, &spec, &ledger)?;
        let examples = report::write_csvs(&results, &warehouse, &folder, &style)?;
        drop(bar);
        let code = exit_code(&results, args.allow_empty);
        let facts = RunFacts {
            run_id,
            spec_digest: &spec.digest,
            started_at: &started_at,
            ended_at: &now(),
            exit_code: code,
        };
        let json = serde_json::to_string_pretty(&summary(&facts, &results)).expect("counts are always JSON");
        write_whole(&folder.join("summary.json"), &format!("{json}\n"))?;
        fault::point("diff.before-totals");
        ledger.insert_totals(&totals(run_id, &results))?;
        match global.format {
            Format::Json => print(&json)?,
            Format::Text => {
                print(&terminal::summary(&results, &examples, &folder.display().to_string(), code))?
            }
        };
        Ok((code, Some(folder)))
    })
}

fn compare(
    global: &Global,
    spec: &Spec,
    ledger: &Ledger,
    warehouse: &Warehouse,
    progress: &Progress,
) -> Result<Vec<EntityResult>> {
    let bench = Bench {
        spec,
        warehouse,
        home: ledger.home(),
        seed: ledger.hash_seed()?,
        threads: global.threads(),
        progress,
    };
    let mut results = Vec::new();
    for entity in global.entities(spec) {
        let side = |name: &str| {
            let dataset = spec.dataset(name).expect("the spec was checked");
            let staged = staged(ledger, warehouse, dataset)?;
            staged.make_view(warehouse)?;
            Ok::<_, Error>(staged)
        };
        results.push(diff_entity(&bench, entity, &side(&entity.source)?, &side(&entity.target)?)?);
    }
    // What was read where it lies may have changed under our eyes.
    for dataset in results.iter().flat_map(|r| r.sides.iter().map(|side| &side.dataset)) {
        check_references(ledger, dataset)?;
    }
    Ok(results)
}

/// A dataset as it is staged; a Parquet file that is read where it lies must still be what it was.
pub(super) fn staged(ledger: &Ledger, warehouse: &Warehouse, dataset: &Dataset) -> Result<Staged> {
    let copied = definition(dataset, true);
    let wanted = match ledger.latest_generation(&dataset.name)? {
        Some(generation) if generation.definition == copied => copied,
        _ => definition(dataset, false),
    };
    let staged = Staged::load(ledger, warehouse, dataset, &wanted)?;
    check_references(ledger, dataset)?;
    Ok(staged)
}

fn style(args: &DiffArgs, spec: &Spec, ledger: &Ledger) -> Result<Style> {
    for name in &args.redact {
        let known =
            spec.entities.iter().flat_map(|e| e.fields.iter().flatten().map(|f| &f.name)).any(|f| f == name);
        let open = spec.entities.iter().any(|e| e.fields.is_none());
        if !known && !open {
            return Err(Error::usage(format!("--redact {name}: no entity has a field `{name}`"))
                .help("name a field as it stands in the spec"));
        }
    }
    Ok(Style {
        spreadsheet_safe: args.spreadsheet_safe,
        redact: args.redact.clone(),
        redact_key: ledger.hash_seed()?.to_le_bytes().to_vec(),
    })
}

/// Incomplete comes before different: what was not compared may differ too.
fn exit_code(results: &[EntityResult], allow_empty: bool) -> u8 {
    let incomplete = results.iter().any(|r| {
        let c = &r.counts;
        c.unchecked + c.unchecked_target + r.unassigned > 0
            || r.fields.iter().any(|f| f.status == "not_compared")
            || (c.source_rows + c.target_rows == 0 && !allow_empty)
    });
    let different = results.iter().any(|r| {
        let c = &r.counts;
        c.mismatched + c.missing + c.extra + c.duplicate_source + c.duplicate_target > 0
    });
    match (incomplete, different) {
        (true, _) => 3,
        (false, true) => 1,
        (false, false) => 0,
    }
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
