//! Reading back what [`super::csv`] wrote, one row at a time: NULL and the empty string stay two things.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use crate::error::{Context, Error, Result};

/// The rows of a CSV file of a run.
pub struct Rows {
    path: PathBuf,
    input: BufReader<File>,
    header: Vec<String>,
    record: Vec<u8>,
}

/// A row's cells; NULL is `None`.
pub type Cells = Vec<Option<String>>;

impl Rows {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// A file that is not there, or is none of ours.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).or_failed(|| format!("cannot read {}", path.display()))?;
        let (path, input) = (path.to_path_buf(), BufReader::new(file));
        let mut rows = Self { path, input, header: Vec::new(), record: Vec::new() };
        let header = rows.next_row()?.ok_or_else(|| rows.damaged())?;
        rows.header = header.into_iter().map(Option::unwrap_or_default).collect();
        Ok(rows)
    }

    /// The names of the columns.
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// The next row; `None` behind the last.
    ///
    /// # Errors
    /// A disk that refuses; a file that somebody else changed.
    pub fn next_row(&mut self) -> Result<Option<Cells>> {
        self.record.clear();
        // Quotes within quotes are doubled, so a record is whole where their number is even.
        let mut is_open = false;
        loop {
            let from = self.record.len();
            let read = self.input.read_until(b'\n', &mut self.record);
            let read = read.or_failed(|| format!("cannot read {}", self.path.display()))?;
            is_open ^= self.record[from..].iter().filter(|byte| **byte == b'"').count() % 2 == 1;
            if read == 0 && self.record.is_empty() {
                return Ok(None);
            }
            if !is_open && self.record.ends_with(b"\n") {
                break;
            }
            if read == 0 {
                return Err(self.damaged());
            }
        }
        let text = std::str::from_utf8(&self.record[..self.record.len() - 1]).ok();
        let cells = text.and_then(split).ok_or_else(|| self.damaged())?;
        match self.header.is_empty() || cells.len() == self.header.len() {
            true => Ok(Some(cells)),
            false => Err(self.damaged()),
        }
    }

    fn damaged(&self) -> Error {
        Error::failed(format!("{} is not as recon wrote it", self.path.display()))
            .help("run the command again that wrote it")
    }
}

/// The cells of a record; `None` where it is none.
fn split(mut rest: &str) -> Option<Cells> {
    let mut cells = Vec::new();
    loop {
        let cell = match rest.strip_prefix('"') {
            None => {
                let (cell, after) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
                rest = after;
                (!cell.is_empty()).then(|| cell.to_owned())
            }
            Some(quoted) => {
                let end = closing(quoted)?;
                rest = &quoted[end + 1..];
                Some(quoted[..end].replace("\"\"", "\""))
            }
        };
        cells.push(cell);
        if rest.is_empty() {
            return Some(cells);
        }
        rest = rest.strip_prefix(',')?;
    }
}

/// Where the quote is that ends a cell.
fn closing(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        at += memchr::memchr(b'"', &bytes[at..])?;
        if bytes.get(at + 1) != Some(&b'"') {
            return Some(at);
        }
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::super::csv::{CsvFile, Style};
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(rows in proptest::collection::vec(proptest::array::uniform3(proptest::option::of("[a\",\n\r=é]{0,6}")), 0..6)) {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("x.csv");
            let mut file = CsvFile::create(&path, &Style::default(), ["a", "b,\n\"", ""]).expect("a file");
            for row in &rows {
                file.row(row.iter().map(Option::as_deref)).expect("a row");
            }
            file.finish().expect("a file");
            let mut found = Rows::open(&path).expect("a file");
            prop_assert_eq!(found.header(), ["a", "b,\n\"", ""]);
            for row in rows {
                prop_assert_eq!(found.next_row().expect("a row"), Some(row.to_vec()));
            }
            prop_assert_eq!(found.next_row().expect("the end"), None);
        }
    }

    #[test]
    fn a_file_that_is_cut_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.csv");
        for text in ["", "a,b\n1", "a,b\n\"1\n", "a,b\n1\n", "a,b\n\"1\"x,2\n"] {
            std::fs::write(&path, text).expect("a file");
            let read = Rows::open(&path).and_then(|mut rows| rows.next_row());
            let error = read.expect_err(text);
            assert!(error.help_text().is_some(), "{text}");
        }
    }
}
