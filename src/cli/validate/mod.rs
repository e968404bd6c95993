//! `recon validate`.

mod report;
mod sides;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use self::report::{Checked, Facts};
pub(super) use self::sides::is_staged;
use self::sides::{Sides, dataset, sides};
use super::diff::{pretty, style, warn_of_stale_inputs};
use super::out::Out;
use super::progress::Bar;
use super::watch::{Watch, WatchArgs};
use super::{Ended, Format, Global, in_run, print};
use crate::error::Result;
use crate::event::{self, Progress};
use crate::ledger::{Ledger, now};
use crate::mapping::fold::{Folding, Make};
use crate::mapping::plan::{EntityPlan, Side};
use crate::migrate::run::ErrorsMax;
use crate::reconcile::report as files;
use crate::spec::{Entity, Spec};
use crate::stage::run::check_references;
use crate::validate::references::{find_orphans, referred};
use crate::validate::{Looked, Member, Work, look, told};
use crate::warehouse::Warehouse;

#[derive(Args, Debug)]
pub(super) struct ValidateArgs {
    /// Look at the staged target instead
    #[arg(long)]
    target: bool,
    /// Folder or s3:// uri for the reports [default: runs/<run-id> in the home]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Count it as success when there is nothing to look at
    #[arg(long)]
    allow_empty: bool,
    /// End with 4 where more records than this are invalid: a number, or a share of all, as in 5%
    #[arg(long, value_name = "N|P%", value_parser = super::migrate::parse_errors_max)]
    max_errors: Option<ErrorsMax>,
    /// In every report, write a keyed digest in place of this field's values (may be given several times)
    #[arg(long, value_name = "FIELD")]
    redact: Vec<String>,
    /// Put a ' before values that a spreadsheet would run as a formula
    #[arg(long)]
    spreadsheet_safe: bool,
    #[command(flatten)]
    watch: WatchArgs,
}

/// What a validation gives to show.
struct Done {
    text: String,
    summary: serde_json::Value,
}

pub(super) fn run(global: &Global, args: &ValidateArgs) -> Result<u8> {
    let ended = execute(global, args)?;
    match global.format {
        Format::Json => print(&pretty(&ended.result.summary))?,
        Format::Text => print(&ended.result.text)?,
    };
    Ok(ended.code)
}

fn execute(global: &Global, args: &ValidateArgs) -> Result<Ended<Done>> {
    let spec = global.load_spec()?;
    let out = args.out.as_deref().map(|out| Out::check(out, &spec)).transpose()?;
    let watch = Watch::open(&args.watch, &spec)?.without_units();
    let ledger = global.staged_ledger("validate")?;
    let style = style(&args.redact, args.spreadsheet_safe, &spec, &ledger)?;
    let progress = Arc::new(Progress::default());
    in_run(&ledger, "validate", &spec.digest, &watch, &progress, |run_id| {
        let started_at = now();
        let warehouse = Warehouse::open(ledger.home(), global.threads(), global.engine_memory())?;
        warehouse.stop_with(&progress)?;
        let folder = match &out {
            Some(Out::Folder(folder)) => folder.clone(),
            _ => ledger.home().join("runs").join(run_id),
        };
        files::begin(&folder)?;
        files::forget_summary(&folder)?;
        if let Some(out) = &out {
            out.begin()?;
        }
        let bar = Bar::start(global, "validating", &progress);
        let scratch = ledger.home().join("tmp").join("validate");
        told::remove(&scratch)?;
        let work = Work {
            spec: &spec,
            warehouse: &warehouse,
            seed: ledger.hash_seed()?,
            threads: global.threads(),
            progress: &progress,
            counts_rows: true,
            folder: &scratch,
        };
        let side = if args.target { Side::Target } else { Side::Source };
        let checked = check(global, &work, &ledger, side, |checked, looked| {
            report::write_failures(&work, checked, looked, &folder, &style)
        })?;
        told::remove(&scratch)?;
        drop(bar);
        let elsewhere = out.as_ref().and_then(Out::elsewhere);
        let place = elsewhere.clone().unwrap_or_else(|| folder.display().to_string());
        let over = checked.iter().any(|c| c.is_over(args.max_errors));
        let code = exit_code(&checked, args.allow_empty, over);
        let ended_at = now();
        let facts = Facts {
            run_id,
            spec_digest: &spec.digest,
            started_at: &started_at,
            ended_at: &ended_at,
            exit_code: code,
            side,
            place: &place,
            max_errors_passed: over,
            allow_empty: args.allow_empty,
        };
        let summary = report::summary(&facts, &checked, &style);
        files::write_summary(&folder, &format!("{}\n", pretty(&summary)))?;
        if let Some(out) = &out {
            out.send(&folder)?;
        }
        let text = report::text(global, &facts, &checked);
        let at = match elsewhere {
            Some(uri) => PathBuf::from(uri),
            None => std::path::absolute(&folder).unwrap_or_else(|_| folder.clone()),
        };
        Ok(Ended { code, folder: Some(at), result: Done { text, summary } })
    })
}

/// Looks at every entity that is asked about; `report` writes what was found.
fn check(
    global: &Global,
    work: &Work<'_>,
    ledger: &Ledger,
    side: Side,
    report: impl FnOnce(&[Checked], &[&Looked<'_>]) -> Result<()>,
) -> Result<Vec<Checked>> {
    let spec = work.spec;
    let asked = global.entities(spec);
    let others = referred(spec, &asked);
    event::add(&work.progress.units_total, asked.len() as u64);
    let mut read: Vec<(&Entity, std::result::Result<Sides<'_>, String>)> = Vec::new();
    for (entity, is_asked) in asked.iter().map(|e| (*e, true)).chain(others.iter().map(|e| (*e, false))) {
        let of = dataset(spec, entity, side);
        if !is_asked && !is_staged(ledger, of)? {
            read.push((entity, Err(format!("dataset `{}` is not staged", of.name))));
            continue;
        }
        let mut sides = sides(&folding(global, work, ledger), ledger, entity, side)?;
        let stale = warn_of_stale_inputs(global, ledger, of)?;
        let staged = if side == Side::Source { &mut sides.source } else { &mut sides.target };
        staged.warnings.extend(stale);
        staged.verify(work.threads, work.progress)?;
        read.push((entity, Ok(sides)));
    }
    let plans = plans(work, spec, &read)?;
    let members: Vec<Member<'_>> = read
        .iter()
        .zip(&plans)
        .enumerate()
        .map(|(n, ((entity, sides), plan))| Member {
            entity,
            plan: plan.as_ref().ok_or_else(|| sides.as_ref().err().cloned().unwrap_or_default()),
            is_asked: n < asked.len(),
        })
        .collect();
    let looked = look(work, &members, side, true)?;
    let unchecked = find_orphans(work, &members, &looked)?;
    let mut checked = Vec::new();
    let mut found: Vec<&Looked<'_>> = Vec::new();
    for (n, looked) in looked.iter().enumerate().take(asked.len()) {
        let looked = looked.as_ref().expect("what is asked about was read");
        checked.push(Checked::of(work, looked, unchecked.iter().filter(|u| u.member == n))?);
        found.push(looked);
        event::add(&work.progress.units_done, 1);
    }
    report(&checked, &found)?;
    // What was read where it lies may have changed under our eyes.
    for (_, sides) in &read {
        if let Ok(sides) = sides {
            check_references(ledger, &sides.staged(side).dataset)?;
        }
    }
    Ok(checked)
}

fn plans<'a>(
    work: &Work<'a>,
    spec: &'a Spec,
    read: &'a [(&Entity, std::result::Result<Sides<'_>, String>)],
) -> Result<Vec<Option<EntityPlan<'a>>>> {
    let plan = |(_, sides): &'a (&Entity, std::result::Result<Sides<'_>, String>)| {
        let Ok(sides) = sides else { return Ok(None) };
        EntityPlan::new(spec, work.warehouse, &sides.entity, &sides.source, &sides.target, &[]).map(Some)
    };
    read.iter().map(plan).collect()
}

fn folding<'a>(global: &Global, work: &Work<'a>, ledger: &'a Ledger) -> Folding<'a> {
    let Work { spec, warehouse, seed, progress, .. } = *work;
    Folding {
        spec,
        warehouse,
        home: ledger.home(),
        seed,
        threads: global.threads(),
        progress,
        make: Make::AtHome,
    }
}

/// Too many errors come before what is incomplete, and that before what is invalid.
fn exit_code(checked: &[Checked], allow_empty: bool, over: bool) -> u8 {
    let incomplete = checked.iter().any(|c| c.is_incomplete() || (c.rows == 0 && !allow_empty));
    match (over, incomplete, checked.iter().any(|c| c.invalid > 0)) {
        (true, _, _) => 4,
        (false, true, _) => 3,
        (false, false, invalid) => u8::from(invalid),
    }
}
