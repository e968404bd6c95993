//! A project that migrates JSON lines into a table of a store with SQL.

use std::path::PathBuf;
use std::process::Command;

use rusqlite::types::ValueRef;
use serde_json::Value as Json;

use crate::project::{Project, Ran};
use crate::servers::{dynamodb, mariadb, postgres};

/// A store, with a database of its own.
pub(super) enum Kind {
    Postgres(postgres::Database),
    Mariadb(mariadb::Database),
    Sqlite,
    /// A table of this name.
    Dynamodb(String),
}

impl Kind {
    pub(super) fn postgres() -> Self {
        Self::Postgres(postgres::Database::new("select 1"))
    }

    pub(super) fn mariadb() -> Self {
        Self::Mariadb(mariadb::Database::new("select 1"))
    }
}

/// The project.
pub(super) struct Bench {
    pub(super) project: Project,
    pub(super) kind: Kind,
}

/// What a command told, and its exit code.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) json: Json,
}

impl Told {
    /// A number of the entity `t`.
    #[track_caller]
    pub(super) fn of(&self, name: &str) -> u64 {
        self.json["entities"]["t"][name].as_u64().unwrap_or_else(|| panic!("no {name} in {}", self.json))
    }

    #[track_caller]
    pub(super) fn has(&self, expected: &[(&str, u64)]) -> &Self {
        for (name, count) in expected {
            assert_eq!(self.of(name), *count, "{name}: {}", self.json);
        }
        self
    }

    pub(super) fn run_id(&self) -> String {
        self.json["run_id"].as_str().expect("a run").to_owned()
    }
}

/// The fields that most cases migrate.
pub(super) const FIELDS: &str =
    "k = { from = \"k\", type = \"int\" }\nname = \"name\"\nn = { from = \"n\", type = \"int\" }";
/// Their table.
pub(super) const TABLE: &str =
    "create table t (k int primary key, name varchar(100), n int, own varchar(100))";

impl Bench {
    pub(super) fn new(kind: Kind) -> Self {
        let bench = Self { project: Project::new(), kind };
        bench.spec("", FIELDS);
        bench
    }

    /// Writes the spec: `more` of the entity, and its fields.
    pub(super) fn spec(&self, more: &str, fields: &str) {
        let text = format!(
            "[datasets.old]\nkind = \"jsonl\"\nuri = \"old.jsonl\"\n[datasets.new]\n{}\n[entities.t]\nsource = \"old\"\n\
             target = \"new\"\nkey = [\"k\"]\n{more}\n[entities.t.fields]\n{fields}\n",
            self.dataset("t")
        );
        self.project.write("recon.toml", text);
    }

    /// The keys of a dataset that is this table.
    pub(super) fn dataset(&self, table: &str) -> String {
        match &self.kind {
            Kind::Postgres(database) => {
                format!("kind = \"postgres\"\nurl = \"{}\"\ntable = \"{table}\"", database.url)
            }
            Kind::Mariadb(database) => {
                format!("kind = \"mysql\"\nurl = \"{}\"\ntable = \"{table}\"", database.url)
            }
            Kind::Sqlite => format!("kind = \"sqlite\"\npath = \"new.db\"\ntable = \"{table}\""),
            Kind::Dynamodb(name) => {
                format!("kind = \"dynamodb\"\ntable = \"{name}\"\nendpoint = \"{}\"", dynamodb::endpoint())
            }
        }
    }

    /// SQL that is not the same everywhere.
    pub(super) fn by<'t>(&self, postgres: &'t str, mariadb: &'t str, sqlite: &'t str) -> &'t str {
        match self.kind {
            Kind::Postgres(_) => postgres,
            Kind::Mariadb(_) => mariadb,
            Kind::Sqlite => sqlite,
            Kind::Dynamodb(_) => panic!("no SQL"),
        }
    }

    /// Runs SQL; rows as lines, their values separated by `|`.
    #[track_caller]
    pub(super) fn sql(&self, sql: &str) -> String {
        match &self.kind {
            Kind::Postgres(database) => database.run(sql),
            Kind::Mariadb(database) => database.run(sql).replace('\t', "|").replace("NULL", ""),
            Kind::Sqlite => self.sqlite(sql),
            Kind::Dynamodb(_) => panic!("no SQL"),
        }
    }

    fn sqlite(&self, sql: &str) -> String {
        let db = rusqlite::Connection::open(self.project.path("new.db")).expect("a database");
        db.execute_batch("pragma foreign_keys = on").expect("a setting");
        if !sql.trim_start().starts_with("select") {
            db.execute_batch(sql).unwrap_or_else(|e| panic!("{e}: {sql}"));
            return String::new();
        }
        let mut statement = db.prepare(sql).unwrap_or_else(|e| panic!("{e}: {sql}"));
        let width = statement.column_count();
        let cell = |value: ValueRef<'_>| match value {
            ValueRef::Null => String::new(),
            ValueRef::Integer(n) => n.to_string(),
            ValueRef::Real(f) => format!("{f:?}"),
            ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
            ValueRef::Blob(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        let rows = statement.query_map([], |row| {
            let cells: rusqlite::Result<Vec<String>> = (0..width).map(|i| row.get_ref(i).map(cell)).collect();
            Ok(cells?.join("|") + "\n")
        });
        rows.expect("rows").map(|row| row.expect("a row")).collect()
    }

    /// All rows in the order of their keys.
    #[track_caller]
    pub(super) fn dump(&self) -> String {
        match &self.kind {
            Kind::Dynamodb(_) => format!("{:#?}", self.items()),
            _ => self.sql("select * from t order by k"),
        }
    }

    /// Forgets all runs.
    pub(super) fn begins_anew(&self) {
        let home = self.project.path("home");
        if home.exists() {
            std::fs::remove_dir_all(home).expect("the home goes");
        }
    }

    /// Stages lines of the source.
    #[track_caller]
    pub(super) fn stage(&self, lines: impl IntoIterator<Item = Json>) {
        let lines: String = lines.into_iter().map(|line| format!("{line}\n")).collect();
        self.project.write("old.jsonl", lines);
        self.runs(&["stage", "source"], 0);
    }

    #[track_caller]
    pub(super) fn runs(&self, args: &[&str], code: i32) -> Ran {
        let ran = self.project.recon_with(args, &dynamodb::ENVIRONMENT);
        assert_eq!(ran.code, code, "{args:?}: {ran:?}");
        ran
    }

    /// Runs a command that tells JSON.
    #[track_caller]
    pub(super) fn told(&self, args: &[&str], code: i32) -> Told {
        let ran = self.runs(&[args, &["--format", "json"]].concat(), code);
        let json = serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
        Told { json }
    }

    #[track_caller]
    pub(super) fn migrate(&self) -> Told {
        self.told(&["migrate", "--batch-size", "7"], 0)
    }

    #[track_caller]
    pub(super) fn rolls_back(&self, args: &[&str], code: i32) -> Told {
        self.told(&[&["rollback", "apply"], args].concat(), code)
    }

    /// Migrates and is killed at a fail point.
    #[cfg(feature = "faults")]
    #[track_caller]
    pub(super) fn is_killed(&self, args: &[&str], point: &str) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_recon"));
        command
            .args(["--spec", "recon.toml", "--home", "home"])
            .args(args)
            .current_dir(self.project.path(""));
        command.envs(dynamodb::ENVIRONMENT);
        let killed = command.env("RECON_FAULT", point).output().expect("it runs");
        assert_eq!(killed.status.code(), None, "{point}: {killed:?}");
    }

    /// The rows of a report of a run, each as `column=value` of the columns named.
    #[track_caller]
    pub(super) fn report(&self, run: &Told, file: &str, columns: &[&str]) -> Vec<String> {
        let path = self.run_folder(run).join(file);
        let mut reader = csv::Reader::from_path(&path).unwrap_or_else(|e| panic!("{e}: {}", path.display()));
        let headers = reader.headers().expect("a header").clone();
        let place = |name: &&str| {
            headers.iter().position(|h| h == *name).unwrap_or_else(|| panic!("no {name} in {headers:?}"))
        };
        let places: Vec<usize> = columns.iter().map(place).collect();
        let rows = reader.records().map(|row| row.expect("a row"));
        rows.map(|row| places.iter().map(|place| row[*place].to_owned()).collect::<Vec<_>>().join(","))
            .collect()
    }

    pub(super) fn run_folder(&self, run: &Told) -> PathBuf {
        self.project.path("home/runs").join(run.run_id())
    }

    /// The folder of the manifest of a run.
    pub(super) fn manifest(&self, run_id: &str) -> PathBuf {
        self.project.path("home/runs").join(run_id).join("entities/t/manifest")
    }

    /// The id of the newest run of a command.
    pub(super) fn newest(&self, command: &str) -> String {
        let runs: Json =
            serde_json::from_str(&self.runs(&["runs", "--format", "json"], 0).stdout).expect("JSON");
        let runs = runs.as_array().expect("runs");
        let found = runs.iter().find(|run| run["command"] == command).expect("such a run");
        found["run_id"].as_str().expect("an id").to_owned()
    }
}
