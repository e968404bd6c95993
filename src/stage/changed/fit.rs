//! Whether two tables can be compared in their stores: where equal texts are equal values by the entity's rules, and nothing but
//! these columns decides.

use super::Summed;
use crate::query::single_path;
use crate::spec::{Dataset, Entity, Field, Rule, Spec, Sql};
use crate::store::table::{TableColumn, TableFacts};
use crate::value::column::ColumnType;

/// What is to be added up on each side, or in words why rows whose texts are equal might not count as equal in a comparison, or
/// why what a comparison sees is more than these columns.
pub(super) fn fit(
    spec: &Spec,
    entity: &Entity,
    source: &TableFacts,
    target: &TableFacts,
) -> Result<[Summed; 2], String> {
    let datasets =
        [&entity.source, &entity.target].map(|name| spec.dataset(name).expect("the spec was checked"));
    fits_entity(spec, entity, datasets)?;
    let pairs = pairs(entity, source, target)?;
    let mut summed = [Summed::default(), Summed::default()];
    for (is_key, [s, t]) in &pairs {
        for (summed, column) in summed.iter_mut().zip([s, t]) {
            if *is_key {
                summed.key.push(column.name.clone());
            }
            summed.columns.push(column.name.clone());
        }
    }
    let no_key = pairs.iter().find(|(is_key, [s, _])| *is_key && !orders_keys(&s.ty));
    if let Some((_, [column, _])) = no_key {
        return Err(format!("the key's column `{}` is {}, which gives no ranges", column.name, column.ty));
    }
    for (summed, (facts, dataset)) in summed.iter().zip([source, target].iter().zip(datasets)) {
        let mut names = [summed.key.clone(), facts.key.clone()];
        names.iter_mut().for_each(|names| names.sort());
        if names[0] != names[1] {
            return Err(format!("the entity's key is not the primary key of dataset `{}`", dataset.name));
        }
    }
    // In the primary key's order its index finds a range.
    let place = |name: &String| source.key.iter().position(|column| column == name);
    let mut order: Vec<usize> = (0..summed[0].key.len()).collect();
    order.sort_by_key(|i| place(&summed[0].key[*i]));
    for side in &mut summed {
        side.key = order.iter().map(|i| side.key[*i].clone()).collect();
    }
    Ok(summed)
}

fn fits_entity(spec: &Spec, entity: &Entity, [source, target]: [&Dataset; 2]) -> Result<(), String> {
    if source.kind.word() != target.kind.word() {
        return Err("its sides are stores of two kinds".to_owned());
    }
    let uses = |name: &str| {
        spec.entities
            .iter()
            .map(|e| usize::from(e.source == name) + usize::from(e.target == name))
            .sum::<usize>()
    };
    if let Some(shared) = [source, target].into_iter().find(|dataset| uses(&dataset.name) > 1) {
        return Err(format!("dataset `{}` is used more than once", shared.name));
    }
    if source.timezone.is_some() || target.timezone.is_some() {
        return Err("a dataset has a `timezone`, in which not every time exists".to_owned());
    }
    let reasons = [
        (entity.source_filter.is_some() || entity.target_filter.is_some(), "it has a filter"),
        (!entity.group_by.is_empty(), "it has a `group_by`"),
        (!entity.references.is_empty(), "it has references, which need every row"),
        (entity.key.is_empty(), "it has no key"),
    ];
    reasons.iter().find(|(applies, _)| *applies).map_or(Ok(()), |(_, reason)| Err((*reason).to_owned()))
}

type Pair<'a> = (bool, [&'a TableColumn; 2]);

/// The columns that are compared with each other, and whether each pair is part of the key.
fn pairs<'a>(
    entity: &Entity,
    source: &'a TableFacts,
    target: &'a TableFacts,
) -> Result<Vec<Pair<'a>>, String> {
    let Some(fields) = &entity.fields else {
        let same = source.columns.iter().filter_map(|s| {
            let t = target.columns.iter().find(|t| t.name == s.name)?;
            Some((entity.key.contains(&s.name), [s, t]))
        });
        return same.map(|(is_key, [s, t])| exact(&s.name, s, t).map(|()| (is_key, [s, t]))).collect();
    };
    let compared = fields.iter().filter(|field| !field.rule.ignore || entity.key.contains(&field.name));
    compared
        .map(|field| {
            let (s, t) = (column(&field.from, source), column(&field.to, target));
            let (Some(s), Some(t)) = (s, t) else {
                return Err(format!("field `{}` is not a plain column on both sides", field.name));
            };
            fits_field(field, entity.key.contains(&field.name), s)?;
            exact(&field.name, s, t)?;
            Ok((entity.key.contains(&field.name), [s, t]))
        })
        .collect()
}

/// Types of which different values have different texts, and which every store can order.
fn orders_keys(ty: &ColumnType) -> bool {
    matches!(
        ty,
        ColumnType::Int
            | ColumnType::UnsignedInt
            | ColumnType::Decimal(_)
            | ColumnType::Number
            | ColumnType::Text
            | ColumnType::Uuid
            | ColumnType::Bytes
            | ColumnType::Date
            | ColumnType::Timestamp { .. }
    )
}

/// The column that a piece of SQL consists of.
fn column<'a>(sql: &Sql, facts: &'a TableFacts) -> Option<&'a TableColumn> {
    let name = match &sql.plain_name {
        Some(name) => name.clone(),
        None => single_path(&sql.text).filter(|path| path.len() == 1)?.remove(0),
    };
    let mut alike = facts.columns.iter().filter(|column| column.name.eq_ignore_ascii_case(&name));
    alike.next().filter(|column| column.name == name && alike.next().is_none())
}

fn fits_field(field: &Field, is_key: bool, column: &TableColumn) -> Result<(), String> {
    let Rule { sql, json, set, .. } = &field.rule;
    let is_native =
        (!json || column.ty == ColumnType::Json) && (!set || matches!(column.ty, ColumnType::List(_)));
    let reasons = [
        (field.ty.is_some(), "has a `type`, which its values may not fit"),
        (sql.is_some(), "has a predicate of its own, which equal values may not satisfy"),
        (!is_native, "has a rule that its values may not fit"),
        (is_key && field.rule != Rule::default(), "is part of the key and has a rule"),
    ];
    let found = reasons.iter().find(|(applies, _)| *applies);
    found.map_or(Ok(()), |(_, reason)| Err(format!("field `{}` {reason}", field.name)))
}

/// Whether equal texts of two columns are equal values, and such that are compared.
fn exact(name: &str, source: &TableColumn, target: &TableColumn) -> Result<(), String> {
    if source.ty != target.ty {
        return Err(format!("field `{name}` is {} in the source and {} in the target", source.ty, target.ty));
    }
    match &source.ty {
        ColumnType::Other(declared) => Err(format!("field `{name}` is {declared}, whose text is not exact")),
        _ => Ok(()),
    }
}
