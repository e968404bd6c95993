//! `recon status`, `recon runs` and `recon reset`.

mod migrations;
mod rollbacks;

use std::time::Duration;

use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use indicatif::{HumanBytes, HumanDuration};
use jiff::Timestamp;
use serde_json::json;

use self::migrations::Writing;
use self::rollbacks::Rolling;
use super::{Format, Global, print};
use crate::error::{Error, Result};
use crate::ledger::told::HowFar;
use crate::ledger::{Ledger, RunRow, Total};
use crate::reconcile::report::terminal::thousands;

#[derive(Args, Debug)]
pub(super) struct RunsArgs {
    /// How many to show
    #[arg(short, value_name = "N", default_value_t = 20, value_parser = parse_runs, allow_negative_numbers = true)]
    n: u32,
}

#[derive(Args, Debug)]
pub(super) struct ResetArgs {
    /// Do it; without this, only say what would be lost
    #[arg(long)]
    yes: bool,
}

/// A number of runs.
fn parse_runs(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| format!("`{text}` is no whole number above 0"))
}

pub(super) fn status(global: &Global) -> Result<u8> {
    check_entities(global)?;
    let home = global.home();
    let Some(ledger) = Ledger::open_reader(&home)? else {
        return empty(
            global,
            &json!({ "running": null, "progress": null, "last_run": null, "written": null, "rolled_back": null, "records": [] }),
        );
    };
    let ((runs, holder), mut totals) = (ledger.runs_now(1)?, ledger.totals()?);
    totals.retain(|total| global.entity.is_empty() || global.entity.contains(&total.entity));
    let running = runs.first().filter(|run| run.state == "running");
    let progress = running.map(|run| ledger.how_far(&run.run_id)).transpose()?.flatten();
    let progress = running.zip(progress).map(|(run, how_far)| Pace::new(run, how_far));
    let writing = Writing::read(global, &ledger, running)?;
    let rolling = Rolling::read(global, &ledger)?;
    if global.format == Format::Json {
        let totals: Vec<_> = totals
            .iter()
            .map(|t| {
                json!({
                    "run_id": t.run_id, "entity": t.entity, "state": t.state,
                    "source_records": t.source_records, "target_records": t.target_records,
                })
            })
            .collect();
        let text = json!({
            "running": holder,
            "progress": progress.as_ref().map(Pace::json),
            "last_run": runs.first().map(run_json),
            "written": writing.as_ref().map(Writing::json),
            "rolled_back": rolling.as_ref().map(Rolling::json),
            "records": totals,
        });
        return print(&serde_json::to_string_pretty(&text).expect("facts are always JSON"));
    }
    let told = (progress.as_ref(), writing.as_ref(), rolling.as_ref());
    print(&status_text(global, holder.as_deref(), runs.first(), told, &totals))
}

fn status_text(
    global: &Global,
    holder: Option<&str>,
    last: Option<&RunRow>,
    (progress, writing, rolling): (Option<&Pace>, Option<&Writing>, Option<&Rolling>),
    totals: &[Total],
) -> String {
    let mut out = match holder {
        Some(holder) => format!("running: {}\n", holder.trim()),
        None => "nothing is running\n".to_owned(),
    };
    if let Some(progress) = progress {
        out.push_str(&format!("{}\n", progress.text()));
    }
    if let Some(run) = last {
        out.push_str(&format!("last run: {}, {}{}\n", run.run_id, run.state, in_commas(run)));
    }
    if let Some(writing) = writing {
        out.push_str(&writing.text());
    }
    if let Some(rolling) = rolling {
        out.push_str(&rolling.text());
    }
    if !totals.is_empty() {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(["entity", "state", "source records", "target records"]);
        for t in totals.iter().filter(|t| t.source_records + t.target_records > 0) {
            let counts = [thousands(t.source_records), thousands(t.target_records)];
            table.add_row([t.entity.clone(), t.state.clone()].into_iter().chain(counts));
        }
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        out.push_str(&format!("{table}\n"));
    }
    if !global.quiet {
        let next = match holder {
            Some(_) => "status        (again, until it ends: nothing else may be begun before)",
            None => {
                let written = writing.zip(last).and_then(|(writing, last)| writing.next(last));
                written.or_else(|| rolling.map(Rolling::next)).unwrap_or_else(|| next(last))
            }
        };
        out.push_str(&format!("next: {} {next}\n", global.command()));
    }
    out
}

pub(super) fn runs(global: &Global, args: &RunsArgs) -> Result<u8> {
    check_entities(global)?;
    let Some(ledger) = Ledger::open_reader(&global.home())? else { return empty(global, &json!([])) };
    let (runs, _) = ledger.runs_now(args.n)?;
    if global.format == Format::Json {
        let runs: Vec<_> = runs.iter().map(run_json).collect();
        return print(&serde_json::to_string_pretty(&runs).expect("facts are always JSON"));
    }
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["run", "state", "exit", "started", "reports or reason"]);
    for run in &runs {
        let last = run.message.clone().or_else(|| run.folder.clone()).unwrap_or_default();
        table.add_row([run.run_id.clone(), run.state.clone(), exit_text(run), run.started_at.clone(), last]);
    }
    print(&table.to_string())
}

/// The spec is asked only about the entities that were named: without them, a home needs none.
fn check_entities(global: &Global) -> Result<()> {
    if global.entity.is_empty() { Ok(()) } else { global.load_spec().map(drop) }
}

pub(super) fn reset(global: &Global, args: &ResetArgs) -> Result<u8> {
    let home = global.home();
    if !global.entity.is_empty() {
        return Err(Error::usage("`recon reset` forgets the whole home, not single entities")
            .help("leave --entity out"));
    }
    if !home.join("ledger.db").exists() {
        return Err(Error::usage(format!(
            "{} is no home of recon: nothing was staged there",
            home.display()
        ))
        .help("name the spec (--spec PATH) or the home itself (--home DIR)"));
    }
    let ledger = Ledger::open(&home, "reset")?;
    let runs = ledger.runs(u32::MAX)?.len();
    let word = if runs == 1 { "run with its reports" } else { "runs with their reports" };
    let lost = format!("{}: {runs} {word}, and everything staged", home.display());
    if !args.yes {
        return Err(Error::usage(format!("this would delete {lost}"))
            .help(format!("`{} reset --yes` does it", global.command())));
    }
    ledger.delete()?;
    match global.format {
        Format::Json => print(&json!({ "home": home.display().to_string(), "runs": runs }).to_string()),
        Format::Text => print(&format!("deleted {lost}")),
    }
}

/// How far a run is, and how fast it came there. A run that was gone on with counts from when that was.
struct Pace {
    how_far: HowFar,
    since: String,
    seconds: f64,
}

impl Pace {
    fn new(run: &RunRow, how_far: HowFar) -> Self {
        let time = |text: &str| text.parse::<Timestamp>().ok();
        let since = how_far.began_at.clone().unwrap_or_else(|| run.started_at.clone());
        let seconds = time(&how_far.at)
            .zip(time(&since))
            .map_or(0.0, |(at, since)| at.duration_since(since).as_secs_f64());
        Self { how_far, since, seconds: seconds.max(0.001) }
    }

    fn rows_per_second(&self) -> u64 {
        (self.how_far.rows.saturating_sub(self.how_far.rows_before) as f64 / self.seconds) as u64
    }

    fn bytes_per_second(&self) -> u64 {
        (self.how_far.bytes_done as f64 / self.seconds) as u64
    }

    /// Seconds that are left at this pace; unknown where nobody knows how much there is to do, or nothing was done yet.
    fn seconds_left(&self) -> Option<u64> {
        let to_write = self.how_far.planned.saturating_sub(self.how_far.rows);
        if self.how_far.planned > 0 {
            return to_write.checked_div(self.rows_per_second());
        }
        let left = self.how_far.bytes_total.saturating_sub(self.how_far.bytes_done);
        (self.how_far.bytes_total > 0).then(|| left.checked_div(self.bytes_per_second())).flatten()
    }

    fn json(&self) -> serde_json::Value {
        let h = &self.how_far;
        json!({
            "units_done": h.units_done, "units_total": h.units_total, "bytes_done": h.bytes_done,
            "bytes_total": h.bytes_total, "rows": h.rows, "failures": h.failures, "since": self.since, "at": h.at,
            "planned": h.planned, "retries": h.retries,
            "rows_per_second": self.rows_per_second(), "bytes_per_second": self.bytes_per_second(),
            "seconds_left": self.seconds_left(),
        })
    }

    fn text(&self) -> String {
        let h = &self.how_far;
        let mut text = format!("  {} of {} units, {} rows", h.units_done, h.units_total, thousands(h.rows));
        if h.failures > 0 {
            let what = if h.planned > 0 { "did not go through" } else { "did not parse" };
            text.push_str(&format!(", {} {what}", thousands(h.failures)));
        }
        match h.bytes_total {
            0 => text.push_str(&format!("; {} rows a second", thousands(self.rows_per_second()))),
            total => text.push_str(&format!(
                "; {} of {}, {} a second",
                HumanBytes(h.bytes_done),
                HumanBytes(total),
                HumanBytes(self.bytes_per_second())
            )),
        }
        if let Some(seconds) = self.seconds_left() {
            text.push_str(&format!("; about {} left", HumanDuration(Duration::from_secs(seconds))));
        }
        text
    }
}

/// What is said where nothing was staged yet.
fn empty(global: &Global, facts: &serde_json::Value) -> Result<u8> {
    match global.format {
        Format::Json => print(&serde_json::to_string_pretty(facts).expect("facts are always JSON")),
        Format::Text => {
            print(&format!("nothing in {} yet\nnext: {} stage", global.home().display(), global.command()))
        }
    }
}

/// The command that follows the last run.
fn next(last: Option<&RunRow>) -> &'static str {
    match last.map(|run| (run.command.as_str(), run.state.as_str(), run.exit_code)) {
        Some(("stage", "done", _)) => "diff",
        Some(("diff", "done", _)) => "show KEY        (the keys are in the reports of the last run)",
        Some(("diff", "interrupted", _)) => "diff",
        Some(("diff", _, Some(2))) => "check",
        Some(("validate", "done", Some(0))) => "migrate",
        Some(("validate", _, _)) => "validate",
        // It ended before it had planned anything.
        Some(("migrate", _, _)) => "migrate",
        Some(("replay", _, _)) => "replay",
        _ => "stage",
    }
}

fn in_commas(run: &RunRow) -> String {
    let facts = [Some(exit_text(run)).filter(|t| !t.is_empty()), run.message.clone(), run.folder.clone()];
    facts.into_iter().flatten().map(|fact| format!(", {fact}")).collect()
}

fn exit_text(run: &RunRow) -> String {
    run.exit_code.map_or_else(String::new, |code| format!("exit {code}"))
}

fn run_json(run: &RunRow) -> serde_json::Value {
    json!({
        "run_id": run.run_id, "command": run.command, "state": run.state, "started_at": run.started_at,
        "ended_at": run.ended_at, "exit_code": run.exit_code, "folder": run.folder, "message": run.message,
    })
}
