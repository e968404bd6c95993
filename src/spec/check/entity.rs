//! Entities: their sides, key, grouping and fields.

use super::Checker;
use crate::spec::raw::{At, RawEntity};
use crate::spec::suggest::closest;
use crate::spec::{Entity, Field, Sql};

impl Checker<'_> {
    pub(super) fn entity(
        &mut self,
        name: &At<String>,
        raw: &RawEntity,
        datasets: &[&str],
        all: &[(At<String>, RawEntity)],
    ) -> Option<Entity> {
        if name.value.trim().is_empty() || name.value.contains(char::is_control) {
            self.report(
                &name.span,
                format!("`{}` cannot be the name of an entity", name.value.escape_debug()),
                "use letters, digits, `_` and `-`",
            );
        }
        let source = self.side(name, "source", raw.source.as_ref(), datasets);
        let target = self.side(name, "target", raw.target.as_ref(), datasets);
        let source_filter = raw.source_filter.as_ref().and_then(|at| self.sql(at, "`where`"));
        let target_filter = raw.target_where.as_ref().and_then(|at| self.sql(at, "`target_where`"));
        let key = self.key(name, raw);
        let group_by = self.group_by(raw);
        let fields = raw.fields.is_some().then(|| self.fields(name, raw, &key));
        let references = self.references(name, raw, all);
        let writing = self.writing(raw, &key);
        let unique = self.unique(name, raw);
        let checks = self.checks(raw);
        Some(Entity {
            name: name.value.clone(),
            source: source?,
            target: target?,
            source_filter,
            target_filter,
            key,
            group_by,
            fields,
            unique,
            checks,
            writing,
            references,
            line: self.line(name),
        })
    }

    fn side(
        &mut self,
        entity: &At<String>,
        side: &str,
        at: Option<&At<String>>,
        datasets: &[&str],
    ) -> Option<String> {
        let Some(at) = at else {
            self.report(
                &entity.span,
                format!("entity `{}` has no `{side}`", entity.value),
                format!("add `{side} = \"…\"`, the name of a dataset"),
            );
            return None;
        };
        self.known_dataset(at, datasets)
    }

    fn key(&mut self, entity: &At<String>, raw: &RawEntity) -> Vec<String> {
        let mut key: Vec<String> = Vec::new();
        if raw.key.as_ref().is_some_and(Vec::is_empty) {
            self.report(
                &entity.span,
                format!("the key of entity `{}` is empty", entity.value),
                "name its fields, or leave `key` out to compare whole rows",
            );
        }
        for at in raw.key.as_deref().unwrap_or_default() {
            if key.contains(&at.value) {
                self.report(&at.span, format!("`{}` is in the key twice", at.value), "remove one of them");
            } else if at.value.is_empty() {
                self.report(&at.span, "a key field needs a name", "write the name of a field");
            } else if let Some(names) = raw.field_names()
                && !names.contains(&at.value.as_str())
            {
                let help = match closest(&at.value, names.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("add it under `[entities.{}.fields]`", entity.value),
                };
                self.report(&at.span, format!("key field `{}` is not among the fields", at.value), help);
            } else {
                key.push(at.value.clone());
            }
        }
        key
    }

    fn group_by(&mut self, raw: &RawEntity) -> Vec<Sql> {
        let Some(at) = raw.group_by.as_ref().filter(|at| !at.value.is_empty()) else { return Vec::new() };
        if raw.fields.is_none() {
            self.report(
                &at.span,
                "`group_by` needs `fields`",
                "say under `fields` how the rows of a group fold into one value each (`from = \"max(x)\"`)",
            );
        }
        at.value.iter().filter_map(|expression| self.sql(expression, "an expression of `group_by`")).collect()
    }

    fn fields(&mut self, entity: &At<String>, raw: &RawEntity, key: &[String]) -> Vec<Field> {
        let fields = raw.fields.as_ref().map_or(&[][..], |named| &named.0);
        if fields.is_empty() {
            self.report(
                &entity.span,
                format!("`fields` of entity `{}` is empty", entity.value),
                "leave it out to compare every field with the same name on both sides",
            );
        }
        fields.iter().filter_map(|(name, raw)| self.field(name, raw, key.contains(&name.value))).collect()
    }
}

impl RawEntity {
    /// The names of the fields, where the spec lists them.
    pub(super) fn field_names(&self) -> Option<Vec<&str>> {
        self.fields.as_ref().map(|fields| fields.0.iter().map(|(name, _)| name.value.as_str()).collect())
    }
}
