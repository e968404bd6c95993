//! The spec's SQL: exactly one expression of one row, that gives the same value each time. Everything else is an error of the
//! spec (exit 2) with its place.

use crate::project::{Project, Ran};

/// What a field's `from`, an entity's `where` or a field's `sql` says, in TOML.
#[derive(Clone, Copy, Debug)]
enum Place {
    From,
    Where,
    Predicate,
}

/// Compares two CSV files, staged once, with this SQL at this place.
fn diff(project: &Project, place: Place, sql: &str) -> Ran {
    let entity = "[datasets.a]\nkind = \"csv\"\nuri = \"a.csv\"\n[datasets.b]\nkind = \"csv\"\nuri = \"b.csv\"\n\
                  [entities.e]\nsource = \"a\"\ntarget = \"b\"\nkey = [\"id\"]\n";
    let fields = "[entities.e.fields]\nid = \"id\"\n";
    project.write(
        "recon.toml",
        match place {
            Place::From => format!("{entity}{fields}v = {{ from = '''{sql}''', type = \"string\" }}\n"),
            Place::Where => format!("{entity}where = '''{sql}'''\n{fields}"),
            Place::Predicate => format!("{entity}{fields}v = {{ from = \"v\", sql = '''{sql}''' }}\n"),
        },
    );
    project.recon(&["diff", "--out", "out"])
}

fn staged() -> Project {
    let project = Project::new();
    project.write("a.csv", "id,v,w\n1,x,1\n2,y,2\n");
    project.write("b.csv", "id,v,w\n1,x,1\n2,y,2\n");
    diff(&project, Place::From, "v");
    assert_eq!(project.recon(&["stage"]).code, 0);
    project
}

#[test]
fn what_is_no_expression_of_one_row_is_refused_with_its_place() {
    let project = staged();
    for (place, sql, words) in [
        (Place::From, "count(*)", "the aggregate `count`"),
        (Place::From, "upper(max(v))", "the aggregate `max`"),
        (Place::From, "random()", "`random` gives another value each time"),
        (Place::From, "cast(now() as varchar)", "`now` gives another value each time"),
        (Place::From, "cast(current_date as varchar)", "`current_date` gives another value"),
        (Place::From, "uuid()", "`uuid` gives another value"),
        (Place::From, "row_number() over ()", "a window function"),
        (Place::From, "(select 1)", "a subquery"),
        (Place::From, "v, 1", "not exactly one expression"),
        (Place::From, "v as other", "does not parse"),
        (Place::From, "*", "`*` and COLUMNS cannot be used"),
        (Place::From, "columns(*)", "`*` and COLUMNS cannot be used"),
        (Place::From, "upper(?)", "a parameter"),
        (Place::From, "v /* open", "does not parse"),
        (Place::From, "upper(v", "does not parse"),
        (Place::From, "lower(u)", "unknown column `u`"),
        (Place::From, "no_such_function(v)", "cannot be used here"),
        (Place::Where, "1=1) or (1=1", "not exactly one expression"),
        (Place::Where, "random() < 2", "`random` gives another value"),
        (Place::Where, "count(*) > 0", "the aggregate `count`"),
        (Place::Where, "v in (select 'x')", "a subquery"),
        (Place::Where, "true, false", "not exactly one expression"),
        (Place::Predicate, "source = target) or (1=1", "not exactly one expression"),
        (Place::Predicate, "random() < 2", "`random` gives another value"),
        (Place::Predicate, "source = (select target)", "a subquery"),
        (Place::Predicate, "max(source) = target", "the aggregate `max`"),
    ] {
        let ran = diff(&project, place, sql);
        assert_eq!(ran.code, 2, "{place:?} {sql}: {}", ran.stderr);
        assert!(ran.stderr.contains(words), "{place:?} {sql}: {}", ran.stderr);
        assert!(ran.stderr.contains("recon.toml:"), "{place:?} {sql}: {}", ran.stderr);
    }
}

#[test]
fn what_is_one_expression_works_however_it_is_written() {
    let project = staged();
    for (place, sql) in [
        (Place::From, "v -- a comment"),
        (Place::From, "v || '' -- a comment"),
        (Place::From, "/* before */ coalesce(v, 'none')"),
        (Place::From, "case when w = '1' then 'x' else v end"),
        (Place::From, "v collate nocase"),
        (Place::From, "list_transform([v], lambda e: lower(e))[1]"),
        (Place::From, "trim(v) || substr('abc', 1, 0) || (w[1:0])"),
        (Place::From, "if(w::int > 0 and w not in ('7', '8') and v is not null, v, 'other')"),
        (Place::From, "chr(ascii(v) + 2 - 1 * 2)"),
        (Place::Where, "v is not null -- a comment"),
        (Place::Where, "id between '1' and '9' or v like 'x%' or not (w = '3')"),
        (Place::Predicate, "source = target -- a comment"),
    ] {
        let ran = diff(&project, place, sql);
        assert_eq!(ran.code, 0, "{place:?} {sql}: {}\n{}", ran.stderr, ran.stdout);
    }
}
