//! How fast a run that writes goes about it: `migrate`, `replay` and `rollback apply` take the same options.

use std::time::Duration;

use clap::Args;

use super::watch::WatchArgs;
use crate::migrate::retry::{Pace, Retries};

/// How fast, how often again, and who is told; another run may go about it differently.
#[derive(Args, Debug)]
pub(super) struct Pacing {
    /// Batches under way at once [default: as the target takes them]
    #[arg(long, value_name = "N", value_parser = super::parse_threads)]
    concurrency: Option<u16>,
    /// No more than so many records a second
    #[arg(long, value_name = "N", value_parser = parse_rate)]
    pub(super) rate: Option<u32>,
    /// How often a batch is tried again that the store could not take just then
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=100))]
    retries: u32,
    /// How long to wait before the first further try; each is twice as long as the one before
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = super::parse_duration)]
    backoff: Duration,
    /// A line on stderr every so many records; 0 for none [default: 100000 where there is no progress bar]
    #[arg(long, value_name = "N", value_parser = super::parse_count)]
    pub(super) log_every: Option<u64>,
    #[command(flatten)]
    pub(super) watch: WatchArgs,
}

impl Pacing {
    /// Batches under way at once; `None`: as the target takes them.
    pub(super) fn concurrency(&self) -> Option<usize> {
        self.concurrency.map(usize::from)
    }

    /// How often a batch is tried again.
    pub(super) fn retries(&self) -> Retries {
        Retries { tries: self.retries, pause: self.backoff }
    }

    /// How fast records go out.
    pub(super) fn pace(&self) -> Pace {
        Pace::new(self.rate)
    }
}

/// A whole number from 1 on.
fn parse_rate(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| format!("`{text}` is no whole number above 0"))
}
