//! What an error of a statement means: a record's fault, or trouble.
//!
//! Numbers: <https://mariadb.com/kb/en/mariadb-error-code-reference/>,
//! <https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html>.

use mysql::MySqlError;

use super::place::Place;
use crate::migrate::{Fault, FaultClass, Trouble};

/// A value of a unique index that is there.
pub(super) const DUPLICATE: u16 = 1062;

/// Why a statement did not run.
pub(super) enum Refused {
    /// It is the fault of a record: of this row of the statement, from 1, where the server says which.
    Record { fault: Fault, row: Option<usize> },
    /// It is not.
    Other(Trouble),
}

impl From<Trouble> for Refused {
    fn from(trouble: Trouble) -> Self {
        Self::Other(trouble)
    }
}

impl Place {
    /// What an error means that is no record's fault.
    pub(super) fn trouble(&self, what: &str, error: mysql::Error) -> Trouble {
        let code = match &error {
            mysql::Error::MySqlError(said) => Some(said.code),
            _ => None,
        };
        let is_value = matches!(
            error,
            mysql::Error::FromValueError(_) | mysql::Error::FromRowError(_) | mysql::Error::UrlError(_)
        );
        let full = error.to_string().contains("rrno: 28") || error.to_string().contains("rror 28 ");
        let error = self.server.failed(what, error);
        match code {
            None if is_value => Trouble::Fatal(error),
            None => Trouble::Lost(error),
            // The server goes down, has ended the session, or has no connection left.
            Some(1040 | 1053 | 1077..=1080 | 1152 | 1158..=1161 | 1184 | 1203 | 1927 | 3169 | 4031) => {
                Trouble::Lost(error)
            }
            Some(1020 | 1205 | 1213 | 1317 | 1969 | 3024 | 3572) => Trouble::Busy(error),
            Some(1044 | 1045 | 1142 | 1143 | 1227 | 1370) => Trouble::Fatal(error.help(
                "the user needs: select, insert and update on the table; create temporary tables on the database; and select, insert, update \
                 and delete on its table `recon_batches`, or create, to make it",
            )),
            Some(1021 | 1114) => Trouble::Fatal(error.help(FULL)),
            Some(_) if full => Trouble::Fatal(error.help(FULL)),
            Some(1290 | 1792 | 1836) => {
                Trouble::Fatal(error.help("the server takes no writes: name its primary in the url"))
            }
            Some(_) => Trouble::Fatal(error),
        }
    }

    /// What an error means that may be a record's fault.
    pub(super) fn refused(&self, error: mysql::Error) -> Refused {
        match &error {
            mysql::Error::MySqlError(said) if is_of_a_record(said) => {
                Refused::Record { fault: fault_of(said), row: row_of(&said.message) }
            }
            _ => Refused::Other(self.trouble("cannot write", error)),
        }
    }
}

const FULL: &str = "the server's disk is full: make room, then run the same command again";

/// Data exceptions, broken constraints, what a trigger raises, and what has no class of its own: no default, a value cut off, a row too
/// large, a row of no partition, a CHECK of either server.
fn is_of_a_record(said: &MySqlError) -> bool {
    ["22", "23", "45"].iter().any(|class| said.state.starts_with(class))
        || matches!(
            said.code,
            1118 | 1263
                ..=1265 | 1292 | 1364 | 1366 | 1369 | 1406 | 1411 | 1525 | 1526 | 1644 | 1690 | 3819 | 4025
        )
}

fn fault_of(said: &MySqlError) -> Fault {
    // What it refers to may come yet.
    let class = if matches!(said.code, 1216 | 1452) { FaultClass::Retryable } else { FaultClass::Permanent };
    Fault {
        class,
        code: said.code.to_string(),
        column: column_of(&said.message),
        message: format!("{} (SQLSTATE {})", said.message, said.state),
    }
}

/// The number in `… at row 3`.
fn row_of(message: &str) -> Option<usize> {
    let (_, rest) = message.rsplit_once(" at row ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The name in ``column 'a'``, ``Column 'a'``, ``Field 'a'`` and ``column `db`.`table`.`a` ``.
fn column_of(message: &str) -> Option<String> {
    let (_, rest) = ["column ", "Column ", "Field "].iter().find_map(|word| message.split_once(word))?;
    if let Some(quoted) = rest.strip_prefix('\'') {
        return quoted.split('\'').next().map(str::to_owned);
    }
    let path = rest.split(" at row ").next()?.trim_end();
    let (_, name) = path.strip_suffix('`')?.rsplit_once('`')?;
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_and_rows_are_found_in_what_servers_say() {
        for (message, column, row) in [
            ("Data too long for column 'name' at row 3", Some("name"), Some(3)),
            ("Column 'name' cannot be null", Some("name"), None),
            (
                "Incorrect string value: '\\xF0' for column `d`.`recon_batch`.`a b` at row 12",
                Some("a b"),
                Some(12),
            ),
            ("Field 'x' doesn't have a default value", Some("x"), None),
            ("Duplicate entry '1' for key 'PRIMARY'", None, None),
        ] {
            assert_eq!((column_of(message).as_deref(), row_of(message)), (column, row), "{message}");
        }
    }
}
