//! Adding up ranges of a table in PostgreSQL, and cutting it into them.

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Executor, Row};

use super::PostgresSource;
use crate::error::{Error, Result};
use crate::event::Progress;
use crate::query::{identifier, render};
use crate::stage::changed::{Cut, Span, Sum, Summing, Unit};
use crate::stage::table::Range;
use crate::store::net::block_on;

const UNFIT: &str = include_str!("../../../queries/postgres/unfit_to_sum.sql");
const CUTS: &str = include_str!("../../../queries/postgres/cuts.sql");
const SUMS: &str = include_str!("../../../queries/postgres/sums.sql");

impl Summing for PostgresSource {
    fn unfit(&self) -> Result<Option<String>> {
        let what = format!("cannot look {} up", self.relation.shown);
        let fail = |e| self.server.failed(&what, e);
        let row = block_on(self.server.soon(&what, async {
            let (mut connection, _) = self.session(&what).await?;
            let query = sqlx::query(UNFIT).bind(&self.relation.from);
            query.fetch_one(&mut connection).await.map_err(fail)
        }))?;
        let (encoding, has_children): (String, bool) =
            (row.try_get("encoding").map_err(fail)?, row.try_get("has_children").map_err(fail)?);
        // Elsewhere the same bytes may be another text.
        Ok(match (encoding.as_str(), has_children) {
            ("UTF8", false) => None,
            ("UTF8", true) => Some(format!("{} has tables that inherit from it", self.relation.shown)),
            _ => {
                Some(format!("the database of {} is encoded in {encoding}, not in UTF8", self.relation.shown))
            }
        })
    }

    fn form(&self, column: &str) -> Option<String> {
        let place = self.relation.facts.columns.iter().position(|known| known.name == column)?;
        self.relation.forms[place].clone()
    }

    fn cuts(&self, key: &[String], every: u64, progress: &Progress) -> Result<Vec<Cut>> {
        let literal = |name: &String| format!("quote_literal({}::text)", identifier(name));
        let sql = render(
            CUTS,
            &[
                ("literals", &list(key, literal)),
                ("key", &list(key, |name| identifier(name))),
                ("from", &self.relation.from),
                ("every", &every.to_string()),
            ],
        );
        let rows = block_on(self.answers(&[sql], "finding ranges of its keys", progress))?;
        rows.iter().map(|row| self.texts(row, key.len())).collect()
    }

    fn count(&self, progress: &Progress) -> Result<u64> {
        let sql = format!("select count(*)::text from {}", self.relation.from);
        let rows = block_on(self.answers(&[sql], "counting its rows", progress))?;
        let count = rows.first().map(|row| self.texts(row, 1)).transpose()?;
        count.and_then(|texts| texts[0].parse().ok()).ok_or_else(|| Error::failed("the server did not count"))
    }

    /// A row's bounds in a comparison of rows find the index of the key.
    fn condition(&self, key: &[String], span: &Span) -> String {
        let row = list(key, |name| identifier(name));
        let bound =
            |sign: &str, cut: &Option<Cut>| Some(format!("({row}) {sign} ({})", cut.as_ref()?.join(", ")));
        let both: Vec<String> =
            [bound(">=", &span.from), bound("<", &span.to)].into_iter().flatten().collect();
        if both.is_empty() { "true".to_owned() } else { both.join(" and ") }
    }

    fn sums(
        &self,
        columns: &[String],
        conditions: &[String],
        seed: &str,
        progress: &Progress,
    ) -> Result<Vec<Sum>> {
        // A row that staging could not read has no digest.
        let unread: Vec<String> = columns
            .iter()
            .filter_map(|name| match self.form(name).as_deref() {
                Some("timestamp" | "timestamptz") => Some(too_late(&identifier(name))),
                Some("jsonb") => Some(too_deep(&identifier(name))),
                _ => None,
            })
            .collect();
        let unread = if unread.is_empty() { "false".to_owned() } else { unread.join(" or ") };
        let columns = list(columns, |name| identifier(name));
        let from = &self.relation.from;
        let sql = |condition: &String| {
            let pieces = [
                ("seed", seed),
                ("unread", &unread),
                ("columns", &columns),
                ("from", from),
                ("condition", condition),
            ];
            render(SUMS, &pieces)
        };
        let statements: Vec<String> = conditions.iter().map(sql).collect();
        let rows = block_on(self.answers(&statements, "adding its rows up", progress))?;
        let sum = |row: &PgRow| Sum::read(self.texts(row, 4)?.try_into().expect("four were asked for"));
        rows.iter().map(sum).collect()
    }

    fn narrow(&mut self, units: &[Unit]) {
        self.relation.ranges = Range::of_changed(&self.relation.shown, &self.relation.from, units);
    }
}

impl PostgresSource {
    /// The rows of some statements in one session, one after the other.
    async fn answers(&self, statements: &[String], doing: &str, progress: &Progress) -> Result<Vec<PgRow>> {
        let what = format!("{}: {doing} failed", self.relation.shown);
        let (mut connection, number) = self.server.soon(&what, self.session(&what)).await?;
        let mut rows = Vec::new();
        for sql in statements {
            let mut stream = connection.fetch(AssertSqlSafe(sql.clone()));
            while let Some(row) = self.server.next(&mut stream, number, progress).await? {
                rows.push(row.map_err(|e| self.server.failed(&what, e))?);
            }
        }
        Ok(rows)
    }

    fn texts(&self, row: &PgRow, count: usize) -> Result<Vec<String>> {
        let text = |i| row.try_get(i).map_err(|e| self.server.failed("cannot read its answer", e));
        (0..count).map(text).collect()
    }
}

fn list(names: &[String], sql: impl Fn(&String) -> String) -> String {
    names.iter().map(sql).collect::<Vec<_>>().join(", ")
}

/// Whether a time is too late for microseconds since 1970 in 64 bits.
fn too_late(column: &str) -> String {
    format!("coalesce({column} > '294246-01-01' and {column} <> 'infinity', false)")
}

/// Whether a document may be nested deeper than 1,000: where it has as many brackets, wherever they stand.
fn too_deep(column: &str) -> String {
    let brackets =
        |text: &str| format!("length({text}) - length(replace(replace({text}, '[', ''), '{{', ''))");
    format!("coalesce({} > 1000, false)", brackets(&format!("{column}::text")))
}
