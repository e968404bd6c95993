//! Projects to be disturbed: CSV against JSON lines, and a folder of a DynamoDB export against CSV, each of several files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use rusqlite::Connection;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::process::{Ended, recon, run};

const SPEC: &str = r#"
[datasets.orders_old]
kind = "csv"
uri = "orders_old"

[datasets.orders_new]
kind = "jsonl"
uri = "orders_new"

[datasets.items_old]
kind = "dynamodb-export"
uri = "items_old"

[datasets.items_new]
kind = "csv"
uri = "items_new"

[entities.order]
source = "orders_old"
target = "orders_new"
key = ["id"]

[entities.order.fields]
id = { from = "id", type = "int" }
amount = { from = "amount", type = "decimal(18,2)", tolerance = 0.01 }
note = "note"

[entities.item]
source = "items_old"
target = "items_new"
key = ["pk"]

[entities.item.fields]
pk = "pk"
size = { from = "size", type = "int" }
"#;

/// Files of each dataset.
pub(super) const FILES: u64 = 4;

/// A project's folder.
pub(super) struct Project {
    folder: TempDir,
}

/// What became of a project: all that a user sees, but for ids and times.
#[derive(Debug, PartialEq)]
pub(super) struct Results {
    stage_code: Option<i32>,
    staged: Vec<(String, u64, u64)>,
    diff_code: Option<i32>,
    reports: BTreeMap<String, String>,
    records: Json,
}

impl Project {
    /// With `rows` records of each dataset; with some that do not parse where it is `broken`.
    pub(super) fn new(rows: u64, broken: bool) -> Self {
        let project = Self { folder: tempfile::tempdir().expect("a folder") };
        fs::write(project.path().join("recon.toml"), SPEC).expect("a file");
        for dataset in ["orders_old", "orders_new", "items_old", "items_new"] {
            fs::create_dir_all(project.path().join(dataset)).expect("a folder");
        }
        for n in 0..FILES {
            let ids = (0..rows).filter(|id| id % FILES == n);
            project.write_file(n, ids, broken);
        }
        project
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A home of its own, outside the project's datasets.
    pub(super) fn home(&self, name: &str) -> PathBuf {
        self.path().join("homes").join(name)
    }

    fn write_file(&self, n: u64, ids: impl Iterator<Item = u64>, broken: bool) {
        let mut texts = ["id,amount,note\n".to_owned(), String::new(), String::new(), "pk,size\n".to_owned()];
        for id in ids {
            // Differences of every kind, so that every report has rows.
            let amount = if id % 31 == 7 { id + 1 } else { id };
            if id % 29 != 3 {
                texts[0].push_str(&format!("{id},{id}.50,note {id}\n"));
            }
            if id % 37 != 5 {
                texts[1].push_str(&format!(
                    "{}\n",
                    json!({ "id": id, "amount": amount, "note": format!("note {id}") })
                ));
            }
            let name = if n.is_multiple_of(2) { "size" } else { "Size" };
            let item = json!({ "Item": { "pk": { "S": format!("I#{id}") }, "size": { "N": id.to_string() }, (name): { "N": id.to_string() } } });
            texts[2].push_str(&format!("{item}\n"));
            for _ in 0..=u64::from(id % 41 == 11) {
                texts[3].push_str(&format!("I#{id},{}\n", id + u64::from(id % 43 == 13)));
            }
        }
        if broken {
            texts[0].push_str("too,many,cells,here\n");
            texts[1].push_str("{\"id\": \n");
            texts[2].push_str("no item\n");
            texts[3].push_str("I#999999,no number\n");
        }
        for (dataset, text) in
            ["orders_old", "orders_new", "items_new"].iter().zip([&texts[0], &texts[1], &texts[3]])
        {
            fs::write(self.file(dataset, n), text).expect("a file");
        }
        let file = File::create(self.file("items_old", n)).expect("a file");
        let mut gzip = GzEncoder::new(file, Compression::fast());
        gzip.write_all(texts[2].as_bytes()).and_then(|()| gzip.finish()).expect("a file");
    }

    /// The nth file of a dataset.
    pub(super) fn file(&self, dataset: &str, n: u64) -> PathBuf {
        let extension = match dataset {
            "orders_new" => "jsonl",
            "items_old" => "json.gz",
            _ => "csv",
        };
        self.path().join(dataset).join(format!("{n}.{extension}"))
    }

    /// Moves the first file of every dataset away, so that the others take its place in the order.
    pub(super) fn hide_first_files(&self) {
        self.move_first_files(|file, aside| (file, aside));
    }

    /// Moves them back.
    pub(super) fn show_first_files(&self) {
        self.move_first_files(|file, aside| (aside, file));
    }

    fn move_first_files(&self, direction: impl Fn(PathBuf, PathBuf) -> (PathBuf, PathBuf)) {
        for dataset in ["orders_old", "orders_new", "items_old", "items_new"] {
            let file = self.file(dataset, 0);
            let (from, to) = direction(file, self.path().join(format!("{dataset}-0")));
            fs::rename(from, to).expect("a file");
        }
    }

    pub(super) fn run(&self, home: &Path, args: &[&str]) -> Ended {
        run(self.path(), home, args)
    }

    pub(super) fn stage(&self, home: &Path) -> Ended {
        self.run(home, &["stage", "--format", "json"])
    }

    /// Stages and diffs, and gathers what a user sees of both.
    pub(super) fn results(&self, home: &Path) -> Results {
        let staged = self.stage(home);
        self.results_after(&staged, home)
    }

    /// Diffs after this staging.
    pub(super) fn results_after(&self, staged: &Ended, home: &Path) -> Results {
        assert!(matches!(staged.code, Some(0 | 3)), "{}", staged.stderr);
        assert_eq!(leftovers(home), Vec::<PathBuf>::new(), "left by the staging");
        let mut reports = BTreeMap::new();
        let stage_id = staged.json()["run_id"].as_str().expect("an id").to_owned();
        read_reports(&home.join("runs").join(stage_id), "stage", &mut reports);
        let diff = self.run(home, &["diff", "--format", "json"]);
        assert!(matches!(diff.code, Some(0 | 1 | 3)), "{}", diff.stderr);
        assert_eq!(leftovers(home), Vec::<PathBuf>::new(), "left by the diff");
        let diff_id = diff.json()["run_id"].as_str().expect("an id").to_owned();
        read_reports(&home.join("runs").join(diff_id), "diff", &mut reports);
        assert_eq!(reports.keys().filter(|name| name.starts_with("diff")).count(), 8, "{:?}", reports.keys());
        let status = self.run(home, &["status", "--format", "json"]).exits(0).json();
        let (rows, failures) = (staged.by_dataset("rows"), staged.by_dataset("failures"));
        let staged_rows =
            rows.into_iter().zip(failures).map(|((name, rows), (_, n))| (name, rows, n)).collect();
        Results {
            stage_code: staged.code,
            staged: staged_rows,
            diff_code: diff.code,
            reports,
            records: without_ids(status["records"].clone()),
        }
    }

    /// The command line, for what is not run to its end at once.
    pub(super) fn command(&self, home: &Path, args: &[&str]) -> Command {
        recon(self.path(), home, args)
    }
}

fn read_reports(folder: &Path, prefix: &str, reports: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("a file").path();
        let mut text = fs::read_to_string(&path).expect("a report");
        if path.extension().is_some_and(|extension| extension == "json") {
            text = without_ids(serde_json::from_str(&text).expect("JSON")).to_string();
        }
        // A page has ids, times and the home's path in it; its records are those of the tables.
        if let Some((_, records)) = text.split_once("id=\"records\">") {
            text = records.split_once("</script>").expect("their end").0.to_owned();
        }
        let name = path.file_name().expect("a name").to_string_lossy();
        reports.insert(format!("{prefix}/{name}"), text);
    }
}

/// Without what is different in every run.
fn without_ids(mut json: Json) -> Json {
    const IDS: [&str; 6] = ["run_id", "started_at", "ended_at", "began_at", "staged_at", "generation"];
    match &mut json {
        Json::Object(all) => {
            let kept = std::mem::take(all).into_iter().filter(|(name, _)| !IDS.contains(&name.as_str()));
            kept.map(|(name, value)| (name, without_ids(value))).collect()
        }
        Json::Array(all) => std::mem::take(all).into_iter().map(without_ids).collect(),
        _ => json,
    }
}

/// Temporary files anywhere in a home.
fn leftovers(home: &Path) -> Vec<PathBuf> {
    let pattern = format!("{}/**/*.tmp", home.display());
    glob::glob(&pattern).expect("a glob").map(|path| path.expect("a path")).collect()
}

/// The files that the ledger says are staged, as pairs of dataset and path.
pub(super) fn recorded(home: &Path) -> BTreeSet<(String, String)> {
    let path = home.join("ledger.db");
    if !path.exists() {
        return BTreeSet::new();
    }
    let ledger = Connection::open(&path).expect("the ledger opens");
    let sql = "select dataset, path from units join generations using (generation)";
    // Killed before its tables were made, it has none.
    let Ok(mut statement) = ledger.prepare(sql) else { return BTreeSet::new() };
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("a query");
    rows.map(|row| row.expect("a row")).collect()
}

/// Copies a home with all its state.
pub(crate) fn copy_home(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().expect("a parent")).expect("a folder");
    let status = Command::new("cp").arg("-a").args([from, to]).status().expect("cp starts");
    assert!(status.success(), "cp");
}
