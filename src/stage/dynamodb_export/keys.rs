//! An item's key in a chain of exports: which attributes it consists of, and its hash, by which the newest row of each
//! item is found. 128 bits, so that no two keys of any table meet by chance.

use xxhash_rust::xxh3::Xxh3;

use crate::error::Result;
use crate::stage::document::typed::KeyValues;
use crate::stage::document::{Change, DocumentBuilder, RowFault, Stop, Tag};

/// The hash of a `Keys` object.
pub(super) fn given_key(keys: &KeyValues) -> u128 {
    let mut hasher = Xxh3::new();
    for (name, (tag, value)) in keys {
        push_part(&mut hasher, name, *tag, value);
    }
    hasher.digest128()
}

/// The hash of the current row's key. `names` are sorted, as a `Keys` object's are in [`given_key`].
///
/// # Errors
/// The row lacks an attribute of the key.
pub(super) fn built_key(builder: &DocumentBuilder, names: &[String]) -> Result<u128, RowFault> {
    let mut hasher = Xxh3::new();
    for name in names {
        match builder.key_value(name) {
            Some((tag, value)) => push_part(&mut hasher, name, tag, value),
            None => return Err(no_key(name)),
        }
    }
    Ok(hasher.digest128())
}

/// Lengths come first, so that no two keys have the same bytes, whatever is in them.
fn push_part(hasher: &mut Xxh3, name: &str, tag: Tag, value: &[u8]) {
    hasher.update(&(name.len() as u64).to_le_bytes());
    hasher.update(name.as_bytes());
    hasher.update(tag.name().as_bytes());
    hasher.update(&(value.len() as u64).to_le_bytes());
    hasher.update(value);
}

/// Holds a record's `Keys` against the attributes that the chain's first record named.
///
/// # Errors
/// One is lacking, or there is one more.
pub(super) fn check_keys(keys: &KeyValues, names: &[String]) -> Result<(), RowFault> {
    if let Some(name) = names.iter().find(|name| !keys.contains_key(*name)) {
        return Err(no_key(name));
    }
    match keys.keys().find(|name| !names.contains(name)) {
        Some(name) => {
            let fault = RowFault::parse("other records of the chain do not have this attribute in their key");
            Err(RowFault { attribute: Some(name.clone()), ..fault })
        }
        None => Ok(()),
    }
}

/// What a line that failed says of its place in the chain, where its key could be read whole.
pub(super) fn failed_change(keys: &KeyValues, names: &[String], window: u32) -> Option<Change> {
    check_keys(keys, names).ok()?;
    Some(Change { key: given_key(keys), window, deleted: false })
}

fn no_key(name: &str) -> RowFault {
    let message = "the item lacks this attribute of its key".to_owned();
    RowFault { code: "null_key", attribute: Some(name.to_owned()), message }
}

/// Writes a key's attributes into the current row.
pub(super) fn push_keys(keys: &KeyValues, builder: &mut DocumentBuilder) -> Result<(), Stop> {
    for (name, (tag, value)) in keys {
        let attribute = builder.attribute(name)?;
        let column = builder.column(attribute, *tag)?;
        column.bytes().extend_from_slice(value);
        column.end_value();
    }
    Ok(())
}
