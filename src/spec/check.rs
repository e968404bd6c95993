//! From what serde read to a [`Spec`](super::Spec) that is trusted from then on.
//!
//! Every check runs and reports its problem with a place; the spec is right when there is none.

mod dataset;
mod entity;
mod field;
mod hooks;
mod reference;
mod rule;
mod store;
mod valid;
mod write;

use std::ops::Range;

use toml::de::DeTable;

use super::interpolate::{Fault, interpolate};
use super::place::{Problem, SpecText};
use super::raw::{At, RawSpec};
use super::suggest::did_you_mean;
use super::{Dataset, Entity, Hooks, Sql};
use crate::error::Result;

/// What the checks share: the text for places, the environment, and the problems so far.
struct Checker<'a> {
    text: SpecText<'a>,
    document: &'a DeTable<'a>,
    env: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<Problem>,
}

/// Checks a whole spec.
///
/// # Errors
/// Anything that is wrong with it, with its places.
pub(super) fn check(
    raw: &RawSpec,
    text: SpecText<'_>,
    document: &DeTable<'_>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(Vec<Dataset>, Vec<Entity>, Hooks)> {
    let mut checker = Checker { text, document, env, problems: Vec::new() };
    let raw_datasets = raw.datasets.as_ref().map_or(&[][..], |named| &named.0);
    let raw_entities = raw.entities.as_ref().map_or(&[][..], |named| &named.0);
    if raw_datasets.is_empty() {
        checker.report(&(0..0), "the spec has no datasets", "describe both sides under `[datasets.NAME]`");
    } else if raw_entities.is_empty() {
        checker.report(&(0..0), "the spec has no entities", "say what corresponds under `[entities.NAME]`");
    }
    let datasets = raw_datasets.iter().filter_map(|(name, raw)| checker.dataset(name, raw)).collect();
    let names: Vec<&str> = raw_datasets.iter().map(|(name, _)| name.value.as_str()).collect();
    let entities = raw_entities
        .iter()
        .filter_map(|(name, raw)| checker.entity(name, raw, &names, raw_entities))
        .collect();
    let hooks = checker.hooks(raw.hooks.as_ref());
    if checker.problems.is_empty() {
        Ok((datasets, entities, hooks))
    } else {
        Err(text.error(checker.problems))
    }
}

impl Checker<'_> {
    fn report(&mut self, span: &Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(Problem { span: span.clone(), message: message.into(), help: Some(help.into()) });
    }

    /// One of a fixed list of words, by its position in the list.
    fn word(&mut self, at: &At<String>, what: &str, words: &[&'static str]) -> Option<usize> {
        let found = words.iter().position(|word| *word == at.value);
        if found.is_none() {
            let help = did_you_mean(&at.value, words.iter().copied(), &format!("`{what}` is one of"));
            self.report(&at.span, format!("`{}` is no {what}", at.value), help);
        }
        found
    }

    /// SQL, which must not be blank.
    fn sql(&mut self, at: &At<String>, what: &str) -> Option<Sql> {
        if at.value.trim().is_empty() {
            self.report(&at.span, format!("{what} is empty"), "write a SQL expression or leave it out");
            return None;
        }
        let (line, column) = self.text.position(self.text.content_start(&at.span));
        Some(Sql { text: at.value.clone(), line, column, plain_name: None })
    }

    /// A dataset's string with the environment put in.
    fn interpolated(&mut self, at: &At<String>) -> Option<String> {
        let fault = match interpolate(&at.value, self.env) {
            Ok(value) => return Some(value),
            Err(fault) => fault,
        };
        let (needle, message, help) = match fault {
            Fault::Unset(name) => (
                format!("${{{name}}}"),
                format!("the environment variable `{name}` is not set"),
                format!("set it (`export {name}=…`), or write `$${{{name}}}` where the text itself is meant"),
            ),
            Fault::NotAName(name) => (
                format!("${{{name}}}"),
                format!("`{name}` is no name of an environment variable"),
                "write `${NAME}`, or `$${` where the text `${` itself is meant".to_owned(),
            ),
            Fault::Unclosed => (
                "${".to_owned(),
                "`${` without its `}`".to_owned(),
                "write `${NAME}`, or `$${` where the text `${` itself is meant".to_owned(),
            ),
        };
        // The string may hold escapes, so the place is looked up in the file's own text.
        let start = self.text.text[at.span.clone()].find(&needle).map(|offset| at.span.start + offset);
        let span = start.map_or(at.span.clone(), |start| start..start + needle.len());
        self.report(&span, message, help);
        None
    }

    fn line(&self, at: &At<String>) -> usize {
        self.text.position(at.span.start).0
    }
}
