//! Which columns the fields of an entity are, where the spec leaves that open.

use super::super::side::Staged;
use crate::error::{Error, Result};
use crate::query::identifier;
use crate::spec::{Entity, Field, OnConflict, Rule, Spec, Sql, Valid};

/// A field for every column, as if the spec had named each one. Where not one row of either side could be read there are no
/// columns, and the key alone is what the spec speaks of.
pub(super) fn same_names(entity: &Entity, source: &Staged, target: &Staged) -> Vec<Field> {
    let columns = source.columns.iter().chain(&target.columns).map(|column| &column.name);
    let no_columns = source.columns.is_empty() && target.columns.is_empty();
    let mut names: Vec<&String> = Vec::new();
    for name in columns.chain(entity.key.iter().filter(|_| no_columns)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
        .into_iter()
        .map(|name| {
            let own = Sql { text: identifier(name), line: 0, column: 0, plain_name: Some(name.clone()) };
            Field {
                name: name.clone(),
                from: own.clone(),
                to: own,
                ty: None,
                rule: Rule::default(),
                valid: Valid::default(),
                on_conflict: OnConflict::default(),
                line: 0,
            }
        })
        .collect()
}

/// Makes sure that the key's fields are fields, and that the sides have their columns.
pub(super) fn check_key(
    spec: &Spec,
    entity: &Entity,
    fields: &[Field],
    source: &Staged,
    target: &Staged,
) -> Result<()> {
    for key in &entity.key {
        let on = |staged: &Staged| staged.columns.iter().any(|c| c.name == *key) || staged.columns.is_empty();
        let known = fields.iter().any(|f| f.name == *key);
        let missing = match (known, entity.fields.is_some()) {
            (true, true) => continue,
            _ if on(source) && on(target) && entity.fields.is_none() => continue,
            _ if !on(source) => &source.dataset.name,
            _ => &target.dataset.name,
        };
        let (staged, side) = if !on(source) { (source, "from") } else { (target, "to") };
        let hint = match (on(source), on(target)) {
            // The other side has it: here it has another name.
            (true, false) | (false, true) => {
                nearest(key, staged.columns.iter().map(|c| &c.name)).map(|name| {
                    format!("`{name}` is its column there? then write {key} = {{ {side} = \"{name}\" }}; ")
                })
            }
            _ => nearest(key, fields.iter().map(|f| &f.name)).map(|name| format!("did you mean `{name}`? ")),
        };
        let hint = hint.unwrap_or_default();
        return Err(Error::usage(format!(
            "{}:{}: entity `{}` has the key field `{key}`, which dataset `{missing}` does not have",
            spec.path.display(),
            entity.line,
            entity.name
        ))
        .help(format!("{hint}say where it comes from under [entities.{}.fields]", entity.name)));
    }
    Ok(())
}

/// The columns of either side that no field uses.
pub(super) fn unmapped(entity: &Entity, fields: &[Field], source: &Staged, target: &Staged) -> Vec<String> {
    if entity.fields.is_none() {
        return Vec::new();
    }
    let mut names: Vec<String> = Vec::new();
    for (staged, pick) in [(source, (|f: &Field| &f.from) as fn(&Field) -> &Sql), (target, |f: &Field| &f.to)]
    {
        let used: Vec<String> = fields
            .iter()
            .flat_map(|f| match &pick(f).plain_name {
                Some(name) => vec![name.clone()],
                None => {
                    let paths = crate::query::paths(&pick(f).text).unwrap_or_default();
                    paths
                        .iter()
                        .filter_map(|path| staged.column(&path.parts[0]).map(|c| c.name.clone()))
                        .collect()
                }
            })
            .collect();
        names.extend(staged.columns.iter().map(|c| c.name.clone()).filter(|name| !used.contains(name)));
    }
    names.extend(source.folded.iter().flat_map(|folded| folded.unused.clone()));
    names.sort();
    names.dedup();
    names
}

/// The name that was most likely meant, if any is near.
fn nearest<'n>(wanted: &str, names: impl Iterator<Item = &'n String>) -> Option<&'n String> {
    let likeness = |name: &str| strsim::jaro_winkler(&name.to_lowercase(), &wanted.to_lowercase());
    let near = names.map(|name| (likeness(name), name)).filter(|(likeness, _)| *likeness > 0.7);
    near.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}
