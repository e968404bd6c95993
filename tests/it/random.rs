//! Random numbers that can be had again: every failure prints the seed, and `RECON_SEED` gives it back.

use std::fmt;
use std::hash::{BuildHasher, Hasher};

/// SplitMix64 (<https://prng.di.unimi.it/splitmix64.c>).
pub(crate) struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    /// With the seed of `RECON_SEED`, or another one in every run.
    pub(crate) fn seeded() -> Self {
        let fresh = || std::hash::RandomState::new().build_hasher().finish();
        let seed = std::env::var("RECON_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(fresh);
        Self { seed, state: seed }
    }

    /// A number below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    /// True once in `n` times.
    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of these.
    pub(crate) fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

impl fmt::Display for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RECON_SEED={}", self.seed)
    }
}
