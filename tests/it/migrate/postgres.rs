//! PostgreSQL as a target.

use serde_json::Value as Json;

use crate::project::Project;
use crate::servers::postgres::Database;

const SPEC: &str = r#"
[datasets.old]
kind = "jsonl"
uri = "old.jsonl"
[datasets.new]
kind = "postgres"
url = "${DATABASE_URL}"
table = "public.images"
[entities.image]
source = "old"
target = "new"
key = ["id"]
[entities.image.fields]
id = { from = "id", type = "int" }
name = { from = "name" }
price = { from = "price", type = "decimal(9,2)" }
tags = { from = "tags", type = "json" }
made = { from = "made", type = "timestamp" }
"#;

const TABLE: &str = "create table images (id bigint primary key, name varchar(20) not null, price numeric(9,2) check (price >= 0), \
                     tags jsonb, made timestamptz)";

/// A project whose source holds these lines, staged.
fn staged(lines: &str, database: &Database) -> Project {
    let project = Project::new();
    project.write("recon.toml", SPEC);
    project.write("old.jsonl", lines);
    let ran = recon(&project, database, &["stage", "source"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    project
}

fn recon(project: &Project, database: &Database, args: &[&str]) -> crate::project::Ran {
    project.recon_with(args, &[("DATABASE_URL", &database.url)])
}

fn line(id: usize) -> String {
    format!(
        "{{\"id\":{id},\"name\":\"name {id}\",\"price\":{id}.25,\"tags\":[\"a\",{id}],\"made\":\"2024-05-01T10:00:{:02}Z\"}}\n",
        id % 60
    )
}

fn lines(ids: std::ops::Range<usize>) -> String {
    ids.map(line).collect()
}

fn json(text: &str) -> Json {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn what_is_migrated_is_what_diff_expects() {
    let database = Database::new(TABLE);
    let project = staged(&lines(0..1234), &database);
    let ran = recon(&project, &database, &["migrate", "--batch-size", "100", "--format", "json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let told = json(&ran.stdout);
    assert_eq!(told["entities"]["image"]["inserted"], 1234, "{told}");
    assert_eq!(told["entities"]["image"]["pending"], 0, "{told}");
    assert_eq!(database.run("select count(*), sum(price) from images"), "1234|761069.50\n");
    for args in [&["stage", "target"][..], &["diff"]] {
        let ran = recon(&project, &database, args);
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    // Nothing of recon's stays in the user's rows, and nothing is pending.
    assert_eq!(database.run("select count(*) from recon.batches"), "0\n");
    let again = recon(&project, &database, &["migrate", "--format", "json"]);
    assert_eq!(
        (again.code, &json(&again.stdout)["entities"]["image"]["records"]),
        (0, &Json::from(0)),
        "{again:?}"
    );
}

/// What is told of the entity.
fn told(ran: &crate::project::Ran) -> Json {
    json(&ran.stdout)["entities"]["image"].clone()
}

/// Key, code and column of every failure of the newest run, sorted.
fn failures(project: &Project) -> Vec<(String, String, String)> {
    let runs = std::fs::read_dir(project.path("home/runs")).expect("runs");
    let mut runs: Vec<_> = runs.map(|run| run.expect("a run").path()).collect();
    runs.sort();
    let newest = runs.last().expect("a run").join("failures.csv");
    let mut reader = csv::Reader::from_path(newest).expect("a report");
    let mut rows: Vec<_> = reader
        .records()
        .map(|row| row.expect("a row"))
        .map(|row| (row[1].to_owned(), row[4].to_owned(), row[5].to_owned()))
        .collect();
    rows.sort();
    rows
}

/// Poison between good records: each is named with its reason, and all others arrive.
#[test]
fn single_records_fail_by_name() {
    let mut text = lines(0..300);
    for poison in [
        r#"{"id":1000,"name":"nul \u0000 inside","price":1}"#,
        r#"{"id":1001,"name":"a name that is longer than its column","price":1}"#,
        r#"{"id":1002,"price":1}"#,
        r#"{"id":1003,"name":"negative","price":-1}"#,
        r#"{"id":1004,"name":"digits","price":1.005}"#,
        r#"{"id":1005,"name":"wide","price":123456789}"#,
        r#"{"id":99999999999999999999,"name":"range","price":1}"#,
        r#"{"id":1006,"name":"json","price":1,"tags":["\u0000"]}"#,
        r#"{"id":1007,"name":"nanoseconds","price":1,"made":"2024-05-01T10:00:00.0000001Z"}"#,
        r#"{"id":1008,"name":"no zone","price":1,"made":"2024-05-01T10:00:00"}"#,
        r#"{"id":1009,"name":"one","price":1}"#,
        r#"{"id":1009,"name":"two","price":1}"#,
        r#"{"id":null,"name":"no key","price":1}"#,
        r#"{"id":1010,"name":"guarded","price":7}"#,
    ] {
        text.push_str(poison);
        text.push('\n');
    }
    let guard = "create function guard() returns trigger language plpgsql as $$ begin \
                 if new.price = 7 then raise exception 'seven is not sold'; end if; return new; end $$; \
                 create trigger guard before insert or update on images for each row execute function guard()";
    let database = Database::new(&format!("{TABLE}; {guard}"));
    let project = staged(&text, &database);
    let ran = recon(&project, &database, &["migrate", "--batch-size", "64", "--format", "json"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(
        (told(&ran)["inserted"].as_u64(), told(&ran)["failed"].as_u64()),
        (Some(300), Some(14)),
        "{ran:?}"
    );
    let expected = [
        ("", "null_key", "id"),
        ("1000", "nul", "name"),
        ("1001", "too_long", "name"),
        ("1002", "23502", "name"),
        ("1003", "23514", ""),
        ("1004", "cast", "price"),
        ("1005", "cast", "price"),
        ("1006", "22P05", "tags"),
        ("1007", "precision", "made"),
        ("1008", "zone", "made"),
        ("1009", "duplicate_key", ""),
        ("1009", "duplicate_key", ""),
        ("1010", "P0001", ""),
        ("99999999999999999999", "range", "id"),
    ];
    let expected: Vec<_> = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())).to_vec();
    assert_eq!(failures(&project), expected);
    assert_eq!(database.run("select count(*) from images"), "300\n");
    // Nothing is tried again unasked, and what failed is not forgotten.
    let again = recon(&project, &database, &["migrate", "--format", "json"]);
    assert_eq!((again.code, told(&again)["records"].as_u64()), (1, Some(0)), "{again:?}");
}

/// Once the cause is gone, a replay brings in exactly what failed.
#[test]
fn a_replay_writes_what_failed_and_no_more() {
    let text = lines(0..50) + "{\"id\":1003,\"name\":\"negative\",\"price\":-1}\n";
    let database = Database::new(TABLE);
    let project = staged(&text, &database);
    assert_eq!(recon(&project, &database, &["migrate"]).code, 1);
    // Nothing of that class failed, but something did.
    let ran = recon(&project, &database, &["replay", "--class", "retryable"]);
    assert!(ran.code == 1 && ran.stdout.contains("1 records that were not asked for"), "{ran:?}");
    // The cause is still there.
    let ran = recon(&project, &database, &["replay", "--format", "json"]);
    assert_eq!(
        (ran.code, told(&ran)["records"].as_u64(), told(&ran)["failed"].as_u64()),
        (1, Some(1), Some(1)),
        "{ran:?}"
    );
    database.run(
        "alter table images drop constraint images_price_check; update images set name = 'mine' where id = 7",
    );
    let ran = recon(&project, &database, &["replay", "--format", "json"]);
    assert_eq!((ran.code, told(&ran)["inserted"].as_u64()), (0, Some(1)), "{ran:?}");
    assert_eq!(database.run("select name from images where id = 7"), "mine\n", "nobody asked for it");
    assert_eq!(recon(&project, &database, &["migrate"]).code, 0);
    let ran = recon(&project, &database, &["replay", "--format", "json"]);
    assert_eq!((ran.code, ran.stdout.contains("image")), (0, false), "nothing is left to replay: {ran:?}");
    // A diff finds the other one, and a replay repairs it.
    assert_eq!(recon(&project, &database, &["stage", "target"]).code, 0);
    assert_eq!(recon(&project, &database, &["diff"]).code, 1);
    let ran = recon(&project, &database, &["replay", "--format", "json"]);
    assert_eq!((ran.code, told(&ran)["updated"].as_u64()), (0, Some(1)), "{ran:?}");
    assert_eq!(database.run("select name from images where id = 7"), "name 7\n");
}

#[test]
fn a_replay_takes_keys_from_a_list_or_a_file() {
    let database = Database::new(TABLE);
    let project = staged(&lines(0..20), &database);
    assert_eq!(recon(&project, &database, &["migrate"]).code, 0);
    database.run("delete from images where id in (3, 5, 8)");
    let ran = recon(&project, &database, &["replay", "--ids", "3,4", "--format", "json"]);
    assert_eq!(
        (told(&ran)["inserted"].as_u64(), told(&ran)["unchanged"].as_u64()),
        (Some(1), Some(1)),
        "{ran:?}"
    );
    project.write("keys.csv", "id\n5\n");
    let ran = recon(&project, &database, &["replay", "--from", "keys.csv", "--format", "json"]);
    assert_eq!(told(&ran)["inserted"], 1, "{ran:?}");
    project.write("keys.csv", "entity,id,field\nother,8,x\nimage,8,x\nimage,8,y\n");
    let ran = recon(&project, &database, &["replay", "--ids", "@keys.csv", "--format", "json"]);
    assert_eq!(told(&ran)["inserted"], 1, "{ran:?}");
    assert_eq!(database.run("select count(*) from images"), "20\n");
    for (args, says) in [
        (["replay", "--from", "none.csv"], "cannot read none.csv"),
        (["replay", "--run", "nope"], "no run `nope` has written"),
    ] {
        let ran = recon(&project, &database, &args);
        assert!(ran.code != 0 && ran.stderr.contains(says), "{ran:?}");
    }
    // What is asked for and is not there is told; the rest is written.
    database.run("delete from images where id = 3");
    let ran = recon(&project, &database, &["replay", "--ids", "3,99,x"]);
    assert!(
        ran.stdout.contains("2 keys that were asked for are no record's in its source: 99; x"),
        "{ran:?}"
    );
    assert!(ran.code == 1 && ran.stdout.contains("1 inserted"), "{ran:?}");
    let ran = recon(&project, &database, &["replay", "--ids", "99", "--dry-run", "--format", "json"]);
    assert_eq!((ran.code, told(&ran)["not_found"].as_u64()), (1, Some(1)), "{ran:?}");
    project.write("keys.csv", "name\nx\n");
    let ran = recon(&project, &database, &["replay", "--from", "keys.csv"]);
    assert!(ran.code == 2 && ran.stderr.contains("does not have the key of entity `image`: id"), "{ran:?}");
}

#[test]
fn a_run_can_be_limited_and_the_next_one_takes_the_rest() {
    let database = Database::new(TABLE);
    let project = staged(&lines(0..100), &database);
    let ran = recon(&project, &database, &["migrate", "--limit", "30", "--format", "json"]);
    assert_eq!(
        (ran.code, told(&ran)["inserted"].as_u64(), told(&ran)["pending"].as_u64()),
        (0, Some(30), Some(70)),
        "{ran:?}"
    );
    assert_eq!(database.run("select max(id) from images"), "29\n", "in the order of the keys");
    let ran = recon(&project, &database, &["migrate", "--max-id", "49", "--format", "json"]);
    assert_eq!(
        (told(&ran)["inserted"].as_u64(), told(&ran)["pending"].as_u64()),
        (Some(20), Some(50)),
        "{ran:?}"
    );
    let ran = recon(&project, &database, &["migrate", "--where", "id % 2 = 0", "--format", "json"]);
    assert_eq!(told(&ran)["inserted"], 25, "{ran:?}");
    let ran = recon(&project, &database, &["migrate", "--format", "json"]);
    assert_eq!(
        (ran.code, told(&ran)["inserted"].as_u64(), told(&ran)["unchanged"].as_u64()),
        (0, Some(25), Some(0)),
        "{ran:?}"
    );
    let ran = recon(&project, &database, &["migrate", "--where", "nope = 1"]);
    assert!(ran.code == 2 && ran.stderr.contains("nope"), "{ran:?}");
}

#[test]
fn a_dry_run_writes_nothing() {
    let database = Database::new(TABLE);
    let project = staged(&(lines(0..20) + "{\"id\":1004,\"name\":\"digits\",\"price\":1.005}\n"), &database);
    let before = project.recon(&["runs", "--format", "json"]).stdout;
    let ran = recon(&project, &database, &["migrate", "--dry-run", "--format", "json"]);
    let found = told(&ran);
    assert_eq!(
        (ran.code, found["records"].as_u64(), found["rejected"].as_u64()),
        (1, Some(20), Some(1)),
        "{ran:?}"
    );
    assert_eq!(found["first"][1]["name"], "name 1");
    assert_eq!(found["first_rejected"][0]["code"], "cast");
    assert_eq!(database.run("select count(*) from images"), "0\n");
    assert_eq!(database.run("select to_regclass('recon.batches') is null"), "t\n");
    assert_eq!(project.recon(&["runs", "--format", "json"]).stdout, before);
}

#[test]
fn policies_decide_what_becomes_of_what_is_there() {
    let there = "insert into images values (0, 'name 0', 0.25, '[\"a\", 0]', '2024-05-01T10:00:00Z'), (1, 'mine', 5, null, null)";
    for (policy, inserted, updated, unchanged, codes) in [
        ("upsert", 1, 1, 1, &[][..]),
        ("insert-only", 1, 0, 1, &["exists"]),
        ("update-only", 0, 1, 1, &["missing"]),
    ] {
        let database = Database::new(&format!("{TABLE}; {there}"));
        let project = staged(&lines(0..3), &database);
        project.write(
            "recon.toml",
            SPEC.replace("key = [\"id\"]", &format!("key = [\"id\"]\nwrite = \"{policy}\"")),
        );
        let ran = recon(&project, &database, &["migrate", "--format", "json"]);
        let counts = ["inserted", "updated", "unchanged"].map(|name| told(&ran)[name].as_u64().unwrap_or(99));
        assert_eq!(counts, [inserted, updated, unchanged], "{policy}: {ran:?}");
        let found: Vec<String> = failures(&project).into_iter().map(|(_, code, _)| code).collect();
        assert_eq!(found, codes, "{policy}");
        let name = if updated == 1 { "name 1" } else { "mine" };
        assert_eq!(database.run("select name from images where id = 1"), format!("{name}\n"), "{policy}");
    }
}

#[test]
fn fields_say_what_becomes_of_them_where_the_record_is_there() {
    let there = "insert into images values (1, 'mine', 5, '[1]', '2030-01-01T00:00:00Z')";
    let database = Database::new(&format!(
        "{TABLE}; alter table images add column run text, add column came_from text; {there}"
    ));
    let project = staged(
        "{\"id\":1,\"name\":\"theirs\",\"price\":2,\"tags\":null,\"made\":\"2024-05-01T10:00:00Z\"}\n",
        &database,
    );
    let spec = SPEC
        .replace("name = { from = \"name\" }", "name = { from = \"name\", on_conflict = \"keep\" }")
        .replace(
            "type = \"decimal(9,2)\" }",
            "type = \"decimal(9,2)\", on_conflict_sql = \"old.price + new.price\" }",
        )
        .replace("type = \"json\" }", "type = \"json\", on_conflict = \"coalesce\" }")
        .replace("type = \"timestamp\" }", "type = \"timestamp\", on_conflict = \"greatest\" }")
        .replace(
            "key = [\"id\"]",
            "key = [\"id\"]\nprovenance = { run = \"run\", source_key = \"came_from\" }",
        );
    project.write("recon.toml", spec);
    let ran = recon(&project, &database, &["migrate", "--format", "json"]);
    assert_eq!((ran.code, told(&ran)["updated"].as_u64()), (0, Some(1)), "{ran:?}");
    assert_eq!(
        database.run("select name, price, tags, made at time zone 'UTC', came_from from images"),
        "mine|7.00|[1]|2030-01-01 00:00:00|1\n"
    );
    assert_eq!(database.run("select run from images").trim(), json(&ran.stdout)["run_id"], "{ran:?}");
}

#[test]
fn a_record_is_overwritten_only_by_a_higher_version() {
    let database = Database::new(
        "create table images (id bigint primary key, name text, version int); insert into images values (1, 'old', 1), (2, 'newer', 5), (3, 'same', 2)",
    );
    let project = Project::new();
    let spec = SPEC
        .split("price =")
        .next()
        .expect("the part before")
        .replace("key = [\"id\"]", "key = [\"id\"]\nversion = \"version\"");
    project.write("recon.toml", format!("{spec}version = {{ from = \"version\", type = \"int\" }}\n"));
    project.write("old.jsonl", "{\"id\":1,\"name\":\"new\",\"version\":2}\n{\"id\":2,\"name\":\"new\",\"version\":2}\n{\"id\":3,\"name\":\"same\",\"version\":2}\n");
    assert_eq!(recon(&project, &database, &["stage", "source"]).code, 0);
    let ran = recon(&project, &database, &["migrate", "--format", "json"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(failures(&project), [("2".to_owned(), "version".to_owned(), String::new())]);
    assert_eq!(
        database.run("select id, name, version from images order by 1"),
        "1|new|2\n2|newer|5\n3|same|2\n"
    );
}

#[test]
fn a_table_that_cannot_be_written_is_refused_with_what_would_help() {
    for (table, says) in [
        (
            "create table images (id bigint, name text, price numeric, tags jsonb, made timestamptz)",
            "create unique index on public.images (\"id\")",
        ),
        (
            "create table images (id bigint primary key, name text, tags jsonb, made timestamptz)",
            "alter table … add column \"price\"",
        ),
        (
            "create table images (id bigint primary key, name text, price numeric generated always as (id) stored, tags jsonb, made timestamptz)",
            "column `price` is generated",
        ),
        (
            "create view images as select 1::bigint as id, ''::text as name, 1::numeric as price, '{}'::jsonb as tags, now() as made",
            "no unique index",
        ),
        (
            "create table images (id bigint primary key, name int, price numeric, tags jsonb, made timestamptz)",
            "field `name` cannot be written",
        ),
    ] {
        let database = Database::new(table);
        let project = staged(&lines(0..3), &database);
        let ran = recon(&project, &database, &["migrate"]);
        assert!(ran.code == 2 && ran.stderr.contains(says), "{table}: {ran:?}");
    }
}

/// Columns that are called as those of recon's own tables.
#[test]
fn odd_names_are_only_names() {
    let database = Database::new(
        "create schema \"Odd;\"; create table \"Odd;\".\"new\" (n int primary key, \"found\" int, \"a\"\"b\" text, \"select\" text, hash text)",
    );
    let project = Project::new();
    let spec = SPEC
        .split("[entities")
        .next()
        .expect("the part before")
        .replace("\"public.images\"", "'\"Odd;\".\"new\"'");
    project.write(
        "recon.toml",
        format!("{spec}[entities.image]\nsource = \"old\"\ntarget = \"new\"\nkey = [\"n\"]\n"),
    );
    project.write("old.jsonl", "{\"n\":1,\"found\":2,\"a\\\"b\":\"x\",\"select\":\"y\",\"hash\":\"z\"}\n");
    for args in [&["stage", "source"][..], &["migrate"], &["stage", "target"], &["diff"]] {
        let ran = recon(&project, &database, args);
        assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
    }
}

#[test]
fn keys_that_the_target_takes_for_one_are_refused() {
    let database = Database::new(
        "create collation blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false); \
         create table images (id text collate blind primary key, name text)",
    );
    let project = Project::new();
    project.write(
        "recon.toml",
        SPEC.split("price =").next().expect("the part before").replace(", type = \"int\"", ""),
    );
    project.write("old.jsonl", "{\"id\":\"a\",\"name\":\"one\"}\n{\"id\":\"A\",\"name\":\"two\"}\n{\"id\":\"b\",\"name\":\"three\"}\n");
    assert_eq!(recon(&project, &database, &["stage", "source"]).code, 0);
    let ran = recon(&project, &database, &["migrate"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    // Which of the two came first is written; the other is told, and overwrites nothing.
    assert_eq!(database.run("select count(*) from images"), "2\n");
    assert_eq!(failures(&project).len(), 1);
    // Nor does one overwrite what is there under the other's key.
    database.run("truncate images; insert into images values ('B', 'mine')");
    let ran = recon(&project, &database, &["migrate", "--new-run"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let ran = recon(&project, &database, &["replay", "--ids", "b"]);
    assert_eq!(
        (ran.code, failures(&project)),
        (1, vec![("b".to_owned(), "duplicate_key".to_owned(), String::new())]),
        "{ran:?}"
    );
    assert_eq!(database.run("select name from images where id = 'B'"), "mine\n");
}

/// An index that tells keys apart which the column takes for one does not stand for a look at what is there.
#[test]
fn keys_that_only_the_column_takes_for_one_are_refused() {
    let database = Database::new(
        "create collation blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false); \
         create table images (id text collate blind not null, name text); \
         create unique index on images (id collate \"C\"); insert into images values ('B', 'mine')",
    );
    let project = Project::new();
    project.write(
        "recon.toml",
        SPEC.split("price =").next().expect("the part before").replace(", type = \"int\"", ""),
    );
    project.write("old.jsonl", "{\"id\":\"a\",\"name\":\"one\"}\n{\"id\":\"b\",\"name\":\"two\"}\n");
    assert_eq!(recon(&project, &database, &["stage", "source"]).code, 0);
    let ran = recon(&project, &database, &["migrate"]);
    assert_eq!(
        (ran.code, failures(&project)),
        (1, vec![("b".to_owned(), "duplicate_key".to_owned(), String::new())]),
        "{ran:?}"
    );
    assert_eq!(database.run("select id, name from images order by name"), "B|mine\na|one\n");
}

/// Records that are there and records that are not, in batches of all kinds: a batch that finds nothing there lets the next one
/// be written without a look, and what is there all the same is changed with its old image.
#[test]
fn batches_in_which_some_are_there_follow_on_batches_in_which_none_is() {
    let there = "(i between 25 and 34 or i = 59 or i between 70 and 79)";
    let database = Database::new(&format!(
        "{TABLE}; insert into images select i, 'before', i, null, null from generate_series(0, 99) i where {there}"
    ));
    let project = staged(&lines(0..100), &database);
    let ran = recon(
        &project,
        &database,
        &["migrate", "--batch-size", "10", "--concurrency", "1", "--format", "json"],
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    let counts = ["inserted", "updated", "unchanged", "failed"].map(|name| told(&ran)[name].clone());
    assert_eq!(counts, [79, 21, 0, 0], "{ran:?}");
    assert_eq!(
        database.run("select count(*), count(*) filter (where name = 'name ' || id) from images"),
        "100|100\n"
    );
    let (mut inserted, mut old) = (Vec::new(), Vec::new());
    let folders = format!("{}/runs/*/entities/image/manifest", project.path("home").display());
    let folder = glob::glob(&folders).expect("a pattern").next().expect("a manifest").expect("a path");
    recon::ledger::manifest::read(&folder, |change| {
        let id: i64 = change.key["id"].as_str().and_then(|id| id.parse().ok()).expect("a number");
        match change.pre {
            Some(pre) => old.push((id, pre["name"].as_str().map(str::to_owned))),
            None => inserted.push(id),
        }
        Ok(())
    })
    .expect("a manifest");
    old.sort();
    let is_there = |i: &i64| (25..=34).contains(i) || *i == 59 || (70..=79).contains(i);
    let expected: Vec<(i64, Option<String>)> =
        (0..100).filter(is_there).map(|i| (i, Some("before".to_owned()))).collect();
    assert_eq!((inserted.len(), old), (79, expected));
}

#[test]
fn a_run_that_is_unfinished_goes_on_only_with_what_it_began_with() {
    let database = Database::new(TABLE);
    let project = staged(
        &(lines(0..90) + "{\"id\":1003,\"name\":\"negative\",\"price\":-1}\n" + &lines(2000..2100)),
        &database,
    );
    let stopped = recon(
        &project,
        &database,
        &["migrate", "--batch-size", "10", "--max-errors", "0", "--concurrency", "1"],
    );
    assert!(stopped.code == 4 && stopped.stderr.contains("more than --max-errors"), "{stopped:?}");
    assert_eq!(database.run("select count(*) from images"), "99\n");
    let spec = SPEC.replace("tags = { from = \"tags\", type = \"json\" }\n", "");
    project.write("recon.toml", &spec);
    let ran = recon(&project, &database, &["migrate"]);
    assert!(ran.code == 2 && ran.stderr.contains("says otherwise how entity `image` is written"), "{ran:?}");
    project.write("recon.toml", SPEC);
    let ran = recon(&project, &database, &["migrate", "--limit", "3"]);
    assert!(ran.code == 2 && ran.stderr.contains("other records"), "{ran:?}");
    let ran = recon(&project, &database, &["replay"]);
    assert!(ran.code == 2 && ran.stderr.contains("recon"), "{ran:?}");
    project.write("old.jsonl", lines(0..95));
    assert_eq!(recon(&project, &database, &["stage", "source"]).code, 0);
    let ran = recon(&project, &database, &["migrate"]);
    assert!(ran.code == 2 && ran.stderr.contains("was staged again since it began"), "{ran:?}");
    let ran = recon(&project, &database, &["migrate", "--new-run", "--format", "json"]);
    assert_eq!(
        (told(&ran)["inserted"].as_u64(), told(&ran)["unchanged"].as_u64()),
        (Some(5), Some(90)),
        "{ran:?}"
    );
}

#[test]
fn a_run_that_was_stopped_goes_on_from_there() {
    let database = Database::new(TABLE);
    let project = staged(
        &(lines(0..90) + "{\"id\":1003,\"name\":\"negative\",\"price\":-1}\n" + &lines(2000..2100)),
        &database,
    );
    let stopped = recon(
        &project,
        &database,
        &["migrate", "--batch-size", "10", "--max-errors", "0", "--concurrency", "1"],
    );
    assert_eq!(stopped.code, 4, "{stopped:?}");
    let run_id = json(&project.recon(&["runs", "--format", "json"]).stdout)[0]["run_id"].clone();
    let ran = recon(&project, &database, &["migrate", "--format", "json"]);
    assert_eq!((ran.code, &json(&ran.stdout)["run_id"]), (1, &run_id), "{ran:?}");
    assert_eq!(
        (told(&ran)["inserted"].as_u64(), told(&ran)["failed"].as_u64()),
        (Some(190), Some(1)),
        "{ran:?}"
    );
    assert_eq!(database.run("select count(*) from images"), "190\n");
}

/// A change that a trigger leaves out is told, and so is SQL of the spec that fails for one record; the others are changed.
#[test]
fn changes_that_do_not_happen_are_told() {
    let database = Database::new(&format!(
        "{TABLE}; create function leave_out() returns trigger language plpgsql as $$ begin \
           if old.id = 7 then return null; end if; return new; end $$; \
         create trigger leave_out before update on images for each row execute function leave_out(); \
         insert into images select i, 'before', i, null, null from generate_series(0, 19) i"
    ));
    let project = staged(&lines(0..30), &database);
    let spec = SPEC.replace(
        "price = { from = \"price\", type = \"decimal(9,2)\" }",
        "price = { from = \"price\", type = \"decimal(9,2)\", on_conflict_sql = \"new.price + 0 / (old.id - 11)\" }",
    );
    project.write("recon.toml", spec);
    let ran = recon(&project, &database, &["migrate", "--format", "json"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let counts = ["inserted", "updated", "unchanged", "failed"].map(|name| told(&ran)[name].clone());
    assert_eq!(counts, [10, 18, 0, 2], "{ran:?}");
    let expected = [("11", "22012", ""), ("7", "taken", "")];
    assert_eq!(
        failures(&project),
        expected.map(|(id, code, column)| (id.into(), code.into(), column.into()))
    );
    assert_eq!(database.run("select count(*) from images where name = 'before'"), "2\n");
}

/// A record that failed and is in the source no longer has nothing left to be tried.
#[test]
fn what_failed_and_is_gone_from_the_source_is_done_with() {
    let database = Database::new(TABLE);
    let project =
        staged(&(lines(0..3) + "{\"id\":77,\"name\":null}\n{\"id\":78,\"name\":null}\n"), &database);
    assert_eq!(recon(&project, &database, &["migrate"]).code, 1);
    project.write("old.jsonl", lines(0..3) + &line(78));
    assert_eq!(recon(&project, &database, &["stage", "source"]).code, 0);
    let ran = recon(&project, &database, &["replay", "--format", "json"]);
    let counts =
        ["records", "inserted", "failed_in_all_runs", "not_found"].map(|name| told(&ran)[name].clone());
    assert_eq!((ran.code, counts), (0, [1, 1, 0, 0].map(Json::from)), "{ran:?}");
}
