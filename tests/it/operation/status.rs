//! `recon status` of runs that write, also where there is much to add up.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::{Case, eventually};

#[test]
fn a_run_that_goes_on_is_shown_entity_by_entity() {
    let case = Case::with(400, &[3], "");
    let run = case.spawn(&["migrate", "--batch-size", "10", "--rate", "100"]);
    let status = eventually("the run says how far it is", || {
        let status = case.json(&["status"], 0);
        (status["progress"]["rows"].as_u64()? >= 100).then_some(status)
    });
    let image = &status["written"]["entities"]["image"];
    assert_eq!(
        (&status["written"]["state"], &image["state"]),
        (&"running".into(), &"running".into()),
        "{status}"
    );
    let number = |name: &str| image[name].as_u64().unwrap_or_else(|| panic!("no {name}: {status}"));
    assert_eq!((number("records"), number("failed"), number("batches")), (400, 1, 40));
    assert_eq!(number("migrated") + number("failed") + number("pending"), 400, "{status}");
    assert!(number("migrated") >= 99 && number("pending") > 0 && number("seconds_left") <= 60, "{status}");
    assert_eq!(status["progress"]["planned"], 400, "{status}");
    assert!(
        status["written"]["records_per_second"].as_u64().is_some_and(|n| (10..=200).contains(&n)),
        "{status}"
    );
    let text = case.recon(&["status"]).stdout;
    for words in [
        "running: recon migrate, since ",
        "writing 2",
        " records a second",
        " image ",
        " running ",
        "time left",
    ] {
        assert!(text.contains(words), "no `{words}`:\n{text}");
    }
    assert_eq!(run.ends().code, 1);
    let limited = case.json(&["migrate", "--limit", "0"], 1);
    assert_eq!(limited["entities"]["image"]["pending"], 0, "{limited}");
}

#[test]
fn pending_records_are_named_with_what_writes_them() {
    let case = Case::new(100);
    assert_eq!(case.recon(&["migrate", "--limit", "30"]).code, 0);
    let text = case.recon(&["status"]).stdout;
    assert!(text.contains(" migrate        (the records that are pending)"), "{text}");
    assert_eq!(case.json(&["status"], 0)["written"]["entities"]["image"]["pending"], 70);
    assert_eq!(case.json(&["status", "-e", "image"], 0)["written"]["entities"]["image"]["migrated"], 30);
}

/// Ten million records in twenty thousand batches of one run, as many in runs of before, and many exceptions.
#[test]
fn a_large_ledger_is_added_up_at_once_while_somebody_writes_to_it() {
    let case = Case::new(1);
    assert_eq!(case.recon(&["migrate"]).code, 0);
    let path = case.project.path("home/ledger.db");
    let ledger = Connection::open(&path).expect("the ledger");
    ledger
        .execute_batch(
            "begin;
             create temp table n as with recursive n (value) as (select 0 union all select value + 1 from n where value < 19999)
             select value from n;
             insert into runs (run_id, command, spec_digest, state, epoch, started_at, ended_at, exit_code)
             select printf('3000010%d-000000000-migrate-0', value), 'migrate', '', 'failed', '', '3000-01-01T00:00:00Z', '3000-01-01T00:00:01Z', 4
             from n where value between 1 and 3;
             insert into migrations select printf('3000010%d-000000000-migrate-0', value), 'image', 'migrate', 1, '', '', '{}', 10000000,
               20000, 0, 'running', 20000, 10000000, 9980000, 0, 0, 20000
             from n where value between 1 and 3;
             insert into batches (run_id, entity, batch, records, hash, state, inserted, failed)
             select m.run_id, 'image', value, 500, printf('%032x', value), 'APPLIED', 499, 1
             from migrations m, n where m.records = 10000000;
             insert into exceptions (run_id, entity, batch, pos, generation, key, key_hash, stage, class, code, message, attempts)
             select run_id, entity, batch, batch * 500, 1, '[\"1\"]', hash, 'migrate', 'permanent', '22001', 'too long', 1 from batches
             where records = 500;
             commit;",
        )
        .expect("a large ledger");
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let writer = std::thread::spawn(move || {
        let ledger = Connection::open(path).expect("the ledger");
        ledger.busy_timeout(Duration::from_secs(5)).expect("a ledger");
        let mut n = 0;
        while stopped.try_recv().is_err() {
            n += 1;
            let sql =
                "update batches set hash = ? where run_id = '30000103-000000000-migrate-0' and batch = ?";
            ledger.execute(sql, (format!("{n:032x}"), n % 20_000)).expect("a write");
        }
    });
    let mut times = Vec::new();
    for _ in 0..7 {
        let began = Instant::now();
        let status = case.json(&["status"], 0);
        times.push(began.elapsed());
        let image = &status["written"]["entities"]["image"];
        assert_eq!((&image["migrated"], &image["failed"]), (&9_980_000.into(), &20_000.into()), "{status}");
        assert_eq!(image["failed_in_all_runs"], 60_000, "{status}");
    }
    stop.send(()).expect("the writer is there");
    writer.join().expect("the writer ended well");
    times.sort();
    // For whoever measures; what a busy machine takes says nothing.
    println!("recon status: {times:?}");
}

#[test]
fn a_run_that_never_began_to_write_is_begun_again() {
    let case = Case::new(10);
    case.database.run("alter table images rename to away");
    assert_ne!(case.recon(&["migrate"]).code, 0);
    let text = case.recon(&["status"]).stdout;
    assert!(text.contains("next: recon --home home migrate\n"), "{text}");
}
