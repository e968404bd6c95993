//! Random small tables, compared by recon and by the plainest code that does the same: a map from keys to rows.
//!
//! Nothing of recon's own code is used here but the binary. Values are made with their meaning beside their spelling, so that
//! this side never parses anything.

use std::collections::BTreeMap;

use crate::project::Project;
use crate::random::Random;

/// Projects of so many entities each.
const PROJECTS: usize = 8;
const ENTITIES: usize = 45;

/// What a value means.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Meaning {
    Absent,
    Null,
    Text(String),
    /// Thousandths, or milliseconds.
    Number(i64),
    /// It does not cast.
    Bad,
}

#[derive(Clone, Debug)]
struct Cell {
    meaning: Meaning,
    spelling: String,
    /// JSON without quotes.
    is_bare: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Text,
    Int,
    Decimal,
    Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Rule {
    Exact,
    /// In thousandths or milliseconds.
    Tolerance(i64),
    TrimAndFold,
    Strict,
    EmptyIsNull,
    AbsentIsNull,
    Ignore,
}

#[derive(Clone, Debug)]
struct Field {
    name: String,
    kind: Kind,
    rule: Rule,
    is_key: bool,
}

#[derive(Debug)]
struct Entity {
    name: String,
    fields: Vec<Field>,
    is_jsonl: [bool; 2],
    rows: [Vec<Vec<Cell>>; 2],
}

/// What recon must say of an entity.
#[derive(Debug, Default, PartialEq)]
struct Counts {
    /// matched, mismatched, missing, extra, duplicates of both sides, unchecked of both sides.
    verdicts: [u64; 8],
    /// By field: unequal.
    unequal: BTreeMap<String, u64>,
    /// Of each duplicate key: both counts, and whether the multisets are equal.
    duplicates: Vec<(u64, u64, bool)>,
}

#[test]
fn recon_agrees_with_a_naive_comparison() {
    let mut random = Random::seeded();
    for _ in 0..PROJECTS {
        let entities: Vec<Entity> = (0..ENTITIES).map(|n| entity(&mut random, n)).collect();
        let project = Project::new();
        write(&project, &entities);
        let stage = project.recon(&["stage"]);
        assert_eq!(stage.code, 0, "{} ({random})", stage.stderr);
        let diff = project.recon(&["diff", "--out", "out"]);
        let summary = match project.path("out/summary.json").exists() {
            true => project.summary("out"),
            false => panic!("{} ({random})\n{}", diff.stderr, project.read("recon.toml")),
        };
        let duplicates = project.read("out/duplicates.csv");
        let mut codes = Vec::new();
        for entity in &entities {
            let want = naive(entity);
            let got = said(entity, &summary["entities"][&entity.name], &duplicates);
            assert_eq!(got, want, "({random})\n{entity:#?}\n{}", spec(entity));
            codes.push(exit_code(&want, entity));
        }
        let want = [3, 1, 0].into_iter().find(|code| codes.contains(code)).expect("one of them");
        assert_eq!(diff.code, want, "({random})");
        let unequal: u64 = entities.iter().flat_map(|e| naive(e).unequal.into_values()).sum();
        assert_eq!(records(&project.read("out/mismatches.csv")).len() as u64, unequal, "({random})");
    }
}

fn exit_code(counts: &Counts, entity: &Entity) -> i32 {
    let failed = entity.rows.iter().flatten().any(|row| normal_row(entity, row).is_none());
    let empty = entity.rows.iter().all(Vec::is_empty);
    let [_, mismatched, missing, extra, s, t, ..] = counts.verdicts;
    match (failed || empty, mismatched + missing + extra + s + t > 0) {
        (true, _) => 3,
        (false, true) => 1,
        (false, false) => 0,
    }
}

// What recon says.

fn said(entity: &Entity, summary: &serde_json::Value, duplicates: &str) -> Counts {
    let count = |word: &str| summary[word].as_u64().expect("a count");
    let words = [
        "matched",
        "mismatched",
        "missing",
        "extra",
        "duplicate_source",
        "duplicate_target",
        "unchecked",
        "unchecked_target",
    ];
    let fields = summary["fields"].as_object().expect("fields");
    let unequal = fields.iter().map(|(name, f)| (name.clone(), f["unequal"].as_u64().expect("a count")));
    let mut found = Vec::new();
    for record in records(duplicates).iter().filter(|record| record[0] == entity.name) {
        let [.., n, m, equal] = record.as_slice() else { panic!("{record:?}") };
        let number = |text: &str| text.parse().expect("a count");
        found.push((number(n), number(m), equal == "true"));
    }
    found.sort_unstable();
    Counts {
        verdicts: words.map(count),
        unequal: unequal.filter(|(_, n)| *n > 0).collect(),
        duplicates: found,
    }
}

/// The records of a report, without its header.
fn records(text: &str) -> Vec<Vec<String>> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let record = |record: csv::Result<csv::StringRecord>| {
        record.expect("reports are CSV").iter().map(str::to_owned).collect()
    };
    reader.records().map(record).collect()
}

// What it should say.

type Row = Vec<Meaning>;

fn naive(entity: &Entity) -> Counts {
    let keyed = entity.fields.iter().any(|f| f.is_key);
    let mut counts = Counts::default();
    let mut groups: BTreeMap<Row, [Vec<Option<Row>>; 2]> = BTreeMap::new();
    for side in 0..2 {
        for row in &entity.rows[side] {
            let normal = normal_row(entity, row);
            let key = match keyed {
                true => key_of(entity, row),
                false => normal.clone(),
            };
            match key {
                Some(key) => groups.entry(key).or_default()[side].push(normal),
                None => counts.verdicts[6 + side] += 1,
            }
        }
    }
    for [source, target] in groups.into_values() {
        let (n, m) = (source.len() as u64, target.len() as u64);
        if !keyed {
            counts.verdicts[0] += n.min(m);
            counts.verdicts[2] += n - n.min(m);
            counts.verdicts[3] += m - n.min(m);
        } else if n > 1 || m > 1 {
            counts.verdicts[4] += n;
            counts.verdicts[5] += m;
            let (mut s, mut t) = (source.clone(), target.clone());
            s.sort();
            t.sort();
            counts.duplicates.push((n, m, s == t && s.iter().all(Option::is_some)));
        } else if source.iter().chain(&target).any(Option::is_none) {
            counts.verdicts[6] += n;
            counts.verdicts[7] += m;
        } else if m == 0 {
            counts.verdicts[2] += 1;
        } else if n == 0 {
            counts.verdicts[3] += 1;
        } else {
            pair(entity, source[0].as_ref(), target[0].as_ref(), &mut counts);
        }
    }
    counts.duplicates.sort_unstable();
    counts
}

fn pair(entity: &Entity, source: Option<&Row>, target: Option<&Row>, counts: &mut Counts) {
    let (source, target) = (source.expect("it cast"), target.expect("it cast"));
    let mut differs = false;
    for (i, field) in entity.fields.iter().enumerate().filter(|(_, f)| !f.is_key) {
        let near = match (field.rule, &source[i], &target[i]) {
            (Rule::Tolerance(limit), Meaning::Number(a), Meaning::Number(b)) => (a - b).abs() <= limit,
            (_, a, b) => a == b,
        };
        if !near {
            differs = true;
            *counts.unequal.entry(field.name.clone()).or_default() += 1;
        }
    }
    counts.verdicts[usize::from(differs)] += 1;
}

/// A row as its rules see it; `None` where a value does not cast. An ignored value is always the same.
fn normal_row(entity: &Entity, row: &[Cell]) -> Option<Row> {
    entity.fields.iter().zip(row).map(|(field, cell)| normal(entity, field, cell)).collect()
}

fn key_of(entity: &Entity, row: &[Cell]) -> Option<Row> {
    entity.fields.iter().zip(row).filter(|(f, _)| f.is_key).map(|(f, cell)| normal(entity, f, cell)).collect()
}

fn normal(entity: &Entity, field: &Field, cell: &Cell) -> Option<Meaning> {
    let absence_is_known = entity.is_jsonl == [true, true];
    Some(match (&cell.meaning, field.rule) {
        (_, Rule::Ignore) => Meaning::Null,
        (Meaning::Absent, Rule::AbsentIsNull) => Meaning::Null,
        (Meaning::Absent, rule) if !absence_is_known && rule != Rule::Strict => Meaning::Null,
        (Meaning::Bad, Rule::EmptyIsNull) if cell.spelling.is_empty() => Meaning::Null,
        (Meaning::Text(text), Rule::EmptyIsNull) if text.is_empty() => Meaning::Null,
        (Meaning::Bad, _) => return None,
        (Meaning::Text(text), Rule::TrimAndFold) => Meaning::Text(text.trim().to_ascii_lowercase()),
        (meaning, _) => meaning.clone(),
    })
}

// Making entities.

fn entity(random: &mut Random, n: usize) -> Entity {
    let keys = *random.pick(&[0, 1, 1, 1, 2]);
    let others = 1 + random.below(3);
    let mut fields = Vec::new();
    for i in 0..keys + others {
        let is_key = i < keys;
        let kind = *random.pick(&[Kind::Text, Kind::Int, Kind::Decimal, Kind::Timestamp]);
        fields.push(Field {
            name: format!("f{i}"),
            kind,
            rule: rule(random, kind, is_key, keys == 0),
            is_key,
        });
    }
    if fields.iter().all(|f| f.rule == Rule::Ignore) {
        fields[0].rule = Rule::Exact;
    }
    let is_jsonl = [random.one_in(2), random.one_in(2)];
    let row = |random: &mut Random| fields.iter().map(|f| cell(random, f.kind)).collect::<Vec<_>>();
    let source: Vec<Vec<Cell>> = (0..random.below(9)).map(|_| row(random)).collect();
    let mut target = Vec::new();
    for old in &source {
        // Most rows come over, a few twice, some with a value changed or only spelled anew.
        for _ in 0..*random.pick(&[0, 1, 1, 1, 1, 1, 1, 2]) {
            let mut new = old.clone();
            for (cell, field) in new.iter_mut().zip(&fields) {
                match random.below(8) {
                    0 if !field.is_key => *cell = self::cell(random, field.kind),
                    1..4 => {
                        *cell = spelled(random, field.kind, &cell.meaning).unwrap_or_else(|| cell.clone())
                    }
                    _ => {}
                }
            }
            target.push(new);
        }
    }
    (0..random.below(3)).for_each(|_| target.push(row(random)));
    let mut rows = [source, target];
    for (rows, is_jsonl) in rows.iter_mut().zip(is_jsonl) {
        settle(rows, is_jsonl);
    }
    Entity { name: format!("e{n}"), fields, is_jsonl, rows }
}

/// What a file can say: a CSV has no absence, and the first document shows every attribute.
fn settle(rows: &mut [Vec<Cell>], is_jsonl: bool) {
    for (i, cell) in
        rows.iter_mut().enumerate().flat_map(|(i, row)| row.iter_mut().map(move |cell| (i, cell)))
    {
        if cell.meaning == Meaning::Absent && (!is_jsonl || i == 0) {
            cell.meaning = Meaning::Null;
        }
    }
}

fn rule(random: &mut Random, kind: Kind, is_key: bool, keyless: bool) -> Rule {
    let mut rules = vec![Rule::Exact, Rule::Exact, Rule::Strict, Rule::EmptyIsNull, Rule::AbsentIsNull];
    if kind == Kind::Text {
        rules.push(Rule::TrimAndFold);
    } else if !is_key && !keyless {
        rules.extend([0, 1, 500, 1_000].map(Rule::Tolerance));
    }
    if !is_key {
        rules.push(Rule::Ignore);
    }
    *random.pick(&rules)
}

fn cell(random: &mut Random, kind: Kind) -> Cell {
    let meaning = match (random.below(12), kind) {
        (0, _) => Meaning::Null,
        (1, _) => Meaning::Absent,
        (2, Kind::Int | Kind::Decimal | Kind::Timestamp) if random.one_in(4) => {
            let spelling = (*random.pick(&["x", "", "1.2.3", "2024-02-30"])).to_owned();
            return Cell { meaning: Meaning::Bad, spelling, is_bare: false };
        }
        (_, Kind::Text) => Meaning::Text(
            (*random.pick(&["", "a", "A", " a ", "b", "a,b", "\"", "é", "1", "line\nbreak", "NULL"]))
                .to_owned(),
        ),
        (_, Kind::Int) => Meaning::Number(1_000 * (random.below(4) as i64 - 1)),
        (_, Kind::Decimal) => Meaning::Number([0, 1, 500, 501, 1_000, 1_500, -1_000][random.below(7)]),
        (_, Kind::Timestamp) => Meaning::Number([0, 1, 500, 1_000, 1_001, 2_000][random.below(6)]),
    };
    spelled(random, kind, &meaning).expect("it has a meaning")
}

/// One of the spellings of a meaning.
fn spelled(random: &mut Random, kind: Kind, meaning: &Meaning) -> Option<Cell> {
    let mut is_bare = false;
    let spelling = match (meaning, kind) {
        (Meaning::Bad, _) => return None,
        (Meaning::Absent | Meaning::Null, _) => String::new(),
        (Meaning::Text(text), _) => text.clone(),
        (Meaning::Number(n), Kind::Timestamp) => {
            let (zone, hour) = *random.pick(&[("Z", 12), ("+01:00", 13), ("-0230", 9)]);
            let minute = if zone == "-0230" { 30 } else { 0 };
            let (second, milli) = (n / 1_000, n % 1_000);
            let fraction = match (milli, random.one_in(2)) {
                (0, true) => String::new(),
                (_, true) => format!(".{milli:03}000"),
                (_, false) => format!(".{milli:03}"),
            };
            let between = random.pick(&["T", " "]);
            format!("2024-03-01{between}{hour:02}:{minute:02}:{second:02}{fraction}{zone}")
        }
        (Meaning::Number(n), _) => {
            is_bare = random.one_in(2);
            let (sign, n) = if *n < 0 { ("-", -n) } else { ("", *n) };
            match random.below(3) {
                0 => format!("{sign}{}.{:03}", n / 1_000, n % 1_000),
                1 if n % 1_000 == 0 => format!("{sign}{}", n / 1_000),
                _ => format!("{sign}{n}e-3"),
            }
        }
    };
    Some(Cell { meaning: meaning.clone(), spelling, is_bare })
}

// Writing them.

fn write(project: &Project, entities: &[Entity]) {
    let mut text = String::new();
    for entity in entities {
        for (side, word) in ["a", "b"].iter().enumerate() {
            let (kind, ending) = if entity.is_jsonl[side] { ("jsonl", "jsonl") } else { ("csv", "csv") };
            let file = format!("{}{word}.{ending}", entity.name);
            text.push_str(&format!(
                "[datasets.{}{word}]\nkind = \"{kind}\"\nuri = \"{file}\"\n\n",
                entity.name
            ));
            let content = match entity.is_jsonl[side] {
                true => jsonl(&entity.fields, &entity.rows[side]),
                false => csv_text(&entity.fields, &entity.rows[side]),
            };
            project.write(&file, content);
        }
        text.push_str(&spec(entity));
    }
    project.write("recon.toml", text);
}

fn spec(entity: &Entity) -> String {
    let name = &entity.name;
    let keys: Vec<String> =
        entity.fields.iter().filter(|f| f.is_key).map(|f| format!("\"{}\"", f.name)).collect();
    let mut text = format!("[entities.{name}]\nsource = \"{name}a\"\ntarget = \"{name}b\"\n");
    if !keys.is_empty() {
        text.push_str(&format!("key = [{}]\n", keys.join(", ")));
    }
    text.push_str(&format!("[entities.{name}.fields]\n"));
    for field in &entity.fields {
        let ty = match field.kind {
            Kind::Text => "",
            Kind::Int => "type = \"int\", ",
            Kind::Decimal => "type = \"decimal\", ",
            Kind::Timestamp => "type = \"timestamp\", ",
        };
        let rule = match field.rule {
            Rule::Exact => String::new(),
            Rule::Tolerance(n) if field.kind == Kind::Timestamp => format!("tolerance = \"{n}ms\", "),
            Rule::Tolerance(n) => format!("tolerance = \"{n}e-3\", "),
            Rule::TrimAndFold => "text = [\"trim\", \"casefold\"], ".to_owned(),
            Rule::Strict => "nulls = \"strict\", ".to_owned(),
            Rule::EmptyIsNull => "nulls = \"empty-is-null\", ".to_owned(),
            Rule::AbsentIsNull => "nulls = \"absent-is-null\", ".to_owned(),
            Rule::Ignore => {
                text.push_str(&format!("{} = {{ ignore = true }}\n", field.name));
                continue;
            }
        };
        text.push_str(&format!("{} = {{ {ty}{rule}from = \"{}\" }}\n", field.name, field.name));
    }
    text.push('\n');
    text
}

fn csv_text(fields: &[Field], rows: &[Vec<Cell>]) -> String {
    let mut text = fields.iter().map(|f| f.name.as_str()).collect::<Vec<_>>().join(",") + "\n";
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .map(|cell| match cell.meaning {
                Meaning::Null | Meaning::Absent => String::new(),
                _ if cell.is_bare => cell.spelling.clone(),
                _ => format!("\"{}\"", cell.spelling.replace('"', "\"\"")),
            })
            .collect();
        text.push_str(&format!("{}\n", cells.join(",")));
    }
    text
}

fn jsonl(fields: &[Field], rows: &[Vec<Cell>]) -> String {
    let mut text = String::new();
    for row in rows {
        let members: Vec<String> = fields
            .iter()
            .zip(row)
            .filter(|(_, cell)| cell.meaning != Meaning::Absent)
            .map(|(field, cell)| {
                let value = match cell.meaning {
                    Meaning::Null => "null".to_owned(),
                    _ if cell.is_bare => cell.spelling.clone(),
                    _ => serde_json::to_string(&cell.spelling).expect("a text is JSON"),
                };
                format!("\"{}\":{value}", field.name)
            })
            .collect();
        text.push_str(&format!("{{{}}}\n", members.join(",")));
    }
    text
}
