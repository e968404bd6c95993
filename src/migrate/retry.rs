//! How often something is tried again, how long it is waited in between, and how fast records may go out.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::{Images, Trouble};
use crate::error::{Error, Result};
use crate::event::{self, Progress};
use crate::ledger::manifest::{Change, Writer};

/// How long a store may be away before the run stops; it can be resumed.
pub const AWAY_MAX: Duration = Duration::from_secs(60);
/// The longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How often it is looked whether somebody wants to stop, while it is waited.
const TICK: Duration = Duration::from_millis(50);

/// Tries and pauses: 3 tries, 100, 200 and 400 ms, where nobody says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Tries after the first.
    pub tries: u32,
    /// The pause before the first of them; each further one is twice as long.
    pub pause: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self { tries: 3, pause: Duration::from_millis(100) }
    }
}

impl Retries {
    /// The pause before a further try (from 1): the doubled one, a quarter more or less by chance, so that workers that failed together
    /// do not try again together.
    pub fn pause_before(&self, again: u32) -> Duration {
        let doubled = self.pause.saturating_mul(1 << again.saturating_sub(1).min(16)).min(PAUSE_MAX);
        let share = chance();
        doubled.mul_f64(0.75 + share / 2.0)
    }
}

/// A batch on its way into a target.
pub struct Attempt<'a> {
    /// The batch's number.
    pub number: u64,
    /// Takes old images; `None` where the user asked for none.
    pub manifest: Option<&'a Mutex<Writer>>,
    /// See [`super::Target::writes_in_parts`].
    pub in_parts: bool,
    /// How often it is tried again.
    pub retries: Retries,
    /// Who may want to stop in between.
    pub progress: &'a Progress,
}

/// How the tries of a batch ended.
pub struct Tried<T> {
    /// What the last one gave, or why the store was busy each time.
    pub end: Result<T, Error>,
    /// How many there were.
    pub attempts: u64,
    /// Whether the connection was lost in one, so that nobody saw its end.
    pub was_lost: bool,
}

impl Attempt<'_> {
    /// Tries until the store takes the batch or was busy too often. `earlier` are the changes that were announced for it before, as
    /// `once` gets them together with those of earlier tries; a lost session is opened anew.
    ///
    /// # Errors
    /// An interruption; what no other try would help against; a store that was away for longer than [`AWAY_MAX`].
    pub fn until_taken<S, T>(
        &self,
        mut earlier: Vec<Change>,
        session: &mut Option<S>,
        mut open: impl FnMut() -> Result<S, Trouble>,
        mut once: impl FnMut(&mut S, &[Change], &mut Images<'_>) -> Result<T, Trouble>,
    ) -> Result<Tried<T>> {
        let (mut announced, mut here, began) = (Vec::new(), Duration::ZERO, Instant::now());
        let (mut attempts, mut busy, mut lost, mut lost_since) = (0, 0, 0, None);
        loop {
            attempts += 1;
            let mut images = |changes: &mut Vec<Change>| {
                let since = Instant::now();
                if let Some(manifest) = self.manifest {
                    manifest.lock().expect("nobody panics while it writes").append(changes)?;
                }
                here += since.elapsed();
                if self.in_parts {
                    announced.extend_from_slice(changes);
                }
                Ok(())
            };
            let tried = match session {
                Some(session) => once(session, &earlier, &mut images),
                None => open().and_then(|opened| once(session.insert(opened), &earlier, &mut images)),
            };
            let ended = |end| Tried { end, attempts, was_lost: lost > 0 };
            let pause = match tried {
                Ok(done) => {
                    event::add_time(&self.progress.target_ns, began + here);
                    event::add(&self.progress.own_ns, here.as_nanos() as u64);
                    return Ok(ended(Ok(done)));
                }
                Err(Trouble::Fatal(error)) => return Err(error),
                Err(Trouble::Busy(error)) if busy >= self.retries.tries => return Ok(ended(Err(error))),
                Err(Trouble::Busy(error)) => {
                    busy += 1;
                    tracing::info!("batch {} is tried again: {error}", self.number);
                    self.retries.pause_before(busy)
                }
                Err(Trouble::Lost(error)) => {
                    *session = None;
                    let since = *lost_since.get_or_insert_with(Instant::now);
                    if since.elapsed() > AWAY_MAX {
                        return Err(error);
                    }
                    tracing::warn!("batch {} is tried again over a new connection: {error}", self.number);
                    lost += 1;
                    self.retries.pause_before(lost)
                }
            };
            earlier.append(&mut announced);
            event::add(&self.progress.retries, 1);
            wait(pause, self.progress)?;
        }
    }
}

/// A share between 0 and 1, by chance.
fn chance() -> f64 {
    use std::hash::{BuildHasher, Hasher};
    let random = std::hash::RandomState::new().build_hasher().finish();
    (random >> 11) as f64 / (1_u64 << 53) as f64
}

/// Waits, but not when somebody wants to stop.
///
/// # Errors
/// An interruption.
pub fn wait(pause: Duration, progress: &Progress) -> Result<()> {
    let until = Instant::now() + pause;
    loop {
        progress.check()?;
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(TICK));
    }
}

/// Lets no more than so many records a second go out, over all workers.
#[derive(Debug)]
pub struct Pace {
    a_second: Option<u32>,
    next: Mutex<Instant>,
}

impl Pace {
    /// `None`: as fast as it goes.
    pub fn new(a_second: Option<u32>) -> Self {
        Self { a_second, next: Mutex::new(Instant::now()) }
    }

    /// Waits until so many records may go out.
    ///
    /// # Errors
    /// An interruption.
    pub fn take(&self, records: u64, progress: &Progress) -> Result<()> {
        let Some(a_second) = self.a_second else { return Ok(()) };
        let now = Instant::now();
        let turn = {
            let mut next = self.next.lock().expect("nobody panics while waiting for a turn");
            let turn = (*next).max(now);
            *next = turn + Duration::from_secs_f64(records as f64 / f64::from(a_second));
            turn
        };
        wait(turn.saturating_duration_since(now), progress)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_within_a_quarter() {
        let retries = Retries::default();
        for (again, millis) in [(1, 100.0), (2, 200.0), (3, 400.0)] {
            let pause = retries.pause_before(again).as_secs_f64() * 1000.0;
            assert!((millis * 0.75..=millis * 1.25).contains(&pause), "{again}: {pause}");
        }
        assert!(retries.pause_before(60) <= PAUSE_MAX.mul_f64(1.25));
    }

    #[test]
    fn a_pace_is_kept() {
        let (pace, progress) = (Pace::new(Some(1_000_000)), Progress::default());
        let before = Instant::now();
        for _ in 0..3 {
            pace.take(10_000, &progress).expect("nobody stops");
        }
        assert!(before.elapsed() >= Duration::from_millis(20), "the third waits for the first two");
    }
}
