//! `recon show`.

use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::json;

use super::{Format, Global, print};
use crate::error::{Error, ErrorKind, Result};
use crate::event::Progress;
use crate::ledger::Ledger;
use crate::reconcile::diff::{Bench, Verified};
use crate::reconcile::report::terminal;
use crate::reconcile::show::{Shown, show};
use crate::spec::{Entity, Spec};
use crate::warehouse::Warehouse;

#[derive(Args, Debug)]
pub(super) struct ShowArgs {
    /// The key's fields, in the key's order; after `--` where one begins with a dash and is no number
    #[arg(required = true, value_name = "KEY", allow_negative_numbers = true)]
    key: Vec<String>,
}

pub(super) fn run(global: &Global, args: &ShowArgs) -> Result<u8> {
    let spec = global.load_spec()?;
    let home = global.home();
    let found = match Ledger::holder(&home) {
        None => {
            let ledger = global.staged_ledger("show")?;
            let warehouse = Warehouse::open(ledger.home(), global.threads(), global.engine_memory())?;
            find(global, args, &spec, &ledger, &warehouse, true)?
        }
        // What the last diff left can be read while another run goes on.
        Some(holder) => {
            let ledger = Ledger::open_reader(&home)?.ok_or_else(|| global.nothing_staged())?;
            let warehouse = Warehouse::in_memory(global.threads(), global.engine_memory())?;
            find(global, args, &spec, &ledger, &warehouse, false).map_err(|error| match error.kind() {
                ErrorKind::Failed => error.help(format!(
                    "the home is held by another run: {}; wait until it ends (`recon status` shows it), or use another --home",
                    holder.trim()
                )),
                _ => error,
            })?
        }
    };
    if found.is_empty() {
        return Err(Error::failed(format!("no staged record has the key {}", args.key.join(" ")))
            .help("the key's fields in the order of the spec, as in: recon show eu 42"));
    }
    match global.format {
        Format::Json => print(&as_json(&found)),
        Format::Text => print(&as_text(&found, &args.key)),
    }
}

/// What is known of the record in every entity that it may be of.
fn find(
    global: &Global,
    args: &ShowArgs,
    spec: &Spec,
    ledger: &Ledger,
    warehouse: &Warehouse,
    may_hash: bool,
) -> Result<Vec<(String, Shown)>> {
    let progress = Progress::default();
    let bench = Bench {
        spec,
        warehouse,
        home: ledger.home(),
        seed: ledger.hash_seed()?,
        threads: global.threads(),
        progress: &progress,
        verified: Verified::default(),
        may_hash,
    };
    let entities: Vec<&Entity> = global.entities(spec).into_iter().filter(|e| !e.key.is_empty()).collect();
    if entities.is_empty() {
        return Err(Error::usage("no entity has a key by which a record could be found"));
    }
    let mut found = Vec::new();
    let fitting: Vec<&Entity> = entities.iter().copied().filter(|e| e.key.len() == args.key.len()).collect();
    for entity in if fitting.is_empty() { &entities } else { &fitting } {
        let side = |name: &str| super::diff::staged(ledger, warehouse, spec.dataset(name).expect("checked"));
        let shown = show(&bench, entity, &side(&entity.source)?, &side(&entity.target)?, &args.key)?;
        if shown.verdict != "unknown" {
            found.push((entity.name.clone(), shown));
        }
    }
    Ok(found)
}

fn as_text(found: &[(String, Shown)], key: &[String]) -> String {
    let mut out = String::new();
    for (entity, shown) in found {
        out.push_str(&format!("{entity} {}: {}\n", key.join(" "), shown.verdict));
        out.push_str(&format!(
            "rows: {} in the source, {} in the target\n",
            shown.source_rows, shown.target_rows
        ));
        for place in &shown.places {
            out.push_str(&format!("{place}\n"));
        }
        let mut table = Table::new();
        table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(["field", "source", "target", ""]);
        for f in &shown.fields {
            let value = |v: &Option<String>| terminal::quoted(v.as_deref());
            table.add_row([f.name.clone(), value(&f.source), value(&f.target), f.verdict.clone()]);
        }
        out.push_str(&format!("{table}\n"));
    }
    out
}

fn as_json(found: &[(String, Shown)]) -> String {
    let all: Vec<_> = found
        .iter()
        .map(|(entity, shown)| {
            let fields: Vec<_> = shown
                .fields
                .iter()
                .map(|f| json!({ "field": f.name, "source": f.source, "target": f.target, "verdict": f.verdict }))
                .collect();
            json!({
                "entity": entity, "verdict": shown.verdict, "source_rows": shown.source_rows,
                "target_rows": shown.target_rows, "places": shown.places, "fields": fields,
            })
        })
        .collect();
    serde_json::to_string_pretty(&all).expect("facts are always JSON")
}
