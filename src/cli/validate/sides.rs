//! The sides of an entity of which one is looked at: the other one only says in which types values are read.

use std::borrow::Cow;
use std::sync::Arc;

use crate::cli::diff::staged;
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::mapping::fold::{Folding, as_read};
use crate::mapping::plan::Side;
use crate::mapping::resolve::StoreType;
use crate::mapping::side::{Column, Staged};
use crate::query::identifier;
use crate::spec::{Dataset, DatasetKind, Entity, Spec, Sql};
use crate::stage;
use crate::stage::document::Names;
use crate::stage::run::definition;

/// An entity and both of its sides, of which one may have no row.
pub(super) struct Sides<'a> {
    pub(super) entity: Cow<'a, Entity>,
    pub(super) source: Staged,
    pub(super) target: Staged,
}

impl Sides<'_> {
    pub(super) fn staged(&self, side: Side) -> &Staged {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }
}

/// The dataset of an entity's side.
pub(super) fn dataset<'s>(spec: &'s Spec, entity: &Entity, side: Side) -> &'s Dataset {
    let name = match side {
        Side::Source => &entity.source,
        Side::Target => &entity.target,
    };
    spec.dataset(name).expect("the spec was checked")
}

/// Whether a dataset is staged as the spec has it now.
pub(in crate::cli) fn is_staged(ledger: &Ledger, dataset: &Dataset) -> Result<bool> {
    let known = |g: &crate::ledger::Generation| {
        [true, false].iter().any(|copy| g.definition == definition(dataset, ledger.home(), *copy))
    };
    Ok(ledger.latest_generation(&dataset.name)?.is_some_and(|g| g.complete && known(&g)))
}

/// Reads what is known of both sides, of which `side` has to be staged.
///
/// # Errors
/// A side that is not staged; another one that cannot be reached to say which columns it has.
pub(super) fn sides<'e>(
    folding: &Folding<'_>,
    ledger: &Ledger,
    entity: &'e Entity,
    side: Side,
) -> Result<Sides<'e>> {
    let spec = folding.spec;
    let read = |of: Side| {
        let dataset = dataset(spec, entity, of);
        match of == side || is_staged(ledger, dataset)? {
            true => staged(ledger, folding.warehouse, dataset).map(Some),
            false => Ok(None),
        }
    };
    let (source, target) = (read(Side::Source)?, read(Side::Target)?);
    let (mut own, source) = match source {
        Some(source) => folding.fold(entity, source).map(|(own, source)| (own, Some(source)))?,
        None => (as_read(entity), None),
    };
    let (source, target) = match (source, target) {
        (Some(source), Some(target)) => (source, target),
        (Some(source), None) => {
            let target = unstaged(own.to_mut(), dataset(spec, entity, Side::Target), Side::Target, &source)?;
            (source, target)
        }
        (None, Some(target)) => {
            let source = unstaged(own.to_mut(), dataset(spec, entity, Side::Source), Side::Source, &target)?;
            (source, target)
        }
        (None, None) => unreachable!("one side is staged, else that was an error"),
    };
    read_ignored(&mut own, &target);
    Ok(Sides { entity: own, source, target })
}

/// A field that is ignored in comparisons and has a `from` is migrated all the same, so its rules hold.
fn read_ignored(entity: &mut Cow<'_, Entity>, target: &Staged) {
    let is_read = |field: &crate::spec::Field| {
        field.rule.ignore
            && field.from.plain_name.is_none()
            && (!field.valid.given().is_empty() || target.column(&field.name).is_some())
    };
    if entity.fields.iter().flatten().any(is_read) {
        let fields = entity.to_mut().fields.iter_mut().flatten();
        fields.filter(|field| is_read(field)).for_each(|field| field.rule.ignore = false);
    }
}

/// A side without a row: the columns of a table are as its store says; files and documents have one for each field.
fn unstaged(entity: &mut Entity, dataset: &Dataset, side: Side, other: &Staged) -> Result<Staged> {
    if matches!(dataset.kind, DatasetKind::Postgres(_) | DatasetKind::Mysql(_) | DatasetKind::Sqlite { .. }) {
        let facts = stage::open(dataset, &Arc::new(Names::new(&dataset.name)), false)
            .and_then(|source| source.facts())
            .map_err(|e| unknown_types(e, dataset))?;
        let column = |column: crate::store::table::TableColumn| Column {
            name: column.name.clone(),
            sql_name: column.name.clone(),
            store: StoreType::from(&column.ty),
            physical: vec![(column.ty.to_string(), column.name)],
        };
        return Ok(Staged::unstaged(
            dataset,
            facts.unwrap_or_default().columns.into_iter().map(column).collect(),
        ));
    }
    let names: Vec<String> = match &entity.fields {
        Some(fields) => fields.iter().map(|field| field.name.clone()).collect(),
        None => other.columns.iter().map(|column| column.name.clone()).collect(),
    };
    for field in entity.fields.iter_mut().flatten() {
        let own = match side {
            Side::Source => &mut field.from,
            Side::Target => &mut field.to,
        };
        *own = Sql { text: identifier(&field.name), plain_name: Some(field.name.clone()), ..own.clone() };
    }
    match side {
        Side::Source => entity.source_filter = None,
        Side::Target => entity.target_filter = None,
    }
    let column = |name: String| {
        let (store, physical) = match dataset.kind.is_schemaless() {
            true => {
                let dynamodb = dataset.kind.is_dynamodb();
                (StoreType::Document { dynamodb, tags: Vec::new() }, Vec::new())
            }
            false => (StoreType::Untyped, vec![(String::new(), name.clone())]),
        };
        Column { sql_name: name.clone(), name, store, physical }
    };
    Ok(Staged::unstaged(dataset, names.into_iter().map(column).collect()))
}

fn unknown_types(error: Error, dataset: &Dataset) -> Error {
    let what =
        format!("dataset `{}`, which is not staged, cannot say which types its columns have", dataset.name);
    let help = error.help_text().map(str::to_owned);
    let error = error.of(&what);
    if help.is_some() {
        error
    } else {
        error.help("values are read in the types of both sides: stage it, or make it reachable")
    }
}
