//! Reading a file of one document a line: blocks of whole lines, parsed by one or more workers into batches.
//!
//! The workers share the file: each takes the next block under a lock (reading and decompressing it on the way) and
//! parses it alone, so a slow parser never waits for a single reader, and `workers` is the number of threads that run.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::{Change, DocumentBuilder, Names, RowFault, Stop};
use crate::error::{Error, Result};
use crate::stage::Unit;
use crate::stage::input::{Digests, Input};
use crate::stage::sink::{Failure, PartWriter, UnitSink};
use crate::store::files::Files;

/// What a worker takes at a time: large enough to make the lock cheap, small enough to stay in the cache.
const BLOCK_BYTES: usize = 512 << 10;
/// The longest line. Far above DynamoDB's items (400 KB), far below what would endanger the memory limit.
const LINE_BYTES_MAX: usize = 64 << 20;

/// Turns one line into a row. Each worker has its own.
pub(crate) trait LineReader {
    /// Reads a line into the builder's current row, and says what it means in a chain of exports, if in one.
    fn read(&mut self, line: &str, builder: &mut DocumentBuilder) -> Result<Option<Change>, Stop>;

    /// The scalar attributes that can be read from a line that failed.
    fn cells(&self, line: &str) -> BTreeMap<String, Option<String>>;

    /// In a chain of exports, whose key a line that failed has, where that can be read: it takes the place of what the item
    /// was before.
    fn failed_change(&self, _line: &str) -> Option<Change> {
        None
    }
}

/// What was read.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Of the file as it lies.
    pub(crate) digests: Digests,
    /// Lines that are not blank, failed ones included.
    pub(crate) documents: u64,
}

/// How a file's lines become rows.
pub(crate) struct LinesJob<'a> {
    /// Where it lies.
    pub(crate) files: &'a Files,
    /// The file.
    pub(crate) unit: &'a Unit,
    /// Where its rows go.
    pub(crate) sink: &'a UnitSink,
    /// Threads that may run.
    pub(crate) workers: usize,
    /// The dataset's column names.
    pub(crate) names: &'a Arc<Names>,
    /// Whether the rows carry a [`Change`].
    pub(crate) in_chain: bool,
}

impl LinesJob<'_> {
    /// Reads the file to its end.
    ///
    /// # Errors
    /// A file that cannot be read, is damaged or cut short, or has a line longer than 64 MiB; a sink that refuses.
    pub(crate) fn run<R: LineReader>(&self, reader: impl Fn() -> R + Sync) -> Result<Tally> {
        let path = &self.unit.path;
        let input = Input::open(self.files, self.unit, self.sink.progress())?;
        let lines = Mutex::new(Lines::new(path, input));
        let work = || {
            let result = self.work(&lines, reader());
            if result.is_err() {
                lock(&lines).stopped = true;
            }
            result
        };
        let documents = if self.workers <= 1 {
            work()?
        } else {
            std::thread::scope(|scope| {
                let running: Vec<_> = (0..self.workers).map(|_| scope.spawn(work)).collect();
                // All are joined before the first error is returned.
                let results: Vec<_> = running
                    .into_iter()
                    .map(|w| w.join().unwrap_or_else(|p| std::panic::resume_unwind(p)))
                    .collect();
                results.into_iter().sum::<Result<u64>>()
            })?
        };
        let lines = lines.into_inner().expect("no worker panicked");
        let digests = lines.input.finish().map_err(|error| unreadable(path, error))?;
        if digests.bytes == 0 && path.extension().is_some_and(|e| e == "gz" || e == "zst") {
            return Err(unreadable(path, io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(Tally { digests, documents })
    }

    fn work<R: LineReader>(&self, lines: &Mutex<Lines>, reader: R) -> Result<u64> {
        let builder = DocumentBuilder::new(Arc::clone(self.names), self.in_chain);
        let mut worker = Worker { sink: self.sink, part: self.sink.part(), builder, reader, documents: 0 };
        let mut block = Block::default();
        while lock(lines).fill(&mut block)? {
            self.sink.progress().check()?;
            worker.block(&block)?;
        }
        worker.finish()
    }
}

fn lock(lines: &Mutex<Lines>) -> std::sync::MutexGuard<'_, Lines> {
    lines.lock().expect("no worker panics while it reads")
}

/// Whole lines.
#[derive(Default)]
struct Block {
    first_line: u64,
    buffer: Vec<u8>,
    filled: usize,
}

/// The file, its position, and the beginning of a line whose end was not read yet.
struct Lines {
    path: PathBuf,
    input: Input,
    carry: Vec<u8>,
    next_line: u64,
    at_end: bool,
    stopped: bool,
}

impl Lines {
    fn new(path: &Path, input: Input) -> Self {
        Self {
            path: path.to_path_buf(),
            input,
            carry: Vec::new(),
            next_line: 1,
            at_end: false,
            stopped: false,
        }
    }

    /// Fills the block with the next whole lines; false at the end.
    fn fill(&mut self, block: &mut Block) -> Result<bool> {
        if self.stopped {
            return Ok(false);
        }
        let mut filled = self.carry.len();
        block.buffer.resize(filled + BLOCK_BYTES, 0);
        block.buffer[..filled].copy_from_slice(&self.carry);
        let whole = loop {
            filled += self.read(&mut block.buffer[filled..])?;
            if self.at_end {
                break filled;
            }
            if let Some(newline) = memchr::memrchr(b'\n', &block.buffer[..filled]) {
                break newline + 1;
            }
            if filled > LINE_BYTES_MAX {
                let line = self.next_line;
                return Err(Error::failed(format!(
                    "{}:{line}: a line is longer than 64 MiB",
                    self.path.display()
                ))
                .help(
                    "the file must hold one document a line; a single array or indented JSON is no such file",
                ));
            }
            block.buffer.resize((2 * filled).min(LINE_BYTES_MAX + BLOCK_BYTES), 0);
        };
        self.carry.clear();
        self.carry.extend_from_slice(&block.buffer[whole..filled]);
        block.filled = whole;
        block.first_line = self.next_line;
        self.next_line += memchr::memchr_iter(b'\n', &block.buffer[..whole]).count() as u64;
        Ok(whole > 0)
    }

    /// Fills the buffer, or as much of it as there is.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() && !self.at_end {
            match self.input.read(&mut buffer[filled..]) {
                Ok(n) => {
                    self.at_end = n == 0;
                    filled += n;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(&self.path, error)),
            }
        }
        Ok(filled)
    }
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    let damaged = matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof | io::ErrorKind::Other);
    let what = if damaged { "the compressed data is damaged or cut short" } else { "reading failed" };
    let failed = Error::failed(format!("cannot read {}: {what}", path.display())).caused_by(error);
    if damaged { failed.help("fetch the file again and repeat the command") } else { failed }
}

struct Worker<'a, R> {
    sink: &'a UnitSink,
    part: PartWriter<'a>,
    builder: DocumentBuilder,
    reader: R,
    documents: u64,
}

impl<R: LineReader> Worker<'_, R> {
    fn block(&mut self, block: &Block) -> Result<()> {
        let mut bytes = &block.buffer[..block.filled];
        if block.first_line == 1 {
            bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        }
        let mut line = block.first_line;
        // One check of the whole block is much cheaper than one a line.
        match simdutf8::basic::from_utf8(bytes) {
            Ok(text) => {
                let mut start = 0;
                for end in memchr::memchr_iter(b'\n', bytes) {
                    self.line(&text[start..end], line)?;
                    start = end + 1;
                    line += 1;
                }
                self.line(&text[start..], line)
            }
            Err(_) => {
                for bytes in bytes.split(|b| *b == b'\n') {
                    match std::str::from_utf8(bytes) {
                        Ok(text) => self.line(text, line)?,
                        Err(error) => self.no_text(bytes, line, error.valid_up_to())?,
                    }
                    line += 1;
                }
                Ok(())
            }
        }
    }

    fn line(&mut self, text: &str, line: u64) -> Result<()> {
        if text.bytes().all(|b| b.is_ascii_whitespace()) {
            return Ok(());
        }
        self.documents += 1;
        match self.reader.read(text, &mut self.builder) {
            Ok(change) => {
                self.builder.keep(line, change);
                if self.builder.is_full() { self.flush() } else { Ok(()) }
            }
            Err(Stop::Row(fault)) => {
                self.builder.give_up();
                self.sink.fail(self.failure(fault, line, text))
            }
            Err(Stop::Fatal(error)) => Err(error),
        }
    }

    fn no_text(&mut self, bytes: &[u8], line: u64, valid: usize) -> Result<()> {
        self.documents += 1;
        // What stands before the first wrong byte may still hold the key.
        let before = std::str::from_utf8(&bytes[..valid]).unwrap_or_default();
        let fault = RowFault::parse(format!("invalid UTF-8 at byte {}", valid + 1));
        self.sink.fail(self.failure(fault, line, before))
    }

    fn failure(&self, fault: RowFault, line: u64, text: &str) -> Failure {
        Failure {
            line: Some(line),
            column: fault.attribute,
            code: fault.code,
            message: fault.message,
            cells: self.reader.cells(text),
            change: self.reader.failed_change(text),
        }
    }

    fn flush(&mut self) -> Result<()> {
        match self.builder.take()? {
            Some(batch) => self.part.write(&batch),
            None => Ok(()),
        }
    }

    fn finish(mut self) -> Result<u64> {
        self.flush()?;
        self.part.finish()?;
        Ok(self.documents)
    }
}

#[cfg(test)]
mod tests;
