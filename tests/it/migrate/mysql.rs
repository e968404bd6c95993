//! MariaDB as a target.

use std::time::Duration;

use super::migration::{Migration, fault};
use crate::servers::mariadb::{self, Database};
use crate::servers::proxy::{Fault, Proxy};

/// A table of MariaDB that was made by this SQL, and what is migrated into it.
struct Table {
    migration: Migration,
    database: Database,
}

impl std::ops::Deref for Table {
    type Target = Migration;

    fn deref(&self) -> &Migration {
        &self.migration
    }
}

impl Table {
    fn new(sql: &str, fields: &str, more: &str, lines: &str) -> Self {
        let database = Database::new(sql);
        let dataset = format!("kind = \"mysql\"\nurl = \"{}\"\ntable = \"t\"", database.url);
        Self { migration: Migration::new(&dataset, fields, more, lines), database }
    }

    fn rows(&self, sql: &str) -> String {
        self.database.run(sql).trim_end().replace('\t', " ").replace('\n', ", ")
    }
}

#[test]
fn poison_records_are_named_and_the_others_go_in() {
    let table = Table::new(
        "create table parent (id int primary key); insert into parent values (1); \
         create table t (k int primary key, name varchar(5) not null, code varchar(5) unique, n tinyint, price decimal(5,2), \
                         kind enum('a','b'), day datetime(3), parent int, pad char(3), y year, old text character set latin1, \
                         f float, bits bit(3), b2 binary(2), \
                         check (price >= 0), foreign key (parent) references parent (id))",
        "k = { type = \"int\" }\nname = \"name\"\ncode = \"code\"\nn = \"n\"\nprice = \"price\"\nkind = \"kind\"\n\
         day = { from = \"day\", type = \"timestamp\" }\nparent = \"parent\"\npad = \"pad\"\ny = \"y\"\nold = \"old\"\nf = \"f\"\n\
         bits = \"bits\"\nb2 = { from = \"b2\", type = \"bytes\" }",
        "",
        &[
            r#"{"k":1,"name":"fine","code":"a","n":-128,"price":1.25,"kind":"a","day":"2024-01-01T00:00:00.123","parent":1,"pad":"ab","y":1999,"old":"é","f":0.1,"bits":"101","b2":"AAE="}"#,
            r#"{"k":2,"name":null}"#,
            r#"{"k":3,"name":"too long"}"#,
            r#"{"k":4,"name":"same","code":"A"}"#,
            r#"{"k":5,"name":"lost","parent":7}"#,
            r#"{"k":6,"name":"large","n":128}"#,
            r#"{"k":7,"name":"round","n":1.5}"#,
            r#"{"k":8,"name":"round","price":1.255}"#,
            r#"{"k":9,"name":"check","price":-1}"#,
            r#"{"k":10,"name":"enum","kind":"A"}"#,
            r#"{"k":11,"name":"day","day":"2024-01-01T00:00:00.1234"}"#,
            r#"{"k":12,"name":"zone","day":"2024-01-01T00:00:00Z"}"#,
            r#"{"k":13,"name":"pad","pad":"a "}"#,
            r#"{"k":14,"name":"year","y":24}"#,
            r#"{"k":15,"name":"latin","old":"日"}"#,
            r#"{"k":16,"name":"float","f":16777217}"#,
            r#"{"k":17,"name":"bits","bits":"11"}"#,
            r#"{"k":18,"name":"short","b2":"AA=="}"#,
            r#"{"k":19,"name":"last","code":"b"}"#,
        ]
        .join("\n"),
    );
    assert_eq!(table.counts(1), [2, 0, 0, 17]);
    assert_eq!(table.rows("select k from t order by k"), "1, 19");
    let mut expected = vec![
        fault("2", "1048", "name"),
        fault("3", "too_long", "name"),
        fault("4", "1062", ""),
        fault("5", "1452", ""),
        fault("6", "1264", "n"),
        fault("7", "precision", "n"),
        fault("8", "range", "price"),
        fault("9", "4025", ""),
        fault("10", "member", "kind"),
        fault("11", "precision", "day"),
        fault("12", "zone", "day"),
        fault("13", "padding", "pad"),
        fault("14", "range", "y"),
        fault("15", "1366", "old"),
        fault("16", "precision", "f"),
        fault("17", "range", "bits"),
        fault("18", "padding", "b2"),
    ];
    expected.sort();
    assert_eq!(table.faults(), expected);
    table.database.run("insert into parent values (7)");
    table.runs(&["replay", "--class", "retryable"], 1);
    assert_eq!(table.rows("select parent from t where k = 5"), "7");
}

#[test]
fn what_is_there_is_changed_as_the_spec_says() {
    let sql = "create table t (k varchar(9) primary key, a text, b int, c text, d int) collate utf8mb4_general_ci; \
               insert into t values ('1', 'old', 5, null, 10), ('2', 'same', 1, 'kept', 2)";
    let fields = "k = \"k\"\na = { from = \"a\", on_conflict = \"keep\" }\nb = { from = \"b\", on_conflict = \"greatest\" }\n\
                  c = { from = \"c\", on_conflict = \"coalesce\" }\nd = { from = \"d\", on_conflict_sql = \"old.d + new.d\" }";
    let lines = "{\"k\":\"1\",\"a\":\"new\",\"b\":3,\"c\":\"x\",\"d\":1}\n{\"k\":\"2\",\"a\":\"same\",\"b\":1,\"c\":null,\"d\":0}\n\
                 {\"k\":\"3\",\"a\":\"n\",\"b\":1,\"c\":\"c\",\"d\":1}\n";
    let table = Table::new(sql, fields, "", lines);
    assert_eq!(table.counts(0), [1, 1, 1, 0]);
    let expected = "1 old 5 x 11, 2 same 1 kept 2, 3 n 1 c 1";
    assert_eq!(table.rows("select k, a, b, c, d from t order by k"), expected);
}

#[test]
fn policies_and_versions_are_kept_to() {
    let sql = "create table t (k int primary key, v int, a varchar(9), run varchar(99), at datetime); \
               insert into t (k, v, a) values (1, 5, 'there'), (2, 1, 'there'), (3, 1, 'c')";
    let fields = "k = { type = \"int\" }\nv = { type = \"int\" }\na = \"a\"";
    let lines = "{\"k\":1,\"v\":4,\"a\":\"a\"}\n{\"k\":2,\"v\":2,\"a\":\"b\"}\n{\"k\":3,\"v\":1,\"a\":\"c\"}\n{\"k\":4,\"v\":1,\"a\":\"d\"}\n";
    let versioned =
        Table::new(sql, fields, "version = \"v\"\nprovenance = { run = \"run\", at = \"at\" }", lines);
    assert_eq!(versioned.counts(1), [1, 1, 1, 1]);
    assert_eq!(versioned.faults(), [fault("1", "version", "")]);
    assert_eq!(
        versioned.rows("select k from t where run is not null and at > '2020-01-01' order by k"),
        "2, 4"
    );
    let insert_only = Table::new(sql, fields, "write = \"insert-only\"", lines);
    assert_eq!(insert_only.counts(1), [1, 0, 1, 2]);
    assert_eq!(insert_only.faults(), [fault("1", "exists", ""), fault("2", "exists", "")]);
    assert_eq!(insert_only.rows("select a from t"), "there, there, c, d");
    let update_only = Table::new(sql, fields, "write = \"update-only\"", lines);
    assert_eq!(update_only.counts(1), [0, 2, 1, 1]);
    assert_eq!(update_only.faults(), [fault("4", "missing", "")]);
}

#[test]
fn a_key_that_only_the_collation_takes_for_the_same_is_not_overwritten() {
    let sql = "create table t (k varchar(9) primary key, a varchar(9)) collate utf8mb4_general_ci; \
               insert into t values ('Ann', 'x'), ('bob', 'Y'), ('eve', 'z')";
    let lines = "{\"k\":\"ann\",\"a\":\"1\"}\n{\"k\":\"bob\",\"a\":\"y\"}\n{\"k\":\"Cid\",\"a\":\"2\"}\n{\"k\":\"cid\",\"a\":\"3\"}\n\
                 {\"k\":\"eve\",\"a\":\"z \"}\n{\"k\":\"eve \",\"a\":\"q\"}\n";
    let table = Table::new(sql, "k = \"k\"\na = \"a\"", "", lines);
    assert_eq!(table.counts(1), [1, 2, 0, 3]);
    let expected = ["ann", "cid", "eve "].map(|key| fault(key, "duplicate_key", ""));
    assert_eq!(table.faults(), expected);
    assert_eq!(table.rows("select k, concat(a, '.') from t order by k"), "Ann x., bob y., Cid 2., eve z .");
}

#[test]
fn old_images_hold_whole_values() {
    let sql = "create table t (k int primary key, a varchar(9), f float, d double, b varbinary(9), l varchar(9) character set latin1, \
                               bits bit(3), j json, g geometry, at timestamp(6) null, e int generated always as (k + 1)); \
               set time_zone = '+00:00'; \
               insert into t (k, a, f, d, b, l, bits, j, g, at) values (1, 'o''ld', 0.1, 0.1, x'00ff', 'é', b'101', '{\"x\": 1}', \
               st_geomfromtext('POINT(1 2)'), '2024-01-01 00:00:00.000001'), (2, null, null, null, null, null, null, '[1, 2]', null, null)";
    let fields = "k = { type = \"int\" }\na = \"a\"\nj = \"j\"";
    let lines = "{\"k\":1,\"a\":\"new\",\"j\":{\"x\":1}}\n{\"k\":2,\"j\":[1,2]}\n";
    let table = Table::new(sql, fields, "", lines);
    // A document that is the same in other words is left alone.
    assert_eq!(table.counts(0), [0, 1, 1, 0]);
    let changes = table.changes();
    let pre = &changes[0]["pre"];
    for (column, value) in [
        ("a", "o'ld"),
        ("f", "0.10000000149011612"),
        ("d", "0.1"),
        ("b", "00ff"),
        ("l", "e9"),
        ("bits", "5"),
        ("j", "{\"x\": 1}"),
        ("at", "2024-01-01 00:00:00.000001"),
    ] {
        assert_eq!(pre[column], value, "{pre}");
    }
    assert!(pre["g"].as_str().is_some_and(|hex| hex.len() == 50), "{pre}");
    assert!(pre.get("e").is_none(), "{pre}");
    assert_eq!(changes[0]["post"]["a"], "new");
}

#[test]
fn what_the_server_would_write_in_another_way_is_refused() {
    let sql = "create table t (k int primary key, u uuid, i inet6, s set('a','b'), t timestamp not null default '2020-01-01')";
    let fields = "k = { type = \"int\" }\nu = { from = \"u\", type = \"string\" }\ni = { from = \"i\", type = \"string\" }\n\
                  s = \"s\"\nt = { from = \"t\", type = \"timestamp\" }";
    let t = "\"t\":\"2024-01-01T00:00:00Z\"";
    let lines = [
        format!(
            "{{\"k\":1,\"u\":\"0123abcd-0000-4000-8000-00000000000f\",\"i\":\"2001:db8::1\",\"s\":\"a,b\",{t}}}"
        ),
        format!("{{\"k\":2,\"u\":\"0123ABCD-0000-4000-8000-00000000000F\",{t}}}"),
        format!("{{\"k\":3,\"i\":\"2001:0db8::1\",{t}}}"),
        format!("{{\"k\":4,\"s\":\"b,a\",{t}}}"),
        "{\"k\":5,\"t\":null}".to_owned(),
        "{\"k\":6,\"t\":\"1969-12-31T23:59:59Z\"}".to_owned(),
        format!("{{\"k\":7,\"u\":\"no uuid\",{t}}}"),
    ];
    let table = Table::new(sql, fields, "", &lines.join("\n"));
    assert_eq!(table.counts(1), [1, 0, 0, 6]);
    let expected = [
        fault("2", "changed", "u"),
        fault("3", "changed", "i"),
        fault("4", "member", "s"),
        fault("5", "not_null", "t"),
        fault("6", "range", "t"),
        fault("7", "1292", "u"),
    ];
    assert_eq!(table.faults(), expected);
}

#[test]
fn what_cannot_be_written_to_is_refused_with_what_would_help() {
    let of = |sql: &str, words: &[&str]| {
        let fields = "k = { type = \"int\" }\na = \"a\"";
        let table = Table::new(sql, fields, "", "{\"k\":1,\"a\":\"x\"}\n");
        let ran = table.runs(&["migrate"], 2);
        for word in words {
            assert!(ran.stderr.contains(word), "{word}: {ran:?}");
        }
    };
    of("create table s (k int, a text); create view t as select * from s", &["is a view"]);
    let help = ["no unique index is on the key", "alter table t add unique (`k`)"];
    of("create table t (k int, a text)", &help);
    of("create table t (k int, a varchar(9), unique (k, a))", &help);
    of(
        "create table t (k int primary key, a text) engine = MyISAM",
        &["MyISAM has no transactions", "engine = InnoDB"],
    );
    of("create table t (k int primary key, a varchar(9) as (k))", &["generated by the table", "ignore it"]);
    of("create table t (k int primary key, b text)", &["no column `a`", "add column"]);
}

/// A table that writes down which keys were written, one of them there before.
const AUDITED: &str = "create table t (k int primary key, a text, n int); create table written (k int); \
                       insert into t values (3, 'old', 0); \
                       create trigger i after insert on t for each row insert into written values (new.k); \
                       create trigger u after update on t for each row insert into written values (new.k)";

fn fifty() -> String {
    (0..50).map(|k| format!("{{\"k\":{k},\"a\":\"v{k}\"}}\n")).collect()
}

const FIELDS: &str = "k = { type = \"int\" }\na = \"a\"";
/// The same, and a count that a record has wrong that is written twice.
const COUNTED: &str = "k = { type = \"int\" }\na = \"a\"\nn = { from = \"1\", type = \"int\", on_conflict_sql = \"old.n + 1\" }";
const WRITTEN: &str = "select count(*), count(distinct k), (select count(*) from t) from written";

#[cfg(feature = "faults")]
#[test]
fn killed_around_the_commit_every_record_is_written_once() {
    for point in ["loaded", "images-kept", "before-commit", "committed"] {
        for pass in [1, 3] {
            let table = Table::new(AUDITED, COUNTED, "", &fifty());
            table.is_killed_at(&format!("mysql.{point}:{pass}"));
            table.runs(&["migrate"], 0);
            assert_eq!(table.rows(WRITTEN), "50 50 50", "{point}:{pass}");
            assert_eq!(table.rows("select count(*) from recon_batches"), "0", "{point}:{pass}");
            table.runs(&["stage", "target"], 0);
            table.runs(&["diff"], 0);
        }
    }
}

#[test]
fn a_connection_that_breaks_is_made_again_and_nothing_is_written_twice() {
    let database = Database::new(AUDITED);
    let proxy = Proxy::to(database.port);
    let url = database.url.replace(&database.port.to_string(), &proxy.port.to_string());
    let dataset = format!("kind = \"mysql\"\nurl = \"{url}\"\ntable = \"t\"");
    let migration = Migration::new(&dataset, COUNTED, "", &fifty());
    let ran = std::thread::scope(|scope| {
        scope.spawn(|| {
            for bytes in [40, 90, 200, 400] {
                std::thread::sleep(Duration::from_millis(700));
                proxy.set(Fault::Reset(bytes));
            }
        });
        migration.runs(&["migrate", "--batch-size", "2", "--concurrency", "1", "--rate", "13"], 0)
    });
    assert!(ran.stderr.contains("over a new connection"), "{ran:?}");
    let table = Table { migration, database };
    assert_eq!(table.rows(WRITTEN), "50 50 50");
}

#[test]
fn workers_do_not_wait_for_each_other_and_a_lock_is_waited_for() {
    let sql = "create table t (k int primary key, a varchar(20), unique (a))";
    let lines: String =
        (0..4000).map(|k| format!("{{\"k\":{k},\"a\":\"v{}\"}}\n", (k * 7919) % 4001)).collect();
    let table = Table::new(sql, FIELDS, "", &lines);
    let ran = table.runs(&["migrate", "--batch-size", "200", "--concurrency", "4", "--format", "json"], 0);
    assert!(ran.stdout.contains("\"inserted\": 4000"), "{ran:?}");
    assert_eq!(table.rows("select count(*) from t"), "4000");
}

#[test]
fn who_may_not_write_is_told_what_it_takes() {
    let sql = "create table t (k int primary key, a text); \
               create or replace user reader_of_t@'%'; grant select, create temporary tables, create on *.* to reader_of_t@'%'";
    let database = Database::new(sql);
    let url = database.url.replace("root@", "reader_of_t@");
    let dataset = format!("kind = \"mysql\"\nurl = \"{url}\"\ntable = \"t\"");
    let migration = Migration::new(&dataset, FIELDS, "", &fifty());
    let ran = migration.runs(&["migrate"], 4);
    assert!(ran.stderr.contains("the user needs: select, insert and update"), "{ran:?}");
}

#[test]
fn a_server_that_restarts_in_between_loses_and_doubles_nothing() {
    let port = crate::servers::free_port();
    // What was committed is on the server's disk.
    let durable = ["--innodb-flush-log-at-trx-commit=1"];
    let server = mariadb::begin(port, &durable);
    mariadb::sql(&server, "mysql", "create database d character set utf8mb4");
    mariadb::sql(&server, "d", AUDITED);
    let dataset = format!("kind = \"mysql\"\nurl = \"mysql://root@127.0.0.1:{port}/d\"\ntable = \"t\"");
    let migration = Migration::new(&dataset, COUNTED, "", &fifty());
    let server = std::thread::scope(|scope| {
        let restart = scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(1_000));
            mariadb::stop(&server);
            mariadb::begin_again(server, &durable)
        });
        migration.runs(&["migrate", "--batch-size", "5", "--rate", "20"], 0);
        restart.join().expect("it starts again")
    });
    assert_eq!(mariadb::sql(&server, "d", WRITTEN), "50\t50\t50\n");
}
