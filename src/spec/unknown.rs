//! Keys that no part of a spec has.
//!
//! The known keys are those of the JSON Schema, so what an editor offers and what is accepted cannot differ.

use schemars::{JsonSchema, schema_for};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::place::Problem;
use super::raw::{RawDataset, RawEntity, RawField, RawHooks, RawReference, RawSpec};
use super::suggest::{closest, did_you_mean};

/// A table of the document and the words for where it stands.
struct Level<'a> {
    keys: &'a [String],
    place: String,
}

/// The known keys of every kind of table.
struct Known {
    spec: Vec<String>,
    dataset: Vec<String>,
    entity: Vec<String>,
    field: Vec<String>,
    reference: Vec<String>,
    hooks: Vec<String>,
}

/// All unknown keys of a document.
pub(super) fn unknown_keys(document: &DeTable<'_>) -> Vec<Problem> {
    let known = Known {
        spec: keys_of::<RawSpec>(),
        dataset: keys_of::<RawDataset>(),
        entity: keys_of::<RawEntity>(),
        field: keys_of::<RawField>(),
        reference: keys_of::<RawReference>(),
        hooks: keys_of::<RawHooks>(),
    };
    let mut problems = Vec::new();
    known.look(document, &Level { keys: &known.spec, place: "at the top of the spec".into() }, &mut problems);
    if let Some(table) = document.get("hooks").and_then(as_table) {
        known.look(table, &Level { keys: &known.hooks, place: "in `[hooks]`".into() }, &mut problems);
    }
    for (name, table) in tables_in(document, "datasets") {
        let place = format!("in dataset `{name}`");
        known.look(table, &Level { keys: &known.dataset, place }, &mut problems);
    }
    for (name, entity) in tables_in(document, "entities") {
        let place = format!("in entity `{name}`");
        known.look(entity, &Level { keys: &known.entity, place }, &mut problems);
        for (name, table) in tables_in(entity, "fields") {
            let place = format!("in field `{name}`");
            known.look(table, &Level { keys: &known.field, place }, &mut problems);
        }
        for (name, table) in tables_in(entity, "references") {
            let place = format!("in reference `{name}`");
            known.look(table, &Level { keys: &known.reference, place }, &mut problems);
        }
    }
    problems
}

impl Known {
    fn look(&self, table: &DeTable<'_>, level: &Level<'_>, problems: &mut Vec<Problem>) {
        for key in table.keys() {
            let name: &str = key.get_ref();
            if !level.keys.iter().any(|known| known == name) {
                let message = format!("unknown key `{name}` {}", level.place);
                problems.push(Problem { span: key.span(), message, help: Some(self.help(name, level)) });
            }
        }
    }

    fn help(&self, name: &str, level: &Level<'_>) -> String {
        let here = || level.keys.iter().map(String::as_str);
        let levels = [
            (&self.spec, "at the top of the spec"),
            (&self.dataset, "in a dataset"),
            (&self.entity, "in an entity"),
            (&self.field, "in a field"),
            (&self.reference, "in a reference"),
            (&self.hooks, "in `[hooks]`"),
        ];
        let elsewhere = levels.iter().find(|(keys, _)| keys.iter().any(|key| key == name));
        match (closest(name, here()), elsewhere) {
            (None, Some((_, place))) => format!("`{name}` belongs {place}"),
            _ => did_you_mean(name, here(), "the keys here are"),
        }
    }
}

/// The tables by name under one key; what is no table is left to the deserializer to complain of.
pub(super) fn tables_in<'t, 'i>(
    table: &'t DeTable<'i>,
    key: &str,
) -> impl Iterator<Item = (&'t str, &'t DeTable<'i>)> {
    let named = table.get(key).and_then(as_table);
    named.into_iter().flat_map(DeTable::iter).filter_map(|(name, value)| {
        let name: &str = name.get_ref();
        as_table(value).map(|table| (name, table))
    })
}

fn as_table<'t, 'i>(value: &'t Spanned<DeValue<'i>>) -> Option<&'t DeTable<'i>> {
    match value.get_ref() {
        DeValue::Table(table) => Some(table),
        _ => None,
    }
}

fn keys_of<T: JsonSchema>() -> Vec<String> {
    let schema = schema_for!(T);
    let properties = schema.get("properties").and_then(|p| p.as_object());
    properties.into_iter().flat_map(|p| p.keys().cloned()).collect()
}
