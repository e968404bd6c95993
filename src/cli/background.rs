//! `recon start`, `recon stop` and `recon logs`: a run that outlives its terminal.
//!
//! No file says that a run is going on. The home's lock does, which the kernel frees with the process; its words name the process,
//! and only one that has this very lock open is ever signalled. A log is locked by the run that writes it, too, so who follows it
//! knows when it ends.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use clap::{Args, Parser};
use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process, setsid};
use serde_json::json;

use super::{Cli, Command as Wanted, Format, Global, print};
use crate::error::{Context, Error, Result};
use crate::ledger::Ledger;
use crate::ledger::lock::Holder;
use crate::reconcile::report::terminal::shell;

/// How often it is looked whether something has happened.
const TICK: Duration = Duration::from_millis(20);
/// How long a run may take to get hold of its home.
const START: Duration = Duration::from_secs(30);
/// How long a run that has begun is watched for an end at once.
const FIRST_LOOK: Duration = Duration::from_secs(1);
/// How long it is waited for the first signal to arrive before the second.
const BETWEEN_SIGNALS: Duration = Duration::from_millis(300);
/// The commands that heed signals by saving what they have.
const STOPPABLE: [&str; 7] = ["stage", "diff", "validate", "migrate", "replay", "rollback", "spot-check"];

#[derive(Args, Debug)]
pub(super) struct StartArgs {
    /// stage, diff, migrate, replay or rollback apply, with its options
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Args, Debug)]
pub(super) struct StopArgs {
    /// Do not let it finish what it is at: stop at once, which is safe, too
    #[arg(long)]
    now: bool,
}

#[derive(Args, Debug)]
pub(super) struct LogsArgs {
    /// Go on showing what it says until it ends
    #[arg(short, long)]
    follow: bool,
    /// Only the last lines
    #[arg(short, value_name = "N", value_parser = super::parse_count)]
    n: Option<u64>,
}

/// Leaves the session of the terminal, which then takes nothing with it when it is closed.
pub(super) fn detach() {
    // Whoever leads a group of processes cannot; then it has left already.
    let _ = setsid();
}

pub(super) fn start(global: &Global, args: &StartArgs) -> Result<u8> {
    let (arguments, name) = arguments(args)?;
    let home = global.home();
    if let Some(holder) = Ledger::holder(&home) {
        return Err(going_on(&home, &holder));
    }
    let log = log_file(&home, name)?;
    let mut child = spawn(&arguments, &log)?;
    let began = Instant::now();
    let mut held_since = None;
    loop {
        let ended = child.try_wait().or_failed(|| "cannot look after the process".to_owned())?;
        if let Some(status) = ended {
            return over_at_once(global, &log.path, status);
        }
        if held_since.is_none() && is_held_by(&home, &child) {
            held_since = Some(Instant::now());
        }
        if held_since.is_some_and(|since: Instant| since.elapsed() >= FIRST_LOOK) {
            return started(global, name, &child, &log.path);
        }
        if held_since.is_none() && began.elapsed() > START {
            return Err(Error::failed(format!(
                "process {} has not taken {} within {} s",
                child.id(),
                home.display(),
                START.as_secs()
            ))
            .help(format!("look what it is at: {}", log.path.display())));
        }
        std::thread::sleep(TICK);
    }
}

fn going_on(home: &Path, holder: &str) -> Error {
    Error::failed(format!("a run is going on in {}: {}", home.display(), holder.trim()))
        .help("wait until it ends (`recon status` shows it), or end it (`recon stop`)")
}

/// The arguments of the process, which are ours without `start`, and the name of its command.
fn arguments(args: &StartArgs) -> Result<(Vec<OsString>, &'static str)> {
    let mut all: Vec<OsString> = std::env::args_os().skip(1).collect();
    let before = all.len().saturating_sub(args.command.len());
    let at = all[..before].iter().rposition(|word| word == "start");
    all.remove(at.ok_or_else(|| Error::usage("`start` goes before the command that it starts"))?);
    let parsed = Cli::try_parse_from(std::iter::once(OsString::from("recon")).chain(all.iter().cloned()));
    let name = match parsed {
        Ok(Cli { command: Wanted::Stage(_), .. }) => "stage",
        Ok(Cli { command: Wanted::Diff(_), .. }) => "diff",
        Ok(Cli { command: Wanted::Migrate(_), .. }) => "migrate",
        Ok(Cli { command: Wanted::Replay(_), .. }) => "replay",
        Ok(Cli { command: Wanted::Rollback(args), .. }) if args.is_apply() => "rollback",
        Ok(_) => {
            let first = args.command[0].to_string_lossy().into_owned();
            return Err(Error::usage(format!("`{first}` is not run in the background"))
                .help("recon start takes stage, diff, migrate, replay and rollback apply"));
        }
        Err(error) => {
            let words = error.to_string();
            let words = words.strip_prefix("error: ").unwrap_or(&words).trim_end().to_owned();
            return Err(Error::usage(words));
        }
    };
    all.insert(0, "--detached".into());
    Ok((all, name))
}

/// A log that is locked until the last process that writes to it has ended.
struct Log {
    file: File,
    path: PathBuf,
}

fn log_file(home: &Path, name: &str) -> Result<Log> {
    let folder = home.join("logs");
    let path = folder.join(format!("{}-{name}.log", Timestamp::now().strftime("%Y%m%d-%H%M%S%3f")));
    let fail = || format!("cannot write {}", path.display());
    fs::create_dir_all(&folder).or_failed(fail)?;
    let file = File::options().append(true).create_new(true).open(&path).or_failed(fail)?;
    file.try_lock().or_failed(fail)?;
    Ok(Log { file, path })
}

fn spawn(arguments: &[OsString], log: &Log) -> Result<Child> {
    let program = std::env::current_exe().or_failed(|| "cannot tell where recon itself is".to_owned())?;
    let own = || log.file.try_clone().or_failed(|| format!("cannot write {}", log.path.display()));
    let mut command = Command::new(&program);
    command.args(arguments).stdin(Stdio::null()).stdout(own()?).stderr(own()?);
    command.spawn().or_failed(|| format!("cannot start {}", program.display()))
}

fn is_held_by(home: &Path, child: &Child) -> bool {
    matches!(Ledger::holding(home), Ok(Some(holder)) if holder.process == child.id())
}

fn started(global: &Global, name: &str, child: &Child, log: &Path) -> Result<u8> {
    let command = global.command();
    match global.format {
        Format::Json => {
            let facts = json!({ "command": name, "process": child.id(), "log": log.display().to_string() });
            print(&serde_json::to_string_pretty(&facts).expect("facts are always JSON"))
        }
        Format::Text => {
            let mut text =
                format!("{name} runs as process {}; its words go to {}\n", child.id(), log.display());
            if !global.quiet {
                text.push_str(&format!(
                    "next: {command} status        {command} logs -f        {command} stop\n"
                ));
            }
            print(&text)
        }
    }
}

/// It ended before anybody could call it running: what it said is shown, and its exit code is ours.
fn over_at_once(global: &Global, log: &Path, status: ExitStatus) -> Result<u8> {
    let said = fs::read_to_string(log).unwrap_or_default();
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(4);
    if code < 2 {
        if global.format == Format::Text && !global.quiet {
            eprintln!("it is over already; what it said:");
        }
        return print(&said).map(|_| code);
    }
    eprint!("{}", super::harmless(&said));
    if status.code().is_none() {
        eprintln!("error: it ended by {status}");
    }
    eprintln!(
        "it ended at once, with exit code {code}; its words are in {}",
        shell(&log.display().to_string())
    );
    Ok(code)
}

pub(super) fn stop(global: &Global, args: &StopArgs) -> Result<u8> {
    let home = global.home();
    let Some(holder) = Ledger::holding(&home)? else {
        return stopped(global, None);
    };
    if !STOPPABLE.contains(&holder.command.as_str()) {
        return Err(Error::failed(format!("`recon {}` is going on, which ends by itself", holder.command))
            .help("wait for it"));
    }
    let process = process(&home, &holder)?;
    signal(&home, &holder, process)?;
    if !global.quiet {
        let until = if args.now { "it stops at once" } else { "it finishes what it is at" };
        eprintln!("asked process {} ({}) to stop; {until}", holder.process, holder.command);
    }
    let mut last = Instant::now();
    while holds(&home, &holder) {
        if args.now && last.elapsed() >= BETWEEN_SIGNALS {
            last = Instant::now();
            signal(&home, &holder, process)?;
        }
        std::thread::sleep(TICK);
    }
    stopped(global, Some(&holder))
}

/// The process that holds the home, where it is certain that it is that one.
fn process(home: &Path, holder: &Holder) -> Result<Pid> {
    let id = i32::try_from(holder.process).ok().and_then(Pid::from_raw);
    match (id, holder.is_process(home)) {
        (Some(id), Some(true) | None) => Ok(id),
        _ => Err(Error::failed(format!(
            "{} is held, but not by a process {} that could be seen from here: {}",
            home.join("lock").display(),
            holder.process,
            holder.words
        ))
        .help(
            "it may belong to another user, or run in another container or on another machine: stop it there",
        )),
    }
}

/// Whether that run, and no later one, has the home.
fn holds(home: &Path, holder: &Holder) -> bool {
    Ledger::holder(home).is_some_and(|words| words.trim() == holder.words)
}

fn signal(home: &Path, holder: &Holder, process: Pid) -> Result<()> {
    match kill_process(process, Signal::TERM) {
        Err(e) if holds(home, holder) => {
            Err(Error::failed(format!("cannot signal process {}", holder.process)).caused_by(e))
        }
        _ => Ok(()),
    }
}

fn stopped(global: &Global, holder: Option<&Holder>) -> Result<u8> {
    let (home, command) = (global.home(), global.command());
    if global.format == Format::Json {
        let (name, process) = (holder.map(|h| &h.command), holder.map(|h| h.process));
        let facts = json!({ "stopped": holder.is_some(), "command": name, "process": process });
        return print(&serde_json::to_string_pretty(&facts).expect("facts are always JSON"));
    }
    print(&match holder {
        None => format!("nothing is running in {}", home.display()),
        Some(holder) if global.quiet => format!("{} has ended", holder.command),
        Some(holder) => format!("{} has ended\nnext: {command} status", holder.command),
    })
}

pub(super) fn logs(global: &Global, args: &LogsArgs) -> Result<u8> {
    let home = global.home();
    let Some(path) = newest_log(&home)? else {
        return Err(Error::failed(format!("no run was started in the background in {}", home.display()))
            .help(format!("`{} start COMMAND` starts one", global.command())));
    };
    let fail = || format!("cannot read {}", path.display());
    let mut file = File::open(&path).or_failed(fail)?;
    if let Some(lines) = args.n {
        let from = start_of_last_lines(&file, lines).or_failed(fail)?;
        file.seek(SeekFrom::Start(from)).or_failed(fail)?;
    }
    let mut text = Vec::new();
    loop {
        // Looked at before what is read, so that nothing is written after the last look.
        let is_over = !args.follow || !matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
        file.read_to_end(&mut text).or_failed(fail)?;
        // A line that is not whole may end in the middle of a character.
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let shown: Vec<u8> = text.drain(..if is_over { text.len() } else { whole }).collect();
        if !show(&shown)? || is_over {
            return Ok(0);
        }
        std::thread::sleep(TICK * 5);
    }
}

fn newest_log(home: &Path) -> Result<Option<PathBuf>> {
    let folder = home.join("logs");
    if !folder.is_dir() {
        return Ok(None);
    }
    let fail = || format!("cannot list {}", folder.display());
    let mut newest = None;
    for entry in fs::read_dir(&folder).or_failed(fail)? {
        let path = entry.or_failed(fail)?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            newest = newest.max(Some(path));
        }
    }
    Ok(newest)
}

/// Where the last lines of a file begin.
fn start_of_last_lines(file: &File, lines: u64) -> std::io::Result<u64> {
    let mut reader = BufReader::new(file);
    let (mut starts, mut at, mut line) = (std::collections::VecDeque::new(), 0, Vec::new());
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line)? as u64;
        if read == 0 {
            return Ok(starts.front().copied().unwrap_or(at));
        }
        starts.push_back(at);
        if starts.len() as u64 > lines {
            starts.pop_front();
        }
        at += read;
    }
}

/// Writes to stdout at once; false where nobody reads it any longer.
fn show(text: &[u8]) -> Result<bool> {
    let text = String::from_utf8_lossy(text);
    let mut out = std::io::stdout().lock();
    match out.write_all(super::harmless(&text).as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        written => written.map(|()| true).or_failed(|| "cannot write to stdout".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_whole() {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"a\nbb\nccc").expect("a file");
        for (lines, from) in [(0, 8), (1, 5), (2, 2), (3, 0), (9, 0)] {
            file.rewind().expect("a file");
            assert_eq!(start_of_last_lines(&file, lines).expect("a file"), from, "{lines}");
        }
    }
}
