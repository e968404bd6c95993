//! A connection for reading the ledger, also where nothing can be written.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::error::{Context, Error, Result};

/// Opens a ledger for reading. SQLite wants to write beside it all the same; where the home is read-only it is told that
/// nobody changes the file.
pub(super) fn open(path: &Path) -> Result<Connection> {
    let fail = || format!("cannot read {}", path.display());
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).or_failed(fail)?;
    conn.busy_timeout(Duration::from_secs(5)).or_failed(fail)?;
    match conn.query_row("select count(*) from sqlite_schema", [], |_| Ok(())) {
        Err(rusqlite::Error::SqliteFailure(e, _))
            if matches!(e.code, ErrorCode::CannotOpen | ErrorCode::ReadOnly) =>
        {
            open_unchanging(path)
        }
        _ => Ok(conn),
    }
}

fn open_unchanging(path: &Path) -> Result<Connection> {
    let fail = || format!("cannot read {}", path.display());
    if fs::metadata(path.with_extension("db-wal")).is_ok_and(|wal| wal.len() > 0) {
        return Err(Error::failed(fail())
            .help("the run that wrote it last was killed: its folder must be writable once, to mend it"));
    }
    let absolute = std::path::absolute(path).or_failed(fail)?;
    let text = absolute.display().to_string();
    let text = text.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(format!("file://{text}?immutable=1"), flags).or_failed(fail)
}
