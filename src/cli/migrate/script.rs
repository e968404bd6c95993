//! The file that `recon replay --sql` writes.

use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{Context, Error, Result};
use crate::migrate::Target;
use crate::migrate::script::Frame;
use crate::spec::{Dataset, DatasetKind};

/// A script on its way. It is there under its name once it is whole.
pub(super) struct Script {
    path: PathBuf,
    file: NamedTempFile,
    /// What stands around its statements, and the store that they are for; `None` before the first entity.
    of: Option<(Frame, String)>,
}

impl Script {
    /// Begins a script.
    ///
    /// # Errors
    /// A file that is there already (exit 2), or cannot be written.
    pub(super) fn create(path: &Path) -> Result<Self> {
        if path.symlink_metadata().is_ok() {
            return Err(Error::usage(format!("{} is there already", path.display()))
                .help("give --sql the name of a file that there is not yet"));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let fail = || format!("cannot write {}", path.display());
        let file = tempfile::Builder::new().prefix(".recon-").tempfile_in(folder).or_failed(fail)?;
        Ok(Self { path: path.to_owned(), file, of: None })
    }

    /// Where the statements of an entity go.
    ///
    /// # Errors
    /// A target without scripts; another store than that of the entities before (exit 2).
    pub(super) fn of_entity(&mut self, dataset: &Dataset, target: &dyn Target) -> Result<&mut dyn Write> {
        let store = store_of(dataset);
        match &self.of {
            Some((_, before)) if *before != store => {
                return Err(Error::usage(format!(
                    "one script is for one store, and the entities' are {before} and {store}"
                ))
                .help("name the entities of one of them with --entity"));
            }
            Some(_) => {}
            None => {
                let frame = target.script_frame()?;
                let name = env!("CARGO_PKG_VERSION");
                if let Some(comment) = frame.comment {
                    let head = format!(
                        "{comment} A repair for {store}, made by recon {name}. It was not run.\n{comment} Each statement can be run again.\n"
                    );
                    self.write(&head)?;
                }
                self.write(frame.head)?;
                self.of = Some((frame, store));
            }
        }
        Ok(self.file.as_file_mut())
    }

    /// Puts it under its name.
    ///
    /// # Errors
    /// A file that cannot be written, or that is there by now.
    pub(super) fn finish(mut self) -> Result<()> {
        if let Some((frame, _)) = &self.of {
            let foot = format!("\n{}", frame.foot);
            self.write(if frame.foot.is_empty() { "" } else { &foot })?;
        }
        let fail = || format!("cannot write {}", self.path.display());
        self.file.as_file().sync_all().or_failed(fail)?;
        self.file.persist_noclobber(&self.path).map(|_| ()).or_failed(fail)
    }

    fn write(&mut self, text: &str) -> Result<()> {
        self.file.write_all(text.as_bytes()).or_failed(|| format!("cannot write {}", self.path.display()))
    }
}

/// The database, file or account that a dataset is in.
fn store_of(dataset: &Dataset) -> String {
    match &dataset.kind {
        DatasetKind::Postgres(options) | DatasetKind::Mysql(options) => options.url.shown(),
        DatasetKind::Sqlite { path, .. } => path.clone(),
        DatasetKind::Dynamodb(options) => {
            let part =
                |text: &Option<String>| text.as_ref().map(|text| format!(" {text}")).unwrap_or_default();
            format!("DynamoDB{}{}", part(&options.region), part(&options.endpoint))
        }
        other => format!("{} {}", other.word(), other.place()),
    }
}
