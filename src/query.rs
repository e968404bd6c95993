//! The SQL that recon runs: every statement is a file under `queries/`, embedded here; dynamic pieces go in through
//! [`render`], identifiers and texts only through [`identifier`] and [`literal`].

use sqlparser::dialect::DuckDbDialect;
use sqlparser::tokenizer::{Token, Tokenizer};

/// Statements of the ledger (SQLite).
pub mod ledger {
    /// Numbered migrations, in order.
    pub const MIGRATIONS: [&str; 6] = [
        include_str!("../queries/ledger/0001_create.sql"),
        include_str!("../queries/ledger/0002_proofs.sql"),
        include_str!("../queries/ledger/0003_steps.sql"),
        include_str!("../queries/ledger/0004_migrations.sql"),
        include_str!("../queries/ledger/0005_rollbacks.sql"),
        include_str!("../queries/ledger/0006_times.sql"),
    ];
    pub(crate) const INSERT_RUN: &str = include_str!("../queries/ledger/insert_run.sql");
    pub(crate) const FINISH_RUN: &str = include_str!("../queries/ledger/finish_run.sql");
    pub(crate) const CLOSE_ABANDONED_RUNS: &str = include_str!("../queries/ledger/close_abandoned_runs.sql");
    pub(crate) const RUNS: &str = include_str!("../queries/ledger/runs.sql");
    pub(crate) const LATEST_GENERATION: &str = include_str!("../queries/ledger/latest_generation.sql");
    pub(crate) const GENERATIONS_OF: &str = include_str!("../queries/ledger/generations_of.sql");
    pub(crate) const INSERT_GENERATION: &str = include_str!("../queries/ledger/insert_generation.sql");
    pub(crate) const DESCRIBE_GENERATION: &str = include_str!("../queries/ledger/describe_generation.sql");
    pub(crate) const COMPLETE_GENERATION: &str = include_str!("../queries/ledger/complete_generation.sql");
    pub(crate) const DELETE_OLD_GENERATIONS: &str =
        include_str!("../queries/ledger/delete_old_generations.sql");
    pub(crate) const INSERT_UNIT: &str = include_str!("../queries/ledger/insert_unit.sql");
    pub(crate) const UNITS: &str = include_str!("../queries/ledger/units.sql");
    pub(crate) const INSERT_TOTAL: &str = include_str!("../queries/ledger/insert_total.sql");
    pub(crate) const TOTALS: &str = include_str!("../queries/ledger/totals.sql");
    pub(crate) const INSERT_PROGRESS: &str = include_str!("../queries/ledger/insert_progress.sql");
    pub(crate) const PROGRESS: &str = include_str!("../queries/ledger/progress.sql");
    pub(crate) const SETTING: &str = include_str!("../queries/ledger/setting.sql");
    pub(crate) const INSERT_SETTING: &str = include_str!("../queries/ledger/insert_setting.sql");
    pub(crate) const RESUME_RUN: &str = include_str!("../queries/ledger/resume_run.sql");
    pub(crate) const INSERT_MIGRATION: &str = include_str!("../queries/ledger/insert_migration.sql");
    pub(crate) const PLAN_MIGRATION: &str = include_str!("../queries/ledger/plan_migration.sql");
    pub(crate) const END_MIGRATION: &str = include_str!("../queries/ledger/end_migration.sql");
    pub(crate) const MIGRATIONS_OF_RUNS: &str = include_str!("../queries/ledger/migrations.sql");
    pub(crate) const LAST_MIGRATION: &str = include_str!("../queries/ledger/last_migration.sql");
    pub(crate) const BATCHES: &str = include_str!("../queries/ledger/batches.sql");
    pub(crate) const BEGIN_BATCH: &str = include_str!("../queries/ledger/begin_batch.sql");
    pub(crate) const APPLY_BATCH: &str = include_str!("../queries/ledger/apply_batch.sql");
    pub(crate) const ADD_TO_MIGRATION: &str = include_str!("../queries/ledger/add_to_migration.sql");
    pub(crate) const INSERT_EXCEPTION: &str = include_str!("../queries/ledger/insert_exception.sql");
    pub(crate) const OPEN_EXCEPTIONS: &str = include_str!("../queries/ledger/open_exceptions.sql");
    pub(crate) const HAS_OPEN_EXCEPTIONS: &str = include_str!("../queries/ledger/has_open_exceptions.sql");
    pub(crate) const RESOLVE_KEY: &str = include_str!("../queries/ledger/resolve_key.sql");
    pub(crate) const RESOLVE_POSITION: &str = include_str!("../queries/ledger/resolve_position.sql");
    pub(crate) const RESOLVE_OLDER: &str = include_str!("../queries/ledger/resolve_older.sql");
    pub(crate) const EXCEPTIONS: &str = include_str!("../queries/ledger/exceptions.sql");
    pub(crate) const SETTLE_BATCH: &str = include_str!("../queries/ledger/settle_batch.sql");
    pub(crate) const SETTLE_UNDO_BATCH: &str = include_str!("../queries/ledger/settle_undo_batch.sql");
    pub(crate) const INSERT_ROLLBACK: &str = include_str!("../queries/ledger/insert_rollback.sql");
    pub(crate) const PLAN_ROLLBACK: &str = include_str!("../queries/ledger/plan_rollback.sql");
    pub(crate) const END_ROLLBACK: &str = include_str!("../queries/ledger/end_rollback.sql");
    pub(crate) const ROLLBACKS: &str = include_str!("../queries/ledger/rollbacks.sql");
    pub(crate) const UNDO_BATCHES: &str = include_str!("../queries/ledger/undo_batches.sql");
    pub(crate) const BEGIN_UNDO_BATCH: &str = include_str!("../queries/ledger/begin_undo_batch.sql");
    pub(crate) const END_UNDO_BATCH: &str = include_str!("../queries/ledger/end_undo_batch.sql");
    pub(crate) const ADD_TO_ROLLBACK: &str = include_str!("../queries/ledger/add_to_rollback.sql");
    pub(crate) const INSERT_UNDO_EXCEPTION: &str =
        include_str!("../queries/ledger/insert_undo_exception.sql");
    pub(crate) const UNDO_EXCEPTIONS: &str = include_str!("../queries/ledger/undo_exceptions.sql");
}

/// Puts pieces of SQL in place of `{{name}}`. The pieces are our own or came through [`identifier`] or [`literal`].
///
/// # Panics
/// When a placeholder stays empty or a piece has none: a mistake in our own code that every run would show.
pub fn render(template: &str, pieces: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some(start) = rest.find("{{") {
        let end = rest[start..].find("}}").expect("a placeholder ends with }}") + start;
        let name = &rest[start + 2..end];
        let piece = pieces.iter().find(|(n, _)| *n == name).unwrap_or_else(|| panic!("no piece for {name}"));
        out.push_str(&rest[..start]);
        out.push_str(piece.1);
        rest = &rest[end + 2..];
    }
    out.push_str(rest);
    out
}

/// Quotes a name for DuckDB.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a text for DuckDB.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A file's name for DuckDB to read from, which would take `*`, `?` and `[` in it for a pattern. Not for writing.
pub fn file(path: &std::path::Path) -> String {
    literal(&pattern(path, ""))
}

/// What matches the files in a folder whose names match `names`, for DuckDB and for the crate `glob` alike. The folder's own name
/// is only a name; with an empty `names` it is a file's.
pub fn pattern(folder: &std::path::Path, names: &str) -> String {
    let folder = glob::Pattern::escape(&folder.display().to_string());
    if names.is_empty() { folder } else { format!("{folder}/{names}") }
}

/// A name or a dotted path in a piece of SQL, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The parts, unquoted.
    pub parts: Vec<String>,
    /// Byte range in the text.
    pub range: std::ops::Range<usize>,
    /// Whether it is followed by `(`, hence a function.
    pub call: bool,
}

/// All names and dotted paths in an expression; `None` where it is not even made of SQL tokens.
pub fn paths(expression: &str) -> Option<Vec<Path>> {
    let tokens = Tokenizer::new(&DuckDbDialect {}, expression).tokenize_with_location().ok()?;
    let offsets: Vec<usize> =
        tokens.iter().map(|t| offset(expression, t.span.start.line, t.span.start.column)).collect();
    let end_of = |i: usize| offsets.get(i + 1).copied().unwrap_or(expression.len());
    let mut found = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        let Token::Word(first) = &tokens[i].token else {
            i += 1;
            continue;
        };
        let (start, mut last, mut parts) = (i, i, vec![first.value.clone()]);
        while let (Some(Token::Period), Some(Token::Word(word))) =
            (tokens.get(last + 1).map(|t| &t.token), tokens.get(last + 2).map(|t| &t.token))
        {
            parts.push(word.value.clone());
            last += 2;
        }
        let next = tokens[last + 1..].iter().map(|t| &t.token).find(|t| !matches!(t, Token::Whitespace(_)));
        found.push(Path {
            parts,
            range: offsets[start]..end_of(last),
            call: matches!(next, Some(Token::LParen)),
        });
        i = last + 1;
    }
    Some(found)
}

/// All `name(…)` in an expression: from where the name begins to the closing parenthesis; `None` where it is not even made of SQL
/// tokens.
pub fn calls(expression: &str) -> Option<Vec<std::ops::Range<usize>>> {
    let tokens = Tokenizer::new(&DuckDbDialect {}, expression).tokenize_with_location().ok()?;
    let (mut found, mut open, mut name) = (Vec::new(), Vec::new(), None);
    for token in &tokens {
        let at = || offset(expression, token.span.start.line, token.span.start.column);
        match &token.token {
            Token::Whitespace(_) => continue,
            Token::LParen => open.push(name),
            Token::RParen => found.extend(open.pop().flatten().map(|start| start..at())),
            _ => {}
        }
        name = matches!(token.token, Token::Word(_)).then(at);
    }
    Some(found)
}

/// Whether a piece of SQL closes every parenthesis that it opens, and no other, so that it stays what it is in the midst of more.
pub fn is_closed(expression: &str) -> bool {
    let Ok(tokens) = Tokenizer::new(&DuckDbDialect {}, expression).tokenize() else { return false };
    let mut open = 0_i32;
    for token in tokens {
        match token {
            Token::LParen => open += 1,
            Token::RParen => open -= 1,
            Token::SemiColon => return false,
            _ => {}
        }
        if open < 0 {
            return false;
        }
    }
    open == 0
}

/// The path that an expression consists of, where it is nothing else.
pub fn single_path(expression: &str) -> Option<Vec<String>> {
    let trimmed = expression.trim();
    match paths(trimmed)?.as_slice() {
        [path] if path.range == (0..trimmed.len()) => Some(path.parts.clone()),
        _ => None,
    }
}

fn offset(text: &str, line: u64, column: u64) -> usize {
    let start = text.split_inclusive('\n').take(line.saturating_sub(1) as usize).map(str::len).sum::<usize>();
    let in_line = text[start..].char_indices().nth(column.saturating_sub(1) as usize);
    in_line.map_or(text.len(), |(i, _)| start + i)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_only_names() {
        assert_eq!(identifier("a;drop \"x\""), "\"a;drop \"\"x\"\"\"");
        assert_eq!(literal("o'clock"), "'o''clock'");
    }

    #[test]
    fn paths_are_found_outside_texts_and_comments() {
        let sql = "lower(attributes.\"odd name\".x) || 'a.b' -- c.d\n || é.f";
        let found: Vec<_> =
            paths(sql).expect("tokens").into_iter().map(|p| (sql[p.range].to_owned(), p.call)).collect();
        let want = [("lower", true), ("attributes.\"odd name\".x", false), ("é.f", false)];
        assert_eq!(found, want.map(|(t, c)| (t.to_owned(), c)));
        assert_eq!(single_path(" \"a.b\".c "), Some(vec!["a.b".to_owned(), "c".to_owned()]));
        assert_eq!(single_path("a + 1"), None);
        assert_eq!(single_path("f()"), None);
    }

    #[test]
    #[should_panic(expected = "no piece for b")]
    fn an_empty_placeholder_is_a_mistake() {
        render("{{a}} {{b}}", &[("a", "1")]);
    }
}
