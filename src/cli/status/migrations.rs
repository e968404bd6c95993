//! What `recon status` says of the run that writes, or that wrote last: entity by entity.

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use indicatif::HumanDuration;
use serde_json::{Value as Json, json};

use super::Pace;
use crate::cli::Global;
use crate::error::Result;
use crate::ledger::migration::Migration;
use crate::ledger::rollback::Rollback;
use crate::ledger::{Ledger, RunRow};
use crate::reconcile::report::terminal::{plain, thousands};
use crate::rollback::plan::is_rolled_back;

/// A run that writes, or wrote.
pub(super) struct Writing {
    run: RunRow,
    entities: Vec<Entity>,
    is_running: bool,
    a_second: Option<u64>,
    retries: u64,
}

/// An entity of it.
struct Entity {
    migration: Migration,
    /// Records that did not go through in any run so far.
    open: u64,
    /// Rows that rollbacks in force have taken back since.
    rolled_back: u64,
}

impl Entity {
    fn migrated(&self) -> u64 {
        let c = &self.migration.counts;
        c.inserted + c.updated + c.unchanged
    }

    /// Records of this run that are still to be written.
    fn to_do(&self) -> u64 {
        self.migration.records - self.migration.counts.records.min(self.migration.records)
    }

    /// Records that no run has written; unknown until they are planned.
    fn pending(&self) -> Option<u64> {
        (self.migration.state != "planning")
            .then(|| self.to_do() + self.migration.left_over + self.rolled_back)
    }
}

impl Writing {
    /// The newest run that writes or wrote; `running` is the run that goes on now.
    pub(super) fn read(global: &Global, ledger: &Ledger, running: Option<&RunRow>) -> Result<Option<Self>> {
        let Some(mut run) = ledger.last_migration()? else { return Ok(None) };
        let is_running = running.is_some_and(|running| running.run_id == run.run_id);
        if !is_running && run.state == "running" {
            "interrupted".clone_into(&mut run.state);
        }
        let (mut entities, rollbacks) = (Vec::new(), ledger.rollbacks()?);
        for migration in ledger.migrations_of(&run.run_id)? {
            if global.entity.is_empty() || global.entity.contains(&migration.entity) {
                let open = ledger.open_exceptions(&migration.entity, &migration.target)?;
                // One that undoes a rollback takes nothing back.
                let undoes_writing =
                    |r: &Rollback| r.undo_of.iter().any(|run| rollbacks.iter().all(|r| r.run_id != *run));
                let is_of = |r: &&Rollback| {
                    let is_newer = r.entity == migration.entity
                        && r.target == migration.target
                        && r.run_id > migration.run_id;
                    is_newer && undoes_writing(r) && !is_rolled_back(&rollbacks, &r.run_id, &r.entity)
                };
                let rolled_back =
                    rollbacks.iter().filter(is_of).map(|r| r.counts.restored + r.counts.removed).sum();
                entities.push(Entity { migration, open, rolled_back });
            }
        }
        let how_far = ledger.how_far(&run.run_id)?;
        let retries = how_far.as_ref().map_or(0, |how_far| how_far.retries);
        let a_second = how_far.map(|how_far| Pace::new(&run, how_far).rows_per_second());
        Ok(Some(Self { run, entities, is_running, a_second, retries }))
    }

    /// Seconds that an entity takes at the run's pace, those before it left aside.
    fn seconds_left(&self, entity: &Entity) -> Option<u64> {
        let is_under_way = self.is_running && entity.migration.state == "running";
        self.a_second.filter(|_| is_under_way).and_then(|a_second| entity.to_do().checked_div(a_second))
    }

    pub(super) fn json(&self) -> Json {
        let entities: serde_json::Map<String, Json> = self
            .entities
            .iter()
            .map(|e| {
                let facts = json!({
                    "state": e.migration.state, "target": e.migration.target, "records": e.migration.records,
                    "migrated": e.migrated(), "failed": e.migration.counts.failed, "failed_in_all_runs": e.open,
                    "pending": e.pending(), "rolled_back": e.rolled_back, "batches": e.migration.batches, "batches_done": e.migration.counts.applied,
                    "seconds_left": self.seconds_left(e),
                });
                (e.migration.entity.clone(), facts)
            })
            .collect();
        json!({
            "run_id": self.run.run_id, "command": self.run.command, "state": self.run.state,
            "records_per_second": self.a_second, "retries": self.retries, "entities": entities,
        })
    }

    pub(super) fn text(&self) -> String {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(["entity", "written", "records", "migrated", "failed", "pending", "time left"]);
        for e in &self.entities {
            let left = self.seconds_left(e).map(|s| HumanDuration(Duration::from_secs(s)).to_string());
            table.add_row([
                plain(&e.migration.entity),
                e.migration.state.clone(),
                thousands(e.migration.records),
                thousands(e.migrated()),
                thousands(e.migration.counts.failed),
                e.pending().map_or_else(|| "?".to_owned(), thousands),
                left.unwrap_or_default(),
            ]);
        }
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let verb = if self.is_running { "writing" } else { "last written by" };
        let pace = self.a_second.map(|n| format!(", {} records a second", thousands(n))).unwrap_or_default();
        let again = match self.retries {
            0 => String::new(),
            n => format!(", {} tried again", thousands(n)),
        };
        let mut text = format!("{verb} {}, {}{pace}{again}\n{table}\n", self.run.run_id, self.run.state);
        for e in self.entities.iter().filter(|e| e.open > e.migration.counts.failed) {
            let before = thousands(e.open - e.migration.counts.failed);
            let name = plain(&e.migration.entity);
            text.push_str(&format!("{name}: {before} more did not go through in earlier runs\n"));
        }
        text
    }

    /// The command that follows, where the last run of all is `last`: this one.
    pub(super) fn next(&self, last: &RunRow) -> Option<&'static str> {
        if last.run_id != self.run.run_id {
            return None;
        }
        let of = |state: &str| self.entities.iter().any(|e| e.migration.state == state);
        let is_replay = self.run.command == "replay";
        Some(if of("planning") || of("running") {
            if is_replay { "replay        (goes on with it)" } else { "migrate        (goes on with it)" }
        } else if self.entities.is_empty() {
            if is_replay { "replay" } else { "migrate" }
        } else if self.entities.iter().any(|e| e.open > 0) {
            "replay        (once the cause is mended: failures.csv in the run's folder says it)"
        } else if self.entities.iter().any(|e| e.pending() != Some(0)) {
            "migrate        (the records that are pending)"
        } else {
            "stage target        (then diff)"
        })
    }
}
