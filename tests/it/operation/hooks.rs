//! The hooks of a spec are told how a run goes, and change nothing about it.

use std::time::{Duration, Instant};

use serde_json::Value as Json;

use super::Case;

const HOOKS: &str = "[hooks]\non_start = \"cat >> told\"\non_unit = [\"sh\", \"-c\", \"cat >> told\"]\n\
                     on_progress = \"cat >> told\"\non_complete = \"cat >> told; echo heard\"\n";

/// What the hooks were told, and forgets it.
fn told(case: &Case) -> Vec<Json> {
    let text = case.project.read("told");
    std::fs::remove_file(case.project.path("told")).expect("a file");
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

fn of<'a>(told: &'a [Json], event: &str) -> Vec<&'a Json> {
    told.iter().filter(|one| one["event"] == event).collect()
}

#[test]
fn every_batch_is_told_between_the_start_and_the_end() {
    let case = Case::with(100, &[7], HOOKS);
    let staged = told(&case);
    assert_eq!(
        (of(&staged, "on_unit").len(), &of(&staged, "on_unit")[0]["dataset"]),
        (1, &"old".into()),
        "{staged:?}"
    );
    let ran = case.recon(&["migrate", "--batch-size", "10", "--rate", "40"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("heard") && !ran.stdout.contains("heard"), "{ran:?}");
    let told = told(&case);
    let (first, last) = (told.first().expect("some"), told.last().expect("some"));
    assert_eq!(
        (&first["event"], &first["state"], &first["exit_code"]),
        (&"on_start".into(), &"running".into(), &Json::Null)
    );
    assert_eq!(
        (&last["event"], &last["state"], &last["exit_code"]),
        (&"on_complete".into(), &"done".into(), &1.into())
    );
    let run = first["run_id"].as_str().expect("an id");
    assert!(
        run.contains("-migrate-")
            && told.iter().all(|one| one["run_id"] == run && one["command"] == "migrate")
    );
    let units = of(&told, "on_unit");
    let names: std::collections::BTreeSet<&str> =
        units.iter().filter_map(|one| one["unit"]["name"].as_str()).collect();
    assert_eq!((units.len(), names.len()), (10, 10), "{told:?}");
    let sum = |name: &str| units.iter().filter_map(|one| one["unit"][name].as_u64()).sum::<u64>();
    assert_eq!((sum("units"), sum("records"), sum("failures")), (10, 100, 1));
    assert!(units.iter().all(|one| one["entity"] == "image"), "{told:?}");
    assert_eq!((&last["counts"]["records"], &last["counts"]["failures"]), (&100.into(), &1.into()));
    let seconds = last["times"]["seconds"].as_f64().expect("a number") as usize;
    assert!((1..=seconds).contains(&of(&told, "on_progress").len()), "in {seconds} s: {told:?}");
}

#[test]
fn a_diff_tells_when_it_begins_and_ends() {
    let case = Case::with(10, &[], HOOKS);
    assert_eq!(case.recon(&["migrate"]).code, 0);
    assert_eq!(case.recon(&["stage", "target"]).code, 0);
    told(&case);
    assert_eq!(case.recon(&["diff"]).code, 0);
    let told = told(&case);
    let events: Vec<_> = told.iter().map(|one| one["event"].as_str().expect("a word")).collect();
    assert_eq!(events, ["on_start", "on_complete"]);
    assert_eq!((&told[1]["state"], &told[1]["exit_code"]), (&"done".into(), &0.into()));
}

#[test]
fn hooks_that_fail_or_are_slow_change_neither_the_run_nor_its_exit_code() {
    let slow = "[hooks]\non_start = \"exit 9\"\non_unit = \"cat >> told; sleep 1\"\non_complete = [\"/no/such/hook\"]\n";
    let case = Case::with(100, &[], slow);
    let began = Instant::now();
    let run = case.spawn(&["migrate", "--batch-size", "10", "--concurrency", "1"]);
    case.wait_for(100);
    assert!(began.elapsed() < Duration::from_secs(8), "the workers waited for hooks");
    let ran = run.ends();
    assert_eq!(ran.code, 0, "{ran:?}");
    for words in [
        "the hook `on_start` failed with exit code 9; the run goes on",
        "the hook `on_complete` cannot be started: ",
    ] {
        assert!(ran.stderr.contains(words), "no `{words}`: {ran:?}");
    }
    let told = told(&case);
    // One of the staging, ten of the run: all were waited for.
    assert_eq!(of(&told, "on_unit").len(), 11, "{told:?}");
}

#[test]
fn a_run_that_is_interrupted_says_so_to_its_hook_and_leaves_it_alone() {
    let case = Case::with(200, &[], "[hooks]\non_complete = \"sleep 0.5; cat > told\"\n");
    std::fs::remove_file(case.project.path("told")).expect("of the staging");
    let run = case.spawn(&["migrate", "--batch-size", "10", "--rate", "50"]);
    case.wait_for(10);
    run.signal("INT");
    assert_eq!(run.ends().code, 3);
    let told = told(&case);
    assert_eq!((&told[0]["state"], &told[0]["exit_code"]), (&"interrupted".into(), &3.into()));
    assert!(told[0]["message"].as_str().is_some_and(|words| words.contains("interrupted")), "{told:?}");
}
