//! Errors with what people need to find their records: key, place and value, in the order of the keys.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int32Array, StringArray};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema};
use arrow::record_batch::RecordBatch;

use super::pass::Output;
use super::{Kind, Looked, Work};
use crate::error::{Context, Result};
use crate::mapping::access::cells;
use crate::mapping::pipeline::fan_out;
use crate::mapping::plan::FieldPlan;
use crate::query::{literal, render};
use crate::value::Value;
use crate::value::arrow::Cells;

/// Columns before those of the record.
const OWN_COLUMNS: usize = 4;

/// An error for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What it is about, among [`Looked::subjects`].
    pub subject: usize,
    /// The rule, in a word.
    pub code: String,
    /// What is wrong, without the value.
    pub words: String,
    /// File and line, or row, of a record that came from a file.
    pub place: Option<String>,
    /// The value; of several fields a JSON array.
    pub value: Option<String>,
    /// The key's values.
    pub key: Vec<Option<String>>,
}

/// How a field's value is shown in reports.
pub type Show<'a> = dyn Fn(&str, Option<&str>) -> Option<String> + Sync + 'a;

impl Looked<'_> {
    /// Tells every error, in the order of the keys; a record without a readable key comes first. Errors are sorted on the disk.
    ///
    /// # Errors
    /// What the engine says; a disk that is full; an interruption; what `each` returns.
    pub fn tell(
        &self,
        work: &Work<'_>,
        show: &Show<'_>,
        mut each: impl FnMut(Told) -> Result<()>,
    ) -> Result<()> {
        let schema = Arc::new(schema());
        let path = |n: usize| self.passed.file(&format!("told-{n:02}.parquet"));
        let readers = self.readers();
        fan_out(
            work.warehouse,
            &self.erring_sql(),
            work.threads,
            work.progress,
            |n| Output::create(&path(n), &schema),
            |out, batch| out.write(&schema, self.rows(&readers, batch, show)),
            Output::finish,
        )?;
        let told = literal(&self.passed.files("told-*.parquet"));
        let sql = render(include_str!("../../queries/validate/told.sql"), &[("told", &told)]);
        work.warehouse.stream(&sql, |batch| {
            (0..batch.num_rows()).try_for_each(|row| {
                let text = |column: usize| {
                    let array = batch.column(column).as_string::<i32>();
                    array.is_valid(row).then(|| array.value(row).to_owned())
                };
                let key = text(5).unwrap_or_default();
                each(Told {
                    subject: batch.column(0).as_primitive::<Int32Type>().value(row) as usize,
                    code: text(1).unwrap_or_default(),
                    words: text(2).unwrap_or_default(),
                    place: text(3),
                    value: text(4),
                    key: serde_json::from_str(&key).or_failed(|| "a key went missing".to_owned())?,
                })
            })
        })
    }

    /// The first column of each compared field in the query, by its place in the plan.
    fn readers(&self) -> Vec<Option<usize>> {
        let mut next = OWN_COLUMNS + 1; // after the position
        let first = |field: &FieldPlan| {
            let access = field.access(self.side).filter(|_| field.is_compared())?;
            let first = next;
            next += access.select().len();
            Some(first)
        };
        self.plan.fields.iter().map(first).collect()
    }

    fn erring_sql(&self) -> String {
        let staged = self.plan.staged(self.side);
        let errors = literal(&self.passed.errors());
        let lines = match staged.has_lines {
            true => {
                let pieces = [("rows", staged.rows_sql()), ("errors", errors.clone())];
                let pieces: Vec<(&str, &str)> =
                    pieces.iter().map(|(name, piece)| (*name, piece.as_str())).collect();
                render(include_str!("../../queries/validate/lines.sql"), &pieces)
            }
            false => "select null::bigint as pos, null::bigint as line where false".to_owned(),
        };
        let records = self.plan.query(self.side);
        let pieces = [("records", records.as_str()), ("errors", &errors), ("places", &lines)];
        render(include_str!("../../queries/validate/erring_rows.sql"), &pieces)
    }

    /// A batch of errors as columns of [`schema`].
    fn rows(&self, readers: &[Option<usize>], batch: &RecordBatch, show: &Show<'_>) -> Vec<ArrayRef> {
        let cells = cells(batch);
        let subjects = batch.column(0).as_primitive::<Int32Type>();
        let lines = batch.column(3).as_primitive::<Int64Type>();
        let positions = batch.column(OWN_COLUMNS).as_primitive::<Int64Type>();
        let (mut sorts, mut places, mut values, mut keys) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for row in 0..batch.num_rows() {
            let text = |i: usize| self.text(readers, &cells, i, row, show);
            let key: Vec<Option<String>> = (0..self.plan.key().len()).map(text).collect();
            keys.push(serde_json::to_string(&key).expect("texts are always JSON"));
            sorts.push(self.sort_key(readers, &cells, row));
            let line = lines.is_valid(row).then(|| lines.value(row));
            places.push(self.place(positions.value(row), line));
            let subject = &self.subjects[subjects.value(row) as usize];
            values.push(match (subject.kind, subject.fields.as_slice()) {
                (Kind::Check, _) | (_, []) => None,
                (_, [field]) => text(*field),
                (_, several) => {
                    let texts: Vec<Option<String>> = several.iter().map(|i| text(*i)).collect();
                    Some(serde_json::to_string(&texts).expect("texts are always JSON"))
                }
            });
        }
        vec![
            Arc::new(BinaryArray::from_iter_values(sorts)),
            Arc::clone(batch.column(OWN_COLUMNS)),
            Arc::new(Int32Array::from(subjects.values().to_vec())),
            Arc::clone(batch.column(1)),
            Arc::clone(batch.column(2)),
            Arc::new(StringArray::from(places)),
            Arc::new(StringArray::from(values)),
            Arc::new(StringArray::from(keys)),
        ]
    }

    /// A field's value as it is read, whether it casts or not.
    fn text(
        &self,
        readers: &[Option<usize>],
        cells: &[Cells<'_>],
        field: usize,
        row: usize,
        show: &Show<'_>,
    ) -> Option<String> {
        let plan = &self.plan.fields[field];
        let value = self.value(readers, cells, field, row);
        show(&plan.name, value.and_then(|value| value.display().map(|text| text.into_owned())).as_deref())
    }

    fn value<'c>(
        &self,
        readers: &[Option<usize>],
        cells: &[Cells<'c>],
        field: usize,
        row: usize,
    ) -> Option<Value<'c>> {
        let plan = &self.plan.fields[field];
        let raw = plan.access(self.side)?.value(cells, readers[field]?, row).ok()?;
        let normaliser = self.plan.normaliser(plan, self.side)?;
        Some(crate::value::cast::cast(raw.clone(), normaliser.class, &normaliser.reading).unwrap_or(raw))
    }

    fn sort_key(&self, readers: &[Option<usize>], cells: &[Cells<'_>], row: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for i in 0..self.plan.key().len() {
            self.value(readers, cells, i, row).unwrap_or(Value::Null).sort_key(&mut out);
        }
        out
    }

    /// Where a record came from, where that is a file.
    fn place(&self, pos: i64, line: Option<i64>) -> Option<String> {
        let staged = self.plan.staged(self.side);
        if staged.dataset.kind.is_live() || staged.folded.is_some() {
            return None;
        }
        let unit = staged.parts.get((pos >> 40) as usize).map_or("", |part| part.unit.as_str());
        Some(match line {
            Some(line) => format!("{unit}:{line}"),
            None => format!("{unit}, row {}", (pos & ((1 << 40) - 1)) + 1),
        })
    }
}

fn schema() -> Schema {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    Schema::new(vec![
        Field::new("sort", DataType::Binary, false),
        Field::new("pos", DataType::Int64, false),
        Field::new("subject", DataType::Int32, false),
        text("code", false),
        text("words", false),
        text("place", true),
        text("value", true),
        text("key", false),
    ])
}

/// Removes a folder of work, which is there only while a command runs or after it was killed.
///
/// # Errors
/// A disk that refuses.
pub fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(crate::error::Error::failed(format!("cannot remove {}", folder.display())).caused_by(e))
        }
        _ => Ok(()),
    }
}
