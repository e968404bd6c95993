//! MySQL and MariaDB: a table, a view or a query.
//!
//! Sessions that began under one short read lock see one moment; each reads a range of the primary key in the text protocol, in
//! which every value but a FLOAT is exact. The driver is `mysql`: sqlx reads zero dates as NULL and does not give the bytes.

mod decode;
mod literal;
mod sums;

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex};

use mysql::consts::ColumnFlags;
use mysql::consts::ColumnType as Wire;
use mysql::prelude::Queryable;
use mysql::{Conn, Value as Raw};
use xxhash_rust::xxh3::Xxh3;

use self::decode::append;
use super::changed::Summing;
use super::input::Digests;
use super::sink::{PartColumn, UnitSink, columns_of};
use super::table::{CellFault, Range, TableBuilder, no_table, schema, units};
use super::{Keys, Source, Stamp, Unit};
use crate::error::Result;
use crate::event;
use crate::spec::{SqlOptions, What};
use crate::store::Purpose;
use crate::store::mysql::{Server, quoted};
use crate::store::table::{TableColumn, TableFacts};
use crate::value::Value;
use crate::value::column::ColumnType;

/// Sessions that read at the same time, where the server lets them see one moment.
const SESSIONS_MAX: usize = 4;
/// About so many rows are one range.
const RANGE_ROWS: u64 = 262_144;
/// Keys that are looked up at a time.
const KEYS_AT_ONCE: usize = 1_000;
/// Rows between two looks at whether somebody wants to stop.
const ROWS_BETWEEN_CHECKS: u64 = 10_000;
/// The number of the collation of bytes (`SELECT id FROM information_schema.collations WHERE collation_name = 'binary'`).
const BINARY: u16 = 63;

/// Opens a dataset: connects, finds out what is read, and takes the moment as of which all of it is.
///
/// # Errors
/// A server that cannot be reached; a table that is not there or may not be read; a query that does not run.
pub(crate) fn open(options: &SqlOptions) -> Result<Box<dyn Source>> {
    let server = Server::new(&options.url, Purpose::Read)?;
    let mut session = server.connect()?;
    let relation = Relation::find(&server, &mut session, &options.what)?;
    let sessions = Sessions::begin(&server, session, &relation)?;
    Ok(Box::new(MysqlSource { server, relation, sessions }))
}

/// What is read, looked up once.
#[derive(Clone)]
struct Relation {
    shown: String,
    facts: TableFacts,
    /// How each column is selected.
    selected: Vec<Selected>,
    from: String,
    /// Whether it can be locked for the moment in which the sessions begin.
    is_table: bool,
    /// Its engine, where that has no transactions.
    without_moment: Option<String>,
    ranges: Vec<Range>,
}

/// How a column is selected.
#[derive(Clone)]
struct Selected {
    sql: String,
    /// Whether it gives [`NO_TEXT`] in the place of bytes that are no text.
    is_checked: bool,
}

/// A byte that is in no UTF-8: what a column whose bytes are no text of its character set is read as. The server would give a
/// question mark for each, and different values would be the same.
const NO_TEXT: &str = "0xff";

/// What the server says of the columns of a select list.
fn probe(session: &mut Conn, list: &str, from: &str) -> mysql::Result<Vec<mysql::Column>> {
    let probe = session.query_iter(format!("select {list} from {from} limit 0"))?;
    Ok(probe.columns().as_ref().to_vec())
}

impl Relation {
    fn find(server: &Server, session: &mut Conn, what: &What) -> Result<Self> {
        let (shown, from) = match what {
            What::Table(name) => {
                let parts: Vec<String> = name.parts.iter().map(|part| quoted(&part.text)).collect();
                (name.to_string(), parts.join("."))
            }
            What::Query(sql) => ("the query".to_owned(), format!("({sql}\n) as recon_query")),
        };
        let fail = |e: mysql::Error| match (&e, what) {
            (mysql::Error::MySqlError(refused), What::Table(name)) if refused.code == 1146 => {
                no_table(&server.shown, &name.to_string(), &name.table().text, &session_names(server))
            }
            _ => server.failed(&format!("cannot read {shown}"), e),
        };
        let mut wires = probe(session, "*", &from).map_err(fail)?;
        let mut known = Known::default();
        if let What::Table(name) = what {
            let database = name.parts.iter().rev().nth(1).map(|part| part.text.clone());
            known = Known::look(session, database.as_deref(), &name.table().text)
                .map_err(|e| server.failed(&format!("cannot look {shown} up"), e))?;
        }
        let seen = |wires: &[mysql::Column], name: &String| wires.iter().any(|wire| wire.name_str() == *name);
        let names = known.columns.iter().map(|(name, _)| name);
        let hidden: Vec<String> = names.filter(|name| !seen(&wires, name)).map(|name| quoted(name)).collect();
        if !hidden.is_empty() {
            wires.extend(probe(session, &hidden.join(", "), &from).map_err(fail)?);
        }
        let described = wires.iter().map(|wire| {
            let name = wire.name_str().into_owned();
            let charset =
                known.columns.iter().find(|(column, _)| *column == name).and_then(|(_, c)| c.as_deref());
            column(wire, &name, known.json.contains(&name), charset)
        });
        let (columns, selected) = described.unzip();
        let facts = TableFacts { columns, key: known.key, rows: known.rows, ..TableFacts::default() };
        let (is_table, without_moment) = (known.is_table, known.without_moment);
        let (mut relation, size) = (
            Self {
                shown: shown.clone(),
                facts,
                selected,
                from: from.clone(),
                is_table,
                without_moment,
                ranges: Vec::new(),
            },
            known.bytes,
        );
        relation.ranges = relation
            .key_ranges(session, size)
            .map_err(|e| server.failed(&format!("cannot look {shown} up"), e))?;
        Ok(relation)
    }

    fn select_list(&self) -> String {
        self.selected.iter().map(|column| column.sql.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Ranges of the primary key, where that is one integer. The grid depends on the table's size only by powers of two, and
    /// the outer ranges have no end, so that a table that grew keeps most of them.
    fn key_ranges(&self, session: &mut Conn, size: u64) -> mysql::Result<Vec<Range>> {
        let whole =
            vec![Range { name: self.shown.clone(), from: self.from.clone(), bytes: size, file: None }];
        let [key] = self.facts.key.as_slice() else { return Ok(whole) };
        let is_int =
            |c: &TableColumn| c.name == *key && matches!(c.ty, ColumnType::Int | ColumnType::UnsignedInt);
        let rows = self.facts.rows.unwrap_or(0);
        if !self.facts.columns.iter().any(is_int) || rows < 2 * RANGE_ROWS {
            return Ok(whole);
        }
        let key = quoted(key);
        let ends: Option<(Option<i128>, Option<i128>)> = session
            .query_first::<(Option<String>, Option<String>), _>(format!(
                "select cast(min({key}) as char), cast(max({key}) as char) from {}",
                self.from
            ))?
            .map(|(min, max)| (min.and_then(|t| t.parse().ok()), max.and_then(|t| t.parse().ok())));
        let Some((Some(min), Some(max))) = ends else { return Ok(whole) };
        let width =
            ((max - min + 1) as u128 / u128::from(rows / RANGE_ROWS)).max(1).next_power_of_two() as i128;
        let (first, last) = (min.div_euclid(width), max.div_euclid(width));
        let ranges = (first..=last).map(|i| {
            let (from, to) = (i * width, (i + 1) * width);
            let (mut name, mut conditions) = (format!("{} {key} ", self.shown), Vec::new());
            if i > first {
                conditions.push(format!("{key} >= {from}"));
                name.push_str(&from.to_string());
            }
            name.push_str("..");
            if i < last {
                conditions.push(format!("{key} < {to}"));
                name.push_str(&to.to_string());
            }
            let condition = if conditions.is_empty() { "true".to_owned() } else { conditions.join(" and ") };
            let from = format!("{} where {condition}", self.from);
            Range { name, from, bytes: size / (last - first + 1) as u64, file: None }
        });
        Ok(ranges.collect())
    }
}

/// What the information schema knows of a table.
#[derive(Default)]
struct Known {
    key: Vec<String>,
    rows: Option<u64>,
    bytes: u64,
    is_table: bool,
    /// Columns that MariaDB has as text and that were declared JSON.
    json: Vec<String>,
    /// All columns with their character sets, those among them that `*` leaves out.
    columns: Vec<(String, Option<String>)>,
    /// Its engine, where that has no transactions.
    without_moment: Option<String>,
}

impl Known {
    fn look(session: &mut Conn, database: Option<&str>, table: &str) -> mysql::Result<Self> {
        let schema = database.map_or("database()".to_owned(), literal::text);
        let table = literal::text(table);
        let mut known = Self::default();
        let found: Option<(String, Option<u64>, Option<u64>)> = session.query_first(format!(
            "select table_type, table_rows, data_length from information_schema.tables where table_schema = {schema} and table_name = {table}"
        ))?;
        if let Some((kind, rows, bytes)) = found {
            (known.is_table, known.rows, known.bytes) = (kind == "BASE TABLE", rows, bytes.unwrap_or(0));
        }
        known.columns = session.query(format!(
            "select column_name, character_set_name from information_schema.columns where table_schema = {schema} and table_name = {table} \
             order by ordinal_position"
        ))?;
        known.without_moment = session.query_first(format!(
            "select t.engine from information_schema.tables t join information_schema.engines e on e.engine = t.engine \
             where t.table_schema = {schema} and t.table_name = {table} and e.transactions <> 'YES'"
        ))?;
        known.key = session.query(format!(
            "select column_name from information_schema.statistics where table_schema = {schema} and table_name = {table} \
             and index_name = 'PRIMARY' order by seq_in_index"
        ))?;
        // MariaDB's JSON is LONGTEXT with a constraint; MySQL has no such column in this view.
        let checks: Vec<String> = session
            .query(format!(
                "select check_clause from information_schema.check_constraints where constraint_schema = {schema} and table_name = {table}"
            ))
            .unwrap_or_default();
        known.json = checks
            .iter()
            .filter_map(|clause| clause.strip_prefix("json_valid(`")?.strip_suffix("`)"))
            .map(|name| name.replace("``", "`"))
            .collect();
        Ok(known)
    }
}

fn session_names(server: &Server) -> Vec<String> {
    let list = |mut session: Conn| session.query("show tables").unwrap_or_default();
    server.connect().map(list).unwrap_or_default()
}

/// A column's type by what the server says of it, and how it is selected.
fn column(wire: &mysql::Column, name: &str, is_json: bool, charset: Option<&str>) -> (TableColumn, Selected) {
    let (unsigned, binary) =
        (wire.flags().contains(ColumnFlags::UNSIGNED_FLAG), wire.character_set() == BINARY);
    let quoted = quoted(name);
    let (mut sql, mut remark) = (quoted.clone(), None);
    let ty = match wire.column_type() {
        Wire::MYSQL_TYPE_TINY if wire.column_length() == 1 => ColumnType::BoolInt,
        Wire::MYSQL_TYPE_LONGLONG if unsigned => ColumnType::UnsignedInt,
        Wire::MYSQL_TYPE_TINY
        | Wire::MYSQL_TYPE_SHORT
        | Wire::MYSQL_TYPE_INT24
        | Wire::MYSQL_TYPE_LONG
        | Wire::MYSQL_TYPE_LONGLONG
        | Wire::MYSQL_TYPE_YEAR => ColumnType::Int,
        Wire::MYSQL_TYPE_DECIMAL | Wire::MYSQL_TYPE_NEWDECIMAL => ColumnType::Number,
        Wire::MYSQL_TYPE_FLOAT => {
            // As text a FLOAT has six digits; as a DOUBLE it has all of its own.
            sql = format!("({quoted} + 0e0)");
            ColumnType::Float32
        }
        Wire::MYSQL_TYPE_DOUBLE => ColumnType::Float64,
        Wire::MYSQL_TYPE_DATE | Wire::MYSQL_TYPE_NEWDATE => ColumnType::Date,
        Wire::MYSQL_TYPE_TIMESTAMP | Wire::MYSQL_TYPE_TIMESTAMP2 => ColumnType::Timestamp { zoned: true },
        Wire::MYSQL_TYPE_DATETIME | Wire::MYSQL_TYPE_DATETIME2 => ColumnType::Timestamp { zoned: false },
        Wire::MYSQL_TYPE_TIME | Wire::MYSQL_TYPE_TIME2 => ColumnType::LongTime,
        Wire::MYSQL_TYPE_BIT => {
            sql = format!("lpad(bin({quoted}), {}, '0')", wire.column_length());
            ColumnType::Text
        }
        Wire::MYSQL_TYPE_JSON => ColumnType::Json,
        Wire::MYSQL_TYPE_GEOMETRY => {
            remark = Some("a geometry is compared as its reference system and well-known text".to_owned());
            sql = format!("concat('SRID=', st_srid({quoted}), ';', st_astext({quoted}))");
            ColumnType::Text
        }
        Wire::MYSQL_TYPE_NULL => ColumnType::Text,
        _ if is_json => ColumnType::Json,
        _ if binary => ColumnType::Bytes,
        _ => ColumnType::Text,
    };
    // In these every byte is a text's, or the server looks at what it stores.
    let is_checked = ty == ColumnType::Text
        && sql == quoted
        && charset.is_some_and(|set| !["utf8mb4", "utf8mb3", "utf8", "latin1"].contains(&set));
    if let Some(set) = charset.filter(|_| is_checked) {
        let text = format!("convert({quoted} using utf8mb4)");
        // Bytes that come back as they were are a text's; so are those that the server has a sign of its own for.
        sql = format!(
            "if(cast(convert({text} using {set}) as binary) <=> cast({quoted} as binary) \
             or (locate('?', {text}) = 0 and locate(_utf8mb4 0xefbfbd, {text}) = 0), cast({text} as binary), {NO_TEXT})"
        );
    }
    (TableColumn { name: name.to_owned(), ty, remark }, Selected { sql, is_checked })
}

/// Sessions in read transactions of one moment, taken in turn.
struct Sessions {
    idle: Mutex<Vec<Conn>>,
    returned: Condvar,
    stamp: String,
}

impl Sessions {
    /// Begins several sessions while the table is locked against writing for an instant. Where it cannot be locked, one session
    /// reads everything.
    fn begin(server: &Server, mut first: Conn, relation: &Relation) -> Result<Self> {
        let fail = |e| server.failed("cannot begin to read", e);
        let start = "start transaction with consistent snapshot, read only";
        let wanted = SESSIONS_MAX.min(relation.ranges.len());
        let mut idle = Vec::new();
        let locked = wanted > 1
            && relation.is_table
            && first.query_drop(format!("lock tables {} read", relation.from)).is_ok();
        if locked {
            for _ in 0..wanted {
                let mut session = server.connect()?;
                session.query_drop(start).map_err(fail)?;
                idle.push(session);
            }
            first.query_drop("unlock tables").map_err(fail)?;
        } else {
            first.query_drop(start).map_err(fail)?;
            idle.push(first);
        }
        let at: Option<String> = idle[0].query_first("select cast(now(6) as char)").map_err(fail)?;
        let stamp = format!("{} {}", at.unwrap_or_default(), crate::ledger::random_id());
        Ok(Self { idle: Mutex::new(idle), returned: Condvar::new(), stamp })
    }

    fn take(&self) -> Conn {
        let mut idle = self.idle.lock().expect("nobody panics while taking a session");
        loop {
            if let Some(session) = idle.pop() {
                return session;
            }
            idle = self.returned.wait(idle).expect("nobody panics while taking a session");
        }
    }

    fn give_back(&self, session: Conn) {
        self.idle.lock().expect("nobody panics while taking a session").push(session);
        self.returned.notify_one();
    }
}

struct MysqlSource {
    server: Server,
    relation: Relation,
    sessions: Sessions,
}

impl Source for MysqlSource {
    fn units(&self) -> Result<(Vec<Unit>, Vec<String>)> {
        let (units, mut remarks) = units(&self.relation.ranges, &self.sessions.stamp, &self.relation.facts);
        remarks.extend(self.relation.without_moment.as_ref().map(|engine| {
            format!(
                "not one moment: a table of {engine} has no transactions, and may change while it is read"
            )
        }));
        Ok((units, remarks))
    }

    fn read(&self, unit: &Unit, sink: &UnitSink, _workers: usize) -> Result<Digests> {
        let range = Range::of_unit(&self.relation.ranges, unit, &self.relation.shown)?;
        let mut session = self.sessions.take();
        let read = self.rows(&mut session, range, sink);
        // Also one that broke: whoever waits for it then learns so.
        self.sessions.give_back(session);
        read
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
        let columns = &self.relation.facts.columns;
        let place = |name: &String| columns.iter().position(|column| column.name == *name);
        let Some(places) = keys.columns.iter().map(place).collect::<Option<Vec<usize>>>() else {
            return Ok(None);
        };
        let selected: Vec<&str> =
            places.iter().map(|place| self.relation.selected[*place].sql.as_str()).collect();
        let mut ranges = Vec::new();
        for (i, chunk) in keys.values.chunks(KEYS_AT_ONCE).enumerate() {
            let row = |values: &Vec<Value<'_>>| {
                let literals =
                    values.iter().zip(&places).map(|(value, place)| literal::of(value, &columns[*place].ty));
                Some(format!("({})", literals.collect::<Option<Vec<String>>>()?.join(", ")))
            };
            let Some(rows) = chunk.iter().map(row).collect::<Option<Vec<String>>>() else { return Ok(None) };
            let condition = format!("({}) in ({})", selected.join(", "), rows.join(", "));
            let from = format!("{} where {condition}", self.relation.from);
            ranges.push(Range {
                name: format!("{} keys {i}", self.relation.shown),
                from,
                bytes: 0,
                file: None,
            });
        }
        let relation = Relation { ranges, is_table: false, ..self.relation.clone() };
        let sessions = Sessions::begin(&self.server, self.server.connect()?, &relation)?;
        Ok(Some(Box::new(Self { server: self.server.clone(), relation, sessions })))
    }
}

impl MysqlSource {
    fn rows(&self, session: &mut Conn, range: &Range, sink: &UnitSink) -> Result<Digests> {
        let fail = |e| self.server.failed(&format!("reading {} failed", range.name), e);
        let columns = &self.relation.facts.columns;
        let mut builder = TableBuilder::new(schema(columns), sink);
        let (mut bytes, mut count, mut digest) = (0u64, 0u64, Xxh3::new());
        let rows = session
            .query_iter(format!("select {} from {}", self.relation.select_list(), range.from))
            .map_err(fail)?;
        for row in rows {
            let values = row.map_err(fail)?.unwrap();
            let (mut size, mut fault) = (0, None);
            for (i, (value, to)) in values.iter().zip(builder.columns()).enumerate() {
                let Raw::Bytes(value) = value else {
                    digest.update(&[0]);
                    to.null();
                    continue;
                };
                digest.update(&(value.len() as u64 + 1).to_le_bytes());
                digest.update(value);
                size += value.len();
                if let Err(message) = append(value, &columns[i].ty, to) {
                    to.null();
                    fault.get_or_insert(CellFault { column: i, message });
                }
            }
            builder.end_row(size, fault, || cells(&values, columns))?;
            bytes += size as u64;
            count += 1;
            event::add(&sink.progress().bytes_done, size as u64);
            if count % ROWS_BETWEEN_CHECKS == 0 {
                sink.progress().check()?;
            }
        }
        builder.finish()?;
        Ok(Digests { bytes, xxh3: format!("{:032x}", digest.digest128()), md5: None, next: None })
    }
}

/// What can be read of a row that failed, as text.
fn cells(values: &[Raw], columns: &[TableColumn]) -> BTreeMap<String, Option<String>> {
    let text = |value: &Raw| match value {
        Raw::Bytes(bytes) => String::from_utf8(bytes.clone()).ok().map(Some),
        _ => Some(None),
    };
    values.iter().zip(columns).filter_map(|(v, column)| Some((column.name.clone(), text(v)?))).collect()
}
