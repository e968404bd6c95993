//! URLs of databases: what of them is never shown, and what is said of those that are wrong.

use crate::project::{Project, Ran};
use crate::servers::{mariadb, postgres};

/// Stages a table of that database, and shows what is thought of it; with all that the log has.
fn ran(kind: &str, url: &str) -> Vec<Ran> {
    let project = Project::new();
    project.write("b.csv", "k\n1\n");
    let began = project.recon(&["init", url, "b.csv", "--source-table", "t"]);
    let dataset = format!("[datasets.a]\nkind = \"{kind}\"\nurl = \"{url}\"\ntable = \"t\"\n\n");
    project.write("recon.toml", dataset + "[entities.row]\nsource = \"a\"\ntarget = \"a\"\nkey = [\"k\"]\n");
    let all = [("RECON_LOG", "trace")];
    vec![project.recon(&["stage"]), project.recon_with(&["stage"], &all), project.recon(&["check"]), began]
}

#[test]
fn no_part_of_a_password_is_shown_however_it_is_written() {
    let postgres = postgres::Database::new("create table t (k int)").url.replace("postgres@", "lp:PASSWORD@");
    let mysql = mariadb::Database::new("create table t (k int)").url.replace("root@", "lp:PASSWORD@");
    let odd = [
        "qzp?xks",
        "qzp/xks",
        "qzp#xks",
        "qzp@xks/vxv",
        "qzp@xks?vxv",
        "12?34567xks",
        "12/34567xks",
        "qzp@xks",
        "qzp:xks",
        "qzp%xks",
        "qzp&xks=1",
    ];
    for (kind, url) in [("postgres", &postgres), ("mysql", &mysql)] {
        for password in odd {
            for ran in ran(kind, &url.replace("PASSWORD", password)) {
                let said = ran.stdout + &ran.stderr;
                let shown = ["qzp", "xks", "vxv", "34567"].iter().find(|part| said.contains(*part));
                assert_eq!(shown, None, "{kind} {password}: {said}");
                if password.contains(['?', '/', '#']) {
                    assert!(
                        ran.code == 2 && said.contains("percent-encode"),
                        "{kind} {password}: {} {said}",
                        ran.code
                    );
                }
            }
        }
        let misspelt = url.replace(":PASSWORD", "") + "?pasword=hunter2";
        for ran in ran(kind, &misspelt) {
            assert!(!(ran.stdout + &ran.stderr).contains("hunter2"), "{kind}: {}", ran.stderr);
        }
    }
    for ran in ran("postgres", "host=127.0.0.1 password=sekret") {
        assert!(!ran.stderr.contains("sekret"), "{}", ran.stderr);
    }
}

#[test]
fn what_is_wrong_is_said_once_and_with_its_next_step() {
    let postgres = postgres::Database::new("create table t (k int)");
    let mysql = mariadb::Database::new("create table t (k int)");
    let project = Project::new();
    let side = |kind: &str, url: &str, what: &str| {
        let dataset =
            |name: &str| format!("[datasets.{name}]\nkind = \"{kind}\"\nurl = \"{url}\"\n{what}\n\n");
        let entity = "[entities.row]\nsource = \"a\"\ntarget = \"b\"\nkey = [\"k\"]\n";
        project.write("recon.toml", dataset("a") + &dataset("b") + entity);
        project.recon(&["stage"])
    };
    let ran = side("postgres", &format!("{}?keepalives=1", postgres.url), "table = \"t\"");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let warned: Vec<&str> = ran.stderr.lines().filter(|line| line.contains("keepalives")).collect();
    assert!(matches!(warned[..], [line] if line.starts_with("warning: ")), "{}", ran.stderr);
    let ran = side("postgres", &postgres.url, "query = \"select 1 as k where nonsense\"");
    assert_eq!(ran.stderr.matches("\"nonsense\" does not exist").count(), 1, "{}", ran.stderr);
    assert!(ran.code == 4 && !ran.stderr.contains("at line"), "{}", ran.stderr);
    let ran = side("mysql", &mysql.url, "query = \"select 1 as k from dual where nonsense\"");
    assert_eq!(ran.stderr.matches("Unknown column 'nonsense'").count(), 1, "{}", ran.stderr);
    assert!(ran.code == 4 && !ran.stderr.contains("MySqlError"), "{}", ran.stderr);
    let none = mysql.url.rsplit_once('/').expect("a URL").0.to_owned() + "/";
    let ran = side("mysql", &none, "table = \"t\"");
    assert!(ran.code == 4 && ran.stderr.contains("name the database in the url"), "{}", ran.stderr);
    let ran = side("mysql", "mysql://root@127.0.0.1:1/db", "table = \"t\"");
    assert!(ran.code == 4 && !ran.stderr.contains("DriverError"), "{}", ran.stderr);
    let ran = side("mysql", &mysql.url, "table = 'sc.\"x'");
    assert!(ran.code == 2 && ran.stderr.contains("help: write it as in SQL"), "{}", ran.stderr);
}

#[test]
fn a_row_larger_than_a_packet_names_the_setting() {
    let mysql = mariadb::Database::new(
        "create table t (k int, x longtext); insert into t values (1, repeat('x', 9000000))",
    );
    let project = Project::new();
    let url = format!("{}?max_allowed_packet=1048576", mysql.url);
    let dataset =
        |name: &str| format!("[datasets.{name}]\nkind = \"mysql\"\nurl = \"{url}\"\ntable = \"t\"\n\n");
    let entity = "[entities.row]\nsource = \"a\"\ntarget = \"b\"\nkey = [\"k\"]\n";
    project.write("recon.toml", dataset("a") + &dataset("b") + entity);
    let ran = project.recon(&["stage"]);
    assert!(ran.code == 4 && ran.stderr.contains("raise its max_allowed_packet"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("CodecError"), "{}", ran.stderr);
}
