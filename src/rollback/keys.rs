//! The keys of changes as people write them.

use std::collections::HashSet;

use serde_json::Value as Json;

use crate::ledger::manifest::Image;
use crate::value::Number;

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
    pub fn takes(&mut self, key: &Image, names: &[String]) -> bool {
        let texts = spellings(key, names);
        let Some(found) = texts.into_iter().find(|texts| self.keys.contains(texts)) else { return false };
        if !self.found.contains(&found) {
            self.found.insert(found);
        }
        true
    }

    /// Those of which there was no change.
    pub fn not_found(&self) -> Vec<String> {
        let mut all: Vec<String> = self.keys.difference(&self.found).map(|key| key.join(", ")).collect();
        all.sort();
        all
    }
}

/// The texts of a key: as they stand in the manifest and, of numbers, without zeros that say nothing.
fn spellings(key: &Image, names: &[String]) -> Vec<Vec<String>> {
    let plain = texts(key, names).into_iter().map(Option::unwrap_or_default).collect();
    let numbers = ordered(key, names).into_iter().map(|value| match number_of(value) {
        Some(number) => number,
        None => text_of(value).unwrap_or_default(),
    });
    vec![plain, numbers.collect()]
}

/// The texts of a key in the order of the entity's.
pub fn texts(key: &Image, names: &[String]) -> Vec<Option<String>> {
    ordered(key, names).into_iter().map(text_of).collect()
}

fn ordered<'k>(key: &'k Image, names: &[String]) -> Vec<&'k Json> {
    let named: Vec<&Json> = names.iter().filter_map(|name| key.get(name)).collect();
    if named.len() == key.len() { named } else { key.values().collect() }
}

/// A value of an image for people: without the letter of SQLite's storage class, and without DynamoDB's tag.
pub fn text_of(value: &Json) -> Option<String> {
    match value {
        Json::Null => None,
        Json::String(text) => Some(text.clone()),
        Json::Object(tagged) if tagged.len() == 1 => match tagged.iter().next() {
            Some((tag, Json::String(text))) if matches!(tag.as_str(), "S" | "N" | "B") => Some(text.clone()),
            _ => Some(value.to_string()),
        },
        other => Some(other.to_string()),
    }
}

/// The digits of a value that says of itself that it is a number.
fn number_of(value: &Json) -> Option<String> {
    let text = value.get("N")?.as_str()?;
    Number::parse(text).ok().map(|number| number.to_string())
}
