//! The spec's hooks: commands that are told how a run goes, by one JSON object on stdin.
//!
//! One thread runs them, one after the other, so no worker waits for a hook. Units that end faster than their hook runs stand in a
//! queue of fixed length; what does not fit is added to the last in it, so that nothing is left out and memory is bounded. `on_progress`
//! is left out while units wait. A hook that fails is a warning, and changes neither the run nor its exit code.

use std::collections::VecDeque;
use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::{End, Facts};
use crate::error::{Context, Result};
use crate::event::{Progress, Unit, get, warn_once};
use crate::ledger::now;
use crate::spec::{HookCommand, Hooks};

/// How long a hook may take.
const LIMIT: Duration = Duration::from_secs(30);
/// Units that wait for their hook one by one.
const QUEUE_UNITS: usize = 1000;
/// How often `on_progress` is run at most.
const PROGRESS_PAUSE: Duration = Duration::from_secs(1);
/// How long units that still wait when the run is over are told one by one; then the rest is told in one call.
const DRAIN: Duration = Duration::from_secs(30);
/// The longest message that is handed on; a pipe takes this much without anybody reading.
const MESSAGE_CHARS_MAX: usize = 4000;

/// The thread that runs the hooks.
pub(super) struct Runner {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    units: VecDeque<Ended>,
    end: Option<End>,
    /// Nobody is left to say how the run ended.
    abandoned: bool,
}

/// A unit that ended, or several of which the last is named.
#[derive(Clone, Debug)]
struct Ended {
    unit: Unit,
    units: u64,
    counts: Json,
    at: String,
}

impl Queue {
    /// Lets a unit wait for its hook.
    fn push(&self, ended: Ended) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.units.len() < QUEUE_UNITS {
            waiting.units.push_back(ended);
        } else if let Some(last) = waiting.units.back_mut() {
            last.add(ended);
        }
        drop(waiting);
        self.changed.notify_one();
    }
}

impl Ended {
    /// Adds a later one.
    fn add(&mut self, later: Self) {
        let same = self.unit.of == later.unit.of;
        self.units += later.units;
        self.unit = Unit {
            of: if same { later.unit.of } else { String::new() },
            name: later.unit.name,
            rows: self.unit.rows + later.unit.rows,
            failures: self.unit.failures + later.unit.failures,
        };
        (self.counts, self.at) = (later.counts, later.at);
    }
}

impl Runner {
    /// Runs `on_start`, and from then on what there is to run.
    ///
    /// # Errors
    /// A thread that cannot be started.
    pub(super) fn start(hooks: Hooks, folder: &Path, facts: &Arc<Facts>) -> Result<Self> {
        let queue = Arc::new(Queue::default());
        if hooks.on_unit.is_some() {
            let (queue, progress) = (Arc::clone(&queue), Arc::downgrade(&facts.progress));
            facts.progress.listen(move |unit| {
                let counts = progress.upgrade().map_or(Json::Null, |progress| counts(&progress));
                queue.push(Ended { unit: unit.clone(), units: 1, counts, at: now() });
            });
        }
        let worker = Worker {
            hooks,
            folder: folder.to_path_buf(),
            facts: Arc::clone(facts),
            queue: Arc::clone(&queue),
        };
        let thread = std::thread::Builder::new()
            .name("hooks".to_owned())
            .spawn(move || worker.work())
            .or_failed(|| "cannot start a thread".to_owned())?;
        Ok(Self { queue, thread: Some(thread) })
    }

    /// Runs what still waits, then `on_complete`, and returns when they are done.
    pub(super) fn end(mut self, end: End) {
        self.queue.waiting.lock().unwrap_or_else(PoisonError::into_inner).end = Some(end);
        self.stop();
    }

    fn stop(&mut self) {
        self.queue.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.queue.waiting.lock().unwrap_or_else(PoisonError::into_inner).abandoned = true;
        self.stop();
    }
}

struct Worker {
    hooks: Hooks,
    folder: PathBuf,
    facts: Arc<Facts>,
    queue: Arc<Queue>,
}

/// What is to be done next.
enum Next {
    Unit(Ended),
    Progress,
    End(Option<End>),
}

impl Worker {
    fn work(&self) {
        self.run("on_start", self.hooks.on_start.as_ref(), || self.told("on_start", "running"));
        let (mut told_at, mut over_since) = (Instant::now(), None);
        loop {
            match self.next(told_at, &mut over_since) {
                Next::Unit(ended) => {
                    self.run("on_unit", self.hooks.on_unit.as_ref(), || self.unit(&ended));
                }
                Next::Progress => {
                    told_at = Instant::now();
                    self.run("on_progress", self.hooks.on_progress.as_ref(), || {
                        self.told("on_progress", "running")
                    });
                }
                Next::End(None) => return,
                Next::End(Some(end)) => {
                    self.run("on_complete", self.hooks.on_complete.as_ref(), || self.complete(&end));
                    return;
                }
            }
        }
    }

    /// Waits for something to do. Units go before the end, and progress before the few units that wait.
    fn next(&self, told_at: Instant, over_since: &mut Option<Instant>) -> Next {
        let mut waiting = self.queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let over = waiting.end.is_some() || waiting.abandoned;
            if over && over_since.get_or_insert_with(Instant::now).elapsed() > DRAIN {
                let rest = std::mem::take(&mut waiting.units);
                waiting.units.extend(rest.into_iter().reduce(|mut all, later| {
                    all.add(later);
                    all
                }));
            }
            let is_due = self.hooks.on_progress.is_some() && told_at.elapsed() >= PROGRESS_PAUSE;
            if is_due && !over && waiting.units.len() <= 1 {
                return Next::Progress;
            }
            if let Some(ended) = waiting.units.pop_front() {
                return Next::Unit(ended);
            }
            if over {
                return Next::End(waiting.end.take());
            }
            let pause = match self.hooks.on_progress {
                Some(_) => PROGRESS_PAUSE.saturating_sub(told_at.elapsed()).max(Duration::from_millis(10)),
                None => PROGRESS_PAUSE,
            };
            let waited = self.queue.changed.wait_timeout(waiting, pause);
            waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn run(&self, name: &str, command: Option<&HookCommand>, told: impl FnOnce() -> Json) {
        let Some(command) = command else { return };
        if let Err(why) = run(command, &self.folder, &told(), LIMIT) {
            warn_once(&format!("the hook `{name}` {why}; the run goes on"));
        }
    }

    /// What every hook is told.
    fn told(&self, event: &str, state: &str) -> Json {
        let facts = &self.facts;
        let seconds = (facts.began.elapsed().as_secs_f64() * 1e3).round() / 1e3;
        json!({
            "schema_version": 1, "event": event, "run_id": facts.run_id, "command": facts.command, "entity": null,
            "state": state, "counts": counts(&facts.progress),
            "times": { "began_at": facts.began_at, "at": now(), "seconds": seconds }, "exit_code": null,
        })
    }

    fn unit(&self, ended: &Ended) -> Json {
        let mut told = self.told("on_unit", "running");
        let label = if self.facts.command == "stage" { "dataset" } else { "entity" };
        told[label] = if ended.unit.of.is_empty() { Json::Null } else { json!(ended.unit.of) };
        told["counts"] = ended.counts.clone();
        told["times"]["at"] = json!(ended.at);
        told["unit"] = json!({
            "name": ended.unit.name, "units": ended.units, "records": ended.unit.rows, "failures": ended.unit.failures,
        });
        told
    }

    fn complete(&self, end: &End) -> Json {
        let mut told = self.told("on_complete", end.state);
        told["exit_code"] = json!(end.exit_code);
        let message =
            end.message.as_ref().map(|text| text.chars().take(MESSAGE_CHARS_MAX).collect::<String>());
        told["message"] = json!(message);
        told
    }
}

fn counts(p: &Progress) -> Json {
    json!({
        "records": get(&p.rows_done), "planned": get(&p.rows_planned), "failures": get(&p.failures),
        "retries": get(&p.retries), "units_done": get(&p.units_done), "units": get(&p.units_total),
        "bytes_read": get(&p.bytes_done), "bytes": get(&p.bytes_total),
    })
}

/// Runs a command to its end, or until the limit; then it and what it started are killed. Its output goes to our stderr.
fn run(command: &HookCommand, folder: &Path, told: &Json, limit: Duration) -> Result<(), String> {
    let mut process = match command {
        HookCommand::Shell(text) => {
            let mut process = Command::new("sh");
            process.args(["-c", text]);
            process
        }
        HookCommand::Program(words) => {
            let mut process = Command::new(&words[0]);
            process.args(&words[1..]);
            process
        }
    };
    if !folder.as_os_str().is_empty() {
        process.current_dir(folder);
    }
    // In a group of its own, so that Ctrl-C reaches recon alone, and so that the limit ends all of it.
    process.process_group(0).stdin(Stdio::piped()).stdout(std::io::stderr());
    let mut child = process.spawn().map_err(|e| format!("cannot be started: {e}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // Who does not want to read it need not.
        let _ = stdin.write_all(format!("{told}\n").as_bytes());
    }
    match wait(&mut child, limit) {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(match (status.code(), status.signal()) {
            (Some(code), _) => format!("failed with exit code {code}"),
            (None, signal) => format!("was ended by signal {}", signal.unwrap_or_default()),
        }),
        None => {
            let group = rustix::process::Pid::from_child(&child);
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            let _ = child.wait();
            Err(format!("took longer than {} s and was ended", limit.as_secs()))
        }
    }
}

fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let (began, mut pause) = (Instant::now(), Duration::from_millis(1));
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            _ if began.elapsed() >= limit => return None,
            _ => std::thread::sleep(pause),
        }
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(number: u64) -> Ended {
        let unit = Unit { of: "a".to_owned(), name: number.to_string(), rows: 10, failures: 1 };
        Ended { unit, units: 1, counts: json!({ "records": number }), at: number.to_string() }
    }

    #[test]
    fn units_that_do_not_fit_are_added_to_the_last() {
        let queue = Queue::default();
        let all = QUEUE_UNITS as u64 + 5;
        (0..all).for_each(|number| queue.push(ended(number)));
        let waiting = queue.waiting.lock().expect("nobody panicked");
        assert_eq!(waiting.units.len(), QUEUE_UNITS);
        assert_eq!(
            waiting.units.iter().map(|e| (e.units, e.unit.rows)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1)),
            (all, all * 10)
        );
        let last = waiting.units.back().expect("one");
        assert_eq!((last.units, last.unit.failures, last.unit.name.as_str()), (6, 6, "1004"));
        assert_eq!(last.counts, json!({ "records": 1004 }));
    }

    #[test]
    fn a_hook_that_takes_too_long_is_ended_with_what_it_started() {
        let folder = tempfile::tempdir().expect("a folder");
        let hook = HookCommand::Shell("(sleep 60; echo x > late) & echo $! > child; sleep 60".to_owned());
        let began = Instant::now();
        let why = run(&hook, folder.path(), &Json::Null, Duration::from_millis(300))
            .expect_err("it takes too long");
        assert!(why.contains("took longer") && began.elapsed() < Duration::from_secs(20), "{why}");
        let id = std::fs::read_to_string(folder.path().join("child")).expect("it was begun");
        // Killed, it needs a moment to be gone.
        let stat = || std::fs::read_to_string(format!("/proc/{}/stat", id.trim())).unwrap_or_default();
        let is_over = || stat().is_empty() || stat().contains(") Z");
        while !is_over() {
            assert!(began.elapsed() < Duration::from_secs(20), "it goes on: {}", stat());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn a_hook_is_told_and_says_how_it_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        let shell =
            |text: &str| run(&HookCommand::Shell(text.to_owned()), folder.path(), &json!({ "a": 1 }), LIMIT);
        assert_eq!(shell("cat > told"), Ok(()));
        assert_eq!(std::fs::read_to_string(folder.path().join("told")).expect("told"), "{\"a\":1}\n");
        assert_eq!(shell("exit 7"), Err("failed with exit code 7".to_owned()));
        assert_eq!(shell("kill -TERM $$"), Err("was ended by signal 15".to_owned()));
        let program = HookCommand::Program(vec!["/no/such/program".to_owned()]);
        let why = run(&program, folder.path(), &Json::Null, LIMIT).expect_err("there is none");
        assert!(why.starts_with("cannot be started: "), "{why}");
    }
}
