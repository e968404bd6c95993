//! The command line: one struct per command, checked once, then run.

mod afresh;
mod background;
mod check;
mod demo;
mod diff;
mod init;
mod keys;
mod manual;
mod migrate;
mod out;
mod pacing;
mod progress;
mod recheck;
mod references;
mod report;
mod rollback;
mod show;
mod spot_check;
mod stage;
mod status;
mod validate;
mod watch;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::error::{Error, Result};
use crate::event::Progress;
use crate::fault;
use crate::ledger::told::Told;
use crate::ledger::{Ledger, end_state};
use crate::reconcile::report::terminal::shell;
use crate::spec::{self, Entity, Spec};
use crate::store::aws::throttle_at_most;
use watch::Watch;

/// Share of `--memory` that DuckDB may use; the rest is for our own buffers and what the allocator keeps.
const ENGINE_SHARE: f64 = 0.6;

/// What `recon demo --help` ends with.
const DEMO_HELP: &str = "\
Exit codes: 0 everything that was planted was found, and nothing else; 2 the folder is not empty;\n\
4 it did not work. Its own `recon diff` finds differences, and the demo says what that exits with.\n\
Example: recon demo /tmp/recon-demo";
/// What `recon init --help` ends with.
const INIT_HELP: &str = "\
SOURCE and TARGET are files (csv, jsonl, parquet), a folder, a glob, a SQLite file, a DynamoDB export's folder,\n\
postgres://…, mysql://… or dynamodb:TABLE. Where the name does not tell the kind, put it in front: csv:data.dat\n\
A URL with a password is not written: the spec gets ${RECON_SOURCE_URL} or ${RECON_TARGET_URL}, to be exported.\n\
Your own variable stays as it is: recon init '${DATABASE_URL}' images.csv\n\
Two databases without tables named: every pair of tables of the same name is an entity.\n\
Exit codes: 0 written; 2 the spec is there already, or a location is unclear; 3 written, with something to fill in;\n\
4 a location cannot be reached or read.\n\
Examples:\n  \
recon init export/ postgres://me@localhost/shop --target-table public.images\n  \
recon init postgres://me@localhost/old mysql://me@localhost/new\n  \
recon init dynamodb:app-data sqlite:app.db --region eu-central-1";
/// What `recon show --help` ends with.
const SHOW_HELP: &str = "\
A key that begins with a letter after `-` goes behind `--`: recon show -- -key\n\
A field that is NULL is named instead of given: recon show --null region 42\n\
Example: recon show 42        a composite key, field by field: recon show eu 42";
/// What `recon validate --help` ends with.
const VALIDATE_HELP: &str = "\
Keys and types are checked whatever the spec says; rules and references are those of the spec: docs/validation.md\n\
Exit codes: 0 all records are valid; 1 some are not: failures.csv; 2 the spec is wrong; 3 something could not be checked,\n\
or there is no record; 4 more invalid records than --max-errors, or it could not be done.\n\
Example: recon stage source && recon validate --max-errors 1%";
/// What `recon rollback --help` ends with.
const ROLLBACK_HELP: &str = "\
plan and apply take what is to be rolled back: --run RUN|last, --since TIME, --ids KEYS, --from CSV\n\
Exit codes: 0 all of it is back; 1 rows were left as they are, since somebody has changed them: conflicts.csv;\n\
2 the command line or the spec is wrong; 3 interrupted: the same command goes on; 4 it could not be done.\n\
Example: recon rollback plan --run last && recon rollback apply --run last && recon rollback verify --run last";
/// What `recon report --help` ends with.
const REPORT_HELP: &str = "\
Exit codes: 0 written; 2 there is no such run; 4 its files are gone.\n\
--sign-off: 0 all is verified and equal; 1 differences; 3 not verified since the last writing, or not wholly.\n\
Examples:\n  \
recon report                               the last run, as a page\n  \
recon report --run last --as junit --out build\n  \
recon report --sign-off --out handover";
/// What `recon start --help` ends with.
const START_HELP: &str = "\
Exit codes: 0 it runs; 2 the command line or the spec is wrong; 4 another run is going on; else what it ended with at once.\n\
Its words go to logs/ in the home: recon logs -f\n\
Example: recon start migrate --max-errors 1%";

/// Verifies data migrations: stages both sides on this machine and compares them, record by record and field by field.
#[derive(Debug, Parser)]
#[command(
    name = "recon",
    version,
    max_term_width = 100,
    after_help = "Exit codes: 0 done and equal, 1 differences, 2 usage or spec wrong, 3 incomplete, 4 could not do it.\n\
                  New here: recon demo        Your own data: recon init SOURCE TARGET && recon check && recon stage && recon diff"
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options that every command takes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Options of every command")]
struct Global {
    /// The spec file
    #[arg(long, global = true, value_name = "PATH", default_value = "recon.toml")]
    spec: PathBuf,
    /// The folder of ledger, stage and reports [default: .recon beside the spec]
    #[arg(long, global = true, value_name = "DIR")]
    home: Option<PathBuf>,
    /// Only this entity (may be given several times)
    #[arg(short, long, global = true, value_name = "NAME")]
    entity: Vec<String>,
    /// How results are written to stdout
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Say nothing but results and errors
    #[arg(long, global = true)]
    quiet: bool,
    /// Say more on stderr; twice for still more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// No progress bar
    #[arg(long, global = true)]
    no_progress: bool,
    /// Most memory to use, as in 1GB or 800MiB [default: three quarters of the machine's]
    #[arg(long, global = true, value_name = "SIZE", value_parser = parse_size, allow_negative_numbers = true)]
    memory: Option<u64>,
    /// Worker threads [default: one per core]
    #[arg(long, global = true, value_name = "N", value_parser = parse_threads, allow_negative_numbers = true)]
    threads: Option<u16>,
    /// How long DynamoDB or S3 may throttle a request before the command gives up, as in 90s or 15m
    #[arg(long, global = true, value_name = "TIME", value_parser = parse_duration, default_value = "15m")]
    throttle_timeout: Duration,
    /// Set by `recon start`: leaves the terminal's session
    #[arg(long, global = true, hide = true)]
    detached: bool,
}

/// `--format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a small project with planted differences and run the whole way on it
    #[command(after_help = DEMO_HELP)]
    Demo(demo::DemoArgs),
    /// Write a recon.toml from two locations: keys, types and a likely mapping, and how sure it is
    #[command(after_help = INIT_HELP)]
    Init(init::InitArgs),
    /// Parse the spec, connect, and show both sides' columns and how they correspond; change nothing
    #[command(after_help = "Example: recon check --spec recon.toml")]
    Check,
    /// Stage one side or both; goes on where an earlier run stopped
    #[command(after_help = "Example: recon stage source --max-errors 100")]
    Stage(stage::StageArgs),
    /// Compare the staged sides, write the reports, and update every record's state
    #[command(after_help = "Example: recon diff --out reports --format json")]
    Diff(diff::DiffArgs),
    /// Hold the staged source against the spec's rules and references, before anything is written
    #[command(after_help = VALIDATE_HELP)]
    Validate(validate::ValidateArgs),
    /// Write the pending records of the staged source to the target; goes on where an earlier run stopped
    #[command(after_help = "Example: recon migrate --dry-run && recon migrate --max-errors 1%")]
    Migrate(migrate::MigrateArgs),
    /// Write again what did not go through, and what the last diff found mismatched or missing
    #[command(after_help = "Example: recon replay --class retryable        recon replay --from keys.csv")]
    Replay(migrate::ReplayArgs),
    /// Take back what runs wrote, from the old images that they kept
    #[command(after_help = ROLLBACK_HELP)]
    Rollback(rollback::RollbackArgs),
    /// Everything known of one record: both sides, and each field's verdict
    #[command(after_help = SHOW_HELP)]
    Show(show::ShowArgs),
    /// Read random records afresh from both stores and show them side by side
    #[command(after_help = "Example: recon spot-check -n 50 --seed 7")]
    SpotCheck(spot_check::SpotCheckArgs),
    /// What a run found or did: a page, or csv, json, junit, markdown or parquet; or the summary to be signed
    #[command(after_help = REPORT_HELP)]
    Report(report::ReportArgs),
    /// Run a command in the background: stage, diff, migrate, replay or rollback apply, with its options
    #[command(after_help = START_HELP)]
    Start(background::StartArgs),
    /// Ask the run that is going on to finish what it is at, save, and end; waits until it has
    #[command(after_help = "Example: recon stop        The next run of the same command goes on from there.")]
    Stop(background::StopArgs),
    /// What the newest run in the background said
    #[command(after_help = "Example: recon logs -f")]
    Logs(background::LogsArgs),
    /// Where things are; works while a run is going on
    #[command(after_help = "Example: recon status --format json")]
    Status,
    /// The runs of this home, newest first
    #[command(after_help = "Example: recon runs -n 5")]
    Runs(status::RunsArgs),
    /// Print the JSON Schema of recon.toml, for editors
    #[command(after_help = "Example: recon schema > recon.schema.json")]
    Schema,
    /// Print the script by which a shell completes commands and options
    #[command(after_help = "Example: recon completions bash > /etc/bash_completion.d/recon")]
    Completions(manual::CompletionsArgs),
    /// Print the manual page, or write one for each command
    #[command(after_help = "Example: recon man --out /usr/local/share/man/man1 && man recon-diff")]
    Man(manual::ManArgs),
    /// Forget everything staged and every run of this home, after saying what is lost
    #[command(after_help = "Example: recon reset --yes")]
    Reset(status::ResetArgs),
}

/// Runs the process and returns its exit code.
pub fn main() -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let error = harmless_suggestions(error);
            let _ = error.print();
            return if error.use_stderr() { 2 } else { 0 };
        }
    };
    if cli.global.detached {
        background::detach();
    }
    start_log(&cli.global);
    match caught(|| run(&cli)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{}", harmless(&error.report()));
            error.exit_code()
        }
    }
}

/// Leaves out of what clap suggests in place of a command that is none whatever destroys something.
fn harmless_suggestions(mut error: clap::Error) -> clap::Error {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    if error.kind() != ErrorKind::InvalidSubcommand {
        return error;
    }
    let suggested = match error.get(ContextKind::SuggestedSubcommand) {
        Some(ContextValue::Strings(names)) => names.clone(),
        Some(ContextValue::String(name)) => vec![name.clone()],
        _ => Vec::new(),
    };
    let harmless: Vec<String> = suggested.into_iter().filter(|name| name != "reset").collect();
    error.remove(ContextKind::SuggestedSubcommand);
    if !harmless.is_empty() {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(harmless));
    }
    error
}

fn run(cli: &Cli) -> Result<u8> {
    let global = &cli.global;
    throttle_at_most(global.throttle_timeout);
    match &cli.command {
        Command::Demo(args) => demo::run(global, args),
        Command::Init(args) => init::run(global, args),
        Command::Check => check::run(global),
        Command::Stage(args) => stage::run(global, args),
        Command::Diff(args) => diff::run(global, args),
        Command::Validate(args) => validate::run(global, args),
        Command::Migrate(args) => migrate::migrate(global, args),
        Command::Replay(args) => migrate::replay(global, args),
        Command::Rollback(args) => rollback::run(global, args),
        Command::Show(args) => show::run(global, args),
        Command::SpotCheck(args) => spot_check::run(global, args),
        Command::Report(args) => report::run(global, args),
        Command::Start(args) => background::start(global, args),
        Command::Stop(args) => background::stop(global, args),
        Command::Logs(args) => background::logs(global, args),
        Command::Status => status::status(global),
        Command::Runs(args) => status::runs(global, args),
        Command::Reset(args) => status::reset(global, args),
        Command::Schema => print(&spec::json_schema()),
        Command::Completions(args) => manual::completions(args),
        Command::Man(args) => manual::man(args),
    }
}

/// The text without control characters, which names in the data may hold and which could command the terminal.
fn harmless(text: &str) -> std::borrow::Cow<'_, str> {
    let commands = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !text.contains(commands) {
        return text.into();
    }
    // As JSON escapes them, so that what is JSON stays it.
    let escaped = |c: char| if commands(c) { format!("\\u{:04x}", c as u32) } else { c.to_string() };
    text.chars().map(escaped).collect::<String>().into()
}

/// Writes a result to stdout. A reader that went away (`recon … | head`) is no failure of ours.
fn print(text: &str) -> Result<u8> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let text = harmless(text);
    match out
        .write_all(text.as_bytes())
        .and_then(|()| if text.ends_with('\n') { Ok(()) } else { out.write_all(b"\n") })
    {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::failed("cannot write to stdout").caused_by(e))
        }
        _ => Ok(0),
    }
}

fn start_log(global: &Global) {
    let level = match (global.quiet, global.verbose) {
        (true, _) => "error",
        (_, 0) => "warn",
        (_, 1) => "info",
        _ => "debug",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("RECON_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(format!("recon={level}")));
    let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(color).init();
}

/// A whole number from 1 to 1024.
fn parse_threads(text: &str) -> Result<u16, String> {
    let wanted = || format!("`{text}` is no number of threads; write a whole number from 1 to 1024");
    text.parse().ok().filter(|n| (1..=1024).contains(n)).ok_or_else(wanted)
}

/// A whole number.
fn parse_count(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("`{text}` is no whole number"))
}

/// A time such as `5s`, `250ms` or `1m 30s`.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time; write it like 5s or 1m");
    let time: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(time).map_err(|_| wrong())
}

/// `1GB`, `800MiB`, `2g`, or bytes.
fn parse_size(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "kib" => 1 << 10,
        "m" | "mb" => 1_000_000,
        "mib" => 1 << 20,
        "g" | "gb" => 1_000_000_000,
        "gib" => 1 << 30,
        _ => return Err(format!("`{text}` is no size; write it like 800MB or 1GiB")),
    };
    let number: f64 =
        number.parse().map_err(|_| format!("`{text}` is no size; write it like 800MB or 1GiB"))?;
    let bytes = (number * factor as f64) as u64;
    if bytes < 128 << 20 {
        return Err("recon needs at least 128MiB".to_owned());
    }
    Ok(bytes)
}

impl Global {
    fn load_spec(&self) -> Result<Spec> {
        let spec = spec::load(&self.spec, &|name| std::env::var(name).ok())?;
        for name in &self.entity {
            if spec.entity(name).is_none() {
                let known: Vec<String> = spec.entities.iter().map(|e| format!("`{}`", e.name)).collect();
                return Err(Error::usage(format!("{} has no entity `{name}`", self.spec.display()))
                    .help(format!("its entities are {}", known.join(", "))));
            }
        }
        Ok(spec)
    }

    fn entities<'a>(&self, spec: &'a Spec) -> Vec<&'a Entity> {
        spec.entities.iter().filter(|e| self.entity.is_empty() || self.entity.contains(&e.name)).collect()
    }

    fn home(&self) -> PathBuf {
        self.home.clone().unwrap_or_else(|| self.spec.parent().unwrap_or(Path::new("")).join(".recon"))
    }

    /// How the user calls recon for this project, to be put before a command in "next: …".
    fn command(&self) -> String {
        let mut command = "recon".to_owned();
        if self.spec != Path::new("recon.toml") {
            command.push_str(&format!(" --spec {}", shell(&self.spec.display().to_string())));
        }
        if let Some(home) = &self.home {
            command.push_str(&format!(" --home {}", shell(&home.display().to_string())));
        }
        command
    }

    /// Takes the home for writing; makes it where there is none.
    fn ledger(&self, command: &str) -> Result<Ledger> {
        let home = self.home();
        if home.exists() && !home.is_dir() {
            return Err(Error::usage(format!("{} is no folder", home.display()))
                .help("name a folder for ledger, stage and reports: --home DIR"));
        }
        Ledger::open(&home, command)
    }

    /// Takes a home in which something must have been staged before.
    fn staged_ledger(&self, command: &str) -> Result<Ledger> {
        if !self.home().join("ledger.db").exists() {
            return Err(self.nothing_staged());
        }
        self.ledger(command)
    }

    fn nothing_staged(&self) -> Error {
        Error::failed(format!("nothing is staged in {}", self.home().display()))
            .help(format!("run `{} stage` first", self.command()))
    }

    fn threads(&self) -> usize {
        self.threads.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from)
    }

    fn engine_memory(&self) -> u64 {
        let all = self.memory.unwrap_or_else(|| machine_memory() / 4 * 3);
        (all as f64 * ENGINE_SHARE) as u64
    }
}

/// The machine's memory as Linux says it; 4 GiB where nobody says.
fn machine_memory() -> u64 {
    std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| text.lines().next()?.split_whitespace().nth(1)?.parse::<u64>().ok())
        .map_or(4 << 30, |kib| kib << 10)
}

/// How a run ended: its exit code, where its reports are, and what it found.
struct Ended<T> {
    code: u8,
    folder: Option<PathBuf>,
    result: T,
}

/// A run in the ledger: begun before the work, ended with whatever became of it.
fn in_run<T>(
    ledger: &Ledger,
    command: &str,
    spec_digest: &str,
    watch: &Watch,
    progress: &Arc<Progress>,
    work: impl FnOnce(&str) -> Result<Ended<T>>,
) -> Result<Ended<T>> {
    let run_id = ledger.begin_run(command, spec_digest)?;
    during(ledger, (&run_id, command), watch, progress, work)
}

/// The same for a run that the ledger has as running already.
fn during<T>(
    ledger: &Ledger,
    (run_id, command): (&str, &str),
    watch: &Watch,
    progress: &Arc<Progress>,
    work: impl FnOnce(&str) -> Result<Ended<T>>,
) -> Result<Ended<T>> {
    let _listening = Interrupts::listen(progress)?;
    let told = Told::start(ledger, run_id, progress)?;
    let watching = watch.begin(run_id, command, progress)?;
    let begun = || {
        fault::point("run.begun");
        work(run_id)
    };
    match caught(begun) {
        Ok(ended) => {
            fault::point("run.before-finished");
            // The run's last counters are there before anybody sees that it is over.
            drop(told);
            ledger.finish_run(run_id, ended.code, ended.folder.as_deref(), None)?;
            watching.end(end_state(ended.code, None), ended.code, None);
            Ok(ended)
        }
        Err(error) => {
            // The disk may be full, so that the ledger cannot take this either; the first error is the one to show.
            drop(told);
            let (code, words) = (error.exit_code(), error.to_string());
            let _ = ledger.finish_run(run_id, code, None, Some(&words));
            watching.end(end_state(code, Some(&words)), code, Some(&words));
            Err(error)
        }
    }
}

/// Makes an error of a panic, whose words are on stderr by then. They stay out of the error, and so out of the ledger, since
/// they may hold a value.
fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    // What the work held is gone or only dropped after it; the ledger's transactions and renamed files hold up to any end.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(Error::failed("a defect of recon itself ended this command").help(
            "please report it, with the lines above and the spec; what was staged before is whole, so running it again is safe",
        ))
    })
}

/// Ctrl-C once asks the workers to stop; twice ends the process at once, which is as safe as a kill. Dropped, nobody
/// listens any longer: the next run in the same process has its own.
struct Interrupts(signal_hook::iterator::Handle);

impl Interrupts {
    fn listen(progress: &Arc<Progress>) -> Result<Self> {
        let mut signals =
            signal_hook::iterator::Signals::new([signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM])
                .map_err(|e| Error::failed("cannot listen for signals").caused_by(e))?;
        let handle = signals.handle();
        let progress = Arc::clone(progress);
        std::thread::spawn(move || {
            for _ in signals.forever() {
                if progress.stop_requested() {
                    std::process::exit(3);
                }
                progress.request_stop();
                eprintln!("stopping after the step under way; again to stop at once");
            }
        });
        Ok(Self(handle))
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        self.0.close();
    }
}
