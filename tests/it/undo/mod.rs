//! Taking changes back in each kind of store, by the manifest that a run left behind: what is there is looked at and decided about,
//! and what the store gives back is what it held before.

mod sqlite;

use std::path::{Path, PathBuf};

use recon::event::Progress;
use recon::ledger::manifest::{self, Change, Head, Image};
use recon::migrate::retry::Retries;
use recon::migrate::undo::{Guard, Kind, OnConflict, StandIns, Undo, UndoBatch, Undone};
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
        let undo = self.open(made);
        let guard = Guard { columns: made.head.columns.clone(), version: made.head.version.clone(), policy };
        let mut own: Vec<Change> = Vec::new();
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
        let mut images = |changes: &mut Vec<Change>| {
            for change in changes.iter_mut() {
                change.seq = (earlier.len() + own.len()) as u64 + 1;
                own.push(change.clone());
            }
            Ok(())
        };
        let mut session = undo.session().unwrap_or_else(|e| panic!("{:?}", e.error()));
        let undone = session.undo(&batch, &mut images).unwrap_or_else(|e| panic!("{:?}", e.error()));
        assert_eq!(counted(&undone.made), undone.restored + undone.removed + undone.inserted, "{undone:?}");
        if !undo.writes_in_parts() {
            // The marker knows it, and a second try finds that.
            let again = session.undo(&batch, &mut |_| panic!("it is done")).expect("it is done");
            assert_eq!(again, undone);
            undo.forget(&run_id, "t").expect("the marker goes");
            let again = session.undo(&batch, &mut |_| Ok(())).unwrap_or_else(|e| panic!("{:?}", e.error()));
            if undone.altered.is_empty() {
                let as_before = counts(&undone)[..4].iter().sum::<u64>() - undone.merged;
                assert_eq!((again.noop, again.made.len()), (as_before, 0), "{again:?}");
            }
            undo.forget(&run_id, "t").expect("the marker goes");
        }
        let head = Head { run_id: run_id.clone(), columns: undo.columns().to_vec(), ..made.head.clone() };
        (undone, Made { run_id, head, changes: own })
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
