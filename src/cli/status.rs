//! `recon status`, `recon runs` and `recon reset`.

use clap::Args;
use comfy_table::{Table, presets};
use serde_json::json;

use super::{Format, Global, print};
use crate::error::{Context, Error, Result};
use crate::ledger::{Ledger, RunRow};
use crate::reconcile::report::terminal::thousands;

#[derive(Args, Debug)]
pub(super) struct RunsArgs {
    /// How many to show
    #[arg(short, value_name = "N", default_value_t = 20)]
    n: u32,
}

#[derive(Args, Debug)]
pub(super) struct ResetArgs {
    /// Do it; without this, only say what would be lost
    #[arg(long)]
    yes: bool,
}

const NOTHING: &str = "nothing here yet; next: recon stage";

pub(super) fn status(global: &Global) -> Result<u8> {
    let home = global.home();
    let Some(ledger) = Ledger::open_reader(&home)? else { return empty(global) };
    let (runs, totals, holder) = (ledger.runs(1)?, ledger.totals()?, Ledger::holder(&home));
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
        let text = json!({ "running": holder, "last_run": runs.first().map(run_json), "records": totals });
        return print(&serde_json::to_string_pretty(&text).expect("facts are always JSON"));
    }
    let mut out = match holder {
        Some(holder) => format!("running: {}\n", holder.trim()),
        None => "nothing is running\n".to_owned(),
    };
    if let Some(run) = runs.first() {
        out.push_str(&format!("last run: {} {} {}\n", run.run_id, run.state, exit_text(run)));
    }
    if !totals.is_empty() {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(["entity", "state", "source records", "target records"]);
        for t in totals.iter().filter(|t| t.source_records + t.target_records > 0) {
            let counts = [thousands(t.source_records), thousands(t.target_records)];
            table.add_row([t.entity.clone(), t.state.clone()].into_iter().chain(counts));
        }
        out.push_str(&format!("{table}\n"));
    }
    print(&out)
}

pub(super) fn runs(global: &Global, args: &RunsArgs) -> Result<u8> {
    let Some(ledger) = Ledger::open_reader(&global.home())? else { return empty(global) };
    let runs = ledger.runs(args.n)?;
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

pub(super) fn reset(global: &Global, args: &ResetArgs) -> Result<u8> {
    let home = global.home();
    if !home.join("ledger.db").exists() {
        return Err(
            Error::usage(format!("{} is no home of recon", home.display())).help("see --home and --spec")
        );
    }
    let ledger = Ledger::open(&home, "reset")?;
    let runs = ledger.runs(u32::MAX)?.len();
    let lost = format!("{}: {runs} runs with their reports, and everything staged", home.display());
    if !args.yes {
        return Err(Error::usage(format!("this would delete {lost}")).help("`recon reset --yes` does it"));
    }
    drop(ledger);
    for name in ["stage", "runs", "tmp"] {
        let path = home.join(name);
        if path.exists() {
            std::fs::remove_dir_all(&path).or_failed(|| format!("cannot delete {}", path.display()))?;
        }
    }
    for name in ["stage.duckdb", "stage.duckdb.wal", "ledger.db", "ledger.db-wal", "ledger.db-shm", "lock"] {
        let path = home.join(name);
        if path.exists() {
            std::fs::remove_file(&path).or_failed(|| format!("cannot delete {}", path.display()))?;
        }
    }
    print(&format!("deleted {lost}"))
}

fn empty(global: &Global) -> Result<u8> {
    match global.format {
        Format::Json => print("{}"),
        Format::Text => print(NOTHING),
    }
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
