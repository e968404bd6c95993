//! Manifests: what a run changed in a target, row by row, on disk before the change is; what a rollback needs.
//!
//! A folder holds `manifest.json` and segments. A segment is a file of zstd frames (RFC 8878), one a batch, whose content is JSON
//! lines, one a [`Change`]; it is only ever appended to. Once a segment is closed its SHA-256 stands in `manifest.json`, beside that of
//! the one before, so that neither a change nor a segment can be lost or altered unseen. The last segment of a run that was killed
//! is open: what a torn frame holds was never committed in the target, and is cut off.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use sha2::{Digest, Sha256};

use crate::error::{Context, Error, Result};
use crate::fault;

/// The layout of manifests that this recon writes.
pub const FORMAT: u32 = 2;
/// A segment is closed once it is as large as this, in bytes.
const SEGMENT_BYTES: u64 = 16 << 20;
/// A fast level: values repeat themselves within a batch, and no more than that is to be had.
const LEVEL: i32 = 1;

const HEAD: &str = "manifest.json";

/// `manifest.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// [`FORMAT`].
    pub format: u32,
    /// The run whose changes these are.
    pub run_id: String,
    /// Digest of the spec that it went by.
    pub spec_digest: String,
    /// The entity whose records they are.
    pub entity: String,
    /// What tells the target from others: store, place and table.
    pub target: String,
    /// The columns of a whole row, in the order in which its digest takes them; empty where a row is all that it holds.
    pub columns: Vec<String>,
    /// The column that counts a row's versions, where the spec names one: it goes forward, also when a change is taken back.
    pub version: Option<String>,
    /// The run whose changes these take back.
    pub undo_of: Option<String>,
    /// Whether the run has come to its end.
    pub complete: bool,
    /// The closed segments, in order.
    pub segments: Vec<Segment>,
}

/// A closed segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Its file's name.
    pub file: String,
    /// The number of its first change.
    pub first_seq: u64,
    /// The number of its last change.
    pub last_seq: u64,
    /// Changes in it.
    pub count: u64,
    /// Hex SHA-256 of its bytes.
    pub sha256: String,
    /// That of the segment before; empty for the first.
    pub prev_sha256: String,
}

/// What was done to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// It was not there.
    Insert,
    /// It was changed.
    Update,
    /// It was taken away.
    Delete,
    /// It was marked as taken away.
    SoftDelete,
}

/// A row's values by column, each in a form from which its store makes the same value again.
pub type Image = Map<String, Json>;

/// One row that was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Its number in the run, from 1; given by [`Writer::append`].
    pub seq: u64,
    /// The batch that it was changed with.
    pub batch: u64,
    /// The record's position in the staged source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pos: Option<i64>,
    /// In the manifest of a rollback: whose change was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// What was done to it.
    pub op: Op,
    /// Its table.
    pub table: String,
    /// The values of its key.
    pub key: Image,
    /// The columns that were written.
    pub columns: Vec<String>,
    /// Digest of the whole row afterwards, as the store gave it back; `None` where it is not there.
    pub post_hash: Option<String>,
    /// The whole row before; `None` where it was not there.
    pub pre: Option<Image>,
    /// The whole row afterwards where it was there before, so that single columns can be told that changed since.
    pub post: Option<Image>,
}

/// Whose change a rollback has taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The run that wrote the record from the staged source.
    pub run_id: String,
    /// Whether the record counted as written by that run before it was taken back; else it was pending.
    pub was_done: bool,
}

impl Change {
    /// A change of one row; its images, where there are some, are to be added. `post_hash` is the digest of what it became.
    pub fn without_images(table: &str, batch: u64, op: Op, key: Image, post_hash: String) -> Self {
        let (table, post_hash) = (table.to_owned(), Some(post_hash));
        let (pos, origin, columns) = (None, None, Vec::new());
        Self { seq: 0, batch, pos, origin, op, table, key, columns, post_hash, pre: None, post: None }
    }
}

/// Writes a run's manifest.
pub struct Writer {
    folder: PathBuf,
    head: Head,
    open: Option<OpenSegment>,
    next_seq: u64,
    segment_bytes: u64,
}

struct OpenSegment {
    file: File,
    segment: Segment,
    digest: Sha256,
    bytes: u64,
}

impl Writer {
    /// Begins the manifest of a run in a folder of its own.
    ///
    /// # Errors
    /// A folder that has one already; a disk that is full or refuses.
    pub fn create(folder: &Path, head: Head) -> Result<Self> {
        fs::create_dir_all(folder).or_failed(|| cannot_write(folder))?;
        if folder.join(HEAD).exists() {
            return Err(Error::failed(format!("{} has a manifest already", folder.display())));
        }
        let writer = Self {
            folder: folder.to_path_buf(),
            head,
            open: None,
            next_seq: 1,
            segment_bytes: SEGMENT_BYTES,
        };
        writer.write_head()?;
        Ok(writer)
    }

    /// Goes on with the manifest of a run that was interrupted. A torn end is cut off, and what is whole is closed. `known` is the number
    /// of the last change that the ledger knows to be in it.
    ///
    /// # Errors
    /// No manifest there, or one that is damaged, which is left as it is; a disk that is full or refuses.
    pub fn reopen(folder: &Path, known: u64) -> Result<Self> {
        let head = read_head(folder)?;
        let next_seq = head.segments.last().map_or(1, |last| last.last_seq + 1);
        let mut writer =
            Self { folder: folder.to_path_buf(), head, open: None, next_seq, segment_bytes: SEGMENT_BYTES };
        let path = writer.path_of_next();
        let whole = if path.exists() { Some(whole_bytes(&path)?) } else { None };
        check_known(folder, next_seq - 1 + whole.as_ref().map_or(0, |whole| whole.count), known)?;
        if let Some(whole) = whole {
            let file =
                File::options().read(true).write(true).open(&path).or_failed(|| cannot_write(&path))?;
            file.set_len(whole.bytes).and_then(|()| file.sync_all()).or_failed(|| cannot_write(&path))?;
            if whole.count > 0 {
                let segment = writer.segment(whole.count);
                writer.next_seq += whole.count;
                let digest = digest_of(&path)?;
                writer.close(segment, digest)?;
            } else {
                fs::remove_file(&path).or_failed(|| cannot_write(&path))?;
            }
        }
        Ok(writer)
    }

    /// Where it lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Numbers the changes of a batch and writes them; they are on disk when this returns.
    ///
    /// # Errors
    /// A disk that is full or refuses.
    pub fn append(&mut self, changes: &mut [Change]) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut lines = Vec::new();
        for change in changes.iter_mut() {
            change.seq = self.next_seq;
            self.next_seq += 1;
            serde_json::to_writer(&mut lines, change).or_failed(|| cannot_write(&self.folder))?;
            lines.push(b'\n');
        }
        let path = self.path_of_next();
        let frame = compressed(&lines).or_failed(|| cannot_write(&path))?;
        let mut open = match self.open.take() {
            Some(open) => open,
            None => {
                let file = File::create_new(&path).or_failed(|| cannot_write(&path))?;
                sync_folder(&self.folder)?;
                let mut segment = self.segment(0);
                segment.first_seq = changes[0].seq;
                OpenSegment { file, segment, digest: Sha256::new(), bytes: 0 }
            }
        };
        fault::point("manifest.before-write");
        open.file.write_all(&frame).or_failed(|| cannot_write(&path))?;
        fault::point("manifest.before-sync");
        open.file.sync_data().or_failed(|| cannot_write(&path))?;
        fault::point("manifest.synced");
        open.digest.update(&frame);
        open.bytes += frame.len() as u64;
        open.segment.count += changes.len() as u64;
        open.segment.last_seq = self.next_seq - 1;
        if open.bytes < self.segment_bytes {
            self.open = Some(open);
            return Ok(());
        }
        self.close(open.segment, hex(open.digest))
    }

    /// Closes the manifest of a run that has come to its end.
    ///
    /// # Errors
    /// A disk that is full or refuses.
    pub fn finish(mut self) -> Result<()> {
        if let Some(open) = self.open.take() {
            self.close(open.segment, hex(open.digest))?;
        }
        self.head.complete = true;
        self.write_head()
    }

    /// The next segment, of so many changes from the next number on.
    fn segment(&self, count: u64) -> Segment {
        Segment {
            file: self.path_of_next().file_name().unwrap_or_default().to_string_lossy().into_owned(),
            first_seq: self.next_seq,
            last_seq: (self.next_seq + count).saturating_sub(1),
            count,
            sha256: String::new(),
            prev_sha256: self.head.segments.last().map(|last| last.sha256.clone()).unwrap_or_default(),
        }
    }

    fn path_of_next(&self) -> PathBuf {
        path_of(&self.folder, self.head.segments.len())
    }

    fn close(&mut self, segment: Segment, sha256: String) -> Result<()> {
        self.head.segments.push(Segment { sha256, ..segment });
        self.write_head()
    }

    fn write_head(&self) -> Result<()> {
        let (path, temporary) = (self.folder.join(HEAD), self.folder.join("manifest.json.tmp"));
        let text = serde_json::to_string_pretty(&self.head).or_failed(|| cannot_write(&path))?;
        let mut file = File::create(&temporary).or_failed(|| cannot_write(&path))?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).or_failed(|| cannot_write(&path))?;
        fault::point("manifest.before-rename");
        fs::rename(&temporary, &path).or_failed(|| cannot_write(&path))?;
        sync_folder(&self.folder)
    }
}

/// A frame that tells by a checksum of its own whether it is whole: the digest of its segment comes only once that is closed.
fn compressed(lines: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    compressor.include_checksum(true)?;
    compressor.compress(lines)
}

fn path_of(folder: &Path, segment: usize) -> PathBuf {
    folder.join(format!("segment-{segment:06}.jsonl.zst"))
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}

fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).or_failed(|| cannot_write(folder))
}

fn hex(digest: Sha256) -> String {
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digest_of(path: &Path) -> Result<String> {
    let fail = || format!("cannot read {}", path.display());
    let (mut file, mut digest) = (File::open(path).or_failed(fail)?, Sha256::new());
    std::io::copy(&mut file, &mut digest).or_failed(fail)?;
    Ok(hex(digest))
}

/// Reads `manifest.json`.
///
/// # Errors
/// None there, another format, or one that is damaged.
pub fn read_head(folder: &Path) -> Result<Head> {
    let path = folder.join(HEAD);
    let text = fs::read_to_string(&path).or_failed(|| format!("cannot read {}", path.display()))?;
    let damaged = || format!("{} is damaged", path.display());
    let Format { format } = serde_json::from_str(&text).or_failed(damaged)?;
    if format != FORMAT {
        let whose = if format > FORMAT { "a newer" } else { "an older" };
        return Err(Error::failed(format!("{} is of {whose} recon: format {format}", path.display()))
            .help(format!("this one knows format {FORMAT}: roll back with the recon that wrote it")));
    }
    serde_json::from_str(&text).or_failed(damaged)
}

/// What every `manifest.json` says, of whatever format.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// Holds the number of the last change that was read against that of the last one which is known to be there.
///
/// # Errors
/// A manifest of which changes are missing.
pub fn check_known(folder: &Path, read: u64, known: u64) -> Result<()> {
    if known <= read {
        return Ok(());
    }
    Err(damaged(folder, &format!("it holds {read} changes, and the run has made {known}")))
}

/// What of an open segment is whole.
struct Whole {
    bytes: u64,
    count: u64,
}

/// The frames from the beginning that can be read to their end; behind them there may be a torn one.
fn whole_bytes(path: &Path) -> Result<Whole> {
    let bytes = fs::read(path).or_failed(|| format!("cannot read {}", path.display()))?;
    let (mut at, mut count) = (0, 0);
    while at < bytes.len() {
        let Ok(size) = zstd::zstd_safe::find_frame_compressed_size(&bytes[at..]) else { break };
        let Ok(lines) = zstd::decode_all(&bytes[at..at + size]) else { break };
        if lines.last() != Some(&b'\n') {
            break;
        }
        count += lines.iter().filter(|byte| **byte == b'\n').count() as u64;
        at += size;
    }
    Ok(Whole { bytes: at as u64, count })
}

/// What a manifest was found to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Changes in it.
    pub changes: u64,
    /// Segments, the open one among them.
    pub segments: u64,
    /// Bytes of a torn end, which the target never saw.
    pub torn_bytes: u64,
}

/// Reads every change in order, after holding each segment against its digest, the chain and its numbers.
///
/// # Errors
/// A manifest that is damaged, with the place; what `each` says.
pub fn read(folder: &Path, mut each: impl FnMut(Change) -> Result<()>) -> Result<Verified> {
    let head = read_head(folder)?;
    let (mut verified, mut next_seq, mut previous) = (Verified::default(), 1, "");
    for segment in &head.segments {
        let path = folder.join(&segment.file);
        if segment.prev_sha256 != previous || digest_of(&path)? != segment.sha256 {
            return Err(damaged(&path, "its digest is not the one in manifest.json"));
        }
        let count = read_lines(&path, None, &mut next_seq, &mut each)?;
        if count != segment.count || next_seq != segment.last_seq + 1 {
            return Err(damaged(&path, "it does not hold the changes that manifest.json says"));
        }
        (verified.changes, verified.segments) = (verified.changes + count, verified.segments + 1);
        previous = &segment.sha256;
    }
    let open = path_of(folder, head.segments.len());
    if open.exists() {
        if head.complete {
            return Err(damaged(&open, "it is no part of the manifest"));
        }
        let whole = whole_bytes(&open)?;
        let size = fs::metadata(&open).or_failed(|| format!("cannot read {}", open.display()))?.len();
        verified.changes += read_lines(&open, Some(whole.bytes), &mut next_seq, &mut each)?;
        (verified.segments, verified.torn_bytes) = (verified.segments + 1, size - whole.bytes);
    }
    Ok(verified)
}

/// The changes that were put into a manifest at once, of one batch: where they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// The segment's file.
    pub file: String,
    /// Where it begins in it.
    pub offset: u64,
    /// Its bytes.
    pub bytes: u64,
    /// The number of its first change.
    pub first_seq: u64,
    /// Its changes.
    pub count: u64,
    /// The batch.
    pub batch: u64,
    /// The columns of its keys.
    pub key: Vec<String>,
    /// In the manifest of a rollback: the run whose changes were taken back.
    pub origin: Option<String>,
}

impl Frame {
    /// The number of its last change.
    pub fn last_seq(&self) -> u64 {
        self.first_seq + self.count - 1
    }

    /// Reads its changes, in order.
    ///
    /// # Errors
    /// A file that is gone or damaged, with the place.
    pub fn read(&self, folder: &Path) -> Result<Vec<Change>> {
        let path = folder.join(&self.file);
        let fail = || format!("cannot read {}", path.display());
        let mut file = File::open(&path).or_failed(fail)?;
        file.seek(SeekFrom::Start(self.offset)).or_failed(fail)?;
        let mut bytes = vec![0; self.bytes as usize];
        file.read_exact(&mut bytes).or_failed(fail)?;
        let lines = zstd::decode_all(bytes.as_slice()).or_failed(fail)?;
        let mut changes = Vec::with_capacity(self.count as usize);
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            changes.push(parsed(line, &path, self.first_seq + changes.len() as u64)?);
        }
        if changes.len() as u64 != self.count {
            return Err(damaged(&path, "it does not hold the changes that it held when it was looked at"));
        }
        Ok(changes)
    }
}

/// Where the changes are, in order, after each segment was held against its digest, the chain and its numbers. A torn end is left out.
///
/// # Errors
/// A manifest that is damaged, with the place.
pub fn frames(folder: &Path) -> Result<(Head, Vec<Frame>)> {
    let head = read_head(folder)?;
    let (mut all, mut next_seq, mut previous) = (Vec::new(), 1, String::new());
    for segment in &head.segments {
        let path = folder.join(&segment.file);
        let bytes = fs::read(&path).or_failed(|| format!("cannot read {}", path.display()))?;
        let mut digest = Sha256::new();
        digest.update(&bytes);
        if segment.prev_sha256 != previous || hex(digest) != segment.sha256 {
            return Err(damaged(&path, "its digest is not the one in manifest.json"));
        }
        let end = frames_of(&path, &bytes, &mut next_seq, &mut all)?;
        if end != bytes.len() || next_seq != segment.last_seq + 1 {
            return Err(damaged(&path, "it does not hold the changes that manifest.json says"));
        }
        previous.clone_from(&segment.sha256);
    }
    let open = path_of(folder, head.segments.len());
    if open.exists() {
        if head.complete {
            return Err(damaged(&open, "it is no part of the manifest"));
        }
        let bytes = fs::read(&open).or_failed(|| format!("cannot read {}", open.display()))?;
        frames_of(&open, &bytes, &mut next_seq, &mut all)?;
    }
    Ok((head, all))
}

/// The whole frames of a segment; returns where they end.
fn frames_of(path: &Path, bytes: &[u8], next_seq: &mut u64, all: &mut Vec<Frame>) -> Result<usize> {
    let mut at = 0;
    while at < bytes.len() {
        let Ok(size) = zstd::zstd_safe::find_frame_compressed_size(&bytes[at..]) else { break };
        let Ok(lines) = zstd::decode_all(&bytes[at..at + size]) else { break };
        let Some(first) = lines.split(|byte| *byte == b'\n').next().filter(|_| lines.ends_with(b"\n")) else {
            break;
        };
        let first = parsed(first, path, *next_seq)?;
        let count = lines.iter().filter(|byte| **byte == b'\n').count() as u64;
        all.push(Frame {
            file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            offset: at as u64,
            bytes: size as u64,
            first_seq: *next_seq,
            count,
            batch: first.batch,
            key: first.key.keys().cloned().collect(),
            origin: first.origin.map(|origin| origin.run_id),
        });
        *next_seq += count;
        at += size;
    }
    Ok(at)
}

/// A line, which has to be of this number.
fn parsed(line: &[u8], path: &Path, seq: u64) -> Result<Change> {
    let change: Change =
        serde_json::from_slice(line).map_err(|e| damaged(path, &format!("change {seq}")).caused_by(e))?;
    match change.seq == seq {
        true => Ok(change),
        false => Err(damaged(path, &format!("change {} stands where {seq} is expected", change.seq))),
    }
}

/// The changes of some batches, each batch's in order.
///
/// # Errors
/// A manifest that is damaged, with the place.
pub fn changes_of(folder: &Path, batches: &HashSet<u64>) -> Result<HashMap<u64, Vec<Change>>> {
    let mut found: HashMap<u64, Vec<Change>> = HashMap::new();
    read(folder, |change| {
        if batches.contains(&change.batch) {
            found.entry(change.batch).or_default().push(change);
        }
        Ok(())
    })?;
    Ok(found)
}

fn read_lines(
    path: &Path,
    bytes: Option<u64>,
    next_seq: &mut u64,
    each: &mut impl FnMut(Change) -> Result<()>,
) -> Result<u64> {
    if bytes == Some(0) {
        return Ok(0);
    }
    let fail = || format!("cannot read {}", path.display());
    let file = File::open(path).or_failed(fail)?.take(bytes.unwrap_or(u64::MAX));
    let lines = BufReader::new(zstd::Decoder::new(file).or_failed(fail)?).lines();
    let mut count = 0;
    for line in lines {
        let change = parsed(line.or_failed(fail)?.as_bytes(), path, *next_seq)?;
        *next_seq += 1;
        count += 1;
        each(change)?;
    }
    Ok(count)
}

fn damaged(path: &Path, what: &str) -> Error {
    Error::failed(format!("{} is damaged: {what}", path.display()))
        .help("nothing can be rolled back by it: restore the file, or the target, from a backup")
}
