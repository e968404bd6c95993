//! `recon migrate` and `recon replay`.

mod campaign;
mod earlier;
mod rehearsal;
mod report;
mod script;
mod unfinished;
mod wanted;

use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};

use self::campaign::Campaign;
pub(super) use self::earlier::{abandon, folder_of};
use super::Global;
use super::pacing::Pacing;
use crate::error::Result;
use crate::migrate::run::{ErrorsMax, Options};

#[derive(Args, Debug)]
pub(super) struct MigrateArgs {
    /// Write nothing anywhere: say what would be written and what would be rejected
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    choice: Choice,
    /// Begin a new run although one is unfinished: what that one wrote stays, and what it did not is pending
    #[arg(long)]
    new_run: bool,
    #[command(flatten)]
    how: How,
}

/// Which of the pending records a run writes. It is kept with the run, and a run that resumes has it from there.
#[derive(Args, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Choice {
    /// No more than so many records, in the order of their keys
    #[arg(long, value_name = "N", value_parser = super::parse_count, allow_negative_numbers = true)]
    limit: Option<u64>,
    /// Only records whose key is not greater than this
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    max_id: Option<String>,
    /// Only records for which this SQL over the source's rows holds
    #[arg(long = "where", value_name = "SQL")]
    filter: Option<String>,
    /// Keep no old images: what this run writes cannot be rolled back
    #[arg(long)]
    no_undo: bool,
    /// Apply `on_conflict_sql` again to records that earlier runs have merged
    #[arg(long)]
    #[serde(default)]
    merge_again: bool,
    /// Write records that break the spec's rules, too
    #[arg(long)]
    #[serde(default)]
    write_invalid: bool,
    /// The entities that were named, if any were.
    #[arg(skip)]
    entities: Vec<String>,
    /// What a replay was asked for.
    #[arg(skip)]
    replay: Option<ReplayChoice>,
}

/// Which records a replay writes.
#[derive(Args, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct ReplayChoice {
    /// Only what did not go through in this run (`last`: the newest that wrote)
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// Only failures of this class: retryable, permanent or conflict
    #[arg(long, value_name = "CLASS", value_parser = ["retryable", "permanent", "conflict"])]
    class: Option<String>,
    /// The records of a CSV with their keys, as mismatches.csv, missing.csv and failures.csv are
    #[arg(long, value_name = "CSV", conflicts_with_all = ["run", "class"])]
    from: Option<PathBuf>,
    /// These records: keys of one field separated by commas, or @FILE, a CSV of keys
    #[arg(long, value_name = "KEYS", conflicts_with_all = ["run", "class", "from"])]
    ids: Option<String>,
}

#[derive(Args, Debug)]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    choice: ReplayChoice,
    /// Write nothing anywhere: say what would be written and what would be rejected
    #[arg(long)]
    dry_run: bool,
    /// Instead of writing to the target, write a file with what would do so, to read and to run: SQL, or requests to DynamoDB in JSON
    #[arg(long, value_name = "FILE", conflicts_with_all = ["dry_run", "no_undo", "new_run"])]
    sql: Option<PathBuf>,
    /// Keep no old images: what this run writes cannot be rolled back
    #[arg(long)]
    no_undo: bool,
    /// Apply `on_conflict_sql` again to records that earlier runs have merged
    #[arg(long)]
    merge_again: bool,
    /// Write records that break the spec's rules, too
    #[arg(long)]
    write_invalid: bool,
    /// Begin a new run although one is unfinished
    #[arg(long)]
    new_run: bool,
    #[command(flatten)]
    how: How,
}

/// How a run goes about it; another one may go about it differently.
#[derive(Args, Debug)]
pub(super) struct How {
    /// Records in a batch [default: 5000 for SQL targets, 500 for DynamoDB, 50000 for files]
    #[arg(long, value_name = "N", value_parser = parse_positive)]
    batch_size: Option<u64>,
    /// Stop once more records than this did not go through, counted from each start on: a number, or a share of those planned, as in 5%
    #[arg(long, value_name = "N|P%", value_parser = parse_errors_max)]
    max_errors: Option<ErrorsMax>,
    #[command(flatten)]
    pacing: Pacing,
}

impl Choice {
    /// Whether nothing in particular was asked for.
    fn is_plain(&self) -> bool {
        let plain = Self { replay: self.replay.as_ref().map(|_| ReplayChoice::default()), ..Self::default() };
        *self == plain
    }
}

impl How {
    fn options(&self, concurrency: usize) -> Options {
        Options {
            concurrency: self.pacing.concurrency().unwrap_or(concurrency),
            errors_max: self.max_errors,
            retries: self.pacing.retries(),
            pace: self.pacing.pace(),
        }
    }
}

/// What a command is asked to write.
#[derive(Clone, Copy)]
enum Task {
    Migrate,
    Replay,
}

impl Task {
    fn word(self) -> &'static str {
        match self {
            Self::Migrate => "migrate",
            Self::Replay => "replay",
        }
    }
}

pub(super) fn migrate(global: &Global, args: &MigrateArgs) -> Result<u8> {
    let choice = Choice { entities: global.entity.clone(), ..args.choice.clone() };
    let campaign = Campaign { global, how: &args.how, task: Task::Migrate, choice };
    if args.dry_run { campaign.rehearse(None) } else { campaign.run(args.new_run) }
}

pub(super) fn replay(global: &Global, args: &ReplayArgs) -> Result<u8> {
    let choice = Choice {
        no_undo: args.no_undo,
        merge_again: args.merge_again,
        write_invalid: args.write_invalid,
        entities: global.entity.clone(),
        replay: Some(args.choice.clone()),
        ..Choice::default()
    };
    let campaign = Campaign { global, how: &args.how, task: Task::Replay, choice };
    match args.dry_run || args.sql.is_some() {
        true => campaign.rehearse(args.sql.as_deref()),
        false => campaign.run(args.new_run),
    }
}

/// A whole number from 1 on.
fn parse_positive(text: &str) -> Result<u64, String> {
    let wanted = || format!("`{text}` is no whole number above 0");
    text.parse().ok().filter(|n| (1..=1_000_000).contains(n)).ok_or_else(wanted)
}

/// `100` or `5%`.
pub(super) fn parse_errors_max(text: &str) -> Result<ErrorsMax, String> {
    let wrong = || format!("`{text}` is neither a number of records nor a share such as 5%");
    match text.strip_suffix('%') {
        Some(share) => {
            let share: f64 = share.trim().parse().map_err(|_| wrong())?;
            if (0.0..=100.0).contains(&share) { Ok(ErrorsMax::Percent(share)) } else { Err(wrong()) }
        }
        None => text.parse().map(ErrorsMax::Records).map_err(|_| wrong()),
    }
}
