//! MySQL and MariaDB as a side (tested on MariaDB): every type, ranges, what goes wrong.

use crate::project::Project;
use crate::servers::mariadb::Database;

/// A column of every type, with a value and another one.
pub(crate) const TYPES: &[(&str, &str, &str, &str)] = &[
    ("tiny", "tinyint", "-128", "127"),
    ("flag", "tinyint(1)", "1", "0"),
    ("big", "bigint", "-9223372036854775808", "9007199254740993"),
    ("huge", "bigint unsigned", "18446744073709551615", "18446744073709551614"),
    ("exact", "decimal(65,30)", "12345678901234567890123456789012345.000000000000000000000000000001", "1"),
    ("single", "float", "0.1", "0.10000001"),
    ("double_", "double", "1e308", "0.1"),
    ("day", "date", "'1000-01-01'", "'9999-12-31'"),
    ("moment", "datetime(6)", "'2024-02-29 23:59:59.999999'", "'2024-02-29 23:59:59.999998'"),
    ("instant", "timestamp(3) null", "'2024-02-29 12:00:00.123'", "'2024-02-29 12:00:00.124'"),
    ("clock", "time(6)", "'-838:59:59.5'", "'838:59:59.5'"),
    ("a_year", "year", "2024", "1901"),
    ("bits", "bit(10)", "b'1000000001'", "b'1'"),
    ("letters", "char(5)", "'ab'", "'AB'"),
    ("words", "varchar(20)", "'é\"\\\\'", "''"),
    ("latin", "varchar(20) character set latin1", "'é'", "'e'"),
    ("padded", "binary(4)", "x'00ff'", "x'00fe'"),
    ("raw", "blob", "x'00ff27'", "x''"),
    ("choice", "enum('a','b')", "'a'", "'b'"),
    ("several", "set('x','y','z')", "'x,z'", "'x,y'"),
    ("document", "json", "'{\"b\": 1, \"a\": [1.0]}'", "'{\"b\": 1, \"a\": [1.01]}'"),
    ("odd`;\"name", "text", "'v'", "'V'"),
];

fn spec(source: &str, target: &str, database: &Database) -> String {
    let dataset = |name: &str, what: &str| {
        format!("[datasets.{name}]\nkind = \"mysql\"\nurl = \"{}\"\n{what}\n\n", database.url)
    };
    let entity = "[entities.row]\nsource = \"a\"\ntarget = \"b\"\nkey = [\"k\"]\n";
    format!("{}{}{entity}", dataset("a", source), dataset("b", target))
}

pub(crate) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[test]
fn every_type_is_exact_and_one_changed_cell_is_found_as_that_cell() {
    let columns: Vec<String> = TYPES.iter().map(|(name, ty, ..)| format!("{} {ty}", quoted(name))).collect();
    let values: Vec<&str> = TYPES.iter().map(|(_, _, value, _)| *value).collect();
    let mut sql = String::new();
    for table in ["a", "b"] {
        sql.push_str(&format!("create table {table} (k int primary key, {});", columns.join(", ")));
        sql.push_str(&format!("insert into {table} (k) values (0);"));
        for k in 1..=TYPES.len() {
            sql.push_str(&format!("insert into {table} values ({k}, {});", values.join(", ")));
        }
    }
    let database = Database::new(&sql);
    let project = Project::new();
    project.write("recon.toml", spec("table = \"a\"", "table = \"b\"", &database));
    let staged = project.recon(&["stage"]);
    assert_eq!(staged.code, 0, "{}", staged.stderr);
    let equal = project.recon(&["diff", "--out", "out"]);
    assert_eq!(equal.code, 0, "{}{}", equal.stdout, equal.stderr);
    assert_eq!(project.summary("out")["entities"]["row"]["matched"], TYPES.len() + 1);
    for (i, (name, _, _, other)) in TYPES.iter().enumerate() {
        database.run(&format!("update b set {} = {other} where k = {}", quoted(name), i + 1));
    }
    assert_eq!(project.recon(&["stage"]).code, 0);
    let different = project.recon(&["diff", "--out", "out"]);
    assert_eq!(different.code, 1, "{}{}", different.stdout, different.stderr);
    let expected: Vec<(usize, String)> =
        TYPES.iter().enumerate().map(|(i, (name, ..))| (i + 1, (*name).to_owned())).collect();
    assert_eq!(project.mismatches("out", "row"), expected);
}

#[test]
fn ranges_and_queries_give_every_row_once() {
    let database = Database::new(
        "create table a (k int primary key, v varchar(20)); \
         insert into a select cast(seq as signed) * 3 - 700000, concat('v', seq) from seq_1_to_600000; analyze table a",
    );
    let project = Project::new();
    project.write("recon.toml", spec("table = \"a\"", "query = \"select * from a -- all of it\"", &database));
    let staged = project.recon(&["stage"]);
    assert_eq!(staged.code, 0, "{}", staged.stderr);
    assert!(!staged.stdout.lines().next().unwrap().contains("1 unit"), "{}", staged.stdout);
    let ran = project.recon(&["diff", "--out", "out"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(project.summary("out")["entities"]["row"]["matched"], 600_000);
}

#[test]
fn a_zero_date_is_a_failure_by_name() {
    let database = Database::new(
        "set sql_mode = ''; create table a (k int primary key, d date); insert into a values (1, '0000-00-00'), (2, '2024-01-01')",
    );
    let project = Project::new();
    project.write("recon.toml", spec("table = \"a\"", "table = \"a\"", &database));
    let staged = project.recon(&["stage"]);
    assert_eq!(staged.code, 3, "{}", staged.stderr);
    assert_eq!(project.recon(&["diff", "--out", "out"]).code, 3);
    assert!(project.read("out/failures.csv").contains("a zero date, which is no day"));
    assert_eq!(project.summary("out")["entities"]["row"]["unchecked"], 1);
}

#[test]
fn a_row_that_does_not_parse_leaves_its_counterpart_unchecked() {
    let project = Project::new();
    // Keys of types that a row which failed still shows.
    for (ty, key, others) in [
        ("int", "7", "8, null"),
        ("bigint unsigned", "18446744073709551615", "8, null"),
        ("varchar(10)", "007", "'8', null"),
        ("decimal(20,3)", "7.125", "8, null"),
        ("date", "2024-02-29", "'2024-03-01', null"),
    ] {
        let database = Database::new(&format!(
            "set sql_mode = ''; create table a (k {ty} primary key, d date); insert into a values ('{key}', '0000-00-00'), ({others})",
        ));
        let other = others.split(',').next().unwrap().trim_matches('\'');
        project.write("b.csv", format!("k,d\n{key},2024-01-01\n{other},\n"));
        let url = format!("[datasets.a]\nkind = \"mysql\"\nurl = \"{}\"\ntable = \"a\"\n", database.url);
        let rest = "[datasets.b]\nkind = \"csv\"\nuri = \"b.csv\"\n[entities.row]\nsource = \"a\"\ntarget = \"b\"\nkey = [\"k\"]\n";
        project.write("recon.toml", url + rest);
        assert_eq!(project.recon(&["stage"]).code, 3);
        assert_eq!(project.recon(&["diff", "--out", "out"]).code, 3);
        let row = &project.summary("out")["entities"]["row"];
        let counts =
            ["matched", "unchecked", "unchecked_target", "missing", "extra"].map(|name| row[name].clone());
        assert_eq!(counts, [1, 1, 1, 0, 0], "{ty}: {row}");
    }
}

#[test]
fn what_goes_wrong_is_said_with_its_place_and_next_step() {
    let database = Database::new(
        "create table images (k int primary key); create or replace user reader@'127.0.0.1' identified by 's3cret'",
    );
    let with = |user: &str, rest: &str| format!("mysql://{user}@127.0.0.1:{}/{rest}", database.port);
    let name = database.url.rsplit('/').next().unwrap();
    for (url, what, message, help) in [
        (database.url.clone(), "table = \"imagse\"", "there is no table imagse", "did you mean `images`?"),
        (with("reader:wr0ng", name), "table = \"images\"", "cannot connect", "check user and password"),
        (with("reader:s3cret", name), "table = \"images\"", "cannot connect", "the user's rights to it"),
        (with("root", "nowhere"), "table = \"images\"", "cannot connect", "check the database's name"),
        (
            "mysql://me:s3cret@127.0.0.1:1/db".to_owned(),
            "table = \"images\"",
            "cannot connect",
            "check that the server is there",
        ),
        (
            database.url.clone(),
            "query = \"select nothing from images\"",
            "cannot read the query",
            "recon check",
        ),
    ] {
        let project = Project::new();
        let side = |name: &str| format!("[datasets.{name}]\nkind = \"mysql\"\nurl = \"{url}\"\n{what}\n\n");
        let entity = "[entities.row]\nsource = \"a\"\ntarget = \"b\"\nkey = [\"k\"]\n";
        project.write("recon.toml", format!("{}{}{entity}", side("a"), side("b")));
        let ran = project.recon(&["stage"]);
        assert_eq!(ran.code, 4, "{what}: {}", ran.stderr);
        assert!(ran.stderr.contains(message) && ran.stderr.contains(help), "{what}: {}", ran.stderr);
        assert!(!ran.stderr.contains("s3cret") && !ran.stderr.contains("wr0ng"), "{}", ran.stderr);
    }
}
