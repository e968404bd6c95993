//! DynamoDB. The SDK takes its credentials from the environment, so all but one of these run in a process of their own.

use std::process::Command;

use recon::error::Error;
use recon::ledger::manifest::Change;
use recon::migrate::undo::{Kind, OnConflict, Undone};
use serde_json::{Value as Json, json};

use super::{Made, Migrated, counts, kinds};
use crate::servers::dynamodb::{self, ENVIRONMENT, ask};

#[test]
fn in_a_process_with_credentials() {
    let ran = Command::new(std::env::current_exe().expect("this program"))
        .args(["--ignored", "undo::dynamodb::"])
        .envs(ENVIRONMENT)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains(" 6 passed"), "{said}");
}

/// A table, its items of before, and lines that were migrated over them.
struct Table {
    migrated: Migrated,
    name: String,
    before: Vec<Json>,
}

impl std::ops::Deref for Table {
    type Target = Migrated;

    fn deref(&self) -> &Migrated {
        &self.migrated
    }
}

const FIELDS: &str = "k = \"k\"\na = \"a\"\nb = \"b\"";

impl Table {
    fn new(name: &str, fields: &str, more: &str, items: &[Json], lines: &[Json]) -> Self {
        dynamodb::table(name, &[("k", "S")]);
        for item in items {
            put(name, item);
        }
        let before = dump(name);
        let dataset =
            format!("kind = \"dynamodb\"\ntable = \"{name}\"\nendpoint = \"{}\"", dynamodb::endpoint());
        let lines: Vec<String> = lines.iter().map(Json::to_string).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let migrated = Migrated::staged(&dataset, fields, more, &lines);
        migrated.migration.runs(&["migrate"], 0);
        Self { migrated, name: name.to_owned(), before }
    }

    /// Items 1 and 2 that were there, 3 and 4 that were not.
    fn simple(name: &str) -> Self {
        let old = |k: &str| json!({ "k": { "S": k }, "a": { "S": "old" }, "b": { "S": "old" }, "c": { "S": "kept" } });
        let new = |k: &str| json!({ "k": k, "a": "new", "b": "new" });
        Self::new(name, FIELDS, "", &[old("1"), old("2")], &["1", "2", "3", "4"].map(new))
    }

    fn put(&self, item: &Json) {
        put(&self.name, item);
    }

    fn delete(&self, k: &str) {
        ask("DeleteItem", &json!({ "TableName": self.name, "Key": { "k": { "S": k } } }));
    }

    /// Gives an attribute of an item a text.
    fn set(&self, k: &str, attribute: &str, text: &str) {
        ask(
            "UpdateItem",
            &json!({ "TableName": self.name, "Key": { "k": { "S": k } }, "UpdateExpression": "SET #a = :v",
                     "ExpressionAttributeNames": { "#a": attribute }, "ExpressionAttributeValues": { ":v": { "S": text } } }),
        );
    }

    fn dump(&self) -> Vec<Json> {
        dump(&self.name)
    }

    /// The attributes `a` and `b` of each item.
    fn texts(&self) -> String {
        let text = |item: &Json, name: &str| item[name]["S"].as_str().unwrap_or("-").to_owned();
        let rows = self.dump();
        let rows = rows.iter().map(|i| format!("{} {} {}", text(i, "k"), text(i, "a"), text(i, "b")));
        rows.collect::<Vec<_>>().join(", ")
    }
}

fn put(table: &str, item: &Json) {
    ask("PutItem", &json!({ "TableName": table, "Item": item }));
}

/// Every item as the store gives it, sets in an order of ours.
fn dump(table: &str) -> Vec<Json> {
    let page = ask("Scan", &json!({ "TableName": table, "ConsistentRead": true }));
    assert!(page.get("LastEvaluatedKey").is_none_or(Json::is_null), "more than a page");
    let mut items: Vec<Json> = page["Items"].as_array().expect("items").iter().map(sorted).collect();
    items.sort_by_key(|item| item["k"].to_string());
    items
}

fn sorted(value: &Json) -> Json {
    match value {
        Json::Object(map) => {
            let mut entries: Vec<(String, Json)> =
                map.iter().map(|(name, value)| (name.clone(), sorted(value))).collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            for (name, value) in &mut entries {
                if let (true, Json::Array(all)) = (matches!(name.as_str(), "SS" | "NS" | "BS"), value) {
                    all.sort_by_key(Json::to_string);
                }
            }
            Json::Object(entries.into_iter().collect())
        }
        Json::Array(all) => Json::Array(all.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

#[test]
#[ignore = "needs credentials in its environment"]
fn values_of_every_type_come_back_as_they_were() {
    let wide: serde_json::Map<String, Json> =
        (0..200).map(|i| (format!("w{i}"), json!({ "N": i.to_string() }))).collect();
    let mut items = vec![
        json!({ "k": { "S": "1" }, "a": { "S": "" }, "n": { "N": "12345678901234567890123456789012345678" },
                "m": { "N": "-1E-130" }, "x": { "N": "9.9999999999999999999999999999999999999E+125" }, "z": { "N": "100" },
                "b": { "B": "AP8=" }, "e": { "B": "" }, "t": { "BOOL": true }, "nil": { "NULL": true } }),
        json!({ "k": { "S": "2" }, "ss": { "SS": ["b", "a", ""] }, "ns": { "NS": ["2", "10", "-0.5"] }, "bs": { "BS": ["AP8=", "AA=="] },
                "l": { "L": [{ "L": [] }, { "M": {} }, { "S": "" }, { "N": "1" }, { "NULL": true }] },
                "deep": { "M": { "a b": { "M": { "c.d": { "SS": ["é"] } } }, "x": { "N": "0" } } }, "a": { "N": "7" } }),
        json!({ "k": { "S": "3" }, "a": { "S": "old" }, "large": { "S": "x".repeat(390 << 10) } }),
    ];
    items.push(json!({ "k": { "S": "4" } }));
    items[3].as_object_mut().expect("an item").extend(wide);
    let lines = ["1", "2", "3", "4", "5"].map(|k| json!({ "k": k, "a": "new" }));
    let table = Table::new("undo_types", "k = \"k\"\na = \"a\"", "", &items, &lines);
    let (made, migrated) = (table.made(), table.dump());
    assert_ne!(migrated, table.before);
    table.is_as_digested(&made);
    let (undone, back) = table.undone(&made, OnConflict::Skip);
    assert_eq!(counts(&undone), [4, 1, 0, 0, 0, 0], "{:?}", undone.faults);
    assert!(table.dump() == table.before, "other items than before");
    table.is_as_digested(&back);
    let (undone, forth) = table.undone(&back, OnConflict::Skip);
    assert_eq!(counts(&undone), [4, 0, 1, 0, 0, 0]);
    assert!(table.dump() == migrated, "other items than were migrated");
    let (undone, _) = table.undone(&forth, OnConflict::Skip);
    assert_eq!(counts(&undone), [4, 1, 0, 0, 0, 0]);
    let (undone, nothing) = table.undone(&made, OnConflict::Skip);
    assert_eq!((counts(&undone), nothing.changes.len()), ([0, 0, 0, 5, 0, 0], 0));
    // Whole items come back, too.
    ["1", "2", "3", "4"].iter().for_each(|k| table.delete(k));
    let (undone, _) = table.undone(&made, OnConflict::Force);
    assert_eq!((counts(&undone), undone.forced), ([0, 0, 4, 1, 0, 0], 4));
    assert!(table.dump() == table.before, "other items than before");
}

#[test]
#[ignore = "needs credentials in its environment"]
fn what_somebody_has_changed_since_is_a_conflict() {
    let table = Table::simple("undo_conflicts");
    table.set("1", "a", "mine");
    table.set("3", "later", "mine");
    table.delete("2");
    table.delete("4");
    let (made, there) = (table.made(), table.dump());
    let (undone, back) = table.undone(&made, OnConflict::Skip);
    assert_eq!((counts(&undone), back.changes.len()), ([0, 0, 0, 1, 3, 0], 0));
    let mut found = kinds(&undone);
    found.sort();
    assert_eq!(found, [Kind::Changed, Kind::Changed, Kind::Deleted]);
    assert_eq!(table.dump(), there);
    let (undone, _) = table.undone(&made, OnConflict::Merge);
    assert_eq!((counts(&undone), undone.merged), ([1, 0, 0, 1, 2, 0], 1));
    assert_eq!(table.texts(), "1 mine old, 3 new new");
    let (undone, back) = table.undone(&made, OnConflict::Force);
    assert_eq!((counts(&undone), undone.forced), ([1, 1, 1, 1, 0, 0], 3));
    assert_eq!(table.dump(), table.before);
    table.put(&json!({ "k": { "S": "3" }, "a": { "S": "mine" } }));
    let (undone, _) = table.undone(&back, OnConflict::Skip);
    assert_eq!((counts(&undone), kinds(&undone)), ([1, 1, 0, 0, 1, 0], vec![Kind::Recreated]));
}

#[test]
#[ignore = "needs credentials in its environment"]
fn what_changes_between_the_look_and_the_write_is_left_alone() {
    let table = Table::simple("undo_races");
    let (_, back) = table.undone(&table.made(), OnConflict::Skip);
    let (_, forth) = table.undone(&back, OnConflict::Skip);
    let newest = |made: &Made| made.changes.iter().rev().cloned().collect::<Vec<Change>>();
    let race = |made: &Made, change: &dyn Fn()| -> Undone {
        let mut images = |_: &mut Vec<Change>| {
            change();
            Ok(())
        };
        let undone = table.undone_with(made, &newest(made), &[], OnConflict::Force, &mut images);
        undone.unwrap_or_else(|e| panic!("{:?}", e.error()))
    };
    let undone = race(&forth, &|| {
        table.set("1", "c", "mine");
        table.set("3", "a", "mine");
        table.delete("2");
        table.delete("4");
    });
    // What was to go and has gone is as it was before.
    assert_eq!(counts(&undone)[..4], [0, 0, 0, 1]);
    let found: Vec<(&str, Kind)> = undone
        .conflicts
        .iter()
        .map(|(place, conflict)| (newest(&forth)[*place].key["k"]["S"].clone(), conflict.kind))
        .map(|(k, kind)| (if k == "1" || k == "3" { "there" } else { "gone" }, kind))
        .collect();
    assert_eq!(found.iter().filter(|f| **f == ("there", Kind::Changed)).count(), 2, "{found:?}");
    assert_eq!(found.iter().filter(|f| **f == ("gone", Kind::Deleted)).count(), 1, "{found:?}");
    assert_eq!(table.texts(), "1 new new, 3 mine new");
    let undone = race(&table.made(), &|| table.put(&json!({ "k": { "S": "2" }, "a": { "S": "mine" } })));
    assert_eq!((counts(&undone), kinds(&undone)), ([1, 1, 0, 1, 1, 0], vec![Kind::Recreated]));
    assert_eq!(table.texts(), "1 old old, 2 mine -");
}

#[test]
#[ignore = "needs credentials in its environment"]
fn what_an_earlier_try_has_written_is_done() {
    let table = Table::simple("undo_again");
    let (made, mut announced) = (table.made(), Vec::new());
    let changes: Vec<Change> = made.changes.iter().rev().cloned().collect();
    // The first try ends once its images are on disk.
    let mut images = |changes: &mut Vec<Change>| {
        changes.iter_mut().zip(1..).for_each(|(change, seq)| change.seq = seq);
        announced = changes.clone();
        Err(Error::failed("killed"))
    };
    assert!(table.undone_with(&made, &changes, &[], OnConflict::Skip, &mut images).is_err());
    assert_eq!((announced.len(), table.texts().as_str()), (4, "1 new new, 2 new new, 3 new new, 4 new new"));
    // Of the second one we know nothing but that it wrote some of them.
    let is_some = |change: &&Change| matches!(change.key["k"]["S"].as_str(), Some("1" | "3"));
    let some: Vec<Change> = changes.iter().filter(is_some).cloned().collect();
    table.undone_of(&made, &some, &[], OnConflict::Skip);
    assert_eq!(table.texts(), "1 old old, 2 new new, 4 new new");
    table.set("4", "a", "mine");
    let (undone, back) = table.undone_of(&made, &changes, &announced, OnConflict::Skip);
    assert_eq!((counts(&undone), back.changes.len()), ([2, 1, 0, 0, 1, 0], 0));
    let left = announced.iter().find(|change| change.key["k"]["S"] == "4").expect("it").seq;
    let is_made = |seq: u64| undone.made.iter().any(|(from, to)| (*from..=*to).contains(&seq));
    assert_eq!((1..=4).filter(|seq| !is_made(*seq)).collect::<Vec<_>>(), [left]);
    assert_eq!(table.texts(), "1 old old, 2 old old, 4 mine new");
    // Forced, what somebody has changed since is announced as it is now.
    let (undone, back) = table.undone_of(&made, &changes, &announced, OnConflict::Force);
    assert_eq!((counts(&undone), undone.forced), ([2, 2, 0, 0, 0, 0], 1));
    assert_eq!(back.changes.iter().map(|change| change.seq).collect::<Vec<_>>(), [5]);
    assert_eq!(back.changes[0].pre.as_ref().expect("an image")["a"], json!({ "S": "mine" }));
    assert_eq!(table.dump(), table.before);
}

#[test]
#[ignore = "needs credentials in its environment"]
fn items_whose_time_is_past_are_counted() {
    let name = "undo_expired";
    let item = |k: &str, at: &str| json!({ "k": { "S": k }, "a": { "S": "old" }, "ttl": { "N": at } });
    let lines = ["1", "2", "3", "4"].map(|k| json!({ "k": k, "a": "new" }));
    let items = [item("1", "1000"), item("2", "99999999999"), item("3", "1")];
    let table = Table::new(name, "k = \"k\"\na = \"a\"", "", &items, &lines);
    ask(
        "UpdateTimeToLive",
        &json!({ "TableName": name, "TimeToLiveSpecification": { "AttributeName": "ttl", "Enabled": true } }),
    );
    let (undone, _) = table.undone(&table.made(), OnConflict::Skip);
    assert_eq!((counts(&undone), undone.expired), ([3, 1, 0, 0, 0, 0], 2));
    assert_eq!(table.dump(), table.before);
}

#[test]
#[ignore = "needs credentials in its environment"]
fn a_version_goes_forward_and_a_key_has_to_be_there() {
    let fields = "k = \"k\"\na = \"a\"\nv = { from = \"v\", type = \"int\" }";
    let item = json!({ "k": { "S": "1" }, "a": { "S": "old" }, "v": { "N": "999" } });
    let table = Table::new(
        "undo_version",
        fields,
        "version = \"v\"",
        &[item],
        &[json!({ "k": "1", "a": "new", "v": 9_999 })],
    );
    let (undone, _) = table.undone(&table.made(), OnConflict::Skip);
    assert_eq!(counts(&undone), [1, 0, 0, 0, 0, 0]);
    let expected = json!({ "a": { "S": "old" }, "k": { "S": "1" }, "v": { "N": "10000" } });
    assert_eq!(table.dump(), [expected]);
    let error = recon::migrate::undo::open(table.dataset(), &["id".to_owned()]).err().expect("no key");
    assert!(error.to_string().contains("has no column `id`"), "{error}");
}
