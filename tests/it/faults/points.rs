//! Killed at every fail point, at its first and at later passes, then run again: the results are those of an undisturbed run.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::process::run_with_fault;
use super::project::{FILES, Project, Results, copy_home, recorded};

const STAGE: &[&str] = &["stage", "--format", "json"];
const DIFF: &[&str] = &["diff", "--format", "json"];
/// The passes at which a point kills; the later ones only where it is passed so often.
const PASSES: [u32; 4] = [1, 2, 3, 7];

/// What a command finds when it is killed.
struct Situation {
    project: Project,
    /// Copied for each kill; not there where the command begins with nothing.
    before: PathBuf,
    command: &'static [&'static str],
    undisturbed: Results,
}

impl Situation {
    /// A stage into an empty home.
    fn first_stage(broken: bool) -> Self {
        let project = Project::new(200, broken);
        let undisturbed = project.results(&project.home("undisturbed"));
        Self { before: project.home("none"), project, command: STAGE, undisturbed }
    }

    /// A stage after files were added that come before the staged ones.
    fn grown() -> Self {
        let project = Project::new(200, true);
        let before = project.home("before");
        project.hide_first_files();
        project.stage(&before).exits(3);
        project.show_first_files();
        let undisturbed = project.results(&project.home("undisturbed"));
        Self { project, before, command: STAGE, undisturbed }
    }

    /// A diff of what is staged.
    fn diff() -> Self {
        let project = Project::new(200, true);
        let before = project.home("before");
        project.stage(&before).exits(3);
        let undisturbed = project.results(&project.home("undisturbed"));
        Self { project, before, command: DIFF, undisturbed }
    }

    /// A diff of what is staged, with an entity whose records are folded.
    fn folded() -> Self {
        let project = Project::new(200, true);
        let spec = project.path().join("recon.toml");
        let more = "[entities.folded]\nsource = \"orders_old\"\ntarget = \"items_new\"\nkey = [\"pk\"]\ngroup_by = [\"pk\"]\n\
                    [entities.folded.fields]\npk = \"id[1:1]\"\nsize = { from = \"count(*)\", type = \"int\" }\n";
        fs::write(&spec, fs::read_to_string(&spec).expect("a spec") + more).expect("a file");
        let before = project.home("before");
        project.stage(&before).exits(3);
        let undisturbed = project.results(&project.home("undisturbed"));
        Self { project, before, command: DIFF, undisturbed }
    }

    /// Kills at every point and returns the points that were passed.
    fn kill_everywhere(&self, points: &BTreeSet<String>) -> BTreeSet<String> {
        points.iter().filter(|point| self.kill_at(point)).cloned().collect()
    }

    fn kill_at(&self, point: &str) -> bool {
        for (i, pass) in PASSES.into_iter().enumerate() {
            let fault = format!("{point}:{pass}");
            let home = self.project.home(&fault.replace(':', "-"));
            if self.before.exists() {
                copy_home(&self.before, &home);
            }
            let ended = run_with_fault(self.project.path(), &home, self.command, &fault);
            if !ended.was_killed() {
                fs::remove_dir_all(&home).expect("the home goes");
                return i > 0;
            }
            self.resume(&home, &fault);
            fs::remove_dir_all(&home).expect("the home goes");
        }
        true
    }

    fn resume(&self, home: &Path, fault: &str) {
        let known = recorded(home);
        let staged = self.project.stage(home);
        for (dataset, read) in staged.by_dataset("units_read") {
            let before = known.iter().filter(|(name, _)| *name == dataset).count() as u64;
            assert_eq!(
                read,
                FILES - before,
                "{fault}: files of `{dataset}` read though {before} are recorded"
            );
        }
        let results = self.project.results_after(&staged, home);
        assert_eq!(results, self.undisturbed, "after a kill at {fault}");
    }
}

/// The names in `fault::point("…")` of the sources.
pub(crate) fn points() -> BTreeSet<String> {
    let pattern = format!("{}/src/**/*.rs", env!("CARGO_MANIFEST_DIR"));
    let mut names = BTreeSet::new();
    for path in glob::glob(&pattern).expect("a glob") {
        let text = fs::read_to_string(path.expect("a path")).expect("a source file");
        for piece in text.split("fault::point(").skip(1) {
            let name = piece.split('"').nth(1).expect("a point's name is a literal");
            names.insert(name.to_owned());
        }
    }
    assert!(names.len() > 10, "{names:?}");
    names
}

/// What the names of points begin with that only a run passes which writes to a target.
const OF_WRITING: [&str; 9] =
    ["migrate.", "plan.", "manifest.", "postgres.", "mysql.", "sqlite.", "dynamodb.", "files.", "rollback."];

/// The points that a run passes which writes to a target of some kind.
pub(super) fn points_of_writing(target: &str) -> BTreeSet<String> {
    let of = |point: &String| {
        let first = point.split('.').next().unwrap_or_default();
        ["migrate", "plan", "manifest", target].contains(&first)
    };
    points().into_iter().filter(of).collect()
}

#[test]
fn killed_at_every_fail_point_nothing_is_lost() {
    let is_of_writing = |point: &String| OF_WRITING.iter().any(|prefix| point.starts_with(prefix));
    let points: BTreeSet<String> = points().into_iter().filter(|point| !is_of_writing(point)).collect();
    let makers: [fn() -> Situation; 5] = [
        || Situation::first_stage(false),
        || Situation::first_stage(true),
        Situation::grown,
        Situation::diff,
        Situation::folded,
    ];
    let passed: BTreeSet<String> = std::thread::scope(|scope| {
        let points = &points;
        let threads: Vec<_> =
            makers.into_iter().map(|make| scope.spawn(move || make().kill_everywhere(points))).collect();
        threads.into_iter().flat_map(|t| t.join().expect("no situation failed")).collect()
    });
    let uncovered: Vec<_> = points.difference(&passed).collect();
    assert!(uncovered.is_empty(), "fail points that no command passed: {uncovered:?}");
}

#[test]
fn files_added_to_an_unfinished_stage_do_not_take_another_files_place() {
    let project = Project::new(200, false);
    let undisturbed = project.results(&project.home("undisturbed"));
    for pass in 1..=9 {
        let home = project.home(&format!("killed-{pass}"));
        project.hide_first_files();
        let fault = format!("stage.after-ledger:{pass}");
        assert!(run_with_fault(project.path(), &home, STAGE, &fault).was_killed(), "{fault}");
        project.show_first_files();
        let known = recorded(&home).len() as u64;
        let staged = project.stage(&home).exits(0);
        assert_eq!(staged.sum("units_read"), 4 * FILES - known, "{fault}");
        assert_eq!(project.results_after(&staged, &home), undisturbed, "{fault}");
    }
}
