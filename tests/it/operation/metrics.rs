//! Metrics over HTTP and as a file.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::{Case, eventually};
use crate::servers::free_port;

/// Sends a request as it stands and returns the answer, head and body.
fn ask(port: u16, request: &str) -> Option<(String, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.to_owned(), body.to_owned()))
}

fn get(port: u16) -> Option<(String, String)> {
    ask(port, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// The samples of an exposition, each under its name with its labels. Fails where a line is not of the format: every sample has its
/// HELP and TYPE before it, once.
fn samples(body: &str) -> BTreeMap<String, f64> {
    let (mut found, mut types) = (BTreeMap::new(), BTreeMap::new());
    assert!(body.ends_with('\n'), "{body}");
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a kind");
            assert!(["counter", "gauge"].contains(&kind), "{line}");
            assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "twice: {line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
        } else if !line.starts_with("# HELP ") {
            let (name, value) = line.rsplit_once(' ').expect("a value");
            let metric = name.split('{').next().expect("a name");
            assert!(metric.starts_with("recon_") && types.contains_key(metric), "{line}");
            let value = value.parse().unwrap_or_else(|e| panic!("{e}: {line}"));
            assert!(found.insert(name.to_owned(), value).is_none(), "twice: {line}");
        }
    }
    found
}

#[test]
fn a_scraper_sees_a_run_that_goes_on() {
    let case = Case::with(200, &[3], "");
    let port = free_port();
    let address = port.to_string();
    let run = case.spawn(&[
        "migrate",
        "--batch-size",
        "10",
        "--rate",
        "50",
        "--metrics",
        &address,
        "--metrics-file",
        "recon.prom",
    ]);
    let (head, body) = eventually("some records are written", || {
        let (head, body) = get(port)?;
        samples(&body).get("recon_records_total").is_some_and(|n| *n >= 20.0).then_some((head, body))
    });
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{head}");
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
    let now = samples(&body);
    assert_eq!(
        (now["recon_run_active"], now["recon_records_planned"], now["recon_units"]),
        (1.0, 200.0, 20.0)
    );
    assert_eq!(now["recon_failures_total"], 1.0);
    assert_eq!(now["recon_entity_failures_total{entity=\"image\"}"], 1.0);
    assert!(now["recon_units_done"] >= 2.0 && now["recon_units_done"] < 20.0, "{body}");
    assert!(now["recon_target_seconds_total"] > 0.0 && now["recon_run_duration_seconds"] > 0.0, "{body}");
    let info = now.keys().find(|name| name.starts_with("recon_run_info{")).expect("which run it is");
    assert!(info.contains("-migrate-") && info.ends_with(",command=\"migrate\"}"), "{info}");
    let file = samples(&case.project.read("recon.prom"));
    assert_eq!(file["recon_run_active"], 1.0);
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "404"),
        ("GET /metrics/x HTTP/1.1\r\n\r\n", "404"),
        ("POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "405"),
        ("nonsense\r\n\r\n", "405"),
        ("GET /metrics?x=1 HTTP/1.0\r\n\r\n", "200"),
    ] {
        let (head, _) = ask(port, request).expect("an answer");
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {head}");
    }
    assert_eq!(run.ends().code, 1);
    assert!(get(port).is_none(), "nobody serves a run that is over");
    let file = samples(&case.project.read("recon.prom"));
    assert_eq!((file["recon_run_active"], file["recon_run_exit_code"]), (0.0, 1.0));
    assert_eq!(
        (file["recon_records_total"], file["recon_entity_records_total{entity=\"image\"}"]),
        (200.0, 200.0)
    );
    let left: Vec<_> = std::fs::read_dir(case.project.path(""))
        .expect("a folder")
        .flatten()
        .map(|e| e.file_name())
        .collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".recon-metrics")), "{left:?}");
}

#[test]
fn clients_that_say_nothing_or_too_much_hold_up_neither_others_nor_the_run() {
    let case = Case::new(100);
    let port = free_port();
    let run = case.spawn(&[
        "migrate",
        "--batch-size",
        "10",
        "--rate",
        "25",
        "--metrics",
        &format!("localhost:{port}"),
    ]);
    eventually("it serves", || get(port));
    let silent: Vec<_> =
        (0..2).map(|_| TcpStream::connect(("127.0.0.1", port)).expect("a connection")).collect();
    let mut endless = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    let _ = endless.write_all(&vec![b'x'; 100_000]);
    let began = Instant::now();
    assert!(get(port).is_some());
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert_eq!(run.ends().code, 0);
    drop(silent);
}

#[test]
fn what_cannot_be_served_or_written_is_said_before_anything_is_done() {
    let case = Case::new(10);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    for command in ["migrate", "replay", "stage", "diff"] {
        let ran = case.recon(&[command, "--metrics", &address]);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(
            ran.stderr.contains(&format!("--metrics {address}: somebody listens there already")),
            "{ran:?}"
        );
    }
    for (file, words) in [("no/such/folder/x.prom", "it cannot be written"), ("home", "it is a folder")] {
        let ran = case.recon(&["migrate", "--metrics-file", file]);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains(words), "{ran:?}");
    }
    let ran = case.recon(&["migrate", "--metrics", "nowhere"]);
    assert!(ran.code == 2 && ran.stderr.contains("is no address"), "{ran:?}");
    let runs = case.json(&["runs"], 0);
    assert_eq!(runs.as_array().map(Vec::len), Some(1), "only the staging: {runs}");
    assert_eq!(case.written(), 0);
}

#[test]
fn stage_and_diff_write_metrics_too() {
    let case = Case::new(10);
    assert_eq!(case.recon(&["migrate"]).code, 0);
    assert_eq!(case.recon(&["stage", "--metrics-file", "stage.prom"]).code, 0);
    let stage = samples(&case.project.read("stage.prom"));
    assert_eq!(stage["recon_dataset_records_total{dataset=\"new\"}"], 10.0, "{stage:?}");
    assert_eq!(case.recon(&["diff", "--metrics-file", "diff.prom"]).code, 0);
    let diff = samples(&case.project.read("diff.prom"));
    assert_eq!((diff["recon_run_exit_code"], diff["recon_units_done"]), (0.0, 1.0), "{diff:?}");
}
