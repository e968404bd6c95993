//! The keys of changes as people write them.

use std::collections::HashSet;

use serde_json::Value as Json;

use crate::ledger::manifest::Image;
use crate::migrate::undo::Undo;

/// Keys that were asked for, as texts in the order of the entity's key.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    keys: HashSet<Vec<String>>,
    found: HashSet<Vec<String>>,
}

impl Wanted {
    /// Takes keys as texts.
    pub fn new(keys: impl IntoIterator<Item = Vec<String>>) -> Self {
        Self { keys: keys.into_iter().collect(), found: HashSet::new() }
    }

    /// Whether a key is asked for. `names` are the fields of the entity's key, in order.
    pub fn takes(&mut self, undo: &dyn Undo, key: &Image, names: &[String]) -> bool {
        let texts: Vec<String> = texts(undo, key, names).into_iter().map(Option::unwrap_or_default).collect();
        let is_asked = self.keys.contains(&texts);
        if is_asked {
            self.found.insert(texts);
        }
        is_asked
    }

    /// Those of which there was no change.
    pub fn not_found(&self) -> Vec<String> {
        let mut all: Vec<String> = self.keys.difference(&self.found).map(|key| key.join(", ")).collect();
        all.sort();
        all
    }
}

/// The texts of a key in the order of the entity's.
pub fn texts(undo: &dyn Undo, key: &Image, names: &[String]) -> Vec<Option<String>> {
    ordered(!undo.columns().is_empty(), key, names).into_iter().map(|value| undo.text(value)).collect()
}

/// The values of a key in the order of the entity's. A table's column may have the name of another field of the key, so there only the order
/// counts, in which it was written; items of DynamoDB have none, and are named as the table's key is.
pub fn ordered<'k>(is_table: bool, key: &'k Image, names: &[String]) -> Vec<&'k Json> {
    if is_table {
        return key.values().collect();
    }
    let named: Vec<&Json> = names.iter().filter_map(|name| key.get(name)).collect();
    if named.len() == key.len() { named } else { key.values().collect() }
}
