//! `report.html` and `recon report`: every form of what a run has, and the summary that people sign.

use std::fs;

use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::Value;

use crate::project::Project;
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

const FIELDS: &str = "[entities.image.fields]\nid = { from = \"id\", type = \"int\" }\nn = \"n\"\nsize = { from = \"size\", type = \"int\", tolerance = 1 }\nnote = { ignore = true }\n";

/// Values that a page, a build server, a pull request or a spreadsheet could take for something else.
const HOSTILE: [&str; 7] = [
    "<script>alert(1)</script>",
    "</script><b>",
    "=cmd()",
    "a\u{2028}b",
    "]]>",
    "`|*_@x",
    "\u{202e}\u{1}&amp;",
];

/// Mismatches, a missing, an extra and a duplicate record, one that does not cast, and a field that is ignored.
fn mixed() -> Shell {
    let shell = Shell::new();
    shell.write("recon.toml", &format!("{SPEC}{FIELDS}"));
    shell
        .write("a.csv", "id,n,size,note\n1,x,1,a\n2,y,10,a\n3,z,7,a\n5,,1,a\n6,u,1,a\n6,u,1,a\n7,v,oops,a\n");
    shell.write("b.csv", "id,n,size,note\n1,x,2,b\n2,Y,20,b\n4,w,1,b\n5,\"\",1,b\n6,u,1,b\n7,v,1,b\n");
    shell
}

/// The same, staged and compared.
fn compared() -> Shell {
    let shell = mixed();
    shell.recon("stage --no-progress");
    assert_eq!(shell.recon("diff --no-progress").code, 3);
    shell
}

/// The folder of the newest run.
fn newest(shell: &Shell) -> String {
    let said = shell.recon("runs -n 1 --format json");
    let runs: Value = serde_json::from_str(&said.stdout).expect("JSON");
    runs[0]["run_id"].as_str().map(|id| format!(".recon/runs/{id}")).expect("a run")
}

/// A block of JSON in a page.
fn block(page: &str, id: &str) -> Value {
    let start = page.find(&format!("id=\"{id}\">")).expect("a block") + id.len() + 6;
    let end = start + page[start..].find("</script>").expect("its end");
    serde_json::from_str(&page[start..end]).unwrap_or_else(|e| panic!("{id}: {e}"))
}

/// The names, messages and texts in XML, which must be well-formed: every element closed by its own name.
fn read_xml(text: &str) -> Vec<String> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_end_names = true;
    let (mut open, mut found) = (0, Vec::new());
    loop {
        match reader.read_event().unwrap_or_else(|e| panic!("{e}: {text}")) {
            Event::Start(e) | Event::Empty(e) if e.name().as_ref().is_empty() => {
                panic!("an element without a name")
            }
            Event::Start(e) => {
                open += 1;
                found.extend(attributes(&e));
            }
            Event::Empty(e) => found.extend(attributes(&e)),
            Event::End(_) => open -= 1,
            Event::Eof => break,
            _ => {}
        }
    }
    assert_eq!(open, 0, "{text}");
    found
}

fn attributes(element: &quick_xml::events::BytesStart<'_>) -> Vec<String> {
    let all = element.attributes().map(|a| a.expect("an attribute"));
    all.map(|a| {
        a.normalized_value(quick_xml::XmlVersion::default()).expect("an attribute's value").into_owned()
    })
    .collect()
}

#[test]
fn markdown_and_junit_say_what_was_found() {
    let shell = compared();
    insta::assert_snapshot!(shell.transcript(&["report --as markdown", "report --run last --as junit"]));
    read_xml(&shell.recon("report --as junit").stdout);
}

#[test]
fn the_page_has_what_the_files_have_and_nothing_from_elsewhere() {
    let shell = compared();
    let folder = newest(&shell);
    let page = String::from_utf8(shell.read(&format!("{folder}/report.html"))).expect("UTF-8");
    assert!(page.contains("content=\"default-src 'none'; script-src 'sha256-"), "a policy");
    for word in ["http:", "https:", "src=", "@import", "url(", "<link", "unsafe-inline", "innerHTML"] {
        let places = page.matches(word).count()
            - page.matches("http://www.w3.org/2000/svg").count() * usize::from(word == "http:");
        assert_eq!(places, 0, "{word}");
    }
    let facts = block(&page, "facts");
    assert_eq!(facts["verdict"]["word"], "Incomplete");
    let kinds: Vec<&str> =
        facts["sections"].as_array().expect("sections").iter().filter_map(|s| s["kind"].as_str()).collect();
    assert_eq!(kinds[0], "notice", "what was not compared comes first: {kinds:?}");
    let records = block(&page, "records");
    let lines = |name: &str| {
        String::from_utf8(shell.read(&format!("{folder}/{name}"))).expect("UTF-8").lines().count() - 1
    };
    let all: usize = ["mismatches.csv", "missing.csv", "extra.csv", "duplicates.csv"].map(lines).iter().sum();
    assert_eq!(records.as_array().expect("records").len(), all);
    let null = records.as_array().expect("records").iter().find(|row| row[2][0] == "5").expect("the record");
    assert_eq!(
        (&null[5], &null[6]),
        (&Value::Null, &Value::from("")),
        "NULL and the empty string are two things"
    );
    // Made again, it is the same but for how recon was called.
    let before = shell.read(&format!("{folder}/report.html"));
    let said = shell.recon("report");
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stdout.trim().ends_with(&format!("{folder}/report.html")), "{}", said.stdout);
    assert!(
        before == shell.read(&format!("{folder}/report.html")),
        "the page is another one when it is made again"
    );
}

#[test]
fn what_is_redacted_is_in_no_form() {
    let shell = mixed();
    shell.write("a.csv", "id,n,size,note\n1,s3cret,1,a\n2,s3cret,1,a\n");
    shell.write("b.csv", "id,n,size,note\n1,other3,1,a\n2,other3,1,a\n");
    shell.recon("stage --no-progress");
    assert_eq!(shell.recon("diff --no-progress --redact n").code, 1);
    let page = String::from_utf8(shell.read(&format!("{}/report.html", newest(&shell)))).expect("UTF-8");
    let forms =
        ["markdown", "junit", "csv", "json"].map(|form| shell.recon(&format!("report --as {form}")).stdout);
    for text in forms.iter().chain([&page]) {
        assert!(!text.contains("s3cret") && !text.contains("other3"), "{text}");
    }
    assert!(page.contains("redacted:"));
}

#[test]
fn a_password_in_the_spec_is_not_in_the_page() {
    let shell = mixed();
    let spec = format!(
        "# postgres://me:s3cret@host/x\n{SPEC}{FIELDS}[datasets.c]\nkind = \"postgres\"\nurl = \"${{SOME_URL}}\"\ntable = \"t\"\n"
    );
    shell.write("recon.toml", &spec);
    let environment = [("SOME_URL", "postgres://me:0pen@localhost/x")];
    let project = Project::new();
    for name in ["recon.toml", "a.csv", "b.csv"] {
        project.write(name, shell.read(name));
    }
    project.recon_with(&["stage"], &environment);
    assert_eq!(project.recon_with(&["diff", "--out", "out"], &environment).code, 3);
    let page = project.read("out/report.html");
    assert!(page.contains("${SOME_URL}") && !page.contains("s3cret") && !page.contains("0pen"), "{page}");
}

#[test]
fn hostile_values_are_text_in_every_form() {
    let project = Project::new();
    project.write("recon.toml", SPEC.replace("image", "\"<i>|`\"").as_bytes());
    let row = |i: usize, text: &str| format!("{i},\"{text}\"\n");
    let all = |pad: &str| {
        HOSTILE.iter().enumerate().map(|(i, text)| row(i, &format!("{text}{pad}"))).collect::<String>()
    };
    project.write("a.csv", format!("id,<b>|`\n{}", all("")));
    project.write("b.csv", format!("id,<b>|`\n{}", all("x")));
    assert_eq!(project.recon(&["stage"]).code, 0);
    let ran = project.recon(&["diff", "--out", "out"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let page = project.read("out/report.html");
    assert_eq!(page.matches("</script>").count(), 3, "no value ends a block");
    assert_eq!(page.matches("<script").count(), 3, "no value begins one");
    let records = block(&page, "records");
    let found: Vec<&str> =
        records.as_array().expect("records").iter().filter_map(|row| row[5].as_str()).collect();
    assert_eq!(found, HOSTILE);
    let xml = project.recon(&["report", "--as", "junit"]).stdout;
    assert!(read_xml(&xml).contains(&"<b>|`".to_owned()), "{xml}");
    let markdown = project.recon(&["report", "--as", "markdown"]).stdout;
    assert!(
        !markdown.contains("<i>|") && !markdown.contains('\u{202e}') && markdown.contains("`` <b>\\|` ``"),
        "{markdown}"
    );
}

#[test]
fn parquet_has_the_rows_of_the_csv() {
    let shell = compared();
    let said = shell.recon("report --as parquet --out p");
    assert_eq!((said.code, said.stdout.trim()), (0, "p/mismatches.parquet"), "{}", said.stderr);
    let engine = duckdb::Connection::open_in_memory().expect("an engine");
    let sql = format!(
        "select id, field, source_value, target_value from '{}' order by all",
        shell.path().join("p/mismatches.parquet").display()
    );
    let mut statement = engine.prepare(&sql).expect("Parquet");
    let cell = |row: &duckdb::Row<'_>, i: usize| row.get::<_, Option<String>>(i);
    let rows = statement
        .query_map([], |row| Ok([cell(row, 0)?, cell(row, 1)?, cell(row, 2)?, cell(row, 3)?]))
        .expect("rows");
    let rows: Vec<[Option<String>; 4]> = rows.map(|row| row.expect("a row")).collect();
    let row = |cells: [Option<&str>; 4]| cells.map(|cell| cell.map(str::to_owned));
    assert_eq!(
        rows,
        [
            row([Some("2"), Some("n"), Some("y"), Some("Y")]),
            row([Some("2"), Some("size"), Some("10"), Some("20")]),
            row([Some("5"), Some("n"), None, Some("")]),
        ]
    );
}

#[test]
fn csv_and_json_are_what_the_run_has_byte_for_byte() {
    let shell = compared();
    let folder = newest(&shell);
    let has = |name: &str| String::from_utf8(shell.read(&format!("{folder}/{name}"))).expect("UTF-8");
    assert_eq!(shell.recon("report --as csv").stdout, has("mismatches.csv"));
    assert_eq!(shell.recon("report --as json").stdout, has("summary.json"));
    assert_eq!(shell.recon("report --as csv --out copied").code, 0);
    for name in ["mismatches.csv", "missing.csv", "extra.csv", "duplicates.csv", "failures.csv", "proven.csv"]
    {
        assert_eq!(shell.read(&format!("copied/{name}")), shell.read(&format!("{folder}/{name}")), "{name}");
    }
    // Copied onto themselves they stay what they are.
    let before = has("mismatches.csv");
    assert_eq!(shell.recon(&format!("report --as csv --out {folder}")).code, 0);
    assert_eq!(has("mismatches.csv"), before);
}

#[test]
fn of_more_records_than_a_page_holds_it_says_how_many_are_left_out() {
    let project = Project::new();
    project.write("recon.toml", SPEC);
    let rows = |mark: &str| (0..100_250).map(|i| format!("{i},{mark}{i}\n")).collect::<String>();
    project.write("a.csv", format!("id,n\n{}", rows("a")));
    project.write("b.csv", format!("id,n\n{}", rows("b")));
    project.recon(&["stage"]);
    assert_eq!(project.recon(&["diff", "--out", "out"]).code, 1);
    let page = project.read("out/report.html");
    assert_eq!(block(&page, "records").as_array().expect("records").len(), 100_000);
    let facts = block(&page, "facts");
    let notes = facts["sections"]
        .as_array()
        .expect("sections")
        .iter()
        .find(|s| s["kind"] == "records")
        .expect("the records")["notes"]
        .to_string();
    assert!(notes.contains("250 more are left out") && notes.contains("mismatches.csv"), "{notes}");
    let ranges = facts["sections"]
        .as_array()
        .expect("sections")
        .iter()
        .find(|s| s["kind"] == "bars")
        .expect("ranges of keys");
    let sum: u64 = ranges["bars"].as_array().expect("bars").iter().filter_map(|bar| bar[1].as_u64()).sum();
    assert_eq!((ranges["bars"].as_array().expect("bars").len(), sum), (20, 100_250), "{ranges}");
}

#[test]
fn a_value_of_any_length_is_cut_in_the_page_alone() {
    let project = Project::new();
    project.write("recon.toml", SPEC);
    let long = "é\"\n".repeat(1_000_000);
    let quoted = long.replace('"', "\"\"");
    project.write("a.csv", format!("id,n\n1,\"{quoted}\"\n"));
    project.write("b.csv", format!("id,n\n1,\"{quoted}.\"\n"));
    project.recon(&["stage"]);
    assert_eq!(project.recon(&["diff", "--out", "out"]).code, 1);
    let page = project.read("out/report.html");
    assert!(page.len() < 200_000, "{}", page.len());
    assert!(page.contains("2 long values are cut"));
}

#[test]
fn runs_that_are_not_there_or_have_lost_their_files_are_told_apart() {
    let shell = Shell::new();
    insta::assert_snapshot!("no_runs", shell.transcript(&["report", "report --sign-off"]));
    let shell = compared();
    let (folder, path) = (newest(&shell), shell.path());
    let wrong = [
        "report 20200101-000000000-diff-0000",
        "report last --run last",
        "report --sign-off --as junit",
        "report --as parquet --out s3://x/y",
    ];
    insta::assert_snapshot!("wrong_words_of_report", shell.transcript(&wrong));
    fs::remove_dir_all(path.join(folder)).expect("the reports can be removed");
    insta::assert_snapshot!("files_that_are_gone", shell.transcript(&["report", "report --sign-off"]));
}

#[test]
fn reports_of_another_run_in_the_same_folder_are_not_taken_for_ones_own() {
    let shell = mixed();
    shell.recon("stage --no-progress");
    shell.recon("diff --no-progress --out out");
    let said = shell.recon("runs -n 1 --format json");
    let first = serde_json::from_str::<Value>(&said.stdout).expect("JSON")[0]["run_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    shell.recon("diff --no-progress --out out");
    assert_eq!(shell.recon(&format!("report {first} --as json")).code, 4);
    assert_eq!(shell.recon("report --as json").code, 0);
}

/// CSV into SQLite.
fn migrated() -> Shell {
    let shell = Shell::new();
    let db = rusqlite::Connection::open(shell.path().join("b.db")).expect("a database");
    db.execute_batch("create table t (id integer primary key, n text not null)").expect("a table");
    shell.write("a.csv", "id,n\n1,x\n2,y\n3,\n4,z\n");
    shell.write("recon.toml", "[datasets.a]\nkind = \"csv\"\nuri = \"a.csv\"\n[datasets.b]\nkind = \"sqlite\"\npath = \"b.db\"\ntable = \"t\"\n[entities.image]\nsource = \"a\"\ntarget = \"b\"\nkey = [\"id\"]\n[entities.image.fields]\nid = { from = \"id\", type = \"int\" }\nn = \"n\"\n");
    shell.recon("stage --no-progress");
    assert_eq!(shell.recon("migrate --no-progress --batch-size 1").code, 1, "one record is refused");
    shell
}

#[test]
fn a_run_that_is_no_diff_has_a_page_too() {
    let shell = migrated();
    let text = shell.recon("report --as markdown").stdout;
    for word in [
        "recon migrate",
        "Not all went through",
        "| 4 | 3 | 0 | 0 | 1 | 0 | 0 |",
        "Failures by class and code",
        "At most",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert_eq!(shell.recon("report").code, 0);
    let page = String::from_utf8(shell.read(&format!("{}/report.html", newest(&shell)))).expect("UTF-8");
    assert_eq!(block(&page, "records"), Value::Array(Vec::new()));
    let xml = read_xml(&shell.recon("report --as junit").stdout);
    assert!(xml.iter().any(|text| text.contains("records that did not go through: 1")), "{xml:?}");
    assert_eq!(shell.recon("report --as parquet").code, 2);
    assert!(shell.recon("report --as csv").stdout.starts_with("entity,id,stage,class"));
    shell.recon("rollback apply --run last --no-progress");
    let text = shell.recon("report --as markdown").stdout;
    assert!(text.contains("recon rollback") && text.contains("| 3 | 0 | 3 | 0 | 0 | 0 | 0 | 0 |"), "{text}");
}

#[test]
fn a_summary_to_sign_says_no_more_than_is_known() {
    let shell = migrated();
    let standing = |wanted: (&str, i32)| {
        let said = shell.recon("report --sign-off");
        assert!(said.stdout.starts_with(&format!("image: {}", wanted.0)), "{} {}", said.stdout, said.stderr);
        assert_eq!(said.code, wanted.1, "{}", said.stdout);
    };
    standing(("NOT VERIFIED: no diff has compared it", 3));
    shell.recon("stage target --no-progress");
    assert_eq!(shell.recon("diff --no-progress").code, 1);
    standing(("DIFFERENT", 1));
    shell.write("a.csv", "id,n\n1,x\n2,y\n4,z\n");
    shell.recon("stage --no-progress");
    assert_eq!(shell.recon("diff --no-progress").code, 0);
    standing(("VERIFIED", 0));
    // How long a run took is another one each time.
    let text = shell.transcript(&["report --sign-off --as markdown"]);
    let is_time = |cell: &str| cell.strip_suffix(" s").is_some_and(|n| n.parse::<f64>().is_ok());
    let cells = text.split(" | ").map(|cell| if is_time(cell) { "[took]" } else { cell });
    insta::assert_snapshot!("sign_off", cells.collect::<Vec<_>>().join(" | "));
    // Writing afterwards takes it back, and so does a diff of a target that was staged before.
    assert_eq!(shell.recon("rollback apply --run last --no-progress").code, 0);
    standing(("NOT VERIFIED: its newest diff (", 3));
    shell.recon("diff --no-progress");
    standing(("NOT VERIFIED: its newest diff (", 3));
    assert!(shell.recon("report --sign-off").stdout.contains("staged before the newest writing"));
    shell.recon("stage target --no-progress");
    shell.recon("diff --no-progress");
    standing(("DIFFERENT", 1));
}
