//! DynamoDB as a target.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::project::{Project, Ran};
use crate::servers::dynamodb::{self, ENVIRONMENT, ask};
use crate::servers::postgres::Database;
use crate::servers::proxy::{Answer, Body, HttpProxy};

/// A spec whose target is a table: what stands under `[entities.row]`, and its fields.
fn spec(source: &str, table: &str, endpoint: &str, entity: &str, fields: &str) -> String {
    format!(
        "[datasets.old]\n{source}\n[datasets.new]\nkind = \"dynamodb\"\ntable = \"{table}\"\nendpoint = \"{endpoint}\"\n\
         [entities.row]\nsource = \"old\"\ntarget = \"new\"\n{entity}\n[entities.row.fields]\n{fields}\n"
    )
}

const LINES: &str = "kind = \"jsonl\"\nuri = \"old.jsonl\"";
const FIELDS: &str =
    "k = { from = \"k\", type = \"string\" }\nn = { from = \"n\", type = \"int\" }\ns = \"s\"";

/// A project of lines for a table of its own whose key is `k`.
fn project(table: &str, entity: &str, fields: &str, lines: &[Json]) -> Project {
    dynamodb::table(table, &[("k", "S")]);
    let project = Project::new();
    let spec = spec(LINES, table, &dynamodb::endpoint(), &format!("key = [\"k\"]\n{entity}"), fields);
    project.write("recon.toml", spec);
    restage(&project, lines);
    project
}

/// Stages other lines.
fn restage(project: &Project, lines: &[Json]) {
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    project.write("old.jsonl", lines);
    let ran = recon(project, &["stage", "source"]);
    assert_eq!(ran.code, 0, "{ran:?}");
}

fn recon(project: &Project, args: &[&str]) -> Ran {
    project.recon_with(args, &ENVIRONMENT)
}

/// Migrates; the exit code, and what became of the entity.
#[track_caller]
fn migrate(project: &Project, code: i32, more: &[&str]) -> Json {
    let args = [&["migrate", "--format", "json"], more].concat();
    let ran = recon(project, &args);
    assert_eq!(ran.code, code, "{ran:?}");
    let told: Json = serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    told["entities"]["row"].clone()
}

/// `inserted`, `updated`, `unchanged`, `failed`.
#[track_caller]
fn assert_counts(told: &Json, counts: [u64; 4]) {
    let names = ["inserted", "updated", "unchanged", "failed"];
    assert_eq!(names.map(|name| told[name].as_u64().unwrap_or(u64::MAX)), counts, "{told}");
}

#[track_caller]
fn diff_finds_nothing(project: &Project) {
    for args in [&["stage", "target"][..], &["diff"]] {
        let ran = recon(project, args);
        assert_eq!(ran.code, 0, "{ran:?}");
    }
}

fn put(table: &str, item: &Json) {
    ask("PutItem", &json!({ "TableName": table, "Item": item }));
}

/// Every item, by the text of its key `k`.
fn items(table: &str) -> BTreeMap<String, Json> {
    let (mut all, mut start) = (BTreeMap::new(), Json::Null);
    loop {
        let mut request = json!({ "TableName": table, "ConsistentRead": true });
        if !start.is_null() {
            request["ExclusiveStartKey"] = start;
        }
        let page = ask("Scan", &request);
        for item in page["Items"].as_array().expect("items") {
            let key = item.get("k").or_else(|| item.get("PK")).expect("a key")["S"].as_str();
            all.insert(key.expect("a text").to_owned(), item.clone());
        }
        start = page["LastEvaluatedKey"].clone();
        if start.is_null() {
            return all;
        }
    }
}

/// The rows of `failures.csv` of the newest run: key, class, code, column and attempts.
fn failures(project: &Project) -> Vec<[String; 5]> {
    let pattern = format!("{}/home/runs/*/failures.csv", project.path("").display());
    let mut paths: Vec<_> = glob::glob(&pattern).expect("a glob").map(|path| path.expect("a path")).collect();
    paths.sort_by_key(|path| std::fs::metadata(path).and_then(|m| m.modified()).expect("a time"));
    let mut reader = csv::Reader::from_path(paths.last().expect("a report")).expect("a report");
    let rows = reader.records().map(|row| row.expect("a row"));
    let mut rows: Vec<[String; 5]> = rows.map(|row| [1, 3, 4, 5, 7].map(|i| row[i].to_owned())).collect();
    rows.sort();
    rows
}

fn numbers(ids: std::ops::Range<u64>) -> Vec<Json> {
    ids.map(|id| json!({ "k": format!("{id:05}"), "n": id, "s": format!("s{id}") })).collect()
}

const IMAGES: &str = "create table images (id bigint primary key, user_id uuid, width int, ratio numeric(38, 20), public boolean, \
    hash bytea, made timestamptz, seen timestamp, day date, at time, took interval, tags text[], sizes int[], meta jsonb, note text); \
    insert into images select i, ('00000000-0000-4000-8000-' || lpad(i::text, 12, '0'))::uuid, i, i / 7.0, i % 2 = 0, \
    decode(lpad(to_hex(i), 8, '0'), 'hex'), '2024-05-01T10:00:00.123456+02'::timestamptz + i * interval '1 s', \
    '2024-05-01 10:00:00'::timestamp + i * interval '1 ms', '2024-01-01'::date + i, '10:00:00.5'::time, \
    i * interval '1 day 2 hours', array['a', 't' || i], array[i, i], \
    jsonb_build_object('a', i, 'b', jsonb_build_array(null, 1.5, 'x'), 'c', null), case when i % 3 = 0 then null else 'é' end \
    from generate_series(1, 1100) i";

const IMAGE_FIELDS: &str = r#"
PK = "'IMAGE#' || id"
SK = "'METADATA'"
version = "1"
user_id = "user_id"
width = "width"
ratio = "ratio"
public = "public"
hash = "hash"
createdAt = "made"
seen = "seen"
day = "day"
at = "at"
took = "took"
tags = { from = "tags", type = "set<string>" }
sizes = "sizes"
meta = "meta"
note = "note"
"#;

#[test]
fn what_is_migrated_from_postgres_is_what_diff_expects() {
    let (database, table) = (Database::new(IMAGES), "images_of_postgres");
    for (exclusive, table) in [("", table), ("exclusive = true", "images_of_postgres_alone")] {
        dynamodb::table(table, &[("PK", "S"), ("SK", "S")]);
        let project = Project::new();
        let source = format!("kind = \"postgres\"\nurl = \"{}\"\ntable = \"images\"", database.url);
        let entity = format!("key = [\"PK\", \"SK\"]\n{exclusive}");
        project.write("recon.toml", spec(&source, table, &dynamodb::endpoint(), &entity, IMAGE_FIELDS));
        assert_eq!(recon(&project, &["stage", "source"]).code, 0);
        assert_counts(&migrate(&project, 0, &[]), [1100, 0, 0, 0]);
        let written = items(table);
        let expected = json!({
            "PK": { "S": "IMAGE#3" }, "SK": { "S": "METADATA" }, "version": { "N": "1" }, "width": { "N": "3" },
            "user_id": { "S": "00000000-0000-4000-8000-000000000003" }, "ratio": { "N": "0.42857142857142857143" },
            "public": { "BOOL": false }, "hash": { "B": "AAAAAw==" },
            "createdAt": { "S": "2024-05-01T08:00:03.123456Z" }, "seen": { "S": "2024-05-01T10:00:00.003" },
            "day": { "S": "2024-01-04" }, "at": { "S": "10:00:00.5" }, "took": { "S": "P3DT21600S" },
            "tags": { "SS": ["a", "t3"] }, "sizes": { "L": [{ "N": "3" }, { "N": "3" }] },
            "meta": { "M": { "a": { "N": "3" }, "b": { "L": [{ "NULL": true }, { "N": "1.5" }, { "S": "x" }] }, "c": { "NULL": true } } },
        });
        assert_eq!(written["IMAGE#3"], expected);
        diff_finds_nothing(&project);
        // Nothing is pending; and to another home, that knows of nothing, all is there already.
        assert_eq!(migrate(&project, 0, &[])["records"], 0);
        std::fs::remove_dir_all(project.path("home")).expect("the home goes");
        assert_eq!(recon(&project, &["stage", "source"]).code, 0);
        assert_counts(&migrate(&project, 0, &[]), [0, 0, 1100, 0]);
        assert_eq!(items(table), written);
    }
}

#[test]
fn attributes_that_are_not_mapped_stay_and_paths_lead_into_maps() {
    for (exclusive, table) in [("", "kept_attributes"), ("exclusive = true\n", "kept_attributes_alone")] {
        let fields = format!(
            "{FIELDS}\nprice = {{ from = \"p\", to = \"attributes.price\", type = \"int\" }}\ndeep = {{ from = \"d\", to = \"a.b.c\" }}"
        );
        let lines: Vec<Json> = (0..4)
            .map(|n| json!({ "k": n.to_string(), "n": n, "s": if n == 1 { Json::Null } else { json!("new") }, "p": n, "d": "d" }))
            .collect();
        let project = project(table, &format!("{exclusive}write_null = \"omit\""), &fields, &lines);
        put(
            table,
            &json!({ "k": { "S": "0" }, "own": { "S": "kept" }, "n": { "N": "7" }, "attributes": { "M": { "color": { "S": "red" } } } }),
        );
        put(table, &json!({ "k": { "S": "1" }, "own": { "NS": ["1", "2"] }, "s": { "S": "goes" } }));
        put(table, &json!({ "k": { "S": "2" }, "attributes": { "S": "no map" } }));
        assert_counts(&migrate(&project, 1, &[]), [1, 2, 0, 1]);
        let path = ["2", "permanent", "path", "price", "1"].map(str::to_owned);
        assert_eq!(failures(&project), [path]);
        let found = items(table);
        let deep = json!({ "M": { "b": { "M": { "c": { "S": "d" } } } } });
        assert_eq!(
            found["0"],
            json!({
                "k": { "S": "0" }, "own": { "S": "kept" }, "n": { "N": "0" }, "s": { "S": "new" }, "a": deep,
                "attributes": { "M": { "color": { "S": "red" }, "price": { "N": "0" } } },
            })
        );
        // NULL is left out, so it takes away what was there.
        assert_eq!((&found["1"]["own"], &found["1"]["s"]), (&json!({ "NS": ["1", "2"] }), &Json::Null));
        assert_eq!(found["2"], json!({ "k": { "S": "2" }, "attributes": { "S": "no map" } }));
        assert_eq!(found["3"]["attributes"], json!({ "M": { "price": { "N": "3" } } }));
    }
}

#[test]
fn null_is_written_where_the_spec_wants_it() {
    let table = "nulls_written";
    // A document's NULL is a value, unless the spec says otherwise.
    for (n, entity) in ["write_null = \"null\"", ""].into_iter().enumerate() {
        let table = &format!("{table}_{n}");
        let project = project(
            table,
            entity,
            FIELDS,
            &[json!({ "k": "1", "n": 1, "s": null }), json!({ "k": "2", "n": 1 })],
        );
        assert_counts(&migrate(&project, 0, &[]), [2, 0, 0, 0]);
        assert_eq!((&items(table)["1"]["s"], items(table)["2"].get("s")), (&json!({ "NULL": true }), None));
        diff_finds_nothing(&project);
    }
    let table = "nulls_omitted";
    let project = project(table, "write_null = \"omit\"", FIELDS, &[json!({ "k": "1", "n": 1, "s": null })]);
    assert_counts(&migrate(&project, 0, &[]), [1, 0, 0, 0]);
    assert_eq!(items(table)["1"].get("s"), None);
}

#[test]
fn policies_decide_by_what_is_there() {
    let there = |table: &str| {
        put(
            table,
            &json!({ "k": { "S": "00001" }, "n": { "N": "1.0" }, "s": { "S": "s1" }, "x": { "S": "x" } }),
        );
        put(table, &json!({ "k": { "S": "00002" }, "n": { "N": "77" }, "s": { "S": "old" } }));
    };
    let table = "insert_only";
    let project = project(table, "write = \"insert-only\"", FIELDS, &numbers(1..4));
    there(table);
    assert_counts(&migrate(&project, 1, &[]), [1, 0, 1, 1]);
    assert_eq!(failures(&project), [["00002", "conflict", "exists", "", "1"].map(str::to_owned)]);
    assert_eq!(items(table)["00002"]["n"], json!({ "N": "77" }));

    let table = "update_only";
    let project = self::project(table, "write = \"update-only\"", FIELDS, &numbers(1..4));
    there(table);
    assert_counts(&migrate(&project, 1, &[]), [0, 1, 1, 1]);
    assert_eq!(failures(&project), [["00003", "permanent", "missing", "", "1"].map(str::to_owned)]);
    assert_eq!(items(table).len(), 2);

    let table = "on_conflict";
    let fields = "k = \"k\"\nn = { from = \"n\", type = \"int\", on_conflict = \"greatest\" }\ns = { from = \"s\", on_conflict = \"keep\" }\n\
                  c = { from = \"c\", on_conflict = \"coalesce\" }";
    let lines: Vec<Json> = (1..4).map(|n| json!({ "k": n.to_string(), "n": n, "s": "new", "c": if n == 2 { json!("c") } else { Json::Null } })).collect();
    let project = self::project(table, "", fields, &lines);
    for n in [1, 2] {
        let (k, two) = (n.to_string(), json!({ "N": "2" }));
        put(
            table,
            &json!({ "k": { "S": k }, "n": if n == 1 { two } else { json!({ "N": "-1" }) }, "s": { "S": "old" }, "c": { "S": "old" } }),
        );
    }
    assert_counts(&migrate(&project, 0, &[]), [1, 1, 1, 0]);
    let found = items(table);
    assert_eq!(
        found["1"],
        json!({ "k": { "S": "1" }, "n": { "N": "2" }, "s": { "S": "old" }, "c": { "S": "old" } })
    );
    assert_eq!(
        found["2"],
        json!({ "k": { "S": "2" }, "n": { "N": "2" }, "s": { "S": "old" }, "c": { "S": "c" } })
    );
    assert_eq!(
        found["3"],
        json!({ "k": { "S": "3" }, "n": { "N": "3" }, "s": { "S": "new" }, "c": { "NULL": true } })
    );
}

#[test]
fn only_a_higher_version_overwrites() {
    for (exclusive, table) in [("", "versions"), ("exclusive = true", "versions_alone")] {
        let entity = format!("version = \"n\"\n{exclusive}");
        let project = project(table, &entity, FIELDS, &numbers(5..9));
        for (id, n) in [(5, 4), (6, 6), (7, 10)] {
            put(
                table,
                &json!({ "k": { "S": format!("{id:05}") }, "n": { "N": n.to_string() }, "s": { "S": "old" } }),
            );
        }
        assert_counts(&migrate(&project, 1, &[]), [1, 1, 0, 2]);
        let told = failures(&project);
        let expected = ["00006", "00007"].map(|k| [k, "conflict", "version", "n", "1"].map(str::to_owned));
        assert_eq!(told, expected);
        let found = items(table);
        assert_eq!((&found["00005"]["s"]["S"], &found["00006"]["s"]["S"]), (&json!("s5"), &json!("old")));
    }
}

#[test]
fn what_dynamodb_cannot_hold_is_named_and_the_rest_goes_in() {
    for (exclusive, table) in [("", "poison"), ("exclusive = true", "poison_alone")] {
        let fields = "k = \"k\"\nn = { from = \"n\", type = \"decimal(60,30)\" }\nset = { from = \"set\", type = \"set<string>\" }\ns = \"s\"";
        let nines = "9".repeat(39);
        let mut lines: Vec<Json> = (0..120)
            .map(|n| json!({ "k": format!("fine{n}"), "n": "1.5", "set": ["a"], "s": "s" }))
            .collect();
        lines.push(json!({ "k": "digits", "n": format!("{}.{}", &nines[..20], &nines[20..]), "set": ["a"], "s": "s" }));
        lines.push(json!({ "k": "large", "n": "1", "set": ["a"], "s": "x".repeat(400 << 10) }));
        lines.push(json!({ "k": "set", "n": "1", "set": [], "s": "s" }));
        lines.push(json!({ "k": "", "n": "1", "set": ["a"], "s": "s" }));
        lines.push(json!({ "k": "k".repeat(2049), "n": "1", "set": ["a"], "s": "s" }));
        // As large as it may be.
        lines.push(json!({ "k": "most", "n": "1", "set": ["a"], "s": "x".repeat((400 << 10) - 17) }));
        let project = project(table, exclusive, fields, &lines);
        assert_counts(&migrate(&project, 1, &[]), [121, 0, 0, 5]);
        let told: Vec<[String; 3]> = failures(&project)
            .into_iter()
            .map(|[k, _, code, column, _]| [k.chars().take(9).collect(), code, column])
            .collect();
        let expected = [
            ["", "empty_key", "k"],
            ["digits", "range", "n"],
            ["kkkkkkkkk", "too_long", "k"],
            ["large", "too_large", ""],
            ["set", "empty_set", "set"],
        ];
        assert_eq!(told, expected.map(|row| row.map(str::to_owned)));
        assert_eq!(items(table).len(), 121);
    }
}

#[test]
fn a_table_that_does_not_fit_the_spec_is_refused_with_what_helps() {
    let table = "refused";
    dynamodb::table(table, &[("pk", "S"), ("sk", "N")]);
    let cases = [
        ("key = [\"pk\"]", "pk = \"k\"", "the table's is (pk, sk)", "key = [\"pk\", \"sk\"]"),
        (
            "key = [\"pk\", \"sk\"]",
            "pk = { from = \"n\", type = \"int\" }\nsk = { from = \"n\", type = \"int\" }",
            "key `pk` is of type S",
            "type = \"string\"",
        ),
        (
            "key = [\"pk\", \"sk\"]",
            "pk = \"k\"\nsk = { from = \"n\", type = \"int\" }\na = { from = \"s\", to = \"m\" }\nb = { from = \"s\", to = \"m.x\" }",
            "are written to one place",
            "another attribute",
        ),
        (
            "key = [\"pk\", \"sk\"]",
            "pk = \"k\"\nsk = { from = \"n\", type = \"int\" }\ns = { from = \"s\", on_conflict_sql = \"old.s\" }",
            "which DynamoDB does not run",
            "greatest",
        ),
    ];
    for (entity, fields, what, help) in cases {
        let project = Project::new();
        project.write("recon.toml", spec(LINES, table, &dynamodb::endpoint(), entity, fields));
        restage(&project, &numbers(0..2));
        let ran = recon(&project, &["migrate"]);
        assert_eq!(ran.code, 2, "{fields}: {ran:?}");
        assert!(ran.stderr.contains(what) && ran.stderr.contains(help), "{}", ran.stderr);
    }
    let project = Project::new();
    project.write("recon.toml", spec(LINES, "no_such_table", &dynamodb::endpoint(), "key = [\"k\"]", FIELDS));
    restage(&project, &numbers(0..2));
    let ran = recon(&project, &["migrate"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.stderr.contains("ResourceNotFoundException"), "{}", ran.stderr);
}

#[test]
fn a_dry_run_says_what_it_would_cost() {
    let table = "rehearsed";
    let mut lines = numbers(0..9);
    lines.push(json!({ "k": "large", "n": 1, "s": "x".repeat(1500) }));
    lines.push(json!({ "k": "", "n": 1, "s": "x" }));
    let project = project(table, "", FIELDS, &lines);
    let ran = recon(&project, &["migrate", "--dry-run", "--format", "json"]);
    let told: Json = serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    let row = &told["entities"]["row"];
    assert_eq!(
        (&row["records"], &row["write_units"], &row["rejected"]),
        (&json!(10), &json!(11), &json!(1)),
        "{row}"
    );
    let ran = recon(&project, &["migrate", "--dry-run"]);
    assert!(ran.stdout.contains("about 11 write units, without indexes"), "{}", ran.stdout);
    assert_eq!(items(table).len(), 0);
}

/// A project like [`project`], behind a proxy.
fn behind(proxy: &HttpProxy, table: &str, entity: &str, lines: &[Json]) -> Project {
    dynamodb::table(table, &[("k", "S")]);
    let project = Project::new();
    let entity = format!("key = [\"k\"]\n{entity}");
    project.write("recon.toml", spec(LINES, table, &proxy.endpoint, &entity, FIELDS));
    restage(&project, lines);
    project
}

const THROTTLED: Body = Body::Error("ProvisionedThroughputExceededException", "too fast");

fn answer(to: &'static str, requests: std::ops::Range<u64>, status: u16, body: Body) -> Answer {
    Answer { to, requests, status, body }
}

#[test]
fn a_table_that_throttles_is_waited_for_without_using_up_tries() {
    let table = "throttled_writes";
    let answers = vec![
        answer("PutItem", 0..1, 400, THROTTLED),
        answer("PutItem", 20..32, 400, Body::Error("ThrottlingException", "Rate exceeded")),
        answer("BatchGetItem", 0..1, 400, Body::Error("RequestLimitExceeded", "Rate exceeded")),
        answer("PutItem", 60..62, 500, Body::Error("InternalServerError", "try again")),
    ];
    let proxy = HttpProxy::to(dynamodb::port(), answers);
    let project = behind(&proxy, table, "", &numbers(0..100));
    assert_counts(&migrate(&project, 0, &["--retries", "2"]), [100, 0, 0, 0]);
    assert_eq!((proxy.seen("PutItem"), items(table).len()), (115, 100));
}

#[test]
fn a_table_that_throttles_without_end_stops_the_run_which_goes_on_later() {
    let table = "throttled_for_good";
    let proxy = HttpProxy::to(dynamodb::port(), vec![answer("PutItem", 30..u64::MAX, 400, THROTTLED)]);
    let project = behind(&proxy, table, "", &numbers(0..100));
    let ran = recon(&project, &["migrate", "--throttle-timeout", "0s"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    for words in ["throttled for", "what was written stays written", "--throttle-timeout"] {
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
    }
    assert_eq!(items(table).len(), 30);
    proxy.step_aside();
    // Those that were written count as what they were written as, and none of them is written again.
    let before = proxy.seen("PutItem");
    assert_counts(&migrate(&project, 0, &[]), [100, 0, 0, 0]);
    assert_eq!((proxy.seen("PutItem") - before, items(table).len()), (70, 100));
}

#[test]
fn errors_of_the_service_use_up_a_records_tries_and_no_others() {
    let table = "worn_out";
    let error = Body::Error("InternalServerError", "not today");
    let proxy = HttpProxy::to(dynamodb::port(), vec![answer("PutItem", 9..13, 500, error)]);
    let project = behind(&proxy, table, "", &numbers(0..10));
    let told = migrate(&project, 1, &["--backoff", "1ms"]);
    assert_counts(&told, [9, 0, 0, 1]);
    let failed = failures(&project);
    assert_eq!(
        failed[0][1..],
        ["retryable", "InternalServerError", "", "4"].map(str::to_owned),
        "{failed:?}"
    );
    let ran = recon(&project, &["replay"]);
    assert_eq!((ran.code, items(table).len()), (0, 10), "{ran:?}");
}

#[test]
fn access_denied_stops_at_once() {
    let table = "denied";
    let denied =
        Body::Error("AccessDeniedException", "no identity-based policy allows the dynamodb:PutItem action");
    let proxy = HttpProxy::to(dynamodb::port(), vec![answer("PutItem", 0..u64::MAX, 400, denied)]);
    let project = behind(&proxy, table, "", &numbers(0..100));
    let ran = recon(&project, &["migrate"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.stderr.contains("AccessDeniedException") && proxy.seen("PutItem") <= 5, "{}", ran.stderr);
}

#[test]
fn what_a_table_had_no_time_for_is_put_again() {
    let table = "unprocessed";
    // Two of a request's items come back, once, and then all of a request.
    let some = r#"{"UnprocessedItems":{"unprocessed":[{"PutRequest":{"Item":{"k":{"S":"00003"},"n":{"N":"3"},"s":{"S":"s3"}}}}]}}"#;
    let keys = r#"{"Responses":{},"UnprocessedKeys":{"unprocessed":{"Keys":[{"k":{"S":"00001"}},{"k":{"S":"00002"}}],"ConsistentRead":true}}}"#;
    let answers = vec![
        answer("BatchWriteItem", 0..1, 200, Body::Text(some)),
        answer("BatchGetItem", 0..1, 200, Body::Text(keys)),
    ];
    let proxy = HttpProxy::to(dynamodb::port(), answers);
    let project = behind(&proxy, table, "exclusive = true", &numbers(0..20));
    assert_counts(&migrate(&project, 0, &[]), [20, 0, 0, 0]);
    // The proxy swallowed the other nineteen: what was put again is the one that came back.
    assert_eq!(
        (proxy.seen("BatchWriteItem"), items(table).keys().next().map(String::as_str)),
        (2, Some("00003"))
    );
    assert_eq!((proxy.seen("BatchGetItem"), proxy.seen("PutItem")), (2, 0));
}

#[test]
fn an_item_that_somebody_changed_meanwhile_is_a_conflict_and_stays() {
    let table = "conflicts";
    // What recon reads is older than what is there.
    let old = r#"{"Responses":{"conflicts":[
        {"k":{"S":"00000"},"n":{"N":"-1"},"s":{"S":"old"}}, {"k":{"S":"00001"},"n":{"N":"-1"}},
        {"k":{"S":"00002"},"n":{"N":"-1"}}]},"UnprocessedKeys":{}}"#;
    let proxy = HttpProxy::to(dynamodb::port(), vec![answer("BatchGetItem", 0..1, 200, Body::Text(old))]);
    let project = behind(&proxy, table, "", &numbers(0..5));
    put(table, &json!({ "k": { "S": "00000" }, "n": { "N": "-1" }, "s": { "S": "changed" } }));
    put(
        table,
        &json!({ "k": { "S": "00001" }, "n": { "N": "1.0" }, "s": { "S": "s1" }, "x": { "S": "same to us" } }),
    );
    put(table, &json!({ "k": { "S": "00003" }, "n": { "N": "-3" } }));
    let before = items(table);
    // Of 2, somebody took the item away; 4 is new.
    assert_counts(&migrate(&project, 1, &[]), [1, 0, 1, 3]);
    let conflict = |k: &str| [k, "conflict", "ConditionalCheckFailedException", "", "1"].map(str::to_owned);
    assert_eq!(failures(&project), [conflict("00000"), conflict("00002"), conflict("00003")]);
    let after = items(table);
    for k in ["00000", "00001", "00003"] {
        assert_eq!(after[k], before[k], "{k}");
    }
    assert_eq!(after.len(), 4);
}

/// Kills a run at a point, maybe changes something, and lets it go on.
fn killed(table: &str, entity: &str, fault: &str, meddle: impl FnOnce()) -> (Project, Json) {
    let project = project(table, entity, FIELDS, &numbers(0..60));
    for id in 0..20 {
        put(
            table,
            &json!({ "k": { "S": format!("{id:05}") }, "n": { "N": "-1" }, "own": { "N": id.to_string() } }),
        );
    }
    let mut environment = ENVIRONMENT.to_vec();
    environment.push(("RECON_FAULT", fault));
    let ran = project.recon_with(&["migrate", "--batch-size", "30", "--concurrency", "1"], &environment);
    assert_eq!(ran.code, -1, "{fault}: {ran:?}");
    meddle();
    let ran = recon(&project, &["migrate", "--format", "json"]);
    let told: Json = serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    (project, told)
}

/// The changes of the newest run's manifest.
fn changes(project: &Project) -> Vec<Json> {
    let pattern = format!("{}/home/runs/*/entities/row/manifest/segment-*.zst", project.path("").display());
    let mut all = Vec::new();
    for path in glob::glob(&pattern).expect("a glob") {
        let bytes = std::fs::read(path.expect("a path")).expect("a segment");
        let text =
            String::from_utf8(zstd::decode_all(bytes.as_slice()).expect("whole frames")).expect("a text");
        all.extend(text.lines().map(|line| serde_json::from_str::<Json>(line).expect("a change")));
    }
    all
}

#[test]
fn killed_anywhere_each_item_is_written_once_and_its_first_old_image_is_kept() {
    let passes = [
        ("", "images", "dynamodb.images-kept:1"),
        ("", "first", "dynamodb.item-written:1"),
        ("", "seventh", "dynamodb.item-written:7"),
        ("", "second", "dynamodb.item-written:40"),
        ("", "applied", "migrate.applied:1"),
        ("exclusive = true", "chunk", "dynamodb.chunk-written:1"),
        ("exclusive = true", "chunks", "dynamodb.chunk-written:4"),
        ("version = \"n\"", "versioned", "dynamodb.item-written:3"),
    ];
    for (entity, name, fault) in passes {
        let table = format!("killed_{name}");
        let (project, told) = killed(&table, entity, fault, || {});
        assert_counts(&told["entities"]["row"], [40, 20, 0, 0]);
        let changes = changes(&project);
        let keys: std::collections::BTreeSet<String> =
            changes.iter().map(|change| change["key"].to_string()).collect();
        assert_eq!((changes.len(), keys.len()), (60, 60), "{fault}: an image for each item, and only one");
        for change in &changes {
            let is_update = change["op"] == "update";
            assert_eq!(
                change["pre"]["n"],
                if is_update { json!({ "N": "-1" }) } else { Json::Null },
                "{change}"
            );
        }
        let found = items(&table);
        assert_eq!(
            (found.len(), &found["00007"]["own"], &found["00007"]["n"]),
            (60, &json!({ "N": "7" }), &json!({ "N": "7" }))
        );
        diff_finds_nothing(&project);
    }
}

#[test]
fn what_somebody_changed_between_a_kill_and_the_resume_is_a_conflict() {
    let table = "killed_and_changed";
    let (project, told) = killed(table, "", "dynamodb.images-kept:1", || {
        put(table, &json!({ "k": { "S": "00003" }, "n": { "N": "99" } }));
        put(table, &json!({ "k": { "S": "00025" }, "n": { "N": "25" }, "s": { "S": "another's" } }));
        ask("DeleteItem", &json!({ "TableName": table, "Key": { "k": { "S": "00004" } } }));
    });
    assert_counts(&told["entities"]["row"], [39, 18, 0, 3]);
    let codes: Vec<String> =
        failures(&project).into_iter().map(|[k, class, code, ..]| format!("{k} {class} {code}")).collect();
    let conflict = |k: &str| format!("{k} conflict ConditionalCheckFailedException");
    assert_eq!(codes, [conflict("00003"), conflict("00004"), conflict("00025")]);
    let found = items(table);
    assert_eq!(
        (&found["00003"]["n"], &found["00025"]["s"], found.get("00004")),
        (&json!({ "N": "99" }), &json!({ "S": "another's" }), None)
    );
}

#[test]
fn without_images_a_killed_run_finds_what_it_wrote() {
    let table = "killed_no_undo";
    let project = project(table, "", FIELDS, &numbers(0..60));
    let mut environment = ENVIRONMENT.to_vec();
    environment.push(("RECON_FAULT", "dynamodb.item-written:20"));
    let ran = project.recon_with(&["migrate", "--no-undo"], &environment);
    assert_eq!(ran.code, -1, "{ran:?}");
    let told = migrate(&project, 0, &[]);
    let there = told["unchanged"].as_u64().expect("a count");
    assert!(there >= 20 && told["inserted"].as_u64() == Some(60 - there), "{told}");
    diff_finds_nothing(&project);
}

#[test]
fn a_connection_that_breaks_in_the_middle_costs_nothing() {
    let table = "broken_connections";
    // An answer that is none: the connection ends in it.
    let cut = Body::Text("{\"Attri");
    let proxy = HttpProxy::to(dynamodb::port(), vec![answer("PutItem", 17..18, 200, cut)]);
    let project = behind(&proxy, table, "", &numbers(0..50));
    assert_counts(&migrate(&project, 0, &[]), [50, 0, 0, 0]);
    assert_eq!(items(table).len(), 50);
}

#[test]
fn a_service_that_cannot_write_or_read_just_now_leaves_records_to_be_replayed() {
    let error = Body::Error("InternalServerError", "not today");
    for (table, operation, entity, requests) in
        [("no_reads", "BatchGetItem", "", 4), ("no_chunks", "BatchWriteItem", "exclusive = true", 4)]
    {
        let proxy = HttpProxy::to(dynamodb::port(), vec![answer(operation, 0..u64::MAX, 500, error)]);
        let project = behind(&proxy, table, entity, &numbers(0..20));
        assert_counts(&migrate(&project, 1, &["--backoff", "1ms"]), [0, 0, 0, 20]);
        let failed = failures(&project);
        assert!(failed.iter().all(|row| row[1..3] == ["retryable", "InternalServerError"]), "{failed:?}");
        assert_eq!(proxy.seen(operation), requests, "{operation}");
        proxy.step_aside();
        let ran = recon(&project, &["replay"]);
        assert_eq!((ran.code, items(table).len()), (0, 20), "{ran:?}");
    }
}

#[test]
fn an_item_of_many_attributes_is_changed_too() {
    let (table, names) = ("many_attributes", 0..200);
    let fields: String =
        names.clone().map(|n| format!("f{n} = {{ from = \"f{n}\", type = \"int\" }}\n")).collect();
    let mut line = json!({ "k": "1" });
    for n in names.clone() {
        line[format!("f{n}")] = json!(n);
    }
    let project = project(table, "", &format!("k = \"k\"\n{fields}"), &[line]);
    put(table, &json!({ "k": { "S": "1" }, "f7": { "N": "-1" }, "own": { "S": "kept" } }));
    let mut there = items(table)["1"].clone();
    for n in names.filter(|n| n % 4 != 0) {
        there[format!("f{n}")] = json!({ "N": n.to_string() });
    }
    put(table, &there);
    assert_counts(&migrate(&project, 0, &[]), [0, 1, 0, 0]);
    assert_eq!(
        (&items(table)["1"]["f196"], &items(table)["1"]["own"]),
        (&json!({ "N": "196" }), &json!({ "S": "kept" }))
    );
    diff_finds_nothing(&project);
}
