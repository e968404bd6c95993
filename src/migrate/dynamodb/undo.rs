//! Taking changes back in DynamoDB: what is there is read and decided about, the images of what is about to change are put on disk, and
//! then each item is written on the condition that it is as it was read.
//!
//! A batch that may be there in part is told by what an earlier try announced: an item that is what it was to become is done.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::Value as Json;

use super::find::Found;
use super::link::{Answer, How, Link, Stop};
use super::merge::Update;
use super::write::side_by_side;
use super::{BATCHES, REQUESTS, check_size, digest, fingerprint, is_ready};
use crate::error::{Context, Error, Result};
use crate::event::Progress;
use crate::fault;
use crate::ledger::manifest::{Change, Image};
use crate::migrate::retry::Retries;
use crate::migrate::undo::{
    Conflict, Kind, OnConflict, Step, Undo, UndoBatch, UndoSession, Undone, aborted, column_is_gone, decide,
    made, ranges, stood_for,
};
use crate::migrate::{Fault, Images, Trouble};
use crate::spec::DynamodbOptions;
use crate::store::dynamodb::item::{canonical, from_image, is_same, to_image};
use crate::store::dynamodb::{self, Item, key_names};
use crate::store::net::block_on;

/// A table of DynamoDB of which changes are taken back.
pub struct DynamodbUndo {
    link: Link,
    fingerprint: String,
    /// The attribute that says when an item's time is past.
    time_to_live: Option<String>,
}

impl DynamodbUndo {
    /// Looks the table up. `key` are the attributes of the manifest's keys.
    ///
    /// # Errors
    /// A key that is not the table's (exit 2); a table that is not there, may not be looked at, or is not ready.
    pub fn open(options: &DynamodbOptions, key: &[String]) -> Result<Self> {
        let place = dynamodb::place(options);
        let (client, table, time_to_live) = block_on(async {
            let client = dynamodb::client(options).await;
            let table = dynamodb::describe(&client, options).await?;
            let time_to_live = time_to_live(&client, options).await;
            Ok::<_, Error>((client, table, time_to_live))
        })?;
        is_ready(&table, &place)?;
        let (fingerprint, names) = (fingerprint(options, &table), key_names(&table));
        if let Some(gone) = key.iter().find(|name| !names.contains(name)) {
            return Err(column_is_gone(&fingerprint, gone));
        }
        if let Some(new) = names.iter().find(|name| !key.contains(name)) {
            return Err(Error::usage(format!("{fingerprint}: its key has `{new}`, which it had not"))
                .help("name the table that was migrated to in the target dataset"));
        }
        Ok(Self { link: Link::new(&client, options, names), fingerprint, time_to_live })
    }

    /// Whether an item's time is past.
    fn is_expired(&self, item: &Item) -> bool {
        let value = self.time_to_live.as_ref().and_then(|name| item.get(name));
        let Some(AttributeValue::N(at)) = value else { return false };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        at.parse::<u64>().is_ok_and(|at| at < now)
    }
}

/// The attribute that a table takes for the time of its items. Who may not ask is told of no item whose time is past.
async fn time_to_live(client: &Client, options: &DynamodbOptions) -> Option<String> {
    match client.describe_time_to_live().table_name(&options.table).send().await {
        Ok(answer) => answer.time_to_live_description?.attribute_name,
        Err(error) => {
            let place = dynamodb::place(options);
            tracing::warn!(error = %error, "{place}: nobody says whether its items have a time to live");
            None
        }
    }
}

impl Undo for DynamodbUndo {
    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn columns(&self) -> &[String] {
        &[]
    }

    fn concurrency(&self) -> usize {
        BATCHES
    }

    fn writes_in_parts(&self) -> bool {
        true
    }

    fn digest(&self, row: &Image, _columns: &[String]) -> Result<String> {
        Ok(digest(&from_image(row)?))
    }

    fn spelled(&self, row: &Image) -> Result<Image> {
        spelled(&from_image(row)?)
    }

    /// Texts, numbers and bytes without the name of their type.
    fn text(&self, value: &Json) -> Option<String> {
        let plain = ["S", "N", "B"].into_iter().find_map(|tag| value.get(tag)?.as_str());
        match plain {
            Some(text) => Some(text.to_owned()),
            None => Some(value.to_string()).filter(|_| !value.is_null()),
        }
    }

    fn session(&self) -> Result<Box<dyn UndoSession + '_>, Trouble> {
        Ok(Box::new(Session { target: self }))
    }

    /// Nothing of recon's is there.
    fn forget(&self, _run_id: &str, _entity: &str) -> Result<()> {
        Ok(())
    }
}

struct Session<'a> {
    target: &'a DynamodbUndo,
}

/// A change that is to be taken back, and what is there.
struct Case<'c> {
    place: usize,
    /// Its images in one spelling.
    change: Change,
    key: Item,
    now: Option<Item>,
    before: Option<Item>,
    announced: Option<&'c Change>,
}

/// An item that is to be written, or taken away.
struct Work {
    place: usize,
    key: Item,
    now: Option<Item>,
    new: Option<Item>,
    step: Step,
    /// The number of the change that this is.
    seq: u64,
    /// Whether an earlier try may have written it.
    is_again: bool,
}

/// What became of an item.
enum Done {
    Written,
    /// It was to go, and had gone.
    Gone,
    Conflict(Conflict),
    Failed(Fault),
}

/// An image in one spelling: two of one value are equal.
fn spelled(item: &Item) -> Result<Image> {
    serde_json::from_str(&canonical(item)).or_failed(|| "an item is no JSON".to_owned())
}

fn respelled(image: Option<&Image>) -> Result<Option<Image>> {
    image.map(|image| spelled(&from_image(image)?)).transpose()
}

impl<'c> Case<'c> {
    fn decide(&self, now: Option<&Item>, batch: &UndoBatch<'_>) -> Result<Step> {
        let image = now.map(spelled).transpose()?;
        let digest = now.map(digest).map(|digest| stood_for(batch.stand_ins, &self.change, digest));
        let mut step = decide(&self.change, image.as_ref(), digest.as_deref(), batch.guard);
        if let Step::Conflict(conflict) = &mut step {
            conflict.now = now.map(to_image).transpose()?;
        }
        Ok(step)
    }

    /// What is to be there, each value spelled as it was before or is now.
    fn wanted(&self, step: &Step) -> Result<Option<Item>> {
        let Step::Write(write) = step else { return Ok(None) };
        let mut item = from_image(&write.row)?;
        for (name, value) in &mut item {
            let known = [&self.before, &self.now].into_iter().flatten().filter_map(|item| item.get(name));
            if let Some(same) = known.into_iter().find(|known| is_same(Some(known), Some(value))) {
                *value = same.clone();
            }
        }
        Ok(Some(item))
    }

    /// Whether what an earlier try announced was written; `None` where what is there is neither that nor what was there before.
    fn is_made(&self) -> Result<Option<bool>> {
        let Some(announced) = self.announced else { return Ok(None) };
        if self.now.as_ref().map(digest) == announced.post_hash {
            return Ok(Some(true));
        }
        let before = respelled(announced.pre.as_ref())?;
        Ok((self.now.as_ref().map(spelled).transpose()? == before).then_some(false))
    }
}

impl Session<'_> {
    async fn cases<'c>(
        &self,
        how: How<'_>,
        batch: &UndoBatch<'c>,
        undone: &mut Undone,
    ) -> Result<Vec<Case<'c>>, Trouble> {
        let link = &self.target.link;
        let announced = link.announced(batch.earlier)?;
        let keys =
            batch.changes.iter().map(|change| from_image(&change.key)).collect::<Result<Vec<Item>>>()?;
        let Found { mut items, mut faults } = link.find(how, &keys).await?;
        let mut all = Vec::with_capacity(keys.len());
        for (place, (change, key)) in batch.changes.iter().zip(keys).enumerate() {
            let text = link.key_text(&key);
            if let Some(fault) = faults.remove(&text) {
                undone.faults.push((place, fault));
                continue;
            }
            all.push(Case {
                place,
                change: Change {
                    pre: respelled(change.pre.as_ref())?,
                    post: respelled(change.post.as_ref())?,
                    ..change.clone()
                },
                now: items.remove(&text),
                before: change.pre.as_ref().map(from_image).transpose()?,
                announced: announced.get(&text).copied(),
                key,
            });
        }
        Ok(all)
    }

    /// What is to be done about a change; `None` where that is nothing, or was done by an earlier try.
    fn work(&self, case: Case<'_>, batch: &UndoBatch<'_>, undone: &mut Undone) -> Result<Option<Work>> {
        let is_made = case.is_made()?;
        let seq = case.announced.filter(|_| is_made.is_some()).map_or(0, |change| change.seq);
        if is_made == Some(true) {
            let before = case.announced.and_then(|change| change.pre.as_ref()).map(from_image).transpose()?;
            self.count(&case.decide(before.as_ref(), batch)?, case.now.as_ref(), undone);
            undone.made.push((seq, seq));
            return Ok(None);
        }
        let step = case.decide(case.now.as_ref(), batch)?;
        match &step {
            Step::Nothing => undone.noop += 1,
            Step::Conflict(conflict) => undone.conflicts.push((case.place, conflict.clone())),
            Step::Remove { .. } | Step::Write(_) => {
                let new = case.wanted(&step)?;
                if let Some(Err(fault)) = new.as_ref().map(check_size) {
                    undone.faults.push((case.place, fault));
                    return Ok(None);
                }
                let Case { place, key, now, .. } = case;
                return Ok(Some(Work { place, key, now, new, step, seq, is_again: is_made.is_some() }));
            }
        }
        Ok(None)
    }

    /// Counts a step that was taken. `new` is what is there since.
    fn count(&self, step: &Step, new: Option<&Item>, undone: &mut Undone) {
        undone.count(step);
        undone.expired += u64::from(new.is_some_and(|item| self.target.is_expired(item)));
    }

    async fn write<'w>(&self, how: How<'_>, work: &'w Work) -> Result<(&'w Work, Done), Trouble> {
        let (link, mut tries) = (&self.target.link, 0);
        let answer = match (&work.now, &work.new) {
            (None, Some(new)) => link.put_new(how, new, &mut tries).await,
            (Some(now), Some(new)) => match Update::between(link.keys(), now, new) {
                // Nothing of it differs.
                update if update.update.is_empty() => Ok(Answer::Written),
                update => link.update(how, &work.key, &update, &mut tries).await,
            },
            (Some(now), None) => {
                let update = Update::between(link.keys(), now, now);
                link.delete(how, &work.key, &update, &mut tries).await
            }
            (None, None) => Ok(Answer::Written),
        };
        fault::point("rollback.item-written");
        let done = match answer {
            Ok(Answer::Written) => Done::Written,
            // Where an answer was lost, it is most likely our own.
            Ok(Answer::Refused(there))
                if (tries > 1 || work.is_again)
                    && there.as_ref().map(canonical) == work.new.as_ref().map(canonical) =>
            {
                Done::Written
            }
            Ok(Answer::Refused(None)) if work.new.is_none() => Done::Gone,
            Ok(Answer::Refused(there)) => {
                let kind = match (&work.now, &there) {
                    (_, None) => Kind::Deleted,
                    (None, Some(_)) => Kind::Recreated,
                    (Some(_), Some(_)) => Kind::Changed,
                };
                Done::Conflict(Conflict {
                    kind,
                    now: there.as_ref().map(to_image).transpose()?,
                    detail: None,
                })
            }
            Err(Stop::Record(fault)) => Done::Failed(fault),
            Err(Stop::Batch(trouble)) => return Err(trouble),
        };
        Ok((work, done))
    }

    /// Announces what is about to be done, but for what an earlier try has announced.
    fn announce(
        &self,
        batch: &UndoBatch<'_>,
        works: &mut [Work],
        images: &mut Images<'_>,
    ) -> Result<(), Trouble> {
        let mut new: Vec<&mut Work> = works.iter_mut().filter(|work| work.seq == 0).collect();
        let change = |work: &&mut Work| -> Result<Change> {
            let image = |item: &Option<Item>| item.as_ref().map(to_image).transpose();
            let hash = work.new.as_ref().map(digest);
            Ok(made(batch, work.place, image(&work.now)?, image(&work.new)?, hash))
        };
        let mut changes = new.iter().map(change).collect::<Result<Vec<Change>>>()?;
        if !changes.is_empty() {
            images(&mut changes)?;
        }
        for (work, change) in new.iter_mut().zip(&changes) {
            work.seq = change.seq;
        }
        Ok(())
    }

    async fn try_undo(&self, batch: &UndoBatch<'_>, images: &mut Images<'_>) -> Result<Undone, Trouble> {
        let how = How { retries: batch.retries, progress: batch.progress };
        let (mut undone, mut works) = (Undone::default(), Vec::new());
        for case in self.cases(how, batch, &mut undone).await? {
            works.extend(self.work(case, batch, &mut undone)?);
        }
        if batch.guard.policy == OnConflict::Abort && !undone.conflicts.is_empty() && batch.earlier.is_empty()
        {
            return Err(Trouble::Fatal(aborted(batch, &undone)));
        }
        self.announce(batch, &mut works, images)?;
        fault::point("rollback.images-kept");
        let mut seqs: Vec<u64> = undone.made.drain(..).map(|(seq, _)| seq).collect();
        let (removals, others): (Vec<Work>, Vec<Work>) =
            works.into_iter().partition(|work| matches!(work.step, Step::Remove { .. }));
        for works in [&others, &removals] {
            for (work, done) in
                side_by_side(REQUESTS, works, async |work| self.write(how, work).await).await?
            {
                match done {
                    Done::Written => {
                        self.count(&work.step, work.new.as_ref(), &mut undone);
                        seqs.push(work.seq);
                    }
                    Done::Gone => undone.noop += 1,
                    Done::Conflict(conflict) => undone.conflicts.push((work.place, conflict)),
                    Done::Failed(fault) => undone.faults.push((work.place, fault)),
                }
            }
        }
        undone.made = ranges(seqs);
        undone.conflicts.sort_by_key(|(place, _)| *place);
        undone.faults.sort_by_key(|(place, _)| *place);
        Ok(undone)
    }
}

impl UndoSession for Session<'_> {
    fn look(&mut self, keys: &[&Image]) -> Result<Vec<Option<Image>>, Trouble> {
        let link = &self.target.link;
        let keys = keys.iter().map(|key| from_image(key)).collect::<Result<Vec<Item>>>()?;
        let progress = Progress::default();
        let how = How { retries: Retries::default(), progress: &progress };
        let found = block_on(link.find(how, &keys))?;
        if let Some(fault) = found.faults.into_values().next() {
            let what = format!("{}: an item cannot be read: {}", self.target.fingerprint, fault.message);
            return Err(Trouble::Fatal(Error::failed(what).help("run the same command again")));
        }
        let image = |key: &Item| found.items.get(&link.key_text(key)).map(to_image).transpose();
        Ok(keys.iter().map(image).collect::<Result<_>>()?)
    }

    fn undo(&mut self, batch: &UndoBatch<'_>, images: &mut Images<'_>) -> Result<Undone, Trouble> {
        block_on(self.try_undo(batch, images))
    }
}
