//! Where files lie: on this machine, or in S3, where a file's path is its whole URI.
//!
//! `local.rs` and `s3.rs` answer the same questions; `object.rs` reads an object in ranges, ahead of its reader,
//! `upload.rs` writes one.

mod local;
mod object;
mod s3;
mod unit;
mod upload;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bytes::Bytes;
use parquet::errors::Result as ParquetResult;
use parquet::file::reader::{ChunkReader, Length};

use crate::error::{Context, Error, Result};
use crate::spec::Storage;
use crate::store::aws::Refused;
pub(crate) use local::{has_extension, temporary};
use object::Object;
use s3::S3;
pub use unit::{Expected, Stamp, Unit};

/// The files of a dataset.
#[derive(Debug, Default)]
pub struct Files {
    storage: Storage,
    s3: OnceLock<S3>,
}

/// What lies directly in a folder.
#[derive(Debug, Default)]
pub(crate) struct Folder {
    /// Its files by path: by its very bytes, since `a/b` and `a//b` are one path, but two objects.
    pub(crate) files: BTreeMap<OsString, Unit>,
    /// The folders in it, sorted.
    pub(crate) folders: Vec<PathBuf>,
}

/// Whether a path is an object's URI.
pub(crate) fn is_remote(path: impl AsRef<Path>) -> bool {
    path.as_ref().to_str().is_some_and(|path| path.starts_with("s3://"))
}

impl Folder {
    /// The file at this very path.
    pub(crate) fn file(&self, path: &Path) -> Option<&Unit> {
        self.files.get(path.as_os_str())
    }
}

impl Files {
    /// Files of which those in object storage are reached like this. Nothing is asked yet.
    pub fn new(storage: &Storage) -> Self {
        Self { storage: storage.clone(), s3: OnceLock::new() }
    }

    fn s3(&self) -> &S3 {
        self.s3.get_or_init(|| S3::new(&self.storage))
    }

    /// The files that `uri` means, sorted by path: a file, a folder or a glob.
    ///
    /// A file is taken whatever its name, and so is what a glob (`*`, `?`, `[…]`, `**`) matches, but for hidden files. Of a
    /// folder that is named or matched, and of the folders below it, the files are taken whose names end in one of
    /// `extensions` (`.csv`), compressed or not (`.csv.gz`, `.csv.zst`); names that begin with `.` or `_` are passed over, as
    /// most tools that write such folders mark what is unfinished so.
    ///
    /// # Errors
    /// Nothing there, nothing in it, or nothing that may be read (exit 4); a glob that is none (exit 2).
    pub fn list(&self, uri: &str, extensions: &[&str]) -> Result<Vec<Unit>> {
        let mut units =
            if is_remote(uri) { self.s3().list(uri, extensions)? } else { local::list(uri, extensions)? };
        units.sort_by(|a, b| a.path.as_os_str().cmp(b.path.as_os_str()));
        Ok(units)
    }

    /// Whether [`Files::list`] would give a file of this name in this folder, if it were there.
    pub(crate) fn would_list(uri: &str, extensions: &[&str], folder: &Path, name: &str) -> bool {
        match (is_remote(uri), is_remote(folder)) {
            (true, true) => s3::would_list(uri, extensions, &folder.join(name)),
            (false, false) => local::would_list(uri, extensions, folder, name),
            _ => false,
        }
    }

    /// The file at this very path, if there is one.
    ///
    /// # Errors
    /// A store that cannot be reached or does not let us look.
    pub fn file(&self, path: &Path) -> Result<Option<Unit>> {
        if is_remote(path) {
            return self.s3().file(path);
        }
        if path.is_file() { local::unit(path.to_path_buf()).map(Some) } else { Ok(None) }
    }

    /// What lies in a folder; `None` where there is no such folder.
    ///
    /// # Errors
    /// A folder that cannot be listed.
    pub(crate) fn folder(&self, path: &Path) -> Result<Option<Folder>> {
        if is_remote(path) { self.s3().folder(path) } else { local::folder(path) }
    }

    /// The same path however it was written.
    pub(crate) fn canonical(&self, path: &Path) -> PathBuf {
        // A relative path such as `.` has no visible parents.
        if is_remote(path) { None } else { fs::canonicalize(path).ok() }.unwrap_or_else(|| path.to_path_buf())
    }

    /// Opens a file, as it was when it was listed, to read its bytes from start to end. Those of an object are held against
    /// the checksum that the store has of it.
    ///
    /// # Errors
    /// A file that is gone, cannot be opened, or changed since it was listed.
    pub(crate) fn open(&self, unit: &Unit) -> Result<Box<dyn Read + Send>> {
        let path = &unit.path;
        if is_remote(path) {
            return Ok(Box::new(self.s3().open(unit)?));
        }
        let file = File::open(path).or_failed(|| format!("cannot read {}", path.display()))?;
        if self.stamp(unit)? == unit.stamp { Ok(Box::new(file)) } else { Err(changed(path)) }
    }

    /// A unit's state now.
    ///
    /// # Errors
    /// A file that is gone.
    pub(crate) fn stamp(&self, unit: &Unit) -> Result<Stamp> {
        let now = self.file(&unit.path)?;
        now.map(|now| now.stamp).ok_or_else(|| Error::failed(format!("{} is gone", unit.path.display())))
    }

    /// Opens a file to read it here and there, such as a Parquet file's footer.
    ///
    /// # Errors
    /// A file that is gone or cannot be opened.
    pub(crate) fn random(&self, unit: &Unit) -> Result<Random> {
        if is_remote(&unit.path) {
            return Ok(Random::Object(self.s3().object(unit)));
        }
        let file = File::open(&unit.path).or_failed(|| format!("cannot read {}", unit.path.display()))?;
        Ok(Random::Local(file))
    }

    /// A small file's bytes.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(crate) fn read(&self, unit: &Unit) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = self.open(unit)?.read_to_end(&mut bytes);
        read.or_failed(|| format!("cannot read {}", unit.path.display()))?;
        Ok(bytes)
    }
}

/// Files are also written: parts of a target, and reports may go where the data is.
impl Files {
    /// Writes a whole file, or replaces it: it is there with all of its bytes, or as it was before.
    ///
    /// # Errors
    /// A disk that is full or refuses; a store that cannot be reached or does not allow it. Then also whether the file may be there
    /// nevertheless.
    pub(crate) fn put(&self, path: &Path, bytes: &[u8]) -> Result<(), Unsent> {
        match is_remote(path) {
            true => self.s3().send(bytes, bytes.len() as u64, path).map_err(Unsent::from),
            false => local::put(path, bytes).map_err(|error| Unsent { error, is_unknown: false }),
        }
    }

    /// Copies a file to an object.
    ///
    /// # Errors
    /// A file that cannot be read; a store that cannot be reached or does not allow it.
    pub(crate) fn send(&self, file: &Path, object: &Path) -> Result<()> {
        let fail = || format!("cannot read {}", file.display());
        let from = File::open(file).or_failed(fail)?;
        let bytes = from.metadata().or_failed(fail)?.len();
        self.s3().send(from, bytes, object).map_err(Refused::into_error)
    }

    /// Removes a file, if it is there.
    ///
    /// # Errors
    /// A disk that refuses; a store that cannot be reached or does not allow it.
    pub(crate) fn remove(&self, path: &Path) -> Result<()> {
        if is_remote(path) {
            return self.s3().remove(path).map_err(Refused::into_error);
        }
        match fs::remove_file(path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::failed(format!("cannot remove {}", path.display())).caused_by(e))
            }
            _ => Ok(()),
        }
    }
}

/// A file that was not written.
#[derive(Debug)]
pub(crate) struct Unsent {
    /// Why.
    pub(crate) error: Error,
    /// It may be there nevertheless: the store's answer is missing.
    pub(crate) is_unknown: bool,
}

impl From<Refused> for Unsent {
    fn from(refused: Refused) -> Self {
        Self { is_unknown: refused.is_unknown(), error: refused.into_error() }
    }
}

/// The error for a file that is not what it was when it was listed.
fn changed(path: &Path) -> Error {
    Error::failed(format!("{} changed while it was being staged", path.display()))
        .help("run `recon stage` again once nobody writes to it")
}

/// The error for a location that does not exist.
pub(crate) fn not_there(uri: &str) -> Error {
    let help = if is_remote(uri) {
        "`uri` is an object, what its keys begin with, or a glob; names are compared with their case"
    } else {
        "`uri` is a file, a folder or a glob; a relative one starts at the folder of the spec"
    };
    Error::failed(format!("{uri} is not there")).help(help)
}

/// The error for a folder without a file of the kind.
fn none_of_the_kind(uri: &str, extensions: &[&str]) -> Error {
    let known = extensions.join(", ");
    Error::failed(format!("{uri} holds no file that ends in {known} (or these with .gz, .zst)"))
        .help("name the files themselves, or a glob that matches them, as `uri`")
}

/// A pattern of paths, in which `*` does not match a hidden name.
fn pattern(text: &str) -> Result<glob::Pattern> {
    glob::Pattern::new(text).map_err(|e| no_pattern(text, e))
}

fn no_pattern(text: &str, error: glob::PatternError) -> Error {
    Error::usage(format!("{text} is no glob"))
        .caused_by(error)
        .help("write `[[]`, `[*]` or `[?]` where the character itself is meant")
}

/// A glob over keys or whole paths.
struct Glob<'a> {
    text: &'a str,
    pattern: glob::Pattern,
    /// Only what lies in folders that it matches.
    only_folders: bool,
}

impl<'a> Glob<'a> {
    fn new(text: &'a str) -> Result<Self> {
        let (text, only_folders) = (text.trim_end_matches('/'), text.ends_with('/'));
        Ok(Self { text, pattern: pattern(text)?, only_folders })
    }

    /// Whether it means the file at this path: it matches it, or a folder above it that gives it.
    fn takes(&self, path: &str, extensions: &[&str]) -> bool {
        let is_in = |at: usize| {
            self.pattern.matches_with(&path[..at], MATCHING)
                && is_meant(self.text, &path[..at])
                && is_in_folder(&path[at + 1..], extensions)
        };
        !self.only_folders && self.pattern.matches_with(path, MATCHING)
            || path.match_indices('/').any(|(at, _)| is_in(at))
    }
}

/// Whether a folder gives the file at this path below it.
fn is_in_folder(path: &str, extensions: &[&str]) -> bool {
    path.split('/').all(|name| !name.starts_with(['.', '_'])) && has_extension(path, extensions)
}

/// Whether a folder that a pattern matches is meant by it: not one whose name begins with `_`, unless the pattern says so.
fn is_meant(pattern: &str, folder: &str) -> bool {
    let last = |path: &str| path.trim_end_matches('/').rsplit('/').next().is_some_and(|n| n.starts_with('_'));
    last(pattern) || !last(folder)
}

const MATCHING: glob::MatchOptions = glob::MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// A file that is read here and there.
pub(crate) enum Random {
    /// On this machine.
    Local(File),
    /// In object storage.
    Object(Object),
}

impl Length for Random {
    fn len(&self) -> u64 {
        match self {
            Self::Local(file) => file.metadata().map_or(0, |metadata| metadata.len()),
            Self::Object(object) => object.bytes(),
        }
    }
}

impl ChunkReader for Random {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        Ok(match self {
            Self::Local(file) => Box::new(file.get_read(start)?),
            Self::Object(object) => Box::new(object.clone().from(start)),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        match self {
            Self::Local(file) => file.get_bytes(start, length),
            Self::Object(object) => Ok(object.range(start, length as u64).map_err(std::io::Error::other)?),
        }
    }
}
