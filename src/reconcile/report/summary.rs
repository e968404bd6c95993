//! `summary.json`: every count of a diff, for programs.

use serde_json::{Map, Value as Json, json};

use super::super::diff::{EntityResult, FieldResult};
use super::references;
use crate::ledger::proof::Proof;
use crate::value::Number;

/// Version of the file's layout; a change that readers notice raises it.
pub const SCHEMA_VERSION: u32 = 1;

/// What a summary says of the run.
pub struct RunFacts<'a> {
    /// The run's id.
    pub run_id: &'a str,
    /// Digest of the spec.
    pub spec_digest: &'a str,
    /// RFC 3339.
    pub started_at: &'a str,
    /// RFC 3339.
    pub ended_at: &'a str,
    /// What the process exits with.
    pub exit_code: u8,
}

/// The content of `summary.json`.
pub fn summary(facts: &RunFacts<'_>, results: &[EntityResult]) -> Json {
    let entities: Map<String, Json> = results.iter().map(|r| (r.name.clone(), entity(r))).collect();
    json!({
        "schema_version": SCHEMA_VERSION,
        "run_id": facts.run_id,
        "spec_digest": facts.spec_digest,
        "recon_version": env!("CARGO_PKG_VERSION"),
        "started_at": facts.started_at,
        "ended_at": facts.ended_at,
        "exit_code": facts.exit_code,
        "equality": "rows by seeded XXH3-128 of canonical typed values, tolerant fields beside it; every row that is not \
                     equal that way by its values",
        "entities": entities,
    })
}

fn entity(result: &EntityResult) -> Json {
    let c = &result.counts;
    let fields: Map<String, Json> = result.fields.iter().map(|f| (f.name.clone(), field(f))).collect();
    let mut warnings: Map<String, Json> =
        result.warnings.iter().map(|(name, n)| (name.clone(), json!(n))).collect();
    if result.unassigned > 0 {
        warnings.insert("unassigned_failures".to_owned(), json!(result.unassigned));
    }
    if !result.remarks.is_empty() {
        warnings.insert("stage".to_owned(), json!(result.remarks));
    }
    if !result.spec_remarks.is_empty() {
        warnings.insert("spec".to_owned(), json!(result.spec_remarks));
    }
    let mut facts = json!({
        "source_rows": c.source_rows,
        "target_rows": c.target_rows,
        "matched": c.matched,
        "mismatched": c.mismatched,
        "missing": c.missing,
        "extra": c.extra,
        "duplicate_source": c.duplicate_source,
        "duplicate_target": c.duplicate_target,
        "unchecked": c.unchecked,
        "unchecked_target": c.unchecked_target,
        "rechecks": result.again.iter().map(|again| json!({
            "records": again.records, "equal": again.equal, "gone": again.gone,
        })).collect::<Vec<_>>(),
        "proven": result.proof.as_ref().map(proven),
        "fields": fields,
        "unmapped": result.unmapped,
        "warnings": warnings,
        "datasets": result.looks[0].sides.iter().map(|s| json!({
            "dataset": s.dataset.name, "generation": s.generation, "began_at": s.began_at,
            "staged_at": s.staged_at,
        })).collect::<Vec<_>>(),
    });
    if !result.references.is_empty() {
        facts["references"] = references::json(&result.references);
    }
    if let Some(rows) = result.folded_rows {
        facts["folded_rows"] = json!(rows);
    }
    facts
}

/// What the stores themselves proved equal; which ranges these are is in `proven.csv`.
pub fn proven(proof: &Proof) -> Json {
    json!({
        "rows": proof.rows(),
        "ranges": proof.ranges.len(),
        "of_ranges": proof.ranges_all,
        "how": proof.how,
    })
}

fn field(field: &FieldResult) -> Json {
    let mut out = json!({
        "compared": field.compared,
        "unequal": field.unequal,
        "equal_by_rule": field.equal_by_rule(),
        "null_mismatch": field.null_mismatch,
        "max_delta": field.max_delta().map(exact),
        "rule": field.rule,
        "status": field.status,
        "reason": field.reason,
    });
    if let Some(c) = &field.concentration {
        out["concentration"] =
            json!({ "field": c.field, "value": c.value, "share": (c.share * 1e4).round() / 1e4 });
    }
    out
}

/// A JSON number where a double holds it exactly as written, else its text.
fn exact(number: &Number) -> Json {
    let float = number.to_f64();
    match Number::from_f64(float) {
        Some(back) if back == *number && number.is_integer() && float.abs() < 1e15 => json!(float as i64),
        Some(back) if back == *number => json!(float),
        _ => json!(number.to_string()),
    }
}
