//! What `recon init` found, on the terminal and as JSON.

use serde_json::{Value, json};

use super::find::{Entity, Found};
use super::mapping::{Field, How};
use super::sample::Column;
use super::write::type_of;
use crate::cli::Global;
use crate::reconcile::report::terminal::{field_name, plain, shell, thousands};

/// Names of one kind that are shown.
const NAMES_MAX: usize = 6;

/// Whether the user has to fill something in.
pub(super) fn is_open(entity: &Entity) -> bool {
    entity.key.is_none() || entity.mapping.fields.is_empty()
}

/// What was found, and what to type next.
pub(super) fn text(global: &Global, found: &Found<'_>) -> String {
    let entities = &found.entities;
    let count =
        if entities.len() == 1 { "1 entity".to_owned() } else { format!("{} entities", entities.len()) };
    let mut out = format!("wrote {}: {count}\n", global.spec.display());
    for entity in entities {
        out.push_str(&of_entity(entity, found));
    }
    if !found.left_out.is_empty() {
        out.push_str("\nin no entity, so not compared:\n");
        found.left_out.iter().for_each(|what| out.push_str(&format!("  {}\n", plain(what))));
    }
    if global.quiet {
        return out;
    }
    let mut secrets: Vec<&str> = Vec::new();
    for (variable, _) in found.datasets.iter().filter_map(|dataset| dataset.location.secret.as_ref()) {
        if !secrets.contains(variable) {
            secrets.push(variable);
        }
    }
    out.push('\n');
    for variable in secrets {
        out.push_str(&format!(
            "before anything else: export {variable}=…, the URL just given, whose password is not written\n"
        ));
    }
    let (command, spec) = (global.command(), shell(&global.spec.display().to_string()));
    if entities.iter().any(is_open) {
        out.push_str(&format!("next: fill in what {spec} marks with TO FILL IN, then {command} check\n"));
    } else {
        out.push_str(&format!(
            "next: look {spec} over, then {command} check && {command} stage && {command} diff\n"
        ));
    }
    out
}

fn of_entity(entity: &Entity, found: &Found<'_>) -> String {
    let [a, b] = entity.datasets.map(|at| &found.datasets[at]);
    let rows = entity.rows.map(thousands);
    let mut out = format!(
        "\nentity {}  {} → {}, {} and {} rows looked at\n",
        plain(&entity.name),
        a.name,
        b.name,
        rows[0],
        rows[1]
    );
    match &entity.key {
        Some(key) => {
            let sure = if key.is_sure { "" } else { "not sure: " };
            let fields: Vec<String> = key.fields.iter().map(|field| field_name(field)).collect();
            out.push_str(&format!("  key {}  ({sure}{})\n", fields.join(", "), plain(&key.why)));
        }
        None => out.push_str("  no key found: fill it in, or whole rows are compared\n"),
    }
    let fields = &entity.mapping.fields;
    let by_name = fields.iter().filter(|field| field.how == How::Name).count();
    out.push_str(&format!("  {} fields mapped, {by_name} of them by the same name\n", fields.len()));
    let others: Vec<&Field> = fields.iter().filter(|field| field.how != How::Name).collect();
    for field in others {
        let guess = if field.how == How::Guess { "  (a guess)" } else { "" };
        out.push_str(&format!(
            "    {} ↔ {}{guess}\n",
            plain(&field.source.sql()),
            plain(&field.target.sql())
        ));
    }
    for field in fields {
        if let Some(remark) = &field.remark {
            out.push_str(&format!("  {}: {}\n", field_name(&field.name), plain(remark)));
        }
    }
    for (columns, word) in [(&entity.mapping.only_source, "source"), (&entity.mapping.only_target, "target")]
    {
        if !columns.is_empty() {
            out.push_str(&format!("  only in the {word}, not compared: {}\n", names(columns)));
        }
    }
    out
}

fn names(columns: &[Column]) -> String {
    let shown: Vec<String> = columns.iter().take(NAMES_MAX).map(|column| field_name(&column.name)).collect();
    let more = columns.len() - shown.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

/// The same, whole, for programs.
pub(super) fn json(global: &Global, found: &Found<'_>) -> String {
    let datasets: serde_json::Map<String, Value> = found
        .datasets
        .iter()
        .map(|d| {
            let (sample, secret) = (&d.sample, d.location.secret.as_ref().map(|(variable, _)| variable));
            let facts = json!({
                "kind": d.location.kind, "location": d.location.shown, "table": d.table, "variable": secret,
                "rows_read": sample.rows, "all_rows": sample.is_whole, "failures": sample.failures, "key": sample.key,
            });
            (d.name.clone(), facts)
        })
        .collect();
    let entities: serde_json::Map<String, Value> =
        found.entities.iter().map(|entity| (entity.name.clone(), entity_json(entity, found))).collect();
    let spec = global.spec.display().to_string();
    let text =
        json!({ "spec": spec, "datasets": datasets, "entities": entities, "left_out": found.left_out });
    serde_json::to_string_pretty(&text).expect("facts are always JSON")
}

fn entity_json(entity: &Entity, found: &Found<'_>) -> Value {
    let [a, b] = entity.datasets.map(|at| &found.datasets[at]);
    let fields: serde_json::Map<String, Value> = entity
        .mapping
        .fields
        .iter()
        .map(|field| {
            let (how, evidence) = match field.how {
                How::Name => ("name", None),
                How::Spelling => ("spelling", None),
                How::Entity => ("entity", None),
                How::Values { found, of } => ("values", Some(json!({ "found": found, "of": of }))),
                How::Guess => ("guess", None),
            };
            let facts = json!({
                "from": field.source.sql(), "source_type": field.source.store().describe(), "to": field.target.sql(),
                "target_type": field.target.store().describe(), "type": field.ty.map(|ty| ty.to_string()),
                "matched_by": how, "evidence": evidence, "compared": field.is_compared, "remark": field.remark,
            });
            (field.name.clone(), facts)
        })
        .collect();
    let conditions = entity.groups.each_ref().map(|group| group.as_ref().map(|group| &group.condition));
    let only = |columns: &[Column], side: usize| {
        let dataset = if side == 0 { a } else { b };
        let ty = |column: &Column| type_of(column, dataset, entity.rows[side]);
        columns.iter().map(|c| json!({ "name": c.name, "type": ty(c) })).collect::<Vec<_>>()
    };
    json!({
        "source": a.name, "target": b.name, "where": conditions[0], "target_where": conditions[1],
        "source_rows": entity.rows[0], "target_rows": entity.rows[1],
        "key": entity.key.as_ref().map(|key| json!({ "fields": key.fields, "sure": key.is_sure, "why": key.why })),
        "fields": fields, "only_source": only(&entity.mapping.only_source, 0), "only_target": only(&entity.mapping.only_target, 1),
    })
}
