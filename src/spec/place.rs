//! Places in a spec file, and errors that show them.
//!
//! In: byte spans of the text. Out: lines and columns (1-based, in characters), and errors with the offending line and a
//! caret under the offending text. What is shown is the file's own text, before interpolation: no value of an
//! environment variable can be in it.

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
        let shown = mask_passwords(self.text.lines().nth(line - 1).unwrap_or_default());
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

fn push_help(text: &mut String, help: Option<String>) {
    if let Some(help) = help {
        text.push_str(&format!("\n  help: {help}"));
    }
}

/// Stars in place of the password of every URL in a line, character for character (the caret must still fit), and no
/// control character that a terminal would act on.
fn mask_passwords(line: &str) -> String {
    let mut chars: Vec<char> = line.chars().collect();
    let mut start = 0;
    while let Some(scheme_end) = find(&chars, start, "://") {
        let authority = scheme_end..end_of_authority(&chars, scheme_end);
        if let Some(at) = authority.clone().rev().find(|&i| chars[i] == '@')
            && let Some(colon) = (authority.start..at).find(|&i| chars[i] == ':')
        {
            chars[colon + 1..at].fill('*');
        }
        start = authority.end;
    }
    chars.into_iter().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

fn find(chars: &[char], from: usize, needle: &str) -> Option<usize> {
    let needle: Vec<char> = needle.chars().collect();
    chars[from..].windows(needle.len()).position(|w| w == needle).map(|at| from + at + needle.len())
}

fn end_of_authority(chars: &[char], from: usize) -> usize {
    let ends = |c: &char| matches!(c, '/' | '"' | '\'' | '?' | '#') || c.is_whitespace();
    chars[from..].iter().position(ends).map_or(chars.len(), |length| from + length)
}
