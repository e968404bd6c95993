//! `recon show`.

use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::json;

use super::{Format, Global, print};
use crate::error::{Error, ErrorKind, Result};
use crate::event::Progress;
use crate::ledger::Ledger;
use crate::ledger::proof::Proof;
use crate::reconcile::diff::Bench;
use crate::reconcile::report::terminal;
use crate::reconcile::show::{Found, RowShown, Shown, ValueShown, show};
use crate::spec::{Entity, Spec};
use crate::warehouse::Warehouse;

#[derive(Args, Debug)]
pub(super) struct ShowArgs {
    /// The key's fields, in the key's order, without those of --null; '' is the empty string; after `--` where one begins
    /// with a dash and is no number
    #[arg(required_unless_present = "null", value_name = "KEY", allow_negative_numbers = true)]
    key: Vec<String>,
    /// This field of the key is NULL (may be given several times)
    #[arg(long, value_name = "FIELD")]
    null: Vec<String>,
}

impl ShowArgs {
    /// The key of an entity, in its order; `None` where the arguments do not fit it.
    fn key_of(&self, entity: &Entity) -> Option<Vec<Option<String>>> {
        let mut given = self.key.iter();
        let mut key = Vec::new();
        for name in &entity.key {
            key.push(if self.null.contains(name) { None } else { Some(given.next()?.clone()) });
        }
        let known = self.null.iter().all(|name| entity.key.contains(name));
        (known && given.next().is_none()).then_some(key)
    }

    /// As given, for messages.
    fn text(&self) -> String {
        let given = self.key.iter().map(|text| terminal::key_text(Some(text)));
        given
            .chain(self.null.iter().map(|name| format!("{} NULL", terminal::plain(name))))
            .collect::<Vec<_>>()
            .join(" ")
    }
}

pub(super) fn run(global: &Global, args: &ShowArgs) -> Result<u8> {
    let spec = global.load_spec()?;
    let home = global.home();
    let (found, proven) = match Ledger::holder(&home) {
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
        let none = Error::failed(format!("no staged record has the key {}", args.text()));
        return Err(match proven {
            0 => none.help("the key's fields in the order of the spec, as in: recon show eu 42"),
            rows => none.help(format!(
                "{} rows are not staged, since their stores proved them equal (--changed-only): the diff's proven.csv has their ranges of keys",
                terminal::thousands(rows)
            )),
        });
    }
    match global.format {
        Format::Json => print(&as_json(&found)),
        Format::Text => print(&as_text(&found)),
    }
}

/// What is known of the record in every entity that it may be of, and how many rows of these are not staged.
fn find(
    global: &Global,
    args: &ShowArgs,
    spec: &Spec,
    ledger: &Ledger,
    warehouse: &Warehouse,
    may_hash: bool,
) -> Result<(Vec<Found>, u64)> {
    let progress = Progress::default();
    let bench = Bench { may_hash, ..Bench::new(spec, warehouse, ledger, global.threads(), &progress)? };
    let entities: Vec<&Entity> = global.entities(spec).into_iter().filter(|e| !e.key.is_empty()).collect();
    if entities.is_empty() {
        return Err(Error::usage("no entity has a key by which a record could be found"));
    }
    let unknown = args.null.iter().find(|name| entities.iter().all(|e| !e.key.contains(name)));
    if let Some(name) = unknown {
        return Err(Error::usage(format!("--null {name}: no entity has a key field `{name}`"))
            .help(format!("the key fields are {}", key_fields(&entities))));
    }
    let fitting: Vec<(&Entity, Vec<Option<String>>)> =
        entities.iter().filter_map(|e| Some((*e, args.key_of(e)?))).collect();
    if fitting.is_empty() {
        return Err(Error::usage(format!("no entity has a key of the form {}", args.text())).help(format!(
            "the key fields are {}; name those that are NULL with --null",
            key_fields(&entities)
        )));
    }
    let (mut found, mut proven) = (Vec::new(), 0);
    for (entity, key) in fitting {
        let side = |name: &str| super::diff::staged(ledger, warehouse, spec.dataset(name).expect("checked"));
        let (source, target) = (side(&entity.source)?, side(&entity.target)?);
        proven += source.proof.as_ref().map_or(0, Proof::rows);
        let (entity, source) = bench.fold(entity, source)?;
        let shown = show(&bench, &entity, &source, &target, &key)?;
        if shown.verdict != "unknown" {
            found.push((entity.name.clone(), key, shown));
        }
    }
    Ok((found, proven))
}

/// `image (tenant, id), user (id)`.
fn key_fields(entities: &[&Entity]) -> String {
    let all: Vec<String> = entities
        .iter()
        .map(|e| format!("{} ({})", terminal::plain(&e.name), terminal::plain(&e.key.join(", "))))
        .collect();
    all.join(", ")
}

pub(super) fn as_text(found: &[Found]) -> String {
    let mut out = String::new();
    for (entity, key, shown) in found {
        let key: Vec<String> = key.iter().map(|text| terminal::key_text(text.as_deref())).collect();
        out.push_str(&format!("{} {}: {}\n", terminal::plain(entity), key.join(" "), shown.verdict));
        out.push_str(&format!(
            "rows: {} in the source, {} in the target\n",
            shown.source_rows, shown.target_rows
        ));
        for row in &shown.rows {
            let reason = row.reason.as_ref().map_or_else(String::new, |reason| format!("  {reason}"));
            out.push_str(&format!(
                "{}: {}{}\n",
                row.side.word(),
                terminal::plain(&row.place),
                terminal::plain(&reason)
            ));
        }
        let rows = shown.source_rows + shown.target_rows;
        if rows > shown.rows.len() {
            out.push_str(&format!("and {} more\n", rows - shown.rows.len()));
        }
        let table = if shown.verdict == "duplicate" { table_of_rows(shown) } else { table_of_fields(shown) };
        out.push_str(&format!("{table}\n"));
    }
    out
}

fn new_table() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table
}

/// Both sides of a record, with what each field's values are to each other.
fn table_of_fields(shown: &Shown) -> Table {
    let mut table = new_table();
    table.set_header(["field", "source", "target", ""]);
    for f in &shown.fields {
        // Where the texts are the same, what differs is the type.
        let same_text =
            matches!((&f.source, &f.target), (Some(a), Some(b)) if a.text == b.text && a.kind != b.kind);
        let typed = f.verdict == "unequal" && same_text;
        let value = |value: &Option<ValueShown>, rows: usize| match (value, rows) {
            (Some(value), _) => text_of(value, typed),
            (None, 0) => "no record".to_owned(),
            (None, _) => "unknown".to_owned(),
        };
        let [source, target] = [value(&f.source, shown.source_rows), value(&f.target, shown.target_rows)];
        table.add_row([terminal::field_name(&f.name), source, target, terminal::plain(&f.verdict)]);
    }
    table
}

/// The rows of a key that occurs more than once, beside each other.
fn table_of_rows(shown: &Shown) -> Table {
    let mut table = new_table();
    let known: Vec<&RowShown> = shown.rows.iter().filter(|row| !row.values.is_empty()).collect();
    let heads = known.iter().map(|row| format!("{}\n{}", row.side.word(), terminal::plain(&row.place)));
    table.set_header(std::iter::once("field".to_owned()).chain(heads));
    for (i, field) in shown.fields.iter().enumerate() {
        let texts = known.iter().map(|row| match row.values.get(i) {
            Some(Some(value)) => text_of(value, false),
            _ => "unknown".to_owned(),
        });
        table.add_row(std::iter::once(terminal::field_name(&field.name)).chain(texts));
    }
    table
}

fn text_of(value: &ValueShown, typed: bool) -> String {
    match (&value.text, value.kind) {
        (None, "absent") => "absent".to_owned(),
        (None, "unread") => "unknown".to_owned(),
        (None, _) => terminal::quoted(None),
        (Some(text), kind) if typed => format!("{} ({kind})", terminal::quoted(Some(text))),
        (Some(text), _) => terminal::quoted(Some(text)),
    }
}

pub(super) fn as_json(found: &[Found]) -> String {
    let text = |value: &Option<ValueShown>| value.as_ref().and_then(|v| v.text.clone());
    let kind = |value: &Option<ValueShown>| value.as_ref().map(|v| v.kind);
    let all: Vec<_> = found
        .iter()
        .map(|(entity, key, shown)| {
            let fields: Vec<_> = shown
                .fields
                .iter()
                .map(|f| {
                    json!({
                        "field": f.name, "source": text(&f.source), "target": text(&f.target),
                        "source_kind": kind(&f.source), "target_kind": kind(&f.target), "verdict": f.verdict,
                    })
                })
                .collect();
            let rows: Vec<_> = shown
                .rows
                .iter()
                .map(|row| {
                    let values: serde_json::Map<_, _> = shown
                        .fields
                        .iter()
                        .zip(&row.values)
                        .map(|(field, value)| (field.name.clone(), json!({ "text": text(value), "kind": kind(value) })))
                        .collect();
                    json!({ "side": row.side.word(), "place": row.place, "reason": row.reason, "values": values })
                })
                .collect();
            json!({
                "entity": entity, "key": key, "verdict": shown.verdict, "source_rows": shown.source_rows,
                "target_rows": shown.target_rows, "rows": rows, "fields": fields,
            })
        })
        .collect();
    serde_json::to_string_pretty(&all).expect("facts are always JSON")
}
