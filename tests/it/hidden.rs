//! What a store could hide: settings that bend a session, rows and columns that are not shown, bytes that are no text, and keys that
//! are found by no text but their own.

use serde_json::{Value, json};

use crate::project::{Project, Ran};
use crate::servers::dynamodb::{self, ENVIRONMENT};
use crate::servers::{free_port, mariadb, postgres};

fn spec(kind: &str, url: &str, key: &str) -> String {
    let dataset =
        |name: &str| format!("[datasets.{name}]\nkind = \"{kind}\"\nurl = \"{url}\"\ntable = \"{name}\"\n\n");
    format!(
        "{}{}[entities.row]\nsource = \"a\"\ntarget = \"b\"\nkey = [\"{key}\"]\n",
        dataset("a"),
        dataset("b")
    )
}

fn project(kind: &str, url: &str) -> Project {
    let project = Project::new();
    project.write("recon.toml", spec(kind, url, "k"));
    project
}

/// Stages and compares; the exit code of the comparison, and the entity's summary.
fn compared(project: &Project, stage: &[&str]) -> (i32, Value) {
    let staged = project.recon(&[&["stage"], stage].concat());
    assert!([0, 3].contains(&staged.code), "{}", staged.stderr);
    let ran = project.recon(&["diff", "--out", "out"]);
    assert!(ran.code < 4, "{}", ran.stderr);
    (ran.code, project.summary("out")["entities"]["row"].take())
}

fn counts(row: &Value) -> [u64; 4] {
    ["matched", "mismatched", "missing", "extra"].map(|name| row[name].as_u64().expect("a count"))
}

const BOTH: [&[&str]; 2] = [&[], &["--changed-only"]];

#[test]
fn mariadb_gives_all_rows_whatever_its_limits_are() {
    let server = mariadb::begin(free_port(), &["--max-allowed-packet=1M"]);
    mariadb::sql(
        &server,
        "mysql",
        "create database d; use d; create table a (k int primary key, v int, w longblob); \
         insert into a select seq, 1, null from seq_1_to_300; create table b like a; insert into b select * from a; \
         update b set v = 2 where k in (150, 250); set global sql_select_limit = 100, global max_statement_time = 0.001",
    );
    let url = format!("mysql://root@127.0.0.1:{}/d", server.port);
    let project = project("mysql", &url);
    for stage in BOTH {
        let (code, row) = compared(&project, stage);
        assert_eq!((code, counts(&row)), (1, [298, 2, 0, 0]), "{stage:?}");
    }
    // A value that the server's functions give NULL for, since they may not return as much.
    let unlimited =
        "set max_statement_time = 0; update b set v = 1; update a set w = repeat('c', 1048570) where k = 200";
    mariadb::sql(&server, "d", unlimited);
    let staged = project.recon(&["stage", "--changed-only"]);
    let ran = project.recon(&["diff"]);
    assert!(staged.code == 4 || ran.code == 1, "{}{}", staged.stdout, ran.stdout);
}

#[test]
fn columns_that_a_star_leaves_out_are_compared() {
    let database = mariadb::Database::new(
        "create table a (k int primary key, v int, secret int invisible default 1); \
         insert into a (k, v) select seq, 1 from seq_1_to_300; create table b like a; \
         insert into b (k, v, secret) select k, v, 2 from a",
    );
    let project = project("mysql", &database.url);
    for stage in BOTH {
        let (code, row) = compared(&project, stage);
        assert_eq!((code, counts(&row)), (1, [0, 300, 0, 0]), "{stage:?}");
    }
}

#[test]
fn bytes_that_are_no_text_are_failures_and_a_geometry_has_its_reference_system() {
    let database = mariadb::Database::new(
        "set sql_mode = ''; create table a (k int primary key, v varchar(20) character set ascii); create table b like a; \
         insert into a select seq, 'plain' from seq_1_to_200; insert into b select * from a; \
         update a set v = convert(unhex('80') using binary) where k = 10; update b set v = convert(unhex('81') using binary) where k = 10; \
         update a set v = '?' where k = 20; update b set v = convert(unhex('9f') using binary) where k = 20",
    );
    let project = project("mysql", &database.url);
    for stage in BOTH {
        let (code, row) = compared(&project, stage);
        assert_eq!((code, counts(&row)), (3, [198, 0, 0, 0]), "{stage:?}");
        assert_eq!((&row["unchecked"], &row["unchecked_target"]), (&json!(2), &json!(2)));
    }
    database.run(
        "drop table a; drop table b; create table a (k int primary key, g geometry); create table b like a; \
         insert into a values (1, st_geomfromtext('POINT(1 2)', 0)); insert into b values (1, st_geomfromtext('POINT(1 2)', 4326))",
    );
    let (code, row) = compared(&project, &[]);
    assert_eq!((code, counts(&row)), (1, [0, 1, 0, 0]));
}

#[test]
fn a_table_without_transactions_is_not_one_moment() {
    let database = mariadb::Database::new(
        "create table a (k int primary key) engine = MyISAM; create table b (k int primary key); insert into a values (1); insert into b values (1)",
    );
    let project = project("mysql", &database.url);
    for stage in BOTH {
        let (code, row) = compared(&project, stage);
        assert_eq!(code, 0);
        assert!(row["warnings"]["stage"].to_string().contains("not one moment: a table of MyISAM"), "{row}");
        assert_eq!(row["proven"], Value::Null);
    }
}

#[test]
fn rows_that_a_policy_hides_are_an_error() {
    let database = postgres::Database::new(
        "do $$ begin create role seer login; exception when duplicate_object then null; end $$; \
         create table a (k int primary key, o text); create table b (k int primary key, o text); \
         insert into a values (1, 'seer'), (2, 'other'); insert into b values (1, 'seer'); \
         alter table a enable row level security; create policy own on a using (o = current_user); grant select on a, b to seer",
    );
    let project = project("postgres", &database.url.replace("postgres@", "seer@"));
    let staged = project.recon(&["stage"]);
    assert_eq!(staged.code, 4, "{}", staged.stdout);
    assert!(
        staged.stderr.contains("public.a") && staged.stderr.contains("a policy hides rows"),
        "{}",
        staged.stderr
    );
    // Who sees them all reads them all.
    project.write("recon.toml", spec("postgres", &database.url, "k"));
    assert_eq!(compared(&project, &[]).1["missing"], 1);
}

#[test]
fn amounts_of_money_in_arrays_are_not_compared_either() {
    let database = postgres::Database::new(
        "create table a (k int primary key, m money[]); create table b (k int primary key, m money[]); \
         insert into a values (1, '{1.00}'); insert into b values (1, '{1.00}')",
    );
    for stage in BOTH {
        let (code, row) = compared(&project("postgres", &database.url), stage);
        assert_eq!((code, &row["fields"]["m"]["status"]), (3, &json!("not_compared")), "{stage:?}");
    }
}

#[test]
fn a_value_is_never_a_piece_of_sql() {
    let database = postgres::Database::new(
        "create role odd superuser login; alter role odd set standard_conforming_strings = off; \
         create table a (k text primary key, f float8); create table b (k text primary key, f float8)",
    );
    let evil = r"\')))  to stdout; commit; begin read write; create table pwned(x int); commit; --";
    database.run(&format!(
        "insert into a values ($${evil}$$, 5), ($$q\\'x$$, 5); insert into b select k, 6 from a"
    ));
    let project = project("postgres", &database.url.replace("postgres@", "odd@"));
    assert_eq!(project.recon(&["stage"]).code, 0);
    database.run("update b set f = 5 where k like 'q%'");
    let ran = project.recon(&["diff", "--out", "out", "--recheck", "1", "--delay", "0s"]);
    let there = database.run("select count(*) from pg_tables where tablename = 'pwned'");
    database.run("drop owned by odd; drop role odd");
    assert_eq!((ran.code, there.trim()), (1, "0"), "{}", ran.stderr);
    assert_eq!(
        project.summary("out")["entities"]["row"]["rechecks"],
        json!([{ "records": 2, "equal": 1, "gone": 0 }])
    );
}

/// Changes one record, adds one to each side, and looks at all three again: nothing has become equal or is gone.
fn found_again(project: &Project, what: &str) {
    assert_eq!(project.recon(&["stage"]).code, 0);
    let ran = project.recon(&["diff", "--out", "out", "--recheck", "1", "--delay", "0s"]);
    let row = project.summary("out")["entities"]["row"].take();
    assert_eq!(
        (ran.code, counts(&row)[1..].to_vec()),
        (1, vec![1, 1, 1]),
        "{what}: {}{}",
        ran.stdout,
        ran.stderr
    );
    assert_eq!(row["rechecks"], json!([{ "records": 3, "equal": 0, "gone": 0 }]), "{what}");
    let checked = project.recon(&["spot-check", "-n", "10", "--format", "json"]);
    assert_eq!(checked.code, 1, "{what}: {}", checked.stderr);
    let verdicts: Vec<&str> = ["matched", "mismatched", "missing", "extra"]
        .into_iter()
        .filter(|verdict| checked.stdout.contains(&format!("\"{verdict}\"")))
        .collect();
    assert_eq!(verdicts, ["matched", "mismatched", "missing", "extra"], "{what}: {}", checked.stdout);
}

#[test]
fn mariadb_finds_records_by_keys_of_every_type() {
    let keys = [
        (
            "timestamp(6)",
            ["'2024-02-29 12:00:00.5'", "'2024-03-01 00:00:00.000001'", "'2001-01-01'", "'2002-01-01'"],
        ),
        (
            "datetime(3)",
            ["'2024-02-29 12:00:00.5'", "'1000-01-01'", "'9999-12-31 23:59:59.999'", "'2002-01-01'"],
        ),
        ("time(3)", ["'-838:59:59.5'", "'-00:00:00.5'", "'838:59:59'", "'00:00:01'"]),
        ("bit(16)", ["b'1000000000000001'", "b'0'", "b'11'", "b'101'"]),
        ("float", ["0.1", "-3.4e38", "1e-20", "16777216"]),
        ("double", ["0.1", "-1.7976931348623157e308", "5e-324", "9007199254740993"]),
        ("decimal(65,30)", ["0.1", "-12345678901234567890123456789012345.5", "3", "4"]),
        ("bigint unsigned", ["18446744073709551615", "0", "9007199254740993", "9007199254740992"]),
        ("varchar(20) character set ascii", ["'a\\\\b'", "''", "'it''s'", "'x'"]),
        ("varchar(20) collate utf8mb4_unicode_ci", ["'é'", "'x'", "'日本'", "'y'"]),
        ("varchar(20) character set latin1 collate latin1_general_ci", ["'é'", "'x'", "'€'", "'y'"]),
        ("varbinary(20)", ["x'00ff27'", "''", "x'5c'", "'x'"]),
    ];
    let database = mariadb::Database::new("select 1");
    let project = project("mysql", &database.url);
    for (ty, [one, two, three, four]) in keys {
        for table in ["a", "b"] {
            database.run(&format!(
                "create or replace table {table} (k {ty} primary key, v int); insert into {table} values ({one}, 1), ({two}, 1)"
            ));
        }
        database.run(&format!(
            "update b set v = 2 where v = 1 limit 1; insert into a values ({three}, 1); insert into b values ({four}, 1)"
        ));
        found_again(&project, ty);
    }
}

#[test]
fn postgres_finds_records_by_days_before_christ_and_says_where_it_cannot() {
    let database = postgres::Database::new(
        "create table a (k date primary key, v int); insert into a values ('0044-03-15 BC', 1), ('infinity', 1), ('5874897-12-31', 1); \
         create table b (k date primary key, v int); insert into b values ('0044-03-15 BC', 2), ('infinity', 1), ('0001-01-01 BC', 1)",
    );
    let project = project("postgres", &database.url);
    found_again(&project, "date");
    database.run(
        "drop table a, b; create table a (k int[] primary key, v int); create table b (k int[] primary key, v int); \
         insert into a values ('{1}', 1); insert into b values ('{1}', 2)",
    );
    assert_eq!(project.recon(&["stage"]).code, 0);
    let ran = project.recon(&["diff", "--out", "out", "--recheck", "1", "--delay", "0s"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let summary = project.read("out/summary.json");
    assert!(summary.contains("dataset `a` finds no record by these values of k"), "{summary}");
    let checked = project.recon(&["spot-check"]);
    assert_eq!(checked.code, 3, "{}", checked.stderr);
}

#[test]
fn every_text_of_a_character_set_is_read() {
    let database = mariadb::Database::new(
        "set sql_mode = ''; create table a (k int primary key, s varchar(9) character set sjis, c varchar(9) character set cp932, u varchar(9) character set ucs2); \
         insert into a values (1, x'433a5c646972', x'8790', 'é?'); create table b like a; insert into b select * from a; \
         insert into a values (2, 'a', 'a', x'D800'); insert into b values (2, 'a', 'a', x'D801')",
    );
    for stage in BOTH {
        let (code, row) = compared(&project("mysql", &database.url), stage);
        assert_eq!((code, counts(&row), &row["unchecked"]), (3, [1, 0, 0, 0], &json!(1)), "{stage:?}");
    }
}

#[test]
fn a_row_that_cannot_be_read_counts_once_however_often_one_looks() {
    let database = mariadb::Database::new(
        "set sql_mode = ''; create table a (k int primary key, d date); insert into a values (1, '2024-01-01'), (2, '2024-01-01'), (3, '2024-01-01'); \
         create table b like a; insert into b values (1, '2024-01-02'), (2, '0000-00-00'), (3, '2024-01-01')",
    );
    let project = project("mysql", &database.url);
    assert_eq!(project.recon(&["stage"]).code, 3);
    for rounds in ["0", "1", "3"] {
        let ran = project.recon(&["diff", "--out", "out", "--recheck", rounds, "--delay", "0s"]);
        let row = project.summary("out")["entities"]["row"].take();
        assert_eq!((ran.code, counts(&row)), (3, [1, 1, 0, 0]), "{rounds}: {}", ran.stderr);
        let unchecked = [&row["target_rows"], &row["unchecked"], &row["unchecked_target"]];
        assert_eq!(unchecked, [&json!(3), &json!(1), &json!(1)], "{rounds}");
        assert_eq!(project.read("out/failures.csv").lines().count(), 2, "{rounds}");
    }
}

#[test]
fn what_is_outside_a_partition_is_not_read_again() {
    dynamodb::table("parted", &[("pk", "S"), ("sk", "S")]);
    for (user, item) in [(1, "A#1"), (1, "A#2"), (1, "B#1"), (2, "A#1"), (2, "A#2")] {
        let item = json!({ "pk": { "S": format!("USER#{user}") }, "sk": { "S": item }, "n": { "N": "1" } });
        dynamodb::ask("PutItem", &json!({ "TableName": "parted", "Item": item }));
    }
    let project = Project::new();
    let dataset = |name: &str, more: &str| {
        format!(
            "[datasets.{name}]\nkind = \"dynamodb\"\ntable = \"parted\"\nregion = \"eu-central-1\"\nendpoint = \"{}\"\n{more}\n\n",
            dynamodb::endpoint()
        )
    };
    let entity = "[entities.row]\nsource = \"a\"\ntarget = \"b\"\nkey = [\"pk\", \"sk\"]\n";
    let run = |args: &[&str]| -> Ran { project.recon_with(args, &ENVIRONMENT) };
    for (part, matched) in [("partition = \"USER#1\"", 3), ("partition = \"USER#1\"\nsort_prefix = \"A\"", 2)]
    {
        project.write("recon.toml", dataset("a", part) + &dataset("b", "") + entity);
        assert_eq!(run(&["stage"]).code, 0);
        let ran = run(&["diff", "--out", "out", "--recheck", "1", "--delay", "0s"]);
        let row = project.summary("out")["entities"]["row"].take();
        assert_eq!((ran.code, counts(&row)), (1, [matched, 0, 0, 5 - matched]), "{part}: {}", ran.stdout);
        let checked = run(&["spot-check", "-n", "10"]);
        assert_eq!(checked.code, 1, "{part}: {}{}", checked.stdout, checked.stderr);
    }
}

#[test]
fn a_spot_check_counts_what_it_cannot_look_up() {
    let source = postgres::Database::new(
        "create table users (id text primary key, email text); insert into users select 'u' || i, 'e' from generate_series(1, 40) i",
    );
    let project = Project::new();
    dynamodb::table("app", &[("pk", "S")]);
    for i in 1..=5 {
        let item = json!({ "pk": { "S": format!("USER#u{i}") }, "email": { "S": "e" } });
        dynamodb::ask("PutItem", &json!({ "TableName": "app", "Item": item }));
    }
    project.write(
        "recon.toml",
        format!(
            "[datasets.a]\nkind = \"dynamodb\"\ntable = \"app\"\nregion = \"eu-central-1\"\nendpoint = \"{}\"\n\n\
             [datasets.b]\nkind = \"postgres\"\nurl = \"{}\"\ntable = \"users\"\n\n\
             [entities.row]\nsource = \"a\"\ntarget = \"b\"\nkey = [\"id\"]\n\
             fields.id = \"substr(pk, 6)\"\nfields.email = \"email\"\n",
            dynamodb::endpoint(),
            source.url
        ),
    );
    assert_eq!(project.recon_with(&["stage"], &ENVIRONMENT).code, 0);
    let checked = project.recon_with(&["spot-check", "-n", "40", "--seed", "1"], &ENVIRONMENT);
    assert_eq!(checked.code, 3, "{}", checked.stdout);
    assert!(checked.stderr.contains("picked records are on one side only"), "{}", checked.stderr);
}
