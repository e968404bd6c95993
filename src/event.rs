//! What happens while a command runs, as counters and events: the progress bar, the log and the metrics only listen.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Instant;

use crate::error::{Error, Result};

/// Counters of one run, written by the workers and read by whoever shows them. Each only grows.
#[derive(Debug, Default)]
pub struct Progress {
    /// Units (files, ranges) to do; known once the sides are listed.
    pub units_total: AtomicU64,
    /// Units that are done.
    pub units_done: AtomicU64,
    /// Input bytes to read.
    pub bytes_total: AtomicU64,
    /// Input bytes read, as they lie in the store (compressed where they are).
    pub bytes_done: AtomicU64,
    /// Rows staged or compared.
    pub rows_done: AtomicU64,
    /// Records that are to be written; known once they are planned.
    pub rows_planned: AtomicU64,
    /// How often something was tried again.
    pub retries: AtomicU64,
    /// Rows that did not parse, or records that did not go through.
    pub failures: AtomicU64,
    /// Records among `rows_done` that an earlier process of the same run wrote.
    pub rows_before: AtomicU64,
    /// Nanoseconds that workers spent in the target, over all of them.
    pub target_ns: AtomicU64,
    /// Nanoseconds that workers spent on this machine: reading, casting, old images, the ledger.
    pub own_ns: AtomicU64,
    /// Nanoseconds that workers waited for their turn under `--rate`.
    pub paced_ns: AtomicU64,
    stop: AtomicBool,
    tallies: Mutex<BTreeMap<String, Tally>>,
    listener: Listener,
}

/// A unit (a file, a range, a batch) that came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The entity or dataset that it belongs to.
    pub of: String,
    /// A file's path, a range, or a batch's number.
    pub name: String,
    /// Its rows.
    pub rows: u64,
    /// Those among them that did not parse or go through.
    pub failures: u64,
}

/// What the units of an entity or dataset that came to their end add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rows.
    pub rows: u64,
    /// Those among them that did not parse or go through.
    pub failures: u64,
}

/// What keeps a run that writes from being faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Most time is spent in the target.
    Target,
    /// Most time is spent here.
    Machine,
    /// Most time is spent waiting under `--rate`.
    Rate,
}

impl Limit {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Target => "the target limits",
            Self::Machine => "this machine limits",
            Self::Rate => "--rate limits",
        }
    }
}

/// Who is told of each unit that ends.
#[derive(Default)]
struct Listener(OnceLock<Tell>);

type Tell = Box<dyn Fn(&Unit) + Send + Sync>;

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.get().is_some() { "Listener" } else { "nobody" })
    }
}

impl Progress {
    /// Asks every worker to finish what it is at and return.
    pub fn request_stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked to stop.
    pub fn stop_requested(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Fails when somebody asked to stop; workers call this between steps.
    ///
    /// # Errors
    /// An incomplete run (exit 3).
    pub fn check(&self) -> Result<()> {
        if self.stop_requested() { Err(interrupted()) } else { Ok(()) }
    }

    /// Has `listener` told of each unit that ends, from the worker's own thread: it must return at once. Only the first one is heard.
    pub fn listen(&self, listener: impl Fn(&Unit) + Send + Sync + 'static) {
        // A second listener would be a mistake of ours, and no reason to end a run.
        let _ = self.listener.0.set(Box::new(listener));
    }

    /// Counts a unit that came to its end and tells of it. Its rows and failures count for its tally alone: `rows_done` and `failures`
    /// grow while a unit is worked on.
    pub fn end_unit(&self, unit: &Unit) {
        add(&self.units_done, 1);
        self.tally(unit);
        if let Some(listener) = self.listener.0.get() {
            listener(unit);
        }
    }

    /// Counts what an earlier process of the same run did: `units` units that add up to `all`.
    pub fn add_earlier(&self, units: u64, all: &Unit) {
        add(&self.units_done, units);
        add(&self.rows_done, all.rows);
        add(&self.rows_before, all.rows);
        add(&self.failures, all.failures);
        self.tally(all);
    }

    fn tally(&self, unit: &Unit) {
        let mut tallies = self.tallies.lock().expect("nobody panics while counting");
        let tally = tallies.entry(unit.of.clone()).or_default();
        tally.rows += unit.rows;
        tally.failures += unit.failures;
    }

    /// What was done so far, by entity or dataset.
    pub fn tallies(&self) -> BTreeMap<String, Tally> {
        self.tallies.lock().expect("nobody panics while counting").clone()
    }

    /// What keeps the run from being faster; `None` until something was written.
    pub fn limit(&self) -> Option<Limit> {
        let (target, own, paced) = (get(&self.target_ns), get(&self.own_ns), get(&self.paced_ns));
        match target.max(own).max(paced) {
            0 => None,
            most if most == paced => Some(Limit::Rate),
            most if most == target => Some(Limit::Target),
            _ => Some(Limit::Machine),
        }
    }
}

/// Adds the time since `since` to a counter of nanoseconds.
pub fn add_time(counter: &AtomicU64, since: Instant) {
    add(counter, u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX));
}

/// The error of work that somebody asked to stop.
pub fn interrupted() -> Error {
    Error::incomplete("interrupted; everything finished so far is kept")
        .help("run the same command again to go on from here")
}

/// Says something on stderr, but only once in a process, and not where only errors are wanted.
pub fn warn_once(text: &str) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let is_new = SAID.lock().expect("nobody panics while saying it").insert(text.to_owned());
    if is_new && tracing::enabled!(tracing::Level::WARN) {
        eprintln!("warning: {text}");
    }
}

/// Adds to a counter.
pub fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

/// Reads a counter.
pub fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_side_that_takes_most_time_limits() {
        let progress = Progress::default();
        assert_eq!(progress.limit(), None);
        add(&progress.own_ns, 5);
        assert_eq!(progress.limit(), Some(Limit::Machine));
        add(&progress.target_ns, 6);
        assert_eq!(progress.limit(), Some(Limit::Target));
        add(&progress.paced_ns, 7);
        assert_eq!(progress.limit(), Some(Limit::Rate));
    }

    #[test]
    fn units_add_up_by_what_they_belong_to() {
        let progress = Progress::default();
        let unit =
            |of: &str, rows, failures| Unit { of: of.to_owned(), name: "0".to_owned(), rows, failures };
        progress.add_earlier(3, &unit("a", 30, 2));
        progress.end_unit(&unit("a", 10, 1));
        progress.end_unit(&unit("b", 5, 0));
        assert_eq!((get(&progress.units_done), get(&progress.rows_before)), (5, 30));
        let wanted = [("a", Tally { rows: 40, failures: 3 }), ("b", Tally { rows: 5, failures: 0 })];
        assert_eq!(progress.tallies(), wanted.map(|(of, tally)| (of.to_owned(), tally)).into());
    }
}
