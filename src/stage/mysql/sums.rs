//! Adding up ranges of a table in MySQL and MariaDB, and cutting it into them.

use mysql::prelude::{FromRow, Queryable};

use super::{MysqlSource, NO_TEXT, Selected};
use crate::error::{Error, Result};
use crate::event::Progress;
use crate::query::render;
use crate::stage::changed::{Cut, Span, Sum, Summing, Unit};
use crate::stage::table::Range;
use crate::store::mysql::quoted;
use crate::value::column::ColumnType;

const CUTS: &str = include_str!("../../../queries/mysql/cuts.sql");
const SUMS: &str = include_str!("../../../queries/mysql/sums.sql");

impl Summing for MysqlSource {
    fn unfit(&self) -> Result<Option<String>> {
        let engine = self.relation.without_moment.as_ref();
        Ok(engine.map(|engine| format!("a table of {engine} has no transactions, hence no moment")))
    }

    /// What is added up is what is sent when a column is staged.
    fn form(&self, column: &str) -> Option<String> {
        let known = &self.relation.facts.columns[self.place(column)?];
        // Names that are there twice are counted in a comparison.
        (known.ty != ColumnType::Json && known.remark.is_none()).then(|| known.ty.to_string())
    }

    fn cuts(&self, key: &[String], every: u64, progress: &Progress) -> Result<Vec<Cut>> {
        let literals: Vec<String> = key.iter().map(|name| self.literal(name)).collect();
        let sql = render(
            CUTS,
            &[
                ("literals", &format!("concat_ws(char(0 using utf8mb4), {})", literals.join(", "))),
                ("key", &key.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")),
                ("from", &self.relation.from),
                ("every", &every.to_string()),
            ],
        );
        let cuts: Vec<String> = self.answers(&[sql], "finding ranges of its keys", progress)?;
        Ok(cuts.iter().map(|cut| cut.split('\0').map(str::to_owned).collect()).collect())
    }

    fn count(&self, progress: &Progress) -> Result<u64> {
        let sql = format!("select count(*) from {}", self.relation.from);
        let counts: Vec<u64> = self.answers(&[sql], "counting its rows", progress)?;
        counts.first().copied().ok_or_else(|| Error::failed("the server did not count"))
    }

    fn condition(&self, key: &[String], span: &Span) -> String {
        let from = span.from.as_ref().map(|cut| beyond(key, cut, ">", true));
        let to = span.to.as_ref().map(|cut| beyond(key, cut, "<", false));
        let both: Vec<String> = [from, to].into_iter().flatten().collect();
        if both.is_empty() { "true".to_owned() } else { both.join(" and ") }
    }

    fn sums(
        &self,
        columns: &[String],
        conditions: &[String],
        seed: &str,
        progress: &Progress,
    ) -> Result<Vec<Sum>> {
        let pieces: Vec<String> = columns.iter().map(|column| self.piece(column)).collect();
        let (row, from) = (format!("concat({})", pieces.join(", ")), &self.relation.from);
        let sql = |condition: &String| {
            render(SUMS, &[("seed", seed), ("row", &row), ("from", from), ("condition", condition)])
        };
        let statements: Vec<String> = conditions.iter().map(sql).collect();
        let rows: Vec<(String, String, String, String)> =
            self.answers(&statements, "adding its rows up", progress)?;
        rows.into_iter().map(|(rows, digests, high, low)| Sum::read([rows, digests, high, low])).collect()
    }

    fn narrow(&mut self, units: &[Unit]) {
        self.relation.ranges = Range::of_changed(&self.relation.shown, &self.relation.from, units);
    }
}

impl MysqlSource {
    /// The rows of some statements in one session, one after the other.
    fn answers<T: FromRow>(&self, statements: &[String], doing: &str, progress: &Progress) -> Result<Vec<T>> {
        let fail = |e| self.server.failed(&format!("{}: {doing} failed", self.relation.shown), e);
        let mut session = self.sessions.take();
        let mut work = || {
            let mut rows = Vec::new();
            for sql in statements {
                progress.check()?;
                rows.extend(session.query::<T, _>(sql).map_err(fail)?);
            }
            Ok(rows)
        };
        let rows = work();
        self.sessions.give_back(session);
        rows
    }

    fn place(&self, column: &str) -> Option<usize> {
        self.relation.facts.columns.iter().position(|known| known.name == column)
    }

    /// A value with its length before it, or a sign that there is none; the same text only for the same value. It is NULL, and with
    /// it the row's digest, where the value is too long for the server's functions, or a date that staging could not read.
    fn piece(&self, column: &str) -> String {
        let Some(place) = self.place(column) else { return "null".to_owned() };
        let Selected { sql, is_checked } = &self.relation.selected[place];
        let (bytes, unread) = match self.relation.facts.columns[place].ty {
            ColumnType::Bytes => (sql.clone(), None),
            _ if *is_checked => (sql.clone(), Some(format!("{sql} = {NO_TEXT}"))),
            // As it is sent when it is staged.
            ColumnType::Date | ColumnType::Timestamp { .. } => {
                let no_day = format!(
                    "month({sql}) = 0 or dayofmonth({sql}) = 0 or coalesce(dayofmonth({sql}) > dayofmonth(last_day({sql})), true)"
                );
                (text_of(sql), Some(no_day))
            }
            _ => (text_of(sql), None),
        };
        let unread = unread.map(|unread| format!("when {unread} then null ")).unwrap_or_default();
        format!("case when {sql} is null then 'n' {unread}else concat(length({bytes}), ':', {bytes}) end")
    }

    /// What gives a value of the key as SQL writes it.
    fn literal(&self, column: &str) -> String {
        let name = quoted(column);
        match self.place(column).map(|place| &self.relation.facts.columns[place].ty) {
            Some(ColumnType::Int | ColumnType::UnsignedInt | ColumnType::BoolInt | ColumnType::Number) => {
                format!("convert({name} using utf8mb4)")
            }
            Some(ColumnType::Bytes) => format!("concat('x''', hex({name}), '''')"),
            _ => format!("quote(convert({name} using utf8mb4))"),
        }
    }
}

fn text_of(sql: &str) -> String {
    format!("cast(convert({sql} using utf8mb4) as binary)")
}

/// What is true of keys on one side of a cut, written out column by column: the server has no use of an index for rows of values.
fn beyond(key: &[String], cut: &Cut, sign: &str, inclusive: bool) -> String {
    let mut sql = String::new();
    for (i, (name, value)) in key.iter().zip(cut).enumerate().rev() {
        let name = quoted(name);
        sql = match (i + 1 == key.len(), inclusive) {
            (true, true) => format!("{name} {sign}= {value}"),
            (true, false) => format!("{name} {sign} {value}"),
            (false, _) => format!("({name} {sign} {value} or ({name} = {value} and {sql}))"),
        };
    }
    sql
}
