//! Paths inside attributes of which only the last of many rows have the attribute, or have it in another type. Wherever in the
//! data such a row stands, its value is seen.

use std::fmt::Write;

use crate::project::{Project, Ran, write_export};

/// More rows than any sample.
const ROWS: u32 = 20_100;

/// An export whose items have `common` in their map, but for the last ten, which have `late`, against a CSV file whose cells
/// are `target`.
fn diff(common: &str, late: &str, entity: &str, target: impl Fn(bool) -> &'static str) -> (Ran, Project) {
    let project = Project::new();
    let (mut items, mut csv) = (String::new(), "id,x\n".to_owned());
    for row in 0..ROWS {
        let is_late = row >= ROWS - 10;
        let attribute = if is_late { late } else { common };
        writeln!(items, r#"{{"Item":{{"id":{{"S":"{row}"}},"attr":{{"M":{{{attribute}}}}}}}}}"#)
            .expect("memory");
        writeln!(csv, "{row},{}", target(is_late)).expect("memory");
    }
    write_export(&project.path("a"), 0, &items);
    project.write("b.csv", csv);
    let spec = format!(
        "[datasets.a]\nkind = \"dynamodb-export\"\nuri = \"a\"\n[datasets.b]\nkind = \"csv\"\nuri = \"b.csv\"\n\
         [entities.e]\nsource = \"a\"\ntarget = \"b\"\nkey = [\"id\"]\n{entity}"
    );
    project.write("recon.toml", spec);
    let stage = project.recon(&["stage"]);
    assert_eq!(stage.code, 0, "{}", stage.stderr);
    (project.recon(&["diff", "--out", "out"]), project)
}

fn counts(project: &Project, word: &str) -> u64 {
    project.summary("out")["entities"]["e"][word].as_u64().expect("a count")
}

const FIELDS: &str = "[entities.e.fields]\nid = \"id\"\n";

#[test]
fn an_expression_sees_an_attribute_that_few_rows_have() {
    let x = format!("{FIELDS}x = \"upper(attr.x)\"\n");
    let (ran, project) = diff(r#""k":{"S":"a"}"#, r#""x":{"S":"secret"}"#, &x, |_| "");
    assert_eq!((ran.code, counts(&project, "mismatched")), (1, 10), "{}", ran.stderr);
}

#[test]
fn an_expression_sees_values_of_a_type_that_few_rows_have() {
    let x = format!("{FIELDS}x = {{ from = \"cast(attr.x as varchar)\", type = \"string\" }}\n");
    let (ran, project) =
        diff(r#""x":{"N":"7"}"#, r#""x":{"S":"secret"}"#, &x, |late| if late { "" } else { "7" });
    // Of two types, the attribute is JSON of its typed form in every row.
    assert_eq!((ran.code, counts(&project, "matched")), (1, 0), "{}", ran.stderr);
}

#[test]
fn a_filter_drops_no_row_for_a_type_that_few_rows_have() {
    let filter = format!("where = \"attr.x = 1\"\n{FIELDS}");
    let (ran, _) = diff(r#""x":{"N":"1"}"#, r#""x":{"S":"1"}"#, &filter, |_| "");
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("`where` fails for some row of dataset `a`"), "{}", ran.stderr);
    let filter = format!("where = \"attr.x is null\"\n{FIELDS}");
    let (ran, project) = diff(r#""k":{"S":"a"}"#, r#""x":{"S":"1"}"#, &filter, |_| "");
    assert_eq!((ran.code, counts(&project, "extra")), (1, 10), "{}", ran.stderr);
}

#[test]
fn a_plain_path_that_few_rows_have_is_compared() {
    let x = format!("{FIELDS}x = \"attr.x\"\n");
    let (ran, project) =
        diff(r#""k":{"S":"a"}"#, r#""x":{"N":"7"}"#, &x, |late| if late { "7.0" } else { "" });
    assert_eq!((ran.code, counts(&project, "matched")), (0, ROWS.into()), "{}", ran.stderr);
}
