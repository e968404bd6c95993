//! A run that is not at its end: it goes on, or it is over.

use super::campaign::{Campaign, digest};
use super::{Choice, Task};
use crate::cli::Global;
use crate::error::{Context, Error, Result};
use crate::ledger::Ledger;
use crate::ledger::migration::Migration;
use crate::spec::Spec;

/// Where the unfinished run stands.
pub(super) enum Standing {
    /// It goes on, with what it was asked to write.
    Goes { run_id: String, choice: Box<Choice> },
    /// There is none, or it is left as it is.
    Over,
}

impl Campaign<'_> {
    /// Whether this command goes on with the unfinished run, whose migrations `open` are.
    ///
    /// # Errors
    /// A run that this command can neither go on with nor leave (exit 2, says why and what would help).
    pub(super) fn standing(
        &self,
        spec: &Spec,
        ledger: &Ledger,
        open: &[Migration],
        new_run: bool,
    ) -> Result<Standing> {
        let Some(first) = open.first().filter(|_| !new_run) else { return Ok(Standing::Over) };
        // What has written nothing yet loses nothing when it is planned anew.
        let all = ledger.migrations_of(&first.run_id)?;
        if all.iter().all(|m| m.state == "planning") {
            return Ok(Standing::Over);
        }
        let (run_id, kind) = (first.run_id.as_str(), first.kind.as_str());
        let changed = what_changed(spec, ledger, open)?;
        match (self.task, changed) {
            // Nothing could go on with it, and what failed until then is known.
            (Task::Replay, Some(changed)) if kind != "replay" => {
                if !self.global.quiet {
                    eprintln!("run {run_id} is left as it is: {changed}");
                }
                Ok(Standing::Over)
            }
            (task, _) if kind != task.word() => {
                let command = self.global.command();
                Err(unfinished(self.global, run_id, &format!("it is a {kind}"), task.word()).help(format!(
                    "`{command} {kind}` goes on with it; `{command} {} --new-run` leaves it as it is",
                    task.word()
                )))
            }
            (_, Some(changed)) => Err(unfinished(self.global, run_id, &changed, kind)),
            (_, None) => {
                let choice: Choice = serde_json::from_str(&first.options)
                    .or_failed(|| "the ledger's options of a run are damaged".to_owned())?;
                let asked = &self.choice;
                if !asked.is_plain() && *asked != choice {
                    let why = "it was asked for other records, or for other images: leave out what selects records, --entity and \
                               --no-undo to go on with it";
                    return Err(unfinished(self.global, run_id, why, kind));
                }
                Ok(Standing::Goes { run_id: run_id.to_owned(), choice: Box::new(choice) })
            }
        }
    }
}

/// What changed since a run began, so that it cannot go on.
fn what_changed(spec: &Spec, ledger: &Ledger, open: &[Migration]) -> Result<Option<String>> {
    for migration in open {
        let Some(entity) = spec.entity(&migration.entity) else {
            return Ok(Some(format!("the spec has no entity `{}` any more", migration.entity)));
        };
        let now = ledger.latest_generation(&entity.source)?.map(|generation| generation.id);
        if now != Some(migration.generation) {
            return Ok(Some(format!("dataset `{}` was staged again since it began", entity.source)));
        }
        if digest(spec, entity) != migration.mapping {
            return Ok(Some(format!(
                "the spec says otherwise how entity `{}` is written than when it began",
                entity.name
            )));
        }
    }
    let is_changed = open.first().is_some_and(|first| first.spec_digest != spec.digest);
    Ok(is_changed
        .then(|| "the spec changed since it began, though not how its records are written".to_owned()))
}

/// Refuses to write while a rollback is unfinished, which would take for somebody's work what is written now.
pub(super) fn check_rolled_back(global: &Global, ledger: &Ledger) -> Result<()> {
    let rollbacks = ledger.rollbacks()?;
    let Some(open) = rollbacks.iter().find(|rollback| rollback.state == "running") else { return Ok(()) };
    let command = global.command();
    Err(Error::usage(format!("rollback {} is unfinished", open.run_id))
        .help(format!("`{command} rollback apply` goes on with it; only then can anything be written")))
}

/// An unfinished run stands in the way.
pub(super) fn unfinished(global: &Global, run_id: &str, why: &str, kind: &str) -> Error {
    let command = global.command();
    Error::usage(format!("run {run_id} is unfinished, and {why}")).help(format!(
        "`{command} {kind} --new-run` leaves it as it is and begins anew: what it wrote stays written"
    ))
}
