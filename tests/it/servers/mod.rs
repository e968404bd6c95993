//! Real servers for the tests, started on demand on loopback ports of their own, one of each for the whole test run.
//! `scripts/servers.sh` installs them and says where they are.

pub(crate) mod dynamodb;
pub(crate) mod guarded;
pub(crate) mod mariadb;
pub(crate) mod postgres;
pub(crate) mod proxy;
pub(crate) mod s3;
pub(crate) mod tls;

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a server may take to answer.
const START_S: u64 = 60;

/// A server that runs as long as the tests do.
pub(crate) struct Server {
    /// Its port on 127.0.0.1.
    pub(crate) port: u16,
    /// Its data.
    pub(crate) folder: TempDir,
    /// Its process; of a server that runs as another user, the one that waits for it.
    pid: u32,
}

impl Server {
    /// Stops it at once, as a crash would, and returns its data.
    pub(crate) fn crash(self) -> TempDir {
        run(Command::new("kill").args(["-9", &self.pid.to_string()]));
        while TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
        self.folder
    }
}

/// What `scripts/servers.sh` says of a server.
pub(crate) fn place(variable: &str) -> PathBuf {
    let found = std::env::var_os(variable);
    PathBuf::from(
        found.unwrap_or_else(|| panic!("{variable} is not set: run the tests with ./test, which sets it")),
    )
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound port").port()
}

/// A folder for a server's data that other users may enter: PostgreSQL and MariaDB refuse to run as root.
pub(crate) fn data_folder(owner: Option<&str>) -> TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("a folder of ours");
    if let Some(owner) = owner.filter(|_| is_root()) {
        run(Command::new("chown").arg(owner).arg(folder.path()));
    }
    folder
}

/// Whether the tests run as root.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

/// A command as this user, where the tests run as root.
pub(crate) fn command_as(user: &str, program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", user, "--"]).arg(program);
    command
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}\n{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Starts a server and waits until it accepts connections. Where the system can (Linux), it dies with the tests.
pub(crate) fn start(command: Command, folder: TempDir, port: u16) -> Server {
    let log = folder.path().join("log");
    #[expect(
        clippy::zombie_processes,
        reason = "it is killed with the tests, and nobody is left to wait for it"
    )]
    let mut child = spawn(command, &log);
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        let exited = child.try_wait().expect("a child of ours");
        let waited = began.elapsed().as_secs();
        assert!(
            exited.is_none() && waited < START_S,
            "a server did not start ({exited:?}):\n{}",
            fs::read_to_string(&log).unwrap_or_default()
        );
        thread::sleep(Duration::from_millis(50));
    }
    Server { port, folder, pid: child.id() }
}

/// A child that is killed with us. The kernel means the thread that started it, so that thread never ends.
fn spawn(command: Command, log: &Path) -> Child {
    let (program, args) =
        (command.get_program().to_owned(), command.get_args().map(ToOwned::to_owned).collect::<Vec<_>>());
    let setpriv = Path::new("/usr/bin/setpriv").exists();
    let mut wrapped = if setpriv { Command::new("/usr/bin/setpriv") } else { Command::new(&program) };
    if setpriv {
        wrapped.args(["--pdeathsig", "KILL", "--"]).arg(&program);
    }
    wrapped.args(args).stdin(Stdio::null());
    for (name, value) in command.get_envs().filter_map(|(name, value)| Some((name, value?))) {
        wrapped.env(name, value);
    }
    if let Some(folder) = command.get_current_dir() {
        wrapped.current_dir(folder);
    }
    let out = File::create(log).expect("a log");
    wrapped.stderr(out.try_clone().expect("a log")).stdout(out);
    let (sender, receiver) = channel();
    thread::spawn(move || {
        sender.send(wrapped.spawn().unwrap_or_else(|e| panic!("{wrapped:?}: {e}"))).expect("somebody waits");
        loop {
            thread::park();
        }
    });
    receiver.recv().expect("the server was started")
}
