//! A report as Markdown, for pull requests and for printing. Names and values of the data are code or escaped: none of them is markup.

use super::document::{Document, Section, Tile};
use super::terminal::thousands;

/// Longest value that is shown.
const VALUE_CHARS_MAX: usize = 80;

/// The whole text. What only a page can show is left out.
pub fn markdown(document: &Document) -> String {
    let mut out = format!("# {}\n\n", escaped(&document.title));
    if !document.subtitle.is_empty() {
        out.push_str(&format!("{}\n\n", escaped(&document.subtitle)));
    }
    out.push_str(&format!(
        "**{}.** {}\n",
        escaped(&document.verdict.word),
        escaped(&document.verdict.meaning)
    ));
    for part in &document.sections {
        out.push_str(&section(part));
    }
    out.push_str(&format!("\n{}\n", escaped(&document.footer)));
    out
}

fn section(section: &Section) -> String {
    match section {
        Section::Notice { title, items } => {
            let items: String = items.iter().map(|item| format!("- {}\n", escaped(item))).collect();
            format!("{}{items}", heading(title))
        }
        Section::Tiles { title, note, tiles } => heading(title) + &paragraph(note) + &of_tiles(tiles),
        Section::Fields { title, fields } => {
            let rows = fields.iter().map(|f| {
                let counts = [f.compared, f.unequal, f.equal_by_rule].map(thousands);
                let [compared, unequal, by_rule] = counts;
                vec![
                    code(&f.name),
                    escaped(&f.status),
                    compared,
                    unequal,
                    by_rule,
                    f.note.as_deref().map(escaped).unwrap_or_default(),
                ]
            });
            let names = ["Field", "Status", "Compared", "Unequal", "Equal by rule", "Remarks"];
            heading(title) + &table(&names.map(|name| (name.to_owned(), false)), rows)
        }
        Section::Table { title, note, columns, rows } => {
            let names: Vec<(String, bool)> = columns.iter().map(|c| (escaped(&c.name), c.number)).collect();
            let rows = rows.iter().map(|row| {
                let cell = |(text, column): (&Option<String>, &super::document::Column)| match text {
                    None => "*NULL*".to_owned(),
                    Some(text) if column.value => code(text),
                    Some(text) if column.number => text.parse().map_or_else(|_| escaped(text), thousands),
                    Some(text) => escaped(text),
                };
                row.iter().zip(columns).map(cell).collect()
            });
            heading(title) + &paragraph(note) + &table(&names, rows)
        }
        Section::Bars { title, note, label, bars } => {
            let rows = bars.iter().map(|(label, count)| vec![code(label), thousands(*count)]);
            let names = [(escaped(label), false), ("Records".to_owned(), true)];
            heading(title) + &paragraph(note) + &table(&names, rows)
        }
        Section::Pace { title, points, .. } => {
            let most = points.iter().map(|(_, pace)| *pace).max().unwrap_or(0);
            format!("{}At most {} records a second.\n", heading(title), thousands(most))
        }
        Section::Facts { title, facts } => {
            let facts = facts.iter().map(|(name, text)| {
                let text = text.as_deref().map_or_else(|| "*NULL*".to_owned(), escaped);
                format!("- {}: {text}\n", escaped(name))
            });
            heading(title) + &facts.collect::<String>()
        }
        Section::Code { title, note, text } => {
            let fence = "`".repeat(longest_ticks(text).max(2) + 1);
            format!("{}{}{fence}\n{}\n{fence}\n", heading(title), paragraph(note), text.trim_end())
        }
        Section::Records { .. } => String::new(),
        Section::Signatures { roles } => {
            let rows =
                roles.iter().map(|role| vec![escaped(role), String::new(), String::new(), String::new()]);
            let names = ["", "Name", "Date", "Signature"].map(|name| (name.to_owned(), false));
            heading("Signatures") + &table(&names, rows)
        }
    }
}

fn heading(title: &str) -> String {
    format!("\n## {}\n\n", escaped(title))
}

fn paragraph(note: &Option<String>) -> String {
    note.as_ref().map(|note| format!("{}\n\n", escaped(note))).unwrap_or_default()
}

fn of_tiles(tiles: &[Tile]) -> String {
    let names: Vec<(String, bool)> = tiles.iter().map(|tile| (escaped(&tile.label), true)).collect();
    table(&names, std::iter::once(tiles.iter().map(|tile| thousands(tile.count)).collect()))
}

fn table(names: &[(String, bool)], rows: impl Iterator<Item = Vec<String>>) -> String {
    let line = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
    let mut out = line(names.iter().map(|(name, _)| name.as_str()).collect());
    out.push_str(&line(names.iter().map(|(_, is_number)| if *is_number { "---:" } else { "---" }).collect()));
    for row in rows {
        out.push_str(&line(row.iter().map(String::as_str).collect()));
    }
    out
}

/// A text in a line of its own kind: what Markdown or HTML would take for markup is escaped.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in seen(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}

/// A value as code, which is nothing else whatever is in it. Source: <https://github.github.com/gfm/#code-spans>
fn code(text: &str) -> String {
    if text.is_empty() {
        return "`\"\"`".to_owned();
    }
    let mut shown: String = text.chars().take(VALUE_CHARS_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    let fence = "`".repeat(longest_ticks(&shown) + 1);
    // A cell of a table ends at a `|`, also within code.
    let shown = seen(&shown).replace('|', "\\|");
    let space = if shown.starts_with(['`', ' ']) || shown.ends_with(['`', ' ']) { " " } else { "" };
    format!("{fence}{space}{shown}{space}{fence}")
}

fn longest_ticks(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// A text on one line, with what nobody sees, or what turns the line around, by its number.
fn seen(text: &str) -> String {
    let is_unseen = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    let one = |c: char| match is_unseen(c) {
        true => c.escape_default().collect::<String>(),
        false => c.to_string(),
    };
    text.chars().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_no_markup() {
        assert_eq!(code("a`b"), "``a`b``");
        assert_eq!(code("`"), "`` ` ``");
        assert_eq!(code("a|b\nc"), "`a\\|b\\nc`");
        assert_eq!(code(""), "`\"\"`");
        assert_eq!(code("a\u{202e}b"), "`a\\u{202e}b`");
        assert_eq!(escaped("<b> *x* [y](z) | &"), "&lt;b&gt; \\*x\\* \\[y\\](z) \\| &amp;");
    }
}
