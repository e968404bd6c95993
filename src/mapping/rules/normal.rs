//! Normalisations: what a value becomes before it goes into the row hash.

use std::borrow::Cow;

use caseless::Caseless;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use super::Seen;
use crate::spec::{Nulls, Precision, Rule, TextRule};
use crate::value::Value;
use crate::value::cast::{Class, Reading, cast};
use crate::value::time::Moment;

/// How one side of a field is brought to the form in which it is compared.
#[derive(Clone, Debug)]
pub struct Normaliser {
    /// The field's class.
    pub class: Class,
    /// How this side's texts are read.
    pub reading: Reading,
    /// The field's rule.
    pub rule: Rule,
    /// Whether absent is NULL because one of the sides cannot express the difference.
    pub absent_is_null: bool,
}

impl Normaliser {
    /// Casts and normalises one value.
    ///
    /// # Errors
    /// Why the value does not cast, in words that do not repeat it.
    pub fn see<'a>(&self, value: Value<'a>) -> Result<Seen<'a>, String> {
        let value = match value {
            Value::Absent if self.absent_is_null => Value::Null,
            other => other,
        };
        if self.rule.nulls == Some(Nulls::EmptyIsNull) && is_empty_text(&value) {
            return Ok(Seen { raw: value, normal: Value::Null });
        }
        // As documents or sets, texts that differ may mean the same: the text is what they were before the rule.
        let raw_of_rule = (self.rule.json || self.rule.set).then(|| value.clone());
        let cast = cast(value, self.class, &self.reading)?;
        let normal = self.normal(cast.clone());
        Ok(Seen { raw: raw_of_rule.unwrap_or(cast), normal })
    }

    /// As [`Normaliser::see`] where only the form that is compared is wanted.
    ///
    /// # Errors
    /// Why the value does not cast.
    pub fn normal_only<'a>(&self, value: Value<'a>) -> Result<Value<'a>, String> {
        match value {
            Value::Absent if self.absent_is_null => Ok(Value::Null),
            value if self.rule.nulls == Some(Nulls::EmptyIsNull) && is_empty_text(&value) => Ok(Value::Null),
            value => Ok(self.normal(cast(value, self.class, &self.reading)?)),
        }
    }

    fn normal<'a>(&self, value: Value<'a>) -> Value<'a> {
        match value {
            Value::Absent if self.rule.nulls == Some(Nulls::AbsentIsNull) => Value::Null,
            Value::Text(text) => {
                let text = text_form(text, self.rule.text);
                match (self.rule.nulls, text.is_empty()) {
                    (Some(Nulls::EmptyIsNull), true) => Value::Null,
                    _ => Value::Text(text),
                }
            }
            value => match self.rule.precision {
                Some(precision) => cut(value, precision),
                None => value,
            },
        }
    }
}

fn is_empty_text(value: &Value<'_>) -> bool {
    matches!(value, Value::Text(text) if text.is_empty())
}

/// Applies trim, collapse, casefold and nfc, in this order. White space is Unicode's `White_Space`; case folding is Unicode's
/// full one (CaseFolding.txt, statuses C and F).
pub fn text_form(text: Cow<'_, str>, rule: TextRule) -> Cow<'_, str> {
    let mut text = text;
    if rule.trim && text.trim().len() != text.len() {
        text = Cow::Owned(text.trim().to_owned());
    }
    if rule.collapse {
        text = Cow::Owned(collapse(&text));
    }
    if rule.casefold {
        text = Cow::Owned(text.chars().default_case_fold().collect());
    }
    if rule.nfc && is_nfc_quick(text.chars()) != IsNormalized::Yes {
        text = Cow::Owned(text.nfc().collect());
    }
    text
}

/// Each run of white space becomes one space; the ends are kept, as one space.
fn collapse(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_space = false;
    for c in text.chars() {
        match (c.is_whitespace(), in_space) {
            (true, true) => {}
            (true, false) => out.push(' '),
            (false, _) => out.push(c),
        }
        in_space = c.is_whitespace();
    }
    out
}

/// Cuts or rounds a time to a unit. Rounding is half away from the epoch, cutting is towards the past.
fn cut(value: Value<'_>, precision: Precision) -> Value<'_> {
    let unit = precision.unit_ns;
    let to = |ns: i128| {
        let down = ns.div_euclid(unit) * unit;
        let rest = ns - down;
        let up = rest * 2 > unit || (rest * 2 == unit && ns >= 0);
        if precision.round && up { down + unit } else { down }
    };
    match value {
        Value::Timestamp { at: Moment::At(ns), zoned } => Value::Timestamp { at: Moment::At(to(ns)), zoned },
        Value::Time(ns) => Value::Time(to(ns.into()) as i64),
        Value::TimeTz(ns, offset_s) => Value::TimeTz(to(ns.into()) as i64, offset_s),
        other => other,
    }
}
