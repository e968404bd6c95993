//! One side of an entity as SQL: which columns of which rows its fields are read from.

use super::access::Access;
use super::direct;
use super::names::Names;
use super::plan::{FieldPlan, Side};
use super::resolve::StoreType;
use super::rules::own_sql::Shown;
use super::side::Staged;
use crate::error::Result;
use crate::query::render;
use crate::spec::{Field, Sql};

/// The pieces of a side's query.
#[derive(Clone, Debug)]
pub struct Query {
    columns: String,
    logical: String,
    filter: String,
}

impl Query {
    /// The query over some of the side's rows.
    pub fn over(&self, rows: &str) -> String {
        self.of_columns(&self.columns, rows)
    }

    /// The query over some of the side's rows with other columns (a continuation of a select list) than the compared fields'.
    pub fn of_columns(&self, columns: &str, rows: &str) -> String {
        let pieces =
            [("columns", columns), ("logical", &self.logical), ("rows", rows), ("filter", &self.filter)];
        render(include_str!("../../queries/mapping/project.sql"), &pieces)
    }
}

/// How rows that did not parse are looked at, of which only some cells are known.
#[derive(Clone, Debug)]
pub struct UnparsedSql {
    /// The side's names, as a continuation of a select list.
    pub logical: String,
    /// Whether a row is one of the entity's.
    pub filter: String,
}

/// The query of a side: its position, then each compared field's columns, then what only the engine can show to a predicate.
pub(super) fn query(
    plans: &[FieldPlan],
    fields: &[Field],
    side: Side,
    names: &Names<'_>,
    filter: Option<&Sql>,
) -> Result<Query> {
    let mut columns = String::new();
    let mut n = 0;
    for access in plans.iter().filter(|p| p.is_compared()).filter_map(|p| p.access(side)) {
        for sql in access.select() {
            columns.push_str(&format!(", {sql} as c{n}"));
            n += 1;
        }
    }
    for (i, plan) in plans.iter().enumerate().filter(|(_, p)| p.shown_to_sql(side) == Some(Shown::AsStored)) {
        let access = plan.access(side).expect("a compared field has both sides");
        let field = fields.iter().find(|f| f.name == plan.name).expect("every plan is of a field");
        let sql = if side == Side::Source { &field.from } else { &field.to };
        columns.push_str(&format!(", ({}\n) as s{i}", names.predicate(sql, access)));
    }
    let filter = match filter {
        None => "true".to_owned(),
        Some(sql) => {
            names.bind(sql)?;
            keep(&names.rewrite(sql), plans, side, names)
        }
    };
    Ok(Query { columns, logical: names.logical_sql(), filter })
}

/// The physical columns in the order of the query, where it neither filters nor computes anything. Whether the parts can be
/// read without the engine is for `direct` to say, which looks into them.
pub(super) fn direct(
    plans: &[FieldPlan],
    side: Side,
    staged: &Staged,
    filter: Option<&Sql>,
) -> Option<Vec<direct::Column>> {
    let compared = || plans.iter().filter(|p| p.is_compared());
    if filter.is_some()
        || staged.is_chain
        || compared().any(|p| p.shown_to_sql(side) == Some(Shown::AsStored))
    {
        return None;
    }
    let columns: Option<Vec<_>> = compared().map(|p| p.access(side)?.physical()).collect();
    let column =
        |(name, store): (&str, &StoreType)| direct::Column { name: name.to_owned(), store: store.clone() };
    Some(columns?.into_iter().flatten().map(column).collect())
}

/// How the side's rows that did not parse are looked at.
pub(super) fn unparsed(names: &Names<'_>, filter: Option<&Sql>) -> UnparsedSql {
    let filter = filter.map_or_else(|| "true".to_owned(), |sql| format!("({}\n)", names.rewrite(sql)));
    UnparsedSql { logical: names.unparsed_sql(), filter }
}

/// The filter. An item without its key, of which the filter cannot say whether it belongs here, is kept, and then fails by
/// name instead of vanishing.
fn keep(filter: &str, plans: &[FieldPlan], side: Side, names: &Names<'_>) -> String {
    let plain = format!("({filter}\n)");
    if !needs_key(names.staged) {
        return plain;
    }
    let keys: Vec<String> = plans
        .iter()
        .filter(|p| p.is_key)
        .filter_map(|p| p.access(side))
        .map(|access| match access {
            Access::Document { .. } => {
                let parts: Vec<String> =
                    access.select().into_iter().map(|c| format!("{c} is null")).collect();
                if parts.is_empty() { "true".to_owned() } else { parts.join(" and ") }
            }
            Access::Column { sql, .. } | Access::Expression { sql, .. } => format!("({sql}\n) is null"),
        })
        .collect();
    if keys.is_empty() {
        return plain;
    }
    format!("({plain} or ({plain} is null and {}))", keys.join(" and "))
}

/// DynamoDB tables have a key, so an item whose key is not there is damaged.
pub(super) fn needs_key(staged: &Staged) -> bool {
    staged.dataset.kind.is_dynamodb()
}
