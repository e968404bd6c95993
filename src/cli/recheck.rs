//! `recon diff --recheck`: while stores are in use, a record may be compared with one side of before a change and one of after
//! it. So what differs is read again, by key, until it is equal or the rounds are used up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Global;
use super::afresh::{Afresh, has_live_side};
use crate::error::{ErrorKind, Result};
use crate::event::Progress;
use crate::mapping::fold::as_read;
use crate::mapping::side::Staged;
use crate::reconcile::again::{RECORDS_MAX, records};
use crate::reconcile::diff::{Bench, EntityResult, diff_entity};

/// Between two looks at whether somebody wants to stop.
const TICK: Duration = Duration::from_millis(50);

/// How often, and after how long, differing records are looked at again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rounds {
    pub(super) count: u32,
    pub(super) delay: Duration,
}

/// Looks at the differing records again.
pub(super) fn recheck(
    global: &Global,
    bench: &Bench<'_>,
    progress: &Arc<Progress>,
    rounds: Rounds,
    results: &mut [EntityResult],
) -> Result<()> {
    let mut afresh = Afresh::new(global, bench, progress)?;
    let mut done = vec![false; results.len()];
    for round in 1..=rounds.count {
        if done.iter().all(|done| *done) {
            break;
        }
        wait(rounds.delay, progress)?;
        for (result, done) in results.iter_mut().zip(&mut done).filter(|(_, done)| !**done) {
            *done = match look_again(&mut afresh, round, result) {
                Ok(more) => !more,
                // What was found before is not lost with a store that went away, or throttles without end.
                Err(error) if error.kind() != ErrorKind::Usage && !progress.stop_requested() => {
                    result.remark(&format!("looking again failed: {error}"));
                    result.again_failed = true;
                    true
                }
                Err(error) => return Err(error),
            };
        }
    }
    Ok(())
}

/// Whether there is something left to look at once more.
fn look_again(afresh: &mut Afresh<'_>, round: u32, result: &mut EntityResult) -> Result<bool> {
    let bench = afresh.bench;
    let entity = bench.spec.entity(&result.name).expect("results are of the spec's entities");
    let entity = &*as_read(entity);
    let differing = result.counts.mismatched + result.counts.missing + result.counts.extra;
    if differing == 0 {
        return Ok(false);
    }
    if !has_live_side(bench.spec, entity) {
        result.remark("nothing is looked at again: both sides are files");
        return Ok(false);
    }
    if differing > RECORDS_MAX {
        result
            .remark(&format!("nothing is looked at again: {differing} records differ; stage again instead"));
        return Ok(false);
    }
    // By the columns and types of the whole sides, wherever the findings are from.
    let sides: [Staged; 2] = result.looks[0].sides.clone();
    let ways = afresh.ways(entity, [&sides[0], &sides[1]])?;
    ways.remarks.iter().for_each(|words| result.remark(words));
    let look = result.looks.last().expect("there is always the first look");
    let from: [&Staged; 2] = [&look.sides[0], &look.sides[1]];
    let records = records(look, &ways, bench.warehouse)?;
    if records.is_empty() {
        return Ok(false);
    }
    tracing::info!(entity = entity.name, round, records = records.len(), "looking again");
    let read = match afresh.read(entity, from, &ways, &records)? {
        Ok(read) => read,
        Err(why) => {
            result.remark(&format!("nothing is looked at again: {why}"));
            return Ok(false);
        }
    };
    let again = diff_entity(&read.bench(bench), entity, &read.sides[0], &read.sides[1])?;
    if !result.see_again(again, ways.reach)? {
        result.remark("a field could not be compared when looking again, so the first findings stand");
        return Ok(false);
    }
    Ok(true)
}

fn wait(delay: Duration, progress: &Progress) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < delay {
        progress.check()?;
        std::thread::sleep(TICK.min(delay.saturating_sub(began.elapsed())));
    }
    progress.check()
}
