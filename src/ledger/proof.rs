//! What two stores themselves proved equal, so that it was not staged.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::spec::Entity;

/// The ranges of two tables that were proven equal in their stores. Both sides' generations have the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// What makes both sides' generations belong together: random.
    pub id: String,
    /// The entity whose two sides they are.
    pub entity: String,
    /// What the spec said of the entity then ([`mapping`]).
    pub mapping: String,
    /// How equality was found out, in words.
    pub how: String,
    /// What went before each row's text when its digest was made.
    pub seed: String,
    /// How many ranges the tables were cut into.
    pub ranges_all: u64,
    /// The ranges that were proven equal.
    pub ranges: Vec<ProvenRange>,
}

/// A range of keys that holds the same rows on both sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvenRange {
    /// The first key in it, as SQL writes it; `None` where it has no beginning.
    pub from: Option<String>,
    /// The first key after it; `None` where it has no end.
    pub to: Option<String>,
    /// Rows in it, on each side.
    pub rows: u64,
    /// The sums that are the same on both sides.
    pub sums: String,
}

impl Proof {
    /// Rows in the ranges that were proven equal, on each side.
    pub fn rows(&self) -> u64 {
        self.ranges.iter().map(|range| range.rows).sum()
    }

    /// Whether it says something of this entity as the spec has it now.
    pub fn is_of(&self, entity: &Entity) -> bool {
        self.entity == entity.name && self.mapping == mapping(entity)
    }
}

/// Digest of all that the spec says of how an entity's sides correspond. It does not depend on where in the file that stands.
pub fn mapping(entity: &Entity) -> String {
    let sql = |sql: &crate::spec::Sql| sql.text.clone();
    let fields: Option<Vec<String>> = entity.fields.as_ref().map(|fields| {
        let one = |f: &crate::spec::Field| {
            let own = f.rule.sql.as_ref().map(sql);
            let rule = crate::spec::Rule { sql: None, ..f.rule.clone() };
            format!("{:?}", (&f.name, sql(&f.from), sql(&f.to), &f.ty, rule, own))
        };
        fields.iter().map(one).collect()
    });
    let filters = [&entity.source_filter, &entity.target_filter].map(|filter| filter.as_ref().map(sql));
    let folds: Vec<String> = entity.group_by.iter().map(sql).collect();
    let text = format!(
        "{:?}",
        (
            &entity.name,
            &entity.source,
            &entity.target,
            &entity.key,
            fields,
            filters,
            folds,
            &entity.references
        )
    );
    format!("{:032x}", xxh3_128(text.as_bytes()))
}
