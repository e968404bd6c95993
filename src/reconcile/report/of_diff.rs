//! What a diff says, as a report: made from its `summary.json` and its tables alone, so that it can be made again at any time.

use serde_json::Value as Json;

use super::document::{Column, Document, Field, Section, Tile, Tone, Verdict, footer};
use super::gather::{BARS_MAX, Change, Failures, Gathered};
use super::terminal::thousands;

/// What a report says beside what the run's files have.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// How the user calls recon.
    pub command: String,
    /// The spec as it may be shown.
    pub spec: Option<SpecText>,
}

/// A spec as it may be shown: with `${NAME}` as it stands there, and without passwords.
#[derive(Clone, Debug)]
pub struct SpecText {
    /// Digest of the file.
    pub digest: String,
    /// Its text.
    pub text: String,
}

/// What an exit code means.
pub fn meaning(code: i64) -> &'static str {
    match code {
        0 => "done, and nothing was found",
        1 => "differences were found, or records did not go through",
        2 => "the command line or the spec is wrong",
        3 => "incomplete: it was interrupted, or not everything could be compared",
        _ => "it could not be done",
    }
}

/// The page of a diff.
pub fn page(summary: &Json, gathered: &Gathered, about: &About) -> Document {
    let entities = entities(summary);
    let mut sections = Vec::new();
    sections.extend(not_compared(summary));
    if entities.len() > 1 && !is_of_references(summary) {
        let sum = |word: &str| entities.iter().map(|(_, entity)| count(entity, word)).sum();
        sections.push(Section::Tiles { title: "All entities".to_owned(), note: None, tiles: tiles(&sum) });
    }
    for (name, entity) in entities.iter().filter(|_| !is_of_references(summary)) {
        let tiles = tiles(&|word| count(entity, word));
        sections.push(Section::Tiles { title: (*name).clone(), note: entity_note(entity), tiles });
        let fields = fields(entity);
        if !fields.is_empty() {
            sections.push(Section::Fields { title: format!("{name}: fields"), fields });
        }
    }
    sections.extend(references(&entities));
    sections.extend(concentrations(gathered));
    sections.extend(left_out(&entities));
    sections.extend(failures(&gathered.failures));
    if gathered.rows.iter().any(|rows| *rows > 0) {
        let notes = altered(summary).into_iter().collect();
        sections.push(Section::Records { title: "Records that are not matched".to_owned(), notes });
    }
    sections.push(Section::Facts { title: "The run".to_owned(), facts: facts(summary) });
    sections.push(reproduce(about));
    sections.push(spec(summary["spec_digest"].as_str(), about));
    let subtitle = text(summary, "run_id");
    Document {
        title: "recon diff".to_owned(),
        subtitle,
        verdict: verdict(summary),
        sections,
        footer: footer(),
    }
}

/// A diff for a pull request: the verdict, a table of the entities, the fields that differ most, and how to see it again.
pub fn brief(summary: &Json, gathered: &Gathered, about: &About) -> Document {
    let entities = entities(summary);
    let words = ["source_rows", "target_rows", "matched", "mismatched", "missing", "extra"];
    let mut columns = vec![Column::values("Entity")];
    let names = ["Source", "Target", "Matched", "Mismatched", "Missing", "Extra", "Duplicate", "Unchecked"];
    columns.extend(names.map(Column::counts));
    let rows = entities.iter().map(|(name, entity)| {
        let mut row = vec![(*name).clone()];
        row.extend(words.map(|word| count(entity, word).to_string()));
        row.push((count(entity, "duplicate_source") + count(entity, "duplicate_target")).to_string());
        row.push((count(entity, "unchecked") + count(entity, "unchecked_target")).to_string());
        row.into_iter().map(Some).collect()
    });
    let rows = rows.collect();
    let mut sections: Vec<Section> = not_compared(summary).into_iter().collect();
    if !is_of_references(summary) {
        sections.push(Section::Table { title: "Entities".to_owned(), note: None, columns, rows });
    }
    sections.extend(references(&entities));
    sections.extend(top_fields(&entities, gathered));
    sections.extend(failures(&gathered.failures));
    sections.push(reproduce(about));
    Document {
        title: "recon diff".to_owned(),
        subtitle: text(summary, "run_id"),
        verdict: verdict(summary),
        sections,
        footer: footer(),
    }
}

/// Whether only references were looked at, and no record was compared.
pub(super) fn is_of_references(summary: &Json) -> bool {
    summary["references_only"] == true
}

/// Records of an entity that refer to what is not there.
pub fn orphans(entity: &Json) -> u64 {
    let all = entity["references"].as_object().into_iter().flatten();
    all.map(|(_, facts)| orphans_of(facts).iter().sum::<u64>()).sum()
}

/// Of a reference: in the source, in the target, left behind.
pub(super) fn orphans_of(facts: &Json) -> [u64; 3] {
    ["source_orphans", "target_orphans", "left_behind"].map(|word| count(facts, word))
}

/// References, and the records that refer to what is not there.
fn references(entities: &[(&String, &Json)]) -> Option<Section> {
    let of = |name: &str, (reference, facts): (&String, &Json)| {
        let mut row = vec![name.to_owned(), reference.clone(), text(facts, "entity")];
        row.extend(orphans_of(facts).map(|n| n.to_string()));
        row.into_iter().map(Some).collect::<Vec<_>>()
    };
    let rows: Vec<_> = entities
        .iter()
        .flat_map(|(name, entity)| {
            entity["references"].as_object().into_iter().flatten().map(|reference| of(name, reference))
        })
        .collect();
    let names = ["Entity", "Reference", "Refers to"].map(Column::values);
    let counts = ["Orphans in the source", "Orphans in the target", "Left behind"].map(Column::counts);
    (!rows.is_empty()).then(|| Section::Table {
        title: "References".to_owned(),
        note: Some("Records that refer to what is not there are in orphans.csv.".to_owned()),
        columns: names.into_iter().chain(counts).collect(),
        rows,
    })
}

/// Fields that a pull request shows.
const TOP_FIELDS: usize = 10;

fn top_fields(entities: &[(&String, &Json)], gathered: &Gathered) -> Option<Section> {
    let mut all: Vec<(&String, Field)> =
        entities.iter().flat_map(|(name, entity)| fields(entity).into_iter().map(|f| (*name, f))).collect();
    all.retain(|(_, field)| field.unequal > 0);
    all.sort_by_key(|(_, field)| std::cmp::Reverse(field.unequal));
    let more = all.len().saturating_sub(TOP_FIELDS);
    let rows: Vec<Vec<Option<String>>> = all
        .into_iter()
        .take(TOP_FIELDS)
        .map(|(name, field)| {
            let first = gathered.first.get(&(name.clone(), field.name.clone())).and_then(|all| all.first());
            let (source, target) = first.map(|d| (d.source.clone(), d.target.clone())).unwrap_or_default();
            let counts = [field.unequal, field.compared].map(|n| Some(n.to_string()));
            let [unequal, compared] = counts;
            vec![Some(name.clone()), Some(field.name), unequal, compared, source, target]
        })
        .collect();
    let columns = vec![
        Column::values("Entity"),
        Column::values("Field"),
        Column::counts("Unequal"),
        Column::counts("Compared"),
        Column::values("First: source"),
        Column::values("First: target"),
    ];
    let note = (more > 0).then(|| format!("{} more fields differ.", thousands(more as u64)));
    (!rows.is_empty()).then(|| Section::Table {
        title: "Fields that differ most".to_owned(),
        note,
        columns,
        rows,
    })
}

/// The entities of a summary, in its order.
pub(super) fn entities(summary: &Json) -> Vec<(&String, &Json)> {
    summary["entities"].as_object().into_iter().flatten().collect()
}

/// A count of a summary.
pub(super) fn count(facts: &Json, word: &str) -> u64 {
    facts[word].as_u64().unwrap_or(0)
}

fn text(facts: &Json, word: &str) -> String {
    facts[word].as_str().unwrap_or_default().to_owned()
}

/// The verdict of a diff by its exit code.
pub(super) fn verdict(summary: &Json) -> Verdict {
    let sum = |words: &[&str]| -> u64 {
        entities(summary).iter().flat_map(|(_, entity)| words.iter().map(|word| count(entity, word))).sum()
    };
    let matched = thousands(sum(&["matched"]));
    let orphans: u64 = entities(summary).iter().map(|(_, entity)| orphans(entity)).sum();
    let lost = format!("Records that refer to what is not there: {}.", thousands(orphans));
    let (tone, word, meaning) = match summary["exit_code"].as_u64() {
        Some(code @ (0 | 1)) if is_of_references(summary) => {
            let (tone, word) =
                if code == 0 { (Tone::Good, "Nothing is lost") } else { (Tone::Bad, "Orphans") };
            (tone, word, format!("References alone were looked at; no record was compared. {lost}"))
        }
        Some(0) => {
            (Tone::Good, "Equal", format!("Everything was compared. Records that are matched: {matched}."))
        }
        Some(1) => (
            Tone::Bad,
            "Different",
            format!(
                "Everything was compared. Records that are matched: {matched}, mismatched: {}, missing: {}, extra: {}; rows whose key is there more than once: {}.{}",
                thousands(sum(&["mismatched"])),
                thousands(sum(&["missing"])),
                thousands(sum(&["extra"])),
                thousands(sum(&["duplicate_source", "duplicate_target"])),
                if orphans > 0 { format!(" {lost}") } else { String::new() }
            ),
        ),
        _ => (
            Tone::Warn,
            "Incomplete",
            format!(
                "Not everything could be compared, so nothing is known of the rest. Records that are matched: {matched}."
            ),
        ),
    };
    Verdict { tone, word: word.to_owned(), meaning }
}

/// What could not be compared, and what else stands against the result.
fn not_compared(summary: &Json) -> Option<Section> {
    let mut items = Vec::new();
    for (name, entity) in entities(summary) {
        for (field, facts) in entity["fields"].as_object().into_iter().flatten() {
            if facts["status"] == "not_compared" {
                items.push(format!("{name}.{field}: not compared: {}", text(facts, "reason")));
            }
        }
        for (reference, facts) in entity["references"].as_object().into_iter().flatten() {
            if facts["checked"] == false {
                items.push(format!("{name}.{reference}: references not checked: {}", text(facts, "reason")));
            }
        }
        let (source, target) = (count(entity, "unchecked"), count(entity, "unchecked_target"));
        if source + target > 0 {
            items.push(format!(
                "{name}: unchecked, since they or their counterparts did not parse or cast: {} of the source's rows, {} of the target's; failures.csv",
                thousands(source),
                thousands(target)
            ));
        }
        let warnings = &entity["warnings"];
        let unassigned = count(warnings, "unassigned_failures");
        if unassigned > 0 {
            let rows = thousands(unassigned);
            items.push(format!("{name}: rows of its datasets that did not parse and may be its own: {rows}"));
        }
        let gone: u64 =
            entity["rechecks"].as_array().into_iter().flatten().map(|round| count(round, "gone")).sum();
        if gone > 0 {
            items.push(format!(
                "{name}: records that were on neither side when they were read again: {}; stage again to be sure",
                thousands(gone)
            ));
        }
        if count(entity, "source_rows") + count(entity, "target_rows") == 0 && !is_of_references(summary) {
            items.push(format!("{name}: neither side has a record"));
        }
        for word in ["stage", "spec"] {
            let remarks = warnings[word].as_array().into_iter().flatten().filter_map(Json::as_str);
            items.extend(remarks.map(|remark| format!("{name}: {remark}")));
        }
    }
    if items.is_empty() && summary["exit_code"] == 3 {
        items.push("Something could not be compared: failures.csv has what did not parse or cast".to_owned());
    }
    let is_incomplete = summary["exit_code"] == 3;
    let title = if is_incomplete { "Not everything was compared" } else { "To be looked at" };
    (!items.is_empty()).then(|| Section::Notice { title: title.to_owned(), items })
}

fn tiles(count: &dyn Fn(&str) -> u64) -> Vec<Tile> {
    let tile =
        |label: &str, count: u64, tone: Tone| Tile { label: label.to_owned(), count, tone, note: None };
    let both = |label: &str, words: [&str; 2], tone: Tone| {
        let [source, target] = words.map(count);
        let note = (source + target > 0)
            .then(|| format!("{} source, {} target", thousands(source), thousands(target)));
        Tile { note, ..tile(label, source + target, tone) }
    };
    vec![
        tile("Source rows", count("source_rows"), Tone::Plain),
        tile("Target rows", count("target_rows"), Tone::Plain),
        tile("Matched", count("matched"), Tone::Good),
        tile("Mismatched", count("mismatched"), Tone::Bad),
        tile("Missing", count("missing"), Tone::Bad),
        tile("Extra", count("extra"), Tone::Bad),
        both("Duplicates", ["duplicate_source", "duplicate_target"], Tone::Bad),
        both("Unchecked", ["unchecked", "unchecked_target"], Tone::Warn),
    ]
}

/// How an entity was read and looked at again.
fn entity_note(entity: &Json) -> Option<String> {
    let mut words = Vec::new();
    if let Some(rows) = entity["folded_rows"].as_u64() {
        words.push(format!("The source's records are folded from {} rows.", thousands(rows)));
    }
    if entity["proven"].is_object() {
        let proven = &entity["proven"];
        words.push(format!(
            "{} of the matched rows were proven equal in the stores and not staged: {} of {} ranges of keys have {}.",
            thousands(count(proven, "rows")),
            thousands(count(proven, "ranges")),
            thousands(count(proven, "of_ranges")),
            text(proven, "how")
        ));
    }
    for (round, n) in entity["rechecks"].as_array().into_iter().flatten().zip(1..) {
        let [records, equal] = ["records", "equal"].map(|word| thousands(count(round, word)));
        words.push(format!("Recheck {n}: of {records} records that differed, {equal} are equal now."));
    }
    (!words.is_empty()).then(|| words.join(" "))
}

fn fields(entity: &Json) -> Vec<Field> {
    let field = |(name, facts): (&String, &Json)| {
        let shared = facts["concentration"].is_object().then(|| {
            let common = &facts["concentration"];
            let share = common["share"].as_f64().unwrap_or(0.0) * 100.0;
            format!("{share:.0} % of the unequal have {} = {}", text(common, "field"), text(common, "value"))
        });
        let notes: Vec<String> =
            facts["reason"].as_str().map(str::to_owned).into_iter().chain(shared).collect();
        Field {
            name: name.clone(),
            rule: text(facts, "rule"),
            status: text(facts, "status"),
            compared: count(facts, "compared"),
            unequal: count(facts, "unequal"),
            equal_by_rule: count(facts, "equal_by_rule"),
            null_mismatch: count(facts, "null_mismatch"),
            max_delta: match &facts["max_delta"] {
                Json::Null => None,
                Json::String(delta) => Some(delta.clone()),
                delta => Some(delta.to_string()),
            },
            note: (!notes.is_empty()).then(|| notes.join("; ")),
        }
    };
    entity["fields"].as_object().into_iter().flatten().map(field).collect()
}

/// Where the findings are: by the keys, and by the differences that come again.
fn concentrations(gathered: &Gathered) -> Vec<Section> {
    let bars = gathered.places.iter().map(|place| Section::Bars {
        title: format!("{}: where the records are that are not matched", place.entity),
        note: place.is_cut.then(|| format!("The {BARS_MAX} places with the most of them.")),
        label: gathered.keys.get(place.part).cloned().unwrap_or_default(),
        bars: place.ranges.clone(),
    });
    let mut sections: Vec<Section> = bars.collect();
    let rows: Vec<Vec<Option<String>>> = gathered
        .changes
        .iter()
        .flat_map(|((entity, field), changes)| {
            changes.iter().map(move |(change, times)| {
                let (source, target) = match change {
                    Change::By(delta) => (Some("any".to_owned()), Some(format!("by {delta}"))),
                    Change::FromTo(source, target) => (source.clone(), target.clone()),
                };
                vec![Some(entity.clone()), Some(field.clone()), source, target, Some(times.to_string())]
            })
        })
        .collect();
    if !rows.is_empty() {
        let note = gathered.changes_cut.then(|| {
            "There are more different differences than are counted here; those that came later are left out.".to_owned()
        });
        let names = ["Entity", "Field", "Source", "Target"].map(Column::values);
        let columns = names.into_iter().chain([Column::counts("Times")]).collect();
        sections.push(Section::Table {
            title: "Differences that come again".to_owned(),
            note,
            columns,
            rows,
        });
    }
    sections
}

/// What the spec leaves out.
fn left_out(entities: &[(&String, &Json)]) -> Option<Section> {
    let mut facts = Vec::new();
    for (name, entity) in entities {
        let columns = entity["unmapped"].as_array().into_iter().flatten().filter_map(Json::as_str);
        let columns: Vec<&str> = columns.collect();
        if !columns.is_empty() {
            facts.push((format!("{name}: columns that no field uses"), Some(columns.join(", "))));
        }
        for (word, n) in entity["warnings"].as_object().into_iter().flatten() {
            if let Some(n) = n.as_u64().filter(|_| word != "unassigned_failures") {
                facts.push((format!("{name}: {}", word.replace('_', " ")), Some(thousands(n))));
            }
        }
    }
    (!facts.is_empty()).then(|| Section::Facts { title: "Left out, and remarks".to_owned(), facts })
}

/// Failures by class and code.
pub fn failures(failures: &[Failures]) -> Option<Section> {
    let names = ["Entity", "Where", "Class", "Code"].map(Column::words);
    let columns = names.into_iter().chain([Column::counts("Records"), Column::values("The first")]).collect();
    let rows: Vec<Vec<Option<String>>> = failures
        .iter()
        .map(|f| {
            let entity = f.entity.clone().unwrap_or_else(|| "(none)".to_owned());
            let words = [
                entity,
                f.stage.clone(),
                f.class.clone(),
                f.code.clone(),
                f.records.to_string(),
                f.first.clone(),
            ];
            words.into_iter().map(Some).collect()
        })
        .collect();
    (!rows.is_empty()).then(|| Section::Table {
        title: "Failures by class and code".to_owned(),
        note: Some("Each of them is in failures.csv.".to_owned()),
        columns,
        rows,
    })
}

fn altered(summary: &Json) -> Option<String> {
    let redacted: Vec<&str> =
        summary["altered"]["redacted"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    let safe = summary["altered"]["spreadsheet_safe"] == true;
    let words = match (redacted.is_empty(), safe) {
        (true, false) => return None,
        (true, true) => "Values that a spreadsheet would run have a ' before them.".to_owned(),
        (false, _) => format!("Of these fields only a keyed digest is shown: {}.", redacted.join(", ")),
    };
    Some(words)
}

fn facts(summary: &Json) -> Vec<(String, Option<String>)> {
    let code = summary["exit_code"].as_i64().unwrap_or(4);
    let mut facts = vec![
        ("Run".to_owned(), Some(text(summary, "run_id"))),
        ("Begun".to_owned(), Some(text(summary, "started_at"))),
        ("Ended".to_owned(), Some(text(summary, "ended_at"))),
        ("Exit code".to_owned(), Some(format!("{code}: {}", meaning(code)))),
        ("recon".to_owned(), Some(text(summary, "recon_version"))),
        ("Digest of the spec".to_owned(), Some(text(summary, "spec_digest"))),
        ("How equality is found".to_owned(), Some(text(summary, "equality"))),
    ];
    for (name, entity) in entities(summary) {
        for (side, dataset) in
            ["source", "target"].iter().zip(entity["datasets"].as_array().into_iter().flatten())
        {
            facts.push((
                format!("{name}: {side}"),
                Some(format!(
                    "{}, staging {}, of {}",
                    text(dataset, "dataset"),
                    dataset["generation"],
                    text(dataset, "staged_at")
                )),
            ));
        }
    }
    facts
}

fn reproduce(about: &About) -> Section {
    let text = format!("{0} stage\n{0} diff", about.command);
    Section::Code { title: "To see it again".to_owned(), note: None, text }
}

/// The spec, where it is still the one that the run had.
pub fn spec(digest: Option<&str>, about: &About) -> Section {
    let (note, text) = match &about.spec {
        Some(spec) if Some(spec.digest.as_str()) == digest => (
            "As it stands in the file: a ${NAME} is taken from the environment and is not shown, nor are passwords.",
            spec.text.clone(),
        ),
        Some(_) => ("The spec was changed since; the run's own can be told by its digest.", String::new()),
        None => (
            "There is no spec file any more where it was; the run's own can be told by its digest.",
            String::new(),
        ),
    };
    let digest = digest.unwrap_or("not known");
    let text = if text.is_empty() { format!("# digest {digest}") } else { text };
    Section::Code { title: "The spec".to_owned(), note: Some(note.to_owned()), text }
}
