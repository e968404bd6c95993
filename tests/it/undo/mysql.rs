//! MariaDB.

use recon::migrate::undo::{Kind, OnConflict};

use super::{
    FIELDS, LINES, Migrated, Sql, TWO, columns_are_added, counts, kinds, others_refer, somebody_changes,
    the_index_goes,
};
use crate::servers::mariadb::Database;

/// A table of MariaDB that was made by this SQL, and lines that were migrated into it.
struct Table {
    migrated: Migrated,
    database: Database,
    before: String,
}

impl std::ops::Deref for Table {
    type Target = Migrated;

    fn deref(&self) -> &Migrated {
        &self.migrated
    }
}

impl Sql for Table {
    fn run(&self, sql: &str) {
        self.database.run(sql);
    }

    fn rows(&self, sql: &str) -> String {
        self.database.run(sql).trim_end().replace('\t', " ").replace('\n', ", ")
    }
}

impl Table {
    #[track_caller]
    fn new(sql: &str, fields: &str, more: &str, lines: &[&str]) -> Self {
        let table = Self::staged(sql, fields, more, lines);
        table.migration.runs(&["migrate"], 0);
        table
    }

    fn staged(sql: &str, fields: &str, more: &str, lines: &[&str]) -> Self {
        let database = Database::new(sql);
        let dataset = format!("kind = \"mysql\"\nurl = \"{}\"\ntable = \"t\"", database.url);
        let before = dump(&database);
        Self { migrated: Migrated::staged(&dataset, fields, more, lines), database, before }
    }

    fn dump(&self) -> String {
        dump(&self.database)
    }
}

/// The bytes of every value of `t`.
fn dump(database: &Database) -> String {
    let columns = database.run(
        "set group_concat_max_len = 1000000; select group_concat(case when data_type in ('float', 'double') \
         then concat('(`', replace(column_name, '`', '``'), '` + 0e0)') else concat('hex(cast(`', replace(column_name, '`', '``'), '` as binary))') end) \
         from information_schema.columns where table_schema = database() and table_name = 't'",
    );
    let columns = columns
        .trim()
        .replace("(cast(`ge` as binary))", "(`ge`)")
        .replace("(cast(`pt` as binary))", "(`pt`)");
    database.run(&format!("select {columns} from t order by 1"))
}

const TYPES: &str = "create table t (k int not null auto_increment primary key, a varchar(20), \
    ti tinyint, bi bigint unsigned, de decimal(65, 30), fl float, du double, d2 double(10, 2), f4 float(7, 4), \
    b64 bit(64), b1 bit(1), y year, da date, dt datetime(6), \
    ts timestamp(6) not null default current_timestamp(6) on update current_timestamp(6), t2 timestamp null, tm time(6), \
    ch char(5), vc varchar(20) character set latin1, u2 varchar(20) character set ucs2, u16 text character set utf16, \
    u3 varchar(20) character set utf8mb3, sj varchar(10) character set sjis, l1 longtext character set utf8mb4 collate utf8mb4_bin, \
    en enum('a', 'b''c', 'é', '') character set latin1, e8 enum('1', '0', 'é'), se set('x', 'y', 'é') character set latin1, \
    bn binary(4), vb varbinary(20), bl blob, js json, ge geometry, pt point not null, i6 inet6, gen int as (k + 1), \
    `o d``d` int not null default 7)";

const VALUES: &str = "set time_zone = '+00:00', sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO'; \
    insert into t (k, a, ti, bi, de, fl, du, d2, f4, b64, b1, y, da, dt, ts, t2, tm, ch, vc, u2, u16, u3, sj, l1, en, e8, se, bn, vb, bl, js, \
    ge, pt, i6) values \
    (0, 'x', -128, 18446744073709551615, 12345678901234567890123456789012345.123456789012345678901234567891, 0.1, 1.7976931348623157e308, \
     0.1, 1.2345, b'1111111111111111111111111111111111111111111111111111111111111111', b'1', 1901, '9999-12-31', '2024-02-29 23:59:59.999999', \
     '2020-01-01 00:00:00.000001', '2038-01-19 03:14:07', '-838:59:59.000000', 'é', 'é', 'é😀', '😀', 'é', 'ア', '\\\\ ''\"\\0\\n{{rows}}?', 'é', '0', 'x,é', \
     x'00ff', x'00', x'ff00fe', '{\"b\": 1.10, \"a\": [null, \"é\"]}', point(1.5, -2), point(0.1, 0.2), '::1'), \
    (1, '', 127, 0, -0.000000000000000000000000000001, -3.4028235e38, 5e-324, -99999999.99, 999.9999, b'0', b'0', '0000', '0000-00-00', \
     '0000-00-00 00:00:00', '2030-06-01 12:00:00', '0000-00-00 00:00:00', '838:59:59', '', '', '', '', '', '', '', '', '1', '', x'', x'', x'', '[]', \
     geomfromtext('geometrycollection(point(1 1), linestring(0 0, 1 1))'), point(0, 0), '1:2::'), \
    (2, null, null, null, null, -0e0, -0e0, null, null, null, null, null, '2024-02-31', '2024-00-00 00:00:00', '2020-01-01', null, '00:00:00.000001', \
     'a b', 'a  ', 'x ', null, null, null, null, null, null, null, null, null, null, null, null, point(1, 1), null), \
    (3, null, null, null, null, null, null, null, null, null, null, null, null, null, '2020-01-01', null, null, null, null, null, null, null, null, \
     null, null, null, null, null, null, null, null, null, point(1, 1), null)";

const LINE: [&str; 5] = [
    r#"{"k":0,"a":"new"}"#,
    r#"{"k":1,"a":"new"}"#,
    r#"{"k":2,"a":"new"}"#,
    r#"{"k":3,"a":"new"}"#,
    r#"{"k":4,"a":"new"}"#,
];

#[test]
fn values_of_every_type_come_back_as_they_were() {
    let fields = "k = { type = \"int\" }\na = { from = \"a\", type = \"string\" }";
    let types = TYPES.replace("pt point not null", "pt point not null default (point(9, 9))");
    let table = Table::new(&format!("{types}; {VALUES}"), fields, "", &LINE);
    let (made, migrated) = (table.made(), table.dump());
    assert_ne!(migrated, table.before);
    table.is_as_digested(&made);
    let (undone, back) = table.undone(&made, OnConflict::Skip);
    assert_eq!((counts(&undone), &undone.altered), ([4, 1, 0, 0, 0, 0], &vec![]));
    assert_eq!(table.dump(), table.before);
    table.is_as_digested(&back);
    // The rows themselves go, and come back whole, their numbers zero and the times that the table would set among them.
    let (_, forth) = table.undone(&back, OnConflict::Skip);
    assert_eq!(table.dump(), migrated);
    let (undone, _) = table.undone(&forth, OnConflict::Skip);
    assert_eq!(counts(&undone), [4, 1, 0, 0, 0, 0]);
    table.run("delete from t");
    let (undone, _) = table.undone(&made, OnConflict::Force);
    assert_eq!((counts(&undone), &undone.altered, undone.forced), ([0, 0, 4, 1, 0, 0], &vec![], 4));
    assert_eq!(table.dump(), table.before);
}

#[test]
fn keys_are_told_apart_by_their_bytes() {
    for set in ["utf8mb4", "latin1", "ucs2"] {
        let lines = [r#"{"k":"ann","a":"x"}"#, r#"{"k":"Bob","a":"x"}"#, r#"{"k":"é","a":"x"}"#];
        let sql = format!(
            "create table t (k varchar(9) primary key, a varchar(9)) character set {set}; insert into t values ('Bob', 'old')"
        );
        let table = Table::new(&sql, "k = \"k\"\na = \"a\"", "", &lines);
        table.run("delete from t where k = 'ann'; insert into t values ('ANN', 'x'); update t set k = 'BOB' where k = 'bob'");
        let (undone, _) = table.undone(&table.made(), OnConflict::Force);
        // To the index they are the same, and nobody can tell whose they are: not even by force.
        assert_eq!((counts(&undone), kinds(&undone)), ([0, 1, 0, 0, 2, 0], vec![Kind::Changed; 2]), "{set}");
        assert_eq!(table.rows("select k, a from t order by k"), "ANN x, BOB x");
    }
}

fn simple(more: &str) -> Table {
    let sql = format!("create table t (k int primary key, a varchar(20), b varchar(20)); {TWO}; {more}");
    Table::new(&sql, FIELDS, "", &LINES)
}

#[test]
fn without_its_index_a_key_is_still_one_row() {
    let sql = "create table t (k varchar(9) primary key, a varchar(9)); insert into t values ('Bob', 'old')";
    let lines = [r#"{"k":"ann","a":"x"}"#, r#"{"k":"Bob","a":"x"}"#];
    let table = Table::new(sql, "k = \"k\"\na = \"a\"", "", &lines);
    the_index_goes(&table, "alter table t drop primary key");
}

#[test]
fn what_somebody_has_changed_since_is_a_conflict() {
    somebody_changes(&simple(""));
}

#[test]
fn values_in_later_columns_are_kept() {
    columns_are_added(&simple(""));
}

#[test]
fn rows_that_others_refer_to_stay() {
    for action in ["on delete cascade", "on delete set null", "", "on delete restrict"] {
        let table = simple(&format!(
            "create table child (x int primary key, p int, foreign key (p) references t (k) {action})"
        ));
        others_refer(&table, None);
    }
}

#[test]
fn rows_of_one_table_refer_to_each_other() {
    let lines = [
        r#"{"k":2,"a":null}"#,
        r#"{"k":3,"a":2}"#,
        r#"{"k":4,"a":3}"#,
        r#"{"k":5,"a":null}"#,
        r#"{"k":6,"a":5}"#,
        r#"{"k":8,"a":6}"#,
    ];
    for action in ["on delete cascade", ""] {
        let table = Table::new(
            &format!(
                "create table t (k int primary key, a int, foreign key (a) references t (k) {action}); insert into t values (7, null), (8, 7)"
            ),
            "k = { type = \"int\" }\na = { from = \"a\", type = \"int\" }",
            "",
            &lines,
        );
        assert_eq!(table.open(&table.made()).concurrency(), 1);
        // One chain ends with somebody's row: all of it stays.
        table.run("insert into t values (9, 4)");
        let (undone, _) = table.undone(&table.made(), OnConflict::Skip);
        assert_eq!((kinds(&undone), counts(&undone)), (vec![Kind::Referenced; 3], [1, 2, 0, 0, 3, 0]));
        table.run("delete from t where k = 9");
        let (undone, _) = table.undone(&table.made(), OnConflict::Skip);
        assert_eq!(counts(&undone), [0, 3, 0, 3, 0, 0]);
        assert_eq!(table.dump(), table.before);
    }
}

#[test]
fn what_a_trigger_does_is_reported() {
    let table = simple("");
    table.run(
        "delimiter //\ncreate trigger no before delete on t for each row \
         if old.k = 4 then signal sqlstate '45000' set message_text = 'not this one'; end if //",
    );
    table.run(
        "create trigger upper_b before update on t for each row \
         set new.b = if(new.a = 'old' and new.k = 1, upper(new.b), new.b)",
    );
    let (undone, back) = table.undone(&table.made(), OnConflict::Skip);
    assert_eq!((counts(&undone), back.changes.len()), ([2, 1, 0, 0, 0, 1], 3));
    let fault = &undone.faults[0].1;
    assert_eq!((fault.code.as_str(), fault.message.contains("not this one")), ("1644", true));
    assert_eq!(undone.altered[0].1, ["b"]);
    assert_eq!(table.all(), "1 old OLD, 2 old old, 4 new new");
}

#[test]
fn a_time_that_the_table_sets_itself_stays_as_it_is() {
    let table = Table::new(
        "create table t (k int primary key, a varchar(20), b varchar(20), \
         at timestamp(6) not null default current_timestamp(6) on update current_timestamp(6)); \
         insert into t (k, a, b) values (1, 'old', 'old')",
        FIELDS,
        "",
        &LINES[..1],
    );
    table.run("update t set b = 'mine', at = '2021-01-01 00:00:00'");
    let (undone, _) = table.undone(&table.made(), OnConflict::Merge);
    assert_eq!((undone.merged, &undone.altered), (1, &vec![]));
    assert_eq!(table.rows("select a, b, at + 0 from t"), "old mine 20210101000000.000000");
}

#[test]
fn large_rows_go_in_several_statements() {
    let lines: Vec<String> =
        (1..=4).map(|k| format!("{{\"k\":{k},\"a\":\"{}\"}}", "'\\\\é".repeat(100_000))).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let table = Table::new(
        "create table t (k int primary key, a longtext)",
        "k = { type = \"int\" }\na = \"a\"",
        "",
        &lines,
    );
    let (made, migrated) = (table.made(), table.dump());
    let (_, back) = table.undone(&made, OnConflict::Skip);
    let (undone, _) = table.undone(&back, OnConflict::Skip);
    assert_eq!(counts(&undone), [0, 0, 4, 0, 0, 0]);
    assert!(table.dump() == migrated, "other values than before");
}

#[test]
fn a_version_goes_forward() {
    let sql = "create table t (k int primary key, a text, b int); insert into t values (1, 'old', 5)";
    let fields = "k = { type = \"int\" }\na = \"a\"\nb = { from = \"b\", type = \"int\" }";
    let table = Table::new(sql, fields, "version = \"b\"", &[r#"{"k":1,"a":"new","b":8}"#]);
    let (undone, _) = table.undone(&table.made(), OnConflict::Skip);
    assert_eq!(counts(&undone), [1, 0, 0, 0, 0, 0]);
    assert_eq!(table.rows("select a, b from t"), "old 9");
}

#[cfg(feature = "faults")]
#[test]
fn the_marker_of_a_batch_tells_what_became_of_it() {
    let sql = format!("create table t (k int primary key, a varchar(20), b varchar(20)); {TWO}");
    Table::staged(&sql, FIELDS, "", &LINES).is_told_by_its_marker("mysql.committed");
}
