//! Connections to PostgreSQL, and its errors in words that say what to do.
//!
//! The URL, the `PG*` variables, `~/.pgpass` and `sslmode` are read as libpq does, by sqlx.

use std::str::FromStr;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor};

use crate::error::{Error, Result};
use crate::spec::Url;

/// What every session of ours is: it only reads, waits for no lock forever, and is not thrown out while it waits for our disk.
const SESSION: &str = "set default_transaction_read_only = on; set lock_timeout = '60s'; set statement_timeout = 0; \
    set idle_in_transaction_session_timeout = 0; set timezone = 'UTC'; set datestyle = 'ISO'; set bytea_output = 'hex'; \
    set extra_float_digits = 3; set row_security = on";

/// A server, and how it is called in messages.
#[derive(Clone, Debug)]
pub(super) struct Server {
    options: PgConnectOptions,
    /// The URL without its password.
    pub(super) shown: String,
}

impl Server {
    /// Reads a URL.
    ///
    /// # Errors
    /// A URL that says something libpq does not know (exit 2).
    pub(super) fn new(url: &Url) -> Result<Self> {
        let options = PgConnectOptions::from_str(url.secret()).map_err(|error| {
            // The driver's words may repeat the URL, and with it the password.
            let what = error.to_string().replace(url.secret(), &url.shown());
            Error::usage(format!("the url {} cannot be read: {what}", url.shown()))
                .help("write `postgres://USER@HOST:PORT/DATABASE`; the password may come from ~/.pgpass or PGPASSWORD")
        })?;
        Ok(Self {
            options: options.application_name("recon").disable_statement_logging(),
            shown: url.shown(),
        })
    }

    /// A new session.
    ///
    /// # Errors
    /// A server that cannot be reached or that refuses us (exit 4).
    pub(super) async fn connect(&self) -> Result<PgConnection> {
        let mut connection = self.options.connect().await.map_err(|e| self.failed("cannot connect", e))?;
        connection
            .execute(AssertSqlSafe(SESSION))
            .await
            .map_err(|e| self.failed("cannot set the session up", e))?;
        Ok(connection)
    }

    /// The error for something that this server refused, or that happened on the way.
    pub(super) fn failed(&self, what: &str, error: sqlx::Error) -> Error {
        let help = match &error {
            sqlx::Error::Database(refused) => match refused.code().as_deref() {
                Some("28P01" | "28000") => "check user and password: url, PGPASSWORD, ~/.pgpass, pg_hba.conf",
                Some("3D000") => "check the database's name in the url",
                Some("42501") => "the user needs the SELECT privilege: grant select on TABLE to USER",
                Some("53300") => "the server has no free connection: use fewer --threads, or try again later",
                Some("55P03") => {
                    "somebody holds a lock on the table for longer than a minute: try again later"
                }
                Some("57P01" | "57P02" | "57P03") => {
                    "the server is going down or starting: run the same command again; what was staged stays staged"
                }
                Some("42P01" | "42703") => "the table was dropped or altered: run `recon check`",
                _ => "",
            },
            sqlx::Error::Tls(_) => "check sslmode and sslrootcert in the url, or PGSSLMODE and PGSSLROOTCERT",
            sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => {
                "check that the server is there and can be reached; what was staged stays staged"
            }
            _ => "",
        };
        let failed = Error::failed(format!("{}: {what}", self.shown)).caused_by(error);
        if help.is_empty() { failed } else { failed.help(help) }
    }
}
