//! A staged file as the ledger knows it, and how it is held against what lies on the disk.
//!
//! Size and number of rows are looked at whenever a file is used, since that costs next to nothing; its whole content where it
//! is about to be read anyway, or where somebody wrote to it since it was staged.

use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use parquet::file::reader::{FileReader, SerializedFileReader};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

const READ_BYTES: usize = 1 << 20;

/// A file of staged rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its file name in the dataset's folder, or the absolute path of a file that is referenced where it lies.
    pub file: String,
    /// Its rows.
    pub rows: u64,
    /// What it was when it was written; nothing where it is referenced, since its stamp is held against the file then.
    pub seal: Option<Seal>,
}

/// What a file was when it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// Its bytes.
    pub bytes: u64,
    /// XXH3-128 of them, in hex.
    pub xxh3: String,
    /// When it was last written to, as the file system says it: nanoseconds since 1970.
    pub modified_ns: i128,
}

impl Seal {
    /// Of a file as it is now.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn of(path: &Path) -> std::io::Result<Self> {
        let facts = fs::metadata(path)?;
        Ok(Self { bytes: facts.len(), xxh3: digest_of(path)?, modified_ns: modified_ns(&facts) })
    }
}

/// How the name of a file ends that was found damaged and put aside, so that staging takes it for gone.
pub const DAMAGED: &str = ".damaged";

/// What is wrong with a file, as in "… is gone".
pub type Damage = String;

impl Part {
    /// Where it lies.
    pub fn path(&self, folder: &Path) -> PathBuf {
        folder.join(&self.file) // an absolute path replaces the folder
    }

    /// Looks at the file's size and its number of rows.
    ///
    /// # Errors
    /// A file that is gone, cannot be read, or is of another size.
    pub fn check(&self, folder: &Path) -> Result<(), Damage> {
        let path = self.path(folder);
        let facts = fs::metadata(&path).map_err(|_| "is gone".to_owned())?;
        if Path::new(&self.file).is_absolute() {
            return Ok(());
        }
        let Some(seal) = &self.seal else { return Err("was staged by another version of recon".to_owned()) };
        if facts.len() != seal.bytes {
            return Err(format!("is damaged: {} bytes where {} were written", facts.len(), seal.bytes));
        }
        match rows_of(&path)? {
            rows if rows == self.rows => Ok(()),
            rows => Err(format!("is damaged: {rows} rows where {} were written", self.rows)),
        }
    }

    /// Reads the whole file and holds it against its digest.
    ///
    /// # Errors
    /// A file that cannot be read or has another content.
    pub fn verify(&self, folder: &Path) -> Result<(), Damage> {
        let Some(seal) = &self.seal else { return Ok(()) };
        let digest = digest_of(&self.path(folder)).map_err(|e| format!("is damaged: {e}"))?;
        if digest == seal.xxh3 { Ok(()) } else { Err("is damaged: it has another content".to_owned()) }
    }

    /// Puts a damaged file aside.
    pub fn put_aside(&self, folder: &Path) {
        let path = self.path(folder);
        // Where that fails the file is found damaged again, which is what it is.
        let _ = fs::rename(&path, folder.join(format!("{}{DAMAGED}", self.file)));
    }

    /// Whether anybody wrote to the file since it was staged.
    pub fn is_touched(&self, folder: &Path) -> bool {
        let modified = fs::metadata(self.path(folder)).map(|facts| modified_ns(&facts)).ok();
        self.seal.as_ref().is_some_and(|seal| Some(seal.modified_ns) != modified)
    }
}

/// When a file was last written to, in nanoseconds since 1970.
pub fn modified_ns(facts: &Metadata) -> i128 {
    i128::from(facts.mtime()) * 1_000_000_000 + i128::from(facts.mtime_nsec())
}

/// The number of rows that a Parquet file's footer names.
///
/// # Errors
/// A file that is no Parquet file.
pub fn rows_of(path: &Path) -> Result<u64, Damage> {
    let damaged = |e: &dyn std::fmt::Display| format!("is damaged: {e}");
    let reader = File::open(path).map_err(|e| damaged(&e))?;
    let reader = SerializedFileReader::new(reader).map_err(|e| damaged(&e))?;
    Ok(reader.metadata().file_metadata().num_rows().unsigned_abs())
}

fn digest_of(path: &Path) -> std::io::Result<String> {
    let (mut file, mut hash, mut buffer) = (File::open(path)?, Xxh3::new(), vec![0; READ_BYTES]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(format!("{:032x}", hash.digest128())),
            n => hash.update(&buffer[..n]),
        }
    }
}
