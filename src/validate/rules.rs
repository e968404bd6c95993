//! What the spec says of a field's values, held against one value at a time. Exact: no value goes through a float or through SQL.

use std::cmp::Ordering;

use regex::Regex;

use crate::error::{Error, Result};
use crate::spec::{Field, Length, Spec, number, order};
use crate::value::Value;
use crate::value::cast::{Class, Reading};

/// How many values of `one_of` a message names.
const NAMED_MAX: usize = 8;

/// The rules of one field, ready to be asked.
#[derive(Debug, Default)]
pub(super) struct Rules {
    required: bool,
    min: Option<(Value<'static>, String)>,
    max: Option<(Value<'static>, String)>,
    length: Option<Length>,
    pattern: Option<Regex>,
    one_of: Option<(Vec<Value<'static>>, String)>,
}

impl Rules {
    /// # Errors
    /// A rule that does not fit the field's class, a bound that is no value of it (exit 2, with the place).
    pub(super) fn new(
        spec: &Spec,
        entity: &str,
        field: &Field,
        class: Class,
        reading: &Reading,
    ) -> Result<Self> {
        let valid = &field.valid;
        if let Some((word, what)) = valid.unfit(class).first() {
            let message = format!(
                "`{word}` is for {what}, and field `{}` of entity `{entity}` is read as {}",
                field.name,
                class.word()
            );
            return Err(spec
                .error_at(field.line, 1, 1, &message)
                .help("give the field the `type` that is meant"));
        }
        let value = |word: &str, bound: &crate::spec::Bound| {
            bound.value(class, reading).map_err(|why| {
                let message = format!("`{}` in `{word}` of field `{}`: {why}", bound.text, field.name);
                let help = format!("the field is read as {}: write such a value", class.word());
                spec.error_at(bound.line, bound.column, 1, &message).help(help)
            })
        };
        let bound = |word: &'static str, bound: &Option<crate::spec::Bound>| {
            bound.as_ref().map(|bound| Ok((value(word, bound)?, bound.text.clone()))).transpose()
        };
        let (min, max) = (bound("min", &valid.min)?, bound("max", &valid.max)?);
        if let (Some((least, _)), Some((most, _)), Some(at)) = (&min, &max, &valid.max)
            && order(least, most) == Some(Ordering::Greater)
        {
            let message = format!("`min` of field `{}` is above its `max`: no value is both", field.name);
            return Err(spec
                .error_at(at.line, at.column, 1, &message)
                .help("exchange them, or leave one out"));
        }
        let pattern = valid.pattern.as_ref().map(|pattern| {
            Regex::new(&pattern.text).map_err(|e| Error::usage(format!("`pattern` of `{}`: {e}", field.name)))
        });
        let one_of = valid.one_of.as_ref().map(|all| {
            let values: Result<Vec<_>> = all.iter().map(|bound| value("one_of", bound)).collect();
            let mut names: Vec<&str> = all.iter().take(NAMED_MAX).map(|bound| bound.text.as_str()).collect();
            if all.len() > NAMED_MAX {
                names.push("…");
            }
            Ok::<_, Error>((values?, names.join(", ")))
        });
        Ok(Self {
            required: valid.required,
            min,
            max,
            length: valid.length,
            pattern: pattern.transpose()?,
            one_of: one_of.transpose()?,
        })
    }

    /// Tells `broken` each rule that a value does not keep: its code, and what is wrong in words that do not repeat the value.
    pub(super) fn look(&self, value: &Value<'_>, broken: &mut dyn FnMut(&'static str, String)) {
        if value.is_null() {
            if self.required {
                broken("required", "no value, where one is `required`".to_owned());
            }
            return;
        }
        for (bound, code, side, wrong) in
            [(&self.min, "min", "below", Ordering::Less), (&self.max, "max", "above", Ordering::Greater)]
        {
            let Some((bound, text)) = bound else { continue };
            match order(value, bound) {
                Some(found) if found == wrong => broken(code, format!("{side} `{code}` ({text})")),
                Some(_) => {}
                None => broken(code, format!("cannot be held against `{code}` ({text})")),
            }
        }
        if let (Some(wanted), Some(length)) = (self.length, length(value))
            && (wanted.min.is_some_and(|min| length < min) || wanted.max.is_some_and(|max| length > max))
        {
            broken("length", format!("length {length}, where `length` is {}", in_words(wanted)));
        }
        if self.length.is_some() && length(value).is_none() {
            broken("length", format!("a {} has no `length`", value.kind_name()));
        }
        if let Some(pattern) = &self.pattern
            && !matches!(value, Value::Text(text) if pattern.is_match(text))
        {
            broken("pattern", format!("does not match `pattern` ({pattern})"));
        }
        if let Some((values, names)) = &self.one_of
            && !values.iter().any(|one| is_same(value, one))
        {
            broken("one_of", format!("none of `one_of` ({names})"));
        }
    }
}

/// Whether a value is one that the spec names; numbers by what they are worth, whatever carries them.
fn is_same(value: &Value<'_>, named: &Value<'_>) -> bool {
    match (number(value), number(named)) {
        (Some(a), Some(b)) => a == b,
        _ => value.same(named),
    }
}

/// Characters, bytes or elements.
fn length(value: &Value<'_>) -> Option<u64> {
    let length = match value {
        Value::Text(text) => text.chars().count(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(elements) | Value::Set(elements) => elements.len(),
        _ => return None,
    };
    Some(length as u64)
}

fn in_words(length: Length) -> String {
    match (length.min, length.max) {
        (Some(min), Some(max)) if min == max => format!("{min}"),
        (Some(min), Some(max)) => format!("{min} to {max}"),
        (Some(min), None) => format!("at least {min}"),
        (None, max) => format!("at most {}", max.unwrap_or(u64::MAX)),
    }
}
