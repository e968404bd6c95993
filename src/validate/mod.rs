//! What holds of the records of one side, whatever the other has: keys, types, the spec's rules, and that what they refer to is there.
//!
//! In: an entity's plan and one of its staged sides. Out: errors as Parquet, one row for each record and rule that it does not keep, and
//! their counts. In reading order: `rules` (what one value tells), `checks` (the spec's own SQL), `pass` (the one look at every record),
//! `references` (what several entities tell together) and `told` (errors with the keys and values of their records).
//!
//! A pass streams the records through [`crate::mapping`], so that what is judged is what `migrate` writes. What only all records together
//! tell (keys and unique values that occur twice, references) is asked of the engine, on hashes that the pass left, and so are conditions
//! in SQL, on the values that recon cast: both spill to the disk where they do not fit into the memory.

mod checks;
mod pass;
pub mod references;
mod rules;
pub mod told;

use std::path::{Path, PathBuf};

use self::checks::Check;
pub use self::pass::Passed;
use self::pass::{Tuple, Wants, pass};
use self::rules::Rules;
use crate::error::{Error, Result};
use crate::event::Progress;
use crate::mapping::plan::{EntityPlan, Side, Status};
use crate::query::{literal, render};
use crate::spec::{Entity, Field, Spec};
use crate::warehouse::Warehouse;

/// What looking at records works with.
pub struct Work<'a> {
    /// The spec.
    pub spec: &'a Spec,
    /// The engine.
    pub warehouse: &'a Warehouse,
    /// The seed of hashes.
    pub seed: u64,
    /// Worker threads.
    pub threads: usize,
    /// Who wants to know how far it is, and may want to stop.
    pub progress: &'a Progress,
    /// Whether the records that are looked at are those that the run counts.
    pub counts_rows: bool,
    /// A folder that may be written to and is removed afterwards.
    pub folder: &'a Path,
}

/// An entity that is looked at, or that others refer to.
pub struct Member<'a> {
    /// The entity as the spec has it.
    pub entity: &'a Entity,
    /// How it is read; else why it cannot be.
    pub plan: std::result::Result<&'a EntityPlan<'a>, String>,
    /// Whether it is asked about, and not only referred to.
    pub is_asked: bool,
}

/// What an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One field.
    Field,
    /// The key.
    Key,
    /// A condition of the entity.
    Check,
    /// Fields whose values no two records share.
    Unique,
    /// A reference.
    Reference,
}

/// What errors are about; its number is its place in [`Looked::subjects`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// What kind of thing it is.
    pub kind: Kind,
    /// Its name: the field's, the condition's, the reference's; of several fields their names.
    pub name: String,
    /// Its fields, by their places in the plan.
    pub fields: Vec<usize>,
}

impl Subject {
    /// The number of a field of the plan.
    fn of_field(index: usize) -> i32 {
        index as i32
    }
}

/// One side of an entity that was looked at.
pub struct Looked<'a> {
    /// How it is read.
    pub plan: &'a EntityPlan<'a>,
    /// Which side it is.
    pub side: Side,
    /// What errors can be about: the plan's fields, then the key, conditions, unique fields and references.
    pub subjects: Vec<Subject>,
    /// What could not be looked at, with the reason.
    pub unchecked: Vec<(String, String)>,
    /// What was found.
    pub passed: Passed,
}

/// Errors of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// What they are about, among [`Looked::subjects`].
    pub subject: usize,
    /// The rule, in a word.
    pub code: String,
    /// How many.
    pub errors: u64,
}

impl Looked<'_> {
    /// The errors by kind, in the order of the subjects.
    ///
    /// # Errors
    /// What the engine says.
    pub fn counts(&self, warehouse: &Warehouse) -> Result<Vec<Count>> {
        let template = include_str!("../../queries/validate/counts.sql");
        let rows = warehouse.texts(&render(template, &[("errors", &literal(&self.passed.errors()))]))?;
        let number =
            |cell: &Option<String>| cell.as_deref().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        let count = |row: Vec<Option<String>>| Count {
            subject: number(&row[0]) as usize,
            code: row[1].clone().unwrap_or_default(),
            errors: number(&row[2]),
        };
        Ok(rows.into_iter().map(count).collect())
    }

    /// Records that have errors.
    ///
    /// # Errors
    /// What the engine says.
    pub fn invalid(&self, warehouse: &Warehouse) -> Result<u64> {
        let template = include_str!("../../queries/validate/invalid.sql");
        let rows = warehouse.integers(&render(template, &[("errors", &literal(&self.passed.errors()))]))?;
        Ok(rows.first().and_then(|row| row[0]).unwrap_or(0) as u64)
    }

    /// Writes a file of the records with errors: `pos`, `code`, `field` and `message`, which has all errors of the record and none of its
    /// values.
    ///
    /// # Errors
    /// What the engine says; a disk that is full.
    pub fn write_faults(&self, warehouse: &Warehouse, file: &Path) -> Result<()> {
        let subject = |(n, subject): (usize, &Subject)| {
            let name = literal(&subject.name);
            let field = if subject.kind == Kind::Check { "null" } else { &name };
            format!("({n}, {name}, {field})")
        };
        let subjects: Vec<String> = self.subjects.iter().enumerate().map(subject).collect();
        let pieces = [
            ("errors", literal(&self.passed.errors())),
            ("subjects", subjects.join(", ")),
            ("file", literal(&file.display().to_string())),
        ];
        let pieces: Vec<(&str, &str)> = pieces.iter().map(|(name, piece)| (*name, piece.as_str())).collect();
        warehouse.execute(&render(include_str!("../../queries/validate/faults.sql"), &pieces))
    }
}

/// Whether the spec says anything of an entity's values that its records may break.
pub fn has_rules(entity: &Entity) -> bool {
    let of_fields = entity.fields.iter().flatten().any(|field| !field.valid.given().is_empty());
    of_fields || !entity.unique.is_empty() || !entity.checks.is_empty()
}

/// Looks at one side of every member; `None` for those that cannot be read. Where `judges`, errors are what the records of those that are
/// asked about do not keep of the spec's rules; else only references are made ready.
///
/// # Errors
/// Rules that do not fit (exit 2, with the place); what the engine says; a disk that is full; an interruption.
pub fn look<'a>(
    work: &Work<'_>,
    members: &[Member<'a>],
    side: Side,
    judges: bool,
) -> Result<Vec<Option<Looked<'a>>>> {
    let mut all = Vec::new();
    for (n, member) in members.iter().enumerate() {
        let Ok(plan) = member.plan else {
            all.push(None);
            continue;
        };
        let tuples = references::tuples(work.spec, members, member)?;
        let folder = work.folder.join(format!("{n}-{}", side.word()));
        let looked = look_at(work, plan, side, (judges && member.is_asked, Some(tuples)), folder)?;
        all.push(Some(looked));
    }
    Ok(all)
}

/// Looks at one side of an entity, and not at what it refers to.
///
/// # Errors
/// As [`look`].
pub fn look_alone<'a>(work: &Work<'_>, plan: &'a EntityPlan<'a>, side: Side) -> Result<Looked<'a>> {
    look_at(work, plan, side, (true, None), work.folder.join(side.word()))
}

fn look_at<'a>(
    work: &Work<'_>,
    plan: &'a EntityPlan<'a>,
    side: Side,
    (judges, references): (bool, Option<Vec<Tuple>>),
    folder: PathBuf,
) -> Result<Looked<'a>> {
    let mut wants = Wants::default();
    let key: Vec<usize> = (0..plan.key().len()).collect();
    let (mut subjects, mut unchecked) = (fields(plan), Vec::new());
    subjects.push(Subject { kind: Kind::Key, name: names(plan, &key), fields: key.clone() });
    if !key.is_empty() {
        wants.tuples.push(Tuple { fields: key, is_normal: true });
        wants.needs_key = judges;
    }
    let mut checks: Vec<(usize, Check)> = Vec::new();
    let mut uniques: Vec<(usize, Tuple)> = Vec::new();
    if judges {
        unchecked = not_compared(plan);
        wants.rules = Some(rules(work.spec, plan, side)?);
        for (i, field) in plan.fields.iter().enumerate().filter(|(_, field)| field.is_compared()) {
            let of = field_of(plan.entity, &field.name).and_then(|field| field.valid.check.as_ref());
            if let Some(sql) = of {
                checks.push((i, Check::bind(work.spec, work.warehouse, plan, side, sql, Some(i))?));
            }
        }
        for (name, sql) in &plan.entity.checks {
            checks.push((subjects.len(), Check::bind(work.spec, work.warehouse, plan, side, sql, None)?));
            subjects.push(Subject { kind: Kind::Check, name: name.clone(), fields: Vec::new() });
        }
        for group in &plan.entity.unique {
            let places: Result<Vec<usize>> = group.iter().map(|name| place(work.spec, plan, name)).collect();
            let places = places?;
            let name = names(plan, &places);
            match places.iter().find(|i| !plan.fields[**i].is_compared()) {
                Some(i) => unchecked.push((format!("unique {name}"), reason(plan, *i))),
                None => uniques.push((subjects.len(), Tuple { fields: places.clone(), is_normal: false })),
            }
            subjects.push(Subject { kind: Kind::Unique, name, fields: places });
        }
    }
    if references.is_some() {
        subjects.extend(references::subjects(work.spec, plan)?);
    }
    for tuple in uniques.iter().map(|(_, tuple)| tuple).chain(references.iter().flatten()) {
        if !wants.tuples.contains(tuple) {
            wants.tuples.push(tuple.clone());
        }
    }
    for (i, _, ty) in checks.iter().flat_map(|(_, check)| &check.sees) {
        if !wants.shown.iter().any(|(shown, _)| shown == i) {
            wants.shown.push((*i, ty.clone()));
        }
    }
    let passed = pass(work, plan, side, wants, &folder)?;
    let looked = Looked { plan, side, subjects, unchecked, passed };
    if judges {
        looked.find_repeated(work, &uniques)?;
        looked.ask(work, &checks)?;
    }
    Ok(looked)
}

impl Looked<'_> {
    /// Adds the errors of keys and of unique fields that occur more than once.
    fn find_repeated(&self, work: &Work<'_>, uniques: &[(usize, Tuple)]) -> Result<()> {
        let mut groups = Vec::new();
        if !self.plan.is_keyless() {
            groups.push((self.plan.fields.len(), 0, "duplicate_key", "records have this key".to_owned()));
        }
        for (subject, tuple) in uniques {
            let words =
                format!("records have this, and `unique` ({}) allows one", self.subjects[*subject].name);
            groups.push((*subject, self.passed.tuple(tuple).expect("it was asked for"), "unique", words));
        }
        for (subject, n, code, words) in groups {
            let file = self.passed.more_errors(&format!("repeated-{subject}"));
            let pieces = [
                ("rows", literal(&self.passed.rows())),
                ("h", format!("h{n}")),
                ("l", format!("l{n}")),
                ("subject", subject.to_string()),
                ("code", literal(code)),
                ("words", literal(&words)),
                ("file", literal(&file.display().to_string())),
            ];
            execute(work, include_str!("../../queries/validate/repeated.sql"), &pieces)?;
        }
        Ok(())
    }

    /// Adds the errors of conditions in SQL.
    fn ask(&self, work: &Work<'_>, checks: &[(usize, Check)]) -> Result<()> {
        for (n, (subject, check)) in checks.iter().enumerate() {
            let file = self.passed.more_errors(&format!("check-{n}"));
            let text = check.text.split_whitespace().collect::<Vec<_>>().join(" ");
            let pieces = [
                ("check", check.text.clone()),
                ("values", check.values()),
                ("rows", literal(&self.passed.rows())),
                ("subject", subject.to_string()),
                ("broken", literal(&format!("does not keep {text}"))),
                (
                    "failed",
                    literal(&format!("nobody can tell whether it keeps {text}: the SQL fails for it")),
                ),
                ("file", literal(&file.display().to_string())),
            ];
            execute(work, include_str!("../../queries/validate/broken_check.sql"), &pieces)?;
        }
        Ok(())
    }
}

fn execute(work: &Work<'_>, template: &str, pieces: &[(&str, String)]) -> Result<()> {
    work.progress.check()?;
    let pieces: Vec<(&str, &str)> = pieces.iter().map(|(name, piece)| (*name, piece.as_str())).collect();
    work.warehouse.execute(&render(template, &pieces))
}

/// A subject for each field of the plan, under its own number.
fn fields(plan: &EntityPlan<'_>) -> Vec<Subject> {
    let subject = |(i, field): (usize, &crate::mapping::plan::FieldPlan)| Subject {
        kind: Kind::Field,
        name: field.name.clone(),
        fields: vec![i],
    };
    plan.fields.iter().enumerate().map(subject).collect()
}

fn names(plan: &EntityPlan<'_>, fields: &[usize]) -> String {
    fields.iter().map(|i| plan.fields[*i].name.as_str()).collect::<Vec<_>>().join(", ")
}

fn field_of<'a>(entity: &'a Entity, name: &str) -> Option<&'a Field> {
    entity.fields.iter().flatten().find(|field| field.name == name)
}

/// Fields that cannot be read, and why.
fn not_compared(plan: &EntityPlan<'_>) -> Vec<(String, String)> {
    let of = |(i, field): (usize, &crate::mapping::plan::FieldPlan)| {
        matches!(field.status, Status::NotCompared(_)).then(|| (field.name.clone(), reason(plan, i)))
    };
    plan.fields.iter().enumerate().filter_map(of).collect()
}

/// Why a field of the plan is not read.
fn reason(plan: &EntityPlan<'_>, index: usize) -> String {
    match &plan.fields[index].status {
        Status::NotCompared(reason) => reason.clone(),
        Status::Ignored | Status::Compared { .. } => "the spec ignores it".to_owned(),
    }
}

fn rules(spec: &Spec, plan: &EntityPlan<'_>, side: Side) -> Result<Vec<Rules>> {
    let of = |field: &crate::mapping::plan::FieldPlan| {
        let normaliser = plan.normaliser(field, side);
        match (field_of(plan.entity, &field.name), normaliser) {
            (Some(own), Some(as_read)) => {
                Rules::new(spec, &plan.entity.name, own, as_read.class, &as_read.reading)
            }
            _ => Ok(Rules::default()),
        }
    };
    plan.fields.iter().map(of).collect()
}

/// The place of a field in the plan, where the spec did not list its fields.
fn place(spec: &Spec, plan: &EntityPlan<'_>, name: &str) -> Result<usize> {
    plan.fields.iter().position(|field| field.name == name).ok_or_else(|| {
        let names = plan.fields.iter().map(|field| field.name.as_str());
        let help = match crate::spec::closest(name, names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`recon check` shows its columns".to_owned(),
        };
        let (path, line) = (spec.path.display(), plan.entity.line);
        Error::usage(format!("{path}:{line}: entity `{}` has no field `{name}`", plan.entity.name)).help(help)
    })
}
