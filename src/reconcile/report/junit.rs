//! A report as JUnit's XML, for build servers: a suite for each entity, a case for each field and each kind of finding.
//! Source: <https://github.com/testmoapp/junitxml>

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};
use serde_json::Value as Json;

use super::gather::{Difference, Gathered};
use super::of_diff::{count, entities, is_of_references, meaning, orphans_of};
use crate::error::{Context, Result};

/// Cases that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suite {
    /// Its name.
    pub name: String,
    /// In order.
    pub cases: Vec<Case>,
}

/// A case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is as it should be.
    Passed,
    /// The spec leaves it out.
    Skipped(String),
    /// It is not as it should be: in short, and what there is to say of it.
    Failed(String, String),
    /// It could not be found out.
    Error(String),
}

/// The suites of a diff: never without a failure or an error where the diff ended with another exit code than 0.
pub fn suites(summary: &Json, gathered: &Gathered) -> Vec<Suite> {
    let mut suites: Vec<Suite> = entities(summary)
        .into_iter()
        .map(|(name, entity)| suite(summary, (name, entity), gathered))
        .collect();
    let code = summary["exit_code"].as_i64().unwrap_or(4);
    suites.push(Suite { name: "recon diff".to_owned(), cases: vec![whole(code)] });
    suites
}

/// Whether a run came to its end and looked at everything.
pub fn whole(code: i64) -> Case {
    let outcome = if matches!(code, 0 | 1) {
        Outcome::Passed
    } else {
        Outcome::Error(format!("exit code {code}: {}", meaning(code)))
    };
    Case { name: "complete".to_owned(), outcome }
}

fn suite(summary: &Json, (name, entity): (&str, &Json), gathered: &Gathered) -> Suite {
    let field = |(field, facts): (&String, &Json)| {
        let reason = || facts["reason"].as_str().unwrap_or_default().to_owned();
        let (unequal, compared) = (count(facts, "unequal"), count(facts, "compared"));
        let outcome = match facts["status"].as_str() {
            Some("ignored") => Outcome::Skipped("the spec ignores it".to_owned()),
            Some("not_compared") => Outcome::Error(format!("not compared: {}", reason())),
            _ if unequal > 0 => {
                let first = gathered.first.get(&(name.to_owned(), field.clone()));
                let lines: Vec<String> = first.into_iter().flatten().map(in_words).collect();
                Outcome::Failed(format!("{unequal} of {compared} are unequal"), lines.join("\n"))
            }
            _ => Outcome::Passed,
        };
        Case { name: field.clone(), outcome }
    };
    let mut cases: Vec<Case> = entity["fields"].as_object().into_iter().flatten().map(field).collect();
    let found = |word: &str, counts: [&str; 2], file: &str| {
        let [n, m] = counts.map(|word| count(entity, word));
        let says = format!("rows: {}, in {file}", n + m);
        let outcome = match (n + m, word) {
            (0, _) => Outcome::Passed,
            (_, "(unchecked)") => Outcome::Error(says),
            _ => Outcome::Failed(says, String::new()),
        };
        Case { name: word.to_owned(), outcome }
    };
    cases.extend(entity["references"].as_object().into_iter().flatten().map(reference));
    if is_of_references(summary) {
        return Suite { name: name.to_owned(), cases };
    }
    cases.push(found("(missing)", ["missing", ""], "missing.csv"));
    cases.push(found("(extra)", ["extra", ""], "extra.csv"));
    cases.push(found("(duplicates)", ["duplicate_source", "duplicate_target"], "duplicates.csv"));
    cases.push(found("(unchecked)", ["unchecked", "unchecked_target"], "failures.csv"));
    Suite { name: name.to_owned(), cases }
}

/// Whether all that is referred to is there.
fn reference((name, facts): (&String, &Json)) -> Case {
    let [source, target, across] = orphans_of(facts);
    let outcome = match facts["checked"] == true {
        false => Outcome::Error(format!("not checked: {}", facts["reason"].as_str().unwrap_or_default())),
        true if source + target + across > 0 => Outcome::Failed(
            format!(
                "orphans in the source: {source}, in the target: {target}, left behind: {across}; orphans.csv"
            ),
            String::new(),
        ),
        true => Outcome::Passed,
    };
    Case { name: format!("(reference {name})"), outcome }
}

fn in_words(difference: &Difference) -> String {
    let value =
        |text: &Option<String>| text.as_ref().map_or_else(|| "NULL".to_owned(), |text| format!("{text:?}"));
    let key: Vec<String> = difference.key.iter().map(value).collect();
    format!("{}: source {}, target {}", key.join(", "), value(&difference.source), value(&difference.target))
}

/// The XML of suites.
///
/// # Errors
/// Memory that cannot be had.
pub fn xml(suites: &[Suite]) -> Result<String> {
    let mut out = Writer::new_with_indent(Vec::new(), b' ', 2);
    let written = write(&mut out, suites)
        .and_then(|()| String::from_utf8(out.into_inner()).map_err(std::io::Error::other));
    written.map(|text| text + "\n").or_failed(|| "cannot write XML".to_owned())
}

fn write(out: &mut Writer<Vec<u8>>, suites: &[Suite]) -> std::io::Result<()> {
    out.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let all: Vec<&Case> = suites.iter().flat_map(|suite| &suite.cases).collect();
    let root = out.create_element("testsuites").with_attribute(("name", "recon"));
    root.with_attributes(counts(&all).iter().map(|(name, n)| (*name, n.as_str()))).write_inner_content(
        |out| {
            for suite in suites {
                let cases: Vec<&Case> = suite.cases.iter().collect();
                let name = allowed(&suite.name);
                let element = out.create_element("testsuite").with_attribute(("name", name.as_str()));
                element
                    .with_attributes(counts(&cases).iter().map(|(name, n)| (*name, n.as_str())))
                    .write_inner_content(|out| {
                        cases.iter().try_for_each(|case| write_case(out, &name, case))
                    })?;
            }
            Ok(())
        },
    )?;
    Ok(())
}

fn write_case(out: &mut Writer<Vec<u8>>, suite: &str, case: &Case) -> std::io::Result<()> {
    let name = allowed(&case.name);
    let element = out.create_element("testcase").with_attributes([("classname", suite), ("name", &name)]);
    let (word, message, text) = match &case.outcome {
        Outcome::Passed => return element.write_empty().map(|_| ()),
        Outcome::Skipped(message) => ("skipped", message, ""),
        Outcome::Failed(message, text) => ("failure", message, text.as_str()),
        Outcome::Error(message) => ("error", message, ""),
    };
    let (message, text) = (allowed(message), allowed(text));
    element.write_inner_content(|out| {
        let inner = out.create_element(word).with_attribute(("message", message.as_str()));
        if text.is_empty() { inner.write_empty() } else { inner.write_text_content(BytesText::new(&text)) }
            .map(|_| ())
    })?;
    Ok(())
}

fn counts(cases: &[&Case]) -> [(&'static str, String); 4] {
    let number = |is: fn(&Outcome) -> bool| cases.iter().filter(|case| is(&case.outcome)).count().to_string();
    [
        ("tests", cases.len().to_string()),
        ("failures", number(|o| matches!(o, Outcome::Failed(..)))),
        ("errors", number(|o| matches!(o, Outcome::Error(_)))),
        ("skipped", number(|o| matches!(o, Outcome::Skipped(_)))),
    ]
}

/// A text with what XML cannot hold by its number. Source: <https://www.w3.org/TR/xml/#charsets>
fn allowed(text: &str) -> String {
    let is_allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    text.chars().map(|c| if is_allowed(c) { c.to_string() } else { c.escape_unicode().collect() }).collect()
}
