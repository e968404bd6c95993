//! Files on this machine.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::{
    Folder, Glob, MATCHING, Stamp, Unit, is_in_folder, is_meant, no_pattern, none_of_the_kind, not_there,
};
use crate::error::{Context, Error, Result};
use crate::fault;

/// Suffixes of compressed files; which compression it is, the content says.
const COMPRESSED: [&str; 2] = [".gz", ".zst"];

/// See [`super::Files::list`].
pub(super) fn list(uri: &str, extensions: &[&str]) -> Result<Vec<Unit>> {
    let path = Path::new(uri);
    let files = if path.is_dir() {
        let files = in_folder(path, extensions)?;
        if files.is_empty() {
            return Err(none_of_the_kind(uri, extensions));
        }
        files
    } else if path.exists() {
        vec![path.to_path_buf()]
    } else if uri.contains(['*', '?', '[']) {
        matching(uri, extensions)?
    } else {
        return Err(not_there(uri));
    };
    files.into_iter().map(unit).collect()
}

/// See [`super::Files::would_list`].
pub(super) fn would_list(uri: &str, extensions: &[&str], folder: &Path, name: &str) -> bool {
    let file = whole(folder).join(name);
    if Path::new(uri).is_dir() {
        let below = file.strip_prefix(whole(Path::new(uri))).ok();
        return below.and_then(Path::to_str).is_some_and(|path| is_in_folder(path, extensions));
    }
    let Some(special) = uri.find(['*', '?', '[']).filter(|_| !Path::new(uri).exists()) else { return false };
    // Only the part before the pattern is a path.
    let (above, rest) = uri.split_at(uri[..special].rfind('/').map_or(0, |at| at + 1));
    let above = whole(Path::new(if above.is_empty() { "." } else { above }));
    let below = file.strip_prefix(above).ok().and_then(Path::to_str);
    Glob::new(rest).is_ok_and(|glob| below.is_some_and(|path| glob.takes(path, extensions)))
}

/// A path as it is without links, as far as it is there.
fn whole(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let there = path.ancestors().find_map(|above| Some((above, fs::canonicalize(above).ok()?)));
    match there {
        Some((above, found)) => found.join(path.strip_prefix(above).unwrap_or(Path::new(""))),
        None => path,
    }
}

/// A unit for a file that no manifest describes.
///
/// # Errors
/// A file that is not there or cannot be read.
pub(super) fn unit(path: PathBuf) -> Result<Unit> {
    let stamp = Stamp::of(&path)?;
    let bytes = fs::metadata(&path).or_failed(|| format!("cannot read {}", path.display()))?.len();
    Ok(Unit { path, stamp, bytes, expected: None, file: None, window: 0, is_live: false })
}

/// See [`super::Files::folder`].
pub(super) fn folder(path: &Path) -> Result<Option<Folder>> {
    if !path.is_dir() {
        return Ok(None);
    }
    let fail = || format!("cannot list {}", path.display());
    let mut folder = Folder::default();
    for entry in fs::read_dir(path).or_failed(fail)? {
        let entry = entry.or_failed(fail)?.path();
        if entry.is_dir() {
            folder.folders.push(entry);
        } else if entry.is_file() {
            folder.files.insert(entry.clone().into_os_string(), unit(entry)?);
        }
    }
    folder.folders.sort();
    Ok(Some(folder))
}

/// See [`super::Files::put`]. Until it is whole its name is one that nobody lists.
pub(super) fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    let fail = || format!("cannot write {}", path.display());
    let folder = path.parent().unwrap_or(Path::new("."));
    let temporary = Temporary(temporary(path));
    fs::create_dir_all(folder).or_failed(fail)?;
    let mut file = File::create(&temporary.0).or_failed(fail)?;
    file.write_all(bytes).or_failed(fail)?;
    file.sync_all().or_failed(fail)?;
    fault::point("files.before-rename");
    fs::rename(&temporary.0, path).or_failed(fail)?;
    File::open(folder).and_then(|folder| folder.sync_all()).or_failed(fail)
}

/// The name under which a file is written.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.tmp"))
}

/// It goes where the writing fails, so that a full disk gets its room back.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
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

fn matching(pattern: &str, extensions: &[&str]) -> Result<Vec<PathBuf>> {
    let paths = glob::glob_with(pattern, MATCHING).map_err(|e| no_pattern(pattern, e))?;
    let mut files = BTreeSet::new();
    for path in paths {
        let path = path.or_failed(|| format!("cannot list what {pattern} matches"))?;
        if path.is_file() {
            files.insert(path);
        } else if path.is_dir() && is_meant(pattern, &path.to_string_lossy()) {
            files.extend(in_folder(&path, extensions)?);
        }
    }
    if files.is_empty() {
        return Err(Error::failed(format!("no file matches {pattern}"))
            .help("try the pattern with `ls`; a relative one starts at the folder of the spec"));
    }
    Ok(files.into_iter().collect())
}

#[cfg(test)]
mod tests;
