//! Two runners of one home, and runs that somebody interrupts.

use std::fs;
use std::time::Duration;

use super::process::{Held, Running, eventually};
use super::project::{FILES, Project};
use crate::project::write_parquet;

#[test]
fn a_second_runner_is_refused_and_told_who_holds_the_home() {
    let project = Project::new(200, false);
    let home = project.home("shared");
    let first = Held::at("stage.batch-written", project.path(), &home, &["stage"]);
    for command in [&["stage"][..], &["diff"], &["show", "1"], &["reset", "--yes"]] {
        let refused = project.run(&home, command).exits(4);
        refused.says(&["is held by another run: recon stage, since ", "recon status", "another --home"]);
    }
    let status = project.run(&home, &["status"]).exits(0);
    assert!(status.stdout.contains("running: recon stage, since "), "{}", status.stdout);
    let status = project.run(&home, &["status", "--format", "json"]).exits(0).json();
    assert_eq!(status["last_run"]["state"], "running");
    let runs = project.run(&home, &["runs", "--format", "json"]).exits(0).json();
    assert_eq!(runs.as_array().map(Vec::len), Some(1), "{runs}");
    assert_eq!(runs[0]["state"], "running");
    let ended = first.go_on();
    ended.exits(0);
    let undisturbed = project.results(&project.home("undisturbed"));
    assert_eq!(project.results(&home), undisturbed);
}

#[test]
fn a_killed_run_holds_nothing_and_is_not_called_running() {
    let project = Project::new(200, false);
    let home = project.home("killed");
    Held::at("stage.after-ledger", project.path(), &home, &["stage"]).kill();
    let status = project.run(&home, &["status"]).exits(0).stdout;
    assert!(status.contains("nothing is running") && status.contains(", interrupted, "), "{status}");
    assert!(!status.contains(", running"), "{status}");
    let status = project.run(&home, &["status", "--format", "json"]).exits(0).json();
    assert_eq!(
        (&status["running"], &status["last_run"]["state"]),
        (&serde_json::Value::Null, &"interrupted".into())
    );
    let runs = project.run(&home, &["runs", "--format", "json"]).exits(0).json();
    assert_eq!(runs[0]["state"], "interrupted");
    project.stage(&home).exits(0);
    let runs = project.run(&home, &["runs", "--format", "json"]).exits(0).json();
    let states: Vec<_> = runs.as_array().expect("runs").iter().map(|run| run["state"].clone()).collect();
    assert_eq!(states, ["done", "interrupted"]);
}

#[test]
fn status_says_how_far_a_run_is() {
    let project = Project::new(2_000, true);
    let home = project.home("home");
    let mut stage = project.command(&home, &["stage", "--threads", "1"]);
    let stage =
        Running::start(stage.env("RECON_FAULT", "stage.after-ledger:4").env("RECON_FAULT_DOES", "wait"));
    let progress = eventually("three files are done", || {
        let status = project.run(&home, &["status", "--format", "json"]);
        let progress = (status.code == Some(0)).then(|| status.json()["progress"].clone())?;
        (progress["units_done"] == 3).then_some(progress)
    });
    assert_eq!(progress["units_total"], 4 * FILES);
    for name in ["rows", "failures", "bytes_done", "rows_per_second", "bytes_per_second"] {
        assert!(progress[name].as_u64().is_some_and(|n| n > 0), "{name}: {progress}");
    }
    let [done, total] = ["bytes_done", "bytes_total"].map(|name| progress[name].as_u64().expect("a number"));
    assert!(done < total && progress["seconds_left"].is_u64(), "{progress}");
    let text = project.run(&home, &["status"]).exits(0).stdout;
    for words in [
        "  3 of 16 units, ",
        " did not parse",
        " a second; about ",
        " left\n",
        "next: recon --home ",
        " status  ",
    ] {
        assert!(text.contains(words), "no `{words}` in:\n{text}");
    }
    drop(stage);
    let status = project.run(&home, &["status", "--format", "json"]).exits(0).json();
    assert!(status["progress"].is_null(), "{status}");
}

#[test]
fn a_record_can_be_shown_while_another_run_goes_on() {
    let project = Project::new(200, false);
    let home = project.home("home");
    project.stage(&home).exits(0);
    let diff = Held::at("diff.after-hash-done", project.path(), &home, &["diff"]);
    let words = ["not compared yet", "is held by another run: recon diff, since ", "recon status"];
    project.run(&home, &["show", "-e", "item", "I#7"]).exits(4).says(&words);
    diff.go_on().exits(1);
    let alone = project.run(&home, &["show", "-e", "order", "38"]).exits(0).stdout;
    assert!(alone.contains("mismatched"), "{alone}");
    let diff = Held::at("diff.judged", project.path(), &home, &["diff"]);
    assert_eq!(project.run(&home, &["show", "-e", "order", "38"]).exits(0).stdout, alone);
    diff.go_on().exits(1);
}

#[test]
fn interrupted_once_a_diff_ends_the_statement_under_way() {
    let project = Project::new(200, false);
    let home = project.home("home");
    write_parquet("select range as id from range(10000000)", &project.path().join("ids.parquet"));
    // A filter that no machine comes to the end of soon.
    let spec = "[datasets.ids]\nkind = \"parquet\"\nuri = \"ids.parquet\"\n\n[entities.order]\nsource = \"ids\"\n\
                target = \"ids\"\nkey = [\"id\"]\nwhere = \"list_sum(range(5000 + id % 10)) > 0\"\n";
    fs::write(project.path().join("recon.toml"), spec).expect("a file");
    project.stage(&home).exits(0);
    for pause in [0, 300, 1_500] {
        let mut diff = project.command(&home, &["diff", "-e", "order"]);
        let diff = Running::start(&mut diff);
        eventually("the diff is begun", || {
            let runs = project.run(&home, &["runs", "--format", "json"]).json();
            (runs[0]["command"] == "diff" && runs[0]["state"] == "running").then_some(())
        });
        std::thread::sleep(Duration::from_millis(pause));
        diff.signal("INT");
        diff.ends_within(Duration::from_secs(20))
            .exits(3)
            .says(&["interrupted", "run the same command again"]);
    }
}

#[test]
fn interrupted_once_a_stage_saves_what_it_has_and_goes_on_later() {
    let project = Project::new(60_000, false);
    let undisturbed = project.results(&project.home("undisturbed"));
    for signal in ["INT", "TERM"] {
        let home = project.home(signal);
        let held = Held::at("stage.after-ledger", project.path(), &home, &["stage"]);
        held.signal(signal);
        let ended = held.go_on().exits(3);
        ended.says(&["stopping after the step under way", "interrupted", "run the same command again"]);
        let runs = project.run(&home, &["runs", "--format", "json"]).exits(0).json();
        assert_eq!((&runs[0]["state"], &runs[0]["exit_code"]), (&"interrupted".into(), &3.into()));
        project.run(&home, &["diff"]).exits(4).says(&["is not finished", "recon stage"]);
        let staged = project.stage(&home).exits(0);
        assert!(staged.sum("units_read") < 4 * FILES, "the recorded files are read again");
        assert_eq!(project.results_after(&staged, &home), undisturbed);
    }
}

#[test]
fn interrupted_once_a_diff_stops_and_can_be_repeated() {
    let project = Project::new(60_000, false);
    let home = project.home("home");
    let undisturbed = project.results(&project.home("undisturbed"));
    project.stage(&home).exits(0);
    let held = Held::at("diff.after-hash-done", project.path(), &home, &["diff"]);
    held.signal("INT");
    held.go_on().exits(3).says(&["interrupted", "run the same command again"]);
    assert_eq!(project.results(&home), undisturbed);
}
