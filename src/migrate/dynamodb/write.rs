//! The writes of a batch: each item on its condition or, where nobody else writes to the table, 25 at a time.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::future::{Future, poll_fn};
use std::task::Poll;

use super::REQUESTS;
use super::link::{Answer, How, Stop};
use super::merge::{Update, differs};
use super::session::{DynamodbSession, conflict};
use crate::fault;
use crate::ledger::manifest::Op;
use crate::migrate::{Fault, FaultClass, Trouble};
use crate::store::dynamodb::Item;
use crate::store::dynamodb::item::size;

/// Items of one `BatchWriteItem`, and about the bytes of one: 16 MB is DynamoDB's limit, and texts grow a little on the wire.
const PUTS_AT_ONCE: usize = 25;
const PUT_BYTES_MAX: u64 = 8 << 20;

/// An item that is to be written.
pub(super) struct Work {
    pub(super) row: usize,
    pub(super) key: Item,
    /// What is there.
    pub(super) old: Option<Item>,
    /// What is to be there.
    pub(super) new: Item,
    pub(super) op: Op,
    /// Whether an earlier try was about to write it.
    pub(super) is_again: bool,
}

/// What became of an item.
#[derive(Clone)]
pub(super) enum Done {
    Written,
    /// Somebody has written the same.
    There,
    Failed(Fault),
}

/// An item, what became of it, and how often that was tried.
type Told<'w> = (&'w Work, Done, u64);

impl DynamodbSession<'_> {
    /// Writes the items.
    pub(super) async fn write<'w>(&self, how: How<'_>, works: &'w [Work]) -> Result<Vec<Told<'w>>, Trouble> {
        let told = match self.target.mapped.writing.exclusive {
            true => {
                let chunks = chunks(works);
                side_by_side(REQUESTS, &chunks, async |chunk| self.put_chunk(how, chunk).await).await?
            }
            false => {
                side_by_side(REQUESTS, works, async |work| Ok(vec![self.write_one(how, work).await?])).await?
            }
        };
        Ok(told.into_iter().flatten().collect())
    }

    async fn write_one<'w>(&self, how: How<'_>, work: &'w Work) -> Result<Told<'w>, Trouble> {
        let (link, mapped, mut tries) = (&self.target.link, self.target.mapped, 0);
        let answer = match &work.old {
            None => link.put_new(how, &work.new, &mut tries).await,
            Some(old) => {
                let update = Update::new(mapped, link.partition_key(), old, &work.new);
                link.update(how, &work.key, &update, &mut tries).await
            }
        };
        fault::point("dynamodb.item-written");
        let done = match answer {
            Ok(Answer::Written) => Done::Written,
            Ok(Answer::Refused(Some(there))) if !differs(mapped, &there, &work.new) => {
                // Where an answer was lost, it is most likely our own.
                if tries > 1 || work.is_again { Done::Written } else { Done::There }
            }
            Ok(Answer::Refused(_)) => Done::Failed(conflict()),
            Err(Stop::Record(fault)) => Done::Failed(fault),
            Err(Stop::Batch(trouble)) => return Err(trouble),
        };
        Ok((work, done, tries))
    }

    /// Puts items whatever is there: it was read just before, and nobody else writes.
    async fn put_chunk<'w>(&self, how: How<'_>, chunk: &[&'w Work]) -> Result<Vec<Told<'w>>, Trouble> {
        let link = &self.target.link;
        let (mut left, mut told) = (chunk.to_vec(), Vec::with_capacity(chunk.len()));
        let mut tries = 0;
        while !left.is_empty() {
            let items: Vec<&Item> = left.iter().map(|work| &work.new).collect();
            let rest = match link.put_all(how, &items, &mut tries).await {
                Ok(rest) => rest,
                Err(Stop::Batch(trouble)) => return Err(trouble),
                Err(Stop::Record(fault)) if fault.class == FaultClass::Retryable => {
                    told.extend(left.into_iter().map(|work| (work, Done::Failed(fault.clone()), tries)));
                    return Ok(told);
                }
                Err(Stop::Record(_)) => {
                    // The request says of no item whose fault it is; each alone does.
                    for work in left {
                        told.push(self.write_one(how, work).await?);
                    }
                    return Ok(told);
                }
            };
            fault::point("dynamodb.chunk-written");
            let rest: HashSet<String> = rest.iter().map(|item| link.key_text(item)).collect();
            let (again, written): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|work| rest.contains(&link.key_text(&work.key)));
            told.extend(written.into_iter().map(|work| (work, Done::Written, tries)));
            left = again;
            if !left.is_empty() {
                // It is no try of the items' that the table had no time for them.
                tries = 0;
                match link.slow_down(how).await {
                    Err(Stop::Batch(trouble)) => return Err(trouble),
                    Ok(()) | Err(Stop::Record(_)) => {}
                }
            }
        }
        Ok(told)
    }
}

/// The items of each request.
fn chunks(works: &[Work]) -> Vec<Vec<&Work>> {
    let (mut all, mut bytes): (Vec<Vec<&Work>>, u64) = (Vec::new(), 0);
    for work in works {
        let size = size(&work.new);
        match all.last_mut().filter(|chunk| chunk.len() < PUTS_AT_ONCE && bytes + size <= PUT_BYTES_MAX) {
            Some(chunk) => {
                chunk.push(work);
                bytes += size;
            }
            None => {
                all.push(vec![work]);
                bytes = size;
            }
        }
    }
    all
}

/// Does something with each of the inputs, so many at once, on this thread; the outcomes are in no order. The first error ends it,
/// and what is under way is given up: nobody knows what became of that.
pub(super) async fn side_by_side<'i, I, T>(
    width: usize,
    inputs: &'i [I],
    each: impl AsyncFn(&'i I) -> Result<T, Trouble>,
) -> Result<Vec<T>, Trouble> {
    let (next, done) = (Cell::new(0), RefCell::new(Vec::with_capacity(inputs.len())));
    let lane = async || {
        while let Some(input) = inputs.get(next.replace(next.get() + 1)) {
            let outcome = each(input).await?;
            done.borrow_mut().push(outcome);
        }
        Ok::<(), Trouble>(())
    };
    let mut lanes: Vec<_> = (0..width.min(inputs.len())).map(|_| Box::pin(lane())).collect();
    poll_fn(|context| {
        let mut i = 0;
        while i < lanes.len() {
            match lanes[i].as_mut().poll(context) {
                Poll::Ready(Ok(())) => drop(lanes.swap_remove(i)),
                Poll::Ready(Err(trouble)) => return Poll::Ready(Err(trouble)),
                Poll::Pending => i += 1,
            }
        }
        if lanes.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await?;
    drop(lanes);
    Ok(done.into_inner())
}
