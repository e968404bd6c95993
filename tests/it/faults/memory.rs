//! `--memory` is a promise, whatever the data are like.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use tempfile::TempDir;

use super::process::{Held, run};

const SPEC: &str = "[datasets.a]\nkind = \"csv\"\nuri = \"a.csv\"\n\
                    [datasets.b]\nkind = \"csv\"\nuri = \"b.csv\"\n\
                    [entities.row]\nsource = \"a\"\ntarget = \"b\"\nkey = [\"id\"]\n";

/// Two CSV files with the columns `id` and `v`.
fn project(a: impl IntoIterator<Item = String>, b: impl IntoIterator<Item = String>) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("recon.toml"), SPEC).expect("a file");
    write(&folder.path().join("a.csv"), a);
    write(&folder.path().join("b.csv"), b);
    folder
}

fn write(path: &Path, lines: impl IntoIterator<Item = String>) {
    let mut file = BufWriter::new(File::create(path).expect("a file"));
    file.write_all(b"id,v\n").expect("written");
    for line in lines {
        file.write_all(line.as_bytes()).expect("written");
    }
    file.flush().expect("written");
}

#[test]
fn rows_that_do_not_parse_do_not_gather_in_memory() {
    let folder =
        project((0..600_000).map(|n| format!("{n},aaaaaaaaaaaaaaaaaaaaaaaa{n},z\n")), ["1,x\n".to_owned()]);
    let (project, home) = (folder.path(), folder.path().join("home"));
    for (command, most) in [("stage", 300), ("diff", 300)] {
        let args = [command, "--memory", "200MB"];
        let held = Held::at("run.before-finished", project, &home, &args);
        let peak = held.peak_bytes() >> 20;
        held.go_on().exits(3);
        assert!(peak < most, "{command} needed {peak} MiB");
    }
    let runs = run(project, &home, &["runs", "--format", "json"]).exits(0).json();
    let failures = Path::new(runs[0]["folder"].as_str().expect("a folder")).join("failures.csv");
    let text = fs::read_to_string(project.join(failures)).expect("a report");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 600_001);
    for (n, line) in lines[1..].iter().enumerate() {
        assert!(line.contains(&format!("a.csv:{}: ", n + 2)), "row {n}: {line}");
    }
}

#[test]
fn one_key_may_have_more_rows_than_memory_holds() {
    let rows = 700_000;
    let folder =
        project((0..rows).map(|n| format!("1,v{n}\n")), (0..rows).rev().map(|n| format!("1,v{n}\n")));
    let (project, home) = (folder.path(), folder.path().join("home"));
    run(project, &home, &["stage"]).exits(0);
    run(project, &home, &["diff", "--memory", "150MB", "--out", "out"]).exits(1);
    let text = fs::read_to_string(project.join("out/duplicates.csv")).expect("a report");
    assert_eq!(text, format!("entity,id,source_count,target_count,equal\nrow,1,{rows},{rows},true\n"));
}
