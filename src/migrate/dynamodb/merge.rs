//! What an item becomes: a record's attributes put into what is there, and the request that says just that.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value as Json, json};

use crate::error::Result;
use crate::migrate::mapped::{Column, Mapped};
use crate::migrate::{Fault, FaultClass};
use crate::spec::OnConflict;
use crate::store::dynamodb::Item;
use crate::store::dynamodb::item::{is_same, to_image};
use crate::value::Number;

/// Attributes in one condition: an expression holds 300 operators and 4 KB
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html#limits-expression-parameters>).
const CONDITIONS_MAX: usize = 120;

/// A record on its way: its key, and an attribute (or none) for each of the columns.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) row: usize,
    pub(super) key: Item,
    pub(super) attributes: Vec<Option<AttributeValue>>,
}

/// The names that lead to a column's value.
pub(super) fn path_of(column: &Column) -> Vec<String> {
    std::iter::once(&column.name).chain(&column.path).cloned().collect()
}

/// The value at a path.
pub(super) fn get<'i>(item: &'i Item, path: &[String]) -> Option<&'i AttributeValue> {
    let (name, rest) = path.split_first()?;
    let value = item.get(name)?;
    match (rest.is_empty(), value) {
        (true, value) => Some(value),
        (false, AttributeValue::M(map)) => get(map, rest),
        (false, _) => None,
    }
}

/// Puts a value at a path, or takes it away.
fn put(item: &mut Item, path: &[String], value: Option<AttributeValue>) -> Result<(), String> {
    let Some((name, rest)) = path.split_first() else { return Ok(()) };
    match (rest.is_empty(), value) {
        (true, Some(value)) => {
            item.insert(name.clone(), value);
        }
        (true, None) => {
            item.remove(name);
        }
        (false, value) => {
            if value.is_none() && !item.contains_key(name) {
                return Ok(());
            }
            let inner = item.entry(name.clone()).or_insert_with(|| AttributeValue::M(HashMap::new()));
            match inner {
                AttributeValue::M(map) => put(map, rest, value)?,
                _ if value.is_none() => {}
                _ => return Err(format!("`{name}` is there and no map, so nothing can be written into it")),
            }
        }
    }
    Ok(())
}

/// The item that a record makes of what is there.
///
/// # Errors
/// A place that cannot be written without losing what is there; values of which nobody can tell which is greater.
pub(super) fn merge(mapped: &Mapped<'_>, wanted: &Wanted, old: Option<&Item>) -> Result<Item, Fault> {
    let mut item = old.cloned().unwrap_or_default();
    item.extend(wanted.key.clone());
    for (column, new) in mapped.columns.iter().zip(&wanted.attributes).filter(|(column, _)| !column.is_key) {
        let path = path_of(column);
        let value = match old {
            Some(old) => chosen(column, new.as_ref(), get(old, &path))?,
            None => new.clone(),
        };
        put(&mut item, &path, value)
            .map_err(|message| Fault::permanent("path", Some(&column.field), message))?;
    }
    Ok(item)
}

/// The value of a column whose record is there.
fn chosen(
    column: &Column,
    new: Option<&AttributeValue>,
    old: Option<&AttributeValue>,
) -> Result<Option<AttributeValue>, Fault> {
    let is_null = |value: Option<&AttributeValue>| matches!(value, None | Some(AttributeValue::Null(_)));
    Ok(match &column.on_conflict {
        OnConflict::Keep => old,
        OnConflict::Coalesce if is_null(new) => old,
        OnConflict::Greatest if is_null(new) => old,
        OnConflict::Greatest if is_null(old) => new,
        OnConflict::Greatest => match (new, old) {
            (Some(new), Some(old)) => match is_less(old, new) {
                Some(true) => Some(new),
                Some(false) => Some(old),
                None => {
                    let message = "`greatest` knows only numbers and texts, both of one type";
                    return Err(Fault::permanent("greatest", Some(&column.field), message));
                }
            },
            (new, old) => new.or(old),
        },
        // SQL of the user's own was refused before.
        OnConflict::Overwrite | OnConflict::Coalesce | OnConflict::Sql(_) => new,
    }
    .cloned())
}

/// Whether a value is less than another: numbers by size, texts by code point; of others nobody knows.
fn is_less(a: &AttributeValue, b: &AttributeValue) -> Option<bool> {
    match (a, b) {
        (AttributeValue::N(a), AttributeValue::N(b)) => Some(Number::parse(a).ok()? < Number::parse(b).ok()?),
        (AttributeValue::S(a), AttributeValue::S(b)) => Some(a < b),
        _ => None,
    }
}

/// Whether what a comparison looks at differs. What recon notes of a record's origin is no reason to write it.
pub(super) fn differs(mapped: &Mapped<'_>, old: &Item, new: &Item) -> bool {
    mapped.compared().any(|column| {
        let path = path_of(column);
        !is_same(get(old, &path), get(new, &path))
    })
}

/// Why a record that is there and differs must not be overwritten, if it must not.
pub(super) fn barred_by_version(mapped: &Mapped<'_>, old: &Item, wanted: &Wanted) -> Option<Fault> {
    let at = mapped.version?;
    let column = &mapped.columns[at];
    let is_higher = match (get(old, &path_of(column)), &wanted.attributes[at]) {
        (None | Some(AttributeValue::Null(_)), _) => true,
        (Some(old), Some(new)) => is_less(old, new).unwrap_or(false),
        (Some(_), None) => false,
    };
    (!is_higher).then(|| {
        let message = format!("what is there differs and has the same or a higher {}", column.name);
        Fault { class: FaultClass::Conflict, ..Fault::permanent("version", Some(&column.field), message) }
    })
}

/// An update's expression; empty where there is nothing to be done.
fn clauses(sets: &[String], removes: &[String]) -> String {
    let clauses = [("SET ", sets), ("REMOVE ", removes)].into_iter().filter(|(_, all)| !all.is_empty());
    clauses.map(|(word, all)| format!("{word}{}", all.join(","))).collect::<Vec<_>>().join(" ")
}

/// An `UpdateItem`: its expressions, with a placeholder for every name and value.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Update {
    pub(super) update: String,
    pub(super) condition: String,
    pub(super) names: HashMap<String, String>,
    pub(super) values: HashMap<String, AttributeValue>,
}

impl Update {
    /// What makes the new item of the old one where that is still as it was: by its version, or by all that is written.
    pub(super) fn new(mapped: &Mapped<'_>, key: &str, old: &Item, new: &Item) -> Self {
        let mut update = Self::default();
        let (mut sets, mut removes): (BTreeMap<Vec<String>, AttributeValue>, Vec<Vec<String>>) =
            Default::default();
        let columns: Vec<&Column> = mapped.columns.iter().filter(|column| !column.is_key).collect();
        let mut changed = Vec::new();
        for column in &columns {
            let path = path_of(column);
            let (before, after) = (get(old, &path), get(new, &path));
            if is_same(before, after) {
                continue;
            }
            changed.push(*column);
            if after.is_none() {
                removes.push(path);
                continue;
            }
            // A map that is not there is written whole: there is no path into it yet.
            let there = (1..path.len()).take_while(|n| get(old, &path[..*n]).is_some()).count();
            let path = path[..=there].to_vec();
            if let Some(value) = get(new, &path) {
                sets.insert(path, value.clone());
            }
        }
        let sets: Vec<String> = sets
            .into_iter()
            .map(|(path, value)| format!("{}={}", update.path(&path), update.value(value)))
            .collect();
        let removes: Vec<String> = removes.iter().map(|path| update.path(path)).collect();
        update.update = clauses(&sets, &removes);
        // An item without a version is told by its attributes, as where the spec names none.
        let version = mapped.version.map(|at| &mapped.columns[at]);
        let guards = match version.filter(|version| get(old, &path_of(version)).is_some()) {
            Some(version) => vec![version],
            None if columns.len() <= CONDITIONS_MAX => columns,
            None => changed,
        };
        let mut conditions = vec![format!("attribute_exists({})", update.path(&[key.to_owned()]))];
        for column in guards {
            let path = path_of(column);
            let name = update.path(&path);
            conditions.push(match get(old, &path) {
                Some(value) => format!("{name}={}", update.value(value.clone())),
                None => format!("attribute_not_exists({name})"),
            });
        }
        update.condition = conditions.join(" AND ");
        update
    }

    /// What makes one item of another that is still as it was, attribute by attribute; of a great many, those that are to be changed
    /// come first. `keys` are the key's, the partition key first. Nothing is to be updated where both are the same.
    pub(super) fn between(keys: &[String], old: &Item, new: &Item) -> Self {
        let mut update = Self::default();
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).filter(|n| !keys.contains(n)).collect();
        let (kept, changed): (Vec<&String>, Vec<&String>) =
            names.into_iter().partition(|name| is_same(old.get(*name), new.get(*name)));
        let (mut sets, mut removes) = (Vec::new(), Vec::new());
        for name in &changed {
            let place = update.name(name);
            match new.get(*name) {
                Some(value) => sets.push(format!("{place}={}", update.value(value.clone()))),
                None => removes.push(place),
            }
        }
        update.update = clauses(&sets, &removes);
        let mut conditions = vec![format!("attribute_exists({})", update.name(&keys[0]))];
        for name in changed.into_iter().chain(kept).take(CONDITIONS_MAX) {
            let place = update.name(name);
            conditions.push(match old.get(name) {
                Some(value) => format!("{place}={}", update.value(value.clone())),
                None => format!("attribute_not_exists({place})"),
            });
        }
        update.condition = conditions.join(" AND ");
        update
    }

    /// What makes an item where there is none.
    pub(super) fn creating(partition_key: &str, key: &Item, new: &Item) -> Self {
        let mut update = Self::default();
        let attributes: BTreeMap<&String, &AttributeValue> =
            new.iter().filter(|(name, _)| !key.contains_key(*name)).collect();
        let sets: Vec<String> = attributes
            .into_iter()
            .map(|(name, value)| format!("{}={}", update.name(name), update.value(value.clone())))
            .collect();
        if !sets.is_empty() {
            update.update = format!("SET {}", sets.join(","));
        }
        update.condition = format!("attribute_not_exists({})", update.name(partition_key));
        update
    }

    /// It as a request in JSON
    /// (<https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateItem.html>).
    pub(super) fn request(&self, table: &str, key: &Item) -> Result<Json> {
        let mut request = json!({
            "TableName": table, "Key": to_image(key)?, "ConditionExpression": self.condition,
            "ExpressionAttributeNames": self.names,
        });
        // An empty one is refused.
        if !self.update.is_empty() {
            request["UpdateExpression"] = json!(self.update);
        }
        if !self.values.is_empty() {
            request["ExpressionAttributeValues"] = Json::Object(to_image(&self.values)?);
        }
        Ok(request)
    }

    fn path(&mut self, path: &[String]) -> String {
        let names: Vec<String> = path.iter().map(|name| self.name(name)).collect();
        names.join(".")
    }

    fn name(&mut self, name: &str) -> String {
        let known = self.names.iter().find(|(_, known)| *known == name).map(|(place, _)| place.clone());
        known.unwrap_or_else(|| {
            let place = format!("#{}", self.names.len());
            self.names.insert(place.clone(), name.to_owned());
            place
        })
    }

    fn value(&mut self, value: AttributeValue) -> String {
        let place = format!(":{}", self.values.len());
        self.values.insert(place.clone(), value);
        place
    }
}
