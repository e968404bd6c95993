//! recon killed, held, starved and lied to at every step: it must resume, or refuse, and never give another result than an
//! undisturbed run. Drives the real binary, built with the feature `faults`.

mod changed_only;
mod changes;
mod damage;
mod disk;
mod files;
mod folds;
mod live_points;
mod memory;
mod migrate;
mod moments;
mod network;
mod panics;
pub(crate) mod points;
pub(crate) mod process;
pub(crate) mod project;
mod reports;
mod restarts;
mod runners;
mod stores;
mod throttling;
