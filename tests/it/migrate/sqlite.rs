//! SQLite as a target.

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::migration::{Migration, fault};

/// A table of SQLite that was made by this SQL, and what is migrated into it.
struct Table {
    migration: Migration,
}

impl std::ops::Deref for Table {
    type Target = Migration;

    fn deref(&self) -> &Migration {
        &self.migration
    }
}

impl Table {
    fn new(sql: &str, fields: &str, more: &str, lines: &str) -> Self {
        let dataset = "kind = \"sqlite\"\npath = \"new.db\"\ntable = \"t\"";
        let table = Self { migration: Migration::new(dataset, fields, more, lines) };
        table.db().execute_batch(sql).expect("a table");
        table
    }

    fn db(&self) -> Connection {
        Connection::open(self.project.path("new.db")).expect("a database")
    }

    fn rows(&self, sql: &str) -> String {
        let db = self.db();
        let mut statement = db.prepare(sql).expect("a query");
        let width = statement.column_count();
        let cell = |value: ValueRef<'_>| match value {
            ValueRef::Null => "NULL".to_owned(),
            ValueRef::Integer(n) => n.to_string(),
            ValueRef::Real(f) => format!("{f:?}"),
            ValueRef::Text(text) => format!("'{}'", String::from_utf8_lossy(text)),
            ValueRef::Blob(bytes) => format!("{bytes:?}"),
        };
        let rows = statement.query_map([], |row| {
            let cells: rusqlite::Result<Vec<String>> = (0..width).map(|i| row.get_ref(i).map(cell)).collect();
            Ok(cells?.join(" "))
        });
        rows.expect("rows").map(|row| row.expect("a row")).collect::<Vec<_>>().join(", ")
    }
}

#[test]
fn poison_records_are_named_and_the_others_go_in() {
    let migration = Table::new(
        "create table parent (id integer primary key); insert into parent values (1); \
         create table t (k integer primary key, name text not null check (length(name) <= 5), code text unique, \
                         n integer, day string, parent int references parent, score real) ",
        "k = { type = \"int\" }\nname = \"name\"\ncode = \"code\"\nn = { from = \"n\", type = \"decimal\" }\n\
         day = \"day\"\nparent = { from = \"parent\", type = \"int\" }\nscore = { from = \"score\", type = \"decimal\" }",
        "",
        &[
            r#"{"k":1,"name":"fine","code":"a","n":1,"day":"monday","parent":1,"score":0.5}"#,
            r#"{"k":2,"name":null}"#,
            r#"{"k":3,"name":"too long"}"#,
            r#"{"k":4,"name":"same","code":"a"}"#,
            r#"{"k":5,"name":"lost","parent":7}"#,
            r#"{"k":6,"name":"large","n":9223372036854775808123456789}"#,
            // A column of this declaration has numbers for such texts.
            r#"{"k":7,"name":"day","day":"020"}"#,
            r#"{"k":8,"name":"score","score":9007199254740993}"#,
            r#"{"k":9,"name":"last","code":"b","n":9223372036854775807}"#,
        ]
        .join("\n"),
    );
    assert_eq!(migration.counts(1), [2, 0, 0, 7]);
    assert_eq!(migration.rows("select k, n from t order by k"), "1 1, 9 9223372036854775807");
    let expected = [
        fault("2", "SQLITE_CONSTRAINT_NOTNULL", "name"),
        fault("3", "SQLITE_CONSTRAINT_CHECK", ""),
        fault("4", "SQLITE_CONSTRAINT_UNIQUE", "code"),
        fault("5", "SQLITE_CONSTRAINT_FOREIGNKEY", ""),
        fault("6", "range", "n"),
        fault("7", "changed", "day"),
        fault("8", "changed", "score"),
    ];
    assert_eq!(migration.faults(), expected);
    // Once the cause is mended, a replay brings the rest.
    migration.db().execute_batch("insert into parent values (7)").expect("a row");
    let ran = migration.runs(&["replay", "--class", "retryable"], 1);
    assert!(migration.rows("select parent from t where k = 5") == "7", "{ran:?}");
}

/// Foreign keys that are checked only at the commit: what breaks one fails by itself, and so does what refers to that.
#[test]
fn a_deferred_foreign_key_holds_up_no_other_record() {
    let lines = [
        r#"{"k":1,"up":2,"a":"A","b":1}"#,
        r#"{"k":2,"up":null,"a":null,"b":7}"#,
        r#"{"k":3,"up":9,"a":null,"b":null}"#,
        r#"{"k":4,"up":3,"a":null,"b":null}"#,
        r#"{"k":5,"up":null,"a":"a","b":2}"#,
        r#"{"k":6,"up":6,"a":"a","b":1}"#,
    ];
    let migration = Table::new(
        "create table other (a text collate nocase, b int, primary key (a, b)); insert into other values ('a', 1); \
         create table t (k integer primary key, UP int references T (K) deferrable initially deferred, a text, b int, \
         foreign key (a, b) references other (a, b) deferrable initially deferred)",
        "k = { type = \"int\" }\nUP = { from = \"up\", type = \"int\" }\na = \"a\"\nb = { from = \"b\", type = \"int\" }",
        "",
        &lines.join("\n"),
    );
    assert_eq!(migration.counts(1), [3, 0, 0, 3]);
    assert_eq!(migration.rows("select k from t order by k"), "1, 2, 6");
    let fault = |key: &str, column: &str| {
        (key.to_owned(), "SQLITE_CONSTRAINT_FOREIGNKEY".to_owned(), column.to_owned())
    };
    assert_eq!(migration.faults(), [fault("3", "UP"), fault("4", "UP"), fault("5", "a, b")]);
    // What they refer to comes, and they go in.
    migration
        .db()
        .execute_batch("insert into t values (9, null, null, null); insert into other values ('A', 2)")
        .expect("SQL");
    migration.runs(&["replay"], 0);
    assert_eq!(migration.rows("select k from t order by k"), "1, 2, 3, 4, 5, 6, 9");
}

#[test]
fn what_is_there_is_changed_as_the_spec_says() {
    let table = "create table t (k text primary key, a text, b integer, c text, d integer, run text) without rowid; \
                 insert into t values ('1', 'old', 5, null, 10, null), ('2', 'same', 1, 'kept', 2, null)";
    let fields = "k = \"k\"\na = { from = \"a\", on_conflict = \"keep\" }\nb = { from = \"b\", on_conflict = \"greatest\" }\n\
                  c = { from = \"c\", on_conflict = \"coalesce\" }\nd = { from = \"d\", on_conflict_sql = \"old.d + new.d\" }";
    let lines = "{\"k\":\"1\",\"a\":\"new\",\"b\":3,\"c\":\"x\",\"d\":1}\n{\"k\":\"2\",\"a\":\"same\",\"b\":1,\"c\":null,\"d\":0}\n\
                 {\"k\":\"3\",\"a\":\"n\",\"b\":1,\"c\":\"c\",\"d\":1}\n";
    let migration = Table::new(table, fields, "", lines);
    assert_eq!(migration.counts(0), [1, 1, 1, 0]);
    let expected = "'1' 'old' 5 'x' 11, '2' 'same' 1 'kept' 2, '3' 'n' 1 'c' 1";
    assert_eq!(migration.rows("select k, a, b, c, d from t order by k"), expected);
}

#[test]
fn policies_and_versions_are_kept_to() {
    let table = "create table t (k integer primary key, v integer, a text); insert into t values (1, 5, 'there'), (2, 1, 'there'), (3, 1, 'c')";
    let fields = "k = { type = \"int\" }\nv = { type = \"int\" }\na = \"a\"";
    let lines = "{\"k\":1,\"v\":4,\"a\":\"a\"}\n{\"k\":2,\"v\":2,\"a\":\"b\"}\n{\"k\":3,\"v\":1,\"a\":\"c\"}\n{\"k\":4,\"v\":1,\"a\":\"d\"}\n";
    let versioned = Table::new(table, fields, "version = \"v\"", lines);
    assert_eq!(versioned.counts(1), [1, 1, 1, 1]);
    assert_eq!(versioned.faults(), [fault("1", "version", "")]);
    let insert_only = Table::new(table, fields, "write = \"insert-only\"", lines);
    assert_eq!(insert_only.counts(1), [1, 0, 1, 2]);
    assert_eq!(insert_only.faults(), [fault("1", "exists", ""), fault("2", "exists", "")]);
    assert_eq!(insert_only.rows("select a from t"), "'there', 'there', 'c', 'd'");
    let update_only = Table::new(table, fields, "write = \"update-only\"", lines);
    assert_eq!(update_only.counts(1), [0, 2, 1, 1]);
    assert_eq!(update_only.faults(), [fault("4", "missing", "")]);
}

#[test]
fn a_key_that_only_the_collation_takes_for_the_same_is_not_overwritten() {
    let table = "create table t (k text collate nocase primary key, a text collate nocase); insert into t values ('Ann', 'x'), ('bob', 'Y')";
    let lines = "{\"k\":\"ann\",\"a\":\"1\"}\n{\"k\":\"bob\",\"a\":\"y\"}\n{\"k\":\"Cid\",\"a\":\"2\"}\n{\"k\":\"cid\",\"a\":\"3\"}\n";
    let migration = Table::new(table, "k = \"k\"\na = \"a\"", "", lines);
    assert_eq!(migration.counts(1), [1, 1, 0, 2]);
    assert_eq!(migration.faults(), [fault("ann", "duplicate_key", ""), fault("cid", "duplicate_key", "")]);
    assert_eq!(migration.rows("select k, a from t order by k"), "'Ann' 'x', 'bob' 'y', 'Cid' '2'");
}

#[test]
fn old_images_make_the_same_values_again() {
    let table = "create table t (k integer primary key, a, b); insert into t values (1, 'x', x'00ff'), (2, 1, 2.5), (3, 'y', 0)";
    let lines = "{\"k\":1,\"a\":\"new\"}\n{\"k\":2,\"a\":\"new\"}\n";
    let migration = Table::new(table, "k = { type = \"int\" }\na = \"a\"", "", lines);
    assert_eq!(migration.counts(0), [0, 2, 0, 0]);
    let changes = migration.changes();
    let pre: Vec<String> = changes.iter().map(|change| change["pre"].to_string()).collect();
    assert_eq!(pre, [r#"{"k":"i:1","a":"t:x","b":"b:00ff"}"#, r#"{"k":"i:2","a":"i:1","b":"r:2.5e0"}"#]);
    assert_eq!(changes[1]["post"].to_string(), r#"{"k":"i:2","a":"t:new","b":"r:2.5e0"}"#);
}

#[test]
fn what_cannot_be_written_to_is_refused_with_what_would_help() {
    let of = |sql: &str, fields: &str, words: &[&str]| {
        let migration = Table::new(sql, fields, "", "{\"k\":1,\"a\":\"x\"}\n");
        let ran = migration.runs(&["migrate"], 2);
        for word in words {
            assert!(ran.stderr.contains(word), "{word}: {ran:?}");
        }
    };
    let fields = "k = { type = \"int\" }\na = \"a\"";
    of("create table s (k integer, a text); create view t as select * from s", fields, &["is a view"]);
    let help = ["no unique index is on the key", "create unique index \"t_k\" on t (\"k\")"];
    of("create table t (k int, a text)", fields, &help);
    of("create table t (k int, a text); create unique index i on t (k, a)", fields, &help);
    of("create table t (k int, a text); create unique index i on t (k) where a is null", fields, &help);
    of(
        "create table t (k integer primary key, a text as (k || 'x'))",
        fields,
        &["generated by the table", "ignore it"],
    );
    of("create table t (k integer primary key, b text)", fields, &["no column `a`", "add column"]);
}

#[cfg(feature = "faults")]
#[test]
fn killed_around_the_commit_every_record_is_written_once() {
    let table = "create table t (k integer primary key, a text, n integer); create table written (k); \
                 create trigger i after insert on t begin insert into written values (new.k); end; \
                 create trigger u after update on t begin insert into written values (new.k); end; \
                 insert into t values (3, 'old', 0)";
    // A record that is written twice has a wrong count.
    let fields = "k = { type = \"int\" }\na = \"a\"\nn = { from = \"1\", type = \"int\", on_conflict_sql = \"old.n + 1\" }";
    let lines: String = (0..50).map(|k| format!("{{\"k\":{k},\"a\":\"v{k}\"}}\n")).collect();
    for point in ["written", "images-kept", "before-commit", "committed"] {
        for pass in [1, 3] {
            let migration = Table::new(table, fields, "", &lines);
            migration.db().execute_batch("delete from written").expect("a table");
            migration.is_killed_at(&format!("sqlite.{point}:{pass}"));
            migration.runs(&["migrate"], 0);
            let counts =
                migration.rows("select count(*), count(distinct k), (select count(*) from t) from written");
            assert_eq!(counts, "50 50 50", "{point}:{pass}");
            assert_eq!(migration.rows("select count(*) from recon_batches"), "0", "{point}:{pass}");
            migration.runs(&["stage", "target"], 0);
            migration.runs(&["diff"], 0);
        }
    }
}

#[test]
fn a_file_that_somebody_holds_or_that_cannot_be_written_says_so() {
    let fields = "k = { type = \"int\" }\na = \"a\"";
    let line = "{\"k\":1,\"a\":\"x\"}\n";
    let migration = Table::new("create table t (k integer primary key, a text)", fields, "", line);
    let holder = migration.db();
    holder.execute_batch("begin immediate").expect("a lock");
    migration.runs(&["migrate", "--retries", "0"], 1);
    assert_eq!(migration.faults(), [fault("1", "busy", "")]);
    holder.execute_batch("rollback").expect("an end");
    migration.runs(&["replay"], 0);
    assert_eq!(migration.rows("select * from t"), "1 'x'");
}

#[test]
fn a_batch_of_long_values_has_fewer_records() {
    let long = "x".repeat(3 << 20);
    let lines: String = (0..30).map(|k| format!("{{\"k\":{k},\"v\":\"{long}\"}}\n")).collect();
    let table = Table::new(
        "create table t (k integer primary key, v text)",
        "k = { type = \"int\" }\nv = \"v\"",
        "",
        &lines,
    );
    assert_eq!(table.counts(0), [30, 0, 0, 0]);
    let ran = table.runs(&["status", "--format", "json"], 0);
    let told: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    // Ten of them are 30 MiB.
    assert_eq!(told["written"]["entities"]["t"]["batches"], 3, "{told}");
    assert_eq!(table.rows("select count(*), sum(length(v)) from t"), format!("30 {}", 30 * (3 << 20)));
}

/// `old.n + new.n` is applied once to each record, whatever is run afterwards, but where somebody says so.
#[test]
fn what_is_merged_by_sql_is_merged_once() {
    let table = Table::new(
        "create table t (k integer primary key, n integer); insert into t values (1, 100), (2, 100)",
        "k = { type = \"int\" }\nn = { from = \"n\", type = \"int\", on_conflict_sql = \"old.n + new.n\" }",
        "",
        "{\"k\":1,\"n\":1}\n{\"k\":2,\"n\":2}\n{\"k\":3,\"n\":3}\n{\"k\":4,\"n\":\"x\"}\n",
    );
    assert_eq!(table.counts(1), [1, 2, 0, 1]);
    let rows = || table.rows("select n from t order by k");
    assert_eq!(rows(), "101, 102, 3");
    table.runs(&["stage", "target"], 0);
    table.runs(&["diff"], 3);
    table.runs(&["replay"], 1);
    assert_eq!(rows(), "101, 102, 3");
    let ran = table.runs(&["replay", "--ids", "1"], 2);
    assert!(ran.stderr.contains("would merge them once more"), "{ran:?}");
    // A record is mended: it alone is written.
    table
        .project
        .write("old.jsonl", "{\"k\":1,\"n\":1}\n{\"k\":2,\"n\":2}\n{\"k\":3,\"n\":3}\n{\"k\":4,\"n\":4}\n");
    table.runs(&["stage", "source"], 0);
    let ran = table.runs(&["migrate"], 2);
    assert!(ran.stderr.contains("would merge them once more"), "{ran:?}");
    table.runs(&["migrate", "--dry-run"], 2);
    table.runs(&["replay"], 0);
    assert_eq!(rows(), "101, 102, 3, 4");
    table.runs(&["migrate", "--merge-again"], 0);
    // The fourth is of this staging already.
    assert_eq!(rows(), "102, 104, 6, 4");
}

#[test]
fn a_key_that_matches_by_a_rule_is_refused() {
    let table = Table::new(
        "create table t (k text primary key)",
        "k = { from = \"k\", text = [\"trim\", \"casefold\"] }",
        "",
        "{\"k\":\"A\"}\n",
    );
    let ran = table.runs(&["migrate"], 2);
    assert!(ran.stderr.contains("key `k` has a rule by which different keys match"), "{ran:?}");
}

/// Reports that do not show the keys as they are, or are not there, are not taken for reports without a record.
#[test]
fn a_replay_needs_reports_that_it_can_read() {
    let lines: String = ["-1", "=2", "plain"].map(|k| format!("{{\"k\":\"{k}\",\"n\":1}}\n")).concat();
    let table = Table::new(
        "create table t (k text primary key, n integer)",
        "k = \"k\"\nn = { from = \"n\", type = \"int\" }",
        "",
        &lines,
    );
    table.runs(&["migrate"], 0);
    let spoil = || {
        table.db().execute_batch("update t set n = 2").expect("an update");
        table.runs(&["stage", "target"], 0);
    };
    spoil();
    for args in [&["diff", "--spreadsheet-safe"][..], &["diff", "--redact", "k"]] {
        table.runs(args, 1);
        let ran = table.runs(&["replay"], 2);
        assert!(ran.stderr.contains("do not show keys as they are"), "{ran:?}");
    }
    table.runs(&["diff", "--out", "rep"], 1);
    std::fs::rename(table.project.path("rep"), table.project.path("away")).expect("a folder");
    let ran = table.runs(&["replay"], 2);
    assert!(ran.stderr.contains("rep) are not there"), "{ran:?}");
    std::fs::rename(table.project.path("away"), table.project.path("rep")).expect("a folder");
    let ran = table.runs(&["replay"], 0);
    assert!(ran.stdout.contains("3 updated"), "{ran:?}");
}

/// All of a later staging was tried: what failed of an earlier one, by whatever key, is done with.
#[test]
fn a_later_staging_that_goes_in_closes_what_failed_before() {
    let table = Table::new(
        "create table t (k integer primary key, n integer)",
        "k = { from = \"k\", type = \"int\" }\nn = { from = \"n\", type = \"int\" }",
        "",
        "{\"k\":null,\"n\":1}\n{\"k\":\"x\",\"n\":2}\n{\"k\":3,\"n\":\"y\"}\n",
    );
    table.counts(1);
    table.project.write("old.jsonl", "{\"k\":1,\"n\":1}\n{\"k\":2,\"n\":2}\n");
    table.runs(&["stage", "source"], 0);
    assert_eq!(table.counts(0), [2, 0, 0, 0]);
    table.runs(&["replay"], 0);
}

#[test]
fn numbers_come_in_the_order_of_numbers() {
    let lines: String = [10, 2, 1, 20, 3].map(|k| format!("{{\"k\":\"{k}\"}}\n")).concat();
    let table = Table::new(
        "create table t (k integer primary key)",
        "k = { from = \"k\", type = \"int\" }",
        "",
        &lines,
    );
    table.runs(&["migrate", "--limit", "3"], 0);
    assert_eq!(table.rows("select k from t order by k"), "1, 2, 3");
}
