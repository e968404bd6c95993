//! Stagings of live stores over a network that breaks, is slow or falls silent, and from a service that throttles.

use std::path::Path;
use std::time::Duration;

use super::process::{Ended, recon, run};
use super::stores::{MANY_ROWS, MANY_ROWS_OF_MARIADB, project};
use crate::servers::proxy::{Answer, Body, Fault, HttpProxy, Proxy};
use crate::servers::{dynamodb, mariadb, postgres};

/// A staging whose connection breaks in the middle of its second range ends with 4 and the words; the next reads what is left.
fn broken_in_the_middle(folder: &Path, proxy: &Proxy, fault: Fault, rows: u64, words: &[&str]) {
    let home = folder.join(format!("{fault:?}"));
    proxy.set(fault);
    let broken = run(folder, &home, &["stage", "-v", "--threads", "1"]).exits(4).says(words);
    assert_eq!(
        broken.stderr.matches(" read dataset=").count(),
        1,
        "one range was finished: {}",
        broken.stderr
    );
    proxy.set(Fault::Nothing);
    run(folder, &home, &["diff"]).exits(4).says(&["is not finished", "recon stage"]);
    let resumed = run(folder, &home, &["stage", "--format", "json"]).exits(0);
    assert_eq!(resumed.sum("units_read"), resumed.sum("units") - 1, "{}", resumed.stdout);
    assert_eq!(resumed.sum("rows"), rows, "{}", resumed.stdout);
    assert!(resumed.stdout.contains("not one moment"), "{}", resumed.stdout);
    let diff = run(folder, &home, &["diff", "--format", "json"]).exits(0);
    assert_eq!(diff.json()["entities"]["row"]["matched"], rows, "{}", diff.stdout);
}

#[test]
fn a_connection_to_postgres_that_breaks_ends_with_what_was_read() {
    let database = postgres::Database::new(MANY_ROWS);
    let proxy = Proxy::to(database.port);
    let url = database.url.replace(&format!(":{}/", database.port), &format!(":{}/", proxy.port));
    let project = project("postgres", &format!("url = \"{url}\"\ntable = \"a\""));
    // A range is 8,192 blocks of 8 KB.
    for fault in [Fault::Reset(100 << 20), Fault::End(90 << 20)] {
        let words = [
            "dataset `a`: ",
            "127.0.0.1",
            "reading public.a blocks 8192-16383 failed",
            "what was staged stays staged",
        ];
        broken_in_the_middle(project.path(), &proxy, fault, 150_000, &words);
    }
    let home = project.path().join("late");
    proxy.set(Fault::Late(Duration::from_millis(1)));
    assert_eq!(run(project.path(), &home, &["stage", "--format", "json"]).exits(0).sum("rows"), 150_000);
}

#[test]
fn a_connection_to_mariadb_that_breaks_ends_with_what_was_read() {
    let database = mariadb::Database::new(MANY_ROWS_OF_MARIADB);
    let proxy = Proxy::to(database.port);
    let url = database.url.replace(&format!(":{}/", database.port), &format!(":{}/", proxy.port));
    let project = project("mysql", &format!("url = \"{url}\"\ntable = \"a\""));
    // A row is about 19 bytes, a range 2^18 rows or more.
    for fault in [Fault::Reset(12 << 20), Fault::End(12 << 20)] {
        let words =
            ["dataset `a`: ", "127.0.0.1", "reading a `k` ", " failed", "what was staged stays staged"];
        broken_in_the_middle(project.path(), &proxy, fault, 900_000, &words);
    }
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    let silent = Proxy::to(postgres::Database::new("select 1").port);
    silent.set(Fault::Silence(0));
    for (kind, url) in [
        ("postgres", format!("postgres://me:s3cret@127.0.0.1:{}/a?connect_timeout=2", silent.port)),
        ("mysql", format!("mysql://me:s3cret@127.0.0.1:{}/a?tcp_connect_timeout_ms=2000", silent.port)),
    ] {
        silent.set(Fault::Silence(0));
        let project = project(kind, &format!("url = \"{url}\"\ntable = \"a\""));
        let ended = run(project.path(), &project.path().join("home"), &["check"]).exits(4);
        ended.says(&["dataset `a`: ", "cannot connect", "no answer within 2 s", "can be reached"]);
    }
}

#[test]
fn a_connection_to_postgres_that_falls_silent_is_noticed() {
    let database = postgres::Database::new(MANY_ROWS);
    let proxy = Proxy::to(database.port);
    let url = database.url.replace(&format!(":{}/", database.port), &format!(":{}/", proxy.port));
    let project = project("postgres", &format!("url = \"{url}?connect_timeout=2\"\ntable = \"a\""));
    proxy.set(Fault::Silence(100 << 20));
    let home = project.path().join("home");
    let ended = run(project.path(), &home, &["stage", "--threads", "1"]).exits(4);
    ended.says(&["reading public.a blocks 8192-16383 failed", "what was staged stays staged"]);
    proxy.set(Fault::Nothing);
    let resumed = run(project.path(), &home, &["stage", "--format", "json"]).exits(0);
    assert_eq!((resumed.sum("units"), resumed.sum("units_read"), resumed.sum("rows")), (3, 2, 150_000));
    // A query that takes its time is none of these.
    let slow = format!("url = \"{url}?connect_timeout=1\"\nquery = \"select 1 as k from pg_sleep(4)\"");
    let slow = super::stores::project("postgres", &slow);
    run(slow.path(), &slow.path().join("home"), &["stage"]).exits(0);
}

/// What a table without capacity to spare says.
pub(super) const THROTTLED: Body = Body::Error(
    "ProvisionedThroughputExceededException",
    "The level of configured provisioned throughput for the table was exceeded",
);

/// Stages a table of 40 items in four segments through a proxy.
fn scan(proxy: &HttpProxy, table: &str, home: &str, folder: &Path) -> Ended {
    let spec = format!(
        "[datasets.a]\nkind = \"dynamodb\"\ntable = \"{table}\"\nregion = \"eu-central-1\"\nendpoint = \"{}\"\nsegments = 4\n\n\
         [entities.row]\nsource = \"a\"\ntarget = \"a\"\nkey = [\"k\"]\n",
        proxy.endpoint
    );
    std::fs::write(folder.join("recon.toml"), spec).expect("a file");
    let mut command = recon(folder, &folder.join(home), &["stage", "--threads", "1", "--format", "json"]);
    Ended::of(command.envs(dynamodb::ENVIRONMENT))
}

#[test]
fn a_throttled_scan_goes_on_and_says_so() {
    let name = "throttled";
    dynamodb::table_of_numbers(name, 40);
    let folder = tempfile::tempdir().expect("a folder");
    let answers = vec![
        Answer { to: "Scan", requests: 1..12, status: 400, body: THROTTLED },
        Answer {
            to: "Scan",
            requests: 13..14,
            status: 400,
            body: Body::Error("ThrottlingException", "Rate exceeded"),
        },
    ];
    let proxy = HttpProxy::to(dynamodb::port(), answers);
    let ended = scan(&proxy, name, "home", folder.path()).exits(0);
    assert_eq!((ended.sum("units"), ended.sum("rows")), (4, 40), "{}", ended.stdout);
    // One of each segment, and those that were refused.
    assert_eq!(proxy.seen("Scan"), 4 + 12);
    ended.says(&["DynamoDB table throttled: throttled; waiting 100 ms"]);
}

#[test]
fn a_service_that_is_unwell_is_asked_again_and_given_up_in_the_end() {
    let name = "unwell";
    dynamodb::table_of_numbers(name, 40);
    let folder = tempfile::tempdir().expect("a folder");
    let server =
        |requests, status, name| Answer { to: "Scan", requests, status, body: Body::Error(name, "for now") };
    let answers = vec![server(0..2, 500, "InternalServerError"), server(4..5, 503, "ServiceUnavailable")];
    let ended = scan(&HttpProxy::to(dynamodb::port(), answers), name, "for-a-while", folder.path()).exits(0);
    assert_eq!((ended.sum("units"), ended.sum("rows")), (4, 40), "{}", ended.stdout);
    // All eight tries of the third segment.
    let proxy = HttpProxy::to(dynamodb::port(), vec![server(2..10, 500, "InternalServerError")]);
    let given_up = scan(&proxy, name, "for-good", folder.path()).exits(4);
    given_up.says(&[
        "dataset `a`: DynamoDB table unwell",
        "InternalServerError",
        "what was staged stays staged",
    ]);
    assert_eq!(proxy.seen("Scan"), 10);
    let ended = scan(&proxy, name, "for-good", folder.path()).exits(0);
    assert_eq!(
        (ended.sum("units"), ended.sum("units_read"), ended.sum("rows")),
        (4, 2, 40),
        "{}",
        ended.stdout
    );
}

#[test]
fn credentials_that_expire_in_the_middle_end_with_what_was_read() {
    let name = "expired";
    dynamodb::table_of_numbers(name, 40);
    let folder = tempfile::tempdir().expect("a folder");
    let expired =
        Body::Error("ExpiredTokenException", "The security token included in the request is expired");
    let answers = vec![Answer { to: "Scan", requests: 2..3, status: 400, body: expired }];
    let proxy = HttpProxy::to(dynamodb::port(), answers);
    scan(&proxy, name, "home", folder.path()).exits(4).says(&[
        "dataset `a`: ",
        "DynamoDB table expired",
        "ExpiredTokenException",
        "renew them",
        "stays staged",
    ]);
    assert_eq!(proxy.seen("Scan"), 3, "what cannot get better is not tried again");
    assert_eq!(scan(&proxy, name, "home", folder.path()).exits(0).sum("units_read"), 2);
    let denied = Body::Error(
        "AccessDeniedException",
        "User: arn:aws:iam::1:user/x is not authorized to perform: dynamodb:Scan",
    );
    let answers = vec![Answer { to: "Scan", requests: 0..9, status: 400, body: denied }];
    let proxy = HttpProxy::to(dynamodb::port(), answers);
    scan(&proxy, name, "denied", folder.path()).exits(4).says(&[
        "DynamoDB table expired",
        "not authorized to perform: dynamodb:Scan",
        "permissions",
    ]);
}
