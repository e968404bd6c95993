//! `recon init` on live stores: tables that go together, keys that are declared, secrets that stay where they are.

use serde_json::json;

use super::{all_the_way, count, mismatches};
use crate::project::Project;
use crate::servers::dynamodb::{self, ENVIRONMENT, ask, endpoint};
use crate::servers::{mariadb, postgres};

#[test]
fn tables_of_the_same_name_are_entities() {
    let old = postgres::Database::new(
        "create table users (id int primary key, full_name text not null, created_at timestamptz, rate numeric(9,2)); \
         insert into users select n, 'user ' || n, '2024-05-01 10:00:00+00', n * 1.5 from generate_series(1, 50) n; \
         create table order_items (order_id int, line_no int, sku text, primary key (order_id, line_no)); \
         insert into order_items select n / 3, n % 3, 'sku' from generate_series(1, 60) n; \
         create table legacy (id int); create view users_view as select * from users",
    );
    let new = mariadb::Database::new(
        "create table Users (id int primary key, fullName varchar(99) not null, createdAt timestamp null, rate decimal(9,2), extra int); \
         insert into Users select seq, concat('user ', seq), '2024-05-01 10:00:00', seq * 1.5, 1 from seq_1_to_50; \
         create table orderItems (orderId int, lineNo int, sku varchar(9), primary key (orderId, lineNo)); \
         insert into orderItems select seq div 3, seq % 3, 'sku' from seq_1_to_60; \
         update Users set fullName = 'nobody' where id = 7; delete from orderItems where orderId = 5 and lineNo = 1",
    );
    let project = Project::new();
    let (began, ran) = all_the_way(&project, &[&old.url, &new.url], &[]);
    assert!(began.stdout.contains("key id  (primary key of both sides)"), "{}", began.stdout);
    assert!(began.stdout.contains("key orderId, lineNo  (primary key of both sides)"), "{}", began.stdout);
    assert!(began.stdout.contains("table legacy of the source"), "{}", began.stdout);
    assert!(began.stdout.contains("only in the target, not compared: extra"), "{}", began.stdout);
    assert_eq!(ran.code, 1, "{}{}\n{}", ran.stdout, ran.stderr, project.read("recon.toml"));
    // Another entity's key has more fields.
    assert_eq!(mismatches(&project), ["Users,7,,fullName,exact,user 7,nobody,"]);
    assert_eq!(project.summary("out")["entities"].as_object().unwrap().len(), 2);
    assert_eq!((count(&project, "orderItems", "matched"), count(&project, "orderItems", "missing")), (59, 1));
    // A URL without a password is in the spec as it was given.
    assert!(project.read("recon.toml").contains(&format!("url = \"{}\"", old.url)));
}

#[test]
fn check_shows_both_sides_before_anything_is_staged() {
    let old = postgres::Database::new("create table t (id int primary key, made timestamptz, flag bool)");
    let project = Project::new();
    let db = rusqlite::Connection::open(project.path("new.db")).unwrap();
    db.execute_batch(
        "create table t (ID integer primary key, made text, flag text); insert into t values (1, 'x', 'y')",
    )
    .unwrap();
    let ran = project.recon(&["init", &old.url, "new.db"]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let ran = project.recon(&["check"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let line = |name: &str| {
        let line = ran.stdout.lines().find(|line| line.starts_with(&format!(" {name} ")));
        let line = line.unwrap_or_else(|| panic!("{name}: {}", ran.stdout));
        line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(line("ID"), ["ID", "int", "id", "int", "exact, as int"]);
    assert_eq!(
        line("made"),
        ["made", "untyped text", "made", "timestamp with time zone", "exact, as timestamp"]
    );
    assert!(!project.path("home").exists());
    let ran = project.recon(&["check", "--format", "json"]);
    let said: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let field = &said["entities"]["t"]["fields"][0];
    assert_eq!(
        (&field["from"], &field["source_type"], &field["status"]),
        (&"id".into(), &"int".into(), &"compared".into())
    );
}

#[test]
fn a_password_is_in_no_file_and_in_no_word() {
    let database = postgres::Database::new("create table t (id int primary key); insert into t values (1)");
    let url = database.url.replace("postgres@", "postgres:s3cret@");
    let project = Project::new();
    project.write("b.csv", "id\n1\n");
    let ran = project.recon(&["init", &url, "b.csv"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let spec = project.read("recon.toml");
    assert!(spec.contains("url = \"${RECON_SOURCE_URL}\""), "{spec}");
    assert!(ran.stdout.contains("export RECON_SOURCE_URL="), "{}", ran.stdout);
    for text in [&spec, &ran.stdout, &ran.stderr] {
        assert!(!text.contains("s3cret"), "{text}");
    }
    assert_eq!(project.recon(&["stage"]).code, 2);
    let environment = [("RECON_SOURCE_URL", url.as_str()), ("DATABASE_URL", url.as_str())];
    assert_eq!(project.recon_with(&["stage"], &environment).code, 0);
    assert_eq!(project.recon(&["diff"]).code, 2, "the spec needs its variable");
    assert_eq!(project.recon_with(&["diff"], &environment).code, 0);
    // A variable of the user's own stays one.
    let ran = project.recon_with(
        &[
            "init",
            "b.csv",
            "${DATABASE_URL}",
            "--target-table",
            "public.t",
            "--spec",
            "own.toml",
            "--format",
            "json",
        ],
        &environment,
    );
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let spec = project.read("own.toml");
    assert!(spec.contains("url = \"${DATABASE_URL}\"") && !spec.contains("RECON_TARGET_URL"), "{spec}");
    assert!(!spec.contains("s3cret") && !ran.stdout.contains("s3cret"), "{spec}{}", ran.stdout);
}

#[test]
fn one_table_is_chosen_by_its_name_or_has_to_be_named() {
    let database = postgres::Database::new(
        "create table images (id int primary key); create table \"Odd.Name\" (id int primary key); insert into images values (1)",
    );
    let project = Project::new();
    project.write("image.csv", "id\n1\n");
    project.write("other.csv", "id\n1\n");
    let (_, ran) = all_the_way(&project, &["image.csv", &database.url], &[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(project.read("recon.toml").contains("table = \"images\""));
    let ran = project.recon(&["init", "other.csv", &database.url, "--spec", "other.toml"]);
    assert_eq!(ran.code, 2, "{}", ran.stdout);
    assert!(
        ran.stderr.contains("--target-table: images, \"Odd.Name\"")
            || ran.stderr.contains("--target-table: \"Odd.Name\", images"),
        "{}",
        ran.stderr
    );
    let named =
        ["init", "other.csv", &database.url, "--target-table", "\"Odd.Name\"", "--spec", "other.toml"];
    let ran = project.recon(&named);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(project.read("other.toml").contains(r#"table = "\"Odd.Name\"""#));
    let ran = project.recon(&[
        "init",
        "other.csv",
        &database.url,
        "--target-table",
        "imagse",
        "--spec",
        "third.toml",
    ]);
    assert!(ran.code == 4 && ran.stderr.contains("did you mean `images`?"), "{}", ran.stderr);
}

/// An item of a user, of the user's orders and of a product, as one table holds them.
fn put(table: &str, pk: &str, sk: &str, attributes: &serde_json::Value) {
    let mut item = attributes.clone();
    item["pk"] = json!({ "S": pk });
    item["sk"] = json!({ "S": sk });
    ask("PutItem", &json!({ "TableName": table, "Item": item }));
}

#[test]
fn kinds_of_items_of_one_table_find_the_tables_that_they_became() {
    let table = "init_app";
    dynamodb::table(table, &[("pk", "S"), ("sk", "S")]);
    for n in 1..=20 {
        let user = format!("USER#{n}");
        put(
            table,
            &user,
            "PROFILE",
            &json!({ "userName": { "S": format!("u{n}") }, "age": { "N": (20 + n).to_string() } }),
        );
        for order in 1..=2 {
            let total = json!({ "total": { "N": format!("{n}.{order}") } });
            put(table, &user, &format!("ORDER#{n}0{order}"), &total);
        }
        put(table, &format!("AUDIT#{n}"), "x", &json!({ "what": { "S": "seen" } }));
    }
    let database = postgres::Database::new(
        "create table users (id int primary key, user_name text, age int); \
         insert into users select n, 'u' || n, 20 + n from generate_series(1, 20) n; \
         create table orders (id int primary key, total numeric(9,2)); \
         insert into orders select n * 100 + o, n + o / 10.0 from generate_series(1, 20) n, generate_series(1, 2) o; \
         create table migrations (id int); \
         update users set age = 1 where id = 3; delete from orders where id = 502",
    );
    let project = Project::new();
    let source = format!("dynamodb:{table}");
    let endpoint = endpoint();
    let args = [&source, &database.url, "--region", "eu-central-1", "--endpoint", &endpoint];
    let (began, ran) = all_the_way(&project, &args, &ENVIRONMENT);
    let spec = project.read("recon.toml");
    assert!(
        spec.contains("where = \"starts_with(pk, 'USER#') and split_part(sk, '#', 1) = 'PROFILE'\""),
        "{spec}"
    );
    assert!(spec.contains("id = { from = \"substr(pk, 6)\", type = \"int\" }"), "{spec}");
    assert!(spec.contains("id = { from = \"substr(sk, 7)\", type = \"int\" }"), "{spec}");
    assert!(spec.contains("user_name = \"userName\"  # DynamoDB attribute of type S, in 100 %"), "{spec}");
    assert!(began.stdout.contains("items AUDIT# of the source, 20 of those read"), "{}", began.stdout);
    assert!(began.stdout.contains("table migrations of the target"), "{}", began.stdout);
    assert_eq!(ran.code, 1, "{}{}\n{spec}", ran.stdout, ran.stderr);
    assert_eq!(mismatches(&project), ["users,3,age,exact,23,1,-22"]);
    assert_eq!((count(&project, "users", "matched"), count(&project, "users", "extra")), (19, 0));
    assert_eq!((count(&project, "orders", "matched"), count(&project, "orders", "missing")), (39, 1));
    // The other way round the conditions are the target's.
    std::fs::remove_file(project.path("recon.toml")).unwrap();
    let args = [&database.url, &source, "--region", "eu-central-1", "--endpoint", &endpoint];
    let (_, ran) = all_the_way(&project, &args, &ENVIRONMENT);
    let spec = project.read("recon.toml");
    assert!(spec.contains("target_where = \"starts_with(pk, 'USER#')"), "{spec}");
    assert!(
        spec.contains("id = { from = \"id\", to = \"substr(pk, 6)\", type = \"int\" }")
            || spec.contains("id = { to = \"substr(pk, 6)\", type = \"int\" }"),
        "{spec}"
    );
    assert_eq!(ran.code, 1, "{}{}\n{spec}", ran.stdout, ran.stderr);
    assert_eq!(mismatches(&project).len(), 1, "{:?}", mismatches(&project));
}

#[test]
fn a_copy_of_a_table_of_several_kinds_is_compared_as_a_whole() {
    for table in ["init_copy_a", "init_copy_b"] {
        dynamodb::table(table, &[("pk", "S"), ("sk", "S")]);
        put(table, "USER#1", "x", &json!({ "a": { "S": "1" } }));
        put(table, "ORDER#1", "x", &json!({ "b": { "S": "1" } }));
        put(table, "no kind", table, &json!({}));
    }
    let project = Project::new();
    let endpoint = endpoint();
    let args = [
        "dynamodb:init_copy_a",
        "dynamodb://init_copy_b",
        "--region",
        "eu-central-1",
        "--endpoint",
        &endpoint,
    ];
    let (began, ran) = all_the_way(&project, &args, &ENVIRONMENT);
    assert!(began.stdout.contains("key pk, sk  (primary key of both sides)"), "{}", began.stdout);
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(count(&project, "init_copy_b", "matched"), 2, "whatever its kind");
    assert_eq!((count(&project, "init_copy_b", "missing"), count(&project, "init_copy_b", "extra")), (1, 1));
}

#[test]
fn tables_without_rows_have_columns_all_the_same() {
    let database = postgres::Database::new(
        "create table t (id int primary key, user_id int); create table other (x int)",
    );
    let project = Project::new();
    project.write("t.csv", "id,userId\n1,2\n");
    let (began, ran) = all_the_way(&project, &["t.csv", &database.url], &[]);
    assert!(began.stdout.contains("key id  (primary key of the target"), "{}", began.stdout);
    assert!(project.read("recon.toml").contains("user_id = \"userId\""));
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn an_empty_pair_of_tables_is_named_and_one_without_columns_is_left_out() {
    let sql = "create table full_ (id int primary key); insert into full_ values (1); \
               create table hollow (id int primary key); create table bare ()";
    let (old, new) = (postgres::Database::new(sql), postgres::Database::new(sql));
    let project = Project::new();
    let began = project.recon(&["init", &old.url, &new.url]);
    assert!(began.code <= 3 && project.path("recon.toml").exists(), "{}{}", began.stdout, began.stderr);
    for word in ["source", "target"] {
        let left_out = format!("table bare of the {word}: it has no columns");
        assert!(began.stdout.contains(&left_out), "{}", began.stdout);
    }
    assert_eq!(project.recon(&["stage"]).code, 0);
    let ran = project.recon(&["diff", "--out", "out"]);
    assert_eq!(ran.code, 3, "{}", ran.stdout);
    assert!(ran.stdout.contains("neither side has a record of hollow\n"), "{}", ran.stdout);
    assert!(
        ran.stdout.contains("diff --allow-empty") && !ran.stdout.contains("failures.csv"),
        "{}",
        ran.stdout
    );
    assert_eq!(project.recon(&["diff", "--out", "out", "--allow-empty"]).code, 0);
}
