//! References: which entity, and which of its fields, a field must be found in.

use super::Checker;
use crate::spec::Reference;
use crate::spec::raw::{At, RawEntity, RawReference, ShortOr};
use crate::spec::suggest::{closest, did_you_mean};

impl Checker<'_> {
    pub(super) fn references(
        &mut self,
        entity: &At<String>,
        raw: &RawEntity,
        all: &[(At<String>, RawEntity)],
    ) -> Vec<Reference> {
        let references = raw.references.as_ref().map_or(&[][..], |named| &named.0);
        let mut checked = Vec::new();
        for (name, at) in references {
            let reference = match &at.value {
                ShortOr::Short(text) => {
                    let short = At { value: text.clone(), span: at.span.clone() };
                    self.short_reference(entity, raw, name, &short, all)
                }
                ShortOr::Long(table) => self.long_reference(entity, raw, name, table, all),
            };
            checked.extend(reference);
        }
        checked
    }

    /// `field = "entity.field"`. Both names may hold dots themselves, as long as one reading is possible.
    fn short_reference(
        &mut self,
        entity: &At<String>,
        raw: &RawEntity,
        name: &At<String>,
        at: &At<String>,
        all: &[(At<String>, RawEntity)],
    ) -> Option<Reference> {
        self.own_field(entity, raw, name)?;
        let splits: Vec<(&str, &str)> =
            at.value.match_indices('.').map(|(dot, _)| (&at.value[..dot], &at.value[dot + 1..])).collect();
        let known: Vec<&(&str, &str)> =
            splits.iter().filter(|(left, _)| all.iter().any(|(other, _)| other.value == *left)).collect();
        match (known.as_slice(), splits.first()) {
            ([(left, right)], _) => {
                let other = At { value: (*left).to_owned(), span: at.span.clone() };
                let field = At { value: (*right).to_owned(), span: at.span.clone() };
                let referred = self.known_entity(&other, all)?;
                self.own_field(&other, referred, &field)?;
                Some(Reference {
                    name: name.value.clone(),
                    fields: vec![name.value.clone()],
                    entity: other.value,
                    to: vec![field.value],
                })
            }
            ([], Some((left, _))) => {
                let other = At { value: (*left).to_owned(), span: at.span.clone() };
                self.known_entity(&other, all)?;
                None
            }
            ([], None) => {
                self.report(&at.span, "a reference names an entity and its field", "write \"entity.field\"");
                None
            }
            _ => {
                let help = "write it as a table: { entity = \"…\", to = [\"…\"] }";
                self.report(&at.span, "this reference can be read in two ways", help);
                None
            }
        }
    }

    fn long_reference(
        &mut self,
        entity: &At<String>,
        raw: &RawEntity,
        name: &At<String>,
        table: &RawReference,
        all: &[(At<String>, RawEntity)],
    ) -> Option<Reference> {
        let own = table.fields.as_deref().unwrap_or(std::slice::from_ref(name));
        let mut fields = Vec::new();
        for field in own {
            fields.push(self.own_field(entity, raw, field)?);
        }
        let Some(other) = &table.entity else {
            let message = format!("reference `{}` has no `entity`", name.value);
            self.report(&name.span, message, "add `entity = \"…\"`, the entity referred to");
            return None;
        };
        let referred = self.known_entity(other, all)?;
        let referred_fields = match &table.to {
            Some(list) => &list.value,
            None => referred.key.as_ref().map_or(&[][..], |key| key),
        };
        let mut to = Vec::new();
        for field in referred_fields {
            to.push(self.own_field(other, referred, field)?);
        }
        if fields.is_empty() || fields.len() != to.len() {
            let span = table.to.as_ref().map_or(&other.span, |list| &list.span);
            let message = format!(
                "reference `{}` has {} fields here and {} in entity `{}`",
                name.value,
                fields.len(),
                to.len(),
                other.value
            );
            self.report(span, message, "give as many fields under `to` as under `fields`");
            return None;
        }
        Some(Reference { name: name.value.clone(), fields, entity: other.value.clone(), to })
    }

    fn known_entity<'r>(
        &mut self,
        at: &At<String>,
        all: &'r [(At<String>, RawEntity)],
    ) -> Option<&'r RawEntity> {
        let found = all.iter().find(|(name, _)| name.value == at.value).map(|(_, raw)| raw);
        if found.is_none() {
            let names = all.iter().map(|(name, _)| name.value.as_str());
            let help = did_you_mean(&at.value, names, "the entities are");
            self.report(&at.span, format!("no entity is called `{}`", at.value), help);
        }
        found
    }

    /// The name of a field of an entity; where the spec does not list its fields, any name may be one.
    fn own_field(&mut self, entity: &At<String>, raw: &RawEntity, field: &At<String>) -> Option<String> {
        let Some(names) = raw.field_names() else { return Some(field.value.clone()) };
        if names.contains(&field.value.as_str()) {
            return Some(field.value.clone());
        }
        let help = match closest(&field.value, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("add it under `[entities.{}.fields]`", entity.value),
        };
        self.report(&field.span, format!("entity `{}` has no field `{}`", entity.value, field.value), help);
        None
    }
}
