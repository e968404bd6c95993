//! Rows that could not be compared: those that did not parse when they were staged, and those that do not cast.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema, UInt64Type};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::hash::{Learned, Output, Rows, UNPARSED, properties};
use crate::error::{Context, Result};
use crate::mapping::access::{self, Access};
use crate::mapping::plan::{EntityPlan, FieldPlan, Side};
use crate::mapping::resolve::StoreType;
use crate::mapping::side::{Staged, damaged_part};
use crate::query::{self, identifier, literal, render};
use crate::value::Value;
use crate::value::column::ColumnType;
use crate::warehouse::Warehouse;

/// Columns of `failed_rows.sql` before the key's.
const COLUMNS_BEFORE_KEY: usize = 5;
/// Rows that did not parse are written so many at a time.
const BATCH_ROWS: usize = 4_096;

/// A row that could not be compared.
#[derive(Clone, Debug)]
pub(crate) struct Failed {
    pos: i64,
    field: i64,
    code: &'static str,
    message: String,
}

impl Failed {
    pub(crate) fn cast(field: usize, message: String) -> Self {
        Self { pos: 0, field: field as i64, code: "cast", message }
    }

    pub(crate) fn null_key(field: usize) -> Self {
        Self { pos: 0, field: field as i64, code: "null_key", message: "an item without its key".to_owned() }
    }

    pub(crate) fn at(mut self, pos: i64) -> Self {
        self.pos = pos;
        self
    }
}

/// Columns: pos, field (index in the plan, or -1), code, message.
pub(crate) fn batch(rows: &[Failed]) -> Result<RecordBatch> {
    let schema = Schema::new(vec![
        Field::new("pos", DataType::Int64, false),
        Field::new("field", DataType::Int64, false),
        Field::new("code", DataType::Utf8, false),
        Field::new("message", DataType::Utf8, false),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|f| Some(f.pos)).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|f| Some(f.field)).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|f| Some(f.code)).collect::<StringArray>()),
        Arc::new(rows.iter().map(|f| Some(f.message.as_str())).collect::<StringArray>()),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).or_failed(|| "cannot gather the failures".to_owned())
}

/// A row that did not parse, with its key where that could be read.
#[derive(Clone, Debug)]
pub struct Unparsed {
    /// The input file.
    pub unit: String,
    /// The line on which it begins.
    pub line: Option<u64>,
    /// The column at fault.
    pub column: Option<String>,
    /// A stable word of ours.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// Whether the row surely is one of the entity's.
    pub belongs: bool,
    /// The key's normalised values; empty where one of them could not be read.
    pub key: Vec<Value<'static>>,
}

/// The rows of a side's dataset that did not parse, in the order of its units.
pub(crate) fn unparsed(
    plan: &EntityPlan<'_>,
    side: Side,
    warehouse: &Warehouse,
    mut each: impl FnMut(Unparsed) -> Result<()>,
) -> Result<()> {
    let staged = plan.staged(side);
    // Of which record a row is that did not parse is not known where records are made of many.
    let is_folded = staged.folded.is_some();
    let key = if is_folded { &[] } else { plan.key() };
    let keys: Vec<(&FieldPlan, &Access)> =
        key.iter().filter_map(|f| f.access(side).map(|a| (f, a))).collect();
    let selects: String = keys.iter().flat_map(|(_, a)| a.select()).map(|sql| format!(", {sql}")).collect();
    let cells = if is_folded { String::new() } else { cells_sql(staged) };
    let current = staged.latest_changes_sql().map_or_else(String::new, |latest| {
        let same = "latest.k1 = f.__recon_k1 and latest.k2 = f.__recon_k2";
        format!("anti join ({latest}) as latest on {same} and latest.last_window > f.__recon_window")
    });
    let names = plan.unparsed(side);
    let (filter, logical) =
        if is_folded { ("false", "") } else { (names.filter.as_str(), names.logical.as_str()) };
    for failures in &staged.failures {
        let file = query::file(&failures.path);
        let pieces = [
            ("keys", selects.as_str()),
            ("filter", filter),
            ("logical", logical),
            ("cells", &cells),
            ("file", &file),
            ("current", &current),
        ];
        let sql = render(include_str!("../../queries/reconcile/failed_rows.sql"), &pieces);
        let mut rows = 0;
        warehouse.stream(&sql, |batch| {
            rows += batch.num_rows() as u64;
            for row in 0..batch.num_rows() {
                let text = |i: usize| {
                    let column = batch.column(i).as_string::<i32>();
                    column.is_valid(row).then(|| column.value(row).to_owned())
                };
                let lines = batch.column(0).as_primitive::<UInt64Type>();
                each(Unparsed {
                    unit: failures.unit.clone(),
                    line: lines.is_valid(row).then(|| lines.value(row)),
                    column: text(1),
                    code: text(2).unwrap_or_default(),
                    message: text(3).unwrap_or_default(),
                    belongs: batch.column(4).as_boolean().value(row),
                    key: key_of(plan, side, &keys, &batch, row),
                })?;
            }
            Ok(())
        })?;
        // In a chain, records that later ones supersede are left out.
        let is_whole = if staged.is_chain { rows <= failures.rows } else { rows == failures.rows };
        if !is_whole {
            let damage = format!("is damaged: {rows} rows where {} were written", failures.rows);
            return Err(damaged_part(&failures.path, &staged.dataset.name, &damage));
        }
    }
    Ok(())
}

/// Writes the rows of both sides that did not parse into a file, for the reports.
pub(crate) fn write_unparsed(plan: &EntityPlan<'_>, warehouse: &Warehouse, path: &Path) -> Result<()> {
    let fail = || format!("cannot write {}", path.display());
    let schema = unparsed_schema(plan.key().len());
    let file = File::create(path).or_failed(fail)?;
    let mut writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties())).or_failed(fail)?;
    for (side, on_target) in [(Side::Source, false), (Side::Target, true)] {
        let (mut next, mut waiting) = (UNPARSED, Vec::new());
        unparsed(plan, side, warehouse, |row| {
            waiting.push(row);
            if waiting.len() == BATCH_ROWS {
                let batch = unparsed_batch(&schema, &waiting, on_target, next)?;
                next += waiting.len() as i64;
                waiting.clear();
                writer.write(&batch).or_failed(fail)?;
            }
            Ok(())
        })?;
        writer.write(&unparsed_batch(&schema, &waiting, on_target, next)?).or_failed(fail)?;
    }
    writer.close().or_failed(fail)?;
    Ok(())
}

/// Columns: pos, on_target, unit, line, column, code, message, then the key's texts `u<i>`.
fn unparsed_schema(key_fields: usize) -> Arc<Schema> {
    let mut fields = vec![
        Field::new("pos", DataType::Int64, false),
        Field::new("on_target", DataType::Boolean, false),
        Field::new("unit", DataType::Utf8, false),
        Field::new("line", DataType::Int64, true),
        Field::new("column", DataType::Utf8, true),
        Field::new("code", DataType::Utf8, false),
        Field::new("message", DataType::Utf8, false),
    ];
    fields.extend((0..key_fields).map(|i| Field::new(format!("u{i}"), DataType::Utf8, true)));
    Arc::new(Schema::new(fields))
}

fn unparsed_batch(
    schema: &Arc<Schema>,
    rows: &[Unparsed],
    on_target: bool,
    first: i64,
) -> Result<RecordBatch> {
    let texts = |text: &dyn Fn(&Unparsed) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(text).collect::<StringArray>())
    };
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values((first..).take(rows.len()))),
        Arc::new(BooleanArray::from(vec![on_target; rows.len()])),
        texts(&|row| Some(row.unit.clone())),
        Arc::new(rows.iter().map(|row| row.line.map(|line| line as i64)).collect::<Int64Array>()),
        texts(&|row| row.column.clone()),
        texts(&|row| Some(row.code.clone())),
        texts(&|row| Some(row.message.clone())),
    ];
    for i in 0..schema.fields().len() - columns.len() {
        columns.push(texts(&|row| row.key.get(i)?.display().map(|text| text.into_owned())));
    }
    RecordBatch::try_new(Arc::clone(schema), columns).or_failed(|| "cannot gather the failures".to_owned())
}

/// The dataset's physical columns, as far as the cells of a row that did not parse hold them. Cells are text without their
/// type: a document's attribute is taken for what it is in every other document, and for nothing where that is several things.
fn cells_sql(staged: &Staged) -> String {
    let mut out = String::new();
    for column in &staged.columns {
        let is_only = column.physical.iter().filter(|(tag, _)| tag != "NULL").count() == 1;
        for (tag, physical) in &column.physical {
            let name = if tag.is_empty() { physical } else { &column.name };
            let pointer = literal(&access::pointer(std::slice::from_ref(name), None));
            let cell = format!("json_extract_string(f.cells, {pointer})");
            let sql = match (&column.store, tag.parse()) {
                (StoreType::Document { .. }, _) => attribute_sql(tag, is_only, cell),
                (_, Ok(ty)) => column_sql(&ty, cell),
                (_, Err(_)) => cell,
            };
            out.push_str(&format!(", {sql} as {}", identifier(physical)));
        }
    }
    out
}

/// A document's attribute out of its cell.
fn attribute_sql(tag: &str, is_only: bool, cell: String) -> String {
    match tag {
        "S" | "N" if is_only => cell,
        "BOOL" if is_only => format!("try_cast({cell} as boolean)"),
        "BOOL" | "NULL" => "null::boolean".to_owned(),
        "B" => "null::blob".to_owned(),
        "SS" | "NS" => "null::varchar[]".to_owned(),
        "BS" => "null::blob[]".to_owned(),
        _ => "null::varchar".to_owned(),
    }
}

/// A live table's column out of its cell, where the store's text says plainly what the value is; else a NULL of the type that the
/// column has in the parts, so that the spec's SQL fits this row as any other.
fn column_sql(ty: &ColumnType, cell: String) -> String {
    let sql_type = match ty {
        ColumnType::Int | ColumnType::BoolInt => "bigint",
        ColumnType::UnsignedInt => "ubigint",
        ColumnType::Decimal(size) => {
            return format!("try_cast({cell} as decimal({}, {}))", size.precision, size.scale);
        }
        ColumnType::Float32 => "float",
        ColumnType::Float64 => "double",
        ColumnType::Bool => "boolean",
        ColumnType::Date => "date",
        ColumnType::Bytes => return "null::blob".to_owned(),
        ColumnType::Timestamp { zoned: true } => return "null::timestamptz".to_owned(),
        ColumnType::Timestamp { zoned: false } => return "null::timestamp".to_owned(),
        ColumnType::Time => return "null::time".to_owned(),
        _ => return cell,
    };
    format!("try_cast({cell} as {sql_type})")
}

fn key_of(
    plan: &EntityPlan<'_>,
    side: Side,
    keys: &[(&FieldPlan, &Access)],
    batch: &RecordBatch,
    row: usize,
) -> Vec<Value<'static>> {
    let cells = access::cells(batch);
    let mut first = COLUMNS_BEFORE_KEY;
    let values: Option<Vec<Value<'static>>> = keys
        .iter()
        .map(|(field, access)| {
            let value = access.value(&cells, first, row).ok()?;
            first += access.select().len();
            let value = plan.normaliser(field, side)?.normal_only(value).ok()?;
            (!value.is_null()).then(|| value.into_owned())
        })
        .collect();
    values.unwrap_or_default()
}

/// Adds the rows that did not parse to a side's hashes: with the key's hash where it could be read, so that the counterpart is
/// not taken for missing. In a dataset that several entities share such a row belongs to none; it then only marks its
/// counterpart (with a negative position, which is not counted).
pub(crate) fn hash_unparsed(
    plan: &EntityPlan<'_>,
    side: Side,
    warehouse: &Warehouse,
    folder: &Path,
    schema: &Arc<Schema>,
    seed: u64,
    learned: &mut Learned,
) -> Result<()> {
    if plan.staged(side).failures.is_empty() {
        return Ok(());
    }
    let shared = match side {
        Side::Source => plan.source_is_shared,
        Side::Target => plan.target_is_shared,
    };
    let mut output = Output::create(folder, "unparsed", schema)?;
    let mut next = UNPARSED;
    let mut bytes = Vec::new();
    unparsed(plan, side, warehouse, |row| {
        if shared && (row.key.is_empty() || !row.belongs) {
            return Ok(());
        }
        bytes.clear();
        row.key.iter().for_each(|value| value.encode(&mut bytes));
        let rows = Rows {
            key: vec![(!row.key.is_empty()).then(|| xxh3_128_with_seed(&bytes, seed))],
            row: vec![0],
            pos: vec![if shared { -1 - (next - UNPARSED) } else { next }],
            failed: vec![true],
            ..Rows::default()
        };
        next += 1;
        if !shared {
            learned.rows += 1;
            learned.failed += 1;
        }
        output.write(&rows.batch(schema, Vec::new())?, &[])
    })?;
    output.finish()
}
