//! The records of both directions, and those among them that cannot go in.

use std::fmt::Write;
use std::path::Path;

use serde_json::{Value as Json, json};

use super::State;
use crate::project::write_export;

/// Users of the export; each image is one of theirs.
pub(super) const USERS: u64 = 500;
/// Images of which the export has a second item with the same key, as long as it is not mended.
pub(super) const TWICE: u64 = 1;

/// A record that cannot go in.
pub(super) struct Poison {
    pub(super) entity: &'static str,
    /// The first field of its key.
    pub(super) key: String,
    /// How failures.csv calls the reason.
    pub(super) code: &'static str,
    /// How many records have that key.
    pub(super) records: u64,
}

/// An item of the export by its number, spoiled where it is one of the poisoned; and the reason.
fn image(id: u64, state: State) -> (Json, Option<&'static str>) {
    let mut item = json!({
        "PK": { "S": format!("IMAGE#{id}") }, "SK": { "S": "METADATA" }, "userId": { "S": format!("u{}", id % (USERS - 1)) },
        "title": { "S": format!("image {id}") }, "size": { "N": (id + 1).to_string() }, "tags": { "SS": ["sea", format!("t{}", id % 7)] },
        "attributes": { "M": { "price": { "N": format!("{}.25", id % 1000) }, "colour": { "S": "red" } } },
        "createdAt": { "S": format!("2024-05-01T10:{:02}:{:02}.250Z", id / 60 % 60, id % 60) },
    });
    if state == State::Mended {
        return (item, None);
    }
    let (name, value, code) = match id {
        11 => ("title", json!({ "S": "a\u{0}b" }), "nul"),
        222 => ("title", json!({ "S": "x".repeat(81) }), "too_long"),
        333 => ("size", json!({ "N": "3000000000" }), "range"),
        444 => ("title", json!({ "NULL": true }), "23502"),
        555 => ("size", json!({ "N": "-1" }), "23514"),
        666 => ("userId", json!({ "S": "nobody" }), "23503"),
        777 => ("createdAt", json!({ "S": "yesterday" }), "cast"),
        888 => ("attributes", json!({ "M": { "price": { "N": "1.234" } } }), "cast"),
        999 => ("SK", json!({ "S": "METADATA" }), "duplicate_key"),
        1_111 => ("createdAt", json!({ "S": "2024-05-01T10:00:00" }), "zone"),
        _ => return (item, None),
    };
    item[name] = value;
    (item, Some(code))
}

fn user(n: u64, state: State) -> Json {
    // The last one has the address of another one, as long as it is not mended, and no image.
    let email = if n == USERS - 1 && state == State::Poisoned { 10 } else { n };
    json!({
        "PK": { "S": format!("USER#u{n}") }, "SK": { "S": "PROFILE" }, "name": { "S": format!("user {n}") },
        "email": { "S": format!("u{email}@example.com") },
    })
}

/// Writes the export.
pub(super) fn write_items(root: &Path, records: u64, state: State) {
    let _ = std::fs::remove_dir_all(root);
    let mut lines = String::new();
    let mut add = |item: Json| {
        let _ = writeln!(lines, "{}", json!({ "Item": item }));
    };
    (0..USERS).for_each(|n| add(user(n, state)));
    for id in 0..records {
        let (mut item, code) = image(id, state);
        add(item.clone());
        if code == Some("duplicate_key") {
            item["SK"] = json!({ "S": "COPY" });
            add(item);
        }
    }
    write_export(root, 0, &lines);
}

/// What of the export cannot go in. Of two users with one address the one whose key comes first is in.
pub(super) fn items() -> Vec<Poison> {
    let one = |id: u64| image(id, State::Poisoned).1.map(|code| (id, code));
    let images = (0..2_000).filter_map(one).map(|(id, code)| Poison {
        entity: "image",
        key: id.to_string(),
        code,
        records: if code == "duplicate_key" { 1 + TWICE } else { 1 },
    });
    let mut all: Vec<Poison> = images.collect();
    all.push(Poison { entity: "user", key: format!("u{}", USERS - 1), code: "23505", records: 1 });
    all
}

/// Columns of the table that spoil a record by its number, and the reason.
const SPOILED: [(u64, &str, &str, &str); 5] = [
    (11, "title", "repeat('x', 420000)", "too_large"),
    (222, "price", "'1234567890123456789012345678901234567890.5'", "range"),
    (333, "price", "'NaN'", "range"),
    (444, "tags", "'{}'", "empty_set"),
    (555, "price", "'Infinity'", "range"),
];

/// SQL that fills the table.
pub(super) fn rows(records: u64, state: State) -> String {
    let mut sql = format!(
        "truncate images; insert into images select 'c' || i, 'image ' || i, i + 1, i % 1000 / 4.0 + 0.25, array['a', 't' || i % 7], \
         '2024-05-01T10:00:00.25+02'::timestamptz + i * interval '1 s' from generate_series(0, {records} - 1) i; "
    );
    if state == State::Poisoned {
        for (id, column, value, _) in SPOILED {
            let _ = write!(sql, "update images set {column} = {value} where code = 'c{id}'; ");
        }
    }
    sql
}

/// What of the table cannot go in.
pub(super) fn records() -> Vec<Poison> {
    let one = |(id, _, _, code): &(u64, &str, &str, &'static str)| Poison {
        entity: "image",
        key: format!("IMAGE#c{id}"),
        code,
        records: 1,
    };
    SPOILED.iter().map(one).collect()
}
