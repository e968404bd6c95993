//! Rolling back what a whole migration wrote, at any size and killed at any time: a dump before equals the dump after, byte by byte.
//!
//! `RECON_TEST_RECORDS=1000000 ./test rollback::scale::a_dump` does it with a million records, `RECON_TEST_KILLS=200 ./test
//! rollback::scale::killed` with two hundred kills; the seed is printed, and `RECON_TEST_SEED` repeats it.

use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::bench::{Bench, FIELDS, Kind, TABLE};
use crate::directions::kills::{Random, number};
use crate::faults::process::{Ended, Running, recon};
use crate::servers::dynamodb;

/// Records, where `RECON_TEST_RECORDS` says no other number.
const RECORDS: u64 = 20_000;
/// Kills, where `RECON_TEST_KILLS` says no other number.
const KILLS: u64 = 6;

/// A table in which every third of so many records is already, and all of them staged.
fn filled(bench: &Bench, records: u64) {
    let line = |k: u64| format!("{{\"k\":{k},\"name\":\"name {k}\",\"n\":{}}}\n", k * 10);
    bench.project.write("old.jsonl", (0..records).map(line).collect::<String>());
    bench.spec("", FIELDS);
    if let Kind::Dynamodb(table) = &bench.kind {
        let item =
            |k: u64| json!({ "k": { "N": k.to_string() }, "name": { "S": "before" }, "own": { "S": "own" } });
        let put = |k: u64| json!({ "PutRequest": { "Item": item(k) } });
        let puts: Vec<Json> = (0..records).step_by(3).map(put).collect();
        for puts in puts.chunks(25) {
            dynamodb::ask("BatchWriteItem", &json!({ "RequestItems": { table: puts } }));
        }
    } else {
        let series = bench.by(
            "select i * 3, 'before ' || i, i, 'own ' || i from generate_series(0, {n}) i",
            "select seq * 3, concat('before ', seq), seq, concat('own ', seq) from seq_0_to_{n}",
            "with recursive s (i) as (values (0) union all select i + 1 from s where i < {n}) \
             select i * 3, 'before ' || i, i, 'own ' || i from s",
        );
        bench.sql(TABLE);
        bench.sql(&format!("insert into t {}", series.replace("{n}", &((records - 1) / 3).to_string())));
    }
    bench.runs(&["stage", "source"], 0);
}

/// The dump before, after migrating and rolling back, and how long both took.
fn dumped(bench: Bench) {
    let records = number("RECON_TEST_RECORDS", RECORDS);
    filled(&bench, records);
    let (before, there) = (bench.dump(), records.div_ceil(3));
    let began = Instant::now();
    bench.told(&["migrate"], 0).has(&[("inserted", records - there), ("updated", there)]);
    let migrating = began.elapsed();
    let after = bench.dump();
    assert_ne!(before, after);
    let began = Instant::now();
    let told = bench.rolls_back(&["--run", "last"], 0);
    told.has(&[("removed", records - there), ("restored", there), ("conflicts", 0)]);
    let rolling_back = began.elapsed();
    assert!(bench.dump() == before, "the dump is another one");
    println!("{records} records: migrated in {migrating:.1?}, rolled back in {rolling_back:.1?}");
    bench.runs(&["rollback", "verify", "--run", &told.run_id()], 0);
    bench
        .rolls_back(&["--run", &told.run_id()], 0)
        .has(&[("inserted", records - there), ("restored", there)]);
    assert!(bench.dump() == after, "the dump after the rollback was undone is another one");
}

#[test]
fn a_dump_of_postgres_is_the_same() {
    dumped(Bench::new(Kind::postgres()));
}

#[test]
fn a_dump_of_mariadb_is_the_same() {
    dumped(Bench::new(Kind::mariadb()));
}

#[test]
fn a_dump_of_sqlite_is_the_same() {
    dumped(Bench::new(Kind::Sqlite));
}

/// Kills rollbacks of what was migrated until there were as many kills as are wanted.
fn killed(bench: &Bench) {
    let (wanted, now) = (number("RECON_TEST_KILLS", KILLS), std::time::SystemTime::now());
    let now = now.duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let seed = number("RECON_TEST_SEED", now.as_nanos() as u64);
    println!("RECON_TEST_SEED={seed}");
    let mut random = Random(seed);
    filled(bench, 3_000);
    let before = bench.dump();
    let folder = bench.project.path("");
    let start = |args: &[&str]| {
        let mut command = recon(&folder, &bench.project.path("home"), args);
        command.envs(dynamodb::ENVIRONMENT);
        command
    };
    let migrate =
        || Ended::of(&mut start(&["migrate", "--batch-size", "100", "--format", "json"])).exits(0).json();
    let run = migrate()["run_id"].as_str().expect("a run").to_owned();
    let began = Instant::now();
    Ended::of(&mut start(&["rollback", "apply", "--run", &run])).exits(0);
    let whole = began.elapsed();
    let (mut kills, mut rounds) = (0, 0);
    while kills < wanted {
        rounds += 1;
        let run = migrate()["run_id"].as_str().expect("a run").to_owned();
        let args = ["rollback", "apply", "--run", &run, "--format", "json"];
        let told = loop {
            let running = Running::start(&mut start(&args));
            std::thread::sleep(whole.mul_f64(random.share()));
            running.signal("KILL");
            let ended = running.ends_within(Duration::from_secs(60));
            if !ended.was_killed() {
                break ended.exits(0).json();
            }
            kills += 1;
        };
        let when = format!("seed {seed}, round {rounds}, {kills} kills");
        assert!(bench.dump() == before, "{when}: the dump is another one");
        let counts = &told["entities"]["t"];
        // Where it was killed after its very end, this is another one, which finds nothing to do.
        let done =
            [&counts["rolled_back"], &counts["unchanged"]].map(|count| count.as_u64().expect("a count"));
        assert!(matches!(done, [3_000, 0] | [0, 3_000]) && counts["conflicts"] == 0, "{when}: {told}");
    }
    println!("{kills} kills in {rounds} rounds");
}

#[test]
fn killed_at_random_in_postgres() {
    killed(&Bench::new(Kind::postgres()));
}

#[test]
fn killed_at_random_in_mariadb() {
    killed(&Bench::new(Kind::mariadb()));
}

#[test]
fn killed_at_random_in_dynamodb() {
    dynamodb::table("rollback_killed_at_random", &[("k", "N")]);
    killed(&Bench::new(Kind::Dynamodb("rollback_killed_at_random".to_owned())));
}

#[test]
fn killed_at_random_in_sqlite() {
    killed(&Bench::new(Kind::Sqlite));
}
