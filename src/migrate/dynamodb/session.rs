//! A batch: what is there, what is to become of it, the old images on disk, and then the writes.

use std::collections::HashMap;

use super::find::Found;
use super::link::How;
use super::merge::{Update, Wanted, barred_by_version, differs, merge};
use super::write::{Done, Work};
use super::{DynamodbTarget, check_size, digest};
use crate::error::Result;
use crate::fault;
use crate::ledger::manifest::{Change, Op};
use crate::migrate::script::Scripted;
use crate::migrate::undo::ranges;
use crate::migrate::{Batch, Fault, FaultClass, Images, Receipt, Session, Trouble};
use crate::spec::Policy;
use crate::store::dynamodb::Item;
use crate::store::dynamodb::item::{from_image, to_image};
use crate::store::net::block_on;

/// A worker's requests to the table.
pub(super) struct DynamodbSession<'a> {
    pub(super) target: &'a DynamodbTarget<'a>,
}

/// What is to be done about a record.
enum Decision {
    /// It is there and as it should be.
    Unchanged,
    /// An earlier try has written it.
    Applied(Op),
    Write(Work),
}

impl<'a> DynamodbSession<'a> {
    pub(super) fn new(target: &'a DynamodbTarget<'a>) -> Self {
        Self { target }
    }

    async fn try_apply(&self, batch: &Batch<'_>, images: &mut Images<'_>) -> Result<Receipt, Trouble> {
        let how = How { retries: batch.retries, progress: batch.progress };
        let mut receipt = Receipt::default();
        let wanted = self.wanted(batch, &mut receipt);
        let earlier = self.target.link.announced(batch.earlier)?;
        let found = self.find(how, wanted, &mut receipt).await?;
        let (mut works, mut changes) = (Vec::new(), Vec::new());
        let (mut made, mut rows) = (Vec::new(), Vec::new());
        let mut positions =
            batch.records.iter().map(|record| (record.row, record.pos)).collect::<HashMap<_, _>>();
        // The number of each change, by the record's row.
        let mut numbers: HashMap<usize, u64> = HashMap::new();
        for (wanted, there) in found {
            let change = earlier.get(&self.target.link.key_text(&wanted.key)).copied();
            match self.decide(&wanted, there, change) {
                Ok(Decision::Unchanged) => receipt.unchanged += 1,
                Ok(Decision::Applied(op)) => {
                    count(&mut receipt, op);
                    made.extend(change.map(|change| change.seq));
                }
                Ok(Decision::Write(work)) => {
                    // What was announced is not announced again: the first old image is the one that counts.
                    match change.filter(|_| work.is_again) {
                        Some(change) => drop(numbers.insert(work.row, change.seq)),
                        None => {
                            let pos = positions.remove(&work.row);
                            changes.push(Change { pos, ..self.change(batch.number, &work)? });
                            rows.push(work.row);
                        }
                    }
                    works.push(work);
                }
                Err(fault) => receipt.faults.push((wanted.row, fault)),
            }
        }
        if !changes.is_empty() {
            images(&mut changes)?;
        }
        numbers.extend(rows.into_iter().zip(changes.iter().map(|change| change.seq)));
        drop(changes);
        fault::point("dynamodb.images-kept");
        for (work, done, tries) in self.write(how, &works).await? {
            if tries > 1 {
                receipt.tries.insert(work.row, tries);
            }
            match done {
                Done::Written => {
                    count(&mut receipt, work.op);
                    made.extend(numbers.get(&work.row));
                }
                Done::There => receipt.unchanged += 1,
                Done::Failed(fault) => receipt.faults.push((work.row, fault)),
            }
        }
        receipt.made = ranges(made);
        Ok(receipt)
    }

    /// The requests that would write a batch, as `aws dynamodb update-item --cli-input-json` takes them, one a line. What is there is
    /// read, so each holds only where that is still so.
    async fn try_script(&self, batch: &Batch<'_>, out: &mut String) -> Result<Scripted, Trouble> {
        let how = How { retries: batch.retries, progress: batch.progress };
        let (mut receipt, mut scripted) = (Receipt::default(), Scripted::default());
        let wanted = self.wanted(batch, &mut receipt);
        for (wanted, there) in self.find(how, wanted, &mut receipt).await? {
            match self.decide(&wanted, there, None) {
                Ok(Decision::Unchanged | Decision::Applied(_)) => scripted.unchanged += 1,
                Ok(Decision::Write(work)) => {
                    let link = &self.target.link;
                    let update = match &work.old {
                        Some(old) => Update::new(self.target.mapped, link.partition_key(), old, &work.new),
                        None => Update::creating(link.partition_key(), &work.key, &work.new),
                    };
                    let request = update.request(link.table(), &work.key)?;
                    out.push_str(&serde_json::to_string(&request).expect("a request is always JSON"));
                    out.push('\n');
                    scripted.written += 1;
                }
                Err(fault) => receipt.faults.push((wanted.row, fault)),
            }
        }
        scripted.faults = receipt.faults;
        Ok(scripted)
    }

    /// As [`Session::apply`], but nothing is written.
    pub(super) fn script(&self, batch: &Batch<'_>, out: &mut String) -> Result<Scripted, Trouble> {
        block_on(self.try_script(batch, out))
    }

    /// The records as attributes, but for those that DynamoDB cannot hold.
    fn wanted(&self, batch: &Batch<'_>, receipt: &mut Receipt) -> Vec<Wanted> {
        let (mut all, mut keys) = (Vec::with_capacity(batch.records.len()), HashMap::new());
        for record in batch.records {
            match self.target.wanted(record.row, &record.values) {
                Ok(wanted) => {
                    let key = self.target.link.key_text(&wanted.key);
                    if keys.insert(key, ()).is_some() {
                        let message = "another record of the batch has the same key once it is DynamoDB's";
                        receipt.faults.push((record.row, Fault::permanent("duplicate_key", None, message)));
                    } else {
                        all.push(wanted);
                    }
                }
                Err(fault) => receipt.faults.push((record.row, fault)),
            }
        }
        all
    }

    /// Reads what is there.
    async fn find(
        &self,
        how: How<'_>,
        wanted: Vec<Wanted>,
        receipt: &mut Receipt,
    ) -> Result<Vec<(Wanted, Option<Item>)>, Trouble> {
        let link = &self.target.link;
        let keys: Vec<Item> = wanted.iter().map(|wanted| wanted.key.clone()).collect();
        let Found { mut items, mut faults } = link.find(how, &keys).await?;
        let mut all = Vec::with_capacity(wanted.len());
        for wanted in wanted {
            let key = link.key_text(&wanted.key);
            match faults.remove(&key) {
                Some(fault) => receipt.faults.push((wanted.row, fault)),
                None => all.push((wanted, items.remove(&key))),
            }
        }
        Ok(all)
    }

    fn decide(
        &self,
        wanted: &Wanted,
        there: Option<Item>,
        earlier: Option<&Change>,
    ) -> Result<Decision, Fault> {
        let mapped = self.target.mapped;
        if let Some(change) = earlier {
            return self.decide_again(wanted, there, change);
        }
        let Some(old) = there else {
            if mapped.policy() == Policy::UpdateOnly {
                let message = "there is no record of this key, and the policy is update-only";
                return Err(Fault::permanent("missing", None, message));
            }
            return self.work(wanted, None, false);
        };
        let new = merge(mapped, wanted, Some(&old))?;
        if !differs(mapped, &old, &new) {
            return Ok(Decision::Unchanged);
        }
        if mapped.policy() == Policy::InsertOnly {
            let message = "what is there differs, and the policy is insert-only";
            return Err(Fault { class: FaultClass::Conflict, ..Fault::permanent("exists", None, message) });
        }
        if let Some(fault) = barred_by_version(mapped, &old, wanted) {
            return Err(fault);
        }
        self.work(wanted, Some(old), false)
    }

    /// Finds out what became of a record that an earlier try was about to write.
    fn decide_again(&self, wanted: &Wanted, there: Option<Item>, change: &Change) -> Result<Decision, Fault> {
        let mapped = self.target.mapped;
        let damaged = |e: crate::error::Error| Fault::permanent("image", None, e.to_string());
        let before = change.pre.as_ref().map(from_image).transpose().map_err(damaged)?;
        let meant = merge(mapped, wanted, before.as_ref())?;
        match (&there, &before) {
            (Some(there), _) if !differs(mapped, there, &meant) => Ok(Decision::Applied(change.op)),
            (None, None) => self.work(wanted, None, true),
            (Some(now), Some(before)) if !differs(mapped, now, before) => self.work(wanted, there, true),
            _ => Err(conflict()),
        }
    }

    fn work(&self, wanted: &Wanted, old: Option<Item>, is_again: bool) -> Result<Decision, Fault> {
        let new = merge(self.target.mapped, wanted, old.as_ref())?;
        check_size(&new)?;
        let op = if old.is_some() { Op::Update } else { Op::Insert };
        Ok(Decision::Write(Work { row: wanted.row, key: wanted.key.clone(), old, new, op, is_again }))
    }

    fn change(&self, batch: u64, work: &Work) -> Result<Change> {
        let mut columns: Vec<String> = Vec::new();
        for column in &self.target.mapped.columns {
            if !columns.contains(&column.name) {
                columns.push(column.name.clone());
            }
        }
        let table = self.target.link.table();
        Ok(Change {
            columns: if work.op == Op::Update { columns } else { Vec::new() },
            pre: work.old.as_ref().map(to_image).transpose()?,
            post: if work.op == Op::Update { Some(to_image(&work.new)?) } else { None },
            ..Change::without_images(table, batch, work.op, to_image(&work.key)?, digest(&work.new))
        })
    }
}

impl Session for DynamodbSession<'_> {
    /// Each item has an answer of its own, so a batch is tried again as a whole only where answers are missing; what is there already
    /// is then told by `batch.earlier`.
    fn apply(&mut self, batch: &Batch<'_>, images: &mut Images<'_>) -> Result<Receipt, Trouble> {
        block_on(self.try_apply(batch, images))
    }
}

/// Somebody else's change is in a record's place.
pub(super) fn conflict() -> Fault {
    let message = "somebody changed the item since it was read; it is left as it is";
    Fault {
        class: FaultClass::Conflict,
        ..Fault::permanent("ConditionalCheckFailedException", None, message)
    }
}

fn count(receipt: &mut Receipt, op: Op) {
    match op {
        Op::Insert => receipt.inserted += 1,
        Op::Update | Op::Delete | Op::SoftDelete => receipt.updated += 1,
    }
}
