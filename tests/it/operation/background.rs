//! `recon start`, `recon stop` and `recon logs`.

use std::fs::{self, File};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use super::{Case, SPEC, eventually};
use crate::project::Project;

const SLOWLY: [&str; 7] = ["start", "migrate", "--batch-size", "10", "--rate", "50", "--max-errors=1%"];

/// A process that must not outlive the test.
struct Guard(u32);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-9", &self.0.to_string()]).status();
    }
}

impl Case {
    /// `--format json` stands before `start`, since what comes after it belongs to the command.
    fn start(&self, args: &[&str]) -> (Json, Guard) {
        let ran = self.recon(&[&["--format", "json"], args].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
        let told: Json = serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
        let process = told["process"].as_u64().and_then(|id| u32::try_from(id).ok()).expect("a process");
        (told, Guard(process))
    }
}

/// A number out of `/proc/ID/stat`, counted from the state on.
fn stat(process: u32, field: usize) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    text.rsplit(") ").next()?.split(' ').nth(field).map(str::to_owned)
}

#[test]
fn a_run_in_the_background_is_started_followed_and_stopped_and_goes_on() {
    let case = Case::new(400);
    let began = Instant::now();
    let (told, process) = case.start(&SLOWLY);
    assert!(began.elapsed() < Duration::from_secs(5), "it waited for the run: {:?}", began.elapsed());
    assert_eq!(told["command"], "migrate");
    // State, parent, group, session: it has a session of its own.
    assert_eq!(stat(process.0, 3), Some(process.0.to_string()));
    let status = case.json(&["status"], 0);
    let words = status["running"].as_str().expect("it runs");
    assert!(
        words.starts_with("recon migrate, since ") && words.contains(&format!(", process {}, ", process.0)),
        "{words}"
    );
    for second in [&SLOWLY[..], &["start", "diff"]] {
        let ran = case.recon(second);
        assert_eq!(ran.code, 4, "{ran:?}");
        assert!(ran.stderr.contains("a run is going on in ") && ran.stderr.contains("recon stop"), "{ran:?}");
    }
    case.wait_for(30);
    let follower = case.spawn(&["logs", "-f"]);
    let ran = case.recon(&["stop"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.starts_with("migrate has ended\nnext: "), "{ran:?}");
    let written = case.written();
    assert!((30..400).contains(&written) && written.is_multiple_of(10), "{written}");
    let followed = follower.ends();
    assert_eq!(followed.code, 0, "{followed:?}");
    assert!(followed.stdout.contains("interrupted; everything finished so far is kept"), "{followed:?}");
    assert_eq!(case.json(&["status"], 0)["last_run"]["state"], "interrupted");
    let log = case.recon(&["logs"]).stdout;
    assert_eq!(log, followed.stdout);
    let last = case.recon(&["logs", "-n", "1"]).stdout;
    assert!(log.ends_with(&last) && last.lines().count() == 1, "{last}");
    let ran = case.recon(&["stop"]);
    assert!(ran.code == 0 && ran.stdout.starts_with("nothing is running in "), "{ran:?}");
    assert_eq!(case.recon(&["migrate"]).code, 0);
    case.wrote_once(400);
}

#[test]
fn stopped_at_once_it_does_not_finish_its_batch() {
    let case = Case::new(50);
    case.database.run(
        "create function slow() returns trigger language plpgsql as $$ begin perform pg_sleep(60); return null; end $$; \
         create trigger slow after insert on images for each statement execute function slow();",
    );
    let (_, process) = case.start(&["start", "migrate"]);
    eventually("it writes", || {
        let busy = case.database.run("select count(*) from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()");
        (busy == "1\n").then_some(())
    });
    let began = Instant::now();
    let ran = case.recon(&["stop", "--now"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(began.elapsed() < Duration::from_secs(20), "it waited for the batch");
    eventually("it is gone", || stat(process.0, 0).is_none_or(|state| state == "Z").then_some(()));
    assert_eq!(case.json(&["status"], 0)["last_run"]["state"], "interrupted");
}

#[test]
fn what_fails_at_once_is_shown_with_its_exit_code() {
    let bare = Project::new();
    bare.write("recon.toml", SPEC.replace("${DATABASE_URL}", "postgres://nobody@127.0.0.1/none"));
    let ran = bare.recon(&["start", "diff"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    for words in [
        "error: nothing is staged in home",
        "it ended at once, with exit code 4; its words are in home/logs/",
    ] {
        assert!(ran.stderr.contains(words), "no `{words}`: {ran:?}");
    }
    let case = Case::new(10);
    let ran = case.recon(&["start", "migrate", "--max-errors", "many"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("neither a number of records nor a share"), "{ran:?}");
    for other in ["show", "reset", "start", "status"] {
        let ran = case.recon(&["start", other, "1"]);
        assert_eq!(ran.code, 2, "{ran:?}");
    }
    let ran = case.recon(&["start", "reset", "--yes"]);
    assert!(ran.code == 2 && ran.stderr.contains("`reset` is not run in the background"), "{ran:?}");
    fs::remove_file(case.project.path("recon.toml")).expect("a file");
    let ran = case.recon(&["start", "migrate"]);
    assert!(ran.code == 2 && ran.stderr.contains("there is no spec file recon.toml"), "{ran:?}");
    assert_eq!(case.written(), 0);
}

#[test]
fn what_is_over_at_once_is_shown_as_if_it_ran_here() {
    let case = Case::new(10);
    let ran = case.recon(&["start", "migrate"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    eventually("it is over", || case.json(&["status"], 0)["running"].is_null().then_some(()));
    case.wrote_once(10);
    let log = case.recon(&["logs"]);
    assert!(log.stdout.contains("image: 10 of 10 records migrated"), "{log:?}");
}

#[test]
fn nobody_is_signalled_because_a_file_names_him() {
    let case = Case::new(10);
    let home = case.project.path("home");
    let mut sleeper = Command::new("sleep").arg("60").spawn().expect("sleep");
    let words = format!("recon migrate, since 2024-01-01T00:00:00Z, process {}, epoch 0123", sleeper.id());
    fs::write(home.join("lock"), &words).expect("a file");
    let ran = case.recon(&["stop"]);
    assert!(
        ran.code == 0 && ran.stdout.starts_with("nothing is running in "),
        "the words alone say nothing: {ran:?}"
    );
    // Somebody holds the lock, but not the process that the words name.
    let lock = File::open(home.join("lock")).expect("a file");
    lock.lock().expect("it is free");
    let ran = case.recon(&["stop"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.stderr.contains("but not by a process") && ran.stderr.contains("stop it there"), "{ran:?}");
    fs::write(home.join("lock"), "recon stage, since 2024").expect("a file");
    let ran = case.recon(&["stop"]);
    assert!(ran.code == 4 && ran.stderr.contains("does not say by whom"), "{ran:?}");
    fs::write(home.join("lock"), words.replace("migrate", "reset")).expect("a file");
    let ran = case.recon(&["stop"]);
    assert!(
        ran.code == 4 && ran.stderr.contains("`recon reset` is going on, which ends by itself"),
        "{ran:?}"
    );
    assert!(sleeper.try_wait().expect("a process").is_none(), "it was signalled");
    sleeper.kill().expect("it can be killed");
    sleeper.wait().expect("it ends");
}

#[test]
fn what_fails_later_is_in_the_log() {
    let case = Case::new(10);
    case.database.run("drop table images");
    let ran = case.recon(&["start", "migrate"]);
    assert!(ran.code == 0 || ran.code == 4, "{ran:?}");
    eventually("it is over", || case.json(&["status"], 0)["running"].is_null().then_some(()));
    let log = case.recon(&["logs"]).stdout;
    assert!(log.contains("error: ") && log.contains("images"), "{log}");
}

#[test]
fn logs_of_nothing() {
    let case = Case::new(1);
    let ran = case.recon(&["logs"]);
    assert!(ran.code == 4 && ran.stderr.contains("no run was started in the background"), "{ran:?}");
}
