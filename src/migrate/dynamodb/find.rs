//! What is there under some keys, and what was announced of them.

use std::collections::HashMap;

use super::REQUESTS;
use super::link::{How, Link, Stop};
use super::write::side_by_side;
use crate::error::Result;
use crate::ledger::manifest::Change;
use crate::migrate::{Fault, FaultClass, Trouble};
use crate::store::dynamodb::Item;
use crate::store::dynamodb::item::from_image;

/// Keys of one `BatchGetItem` (DynamoDB's limit).
const KEYS_AT_ONCE: usize = 100;

/// Both by the text of the key.
#[derive(Default)]
pub(super) struct Found {
    pub(super) items: HashMap<String, Item>,
    /// Why an item could not be read.
    pub(super) faults: HashMap<String, Fault>,
}

impl Link {
    /// Reads the items of some keys.
    pub(super) async fn find(&self, how: How<'_>, keys: &[Item]) -> Result<Found, Trouble> {
        let chunks: Vec<&[Item]> = keys.chunks(KEYS_AT_ONCE).collect();
        let pages = side_by_side(REQUESTS, &chunks, async |chunk| self.find_chunk(how, chunk).await);
        let mut found = Found::default();
        for page in pages.await? {
            found.items.extend(page.items);
            found.faults.extend(page.faults);
        }
        Ok(found)
    }

    async fn find_chunk(&self, how: How<'_>, chunk: &[Item]) -> Result<Found, Trouble> {
        let mut found = Found::default();
        let refused = match self.get(how, chunk).await {
            Ok(items) => return Ok(Found { items, ..found }),
            Err(Stop::Batch(trouble)) => return Err(trouble),
            Err(Stop::Record(fault)) => fault,
        };
        if refused.class == FaultClass::Retryable {
            found.faults = chunk.iter().map(|key| (self.key_text(key), refused.clone())).collect();
            return Ok(found);
        }
        // One key can spoil the request for all.
        for key in chunk {
            match self.get(how, std::slice::from_ref(key)).await {
                Ok(items) => found.items.extend(items),
                Err(Stop::Batch(trouble)) => return Err(trouble),
                Err(Stop::Record(fault)) => {
                    found.faults.insert(self.key_text(key), fault);
                }
            }
        }
        tracing::debug!("keys were read one by one: {}", refused.message);
        Ok(found)
    }

    /// What an earlier try announced, by the text of the key; of a key's changes the first.
    ///
    /// # Errors
    /// A damaged image.
    pub(super) fn announced<'c>(&self, earlier: &'c [Change]) -> Result<HashMap<String, &'c Change>> {
        let mut all = HashMap::new();
        for change in earlier {
            all.entry(self.key_text(&from_image(&change.key)?)).or_insert(change);
        }
        Ok(all)
    }
}
