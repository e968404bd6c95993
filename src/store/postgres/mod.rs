//! Connections to PostgreSQL, and its errors in words that say what to do.
//!
//! The URL, the `PG*` variables, `~/.pgpass` and `sslmode` are read as libpq does, by sqlx; `service.rs` adds the service files,
//! and this file what sqlx leaves out: how long to wait for a connection, and that a misspelt parameter is an error.

mod service;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::str::FromStr;
use std::time::{Duration, Instant};

use futures_core::Stream;
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgDatabaseError, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, Row};
use tokio::time::timeout;

use super::Purpose;
use crate::error::{Error, Result};
use crate::event::{self, Progress};
use crate::spec::{Url, closest};

/// What every session of ours is, whatever the server gives to its user: it waits for no lock forever, is not thrown out
/// while it waits for our disk, and takes a text in quotes for what it says.
const SESSION: &str = "set standard_conforming_strings = on; set transform_null_equals = off; set lock_timeout = '60s'; set statement_timeout = 0; \
    set idle_in_transaction_session_timeout = 0; set timezone = 'UTC'; set datestyle = 'ISO'; set intervalstyle = 'postgres'; set bytea_output = 'hex'; \
    set extra_float_digits = 3";

/// Where it only reads: all rows or an error, and nothing is written.
const READING: &str = "set default_transaction_read_only = on; set row_security = off";
/// Where it writes: what a server may give to its user must not turn a committed batch into a lost one, and
/// rows that a policy hides must not pass for rows that are not there.
const WRITING: &str = "set default_transaction_read_only = off; set default_transaction_isolation = 'read committed'; \
    set synchronous_commit = on; set row_security = off";

/// As `SESSION` has it.
const LOCK_TIMEOUT: Duration = Duration::from_secs(60);
/// Seconds to wait for a connection, and for the next bytes before the server is asked whether it still sends.
const PATIENCE_S: u64 = 30;
/// How long to wait between two looks at whether somebody wants to stop.
const TICK: Duration = Duration::from_secs(1);

/// The parameters of a URL that sqlx or recon reads.
const PARAMETERS: [&str; 20] = [
    "application_name",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "service",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];
const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// A server, and how it is called in messages.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    options: PgConnectOptions,
    purpose: Purpose,
    patience: Duration,
    /// The URL without its password.
    pub(crate) shown: String,
}

impl Server {
    /// Reads a URL, and what the environment says where the URL does not.
    ///
    /// # Errors
    /// A URL, a variable or a service that says something libpq does not know (exit 2).
    pub(crate) fn new(url: &Url, purpose: Purpose) -> Result<Self> {
        let shown = url.shown();
        let url = service::filled_in(url)?;
        check_parameters(&url, &shown)?;
        let patience = patience(&url, &shown)?;
        // The driver logs what it does not know with its value, which may be a misspelt password.
        let known = url.with(|name| PARAMETERS.contains(&name) || name.starts_with("options["));
        let options = PgConnectOptions::from_str(known.secret()).map_err(|error| {
            // The driver's words may repeat the URL, and with it the password.
            let what = error.to_string().replace(known.secret(), &shown);
            Error::usage(format!("the url {shown} cannot be read: {what}"))
                .help("write `postgres://USER@HOST:PORT/DATABASE`; the password may come from ~/.pgpass or PGPASSWORD")
        })?;
        // The resolver knows an address of IPv6 without the URL's brackets.
        let bare =
            options.get_host().strip_prefix('[').and_then(|host| host.strip_suffix(']')).map(str::to_owned);
        let options = match bare {
            Some(host) => options.host(&host),
            None => options,
        };
        let names_root =
            url.parameters().any(|(name, _)| matches!(name, "sslrootcert" | "ssl-ca" | "ssl-root-cert"))
                || std::env::var_os("PGSSLROOTCERT").is_some();
        let options = match options.get_ssl_mode() {
            // As in libpq: whoever names a root certificate wants it to be used.
            PgSslMode::Require if names_root => options.ssl_mode(PgSslMode::VerifyCa),
            _ => options,
        };
        let options = options.application_name("recon").disable_statement_logging();
        Ok(Self { options, purpose, patience, shown })
    }

    /// A new session.
    ///
    /// # Errors
    /// A server that cannot be reached or that refuses us (exit 4).
    pub(crate) async fn connect(&self) -> Result<PgConnection> {
        self.try_connect().await.map_err(|e| self.failed("cannot connect", e))
    }

    /// What a server does at once, or after a minute that it waited for a lock.
    ///
    /// # Errors
    /// What it gives; no answer (exit 4).
    pub(crate) async fn soon<T>(&self, what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let limit = self.patience.saturating_add(LOCK_TIMEOUT);
        let late = |_| self.failed(what, lost(format!("no answer within {} s", limit.as_secs())));
        timeout(limit, work).await.map_err(late)?
    }

    async fn try_connect(&self) -> sqlx::Result<PgConnection> {
        let connecting = async {
            let mut connection = self.options.connect().await?;
            connection.execute(AssertSqlSafe(SESSION)).await?;
            let more = if self.purpose == Purpose::Write { WRITING } else { READING };
            connection.execute(AssertSqlSafe(more)).await?;
            Ok(connection)
        };
        let Ok(connected) = timeout(self.patience, connecting).await else {
            return Err(lost(format!("no answer within {} s", self.patience.as_secs())));
        };
        connected
    }

    /// The next of what a session (by its process number) sends. A query may take its time, but a session that is gone, or whose
    /// bytes do not arrive, would never end: where nothing comes for long, the server is asked about it over another connection.
    ///
    /// # Errors
    /// What the stream gives; a session that is lost; an interruption.
    pub(crate) async fn next<T, S>(
        &self,
        stream: &mut S,
        session: i32,
        progress: &Progress,
    ) -> Result<Option<sqlx::Result<T>>>
    where
        S: Stream<Item = sqlx::Result<T>> + Unpin,
    {
        let (mut since, mut was_stuck) = (Instant::now(), false);
        loop {
            let item = poll_fn(|context| Pin::new(&mut *stream).poll_next(context));
            if let Ok(item) = timeout(TICK.min(self.patience), item).await {
                return Ok(item);
            }
            progress.check()?;
            if since.elapsed() < self.patience {
                continue;
            }
            tracing::warn!("{}: nothing has come for {} s", self.shown, since.elapsed().as_secs());
            match self.state_of(session).await {
                // Only that it stays so shows that it is not just beginning to send.
                Ok(Some(true)) if was_stuck => {
                    return Ok(Some(Err(lost("what the server sends does not arrive".to_owned()))));
                }
                Ok(Some(stuck)) => was_stuck = stuck,
                Ok(None) => return Ok(Some(Err(lost("the server has ended the session".to_owned())))),
                // It is there, but has no room for another connection.
                Err(sqlx::Error::Database(_)) => {}
                Err(error) => return Ok(Some(Err(error))),
            }
            since = Instant::now();
        }
    }

    /// Whether a session has sent all, or waits for us to take it; `None` if there is no such session.
    async fn state_of(&self, session: i32) -> sqlx::Result<Option<bool>> {
        let mut connection = self.try_connect().await?;
        let row = sqlx::query(include_str!("../../../queries/postgres/session_state.sql"))
            .bind(session)
            .fetch_optional(&mut connection)
            .await?;
        row.map(|row| row.try_get("waits")).transpose()
    }

    fn is_local(&self) -> bool {
        self.options.get_socket().is_some() || self.options.get_host().starts_with('/')
    }

    /// The error for something that this server refused, or that happened on the way.
    pub(crate) fn failed(&self, what: &str, error: sqlx::Error) -> Error {
        let help = match &error {
            sqlx::Error::Database(refused) => match refused.code().as_deref() {
                Some("28P01" | "28000") => "check user and password: url, PGPASSWORD, ~/.pgpass, pg_hba.conf",
                Some("3D000") => "check the database's name in the url",
                // The session asks for all rows or none.
                Some("42501") if refused.message().contains("row-level security") => {
                    "a policy hides rows from this user: read as the table's owner or as a user with BYPASSRLS, or, where just \
                     some rows are meant, from a view of the owner's that says which"
                }
                Some("42501") => "the user needs the SELECT privilege: grant select on TABLE to USER",
                Some("53300") => "the server has no free connection: use fewer --threads, or try again later",
                Some("55P03") => {
                    "somebody holds a lock on the table for longer than a minute: try again later"
                }
                // An unknown snapshot: the session that held it has ended.
                Some("57P01" | "57P02" | "57P03" | "22023") => {
                    "the server is going down or starting: run the same command again; what was staged stays staged"
                }
                Some("42P01" | "42703") => "the table was dropped or altered: run `recon check`",
                _ => "",
            },
            sqlx::Error::Tls(_) => CHECK_TLS,
            // What the other side says is no TLS, or not what we trust.
            sqlx::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => CHECK_TLS,
            // Without a socket to look for, the files of TLS are all that could be missing.
            sqlx::Error::Io(error) if error.kind() == io::ErrorKind::NotFound && !self.is_local() => {
                CHECK_TLS
            }
            sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => {
                "check that the server is there and can be reached; what was staged stays staged"
            }
            _ => "",
        };
        let failed = Error::failed(format!("{}: {what}", self.shown));
        let failed = match error {
            sqlx::Error::Database(refused) => failed.caused_by(said(refused.as_ref())),
            other => failed.caused_by(other),
        };
        if help.is_empty() { failed } else { failed.help(help) }
    }
}

const CHECK_TLS: &str = "check sslmode and sslrootcert in the url, or PGSSLMODE and PGSSLROOTCERT";

/// The server's own words. The driver's add the line of the server's source.
fn said(refused: &dyn DatabaseError) -> String {
    let hint = refused.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::hint);
    match hint {
        Some(hint) => format!("{} ({hint})", refused.message()),
        None => refused.message().to_owned(),
    }
}

fn lost(what: String) -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, what))
}

/// A parameter that is not read changes nothing, which is worth a warning; one that was meant to be another, as `sslmod`, could
/// leave a connection without protection.
fn check_parameters(url: &Url, shown: &str) -> Result<()> {
    for (name, _) in url.parameters().filter(|(name, _)| !name.starts_with("options[")) {
        if PARAMETERS.contains(&name) {
            continue;
        }
        if let Some(near) = closest(name, PARAMETERS) {
            return Err(Error::usage(format!("the url {shown} has an unknown parameter `{name}`"))
                .help(format!("did you mean `{near}`?")));
        }
        // What follows a password with a bare `&` in it is a piece of that.
        if url.parameters().any(|(name, _)| name == "password") {
            return Err(Error::usage(format!("the url {shown} has a parameter that is none"))
                .help("percent-encode what is in the password: `&` is %26"));
        }
        event::warn_once(&format!("{shown}: the parameter `{name}` of the url is not read"));
    }
    match std::env::var("PGSSLMODE") {
        Ok(mode) if !SSL_MODES.contains(&mode.as_str()) => {
            Err(Error::usage(format!("PGSSLMODE is `{mode}`, which is no mode of TLS"))
                .help(format!("one of {}", SSL_MODES.join(", "))))
        }
        _ => Ok(()),
    }
}

/// How long to wait for a connection: `connect_timeout` in seconds, 0 meaning for as long as it takes.
fn patience(url: &Url, shown: &str) -> Result<Duration> {
    let given = url.parameters().find(|(name, _)| *name == "connect_timeout").map(|(_, s)| s.to_owned());
    let Some(text) = given.or_else(|| std::env::var("PGCONNECT_TIMEOUT").ok()) else {
        return Ok(Duration::from_secs(PATIENCE_S));
    };
    match text.parse::<u32>() {
        Ok(0) => Ok(Duration::from_secs(u32::MAX.into())),
        Ok(seconds) => Ok(Duration::from_secs(seconds.into())),
        Err(_) => Err(Error::usage(format!("{shown}: the connect_timeout `{text}` is no number of seconds"))
            .help("write whole seconds in the url or in PGCONNECT_TIMEOUT; 0 waits for as long as it takes")),
    }
}
