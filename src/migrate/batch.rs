//! A batch of the plan as records: their values cast to what is written, and those that cannot be.

use arrow::array::{Array, AsArray, StringArray};
use arrow::datatypes::{Int64Type, UInt8Type, UInt64Type};
use arrow::record_batch::RecordBatch;

use super::keys::{join, key_hash};
use super::mapped::{Mapped, Origin};
use super::plan::{FAULT, OWN_COLUMNS, verdict};
use super::{Fault, Record};
use crate::error::Result;
use crate::spec::Provenance;
use crate::value::Value;
use crate::value::arrow::Cells;

/// What recon itself writes into provenance columns.
#[derive(Clone, Debug)]
pub struct Stamp {
    /// The run's id.
    pub run_id: String,
    /// When it began, in nanoseconds since 1970.
    pub at_ns: i128,
}

/// The records that can be written, and the rows of the others with the reason.
pub type Sorted<'a> = (Vec<Record<'a>>, Vec<(usize, Fault)>);

/// A batch that was read.
pub struct Loaded<'a> {
    cells: Vec<Cells<'a>>,
    positions: &'a [i64],
    highs: &'a [u64],
    lows: &'a [u64],
    verdicts: &'a [u8],
    faults: Option<&'a StringArray>,
}

impl<'a> Loaded<'a> {
    /// Looks at a batch of the plan.
    pub fn new(batch: &'a RecordBatch) -> Self {
        // The query's columns have the position before them, as the plan's have our own.
        let cells = std::iter::once(&batch.columns()[0]).chain(&batch.columns()[OWN_COLUMNS..]);
        Self {
            cells: cells.map(|column| Cells::new(column.as_ref())).collect(),
            positions: batch.column(0).as_primitive::<Int64Type>().values(),
            highs: batch.column(1).as_primitive::<UInt64Type>().values(),
            lows: batch.column(2).as_primitive::<UInt64Type>().values(),
            verdicts: batch.column(3).as_primitive::<UInt8Type>().values(),
            faults: batch.column_by_name(FAULT).map(|column| column.as_string()),
        }
    }

    /// Rows in it.
    pub fn rows(&self) -> usize {
        self.positions.len()
    }

    /// A row's position in the staged source.
    pub fn position(&self, row: usize) -> i64 {
        self.positions[row]
    }

    /// Hex digest of a row's key; `None` where it has none.
    pub fn key_hash(&self, row: usize) -> Option<String> {
        (self.verdicts[row] != verdict::NO_KEY)
            .then(|| format!("{:032x}", join(self.highs[row], self.lows[row])))
    }

    /// The key of a row as a JSON array of texts, for people.
    pub fn key_text(&self, mapped: &Mapped<'_>, row: usize) -> String {
        let texts: Vec<Option<String>> =
            mapped.key().iter().map(|c| shown(c.value(&self.cells, row))).collect();
        serde_json::to_string(&texts).expect("texts are always JSON")
    }

    /// The records that can be written, and why the others cannot.
    ///
    /// # Errors
    /// Nothing that is a record's fault.
    pub fn records(&self, mapped: &Mapped<'_>, stamp: &Stamp) -> Result<Sorted<'a>> {
        let (mut records, mut faults) = (Vec::with_capacity(self.rows()), Vec::new());
        for row in 0..self.rows() {
            match self.record(mapped, stamp, row) {
                Ok(values) => records.push(Record { row, pos: self.position(row), values }),
                Err(fault) => faults.push((row, fault)),
            }
        }
        Ok((records, faults))
    }

    fn record(&self, mapped: &Mapped<'_>, stamp: &Stamp, row: usize) -> Result<Vec<Value<'a>>, Fault> {
        match self.verdicts[row] {
            verdict::NO_KEY => {
                let why = key_hash(mapped.key(), &self.cells, row, 0, &mut Vec::new());
                let why = why.expect_err("the plan says that it has no key");
                return Err(Fault::permanent(why.code, Some(&why.field), why.message));
            }
            verdict::DUPLICATE => {
                let message = "the source has several records of this key, and nothing says which of them is meant; \
                               leave some out with `where`, or name more fields in `key`";
                return Err(Fault::permanent("duplicate_key", None, message));
            }
            _ => {}
        }
        if let Some(fault) = self.faults.filter(|faults| faults.is_valid(row)) {
            let (code, field, message): (String, Option<String>, String) =
                serde_json::from_str(fault.value(row)).expect("the plan wrote it, and was verified");
            return Err(Fault::permanent(&code, field.as_deref(), message));
        }
        let mut values = Vec::with_capacity(mapped.columns.len());
        for column in &mapped.columns {
            values.push(match &column.source {
                Origin::Field { .. } => column
                    .value(&self.cells, row)
                    .map_err(|message| Fault::permanent("cast", Some(&column.field), message))?,
                Origin::Provenance(what) => self.provenance(mapped, stamp, *what, &values, row),
            });
        }
        Ok(values)
    }

    fn provenance(
        &self,
        mapped: &Mapped<'_>,
        stamp: &Stamp,
        what: Provenance,
        values: &[Value<'a>],
        row: usize,
    ) -> Value<'a> {
        match what {
            Provenance::Run => Value::Text(stamp.run_id.clone().into()),
            Provenance::At => {
                Value::Timestamp { at: crate::value::time::Moment::At(stamp.at_ns), zoned: true }
            }
            Provenance::SourceKey => match values.get(..mapped.key().len()) {
                Some([key]) => Value::Text(key.display().unwrap_or_default().into_owned().into()),
                _ => Value::Text(self.key_text(mapped, row).into()),
            },
            Provenance::SourceVersion => {
                mapped.version.and_then(|at| values.get(at)).cloned().unwrap_or(Value::Null)
            }
        }
    }
}

fn shown(value: Result<Value<'_>, String>) -> Option<String> {
    value.ok().and_then(|value| value.display().map(|text| text.into_owned()))
}
