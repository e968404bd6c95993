//! `recon check`: what the spec says, and what would be read.

use std::sync::Arc;

use serde_json::json;

use super::{Format, Global, print};
use crate::error::Result;
use crate::ledger::Ledger;
use crate::reconcile::report::terminal::thousands;
use crate::spec::{Dataset, Spec};
use crate::stage::document::Names;
use crate::warehouse::Warehouse;

/// What is known of a dataset.
struct Seen<'a> {
    dataset: &'a Dataset,
    units: usize,
    bytes: u64,
    warnings: Vec<String>,
    columns: Option<Vec<(String, String)>>,
}

pub(super) fn run(global: &Global) -> Result<u8> {
    let spec = global.load_spec()?;
    let mut seen = Vec::new();
    for dataset in &spec.datasets {
        let names = Arc::new(Names::new(&dataset.name));
        let listed = crate::stage::open(dataset, &names, false).and_then(|source| source.units());
        let (units, warnings) = listed.map_err(|e| e.of(&format!("dataset `{}`", dataset.name)))?;
        let bytes = units.iter().map(|u| u.bytes).sum();
        seen.push(Seen { dataset, units: units.len(), bytes, warnings, columns: columns(global, dataset)? });
    }
    match global.format {
        Format::Json => print(&as_json(global, &spec, &seen)),
        Format::Text => print(&as_text(global, &spec, &seen)),
    }
}

/// The columns as SQL spells them, with their types, where the dataset is staged.
fn columns(global: &Global, dataset: &Dataset) -> Result<Option<Vec<(String, String)>>> {
    let Some(ledger) = Ledger::open_reader(&global.home())? else { return Ok(None) };
    let warehouse = Warehouse::in_memory(global.threads(), global.engine_memory())?;
    // Not staged, or not as the spec says now: then there is nothing to show, which is no error here.
    let Ok(staged) = super::diff::staged(&ledger, &warehouse, dataset) else { return Ok(None) };
    Ok(Some(staged.columns.iter().map(|c| (c.sql_name.clone(), c.store.describe())).collect()))
}

fn as_text(global: &Global, spec: &Spec, seen: &[Seen<'_>]) -> String {
    let mut out = format!("{} is a good spec\n", spec.path.display());
    for s in seen {
        let (kind, uri) = (s.dataset.kind.word(), s.dataset.kind.place());
        let units = if s.units == 1 { "1 file".to_owned() } else { format!("{} files", s.units) };
        let bytes = thousands(s.bytes);
        out.push_str(&format!("\ndataset {}  ({kind}, {uri}): {units}, {bytes} bytes\n", s.dataset.name));
        for warning in &s.warnings {
            out.push_str(&format!("  warning: {warning}\n"));
        }
        match &s.columns {
            None => out.push_str("  columns are known once it is staged\n"),
            Some(columns) => {
                for (name, ty) in columns {
                    out.push_str(&format!("  {name}  {ty}\n"));
                }
            }
        }
    }
    for e in global.entities(spec) {
        let key = if e.key.is_empty() { "whole rows".to_owned() } else { e.key.join(", ") };
        out.push_str(&format!("\nentity {}  {} → {}, key: {key}\n", e.name, e.source, e.target));
        if let Some(filter) = &e.source_filter {
            out.push_str(&format!("  where {}\n", filter.text));
        }
        if let Some(filter) = &e.target_filter {
            out.push_str(&format!("  target_where {}\n", filter.text));
        }
        match &e.fields {
            None => out.push_str("  every column with the same name on both sides\n"),
            Some(fields) => {
                for f in fields {
                    let rule = crate::reconcile::rules::word(&f.rule);
                    let ty = f.ty.map_or_else(String::new, |ty| format!(", {ty}"));
                    out.push_str(&format!(
                        "  {}  from {}, to {}{ty}, {rule}\n",
                        f.name, f.from.text, f.to.text
                    ));
                }
            }
        }
    }
    out.push_str(&format!("\nnext: {} stage\n", global.command()));
    out
}

fn as_json(global: &Global, spec: &Spec, seen: &[Seen<'_>]) -> String {
    let datasets: serde_json::Map<_, _> = seen
        .iter()
        .map(|s| {
            let (kind, uri) = (s.dataset.kind.word(), s.dataset.kind.place());
            let columns = s.columns.as_ref().map(|all| {
                all.iter().map(|(name, ty)| json!({ "name": name, "type": ty })).collect::<Vec<_>>()
            });
            let facts = json!({
                "kind": kind, "uri": uri, "units": s.units, "bytes": s.bytes, "warnings": s.warnings, "columns": columns,
            });
            (s.dataset.name.clone(), facts)
        })
        .collect();
    let entities: serde_json::Map<_, _> = global
        .entities(spec)
        .iter()
        .map(|e| (e.name.clone(), json!({ "source": e.source, "target": e.target, "key": e.key })))
        .collect();
    let text = json!({ "spec_digest": spec.digest, "datasets": datasets, "entities": entities });
    serde_json::to_string_pretty(&text).expect("facts are always JSON")
}
