//! A run: batch by batch through the order of writes, by several workers, until all are written or something stops it.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use super::batch::{Loaded, Stamp};
use super::mapped::Mapped;
use super::plan::Plan;
use super::retry::{Attempt, Pace, Retries};
use super::{Batch, Fault, FaultClass, Receipt, Record, Session, Target};
use crate::error::{Error, Result};
use crate::event::{self, Progress, Unit};
use crate::fault;
use crate::ledger::Ledger;
use crate::ledger::manifest::{self, Change, Writer};
use crate::ledger::migration::{Applied, Counts, Exception, Tried};
use crate::mapping::pipeline::spawn_workers;

/// How a run goes about it.
#[derive(Debug)]
pub struct Options {
    /// Batches under way at once.
    pub concurrency: usize,
    /// The run stops once more records than this did not go through since it was begun or gone on with: those of before may be mended.
    pub errors_max: Option<ErrorsMax>,
    /// How often a batch is tried again.
    pub retries: Retries,
    /// How fast records go out.
    pub pace: Pace,
}

/// `--max-errors`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ErrorsMax {
    /// So many records.
    Records(u64),
    /// So many of a hundred that the run sets out to look at.
    Percent(f64),
}

impl ErrorsMax {
    /// Whether so many of all are more.
    pub fn is_passed(self, failed: u64, records: u64) -> bool {
        match self {
            Self::Records(most) => failed > most,
            Self::Percent(most) => failed as f64 * 100.0 > most * records as f64,
        }
    }
}

/// An entity of a run, with all that is needed to write it.
pub struct Job<'a> {
    /// The ledger.
    pub ledger: &'a Ledger,
    /// The run.
    pub run_id: &'a str,
    /// What is written where.
    pub mapped: &'a Mapped<'a>,
    /// The batches.
    pub plan: &'a Plan,
    /// Where to.
    pub target: &'a dyn Target,
    /// Takes old images; `None` where the user asked for none.
    pub manifest: Option<&'a Mutex<Writer>>,
    /// What provenance columns say.
    pub stamp: &'a Stamp,
    /// How it goes about it.
    pub options: &'a Options,
    /// Who wants to know how far it is.
    pub progress: &'a Progress,
}

/// What the workers share.
struct Shared {
    todo: Vec<u64>,
    next: AtomicUsize,
    /// Batches that an earlier process began.
    begun: HashSet<u64>,
    failed: AtomicU64,
    over: AtomicBool,
    /// The changes that were announced for batches which were begun before, of a target that writes in parts.
    earlier: Mutex<HashMap<u64, Vec<Change>>>,
}

impl Job<'_> {
    /// Writes every batch that is not written yet.
    ///
    /// # Errors
    /// An interruption, too many failures, or what stops the run; what was written stays, and the run can be resumed.
    pub fn run(&self) -> Result<()> {
        let begun = self.ledger.batches(self.run_id, &self.mapped.plan.entity.name)?;
        for row in &begun {
            if row.batch >= self.plan.batches() || row.hash != self.plan.hash_of(row.batch) {
                return Err(Error::failed(format!(
                    "run {}: batch {} of the plan is not the one that was begun",
                    self.run_id, row.batch
                ))
                .help("begin anew with --new-run: what was written is found to be there and left as it is"));
            }
        }
        let applied: HashSet<u64> = begun.iter().filter(|row| row.applied).map(|row| row.batch).collect();
        let shared = Shared {
            todo: (0..self.plan.batches()).filter(|batch| !applied.contains(batch)).collect(),
            next: AtomicUsize::new(0),
            begun: begun.iter().map(|row| row.batch).collect(),
            failed: AtomicU64::new(0),
            over: AtomicBool::new(false),
            earlier: Mutex::new(
                self.announced(begun.iter().filter(|row| !row.applied).map(|row| row.batch))?,
            ),
        };
        event::add(&self.progress.units_total, self.plan.batches());
        let earlier = Unit {
            of: self.mapped.plan.entity.name.clone(),
            name: String::new(),
            rows: applied.iter().map(|batch| self.plan.records_of(*batch)).sum(),
            failures: self.failed_before()?,
        };
        self.progress.add_earlier(applied.len() as u64, &earlier);
        let workers = self.options.concurrency.min(shared.todo.len()).max(1);
        spawn_workers(workers, |_| {
            let worked = self.work(&shared);
            if worked.is_err() {
                shared.over.store(true, Ordering::Relaxed);
            }
            worked
        })?;
        Ok(())
    }

    /// What the manifest has of batches of which nobody knows how much of them is there.
    fn announced(&self, batches: impl Iterator<Item = u64>) -> Result<HashMap<u64, Vec<Change>>> {
        let batches: HashSet<u64> = batches.collect();
        match self.manifest.filter(|_| self.target.writes_in_parts() && !batches.is_empty()) {
            Some(manifest) => {
                let manifest = manifest.lock().expect("nobody panics while it writes");
                manifest::changes_of(manifest.folder(), &batches)
            }
            None => Ok(HashMap::new()),
        }
    }

    fn failed_before(&self) -> Result<u64> {
        let entity = &self.mapped.plan.entity.name;
        let all = self.ledger.migrations_of(self.run_id)?;
        let own = all.iter().find(|m| m.entity == *entity);
        Ok(own.map_or(0, |m| m.counts.failed))
    }

    fn work(&self, shared: &Shared) -> Result<()> {
        let mut session = None;
        while !shared.over.load(Ordering::Relaxed)
            && let Some(batch) = shared.todo.get(shared.next.fetch_add(1, Ordering::Relaxed))
        {
            self.progress.check()?;
            let since = Instant::now();
            self.options.pace.take(self.plan.records_of(*batch), self.progress)?;
            event::add_time(&self.progress.paced_ns, since);
            self.write(*batch, &mut session, shared)?;
        }
        Ok(())
    }

    fn write<'s>(
        &'s self,
        number: u64,
        session: &mut Option<Box<dyn Session + 's>>,
        shared: &Shared,
    ) -> Result<()> {
        let began = Instant::now();
        let (data, hash) = (self.plan.read(number)?, self.plan.hash_of(number));
        let loaded = Loaded::new(&data);
        let (records, faults) = loaded.records(self.mapped, self.stamp)?;
        let entity = self.mapped.plan.entity.name.as_str();
        self.ledger.begin_batch((self.run_id, entity), number, loaded.rows() as u64, &hash)?;
        fault::point("migrate.intent");
        event::add_time(&self.progress.own_ns, began);
        let earlier =
            shared.earlier.lock().expect("nobody panics with it").remove(&number).unwrap_or_default();
        let batch = Batch {
            run_id: self.run_id,
            entity,
            number,
            hash: &hash,
            records: &records,
            earlier: &[],
            retries: self.options.retries,
            progress: self.progress,
        };
        let (mut receipt, attempts) = match records.is_empty() {
            true => (Receipt::default(), 1),
            false => self.apply(&batch, (shared.begun.contains(&number), earlier), session)?,
        };
        fault::point("migrate.applied");
        let since = Instant::now();
        let there = std::mem::take(&mut receipt.faults);
        let there =
            there.into_iter().map(|one| (attempts - 1 + receipt.tries.get(&one.0).unwrap_or(&1), one));
        let exceptions = self.exceptions(&loaded, number, faults, there);
        let counts = Counts {
            inserted: receipt.inserted,
            updated: receipt.updated,
            unchanged: receipt.unchanged,
            failed: exceptions.len() as u64,
            ..Counts::default()
        };
        let tried = |row| Tried {
            key_hash: loaded.key_hash(row),
            generation: self.mapped.plan.source.generation,
            pos: loaded.position(row),
        };
        let tried: Vec<Tried> = (0..loaded.rows()).map(tried).collect();
        let done = Applied { counts: &counts, made: &receipt.made, exceptions: &exceptions, tried: &tried };
        self.ledger.apply_batch((self.run_id, entity), number, &done)?;
        fault::point("migrate.batch-done");
        event::add_time(&self.progress.own_ns, since);
        self.tell(number, loaded.rows() as u64, counts.failed);
        let failed = shared.failed.fetch_add(counts.failed, Ordering::Relaxed) + counts.failed;
        match self.options.errors_max.filter(|most| most.is_passed(failed, self.plan.records)) {
            Some(_) => Err(Error::failed(format!(
                "{failed} records did not go through: more than --max-errors allows"
            ))
            .help("look at failures.csv, mend the cause, and run the same command again to go on")),
            None => Ok(()),
        }
    }

    /// Says that a batch was written.
    fn tell(&self, number: u64, rows: u64, failures: u64) {
        event::add(&self.progress.rows_done, rows);
        event::add(&self.progress.failures, failures);
        let of = self.mapped.plan.entity.name.clone();
        self.progress.end_unit(&Unit { of, name: number.to_string(), rows, failures });
    }

    /// Gets a batch into the target, however often that has to be tried; returns how often that was.
    fn apply<'s>(
        &'s self,
        batch: &Batch<'_>,
        (was_begun, earlier): (bool, Vec<Change>),
        session: &mut Option<Box<dyn Session + 's>>,
    ) -> Result<(Receipt, u64)> {
        let attempt = Attempt {
            number: batch.number,
            manifest: self.manifest,
            in_parts: self.target.writes_in_parts(),
            retries: self.options.retries,
            progress: self.progress,
        };
        let tried = attempt.until_taken(
            earlier,
            session,
            || self.target.session(),
            |session, earlier, images| session.apply(&Batch { earlier, ..*batch }, images),
        )?;
        match tried.end {
            Ok(receipt) => Ok((receipt, tried.attempts)),
            // It may be there already, from a try whose end nobody saw: then only its marker can tell.
            Err(error) if was_begun || tried.was_lost => Err(error),
            Err(error) => Ok((all_busy(batch.records, &error), tried.attempts)),
        }
    }

    fn exceptions(
        &self,
        loaded: &Loaded<'_>,
        batch: u64,
        before: Vec<(usize, Fault)>,
        there: impl Iterator<Item = (u64, (usize, Fault))>,
    ) -> Vec<Exception> {
        let of = |attempts: u64, (row, fault): (usize, Fault)| Exception {
            run_id: self.run_id.to_owned(),
            entity: self.mapped.plan.entity.name.clone(),
            batch: Some(batch),
            pos: loaded.position(row),
            generation: self.mapped.plan.source.generation,
            key: loaded.key_text(self.mapped, row),
            key_hash: loaded.key_hash(row),
            stage: "migrate".to_owned(),
            class: fault.class.word().to_owned(),
            code: fault.code,
            column: fault.column,
            message: fault.message,
            attempts,
        };
        let mut all: Vec<Exception> = before.into_iter().map(|one| of(1, one)).collect();
        all.extend(there.map(|(attempts, one)| of(attempts, one)));
        all.sort_by_key(|exception| exception.pos);
        all
    }
}

/// The store was busy with the whole batch each time: every record of it waits for a replay.
fn all_busy(records: &[Record<'_>], error: &Error) -> Receipt {
    let message = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    let fault = Fault { class: FaultClass::Retryable, code: "busy".to_owned(), column: None, message };
    Receipt { faults: records.iter().map(|r| (r.row, fault.clone())).collect(), ..Receipt::default() }
}
