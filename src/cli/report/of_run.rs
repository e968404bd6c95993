//! What is known of a run that is no diff, or of a diff that did not come to its end: from the ledger, and from its `failures.csv`.

use std::path::Path;

use jiff::Timestamp;
use serde_json::{Map, Value as Json, json};

use crate::error::Result;
use crate::ledger::{Ledger, RunRow};
use crate::reconcile::report::document::{Document, Section, Tile, Tone, Verdict, footer};
use crate::reconcile::report::gather::{Failures, failures};
use crate::reconcile::report::junit::{Case, Outcome, Suite, whole};
use crate::reconcile::report::of_diff::{self, About, meaning};

/// Steps of time that a pace is shown in.
const STEPS: usize = 60;

/// A run and what it did.
pub(super) struct Other {
    run: RunRow,
    parts: Vec<Part>,
    failures: Vec<Failures>,
    /// When so many records were written, in the order of time.
    written: Vec<(Timestamp, u64)>,
}

/// What became of an entity, or of a dataset that was staged.
struct Part {
    name: String,
    tiles: Vec<Tile>,
    /// Records that did not go through.
    failed: u64,
    /// Names and facts besides.
    facts: Vec<(String, String)>,
}

impl Other {
    pub(super) fn read(ledger: &Ledger, run: &RunRow, folder: &Path) -> Result<Self> {
        let mut parts = staged(ledger, run)?;
        let mut written = Vec::new();
        for m in ledger.migrations_of(&run.run_id)? {
            let c = m.counts;
            let batches = ledger.batches(&run.run_id, &m.entity)?;
            written.extend(batches.into_iter().filter_map(|b| Some((b.at?.parse().ok()?, b.records))));
            parts.push(Part {
                tiles: vec![
                    tile("Planned", m.records, Tone::Plain),
                    tile("Inserted", c.inserted, Tone::Good),
                    tile("Updated", c.updated, Tone::Good),
                    tile("There already", c.unchanged, Tone::Good),
                    tile("Failed", c.failed, Tone::Bad),
                    tile("Not written yet", m.records.saturating_sub(c.records), Tone::Warn),
                    tile("Left for another run", m.left_over, Tone::Plain),
                ],
                failed: c.failed,
                facts: vec![
                    ("target".to_owned(), m.target.clone()),
                    ("staging of the source".to_owned(), m.generation.to_string()),
                    ("batches".to_owned(), format!("{} of {}", c.applied, m.batches)),
                    ("state".to_owned(), m.state.clone()),
                    (
                        "old images".to_owned(),
                        if m.is_without_images() { "none (--no-undo)" } else { "kept" }.to_owned(),
                    ),
                ],
                name: m.entity,
            });
        }
        for r in ledger.rollbacks()?.into_iter().filter(|r| r.run_id == run.run_id) {
            let c = r.counts;
            parts.push(Part {
                tiles: vec![
                    tile("Changes", r.changes, Tone::Plain),
                    tile("Old image back", c.restored, Tone::Good),
                    tile("Removed", c.removed, Tone::Good),
                    tile("Made again", c.inserted, Tone::Good),
                    tile("As before", c.noop, Tone::Good),
                    tile("Conflicts", c.conflicts, Tone::Warn),
                    tile("Failed", c.failed, Tone::Bad),
                    tile("Not handled yet", r.changes.saturating_sub(c.handled), Tone::Warn),
                ],
                failed: c.failed + c.conflicts,
                facts: vec![
                    ("target".to_owned(), r.target.clone()),
                    ("takes back".to_owned(), r.undo_of.join(", ")),
                    ("state".to_owned(), r.state.clone()),
                ],
                name: r.entity,
            });
        }
        let batches = ledger.undo_batches(&run.run_id)?;
        written.extend(batches.into_iter().filter_map(|b| Some((b.at?.parse().ok()?, b.changes))));
        written.sort();
        Ok(Self { run: run.clone(), parts, failures: failures(folder)?, written })
    }

    pub(super) fn page(&self, about: &About) -> Document {
        let mut sections = Vec::new();
        for part in &self.parts {
            sections.push(Section::Tiles { title: part.name.clone(), note: None, tiles: part.tiles.clone() });
        }
        sections.extend(self.pace());
        sections.extend(of_diff::failures(&self.failures));
        sections.push(Section::Facts { title: "The run".to_owned(), facts: self.facts() });
        sections.push(of_diff::spec(Some(&self.run.spec_digest), about));
        Document {
            title: format!("recon {}", self.run.command),
            subtitle: self.run.run_id.clone(),
            verdict: self.verdict(),
            sections,
            footer: footer(),
        }
    }

    fn verdict(&self) -> Verdict {
        let (tone, word) = match (self.run.state.as_str(), self.run.exit_code) {
            ("running", _) => (Tone::Plain, "Under way"),
            (_, Some(0)) => (Tone::Good, "Done"),
            (_, Some(1)) => (Tone::Bad, "Not all went through"),
            ("interrupted", _) | (_, Some(3)) => (Tone::Warn, "Incomplete"),
            _ => (Tone::Bad, "Failed"),
        };
        let meaning = match (&self.run.message, self.run.exit_code) {
            (Some(message), _) => message.clone(),
            (None, Some(code)) => format!("Exit code {code}: {}.", meaning(code)),
            (None, None) => "It has not ended yet; this is how far it was when this was written.".to_owned(),
        };
        Verdict { tone, word: word.to_owned(), meaning }
    }

    fn facts(&self) -> Vec<(String, Option<String>)> {
        let run = &self.run;
        let code = run.exit_code.map(|code| format!("{code}: {}", meaning(code)));
        let mut facts = vec![
            ("Run".to_owned(), Some(run.run_id.clone())),
            ("State".to_owned(), Some(run.state.clone())),
            ("Begun".to_owned(), Some(run.started_at.clone())),
            ("Ended".to_owned(), Some(run.ended_at.clone().unwrap_or_else(|| "not yet".to_owned()))),
            ("Exit code".to_owned(), Some(code.unwrap_or_else(|| "none yet".to_owned()))),
            ("Digest of the spec".to_owned(), Some(run.spec_digest.clone())),
        ];
        for part in &self.parts {
            facts.extend(
                part.facts.iter().map(|(name, text)| (format!("{}: {name}", part.name), Some(text.clone()))),
            );
        }
        facts
    }

    /// Records a second over the time from the first batch to the last one.
    fn pace(&self) -> Option<Section> {
        let seconds = |at: &Timestamp| at.duration_since(self.written[0].0).as_secs_f64();
        let whole = self.written.last().map(|(at, _)| seconds(at)).filter(|whole| *whole > 0.0)?;
        let step = whole / STEPS as f64;
        let mut sums = [0_u64; STEPS];
        // The first batch was under way before the time begins that is known.
        for (at, records) in &self.written[1..] {
            sums[((seconds(at) / step) as usize).min(STEPS - 1)] += records;
        }
        let points = sums.iter().zip(1..).map(|(sum, i)| (f64::from(i) * step, (*sum as f64 / step) as u64));
        let rows: u64 = self.written.iter().map(|(_, records)| records).sum();
        let note = format!("{rows} records in {} batches, by when each batch was done.", self.written.len());
        Some(Section::Pace {
            title: "Records a second".to_owned(),
            note: Some(note),
            points: points.collect(),
        })
    }

    pub(super) fn json(&self) -> Json {
        let parts: Map<String, Json> = self
            .parts
            .iter()
            .map(|part| {
                let counts: Map<String, Json> = part
                    .tiles
                    .iter()
                    .map(|t| (t.label.to_lowercase().replace(' ', "_"), json!(t.count)))
                    .collect();
                (part.name.clone(), Json::Object(counts))
            })
            .collect();
        let run = &self.run;
        json!({
            "schema_version": 1, "run_id": run.run_id, "command": run.command, "state": run.state, "started_at": run.started_at,
            "ended_at": run.ended_at, "exit_code": run.exit_code, "message": run.message, "spec_digest": run.spec_digest,
            "parts": parts,
        })
    }

    pub(super) fn suites(&self) -> Vec<Suite> {
        let outcome = |part: &Part| match part.failed {
            0 => Outcome::Passed,
            n => Outcome::Failed(
                format!("records that did not go through: {n}, in failures.csv"),
                String::new(),
            ),
        };
        let suite = |part: &Part| Suite {
            name: part.name.clone(),
            cases: vec![Case { name: "(failed)".to_owned(), outcome: outcome(part) }],
        };
        let end = Suite {
            name: format!("recon {}", self.run.command),
            cases: vec![match self.run.exit_code {
                Some(code) => whole(code),
                None => Case {
                    name: "complete".to_owned(),
                    outcome: Outcome::Error("it has not ended yet".to_owned()),
                },
            }],
        };
        self.parts.iter().map(suite).chain([end]).collect()
    }
}

/// The stagings that a run began and that are still there.
fn staged(ledger: &Ledger, run: &RunRow) -> Result<Vec<Part>> {
    let stagings = ledger.generations_of(&run.run_id)?;
    let part = |s: crate::ledger::StagedBy| Part {
        tiles: vec![
            tile("Units", s.units, Tone::Plain),
            tile("Rows", s.rows, Tone::Good),
            tile("Did not parse", s.failures, Tone::Bad),
        ],
        failed: s.failures,
        facts: vec![("staging".to_owned(), s.generation.to_string()), ("state".to_owned(), s.state)],
        name: s.dataset,
    };
    Ok(stagings.into_iter().map(part).collect())
}

fn tile(label: &str, count: u64, tone: Tone) -> Tile {
    Tile { label: label.to_owned(), count, tone, note: None }
}
