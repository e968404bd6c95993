//! Every record that is not matched, by its key: what the report files say, for callers in the same process.

use std::collections::BTreeSet;

use super::{each_record, field_texts, number, text};
use crate::error::Result;
use crate::reconcile::diff::EntityResult;
use crate::warehouse::Warehouse;

/// A finding and the record that it is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// The key's values, as the reports show them.
    pub key: Vec<Option<String>>,
    /// What is the matter.
    pub finding: Finding,
}

/// What can be the matter with a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// A field differs.
    Mismatch {
        /// The field.
        field: String,
    },
    /// It is not in the target.
    Missing,
    /// It is not in the source.
    Extra,
    /// It could not be compared, on one side or on both.
    Unchecked,
    /// Its key occurs more than once on a side.
    Duplicate {
        /// Its rows in the source.
        source_count: i64,
        /// Its rows in the target.
        target_count: i64,
    },
}

/// The findings of an entity. They are held in memory: for results that are known to be small.
///
/// # Errors
/// What the engine says.
pub fn found(result: &EntityResult, warehouse: &Warehouse) -> Result<BTreeSet<Found>> {
    let mut all = BTreeSet::new();
    let width = result.key.len();
    for look in result.looks.iter().filter(|look| look.has_cells()) {
        warehouse.stream(&look.cells_sql(), |batch| {
            for row in 0..batch.num_rows() {
                let key = (0..width).map(|i| text(&batch, i, row)).collect();
                let field = text(&batch, width, row).unwrap_or_default();
                all.insert(Found { key, finding: Finding::Mismatch { field } });
            }
            Ok(())
        })?;
    }
    for verdict in 2..=5 {
        each_record(result, warehouse, verdict, |_, batch, row| {
            let mut key = field_texts(result, batch, row);
            key.truncate(width);
            let count = |name| number(batch, name, row).unwrap_or(0);
            let finding = match verdict {
                2 => Finding::Missing,
                3 => Finding::Extra,
                4 => Finding::Unchecked,
                _ => Finding::Duplicate {
                    source_count: count("source_count"),
                    target_count: count("target_count"),
                },
            };
            all.insert(Found { key, finding });
            Ok(())
        })?;
    }
    Ok(all)
}
