//! Where a table is: its server, and recon's own table beside it with the markers.

use std::sync::Mutex;

use mysql::Conn;
use mysql::prelude::Queryable;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::refused::DUPLICATE;
use crate::error::{Context, Error, Result};
use crate::migrate::Trouble;
use crate::query::render;
use crate::spec::TableName;
use crate::store::mysql::{Server, quoted};

const MARKERS_EXIST: &str = include_str!("../../../queries/migrate/mysql/markers_exist.sql");
const CREATE_MARKERS: &str = include_str!("../../../queries/migrate/mysql/create_markers.sql");
const TAKE_MARKER: &str = include_str!("../../../queries/migrate/mysql/take_marker.sql");
const READ_MARKER: &str = include_str!("../../../queries/migrate/mysql/read_marker.sql");
const WRITE_RECEIPT: &str = include_str!("../../../queries/migrate/mysql/write_receipt.sql");
const FORGET: &str = include_str!("../../../queries/migrate/mysql/forget.sql");

/// Between the look at what is there and the writing nothing is locked that is not there: gaps between rows would be locked by several
/// workers, who then wait for each other.
const ISOLATION: &str = "set session transaction isolation level read committed";

/// A table of a MySQL or MariaDB database.
pub(super) struct Place {
    pub(super) server: Server,
    /// What tells it from others.
    pub(super) fingerprint: String,
    database: String,
    /// Recon's own table, in quotes.
    markers: String,
    /// Held while a session begins: only one of them makes recon's own table.
    beginning: Mutex<()>,
}

/// A worker's connection.
pub(super) struct Connected {
    pub(super) connection: Conn,
    /// The most bytes of a statement that the server takes.
    pub(super) packet: usize,
}

impl Place {
    pub(super) fn new(server: Server, name: &TableName, database: &str) -> Self {
        Self {
            fingerprint: format!("mysql {} {name}", server.shown),
            server,
            database: database.to_owned(),
            markers: format!("{}.{}", quoted(database), quoted("recon_batches")),
            beginning: Mutex::new(()),
        }
    }

    /// A worker's connection; recon's own table is there from then on.
    pub(super) fn session(&self) -> Result<Connected, Trouble> {
        let _alone = self.beginning.lock().expect("nobody panics while a session begins");
        let fail = |e| self.trouble("cannot write", e);
        let mut connection = self.server.connect().map_err(Trouble::Lost)?;
        connection.query_drop(ISOLATION).map_err(fail)?;
        let packet = connection.query_first::<u64, _>("select @@max_allowed_packet").map_err(fail)?;
        if !self.has_markers(&mut connection).map_err(fail)? {
            let made = connection.query_drop(self.marked(CREATE_MARKERS));
            made.map_err(|e| self.trouble("cannot make recon's own table `recon_batches`", e))?;
        }
        Ok(Connected { connection, packet: packet.unwrap_or(1 << 20) as usize })
    }

    fn has_markers(&self, connection: &mut Conn) -> mysql::Result<bool> {
        Ok(connection.exec_first(MARKERS_EXIST, (&self.database,))? == Some(true))
    }

    fn marked(&self, template: &str) -> String {
        render(template, &[("markers", &self.markers)])
    }

    /// Removes the markers of a run.
    pub(super) fn forget(&self, run_id: &str, entity: &str) -> Result<()> {
        let fail = |e| self.server.failed("cannot remove the markers of the run", e);
        let mut connection = self.server.connect()?;
        // Where every record was refused before it was sent, nobody made the table.
        if self.has_markers(&mut connection).map_err(fail)? {
            connection.exec_drop(self.marked(FORGET), (run_id, entity)).map_err(fail)?;
        }
        Ok(())
    }

    /// What the marker of a batch says, where it is there.
    pub(super) fn receipt<T: DeserializeOwned>(
        &self,
        run_id: &str,
        entity: &str,
        batch: u64,
    ) -> Result<Option<T>> {
        let fail = |e| self.server.failed(CANNOT_READ, e);
        let mut connection = self.server.connect()?;
        if !self.has_markers(&mut connection).map_err(fail)? {
            return Ok(None);
        }
        let found = Marked { place: self, run_id, entity, batch }.read(&mut connection).map_err(fail)?;
        Ok(found.and_then(|(_, receipt)| serde_json::from_str(&receipt?).ok()))
    }
}

const CANNOT_READ: &str = "cannot read a marker";

/// The marker of a batch: it is committed with it, and says what became of it.
pub(super) struct Marked<'a> {
    pub(super) place: &'a Place,
    pub(super) run_id: &'a str,
    pub(super) entity: &'a str,
    pub(super) batch: u64,
}

impl Marked<'_> {
    /// Takes it; not where it is taken already.
    pub(super) fn take(&self, connection: &mut Conn, hash: &str) -> Result<bool, Trouble> {
        let take = self.place.marked(TAKE_MARKER);
        match connection.exec_drop(take, (self.run_id, self.entity, self.batch, hash)) {
            Ok(()) => Ok(true),
            Err(mysql::Error::MySqlError(said)) if said.code == DUPLICATE => Ok(false),
            Err(error) => Err(self.place.trouble("cannot write", error)),
        }
    }

    /// The batch's hash and what became of it, where it was committed.
    fn read(&self, connection: &mut Conn) -> mysql::Result<Option<(String, Option<String>)>> {
        connection.exec_first(self.place.marked(READ_MARKER), (self.run_id, self.entity, self.batch))
    }

    /// What became of our batch, which was committed earlier.
    pub(super) fn read_own<T: DeserializeOwned>(
        &self,
        connection: &mut Conn,
        hash: &str,
    ) -> Result<T, Trouble> {
        let found = self.read(connection).map_err(|e| self.place.trouble(CANNOT_READ, e))?;
        let receipt = found.filter(|(of, _)| of == hash).and_then(|(_, receipt)| receipt);
        receipt.and_then(|text| serde_json::from_str(&text).ok()).ok_or_else(|| {
            let what = format!(
                "{}: the marker of batch {} of run {} is not ours",
                self.place.fingerprint, self.batch, self.run_id
            );
            let help = format!("look into the table {}; --new-run begins anew", self.place.markers);
            Trouble::Fatal(Error::failed(what).help(help))
        })
    }

    /// Puts what became of the batch into it.
    pub(super) fn write(&self, connection: &mut Conn, receipt: &impl Serialize) -> Result<(), Trouble> {
        let text = serde_json::to_string(receipt).or_failed(|| "cannot write a receipt".to_owned())?;
        let write = self.place.marked(WRITE_RECEIPT);
        let written = connection.exec_drop(write, (text, self.run_id, self.entity, self.batch));
        written.map_err(|e| self.place.trouble("cannot write", e))
    }
}
