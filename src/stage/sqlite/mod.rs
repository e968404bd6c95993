//! SQLite: a table, a view or a query of a file.

use super::Source;
use crate::error::{Error, Result};
use crate::spec::What;

/// Opens a dataset, read-only.
///
/// # Errors
/// A file that is not there or no database; a table that is not there.
pub(crate) fn open(_path: &str, _what: &What) -> Result<Box<dyn Source>> {
    Err(Error::failed("sqlite is not read by this version"))
}
