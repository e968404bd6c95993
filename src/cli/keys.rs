//! Keys that a user names: on the command line, or in a CSV as our reports are.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Context, Error, Result};
use crate::spec::Entity;

/// Keys of a file.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// By entity, each as texts in the order of the entity's key.
    pub(super) by_entity: BTreeMap<String, Vec<Vec<String>>>,
    /// The first entity of a row that is none of those asked for.
    pub(super) passed: Option<String>,
}

/// Keys of one field, separated by commas, and whose they are.
///
/// # Errors
/// Several entities; a key of several fields (exit 2).
pub(super) fn of_ids(ids: &str, entities: &[&Entity]) -> Result<(String, Vec<Vec<String>>)> {
    let [entity] = entities else {
        return Err(
            Error::usage("--ids needs to know of which entity the records are").help("name it with --entity")
        );
    };
    if entity.key.len() != 1 {
        return Err(Error::usage(format!("--ids: the key of entity `{}` has several fields", entity.name))
            .help("write them into a CSV with a header: --ids @keys.csv"));
    }
    Ok((entity.name.clone(), ids.split(',').map(|id| vec![id.trim().to_owned()]).collect()))
}

/// Keys of a CSV whose header names the key's fields, as our reports do; where it has a column `entity`, that says of which entity a
/// record is. A key that comes several times in a row is taken once.
///
/// # Errors
/// A file that cannot be read, or does not have the keys (exit 2).
pub(super) fn of_file(path: &Path, entities: &[&Entity]) -> Result<Found> {
    let fail = || format!("cannot read {}", path.display());
    let mut rows = csv::Reader::from_path(path).or_failed(fail)?;
    let header: Vec<String> = rows.headers().or_failed(fail)?.iter().map(str::to_owned).collect();
    let of_entity = header.iter().position(|name| name == "entity");
    if of_entity.is_none() && entities.len() > 1 {
        return Err(Error::usage(format!(
            "{}: no column `entity` says of which entity the records are",
            path.display()
        ))
        .help("name it with --entity"));
    }
    let mut found = Found::default();
    for row in rows.records() {
        let row = row.or_failed(fail)?;
        let entity = match of_entity {
            Some(at) => {
                let name = row.get(at).unwrap_or_default();
                let Some(entity) = entities.iter().find(|e| e.name == name) else {
                    found.passed.get_or_insert_with(|| name.to_owned());
                    continue;
                };
                entity
            }
            None => entities[0],
        };
        let field = |(i, field): (usize, &String)| {
            let is_it = |name: &String| name == field || name.split('/').any(|one| one == field);
            // In our reports the key comes right behind the entity.
            let at = of_entity.map(|at| at + 1 + i).filter(|at| header.get(*at).is_some_and(is_it));
            let at = at.or_else(|| header.iter().position(|name| name == field))?;
            row.get(at).map(str::to_owned)
        };
        let key: Option<Vec<String>> = entity.key.iter().enumerate().map(field).collect();
        let Some(key) = key else {
            return Err(Error::usage(format!(
                "{}: it does not have the key of entity `{}`: {}",
                path.display(),
                entity.name,
                entity.key.join(", ")
            ))
            .help("its first line names the key's fields"));
        };
        let keys = found.by_entity.entry(entity.name.clone()).or_default();
        if keys.last() != Some(&key) {
            keys.push(key);
        }
    }
    Ok(found)
}

/// A file whose rows are all of entities that are not asked for.
pub(super) fn of_others(path: &Path, first: &str) -> Error {
    Error::usage(format!(
        "{}: no row is of an entity that is asked for; the first is of `{first}`",
        path.display()
    ))
    .help("its column `entity` names entities of the spec")
}
