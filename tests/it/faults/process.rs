//! Running the binary: with a fault, held at a fail point, or undisturbed.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

/// How long a test waits for a process before it gives up on it; no test depends on how long anything takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// A process that ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(super) code: Option<i32>,
    pub(super) signal: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Ended {
    fn new(output: Output) -> Self {
        Self {
            code: output.status.code(),
            signal: output.status.signal(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs a command to its end.
    pub(crate) fn of(command: &mut Command) -> Self {
        Self::new(command.output().expect("recon starts"))
    }

    /// Asserts the exit code, with what the process said.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "signal {:?}\n{}\n{}", self.signal, self.stdout, self.stderr);
        self
    }

    /// Asserts that stderr holds each of the words.
    #[track_caller]
    pub(super) fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stderr.contains(word), "no `{word}` in:\n{}", self.stderr);
        }
        self
    }

    /// Whether `kill -9` ended it; anything else than that or a regular end is a failure.
    #[track_caller]
    pub(crate) fn was_killed(&self) -> bool {
        assert!(self.signal.is_none_or(|s| s == 9), "ended by signal {:?}: {}", self.signal, self.stderr);
        self.signal.is_some()
    }

    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {}", self.stdout))
    }

    /// Of `recon stage --format json`: a number by dataset.
    pub(super) fn by_dataset(&self, name: &str) -> Vec<(String, u64)> {
        let json = self.json();
        let datasets = json["datasets"].as_object().expect("an object by dataset");
        datasets.iter().map(|(key, d)| (key.clone(), d[name].as_u64().expect("a number"))).collect()
    }

    /// Of `recon stage --format json`: a number of all datasets.
    pub(super) fn sum(&self, name: &str) -> u64 {
        self.by_dataset(name).iter().map(|(_, n)| n).sum()
    }
}

/// The binary in a project's folder, with a home and without any fault.
pub(crate) fn recon(project: &Path, home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_recon"));
    command.current_dir(project).args(args).arg("--home").arg(home).arg("--no-progress");
    if !args.contains(&"--threads") {
        command.args(["--threads", "2"]);
    }
    for name in ["RECON_FAULT", "RECON_FAULT_DOES", "RECON_LOG"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end.
pub(super) fn run(project: &Path, home: &Path, args: &[&str]) -> Ended {
    Ended::of(&mut recon(project, home, args))
}

/// Runs it with a fault set.
pub(super) fn run_with_fault(project: &Path, home: &Path, args: &[&str], fault: &str) -> Ended {
    Ended::of(recon(project, home, args).env("RECON_FAULT", fault))
}

/// A process that runs beside the test; it is ended with it.
pub(crate) struct Running {
    child: Option<Child>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self { child: Some(command.spawn().expect("recon starts")) }
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.child.as_ref().expect("it was not waited for"), name);
    }

    /// What became of it; fails where it does not end in time.
    pub(crate) fn ends_within(mut self, patience: Duration) -> Ended {
        let mut child = self.child.take().expect("it was not waited for");
        let deadline = Instant::now() + patience;
        while child.try_wait().expect("a process").is_none() {
            if Instant::now() > deadline {
                let _ = child.kill();
                let ended = Ended::new(child.wait_with_output().expect("it ends"));
                panic!("it did not end within {patience:?}: {}", ended.stderr);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ended::new(child.wait_with_output().expect("it ended"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    let status = Command::new("kill").args([&format!("-{name}"), &id]).status().expect("kill starts");
    assert!(status.success(), "kill -{name}");
}

/// Asks again and again until there is an answer.
pub(super) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A process that stands still at a fail point.
pub(super) struct Held {
    child: Child,
}

impl Held {
    /// Starts it and waits until it stands.
    pub(super) fn at(point: &str, project: &Path, home: &Path, args: &[&str]) -> Self {
        Self::of(point, recon(project, home, args))
    }

    /// The same of a command that has more in its environment.
    pub(super) fn of(point: &str, mut command: Command) -> Self {
        let child =
            command.env("RECON_FAULT", point).env("RECON_FAULT_DOES", "hold").spawn().expect("recon starts");
        let held = Self { child };
        let deadline = Instant::now() + PATIENCE;
        while held.state() != 'T' {
            assert!(held.state() != 'Z', "it ended before it came to {point}");
            assert!(Instant::now() < deadline, "it never came to {point}");
            std::thread::sleep(Duration::from_millis(2));
        }
        held
    }

    /// The letter that the kernel gives for a process: `T` stands still, `Z` has ended.
    fn state(&self) -> char {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("a process");
        stat.rsplit(") ").next().and_then(|rest| rest.chars().next()).expect("a state")
    }

    pub(super) fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// The most memory that it ever had, in bytes.
    pub(super) fn peak_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        line.trim().trim_end_matches("kB").trim().parse::<u64>().expect("a number") << 10
    }

    /// Lets it go on to its end.
    pub(super) fn go_on(self) -> Ended {
        self.signal("CONT");
        Ended::new(self.child.wait_with_output().expect("it ends"))
    }

    /// Ends it as `kill -9` does.
    pub(super) fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }
}
