//! `recon diff` of one entity: plan, hash both sides, classify, judge what differs.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use xxhash_rust::xxh3::xxh3_128;

use super::again::Again;
use super::classify::{ByRule, Counts, classify};
use super::done;
use super::failed;
use super::hash::{Hashed, Learned, hash_side};
use super::judge::{FieldFindings, Judged, judge};
use super::report::references::ReferenceResult;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::event::Progress;
use crate::fault;
use crate::ledger::proof::Proof;
use crate::ledger::{self, Ledger};
use crate::mapping::fold::{Folding, Make};
use crate::mapping::plan::{EntityPlan, FieldPlan, Override, Side, Status};
use crate::mapping::rules;
use crate::mapping::side::Staged;
use crate::query::{self, identifier, render};
use crate::spec::{Entity, Spec};
use crate::value::Number;
use crate::value::cast::{Class, Zone};
use crate::warehouse::Warehouse;

/// What a diff works with.
pub struct Bench<'a> {
    /// The spec.
    pub spec: &'a Spec,
    /// The engine.
    pub warehouse: &'a Warehouse,
    /// The home.
    pub home: &'a Path,
    /// Seed of the row hashes.
    pub seed: u64,
    /// Worker threads.
    pub threads: usize,
    /// Counters.
    pub progress: &'a Progress,
    /// The staged files that were read and found good.
    pub verified: Verified,
    /// Whether hashes that are missing may be made; not where somebody else holds the home.
    pub may_hash: bool,
}

impl<'a> Bench<'a> {
    /// To work on what a home has staged.
    ///
    /// # Errors
    /// A ledger that cannot be read.
    pub fn new(
        spec: &'a Spec,
        warehouse: &'a Warehouse,
        ledger: &'a Ledger,
        threads: usize,
        progress: &'a Progress,
    ) -> Result<Self> {
        Ok(Self {
            spec,
            warehouse,
            home: ledger.home(),
            seed: ledger.hash_seed()?,
            threads,
            progress,
            verified: Verified::default(),
            may_hash: true,
        })
    }

    /// An entity as it is read, with the rows of its staged source folded where the spec says so.
    ///
    /// # Errors
    /// As [`Folding::fold`].
    pub fn fold<'e>(&self, entity: &'e Entity, source: Staged) -> Result<(Cow<'e, Entity>, Staged)> {
        let make = if self.may_hash { Make::AtHome } else { Make::Nowhere };
        self.folding(make).fold(entity, source)
    }

    fn folding(&self, make: Make<'a>) -> Folding<'a> {
        let Bench { spec, warehouse, home, seed, threads, progress, .. } = *self;
        Folding { spec, warehouse, home, seed, threads, progress, make }
    }

    /// The same work on other staged rows, in a home and an engine of their own.
    pub fn at<'b>(&'b self, home: &'b Path, warehouse: &'b Warehouse) -> Bench<'b> {
        Bench { home, warehouse, verified: Verified::default(), may_hash: true, ..*self }
    }
}

/// The folders of staged rows, with their generations, of which every staged file was read and found to be what was written.
#[derive(Debug, Default)]
pub struct Verified(Mutex<BTreeSet<(PathBuf, i64)>>);

impl Verified {
    fn once(&self, staged: &Staged, bench: &Bench<'_>) -> Result<()> {
        let mut known = self.0.lock().expect("nobody panics while files are verified");
        let name = (staged.folder.clone(), staged.generation);
        if !known.contains(&name) {
            staged.verify(bench.threads, bench.progress)?;
            known.insert(name);
        }
        Ok(())
    }
}

/// What is known of a field after a diff.
#[derive(Clone, Debug)]
pub struct FieldResult {
    /// Its name.
    pub name: String,
    /// The spec's word for its rule.
    pub rule: &'static str,
    /// `compared`, `ignored` or `not_compared`.
    pub status: &'static str,
    /// Why it was not compared, or what there is to say of how it was.
    pub reason: Option<String>,
    /// Pairs that were compared.
    pub compared: u64,
    /// Pairs that differ.
    pub unequal: u64,
    /// What its rule let pass in matched records.
    pub matched: ByRule,
    /// What its rule let pass in mismatched records, with the differences of the unequal pairs.
    pub mismatched: ByRule,
    /// Of the unequal, pairs with exactly one value.
    pub null_mismatch: u64,
    /// What the mismatches have in common.
    pub concentration: Option<Concentration>,
}

impl FieldResult {
    /// Pairs that differ and are equal by the rule.
    pub fn equal_by_rule(&self) -> u64 {
        self.matched.equal + self.mismatched.equal
    }

    /// Largest |target − source|.
    pub fn max_delta(&self) -> Option<&Number> {
        self.matched.max_delta.iter().chain(&self.mismatched.max_delta).max()
    }
}

/// "98 % of them have mime_type = image/gif".
#[derive(Clone, Debug, PartialEq)]
pub struct Concentration {
    /// The other field.
    pub field: String,
    /// Its value in the source.
    pub value: String,
    /// Share of the mismatches that have it, 0 to 1.
    pub share: f64,
}

/// The result of one entity.
pub struct EntityResult {
    /// Its name.
    pub name: String,
    /// The key's fields.
    pub key: Vec<String>,
    /// Rows by verdict.
    pub counts: Counts,
    /// In the order of the plan.
    pub fields: Vec<FieldResult>,
    /// What of the matched rows was not staged, since the stores proved it equal.
    pub proof: Option<Proof>,
    /// Staged rows that the source's records are folded from.
    pub folded_rows: Option<u64>,
    /// Columns that no field uses.
    pub unmapped: Vec<String>,
    /// Names and numbers of what should be looked at.
    pub warnings: Vec<(String, u64)>,
    /// Remarks of the staging.
    pub remarks: Vec<String>,
    /// Remarks on the spec.
    pub spec_remarks: Vec<String>,
    /// Rows of both sides that did not parse or cast, those among duplicates too.
    pub failed: u64,
    /// Rows of a shared dataset that did not parse, on both sides.
    pub unassigned: u64,
    /// Whether the rows that did not parse belong to this entity: nobody else reads their dataset.
    pub owns_unparsed: [bool; 2],
    /// What the reports show: the findings of the comparison, then those of looking again.
    pub looks: Vec<Look>,
    /// How often the differing records were looked at again, and what became of them.
    pub again: Vec<Again>,
    /// What became of its references.
    pub references: Vec<ReferenceResult>,
    /// Whether looking again failed, so that nobody knows what it would have found.
    pub again_failed: bool,
}

impl EntityResult {
    /// Whether something of it was not compared.
    pub fn is_incomplete(&self) -> bool {
        let c = &self.counts;
        c.unchecked + c.unchecked_target + self.failed + self.unassigned > 0
            || self.again_failed
            || self.again.iter().any(|again| again.gone > 0)
            || self.fields.iter().any(|f| f.status == "not_compared")
            || self.references.iter().any(|r| r.unchecked.is_some())
    }
}

/// Where the findings of one comparison lie.
pub struct Look {
    /// Differing cells and records.
    pub judged: Judged,
    /// The Parquet file with every row's verdict.
    pub verdicts: PathBuf,
    /// The Parquet file with the rows of both sides that did not parse.
    pub unparsed: PathBuf,
    /// The staged sides, for the places of rows that do not cast.
    pub sides: [Staged; 2],
    /// Of which verdicts (by number, see `classify.sql`) its findings still stand.
    pub stands: [bool; VERDICTS],
}

/// Verdicts by number: matched, mismatched, missing, extra, unchecked, duplicate.
pub const VERDICTS: usize = 6;

/// Plans an entity and hashes both of its sides, or finds them hashed already.
///
/// # Errors
/// A spec that does not fit the stores (exit 2); stores, engine or disk that fail (exit 4).
pub fn prepare<'a>(
    bench: &Bench<'a>,
    entity: &'a Entity,
    source: &'a Staged,
    target: &'a Staged,
) -> Result<(EntityPlan<'a>, [Hashed; 2])> {
    let folder = folder_of(bench, entity);
    let mut overrides: Vec<Override> = Vec::new();
    // That one side is zoned and the other is not may show only while the values are read.
    loop {
        let plan = EntityPlan::new(bench.spec, bench.warehouse, entity, source, target, &overrides)?;
        plan.check_predicates(bench.spec, bench.warehouse)?;
        let hashed = [hash(bench, &plan, Side::Source, &folder)?, hash(bench, &plan, Side::Target, &folder)?];
        let found = zone_conflicts(bench.spec, &plan, &hashed[0].learned, &hashed[1].learned)?;
        if found.is_empty() {
            return Ok((plan, hashed));
        }
        overrides.extend(found);
    }
}

fn folder_of(bench: &Bench<'_>, entity: &Entity) -> PathBuf {
    bench.home.join("stage").join("diff").join(safe_name(&entity.name))
}

/// Compares one entity.
///
/// # Errors
/// A spec that does not fit the stores (exit 2); stores, engine or disk that fail (exit 4).
pub fn diff_entity(
    bench: &Bench<'_>,
    entity: &Entity,
    source: &Staged,
    target: &Staged,
) -> Result<EntityResult> {
    let folder = folder_of(bench, entity);
    let (plan, hashed) = prepare(bench, entity, source, target)?;
    let fail = || format!("cannot write {}", folder.display());
    let verdicts = folder.join("verdicts.parquet");
    let started = Instant::now();
    let classified = classify(&plan, bench.warehouse, &hashed[0], &hashed[1], &verdicts)?;
    tracing::info!(entity = entity.name, seconds = seconds(started), "joined both sides");
    let started = Instant::now();
    fault::point("diff.classified");
    let absolute = std::path::absolute(&verdicts).or_failed(fail)?;
    let view = [("name", identifier(&format!("{}.verdicts", entity.name))), ("file", query::file(&absolute))];
    let view: Vec<(&str, &str)> = view.iter().map(|(name, piece)| (*name, piece.as_str())).collect();
    bench.warehouse.execute(&render(include_str!("../../queries/reconcile/verdicts_view.sql"), &view))?;
    let findings = folder.join("findings");
    if findings.exists() {
        fs::remove_dir_all(&findings).or_failed(fail)?;
    }
    fs::create_dir_all(&findings).or_failed(fail)?;
    let both = [&hashed[0], &hashed[1]];
    let judged = judge(bench, &plan, &classified, both, &verdicts, &findings)?;
    tracing::info!(entity = entity.name, seconds = seconds(started), "judged what differs");
    fault::point("diff.judged");
    let mut counts = classified.counts;
    let proven = plan.proof.map_or(0, Proof::rows);
    counts.source_rows += proven;
    counts.target_rows += proven;
    counts.matched += judged.findings.settled_equal + proven;
    counts.mismatched -= judged.findings.settled_equal;
    counts.check(&entity.name)?;
    let unparsed = findings.join("unparsed.parquet");
    failed::write_unparsed(&plan, bench.warehouse, &unparsed)?;
    Ok(EntityResult {
        name: entity.name.clone(),
        key: entity.key.clone(),
        fields: field_results(&plan, &counts, &classified.beside, &judged.findings.fields),
        proof: plan.proof.cloned(),
        folded_rows: source.folded.as_ref().map(|folded| folded.rows),
        unmapped: plan.unmapped.clone(),
        warnings: warnings(&hashed),
        failed: hashed.iter().map(|side| side.learned.failed).sum(),
        remarks: source.warnings.iter().chain(&target.warnings).cloned().collect(),
        spec_remarks: plan.remarks.clone(),
        unassigned: unassigned(&plan),
        owns_unparsed: [!plan.source_is_shared, !plan.target_is_shared],
        counts,
        looks: vec![Look {
            judged,
            verdicts,
            unparsed,
            sides: [source.clone(), target.clone()],
            stands: [true; VERDICTS],
        }],
        again: Vec::new(),
        references: Vec::new(),
        again_failed: false,
    })
}

/// A name as a folder's name.
fn safe_name(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if plain { name.to_owned() } else { format!("{:032x}", xxh3_128(name.as_bytes())) }
}

fn unassigned(plan: &EntityPlan<'_>) -> u64 {
    let of = |staged: &Staged, shared: bool| match shared {
        true => staged.failures.iter().map(|f| f.rows).sum(),
        false => 0,
    };
    of(plan.source, plan.source_is_shared) + of(plan.target, plan.target_is_shared)
}

fn warnings(hashed: &[Hashed; 2]) -> Vec<(String, u64)> {
    let [s, t] = [&hashed[0].learned, &hashed[1].learned];
    let all = [
        ("null_keys", s.null_keys + t.null_keys),
        ("json_duplicate_keys", s.json_duplicate_keys + t.json_duplicate_keys),
    ];
    all.into_iter().filter(|(_, n)| *n > 0).map(|(name, n)| (name.to_owned(), n)).collect()
}

/// Hashes a side, unless that was done for these generations, this mapping and these rules.
fn hash(bench: &Bench<'_>, plan: &EntityPlan<'_>, side: Side, folder: &Path) -> Result<Hashed> {
    let mapping: Vec<String> = plan
        .fields
        .iter()
        .map(|f| format!("{}{}{:?}{:?}", f.name, f.is_key, f.status, plan.normaliser(f, side)))
        .collect();
    let staged = plan.staged(side);
    // With the seed, since another ledger in this home counts its generations from 1 again; and with the machine's start, since
    // hashes are not synced: what a power cut left of them is not to be believed.
    let identity = format!(
        "{} {} {} {} {} {mapping:?}",
        env!("CARGO_PKG_VERSION"),
        boot_id(),
        bench.seed,
        staged.generation,
        plan.query(side)
    );
    let digest = xxh3_128(identity.as_bytes());
    let own: PathBuf = folder.join(format!("{}-{digest:032x}", side.word()));
    if !bench.may_hash && (done::read(&own).is_none() || staged.is_touched()) {
        let name = &plan.entity.name;
        return Err(Error::failed(format!("entity `{name}` was not compared yet as it is staged now")));
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten().filter(|_| bench.may_hash) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(side.word()) && entry.path() != own {
            let _ = fs::remove_dir_all(entry.path()); // older hashes; a leftover costs space, not truth
        }
    }
    if done::read(&own).is_none() || staged.is_touched() {
        bench.verified.once(staged, bench)?;
    }
    let started = Instant::now();
    let hashed = hash_side(plan, side, bench.warehouse, &own, bench.seed, bench.threads, bench.progress)
        .map_err(|error| match error.kind() {
            ErrorKind::Incomplete => error,
            _ => plan.blame_filter(bench.spec, bench.warehouse, side, error),
        })?;
    check_rows(plan, side, &hashed.learned)?;
    let (entity, side, rows) = (&plan.entity.name, side.word(), hashed.learned.rows);
    tracing::info!(entity, side, rows, seconds = seconds(started), "hashed");
    Ok(hashed)
}

/// Seconds since a moment, for the log.
fn seconds(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 1e3).round() / 1e3
}

/// Holds the rows of a side that were hashed against those that were staged, where all of them are the entity's.
fn check_rows(plan: &EntityPlan<'_>, side: Side, learned: &Learned) -> Result<()> {
    let staged = plan.staged(side);
    let (filter, shared) = match side {
        Side::Source => (&plan.entity.source_filter, plan.source_is_shared),
        Side::Target => (&plan.entity.target_filter, plan.target_is_shared),
    };
    let unparsed: u64 = if shared { 0 } else { staged.failures.iter().map(|f| f.rows).sum() };
    if filter.is_some() || staged.is_chain || learned.rows == staged.rows() + unparsed {
        return Ok(());
    }
    let (name, staged) = (&staged.dataset.name, staged.rows() + unparsed);
    Err(Error::failed(format!(
        "{} rows of dataset `{name}` were read where {staged} were staged",
        learned.rows
    ))
    .help("this is a defect of recon and no result is given; please report it with the spec"))
}

/// What changes when the machine starts again. Where that is not known, every process is as good as a new start.
fn boot_id() -> String {
    let known = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    known.map_or_else(|_| ledger::random_id(), |id| id.trim().to_owned())
}

/// Fields whose values turn out to be zoned on one side only, and what is to be done with them.
fn zone_conflicts(
    spec: &Spec,
    plan: &EntityPlan<'_>,
    source: &Learned,
    target: &Learned,
) -> Result<Vec<Override>> {
    let mut found = Vec::new();
    for (i, field) in plan.fields.iter().enumerate() {
        let Status::Compared { class: Class::Timestamp(Zone::Either), .. } = field.status else { continue };
        let (s, t) = (source.zones[i], target.zones[i]);
        let zoned = s.0 + t.0 > 0;
        let naive = s.1 + t.1 > 0;
        if !(zoned && naive) {
            continue;
        }
        let one_side_is_naive = (s.0 == 0 && s.1 > 0) || (t.0 == 0 && t.1 > 0);
        let reason =
            "timestamps with an offset against timestamps without one; give the dataset a `timezone`";
        if one_side_is_naive && field.is_key {
            return Err(Error::usage(format!(
                "{}: entity `{}`, key field `{}`: {reason}",
                spec.path.display(),
                plan.entity.name,
                field.name
            )));
        }
        found.push(match one_side_is_naive {
            true => Override { field: field.name.clone(), not_compared: Some(reason.to_owned()) },
            false => Override { field: field.name.clone(), not_compared: None },
        });
    }
    Ok(found)
}

fn field_results(
    plan: &EntityPlan<'_>,
    counts: &Counts,
    beside: &[ByRule],
    findings: &[FieldFindings],
) -> Vec<FieldResult> {
    plan.fields
        .iter()
        .enumerate()
        .map(|(i, field)| {
            let (status, reason) = match &field.status {
                Status::Compared { .. } => ("compared", field.note.clone()),
                Status::Ignored => ("ignored", Some("the spec leaves it out".to_owned())),
                Status::NotCompared(reason) => ("not_compared", Some(reason.clone())),
            };
            let (known, found) = (&beside[i], &findings[i]);
            FieldResult {
                name: field.name.clone(),
                rule: rules::word(&field.rule),
                status,
                reason,
                compared: if field.is_compared() { counts.matched + counts.mismatched } else { 0 },
                unequal: found.unequal,
                matched: known.clone().plus(&found.settled),
                mismatched: found.open.clone(),
                null_mismatch: found.null_mismatch,
                concentration: concentration(&plan.fields, found),
            }
        })
        .collect()
}

/// The value that most of a field's mismatches have beside them, where it stands out.
fn concentration(fields: &[FieldPlan], found: &FieldFindings) -> Option<Concentration> {
    const SAMPLED_MIN: u64 = 5;
    const SHARE_MIN: f64 = 0.8;
    if found.sampled < SAMPLED_MIN {
        return None;
    }
    let mut best: Option<(u64, usize, &str)> = None;
    for (index, counts) in &found.beside {
        for (value, n) in counts.iter().flatten() {
            let better = (*n, std::cmp::Reverse((*index, value.as_str())));
            if best.is_none_or(|(m, i, v)| better > (m, std::cmp::Reverse((i, v)))) {
                best = Some((*n, *index, value));
            }
        }
    }
    let (n, index, value) = best?;
    let share = n as f64 / found.sampled as f64;
    (share >= SHARE_MIN).then(|| Concentration {
        field: fields[index].name.clone(),
        value: value.to_owned(),
        share,
    })
}
