//! `recon validate`: every rule on good and bad values, from every kind of store, and what is told of them.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::project::{Project, Ran, write_export};
use crate::servers::postgres::Database;

const DATASETS: &str =
    "[datasets.a]\nkind = \"csv\"\nuri = \"a.csv\"\n[datasets.b]\nkind = \"csv\"\nuri = \"b.csv\"\n";

/// A CSV source, staged, and an entity with these lines.
fn project(entity: &str, source: &str) -> Project {
    let project = Project::new();
    write_spec(&project, entity);
    project.write("a.csv", source);
    let ran = project.recon(&["stage", "source"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    project
}

fn write_spec(project: &Project, entity: &str) {
    project.write(
        "recon.toml",
        format!("{DATASETS}[entities.e]\nsource = \"a\"\ntarget = \"b\"\nkey = [\"id\"]\n{entity}"),
    );
}

fn validate(project: &Project, args: &[&str]) -> Ran {
    project.recon(&[&["validate", "--out", "out"], args].concat())
}

/// The rows of `failures.csv` as `key code column`, in their order.
fn failures(project: &Project) -> Vec<String> {
    rows(project, |row| format!("{} {} {}", &row["id"], &row["code"], &row["column"]))
}

fn messages(project: &Project) -> Vec<String> {
    rows(project, |row| row["message"].clone())
}

fn rows(project: &Project, shown: impl Fn(&BTreeMap<String, String>) -> String) -> Vec<String> {
    let mut reader = csv::Reader::from_path(project.path("out/failures.csv")).expect("a report");
    let rows = reader.deserialize().map(|row| row.expect("a row"));
    rows.map(|row: BTreeMap<String, String>| shown(&row)).collect()
}

/// One field with a rule, and the values that it lets pass and does not.
#[track_caller]
fn holds(rule: &str, code: &str, good: &[&str], bad: &[&str]) {
    let lines = |values: &[&str], first: usize| -> String {
        values.iter().enumerate().map(|(i, value)| format!("{},{value}\n", first + i)).collect()
    };
    let source = format!("id,v\n{}{}", lines(good, 100), lines(bad, 500));
    let project = project(&format!("[entities.e.fields]\nid = \"id\"\nv = {{ {rule} }}\n"), &source);
    let ran = validate(&project, &[]);
    let want: Vec<String> = (0..bad.len()).map(|i| format!("{} {code} v", 500 + i)).collect();
    assert_eq!(failures(&project), want, "{rule}: {ran:?}");
    assert_eq!(ran.code, i32::from(!bad.is_empty()), "{ran:?}");
    let said = &project.summary("out")["entities"]["e"];
    let (all, wrong) = (good.len() + bad.len(), bad.len());
    assert_eq!([&said["rows"], &said["valid"], &said["invalid"]], [all, all - wrong, wrong], "{said}");
    assert_eq!(said["fields"]["v"]["errors"][code].as_u64().unwrap_or(0), wrong as u64, "{said}");
}

#[test]
fn a_value_is_required() {
    holds("required = true", "required", &["x", "\"\"", " "], &["", ""]);
}

#[test]
fn bounds_of_numbers_are_exact() {
    let rule = "type = \"decimal\", min = -0.00000000000000000000000000000000000001, \
                max = 12345678901234567890123456789012345678";
    let good = [
        "0",
        "-0.00000000000000000000000000000000000001",
        "12345678901234567890123456789012345678",
        "1E37",
        "",
    ];
    let bad = ["-0.000000000000000000000000000000000000010001", "-1"];
    holds(rule, "min", &good, &bad);
    let bad =
        ["12345678901234567890123456789012345678.000001", "12345678901234567890123456789012345679", "1e400"];
    holds(rule, "max", &good, &bad);
    holds("type = \"int\", max = 9007199254740992", "max", &["9007199254740992"], &["9007199254740993"]);
    // A float is worth its shortest digits.
    holds(
        "type = \"float\", min = 0.1",
        "min",
        &["0.1", "1e300", "Infinity"],
        &["0.09999999999999999", "-Infinity", "NaN"],
    );
}

#[test]
fn bounds_of_times_are_of_the_same_kind() {
    holds(
        "type = \"date\", min = \"2024-02-29\"",
        "min",
        &["2024-02-29", "9999-12-31"],
        &["2024-02-28", "0001-01-01"],
    );
    let rule = "type = \"timestamp\", max = \"2024-01-01T00:00:00.000000001Z\"";
    let good = ["2024-01-01T00:00:00.000000001Z", "2024-01-01T01:00:00+01:00"];
    // What carries no offset is no instant, and nothing says on which side of one it is.
    holds(
        rule,
        "max",
        &good,
        &["2024-01-01T00:00:00.000000002Z", "2023-12-31T23:00:01-01:00", "2000-01-01T00:00:00"],
    );
    holds(
        "type = \"time\", min = \"08:00:00\", max = \"17:00:00\"",
        "max",
        &["08:00:00", "17:00:00"],
        &["17:00:00.000000001"],
    );
}

#[test]
fn lengths_are_of_characters_bytes_and_elements() {
    holds("length = 3", "length", &["abc", "äöü", "👩‍👩", ""], &["ab", "abcd", "\"\""]);
    holds("length = { min = 2, max = 3 }", "length", &["ab", "abc"], &["a", "abcd"]);
    holds("length = { max = 2 }, type = \"bytes\"", "length", &["\\x0102", "\"\\x\""], &["\\x010203"]);
    holds("length = { min = 1 }, type = \"set<string>\"", "length", &["\"[\"\"a\"\"]\""], &["[]"]);
    // A set holds each element once.
    holds("length = 1, type = \"set<number>\"", "length", &["\"[1,1.0]\""], &["\"[1,2]\""]);
    holds("length = 2, type = \"list\"", "length", &["\"[1,1]\""], &["[1]"]);
}

#[test]
fn patterns_are_found_anywhere_and_take_no_time() {
    holds("pattern = 'b+'", "pattern", &["abc", "bb", ""], &["ac", "\"\""]);
    holds("pattern = '^\\p{Lu}[a-z]*$'", "pattern", &["Éa", "A"], &["a", "Aé", "\"A\n\""]);
    // Where matching goes back and forth, this takes longer than anybody lives.
    let long = "a".repeat(50_000) + "!";
    holds("pattern = '^(a+)+$'", "pattern", &["aaa"], &[&long]);
}

#[test]
fn values_may_be_some_alone() {
    holds(
        "one_of = [\"red\", \"\", \"'; drop table x; --\"]",
        "one_of",
        &["red", "\"\"", "'; drop table x; --", ""],
        &["Red", "red "],
    );
    holds("type = \"decimal\", one_of = [1, 2.50]", "one_of", &["1.0", "1e0", "2.5"], &["2.51", "-1"]);
    holds(
        "type = \"uuid\", one_of = [\"123E4567-e89b-12d3-a456-426614174000\"]",
        "one_of",
        &["123e4567-E89B-12d3-a456-426614174000"],
        &["123e4567-e89b-12d3-a456-426614174001"],
    );
}

#[test]
fn types_are_checked_without_a_rule() {
    holds("type = \"int\"", "cast", &["1", "-5", ""], &["1.5", "x", "\"\""]);
    holds("type = \"decimal(4,2)\"", "cast", &["99.99", "1"], &["1.001", "100"]);
}

#[test]
fn sql_sees_the_value_and_the_other_fields() {
    holds(
        "type = \"int\", check = \"value % 2 = 0\"",
        "check",
        &["2", "", "38000000000000000000000000000000000000"],
        &["3", "-1"],
    );
    holds("check = \"id <> value\"", "check", &["x", ""], &["500"]);
    // What fails says nothing, so it does not hold.
    holds("check = \"cast(value as int) > 0\"", "check", &["1", ""], &["x"]);
    // A value that SQL's type does not hold is not let pass.
    holds(
        "type = \"int\", check = \"value > 0\"",
        "check",
        &["1"],
        &["123456789012345678901234567890123456789012"],
    );
}

#[test]
fn conditions_of_the_entity_see_cast_values() {
    let entity = "[entities.e.checks]\n\"in order\" = \"first <= last\"\ncheap = \"price * 2 < 10 or vip\"\n\
                  [entities.e.fields]\nid = { type = \"int\" }\nfirst = { type = \"date\" }\nlast = { type = \"date\" }\n\
                  price = { type = \"decimal(9,2)\" }\nvip = { type = \"bool\" }\n";
    let source = "id,first,last,price,vip\n10,2024-01-01,2024-01-02,4.99,no\n2,2024-01-03,2024-01-02,5.00,f\n\
                  3,,2024-01-02,5.00,yes\n4,2024-01-01,2024-01-01,,false\n";
    let project = project(entity, source);
    let ran = validate(&project, &[]);
    assert_eq!(
        (ran.code, failures(&project)),
        (1, vec!["2 check ".to_owned(), "2 check ".to_owned()]),
        "{ran:?}"
    );
    let said = messages(&project);
    assert!(said[0].ends_with("a.csv:3: in order: does not keep first <= last"), "{said:?}");
    assert!(said[1].ends_with("a.csv:3: cheap: does not keep price * 2 < 10 or vip"), "{said:?}");
    let checks = &project.summary("out")["entities"]["e"]["checks"];
    assert_eq!(*checks, json!({ "in order": 1, "cheap": 1 }));
}

#[test]
fn all_errors_of_a_record_come_at_once_in_the_order_of_keys() {
    let entity = "unique = [[\"mail\"]]\n[entities.e.fields]\nid = { type = \"int\" }\n\
                  age = { type = \"int\", required = true, min = 0 }\n\
                  mail = { pattern = '@', length = { max = 5 }, one_of = [\"a@b\"], check = \"value <> 'abcdefg'\" }\n";
    let project = project(entity, "id,age,mail\n100,-1,abcdefg\n9,x,abcdefg\n1,1,a@b\n20,,\n");
    let ran = validate(&project, &[]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let of = |id: &str, age: &str| {
        let rest = ["check mail", "length mail", "one_of mail", "pattern mail", "unique mail"];
        std::iter::once(format!("{age} age"))
            .chain(rest.map(str::to_owned))
            .map(move |what| format!("{id} {what}"))
            .collect::<Vec<_>>()
    };
    let want = [of("9", "cast"), vec!["20 required age".to_owned()], of("100", "min")].concat();
    assert_eq!(failures(&project), want);
    let said = messages(&project);
    let want = [
        "a.csv:3: not",
        "a.csv:3: does not keep value <> 'abcdefg': abcdefg",
        "a.csv:3: length 7, where `length` is at most 5: abcdefg",
        "a.csv:3: none of `one_of` (a@b): abcdefg",
        "a.csv:3: does not match `pattern` (@): abcdefg",
        "a.csv:3: 2 records have this, and `unique` (mail) allows one: abcdefg",
        "a.csv:5: no value, where one is `required`",
        "a.csv:2: below `min` (0): -1",
    ];
    for (said, want) in said.iter().zip(want) {
        assert!(said.contains(want), "{want}: {said}");
    }
    let said = &project.summary("out")["entities"]["e"];
    assert_eq!([&said["rows"], &said["valid"], &said["invalid"]], [4, 1, 3], "{said}");
    assert_eq!(
        said["fields"]["age"],
        json!({ "rules": ["required", "min"], "errors": { "cast": 1, "min": 1, "required": 1 } })
    );
    assert_eq!(said["unique"], json!({ "mail": 2 }));
    let once = project.read("out/failures.csv");
    validate(&project, &["--threads", "3"]);
    assert_eq!(once, project.read("out/failures.csv"), "the same each time");
    assert!(
        ran.stdout.contains("e.age  1 cast") && ran.stdout.contains("e.unique (mail)  2 unique"),
        "{}",
        ran.stdout
    );
}

#[test]
fn keys_are_checked_without_a_rule() {
    let project = project(
        "[entities.e.fields]\nid = { type = \"int\" }\nv = \"v\"\n",
        "id,v\n1,a\n,b\n01,c\nx,d\n2,e\n",
    );
    let ran = validate(&project, &[]);
    let want = ["x cast id", " null_key id", "1 duplicate_key id", "1 duplicate_key id"];
    let mut found = failures(&project);
    found.sort();
    let mut want = want.map(str::to_owned);
    want.sort();
    assert_eq!((ran.code, found), (1, want.to_vec()), "{ran:?}");
    assert!(
        ran.stdout.contains("checked: key (id), types of 2 fields, 0 rules, 0 references"),
        "{}",
        ran.stdout
    );
    assert_eq!(project.summary("out")["entities"]["e"]["duplicate_key"], 2);
}

#[test]
fn unique_is_sql_s_unique() {
    let entity = "unique = [[\"a\", \"b\"]]\n[entities.e.fields]\nid = \"id\"\na = \"a\"\nb = { type = \"decimal\" }\n";
    // Numbers are one whatever their zeros, fields are never joined into one text, and NULL is like nothing.
    let project = project(entity, "id,a,b\n1,x,1\n2,x,1.0\n3,x,\n4,x,\n5,,1\n6,,1\n7,x1,\n8,y,1\n");
    let ran = validate(&project, &[]);
    assert_eq!(
        (ran.code, failures(&project)),
        (1, vec!["1 unique a, b".to_owned(), "2 unique a, b".to_owned()]),
        "{ran:?}"
    );
    assert!(messages(&project)[1].ends_with(": [\"x\",\"1\"]"), "{:?}", messages(&project));
}

#[test]
fn exit_codes() {
    let entity = "[entities.e.fields]\nid = \"id\"\nn = { type = \"int\", max = 5 }\n";
    let mixed = project(entity, "id,n\n1,1\n2,9\n3,7\n4,5\n");
    let ran = validate(&mixed, &[]);
    assert_eq!(ran.code, 1, "{ran:?}");
    for (most, code) in [("2", 1), ("1", 4), ("50%", 1), ("49%", 4)] {
        let ran = validate(&mixed, &["--max-errors", most]);
        assert_eq!((ran.code, failures(&mixed).len()), (code, 2), "{most}: {ran:?}");
    }
    let valid = project(entity, "id,n\n1,1\n");
    assert_eq!(validate(&valid, &[]).code, 0);
    assert_eq!(failures(&valid), Vec::<String>::new());
    let empty = project(entity, "id,n\n");
    assert_eq!(validate(&empty, &[]).code, 3);
    assert_eq!(validate(&empty, &["--allow-empty"]).code, 0);
    // A row that did not parse is not let pass, and is worth more than one that is wrong.
    mixed.write("a.csv", "id,n\n1,1\n2,9\n3\n");
    assert_eq!(mixed.recon(&["stage", "source"]).code, 3);
    let ran = validate(&mixed, &[]);
    assert_eq!(
        (ran.code, mixed.summary("out")["entities"]["e"]["unparsed"].clone()),
        (3, json!(1)),
        "{ran:?}"
    );
    assert!(ran.stdout.contains("1 rows of its dataset did not parse"), "{}", ran.stdout);
}

#[test]
fn what_cannot_be_read_is_not_valid() {
    // The two sides have no type in common, so nothing says what would be written.
    let project = Project::new();
    project.write(
        "recon.toml",
        "[datasets.a]\nkind = \"parquet\"\nuri = \"a.parquet\"\n[datasets.b]\nkind = \"parquet\"\nuri = \"b.parquet\"\n\
         [entities.e]\nsource = \"a\"\ntarget = \"b\"\nkey = [\"id\"]\n[entities.e.fields]\nid = \"id\"\nv = \"v\"\n",
    );
    crate::project::write_parquet("select 1 as id, true as v", &project.path("a.parquet"));
    crate::project::write_parquet("select 1 as id, date '2024-01-01' as v", &project.path("b.parquet"));
    assert_eq!(project.recon(&["stage"]).code, 0);
    let ran = validate(&project, &[]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stdout.contains("not checked: v: bool against date"), "{}", ran.stdout);
}

/// The report of a spec that `recon check` refuses.
#[track_caller]
fn refused(field: &str, words: &[&str]) {
    let project = Project::new();
    write_spec(&project, &format!("[entities.e.fields]\nid = \"id\"\nv = {{ {field} }}\n"));
    let ran = project.recon(&["check"]);
    assert_eq!(ran.code, 2, "{field}: {ran:?}");
    for word in words.iter().chain(&["recon.toml:13:", "help: "]) {
        assert!(ran.stderr.contains(word), "`{word}` for {field}: {}", ran.stderr);
    }
}

#[test]
fn rules_that_mean_nothing_are_refused_at_their_place() {
    refused("requird = true", &["unknown key `requird`", "did you mean `required`?"]);
    refused("type = \"int\", min = 5, max = 4", &["`min` is 5 and `max` is 4"]);
    refused("type = \"date\", min = \"2024-02-02\", max = \"2024-01-02\"", &["no value is both"]);
    refused("type = \"string\", min = 5", &["`min` on type string", "for numbers and times"]);
    refused("type = \"int\", length = 5", &["`length` on type int"]);
    refused("type = \"int\", pattern = 'x'", &["`pattern` on type int"]);
    refused("type = \"json\", one_of = [\"x\"]", &["`one_of` on type json"]);
    refused("type = \"date\", min = \"yesterday\"", &["`yesterday` in `min`"]);
    refused("type = \"int\", one_of = [\"x\"]", &["`x` in `one_of`"]);
    refused("one_of = []", &["`one_of` is empty"]);
    refused("length = { min = 3, max = 2 }", &["at least 3 and at most 2"]);
    refused("length = {}", &["`length` says nothing"]);
    refused("pattern = '(a'", &["no regular expression", "unclosed group"]);
    refused("pattern = '(?=a)'", &["look-around"]);
    refused("pattern = '((a{1000}){1000}){1000}'", &["it is too large"]);
    refused("check = ' '", &["`check` of field `v` is empty"]);
    refused("ignore = true, required = true", &["ignored and has no `from`"]);
}

#[test]
fn rules_that_do_not_fit_what_is_read_are_refused_at_their_place() {
    for (field, words) in [
        ("min = 5", ["`min` is for numbers and times", "read as string"]),
        ("check = \"nonsense > 1\"", ["nonsense", "it sees `id`, `v`, `value`"]),
        ("check = \"value || 'x'\"", ["not a condition: it gives VARCHAR", "true of every valid record"]),
        ("check = \"value > 1) or (1 = 1\"", ["not exactly one expression", "help"]),
        ("check = \"value = (select 1)\"", ["subquery", "help"]),
        ("check = \"value < current_date\"", ["another value each time", "help"]),
        ("check = \"sum(value) > 1\"", ["aggregate", "help"]),
    ] {
        let project =
            project(&format!("[entities.e.fields]\nid = \"id\"\nv = {{ {field} }}\n"), "id,v\n1,2\n");
        let ran = validate(&project, &[]);
        assert_eq!(ran.code, 2, "{field}: {ran:?}");
        for word in words.iter().chain(&["recon.toml:13:"]) {
            assert!(ran.stderr.contains(word), "`{word}` for {field}: {}", ran.stderr);
        }
    }
    let project = Project::new();
    write_spec(&project, "unique = [[\"vv\"]]\n[entities.e.fields]\nid = \"id\"\nv = \"v\"\n");
    let ran = project.recon(&["check"]);
    assert!(ran.code == 2 && ran.stderr.contains("did you mean `v`?"), "{ran:?}");
}

#[test]
fn what_is_redacted_is_in_no_report() {
    let entity = "unique = [[\"mail\", \"n\"]]\n[entities.e.fields]\nid = \"id\"\nmail = { pattern = '@' }\nn = \"n\"\n";
    let project = project(entity, "id,mail,n\n1,secret,5\n2,secret,5\n");
    let ran = validate(&project, &["--redact", "mail", "--format", "json"]);
    assert_eq!((ran.code, failures(&project).len()), (1, 4), "{ran:?}");
    let text =
        project.read("out/failures.csv") + &project.read("out/summary.json") + &ran.stdout + &ran.stderr;
    assert!(!text.contains("secret") && text.contains("redacted:"), "{text}");
    let ran = validate(&project, &["--redact", "nobody"]);
    assert_eq!(ran.code, 2, "{ran:?}");
}

#[test]
fn the_target_is_held_against_the_same_rules_under_its_own_names() {
    let entity = "[entities.e.fields]\nid = \"id\"\nn = { from = \"upper(a)\", to = \"trim(b)\", length = { max = 2 } }\n";
    let project = project(entity, "id,a\n1,abc\n2,xy\n");
    let ran = validate(&project, &["--target"]);
    assert_eq!(ran.code, 4, "it is not staged: {ran:?}");
    assert!(ran.stderr.contains("recon stage"), "{}", ran.stderr);
    project.write("b.csv", "id,b\n1, ab \n2, wxyz \n");
    assert_eq!(project.recon(&["stage"]).code, 0);
    assert_eq!(
        (validate(&project, &["--target"]).code, failures(&project)),
        (1, vec!["2 length n".to_owned()])
    );
    assert!(
        messages(&project)[0].ends_with("b.csv:3: length 4, where `length` is at most 2: wxyz"),
        "{:?}",
        messages(&project)
    );
    assert_eq!(project.summary("out")["side"], "target");
    assert_eq!((validate(&project, &[]).code, failures(&project)), (1, vec!["1 length n".to_owned()]));
    assert!(messages(&project)[0].ends_with("ABC"), "the mapped value: {:?}", messages(&project));
}

#[test]
fn documents_are_validated_absent_null_and_typed() {
    let project = Project::new();
    let item = |id: usize, rest: &str| format!("{{\"Item\":{{\"pk\":{{\"S\":\"U#{id}\"}}{rest}}}}}\n");
    let lines = item(
        1,
        ",\"age\":{\"N\":\"5\"},\"tags\":{\"SS\":[\"a\",\"b\"]},\"m\":{\"M\":{\"x\":{\"S\":\"ab\"}}}",
    ) + &item(
        2,
        ",\"age\":{\"NULL\":true},\"tags\":{\"SS\":[\"a\"]},\"m\":{\"M\":{\"x\":{\"S\":\"abc\"}}}",
    ) + &item(3, ",\"age\":{\"S\":\"5\"}")
        + &item(4, ",\"age\":{\"N\":\"1e-130\"},\"m\":{\"M\":{\"x\":{\"N\":\"1\"}}}");
    let folder = write_export(&project.path(""), 0, &lines);
    project.write(
        "recon.toml",
        format!(
            "[datasets.a]\nkind = \"dynamodb-export\"\nuri = \"{folder}\"\n[datasets.b]\nkind = \"jsonl\"\nuri = \"b.jsonl\"\n\
             [entities.e]\nsource = \"a\"\ntarget = \"b\"\nkey = [\"id\"]\n[entities.e.fields]\n\
             id = {{ from = \"substr(pk, 3)\", type = \"int\" }}\nage = {{ type = \"decimal\", required = true, min = 0.5 }}\n\
             tags = {{ type = \"set<string>\", length = {{ min = 2 }} }}\nx = {{ from = \"m.x\", pattern = '^..$' }}\n"
        ),
    );
    assert_eq!(project.recon(&["stage", "source"]).code, 0);
    let ran = validate(&project, &[]);
    let want = ["2 required age", "2 length tags", "2 pattern x", "4 min age", "4 pattern x"];
    assert_eq!((ran.code, failures(&project)), (1, want.map(str::to_owned).to_vec()), "{ran:?}");
}

#[test]
fn sqlite_and_folded_records_are_validated() {
    let project = Project::new();
    let engine = rusqlite::Connection::open(project.path("a.db")).expect("a database");
    let sql = "create table t (id integer primary key, v text, n integer);\n\
               insert into t values (1, 'a', 3), (2, 'a', 4), (3, 'b', 1);\n";
    engine.execute_batch(sql).expect("a table");
    let fields = "[entities.e.fields]\nid = \"v\"\nn = { from = \"sum(n)\", type = \"int\", max = 6 }\n";
    project.write(
        "recon.toml",
        format!(
            "[datasets.a]\nkind = \"sqlite\"\npath = \"a.db\"\ntable = \"t\"\n[datasets.b]\nkind = \"csv\"\nuri = \"b.csv\"\n\
             [entities.e]\nsource = \"a\"\ntarget = \"b\"\nkey = [\"id\"]\ngroup_by = [\"id\"]\n{fields}"
        ),
    );
    assert_eq!(project.recon(&["stage", "source"]).code, 0);
    let ran = validate(&project, &[]);
    assert_eq!((ran.code, failures(&project)), (1, vec!["a max n".to_owned()]), "{ran:?}");
    assert_eq!(messages(&project), ["above `max` (6): 7"]);
}

#[test]
fn values_are_read_in_the_types_of_a_table_that_is_not_staged() {
    let database = Database::new("create table people (id bigint primary key, born date, name varchar(20))");
    let project = Project::new();
    project.write(
        "recon.toml",
        "[datasets.a]\nkind = \"csv\"\nuri = \"a.csv\"\n[datasets.b]\nkind = \"postgres\"\nurl = \"${DATABASE_URL}\"\ntable = \"people\"\n\
         [entities.e]\nsource = \"a\"\ntarget = \"b\"\nkey = [\"id\"]\nunique = [[\"name\"]]\n[entities.e.fields]\nid = \"id\"\n\
         born = { min = \"1900-01-01\" }\nname = { length = { max = 20 } }\n",
    );
    project.write("a.csv", "id,born,name\n1,1899-12-31,ann\n2,1900-01-01,bob\n3,1900-02-30,bob\nx,,cid\n");
    let recon = |args: &[&str]| project.recon_with(args, &[("DATABASE_URL", &database.url)]);
    assert_eq!(recon(&["stage", "source"]).code, 0);
    let ran = recon(&["validate", "--out", "out"]);
    let want = ["1 min born", "2 unique name", "3 cast born", "3 unique name", "x cast id"];
    assert_eq!((ran.code, failures(&project)), (1, want.map(str::to_owned).to_vec()), "{ran:?}");
    database.run("insert into people values (7, '1800-01-01', 'x')");
    assert_eq!(recon(&["stage", "target"]).code, 0);
    let ran = recon(&["validate", "--target", "--out", "out"]);
    assert_eq!((ran.code, failures(&project)), (1, vec!["7 min born".to_owned()]), "{ran:?}");
    assert_eq!(messages(&project), ["below `min` (1900-01-01): 1800-01-01"]);
}

#[test]
fn memory_stays_bounded_however_many_records_are_wrong() {
    let entity = "unique = [[\"v\"]]\n[entities.e.fields]\nid = \"id\"\nv = { type = \"int\", max = 3, check = \"value < 2\" }\n";
    let source: String = (0..400_000).map(|i| format!("{i},{}\n", i % 7 + 1_000 * (i % 2))).collect();
    let project = project(entity, &format!("id,v\n{source}"));
    let ran = validate(&project, &["--memory", "128MiB", "--threads", "2"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let said = &project.summary("out")["entities"]["e"];
    assert_eq!([&said["rows"], &said["invalid"]], [400_000, 400_000], "{said}");
    assert_eq!(said["unique"]["v"], 400_000);
    assert!(!project.path("home/tmp/validate").exists(), "nothing of the work is left");
}

#[test]
fn status_knows_the_run() {
    let project = project("[entities.e.fields]\nid = \"id\"\n", "id\n1\n");
    let ran = validate(&project, &["--quiet"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let runs: Json =
        serde_json::from_str(&project.recon(&["runs", "--format", "json"]).stdout).expect("JSON");
    assert!(runs.to_string().contains("\"command\":\"validate\""), "{runs}");
    assert!(
        project.recon(&["status"]).stdout.contains("next: recon --home home migrate"),
        "{}",
        project.recon(&["status"]).stdout
    );
}

const MIGRATION: &str = "unique = [[\"mail\"]]\n[entities.e.checks]\nold_enough = \"age >= 18 or mail is null\"\n[entities.e.fields]\n\
                         id = { type = \"int\" }\nage = { type = \"int\", max = 99 }\nmail = { length = { max = 3 }, pattern = 'a' }\n";

/// A project that migrates a CSV file into another folder of them, staged.
fn migration(source: &str) -> Project {
    let project = project(MIGRATION, source);
    let spec = project.read("recon.toml").replace("uri = \"b.csv\"", "uri = \"b\"");
    project.write("recon.toml", spec);
    std::fs::create_dir(project.path("b")).expect("a folder");
    project
}

/// The lines of all files of the target, without headers, sorted.
fn written(project: &Project) -> Vec<String> {
    let files =
        std::fs::read_dir(project.path("b")).expect("a folder").map(|entry| entry.expect("a file").path());
    let texts = files.map(|path| std::fs::read_to_string(path).expect("a file"));
    let mut lines: Vec<String> =
        texts.flat_map(|text| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()).collect();
    lines.sort();
    lines
}

/// The failures of the newest run that wrote, as `key code column message`.
fn rejected(project: &Project) -> Vec<String> {
    let runs: Json =
        serde_json::from_str(&project.recon(&["runs", "--format", "json"]).stdout).expect("JSON");
    let runs = runs["runs"].as_array().or(runs.as_array()).expect("runs").clone();
    let run = runs
        .iter()
        .find(|run| ["migrate", "replay"].contains(&run["command"].as_str().expect("a command")))
        .expect("a run");
    let folder = run["folder"].as_str().expect("a folder");
    let mut reader = csv::Reader::from_path(project.path(folder).join("failures.csv")).expect("a report");
    let rows = reader.deserialize().map(|row| row.expect("a row"));
    rows.map(|row: BTreeMap<String, String>| {
        format!("{} {} {} {}", row["id"], row["code"], row["column"], row["message"])
    })
    .collect()
}

#[test]
fn migrate_leaves_invalid_records_where_they_are() {
    let project = migration("id,age,mail\n1,20,a\n2,200,bbbb\n3,17,aa\n4,30,aab\n5,40,aab\n6,x,a1\n7,,\n");
    let ran = project.recon(&["migrate", "--dry-run", "--format", "json"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let said: Json = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!([&said["entities"]["e"]["records"], &said["entities"]["e"]["rejected"]], [2, 5], "{said}");
    let ran = project.recon(&["migrate"]);
    assert_eq!((ran.code, written(&project)), (1, vec!["1,20,a".to_owned(), "7,,".to_owned()]), "{ran:?}");
    let twice = "unique mail mail: 2 records have this, and `unique` (mail) allows one";
    let want = [
        "2 max age age: above `max` (99); mail: length 4, where `length` is at most 3; mail: does not match `pattern` (a)".to_owned(),
        "3 check  old_enough: does not keep age >= 18 or mail is null".to_owned(),
        format!("4 {twice}"),
        format!("5 {twice}"),
        "6 cast age age: not".to_owned(),
    ];
    let mut found = rejected(&project);
    found.sort();
    assert_eq!(found.len(), want.len(), "{found:?}");
    for (found, want) in found.iter().zip(&want) {
        assert!(found.starts_with(want.as_str()), "{found} for {want}");
    }
    // What is not asked for is unique all the same: a part of the records is held against all of them.
    let part = migration("id,age,mail\n4,30,aab\n5,40,aab\n");
    let ran = part.recon(&["migrate", "--where", "id = '4'"]);
    assert_eq!((ran.code, written(&part)), (1, Vec::new()), "{ran:?}");
    // Somebody may want them all the same, as far as they can be read.
    let ran = part.recon(&["replay", "--write-invalid"]);
    assert_eq!((ran.code, written(&part)), (0, vec!["4,30,aab".to_owned()]), "{ran:?}");
}

#[test]
fn a_changed_rule_is_for_what_is_pending() {
    let project = migration("id,age,mail\n1,20,a\n2,200,a2\n");
    assert_eq!(project.recon(&["migrate"]).code, 1);
    assert_eq!(written(&project), ["1,20,a"]);
    // The rule allows what failed, and forbids what is written: that is done.
    let spec = project.read("recon.toml").replace("max = 99", "max = 999, min = 50");
    project.write("recon.toml", &spec);
    let ran = project.recon(&["replay"]);
    assert_eq!(
        (ran.code, written(&project)),
        (0, vec!["1,20,a".to_owned(), "2,200,a2".to_owned()]),
        "{ran:?}"
    );
    let ran = project.recon(&["migrate"]);
    assert_eq!((ran.code, written(&project).len()), (0, 2), "{ran:?}");
    // Hashes are those of before: no rule is part of comparing.
    assert_eq!(project.recon(&["stage"]).code, 0);
    assert_eq!(project.recon(&["diff"]).code, 0);
    let hashed = |project: &Project| {
        let folder = std::fs::read_dir(project.path("home/stage/diff/e")).expect("hashes");
        let mut names: Vec<_> = folder.map(|entry| entry.expect("a file").file_name()).collect();
        names.sort();
        names
    };
    let before = hashed(&project);
    project.write("recon.toml", spec.replace("min = 50", "min = 5"));
    assert_eq!(project.recon(&["diff"]).code, 0);
    assert_eq!(hashed(&project), before);
}
