//! Runs whose records are folded, killed while they fold: no record is lost, written twice, or made of some of its rows.

use std::process::Command;

use crate::group_by::{items, orders};
use crate::project::Project;
use crate::servers::postgres::Database;

/// Runs recon on a project, killed at a fail point where one is given.
fn run(project: &Project, database: &Database, args: &[&str], fault: Option<&str>) -> Option<i32> {
    Command::new(env!("CARGO_BIN_EXE_recon"))
        .args(["--spec", "recon.toml", "--home", "home", "--no-progress"])
        .args(args)
        .current_dir(project.path(""))
        .env("DATABASE_URL", &database.url)
        .envs(fault.map(|fault| ("RECON_FAULT", fault)))
        .output()
        .expect("it runs")
        .status
        .code()
}

#[test]
fn killed_while_it_folds_a_run_writes_whole_records_once() {
    let migrate = ["migrate", "--batch-size", "10", "--concurrency", "1"];
    let points: Vec<String> =
        super::points::points().into_iter().filter(|point| point.starts_with("fold.")).collect();
    assert_eq!(points.len(), 2, "{points:?}");
    // The last ones come when the fold is there, and it is lost before the run goes on.
    let later = ["migrate.before-planned", "migrate.intent:3", "postgres.before-commit:3"].map(str::to_owned);
    for point in points.into_iter().chain(later) {
        let (project, database) = orders(&items(60));
        assert_eq!(run(&project, &database, &migrate, Some(&point)), None, "{point}");
        if !point.starts_with("fold.") {
            std::fs::remove_dir_all(project.path("home/folds")).expect("a fold");
        }
        assert_eq!(run(&project, &database, &migrate, None), Some(0), "{point}");
        let sums = "select count(*), sum(lines), sum(total) from orders";
        assert_eq!(database.run(sums), "60|120|3640.00\n", "{point}");
        for args in [&["stage", "target"][..], &["diff"]] {
            assert_eq!(run(&project, &database, args, None), Some(0), "{point} {args:?}");
        }
        let left = glob::glob(&format!("{}/**/*.tmp", project.path("home").display())).expect("a glob");
        assert_eq!(left.count(), 0, "{point}");
    }
}
