//! `group_by`: rows that fold into records, in every command that reads them.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value as Json;

use crate::project::{Project, Ran, write_export};
use crate::random::Random;
use crate::servers::postgres::Database;

/// Two CSV files, staged, and an entity with these lines.
fn project(entity: &str, source: &str, target: &str) -> Project {
    let project = Project::new();
    write_spec(&project, entity);
    project.write("a.csv", source);
    project.write("b.csv", target);
    project.recon(&["stage"]);
    project
}

fn write_spec(project: &Project, entity: &str) {
    let datasets =
        "[datasets.a]\nkind = \"csv\"\nuri = \"a.csv\"\n[datasets.b]\nkind = \"csv\"\nuri = \"b.csv\"\n";
    project.write("recon.toml", format!("{datasets}[entities.e]\nsource = \"a\"\ntarget = \"b\"\n{entity}"));
}

/// Rows of random groups, folded by recon and by the plainest code that does the same: equal; and one value changed: that record.
#[test]
fn recon_agrees_with_a_naive_fold() {
    let mut random = Random::seeded();
    let entity = "key = [\"k\", \"l\"]\ngroup_by = [\"k\", \"l\"]\nwhere = \"n <> '13'\"\n[entities.e.fields]\nk = \"k\"\nl = \"l\"\n\
        rows = { from = \"count(*)\", type = \"int\" }\nsum = { from = \"sum(n::bigint)\", type = \"int\" }\n\
        mean = { from = \"sum(n::double / 7)\", type = \"float\", tolerance = 1e-6 }\n\
        least = { from = \"min(t)\" }\nall = { from = \"string_agg(t, '|' order by n::int)\" }\nlast = { from = \"last(t)\" }\n";
    for _ in 0..12 {
        let mut groups: BTreeMap<(String, String), Vec<(i64, String)>> = BTreeMap::new();
        let mut source = "k,l,n,t\n".to_owned();
        for i in 0..random.below(400) {
            let key = (format!("k{}", random.below(6)), format!("l{}", random.below(3)));
            let (n, t) = (random.below(30) as i64 - 5, format!("t{}-{i}", random.below(9)));
            source.push_str(&format!("{},{},{n},{t}\n", key.0, key.1));
            if n != 13 {
                groups.entry(key).or_default().push((n, t));
            }
        }
        let wrong = random.below(groups.len().max(1));
        let targets = [None, Some(wrong)].map(|wrong| {
            let mut target = "k,l,rows,sum,mean,least,all,last\n".to_owned();
            for (i, ((k, l), rows)) in groups.iter().enumerate() {
                let mut sorted = rows.clone();
                sorted.sort_by_key(|(n, _)| *n);
                let all: Vec<&str> = sorted.iter().map(|(_, t)| t.as_str()).collect();
                let sum: i64 = rows.iter().map(|(n, _)| n).sum();
                let least = rows.iter().map(|(_, t)| t).min().expect("a row");
                let last = &rows.last().expect("a row").1;
                let said = sum + i64::from(wrong == Some(i));
                let (count, mean, all) = (rows.len(), sum as f64 / 7.0, all.join("|"));
                target.push_str(&format!("{k},{l},{count},{said},{mean},{least},{all},{last}\n"));
            }
            target
        });
        for (target, differing) in targets.iter().zip([0, u64::from(!groups.is_empty())]) {
            let project = project(entity, &source, target);
            let ran = project.recon(&["diff", "--out", "out", "--allow-empty"]);
            assert_eq!(ran.code, i32::from(differing > 0), "{random}\n{source}\n{ran:?}");
            let said = &project.summary("out")["entities"]["e"];
            let rows: usize = groups.values().map(Vec::len).sum();
            for (word, want) in [
                ("source_rows", groups.len() as u64),
                ("folded_rows", rows as u64),
                ("mismatched", differing),
                ("matched", groups.len() as u64 - differing),
            ] {
                assert_eq!(said[word], Json::from(want), "{word} {random}\n{source}\n{said}");
            }
        }
    }
}

#[test]
fn what_cannot_be_folded_is_refused_with_its_place() {
    let project = project("key = [\"id\"]\n", "id,v,w\n1,x,1\n1,y,2\n", "id,v\n1,x\n");
    for (group, from, words) in [
        ("id", "v", "must appear in the GROUP BY clause"),
        ("id", "list(distinct v)", "`list` of DISTINCT values needs their order"),
        ("id", "geomean(w::int)", "`geomean` cannot be used here"),
        ("id", "mode() within group (order by v)", "not written as `name(…)`"),
        ("id", "row_number() over ()", "a window function"),
        ("id", "max(random())", "`random` gives another value"),
        ("id", "(select 1)", "a subquery"),
        ("id", "sum(u)", "unknown column `u`"),
        ("id", "sum(v)", "No function matches"),
        ("id", "list(w::hugeint order by w)", "HUGEINT inside HUGEINT[] cannot be folded exactly"),
        ("1", "max(v)", "a constant groups nothing"),
        ("upper(u)", "max(v)", "unknown column `u`"),
        ("max(w)", "max(v)", "the aggregate `max`"),
        ("id collate nocase", "max(v)", "COLLATE cannot be used here"),
        ("id, v", "max(v)", "not exactly one expression"),
    ] {
        write_spec(
            &project,
            &format!(
                "key = [\"k\"]\ngroup_by = [\"{group}\"]\n[entities.e.fields]\nk = {{ from = \"min(id)\", to = \"id\" }}\nv = \"{from}\"\n"
            ),
        );
        for command in ["diff", "check"] {
            let ran = project.recon(&[command]);
            assert_eq!(ran.code, 2, "{command} {group} {from}: {ran:?}");
            for words in [words, "recon.toml:"] {
                assert!(ran.stderr.contains(words), "{command} {group} {from}: {}", ran.stderr);
            }
        }
    }
}

const ORDERS: &str = "key = [\"id\"]\ngroup_by = [\"id\"]\n[entities.e.fields]\nid = \"id\"\n\
    n = { from = \"sum(n::int)\", type = \"int\" }\nall = { from = \"string_agg(t, '')\" }\n";

/// The files of the folds in the home.
fn folds(project: &Project) -> Vec<std::path::PathBuf> {
    let pattern = format!("{}/folds/*/records.parquet", project.path("home").display());
    glob::glob(&pattern).expect("a glob").map(|path| path.expect("a path")).collect()
}

#[test]
fn a_fold_is_used_again_and_made_again_where_it_is_damaged_or_the_spec_changed() {
    let project = project(ORDERS, "id,n,t\n1,1,a\n2,5,b\n1,2,c\n", "id,n,all\n1,3,ac\n2,5,b\n");
    assert_eq!(project.recon(&["diff"]).code, 0);
    let [first] = folds(&project).try_into().expect("one fold");
    let (bytes, modified) =
        (fs::read(&first).expect("a file"), fs::metadata(&first).expect("a file").modified());
    assert_eq!(project.recon(&["diff"]).code, 0);
    let again = fs::metadata(&first).expect("a file").modified();
    assert_eq!(again.expect("a time"), modified.expect("a time"), "it was made again");
    let mut other = bytes.clone();
    let middle = other.len() / 2;
    other[middle] ^= 1;
    for damaged in [&bytes[..bytes.len() - 1], &other, b""] {
        fs::write(&first, damaged).expect("a file");
        assert_eq!(project.recon(&["diff"]).code, 0);
        assert_eq!(fs::read(&first).expect("a file"), bytes);
    }
    write_spec(&project, &ORDERS.replace("sum(n::int)", "max(n::int)"));
    assert_eq!(project.recon(&["diff"]).code, 1);
    let [second] = folds(&project).try_into().expect("the older fold is gone");
    assert_ne!(first, second);
    project.write("a.csv", "id,n,t\n1,3,a\n2,5,b\n1,2,c\n");
    assert_eq!(project.recon(&["stage"]).code, 0);
    assert_eq!(project.recon(&["diff"]).code, 0);
    assert_ne!(folds(&project), [second]);
    assert_eq!(project.recon(&["reset", "--yes"]).code, 0);
    assert!(!project.path("home/folds").exists());
}

#[test]
fn show_and_check_speak_of_folded_records() {
    let project = project(ORDERS, "id,n,t\n1,1,a\n2,5,b\n1,2,c\n", "id,n,all\n1,4,ac\n2,5,b\n");
    let shown = project.recon(&["show", "1"]);
    for words in ["e 1: mismatched", "records folded from a, row 1", "\"3\"", "\"4\"", "\"ac\""] {
        assert!(shown.stdout.contains(words), "{words}: {shown:?}");
    }
    let checked = project.recon(&["check"]);
    for words in ["grouped by id", "sum(n::int)"] {
        assert!(checked.stdout.contains(words), "{words}: {checked:?}");
    }
    assert_eq!((shown.code, checked.code), (0, 0), "{checked:?}");
}

const SPEC: &str = r#"
[datasets.old]
kind = "dynamodb-export"
uri = "old"
[datasets.new]
kind = "postgres"
url = "${DATABASE_URL}"
table = "orders"
[entities.order]
source = "old"
target = "new"
key = ["id"]
group_by = ["id"]
where = "kind = 'line'"
[entities.order.fields]
id = { from = "substr(pk, 7)", type = "int" }
lines = "count(*)"
total = "sum(amount)"
articles = { from = "list(article order by sk)", type = "json" }
latest = { from = "max(made)", type = "timestamp" }
"#;

const TABLE: &str = "create table orders (id int primary key, lines int not null, total numeric(12,2) check (total <> 13), \
    articles jsonb, latest timestamptz)";

/// The items of orders `0..orders`: order n has n % 3 + 1 lines.
pub(crate) fn items(orders: usize) -> String {
    let mut out = String::new();
    for n in 0..orders {
        for line in 0..=n % 3 {
            let item = format!(
                r#"{{"pk":{{"S":"ORDER#{n}"}},"sk":{{"S":"LINE#{line}"}},"kind":{{"S":"line"}},"amount":{{"N":"{n}.5"}},"article":{{"S":"a{line}"}},"made":{{"S":"2024-05-01T10:0{line}:00Z"}}}}"#
            );
            out.push_str(&format!("{{\"Item\":{item}}}\n"));
        }
        out.push_str(&format!("{{\"Item\":{{\"pk\":{{\"S\":\"OWNER#{n}\"}},\"sk\":{{\"S\":\"X\"}},\"kind\":{{\"S\":\"owner\"}}}}}}\n"));
    }
    out
}

/// A project with a staged export of orders, and the table that they go to.
pub(crate) fn orders(lines: &str) -> (Project, Database) {
    let (project, database) = (Project::new(), Database::new(TABLE));
    project.write("recon.toml", SPEC);
    write_export(&project.path("old"), 0, lines);
    recon(&project, &database, &["stage", "source"]);
    (project, database)
}

fn recon(project: &Project, database: &Database, args: &[&str]) -> Ran {
    project.recon_with(args, &[("DATABASE_URL", &database.url)])
}

fn told(ran: &Ran) -> Json {
    let told: Json = serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    told["entities"]["order"].clone()
}

#[track_caller]
fn runs(project: &Project, database: &Database, args: &[&str], code: i32) -> Ran {
    let ran = recon(project, database, args);
    assert_eq!(ran.code, code, "{args:?}: {ran:?}");
    ran
}

#[test]
fn folded_records_are_migrated_and_diff_finds_them() {
    let (project, database) = orders(&items(100));
    let migrate = ["migrate", "--batch-size", "7", "--format", "json"];
    runs(&project, &database, &["migrate", "--dry-run"], 0);
    assert_eq!(database.run("select count(*) from orders"), "0\n");
    // Whole records are chosen, not rows before they are folded.
    let some = runs(&project, &database, &["migrate", "--where", "lines = 3", "--format", "json"], 0);
    assert_eq!(told(&some)["inserted"], 33, "{some:?}");
    let limited = runs(&project, &database, &["migrate", "--limit", "10", "--format", "json"], 0);
    assert_eq!(
        (&told(&limited)["inserted"], &told(&limited)["pending"]),
        (&10.into(), &57.into()),
        "{limited:?}"
    );
    let rest = runs(&project, &database, &migrate, 0);
    assert_eq!((&told(&rest)["inserted"], &told(&rest)["pending"]), (&57.into(), &0.into()), "{rest:?}");
    assert_eq!(told(&rest)["folded_rows"], 199, "{rest:?}");
    assert_eq!(database.run("select * from orders where id in (4, 5) order by id").lines().count(), 2);
    let five = "select lines, total, articles from orders where id = 5";
    assert_eq!(database.run(five), "3|16.50|[\"a0\", \"a1\", \"a2\"]\n");
    runs(&project, &database, &["stage", "target"], 0);
    let diff = runs(&project, &database, &["diff", "--out", "out"], 0);
    assert!(diff.stdout.contains("folded from 199 rows"), "{diff:?}");
    // What differs is written again, and looked at again in the store that can be asked.
    database.run("update orders set total = 0 where id = 5");
    let spot = runs(&project, &database, &["spot-check", "-n", "100"], 1);
    assert!(spot.stdout.contains("99 of 100 records are equal"), "{spot:?}");
    runs(&project, &database, &["stage", "target"], 0);
    runs(&project, &database, &["diff"], 1);
    let replay = runs(&project, &database, &["replay", "--format", "json"], 0);
    assert_eq!(told(&replay)["updated"], 1, "{replay:?}");
    assert_eq!(database.run(five), "3|16.50|[\"a0\", \"a1\", \"a2\"]\n");
    let recheck = runs(&project, &database, &["diff", "--recheck", "1", "--delay", "0s"], 0);
    assert!(recheck.stdout.contains("of 1 that differed, 1 are equal now"), "{recheck:?}");
}

#[test]
fn a_record_that_fails_is_replayed_alone() {
    let (project, database) = orders(&items(30));
    database.run("alter table orders add check (id <> 7)");
    let ran = runs(&project, &database, &["migrate", "--format", "json"], 1);
    assert_eq!((&told(&ran)["inserted"], &told(&ran)["failed"]), (&29.into(), &1.into()), "{ran:?}");
    database.run("alter table orders drop constraint orders_id_check");
    let ran = runs(&project, &database, &["replay", "--format", "json"], 0);
    assert_eq!((&told(&ran)["inserted"], &told(&ran)["records"]), (&1.into(), &1.into()), "{ran:?}");
    assert_eq!(database.run("select lines, total from orders where id = 7"), "2|15.00\n");
    let ids = runs(&project, &database, &["replay", "--ids", "3,4", "--format", "json"], 0);
    assert_eq!(told(&ids)["unchanged"], 2, "{ids:?}");
}

#[test]
fn records_of_which_a_row_may_be_missing_are_not_written() {
    let (project, database) = orders(&format!("{}no item\n", items(3)));
    for args in [&["migrate"][..], &["migrate", "--dry-run"], &["replay", "--ids", "1"]] {
        let ran = runs(&project, &database, args, 3);
        assert!(ran.stderr.contains("1 rows of dataset `old` did not parse"), "{ran:?}");
    }
    assert_eq!(database.run("select count(*) from orders"), "0\n");
}

#[test]
fn a_live_source_that_is_folded_is_not_read_again_record_by_record() {
    let database = Database::new(
        "create table a (pk int primary key, id int, n int); create table b (id int primary key, n bigint); \
        insert into a values (1, 1, 2), (2, 1, 3), (3, 2, 4); insert into b values (1, 5), (2, 5)",
    );
    let project = Project::new();
    let dataset = |name: &str| {
        format!("[datasets.{name}]\nkind = \"postgres\"\nurl = \"${{DATABASE_URL}}\"\ntable = \"{name}\"\n")
    };
    project.write(
        "recon.toml",
        format!(
            "{}{}[entities.order]\nsource = \"a\"\ntarget = \"b\"\nkey = [\"id\"]\ngroup_by = [\"id\"]\n[entities.order.fields]\nid = \"id\"\nn = \"sum(n)\"\n",
            dataset("a"),
            dataset("b")
        ),
    );
    runs(&project, &database, &["stage"], 0);
    let diff = runs(&project, &database, &["diff", "--recheck", "1", "--delay", "0s"], 1);
    assert!(diff.stdout.contains("nothing is looked at again: the source's records are folded"), "{diff:?}");
    let spot = runs(&project, &database, &["spot-check"], 3);
    assert!(spot.stderr.contains("folded from rows"), "{spot:?}");
}

/// How many records of a fold come in the order of their groups, from the first on.
fn in_order(fold: &std::path::Path) -> i64 {
    let engine = duckdb::Connection::open_in_memory().expect("an engine");
    let query = format!(
        "select count(*) from (select __recon_f0 as k, file_row_number as n from read_parquet('{}', file_row_number = true)) as records
         where n = (select count(*) from read_parquet('{}') as other where other.__recon_f0 < k)",
        fold.display(),
        fold.display()
    );
    engine.query_row(&query, [], |row| row.get(0)).expect("a count")
}

/// More rows than fit into one batch of the engine, by several threads: what depends on the order is the same each time.
#[test]
fn a_fold_does_not_depend_on_threads() {
    let mut source = "id,n,t\n".to_owned();
    for i in 0..300_000_u64 {
        source.push_str(&format!("{},{},{i}\n", i % 997, (i * 7919) % 10_007));
    }
    let entity = "key = [\"id\"]\ngroup_by = [\"id\"]\n[entities.e.fields]\nid = \"id\"\n\
        sum = { from = \"sum(sqrt(n::double))\", type = \"float\" }\nall = \"md5(string_agg(t, ','))\"\n\
        any = \"any_value(t)\"\nspread = { from = \"stddev(n::double)\", type = \"float\" }\n";
    let project = project(entity, &source, "id,sum,all,any,spread\n");
    let digest = |threads: &str| {
        let _ = fs::remove_dir_all(project.path("home/folds"));
        let ran = project.recon(&["diff", "--threads", threads, "--out", "out"]);
        assert_eq!(ran.code, 1, "{ran:?}");
        // What a run wrote is known by its place, so that has to be the same, too.
        let [fold] = folds(&project).try_into().expect("one fold");
        assert_eq!(in_order(&fold), 997);
        project.read("out/missing.csv")
    };
    let one = digest("1");
    assert_eq!(one.lines().count(), 998);
    for threads in ["2", "3", "8"] {
        assert!(digest(threads) == one, "with {threads} threads");
    }
}
