//! Places in a spec file, and errors that show them.
//!
//! In: byte spans of the text. Out: lines and columns (1-based, in characters), and errors with the offending line and a
//! caret under the offending text. What is shown is the file's own text, before interpolation: no value of an
//! environment variable can be in it, and the value of a `url` is not shown at all.

use std::ops::Range;
use std::path::Path;

use crate::error::Error;

/// More problems than this at once do not help anybody.
const PROBLEMS_SHOWN_MAX: usize = 5;

/// One thing that is wrong with a spec.
#[derive(Debug)]
pub(super) struct Problem {
    /// Bytes of the text that are to blame.
    pub(super) span: Range<usize>,
    /// What is wrong.
    pub(super) message: String,
    /// The next step.
    pub(super) help: Option<String>,
}

/// The text of a spec and the path under which the user knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct SpecText<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

impl SpecText<'_> {
    /// Line and column of a byte offset.
    pub(super) fn position(&self, offset: usize) -> (usize, usize) {
        let before = &self.text[..self.text.floor_char_boundary(offset)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// Where the content of a TOML string begins: after its opening quotes and, for a multi-line string, after the
    /// newline that TOML trims there.
    pub(super) fn content_start(&self, span: &Range<usize>) -> usize {
        let raw = &self.text[span.clone()];
        let quotes = match raw.as_bytes() {
            [b'"', b'"', b'"', ..] | [b'\'', b'\'', b'\'', ..] => 3,
            [b'"' | b'\'', ..] => 1,
            _ => 0,
        };
        let newline = match raw.as_bytes().get(quotes..) {
            Some([b'\n', ..]) if quotes == 3 => 1,
            Some([b'\r', b'\n', ..]) if quotes == 3 => 2,
            _ => 0,
        };
        span.start + quotes + newline
    }

    /// One error that shows the first few problems in the order of the file.
    pub(super) fn error(&self, mut problems: Vec<Problem>) -> Error {
        problems.sort_by_key(|problem| problem.span.start);
        let count = problems.len();
        let mut help = None;
        let mut text = String::new();
        for problem in problems.into_iter().take(PROBLEMS_SHOWN_MAX) {
            if !text.is_empty() {
                push_help(&mut text, help.take());
                text.push_str("\nerror: ");
            }
            let (line, column) = self.position(problem.span.start);
            let width = self.text.get(problem.span.clone()).map_or(1, |blamed| blamed.chars().count());
            text.push_str(&self.show(line, column, width, &problem.message));
            help = problem.help;
        }
        if count > PROBLEMS_SHOWN_MAX {
            push_help(&mut text, help.take());
            text.push_str(&format!("\n… and {} more", count - PROBLEMS_SHOWN_MAX));
        }
        let error = Error::usage(text);
        match help {
            Some(help) => error.help(help),
            None => error,
        }
    }

    /// `path:line:column: message`, the line, and carets under `width` of its characters.
    pub(super) fn show(&self, line: usize, column: usize, width: usize, message: &str) -> String {
        let shown = self.harmless(line);
        // A tab stays a tab under itself, so that the caret stands right whatever the terminal's tab width.
        let indent: String =
            shown.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let carets = "^".repeat(width.min(shown.chars().count().saturating_sub(column - 1)).max(1));
        let number = line.to_string();
        let gutter = " ".repeat(number.len());
        format!(
            "{}:{line}:{column}: {message}\n{gutter} |\n{number} | {shown}\n{gutter} | {indent}{carets}",
            self.path.display()
        )
    }
}

impl SpecText<'_> {
    /// A line as it may be shown, character for character (the caret must still fit): with stars in place of what is or may be a
    /// password, and without control characters, on which a terminal would act.
    fn harmless(&self, line: usize) -> String {
        let mut open = None;
        for before in self.text.lines().take(line - 1) {
            open = hide_urls(&mut before.chars().collect::<Vec<_>>(), open);
        }
        let mut chars: Vec<char> = self.text.lines().nth(line - 1).unwrap_or_default().chars().collect();
        hide_urls(&mut chars, open);
        hide_passwords(&mut chars);
        chars.into_iter().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
    }
}

/// The whole text as it may be shown: with stars in place of what is or may be a password.
pub(super) fn shown(path: &Path, text: &str) -> String {
    let place = SpecText { path, text };
    (1..=text.lines().count()).map(|line| place.harmless(line) + "\n").collect()
}

fn push_help(text: &mut String, help: Option<String>) {
    if let Some(help) = help {
        text.push_str(&format!("\n  help: {help}"));
    }
}

/// Stars in place of the value of every `url = …` in a line, but for its `${NAME}`s. `open` are the quotes of a string of several lines
/// that the line begins in; what is given back are those that the next one does. The text may be no TOML.
fn hide_urls(chars: &mut [char], open: Option<char>) -> Option<char> {
    let closes = |chars: &[char], from: usize, quote: char| {
        (from..chars.len()).find(|&i| chars[i..].starts_with(&[quote; 3])).map(|at| at + 3)
    };
    let mut from = 0;
    if let Some(quote) = open {
        let end = closes(chars, 0, quote);
        let inside = end.map_or(chars.len(), |end| end - 3);
        stars(&mut chars[..inside]);
        from = match end {
            Some(end) => end,
            None => return open,
        };
    }
    while let Some(start) = url_value(chars, from) {
        let quote = chars.get(start).copied().filter(|c| matches!(c, '"' | '\''));
        let Some(quote) = quote else {
            stars(&mut chars[start..]);
            return None;
        };
        if chars[start..].starts_with(&[quote; 3]) {
            let end = closes(chars, start + 3, quote);
            let inside = end.map_or(chars.len(), |end| end - 3);
            stars(&mut chars[start + 3..inside]);
            from = match end {
                Some(end) => end,
                None => return Some(quote),
            };
            continue;
        }
        let end = end_of_string(chars, start, quote);
        stars(&mut chars[start + 1..end]);
        from = end;
    }
    None
}

/// Where the value of the next `url =` begins.
fn url_value(chars: &[char], from: usize) -> Option<usize> {
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let is_key = |at: usize| chars[at..].starts_with(&['u', 'r', 'l']) && (at == 0 || !name(chars[at - 1]));
    (from..chars.len()).filter(|&at| is_key(at)).find_map(|at| {
        let rest = &chars[at + 3..];
        let spaces = rest.iter().take_while(|c| matches!(c, '"' | '\'' | ' ' | '\t')).count();
        (rest.get(spaces) == Some(&'=')).then(|| {
            let blank = rest[spaces + 1..].iter().take_while(|c| matches!(c, ' ' | '\t')).count();
            at + 3 + spaces + 1 + blank
        })
    })
}

/// Where the quote is that closes a string; the line's end where it is not certain which one does.
fn end_of_string(chars: &[char], start: usize, quote: char) -> usize {
    let mut at = start + 1;
    while at < chars.len() && chars[at] != quote {
        at += if quote == '"' && chars[at] == '\\' { 2 } else { 1 };
    }
    let after = chars.get(at + 1..).unwrap_or_default();
    let ends = after.iter().find(|c| !matches!(c, ' ' | '\t')).is_none_or(|c| matches!(c, ',' | '}' | '#'));
    let is_even = after.iter().filter(|c| **c == quote).count().is_multiple_of(2);
    if ends && is_even && at < chars.len() { at } else { chars.len() }
}

/// Stars in place of all but `${NAME}`.
fn stars(chars: &mut [char]) {
    let mut at = 0;
    while at < chars.len() {
        let name = chars[at..]
            .starts_with(&['$', '{'])
            .then(|| chars[at..].iter().position(|c| *c == '}'))
            .flatten();
        match name {
            Some(end) => at += end + 1,
            None => {
                chars[at] = '*';
                at += 1;
            }
        }
    }
}

/// Stars in place of the password of whatever else looks like a URL.
fn hide_passwords(chars: &mut [char]) {
    let mut start = 0;
    while let Some(scheme_end) = find(chars, start, "://") {
        let ends = |c: &char| matches!(c, '"' | '\'') || c.is_whitespace();
        let end = chars[scheme_end..].iter().position(ends).map_or(chars.len(), |length| scheme_end + length);
        if let Some(at) = (scheme_end..end).rev().find(|&i| chars[i] == '@')
            && let Some(colon) = (scheme_end..at).find(|&i| chars[i] == ':')
        {
            chars[colon + 1..at].fill('*');
        }
        start = end;
    }
}

fn find(chars: &[char], from: usize, needle: &str) -> Option<usize> {
    let needle: Vec<char> = needle.chars().collect();
    chars[from..].windows(needle.len()).position(|w| w == needle).map(|at| from + at + needle.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_url_is_shown_but_variables() {
        for (text, line, shown) in [
            ("url = \"host=1 password=s3cret\"", 1, "url = \"**********************\""),
            ("url='postgres://a:${PW}@h/x'", 1, "url='*************${PW}****'"),
            ("\"url\" = \"s3cret\" # x", 1, "\"url\" = \"******\" # x"),
            ("a = { url = \"s3cret\", tabel = \"t\" }", 1, "a = { url = \"******\", tabel = \"t\" }"),
            ("a.url = \"s3\"cret\"", 1, "a.url = \"********"),
            ("url = \"s3cr\\\"et\"", 1, "url = \"********\""),
            ("url = s3cret", 1, "url = ******"),
            ("url = \"s3cret", 1, "url = \"******"),
            ("url = \"\"\"\ns3cret\"\"\"\ntable = \"url\"", 2, "******\"\"\""),
            ("url = \"\"\"\ns3cret\"\"\"\ntable = \"url\"", 3, "table = \"url\""),
            ("curl = \"x\" # the url", 1, "curl = \"x\" # the url"),
            ("uri = \"http://a:b/c?d@host/x\"", 1, "uri = \"http://a:*****@host/x\""),
        ] {
            assert_eq!(SpecText { path: Path::new("f"), text }.harmless(line), shown, "{text}");
        }
    }
}
