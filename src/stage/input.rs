//! Opening an input file: decompression by content, digests of the bytes as they lie, progress.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::{Arc, Mutex};

use base64::Engine;
use flate2::bufread::MultiGzDecoder;
use md5::Digest;
use xxhash_rust::xxh3::Xxh3;

use super::Unit;
use crate::error::{Context, Result};
use crate::event::{self, Progress};
use crate::store::files::Files;

const READ_BUFFER_BYTES: usize = 1 << 20;

/// Digests of a file's bytes as they lie (compressed where they are).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digests {
    /// Bytes read.
    pub bytes: u64,
    /// XXH3-128 in hex: tells a changed file from a touched one.
    pub xxh3: String,
    /// Base64 of the MD5, where it was asked for (DynamoDB's manifests hold it).
    pub md5: Option<String>,
    /// Where reading goes on, for a source that reads a unit in steps ([`super::Source::rest`]).
    pub next: Option<String>,
}

struct Tally {
    bytes: u64,
    xxh3: Xxh3,
    md5: Option<md5::Md5>,
}

/// Counts and digests what passes through.
struct Counted<R> {
    inner: R,
    tally: Arc<Mutex<Tally>>,
    progress: Arc<Progress>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        let mut tally = self.tally.lock().expect("no reader panics while it holds the tally");
        tally.bytes += n as u64;
        tally.xxh3.update(&buffer[..n]);
        if let Some(md5) = &mut tally.md5 {
            md5.update(&buffer[..n]);
        }
        event::add(&self.progress.bytes_done, n as u64);
        Ok(n)
    }
}

/// A file being read once from start to end, decompressed on the way.
pub struct Input {
    reader: Box<dyn Read + Send>,
    tally: Arc<Mutex<Tally>>,
}

impl Input {
    /// Opens a file as it was when it was listed. Gzip (any number of members) and zstd are told by their first bytes, not by
    /// the name. The MD5 is computed where a manifest has one to hold it against.
    ///
    /// # Errors
    /// A file that is not there, cannot be opened or changed since.
    pub fn open(files: &Files, unit: &Unit, progress: &Arc<Progress>) -> Result<Self> {
        let fail = || format!("cannot read {}", unit.path.display());
        let inner = files.open(unit)?;
        let md5 = unit.expected.is_some().then(md5::Md5::new);
        let tally = Arc::new(Mutex::new(Tally { bytes: 0, xxh3: Xxh3::new(), md5 }));
        let counted = Counted { inner, tally: Arc::clone(&tally), progress: Arc::clone(progress) };
        let mut buffered = BufReader::with_capacity(READ_BUFFER_BYTES, counted);
        let magic = buffered.fill_buf().or_failed(fail)?;
        let reader: Box<dyn Read + Send> = if magic.starts_with(&[0x1f, 0x8b]) {
            Box::new(MultiGzDecoder::new(buffered))
        } else if magic.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            Box::new(zstd::Decoder::with_buffer(buffered).or_failed(fail)?)
        } else {
            Box::new(buffered)
        };
        Ok(Self { reader, tally })
    }

    /// Reads to the very end, where that has not happened yet, and returns the digests of the whole file.
    ///
    /// # Errors
    /// A file that cannot be read or whose compressed data is broken or cut short.
    pub fn finish(mut self) -> io::Result<Digests> {
        io::copy(&mut self.reader, &mut io::sink())?;
        drop(self.reader);
        let tally = self.tally.lock().expect("no reader panics while it holds the tally");
        Ok(Digests {
            bytes: tally.bytes,
            xxh3: format!("{:032x}", tally.xxh3.digest128()),
            md5: tally.md5.clone().map(|m| base64::engine::general_purpose::STANDARD.encode(m.finalize())),
            next: None,
        })
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}
