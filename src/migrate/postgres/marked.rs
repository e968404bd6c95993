//! Markers: recon's own table, in which a transaction says which batch it is.

use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::postgres::PgConnection;

use super::session::trouble;
use super::{MARKERS_EXIST, run};
use crate::error::Error;
use crate::migrate::Trouble;
use crate::store::postgres::Server;

const CREATE_MARKERS: &str = include_str!("../../../queries/migrate/postgres/create_markers.sql");
const TAKE_MARKER: &str = include_str!("../../../queries/migrate/postgres/take_marker.sql");
const READ_MARKER: &str = include_str!("../../../queries/migrate/postgres/read_marker.sql");
const WRITE_RECEIPT: &str = include_str!("../../../queries/migrate/postgres/write_receipt.sql");

/// The marker of a batch.
pub(super) struct Marked<'a> {
    pub(super) server: &'a Server,
    pub(super) run_id: &'a str,
    pub(super) entity: &'a str,
    pub(super) batch: u64,
}

impl Marked<'_> {
    /// Whether recon's own table is there.
    pub(super) async fn exist(server: &Server, connection: &mut PgConnection) -> Result<bool, Trouble> {
        let found = sqlx::query(MARKERS_EXIST).fetch_one(connection).await;
        found.and_then(|row| row.try_get("found")).map_err(|e| trouble(server, "", e))
    }

    /// Makes recon's own table where it is not there.
    pub(super) async fn make(server: &Server, connection: &mut PgConnection) -> Result<(), Trouble> {
        if !Self::exist(server, connection).await? {
            let made = run(connection, CREATE_MARKERS).await;
            made.map_err(|e| trouble(server, "cannot make recon's own table `recon.batches`", e))?;
        }
        Ok(())
    }

    /// Takes it; not where it is taken already.
    pub(super) async fn take(&self, connection: &mut PgConnection, hash: &str) -> Result<bool, Trouble> {
        let take =
            sqlx::query(TAKE_MARKER).bind(self.run_id).bind(self.entity).bind(self.batch as i64).bind(hash);
        let taken = take.execute(connection).await.map_err(|e| trouble(self.server, "", e))?;
        Ok(taken.rows_affected() > 0)
    }

    /// The batch's hash and what became of it, where it was committed.
    pub(super) async fn read(
        &self,
        connection: &mut PgConnection,
    ) -> Result<Option<(String, Option<String>)>, Trouble> {
        let read = sqlx::query(READ_MARKER).bind(self.run_id).bind(self.entity).bind(self.batch as i64);
        let row = read.fetch_optional(connection).await.map_err(|e| trouble(self.server, "", e))?;
        let row = row.map(|row| Ok((row.try_get("hash")?, row.try_get("receipt")?))).transpose();
        row.map_err(|e: sqlx::Error| trouble(self.server, "", e))
    }

    /// What became of our batch, which was committed earlier.
    pub(super) async fn read_own<T: DeserializeOwned>(
        &self,
        connection: &mut PgConnection,
        hash: &str,
    ) -> Result<T, Trouble> {
        let found = self.read(connection).await?.filter(|(of, _)| of == hash);
        let receipt = found.and_then(|(_, receipt)| serde_json::from_str(&receipt?).ok());
        receipt.ok_or_else(|| {
            Trouble::Fatal(
                Error::failed(format!(
                    "{}: the marker of batch {} of run {} is not ours",
                    self.server.shown, self.batch, self.run_id
                ))
                .help("look into the table recon.batches; --new-run begins anew"),
            )
        })
    }

    /// Puts what became of the batch into it.
    pub(super) async fn write(&self, connection: &mut PgConnection, receipt: String) -> Result<(), Trouble> {
        let write = sqlx::query(WRITE_RECEIPT)
            .bind(self.run_id)
            .bind(self.entity)
            .bind(self.batch as i64)
            .bind(receipt);
        write.execute(connection).await.map(|_| ()).map_err(|e| trouble(self.server, "", e))
    }
}
