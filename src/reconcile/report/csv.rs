//! Writing CSV (RFC 4180): NULL is an empty field, the empty string is `""`. No library's writer tells the two apart.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::error::{Context, Result};
use crate::fault;
use crate::value::Number;

/// How values are written.
#[derive(Clone, Debug, Default)]
pub struct Style {
    /// Put a `'` before a value that a spreadsheet would run as a formula.
    pub spreadsheet_safe: bool,
    /// Fields of which only a keyed digest is shown.
    pub redact: Vec<String>,
    /// The key of that digest.
    pub redact_key: Vec<u8>,
}

impl Style {
    /// The text to show of a field's value.
    pub fn shown(&self, field: &str, text: Option<&str>) -> Option<String> {
        let text = text?;
        if self.redact.iter().any(|name| name == field) {
            let mut mac =
                Hmac::<Sha256>::new_from_slice(&self.redact_key).expect("HMAC takes a key of any length");
            mac.update(text.as_bytes());
            let digest = mac.finalize().into_bytes();
            return Some(format!("redacted:{}", crate::value::hex(&digest[..16]).trim_start_matches("\\x")));
        }
        Some(text.to_owned())
    }

    fn safe(&self, text: &str) -> bool {
        !self.spreadsheet_safe
            || !text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n'])
            || Number::parse(text).is_ok()
    }
}

/// A file that appears under its name only when it is whole.
pub(super) struct WholeFile {
    path: PathBuf,
    pub(super) out: BufWriter<File>,
    _temporary: Temporary,
}

impl WholeFile {
    /// Begins a file.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let file = File::create(temporary(path)).or_failed(|| format!("cannot write {}", path.display()))?;
        let (out, path) = (BufWriter::new(file), path.to_path_buf());
        Ok(Self { out, _temporary: Temporary(temporary(&path)), path })
    }

    /// Writes a piece of it.
    pub(super) fn put(&mut self, text: &str) -> Result<()> {
        self.out.write_all(text.as_bytes()).or_failed(|| format!("cannot write {}", self.path.display()))
    }

    /// Makes the file durable and gives it its name.
    pub(super) fn finish(self) -> Result<()> {
        let fail = || format!("cannot write {}", self.path.display());
        let file = self.out.into_inner().map_err(std::io::IntoInnerError::into_error).or_failed(fail)?;
        file.sync_all().or_failed(fail)?;
        fault::point("report.before-rename");
        fs::rename(temporary(&self.path), &self.path).or_failed(fail)
    }
}

/// A CSV file that appears under its name only when it is whole.
pub struct CsvFile {
    file: WholeFile,
    style: Style,
}

/// The file under its temporary name. It goes where the writing fails, so that a full disk gets its room back; once it is
/// renamed there is nothing left to remove.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl CsvFile {
    /// Begins a file with its header.
    ///
    /// # Errors
    /// A disk that is full or refuses.
    pub fn create<'a>(path: &Path, style: &Style, header: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut csv = Self { file: WholeFile::create(path)?, style: style.clone() };
        csv.row(header.into_iter().map(Some))?;
        Ok(csv)
    }

    /// Writes a record.
    ///
    /// # Errors
    /// A disk that is full or refuses.
    pub fn row<'a>(&mut self, cells: impl IntoIterator<Item = Option<&'a str>>) -> Result<()> {
        let mut line = String::new();
        for (i, cell) in cells.into_iter().enumerate() {
            if i > 0 {
                line.push(',');
            }
            let Some(text) = cell else { continue };
            let prefix = if self.style.safe(text) { "" } else { "'" };
            if text.is_empty() || text.contains(['"', ',', '\n', '\r']) {
                line.push_str(&format!("\"{prefix}{}\"", text.replace('"', "\"\"")));
            } else {
                line.push_str(prefix);
                line.push_str(text);
            }
        }
        line.push('\n');
        self.file.put(&line)
    }

    /// Makes the file durable and gives it its name.
    ///
    /// # Errors
    /// A disk that is full or refuses.
    pub fn finish(self) -> Result<()> {
        self.file.finish()
    }
}

fn temporary(path: &Path) -> PathBuf {
    path.with_extension("tmp")
}

/// Makes the names in a folder durable.
///
/// # Errors
/// A disk that refuses.
pub fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|f| f.sync_all()).or_failed(|| format!("cannot sync {}", folder.display()))
}

/// Writes a whole file under a temporary name, makes it durable, and renames it.
///
/// # Errors
/// A disk that is full or refuses.
pub fn write_whole(path: &Path, text: &str) -> Result<()> {
    let mut file = WholeFile::create(path)?;
    file.put(text)?;
    file.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(style: &Style, cells: &[Option<&str>]) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.csv");
        let mut csv = CsvFile::create(&path, style, ["h"]).expect("a file");
        csv.row(cells.iter().copied()).expect("a row");
        assert!(!path.exists(), "not before it is whole");
        csv.finish().expect("a file");
        fs::read_to_string(&path).expect("a file").trim_start_matches("h\n").to_owned()
    }

    #[test]
    fn null_and_empty_are_two_things() {
        assert_eq!(
            written(&Style::default(), &[None, Some(""), Some("a\"b,c"), None]),
            ",\"\",\"a\"\"b,c\",\n"
        );
    }

    #[test]
    fn formulas_are_neutralised_only_when_asked() {
        let cells = [Some("=1+1"), Some("-5"), Some("-cmd"), Some("@x")];
        assert_eq!(written(&Style::default(), &cells), "=1+1,-5,-cmd,@x\n");
        let safe = Style { spreadsheet_safe: true, ..Style::default() };
        assert_eq!(written(&safe, &cells), "'=1+1,-5,'-cmd,'@x\n");
    }

    #[test]
    fn redacted_values_can_be_compared_but_not_read() {
        let style = Style { redact: vec!["mail".into()], redact_key: vec![1], ..Style::default() };
        let shown = style.shown("mail", Some("a@b")).expect("a digest");
        assert!(shown.starts_with("redacted:") && !shown.contains("a@b"));
        assert_eq!(style.shown("mail", Some("a@b")), Some(shown.clone()));
        assert_ne!(style.shown("mail", Some("a@c")), Some(shown));
        assert_eq!(style.shown("mail", None), None);
        assert_eq!(style.shown("name", Some("x")), Some("x".to_owned()));
    }
}
