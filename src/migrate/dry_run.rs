//! What a run would do, without doing any of it.

use super::Fault;
use super::Target;
use super::batch::{Loaded, Stamp};
use super::mapped::Mapped;
use super::plan::Plan;
use crate::error::Result;
use crate::event::{self, Progress};

/// Records that are shown as they would be written, and that are shown with why they would not.
const SHOWN: usize = 5;

/// What a run would do with an entity.
#[derive(Debug, Default)]
pub struct Rehearsal {
    /// Records that would be written.
    pub records: u64,
    /// Records that are there and as they should be, where that was looked up.
    pub unchanged: u64,
    /// Records that recon would not even send.
    pub rejected: u64,
    /// The first records, each as the target's columns would have it.
    pub first: Vec<Vec<(String, Option<String>)>>,
    /// The first that would be rejected: the key as JSON, and why.
    pub faults: Vec<(String, Fault)>,
    /// Bytes of all values as they would be written, for an estimate.
    pub bytes: u64,
    /// Write units of all of them, where the store counts those.
    pub units: Option<u64>,
    /// Write units that the store takes in a second, where it says so.
    pub units_a_second: Option<u64>,
}

impl Rehearsal {
    /// Counts a record that would be rejected, and keeps the first.
    pub(super) fn reject(&mut self, key: String, fault: Fault) {
        self.rejected += 1;
        if self.faults.len() < SHOWN {
            self.faults.push((key, fault));
        }
    }
}

/// Goes through a plan.
///
/// # Errors
/// A plan that is damaged; an interruption.
pub fn rehearse(
    mapped: &Mapped<'_>,
    plan: &Plan,
    target: &dyn Target,
    stamp: &Stamp,
    progress: &Progress,
) -> Result<Rehearsal> {
    let mut found = Rehearsal { units_a_second: target.units_a_second(), ..Rehearsal::default() };
    event::add(&progress.units_total, plan.batches());
    for number in 0..plan.batches() {
        progress.check()?;
        let data = plan.read(number)?;
        let loaded = Loaded::new(&data);
        let (records, mut faults) = loaded.records(mapped, stamp)?;
        for record in &records {
            match target.preview(&record.values).and_then(|cells| Ok((cells, target.cost(&record.values)?))) {
                Ok((cells, units)) => {
                    found.records += 1;
                    found.units = units.map(|units| units + found.units.unwrap_or(0)).or(found.units);
                    found.bytes += cells.iter().flatten().map(|text| text.len() as u64).sum::<u64>();
                    if found.first.len() < SHOWN {
                        let names = mapped.columns.iter().map(|c| match c.path.is_empty() {
                            true => c.name.clone(),
                            false => format!("{}.{}", c.name, c.path.join(".")),
                        });
                        found.first.push(names.zip(cells).collect());
                    }
                }
                Err(fault) => faults.push((record.row, fault)),
            }
        }
        faults.sort_by_key(|(row, _)| *row);
        for (row, fault) in faults {
            found.reject(loaded.key_text(mapped, row), fault);
        }
        event::add(&progress.units_done, 1);
        event::add(&progress.rows_done, loaded.rows() as u64);
    }
    Ok(found)
}
