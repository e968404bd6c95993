//! One look at every record of a side: what its own values tell is written down, and beside it what only all records together tell:
//! hashes of keys and of other groups of fields, and the values that the spec's SQL sees.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int32Array, Int64Array, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::rules::Rules;
use super::{Subject, Work};
use crate::error::{Context, Result};
use crate::event;
use crate::mapping::access::{Access, cells};
use crate::mapping::pipeline::fan_out;
use crate::mapping::plan::{EntityPlan, Side};
use crate::mapping::rules::normal::Normaliser;
use crate::mapping::rules::own_sql::{Cell, SqlType};
use crate::query::pattern;
use crate::value::Value;
use crate::value::arrow::Cells;
use crate::value::cast::cast;

/// About the most bytes that a file holds back before it writes them.
const WAITING_BYTES_MAX: usize = 8 << 20;

/// Rows that are read back at once: few, so that several readers and a sort go into a small memory.
const ROW_GROUP_ROWS: usize = 16_384;

/// Fields of which each record has one hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tuple {
    /// Their places in the plan.
    pub(super) fields: Vec<usize>,
    /// Whether they are brought to the form in which they are compared first.
    pub(super) is_normal: bool,
}

/// What a pass looks for.
#[derive(Default)]
pub(super) struct Wants {
    /// By field of the plan; without them, values that do not cast are no errors here.
    pub(super) rules: Option<Vec<Rules>>,
    /// Groups of fields; the first one is the key where there is one.
    pub(super) tuples: Vec<Tuple>,
    /// Fields that SQL sees.
    pub(super) shown: Vec<(usize, SqlType)>,
    /// Whether a record without a key is an error.
    pub(super) needs_key: bool,
}

/// What a pass left.
#[derive(Debug)]
pub struct Passed {
    folder: PathBuf,
    /// Records that were looked at.
    pub rows: u64,
    /// By group of fields: records in which one of them does not cast.
    pub(super) uncast: Vec<u64>,
    /// The groups of fields.
    pub(super) tuples: Vec<Tuple>,
}

impl Passed {
    /// A glob of what was kept of each record: `pos`, `h<n>` and `l<n>` (halves of a group's hash, NULL where a value is), `s<i>`.
    pub(super) fn rows(&self) -> String {
        pattern(&self.folder, "rows-*.parquet")
    }

    /// A glob of the errors: `pos`, `subject`, `code`, `words`.
    pub fn errors(&self) -> String {
        pattern(&self.folder, "errors-*.parquet")
    }

    /// A file of more of them.
    pub(super) fn more_errors(&self, name: &str) -> PathBuf {
        self.folder.join(format!("errors-{name}.parquet"))
    }

    /// Where a file of this pass lies.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A glob of files of this pass.
    pub(super) fn files(&self, names: &str) -> String {
        pattern(&self.folder, names)
    }

    /// The place of a group of fields among the hashes.
    pub(super) fn tuple(&self, wanted: &Tuple) -> Option<usize> {
        self.tuples.iter().position(|tuple| tuple == wanted)
    }
}

/// How one field is read.
struct Reader<'a> {
    index: usize,
    access: &'a Access,
    normaliser: Normaliser,
    first: usize,
}

/// Goes over a side's records once.
///
/// # Errors
/// What the engine says; a disk that is full; an interruption.
pub(super) fn pass(
    work: &Work<'_>,
    plan: &EntityPlan<'_>,
    side: Side,
    wants: Wants,
    folder: &Path,
) -> Result<Passed> {
    let fail = || format!("cannot write {}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(folder).or_failed(fail)?;
    }
    fs::create_dir_all(folder).or_failed(fail)?;
    let look = Look { readers: readers(plan, side), wants: &wants, seed: work.seed };
    let (rows, errors) = (Arc::new(look.schema()), Arc::new(errors_schema()));
    let start = |n: usize| {
        Ok(Worker {
            rows: Output::create(&folder.join(format!("rows-{n:02}.parquet")), &rows)?,
            errors: Output::create(&folder.join(format!("errors-{n:02}.parquet")), &errors)?,
            seen: 0,
            uncast: vec![0; wants.tuples.len()],
        })
    };
    let counted = work.counts_rows.then_some(work.progress);
    let each = |worker: &mut Worker, batch: &RecordBatch| {
        if let Some(progress) = counted {
            event::add(&progress.rows_done, batch.num_rows() as u64);
        }
        worker.look(&look, batch, (&rows, &errors))
    };
    let end = |worker: Worker| {
        worker.rows.finish()?;
        worker.errors.finish().map(|()| (worker.seen, worker.uncast))
    };
    let sql = plan.query(side);
    let found = fan_out(work.warehouse, &sql, work.threads, work.progress, start, each, end);
    let found = found.map_err(|error| plan.blame_filter(work.spec, work.warehouse, side, error))?;
    let mut passed = Passed {
        folder: folder.to_path_buf(),
        rows: 0,
        uncast: vec![0; wants.tuples.len()],
        tuples: wants.tuples,
    };
    for (rows, uncast) in found {
        passed.rows += rows;
        passed.uncast.iter_mut().zip(uncast).for_each(|(sum, n)| *sum += n);
    }
    Ok(passed)
}

fn readers<'a>(plan: &'a EntityPlan<'_>, side: Side) -> Vec<Reader<'a>> {
    let mut first = 1; // after the position
    let mut readers = Vec::new();
    for (index, field) in plan.fields.iter().enumerate().filter(|(_, f)| f.is_compared()) {
        let access = field.access(side).expect("a compared field has both sides");
        let normaliser = plan.normaliser(field, side).expect("a compared field has a class");
        readers.push(Reader { index, access, normaliser, first });
        first += access.select().len();
    }
    readers
}

/// What is done with each record.
struct Look<'a> {
    readers: Vec<Reader<'a>>,
    wants: &'a Wants,
    seed: u64,
}

/// The columns of one batch of records.
struct Rows {
    hashes: Vec<Vec<Option<u128>>>,
    shown: Vec<Vec<Option<Cell>>>,
}

/// The columns of one batch of errors.
#[derive(Default)]
struct Errors {
    pos: Vec<i64>,
    subject: Vec<i32>,
    code: Vec<&'static str>,
    words: Vec<String>,
}

impl Errors {
    fn push(&mut self, pos: i64, subject: i32, code: &'static str, words: String) {
        self.pos.push(pos);
        self.subject.push(subject);
        self.code.push(code);
        self.words.push(words);
    }
}

impl Look<'_> {
    fn schema(&self) -> Schema {
        let mut fields = vec![Field::new("pos", DataType::Int64, false)];
        for n in 0..self.wants.tuples.len() {
            fields.push(Field::new(format!("h{n}"), DataType::UInt64, true));
            fields.push(Field::new(format!("l{n}"), DataType::UInt64, true));
        }
        let shown = self.wants.shown.iter();
        fields.extend(shown.map(|(i, ty)| Field::new(format!("s{i}"), ty.storage.clone(), true)));
        Schema::new(fields)
    }

    /// Looks at one record.
    fn record(
        &self,
        cells: &[Cells<'_>],
        row: usize,
        pos: i64,
        worker: &mut Worker,
        rows: &mut Rows,
        errors: &mut Errors,
    ) {
        let width = self.readers.last().map_or(0, |reader| reader.index + 1);
        let mut values: Vec<Option<[Value<'_>; 2]>> = vec![None; width];
        for reader in &self.readers {
            let raw = reader.access.value(cells, reader.first, row);
            let forms = raw.and_then(|raw| {
                let normal = reader.normaliser.normal_only(raw.clone());
                let value = cast(raw, reader.normaliser.class, &reader.normaliser.reading)?;
                // What casts has a form in which it is compared.
                Ok([value, normal?])
            });
            let subject = Subject::of_field(reader.index);
            match forms {
                Err(words) if self.wants.rules.is_some() => errors.push(pos, subject, "cast", words),
                Err(_) => {}
                Ok(forms) => {
                    if let Some(rules) = &self.wants.rules {
                        rules[reader.index]
                            .look(&forms[0], &mut |code, words| errors.push(pos, subject, code, words));
                    }
                    values[reader.index] = Some(forms);
                }
            }
        }
        for (n, tuple) in self.wants.tuples.iter().enumerate() {
            let hash = self.hash(tuple, &values);
            worker.uncast[n] += u64::from(hash.is_none());
            rows.hashes[n].push(hash.flatten());
        }
        if self.wants.needs_key {
            let null = self.wants.tuples[0]
                .fields
                .iter()
                .find(|i| values[**i].as_ref().is_some_and(|v| v[1].is_null()));
            if let Some(i) = null {
                errors.push(
                    pos,
                    Subject::of_field(*i),
                    "null_key",
                    "no value in a field of the key".to_owned(),
                );
            }
        }
        for ((i, ty), column) in self.wants.shown.iter().zip(&mut rows.shown) {
            let cell = values[*i].as_ref().map_or(Ok(None), |forms| ty.cell(&forms[0]));
            if cell.is_err() {
                let words = format!("SQL sees it as {}, which does not hold it exactly", ty.name());
                errors.push(pos, Subject::of_field(*i), "check", words);
            }
            column.push(cell.unwrap_or(None));
        }
    }

    /// The hash of a group; inside `None` where one of its values does not cast, `None` inside where one is NULL.
    fn hash(&self, tuple: &Tuple, values: &[Option<[Value<'_>; 2]>]) -> Option<Option<u128>> {
        let (mut bytes, mut has_null) = (Vec::with_capacity(32), false);
        for i in &tuple.fields {
            let value = &values[*i].as_ref()?[usize::from(tuple.is_normal)];
            has_null |= value.is_null();
            value.encode(&mut bytes);
        }
        Some((!has_null).then(|| xxh3_128_with_seed(&bytes, self.seed)))
    }
}

/// One worker's state.
struct Worker {
    rows: Output,
    errors: Output,
    seen: u64,
    uncast: Vec<u64>,
}

impl Worker {
    fn look(
        &mut self,
        look: &Look<'_>,
        batch: &RecordBatch,
        (rows, errors): (&Arc<Schema>, &Arc<Schema>),
    ) -> Result<()> {
        let cells = cells(batch);
        let positions: &Int64Array = batch.column(0).as_primitive::<Int64Type>();
        let mut found = Errors::default();
        let mut kept = Rows {
            hashes: vec![Vec::with_capacity(batch.num_rows()); look.wants.tuples.len()],
            shown: vec![Vec::new(); look.wants.shown.len()],
        };
        for row in 0..batch.num_rows() {
            look.record(&cells, row, positions.value(row), self, &mut kept, &mut found);
        }
        self.seen += batch.num_rows() as u64;
        let mut columns: Vec<ArrayRef> = vec![Arc::clone(batch.column(0))];
        for hashes in kept.hashes {
            for half in [|hash: u128| (hash >> 64) as u64, |hash: u128| hash as u64] {
                columns.push(Arc::new(hashes.iter().map(|hash| hash.map(half)).collect::<UInt64Array>()));
            }
        }
        columns.extend(look.wants.shown.iter().zip(&kept.shown).map(|((_, ty), cells)| ty.array(cells)));
        self.rows.write(rows, columns)?;
        if found.pos.is_empty() {
            return Ok(());
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(found.pos)),
            Arc::new(Int32Array::from(found.subject)),
            Arc::new(StringArray::from(found.code)),
            Arc::new(StringArray::from(found.words)),
        ];
        self.errors.write(errors, columns)
    }
}

fn errors_schema() -> Schema {
    Schema::new(vec![
        Field::new("pos", DataType::Int64, false),
        Field::new("subject", DataType::Int32, false),
        Field::new("code", DataType::Utf8, false),
        Field::new("words", DataType::Utf8, false),
    ])
}

/// A Parquet file that is read a few times and then removed.
pub(super) struct Output {
    out: ArrowWriter<File>,
    path: PathBuf,
}

impl Output {
    pub(super) fn create(path: &Path, schema: &Arc<Schema>) -> Result<Self> {
        let fail = || format!("cannot write {}", path.display());
        let properties = WriterProperties::builder()
            .set_compression(Compression::LZ4_RAW)
            .set_statistics_enabled(EnabledStatistics::None)
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .build();
        let file = File::create(path).or_failed(fail)?;
        let out = ArrowWriter::try_new(file, Arc::clone(schema), Some(properties)).or_failed(fail)?;
        Ok(Self { out, path: path.to_path_buf() })
    }

    pub(super) fn write(&mut self, schema: &Arc<Schema>, columns: Vec<ArrayRef>) -> Result<()> {
        let fail = || format!("cannot write {}", self.path.display());
        let batch = RecordBatch::try_new(Arc::clone(schema), columns).or_failed(fail)?;
        self.out.write(&batch).or_failed(fail)?;
        if self.out.in_progress_size() > WAITING_BYTES_MAX {
            self.out.flush().or_failed(fail)
        } else {
            Ok(())
        }
    }

    pub(super) fn finish(self) -> Result<()> {
        self.out.close().map(|_| ()).or_failed(|| format!("cannot write {}", self.path.display()))
    }
}
