//! What the pages point at is there: links and headings in them, and the tests that they name.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page that a reader may come to.
fn pages() -> Vec<PathBuf> {
    let mut all = Vec::new();
    for pattern in ["*.md", "docs/*.md", "benches/*.md", "fixtures/migrations/*/*.md"] {
        let found = glob::glob(&root().join(pattern).display().to_string()).expect("a pattern");
        all.extend(found.map(|page| page.expect("a path")));
    }
    assert!(all.len() > 8, "{all:?}");
    all
}

/// The lines of a page that are no code.
fn prose(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).expect("a page");
    let mut is_code = false;
    let mut keep = |line: &&str| {
        let fence = line.trim_start().starts_with("```");
        is_code ^= fence;
        !fence && !is_code
    };
    text.lines().filter(|line| keep(line)).map(str::to_owned).collect()
}

/// What a heading is called in a link: small letters, no punctuation, hyphens for spaces.
fn anchors(page: &Path) -> BTreeSet<String> {
    let headings = prose(page).into_iter().filter(|line| line.starts_with('#'));
    let anchor = |heading: String| {
        let title = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.collect::<String>().replace(' ', "-")
    };
    headings.map(anchor).collect()
}

/// What stands between two words, each time.
fn between<'t>(text: &'t str, before: &'t str, after: &'t str) -> impl Iterator<Item = &'t str> {
    text.split(before).skip(1).filter_map(move |rest| rest.split_once(after).map(|(found, _)| found))
}

#[test]
fn links_lead_somewhere() {
    let (mut wrong, mut followed) = (Vec::new(), 0);
    for page in pages() {
        let text = prose(&page).join("\n");
        for to in
            between(&text, "](", ")").filter(|to| !to.contains("://") && !to.contains(char::is_whitespace))
        {
            followed += 1;
            let (file, anchor) = to.split_once('#').unwrap_or((to, ""));
            let target = match file {
                "" => page.clone(),
                file => page.parent().expect("a folder").join(file),
            };
            if !target.exists() || !(anchor.is_empty() || anchors(&target).contains(anchor)) {
                wrong.push(format!("{}: {to}", page.display()));
            }
        }
    }
    assert!(wrong.is_empty() && followed > 30, "{followed} links, of which these lead nowhere: {wrong:#?}");
}

/// `a::b::c` is the function `c` in `tests/it/a/b.rs` or `tests/it/a/b/mod.rs`, or one of the list of which a macro in `tests/it/a.rs` makes tests in a module `b`.
#[test]
fn tests_that_are_named_are_there() {
    let text = fs::read_to_string(root().join("docs/coverage.md")).expect("a page");
    let mut named = 0;
    for (module, test) in between(&text, "| `", "` |").filter_map(|name| name.rsplit_once("::")) {
        named += 1;
        let folder = root().join("tests/it").join(module.replace("::", "/"));
        let own = folder.join("mod.rs");
        let path = if own.exists() { own } else { folder.with_extension("rs") };
        let is_there = match fs::read_to_string(&path) {
            Ok(source) => source.contains(&format!("#[test]\nfn {test}()")),
            Err(_) => {
                let listed = path.parent().expect("a folder").with_extension("rs");
                let source =
                    fs::read_to_string(&listed).unwrap_or_else(|e| panic!("{}: {e}", listed.display()));
                let store = module.rsplit("::").next().expect("a module");
                source.contains(&format!("!({store}, ")) && source.contains(&format!("    {test},\n"))
            }
        };
        assert!(is_there, "{}: no test {test}", path.display());
    }
    assert!(named > 20, "{named}");
}
