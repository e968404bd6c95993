//! Both directions killed at any time, again and again, and gone on with: every record is written exactly once, by the target's own
//! count, and what does not go in is what did not in an undisturbed run.
//!
//! `RECON_TEST_KILLS=200 ./test directions::kills` makes 200 kills in each direction; the seed is printed, and `RECON_TEST_SEED` repeats it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::{Direction, make_table, planted};
use crate::faults::process::{Ended, Running, recon};
use crate::faults::project::copy_home;
use crate::servers::dynamodb;

/// Kills of each direction, where `RECON_TEST_KILLS` says no other number.
const KILLS: u32 = 6;
const RECORDS: u64 = 4_000;

/// An audit trigger counts what is written, row by row.
const AUDIT: &str = "create table audit (id text not null); \
    create function count_it() returns trigger language plpgsql as $$ begin insert into audit values (tg_table_name || new.id); return new; end $$; \
    create trigger counted after insert or update on images for each row execute function count_it(); \
    create trigger counted after insert or update on users for each row execute function count_it()";

/// Every twentieth image is there already, with another title.
const BEFORE: &str = "truncate users, images; drop schema if exists recon cascade; insert into users select 'u' || i, 'user ' || i, 'u' || i || '@example.com' \
    from generate_series(0, 480) i; insert into images select i, 'u0', 'before', 1, 1, null, now() from generate_series(0, 3999, 20) i; truncate audit";

impl Direction {
    fn home(&self, name: &str) -> PathBuf {
        self.project.path("homes").join(name)
    }

    fn migrate(&self, home: &std::path::Path) -> Command {
        let args = ["migrate", "--batch-size", "100", "--format", "json"];
        let mut command = recon(&self.project.path(""), home, &args);
        command.envs(self.environment());
        command
    }

    /// Kills runs until there were as many kills as are wanted. `begin` makes the target as it is before any run, `is_whole` holds it
    /// against what has to be.
    fn is_killed(&self, begin: impl Fn(), is_whole: impl Fn(&str)) {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let (wanted, seed) =
            (number("RECON_TEST_KILLS", KILLS.into()), number("RECON_TEST_SEED", now.as_nanos() as u64));
        println!("RECON_TEST_SEED={seed}");
        let mut random = Random(seed);
        let staged = self.home("staged");
        let stage =
            recon(&self.project.path(""), &staged, &["stage", "source"]).envs(self.environment()).output();
        assert!(stage.expect("recon starts").status.success());
        // How long an undisturbed run takes here, so that the kills fall into it.
        begin();
        copy_home(&staged, &self.home("undisturbed"));
        let began = Instant::now();
        let told = Ended::of(&mut self.migrate(&self.home("undisturbed"))).exits(1);
        let (whole, failed) = (began.elapsed(), failed(&told.json()));
        is_whole("undisturbed");
        let (mut kills, mut rounds) = (0, 0);
        while kills < wanted {
            rounds += 1;
            let home = self.home("killed");
            copy_home(&staged, &home);
            begin();
            loop {
                let running = Running::start(&mut self.migrate(&home));
                std::thread::sleep(whole.mul_f64(random.share()));
                running.signal("KILL");
                let ended = running.ends_within(Duration::from_secs(60));
                if !ended.was_killed() {
                    ended.exits(1);
                    break;
                }
                kills += 1;
            }
            let when = format!("seed {seed}, round {rounds}, {kills} kills");
            is_whole(&when);
            let ledger = ::recon::ledger::Ledger::open_reader(&home).expect("a ledger").expect("a home");
            let open: u64 = ledger.migrations().expect("migrations").iter().map(|m| m.counts.failed).sum();
            assert_eq!(open, failed, "{when}: what did not go in");
            std::fs::remove_dir_all(&home).expect("the home goes");
        }
        println!("{kills} kills in {rounds} rounds");
    }
}

/// A number that the environment says, or another.
pub(crate) fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
}

fn failed(told: &Json) -> u64 {
    let entities = told["entities"].as_object().expect("entities").values();
    entities.map(|entity| entity["failed"].as_u64().expect("a count")).sum()
}

#[test]
fn an_export_into_postgres_is_written_once() {
    let direction = Direction::dynamodb_to_postgres(RECORDS);
    let database = &direction.database;
    database.run(AUDIT);
    let poisoned = planted::items().iter().filter(|poison| poison.entity == "image").count() as u64;
    // Users 481 to 498 are new, and the last one is refused.
    let (images, users) = (RECORDS - poisoned, 18);
    let is_whole = |when: &str| {
        let counted = database.run("select count(*), count(distinct id) from audit");
        assert_eq!(counted, format!("{0}|{0}\n", images + users), "{when}: every key exactly once");
        let wrong = "select count(*) from images where title <> 'image ' || id or price <> id % 1000 + 0.25 or size <> id + 1";
        assert_eq!(database.run(wrong), "0\n", "{when}");
        assert_eq!(database.run("select count(*) from recon.batches"), "0\n", "{when}: no marker stays");
    };
    direction.is_killed(|| drop(database.run(BEFORE)), is_whole);
}

/// DynamoDB's own stream tells how often each item was changed.
#[test]
fn a_table_into_dynamodb_is_written_once() {
    let table = "direction_killed";
    let direction = Direction::postgres_to_dynamodb(table, RECORDS);
    make_table(table, json!({}));
    let begin = || {
        dynamodb::ask("DeleteTable", &json!({ "TableName": table }));
        let stream = json!({ "StreamSpecification": { "StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES" } });
        make_table(table, stream);
        let before = (0..RECORDS).step_by(20).map(|id| {
            let key = format!("IMAGE#c{id}");
            json!({ "PutRequest": { "Item": { "PK": { "S": key }, "SK": { "S": "METADATA" }, "title": { "S": "before" }, "more": { "S": "kept" } } } })
        });
        for items in before.collect::<Vec<Json>>().chunks(25) {
            dynamodb::ask("BatchWriteItem", &json!({ "RequestItems": { table: items } }));
        }
    };
    let poisoned: Vec<String> = planted::records().iter().map(|poison| poison.key.clone()).collect();
    let is_whole = |when: &str| {
        let changes = changes(table);
        for id in 0..RECORDS {
            let key = format!("IMAGE#c{id}");
            let there = u64::from(id % 20 == 0);
            let expected = if poisoned.contains(&key) { there } else { there + 1 };
            assert_eq!(changes.get(&key).copied().unwrap_or(0), expected, "{when}: {key}");
        }
        assert_eq!(changes.len() as u64, RECORDS - poisoned.len() as u64, "{when}");
    };
    direction.is_killed(begin, is_whole);
}

/// How often each item of a table was changed, by its stream.
fn changes(table: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    let told = dynamodb::ask("DescribeTable", &json!({ "TableName": table }));
    let stream = &told["Table"]["LatestStreamArn"];
    let told = dynamodb::ask_streams("DescribeStream", &json!({ "StreamArn": stream }));
    for shard in told["StreamDescription"]["Shards"].as_array().expect("shards") {
        let ask =
            json!({ "StreamArn": stream, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON" });
        let mut iterator = dynamodb::ask_streams("GetShardIterator", &ask)["ShardIterator"].clone();
        while !iterator.is_null() {
            let page = dynamodb::ask_streams("GetRecords", &json!({ "ShardIterator": iterator }));
            let records = page["Records"].as_array().expect("records");
            for record in records {
                let key = record["dynamodb"]["Keys"]["PK"]["S"].as_str().expect("a key").to_owned();
                *counts.entry(key).or_insert(0) += 1;
            }
            iterator = if records.is_empty() { Json::Null } else { page["NextShardIterator"].clone() };
        }
    }
    counts
}

/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014), to have the same kills again.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// From 0 to 1.
    pub(crate) fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) >> 11) as f64 / (1_u64 << 53) as f64
    }
}
