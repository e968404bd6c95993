//! Every rule of reading CSV, read back out of the parts; and the tokenizer against the `csv` crate.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::UInt64Type;
use flate2::Compression;
use flate2::write::GzEncoder;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use tempfile::TempDir;

use super::CsvSource;
use super::record::{Dialect, RawCell};
use crate::error::{ErrorKind, Result};
use crate::spec::{BytesEncoding, CsvOptions};
use crate::stage::Stamp;
use crate::stage::failures::read;
use crate::stage::sink::{COLUMN_LINE, Failure, FailureLimit, StagedUnit, UnitSink};
use crate::stage::{Source, Unit};

type Row = Vec<Option<String>>;

fn options() -> CsvOptions {
    CsvOptions {
        uri: String::new(),
        delimiter: b',',
        quote: b'"',
        header: true,
        columns: None,
        null_tokens: Vec::new(),
        encoding: BytesEncoding::Hex,
    }
}

fn without_header() -> CsvOptions {
    CsvOptions { header: false, ..options() }
}

fn unit(path: &Path) -> Unit {
    let bytes = fs::metadata(path).unwrap().len();
    Unit {
        path: path.to_path_buf(),
        stamp: Stamp::of(path).unwrap(),
        bytes,
        expected: None,
        file: None,
        window: 0,
        is_live: false,
    }
}

/// A folder with files, staged one by one.
struct Files {
    folder: TempDir,
    units: Vec<Unit>,
}

impl Files {
    fn of(contents: &[&[u8]]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Self { folder, units: Vec::new() };
        for (i, content) in contents.iter().enumerate() {
            let path = files.path(&format!("{i}.csv"));
            fs::write(&path, content).unwrap();
            files.units.push(unit(&path));
        }
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn source(&self, options: CsvOptions) -> CsvSource {
        CsvSource::new("side", options, Arc::default(), self.units.clone())
    }

    fn stage(&self, source: &CsvSource, nth: usize, workers: usize) -> Result<Staged> {
        let folder = self.path(&format!("parts-{nth}"));
        fs::create_dir_all(&folder).unwrap();
        let sink = UnitSink::new(&folder, "part", Arc::default(), Arc::new(FailureLimit::default()));
        source.read(&self.units[nth], &sink, workers)?;
        let unit = sink.commit()?;
        let (mut rows, mut lines) = (Vec::new(), Vec::new());
        for part in &unit.parts {
            rows.extend(read_part(&folder.join(&part.file), &mut lines));
        }
        assert_eq!(rows.len() as u64, unit.rows);
        let failures = unit.failed.iter().flat_map(|part| read(&part.path(&folder))).collect();
        Ok(Staged { rows, lines, unit, failures })
    }
}

#[derive(Debug)]
struct Staged {
    rows: Vec<Row>,
    lines: Vec<u64>,
    unit: StagedUnit,
    failures: Vec<Failure>,
}

impl Staged {
    /// Line, column and message of each failure.
    fn failures(&self) -> Vec<(u64, Option<&str>, &str)> {
        let failures = self.failures.iter();
        failures.map(|f| (f.line.unwrap(), f.column.as_deref(), f.message.as_str())).collect()
    }

    fn cells(&self, nth: usize) -> Vec<(&str, Option<&str>)> {
        let cells = self.failures[nth].cells.iter();
        cells.map(|(name, value)| (name.as_str(), value.as_deref())).collect()
    }

    fn physical(&self) -> Vec<&str> {
        let names = self.unit.columns.iter().map(|column| column.physical.as_str());
        names.filter(|name| *name != COLUMN_LINE).collect()
    }
}

fn read_part(path: &Path, lines: &mut Vec<u64>) -> Vec<Row> {
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap()).unwrap().build().unwrap();
    let mut rows = Vec::new();
    for batch in reader {
        let batch = batch.unwrap();
        for i in 0..batch.num_rows() {
            let cell = |column: &Arc<dyn Array>| {
                let texts = column.as_string::<i32>();
                texts.is_valid(i).then(|| texts.value(i).to_owned())
            };
            let (line, cells) = batch.columns().split_last().unwrap();
            lines.push(line.as_primitive::<UInt64Type>().value(i));
            rows.push(cells.iter().map(cell).collect());
        }
    }
    rows
}

fn stage(content: impl AsRef<[u8]>, options: CsvOptions) -> Result<Staged> {
    let files = Files::of(&[content.as_ref()]);
    files.stage(&files.source(options), 0, 1)
}

fn rows(content: impl AsRef<[u8]>, options: CsvOptions) -> Vec<Row> {
    let staged = stage(content, options).unwrap();
    assert_eq!(staged.failures(), []);
    staged.rows
}

fn row<const N: usize>(cells: [Option<&str>; N]) -> Row {
    cells.map(|cell| cell.map(str::to_owned)).to_vec()
}

fn texts<const N: usize>(cells: [&str; N]) -> Row {
    row(cells.map(Some))
}

/// The message of the exit-4 error that staging must end with.
fn refused(content: impl AsRef<[u8]>, options: CsvOptions) -> String {
    let error = stage(content, options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    error.to_string()
}

#[test]
fn only_an_unquoted_empty_cell_or_null_token_is_null() {
    let tokens = CsvOptions { null_tokens: vec!["NULL".into(), "\\N".into()], ..options() };
    let content = "a,b,c\n,\"\",x\nNULL,\"NULL\",\\N\nnull,NULLS,\"\\N\"\n";
    let expected =
        [row([None, Some(""), Some("x")]), row([None, Some("NULL"), None]), texts(["null", "NULLS", "\\N"])];
    assert_eq!(rows(content, tokens), expected);
}

#[test]
fn a_long_null_token_is_recognised() {
    let token = "n".repeat(100);
    let tokens = CsvOptions { null_tokens: vec![token.clone()], ..options() };
    let content = format!("a,b\n{token},{token}n\n");
    assert_eq!(rows(content, tokens), [row([None, Some(&format!("{token}n"))])]);
}

#[test]
fn quotes_line_feeds_and_delimiters_inside_quotes_are_content() {
    let content = "a,b\n\"x \"\"y\"\"\",\"1,2\"\n\"line one\nline two\",\"\"\"\"\n";
    assert_eq!(rows(content, options()), [texts(["x \"y\"", "1,2"]), texts(["line one\nline two", "\""])]);
}

#[test]
fn a_quote_inside_an_unquoted_cell_is_literal() {
    assert_eq!(
        rows("a,b\nx\"y,5\"\nz, \"q\"\n", options()),
        [texts(["x\"y", "5\""]), texts(["z", " \"q\""])]
    );
}

#[test]
fn a_carriage_return_is_dropped_at_line_ends_only() {
    let content = "a,b\r\nx,y\r\n\"p\r\nq\",\"r\"\r\ns\rt,u\n\"v\r\",w\r";
    let expected = [texts(["x", "y"]), texts(["p\r\nq", "r"]), texts(["s\rt", "u"]), texts(["v\r", "w"])];
    assert_eq!(rows(content, options()), expected);
}

#[test]
fn the_last_line_needs_no_line_feed() {
    assert_eq!(rows("a,b\n1,2", options()), [texts(["1", "2"])]);
    assert_eq!(rows("a,b\n1,\"2\"", options()), [texts(["1", "2"])]);
    assert_eq!(rows("a,b\n1,", options()), [row([Some("1"), None])]);
}

#[test]
fn a_byte_order_mark_is_dropped() {
    let staged = stage("\u{feff}a,b\n1,2\n", options()).unwrap();
    assert_eq!(staged.physical(), ["a", "b"]);
    assert_eq!(stage("\u{feff}\"a\",b\n1,2\n", options()).unwrap().physical(), ["a", "b"]);
}

#[test]
fn utf16_is_refused_by_name() {
    assert!(refused(b"\xff\xfea\0,\0b\0", options()).contains("UTF-16"));
}

#[test]
fn a_blank_line_is_skipped_but_null_in_a_one_column_file() {
    assert_eq!(rows("a,b\n\n1,2\n\r\n\n3,4\n\n", options()), [texts(["1", "2"]), texts(["3", "4"])]);
    assert_eq!(rows("a\n1\n\n\"\"\n\r\n", options()), [texts(["1"]), row([None]), texts([""]), row([None])]);
    assert_eq!(rows("\n\na,b\n1,2\n", options()), [texts(["1", "2"])]);
}

#[test]
fn delimiter_and_quote_are_options() {
    let tabs = CsvOptions { delimiter: b'\t', quote: b'\'', ..options() };
    assert_eq!(
        rows("a\tb\n'x\ty'\t\"z\"\n'it''s'\t,\n", tabs),
        [texts(["x\ty", "\"z\""]), texts(["it's", ","])]
    );
    let same = CsvOptions { delimiter: b'"', ..options() };
    assert_eq!(stage("a\n", same).unwrap_err().kind(), ErrorKind::Usage);
    let wide = CsvOptions { delimiter: 0xa7, ..options() };
    assert_eq!(stage("a\n", wide).unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn without_a_header_columns_are_named_by_the_spec_or_numbered() {
    let staged = stage("1,2,3\n4,5,6\n", without_header()).unwrap();
    assert_eq!(staged.physical(), ["c1", "c2", "c3"]);
    assert_eq!(staged.rows, [texts(["1", "2", "3"]), texts(["4", "5", "6"])]);
    let named = CsvOptions { columns: Some(vec!["x".into(), "y".into()]), ..without_header() };
    let staged = stage("1,2\n", named.clone()).unwrap();
    assert_eq!(staged.physical(), ["x", "y"]);
    assert_eq!(staged.rows, [texts(["1", "2"])]);
    assert_eq!(stage("", named).unwrap().physical(), ["x", "y"]);
    assert!(refused("", without_header()).contains("columns are not known"));
}

#[test]
fn ragged_rows_fail_with_their_readable_cells() {
    let staged = stage("a,b,c\n1,2,3\n4,5\n6,7,8,9\n10,\"11\n\",12\n", options()).unwrap();
    assert_eq!(staged.rows, [texts(["1", "2", "3"]), texts(["10", "11\n", "12"])]);
    let expected = [(3, None, "expected 3 cells, found 2"), (4, None, "expected 3 cells, found 4")];
    assert_eq!(staged.failures(), expected);
    assert_eq!(staged.cells(0), [("a", Some("4")), ("b", Some("5"))]);
    assert_eq!(staged.cells(1), [("a", Some("6")), ("b", Some("7")), ("c", Some("8"))]);
}

#[test]
fn text_after_a_closing_quote_fails_the_row() {
    let content = "a,b,c\n\"x\ny\",2,3\n1,\"2\" ,\n,\"p\"\"q\"r\"s,t\n4,5,6\n";
    let staged = stage(content, options()).unwrap();
    assert_eq!(staged.rows, [texts(["x\ny", "2", "3"]), texts(["4", "5", "6"])]);
    let message = "text after the closing quote";
    assert_eq!(staged.failures(), [(4, Some("b"), message), (5, Some("b"), message)]);
    assert_eq!(staged.cells(0), [("a", Some("1")), ("c", None)]);
    assert_eq!(staged.cells(1), [("a", None), ("c", Some("t"))]);
}

#[test]
fn invalid_utf8_fails_its_row_alone() {
    let content = b"a,b\n1,\"x\ny\"\n2,caf\xe9\n3,caf\xc3\xa9\n\xff,\xfe,z\n4,ok\n";
    let staged = stage(content, options()).unwrap();
    assert_eq!(staged.rows, [texts(["1", "x\ny"]), texts(["3", "café"]), texts(["4", "ok"])]);
    let both = "invalid UTF-8; expected 2 cells, found 3";
    assert_eq!(staged.failures(), [(4, Some("b"), "invalid UTF-8"), (6, Some("a"), both)]);
    assert_eq!(staged.cells(0), [("a", Some("2"))]);
}

#[test]
fn duplicate_and_empty_names_are_refused() {
    let message = refused("id,a,b,a,id\n", options());
    assert!(message.contains("`a`, `id`") && message.contains("0.csv"), "{message}");
    assert!(refused("a,,b\n", options()).contains("empty column name (cell 2)"));
    assert!(refused("a,\"\"\n", options()).contains("empty column name (cell 2)"));
    assert!(refused("a,\"b\"c\n", options()).contains("closing quote of cell 2"));
    assert!(refused(b"a,\xff\n", options()).contains("not UTF-8"));
}

#[test]
fn names_that_differ_in_case_keep_their_exact_attribute() {
    let staged = stage("Name,id,name\nx,1,y\nz,2\n", options()).unwrap();
    assert_eq!(staged.physical(), ["Name", "id", "name~2"]);
    let attributes: Vec<&str> = staged.unit.columns.iter().map(|c| c.attribute.as_str()).collect();
    assert_eq!(attributes, ["Name", "id", "name", COLUMN_LINE]);
    assert_eq!(staged.rows, [texts(["x", "1", "y"])]);
}

#[test]
fn a_quote_never_closed_names_file_and_line() {
    let message = refused("a,b\n1,2\n3,\"x\ny,4\n\n", options());
    assert!(message.contains("0.csv") && message.contains("line 3"), "{message}");
    assert!(refused("a,\"b\n1,2\n", options()).contains("line 1"));
    assert!(refused("a,b\n1,\"", options()).contains("line 2"));
    assert!(refused("a,b\n1,\"\"\"", options()).contains("line 2"));
}

#[test]
fn files_may_order_their_columns_differently() {
    let files = Files::of(&[b"a,A,b\n1,2,3\n", b"b,A,a\n6,5,4\n"]);
    let source = files.source(options());
    let second = files.stage(&source, 1, 1).unwrap();
    assert_eq!(second.physical(), ["b", "A~2", "a"]);
    assert_eq!(second.rows, [texts(["6", "5", "4"])]);
    assert_eq!(files.stage(&source, 0, 1).unwrap().physical(), ["a", "A~2", "b"]);
}

#[test]
fn files_with_other_columns_are_refused() {
    let files = Files::of(&[b"a,b\n1,2\n", b"a\n1\n", b"a,b,c\n1,2,3\n"]);
    let source = files.source(options());
    let message = files.stage(&source, 1, 1).unwrap_err().to_string();
    assert!(message.contains("1.csv has no column `b`") && message.contains("0.csv"), "{message}");
    let message = files.stage(&source, 2, 1).unwrap_err().to_string();
    assert!(message.contains("0.csv has no column `c`") && message.contains("2.csv"), "{message}");
}

#[test]
fn files_without_header_take_the_first_ones_columns() {
    let files = Files::of(&[b"", b"1,2\n", b"3\n4,5\n"]);
    let source = files.source(without_header());
    assert_eq!(files.stage(&source, 0, 1).unwrap().physical(), ["c1", "c2"]);
    let third = files.stage(&source, 2, 1).unwrap();
    assert_eq!(third.rows, [texts(["4", "5"])]);
    assert_eq!(third.failures(), [(1, None, "expected 2 cells, found 1")]);
}

#[test]
fn an_empty_file_has_no_header() {
    for content in ["", "\u{feff}", "\n\r\n"] {
        let message = refused(content, options());
        assert!(message.contains("0.csv is empty: it has no header"), "{message}");
    }
}

#[test]
fn a_header_alone_is_zero_rows_of_known_columns() {
    for content in ["a,b\n", "a,b", "a,b\n\n"] {
        let staged = stage(content, options()).unwrap();
        assert_eq!(staged.physical(), ["a", "b"]);
        assert_eq!((staged.unit.parts.len(), staged.unit.rows), (1, 0));
    }
    let failed = stage("a,b\n1\n", options()).unwrap();
    assert_eq!((failed.physical(), failed.unit.rows, failed.failures().len()), (vec!["a", "b"], 0, 1));
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn compressed_files_are_read_and_truncated_ones_refused() {
    let mut packed = gzip(b"a,b\n1,2\n");
    packed.extend(gzip(b"3,4\n"));
    assert_eq!(rows(&packed, options()), [texts(["1", "2"]), texts(["3", "4"])]);
    let message = refused(&packed[..packed.len() - 5], options());
    assert!(message.contains("0.csv to its end"), "{message}");
    assert_eq!(rows(zstd::encode_all(&b"a\n1\n"[..], 1).unwrap(), options()), [texts(["1"])]);
}

#[test]
fn a_file_that_changed_is_refused() {
    let files = Files::of(&[b"a\n1\n"]);
    fs::write(files.path("0.csv"), "a\n2\n").unwrap();
    let message = files.stage(&files.source(options()), 0, 1).unwrap_err().to_string();
    assert!(message.contains("0.csv changed while"), "{message}");
}

#[test]
fn digests_cover_the_whole_file() {
    let files = Files::of(&[b"a\n1\n"]);
    let sink = UnitSink::new(files.folder.path(), "part", Arc::default(), Arc::default());
    let digests = files.source(options()).read(&files.units[0], &sink, 1).unwrap();
    assert_eq!(digests.bytes, 4);
    assert_eq!(digests.xxh3, format!("{:032x}", xxhash_rust::xxh3::xxh3_128(b"a\n1\n")));
}

#[test]
fn a_record_larger_than_a_block_is_read_whole() {
    let long = "x\n".repeat(5_000);
    let content = format!("a,b\n1,\"{long}\"\n2,y\n");
    let files = Files::of(&[content.as_bytes()]);
    let staged = files.stage(&files.source(options()).with_block_bytes(64), 0, 1).unwrap();
    assert_eq!(staged.rows, [texts(["1", &long]), texts(["2", "y"])]);
}

#[test]
fn failures_stop_at_the_limit() {
    let files = Files::of(&[b"a,b\n1\n2\n3\n"]);
    let sink =
        UnitSink::new(files.folder.path(), "part", Arc::default(), Arc::new(FailureLimit::new(Some(2))));
    let error = files.source(options()).read(&files.units[0], &sink, 2).unwrap_err();
    assert!(error.to_string().contains("--max-errors"));
}

/// Cells with everything that matters in them, often.
fn cell() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just(","),
        Just("\""),
        Just("\n"),
        Just("\r\n"),
        Just("é"),
        Just("ab"),
        Just("\\N"),
        Just(" ")
    ];
    prop::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

fn table() -> impl Strategy<Value = Vec<Vec<String>>> {
    (1usize..5).prop_flat_map(|width| prop::collection::vec(prop::collection::vec(cell(), width), 1..30))
}

/// Bytes in which nothing need be right.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop::sample::select(b"aab,,,\"\"\"\n\n\n\r\xc3\xa9".to_vec());
    prop::collection::vec(byte, 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// What the `csv` crate writes and reads back, we read alike; it does not tell NULL from empty, so NULL counts as empty.
    #[test]
    fn agrees_with_the_csv_crate(table in table(), style in 0usize..3, crlf: bool, block in 1usize..200, workers in 1usize..4) {
        let style = [csv::QuoteStyle::Necessary, csv::QuoteStyle::Always, csv::QuoteStyle::NonNumeric][style];
        let terminator = if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
        let mut writer = csv::WriterBuilder::new().quote_style(style).terminator(terminator).from_writer(Vec::new());
        for row in &table {
            writer.write_record(row).unwrap();
        }
        let content = writer.into_inner().unwrap();
        let mut oracle = csv::ReaderBuilder::new().has_headers(false).from_reader(content.as_slice());
        let mut expected: Vec<Vec<String>> =
            oracle.records().map(|r| r.unwrap().iter().map(str::to_owned).collect()).collect();
        let files = Files::of(&[&content]);
        let staged = files.stage(&files.source(without_header()).with_block_bytes(block), 0, workers).unwrap();
        prop_assert_eq!(staged.failures(), []);
        let mut found: Vec<Vec<String>> =
            staged.rows.into_iter().map(|row| row.into_iter().map(Option::unwrap_or_default).collect()).collect();
        expected.sort();
        found.sort();
        prop_assert_eq!(found, expected);
    }

    /// Whatever stands in a file: the size of the blocks and the number of workers change nothing, failures included.
    #[test]
    fn blocks_and_workers_change_nothing(content in noise(), block in 1usize..65, workers in 1usize..4) {
        let mut content = content;
        content.splice(0..0, *b"a,b\n");
        let files = Files::of(&[&content]);
        let outcome = |block: usize, workers: usize| {
            files.stage(&files.source(options()).with_block_bytes(block), 0, workers).map(|mut staged| {
                staged.rows.sort();
                staged.failures.sort_by_key(|failure| failure.line);
                (staged.rows, format!("{:?}", staged.failures))
            }).map_err(|error| error.to_string())
        };
        prop_assert_eq!(outcome(block, workers), outcome(1 << 20, 1));
    }

    /// The tokenizer reads every file as the plain rules of `record.rs` do.
    #[test]
    fn agrees_with_the_plain_rules(content in noise(), block in 1usize..65) {
        let files = Files::of(&[&[b"a,b\n", content.as_slice()].concat()]);
        let Ok(staged) = files.stage(&files.source(options()).with_block_bytes(block), 0, 1) else { return Ok(()) };
        let (mut rows, mut failed, mut at, mut line) = (Vec::new(), Vec::new(), 0, 2);
        while at < content.len() {
            let record = Dialect { delimiter: b',', quote: b'"' }.record(&content[at..]);
            let text = |cell: &RawCell<'_>| {
                let text = std::str::from_utf8(&cell.bytes).ok()?;
                (!cell.trailing).then(|| (cell.quoted || !text.is_empty()).then(|| text.to_owned()))
            };
            let cells: Option<Row> = record.cells.iter().map(text).collect();
            match cells {
                Some(cells) if cells.len() == 2 => rows.push(cells),
                _ if record.is_blank() => {}
                _ => failed.push(line),
            }
            line += content[at..at + record.len].iter().filter(|&&byte| byte == b'\n').count() as u64;
            at += record.len;
        }
        let lines: Vec<u64> = staged.failures().iter().map(|failure| failure.0).collect();
        prop_assert_eq!((staged.rows, lines), (rows, failed));
    }
}

#[test]
fn rows_know_the_line_on_which_they_begin() {
    let content = "id,n\n1,a\n\n2,\"x\ny\"\n3\n4,b\r\n5,c";
    for block_bytes in [1, 7, 1 << 20] {
        let files = Files::of(&[content.as_bytes()]);
        let staged = files.stage(&files.source(options()).with_block_bytes(block_bytes), 0, 2).unwrap();
        let mut lines = staged.lines.clone();
        lines.sort_unstable();
        assert_eq!(lines, [2, 4, 7, 8], "blocks of {block_bytes} bytes");
    }
}
