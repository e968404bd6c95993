//! The encodings that parts get, and the file under them.

use std::fs::{self, File};
use std::io::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int64Array, ListBuilder, StringArray, StringBuilder};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding};

use super::{PartFile, ROW_GROUP_BYTES_MAX, SYNC_BYTES, properties_for};

/// Text without any repetition that LZ4 could use.
fn noise(seed: u64) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        format!("{state:x}")
    };
    (0..4).map(|_| next()).collect()
}

fn batch(rows: u64) -> RecordBatch {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for i in 0..rows {
        lists.append_value([Some(noise(i)), None, Some(String::new())]);
    }
    let same = std::iter::repeat_n(Some("the same long text in every row"), rows as usize);
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        (
            "noise",
            Arc::new((1..=rows).map(|i| (i % 7 != 0).then(|| noise(i))).collect::<StringArray>()),
            true,
        ),
        ("same", Arc::new(same.collect::<StringArray>()), true),
        ("number", Arc::new((0..rows as i64).collect::<Int64Array>()), true),
        ("bytes", Arc::new((0..rows).map(|i| Some(i.to_le_bytes())).collect::<BinaryArray>()), true),
        ("list", Arc::new(lists.finish()), true),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn written(batches: &[RecordBatch]) -> File {
    let properties = properties_for(&batches[0]).unwrap();
    let file = tempfile::tempfile().unwrap();
    let mut writer = ArrowWriter::try_new(file, batches[0].schema(), Some(properties)).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.into_inner().unwrap()
}

#[test]
fn columns_are_compressed_only_where_it_pays() {
    let reader = ParquetRecordBatchReaderBuilder::try_new(written(&[batch(20_000)])).unwrap();
    let chunks = reader.metadata().row_group(0).columns().iter();
    let seen: Vec<(String, bool, bool)> = chunks
        .map(|chunk| {
            let apart = chunk.encodings().any(|encoding| encoding == Encoding::DELTA_LENGTH_BYTE_ARRAY);
            (chunk.column_path().string(), chunk.compression() == Compression::LZ4_RAW, apart)
        })
        .collect();
    let is = |path: &str, packed: bool, apart: bool| {
        assert!(seen.contains(&(path.to_owned(), packed, apart)), "{path} in {seen:?}");
    };
    is("noise", false, true);
    is("same", true, true);
    is("number", false, false);
    is("list.list.item", false, true);
}

#[test]
fn what_was_written_is_read_back() {
    let batch = batch(5_000);
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(written(&[batch.slice(0, 0), batch.clone()])).unwrap();
    let read: Vec<RecordBatch> = reader.with_batch_size(5_000).build().unwrap().map(Result::unwrap).collect();
    assert_eq!(read, [batch]);
}

#[test]
fn wide_rows_make_small_row_groups() {
    let mut state = 1u64;
    let mut bytes = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 32) as u8
    };
    let wide: Vec<Vec<u8>> =
        (0..4).map(|_| (0..ROW_GROUP_BYTES_MAX / 16).map(|_| bytes()).collect()).collect();
    let array: ArrayRef = Arc::new(BinaryArray::from_iter_values(&wide));
    let batch = RecordBatch::try_from_iter([("wide", array)]).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(written(&vec![batch; 6])).unwrap();
    assert_eq!(reader.metadata().num_row_groups(), 2);
}

#[test]
fn a_file_synced_on_the_way_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("part");
    let mut file = PartFile::create(&path).unwrap();
    let piece: Vec<u8> = (0..1 << 20).map(|i| (i % 251) as u8).collect();
    let pieces = 2 * SYNC_BYTES / piece.len() as u64 + 1;
    for _ in 0..pieces {
        file.write_all(&piece).unwrap();
    }
    assert!(file.syncer.is_some());
    file.finish().unwrap();
    let content = fs::read(&path).unwrap();
    assert_eq!(content.len() as u64, pieces * piece.len() as u64);
    assert!(content.chunks(piece.len()).all(|chunk| chunk == piece));
}
