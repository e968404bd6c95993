//! The summary on the terminal: verdicts, what differs, the first differences, and the next command.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::super::diff::EntityResult;
use super::{Example, references};
use crate::ledger::proof::Proof;

/// Longest value shown of a difference.
const VALUE_CHARS_MAX: usize = 60;

/// The summary of a diff. `empty` are the entities that make it incomplete by having no record on either side; `command` is how the user calls recon, for the next step; without it neither that nor the first
/// differences are shown.
pub fn summary(
    results: &[EntityResult],
    examples: &[Example],
    folder: &str,
    exit_code: u8,
    empty: &[&str],
    command: Option<&str>,
) -> String {
    let mut out = String::new();
    let examples = if command.is_some() { examples } else { &[] };
    let _ = writeln!(out, "{}", verdicts(results));
    for result in results {
        fields(result, &mut out);
    }
    if !examples.is_empty() {
        let _ = writeln!(out, "\nfirst differences");
        for example in examples {
            let key: Vec<String> = example.key.iter().map(|k| key_text(k.as_deref())).collect();
            let _ = writeln!(
                out,
                "  {} {}  {}",
                plain(&example.entity),
                key.join(" "),
                field_name(&example.field)
            );
            let [source, target] = shown_pair(example);
            let _ = writeln!(out, "    source  {source}");
            let _ = writeln!(out, "    target  {target}");
            if let Some((source, target)) = look_alike(example) {
                let _ = writeln!(out, "    they look alike: {source} against {target}");
            }
        }
    }
    let has_orphans = results.iter().flat_map(|r| &r.references).any(|r| r.orphans() > 0);
    let verdict = match exit_code {
        0 => "equal",
        1 if has_orphans && results.iter().all(|r| r.counts.is_equal()) => {
            "equal, but records refer to what is not there"
        }
        1 => "different",
        _ if results.iter().any(EntityResult::is_incomplete) => {
            "incomplete: not everything could be compared"
        }
        _ => "incomplete: not every entity has a record",
    };
    let _ = writeln!(out, "\n{verdict}; reports in {folder}");
    let Some(command) = command else { return out };
    if let Some(example) = examples.first() {
        let _ = match &example.shown_by {
            Some(key) => {
                writeln!(out, "next: {command} show -e {}{}", shell(&example.entity), show_args(key))
            }
            None => writeln!(out, "next: see mismatches.csv there"),
        };
    } else if exit_code == 1 && has_orphans {
        let _ = writeln!(out, "next: see orphans.csv there");
    } else if exit_code == 1 {
        let _ = writeln!(out, "next: see missing.csv, extra.csv and duplicates.csv there");
    } else if results.iter().any(EntityResult::is_incomplete) {
        let _ = writeln!(
            out,
            "next: see failures.csv and the fields that were not compared, then mend the spec or the data"
        );
    }
    if !empty.is_empty() {
        let names: Vec<String> = empty.iter().map(|name| plain(name)).collect();
        let _ = writeln!(out, "next: neither side has a record of {}", names.join(", "));
        let _ = writeln!(out, "      where that is as it should be: {command} diff --allow-empty");
    }
    out
}

fn verdicts(results: &[EntityResult]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    let header =
        ["entity", "source", "target", "matched", "mismatched", "missing", "extra", "duplicate", "unchecked"];
    table.set_header(header);
    for r in results {
        let c = &r.counts;
        table.add_row([
            plain(&r.name),
            thousands(c.source_rows),
            thousands(c.target_rows),
            thousands(c.matched),
            thousands(c.mismatched),
            thousands(c.missing),
            thousands(c.extra),
            pair(c.duplicate_source, c.duplicate_target),
            pair(c.unchecked, c.unchecked_target),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// How rows came to be matched that were not staged.
pub fn in_words(proof: &Proof) -> String {
    let [ranges, all] = [proof.ranges.len() as u64, proof.ranges_all].map(thousands);
    format!("proven equal in the stores: {ranges} of {all} ranges of keys have {}", plain(&proof.how))
}

fn fields(result: &EntityResult, out: &mut String) {
    let entity = plain(&result.name);
    for f in &result.fields {
        let name = field_name(&f.name);
        match f.status {
            "not_compared" => {
                let reason = plain(f.reason.as_deref().unwrap_or_default());
                let _ = writeln!(out, "  {entity}.{name}  not compared: {reason}");
            }
            _ if f.unequal > 0 => {
                let _ = write!(out, "  {entity}.{name}  {} unequal", thousands(f.unequal));
                if f.null_mismatch > 0 {
                    let _ = write!(out, ", {} of them against NULL", thousands(f.null_mismatch));
                }
                if let Some(delta) = f.max_delta() {
                    let _ = write!(out, ", by at most {delta}");
                }
                if let Some(c) = &f.concentration {
                    let (other, value) = (field_name(&c.field), plain(&c.value));
                    let _ = write!(out, "; {:.0} % of them have {other} = {value}", c.share * 100.0);
                }
                out.push('\n');
            }
            _ if f.equal_by_rule() > 0 => {
                let (n, rule) = (thousands(f.equal_by_rule()), f.rule);
                let _ = writeln!(out, "  {entity}.{name}  {n} equal by the rule `{rule}`");
            }
            _ => {}
        }
        if let (true, Some(note)) = (f.status == "compared", &f.reason) {
            let _ = writeln!(out, "  {entity}.{name}  {}", plain(note));
        }
    }
    if let Some(rows) = result.folded_rows {
        let _ = writeln!(out, "  {entity}  its source's records are folded from {} rows", thousands(rows));
    }
    if let Some(proof) = &result.proof {
        let _ = writeln!(
            out,
            "  {entity}  {} of the matched rows are {}",
            thousands(proof.rows()),
            in_words(proof)
        );
    }
    for (again, round) in result.again.iter().zip(1..) {
        let [records, equal] = [again.records, again.equal].map(thousands);
        let _ =
            writeln!(out, "  {entity}  recheck {round}: of {records} that differed, {equal} are equal now");
        if again.gone > 0 {
            let gone = thousands(again.gone);
            let _ = writeln!(
                out,
                "  {entity}  recheck {round}: {gone} are on neither side now: stage again to be sure"
            );
        }
    }
    references::text(&result.name, &result.references, out);
    remarks(result, out);
}

/// What else there is to say of an entity.
fn remarks(result: &EntityResult, out: &mut String) {
    let entity = plain(&result.name);
    for (name, n) in &result.warnings {
        let words = name.replace('_', " ");
        let words = if *n == 1 { words.trim_end_matches('s') } else { &words };
        let _ = writeln!(out, "  {entity}  warning: {} {words}", thousands(*n));
    }
    if result.unassigned > 0 {
        let n = thousands(result.unassigned);
        let rows = if result.unassigned == 1 { "row" } else { "rows" };
        let _ = writeln!(out, "  {entity}  {n} {rows} of its datasets did not parse and may be its own");
    }
    for remark in result.remarks.iter().chain(&result.spec_remarks) {
        let _ = writeln!(out, "  {entity}  warning: {}", plain(remark));
    }
    if !result.unmapped.is_empty() {
        let names: Vec<String> = result.unmapped.iter().map(|name| field_name(name)).collect();
        let _ = writeln!(out, "  {entity}  not mapped: {}", names.join(", "));
    }
}

fn pair(source: u64, target: u64) -> String {
    if source == target {
        thousands(source)
    } else {
        format!("{} / {}", thousands(source), thousands(target))
    }
}

/// A number with its thousands apart.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// Both values of a difference.
fn shown_pair(example: &Example) -> [String; 2] {
    let (source, target) = (example.source.as_deref(), example.target.as_deref());
    let same = |(a, b): &(char, char)| a == b;
    let first = source.zip(target).map(|(a, b)| a.chars().zip(b.chars()).take_while(same).count());
    let mut pair = [source, target].map(|value| shown(value, first.unwrap_or(0)));
    for ((text, value), kind) in pair.iter_mut().zip([source, target]).zip(&example.kinds) {
        match value {
            None if kind == "absent" => *text = kind.clone(),
            // What differs is not in the texts.
            Some(_) if source == target => text.push_str(&format!(" ({kind})")),
            _ => {}
        }
    }
    pair
}

/// A value on one line. A long one is cut, so that the place is seen at which it begins to differ from the other.
fn shown(value: Option<&str>, differs_at: usize) -> String {
    let Some(text) = value else { return quoted(None) };
    let length = text.chars().count();
    if length <= VALUE_CHARS_MAX {
        return quoted(value);
    }
    // Some of what is the same before the place, and then as much as there is room for.
    let skipped = if differs_at < VALUE_CHARS_MAX { 0 } else { differs_at - VALUE_CHARS_MAX / 3 };
    let skipped = skipped.min(length - VALUE_CHARS_MAX);
    let part: String = text.chars().skip(skipped).take(VALUE_CHARS_MAX).collect();
    let more = length - skipped - VALUE_CHARS_MAX;
    let before = if skipped > 0 { format!("({skipped} before) …") } else { String::new() };
    let after = if more > 0 { format!("… ({more} more)") } else { String::new() };
    format!("{before}{}{after}", quoted(Some(&part)))
}

/// A name or a message without control characters, which could move the cursor or break the line.
pub fn plain(text: &str) -> String {
    let escaped = |c: char| match c.is_control() {
        true => c.escape_default().collect::<String>(),
        false => c.to_string(),
    };
    text.chars().map(escaped).collect()
}

/// A field's name on one line; it may be empty.
pub fn field_name(name: &str) -> String {
    if name.is_empty() { "''".to_owned() } else { plain(name) }
}

/// A key's value in a line of words: NULL, the text `NULL` and the empty string are three things.
pub fn key_text(value: Option<&str>) -> String {
    match value {
        None => "NULL".to_owned(),
        Some(text) if text.is_empty() || text == "NULL" => format!("'{text}'"),
        Some(text) => plain(text),
    }
}

/// The arguments by which `recon show` finds a record.
fn show_args(key: &[(String, Option<String>)]) -> String {
    let mut out = String::new();
    for (name, _) in key.iter().filter(|(_, value)| value.is_none()) {
        out.push_str(&format!(" --null {}", shell(name)));
    }
    let values: Vec<String> = key.iter().filter_map(|(_, value)| value.as_deref().map(shell)).collect();
    if values.iter().any(|value| value.starts_with('-')) {
        out.push_str(" --");
    }
    values.iter().for_each(|value| out.push_str(&format!(" {value}")));
    out
}

/// A value on one line, in quotes, so that NULL and the text `NULL` are two things; control characters are escaped so that it
/// cannot move the cursor.
pub fn quoted(value: Option<&str>) -> String {
    let Some(text) = value else { return "NULL".to_owned() };
    format!("\"{}\"", plain(text))
}

/// Letters of other scripts that most fonts draw as Latin ones.
/// Source: <https://www.unicode.org/Public/security/latest/confusables.txt>
const HOMOGLYPHS: [(char, char); 45] = [
    ('А', 'A'),
    ('В', 'B'),
    ('Е', 'E'),
    ('К', 'K'),
    ('М', 'M'),
    ('Н', 'H'),
    ('О', 'O'),
    ('Р', 'P'),
    ('С', 'C'),
    ('Т', 'T'),
    ('Х', 'X'),
    ('Ѕ', 'S'),
    ('І', 'I'),
    ('Ј', 'J'),
    ('а', 'a'),
    ('е', 'e'),
    ('о', 'o'),
    ('р', 'p'),
    ('с', 'c'),
    ('у', 'y'),
    ('х', 'x'),
    ('ѕ', 's'),
    ('і', 'i'),
    ('ј', 'j'),
    ('һ', 'h'),
    ('ԁ', 'd'),
    ('Α', 'A'),
    ('Β', 'B'),
    ('Ε', 'E'),
    ('Ζ', 'Z'),
    ('Η', 'H'),
    ('Ι', 'I'),
    ('Κ', 'K'),
    ('Μ', 'M'),
    ('Ν', 'N'),
    ('Ο', 'O'),
    ('Ρ', 'P'),
    ('Τ', 'T'),
    ('Υ', 'Y'),
    ('Χ', 'X'),
    ('ο', 'o'),
    ('ν', 'v'),
    ('ρ', 'p'),
    ('ı', 'i'),
    ('ʼ', '\''),
];

/// The code points of two texts that a reader cannot tell apart.
fn look_alike(example: &Example) -> Option<(String, String)> {
    use unicode_normalization::UnicodeNormalization;
    let (source, target) = (example.source.as_deref()?, example.target.as_deref()?);
    let plain = |text: &str| -> String {
        text.nfkc()
            .map(|c| HOMOGLYPHS.iter().find(|(other, _)| *other == c).map_or(c, |(_, latin)| *latin))
            .filter(|c| {
                !c.is_control() && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{ad}')
            })
            .collect::<String>()
            .trim()
            .to_owned()
    };
    if source == target || plain(source) != plain(target) {
        return None;
    }
    let points = |text: &str| {
        text.chars().take(24).map(|c| format!("U+{:04X}", c as u32)).collect::<Vec<_>>().join(" ")
    };
    Some((points(source), points(target)))
}

/// A text as a shell takes it for one word.
pub fn shell(text: &str) -> String {
    let plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:/@".contains(c));
    match plain {
        true => text.to_owned(),
        // As bash and zsh take escapes.
        false if text.contains(char::is_control) => {
            let escaped = |c: char| match c {
                '\'' | '\\' => format!("\\{c}"),
                c if c.is_control() => c.to_string().bytes().map(|b| format!("\\x{b:02x}")).collect(),
                c => c.to_string(),
            };
            format!("$'{}'", text.chars().map(escaped).collect::<String>())
        }
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}
