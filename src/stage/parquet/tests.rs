//! Parquet files as they are referenced, copied and refused.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal256Array, Int32Array, Int64Array, StringArray, TimestampMillisecondArray,
    TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, i256};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{Int64Type, Int96, Int96Type};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;
use tempfile::TempDir;

use super::ParquetSource;
use crate::error::{ErrorKind, Result};
use crate::stage::Stamp;
use crate::stage::input::Digests;
use crate::stage::sink::{StagedUnit, UnitSink};
use crate::stage::{Source, Unit};

struct Files {
    folder: TempDir,
    units: Vec<Unit>,
}

impl Files {
    fn of(contents: &[Vec<u8>]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Self { folder, units: Vec::new() };
        for (i, content) in contents.iter().enumerate() {
            let path = files.path(&format!("{i}.parquet"));
            fs::write(&path, content).unwrap();
            let stamp = Stamp::of(&path).unwrap();
            files.units.push(Unit {
                path,
                stamp,
                bytes: content.len() as u64,
                expected: None,
                file: None,
                window: 0,
                is_live: false,
            });
        }
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn stage(&self, nth: usize, copy: bool) -> Result<(StagedUnit, Digests)> {
        let source = ParquetSource::new("side", Arc::default(), self.units.clone(), copy);
        let folder = self.path("parts");
        fs::create_dir_all(&folder).unwrap();
        let sink = UnitSink::new(&folder, "part", Arc::default(), Arc::default());
        let digests = source.read(&self.units[nth], &sink, 1)?;
        Ok((sink.commit()?, digests))
    }

    /// The message of the exit-4 error that staging must end with.
    fn refused(&self, nth: usize) -> String {
        let error = self.stage(nth, false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Failed);
        error.to_string()
    }
}

fn refused(content: Vec<u8>) -> String {
    Files::of(&[content]).refused(0)
}

fn written(columns: &[(&str, ArrayRef)]) -> Vec<u8> {
    let fields: Vec<Field> =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    let arrays = columns.iter().map(|(_, array)| Arc::clone(array)).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

fn texts() -> ArrayRef {
    Arc::new(StringArray::from(vec!["x", "y", "z"]))
}

fn wide() -> ArrayRef {
    Arc::new(Int64Array::from(vec![1, 2, 3]))
}

fn narrow() -> ArrayRef {
    Arc::new(Int32Array::from(vec![1, 2, 3]))
}

fn physical(unit: &StagedUnit) -> Vec<(&str, &str)> {
    unit.columns.iter().map(|c| (c.physical.as_str(), c.attribute.as_str())).collect()
}

#[test]
fn a_file_is_referenced_where_it_lies() {
    let content = written(&[("id", wide()), ("name", texts())]);
    let files = Files::of(std::slice::from_ref(&content));
    let (unit, digests) = files.stage(0, false).unwrap();
    assert_eq!(unit.rows, 3);
    assert_eq!(unit.parts[0].file, files.path("0.parquet").display().to_string());
    assert_eq!(physical(&unit), [("id", "id"), ("name", "name")]);
    assert_eq!(digests.bytes, content.len() as u64);
    assert_eq!(digests.xxh3, format!("{:032x}", xxhash_rust::xxh3::xxh3_128(&content)));
}

#[test]
fn copy_makes_a_part_of_the_same_bytes() {
    let content = written(&[("id", wide())]);
    let files = Files::of(std::slice::from_ref(&content));
    let (unit, digests) = files.stage(0, true).unwrap();
    assert_eq!((unit.rows, unit.parts.len()), (3, 1));
    assert!(!Path::new(&unit.parts[0].file).is_absolute());
    assert_eq!(fs::read(files.path("parts").join(&unit.parts[0].file)).unwrap(), content);
    assert_eq!(digests.xxh3, format!("{:032x}", xxhash_rust::xxh3::xxh3_128(&content)));
}

#[test]
fn names_that_differ_in_case_are_those_of_the_engine() {
    let files = Files::of(&[written(&[("name", texts()), ("Name", wide()), ("id", wide())])]);
    let (unit, _) = files.stage(0, false).unwrap();
    assert_eq!(physical(&unit), [("name", "name"), ("Name_1", "Name"), ("id", "id")]);
}

#[test]
fn a_damaged_file_is_refused_by_name() {
    let whole = written(&[("id", wide()), ("name", texts())]);
    let cut = |bytes: usize| whole[..bytes].to_vec();
    for content in
        [cut(whole.len() - 1), cut(whole.len() / 2), cut(10), Vec::new(), b"id,name\n1,x\n22,yy\n".to_vec()]
    {
        let message = refused(content);
        assert!(message.contains("0.parquet is not a whole Parquet file"), "{message}");
    }
    let mut broken_footer = whole.clone();
    let from = whole.len() - 60;
    broken_footer[from..from + 40].fill(0xff);
    assert!(refused(broken_footer).contains("0.parquet"));
    // The footer is whole, but what stood before it is gone.
    let footer = u32::from_le_bytes(whole[whole.len() - 8..whole.len() - 4].try_into().unwrap()) as usize;
    let hollow = [b"PAR1", &whole[whole.len() - 8 - footer..]].concat();
    let message = refused(hollow);
    assert!(message.contains("0.parquet is damaged") && message.contains("`id`"), "{message}");
}

#[test]
fn an_encrypted_file_is_refused() {
    let mut content = written(&[("id", wide())]);
    let magic = content.len() - 4;
    content[magic..].copy_from_slice(b"PARE");
    assert!(refused(content).contains("0.parquet is encrypted"));
}

#[test]
fn files_of_a_dataset_have_the_same_columns_and_types() {
    let files = Files::of(&[
        written(&[("id", wide()), ("name", texts())]),
        written(&[("name", texts()), ("id", wide())]),
        written(&[("id", wide())]),
        written(&[("id", narrow()), ("name", texts())]),
        written(&[("id", wide()), ("name", texts()), ("more", texts())]),
    ]);
    assert_eq!(physical(&files.stage(1, false).unwrap().0), [("name", "name"), ("id", "id")]);
    let message = files.refused(2);
    assert!(message.contains("2.parquet has no column `name`") && message.contains("0.parquet"), "{message}");
    let message = files.refused(3);
    assert!(message.contains("column `id` is Int32 in") && message.contains("but Int64 in"), "{message}");
    let message = files.refused(4);
    assert!(message.contains("0.parquet has no column `more`") && message.contains("4.parquet"), "{message}");
}

#[test]
fn names_that_differ_in_case_stand_in_the_same_order_everywhere() {
    let files =
        Files::of(&[written(&[("a", texts()), ("A", texts())]), written(&[("A", texts()), ("a", texts())])]);
    let message = files.refused(1);
    assert!(message.contains("stands elsewhere in") && message.contains("1.parquet"), "{message}");
}

#[test]
fn empty_and_repeated_names_are_refused() {
    assert!(refused(written(&[("id", wide()), ("", wide())])).contains("empty column name (column 2)"));
    assert!(refused(written(&[("id", wide()), ("id", wide())])).contains("more than one column `id`"));
    assert!(refused(written(&[("id", wide()), ("File_Index", wide())])).contains("column `File_Index`"));
    assert!(refused(written(&[("__recon_pos", wide())])).contains("column `__recon_pos`"));
}

#[test]
fn text_types_that_arrow_spells_differently_are_the_same() {
    let large: ArrayRef = Arc::new(arrow::array::LargeStringArray::from(vec!["x"]));
    let files = Files::of(&[written(&[("name", texts())]), written(&[("name", large)])]);
    files.stage(1, false).unwrap();
}

#[test]
fn decimals_wider_than_the_engine_are_refused() {
    let decimals = Decimal256Array::from(vec![i256::from_i128(1)]).with_precision_and_scale(39, 2).unwrap();
    let message = refused(written(&[("price", Arc::new(decimals))]));
    assert!(message.contains("`price`") && message.contains("39 digits"), "{message}");
}

#[test]
fn zoned_nanoseconds_are_accepted_only_where_nothing_is_lost() {
    let zoned = |nanos: Vec<Option<i64>>| -> ArrayRef {
        Arc::new(TimestampNanosecondArray::from(nanos).with_timezone("UTC"))
    };
    let whole = written(&[("at", zoned(vec![Some(1_700_000_000_123_456_000), None]))]);
    assert_eq!(Files::of(&[whole]).stage(0, false).unwrap().0.rows, 2);
    let message = refused(written(&[("at", zoned(vec![None, Some(1_700_000_000_123_456_789)]))]));
    assert!(message.contains("`at`") && message.contains("nanoseconds"), "{message}");
    // Without a zone the engine keeps them.
    let naive: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![1_700_000_000_123_456_789]));
    Files::of(&[written(&[("at", naive)])]).stage(0, false).unwrap();
    let coarse: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![1]).with_timezone("UTC"));
    Files::of(&[written(&[("at", coarse)])]).stage(0, false).unwrap();
}

/// A file with one required column, written without Arrow.
fn raw<T: parquet::data_type::DataType>(
    physical: Physical,
    logical: Option<LogicalType>,
    values: &[T::T],
) -> Vec<u8> {
    let column = Type::primitive_type_builder("at", physical)
        .with_repetition(Repetition::REQUIRED)
        .with_logical_type(logical)
        .build()
        .unwrap();
    let root = Type::group_type_builder("root").with_fields(vec![Arc::new(column)]).build().unwrap();
    let mut writer = SerializedFileWriter::new(Vec::new(), Arc::new(root), Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<T>().write_batch(values, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn int96_is_accepted_only_where_nothing_is_lost() {
    let instant = |nanos: u64| {
        let mut value = Int96::new();
        value.set_data(nanos as u32, (nanos >> 32) as u32, 2_460_000);
        value
    };
    let file = |nanos: u64| raw::<Int96Type>(Physical::INT96, None, &[instant(0), instant(nanos)]);
    assert_eq!(Files::of(&[file(86_399_999_999_000)]).stage(0, false).unwrap().0.rows, 2);
    assert!(refused(file(86_399_999_999_001)).contains("nanoseconds"));
}

#[test]
fn zoned_times_of_day_are_checked_too() {
    let time = Some(LogicalType::Time { is_adjusted_to_u_t_c: true, unit: TimeUnit::NANOS });
    Files::of(&[raw::<Int64Type>(Physical::INT64, time.clone(), &[1_000])]).stage(0, false).unwrap();
    assert!(refused(raw::<Int64Type>(Physical::INT64, time, &[1_001])).contains("nanoseconds"));
}

#[test]
fn a_file_that_changed_is_refused() {
    let files = Files::of(&[written(&[("id", wide())])]);
    fs::write(files.path("0.parquet"), written(&[("id", narrow())])).unwrap();
    assert!(files.refused(0).contains("0.parquet changed while"));
}

#[test]
fn nested_columns_are_named_by_their_content() {
    let list = |element: &str| {
        let field = Arc::new(Field::new(element, DataType::Int64, true));
        let values = arrow::array::ListArray::new(
            field,
            arrow::buffer::OffsetBuffer::from_lengths([2, 1]),
            wide(),
            None,
        );
        written(&[("tags", Arc::new(values))])
    };
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let files = Files::of(&[list("element"), list("item"), written(&[("tags", numbers)])]);
    files.stage(1, false).unwrap();
    assert!(files.refused(2).contains("column `tags` is Int64 in"));
}
