//! The two worked examples of `fixtures/migrations`, from end to end: records of which some cannot go in, from one store into the other.
//! What failed is told exactly, is mended and replayed, and then a comparison finds nothing.
//!
//! `RECON_TEST_RECORDS=1000000 ./test directions::` does it with a million records each.

#[cfg(feature = "faults")]
pub(crate) mod kills;
mod planted;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value as Json, json};

use crate::project::{Project, Ran};
use crate::servers::dynamodb::{self, ENVIRONMENT};
use crate::servers::postgres::Database;

/// Records of a direction, where `RECON_TEST_RECORDS` says no other number.
const RECORDS: u64 = 3_000;

/// One of the two directions with its stores.
struct Direction {
    project: Project,
    database: Database,
    /// Its table in DynamoDB, where that is the target.
    table: Option<String>,
    records: u64,
}

/// Whether the records that cannot go in are as they were, or mended.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Poisoned,
    Mended,
}

impl Direction {
    /// An export into PostgreSQL.
    fn dynamodb_to_postgres(records: u64) -> Self {
        let direction = Self {
            project: example("dynamodb_to_postgres", |spec| spec.to_owned()),
            database: Database::new(&tables("dynamodb_to_postgres")),
            table: None,
            records,
        };
        direction.fill(State::Poisoned);
        direction
    }

    /// A table of PostgreSQL into the table of DynamoDB with this name.
    fn postgres_to_dynamodb(table: &str, records: u64) -> Self {
        let direction = Self {
            project: example("postgres_to_dynamodb", |spec| {
                spec.replace("table = \"images\"", &format!("table = \"{table}\""))
            }),
            database: Database::new(&tables("postgres_to_dynamodb")),
            table: Some(table.to_owned()),
            records,
        };
        direction.fill(State::Poisoned);
        direction
    }

    /// Fills the source.
    fn fill(&self, state: State) {
        match self.table {
            None => planted::write_items(&self.project.path("export"), self.records, state),
            Some(_) => drop(self.database.run(&planted::rows(self.records, state))),
        }
    }

    fn environment(&self) -> Vec<(&str, String)> {
        let mut all = vec![
            ("DATABASE_URL", self.database.url.clone()),
            ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb::endpoint()),
        ];
        all.extend(ENVIRONMENT.map(|(name, value)| (name, value.to_owned())));
        all
    }

    #[track_caller]
    fn runs(&self, args: &[&str], code: i32) -> Ran {
        let environment = self.environment();
        let environment: Vec<(&str, &str)> = environment.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let ran = self.project.recon_with(args, &environment);
        assert_eq!(ran.code, code, "{args:?}: {ran:?}");
        ran
    }

    /// Counts of all entities together: `records`, `failed`.
    #[track_caller]
    fn counts(&self, args: &[&str], code: i32) -> [u64; 2] {
        let ran = self.runs(&[args, &["--format", "json"]].concat(), code);
        let told: Json = serde_json::from_str(&ran.stdout).expect("JSON");
        let entities = told["entities"].as_object().expect("entities").values();
        let of = |name: &str| entities.clone().map(|entity| entity[name].as_u64().expect("a count")).sum();
        [of("records"), of("failed")]
    }

    /// Entity, key and code of all that did not go through in the newest run.
    fn failures(&self) -> BTreeSet<[String; 3]> {
        let pattern = format!("{}/runs/*/failures.csv", self.project.path("home").display());
        let newest = glob::glob(&pattern).expect("a glob").map(|path| path.expect("a path")).max();
        let mut reader = csv::Reader::from_path(newest.expect("a report")).expect("a report");
        let header = reader.headers().expect("a header").clone();
        let code = header.iter().position(|name| name == "code").expect("a column");
        let rows = reader.records().map(|row| row.expect("a row"));
        rows.map(|row| [row[0].to_owned(), row[1].to_owned(), row[code].to_owned()]).collect()
    }

    /// The whole way. `differing` is the exit code of the comparison before anything is mended.
    #[track_caller]
    fn goes_all_the_way(&self, planted: &[planted::Poison], total: u64, differing: i32) {
        self.runs(&["stage", "source"], 0);
        let poisoned: u64 = planted.iter().map(|poison| poison.records).sum();
        assert_eq!(self.counts(&["migrate"], 1), [total, poisoned]);
        let expected: BTreeSet<_> =
            planted.iter().map(|p| [p.entity, &p.key, p.code].map(str::to_owned)).collect();
        assert_eq!(self.failures(), expected);
        // All others have arrived, and a comparison knows which have not.
        self.runs(&["stage", "target"], 0);
        let ran = self.runs(&["diff", "--format", "json"], differing);
        let told: Json = serde_json::from_str(&ran.stdout).expect("JSON");
        let sum = |name: &str| -> u64 {
            let entities = told["entities"].as_object().expect("entities").values();
            entities.map(|entity| entity[name].as_u64().expect("a count")).sum()
        };
        let names = ["matched", "mismatched", "extra", "unchecked_target"];
        assert_eq!(names.map(sum), [total - poisoned, 0, 0, 0], "{told}");
        self.fill(State::Mended);
        self.runs(&["stage", "source"], 0);
        let again: BTreeSet<&str> = planted.iter().map(|poison| poison.key.as_str()).collect();
        assert_eq!(self.counts(&["replay"], 0), [again.len() as u64, 0]);
        self.runs(&["stage", "target"], 0);
        self.runs(&["diff"], 0);
        let ran = self.runs(&["replay"], 0);
        assert!(ran.stdout.contains("nothing to write"), "{ran:?}");
    }
}

/// A project with the spec of a worked example.
fn example(name: &str, change: impl Fn(&str) -> String) -> Project {
    let project = Project::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/migrations").join(name);
    let spec = std::fs::read_to_string(folder.join("recon.toml")).expect("a spec");
    project.write("recon.toml", change(&spec));
    project
}

fn tables(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/migrations").join(name);
    std::fs::read_to_string(folder.join("tables.sql")).expect("SQL")
}

/// The table of an example, empty.
fn make_table(name: &str, more: Json) {
    let mut request = json!({
        "TableName": name, "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{ "AttributeName": "PK", "AttributeType": "S" }, { "AttributeName": "SK", "AttributeType": "S" }],
        "KeySchema": [{ "AttributeName": "PK", "KeyType": "HASH" }, { "AttributeName": "SK", "KeyType": "RANGE" }],
    });
    request.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    dynamodb::ask("CreateTable", &request);
}

fn records() -> u64 {
    std::env::var("RECON_TEST_RECORDS").map_or(RECORDS, |text| text.parse().expect("a number of records"))
}

#[test]
fn a_dynamodb_export_goes_into_postgres() {
    let records = records();
    let direction = Direction::dynamodb_to_postgres(records);
    direction.goes_all_the_way(&planted::items(), records + planted::USERS + planted::TWICE, 3);
    let count =
        direction.database.run("select (select count(*) from images) || '|' || (select count(*) from users)");
    assert_eq!(count, format!("{records}|{}\n", planted::USERS));
}

#[test]
fn a_table_of_postgres_goes_into_dynamodb() {
    let (records, table) = (records(), "direction");
    make_table(table, json!({}));
    let direction = Direction::postgres_to_dynamodb(table, records);
    direction.goes_all_the_way(&planted::records(), records, 1);
    let told = dynamodb::ask("DescribeTable", &json!({ "TableName": table }));
    assert_eq!(told["Table"]["ItemCount"], records);
    let key = json!({ "PK": { "S": "IMAGE#c1000" }, "SK": { "S": "METADATA" } });
    let item = dynamodb::ask("GetItem", &json!({ "TableName": table, "Key": key }))["Item"].clone();
    let expected = json!({
        "PK": { "S": "IMAGE#c1000" }, "SK": { "S": "METADATA" }, "version": { "N": "1" }, "code": { "S": "c1000" },
        "title": { "S": "image 1000" }, "size": { "N": "1001" }, "price": { "N": "0.25" }, "tags": { "SS": ["a", "t6"] },
        "createdAt": { "S": "2024-05-01T08:16:40.25Z" },
    });
    assert_eq!(item, expected);
}
