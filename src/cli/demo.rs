//! `recon demo`: makes a small project with planted differences, runs the commands on it, and holds what they found
//! against what was planted.

mod files;
mod records;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::{Ended, Format, Global, diff, print, stage};
use crate::error::{Context, Error, Result};
use crate::ledger::Ledger;
use crate::reconcile::diff::FieldResult;
use crate::reconcile::report::found::{Found, found};
use crate::reconcile::report::terminal::{shell, thousands};
use records::{IMAGES, Plant, USERS, expected, planted};

/// The spec of the project.
const SPEC: &str = include_str!("demo/recon.toml");
/// Tells a folder that an earlier demonstration made from any other.
const MARK: &str = ".made-by-recon-demo";
/// Everything that a demonstration makes, besides the mark.
const FOLDERS: [&str; 2] = ["export", ".recon"];
const FILES: [&str; 2] = ["target.csv", "recon.toml"];
/// Findings beyond what was planted that are shown, should there ever be any.
const SURPRISES_MAX: usize = 5;

#[derive(Args, Debug)]
pub(super) struct DemoArgs {
    /// Where to make the project; what an earlier demo made there is made anew
    #[arg(value_name = "DIR", default_value = "recon-demo")]
    dir: PathBuf,
}

/// A plant beside what recon found of it.
struct Told {
    plant: Plant,
    planted: u64,
    found: u64,
}

/// What was planted against what was found.
struct Verdict {
    told: Vec<Told>,
    /// Findings that nobody planted.
    surprises: Vec<Found>,
}

impl Verdict {
    fn as_planted(&self) -> bool {
        self.surprises.is_empty() && self.told.iter().all(|t| t.planted == t.found)
    }
}

pub(super) fn run(global: &Global, args: &DemoArgs) -> Result<u8> {
    let other_spec = global.spec != Path::new("recon.toml");
    if other_spec || global.home.is_some() || !global.entity.is_empty() {
        return Err(Error::usage(
            "`recon demo` makes a project of its own: it takes no --spec, --home or --entity",
        )
        .help("name its folder: recon demo DIR"));
    }
    let text = global.format == Format::Text;
    make_project(&args.dir)?;
    let own = Global { spec: args.dir.join("recon.toml"), ..global.clone() };
    if text {
        print(&introduction(&args.dir))?;
    }
    let staged = stage::execute(&own, &stage::StageArgs::default())?;
    if text {
        stage::show(&own, &staged.result)?;
        print(&format!("\n$ recon diff --spec {}", own.spec.display()))?;
    }
    let compared = diff::execute(&own, &diff::DiffArgs::default())?;
    let verdict = verdict(&everything(&compared.result)?, tolerated(&compared.result));
    if text {
        print(&diff::text(&own, &compared))?;
        print(&explanation(&own, &args.dir, &compared, &verdict))?;
    } else {
        print(&as_json(&args.dir, &compared, &verdict))?;
    }
    if verdict.as_planted() {
        return Ok(0);
    }
    Err(Error::failed("recon did not find exactly what was planted")
        .help("this is a defect of recon; please report it with the output above"))
}

/// Makes the project's files, in a folder that is new, empty, or of an earlier demonstration.
fn make_project(dir: &Path) -> Result<()> {
    let exists = dir.symlink_metadata().is_ok();
    if exists && !dir.is_dir() {
        return Err(Error::usage(format!("{} is no folder", dir.display()))
            .help("name a folder that is new or empty: recon demo DIR"));
    }
    if exists && !dir.join(MARK).is_file() {
        let mut entries = fs::read_dir(dir).or_failed(|| format!("cannot list {}", dir.display()))?;
        if entries.next().is_some() {
            return Err(Error::usage(format!("{} is not empty, and no earlier demo made it", dir.display()))
                .help("name a folder that is new or empty: recon demo DIR"));
        }
    }
    if let Some(holder) = Ledger::holder(&dir.join(".recon")) {
        return Err(Error::failed(format!("{} is in use: {}", dir.display(), holder.trim()))
            .help("wait until that run ends, or name another folder: recon demo DIR"));
    }
    files::make_folder(dir)?;
    files::write(&dir.join(MARK), b"recon demo makes the contents of this folder anew\n")?;
    // Only what a demonstration makes: files that somebody put beside it stay.
    for name in FOLDERS {
        remove(&dir.join(name), |path| fs::remove_dir_all(path))?;
    }
    for name in FILES {
        remove(&dir.join(name), |path| fs::remove_file(path))?;
    }
    files::write_export(&dir.join("export"))?;
    files::write_target(&dir.join("target.csv"))?;
    files::write(&dir.join("recon.toml"), SPEC.as_bytes())
}

fn remove(path: &Path, how: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<()> {
    match how(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::failed(format!("cannot remove {}", path.display())).caused_by(error))
        }
        _ => Ok(()),
    }
}

/// Everything that was found, of all entities.
fn everything(done: &diff::Done) -> Result<BTreeSet<Found>> {
    let mut all = BTreeSet::new();
    for result in &done.results {
        all.extend(found(result, &done.warehouse)?);
    }
    Ok(all)
}

/// Holds every finding against every plant, record by record.
fn verdict(all: &BTreeSet<Found>, tolerated: u64) -> Verdict {
    let told = Plant::ALL.map(|plant| {
        let found = match plant.finding() {
            Some(_) => records::found_of(plant, all),
            None => tolerated,
        };
        Told { plant, planted: planted(plant), found }
    });
    Verdict { told: told.into(), surprises: all.difference(&expected()).cloned().collect() }
}

/// Pairs that differ and are equal by their rule.
fn tolerated(done: &diff::Done) -> u64 {
    done.results.iter().flat_map(|result| &result.fields).map(FieldResult::equal_by_rule).sum()
}

fn introduction(dir: &Path) -> String {
    let dir = dir.display();
    let (images, users) = (thousands(IMAGES.into()), thousands(USERS.into()));
    format!(
        "Made {dir} with a small migration:\n  \
         {dir}/export      the source, a DynamoDB export: {images} images and {users} users\n  \
         {dir}/target.csv  the target, the images as a migration is said to have left them\n  \
         {dir}/recon.toml  the spec, commented: what the two sides are and how they correspond\n\n\
         $ recon stage --spec {dir}/recon.toml"
    )
}

fn explanation(own: &Global, dir: &Path, compared: &Ended<diff::Done>, verdict: &Verdict) -> String {
    let mut out = "\nWhat was planted in the target, and what recon found of it\n".to_owned();
    for told in &verdict.told {
        let (found, planted) = (thousands(told.found), thousands(told.planted));
        let what = if told.planted == 1 { "image " } else { "images" };
        let mark = if told.found == told.planted { "" } else { "   <- not as planted" };
        out.push_str(&format!("  {found:>3} of {planted:>3} {what} {}{mark}\n", told.plant.words()));
    }
    for surprise in verdict.surprises.iter().take(SURPRISES_MAX) {
        let key: Vec<&str> = surprise.key.iter().map(|k| k.as_deref().unwrap_or("NULL")).collect();
        out.push_str(&format!("  {}: {:?}, which nobody planted\n", key.join(" "), surprise.finding));
    }
    if !verdict.as_planted() {
        let more = verdict.surprises.len().saturating_sub(SURPRISES_MAX);
        out.push_str(&format!("This is not what was planted ({more} more findings are not shown).\n"));
        return out;
    }
    let matched: u64 = compared.result.results.iter().map(|r| r.counts.matched).sum();
    out.push_str(&format!(
        "All of it was found, and nothing else. {} records are equal, although the target writes numbers, times\n\
         and sets in another way and in another order.\n\n{}\n\n{}",
        thousands(matched),
        about_exit_code(compared.code),
        next(own, dir, &compared.result.folder)
    ));
    out
}

fn about_exit_code(code: u8) -> String {
    match code {
        3 => "Here `recon diff` ends with exit code 3: one record could not be compared, and incomplete is never\n\
              called equal. With differences alone it ends with 1, without any with 0."
            .to_owned(),
        other => format!("Here `recon diff` ends with exit code {other}."),
    }
}

fn next(own: &Global, dir: &Path, reports: &Path) -> String {
    let (command, dir, reports) = (own.command(), dir.display(), reports.display());
    format!(
        "next, a closer look:\n{}  \
         {command} show img-00500      one record, both sides, field by field\n  \
         {command} status              where things are\n  \
         less {reports}/mismatches.csv\n\
         next, your own data: describe your two sides as {dir}/recon.toml does, then\n  \
         recon check && recon stage && recon diff\n",
        alias()
    )
}

/// A line that makes `recon` a command, where the shell does not know it yet.
fn alias() -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let known = std::env::split_paths(&path).any(|folder| folder.join("recon").is_file());
    match std::env::current_exe() {
        Ok(own) if !known => format!("  alias recon={}\n", shell(&own.display().to_string())),
        _ => String::new(),
    }
}

fn as_json(dir: &Path, compared: &Ended<diff::Done>, verdict: &Verdict) -> String {
    let told: Vec<_> = verdict
        .told
        .iter()
        .map(|t| json!({ "what": format!("images {}", t.plant.words()), "planted": t.planted, "found": t.found }))
        .collect();
    let facts = json!({
        "folder": dir.display().to_string(),
        "reports": compared.result.folder.display().to_string(),
        "planted": told,
        "surprises": verdict.surprises.len(),
        "as_planted": verdict.as_planted(),
        "diff_exit_code": compared.code,
        "diff": compared.result.summary,
    });
    serde_json::to_string_pretty(&facts).expect("facts are always JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::report::found::Finding;

    fn as_planted(all: &BTreeSet<Found>, tolerated: u64) -> bool {
        verdict(all, tolerated).as_planted()
    }

    #[test]
    fn only_exactly_what_was_planted_will_do() {
        let all = expected();
        let tolerated = planted(Plant::Tolerated);
        assert!(as_planted(&all, tolerated));
        assert!(!as_planted(&all, tolerated - 1), "a tolerated pair too few");
        for one in &all {
            let mut less = all.clone();
            less.remove(one);
            assert!(!as_planted(&less, tolerated), "{one:?} was not found");
        }
        let mut more = all.clone();
        more.insert(Found { key: vec![Some("img-00001".to_owned())], finding: Finding::Missing });
        assert!(!as_planted(&more, tolerated), "something that nobody planted");
        let of_another_kind = all.iter().map(|f| Found { finding: Finding::Extra, ..f.clone() }).collect();
        assert!(!as_planted(&of_another_kind, tolerated));
    }
}
