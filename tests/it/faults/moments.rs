//! Killed at random moments, which no fail point names.

use std::hash::{BuildHasher, Hasher};
use std::thread;
use std::time::Duration;

use super::project::{FILES, Project, recorded};

const KILLS: u32 = 20;

/// SplitMix64 (<https://prng.di.unimi.it/splitmix64.c>).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

#[test]
fn killed_at_random_moments_nothing_is_lost() {
    let given = std::env::var("RECON_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed: u64 = given.unwrap_or_else(|| std::hash::RandomState::new().build_hasher().finish());
    println!("RECON_TEST_SEED={seed}");
    let mut random = Random(seed);
    let project = Project::new(60_000, false);
    let undisturbed = project.results(&project.home("undisturbed"));
    let (mut kills, mut homes) = (0, 0);
    while kills < KILLS {
        homes += 1;
        let home = project.home(&format!("home-{homes}"));
        // Killed again and again on the way; a run that came to its end begins another home.
        while kills < KILLS {
            let mut child = project.command(&home, &["stage", "--quiet"]).spawn().expect("recon starts");
            thread::sleep(Duration::from_millis(5 + random.below(146)));
            child.kill().expect("it can be killed");
            kills += 1;
            if child.wait().expect("it ends").code().is_some() {
                break;
            }
        }
        let known = recorded(&home).len() as u64;
        let staged = project.stage(&home).exits(0);
        assert_eq!(staged.sum("units_read"), 4 * FILES - known, "seed {seed}, home {homes}");
        assert_eq!(project.results_after(&staged, &home), undisturbed, "seed {seed}, home {homes}");
        std::fs::remove_dir_all(&home).expect("the home goes");
    }
}
