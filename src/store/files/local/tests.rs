//! Which files a `uri` means.

use std::fs;
use std::path::Path;

use crate::store::files::Files;

fn tree(files: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }
    folder
}

fn listed(folder: &Path, uri: &str) -> Vec<String> {
    let uri = folder.join(uri);
    let units = Files::default().list(uri.to_str().unwrap(), &[".csv", ".tsv"]).unwrap();
    let name = |path: &Path| path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
    assert!(units.iter().all(|unit| unit.bytes == 1 && unit.window == 0 && unit.expected.is_none()));
    units.iter().map(|unit| name(&unit.path)).collect()
}

#[test]
fn a_folder_gives_its_files_of_the_kind_sorted() {
    let folder = tree(&[
        "b.csv",
        "a.CSV.GZ",
        "c.tsv.zst",
        "x.json",
        "sub/d.csv",
        "_tmp/e.csv",
        ".git/f.csv",
        ".g.csv",
        "_h.csv",
        "csv",
        "README",
    ]);
    assert_eq!(listed(folder.path(), ""), ["a.CSV.GZ", "b.csv", "c.tsv.zst", "sub/d.csv"]);
}

#[test]
fn a_named_file_is_taken_whatever_its_name() {
    let folder = tree(&["dump", "[odd]*.csv"]);
    assert_eq!(listed(folder.path(), "dump"), ["dump"]);
    assert_eq!(listed(folder.path(), "[odd]*.csv"), ["[odd]*.csv"]);
}

#[test]
fn a_glob_gives_what_it_matches() {
    let folder = tree(&["2024/a.csv", "2024/b.dat", "2024/.c.csv", "2025/d.csv", "2025/deep/e.csv"]);
    assert_eq!(listed(folder.path(), "2024/*"), ["2024/a.csv", "2024/b.dat"]);
    assert_eq!(listed(folder.path(), "**/*.csv"), ["2024/a.csv", "2025/d.csv", "2025/deep/e.csv"]);
}

#[test]
fn a_glob_gives_what_lies_in_the_folders_that_it_matches() {
    let folder = tree(&[
        "day=1/a.csv",
        "day=1/notes.txt",
        "day=1/_tmp/b.csv",
        "day=2/hour=3/c.csv.gz",
        "day=2/.d.csv",
        "day=3.csv",
        "_day=4/e.csv",
        "other/f.csv",
    ]);
    let days = ["day=1/a.csv", "day=2/hour=3/c.csv.gz"];
    assert_eq!(listed(folder.path(), "day=*/"), days);
    assert_eq!(listed(folder.path(), "day=*"), [days.as_slice(), &["day=3.csv"]].concat());
    assert_eq!(listed(folder.path(), "*/"), [days.as_slice(), &["other/f.csv"]].concat());
    assert_eq!(listed(folder.path(), "_*/"), ["_day=4/e.csv"]);
    assert_eq!(listed(folder.path(), "**/*.csv*").len(), 6);
}

#[test]
fn nothing_there_is_an_error_with_the_path_and_the_next_step() {
    let folder = tree(&["a.json"]);
    for uri in ["missing", "missing/", "*.csv", ""] {
        let uri = folder.path().join(uri);
        let error = Files::default().list(uri.to_str().unwrap(), &[".csv"]).unwrap_err();
        assert_eq!(error.exit_code(), 4);
        assert!(error.to_string().contains(uri.to_str().unwrap()), "{error}");
        assert!(error.help_text().is_some(), "{error}");
    }
}
