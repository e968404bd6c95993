//! What holds of values: that each rule is one, fits its field's type, and lets some value pass.

use std::cmp::Ordering;
use std::ops::Range;

use regex::Regex;

use super::Checker;
use crate::spec::raw::{At, RawAmount, RawBound, RawEntity, RawField};
use crate::spec::suggest::did_you_mean;
use crate::spec::valid::{class, order};
use crate::spec::{Bound, Length, Sql, Valid};
use crate::value::cast::{Class, Reading};
use crate::value::kind::Type;

impl Checker<'_> {
    pub(super) fn valid(&mut self, field: &At<String>, raw: &RawField, ty: Option<Type>) -> Valid {
        let valid = Valid {
            required: raw.required.as_ref().is_some_and(|at| at.value),
            min: raw.min.as_ref().map(|at| self.bound(at)),
            max: raw.max.as_ref().map(|at| self.bound(at)),
            length: self.length(raw),
            pattern: self.pattern(raw),
            one_of: self.one_of(raw),
            check: raw
                .check
                .as_ref()
                .and_then(|at| self.sql(at, &format!("`check` of field `{}`", field.value))),
        };
        let ignored = raw.ignore.as_ref().is_some_and(|at| at.value);
        if let (true, None, Some(word)) = (ignored, &raw.from, valid.given().first()) {
            let message = format!("`{word}` on field `{}`, which is ignored and has no `from`", field.value);
            self.report(&raw.valid_span(word), message, "take one of them away: nothing reads this field");
        }
        self.bounds_fit(raw, &valid, ty);
        valid
    }

    fn bounds_fit(&mut self, raw: &RawField, valid: &Valid, ty: Option<Type>) {
        if let Some(ty) = ty
            && let Some((word, what)) = valid.unfit(class(ty)).first()
        {
            let help = format!("`{word}` is for {what}: remove it, or declare another type");
            self.report(&raw.valid_span(word), format!("`{word}` on type {ty}"), help);
            return;
        }
        let of_type = ty.map_or(Class::Any, class);
        let read = |bound: &Bound| bound.value(of_type, &Reading::default());
        let one_of = valid.one_of.iter().flatten();
        let named = [("min", &valid.min), ("max", &valid.max)];
        let bounds = named.into_iter().filter_map(|(word, bound)| Some((word, bound.as_ref()?)));
        for (word, bound) in bounds.chain(one_of.map(|bound| ("one_of", bound))) {
            if let Err(why) = read(bound) {
                let message = format!("`{}` in `{word}`: {why}", bound.text);
                self.report(&raw.valid_span(word), message, "write a value of the field's type");
                return;
            }
        }
        if let (Some(min), Some(max)) = (&valid.min, &valid.max)
            && let (Ok(least), Ok(most)) = (read(min), read(max))
            && order(&least, &most) == Some(Ordering::Greater)
        {
            let message = format!("`min` is {} and `max` is {}: no value is both", min.text, max.text);
            self.report(&raw.valid_span("max"), message, "exchange them, or leave one out");
        }
    }

    fn bound(&self, at: &At<RawBound>) -> Bound {
        let amount = At { value: at.value.0.clone(), span: at.span.clone() };
        let is_number = !matches!(amount.value, RawAmount::Text(_));
        let text = match amount.value {
            RawAmount::Text(text) => text,
            _ => self.amount_text(&amount),
        };
        self.placed(text, is_number, &at.span)
    }

    fn placed(&self, text: String, is_number: bool, span: &Range<usize>) -> Bound {
        let (line, column) = self.text.position(span.start);
        Bound { text, is_number, line, column }
    }

    fn length(&mut self, raw: &RawField) -> Option<Length> {
        let at = raw.length.as_ref()?;
        let length = Length { min: at.value.min, max: at.value.max };
        match (length.min, length.max) {
            (None, None) => {
                self.report(&at.span, "`length` says nothing", "write `{ min = 1, max = 80 }`, or a number")
            }
            (Some(min), Some(max)) if min > max => {
                let message = format!("`length` is at least {min} and at most {max}: nothing is both");
                self.report(&at.span, message, "exchange them, or leave one out");
            }
            _ => {}
        }
        Some(length)
    }

    fn pattern(&mut self, raw: &RawField) -> Option<Bound> {
        let at = raw.pattern.as_ref()?;
        if let Err(why) = Regex::new(&at.value) {
            let words = match why {
                regex::Error::CompiledTooBig(_) => "it is too large".to_owned(),
                // The last line says what is wrong; those before it show where.
                other => other
                    .to_string()
                    .lines()
                    .last()
                    .unwrap_or_default()
                    .trim_start_matches("error: ")
                    .to_owned(),
            };
            let help = "write a regular expression without look-around and back-references; in '…' backslashes stay as they are";
            self.report(&at.span, format!("`pattern` is no regular expression: {words}"), help);
            return None;
        }
        Some(self.placed(at.value.clone(), false, &at.span))
    }

    fn one_of(&mut self, raw: &RawField) -> Option<Vec<Bound>> {
        let at = raw.one_of.as_ref()?;
        if at.value.is_empty() {
            self.report(
                &at.span,
                "`one_of` is empty, so no value is right",
                "name the values, or leave it out",
            );
        }
        Some(at.value.iter().map(|bound| self.bound(bound)).collect())
    }

    pub(super) fn unique(&mut self, entity: &At<String>, raw: &RawEntity) -> Vec<Vec<String>> {
        let mut all = Vec::new();
        for at in raw.unique.iter().flatten() {
            let mut group: Vec<String> = Vec::new();
            if at.value.is_empty() {
                self.report(
                    &at.span,
                    "a list in `unique` is empty",
                    "name the fields, as in [[\"tenant\", \"mail\"]]",
                );
            }
            for name in &at.value {
                if group.contains(&name.value) {
                    self.report(&name.span, format!("`{}` is in it twice", name.value), "remove one of them");
                } else if let Some(names) =
                    raw.field_names().filter(|names| !names.contains(&name.value.as_str()))
                {
                    let help = did_you_mean(&name.value, names, "the fields are");
                    let message = format!("entity `{}` has no field `{}`", entity.value, name.value);
                    self.report(&name.span, message, help);
                } else {
                    group.push(name.value.clone());
                }
            }
            all.push(group);
        }
        all
    }

    pub(super) fn checks(&mut self, raw: &RawEntity) -> Vec<(String, Sql)> {
        let checks = raw.checks.as_ref().map_or(&[][..], |named| &named.0);
        let sql = |(name, at): &(At<String>, At<String>)| {
            Some((name.value.clone(), self.sql(at, &format!("check `{}`", name.value))?))
        };
        checks.iter().filter_map(sql).collect()
    }
}

impl RawField {
    /// The place of a rule's value.
    fn valid_span(&self, word: &str) -> Range<usize> {
        let span = match word {
            "required" => self.required.as_ref().map(|at| &at.span),
            "min" => self.min.as_ref().map(|at| &at.span),
            "max" => self.max.as_ref().map(|at| &at.span),
            "length" => self.length.as_ref().map(|at| &at.span),
            "pattern" => self.pattern.as_ref().map(|at| &at.span),
            "one_of" => self.one_of.as_ref().map(|at| &at.span),
            _ => self.check.as_ref().map(|at| &at.span),
        };
        span.cloned().unwrap_or_default()
    }
}
