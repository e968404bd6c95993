//! Cuts a decompressed stream into blocks of whole records, each with the number of its first line.
//!
//! A record ends at a line feed outside quotes, so the cutter follows quotes by the very rules of the tokenizer: a quote
//! opens a cell only where a cell begins. It looks at nothing but quotes and the last line feed, which is far cheaper than
//! reading cells, so several workers can share one reader behind a lock.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use memchr::{memchr, memchr_iter, memrchr};

use super::record::{Dialect, RawRecord};
use crate::error::{Context, Error, Result};
use crate::stage::input::{Digests, Input};

/// A longer record is taken for a quote that was never closed, so that a broken file cannot fill the memory.
const RECORD_BYTES_MAX: usize = 256 << 20;

const BYTE_ORDER_MARK: &[u8] = &[0xef, 0xbb, 0xbf];

/// Whole records. A worker hands the same block in again and again, so that its memory is used anew.
#[derive(Debug, Default)]
pub(super) struct Block {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// 1-based number of the line on which the first record begins.
    pub(super) first_line: u64,
    /// Whether there is any quote in it.
    pub(super) quotes: bool,
}

impl Block {
    /// The records, the last one's line feed included.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }
}

/// Reads a file's blocks one after the other.
pub(super) struct BlockReader {
    path: PathBuf,
    input: Input,
    dialect: Dialect,
    block_bytes: usize,
    /// What followed the last whole record of the block before.
    rest: Vec<u8>,
    /// A block whose first records were taken off as the header.
    opened: Option<Block>,
    started: bool,
    ended: bool,
    line: u64,
}

impl BlockReader {
    pub(super) fn new(path: &Path, input: Input, dialect: Dialect, block_bytes: usize) -> Self {
        Self {
            path: path.to_path_buf(),
            input,
            dialect,
            block_bytes: block_bytes.max(BYTE_ORDER_MARK.len()),
            rest: Vec::new(),
            opened: None,
            started: false,
            ended: false,
            line: 1,
        }
    }

    /// Fills `block` with the next records; `false` at the end of the file.
    ///
    /// # Errors
    /// A file that cannot be read or decompressed to its end, a quote that is never closed, a record beyond all measure.
    pub(super) fn next(&mut self, block: &mut Block) -> Result<bool> {
        if let Some(opened) = self.opened.take() {
            *block = opened;
            return Ok(true);
        }
        if self.ended && self.rest.is_empty() {
            return Ok(false);
        }
        // Before the lock is let go: what was read for the block that failed is lost to whoever comes next.
        let (filled, scan) = self.fill(&mut block.buffer).inspect_err(|_| self.abandon())?;
        self.rest.clear();
        self.rest.extend_from_slice(&block.buffer[scan.cut..filled]);
        block.start = 0;
        block.end = scan.cut;
        block.quotes = scan.quotes;
        block.first_line = self.line;
        self.line += memchr_iter(b'\n', block.bytes()).count() as u64;
        Ok(block.end > 0)
    }

    /// Passes the first record that is not a blank line to `look`; with `take` it is the header and no longer among the
    /// records. `None` for a file without records.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub(super) fn first<T>(
        &mut self,
        take: bool,
        look: impl FnOnce(RawRecord<'_>) -> T,
    ) -> Result<Option<T>> {
        let mut block = Block::default();
        let mut look = Some(look);
        while self.next(&mut block)? {
            let mut at = 0;
            while at < block.bytes().len() {
                let record = self.dialect.record(&block.bytes()[at..]);
                let len = record.len;
                if !record.is_blank() {
                    let seen = look.take().map(|look| look(record));
                    if take {
                        block.first_line += memchr_iter(b'\n', &block.bytes()[..at + len]).count() as u64;
                        block.start += at + len;
                    }
                    self.opened = Some(block);
                    return Ok(seen);
                }
                at += len;
            }
        }
        Ok(None)
    }

    /// Makes every further [`Self::next`] say that the file ended: another worker failed.
    pub(super) fn abandon(&mut self) {
        self.opened = None;
        self.ended = true;
        self.rest.clear();
    }

    /// The digests of the whole file.
    ///
    /// # Errors
    /// A file that cannot be read to its end.
    pub(super) fn finish(self) -> Result<Digests> {
        let path = self.path;
        self.input.finish().or_failed(|| format!("cannot read {} to its end", path.display()))
    }

    /// Reads until the buffer holds whole records and is full enough, or the file ends. Returns how far it is filled and
    /// where it can be cut.
    fn fill(&mut self, buffer: &mut Vec<u8>) -> Result<(usize, QuoteScan)> {
        let mut filled = self.rest.len();
        let wanted = self.block_bytes.max(filled + 1);
        buffer.resize(wanted, 0);
        buffer.shrink_to(4 * wanted);
        buffer[..filled].copy_from_slice(&self.rest);
        let mut scan = QuoteScan::new(self.dialect);
        loop {
            filled += self.read(&mut buffer[filled..])?;
            if !self.started {
                self.started = true;
                filled = self.strip_mark(buffer, filled)?;
            }
            // A last line without a line feed gets one, so that no reader of blocks has to think of it.
            if self.ended && filled > 0 && buffer[filled - 1] != b'\n' {
                scan.run(&buffer[..filled], true);
                if scan.opened.is_none() {
                    buffer.truncate(filled);
                    buffer.push(b'\n');
                    filled += 1;
                }
            }
            scan.run(&buffer[..filled], self.ended);
            if self.ended {
                return match scan.opened {
                    Some(at) => Err(self.never_closed(&buffer[..at])),
                    None => Ok((filled, scan)),
                };
            }
            if scan.cut > 0 {
                return Ok((filled, scan));
            }
            if filled >= RECORD_BYTES_MAX {
                return Err(self.endless(scan.opened.map(|at| &buffer[..at])));
            }
            buffer.resize((filled * 2).clamp(self.block_bytes, RECORD_BYTES_MAX), 0);
        }
    }

    /// Fills `space` as far as the file goes.
    fn read(&mut self, space: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < space.len() && !self.ended {
            match self.input.read(&mut space[filled..]) {
                Ok(0) => self.ended = true,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.abandon();
                    let what = format!("cannot read {} to its end", self.path.display());
                    return Err(Error::failed(what)
                        .caused_by(error)
                        .help("the file is cut short or damaged: copy it again from where it came"));
                }
            }
        }
        Ok(filled)
    }

    fn strip_mark(&self, buffer: &mut [u8], filled: usize) -> Result<usize> {
        let head = &buffer[..filled];
        if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) {
            return Err(Error::failed(format!("{} is UTF-16, not UTF-8", self.path.display()))
                .help("convert it first, for example with iconv -f UTF-16 -t UTF-8"));
        }
        if !head.starts_with(BYTE_ORDER_MARK) {
            return Ok(filled);
        }
        buffer.copy_within(BYTE_ORDER_MARK.len()..filled, 0);
        Ok(filled - BYTE_ORDER_MARK.len())
    }

    fn never_closed(&self, before: &[u8]) -> Error {
        let line = self.line + memchr_iter(b'\n', before).count() as u64;
        Error::failed(format!("{}: the quote opened on line {line} is never closed", self.path.display()))
            .help("close the quote, or set the dataset's `quote` to a byte that does not occur")
    }

    fn endless(&self, before_quote: Option<&[u8]>) -> Error {
        let line = self.line + before_quote.map_or(0, |before| memchr_iter(b'\n', before).count() as u64);
        let limit = RECORD_BYTES_MAX >> 20;
        let what = format!("{}: the record on line {line} is longer than {limit} MiB", self.path.display());
        Error::failed(what).help("is this a CSV file, and is a quote opened there that is never closed?")
    }
}

/// Follows quotes through a growing buffer that begins at a record.
struct QuoteScan {
    dialect: Dialect,
    position: usize,
    /// Where the quote stands that is open at `position`.
    opened: Option<usize>,
    /// The end of the last whole record before `position`.
    cut: usize,
    quotes: bool,
}

impl QuoteScan {
    fn new(dialect: Dialect) -> Self {
        Self { dialect, position: 0, opened: None, cut: 0, quotes: false }
    }

    /// Goes on from where it stopped to the end of `data`, which `whole` says is the end of the file.
    fn run(&mut self, data: &[u8], whole: bool) {
        let Dialect { delimiter, quote } = self.dialect;
        while self.position < data.len() {
            let from = self.position;
            let found = memchr(quote, &data[from..]).map(|i| from + i);
            if self.opened.is_none() {
                let end = found.unwrap_or(data.len());
                self.cut = memrchr(b'\n', &data[from..end]).map_or(self.cut, |i| from + i + 1);
                self.position = end;
            }
            let Some(at) = found else {
                self.position = data.len();
                return;
            };
            self.quotes = true;
            if self.opened.is_none() {
                let opens = at == 0 || data[at - 1] == delimiter || data[at - 1] == b'\n';
                self.opened = opens.then_some(at);
                self.position = at + 1;
            } else if at + 1 == data.len() && !whole {
                // Whether it closes or is the first of a pair, the next byte will tell.
                self.position = at;
                return;
            } else if data.get(at + 1) == Some(&quote) {
                self.position = at + 2;
            } else {
                self.opened = None;
                self.position = at + 1;
            }
        }
    }
}
