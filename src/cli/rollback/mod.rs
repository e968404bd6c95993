//! `recon rollback`: what can be rolled back, what would become of it, doing it, and whether it is as it was.

mod campaign;
mod chosen;
mod done;
mod list;
mod report;
mod verify;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

use self::campaign::Campaign;
use super::Global;
use super::pacing::Pacing;
use crate::error::Result;
use crate::migrate::undo::OnConflict;

#[derive(Args, Debug)]
pub(super) struct RollbackArgs {
    #[command(subcommand)]
    command: Command,
}

impl RollbackArgs {
    /// Whether it changes the target.
    pub(super) fn is_apply(&self) -> bool {
        matches!(self.command, Command::Apply(_))
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The runs that wrote, the newest first, and which of them can be rolled back
    #[command(after_help = "Example: recon rollback list --format json")]
    List,
    /// Look what a rollback would do, row by row; nothing is changed
    #[command(after_help = "Example: recon rollback plan --run last        recon rollback plan --since 2h")]
    Plan(PlanArgs),
    /// Roll back; goes on where an earlier one stopped
    #[command(after_help = "Example: recon rollback apply --run last --on-conflict skip")]
    Apply(ApplyArgs),
    /// Check the manifests; with --run of a run that was rolled back or of a rollback, compare the target with the old images, too
    #[command(after_help = "Example: recon rollback verify        recon rollback verify --run last")]
    Verify(VerifyArgs),
}

/// What is rolled back. It is kept with the run, and a rollback that resumes has it from there.
#[derive(Args, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Choice {
    /// What this run changed (`last`: the newest that wrote and is not rolled back); of a rollback: undo it
    #[arg(long, value_name = "RUN", conflicts_with = "since")]
    run: Option<String>,
    /// What all runs changed that began since then: 2026-01-31T08:00:00Z, or 2h for two hours ago
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only these records: keys of one field separated by commas, or @FILE, a CSV of keys
    #[arg(long, value_name = "KEYS", allow_hyphen_values = true, conflicts_with = "from")]
    ids: Option<String>,
    /// Only the records of a CSV with their keys, as conflicts.csv, mismatches.csv and failures.csv are
    #[arg(long, value_name = "CSV")]
    from: Option<PathBuf>,
    /// Of one record: only so far back that it is what it was with this version
    #[arg(long, value_name = "N", requires = "ids")]
    to_version: Option<String>,
    /// What is done about a row that somebody has changed since [default: skip]
    #[arg(long, value_enum)]
    on_conflict: Option<OnConflict>,
    /// The entities that were named, if any were.
    #[arg(skip)]
    entities: Vec<String>,
}

#[derive(Args, Debug)]
struct PlanArgs {
    #[command(flatten)]
    choice: Choice,
}

#[derive(Args, Debug)]
struct ApplyArgs {
    #[command(flatten)]
    choice: Choice,
    /// Change nothing: the same as `rollback plan`
    #[arg(long)]
    dry_run: bool,
    /// Begin another rollback although one is unfinished: what that one took back stays so
    #[arg(long)]
    new_run: bool,
    #[command(flatten)]
    pacing: Pacing,
}

#[derive(Args, Debug)]
struct VerifyArgs {
    /// Only this run (`last`: the newest rollback)
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
}

pub(super) fn run(global: &Global, args: &RollbackArgs) -> Result<u8> {
    let with_entities = |choice: &Choice| Choice { entities: global.entity.clone(), ..choice.clone() };
    match &args.command {
        Command::List => list::run(global),
        Command::Verify(args) => verify::run(global, args.run.as_deref()),
        Command::Plan(args) => Campaign { global, choice: with_entities(&args.choice) }.plan(),
        Command::Apply(args) => {
            let campaign = Campaign { global, choice: with_entities(&args.choice) };
            if args.dry_run { campaign.plan() } else { campaign.apply(&args.pacing, args.new_run) }
        }
    }
}
