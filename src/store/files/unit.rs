//! What is read alone, and what tells one state of it from another.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{Context, Result};

/// Something that can be read, checked and resumed alone: a file, or a range of a live table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The file; for a live table a name of the range, which stays the same from one run to the next.
    pub path: PathBuf,
    /// Its state when it was listed; for a live table the moment as of which it is read.
    pub stamp: Stamp,
    /// Its size in bytes; for a live table an estimate.
    pub bytes: u64,
    /// What a manifest says of it, where there is one.
    pub expected: Option<Expected>,
    /// The store's file in which a range of places lies; what was read of another file does not go with it.
    pub file: Option<i64>,
    /// Which export of a chain it belongs to: 0 for the full one, then the increments in order.
    pub window: u32,
    /// Whether it is a range of a live table rather than a file.
    pub is_live: bool,
}

/// What an export's manifest says of a data file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Base64 of the MD5 of the file's bytes.
    pub md5: String,
    /// Items in the file.
    pub items: u64,
}

/// What tells one state of a file from another without reading it. The change time cannot be set by hand, so a file
/// rewritten with its old size and modification time is still noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp(pub String);

impl Stamp {
    /// Reads size, inode, modification time and change time.
    ///
    /// # Errors
    /// A file that is not there or cannot be read.
    pub fn of(path: &Path) -> Result<Self> {
        let m = std::fs::metadata(path).or_failed(|| format!("cannot read {}", path.display()))?;
        let times = (m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec());
        Ok(Self(format!("{}:{}:{}.{:09}:{}.{:09}", m.size(), m.ino(), times.0, times.1, times.2, times.3)))
    }
}
