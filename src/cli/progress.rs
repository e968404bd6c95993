//! The progress bar: a thread that reads the run's counters and draws them on stderr.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

use super::Global;
use crate::event::{Progress, get};

/// A bar on stderr; it goes when this is dropped.
pub(super) struct Bar {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Bar {
    /// Draws `progress` until dropped; nothing where stderr is no terminal or the user wants none.
    pub(super) fn start(global: &Global, what: &'static str, progress: &Arc<Progress>) -> Self {
        if global.no_progress || global.quiet || !std::io::stderr().is_terminal() {
            return Self { stop: None, thread: None };
        }
        let (stop, stopped) = channel();
        let progress = Arc::clone(progress);
        let thread = std::thread::spawn(move || {
            let bar = ProgressBar::new(0);
            let template = "{msg} {wide_bar:.cyan/blue} {percent:>3}%  {bytes_per_sec}  ETA {eta}";
            bar.set_style(
                ProgressStyle::with_template(template).expect("our own template").progress_chars("█▉▊▋▌▍▎▏ "),
            );
            while stopped.recv_timeout(Duration::from_millis(100)).is_err() {
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
            }
            bar.finish_and_clear();
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
