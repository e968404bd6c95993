//! The table of every store migrated into an empty table of each SQL database, and into an empty folder of each kind of file: then the
//! two are equal.

use super::columns::{COLUMNS, Kind};
use super::rows;
use super::stores::Store;
use crate::project::Project;
use crate::servers::dynamodb::ENVIRONMENT;

/// The entity, and how its datasets are called: with a type for every field or only where it takes one.
fn entity(from: Store, to: Store, all_declared: bool) -> String {
    let (source, target) = (from.name(), to.name());
    // What an export says to be NULL is to be NULL in the other, too.
    let more = if to == Store::Export { "write_null = \"null\"\n" } else { "" };
    let mut text = format!(
        "[entities.{source}]\nsource = \"m_{source}\"\ntarget = \"into_{target}_{source}\"\nkey = [\"k1\", \"k2\"]\n{more}\n\
         [entities.{source}.fields]\nk1 = {{ type = \"string\" }}\nk2 = {{ type = \"int\" }}\n"
    );
    for (name, kind, ..) in COLUMNS.iter().filter(|column| from.holds(column) && to.holds(column)) {
        if all_declared
            || Store::need_a_type(from, to, *kind)
            || (to == Store::Parquet && takes_a_type(from, *kind))
        {
            text.push_str(&format!("{name} = {{ type = \"{}\" }}\n", declared(from, to, *kind)));
        } else {
            text.push_str(&format!("{name} = \"{name}\"\n"));
        }
    }
    text.push('\n');
    text
}

/// As the spec has to name it. A column of Parquet is of one type, which nothing tells of numbers and times that are text.
fn declared(from: Store, to: Store, kind: Kind) -> &'static str {
    let is_typed = matches!(from, Store::Postgres | Store::Mysql | Store::Parquet);
    match (to, kind) {
        (Store::Parquet, Kind::Unsigned) => "decimal(20,0)",
        (Store::Parquet, Kind::Moment) if !is_typed => "string",
        _ => kind.declared(),
    }
}

/// Whether a column of Parquet takes a type that the source does not tell.
fn takes_a_type(from: Store, kind: Kind) -> bool {
    matches!(kind, Kind::List | Kind::Decimal) || (from == Store::Parquet && kind == Kind::Unsigned)
}

fn every_store_goes_into(to: Store, sources: &[Store]) {
    let is_files = matches!(to, Store::Csv | Store::Jsonl | Store::Parquet | Store::Export);
    let project = Project::new();
    let (mut spec, mut entities) = (String::new(), String::new());
    for from in sources {
        let source = format!("m_{}", from.name());
        let target = format!("into_{}_{}", to.name(), from.name());
        // Tables of DynamoDB are common to all tests.
        let own = format!("{}_{source}", to.name());
        spec.push_str(&format!("[datasets.{source}]\n{}\n\n", from.write(&project, &own, rows(false))));
        let empty = match (is_files, to) {
            (false, _) => to.write(&project, &target, Vec::new()),
            (true, Store::Export) => format!("kind = \"dynamodb-export\"\nuri = \"{target}/\""),
            (true, _) => format!("kind = \"{}\"\nuri = \"{target}/\"", to.name()),
        };
        spec.push_str(&format!("[datasets.{target}]\n{empty}\n\n"));
        entities.push_str(&entity(*from, to, from.name().len().is_multiple_of(2)));
    }
    project.write("recon.toml", format!("{spec}{entities}"));
    let records = (COLUMNS.len() + 2) as u64;
    for args in [&["stage", "source"][..], &["migrate", "--format", "json", "--batch-size", "7"]] {
        let ran = project.recon_with(args, &ENVIRONMENT);
        assert_eq!(ran.code, 0, "{to:?} {args:?}: {ran:?}");
        if args[0] == "migrate" {
            let told: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
            for from in sources {
                assert_eq!(told["entities"][from.name()]["inserted"], records, "{to:?}: {told}");
            }
        }
    }
    for args in [&["stage", "target"][..], &["diff", "--out", "found", "--quiet"]] {
        let ran = project.recon_with(args, &ENVIRONMENT);
        let found =
            project.path("found/mismatches.csv").exists().then(|| project.read("found/mismatches.csv"));
        assert_eq!(ran.code, 0, "{to:?} {args:?}: {ran:?} {}", found.unwrap_or_default());
    }
    for from in sources {
        assert_eq!(project.summary("found")["entities"][from.name()]["matched"], records, "{from:?}");
    }
    // Migrated once more by somebody who does not know of it, nothing changes.
    std::fs::remove_dir_all(project.path("home")).expect("a home");
    if is_files {
        assert_eq!(project.recon_with(&["stage", "source"], &ENVIRONMENT).code, 0);
        let ran = project.recon_with(&["migrate"], &ENVIRONMENT);
        assert!(ran.code == 2 && ran.stderr.contains("holds what no run of this project wrote"), "{ran:?}");
        return;
    }
    for args in [&["stage", "source"][..], &["migrate", "--format", "json"]] {
        let ran = project.recon_with(args, &ENVIRONMENT);
        assert_eq!(ran.code, 0, "{to:?} {args:?}: {ran:?}");
        if args[0] == "migrate" {
            let told: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
            for from in sources {
                assert_eq!(told["entities"][from.name()]["unchanged"], records, "{to:?}: {told}");
            }
        }
    }
}

/// Those whose fields have types of their own, those that have only text, and documents.
const SOURCES: [Store; 6] =
    [Store::Postgres, Store::Mysql, Store::Sqlite, Store::Parquet, Store::Csv, Store::Export];

#[test]
fn every_store_goes_into_mysql() {
    every_store_goes_into(Store::Mysql, &SOURCES);
}

#[test]
fn every_store_goes_into_csv() {
    every_store_goes_into(Store::Csv, &SOURCES);
}

#[test]
fn every_store_goes_into_json_lines() {
    every_store_goes_into(Store::Jsonl, &SOURCES);
}

#[test]
fn every_store_goes_into_parquet() {
    every_store_goes_into(Store::Parquet, &SOURCES);
}

#[test]
fn every_store_goes_into_an_export() {
    every_store_goes_into(Store::Export, &SOURCES);
}

#[test]
fn every_store_goes_into_sqlite() {
    every_store_goes_into(Store::Sqlite, &SOURCES);
}
