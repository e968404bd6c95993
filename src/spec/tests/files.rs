//! Reading the file: what is there, syntax, places, digest, unknown keys.

use std::fs;
use std::path::Path;

use super::*;
use crate::spec::{DatasetKind, load};

#[test]
fn missing_file_names_the_next_step() {
    let error = load(Path::new("no/such/recon.toml"), &env).expect_err("there is none");
    assert_eq!(error.exit_code(), 2);
    assert_eq!(
        error.report(),
        "error: there is no spec file no/such/recon.toml\n  \
         help: name another with `--spec PATH`, or let `recon init SOURCE TARGET` write one"
    );
}

#[test]
fn folder_in_place_of_the_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let error = load(folder.path(), &env).expect_err("a folder is no spec");
    assert_eq!(error.exit_code(), 2);
    assert_has(&error.report(), &["the spec must be a file", "--spec FOLDER/recon.toml"]);
}

#[test]
fn invalid_utf8_has_a_place() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("recon.toml");
    fs::write(&path, b"[datasets.a]\nkind = \"\xff\"\n").expect("the file is written");
    let error = load(&path, &env).expect_err("not UTF-8");
    assert_eq!(error.exit_code(), 2);
    assert_has(&error.report(), &["recon.toml:2:9: this is not valid UTF-8", "save the file as UTF-8"]);
}

#[test]
fn file_is_loaded_and_its_paths_start_at_its_folder() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("recon.toml");
    fs::write(&path, entity("")).expect("the file is written");
    let spec = load(&path, &env).expect("this spec is right");
    let uri = folder.path().join("a.csv").to_str().expect("a temporary folder has a plain name").to_owned();
    let DatasetKind::Csv(csv) = &spec.dataset("a").expect("it has this dataset").kind else {
        panic!("a csv dataset")
    };
    assert_eq!(csv.uri, uri);
}

#[test]
fn syntax_error_has_a_place() {
    let report = bad("[datasets.a]\nkind = csv\n");
    assert_has(&report, &["error: recon.toml:2:8: ", "2 | kind = csv\n", "  |        ^", "https://toml.io"]);
}

#[test]
fn key_given_twice_has_a_place() {
    assert_has(&bad("[datasets.a]\nkind = \"csv\"\nkind = \"csv\"\n"), &["recon.toml:3:1: duplicate key"]);
}

#[test]
fn wrong_toml_type_is_said_in_words_of_toml() {
    assert_eq!(
        bad(&entity("key = \"id\"")),
        "error: recon.toml:12:7: expected an array, found string \"id\"\n   \
         |\n12 | key = \"id\"\n   |       ^^^^\n  help: `recon schema` prints what belongs where"
    );
    assert_has(&bad(&fields("n = 5")), &["expected a string or a table, found integer `5`"]);
    assert_has(&bad("datasets = 1"), &["expected a table, found integer `1`"]);
    assert_has(&bad("[datasets]\na = 1"), &["expected a table, found integer `1`"]);
    assert_has(
        &bad(&dataset("kind = \"csv\"\nuri = \"a\"\nheader = \"no\"")),
        &["recon.toml:4:10: expected a boolean"],
    );
    assert_has(&bad(&fields("n = { json = 1 }")), &["expected a boolean"]);
    assert_has(&bad(&fields("n = { tolerance = true }")), &["expected a number or a string"]);
}

#[test]
fn unknown_key_of_an_entity() {
    assert_eq!(
        bad(&entity("").replace("source =", "sorce =")),
        "error: recon.toml:10:1: unknown key `sorce` in entity `image`\n   \
         |\n10 | sorce = \"a\"\n   | ^^^^^\n  help: did you mean `source`?"
    );
}

#[test]
fn unknown_keys_everywhere_are_reported_together() {
    let report =
        bad(&entity("[entities.image.fields]\nn = { tolerence = 1 }").replace("uri = \"a", "url_ = \"a"));
    assert_has(
        &report,
        &[
            "recon.toml:3:1: unknown key `url_` in dataset `a`",
            "error: recon.toml:13:7: unknown key `tolerence` in field `n`",
            "did you mean `tolerance`?",
        ],
    );
}

#[test]
fn unknown_key_at_the_top() {
    assert_has(&bad("[dataset.a]\n"), &["1:2: unknown key `dataset` at the top", "did you mean `datasets`?"]);
}

#[test]
fn unknown_key_of_a_reference() {
    let report = bad(&entity("[entities.image.references]\nn = { entitty = \"image\" }"));
    assert_has(&report, &["13:7: unknown key `entitty` in reference `n`", "did you mean `entity`?"]);
}

#[test]
fn key_of_another_level_is_sent_there() {
    assert_has(
        &bad(&entity("delimiter = \";\"")),
        &["unknown key `delimiter`", "`delimiter` belongs in a dataset"],
    );
}

#[test]
fn unknown_key_without_a_near_one_lists_them() {
    assert_has(&bad("zzzzzz = 1"), &["the keys here are: `datasets`, `entities`"]);
}

#[test]
fn empty_spec_says_what_is_needed() {
    assert_has(&bad(""), &["recon.toml:1:1: the spec has no datasets", "[datasets.NAME]"]);
    assert_has(&bad(DATASETS), &["the spec has no entities", "[entities.NAME]"]);
}

#[test]
fn problems_beyond_the_fifth_are_counted() {
    let lines: String = (0..7).map(|i| format!("zz{i} = 1\n")).collect();
    let report = bad(&entity(&lines));
    assert_eq!(report.matches("error: ").count(), 5);
    assert_has(&report, &["\n… and 2 more"]);
}

#[test]
fn problems_come_in_the_order_of_the_file() {
    let report =
        bad(&entity("key = [\"\"]").replace("kind = \"csv\"\nuri = \"b", "kind = \"cvs\"\nuri = \"b"));
    assert_has(&report, &[":6:8:", ":12:8:"]);
    assert!(report.find(":6:8:") < report.find(":12:8:"), "{report}");
}

#[test]
fn password_written_into_the_file_is_not_shown() {
    let report = bad(&dataset("kind = \"csv\"\nurl = \"postgres://me:pa@ss@host/db\""));
    assert_has(&report, &["url = \"***************************\"", "  | ^^^\n"]);
    assert!(!report.contains("pa@ss"));
}

#[test]
fn digest_is_of_the_text_before_interpolation() {
    let text = dataset("kind = \"csv\"\nuri = \"${EXPORTS}/a.csv\"");
    let one = good(&text);
    let other = parse(&text, Path::new("recon.toml"), &|_| Some("/elsewhere".to_owned()))
        .expect("this spec is right");
    assert_ne!(one.datasets, other.datasets);
    assert_eq!(one.digest, other.digest);
    assert_eq!(one.digest.len(), 32);
    assert_ne!(one.digest, good(&format!("{text}\n")).digest);
}

#[test]
fn byte_order_mark_and_windows_line_ends() {
    let text = format!("\u{feff}{}", entity("where = \"n > 1\"").replace('\n', "\r\n"));
    let filter = the_entity(&good(&text)).source_filter.expect("it has a filter");
    assert_eq!((filter.line, filter.column), (12, 10));
    assert_has(&bad("\u{feff}zz = 1"), &["recon.toml:1:1: ", "1 | zz = 1\n  | ^^\n"]);
    let report = bad(&text.replace("where", "were"));
    assert_has(&report, &["12 | were = \"n > 1\"\n   | ^^^^"]);
}

#[test]
fn sql_points_at_its_first_character() {
    let spec = good(&entity("where = 'n > 1'\ntarget_where = \"\"\"\nm > 1\n  and ü = nope\"\"\""));
    let entity = the_entity(&spec);
    let filter = entity.source_filter.expect("it has a filter");
    assert_eq!((filter.line, filter.column, filter.place(4)), (12, 10, (12, 14)));
    let filter = entity.target_filter.expect("it has a filter");
    assert_eq!(filter.text, "m > 1\n  and ü = nope");
    assert_eq!((filter.line, filter.column), (14, 1));
    let (line, column) = filter.place(filter.text.find("nope").expect("the text has it"));
    assert_eq!(
        spec.error_at(line, column, 4, "no column is called `nope`").report(),
        "error: recon.toml:15:11: no column is called `nope`\n   \
         |\n15 |   and ü = nope\"\"\"\n   |           ^^^^"
    );
}

#[test]
fn caret_stands_right_under_tabs() {
    assert_has(&bad("\t\tzz = 1"), &["1 | \t\tzz = 1\n  | \t\t^^\n"]);
}

#[test]
fn lines_of_datasets_entities_and_fields() {
    let spec = good(&fields("n = \"n\""));
    let lines: Vec<usize> = spec.datasets.iter().map(|dataset| dataset.line).collect();
    assert_eq!(lines, [1, 5]);
    assert_eq!(spec.entities[0].line, 9);
    assert_eq!(spec.entities[0].fields.as_ref().expect("it lists fields")[1].line, 15);
}

#[test]
fn names_stay_in_the_order_of_the_file() {
    let spec = good(&entity("[entities.image.fields]\nz = \"z\"\na = \"a\"\nm = \"m\""));
    let names: Vec<String> =
        the_entity(&spec).fields.expect("it lists fields").into_iter().map(|field| field.name).collect();
    assert_eq!(names, ["z", "a", "m"]);
    assert!(spec.entity("image").is_some() && spec.entity("other").is_none());
}
