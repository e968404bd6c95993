//! `recon check`: what the spec says, and what would be read.

mod beside;

use std::sync::Arc;

use serde_json::json;

use self::beside::{Beside, Known, of_columns, of_plan};
use super::{Format, Global, print};
use crate::error::{Context, Result};
use crate::event::Progress;
use crate::ledger::Ledger;
use crate::mapping::fold::{Folding, Make};
use crate::mapping::plan::{EntityPlan, FieldPlan, Status};
use crate::mapping::resolve::StoreType;
use crate::mapping::side::Staged;
use crate::migrate;
use crate::reconcile::report::terminal::{plain, thousands};
use crate::spec::{Dataset, Entity, Spec};
use crate::stage::{self, document::Names};
use crate::store::table::{TableColumn, TableFacts};
use crate::warehouse::Warehouse;

/// What is known of a dataset.
struct Seen<'a> {
    dataset: &'a Dataset,
    units: usize,
    bytes: u64,
    warnings: Vec<String>,
    /// Those that are staged, else those that the store declares.
    columns: Option<Vec<Known>>,
    /// What a live store says of the table.
    facts: Option<TableFacts>,
}

/// What the spec means for an entity.
struct Meant {
    entity: String,
    fields: Vec<Beside>,
    /// What there is to say of it; `None` before its sides are staged.
    remarks: Option<Vec<String>>,
}

pub(super) fn run(global: &Global) -> Result<u8> {
    let spec = global.load_spec()?;
    let ledger = Ledger::open_reader(&global.home())?;
    let warehouse = Warehouse::in_memory(global.threads(), global.engine_memory())?;
    let (mut seen, mut all_staged) = (Vec::new(), Vec::new());
    let mut is_current = ledger.is_some();
    for dataset in &spec.datasets {
        let names = Arc::new(Names::new(&dataset.name));
        let is_to_come = spec.entities.iter().all(|entity| entity.source != dataset.name)
            && migrate::files::is_to_come(dataset).unwrap_or(false);
        let looked = match is_to_come {
            true => {
                let words =
                    "nothing lies there: `migrate` would write it, and before that nothing can be compared";
                Ok(((Vec::new(), vec![words.to_owned()]), None))
            }
            false => stage::open(dataset, &names, false)
                .and_then(|source| Ok((source.units()?, source.facts()?)))
                .map_err(|e| e.of(&format!("dataset `{}`", dataset.name))),
        }?;
        let ((units, warnings), facts) = looked;
        let bytes = units.iter().map(|u| u.bytes).sum();
        // Not staged, or not as the spec says now: then there is nothing to show, which is no error here.
        let staged = ledger.as_ref().and_then(|ledger| super::diff::staged(ledger, &warehouse, dataset).ok());
        if let Some(ledger) = ledger.as_ref().filter(|_| used(global, &spec, dataset)) {
            is_current &= stage::run::is_current(dataset, &units, ledger)?;
        }
        let declared = |facts: &TableFacts| {
            let known = |c: &TableColumn| Known {
                name: c.name.clone(),
                sql_name: c.name.clone(),
                store: StoreType::from(&c.ty),
            };
            facts.columns.iter().map(known).collect()
        };
        let columns =
            staged.as_ref().map(columns).or(facts.as_ref().filter(|f| !f.columns.is_empty()).map(declared));
        seen.push(Seen { dataset, units: units.len(), bytes, warnings, columns, facts });
        all_staged.extend(staged);
    }
    let seed = ledger.as_ref().map_or(Ok(0), Ledger::hash_seed)?;
    let meant = bind(global, &spec, &warehouse, seed, &all_staged, &seen)?;
    match global.format {
        Format::Json => print(&as_json(global, &spec, &seen, &meant)),
        Format::Text => print(&as_text(global, &spec, &seen, &meant, is_current)),
    }
}

fn used(global: &Global, spec: &Spec, dataset: &Dataset) -> bool {
    global.entities(spec).iter().any(|e| e.source == dataset.name || e.target == dataset.name)
}

/// Binds the SQL of the entities to the columns of their sides, where both are staged; before, only plain columns are known.
fn bind(
    global: &Global,
    spec: &Spec,
    warehouse: &Warehouse,
    seed: u64,
    staged: &[Staged],
    seen: &[Seen<'_>],
) -> Result<Vec<Meant>> {
    let side = |name: &str| staged.iter().find(|s| s.dataset.name == name);
    let columns =
        |name: &str| seen.iter().find(|s| s.dataset.name == name).and_then(|s| s.columns.as_deref());
    let scratch = tempfile::tempdir().or_failed(|| "cannot make a temporary folder".to_owned())?;
    let mut all = Vec::new();
    for entity in global.entities(spec) {
        let name = entity.name.clone();
        let (Some(source), Some(target)) = (side(&entity.source), side(&entity.target)) else {
            let fields = of_columns(entity, columns(&entity.source), columns(&entity.target));
            all.push(Meant { entity: name, fields, remarks: None });
            continue;
        };
        let folding = Folding {
            spec,
            warehouse,
            home: &global.home(),
            seed,
            threads: global.threads(),
            progress: &Progress::default(),
            make: Make::Columns(scratch.path()),
        };
        let (read, source) = folding.fold(entity, source.clone())?;
        let plan = EntityPlan::new(spec, warehouse, &read, &source, target, &[])?;
        plan.check_predicates(spec, warehouse)?;
        let of_field = |field: &FieldPlan| match &field.status {
            Status::NotCompared(reason) => Some(format!("{}: not compared: {reason}", field.name)),
            _ => None,
        };
        let remarks = plan.fields.iter().filter_map(of_field).chain(plan.remarks.iter().cloned()).collect();
        all.push(Meant { entity: name, fields: of_plan(entity, &plan), remarks: Some(remarks) });
    }
    Ok(all)
}

/// The columns as SQL spells them, with their types.
fn columns(staged: &Staged) -> Vec<Known> {
    let known = staged.columns.iter().map(|c| Known {
        name: c.name.clone(),
        sql_name: c.sql_name.clone(),
        store: c.store.clone(),
    });
    known.collect()
}

fn as_text(global: &Global, spec: &Spec, seen: &[Seen<'_>], meant: &[Meant], is_current: bool) -> String {
    let mut out = format!("{} is a good spec\n", spec.path.display());
    seen.iter().for_each(|s| out.push_str(&dataset_text(s)));
    for e in global.entities(spec) {
        if let Some(meant) = meant.iter().find(|m| m.entity == e.name) {
            out.push_str(&entity_text(e, meant));
        }
    }
    if !global.quiet {
        let next = if is_current { "diff" } else { "stage" };
        out.push_str(&format!("\nnext: {} {next}\n", global.command()));
    }
    out
}

fn dataset_text(s: &Seen<'_>) -> String {
    let (kind, uri) = (s.dataset.kind.word(), s.dataset.kind.place());
    let unit = if s.dataset.kind.is_live() { "range" } else { "file" };
    let units = if s.units == 1 { format!("1 {unit}") } else { format!("{} {unit}s", s.units) };
    let bytes = thousands(s.bytes);
    let about = if s.dataset.kind.is_live() { "about " } else { "" };
    let name = &s.dataset.name;
    let mut out = format!("\ndataset {name}  ({kind}, {uri}): {units}, {about}{bytes} bytes\n");
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
            for column in columns {
                out.push_str(&format!(
                    "  {}  {}\n",
                    plain(&column.sql_name),
                    plain(&column.store.describe())
                ));
            }
        }
    }
    out
}

fn entity_text(e: &Entity, meant: &Meant) -> String {
    let key = if e.key.is_empty() { "whole rows".to_owned() } else { e.key.join(", ") };
    let key = plain(&key);
    let mut out = format!("\nentity {}  {} → {}, key: {key}\n", e.name, e.source, e.target);
    if let Some(filter) = &e.source_filter {
        out.push_str(&format!("  where {}\n", filter.text));
    }
    if !e.group_by.is_empty() {
        let groups: Vec<&str> = e.group_by.iter().map(|sql| sql.text.as_str()).collect();
        out.push_str(&format!("  grouped by {}\n", groups.join(", ")));
    }
    if let Some(filter) = &e.target_filter {
        out.push_str(&format!("  target_where {}\n", filter.text));
    }
    if e.fields.is_none() {
        out.push_str("  every column with the same name on both sides\n");
    }
    if !meant.fields.is_empty() {
        out.push_str(&format!("{}\n", beside::table(&meant.fields)));
    }
    for remark in meant.remarks.iter().flatten() {
        out.push_str(&format!("  warning: {}\n", plain(remark)));
    }
    out
}

fn as_json(global: &Global, spec: &Spec, seen: &[Seen<'_>], meant: &[Meant]) -> String {
    let datasets: serde_json::Map<_, _> = seen
        .iter()
        .map(|s| {
            let (kind, uri) = (s.dataset.kind.word(), s.dataset.kind.place());
            let columns = s.columns.as_ref().map(|all| {
                all.iter().map(|c| json!({ "name": c.sql_name, "type": c.store.describe() })).collect::<Vec<_>>()
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
            let meant = meant.iter().find(|m| m.entity == e.name);
            let fields: Vec<_> = meant.iter().flat_map(|m| &m.fields).map(Beside::json).collect();
            let remarks = meant.and_then(|m| m.remarks.as_ref());
            let facts = json!({
                "source": e.source, "target": e.target, "key": e.key, "fields": fields, "warnings": remarks,
            });
            (e.name.clone(), facts)
        })
        .collect();
    let text = json!({ "spec_digest": spec.digest, "datasets": datasets, "entities": entities });
    serde_json::to_string_pretty(&text).expect("facts are always JSON")
}
