//! PostgreSQL (12 and later): a table, a view or a query.
//!
//! All of it is read as of one moment: a session holds a snapshot open and exports it, and each range of blocks is copied out
//! in binary (`COPY … TO STDOUT`) by a session that took this snapshot over. `table.rs` finds out
//! what is read, `decode.rs` knows the binary formats.

mod decode;
mod literal;
mod sums;
mod table;

use std::collections::BTreeMap;
use std::sync::Mutex;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor, Row};
use xxhash_rust::xxh3::Xxh3;

use self::decode::Decoder;
use self::table::{Relation, find};
use super::changed::Summing;
use super::input::Digests;
use super::sink::{PartColumn, UnitSink, columns_of};
use super::table::{CellFault, Range, TableBuilder, schema, units};
use super::{Keys, Source, Stamp, Unit};
use crate::error::{Error, Result};
use crate::event;
use crate::query::{self, identifier};
use crate::spec::SqlOptions;
use crate::store::Purpose;
use crate::store::net::block_on;
use crate::store::postgres::Server;
use crate::store::table::TableFacts;
use crate::value::Value;

/// Keys that are looked up at a time.
const KEYS_AT_ONCE: usize = 1_000;
/// The signature with which a binary copy begins (PostgreSQL's documentation of COPY).
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// Opens a dataset: connects and takes the snapshot as of which all of it is read.
///
/// # Errors
/// A server that cannot be reached; a table that is not there or may not be read.
pub(crate) fn open(options: &SqlOptions) -> Result<Box<dyn Source>> {
    let server = Server::new(&options.url, Purpose::Read)?;
    let begun = async {
        let mut connection = begin(&server).await?;
        let relation = find(&server, &mut connection, &options.what).await?;
        lock(&server, &mut connection, &relation).await?;
        let snapshot = Snapshot::take(connection, &server).await?;
        Ok((relation, snapshot))
    };
    let (relation, snapshot) = block_on(server.soon("cannot begin to read", begun))?;
    Ok(Box::new(PostgresSource { server, relation, snapshot }))
}

/// A session in a transaction, each statement of which sees what is there when it begins.
async fn begin(server: &Server) -> Result<PgConnection> {
    let mut connection = server.connect().await?;
    let fail = |e| server.failed("cannot begin to read", e);
    connection.execute("begin isolation level read committed read only").await.map_err(fail)?;
    Ok(connection)
}

/// Keeps tables as they are until the transaction ends, as every query does that reads them: a table that is emptied by TRUNCATE or
/// rewritten looks empty even to snapshots from before, and a snapshot that is taken after this has nothing of that kind to fear.
async fn lock(server: &Server, connection: &mut PgConnection, relation: &Relation) -> Result<()> {
    let sql = format!("select from {} limit 0", relation.from);
    let fail = |e| server.failed(&format!("cannot read {}", relation.shown), e);
    connection.execute(AssertSqlSafe(sql)).await.map_err(fail).map(|_| ())
}

/// One moment of the database, as long as the session that holds it lives.
struct Snapshot {
    /// Its name, by which other sessions take it over; `None` where the server does not export one.
    name: Option<String>,
    /// What tells it from others.
    stamp: String,
    _holder: Mutex<PgConnection>,
}

impl Snapshot {
    async fn take(mut holder: PgConnection, server: &Server) -> Result<Self> {
        let row = holder
            .fetch_one("select pg_export_snapshot() as name, now()::text as at, txid_current_snapshot()::text as seen")
            .await
            .map_err(|e| server.failed("cannot take a snapshot", e))?;
        let get = |column: &str| row.try_get::<String, _>(column).unwrap_or_default();
        let (name, stamp) = (get("name"), format!("{} {}", get("at"), get("seen")));
        Ok(Self { name: Some(name).filter(|n| !n.is_empty()), stamp, _holder: Mutex::new(holder) })
    }
}

struct PostgresSource {
    server: Server,
    relation: Relation,
    snapshot: Snapshot,
}

impl Source for PostgresSource {
    fn units(&self) -> Result<(Vec<Unit>, Vec<String>)> {
        Ok(units(&self.relation.ranges, &self.snapshot.stamp, &self.relation.facts))
    }

    fn read(&self, unit: &Unit, sink: &UnitSink, _workers: usize) -> Result<Digests> {
        let range = Range::of_unit(&self.relation.ranges, unit, &self.relation.shown)?;
        block_on(self.copy(range, sink))
    }

    fn stamp(&self, unit: &Unit) -> Result<Stamp> {
        Ok(unit.stamp.clone())
    }

    fn facts(&self) -> Result<Option<TableFacts>> {
        Ok(Some(self.relation.facts.clone()))
    }

    fn columns(&self) -> Option<Vec<PartColumn>> {
        Some(columns_of(&schema(&self.relation.facts.columns)))
    }

    fn summing(&mut self) -> Option<&mut dyn Summing> {
        Some(self)
    }

    fn only(&self, keys: &Keys) -> Result<Option<Box<dyn Source>>> {
        let columns: Vec<String> = keys.columns.iter().map(|name| identifier(name)).collect();
        let mut ranges = Vec::new();
        for (i, chunk) in keys.values.chunks(KEYS_AT_ONCE).enumerate() {
            let row = |values: &Vec<Value<'_>>| {
                let literals = values.iter().map(literal::of).collect::<Option<Vec<String>>>();
                Some(format!("({})", literals?.join(", ")))
            };
            let Some(rows) = chunk.iter().map(row).collect::<Option<Vec<String>>>() else { return Ok(None) };
            let condition = format!("({}) in ({})", columns.join(", "), rows.join(", "));
            let from = format!("{} where {condition}", self.relation.from);
            ranges.push(Range {
                name: format!("{} keys {i}", self.relation.shown),
                from,
                bytes: 0,
                file: None,
            });
        }
        let relation = Relation { ranges, ..self.relation.clone() };
        let server = self.server.clone();
        let begun = async {
            let mut connection = begin(&server).await?;
            lock(&server, &mut connection, &relation).await?;
            Snapshot::take(connection, &server).await
        };
        let snapshot = block_on(server.soon("cannot begin to read", begun))?;
        Ok(Some(Box::new(Self { server, relation, snapshot })))
    }
}

impl PostgresSource {
    /// A session that sees the snapshot, and its process number.
    async fn session(&self, what: &str) -> Result<(PgConnection, i32)> {
        let fail = |e| self.server.failed(what, e);
        let mut connection = self.server.connect().await?;
        connection.execute("begin isolation level repeatable read read only").await.map_err(fail)?;
        if let Some(name) = &self.snapshot.name {
            let take = format!("set transaction snapshot {}", query::literal(name));
            connection
                .execute(AssertSqlSafe(take))
                .await
                .map_err(|e| self.server.failed(&format!("{what}: the snapshot is gone"), e))?;
        }
        let number = connection.fetch_one("select pg_backend_pid()").await.map_err(fail)?;
        let number = number.try_get(0).map_err(fail)?;
        Ok((connection, number))
    }

    async fn copy(&self, range: &Range, sink: &UnitSink) -> Result<Digests> {
        let what = format!("reading {} failed", range.name);
        let fail = |e| self.server.failed(&what, e);
        let (mut connection, session) = self.server.soon(&what, self.session(&what)).await?;
        let sql =
            format!("copy (select {} from {}) to stdout (format binary)", self.relation.select, range.from);
        let mut rows = Rows::new(&self.relation.decoders, sink, &self.relation.facts);
        {
            let begun = async { connection.copy_out_raw(&sql).await.map_err(fail) };
            let mut stream = self.server.soon(&what, begun).await?;
            while let Some(bytes) = self.server.next(&mut stream, session, sink.progress()).await? {
                rows.push(&bytes.map_err(fail)?).map_err(|e| e.of(&range.name))?;
            }
        }
        let digests = rows.finish().map_err(|e| e.of(&range.name))?;
        // Everything was read: how the session ends is nobody's concern.
        let _ = connection.close().await;
        Ok(digests)
    }
}

/// Tuples of a binary copy on their way to the sink. Messages need not end where tuples do.
struct Rows<'a> {
    decoders: &'a [Decoder],
    facts: &'a TableFacts,
    builder: TableBuilder<'a>,
    sink: &'a UnitSink,
    pending: Vec<u8>,
    scratch: String,
    bytes: u64,
    digest: Xxh3,
    began: bool,
    ended: bool,
}

impl<'a> Rows<'a> {
    fn new(decoders: &'a [Decoder], sink: &'a UnitSink, facts: &'a TableFacts) -> Self {
        Self {
            decoders,
            facts,
            builder: TableBuilder::new(schema(&facts.columns), sink),
            sink,
            pending: Vec::new(),
            scratch: String::new(),
            bytes: 0,
            digest: Xxh3::new(),
            began: false,
            ended: false,
        }
    }

    fn push(&mut self, message: &[u8]) -> Result<()> {
        self.bytes += message.len() as u64;
        self.digest.update(message);
        event::add(&self.sink.progress().bytes_done, message.len() as u64);
        if self.pending.is_empty() {
            let used = self.tuples(message)?;
            self.pending.extend_from_slice(&message[used..]);
        } else {
            let mut all = std::mem::take(&mut self.pending);
            all.extend_from_slice(message);
            let used = self.tuples(&all)?;
            all.drain(..used);
            self.pending = all;
        }
        Ok(())
    }

    /// Takes the whole tuples and says how many bytes they were.
    fn tuples(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut used = 0;
        if !self.began {
            let Some(extension) = bytes.get(SIGNATURE.len() + 4..SIGNATURE.len() + 8) else { return Ok(0) };
            if !bytes.starts_with(SIGNATURE) {
                return Err(Error::failed("the server's copy does not begin as a binary copy"));
            }
            let extension = u32::from_be_bytes(extension.try_into().expect("four bytes")) as usize;
            used = SIGNATURE.len() + 8 + extension;
            if bytes.len() < used {
                return Ok(0);
            }
            self.began = true;
        }
        while let Some(size) = tuple_size(&bytes[used..], self.decoders.len())? {
            if size == 0 {
                self.ended = true;
                return Ok(bytes.len());
            }
            self.tuple(&bytes[used + 2..used + size])?;
            used += size;
        }
        Ok(used)
    }

    fn tuple(&mut self, fields: &[u8]) -> Result<()> {
        let mut fault = None;
        let mut rest = fields;
        for (i, (decoder, cell)) in self.decoders.iter().zip(self.builder.columns()).enumerate() {
            let (length, tail) = rest.split_at(4);
            let length = i32::from_be_bytes(length.try_into().expect("four bytes"));
            let (value, tail) = tail.split_at(usize::try_from(length).unwrap_or(0));
            rest = tail;
            if length < 0 {
                cell.null();
            } else if let Err(message) = decoder.append(value, cell, &mut self.scratch) {
                cell.null();
                fault.get_or_insert(CellFault { column: i, message });
            }
        }
        let (decoders, facts) = (self.decoders, self.facts);
        self.builder.end_row(fields.len(), fault, || cells(decoders, facts, fields))
    }

    fn finish(self) -> Result<Digests> {
        if !self.ended {
            return Err(Error::failed("the copy ended before its end").help("run `recon stage` again"));
        }
        self.builder.finish()?;
        Ok(Digests {
            bytes: self.bytes,
            xxh3: format!("{:032x}", self.digest.digest128()),
            md5: None,
            next: None,
        })
    }
}

/// How long the tuple at the beginning is: `None` if it is not all there, 0 at the copy's end.
fn tuple_size(bytes: &[u8], columns: usize) -> Result<Option<usize>> {
    let Some(count) = bytes.get(..2) else { return Ok(None) };
    let count = i16::from_be_bytes([count[0], count[1]]);
    if count == -1 {
        return Ok(Some(0));
    }
    if usize::try_from(count).ok() != Some(columns) {
        return Err(Error::failed(format!("a row of {count} values where {columns} are expected")));
    }
    let mut at = 2;
    for _ in 0..columns {
        let Some(length) = bytes.get(at..at + 4) else { return Ok(None) };
        let length = i32::from_be_bytes(length.try_into().expect("four bytes"));
        at += 4 + usize::try_from(length).unwrap_or(0);
    }
    Ok((at <= bytes.len()).then_some(at))
}

/// What can be read of a row that failed, as text: a readable key still finds its counterpart.
fn cells(decoders: &[Decoder], facts: &TableFacts, fields: &[u8]) -> BTreeMap<String, Option<String>> {
    let mut cells = BTreeMap::new();
    let mut rest = fields;
    for (decoder, column) in decoders.iter().zip(&facts.columns) {
        let (length, tail) = rest.split_at(4);
        let length = i32::from_be_bytes(length.try_into().expect("four bytes"));
        let (value, tail) = tail.split_at(usize::try_from(length).unwrap_or(0));
        rest = tail;
        if length < 0 {
            cells.insert(column.name.clone(), None);
        } else if let Some(text) = decoder.shown(value) {
            cells.insert(column.name.clone(), Some(text));
        }
    }
    cells
}
