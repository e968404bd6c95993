//! Stores that throttle without end: a command waits for as long as it was told to, and no longer.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::network::THROTTLED;
use super::process::{Ended, Running, eventually, recon};
use crate::servers::proxy::{ALWAYS, Answer, Body, HttpProxy};
use crate::servers::{dynamodb, s3};

/// Writes a spec of a table of numbers in four segments.
fn write_spec(folder: &Path, proxy: &HttpProxy, table: &str) {
    let dataset = format!(
        "[datasets.a]\nkind = \"dynamodb\"\ntable = \"{table}\"\nregion = \"eu-central-1\"\nendpoint = \"{}\"\nsegments = 4\n\n",
        proxy.endpoint
    );
    std::fs::write(folder.join("recon.toml"), dataset + ENTITY).expect("a file");
}

const ENTITY: &str = "[entities.row]\nsource = \"a\"\ntarget = \"a\"\nkey = [\"k\"]\n";

/// A staging that gives up on throttling at once, or after that time.
fn stage(folder: &Path, timeout: &str) -> Command {
    let args = ["stage", "--threads", "1", "--format", "json", "--throttle-timeout", timeout];
    let mut command = recon(folder, &folder.join("home"), &args);
    // The same for both stores, but for what each ignores.
    command.envs(dynamodb::ENVIRONMENT).envs(s3::ENVIRONMENT);
    command
}

fn answer(to: &'static str, from: u64, status: u16, body: Body) -> Vec<Answer> {
    vec![Answer { to, requests: from..ALWAYS.end, status, body }]
}

#[test]
fn a_scan_that_is_throttled_without_end_is_incomplete_and_goes_on_later() {
    let name = "endless";
    dynamodb::table_of_numbers(name, 40);
    let folder = tempfile::tempdir().expect("a folder");
    let proxy = HttpProxy::to(dynamodb::port(), answer("Scan", 2, 400, THROTTLED));
    write_spec(folder.path(), &proxy, name);
    Ended::of(&mut stage(folder.path(), "0s")).exits(3).says(&[
        "DynamoDB table endless: throttled for ",
        "ProvisionedThroughputExceededException",
        "what was staged stays staged",
        "--throttle-timeout",
        "--max-rcu",
    ]);
    // Two segments, and all tries of the third.
    assert_eq!(proxy.seen("Scan"), 2 + 8);
    proxy.step_aside();
    let resumed = Ended::of(&mut stage(folder.path(), "0s")).exits(0);
    assert_eq!((resumed.sum("units"), resumed.sum("units_read"), resumed.sum("rows")), (4, 2, 40));
    assert_eq!(proxy.seen("Scan"), 2 + 8 + 2);
}

#[test]
fn a_description_that_is_throttled_without_end_is_incomplete_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let body = Body::Error("ThrottlingException", "Rate of requests exceeds the allowed throughput.");
    let proxy = HttpProxy::to(dynamodb::port(), answer("DescribeTable", 0, 400, body));
    write_spec(folder.path(), &proxy, "undescribed");
    let words = ["DynamoDB table undescribed: throttled for ", "ThrottlingException", "--throttle-timeout"];
    Ended::of(&mut stage(folder.path(), "0s")).exits(3).says(&words);
}

#[test]
fn ctrl_c_is_heard_while_a_table_throttles() {
    let name = "patient";
    dynamodb::table_of_numbers(name, 40);
    let folder = tempfile::tempdir().expect("a folder");
    let proxy = HttpProxy::to(dynamodb::port(), answer("Scan", 1, 400, THROTTLED));
    write_spec(folder.path(), &proxy, name);
    let running = Running::start(&mut stage(folder.path(), "15m"));
    eventually("the second segment is throttled", || (proxy.seen("Scan") > 1).then_some(()));
    running.signal("INT");
    running.ends_within(Duration::from_secs(120)).exits(3).says(&["interrupted"]);
    proxy.step_aside();
    assert_eq!(Ended::of(&mut stage(folder.path(), "15m")).exits(0).sum("units_read"), 3);
}

#[test]
fn what_was_found_is_not_lost_where_looking_again_is_throttled() {
    let name = "again_throttled";
    dynamodb::table_of_numbers(name, 3);
    let folder = tempfile::tempdir().expect("a folder");
    let unread =
        "{\"Responses\":{},\"UnprocessedKeys\":{\"again_throttled\":{\"Keys\":[{\"k\":{\"N\":\"2\"}}]}}}";
    // Refused outright, and answered with nothing but what was asked for.
    for (status, body) in [(400, THROTTLED), (200, Body::Text(unread))] {
        let proxy = HttpProxy::to(dynamodb::port(), answer("BatchGetItem", 0, status, body));
        write_spec(folder.path(), &proxy, name);
        let spec = std::fs::read_to_string(folder.path().join("recon.toml")).expect("a file");
        let csv = "[datasets.b]\nkind = \"csv\"\nuri = \"b.csv\"\n\n";
        let spec =
            spec.replace("[entities", &format!("{csv}[entities")).replace("target = \"a\"", "target = \"b\"");
        std::fs::write(
            folder.path().join("recon.toml"),
            spec + "fields.k = { from = \"k\", type = \"int\" }\n",
        )
        .expect("a file");
        std::fs::write(folder.path().join("b.csv"), "k\n0\n1\n").expect("a file");
        Ended::of(&mut stage(folder.path(), "0s")).exits(0);
        let args =
            ["diff", "--recheck", "1", "--delay", "0s", "--throttle-timeout", "0s", "--format", "json"];
        let mut diff = recon(folder.path(), &folder.path().join("home"), &args);
        let found = Ended::of(diff.envs(dynamodb::ENVIRONMENT)).exits(3).json();
        let row = &found["entities"]["row"];
        assert_eq!((&row["matched"], &row["missing"]), (&2.into(), &1.into()), "{row}");
        assert!(
            row["warnings"]
                .to_string()
                .contains("looking again failed: DynamoDB table again_throttled: throttled for")
        );
    }
}

/// Stages three objects through a proxy that throttles an operation from some request on: incomplete, named, and later whole.
fn objects_throttled(bucket: &str, kind: &str, operation: &'static str, from: u64, kept: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    s3::bucket(bucket);
    for n in 0..3 {
        let (name, bytes) = match kind {
            "csv" => (format!("{n}.csv"), format!("k\n{n}\n").into_bytes()),
            "jsonl" => (format!("{n}.jsonl.gz"), crate::project::gzip(format!("{{\"k\":{n}}}\n").as_bytes())),
            _ => {
                let path = folder.path().join(format!("{n}.parquet"));
                crate::project::write_parquet(&format!("select {n} as k"), &path);
                (format!("{n}.parquet"), std::fs::read(path).expect("a file"))
            }
        };
        s3::put(bucket, &name, bytes, &[]);
    }
    let slow = Body::Error("SlowDown", "Please reduce your request rate.");
    let proxy = HttpProxy::to(s3::port(), answer(operation, from, 503, slow));
    let dataset = s3::dataset_at(&proxy.endpoint, "a", kind, &format!("s3://{bucket}/"));
    std::fs::write(folder.path().join("recon.toml"), dataset + ENTITY).expect("a file");
    let place = format!("s3://{bucket}/");
    let words = [place.as_str(), ": throttled for ", "SlowDown", "stays staged", "--throttle-timeout"];
    Ended::of(&mut stage(folder.path(), "0s")).exits(3).says(&words);
    proxy.step_aside();
    let resumed = Ended::of(&mut stage(folder.path(), "0s")).exits(0);
    let read = (resumed.sum("units"), resumed.sum("units_read"), resumed.sum("rows"));
    assert_eq!(read, (3, 3 - kept, 3), "{kind} {operation}");
}

#[test]
fn objects_that_are_throttled_without_end_are_incomplete_and_go_on_later() {
    std::thread::scope(|scope| {
        // The listing; what the store says of the second object; its bytes, of files and of Parquet. (Of the first CSV file the
        // header is read before.)
        for (bucket, kind, operation, from, kept) in [
            ("slow-list", "csv", "ListObjectsV2", 0, 0),
            ("slow-head", "csv", "HeadObject", 3, 1),
            ("slow-csv", "csv", "GetObject", 2, 1),
            ("slow-jsonl", "jsonl", "GetObject", 1, 1),
            ("slow-parquet", "parquet", "GetObject", 0, 0),
        ] {
            scope.spawn(move || objects_throttled(bucket, kind, operation, from, kept));
        }
    });
}
