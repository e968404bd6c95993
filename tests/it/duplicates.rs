//! Keys that occur more than once, one kind at a time among many that do not: none may pass for unique.

use std::fmt::Write as _;

use crate::project::Project;

const SPEC: &str = r#"[datasets.a]
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

/// Compares two files: a hundred rows that are the same, and one more key so many times on each side. Returns the counts of
/// matched, missing and extra rows, and of duplicates on both sides.
fn diff(key: &str, in_source: usize, in_target: usize) -> Vec<u64> {
    let project = Project::new();
    project.write("recon.toml", SPEC);
    for (file, times) in [("a.csv", in_source), ("b.csv", in_target)] {
        let mut text = "id,n\n".to_owned();
        for id in 0..100 {
            writeln!(text, "{id},x").expect("memory");
        }
        text.push_str(&format!("{key},y\n").repeat(times));
        project.write(file, text);
    }
    assert_eq!(project.recon(&["stage"]).code, 0);
    let ran = project.recon(&["diff", "--out", "out"]);
    assert!(ran.code <= 1, "{}", ran.stderr);
    let row = &project.summary("out")["entities"]["row"];
    ["matched", "missing", "extra", "duplicate_source", "duplicate_target"]
        .iter()
        .map(|name| row[*name].as_u64().expect("a count"))
        .collect()
}

#[test]
fn no_repeated_key_passes_for_unique() {
    for (in_source, in_target) in [(2, 0), (0, 2), (2, 1), (1, 2), (2, 2), (3, 2)] {
        let expected = [100, 0, 0, in_source as u64, in_target as u64];
        assert_eq!(diff("again", in_source, in_target), expected, "{in_source} and {in_target} times");
    }
    assert_eq!(diff("once", 1, 1), [101, 0, 0, 0, 0]);
    assert_eq!(diff("once", 1, 0), [100, 1, 0, 0, 0]);
    assert_eq!(diff("once", 0, 1), [100, 0, 1, 0, 0]);
}

/// As pairs these rows would be ten billion.
#[test]
fn a_key_that_is_everywhere_takes_no_longer() {
    assert_eq!(diff("", 100_000, 100_000), [100, 0, 0, 100_000, 100_000]);
}
