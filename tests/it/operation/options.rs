//! Each option of how a run goes about it does what it says.

use std::time::{Duration, Instant};

use super::Case;

#[test]
fn a_number_of_errors_stops_the_run_and_the_next_goes_on() {
    let case = Case::with(400, &[5, 15, 25, 35, 395], "");
    let one = ["migrate", "--batch-size", "10", "--concurrency", "1"];
    let limited = [&one[..], &["--max-errors", "2"]].concat();
    let ran = case.recon(&limited);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.stderr.contains("3 records did not go through: more than --max-errors allows"), "{ran:?}");
    assert_eq!(case.written(), 27, "three batches, and no further one");
    let status = case.json(&["status"], 0);
    assert_eq!(status["last_run"]["state"], "failed");
    // Those of before are not counted again: they may be mended, and nobody would get on.
    let ran = case.recon(&limited);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(case.written(), 395);
    let status = case.json(&["status"], 0);
    let image = &status["written"]["entities"]["image"];
    assert_eq!(
        (&image["failed"], &image["migrated"], &image["pending"]),
        (&5.into(), &395.into(), &0.into())
    );
    let text = case.recon(&["status"]).stdout;
    assert!(text.contains(" replay        (once the cause is mended"), "{text}");
    case.database.run("alter table images alter name type text");
    let told = case.json(&["replay"], 0);
    assert_eq!(told["entities"]["image"]["migrated"], 5, "{told}");
    case.wrote_once(400);
    let text = case.recon(&["status"]).stdout;
    assert!(text.contains(" stage target        (then diff)"), "{text}");
}

#[test]
fn a_share_of_errors_is_of_the_records_planned() {
    let case = Case::with(400, &[1, 2, 3, 4, 5, 6, 7, 8, 9], "");
    let one = ["migrate", "--batch-size", "5", "--concurrency", "1", "--max-errors"];
    // 1 % of 400 are four: the second batch has the fifth.
    let ran = case.recon(&[&one[..], &["1%"]].concat());
    assert_eq!(ran.code, 4, "{ran:?}");
    assert_eq!(case.written(), 1);
    let ran = case.recon(&[&one[..], &["1%"]].concat());
    assert_eq!((ran.code, case.written()), (1, 391), "{ran:?}");
    let case = Case::with(400, &[1, 2, 3, 4], "");
    let ran = case.recon(&[&one[..], &["1%"]].concat());
    assert_eq!((ran.code, case.written()), (1, 396), "as many as allowed: {ran:?}");
}

#[test]
fn a_rate_is_kept_and_said_to_limit() {
    let case = Case::new(300);
    let began = Instant::now();
    let ran = case.recon(&["migrate", "--batch-size", "50", "--rate", "200", "--log-every", "100"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    // The first batch goes out at once.
    assert!(began.elapsed() >= Duration::from_millis(1250), "{:?}", began.elapsed());
    assert_eq!(case.written(), 300);
    assert!(ran.stderr.contains("migrate: ") && ran.stderr.contains(" of 300 records, "), "{ran:?}");
    assert!(ran.stderr.contains("--rate limits"), "{ran:?}");
    for quiet in [&["--log-every", "0"][..], &["--log-every", "1", "--quiet"], &[]] {
        let case = Case::new(50);
        let ran = case.recon(&[&["migrate", "--batch-size", "10"], quiet].concat());
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{quiet:?}");
    }
}

/// The store refuses so many times, as it does to end a deadlock.
fn busy(case: &Case, times: u32) {
    case.database.run(&format!(
        "create sequence tries; create function busy() returns trigger language plpgsql as $$ begin \
         if nextval('tries') <= {times} then raise exception 'busy' using errcode = '40P01'; end if; return null; end $$; \
         create trigger busy before insert on images for each statement execute function busy();"
    ));
}

#[test]
fn a_busy_store_is_tried_so_often_and_after_such_pauses() {
    let case = Case::new(30);
    busy(&case, 2);
    let began = Instant::now();
    let ran = case.recon(&["migrate", "--retries", "2", "--backoff", "400ms", "--log-every", "1"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    // 400 and 800 ms, each a quarter less at most.
    assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
    assert!(ran.stderr.contains("2 tried again"), "{ran:?}");
    case.wrote_once(30);
    let case = Case::new(30);
    busy(&case, 2);
    let told = case.json(&["migrate", "--retries", "1", "--backoff", "1ms"], 1);
    assert_eq!(told["entities"]["image"]["failed"], 30, "{told}");
    let told = case.json(&["replay", "--class", "retryable"], 0);
    assert_eq!(told["entities"]["image"]["migrated"], 30, "{told}");
    case.wrote_once(30);
}

#[test]
fn so_many_batches_of_such_a_size_are_under_way_at_once() {
    for (concurrency, sessions) in [("1", "1\n"), ("3", "3\n")] {
        let case = Case::new(90);
        case.database.run(
            "create function slow() returns trigger language plpgsql as $$ begin perform pg_sleep(0.2); return null; end $$; \
             create trigger slow after insert on images for each statement execute function slow();",
        );
        let ran = case.recon(&["migrate", "--batch-size", "10", "--concurrency", concurrency]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(case.database.run("select count(distinct session) from writes"), sessions);
        let status = case.json(&["status"], 0);
        let image = &status["written"]["entities"]["image"];
        assert_eq!((&image["batches"], &image["batches_done"]), (&9.into(), &9.into()), "{status}");
    }
}
