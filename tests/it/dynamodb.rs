//! DynamoDB as a side: a scan gives what was written, by every type; a partition alone; what goes wrong.

use serde_json::{Value, json};

use crate::project::Project;
use crate::servers::dynamodb::{self, ENVIRONMENT, ask, endpoint};

fn table(name: &str) {
    dynamodb::table(name, &[("pk", "S"), ("sk", "N")]);
}

fn put(table: &str, item: &Value) {
    ask("PutItem", &json!({ "TableName": table, "Item": item }));
}

fn item(n: usize) -> Value {
    json!({
        "pk": { "S": format!("P#{}", n % 3) }, "sk": { "N": n.to_string() },
        "text": { "S": "é\n\"" }, "empty": { "S": "" }, "number": { "N": "123456789012345678901234567890.12345678" },
        "bytes": { "B": "AP8=" }, "flag": { "BOOL": true }, "nothing": { "NULL": true },
        "words": { "SS": ["b", "a"] }, "numbers": { "NS": ["1", "2.50"] }, "blobs": { "BS": ["AA==", "AQ=="] },
        "list": { "L": [{ "N": "1" }, { "S": "x" }, { "M": {} }] },
        "map": { "M": { "inner": { "L": [{ "NULL": true }] } } },
    })
}

fn dataset(name: &str, table: &str, more: &str) -> String {
    format!(
        "[datasets.{name}]\nkind = \"dynamodb\"\ntable = \"{table}\"\nregion = \"eu-central-1\"\nendpoint = \"{}\"\n{more}\n\n",
        endpoint()
    )
}

const ENTITY: &str = "[entities.row]\nsource = \"a\"\ntarget = \"b\"\nkey = [\"pk\", \"sk\"]\n";

#[test]
fn every_type_is_exact_and_one_changed_attribute_is_found_as_that() {
    let (first, second) = ("types_a", "types_b");
    let project = Project::new();
    let mut lines = String::new();
    for name in [first, second] {
        table(name);
        for n in 0..40 {
            put(name, &item(n));
        }
    }
    for n in 0..40 {
        lines.push_str(&format!("{}\n", json!({ "Item": item(n) })));
    }
    project.write("export/data.json", lines);
    // Two tables, and a table and its export.
    project.write(
        "recon.toml",
        dataset("a", first, "segments = 3") + &dataset("b", second, "consistent = true") + ENTITY,
    );
    let staged = project.recon_with(&["stage"], &ENVIRONMENT);
    assert_eq!(staged.code, 0, "{}", staged.stderr);
    assert!(staged.stdout.contains("a: 40 rows from 3 units"), "{}", staged.stdout);
    assert!(staged.stderr.contains("not one moment"), "{}", staged.stderr);
    let ran = project.recon(&["diff", "--out", "out"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let export = "[datasets.b]\nkind = \"dynamodb-export\"\nuri = \"export\"\n\n";
    project.write("recon.toml", dataset("a", first, "") + export + ENTITY);
    assert_eq!(project.recon_with(&["stage"], &ENVIRONMENT).code, 0);
    let ran = project.recon(&["diff", "--out", "out"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(project.summary("out")["entities"]["row"]["matched"], 40);
    // Each attribute of another item changes.
    let changes = [
        ("text", json!({ "S": "é\n" })),
        ("empty", json!({ "NULL": true })),
        ("number", json!({ "N": "123456789012345678901234567890.12345679" })),
        ("bytes", json!({ "B": "AP4=" })),
        ("flag", json!({ "BOOL": false })),
        ("nothing", json!({ "S": "" })),
        ("words", json!({ "SS": ["b", "c"] })),
        ("numbers", json!({ "NS": ["1", "2.51"] })),
        ("blobs", json!({ "BS": ["AA=="] })),
        ("list", json!({ "L": [{ "S": "x" }, { "N": "1" }, { "M": {} }] })),
        ("map", json!({ "M": { "inner": { "L": [] } } })),
    ];
    for (n, (name, value)) in changes.iter().enumerate() {
        let mut changed = item(n);
        changed[*name] = value.clone();
        put(first, &changed);
    }
    assert_eq!(project.recon_with(&["stage"], &ENVIRONMENT).code, 0);
    let ran = project.recon(&["diff", "--out", "out"]);
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    let expected: Vec<(usize, String)> =
        changes.iter().enumerate().map(|(n, (name, _))| (n, (*name).to_owned())).collect();
    assert_eq!(project.mismatches("out", "row"), expected);
}

#[test]
fn a_partition_is_queried_alone() {
    table("partition");
    for n in 0..30 {
        put("partition", &item(n));
    }
    let project = Project::new();
    let one = dataset("a", "partition", "partition = \"P#1\"");
    project.write(
        "recon.toml",
        one + &dataset("b", "partition", "max_rcu = 1000") + ENTITY + "target_where = \"pk = 'P#1'\"\n",
    );
    let staged = project.recon_with(&["stage"], &ENVIRONMENT);
    assert_eq!(staged.code, 0, "{}", staged.stderr);
    assert!(staged.stdout.contains("a: 10 rows from 1 unit"), "{}", staged.stdout);
    assert_eq!(project.recon(&["diff"]).code, 0);
}

#[test]
fn what_goes_wrong_is_said_with_its_next_step() {
    let project = Project::new();
    project.write("recon.toml", dataset("a", "nowhere", "") + &dataset("b", "nowhere", "") + ENTITY);
    let ran = project.recon_with(&["stage"], &ENVIRONMENT);
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    assert!(ran.stderr.contains("DynamoDB table nowhere: ResourceNotFoundException"), "{}", ran.stderr);
    assert!(ran.stderr.contains("check the table's name, the region"), "{}", ran.stderr);
    let closed = dataset("a", "nowhere", "").replace(&endpoint(), "http://127.0.0.1:1");
    project.write("recon.toml", closed + &dataset("b", "nowhere", "") + ENTITY);
    let ran = project.recon_with(&["stage"], &ENVIRONMENT);
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    assert!(ran.stderr.contains("check that the endpoint is there"), "{}", ran.stderr);
    let nobody = [
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
    ];
    let ran = project.recon_with(&["stage"], &nobody);
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    assert!(ran.stderr.contains("no credentials were found; tried: environment"), "{}", ran.stderr);
}

#[test]
fn the_pace_is_no_part_of_what_is_staged() {
    dynamodb::table_of_numbers("paced", 8);
    let project = Project::new();
    let entity = ENTITY.replace("\"pk\", \"sk\"", "\"k\"");
    let spec = |more: &str| dataset("a", "paced", more) + &dataset("b", "paced", "segments = 4") + &entity;
    project.write("recon.toml", spec("segments = 4\nmax_rcu = 1000000"));
    let stage = |args: &[&str]| project.recon_with(&[&["stage"], args].concat(), &ENVIRONMENT);
    // Four segments of half a unit each: the flag's rate counts, not the spec's.
    let paced = stage(&["source", "--max-rcu", "8", "-v", "-v", "--threads", "1"]);
    assert_eq!(paced.code, 0, "{}", paced.stderr);
    assert!(paced.stderr.contains("for 8 read capacity units a second"), "{}", paced.stderr);
    assert!(!paced.stderr.contains("warning: --max-rcu"), "{}", paced.stderr);
    assert_eq!(stage(&["target"]).code, 0);
    for more in ["segments = 4\nmax_rcu = 3", "segments = 4", "segments = 2"] {
        project.write("recon.toml", spec(more));
        let ran = project.recon(&["diff"]);
        assert_eq!(ran.code, 0, "{more}: {}", ran.stderr);
    }
    project.write("recon.toml", spec("consistent = true"));
    assert_eq!(project.recon(&["diff"]).code, 4, "that is another reading");
    for wrong in ["0", "-1", "1.5", "many", "4294967296"] {
        let ran = stage(&["--max-rcu", wrong]);
        assert!(ran.code == 2 && ran.stderr.contains("is no rate"), "{wrong}: {}", ran.stderr);
    }
    let csv =
        "[datasets.a]\nkind = \"csv\"\nuri = \"a.csv\"\n\n[datasets.b]\nkind = \"csv\"\nuri = \"a.csv\"\n\n";
    project.write("a.csv", "k\n1\n");
    project.write("recon.toml", csv.to_owned() + &entity);
    let ran = stage(&["--max-rcu", "8"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("warning: --max-rcu changes nothing"), "{}", ran.stderr);
}

#[test]
fn what_is_missing_is_named() {
    let project = Project::new();
    let stage = |table: &str, more: &str| {
        let dataset =
            |name: &str| format!("[datasets.{name}]\nkind = \"dynamodb\"\ntable = \"{table}\"\n{more}\n\n");
        let entity = "[entities.row]\nsource = \"a\"\ntarget = \"b\"\nkey = [\"k\"]\n";
        project.write("recon.toml", dataset("a") + &dataset("b") + entity);
        let none = [
            ("AWS_CONFIG_FILE", "none"),
            ("AWS_SHARED_CREDENTIALS_FILE", "none"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ];
        let keys = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")];
        project.recon_with(&["stage"], &[&none[..], &keys[..]].concat())
    };
    let ran = stage("images", "");
    assert!(ran.code == 4 && ran.stderr.contains("no region is known"), "{}", ran.stderr);
    let endpoint = format!("endpoint = \"{}\"", endpoint());
    let ran = stage("images", &endpoint);
    assert!(ran.code == 4 && ran.stderr.contains("no region is known"), "{}", ran.stderr);
    let ran = stage("ab", &format!("region = \"eu-central-1\"\n{endpoint}"));
    assert!(ran.code == 4 && ran.stderr.contains("check the table's name"), "{}", ran.stderr);
}
