//! A user's Parquet files read both ways: what is read directly must be, cell by cell, what the engine reads.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use arrow::array::{Array, BooleanArray, StringArray};
use arrow::array::{
    BinaryArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array, Float64Array, Int8Array,
    Int32Array, TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray, UInt32Array,
    UInt64Array,
};
use arrow::datatypes::Int32Type;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use tempfile::TempDir;

use super::*;
use crate::ledger::part::Part;
use crate::mapping::access::{self, Access};
use crate::mapping::side::StagedPart;
use crate::query::{identifier, literal};
use crate::spec::{Dataset, DatasetKind, Storage};
use crate::warehouse::Warehouse;

/// Canonical bytes by position.
type Cells = BTreeMap<i64, Vec<u8>>;

fn staged(files: &[PathBuf]) -> Staged {
    let kind = DatasetKind::Parquet { uri: String::new() };
    let part = |path: &PathBuf| StagedPart {
        path: path.clone(),
        unit: String::new(),
        written: Part { file: path.display().to_string(), rows: 0, seal: None },
    };
    Staged {
        dataset: Dataset {
            name: "d".to_owned(),
            kind,
            timezone: None,
            storage: Storage::default(),
            compression: None,
            line: 1,
        },
        generation: 1,
        began_at: String::new(),
        staged_at: String::new(),
        warnings: Vec::new(),
        proof: None,
        folder: PathBuf::new(),
        parts: files.iter().map(part).collect(),
        columns: Vec::new(),
        failures: Vec::new(),
        has_lines: false,
        is_chain: false,
        folded: None,
    }
}

fn gather(access: &Access, batch: &RecordBatch, into: &mut Cells) {
    let cells = access::cells(batch);
    let positions = batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
    for row in 0..batch.num_rows() {
        let known = into.insert(positions.value(row), access.value(&cells, 1, row).unwrap().encoded());
        assert!(known.is_none(), "a position twice");
    }
}

/// Reads every column both ways, holds the two against each other and returns the columns that were read directly.
fn read_both_ways(files: &[PathBuf]) -> Vec<String> {
    let warehouse = Warehouse::in_memory(1, 1 << 30).unwrap();
    let staged = staged(files);
    let mut direct = Vec::new();
    for found in warehouse.describe(&staged.rows_sql()).unwrap().unwrap() {
        if found.name == "__recon_pos" {
            continue;
        }
        let store = StoreType::from_duckdb(&found.ty);
        let access = Access::Column {
            sql: identifier(&found.name),
            physical: found.name.clone(),
            store,
            carried: None,
        };
        let columns: Vec<Column> = access
            .physical()
            .unwrap()
            .into_iter()
            .map(|(n, s)| Column { name: n.to_owned(), store: s.clone() })
            .collect();
        let Some(opened) = open(&staged, &columns).unwrap() else { continue };
        let mut by_engine = Cells::new();
        let sql = format!("select __recon_pos, {} from ({})", access.select()[0], staged.rows_sql());
        warehouse
            .stream(&sql, |batch| {
                gather(&access, &batch, &mut by_engine);
                Ok(())
            })
            .unwrap();
        let by_hand = Mutex::new(Cells::new());
        let each = |(): &mut (), batch: &RecordBatch| {
            gather(&access, batch, &mut by_hand.lock().unwrap());
            Ok(())
        };
        fan_out_parts(&opened, &columns, 2, &Progress::default(), |_| Ok(()), each, Ok).unwrap();
        assert!(!by_engine.is_empty());
        assert_eq!(by_hand.into_inner().unwrap(), by_engine, "column {}", found.name);
        direct.push(found.name);
    }
    direct
}

fn write(
    folder: &TempDir,
    name: &str,
    columns: Vec<(&str, ArrayRef)>,
    statistics: EnabledStatistics,
) -> PathBuf {
    let path = folder.path().join(name);
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(2))
        .set_statistics_enabled(statistics)
        .build();
    let mut writer =
        ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    path
}

fn by_engine(folder: &TempDir, name: &str, select: &str) -> PathBuf {
    let path = folder.path().join(name);
    let copy = format!("copy ({select}) to {} (format parquet)", literal(&path.display().to_string()));
    Warehouse::in_memory(1, 1 << 30).unwrap().execute(&copy).unwrap();
    path
}

/// Numbers and bools, five of each, with the ends of their ranges and NULL.
fn numbers() -> Vec<(&'static str, ArrayRef)> {
    vec![
        ("bool", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), Some(true), None]))),
        ("i8", Arc::new(Int8Array::from(vec![Some(i8::MIN), None, Some(0), Some(1), Some(i8::MAX)]))),
        ("i32", Arc::new(Int32Array::from(vec![Some(i32::MIN), None, Some(0), Some(-1), Some(i32::MAX)]))),
        ("i64", Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(0), Some(-1), Some(i64::MAX)]))),
        ("u32", Arc::new(UInt32Array::from(vec![Some(u32::MAX), None, Some(0), Some(1), Some(1 << 31)]))),
        ("u64", Arc::new(UInt64Array::from(vec![Some(u64::MAX), None, Some(0), Some(1), Some(1 << 63)]))),
        (
            "f32",
            Arc::new(Float32Array::from(vec![Some(f32::NAN), None, Some(-0.0), Some(f32::MIN), Some(0.1)])),
        ),
        (
            "f64",
            Arc::new(Float64Array::from(vec![
                Some(f64::NAN),
                None,
                Some(-0.0),
                Some(f64::INFINITY),
                Some(5e-324),
            ])),
        ),
    ]
}

/// The same of dates and timestamps.
fn times() -> Vec<(&'static str, ArrayRef)> {
    let micros =
        || TimestampMicrosecondArray::from(vec![Some(i64::MIN), Some(-1), None, Some(i64::MAX), Some(0)]);
    let nanos = vec![Some(i64::MIN), Some(-1), None, Some(-i64::MAX), Some(1_700_000_000_123_456_789)];
    let millis =
        || TimestampMillisecondArray::from(vec![Some(-1), None, Some(0), Some(253_402_300_799_999), None]);
    vec![
        (
            "date",
            Arc::new(Date32Array::from(vec![Some(-1), None, Some(i32::MAX), Some(-i32::MAX), Some(20_000)])),
        ),
        ("micros", Arc::new(micros())),
        ("zoned_micros", Arc::new(micros().with_timezone("Europe/Berlin"))),
        ("nanos", Arc::new(TimestampNanosecondArray::from(nanos))),
        (
            "zoned_nanos",
            Arc::new(
                TimestampNanosecondArray::from(vec![Some(1_000), None, None, None, None])
                    .with_timezone("UTC"),
            ),
        ),
        ("millis", Arc::new(millis())),
        ("zoned_millis", Arc::new(millis().with_timezone("UTC"))),
        (
            "endless_millis",
            Arc::new(TimestampMillisecondArray::from(vec![Some(i64::MAX), None, None, None, None])),
        ),
    ]
}

/// The same of decimals.
fn decimals() -> Vec<(&'static str, ArrayRef)> {
    let decimals = |values: Vec<Option<i128>>, precision, scale| -> ArrayRef {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(precision, scale).unwrap())
    };
    vec![
        ("decimal4", decimals(vec![Some(9_999), None, Some(-9_999), Some(0), Some(10)], 4, 2)),
        ("decimal9", decimals(vec![Some(999_999_999), None, Some(-999_999_999), Some(0), Some(10)], 9, 2)),
        (
            "decimal18",
            decimals(
                vec![Some(10i128.pow(18) - 1), None, Some(1 - 10i128.pow(18)), Some(0), Some(10)],
                18,
                18,
            ),
        ),
        (
            "decimal38",
            decimals(
                vec![Some(10i128.pow(38) - 1), None, Some(1 - 10i128.pow(38)), Some(0), Some(10)],
                38,
                0,
            ),
        ),
    ]
}

/// The same of texts and bytes.
fn texts() -> Vec<(&'static str, ArrayRef)> {
    let words: DictionaryArray<Int32Type> =
        vec![Some("a"), None, Some("a"), Some(""), Some("é")].into_iter().collect();
    vec![
        ("text", Arc::new(StringArray::from(vec![Some(""), None, Some("é\0\n"), Some("1"), Some(" ")]))),
        ("words", Arc::new(words)),
        ("bytes", Arc::new(BinaryArray::from(vec![Some(&b""[..]), None, Some(b"\0\xff"), Some(b"x"), None]))),
    ]
}

#[test]
fn files_of_arrow_read_the_same_both_ways() {
    let folder = tempfile::tempdir().unwrap();
    let columns = [numbers(), times(), decimals(), texts()].concat();
    let all = write(&folder, "all.parquet", columns.clone(), EnabledStatistics::Page);
    assert_eq!(
        read_both_ways(&[all.clone(), all.clone()]),
        [
            "bool",
            "i32",
            "i64",
            "u32",
            "u64",
            "f32",
            "f64",
            "date",
            "micros",
            "zoned_micros",
            "nanos",
            "millis",
            "zoned_millis",
            "decimal9",
            "decimal18",
            "decimal38",
            "text",
            "words",
            "bytes"
        ]
    );
    // Nothing shows any more that milliseconds are within the engine's range.
    let millis: Vec<_> = columns.into_iter().filter(|(name, _)| ["i64", "millis"].contains(name)).collect();
    let unknown = write(&folder, "unknown.parquet", millis, EnabledStatistics::None);
    assert_eq!(read_both_ways(std::slice::from_ref(&unknown)), ["i64"]);
    // Columns that one of the files does not have, or has with another type.
    assert_eq!(read_both_ways(&[unknown, all]), ["i64"]);
}

#[test]
fn files_of_the_engine_read_the_same_both_ways() {
    let folder = tempfile::tempdir().unwrap();
    let rows = "select unnest(['infinity'::timestamp, '-infinity', null, '1969-12-31 23:59:59.999999', '0001-01-01 (BC)']) as t, \
        unnest(['infinity'::timestamptz, '-infinity', null, '1969-12-31 23:59:59.999999+00']) as tz, \
        unnest(['infinity'::date, '-infinity', null, '0001-01-01 (BC)']) as d, \
        unnest([3::smallint, -4]) as i16, unnest([9223372036854775807, -9223372036854775808, null]) as i64, \
        unnest([1.005::decimal(18, 3), null, -1]) as n, unnest([repeat('é', 5000), '', null, 'x']) as s, \
        unnest(['\\x00\\xFF'::blob, null]) as b, uuid() as u, '{}'::json as j, time '12:00' as clock, [1] as list, \
        interval 1 month as i, 1::hugeint as h, 'a'::enum('a', 'b') as e";
    let file = by_engine(&folder, "engine.parquet", rows);
    assert_eq!(read_both_ways(&[file]), ["t", "tz", "d", "i64", "n", "s", "b", "h", "e"]);
}

#[test]
fn names_and_paths_that_the_engine_changes_are_left_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let numbers = |n| -> ArrayRef { Arc::new(Int64Array::from(vec![n])) };
    let columns = || vec![("a", numbers(1)), ("A", numbers(2)), ("A_1", numbers(3)), ("b", numbers(4))];
    let plain = write(&folder, "plain.parquet", columns(), EnabledStatistics::None);
    assert_eq!(read_both_ways(&[plain]), [""; 0]);
    let pattern = write(&folder, "x[1].parquet", columns(), EnabledStatistics::None);
    let staged = staged(&[pattern]);
    assert!(open(&staged, &[Column { name: "b".to_owned(), store: StoreType::Int }]).unwrap().is_none());
}
