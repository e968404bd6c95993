//! SQLite.

use recon::migrate::undo::{Kind, OnConflict};
use rusqlite::Connection;
use tempfile::NamedTempFile;

use super::{
    FIELDS, LINES, Migrated, Sql, TWO, columns_are_added, counts, kinds, others_refer, somebody_changes,
    the_index_goes,
};

/// A table of a file that was made by this SQL, and lines that were migrated into it.
struct Table {
    migrated: Migrated,
    file: NamedTempFile,
    before: Vec<String>,
}

impl std::ops::Deref for Table {
    type Target = Migrated;

    fn deref(&self) -> &Migrated {
        &self.migrated
    }
}

impl Table {
    #[track_caller]
    fn new(sql: &str, fields: &str, more: &str, lines: &[&str]) -> Self {
        let table = Self::staged(sql, fields, more, lines);
        table.migration.runs(&["migrate"], 0);
        table
    }

    fn staged(sql: &str, fields: &str, more: &str, lines: &[&str]) -> Self {
        let file = NamedTempFile::new().expect("a file");
        Connection::open(file.path()).and_then(|db| db.execute_batch(sql)).expect("a table");
        let before = dump(&file);
        let dataset = format!("kind = \"sqlite\"\npath = \"{}\"\ntable = \"t\"", file.path().display());
        Self { migrated: Migrated::staged(&dataset, fields, more, lines), file, before }
    }

    fn dump(&self) -> Vec<String> {
        dump(&self.file)
    }
}

impl Sql for Table {
    fn run(&self, sql: &str) {
        let db = Connection::open(self.file.path()).expect("a database");
        db.execute_batch(&format!("pragma foreign_keys = on; {sql}")).expect("SQL");
    }

    fn rows(&self, sql: &str) -> String {
        let db = Connection::open(self.file.path()).expect("a database");
        let mut statement = db.prepare(sql).expect("a query");
        let width = statement.column_count();
        let text = |row: &rusqlite::Row<'_>| {
            let cells = (0..width).map(|i| Ok(row.get::<_, Option<String>>(i)?.unwrap_or("NULL".to_owned())));
            Ok(cells.collect::<rusqlite::Result<Vec<_>>>()?.join(" "))
        };
        let rows = statement.query_map([], text).expect("rows").map(|row| row.expect("a row"));
        rows.collect::<Vec<_>>().join(", ")
    }
}

/// Every value of `t` with its storage class and its bytes, sorted.
fn dump(file: &NamedTempFile) -> Vec<String> {
    let db = Connection::open(file.path()).expect("a database");
    let mut names = db.prepare("select name from pragma_table_xinfo('t') where hidden = 0").expect("a query");
    let names: Vec<String> =
        names.query_map([], |row| row.get(0)).expect("names").map(|name| name.expect("a name")).collect();
    let cells = names.iter().map(|n| {
        format!("coalesce(typeof(\"{n}\") || case typeof(\"{n}\") when 'real' then printf('%!.20e', \"{n}\") else hex(\"{n}\") end, '')")
    });
    let sql = format!("select {} from t", cells.collect::<Vec<_>>().join(" || ' ' || "));
    let mut rows = db.prepare(&sql).expect("a query");
    let mut rows: Vec<String> =
        rows.query_map([], |row| row.get(0)).expect("rows").map(|row| row.expect("a row")).collect();
    rows.sort();
    rows
}

#[test]
fn values_of_every_storage_class_come_back_as_they_were() {
    let others = "'x', 'y', 7, 0.1, 1.5, x'00ff', 'any'), (2, null, '', -9223372036854775807 - 1, 9e999, 'no number', x'', null), \
                  (3, cast(x'ff61' as text), cast(x'00' as text), 'text', -9e999, 9007199254740993, 'text', 1), \
                  (4, 1, 't:x', 1.5, -0.0, 0.1 + 0.2, 1, 2.5), (5, 2.0, 'i:1', x'01', 5e-324, x'02', 1.5, x'ff'";
    for (key, options) in
        [("integer primary key", ""), ("integer primary key", "without rowid"), ("int unique", "")]
    {
        let table = Table::new(
            &format!(
                "create table t (k {key}, \"A b\", s text, n integer, r real, d numeric, b blob, z, g as (k + 1)) {options}; \
                 insert into t values (1, {others})"
            ),
            "k = { type = \"int\" }\n\"A b\" = { from = \"a\", type = \"string\" }",
            "",
            &[
                r#"{"k":1,"a":"new"}"#,
                r#"{"k":2,"a":"new"}"#,
                r#"{"k":3,"a":"new"}"#,
                r#"{"k":4,"a":"new"}"#,
                r#"{"k":5,"a":"new"}"#,
                r#"{"k":6,"a":"new"}"#,
                r#"{"k":7,"a":null}"#,
            ],
        );
        let (made, migrated) = (table.made(), table.dump());
        assert_ne!(migrated, table.before);
        table.is_as_digested(&made);
        let (undone, back) = table.undone(&made, OnConflict::Skip);
        assert_eq!((counts(&undone), undone.altered.len()), ([5, 2, 0, 0, 0, 0], 0), "{options}");
        assert_eq!(table.dump(), table.before, "{options}");
        table.is_as_digested(&back);
        // There and back again.
        let (undone, forth) = table.undone(&back, OnConflict::Skip);
        assert_eq!((counts(&undone), undone.altered.len()), ([5, 0, 2, 0, 0, 0], 0), "{options}");
        assert_eq!(table.dump(), migrated, "{options}");
        let (undone, _) = table.undone(&forth, OnConflict::Skip);
        assert_eq!(counts(&undone), [5, 2, 0, 0, 0, 0], "{options}");
        let (undone, nothing) = table.undone(&made, OnConflict::Skip);
        assert_eq!((counts(&undone), nothing.changes.len()), ([0, 0, 0, 7, 0, 0], 0), "{options}");
        assert_eq!(table.dump(), table.before, "{options}");
    }
}

#[test]
fn only_the_row_of_this_very_key_counts() {
    let lines = [r#"{"k":"ann","a":"x"}"#, r#"{"k":"Bob","a":"x"}"#, r#"{"k":"cid","a":"x"}"#];
    let table = Table::new(
        "create table t (k text collate nocase primary key, a text) strict, without rowid; insert into t values ('Bob', 'old')",
        "k = \"k\"\na = \"a\"",
        "",
        &lines,
    );
    table.run("delete from t where k = 'ann'; insert into t values ('ANN', 'x')");
    table.run("update t set k = 'BOB' where k = 'bob'");
    let made = table.made();
    let (undone, _) = table.undone(&made, OnConflict::Force);
    // To the index they are the same, and nobody can tell whose they are: not even by force.
    assert_eq!((counts(&undone), kinds(&undone)), ([0, 1, 0, 0, 2, 0], vec![Kind::Changed; 2]));
    assert_eq!(table.dump().len(), 2);
}

fn simple(more: &str) -> Table {
    let sql = format!("create table t (k integer primary key, a text, b text); {TWO}; {more}");
    Table::new(&sql, FIELDS, "", &LINES)
}

#[test]
fn without_its_index_a_key_is_still_one_row() {
    let sql = "create table t (k text collate nocase, a text); create unique index i on t (k); insert into t values ('Bob', 'old')";
    let lines = [r#"{"k":"ann","a":"x"}"#, r#"{"k":"Bob","a":"x"}"#];
    the_index_goes(&Table::new(sql, "k = \"k\"\na = \"a\"", "", &lines), "drop index i");
}

#[test]
fn what_somebody_has_changed_since_is_a_conflict() {
    somebody_changes(&simple(""));
}

#[test]
fn values_in_later_columns_are_kept() {
    columns_are_added(&simple(""));
}

#[test]
fn rows_that_others_refer_to_stay() {
    for action in
        ["on delete cascade", "on delete set null", "", "deferrable initially deferred", "on delete restrict"]
    {
        let table =
            simple(&format!("create table child (x integer primary key, p int references T {action})"));
        others_refer(&table, Some("rows of child refer to it"));
    }
}

#[test]
fn rows_of_one_table_refer_to_each_other() {
    let lines = [
        r#"{"k":2,"a":null}"#,
        r#"{"k":3,"a":2}"#,
        r#"{"k":4,"a":3}"#,
        r#"{"k":5,"a":null}"#,
        r#"{"k":6,"a":5}"#,
        r#"{"k":8,"a":6}"#,
    ];
    let table = Table::new(
        "create table t (k integer primary key, a int references t on delete cascade); insert into t values (7, null), (8, 7)",
        "k = { type = \"int\" }\na = { from = \"a\", type = \"int\" }",
        "",
        &lines,
    );
    // One chain ends with somebody's row: all of it stays.
    table.run("insert into t values (9, 4)");
    let (undone, _) = table.undone(&table.made(), OnConflict::Skip);
    assert_eq!(kinds(&undone), [Kind::Referenced; 3]);
    assert_eq!(counts(&undone), [1, 2, 0, 0, 3, 0]);
    table.run("delete from t where k = 9");
    let (undone, _) = table.undone(&table.made(), OnConflict::Skip);
    assert_eq!(counts(&undone), [0, 3, 0, 3, 0, 0]);
    assert_eq!(table.dump(), table.before);
}

/// Rows that go along with others of their batch are kept, too, and can be had again.
#[test]
fn what_goes_along_with_others_of_the_batch_has_gone() {
    let table = Table::new(
        "create table t (k integer primary key, a int references t on delete cascade deferrable initially deferred)",
        "k = { type = \"int\" }\na = { from = \"a\", type = \"int\" }",
        "",
        &[r#"{"k":1,"a":2}"#, r#"{"k":2,"a":null}"#, r#"{"k":3,"a":null}"#],
    );
    let (undone, back) = table.undone(&table.made(), OnConflict::Skip);
    assert_eq!((counts(&undone), back.changes.len()), ([0, 3, 0, 0, 0, 0], 3));
    assert_eq!(table.dump(), table.before);
}

/// An old image that a foreign key which is checked only at the commit does not let in holds up no other row.
#[test]
fn a_deferred_foreign_key_is_the_fault_of_its_row() {
    let table = Table::new(
        "create table other (k integer primary key); insert into other values (1), (2); \
         create table t (k integer primary key, a int references other deferrable initially deferred); \
         insert into t values (1, 1), (2, 2), (3, null)",
        "k = { type = \"int\" }\na = { from = \"a\", type = \"int\" }",
        "",
        &[r#"{"k":1,"a":null}"#, r#"{"k":2,"a":null}"#, r#"{"k":3,"a":2}"#, r#"{"k":4,"a":null}"#],
    );
    table.run("delete from other where k = 1");
    let (undone, _) = table.undone(&table.made(), OnConflict::Skip);
    assert_eq!(counts(&undone), [2, 1, 0, 0, 0, 1]);
    assert_eq!(undone.faults[0].1.code, "SQLITE_CONSTRAINT_FOREIGNKEY");
    assert_eq!(undone.faults[0].1.column.as_deref(), Some("a"));
    table.run("insert into other values (1)");
    let (undone, _) = table.undone(&table.made(), OnConflict::Skip);
    assert_eq!(counts(&undone), [1, 0, 0, 3, 0, 0]);
    assert_eq!(table.dump(), table.before);
}

#[test]
fn what_a_trigger_does_is_reported() {
    let table = simple(
        "create trigger no before delete on t when old.k = 4 begin select raise(abort, 'not this one'); end; \
         create trigger quiet before delete on t when old.k = 3 begin select raise(ignore); end; \
         create trigger upper after update on t when new.k = 1 and new.a = 'old' begin update t set b = upper(new.b) where k = 1; end",
    );
    let (undone, back) = table.undone(&table.made(), OnConflict::Skip);
    assert_eq!((counts(&undone), back.changes.len()), ([2, 0, 0, 0, 0, 2], 2));
    let codes: Vec<&str> = undone.faults.iter().map(|(_, fault)| fault.code.as_str()).collect();
    assert_eq!(codes.iter().filter(|code| **code == "SQLITE_CONSTRAINT_TRIGGER").count(), 1, "{codes:?}");
    assert!(undone.faults.iter().any(|(_, fault)| fault.code == "taken"), "{codes:?}");
    assert_eq!(undone.altered.len(), 1);
    assert_eq!(undone.altered[0].1, ["b"]);
    assert_eq!(table.dump().len(), 4);
}

#[cfg(feature = "faults")]
#[test]
fn the_marker_of_a_batch_tells_what_became_of_it() {
    let sql = format!("create table t (k integer primary key, a text, b text); {TWO}");
    Table::staged(&sql, FIELDS, "", &LINES).is_told_by_its_marker("sqlite.committed");
}

#[test]
fn a_version_goes_forward() {
    let sql = "create table t (k integer primary key, a text, b integer); insert into t values (1, 'old', 5)";
    let fields = "k = { type = \"int\" }\na = \"a\"\nb = { from = \"b\", type = \"int\" }";
    let table = Table::new(sql, fields, "version = \"b\"", &[r#"{"k":1,"a":"new","b":8}"#]);
    let (undone, _) = table.undone(&table.made(), OnConflict::Skip);
    assert_eq!(counts(&undone), [1, 0, 0, 0, 0, 0]);
    assert_eq!(table.dump(), ["integer31 text6F6C64 integer39"]);
}
