//! What is told of references: `orphans.csv` has the records, this their numbers.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json, json};

use super::terminal::{plain, thousands};

/// What became of a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceResult {
    /// Its name.
    pub name: String,
    /// The referring fields.
    pub fields: Vec<String>,
    /// The entity referred to.
    pub entity: String,
    /// Its fields.
    pub to: Vec<String>,
    /// Records of the source that refer to none of the source.
    pub source: u64,
    /// Records of the target that refer to none of the target.
    pub target: u64,
    /// Records of the source that refer to one that did not arrive in the target, but for those that are counted there.
    pub across: u64,
    /// Why not all of it could be looked at.
    pub unchecked: Option<String>,
}

impl ReferenceResult {
    /// Records that refer to what is not there.
    pub fn orphans(&self) -> u64 {
        self.source + self.target + self.across
    }
}

/// For `summary.json`.
pub fn json(references: &[ReferenceResult]) -> Json {
    let of = |r: &ReferenceResult| {
        let facts = json!({
            "fields": r.fields, "entity": r.entity, "to": r.to, "source_orphans": r.source, "target_orphans": r.target,
            "left_behind": r.across, "checked": r.unchecked.is_none(), "reason": r.unchecked,
        });
        (r.name.clone(), facts)
    };
    Json::Object(references.iter().map(of).collect::<Map<String, Json>>())
}

/// For the terminal, a line for each that is not as it should be.
pub fn text(entity: &str, references: &[ReferenceResult], out: &mut String) {
    for r in references {
        let name = format!("{}.{}", plain(entity), plain(&r.name));
        if let Some(why) = &r.unchecked {
            let _ = writeln!(out, "  {name}  references not checked: {}", plain(why));
        }
        let counts = [
            (r.source, "in the source"),
            (r.target, "in the target"),
            (r.across, "left behind in the source"),
        ];
        let found = counts.iter().filter(|(n, _)| *n > 0);
        let found: Vec<String> = found.map(|(n, where_to)| format!("{} {where_to}", thousands(*n))).collect();
        if !found.is_empty() {
            let _ = writeln!(out, "  {name}  refers to no {}: {}", plain(&r.entity), found.join(", "));
        }
    }
}
