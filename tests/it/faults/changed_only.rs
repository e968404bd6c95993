//! `stage --changed-only` that is killed: what goes on afterwards finds what is different then.

use std::path::Path;

use tempfile::TempDir;

use super::process::{run, run_with_fault};
use crate::servers::{mariadb, postgres};

/// Two tables of 20,000 rows of which every 156th differs: every other range, hence two units a side.
const POSTGRES: &str = "create table a (k int primary key, v text); \
    insert into a select i, 'v' || i from generate_series(1, 20000) i; \
    create table b (k int primary key, v text); insert into b select * from a; update b set v = '' where k % 156 = 0";
const MARIADB: &str = "create table a (k int primary key, v varchar(20)); \
    insert into a select seq, concat('v', seq) from seq_1_to_20000; \
    create table b (k int primary key, v varchar(20)); insert into b select * from a; update b set v = '' where k % 156 = 0";

fn project(kind: &str, url: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dataset =
        |name: &str| format!("[datasets.{name}]\nkind = \"{kind}\"\nurl = \"{url}\"\ntable = \"{name}\"\n\n");
    let entity = "[entities.row]\nsource = \"a\"\ntarget = \"b\"\nkey = [\"k\"]\n";
    std::fs::write(folder.path().join("recon.toml"), format!("{}{}{entity}", dataset("a"), dataset("b")))
        .expect("a file");
    folder
}

/// Kills a staging at each of its points; then a row changes in a range that was proven equal and one in a range that was not,
/// and the next staging goes on, proving again or reading everything.
fn killed_anywhere_it_tells_the_truth(folder: &Path, kind: &str, change: impl Fn(&str)) {
    let points = [
        "stage.prepared:1",
        "stage.prepared:2",
        "stage.before-ledger:2",
        "stage.after-ledger:1",
        "stage.after-ledger:3",
        "stage.before-complete:1",
        "stage.after-complete:1",
    ];
    for (n, point) in points.iter().enumerate() {
        for (next, args) in [["stage", "--changed-only"].as_slice(), &["stage"]].iter().enumerate() {
            let home = folder.join(format!("{kind}-{n}-{next}"));
            let staged = run_with_fault(folder, &home, &["stage", "--changed-only", "--threads", "1"], point);
            assert!(staged.was_killed(), "{point}: {}", staged.stderr);
            run(folder, &home, &["diff"]).exits(4).says(&["recon stage"]);
            change("update b set v = 'other' where k in (78, 156 * 3 + 1)");
            run(folder, &home, args).exits(0);
            let diff = run(folder, &home, &["diff", "--format", "json"]).exits(1).json();
            let row = &diff["entities"]["row"];
            let proven = row["proven"]["rows"].as_u64();
            assert_eq!(
                (row["matched"].as_u64(), row["mismatched"].as_u64()),
                (Some(20_000 - 130), Some(130)),
                "{point} {args:?}"
            );
            assert_eq!(proven.is_some(), next == 0, "{point}");
            change("update b set v = (select a.v from a where a.k = b.k) where k in (78, 156 * 3 + 1)");
        }
    }
}

#[test]
fn killed_anywhere_it_tells_the_truth_of_postgres() {
    let database = postgres::Database::new(POSTGRES);
    let project = project("postgres", &database.url);
    killed_anywhere_it_tells_the_truth(project.path(), "postgres", |sql| {
        database.run(sql);
    });
}

#[test]
fn killed_anywhere_it_tells_the_truth_of_mariadb() {
    let database = mariadb::Database::new(MARIADB);
    let project = project("mysql", &database.url);
    killed_anywhere_it_tells_the_truth(project.path(), "mysql", |sql| {
        database.run(sql);
    });
}

#[test]
fn what_was_read_before_a_kill_is_not_held_against_what_is_proven_after_it() {
    let database = postgres::Database::new(
        "create table a (k int primary key, v int); insert into a select i, 1 from generate_series(1, 3000) i; \
         create table b (k int primary key, v int); insert into b select * from a; update b set v = 2 where k = 10",
    );
    let project = project("postgres", &database.url);
    let (folder, home) = (project.path(), project.path().join("home"));
    let stage = ["stage", "--changed-only", "--threads", "1"];
    assert!(run_with_fault(folder, &home, &stage, "stage.after-ledger:1").was_killed());
    // The range that was read of `a` is again the only one that differs, but as it never was together with the rest.
    database.run("update b set v = 1 where k = 10; update a set v = 7 where k = 10");
    database.run("update a set v = 9 where k = 2000; update b set v = 9 where k = 2000");
    run(folder, &home, &stage).exits(0);
    let diff = run(folder, &home, &["diff", "--format", "json"]).exits(1).json();
    assert_eq!(diff["entities"]["row"]["mismatched"], 1);
}
