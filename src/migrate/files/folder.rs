//! The folder of a target: how its files are called, and whether it holds nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::migrate::{Earlier, Settled, escaped};
use crate::store::files::{Files, has_extension, is_remote, temporary};

/// What the names of files end in that are no folders.
const EXTENSIONS: [&str; 10] =
    [".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json", ".ion", ".parquet", ".gz", ".zst"];
/// Where an export has its files.
const DATA: &str = "data";
/// Files named in an error.
const NAMED: usize = 3;

/// A file's name before its extension. It begins with no character by which a folder's reader takes it for hidden.
pub(super) fn stem(run_id: &str, entity: &str, batch: u64) -> String {
    format!("part.{}.{run_id}.{batch:06}", escaped(entity))
}

fn stem_of(name: &str) -> String {
    name.split('.').take(4).collect::<Vec<_>>().join(".")
}

pub(super) struct Folder {
    uri: String,
    is_export: bool,
}

impl Folder {
    /// A place that is a folder, or can become one.
    ///
    /// # Errors
    /// A file or a glob (exit 2).
    pub(super) fn new(uri: &str, is_export: bool) -> Result<Self> {
        let path = Path::new(uri);
        let is_there = !is_remote(uri) && path.is_dir();
        let is_named = is_there || uri.ends_with('/');
        let is_file = !is_remote(uri) && path.exists() && !path.is_dir();
        if is_file
            || (!is_there && uri.contains(['*', '?', '[']))
            || (!is_named && has_extension(uri, &EXTENSIONS))
        {
            return Err(Error::usage(format!("{uri}: files are not written to a file or a glob"))
                .help("name a folder: each batch becomes a file in it"));
        }
        Ok(Self { uri: format!("{}/", uri.trim_end_matches('/')), is_export })
    }

    /// It, with a slash at its end.
    pub(super) fn uri(&self) -> &str {
        &self.uri
    }

    /// A path in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("{}{name}", self.uri))
    }

    /// Where records' files lie.
    fn data(&self) -> PathBuf {
        if self.is_export { self.path(DATA) } else { PathBuf::from(&self.uri) }
    }

    /// The path of a file of records.
    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        if self.is_export { self.path(&format!("{DATA}/{name}")) } else { self.path(name) }
    }

    /// The names of the files of records.
    pub(super) fn parts(&self, files: &Files) -> Result<BTreeSet<String>> {
        Ok(listed(files, &self.data())?.0)
    }

    /// Holds what lies there against what earlier runs wrote. `only`: files of other entities are none of ours.
    ///
    /// # Errors
    /// Files that no run wrote, or wrote of other records (exit 2); files that are gone while others of the run are there.
    pub(super) fn settle(
        &self,
        files: &Files,
        earlier: &[Earlier],
        only: Option<&String>,
    ) -> Result<Settled> {
        let (names, mut folders) = listed(files, &self.data())?;
        let mut there: BTreeMap<String, String> = BTreeMap::new();
        let mut foreign: Vec<String> = Vec::new();
        for name in names {
            if let Some(other) = there.insert(stem_of(&name), name) {
                foreign.push(other);
            }
        }
        let mut settled = Settled::default();
        let mut is_stale = false;
        for run in earlier {
            let kept = |applied: bool| run.is_own || (applied && run.is_kept);
            let mut expected = Vec::new();
            for batch in &run.batches {
                let stem = stem(&run.run_id, &run.entity, batch.batch);
                if !kept(batch.applied) {
                    let name = there.remove(&stem);
                    settled.left.extend(name);
                    settled.left.extend(self.left_of(files, &stem)?);
                } else if batch.applied && batch.inserted > 0 {
                    expected.push(stem);
                } else {
                    there.remove(&stem);
                }
            }
            let missing: Vec<&String> = expected.iter().filter(|stem| !there.contains_key(*stem)).collect();
            if missing.len() == expected.len() && !run.is_own {
                if !missing.is_empty() {
                    settled.gone.insert((run.run_id.clone(), run.entity.clone()));
                }
            } else if let Some(missing) = missing.first() {
                return Err(self.is_gone(missing, run));
            } else if run.is_fit && only.is_none_or(|only| *only == run.entity) {
                expected.iter().for_each(|stem| drop(there.remove(stem)));
            } else {
                is_stale = true;
            }
        }
        foreign.extend(there.into_values());
        if self.is_export {
            let (names, more) = listed(files, Path::new(&self.uri))?;
            folders = folders.into_iter().chain(more.into_iter().filter(|name| name != DATA)).collect();
            let is_own = |name: &String| !earlier.is_empty() && name.starts_with("manifest-");
            foreign.extend(names.into_iter().filter(|name| !is_own(name)));
        }
        foreign.extend(folders.iter().map(|name| format!("{name}/")));
        if foreign.is_empty() { Ok(settled) } else { Err(self.is_foreign(&foreign, is_stale)) }
    }

    /// What a killed process left of a file under its temporary name.
    fn left_of(&self, files: &Files, stem: &str) -> Result<Vec<String>> {
        if is_remote(&self.uri) {
            return Ok(Vec::new());
        }
        let start = temporary(Path::new(stem)).to_string_lossy().trim_end_matches("tmp").to_owned();
        let Some(folder) = files.folder(&self.data())? else { return Ok(Vec::new()) };
        let names = folder.files.keys().map(|path| last(Path::new(path)));
        Ok(names.filter(|name| name.starts_with(&start)).collect())
    }

    fn is_gone(&self, stem: &str, run: &Earlier) -> Error {
        Error::failed(format!("{}: {stem} is gone, which run {} wrote", self.uri, run.run_id)).help(
            "put it back; or remove the run's other files too, and its records are pending again (after --new-run, if the run is unfinished)",
        )
    }

    fn is_foreign(&self, names: &[String], is_stale: bool) -> Error {
        let named: Vec<&str> = names.iter().take(NAMED).map(String::as_str).collect();
        let more = match names.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let what = match is_stale {
            true => "what was written from another staging, by another mapping or of another entity",
            false => "what no run of this project wrote with these columns and options",
        };
        Error::usage(format!("{} holds {what}: {}{more}", self.uri, named.join(", ")))
            .help("name an empty folder, or remove these: files are only added to, and then the folder would hold both")
    }
}

fn last(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The names of the files and folders in a folder, but for those that its readers pass over.
fn listed(files: &Files, path: &Path) -> Result<(BTreeSet<String>, BTreeSet<String>)> {
    let Some(folder) = files.folder(path)? else { return Ok(Default::default()) };
    let shown = |path: &Path| Some(last(path)).filter(|name| !name.starts_with(['.', '_']));
    let names = folder.files.keys().filter_map(|path| shown(Path::new(path))).collect();
    Ok((names, folder.folders.iter().filter_map(|path| shown(path)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_or_a_glob_is_no_folder() {
        for uri in ["out", "out/", "a.csv/", "s3://b/p", "s3://b/p.csv/", "s3://b"] {
            assert_eq!(Folder::new(uri, false).expect(uri).uri(), format!("{}/", uri.trim_end_matches('/')));
        }
        for uri in
            ["out.csv", "out.csv.gz", "s3://b/p.parquet", "out/*.csv", "out/*/", "x.json", "Cargo.toml"]
        {
            let error = Folder::new(uri, false).err().expect(uri);
            assert!(
                error.exit_code() == 2 && error.help_text().is_some_and(|h| h.starts_with("name a folder"))
            );
        }
    }

    #[test]
    fn no_two_batches_have_one_name() {
        let names: BTreeSet<String> =
            [("r", "a", 1), ("r", "a", 11), ("r", "a.r", 1), ("r", "a/b", 1), ("r", "_a", 1)]
                .map(|(run, entity, batch)| stem(run, entity, batch))
                .into();
        assert_eq!(names.len(), 5);
        assert!(
            names.iter().all(|name| stem_of(&format!("{name}.csv.gz")) == *name && !name.contains('/')),
            "{names:?}"
        );
    }
}
