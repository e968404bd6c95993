//! Two runners of one home, and runs that somebody interrupts.

use super::process::Held;
use super::project::{FILES, Project};

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
    let status = project.run(&home, &["status"]).exits(0);
    assert!(status.stdout.contains("nothing is running"), "{}", status.stdout);
    project.stage(&home).exits(0);
    let runs = project.run(&home, &["runs", "--format", "json"]).exits(0).json();
    let states: Vec<_> = runs.as_array().expect("runs").iter().map(|run| run["state"].clone()).collect();
    assert_eq!(states, ["done", "interrupted"]);
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
