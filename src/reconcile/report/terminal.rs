//! The summary on the terminal: verdicts, what differs, the first differences, and the next command.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::super::diff::EntityResult;
use super::Example;

/// Longest value shown of a difference.
const VALUE_CHARS_MAX: usize = 60;

/// The summary of a diff. `command` is how the user calls recon, for the next step.
pub fn summary(
    results: &[EntityResult],
    examples: &[Example],
    folder: &str,
    exit_code: u8,
    command: &str,
) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}", verdicts(results));
    for result in results {
        fields(result, &mut out);
    }
    if !examples.is_empty() {
        let _ = writeln!(out, "\nfirst differences");
        for example in examples {
            let key: Vec<&str> = example.key.iter().map(|k| k.as_deref().unwrap_or("NULL")).collect();
            let _ = writeln!(out, "  {} {}  {}", example.entity, key.join(" "), example.field);
            let _ = writeln!(out, "    source  {}", shown(example.source.as_deref()));
            let _ = writeln!(out, "    target  {}", shown(example.target.as_deref()));
            if let Some((source, target)) = look_alike(example) {
                let _ = writeln!(out, "    they look alike: {source} against {target}");
            }
        }
    }
    let verdict = match exit_code {
        0 => "equal",
        1 => "different",
        _ => "incomplete: not everything could be compared",
    };
    let _ = writeln!(out, "\n{verdict}; reports in {folder}");
    if let Some(example) = examples.iter().find(|example| example.has_key) {
        let mut key: Vec<String> =
            example.key.iter().map(|k| shell(k.as_deref().unwrap_or_default())).collect();
        if key.iter().any(|k| k.starts_with('-')) {
            key.insert(0, "--".to_owned());
        }
        let _ = writeln!(out, "next: {command} show -e {} {}", shell(&example.entity), key.join(" "));
    } else if !examples.is_empty() {
        let _ = writeln!(out, "next: see mismatches.csv there");
    } else if exit_code == 1 {
        let _ = writeln!(out, "next: see missing.csv, extra.csv and duplicates.csv there");
    } else if exit_code == 3 {
        let _ = writeln!(
            out,
            "next: see failures.csv and the fields that were not compared, then mend the spec or the data"
        );
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
            r.name.clone(),
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

fn fields(result: &EntityResult, out: &mut String) {
    for f in &result.fields {
        match f.status {
            "not_compared" => {
                let reason = f.reason.as_deref().unwrap_or_default();
                let _ = writeln!(out, "  {}.{}  not compared: {reason}", result.name, f.name);
            }
            _ if f.unequal > 0 => {
                let _ = write!(out, "  {}.{}  {} unequal", result.name, f.name, thousands(f.unequal));
                if f.null_mismatch > 0 {
                    let _ = write!(out, ", {} of them against NULL", thousands(f.null_mismatch));
                }
                if let Some(delta) = &f.max_delta {
                    let _ = write!(out, ", by at most {delta}");
                }
                if let Some(c) = &f.concentration {
                    let _ = write!(out, "; {:.0} % of them have {} = {}", c.share * 100.0, c.field, c.value);
                }
                out.push('\n');
            }
            _ if f.equal_by_rule > 0 => {
                let (n, rule) = (thousands(f.equal_by_rule), f.rule);
                let _ = writeln!(out, "  {}.{}  {n} equal by the rule `{rule}`", result.name, f.name);
            }
            _ => {}
        }
        if let (true, Some(note)) = (f.status == "compared", &f.reason) {
            let _ = writeln!(out, "  {}.{}  {note}", result.name, f.name);
        }
    }
    for (name, n) in &result.warnings {
        let _ = writeln!(out, "  {}  warning: {} {}", result.name, thousands(*n), name.replace('_', " "));
    }
    if result.unassigned > 0 {
        let n = thousands(result.unassigned);
        let _ = writeln!(out, "  {}  {n} rows of its datasets did not parse and may be its own", result.name);
    }
    for remark in &result.remarks {
        let _ = writeln!(out, "  {}  warning: {remark}", result.name);
    }
    if !result.unmapped.is_empty() {
        let _ = writeln!(out, "  {}  not mapped: {}", result.name, result.unmapped.join(", "));
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

/// A value on one line, cut where it is long.
fn shown(value: Option<&str>) -> String {
    let more = value.map_or(0, |text| text.chars().count().saturating_sub(VALUE_CHARS_MAX));
    match value.and_then(|text| text.char_indices().nth(VALUE_CHARS_MAX).map(|(end, _)| &text[..end])) {
        Some(short) => format!("{}… ({more} more)", quoted(Some(short))),
        None => quoted(value),
    }
}

/// A value on one line, in quotes, so that NULL and the text `NULL` are two things; control characters are escaped so that it
/// cannot move the cursor.
pub fn quoted(value: Option<&str>) -> String {
    let Some(text) = value else { return "NULL".to_owned() };
    let plain: String = text
        .chars()
        .flat_map(|c| match c.is_control() {
            true => c.escape_default().collect::<Vec<_>>(),
            false => vec![c],
        })
        .collect();
    format!("\"{plain}\"")
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
    if plain { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
