//! `recon report --sign-off`: what was moved, verified, failed and taken back, by the ledger alone, for people to sign.
//!
//! Verified is only what a whole diff has compared that began after the newest writing, on a target that was staged after it.

use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::{Form, ReportArgs, about, folder_of, folder_to_write, print};
use crate::cli::{Format, Global};
use crate::error::{Context, Error, Result};
use crate::ledger::migration::Migration;
use crate::ledger::rollback::Rollback;
use crate::ledger::{Ledger, RunRow, Total, now};
use crate::reconcile::report::csv::write_whole;
use crate::reconcile::report::document::{Column, Document, Section, Tone, Verdict, footer};
use crate::reconcile::report::markdown::markdown;
use crate::reconcile::report::terminal::{plain, thousands};
use crate::reconcile::report::{html, of_diff};

/// What the files are called.
const NAMES: [&str; 2] = ["sign-off.html", "sign-off.md"];

/// How an entity stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// All of it is equal.
    Verified,
    /// All of it was compared, and some of it is not equal.
    Different,
    /// It is not known, for this reason.
    NotVerified(String),
}

impl Standing {
    fn word(&self) -> &'static str {
        match self {
            Self::Verified => "VERIFIED",
            Self::Different => "DIFFERENT",
            Self::NotVerified(_) => "NOT VERIFIED",
        }
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::Verified => 0,
            Self::Different => 1,
            Self::NotVerified(_) => 3,
        }
    }
}

/// An entity and the newest diff of it.
struct Entity {
    name: String,
    standing: Standing,
    diff: Option<RunRow>,
    /// What that diff's summary says of the entity.
    facts: Json,
}

/// What the ledger knows.
struct Known {
    runs: Vec<RunRow>,
    migrations: Vec<Migration>,
    rollbacks: Vec<Rollback>,
    totals: Vec<Total>,
}

pub(super) fn run(global: &Global, args: &ReportArgs, ledger: &Ledger) -> Result<u8> {
    let known = Known {
        runs: ledger.runs_now(u32::MAX)?.0,
        migrations: ledger.migrations()?,
        rollbacks: ledger.rollbacks()?,
        totals: ledger.totals()?,
    };
    let names = known.entities(global)?;
    let entities = names.into_iter().map(|name| entity(ledger, &known, name)).collect::<Result<Vec<_>>>()?;
    let code = exit_code(&entities);
    let document = document(global, ledger, &known, &entities, code)?;
    match args.form {
        Form::Markdown if args.out.is_none() => print(&markdown(&document))?,
        Form::Html | Form::Markdown => {
            let newest = known.runs.first().map(|run| ledger.home().join("runs").join(&run.run_id));
            let folder = folder_to_write(args, &newest.unwrap_or_else(|| ledger.home().to_path_buf()))?;
            let [page, text] = NAMES.map(|name| folder.join(name));
            html::write(&page, &document, None)?;
            write_whole(&text, &markdown(&document))?;
            say(global, &entities, [&page, &text])?
        }
        _ => {
            return Err(Error::usage("--sign-off is a page and Markdown, and has no other form")
                .help("leave --as out, or write --as markdown"));
        }
    };
    Ok(code)
}

fn say(global: &Global, entities: &[Entity], written: [&Path; 2]) -> Result<u8> {
    let paths = written.map(|path| path.display().to_string());
    if global.format == Format::Json {
        let standing: serde_json::Map<String, Json> =
            entities.iter().map(|e| (e.name.clone(), json!(e.standing.word()))).collect();
        return print(
            &json!({ "written": paths, "exit_code": exit_code(entities), "entities": standing }).to_string(),
        );
    }
    let mut out = String::new();
    for e in entities {
        let reason = if let Standing::NotVerified(reason) = &e.standing {
            format!(": {reason}")
        } else {
            String::new()
        };
        out.push_str(&format!("{}: {}{reason}\n", plain(&e.name), e.standing.word()));
    }
    print(&format!("{out}{}", paths.join("\n")))
}

/// 3 where something is not verified, else 1 where something differs.
fn exit_code(entities: &[Entity]) -> u8 {
    let codes = entities.iter().map(|e| e.standing.exit_code());
    codes.max().unwrap_or(3)
}

impl Known {
    /// The entities that any run was about, in alphabetical order, or those that were asked for.
    fn entities(&self, global: &Global) -> Result<Vec<String>> {
        let moved = self.migrations.iter().map(|m| &m.entity);
        let all: BTreeSet<&String> = moved
            .chain(self.rollbacks.iter().map(|r| &r.entity))
            .chain(self.totals.iter().map(|t| &t.entity))
            .collect();
        if let Some(name) = global.entity.iter().find(|name| !all.contains(name)) {
            return Err(Error::usage(format!("no run has moved or compared an entity `{name}`"))
                .help(format!("`{} runs` shows the runs there are", global.command())));
        }
        if all.is_empty() {
            return Err(Error::usage("no run has moved or compared anything yet")
                .help(format!("`{} diff` compares what is staged", global.command())));
        }
        let asked = |name: &&&String| global.entity.is_empty() || global.entity.contains(name);
        Ok(all.iter().filter(asked).map(|name| (*name).clone()).collect())
    }

    fn run(&self, id: &str) -> Option<&RunRow> {
        self.runs.iter().find(|run| run.run_id == id)
    }

    /// The runs that changed the entity's target, or may have.
    fn writers<'k>(&'k self, entity: &'k str) -> impl Iterator<Item = &'k RunRow> {
        // Of a run that did not come to its end nobody knows whether the batch under way was written.
        let wrote = move |m: &&Migration| {
            let c = m.counts;
            m.entity == entity
                && (c.inserted + c.updated > 0 || !matches!(m.state.as_str(), "done" | "planning"))
        };
        let took_back = move |r: &&Rollback| {
            let c = r.counts;
            let rows = c.restored + c.removed + c.inserted + c.merged + c.forced + c.altered;
            r.entity == entity && (rows > 0 || !matches!(r.state.as_str(), "done" | "planning"))
        };
        let migrations = self.migrations.iter().filter(wrote).map(|m| &m.run_id);
        let rollbacks = self.rollbacks.iter().filter(took_back).map(|r| &r.run_id);
        migrations.chain(rollbacks).filter_map(|id| self.run(id))
    }
}

fn entity(ledger: &Ledger, known: &Known, name: String) -> Result<Entity> {
    let diff = known.totals.iter().find(|t| t.entity == name).and_then(|t| known.run(&t.run_id)).cloned();
    let mut facts = Json::Null;
    let standing = match &diff {
        None => Standing::NotVerified("no diff has compared it".to_owned()),
        Some(diff) => {
            let path = folder_of(ledger, diff).join("summary.json");
            let summary: Option<Json> =
                std::fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
            match summary.filter(|summary| summary["run_id"] == diff.run_id.as_str()) {
                Some(summary) => {
                    facts = summary["entities"][&name].clone();
                    standing(known, &name, diff, &facts)?
                }
                None => {
                    Standing::NotVerified(format!("the files of its newest diff ({}) are gone", diff.run_id))
                }
            }
        }
    };
    Ok(Entity { name, standing, diff, facts })
}

fn standing(known: &Known, name: &str, diff: &RunRow, facts: &Json) -> Result<Standing> {
    let not = |reason: String| Ok(Standing::NotVerified(reason));
    let target_from = facts["datasets"][1]["began_at"].as_str().map(time).transpose()?;
    let began = time(&diff.started_at)?;
    for writer in known.writers(name) {
        let Some(ended) = &writer.ended_at else {
            return not(format!("{} has not ended", writer.run_id));
        };
        let ended = time(ended)?;
        if began <= ended {
            return not(format!(
                "its newest diff ({}) is older than the newest writing ({})",
                diff.run_id, writer.run_id
            ));
        }
        if target_from.is_none_or(|from| from <= ended) {
            return not(format!(
                "its newest diff ({}) compared a target that was staged before the newest writing ({})",
                diff.run_id, writer.run_id
            ));
        }
    }
    // A command that is wrong or failed has no totals, so there are no others.
    match diff.exit_code {
        Some(0) => Ok(Standing::Verified),
        Some(1) => {
            let found = ["mismatched", "missing", "extra", "duplicate_source", "duplicate_target"];
            let found: u64 = found.iter().map(|word| facts[*word].as_u64().unwrap_or(1)).sum();
            Ok(if found + of_diff::orphans(facts) > 0 { Standing::Different } else { Standing::Verified })
        }
        _ => not(format!("its newest diff ({}) could not compare everything", diff.run_id)),
    }
}

fn time(text: &str) -> Result<Timestamp> {
    text.parse().or_failed(|| "the ledger's time of a run is damaged".to_owned())
}

fn document(
    global: &Global,
    ledger: &Ledger,
    known: &Known,
    entities: &[Entity],
    code: u8,
) -> Result<Document> {
    let (about, command) = (about(global), global.command());
    let mut sections = Vec::new();
    let reasons: Vec<String> = entities
        .iter()
        .filter_map(|e| match &e.standing {
            Standing::NotVerified(reason) => Some(format!("{}: {reason}", e.name)),
            _ => None,
        })
        .collect();
    if !reasons.is_empty() {
        sections.push(Section::Notice { title: "Not verified".to_owned(), items: reasons });
    }
    sections.push(verified(entities));
    let is_shown = |name: &String| entities.iter().any(|e| e.name == *name);
    sections.push(moved(known, &is_shown));
    sections.extend(taken_back(known, &is_shown));
    sections.push(open(ledger, known, entities)?);
    let spec = about.spec.as_ref().map(|spec| spec.digest.clone());
    sections.push(Section::Facts {
        title: "By what".to_owned(),
        facts: vec![
            ("recon".to_owned(), Some(env!("CARGO_PKG_VERSION").to_owned())),
            ("Ledger".to_owned(), Some(ledger.home().display().to_string())),
            (
                "Digest of the spec now".to_owned(),
                Some(spec.clone().unwrap_or_else(|| "there is no spec".to_owned())),
            ),
            ("Written".to_owned(), Some(now())),
        ],
    });
    sections.push(Section::Code {
        title: "To see it again".to_owned(),
        note: None,
        text: format!(
            "{command} runs -n {}\n{command} stage\n{command} diff\n{command} report --sign-off",
            known.runs.len()
        ),
    });
    sections.push(of_diff::spec(spec.as_deref(), &about));
    let roles = ["Migration", "Verification", "Owner of the data"].map(str::to_owned).to_vec();
    sections.push(Section::Signatures { roles });
    let names: Vec<&str> = entities.iter().map(|e| e.name.as_str()).collect();
    let (title, subtitle) = ("Migration summary".to_owned(), names.join(", "));
    Ok(Document { title, subtitle, verdict: verdict(code), sections, footer: footer() })
}

fn verdict(code: u8) -> Verdict {
    let (tone, word, meaning) = match code {
        0 => (
            Tone::Good,
            "VERIFIED",
            "Each entity's newest diff came after everything that recon wrote, compared all records, and found them equal. What others \
             wrote to the stores since then is not known here.",
        ),
        1 => (
            Tone::Bad,
            "DIFFERENT",
            "Each entity's newest diff came after everything that recon wrote and compared all records. Not all of them are equal.",
        ),
        _ => (
            Tone::Warn,
            "NOT VERIFIED",
            "Of at least one entity it is not known whether source and target hold the same. The reasons come first.",
        ),
    };
    Verdict { tone, word: word.to_owned(), meaning: meaning.to_owned() }
}

fn verified(entities: &[Entity]) -> Section {
    let mut columns = vec![Column::values("Entity"), Column::words("Standing"), Column::words("Newest diff")];
    let counted = ["source_rows", "target_rows", "matched", "mismatched", "missing", "extra"];
    let names = ["Source", "Target", "Matched", "Mismatched", "Missing", "Extra", "Duplicate", "Unchecked"];
    columns.extend(names.map(Column::counts));
    columns.extend([Column::words("Stagings"), Column::values("Spec")]);
    let rows = entities.iter().map(|e| {
        let count = |word: &str| e.facts[word].as_u64();
        let both = |words: [&str; 2]| Some(count(words[0])? + count(words[1])?);
        let counts = counted
            .map(count)
            .into_iter()
            .chain([both(["duplicate_source", "duplicate_target"]), both(["unchecked", "unchecked_target"])]);
        let staging = |side: usize| e.facts["datasets"][side]["generation"].as_i64().map(|n| n.to_string());
        let stagings = staging(0).zip(staging(1)).map(|(source, target)| format!("{source}, {target}"));
        let mut row = vec![
            Some(e.name.clone()),
            Some(e.standing.word().to_owned()),
            Some(e.diff.as_ref().map_or_else(|| "none".to_owned(), |d| d.run_id.clone())),
        ];
        row.extend(counts.map(|n| Some(n.map_or_else(|| "?".to_owned(), |n| n.to_string()))));
        row.push(Some(stagings.unwrap_or_else(|| "?".to_owned())));
        row.push(Some(e.diff.as_ref().map_or_else(|| "?".to_owned(), |d| d.spec_digest.clone())));
        row
    });
    let note = Some("A staging has the number of its generation: of the source, of the target.".to_owned());
    Section::Table { title: "Verified".to_owned(), note, columns, rows: rows.collect() }
}

fn moved(known: &Known, is_shown: &dyn Fn(&String) -> bool) -> Section {
    let rows: Vec<Vec<Option<String>>> = known
        .migrations
        .iter()
        .filter(|m| is_shown(&m.entity))
        .map(|m| {
            let (c, run) = (m.counts, known.run(&m.run_id));
            let back = crate::rollback::plan::rolled_back_by(&known.rollbacks, &m.run_id, &m.entity);
            let state = match back {
                Some(run) => format!("{}, rolled back by {run}", m.state),
                None if m.is_without_images() => format!("{}, without old images", m.state),
                None => m.state.clone(),
            };
            let words = [m.entity.clone(), m.run_id.clone(), lasted(run)];
            let counts = [m.records, c.inserted, c.updated, c.unchanged, c.failed].map(|n| n.to_string());
            let rest = [state, m.target.clone(), m.generation.to_string(), m.spec_digest.clone()];
            words.into_iter().chain(counts).chain(rest).map(Some).collect()
        })
        .collect();
    let mut columns = vec![Column::values("Entity"), Column::words("Run"), Column::words("Took")];
    columns.extend(["Records", "Inserted", "Updated", "There already", "Failed"].map(Column::counts));
    columns.extend([
        Column::words("State"),
        Column::values("Target"),
        Column::words("Staging"),
        Column::values("Spec"),
    ]);
    let note = rows.is_empty().then(|| {
        "No run of recon has written anything: what is in the target was moved by others.".to_owned()
    });
    Section::Table { title: "Moved".to_owned(), note, columns, rows }
}

fn taken_back(known: &Known, is_shown: &dyn Fn(&String) -> bool) -> Option<Section> {
    let rows = known.rollbacks.iter().filter(|r| is_shown(&r.entity)).map(|r| {
        let c = r.counts;
        let words = [r.entity.clone(), r.run_id.clone(), lasted(known.run(&r.run_id)), r.undo_of.join(", ")];
        let counts =
            [r.changes, c.restored + c.removed + c.inserted, c.conflicts, c.failed].map(|n| n.to_string());
        words.into_iter().chain(counts).chain([r.state.clone()]).map(Some).collect()
    });
    let rows: Vec<Vec<Option<String>>> = rows.collect();
    let mut columns = vec![Column::values("Entity")];
    columns.extend(["Run", "Took", "Takes back"].map(Column::words));
    columns.extend(["Changes", "Back", "Conflicts", "Failed"].map(Column::counts));
    columns.push(Column::words("State"));
    (!rows.is_empty()).then(|| Section::Table { title: "Rolled back".to_owned(), note: None, columns, rows })
}

/// What is left to be done by what recon wrote itself.
fn open(ledger: &Ledger, known: &Known, entities: &[Entity]) -> Result<Section> {
    let mut rows = Vec::new();
    for e in entities {
        let Some(newest) = known.migrations.iter().rfind(|m| m.entity == e.name) else { continue };
        let pending = newest.left_over + newest.records.saturating_sub(newest.counts.records);
        let failed = ledger.open_exceptions(&e.name, &newest.target)?;
        let conflicts: u64 =
            known.rollbacks.iter().filter(|r| r.entity == e.name).map(|r| r.counts.conflicts).sum();
        let pending = if newest.state == "planning" { "?".to_owned() } else { pending.to_string() };
        rows.push(vec![
            Some(e.name.clone()),
            Some(failed.to_string()),
            Some(pending),
            Some(conflicts.to_string()),
        ]);
    }
    let mut columns = vec![Column::values("Entity")];
    columns.extend(
        ["Failed, not tried since", "Left by the newest run", "Conflicts of rollbacks"].map(Column::counts),
    );
    let note = rows.is_empty().then(|| "Nothing was written by recon, so nothing of it is open.".to_owned());
    Ok(Section::Table { title: "Open".to_owned(), note, columns, rows })
}

/// How long a run took, in words; one that was interrupted also rested in between.
fn lasted(run: Option<&RunRow>) -> String {
    let seconds = |run: &RunRow| {
        let ended = time(run.ended_at.as_deref()?).ok()?;
        Some(ended.duration_since(time(&run.started_at).ok()?).as_secs_f64())
    };
    match run.map(seconds) {
        Some(Some(seconds)) if seconds < 1000.0 => format!("{seconds:.1} s"),
        Some(Some(seconds)) => format!("{} s", thousands(seconds as u64)),
        _ => "not ended".to_owned(),
    }
}
