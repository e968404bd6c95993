//! The hash pass: streams one side of an entity once and writes, for each row, a hash of its key, a hash of its other
//! fields, its position, and beside them the values of tolerant fields.
//!
//! Hashes are XXH3-128 (<https://github.com/Cyan4973/xxHash>) of canonical bytes, seeded at random once a home: two different
//! rows have one hash with a chance of 2^-128, and nobody can prepare a pair that does.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Decimal128Array, Int64Array, StringArray, UInt64Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

use super::done;
use super::failed;
use super::shortcut::Shortcut;
use crate::error::{Context, Result};
use crate::event::{self, Progress};
use crate::fault;
use crate::mapping::access::{self, Access};
use crate::mapping::direct::{self, fan_out_parts};
use crate::mapping::pipeline::fan_out;
use crate::mapping::plan::{EntityPlan, Side};
use crate::mapping::rules::normal::Normaliser;
use crate::mapping::rules::own_sql::{Cell, Shown, SqlType};
use crate::mapping::rules::{self, tolerance};
use crate::query::pattern;
use crate::value::arrow::Cells;
use crate::value::time::Moment;
use crate::value::{Value, json};
use crate::warehouse::Warehouse;

/// Position of the first row that did not parse; those rows are in no part.
pub const UNPARSED: i64 = 1 << 62;

/// What the pass learned beside the hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learned {
    /// Rows of this side.
    pub rows: u64,
    /// Rows that did not parse or cast.
    pub failed: u64,
    /// Rows with a NULL in the key.
    pub null_keys: u64,
    /// Values that are JSON documents with a name twice.
    pub json_duplicate_keys: u64,
    /// By field: timestamps with an offset and without one.
    pub zones: Vec<(u64, u64)>,
}

/// Where a side's hashes lie.
#[derive(Clone, Debug)]
pub struct Hashed {
    /// `*.parquet` with the hashes, `failures-*.parquet` with the rows that did not cast.
    pub folder: PathBuf,
    /// What was learned.
    pub learned: Learned,
}

impl Hashed {
    /// A glob of the hash parts.
    pub fn parts(&self) -> String {
        pattern(&self.folder, "hash-*.parquet")
    }

    /// A glob of the rows that did not parse or cast.
    pub fn failures(&self) -> String {
        pattern(&self.folder, "failed-*.parquet")
    }
}

/// One field's part in the pass.
struct Reader<'a> {
    access: &'a Access,
    normaliser: Normaliser,
    first: usize,
    /// Its value goes into the key's hash: it is one of the key's, or there is no key and the whole row is.
    is_key: bool,
    /// The spec names it in the key.
    is_named_key: bool,
    sql: Option<Shown>,
    tolerant_scale: Option<u32>,
    has_own_forms: bool,
    shortcut: Option<Shortcut>,
    index: usize,
}

/// Hashes a side, or finds that it is hashed already.
///
/// # Errors
/// What the engine says while it reads; a disk that is full or refuses.
pub fn hash_side(
    plan: &EntityPlan<'_>,
    side: Side,
    warehouse: &Warehouse,
    folder: &Path,
    seed: u64,
    threads: usize,
    progress: &Progress,
) -> Result<Hashed> {
    if let Some(learned) = done::read(folder) {
        return Ok(Hashed { folder: folder.to_path_buf(), learned });
    }
    let fail = || format!("cannot write {}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(folder).or_failed(fail)?;
    }
    fs::create_dir_all(folder).or_failed(fail)?;
    let learned = pass(plan, side, warehouse, folder, seed, threads, progress)?;
    fault::point("diff.before-hash-done");
    done::write(folder, &learned)?;
    fault::point("diff.after-hash-done");
    Ok(Hashed { folder: folder.to_path_buf(), learned })
}

fn pass(
    plan: &EntityPlan<'_>,
    side: Side,
    warehouse: &Warehouse,
    folder: &Path,
    seed: u64,
    threads: usize,
    progress: &Progress,
) -> Result<Learned> {
    let readers = readers(plan, side);
    let schema = Arc::new(schema(plan, side, warehouse)?);
    let nothing = || Learned { zones: vec![(0, 0); plan.fields.len()], ..Learned::default() };
    let start = |n| {
        Ok(Worker {
            output: Output::create(folder, &format!("{n:02}"), &schema)?,
            learned: nothing(),
            scratch: Scratch::default(),
        })
    };
    let needs_key = match side {
        Side::Source => plan.source_needs_key,
        Side::Target => plan.target_needs_key,
    };
    let each = |worker: &mut Worker, batch: &RecordBatch| {
        event::add(&progress.rows_done, batch.num_rows() as u64);
        worker.hash(&readers, batch, &schema, seed, needs_key)
    };
    let end = |worker: Worker| worker.output.finish().map(|()| worker.learned);
    let columns = plan.direct(side).unwrap_or_default();
    let opened = match plan.direct(side) {
        Some(columns) => direct::open(plan.staged(side), columns)?,
        None => None,
    };
    let parts = match opened {
        Some(opened) => fan_out_parts(&opened, columns, threads, progress, start, each, end)?,
        None => fan_out(warehouse, &plan.query(side), threads, progress, start, each, end)?,
    };
    let mut learned = parts.iter().fold(nothing(), |mut sum, part| {
        sum.add(part);
        sum
    });
    failed::hash_unparsed(plan, side, warehouse, folder, &schema, seed, &mut learned)?;
    Ok(learned)
}

fn readers<'a>(plan: &'a EntityPlan<'_>, side: Side) -> Vec<Reader<'a>> {
    let mut first = 1; // after the position
    let mut readers = Vec::new();
    for (index, field) in plan.fields.iter().enumerate().filter(|(_, f)| f.is_compared()) {
        let access = field.access(side).expect("a compared field has both sides");
        let normaliser = plan.normaliser(field, side).expect("a compared field has a class");
        readers.push(Reader {
            access,
            first,
            is_key: field.is_key || plan.is_keyless(),
            is_named_key: field.is_key,
            sql: field.shown_to_sql(side),
            tolerant_scale: field.tolerant_scale(),
            has_own_forms: rules::has_own_forms(&field.rule),
            shortcut: Shortcut::of(field, access, &normaliser),
            normaliser,
            index,
        });
        first += access.select().len();
    }
    readers
}

/// The columns of a hash part: key hash, row hash, position, whether the row failed; per tolerant field `t<i>` and `w<i>`, per
/// field with forms of its own `x<i>`, per field with a predicate `s<i>`.
fn schema(plan: &EntityPlan<'_>, side: Side, warehouse: &Warehouse) -> Result<Schema> {
    let mut fields = vec![
        Field::new("k1", DataType::UInt64, true),
        Field::new("k2", DataType::UInt64, true),
        Field::new("r1", DataType::UInt64, false),
        Field::new("r2", DataType::UInt64, false),
        Field::new("pos", DataType::Int64, false),
        Field::new("failed", DataType::Boolean, false),
    ];
    let (mut shown, mut stored) = (Vec::new(), None);
    for (i, field) in plan.fields.iter().enumerate().filter(|(_, f)| f.is_compared()) {
        if let Some(scale) = field.tolerant_scale() {
            fields.push(Field::new(format!("t{i}"), DataType::Decimal128(38, scale as i8), true));
            fields.push(Field::new(format!("w{i}"), DataType::Utf8, true));
        }
        if rules::has_own_forms(&field.rule) {
            fields.push(Field::new(format!("x{i}"), DataType::UInt64, false));
        }
        match field.shown_to_sql(side) {
            Some(Shown::As(ty)) => shown.push(Field::new(format!("s{i}"), ty.storage, true)),
            Some(Shown::AsStored) => {
                if stored.is_none() {
                    let query = format!("select * from ({}\n) limit 0", plan.query(side));
                    stored = Some(warehouse.schema_of(&query)?);
                }
                let found = stored.as_ref().expect("just looked up");
                let column = found.field_with_name(&format!("s{i}"));
                let column = column.or_failed(|| "a column went missing".to_owned())?;
                shown.push(column.clone().with_nullable(true));
            }
            None => {}
        }
    }
    fields.extend(shown);
    Ok(Schema::new(fields))
}

/// How hash parts are written: they are read once or a few times, and hashes do not compress.
pub(crate) fn properties() -> WriterProperties {
    WriterProperties::builder()
        .set_compression(Compression::UNCOMPRESSED)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_max_row_group_row_count(Some(122_880))
        .build()
}

/// Writes hash parts and the failures beside them.
pub(crate) struct Output {
    hashes: ArrowWriter<File>,
    failures: Option<ArrowWriter<File>>,
    folder: PathBuf,
    name: String,
}

impl Output {
    pub(crate) fn create(folder: &Path, name: &str, schema: &Arc<Schema>) -> Result<Self> {
        let path = folder.join(format!("hash-{name}.parquet"));
        let fail = || format!("cannot write {}", path.display());
        let file = File::create(&path).or_failed(fail)?;
        let hashes = ArrowWriter::try_new(file, Arc::clone(schema), Some(properties())).or_failed(fail)?;
        Ok(Self { hashes, failures: None, folder: folder.to_path_buf(), name: name.to_owned() })
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch, failures: &[failed::Failed]) -> Result<()> {
        let fail = || format!("cannot write to {}", self.folder.display());
        self.hashes.write(batch).or_failed(fail)?;
        if failures.is_empty() {
            return Ok(());
        }
        let batch = failed::batch(failures)?;
        if self.failures.is_none() {
            let path = self.folder.join(format!("failed-{}.parquet", self.name));
            let file = File::create(&path).or_failed(fail)?;
            self.failures =
                Some(ArrowWriter::try_new(file, batch.schema(), Some(properties())).or_failed(fail)?);
        }
        self.failures.as_mut().expect("opened above").write(&batch).or_failed(fail)
    }

    pub(crate) fn finish(self) -> Result<()> {
        let fail = || format!("cannot write to {}", self.folder.display());
        self.hashes.close().or_failed(fail)?;
        self.failures.map(ArrowWriter::close).transpose().or_failed(fail)?;
        Ok(())
    }
}

fn high(hash: u128) -> u64 {
    (hash >> 64) as u64
}

fn low(hash: u128) -> u64 {
    hash as u64
}

/// A tolerant field's two columns.
#[derive(Default)]
pub(crate) struct TolerantColumn {
    scaled: Vec<Option<i128>>,
    wide: Vec<Option<String>>,
}

/// The columns of one output batch.
#[derive(Default)]
pub(crate) struct Rows {
    pub(crate) key: Vec<Option<u128>>,
    pub(crate) row: Vec<u128>,
    pub(crate) pos: Vec<i64>,
    pub(crate) failed: Vec<bool>,
    pub(crate) tolerant: Vec<TolerantColumn>,
    pub(crate) forms: Vec<Vec<u64>>,
    pub(crate) shown: Vec<Vec<Option<Cell>>>,
}

impl Rows {
    /// As a batch of the schema; columns of which nothing is known are filled with NULL.
    pub(crate) fn batch(self, schema: &Arc<Schema>, predicates: Vec<ArrayRef>) -> Result<RecordBatch> {
        let (mut tolerant, mut forms, mut predicates) =
            (self.tolerant.into_iter(), self.forms.into_iter(), predicates.into_iter());
        let rows = self.pos.len();
        let has_key = NullBuffer::from_iter(self.key.iter().map(Option::is_some));
        let key = |half: fn(u128) -> u64| {
            let halves = self.key.iter().map(|k| k.map_or(0, half)).collect();
            Arc::new(UInt64Array::new(halves, Some(has_key.clone())))
        };
        let row = |half: fn(u128) -> u64| {
            Arc::new(UInt64Array::from_iter_values(self.row.iter().map(|r| half(*r))))
        };
        let mut columns: Vec<ArrayRef> = vec![
            key(high),
            key(low),
            row(high),
            row(low),
            Arc::new(Int64Array::from(self.pos)),
            Arc::new(BooleanArray::from(self.failed)),
        ];
        let mut wide: Option<Vec<Option<String>>> = None;
        for field in &schema.fields()[columns.len()..] {
            let kind = &field.name()[..1];
            columns.push(match (kind, field.data_type()) {
                ("t", DataType::Decimal128(precision, scale)) => {
                    let column = tolerant.next().unwrap_or_else(|| TolerantColumn {
                        scaled: vec![None; rows],
                        wide: vec![None; rows],
                    });
                    wide = Some(column.wide);
                    let array =
                        Decimal128Array::from(column.scaled).with_precision_and_scale(*precision, *scale);
                    Arc::new(array.or_failed(|| "a tolerant value does not fit".to_owned())?)
                }
                ("w", _) => Arc::new(StringArray::from(wide.take().unwrap_or(vec![None; rows]))),
                ("x", _) => Arc::new(UInt64Array::from(forms.next().unwrap_or(vec![0; rows]))),
                (_, other) => predicates.next().unwrap_or_else(|| arrow::array::new_null_array(other, rows)),
            });
        }
        RecordBatch::try_new(Arc::clone(schema), columns).or_failed(|| "cannot gather the hashes".to_owned())
    }
}

/// One worker's state.
struct Worker {
    output: Output,
    learned: Learned,
    scratch: Scratch,
}

impl Worker {
    fn hash(
        &mut self,
        readers: &[Reader<'_>],
        batch: &RecordBatch,
        schema: &Arc<Schema>,
        seed: u64,
        needs_key: bool,
    ) -> Result<()> {
        let cells = access::cells(batch);
        let mut failures = Vec::new();
        let mut rows = Rows {
            tolerant: readers
                .iter()
                .filter(|r| r.tolerant_scale.is_some())
                .map(|_| Default::default())
                .collect(),
            forms: readers.iter().filter(|r| r.has_own_forms).map(|_| Vec::new()).collect(),
            shown: readers.iter().filter(|r| r.sql_type().is_some()).map(|_| Vec::new()).collect(),
            ..Rows::default()
        };
        let positions: &Int64Array = batch.column(0).as_primitive();
        for row in 0..batch.num_rows() {
            let (scratch, learned) = (&mut self.scratch, &mut self.learned);
            let failure = hash_row(readers, &cells, row, seed, needs_key, scratch, &mut rows, learned);
            rows.pos.push(positions.value(row));
            rows.failed.push(failure.is_some());
            failures.extend(failure.map(|f| f.at(positions.value(row))));
        }
        self.learned.rows += batch.num_rows() as u64;
        self.learned.failed += failures.len() as u64;
        let predicates = shown_columns(readers, &rows.shown, batch);
        self.output.write(&rows.batch(schema, predicates)?, &failures)
    }
}

/// The columns that predicates see, in the order of their fields: from our casts, or as the engine read them.
fn shown_columns(readers: &[Reader<'_>], shown: &[Vec<Option<Cell>>], batch: &RecordBatch) -> Vec<ArrayRef> {
    let as_stored = readers.iter().filter(|r| r.sql == Some(Shown::AsStored)).count();
    let mut stored = batch.columns()[batch.num_columns() - as_stored..].iter();
    let mut shown = shown.iter();
    let column = |of: &Shown| match of {
        Shown::As(ty) => shown.next().map(|cells| ty.array(cells)),
        Shown::AsStored => stored.next().cloned(),
    };
    readers.iter().filter_map(|r| r.sql.as_ref()).filter_map(column).collect()
}

impl Reader<'_> {
    fn sql_type(&self) -> Option<&SqlType> {
        match &self.sql {
            Some(Shown::As(ty)) => Some(ty),
            _ => None,
        }
    }
}

impl Learned {
    fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.failed += other.failed;
        self.null_keys += other.null_keys;
        self.json_duplicate_keys += other.json_duplicate_keys;
        for (mine, theirs) in self.zones.iter_mut().zip(&other.zones) {
            mine.0 += theirs.0;
            mine.1 += theirs.1;
        }
    }
}

#[derive(Default)]
struct Scratch {
    key: Vec<u8>,
    row: Vec<u8>,
    form: Vec<u8>,
}

/// Hashes one row into `rows`; a row that does not cast gets no row hash, and no key hash either where it is the key that
/// fails.
#[expect(clippy::too_many_arguments, reason = "one row's inputs and outputs, in the hottest loop")]
fn hash_row(
    readers: &[Reader<'_>],
    cells: &[Cells<'_>],
    row: usize,
    seed: u64,
    needs_key: bool,
    scratch: &mut Scratch,
    rows: &mut Rows,
    learned: &mut Learned,
) -> Option<failed::Failed> {
    scratch.key.clear();
    scratch.row.clear();
    let (mut tolerant, mut form, mut shown) = (0, 0, 0);
    let (mut failure, mut key_failed, mut null_key) = (None, false, None);
    for reader in readers {
        if let Some(shortcut) = reader.shortcut {
            let bytes = if reader.is_key { &mut scratch.key } else { &mut scratch.row };
            if shortcut.encode(&cells[reader.first], row, bytes) {
                continue;
            }
        }
        let value = match see(reader, cells, row, seed, scratch, rows, [&mut tolerant, &mut form, &mut shown])
        {
            Ok(value) => value,
            Err(message) => {
                key_failed |= reader.is_key;
                failure.get_or_insert_with(|| failed::Failed::cast(reader.index, message));
                continue;
            }
        };
        learned.look_at(reader, &value);
        if reader.is_named_key && value.is_null() {
            null_key.get_or_insert(reader.index);
        }
    }
    let all_rows = rows.pos.len() + 1;
    for column in &mut rows.tolerant {
        column.scaled.resize(all_rows, None);
        column.wide.resize(all_rows, None);
    }
    rows.forms.iter_mut().for_each(|f| f.resize(all_rows, 0));
    rows.shown.iter_mut().for_each(|s| s.resize(all_rows, None));
    if let Some(field) = null_key.filter(|_| !key_failed) {
        learned.null_keys += 1;
        if needs_key {
            failure = Some(failed::Failed::null_key(field));
            key_failed = true;
        }
    }
    rows.key.push((!key_failed).then(|| xxh3_128_with_seed(&scratch.key, seed)));
    rows.row.push(if failure.is_some() { 0 } else { xxh3_128_with_seed(&scratch.row, seed) });
    failure
}

/// Reads one value and adds it where it belongs: to the key's bytes, the row's, or beside them.
fn see<'a>(
    reader: &Reader<'_>,
    cells: &[Cells<'a>],
    row: usize,
    seed: u64,
    scratch: &mut Scratch,
    rows: &mut Rows,
    [tolerant, form, shown]: [&mut usize; 3],
) -> Result<Value<'a>, String> {
    let value = reader.access.value(cells, reader.first, row);
    let (tolerant_at, form_at, shown_at) = (*tolerant, *form, *shown);
    *tolerant += usize::from(reader.tolerant_scale.is_some());
    *form += usize::from(reader.has_own_forms);
    *shown += usize::from(reader.sql_type().is_some());
    let value = value?;
    let normal = if reader.has_own_forms {
        let seen = reader.normaliser.see(value)?;
        scratch.form.clear();
        seen.raw.encode(&mut scratch.form);
        rows.forms[form_at].push(xxh3_64_with_seed(&scratch.form, seed));
        seen.normal
    } else {
        reader.normaliser.normal_only(value)?
    };
    if reader.sql.is_some() {
        if let Some(ty) = reader.sql_type() {
            rows.shown[shown_at].push(ty.cell(&normal)?);
        }
        return Ok(normal);
    }
    match (reader.is_key, reader.tolerant_scale) {
        (true, _) => normal.encode(&mut scratch.key),
        (false, None) => normal.encode(&mut scratch.row),
        (false, Some(scale)) => {
            // Only whether there is a value is hashed; which one is compared beside the hash.
            scratch.row.push(match normal {
                Value::Absent => 2,
                Value::Null => 1,
                _ => 0,
            });
            let beside = tolerance::beside(&normal, scale);
            rows.tolerant[tolerant_at].scaled.push(beside.scaled);
            rows.tolerant[tolerant_at].wide.push(beside.wide);
        }
    }
    Ok(normal)
}

impl Learned {
    fn look_at(&mut self, reader: &Reader<'_>, value: &Value<'_>) {
        match value {
            Value::Timestamp { at: Moment::At(_), zoned: true } => self.zones[reader.index].0 += 1,
            Value::Timestamp { at: Moment::At(_), zoned: false } => self.zones[reader.index].1 += 1,
            Value::Map(_) | Value::List(_) => {
                self.json_duplicate_keys += u64::from(json::has_duplicate_keys(value));
            }
            _ => {}
        }
    }
}
