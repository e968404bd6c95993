//! Records that are read again by key: what differs while stores are in use, and random ones side by side.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::project::{Project, Ran};
use crate::servers::dynamodb::{self, ENVIRONMENT};
use crate::servers::mariadb;
use crate::servers::postgres::Database;

fn dataset(name: &str, kind: &str, lines: &str) -> String {
    format!("[datasets.{name}]\nkind = \"{kind}\"\n{lines}\n\n")
}

fn row(summary: &Value) -> &Value {
    &summary["entities"]["row"]
}

/// The counts by name, in this order.
const COUNTS: [&str; 6] = ["source_rows", "target_rows", "matched", "mismatched", "missing", "extra"];

fn counts(row: &Value) -> [u64; 6] {
    COUNTS.map(|name| row[name].as_u64().expect("a count"))
}

fn diff(project: &Project, more: &[&str]) -> (Ran, Value) {
    let delay: &[&str] = if more.is_empty() { &[] } else { &["--delay", "50ms"] };
    let args = [&["diff", "--out", "out"], more, delay].concat();
    let ran = project.recon_with(&args, &ENVIRONMENT);
    let summary = if ran.code < 2 || ran.code == 3 { project.summary("out") } else { Value::Null };
    (ran, summary)
}

#[test]
fn what_became_equal_is_dropped_and_what_still_differs_is_shown_as_it_is_now() {
    let (source, target) = (Database::new("select 1"), mariadb::Database::new("select 1"));
    let table = "create table t (tenant varchar(10), id bigint, text varchar(20), price numeric(10,2), primary key (tenant, id))";
    source.run(table);
    target.run(table);
    let rows = "insert into t values ('a|b', 1, 'x', 1.5), ('a', 2, 'x', 1.5), ('a', 3, 'x', 1.5), ('b', 4, 'x', 1.5), ('b', 5, 'x', null)";
    source.run(rows);
    target.run(rows);
    // Five differences: in two records, one missing, two extra.
    target.run("update t set text = 'old' where id in (1, 2)");
    target.run("delete from t where id = 3");
    target.run("insert into t values ('c', 6, 'x', 1), ('c', 7, 'x', 1)");
    let project = Project::new();
    let entity = "[entities.row]\nsource = \"a\"\ntarget = \"b\"\nkey = [\"tenant\", \"id\"]\n";
    let a = dataset("a", "postgres", &format!("url = \"{}\"\ntable = \"t\"", source.url));
    let b = dataset("b", "mysql", &format!("url = \"{}\"\ntable = \"t\"", target.url));
    project.write("recon.toml", a + &b + entity);
    assert_eq!(project.recon(&["stage"]).code, 0);
    let (ran, summary) = diff(&project, &[]);
    assert_eq!((ran.code, counts(row(&summary))), (1, [5, 6, 2, 2, 1, 2]));
    assert_eq!(row(&summary)["rechecks"], json!([]));
    // Meanwhile one of each kind was put right, and one record differs otherwise than before.
    target.run("update t set text = 'x' where id = 1");
    target.run("update t set text = 'new', price = 9 where id = 2");
    target.run("insert into t values ('a', 3, 'x', 1.50)");
    source.run("insert into t values ('c', 6, 'x', 1)");
    let (ran, summary) = diff(&project, &["--recheck", "2"]);
    let found = row(&summary);
    assert_eq!((ran.code, counts(found)), (1, [6, 7, 5, 1, 0, 1]), "{}", ran.stderr);
    assert_eq!(
        found["rechecks"],
        json!([{ "records": 5, "equal": 3, "gone": 0 }, { "records": 2, "equal": 0, "gone": 0 }])
    );
    assert!(ran.stdout.contains("recheck 1: of 5 that differed, 3 are equal now"), "{}", ran.stdout);
    assert_eq!(
        project.read("out/mismatches.csv"),
        "entity,tenant,id,field,rule,source_value,target_value,delta\n\
         row,a,2,text,exact,x,new,\nrow,a,2,price,exact,1.5,9,7.5\n"
    );
    assert_eq!(project.read("out/missing.csv").lines().count(), 1);
    assert!(project.read("out/extra.csv").contains("row,c,7,x,1"), "{}", project.read("out/extra.csv"));
    let [text, price] = ["text", "price"].map(|name| &found["fields"][name]);
    assert_eq!((&text["compared"], &text["unequal"]), (&json!(6), &json!(1)));
    assert_eq!(
        (&price["compared"], &price["unequal"], &price["max_delta"]),
        (&json!(6), &json!(1), &json!(7.5))
    );
    assert!(!project.path("home/afresh").exists());
    // What nobody has any longer is no proof of anything.
    source.run("delete from t where id = 2");
    target.run("delete from t where id in (2, 7)");
    let (ran, summary) = diff(&project, &["--recheck", "1"]);
    assert_eq!((ran.code, counts(row(&summary))), (3, [5, 5, 5, 0, 0, 0]), "{}", ran.stdout);
    assert_eq!(row(&summary)["rechecks"], json!([{ "records": 5, "equal": 3, "gone": 2 }]));
}

#[test]
fn a_writer_that_keeps_writing_leaves_no_difference() {
    let (source, target) = (Database::new("select 1"), Database::new("select 1"));
    for database in [&source, &target] {
        database.run("create table t (id int primary key, n int); insert into t select i, 0 from generate_series(1, 200) i");
    }
    let project = Project::new();
    let a = dataset("a", "postgres", &format!("url = \"{}\"\ntable = \"t\"", source.url));
    let b = dataset("b", "postgres", &format!("url = \"{}\"\ntable = \"t\"", target.url));
    project.write("recon.toml", a + &b + "[entities.row]\nsource = \"a\"\ntarget = \"b\"\nkey = [\"id\"]\n");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                n += 1;
                // The target follows a moment later.
                let sql = format!("update t set n = {n} where id % 7 = {}", n % 7);
                source.run(&sql);
                std::thread::sleep(Duration::from_millis(5));
                target.run(&sql);
            }
        });
        let source = project.recon(&["stage", "source"]);
        std::thread::sleep(Duration::from_millis(300));
        let target = project.recon(&["stage", "target"]);
        let ran = [source, target, diff(&project, &[]).0, diff(&project, &["--recheck", "20"]).0];
        stop.store(true, Ordering::Relaxed);
        // Nothing is asserted before the writer was told to stop: it would go on for ever.
        assert_eq!(ran.each_ref().map(|ran| ran.code), [0, 0, 1, 0], "{ran:?}");
    });
    let summary = project.summary("out");
    assert_eq!(counts(row(&summary)), [200, 200, 200, 0, 0, 0]);
    let rounds = row(&summary)["rechecks"].as_array().unwrap();
    assert!(!rounds.is_empty() && rounds.iter().all(|round| round["gone"] == 0));
}

#[test]
fn items_are_found_by_their_primary_key_and_files_stay_what_they_are() {
    dynamodb::table("again", &[("pk", "S"), ("sk", "S")]);
    let put = |n: u32, text: &str| {
        let item = json!({ "pk": { "S": format!("ROW#{n}") }, "sk": { "S": "v" }, "text": { "S": text } });
        dynamodb::ask("PutItem", &json!({ "TableName": "again", "Item": item }));
    };
    (1..=3).for_each(|n| put(n, "old"));
    let project = Project::new();
    project.write("b.csv", "id,text\n1,new\n2,new\n3,old\n4,new\n");
    let place =
        format!("table = \"again\"\nregion = \"eu-central-1\"\nendpoint = \"{}\"", dynamodb::endpoint());
    let entity = "[entities.row]\nsource = \"a\"\ntarget = \"b\"\nkey = [\"id\"]\n[entities.row.fields]\n\
                  id = \"substr(pk, 5)\"\ntext = \"text\"\n";
    let b = dataset("b", "csv", "uri = \"b.csv\"");
    project.write("recon.toml", dataset("a", "dynamodb", &place) + &b + entity);
    assert_eq!(project.recon_with(&["stage"], &ENVIRONMENT).code, 0);
    put(1, "new");
    put(4, "new");
    let (ran, summary) = diff(&project, &["--recheck", "1"]);
    // The item that is extra on the other side has a key that nobody can compute backwards.
    assert_eq!((ran.code, counts(row(&summary))), (1, [3, 4, 2, 1, 0, 1]), "{}", ran.stderr);
    assert!(ran.stdout.contains("extra records are not looked at again"), "{}", ran.stdout);
    assert_eq!(row(&summary)["rechecks"], json!([{ "records": 2, "equal": 1, "gone": 0 }]));
    // Between files there is nothing to look at again.
    let same = b.replace("datasets.b", "datasets.a")
        + &b
        + "[entities.row]\nsource = \"a\"\ntarget = \"b\"\nkey = [\"id\"]\n";
    project.write("c.csv", "id,text\n1,other\n");
    project.write("recon.toml", same.replacen("b.csv", "c.csv", 1));
    assert_eq!(project.recon(&["stage"]).code, 0);
    let (ran, _) = diff(&project, &["--recheck", "1"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("both sides are files"), "{}", ran.stdout);
}

#[test]
fn a_spot_check_reads_the_same_records_for_the_same_seed_as_they_are_now() {
    let database = Database::new("select 1");
    for table in ["a", "b"] {
        database.run(&format!("create table {table} (id int primary key, text text); insert into {table} select i, 'x' || i from generate_series(1, 500) i"));
    }
    let project = Project::new();
    let side =
        |name: &str| dataset(name, "postgres", &format!("url = \"{}\"\ntable = \"{name}\"", database.url));
    let entity = "[entities.row]\nsource = \"a\"\ntarget = \"b\"\nkey = [\"id\"]\n";
    project.write("recon.toml", side("a") + &side("b") + entity);
    assert_eq!(project.recon(&["stage"]).code, 0);
    let check = |seed: &str| {
        let ran = project.recon(&["spot-check", "-n", "20", "--seed", seed, "--format", "json"]);
        let records: Value = serde_json::from_str(&ran.stdout).expect(&ran.stderr);
        (ran.code, records)
    };
    let (code, first) = check("7");
    assert_eq!((code, first.as_array().unwrap().len()), (0, 20), "{first}");
    assert_eq!(check("7").1, first);
    assert_ne!(check("8").1, first);
    // Afresh: what changed after the staging is seen.
    database.run("update b set text = 'other'");
    let (code, now) = check("7");
    let records = now.as_array().unwrap();
    assert_eq!((code, records.len()), (1, 20));
    for (before, now) in first.as_array().unwrap().iter().zip(records) {
        assert_eq!((&before["key"], &now["verdict"]), (&now["key"], &json!("mismatched")));
        assert_eq!(now["fields"][1]["target"], "other");
    }
    let ran = project.recon(&["spot-check", "-n", "2", "--seed", "1"]);
    assert!(ran.stdout.contains("0 of 2 records are equal (seed 1)"), "{}", ran.stdout);
    let path = ran.stdout.rsplit_once("all values: ").unwrap().1.trim().to_owned();
    let csv = std::fs::read_to_string(project.path(&path)).unwrap();
    assert!(csv.starts_with("entity,id,field,source_value,target_value,verdict\nrow,"), "{csv}");
}

/// SQLite tables as both sides, made by this SQL in one file.
fn sqlite(sql: &str, entity: &str) -> (Project, rusqlite::Connection) {
    let project = Project::new();
    let db = rusqlite::Connection::open(project.path("t.db")).expect("a database");
    db.execute_batch(sql).expect("good SQL");
    let side = |name: &str| dataset(name, "sqlite", &format!("path = \"t.db\"\ntable = \"{name}\""));
    project.write("recon.toml", side("a") + &side("b") + entity);
    (project, db)
}

const BY_ID: &str = "[entities.row]\nsource = \"a\"\ntarget = \"b\"\nkey = [\"id\"]\n";

#[test]
fn a_table_that_is_another_now_is_no_proof() {
    // As a float the changed value would be the source's.
    let (project, db) = sqlite(
        "create table a (id integer primary key, v); insert into a values (1, 9007199254740992.0); \
         create table b (id integer primary key, v); insert into b values (1, 5.5)",
        &format!("{BY_ID}target_where = \"id > 0\"\n"),
    );
    assert_eq!(project.recon(&["stage"]).code, 0);
    db.execute_batch("update b set v = 9007199254740993").unwrap();
    let (ran, summary) = diff(&project, &["--recheck", "1"]);
    assert_eq!((ran.code, counts(row(&summary))), (1, [1, 1, 0, 1, 0, 0]), "{}", ran.stdout);
    assert!(ran.stdout.contains("dataset `b` has other columns now: stage it again"), "{}", ran.stdout);
    // Nor is a column that has gone one whose values are NULL.
    let (project, db) = sqlite(
        "create table a (id integer primary key, v, w text); insert into a values (1, 'x', null); \
         create table b (id integer primary key, v, w text); insert into b values (1, 'y', null)",
        BY_ID,
    );
    assert_eq!(project.recon(&["stage"]).code, 0);
    db.execute_batch("update b set v = 'x'; alter table b rename column w to w2; update b set w2 = 'z'")
        .unwrap();
    let (ran, summary) = diff(&project, &["--recheck", "1"]);
    assert_eq!((ran.code, counts(row(&summary))), (1, [1, 1, 0, 1, 0, 0]), "{}", ran.stdout);
    let ran = project.recon(&["spot-check"]);
    assert!(ran.code == 3 && ran.stderr.contains("has other columns now"), "{} {}", ran.code, ran.stderr);
}

#[test]
fn a_row_counts_once_however_the_store_finds_it() {
    let (project, db) = sqlite(
        "create table a (id text collate nocase, n integer primary key, v text); \
         insert into a values ('abc', 1, 'x'), ('ABC', 2, 'x'); \
         create table b (id text collate nocase, n integer primary key, v text); \
         insert into b values ('abc', 1, 'y'), ('ABC', 2, 'y')",
        BY_ID,
    );
    assert_eq!(project.recon(&["stage"]).code, 0);
    db.execute_batch("update b set v = 'x' where n = 1").unwrap();
    // Both keys are looked up, and each finds both rows.
    let (ran, summary) = diff(&project, &["--recheck", "1"]);
    assert_eq!((ran.code, counts(row(&summary))), (1, [2, 2, 1, 1, 0, 0]), "{}", ran.stdout);
    assert_eq!(row(&summary)["rechecks"], json!([{ "records": 2, "equal": 1, "gone": 0 }]));
    // One key is looked up and finds the row of the other, which is not the one that has gone.
    assert_eq!(project.recon(&["stage"]).code, 0);
    db.execute_batch("delete from a where n = 2; delete from b where n = 2").unwrap();
    let (ran, summary) = diff(&project, &["--recheck", "1"]);
    assert_eq!(row(&summary)["rechecks"], json!([{ "records": 1, "equal": 0, "gone": 1 }]));
    assert_eq!((ran.code, counts(row(&summary))), (3, [1, 1, 1, 0, 0, 0]), "{}", ran.stdout);
}

#[test]
fn a_row_that_cannot_be_read_again_is_reported() {
    let shared = format!(
        "{BY_ID}\nwhere = \"id < 10\"\ntarget_where = \"id < 10\"\n[entities.other]\nsource = \"a\"\ntarget = \"b\"\nkey = [\"id\"]\nwhere = \"id > 9\"\n"
    );
    let (project, db) = sqlite(
        "create table a (id integer primary key, v text); insert into a values (1, 'x'), (2, 'x'), (3, 'x'), (11, 'x'); \
         create table b (id integer primary key, v text); insert into b values (1, 'y'), (2, 'x'), (3, 'x'), (11, 'x')",
        &shared,
    );
    assert_eq!(project.recon(&["stage"]).code, 0);
    db.execute_batch("update b set v = x'ff' where id = 1").unwrap();
    let (ran, summary) = diff(&project, &["--recheck", "1"]);
    assert_eq!(ran.code, 3, "{}", ran.stdout);
    // The row of a dataset that two entities share is nobody's, so its counterpart alone is counted.
    let found = row(&summary);
    assert_eq!((counts(found), &found["unchecked"]), ([3, 2, 2, 0, 0, 0], &json!(1)), "{found}");
    // Each of them read it again, but it is one row.
    assert_eq!(project.read("out/failures.csv").lines().count(), 2, "{}", project.read("out/failures.csv"));
}

#[test]
fn a_store_that_went_away_leaves_what_was_found() {
    let (project, db) = sqlite(
        "create table a (id integer primary key, v text); insert into a values (1, 'x'); \
         create table b (id integer primary key, v text); insert into b values (1, 'y')",
        BY_ID,
    );
    assert_eq!(project.recon(&["stage"]).code, 0);
    drop(db);
    std::fs::remove_file(project.path("t.db")).unwrap();
    let (ran, summary) = diff(&project, &["--recheck", "1"]);
    assert_eq!((ran.code, counts(row(&summary))), (3, [1, 1, 0, 1, 0, 0]), "{}", ran.stderr);
    assert!(ran.stdout.contains("looking again failed"), "{}", ran.stdout);
    assert_eq!(project.read("out/mismatches.csv").lines().count(), 2);
}

#[test]
fn a_spot_check_shows_keys_that_occur_twice() {
    let (project, _) = sqlite(
        "create table a (n integer primary key, id int); insert into a values (1, 7); \
         create table b (n integer primary key, id int); insert into b values (1, 7), (2, 7)",
        BY_ID,
    );
    assert_eq!(project.recon(&["stage"]).code, 0);
    let ran = project.recon(&["spot-check", "--format", "json"]);
    let records: Value = serde_json::from_str(&ran.stdout).expect(&ran.stderr);
    let found = &records[0];
    assert_eq!((ran.code, &found["key"], &found["verdict"]), (1, &json!(["7"]), &json!("duplicate")));
    assert_eq!((&found["source_rows"], &found["target_rows"]), (&json!(1), &json!(2)));
}
