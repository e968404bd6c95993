//! Files and folders whose names look like patterns are read by their names alone.

use crate::project::{Project, write_parquet};

#[test]
fn a_name_that_looks_like_a_pattern_is_only_a_name() {
    let project = Project::new();
    project.write("x[1]/.keep", "");
    for (name, value) in
        [("x[1]/a[2]*.parquet", 1), ("x[1]/a2.parquet", 2), ("x[1]/a2b.parquet", 2), ("b.parquet", 1)]
    {
        write_parquet(&format!("select 1 as k, {value} as v"), &project.path(name));
    }
    // Nested values are read by the engine, plain ones are not: both must find the file that is meant.
    for (more, code) in [("", 0), ("where = \"k = 1\"\n", 0), ("where = \"k = 2\"\n", 1)] {
        project.write(
            "recon.toml",
            format!(
                "[datasets.a]\nkind = \"parquet\"\nuri = \"x[1]/a[2]*.parquet\"\n\n[datasets.b]\nkind = \"parquet\"\n\
                 uri = \"b.parquet\"\n\n[entities.row]\nsource = \"a\"\ntarget = \"b\"\nkey = [\"k\"]\n{more}"
            ),
        );
        assert_eq!(project.recon(&["stage"]).code, 0, "{more}");
        let ran = project.recon(&["diff", "--out", "out"]);
        assert_eq!(ran.code, code, "{more}: {}{}", ran.stdout, ran.stderr);
    }
}
