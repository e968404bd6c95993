//! Runs into a target that are killed at every fail point and run again: every record is written exactly once, by the
//! target's own count, and what did not go through is what did not in an undisturbed run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;
use tempfile::TempDir;

use super::disk::Disk;
use super::points::points_of_writing;
use super::process::{Ended, Held, recon};
use super::project::copy_home;
use crate::servers::postgres::Database;
use crate::servers::proxy::{Fault, Proxy};

/// The passes at which a point kills; the later ones only where it is passed so often.
const PASSES: [u32; 3] = [1, 2, 5];

const SPEC: &str = r#"
[datasets.old]
kind = "jsonl"
uri = "old.jsonl"
[datasets.new]
kind = "postgres"
url = "${DATABASE_URL}"
table = "images"
[entities.image]
source = "old"
target = "new"
key = ["id"]
[entities.image.fields]
id = { from = "id", type = "int" }
name = "name"
price = { from = "price", type = "int" }
"#;

/// An audit trigger counts what is written, row by row; a check turns some records away.
const SCHEMA: &str = "create table images (id int primary key, name text not null, price int check (price <> 13)); \
    create table audit (id int not null); \
    create function count_it() returns trigger language plpgsql as $$ begin insert into audit values (new.id); return new; end $$; \
    create trigger counted after insert or update on images for each row execute function count_it()";

/// Records `0..records` of a file against a table in which every tenth is there already, with another name.
struct Case {
    folder: TempDir,
    database: Database,
    /// As recon reaches it.
    url: String,
    records: u64,
}

impl Case {
    fn new(records: u64) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("recon.toml"), SPEC).expect("a file");
        let line = |id: u64| format!("{{\"id\":{id},\"name\":\"name {id}\",\"price\":{}}}\n", id % 100);
        fs::write(folder.path().join("old.jsonl"), (0..records).map(line).collect::<String>())
            .expect("a file");
        let database = Database::new(SCHEMA);
        let case = Self { folder, url: database.url.clone(), database, records };
        case.run(&case.home("staged"), &["stage", "source"], None).exits(0);
        case
    }

    /// The same, but recon reaches the server through a proxy.
    fn behind_a_proxy(records: u64) -> (Self, Proxy) {
        let mut case = Self::new(records);
        let proxy = Proxy::to(case.database.port);
        case.url = case.url.replace(&format!(":{}/", case.database.port), &format!(":{}/", proxy.port));
        (case, proxy)
    }

    fn home(&self, name: &str) -> PathBuf {
        self.folder.path().join("homes").join(name)
    }

    fn command(&self, home: &Path, args: &[&str]) -> Command {
        let mut command = recon(self.folder.path(), home, args);
        command.env("DATABASE_URL", &self.url);
        command
    }

    fn run(&self, home: &Path, args: &[&str], fault: Option<&str>) -> Ended {
        Ended::of(self.command(home, args).envs(fault.map(|fault| ("RECON_FAULT", fault))))
    }

    /// The target as it is before any run, and a home in which the source is staged.
    fn begin(&self, name: &str) -> PathBuf {
        self.database.run(&format!(
            "drop schema if exists recon cascade; truncate images; \
             insert into images select i, 'before', i % 100 from generate_series(0, {}, 10) i where i % 100 <> 13; truncate audit",
            self.records - 1
        ));
        let home = self.home(name);
        copy_home(&self.home("staged"), &home);
        home
    }

    /// Holds the target and what was told against what has to be.
    #[track_caller]
    fn is_whole(&self, told: &Json, when: &str) {
        let turned_away = (0..self.records).filter(|id| id % 100 == 13).count() as u64;
        let there = self.records.div_ceil(10);
        let image = &told["entities"]["image"];
        let counts = ["inserted", "updated", "unchanged", "failed", "pending"]
            .map(|name| image[name].as_u64().expect("a count"));
        assert_eq!(counts, [self.records - there - turned_away, there, 0, turned_away, 0], "{when}: {told}");
        let written = format!("{}|{}\n", self.records - turned_away, self.records - turned_away);
        let sql = "select count(*), count(distinct id) from audit";
        assert_eq!(self.database.run(sql), written, "{when}: every key exactly once");
        let wrong = "select count(*) from images where name <> 'name ' || id or price <> id % 100";
        assert_eq!(self.database.run(wrong), "0\n", "{when}");
        let rest = "select count(*) from recon.batches";
        assert_eq!(self.database.run(rest), "0\n", "{when}: no marker stays");
    }
}

/// The old images of a run, by key; those of attempts that were cut short among them.
fn old_images(home: &Path) -> Vec<(i64, Option<String>)> {
    let runs =
        glob::glob(&format!("{}/runs/*-migrate-*/entities/image/manifest", home.display())).expect("a glob");
    let folder = runs.map(|run| run.expect("a path")).next().expect("a manifest");
    let mut found = Vec::new();
    recon::ledger::manifest::read(&folder, |change| {
        let text = |json: &Json| json.as_str().map(str::to_owned);
        let id = text(&change.key["id"]).expect("a key").parse().expect("a number");
        found.push((id, change.pre.and_then(|pre| text(&pre["name"]))));
        Ok(())
    })
    .expect("a manifest that is whole");
    found
}

const MIGRATE: &[&str] = &["migrate", "--batch-size", "60", "--format", "json"];

#[test]
fn killed_at_every_fail_point_every_record_is_written_once() {
    let case = Case::new(420);
    let mut never = Vec::new();
    for point in points_of_writing("postgres") {
        let mut passed = 0;
        for pass in PASSES {
            let fault = format!("{point}:{pass}");
            let home = case.begin(&fault.replace(':', "-"));
            let killed = case.run(&home, MIGRATE, Some(&fault));
            if !killed.was_killed() {
                killed.exits(1);
                break;
            }
            passed += 1;
            let ended = case.run(&home, MIGRATE, None);
            // After the last step there is nothing left to do but to say so.
            let told = match ended.code {
                Some(1) if ended.json()["entities"]["image"]["records"] != 0 => ended.json(),
                _ => told_of_first(&home),
            };
            case.is_whole(&told, &fault);
            let images = old_images(&home);
            for id in (0..420).filter(|id| id % 100 != 13) {
                let of: Vec<_> = images.iter().filter(|(of, _)| *of == id).collect();
                let before = (id % 10 == 0).then(|| "before".to_owned());
                assert!(
                    !of.is_empty() && of.iter().all(|(_, name)| *name == before),
                    "{fault}: {id}: {of:?}"
                );
            }
            fs::remove_dir_all(&home).expect("the home goes");
        }
        if passed == 0 {
            never.push(point);
        }
    }
    assert!(never.is_empty(), "fail points that the run did not pass: {never:?}");
}

/// What the ledger knows of the run that was killed, where the next command found nothing left to do.
fn told_of_first(home: &Path) -> Json {
    let ledger = recon::ledger::Ledger::open_reader(home).expect("a ledger").expect("a home");
    let all = ledger.migrations().expect("migrations");
    let first = all.into_iter().find(|m| m.state == "done").expect("a run that came to its end");
    let c = first.counts;
    serde_json::json!({ "entities": { "image": {
        "inserted": c.inserted, "updated": c.updated, "unchanged": c.unchanged, "failed": c.failed,
        "pending": first.records - c.records,
    } } })
}

const ALONE: &[&str] = &["migrate", "--batch-size", "60", "--concurrency", "1", "--format", "json"];

#[test]
fn a_commit_whose_reply_is_lost_is_not_done_again() {
    let (case, proxy) = Case::behind_a_proxy(420);
    for fault in [Fault::Reset(0), Fault::End(0)] {
        let home = case.begin("lost");
        let held = Held::of("postgres.before-commit:3", case.command(&home, ALONE));
        // The server will commit, and nobody will hear of it.
        proxy.set(fault);
        let ended = held.go_on().exits(1);
        proxy.set(Fault::Nothing);
        case.is_whole(&ended.json(), &format!("{fault:?}"));
        fs::remove_dir_all(&home).expect("the home goes");
    }
}

#[test]
fn a_connection_that_breaks_anywhere_costs_no_record() {
    let (case, proxy) = Case::behind_a_proxy(420);
    // Late enough to be past the connection's own greeting, and then all through the run.
    for at in (2_000..60_000).step_by(4_001) {
        let home = case.begin("broken");
        proxy.set(Fault::Reset(at));
        let ended = case.run(&home, ALONE, None);
        proxy.set(Fault::Nothing);
        // While it is only looked at, a connection that breaks ends the run; it is begun again.
        let ended = if ended.code == Some(4) { case.run(&home, ALONE, None) } else { ended };
        case.is_whole(&ended.exits(1).json(), &format!("reset after {at} bytes"));
        fs::remove_dir_all(&home).expect("the home goes");
    }
}

#[test]
fn a_server_that_restarts_in_the_middle_costs_no_record() {
    let mut case = Case::new(420);
    let server = crate::servers::postgres::begin(crate::servers::free_port(), &[]);
    case.database = Database {
        url: format!("postgres://postgres@127.0.0.1:{}/postgres", server.port),
        port: server.port,
    };
    case.url = case.database.url.clone();
    case.database.run(SCHEMA);
    let home = case.begin("restarted");
    let held = Held::of("postgres.before-commit:3", case.command(&home, ALONE));
    crate::servers::postgres::stop(&server);
    let _server = crate::servers::postgres::begin_again(server);
    let ended = held.go_on().exits(1);
    case.is_whole(&ended.json(), "restarted");
}

#[test]
fn a_second_runner_is_refused_while_the_first_one_writes() {
    let case = Case::new(420);
    let home = case.begin("shared");
    let first = Held::of("migrate.intent:2", case.command(&home, ALONE));
    case.run(&home, ALONE, None).exits(4).says(&["is held by another run: recon migrate"]);
    case.run(&home, &["replay"], None).exits(4);
    let ended = first.go_on().exits(1);
    case.is_whole(&ended.json(), "two runners");
}

#[test]
fn a_disk_that_is_full_stops_the_run_and_room_lets_it_go_on() {
    let Some(disk) = Disk::mount("64m") else { return };
    let case = Case::new(6_000);
    for free in [0_u64, 40_000, 120_000] {
        let home = disk.home();
        copy_home(&case.begin("to-copy"), &home);
        let held = Held::of("migrate.intent:3", case.command(&home, ALONE));
        disk.fill_up_to(free);
        held.go_on().exits(4);
        disk.make_room();
        let ended = case.run(&home, ALONE, None).exits(1);
        case.is_whole(&ended.json(), &format!("{free} bytes were free"));
        for home in [home, case.home("to-copy")] {
            fs::remove_dir_all(home).expect("the home goes");
        }
    }
}
