//! Taking changes back in each kind of store, by the manifest that a run left behind: what is there is looked at and decided about,
//! and what the store gives back is what it held before.

mod dynamodb;
mod mysql;
mod sqlite;

use std::path::{Path, PathBuf};

use recon::event::Progress;
use recon::ledger::manifest::{self, Change, Head, Image};
use recon::migrate::retry::Retries;
use recon::migrate::undo::{Guard, Kind, OnConflict, StandIns, Undo, UndoBatch, Undone};
use recon::migrate::{Images, Trouble};
use recon::spec::{Dataset, Spec};

use crate::migrate::migration::Migration;

/// A table into which lines were migrated.
pub(crate) struct Migrated {
    pub(crate) migration: Migration,
    spec: Spec,
}

/// What a run, or taking one back, has left behind.
#[derive(Clone)]
pub(crate) struct Made {
    pub(crate) run_id: String,
    pub(crate) head: Head,
    pub(crate) changes: Vec<Change>,
}

impl Migrated {
    /// `dataset` are the target's keys in the spec, `more` further ones of the entity. Nothing is migrated yet.
    #[track_caller]
    pub(crate) fn staged(dataset: &str, fields: &str, more: &str, lines: &[&str]) -> Self {
        let migration = Migration::new(dataset, fields, more, &lines.join("\n"));
        let spec = recon::spec::load(&migration.project.path("recon.toml"), &|_| None).expect("a spec");
        Self { migration, spec }
    }

    pub(crate) fn dataset(&self) -> &Dataset {
        self.spec.dataset("new").expect("the target")
    }

    /// What the one run has left behind.
    pub(crate) fn made(&self) -> Made {
        let pattern = format!("{}/runs/*/entities/t/manifest", self.migration.project.path("home").display());
        let folder: PathBuf = glob::glob(&pattern).expect("a glob").next().expect("a run").expect("a path");
        read(&folder)
    }

    /// Opens the table.
    pub(crate) fn open(&self, made: &Made) -> Box<dyn Undo + '_> {
        let key: Vec<String> = made.changes[0].key.keys().cloned().collect();
        let undo = recon::migrate::undo::open(self.dataset(), &key).expect("the table");
        assert_eq!(undo.fingerprint(), made.head.target);
        undo
    }

    /// The first batch of a run that was killed once it was committed is told by its marker.
    #[cfg(feature = "faults")]
    #[track_caller]
    pub(crate) fn is_told_by_its_marker(&self, point: &str) {
        self.migration.is_killed_at(point);
        let made = self.made();
        let undo = self.open(&made);
        let receipt = undo.receipt(&made.run_id, "t", 0).expect("a marker").expect("a receipt");
        assert_eq!(counted(&receipt.made), made.changes.len() as u64);
        assert_eq!(undo.receipt(&made.run_id, "t", 1).expect("no marker"), None);
        undo.forget(&made.run_id, "t").expect("the marker goes");
        assert_eq!(undo.receipt(&made.run_id, "t", 0).expect("no marker"), None);
    }

    /// Takes all of it back, in one batch; what became of it, and what that leaves behind.
    #[track_caller]
    pub(crate) fn undone(&self, made: &Made, policy: OnConflict) -> (Undone, Made) {
        let changes: Vec<Change> = made.changes.iter().rev().cloned().collect();
        self.undone_of(made, &changes, &[], policy)
    }

    /// Takes some changes back; `earlier` were announced by an earlier try.
    #[track_caller]
    pub(crate) fn undone_of(
        &self,
        made: &Made,
        changes: &[Change],
        earlier: &[Change],
        policy: OnConflict,
    ) -> (Undone, Made) {
        let mut own: Vec<Change> = Vec::new();
        let mut images = |changes: &mut Vec<Change>| {
            for change in changes.iter_mut() {
                change.seq = (earlier.len() + own.len()) as u64 + 1;
                own.push(change.clone());
            }
            Ok(())
        };
        let undone = self.undone_with(made, changes, earlier, policy, &mut images);
        let undone = undone.unwrap_or_else(|e| panic!("{:?}", e.error()));
        assert_eq!(counted(&undone.made), undone.restored + undone.removed + undone.inserted, "{undone:?}");
        let undo = self.open(made);
        let run_id = format!("undo-of-{}", made.run_id);
        let head = Head { run_id: run_id.clone(), columns: undo.columns().to_vec(), ..made.head.clone() };
        (undone, Made { run_id, head, changes: own })
    }

    /// The same, with somebody who takes the images.
    pub(crate) fn undone_with(
        &self,
        made: &Made,
        changes: &[Change],
        earlier: &[Change],
        policy: OnConflict,
        images: &mut Images<'_>,
    ) -> Result<Undone, Trouble> {
        let undo = self.open(made);
        let guard = Guard { columns: made.head.columns.clone(), version: made.head.version.clone(), policy };
        let run_id = format!("undo-of-{}", made.run_id);
        let stand_ins = StandIns::new();
        let batch = UndoBatch {
            stand_ins: &stand_ins,
            run_id: &run_id,
            entity: "t",
            number: 0,
            hash: "h",
            changes,
            of_run: &made.run_id,
            guard: &guard,
            earlier,
            retries: Retries::default(),
            progress: &Progress::default(),
        };
        let mut session = undo.session()?;
        let undone = session.undo(&batch, images)?;
        if !undo.writes_in_parts() {
            // The marker knows it, and a second try finds that.
            let again = session.undo(&batch, &mut |_| panic!("it is done"))?;
            assert_eq!(again, undone);
            undo.forget(&run_id, "t").expect("the marker goes");
            let again = session.undo(&batch, &mut |_| Ok(()))?;
            if undone.altered.is_empty() {
                let as_before = counts(&undone)[..4].iter().sum::<u64>() - undone.merged;
                // Where a row went, another one may be there that is of the same key but for its spelling.
                let others = respelled(&again) - respelled(&undone);
                assert_eq!((again.noop + others, again.made.len()), (as_before, 0), "{again:?}");
            }
            undo.forget(&run_id, "t").expect("the marker goes");
        }
        Ok(undone)
    }

    /// Reads what is there, and holds it against the digests that the run wrote.
    #[track_caller]
    pub(crate) fn is_as_digested(&self, made: &Made) {
        let undo = self.open(made);
        let keys: Vec<&Image> = made.changes.iter().map(|change| &change.key).collect();
        let mut session = undo.session().unwrap_or_else(|e| panic!("{:?}", e.error()));
        let rows = session.look(&keys).unwrap_or_else(|e| panic!("{:?}", e.error()));
        for (change, row) in made.changes.iter().zip(rows) {
            let digest = row.as_ref().map(|row| undo.digest(row, &made.head.columns).expect("a digest"));
            assert_eq!(digest, change.post_hash, "{row:?}");
            if let (Some(post), Some(row)) = (&change.post, &row) {
                assert_eq!(post, row);
            }
        }
    }
}

fn counted(ranges: &[(u64, u64)]) -> u64 {
    ranges.iter().map(|(from, to)| to - from + 1).sum()
}

fn read(folder: &Path) -> Made {
    let (head, mut changes) = (manifest::read_head(folder).expect("a manifest"), Vec::new());
    manifest::read(folder, |change| {
        changes.push(change);
        Ok(())
    })
    .expect("a manifest");
    Made { run_id: head.run_id.clone(), head, changes }
}

/// `restored`, `removed`, `inserted`, `noop`, conflicts and faults.
pub(crate) fn counts(undone: &Undone) -> [u64; 6] {
    let Undone { restored, removed, inserted, noop, .. } = *undone;
    [restored, removed, inserted, noop, undone.conflicts.len() as u64, undone.faults.len() as u64]
}

/// The kinds of the conflicts, in the order of the changes.
pub(crate) fn kinds(undone: &Undone) -> Vec<Kind> {
    undone.conflicts.iter().map(|(_, conflict)| conflict.kind).collect()
}

const FIELDS: &str = "k = { type = \"int\" }\na = \"a\"\nb = \"b\"";
const LINES: [&str; 4] = [
    r#"{"k":1,"a":"new","b":"new"}"#,
    r#"{"k":2,"a":"new","b":"new"}"#,
    r#"{"k":3,"a":"new","b":"new"}"#,
    r#"{"k":4,"a":"new","b":"new"}"#,
];
const TWO: &str = "insert into t values (1, 'old', 'old'), (2, 'old', 'old')";

/// A table of a store that knows SQL.
trait Sql: std::ops::Deref<Target = Migrated> {
    fn run(&self, sql: &str);
    /// Rows of texts.
    fn rows(&self, sql: &str) -> String;
    fn all(&self) -> String {
        self.rows("select cast(k as char), a, b from t order by k")
    }
}

/// Rows were changed, deleted and made again since [`LINES`] were migrated over [`TWO`].
#[track_caller]
fn somebody_changes(table: &impl Sql) {
    table.run("update t set a = 'mine' where k in (1, 3); delete from t where k in (2, 4)");
    let (made, there) = (table.made(), table.all());
    let (undone, back) = table.undone(&made, OnConflict::Skip);
    // What is gone as it should be is no conflict.
    assert_eq!((counts(&undone), back.changes.len()), ([0, 0, 0, 1, 3, 0], 0));
    let mut found = kinds(&undone);
    found.sort();
    assert_eq!(found, [Kind::Changed, Kind::Changed, Kind::Deleted]);
    for (_, conflict) in &undone.conflicts {
        let a = conflict.now.as_ref().and_then(|now| now["a"].as_str());
        assert_eq!(a.map(|a| a.trim_start_matches("t:")), (conflict.kind == Kind::Changed).then_some("mine"));
    }
    assert_eq!(table.all(), there);
    let (undone, _) = table.undone(&made, OnConflict::Merge);
    assert_eq!((counts(&undone), undone.merged), ([1, 0, 0, 1, 2, 0], 1));
    assert_eq!(table.all(), "1 mine old, 3 mine new");
    let (undone, back) = table.undone(&made, OnConflict::Force);
    assert_eq!((counts(&undone), undone.forced), ([1, 1, 1, 1, 0, 0], 3));
    assert_eq!(table.all(), "1 old old, 2 old old");
    // A row that was taken away and made again is somebody else's.
    table.run("insert into t values (3, 'mine', null)");
    let (undone, _) = table.undone(&back, OnConflict::Skip);
    assert_eq!((counts(&undone), kinds(&undone)), ([1, 1, 0, 0, 1, 0], vec![Kind::Recreated]));
}

/// The table has got another column since; then the key's is gone, then the table.
#[track_caller]
fn columns_are_added(table: &impl Sql) {
    table.run("alter table t add column c varchar(9); update t set c = 'mine' where k in (1, 3)");
    let made = table.made();
    let (undone, _) = table.undone(&made, OnConflict::Skip);
    assert_eq!((counts(&undone), kinds(&undone)), ([2, 1, 0, 0, 1, 0], vec![Kind::Schema]));
    let kept = "old old mine, old old NULL, new new mine";
    assert_eq!(table.rows("select a, b, c from t order by k"), kept);
    let open = || recon::migrate::undo::open(table.dataset(), &["k".to_owned()]);
    table.run("alter table t rename column k to id");
    let error = open().err().expect("no key");
    assert!(error.to_string().contains("has no column `k`"), "{error}");
    table.run("drop table t");
    let error = open().err().expect("no table");
    assert!(error.to_string().contains("is no table"), "{error}");
}

/// Rows in conflict since their key is spelled otherwise.
fn respelled(undone: &Undone) -> u64 {
    let details = undone.conflicts.iter().filter_map(|(_, conflict)| conflict.detail.as_ref());
    details.filter(|detail| detail.contains("spelled otherwise")).count() as u64
}

/// A row of `child`, whose column `p` refers to `t`, refers to row 3.
#[track_caller]
fn others_refer(table: &impl Sql, detail: Option<&str>) {
    table.run("insert into child values (1, 3)");
    let (undone, _) = table.undone(&table.made(), OnConflict::Force);
    assert_eq!((counts(&undone), kinds(&undone)), ([2, 1, 0, 0, 1, 0], vec![Kind::Referenced]));
    if detail.is_some() {
        assert_eq!(undone.conflicts[0].1.detail.as_deref(), detail);
    }
    assert_eq!(table.rows("select cast(p as char) from child"), "3");
    table.run("delete from child");
    let (undone, _) = table.undone(&table.made(), OnConflict::Skip);
    assert_eq!(counts(&undone), [0, 1, 0, 3, 0, 0]);
    assert_eq!(table.all(), "1 old old, 2 old old");
}

/// Keys `ann` and `Bob` (which was there) were migrated; their index, by which `ANN` is `ann`, goes with this.
#[track_caller]
fn the_index_goes(table: &impl Sql, drop: &str) {
    table.run(drop);
    table.run("insert into t values ('ANN', 'x'), ('BOB', 'mine')");
    let (undone, _) = table.undone(&table.made(), OnConflict::Skip);
    assert_eq!(counts(&undone), [1, 1, 0, 0, 0, 0]);
    let mut rows: Vec<String> = table.rows("select k, a from t").split(", ").map(str::to_owned).collect();
    rows.sort();
    assert_eq!(rows, ["ANN x", "BOB mine", "Bob old"]);
}
