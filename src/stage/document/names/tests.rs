//! Which name an attribute's column gets.

use std::collections::HashSet;

use super::{COLUMNS_MAX, Names};
use crate::stage::sink::PartColumn;

#[test]
fn names_that_differ_in_case_are_numbered_in_order() {
    let names = Names::new("export");
    assert_eq!(names.physical("Name", "S").unwrap(), "Name:S");
    assert_eq!(names.physical("name", "S").unwrap(), "name~2:S");
    assert_eq!(names.physical("NAME", "N").unwrap(), "NAME~3:N");
    assert_eq!(names.physical("Name", "N").unwrap(), "Name:N");
    assert_eq!(names.physical("name", "S").unwrap(), "name~2:S");
}

#[test]
fn an_attribute_that_looks_like_a_numbered_one_gets_a_name_of_its_own() {
    for order in [["x", "X", "x~2"], ["x~2", "x", "X"], ["X", "x~2", "x"]] {
        let names = Names::new("export");
        let physical: HashSet<String> =
            order.iter().map(|name| names.physical(name, "S").unwrap().to_lowercase()).collect();
        assert_eq!(physical.len(), 3, "{order:?} became {physical:?}");
    }
}

#[test]
fn letters_outside_ascii_are_different_as_they_are_to_the_engine() {
    let names = Names::new("export");
    assert_eq!(names.physical("Ärger", "S").unwrap(), "Ärger:S");
    assert_eq!(names.physical("ärger", "S").unwrap(), "ärger:S");
}

#[test]
fn a_resumed_run_goes_on_with_the_same_names() {
    let first = Names::new("export");
    first.physical("b", "S").unwrap();
    first.physical("B", "S").unwrap();
    let second = Names::new("export");
    second.preload(first.stems());
    assert_eq!(second.physical("B", "N").unwrap(), "B~2:N");
    assert_eq!(second.physical("b", "N").unwrap(), "b:N");
    assert_eq!(second.stems(), [("B".to_owned(), "B~2".to_owned()), ("b".to_owned(), "b".to_owned())]);
}

#[test]
fn staged_columns_can_be_loaded() {
    let column = |physical: &str, attribute: &str, tag: &str| PartColumn {
        physical: physical.to_owned(),
        attribute: attribute.to_owned(),
        tag: tag.to_owned(),
    };
    let names = Names::new("export");
    names.preload_columns(&[column("a~2:S", "a", "S"), column("__recon_k1", "__recon_k1", "")]);
    assert_eq!(names.physical("a", "N").unwrap(), "a~2:N");
    assert_eq!(names.physical("A", "N").unwrap(), "A:N");
    assert_eq!(names.stems().len(), 2);
}

#[test]
fn too_many_columns_are_refused_by_name() {
    let names = Names::new("events");
    for n in 0..COLUMNS_MAX {
        names.physical(&format!("a{n}"), "S").unwrap();
    }
    assert!(names.physical("a7", "S").is_ok());
    let error = names.physical("a7", "N").unwrap_err();
    assert_eq!(error.exit_code(), 4);
    assert!(error.report().contains("`events`") && error.help_text().is_some(), "{}", error.report());
}
