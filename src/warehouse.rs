//! The warehouse: the engine over staged rows, and the only owner of DuckDB. Everything in it can be rebuilt from the ledger
//! and the Parquet parts.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use duckdb::{Config, Connection};

use crate::error::{Context, Error, Result};
use crate::event::{Progress, interrupted};

/// The DuckDB version that recon is built with and tested against.
pub const DUCKDB_VERSION: &str = "v1.5.6";

/// How often it is looked whether somebody asked to stop, while a statement runs.
const STOP_PAUSE: Duration = Duration::from_millis(100);
/// DuckDB's words for a statement that was stopped; the driver keeps no code of it.
const INTERRUPTED: &str = "INTERRUPT Error";

/// An open engine. Connections made by [`Warehouse::another`] share its memory limit and threads.
pub struct Warehouse {
    conn: Connection,
    path: PathBuf,
    /// There as long as this is; who watches on its behalf holds it weakly.
    alive: Arc<()>,
}

/// What an expression or a column is, as DuckDB says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnInfo {
    /// Its name.
    pub name: String,
    /// Its type, as in `DECIMAL(18,4)`.
    pub ty: String,
}

impl Warehouse {
    /// Opens `stage.duckdb` of a home. A file that DuckDB cannot open is made anew, since it holds nothing of its own.
    ///
    /// # Errors
    /// A disk that is full or refuses; a file that another program holds open.
    pub fn open(home: &Path, threads: usize, memory_bytes: u64) -> Result<Self> {
        let path = home.join("stage.duckdb");
        let fail = || format!("cannot open {}", path.display());
        let open = || Connection::open_with_flags(&path, config(threads, memory_bytes)?);
        let conn = match open() {
            Ok(conn) => conn,
            // The whole phrase: what DuckDB says of damaged files speaks of blocks.
            Err(e) if e.to_string().contains("Could not set lock") => {
                return Err(Error::failed(fail()).caused_by(e).help("close the program that has it open"));
            }
            Err(_) => {
                let _ = std::fs::remove_file(&path);
                let _ = std::fs::remove_file(path.with_extension("duckdb.wal"));
                open().or_failed(fail)?
            }
        };
        let warehouse = Self { conn, path, alive: Arc::default() };
        warehouse.spill_to(home)?;
        Ok(warehouse)
    }

    /// Lets the engine write into a home what does not fit into its memory.
    ///
    /// # Errors
    /// What DuckDB says.
    pub fn spill_to(&self, home: &Path) -> Result<()> {
        let spill = crate::query::literal(&home.join("tmp").display().to_string());
        self.execute(&format!("set temp_directory = {spill}"))
    }

    /// Ends the statement under way once somebody asks `progress` to stop, and those that follow it.
    ///
    /// # Errors
    /// A thread that cannot be started.
    pub fn stop_with(&self, progress: &Arc<Progress>) -> Result<()> {
        let (handle, alive) = (self.conn.interrupt_handle(), Arc::downgrade(&self.alive));
        let progress: Weak<Progress> = Arc::downgrade(progress);
        let watch = move || {
            while let (Some(_), Some(progress)) = (alive.upgrade(), progress.upgrade()) {
                if progress.stop_requested() {
                    handle.interrupt();
                }
                std::thread::sleep(STOP_PAUSE);
            }
        };
        let spawned = std::thread::Builder::new().name("stop".to_owned()).spawn(watch);
        spawned.map(|_| ()).or_failed(|| "cannot start a thread".to_owned())
    }

    /// An engine in memory, for looking at files without a home.
    ///
    /// # Errors
    /// Memory that cannot be had.
    pub fn in_memory(threads: usize, memory_bytes: u64) -> Result<Self> {
        let config = config(threads, memory_bytes).or_failed(|| "cannot start DuckDB".to_owned())?;
        let conn =
            Connection::open_in_memory_with_flags(config).or_failed(|| "cannot start DuckDB".to_owned())?;
        Ok(Self { conn, path: PathBuf::from(":memory:"), alive: Arc::default() })
    }

    /// Another connection to the same engine, for another thread.
    ///
    /// # Errors
    /// Memory that cannot be had.
    pub fn another(&self) -> Result<Self> {
        let conn = self.conn.try_clone().or_failed(|| "cannot open another connection".to_owned())?;
        Ok(Self { conn, path: self.path.clone(), alive: Arc::default() })
    }

    /// Runs statements.
    ///
    /// # Errors
    /// What DuckDB says, with the statement's first line.
    pub fn execute(&self, sql: &str) -> Result<()> {
        self.conn.execute_batch(sql).map_err(|e| self.failed(sql, e))
    }

    fn failed(&self, sql: &str, cause: duckdb::Error) -> Error {
        let words = cause.to_string();
        if words.contains(INTERRUPTED) {
            return interrupted();
        }
        let first =
            sql.lines().find(|line| !line.trim().is_empty() && !line.starts_with("--")).unwrap_or_default();
        let first: String = first.trim().chars().take(120).collect();
        let error = Error::failed(format!("DuckDB failed at `{first}` ({})", self.path.display()));
        let error = error.caused_by(cause);
        if words.contains("Out of Memory") { error.help("give more with --memory") } else { error }
    }

    /// The rows of a small result, each cell as a whole number.
    ///
    /// # Errors
    /// What DuckDB says.
    pub fn integers(&self, sql: &str) -> Result<Vec<Vec<Option<i64>>>> {
        self.small(sql, |row, i| row.get::<_, Option<i64>>(i))
    }

    /// The rows of a small result, each cell as text.
    ///
    /// # Errors
    /// What DuckDB says.
    pub fn texts(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        self.small(sql, |row, i| row.get::<_, Option<String>>(i))
    }

    fn small<T>(
        &self,
        sql: &str,
        cell: impl Fn(&duckdb::Row<'_>, usize) -> duckdb::Result<T>,
    ) -> Result<Vec<Vec<T>>> {
        let mut statement = self.conn.prepare(sql).map_err(|e| self.failed(sql, e))?;
        let mut rows = statement.query([]).map_err(|e| self.failed(sql, e))?;
        let mut out = Vec::new();
        while let Some(row) = rows.next().map_err(|e| self.failed(sql, e))? {
            let width = row.as_ref().column_count();
            out.push(
                (0..width)
                    .map(|i| cell(row, i))
                    .collect::<Result<_, _>>()
                    .map_err(|e| self.failed(sql, e))?,
            );
        }
        Ok(out)
    }

    /// The columns of a query, without running it; or what DuckDB says against the query: the caller knows whose words it holds.
    ///
    /// # Errors
    /// An interruption, which is nobody's fault.
    pub fn describe(&self, query: &str) -> Result<Result<Vec<ColumnInfo>, String>> {
        let describe = format!("describe {query}");
        let described = self.conn.prepare(&describe).and_then(|mut statement| {
            let rows =
                statement.query_map([], |row| Ok(ColumnInfo { name: row.get(0)?, ty: row.get(1)? }))?;
            rows.collect::<duckdb::Result<Vec<_>>>()
        });
        match described.map_err(|e| e.to_string()) {
            Err(words) if words.contains(INTERRUPTED) => Err(interrupted()),
            described => Ok(described),
        }
    }

    /// The Arrow schema of a query that returns nothing.
    ///
    /// # Errors
    /// What DuckDB says.
    pub fn schema_of(&self, sql: &str) -> Result<arrow::datatypes::SchemaRef> {
        let mut statement = self.conn.prepare(sql).map_err(|e| self.failed(sql, e))?;
        let schema = statement.query_arrow([]).map_err(|e| self.failed(sql, e))?.get_schema();
        Ok(schema)
    }

    /// Streams a query's batches into `each`; never holds more than one batch.
    ///
    /// # Errors
    /// What DuckDB says while it runs, and whatever `each` returns.
    pub fn stream(&self, sql: &str, mut each: impl FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        let mut statement = self.conn.prepare(sql).map_err(|e| self.failed(sql, e))?;
        // The iterator of the library panics where DuckDB fails while running; stepping by hand returns the error.
        drop(statement.stream_arrow([]).map_err(|e| self.failed(sql, e))?);
        while let Some(batch) = statement.step().map_err(|e| self.failed(sql, e))? {
            each(RecordBatch::from(&batch))?;
        }
        Ok(())
    }
}

fn config(threads: usize, memory_bytes: u64) -> duckdb::Result<Config> {
    Config::default()
        .threads(threads as i64)?
        .max_memory(&format!("{}B", memory_bytes.max(64 << 20)))?
        .enable_autoload_extension(false)?
        .with("autoinstall_known_extensions", "false")?
        .with("allow_community_extensions", "false")?
        .with("preserve_insertion_order", "false")?
        // A file may be written anew under its name while this process runs.
        .with("enable_external_file_cache", "false")?
        .with("arrow_lossless_conversion", "false")
}
