//! Batches: when they are taken, what is in them, how schemas settle.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::UInt64Type;

use super::{BATCH_BYTES_MAX, BATCH_ROWS_MAX, DocumentBuilder};
use crate::stage::document::{Change, Names, Stop, Tag};

fn builder(in_chain: bool) -> DocumentBuilder {
    DocumentBuilder::new(Arc::new(Names::new("d")), in_chain)
}

fn set(builder: &mut DocumentBuilder, name: &str, tag: Tag, value: &str) -> Result<(), Stop> {
    let attribute = builder.attribute(name)?;
    let column = builder.column(attribute, tag)?;
    column.bytes().extend_from_slice(value.as_bytes());
    if matches!(tag, Tag::Ss) {
        column.end_element();
        column.end_set();
    } else {
        column.end_value();
    }
    Ok(())
}

#[test]
fn columns_are_sorted_and_stay_once_seen() {
    let mut builder = builder(false);
    for name in ["b", "a"] {
        set(&mut builder, name, Tag::S, "x").unwrap();
    }
    builder.keep(1, None);
    let first = builder.take().unwrap().unwrap();
    set(&mut builder, "c", Tag::N, "1").unwrap();
    builder.keep(2, None);
    builder.keep(4, None);
    let second = builder.take().unwrap().unwrap();
    let names = |batch: &arrow::record_batch::RecordBatch| {
        batch.schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&first), ["__recon_line", "a:S", "b:S"]);
    assert_eq!(names(&second), ["__recon_line", "a:S", "b:S", "c:N"]);
    assert_eq!(second.num_rows(), 2);
    assert_eq!(second.column(0).as_primitive::<UInt64Type>().values().as_ref(), [2, 4]);
    assert_eq!(second.column(1).null_count(), 2);
    assert!(builder.take().unwrap().is_none());
}

#[test]
fn a_row_that_is_given_up_takes_everything_back() {
    let mut builder = builder(false);
    set(&mut builder, "s", Tag::S, "kept").unwrap();
    set(&mut builder, "set", Tag::Ss, "kept").unwrap();
    builder.keep(1, None);
    // A whole value, a whole set, an unfinished value, an unfinished set, a flag.
    set(&mut builder, "s", Tag::S, "gone").unwrap();
    set(&mut builder, "other", Tag::S, "gone").unwrap();
    for (name, tag) in [("set", Tag::Ss), ("half", Tag::S)] {
        let attribute = builder.attribute(name).unwrap();
        let column = builder.column(attribute, tag).unwrap();
        column.bytes().extend_from_slice(b"gone");
        column.end_element();
        column.bytes().extend_from_slice(b"half");
    }
    let attribute = builder.attribute("flag").unwrap();
    builder.column(attribute, Tag::Bool).unwrap().flag(true);
    builder.give_up();
    set(&mut builder, "set", Tag::Ss, "last").unwrap();
    builder.keep(1, None);
    let batch = builder.take().unwrap().unwrap();
    assert_eq!(batch.num_columns(), 3);
    let text = batch.column_by_name("s:S").unwrap().as_string::<i32>();
    assert_eq!(text.iter().collect::<Vec<_>>(), [Some("kept"), None]);
    let sets = batch.column_by_name("set:SS").unwrap().as_list::<i32>();
    assert_eq!(sets.value(0).as_string::<i32>().value(0), "kept");
    assert_eq!(sets.value(1).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("last")]);
}

#[test]
fn an_attribute_twice_in_one_row_is_refused_whatever_its_types() {
    let mut builder = builder(false);
    set(&mut builder, "a", Tag::S, "1").unwrap();
    assert!(matches!(set(&mut builder, "a", Tag::N, "1"), Err(Stop::Row(_))));
    builder.give_up();
    assert!(set(&mut builder, "a", Tag::N, "1").is_ok());
}

#[test]
fn the_order_of_attributes_may_change_from_row_to_row() {
    let mut builder = builder(false);
    for order in [["a", "b", "c"], ["c", "a", "b"], ["b", "c", "a"], ["a", "c", "b"]] {
        for name in order {
            set(&mut builder, name, Tag::S, name).unwrap();
        }
        builder.keep(1, None);
    }
    let batch = builder.take().unwrap().unwrap();
    for (column, name) in batch.columns()[1..].iter().zip(["a", "b", "c"]) {
        assert!(column.as_string::<i32>().iter().all(|value| value == Some(name)));
    }
}

#[test]
fn a_batch_is_full_by_rows_or_by_bytes() {
    let mut rows = builder(false);
    for _ in 0..BATCH_ROWS_MAX {
        assert!(!rows.is_full());
        rows.keep(1, None);
    }
    assert!(rows.is_full());
    let mut bytes = builder(false);
    let value = "x".repeat(1 << 20);
    for n in 0..BATCH_BYTES_MAX >> 20 {
        assert!(!bytes.is_full(), "{n}");
        set(&mut bytes, "a", Tag::S, &value).unwrap();
        if n == 0 {
            bytes.give_up();
            set(&mut bytes, "a", Tag::S, &value).unwrap();
        }
        bytes.keep(1, None);
    }
    assert!(bytes.is_full());
    bytes.take().unwrap();
    assert!(!bytes.is_full());
}

#[test]
fn a_chains_rows_carry_their_reserved_columns_first() {
    let mut builder = builder(true);
    set(&mut builder, "a", Tag::S, "1").unwrap();
    assert_eq!(builder.key_value("a"), Some((Tag::S, &b"1"[..])));
    assert_eq!(builder.key_value("b"), None);
    builder.keep(1, Some(Change { key: (7 << 64) + 9, window: 3, deleted: true }));
    assert_eq!(builder.key_value("a"), None, "the next row has none yet");
    let batch = builder.take().unwrap().unwrap();
    let names: Vec<_> = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(
        names,
        ["__recon_line", "__recon_k1", "__recon_k2", "__recon_window", "__recon_deleted", "a:S"]
    );
    assert_eq!(batch.column(1).as_primitive::<UInt64Type>().value(0), 7);
    assert_eq!(batch.column(2).as_primitive::<UInt64Type>().value(0), 9);
}
