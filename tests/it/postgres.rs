//! PostgreSQL as a side: every type, ranges, partitions, odd names, what goes wrong.

use crate::project::Project;
use crate::servers::postgres::{Database, psql};

/// A name, its type, a value, and another value.
pub(crate) type Column = (&'static str, &'static str, &'static str, &'static str);

/// A column of every type.
pub(crate) const TYPES: &[Column] = &[
    ("small", "smallint", "-32768", "32767"),
    ("whole", "integer", "2147483647", "0"),
    ("big", "bigint", "-9223372036854775808", "9007199254740993"),
    ("exact", "numeric", "123456789012345678901234567890123456789012.000100", "'NaN'"),
    ("sized", "numeric(38,10)", "9999999999999999999999999999.0000000001", "0.1"),
    ("infinite", "numeric", "'-Infinity'", "1e-20"),
    ("single", "real", "0.1", "'Infinity'"),
    ("double", "double precision", "1e308", "'NaN'"),
    ("flag", "boolean", "true", "false"),
    ("words", "text", "E'tab\\t \"quoted\", é'", "''"),
    ("limited", "varchar(10)", "'abc'", "'abd'"),
    ("padded", "char(8)", "'ab'", "'abc'"),
    ("folded", "citext", "'Ab'", "'ab'"),
    ("mood", "mood", "'ok'", "'sad'"),
    ("positive", "positive", "7", "8"),
    ("raw", "bytea", "'\\x00ff10'", "'\\x00ff11'"),
    ("day", "date", "'2024-02-29'", "'-infinity'"),
    ("old_day", "date", "'0044-03-15 BC'", "'5874897-12-31'"),
    ("clock", "time", "'24:00:00'", "'23:59:59.999999'"),
    ("clock_tz", "timetz", "'10:00:00.5+02'", "'08:00:00.5+00'"),
    ("moment", "timestamp", "'1969-12-31 23:59:59.999999'", "'infinity'"),
    ("instant", "timestamptz", "'2024-05-01 10:00:00.000001+02'", "'-infinity'"),
    ("span", "interval", "'1 mon -3 days 04:05:06.7'", "'27 days 04:05:06.7'"),
    ("id", "uuid", "'0123abcd-0000-0000-0000-00000000000f'", "'0123abcd-0000-0000-0000-00000000000e'"),
    ("document", "json", "'{\"b\": 1.0, \"a\": [1, null]}'", "'{\"b\": 1.01, \"a\": [1, null]}'"),
    ("binary_document", "jsonb", "'{\"n\": 9007199254740993}'", "'{\"n\": 9007199254740992}'"),
    ("numbers", "numeric[]", "'{1.0,NULL,NaN}'", "'{1.0,NULL,2}'"),
    ("grid", "int[]", "'{{1,2},{3,4}}'", "'{{1,2},{4,3}}'"),
    ("labels", "text[]", "array['a,b', '', null, 'é\"']", "array['a', 'b', '', null, 'é\"']"),
    (
        "moments",
        "timestamptz[]",
        "'{2024-05-01 10:00:00+02,infinity}'",
        "'{2024-05-01 10:00:01+02,infinity}'",
    ),
    ("address", "inet", "'192.168.0.1'", "'192.168.0.1/24'"),
    ("network", "cidr", "'10.0.0.0/8'", "'10.0.0.0/9'"),
    ("bits", "bit(3)", "B'101'", "B'100'"),
    ("more_bits", "varbit", "B'1'", "B''"),
    ("period", "int4range", "'[1,5)'", "'[1,6)'"),
    ("counted", "int generated always as identity", "default", "default"),
];

pub(crate) const TYPES_FIRST: &str = "create extension if not exists citext; create type mood as enum ('sad', 'ok'); \
    create domain positive as int check (value > 0);";

fn spec(source: &str, target: &str, database: &Database, rest: &str) -> String {
    let dataset = |name: &str, what: &str| {
        format!("[datasets.{name}]\nkind = \"postgres\"\nurl = \"{}\"\n{what}\n\n", database.url)
    };
    format!(
        "{}{}[entities.row]\nsource = \"a\"\ntarget = \"b\"\nkey = [\"k\"]\n{rest}",
        dataset("a", source),
        dataset("b", target)
    )
}

fn table_of_all_types(name: &str) -> String {
    let columns: Vec<String> = TYPES.iter().map(|(name, ty, ..)| format!("{name} {ty}")).collect();
    format!("create table {name} (k int primary key, {});", columns.join(", "))
}

#[test]
fn every_type_is_exact_and_one_changed_cell_is_found_as_that_cell() {
    let values: Vec<&str> = TYPES.iter().map(|(_, _, value, _)| *value).collect();
    let nulls: Vec<&str> =
        TYPES.iter().map(|(name, ..)| if *name == "counted" { "default" } else { "null" }).collect();
    let mut sql = TYPES_FIRST.to_owned();
    for table in ["a", "b"] {
        sql.push_str(&table_of_all_types(table));
        sql.push_str(&format!("insert into {table} values (0, {});", nulls.join(", ")));
        for k in 1..=TYPES.len() {
            sql.push_str(&format!("insert into {table} values ({k}, {});", values.join(", ")));
        }
    }
    let database = Database::new(&sql);
    let project = Project::new();
    project.write("recon.toml", spec("table = \"a\"", "table = \"b\"", &database, ""));
    let staged = project.recon(&["stage"]);
    assert_eq!(staged.code, 0, "{}", staged.stderr);
    let equal = project.recon(&["diff", "--out", "out"]);
    assert_eq!(equal.code, 0, "{}{}", equal.stdout, equal.stderr);
    assert_eq!(project.summary("out")["entities"]["row"]["matched"], TYPES.len() + 1);
    // In row k of b the column number k gets its other value.
    let changed: Vec<(usize, &Column)> =
        TYPES.iter().enumerate().filter(|(_, (name, ..))| *name != "counted").collect();
    for (i, (name, _, _, other)) in &changed {
        database.run(&format!("update b set {name} = {other} where k = {}", i + 1));
    }
    assert_eq!(project.recon(&["stage"]).code, 0);
    let different = project.recon(&["diff", "--out", "out"]);
    assert_eq!(different.code, 1, "{}{}", different.stdout, different.stderr);
    let mut expected: Vec<(usize, String)> = changed.iter().map(|(i, t)| (i + 1, t.0.to_owned())).collect();
    expected.sort();
    assert_eq!(project.mismatches("out", "row"), expected);
}

#[test]
fn a_table_equals_its_own_csv() {
    let mut sql = TYPES_FIRST.to_owned();
    sql.push_str(&table_of_all_types("a"));
    let values: Vec<&str> = TYPES.iter().map(|(_, _, value, _)| *value).collect();
    sql.push_str(&format!("insert into a values (1, {});", values.join(", ")));
    let database = Database::new(&sql);
    let project = Project::new();
    // The text of a list is PostgreSQL's own, not JSON, and so is that of a year before Christ; and a CSV keeps padding.
    let left_out = ["numbers", "grid", "labels", "moments", "old_day", "padded"];
    let columns: Vec<&str> = TYPES.iter().map(|(name, ..)| *name).filter(|n| !left_out.contains(n)).collect();
    let csv = database
        .run(&format!("copy (select k, {} from a) to stdout (format csv, header)", columns.join(", ")));
    project.write("b.csv", csv);
    let ignored: Vec<String> =
        left_out.iter().map(|name| format!("{name} = {{ ignore = true }}\n")).collect();
    let fields: Vec<String> = columns.iter().map(|name| format!("{name} = \"{name}\"\n")).collect();
    project.write(
        "recon.toml",
        format!(
            "[datasets.a]\nkind = \"postgres\"\nurl = \"{}\"\ntable = \"a\"\n\n[datasets.b]\nkind = \"csv\"\nuri = \"b.csv\"\n\n\
             [entities.row]\nsource = \"a\"\ntarget = \"b\"\nkey = [\"k\"]\n\n[entities.row.fields]\nk = \"k\"\n{}{}",
            database.url,
            fields.concat(),
            ignored.concat()
        ),
    );
    assert_eq!(project.recon(&["stage"]).code, 0);
    let ran = project.recon(&["diff", "--out", "out"]);
    let found = ["mismatches", "failures"].map(|name| project.read(&format!("out/{name}.csv")));
    assert_eq!(ran.code, 0, "{}{}\n{}", ran.stdout, ran.stderr, found.concat());
}

#[test]
fn ranges_partitions_views_and_queries_give_every_row_once() {
    let database = Database::new(
        "create table a (k int primary key, v text); \
         insert into a select i, repeat('x', 900) from generate_series(1, 150000) i; \
         create table p (k int, v text) partition by range (k); \
         create table p1 partition of p for values from (0) to (100000); \
         create table p2 partition of p for values from (100000) to (200000) partition by hash (k); \
         create table p2a partition of p2 for values with (modulus 2, remainder 0); \
         create table p2b partition of p2 for values with (modulus 2, remainder 1); \
         insert into p select * from a; \
         create view v as select * from a; analyze a",
    );
    for target in
        ["table = \"p\"", "table = \"v\"", "query = \"select * from a -- all of it\"", "table = \"a\""]
    {
        let project = Project::new();
        project.write("recon.toml", spec("table = \"a\"", target, &database, ""));
        let staged = project.recon(&["stage"]);
        assert_eq!(staged.code, 0, "{target}: {}", staged.stderr);
        // 150,000 rows of about 1 KB are more than two ranges of 64 MiB.
        assert!(staged.stdout.contains("rows from 3 units"), "{}", staged.stdout);
        let ran = project.recon(&["diff", "--out", "out"]);
        assert_eq!(ran.code, 0, "{target}: {}{}", ran.stdout, ran.stderr);
        assert_eq!(project.summary("out")["entities"]["row"]["matched"], 150_000);
    }
}

#[test]
fn odd_names_are_only_names() {
    let database = Database::new(
        "create schema \"S.1\"; create table \"S.1\".\"T\"\"a'b;\" (\"k\" int, \"x\"\";drop\" text, \"X\" int, x int); \
         insert into \"S.1\".\"T\"\"a'b;\" values (1, 'v', 2, 3)",
    );
    let project = Project::new();
    let table = r#"table = '"S.1"."T""a''b;"'"#.replace("''", "'");
    let table = table.replacen("table = '", "table = '''", 1) + "''";
    project.write("recon.toml", spec(&table, &table, &database, ""));
    let staged = project.recon(&["stage"]);
    assert_eq!(staged.code, 0, "{}", staged.stderr);
    let ran = project.recon(&["diff", "--out", "out"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let fields = &project.summary("out")["entities"]["row"]["fields"];
    for name in ["k", "x\";drop", "X", "x"] {
        assert_eq!(fields[name]["compared"], 1, "{name} of {fields}");
    }
}

#[test]
fn what_goes_wrong_is_said_with_its_place_and_next_step() {
    let database = Database::new(
        "create table images (k int primary key); create table secret (k int); \
         do $$ begin create role reader login password 'pw'; exception when duplicate_object then null; end $$; \
         grant select on images to reader",
    );
    let nobody = format!("postgres://postgres:s3cret@127.0.0.1:{}/nowhere", database.port);
    let unreachable = "postgres://me:s3cret@127.0.0.1:1/db".to_owned();
    let reader = database.url.replace("postgres@", "reader:s3cret@");
    let cases = [
        (database.url.clone(), "table = \"imagse\"", "there is no table imagse", "did you mean `images`?"),
        (reader, "table = \"secret\"", "public.secret may not be read", "grant select on"),
        (nobody, "table = \"images\"", "cannot connect", "check the database's name"),
        (unreachable, "table = \"images\"", "cannot connect", "check that the server is there"),
        (
            database.url.clone(),
            "query = \"select nothing from images\"",
            "cannot run the query",
            "recon check",
        ),
        (
            format!("{}?sslmode=require", database.url),
            "table = \"images\"",
            "cannot connect",
            "check sslmode",
        ),
    ];
    for (url, what, message, help) in cases {
        let project = Project::new();
        let side =
            |name: &str| format!("[datasets.{name}]\nkind = \"postgres\"\nurl = \"{url}\"\n{what}\n\n");
        let entity = "[entities.row]\nsource = \"a\"\ntarget = \"b\"\nkey = [\"k\"]\n";
        project.write("recon.toml", format!("{}{}{entity}", side("a"), side("b")));
        let ran = project.recon(&["stage"]);
        assert_eq!(ran.code, 4, "{what}: {}", ran.stderr);
        assert!(ran.stderr.contains(message) && ran.stderr.contains(help), "{what}: {}", ran.stderr);
        assert!(!ran.stderr.contains("s3cret"), "{}", ran.stderr);
    }
}

#[test]
fn check_connects_and_shows_the_schema_before_anything_is_staged() {
    let database = Database::new("create table a (k int primary key, v numeric(10,2), m money)");
    let project = Project::new();
    project.write("recon.toml", spec("table = \"a\"", "query = \"select 1 as k\"", &database, ""));
    let ran = project.recon(&["check"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for line in [
        " a): 1 range, about 0 bytes",
        "rows, primary key: k",
        "  v  decimal",
        "  m  money",
        "warning: column `m`: money is not compared",
        "next: recon --home home stage",
    ] {
        assert!(ran.stdout.contains(line), "{line}: {}", ran.stdout);
    }
    let gone = spec("table = \"b\"", "query = \"select 1 as k\"", &database, "");
    project.write("recon.toml", gone);
    assert_eq!(project.recon(&["check"]).code, 4);
}

#[test]
fn a_finished_staging_is_read_afresh() {
    let database = Database::new("create table a (k int primary key); insert into a values (1)");
    let project = Project::new();
    project.write("recon.toml", spec("table = \"a\"", "query = \"select 1 as k\"", &database, ""));
    assert_eq!(project.recon(&["stage"]).code, 0);
    assert_eq!(project.recon(&["diff"]).code, 0);
    psql(&database.url, "insert into a values (2)");
    assert_eq!(project.recon(&["stage"]).code, 0);
    assert_eq!(project.recon(&["diff"]).code, 1);
}

#[test]
fn a_filter_of_typed_columns_meets_a_row_that_did_not_parse() {
    let table = "(k int primary key, i bigint, d numeric(10,2), r real, f float8, b bool, y bytea, day date, ts timestamp, \
        tz timestamptz, t time, late timestamp)";
    let row = "1, 1, 1, 1, true, 'x', '2024-01-01', '2024-01-01', '2024-01-01', '12:00'";
    let mut sql = String::new();
    for name in ["a", "b"] {
        sql.push_str(&format!("create table {name} {table};"));
        sql.push_str(&format!("insert into {name} values (1, {row}, null), (2, {row}, '294270-01-01');"));
    }
    let database = Database::new(&sql);
    let project = Project::new();
    let filter = "abs(i) = 1 and cast(d as int) = 1 and floor(r) = 1 and sqrt(f) = 1 and (b or not b) and octet_length(y) = 1 \
        and year(day) = 2024 and month(ts) = 1 and tz > make_timestamptz(0) and hour(t) = 12 and late is null";
    let filters = format!("where = \"{filter}\"\ntarget_where = \"{filter}\"\n");
    project.write("recon.toml", spec("table = \"a\"", "table = \"b\"", &database, &filters));
    assert_eq!(project.recon(&["stage"]).code, 3);
    let ran = project.recon(&["diff", "--out", "out"]);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    let found = &project.summary("out")["entities"]["row"];
    assert_eq!((&found["matched"], &found["unchecked"]), (&1.into(), &1.into()), "{found}");
}

#[test]
fn only_what_is_compared_as_its_text_is_remarked_on() {
    let exact = "a bit(3), b varbit, c cidr, d macaddr, e macaddr8, f \"char\", g inet";
    let database = Database::new(&format!(
        "create table t (k int primary key, {exact}, period int4range); \
         insert into t values (1, B'101', B'1', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', 'x', '10.0.0.1', '[1,5)')"
    ));
    let project = Project::new();
    project.write("recon.toml", spec("table = \"t\"", "query = \"select * from t\"", &database, ""));
    let ran = project.recon(&["stage"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let warned: Vec<&str> = ran.stderr.lines().filter(|line| line.contains("as its text")).collect();
    assert!(warned.len() == 2 && warned.iter().all(|line| line.contains("`period`")), "{}", ran.stderr);
    assert_eq!(project.recon(&["diff", "--out", "out"]).code, 0);
}
