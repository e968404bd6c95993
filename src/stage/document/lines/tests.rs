//! What the reading of lines itself promises, with a reader that takes every line as it is.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use super::{BLOCK_BYTES, LineReader, LinesJob};
use crate::event::Progress;
use crate::stage::document::{Change, DocumentBuilder, Names, RowFault, Stop};
use crate::stage::failures::read;
use crate::stage::sink::{FailureLimit, UnitSink};
use crate::store::files::Files;

/// Fails every line with the line itself, so that a test sees which number each was given.
struct Echo;

impl LineReader for Echo {
    fn read(&mut self, line: &str, _: &mut DocumentBuilder) -> Result<Option<Change>, Stop> {
        Err(RowFault::parse(line).into())
    }

    fn cells(&self, _: &str) -> BTreeMap<String, Option<String>> {
        BTreeMap::new()
    }
}

fn numbered(bytes: &[u8], workers: usize) -> Vec<(u64, String)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lines.txt");
    fs::write(&path, bytes).unwrap();
    let files = Files::default();
    let unit = files.file(&path).unwrap().unwrap();
    let limit = Arc::new(FailureLimit::new(None));
    let sink = UnitSink::new(folder.path(), "p", Arc::new(Progress::default()), limit);
    let names = Arc::new(Names::new("lines"));
    let tally = LinesJob { files: &files, unit: &unit, sink: &sink, workers, names: &names, in_chain: false }
        .run(|| Echo)
        .unwrap();
    let failed = sink.commit().unwrap().failed;
    let failures: Vec<_> = failed.iter().flat_map(|part| read(&part.path(folder.path()))).collect();
    assert_eq!(tally.documents, failures.len() as u64);
    assert_eq!(tally.digests.bytes, bytes.len() as u64);
    let mut lines: Vec<_> = failures.into_iter().map(|f| (f.line.unwrap(), f.message)).collect();
    lines.sort();
    lines
}

#[test]
fn every_line_is_read_once_with_its_number_wherever_blocks_end() {
    // Lines of all lengths around the size of a block, some blank, one of them not text.
    let mut bytes = Vec::new();
    let mut expected = Vec::new();
    for n in 1..400u64 {
        let length = if n % 50 == 0 { BLOCK_BYTES - 3 + (n / 50) as usize } else { (n * n) as usize % 5_000 };
        if n == 123 {
            bytes.extend_from_slice(b"\xff");
            expected.push((n, "invalid UTF-8 at byte 1".to_owned()));
        } else if length > 0 {
            let line = format!("{n}:{}", "y".repeat(length));
            bytes.extend_from_slice(line.as_bytes());
            expected.push((n, line));
        }
        bytes.push(b'\n');
    }
    for workers in [1, 3] {
        assert!(numbered(&bytes, workers) == expected, "{workers} workers");
        bytes.pop();
        assert!(numbered(&bytes, workers) == expected, "{workers} workers, no newline at the end");
        bytes.push(b'\n');
    }
}

#[test]
fn a_byte_order_mark_counts_only_at_the_start() {
    assert_eq!(
        numbered(b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n", 1),
        [(1, "a".to_owned()), (2, "\u{feff}b".to_owned())]
    );
}
