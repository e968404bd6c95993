//! `recon rollback list`.

use comfy_table::{CellAlignment, Table, presets};
use serde_json::json;

use super::chosen::{all_parts, run_row};
use crate::cli::{Format, Global, print};
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::ledger::manifest::read_head;
use crate::ledger::rollback::Rollback;
use crate::reconcile::report::terminal::{plain, thousands};
use crate::rollback::plan::{Part, rolled_back_by};

/// An entity of a run that wrote.
struct Line {
    run_id: String,
    entity: String,
    started_at: String,
    /// Rows that it changed.
    changed: u64,
    state: String,
}

pub(super) fn run(global: &Global) -> Result<u8> {
    let lines = match Ledger::open_reader(&global.home())? {
        Some(ledger) => lines(&ledger)?,
        None => Vec::new(),
    };
    let is_known = |name: &&String| lines.iter().any(|line| line.entity == **name);
    if let Some(name) = global.entity.iter().find(|name| !is_known(name)).filter(|_| !lines.is_empty()) {
        return Err(Error::usage(format!("no run has written entity `{name}`"))
            .help(format!("`{} rollback list` without --entity lists all", global.command())));
    }
    let lines: Vec<Line> = lines
        .into_iter()
        .filter(|line| global.entity.is_empty() || global.entity.contains(&line.entity))
        .collect();
    if global.format == Format::Json {
        let all: Vec<_> = lines
            .iter()
            .map(|l| {
                json!({
                    "run_id": l.run_id, "entity": l.entity, "started_at": l.started_at, "changed": l.changed,
                    "state": l.state,
                })
            })
            .collect();
        return print(&serde_json::to_string_pretty(&all).expect("facts are always JSON"));
    }
    if lines.is_empty() {
        return print("no run has written anything");
    }
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["run", "entity", "started", "rows changed", "state"]);
    for l in lines {
        table.add_row([l.run_id, plain(&l.entity), l.started_at, thousands(l.changed), l.state]);
    }
    if let Some(column) = table.column_mut(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut out = format!("{table}\n");
    if !global.quiet {
        out.push_str(&format!("next: {} rollback plan --run RUN\n", global.command()));
    }
    print(&out)
}

/// What the newest rollback of a run has left as it is.
fn left(rollbacks: &[Rollback], part: &Part) -> String {
    let is_of = |r: &&Rollback| r.entity == part.entity && r.is_whole && r.undo_of.contains(&part.run_id);
    match rollbacks.iter().rev().find(is_of) {
        Some(r) if r.counts.conflicts + r.counts.failed > 0 => {
            format!("; {} left {} rows", r.run_id, thousands(r.counts.conflicts + r.counts.failed))
        }
        _ => String::new(),
    }
}

fn lines(ledger: &Ledger) -> Result<Vec<Line>> {
    let (parts, rollbacks) = (all_parts(ledger)?, ledger.rollbacks()?);
    let mut lines = Vec::new();
    for part in parts {
        let unfinished = match read_head(&part.folder) {
            Ok(head) if head.complete => "",
            Ok(_) => ", unfinished",
            Err(error) => {
                tracing::warn!("{error}");
                ", but its manifest cannot be read"
            }
        };
        let state = match rolled_back_by(&rollbacks, &part.run_id, &part.entity) {
            Some(by) => format!("rolled back by {by}"),
            None => format!("can be rolled back{unfinished}{}", left(&rollbacks, &part)),
        };
        lines.push(Line {
            started_at: run_row(ledger, &part.run_id)?.map(|run| run.started_at).unwrap_or_default(),
            changed: part.made.values().flatten().flatten().map(|(from, to)| to - from + 1).sum(),
            run_id: part.run_id,
            entity: part.entity,
            state,
        });
    }
    for m in ledger.migrations()? {
        let is_listed = lines.iter().any(|line| line.run_id == m.run_id && line.entity == m.entity);
        if m.counts.applied > 0 && !is_listed {
            lines.push(Line {
                started_at: run_row(ledger, &m.run_id)?.map(|run| run.started_at).unwrap_or_default(),
                changed: m.counts.inserted + m.counts.updated,
                run_id: m.run_id,
                entity: m.entity,
                state: "kept no old images (--no-undo)".to_owned(),
            });
        }
    }
    lines.sort_by(|a, b| b.started_at.cmp(&a.started_at));
    Ok(lines)
}
