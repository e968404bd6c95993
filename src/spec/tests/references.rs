//! References: short and long form, and what they name.

use super::*;
use crate::spec::Reference;

const USER: &str = r#"
[entities.user]
source = "a"
target = "b"
key = ["tenant", "id"]
[entities.user.fields]
tenant = "tenant"
id = "id"
"#;

/// The references section starts at line 15, its first reference stands on line 16.
fn text(lines: &str) -> String {
    let fields = "[entities.image.fields]\nuser_id = \"u\"\ntenant = \"t\"\n[entities.image.references]\n";
    entity(&format!("{fields}{lines}\n{USER}"))
}

#[track_caller]
fn reference(lines: &str) -> Reference {
    the_entity(&good(&text(lines))).references.remove(0)
}

fn made(fields: &[&str], entity: &str, to: &[&str]) -> Reference {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let name = if fields.len() > 1 { "owner" } else { fields[0] }.to_owned();
    Reference { name, fields: owned(fields), entity: entity.to_owned(), to: owned(to) }
}

#[test]
fn short_form() {
    assert_eq!(reference("user_id = \"user.id\""), made(&["user_id"], "user", &["id"]));
}

#[test]
fn long_form() {
    let long = "owner = { fields = [\"tenant\", \"user_id\"], entity = \"user\", to = [\"tenant\", \"id\"] }";
    assert_eq!(reference(long), made(&["tenant", "user_id"], "user", &["tenant", "id"]));
}

#[test]
fn long_form_defaults_to_own_name_and_the_key() {
    let long = "owner = { fields = [\"tenant\", \"user_id\"], entity = \"user\" }";
    assert_eq!(reference(long), made(&["tenant", "user_id"], "user", &["tenant", "id"]));
    let long = "user_id = { entity = \"user\", to = [\"id\"] }";
    assert_eq!(reference(long), made(&["user_id"], "user", &["id"]));
}

#[test]
fn entity_may_refer_to_itself() {
    assert_eq!(reference("user_id = \"image.tenant\""), made(&["user_id"], "image", &["tenant"]));
}

#[test]
fn unknown_entity() {
    assert_has(
        &bad(&text("user_id = \"usr.id\"")),
        &["16:11: no entity is called `usr`", "did you mean `user`?"],
    );
    assert_has(&bad(&text("user_id = { entity = \"usr\" }")), &["16:22: no entity is called `usr`"]);
}

#[test]
fn unknown_field_there() {
    assert_has(
        &bad(&text("user_id = \"user.idd\"")),
        &["16:11: entity `user` has no field `idd`", "mean `id`?"],
    );
}

#[test]
fn unknown_field_here() {
    assert_has(
        &bad(&text("userid = \"user.id\"")),
        &["16:1: entity `image` has no field `userid`", "mean `user_id`?"],
    );
}

#[test]
fn any_field_where_none_are_listed() {
    let open = "[entities.image.references]\nx = \"image.y\"";
    assert_eq!(the_entity(&good(&entity(open))).references, [made(&["x"], "image", &["y"])]);
}

#[test]
fn short_form_names_a_field() {
    assert_has(&bad(&text("user_id = \"user\"")), &["16:11: a reference names an entity and its field"]);
}

#[test]
fn names_with_dots() {
    let dotted = |names: &[&str]| {
        let entities: String =
            names.iter().map(|n| format!("[entities.\"{n}\"]\nsource = \"a\"\ntarget = \"b\"\n")).collect();
        entity(&format!("[entities.image.references]\nx = \"p.q.r\"\n{entities}"))
    };
    assert_eq!(the_entity(&good(&dotted(&["p"]))).references, [made(&["x"], "p", &["q.r"])]);
    assert_eq!(the_entity(&good(&dotted(&["p.q"]))).references, [made(&["x"], "p.q", &["r"])]);
    assert_has(&bad(&dotted(&["p", "p.q"])), &["13:5: this reference can be read in two ways", "as a table"]);
}

#[test]
fn as_many_fields_on_both_sides() {
    let report = bad(&text("user_id = { entity = \"user\" }"));
    assert_has(&report, &["reference `user_id` has 1 fields here and 2 in entity `user`"]);
    let report = bad(&text("o = { fields = [], entity = \"user\", to = [] }"));
    assert_has(&report, &["has 0 fields here and 0 in entity `user`"]);
}

#[test]
fn entity_is_needed() {
    assert_has(&bad(&text("user_id = { to = [\"id\"] }")), &["16:1: reference `user_id` has no `entity`"]);
}
