//! Files as a target when a run is killed at every fail point, the disk is full, or S3 has a bad day: then resumed, the folder is that
//! of an undisturbed run.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;
use tempfile::TempDir;

use super::disk::Disk;
use super::points::points_of_writing;
use super::process::{Ended, recon};
use super::project::copy_home;
use crate::servers::proxy::{ALWAYS, Answer, Body, HttpProxy};
use crate::servers::s3;

const RECORDS: u64 = 230;
/// The passes at which a point kills; the later ones only where it is passed so often.
const PASSES: [u32; 3] = [1, 2, 5];
const MIGRATE: &[&str] = &["migrate", "--batch-size", "60", "--concurrency", "1", "--format", "json"];

/// Records of a file, one of them with a key that no table has, and a home in which they are staged.
struct Case {
    folder: TempDir,
}

impl Case {
    fn new(target: &str) -> Self {
        let case = Self { folder: tempfile::tempdir().expect("a folder") };
        let spec = format!(
            "[datasets.old]\nkind = \"jsonl\"\nuri = \"old.jsonl\"\n[datasets.new]\n{target}\n[entities.t]\nsource = \"old\"\n\
             target = \"new\"\nkey = [\"k\"]\n[entities.t.fields]\nk = \"k\"\nn = {{ from = \"n\", type = \"int\" }}\n"
        );
        fs::write(case.path("recon.toml"), spec).expect("a file");
        let line = |k: u64| {
            format!("{{\"k\":\"{k}\",\"n\":{}}}\n", if k == 99 { "1.5".to_owned() } else { k.to_string() })
        };
        fs::write(case.path("old.jsonl"), (0..RECORDS).map(line).collect::<String>()).expect("a file");
        case.run(&case.path("staged"), &["stage", "source"], None).exits(0);
        case
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, home: &Path, args: &[&str]) -> Command {
        let mut command = recon(self.folder.path(), home, args);
        command.envs(s3::ENVIRONMENT);
        command
    }

    fn run(&self, home: &Path, args: &[&str], fault: Option<&str>) -> Ended {
        Ended::of(self.command(home, args).envs(fault.map(|fault| ("RECON_FAULT", fault))))
    }

    /// A home in which the source is staged and nothing was written.
    fn begin(&self, name: &str) -> PathBuf {
        let home = self.path(name);
        let _ = fs::remove_dir_all(&home);
        copy_home(&self.path("staged"), &home);
        home
    }

    /// What the target's folder holds, run ids and times left out.
    fn written(&self, folder: &Path) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        for path in glob::glob(&format!("{}/**/*", folder.display())).expect("a glob") {
            let path = path.expect("a path");
            let name = path.strip_prefix(folder).expect("below it").to_string_lossy().into_owned();
            if !path.is_file() || name.ends_with(".md5") {
                continue;
            }
            let mut bytes = fs::read(&path).expect("a file");
            let pieces: Vec<&str> = name.split('.').collect();
            let name = match pieces.as_slice() {
                [first, entity, _, rest @ ..] if first.ends_with("part") => {
                    format!("{first}.{entity}.{}", rest.join("."))
                }
                _ => name,
            };
            if name == "manifest-summary.json" {
                let mut json: Json = serde_json::from_slice(&bytes).expect("JSON");
                json["exportTime"] = Json::Null;
                bytes = json.to_string().into_bytes();
            }
            if name == "manifest-files.json" {
                let text = String::from_utf8(bytes).expect("text");
                let line = |line: &str| {
                    let json: Json = serde_json::from_str(line).expect("JSON");
                    format!("{} {}\n", json["itemCount"], json["md5Checksum"])
                };
                bytes = text.lines().map(line).collect::<String>().into_bytes();
            }
            assert!(found.insert(name.clone(), bytes).is_none(), "{name} twice");
        }
        found
    }
}

#[test]
fn killed_at_every_fail_point_the_folder_is_that_of_an_undisturbed_run() {
    let mut passed = std::collections::BTreeSet::new();
    let points = points_of_writing("files");
    for kind in ["csv", "dynamodb-export"] {
        let case = Case::new(&format!("kind = \"{kind}\"\nuri = \"out/\""));
        let out = case.path("out");
        case.run(&case.begin("home"), MIGRATE, None).exits(1);
        let undisturbed = case.written(&out);
        assert!(undisturbed.len() >= 4, "{undisturbed:?}");
        for point in &points {
            for pass in PASSES {
                let fault = format!("{point}:{pass}");
                fs::remove_dir_all(&out).expect("it goes");
                let home = case.begin("home");
                let killed = case.run(&home, MIGRATE, Some(&fault));
                if !killed.was_killed() {
                    killed.exits(1);
                    break;
                }
                passed.insert(point.clone());
                if kind == "dynamodb-export" && out.join("manifest-summary.json").exists() {
                    // A manifest that is there is one of a finished export.
                    case.run(&home, &["stage", "target"], None).exits(0);
                }
                case.run(&home, MIGRATE, None).exits(1);
                assert_eq!(case.written(&out), undisturbed, "{kind} {fault}");
                case.run(&home, &["stage", "target"], None).exits(0);
                let ended = case.run(&home, &["diff", "--format", "json"], None);
                let told = ended.json();
                assert_eq!(told["entities"]["t"]["matched"], RECORDS - 1, "{kind} {fault}: {told}");
            }
        }
    }
    let never: Vec<_> = points.difference(&passed).collect();
    assert!(never.is_empty(), "fail points that no run passed: {never:?}");
}

#[test]
fn a_full_disk_leaves_no_half_file_and_room_lets_it_go_on() {
    let Some(disk) = Disk::mount("16m") else { return };
    let place = disk.home();
    let case = Case::new(&format!("kind = \"csv\"\nuri = \"{}/\"", place.display()));
    for free in [0_u64, 4 << 10] {
        let home = case.begin("home");
        disk.fill_up_to(free);
        let ended = case.run(&home, MIGRATE, None).exits(4);
        assert!(ended.stderr.contains("run the same command again"), "{}", ended.stderr);
        let half = glob::glob(&format!("{}/.part*", place.display())).expect("a glob").count();
        assert_eq!(half, 0, "with {free} bytes free");
        disk.make_room();
        case.run(&home, MIGRATE, None).exits(1);
        assert_eq!(case.written(&place).len(), 4, "with {free} bytes free");
        fs::remove_dir_all(&place).expect("it goes");
    }
}

#[test]
fn a_bad_day_of_s3_costs_no_record() {
    s3::bucket("bad-day");
    // More than the tries of one request: a file whose end nobody knows is written again.
    let broken =
        Answer { to: "PUT", requests: 1..10, status: 500, body: Body::Error("InternalError", "not now") };
    let proxy = HttpProxy::to(s3::port(), vec![broken]);
    let target = |folder: &str| {
        let endpoint = &proxy.endpoint;
        format!(
            "kind = \"jsonl\"\nuri = \"s3://bad-day/{folder}/\"\nendpoint = \"{endpoint}\"\npath_style = true"
        )
    };
    let case = Case::new(&target("a"));
    let home = case.begin("home");
    let told = case.run(&home, MIGRATE, None).exits(1).json();
    assert_eq!(told["entities"]["t"]["inserted"], RECORDS - 1, "{told}");
    assert!(proxy.seen("PUT") > 10);
    case.run(&home, &["stage", "target"], None).exits(0);
    let diff = case.run(&home, &["diff", "--format", "json"], None).json();
    assert_eq!(diff["entities"]["t"]["matched"], RECORDS - 1, "{diff}");
}

#[test]
fn what_s3_does_not_allow_stops_the_run() {
    s3::bucket("closed");
    let denied = Answer { to: "PUT", requests: ALWAYS, status: 403, body: Body::Error("AccessDenied", "no") };
    let proxy = HttpProxy::to(s3::port(), vec![denied]);
    let endpoint = &proxy.endpoint;
    let case = Case::new(&format!(
        "kind = \"jsonl\"\nuri = \"s3://closed/p/\"\nendpoint = \"{endpoint}\"\npath_style = true"
    ));
    let home = case.begin("home");
    case.run(&home, MIGRATE, None).exits(4).says(&["AccessDenied", "the credentials do not allow this"]);
    proxy.step_aside();
    case.run(&home, MIGRATE, None).exits(1);
    let none = Case::new(&format!(
        "kind = \"jsonl\"\nuri = \"s3://no-such-bucket-of-ours/p/\"\nendpoint = \"{endpoint}\"\npath_style = true"
    ));
    none.run(&none.begin("home"), MIGRATE, None).exits(4).says(&["NoSuchBucket", "check the bucket's name"]);
}
