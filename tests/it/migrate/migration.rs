//! A project whose JSON lines are migrated into a table.

#[cfg(feature = "faults")]
use std::process::Command;

use serde_json::Value as Json;

use crate::project::{Project, Ran};

/// A project with a staged source `old.jsonl`, and a target of one table; the key is `k`.
pub(crate) struct Migration {
    pub(crate) project: Project,
}

impl Migration {
    /// `dataset` are the target's keys in the spec, `more` further ones of the entity.
    pub(crate) fn new(dataset: &str, fields: &str, more: &str, lines: &str) -> Self {
        let project = Project::new();
        project.write(
            "recon.toml",
            format!(
                "[datasets.old]\nkind = \"jsonl\"\nuri = \"old.jsonl\"\n[datasets.new]\n{dataset}\n\
                 [entities.t]\nsource = \"old\"\ntarget = \"new\"\nkey = [\"k\"]\n{more}\n[entities.t.fields]\n{fields}\n"
            ),
        );
        project.write("old.jsonl", lines);
        let migration = Self { project };
        migration.runs(&["stage", "source"], 0);
        migration
    }

    #[track_caller]
    pub(crate) fn runs(&self, args: &[&str], code: i32) -> Ran {
        let ran = self.project.recon(args);
        assert_eq!(ran.code, code, "{args:?}: {ran:?}");
        ran
    }

    /// Migrates; records inserted, updated, unchanged, failed.
    #[track_caller]
    pub(crate) fn counts(&self, code: i32) -> [u64; 4] {
        let ran = self.runs(&["migrate", "--format", "json"], code);
        let told: Json = serde_json::from_str(&ran.stdout).expect("JSON");
        let entity = &told["entities"]["t"];
        ["inserted", "updated", "unchanged", "failed"].map(|name| entity[name].as_u64().expect("a count"))
    }

    /// Key, code and column of each record that did not go through in the newest run.
    pub(crate) fn faults(&self) -> Vec<(String, String, String)> {
        let pattern = format!("{}/runs/*/failures.csv", self.project.path("home").display());
        let mut all: Vec<_> =
            glob::glob(&pattern).expect("a glob").map(|path| path.expect("a path")).collect();
        all.sort_by_key(|path| std::fs::metadata(path).and_then(|m| m.modified()).expect("a file"));
        let mut reader = csv::Reader::from_path(all.last().expect("a report")).expect("a report");
        let headers = reader.headers().expect("a header").clone();
        let place = |name: &str| headers.iter().position(|h| h == name).expect("a column");
        let (key, code, column) = (place("k"), place("code"), place("column"));
        let records = reader.records().map(|record| record.expect("a record"));
        let mut faults: Vec<_> =
            records.map(|r| (r[key].to_owned(), r[code].to_owned(), r[column].to_owned())).collect();
        faults.sort();
        faults
    }

    /// The changes of the one segment of the manifest.
    pub(crate) fn changes(&self) -> Vec<Json> {
        let pattern = format!("{}/runs/*/entities/t/manifest/*.zst", self.project.path("home").display());
        let segment = glob::glob(&pattern).expect("a glob").next().expect("a segment").expect("a path");
        let text = zstd::decode_all(std::fs::File::open(segment).expect("a file")).expect("zstd");
        text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }

    /// Migrates in batches of ten and is killed.
    #[cfg(feature = "faults")]
    #[track_caller]
    pub(crate) fn is_killed_at(&self, point: &str) {
        let killed = Command::new(env!("CARGO_BIN_EXE_recon"))
            .args([
                "--spec",
                "recon.toml",
                "--home",
                "home",
                "migrate",
                "--batch-size",
                "10",
                "--concurrency",
                "1",
            ])
            .current_dir(self.project.path(""))
            .env("RECON_FAULT", point)
            .output()
            .expect("it runs");
        assert_eq!(killed.status.code(), None, "{point}: {killed:?}");
    }
}

/// As [`Migration::faults`] has them.
pub(crate) fn fault(key: &str, code: &str, column: &str) -> (String, String, String) {
    (key.to_owned(), code.to_owned(), column.to_owned())
}
