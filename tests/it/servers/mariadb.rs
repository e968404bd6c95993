//! MariaDB: `mysql://root@127.0.0.1:PORT/DATABASE`, a database for each test.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use super::{Server, command_as, data_folder, free_port, place, run, start};

static SERVER: LazyLock<Server> = LazyLock::new(|| begin(free_port(), &[]));
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// A MariaDB of one's own, with further arguments.
pub(crate) fn begin(port: u16, settings: &[&str]) -> Server {
    let folder = data_folder(Some("nobody"));
    run(command_as("nobody", &client("mariadb-install-db"))
        .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
        .arg(format!("--datadir={}", folder.path().join("data").display())));
    serve(folder, port, settings)
}

fn serve(folder: TempDir, port: u16, settings: &[&str]) -> Server {
    let path = |name: &str| folder.path().join(name).display().to_string();
    let mut command = command_as("nobody", &place("RECON_TEST_MARIADB").join("mariadbd"));
    command
        .args([
            "--no-defaults",
            "--bind-address=127.0.0.1",
            "--local-infile=1",
            "--innodb-flush-log-at-trx-commit=0",
        ])
        .arg(format!("--datadir={}", path("data")))
        .arg(format!("--socket={}", path("s.sock")))
        .arg(format!("--pid-file={}", path("data/pid")))
        .arg(format!("--port={port}"))
        .args(settings);
    let server = start(command, folder, port);
    while !try_sql(port, "mysql", "select 1") {
        std::thread::sleep(Duration::from_millis(100));
    }
    server
}

/// Stops a server of one's own at once, as a crash would.
pub(crate) fn stop(server: &Server) {
    let pid = std::fs::read_to_string(server.folder.path().join("data/pid")).expect("it runs");
    run(Command::new("kill").args(["-9", pid.trim()]));
    while TcpStream::connect(("127.0.0.1", server.port)).is_ok() {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Starts a server that was stopped.
pub(crate) fn begin_again(server: Server, settings: &[&str]) -> Server {
    let Server { port, folder, .. } = server;
    serve(folder, port, settings)
}

/// Runs SQL as root in a database of a server of one's own.
pub(crate) fn sql(server: &Server, database: &str, sql: &str) -> String {
    run(&mut command(server.port, database, sql))
}

fn client(name: &str) -> PathBuf {
    let beside = place("RECON_TEST_MARIADB").join(name);
    if beside.exists() { beside } else { PathBuf::from("/usr/bin").join(name) }
}

fn command(port: u16, database: &str, sql: &str) -> Command {
    let mut command = Command::new(client("mariadb"));
    command
        .args(["--no-defaults", "-h127.0.0.1", "-uroot", "-N", "-B", "--default-character-set=utf8mb4"])
        .args([&format!("-P{port}"), "-e", sql, database]);
    command
}

fn try_sql(port: u16, database: &str, sql: &str) -> bool {
    command(port, database, sql).output().is_ok_and(|output| output.status.success())
}

/// A new database.
pub(crate) struct Database {
    /// Its URL.
    pub(crate) url: String,
    /// Its port on 127.0.0.1.
    pub(crate) port: u16,
    name: String,
}

impl Database {
    /// A new database of the common server in which `sql` was run.
    pub(crate) fn new(sql: &str) -> Self {
        let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let port = SERVER.port;
        run(&mut command(port, "mysql", &format!("create database {name} character set utf8mb4")));
        let database = Self { url: format!("mysql://root@127.0.0.1:{port}/{name}"), port, name };
        database.run(sql);
        database
    }

    /// Runs SQL and returns what it gives, columns separated by tabs.
    pub(crate) fn run(&self, sql: &str) -> String {
        run(&mut command(self.port, &self.name, sql))
    }
}
