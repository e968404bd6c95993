//! What `recon status` says of the rollback that goes on, or that came after everything that was written.

use serde_json::{Value as Json, json};

use crate::cli::Global;
use crate::error::Result;
use crate::ledger::Ledger;
use crate::ledger::rollback::Rollback;
use crate::reconcile::report::terminal::{plain, thousands};

/// A rollback, entity by entity.
pub(super) struct Rolling {
    entities: Vec<Rollback>,
}

impl Rolling {
    /// The newest rollback, where no run has begun to write since.
    pub(super) fn read(global: &Global, ledger: &Ledger) -> Result<Option<Self>> {
        let all = ledger.rollbacks()?;
        let Some(newest) = all.last().map(|rollback| rollback.run_id.clone()) else { return Ok(None) };
        if ledger.last_migration()?.is_some_and(|written| written.run_id > newest) {
            return Ok(None);
        }
        let is_asked = |r: &Rollback| global.entity.is_empty() || global.entity.contains(&r.entity);
        let entities: Vec<Rollback> = all.into_iter().filter(|r| r.run_id == newest && is_asked(r)).collect();
        Ok((!entities.is_empty()).then_some(Self { entities }))
    }

    pub(super) fn json(&self) -> Json {
        let entities: serde_json::Map<String, Json> = self
            .entities
            .iter()
            .map(|r| {
                let c = &r.counts;
                let facts = json!({
                    "state": r.state, "target": r.target, "changes": r.changes, "handled": c.handled, "unchanged": c.noop,
                    "rolled_back": c.restored + c.removed + c.inserted, "conflicts": c.conflicts, "failed": c.failed,
                });
                (r.entity.clone(), facts)
            })
            .collect();
        json!({ "run_id": self.entities[0].run_id, "runs": self.entities[0].undo_of, "entities": entities })
    }

    pub(super) fn text(&self) -> String {
        let mut out =
            format!("rollback {} of {}\n", self.entities[0].run_id, self.entities[0].undo_of.join(", "));
        for r in &self.entities {
            let c = &r.counts;
            out.push_str(&format!(
                "  {}, {}: {} of {} changes; {} rolled back, {} as before, {} conflicts, {} failed\n",
                plain(&r.entity),
                r.state,
                thousands(c.handled),
                thousands(r.changes),
                thousands(c.restored + c.removed + c.inserted),
                thousands(c.noop),
                thousands(c.conflicts),
                thousands(c.failed)
            ));
        }
        out
    }

    /// The command that follows.
    pub(super) fn next(&self) -> &'static str {
        match self.entities.iter().any(|r| r.state == "running") {
            true => "rollback apply        (goes on with it)",
            false => {
                "rollback verify --run last        (then mend the cause; what is rolled back is pending)"
            }
        }
    }
}
