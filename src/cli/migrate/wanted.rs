//! Which records a replay writes: from the ledger, from the last diff, or from a file of keys.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::campaign::{Field, digest};
use super::{Choice, ReplayChoice};
use crate::cli::{Global, keys};
use crate::error::{Context, Error, Result};
use crate::ledger::Ledger;
use crate::migrate::mapped::Mapped;
use crate::migrate::plan::NotFound;
use crate::spec::Entity;
use crate::value::Value;
use crate::value::cast::{Reading, cast};

/// Keys that are shown of those that are not in the source.
const SHOWN: usize = 3;

/// The records that are asked for.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    is_replay: bool,
    by_entity: BTreeMap<String, Records>,
}

#[derive(Debug, Default)]
struct Records {
    /// Hashes of keys, as the ledger has them.
    hashes: Vec<u128>,
    /// Staging and position of those whose key cannot be read.
    positions: Vec<(i64, i64)>,
    /// Keys that somebody named, as texts.
    keys: Vec<Vec<String>>,
    /// Keys that the last diff found missing or mismatched, as texts.
    found: Vec<Vec<String>>,
}

/// The keys that are asked for of an entity.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Their hashes.
    pub(super) hashes: Vec<u128>,
    /// Those that failed earlier.
    failed: Vec<u128>,
    /// Those that somebody named; one that is of no such type is no record's.
    named: Vec<(Option<u128>, String)>,
}

impl Asked {
    /// Those that failed earlier and are in the source no longer.
    pub(super) fn gone(&self, found: &HashSet<u128>) -> Vec<u128> {
        self.failed.iter().filter(|hash| !found.contains(hash)).copied().collect()
    }

    /// Those that somebody named and that are not in the source.
    pub(super) fn not_found(&self, found: &HashSet<u128>) -> NotFound {
        let missing = self.named.iter().filter(|(hash, _)| hash.is_none_or(|hash| !found.contains(&hash)));
        let texts: Vec<&String> = missing.map(|(_, text)| text).collect();
        NotFound { keys: texts.len() as u64, first: texts.into_iter().take(SHOWN).cloned().collect() }
    }
}

impl Wanted {
    /// Gathers what a command asks for.
    ///
    /// # Errors
    /// A file that cannot be read or has no keys in it; a run that there is not.
    pub(super) fn gather(choice: &Choice, global: &Global, field: &Field<'_>) -> Result<Self> {
        let Some(args) = &choice.replay else { return Ok(Self::default()) };
        let mut wanted = Self { is_replay: true, ..Self::default() };
        let entities = global.entities(field.spec);
        match (&args.from, args.ids.as_deref()) {
            (Some(path), _) => wanted.add_file(path, &entities, false)?,
            (None, Some(ids)) => match ids.strip_prefix('@') {
                Some(path) => wanted.add_file(Path::new(path), &entities, false)?,
                None => wanted.add_ids(ids, &entities)?,
            },
            (None, None) => wanted.add_failed(args, field, &entities)?,
        }
        Ok(wanted)
    }

    /// What a replay asks for; `None` of a command that asks for no single records.
    pub(super) fn of_replay(&self) -> Option<&Self> {
        self.is_replay.then_some(self)
    }

    /// Whether something of the entity is wanted.
    pub(super) fn names(&self, entity: &str) -> bool {
        self.by_entity.contains_key(entity)
    }

    /// The wanted keys of an entity; of one whose records are written `once` at most, what a diff found is none of them.
    pub(super) fn keys(&self, entity: &str, mapped: &Mapped<'_>, seed: u64, once: bool) -> Asked {
        let Some(records) = self.by_entity.get(entity) else { return Asked::default() };
        let hash_of = |key: &[String]| -> Option<u128> {
            let mut bytes = Vec::new();
            for (column, text) in mapped.key().iter().zip(key) {
                let reading = Reading { free: true, ..Reading::default() };
                let class = column.class().expect("a key is of a field");
                cast(Value::Text(text.as_str().into()), class, &reading).ok()?.encode(&mut bytes);
            }
            Some(xxh3_128_with_seed(&bytes, seed))
        };
        let mut asked = Asked { failed: records.hashes.clone(), ..Asked::default() };
        asked.hashes.clone_from(&records.hashes);
        for key in &records.keys {
            let hash = hash_of(key);
            asked.hashes.extend(hash);
            asked.named.push((hash, key.join(", ")));
        }
        if !once {
            asked.hashes.extend(records.found.iter().filter_map(|key| hash_of(key)));
        }
        asked
    }

    /// The positions of the wanted records whose key cannot be read, where the staging is still the one that they are of.
    pub(super) fn positions(&self, entity: &str, generation: i64) -> Vec<i64> {
        let of = self.by_entity.get(entity).map_or(&[][..], |records| &records.positions);
        of.iter().filter(|(staging, _)| *staging == generation).map(|(_, pos)| *pos).collect()
    }

    fn add_failed(&mut self, args: &ReplayChoice, field: &Field<'_>, entities: &[&Entity]) -> Result<()> {
        let ledger = field.ledger;
        let migrations = ledger.migrations()?;
        let run = args.run.as_deref().map(|run| named(ledger, run)).transpose()?;
        for entity in entities {
            let mut found = Records::default();
            // A position among folded records says nothing of those that another mapping makes.
            let mapping = digest(field.spec, entity);
            let is_of_now = |run: &str| {
                let of_run = migrations.iter().find(|m| m.run_id == run && m.entity == entity.name);
                entity.group_by.is_empty() || of_run.is_some_and(|m| m.mapping == mapping)
            };
            ledger.exceptions(run.as_deref(), Some(&entity.name), true, |e| {
                if args.class.as_ref().is_some_and(|class| *class != e.class) {
                    return Ok(());
                }
                match e.key_hash.as_deref().map(|hash| u128::from_str_radix(hash, 16)) {
                    Some(hash) => found
                        .hashes
                        .push(hash.or_failed(|| "the ledger's exceptions are damaged".to_owned())?),
                    None if is_of_now(&e.run_id) => found.positions.push((e.generation, e.pos)),
                    None => {}
                }
                Ok(())
            })?;
            if !(found.hashes.is_empty() && found.positions.is_empty()) {
                self.by_entity.insert(entity.name.clone(), found);
            }
        }
        if run.is_some() || args.class.is_some() {
            return Ok(());
        }
        // What a diff found that came after the last writing is repaired, too.
        if let Some(folder) = reports_after_writing(ledger, entities)? {
            for name in ["mismatches.csv", "missing.csv"] {
                self.add_file(&folder.join(name), entities, true)?;
            }
        }
        Ok(())
    }

    fn add_ids(&mut self, ids: &str, entities: &[&Entity]) -> Result<()> {
        let (entity, keys) = keys::of_ids(ids, entities)?;
        self.by_entity.insert(entity, Records { keys, ..Records::default() });
        Ok(())
    }

    fn add_file(&mut self, path: &Path, entities: &[&Entity], is_diff: bool) -> Result<()> {
        let found = keys::of_file(path, entities)?;
        if let Some(name) = found.passed.filter(|_| found.by_entity.is_empty() && !is_diff) {
            return Err(keys::of_others(path, &name));
        }
        for (entity, keys) in found.by_entity {
            let records = self.by_entity.entry(entity).or_default();
            if is_diff {
                records.found.extend(keys)
            } else {
                records.keys.extend(keys)
            };
        }
        Ok(())
    }
}

/// A run by its id or as `last`.
fn named(ledger: &Ledger, run: &str) -> Result<String> {
    let all = ledger.migrations()?;
    let found = match run {
        "last" => all.iter().rfind(|m| m.counts.applied > 0),
        id => all.iter().find(|m| m.run_id == id),
    };
    found.map(|m| m.run_id.clone()).ok_or_else(|| {
        Error::usage(format!("no run `{run}` has written anything")).help("`recon runs` lists the runs")
    })
}

/// The reports of the newest diff, where it came after everything that was written.
///
/// # Errors
/// Reports from which the keys cannot be read (exit 2).
fn reports_after_writing(ledger: &Ledger, entities: &[&Entity]) -> Result<Option<PathBuf>> {
    let wrote: HashSet<String> =
        ledger.migrations()?.into_iter().filter(|m| m.counts.applied > 0).map(|m| m.run_id).collect();
    let runs = ledger.runs(u32::MAX)?;
    let time = |text: &str| -> Result<jiff::Timestamp> {
        text.parse().or_failed(|| "the ledger's time of a run is damaged".to_owned())
    };
    let Some(diff) = runs.iter().find(|run| run.command == "diff" && run.state == "done") else {
        return Ok(None);
    };
    for run in runs.iter().filter(|run| wrote.contains(&run.run_id)) {
        // A run that was killed and gone on with wrote until it ended.
        match &run.ended_at {
            Some(ended) if time(ended)? < time(&diff.started_at)? => {}
            _ => return Ok(None),
        }
    }
    let Some(folder) = diff.folder.as_ref().map(PathBuf::from) else { return Ok(None) };
    let refuse = |what: &str| {
        Error::usage(format!("the reports of the last diff ({}) {what}, so its records cannot be replayed", folder.display()))
            .help("run `recon diff` again, its reports on this machine and as they are; or `replay --run last`, `--from` or `--ids`")
    };
    let text = match std::fs::read(folder.join("summary.json")) {
        Ok(text) if folder.join("mismatches.csv").exists() => text,
        _ => return Err(refuse("are not there")),
    };
    let summary: serde_json::Value = serde_json::from_slice(&text)
        .or_failed(|| format!("{} is damaged", folder.join("summary.json").display()))?;
    let altered = &summary["altered"];
    let hides =
        |field: &String| altered["redacted"].as_array().is_some_and(|all| all.iter().any(|one| one == field));
    if altered["spreadsheet_safe"] == true || entities.iter().any(|entity| entity.key.iter().any(hides)) {
        return Err(refuse("do not show keys as they are (--redact, --spreadsheet-safe)"));
    }
    Ok(Some(folder))
}
