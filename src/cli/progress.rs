//! The progress bar and the log lines: a thread that reads the run's counters and shows them on stderr.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, HumanDuration, ProgressBar, ProgressStyle};

use super::Global;
use crate::event::{Progress, get};
use crate::reconcile::report::terminal::thousands;

/// How often the counters are read.
const TICK: Duration = Duration::from_millis(100);
/// Records from one log line to the next, where nobody says otherwise and there is no bar.
const LOG_EVERY: u64 = 100_000;

/// A bar on stderr, or lines; it goes when this is dropped.
pub(super) struct Bar {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Bar {
    /// Draws how much was read until dropped; nothing where stderr is no terminal or the user wants none.
    pub(super) fn start(global: &Global, what: &'static str, progress: &Arc<Progress>) -> Self {
        if !has_bar(global) {
            return Self { stop: None, thread: None };
        }
        let template = "{msg} {wide_bar:.cyan/blue} {percent:>3}%  {bytes_per_sec}  ETA {eta}";
        Self::every_tick(progress, move |progress, bar| {
            let bar = bar.get_or_insert_with(|| drawn(template));
            bar.set_length(get(&progress.bytes_total));
            bar.set_position(get(&progress.bytes_done));
            bar.set_message(format!(
                "{what} {}/{} units  {} rows  {}{}",
                get(&progress.units_done),
                get(&progress.units_total),
                HumanCount(get(&progress.rows_done)),
                HumanBytes(get(&progress.bytes_done)),
                match get(&progress.failures) {
                    0 => String::new(),
                    n => format!("  {} failed", HumanCount(n)),
                },
            ));
        })
    }

    /// Shows how many records were written until dropped: as a bar, and as a line every `log_every` records, which is 100,000 where
    /// there is no bar and nobody says otherwise; 0 for no lines.
    pub(super) fn of_writing(
        global: &Global,
        what: &'static str,
        progress: &Arc<Progress>,
        log_every: Option<u64>,
    ) -> Self {
        let has_bar = has_bar(global);
        let every = match log_every {
            _ if global.quiet => 0,
            Some(every) => every,
            None if has_bar => 0,
            None => LOG_EVERY,
        };
        if !has_bar && every == 0 {
            return Self { stop: None, thread: None };
        }
        let (mut began, mut lines) = (None, None);
        Self::every_tick(progress, move |progress, bar| {
            if get(&progress.units_total) > 0 {
                began.get_or_insert_with(Instant::now);
            }
            // Planning writes nothing, and does not count for how fast it is written.
            let pace = Pace::of(progress, began.map_or(Duration::ZERO, |began| began.elapsed()));
            let passed = pace.done.checked_div(every);
            // What an earlier process wrote is no news.
            let told = *lines.get_or_insert(get(&progress.rows_before).checked_div(every));
            if passed > told {
                lines = Some(passed);
                let line = format!("{what}: {}", pace.line());
                match bar {
                    Some(bar) => bar.suspend(|| eprintln!("{line}")),
                    None => eprintln!("{line}"),
                }
            }
            if has_bar {
                let bar = bar.get_or_insert_with(|| drawn("{prefix} {wide_bar:.cyan/blue} {msg}"));
                bar.set_length(pace.planned);
                bar.set_position(pace.done);
                bar.set_prefix(format!("{what} {}/{}", HumanCount(pace.done), HumanCount(pace.planned)));
                bar.set_message(pace.rest());
            }
        })
    }

    fn every_tick(
        progress: &Arc<Progress>,
        mut show: impl FnMut(&Progress, &mut Option<ProgressBar>) + Send + 'static,
    ) -> Self {
        let (stop, stopped) = channel();
        let progress = Arc::clone(progress);
        let thread = std::thread::spawn(move || {
            let (mut bar, mut over) = (None, false);
            while !over {
                over = stopped.recv_timeout(TICK).is_ok();
                show(&progress, &mut bar);
            }
            if let Some(bar) = bar {
                bar.finish_and_clear();
            }
        });
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let (Some(stop), Some(thread)) = (self.stop.take(), self.thread.take()) {
            let _ = stop.send(());
            let _ = thread.join();
        }
    }
}

fn has_bar(global: &Global) -> bool {
    !global.no_progress && !global.quiet && std::io::stderr().is_terminal()
}

fn drawn(template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).expect("our own template").progress_chars("█▉▊▋▌▍▎▏ ");
    ProgressBar::new(0).with_style(style)
}

/// How far a run that writes is.
struct Pace {
    done: u64,
    planned: u64,
    a_second: f64,
    failures: u64,
    retries: u64,
    limit: Option<&'static str>,
}

impl Pace {
    fn of(progress: &Progress, took: Duration) -> Self {
        let done = get(&progress.rows_done);
        let here = done.saturating_sub(get(&progress.rows_before));
        Self {
            done,
            planned: get(&progress.rows_planned).max(done),
            a_second: here as f64 / took.as_secs_f64().max(0.001),
            failures: get(&progress.failures),
            retries: get(&progress.retries),
            limit: progress.limit().map(crate::event::Limit::words),
        }
    }

    fn percent(&self) -> u64 {
        (self.done * 100).checked_div(self.planned).unwrap_or(0)
    }

    /// Percent, rate, time that is left, tries over, failures, and what limits.
    fn rest(&self) -> String {
        let left = (self.a_second >= 1.0)
            .then(|| Duration::from_secs_f64((self.planned - self.done) as f64 / self.a_second));
        let facts = [
            Some(format!("{} %", self.percent())),
            Some(format!("{} a second", thousands(self.a_second as u64))),
            left.filter(|_| self.done < self.planned)
                .map(|left| format!("about {} left", HumanDuration(left))),
            (self.retries > 0).then(|| format!("{} tried again", thousands(self.retries))),
            (self.failures > 0).then(|| format!("{} failed", thousands(self.failures))),
            self.limit.map(str::to_owned),
        ];
        facts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    fn line(&self) -> String {
        format!("{} of {} records, {}", thousands(self.done), thousands(self.planned), self.rest())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Unit, add};

    #[test]
    fn a_line_says_how_far_how_fast_and_why_not_faster() {
        let progress = Progress::default();
        add(&progress.rows_planned, 1_000_000);
        let earlier = Unit { of: "a".to_owned(), name: String::new(), rows: 100_000, failures: 0 };
        progress.add_earlier(10, &earlier);
        add(&progress.rows_done, 150_000);
        add(&progress.failures, 12);
        add(&progress.target_ns, 1);
        // What an earlier process did is part of how far it is, not of how fast.
        let line = Pace::of(&progress, Duration::from_secs(10)).line().replace('\u{202f}', " ");
        assert_eq!(
            line,
            "250 000 of 1 000 000 records, 25 %, 15 000 a second, about 50 seconds left, 12 failed, the target limits"
        );
    }

    #[test]
    fn nothing_is_divided_by_nothing() {
        let line = Pace::of(&Progress::default(), Duration::ZERO).line();
        assert_eq!(line, "0 of 0 records, 0 %, 0 a second");
    }
}
