//! Real signals in the middle of a run into PostgreSQL.

use super::{Case, eventually};

const SLOWLY: [&str; 7] = ["migrate", "--batch-size", "10", "--rate", "100", "--concurrency", "2"];

#[test]
fn once_finishes_the_batches_under_way_and_the_next_run_goes_on() {
    for signal in ["INT", "TERM"] {
        let case = Case::new(300);
        let run = case.spawn(&SLOWLY);
        case.wait_for(50);
        run.signal(signal);
        let ran = run.ends();
        assert_eq!(ran.code, 3, "{ran:?}");
        for words in ["stopping after the step under way", "interrupted", "run the same command again"] {
            assert!(ran.stderr.contains(words), "no `{words}`: {ran:?}");
        }
        let written = case.written();
        assert!(
            (50..300).contains(&written) && written.is_multiple_of(10),
            "{written} records: not whole batches"
        );
        let status = case.json(&["status"], 0);
        let image = &status["written"]["entities"]["image"];
        assert_eq!(
            (&status["last_run"]["state"], &image["state"]),
            (&"interrupted".into(), &"running".into())
        );
        // What was under way is known to be written, not only found to be.
        assert_eq!(image["migrated"], written, "{status}");
        assert_eq!(image["pending"], 300 - written, "{status}");
        let text = case.recon(&["status"]).stdout;
        assert!(text.contains(" migrate        (goes on with it)"), "{text}");
        let told = case.json(&["migrate"], 0);
        assert_eq!(told["entities"]["image"]["migrated"], 300, "{told}");
        case.wrote_once(300);
    }
}

#[test]
fn twice_stops_at_once_and_nothing_is_lost_or_written_twice() {
    let case = Case::new(200);
    // A batch that would take a minute.
    case.database.run(
        "create function slow() returns trigger language plpgsql as $$ begin if new.id = 105 then perform pg_sleep(60); end if; \
         return new; end $$; create trigger slow before insert on images for each row execute function slow();",
    );
    let run = case.spawn(&["migrate", "--batch-size", "10", "--concurrency", "1"]);
    eventually("the slow batch is under way", || {
        let busy = case.database.run(
            "select count(*) from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()",
        );
        (busy == "1\n").then_some(())
    });
    let began = std::time::Instant::now();
    run.signal("INT");
    std::thread::sleep(std::time::Duration::from_millis(500));
    let asked = case.json(&["status"], 0);
    assert!(asked["running"].is_string(), "once waits for the batch under way: {asked}");
    run.signal("INT");
    let ran = run.ends();
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(began.elapsed().as_secs() < 20, "twice waited for the batch");
    // The server has not noticed yet that nobody is there, and waits for the minute to pass.
    case.database.run(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()",
    );
    case.database.run("drop trigger slow on images");
    let told = case.json(&["migrate"], 0);
    assert_eq!(told["entities"]["image"]["migrated"], 200, "{told}");
    case.wrote_once(200);
}
