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
