//! Fields: both sides' expressions, types, names.

use super::*;
use crate::spec::Rule;
use crate::value::kind::{DecimalSize, Element, Type};

#[test]
fn short_form_is_the_source_expression() {
    let field = the_field("user_id = \"userId\"");
    assert_eq!((field.name.as_str(), field.from.text.as_str()), ("user_id", "userId"));
    assert_eq!((field.from.line, field.from.column, field.from.plain_name), (15, 12, None));
    assert_eq!((field.to.text.as_str(), field.to.plain_name.as_deref()), ("\"user_id\"", Some("user_id")));
    assert_eq!((field.ty, field.rule), (None, Rule::default()));
}

#[test]
fn long_form() {
    let field = the_field("mime = { from = \"m\", to = \"lower(mime)\", type = \"string\" }");
    assert_eq!((field.from.text.as_str(), field.to.text.as_str()), ("m", "lower(mime)"));
    assert_eq!((field.from.column, field.to.column, field.ty), (18, 28, Some(Type::String)));
}

#[test]
fn own_name_on_both_sides() {
    let field = the_field("n = { type = \"int\" }");
    assert_eq!((field.from.text.as_str(), field.to.text.as_str()), ("\"n\"", "\"n\""));
    assert_eq!(field.from.plain_name.as_deref(), Some("n"));
}

#[test]
fn own_name_may_have_any_characters() {
    let field = the_field("'a\"; drop. x' = {}");
    assert_eq!(field.name, "a\"; drop. x");
    assert_eq!(field.from.text, "\"a\"\"; drop. x\"");
    assert_eq!(field.from.plain_name.as_deref(), Some("a\"; drop. x"));
    assert_eq!((field.from.line, field.from.column, field.from.place(9)), (15, 2, (15, 2)));
}

#[test]
fn names_are_exact() {
    let spec = good(&fields("Name = \"x\"\nname = \"y\""));
    assert_eq!(the_entity(&spec).fields.expect("it lists fields").len(), 3);
}

#[test]
fn table_form_with_a_header() {
    let field = the_field("[entities.image.fields.price]\nfrom = \"p\"\ntype = \"decimal(18,4)\"");
    assert_eq!(field.ty, Some(Type::Decimal(Some(DecimalSize { precision: 18, scale: 4 }))));
    assert_eq!((field.from.line, field.from.column), (16, 9));
}

#[test]
fn types() {
    assert_eq!(the_field("n = { type = \"set<number>\" }").ty, Some(Type::Set(Element::Number)));
    assert_eq!(the_field("n = { type = \"decimal\" }").ty, Some(Type::Decimal(None)));
}

#[test]
fn unknown_type() {
    let report = bad(&fields("n = { type = \"timestmp\" }"));
    assert_has(&report, &["15:14: no type is called `timestmp`", "did you mean `timestamp`?"]);
    assert_has(&bad(&fields("n = { type = \"BIGINT\" }")), &["did you mean `int`?"]);
    assert_has(
        &bad(&fields("n = { type = \"decimal(4,9)\" }")),
        &["scale ≤ precision", "write it as in `decimal(18,4)`"],
    );
    assert_has(&bad(&fields("n = { type = \"qqqqqq\" }")), &["the types are: `string`"]);
}

#[test]
fn blank_expression() {
    assert_has(&bad(&fields("n = \"\"")), &["15:5: `from` of field `n` is empty"]);
    assert_has(&bad(&fields("n = { from = \" \" }")), &["`from` of field `n` is empty"]);
    assert_has(&bad(&fields("n = { to = \"\" }")), &["`to` of field `n` is empty"]);
    assert_has(&bad(&fields("n = { sql = \"\" }")), &["`sql` is empty"]);
}

#[test]
fn field_needs_a_name() {
    assert_has(&bad(&fields("\"\" = \"x\"")), &["15:1: a field needs a name"]);
}

#[test]
fn empty_fields() {
    assert_has(
        &bad(&entity("[entities.image.fields]")),
        &["9:11: `fields` of entity `image` is empty", "leave it out"],
    );
}
