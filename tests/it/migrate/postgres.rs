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
