//! Named fail points, for the tests that kill, hold or starve recon at every step. Without the feature `faults` they are
//! empty.

/// Stops the process as `kill -9` would where `RECON_FAULT` is `name`, or `name:N` at the Nth time it is passed. With
/// `RECON_FAULT_DOES=hold` the process stands still there instead, until somebody sends it SIGCONT; with `wait` only the thread
/// does, for good; with `panic` it panics, as a defect would make it.
#[cfg(feature = "faults")]
pub fn point(name: &str) {
    use std::sync::atomic::{AtomicU64, Ordering};
    static PASSED: AtomicU64 = AtomicU64::new(0);
    let Ok(wanted) = std::env::var("RECON_FAULT") else { return };
    let (point, nth) =
        wanted.split_once(':').map_or((wanted.as_str(), 1), |(p, n)| (p, n.parse().unwrap_or(1)));
    if point == name && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == nth {
        let does = std::env::var("RECON_FAULT_DOES").unwrap_or_default();
        assert!(does != "panic", "the fail point {name} panics");
        if does == "wait" {
            loop {
                std::thread::park();
            }
        }
        // Neither signal can be caught: nothing is flushed, no destructor runs.
        let signal = if does == "hold" { signal_hook::consts::SIGSTOP } else { signal_hook::consts::SIGKILL };
        let _ = signal_hook::low_level::raise(signal);
    }
}

/// Does nothing in a build without the feature `faults`.
#[cfg(not(feature = "faults"))]
pub fn point(_name: &str) {}
