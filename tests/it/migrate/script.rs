//! A repair as a script: what is in it, and that running it mends what a comparison found.

use serde_json::{Value as Json, json};

use super::migration::Migration;
use crate::project::Project;
use crate::servers::dynamodb::{self, ENVIRONMENT, ask};
use crate::servers::{mariadb, postgres};

/// `seen` and `note` are moved and not compared.
const FIELDS: &str = "k = { from = \"k\", type = \"string\" }\nname = \"name\"\nn = { from = \"n\", type = \"int\" }\n\
                      seen = { from = \"seen\", type = \"int\", on_conflict = \"greatest\", ignore = true }\n\
                      note = { from = \"note\", on_conflict = \"coalesce\", ignore = true }";

/// Names that SQL takes for something else where they are put into it as they are.
const NAMES: [&str; 6] =
    ["it's", "a\\'b\\", "two\r\nlines\n", "-- no comment", "; drop table t; --", "é\u{1F600}"];

fn lines() -> String {
    let record = |(i, name): (usize, &&str)| json!({ "k": format!("k{i}'"), "name": name, "n": i, "seen": 5, "note": null });
    NAMES.iter().enumerate().map(record).map(|line| format!("{line}\n")).collect()
}

/// Two records that differ and hold more than the source does, and one that is missing.
const SPOIL: &str = "update t set name = 'x', n = null, seen = 7, note = 'kept' where k in ('k0''', 'k1'''); \
                     delete from t where k = 'k2'''";

/// Migrates, has `run` spoil the target, and mends it with a script, twice.
#[track_caller]
fn mends(migration: &Migration, run: impl Fn(&str)) -> String {
    migration.runs(&["migrate"], 0);
    run(SPOIL);
    migration.runs(&["stage", "target"], 0);
    migration.runs(&["diff"], 1);
    let ran = migration.runs(&["replay", "--sql", "repair.sql"], 0);
    assert!(ran.stdout.contains("t: 3 records are in it, 0 are left out"), "{ran:?}");
    // Nothing was done, and nothing that is there is overwritten.
    migration.runs(&["stage", "target"], 0);
    migration.runs(&["diff"], 1);
    let ran = migration.runs(&["replay", "--sql", "repair.sql"], 2);
    assert!(ran.stderr.contains("repair.sql is there already"), "{ran:?}");
    let text = std::fs::read_to_string(migration.project.path("repair.sql")).expect("a script");
    run(&text);
    run(&text);
    migration.runs(&["stage", "target"], 0);
    migration.runs(&["diff"], 0);
    let ran = migration.runs(&["replay", "--sql", "nothing.sql"], 0);
    assert!(ran.stdout.contains("nothing to write"), "{ran:?}");
    assert!(!migration.project.path("nothing.sql").exists());
    text
}

const MERGED: &str = "select count(*) from t where seen = 7 and note = 'kept' and name <> 'x'";

#[test]
fn a_script_mends_postgres() {
    let database = postgres::Database::new(
        "create table t (k text primary key, name text, n numeric(5), seen int, note text)",
    );
    let dataset = format!("kind = \"postgres\"\nurl = \"{}\"\ntable = \"t\"", database.url);
    let text = mends(&Migration::new(&dataset, FIELDS, "", &lines()), |sql| drop(database.run(sql)));
    assert_eq!(database.run(MERGED), "2\n");
    assert!(text.starts_with("-- A repair for postgres://") && !text.contains("postgres:postgres"), "{text}");
}

#[test]
fn a_script_mends_mariadb() {
    let database = mariadb::Database::new(
        "create table t (k varchar(9) primary key, name varchar(99), n decimal(5), seen int, note text) character set utf8mb4",
    );
    let dataset = format!("kind = \"mysql\"\nurl = \"{}\"\ntable = \"t\"", database.url);
    mends(&Migration::new(&dataset, FIELDS, "", &lines()), |sql| drop(database.run(sql)));
    assert_eq!(database.run(MERGED), "2\n");
}

/// A file of SQLite with this table, and lines that are migrated into it.
fn sqlite(table: &str, fields: &str, more: &str, lines: &str) -> (Migration, rusqlite::Connection) {
    let migration =
        Migration::new("kind = \"sqlite\"\npath = \"new.db\"\ntable = \"t\"", fields, more, lines);
    let db = rusqlite::Connection::open(migration.project.path("new.db")).expect("a database");
    db.execute_batch(table).expect("a table");
    (migration, db)
}

#[test]
fn a_script_mends_sqlite() {
    let table = "create table t (k text primary key, name text, n numeric, seen integer, note text)";
    let (migration, db) = sqlite(table, FIELDS, "", &lines());
    mends(&migration, |sql| db.execute_batch(sql).expect("a script"));
    assert_eq!(db.query_row(MERGED, [], |row| row.get::<_, i64>(0)).expect("a count"), 2);
}

#[test]
fn every_kind_of_value_survives_a_script() {
    let lines = [
        json!({ "k": 1, "i": i64::MIN, "f": -1.5e300, "s": "a\u{0}'b", "b": "AAEn" }),
        json!({ "k": 2, "i": i64::MAX, "f": 0.1, "s": "", "b": "" }),
        json!({ "k": 3, "i": null, "f": null, "s": null, "b": null }),
    ];
    let lines = lines.map(|line| format!("{line}\n")).concat();
    let fields = "k = { type = \"int\" }\ni = { from = \"i\", type = \"int\" }\nf = { from = \"f\", type = \"float\" }\ns = \"s\"\n\
                  b = { from = \"b\", type = \"bytes\" }";
    let table = "create table t (k integer primary key, i integer, f real, s text, b blob)";
    let (migration, db) = sqlite(table, fields, "", &lines);
    migration.runs(&["migrate"], 0);
    db.execute_batch("update t set i = 1, f = 1, s = 'x', b = x'01'").expect("an update");
    migration.runs(&["stage", "target"], 0);
    migration.runs(&["replay", "--ids", "1,2,3", "--sql", "repair.sql"], 0);
    let text = std::fs::read_to_string(migration.project.path("repair.sql")).expect("a script");
    db.execute_batch(&text).expect("a script");
    migration.runs(&["stage", "target"], 0);
    migration.runs(&["diff"], 0);
}

#[test]
fn a_script_says_what_it_leaves_out() {
    let lines = "{\"k\":1,\"n\":1}\n{\"k\":2,\"n\":\"many\"}\n";
    let fields = "k = { type = \"int\" }\nn = { from = \"n\", type = \"int\" }";
    let (migration, _db) = sqlite("create table t (k integer primary key, n integer)", fields, "", lines);
    let ran = migration.runs(&["replay", "--ids", "1,2", "--sql", "repair.sql", "--format", "json"], 1);
    let told: Json = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!([&told["entities"]["t"]["records"], &told["entities"]["t"]["rejected"]], [1, 1], "{told}");
    let text = std::fs::read_to_string(migration.project.path("repair.sql")).expect("a script");
    assert!(text.contains("-- left out: [\"2\"]: cast: "), "{text}");
}

#[test]
fn a_version_and_a_policy_hold_in_a_script() {
    let fields = "k = { type = \"int\" }\nv = { from = \"v\", type = \"int\" }\nn = \"n\"";
    let lines =
        "{\"k\":1,\"v\":2,\"n\":\"new\"}\n{\"k\":2,\"v\":2,\"n\":\"new\"}\n{\"k\":3,\"v\":2,\"n\":\"new\"}\n";
    let rows = |more: &str| {
        let (migration, db) = sqlite(
            "create table t (k integer primary key, v integer, n text); insert into t values (1, 1, 'old'), (2, 2, 'old')",
            fields,
            more,
            lines,
        );
        migration.runs(&["replay", "--ids", "1,2,3", "--sql", "repair.sql"], 0);
        let text = std::fs::read_to_string(migration.project.path("repair.sql")).expect("a script");
        db.execute_batch(&text).expect("a script");
        let mut rows = db.prepare("select k || n from t order by k").expect("a query");
        let rows = rows.query_map([], |row| row.get::<_, String>(0)).expect("rows");
        rows.map(|row| row.expect("a row")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(rows("version = \"v\""), "1new 2old 3new");
    assert_eq!(rows("write = \"insert-only\""), "1old 2old 3new");
    assert_eq!(rows("write = \"update-only\""), "1new 2new");
    let (migration, _db) = sqlite(
        "create table t (k integer primary key, v integer, n text)",
        "k = { type = \"int\" }\nv = { from = \"v\", type = \"int\", on_conflict_sql = \"old.v + new.v\" }",
        "",
        lines,
    );
    let ran = migration.runs(&["replay", "--ids", "1", "--sql", "repair.sql"], 2);
    assert!(
        ran.stderr.contains("`on_conflict_sql`") && !migration.project.path("repair.sql").exists(),
        "{ran:?}"
    );
}

/// Each line is a request, which holds only where nobody changed the item since.
#[test]
fn a_script_mends_dynamodb() {
    dynamodb::table("script", &[("k", "S")]);
    let project = Project::new();
    project.write(
        "recon.toml",
        format!(
            "[datasets.old]\nkind = \"jsonl\"\nuri = \"old.jsonl\"\n[datasets.new]\nkind = \"dynamodb\"\ntable = \"script\"\nendpoint = \"{}\"\n\
             [entities.t]\nsource = \"old\"\ntarget = \"new\"\nkey = [\"k\"]\n[entities.t.fields]\nk = \"k\"\nn = {{ from = \"n\", type = \"int\" }}\n\
             name = {{ from = \"name\", to = \"\\\"a b\\\".name\" }}\n",
            dynamodb::endpoint()
        ),
    );
    let lines = ["a", "b", "c", "d"].map(|k| format!("{}\n", json!({ "k": k, "n": 1, "name": "it's" })));
    project.write("old.jsonl", lines.concat());
    let recon = |args: &[&str], code| {
        let ran = project.recon_with(args, &ENVIRONMENT);
        assert_eq!(ran.code, code, "{args:?}: {ran:?}");
        ran
    };
    recon(&["stage", "source"], 0);
    recon(&["migrate"], 0);
    let put = |item: Json| ask("PutItem", &json!({ "TableName": "script", "Item": item }));
    put(json!({ "k": { "S": "a" }, "n": { "N": "2" }, "more": { "S": "kept" } }));
    ask("DeleteItem", &json!({ "TableName": "script", "Key": { "k": { "S": "b" } } }));
    put(json!({ "k": { "S": "c" }, "n": { "N": "3" } }));
    recon(&["stage", "target"], 0);
    recon(&["diff"], 1);
    recon(&["replay", "--sql", "repair.jsonl"], 0);
    let text = std::fs::read_to_string(project.path("repair.jsonl")).expect("a script");
    // Somebody is faster.
    put(json!({ "k": { "S": "c" }, "n": { "N": "4" } }));
    let mut refused = Vec::new();
    for line in text.lines() {
        let request: Json = serde_json::from_str(line).expect("a request");
        let answer = dynamodb::try_ask(&dynamodb::endpoint(), "UpdateItem", &request);
        if answer.is_err() {
            refused.push(request["Key"]["k"]["S"].as_str().unwrap_or_default().to_owned());
        }
    }
    assert_eq!((text.lines().count(), refused), (3, vec!["c".to_owned()]), "{text}");
    let a = ask("GetItem", &json!({ "TableName": "script", "Key": { "k": { "S": "a" } } }));
    assert_eq!(a["Item"]["more"]["S"], "kept", "{a}");
    recon(&["stage", "target"], 0);
    let ran = recon(&["diff", "--format", "json"], 1);
    let told: Json = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!([&told["entities"]["t"]["matched"], &told["entities"]["t"]["mismatched"]], [3, 1], "{told}");
}
