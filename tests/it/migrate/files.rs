//! Files as a target: what is read back is what was written, and a folder never holds a record twice.

use std::collections::BTreeMap;
use std::fs;

use super::migration::{Migration, fault};
use crate::project::{Project, Ran};
use crate::servers::s3::{ENVIRONMENT, bucket, endpoint, get};

/// Values that some format, some reader or some escape could lose.
const HOSTILE: &str = r#"{"k":"1","t":"a \"b\" 'c'\r\n\td;e,f\\","n":99999999999999999999999999999999999999,"e":12e30,"f":5e-324,"at":"2024-02-29T23:59:59.123456789+05:30","b":"AP8nXAo=","s":["c","a","b,\""],"j":{"b":[1,null,"é\u0000\"",{"x":1.50}],"a":9007199254740993},"flag":true,"day":"0001-01-01","id":"0123ABCD-0000-4000-8000-00000000000f"}
{"k":"2","t":"","n":-1,"e":1e-10,"f":1.7976931348623157e308,"at":"1969-12-31T23:59:59.999999999Z","b":"","s":["é"],"j":[],"flag":false,"day":"9999-12-31"}
{"k":"3","t":"NULL","n":0,"e":0,"f":0.1,"at":"2024-01-01T00:00:00Z","j":{}}
{"k":"4","t":"\\N","j":[1]}
{"k":"5","t":null,"n":null,"e":null,"f":null,"at":null,"b":null,"s":null,"j":null,"flag":null,"day":null,"id":null}
{"k":"6","t":"é\u0000\ud83d\ude00"}
{"k":"7","t":"\ufeff x "}
{"k":"\"8\"","t":"\n"}
{"k":"é, 9\n'","t":"'"}
"#;

/// The fields of these values, each with the type that a format without one of its own needs.
fn fields(number: &str, float: &str) -> String {
    format!(
        "k = \"k\"\nt = \"t\"\nn = {{ type = \"decimal(38,0)\" }}\ne = {{ type = \"{number}\" }}\nf = {{ type = \"{float}\" }}\n\
         at = {{ type = \"timestamp\", precision = \"ns\" }}\nb = {{ type = \"bytes\" }}\ns = {{ type = \"set<string>\" }}\n\
         j = {{ type = \"json\" }}\nflag = {{ type = \"bool\" }}\nday = {{ type = \"date\" }}\nid = {{ type = \"uuid\" }}"
    )
}

/// Stages what was written and compares.
#[track_caller]
fn is_equal(migration: &Migration, records: u64) {
    migration.runs(&["stage", "target"], 0);
    let ran = migration.project.recon(&["diff", "--out", "found", "--quiet"]);
    assert_eq!(ran.code, 0, "{ran:?} {}", migration.project.read("found/mismatches.csv"));
    assert_eq!(migration.project.summary("found")["entities"]["t"]["matched"], records);
}

/// The files of a folder by name, their bytes and nothing else.
fn files(project: &Project, folder: &str) -> BTreeMap<String, Vec<u8>> {
    let Ok(entries) = fs::read_dir(project.path(folder)) else { return BTreeMap::new() };
    let paths = entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file());
    let name = |path: &std::path::Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    paths.map(|path| (name(&path), fs::read(&path).expect("a file"))).collect()
}

fn refused(ran: &Ran, words: &[&str]) {
    for word in words {
        assert!(ran.stderr.contains(word), "no `{word}`: {ran:?}");
    }
}

#[test]
fn hostile_values_come_back_as_they_were() {
    let decimal = "decimal(38,10)";
    for (dataset, number, float) in [
        ("kind = \"csv\"\nuri = \"out\"", "decimal", "float"),
        (
            "kind = \"csv\"\nuri = \"out/\"\ndelimiter = \";\"\nquote = \"'\"\nnull_tokens = [\"NULL\", \"\\\\N\"]\nencoding = \"base64\"\ncompression = \"gzip\"",
            "decimal",
            "float",
        ),
        (
            "kind = \"csv\"\nuri = \"out/\"\nheader = false\ncompression = \"zstd\"\n\
             columns = [\"id\", \"more\", \"k\", \"t\", \"n\", \"e\", \"f\", \"at\", \"b\", \"s\", \"j\", \"flag\", \"day\"]",
            "decimal",
            "float",
        ),
        ("kind = \"jsonl\"\nuri = \"out/\"", "decimal", "float"),
        ("kind = \"jsonl\"\nuri = \"out/\"\ncompression = \"zstd\"", "decimal", "float"),
        ("kind = \"parquet\"\nuri = \"out/\"", "decimal", "float"),
        ("kind = \"parquet\"\nuri = \"out/\"\ncompression = \"gzip\"", decimal, "string"),
        ("kind = \"dynamodb-export\"\nuri = \"out/\"", "decimal", "string"),
    ] {
        let number = if number == decimal { "string" } else { number };
        let more = if dataset.contains("export") { "write_null = \"null\"" } else { "" };
        let migration = Migration::new(dataset, &fields(number, float), more, HOSTILE);
        migration.runs(&["check"], 0);
        migration.runs(&["migrate", "--dry-run"], 0);
        assert!(!migration.project.path("out").exists(), "{dataset}");
        assert_eq!(migration.counts(0), [9, 0, 0, 0], "{dataset}");
        is_equal(&migration, 9);
        // The second time nothing is pending, and nothing is touched.
        let (before, data) = (files(&migration.project, "out"), files(&migration.project, "out/data"));
        assert_eq!(migration.counts(0), [0, 0, 0, 0], "{dataset}");
        assert_eq!((files(&migration.project, "out"), files(&migration.project, "out/data")), (before, data));
        let inserts = migration.changes();
        assert!(inserts.len() == 9 && inserts.iter().all(|change| change["op"] == "insert"), "{inserts:?}");
    }
}

#[test]
fn names_say_entity_run_and_batch() {
    let lines: String = (0..25).map(|k| format!("{{\"k\":\"{k}\"}}\n")).collect();
    let migration =
        Migration::new("kind = \"csv\"\nuri = \"out/\"\ncompression = \"gzip\"", "k = \"k\"", "", &lines);
    migration.runs(&["migrate", "--batch-size", "10"], 0);
    let names: Vec<String> = files(&migration.project, "out").into_keys().collect();
    assert_eq!(names.len(), 3, "{names:?}");
    for (n, name) in names.iter().enumerate() {
        assert!(name.starts_with("part.t.") && name.ends_with(&format!(".{n:06}.csv.gz")), "{name}");
    }
    is_equal(&migration, 25);
}

#[test]
fn some_records_first_and_the_rest_later_are_all_records_once() {
    let lines: String = (10..40).map(|k| format!("{{\"k\":\"{k}\"}}\n")).collect();
    for kind in ["csv", "jsonl", "parquet", "dynamodb-export"] {
        let migration =
            Migration::new(&format!("kind = \"{kind}\"\nuri = \"out/\""), "k = \"k\"", "", &lines);
        migration.runs(&["migrate", "--limit", "12", "--batch-size", "5"], 0);
        migration.runs(&["stage", "target"], 0);
        migration.runs(&["migrate", "--limit", "0"], 0);
        migration.runs(&["migrate", "--batch-size", "7"], 0);
        is_equal(&migration, 30);
        // Taken away as a whole, what was there is pending again; taken away in part, it is not known what is.
        let folder = if kind == "dynamodb-export" { "out/data" } else { "out" };
        let names: Vec<String> = files(&migration.project, folder).into_keys().collect();
        let first = migration.project.path(&format!("{folder}/{}", names[0]));
        let bytes = fs::read(&first).expect("a file");
        fs::remove_file(&first).expect("it goes");
        refused(&migration.runs(&["migrate"], 4), &["is gone", "put it back"]);
        fs::write(&first, bytes).expect("a file");
        migration.runs(&["migrate"], 0);
        fs::remove_dir_all(migration.project.path("out")).expect("it goes");
        assert_eq!(migration.counts(0), [30, 0, 0, 0], "{kind}");
        is_equal(&migration, 30);
    }
}

#[test]
fn what_somebody_else_wrote_is_not_added_to() {
    let line = "{\"k\":\"1\"}\n";
    for (kind, name) in [
        ("csv", "out/theirs.csv"),
        ("jsonl", "out/below/theirs.jsonl"),
        ("parquet", "out/README"),
        ("dynamodb-export", "out/data/theirs.json.gz"),
        ("dynamodb-export", "out/manifest-summary.json"),
    ] {
        let migration = Migration::new(&format!("kind = \"{kind}\"\nuri = \"out/\""), "k = \"k\"", "", line);
        migration.project.write(name, "x");
        for args in [&["migrate"][..], &["migrate", "--dry-run"]] {
            let last = name.split('/').nth(if name.contains("data") { 2 } else { 1 }).expect("a name");
            refused(
                &migration.runs(args, 2),
                &["out/ holds what no run of this project wrote", last, "name an empty folder"],
            );
        }
        fs::remove_dir_all(migration.project.path("out")).expect("it goes");
        // What readers pass over is no matter.
        migration.project.write("out/.gitkeep", "");
        assert_eq!(migration.counts(0), [1, 0, 0, 0], "{kind}");
        is_equal(&migration, 1);
        // What was written from another staging is no less another's.
        migration.project.write("old.jsonl", "{\"k\":\"1\"}\n{\"k\":\"2\"}\n");
        migration.runs(&["stage", "source"], 0);
        refused(&migration.runs(&["migrate"], 2), &["from another staging", "part.t."]);
    }
}

#[test]
fn what_failed_is_added_once_its_cause_is_mended() {
    let lines = "{\"k\":\"1\",\"n\":1}\n{\"k\":\"2\",\"n\":\"two\"}\n{\"k\":\"3\",\"n\":3}\n";
    for kind in ["csv", "jsonl", "parquet", "dynamodb-export"] {
        let migration = Migration::new(
            &format!("kind = \"{kind}\"\nuri = \"out/\""),
            "k = \"k\"\nn = { from = \"n\", type = \"int\" }",
            "",
            lines,
        );
        assert_eq!(migration.counts(1), [2, 0, 0, 1], "{kind}");
        assert_eq!(migration.faults(), [fault("2", "cast", "n")]);
        refused(
            &migration.runs(&["replay", "--ids", "1,2"], 2),
            &["1 of the records that are asked for did not fail"],
        );
        migration.project.write("old.jsonl", lines.replace("\"two\"", "2"));
        migration.runs(&["stage", "source"], 0);
        migration.runs(&["replay"], 0);
        is_equal(&migration, 3);
        refused(&migration.runs(&["replay", "--ids", "2"], 2), &["is never changed"]);
        is_equal(&migration, 3);
    }
}

#[cfg(feature = "faults")]
#[test]
fn what_a_run_left_that_nobody_finishes_is_removed() {
    let lines: String = (10..60).map(|k| format!("{{\"k\":\"{k}\"}}\n")).collect();
    for kind in ["csv", "jsonl", "parquet", "dynamodb-export"] {
        for point in ["files.before-rename:3", "files.written:2"] {
            let migration =
                Migration::new(&format!("kind = \"{kind}\"\nuri = \"out/\""), "k = \"k\"", "", &lines);
            migration.is_killed_at(point);
            migration.runs(&["migrate", "--new-run"], 0);
            is_equal(&migration, 50);
            let folder = if kind == "dynamodb-export" { "out/data" } else { "out" };
            let names: Vec<String> = files(&migration.project, folder).into_keys().collect();
            assert!(names.iter().all(|name| name.starts_with("part.t.")), "{kind} {point}: {names:?}");
        }
    }
}

#[test]
fn what_a_format_does_not_hold_is_named() {
    let of = |dataset: &str, fields: &str, line: &str, expected: (String, String, String)| {
        let lines = format!("{{\"k\":\"0\"}}\n{line}\n");
        let migration = Migration::new(&format!("{dataset}\nuri = \"out/\""), fields, "", &lines);
        let ran = migration.runs(&["migrate", "--dry-run"], 1);
        assert!(ran.stdout.contains(&expected.1), "{ran:?}");
        migration.counts(1);
        assert_eq!(migration.faults(), [expected], "{dataset}");
        migration.runs(&["stage", "target"], 0);
    };
    let zone = "kind = \"csv\"\ntimezone = \"+01:00\"";
    let (parquet, export) = ("kind = \"parquet\"", "kind = \"dynamodb-export\"");
    let one = |ty: &str| format!("k = \"k\"\na = {{ type = \"{ty}\" }}");
    of(parquet, &one("int"), r#"{"k":"1","a":9223372036854775808}"#, fault("1", "range", "a"));
    of(
        parquet,
        &one("timestamp"),
        r#"{"k":"1","a":"2024-01-01T00:00:00.0000001Z"}"#,
        fault("1", "precision", "a"),
    );
    of(parquet, &one("timestamp"), r#"{"k":"1","a":"2024-01-01T00:00:00"}"#, fault("1", "zone", "a"));
    // Of the target's dataset it is said that such a time has an offset.
    of(zone, &one("timestamp"), r#"{"k":"1","a":"2024-01-01T00:00:00"}"#, fault("1", "changed", "a"));
    of(parquet, &one("float"), r#"{"k":"1","a":0.1000000000000000000001}"#, fault("1", "range", "a"));
    of(export, &one("decimal"), r#"{"k":"1","a":1e126}"#, fault("1", "range", "a"));
    of(export, "k = \"k\"", r#"{"k":""}"#, fault("", "empty_key", "k"));
    of(
        export,
        &one("string"),
        &format!(r#"{{"k":"1","a":"{}"}}"#, "x".repeat(410 << 10)),
        fault("1", "too_large", ""),
    );
}

#[test]
fn what_means_nothing_for_files_is_refused_by_name() {
    let of = |dataset: &str, fields: &str, more: &str, words: &[&str]| {
        let migration = Migration::new(dataset, fields, more, "{\"k\":\"1\",\"n\":1}\n");
        refused(&migration.runs(&["migrate"], 2), words);
        refused(&migration.runs(&["migrate", "--dry-run"], 2), words);
    };
    let (csv, fields) = ("kind = \"csv\"\nuri = \"out/\"", "k = \"k\"\nn = \"n\"");
    of(csv, fields, "write = \"update-only\"", &["update-only", "leave it out"]);
    of(csv, fields, "version = \"n\"", &["`version` is given"]);
    of(
        csv,
        "k = \"k\"\nn = { from = \"n\", on_conflict = \"greatest\" }",
        "",
        &["field `n` has `on_conflict`"],
    );
    of(csv, "k = \"k\"\nn = { from = \"n\", to = \"k\" }", "", &["are written to one place"]);
    for uri in ["out.csv", "out/*.csv", "old.jsonl"] {
        of(
            &format!("kind = \"csv\"\nuri = \"{uri}\""),
            fields,
            "",
            &["name a folder: each batch becomes a file in it"],
        );
    }
    of("kind = \"csv\"\nuri = \"out/\"\nheader = false", fields, "", &["name them with `columns"]);
    of(
        "kind = \"csv\"\nuri = \"out/\"\nheader = false\ncolumns = [\"k\"]",
        fields,
        "",
        &["`columns` does not name `n`"],
    );
    of(
        "kind = \"parquet\"\nuri = \"out/\"",
        fields,
        "",
        &["field `n` would be written as string", "decimal(18,4)"],
    );
    let three = "k = \"k\"\nn = { from = \"n\", to = \"a.b\" }";
    of(csv, three, "", &["`to` is a path"]);
}

/// A project whose lines are written to S3.
fn in_s3(dataset: &str, lines: &str) -> Project {
    let project = Project::new();
    project.write(
        "recon.toml",
        format!(
            "[datasets.old]\nkind = \"jsonl\"\nuri = \"old.jsonl\"\n[datasets.new]\n{dataset}\nendpoint = \"{}\"\npath_style = true\n\
             [entities.t]\nsource = \"old\"\ntarget = \"new\"\nkey = [\"k\"]\n[entities.t.fields]\nk = \"k\"\nt = \"t\"\n",
            endpoint()
        ),
    );
    project.write("old.jsonl", lines);
    project
}

#[test]
fn in_s3_it_is_the_same() {
    bucket("targets");
    let lines: String = (10..60).map(|k| format!("{{\"k\":\"{k}\",\"t\":\"é{k}\"}}\n")).collect();
    for (kind, more) in
        [("csv", "compression = \"gzip\""), ("parquet", ""), ("jsonl", ""), ("dynamodb-export", "")]
    {
        let project =
            in_s3(&format!("kind = \"{kind}\"\nuri = \"s3://targets/{kind}/é x/\"\n{more}"), &lines);
        let runs = |args: &[&str], code: i32| {
            let ran = project.recon_with(args, &ENVIRONMENT);
            assert_eq!(ran.code, code, "{kind} {args:?}: {ran:?}");
            ran
        };
        runs(&["stage", "source"], 0);
        runs(&["migrate", "--batch-size", "20", "--limit", "30"], 0);
        runs(&["migrate", "--batch-size", "20"], 0);
        runs(&["stage", "target"], 0);
        runs(&["diff", "--out", "found"], 0);
        assert_eq!(project.summary("found")["entities"]["t"]["matched"], 50);
        fs::remove_dir_all(project.path("home")).expect("a home");
        runs(&["stage", "source"], 0);
        refused(&runs(&["migrate"], 2), &["holds what no run of this project wrote", "part.t."]);
        if kind == "dynamodb-export" {
            let summary = get("targets", "dynamodb-export/%C3%A9%20x/manifest-summary.json");
            let summary: serde_json::Value = serde_json::from_slice(&summary).expect("JSON");
            assert!(summary["itemCount"] == 50 && summary["s3Bucket"] == "targets", "{summary}");
        }
    }
}

/// Larger than what goes in one request.
#[test]
fn a_large_file_goes_in_parts() {
    bucket("large-target");
    let noise = |k: u64| {
        (0..6000u64)
            .map(|i| char::from(b'a' + ((k * 7919 + i * i * 31 + i * k) % 26) as u8))
            .collect::<String>()
    };
    let lines: String = (1000..7000).map(|k| format!("{{\"k\":\"{k}\",\"t\":\"{}\"}}\n", noise(k))).collect();
    let project = in_s3("kind = \"csv\"\nuri = \"s3://large-target/p\"", &lines);
    for (args, code) in
        [(&["stage", "source"][..], 0), (&["migrate"], 0), (&["stage", "target"], 0), (&["diff"], 0)]
    {
        let ran = project.recon_with(args, &ENVIRONMENT);
        assert_eq!(ran.code, code, "{args:?}: {ran:?}");
    }
}
