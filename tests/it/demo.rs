//! `recon demo`: what is planted is found, the files are the same every time, and nobody's folder is touched.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::shell::Shell;

fn facts(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e} in {text}"))
}

/// Every file below a folder, but for recon's home.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != ".recon") {
                folders.push(path);
            } else if path.is_file() {
                let name = path.strip_prefix(folder).expect("below the folder").to_path_buf();
                found.insert(name, fs::read(&path).expect("a file"));
            }
        }
    }
    found
}

#[test]
fn what_is_planted_is_found_and_nothing_else() {
    let shell = Shell::new();
    let said = shell.recon("demo --format json");
    assert_eq!((said.code, said.stderr.as_str()), (0, ""));
    let facts = facts(&said.stdout);
    let planted = facts["planted"].as_array().expect("a list");
    assert!(planted.len() >= 8, "{planted:?}");
    for plant in planted {
        assert!(plant["planted"].as_u64() > Some(0), "{plant}");
        assert_eq!(plant["planted"], plant["found"], "{plant}");
    }
    assert_eq!((&facts["as_planted"], &facts["surprises"]), (&Value::Bool(true), &Value::from(0)));
    assert_eq!(facts["diff_exit_code"], 3, "a record that does not cast makes the diff incomplete");
    let image = &facts["diff"]["entities"]["image"];
    assert_eq!(image["source_rows"], 2_000);
    let concentration = &image["fields"]["height"]["concentration"];
    assert_eq!(
        (&concentration["field"], &concentration["value"]),
        (&"mime_type".into(), &"image/gif".into())
    );
}

#[test]
fn the_text_says_it_all() {
    let shell = Shell::new();
    insta::assert_snapshot!(shell.transcript(&["demo"]));
}

#[test]
fn the_readme_shows_what_the_demo_says() {
    let shell = Shell::new();
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("the README");
    let shown = shell.redacted(&readme);
    // The line that tells a shell where recon is differs from machine to machine.
    let said: String =
        shell.recon("demo").stdout.split_inclusive('\n').filter(|line| !line.contains("alias")).collect();
    assert!(
        shown.contains(shell.redacted(&said).trim()),
        "paste the output of ./demo into README.md:\n{said}"
    );
}

#[test]
fn the_project_works_on_with_the_ordinary_commands() {
    let shell = Shell::new();
    assert_eq!(shell.recon("demo here").code, 0);
    let spec = "--spec here/recon.toml";
    assert_eq!(shell.recon(&format!("check {spec}")).code, 0);
    assert_eq!(shell.recon(&format!("stage {spec}")).code, 0);
    assert_eq!(shell.recon(&format!("diff {spec}")).code, 3);
    let shown = shell.recon(&format!("show img-00500 {spec}"));
    assert!(shown.stdout.contains("mismatched"), "{}", shown.stdout);
}

#[test]
fn the_files_are_the_same_every_time() {
    let shell = Shell::new();
    assert_eq!(shell.recon("demo one").code, 0);
    assert_eq!(shell.recon("demo two").code, 0);
    let (one, two) = (files(&shell.path().join("one")), files(&shell.path().join("two")));
    assert!(one.len() > 8, "{:?}", one.keys());
    assert!(one == two, "two demos differ");
}

#[test]
fn an_earlier_demo_is_made_anew_and_what_lies_beside_it_stays() {
    let shell = Shell::new();
    assert_eq!(shell.recon("demo").code, 0);
    let before = files(&shell.path().join("recon-demo"));
    shell.write("recon-demo/target.csv", "id\n");
    shell.write("recon-demo/notes.txt", "mine");
    assert_eq!(shell.recon("demo").code, 0);
    assert_eq!(shell.read("recon-demo/notes.txt"), b"mine");
    assert!(
        files(&shell.path().join("recon-demo")).get(Path::new("target.csv"))
            == before.get(Path::new("target.csv"))
    );
}

#[test]
fn a_folder_of_somebody_else_is_refused_and_left_alone() {
    let shell = Shell::new();
    shell.write("mine/recon.toml", "precious");
    shell.write("file", "precious too");
    fs::create_dir(shell.path().join("empty")).expect("a folder");
    insta::assert_snapshot!(shell.transcript(&[
        "demo mine",
        "demo file",
        "demo --spec other.toml",
        "demo -e image"
    ]));
    assert_eq!(files(&shell.path().join("mine")).len(), 1);
    assert_eq!(shell.read("mine/recon.toml"), b"precious");
    assert_eq!(shell.read("file"), b"precious too");
    assert_eq!(shell.recon("demo empty").code, 0);
}
