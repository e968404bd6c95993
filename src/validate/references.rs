//! References: whether what records refer to is there, on either side, and whether it went along from the source to the target.
//!
//! Records and what they refer to meet as hashes of typed values, as keys do. A reference of which one field is NULL or absent refers to
//! nothing (SQL's MATCH SIMPLE).

use super::pass::Tuple;
use super::{Kind, Looked, Member, Subject, Work, execute, names, place, reason};
use crate::error::{Error, Result};
use crate::mapping::plan::{EntityPlan, Side, Status};
use crate::query::literal;
use crate::spec::{Entity, Reference, Spec};
use crate::value::cast::Class;

/// The code of a record whose parent is not on its own side, and of one whose parent is not on the other.
pub const ORPHAN: &str = "reference";
/// See [`ORPHAN`].
pub const ACROSS: &str = "across";

/// A reference that could not be looked at whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unchecked {
    /// The place of the entity among the members.
    pub member: usize,
    /// The reference's name.
    pub reference: String,
    /// Why.
    pub reason: String,
}

/// The entities that these refer to and that are not among them.
pub fn referred<'s>(spec: &'s Spec, asked: &[&Entity]) -> Vec<&'s Entity> {
    let is_referred = |entity: &&Entity| {
        let refers = |other: &&Entity| other.references.iter().any(|r| r.entity == entity.name);
        asked.iter().any(refers) && !asked.iter().any(|other| other.name == entity.name)
    };
    spec.entities.iter().filter(is_referred).collect()
}

/// A subject for each reference of an entity.
pub(super) fn subjects(spec: &Spec, plan: &EntityPlan<'_>) -> Result<Vec<Subject>> {
    let subject = |reference: &Reference| {
        let fields: Result<Vec<usize>> =
            reference.fields.iter().map(|name| place(spec, plan, name)).collect();
        Ok(Subject { kind: Kind::Reference, name: reference.name.clone(), fields: fields? })
    };
    plan.entity.references.iter().map(subject).collect()
}

/// The groups of a member's fields by which it refers to others, and others to it.
pub(super) fn tuples(spec: &Spec, members: &[Member<'_>], member: &Member<'_>) -> Result<Vec<Tuple>> {
    let Ok(plan) = member.plan else { return Ok(Vec::new()) };
    let own = member.entity.references.iter().filter(|_| member.is_asked).map(|r| &r.fields);
    let asked = members.iter().filter(|other| other.is_asked).flat_map(|other| &other.entity.references);
    let others = asked.filter(|r| r.entity == member.entity.name).map(|r| &r.to);
    let mut tuples = Vec::new();
    for names in own.chain(others) {
        let tuple = tuple(spec, plan, names)?;
        if tuple.fields.iter().all(|i| plan.fields[*i].is_compared()) {
            tuples.push(tuple);
        }
    }
    Ok(tuples)
}

fn tuple(spec: &Spec, plan: &EntityPlan<'_>, names: &[String]) -> Result<Tuple> {
    let fields: Result<Vec<usize>> = names.iter().map(|name| place(spec, plan, name)).collect();
    Ok(Tuple { fields: fields?, is_normal: true })
}

/// One reference between two members of which one side was looked at.
struct Pair<'l, 'a> {
    child: &'l Looked<'a>,
    parent: &'l Looked<'a>,
    child_tuple: usize,
    parent_tuple: usize,
    /// The number of the subject.
    subject: usize,
    words: String,
}

/// Adds the records of one side that refer to nothing to the errors of its members, and says what could not be looked at whole.
///
/// # Errors
/// Fields that cannot be held against each other (exit 2); what the engine says.
pub fn find_orphans(
    work: &Work<'_>,
    members: &[Member<'_>],
    looked: &[Option<Looked<'_>>],
) -> Result<Vec<Unchecked>> {
    let mut unchecked = Vec::new();
    for (member, n) in asked(members) {
        for (r, reference) in member.entity.references.iter().enumerate() {
            let (pair, why) = pair(work.spec, members, looked, (n, r))?;
            unchecked.extend(why.map(|reason| Unchecked {
                member: n,
                reference: reference.name.clone(),
                reason,
            }));
            let Some(pair) = pair else { continue };
            let file = pair.child.passed.more_errors(&format!("reference-{r}"));
            let pieces = [
                ("children", literal(&pair.child.passed.rows())),
                ("parents", literal(&pair.parent.passed.rows())),
                ("h", format!("h{}", pair.child_tuple)),
                ("l", format!("l{}", pair.child_tuple)),
                ("ph", format!("h{}", pair.parent_tuple)),
                ("pl", format!("l{}", pair.parent_tuple)),
                ("subject", pair.subject.to_string()),
                ("code", literal(ORPHAN)),
                ("words", literal(&pair.words)),
                ("file", literal(&file.display().to_string())),
            ];
            execute(work, include_str!("../../queries/validate/orphans.sql"), &pieces)?;
        }
    }
    Ok(unchecked)
}

/// Adds the records of the source whose parents did not arrive in the target to the errors of the source's members.
///
/// # Errors
/// What the engine says.
pub fn find_left_behind(
    work: &Work<'_>,
    members: &[Member<'_>],
    source: &[Option<Looked<'_>>],
    target: &[Option<Looked<'_>>],
) -> Result<()> {
    for (member, n) in asked(members) {
        for r in 0..member.entity.references.len() {
            let (here, _) = pair(work.spec, members, source, (n, r))?;
            let (there, _) = pair(work.spec, members, target, (n, r))?;
            let (Some(here), Some(there)) = (here, there) else { continue };
            let (child, tuple) = (&here.child.passed, here.child_tuple);
            // Without a key nothing says which record of the target a record of the source is.
            let arrived = match here.child.plan.is_keyless() {
                true => String::new(),
                false => format!(
                    "anti join read_parquet({}) as a on c.h0 = a.h0 and c.l0 = a.l0 and c.h{tuple} = a.h{n} and c.l{tuple} = a.l{n}",
                    literal(&there.child.passed.rows()),
                    n = there.child_tuple
                ),
            };
            let file = child.more_errors(&format!("across-{r}"));
            let pieces = [
                ("children", literal(&child.rows())),
                ("parents", literal(&here.parent.passed.rows())),
                ("target_parents", literal(&there.parent.passed.rows())),
                ("h", format!("h{tuple}")),
                ("l", format!("l{tuple}")),
                ("ph", format!("h{}", here.parent_tuple)),
                ("pl", format!("l{}", here.parent_tuple)),
                ("th", format!("h{}", there.parent_tuple)),
                ("tl", format!("l{}", there.parent_tuple)),
                ("arrived", arrived),
                ("subject", here.subject.to_string()),
                ("words", literal(&here.words)),
                ("file", literal(&file.display().to_string())),
            ];
            execute(work, include_str!("../../queries/validate/orphans_across.sql"), &pieces)?;
        }
    }
    Ok(())
}

fn asked<'m, 'a>(members: &'m [Member<'a>]) -> impl Iterator<Item = (&'m Member<'a>, usize)> {
    members.iter().zip(0..).filter(|(member, _)| member.is_asked)
}

/// A member's reference over what was looked at of one side, where it can be looked at; and why not all of it can.
fn pair<'l, 'a>(
    spec: &Spec,
    members: &[Member<'_>],
    looked: &'l [Option<Looked<'a>>],
    (n, r): (usize, usize),
) -> Result<(Option<Pair<'l, 'a>>, Option<String>)> {
    let reference = &members[n].entity.references[r];
    let Some(to) = members.iter().position(|member| member.entity.name == reference.entity) else {
        return Ok((None, Some(format!("entity `{}` was not read", reference.entity))));
    };
    for member in [&members[n], &members[to]] {
        if let Err(why) = &member.plan {
            return Ok((None, Some(format!("entity `{}`: {why}", member.entity.name))));
        }
    }
    let (Some(child), Some(parent)) = (&looked[n], &looked[to]) else {
        return Ok((None, Some(format!("entity `{}` was not read", reference.entity))));
    };
    let (of_child, of_parent) =
        (tuple(spec, child.plan, &reference.fields)?, tuple(spec, parent.plan, &reference.to)?);
    for (plan, tuple) in [(child.plan, &of_child), (parent.plan, &of_parent)] {
        if let Some(i) = tuple.fields.iter().find(|i| !plan.fields[**i].is_compared()) {
            let (entity, field) = (&plan.entity.name, &plan.fields[*i].name);
            return Ok((None, Some(format!("`{entity}.{field}` cannot be read: {}", reason(plan, *i)))));
        }
    }
    check_classes(spec, (child.plan, &of_child), (parent.plan, &of_parent), reference)?;
    let (child_tuple, parent_tuple) = (
        child.passed.tuple(&of_child).expect("asked for"),
        parent.passed.tuple(&of_parent).expect("asked for"),
    );
    let why = incomplete(child, child_tuple).or_else(|| incomplete(parent, parent_tuple));
    let subject = child.subjects.len() - members[n].entity.references.len() + r;
    let words =
        format!("no record of `{}` has this ({})", reference.entity, names(parent.plan, &of_parent.fields));
    Ok((Some(Pair { child, parent, child_tuple, parent_tuple, subject, words }), why))
}

/// Why not all records of a side are known by these fields.
fn incomplete(looked: &Looked<'_>, tuple: usize) -> Option<String> {
    let (plan, staged) = (looked.plan, looked.plan.staged(looked.side));
    let (entity, side) = (&plan.entity.name, looked.side.word());
    let unparsed: u64 = staged.failures.iter().map(|failures| failures.rows).sum();
    let uncast = looked.passed.uncast[tuple];
    let what = match () {
        () if unparsed > 0 => format!("{unparsed} rows of dataset `{}` did not parse", staged.dataset.name),
        () if uncast > 0 => {
            let fields = names(plan, &looked.passed.tuples[tuple].fields);
            format!("{uncast} records of entity `{entity}` in the {side} have no readable {fields}")
        }
        () if staged.proof.is_some() => {
            format!(
                "dataset `{}` was staged with --changed-only, so not all of its rows are here",
                staged.dataset.name
            )
        }
        () => return None,
    };
    Some(what)
}

/// Values of two classes that are never the same would all look like orphans.
fn check_classes(
    spec: &Spec,
    (child, of_child): (&EntityPlan<'_>, &Tuple),
    (parent, of_parent): (&EntityPlan<'_>, &Tuple),
    reference: &Reference,
) -> Result<()> {
    for (i, j) in of_child.fields.iter().zip(&of_parent.fields) {
        let (own, other) = (&child.fields[*i], &parent.fields[*j]);
        let (Status::Compared { class: a, .. }, Status::Compared { class: b, .. }) =
            (&own.status, &other.status)
        else {
            continue;
        };
        if !may_meet(*a, *b) {
            return Err(Error::usage(format!(
                "{}:{}: reference `{}` of entity `{}`: `{}` is read as {}, and `{}.{}` as {}",
                spec.path.display(),
                child.entity.line,
                reference.name,
                child.entity.name,
                own.name,
                a.word(),
                parent.entity.name,
                other.name,
                b.word()
            ))
            .help("give both the same `type`"));
        }
    }
    Ok(())
}

/// Whether values of two classes can be the same.
fn may_meet(a: Class, b: Class) -> bool {
    let is_number = |class| matches!(class, Class::Int | Class::Number | Class::Decimal(_));
    let is_own = |class: Class| {
        matches!(class, Class::Any | Class::Text | Class::Bool | Class::Bytes) || is_number(class)
    };
    match (a, b) {
        (Class::Any, other) | (other, Class::Any) => is_own(other),
        (Class::Timestamp(_), Class::Timestamp(_)) => true,
        _ => a == b || (is_number(a) && is_number(b)),
    }
}

/// Whether errors of a side's members are of records whose parents are on their own side.
pub fn missing_in(side: Side, code: &str) -> Side {
    match (side, code) {
        (Side::Source, ACROSS) => Side::Target,
        (side, _) => side,
    }
}
