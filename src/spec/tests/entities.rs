//! Entities: sides, key, filters, grouping.

use super::*;

#[test]
fn smallest_entity() {
    let entity = the_entity(&good(&entity("")));
    assert_eq!((entity.name.as_str(), entity.source.as_str(), entity.target.as_str()), ("image", "a", "b"));
    assert!(entity.key.is_empty() && entity.fields.is_none() && entity.references.is_empty());
    assert!(entity.source_filter.is_none() && entity.target_filter.is_none() && entity.group_by.is_empty());
}

#[test]
fn one_dataset_can_be_both_sides() {
    let entity = the_entity(&good(&dataset("kind = \"csv\"\nuri = \"a\"")));
    assert_eq!((entity.source.as_str(), entity.target.as_str()), ("a", "a"));
}

#[test]
fn sides_must_be_datasets() {
    let text = entity("")
        .replace("[datasets.a]", "[datasets.exports]")
        .replace("source = \"a\"", "source = \"export\"");
    assert_eq!(
        bad(&text),
        "error: recon.toml:10:10: no dataset is called `export`\n   |\n10 | source = \"export\"\n   \
         |          ^^^^^^^^\n  help: did you mean `exports`?"
    );
    let report = bad(&entity("").replace("target = \"b\"", "target = \"elsewhere\""));
    assert_has(&report, &["11:10: no dataset is called `elsewhere`", "the datasets are: `a`, `b`"]);
}

#[test]
fn both_sides_are_needed() {
    assert_has(&bad(&entity("").replace("source = \"a\"\n", "")), &["9:11: entity `image` has no `source`"]);
    assert_has(&bad(&entity("").replace("target = \"b\"\n", "")), &["9:11: entity `image` has no `target`"]);
}

#[test]
fn filters() {
    let entity = the_entity(&good(&entity("where = \"x = 1\"\ntarget_where = \"y = 2\"")));
    assert_eq!(entity.source_filter.expect("it has a filter").text, "x = 1");
    assert_eq!(entity.target_filter.expect("it has a filter").text, "y = 2");
}

#[test]
fn blank_sql() {
    assert_has(&bad(&entity("where = \" \"")), &["12:9: `where` is empty"]);
    assert_has(&bad(&entity("target_where = \"\"")), &["12:16: `target_where` is empty"]);
}

#[test]
fn key_keeps_its_order() {
    assert_eq!(the_entity(&good(&entity("key = [\"b\", \"a\"]"))).key, ["b", "a"]);
}

#[test]
fn an_empty_key_is_a_mistake() {
    let wanted = ["9:11: the key of entity `image` is empty", "leave `key` out to compare whole rows"];
    assert_has(&bad(&entity("key = []")), &wanted);
}

#[test]
fn key_field_twice() {
    assert_has(&bad(&entity("key = [\"a\", \"a\"]")), &["12:13: `a` is in the key twice"]);
}

#[test]
fn key_field_without_a_name() {
    assert_has(&bad(&entity("key = [\"\"]")), &["12:8: a key field needs a name"]);
}

#[test]
fn key_must_be_among_the_fields() {
    let report = bad(&entity("key = [\"idd\"]\n[entities.image.fields]\nid = \"id\""));
    assert_has(&report, &["12:8: key field `idd` is not among the fields", "did you mean `id`?"]);
    let report = bad(&entity("key = [\"tenant\"]\n[entities.image.fields]\nid = \"id\""));
    assert_has(&report, &["add it under `[entities.image.fields]`"]);
    assert_has(
        &bad(&entity("key = [\"ID\"]\n[entities.image.fields]\nid = \"id\"")),
        &["did you mean `id`?"],
    );
}

#[test]
fn group_by() {
    let lines = "group_by = [\"id\", \"lower(x)\"]\n[entities.image.fields]\nn = \"max(n)\"";
    let group_by = the_entity(&good(&entity(lines))).group_by;
    assert_eq!(group_by[1].text, "lower(x)");
    assert_eq!((group_by[1].line, group_by[1].column), (12, 20));
    assert!(the_entity(&good(&entity("group_by = []"))).group_by.is_empty());
}

#[test]
fn group_by_needs_fields() {
    assert_has(&bad(&entity("group_by = [\"id\"]")), &["12:12: `group_by` needs `fields`"]);
}

#[test]
fn group_by_is_no_blank_sql() {
    let report = bad(&entity("group_by = [\"\"]\n[entities.image.fields]\nn = \"n\""));
    assert_has(&report, &["12:13: an expression of `group_by` is empty"]);
}

#[test]
fn entity_needs_a_printable_name() {
    for name in ["", "a\\u0007b"] {
        let text = entity("").replace("entities.image", &format!("entities.\"{name}\""));
        assert_has(&bad(&text), &["9:11: ", "cannot be the name of an entity"]);
    }
}
