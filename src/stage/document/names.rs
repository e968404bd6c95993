//! Physical column names of one dataset's documents.
//!
//! A document's attribute and type become the column `<stem>:<TYPE>`. DuckDB ignores the case of ASCII letters in names,
//! so attributes that differ only in that get different stems: `Name`, then `name~2`, in the order in which they are first
//! met. One registry is shared by everything that reads the dataset, and can be read out and loaded again, so that a
//! run that resumes goes on with the same names.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Mutex, MutexGuard};

use crate::error::{Error, Result};
use crate::stage::sink::PartColumn;

/// Columns that one dataset may have. Each costs memory in every worker and a place in every query.
pub const COLUMNS_MAX: usize = 2_000;

/// The names of one dataset, shared by its readers.
#[derive(Debug)]
pub struct Names {
    dataset: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    stems: BTreeMap<String, String>,
    taken: HashSet<String>,
    columns: BTreeSet<(String, String)>,
}

impl Names {
    /// An empty registry for the dataset called `dataset` in the spec.
    pub fn new(dataset: &str) -> Self {
        Self { dataset: dataset.to_owned(), state: Mutex::default() }
    }

    /// The dataset's name in the spec.
    pub fn dataset(&self) -> &str {
        &self.dataset
    }

    /// Loads what an earlier run assigned, as pairs of attribute and stem. Pairs that are known already are kept.
    pub fn preload(&self, stems: impl IntoIterator<Item = (String, String)>) {
        let mut state = self.state();
        for (attribute, stem) in stems {
            state.taken.insert(stem.to_ascii_lowercase());
            state.stems.entry(attribute).or_insert(stem);
        }
    }

    /// Loads the columns of parts that were staged before. Columns that belong to no attribute are passed over.
    pub fn preload_columns<'a>(&self, columns: impl IntoIterator<Item = &'a PartColumn>) {
        for column in columns {
            let suffix = format!(":{}", column.tag);
            if let Some(stem) = column.physical.strip_suffix(&suffix).filter(|_| !column.tag.is_empty()) {
                self.preload([(column.attribute.clone(), stem.to_owned())]);
                self.state().columns.insert((column.attribute.clone(), column.tag.clone()));
            }
        }
    }

    /// All attributes met so far with their stems, sorted by attribute.
    pub fn stems(&self) -> Vec<(String, String)> {
        self.state().stems.iter().map(|(attribute, stem)| (attribute.clone(), stem.clone())).collect()
    }

    /// The physical name of an attribute's column of one type, assigned now where it is new.
    ///
    /// # Errors
    /// More than [`COLUMNS_MAX`] columns (exit 4).
    pub fn physical(&self, attribute: &str, tag: &str) -> Result<String> {
        let mut state = self.state();
        let column = (attribute.to_owned(), tag.to_owned());
        if !state.columns.contains(&column) {
            if state.columns.len() >= COLUMNS_MAX {
                return Err(self.too_many());
            }
            state.columns.insert(column);
        }
        let stem = state.stem(attribute);
        Ok(format!("{stem}:{tag}"))
    }

    fn too_many(&self) -> Error {
        let dataset = &self.dataset;
        Error::failed(format!(
            "dataset `{dataset}` has more than {COLUMNS_MAX} top-level attributes and types"
        ))
        .help(
            "attributes whose names hold data (ids, dates) belong in a map below one attribute; \
             rewrite the input so, or split it into several datasets",
        )
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no reader panics while it holds the names")
    }
}

impl State {
    fn stem(&mut self, attribute: &str) -> String {
        if let Some(stem) = self.stems.get(attribute) {
            return stem.clone();
        }
        // DuckDB's names end at a NUL.
        let plain = attribute.replace('\0', "\u{fffd}");
        let mut stem = plain.clone();
        let mut n = 2;
        // An attribute may itself be called `name~2`, so a number is only taken where nobody has it.
        while !self.taken.insert(stem.to_ascii_lowercase()) {
            stem = format!("{plain}~{n}");
            n += 1;
        }
        self.stems.insert(attribute.to_owned(), stem.clone());
        stem
    }
}

#[cfg(test)]
mod tests;
