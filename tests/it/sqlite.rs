//! SQLite as a side: declared against stored types, keys, a file in use, what goes wrong.

use rusqlite::Connection;

use crate::project::Project;

fn spec(source: &str, target: &str) -> String {
    format!(
        "[datasets.a]\n{source}\n\n[datasets.b]\n{target}\n\n[entities.row]\nsource = \"a\"\ntarget = \"b\"\nkey = [\"k\"]\n"
    )
}

fn sqlite(what: &str) -> String {
    format!("kind = \"sqlite\"\npath = \"a.db\"\n{what}")
}

#[test]
fn what_a_column_holds_decides_its_type() {
    let project = Project::new();
    let db = Connection::open(project.path("a.db")).unwrap();
    db.execute_batch(
        "create table t (k integer primary key, flag boolean, price decimal(18,4), made datetime, raw blob, \"odd\"\"name\" text, x); \
         insert into t values (1, 1, 12.5, '2024-05-01T10:00:00Z', x'00ff', 'é', 9007199254740993), \
                              (2, 0, 7, '2024-05-01T10:00:00.5Z', null, '', null)",
    )
    .unwrap();
    project.write(
        "b.jsonl",
        "{\"k\":1,\"flag\":true,\"price\":12.50,\"made\":\"2024-05-01T12:00:00+02:00\",\"raw\":\"AP8=\",\"odd\\\"name\":\"é\",\"x\":9007199254740993}\n\
         {\"k\":2,\"flag\":false,\"price\":7,\"made\":\"2024-05-01T12:00:00.5+02:00\",\"odd\\\"name\":\"\"}\n",
    );
    let mut text = spec(&sqlite("table = \"t\""), "kind = \"jsonl\"\nuri = \"b.jsonl\"");
    text.push_str("\n[entities.row.fields]\nk = \"k\"\nflag = \"flag\"\nprice = \"price\"\nmade = { from = \"made\", type = \"timestamp\" }\n");
    text.push_str("raw = { from = \"raw\", type = \"bytes\" }\n'odd\"name' = '\"odd\"\"name\"'\nx = \"x\"\n");
    project.write("recon.toml", text);
    // Somebody else is writing meanwhile.
    db.execute_batch("pragma journal_mode = wal; begin immediate; insert into t (k) values (3)").unwrap();
    let staged = project.recon(&["stage"]);
    assert_eq!(staged.code, 0, "{}", staged.stderr);
    let ran = project.recon(&["diff", "--out", "out"]);
    let found = ["mismatches", "failures"].map(|name| project.read(&format!("out/{name}.csv")));
    assert_eq!(ran.code, 0, "{}{}{}", ran.stdout, ran.stderr, found.concat());
    assert_eq!(project.summary("out")["entities"]["row"]["matched"], 2);
    db.execute_batch("commit; update t set x = x - 1 where k = 1; delete from t where k = 3").unwrap();
    assert_eq!(project.recon(&["stage"]).code, 0);
    assert_eq!(project.recon(&["diff", "--out", "out"]).code, 1);
    assert_eq!(
        project.read("out/mismatches.csv").lines().nth(1),
        Some("row,1,x,exact,9007199254740992,9007199254740993,1")
    );
}

#[test]
fn a_value_of_another_class_than_its_column_is_a_failure_by_name() {
    let project = Project::new();
    let db = Connection::open(project.path("a.db")).unwrap();
    db.execute_batch(
        "create table t (k integer primary key, n integer); insert into t values (1, 1), (2, 'two'), (3, 3)",
    )
    .unwrap();
    project.write(
        "recon.toml",
        spec(&sqlite("table = \"t\""), &sqlite("query = \"select k, n from t where k > 0 -- all\"")),
    );
    let staged = project.recon(&["stage"]);
    assert_eq!(staged.code, 3, "{}", staged.stderr);
    assert!(staged.stderr.contains("declared `INTEGER`, holds 2 numbers, 1 texts"), "{}", staged.stderr);
    let ran = project.recon(&["diff", "--out", "out"]);
    assert_eq!(ran.code, 3);
    let row = &project.summary("out")["entities"]["row"];
    assert_eq!(
        (&row["matched"], &row["unchecked"], &row["unchecked_target"]),
        (&2.into(), &1.into(), &1.into())
    );
    assert!(project.read("out/failures.csv").contains("a text in a column of int"));
}

#[test]
fn what_goes_wrong_is_said_with_its_next_step() {
    let project = Project::new();
    Connection::open(project.path("a.db")).unwrap().execute_batch("create table images (k int)").unwrap();
    project.write("no.db", "this is no database, and long enough to be read as one for certain");
    for (path, what, message, help) in [
        ("gone.db", "table = \"images\"", "gone.db is not there", "starts at the folder of the spec"),
        ("no.db", "table = \"images\"", "cannot open no.db", "no SQLite database"),
        ("a.db", "table = \"imagse\"", "there is no table imagse", "did you mean `images`?"),
        ("a.db", "query = \"select nothing from images\"", "cannot read the query", ""),
        ("a.db", "query = \"select 1 as k, 2 as k\"", "two columns are called `k`", "`as`"),
    ] {
        let side = format!("kind = \"sqlite\"\npath = \"{path}\"\n{what}");
        project.write("recon.toml", spec(&side, &side));
        let ran = project.recon(&["stage"]);
        assert_eq!(ran.code, 4, "{path} {what}: {}", ran.stderr);
        assert!(ran.stderr.contains(message) && ran.stderr.contains(help), "{path} {what}: {}", ran.stderr);
    }
}

#[test]
fn a_column_without_a_name_has_one_in_sql() {
    let project = Project::new();
    let db = Connection::open(project.path("a.db")).unwrap();
    db.execute_batch(
        "create table t (k integer primary key, \"\" text); insert into t values (1, 'x'), (2, 'y'); \
         create table u (k integer primary key, \"\" text); insert into u values (1, 'x'), (2, 'z')",
    )
    .unwrap();
    let init = ["init", "a.db", "a.db", "--source-table", "t", "--target-table", "u"];
    let began = project.recon(&init);
    assert_eq!(began.code, 0, "{}{}", began.stdout, began.stderr);
    assert!(began.stdout.contains("only in the source, not compared: ''"), "{}", began.stdout);
    let by_sql = spec(&sqlite("table = \"t\""), &sqlite("table = \"u\""))
        + "\n[entities.row.fields]\nk = \"k\"\nunnamed = { from = '\"~\"', to = '\"~\"' }\n";
    let plain = spec(&sqlite("table = \"t\""), &sqlite("table = \"u\""));
    for (text, field) in [(plain, "\"\""), (by_sql, "unnamed")] {
        project.write("recon.toml", &text);
        let staged = project.recon(&["stage"]);
        assert_eq!(staged.code, 0, "{text}: {}", staged.stderr);
        let ran = project.recon(&["diff", "--out", "out"]);
        assert_eq!(ran.code, 1, "{text}: {}{}", ran.stdout, ran.stderr);
        let found = project.read("out/mismatches.csv");
        assert!(
            found.lines().nth(1).is_some_and(|line| line == format!("row,2,{field},exact,y,z,")),
            "{found}"
        );
        let shown = project.recon(&["show", "2"]);
        assert!(shown.stdout.contains("unequal"), "{}{}", shown.stdout, shown.stderr);
    }
}
