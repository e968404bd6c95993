//! What a user reads on the command line, right and wrong, as golden files. After a change on purpose:
//! `INSTA_UPDATE=always ./test cli::`, then read the differences in git.

use std::fs;

use crate::shell::Shell;

const SPEC: &str = r#"[datasets.a]
kind = "csv"
uri = "a.csv"

[datasets.b]
kind = "csv"
uri = "b.csv"

[entities.image]
source = "a"
target = "b"
key = ["id"]
"#;

/// One record of each: matched, mismatched, missing, extra, with NULL and with the empty string.
fn project() -> Shell {
    let shell = Shell::new();
    shell.write("recon.toml", SPEC);
    shell.write("a.csv", "id,n\n1,x\n2,y\n3,\n5,\n-6,a\n");
    shell.write("b.csv", "id,n\n1,x\n2,z\n4,q\n5,\"\"\n-6,b\n");
    shell
}

#[test]
fn help() {
    let shell = Shell::new();
    insta::assert_snapshot!("help", shell.transcript(&[""]));
    for command in
        ["demo", "init", "check", "stage", "diff", "show", "status", "runs", "report", "schema", "reset"]
    {
        insta::assert_snapshot!(format!("help_{command}"), shell.transcript(&[&format!("{command} --help")]));
    }
}

#[test]
fn shells_and_man_know_every_command() {
    let shell = Shell::new();
    for name in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = shell.recon(&format!("completions {name}"));
        assert!(said.code == 0 && said.stdout.contains("spot-check"), "{name}: {}", said.stderr);
        assert!(said.stdout.contains("on-conflict"), "{name}: options of a command within a command");
    }
    let whole = shell.recon("completions bash").stdout;
    let checked = std::process::Command::new("bash").args(["-n", "-c", &whole]).status().expect("bash");
    assert!(checked.success(), "the script is one that bash reads");
    let man = shell.recon("man");
    assert!(
        man.code == 0 && man.stdout.contains(".TH recon 1") && man.stdout.contains("recon\\-diff(1)"),
        "{}",
        man.stdout
    );
    assert_eq!(shell.recon("man --out pages").code, 0);
    let page = |name: &str| fs::read_to_string(shell.path().join("pages").join(name)).expect("a page");
    assert!(page("recon-rollback-apply.1").contains("\\-\\-on\\-conflict"));
    assert!(page("recon-diff.1").contains("Compare the staged sides"));
}

#[test]
fn the_way_through() {
    let commands = [
        "check",
        "stage",
        "check",
        "stage",
        "diff",
        "show 2",
        "show 5",
        "show -6",
        "show 1",
        "status",
        "runs -n 2",
        "reset",
        "reset --yes",
        "status",
    ];
    insta::assert_snapshot!(project().transcript(&commands));
}

#[test]
fn json_everywhere() {
    let shell = project();
    let commands = [
        "status",
        "runs",
        "check",
        "stage",
        "check",
        "diff",
        "show 2",
        "status",
        "runs -n 1",
        "schema",
        "reset --yes",
    ];
    for command in commands {
        let said = shell.recon(&format!("{command} --format json"));
        assert!(said.code <= 1, "{command}: {}", said.stderr);
        serde_json::from_str::<serde_json::Value>(&said.stdout)
            .unwrap_or_else(|e| panic!("{command}: {e}: {}", said.stdout));
    }
}

#[test]
fn json_of_a_small_diff() {
    let shell = project();
    let commands = ["stage", "diff", "show 2", "status"].map(|command| format!("{command} --format json"));
    insta::assert_snapshot!(shell.transcript(&commands.each_ref().map(String::as_str)));
}

#[test]
fn wrong_words_on_the_command_line() {
    let commands = [
        "frobnicate",
        "stge",
        "rest",
        "migrate",
        "replay --help",
        "report last",
        "report --as pdf",
        "stage both",
        "stage --max-errors many",
        "stage --memory nonsense",
        "stage --memory 1MB",
        "stage --memory -5",
        "stage --threads 0",
        "stage --threads x",
        "check --format yaml",
        "runs -n 0",
        "show",
        "reset -e image",
        "diff -e nope",
    ];
    insta::assert_snapshot!(project().transcript(&commands));
}

#[test]
fn nothing_there_yet() {
    let commands = ["check", "stage", "diff", "show 1", "status", "runs", "reset"];
    let shell = Shell::new();
    insta::assert_snapshot!("no_spec", shell.transcript(&commands));
    assert_eq!(fs::read_dir(shell.path()).expect("a folder").count(), 0, "nothing was made");
    let shell = project();
    insta::assert_snapshot!("not_staged", shell.transcript(&["diff", "show 1", "status"]));
    assert!(!shell.path().join(".recon").exists(), "a command that cannot begin makes no home");
}

#[test]
fn wrong_places() {
    let shell = project();
    fs::create_dir(shell.path().join("folder")).expect("a folder");
    let mut text = shell.transcript(&[
        "stage --spec folder",
        "stage --spec nowhere.toml",
        "stage --home a.csv",
        "status --home nowhere",
        "stage",
        "diff --out a.csv",
        "diff --redact zz",
        "show 99",
        "show 1 2",
    ]);
    fs::remove_file(shell.path().join("b.csv")).expect("it is there");
    text.push_str(&shell.transcript(&["check", "stage"]));
    fs::create_dir(shell.path().join("b.csv")).expect("a folder");
    text.push_str(&shell.transcript(&["check", "stage target"]));
    insta::assert_snapshot!(text);
}

#[test]
fn a_spec_that_changes() {
    let shell = project();
    let mut text = shell.transcript(&["stage"]);
    shell.write("recon.toml", &SPEC.replace("b.csv", "c.csv"));
    shell.write("c.csv", "id,m\n1,x\n");
    text.push_str(&shell.transcript(&["diff", "stage target", "diff"]));
    shell.write("recon.toml", &SPEC.replace("[\"id\"]", "[\"idd\"]"));
    text.push_str(&shell.transcript(&["stage", "diff"]));
    shell.write("recon.toml", &SPEC.replace("source =", "sorce ="));
    text.push_str(&shell.transcript(&["check", "stage", "diff", "show 1"]));
    insta::assert_snapshot!(text);
}

#[test]
fn a_project_is_the_same_from_wherever_recon_is_called() {
    let shell = Shell::new();
    shell.write("project/recon.toml", SPEC);
    shell.write("project/a.csv", "id,n\n1,x\n");
    shell.write("project/b.csv", "id,n\n2,x\n");
    let inside = shell.inside("project");
    let mut text = shell.transcript(&["stage --spec project/recon.toml"]);
    text.push_str(&inside.transcript(&["diff", "stage"]));
    let absolute = format!("diff --spec {}/project/recon.toml", shell.path().display());
    text.push_str(&shell.transcript(&[&absolute]));
    insta::assert_snapshot!(text);
}

#[test]
fn a_home_elsewhere_is_the_same_however_the_spec_is_named() {
    let shell = Shell::new();
    shell.write("recon.toml", SPEC);
    shell.write("a.csv", "id,n\n1,x\n");
    shell.write("b.csv", "id,n\n1,x\n");
    assert_eq!(shell.recon("stage --home deep/below/home").code, 0);
    for spec in [shell.path().join("recon.toml").display().to_string(), "./deep/../recon.toml".to_owned()] {
        let said = shell.recon(&format!("diff --home deep/below/home --spec {spec}"));
        assert_eq!(said.code, 0, "{spec}: {}", said.stderr);
    }
}

#[test]
fn reports_never_take_the_place_of_other_files() {
    let shell = project();
    assert_eq!(shell.recon("stage").code, 0);
    assert_eq!(shell.recon("diff --out new").code, 1);
    assert_eq!(shell.recon("diff --out new").code, 1, "what recon wrote may be written anew");
    for name in ["missing.csv", "summary.json", "extra.tmp"] {
        shell.write(&format!("mine/{name}"), "mine");
        let said = shell.recon("diff --out mine");
        assert!(said.code == 2 && said.stderr.contains(&format!("mine/{name}")), "{}", said.stderr);
        assert_eq!(shell.read(&format!("mine/{name}")), b"mine");
        fs::remove_file(shell.path().join("mine").join(name)).expect("it is there");
    }
    // Not even where recon wrote before: an input stays what it is.
    shell.write("recon.toml", &SPEC.replace("\"a.csv\"", "\"new/missing.csv\""));
    let said = shell.recon("diff --out new");
    assert!(said.code == 2 && said.stderr.contains("an input of dataset `a`"), "{}", said.stderr);
}

#[test]
fn check_binds_the_sql_of_a_staged_spec() {
    let shell = project();
    shell.write("recon.toml", &format!("{SPEC}where = \"nn = 'x'\"\n"));
    assert_eq!(shell.recon("check").code, 0, "before it is staged nobody knows the columns");
    assert_eq!(shell.recon("stage").code, 0);
    let mut text = shell.transcript(&["check"]);
    let fields = "[entities.image.fields]\nid = \"id\"\n";
    for field in [
        "n = \"lowr(n)\"",
        "n = { to = \"m\" }",
        "n = { sql = \"source < trget\" }",
        "n = { sql = \"source = target\" }",
    ] {
        shell.write("recon.toml", &format!("{SPEC}{fields}{field}\n"));
        text.push_str(&shell.transcript(&["check"]));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn quiet_is_results_alone_and_verbose_is_more() {
    let shell = project();
    insta::assert_snapshot!(shell.transcript(&["stage --quiet", "diff --quiet", "status --quiet"]));
    let said = shell.recon("diff -v");
    for word in ["hashed", "joined both sides", "judged what differs", "seconds"] {
        assert!(said.stderr.contains(word), "{word}: {}", said.stderr);
    }
}

#[test]
fn names_cannot_command_the_terminal() {
    let shell = project();
    shell.write("a.csv", "id,n\u{1b}[2J\n1,x\n");
    shell.write("b.csv", "id,n\u{1b}[2J\n1,y\n");
    for command in ["stage", "check", "diff", "show 1"] {
        let said = shell.recon(command);
        assert!(!format!("{}{}", said.stdout, said.stderr).contains('\u{1b}'), "{command}: {}", said.stdout);
    }
}

#[test]
fn long_values_are_cut_where_they_differ() {
    let shell = project();
    let long = "a".repeat(500);
    shell.write("a.csv", &format!("id,n\n1,{long}SOURCE{long}\n"));
    shell.write("b.csv", &format!("id,n\n1,{long}TARGET{long}\n"));
    assert_eq!(shell.recon("stage").code, 0);
    let said = shell.recon("diff").stdout;
    assert!(
        said.contains("aSOURCEa") && said.contains("aTARGETa") && said.contains("(480 before) …"),
        "{said}"
    );
}

#[test]
fn a_redacted_key_is_not_to_be_shown() {
    let shell = project();
    assert_eq!(shell.recon("stage").code, 0);
    let said = shell.recon("diff --redact id").stdout;
    assert!(!said.contains("show -e") && said.contains("next: see mismatches.csv there"), "{said}");
}

#[test]
fn what_is_wrong_with_a_spec_is_said_with_the_way_out() {
    let shell = project();
    let mut text = String::new();
    let specs = [
        SPEC.replace("[\"id\"]", "[]"),
        SPEC.replace("\"a.csv\"", "\"[\""),
        SPEC.replace("[\"id\"]", "[\"ID\"]"),
        "[entities.x]\nsource = \"a\"\ntarget = \"b\"\n".to_owned(),
    ];
    for spec in specs {
        shell.write("recon.toml", SPEC);
        shell.recon("stage");
        shell.write("recon.toml", &spec);
        text.push_str(&shell.transcript(&["check", "diff"]));
    }
    shell.write("b.csv", "ID,n\n1,x\n");
    shell.write("recon.toml", SPEC);
    text.push_str(&shell.transcript(&["stage", "diff"]));
    shell.write(
        "recon.toml",
        &format!(
            "{}[entities.image.fields]\nn = {{ type = \"int\", tolerance = 1 }}\n",
            SPEC.replace("key = [\"id\"]\n", "")
        ),
    );
    text.push_str(&shell.transcript(&["diff"]));
    insta::assert_snapshot!(text);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    use std::process::{Command, Stdio};
    let shell = project();
    assert_eq!(shell.recon("stage").code, 0);
    let mut child = Command::new(env!("CARGO_BIN_EXE_recon"))
        .arg("diff")
        .current_dir(shell.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("recon starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("recon ends");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(1), &b""[..]));
}

#[test]
fn a_redacted_key_is_no_next_step() {
    let shell = project();
    shell.recon("stage");
    let said = shell.recon("diff --redact id");
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(said.stdout.contains("image redacted:"), "{}", said.stdout);
    assert!(!said.stdout.contains(" show "), "{}", said.stdout);
    assert!(said.stdout.contains("next: see mismatches.csv there"), "{}", said.stdout);
    let said = shell.recon("diff --redact n");
    assert!(said.stdout.contains("next: recon show -e image "), "{}", said.stdout);
}

#[test]
fn status_and_runs_know_the_entities_of_the_spec() {
    let shell = project();
    for command in ["stage", "diff"] {
        shell.recon(command);
    }
    for command in ["status", "runs", "diff"] {
        let said = shell.recon(&format!("{command} -e nope"));
        assert!(said.code == 2 && said.stderr.contains("has no entity `nope`"), "{command}: {}", said.stderr);
    }
    assert_eq!(shell.recon("status -e image").code, 0);
}

#[test]
fn reports_do_not_go_where_a_dataset_would_read_them() {
    let shell = Shell::new();
    for (uri, out, code) in [
        ("data", "data", 2),
        ("data", "data/reports", 2),
        ("data", "data/_reports", 1),
        ("data", "data2", 1),
        ("day=*/", "day=9", 2),
        ("day=*", "day=8/reports", 2),
        ("day=*/a.csv", "day=1", 1),
        (".", "elsewhere", 2),
        ("data/a.csv", "data", 1),
    ] {
        shell.write("data/a.csv", "id,n\n1,x\n");
        shell.write("day=1/a.csv", "id,n\n1,x\n");
        shell.write("c/b.csv", "id,n\n1,y\n");
        shell.write(
            "recon.toml",
            &SPEC.replace("\"a.csv\"", &format!("\"{uri}\"")).replace("b.csv", "c/b.csv"),
        );
        shell.recon("stage");
        let said = shell.recon(&format!("diff --out {out}"));
        assert_eq!(said.code == 2, code == 2, "{uri} {out}: {}{}", said.stdout, said.stderr);
        assert_eq!(
            code == 2,
            said.stderr.contains("as a file of dataset `a`"),
            "{uri} {out}: {}",
            said.stderr
        );
    }
}
