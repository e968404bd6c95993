//! What a run would do, told or written into a file.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::campaign::{Campaign, Field, digest, of_entity, referred_first};
use super::earlier::{done_files, make_anew};
use super::script::Script;
use super::unfinished::check_rolled_back;
use super::wanted::Wanted;
use super::{Task, report};
use crate::cli::progress::Bar;
use crate::error::{Context, Result};
use crate::event::Progress;
use crate::ledger::Ledger;
use crate::ledger::migration::Migration;
use crate::mapping::fold::Make;
use crate::migrate::batch::Stamp;
use crate::migrate::{self as target, dry_run, script};
use crate::spec::Entity;
use crate::warehouse::Warehouse;

impl Campaign<'_> {
    /// Says what would be written, or puts it into a file; the target stays as it is.
    pub(super) fn rehearse(&self, script: Option<&Path>) -> Result<u8> {
        let spec = self.global.load_spec()?;
        let home = self.global.home();
        let Some(ledger) = Ledger::open_reader(&home)? else { return Err(self.global.nothing_staged()) };
        check_rolled_back(self.global, &ledger)?;
        let progress = Arc::new(Progress::default());
        let scratch = tempfile::tempdir().or_failed(|| "cannot make a temporary folder".to_owned())?;
        let warehouse = Warehouse::in_memory(self.global.threads(), self.global.engine_memory())?;
        warehouse.spill_to(scratch.path())?;
        warehouse.stop_with(&progress)?;
        let make = Make::At(scratch.path());
        let field = Field { spec: &spec, ledger: &ledger, warehouse: &warehouse, progress: &progress, make };
        let wanted = Wanted::gather(&self.choice, self.global, &field)?;
        let mut script_file = script.map(Script::create).transpose()?;
        let bar = Bar::start(self.global, "planning", &progress);
        let (mut found, mut alone) = (Vec::new(), BTreeMap::new());
        for (i, entity) in referred_first(self.global.entities(&spec)).into_iter().enumerate() {
            if matches!(self.task, Task::Replay) && !wanted.names(&entity.name) {
                continue;
            }
            let sides = self.sides(&field, entity)?;
            let prepared = self.prepared(&field, &sides, self.choice.filter.as_deref())?;
            let mapped = prepared.plan(&spec, &warehouse)?;
            let target = target::open(sides.target, &mapped).map_err(|e| e.of(&of_entity(entity)))?;
            let state = Migration {
                entity: entity.name.clone(),
                generation: sides.source.generation,
                mapping: digest(field.spec, entity),
                target: target.fingerprint().to_owned(),
                ..Migration::default()
            };
            let settled = self.settled(&field, entity, target.as_ref(), None)?;
            self.fit(&field, &sides, target.as_ref(), &mut alone)?;
            let (path, done) = (scratch.path().join(i.to_string()), done_files(&ledger, &state, &settled)?);
            make_anew(&path)?;
            let (plan, _) =
                self.plan(&field, &sides, &mapped, target.as_ref(), (&path, done), wanted.of_replay())?;
            let stamp =
                Stamp { run_id: self.task.word().to_owned(), at_ns: jiff::Timestamp::now().as_nanosecond() };
            let (to, retries) = (target.as_ref(), self.how.pacing.retries());
            let rehearsal = match &mut script_file {
                None => dry_run::rehearse(&mapped, &plan, to, &stamp, &progress)?,
                Some(file) => {
                    let out = file.of_entity(sides.target, to).map_err(|e| e.of(&of_entity(entity)))?;
                    script::write(&mapped, &plan, to, (&stamp, retries), &progress, out)?
                }
            };
            let unparsed = sides.source.failures.iter().map(|f| f.rows).sum();
            found.push(report::Rehearsed {
                entity: entity.name.clone(),
                left_over: plan.left_over,
                unparsed,
                not_found: plan.not_found.clone(),
                a_second: match self.how.pacing.rate {
                    Some(rate) => Some(rate.into()),
                    None => pace(&ledger, entity, target.fingerprint())?,
                },
                rehearsal,
            });
            plan.remove()?;
        }
        drop(bar);
        if let Some(file) = script_file.filter(|_| !found.is_empty()) {
            file.finish()?;
        }
        report::show_rehearsal(self.global, self.task, script, &found)
    }
}

/// Records a second of the newest run that wrote an entity into a target; `None` where there was none.
fn pace(ledger: &Ledger, entity: &Entity, target: &str) -> Result<Option<u64>> {
    let all = ledger.migrations()?;
    let wrote = |m: &&Migration| m.entity == entity.name && m.target == target && m.counts.records > 0;
    let Some(newest) = all.iter().rfind(wrote) else { return Ok(None) };
    let records: u64 = all.iter().filter(|m| m.run_id == newest.run_id).map(|m| m.counts.records).sum();
    let runs = ledger.runs(u32::MAX)?;
    let run = runs.iter().find(|run| run.run_id == newest.run_id);
    let time = |text: &str| text.parse::<jiff::Timestamp>().ok();
    let took =
        run.and_then(|run| Some(time(run.ended_at.as_deref()?)?.duration_since(time(&run.started_at)?)));
    let seconds = took.map_or(0.0, |took| took.as_secs_f64());
    Ok((seconds > 0.0).then(|| ((records as f64 / seconds) as u64).max(1)))
}
