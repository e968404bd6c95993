//! What happens while a command runs, as counters and events: the progress bar, the log and the metrics only listen.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

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
    stop: AtomicBool,
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
