//! Rules: what each means, and what does not go together.

use super::*;
use crate::spec::{Nulls, Precision, Rule, TextRule, Tolerance};

#[track_caller]
fn rule(rules: &str) -> Rule {
    the_field(&format!("n = {{ {rules} }}")).rule
}

#[track_caller]
fn bad_rule(rules: &str) -> String {
    bad(&fields(&format!("n = {{ {rules} }}")))
}

/// The report for a rule on the key field.
#[track_caller]
fn bad_on_key(rules: &str) -> String {
    bad(&entity(&format!("key = [\"id\"]\n[entities.image.fields]\nid = {{ {rules} }}")))
}

fn number(text: &str) -> Option<Tolerance> {
    Some(Tolerance::Number(text.to_owned()))
}

#[test]
fn tolerance_keeps_the_digits_of_the_file() {
    assert_eq!(
        rule("tolerance = 0.10000000000000000000000000001").tolerance,
        number("0.10000000000000000000000000001")
    );
    assert_eq!(rule("tolerance = 5").tolerance, number("5"));
    assert_eq!(rule("tolerance = 0x10").tolerance, number("16"));
    assert_eq!(rule("tolerance = 1_000.5").tolerance, number("1000.5"));
    assert_eq!(rule("tolerance = +1e-6").tolerance, number("1e-6"));
    assert_eq!(rule("tolerance = \"0.0001\"").tolerance, number("0.0001"));
}

#[test]
fn tolerance_in_time() {
    assert_eq!(rule("tolerance = \"1.5s\"").tolerance, Some(Tolerance::Duration(1_500_000_000)));
    assert_eq!(
        rule("tolerance = \"1s\", type = \"timestamp\"").tolerance,
        Some(Tolerance::Duration(1_000_000_000))
    );
}

#[test]
fn tolerance_is_not_negative() {
    assert_eq!(
        bad_rule("tolerance = -0.5"),
        "error: recon.toml:15:19: `tolerance` is negative\n   |\n15 | n = { tolerance = -0.5 }\n   \
         |                   ^^^^\n  help: write a number such as 0.01, or a duration such as \"1.5s\" \
         (ns, us, ms, s, m, h, d)"
    );
    assert_has(&bad_rule("tolerance = -1"), &["`tolerance` is negative"]);
    assert_has(&bad_rule("tolerance = \"-1s\""), &["`tolerance` is negative"]);
    assert_has(&bad_rule("relative = -0.1"), &["`relative` is negative"]);
}

#[test]
fn tolerance_is_finite() {
    assert_has(&bad_rule("tolerance = inf"), &["`inf` is neither a number nor a duration"]);
    assert_has(&bad_rule("tolerance = nan"), &["`nan` is neither a number nor a duration"]);
    assert_has(&bad_rule("relative = inf"), &["`inf` is no number"]);
}

#[test]
fn tolerance_that_is_nothing() {
    assert_has(&bad_rule("tolerance = \"1 sec\""), &["15:19: `1 sec` is neither a number nor a duration"]);
    assert_has(&bad_rule("tolerance = \"0.5ns\""), &["`0.5ns` is no whole number of nanoseconds"]);
    assert_has(&bad_rule("tolerance = \"1e99999\""), &["`tolerance` is too large"]);
    assert_has(&bad_rule("relative = \"1s\""), &["`1s` is no number"]);
}

#[test]
fn tolerance_and_relative_together() {
    let rule = rule("tolerance = 0.1, relative = 1e-6, type = \"float\"");
    assert_eq!((rule.tolerance, rule.relative.as_deref()), (number("0.1"), Some("1e-6")));
}

#[test]
fn no_tolerance_on_a_key() {
    assert_has(
        &bad_on_key("tolerance = 1"),
        &["14:20: `tolerance` on key field `id`", "take the field out of `key`"],
    );
    assert_has(&bad_on_key("relative = 0.1"), &["`relative` on key field `id`"]);
}

#[test]
fn no_own_predicate_on_a_key_and_no_ignored_key() {
    assert_has(&bad_on_key("sql = \"source = target\""), &["`sql` on key field `id`"]);
    assert_has(&bad_on_key("ignore = true"), &["`ignore` on key field `id`"]);
}

#[test]
fn text_and_nulls_on_a_key() {
    let lines = "key = [\"id\"]\n[entities.image.fields]\nid = { text = [\"trim\"], nulls = \"strict\" }";
    let field = the_entity(&good(&entity(lines))).fields.expect("it lists fields").remove(0);
    assert!(field.rule.text.trim && field.rule.nulls == Some(Nulls::Strict));
}

#[test]
fn tolerance_is_for_numbers_and_times() {
    for ty in ["string", "bool", "uuid", "bytes", "json", "set<number>", "list", "enum"] {
        let report = bad_rule(&format!("type = \"{ty}\", tolerance = 1"));
        assert_has(&report, &[&format!("`tolerance` on type {ty}, which is neither number nor time")]);
        let report = bad_rule(&format!("type = \"{ty}\", relative = 1"));
        assert_has(&report, &[&format!("`relative` on type {ty}"), "`relative` is for numbers"]);
    }
}

#[test]
fn tolerance_has_the_unit_of_its_type() {
    for ty in ["timestamp", "date", "time", "timetz", "interval"] {
        let report = bad_rule(&format!("type = \"{ty}\", tolerance = 1"));
        assert_has(&report, &[&format!("a number cannot be the tolerance of type {ty}"), "such as \"1s\""]);
        assert_has(&bad_rule(&format!("type = \"{ty}\", relative = 0.1")), &["`relative` on type"]);
    }
    for ty in ["int", "decimal", "decimal(9,2)", "float"] {
        let report = bad_rule(&format!("type = \"{ty}\", tolerance = \"1s\""));
        assert_has(&report, &[&format!("a duration cannot be the tolerance of type {ty}")]);
    }
}

#[test]
fn precision() {
    let millis = Precision { unit_ns: 1_000_000, round: false };
    assert_eq!(rule("precision = \"ms\"").precision, Some(millis));
    assert_eq!(rule("precision = \"ms\", rounding = \"truncate\"").precision, Some(millis));
    let day = Precision { unit_ns: 86_400_000_000_000, round: true };
    assert_eq!(rule("precision = \"d\", rounding = \"round\", type = \"timestamp\"").precision, Some(day));
}

#[test]
fn unknown_precision_and_rounding() {
    assert_has(&bad_rule("precision = \"minute\""), &["15:19: `minute` is no precision", "`ns`, `us`, `ms`"]);
    assert_has(
        &bad_rule("precision = \"s\", rounding = \"trunc\""),
        &["`trunc` is no rounding", "mean `truncate`?"],
    );
}

#[test]
fn rounding_needs_precision() {
    assert_has(&bad_rule("rounding = \"round\""), &["15:18: `rounding` without `precision`"]);
}

#[test]
fn precision_is_for_times() {
    assert_has(&bad_rule("type = \"int\", precision = \"s\""), &["`precision` on type int", "is for times"]);
    assert_has(&bad_rule("type = \"interval\", precision = \"s\""), &["`precision` on type interval"]);
}

#[test]
fn text() {
    let all = TextRule { trim: true, collapse: true, casefold: true, nfc: true };
    assert_eq!(rule("text = [\"nfc\", \"trim\", \"collapse\", \"casefold\"], type = \"string\"").text, all);
    assert_eq!(rule("text = []").text, TextRule::default());
}

#[test]
fn unknown_text() {
    let report = bad_rule("text = [\"trim\", \"casefould\"]");
    assert_has(&report, &["15:23: `casefould` is no normalisation of text", "did you mean `casefold`?"]);
}

#[test]
fn text_is_for_text() {
    assert_has(&bad_rule("type = \"int\", text = [\"trim\"]"), &["`text` on type int", "`text` is for text"]);
    assert_has(&bad_rule("type = \"json\", text = [\"trim\"]"), &["`text` on type json"]);
}

#[test]
fn nulls() {
    assert_eq!(rule("").nulls, None);
    assert_eq!(rule("nulls = \"strict\"").nulls, Some(Nulls::Strict));
    assert_eq!(rule("nulls = \"empty-is-null\"").nulls, Some(Nulls::EmptyIsNull));
    assert_eq!(rule("nulls = \"absent-is-null\"").nulls, Some(Nulls::AbsentIsNull));
    assert_has(&bad_rule("nulls = \"empty_is_null\""), &["15:15: ", "did you mean `empty-is-null`?"]);
}

#[test]
fn json_and_set() {
    assert!(rule("json = true").json && rule("json = true, type = \"json\"").json);
    assert!(rule("set = true, type = \"list\"").set && rule("set = true, type = \"set<bytes>\"").set);
    assert_eq!(rule("json = false, set = false, ignore = false, type = \"int\""), Rule::default());
}

#[test]
fn json_is_for_documents() {
    assert_has(
        &bad_rule("json = true, type = \"int\""),
        &["`json` on type int", "for types json and string"],
    );
}

#[test]
fn set_is_for_sets_and_lists() {
    assert_has(&bad_rule("set = true, type = \"string\""), &["`set` on type string", "for sets and lists"]);
}

#[test]
fn own_predicate() {
    let sql = rule("sql = \"abs(source - target) < 1\", type = \"int\"").sql.expect("it has a predicate");
    assert_eq!((sql.text.as_str(), sql.line, sql.column), ("abs(source - target) < 1", 15, 14));
}

#[test]
fn ignored() {
    assert!(rule("ignore = true").ignore);
    assert!(rule("ignore = true, type = \"int\", from = \"x\"").ignore);
}

#[test]
fn ignore_goes_with_no_other_rule() {
    let others = [
        "tolerance = 1",
        "relative = 0.1",
        "precision = \"s\"",
        "text = [\"trim\"]",
        "nulls = \"strict\"",
        "json = true",
        "set = true",
        "sql = \"true\"",
    ];
    for other in others {
        let name = other.split(' ').next().expect("it has a name");
        let report = bad_rule(&format!("ignore = true, {other}"));
        assert_has(&report, &[&format!("`ignore` and `{name}` contradict each other in field `n`")]);
    }
}

#[test]
fn own_predicate_goes_with_no_other_rule() {
    let others = [
        "tolerance = 1",
        "relative = 0.1",
        "precision = \"s\"",
        "text = [\"trim\"]",
        "nulls = \"strict\"",
        "json = true",
        "set = true",
    ];
    for other in others {
        let name = other.split(' ').next().expect("it has a name");
        let report = bad_rule(&format!("sql = \"true\", {other}"));
        assert_has(&report, &[&format!("`sql` and `{name}` contradict each other")]);
    }
}

#[test]
fn json_and_set_go_with_nulls_only() {
    for rule in ["json", "set"] {
        for other in ["tolerance = 1", "relative = 0.1", "precision = \"s\"", "text = [\"trim\"]"] {
            let name = other.split(' ').next().expect("it has a name");
            let report = bad_rule(&format!("{rule} = true, {other}"));
            assert_has(&report, &[&format!("`{rule}` and `{name}` contradict each other")]);
        }
    }
    assert_has(&bad_rule("json = true, set = true"), &["`json` and `set` contradict each other"]);
    assert!(rule("json = true, nulls = \"strict\"").json);
}

#[test]
fn rules_of_text_numbers_and_times_do_not_mix() {
    assert_has(&bad_rule("text = [\"trim\"], tolerance = 1"), &["`text` and `tolerance` contradict"]);
    assert_has(&bad_rule("text = [\"trim\"], precision = \"s\""), &["`text` and `precision` contradict"]);
    assert_has(&bad_rule("relative = 0.1, precision = \"s\""), &["`relative` and `precision` contradict"]);
    assert_has(&bad_rule("relative = 0.1, tolerance = \"1s\""), &["`relative` and a duration contradict"]);
    assert_has(&bad_rule("tolerance = 1, precision = \"s\""), &["`precision` and a number contradict"]);
    assert!(rule("tolerance = \"1s\", precision = \"ms\"").precision.is_some());
}
