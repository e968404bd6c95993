//! Inputs that change between runs and during them.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use tempfile::TempDir;

use super::process::{Held, run};
use super::project::{FILES, Project};

/// Writes other bytes of the same length and puts the modification time back.
fn rewrite_in_secret(path: &Path, from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let modified = fs::metadata(path).and_then(|m| m.modified()).expect("a time");
    let text = fs::read_to_string(path).expect("a file");
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replacen(from, to, 1)).expect("a file");
    let file = OpenOptions::new().write(true).open(path).expect("a file");
    file.set_modified(modified).expect("the time can be set");
}

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().append(true).open(path).expect("a file");
    file.write_all(text.as_bytes()).expect("written");
}

#[test]
fn a_file_of_the_same_size_and_time_with_other_content_is_staged_again() {
    let project = Project::new(200, false);
    let home = project.home("home");
    let before = project.results(&home);
    rewrite_in_secret(&project.file("orders_old", 0), "note 8\n", "Note 8\n");
    let staged = project.stage(&home).exits(0);
    assert_eq!(staged.sum("units_read"), 1);
    let after = project.results_after(&staged, &home);
    assert_ne!(after, before, "the change is not seen");
    assert_eq!(after, project.results(&project.home("afresh")));
}

#[test]
fn a_touched_file_is_kept() {
    let project = Project::new(200, false);
    let home = project.home("home");
    let before = project.results(&home);
    let file = OpenOptions::new().append(true).open(project.file("orders_old", 1)).expect("a file");
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("the time can be set");
    let staged = project.stage(&home).exits(0);
    assert_eq!(staged.sum("units_read"), 0);
    assert!(staged.json()["datasets"]["orders_old"]["kept"].as_bool().expect("a flag"));
    assert_eq!(project.results_after(&staged, &home), before);
}

#[test]
fn removed_and_added_files_are_seen_and_the_others_kept() {
    let project = Project::new(200, false);
    let home = project.home("home");
    let before = project.results(&home);
    project.hide_first_files();
    let fewer = project.stage(&home).exits(0);
    assert_eq!((fewer.sum("units"), fewer.sum("units_read")), (4 * (FILES - 1), 0));
    let without = project.results_after(&fewer, &home);
    assert_ne!(without, before);
    assert_eq!(without, project.results(&project.home("fewer")));
    project.show_first_files();
    let again = project.stage(&home).exits(0);
    assert_eq!((again.sum("units"), again.sum("units_read")), (4 * FILES, 4));
    assert_eq!(project.results_after(&again, &home), before);
}

#[test]
fn a_file_that_grows_while_it_is_read_is_not_taken() {
    let project = Project::new(60_000, false);
    let home = project.home("home");
    let held = Held::at("stage.batch-written", project.path(), &home, &["stage", "--threads", "1"]);
    // One thread reads the first dataset's first file.
    append(&project.file("orders_old", 0), "9000000,1.50,late\n");
    held.go_on().exits(4).says(&["orders_old/0.csv changed while it was being", "recon stage"]);
    let undisturbed = project.results(&project.home("undisturbed"));
    assert_eq!(project.results(&home), undisturbed);
}

/// Two Parquet files that are read where they lie.
fn parquet_project() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let spec = "[datasets.old]\nkind = \"parquet\"\nuri = \"old.parquet\"\n\
                [datasets.new]\nkind = \"parquet\"\nuri = \"new.parquet\"\n\
                [entities.row]\nsource = \"old\"\ntarget = \"new\"\nkey = [\"id\"]\n";
    fs::write(folder.path().join("recon.toml"), spec).expect("a file");
    for name in ["old.parquet", "new.parquet"] {
        write_parquet(&folder.path().join(name), 100);
    }
    folder
}

fn write_parquet(path: &Path, rows: i64) {
    let id: ArrayRef = Arc::new((0..rows).collect::<Int64Array>());
    let value: ArrayRef = Arc::new((0..rows).map(|n| n * 3).collect::<Int64Array>());
    let batch = RecordBatch::try_from_iter([("id", id), ("value", value)]).expect("a batch");
    let file = File::create(path).expect("a file");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("written");
    writer.close().expect("written");
}

#[test]
fn a_parquet_file_that_changed_after_it_was_staged_is_not_compared() {
    let folder = parquet_project();
    let (project, home) = (folder.path(), folder.path().join("home"));
    run(project, &home, &["stage"]).exits(0);
    run(project, &home, &["diff"]).exits(0);
    write_parquet(&project.join("new.parquet"), 99);
    let words = ["new.parquet changed since it was staged", "recon stage"];
    run(project, &home, &["diff"]).exits(4).says(&words);
    run(project, &home, &["stage"]).exits(0);
    run(project, &home, &["diff"]).exits(1);
    fs::remove_file(project.join("new.parquet")).expect("the file goes");
    run(project, &home, &["diff"]).exits(4).says(&["new.parquet", "recon stage"]);
}

#[test]
fn a_file_that_changed_after_it_was_staged_is_not_passed_over_in_silence() {
    let project = Project::new(200, false);
    let home = project.home("home");
    let fresh = project.results(&home);
    let old = project.run(&home, &["diff"]).exits(1);
    assert!(!old.stderr.contains("warning"), "{}", old.stderr);
    append(&project.file("orders_old", 0), "9000000,1.50,late\n");
    fs::remove_file(project.file("items_new", 1)).expect("the file goes");
    fs::write(project.path().join("items_new/new.csv"), "pk,size\n").expect("a file");
    let diff = project.run(&home, &["diff", "--format", "json"]).exits(1);
    let words = [
        "warning: dataset `orders_old`: ",
        "orders_old/0.csv is not what it was when it was staged",
        "warning: dataset `items_new`: ",
        "items_new/1.csv and 1 more files are not what they were",
        "`recon stage` reads it anew",
    ];
    let json = diff.json();
    diff.says(&words);
    let warned = |entity: &str| json["entities"][entity]["warnings"]["stage"].to_string();
    assert!(warned("order").contains("orders_old/0.csv"), "{json}");
    assert!(warned("item").contains("items_new/1.csv"), "{json}");
    let staged = project.stage(&home).exits(0);
    let again = project.results_after(&staged, &home);
    assert_ne!(again, fresh);
    assert_eq!(again, project.results(&project.home("afresh")));
    let diff = project.run(&home, &["diff"]).exits(1);
    assert!(!diff.stderr.contains("warning"), "{}", diff.stderr);
}

#[test]
fn copies_are_compared_whatever_becomes_of_the_files() {
    let folder = parquet_project();
    let (project, home) = (folder.path(), folder.path().join("home"));
    run(project, &home, &["stage", "--copy"]).exits(0);
    fs::remove_file(project.join("new.parquet")).expect("the file goes");
    run(project, &home, &["diff"]).exits(0);
    let (project, home) = (Project::new(200, false), home.join("other"));
    project.run(&home, &["stage", "--copy"]).exits(0);
    assert_eq!(project.stage(&home).exits(0).sum("units_read"), 0, "only Parquet files are copied");
    project.results(&home);
}

#[test]
fn a_parquet_file_that_was_only_touched_can_be_compared_after_staging_again() {
    let folder = parquet_project();
    let (project, home) = (folder.path(), folder.path().join("home"));
    run(project, &home, &["stage"]).exits(0);
    let file = OpenOptions::new().append(true).open(project.join("old.parquet")).expect("a file");
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("the time can be set");
    run(project, &home, &["diff"]).exits(4).says(&["recon stage"]);
    assert_eq!(run(project, &home, &["stage", "--format", "json"]).exits(0).sum("units_read"), 0);
    run(project, &home, &["diff"]).exits(0);
}

#[test]
fn a_parquet_file_that_changes_during_a_diff_gives_no_result() {
    let folder = parquet_project();
    let (project, home) = (folder.path(), folder.path().join("home"));
    run(project, &home, &["stage"]).exits(0);
    let held = Held::at("diff.after-hash-done:2", project, &home, &["diff"]);
    write_parquet(&project.join("new.parquet"), 99);
    held.go_on().exits(4).says(&["new.parquet changed since it was staged"]);
    run(project, &home, &["stage"]).exits(0);
    run(project, &home, &["diff"]).exits(1);
}
