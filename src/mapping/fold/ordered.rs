//! Aggregates that give the same value each time: the engine hands rows to them in any order, so those that depend on it are given
//! one, the order in which the rows were staged, behind the order that the spec says.

use serde_json::{Value as Json, json};

use crate::error::Result;
use crate::mapping::expression::{self, Problem};
use crate::query;
use crate::warehouse::Warehouse;

/// Aggregates that give the same value in whatever order they see the rows.
const WITHOUT_ORDER: [&str; 16] = [
    "approx_count_distinct",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "count",
    "count_if",
    "count_star",
    "countif",
    "max",
    "median",
    "min",
    "quantile",
    "quantile_cont",
    "quantile_disc",
];
/// What cannot be given an order: macros around aggregates, and samples.
const REFUSED: [&str; 7] = [
    "geomean",
    "geometric_mean",
    "json_group_array",
    "json_group_object",
    "reservoir_quantile",
    "wavg",
    "weighted_avg",
];
/// How the engine's parser shows `order by __recon_pos`.
const POSITION: &str = "__recon_pos";

/// A piece of SQL with an order in each of its aggregates that needs one.
///
/// # Errors
/// What the engine says where it cannot even be asked.
pub(super) fn ordered(warehouse: &Warehouse, text: &str) -> Result<Result<String, Problem>> {
    let mut tree = expression::parsed(warehouse, &format!("select {text}\n"))?;
    let mut names = Vec::new();
    functions(&tree, &mut names);
    if let Some(name) = names.iter().find(|name| REFUSED.contains(&name.as_str())) {
        let message = format!("`{name}` cannot be used here: its value depends on the order of the rows");
        return Ok(Err(Problem { offset: 0, message }));
    }
    let aggregates = expression::aggregates(warehouse, &names)?;
    let mut found = Vec::new();
    if let Err(name) = add_order(&mut tree, &aggregates, false, &mut found) {
        let message =
            format!("`{name}` of DISTINCT values needs their order, as in `{name}(distinct x order by x)`");
        return Ok(Err(Problem { offset: 0, message }));
    }
    let mut out = text.to_owned();
    found.sort_unstable_by(|a, b| b.cmp(a));
    let calls = query::calls(text).unwrap_or_default();
    for (at, has_order) in found {
        let Some(call) = calls.iter().find(|call| call.start == at) else { continue };
        let order = if has_order { format!("\n, {POSITION}") } else { format!("\n order by {POSITION}") };
        out.insert_str(call.end, &order);
    }
    // What was written must be what was meant.
    let mut written = expression::parsed(warehouse, &format!("select {out}\n"))?;
    expression::forget_places(&mut tree);
    expression::forget_places(&mut written);
    if tree["statements"] != written["statements"] {
        let message = "SQL whose aggregates are not written as `name(…)`".to_owned();
        return Ok(Err(Problem { offset: 0, message }));
    }
    Ok(Ok(out))
}

/// The names of all functions.
fn functions(tree: &Json, names: &mut Vec<String>) {
    match tree {
        Json::Object(members) => {
            names.extend(tree["function_name"].as_str().map(str::to_lowercase));
            members.values().for_each(|inner| functions(inner, names));
        }
        Json::Array(elements) => elements.iter().for_each(|inner| functions(inner, names)),
        _ => {}
    }
}

/// Adds the position to the order of each aggregate that needs one. `found` gets where each is, and whether it has an order of
/// its own; `is_sorted`: what it gives is sorted afterwards, which is what the parser makes of `list(x order by x)`.
///
/// # Errors
/// The name of one that needs an order and can have none.
fn add_order(
    tree: &mut Json,
    aggregates: &[String],
    is_sorted: bool,
    found: &mut Vec<(usize, bool)>,
) -> Result<(), String> {
    let members = match tree {
        Json::Object(members) => members,
        Json::Array(elements) => {
            return elements.iter_mut().try_for_each(|inner| add_order(inner, aggregates, is_sorted, found));
        }
        _ => return Ok(()),
    };
    let name = members.get("function_name").and_then(Json::as_str).unwrap_or_default().to_lowercase();
    if aggregates.contains(&name) && !WITHOUT_ORDER.contains(&name.as_str()) {
        let at = members["query_location"].as_u64().unwrap_or_default();
        // `list(x order by x)` is one that the parser made, and sorts.
        let is_made = is_sorted && at == u64::MAX;
        let is_distinct = members["distinct"] == Json::Bool(true);
        match members["order_bys"]["orders"].as_array_mut() {
            Some(orders) if is_distinct && orders.is_empty() && !is_sorted => return Err(name),
            Some(orders) if !is_distinct && !is_made => {
                let start = (at as usize).saturating_sub("select ".len());
                found.push((start, !orders.is_empty()));
                orders.push(position());
            }
            _ => {}
        }
    }
    members.iter_mut().try_for_each(|(key, inner)| {
        add_order(inner, aggregates, name == "list_sort" && key == "children", found)
    })
}

/// As the engine's parser shows it.
fn position() -> Json {
    json!({
        "type": "ORDER_DEFAULT",
        "null_order": "ORDER_DEFAULT",
        "expression": { "class": "COLUMN_REF", "type": "COLUMN_REF", "alias": "", "column_names": [POSITION] },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> String {
        let warehouse = Warehouse::in_memory(1, 64 << 20).unwrap();
        match ordered(&warehouse, text).unwrap() {
            Ok(text) => text.replace('\n', ""),
            Err(problem) => problem.message,
        }
    }

    #[test]
    fn what_depends_on_the_order_is_given_one() {
        for (text, want) in [
            ("sum(n)", "sum(n order by __recon_pos)"),
            ("List(x Order By y desc)", "List(x Order By y desc, __recon_pos)"),
            (
                "first(lower(x)) || string_agg(x, '),(')",
                "first(lower(x) order by __recon_pos) || string_agg(x, '),(' order by __recon_pos)",
            ),
            ("list(x) filter (x > 'é') [1]", "list(x order by __recon_pos) filter (x > 'é') [1]"),
            (
                "list_transform(list(x), lambda e: e + 1)",
                "list_transform(list(x order by __recon_pos), lambda e: e + 1)",
            ),
            (
                "max(x) - min(x) + count(*) + count(distinct y)",
                "max(x) - min(x) + count(*) + count(distinct y)",
            ),
            ("list(distinct x order by x)", "list(distinct x order by x)"),
            ("list(x order by x desc)", "list(x order by x desc)"),
            (
                "percentile_cont(0.5) within group (order by x)",
                "percentile_cont(0.5) within group (order by x)",
            ),
            ("substr(x, 2)", "substr(x, 2)"),
            ("sum(x -- all of it\n)", "sum(x -- all of it order by __recon_pos)"),
        ] {
            assert_eq!(of(text), want, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_given_one_is_refused() {
        for (text, word) in [
            ("list(distinct x)", "`list` of DISTINCT values"),
            ("geomean(x)", "`geomean`"),
            ("json_group_array(x)", "`json_group_array`"),
            ("x.list()", "not written as"),
            ("mode() within group (order by x)", "not written as"),
        ] {
            assert!(of(text).contains(word), "{text}: {}", of(text));
        }
    }
}
