//! Golden cases: every folder of `fixtures/` is a project with what recon must say of it.
//!
//! A case holds `recon.toml`, whose comment says what is expected and why, its inputs, and `expected/`. Inputs that are not
//! text are made from files that are: `x.parquet.sql` (a query whose rows become `x.parquet`), `x.csv.gz.txt`, and
//! `x.export.0.jsonl`, `x.export.1.jsonl` … (the items of a full export and the records of its increments, in folder `x`).
//! `diff.args` has further arguments of `recon diff`; `recon.2.toml` replaces the spec for a second diff without staging,
//! whose results are in `expected.2/`. Where a case expects `stdout.txt`, what diff prints is compared too.
//!
//! `RECON_BLESS=1` writes what recon says over what was expected: read every change. `RECON_CASE=word` picks cases.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::Value;

use crate::project::{Project, gzip, write_export, write_parquet};

const REPORTS: [&str; 5] = ["mismatches.csv", "missing.csv", "extra.csv", "duplicates.csv", "failures.csv"];

#[test]
fn every_case_is_as_expected() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let wanted = std::env::var("RECON_CASE").unwrap_or_default();
    let mut cases: Vec<PathBuf> = fs::read_dir(&root)
        .expect("fixtures/ is there")
        .map(|entry| entry.expect("a folder can be listed").path())
        .filter(|path| path.join("recon.toml").exists() && path.display().to_string().contains(&wanted))
        .collect();
    cases.sort();
    assert!(!cases.is_empty(), "no case under {}", root.display());
    let (next, wrong) = (Mutex::new(cases.iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let Some(case) = next.lock().expect("no case panics here").next() else { return };
                    wrong.lock().expect("no case panics here").extend(check(case));
                }
            });
        }
    });
    let mut wrong = wrong.into_inner().expect("no case panics here");
    wrong.sort();
    assert!(wrong.is_empty(), "{} files differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// Runs a case and returns what differs from what was expected.
fn check(case: &Path) -> Vec<String> {
    let project = Project::new();
    lay_out(case, &project);
    let args = fs::read_to_string(case.join("diff.args")).unwrap_or_default();
    let stage = project.recon(&["stage"]);
    let mut wrong = compare(case, "expected", diff(&project, &args, Some((stage.code, &stage.stderr))));
    if case.join("recon.2.toml").exists() {
        fs::copy(case.join("recon.2.toml"), project.path("recon.toml")).expect("a file");
        wrong.extend(compare(case, "expected.2", diff(&project, &args, None)));
    }
    wrong
}

/// Copies a case's inputs, and makes those that are not text.
fn lay_out(case: &Path, project: &Project) {
    for entry in fs::read_dir(case).expect("a case is a folder") {
        let path = entry.expect("a folder can be listed").path();
        let name = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
        if path.is_dir() {
            continue;
        }
        let bytes = fs::read(&path).expect("a file");
        let text = || String::from_utf8(bytes.clone()).expect("a description is text");
        if let Some(made) = name.strip_suffix(".sql").filter(|made| made.ends_with(".parquet")) {
            write_parquet(&text(), &project.path(made));
        } else if let Some(made) = name.strip_suffix(".txt").filter(|made| made.ends_with(".gz")) {
            project.write(made, gzip(&bytes));
        } else if let Some((folder, window)) =
            name.strip_suffix(".jsonl").and_then(|name| name.split_once(".export."))
        {
            write_export(&project.path(folder), window.parse().expect("a window's number"), &text());
        } else {
            project.write(&name, bytes);
        }
    }
}

/// Runs `recon diff` twice, with different numbers of threads, and returns what it wrote, by file.
fn diff(project: &Project, args: &str, stage: Option<(i32, &str)>) -> BTreeMap<String, String> {
    let run = |folder: &str, threads: &str| {
        let mut all = vec!["diff", "--out", folder, "--threads", threads];
        all.extend(args.split_whitespace());
        project.recon(&all)
    };
    let (ran, again) = (run("out", "2"), run("again", "1"));
    assert_eq!(ran.code, again.code, "the exit code depends on the threads: {}", again.stderr);
    let mut files = BTreeMap::new();
    let mut exits = stage.map_or_else(String::new, |(code, stderr)| format!("stage {code}\n{stderr}"));
    exits.push_str(&format!("diff {}\n{}", ran.code, ran.stderr));
    files.insert("exit".to_owned(), exits);
    if !project.path("out/summary.json").exists() {
        return files;
    }
    for name in REPORTS {
        let text = project.read(&format!("out/{name}"));
        assert_eq!(text, project.read(&format!("again/{name}")), "{name} is not the same the second time");
        files.insert(name.to_owned(), text);
    }
    let summary = project.summary("out");
    add_up(&summary);
    let text = serde_json::to_string_pretty(&without_times(summary)).expect("JSON");
    files.insert("summary.json".to_owned(), format!("{text}\n"));
    files.insert("stdout.txt".to_owned(), ran.stdout);
    let folder = format!("{}/", project.path("").display().to_string().trim_end_matches('/'));
    let mut digests = Vec::new();
    files.values_mut().for_each(|text| *text = numbered(&text.replace(&folder, ""), &mut digests));
    for folder in ["out", "again"] {
        fs::remove_dir_all(project.path(folder)).expect("the reports can be removed");
    }
    files
}

/// The identities of counts, of every entity.
fn add_up(summary: &Value) {
    for (name, entity) in summary["entities"].as_object().expect("entities") {
        let sum =
            |words: &[&str]| -> u64 { words.iter().map(|w| entity[*w].as_u64().expect("a count")).sum() };
        let source = ["matched", "mismatched", "missing", "duplicate_source", "unchecked"];
        let target = ["matched", "mismatched", "extra", "duplicate_target", "unchecked_target"];
        assert_eq!(sum(&source), sum(&["source_rows"]), "source rows of {name}");
        assert_eq!(sum(&target), sum(&["target_rows"]), "target rows of {name}");
    }
}

/// A text with its digests of redacted values, whose key is another one in every home, replaced by numbers.
fn numbered(text: &str, digests: &mut Vec<String>) -> String {
    const BEFORE: &str = "redacted:";
    let mut parts = text.split(BEFORE);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digest, rest) = part.split_at(32);
        let known = digests.iter().position(|known| known == digest).unwrap_or_else(|| {
            digests.push(digest.to_owned());
            digests.len() - 1
        });
        out.push_str(&format!("{BEFORE}#{}{rest}", known + 1));
    }
    out
}

/// A summary without what is another one in every run.
fn without_times(mut summary: Value) -> Value {
    let words = ["run_id", "spec_digest", "recon_version", "started_at", "ended_at", "equality"];
    let object = summary.as_object_mut().expect("an object");
    object.retain(|word, _| !words.contains(&word.as_str()));
    for entity in summary["entities"].as_object_mut().expect("entities").values_mut() {
        entity.as_object_mut().expect("an object").remove("datasets");
    }
    summary
}

/// Holds what recon wrote against a case's folder, or writes it there.
fn compare(case: &Path, folder: &str, files: BTreeMap<String, String>) -> Vec<String> {
    let folder = case.join(folder);
    let bless = std::env::var_os("RECON_BLESS").is_some();
    if bless {
        fs::create_dir_all(&folder).expect("a folder");
    }
    let mut wrong = Vec::new();
    for (name, text) in &files {
        let path = folder.join(name);
        if name == "stdout.txt" && !path.exists() {
            continue;
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        if bless {
            fs::write(&path, text).expect("a file");
        } else if expected != *text || !path.exists() {
            wrong.push(format!("{}\n--- expected\n{expected}--- found\n{text}", path.display()));
        }
    }
    for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
        if !files.contains_key(&*entry.file_name().to_string_lossy()) {
            wrong.push(format!("{}: recon wrote no such file", entry.path().display()));
        }
    }
    wrong
}
