//! A disk that fills up: exit 4, words that say what could not be written, and the same command goes on once there is room.
//! The disk is a small tmpfs, so these tests need the right to mount; without it they say that they were skipped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::process::Ended;
use super::project::Project;

/// A small disk of its own.
pub(super) struct Disk {
    folder: TempDir,
}

impl Disk {
    pub(super) fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let options = format!("size={size}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(folder.path())
            .output()
            .is_ok_and(|output| output.status.success());
        if !mounted {
            eprintln!("SKIPPED, NOT TESTED: a full disk; mounting a tmpfs is not permitted here");
        }
        mounted.then_some(Self { folder })
    }

    pub(super) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    fn resize(&self, size: &str) {
        self.remount(&format!("size={size}"));
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        let status = Command::new("mount").args(["-o", &options]).arg(self.folder.path()).status();
        assert!(status.expect("mount starts").success(), "remount");
    }

    /// Leaves at most so many bytes free.
    pub(super) fn fill_up_to(&self, free_bytes: u64) {
        let output = Command::new("df").args(["-B1", "--output=avail"]).arg(self.folder.path()).output();
        let text = String::from_utf8(output.expect("df starts").stdout).expect("text");
        let available: u64 = text.lines().last().and_then(|n| n.trim().parse().ok()).expect("a number");
        let bytes = available.saturating_sub(free_bytes).to_string();
        let filler = self.filler();
        File::create(&filler).expect("a file");
        let status = Command::new("fallocate").args(["-l", &bytes]).arg(&filler).status();
        assert!(status.expect("fallocate starts").success() || bytes == "0", "fallocate");
    }

    fn filler(&self) -> PathBuf {
        self.folder.path().join("filler")
    }

    pub(super) fn make_room(&self) {
        fs::remove_file(self.filler()).expect("the filler goes");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.folder.path()).status();
    }
}

/// Exit 4, with the place that could not be written and the system's own words.
fn refuses(ended: Ended, home: &Path, when: &str) {
    assert_eq!(ended.code, Some(4), "{when}: signal {:?}\n{}\n{}", ended.signal, ended.stdout, ended.stderr);
    let full = ["No space left on device", "disk is full", "disk I/O error"];
    assert!(full.iter().any(|words| ended.stderr.contains(words)), "{when}: {}", ended.stderr);
    assert!(ended.stderr.contains(&home.display().to_string()), "{when}: {}", ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{when}: {}", ended.stderr);
}

/// Bytes that are left free, down to none: who hits the end first differs (parts, ledger, lock, engine, reports).
const FREE: [u64; 8] = [0, 4 << 10, 16 << 10, 40 << 10, 100 << 10, 300 << 10, 1 << 20, 3 << 20];

#[test]
fn a_home_that_cannot_be_written_can_be_asked() {
    let Some(disk) = Disk::mount("200m") else { return };
    let project = Project::new(200, false);
    project.results(&disk.home());
    disk.remount("ro");
    for command in [&["status"][..], &["runs"], &["check"]] {
        let ended = project.run(&disk.home(), command).exits(0);
        assert!(!ended.stderr.contains("error"), "{}", ended.stderr);
    }
    let runs = project.run(&disk.home(), &["runs", "--format", "json"]).exits(0).json();
    assert_eq!(runs.as_array().map(Vec::len), Some(2), "{runs}");
    assert!(project.run(&disk.home(), &["check"]).exits(0).stdout.contains("  amount  "));
    disk.remount("rw");
    project.results(&disk.home());
}

#[test]
fn a_stage_onto_a_disk_that_is_too_small_goes_on_once_it_is_larger() {
    let Some(disk) = Disk::mount("2m") else { return };
    let project = Project::new(60_000, false);
    refuses(project.stage(&disk.home()), &disk.home(), "stage on a small disk");
    refuses(project.stage(&disk.home()), &disk.home(), "stage once more");
    disk.resize("200m");
    let undisturbed = project.results(&project.home("undisturbed"));
    assert_eq!(project.results(&disk.home()), undisturbed);
}

#[test]
fn whatever_a_full_disk_stops_in_a_stage_it_goes_on_later() {
    let Some(disk) = Disk::mount("200m") else { return };
    let project = Project::new(20_000, true);
    let undisturbed = project.results(&project.home("undisturbed"));
    let mut refused = 0;
    for free in FREE {
        disk.fill_up_to(free);
        let ended = project.stage(&disk.home());
        if ended.code != Some(3) {
            refuses(ended, &disk.home(), &format!("stage with {free} bytes free"));
            refused += 1;
        }
        disk.make_room();
        assert_eq!(project.results(&disk.home()), undisturbed, "after {free} bytes free");
        fs::remove_dir_all(disk.home()).expect("the home goes");
    }
    assert!(refused >= 4, "the disk was hardly ever full");
}

#[test]
fn whatever_a_full_disk_stops_in_a_diff_it_can_be_repeated() {
    let Some(disk) = Disk::mount("200m") else { return };
    let project = Project::new(20_000, true);
    let undisturbed = project.results(&project.home("undisturbed"));
    project.stage(&disk.home()).exits(3);
    let mut refused = 0;
    for free in FREE {
        disk.fill_up_to(free);
        let ended = project.run(&disk.home(), &["diff"]);
        if ended.code != Some(3) {
            refuses(ended, &disk.home(), &format!("diff with {free} bytes free"));
            refused += 1;
        }
        disk.make_room();
        project.run(&disk.home(), &["status"]).exits(0);
        assert_eq!(project.results(&disk.home()), undisturbed, "after {free} bytes free");
        fs::remove_dir_all(disk.home()).expect("the home goes");
        project.stage(&disk.home()).exits(3);
    }
    assert!(refused >= 4, "the disk was hardly ever full");
}
