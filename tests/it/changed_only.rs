//! `stage --changed-only`: what the stores prove equal is not read, and the comparison finds the same as if it had been.

use serde_json::{Value as Json, json};

use crate::project::Project;
use crate::servers::{mariadb, postgres};
use crate::{mysql, postgres as types};

/// A spec over the tables `a` and `b`.
fn spec(kind: &str, url: &str, key: &str, rest: &str) -> String {
    let dataset =
        |name: &str| format!("[datasets.{name}]\nkind = \"{kind}\"\nurl = \"{url}\"\ntable = \"{name}\"\n\n");
    format!(
        "{}{}[entities.row]\nsource = \"a\"\ntarget = \"b\"\nkey = [{key}]\n{rest}",
        dataset("a"),
        dataset("b")
    )
}

fn project(kind: &str, url: &str, key: &str, rest: &str) -> Project {
    let project = Project::new();
    project.write("recon.toml", spec(kind, url, key, rest));
    project
}

/// What a diff found: its exit code, its tables, and the counts of its summary.
fn found(project: &Project) -> (i32, Vec<String>, Json) {
    let ran = project.recon(&["diff", "--out", "out"]);
    let tables = ["mismatches", "missing", "extra", "duplicates", "failures"];
    let tables = tables.iter().map(|name| project.read(&format!("out/{name}.csv"))).collect();
    let mut row = project.summary("out")["entities"]["row"].take();
    let counts: Vec<(String, Json)> = row.as_object_mut().map(std::mem::take).into_iter().flatten().collect();
    let kept =
        counts.into_iter().filter(|(name, _)| !["proven", "datasets", "warnings"].contains(&name.as_str()));
    (ran.code, tables, kept.collect())
}

/// Stages with and without the stores' proof and holds what the diffs find against each other. Returns the rows that were proven
/// equal and all of the source.
fn same_as_whole(project: &Project) -> (u64, u64) {
    let staged = project.recon(&["stage", "--changed-only"]);
    assert_eq!(staged.code, 0, "{}", staged.stderr);
    assert!(!staged.stderr.contains("staged whole"), "{}", staged.stderr);
    let changed = found(project);
    let row = project.summary("out")["entities"]["row"].take();
    let proven = row["proven"]["rows"].as_u64().expect("something was proven");
    let listed = project.read("out/proven.csv");
    let rows = listed
        .lines()
        .skip(1)
        .map(|line| line.rsplit(',').next().expect("rows").parse::<u64>().expect("a number"));
    assert_eq!(rows.sum::<u64>(), proven, "{listed}");
    assert_eq!(project.recon(&["stage"]).code, 0);
    assert_eq!(changed, found(project));
    assert_eq!(project.summary("out")["entities"]["row"]["proven"], Json::Null);
    (proven, row["source_rows"].as_u64().expect("a count"))
}

/// The one reason for which everything was staged.
fn whole(project: &Project) -> String {
    let staged = project.recon(&["stage", "--changed-only"]);
    assert!(staged.code == 0 && staged.stderr.contains("staged whole"), "{}{}", staged.stdout, staged.stderr);
    let diff = project.recon(&["diff", "--out", "out", "--allow-empty"]);
    assert!([0, 1, 3].contains(&diff.code), "{}", diff.stderr);
    assert_eq!(project.summary("out")["entities"]["row"]["proven"], Json::Null);
    assert!(project.read("out/summary.json").contains("staged whole"));
    staged.stderr
}

const ROWS: usize = 128 * 64;

/// The number of the row in which a column is changed: each lies in a range of its own.
fn row_of(column: usize) -> usize {
    100 * (column + 1)
}

#[test]
fn one_changed_cell_of_every_type_of_postgres_is_found() {
    // What these are equal by is more, or less, than their text.
    let fit: Vec<&types::Column> = types::TYPES
        .iter()
        .filter(|(_, ty, ..)| !["json", "int4range", "timestamptz[]"].contains(ty))
        .collect();
    let columns: Vec<String> = fit.iter().map(|(name, ty, ..)| format!("{name} {ty}")).collect();
    let values: Vec<&str> = fit.iter().map(|(_, _, value, _)| *value).collect();
    let defaults: Vec<&str> = values.iter().filter(|value| **value != "default").copied().collect();
    let names: Vec<&str> = fit.iter().filter(|t| t.2 != "default").map(|t| t.0).collect();
    let mut sql = types::TYPES_FIRST.to_owned();
    for table in ["a", "b"] {
        sql.push_str(&format!(
            "create table {table} (k int primary key, {}); \
             insert into {table} (k, {}) select i, {} from generate_series(1, {ROWS}) i; \
             insert into {table} (k) select -i from generate_series(1, 100) i;",
            columns.join(", "),
            names.join(", "),
            defaults.join(", ")
        ));
    }
    let database = postgres::Database::new(&sql);
    let changed = fit.iter().enumerate().filter(|(_, (name, ..))| *name != "counted");
    let mut expected = Vec::new();
    for (i, (name, _, _, other)) in changed {
        database.run(&format!("update b set {name} = {other} where k = {}", row_of(i)));
        expected.push((row_of(i), (*name).to_owned()));
    }
    let project = project("postgres", &database.url, "\"k\"", "");
    let (proven, all) = same_as_whole(&project);
    assert_eq!(project.mismatches("out", "row"), expected);
    assert!(proven > all / 2 && all == ROWS as u64 + 100, "{proven} of {all}");
}

#[test]
fn one_changed_cell_of_every_type_of_mariadb_is_found() {
    let fit: Vec<_> = mysql::TYPES.iter().filter(|(_, ty, ..)| *ty != "json").collect();
    let columns: Vec<String> =
        fit.iter().map(|(name, ty, ..)| format!("{} {ty}", mysql::quoted(name))).collect();
    let values: Vec<&str> = fit.iter().map(|(_, _, value, _)| *value).collect();
    let mut sql = String::new();
    for table in ["a", "b"] {
        sql.push_str(&format!(
            "create table {table} (k int primary key, {}); insert into {table} select seq, {} from seq_1_to_{ROWS}; \
             insert into {table} (k) select -seq from seq_1_to_100;",
            columns.join(", "),
            values.join(", ")
        ));
    }
    let database = mariadb::Database::new(&sql);
    let mut expected = Vec::new();
    for (i, (name, _, _, other)) in fit.iter().enumerate() {
        database.run(&format!("update b set {} = {other} where k = {}", mysql::quoted(name), row_of(i)));
        expected.push((row_of(i), (*name).to_owned()));
    }
    let project = project("mysql", &database.url, "\"k\"", "");
    let (proven, all) = same_as_whole(&project);
    assert_eq!(project.mismatches("out", "row"), expected);
    assert!(proven > all / 2 && all == ROWS as u64 + 100, "{proven} of {all}");
}

/// Changes that sums could miss, far from each other: NULL for the empty string, a border between two values that moves, values
/// that swap places within a row and between two, rows at both ends.
const CHANGES: &[&str] = &[
    "update b set y = '' where n = 401",
    "update b set x = 'v600v', y = '601' where n = 600",
    "update b set x = 'v901', y = 'v900' where n = 900",
    "update b set x = case n when 1200 then 'v1201' else 'v1200' end where n in (1200, 1201)",
    "update b set y = case n when 1800 then null else 'v1801' end where n in (1800, 1801)",
    "delete from b where n in (1, 2100, 3000)",
    "update b set n = n + 100000 where n = 2700",
];

/// Both tables, the second with the changes. `key` gives the columns of the key out of the number `i`.
fn tables(columns: &str, key: &str, primary: &str, series: &str) -> String {
    let mut sql = String::new();
    for table in ["a", "b"] {
        sql.push_str(&format!(
            "create table {table} ({columns}, n int, x varchar(60), y varchar(60), primary key ({primary})); \
             insert into {table} select {key}, i, concat('v', i), case when i % 3 = 0 then concat('v', i + 1) end from {series}; "
        ));
    }
    format!("{sql}{};", CHANGES.join("; "))
}

/// Eight rows differ in a field, three are gone.
fn finds_the_changes(project: &Project, key: &str) {
    let (proven, all) = same_as_whole(project);
    assert!(proven > all / 2 && all == 3000, "{key}: {proven} of {all}");
    let row = project.summary("out")["entities"]["row"].take();
    assert_eq!((&row["mismatched"], &row["missing"]), (&json!(8), &json!(3)), "{key}");
}

#[test]
fn keys_of_every_kind_cut_tables_of_postgres_into_ranges() {
    let cases = [
        ("k bigint", "(i - 1500) * 3000000000000000", "k", "\"k\""),
        ("k numeric", "(i - 1500) * 12345678901234567890.123", "k", "\"k\""),
        ("k text", "chr(33 + i % 90) || '''\\' || i", "k", "\"k\""),
        ("k citext", "case when i % 2 = 0 then 'K' else 'k' end || i", "k", "\"k\""),
        ("k uuid", "md5(i::text)::uuid", "k", "\"k\""),
        ("k bytea", "sha256(i::text::bytea)", "k", "\"k\""),
        (
            "k timestamptz",
            "'1960-01-01 00:00:00+02'::timestamptz + i * interval '10 days 0.000001s'",
            "k",
            "\"k\"",
        ),
        ("k date", "'0001-01-01 BC'::date + i * 300", "k", "\"k\""),
        ("t char(3), k int", "'t' || i % 3, i / 3", "t, k", "\"k\", \"t\""),
    ];
    for (columns, key, primary, fields) in cases {
        let sql = tables(columns, key, primary, "generate_series(1, 3000) i");
        let database = postgres::Database::new(&format!("create extension if not exists citext; {sql}"));
        finds_the_changes(&project("postgres", &database.url, fields, ""), columns);
    }
}

#[test]
fn keys_of_every_kind_cut_tables_of_mariadb_into_ranges() {
    let cases = [
        ("k bigint", "(i - 1500) * 3000000000000000", "k", "\"k\""),
        ("k bigint unsigned", "18446744073709551615 - cast(i as unsigned)", "k", "\"k\""),
        ("k decimal(40,3)", "(i - 1500) * 12345678901234567890.123", "k", "\"k\""),
        ("k varchar(20) collate utf8mb4_general_ci", "concat(char(33 + i % 90), '''\\\\', i)", "k", "\"k\""),
        ("k varchar(40) character set latin1", "concat('é', md5(i))", "k", "\"k\""),
        ("k binary(16)", "unhex(md5(i))", "k", "\"k\""),
        ("k datetime(6)", "'1960-01-01' + interval i * 10 day + interval i microsecond", "k", "\"k\""),
        ("t char(3), k int", "concat('t', i % 3), i div 3", "t, k", "\"k\", \"t\""),
    ];
    for (columns, key, primary, fields) in cases {
        let sql =
            tables(columns, key, primary, "(select cast(seq as signed) as i from seq_1_to_3000) as numbers");
        let database = mariadb::Database::new(&sql);
        finds_the_changes(&project("mysql", &database.url, fields, ""), columns);
    }
}

#[test]
fn a_text_is_itself_in_whatever_character_set() {
    // Everywhere the same texts as other bytes; in row 300 another text as the same bytes.
    let sql = "create table a (k int primary key, v varchar(20) character set latin1); \
        insert into a select seq, 'é' from seq_1_to_1000; create table b (k int primary key, v varchar(20) character set utf8mb4); \
        insert into b select k, v from a; update a set v = 'Ã©' where k = 300";
    let database = mariadb::Database::new(sql);
    let project = project("mysql", &database.url, "\"k\"", "");
    let (proven, _) = same_as_whole(&project);
    assert_eq!((proven, project.mismatches("out", "row")), (1000 - 64, vec![(300, "v".to_owned())]));
}

#[test]
fn two_tables_without_a_difference_are_not_read_at_all() {
    let sql = "create table a (k int primary key, v text); \
        insert into a select i, 'v' || i from generate_series(1, 1000) i; create table b as select * from a; \
        alter table b add primary key (k)";
    let database = postgres::Database::new(sql);
    let project = project("postgres", &database.url, "\"k\"", "");
    let staged = project.recon(&["stage", "--changed-only"]);
    assert_eq!(staged.code, 0, "{}", staged.stderr);
    assert!(staged.stdout.contains("a: 0 rows from 1 unit"), "{}", staged.stdout);
    assert!(
        staged.stdout.contains("a: 1 000 more rows are proven equal in the stores: 16 of 16 ranges"),
        "{}",
        staged.stdout
    );
    let ran = project.recon(&["diff", "--out", "out"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let summary = project.summary("out");
    let row = &summary["entities"]["row"];
    assert_eq!((&row["matched"], &row["fields"]["v"]["compared"]), (&json!(1000), &json!(1000)));
    assert!(
        ran.stdout.contains("1 000 of the matched rows are proven equal in the stores"),
        "{}",
        ran.stdout
    );
    assert_eq!(project.read("out/proven.csv").lines().count(), 17);
    let shown = project.recon(&["show", "5"]);
    assert_eq!(shown.code, 4);
    assert!(shown.stderr.contains("1 000 rows are not staged"), "{}", shown.stderr);
    let checked = project.recon(&["spot-check", "-n", "5"]);
    assert_eq!(checked.code, 3, "{}", checked.stdout);
    assert!(
        checked.stderr.contains("1 000 rows that the stores proved equal are not staged"),
        "{}",
        checked.stderr
    );
    let again = project.recon(&["diff", "--recheck", "1", "--delay", "0s"]);
    assert_eq!(again.code, 0, "{}", again.stderr);
}

#[test]
fn a_proof_speaks_of_nothing_but_what_it_was_made_for() {
    let sql = "create table a (k int primary key, v text, w text); \
        insert into a select i, 'v' || i, 'w' from generate_series(1, 1000) i; create table b as select * from a; \
        alter table b add primary key (k); update b set v = '' where k = 500";
    let database = postgres::Database::new(sql);
    let fields = "[entities.row.fields]\nk = \"k\"\nv = \"v\"\n";
    let project = project("postgres", &database.url, "\"k\"", fields);
    let stage = |project: &Project| assert_eq!(project.recon(&["stage", "--changed-only"]).code, 0);
    stage(&project);
    assert_eq!(project.recon(&["diff"]).code, 1);
    // Another field: nobody looked at its values.
    project.write("recon.toml", spec("postgres", &database.url, "\"k\"", &format!("{fields}w = \"w\"\n")));
    let other = project.recon(&["diff"]);
    assert_eq!(other.code, 4, "{}", other.stdout);
    assert!(other.stderr.contains("the spec has changed since"), "{}", other.stderr);
    assert!(other.stderr.contains("run `recon stage` again, for both sides"), "{}", other.stderr);
    // The same words elsewhere in the file are the same spec.
    project.write("recon.toml", format!("\n# moved\n{}", spec("postgres", &database.url, "\"k\"", fields)));
    assert_eq!(project.recon(&["diff"]).code, 1);
    // The other side as it is at another time.
    database.run("delete from b where k = 1");
    assert_eq!(project.recon(&["stage", "target"]).code, 0);
    let half = project.recon(&["diff"]);
    assert_eq!(half.code, 4, "{}", half.stdout);
    assert!(half.stderr.contains("the other side was staged at another time"), "{}", half.stderr);
    assert_eq!(project.recon(&["stage", "source"]).code, 0);
    assert_eq!(project.recon(&["diff", "--out", "out"]).code, 1);
    assert_eq!(project.summary("out")["entities"]["row"]["missing"], 1);
    let one_side = project.recon(&["stage", "source", "--changed-only"]);
    assert_eq!(one_side.code, 2, "{}", one_side.stderr);
}

#[test]
fn where_equal_texts_do_not_decide_everything_is_staged() {
    let sql = "create table a (k int primary key, v text, w int, m int); \
        insert into a select i, 'v' || i, i from generate_series(1, 1000) i; \
        create table b (k int primary key, v text, w bigint, m money); insert into b select k, v, w from a; \
        create view v as select * from a";
    let database = postgres::Database::new(sql);
    let fields = |fields: &str| format!("[entities.row.fields]\nk = \"k\"\n{fields}\n");
    let cases = [
        ("where = \"k > 0\"\n".to_owned() + &fields("v = \"v\""), "it has a filter"),
        (fields("v = \"upper(v)\""), "field `v` is not a plain column on both sides"),
        (fields("v = { from = \"v\", type = \"string\" }"), "field `v` has a `type`"),
        (fields("v = { from = \"v\", sql = \"source <> target\" }"), "field `v` has a predicate of its own"),
        (fields("v = { from = \"v\", json = true }"), "field `v` has a rule that its values may not fit"),
        (fields("m = \"m\""), "field `m` is "),
        (fields("v = \"v\"") + "[entities.row.references]\nk = \"row.k\"\n", "it has references"),
    ];
    for (rest, reason) in cases {
        let said = whole(&project("postgres", &database.url, "\"k\"", &rest));
        assert!(said.contains(reason), "{rest}: {said}");
    }
    let keyed_by_another = project("postgres", &database.url, "\"v\"", "[entities.row.fields]\nv = \"v\"\n");
    assert!(whole(&keyed_by_another).contains("the entity's key is not the primary key of dataset `a`"));
    let of_a_view = project("postgres", &database.url, "\"k\"", &fields("v = \"v\""));
    let text = of_a_view.read("recon.toml").replacen("table = \"b\"", "table = \"v\"", 1);
    of_a_view.write("recon.toml", text);
    assert!(whole(&of_a_view).contains("is not the primary key of dataset `b`"));
}

#[test]
fn where_the_stores_differ_in_what_a_text_is_everything_is_staged() {
    let sql = "create table a (k text primary key, v text); \
        insert into a select chr(65 + i % 60) || i, 'v' from generate_series(1, 1000) i; \
        create table b (k text collate \"C\" primary key, v text); insert into b select * from a; \
        alter table a alter column k type text collate \"und-x-icu\"";
    let database = postgres::Database::new(sql);
    let said = whole(&project("postgres", &database.url, "\"k\"", ""));
    assert!(said.contains("the two tables sort their keys differently"), "{said}");
    database.run("create database latin encoding 'LATIN1' locale 'C' template template0");
    let latin =
        database.url.rsplit_once('/').map(|(server, _)| format!("{server}/latin")).expect("a database");
    postgres::psql(&latin, "create table a (k int primary key); create table b (k int primary key)");
    let said = whole(&project("postgres", &latin, "\"k\"", ""));
    postgres::psql(&database.url, "drop database latin");
    assert!(said.contains("is encoded in LATIN1, not in UTF8"), "{said}");
    let both =
        mariadb::Database::new("create table a (k int primary key); create table b (k int primary key)");
    let project = project("mysql", &both.url, "\"k\"", "");
    let mixed = project.read("recon.toml").replacen(
        &format!("kind = \"mysql\"\nurl = \"{}\"", both.url),
        &format!("kind = \"postgres\"\nurl = \"{}\"", database.url),
        1,
    );
    database.run("drop table a; create table a (k int primary key)");
    project.write("recon.toml", mixed);
    assert!(whole(&project).contains("its sides are stores of two kinds"));
}

#[test]
fn where_equal_texts_are_not_equal_values_everything_is_staged() {
    // Padding is part of a text and not of a char; and names that are there twice are counted.
    let sql = "create table a (k int primary key, v text, w text[], d json); create table b (k int primary key, v char(5), w char(5)[], d json); \
        insert into a select i, 'ab   ', array['ab   '], '{}' from generate_series(1, 300) i; \
        insert into b select i, 'ab', array['ab'], '{}' from generate_series(1, 300) i";
    let database = postgres::Database::new(sql);
    for column in ["v", "w", "d"] {
        let fields = format!("[entities.row.fields]\nk = \"k\"\n{column} = \"{column}\"\n");
        let project = project("postgres", &database.url, "\"k\"", &fields);
        let said = whole(&project);
        assert!(
            said.contains(&format!(
                "equal texts of the columns `{column}` and `{column}` are not equal values"
            )),
            "{said}"
        );
        let unequal = if column == "d" { 0 } else { 300 };
        assert_eq!(project.summary("out")["entities"]["row"]["mismatched"], unequal, "{column}");
    }
    let text_keys = "drop table a, b; create table a (k text primary key); create table b (k char(5) primary key); \
        insert into a values ('1 '); insert into b values ('1')";
    database.run(text_keys);
    whole(&project("postgres", &database.url, "\"k\"", ""));
}

#[test]
fn what_staging_cannot_read_is_not_proven_equal() {
    let zero = "set sql_mode = ''; create table a (k int primary key, d date, t timestamp null, e datetime); \
        insert into a select seq, '2024-01-01', '2024-01-01', '2024-01-01' from seq_1_to_1000; \
        update a set d = '0000-00-00' where k = 100; update a set t = 0 where k = 400; update a set e = '2024-00-01' where k = 700; \
        set sql_mode = 'ALLOW_INVALID_DATES'; update a set d = '2021-02-31' where k = 950; \
        create table b like a; insert into b select * from a";
    let database = mariadb::Database::new(zero);
    let late = "create table a (k int primary key, t timestamp, j jsonb); \
        insert into a select i, '2024-01-01', '{\"a\": [1]}' from generate_series(1, 1000) i; \
        update a set t = '294270-01-01' where k in (100, 400, 700); \
        update a set j = (repeat('[', 1500) || repeat(']', 1500))::jsonb where k = 950; \
        create table b (k int primary key, t timestamp, j jsonb); insert into b select * from a";
    let other = postgres::Database::new(late);
    for (kind, url) in [("mysql", &database.url), ("postgres", &other.url)] {
        let project = project(kind, url, "\"k\"", "");
        let staged = project.recon(&["stage", "--changed-only"]);
        assert_eq!(staged.code, 3, "{kind}: {}", staged.stderr);
        let changed = found(&project);
        let row = project.summary("out")["entities"]["row"].take();
        assert_eq!((changed.0, &row["unchecked"], &row["matched"]), (3, &json!(4), &json!(996)), "{kind}");
        assert!(row["proven"]["rows"].as_u64().is_some_and(|rows| rows > 500), "{kind}");
        assert_eq!(project.recon(&["stage"]).code, 3);
        let whole = found(&project);
        // Only the places of the failures are others.
        assert_eq!((changed.0, &changed.1[..4], changed.2), (whole.0, &whole.1[..4], whole.2), "{kind}");
    }
}

#[test]
fn a_proof_does_not_outlive_the_clocks_it_was_made_by() {
    let sql = "create table a (k int primary key, t timestamp); insert into a select i, '2024-01-01' from generate_series(1, 300) i; \
        create table b (k int primary key, t timestamp); insert into b select * from a";
    let database = postgres::Database::new(sql);
    let project = project("postgres", &database.url, "\"k\"", "");
    assert_eq!(project.recon(&["stage", "--changed-only"]).code, 0);
    assert_eq!(project.recon(&["diff"]).code, 0);
    let zoned = project.read("recon.toml").replacen(
        "table = \"b\"",
        "table = \"b\"\ntimezone = \"America/New_York\"",
        1,
    );
    project.write("recon.toml", zoned);
    let ran = project.recon(&["diff"]);
    assert_eq!(ran.code, 4, "{}", ran.stdout);
    assert!(ran.stderr.contains("the spec has changed since"), "{}", ran.stderr);
}
