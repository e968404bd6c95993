//! The exact judgement: fetches the values of the rows that are not surely equal, looks at every field of them, and keeps what
//! the reports show as Parquet files, so that memory stays bounded however much differs.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryArray, BooleanArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;

use super::classify::{ByRule, Classified};
use super::diff::Bench;
use super::hash::{Hashed, UNPARSED, properties};
use super::subset;
use crate::error::{Context, Error, Result};
use crate::mapping::access;
use crate::mapping::pipeline::fan_out;
use crate::mapping::plan::{EntityPlan, FieldPlan, Side};
use crate::mapping::rules::normal::Normaliser;
use crate::mapping::rules::own_sql::Shown;
use crate::mapping::rules::{self, Judgement, Seen};
use crate::query::{self, literal, render};
use crate::value::arrow::Cells;
use crate::value::{Number, Value};
use crate::warehouse::Warehouse;

/// Columns of `wanted` before the values.
const WANTED_COLUMNS: usize = 9;
/// Up to this many wanted rows of a side are copied out of its parts; more are fetched by the engine, which can spill.
const COPIED_ROWS_MAX: i64 = 200_000;
/// At most so many mismatched cells of a field are looked at for what they have in common.
const SAMPLE_CELLS_MAX: u64 = 100_000;
/// A column with more different values than this says nothing about where mismatches concentrate.
const SAMPLE_VALUES_MAX: usize = 1_000;

/// What the judgement of a field's candidate pairs found.
#[derive(Clone, Debug, Default)]
pub struct FieldFindings {
    /// Pairs whose values differ.
    pub unequal: u64,
    /// Of these, pairs with exactly one value.
    pub null_mismatch: u64,
    /// What was equal by the rule in records that turned out equal.
    pub settled: ByRule,
    /// The same in records that differ in another field, and the differences of the unequal pairs.
    pub open: ByRule,
    /// Mismatched cells that were sampled.
    pub sampled: u64,
    /// By index of another field: how often each source value stood beside a mismatch of this one; `None` where there were
    /// too many different ones.
    pub beside: HashMap<usize, Option<HashMap<String, u64>>>,
}

/// Everything the judgement found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// By field of the plan.
    pub fields: Vec<FieldFindings>,
    /// Pairs that the hashes could not call equal and that are.
    pub settled_equal: u64,
}

/// Where the findings lie.
pub struct Judged {
    /// What was found.
    pub findings: Findings,
    /// Glob of the differing cells.
    pub cells: String,
    /// Glob of missing, extra and duplicate records, and of rows that do not cast.
    pub records: String,
}

/// One field as both sides are read for the judgement.
struct FieldReader<'a> {
    index: usize,
    field: &'a FieldPlan,
    source: (usize, Normaliser),
    target: (usize, Normaliser),
    predicate: Option<usize>,
}

/// Judges an entity's candidates and writes what was found into `folder`.
///
/// # Errors
/// What the engine says; a disk that is full.
pub fn judge(
    bench: &Bench<'_>,
    plan: &EntityPlan<'_>,
    classified: &Classified,
    hashed: [&Hashed; 2],
    verdicts: &Path,
    folder: &Path,
) -> Result<Judged> {
    let warehouse = bench.warehouse;
    let (predicates, readers) = readers(plan);
    fetch(plan, warehouse, classified, &predicates, hashed, verdicts, folder)?;
    let asked: String = predicates.iter().map(|i| format!(", w.p{i}")).collect();
    let sql = render(include_str!("../../queries/reconcile/findings.sql"), &[("predicates", &asked)]);
    let start = |n: usize| {
        Ok(Worker {
            cells: Writer::new(folder.join(format!("cells-{n:02}.parquet")), cell_schema(plan)),
            records: Writer::new(folder.join(format!("records-{n:02}.parquet")), record_schema(plan)),
            findings: Findings {
                fields: vec![FieldFindings::default(); plan.fields.len()],
                settled_equal: 0,
            },
        })
    };
    let each = |worker: &mut Worker, batch: &RecordBatch| worker.judge(plan, &readers, batch);
    let end = |worker: Worker| {
        worker.cells.finish()?;
        worker.records.finish()?;
        Ok(worker.findings)
    };
    let parts = fan_out(warehouse, &sql, bench.threads, bench.progress, start, each, end)?;
    let nothing = Findings { fields: vec![FieldFindings::default(); plan.fields.len()], settled_equal: 0 };
    let findings = parts.into_iter().fold(nothing, Findings::plus);
    warehouse.execute("drop table wanted; drop table source_values; drop table target_values")?;
    let glob = |name: &str| query::pattern(folder, name);
    Ok(Judged { findings, cells: glob("cells-*.parquet"), records: glob("records-*.parquet") })
}

/// Gathers the wanted rows and both sides' values of them in temporary tables.
fn fetch(
    plan: &EntityPlan<'_>,
    warehouse: &Warehouse,
    classified: &Classified,
    predicates: &[usize],
    hashed: [&Hashed; 2],
    verdicts: &Path,
    folder: &Path,
) -> Result<()> {
    let mut more = String::new();
    let unasked = ", null".repeat(predicates.len());
    if classified.has_duplicates {
        more.push_str(&format!(
            "union all select 5, source_pos, target_pos, source_count, target_count, equal, null, null, null \
             {unasked} from duplicate_keys "
        ));
    }
    for (hashed, positions) in hashed.iter().zip(["pos, null", "null, pos"]) {
        if glob::glob(&hashed.failures()).is_ok_and(|mut files| files.next().is_some()) {
            more.push_str(&format!(
                "union all select 4, {positions}, null, null, null, field, code, message {unasked} \
                 from read_parquet({}) ",
                literal(&hashed.failures())
            ));
        }
    }
    let verdicts = query::file(verdicts);
    let asked: String = predicates.iter().map(|i| format!(", p{i}")).collect();
    let wanted = include_str!("../../queries/reconcile/wanted.sql");
    warehouse
        .execute(&render(wanted, &[("verdicts", &verdicts), ("predicates", &asked), ("more", &more)]))?;
    let values = include_str!("../../queries/reconcile/wanted_values.sql");
    for (side, name, position) in
        [(Side::Source, "source_values", "source_pos"), (Side::Target, "target_values", "target_pos")]
    {
        let query = wanted_query(plan, side, warehouse, position, folder)?;
        let pieces = [("name", name), ("query", query.as_str()), ("position", position)];
        warehouse.execute(&render(values, &pieces))?;
    }
    Ok(())
}

/// The query of a side over what holds its wanted rows: copies of them where they are few, else everything.
fn wanted_query(
    plan: &EntityPlan<'_>,
    side: Side,
    warehouse: &Warehouse,
    position: &str,
    folder: &Path,
) -> Result<String> {
    let staged = plan.staged(side);
    let rows: i64 =
        warehouse.integers(&format!("select count(distinct {position}) from wanted"))?[0][0].unwrap_or(0);
    if !staged.has_own_parts() || rows == 0 || rows > COPIED_ROWS_MAX {
        return Ok(plan.query(side));
    }
    // A row that did not parse is in no part: it has a place in the verdicts, but no values to copy.
    let sql = format!("select distinct {position} from wanted where {position} < {UNPARSED} order by 1");
    let positions: Vec<i64> = warehouse.integers(&sql)?.into_iter().filter_map(|row| row[0]).collect();
    let parts: Vec<PathBuf> = staged.parts.iter().map(|part| part.path.clone()).collect();
    if positions.is_empty() {
        return Ok(plan.query(side));
    }
    let files = subset::copy(&parts, &positions, folder, side.word())?;
    Ok(plan.query_over(side, &staged.copied_rows_sql(&files)))
}

/// The fields with a predicate of their own, and how every compared field is read from the findings.
fn readers<'a>(plan: &'a EntityPlan<'_>) -> (Vec<usize>, Vec<FieldReader<'a>>) {
    let compared: Vec<(usize, &FieldPlan)> =
        plan.fields.iter().enumerate().filter(|(_, f)| f.is_compared()).collect();
    let with_sql = compared.iter().filter(|(_, f)| f.rule.sql.is_some()).count();
    // A side's query ends with the values that only its engine can show to a predicate.
    let as_stored =
        compared.iter().filter(|(_, f)| f.shown_to_sql(Side::Source) == Some(Shown::AsStored)).count();
    let width =
        |side| compared.iter().filter_map(|(_, f)| f.access(side)).map(|a| a.select().len()).sum::<usize>();
    let mut predicates = Vec::new();
    let mut source_at = WANTED_COLUMNS + with_sql + 1;
    let mut target_at = source_at + width(Side::Source) + as_stored + 1;
    let mut readers = Vec::new();
    for (index, field) in compared {
        let normaliser = |side| plan.normaliser(field, side).expect("a compared field has a class");
        let access = |side| field.access(side).expect("a compared field has both sides");
        let predicate = field.rule.sql.as_ref().map(|_| {
            predicates.push(index);
            WANTED_COLUMNS + predicates.len() - 1
        });
        readers.push(FieldReader {
            index,
            field,
            source: (source_at, normaliser(Side::Source)),
            target: (target_at, normaliser(Side::Target)),
            predicate,
        });
        source_at += access(Side::Source).select().len();
        target_at += access(Side::Target).select().len();
    }
    (predicates, readers)
}

impl FieldReader<'_> {
    fn see<'c>(&self, side: Side, cells: &[Cells<'c>], row: usize) -> Result<Seen<'c>, String> {
        let (first, normaliser) = match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        };
        let access = self.field.access(side).expect("a compared field has both sides");
        normaliser.see(access.value(cells, *first, row)?)
    }

    /// The value as it is shown: before the rule's normalisations; what does not cast is shown as it lies there.
    fn shown(&self, side: Side, cells: &[Cells<'_>], row: usize) -> Option<String> {
        let (first, _) = match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        };
        let access = self.field.access(side).expect("a compared field has both sides");
        let value = match self.see(side, cells, row) {
            Ok(seen) => seen.raw,
            Err(_) => access.value(cells, *first, row).unwrap_or(Value::Null),
        };
        value.display().map(|text| text.into_owned())
    }
}

/// Columns: sort, seq, source_pos, target_pos, the key's fields, field, rule, source, target, delta, source_kind, target_kind.
fn cell_schema(plan: &EntityPlan<'_>) -> Schema {
    let mut fields = vec![
        Field::new("sort", DataType::Binary, false),
        Field::new("seq", DataType::Int64, false),
        Field::new("source_pos", DataType::Int64, false),
        Field::new("target_pos", DataType::Int64, false),
    ];
    fields.extend(
        plan.key().iter().enumerate().map(|(i, _)| Field::new(format!("key{i}"), DataType::Utf8, true)),
    );
    for name in ["field", "rule", "source", "target", "delta", "source_kind", "target_kind"] {
        fields.push(Field::new(name, DataType::Utf8, true));
    }
    Schema::new(fields)
}

/// Columns: verdict, pos, sort, every field's text, source_count, target_count, equal, field, code, message.
fn record_schema(plan: &EntityPlan<'_>) -> Schema {
    let mut fields = vec![
        Field::new("verdict", DataType::Int64, false),
        Field::new("on_target", DataType::Boolean, false),
        Field::new("pos", DataType::Int64, true),
        Field::new("sort", DataType::Binary, false),
    ];
    fields.extend(
        plan.fields.iter().enumerate().map(|(i, _)| Field::new(format!("f{i}"), DataType::Utf8, true)),
    );
    for name in ["source_count", "target_count", "failed_field"] {
        fields.push(Field::new(name, DataType::Int64, true));
    }
    fields.push(Field::new("equal", DataType::Boolean, true));
    fields.push(Field::new("code", DataType::Utf8, true));
    fields.push(Field::new("message", DataType::Utf8, true));
    Schema::new(fields)
}

/// A Parquet file that is made with its first batch.
struct Writer {
    path: PathBuf,
    schema: Arc<Schema>,
    open: Option<ArrowWriter<File>>,
}

impl Writer {
    fn new(path: PathBuf, schema: Schema) -> Self {
        Self { path, schema: Arc::new(schema), open: None }
    }

    fn write(&mut self, columns: Vec<ArrayRef>) -> Result<()> {
        let fail = || format!("cannot write {}", self.path.display());
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).or_failed(fail)?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let writer = match &mut self.open {
            Some(writer) => writer,
            closed => {
                let file = File::create(&self.path).or_failed(fail)?;
                let schema = Arc::clone(&self.schema);
                closed.insert(ArrowWriter::try_new(file, schema, Some(properties())).or_failed(fail)?)
            }
        };
        writer.write(&batch).or_failed(fail)
    }

    fn finish(self) -> Result<()> {
        self.open
            .map(ArrowWriter::close)
            .transpose()
            .or_failed(|| format!("cannot write {}", self.path.display()))?;
        Ok(())
    }
}

struct Worker {
    cells: Writer,
    records: Writer,
    findings: Findings,
}

/// A differing cell as it is written.
struct Cell {
    sort: Vec<u8>,
    seq: i64,
    positions: [i64; 2],
    key: Vec<Option<String>>,
    texts: [Option<String>; 7],
}

/// A record as it is written.
struct Record {
    verdict: i64,
    on_target: bool,
    pos: Option<i64>,
    sort: Vec<u8>,
    fields: Vec<Option<String>>,
    numbers: [Option<i64>; 3],
    equal: Option<bool>,
    texts: [Option<String>; 2],
}

impl Worker {
    fn judge(
        &mut self,
        plan: &EntityPlan<'_>,
        readers: &[FieldReader<'_>],
        batch: &RecordBatch,
    ) -> Result<()> {
        let cells = access::cells(batch);
        let verdicts = batch.column(0).as_primitive::<Int64Type>();
        let (mut differing, mut records) = (Vec::new(), Vec::new());
        for row in 0..batch.num_rows() {
            match verdicts.value(row) {
                1 => self.pair(plan, readers, batch, &cells, row, &mut differing)?,
                verdict => records.push(record(plan, readers, batch, &cells, row, verdict)),
            }
        }
        self.cells.write(cell_columns(plan, &differing))?;
        self.records.write(record_columns(plan, &records))
    }

    fn pair(
        &mut self,
        plan: &EntityPlan<'_>,
        readers: &[FieldReader<'_>],
        batch: &RecordBatch,
        cells: &[Cells<'_>],
        row: usize,
        out: &mut Vec<Cell>,
    ) -> Result<()> {
        let (mut unequal, mut sort, mut key) = (Vec::new(), Vec::new(), Vec::new());
        let mut source_texts: Vec<(usize, Option<String>)> = Vec::new();
        let mut passed: Vec<(usize, Option<Number>)> = Vec::new();
        for reader in readers {
            // Both cast: a row of which one did not is unchecked and never comes here.
            let (Ok(source), Ok(target)) =
                (reader.see(Side::Source, cells, row), reader.see(Side::Target, cells, row))
            else {
                continue;
            };
            if reader.field.is_key {
                if !source.normal.same(&target.normal) {
                    return Err(disagreement(plan, "keys"));
                }
                source.normal.sort_key(&mut sort);
                key.push(source.raw.display().map(|text| text.into_owned()));
                continue;
            }
            let own = reader.predicate.map(|at| batch.column(at).as_boolean().value(row));
            let judgement = rules::judge(&reader.field.rule, &source, &target, own);
            source_texts.push((reader.index, source.raw.display().map(|text| text.into_owned())));
            let delta = match judgement {
                Judgement::Equal => continue,
                Judgement::EqualByRule { delta } => {
                    passed.push((reader.index, delta));
                    continue;
                }
                Judgement::Unequal { delta, null_mismatch } => {
                    let found = &mut self.findings.fields[reader.index];
                    found.unequal += 1;
                    found.null_mismatch += u64::from(null_mismatch);
                    found.open.see(delta.as_ref());
                    delta
                }
            };
            let text = |seen: &Seen<'_>| seen.raw.display().map(|text| text.into_owned());
            let kinds = [&source, &target].map(|seen| seen.raw.kind_name());
            unequal.push((reader, text(&source), text(&target), delta.map(|d| d.to_string()), kinds));
        }
        if unequal.is_empty() {
            // Only a tolerance leaves a pair open; any other pair that came here has unequal hashes, hence unequal values.
            if readers.iter().all(|r| r.field.tolerant_scale().is_none()) {
                return Err(disagreement(plan, "values"));
            }
            self.findings.settled_equal += 1;
        }
        for (index, delta) in passed {
            let found = &mut self.findings.fields[index];
            let by_rule = if unequal.is_empty() { &mut found.settled } else { &mut found.open };
            by_rule.equal += 1;
            by_rule.see(delta.as_ref());
        }
        let position = |column: usize| batch.column(column).as_primitive::<Int64Type>().value(row);
        let positions = [position(1), position(2)];
        for (reader, source, target, delta, kinds) in unequal {
            self.findings.fields[reader.index].sample(reader.index, &source_texts);
            let (name, rule) = (reader.field.name.clone(), rules::word(&reader.field.rule).to_owned());
            let [source_kind, target_kind] = kinds.map(|kind| Some(kind.to_owned()));
            let texts = [Some(name), Some(rule), source, target, delta, source_kind, target_kind];
            let seq = plan.fields.iter().position(|f| f.name == reader.field.name).unwrap_or(0) as i64;
            out.push(Cell { sort: sort.clone(), seq, positions, key: key.clone(), texts });
        }
        Ok(())
    }
}

/// Hashes and values say different things: a defect of recon, or parts that changed meanwhile. Never a result.
fn disagreement(plan: &EntityPlan<'_>, what: &str) -> Error {
    Error::failed(format!("the hashes and the {what} of entity `{}` do not agree", plan.entity.name))
        .help("no result is given; stage again with `recon reset --yes`, and report it if it happens again")
}

fn record(
    plan: &EntityPlan<'_>,
    readers: &[FieldReader<'_>],
    batch: &RecordBatch,
    cells: &[Cells<'_>],
    row: usize,
    verdict: i64,
) -> Record {
    let integer = |column: usize| match cells[column].value(row) {
        Ok(Value::Number(n)) => n.to_scaled(0).and_then(|n| i64::try_from(n).ok()),
        _ => None,
    };
    let text = |column: usize| match cells[column].value(row) {
        Ok(Value::Text(text)) => Some(text.into_owned()),
        _ => None,
    };
    let (source_pos, target_pos) = (integer(1), integer(2));
    // Values are known of rows that parsed.
    let parsed = |pos: Option<i64>| pos.is_some_and(|pos| pos < UNPARSED);
    let on_target = !parsed(source_pos) && (parsed(target_pos) || source_pos.is_none());
    let side = if on_target { Side::Target } else { Side::Source };
    let (mut fields, mut sort) = (vec![None; plan.fields.len()], Vec::new());
    for reader in readers {
        fields[reader.index] = reader.shown(side, cells, row);
        if reader.field.is_key || plan.is_keyless() {
            match reader.see(side, cells, row) {
                Ok(seen) => seen.normal.sort_key(&mut sort),
                Err(_) => Value::Null.sort_key(&mut sort),
            }
        }
    }
    let equal = batch.column(5).as_boolean();
    Record {
        verdict,
        on_target,
        pos: if on_target { target_pos } else { source_pos },
        sort,
        fields,
        numbers: [integer(3), integer(4), integer(6)],
        equal: (verdict == 5).then(|| equal.value(row)),
        texts: [text(7), text(8)],
    }
}

fn texts<'a>(values: impl Iterator<Item = &'a Option<String>>) -> ArrayRef {
    Arc::new(values.map(Option::as_deref).collect::<StringArray>())
}

fn cell_columns(plan: &EntityPlan<'_>, cells: &[Cell]) -> Vec<ArrayRef> {
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(BinaryArray::from_iter_values(cells.iter().map(|c| &c.sort))),
        Arc::new(cells.iter().map(|c| Some(c.seq)).collect::<Int64Array>()),
    ];
    for i in 0..2 {
        columns.push(Arc::new(cells.iter().map(|c| Some(c.positions[i])).collect::<Int64Array>()));
    }
    columns.extend((0..plan.key().len()).map(|i| texts(cells.iter().map(|c| &c.key[i]))));
    columns.extend((0..7).map(|i| texts(cells.iter().map(|c| &c.texts[i]))));
    columns
}

fn record_columns(plan: &EntityPlan<'_>, records: &[Record]) -> Vec<ArrayRef> {
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(records.iter().map(|r| Some(r.verdict)).collect::<Int64Array>()),
        Arc::new(records.iter().map(|r| Some(r.on_target)).collect::<BooleanArray>()),
        Arc::new(records.iter().map(|r| r.pos).collect::<Int64Array>()),
        Arc::new(BinaryArray::from_iter_values(records.iter().map(|r| &r.sort))),
    ];
    columns.extend((0..plan.fields.len()).map(|i| texts(records.iter().map(|r| &r.fields[i]))));
    for i in 0..3 {
        columns.push(Arc::new(records.iter().map(|r| r.numbers[i]).collect::<Int64Array>()));
    }
    columns.push(Arc::new(records.iter().map(|r| r.equal).collect::<BooleanArray>()));
    columns.extend((0..2).map(|i| texts(records.iter().map(|r| &r.texts[i]))));
    columns
}

impl FieldFindings {
    fn sample(&mut self, own: usize, source: &[(usize, Option<String>)]) {
        if self.sampled >= SAMPLE_CELLS_MAX {
            return;
        }
        self.sampled += 1;
        for (index, text) in source.iter().filter(|(index, _)| *index != own) {
            let slot = self.beside.entry(*index).or_insert_with(|| Some(HashMap::new()));
            let (Some(counts), Some(text)) = (slot.as_mut(), text) else { continue };
            *counts.entry(text.clone()).or_default() += 1;
            if counts.len() > SAMPLE_VALUES_MAX {
                *slot = None;
            }
        }
    }

    fn plus(mut self, other: Self) -> Self {
        self.unequal += other.unequal;
        self.null_mismatch += other.null_mismatch;
        self.settled = self.settled.plus(&other.settled);
        self.open = self.open.plus(&other.open);
        self.sampled += other.sampled;
        for (index, counts) in other.beside {
            let slot = self.beside.entry(index).or_insert_with(|| Some(HashMap::new()));
            match (slot.as_mut(), counts) {
                (Some(mine), Some(theirs)) => {
                    theirs.into_iter().for_each(|(text, n)| *mine.entry(text).or_default() += n);
                }
                _ => *slot = None,
            }
        }
        self
    }
}

impl Findings {
    fn plus(self, other: Self) -> Self {
        let fields = self.fields.into_iter().zip(other.fields).map(|(a, b)| a.plus(b)).collect();
        Self { fields, settled_equal: self.settled_equal + other.settled_equal }
    }
}
