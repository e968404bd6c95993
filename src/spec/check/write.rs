//! How an entity is written: policy, version, provenance, and what becomes of single fields.

use super::Checker;
use crate::spec::raw::{At, RawEntity, RawField};
use crate::spec::suggest::did_you_mean;
use crate::spec::words;
use crate::spec::{OnConflict, Policy, Provenance, Writing};

impl Checker<'_> {
    pub(super) fn writing(&mut self, raw: &RawEntity, key: &[String]) -> Writing {
        let policy = raw.write.as_ref().and_then(|at| self.word(at, "write", &words::POLICIES));
        let null = raw.write_null.as_ref().and_then(|at| self.word(at, "write_null", &words::WRITE_NULLS));
        Writing {
            policy: [Policy::Upsert, Policy::InsertOnly, Policy::UpdateOnly][policy.unwrap_or(0)],
            version: raw.version.as_ref().and_then(|at| self.version(raw, at, key)),
            provenance: self.provenance(raw),
            null: null.map(|word| word == 1),
            exclusive: raw.exclusive.unwrap_or(false),
        }
    }

    fn version(&mut self, raw: &RawEntity, at: &At<String>, key: &[String]) -> Option<String> {
        if key.contains(&at.value) {
            let help = "name a field that grows with every change of a record";
            self.report(&at.span, format!("the key field `{}` cannot be the version", at.value), help);
            return None;
        }
        if let Some(names) = raw.field_names().filter(|names| !names.contains(&at.value.as_str())) {
            let help = did_you_mean(&at.value, names, "the fields are");
            self.report(&at.span, format!("version field `{}` is not among the fields", at.value), help);
            return None;
        }
        Some(at.value.clone())
    }

    fn provenance(&mut self, raw: &RawEntity) -> Vec<(Provenance, String)> {
        let Some(table) = &raw.provenance else { return Vec::new() };
        let columns = [
            (Provenance::Run, &table.run),
            (Provenance::At, &table.at),
            (Provenance::SourceKey, &table.source_key),
            (Provenance::SourceVersion, &table.source_version),
        ];
        if let (Some(at), None) = (&table.source_version, &raw.version) {
            let help = "name the field with `version = \"…\"` in the entity";
            self.report(&at.span, "`source_version` needs the entity's `version`", help);
        }
        let fields = raw.field_names().unwrap_or_default();
        let mut found: Vec<(Provenance, String)> = Vec::new();
        for (what, at) in columns {
            let Some(at) = at else { continue };
            if fields.contains(&at.value.as_str()) || found.iter().any(|(_, name)| *name == at.value) {
                let help = "give each its own column of the target";
                self.report(&at.span, format!("column `{}` is written already", at.value), help);
                continue;
            }
            found.push((what, at.value.clone()));
        }
        found
    }

    pub(super) fn on_conflict(&mut self, name: &At<String>, raw: &RawField, is_key: bool) -> OnConflict {
        let given = [raw.on_conflict.as_ref(), raw.on_conflict_sql.as_ref()];
        if let Some(at) = given.into_iter().flatten().next().filter(|_| is_key) {
            let help = "a record that is there has the same key: leave it out";
            self.report(&at.span, format!("`on_conflict` on the key field `{}`", name.value), help);
        }
        match given {
            [Some(_), Some(at)] => {
                self.report(&at.span, "`on_conflict` and `on_conflict_sql` at once", "leave one of them out");
                OnConflict::Overwrite
            }
            [Some(at), None] => match self.word(at, "on_conflict", &words::ON_CONFLICTS) {
                Some(1) => OnConflict::Keep,
                Some(2) => OnConflict::Coalesce,
                Some(3) => OnConflict::Greatest,
                _ => OnConflict::Overwrite,
            },
            [None, Some(at)] => {
                let what = format!("`on_conflict_sql` of field `{}`", name.value);
                self.sql(at, &what).map_or(OnConflict::Overwrite, OnConflict::Sql)
            }
            [None, None] => OnConflict::Overwrite,
        }
    }
}
