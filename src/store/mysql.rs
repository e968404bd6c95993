//! Connections to MySQL and MariaDB, and their errors in words that say what to do.
//!
//! TLS is asked for with the parameters that MySQL's own clients have: `ssl-mode`, `ssl-ca`, `ssl-cert`, `ssl-key`
//! (<https://dev.mysql.com/doc/refman/8.4/en/connection-options.html>). The driver's own parameters go on to the driver.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use mysql::error::DriverError;
use mysql::{ClientIdentity, Conn, Opts, OptsBuilder, SslOpts};

use super::Purpose;
use crate::error::{Error, Result};
use crate::spec::{Url, closest};

/// How long a connection may take, where the URL does not say (`tcp_connect_timeout_ms`).
const PATIENCE: Duration = Duration::from_secs(30);
/// After so many seconds without traffic the system asks whether the other side is still there; so a server that is gone is noticed,
/// and one that thinks about a query is left in peace.
const KEEPALIVE_S: u32 = 60;
const KEEPALIVE_INTERVAL_S: u32 = 15;
const KEEPALIVE_PROBES: u32 = 4;

/// What every session of ours is, whatever the server gives to new ones: times of TIMESTAMP in UTC, text in UTF-8, names quoted by
/// back ticks, all rows rather than the first ones, and time enough, also for our disk. MariaDB and MySQL name the last differently.
const SESSION: [&str; 3] = [
    "set time_zone = '+00:00', sql_mode = '', net_write_timeout = 3600, lock_wait_timeout = 60, sql_select_limit = 18446744073709551615, \
     sql_big_selects = 1 /*M! , max_statement_time = 0 */ /*!50708 , max_execution_time = 0 */",
    "set names utf8mb4",
    "set session transaction isolation level repeatable read",
];
/// Where it only reads.
const READING: [&str; 1] = ["set session transaction read only"];
/// Where it writes: a value that does not fit is an error, never cut off or made another.
const WRITING: [&str; 2] = [
    "set session transaction read write",
    "set session sql_mode = 'STRICT_ALL_TABLES,STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO,NO_AUTO_VALUE_ON_ZERO'",
];

/// A server, and how it is called in messages.
#[derive(Clone)]
pub(crate) struct Server {
    opts: Opts,
    /// Whether a server without TLS will do, too.
    plain_will_do: bool,
    /// The URL without its password.
    pub(crate) shown: String,
}

impl Server {
    /// Reads a URL.
    ///
    /// # Errors
    /// A URL that says something neither MySQL's clients nor the driver know (exit 2).
    pub(crate) fn new(url: &Url, purpose: Purpose) -> Result<Self> {
        let shown = url.shown();
        let others = || url.parameters().filter(|(name, _)| !OWN.contains(name));
        if let Some((name, near)) = others().find_map(|(name, _)| Some((name, closest(name, OWN)?))) {
            return Err(Error::usage(format!("the url {shown} has an unknown parameter `{name}`"))
                .help(format!("did you mean `{near}`?")));
        }
        let tls = Tls::of(url).map_err(|e| e.of(&shown))?;
        // What follows a password with a bare `&` in it is a piece of that, and the driver would show it.
        if url.parameters().any(|(name, _)| name.to_ascii_lowercase().contains("pass")) {
            return Err(Error::usage(format!("the url {shown} has its password among the parameters"))
                .help("write `mysql://USER:PASSWORD@HOST:PORT/DATABASE`"));
        }
        let opts = Opts::from_url(&for_driver(url)).map_err(|error| {
            let what = error.to_string().replace(url.secret(), &shown);
            Error::usage(format!("the url {shown} cannot be read: {what}"))
                .help("write `mysql://USER:PASSWORD@HOST:PORT/DATABASE`")
        })?;
        let own = opts.get_ssl_opts().cloned();
        let plain_will_do = tls == Tls::Preferred && own.is_none();
        let patience = opts.get_tcp_connect_timeout().unwrap_or(PATIENCE);
        let more = if purpose == Purpose::Write { &WRITING[..] } else { &READING[..] };
        let session: Vec<&str> = SESSION.into_iter().chain(more.iter().copied()).collect();
        // A socket of the same machine may be another server's.
        let opts = OptsBuilder::from_opts(opts)
            .prefer_socket(false)
            .init(session)
            .ssl_opts(own.or(tls.options()))
            .tcp_connect_timeout(Some(patience))
            .tcp_keepalive_time_ms(Some(KEEPALIVE_S * 1_000))
            .tcp_keepalive_probe_interval_secs(Some(KEEPALIVE_INTERVAL_S))
            .tcp_keepalive_probe_count(Some(KEEPALIVE_PROBES));
        Ok(Self { opts: opts.into(), plain_will_do, shown })
    }

    /// A new session.
    ///
    /// # Errors
    /// A server that cannot be reached or that refuses us (exit 4).
    pub(crate) fn connect(&self) -> Result<Conn> {
        let connected = match begin(&self.opts) {
            Err(mysql::Error::DriverError(DriverError::TlsNotSupported)) if self.plain_will_do => {
                begin(&OptsBuilder::from_opts(self.opts.clone()).ssl_opts(None::<SslOpts>).into())
            }
            connected => connected,
        };
        connected.map_err(|e| self.failed("cannot connect", e))
    }

    /// The error for something that this server refused, or that happened on the way.
    pub(crate) fn failed(&self, what: &str, error: mysql::Error) -> Error {
        let help = match &error {
            mysql::Error::MySqlError(refused) => match refused.code {
                1045 | 1698 => "check user and password in the url",
                1046 => "name the database in the url: mysql://USER@HOST:PORT/DATABASE",
                1153 => MAX_PACKET,
                1044 | 1049 => "check the database's name in the url, and the user's rights to it",
                1142 | 1143 => "the user needs the SELECT privilege: grant select on TABLE to USER",
                1054 | 1146 | 1412 => "the table was dropped or altered: run `recon check`",
                1040 | 1203 => "the server has no free connection: try again later",
                1205 => "somebody holds a lock on the table for longer than a minute: try again later",
                1053 | 1077..=1080 | 1152 | 1184 | 1927 => UNREACHABLE,
                3159 => CHECK_TLS,
                _ => "",
            },
            mysql::Error::TlsError(_) | mysql::Error::DriverError(DriverError::TlsNotSupported) => CHECK_TLS,
            other if io_kind(other).is_some_and(|kind| TLS_KINDS.contains(&kind)) => CHECK_TLS,
            mysql::Error::CodecError(error) if error.to_string().contains("max_allowed_packet") => MAX_PACKET,
            mysql::Error::IoError(_) | mysql::Error::DriverError(_) | mysql::Error::CodecError(_) => {
                UNREACHABLE
            }
            _ => "",
        };
        let failed = Error::failed(format!("{}: {what}", self.shown));
        // The driver's own words name the variants of its types.
        let failed = match error {
            mysql::Error::MySqlError(error) => failed.caused_by(error),
            mysql::Error::DriverError(error) => failed.caused_by(error),
            mysql::Error::IoError(error) => failed.caused_by(error),
            mysql::Error::CodecError(error) => failed.caused_by(error),
            mysql::Error::TlsError(error) => failed.caused_by(error),
            other => failed.caused_by(other),
        };
        if help.is_empty() { failed } else { failed.help(help) }
    }
}

const CHECK_TLS: &str = "check ssl-mode and ssl-ca in the url";
const MAX_PACKET: &str = "a row is larger than the server sends: raise its max_allowed_packet (`set global max_allowed_packet = 1073741824`)";
const UNREACHABLE: &str = "check that the server is there and can be reached; what was staged stays staged";

/// What the other side says is no TLS or not what we trust, or a file of ours is missing.
const TLS_KINDS: [io::ErrorKind; 2] = [io::ErrorKind::InvalidData, io::ErrorKind::NotFound];

/// The kind of the system's error inside.
fn io_kind(error: &mysql::Error) -> Option<io::ErrorKind> {
    let error = match error {
        mysql::Error::IoError(error) => error,
        mysql::Error::CodecError(error) => std::error::Error::source(error)?.downcast_ref()?,
        _ => return None,
    };
    Some(error.kind())
}

/// A name in MySQL's quotes.
pub(crate) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Connects on a thread of its own: the driver waits for a silent server for ever, and that thread with it.
fn begin(opts: &Opts) -> mysql::Result<Conn> {
    let patience = opts.get_tcp_connect_timeout().unwrap_or(PATIENCE);
    let (sender, receiver) = channel();
    let opts = opts.clone();
    // Nobody listens any longer where it took too long.
    thread::spawn(move || drop(sender.send(Conn::new(opts))));
    receiver.recv_timeout(patience).unwrap_or_else(|_| {
        let what = format!("no answer within {} s", patience.as_secs());
        Err(io::Error::new(io::ErrorKind::TimedOut, what).into())
    })
}

/// The parameters that are read here.
const OWN: [&str; 4] = ["ssl-mode", "ssl-ca", "ssl-cert", "ssl-key"];

/// The URL as the driver takes it.
fn for_driver(url: &Url) -> String {
    url.with(|name| !OWN.contains(&name)).secret().replacen("mariadb://", "mysql://", 1)
}

/// What `ssl-mode` and its companions ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Tls {
    Disabled,
    /// Where the server has it, whoever it is: as MySQL's clients do unless told otherwise.
    Preferred,
    Required {
        verify: Verify,
        ca: Option<PathBuf>,
        identity: Option<(PathBuf, PathBuf)>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verify {
    Nothing,
    Authority,
    Identity,
}

impl Tls {
    fn of(url: &Url) -> Result<Self> {
        let get = |wanted: &str| url.parameters().find(|(name, _)| *name == wanted).map(|(_, value)| value);
        let path = |wanted: &str| get(wanted).map(|value| PathBuf::from(value.replace("%2F", "/")));
        let (ca, mode) = (path("ssl-ca"), get("ssl-mode").map(|mode| mode.to_uppercase().replace('-', "_")));
        let identity = match (path("ssl-cert"), path("ssl-key")) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(Error::usage("ssl-cert and ssl-key go together").help("give both or neither")),
        };
        let verify = match mode.as_deref() {
            // As in MySQL's clients: whoever names an authority wants it to be asked.
            None | Some("PREFERRED" | "REQUIRED") if ca.is_some() => Verify::Authority,
            None | Some("PREFERRED") if identity.is_none() => return Ok(Self::Preferred),
            None | Some("PREFERRED" | "REQUIRED") => Verify::Nothing,
            Some("DISABLED") => return Ok(Self::Disabled),
            Some("VERIFY_CA") => Verify::Authority,
            Some("VERIFY_IDENTITY") => Verify::Identity,
            Some(other) => {
                return Err(Error::usage(format!("`{other}` is no ssl-mode"))
                    .help("one of DISABLED, PREFERRED, REQUIRED, VERIFY_CA, VERIFY_IDENTITY"));
            }
        };
        Ok(Self::Required { verify, ca, identity })
    }

    fn options(&self) -> Option<SslOpts> {
        let (verify, ca, identity) = match self {
            Self::Disabled => return None,
            Self::Preferred => (Verify::Nothing, None, None),
            Self::Required { verify, ca, identity } => (*verify, ca.clone(), identity.clone()),
        };
        let identity = identity.map(|(certificate, key)| ClientIdentity::new(certificate, key));
        Some(
            SslOpts::default()
                .with_root_cert_path(ca)
                .with_client_identity(identity)
                .with_danger_accept_invalid_certs(verify == Verify::Nothing)
                .with_danger_skip_domain_validation(verify != Verify::Identity),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_asked_for_as_mysql_s_clients_do() {
        let tls = |query: &str| Tls::of(&Url::new(format!("mysql://me:p@h/db{query}")));
        let verify = |query: &str| match tls(query).unwrap() {
            Tls::Required { verify, .. } => Some(verify),
            _ => None,
        };
        assert_eq!(tls("").unwrap(), Tls::Preferred);
        assert_eq!(tls("?ssl-mode=DISABLED").unwrap(), Tls::Disabled);
        assert_eq!(verify("?ssl-mode=required"), Some(Verify::Nothing));
        assert_eq!(verify("?ssl-mode=REQUIRED&ssl-ca=a.pem"), Some(Verify::Authority));
        assert_eq!(verify("?ssl-ca=a.pem"), Some(Verify::Authority));
        assert_eq!(verify("?ssl-mode=verify-identity"), Some(Verify::Identity));
        assert!(tls("?ssl-mode=sometimes").is_err() && tls("?ssl-cert=a.pem").is_err());
        assert_eq!(
            for_driver(&Url::new("mariadb://me@h/db?ssl-mode=REQUIRED&compress=fast")),
            "mysql://me@h/db?compress=fast"
        );
    }
}
