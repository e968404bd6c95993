//! Stagings of live stores that are killed, or lose their server in the middle.

use std::path::Path;

use tempfile::TempDir;

use super::process::{Held, run, run_with_fault};
use crate::servers::{dynamodb, free_port, mariadb, postgres};

/// A project over one dataset on both sides.
pub(super) fn project(kind: &str, place: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let spec = format!(
        "[datasets.a]\nkind = \"{kind}\"\n{place}\n\n[entities.row]\nsource = \"a\"\ntarget = \"a\"\nkey = [\"k\"]\n"
    );
    std::fs::write(folder.path().join("recon.toml"), spec).expect("a file");
    folder
}

/// A table of 150,000 rows and three ranges in PostgreSQL.
pub(super) const MANY_ROWS: &str = "create table a (k int primary key, v text); \
    insert into a select i, repeat('x', 900) from generate_series(1, 150000) i; analyze a";

/// A table of 900,000 rows and several ranges in MariaDB.
pub(super) const MANY_ROWS_OF_MARIADB: &str = "create table a (k int primary key, v varchar(20)); \
    insert into a select seq, concat('v', seq) from seq_1_to_900000; analyze table a";

/// Kills a staging after each of its ranges in turn; each goes on with what is left, and says that it is not one moment.
fn killed_after_a_range_it_goes_on(folder: &Path, rows: u64) {
    for (n, fault) in
        ["stage.batch-written:2", "stage.before-ledger:1", "stage.after-ledger:1", "stage.after-ledger:2"]
            .iter()
            .enumerate()
    {
        let home = folder.join(format!("home-{n}"));
        assert!(run_with_fault(folder, &home, &["stage", "--threads", "1"], fault).was_killed(), "{fault}");
        let resumed = run(folder, &home, &["stage", "--format", "json"]).exits(0);
        let (units, read) = (resumed.sum("units"), resumed.sum("units_read"));
        let kept = fault.strip_prefix("stage.after-ledger:").map_or(0, |n| n.parse().expect("a number"));
        assert_eq!(read, units - kept, "{fault}: {}", resumed.stdout);
        assert_eq!(resumed.sum("rows"), rows, "{fault}");
        let of_two_moments = kept > 0 && read > 0;
        let told = resumed.stdout.contains("not one moment: the staging was interrupted");
        assert_eq!(told, of_two_moments, "{fault}: {}", resumed.stdout);
        let diff = run(folder, &home, &["diff", "--format", "json"]).exits(0);
        assert_eq!(diff.json()["entities"]["row"]["matched"], rows, "{fault}");
        assert_eq!(diff.stdout.contains("not one moment"), of_two_moments, "{fault}: {}", diff.stdout);
    }
}

#[test]
fn a_killed_staging_of_postgres_goes_on_with_the_ranges_that_are_left() {
    let database = postgres::Database::new(MANY_ROWS);
    let project = project("postgres", &format!("url = \"{}\"\ntable = \"a\"", database.url));
    killed_after_a_range_it_goes_on(project.path(), 150_000);
}

#[test]
fn a_killed_staging_of_mariadb_goes_on_with_the_ranges_that_are_left() {
    let database = mariadb::Database::new(MANY_ROWS_OF_MARIADB);
    let project = project("mysql", &format!("url = \"{}\"\ntable = \"a\"", database.url));
    killed_after_a_range_it_goes_on(project.path(), 900_000);
}

#[test]
fn a_killed_scan_of_dynamodb_goes_on_with_the_segments_that_are_left() {
    let name = "killed";
    dynamodb::table_of_numbers(name, 40);
    let place = format!(
        "table = \"{name}\"\nregion = \"eu-central-1\"\nendpoint = \"{}\"\nsegments = 4",
        dynamodb::endpoint()
    );
    let project = project("dynamodb", &place);
    let (folder, home) = (project.path(), project.path().join("home"));
    let stage = |rate: &str, fault: Option<&str>| {
        let args = ["stage", "--max-rcu", rate, "--threads", "1", "--format", "json"];
        let mut command = super::process::recon(folder, &home, &args);
        command.envs(dynamodb::ENVIRONMENT).envs(fault.map(|fault| ("RECON_FAULT", fault)));
        command.output().expect("recon starts")
    };
    assert!(stage("1000", Some("stage.after-ledger:3")).status.code().is_none());
    // The rate is no reason to begin anew.
    let resumed: serde_json::Value = serde_json::from_slice(&stage("2000", None).stdout).expect("JSON");
    let facts = &resumed["datasets"]["a"];
    assert_eq!((&facts["units"], &facts["units_read"], &facts["rows"]), (&4.into(), &1.into(), &40.into()));
}

#[test]
fn a_server_that_restarts_in_the_middle_is_named_and_the_staging_goes_on_later() {
    let server = postgres::begin(free_port(), &[]);
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres", server.port);
    postgres::psql(&url, MANY_ROWS);
    let project = project("postgres", &format!("url = \"{url}\"\ntable = \"a\""));
    let (folder, home) = (project.path(), project.path().join("home"));
    let held = Held::at("stage.after-ledger", folder, &home, &["stage", "--threads", "1"]);
    postgres::stop(&server);
    held.go_on().exits(4).says(&["127.0.0.1", "what was staged stays staged"]);
    let gone = run(folder, &home, &["stage"]).exits(4);
    gone.says(&["cannot connect", "check that the server is there"]);
    let _again = postgres::begin_again(server);
    let resumed = run(folder, &home, &["stage", "--format", "json"]).exits(0);
    assert_eq!((resumed.sum("units"), resumed.sum("units_read"), resumed.sum("rows")), (3, 2, 150_000));
    assert!(resumed.stdout.contains("not one moment"), "{}", resumed.stdout);
}

#[test]
fn a_mariadb_that_restarts_in_the_middle_is_named_and_the_staging_goes_on_later() {
    // What was committed outlives the crash.
    let durable = ["--innodb-flush-log-at-trx-commit=1"];
    let server = mariadb::begin(free_port(), &durable);
    mariadb::sql(&server, "mysql", "create database shop");
    mariadb::sql(&server, "shop", MANY_ROWS_OF_MARIADB);
    let url = format!("mysql://root@127.0.0.1:{}/shop", server.port);
    let project = project("mysql", &format!("url = \"{url}\"\ntable = \"a\""));
    let (folder, home) = (project.path(), project.path().join("home"));
    let held = Held::at("stage.after-ledger", folder, &home, &["stage", "--threads", "1"]);
    mariadb::stop(&server);
    let words = ["dataset `a`: ", "mysql://root@127.0.0.1", "reading a `k` ", "what was staged stays staged"];
    held.go_on().exits(4).says(&words);
    run(folder, &home, &["stage"]).exits(4).says(&["cannot connect", "check that the server is there"]);
    let _again = mariadb::begin_again(server, &durable);
    let resumed = run(folder, &home, &["stage", "--format", "json"]).exits(0);
    assert_eq!(resumed.sum("units_read"), resumed.sum("units") - 1, "{}", resumed.stdout);
    assert_eq!(resumed.sum("rows"), 900_000);
    assert!(resumed.stdout.contains("not one moment"), "{}", resumed.stdout);
    let diff = run(folder, &home, &["diff", "--format", "json"]).exits(0);
    assert_eq!(diff.json()["entities"]["row"]["matched"], 900_000, "{}", diff.stdout);
    assert!(diff.stdout.contains("not one moment"), "{}", diff.stdout);
}

#[test]
fn a_table_of_postgres_stays_what_it_is_while_it_is_read() {
    let database = postgres::Database::new(MANY_ROWS);
    let project = project("postgres", &format!("url = \"{}\"\ntable = \"a\"", database.url));
    let (folder, home) = (project.path(), project.path().join("home"));
    let held =
        Held::at("stage.after-ledger", folder, &home, &["stage", "--threads", "1", "--format", "json"]);
    // Emptied, it would look empty to every snapshot.
    for change in ["truncate a", "alter table a drop column v", "drop table a"] {
        let sql = format!(
            "set lock_timeout = '100ms'; do $$ begin {change}; raise 'it went through'; \
            exception when lock_not_available then null; end $$"
        );
        database.run(&sql);
    }
    database.run("delete from a where k % 2 = 0; update a set v = 'new'");
    let staged = held.go_on().exits(0);
    assert_eq!(staged.sum("rows"), 150_000);
    assert!(!staged.stdout.contains("not one moment"), "{}", staged.stdout);
}

#[test]
fn a_table_that_was_altered_since_is_read_anew() {
    let database = postgres::Database::new(MANY_ROWS);
    let other = mariadb::Database::new(MANY_ROWS_OF_MARIADB);
    for (kind, url, change) in [
        ("postgres", &database.url, "alter table a alter column v type varchar(1000), add column w int"),
        ("mysql", &other.url, "alter table a add column w int"),
    ] {
        let project = project(kind, &format!("url = \"{url}\"\ntable = \"a\""));
        let (folder, home) = (project.path(), project.path().join("home"));
        let killed = run_with_fault(folder, &home, &["stage", "--threads", "1"], "stage.after-ledger:1");
        assert!(killed.was_killed());
        if kind == "postgres" {
            database.run(change)
        } else {
            other.run(change)
        };
        let resumed = run(folder, &home, &["stage", "--format", "json"]).exits(0);
        assert_eq!(resumed.sum("units_read"), resumed.sum("units"), "{kind}");
        assert!(!resumed.stdout.contains("not one moment"), "{}", resumed.stdout);
    }
}

#[test]
fn a_table_of_mariadb_stays_what_it_is_while_it_is_read() {
    let database = mariadb::Database::new(MANY_ROWS_OF_MARIADB);
    let project = project("mysql", &format!("url = \"{}\"\ntable = \"a\"", database.url));
    let (folder, stage) = (project.path(), ["stage", "--threads", "1", "--format", "json"]);
    let held = Held::at("stage.after-ledger", folder, &folder.join("half"), &stage);
    for change in ["truncate a", "alter table a drop column v", "drop table a"] {
        let sql = format!("set lock_wait_timeout = 1; {change}");
        assert!(std::panic::catch_unwind(|| database.run(&sql)).is_err(), "{change} went through");
    }
    database.run("delete from a where k % 2 = 0");
    assert_eq!(held.go_on().exits(0).sum("rows"), 900_000);
}

#[test]
fn all_sessions_see_the_moment_at_which_they_began() {
    let database = postgres::Database::new(MANY_ROWS);
    let other = mariadb::Database::new(MANY_ROWS_OF_MARIADB);
    for (kind, url, rows) in [("postgres", &database.url, 150_000), ("mysql", &other.url, 900_000)] {
        let project = project(kind, &format!("url = \"{url}\"\ntable = \"a\""));
        let stage = ["stage", "--threads", "2", "--format", "json"];
        // Nothing is read yet, and each of the two threads takes a session of its own.
        let held = Held::at("stage.prepared", project.path(), &project.path().join("home"), &stage);
        let change = "delete from a where k % 2 = 0";
        if kind == "postgres" {
            database.run(change)
        } else {
            other.run(change)
        };
        let staged = held.go_on().exits(0);
        assert!(staged.sum("units") > 1, "{}", staged.stdout);
        assert_eq!(staged.sum("rows"), rows, "{kind}");
    }
}

#[test]
fn a_table_that_is_dropped_before_it_is_read_is_named() {
    let database = mariadb::Database::new(MANY_ROWS_OF_MARIADB);
    let project = project("mysql", &format!("url = \"{}\"\ntable = \"a\"", database.url));
    for change in ["truncate a", "drop table a"] {
        let home = project.path().join(change);
        let held = Held::at("stage.prepared", project.path(), &home, &["stage", "--threads", "1"]);
        database.run(change);
        let words = ["dataset `a`: ", "reading a `k` ", "dropped or altered", "recon check"];
        held.go_on().exits(4).says(&words);
        database.run(&MANY_ROWS_OF_MARIADB.replace("create table", "create or replace table"));
    }
}

#[test]
fn rows_that_were_given_new_places_are_read_anew() {
    let database = postgres::Database::new(MANY_ROWS);
    let project = project("postgres", &format!("url = \"{}\"\ntable = \"a\"", database.url));
    let (folder, home) = (project.path(), project.path().join("home"));
    let killed = run_with_fault(folder, &home, &["stage", "--threads", "1"], "stage.after-ledger:1");
    assert!(killed.was_killed());
    database.run("delete from a where k <= 20000");
    postgres::psql(&database.url, "vacuum full a");
    let resumed = run(folder, &home, &["stage", "--format", "json"]).exits(0);
    assert_eq!((resumed.sum("rows"), resumed.sum("units_read")), (130_000, resumed.sum("units")));
}

#[test]
fn a_killed_scan_of_dynamodb_goes_on_within_a_segment() {
    // 44 MB in one segment: steps of 16.
    const ITEMS: u64 = 110;
    dynamodb::table("steps", &[("pk", "S"), ("sk", "N")]);
    let filling = "x".repeat(400_000);
    for i in 0..ITEMS {
        let item = serde_json::json!({
            "pk": { "S": format!("a, after \"{}", i % 3) }, "sk": { "N": i.to_string() }, "v": { "S": filling },
        });
        dynamodb::ask("PutItem", &serde_json::json!({ "TableName": "steps", "Item": item }));
    }
    let place = format!(
        "table = \"steps\"\nregion = \"eu-central-1\"\nendpoint = \"{}\"\nsegments = 1",
        dynamodb::endpoint()
    );
    let project = project("dynamodb", &place);
    let spec = std::fs::read_to_string(project.path().join("recon.toml")).expect("a spec");
    std::fs::write(project.path().join("recon.toml"), spec.replace("[\"k\"]", "[\"pk\", \"sk\"]"))
        .expect("a spec");
    let (folder, home) = (project.path(), project.path().join("home"));
    let run = |args: &[&str], fault: Option<&str>| {
        let mut command = super::process::recon(folder, &home, args);
        command.envs(dynamodb::ENVIRONMENT).envs(fault.map(|fault| ("RECON_FAULT", fault)));
        command.output().expect("recon starts")
    };
    let stage = ["stage", "--threads", "1", "--format", "json"];
    for fault in ["stage.after-ledger:1", "stage.before-ledger:1", "stage.after-ledger:1"] {
        assert!(run(&stage, Some(fault)).status.code().is_none(), "{fault}");
    }
    let resumed: serde_json::Value = serde_json::from_slice(&run(&stage, None).stdout).expect("JSON");
    let facts = &resumed["datasets"]["a"];
    assert_eq!(
        (&facts["units"], &facts["units_read"], &facts["rows"]),
        (&3.into(), &1.into(), &ITEMS.into())
    );
    let diff: serde_json::Value =
        serde_json::from_slice(&run(&["diff", "--format", "json"], None).stdout).expect("JSON");
    assert_eq!(diff["entities"]["row"]["matched"], ITEMS);
}
