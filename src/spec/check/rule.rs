//! Rules: how a field is compared, and that its rules fit each other, its type and the key.

use std::ops::Range;

use super::Checker;
use crate::spec::amount::{self, Fault};
use crate::spec::raw::{At, RawAmount, RawField};
use crate::spec::words::{NULLS, PRECISIONS, ROUNDINGS, TEXTS, UNITS_NS};
use crate::spec::{Nulls, Precision, Rule, TextRule, Tolerance};
use crate::value::kind::Type;

/// Rules that cannot stand together, with the reason. The first one of a pair is the one that is explained.
const CONTRADICTIONS: [(&str, &[&str], &str); 6] = [
    (
        "ignore",
        &["tolerance", "relative", "precision", "rounding", "text", "nulls", "json", "set", "sql"],
        "an ignored field is not compared at all",
    ),
    (
        "sql",
        &["tolerance", "relative", "precision", "rounding", "text", "nulls", "json", "set"],
        "`sql` is the whole comparison",
    ),
    ("json", &["tolerance", "relative", "precision", "rounding", "text", "set"], "`json` compares documents"),
    ("set", &["tolerance", "relative", "precision", "rounding", "text"], "`set` compares exact elements"),
    ("text", &["tolerance", "relative", "precision"], "`text` is for text, the other for numbers and times"),
    ("relative", &["precision"], "`relative` is for numbers, `precision` for times"),
];

/// Rules that a key field cannot have: matching needs one exact value.
const NOT_ON_A_KEY: [&str; 4] = ["tolerance", "relative", "sql", "ignore"];

impl Checker<'_> {
    pub(super) fn rule(
        &mut self,
        field: &At<String>,
        raw: &RawField,
        ty: Option<Type>,
        is_key: bool,
    ) -> Option<Rule> {
        let problems_before = self.problems.len();
        let given = raw.given();
        self.contradictions(field, &given);
        if is_key {
            self.not_on_a_key(field, &given);
        }
        let rule = Rule {
            tolerance: raw.tolerance.as_ref().and_then(|at| self.tolerance(at)),
            relative: raw.relative.as_ref().and_then(|at| self.relative(at)),
            precision: self.precision(raw),
            text: self.text_rule(raw),
            nulls: raw.nulls.as_ref().and_then(|at| self.nulls(at)),
            json: is_true(raw.json.as_ref()),
            set: is_true(raw.set.as_ref()),
            sql: raw.sql.as_ref().and_then(|at| self.sql(at, "`sql`")),
            ignore: is_true(raw.ignore.as_ref()),
        };
        self.numbers_and_times(&rule, raw);
        if let Some(ty) = ty {
            self.rule_fits_type(&rule, raw, ty);
        }
        (self.problems.len() == problems_before).then_some(rule)
    }

    fn contradictions(&mut self, field: &At<String>, given: &[(&'static str, Range<usize>)]) {
        for (rule, others, why) in CONTRADICTIONS {
            if !given.iter().any(|(name, _)| *name == rule) {
                continue;
            }
            // One complaint a field is enough: every further rule of a pair has the same cause.
            if let Some((other, span)) = given.iter().find(|(name, _)| others.contains(name)) {
                let message =
                    format!("`{rule}` and `{other}` contradict each other in field `{}`", field.value);
                self.report(span, message, format!("keep one of them: {why}"));
                return;
            }
        }
    }

    fn not_on_a_key(&mut self, field: &At<String>, given: &[(&'static str, Range<usize>)]) {
        for (name, span) in given.iter().filter(|(name, _)| NOT_ON_A_KEY.contains(name)) {
            self.report(
                span,
                format!("`{name}` on key field `{}`", field.value),
                "records are matched by exact keys: remove the rule, or take the field out of `key`",
            );
        }
    }

    fn tolerance(&mut self, at: &At<RawAmount>) -> Option<Tolerance> {
        let text = self.amount_text(at);
        let parsed = amount::decimal(&text).map(Tolerance::Number).or_else(|fault| match fault {
            Fault::Malformed => amount::duration(&text).map(Tolerance::Duration),
            fault => Err(fault),
        });
        parsed.map_err(|fault| self.amount_fault(at, "tolerance", &text, fault)).ok()
    }

    fn relative(&mut self, at: &At<RawAmount>) -> Option<String> {
        let text = self.amount_text(at);
        amount::decimal(&text).map_err(|fault| self.amount_fault(at, "relative", &text, fault)).ok()
    }

    /// The number as the file has it, so that no digit is lost.
    pub(super) fn amount_text(&self, at: &At<RawAmount>) -> String {
        match &at.value {
            RawAmount::Integer(number) => number.to_string(),
            RawAmount::Float => self.text.text[at.span.clone()].replace('_', ""),
            RawAmount::Text(text) => text.trim().to_owned(),
        }
    }

    fn amount_fault(&mut self, at: &At<RawAmount>, rule: &str, text: &str, fault: Fault) {
        let message = match fault {
            Fault::Negative => format!("`{rule}` is negative"),
            Fault::TooLarge => format!("`{rule}` is too large"),
            Fault::TooFine => format!("`{text}` is no whole number of nanoseconds"),
            Fault::Malformed if rule == "relative" => format!("`{text}` is no number"),
            Fault::Malformed => format!("`{text}` is neither a number nor a duration"),
        };
        let help = match rule {
            "relative" => "write a share such as 0.001, which is a thousandth of the larger value",
            _ => "write a number such as 0.01, or a duration such as \"1.5s\" (ns, us, ms, s, m, h, d)",
        };
        self.report(&at.span, message, help);
    }

    fn precision(&mut self, raw: &RawField) -> Option<Precision> {
        let rounding = raw.rounding.as_ref().and_then(|at| self.word(at, "rounding", &ROUNDINGS));
        let Some(at) = &raw.precision else {
            if let Some(rounding) = &raw.rounding {
                self.report(
                    &rounding.span,
                    "`rounding` without `precision`",
                    "say to which unit: `precision = \"ms\"`",
                );
            }
            return None;
        };
        let unit = self.word(at, "precision", &PRECISIONS)?;
        Some(Precision { unit_ns: UNITS_NS[unit], round: rounding == Some(1) })
    }

    fn text_rule(&mut self, raw: &RawField) -> TextRule {
        let mut rule = TextRule::default();
        for at in raw.text.as_ref().map_or(&[][..], |list| &list.value) {
            match self.word(at, "normalisation of text", &TEXTS).map(|i| TEXTS[i]) {
                Some("trim") => rule.trim = true,
                Some("casefold") => rule.casefold = true,
                Some("collapse") => rule.collapse = true,
                Some("nfc") => rule.nfc = true,
                Some(_) | None => {}
            }
        }
        rule
    }

    fn nulls(&mut self, at: &At<String>) -> Option<Nulls> {
        let rules = [Nulls::Strict, Nulls::EmptyIsNull, Nulls::AbsentIsNull];
        self.word(at, "rule for `nulls`", &NULLS).map(|i| rules[i])
    }

    /// Rules whose values say number or time must agree, even where no type is declared.
    fn numbers_and_times(&mut self, rule: &Rule, raw: &RawField) {
        let Some(at) = &raw.tolerance else { return };
        match (&rule.tolerance, rule.relative.is_some(), rule.precision.is_some()) {
            (Some(Tolerance::Duration(_)), true, _) => {
                self.report(
                    &at.span,
                    "`relative` and a duration contradict each other",
                    "`relative` is for numbers; keep the duration for times",
                );
            }
            (Some(Tolerance::Number(_)), _, true) => {
                self.report(
                    &at.span,
                    "`precision` and a number contradict each other",
                    "`precision` is for times: write the tolerance as a duration such as \"1s\"",
                );
            }
            _ => {}
        }
    }

    fn rule_fits_type(&mut self, rule: &Rule, raw: &RawField, ty: Type) {
        let number = matches!(ty, Type::Int | Type::Decimal(_) | Type::Float);
        let time = matches!(ty, Type::Timestamp | Type::Date | Type::Time | Type::TimeTz);
        let time_or_interval = time || ty == Type::Interval;
        if let (Some(at), Some(tolerance)) = (&raw.tolerance, &rule.tolerance) {
            match tolerance {
                _ if !number && !time_or_interval => {
                    let message = format!("`tolerance` on type {ty}, which is neither number nor time");
                    self.report(&at.span, message, "remove it, or declare the type that is meant");
                }
                Tolerance::Number(_) if time_or_interval => {
                    let message = format!("a number cannot be the tolerance of type {ty}");
                    self.report(&at.span, message, "write a duration, such as \"1s\"");
                }
                Tolerance::Duration(_) if number => {
                    let message = format!("a duration cannot be the tolerance of type {ty}");
                    self.report(&at.span, message, "write a number, such as 0.01");
                }
                Tolerance::Number(_) | Tolerance::Duration(_) => {}
            }
        }
        let text = matches!(ty, Type::String | Type::Enum);
        let json = matches!(ty, Type::String | Type::Json);
        let set = matches!(ty, Type::Set(_) | Type::List);
        self.only_on(raw.relative.as_ref().map(|at| &at.span), "relative", ty, number, "numbers");
        self.only_on(raw.precision.as_ref().map(|at| &at.span), "precision", ty, time, "times");
        self.only_on(raw.text.as_ref().map(|at| &at.span), "text", ty, text, "text");
        self.only_on(given_true(raw.json.as_ref()), "json", ty, json, "types json and string");
        self.only_on(given_true(raw.set.as_ref()), "set", ty, set, "sets and lists");
    }

    fn only_on(&mut self, span: Option<&Range<usize>>, rule: &str, ty: Type, fits: bool, what: &str) {
        if let Some(span) = span
            && !fits
        {
            let message = format!("`{rule}` on type {ty}");
            self.report(span, message, format!("`{rule}` is for {what}: remove it, or declare another type"));
        }
    }
}

impl RawField {
    /// The rules that are given, with the places of their values; `false` is the same as not given.
    fn given(&self) -> Vec<(&'static str, Range<usize>)> {
        let all = [
            ("tolerance", self.tolerance.as_ref().map(|at| &at.span)),
            ("relative", self.relative.as_ref().map(|at| &at.span)),
            ("precision", self.precision.as_ref().map(|at| &at.span)),
            ("rounding", self.rounding.as_ref().map(|at| &at.span)),
            ("text", self.text.as_ref().map(|at| &at.span)),
            ("nulls", self.nulls.as_ref().map(|at| &at.span)),
            ("json", given_true(self.json.as_ref())),
            ("set", given_true(self.set.as_ref())),
            ("sql", self.sql.as_ref().map(|at| &at.span)),
            ("ignore", given_true(self.ignore.as_ref())),
        ];
        all.into_iter().filter_map(|(name, span)| Some((name, span?.clone()))).collect()
    }
}

fn given_true(at: Option<&At<bool>>) -> Option<&Range<usize>> {
    at.filter(|at| at.value).map(|at| &at.span)
}

fn is_true(at: Option<&At<bool>>) -> bool {
    at.is_some_and(|at| at.value)
}
