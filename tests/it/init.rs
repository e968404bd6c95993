//! `recon init`: what it writes works as it is, says what speaks for it, and takes no liberties.

mod stores;

use serde_json::Value;

use crate::project::{Project, Ran, write_export, write_parquet};
use crate::random::Random;

/// Runs `init` and, with the spec as it was written, `check`, `stage` and `diff`; returns what `init` and `diff` said.
fn all_the_way(project: &Project, init: &[&str], environment: &[(&str, &str)]) -> (Ran, Ran) {
    let began = project.recon_with(&[&["init"], init].concat(), environment);
    assert_eq!(began.code, 0, "{}{}", began.stdout, began.stderr);
    for command in ["check", "stage", "check"] {
        let ran = project.recon_with(&[command], environment);
        assert_eq!(ran.code, 0, "{command}: {}{}\n{}", ran.stdout, ran.stderr, project.read("recon.toml"));
    }
    let ran = project.recon_with(&["diff", "--out", "out"], environment);
    (began, ran)
}

fn mismatches(project: &Project) -> Vec<String> {
    project.read("out/mismatches.csv").lines().skip(1).map(str::to_owned).collect()
}

fn count(project: &Project, entity: &str, what: &str) -> u64 {
    let count = &project.summary("out")["entities"][entity][what];
    count.as_u64().unwrap_or_else(|| panic!("{entity} {what}: {count}"))
}

#[test]
fn two_csv_files_of_other_spellings() {
    let project = Project::new();
    project.write("old.csv", "id,userId,zip,made,gone\n1,7,02,2024-05-01T10:00:00Z,x\n2,8,3,2024-05-01T11:00:00Z,x\n3,9,4,2024-05-01T12:00:00Z,x\n");
    project.write("new.csv", "id;user_id;zip;MADE\n1;7;2;2024-05-01 10:00:00+00\n2;8;3;2024-05-01 13:00:00+02\n3;;4;2024-05-01 12:00:01+00\n");
    let (began, ran) = all_the_way(&project, &["old.csv", "new.csv"], &[]);
    assert!(began.stdout.contains("key id  (in the target unique and not null"), "{}", began.stdout);
    assert!(began.stdout.contains("userId ↔ user_id"), "{}", began.stdout);
    assert!(began.stdout.contains("only in the source, not compared: gone"), "{}", began.stdout);
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    // Text is compared as text: `02` is not `2`. The instants are, however they are written.
    assert_eq!(mismatches(&project).len(), 3, "{:?}", mismatches(&project));
    let expected = ["new,1,zip,exact,02,2,", "new,3,MADE,", "new,3,user_id,exact,9,,"];
    for line in expected {
        assert!(
            mismatches(&project).iter().any(|found| found.starts_with(line)),
            "{line}: {:?}",
            mismatches(&project)
        );
    }
    let spec = project.read("recon.toml");
    assert!(spec.contains("delimiter = \";\"") && spec.contains("#   gone  untyped text"), "{spec}");
}

#[test]
fn an_export_of_one_table_is_split_by_its_keys_and_what_is_in_maps_is_found() {
    let project = Project::new();
    let mut lines = String::new();
    for n in 1..=30 {
        let price = n * 3;
        lines.push_str(&format!(
            "{{\"Item\":{{\"PK\":{{\"S\":\"IMAGE#img-{n}\"}},\"SK\":{{\"S\":\"META\"}},\"userId\":{{\"N\":\"{n}\"}},\"attributes\":{{\"M\":{{\"unitPrice\":{{\"N\":\"{price}\"}},\"note\":{{\"S\":\"x\"}}}}}}}}}}\n"
        ));
        if n <= 5 {
            lines.push_str(&format!(
                "{{\"Item\":{{\"PK\":{{\"S\":\"USER#{n}\"}},\"SK\":{{\"S\":\"META\"}},\"email\":{{\"S\":\"a{n}@b\"}}}}}}\n"
            ));
        }
    }
    write_export(&project.path("export"), 0, &lines);
    let mut rows = "id,user_id,unit_price\n".to_owned();
    (1..=30).for_each(|n| rows.push_str(&format!("img-{n},{n},{}\n", if n == 17 { 1 } else { n * 3 })));
    project.write("images.csv", rows);
    let (began, ran) = all_the_way(&project, &["export", "images.csv"], &[]);
    let spec = project.read("recon.toml");
    assert!(spec.contains("where = \"starts_with(PK, 'IMAGE#')\""), "{spec}");
    assert!(spec.contains("id = \"substr(PK, 7)\"") && spec.contains("30 of 30 different values"), "{spec}");
    assert!(spec.contains("unit_price = \"attributes.unitPrice\""), "{spec}");
    assert!(spec.contains("#   attributes.note") || spec.contains("#   \"attributes.note\""), "{spec}");
    // What is not compared is said, with what it is made of.
    let left = "items USER# of the source, 5 of those read: PK (100 %), SK (100 %), email (100 %)";
    assert!(spec.contains(left) && began.stdout.contains(left), "{spec}{}", began.stdout);
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(mismatches(&project), ["image,img-17,unit_price,exact,51,1,-50"]);
    assert_eq!(count(&project, "image", "matched"), 29);
}

#[test]
fn sqlite_against_parquet() {
    let project = Project::new();
    let db = rusqlite::Connection::open(project.path("app.bin")).unwrap();
    db.execute_batch(
        "create table orders (region text, no integer, total integer, made text, primary key (region, no)); \
         insert into orders values ('eu', 1, 10, '2024-05-01T10:00:00Z'), ('eu', 2, 20, '2024-05-01T10:00:00Z'), ('us', 1, 30, null)",
    )
    .unwrap();
    write_parquet(
        "select * from (values ('eu', 1, 10::decimal(9,2), timestamptz '2024-05-01 10:00:00+00'), ('eu', 2, 21, '2024-05-01 10:00:00+00'), \
         ('us', 1, 30, null)) as t(\"Region\", \"No\", \"Total\", \"Made\")",
        &project.path("orders.parquet"),
    );
    let (began, ran) = all_the_way(&project, &["app.bin", "orders.parquet"], &[]);
    assert!(began.stdout.contains("key Region, No  ("), "{}", began.stdout);
    assert!(began.stdout.contains("primary key of the source"), "{}", began.stdout);
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(mismatches(&project), ["orders,eu,2,Total,exact,20,21,1"]);
}

#[test]
fn text_against_a_type_is_compared_as_the_type_and_what_cannot_be_is_said() {
    let project = Project::new();
    project.write(
        "a.jsonl",
        "{\"id\":\"1\",\"n\":\"5\",\"made\":1714557600}\n{\"id\":\"2\",\"n\":\"6\",\"made\":1714557601}\n",
    );
    write_parquet(
        "select * from (values (1, 5, timestamptz '2024-05-01 10:00:00+00'), (2, 7, '2024-05-01 10:00:01+00')) as t(id, n, made)",
        &project.path("b.parquet"),
    );
    let (began, ran) = all_the_way(&project, &["a.jsonl", "b.parquet"], &[]);
    let spec = project.read("recon.toml");
    assert!(spec.contains("id = { type = \"int\" }") && spec.contains("n = { type = \"int\" }"), "{spec}");
    assert!(
        began.stdout.contains("made: not compared yet: JSON attribute of type N against timestamp"),
        "{}",
        began.stdout
    );
    assert_eq!(ran.code, 3, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(mismatches(&project), ["b,2,n,exact,6,7,1"]);
}

#[test]
fn nothing_is_ever_overwritten() {
    let project = Project::new();
    project.write("a.csv", "id\n1\n");
    for (name, text) in [("recon.toml", "mine"), ("empty.toml", "")] {
        project.write(name, text);
        let ran = project.recon(&["init", "a.csv", "a.csv", "--spec", name]);
        assert_eq!(ran.code, 2, "{}", ran.stdout);
        assert!(ran.stderr.contains(&format!("{name} is there already")), "{}", ran.stderr);
        assert_eq!(project.read(name), text);
    }
    // Nor a link that leads nowhere, through which it would write elsewhere.
    std::os::unix::fs::symlink("elsewhere.toml", project.path("link.toml")).unwrap();
    assert_eq!(project.recon(&["init", "a.csv", "a.csv", "--spec", "link.toml"]).code, 2);
    assert!(!project.path("elsewhere.toml").exists());
}

#[test]
fn what_fails_leaves_nothing_behind() {
    let project = Project::new();
    project.write("a.csv", "id\n1\n");
    project.write("b.dat", "id\n1\n");
    project.write("mixed/a.csv", "id\n1\n");
    project.write("mixed/b.jsonl", "{\"id\":1}\n");
    std::fs::create_dir(project.path("tmp")).unwrap();
    let tmp = project.path("tmp").display().to_string();
    let database = "postgres://me:s3cret@127.0.0.1:1/db";
    for (target, code, message) in [
        ("gone.csv", 4, "gone.csv is not there"),
        (database, 4, "postgres://me@127.0.0.1:1/db"),
        ("mysql://me:s3cret@127.0.0.1:1/db", 4, "cannot connect"),
        ("gone.db", 4, "gone.db is not there"),
        ("sqlite:gone.db", 4, "gone.db is not there"),
        ("${NOT_SET_ANYWHERE}", 2, "`NOT_SET_ANYWHERE` is not set"),
        ("b.dat", 2, "csv:b.dat"),
        ("mixed", 2, "several kinds: csv, jsonl"),
    ] {
        let ran = project.recon_with(&["init", "a.csv", target], &[("TMPDIR", &tmp)]);
        assert_eq!(ran.code, code, "{target}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains(message), "{target}: {}", ran.stderr);
        assert!(!ran.stderr.contains("s3cret"), "{}", ran.stderr);
        assert!(!project.path("recon.toml").exists() && !project.path("home").exists(), "{target}");
        assert_eq!(std::fs::read_dir(&tmp).unwrap().count(), 0, "{target}");
    }
    let ran = project.recon(&["init", "a.csv", "csv:b.dat", "--target-table", "t"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    let ran = project.recon_with(&["init", "a.csv", "csv:b.dat"], &[("TMPDIR", &tmp)]);
    assert_eq!((ran.code, std::fs::read_dir(&tmp).unwrap().count()), (0, 0), "{}", ran.stderr);
}

#[test]
fn what_cannot_be_found_is_left_to_fill_in_and_the_spec_is_one_all_the_same() {
    for (a, b, said) in [
        ("v\nx\nx\nx\n", "v\nx\nx\nx\n", "no key found"),
        ("a\n1\n2\n", "b\n1\n2\n", "0 fields mapped"),
        ("a,A\n1,2\n", "a_,_A\n1,2\n", "0 fields mapped"),
    ] {
        let project = Project::new();
        project.write("a.csv", a);
        project.write("b.csv", b);
        let ran = project.recon(&["init", "a.csv", "b.csv"]);
        assert_eq!(ran.code, 3, "{}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains(said) && ran.stdout.contains("next: fill in"), "{}", ran.stdout);
        assert!(project.read("recon.toml").contains("TO FILL IN"), "{}", project.read("recon.toml"));
        assert_eq!(project.recon(&["check"]).code, 0);
        assert_eq!(project.recon(&["stage"]).code, 0);
        assert_eq!(project.recon(&["check"]).code, 0);
    }
}

#[test]
fn empty_sides_are_no_evidence() {
    let project = Project::new();
    project.write("a.csv", "id,n\n");
    project.write("b.csv", "id,n\n1,x\n2,x\n");
    let (began, ran) = all_the_way(&project, &["a.csv", "b.csv"], &[]);
    assert!(began.stdout.contains("no rows in the source to tell"), "{}", began.stdout);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let project = Project::new();
    project.write("a.csv", "id,n\n");
    let (began, ran) = all_the_way(&project, &["a.csv", "a.csv"], &[]);
    assert!(began.stdout.contains("key id  (not sure: "), "{}", began.stdout);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    project.write("nothing.jsonl", "");
    let ran = project.recon(&["init", "nothing.jsonl", "a.csv", "--spec", "other.toml"]);
    assert_eq!(ran.code, 3, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(project.recon(&["check", "--spec", "other.toml"]).code, 0);
}

#[test]
fn no_more_rows_are_read_than_it_says() {
    let project = Project::new();
    let rows = |last: &str| {
        let mut text = "id,n\n".to_owned();
        (0..400_000).for_each(|n| text.push_str(&format!("{n},{}\n", n % 7)));
        text + last
    };
    // Behind the rows that are read: a repetition, and a row that does not parse.
    project.write("a.csv", rows("5,5\n6,6,6\n"));
    project.write("b.csv", rows(""));
    let ran = project.recon(&["init", "a.csv", "b.csv", "--format", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let said: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(said["datasets"]["source"]["rows_read"], 100_000);
    assert_eq!(said["datasets"]["source"]["all_rows"], false);
    assert_eq!(said["datasets"]["source"]["failures"], 0);
    assert_eq!(said["entities"]["b"]["key"]["fields"][0], "id");
    let why = said["entities"]["b"]["key"]["why"].as_str().unwrap();
    assert!(why.contains("in the source unique and not null in the first 100"), "{why}");
    assert!(project.read("recon.toml").contains("what the others hold is not known"));
}

#[test]
fn a_spec_elsewhere_names_its_files_from_there() {
    let project = Project::new();
    project.write("data/${x}.csv", "id\n1\n");
    project.write("project/b.csv", "id\n2\n");
    let spec = ["--spec", "project/recon.toml"];
    let ran = project.recon(&[&["init", "$${x}.csv", "project/b.csv"][..], &spec].concat());
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    let ran = project.recon(&[&["init", "data/$${x}.csv", "project/b.csv"][..], &spec].concat());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let text = project.read("project/recon.toml");
    assert!(text.contains("uri = \"b.csv\"") && text.contains("/data/$${x}.csv\""), "{text}");
    assert_eq!(project.recon(&[&["stage"][..], &spec].concat()).code, 0);
    assert_eq!(project.recon(&[&["diff"][..], &spec].concat()).code, 1);
}

/// Pieces of names that mean something to TOML, to SQL or to a terminal.
const PIECES: [&str; 20] = [
    "\"", "'", "\\", ".", " ", "#", "=", "[", "]", "{}", "select", "é", "日本", "\n", "\t", "\u{7f}",
    "\u{1b}", ";--", "$${a}", "~2",
];

#[test]
fn whatever_the_columns_are_called_the_spec_is_one_and_compares_them() {
    let mut random = Random::seeded();
    for _ in 0..12 {
        let mut names: Vec<String> = vec!["id".to_owned()];
        while names.len() < 8 {
            let pieces = 1 + random.below(4);
            let name: String = (0..pieces).map(|_| *random.pick(&PIECES)).collect();
            if !names.iter().any(|known| known.to_lowercase() == name.to_lowercase()) {
                names.push(name);
            }
        }
        let project = Project::new();
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let header: Vec<String> = names.iter().map(|name| quoted(name)).collect();
        let file = |last: &str| format!("{}\n1,a,a,a,a,a,a,a\n2,a,a,a,a,a,a,{last}\n", header.join(","));
        project.write("a.csv", file("a"));
        project.write("b.csv", file("b"));
        let (began, ran) = all_the_way(&project, &["a.csv", "b.csv"], &[]);
        assert!(!began.stdout.contains('\u{1b}') && !project.read("recon.toml").contains('\u{1b}'));
        assert_eq!(ran.code, 1, "{random} {names:?}: {}{}", ran.stdout, ran.stderr);
        let fields = project.summary("out")["entities"]["b"]["fields"].as_object().unwrap().clone();
        assert_eq!(fields.len(), names.len(), "{random} {names:?}");
        assert!(fields.values().all(|field| field["status"] == "compared"), "{random} {names:?}");
        assert_eq!(fields[&names[7]]["unequal"], 1, "{random} {names:?}");
    }
}
