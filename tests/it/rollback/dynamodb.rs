//! The cases that apply to DynamoDB. There are no foreign keys, no triggers and no columns: an item is all that it holds.

use serde_json::{Value as Json, json};

use super::bench::{Bench, FIELDS, Kind};
use crate::servers::dynamodb::{self, ask};

/// A bench with a table of its own, whose key `k` is a number.
fn bench(name: &str) -> Bench {
    let name = format!("rollback_{name}");
    dynamodb::table(&name, &[("k", "N")]);
    Bench::new(Kind::Dynamodb(name))
}

fn record(k: i64) -> Json {
    json!({ "k": k, "name": format!("name {k}"), "n": k * 10 })
}

/// The even ones of twenty items are there, and twenty records are staged.
fn filled(name: &str) -> Bench {
    let bench = bench(name);
    for k in (0..20).step_by(2) {
        bench.put(&json!({ "k": { "N": k.to_string() }, "name": { "S": "before" }, "n": { "N": k.to_string() }, "own": { "SS": ["b", "a"] } }));
    }
    bench.stage((0..20).map(record));
    bench
}

impl Bench {
    fn table(&self) -> &str {
        match &self.kind {
            Kind::Dynamodb(name) => name,
            _ => panic!("another store"),
        }
    }

    fn put(&self, item: &Json) {
        ask("PutItem", &json!({ "TableName": self.table(), "Item": item }));
    }

    fn remove(&self, k: i64) {
        ask("DeleteItem", &json!({ "TableName": self.table(), "Key": { "k": { "N": k.to_string() } } }));
    }

    fn item(&self, k: i64) -> Json {
        let key = json!({ "k": { "N": k.to_string() } });
        ask("GetItem", &json!({ "TableName": self.table(), "Key": key, "ConsistentRead": true }))["Item"]
            .clone()
    }

    /// Sets attributes of an item.
    fn set(&self, k: i64, name: &str, value: &Json) {
        let mut item = self.item(k);
        item[name] = value.clone();
        self.put(&item);
    }

    /// All items in the order of their keys, sets in one order.
    pub(super) fn items(&self) -> Vec<Json> {
        let mut all = Vec::new();
        let mut start = Json::Null;
        loop {
            let mut request = json!({ "TableName": self.table(), "ConsistentRead": true });
            if !start.is_null() {
                request["ExclusiveStartKey"] = start;
            }
            let page = ask("Scan", &request);
            all.extend(page["Items"].as_array().expect("items").iter().cloned().map(sorted));
            start = page["LastEvaluatedKey"].clone();
            if start.is_null() {
                break;
            }
        }
        all.sort_by_key(|item| item["k"]["N"].as_str().and_then(|k| k.parse::<i64>().ok()));
        all
    }
}

/// An item with its attributes and sets in one order.
fn sorted(item: Json) -> Json {
    match item {
        Json::Object(map) => {
            let mut all: Vec<(String, Json)> = map.into_iter().collect();
            all.sort_by(|a, b| a.0.cmp(&b.0));
            let value = |name: &str, value: Json| match value {
                Json::Array(mut all) if matches!(name, "SS" | "NS" | "BS") => {
                    all.sort_by_key(Json::to_string);
                    Json::Array(all)
                }
                other => sorted(other),
            };
            all.into_iter()
                .map(|(name, one)| {
                    let one = value(&name, one);
                    (name, one)
                })
                .collect()
        }
        Json::Array(all) => all.into_iter().map(sorted).collect(),
        other => other,
    }
}

#[test]
fn target_edited_later() {
    let bench = filled("edited");
    let before = bench.items();
    bench.migrate().has(&[("inserted", 10), ("updated", 10)]);
    bench.set(4, "n", &json!({ "N": "-1" }));
    bench.set(5, "own", &json!({ "S": "theirs" }));
    let plan = bench.told(&["rollback", "plan", "--run", "last"], 1);
    plan.has(&[("restored", 9), ("removed", 9), ("conflicts", 2)]);
    let told = bench.rolls_back(&["--run", "last"], 1);
    told.has(&[("restored", 9), ("removed", 9), ("conflicts", 2), ("failed", 0)]);
    let conflicts = bench.report(&told, "conflicts.csv", &["k", "kind", "field", "old", "ours", "now"]);
    assert!(conflicts.contains(&"4,changed,n,4,40,-1".to_owned()), "{conflicts:?}");
    assert!(conflicts.contains(&"5,changed,own,,,theirs".to_owned()), "{conflicts:?}");
    assert_eq!(
        (bench.item(4)["n"]["N"].clone(), bench.item(5)["own"]["S"].clone()),
        (json!("-1"), json!("theirs"))
    );
    let others = |items: Vec<Json>| -> Vec<Json> {
        items.into_iter().filter(|item| item["k"]["N"] != "4" && item["k"]["N"] != "5").collect()
    };
    assert_eq!(others(bench.items()), others(before));
    bench.runs(&["rollback", "verify", "--run", &told.run_id()], 1);
}

#[cfg(feature = "faults")]
#[test]
fn killed_in_the_middle() {
    let bench = filled("killed");
    let before = bench.items();
    let points = crate::faults::points::points();
    // There are no transactions here.
    let points = points.iter().filter(|point| {
        point.starts_with("rollback.")
            && !["rollback.before-commit", "rollback.committed"].contains(&point.as_str())
    });
    for point in points.map(String::as_str).chain([
        "rollback.item-written:9",
        "rollback.intent:2",
        "manifest.before-sync:2",
    ]) {
        bench.migrate().has(&[("inserted", 10), ("updated", 10)]);
        bench.is_killed(&["rollback", "apply", "--run", "last"], point);
        let told = bench.rolls_back(&["--run", "last"], 0);
        assert_eq!(bench.items(), before, "{point}: {told:?}");
        told.has(&[("rolled_back", 20), ("unchanged", 0), ("pending", 0), ("conflicts", 0)]);
    }
}

#[test]
fn run_twice_and_migrated_and_rolled_back_twice() {
    let bench = filled("twice");
    let before = bench.items();
    let first = bench.migrate().run_id();
    let after = bench.items();
    let back = bench.rolls_back(&["--run", &first], 0);
    back.has(&[("restored", 10), ("removed", 10)]);
    assert_eq!(bench.items(), before);
    bench.rolls_back(&["--run", &first], 0).has(&[("rolled_back", 0), ("unchanged", 20)]);
    bench.migrate().has(&[("inserted", 10), ("updated", 10)]);
    bench.rolls_back(&["--run", "last"], 0).has(&[("rolled_back", 20)]);
    assert_eq!(bench.items(), before);
    bench.rolls_back(&["--run", &back.run_id()], 0).has(&[("inserted", 10), ("restored", 10)]);
    assert_eq!(bench.items(), after);
}

#[test]
fn row_already_deleted_and_key_recreated_by_others() {
    let bench = filled("deleted");
    bench.migrate();
    bench.remove(2);
    bench.remove(3);
    bench.remove(5);
    bench.put(&json!({ "k": { "N": "5" }, "name": { "S": "theirs" } }));
    let told = bench.rolls_back(&["--run", "last"], 1);
    told.has(&[("unchanged", 1), ("conflicts", 2), ("restored", 9), ("removed", 8), ("inserted", 0)]);
    let mut kinds = bench.report(&told, "conflicts.csv", &["k", "kind"]);
    kinds.dedup();
    assert_eq!(kinds.iter().filter(|row| *row == "2,deleted").count(), 1, "{kinds:?}");
    assert!(kinds.contains(&"5,changed".to_owned()), "{kinds:?}");
    assert_eq!((bench.item(2), bench.item(5)["name"]["S"].clone()), (Json::Null, json!("theirs")));
}

#[test]
fn one_key_written_by_two_runs_and_replay_keeps_the_first_old_image() {
    let bench = filled("two_runs");
    let before = bench.items();
    // Half of the records do not go in, and are written by a replay.
    bench.stage((0..20).map(|k| json!({ "k": k, "name": format!("name {k}"), "n": if k < 10 { json!(k * 10) } else { json!("many") } })));
    bench.told(&["migrate", "--batch-size", "7"], 1).has(&[("failed", 10)]);
    let first = bench.newest("migrate");
    bench.stage((0..20).map(record));
    bench.told(&["replay"], 0).has(&[("inserted", 5), ("updated", 5)]);
    bench.stage((0..20).map(|k| json!({ "k": k, "name": "second", "n": -1 })));
    let second = bench.migrate();
    second.has(&[("updated", 20)]);
    bench.rolls_back(&["--run", &first], 1).has(&[("conflicts", 10), ("rolled_back", 0)]);
    bench.rolls_back(&["--since", "1h"], 0).has(&[("restored", 30), ("removed", 10), ("conflicts", 0)]);
    assert_eq!(bench.items(), before);
}

#[test]
fn soft_deleted_source_and_version_forward() {
    let bench = bench("version");
    bench.put(&json!({ "k": { "N": "1" }, "name": { "S": "gone" }, "isDeleted": { "BOOL": true }, "version": { "N": "5" }, "ttl": { "N": "4102444800" } }));
    bench.spec(
        "version = \"version\"",
        "k = { from = \"k\", type = \"int\" }\nname = \"name\"\nversion = { from = \"v\", type = \"int\" }\nisDeleted = { from = \"d\", type = \"bool\" }",
    );
    bench.stage((1..3).map(|k| json!({ "k": k, "name": "second", "v": 6, "d": false })));
    bench.migrate().has(&[("updated", 1), ("inserted", 1)]);
    bench.stage((1..3).map(|k| json!({ "k": k, "name": "third", "v": 8, "d": false })));
    bench.migrate().has(&[("updated", 2)]);
    let told = bench.rolls_back(&["--since", "1h"], 0);
    told.has(&[("restored", 3), ("removed", 1), ("conflicts", 0)]);
    let expected = json!({ "isDeleted": { "BOOL": true }, "k": { "N": "1" }, "name": { "S": "gone" }, "ttl": { "N": "4102444800" }, "version": { "N": "10" } });
    assert_eq!(bench.items(), [expected]);
    bench.runs(&["rollback", "verify", "--run", &told.run_id()], 0);
}

#[cfg(feature = "faults")]
#[test]
fn torn_segment_and_image_captured_and_never_written() {
    let bench = filled("torn");
    let before = bench.items();
    let args = ["migrate", "--batch-size", "5", "--concurrency", "1"];
    bench.is_killed(&args, "manifest.before-sync:3");
    let run = bench.newest("migrate");
    let segment = bench.manifest(&run).join("segment-000000.jsonl.zst");
    let bytes = std::fs::read(&segment).expect("a segment");
    std::fs::write(&segment, &bytes[..bytes.len() - 7]).expect("a file");
    bench.rolls_back(&["--run", &run], 0).has(&[("rolled_back", 10), ("conflicts", 0)]);
    assert_eq!(bench.items(), before);
    // Old images of the second batch are on disk, and nothing of it is written; then a part of it is.
    for (point, written) in [("dynamodb.images-kept:2", 5), ("dynamodb.item-written:8", 5)] {
        bench.is_killed(&args, point);
        let run = bench.newest("migrate");
        let told = bench.rolls_back(&["--run", &run], 0);
        assert!(
            told.of("rolled_back") >= written && told.of("rolled_back") + told.of("unchanged") == 10,
            "{told:?}"
        );
        told.has(&[("conflicts", 0)]);
        assert_eq!(bench.items(), before, "{point}");
    }
}

#[test]
fn key_names_changed_since() {
    let bench = filled("key");
    bench.migrate();
    ask("DeleteTable", &json!({ "TableName": bench.table() }));
    dynamodb::table(bench.table(), &[("id", "N")]);
    let ran = bench.runs(&["rollback", "apply", "--run", "last"], 2);
    assert!(ran.stderr.contains("`k`"), "{ran:?}");
}

/// What was to live for a time only is restored, and it is said that the store will take it away again; what the store took away is not
/// made again.
#[test]
fn expired_time_to_live() {
    let bench = bench("ttl");
    let setting = json!({ "Enabled": true, "AttributeName": "until" });
    ask("UpdateTimeToLive", &json!({ "TableName": bench.table(), "TimeToLiveSpecification": setting }));
    let long_ago = "1000000000";
    // An item whose time is past by more than five years is never taken away by itself.
    for k in 1..3 {
        bench.put(
            &json!({ "k": { "N": k.to_string() }, "name": { "S": "before" }, "until": { "N": long_ago } }),
        );
    }
    bench.spec(
        "",
        "k = { from = \"k\", type = \"int\" }\nname = \"name\"\nuntil = { from = \"until\", type = \"int\" }",
    );
    bench.stage((1..3).map(|k| json!({ "k": k, "name": "new", "until": 4_102_444_800_i64 })));
    bench.migrate().has(&[("updated", 2)]);
    bench.remove(2);
    let told = bench.rolls_back(&["--run", "last"], 1);
    told.has(&[("restored", 1), ("expired", 1), ("conflicts", 1)]);
    assert_eq!(bench.items().len(), 1);
    assert_eq!(bench.item(1)["until"]["N"], long_ago);
}

/// Attributes that point to an object elsewhere, items near 400 KB, bytes, sets, nested maps, and numbers of 38 digits.
#[test]
fn large_binary_exact_values_and_attributes_kept_elsewhere() {
    let bench = bench("large");
    let large: String =
        (0..60_000).map(|i| format!("{:x}", i * 7919)).collect::<String>().chars().take(390_000).collect();
    bench.put(&json!({ "k": { "N": "1" }, "name": { "S": large }, "n": { "N": "1" } }));
    bench.put(&json!({
        "k": { "N": "2" }, "name": { "S": "" }, "n": { "N": "12345678901234567890123456789012345678" }, "bytes": { "B": "AP8n" },
        "sets": { "M": { "s": { "SS": ["b", "a", ""] }, "n": { "NS": ["1E-130", "9.9E+125", "-7"] }, "b": { "BS": ["AA==", "/w=="] } } },
        "list": { "L": [{ "NULL": true }, { "BOOL": false }, { "M": {} }, { "L": [] }] },
        "attributes": { "S": "s3://bucket/attributes/2.json" }
    }));
    let before = bench.items();
    bench.spec("", &format!("{FIELDS}\nattributes = \"attributes\""));
    bench.stage(
        (1..4).map(
            |k| json!({ "k": k, "name": "new", "n": k, "attributes": "s3://bucket/attributes/new.json" }),
        ),
    );
    bench.migrate().has(&[("updated", 2), ("inserted", 1)]);
    let told = bench.rolls_back(&["--run", "last"], 0);
    told.has(&[("restored", 2), ("removed", 1), ("altered", 0)]);
    assert_eq!(bench.items(), before);
    bench.runs(&["rollback", "verify", "--run", &told.run_id()], 0);
}

#[test]
fn single_records_merge_and_force() {
    let bench = filled("single");
    bench.migrate();
    bench.rolls_back(&["--ids", "2,3"], 0).has(&[("restored", 1), ("removed", 1)]);
    bench.migrate().has(&[("records", 2), ("inserted", 1), ("updated", 1)]);
    bench.set(4, "n", &json!({ "N": "-1" }));
    bench.remove(6);
    let told = bench.rolls_back(&["--ids", "4,5,6", "--on-conflict", "merge"], 1);
    told.has(&[("merged", 1), ("removed", 1), ("conflicts", 1)]);
    assert_eq!(
        (bench.item(4)["name"]["S"].clone(), bench.item(4)["n"]["N"].clone()),
        (json!("before"), json!("-1"))
    );
    bench.rolls_back(&["--ids", "6", "--on-conflict", "force"], 0).has(&[("forced", 1), ("inserted", 1)]);
    assert_eq!(bench.item(6)["name"]["S"], "before");
}
