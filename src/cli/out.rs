//! Where `diff --out` and `validate --out` put the reports: a folder, or what keys in object storage begin with.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Context, Error, Result};
use crate::reconcile::report::FILES;
use crate::spec::Spec;
use crate::stage::document::Names;
use crate::stage::would_take;
use crate::store::files::{Files, is_remote};

/// Tells a place to which `--out` wrote before from any other.
const MARK: &str = ".recon-reports";
const MARK_TEXT: &str = "recon diff --out writes its reports here anew\n";
/// A place for reports that was looked at.
pub(super) enum Out {
    /// A folder, into which they are written.
    Folder(PathBuf),
    /// Objects, to which they are copied from the run's own folder. Reached as AWS's tools reach them: profile, region and
    /// endpoint come from the environment.
    Objects(PathBuf, Files),
}

impl Out {
    /// Looks whether reports may be written there.
    ///
    /// # Errors
    /// A place that is none, or holds what recon did not write (exit 2); a store that cannot be reached (exit 4).
    pub(super) fn check(out: &Path, spec: &Spec) -> Result<Self> {
        check_place(out, spec)?;
        if !is_remote(out) {
            check_folder(out, spec)?;
            return Ok(Self::Folder(out.to_path_buf()));
        }
        let text = out.display().to_string();
        if text.trim_start_matches("s3://").starts_with('/') || text == "s3://" {
            return Err(
                Error::usage(format!("--out {text}: the bucket is missing")).help("write s3://BUCKET/PREFIX")
            );
        }
        let out = PathBuf::from(text.trim_end_matches('/'));
        let files = Files::default();
        let there = files.folder(&out)?.unwrap_or_default();
        let written: Vec<PathBuf> =
            FILES.iter().map(|name| out.join(name)).filter(|path| there.file(path).is_some()).collect();
        check_inputs(&written, spec, |path| Some(path.to_path_buf()))?;
        match written.first().filter(|_| there.file(&out.join(MARK)).is_none()) {
            Some(first) => Err(foreign(first)),
            None => Ok(Self::Objects(out, files)),
        }
    }

    /// Marks the place as recon's. The summary of an earlier run goes before the tables of this one come.
    ///
    /// # Errors
    /// A place that cannot be written to.
    pub(super) fn begin(&self) -> Result<()> {
        match self {
            Self::Folder(folder) => {
                let mark = folder.join(MARK);
                std::fs::write(&mark, MARK_TEXT).or_failed(|| format!("cannot write {}", mark.display()))
            }
            Self::Objects(place, files) => {
                files.put(&place.join(MARK), MARK_TEXT.as_bytes()).map_err(|unsent| unsent.error)?;
                files.remove(&place.join("summary.json"))
            }
        }
    }

    /// Copies what was written into the run's folder to where it is wanted.
    ///
    /// # Errors
    /// A store that cannot be reached.
    pub(super) fn send(&self, folder: &Path) -> Result<()> {
        let Self::Objects(place, files) = self else { return Ok(()) };
        let written = FILES.iter().filter(|name| folder.join(name).exists());
        written.into_iter().try_for_each(|name| files.send(&folder.join(name), &place.join(name)))
    }

    /// Its name, where it is not the folder that the reports were written into.
    pub(super) fn elsewhere(&self) -> Option<String> {
        match self {
            Self::Folder(_) => None,
            Self::Objects(place, _) => Some(place.display().to_string()),
        }
    }
}

/// Refuses a place in which a dataset would find the reports and take them for its own files.
fn check_place(out: &Path, spec: &Spec) -> Result<()> {
    for dataset in &spec.datasets {
        if let Some(name) = FILES.iter().find(|name| would_take(dataset, out, name)) {
            let (out, own, uri) = (out.display(), &dataset.name, dataset.kind.place());
            return Err(Error::usage(format!(
                "--out {out}: the next `recon stage` would read {name} there as a file of dataset `{own}` ({uri})"
            ))
            .help("name a folder outside of the dataset's, or one whose name begins with `_`"));
        }
    }
    Ok(())
}

/// Refuses a folder in which the reports would take the place of somebody else's files. What an earlier `--out` wrote there
/// may be written anew; an input of the spec never.
fn check_folder(out: &Path, spec: &Spec) -> Result<()> {
    if out.exists() && !out.is_dir() {
        return Err(Error::usage(format!("--out {} is no folder", out.display()))
            .help("name a folder for the reports; it is made where there is none"));
    }
    let files = || FILES.iter().map(|name| out.join(name));
    let written = files().chain(files().map(|path| path.with_extension("tmp")));
    let there: Vec<PathBuf> = written.filter(|path| path.symlink_metadata().is_ok()).collect();
    let Some(first) = there.first() else { return Ok(()) };
    check_inputs(&there, spec, |path| path.canonicalize().ok())?;
    if out.join(MARK).is_file() {
        return Ok(());
    }
    Err(foreign(first))
}

fn foreign(path: &Path) -> Error {
    Error::usage(format!("--out would overwrite {}, which recon did not write", path.display()))
        .help("name a folder that is new or has no files of these names, or move the file away")
}

/// Refuses files to be written of which one is an input of the spec. `same` gives a path the form in which it is compared.
fn check_inputs(written: &[PathBuf], spec: &Spec, same: impl Fn(&Path) -> Option<PathBuf>) -> Result<()> {
    if written.is_empty() {
        return Ok(());
    }
    for dataset in &spec.datasets {
        let names = Arc::new(Names::new(&dataset.name));
        // Inputs that are gone need no care.
        let Ok((units, _)) = crate::stage::open(dataset, &names, false).and_then(|source| source.units())
        else {
            continue;
        };
        let inputs: Vec<PathBuf> = units.iter().filter_map(|unit| same(&unit.path)).collect();
        let is_input = |path: &&PathBuf| same(path).is_some_and(|path| inputs.contains(&path));
        if let Some(path) = written.iter().find(is_input) {
            let (path, name) = (path.display(), &dataset.name);
            return Err(Error::usage(format!("--out would overwrite {path}, an input of dataset `{name}`"))
                .help("name another folder for the reports"));
        }
    }
    Ok(())
}
