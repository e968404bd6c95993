//! One table in every store: each pair of stores is equal, and each changed cell is found as that cell.

mod columns;
mod migrated;
mod stores;

use self::columns::{COLUMNS, Column};
use self::stores::{Row, Store};
use crate::project::Project;
use crate::servers::dynamodb::ENVIRONMENT;

/// A row for each column, one of the other values, one of NULLs. Where `changed`, row number k has the other value in column
/// number k.
fn rows(changed: bool) -> Vec<Row> {
    let key = |n: usize| (["a|b", "a", "é'\"\\"][n % 3], n);
    let mut rows: Vec<Row> = (0..COLUMNS.len())
        .map(|n| {
            let mut values: Vec<_> = COLUMNS.iter().map(|(_, _, value, _)| *value).collect();
            if changed {
                values[n] = COLUMNS[n].3;
            }
            Row { key: key(n), values }
        })
        .collect();
    let others = COLUMNS.iter().map(|(.., other)| *other).collect();
    rows.push(Row { key: key(COLUMNS.len()), values: others });
    rows.push(Row { key: key(COLUMNS.len() + 1), values: vec![None; COLUMNS.len()] });
    rows
}

/// An entity of two stores, with a type for every field or only where it takes one.
fn entity(a: Store, b: Store, target: &str, all_declared: bool) -> String {
    let (source, other) = (a.name(), b.name());
    let mut text = format!(
        "[entities.{source}_{other}]\nsource = \"{source}_a\"\ntarget = \"{other}_{target}\"\nkey = [\"k1\", \"k2\"]\n\n\
         [entities.{source}_{other}.fields]\nk1 = \"k1\"\nk2 = {{ type = \"int\" }}\n"
    );
    for (name, kind, ..) in COLUMNS.iter().filter(|column| a.holds(column) && b.holds(column)) {
        if all_declared || Store::need_a_type(a, b, *kind) {
            text.push_str(&format!("{name} = {{ type = \"{}\" }}\n", kind.declared()));
        } else {
            text.push_str(&format!("{name} = \"{name}\"\n"));
        }
    }
    text.push('\n');
    text
}

fn pairs() -> impl Iterator<Item = (Store, Store)> {
    Store::ALL.into_iter().flat_map(|a| Store::ALL.into_iter().map(move |b| (a, b)))
}

fn position(store: Store) -> usize {
    Store::ALL.iter().position(|s| *s == store).expect("a store")
}

#[test]
fn every_pair_of_stores_is_equal_and_each_changed_cell_is_found_as_that_cell() {
    let project = Project::new();
    let mut datasets = String::new();
    for store in Store::ALL {
        for (name, changed) in [("a", false), ("b", true)] {
            let name = format!("{}_{name}", store.name());
            let place = store.write(&project, &name, rows(changed));
            datasets.push_str(&format!("[datasets.{name}]\n{place}\n\n"));
        }
    }
    // One way the stores' own types decide, the other way the spec does.
    let spec = |target: &str, wanted: fn(Store, Store) -> bool| {
        let chosen = pairs().filter(|(a, b)| wanted(*a, *b));
        let entities: String = chosen.map(|(a, b)| entity(a, b, target, position(a) > position(b))).collect();
        format!("{datasets}{entities}")
    };
    project.write("recon.toml", spec("b", |_, _| true));
    let staged = project.recon_with(&["stage"], &ENVIRONMENT);
    assert_eq!(staged.code, 0, "{}", staged.stderr);
    let code = project.recon(&["diff", "--out", "changed", "--quiet"]).code;
    let wrong: Vec<String> = pairs().filter_map(|(a, b)| difference(&project, "changed", a, b)).collect();
    assert!(wrong.is_empty(), "exit {code}\n{}", wrong.join("\n"));
    assert_eq!(code, 1);
    project.write("recon.toml", spec("a", |a, b| a != b));
    let code = project.recon(&["diff", "--out", "equal", "--quiet"]).code;
    let wrong: Vec<String> =
        pairs().filter(|(a, b)| a != b).filter_map(|(a, b)| difference(&project, "equal", a, b)).collect();
    assert!(wrong.is_empty(), "exit {code}\n{}", wrong.join("\n"));
    assert_eq!(code, 0);
}

/// What was found of a pair other than what was planted: in words.
fn difference(project: &Project, folder: &str, a: Store, b: Store) -> Option<String> {
    let name = format!("{}_{}", a.name(), b.name());
    let held = |(_, column): &(usize, &Column)| a.holds(column) && b.holds(column);
    let mut planted: Vec<(usize, String)> = match folder {
        "changed" => COLUMNS.iter().enumerate().filter(held).map(|(n, c)| (n, c.0.to_owned())).collect(),
        _ => Vec::new(),
    };
    planted.sort();
    let found = project.mismatches(folder, &name);
    let entity = &project.summary(folder)["entities"][&name];
    let unchecked = project.read(&format!("{folder}/failures.csv"));
    let unchecked: Vec<&str> =
        unchecked.lines().filter(|line| line.starts_with(&format!("{name},"))).collect();
    let not_compared: Vec<String> = entity["fields"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, field)| field["status"] != "compared")
        .map(|(name, field)| format!("{name}: {}", field["reason"]))
        .collect();
    let matched = COLUMNS.len() + 2 - planted.len();
    let is_right = found == planted && entity["matched"] == matched && not_compared.is_empty();
    let lost: Vec<_> = planted.iter().filter(|cell| !found.contains(cell)).collect();
    let false_: Vec<_> = found.iter().filter(|cell| !planted.contains(cell)).collect();
    (!is_right || !unchecked.is_empty()).then(|| {
        format!(
            "{name}: {} matched, {lost:?} not found, {false_:?} found, {not_compared:?}, {unchecked:?}",
            entity["matched"]
        )
    })
}
