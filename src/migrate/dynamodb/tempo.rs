//! How fast requests go out: as fast as they are answered, until the table wants fewer; then half as fast, and faster again bit by
//! bit while it does not.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The rate is looked at once in this time.
const WINDOW: Duration = Duration::from_secs(1);
/// A clean window makes it so much faster.
const GROWTH: f64 = 1.1;
/// Items a second that are always tried.
const SLOWEST: f64 = 1.0;

/// One rate for all who write to a table.
#[derive(Debug)]
pub(super) struct Tempo(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Items a second; `None` until the table wanted fewer.
    allowed: Option<f64>,
    next: Instant,
    window: Instant,
    /// Items of this window, and a second's worth of the one before.
    sent: u64,
    rate_before: f64,
    is_throttled: bool,
}

impl Tempo {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self(Mutex::new(State {
            allowed: None,
            next: now,
            window: now,
            sent: 0,
            rate_before: 0.0,
            is_throttled: false,
        }))
    }

    /// How long to wait before so many items may go out.
    pub(super) fn take(&self, items: u64, now: Instant) -> Duration {
        let mut state = self.0.lock().expect("nobody panics while counting");
        state.roll(now);
        state.sent += items;
        let Some(allowed) = state.allowed else { return Duration::ZERO };
        let turn = state.next.max(now);
        state.next = turn + Duration::from_secs_f64(items as f64 / allowed);
        turn.saturating_duration_since(now)
    }

    /// The table wants fewer: half as many, once in a window, since all who are under way are told the same.
    pub(super) fn throttled(&self, now: Instant) {
        let mut state = self.0.lock().expect("nobody panics while counting");
        state.roll(now);
        if state.is_throttled {
            return;
        }
        state.is_throttled = true;
        let seen = state.sent as f64 / now.duration_since(state.window).max(WINDOW / 20).as_secs_f64();
        let rate = state.allowed.unwrap_or(seen.max(state.rate_before));
        state.allowed = Some((rate / 2.0).max(SLOWEST));
        tracing::info!("the table throttles: {:.0} items a second from now on", rate / 2.0);
    }

    #[cfg(test)]
    fn allowed(&self) -> Option<f64> {
        self.0.lock().expect("nobody panics while counting").allowed
    }
}

impl State {
    fn roll(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.window);
        if passed < WINDOW {
            return;
        }
        if !self.is_throttled {
            self.allowed = self.allowed.map(|rate| rate * GROWTH);
        }
        self.rate_before = self.sent as f64 / passed.as_secs_f64();
        (self.window, self.sent, self.is_throttled) = (now, 0, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_throttle_halves_the_rate_once_and_clean_windows_raise_it() {
        let (tempo, start) = (Tempo::new(), Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        for ms in 0..500 {
            assert_eq!(tempo.take(2, at(ms)), Duration::ZERO, "nothing is held back yet");
        }
        for _ in 0..10 {
            tempo.throttled(at(500));
        }
        let halved = tempo.allowed().expect("a rate");
        assert!((900.0..1100.0).contains(&halved), "{halved}");
        assert!(tempo.take(100, at(501)).is_zero() && tempo.take(1, at(501)) > Duration::from_millis(80));
        // The window of the throttle is not clean, the next one is.
        tempo.take(1, at(1600));
        assert_eq!(tempo.allowed(), Some(halved));
        tempo.take(1, at(2700));
        assert_eq!(tempo.allowed(), Some(halved * GROWTH));
        tempo.throttled(at(2800));
        assert_eq!(tempo.allowed(), Some(halved * GROWTH / 2.0));
    }
}
