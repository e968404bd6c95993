//! What is read: which columns of which table, how each is selected and decoded, and in which ranges.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Column, Executor, Row, SqlSafeStr, Statement};

use super::decode::Decoder;
use crate::error::{Error, Result};
use crate::query::identifier;
use crate::spec::{TableName, What};
use crate::stage::table::{Range, no_table};
use crate::store::postgres::Server;
use crate::store::table::{TableColumn, TableFacts};
use crate::value::column::ColumnType;

/// Blocks of a range: 64 MiB with PostgreSQL's usual blocks of 8 KiB.
const RANGE_BLOCKS: i64 = 8_192;
/// Earlier servers read the whole table for a range of ctids.
const TID_RANGES_SINCE: u32 = 140_000;

/// What of the server is read, looked up once.
#[derive(Clone, Debug)]
pub(super) struct Relation {
    /// Its name for messages.
    pub(super) shown: String,
    /// What the catalogue says of it.
    pub(super) facts: TableFacts,
    /// The select list.
    pub(super) select: String,
    /// A reader for each column.
    pub(super) decoders: Vec<Decoder>,
    /// Of what type each column's text is, where equal texts of it are equal values.
    pub(super) forms: Vec<Option<String>>,
    /// What follows `from` to read all of it.
    pub(super) from: String,
    /// The ranges in which it is read.
    pub(super) ranges: Vec<Range>,
}

/// A column as it is selected and read.
struct Field {
    column: TableColumn,
    sql: String,
    decoder: Decoder,
    form: Option<String>,
}

/// Looks up what a dataset means.
///
/// # Errors
/// A table that is not there or may not be read; a query that the server refuses (exit 4).
pub(super) async fn find(server: &Server, connection: &mut PgConnection, what: &What) -> Result<Relation> {
    match what {
        What::Table(name) => table(server, connection, name).await,
        What::Query(sql) => query(server, connection, sql).await,
    }
}

async fn table(server: &Server, connection: &mut PgConnection, name: &TableName) -> Result<Relation> {
    let fail = |e| server.failed(&format!("cannot look {name} up"), e);
    let found = sqlx::query(include_str!("../../../queries/postgres/find_table.sql"))
        .bind(name.to_string())
        .fetch_optional(&mut *connection)
        .await
        .map_err(fail)?;
    let Some(found) = found else { return Err(not_there(server, connection, name).await?) };
    let get = |column: &str| -> Result<String> { found.try_get(column).map_err(fail) };
    let (schema, table, kind) = (get("schema")?, get("name")?, get("kind")?);
    let oid: i64 = found.try_get("oid").map_err(fail)?;
    let shown = format!("{}.{}", identifier(&schema), identifier(&table)).replace('"', "");
    if !found.try_get::<bool, _>("may_read").map_err(fail)? {
        return Err(Error::failed(format!("{}: {shown} may not be read", server.shown)).help(format!(
            "grant select on {}.{} to the user of the url",
            identifier(&schema),
            identifier(&table)
        )));
    }
    let rows = sqlx::query(include_str!("../../../queries/postgres/columns.sql"))
        .bind(oid)
        .fetch_all(&mut *connection)
        .await
        .map_err(fail)?;
    let fields: Vec<Field> = rows
        .iter()
        .map(|row| {
            let name: String = row.try_get("name")?;
            let sql = identifier(&name);
            field(row, name, sql)
        })
        .collect::<sqlx::Result<_>>()
        .map_err(fail)?;
    if fields.is_empty() {
        return Err(Error::failed(format!("{}: {shown} has no columns", server.shown)));
    }
    let (key, unique) = unique_keys(connection, oid).await.map_err(fail)?;
    let estimate: f64 = found.try_get("rows").map_err(fail)?;
    let from = format!("{}.{}", identifier(&schema), identifier(&table));
    let blocks: i64 = found.try_get("blocks").map_err(fail)?;
    let file: i64 = found.try_get("file").map_err(fail)?;
    let guarded: bool = found.try_get("guarded").map_err(fail)?;
    let ranges = match kind.as_str() {
        "p" if !guarded => leaves(connection, oid, &shown, &from).await.map_err(fail)?,
        "r" | "m" if !guarded => {
            block_ranges(&shown, &from, (blocks, file), has_tid_ranges(connection).await.map_err(fail)?)
        }
        _ => vec![whole(&shown, &from)],
    };
    let facts = TableFacts {
        columns: fields.iter().map(|f| f.column.clone()).collect(),
        key,
        unique,
        rows: (estimate >= 0.0).then_some(estimate as u64),
    };
    Ok(relation(shown, facts, fields, from, ranges))
}

fn relation(
    shown: String,
    facts: TableFacts,
    fields: Vec<Field>,
    from: String,
    ranges: Vec<Range>,
) -> Relation {
    let select: Vec<&str> = fields.iter().map(|f| f.sql.as_str()).collect();
    let select = select.join(", ");
    let forms = fields.iter().map(|f| f.form.clone()).collect();
    let decoders = fields.into_iter().map(|f| f.decoder).collect();
    Relation { shown, facts, select, decoders, forms, from, ranges }
}

async fn not_there(server: &Server, connection: &mut PgConnection, name: &TableName) -> Result<Error> {
    let rows = sqlx::query(include_str!("../../../queries/postgres/near_tables.sql"))
        .fetch_all(connection)
        .await
        .map_err(|e| server.failed("cannot list its tables", e))?;
    let known: Vec<String> = rows.iter().filter_map(|row| row.try_get("name").ok()).collect();
    Ok(no_table(&server.shown, &name.to_string(), &name.table().text, &known))
}

async fn query(server: &Server, connection: &mut PgConnection, sql: &str) -> Result<Relation> {
    let fail = |e| server.failed("cannot run the query", e);
    // The line break keeps a comment at the end of the query from swallowing what follows.
    let from = format!("({sql}\n) as recon_query");
    let probe = AssertSqlSafe(format!("select * from {from}")).into_sql_str();
    let statement = (&mut *connection).prepare(probe).await.map_err(fail)?;
    let names: Vec<String> = statement.columns().iter().map(|c| c.name().to_owned()).collect();
    let mut oids = Vec::new();
    for column in statement.columns() {
        let oid = column.type_info().oid();
        oids.push(i64::from(oid.map_or(0, |oid| oid.0)));
    }
    let rows = sqlx::query(include_str!("../../../queries/postgres/types.sql"))
        .bind(&oids)
        .fetch_all(&mut *connection)
        .await
        .map_err(fail)?;
    for (i, name) in names.iter().enumerate() {
        if names[..i].contains(name) {
            return Err(Error::failed(format!(
                "{}: the query gives two columns called `{name}`",
                server.shown
            ))
            .help("give each column a name of its own with `as`"));
        }
    }
    let fields: Vec<Field> = rows
        .iter()
        .zip(&names)
        .map(|(row, name)| field(row, name.clone(), identifier(name)))
        .collect::<sqlx::Result<_>>()
        .map_err(fail)?;
    let facts =
        TableFacts { columns: fields.iter().map(|f| f.column.clone()).collect(), ..TableFacts::default() };
    let ranges = vec![whole("the query", &from)];
    Ok(relation("the query".to_owned(), facts, fields, from, ranges))
}

/// How a column of a type is selected and read.
fn field(row: &PgRow, name: String, quoted: String) -> sqlx::Result<Field> {
    let (oid, element): (i64, i64) = (row.try_get("type")?, row.try_get("element")?);
    let type_name: String = row.try_get("type_name")?;
    let kind: String = row.try_get("kind")?;
    let declared: String = row.try_get("declared")?;
    let plain = |ty: ColumnType, sql: String, decoder: Decoder, remark: Option<String>| Field {
        column: TableColumn { name: name.clone(), ty, remark },
        sql: format!("{sql} as {quoted}"),
        decoder,
        form: form(&type_name, &kind, element),
    };
    if let Some((decoder, ty)) = Decoder::of(oid) {
        return Ok(plain(ty, quoted.clone(), decoder, None));
    }
    if let Some((decoder, ty)) = Decoder::of(element).filter(|_| element != 0) {
        return Ok(plain(
            ColumnType::List(Box::new(ty)),
            quoted.clone(),
            Decoder::Array(Box::new(decoder)),
            None,
        ));
    }
    let text = |sql: String, remark: Option<String>| plain(ColumnType::Text, sql, Decoder::Text, remark);
    Ok(match type_name.as_str() {
        "citext" | "bit" | "varbit" | "cidr" | "macaddr" | "macaddr8" | "char" => {
            text(format!("{quoted}::text"), None)
        }
        // Their casts to text add a mask that their own output leaves out.
        "inet" => text(format!("textin(inet_out({quoted}))"), None),
        "oid" | "xid" | "cid" => plain(ColumnType::Int, format!("{quoted}::text::int8"), Decoder::Int8, None),
        "money" | "_money" => {
            let remark = "money is not compared: its text depends on the server's locale".to_owned();
            plain(ColumnType::Other(declared), format!("{quoted}::text"), Decoder::Text, Some(remark))
        }
        "_citext" => plain(
            ColumnType::List(Box::new(ColumnType::Text)),
            format!("{quoted}::text[]"),
            Decoder::Array(Box::new(Decoder::Text)),
            None,
        ),
        _ if kind == "e" => text(format!("{quoted}::text"), None),
        _ => text(format!("{quoted}::text"), Some(format!("{declared} is compared as its text"))),
    })
}

/// Of what type a column's text is, where equal texts of it are equal values and such that are compared: not where it may hold
/// amounts of money or padding, and not where names that are there twice are counted.
fn form(type_name: &str, kind: &str, element: i64) -> Option<String> {
    let is_list = type_name.starts_with('_') && element != 0;
    let base = if is_list { &type_name[1..] } else { type_name };
    let known = match base {
        "text" | "varchar" | "citext" | "name" => "text",
        "int2" | "int4" | "int8" => "int",
        "numeric" | "float4" | "float8" | "bool" | "bytea" | "date" | "time" | "timetz" | "timestamp"
        | "timestamptz" | "interval" | "uuid" | "jsonb" | "bpchar" | "inet" | "cidr" | "bit" | "varbit"
        | "oid" => base,
        _ if kind == "e" => base,
        _ => return None,
    };
    // What staging could not read of these shows in no comparison of theirs (`sums.rs`).
    if is_list && matches!(known, "timestamp" | "timestamptz" | "jsonb") {
        return None;
    }
    Some(if is_list { format!("{known}[]") } else { known.to_owned() })
}

async fn unique_keys(
    connection: &mut PgConnection,
    oid: i64,
) -> sqlx::Result<(Vec<String>, Vec<Vec<String>>)> {
    let rows = sqlx::query(include_str!("../../../queries/postgres/unique_keys.sql"))
        .bind(oid)
        .fetch_all(connection)
        .await?;
    let (mut key, mut unique) = (Vec::new(), Vec::new());
    for row in rows {
        let columns: Vec<String> = row.try_get("columns")?;
        if row.try_get("is_primary")? { key = columns } else { unique.push(columns) }
    }
    Ok((key, unique))
}

async fn has_tid_ranges(connection: &mut PgConnection) -> sqlx::Result<bool> {
    let row = sqlx::query("select current_setting('server_version_num')::int4").fetch_one(connection).await?;
    Ok(u32::try_from(row.try_get::<i32, _>(0)?).unwrap_or(0) >= TID_RANGES_SINCE)
}

/// The ranges of a partitioned table: those of its leaves, where each may be read by its own name.
async fn leaves(
    connection: &mut PgConnection,
    oid: i64,
    shown: &str,
    from: &str,
) -> sqlx::Result<Vec<Range>> {
    let by_tid = has_tid_ranges(connection).await?;
    let rows = sqlx::query(include_str!("../../../queries/postgres/leaves.sql"))
        .bind(oid)
        .fetch_all(connection)
        .await?;
    let mut ranges = Vec::new();
    for row in &rows {
        let (schema, name): (String, String) = (row.try_get("schema")?, row.try_get("name")?);
        let kind: String = row.try_get("kind")?;
        if kind != "r" || !row.try_get::<bool, _>("may_read")? || row.try_get::<bool, _>("guarded")? {
            return Ok(vec![whole(shown, from)]);
        }
        let leaf = format!("{}.{}", identifier(&schema), identifier(&name));
        let size = (row.try_get("blocks")?, row.try_get("file")?);
        ranges.extend(block_ranges(&format!("{shown} {name}"), &leaf, size, by_tid));
    }
    Ok(if ranges.is_empty() { vec![whole(shown, from)] } else { ranges })
}

fn whole(shown: &str, from: &str) -> Range {
    Range { name: shown.to_owned(), from: from.to_owned(), bytes: 0, file: None }
}

/// Ranges of blocks. The grid is the same whatever the table's size, and the last range has no end, so that a table that grew
/// since keeps all ranges but its last.
fn block_ranges(shown: &str, from: &str, (blocks, file): (i64, i64), by_tid: bool) -> Vec<Range> {
    let count = if by_tid { (blocks + RANGE_BLOCKS - 1) / RANGE_BLOCKS } else { 1 };
    if count <= 1 {
        return vec![Range { bytes: (blocks.max(0) as u64) << 13, ..whole(shown, from) }];
    }
    (0..count)
        .map(|i| {
            let (first, end) = (i * RANGE_BLOCKS, (i + 1) * RANGE_BLOCKS);
            let (name, condition, size) = if i + 1 == count {
                (format!("{shown} blocks {first}-"), String::new(), blocks - first)
            } else {
                (
                    format!("{shown} blocks {first}-{}", end - 1),
                    format!(" and ctid < '({end},0)'::tid"),
                    RANGE_BLOCKS,
                )
            };
            let from = format!("only {from} where ctid >= '({first},0)'::tid{condition}");
            Range { name, from, bytes: (size.max(0) as u64) << 13, file: Some(file) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_ranges_cover_all_blocks_and_have_no_end() {
        let names = |blocks, by_tid| {
            block_ranges("t", "\"t\"", (blocks, 7), by_tid).into_iter().map(|r| r.name).collect::<Vec<_>>()
        };
        assert_eq!(names(0, true), ["t"]);
        assert_eq!(names(20_000, false), ["t"]);
        assert_eq!(names(20_000, true), ["t blocks 0-8191", "t blocks 8192-16383", "t blocks 16384-"]);
        let ranges = block_ranges("t", "\"t\"", (16_384, 7), true);
        assert_eq!(ranges[0].from, "only \"t\" where ctid >= '(0,0)'::tid and ctid < '(8192,0)'::tid");
        assert_eq!(ranges[1].from, "only \"t\" where ctid >= '(8192,0)'::tid");
        assert_eq!(ranges.iter().map(|r| r.bytes).sum::<u64>(), 16_384 << 13);
    }
}
