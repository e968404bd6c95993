//! The plan of a run: which records it writes, in the order of their keys, cut into batches.
//!
//! It is written before anything else is, so that a run that is interrupted goes on with the very same batches. A plan is a folder of
//! Arrow files (<https://arrow.apache.org/docs/format/Columnar.html#ipc-file-format>), which carry every type of the engine
//! exactly, with one record batch each for a batch; `plan.json` comes last and has their digests.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, AsArray, UInt8Array, UInt64Array};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use arrow::ipc::reader::FileReader;
use arrow::ipc::writer::FileWriter;
use arrow::record_batch::RecordBatch;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::keys::{Keys, high, key_hash, low};
use super::mapped::{Mapped, Origin};
use crate::error::{Context, Error, Result};
use crate::event::{self, Progress};
use crate::fault;
use crate::mapping::access::{Access, cells};
use crate::mapping::pipeline::with_workers;
use crate::mapping::plan::Side;
use crate::query::{self, render};
use crate::value::Value;
use crate::value::cast::{Class, Reading, cast};
use crate::warehouse::Warehouse;

/// Batches in a file: so many that there are few files, and few enough that a file's list of batches is small.
const BATCHES_A_FILE: u64 = 128;
const HEAD: &str = "plan.json";
/// Batches of the engine on their way to the file.
const QUEUE_BATCHES: usize = 8;
/// About the most bytes of a batch's values in memory: a batch of long ones has fewer records, down to one.
const BATCH_BYTES_MAX: usize = 32 << 20;

/// Columns of recon's own before the source's: position, both halves of the key's hash, and what speaks against the record.
pub(super) const OWN_COLUMNS: usize = 4;

/// The last column, where some records break the spec's rules: code, field and message as a JSON array; NULL of those that do not.
pub(super) const FAULT: &str = "fault";

/// What speaks against a record before anything is written.
pub(super) mod verdict {
    pub(crate) const FINE: u8 = 0;
    pub(crate) const NO_KEY: u8 = 1;
    pub(crate) const DUPLICATE: u8 = 2;
}

/// Which records a run writes.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Files of positions that earlier runs have written.
    pub done: Vec<PathBuf>,
    /// Only these positions.
    pub positions: Option<HashSet<i64>>,
    /// No more than so many.
    pub limit: Option<u64>,
    /// Only records whose key is not greater.
    pub id_max: Option<String>,
    /// What was asked for and is not in the source.
    pub not_found: NotFound,
    /// A Parquet file of the records that break the spec's rules: `pos`, `code`, `field`, `message`.
    pub invalid: Option<PathBuf>,
}

/// Keys that were asked for and are no record's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotFound {
    /// How many.
    pub keys: u64,
    /// The first of them, as they were asked for.
    pub first: Vec<String>,
}

/// A plan that is on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    #[serde(skip)]
    folder: PathBuf,
    /// Records in all.
    pub records: u64,
    /// Records that are pending and left for another run.
    pub left_over: u64,
    /// What was asked for and is not in the source.
    #[serde(default)]
    pub not_found: NotFound,
    files: Vec<PlanFile>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PlanFile {
    file: String,
    xxh3: String,
    /// The records of each of its batches.
    records: Vec<u64>,
}

/// What a plan is made with.
pub struct Planning<'a> {
    /// The engine.
    pub warehouse: &'a Warehouse,
    /// Where the plan lies.
    pub folder: &'a Path,
    /// The seed of hashes.
    pub seed: u64,
    /// The most records in a batch.
    pub batch_records: u64,
    /// Who wants to know how far it is.
    pub progress: &'a Progress,
}

impl Planning<'_> {
    /// Writes the plan. `keys` are those of all the entity's records.
    ///
    /// # Errors
    /// What the engine says; a disk that is full; an interruption.
    pub fn write(&self, mapped: &Mapped<'_>, keys: &Keys, selection: &Selection) -> Result<Plan> {
        let fail = || format!("cannot write {}", self.folder.display());
        let (sender, receiver) = sync_channel(QUEUE_BATCHES);
        let receiver = Mutex::new(Some(receiver));
        let (seed, folder, batch_records) = (self.seed, self.folder, self.batch_records);
        // What is in order is written while the engine goes on; it belongs to this thread.
        let write = |_| {
            let receiver = receiver.lock().expect("nobody panics with it").take();
            let (mut out, mut scratch) = (Output::new(folder, batch_records), Vec::new());
            for batch in receiver.into_iter().flatten() {
                out.push(judged(mapped, keys, seed, &batch, &mut scratch)?)?;
            }
            out.finish()
        };
        let (mut written, selected) = with_workers(1, write, || self.select(mapped, selection, sender))?;
        let written = written.pop().expect("there is one worker");
        // Where it cannot be written, that is why the engine was stopped.
        let (records, files, left_over) = match (written, selected) {
            (Ok((records, files)), Ok(left_over)) => (records, files, left_over),
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        let plan = Plan {
            folder: self.folder.to_path_buf(),
            records,
            left_over,
            not_found: selection.not_found.clone(),
            files,
        };
        let text = serde_json::to_vec_pretty(&plan).or_failed(fail)?;
        let (temporary, path) = (self.folder.join("plan.json.tmp"), self.folder.join(HEAD));
        let mut file = File::create(&temporary).or_failed(fail)?;
        file.write_all(&text).and_then(|()| file.sync_all()).or_failed(fail)?;
        fault::point("plan.before-rename");
        fs::rename(&temporary, &path).or_failed(fail)?;
        File::open(self.folder).and_then(|folder| folder.sync_all()).or_failed(fail)?;
        Ok(plan)
    }

    /// Sends the records that are written, in the order of their keys, and returns how many are left for another run.
    fn select(
        &self,
        mapped: &Mapped<'_>,
        selection: &Selection,
        sender: SyncSender<RecordBatch>,
    ) -> Result<u64> {
        let id_max = selection.id_max.as_deref().map(|text| Bound::new(mapped, text)).transpose()?;
        let (mut room, mut left_over) = (selection.limit.unwrap_or(u64::MAX), 0);
        self.warehouse.stream(&ordered_sql(mapped, selection), |batch| {
            self.progress.check()?;
            let batch = match &id_max {
                Some(bound) => {
                    let kept = bound.filter(mapped, &batch)?;
                    left_over += (batch.num_rows() - kept.num_rows()) as u64;
                    kept
                }
                None => batch,
            };
            let rows = room.min(batch.num_rows() as u64);
            left_over += batch.num_rows() as u64 - rows;
            if rows == 0 {
                return Ok(());
            }
            room -= rows;
            event::add(&self.progress.rows_planned, rows);
            let sent = sender.send(batch.slice(0, rows as usize));
            sent.map_err(|_| Error::failed(format!("cannot write {}", self.folder.display())))
        })?;
        Ok(left_over)
    }
}

/// A batch of the engine with our own columns before it.
fn judged(
    mapped: &Mapped<'_>,
    keys: &Keys,
    seed: u64,
    batch: &RecordBatch,
    scratch: &mut Vec<u8>,
) -> Result<RecordBatch> {
    let (cells, rows) = (cells(batch), batch.num_rows());
    let (mut highs, mut lows, mut verdicts) =
        (Vec::with_capacity(rows), Vec::with_capacity(rows), Vec::with_capacity(rows));
    for row in 0..rows {
        let (hash, verdict) = match key_hash(mapped.key(), &cells, row, seed, scratch) {
            Err(_) => (0, verdict::NO_KEY),
            Ok(hash) if keys.duplicates.contains(&hash) => (hash, verdict::DUPLICATE),
            Ok(hash) => (hash, verdict::FINE),
        };
        highs.push(high(hash));
        lows.push(low(hash));
        verdicts.push(verdict);
    }
    let mut fields = vec![
        Arc::new(Field::new("pos", DataType::Int64, false)),
        Arc::new(Field::new("high", DataType::UInt64, false)),
        Arc::new(Field::new("low", DataType::UInt64, false)),
        Arc::new(Field::new("verdict", DataType::UInt8, false)),
    ];
    let mut columns: Vec<ArrayRef> = vec![
        Arc::clone(batch.column(0)),
        Arc::new(UInt64Array::from(highs)),
        Arc::new(UInt64Array::from(lows)),
        Arc::new(UInt8Array::from(verdicts)),
    ];
    let schema = batch.schema();
    for (field, column) in schema.fields().iter().zip(batch.columns()).skip(1) {
        fields.push(Arc::new(field.as_ref().clone().with_nullable(true)));
        columns.push(Arc::clone(column));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
        .or_failed(|| "cannot put a batch together".to_owned())
}

impl Plan {
    /// Opens the plan that lies in a folder.
    ///
    /// # Errors
    /// A plan that is gone or damaged.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(HEAD);
        let text = fs::read(&path).or_failed(|| format!("cannot read {}", path.display()))?;
        let plan: Self = serde_json::from_slice(&text).or_failed(|| damaged(&path))?;
        Ok(Self { folder: folder.to_path_buf(), ..plan })
    }

    /// How many batches there are.
    pub fn batches(&self) -> u64 {
        self.files.iter().map(|file| file.records.len() as u64).sum()
    }

    /// The records of a batch.
    pub fn records_of(&self, batch: u64) -> u64 {
        self.files[(batch / BATCHES_A_FILE) as usize].records[(batch % BATCHES_A_FILE) as usize]
    }

    /// What tells a batch from others: a digest of the file that it is in, and its number.
    pub fn hash_of(&self, batch: u64) -> String {
        format!("{}-{batch}", self.files[(batch / BATCHES_A_FILE) as usize].xxh3)
    }

    /// Holds every file against its digest.
    ///
    /// # Errors
    /// A file that is gone or is not what it was when it was written.
    pub fn verify(&self) -> Result<()> {
        for file in &self.files {
            let path = self.folder.join(&file.file);
            let mut reader = File::open(&path).or_failed(|| format!("cannot read {}", path.display()))?;
            let mut digest = Digesting { out: std::io::sink(), hash: Xxh3::new() };
            std::io::copy(&mut reader, &mut digest)
                .or_failed(|| format!("cannot read {}", path.display()))?;
            if digest.hex() != file.xxh3 {
                return Err(Error::failed(damaged(&path)).help(
                    "begin anew with --new-run: what was written is found to be there and left as it is",
                ));
            }
        }
        Ok(())
    }

    /// Reads one batch.
    ///
    /// # Errors
    /// A file that is gone or damaged.
    pub fn read(&self, batch: u64) -> Result<RecordBatch> {
        let file = &self.files[(batch / BATCHES_A_FILE) as usize];
        let path = self.folder.join(&file.file);
        let open = File::open(&path).or_failed(|| format!("cannot read {}", path.display()))?;
        let fail = || damaged(&path);
        let mut reader = FileReader::try_new(std::io::BufReader::new(open), None).or_failed(fail)?;
        reader.set_index((batch % BATCHES_A_FILE) as usize).or_failed(fail)?;
        let found = reader.next().ok_or_else(|| Error::failed(fail()))?.or_failed(fail)?;
        if found.num_rows() as u64 != self.records_of(batch) {
            return Err(Error::failed(fail()));
        }
        Ok(found)
    }

    /// The positions of a batch's records.
    ///
    /// # Errors
    /// A file that is gone or damaged.
    pub fn positions(&self, batch: u64) -> Result<Vec<i64>> {
        Ok(self.read(batch)?.column(0).as_primitive::<Int64Type>().values().to_vec())
    }

    /// Removes the plan's files; the run has come to its end.
    ///
    /// # Errors
    /// A folder that cannot be removed.
    pub fn remove(self) -> Result<()> {
        fs::remove_dir_all(&self.folder).or_failed(|| format!("cannot remove {}", self.folder.display()))
    }
}

fn damaged(path: &Path) -> String {
    format!("{} is damaged", path.display())
}

/// The query of the records in the order of their keys.
fn ordered_sql(mapped: &Mapped<'_>, selection: &Selection) -> String {
    let mut among = Vec::new();
    if !selection.done.is_empty() {
        let files: Vec<String> = selection.done.iter().map(|path| query::file(path)).collect();
        among.push(format!("pos not in (select pos from read_parquet([{}]))", files.join(", ")));
    }
    if let Some(positions) = &selection.positions {
        let mut list: Vec<i64> = positions.iter().copied().collect();
        list.sort_unstable();
        let list: Vec<String> = list.iter().map(i64::to_string).collect();
        among.push(match list.is_empty() {
            true => "false".to_owned(),
            false => format!("pos in (select unnest([{}]::bigint[]))", list.join(", ")),
        });
    }
    let among = if among.is_empty() { "true".to_owned() } else { among.join(" and ") };
    // A source without a row has no columns to order by.
    let mut keys = Vec::new();
    for column in mapped.key() {
        let Origin::Field { access, first, class, .. } = &column.source else { continue };
        for n in 0..access.select().len() {
            let name = format!("c{}", first - 1 + n);
            // Numbers that are carried as text come in their own order.
            let is_number = matches!(access, Access::Document { physical, .. } if physical[n].0 == "N")
                || matches!(
                    class,
                    Class::Int | Class::Number | Class::Decimal(_) | Class::Float32 | Class::Float64
                );
            if is_number {
                keys.push(format!("try_cast({name} as double)"));
            }
            keys.push(name);
        }
    }
    let records = mapped.plan.query(Side::Source);
    keys.push("pos".to_owned());
    let (fault, invalid) = match &selection.invalid {
        None => (String::new(), String::new()),
        Some(path) => {
            let template = include_str!("../../queries/migrate/invalid.sql");
            (format!(", {FAULT}"), render(template, &[("file", &query::file(path))]))
        }
    };
    let pieces = [
        ("records", records.as_str()),
        ("fault", &fault),
        ("invalid", &invalid),
        ("among", &among),
        ("keys", &keys.join(", ")),
    ];
    render(include_str!("../../queries/migrate/ordered.sql"), &pieces)
}

/// `--max-id`.
struct Bound {
    key: Vec<u8>,
}

impl Bound {
    fn new(mapped: &Mapped<'_>, text: &str) -> Result<Self> {
        let entity = &mapped.plan.entity.name;
        let [key] = mapped.key() else {
            return Err(Error::usage(format!("--max-id: the key of entity `{entity}` has several fields"))
                .help("select its records with --where"));
        };
        let Origin::Field { class, .. } = &key.source else { unreachable!("a key is of a field") };
        let reading = Reading { free: true, ..Reading::default() };
        let value = cast(Value::Text(text.into()), *class, &reading).map_err(|message| {
            Error::usage(format!("--max-id {text}: the key `{}` of entity `{entity}`: {message}", key.field))
        })?;
        Ok(Self { key: sort_key(&value) })
    }

    /// The rows whose key is not greater. Those without a key stay: they fail by name.
    fn filter(&self, mapped: &Mapped<'_>, batch: &RecordBatch) -> Result<RecordBatch> {
        let (cells, key) = (cells(batch), &mapped.key()[0]);
        let kept: arrow::array::BooleanArray = (0..batch.num_rows())
            .map(|row| Some(key.value(&cells, row).map_or(true, |value| sort_key(&value) <= self.key)))
            .collect();
        arrow::compute::filter_record_batch(batch, &kept).or_failed(|| "cannot filter a batch".to_owned())
    }
}

fn sort_key(value: &Value<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    value.sort_key(&mut out);
    out
}

/// Bytes of the values of some rows.
fn bytes_of(rows: &RecordBatch) -> Result<usize> {
    let columns = rows.columns().iter().map(|column| column.to_data().get_slice_memory_size());
    columns.sum::<Result<usize, _>>().or_failed(|| "cannot tell how large a batch is".to_owned())
}

/// Cuts what comes into batches and writes them.
struct Output<'a> {
    folder: &'a Path,
    batch_records: u64,
    waiting: Vec<RecordBatch>,
    waiting_rows: u64,
    waiting_bytes: usize,
    records: u64,
    /// The records of each batch of the open file.
    batches: Vec<u64>,
    open: Option<FileWriter<Digesting<BufWriter<File>>>>,
    files: Vec<PlanFile>,
}

impl<'a> Output<'a> {
    fn new(folder: &'a Path, batch_records: u64) -> Self {
        Self {
            folder,
            batch_records,
            waiting: Vec::new(),
            waiting_rows: 0,
            waiting_bytes: 0,
            records: 0,
            batches: Vec::new(),
            open: None,
            files: Vec::new(),
        }
    }

    fn push(&mut self, batch: RecordBatch) -> Result<()> {
        self.records += batch.num_rows() as u64;
        let mut rest = batch;
        while rest.num_rows() > 0 {
            let room = (self.batch_records - self.waiting_rows) as usize;
            let mut piece = rest.slice(0, room.min(rest.num_rows()));
            let mut bytes = bytes_of(&piece)?;
            while self.waiting_bytes + bytes > BATCH_BYTES_MAX && piece.num_rows() > 1 {
                piece = piece.slice(0, piece.num_rows() / 2);
                bytes = bytes_of(&piece)?;
            }
            if self.waiting_bytes + bytes > BATCH_BYTES_MAX && self.waiting_rows > 0 {
                self.write()?;
            }
            rest = rest.slice(piece.num_rows(), rest.num_rows() - piece.num_rows());
            self.waiting_rows += piece.num_rows() as u64;
            self.waiting_bytes += bytes;
            self.waiting.push(piece);
            if self.waiting_rows == self.batch_records {
                self.write()?;
            }
        }
        Ok(())
    }

    fn path(&self) -> PathBuf {
        self.folder.join(format!("batches-{:06}.arrow", self.files.len()))
    }

    fn write(&mut self) -> Result<()> {
        let path = self.path();
        let fail = || format!("cannot write {}", path.display());
        let schema = self.waiting[0].schema();
        let batch = concat_batches(&schema, &self.waiting).or_failed(fail)?;
        if self.open.is_none() {
            let file = BufWriter::new(File::create(&path).or_failed(fail)?);
            let out = Digesting { out: file, hash: Xxh3::new() };
            self.open = Some(FileWriter::try_new(out, &schema).or_failed(fail)?);
        }
        self.open.as_mut().expect("just opened").write(&batch).or_failed(fail)?;
        self.waiting.clear();
        self.batches.push(std::mem::take(&mut self.waiting_rows));
        self.waiting_bytes = 0;
        if self.batches.len() as u64 == BATCHES_A_FILE { self.close() } else { Ok(()) }
    }

    fn close(&mut self) -> Result<()> {
        let path = self.path();
        let fail = || format!("cannot write {}", path.display());
        let Some(mut open) = self.open.take() else { return Ok(()) };
        open.finish().or_failed(fail)?;
        let mut digesting = open.into_inner().or_failed(fail)?;
        digesting.out.flush().or_failed(fail)?;
        digesting.out.get_ref().sync_all().or_failed(fail)?;
        fault::point("plan.file-written");
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let records = std::mem::take(&mut self.batches);
        self.files.push(PlanFile { file, xxh3: digesting.hex(), records });
        Ok(())
    }

    fn finish(mut self) -> Result<(u64, Vec<PlanFile>)> {
        if self.waiting_rows > 0 {
            self.write()?;
        }
        self.close()?;
        Ok((self.records, self.files))
    }
}

/// Digests what goes through it.
struct Digesting<W> {
    out: W,
    hash: Xxh3,
}

impl<W> Digesting<W> {
    fn hex(&self) -> String {
        format!("{:032x}", self.hash.digest128())
    }
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}
