//! The cases, each for any store with SQL.

use serde_json::{Value as Json, json};

use super::bench::{Bench, FIELDS, TABLE};

fn record(k: i64) -> Json {
    json!({ "k": k, "name": format!("name {k}"), "n": k * 10 })
}

/// A table with ten rows, and twenty records of which ten are those.
fn filled(bench: &Bench) {
    let rows: Vec<String> = (0..20).step_by(2).map(|k| format!("({k}, 'before', {k}, 'own {k}')")).collect();
    bench.sql(&format!("{TABLE}; insert into t values {}", rows.join(", ")));
    bench.stage((0..20).map(record));
}

/// A row that was updated and one that was inserted are edited by somebody: both stay, all others go back.
pub(super) fn target_edited_later(bench: Bench) {
    filled(&bench);
    let before = bench.dump();
    bench.migrate().has(&[("inserted", 10), ("updated", 10)]);
    bench.sql("update t set n = -1 where k = 4; update t set own = 'theirs' where k = 5");
    let plan = bench.told(&["rollback", "plan", "--run", "last"], 1);
    plan.has(&[("restored", 9), ("removed", 9), ("conflicts", 2)]);
    assert_eq!(bench.report(&plan, "plan.csv", &["k", "action", "reason"]).len(), 20);
    let told = bench.rolls_back(&["--run", "last"], 1);
    told.has(&[("restored", 9), ("removed", 9), ("conflicts", 2), ("failed", 0)]);
    let conflicts = bench.report(&told, "conflicts.csv", &["k", "kind", "field", "old", "ours", "now"]);
    assert!(conflicts.contains(&"4,changed,n,4,40,-1".to_owned()), "{conflicts:?}");
    assert!(conflicts.iter().any(|row| row.starts_with("5,changed,own,,,")), "{conflicts:?}");
    let mut expected: Vec<&str> = before.lines().filter(|line| !line.starts_with("4|")).collect();
    expected.extend(["4|name 4|-1|own 4", "5|name 5|50|theirs"]);
    expected.sort_by_key(|line| line.split('|').next().and_then(|k| k.parse::<i64>().ok()));
    assert_eq!(bench.dump().lines().collect::<Vec<_>>(), expected);
    // And it says so.
    let verified = bench.runs(&["rollback", "verify", "--run", &told.run_id()], 1);
    assert!(verified.stdout.contains("2 rows are not as they were"), "{verified:?}");
}

/// Killed at each of its steps, a rollback goes on and ends as an undisturbed one.
#[cfg(feature = "faults")]
pub(super) fn killed_in_the_middle(bench: Bench) {
    filled(&bench);
    let before = bench.dump();
    let points = crate::faults::points::points();
    // The others are of a target that writes in parts.
    let points =
        points.iter().filter(|point| point.starts_with("rollback.") && *point != "rollback.item-written");
    let more =
        ["manifest.before-sync:2", "rollback.intent:2", "rollback.before-commit:2", "rollback.committed:3"];
    for point in points.map(String::as_str).chain(more) {
        bench.migrate().has(&[("inserted", 10), ("updated", 10)]);
        bench.is_killed(&["rollback", "apply", "--run", "last"], point);
        if point == "rollback.applied" {
            // Nothing is written until it is at its end, and everybody is told.
            assert!(bench.runs(&["migrate"], 2).stderr.contains("rollback apply"));
            let status = bench.runs(&["status"], 0);
            assert!(status.stdout.contains("rollback apply        (goes on with it)"), "{status:?}");
        }
        let told = bench.rolls_back(&["--run", "last"], 0);
        assert_eq!(bench.dump(), before, "{point}: {told:?}");
        told.has(&[("rolled_back", 20), ("unchanged", 0), ("pending", 0), ("conflicts", 0)]);
        bench.runs(&["rollback", "verify"], 0);
    }
}

pub(super) fn run_twice(bench: Bench) {
    filled(&bench);
    let before = bench.dump();
    let run = bench.migrate().run_id();
    let back = bench.rolls_back(&["--run", &run], 0);
    back.has(&[("restored", 10), ("removed", 10)]);
    assert_eq!(bench.dump(), before);
    bench.rolls_back(&["--run", &run], 0).has(&[("rolled_back", 0), ("unchanged", 20), ("conflicts", 0)]);
    assert_eq!(bench.dump(), before);
    // What somebody puts there since is his, even where it looks the same.
    bench.sql("insert into t values (1, 'name 1', 10, null)");
    bench.rolls_back(&["--run", &run], 0).has(&[("removed", 0), ("unchanged", 20)]);
    assert_eq!(bench.sql("select name from t where k = 1"), "name 1\n");
    bench.sql("delete from t where k = 1");
    assert!(bench.runs(&["rollback", "list", "-e", "nosuch"], 2).stderr.contains("entity `nosuch`"));
    // There is nothing left that `last` could mean.
    let ran = bench.runs(&["rollback", "apply", "--run", "last"], 2);
    assert!(ran.stderr.contains("rollback list"), "{ran:?}");
    // Once the rollback that did the work is undone, the run can be rolled back again.
    bench.rolls_back(&["--run", &back.run_id()], 0).has(&[("restored", 10), ("inserted", 10)]);
    bench.rolls_back(&["--run", "last"], 0).has(&[("restored", 10), ("removed", 10), ("unchanged", 0)]);
    assert_eq!(bench.dump(), before);
}

/// A key that is spelled otherwise since, for its column has another type: nobody can tell what became of the row.
pub(super) fn keys_that_are_spelled_otherwise(bench: Bench) {
    filled(&bench);
    bench.migrate();
    bench.sql(bench.by(
        "alter table t alter k type numeric(10, 2)",
        "alter table t modify k decimal(10, 2)",
        "create table n (k text primary key, name varchar(100), n int, own varchar(100)); insert into n select * from t; \
         drop table t; alter table n rename to t",
    ));
    let after = bench.dump();
    for policy in ["skip", "force"] {
        let told = bench.rolls_back(&["--run", "last", "--on-conflict", policy], 1);
        told.has(&[("conflicts", 20), ("removed", 0), ("restored", 0), ("unchanged", 0)]);
        assert!(bench.dump() == after, "{policy}");
        let said = bench.runs(&["rollback", "verify", "--run", &told.run_id()], 1);
        assert!(said.stdout.contains("20 rows are not as they were"), "{said:?}");
    }
}

/// An undo that is killed and left for another one: what it had begun, and not done, does not count as written.
#[cfg(feature = "faults")]
pub(super) fn an_undo_that_is_killed_and_left(bench: Bench) {
    filled(&bench);
    let before = bench.dump();
    for point in ["rollback.intent:2", "rollback.committed:2", "rollback.batch-done:2"] {
        bench.migrate().has(&[("inserted", 10), ("updated", 10)]);
        let back = bench.rolls_back(&["--run", "last"], 0);
        bench.is_killed(&["rollback", "apply", "--run", &back.run_id()], point);
        let runs = bench.told(&["runs", "-n", "1"], 0);
        let undo = runs.json[0]["run_id"].as_str().expect("a run").to_owned();
        bench.rolls_back(&["--run", &undo, "--new-run"], 0);
        assert_eq!(bench.dump(), before, "{point}");
    }
    bench.migrate().has(&[("inserted", 10), ("updated", 10)]);
}

/// A field of the key may go into a column that has the name of another one.
pub(super) fn keys_whose_columns_have_each_others_names(bench: Bench) {
    bench.sql("create table t (x int, y int, n int, primary key (x, y))");
    bench.project.write(
        "recon.toml",
        format!(
            "[datasets.old]\nkind = \"jsonl\"\nuri = \"old.jsonl\"\n[datasets.new]\n{}\n[entities.t]\nsource = \"old\"\n\
             target = \"new\"\nkey = [\"x\", \"y\"]\n[entities.t.fields]\nx = {{ from = \"a\", to = \"y\", type = \"int\" }}\n\
             y = {{ from = \"b\", to = \"x\", type = \"int\" }}\nn = {{ from = \"n\", type = \"int\" }}\n",
            bench.dataset("t")
        ),
    );
    bench.stage([json!({ "a": 1, "b": 2, "n": 1 }), json!({ "a": 2, "b": 1, "n": 2 })]);
    bench.migrate().has(&[("inserted", 2)]);
    bench.sql("update t set n = 3 where n = 2");
    bench.project.write("keys.csv", "x,y\n1,2\n");
    let told = bench.rolls_back(&["--ids", "@keys.csv"], 0);
    told.has(&[("removed", 1), ("conflicts", 0)]);
    assert_eq!(bench.sql("select n from t"), "3\n");
    let told = bench.rolls_back(&["--run", "last"], 1);
    assert!(bench.report(&told, "conflicts.csv", &["x", "y", "kind"]).iter().all(|row| row == "2,1,changed"));
}

pub(super) fn row_already_deleted(bench: Bench) {
    filled(&bench);
    bench.migrate();
    bench.sql("delete from t where k in (2, 3)");
    let told = bench.rolls_back(&["--run", "last"], 1);
    // What was inserted and is gone needs nothing; what was there before is not made again silently.
    told.has(&[("unchanged", 1), ("conflicts", 1), ("restored", 9), ("removed", 9), ("inserted", 0)]);
    assert!(bench.report(&told, "conflicts.csv", &["k", "kind"]).iter().all(|row| row == "2,deleted"));
    assert_eq!(bench.sql("select count(*) from t where k = 2"), "0\n");
}

pub(super) fn key_recreated_by_others(bench: Bench) {
    filled(&bench);
    let before = bench.dump();
    bench.migrate();
    bench.sql("delete from t where k = 3; insert into t values (3, 'theirs', 1, null)");
    let told = bench.rolls_back(&["--run", "last"], 1);
    told.has(&[("removed", 9), ("restored", 10), ("conflicts", 1)]);
    assert_eq!(bench.sql("select name from t where k = 3"), "theirs\n");
    // The rollback has removed row 5; somebody makes another one before that is undone.
    bench.sql("delete from t where k = 3; insert into t values (5, 'theirs', 1, null)");
    let again = bench.rolls_back(&["--run", &told.run_id()], 1);
    again.has(&[("inserted", 8), ("restored", 10), ("conflicts", 1)]);
    assert!(bench.report(&again, "conflicts.csv", &["k", "kind"]).iter().all(|row| row == "5,recreated"));
    assert_eq!(bench.sql("select name from t where k = 5"), "theirs\n");
    assert_ne!(bench.dump(), before);
}

pub(super) fn migrated_and_rolled_back_twice(bench: Bench) {
    filled(&bench);
    let before = bench.dump();
    let first = bench.migrate();
    let after = bench.dump();
    let back = bench.rolls_back(&["--run", "last"], 0);
    assert_eq!(bench.dump(), before);
    // Each undo belongs to its generation.
    let second = bench.migrate();
    second.has(&[("inserted", 10), ("updated", 10)]);
    assert_eq!(bench.dump(), after);
    bench.rolls_back(&["--run", "last"], 0).has(&[("rolled_back", 20)]);
    assert_eq!(bench.dump(), before);
    assert_ne!(first.run_id(), second.run_id());
    // The first rollback was undone by nothing: its rows are as the second left them.
    bench.rolls_back(&["--run", &first.run_id()], 0).has(&[("unchanged", 20)]);
    bench.rolls_back(&["--run", &back.run_id()], 0).has(&[("inserted", 10), ("restored", 10)]);
    assert_eq!(bench.dump(), after);
}

pub(super) fn one_key_written_by_two_runs(bench: Bench) {
    filled(&bench);
    let before = bench.dump();
    let first = bench.migrate();
    let between = bench.dump();
    bench.stage((0..20).map(|k| json!({ "k": k, "name": "second", "n": if k < 15 { -k } else { k * 10 } })));
    let second = bench.migrate();
    second.has(&[("updated", 20)]);
    // The older run alone cannot go back: its rows were written over.
    let refused = bench.rolls_back(&["--run", &first.run_id()], 1);
    refused.has(&[("rolled_back", 0), ("conflicts", 20)]);
    bench.rolls_back(&["--run", &second.run_id()], 0).has(&[("restored", 20)]);
    assert_eq!(bench.dump(), between);
    bench.rolls_back(&["--run", &first.run_id()], 0).has(&[("restored", 10), ("removed", 10)]);
    assert_eq!(bench.dump(), before);
}

/// Batches that fail in part and are written by a replay: the first old image is the one that comes back.
pub(super) fn replay_keeps_the_first_old_image(bench: Bench) {
    filled(&bench);
    let before = bench.dump();
    bench.sql(bench.by(
        "alter table t add constraint small check (n < 100)",
        "alter table t add constraint small check (n < 100)",
        "create trigger small before update on t when new.n >= 100 begin select raise(abort, 'too large'); end; \
         create trigger small2 before insert on t when new.n >= 100 begin select raise(abort, 'too large'); end",
    ));
    bench.told(&["migrate", "--batch-size", "7"], 1).has(&[("failed", 10), ("updated", 5), ("inserted", 5)]);
    bench.sql(bench.by(
        "alter table t drop constraint small",
        "alter table t drop constraint small",
        "drop trigger small; drop trigger small2",
    ));
    bench.told(&["replay"], 0).has(&[("updated", 5), ("inserted", 5)]);
    bench.rolls_back(&["--since", "1h"], 0).has(&[("restored", 10), ("removed", 10), ("conflicts", 0)]);
    assert_eq!(bench.dump(), before);
}

/// Parents and their children, which refer to each other by a key: both were migrated, and both go.
pub(super) fn children_before_parents(bench: Bench) {
    family(&bench, "");
    bench.told(&["migrate"], 0);
    assert_eq!(bench.sql("select count(*) from child"), "20\n");
    let told = bench.rolls_back(&["--run", "last"], 0);
    assert_eq!(told.json["entities"]["child"]["removed"], 20, "{told:?}");
    told.has(&[("removed", 20)]);
    assert_eq!(bench.sql("select count(*) from t"), "0\n");
    // Undone, the parents come before their children.
    bench.rolls_back(&["--run", &told.run_id()], 0).has(&[("inserted", 20)]);
    assert_eq!(bench.sql("select count(*) from child"), "20\n");
}

/// A project of two entities, of which one refers to the other.
fn family(bench: &Bench, action: &str) {
    bench.sql(&format!(
        "create table t (k int primary key, name varchar(100)); \
         create table child (k int primary key, parent int not null, foreign key (parent) references t (k) {action})"
    ));
    bench.project.write(
        "recon.toml",
        format!(
            "[datasets.old]\nkind = \"jsonl\"\nuri = \"old.jsonl\"\n[datasets.t]\n{}\n[datasets.child]\n{}\n\
             [entities.child]\nsource = \"old\"\ntarget = \"child\"\nkey = [\"k\"]\nreferences = {{ parent = \"t.k\" }}\n\
             [entities.child.fields]\nk = {{ from = \"k\", type = \"int\" }}\nparent = {{ from = \"k\", type = \"int\" }}\n\
             [entities.t]\nsource = \"old\"\ntarget = \"t\"\nkey = [\"k\"]\n\
             [entities.t.fields]\nk = {{ from = \"k\", type = \"int\" }}\nname = \"name\"\n",
            bench.dataset("t"),
            bench.dataset("child")
        ),
    );
    bench.stage((0..20).map(record));
}

/// Somebody's rows refer to a migrated one: they neither go with it nor lose what they refer to.
pub(super) fn rows_of_others_are_not_cascaded_away(bench: Bench) {
    for action in ["", "on delete cascade", "on delete set null"] {
        bench.begins_anew();
        bench.sql("drop table if exists theirs");
        bench.sql("drop table if exists child");
        bench.sql("drop table if exists t");
        family(&bench, "on delete cascade");
        let null = if action.ends_with("null") { "" } else { "not null" };
        bench.told(&["migrate"], 0);
        bench.sql(&format!(
            "create table theirs (id int primary key, parent int {null}, foreign key (parent) references t (k) {action}); \
             insert into theirs values (1, 7)"
        ));
        // It is seen before anything is done.
        let plan = bench.told(&["rollback", "plan", "--run", "last"], 1);
        plan.has(&[("removed", 19), ("conflicts", 1)]);
        assert!(
            bench
                .report(&plan, "plan.csv", &["k", "action", "reason"])
                .contains(&"7,conflict,referenced".to_owned())
        );
        bench
            .told(&["rollback", "apply", "--run", "last", "--on-conflict", "abort"], 1)
            .has(&[("conflicts", 1)]);
        assert_eq!(bench.sql("select count(*) from child"), "20\n", "{action}");
        let told = bench.rolls_back(&["--run", "last"], 1);
        told.has(&[("removed", 19), ("conflicts", 1), ("failed", 0)]);
        assert_eq!(told.json["entities"]["child"]["removed"], 20, "{action}: {told:?}");
        assert_eq!(bench.sql("select id, parent from theirs"), "1|7\n", "{action}");
        assert!(bench.report(&told, "conflicts.csv", &["k", "kind"]).iter().all(|row| row == "7,referenced"));
    }
}

/// A run is as it was only where all of its entities are back.
pub(super) fn verify_wants_all_of_a_run(bench: Bench) {
    family(&bench, "");
    let run = bench.told(&["migrate"], 0).run_id();
    bench.told(&["rollback", "apply", "--run", &run, "-e", "child"], 0);
    let said = bench.runs(&["rollback", "verify", "--run", &run], 3);
    assert!(said.stdout.contains("not rolled back as a whole"), "{said:?}");
    bench.runs(&["rollback", "verify", "--run", &run, "-e", "child"], 0);
    bench.told(&["rollback", "apply", "--run", &run, "-e", "t"], 0);
    let said = bench.runs(&["rollback", "verify", "--run", &run], 0);
    assert!(said.stdout.contains("child: 20 rows") && said.stdout.contains("t: 20 rows"), "{said:?}");
    bench.sql("insert into t values (3, 'theirs')");
    bench.runs(&["rollback", "verify", "--run", &run], 1);
}

/// A conflict that shows only while a rollback is under way: the batch stays whole, and what went before can be had again.
pub(super) fn abort_in_the_middle(bench: Bench) {
    family(&bench, "");
    bench.told(&["migrate"], 0);
    // The rows of `child` go before those of `t`, so a new one among them is seen only then.
    bench.sql("insert into child values (100, 7)");
    let abort = ["rollback", "apply", "--run", "last", "--on-conflict", "abort"];
    let ran = bench.runs(&abort, 3);
    assert!(
        ran.stderr.contains("other rows refer to the row") && ran.stderr.contains("--new-run"),
        "{ran:?}"
    );
    assert_eq!(bench.sql("select count(*) from t"), "20\n");
    assert_eq!(bench.sql("select count(*) from child"), "1\n");
    let words: Vec<&str> = ran.stderr.split_whitespace().collect();
    let run = words.windows(2).find(|pair| pair[0] == "--run").expect("the rollback")[1];
    bench.told(&["rollback", "apply", "--run", run, "--new-run"], 0);
    assert_eq!(bench.sql("select count(*) from child"), "21\n");
}

/// Somebody's rows refer to a value that the run wrote: they would change with it, or lose it.
pub(super) fn referred_values_stay(bench: Bench) {
    for action in ["on update cascade", "on update set null"] {
        bench.begins_anew();
        bench.sql("drop table if exists theirs");
        bench.sql("drop table if exists t");
        bench.sql("create table t (k int primary key, name varchar(100) not null unique, n int)");
        bench.sql("insert into t values (1, 'before 1', 1), (2, 'before 2', 2), (3, 'name 3', 3)");
        bench.stage((0..5).map(record));
        bench.migrate().has(&[("updated", 3), ("inserted", 2)]);
        bench.sql(&format!(
            "create table theirs (id int primary key, name varchar(100), foreign key (name) references t (name) {action}); \
             insert into theirs values (1, 'name 2'), (2, 'name 3')"
        ));
        bench.told(&["rollback", "plan", "--run", "last"], 1).has(&[("restored", 2), ("conflicts", 1)]);
        let told = bench.rolls_back(&["--run", "last"], 1);
        // Row 3 gets another value back, and nobody refers to that.
        told.has(&[("restored", 2), ("removed", 2), ("conflicts", 1)]);
        assert!(bench.report(&told, "conflicts.csv", &["k", "kind"]).iter().all(|row| row == "2,referenced"));
        assert_eq!(bench.sql("select id, name from theirs order by id"), "1|name 2\n2|name 3\n", "{action}");
        assert_eq!(bench.sql("select name, n from t where k = 3"), "name 3|3\n", "{action}");
    }
}

/// Values that must be unique go from row to row, within a batch and over many.
pub(super) fn unique_values_change_places(bench: Bench) {
    bench.sql("create table t (k int primary key, name varchar(100) unique, n int)");
    bench.sql("insert into t values (0, 'a', 0)");
    bench.stage((0..60).map(
        |k| json!({ "k": k, "name": if k == 1 { "a".to_owned() } else { format!("name {k}") }, "n": k }),
    ));
    let before = bench.dump();
    bench.migrate().has(&[("inserted", 59), ("updated", 1)]);
    let between = bench.dump();
    // Each row takes the name of the one before it, which has another one by then.
    let name = |k: usize| match k {
        0 => "free".to_owned(),
        2 => "a".to_owned(),
        k => format!("name {}", k - 1),
    };
    bench.stage((0..60).map(|k| json!({ "k": k, "name": name(k), "n": k })));
    bench.told(&["migrate", "--batch-size", "7", "--concurrency", "1"], 0).has(&[("updated", 60)]);
    bench.rolls_back(&["--run", "last"], 0).has(&[("restored", 60), ("failed", 0)]);
    assert_eq!(bench.dump(), between);
    bench.rolls_back(&["--run", "last"], 0).has(&[("removed", 59), ("restored", 1)]);
    assert_eq!(bench.dump(), before);
}

/// Rows that refer to rows of their own table, one of them without a key.
pub(super) fn a_table_that_refers_to_itself(bench: Bench) {
    bench.sql("create table t (k varchar(20) unique, name varchar(100), parent varchar(20), foreign key (parent) references t (k) on delete cascade)");
    bench.spec("", "k = \"k\"\nname = \"name\"\nparent = \"parent\"");
    bench.stage([
        json!({ "k": "a", "name": "new", "parent": null }),
        json!({ "k": "b", "name": "new", "parent": "a" }),
        json!({ "k": "c", "name": "new", "parent": null }),
    ]);
    bench.migrate().has(&[("inserted", 3)]);
    bench.sql("insert into t values (null, 'theirs', 'a')");
    let told = bench.rolls_back(&["--run", "last"], 1);
    told.has(&[("removed", 2), ("conflicts", 1)]);
    assert_eq!(bench.sql("select name from t order by name"), "new\ntheirs\n");
    bench.sql("delete from t where name = 'theirs'");
    bench.rolls_back(&["--run", "last"], 0).has(&[("removed", 1), ("unchanged", 2)]);
}

/// What was written is not what was sent, and columns are worked out: the row as it was read back decides.
pub(super) fn triggers_and_generated_columns(bench: Bench) {
    bench.sql(bench.by(
        "create table t (k int primary key, name varchar(100), n int, own varchar(100), twice int generated always as (n * 2) stored); \
         create function shout() returns trigger language plpgsql as $$ begin new.own := upper(new.name); return new; end $$; \
         create trigger shouts before insert on t for each row execute function shout()",
        "create table t (k int primary key, name varchar(100), n int, own varchar(100), twice int as (n * 2) stored); \
         create trigger shouts before insert on t for each row set new.own = upper(new.name)",
        "create table t (k integer primary key, name varchar(100), n int, own varchar(100), twice int as (n * 2) stored); \
         create trigger shouts after insert on t begin update t set own = upper(new.name) where k = new.k; end",
    ));
    bench.sql("insert into t (k, name, n) values (2, 'before', 2)");
    bench.sql("update t set own = 'own' where k = 2");
    bench.stage((0..20).map(record));
    let before = bench.dump();
    bench.migrate().has(&[("inserted", 19), ("updated", 1)]);
    assert_eq!(bench.sql("select own from t where k = 3"), "NAME 3\n");
    let told = bench.rolls_back(&["--run", "last"], 0);
    told.has(&[("removed", 19), ("restored", 1), ("altered", 0)]);
    assert_eq!(bench.dump(), before);
    // A trigger that changes what is put back is told of.
    bench.migrate();
    bench.sql(bench.by(
        "create function touch() returns trigger language plpgsql as $$ begin new.own := 'touched'; return new; end $$; \
         create trigger touches before update on t for each row execute function touch()",
        "create trigger touches before update on t for each row set new.own = 'touched'",
        "create trigger touches after update of name on t begin update t set own = 'touched' where k = new.k; end",
    ));
    let told = bench.rolls_back(&["--run", "last"], 1);
    told.has(&[("removed", 19), ("restored", 1), ("altered", 1), ("conflicts", 0)]);
    assert_eq!(
        bench.report(&told, "failures.csv", &["k", "stage", "code", "column"]),
        ["2,rollback,changed,own"]
    );
}

/// What a trigger makes of each row that is restored is nobody's work: the changes of the run before go back over it.
pub(super) fn triggers_over_two_runs(bench: Bench) {
    filled(&bench);
    bench.sql(bench.by(
        "create function count_up() returns trigger language plpgsql as $$ begin new.own := new.own || '+'; return new; end $$; \
         create trigger counts before update on t for each row execute function count_up()",
        "create trigger counts before update on t for each row set new.own = concat(new.own, '+')",
        "create trigger counts after update of name on t begin update t set own = own || '+' where k = new.k; end",
    ));
    bench.migrate().has(&[("inserted", 10), ("updated", 10)]);
    bench.stage((0..20).map(|k| json!({ "k": k, "name": "second", "n": 0 })));
    bench.migrate().has(&[("updated", 20)]);
    let told = bench.rolls_back(&["--since", "1h"], 1);
    told.has(&[("restored", 30), ("removed", 10), ("altered", 20), ("conflicts", 0)]);
    assert_eq!(
        bench.sql("select k, name, n, own from t where k < 3 order by k"),
        "0|before|0|own 0+\n2|before|2|own 2+\n"
    );
}

/// A row that was marked as deleted, and that the migration brought back to life, is marked again.
pub(super) fn soft_deleted_row(bench: Bench) {
    bench.sql("create table t (k int primary key, name varchar(100), n int, deleted_at varchar(30), is_deleted int not null)");
    bench.sql("insert into t values (1, 'gone', 1, '2024-01-01T00:00:00Z', 1), (2, 'there', 2, null, 0)");
    let fields = format!("{FIELDS}\nis_deleted = {{ from = \"0\", type = \"int\" }}\ndeleted_at = \"gone\"");
    bench.spec("", &fields);
    bench.stage((1..4).map(|k| json!({ "k": k, "name": format!("name {k}"), "n": k, "gone": null })));
    let before = bench.dump();
    bench.migrate().has(&[("updated", 2), ("inserted", 1)]);
    assert_eq!(bench.sql("select is_deleted, deleted_at from t where k = 1"), "0|\n");
    bench.rolls_back(&["--run", "last"], 0).has(&[("restored", 2), ("removed", 1)]);
    assert_eq!(bench.dump(), before);
}

/// A version never goes back, whatever is restored.
pub(super) fn version_goes_forward(bench: Bench) {
    bench.sql("create table t (k int primary key, name varchar(100), version int)");
    bench.sql("insert into t values (1, 'before', 5), (2, 'before', null)");
    bench.spec(
        "version = \"version\"",
        "k = { from = \"k\", type = \"int\" }\nname = \"name\"\nversion = { from = \"v\", type = \"int\" }",
    );
    bench.stage((1..4).map(|k| json!({ "k": k, "name": "second", "v": 6 })));
    let first = bench.migrate();
    first.has(&[("updated", 2), ("inserted", 1)]);
    bench.stage((1..4).map(|k| json!({ "k": k, "name": "third", "v": 9 })));
    let second = bench.migrate();
    second.has(&[("updated", 3)]);
    let plan = bench.told(&["rollback", "plan", "--since", "1h"], 0);
    plan.has(&[("restored", 5), ("removed", 1), ("conflicts", 0)]);
    let told = bench.rolls_back(&["--since", "1h"], 0);
    told.has(&[("restored", 5), ("removed", 1), ("conflicts", 0)]);
    // Each restoring counts one up: from 9, twice.
    assert_eq!(bench.dump(), "1|before|11\n2|before|11\n");
    bench.runs(&["rollback", "verify", "--run", &told.run_id()], 0);
    // Undone, the version goes on.
    bench.rolls_back(&["--run", &told.run_id()], 0).has(&[("inserted", 1), ("restored", 5)]);
    assert_eq!(bench.sql("select name, version from t where k = 1"), "third|13\n");
    // Which makes them no work of somebody's: the run can be rolled back again.
    bench.rolls_back(&["--run", &second.run_id()], 0).has(&[("restored", 3), ("conflicts", 0)]);
    assert_eq!(bench.sql("select name, version from t where k = 1"), "second|14\n");
    // Nor do they hinder the run before it: also what that one had inserted goes.
    let counts = [("restored", 2), ("removed", 1), ("conflicts", 0)];
    bench.told(&["rollback", "plan", "--run", &first.run_id()], 0).has(&counts);
    bench.rolls_back(&["--run", &first.run_id()], 0).has(&counts);
    assert_eq!(bench.dump(), "1|before|15\n2|before|15\n");
}

/// A run that is killed while it writes its manifest leaves a torn end, which the target never saw.
#[cfg(feature = "faults")]
pub(super) fn torn_segment(bench: Bench) {
    filled(&bench);
    let before = bench.dump();
    let args = ["migrate", "--batch-size", "5", "--concurrency", "1"];
    bench.is_killed(&args, "manifest.before-sync:3");
    let run = bench.newest("migrate");
    let segment = bench.manifest(&run).join("segment-000000.jsonl.zst");
    let bytes = std::fs::read(&segment).expect("a segment");
    std::fs::write(&segment, &bytes[..bytes.len() - 7]).expect("a file");
    let verified = bench.runs(&["rollback", "verify"], 0);
    assert!(verified.stdout.contains("torn end"), "{verified:?}");
    bench.rolls_back(&["--run", &run], 0).has(&[("rolled_back", 10), ("conflicts", 0)]);
    assert_eq!(bench.dump(), before);
    // The run is over: a new one writes everything.
    bench.migrate().has(&[("inserted", 10), ("updated", 10)]);
}

/// Old images are on disk, and the transaction never committed; and the same committed, but nobody heard of it.
#[cfg(feature = "faults")]
pub(super) fn image_captured_and_never_committed(bench: Bench) {
    filled(&bench);
    let before = bench.dump();
    let store = bench.by("postgres", "mysql", "sqlite");
    let args = ["migrate", "--batch-size", "5", "--concurrency", "1"];
    for (point, changes) in [("images-kept:2", 5), ("before-commit:3", 10)] {
        bench.is_killed(&args, &format!("{store}.{point}"));
        // Somebody works on rows that the run was about to write.
        bench.sql("update t set own = 'theirs' where k = 18");
        let run = bench.newest("migrate");
        bench.rolls_back(&["--run", &run], 0).has(&[
            ("rolled_back", changes),
            ("conflicts", 0),
            ("unchanged", 0),
        ]);
        bench.sql("update t set own = 'own 18' where k = 18");
        assert_eq!(bench.dump(), before, "{point}");
    }
    // Committed, and the ledger does not know: the target does.
    bench.is_killed(&args, "migrate.applied:2");
    let run = bench.newest("migrate");
    bench.rolls_back(&["--run", &run], 0).has(&[("rolled_back", 10), ("conflicts", 0)]);
    assert_eq!(bench.dump(), before);
}

/// What is left unfinished on both sides: a migration of which a batch is committed and nobody knows, and a rollback that is given up.
#[cfg(feature = "faults")]
pub(super) fn unfinished_runs_that_are_left(bench: Bench) {
    filled(&bench);
    let before = bench.dump();
    bench.is_killed(&["migrate", "--batch-size", "5", "--concurrency", "1"], "migrate.applied:2");
    let again = bench.told(&["migrate", "--new-run"], 0);
    let after = bench.dump();
    again.has(&[("records", 15), ("unchanged", 5)]);
    let told = bench.rolls_back(&["--since", "1h"], 0);
    told.has(&[("rolled_back", 20), ("conflicts", 0), ("unchanged", 0)]);
    assert_eq!(bench.dump(), before);
    let run = bench.migrate().run_id();
    bench.is_killed(&["rollback", "apply", "--run", &run, "--concurrency", "1"], "rollback.batch-done:2");
    assert!(bench.runs(&["rollback", "apply", "--ids", "3"], 2).stderr.contains("--new-run"));
    // What is asked for now was taken back by the other one, or is by this one.
    bench.rolls_back(&["--ids", "3", "--new-run"], 0);
    bench.migrate();
    assert_eq!(bench.dump(), after);
}

/// Three runs, and somebody's work between them: what an older run wrote is not taken for what is there.
pub(super) fn somebody_works_between_runs(bench: Bench) {
    bench.sql("create table t (k int primary key, name varchar(100), version int)");
    bench.sql("insert into t values (1, 'before', 1)");
    bench.spec(
        "version = \"version\"",
        "k = { from = \"k\", type = \"int\" }\nname = \"name\"\nversion = { from = \"v\", type = \"int\" }",
    );
    for (v, name) in [(2, "first"), (3, "second"), (9, "third")] {
        if v == 9 {
            bench.sql("update t set name = 'theirs', version = 5");
        }
        bench.stage((1..3).map(|k| json!({ "k": k, "name": name, "v": v })));
        bench.migrate();
    }
    let plan = bench.told(&["rollback", "plan", "--since", "1h"], 1);
    let told = bench.rolls_back(&["--since", "1h"], 1);
    for of in [&plan, &told] {
        of.has(&[("restored", 2), ("removed", 0), ("conflicts", 4)]);
    }
    assert_eq!(bench.sql("select name from t order by k"), "theirs\ntheirs\n");
}

/// The same records again and again, back to a time, and what kept no old images.
pub(super) fn what_is_back_stays_back(bench: Bench) {
    filled(&bench);
    let before = bench.dump();
    bench.migrate();
    bench.rolls_back(&["--ids", "2,3"], 0).has(&[("changes", 2), ("rolled_back", 2)]);
    let back = bench.dump();
    bench.rolls_back(&["--ids", "2,3"], 0).has(&[("changes", 2), ("rolled_back", 0), ("unchanged", 2)]);
    assert_eq!(bench.dump(), back);
    bench.rolls_back(&["--since", "1h"], 0).has(&[("changes", 20), ("rolled_back", 18), ("unchanged", 2)]);
    assert_eq!(bench.dump(), before);
    // Back to a time between two runs, although both were taken back since.
    bench.migrate();
    let between = bench.dump();
    let moment = jiff::Timestamp::now().to_string();
    bench.stage((0..20).map(|k| json!({ "k": k, "name": "second", "n": 0 })));
    bench.migrate();
    bench.rolls_back(&["--since", "1h"], 0);
    assert_eq!(bench.dump(), before);
    bench.rolls_back(&["--since", &moment], 0);
    assert_eq!(bench.dump(), between);
    bench.stage((0..20).map(|k| json!({ "k": k, "name": "third", "n": 0 })));
    bench.told(&["migrate", "--no-undo"], 0);
    let ran = bench.runs(&["rollback", "apply", "--since", &moment], 1);
    assert!(ran.stdout.contains("kept no old images"), "{ran:?}");
}

/// Records that failed, were found there, or were read by another run: all of them are pending once they are rolled back.
pub(super) fn all_that_is_back_is_pending(bench: Bench) {
    filled(&bench);
    bench.sql(bench.by(
        "alter table t add constraint small check (n < 100)",
        "alter table t add constraint small check (n < 100)",
        "create trigger small before update on t when new.n >= 100 begin select raise(abort, 'too large'); end; \
         create trigger small2 before insert on t when new.n >= 100 begin select raise(abort, 'too large'); end",
    ));
    bench.told(&["migrate"], 1).has(&[("failed", 10)]);
    bench.sql(bench.by(
        "alter table t drop constraint small",
        "alter table t drop constraint small",
        "drop trigger small; drop trigger small2",
    ));
    bench.told(&["replay"], 0);
    bench.told(&["replay", "--ids", "1,2,3"], 0).has(&[("unchanged", 3)]);
    bench.rolls_back(&["--since", "1h"], 0).has(&[("rolled_back", 20)]);
    bench.migrate().has(&[("records", 20), ("inserted", 10), ("updated", 10)]);
}

/// A batch of which only the target knows is still known after a rollback that was of something else; and a policy is not changed on the way.
#[cfg(feature = "faults")]
pub(super) fn what_only_the_target_knew_stays_known(bench: Bench) {
    filled(&bench);
    let before = bench.dump();
    bench.is_killed(&["migrate", "--batch-size", "5", "--concurrency", "1"], "migrate.applied:2");
    let run = bench.newest("migrate");
    bench.rolls_back(&["--run", &run, "--ids", "0"], 0).has(&[("rolled_back", 1)]);
    bench.is_killed(&["rollback", "apply", "--run", &run, "--on-conflict", "force"], "rollback.batch-done:1");
    let ran = bench.runs(&["rollback", "apply", "--run", &run, "--on-conflict", "abort"], 2);
    assert!(ran.stderr.contains("of something else"), "{ran:?}");
    bench.rolls_back(&["--run", &run], 0).has(&[("rolled_back", 9), ("unchanged", 1)]);
    assert_eq!(bench.dump(), before);
    // The manifest of a run that was killed has lost what the ledger knows to be in it.
    bench.is_killed(&["migrate", "--batch-size", "5", "--concurrency", "1"], "migrate.intent:4");
    let run = bench.newest("migrate");
    std::fs::remove_file(bench.manifest(&run).join("segment-000000.jsonl.zst")).expect("it goes");
    for args in [&["rollback", "verify"][..], &["rollback", "apply", "--run", &run]] {
        assert!(bench.runs(args, 4).stderr.contains("is damaged"), "{args:?}");
    }
}

pub(super) fn schema_changed_since(bench: Bench) {
    filled(&bench);
    bench.migrate();
    bench.sql("alter table t rename column n to m");
    let ran = bench.runs(&["rollback", "apply", "--run", "last"], 2);
    assert!(ran.stderr.contains("no column `n`"), "{ran:?}");
    bench.sql("alter table t rename column m to n");
    bench.sql("alter table t rename column k to kk");
    let ran = bench.runs(&["rollback", "apply", "--run", "last"], 2);
    assert!(ran.stderr.contains("no column `k`"), "{ran:?}");
    bench.sql("alter table t rename column kk to k");
    // Another column: nobody knows whose work is in it.
    bench.sql("alter table t add column later varchar(20)");
    bench.sql("update t set later = 'theirs' where k in (2, 3)");
    let told = bench.rolls_back(&["--run", "last"], 1);
    told.has(&[("restored", 10), ("removed", 9), ("conflicts", 1)]);
    assert!(bench.report(&told, "conflicts.csv", &["k", "kind"]).iter().all(|row| row == "3,schema"));
    assert_eq!(
        bench.sql("select name, later from t where k in (2, 3) order by k"),
        "before|theirs\nname 3|theirs\n"
    );
}

/// Values so large that the table keeps them elsewhere.
pub(super) fn values_kept_outside_the_row(bench: Bench) {
    let text = bench.by("text", "longtext", "text");
    bench.sql(&format!("create table t (k int primary key, name {text}, n int, own {text})"));
    // Not so regular that it could be kept short.
    let large = |seed: usize| (0..40_000).map(|i| format!("{:x}", i * 7919 + seed)).collect::<String>();
    let there = bench.by(
        "(select string_agg(md5(i::text), '') from generate_series(1, 6000) i)",
        "(select repeat(md5('a'), 6000))",
        "(select hex(randomblob(100000)))",
    );
    bench.sql(&format!("insert into t values (1, {there}, 1, {there}), (2, 'small', 2, null)"));
    let digest = bench.by(
        "select k, md5(name), length(own), n from t order by k",
        "select k, md5(name), length(own), n from t order by k",
        "select k, name, own, n from t order by k",
    );
    let before = bench.sql(digest);
    bench.stage((1..4).map(|k| json!({ "k": k, "name": large(k as usize + 5), "n": k })));
    bench.migrate().has(&[("updated", 2), ("inserted", 1)]);
    assert_ne!(bench.sql(digest), before);
    bench.rolls_back(&["--run", "last"], 0).has(&[("restored", 2), ("removed", 1)]);
    assert_eq!(bench.sql(digest), before);
}

/// Old images over 400 KB, bytes, and numbers of 38 digits.
pub(super) fn large_binary_and_exact_values(bench: Bench) {
    let (text, bytes) = (bench.by("text", "longtext", "text"), bench.by("bytea", "longblob", "blob"));
    let (exact, zero) = (
        bench.by("numeric", "decimal(65,20)", "text"),
        bench.by("'\\x00ff27'::bytea", "x'00ff27'", "x'00ff27'"),
    );
    let when = bench.by("timestamptz", "timestamp(6) null", "text");
    bench.sql(&format!(
        "create table t (k int primary key, name {text}, n int, bytes {bytes}, exact {exact}, real_ double precision, at_ {when})"
    ));
    let letters = bench.by("repeat('e', 500000)", "repeat('e', 500000)", "printf('%.500000c', 'e')");
    bench.sql(&format!(
        "insert into t values (1, {letters}, 1, {zero}, '12345678901234567890123456789012345678.125', 0.1, '2024-02-29 12:34:56.789012'), \
         (2, 'it''s \"quoted\", (a) \\ b', null, null, '-0.00000000000000000001', 1e300, null), (3, '', 0, {}, null, null, null)",
        bench.by("''::bytea", "''", "x''")
    ));
    let before = bench.dump();
    bench.spec("", &format!("{FIELDS}\nreal_ = {{ from = \"r\", type = \"float\" }}"));
    bench.stage((1..5).map(|k| json!({ "k": k, "name": "new", "n": k, "r": 0.5 })));
    bench.migrate().has(&[("updated", 3), ("inserted", 1)]);
    let told = bench.rolls_back(&["--run", "last"], 0);
    told.has(&[("restored", 3), ("removed", 1), ("altered", 0)]);
    assert_eq!(bench.dump(), before);
    bench.runs(&["rollback", "verify", "--run", &told.run_id()], 0);
}

/// One record, records of a CSV, and one record to a version.
pub(super) fn single_records_and_versions(bench: Bench) {
    filled(&bench);
    bench.migrate();
    bench.rolls_back(&["--ids", "2,3"], 0).has(&[("restored", 1), ("removed", 1)]);
    assert_eq!(bench.sql("select k, name from t where k in (2, 3, 4) order by k"), "2|before\n4|name 4\n");
    bench.project.write("keys.csv", "k\n5\n99\n");
    let told = bench.rolls_back(&["--from", "keys.csv"], 1);
    told.has(&[("removed", 1)]);
    assert_eq!(told.json["not_found"], json!(["99"]));
    // Just those are pending again.
    bench.migrate().has(&[("records", 3), ("inserted", 2), ("updated", 1)]);
    let ran = bench.runs(&["rollback", "apply", "--ids", "4", "--to-version", "1"], 2);
    assert!(ran.stderr.contains("version"), "{ran:?}");

    bench.begins_anew();
    bench.sql("drop table t");
    bench.sql("create table t (k int primary key, name varchar(100), version int)");
    bench.sql("insert into t values (1, 'v1', 1)");
    bench.spec(
        "version = \"version\"",
        "k = { from = \"k\", type = \"int\" }\nname = \"name\"\nversion = { from = \"v\", type = \"int\" }",
    );
    for version in 2..5 {
        bench.stage([json!({ "k": 1, "name": format!("v{version}"), "v": version })]);
        bench.migrate().has(&[("updated", 1)]);
    }
    let ran = bench.runs(&["rollback", "apply", "--ids", "1", "--to-version", "7"], 2);
    assert!(ran.stderr.contains("3, 2, 1"), "{ran:?}");
    bench.rolls_back(&["--ids", "1", "--to-version", "2"], 0).has(&[("restored", 2), ("conflicts", 0)]);
    assert_eq!(bench.sql("select name from t"), "v2\n");
}

pub(super) fn merge_force_and_abort(bench: Bench) {
    filled(&bench);
    let before = bench.dump();
    bench.migrate();
    let ours = bench.dump();
    bench.sql(
        "update t set n = -1 where k = 4; update t set own = 'theirs' where k = 7; delete from t where k = 8",
    );
    let edited = bench.dump();
    // With abort nothing is changed at all.
    let told = bench.told(&["rollback", "apply", "--run", "last", "--on-conflict", "abort"], 1);
    told.has(&[("conflicts", 3)]);
    assert_eq!(bench.dump(), edited);
    // With merge the columns that are still ours go back.
    let told = bench.rolls_back(&["--run", "last", "--on-conflict", "merge"], 1);
    told.has(&[("merged", 1), ("conflicts", 2), ("restored", 9), ("removed", 9)]);
    assert_eq!(bench.sql("select name, n, own from t where k = 4"), "before|-1|own 4\n");
    bench.begins_anew();
    bench.sql("drop table t");
    filled(&bench);
    let run = bench.migrate().run_id();
    assert_eq!(bench.dump(), ours);
    bench.sql(
        "update t set n = -1 where k = 4; update t set own = 'theirs' where k = 7; delete from t where k = 8",
    );
    let told = bench.rolls_back(&["--run", &run, "--on-conflict", "force"], 0);
    told.has(&[("forced", 3), ("conflicts", 0), ("inserted", 1)]);
    assert_eq!(bench.dump(), before);
    // What was forced away can be had again.
    bench.rolls_back(&["--run", &told.run_id()], 0);
    assert_eq!(
        bench.sql("select k, n, own from t where k in (4, 7, 8) order by k"),
        "4|-1|own 4\n7|70|theirs\n"
    );
}

pub(super) fn since_a_time(bench: Bench) {
    filled(&bench);
    let before = bench.dump();
    bench.migrate();
    bench.stage((0..20).map(|k| json!({ "k": k, "name": "second", "n": 0 })));
    let second = bench.migrate();
    bench.stage((0..30).map(|k| json!({ "k": k, "name": "third", "n": 0 })));
    bench.migrate();
    // What is rolled back by itself needs nothing more.
    bench.rolls_back(&["--run", "last"], 0).has(&[("restored", 20), ("removed", 10)]);
    let plan = bench.told(&["rollback", "plan", "--since", "1h"], 0);
    let counts = [("restored", 30), ("removed", 10), ("unchanged", 30), ("conflicts", 0)];
    plan.has(&counts);
    assert_eq!(plan.json["runs"][1], second.json["run_id"]);
    bench.rolls_back(&["--since", "1h"], 0).has(&counts);
    assert_eq!(bench.dump(), before);
    for wrong in ["yesterday", "2024-01-01"] {
        assert!(bench.runs(&["rollback", "apply", "--since", wrong], 2).stderr.contains("its zone"));
    }
}

pub(super) fn a_rollback_is_undone(bench: Bench) {
    filled(&bench);
    let before = bench.dump();
    bench.migrate();
    let after = bench.dump();
    let mut run = bench.rolls_back(&["--run", "last"], 0);
    for n in 0..4 {
        run = bench.rolls_back(&["--run", &run.run_id()], 0);
        run.has(&[("rolled_back", 20), ("conflicts", 0)]);
        assert_eq!(bench.dump(), if n % 2 == 0 { after.as_str() } else { before.as_str() }, "{n}");
        bench.runs(&["rollback", "verify", "--run", &run.run_id()], 0);
    }
    // After an even number of undoings all is rolled back, so all is pending.
    bench.migrate().has(&[("inserted", 10), ("updated", 10)]);
    assert_eq!(bench.dump(), after);
}

pub(super) fn rolled_back_records_are_pending(bench: Bench) {
    filled(&bench);
    bench.migrate();
    bench.migrate().has(&[("records", 0)]);
    bench.sql("update t set n = -1 where k = 4");
    let back = bench.rolls_back(&["--run", "last"], 1);
    // The one in conflict is still as written, so it is not pending.
    assert_eq!(bench.told(&["status"], 0).json["written"]["entities"]["t"]["pending"], 19);
    let again = bench.migrate();
    again.has(&[("records", 19), ("inserted", 10), ("updated", 9)]);
    bench.rolls_back(&["--run", &again.run_id()], 0);
    bench.rolls_back(&["--run", &back.run_id()], 0).has(&[("rolled_back", 19)]);
    bench.migrate().has(&[("records", 0)]);
    let listed = bench.runs(&["rollback", "list"], 0);
    assert!(listed.stdout.contains("rolled back by"), "{listed:?}");
    assert!(listed.stdout.contains(&format!("{} left 1 rows", back.run_id())), "{listed:?}");
}

pub(super) fn a_damaged_manifest_is_refused(bench: Bench) {
    filled(&bench);
    let run = bench.migrate().run_id();
    let after = bench.dump();
    let segment = bench.manifest(&run).join("segment-000000.jsonl.zst");
    let whole = std::fs::read(&segment).expect("a segment");
    let mut bytes = whole.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, &bytes).expect("a file");
    for args in [
        &["rollback", "verify"][..],
        &["rollback", "apply", "--run", "last"],
        &["rollback", "plan", "--run", "last"],
    ] {
        let ran = bench.runs(args, 4);
        assert!(ran.stderr.contains("segment-000000.jsonl.zst") && ran.stderr.contains("damaged"), "{ran:?}");
    }
    assert_eq!(bench.dump(), after);
    std::fs::write(&segment, &whole).expect("a file");
    let back = bench.rolls_back(&["--run", "last"], 0);
    // One of a rollback that is gone is missed, too.
    let (there, aside) = (bench.manifest(&back.run_id()), bench.project.path("aside"));
    std::fs::rename(&there, &aside).expect("it goes");
    bench.runs(&["rollback", "verify"], 4);
    bench.runs(&["rollback", "apply", "--run", &back.run_id()], 4);
    std::fs::rename(&aside, &there).expect("it is back");
    bench.runs(&["rollback", "verify"], 0);
    // Nothing says what is to be rolled back: nothing is.
    assert!(bench.runs(&["rollback", "apply"], 2).stderr.contains("--run"));
    assert!(bench.runs(&["rollback", "apply", "--run", "nonsense"], 2).stderr.contains("rollback list"));
}
