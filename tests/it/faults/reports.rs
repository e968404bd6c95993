//! Reports in a folder that is used again: they are all of one run, or have no summary.

use std::fs;

use super::process::run_with_fault;
use super::project::Project;

#[test]
fn a_killed_diff_leaves_no_summary_beside_reports_of_two_runs() {
    let project = Project::new(200, true);
    let home = project.home("home");
    let out = project.path().join("out");
    let args = ["diff", "--out", "out"];
    project.stage(&home).exits(3);
    project.run(&home, &args).exits(3);
    let whole = reports(&out);
    assert_eq!(whole.len(), 8, "{whole:?}");
    for fault in [
        "report.before-rename:1",
        "report.before-rename:3",
        "report.before-summary",
        "report.before-rename:7",
        "report.before-rename:8",
    ] {
        assert!(run_with_fault(project.path(), &home, &args, fault).was_killed(), "{fault}");
        assert!(!out.join("summary.json").exists(), "{fault}");
        project.run(&home, &args).exits(3);
        assert_eq!(reports(&out), whole, "{fault}");
    }
}

#[test]
fn what_a_killed_diff_had_begun_to_write_goes_when_the_next_begins() {
    let project = Project::new(200, true);
    let home = project.home("home");
    project.stage(&home).exits(3);
    let args = ["diff", "--out", "out"];
    let begun = project.path().join("out/missing.tmp");
    assert!(run_with_fault(project.path(), &home, &args, "report.before-rename:2").was_killed());
    assert!(begun.exists());
    assert!(run_with_fault(project.path(), &home, &args, "diff.classified").was_killed());
    assert!(!begun.exists());
}

fn reports(folder: &std::path::Path) -> Vec<String> {
    let names = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").file_name());
    let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    // By this recon knows a folder that it may write to again.
    names.retain(|name| name != ".recon-reports");
    names.sort();
    names
}
