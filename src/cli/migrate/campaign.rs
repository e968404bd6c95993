//! A run that writes, entity by entity: what it sets out to do, going on with what was interrupted, and its end.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use sha2::{Digest, Sha256};

use super::earlier::{
    abandon, check_abandonable, check_failed, check_merged, done_files, folder_of, keep_positions, make_anew,
    merges, open_elsewhere, open_migrations, remove_left_plans, settle,
};
use super::report::{self, Known, Told};
use super::unfinished::{Standing, check_rolled_back, unfinished};
use super::wanted::Wanted;
use super::{Choice, How, Task};
use crate::cli::diff::staged;
use crate::cli::progress::Bar;
use crate::cli::watch::Watch;
use crate::cli::{Ended, Global, during};
use crate::error::{Context, Error, Result};
use crate::event::{self, Progress};
use crate::fault;
use crate::ledger::manifest::{FORMAT, Head, Writer, read_head};
use crate::ledger::migration::Migration;
use crate::ledger::{Ledger, now};
use crate::mapping::fold::{Folding, Make};
use crate::mapping::plan::Side;
use crate::mapping::side::Staged;
use crate::migrate::batch::Stamp;
use crate::migrate::keys::Keys;
use crate::migrate::mapped::{Mapped, Prepared, Shape};
use crate::migrate::plan::{NotFound, Plan, Planning, Selection};
use crate::migrate::run::Job;
use crate::migrate::{self as target, Settled, Target};
use crate::spec::{Dataset, DatasetKind, Entity, OnConflict, Spec};
use crate::stage;
use crate::stage::document::Names;
use crate::validate::{self, Work};
use crate::warehouse::Warehouse;

/// What the commands have in common.
pub(super) struct Campaign<'a> {
    pub(super) global: &'a Global,
    pub(super) how: &'a How,
    pub(super) task: Task,
    pub(super) choice: Choice,
}

/// What a run works with.
pub(super) struct Field<'a> {
    pub(super) spec: &'a Spec,
    pub(super) ledger: &'a Ledger,
    pub(super) warehouse: &'a Warehouse,
    pub(super) progress: &'a Progress,
    /// Where rows are folded that were not folded in the home.
    pub(super) make: Make<'a>,
}

/// An entity's sides before anything is planned.
pub(super) struct Sides<'a> {
    pub(super) entity: &'a Entity,
    /// The entity as it is read from the source, whose rows are folded where the spec says so.
    read: Cow<'a, Entity>,
    pub(super) source: Staged,
    pub(super) target: &'a Dataset,
    shape: Shape,
}

impl Campaign<'_> {
    /// Writes what is to be written: goes on with a run that was interrupted, or begins one.
    pub(super) fn run(&self, new_run: bool) -> Result<u8> {
        let (global, kind) = (self.global, self.task.word());
        let spec = global.load_spec()?;
        let watch = Watch::open(&self.how.pacing.watch, &spec)?;
        let ledger = global.staged_ledger(kind)?;
        let progress = Arc::new(Progress::default());
        check_rolled_back(global, &ledger)?;
        let open = open_migrations(&ledger)?;
        let resumed = match self.standing(&spec, &ledger, &open, new_run)? {
            Standing::Goes { run_id, choice } => Some((run_id, *choice)),
            Standing::Over => {
                check_abandonable(&spec, &ledger, &open)?;
                abandon(&ledger, &open)?;
                None
            }
        };
        remove_left_plans(&ledger)?;
        let (run_id, choice) = match &resumed {
            Some((run_id, choice)) => (run_id.clone(), choice.clone()),
            None => (ledger.begin_run(kind, &spec.digest)?, self.choice.clone()),
        };
        if resumed.is_some() {
            ledger.resume_run(&run_id)?;
            if !global.quiet {
                eprintln!("going on with run {run_id}");
            }
        }
        let campaign = Campaign { global, how: self.how, task: self.task, choice };
        let ended = during(&ledger, (&run_id, kind), &watch, &progress, |run_id| {
            campaign.drive(&spec, &ledger, &progress, run_id, (resumed.is_some(), &open))
        })?;
        report::show(global, &ended.result, ended.code)?;
        Ok(ended.code)
    }

    /// The run itself.
    fn drive(
        &self,
        spec: &Spec,
        ledger: &Ledger,
        progress: &Arc<Progress>,
        run_id: &str,
        (resumed, open): (bool, &[Migration]),
    ) -> Result<Ended<Told>> {
        let warehouse = Warehouse::open(ledger.home(), self.global.threads(), self.global.engine_memory())?;
        warehouse.stop_with(progress)?;
        let field = Field { spec, ledger, warehouse: &warehouse, progress, make: Make::AtHome };
        let folder = ledger.home().join("runs").join(run_id);
        fs::create_dir_all(&folder).or_failed(|| format!("cannot write {}", folder.display()))?;
        let wanted = Wanted::gather(&self.choice, self.global, &field)?;
        let entities = self.entities(&field, run_id, (resumed, open), &wanted)?;
        let bar = Bar::of_writing(self.global, self.task.word(), progress, self.how.pacing.log_every);
        let began = Instant::now();
        let mut known: Vec<Known> = entities.iter().map(|entity| Known::of(entity)).collect();
        let mut worked = Ok(());
        for (entity, known) in entities.iter().zip(&mut known) {
            let sides = self.sides(&field, entity)?;
            known.folded = sides.source.folded.as_ref().map(|folded| folded.rows);
            known.unparsed = sides.source.failures.iter().map(|f| f.rows).sum();
            match self.write(&field, &sides, run_id, wanted.of_replay()) {
                Ok(not_found) => known.not_found = not_found,
                Err(error) => {
                    worked = Err(error);
                    break;
                }
            }
        }
        drop(bar);
        // Also where it was stopped: what did not go through until then says why.
        let took = began.elapsed();
        let mut told = Told::gather(self.task, ledger, run_id, &folder, known, took, self.choice.no_undo)?;
        let asked: Vec<&str> = self.global.entities(spec).iter().map(|e| e.name.as_str()).collect();
        told.open_elsewhere = open_elsewhere(ledger, run_id, &asked)?;
        report::write(&told, ledger, &folder)?;
        worked?;
        Ok(Ended { code: told.exit_code(), folder: Some(folder), result: told })
    }

    /// The entities of the run, those that others refer to first. A new run says in the ledger what it sets out to do.
    fn entities<'s>(
        &self,
        field: &Field<'s>,
        run_id: &str,
        (resumed, open): (bool, &[Migration]),
        wanted: &Wanted,
    ) -> Result<Vec<&'s Entity>> {
        if resumed {
            let all = field.ledger.migrations_of(run_id)?;
            let own = all.iter().filter(|m| m.state != "abandoned");
            return Ok(own.filter_map(|m| field.spec.entity(&m.entity)).collect());
        }
        let mut entities = referred_first(self.global.entities(field.spec));
        if matches!(self.task, Task::Replay) {
            entities.retain(|entity| wanted.names(&entity.name));
        }
        let options = serde_json::to_string(&self.choice).expect("options are always JSON");
        let (mut migrations, mut alone) = (Vec::new(), BTreeMap::new());
        for entity in &entities {
            let sides = self.sides(field, entity)?;
            let prepared = self.prepared(field, &sides, self.choice.filter.as_deref())?;
            let mapped = prepared.plan(field.spec, field.warehouse)?;
            let target = target::open(sides.target, &mapped).map_err(|e| e.of(&of_entity(entity)))?;
            self.settled(field, entity, target.as_ref(), None)?;
            let mapping = digest(field.spec, entity);
            self.fit(field, &sides, target.as_ref(), &mut alone)?;
            // Of a run that is left as it is, only a rollback asks for markers: for those of batches that the ledger does not know to be written.
            for left in open.iter().filter(|m| m.entity == entity.name && m.target == target.fingerprint()) {
                if field.ledger.batches(&left.run_id, &left.entity)?.iter().all(|batch| batch.applied) {
                    target.forget(&left.run_id, &left.entity)?;
                }
            }
            migrations.push(Migration {
                run_id: run_id.to_owned(),
                entity: entity.name.clone(),
                kind: self.task.word().to_owned(),
                generation: sides.source.generation,
                mapping,
                target: target.fingerprint().to_owned(),
                options: options.clone(),
                ..Migration::default()
            });
        }
        field.ledger.begin_migrations(&migrations)?;
        Ok(entities)
    }

    /// Whether an entity's records may go to its target. `alone` are the places that take the records of one entity, with that entity.
    pub(super) fn fit(
        &self,
        field: &Field<'_>,
        sides: &Sides<'_>,
        target: &dyn Target,
        alone: &mut BTreeMap<String, String>,
    ) -> Result<()> {
        let entity = sides.entity;
        if !self.choice.merge_again && matches!(self.task, Task::Migrate) {
            let now = (sides.source.generation, digest(field.spec, entity));
            check_merged(field.ledger, entity, target.fingerprint(), (now.0, &now.1))?;
        }
        let Some(place) = target.alone_in() else { return Ok(()) };
        match alone.insert(place.to_owned(), entity.name.clone()) {
            None => Ok(()),
            Some(other) => Err(Error::usage(format!(
                "entities `{other}` and `{}` both go to {place}, where files have the columns of one entity",
                entity.name
            ))
            .help("give one of them a dataset with a folder of its own")),
        }
    }

    pub(super) fn sides<'s>(&self, field: &Field<'s>, entity: &'s Entity) -> Result<Sides<'s>> {
        let dataset = |name: &str| field.spec.dataset(name).expect("the spec was checked");
        let source = staged(field.ledger, field.warehouse, dataset(&entity.source))?;
        if source.proof.is_some() {
            return Err(Error::failed(format!(
                "dataset `{}` was staged with --changed-only, so not all of its rows are here",
                entity.source
            ))
            .help(format!("run `{} stage source` first", self.global.command())));
        }
        let (read, source) = fold(field, self.global.threads(), entity, source)?;
        let target = dataset(&entity.target);
        let shape = shape(target).map_err(|e| e.of(&of_entity(entity)))?;
        Ok(Sides { entity, read, source, target, shape })
    }

    /// What the target has of earlier runs, where that matters.
    pub(super) fn settled(
        &self,
        field: &Field<'_>,
        entity: &Entity,
        target: &dyn Target,
        own: Option<&str>,
    ) -> Result<Settled> {
        let is_replay = matches!(self.task, Task::Replay);
        let settled = settle((field.spec, field.ledger), target, own, is_replay, digest);
        settled.map_err(|e| e.of(&of_entity(entity)))
    }

    pub(super) fn prepared(
        &self,
        field: &Field<'_>,
        sides: &Sides<'_>,
        more: Option<&str>,
    ) -> Result<Prepared> {
        let (source, shape) = (sides.source.clone(), sides.shape.clone());
        Prepared::new(field.spec, &sides.read, source, sides.target, shape, more)
    }

    /// Writes one entity, from where it stands, and says what was asked for and is not there.
    fn write(
        &self,
        field: &Field<'_>,
        sides: &Sides<'_>,
        run_id: &str,
        wanted: Option<&Wanted>,
    ) -> Result<NotFound> {
        let (ledger, entity) = (field.ledger, sides.entity.name.as_str());
        let state = own(ledger, run_id, entity)?;
        let folder = folder_of(ledger.home(), run_id, entity);
        if state.state == "done" {
            return Ok(NotFound::default());
        }
        let prepared = self.prepared(field, sides, self.choice.filter.as_deref())?;
        let mapped = prepared.plan(field.spec, field.warehouse)?;
        let target = target::open(sides.target, &mapped).map_err(|e| e.of(&of_entity(sides.entity)))?;
        if target.fingerprint() != state.target || digest(field.spec, sides.entity) != state.mapping {
            let why = format!("entity `{entity}` then went to {}, by the mapping of then", state.target);
            return Err(unfinished(self.global, run_id, &why, self.task.word()));
        }
        let settled = self.settled(field, sides.entity, target.as_ref(), Some(run_id))?;
        target.clear(&settled.left)?;
        let plan = match state.state.as_str() {
            "planning" => {
                let path = folder.join("plan");
                make_anew(&path)?;
                let done = done_files(ledger, &state, &settled)?;
                let (plan, gone) =
                    self.plan(field, sides, &mapped, target.as_ref(), (&path, done), wanted)?;
                fault::point("migrate.before-planned");
                ledger.resolve_gone((run_id, entity), &gone)?;
                ledger.plan_migration((run_id, entity), (plan.records, plan.batches(), plan.left_over))?;
                plan
            }
            _ => {
                let plan = Plan::open(&folder.join("plan"))?;
                event::add(&field.progress.rows_planned, plan.records);
                plan
            }
        };
        plan.verify()?;
        let manifest = self.manifest(&folder.join("manifest"), field, &state, (&mapped, target.as_ref()))?;
        let manifest = manifest.map(Mutex::new);
        let options = self.how.options(target.defaults().concurrency);
        let stamp = Stamp { run_id: run_id.to_owned(), at_ns: began_at(ledger, run_id)? };
        let job = Job {
            ledger,
            run_id,
            mapped: &mapped,
            plan: &plan,
            target: target.as_ref(),
            manifest: manifest.as_ref(),
            stamp: &stamp,
            options: &options,
            progress: field.progress,
        };
        target.begin()?;
        job.run().map_err(|e| e.of(&of_entity(sides.entity)))?;
        if let Some(manifest) = manifest {
            manifest.into_inner().expect("no worker panicked").finish()?;
        }
        target.finish(stamp.at_ns)?;
        // The ledger has every batch by now, so nobody will ask for its marker.
        target.forget(run_id, entity)?;
        keep_positions(&plan, None, &folder)?;
        // Of an earlier staging nothing is left to be tried, once all of a later one was.
        if matches!(self.task, Task::Migrate) && self.choice.filter.is_none() && plan.left_over == 0 {
            ledger.resolve_older((run_id, entity), state.generation)?;
        }
        write_failures(field, run_id)?;
        fault::point("migrate.before-done");
        ledger.end_migration(run_id, entity, "done")?;
        fault::point("migrate.done");
        let not_found = plan.not_found.clone();
        plan.remove().map(|()| not_found)
    }

    /// Plans one entity into an empty folder. Also returned: the keys of records that failed earlier and are in the source no longer.
    pub(super) fn plan(
        &self,
        field: &Field<'_>,
        sides: &Sides<'_>,
        mapped: &Mapped<'_>,
        target: &dyn Target,
        (path, done): (&Path, Vec<PathBuf>),
        wanted: Option<&Wanted>,
    ) -> Result<(Plan, Vec<u128>)> {
        let seed = field.ledger.hash_seed()?;
        let keys_folder = path.join("keys");
        make_anew(&keys_folder)?;
        let gather = |of: &Mapped<'_>| {
            let threads = self.global.threads();
            Keys::gather(of, field.warehouse, seed, threads, &keys_folder, field.progress)
        };
        let keys = match &self.choice.filter {
            None => gather(mapped)?,
            // A key that occurs twice does so also where just one of its records is asked for.
            Some(_) => gather(&self.prepared(field, sides, None)?.plan(field.spec, field.warehouse)?)?,
        };
        let mut gone = Vec::new();
        let mut selection = match wanted {
            None => Selection {
                done,
                limit: self.choice.limit,
                id_max: self.choice.max_id.clone(),
                ..Selection::default()
            },
            Some(wanted) => {
                let name = sides.entity.name.as_str();
                let once = target.is_written_once() || (merges(sides.entity) && !self.choice.merge_again);
                let asked = wanted.keys(name, mapped, seed, once);
                let unread = wanted.positions(name, sides.source.generation);
                if once {
                    check_failed(
                        field.ledger,
                        target,
                        (name, sides.source.generation),
                        &asked.hashes,
                        &unread,
                    )?;
                }
                let found = keys.positions(&asked.hashes, field.warehouse, &keys_folder)?;
                let (mut positions, found): (HashSet<i64>, HashSet<u128>) = found.into_iter().unzip();
                positions.extend(unread);
                gone = asked.gone(&found);
                let not_found = asked.not_found(&found);
                Selection { positions: Some(positions), not_found, ..Selection::default() }
            }
        };
        selection.invalid = self.invalid(field, sides, &keys_folder)?;
        let planning = Planning {
            warehouse: field.warehouse,
            folder: path,
            seed,
            batch_records: self.how.batch_size.unwrap_or(target.defaults().batch_records),
            progress: field.progress,
        };
        let plan = planning.write(mapped, &keys, &selection)?;
        fs::remove_dir_all(&keys_folder).or_failed(|| format!("cannot remove {}", keys_folder.display()))?;
        Ok((plan, gone))
    }

    /// Which records break the spec's rules, in a file in a folder; `None` where there are no rules, or nobody is to heed them. They are
    /// held against all records of the entity, also where only some of them are written.
    fn invalid(&self, field: &Field<'_>, sides: &Sides<'_>, folder: &Path) -> Result<Option<PathBuf>> {
        if self.choice.write_invalid || !validate::has_rules(sides.entity) {
            return Ok(None);
        }
        let prepared = self.prepared(field, sides, None)?;
        let mapped = prepared.plan(field.spec, field.warehouse)?;
        let (scratch, file) = (folder.join("rules"), folder.join("invalid.parquet"));
        let work = Work {
            spec: field.spec,
            warehouse: field.warehouse,
            seed: field.ledger.hash_seed()?,
            threads: self.global.threads(),
            progress: field.progress,
            counts_rows: false,
            folder: &scratch,
        };
        validate::look_alone(&work, &mapped.plan, Side::Source)?.write_faults(field.warehouse, &file)?;
        Ok(Some(file))
    }

    fn manifest(
        &self,
        folder: &Path,
        field: &Field<'_>,
        state: &Migration,
        (mapped, target): (&Mapped<'_>, &dyn Target),
    ) -> Result<Option<Writer>> {
        if self.choice.no_undo {
            return Ok(None);
        }
        let head = Head {
            format: FORMAT,
            run_id: state.run_id.clone(),
            spec_digest: field.spec.digest.clone(),
            entity: state.entity.clone(),
            target: state.target.clone(),
            columns: target.image_columns().to_vec(),
            version: mapped.version.map(|at| mapped.columns[at].name.clone()),
            undo_of: None,
            complete: false,
            segments: Vec::new(),
        };
        if !folder.join("manifest.json").exists() {
            return Writer::create(folder, head).map(Some);
        }
        if read_head(folder)?.columns != head.columns {
            let why = format!("the columns of {} changed since it began", state.target);
            return Err(unfinished(self.global, &state.run_id, &why, self.task.word()));
        }
        let begun = field.ledger.batches(&state.run_id, &state.entity)?;
        let known = begun.iter().flat_map(|row| &row.made).map(|(_, to)| *to).max().unwrap_or(0);
        Writer::reopen(folder, known).map(Some)
    }
}

/// Writes `failures.csv` of all entities of a run.
fn write_failures(field: &Field<'_>, run_id: &str) -> Result<()> {
    let migrations = field.ledger.migrations_of(run_id)?;
    let entities = migrations.iter().filter_map(|m| field.spec.entity(&m.entity));
    let keys: Vec<&[String]> = entities.map(|entity| entity.key.as_slice()).collect();
    report::write_failures(field.ledger, run_id, &keys, &field.ledger.home().join("runs").join(run_id))
}

/// Folds the rows of an entity's source, where the spec says so. A record of which a row may be missing is not to be written.
fn fold<'e>(
    field: &Field<'_>,
    threads: usize,
    entity: &'e Entity,
    source: Staged,
) -> Result<(Cow<'e, Entity>, Staged)> {
    let unparsed: u64 = source.failures.iter().map(|failures| failures.rows).sum();
    if unparsed > 0 && !entity.group_by.is_empty() {
        return Err(Error::incomplete(format!(
            "entity `{}`: {unparsed} rows of dataset `{}` did not parse when they were staged, and any record that is folded from \
             several rows may lack one of them",
            entity.name, entity.source
        ))
        .help("mend them and stage the source again; the failures.csv of that run names them"));
    }
    let Field { spec, warehouse, progress, make, .. } = *field;
    let (home, seed) = (field.ledger.home(), field.ledger.hash_seed()?);
    Folding { spec, warehouse, home, seed, threads, progress, make }.fold(entity, source)
}

pub(super) fn of_entity(entity: &Entity) -> String {
    format!("entity `{}`", entity.name)
}

/// What the target can hold: for a table, what its store says.
fn shape(dataset: &Dataset) -> Result<Shape> {
    Ok(match &dataset.kind {
        DatasetKind::Postgres(_) | DatasetKind::Mysql(_) | DatasetKind::Sqlite { .. } => {
            let facts = stage::open(dataset, &Arc::new(Names::new(&dataset.name)), false)?.facts()?;
            let mut facts = facts.unwrap_or_default();
            if let DatasetKind::Sqlite { path, what } = &dataset.kind {
                target::sqlite::declare(path, what, &mut facts)?;
            }
            Shape::Table(facts)
        }
        DatasetKind::Dynamodb(_) | DatasetKind::DynamodbExport(_) => Shape::Documents { dynamodb: true },
        DatasetKind::Jsonl { .. } => Shape::Documents { dynamodb: false },
        DatasetKind::Csv(_) | DatasetKind::Parquet { .. } => Shape::Text,
    })
}

fn own(ledger: &Ledger, run_id: &str, entity: &str) -> Result<Migration> {
    let found = ledger.migrations_of(run_id)?.into_iter().find(|m| m.entity == entity);
    found.ok_or_else(|| Error::failed(format!("the ledger does not know entity `{entity}` of run {run_id}")))
}

/// When a run began, in nanoseconds since 1970: the same for those who go on with it.
fn began_at(ledger: &Ledger, run_id: &str) -> Result<i128> {
    let runs = ledger.runs(u32::MAX)?;
    let started = runs.iter().find(|run| run.run_id == run_id).map_or_else(now, |run| run.started_at.clone());
    let at: jiff::Timestamp =
        started.parse().or_failed(|| "the ledger's time of a run is damaged".to_owned())?;
    Ok(at.as_nanosecond())
}

/// Digest of what decides what of an entity is written.
pub(super) fn digest(spec: &Spec, entity: &Entity) -> String {
    let mut digest = Sha256::new();
    let mut add = |text: &str| {
        digest.update((text.len() as u64).to_le_bytes());
        digest.update(text.as_bytes());
    };
    add(&entity.source);
    add(&entity.target);
    add(&format!("{:?}", spec.dataset(&entity.source).map(|dataset| &dataset.timezone)));
    add(entity.source_filter.as_ref().map_or("", |sql| &sql.text));
    add(&format!("{:?}", entity.key));
    add(&format!("{:?}", entity.writing));
    let folds: Vec<&str> = entity.group_by.iter().map(|sql| sql.text.as_str()).collect();
    add(&format!("{folds:?}"));
    for field in entity.fields.iter().flatten() {
        add(&field.name);
        add(&field.from.text);
        add(&field.to.text);
        let on_conflict = match &field.on_conflict {
            OnConflict::Sql(sql) => sql.text.clone(),
            word => format!("{word:?}"),
        };
        add(&on_conflict);
        let rule = &field.rule;
        add(&format!("{:?} {} {} {} {:?}", field.ty, rule.ignore, rule.json, rule.set, rule.precision));
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The entities in an order in which what others refer to comes before them, else as the spec has them.
pub(super) fn referred_first(entities: Vec<&Entity>) -> Vec<&Entity> {
    let mut left = entities;
    let mut ordered: Vec<&Entity> = Vec::new();
    while !left.is_empty() {
        let waits = |entity: &&Entity, left: &[&Entity]| {
            entity
                .references
                .iter()
                .any(|r| r.entity != entity.name && left.iter().any(|other| other.name == r.entity))
        };
        // Where they refer to each other in a circle, the spec's order decides.
        let next = left.iter().position(|entity| !waits(entity, &left)).unwrap_or(0);
        ordered.push(left.remove(next));
    }
    ordered
}
