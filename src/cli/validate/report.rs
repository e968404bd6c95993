//! What is told of a validation: `failures.csv`, `summary.json`, and the summary on the terminal.

use std::fmt::Write as _;
use std::path::Path;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::{Map, Value as Json, json};

use crate::cli::Global;
use crate::error::Result;
use crate::mapping::plan::{EntityPlan, Side};
use crate::migrate::run::ErrorsMax;
use crate::reconcile::report::csv::{CsvFile, Style};
use crate::reconcile::report::key_columns;
use crate::reconcile::report::summary::SCHEMA_VERSION;
use crate::reconcile::report::terminal::{field_name, plain, thousands};
use crate::validate::references::Unchecked;
use crate::validate::{Count, Kind, Looked, Subject, Work};

/// Longest value in a message.
const VALUE_CHARS_MAX: usize = 200;

/// What was found of an entity.
pub(super) struct Checked {
    name: String,
    key: Vec<String>,
    /// Records that were looked at.
    pub(super) rows: u64,
    /// Those among them that do not keep some rule.
    pub(super) invalid: u64,
    /// Rows of its dataset that did not parse when they were staged.
    unparsed: u64,
    subjects: Vec<Subject>,
    counts: Vec<Count>,
    /// By field: the spec's words for its rules.
    rules: Vec<Vec<&'static str>>,
    /// Fields that were read.
    types: u64,
    /// What could not be looked at, or not whole, and why.
    unchecked: Vec<(String, String)>,
    remarks: Vec<String>,
}

/// What is said of the run.
pub(super) struct Facts<'a> {
    pub(super) run_id: &'a str,
    pub(super) spec_digest: &'a str,
    pub(super) started_at: &'a str,
    pub(super) ended_at: &'a str,
    pub(super) exit_code: u8,
    pub(super) side: Side,
    /// Where the reports are.
    pub(super) place: &'a str,
    pub(super) max_errors_passed: bool,
    pub(super) allow_empty: bool,
}

impl Checked {
    pub(super) fn of<'u>(
        work: &Work<'_>,
        looked: &Looked<'_>,
        references: impl Iterator<Item = &'u Unchecked>,
    ) -> Result<Self> {
        let (plan, staged) = (looked.plan, looked.plan.staged(looked.side));
        let mut unchecked = looked.unchecked.clone();
        unchecked.extend(references.map(|u| (format!("reference {}", u.reference), u.reason.clone())));
        Ok(Self {
            name: plan.entity.name.clone(),
            key: plan.entity.key.clone(),
            rows: looked.passed.rows,
            invalid: looked.invalid(work.warehouse)?,
            unparsed: staged.failures.iter().map(|failures| failures.rows).sum(),
            counts: looked.counts(work.warehouse)?,
            rules: plan.fields.iter().map(|field| rules(plan, &field.name)).collect(),
            types: plan.fields.iter().filter(|field| field.is_compared()).count() as u64,
            subjects: looked.subjects.clone(),
            unchecked,
            remarks: staged.warnings.clone(),
        })
    }

    /// Whether something of it was not looked at.
    pub(super) fn is_incomplete(&self) -> bool {
        self.unparsed > 0 || !self.unchecked.is_empty()
    }

    /// Whether more records are invalid than `--max-errors` allows.
    pub(super) fn is_over(&self, errors_max: Option<ErrorsMax>) -> bool {
        errors_max.is_some_and(|most| most.is_passed(self.invalid, self.rows))
    }

    /// The errors of a subject, by rule.
    fn errors(&self, subject: usize) -> Map<String, Json> {
        let of = self.counts.iter().filter(|count| count.subject == subject);
        of.map(|count| (count.code.clone(), json!(count.errors))).collect()
    }

    fn subjects(&self, kind: Kind) -> impl Iterator<Item = (usize, &Subject)> {
        self.subjects.iter().enumerate().filter(move |(_, subject)| subject.kind == kind)
    }
}

fn rules(plan: &EntityPlan<'_>, field: &str) -> Vec<&'static str> {
    let own = plan.entity.fields.iter().flatten().find(|own| own.name == field);
    own.map_or_else(Vec::new, |own| own.valid.given())
}

/// Writes `failures.csv`: one row for each record and rule that it does not keep, by entity and key.
pub(super) fn write_failures(
    work: &Work<'_>,
    checked: &[Checked],
    looked: &[&Looked<'_>],
    folder: &Path,
    style: &Style,
) -> Result<()> {
    let keys = key_columns(&checked.iter().map(|c| c.key.as_slice()).collect::<Vec<_>>());
    let rest = ["stage", "class", "code", "column", "message", "attempts"];
    let header = std::iter::once("entity").chain(keys.iter().map(String::as_str)).chain(rest);
    let mut file = CsvFile::create(&folder.join("failures.csv"), style, header)?;
    let show = |field: &str, text: Option<&str>| style.shown(field, text);
    for (checked, looked) in checked.iter().zip(looked).filter(|(checked, _)| checked.invalid > 0) {
        looked.tell(work, &show, |told| {
            let subject = &looked.subjects[told.subject];
            let column =
                (subject.kind != Kind::Check && !subject.name.is_empty()).then_some(subject.name.as_str());
            let place = told.place.as_deref().map_or_else(String::new, |place| format!("{place}: "));
            let name =
                if subject.kind == Kind::Check { format!("{}: ", subject.name) } else { String::new() };
            let value = told.value.as_deref().map_or_else(String::new, |value| format!(": {}", cut(value)));
            let message = format!("{place}{name}{}{value}", told.words);
            let mut cells = vec![Some(checked.name.as_str())];
            let key = told.key.iter().map(Option::as_deref);
            cells.extend(key.chain(std::iter::repeat(None)).take(keys.len()));
            cells.extend([
                Some("validate"),
                Some("permanent"),
                Some(told.code.as_str()),
                column,
                Some(&message),
                Some("1"),
            ]);
            file.row(cells)
        })?;
    }
    file.finish()
}

fn cut(value: &str) -> String {
    match value.char_indices().nth(VALUE_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &value[..at]),
        None => value.to_owned(),
    }
}

/// The content of `summary.json`.
pub(super) fn summary(facts: &Facts<'_>, checked: &[Checked], style: &Style) -> Json {
    let entities: Map<String, Json> = checked.iter().map(|c| (c.name.clone(), entity(c))).collect();
    let mut summary = json!({
        "schema_version": SCHEMA_VERSION,
        "run_id": facts.run_id,
        "command": "validate",
        "spec_digest": facts.spec_digest,
        "recon_version": env!("CARGO_PKG_VERSION"),
        "started_at": facts.started_at,
        "ended_at": facts.ended_at,
        "exit_code": facts.exit_code,
        "side": facts.side.word(),
        "max_errors_passed": facts.max_errors_passed,
        "entities": entities,
    });
    if style.spreadsheet_safe || !style.redact.is_empty() {
        summary["altered"] = json!({ "spreadsheet_safe": style.spreadsheet_safe, "redacted": style.redact });
    }
    summary
}

fn entity(c: &Checked) -> Json {
    let field = |(i, subject): (usize, &Subject)| {
        (subject.name.clone(), json!({ "rules": c.rules[i], "errors": c.errors(i) }))
    };
    let fields: Map<String, Json> = c.subjects(Kind::Field).map(field).collect();
    let by_name = |kind| {
        let of = |(i, subject): (usize, &Subject)| (subject.name.clone(), json!(sum(&c.errors(i))));
        c.subjects(kind).map(of).collect::<Map<String, Json>>()
    };
    let duplicates: u64 = c.subjects(Kind::Key).map(|(i, _)| sum(&c.errors(i))).sum();
    json!({
        "rows": c.rows,
        "valid": c.rows - c.invalid,
        "invalid": c.invalid,
        "unparsed": c.unparsed,
        "key": c.key,
        "duplicate_key": duplicates,
        "fields": fields,
        "checks": by_name(Kind::Check),
        "unique": by_name(Kind::Unique),
        "references": by_name(Kind::Reference),
        "not_checked": c.unchecked.iter().map(|(what, why)| json!({ "what": what, "reason": why })).collect::<Vec<_>>(),
        "warnings": c.remarks,
    })
}

fn sum(errors: &Map<String, Json>) -> u64 {
    errors.values().filter_map(Json::as_u64).sum()
}

/// The summary for the terminal.
pub(super) fn text(global: &Global, facts: &Facts<'_>, checked: &[Checked]) -> String {
    let mut out = String::new();
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["entity", facts.side.word(), "valid", "invalid"]);
    for c in checked {
        table.add_row([
            plain(&c.name),
            thousands(c.rows),
            thousands(c.rows - c.invalid),
            thousands(c.invalid),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let _ = writeln!(out, "{table}");
    for c in checked {
        errors(c, &mut out);
        let _ = writeln!(out, "  {}  checked: {}", plain(&c.name), what(c));
        for (what, why) in &c.unchecked {
            let _ = writeln!(out, "  {}  not checked: {}: {}", plain(&c.name), plain(what), plain(why));
        }
        if c.unparsed > 0 {
            let n = thousands(c.unparsed);
            let _ = writeln!(
                out,
                "  {}  {n} rows of its dataset did not parse when they were staged",
                plain(&c.name)
            );
        }
        for remark in &c.remarks {
            let _ = writeln!(out, "  {}  warning: {}", plain(&c.name), plain(remark));
        }
    }
    let verdict = match facts.exit_code {
        0 => "valid",
        1 => "invalid",
        3 => "incomplete: not everything could be checked",
        _ => "more invalid records than --max-errors",
    };
    let _ = writeln!(out, "\n{verdict}; reports in {}", facts.place);
    if !global.quiet {
        let _ = writeln!(out, "next: {}", next(global, facts, checked));
    }
    out
}

fn next(global: &Global, facts: &Facts<'_>, checked: &[Checked]) -> String {
    let command = global.command();
    let empty: Vec<String> = checked.iter().filter(|c| c.rows == 0).map(|c| plain(&c.name)).collect();
    let is_short = checked.iter().any(Checked::is_incomplete);
    match (checked.iter().any(|c| c.invalid > 0), facts.side) {
        (true, _) => "see failures.csv there, then mend the data or the spec".to_owned(),
        _ if is_short => "mend what could not be checked".to_owned(),
        _ if !empty.is_empty() && !facts.allow_empty => format!(
            "no record of {}; where that is as it should be: {command} validate --allow-empty",
            empty.join(", ")
        ),
        (_, Side::Source) => format!("{command} migrate"),
        (_, Side::Target) => format!("{command} diff"),
    }
}

/// A line for each field and rule that was not kept.
fn errors(c: &Checked, out: &mut String) {
    for count in &c.counts {
        let subject = &c.subjects[count.subject];
        let what = match subject.kind {
            Kind::Field => field_name(&subject.name),
            Kind::Key => "key".to_owned(),
            Kind::Check => format!("check {}", plain(&subject.name)),
            Kind::Unique => format!("unique ({})", plain(&subject.name)),
            Kind::Reference => format!("reference {}", plain(&subject.name)),
        };
        let _ = writeln!(out, "  {}.{what}  {} {}", plain(&c.name), thousands(count.errors), count.code);
    }
}

/// What was checked of an entity, in words.
fn what(c: &Checked) -> String {
    let mut parts = Vec::new();
    if !c.key.is_empty() {
        parts.push(format!("key ({})", plain(&c.key.join(", "))));
    }
    let several = |n: u64, word: &str| format!("{} {word}{}", thousands(n), if n == 1 { "" } else { "s" });
    parts.push(format!("types of {}", several(c.types, "field")));
    let rules =
        c.rules.iter().map(|rules| rules.len() as u64).sum::<u64>() + c.subjects(Kind::Check).count() as u64;
    parts.push(several(rules, "rule"));
    parts.extend(c.subjects(Kind::Unique).map(|(_, subject)| format!("unique ({})", plain(&subject.name))));
    parts.push(several(c.subjects(Kind::Reference).count() as u64, "reference"));
    parts.join(", ")
}
