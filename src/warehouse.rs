//! The warehouse: the engine over staged rows, and the only owner of DuckDB. Everything in it can be rebuilt from the ledger
//! and the Parquet parts.

use std::path::{Path, PathBuf};

use arrow::record_batch::RecordBatch;
use duckdb::{Config, Connection};

use crate::error::{Context, Error, Result};

/// The DuckDB version that recon is built with and tested against.
pub const DUCKDB_VERSION: &str = "v1.5.6";

/// An open engine. Connections made by [`Warehouse::another`] share its memory limit and threads.
pub struct Warehouse {
    conn: Connection,
    path: PathBuf,
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
        let warehouse = Self { conn, path };
        let spill = crate::query::literal(&home.join("tmp").display().to_string());
        warehouse.execute(&format!("set temp_directory = {spill}"))?;
        Ok(warehouse)
    }

    /// An engine in memory, for looking at files without a home.
    ///
    /// # Errors
    /// Memory that cannot be had.
    pub fn in_memory(threads: usize, memory_bytes: u64) -> Result<Self> {
        let config = config(threads, memory_bytes).or_failed(|| "cannot start DuckDB".to_owned())?;
        let conn =
            Connection::open_in_memory_with_flags(config).or_failed(|| "cannot start DuckDB".to_owned())?;
        Ok(Self { conn, path: PathBuf::from(":memory:") })
    }

    /// Another connection to the same engine, for another thread.
    ///
    /// # Errors
    /// Memory that cannot be had.
    pub fn another(&self) -> Result<Self> {
        let conn = self.conn.try_clone().or_failed(|| "cannot open another connection".to_owned())?;
        Ok(Self { conn, path: self.path.clone() })
    }

    /// Runs statements.
    ///
    /// # Errors
    /// What DuckDB says, with the statement's first line.
    pub fn execute(&self, sql: &str) -> Result<()> {
        self.conn.execute_batch(sql).or_failed(|| self.failed(sql))
    }

    fn failed(&self, sql: &str) -> String {
        let first =
            sql.lines().find(|line| !line.trim().is_empty() && !line.starts_with("--")).unwrap_or_default();
        format!(
            "DuckDB failed at `{}` ({})",
            first.trim().chars().take(120).collect::<String>(),
            self.path.display()
        )
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
        let mut statement = self.conn.prepare(sql).or_failed(|| self.failed(sql))?;
        let mut rows = statement.query([]).or_failed(|| self.failed(sql))?;
        let mut out = Vec::new();
        while let Some(row) = rows.next().or_failed(|| self.failed(sql))? {
            let width = row.as_ref().column_count();
            out.push(
                (0..width).map(|i| cell(row, i)).collect::<Result<_, _>>().or_failed(|| self.failed(sql))?,
            );
        }
        Ok(out)
    }

    /// The columns of a query, without running it.
    ///
    /// # Errors
    /// What DuckDB says of the query; the caller knows whose words it holds.
    pub fn describe(&self, query: &str) -> Result<Vec<ColumnInfo>, String> {
        let mut statement = self.conn.prepare(&format!("describe {query}")).map_err(|e| e.to_string())?;
        let rows = statement.query_map([], |row| Ok(ColumnInfo { name: row.get(0)?, ty: row.get(1)? }));
        rows.and_then(Iterator::collect).map_err(|e| e.to_string())
    }

    /// The Arrow schema of a query that returns nothing.
    ///
    /// # Errors
    /// What DuckDB says.
    pub fn schema_of(&self, sql: &str) -> Result<arrow::datatypes::SchemaRef> {
        let mut statement = self.conn.prepare(sql).or_failed(|| self.failed(sql))?;
        let schema = statement.query_arrow([]).or_failed(|| self.failed(sql))?.get_schema();
        Ok(schema)
    }

    /// Streams a query's batches into `each`; never holds more than one batch.
    ///
    /// # Errors
    /// What DuckDB says while it runs, and whatever `each` returns.
    pub fn stream(&self, sql: &str, mut each: impl FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        let mut statement = self.conn.prepare(sql).or_failed(|| self.failed(sql))?;
        // The iterator of the library panics where DuckDB fails while running; stepping by hand returns the error.
        drop(statement.stream_arrow([]).or_failed(|| self.failed(sql))?);
        while let Some(batch) = statement.step().or_failed(|| self.failed(sql))? {
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
