//! Who watches a run: metrics for Prometheus, and the spec's hooks. They listen to the run's counters and never hold it up.

mod hooks;
mod metrics;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::Args;

use self::hooks::Runner;
use self::metrics::{File, Server};
use crate::error::Result;
use crate::event::Progress;
use crate::ledger::now;
use crate::spec::{Hooks, Spec};

/// Where metrics go.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Watching the run")]
pub(super) struct WatchArgs {
    /// Serve Prometheus metrics at http://ADDR/metrics while the command runs: HOST:PORT, or a port of 127.0.0.1
    #[arg(long, value_name = "ADDR", value_parser = metrics::parse_address)]
    metrics: Option<String>,
    /// Write Prometheus metrics to this file every 5 s and at the end, for a textfile collector
    #[arg(long, value_name = "PATH")]
    metrics_file: Option<PathBuf>,
}

/// What a run is watched by.
#[derive(Default)]
pub(super) struct Watch {
    listener: Option<TcpListener>,
    file: Option<PathBuf>,
    hooks: Hooks,
    folder: PathBuf,
}

impl Watch {
    /// Gets ready before the run begins, so that what is wrong shows at once.
    ///
    /// # Errors
    /// An address in use, a file that cannot be written (exit 2).
    pub(super) fn open(args: &WatchArgs, spec: &Spec) -> Result<Self> {
        Ok(Self {
            listener: args.metrics.as_deref().map(metrics::listen).transpose()?,
            file: args.metrics_file.as_deref().map(metrics::writable).transpose()?,
            hooks: spec.hooks.clone(),
            folder: spec.path.parent().map(Path::to_path_buf).unwrap_or_default(),
        })
    }

    /// The same where a command has no units that mean something to others.
    pub(super) fn without_units(mut self) -> Self {
        (self.hooks.on_unit, self.hooks.on_progress) = (None, None);
        self
    }

    /// Begins to watch.
    ///
    /// # Errors
    /// A thread that cannot be started.
    pub(super) fn begin(&self, run_id: &str, command: &str, progress: &Arc<Progress>) -> Result<Watching> {
        let facts = Arc::new(Facts {
            run_id: run_id.to_owned(),
            command: command.to_owned(),
            began: Instant::now(),
            began_at: now(),
            progress: Arc::clone(progress),
        });
        let listener = self.listener.as_ref().and_then(|listener| listener.try_clone().ok());
        Ok(Watching {
            hooks: match self.hooks.is_empty() {
                true => None,
                false => Some(Runner::start(self.hooks.clone(), &self.folder, &facts)?),
            },
            server: listener.map(|listener| Server::start(listener, &facts)).transpose()?,
            file: self.file.as_ref().map(|path| File::start(path, &facts)).transpose()?,
        })
    }
}

/// What there is to say of a run while it goes on.
struct Facts {
    run_id: String,
    command: String,
    began: Instant,
    /// RFC 3339, UTC.
    began_at: String,
    progress: Arc<Progress>,
}

/// How a run ended.
#[derive(Clone, Debug)]
struct End {
    state: &'static str,
    exit_code: u8,
    message: Option<String>,
}

/// A run that is watched.
pub(super) struct Watching {
    hooks: Option<Runner>,
    server: Option<Server>,
    file: Option<File>,
}

impl Watching {
    /// Tells everybody how the run ended; waits for the hooks.
    pub(super) fn end(self, state: &'static str, exit_code: u8, message: Option<&str>) {
        let end = End { state, exit_code, message: message.map(str::to_owned) };
        if let Some(file) = self.file {
            file.end(&end);
        }
        if let Some(hooks) = self.hooks {
            hooks.end(end);
        }
        drop(self.server);
    }
}
