//! A batch's way into the temporary table: literals in statements of many rows, those left out that the server does not take.

use super::encode::{Literal, literal};
use super::refused::Refused;
use super::session::{LEAVE, MysqlSession, Work, place, text};
use crate::migrate::{Batch, Fault, Trouble};
use crate::value::json;

use mysql::prelude::Queryable;

/// The most bytes of one statement, where the server takes so many: more makes it no faster.
pub(super) const STATEMENT_BYTES: usize = 1 << 20;
/// What a statement has besides its rows, at most, and the protocol's own bytes.
const SLACK_BYTES: usize = 64 << 10;

/// The most bytes of a row, where the server takes so many of a statement.
pub(super) fn largest(packet: usize) -> usize {
    packet.saturating_sub(SLACK_BYTES)
}

/// Why a row of so many bytes is not sent.
pub(super) fn too_large(bytes: usize, packet: usize) -> Fault {
    let message =
        format!("{bytes} bytes, where the server takes {packet} at a time: raise its max_allowed_packet");
    Fault::permanent("too_large", None, message)
}

/// A record as a row of literals.
struct Line {
    place: usize,
    sql: String,
}

/// A batch that is being loaded.
pub(super) struct Loading<'s, 'a, 'b> {
    session: &'s mut MysqlSession<'a>,
    batch: &'b Batch<'b>,
}

impl<'s, 'a, 'b> Loading<'s, 'a, 'b> {
    pub(super) fn new(session: &'s mut MysqlSession<'a>, batch: &'b Batch<'b>) -> Self {
        Self { session, batch }
    }

    /// Loads the records, and leaves those out that do not go in.
    pub(super) fn load(mut self, work: &mut Work) -> Result<(), Trouble> {
        let largest = largest(self.session.packet);
        let (mut lines, mut bytes) = (Vec::new(), 0);
        for place in 0..self.batch.records.len() {
            match self.line(place, largest) {
                Ok(sql) => {
                    if bytes + sql.len() > largest.min(STATEMENT_BYTES) && !lines.is_empty() {
                        self.send(std::mem::take(&mut lines), work)?;
                        bytes = 0;
                    }
                    bytes += sql.len() + 1;
                    lines.push(Line { place, sql });
                }
                Err(fault) => work.fail(self.batch, place, fault),
            }
        }
        self.send(lines, work)?;
        self.verify(work)
    }

    fn line(&self, place: usize, largest: usize) -> Result<String, Fault> {
        let target = self.session.target;
        let mut sql = format!("({place}");
        let values = &self.batch.records[place].values;
        for ((column, limits), value) in target.mapped.columns.iter().zip(&target.limits).zip(values) {
            sql.push(',');
            literal(column, limits, value)?.write(&mut sql);
        }
        sql.push(')');
        match sql.len() > largest {
            true => Err(too_large(sql.len(), self.session.packet)),
            false => Ok(sql),
        }
    }

    /// Sends rows; where the server refuses one, the others again.
    fn send(&mut self, lines: Vec<Line>, work: &mut Work) -> Result<(), Trouble> {
        let mut waiting = vec![lines];
        while let Some(mut lines) = waiting.pop() {
            if lines.is_empty() {
                continue;
            }
            let rows = lines.iter().map(|line| line.sql.as_str()).collect::<Vec<_>>().join(",");
            // Not before the rows: a value may look like their place.
            let (head, tail) =
                self.session.target.statements.load.split_once("{{rows}}").expect("rows have a place");
            let sent = self.session.connection.query_drop([head, &rows, tail].concat());
            let (fault, row) = match sent.map_err(|e| self.session.target.place.refused(e)) {
                Ok(()) => {
                    work.new.extend(lines.iter().map(|line| line.place));
                    continue;
                }
                Err(Refused::Other(trouble)) => return Err(trouble),
                Err(Refused::Record { fault, row }) => (fault, row),
            };
            match row.filter(|row| (1..=lines.len()).contains(row)) {
                Some(row) => {
                    work.fail(self.batch, lines.remove(row - 1).place, fault);
                    waiting.push(lines);
                }
                None if lines.len() == 1 => work.fail(self.batch, lines[0].place, fault),
                None => {
                    let rest = lines.split_off(lines.len() / 2);
                    waiting.extend([rest, lines]);
                }
            }
        }
        Ok(())
    }

    /// Holds what the server made of values that it writes in its own way against what was sent.
    fn verify(&mut self, work: &mut Work) -> Result<(), Trouble> {
        let target = self.session.target;
        let Some(loaded) = &target.statements.loaded else { return Ok(()) };
        let verified: Vec<usize> =
            (0..target.limits.len()).filter(|i| target.limits[*i].is_to_be_verified()).collect();
        let mut out = Vec::new();
        for row in self.session.rows(loaded, "cannot read back")? {
            let values = row.unwrap();
            let place = place(&values);
            for (i, raw) in verified.iter().zip(&values[1..]) {
                let (column, value) = (&target.mapped.columns[*i], &self.batch.records[place].values[*i]);
                let sent = literal(column, &target.limits[*i], value);
                let is_kept = match &sent {
                    Ok(Literal::Text(sent)) => {
                        let made = text(raw);
                        let same =
                            |a, b| json::parse(a).is_ok_and(|a| json::parse(b).is_ok_and(|b| a.same(&b)));
                        made == *sent
                            || (target.limits[*i].kind == super::columns::Kind::Document && same(&made, sent))
                    }
                    _ => true,
                };
                if !is_kept {
                    let message = "the server keeps another value than this";
                    work.new.remove(&place);
                    work.fail(self.batch, place, Fault::permanent("changed", Some(&column.name), message));
                    out.push(place);
                    break;
                }
            }
        }
        // Neither looked up nor written.
        self.session.mark(LEAVE, &out)
    }
}
