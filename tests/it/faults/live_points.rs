//! Stagings of each store killed at every fail point that they pass, then run again: the counts are exactly those that were
//! planted.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::points::points;
use super::process::{Ended, recon};
use crate::servers::{dynamodb, mariadb, postgres, s3};

/// The passes at which a point kills; the later ones only where it is passed so often.
const PASSES: [u32; 3] = [1, 2, 4];
/// The points that only rows which do not parse lead to.
const OF_FAILURES: [&str; 2] = ["stage.after-failures", "stage.before-failures"];

/// Rows `0..rows` of a store against a CSV file in which one is missing, one is too many, and one differs.
struct Case {
    folder: TempDir,
    rows: u64,
    /// The ranges, segments or objects that the store is read in.
    units: u64,
    /// Whether row 5 does not parse.
    broken: bool,
    /// Whether a finished staging is read afresh.
    is_live: bool,
    /// Whether the store is read as of one moment, unless somebody interrupts that.
    one_moment: bool,
}

impl Case {
    fn new(dataset: &str, rows: u64, units: u64) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let spec = format!(
            "{dataset}\n[datasets.b]\nkind = \"csv\"\nuri = \"b.csv\"\n\n\
             [entities.row]\nsource = \"a\"\ntarget = \"b\"\nkey = [\"k\"]\n\n\
             [entities.row.fields]\nk = {{ from = \"k\", type = \"int\" }}\nv = \"v\"\n"
        );
        fs::write(folder.path().join("recon.toml"), spec).expect("a file");
        let mut csv = "k,v\n".to_owned();
        for k in (0..=rows).filter(|k| *k != 1) {
            csv.push_str(&format!("{k},{}{k}\n", if k == 2 { "w" } else { "v" }));
        }
        fs::write(folder.path().join("b.csv"), csv).expect("a file");
        Self { folder, rows, units, broken: true, is_live: true, one_moment: true }
    }

    /// The counts, whatever happened on the way.
    fn planted(&self) -> Json {
        let broken = u64::from(self.broken);
        json!({
            "source_rows": self.rows, "target_rows": self.rows, "matched": self.rows - 2 - broken, "mismatched": 1,
            "missing": 1, "extra": 1, "duplicate_source": 0, "duplicate_target": 0, "unchecked": broken,
            "unchecked_target": broken,
        })
    }

    fn run(&self, home: &Path, args: &[&str], fault: Option<&str>) -> Ended {
        let mut command = recon(self.folder.path(), home, args);
        // The same for all stores, but for what each ignores.
        command.envs(dynamodb::ENVIRONMENT).envs(s3::ENVIRONMENT);
        Ended::of(command.envs(fault.map(|fault| ("RECON_FAULT", fault))))
    }

    fn home(&self, name: &str) -> PathBuf {
        self.folder.path().join("homes").join(name)
    }

    /// Stages and compares, and holds what comes out against what was planted; gives back what the staging said.
    #[track_caller]
    fn goes_well(&self, home: &Path, when: &str) -> Ended {
        let staged = self.run(home, &["stage", "--format", "json"], None);
        assert_eq!(staged.code, Some(if self.broken { 3 } else { 0 }), "{when}: {}", staged.stderr);
        let diff = self.run(home, &["diff", "--format", "json"], None);
        assert_eq!(diff.code, Some(if self.broken { 3 } else { 1 }), "{when}: {}", diff.stderr);
        let row = &diff.json()["entities"]["row"];
        for (name, count) in self.planted().as_object().expect("counts by name") {
            assert_eq!(row[name], *count, "{when}: {name} of {row}");
        }
        staged
    }

    /// Kills a staging at every point and lets the next one go on.
    fn killed_everywhere(&self) {
        let undisturbed = self.goes_well(&self.home("undisturbed"), "undisturbed").json();
        assert_eq!(undisturbed["datasets"]["a"]["units"], self.units);
        let is_passed = |point: &String| self.is_killed_at(point);
        let passed: BTreeSet<String> = points().into_iter().filter(is_passed).collect();
        let expected = points().into_iter().filter(|point| point.starts_with("stage."));
        let expected = expected.filter(|point| self.broken || !OF_FAILURES.contains(&point.as_str()));
        let never: Vec<String> = expected.filter(|point| !passed.contains(point)).collect();
        assert!(never.is_empty(), "fail points that the staging did not pass: {never:?}");
    }

    /// Whether the staging passes that point.
    fn is_killed_at(&self, point: &str) -> bool {
        for pass in PASSES {
            let fault = format!("{point}:{pass}");
            let home = self.home(&fault.replace(':', "-"));
            if !self.run(&home, &["stage"], Some(&fault)).was_killed() {
                return pass > 1;
            }
            let kept = kept(&home, self.is_live);
            let staged = self.goes_well(&home, &fault).json();
            let facts = &staged["datasets"]["a"];
            assert_eq!(facts["units_read"], self.units - kept, "{fault}: {facts}");
            let of_two_moments = self.is_live && kept > 0 && kept < self.units;
            let told = facts["warnings"].to_string().contains("not one moment");
            assert_eq!(told, of_two_moments || !self.one_moment, "{fault}: {facts}");
            fs::remove_dir_all(&home).expect("the home goes");
        }
        true
    }
}

/// Units that need not be read again: none of a finished staging of a live store, since that may have moved on.
fn kept(home: &Path, is_live: bool) -> u64 {
    let path = home.join("ledger.db");
    if !path.exists() {
        return 0;
    }
    let ledger = Connection::open(path).expect("the ledger opens");
    let sql = "select count(*) from units join generations using (generation) where dataset = 'a' and (state = 'staging' or ?)";
    // Killed before its tables were made, it has none.
    ledger.query_row(sql, [!is_live], |row| row.get(0)).unwrap_or(0)
}

#[test]
fn postgres() {
    // A row of this width fills a page alone, so there are three ranges of 8,192 pages.
    let database = postgres::Database::new(
        "create table a (k int primary key, v text, pad text, at timestamp) with (fillfactor = 10); \
         insert into a select i, 'v' || i, repeat('x', 850), null from generate_series(0, 19999) i; \
         update a set at = '294270-01-01' where k = 5; analyze a",
    );
    let dataset = format!("[datasets.a]\nkind = \"postgres\"\nurl = \"{}\"\ntable = \"a\"\n", database.url);
    Case::new(&dataset, 20_000, 3).killed_everywhere();
}

#[test]
fn mariadb() {
    // The server is told that the table is large, so that it is read in ranges; renamed, it believes that.
    let database = mariadb::Database::new(
        "create table a (k int primary key, v varchar(20), day date) stats_persistent = 1, stats_auto_recalc = 0; \
         set sql_mode = ''; insert into a select seq, concat('v', seq), null from seq_0_to_2999; \
         update a set day = '0000-00-00' where k = 5; analyze table a; \
         update mysql.innodb_table_stats set n_rows = 800000 where database_name = database(); rename table a to b; rename table b to a",
    );
    let dataset = format!("[datasets.a]\nkind = \"mysql\"\nurl = \"{}\"\ntable = \"a\"\n", database.url);
    Case::new(&dataset, 3_000, 3).killed_everywhere();
}

#[test]
fn sqlite() {
    let case = Case::new("[datasets.a]\nkind = \"sqlite\"\npath = \"a.db\"\ntable = \"a\"\n", 100, 1);
    let file = Connection::open(case.folder.path().join("a.db")).expect("a database");
    file.execute_batch("create table a (k int primary key, v text, n int)").expect("a table");
    for k in 0..100 {
        let n = if k == 5 { "'no number'".to_owned() } else { k.to_string() };
        file.execute_batch(&format!("insert into a values ({k}, 'v{k}', {n})")).expect("a row");
    }
    case.killed_everywhere();
}

#[test]
fn dynamodb() {
    let name = "killed_everywhere";
    dynamodb::table(name, &[("k", "N")]);
    for k in 0..40 {
        let item = json!({ "k": { "N": k.to_string() }, "v": { "S": format!("v{k}") } });
        dynamodb::ask("PutItem", &json!({ "TableName": name, "Item": item }));
    }
    let place = format!("region = \"eu-central-1\"\nendpoint = \"{}\"\nsegments = 4\n", dynamodb::endpoint());
    let dataset = format!("[datasets.a]\nkind = \"dynamodb\"\ntable = \"{name}\"\n{place}");
    // Whatever an item holds, it parses; and a scan is never of one moment.
    Case { broken: false, one_moment: false, ..Case::new(&dataset, 40, 4) }.killed_everywhere();
}

#[test]
fn s3() {
    s3::bucket("killed");
    for n in 0..4 {
        let mut csv = "k,v\n".to_owned();
        for k in (0..40).filter(|k| k % 4 == n) {
            csv.push_str(&if k == 5 { "5,v5,and more\n".to_owned() } else { format!("{k},v{k}\n") });
        }
        s3::put("killed", &format!("{n}.csv"), csv, &[]);
    }
    Case { is_live: false, ..Case::new(&s3::dataset("a", "csv", "s3://killed/"), 40, 4) }.killed_everywhere();
}
