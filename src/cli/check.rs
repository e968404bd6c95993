//! `recon check`: what the spec says, and what would be read.

use std::sync::Arc;

use serde_json::json;

use super::{Format, Global, print};
use crate::error::Result;
use crate::ledger::Ledger;
use crate::reconcile::plan::{EntityPlan, FieldPlan, Status};
use crate::reconcile::report::terminal::{plain, thousands};
use crate::reconcile::resolve::StoreType;
use crate::reconcile::side::Staged;
use crate::spec::{Dataset, Spec};
use crate::stage::table::TableFacts;
use crate::stage::{self, document::Names};
use crate::warehouse::Warehouse;

/// What is known of a dataset.
struct Seen<'a> {
    dataset: &'a Dataset,
    units: usize,
    bytes: u64,
    warnings: Vec<String>,
    /// Those that are staged, else those that the store declares.
    columns: Option<Vec<(String, String)>>,
    /// What a live store says of the table.
    facts: Option<TableFacts>,
}

/// What the spec means for an entity whose sides are staged.
struct Meant {
    entity: String,
    remarks: Vec<String>,
}

pub(super) fn run(global: &Global) -> Result<u8> {
    let spec = global.load_spec()?;
    let ledger = Ledger::open_reader(&global.home())?;
    let warehouse = Warehouse::in_memory(global.threads(), global.engine_memory())?;
    let (mut seen, mut all_staged) = (Vec::new(), Vec::new());
    let mut is_current = ledger.is_some();
    for dataset in &spec.datasets {
        let names = Arc::new(Names::new(&dataset.name));
        let looked = stage::open(dataset, &names, false)
            .and_then(|source| Ok((source.units()?, source.facts()?)))
            .map_err(|e| e.of(&format!("dataset `{}`", dataset.name)))?;
        let ((units, warnings), facts) = looked;
        let bytes = units.iter().map(|u| u.bytes).sum();
        // Not staged, or not as the spec says now: then there is nothing to show, which is no error here.
        let staged = ledger.as_ref().and_then(|ledger| super::diff::staged(ledger, &warehouse, dataset).ok());
        if let Some(ledger) = ledger.as_ref().filter(|_| used(global, &spec, dataset)) {
            is_current &= stage::run::is_current(dataset, &units, ledger)?;
        }
        let declared = |facts: &TableFacts| {
            let columns = facts.columns.iter();
            columns.map(|c| (c.name.clone(), StoreType::from(&c.ty).describe())).collect()
        };
        let columns = staged.as_ref().map(columns).or(facts.as_ref().map(declared));
        seen.push(Seen { dataset, units: units.len(), bytes, warnings, columns, facts });
        all_staged.extend(staged);
    }
    let meant = bind(global, &spec, &warehouse, &all_staged)?;
    match global.format {
        Format::Json => print(&as_json(global, &spec, &seen, &meant)),
        Format::Text => print(&as_text(global, &spec, &seen, &meant, is_current)),
    }
}

fn used(global: &Global, spec: &Spec, dataset: &Dataset) -> bool {
    global.entities(spec).iter().any(|e| e.source == dataset.name || e.target == dataset.name)
}

/// Binds the SQL of the entities to the columns of their sides, where both are staged.
fn bind(global: &Global, spec: &Spec, warehouse: &Warehouse, staged: &[Staged]) -> Result<Vec<Meant>> {
    let side = |name: &str| staged.iter().find(|s| s.dataset.name == name);
    let mut all = Vec::new();
    for entity in global.entities(spec) {
        let (Some(source), Some(target)) = (side(&entity.source), side(&entity.target)) else { continue };
        let plan = EntityPlan::new(spec, warehouse, entity, source, target, &[])?;
        plan.check_predicates(spec, warehouse)?;
        let of_field = |field: &FieldPlan| match &field.status {
            Status::NotCompared(reason) => Some(format!("{}: not compared: {reason}", field.name)),
            _ => None,
        };
        let remarks = plan.fields.iter().filter_map(of_field).chain(plan.remarks.iter().cloned()).collect();
        all.push(Meant { entity: entity.name.clone(), remarks });
    }
    Ok(all)
}

/// The columns as SQL spells them, with their types.
fn columns(staged: &Staged) -> Vec<(String, String)> {
    staged.columns.iter().map(|c| (c.sql_name.clone(), c.store.describe())).collect()
}

fn as_text(global: &Global, spec: &Spec, seen: &[Seen<'_>], meant: &[Meant], is_current: bool) -> String {
    let mut out = format!("{} is a good spec\n", spec.path.display());
    for s in seen {
        let (kind, uri) = (s.dataset.kind.word(), s.dataset.kind.place());
        let unit = if s.dataset.kind.is_live() { "range" } else { "file" };
        let units = if s.units == 1 { format!("1 {unit}") } else { format!("{} {unit}s", s.units) };
        let bytes = thousands(s.bytes);
        let about = if s.dataset.kind.is_live() { "about " } else { "" };
        let name = &s.dataset.name;
        out.push_str(&format!("\ndataset {name}  ({kind}, {uri}): {units}, {about}{bytes} bytes\n"));
        if let Some(facts) = &s.facts {
            let rows =
                facts.rows.map_or("an unknown number of".to_owned(), |n| format!("about {}", thousands(n)));
            let key = if facts.key.is_empty() { "none".to_owned() } else { plain(&facts.key.join(", ")) };
            out.push_str(&format!("  {rows} rows, primary key: {key}\n"));
        }
        for warning in &s.warnings {
            out.push_str(&format!("  warning: {}\n", plain(warning)));
        }
        match &s.columns {
            None => out.push_str("  columns are known once it is staged\n"),
            Some(columns) => {
                for (name, ty) in columns {
                    out.push_str(&format!("  {}  {ty}\n", plain(name)));
                }
            }
        }
    }
    for e in global.entities(spec) {
        let key = if e.key.is_empty() { "whole rows".to_owned() } else { e.key.join(", ") };
        let key = plain(&key);
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
                        plain(&f.name),
                        f.from.text,
                        f.to.text
                    ));
                }
            }
        }
        for remark in meant.iter().filter(|m| m.entity == e.name).flat_map(|m| &m.remarks) {
            out.push_str(&format!("  warning: {}\n", plain(remark)));
        }
    }
    if !global.quiet {
        let next = if is_current { "diff" } else { "stage" };
        out.push_str(&format!("\nnext: {} {next}\n", global.command()));
    }
    out
}

fn as_json(global: &Global, spec: &Spec, seen: &[Seen<'_>], meant: &[Meant]) -> String {
    let datasets: serde_json::Map<_, _> = seen
        .iter()
        .map(|s| {
            let (kind, uri) = (s.dataset.kind.word(), s.dataset.kind.place());
            let columns = s.columns.as_ref().map(|all| {
                all.iter().map(|(name, ty)| json!({ "name": name, "type": ty })).collect::<Vec<_>>()
            });
            let key = s.facts.as_ref().map(|facts| &facts.key);
            let rows = s.facts.as_ref().and_then(|facts| facts.rows);
            let facts = json!({
                "kind": kind, "key": key, "rows": rows, "uri": uri, "units": s.units, "bytes": s.bytes, "warnings": s.warnings, "columns": columns,
            });
            (s.dataset.name.clone(), facts)
        })
        .collect();
    let entities: serde_json::Map<_, _> = global
        .entities(spec)
        .iter()
        .map(|e| {
            let remarks = meant.iter().find(|m| m.entity == e.name).map(|m| &m.remarks);
            let facts = json!({ "source": e.source, "target": e.target, "key": e.key, "warnings": remarks });
            (e.name.clone(), facts)
        })
        .collect();
    let text = json!({ "spec_digest": spec.digest, "datasets": datasets, "entities": entities });
    serde_json::to_string_pretty(&text).expect("facts are always JSON")
}
