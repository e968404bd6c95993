//! How often something is tried again, how long it is waited in between, and how fast records may go out.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::event::Progress;

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
