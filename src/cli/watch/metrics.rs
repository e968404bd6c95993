//! Metrics of a run in Prometheus' text exposition format 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>): over HTTP, and as a file for the textfile
//! collector of node_exporter.
//!
//! The server answers `GET /metrics` and nothing else, one client after the other, each within a second: it serves a scraper or
//! two on this machine, and there is nothing to gain from more.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{End, Facts};
use crate::error::{Context, Error, Result};
use crate::event::{Progress, get};

/// How often the server looks whether somebody knocks.
const TICK: Duration = Duration::from_millis(20);
/// How long a client may take for its request and for taking the answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// The longest request that is read.
const REQUEST_BYTES_MAX: usize = 8 << 10;
/// How often the file is written.
const FILE_PAUSE: Duration = Duration::from_secs(5);

/// `HOST:PORT`, `:PORT` or `PORT`; without a host, 127.0.0.1.
pub(super) fn parse_address(text: &str) -> Result<String, String> {
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    let wrong = || format!("`{text}` is no address; write HOST:PORT, as in 127.0.0.1:9100, or a port alone");
    port.parse::<u16>().map_err(|_| wrong())?;
    match host {
        "" => Ok(format!("127.0.0.1:{port}")),
        host => Ok(format!("{host}:{port}")),
    }
}

/// Takes an address.
///
/// # Errors
/// An address that is in use or not of this machine (exit 2).
pub(super) fn listen(address: &str) -> Result<TcpListener> {
    let help = "name another address with --metrics, or leave it out";
    let fail = |e: std::io::Error| match e.kind() {
        ErrorKind::AddrInUse => {
            Error::usage(format!("--metrics {address}: somebody listens there already")).help(help)
        }
        _ => Error::usage(format!("--metrics {address}: cannot listen there")).caused_by(e).help(help),
    };
    let found: Vec<_> = address.to_socket_addrs().map_err(fail)?.collect();
    let listener = TcpListener::bind(found.as_slice()).map_err(fail)?;
    listener.set_nonblocking(true).map_err(fail)?;
    Ok(listener)
}

/// Looks whether a file can be put there.
///
/// # Errors
/// A folder that is not there or takes no file (exit 2).
pub(super) fn writable(path: &Path) -> Result<PathBuf> {
    let fail = || Error::usage(format!("--metrics-file {}: it cannot be written", path.display()));
    if path.is_dir() {
        return Err(fail().help("it is a folder; name a file in it, as in FOLDER/recon.prom"));
    }
    temporary(path).map_err(|e| fail().caused_by(e).help("name a file in a folder that takes files"))?;
    Ok(path.to_path_buf())
}

/// A file beside another, readable for a collector that runs as somebody else.
fn temporary(path: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    use std::os::unix::fs::PermissionsExt;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    tempfile::Builder::new()
        .prefix(".recon-metrics-")
        .suffix(".tmp")
        .permissions(std::fs::Permissions::from_mode(0o644))
        .tempfile_in(folder)
}

/// Serves metrics until dropped.
pub(super) struct Server {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(super) fn start(listener: TcpListener, facts: &Arc<Facts>) -> Result<Self> {
        let (stop, stopped) = channel();
        let facts = Arc::clone(facts);
        let thread = std::thread::Builder::new()
            .name("metrics".to_owned())
            .spawn(move || serve(&listener, &facts, &stopped))
            .or_failed(|| "cannot start a thread".to_owned())?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(listener: &TcpListener, facts: &Facts, stopped: &Receiver<()>) {
    loop {
        match listener.accept() {
            // A client that went away, or takes too long, asks again.
            Ok((client, _)) => drop(answer(client, facts)),
            Err(_) => {
                if stopped.recv_timeout(TICK) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        }
    }
}

/// Reads one request and answers it.
fn answer(mut client: TcpStream, facts: &Facts) -> std::io::Result<()> {
    client.set_nonblocking(false)?;
    client.set_write_timeout(Some(PATIENCE))?;
    let until = Instant::now() + PATIENCE;
    let (mut request, mut piece) = (Vec::new(), [0; 1024]);
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || request.len() > REQUEST_BYTES_MAX {
            return Ok(());
        }
        client.set_read_timeout(Some(left))?;
        match client.read(&mut piece)? {
            0 => return Ok(()),
            n => request.extend_from_slice(&piece[..n]),
        }
    }
    let text = String::from_utf8_lossy(&request);
    let mut words = text.lines().next().unwrap_or_default().split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    let (status, extra, body) = match (method, path) {
        ("GET", "/metrics") => ("200 OK", "", exposition(facts, None)),
        ("GET", _) => ("404 Not Found", "", "the metrics are at /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", "Allow: GET\r\n", "only GET\n".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n{extra}\
         Connection: close\r\n\r\n",
        body.len()
    );
    client.write_all(head.as_bytes())?;
    client.write_all(body.as_bytes())
}

/// Writes metrics to a file until dropped or ended.
pub(super) struct File {
    path: PathBuf,
    facts: Arc<Facts>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl File {
    pub(super) fn start(path: &Path, facts: &Arc<Facts>) -> Result<Self> {
        let (stop, stopped) = channel();
        let (own_path, own_facts) = (path.to_path_buf(), Arc::clone(facts));
        let thread = std::thread::Builder::new()
            .name("metrics-file".to_owned())
            .spawn(move || {
                loop {
                    write_file(&own_path, &own_facts, None);
                    if stopped.recv_timeout(FILE_PAUSE) != Err(RecvTimeoutError::Timeout) {
                        return;
                    }
                }
            })
            .or_failed(|| "cannot start a thread".to_owned())?;
        Ok(Self {
            path: path.to_path_buf(),
            facts: Arc::clone(facts),
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Writes the file for the last time.
    pub(super) fn end(mut self, end: &End) {
        self.stop();
        write_file(&self.path, &self.facts, Some(end));
    }

    fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Replaces the file whole. That it cannot be written is said once, and ends no run.
fn write_file(path: &Path, facts: &Facts, end: Option<&End>) {
    let write = || {
        let mut file = temporary(path)?;
        file.write_all(exposition(facts, end).as_bytes())?;
        file.persist(path).map_err(|e| e.error)
    };
    if let Err(e) = write() {
        crate::event::warn_once(&format!("cannot write the metrics to {}: {e}", path.display()));
    }
}

/// A kind of metric.
#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

/// Lines of the text format.
struct Lines(String);

impl Lines {
    fn head(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.0.push_str(name);
        for (i, (label, text)) in labels.iter().enumerate() {
            let begin = if i == 0 { "{" } else { "," };
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{begin}{label}=\"{text}\"");
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{end} {value}");
    }

    fn single(&mut self, name: &str, kind: Kind, help: &str, value: impl std::fmt::Display) {
        self.head(name, kind, help);
        self.sample(name, &[], value);
    }
}

/// Everything there is to say.
fn exposition(facts: &Facts, end: Option<&End>) -> String {
    let (p, mut lines) = (&facts.progress, Lines(String::new()));
    lines.head("recon_run_info", Kind::Gauge, "The run, by its id and command.");
    lines.sample("recon_run_info", &[("run_id", &facts.run_id), ("command", &facts.command)], 1);
    lines.head("recon_build_info", Kind::Gauge, "The version of recon.");
    lines.sample("recon_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    lines.single(
        "recon_run_active",
        Kind::Gauge,
        "1 while the run goes on, 0 once it is over.",
        u8::from(end.is_none()),
    );
    if let Some(end) = end {
        lines.single("recon_run_exit_code", Kind::Gauge, "What the command exited with.", end.exit_code);
    }
    let began = facts.began_at.parse::<jiff::Timestamp>().map_or(0.0, |at| at.as_millisecond() as f64 / 1e3);
    lines.single(
        "recon_run_start_time_seconds",
        Kind::Gauge,
        "When this process began the run, since 1970.",
        began,
    );
    let took = format!("{:.3}", facts.began.elapsed().as_secs_f64());
    lines.single("recon_run_duration_seconds", Kind::Gauge, "How long this process has been at it.", took);
    counters(p, &mut lines);
    times(p, &mut lines);
    tallies(facts, &mut lines);
    lines.0
}

fn counters(p: &Progress, lines: &mut Lines) {
    let numbers = [
        (
            "recon_records_total",
            Kind::Counter,
            "Records staged, compared or written, by earlier processes of the run too.",
            &p.rows_done,
        ),
        (
            "recon_records_planned",
            Kind::Gauge,
            "Records that are to be written, as far as they are planned.",
            &p.rows_planned,
        ),
        (
            "recon_failures_total",
            Kind::Counter,
            "Rows that did not parse, or records that did not go through.",
            &p.failures,
        ),
        ("recon_retries_total", Kind::Counter, "How often something was tried again.", &p.retries),
        ("recon_units_done", Kind::Gauge, "Files, ranges or batches that are done.", &p.units_done),
        (
            "recon_units",
            Kind::Gauge,
            "Files, ranges or batches to do, as far as they are known.",
            &p.units_total,
        ),
        ("recon_read_bytes_total", Kind::Counter, "Input bytes read.", &p.bytes_done),
        (
            "recon_read_bytes_planned",
            Kind::Gauge,
            "Input bytes to read; 0 where that is not known.",
            &p.bytes_total,
        ),
    ];
    for (name, kind, help, counter) in numbers {
        lines.single(name, kind, help, get(counter));
    }
}

fn times(p: &Progress, lines: &mut Lines) {
    let times = [
        (
            "recon_target_seconds_total",
            "Time that workers spent in the target, over all of them.",
            &p.target_ns,
        ),
        (
            "recon_machine_seconds_total",
            "Time that workers spent reading, casting and recording here.",
            &p.own_ns,
        ),
        ("recon_rate_wait_seconds_total", "Time that workers waited under --rate.", &p.paced_ns),
    ];
    for (name, help, counter) in times {
        lines.single(name, Kind::Counter, help, format!("{:.3}", get(counter) as f64 / 1e9));
    }
}

/// By entity (where the command writes) or dataset (where it stages), in whole units.
fn tallies(facts: &Facts, lines: &mut Lines) {
    let tallies = facts.progress.tallies();
    if tallies.is_empty() {
        return;
    }
    let label = if facts.command == "stage" { "dataset" } else { "entity" };
    let name = format!("recon_{label}_records_total");
    lines.head(&name, Kind::Counter, &format!("Records of the units that are done, by {label}."));
    for (of, tally) in &tallies {
        lines.sample(&name, &[(label, of)], tally.rows);
    }
    let name = format!("recon_{label}_failures_total");
    lines.head(&name, Kind::Counter, &format!("Failures in the units that are done, by {label}."));
    for (of, tally) in &tallies {
        lines.sample(&name, &[(label, of)], tally.failures);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_of_this_machine_unless_they_say_otherwise() {
        for (text, address) in [
            ("9100", "127.0.0.1:9100"),
            (":9100", "127.0.0.1:9100"),
            ("0.0.0.0:1", "0.0.0.0:1"),
            ("[::1]:9100", "[::1]:9100"),
            ("localhost:0", "localhost:0"),
        ] {
            assert_eq!(parse_address(text).as_deref(), Ok(address));
        }
        for text in ["", "x", "localhost", "1:x", "70000", "127.0.0.1:"] {
            assert!(parse_address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_in_labels_cannot_end_them() {
        let mut lines = Lines(String::new());
        lines.sample("m", &[("a", "x\"y\\z\nw"), ("b", "")], 1);
        assert_eq!(lines.0, "m{a=\"x\\\"y\\\\z\\nw\",b=\"\"} 1\n");
    }
}
