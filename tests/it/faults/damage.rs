//! Files of the home that somebody deleted or damaged.

use std::fs;
use std::path::Path;

use rusqlite::Connection;

use super::project::Project;

/// Turns every bit of a range over.
fn invert(path: &Path, range: std::ops::Range<usize>) {
    let mut bytes = fs::read(path).expect("a file");
    let end = range.end.min(bytes.len());
    bytes[range.start.min(end)..end].iter_mut().for_each(|b| *b = !*b);
    fs::write(path, bytes).expect("a file");
}

/// What is done to a file, in words and in deed.
type Damage = (&'static str, fn(&Path));

#[test]
fn the_engines_file_is_rebuilt_whatever_happens_to_it() {
    let project = Project::new(200, true);
    let home = project.home("home");
    let undisturbed = project.results(&home);
    let file = home.join("stage.duckdb");
    let damages: [Damage; 8] = [
        ("deleted", |path| fs::remove_file(path).expect("the file goes")),
        ("emptied", |path| fs::write(path, "").expect("a file")),
        ("words", |path| fs::write(path, "not a database ".repeat(5_000)).expect("a file")),
        ("first header", |path| invert(path, 0..64)),
        ("second headers", |path| invert(path, 4_096..12_288)),
        ("content", |path| invert(path, 12_288..usize::MAX)),
        ("cut short", |path| {
            let bytes = fs::read(path).expect("a file");
            fs::write(path, &bytes[..bytes.len() / 2]).expect("a file");
        }),
        ("log of changes", |path| {
            fs::write(path.with_extension("duckdb.wal"), "not a log ".repeat(500)).expect("a file");
        }),
    ];
    for (what, damage) in damages {
        damage(&file);
        let staged = project.stage(&home).exits(3);
        assert_eq!(staged.sum("units_read"), 0, "{what}");
        assert_eq!(project.results_after(&staged, &home), undisturbed, "{what}");
    }
}

#[test]
fn a_part_that_is_gone_is_noticed_and_staged_again() {
    let project = Project::new(200, false);
    let home = project.home("home");
    let undisturbed = project.results(&home);
    let pattern = format!("{}/stage/orders_old/*.parquet", home.display());
    let part = glob::glob(&pattern).expect("a glob").next().expect("a part").expect("a path");
    fs::remove_file(part).expect("the part goes");
    project.run(&home, &["diff"]).exits(4).says(&["is gone", "recon stage"]);
    let staged = project.stage(&home).exits(0);
    assert_eq!(staged.sum("units_read"), 1);
    assert_eq!(project.results_after(&staged, &home), undisturbed);
}

#[test]
fn a_ledger_of_a_newer_version_is_left_alone() {
    let project = Project::new(200, false);
    let home = project.home("home");
    project.stage(&home).exits(0);
    let set = |version: i64| {
        let ledger = Connection::open(home.join("ledger.db")).expect("the ledger opens");
        ledger.pragma_update(None, "user_version", version).expect("a version");
    };
    set(99);
    for command in [&["stage"][..], &["diff"], &["status"], &["runs"]] {
        project.run(&home, command).exits(4).says(&["ledger.db is of version 99", "newer recon"]);
    }
    set(1);
    assert_eq!(project.stage(&home).exits(0).sum("units_read"), 0);
}

#[test]
fn a_ledger_that_is_no_database_is_refused() {
    let project = Project::new(200, false);
    let home = project.home("home");
    project.stage(&home).exits(0);
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(home.join(format!("ledger.db{suffix}")));
    }
    fs::write(home.join("ledger.db"), "not a database ".repeat(5_000)).expect("a file");
    for command in [&["stage"][..], &["diff"], &["status"]] {
        project.run(&home, command).exits(4).says(&["ledger.db"]);
    }
}

#[test]
fn hashes_of_a_lost_ledger_are_never_used_again() {
    let project = Project::new(200, false);
    let home = project.home("home");
    project.results(&home);
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(home.join(format!("ledger.db{suffix}")));
    }
    let file = project.file("items_new", 0);
    let text = fs::read_to_string(&file).expect("a file");
    fs::write(&file, text.replace("I#8,8\n", "I#8,7\n")).expect("a file");
    let undisturbed = project.results(&project.home("afresh"));
    assert_eq!(project.results(&home), undisturbed);
}
