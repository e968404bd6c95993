//! Imports go downward only. Reads every `src/**/*.rs` and fails on a `crate::` path (in a `use`, in a group, inline, or
//! spelled with `super`) that leads from a layer to one that is not below it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Every module of the crate root, and what it may import. Only `lib.rs`, which declares them, is free.
const LAYERS: &[(&str, &[&str])] = &[
    ("main", &["cli", "error", "event", "fault"]),
    (
        "cli",
        &[
            "stage",
            "migrate",
            "reconcile",
            "rollback",
            "validate",
            "mapping",
            "store",
            "ledger",
            "warehouse",
            "query",
            "spec",
            "event",
            "value",
            "error",
        ],
    ),
    ("stage", &["store", "ledger", "warehouse", "query", "spec", "event", "value", "error"]),
    ("migrate", &["mapping", "store", "ledger", "warehouse", "query", "spec", "event", "value", "error"]),
    ("reconcile", &["mapping", "ledger", "warehouse", "query", "spec", "event", "value", "error"]),
    ("rollback", &["mapping", "store", "ledger", "warehouse", "query", "spec", "event", "value", "error"]),
    ("validate", &["mapping", "ledger", "warehouse", "query", "spec", "event", "value", "error"]),
    ("mapping", &["ledger", "warehouse", "query", "spec", "event", "value", "error"]),
    ("store", &["query", "spec", "event", "value", "error"]),
    ("ledger", &["query", "spec", "event", "value", "error"]),
    ("warehouse", &["query", "spec", "event", "value", "error"]),
    ("query", &["spec", "event", "value", "error"]),
    ("spec", &["value", "error"]),
    ("event", &["value", "error"]),
    ("value", &["error"]),
    ("error", &[]),
    ("fault", &[]),
];

/// What may be imported although it is no layer below: a whole path, or one that begins with it.
const EXCEPTIONS: &[(&str, &str)] = &[("rollback", "migrate::undo"), ("rollback", "migrate::retry")];

#[test]
fn imports_go_downward_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    assert!(!files.is_empty(), "no Rust file under {}", root.display());
    let mut violations = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a source file can be read");
        let module = module_path(file.strip_prefix(&root).expect("the file was found under src"));
        violations
            .extend(check(&module, &text).into_iter().map(|what| format!("{}: {what}", file.display())));
    }
    assert!(violations.is_empty(), "imports that break the layering:\n{}", violations.join("\n"));
}

/// The violations of one file, each as `line N: words`.
fn check(module: &[String], text: &str) -> Vec<String> {
    // `lib.rs` has the empty path: it only declares the others.
    let Some(layer) = module.first() else { return Vec::new() };
    let mut violations = BTreeSet::new();
    for (line, path) in imports(module, &tokens(text)) {
        if let Some(why) = broken_rule(layer, &path) {
            violations.insert((line, format!("line {line}: {why}")));
        }
    }
    violations.into_iter().map(|(_, words)| words).collect()
}

fn broken_rule(layer: &str, path: &[String]) -> Option<String> {
    let whole = path.join("::");
    let Some((_, below)) = LAYERS.iter().find(|(name, _)| *name == layer) else {
        return Some(format!("module {layer} is in no layer: give it a place in tests/it/layering.rs"));
    };
    let wanted = path.first().map_or("", String::as_str);
    if !LAYERS.iter().any(|(name, _)| *name == wanted) {
        return Some(format!("crate::{whole} is in no layer: name the module that defines it"));
    }
    let excepted = |(from, what): &(&str, &str)| {
        *from == layer && (whole == *what || whole.starts_with(&format!("{what}::")))
    };
    if wanted == layer || wanted == "fault" || below.contains(&wanted) || EXCEPTIONS.iter().any(excepted) {
        return None;
    }
    Some(format!("{layer} must not import crate::{whole}"))
}

/// The paths under the crate root that a file names, with their lines: `a::b` for `crate::a::b`.
fn imports(module: &[String], tokens: &[Token]) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    let mut inline_modules: Vec<usize> = Vec::new();
    let mut depth = 0;
    for (i, token) in tokens.iter().enumerate() {
        let follows_path = i > 0 && tokens[i - 1].text == "::";
        match token.text.as_str() {
            "{" => {
                depth += 1;
                if i >= 2 && tokens[i - 2].text == "mod" {
                    inline_modules.push(depth);
                }
            }
            "}" => {
                inline_modules.pop_if(|opened| *opened == depth);
                depth -= 1;
            }
            // `main.rs` is a crate of its own and calls the library by its name.
            "crate" | "recon" if !follows_path && (token.text == "crate" || module == ["main"]) => {
                // Not the `crate` of `pub(crate)`.
                if tokens.get(i + 1).is_none_or(|next| next.text == ")") {
                    continue;
                }
                follow(tokens, i + 1, &[], token.line, &mut found);
            }
            "super" if !follows_path => {
                let ups = supers(tokens, i);
                let levels = module.len() + inline_modules.len();
                // Above the file's own module: what follows is named from there.
                if ups > inline_modules.len() && ups <= levels {
                    let base = &module[..levels - ups];
                    follow(tokens, i + 2 * ups - 1, base, token.line, &mut found);
                }
            }
            _ => {}
        }
    }
    found
}

/// How many `super` stand in a row, joined by `::`.
fn supers(tokens: &[Token], start: usize) -> usize {
    let mut count = 1;
    while tokens.get(start + 2 * count).is_some_and(|t| t.text == "super")
        && tokens[start + 2 * count - 1].text == "::"
    {
        count += 1;
    }
    count
}

/// Reads `::name::name`, `::{a, b::{c, d}}` or `::*` from `at` on, adds each whole path, and returns where it ends.
fn follow(
    tokens: &[Token],
    mut at: usize,
    base: &[String],
    line: usize,
    found: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let mut path = base.to_vec();
    let text = |at: usize| tokens.get(at).map_or("", |t: &Token| t.text.as_str());
    while text(at) == "::" {
        at += 1;
        if text(at) == "{" {
            at += 1;
            while !matches!(text(at), "}" | "") {
                at = if text(at) == "," { at + 1 } else { group_item(tokens, at, &path, found) };
            }
            return at + 1;
        }
        // `self` in a group names the path so far; a turbofish or a qualified path ends it.
        if !is_name(text(at)) {
            break;
        }
        path.push(text(at).to_owned());
        at += 1;
    }
    if path.len() > base.len() || base.is_empty() {
        found.push((line, path));
    }
    at
}

/// One item of a group: `name`, `name::…`, `name as other`, `self` or `*`.
fn group_item(tokens: &[Token], at: usize, base: &[String], found: &mut Vec<(usize, Vec<String>)>) -> usize {
    let token = &tokens[at];
    if token.text == "self" || token.text == "*" {
        found.push((token.line, base.to_vec()));
    } else if is_name(&token.text) {
        let mut path = base.to_vec();
        path.push(token.text.clone());
        if tokens.get(at + 1).is_some_and(|t| t.text == "::") {
            return follow(tokens, at + 1, &path, token.line, found);
        }
        found.push((token.line, path));
    }
    let mut end = at + 1;
    while tokens.get(end).is_some_and(|t| t.text != "," && t.text != "}") {
        end += 1;
    }
    end
}

struct Token {
    text: String,
    line: usize,
}

/// Names, `::` and single signs; no comments, strings or characters, whose text is not code.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < chars.len() {
        let began = at;
        let next = |n: usize| chars.get(at + n).copied().unwrap_or('\0');
        let first = chars[at];
        if first == '/' && next(1) == '/' {
            at = position(&chars, at, |rest| rest[0] == '\n');
        } else if first == '/' && next(1) == '*' {
            at = comment_end(&chars, at);
        } else if let Some(hashes) = raw_string(&chars, at) {
            let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
            let open = position(&chars, at, |rest| rest[0] == '"') + 1;
            at = (position(&chars, open, |rest| rest.starts_with(&close)) + close.len()).min(chars.len());
        } else if first == '"' {
            at = quoted_end(&chars, at, '"');
        } else if first == '\'' && (next(1) == '\\' || next(2) == '\'') {
            at = quoted_end(&chars, at, '\'');
        } else if first.is_alphanumeric() || first == '_' {
            at = position(&chars, at, |rest| !(rest[0].is_alphanumeric() || rest[0] == '_'));
            found.push(Token { text: chars[began..at].iter().collect(), line });
        } else if first == ':' && next(1) == ':' {
            at += 2;
            found.push(Token { text: "::".to_owned(), line });
        } else {
            at += 1;
            if !first.is_whitespace() {
                found.push(Token { text: first.to_string(), line });
            }
        }
        line += chars[began..at].iter().filter(|c| **c == '\n').count();
    }
    found
}

/// The first index from `at` on whose rest satisfies `wanted`, or the end.
fn position(chars: &[char], at: usize, wanted: impl Fn(&[char]) -> bool) -> usize {
    (at..chars.len()).find(|i| wanted(&chars[*i..])).unwrap_or(chars.len())
}

fn quoted_end(chars: &[char], mut at: usize, quote: char) -> usize {
    at += 1;
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

fn comment_end(chars: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    while at < chars.len() {
        let two = (chars[at], chars.get(at + 1).copied().unwrap_or('\0'));
        match two {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            break;
        }
    }
    at.min(chars.len())
}

/// The number of `#` of a raw string (`r"`, `br#"`, `cr##"`) that begins here.
fn raw_string(chars: &[char], at: usize) -> Option<usize> {
    if at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_') {
        return None;
    }
    let rest = &chars[at..];
    let prefix = if rest.first() == Some(&'r') {
        1
    } else if matches!(rest.first(), Some('b' | 'c')) && rest.get(1) == Some(&'r') {
        2
    } else {
        return None;
    };
    let hashes = rest[prefix..].iter().take_while(|c| **c == '#').count();
    (rest.get(prefix + hashes) == Some(&'"')).then_some(hashes)
}

fn is_name(text: &str) -> bool {
    text != "self" && text.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_')
}

/// `stage/csv/mod.rs` is `["stage", "csv"]`, `main.rs` is `["main"]`, `lib.rs` is the empty path.
fn module_path(file: &Path) -> Vec<String> {
    let mut path: Vec<String> = file
        .with_extension("")
        .components()
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    if path.last().is_some_and(|last| last == "mod") || path == ["lib"] {
        path.pop();
    }
    path
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("src can be listed") {
        let path = entry.expect("src can be listed").path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files.sort();
}

fn violations(file: &str, text: &str) -> Vec<String> {
    check(&module_path(Path::new(file)), text)
}

/// A file, a text planted in it, and what must be said of it.
const PLANTED: &[(&str, &str, &str)] = &[
    ("ledger.rs", "use crate::stage::Unit;", "line 1: ledger must not import crate::stage::Unit"),
    (
        "stage/csv.rs",
        "\nuse crate::{error::Result, reconcile::{self, rules::Rule}};",
        "line 2: stage must not import crate::reconcile",
    ),
    (
        "stage/csv.rs",
        "use crate::{\n  error::{Error, Result},\n  migrate,\n};",
        "line 3: stage must not import crate::migrate",
    ),
    (
        "value/mod.rs",
        "fn f() -> crate::ledger::Id { todo() }",
        "line 1: value must not import crate::ledger::Id",
    ),
    ("spec/mod.rs", "pub use crate::event as happenings;", "line 1: spec must not import crate::event"),
    (
        "rollback/mod.rs",
        "use crate::migrate::{Target, plan};",
        "line 1: rollback must not import crate::migrate::plan",
    ),
    (
        "migrate/mod.rs",
        "use crate::rollback::Manifest;",
        "line 1: migrate must not import crate::rollback::Manifest",
    ),
    ("main.rs", "use recon::ledger;", "line 1: main must not import crate::ledger"),
    ("stage/mod.rs", "use super::reconcile::diff;", "line 1: stage must not import crate::reconcile::diff"),
    (
        "stage/csv/mod.rs",
        "mod t { use super::super::super::cli; }",
        "line 1: stage must not import crate::cli",
    ),
    ("warehouse.rs", "use crate::*;", "line 1: crate:: is in no layer: name the module that defines it"),
    ("value.rs", "use crate as root;", "line 1: crate:: is in no layer: name the module that defines it"),
    (
        "error.rs",
        "use crate::fault; use crate::elsewhere::X;",
        "line 1: crate::elsewhere::X is in no layer: name the module that defines it",
    ),
    (
        "odd.rs",
        "use crate::error::Error;",
        "line 1: module odd is in no layer: give it a place in tests/it/layering.rs",
    ),
    (
        "query.rs",
        "let s = r#\"\"#; let c = '\"'; crate::ledger::open('\\'')",
        "line 1: query must not import crate::ledger::open",
    ),
    (
        "event.rs",
        "fn f<'a>(x: &'a str) { crate::spec::read(x) }",
        "line 1: event must not import crate::spec::read",
    ),
];

#[test]
fn planted_violations_are_found() {
    for (file, text, expected) in PLANTED {
        let found = violations(file, text);
        assert!(
            found.iter().any(|what| what == expected),
            "{file}: {text}\nfound {found:?}\nexpected {expected}"
        );
    }
    let both = violations("stage/x.rs", "use crate::{reconcile::{self, rules::Rule}, rollback};");
    assert_eq!(both.len(), 3, "{both:?}");
}

#[test]
fn what_is_allowed_passes() {
    let allowed = [
        ("lib.rs", "pub mod cli; pub use crate::cli::run;"),
        ("main.rs", "use recon::cli; fn main() { recon::cli::main() }"),
        ("cli/diff.rs", "use crate::{reconcile, stage::{self, Unit}, error::Result}; use super::status;"),
        (
            "rollback/apply.rs",
            "use crate::migrate::undo::Undo; use crate::migrate::retry::{Retries as Tries}; use super::plan;",
        ),
        ("stage/csv/mod.rs", "use super::sink; use super::super::error::Result; mod tests { use super::*; }"),
        (
            "value/kind.rs",
            "// crate::ledger\n/* use /* crate::cli */ crate::stage; */ const S: &str = \"crate::cli\"; use crate::error::Error;",
        ),
        ("ledger.rs", "use crate::fault; fn f() { crate::fault::point(r##\"crate::cli \"# \"##) }"),
        ("spec/mod.rs", "use crate::value::kind::Type; pub(crate) fn f() {} pub(in crate::spec) fn g() {}"),
        ("query.rs", "macro_rules! m { () => { $crate::error::f() } }"),
    ];
    for (file, text) in allowed {
        assert_eq!(violations(file, text), Vec::<String>::new(), "{file}: {text}");
    }
}
