//! Whether what two stores proved equal still speaks of the sides that are compared.

use super::super::side::Staged;
use crate::error::{Error, Result};
use crate::ledger::proof::Proof;
use crate::spec::Entity;

/// What of both sides was proven equal and not staged.
///
/// # Errors
/// Rows that are not staged on one side, where that was said of another staging of the other, or of another spec (exit 4).
pub(super) fn proven<'a>(
    entity: &Entity,
    source: &'a Staged,
    target: &'a Staged,
) -> Result<Option<&'a Proof>> {
    let (of_source, of_target) = (source.proof.as_ref(), target.proof.as_ref());
    let no_zone = source.dataset.timezone.is_none() && target.dataset.timezone.is_none();
    match (of_source, of_target) {
        (None, None) => Ok(None),
        (Some(one), Some(other)) if one.id == other.id && one.is_of(entity) && no_zone => Ok(Some(one)),
        _ => {
            let partial = if of_source.is_some() { source } else { target };
            let reason = match (of_source, of_target) {
                (Some(one), Some(other)) if one.id == other.id => "the spec has changed since",
                _ => "the other side was staged at another time",
            };
            Err(Error::failed(format!(
                "entity `{}`: of dataset `{}` only those rows are staged that differed from the other side (--changed-only), and {reason}",
                entity.name, partial.dataset.name
            ))
            .help("run `recon stage` again, for both sides"))
        }
    }
}
