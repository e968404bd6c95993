//! `report.html`: one file with its own style and script, that loads nothing. What it shows is JSON in it, which the script puts into the
//! page as text and never as markup.

use std::io::Write;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::csv::WholeFile;
use super::document::{Document, Section};
use super::gather::each_record;
use crate::error::{Context, Result};
use crate::query::render;

/// The page's name.
pub const NAME: &str = "report.html";

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Records that are in a page; the others are in the CSV files alone.
pub const RECORDS_MAX: u64 = 100_000;
/// Bytes of a page that are records.
const BYTES_MAX: usize = 32 << 20;
/// Characters of a value that are in a page.
const CHARS_MAX: usize = 500;

/// Writes a page. `records` is the folder with the tables, where the document has a section for them.
///
/// # Errors
/// A disk that is full or refuses; tables that are damaged.
pub fn write(path: &Path, document: &Document, records: Option<&Path>) -> Result<()> {
    let mut file = WholeFile::create(path)?;
    let failed = || format!("cannot write {}", path.display());
    // The records are many: what stands before and behind them is written around them.
    let (before, behind) = PAGE.split_once("{{records}}").expect("the page has a place for records");
    let hashes = [hash(SCRIPT), hash(STYLE)];
    let pieces = [("script_hash", hashes[0].as_str()), ("style_hash", &hashes[1]), ("style", STYLE)];
    file.out.write_all(render(before, &pieces).as_bytes()).or_failed(failed)?;
    let left_out = match records {
        Some(folder) => write_records(&mut file, folder)?,
        None => {
            file.out.write_all(b"[]").or_failed(failed)?;
            LeftOut::default()
        }
    };
    let mut document = document.clone();
    for section in &mut document.sections {
        if let Section::Records { notes, .. } = section {
            notes.extend(left_out.in_words());
        }
    }
    let pieces = [("facts", embedded(&document)), ("script", SCRIPT.to_owned())];
    let pieces: Vec<(&str, &str)> = pieces.iter().map(|(name, piece)| (*name, piece.as_str())).collect();
    file.out.write_all(render(behind, &pieces).as_bytes()).or_failed(failed)?;
    file.finish()
}

/// What of the records is not in a page.
#[derive(Default)]
struct LeftOut {
    shown: u64,
    rows: u64,
    values: u64,
}

impl LeftOut {
    fn in_words(&self) -> Vec<String> {
        let mut words = Vec::new();
        if self.rows > 0 {
            words.push(format!(
                "The page has the first {} rows; {} more are left out. All of them are in mismatches.csv, missing.csv, extra.csv and duplicates.csv.",
                self.shown, self.rows
            ));
        }
        if self.values > 0 {
            words.push(format!(
                "{} long values are cut after {CHARS_MAX} characters (…); the CSV files have them whole.",
                self.values
            ));
        }
        words
    }
}

fn write_records(file: &mut WholeFile, folder: &Path) -> Result<LeftOut> {
    let (mut left_out, mut bytes) = (LeftOut::default(), 0);
    file.put("[")?;
    each_record(folder, |word, record| {
        if left_out.shown == RECORDS_MAX || bytes > BYTES_MAX || left_out.rows > 0 {
            left_out.rows += 1;
            return Ok(true);
        }
        let mut cut = |text: &Option<String>| {
            let end = text.as_ref()?.char_indices().nth(CHARS_MAX).map(|(at, _)| at);
            left_out.values += u64::from(end.is_some());
            text.as_ref().map(|text| end.map_or_else(|| text.clone(), |end| format!("{}…", &text[..end])))
        };
        let key: Vec<Option<String>> = record.key.iter().map(&mut cut).collect();
        let mut rest: Vec<Option<String>> = record.rest.iter().map(&mut cut).collect();
        rest.resize(5, None);
        let [field, rule, source, target, delta] = rest.as_slice() else { return Ok(true) };
        let row = embedded(&(word, record.entity, key, field, rule, source, target, delta));
        bytes += row.len();
        file.put(if left_out.shown > 0 { ",\n" } else { "" })?;
        left_out.shown += 1;
        file.put(&row).map(|()| true)
    })?;
    file.put("]")?;
    Ok(left_out)
}

/// JSON that ends no element of the page.
fn embedded(what: &impl Serialize) -> String {
    serde_json::to_string(what).expect("texts and counts are always JSON").replace('<', "\\u003c")
}

/// What the policy of the page knows its own style and script by.
/// Source: <https://www.w3.org/TR/CSP3/#grammardef-hash-source>
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text.as_bytes())))
}
