//! Bad input: each kind ends with the right exit code and a message that names the place and the next step, leaves nothing
//! half-written, and once it is mended the next run works.

use std::fs;
use std::path::Path;

use crate::project::{Project, Ran, gzip, md5, write_export};

const SPEC: &str = r#"
[datasets.a]
kind = "csv"
uri = "a.csv"

[datasets.b]
kind = "csv"
uri = "b.csv"

[entities.row]
source = "a"
target = "b"
key = ["id"]
"#;

const FIELDS: &str = "\n[entities.row.fields]\nid = \"id\"\n";

const ITEM: &str = "{\"Item\":{\"id\":{\"S\":\"1\"},\"v\":{\"S\":\"x\"}}}\n";

/// A change in the chain's first window.
const CHANGE: &str = "{\"Metadata\":{\"WriteTimestampMicros\":{\"N\":\"1\"}},\"Keys\":{\"id\":{\"S\":\"1\"}},\
                      \"NewImage\":{\"id\":{\"S\":\"1\"},\"v\":{\"S\":\"x\"}}}\n";

/// A project of two equal CSV files, with these further lines in its spec.
fn two_csvs(more: &str) -> Project {
    let project = Project::new();
    project.write("recon.toml", format!("{SPEC}{more}"));
    project.write("a.csv", "id,v\n1,x\n");
    project.write("b.csv", "id,v\n1,x\n");
    project
}

/// A project whose source is an export, full as of hour 0 and with `windows` increments, and whose target equals it.
fn an_export(windows: u32, options: &str) -> Project {
    let project = two_csvs("");
    write_export(&project.path("a"), 0, ITEM);
    for window in 1..=windows {
        write_export(&project.path("a"), window, CHANGE);
    }
    let source = format!("kind = \"dynamodb-export\"\nuri = \"{}\"\n{options}", export(0));
    project.write("recon.toml", SPEC.replace("kind = \"csv\"\nuri = \"a.csv\"\n", &source));
    project
}

/// The folder of an export in the project.
fn export(window: u32) -> String {
    format!("a/AWSDynamoDB/0170000000000{window}-0a1b2c3d")
}

fn data_file() -> String {
    format!("{}/data/abcdefghijklmnopqrstuvwxy0.json.gz", export(0))
}

/// Holds an exit code and what stderr must say against what became of a command, and looks for leftovers.
#[track_caller]
fn ends(project: &Project, args: &[&str], code: i32, words: &[&str]) -> Ran {
    let ran = project.recon(args);
    assert_eq!(ran.code, code, "{args:?}: {}{}", ran.stdout, ran.stderr);
    for word in words {
        assert!(ran.stderr.contains(word), "`{word}` is not in:\n{}", ran.stderr);
    }
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    nothing_half_written(project);
    ran
}

/// As [`ends`], for errors: they say what to do next.
#[track_caller]
fn refused(project: &Project, args: &[&str], code: i32, words: &[&str]) {
    let ran = ends(project, args, code, words);
    assert!(ran.stderr.starts_with("error: ") && ran.stderr.contains("help: "), "{}", ran.stderr);
}

#[track_caller]
fn nothing_half_written(project: &Project) {
    for folder in ["home/runs", "out"] {
        for file in files(&project.path(folder)) {
            assert!(!file.ends_with(".tmp"), "{file} was left");
        }
    }
    let path = project.path("home/ledger.db");
    if !path.exists() {
        return;
    }
    let ledger = rusqlite::Connection::open(path).expect("a ledger");
    let text = |sql| ledger.query_row(sql, [], |row| row.get::<_, String>(0)).expect("a ledger that answers");
    assert_eq!(text("pragma integrity_check"), "ok");
    assert_eq!(text("select count(*) || '' from pragma_foreign_key_check"), "0");
    if text("select count(*) || '' from sqlite_schema where name = 'runs'") != "0" {
        assert_eq!(
            text("select count(*) || '' from runs where state = 'running'"),
            "0",
            "a run without an end"
        );
    }
}

fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path().is_dir() {
            true => found.extend(files(&entry.path())),
            false => found.push(entry.path().display().to_string()),
        }
    }
    found
}

/// Once the input is mended, both sides are staged and equal.
#[track_caller]
fn works(project: &Project) {
    ends(project, &["stage"], 0, &[]);
    ends(project, &["diff", "--out", "out"], 0, &[]);
}

#[test]
fn an_unknown_key_in_the_spec() {
    let project = two_csvs("wehre = \"v = 'x'\"\n");
    for command in ["check", "stage", "diff"] {
        refused(&project, &[command], 2, &["recon.toml:14:1", "wehre", "did you mean `where`?"]);
    }
    project.write("recon.toml", SPEC);
    works(&project);
}

#[test]
fn a_value_of_the_wrong_type_in_the_spec() {
    let project = two_csvs("where = 1\n");
    refused(&project, &["stage"], 2, &["recon.toml:14:9", "expected a string", "recon schema"]);
    project.write("recon.toml", SPEC);
    works(&project);
}

#[test]
fn a_spec_that_is_a_directory() {
    let project = two_csvs("");
    fs::remove_file(project.path("recon.toml")).expect("a file");
    fs::create_dir(project.path("recon.toml")).expect("a folder");
    ends(&project, &["stage"], 2, &["recon.toml is a folder", "--spec FOLDER/recon.toml"]);
}

#[test]
fn a_missing_file() {
    let project = two_csvs("");
    fs::remove_file(project.path("b.csv")).expect("a file");
    refused(&project, &["stage"], 4, &["b.csv", "not there", "uri"]);
    refused(&project, &["diff"], 4, &["dataset `a`", "recon stage"]);
    project.write("b.csv", "id,v\n1,x\n");
    works(&project);
}

#[test]
fn a_folder_in_place_of_a_file() {
    let project = two_csvs("");
    fs::remove_file(project.path("b.csv")).expect("a file");
    fs::create_dir(project.path("b.csv")).expect("a folder");
    refused(&project, &["stage"], 4, &["b.csv", "holds no file", "glob"]);
    project.write("b.csv/part.csv", "id,v\n1,x\n");
    works(&project);
}

#[test]
fn a_data_file_that_is_a_folder() {
    let project = an_export(0, "");
    fs::remove_file(project.path(&data_file())).expect("a file");
    fs::create_dir(project.path(&data_file())).expect("a folder");
    ends(&project, &["stage"], 4, &["abcdefghijklmnopqrstuvwxy0.json.gz"]);
}

#[test]
fn a_wrong_md5() {
    let project = an_export(0, "");
    project.write(&data_file(), gzip(ITEM.replace('x', "y").as_bytes()));
    refused(&project, &["stage"], 4, &["abcdefghijklmnopqrstuvwxy0.json.gz", "MD5"]);
    refused(&project, &["diff"], 4, &["dataset `a`", "recon stage"]);
    project.write(&data_file(), gzip(ITEM.as_bytes()));
    works(&project);
}

#[test]
fn an_item_count_that_differs_from_the_manifest() {
    let project = an_export(0, "");
    let two = gzip(format!("{ITEM}{}", ITEM.replace("\"1\"", "\"2\"")).as_bytes());
    let manifest = format!("{}/manifest-files.json", export(0));
    let (before, wrong) = (project.read(&manifest), gzip(ITEM.as_bytes()));
    // The file's digest is right, and the manifests' own too: only the count is not.
    project.write(&data_file(), &two);
    let text = before.replace(&md5(&wrong), &md5(&two));
    project.write(&manifest, &text);
    project.write(&manifest.replace(".json", ".md5"), md5(text.as_bytes()));
    refused(&project, &["stage"], 4, &["abcdefghijklmnopqrstuvwxy0.json.gz", "2 items", "manifest says 1"]);
    project.write(&data_file(), wrong);
    project.write(&manifest, &before);
    project.write(&manifest.replace(".json", ".md5"), md5(before.as_bytes()));
    works(&project);
}

#[test]
fn a_listed_file_that_is_absent() {
    let project = an_export(0, "");
    fs::remove_file(project.path(&data_file())).expect("a file");
    refused(&project, &["stage"], 4, &["abcdefghijklmnopqrstuvwxy0.json.gz"]);
    project.write(&data_file(), gzip(ITEM.as_bytes()));
    works(&project);
}

#[test]
fn a_truncated_gzip() {
    let project = two_csvs("");
    project.write("recon.toml", SPEC.replace("b.csv", "b.csv.gz"));
    let rows: String = (2..5_000).map(|i| format!("{i},{}\n", i * 7919 % 10_007)).collect();
    let whole = gzip(format!("id,v\n1,x\n{rows}").as_bytes());
    // In the middle, and in the checksum at its end: the rows are whole there, but nobody can know.
    for length in [whole.len() / 2, whole.len() - 1] {
        project.write("b.csv.gz", &whole[..length]);
        refused(&project, &["stage"], 4, &["b.csv.gz", "to its end", "copy it again"]);
    }
    project.write("b.csv.gz", gzip(b"id,v\n1,x\n"));
    works(&project);
}

#[test]
fn a_truncated_gzip_of_documents() {
    let project = two_csvs("");
    let spec = SPEC.replace("kind = \"csv\"\nuri = \"b.csv\"", "kind = \"jsonl\"\nuri = \"b.jsonl.gz\"");
    project.write("recon.toml", spec);
    let whole = gzip(b"{\"id\":\"1\",\"v\":\"x\"}\n");
    project.write("b.jsonl.gz", &whole[..whole.len() - 1]);
    refused(&project, &["stage"], 4, &["b.jsonl.gz", "cut short"]);
    project.write("b.jsonl.gz", whole);
    works(&project);
}

#[test]
fn invalid_utf8() {
    let project = two_csvs("");
    project.write("a.csv", b"id,v\n1,\xff\n");
    ends(&project, &["stage"], 3, &[]);
    ends(&project, &["diff", "--out", "out"], 3, &[]);
    assert!(
        project.read("out/failures.csv").contains("row,1,stage,permanent,parse,v,a.csv:2: invalid UTF-8,1")
    );
    project.write("a.csv", "id,v\n1,x\n");
    works(&project);
}

#[test]
fn a_ragged_row() {
    let project = two_csvs("");
    project.write("a.csv", "id,v\n1\n");
    let ran = ends(&project, &["stage"], 3, &[]);
    assert!(ran.stdout.contains("1 did not parse") && ran.stdout.contains("failures.csv"), "{}", ran.stdout);
    let reports = files(&project.path("home/runs"));
    let report = reports.iter().find(|file| file.ends_with("failures.csv")).expect("a report of the staging");
    let text = fs::read_to_string(report).expect("a file");
    assert!(text.contains("parse,,\"a.csv:2: expected 2 cells, found 1\""), "{text}");
    ends(&project, &["diff", "--out", "out"], 3, &[]);
    project.write("a.csv", "id,v\n1,x\n");
    works(&project);
}

#[test]
fn a_quote_that_is_never_closed() {
    let project = two_csvs("");
    project.write("a.csv", "id,v\n1,x\n2,\"y\n3,z\n");
    refused(&project, &["stage"], 4, &["a.csv", "line 3", "never closed", "close the quote"]);
    project.write("a.csv", "id,v\n1,x\n");
    works(&project);
}

#[test]
fn a_duplicate_header() {
    let project = two_csvs("");
    project.write("a.csv", "id,v,v\n1,x,y\n");
    refused(&project, &["stage"], 4, &["a.csv", "duplicate column names: `v`", "name of its own"]);
    project.write("a.csv", "id,v\n1,x\n");
    works(&project);
}

#[test]
fn a_column_that_recon_keeps_for_itself() {
    let project = two_csvs("");
    project.write("a.csv", "id,__RECON_pos\n1,x\n");
    refused(&project, &["stage"], 4, &["a.csv", "`__RECON_pos`", "another name"]);
    project.write("a.csv", "id,v\n1,x\n");
    works(&project);
}

#[test]
fn an_unknown_column_in_from() {
    let project = two_csvs(&format!("{FIELDS}v = \"upper(vv)\"\n"));
    project.write("a.csv", "id,v,w\n1,x,y\n");
    ends(&project, &["stage"], 0, &[]);
    let words = ["recon.toml:17:12", "unknown column `vv` in dataset `a`", "did you mean `v`"];
    refused(&project, &["diff", "--out", "out"], 2, &words);
    project.write("recon.toml", SPEC.replace("[\"id\"]", "[\"idd\"]"));
    refused(&project, &["diff", "--out", "out"], 2, &["`idd`", "did you mean `id`"]);
    project.write("recon.toml", format!("{SPEC}{FIELDS}v = \"v\"\n"));
    works(&project);
}

#[test]
fn an_unknown_column_of_any_name() {
    // Names that recon's own SQL uses are as unknown as any other where the dataset does not have them.
    for name in ["v", "r", "pos", "c0", "s0", "staged", "rows", "file_index"] {
        let project = two_csvs(&format!("{FIELDS}x = {{ from = \"{name}\", to = \"id\" }}\n"));
        project.write("a.csv", "id,w\n1,x\n");
        ends(&project, &["stage"], 0, &[]);
        let words = ["recon.toml:17:", &format!("unknown column `{name}` in dataset `a`"), "`id`"];
        refused(&project, &["diff"], 2, &words);
    }
}

#[test]
fn sql_that_does_not_parse() {
    let project = two_csvs(&format!("{FIELDS}v = \"upper(v\"\n"));
    ends(&project, &["stage"], 0, &[]);
    refused(&project, &["diff"], 2, &["recon.toml:17:", "does not parse", "upper(v"]);
    project.write("recon.toml", format!("{SPEC}where = \"v = = 'x'\"\n"));
    refused(&project, &["diff"], 2, &["recon.toml:14:", "does not parse"]);
    // Two statements are no expression, and neither is one that closes recon's own parenthesis.
    for sql in ["v) from x; drop table y; select (1", "v; drop table y"] {
        project.write("recon.toml", format!("{SPEC}{FIELDS}v = \"{sql}\"\n"));
        refused(&project, &["diff"], 2, &["recon.toml:17:"]);
    }
    project.write("recon.toml", SPEC);
    works(&project);
}

#[test]
fn sql_that_fails_for_some_rows() {
    let project = two_csvs(&format!("{FIELDS}v = {{ from = \"cast(v as int)\", type = \"int\" }}\n"));
    project.write("a.csv", "id,v\n1,7\n2,x\n");
    project.write("b.csv", "id,v\n1,7\n2,8\n");
    ends(&project, &["stage"], 0, &[]);
    ends(&project, &["diff", "--out", "out"], 3, &[]);
    let failures = project.read("out/failures.csv");
    assert!(failures.contains("row,2,stage,permanent,cast,v,a.csv:"), "{failures}");
    project.write("a.csv", "id,v\n1,7\n2,8\n");
    works(&project);
}

#[test]
fn a_filter_that_fails_for_some_rows() {
    let project = two_csvs("where = \"cast(v as int) > 0\"\n");
    project.write("a.csv", "id,v\n1,7\n2,x\n");
    project.write("b.csv", "id,v\n1,7\n");
    ends(&project, &["stage"], 0, &[]);
    // Whether row 2 is one of the entity's nobody can say, so no result is given.
    refused(&project, &["diff", "--out", "out"], 2, &["recon.toml:14:10", "`where` fails", "try_cast"]);
    project.write("recon.toml", format!("{SPEC}where = \"try_cast(v as int) > 0\"\n"));
    works(&project);
}

#[test]
fn an_item_without_its_key() {
    let project = an_export(0, "");
    write_export(&project.path("a"), 0, &format!("{ITEM}{{\"Item\":{{\"v\":{{\"S\":\"x\"}}}}}}\n"));
    ends(&project, &["stage"], 0, &[]);
    ends(&project, &["diff", "--out", "out"], 3, &[]);
    let failures = project.read("out/failures.csv");
    assert!(failures.contains("row,,stage,permanent,null_key,id,"), "{failures}");
    assert_eq!(project.summary("out")["entities"]["row"]["unchecked"], 1);
    write_export(&project.path("a"), 0, ITEM);
    works(&project);
}

#[test]
fn a_ledger_of_a_newer_version() {
    let project = two_csvs("");
    works(&project);
    let set = |version: i64| {
        let ledger = rusqlite::Connection::open(project.path("home/ledger.db")).expect("a ledger");
        ledger.pragma_update(None, "user_version", version).expect("a ledger that can be written");
    };
    let version = rusqlite::Connection::open(project.path("home/ledger.db"))
        .and_then(|ledger| ledger.query_row("pragma user_version", [], |row| row.get::<_, i64>(0)))
        .expect("a ledger");
    set(99);
    for command in ["stage", "diff", "status", "runs"] {
        refused(&project, &[command], 4, &["ledger.db", "version 99", "newer recon", "--home"]);
    }
    set(version);
    works(&project);
}

#[test]
fn a_home_that_another_run_holds() {
    let project = two_csvs("");
    works(&project);
    let lock = fs::File::options().read(true).write(true).open(project.path("home/lock")).expect("a lock");
    lock.try_lock().expect("nobody holds it");
    for command in ["stage", "diff"] {
        refused(&project, &[command], 4, &["held by another run", "recon status", "--home"]);
    }
    ends(&project, &["status"], 0, &[]);
    lock.unlock().expect("the lock is ours");
    works(&project);
}

#[test]
fn an_incremental_export_without_its_full_one() {
    let project = an_export(1, "");
    let spec = project.read("recon.toml");
    project.write("recon.toml", spec.replace(&export(0), &export(1)));
    refused(&project, &["stage"], 4, &["01700000000001-0a1b2c3d", "incremental export", "`increments`"]);
    project.write("recon.toml", spec);
    works(&project);
}

#[test]
fn a_gap_in_the_chain() {
    let options = format!("increments = [\"{}\"]\n", export(2));
    let project = an_export(2, &options);
    let words =
        ["a gap", "2024-01-01T00:00:00Z", "2024-01-01T01:00:00Z", "01700000000002-0a1b2c3d", "allow_gap"];
    refused(&project, &["stage"], 4, &words);
    let spec = project.read("recon.toml");
    // An overlap: the same window again, under another name.
    let overlap = spec.replace(&export(2), &format!("{}\", \"{}\", \"{}", export(1), export(2), export(1)));
    project.write("recon.toml", overlap);
    refused(&project, &["stage"], 4, &["01700000000001-0a1b2c3d", "twice"]);
    project.write("recon.toml", spec.replace(&options, &format!("{options}allow_gap = true\n")));
    ends(&project, &["stage"], 0, &["a gap"]);
    ends(&project, &["diff", "--out", "out"], 0, &[]);
    let warnings = project.summary("out")["entities"]["row"]["warnings"].to_string();
    assert!(warnings.contains("a gap"), "every report shows it: {warnings}");
    project.write("recon.toml", spec.replace(&export(2), &format!("{}\", \"{}", export(1), export(2))));
    works(&project);
}

#[test]
fn more_errors_than_allowed() {
    let project = two_csvs("");
    project.write("a.csv", "id,v\n1,x\n2\n3\n4\n");
    refused(&project, &["stage", "--max-errors", "2"], 4, &["more than 2 rows", "--max-errors", "a.csv:5"]);
    refused(&project, &["diff"], 4, &["recon stage"]);
    ends(&project, &["stage", "--max-errors", "3"], 3, &[]);
    // What is kept from the last staging counts as well.
    refused(&project, &["stage", "--max-errors", "2"], 4, &["more than 2 rows"]);
    project.write("a.csv", "id,v\n1,x\n");
    ends(&project, &["stage", "--max-errors", "0"], 0, &[]);
    works(&project);
}

#[test]
fn a_key_whose_rows_all_do_not_parse_is_a_duplicate() {
    let project = two_csvs("");
    project.write("a.csv", "id,v\n1\n1\n2,x\n");
    project.write("b.csv", "id,v\n1,y\n2,x\n");
    assert_eq!(project.recon(&["stage"]).code, 3);
    let diff = project.recon(&["diff", "--out", "out"]);
    assert_eq!(diff.code, 3, "{}", diff.stderr);
    let row = &project.summary("out")["entities"]["row"];
    assert_eq!(
        (&row["matched"], &row["duplicate_source"], &row["duplicate_target"]),
        (&1.into(), &2.into(), &1.into())
    );
}

#[test]
fn lines_that_end_with_a_carriage_return_alone_are_said_to() {
    let project = two_csvs("");
    project.write("a.csv", "id,v\r1,x\r2,y\r");
    let ran = project.recon(&["stage"]);
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    assert!(ran.stderr.contains("a.csv holds a carriage return"), "{}", ran.stderr);
    project.write("a.csv", "id,v\r\n1,x\r\n");
    assert_eq!(project.recon(&["stage"]).code, 0);
}

#[test]
fn a_precision_on_what_is_no_time_is_refused() {
    let project = two_csvs(&format!("{FIELDS}v = {{ from = \"v\", precision = \"ms\" }}\n"));
    assert_eq!(project.recon(&["stage"]).code, 0);
    let ran = project.recon(&["diff"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("field `v`: a precision on a field that is no time"), "{}", ran.stderr);
}
