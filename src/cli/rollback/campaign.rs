//! `rollback plan` and `rollback apply`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::chosen::{Chosen, folder_of, undos};
use super::report::{self, Facts, Told};
use super::{Choice, done};
use crate::cli::pacing::Pacing;
use crate::cli::progress::Bar;
use crate::cli::watch::{Watch, WatchArgs};
use crate::cli::{Ended, Global, during, in_run, migrate};
use crate::error::{Context, Error, Result};
use crate::event::Progress;
use crate::fault;
use crate::ledger::Ledger;
use crate::ledger::manifest::{FORMAT, Head, Writer, read_head};
use crate::ledger::rollback::Rollback;
use crate::migrate::undo::{OnConflict, StandIns, Undo};
use crate::rollback::plan::{Group, Part, Plan, Undos};
use crate::rollback::preview::{Preview, preview};
use crate::rollback::run::{Job, Options, Side, restored_before};
use crate::spec::Spec;
use crate::warehouse::Warehouse;

/// What both commands have in common.
pub(super) struct Campaign<'a> {
    pub(super) global: &'a Global,
    pub(super) choice: Choice,
}

/// What a rollback works with.
struct Field<'a> {
    spec: &'a Spec,
    ledger: &'a Ledger,
    progress: &'a Arc<Progress>,
    folder: &'a Path,
}

/// What a rollback sets out to do.
struct Ready<'a> {
    plan: Plan,
    undos: BTreeMap<String, Box<dyn Undo + 'a>>,
    facts: Facts,
}

impl Campaign<'_> {
    /// Says what a rollback would do.
    pub(super) fn plan(&self) -> Result<u8> {
        let global = self.global;
        let spec = global.load_spec()?;
        let watch = Watch::open(&WatchArgs::default(), &spec)?.without_units();
        let ledger = global.staged_ledger("rollback-plan")?;
        let chosen = self.choice.chosen(global, &spec, &ledger)?;
        let progress = Arc::new(Progress::default());
        let ended = in_run(&ledger, "rollback-plan", &spec.digest, &watch, &progress, |run_id| {
            let folder = folder(&ledger, run_id)?;
            let field = Field { spec: &spec, ledger: &ledger, progress: &progress, folder: &folder };
            let ready = self.ready(&field, &chosen)?;
            let bar = Bar::start(global, "looking", &progress);
            let previews = self.look(&field, &ready)?;
            drop(bar);
            let told = report::Looked {
                run_id: run_id.to_owned(),
                folder: folder.clone(),
                previews,
                facts: ready.facts,
            };
            report::write_looked(&told)?;
            Ok(Ended { code: told.exit_code(), folder: Some(told.folder.clone()), result: told })
        })?;
        report::show_looked(global, &ended.result, false)?;
        Ok(ended.code)
    }

    /// Rolls back: goes on with a rollback that was interrupted, or begins one.
    pub(super) fn apply(&self, pacing: &Pacing, new_run: bool) -> Result<u8> {
        let global = self.global;
        let spec = global.load_spec()?;
        let watch = Watch::open(&pacing.watch, &spec)?;
        let ledger = global.staged_ledger("rollback")?;
        let unfinished = self.unfinished(&ledger, new_run)?;
        let progress = Arc::new(Progress::default());
        let (run_id, resumed) = match &unfinished {
            Some((run_id, choice)) => {
                ledger.resume_run(run_id)?;
                if !global.quiet {
                    eprintln!("going on with rollback {run_id}");
                }
                (run_id.clone(), Some(choice.clone()))
            }
            None => {
                // What cannot be done at all is no run.
                self.choice.chosen(global, &spec, &ledger)?;
                (ledger.begin_run("rollback", &spec.digest)?, None)
            }
        };
        let campaign = Campaign { global, choice: resumed.clone().unwrap_or_else(|| self.choice.clone()) };
        let ended = during(&ledger, (&run_id, "rollback"), &watch, &progress, |run_id| {
            let folder = folder(&ledger, run_id)?;
            let field = Field { spec: &spec, ledger: &ledger, progress: &progress, folder: &folder };
            campaign.drive(&field, run_id, resumed.is_some(), pacing)
        })?;
        match &ended.result {
            Outcome::Done(told) => report::show(global, told)?,
            Outcome::Refused(looked) => report::show_looked(global, looked, true)?,
        }
        Ok(ended.code)
    }

    /// The unfinished rollback that this command goes on with.
    fn unfinished(&self, ledger: &Ledger, new_run: bool) -> Result<Option<(String, Choice)>> {
        let rollbacks = ledger.rollbacks()?;
        for planning in rollbacks.iter().filter(|r| r.state == "planning") {
            // It has changed nothing yet.
            ledger.end_rollback(&planning.run_id, "abandoned")?;
        }
        let Some(open) = rollbacks.iter().find(|r| r.state == "running") else { return Ok(None) };
        if new_run {
            let folder = ledger.home().join("runs").join(&open.run_id);
            self.amend(ledger, &open.run_id, &Plan::open(&folder)?, &folder)?;
            ledger.end_rollback(&open.run_id, "abandoned")?;
            return Ok(None);
        }
        let choice: Choice = serde_json::from_str(&open.options)
            .or_failed(|| "the ledger's options of a rollback are damaged".to_owned())?;
        let same_run = |run: &Option<String>| {
            run.as_ref().is_none_or(|run| run == "last" || choice.run.as_ref() == Some(run))
        };
        let on_conflict = self.choice.on_conflict.or(choice.on_conflict);
        let asked = Choice { run: choice.run.clone(), on_conflict, ..self.choice.clone() };
        let same_policy = self.choice.on_conflict.is_none_or(|policy| policy == choice.policy());
        if (self.choice.is_plain() && same_policy) || (asked == choice && same_run(&self.choice.run)) {
            return Ok(Some((open.run_id.clone(), choice)));
        }
        let command = self.global.command();
        Err(Error::usage(format!("rollback {} is unfinished, and it is of something else", open.run_id)).help(format!(
            "`{command} rollback apply` goes on with it; with --new-run what it took back stays so, and this one begins"
        )))
    }

    /// The plan, and its targets.
    fn ready<'s>(&self, field: &Field<'s>, chosen: &Chosen) -> Result<Ready<'s>> {
        let mut undos: Undos<'s> = undos(field.spec);
        let mut request = self.choice.request(self.global, field.spec)?;
        let mut plan = Plan::make(&chosen.parts, &mut undos, &mut request)?;
        plan.not_found = request.keys.iter().flatten().flat_map(|(_, wanted)| wanted.not_found()).collect();
        plan.left_out.clone_from(&chosen.left_out);
        let facts = Facts {
            runs: run_ids(&plan),
            left_out: plan.left_out.clone(),
            not_found: plan.not_found.clone(),
            key_fields: request.key_fields,
        };
        Ok(Ready { plan, undos: undos.all, facts })
    }

    /// Looks what a plan would do, and writes it down row by row.
    fn look(&self, field: &Field<'_>, ready: &Ready<'_>) -> Result<BTreeMap<String, Preview>> {
        let mut file = report::PlanFile::create(field.folder, &ready.plan, &ready.facts)?;
        let stand_ins = |group: &Group, undo: &dyn Undo| {
            let mut all = StandIns::new();
            restored_before(field.ledger, "", group, undo, &mut all)?;
            Ok(all)
        };
        let previews =
            preview(&ready.plan, &ready.undos, stand_ins, field.progress, |undo, group, change, step| {
                file.row(group, change, undo, step)
            })?;
        file.finish()?;
        Ok(previews)
    }

    fn drive(
        &self,
        field: &Field<'_>,
        run_id: &str,
        resumed: bool,
        pacing: &Pacing,
    ) -> Result<Ended<Outcome>> {
        let ledger = field.ledger;
        let ready = match resumed {
            true => self.opened(field)?,
            false => {
                let chosen = self.choice.chosen(self.global, field.spec, ledger)?;
                let ready = self.ready(field, &chosen)?;
                if self.choice.policy() == OnConflict::Abort {
                    let previews = self.look(field, &ready)?;
                    if previews.values().any(|preview| preview.conflicts > 0) {
                        let (run_id, folder) = (run_id.to_owned(), field.folder.to_path_buf());
                        let looked = report::Looked { run_id, folder, previews, facts: ready.facts };
                        report::write_looked(&looked)?;
                        let folder = Some(field.folder.to_path_buf());
                        return Ok(Ended { code: 1, folder, result: Outcome::Refused(looked) });
                    }
                }
                self.begin(field, run_id, &chosen.parts, &ready)?;
                ready
            }
        };
        let Ready { plan, undos, facts } = ready;
        let began = Instant::now();
        let sides = self.open_sides(field, run_id, undos)?;
        let options =
            Options { concurrency: pacing.concurrency(), retries: pacing.retries(), pace: pacing.pace() };
        for (entity, side) in &sides {
            let most = side.undo.concurrency();
            if options.concurrency.is_some_and(|asked| asked > most) {
                tracing::warn!(
                    "entity `{entity}` is rolled back {most} at a time: its rows must keep their order"
                );
            }
        }
        let bar = Bar::of_writing(self.global, "rolled back", field.progress, pacing.log_every);
        let job =
            Job { ledger, run_id, plan: &plan, sides: &sides, options: &options, progress: field.progress };
        let worked = job.run();
        drop(bar);
        let mut told = Told::gather(ledger, run_id, field.folder, began.elapsed(), facts)?;
        if worked.is_ok() {
            self.end(field, run_id, &plan, sides)?;
        } else {
            told.interrupted = true;
        }
        report::write(&told, ledger)?;
        worked?;
        fault::point("rollback.before-end");
        ledger.end_rollback(run_id, "done")?;
        Ok(Ended {
            code: told.exit_code(),
            folder: Some(field.folder.to_path_buf()),
            result: Outcome::Done(told),
        })
    }

    /// The plan of a rollback that goes on, and its targets.
    fn opened<'s>(&self, field: &Field<'s>) -> Result<Ready<'s>> {
        let plan = Plan::open(field.folder)?;
        let mut undos: Undos<'s> = undos(field.spec);
        let all = super::chosen::all_parts(field.ledger)?;
        for group in &plan.groups {
            let part = all.iter().find(|part| part.run_id == group.run_id && part.entity == group.entity);
            if let (Some(part), Some(batch)) = (part, group.batches.first()) {
                undos.of(part, &batch.frame.key)?;
            }
        }
        let key_fields =
            field.spec.entities.iter().map(|entity| (entity.name.clone(), entity.key.clone())).collect();
        let facts = Facts {
            runs: run_ids(&plan),
            left_out: plan.left_out.clone(),
            not_found: plan.not_found.clone(),
            key_fields,
        };
        Ok(Ready { plan, undos: undos.all, facts })
    }

    /// Says in the ledger what is set out for; a run that is rolled back does not go on.
    fn begin(&self, field: &Field<'_>, run_id: &str, parts: &[Part], ready: &Ready<'_>) -> Result<()> {
        let (ledger, plan) = (field.ledger, &ready.plan);
        let options = serde_json::to_string(&self.choice).expect("options are always JSON");
        let mut entities: Vec<&str> = Vec::new();
        for group in &plan.groups {
            if !entities.contains(&group.entity.as_str()) {
                entities.push(&group.entity);
            }
        }
        let rollbacks: Vec<Rollback> = entities
            .iter()
            .map(|entity| Rollback {
                run_id: run_id.to_owned(),
                entity: (*entity).to_owned(),
                target: ready
                    .undos
                    .get(*entity)
                    .map(|undo| undo.fingerprint().to_owned())
                    .unwrap_or_default(),
                options: options.clone(),
                undo_of: parts
                    .iter()
                    .filter(|part| part.entity == *entity)
                    .map(|part| part.run_id.clone())
                    .collect(),
                is_whole: self.choice.is_whole()
                    && !plan.groups.iter().any(|group| group.entity == **entity && group.back_by.is_some()),
                ..Rollback::default()
            })
            .collect();
        ledger.begin_rollbacks(&rollbacks)?;
        plan.write(field.folder)?;
        let rolled: Vec<&String> = plan.groups.iter().map(|group| &group.run_id).collect();
        let mut open = ledger.migrations()?;
        open.retain(|m| (m.state == "planning" || m.state == "running") && rolled.contains(&&m.run_id));
        migrate::abandon(ledger, &open)?;
        // The markers go with the rollback's end.
        for s in &plan.settled {
            ledger.settle_batch((&s.run_id, &s.entity), s.batch, &s.made, s.is_rollback)?;
        }
        ledger.plan_rollback(run_id, &plan.changes().into_iter().collect::<Vec<_>>())
    }

    /// Opens the manifests of the rollback itself.
    fn open_sides<'u>(
        &self,
        field: &Field<'_>,
        run_id: &str,
        undos: BTreeMap<String, Box<dyn Undo + 'u>>,
    ) -> Result<BTreeMap<String, Side<'u>>> {
        let plan_version = |plan: &Plan, entity: &str| {
            plan.groups
                .iter()
                .find(|group| group.entity == entity)
                .and_then(|group| group.guard.version.clone())
        };
        let plan = Plan::open(field.folder)?;
        let mut sides = BTreeMap::new();
        for (entity, undo) in undos {
            let folder = folder_of(field.ledger.home(), run_id, &entity).join("manifest");
            let manifest = match folder.join("manifest.json").exists() {
                true => {
                    if read_head(&folder)?.columns != undo.columns() {
                        return Err(Error::usage(format!(
                            "the columns of {} changed since the rollback began",
                            undo.fingerprint()
                        ))
                        .help("with --new-run what it took back stays so, and another one begins"));
                    }
                    Writer::reopen(&folder, last_made(field.ledger, run_id, &entity)?)?
                }
                false => Writer::create(
                    &folder,
                    Head {
                        format: FORMAT,
                        run_id: run_id.to_owned(),
                        spec_digest: field.spec.digest.clone(),
                        entity: entity.clone(),
                        target: undo.fingerprint().to_owned(),
                        columns: undo.columns().to_vec(),
                        version: plan_version(&plan, &entity),
                        undo_of: plan.groups.iter().find(|g| g.entity == entity).map(|g| g.run_id.clone()),
                        complete: false,
                        segments: Vec::new(),
                    },
                )?,
            };
            sides.insert(entity, Side { undo, manifest: Mutex::new(manifest) });
        }
        Ok(sides)
    }

    /// Closes the manifests, removes the markers, and makes pending what is rolled back.
    fn end(
        &self,
        field: &Field<'_>,
        run_id: &str,
        plan: &Plan,
        sides: BTreeMap<String, Side<'_>>,
    ) -> Result<()> {
        for (entity, side) in sides {
            side.manifest.into_inner().expect("no worker panicked").finish()?;
            // The ledger has every batch by now, so nobody will ask for its marker.
            side.undo.forget(run_id, &entity)?;
            for run in run_ids(plan) {
                side.undo.forget(&run, &entity)?;
            }
        }
        self.amend(field.ledger, run_id, plan, field.folder)
    }

    /// Makes pending what is rolled back.
    fn amend(&self, ledger: &Ledger, run_id: &str, plan: &Plan, folder: &Path) -> Result<()> {
        let warehouse = Warehouse::in_memory(self.global.threads(), self.global.engine_memory())?;
        warehouse.spill_to(ledger.home())?;
        done::amend(ledger, &warehouse, run_id, plan, folder)
    }
}

/// The number of the last change that the ledger knows a rollback to have made.
fn last_made(ledger: &Ledger, run_id: &str, entity: &str) -> Result<u64> {
    let begun = ledger.undo_batches(run_id)?;
    let own = begun.iter().filter(|row| row.entity == entity).flat_map(|row| &row.made);
    Ok(own.map(|(_, to)| *to).max().unwrap_or(0))
}

/// What became of `apply`.
enum Outcome {
    Done(Told),
    /// Nothing was done, since rows are in conflict.
    Refused(report::Looked),
}

fn run_ids(plan: &Plan) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for group in &plan.groups {
        if !all.contains(&group.run_id) {
            all.push(group.run_id.clone());
        }
    }
    all
}

fn folder(ledger: &Ledger, run_id: &str) -> Result<std::path::PathBuf> {
    let folder = ledger.home().join("runs").join(run_id);
    fs::create_dir_all(&folder).or_failed(|| format!("cannot write {}", folder.display()))?;
    Ok(folder)
}
