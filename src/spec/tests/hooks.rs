//! `[hooks]`.

use super::*;
use crate::spec::{HookCommand, Hooks};

fn hooks(lines: &str) -> String {
    format!("{}\n[hooks]\n{lines}\n", entity("key = [\"id\"]"))
}

#[test]
fn commands_stay_as_they_stand_there() {
    let spec =
        good(&hooks("on_start = \"echo ${SECRET} | tee -a log\"\non_unit = [\"./tell\", \"a b\", \"\"]"));
    let words = ["./tell", "a b", ""].map(str::to_owned).to_vec();
    let wanted = Hooks {
        on_start: Some(HookCommand::Shell("echo ${SECRET} | tee -a log".to_owned())),
        on_unit: Some(HookCommand::Program(words)),
        ..Hooks::default()
    };
    assert_eq!(spec.hooks, wanted);
    assert!(good(&entity("key = [\"id\"]")).hooks.is_empty());
}

#[test]
fn commands_that_are_none() {
    for lines in ["on_start = \"  \"", "on_start = []", "on_start = [\"\", \"x\"]"] {
        assert_has(&bad(&hooks(lines)), &["`on_start` names no command", "on_start ="]);
    }
    assert_has(&bad(&hooks("on_start = 5")), &["expected a string or an array of strings, found integer"]);
    assert_has(&bad(&hooks("on_start = [5]")), &["expected a string, found integer"]);
    assert_has(&bad(&hooks("on_start = \"a\\u0000\"")), &["`on_start` holds a NUL"]);
    assert_has(&bad(&hooks("on_start = [\"a\", \"\\u0000\"]")), &["`on_start` holds a NUL"]);
}

#[test]
fn unknown_hooks_are_named() {
    assert_has(
        &bad(&hooks("on_units = \"a\"")),
        &["unknown key `on_units` in `[hooks]`", "did you mean `on_unit`?"],
    );
    let above = format!("on_start = \"a\"\n{}", entity("key = [\"id\"]"));
    assert_has(
        &bad(&above),
        &["unknown key `on_start` at the top of the spec", "`on_start` belongs in `[hooks]`"],
    );
}
