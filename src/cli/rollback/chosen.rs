//! Which runs and records a rollback is of.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::Choice;
use crate::cli::{Global, keys};
use crate::error::{Context, Error, Result};
use crate::ledger::rollback::Rollback;
use crate::ledger::{Ledger, RunRow};
use crate::migrate::undo::{self, OnConflict, Undo};
use crate::rollback::keys::Wanted;
use crate::rollback::plan::{Part, Request, Undos, is_rolled_back, parts};
use crate::spec::Spec;

/// What a rollback is of.
pub(super) struct Chosen {
    /// The runs' parts, the newest first.
    pub(super) parts: Vec<Part>,
    /// Runs that are left as they are although something of them may be meant, with the reason.
    pub(super) left_out: Vec<String>,
}

impl Choice {
    /// Whether nothing in particular was asked for.
    pub(super) fn is_plain(&self) -> bool {
        let plain = Self { on_conflict: self.on_conflict, ..Self::default() };
        *self == plain
    }

    /// What is done about a row that somebody has changed since.
    pub(super) fn policy(&self) -> OnConflict {
        self.on_conflict.unwrap_or_default()
    }

    /// Whether all that the runs changed is to go back.
    pub(super) fn is_whole(&self) -> bool {
        self.ids.is_none() && self.from.is_none() && self.to_version.is_none()
    }

    /// Finds the runs.
    ///
    /// # Errors
    /// Nothing that was asked for; a run that there is not, that has written nothing, or that kept no old images (exit 2).
    pub(super) fn chosen(&self, global: &Global, spec: &Spec, ledger: &Ledger) -> Result<Chosen> {
        if self.is_plain() {
            return Err(Error::usage("nothing says what is to be rolled back").help(format!(
                "`{} rollback list` shows the runs; then --run RUN, --run last, --since TIME, --ids KEYS or --from CSV",
                global.command()
            )));
        }
        let rollbacks = ledger.rollbacks()?;
        let names: Vec<&str> = global.entities(spec).iter().map(|entity| entity.name.as_str()).collect();
        let mut all = all_parts(ledger)?;
        all.retain(|part| global.entity.is_empty() || names.contains(&part.entity.as_str()));
        if let Some(run) = &self.run {
            let run_id = self.named(global, ledger, run, &rollbacks)?;
            all.retain(|part| part.run_id == run_id);
            if all.is_empty() {
                return Err(without_images(ledger, &run_id)?);
            }
            return Ok(Chosen { parts: all, left_out: Vec::new() });
        }
        let since = self.since.as_deref().map(moment).transpose()?;
        let runs = ledger.runs(u32::MAX)?;
        let began = |run_id: &str| -> Result<Option<Timestamp>> {
            time(runs.iter().find(|run| run.run_id == run_id).map(|run| &run.started_at))
        };
        let is_in = |at: Option<Timestamp>| since.is_none_or(|since| at.is_none_or(|at| at >= since));
        let (mut kept, mut left_out) = (Vec::new(), Vec::new());
        for part in all {
            let ended =
                runs.iter().find(|run| run.run_id == part.run_id).and_then(|run| run.ended_at.as_ref());
            if !is_in(began(&part.run_id)?) {
                if is_in(time(ended)?) && !is_rolled_back(&rollbacks, &part.run_id, &part.entity) {
                    let words = format!("run {} began before and ended after; --run takes it", part.run_id);
                    if !left_out.contains(&words) {
                        left_out.push(words);
                    }
                }
                continue;
            }
            // A rollback of what is taken back here anyway has done a part of the work; only one of earlier runs' changes is a change.
            let own = rollbacks
                .iter()
                .find(|r| part.is_rollback && r.run_id == part.run_id && r.entity == part.entity);
            let mut is_change = own.is_none();
            for of in own.iter().flat_map(|own| &own.undo_of) {
                is_change |= !is_in(began(of)?);
            }
            if is_change {
                kept.push(part);
            }
        }
        for m in ledger.migrations()? {
            let is_asked = global.entity.is_empty() || names.contains(&m.entity.as_str());
            if is_asked
                && m.is_without_images()
                && m.counts.inserted + m.counts.updated > 0
                && is_in(began(&m.run_id)?)
            {
                left_out.push(format!(
                    "run {} kept no old images (--no-undo) and cannot be rolled back",
                    m.run_id
                ));
            }
        }
        Ok(Chosen { parts: kept, left_out })
    }

    /// A run by its id or as `last`.
    fn named(&self, global: &Global, ledger: &Ledger, run: &str, rollbacks: &[Rollback]) -> Result<String> {
        let migrations = ledger.migrations()?;
        if run != "last" {
            let is_known =
                migrations.iter().any(|m| m.run_id == run) || rollbacks.iter().any(|r| r.run_id == run);
            return match is_known {
                true => Ok(run.to_owned()),
                false => Err(Error::usage(format!("no run `{run}` has written anything"))
                    .help(format!("`{} rollback list` lists those that have", global.command()))),
            };
        }
        let is_asked = |entity: &str| global.entity.is_empty() || global.entity.iter().any(|e| e == entity);
        let is_left = |m: &&crate::ledger::migration::Migration| {
            m.state != "planning" && is_asked(&m.entity) && !is_rolled_back(rollbacks, &m.run_id, &m.entity)
        };
        let wrote =
            |run_id: &str, entity: &str| -> Result<bool> { Ok(!ledger.batches(run_id, entity)?.is_empty()) };
        for m in migrations.iter().rev().filter(is_left) {
            if wrote(&m.run_id, &m.entity)? {
                return Ok(m.run_id.clone());
            }
        }
        Err(Error::usage("no run is left that wrote and is not rolled back").help(format!(
            "`{} rollback list` lists all; a rollback is undone by its own id",
            global.command()
        )))
    }

    /// The keys that were asked for.
    ///
    /// # Errors
    /// A file that cannot be read or has no keys in it (exit 2).
    pub(super) fn request(&self, global: &Global, spec: &Spec) -> Result<Request> {
        let entities = global.entities(spec);
        let file = self.from.as_deref().or_else(|| self.ids.as_deref()?.strip_prefix('@').map(Path::new));
        let by_entity = match (file, self.ids.as_deref()) {
            (Some(path), _) => {
                let found = keys::of_file(path, &entities)?;
                if let Some(name) = found.passed.filter(|_| found.by_entity.is_empty()) {
                    return Err(keys::of_others(path, &name));
                }
                Some(found.by_entity)
            }
            (None, Some(ids)) => Some(BTreeMap::from([keys::of_ids(ids, &entities)?])),
            (None, None) => None,
        };
        let records: usize = by_entity.iter().flatten().map(|(_, keys)| keys.len()).sum();
        if by_entity.is_some() && records == 0 {
            return Err(
                Error::usage("no key is asked for").help("--ids KEYS names them; a CSV has a line for each")
            );
        }
        if self.to_version.is_some() && records != 1 {
            return Err(Error::usage("--to-version is of one record").help("name it with --ids KEY"));
        }
        Ok(Request {
            keys: by_entity
                .map(|all| all.into_iter().map(|(name, keys)| (name, Wanted::new(keys))).collect()),
            key_fields: entities.iter().map(|entity| (entity.name.clone(), entity.key.clone())).collect(),
            to_version: self.to_version.clone(),
            policy: self.policy(),
        })
    }
}

/// The runs that changed something.
pub(super) fn all_parts(ledger: &Ledger) -> Result<Vec<Part>> {
    let home = ledger.home().to_path_buf();
    parts(ledger, &|run_id, entity| folder_of(&home, run_id, entity))
}

/// Where a run keeps what belongs to one entity.
pub(super) fn folder_of(home: &Path, run_id: &str, entity: &str) -> PathBuf {
    crate::cli::migrate::folder_of(home, run_id, entity)
}

/// What opens the target of a part.
pub(super) fn undos(spec: &Spec) -> Undos<'_> {
    Undos::new(Box::new(move |part: &Part, key: &[String]| -> Result<Box<dyn Undo + '_>> {
        let Some(entity) = spec.entity(&part.entity) else {
            return Err(Error::usage(format!(
                "run {} wrote entity `{}`, which the spec has no more",
                part.run_id, part.entity
            ))
            .help("put it back into the spec, with the target of then"));
        };
        let dataset = spec.dataset(&entity.target).expect("the spec was checked");
        undo::open(dataset, key).map_err(|e| e.of(&format!("entity `{}`", entity.name)))
    }))
}

/// Why a run that wrote cannot be rolled back.
fn without_images(ledger: &Ledger, run_id: &str) -> Result<Error> {
    let wrote = ledger.migrations()?.iter().any(|m| m.run_id == run_id && m.counts.applied > 0);
    Ok(match wrote {
        true => {
            Error::usage(format!("run {run_id} kept no old images (--no-undo), so it cannot be rolled back"))
                .help("restore the target from a backup")
        }
        false => Error::usage(format!("run {run_id} has written nothing of what was asked for")),
    })
}

/// A moment as RFC 3339 has it, or a time ago.
fn moment(text: &str) -> Result<Timestamp> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let ago = crate::cli::parse_duration(text).ok().and_then(|ago| Timestamp::now().checked_sub(ago).ok());
    ago.ok_or_else(|| {
        Error::usage(format!("--since {text}: this is no moment"))
            .help("write it with its zone, as in 2026-01-31T08:00:00Z, or as a time ago: 90m, 2h, 1d")
    })
}

fn time(text: Option<&String>) -> Result<Option<Timestamp>> {
    let parsed = text.map(|text| text.parse()).transpose();
    parsed.or_failed(|| "the ledger's time of a run is damaged".to_owned())
}

/// The run of the ledger.
pub(super) fn run_row(ledger: &Ledger, run_id: &str) -> Result<Option<RunRow>> {
    Ok(ledger.runs(u32::MAX)?.into_iter().find(|run| run.run_id == run_id))
}
