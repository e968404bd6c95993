//! PostgreSQL: `postgres://postgres@127.0.0.1:PORT/DATABASE`, a database for each test.

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use super::{Server, command_as, data_folder, free_port, place, run, start};

static SERVER: LazyLock<Server> = LazyLock::new(|| begin(free_port(), &[]));
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// A PostgreSQL of one's own, to be stopped and started again, or with other settings (`name=value`).
pub(crate) fn begin(port: u16, settings: &[&str]) -> Server {
    let folder = data_folder(Some("postgres"));
    let data = folder.path().join("data");
    run(command_as("postgres", &bin("initdb"))
        .args(["-U", "postgres", "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"])
        .arg(&data));
    serve(folder, port, settings)
}

fn serve(folder: TempDir, port: u16, settings: &[&str]) -> Server {
    let data = folder.path().join("data");
    let server = start(command(&data, folder.path(), port, settings), folder, port);
    // It listens before it lets anybody in.
    let ready = || {
        let mut command = Command::new(bin("pg_isready"));
        command.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]).status().is_ok_and(|s| s.success())
    };
    while !ready() {
        std::thread::sleep(Duration::from_millis(50));
    }
    server
}

/// Stops a server at once, as a crash would.
pub(crate) fn stop(server: &Server) {
    run(command_as("postgres", &bin("pg_ctl"))
        .args(["stop", "-m", "immediate", "-D"])
        .arg(server.folder.path().join("data")));
}

/// Starts a server that was stopped.
pub(crate) fn begin_again(server: Server) -> Server {
    let Server { port, folder, .. } = server;
    serve(folder, port, &[])
}

/// The command that serves a data folder.
fn command(data: &std::path::Path, sockets: &std::path::Path, port: u16, settings: &[&str]) -> Command {
    let mut command = command_as("postgres", &bin("postgres"));
    command.arg("-D").arg(data).args(["-p", &port.to_string(), "-k"]).arg(sockets);
    for setting in ["listen_addresses=127.0.0.1", "fsync=off", "max_connections=200"].iter().chain(settings) {
        command.args(["-c", setting]);
    }
    command
}

fn bin(name: &str) -> PathBuf {
    place("RECON_TEST_POSTGRES").join(name)
}

/// A new database.
pub(crate) struct Database {
    /// Its URL.
    pub(crate) url: String,
    /// Its port on 127.0.0.1.
    pub(crate) port: u16,
}

impl Database {
    /// A new database of the common server in which `sql` was run.
    pub(crate) fn new(sql: &str) -> Self {
        let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let port = SERVER.port;
        let at = |database: &str| format!("postgres://postgres@127.0.0.1:{port}/{database}");
        psql(&at("postgres"), &format!("create database {name}"));
        let database = Self { url: at(&name), port };
        database.run(sql);
        database
    }

    /// Runs SQL and returns what it gives, columns separated by `|`.
    pub(crate) fn run(&self, sql: &str) -> String {
        psql(&self.url, sql)
    }
}

/// Runs SQL through psql, in one session; the first error is a panic.
pub(crate) fn psql(url: &str, sql: &str) -> String {
    let mut command = Command::new(bin("psql"));
    command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql]);
    run(&mut command)
}
