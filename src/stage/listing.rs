//! Which files a dataset's `uri` means: a file, a folder or a glob.

use std::fs;
use std::path::{Path, PathBuf};

use super::Unit;
use super::input::Stamp;
use crate::error::{Context, Error, Result};

/// Suffixes of compressed files; which compression it is, the content says.
const COMPRESSED: [&str; 2] = [".gz", ".zst"];

/// Lists the files that `uri` means, sorted by path.
///
/// A file is taken whatever its name, and so is what a glob (`*`, `?`, `[…]`, `**`) matches, but for hidden files. In a
/// folder, and in the folders below it, the files are taken whose names end in one of `extensions` (`.csv`), compressed
/// or not (`.csv.gz`, `.csv.zst`); names that begin with `.` or `_` are passed over, as most tools that write such
/// folders mark what is unfinished so.
///
/// # Errors
/// Nothing there, nothing in it, or nothing that may be read (exit 4); a glob that is none (exit 2).
pub fn list_files(uri: &str, extensions: &[&str]) -> Result<Vec<Unit>> {
    let path = Path::new(uri);
    let mut files = if path.is_dir() {
        let files = in_folder(path, extensions)?;
        if files.is_empty() {
            let known = extensions.join(", ");
            return Err(Error::failed(format!(
                "{uri} holds no file that ends in {known} (or these with .gz, .zst)"
            ))
            .help("name the files themselves, or a glob that matches them, as `uri`"));
        }
        files
    } else if path.exists() {
        vec![path.to_path_buf()]
    } else if uri.contains(['*', '?', '[']) {
        matching(uri)?
    } else {
        return Err(not_there(uri));
    };
    files.sort();
    files.into_iter().map(unit).collect()
}

/// The error for a location that does not exist.
pub(crate) fn not_there(uri: &str) -> Error {
    let error = Error::failed(format!("{uri} is not there"));
    if uri.starts_with("s3://") {
        return error
            .help("copy it to this machine first (`aws s3 cp --recursive`) and give its folder as `uri`");
    }
    error.help("`uri` is a file, a folder or a glob; a relative one starts at the folder of the spec")
}

/// A unit for a file that no manifest describes.
///
/// # Errors
/// A file that is not there or cannot be read.
pub(crate) fn unit(path: PathBuf) -> Result<Unit> {
    let stamp = Stamp::of(&path)?;
    let bytes = fs::metadata(&path).or_failed(|| format!("cannot read {}", path.display()))?.len();
    Ok(Unit { path, stamp, bytes, expected: None, window: 0, is_live: false })
}

fn in_folder(folder: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let fail = || format!("cannot list {}", folder.display());
        for entry in fs::read_dir(&folder).or_failed(fail)? {
            let entry = entry.or_failed(fail)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(['.', '_']) {
                continue;
            }
            // A link to a folder is not followed: it may lead back up.
            if entry.file_type().or_failed(fail)?.is_dir() {
                folders.push(entry.path());
            } else if has_extension(&name, extensions) && entry.path().is_file() {
                files.push(entry.path());
            }
        }
    }
    Ok(files)
}

/// Whether a file's name ends in one of the extensions, compressed or not.
pub(crate) fn has_extension(name: &str, extensions: &[&str]) -> bool {
    let name = name.to_ascii_lowercase();
    let plain = COMPRESSED.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(&name);
    extensions.iter().any(|extension| plain.ends_with(extension))
}

fn matching(pattern: &str) -> Result<Vec<PathBuf>> {
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
    let paths = glob::glob_with(pattern, options).map_err(|e| {
        Error::usage(format!("{pattern} is no glob"))
            .caused_by(e)
            .help("write `[[]`, `[*]` or `[?]` where the character itself is meant")
    })?;
    let mut files = Vec::new();
    for path in paths {
        let path = path.or_failed(|| format!("cannot list what {pattern} matches"))?;
        if path.is_file() {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(Error::failed(format!("no file matches {pattern}"))
            .help("try the pattern with `ls`; a relative one starts at the folder of the spec"));
    }
    Ok(files)
}

#[cfg(test)]
mod tests;
