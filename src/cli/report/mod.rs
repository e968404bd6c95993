//! `recon report`: what a run has, as a page or in another form, and the summary that a team signs.

mod of_run;
mod sign_off;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::{Value as Json, json};

use self::of_run::Other;
use super::{Format, Global, print};
use crate::error::{Context, Error, Result};
use crate::ledger::{Ledger, RunRow};
use crate::reconcile::report::csv::write_whole;
use crate::reconcile::report::document::Document;
use crate::reconcile::report::gather::{Gathered, gather};
use crate::reconcile::report::of_diff::{self, About, SpecText};
use crate::reconcile::report::{FILES, html, junit, markdown::markdown, parquet};
use crate::spec;
use crate::store::files::is_remote;

#[derive(Args, Debug)]
pub(super) struct ReportArgs {
    /// The run, by its id or as `last` [default: last]
    #[arg(value_name = "RUN", conflicts_with = "run")]
    named: Option<String>,
    /// The same as an option
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// The form; html and parquet are files, the others go to stdout where there is no --out
    #[arg(long = "as", value_name = "FORM", value_enum, default_value_t = Form::Html)]
    form: Form,
    /// Folder to write into [default: for html and parquet the run's own]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The summary of the whole migration that a team can sign, as a page and as Markdown
    #[arg(long, conflicts_with_all = ["named", "run"])]
    sign_off: bool,
}

/// `--as`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// report.html: one page that loads nothing
    Html,
    /// mismatches.csv, of other runs failures.csv; with --out all CSV files
    Csv,
    /// summary.json
    Json,
    /// junit.xml, for build servers
    Junit,
    /// report.md, for a pull request
    Markdown,
    /// mismatches.parquet
    Parquet,
}

pub(super) fn run(global: &Global, args: &ReportArgs) -> Result<u8> {
    let home = global.home();
    let unknown = |what: &str| {
        Error::usage(format!("{what} in {}", home.display()))
            .help(format!("`{} runs` shows the runs there are", global.command()))
    };
    let Some(ledger) = Ledger::open_reader(&home)? else { return Err(unknown("there is no run yet")) };
    if args.sign_off {
        return sign_off::run(global, args, &ledger);
    }
    let (runs, _) = ledger.runs_now(u32::MAX)?;
    let wanted = args.named.as_deref().or(args.run.as_deref()).unwrap_or("last");
    let found = runs.iter().find(|run| wanted == "last" || run.run_id == wanted);
    let run = found.ok_or_else(|| unknown(&format!("there is no run `{wanted}`")))?;
    let report = Report::of(global, &ledger, run)?;
    match args.form {
        Form::Html => {
            let folder = report.place(args)?;
            let path = folder.join(html::NAME);
            html::write(&path, &report.page, report.is_diff().then_some(report.folder.as_path()))?;
            written(global, &path)
        }
        Form::Csv => report.csv(global, args),
        Form::Json => give(global, args, "summary.json", &report.json()?),
        Form::Junit => give(global, args, "junit.xml", &junit::xml(&report.suites())?),
        Form::Markdown => {
            give(global, args, "report.md", &markdown(report.brief.as_ref().unwrap_or(&report.page)))
        }
        Form::Parquet => {
            report.needs_mismatches("parquet")?;
            let path = report.place(args)?.join(parquet::NAME);
            parquet::write(&report.folder, &path)?;
            written(global, &path)
        }
    }
}

/// What a run has.
struct Report {
    run: RunRow,
    /// Where its files are.
    folder: PathBuf,
    /// Of a diff: its summary and what its tables add up to.
    diff: Option<(Json, Gathered)>,
    /// Of another run.
    other: Option<Other>,
    page: Document,
    /// The short form, where it is another.
    brief: Option<Document>,
}

impl Report {
    fn of(global: &Global, ledger: &Ledger, run: &RunRow) -> Result<Self> {
        let folder = folder_of(ledger, run);
        let about = about(global);
        // One that did not come to its end has no summary, and never had.
        if run.command == "diff" && run.state == "done" {
            let summary = summary(global, run, &folder)?;
            let gathered = gather(&folder)?;
            let page = of_diff::page(&summary, &gathered, &about);
            let brief = Some(of_diff::brief(&summary, &gathered, &about));
            let diff = Some((summary, gathered));
            return Ok(Self { run: run.clone(), folder, diff, other: None, page, brief });
        }
        if run.folder.is_some() && !folder.is_dir() {
            return Err(gone(global, run, &folder));
        }
        let other = Other::read(ledger, run, &folder)?;
        let page = other.page(&about);
        Ok(Self { run: run.clone(), folder, diff: None, other: Some(other), page, brief: None })
    }

    fn is_diff(&self) -> bool {
        self.diff.is_some()
    }

    /// The folder to write a file into.
    fn place(&self, args: &ReportArgs) -> Result<PathBuf> {
        folder_to_write(args, &self.folder)
    }

    fn needs_mismatches(&self, form: &str) -> Result<()> {
        if self.is_diff() {
            return Ok(());
        }
        let Self { run, .. } = self;
        Err(Error::usage(format!(
            "--as {form}: {} is a `{}` ({}), which has no mismatches",
            run.run_id, run.command, run.state
        ))
        .help("name a diff that came to its end, or another form: html, json, junit, markdown"))
    }

    fn json(&self) -> Result<String> {
        let path = self.folder.join("summary.json");
        match &self.other {
            Some(other) if !path.is_file() => {
                Ok(serde_json::to_string_pretty(&other.json()).expect("facts are always JSON") + "\n")
            }
            _ => std::fs::read_to_string(&path).or_failed(|| format!("cannot read {}", path.display())),
        }
    }

    fn suites(&self) -> Vec<junit::Suite> {
        match (&self.diff, &self.other) {
            (Some((summary, gathered)), _) => junit::suites(summary, gathered),
            (None, Some(other)) => other.suites(),
            (None, None) => Vec::new(),
        }
    }

    /// Prints the run's first table, or copies all of them.
    fn csv(&self, global: &Global, args: &ReportArgs) -> Result<u8> {
        let there: Vec<&str> = FILES
            .into_iter()
            .chain(["conflicts.csv", "plan.csv"])
            .filter(|name| name.ends_with(".csv") && self.folder.join(name).is_file())
            .collect();
        let first = there.first().ok_or_else(|| {
            Error::usage(format!("--as csv: {} has no table, since nothing failed in it", self.run.run_id))
                .help("--as json has its counts")
        })?;
        if args.out.is_none() {
            return print_file(&self.folder.join(first));
        }
        let folder = self.place(args)?;
        for name in there {
            let (from, to) = (self.folder.join(name), folder.join(name));
            // Where both are one file, it is there already.
            if from.canonicalize().ok() != to.canonicalize().ok() {
                std::fs::copy(&from, &to).or_failed(|| format!("cannot write {}", to.display()))?;
            }
        }
        written(global, &folder)
    }
}

/// What reports say of the spec and of how recon is called.
fn about(global: &Global) -> About {
    let spec = spec::as_shown(&global.spec).map(|(digest, text)| SpecText { digest, text });
    About { command: global.command(), spec }
}

/// Where a run's files are on this machine. What was put into a bucket was copied from the run's own folder.
fn folder_of(ledger: &Ledger, run: &RunRow) -> PathBuf {
    let own = ledger.home().join("runs").join(&run.run_id);
    run.folder.as_ref().map(PathBuf::from).filter(|folder| !is_remote(folder)).unwrap_or(own)
}

/// The summary of a diff, which must be of this very run.
fn summary(global: &Global, run: &RunRow, folder: &Path) -> Result<Json> {
    let path = folder.join("summary.json");
    let text = std::fs::read(&path).map_err(|_| gone(global, run, folder))?;
    let summary: Json =
        serde_json::from_slice(&text).or_failed(|| format!("{} is damaged", path.display()))?;
    match summary["run_id"].as_str() {
        Some(id) if id == run.run_id => Ok(summary),
        _ => Err(gone(global, run, folder)),
    }
}

fn gone(global: &Global, run: &RunRow, folder: &Path) -> Error {
    let text = format!("the files of run {} are no longer in {}", run.run_id, folder.display());
    let command = global.command();
    Error::failed(text).help(match run.command.as_str() {
        "diff" => format!("`{command} diff` compares again what is staged, and writes them anew"),
        _ => format!("put the folder back; `{command} status` says what the ledger knows without it"),
    })
}

/// The folder that a report is written into; made where there is none.
fn folder_to_write(args: &ReportArgs, own: &Path) -> Result<PathBuf> {
    let folder = args.out.as_deref().unwrap_or(own);
    if is_remote(folder) {
        return Err(Error::usage(format!(
            "--out {}: reports of a run are written on this machine",
            folder.display()
        ))
        .help("name a folder and copy it; `recon diff --out s3://…` writes there itself"));
    }
    let fail = || format!("cannot write {}", folder.display());
    std::fs::create_dir_all(folder)
        .or_failed(fail)
        .map_err(|e| e.help("name another folder with --out DIR"))?;
    Ok(folder.to_path_buf())
}

/// Says where something was written.
fn written(global: &Global, path: &Path) -> Result<u8> {
    let path = path.display().to_string();
    match global.format {
        Format::Json => print(&json!({ "written": path }).to_string()),
        Format::Text => print(&path),
    }
}

/// Prints a text, or writes it into the folder that was named.
fn give(global: &Global, args: &ReportArgs, name: &str, text: &str) -> Result<u8> {
    let Some(out) = &args.out else { return raw(|out| out.write_all(text.as_bytes()), text) };
    let path = folder_to_write(args, out)?.join(name);
    write_whole(&path, text)?;
    written(global, &path)
}

fn print_file(path: &Path) -> Result<u8> {
    let fail = || format!("cannot read {}", path.display());
    if std::io::stdout().is_terminal() {
        return print(&std::fs::read_to_string(path).or_failed(fail)?);
    }
    let mut file = std::fs::File::open(path).or_failed(fail)?;
    raw(|out| std::io::copy(&mut file, out).map(|_| ()), "")
}

/// Writes to stdout byte for byte, since a program reads it; for a terminal, which acts on control characters, `text` without them.
fn raw(write: impl FnOnce(&mut std::io::StdoutLock<'_>) -> std::io::Result<()>, text: &str) -> Result<u8> {
    let mut out = std::io::stdout().lock();
    if out.is_terminal() {
        drop(out);
        return print(text);
    }
    match write(&mut out).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::failed("cannot write to stdout").caused_by(e))
        }
        _ => Ok(0),
    }
}
