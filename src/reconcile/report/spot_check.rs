//! `spot-check.csv`: every value of the records that were picked, one row per field.

use std::path::Path;

use super::csv::{CsvFile, Style};
use super::key_columns;
use crate::error::Result;
use crate::reconcile::show::{Found, ValueShown};
use crate::spec::Entity;

/// Writes the records of some entities. Columns: entity, the key's, field, source_value, target_value, verdict.
///
/// # Errors
/// A disk that is full.
pub fn write(path: &Path, entities: &[&Entity], found: &[Found]) -> Result<()> {
    let style = Style::default();
    let keys = key_columns(&entities.iter().map(|entity| entity.key.as_slice()).collect::<Vec<_>>());
    let rest = ["field", "source_value", "target_value", "verdict"];
    let header = std::iter::once("entity").chain(keys.iter().map(String::as_str)).chain(rest);
    let mut file = CsvFile::create(path, &style, header)?;
    for (entity, key, shown) in found {
        let key = key.iter().map(Option::as_deref).chain(std::iter::repeat(None)).take(keys.len());
        let key: Vec<_> = std::iter::once(Some(entity.as_str())).chain(key).collect();
        for field in &shown.fields {
            let text = |value: &Option<ValueShown>| value.as_ref().and_then(|value| value.text.clone());
            let (source, target) = (text(&field.source), text(&field.target));
            let values = [
                Some(field.name.as_str()),
                source.as_deref(),
                target.as_deref(),
                Some(field.verdict.as_str()),
            ];
            file.row(key.iter().copied().chain(values))?;
        }
    }
    file.finish()
}
