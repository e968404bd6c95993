//! A defect of recon's own, on the main thread and on a worker's.

use super::process::{recon, run};
use super::project::Project;

#[test]
fn a_panic_ends_its_run_as_failed_and_the_next_one_works() {
    let project = Project::new(200, false);
    let undisturbed = project.results(&project.home("undisturbed"));
    for (command, point) in
        [("stage", "run.begun"), ("stage", "stage.batch-written"), ("diff", "diff.classified")]
    {
        let home = project.home(point);
        if command == "diff" {
            project.stage(&home).exits(0);
        }
        let mut child = recon(project.path(), &home, &[command]);
        child.env("RECON_FAULT", point).env("RECON_FAULT_DOES", "panic");
        let ended = child.output().expect("recon starts");
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(4), "{point}: {stderr}");
        assert!(stderr.contains("error: a defect of recon itself"), "{point}: {stderr}");
        assert!(stderr.contains("report it"), "{point}: {stderr}");
        let runs = run(project.path(), &home, &["runs", "--format", "json"]).exits(0).json();
        assert_eq!(
            (&runs[0]["command"], &runs[0]["exit_code"]),
            (&command.into(), &4.into()),
            "{point}: {runs}"
        );
        assert_eq!(project.results(&home), undisturbed, "{point}");
    }
}
