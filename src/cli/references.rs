//! References in `recon diff`: on the source, on the target, and from one to the other; `orphans.csv`.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::diff::{DiffArgs, pretty, sides, staged, style, unchanged};
use super::out::Out;
use super::progress::Bar;
use super::watch::Watch;
use super::{Ended, Format, Global, in_run, print};
use crate::error::{Error, Result};
use crate::event::Progress;
use crate::ledger::{Ledger, now};
use crate::mapping::plan::{EntityPlan, Side};
use crate::mapping::side::Staged;
use crate::reconcile::diff::Bench;
use crate::reconcile::report::csv::{CsvFile, Style};
use crate::reconcile::report::references::{self, ReferenceResult};
use crate::reconcile::report::summary::SCHEMA_VERSION;
use crate::reconcile::report::terminal::plain;
use crate::reconcile::report::{self, key_columns};
use crate::spec::Entity;
use crate::validate::references::{ACROSS, find_left_behind, find_orphans, missing_in, referred};
use crate::validate::{Count, Kind, Looked, Member, Work, look, told};
use crate::warehouse::Warehouse;

/// An entity as it is read, and its sides.
pub(super) struct Sides<'a> {
    pub(super) entity: Cow<'a, Entity>,
    pub(super) source: Staged,
    pub(super) target: Staged,
}

/// What became of each entity's references, in the order of the entities.
pub(super) type Found = Vec<Vec<ReferenceResult>>;

/// Looks whether what the entities refer to is there, and writes `orphans.csv` where any of them refers to something.
///
/// # Errors
/// Fields that cannot be held against each other (exit 2); stores, engine or disk that fail (exit 4).
pub(super) fn check(
    bench: &Bench<'_>,
    ledger: &Ledger,
    asked: &[Sides<'_>],
    folder: &Path,
    style: &Style,
) -> Result<Found> {
    let path = folder.join("orphans.csv");
    if asked.iter().all(|sides| sides.entity.references.is_empty()) {
        // One of an earlier run would be taken for this one's.
        let _ = std::fs::remove_file(&path);
        return Ok(asked.iter().map(|_| Vec::new()).collect());
    }
    let keys = key_columns(&asked.iter().map(|sides| sides.entity.key.as_slice()).collect::<Vec<_>>());
    let header = std::iter::once("entity").chain(keys.iter().map(String::as_str));
    let header = header.chain(["field", "value", "missing_in"]);
    let mut file = CsvFile::create(&path, style, header)?;
    let own: Vec<&Entity> = asked.iter().map(|sides| &*sides.entity).collect();
    let others = others(bench, ledger, &own)?;
    let mut plans = Vec::new();
    for sides in asked.iter().chain(others.iter().filter_map(|(_, sides)| sides.as_ref().ok())) {
        let (spec, warehouse) = (bench.spec, bench.warehouse);
        plans.push(EntityPlan::new(spec, warehouse, &sides.entity, &sides.source, &sides.target, &[])?);
    }
    let mut plans = plans.iter();
    let mut members: Vec<Member<'_>> = Vec::new();
    for entity in &own {
        members.push(Member { entity, plan: plans.next().ok_or_else(String::new), is_asked: true });
    }
    for (entity, sides) in &others {
        let plan = match sides {
            Ok(_) => plans.next().ok_or_else(String::new),
            Err(why) => Err(why.clone()),
        };
        members.push(Member { entity, plan, is_asked: false });
    }
    let scratch = ledger.home().join("tmp").join("references");
    told::remove(&scratch)?;
    let work = Work {
        spec: bench.spec,
        warehouse: bench.warehouse,
        seed: bench.seed,
        threads: bench.threads,
        progress: bench.progress,
        counts_rows: false,
        folder: &scratch,
    };
    let [source, target] =
        [look(&work, &members, Side::Source, false)?, look(&work, &members, Side::Target, false)?];
    let mut unchecked = find_orphans(&work, &members, &source)?;
    unchecked.extend(find_orphans(&work, &members, &target)?);
    find_left_behind(&work, &members, &source, &target)?;
    let mut found = Vec::new();
    for (n, entity) in own.iter().enumerate() {
        let mut results: Vec<ReferenceResult> = Vec::new();
        for reference in &entity.references {
            let mut own = unchecked.iter().filter(|u| u.member == n && u.reference == reference.name);
            let reason = own.next().map(|u| u.reason.clone());
            results.push(nothing(reference, reason));
        }
        for looked in [&source[n], &target[n]].into_iter().flatten() {
            let counts = looked.counts(work.warehouse)?;
            counts.iter().for_each(|count| add(looked, count, &mut results));
            if !counts.is_empty() {
                write(&work, looked, (&mut file, keys.len()), style)?;
            }
        }
        found.push(results);
    }
    file.finish()?;
    told::remove(&scratch)?;
    Ok(found)
}

/// The entities that are only referred to; of those that are not staged, why they cannot be read.
fn others<'s>(
    bench: &Bench<'s>,
    ledger: &Ledger,
    asked: &[&Entity],
) -> Result<Vec<(&'s Entity, std::result::Result<Sides<'s>, String>)>> {
    let mut read = Vec::new();
    for entity in referred(bench.spec, asked) {
        let datasets =
            [&entity.source, &entity.target].map(|name| bench.spec.dataset(name).expect("checked"));
        let mut unstaged = None;
        for dataset in datasets {
            if !super::validate::is_staged(ledger, dataset)? {
                unstaged = Some(format!("dataset `{}` is not staged", dataset.name));
            }
        }
        let sides = match unstaged {
            Some(why) => Err(why),
            None => {
                let [source, target] = datasets.map(|dataset| staged(ledger, bench.warehouse, dataset));
                let (entity, source) = bench.fold(entity, source?)?;
                Ok(Sides { entity, source, target: target? })
            }
        };
        read.push((entity, sides));
    }
    Ok(read)
}

fn nothing(reference: &crate::spec::Reference, unchecked: Option<String>) -> ReferenceResult {
    let (name, fields) = (reference.name.clone(), reference.fields.clone());
    let (entity, to) = (reference.entity.clone(), reference.to.clone());
    ReferenceResult { name, fields, entity, to, source: 0, target: 0, across: 0, unchecked }
}

fn add(looked: &Looked<'_>, count: &Count, results: &mut [ReferenceResult]) {
    let subject = &looked.subjects[count.subject];
    let of = results.iter_mut().find(|r| subject.kind == Kind::Reference && r.name == subject.name);
    let Some(result) = of else { return };
    match (looked.side, count.code.as_str()) {
        (Side::Source, ACROSS) => result.across += count.errors,
        (Side::Source, _) => result.source += count.errors,
        (Side::Target, _) => result.target += count.errors,
    }
}

/// The orphans of one side of an entity, in the order of their keys.
fn write(
    work: &Work<'_>,
    looked: &Looked<'_>,
    (file, keys): (&mut CsvFile, usize),
    style: &Style,
) -> Result<()> {
    let show = |field: &str, text: Option<&str>| style.shown(field, text);
    looked.tell(work, &show, |told| {
        let key = told.key.iter().map(Option::as_deref).chain(std::iter::repeat(None)).take(keys);
        let missing_in = missing_in(looked.side, &told.code).word();
        let field = looked.subjects[told.subject].name.as_str();
        let mut cells = vec![Some(looked.plan.entity.name.as_str())];
        cells.extend(key);
        cells.extend([Some(field), told.value.as_deref(), Some(missing_in)]);
        file.row(cells)
    })
}

/// `recon diff --references`: nothing else is compared.
pub(super) fn run(global: &Global, args: &DiffArgs) -> Result<u8> {
    let spec = global.load_spec()?;
    if global.entities(&spec).iter().all(|entity| entity.references.is_empty()) {
        return Err(Error::usage("--references: none of the entities has references")
            .help("say what their fields refer to under [entities.NAME.references]"));
    }
    let out = args.out.as_deref().map(|out| Out::check(out, &spec)).transpose()?;
    let watch = Watch::open(&args.watch, &spec)?.without_units();
    let ledger = global.staged_ledger("diff")?;
    let style = style(&args.redact, args.spreadsheet_safe, &spec, &ledger)?;
    let progress = Arc::new(Progress::default());
    let ended = in_run(&ledger, "diff", &spec.digest, &watch, &progress, |run_id| {
        let started_at = now();
        let warehouse = Warehouse::open(ledger.home(), global.threads(), global.engine_memory())?;
        warehouse.stop_with(&progress)?;
        let folder = match &out {
            Some(Out::Folder(folder)) => folder.clone(),
            _ => ledger.home().join("runs").join(run_id),
        };
        report::begin(&folder)?;
        report::forget_summary(&folder)?;
        if let Some(out) = &out {
            out.begin()?;
        }
        let bar = Bar::start(global, "looking for orphans", &progress);
        let bench = Bench::new(&spec, &warehouse, &ledger, global.threads(), &progress)?;
        let sides = sides(global, &bench, &ledger)?;
        check_redacted(&args.redact, &sides)?;
        for staged in sides.iter().flat_map(|sides| [&sides.source, &sides.target]) {
            staged.verify(global.threads(), &progress)?;
        }
        let found = check(&bench, &ledger, &sides, &folder, &style)?;
        unchanged(&ledger, &sides)?;
        drop(bar);
        let empty = sides.iter().any(|s| s.source.rows() + s.target.rows() == 0) && !args.allow_empty;
        let code = exit_code(&found, empty);
        let entities: serde_json::Map<String, Json> = sides
            .iter()
            .zip(&found)
            .map(|(sides, found)| {
                (sides.entity.name.clone(), json!({ "references": references::json(found) }))
            })
            .collect();
        let summary = json!({
            "schema_version": SCHEMA_VERSION, "run_id": run_id, "spec_digest": spec.digest,
            "recon_version": env!("CARGO_PKG_VERSION"), "started_at": started_at, "ended_at": now(), "exit_code": code,
            "references_only": true, "entities": entities,
        });
        report::write_summary(&folder, &format!("{}\n", pretty(&summary)))?;
        if let Some(out) = &out {
            out.send(&folder)?;
        }
        let place = out.as_ref().and_then(Out::elsewhere).unwrap_or_else(|| folder.display().to_string());
        let text = text(&sides, &found, code, &place);
        Ok(Ended { code, folder: Some(PathBuf::from(place)), result: (text, summary) })
    })?;
    match global.format {
        Format::Json => print(&pretty(&ended.result.1))?,
        Format::Text => print(&ended.result.0)?,
    };
    Ok(ended.code)
}

/// A name that fits no field would leave the values of another in the reports.
fn check_redacted(redact: &[String], sides: &[Sides<'_>]) -> Result<()> {
    let known = |name: &&String| {
        sides.iter().any(|sides| {
            let entity = &sides.entity;
            let shown = entity.key.iter().chain(entity.references.iter().flat_map(|r| &r.fields));
            shown.chain(entity.fields.iter().flatten().map(|field| &field.name)).any(|field| field == *name)
        })
    };
    match redact.iter().find(|name| !known(name)) {
        Some(name) => Err(Error::usage(format!("--redact {name}: no key and no reference has such a field"))
            .help("name a field as it stands in the spec")),
        None => Ok(()),
    }
}

/// What could not be looked at comes before what was found.
fn exit_code(found: &Found, empty: bool) -> u8 {
    let mut all = found.iter().flatten();
    match all.any(|r| r.unchecked.is_some()) || empty {
        true => 3,
        false => u8::from(found.iter().flatten().any(|r| r.orphans() > 0)),
    }
}

fn text(sides: &[Sides<'_>], found: &Found, code: u8, place: &str) -> String {
    let mut out = String::new();
    for (sides, found) in sides.iter().zip(found) {
        let n = found.len();
        out.push_str(&format!(
            "{}: {n} reference{}\n",
            plain(&sides.entity.name),
            if n == 1 { "" } else { "s" }
        ));
        references::text(&sides.entity.name, found, &mut out);
    }
    let verdict = match code {
        0 => "everything that is referred to is there",
        1 => "records refer to what is not there",
        _ => "incomplete: not everything could be looked at",
    };
    out.push_str(&format!("\n{verdict}; reports in {place}\n"));
    out
}
