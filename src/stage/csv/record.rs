//! One record, read cell by cell without hurry: the rules in their plainest form.
//!
//! Headers and rows that failed are read here; [`super::tokenizer`] does the same quickly for the rows that are well formed.
//! In: bytes that begin at a record. Out: its cells, and how many bytes it takes with its line end.

use std::borrow::Cow;

/// The two bytes that shape a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    pub(super) quote: u8,
}

/// A cell as it was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RawCell<'a> {
    /// Its content, quotes removed.
    pub(super) bytes: Cow<'a, [u8]>,
    /// Whether it began with a quote.
    pub(super) quoted: bool,
    /// Whether text follows its closing quote.
    pub(super) trailing: bool,
}

/// A record and the bytes it takes, its line end among them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RawRecord<'a> {
    pub(super) cells: Vec<RawCell<'a>>,
    pub(super) len: usize,
}

impl RawRecord<'_> {
    /// Whether nothing stands on the line.
    pub(super) fn is_blank(&self) -> bool {
        matches!(self.cells.as_slice(), [cell] if !cell.quoted && cell.bytes.is_empty())
    }
}

impl Dialect {
    /// Reads the record at the start of `data`, which ends with the record's line end or at the end of the file.
    pub(super) fn record(self, data: &[u8]) -> RawRecord<'_> {
        let mut cells = Vec::new();
        let mut at = 0;
        loop {
            let (cell, end) = self.cell(data, at);
            cells.push(cell);
            match data.get(end) {
                Some(&byte) if byte == self.delimiter => at = end + 1,
                Some(_) => return RawRecord { cells, len: end + 1 },
                None => return RawRecord { cells, len: end },
            }
        }
    }

    /// The cell at `at`, and where its delimiter or line feed stands (or the data ends).
    fn cell(self, data: &[u8], at: usize) -> (RawCell<'_>, usize) {
        if data.get(at) != Some(&self.quote) {
            let end = self.bare_end(data, at);
            let bytes = Cow::Borrowed(&data[at..without_return(data, at, end)]);
            return (RawCell { bytes, quoted: false, trailing: false }, end);
        }
        let (bytes, closed) = self.quoted(data, at + 1);
        let end = self.bare_end(data, closed);
        let trailing = without_return(data, closed, end) > closed;
        (RawCell { bytes, quoted: true, trailing }, end)
    }

    /// The content from `at`, just behind an opening quote, and the position behind the closing one.
    fn quoted(self, data: &[u8], at: usize) -> (Cow<'_, [u8]>, usize) {
        let mut content = Cow::Borrowed(&data[at..at]);
        let mut from = at;
        loop {
            let Some(found) = memchr::memchr(self.quote, &data[from..]) else {
                return (append(content, &data[from..]), data.len());
            };
            let quote = from + found;
            if data.get(quote + 1) != Some(&self.quote) {
                return (append(content, &data[from..quote]), quote + 1);
            }
            content = append(content, &data[from..=quote]);
            from = quote + 2;
        }
    }

    /// Where the delimiter or line feed at or behind `at` stands.
    fn bare_end(self, data: &[u8], at: usize) -> usize {
        memchr::memchr2(self.delimiter, b'\n', &data[at..]).map_or(data.len(), |found| at + found)
    }
}

/// A carriage return belongs to the line end that follows it, and to that of a last line cut short.
fn without_return(data: &[u8], start: usize, end: usize) -> usize {
    let at_line_end = data.get(end).is_none_or(|&byte| byte == b'\n');
    if at_line_end && end > start && data[end - 1] == b'\r' { end - 1 } else { end }
}

fn append<'a>(content: Cow<'a, [u8]>, more: &'a [u8]) -> Cow<'a, [u8]> {
    if content.is_empty() {
        return Cow::Borrowed(more);
    }
    let mut owned = content.into_owned();
    owned.extend_from_slice(more);
    Cow::Owned(owned)
}
