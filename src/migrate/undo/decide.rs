//! What is done about a row, by what a change made of it and by what is there.

use serde_json::Value as Json;

use super::{Conflict, Guard, Kind, OnConflict};
use crate::ledger::manifest::{Change, Image};

/// What is to be done about a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// It is as it was before the change.
    Nothing,
    /// It stays as it is.
    Conflict(Conflict),
    /// It goes. `forced`: somebody has changed it.
    Remove {
        /// Whether a conflict was overridden.
        forced: bool,
    },
    /// It is written whole: over what is there, or anew.
    Write(Write),
}

/// A row that is written back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Write {
    /// What the row is to be.
    pub row: Image,
    /// Whether it is not there.
    pub is_new: bool,
    /// Whether somebody's columns stay.
    pub merged: bool,
    /// Whether a conflict was overridden.
    pub forced: bool,
}

/// Decides what is to be done to take a change back. `now` is what is there, `digest` the digest of that.
pub fn decide(change: &Change, now: Option<&Image>, digest: Option<&str>, guard: &Guard) -> Step {
    if let Some(conflict) = respelled(change, now, guard) {
        return Step::Conflict(conflict);
    }
    let is_ours = match (&change.post_hash, digest) {
        (Some(ours), Some(digest)) => ours == digest || is_ours_again(change, now, guard),
        (None, None) => true,
        _ => false,
    };
    let is_old = match (&change.pre, now) {
        (Some(pre), Some(now)) => is_same(pre, now, guard),
        (None, None) => true,
        _ => false,
    };
    let added = now.filter(|_| change.pre.is_none() && is_ours).and_then(|now| added(now, &guard.columns));
    let kind = match (now, &change.post_hash, added) {
        (_, _, Some(_)) => Kind::Schema,
        _ if is_ours => return back(change, now, guard, false),
        _ if is_old => return Step::Nothing,
        (None, ..) => Kind::Deleted,
        (Some(_), None, _) => Kind::Recreated,
        (Some(_), Some(_), _) => Kind::Changed,
    };
    match guard.policy {
        OnConflict::Force => back(change, now, guard, true),
        OnConflict::Merge if kind == Kind::Changed => {
            merged(change, now, guard).map_or_else(|| conflict(kind, now, added), Step::Write)
        }
        OnConflict::Skip | OnConflict::Merge | OnConflict::Abort => conflict(kind, now, added),
    }
}

fn conflict(kind: Kind, now: Option<&Image>, added: Option<&str>) -> Step {
    let detail = added.map(|name| format!("column {name}"));
    Step::Conflict(Conflict { kind, now: now.cloned(), detail })
}

/// A column that has a value and that a row did not have then.
fn added<'i>(now: &'i Image, columns: &[String]) -> Option<&'i str> {
    let mut new = now.iter().filter(|(name, value)| !value.is_null() && !columns.contains(name));
    // Where a row is all that it holds, the digest tells of any attribute.
    new.next().filter(|_| !columns.is_empty()).map(|(name, _)| name.as_str())
}

/// A row that only the index takes for that of the key: somebody has spelled it otherwise, or its column has another type. No policy
/// overrides that, since nobody can tell which row is meant.
fn respelled(change: &Change, now: Option<&Image>, guard: &Guard) -> Option<Conflict> {
    let now = now.filter(|_| !guard.columns.is_empty())?;
    let (name, _) = change.key.iter().find(|(name, value)| now.get(*name) != Some(*value))?;
    let detail = Some(format!("its key is spelled otherwise now, in column {name}"));
    Some(Conflict { kind: Kind::Changed, now: Some(now.clone()), detail })
}

/// Whether a row is what the change made of it, but for a version that went forward when a rollback was undone.
fn is_ours_again(change: &Change, now: Option<&Image>, guard: &Guard) -> bool {
    let (Some(post), Some(now), Some(_)) = (&change.post, now, &guard.version) else { return false };
    is_same(post, now, guard) && added(now, &guard.columns).is_none()
}

/// Whether both are one row, but for its version. Columns that the old image does not have are of a later table.
fn is_same(pre: &Image, now: &Image, guard: &Guard) -> bool {
    let is_version = |name: &String| guard.version.as_ref() == Some(name);
    let is_whole =
        !guard.columns.is_empty() || now.keys().all(|name| pre.contains_key(name) || is_version(name));
    is_whole && pre.iter().all(|(name, value)| is_version(name) || now.get(name) == Some(value))
}

/// Takes a change back, whatever is there.
fn back(change: &Change, now: Option<&Image>, guard: &Guard, forced: bool) -> Step {
    match (&change.pre, now) {
        (None, None) => Step::Nothing,
        (None, Some(_)) => Step::Remove { forced },
        (Some(pre), None) => Step::Write(Write { row: pre.clone(), is_new: true, merged: false, forced }),
        (Some(pre), Some(now)) => {
            let mut row = pre.clone();
            // What the table has got since stays.
            let later = |name: &String| !guard.columns.is_empty() && !pre.contains_key(name);
            row.extend(
                now.iter().filter(|(name, _)| later(name)).map(|(name, value)| (name.clone(), value.clone())),
            );
            forward(&mut row, pre, now, guard);
            Step::Write(Write { row, is_new: false, merged: false, forced })
        }
    }
}

/// Puts back what is still as the change wrote it, if anything is.
fn merged(change: &Change, now: Option<&Image>, guard: &Guard) -> Option<Write> {
    let (pre, post, now) = (change.pre.as_ref()?, change.post.as_ref()?, now?);
    let mut row = now.clone();
    let mut any = false;
    let names: std::collections::BTreeSet<&String> = pre.keys().chain(post.keys()).collect();
    for name in names.into_iter().filter(|name| guard.version.as_ref() != Some(name)) {
        let (before, ours, there) = (pre.get(name), post.get(name), now.get(name));
        if before == ours || ours != there {
            continue;
        }
        any = true;
        match before {
            Some(value) => row.insert(name.clone(), value.clone()),
            None => row.remove(name),
        };
    }
    forward(&mut row, now, now, guard);
    any.then_some(Write { row, is_new: false, merged: true, forced: false })
}

/// A version goes forward: one above what is there and what was, where both are whole numbers; else it stays as it is there.
fn forward(row: &mut Image, pre: &Image, now: &Image, guard: &Guard) {
    let Some(name) = &guard.version else { return };
    let number = |image: &Image| image.get(name).and_then(whole_number);
    let next = number(now).map(|there| there.max(number(pre).unwrap_or(there)) + 1);
    match (next, now.get(name)) {
        (Some(next), Some(there)) => row.insert(name.clone(), like(there, next)),
        (None, Some(there)) => row.insert(name.clone(), there.clone()),
        (_, None) => return,
    };
}

/// The whole number of a value in an image: a text, with the letter of SQLite's storage class before it, or DynamoDB's `{"N": …}`.
fn whole_number(value: &Json) -> Option<i128> {
    let text = value.as_str().or_else(|| value.get("N")?.as_str())?;
    text.strip_prefix("i:").unwrap_or(text).parse().ok()
}

/// A number in the form of another value.
fn like(value: &Json, number: i128) -> Json {
    match value.as_str() {
        Some(text) if text.starts_with("i:") => Json::String(format!("i:{number}")),
        Some(_) => Json::String(number.to_string()),
        None => serde_json::json!({ "N": number.to_string() }),
    }
}
