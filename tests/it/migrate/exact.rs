//! What PostgreSQL would take for another value, and what is no record's fault and what is.

use super::migration::{Migration, fault};
use crate::servers::postgres::Database;

struct Table {
    migration: Migration,
    database: Database,
}

fn table(sql: &str, fields: &str, more: &str, lines: &str) -> Table {
    let database = Database::new(sql);
    let dataset = format!("kind = \"postgres\"\nurl = \"{}\"\ntable = \"t\"", database.url);
    Table { migration: Migration::new(&dataset, fields, more, lines), database }
}

#[test]
fn what_a_column_would_round_is_refused() {
    let table = table(
        "create domain small as numeric(3,1); \
         create table t (k int primary key, x numeric(6,2), d small, many numeric(4,1)[], s smallint)",
        "k = { type = \"int\" }\nx = \"x\"\nd = \"d\"\nmany = \"many\"\ns = \"s\"",
        "",
        &[
            r#"{"k":1,"x":9999.99,"d":-99.9,"many":[1.5,null],"s":32767}"#,
            r#"{"k":2,"x":99.995}"#,
            r#"{"k":3,"x":10000}"#,
            r#"{"k":4,"d":0.25}"#,
            r#"{"k":5,"many":[1,2.25]}"#,
            r#"{"k":6,"s":32768}"#,
        ]
        .join("\n"),
    );
    assert_eq!(table.migration.counts(1), [1, 0, 0, 5]);
    let expected = [("2", "x"), ("3", "x"), ("4", "d"), ("5", "many"), ("6", "s")];
    assert_eq!(table.migration.faults(), expected.map(|(k, column)| fault(k, "range", column)));
    assert_eq!(table.database.run("select x, d, many, s from t"), "9999.99|-99.9|{1.5,NULL}|32767\n");
    table.migration.runs(&["stage", "target"], 0);
}

/// What a type's own reader or a trigger says of a row is that row's fault, whatever the code.
#[test]
fn what_is_said_of_one_row_holds_up_no_other() {
    let table = table(
        "create table t (k int primary key, words tsvector, n int); \
         create function picky() returns trigger language plpgsql as $$ begin \
           if new.n = 7 then raise exception 'no sevens' using errcode = 'U0001'; end if; \
           if new.n = 8 then raise exception 'no eights' using errcode = 'insufficient_privilege'; end if; return new; end $$; \
         create trigger picky before insert on t for each row execute function picky()",
        "k = { type = \"int\" }\nwords = { from = \"words\", type = \"string\" }\nn = { from = \"n\", type = \"int\" }",
        "",
        &[
            r#"{"k":1,"words":"'a' 'b'","n":1}"#,
            r#"{"k":2,"words":"'a","n":1}"#,
            r#"{"k":3,"n":7}"#,
            r#"{"k":4,"n":8}"#,
            r#"{"k":5,"n":5}"#,
        ]
        .join("\n"),
    );
    assert_eq!(table.migration.counts(1), [2, 0, 0, 3]);
    let codes: Vec<String> =
        table.migration.faults().into_iter().map(|(k, code, _)| k + " " + &code).collect();
    assert_eq!(codes, ["2 42601", "3 U0001", "4 42501"]);
}

#[test]
fn infinity_and_nothing_at_all_are_written() {
    let table = table(
        "create table t (k timestamptz primary key)",
        "k = { from = \"k\", type = \"timestamp\" }",
        "",
        "",
    );
    assert_eq!(table.migration.counts(0), [0, 0, 0, 0]);
    table.migration.runs(&["migrate", "--dry-run"], 0);
    table.migration.project.write("old.jsonl", "{\"k\":\"infinity\"}\n{\"k\":\"2024-05-01T10:00:00Z\"}\n");
    table.migration.runs(&["stage", "source"], 0);
    assert_eq!(table.migration.counts(0), [2, 0, 0, 0]);
}

#[test]
fn a_choice_of_records_stays_within_the_entity() {
    let lines: String = (0..20).map(|k| format!("{{\"k\":{k}}}\n")).collect();
    let table =
        table("create table t (k int primary key)", "k = { type = \"int\" }", "where = \"k < 10\"", &lines);
    let ran = table.migration.runs(&["migrate", "--where", "k > 5) or (true"], 2);
    assert!(ran.stderr.contains("--where k > 5) or (true: not exactly one expression"), "{ran:?}");
    table.migration.runs(&["migrate", "--where", "k > 5 or k = 1"], 0);
    assert_eq!(table.database.run("select string_agg(k::text, ',' order by k) from t"), "1,6,7,8,9\n");
}

/// A trigger that cannot do its own work is no record's fault: the run stops at once.
#[test]
fn a_trigger_that_is_broken_stops_the_run() {
    let table = table(
        "create table t (k int primary key); \
         create function broken() returns trigger language plpgsql as $$ begin insert into gone values (new.k); return new; end $$; \
         create trigger broken before insert on t for each row execute function broken()",
        "k = { type = \"int\" }",
        "",
        "{\"k\":1}\n{\"k\":2}\n",
    );
    let ran = table.migration.runs(&["migrate"], 4);
    assert!(ran.stderr.contains("\"gone\" does not exist"), "{ran:?}");
    assert_eq!(table.database.run("select count(*) from t"), "0\n");
}
