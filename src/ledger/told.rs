//! How far a run is, kept in the ledger by the running process, so that `recon status` can say it from another terminal.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::{Ledger, now};
use crate::error::{Context, Result};
use crate::event::{Progress, get};
use crate::query::ledger as sql;

/// A run that is over sooner has nobody who asks.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const PAUSE: Duration = Duration::from_secs(1);

/// The counters of a run at some moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HowFar {
    /// Units that are done.
    pub units_done: u64,
    /// Units to do.
    pub units_total: u64,
    /// Input bytes read.
    pub bytes_done: u64,
    /// Input bytes to read; 0 where that is not known.
    pub bytes_total: u64,
    /// Rows staged or compared.
    pub rows: u64,
    /// Rows that did not parse.
    pub failures: u64,
    /// When that was, RFC 3339, UTC.
    pub at: String,
    /// Records that are to be written; 0 where nothing is.
    pub planned: u64,
    /// How often something was tried again.
    pub retries: u64,
    /// Rows among `rows` that an earlier process of the same run wrote.
    pub rows_before: u64,
    /// Since when this process is at it, RFC 3339, UTC.
    pub began_at: Option<String>,
}

/// Keeps a run's counters in the ledger, about every second, until dropped.
pub struct Told {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Told {
    /// Begins to tell. It has a connection of its own: who works does not wait for it, and what it writes need not be durable.
    ///
    /// # Errors
    /// A thread that cannot be started.
    pub fn start(ledger: &Ledger, run_id: &str, progress: &Arc<Progress>) -> Result<Self> {
        let (stop, stopped) = channel();
        let (path, run_id, progress) =
            (ledger.home().join("ledger.db"), run_id.to_owned(), Arc::clone(progress));
        let thread = std::thread::Builder::new()
            .name("progress".to_owned())
            // A full disk is for the work to report, not for this.
            .spawn(move || drop(tell(&path, &run_id, &progress, &stopped)))
            .or_failed(|| "cannot start a thread".to_owned())?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn tell(path: &Path, run_id: &str, progress: &Progress, stopped: &Receiver<()>) -> rusqlite::Result<()> {
    let (mut pause, mut over, began_at) = (FIRST_PAUSE, false, now());
    let mut conn: Option<Connection> = None;
    while !over {
        over = stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout);
        // Nobody saw how far a short run was.
        if over && conn.is_none() {
            break;
        }
        pause = PAUSE;
        let conn = match &mut conn {
            Some(conn) => conn,
            none => {
                let opened = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
                opened.busy_timeout(PAUSE)?;
                opened.execute_batch("pragma synchronous = off;")?;
                none.insert(opened)
            }
        };
        let count = |counter| get(counter) as i64;
        let row = params![
            run_id,
            count(&progress.units_done),
            count(&progress.units_total),
            count(&progress.bytes_done),
            count(&progress.bytes_total),
            count(&progress.rows_done),
            count(&progress.failures),
            now(),
            count(&progress.rows_planned),
            count(&progress.retries),
            count(&progress.rows_before),
            began_at
        ];
        // The next one may succeed.
        let _ = conn.execute(sql::INSERT_PROGRESS, row);
    }
    Ok(())
}

impl Ledger {
    /// How far a run is, or was when it last said so.
    ///
    /// # Errors
    /// A ledger that cannot be read.
    pub fn how_far(&self, run_id: &str) -> Result<Option<HowFar>> {
        self.with(|conn| {
            conn.query_row(sql::PROGRESS, [run_id], |row| {
                let count = |i: usize| row.get::<_, i64>(i).map(|n| n as u64);
                Ok(HowFar {
                    units_done: count(0)?,
                    units_total: count(1)?,
                    bytes_done: count(2)?,
                    bytes_total: count(3)?,
                    rows: count(4)?,
                    failures: count(5)?,
                    at: row.get(6)?,
                    planned: count(7)?,
                    retries: count(8)?,
                    rows_before: count(9)?,
                    began_at: row.get(10)?,
                })
            })
            .optional()
        })
    }
}
