//! Both sides of an entity beside each other: each field with where it comes from, its types there, and how it is compared.
//!
//! Where both sides are staged all of that is known; before, what the stores declare tells it of plain columns.

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value, json};

use crate::mapping::plan::{EntityPlan, FieldPlan, Status};
use crate::mapping::resolve::{StoreType, resolve};
use crate::mapping::rules;
use crate::query;
use crate::reconcile::report::terminal::{field_name, plain};
use crate::spec::{Entity, Field, OnConflict, Rule, Sql, Valid};
use crate::value::kind::Type;

/// A column of a side.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// As the store spells it.
    pub(super) name: String,
    /// As SQL must spell it.
    pub(super) sql_name: String,
    /// Its type.
    pub(super) store: StoreType,
}

/// A field as both sides have it.
#[derive(Debug)]
pub(super) struct Beside {
    name: String,
    /// SQL over the target, and the type of that where it is known.
    to: String,
    target_type: Option<String>,
    /// The same of the source.
    from: String,
    source_type: Option<String>,
    declared: Option<Type>,
    rule: &'static str,
    /// `compared`, `ignored` or `not_compared`; `None`: staging will tell.
    status: Option<&'static str>,
    /// As what it is compared.
    class: Option<&'static str>,
    reason: Option<String>,
}

/// The fields of an entity whose sides are staged.
pub(super) fn of_plan(entity: &Entity, plan: &EntityPlan<'_>) -> Vec<Beside> {
    plan.fields.iter().map(|planned| of_field(entity, planned)).collect()
}

fn of_field(entity: &Entity, planned: &FieldPlan) -> Beside {
    let field = entity.fields.iter().flatten().find(|field| field.name == planned.name);
    let text =
        |pick: fn(&Field) -> &Sql| field.map_or_else(|| planned.name.clone(), |field| shown(pick(field)));
    let (status, class, reason) = match &planned.status {
        Status::Compared { class, .. } => ("compared", Some(class.word()), planned.note.clone()),
        Status::Ignored => ("ignored", None, None),
        Status::NotCompared(reason) => ("not_compared", None, Some(reason.clone())),
    };
    Beside {
        name: planned.name.clone(),
        to: text(|field| &field.to),
        target_type: planned.target.as_ref().map(|access| access.store().describe()),
        from: text(|field| &field.from),
        source_type: planned.source.as_ref().map(|access| access.store().describe()),
        declared: field.and_then(|field| field.ty),
        rule: rules::word(&planned.rule),
        status: Some(status),
        class,
        reason,
    }
}

/// The fields of an entity as far as the columns of its sides are known without staging them.
pub(super) fn of_columns(entity: &Entity, source: Option<&[Known]>, target: Option<&[Known]>) -> Vec<Beside> {
    let Some(fields) = &entity.fields else {
        let (Some(source), Some(target)) = (source, target) else { return Vec::new() };
        let mut names: Vec<&String> = source.iter().chain(target).map(|column| &column.name).collect();
        let mut seen = Vec::new();
        names.retain(|name| {
            !seen.contains(name) && {
                seen.push(*name);
                true
            }
        });
        return names.into_iter().map(|name| same_name(name, source, target)).collect();
    };
    fields.iter().map(|field| one(field, source, target)).collect()
}

fn one(field: &Field, source: Option<&[Known]>, target: Option<&[Known]>) -> Beside {
    let (from, to) = (store_of(&field.from, source), store_of(&field.to, target));
    let (status, class, reason) = match (&from, &to) {
        _ if field.rule.ignore => (Some("ignored"), None, None),
        (Some(from), Some(to)) => match resolve(from, to, field.ty, &field.rule) {
            Ok(resolved) => (Some("compared"), Some(resolved.class.word()), resolved.note),
            Err(_) if field.rule.sql.is_some() => (Some("compared"), None, None),
            Err(reason) => (Some("not_compared"), None, Some(reason)),
        },
        _ => (None, None, None),
    };
    Beside {
        name: field.name.clone(),
        to: shown(&field.to),
        target_type: to.map(|store| store.describe()),
        from: shown(&field.from),
        source_type: from.map(|store| store.describe()),
        declared: field.ty,
        rule: rules::word(&field.rule),
        status,
        class,
        reason,
    }
}

fn same_name(name: &str, source: &[Known], target: &[Known]) -> Beside {
    let own = Sql { text: query::identifier(name), line: 0, column: 0, plain_name: Some(name.to_owned()) };
    let field = Field {
        name: name.to_owned(),
        from: own.clone(),
        to: own,
        ty: None,
        rule: Rule::default(),
        valid: Valid::default(),
        on_conflict: OnConflict::default(),
        line: 0,
    };
    let mut beside = one(&field, Some(source), Some(target));
    if beside.status.is_none() {
        let word = if beside.source_type.is_some() { "source" } else { "target" };
        beside.status = Some("not_compared");
        beside.reason = Some(format!("only in the {word}; map it or ignore it in the spec"));
    }
    beside
}

/// The type of what is plainly a column.
fn store_of(sql: &Sql, columns: Option<&[Known]>) -> Option<StoreType> {
    let columns = columns?;
    let found = match &sql.plain_name {
        Some(name) => columns.iter().find(|column| column.name == *name),
        None => match query::single_path(&sql.text)?.as_slice() {
            [name] => {
                let exact = columns.iter().find(|column| column.name == *name);
                exact.or_else(|| columns.iter().find(|column| column.sql_name.eq_ignore_ascii_case(name)))
            }
            _ => None,
        },
    };
    found.map(|column| column.store.clone())
}

fn shown(sql: &Sql) -> String {
    sql.plain_name.clone().unwrap_or_else(|| sql.text.clone())
}

impl Beside {
    fn how(&self) -> String {
        match (self.status, self.class) {
            (Some("ignored"), _) => "ignored".to_owned(),
            (Some("not_compared"), _) => "not compared".to_owned(),
            (_, Some(class)) => format!("{}, as {class}", self.rule),
            (_, None) => {
                self.declared.map_or_else(|| self.rule.to_owned(), |ty| format!("{}, as {ty}", self.rule))
            }
        }
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        json!({
            "name": self.name, "to": self.to, "target_type": self.target_type, "from": self.from,
            "source_type": self.source_type, "type": self.declared.map(|ty| ty.to_string()), "rule": self.rule,
            "status": self.status, "compared_as": self.class, "reason": self.reason,
        })
    }
}

/// The fields as a table.
pub(super) fn table(fields: &[Beside]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["field", "in the target", "from", "in the source", "compared"]);
    let ty = |ty: &Option<String>| ty.as_deref().map_or_else(|| "once staged".to_owned(), plain);
    for field in fields {
        // The target's column is the field's own unless the spec says otherwise.
        let to = if field.to == field.name { String::new() } else { format!("{}: ", plain(&field.to)) };
        table.add_row([
            field_name(&field.name),
            format!("{to}{}", ty(&field.target_type)),
            plain(&field.from),
            ty(&field.source_type),
            field.how(),
        ]);
    }
    table
}
