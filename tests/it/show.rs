//! `recon show` finds a record by the texts of its key, whatever the key's values are.

use crate::project::Project;

#[test]
fn a_key_between_schemaless_sides_may_be_a_number_or_a_text() {
    for key in ["\"1\"", "1"] {
        let project = Project::new();
        project.write(
            "recon.toml",
            "datasets.a = { kind = \"jsonl\", uri = \"a.jsonl\" }\ndatasets.b = { kind = \"jsonl\", uri = \"b.jsonl\" }\n\
             [entities.row]\nsource = \"a\"\ntarget = \"b\"\nkey = [\"id\"]\n",
        );
        project.write("a.jsonl", format!("{{\"id\":{key},\"v\":\"x\"}}\n"));
        project.write("b.jsonl", format!("{{\"id\":{key},\"v\":\"y\"}}\n"));
        assert_eq!(project.recon(&["stage"]).code, 0);
        assert_eq!(project.recon(&["diff"]).code, 1);
        let shown = project.recon(&["show", "1"]);
        assert_eq!(shown.code, 0, "{key}: {}", shown.stderr);
        assert!(shown.stdout.contains("mismatched"), "{key}: {}", shown.stdout);
        assert_eq!(project.recon(&["show", "2"]).code, 4);
    }
}

const CSV: &str = "datasets.a = { kind = \"csv\", uri = \"a.csv\" }\ndatasets.b = { kind = \"csv\", uri = \"b.csv\" }\n\
                   [entities.row]\nsource = \"a\"\ntarget = \"b\"\n";

fn staged(spec: &str, a: &str, b: &str) -> Project {
    let project = Project::new();
    project.write("recon.toml", format!("{CSV}{spec}"));
    project.write("a.csv", a);
    project.write("b.csv", b);
    assert!([0, 3].contains(&project.recon(&["stage"]).code));
    project
}

#[test]
fn a_null_in_the_key_is_named_and_the_next_command_works() {
    let project = staged("key = [\"r\", \"id\"]\n", "r,id,v\n,1,x\n\"\",1,y\n", "r,id,v\n,1,z\n\"\",1,y\n");
    let diff = project.recon(&["diff"]);
    assert!(diff.stdout.contains("show -e row --null r 1\n"), "{}", diff.stdout);
    assert!(diff.stdout.contains("row NULL 1  v"), "{}", diff.stdout);
    let null = project.recon(&["show", "--null", "r", "1"]);
    assert!(null.stdout.starts_with("row NULL 1: mismatched"), "{} {}", null.stdout, null.stderr);
    let empty = project.recon(&["show", "", "1"]);
    assert!(empty.stdout.starts_with("row '' 1: matched"), "{} {}", empty.stdout, empty.stderr);
    assert_eq!(project.recon(&["show", "--null", "x", "1"]).code, 2);
}

#[test]
fn duplicates_show_their_rows_and_places() {
    let project = staged("key = [\"id\"]\n", "id,v\n1,first\n2,x\n1,second\n", "id,v\n1,third\n2,x\n");
    let shown = project.recon(&["show", "1"]).stdout;
    for word in ["row 1: duplicate", "a.csv:2", "a.csv:4", "b.csv:2", "\"first\"", "\"second\"", "\"third\""]
    {
        assert!(shown.contains(word), "{word}: {shown}");
    }
}

#[test]
fn unchecked_rows_show_why_and_where() {
    let fields = "key = [\"id\"]\n[entities.row.fields]\nid = \"id\"\nv = { type = \"int\" }\nw = \"w\"\n";
    let project = staged(fields, "id,v,w\n1,five,w1\n2,1,w2\n", "id,v,w\n1,5,w1\n2,1,w2,more\n");
    let cast = project.recon(&["show", "1"]).stdout;
    for word in ["row 1: unchecked", "a.csv:2", "does not cast", "\"five\"", "\"w1\""] {
        assert!(cast.contains(word), "{word}: {cast}");
    }
    let parse = project.recon(&["show", "2"]).stdout;
    for word in ["row 2: unchecked", "b.csv:3", "found 4", "\"w2\""] {
        assert!(parse.contains(word), "{word}: {parse}");
    }
}

#[test]
fn ignored_fields_and_the_missing_side_are_told_from_null() {
    let fields = "key = [\"id\"]\n[entities.row.fields]\nid = \"id\"\nv = { ignore = true }\nw = \"w\"\n";
    let project = staged(fields, "id,v,w\n1,p,\n2,q,\n", "id,v,w\n1,r,\n");
    let ignored = project.recon(&["show", "1"]).stdout;
    let line = ignored.lines().find(|l| l.starts_with(" v")).unwrap_or_default();
    assert!(["\"p\"", "\"r\"", "ignored"].iter().all(|word| line.contains(word)), "{ignored}");
    let missing = project.recon(&["show", "2"]).stdout;
    let line = missing.lines().find(|l| l.starts_with(" w")).unwrap_or_default();
    assert!(line.contains("NULL") && line.contains("no record"), "{missing}");
}

#[test]
fn values_with_one_text_show_their_types() {
    let project = Project::new();
    project.write(
        "recon.toml",
        "datasets.a = { kind = \"jsonl\", uri = \"a.jsonl\" }\ndatasets.b = { kind = \"jsonl\", uri = \"b.jsonl\" }\n\
         [entities.row]\nsource = \"a\"\ntarget = \"b\"\nkey = [\"id\"]\n",
    );
    project.write("a.jsonl", "{\"id\":1,\"n\":\"1\",\"o\":null}\n");
    project.write("b.jsonl", "{\"id\":1,\"n\":1}\n{\"id\":2,\"o\":null}\n");
    project.recon(&["stage"]);
    let (diff, shown) = (project.recon(&["diff"]).stdout, project.recon(&["show", "1"]).stdout);
    for said in [&diff, &shown] {
        for word in ["\"1\" (string)", "\"1\" (number)", "absent", "NULL"] {
            assert!(said.contains(word), "{word}: {said}");
        }
    }
}

#[test]
fn a_predicate_is_asked_again() {
    let fields = "key = [\"id\"]\n[entities.row.fields]\nid = \"id\"\nv = { type = \"int\", sql = \"source <= target\" }\n";
    let project = staged(fields, "id,v\n1,9\n2,10\n", "id,v\n1,10\n2,9\n");
    assert!(project.recon(&["show", "1"]).stdout.contains("equal by sql"));
    assert!(project.recon(&["show", "2"]).stdout.contains("unequal"));
}
