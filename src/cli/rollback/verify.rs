//! `recon rollback verify`: the manifests' chains, and whether the target is as it was.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use serde_json::json;

use super::chosen::{all_parts, undos};
use crate::cli::progress::Bar;
use crate::cli::watch::{Watch, WatchArgs};
use crate::cli::{Ended, Format, Global, in_run, print};
use crate::error::{Context, Error, Result};
use crate::event::Progress;
use crate::ledger::Ledger;
use crate::ledger::manifest;
use crate::ledger::rollback::Rollback;
use crate::migrate::undo::Undo;
use crate::reconcile::report::csv::{CsvFile, Style, write_whole};
use crate::reconcile::report::key_columns;
use crate::reconcile::report::terminal::{plain, thousands};
use crate::rollback::keys::texts;
use crate::rollback::plan::{Part, Plan};
use crate::rollback::preview::{Difference, compare};
use crate::spec::Spec;

/// A manifest that was read to its end.
struct Whole {
    run_id: String,
    entity: String,
    changes: u64,
    segments: u64,
    torn_bytes: u64,
}

/// What the comparison found.
struct Compared {
    run_id: String,
    rollback: String,
    rows: BTreeMap<String, u64>,
    differing: u64,
}

pub(super) fn run(global: &Global, run: Option<&str>) -> Result<u8> {
    let spec = global.load_spec()?;
    let watch = Watch::open(&WatchArgs::default(), &spec)?.without_units();
    let ledger = global.staged_ledger("rollback-verify")?;
    let parts = all_parts(&ledger)?;
    let is_asked = |entity: &str| global.entity.is_empty() || global.entity.iter().any(|e| e == entity);
    let parts: Vec<Part> = parts.into_iter().filter(|part| is_asked(&part.entity)).collect();
    let rollback = run.map(|run| rollbacks_of(global, &ledger, &parts, run)).transpose()?;
    let progress = Arc::new(Progress::default());
    let ended = in_run(&ledger, "rollback-verify", &spec.digest, &watch, &progress, |run_id| {
        let folder = ledger.home().join("runs").join(run_id);
        fs::create_dir_all(&folder).or_failed(|| format!("cannot write {}", folder.display()))?;
        let bar = Bar::start(global, "verifying", &progress);
        let mut wholes = Vec::new();
        for part in
            parts.iter().filter(|part| rollback.as_ref().is_none_or(|(runs, _)| runs.contains(&part.run_id)))
        {
            progress.check()?;
            let read = manifest::read(&part.folder, |_| Ok(()))?;
            part.check(&manifest::frames(&part.folder)?.1)?;
            wholes.push(Whole {
                run_id: part.run_id.clone(),
                entity: part.entity.clone(),
                changes: read.changes,
                segments: read.segments,
                torn_bytes: read.torn_bytes,
            });
        }
        let rolled = rollback.as_ref().map(|(_, all)| all).filter(|all| !all.is_empty());
        let compared =
            rolled.map(|all| held(&spec, &ledger, &progress, (run_id, all), &parts)).transpose()?;
        drop(bar);
        // Asked whether it is as it was, nobody may take silence for a yes.
        let code = match &compared {
            Some(compared) => u8::from(compared.differing > 0),
            None if rollback.is_some() => 3,
            None => 0,
        };
        let text = json(&wholes, compared.as_ref(), code);
        write_whole(&folder.join("summary.json"), &format!("{text}\n"))?;
        Ok(Ended { code, folder: Some(folder), result: (wholes, compared, text) })
    })?;
    let (wholes, compared, text) = &ended.result;
    match global.format {
        Format::Json => print(text)?,
        Format::Text => {
            print(&words(wholes, (rollback.is_some(), compared.as_ref()), ended.folder.as_deref()))?
        }
    };
    Ok(ended.code)
}

/// The runs whose manifests are checked, and the rollbacks with whose plans the target is compared: of a migration those that took all of
/// it back, every entity that was asked for; none where there are none.
fn rollbacks_of(
    global: &Global,
    ledger: &Ledger,
    parts: &[Part],
    run: &str,
) -> Result<(Vec<String>, Vec<String>)> {
    let rollbacks = ledger.rollbacks()?;
    let is_asked = |entity: &str| global.entity.is_empty() || global.entity.iter().any(|e| e == entity);
    let own = rollbacks.iter().rev().find(|r| is_asked(&r.entity) && (run == "last" || r.run_id == run));
    if let Some(own) = own {
        if own.state == "running" {
            let what = format!("rollback {} is unfinished", own.run_id);
            return Err(Error::usage(what).help(format!(
                "`{} rollback apply` goes on with it; then it can be verified",
                global.command()
            )));
        }
        let mut runs: Vec<String> =
            rollbacks.iter().filter(|r| r.run_id == own.run_id).flat_map(|r| r.undo_of.clone()).collect();
        runs.push(own.run_id.clone());
        return Ok((runs, vec![own.run_id.clone()]));
    }
    let of_run: Vec<&Part> = parts.iter().filter(|part| part.run_id == run).collect();
    if of_run.is_empty() {
        return Err(Error::usage(format!("no run `{run}` has a manifest or was rolled back"))
            .help(format!("`{} rollback list` lists those that have", global.command())));
    }
    let mut runs = vec![run.to_owned()];
    let took_back = |part: &&Part| {
        let is_of = |r: &&Rollback| {
            r.entity == part.entity
                && r.is_whole
                && r.state == "done"
                && r.undo_of.iter().any(|one| one == run)
        };
        rollbacks.iter().rev().find(is_of).map(|r| r.run_id.clone())
    };
    let mut all: Vec<String> = of_run.iter().filter_map(took_back).collect();
    if all.len() < of_run.len() {
        return Ok((runs, Vec::new()));
    }
    // The newest first, as a plan has it.
    all.sort_by(|a, b| b.cmp(a));
    all.dedup();
    runs.extend(all.iter().cloned());
    Ok((runs, all))
}

/// Compares the target with what it was before the changes that a rollback took back.
fn held(
    spec: &Spec,
    ledger: &Ledger,
    progress: &Progress,
    (run_id, rollbacks): (&str, &[String]),
    parts: &[Part],
) -> Result<Compared> {
    let mut plan = Plan::default();
    for rollback in rollbacks {
        plan.groups.extend(Plan::open(&ledger.home().join("runs").join(rollback))?.groups);
    }
    plan.groups.retain(|group| parts.iter().any(|part| part.entity == group.entity));
    let mut undos = undos(spec);
    for group in &plan.groups {
        let part = parts.iter().find(|part| part.run_id == group.run_id && part.entity == group.entity);
        if let (Some(part), Some(batch)) = (part, group.batches.first()) {
            undos.of(part, &batch.frame.key)?;
        }
    }
    let fields: BTreeMap<&str, &[String]> =
        spec.entities.iter().map(|entity| (entity.name.as_str(), entity.key.as_slice())).collect();
    let mut names: Vec<&str> = plan.groups.iter().map(|group| group.entity.as_str()).collect();
    names.dedup();
    let keys = key_columns(&names.iter().filter_map(|name| fields.get(name).copied()).collect::<Vec<_>>());
    let header = std::iter::once("entity")
        .chain(keys.iter().map(String::as_str))
        .chain(["kind", "field", "old", "now"]);
    let path = ledger.home().join("runs").join(run_id).join("differences.csv");
    let mut file = CsvFile::create(&path, &Style::default(), header)?;
    let mut differing = 0;
    let rows = compare(&plan, &undos.all, progress, |undo, difference| {
        differing += 1;
        let names = fields.get(difference.entity.as_str()).copied().unwrap_or_default();
        let mut cells = vec![Some(difference.entity.clone())];
        cells.extend(
            texts(undo, &difference.key, names).into_iter().chain(std::iter::repeat(None)).take(keys.len()),
        );
        difference_rows(&mut file, &cells, undo, &difference)
    })?;
    file.finish()?;
    let run_id = plan.groups.first().map(|group| group.run_id.clone()).unwrap_or_default();
    Ok(Compared { run_id, rollback: rollbacks.join(", "), rows, differing })
}

fn difference_rows(
    file: &mut CsvFile,
    cells: &[Option<String>],
    undo: &dyn Undo,
    difference: &Difference,
) -> Result<()> {
    let kind = match (&difference.old, &difference.now) {
        (Some(_), Some(_)) => "differs",
        (Some(_), None) => "missing",
        (None, _) => "extra",
    };
    let fields: Vec<Option<&String>> = match difference.columns.is_empty() {
        true => vec![None],
        false => difference.columns.iter().map(Some).collect(),
    };
    for field in fields {
        let of = |row: &Option<manifest::Image>| undo.text(row.as_ref()?.get(field?)?);
        let more = [Some(kind.to_owned()), field.cloned(), of(&difference.old), of(&difference.now)];
        file.row(cells.iter().chain(&more).map(Option::as_deref))?;
    }
    Ok(())
}

fn json(wholes: &[Whole], compared: Option<&Compared>, code: u8) -> String {
    let manifests: Vec<_> = wholes
        .iter()
        .map(|w| {
            json!({
                "run_id": w.run_id, "entity": w.entity, "changes": w.changes, "segments": w.segments,
                "torn_bytes": w.torn_bytes,
            })
        })
        .collect();
    let compared = compared.map(|c| {
        json!({ "run_id": c.run_id, "rollback": c.rollback, "compared": c.rows, "differing": c.differing })
    });
    let all = json!({ "schema_version": 1, "exit_code": code, "manifests": manifests, "target": compared });
    serde_json::to_string_pretty(&all).expect("facts are always JSON")
}

fn words(
    wholes: &[Whole],
    (is_asked, compared): (bool, Option<&Compared>),
    folder: Option<&std::path::Path>,
) -> String {
    let mut out = String::new();
    for w in wholes {
        let torn = match w.torn_bytes {
            0 => String::new(),
            n => format!(", and {n} bytes of a torn end that the target never saw"),
        };
        let (changes, segments) = (thousands(w.changes), thousands(w.segments));
        let entity = plain(&w.entity);
        out.push_str(&format!(
            "{} {entity}: whole, {changes} changes in {segments} segments{torn}\n",
            w.run_id
        ));
    }
    if wholes.is_empty() {
        out.push_str("no run has a manifest\n");
    }
    if compared.is_none() && is_asked {
        out.push_str("it is not rolled back as a whole, so the target was not compared: --run takes the id of a rollback, too\n");
    }
    if let Some(c) = compared {
        for (entity, rows) in &c.rows {
            out.push_str(&format!(
                "{}: {} rows compared with their old images\n",
                plain(entity),
                thousands(*rows)
            ));
        }
        out.push_str(&match c.differing {
            0 => "these rows are as they were before\n".to_owned(),
            n => format!(
                "{} rows are not as they were: {}\n",
                thousands(n),
                folder.map(|folder| folder.join("differences.csv").display().to_string()).unwrap_or_default()
            ),
        });
    }
    out
}
