//! One query, many workers: the engine streams batches, each worker takes the next one.

use std::sync::Mutex;
use std::sync::mpsc::sync_channel;

use arrow::record_batch::RecordBatch;

use crate::error::{Context, Result};
use crate::event::Progress;
use crate::warehouse::Warehouse;

/// Batches under way between the engine and the workers.
const QUEUE_BATCHES: usize = 8;
/// Documents may be nested a thousand deep, and are walked by recursion.
const STACK_BYTES: usize = 64 << 20;

/// Streams `sql` to `threads` workers. Each has a state made by `start`, sees some of the batches in `each`, and gives a
/// result in `end`. No order is kept.
///
/// # Errors
/// The first error of the engine or of a worker; an interruption.
pub(crate) fn fan_out<S, R: Send>(
    warehouse: &Warehouse,
    sql: &str,
    threads: usize,
    progress: &Progress,
    start: impl Fn(usize) -> Result<S> + Sync,
    each: impl Fn(&mut S, &RecordBatch) -> Result<()> + Sync,
    end: impl Fn(S) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let (sender, receiver) = sync_channel::<RecordBatch>(QUEUE_BATCHES);
    let receiver = Mutex::new(Some(receiver));
    let work = |n: usize| -> Result<R> {
        let mut state = start(n)?;
        loop {
            let received = match &*receiver.lock().expect("no worker panics while it waits") {
                Some(receiver) => receiver.recv(),
                None => break,
            };
            let Ok(batch) = received else { break };
            if let Err(error) = each(&mut state, &batch) {
                // Without a receiver the engine's next send fails, and everybody stops.
                receiver.lock().expect("no worker panics while it waits").take();
                return Err(error);
            }
        }
        end(state)
    };
    // A connection belongs to one thread, so the engine is driven by this one.
    let (results, streamed) = with_workers(threads, work, || {
        let mut hung_up = false;
        let streamed = warehouse.stream(sql, |batch| {
            progress.check()?;
            if !hung_up {
                hung_up = sender.send(batch).is_err();
            }
            Ok(())
        });
        drop(sender);
        streamed
    })?;
    streamed?;
    results.into_iter().collect()
}

/// Runs `work` on `threads` threads and gathers what they return.
///
/// # Errors
/// The first error of a worker.
pub(crate) fn spawn_workers<R: Send>(
    threads: usize,
    work: impl Fn(usize) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let (results, ()) = with_workers(threads, work, || ())?;
    results.into_iter().collect()
}

pub(crate) type Finished<R, T> = (Vec<Result<R>>, T);

/// Runs `work` on `threads` threads, and something else on this one meanwhile.
///
/// # Errors
/// A thread that cannot be started.
pub(crate) fn with_workers<R: Send, T>(
    threads: usize,
    work: impl Fn(usize) -> Result<R> + Sync,
    meanwhile: impl FnOnce() -> T,
) -> Result<Finished<R, T>> {
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1))
            .map(|n| {
                let work = &work;
                std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, move || work(n))
            })
            .collect::<std::io::Result<_>>()
            .or_failed(|| "cannot start a thread".to_owned())?;
        let here = meanwhile();
        let results = workers.into_iter().map(|w| w.join().expect("a worker does not panic")).collect();
        Ok((results, here))
    })
}
