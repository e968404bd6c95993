//! Runs that write, as their operator sees them: in the background, watched, slowed down, interrupted, and told when to stop.

mod background;
mod hooks;
mod interrupts;
mod metrics;
mod options;
mod status;

use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::project::{Project, Ran};
use crate::servers::postgres::Database;

/// How long a test waits before it gives up; none depends on how long anything takes.
const PATIENCE: Duration = Duration::from_secs(60);

const SPEC: &str = r#"
[datasets.old]
kind = "jsonl"
uri = "old.jsonl"
[datasets.new]
kind = "postgres"
url = "${DATABASE_URL}"
table = "images"
[entities.image]
source = "old"
target = "new"
key = ["id"]
[entities.image.fields]
id = { from = "id", type = "int" }
name = { from = "name" }
"#;

/// `writes` has a row for each write of a key that was committed, and by which session.
const TABLES: &str = "create table images (id bigint primary key, name varchar(12) not null);
create table writes (id bigint, session int);
create function note() returns trigger language plpgsql as $$
begin insert into writes values (new.id, pg_backend_pid()); return new; end $$;
create trigger note after insert or update on images for each row execute function note();";

/// A staged source of so many records and an empty target.
struct Case {
    project: Project,
    database: Database,
}

impl Case {
    fn new(records: usize) -> Self {
        Self::with(records, &[], "")
    }

    /// Those of `broken` do not fit into the target; `spec` comes on top of the spec.
    fn with(records: usize, broken: &[usize], spec: &str) -> Self {
        let case = Self { project: Project::new(), database: Database::new(TABLES) };
        case.project.write("recon.toml", format!("{spec}{SPEC}"));
        let lines = (0..records).map(|id| {
            let tail = if broken.contains(&id) { "that is far too long" } else { "" };
            format!("{{\"id\":{id},\"name\":\"name {id}{tail}\"}}\n")
        });
        case.project.write("old.jsonl", lines.collect::<String>());
        let staged = case.recon(&["stage", "source"]);
        assert_eq!(staged.code, 0, "{staged:?}");
        case
    }

    fn recon(&self, args: &[&str]) -> Ran {
        self.project.recon_with(args, &[("DATABASE_URL", &self.database.url)])
    }

    /// Runs it and reads what it prints as JSON, where it ends with this code.
    #[track_caller]
    fn json(&self, args: &[&str], code: i32) -> Json {
        let ran = self.recon(&[args, &["--format", "json"]].concat());
        assert_eq!(ran.code, code, "{ran:?}");
        serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{e}: {ran:?}"))
    }

    /// Starts it beside the test.
    fn spawn(&self, args: &[&str]) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_recon"));
        command.args(["--spec", "recon.toml", "--home", "home", "--no-progress"]).args(args);
        command.current_dir(self.project.path("")).env("DATABASE_URL", &self.database.url);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Running { child: Some(command.spawn().expect("recon starts")) }
    }

    /// How many records the target has.
    fn written(&self) -> usize {
        self.database.run("select count(*) from images").trim().parse().expect("a number")
    }

    /// Waits until the target has so many records.
    fn wait_for(&self, records: usize) {
        eventually("records in the target", || (self.written() >= records).then_some(()));
    }

    /// Asserts that each of these keys was written once, and nothing else.
    #[track_caller]
    fn wrote_once(&self, records: usize) {
        let found = self.database.run("select count(*), count(distinct id), max(id) from writes");
        assert_eq!(found, format!("{records}|{records}|{}\n", records - 1));
    }
}

/// A process beside the test; it is ended with it.
struct Running {
    child: Option<Child>,
}

impl Running {
    fn id(&self) -> u32 {
        self.child.as_ref().expect("nobody waited for it").id()
    }

    fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    #[track_caller]
    fn ends(mut self) -> Ran {
        let mut child = self.child.take().expect("nobody waited for it");
        let began = Instant::now();
        while child.try_wait().expect("a process").is_none() {
            if began.elapsed() > PATIENCE {
                let _ = child.kill();
                panic!("it did not end: {:?}", ran(child.wait_with_output().expect("it ends")));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        ran(child.wait_with_output().expect("it ended"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn ran(output: Output) -> Ran {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("recon writes UTF-8");
    let code = output.status.code().unwrap_or(-1);
    Ran { code, stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn signal(process: u32, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status();
    assert!(status.expect("kill starts").success(), "kill -{name} {process}");
}

/// Asks again and again until there is an answer.
#[track_caller]
fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
