//! Turns blocks of whole records into Arrow batches of text columns.
//!
//! Two steps a block, both over memory that is still in the cache: find every delimiter, quote and line feed (64 bytes at a
//! time, as bits of a word), then walk those positions record by record. A record goes into the columns only once its
//! shape is known to be right, so nothing is ever taken back. UTF-8 is checked once for a block; only a block that fails is
//! gone through record by record to find the ones to blame.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringBuilder, UInt64Array};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use memchr::memchr_iter;

use super::blocks::Block;
use super::header::Columns;
use super::record::{Dialect, RawRecord};
use crate::error::{Context, Result};
use crate::stage::sink::{Failure, PartWriter, UnitSink};

const BATCH_ROWS_MAX: usize = 65_536;
const BATCH_BYTES_MAX: usize = 16 << 20;

/// Where a worker's rows go.
pub(super) struct Output<'a> {
    pub(super) part: PartWriter<'a>,
    pub(super) sink: &'a UnitSink,
}

/// The unquoted texts that mean NULL.
#[derive(Clone, Debug)]
pub(super) struct NullTokens {
    tokens: Vec<String>,
    /// Bit `n` is set where a token has `n` bytes (the last bit: that many or more), so that most cells need no comparison.
    lengths: u64,
}

impl NullTokens {
    pub(super) fn new(tokens: &[String]) -> Self {
        let lengths = tokens.iter().fold(1, |bits, token| bits | 1 << token.len().min(63));
        Self { tokens: tokens.to_vec(), lengths }
    }

    /// Whether an unquoted cell is NULL: the empty one always is.
    pub(super) fn matches(&self, cell: &str) -> bool {
        self.lengths >> cell.len().min(63) & 1 == 1
            && (cell.is_empty() || self.tokens.iter().any(|token| token == cell))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Bare,
    Quoted,
    /// Quoted, with doubled quotes inside.
    Doubled,
}

#[derive(Clone, Copy, Debug)]
struct Cell {
    start: usize,
    end: usize,
    form: Form,
}

/// One worker's columns in the making.
pub(super) struct Tokenizer {
    dialect: Dialect,
    nulls: NullTokens,
    columns: Arc<Columns>,
    schema: SchemaRef,
    builders: Vec<StringBuilder>,
    /// Where each row begins.
    lines: Vec<u64>,
    rows: usize,
    bytes: usize,
    /// Positions of delimiters, quotes and line feeds in the text at hand.
    marks: Vec<u32>,
    cells: Vec<Cell>,
    scratch: String,
}

/// Text whose records are being read, and the line on which it begins.
struct Text<'a> {
    text: &'a str,
    line: u64,
}

impl Tokenizer {
    pub(super) fn new(dialect: Dialect, nulls: NullTokens, columns: Arc<Columns>) -> Self {
        Self {
            dialect,
            nulls,
            schema: columns.schema(),
            builders: columns.names().iter().map(|_| StringBuilder::new()).collect(),
            columns,
            lines: Vec::new(),
            rows: 0,
            bytes: 0,
            marks: Vec::new(),
            cells: Vec::new(),
            scratch: String::new(),
        }
    }

    /// Reads a block's records into the columns, and the columns into the part whenever they are full.
    ///
    /// # Errors
    /// A part that cannot be written; too many failed rows.
    pub(super) fn block(&mut self, block: &Block, out: &mut Output<'_>) -> Result<()> {
        let bytes = block.bytes();
        match simdutf8::basic::from_utf8(bytes) {
            Ok(text) => self.text(Text { text, line: block.first_line }, block.quotes, out),
            Err(_) => self.mixed(bytes, block.first_line, out),
        }
    }

    /// Writes what is left in the columns.
    ///
    /// # Errors
    /// A part that cannot be written.
    pub(super) fn flush(&mut self, out: &mut Output<'_>) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let lines: ArrayRef = Arc::new(UInt64Array::from(std::mem::take(&mut self.lines)));
        let arrays: Vec<ArrayRef> = self
            .builders
            .iter_mut()
            .map(|builder| {
                let next = StringBuilder::with_capacity(
                    BATCH_ROWS_MAX.min(self.rows * 2),
                    builder.values_slice().len(),
                );
                Arc::new(std::mem::replace(builder, next).finish()) as ArrayRef
            })
            .chain(std::iter::once(lines))
            .collect();
        self.rows = 0;
        self.bytes = 0;
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays)
            .or_failed(|| "cannot gather a batch".to_owned())?;
        out.part.write(&batch)
    }

    fn text(&mut self, text: Text<'_>, quotes: bool, out: &mut Output<'_>) -> Result<()> {
        let bytes = text.text.as_bytes();
        let mut marks = std::mem::take(&mut self.marks);
        marks.clear();
        if quotes {
            find_marks(bytes, [self.dialect.delimiter, self.dialect.quote], &mut marks);
        } else {
            find_marks(bytes, [self.dialect.delimiter; 2], &mut marks);
        }
        let mut next = 0;
        let mut start = 0;
        let mut line = text.line;
        while next < marks.len() {
            let (taken, good, lines) = match self.plain_record(bytes, &marks[next..], start) {
                Some(taken) => (taken, true, 1),
                None => {
                    let (taken, good) = self.any_record(bytes, &marks[next..], start);
                    let lines =
                        marks[next..next + taken].iter().filter(|&&mark| bytes[mark as usize] == b'\n');
                    (taken, good, lines.count() as u64)
                }
            };
            next += taken;
            let end = marks[next - 1] as usize + 1;
            if good {
                self.append(text.text);
                self.lines.push(line);
                self.bytes += end - start;
            } else {
                self.fail(&bytes[start..end], line, out)?;
            }
            start = end;
            line += lines;
            if self.rows >= BATCH_ROWS_MAX || self.bytes >= BATCH_BYTES_MAX {
                self.flush(out)?;
            }
        }
        self.marks = marks;
        Ok(())
    }

    /// The usual record, of the right number of cells and without quotes: how many marks it takes.
    fn plain_record(&mut self, bytes: &[u8], marks: &[u32], start: usize) -> Option<usize> {
        let count = self.builders.len();
        let (&last, before) = marks.get(..count)?.split_last()?;
        let delimiter = self.dialect.delimiter;
        if bytes[last as usize] != b'\n' || before.iter().any(|&mark| bytes[mark as usize] != delimiter) {
            return None;
        }
        self.cells.clear();
        let mut start = start;
        for &mark in before {
            self.cells.push(Cell { start, end: mark as usize, form: Form::Bare });
            start = mark as usize + 1;
        }
        let end = last as usize;
        let end = if end > start && bytes[end - 1] == b'\r' { end - 1 } else { end };
        self.cells.push(Cell { start, end, form: Form::Bare });
        Some(count)
    }

    /// Any record: how many marks it takes, and whether its cells are as they should be.
    fn any_record(&mut self, bytes: &[u8], marks: &[u32], start: usize) -> (usize, bool) {
        self.cells.clear();
        let mut taken = 0;
        let mut start = start;
        let mut good = true;
        loop {
            let (cell, marks_taken, clean) = self.any_cell(bytes, &marks[taken..], start);
            taken += marks_taken;
            good &= clean;
            self.cells.push(cell);
            let mark = marks[taken - 1] as usize;
            if bytes[mark] == b'\n' {
                return (taken, good && self.cells.len() == self.builders.len());
            }
            start = mark + 1;
        }
    }

    /// The cell at `start`, how many marks it takes with the one that ends it, and whether nothing follows its quotes.
    fn any_cell(&self, bytes: &[u8], marks: &[u32], start: usize) -> (Cell, usize, bool) {
        let quote = self.dialect.quote;
        let ends = |&mark: &u32| bytes[mark as usize] != quote;
        if bytes[start] != quote {
            let last = marks.iter().position(ends).expect("a block ends with a line feed outside quotes");
            let end = marks[last] as usize;
            let end =
                if bytes[end] == b'\n' && end > start && bytes[end - 1] == b'\r' { end - 1 } else { end };
            return (Cell { start, end, form: Form::Bare }, last + 1, true);
        }
        let mut form = Form::Quoted;
        let mut at = 1;
        let closing = loop {
            let mark = marks[at] as usize;
            if bytes[mark] != quote {
                at += 1;
            } else if bytes.get(mark + 1) == Some(&quote) {
                form = Form::Doubled;
                at += 2;
            } else {
                break mark;
            }
        };
        let more =
            marks[at + 1..].iter().position(ends).expect("a block ends with a line feed outside quotes");
        let last = at + 1 + more;
        let end = marks[last] as usize;
        let between = &bytes[closing + 1..end];
        let clean = between.is_empty() || (between == b"\r" && bytes[end] == b'\n');
        (Cell { start: start + 1, end: closing, form }, last + 1, clean)
    }

    /// Puts the cells at hand into the columns.
    fn append(&mut self, text: &str) {
        for (builder, cell) in self.builders.iter_mut().zip(&self.cells) {
            let content = &text[cell.start..cell.end];
            match cell.form {
                Form::Bare if self.nulls.matches(content) => builder.append_null(),
                Form::Bare | Form::Quoted => builder.append_value(content),
                Form::Doubled => {
                    undouble(content, self.dialect.quote, &mut self.scratch);
                    builder.append_value(&self.scratch);
                }
            }
        }
        self.rows += 1;
    }

    /// A record that is not as it should be: a blank line, or a failure.
    fn fail(&mut self, record: &[u8], line: u64, out: &Output<'_>) -> Result<()> {
        let raw = self.dialect.record(record);
        if raw.is_blank() {
            return Ok(());
        }
        out.sink.fail(explain(&raw, &self.columns, &self.nulls, line))
    }

    /// A block that is not UTF-8 as a whole: the stretches between its broken records are read as usual.
    fn mixed(&mut self, bytes: &[u8], first_line: u64, out: &mut Output<'_>) -> Result<()> {
        let mut line = first_line;
        let mut good_from = 0;
        let mut at = 0;
        while at < bytes.len() {
            let record = self.dialect.record(&bytes[at..]);
            let end = at + record.len;
            if simdutf8::basic::from_utf8(&bytes[at..end]).is_err() {
                self.stretch(&bytes[good_from..at], line, out)?;
                line += memchr_iter(b'\n', &bytes[good_from..at]).count() as u64;
                out.sink.fail(explain(&record, &self.columns, &self.nulls, line))?;
                line += memchr_iter(b'\n', &bytes[at..end]).count() as u64;
                good_from = end;
            }
            at = end;
        }
        self.stretch(&bytes[good_from..], line, out)
    }

    fn stretch(&mut self, bytes: &[u8], line: u64, out: &mut Output<'_>) -> Result<()> {
        let text = std::str::from_utf8(bytes).expect("each of these records was checked");
        self.text(Text { text, line }, true, out)
    }
}

/// Says what is wrong with a record, and what of it can be used all the same.
fn explain(record: &RawRecord<'_>, columns: &Columns, nulls: &NullTokens, line: u64) -> Failure {
    let mut failure = Failure { line: Some(line), code: "parse", ..Failure::default() };
    for (i, cell) in record.cells.iter().enumerate() {
        let name = columns.names().get(i);
        let text = std::str::from_utf8(&cell.bytes);
        let trouble = if cell.trailing {
            Some("text after the closing quote")
        } else if text.is_err() {
            Some("invalid UTF-8")
        } else {
            None
        };
        if let Some(trouble) = trouble {
            if failure.column.is_none() {
                failure.column = Some(name.cloned().unwrap_or_else(|| (i + 1).to_string()));
                failure.message = trouble.to_owned();
            }
        } else if let (Ok(text), Some(physical)) = (text, columns.physical().get(i)) {
            let value = (cell.quoted || !nulls.matches(text)).then(|| text.to_owned());
            failure.cells.insert(physical.clone(), value);
        }
    }
    let (expected, found) = (columns.names().len(), record.cells.len());
    if expected != found {
        let shape = format!("expected {expected} cells, found {found}");
        failure.message =
            if failure.message.is_empty() { shape } else { format!("{}; {shape}", failure.message) };
    }
    failure
}

/// Each doubled quote becomes one.
fn undouble(content: &str, quote: u8, into: &mut String) {
    into.clear();
    let mut from = 0;
    let mut quotes = memchr_iter(quote, content.as_bytes());
    // Every quote inside is one of a pair: keep the first, go on behind the second.
    while let Some(first) = quotes.next() {
        into.push_str(&content[from..=first]);
        from = first + 2;
        quotes.next();
    }
    into.push_str(&content[from..]);
}

/// Appends the positions of both bytes of `either` and of line feeds.
fn find_marks(bytes: &[u8], either: [u8; 2], marks: &mut Vec<u32>) {
    let (chunks, tail) = bytes.as_chunks::<64>();
    let mut base = 0;
    for chunk in chunks {
        push_bits(mark_bits(chunk, either), base, marks);
        base += 64;
    }
    let mut last = [0; 64];
    last[..tail.len()].copy_from_slice(tail);
    // The padding could look like a mark where the delimiter is NUL.
    push_bits(mark_bits(&last, either) & ((1 << tail.len()) - 1), base, marks);
}

/// Bit `i` tells whether byte `i` is a mark. Written so that the compiler turns it into vector comparisons.
fn mark_bits(chunk: &[u8; 64], [a, b]: [u8; 2]) -> u64 {
    let mut hits = [0u8; 64];
    for (hit, &byte) in hits.iter_mut().zip(chunk) {
        *hit = u8::from(byte == a) | u8::from(byte == b) | u8::from(byte == b'\n');
    }
    let (words, _) = hits.as_chunks::<8>();
    let mut bits = 0;
    for (i, word) in words.iter().enumerate() {
        // The product moves the eight 0-or-1 bytes side by side into the top byte.
        let gathered = u64::from_le_bytes(*word).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        bits |= gathered << (8 * i);
    }
    bits
}

fn push_bits(mut bits: u64, base: u32, marks: &mut Vec<u32>) {
    while bits != 0 {
        marks.push(base + bits.trailing_zeros());
        bits &= bits - 1;
    }
}
