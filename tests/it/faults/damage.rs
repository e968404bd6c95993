//! Files of the home that somebody deleted or damaged.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rusqlite::Connection;

use super::project::{Project, Results};

/// Turns every bit of a range over.
fn invert(path: &Path, range: std::ops::Range<usize>) {
    let mut bytes = fs::read(path).expect("a file");
    let end = range.end.min(bytes.len());
    bytes[range.start.min(end)..end].iter_mut().for_each(|b| *b = !*b);
    fs::write(path, bytes).expect("a file");
}

/// Turns one bit over somewhere in the middle of the values.
fn flip_a_bit(path: &Path) {
    let mut bytes = fs::read(path).expect("a file");
    let at = bytes.len() / 3;
    bytes[at] ^= 1;
    fs::write(path, bytes).expect("a file");
}

fn cut_short(path: &Path) {
    let bytes = fs::read(path).expect("a file");
    fs::write(path, &bytes[..bytes.len() - 100]).expect("a file");
}

/// Writes a Parquet file anew with its first rows only: it stays a good Parquet file.
fn keep_rows(path: &Path, rows: impl Fn(usize) -> usize) {
    let file = File::open(path).expect("a file");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet").build().expect("Parquet");
    let batches: Vec<RecordBatch> = reader.map(|batch| batch.expect("a batch")).collect();
    let all = batches.iter().map(RecordBatch::num_rows).sum();
    let mut left = rows(all);
    let file = File::create(path).expect("a file");
    let mut writer = ArrowWriter::try_new(file, batches[0].schema(), None).expect("a writer");
    for batch in batches {
        let kept = left.min(batch.num_rows());
        writer.write(&batch.slice(0, kept)).expect("written");
        left -= kept;
    }
    writer.close().expect("written");
}

fn lose_the_last_row(path: &Path) {
    keep_rows(path, |rows| rows - 1);
}

fn lose_every_row(path: &Path) {
    keep_rows(path, |_| 0);
}

/// The file of a home that the pattern fits, the largest of them.
fn first(home: &Path, pattern: &str) -> PathBuf {
    let pattern = format!("{}/{pattern}", home.display());
    let files = glob::glob(&pattern).expect("a glob").map(|path| path.expect("a path"));
    // Which worker got how many rows is chance: a file without any has nothing to lose.
    files.max_by_key(|path| fs::metadata(path).map_or(0, |facts| facts.len())).expect("a file")
}

/// What is done to a file, in words and in deed.
type Damage = (&'static str, fn(&Path));

#[test]
fn the_engines_file_is_rebuilt_whatever_happens_to_it() {
    let project = Project::new(200, true);
    let home = project.home("home");
    let undisturbed = project.results(&home);
    let file = home.join("stage.duckdb");
    let damages: [Damage; 8] = [
        ("deleted", |path| fs::remove_file(path).expect("the file goes")),
        ("emptied", |path| fs::write(path, "").expect("a file")),
        ("words", |path| fs::write(path, "not a database ".repeat(5_000)).expect("a file")),
        ("first header", |path| invert(path, 0..64)),
        ("second headers", |path| invert(path, 4_096..12_288)),
        ("content", |path| invert(path, 12_288..usize::MAX)),
        ("cut short", |path| {
            let bytes = fs::read(path).expect("a file");
            fs::write(path, &bytes[..bytes.len() / 2]).expect("a file");
        }),
        ("log of changes", |path| {
            fs::write(path.with_extension("duckdb.wal"), "not a log ".repeat(500)).expect("a file");
        }),
    ];
    for (what, damage) in damages {
        damage(&file);
        let staged = project.stage(&home).exits(3);
        assert_eq!(staged.sum("units_read"), 0, "{what}");
        assert_eq!(project.results_after(&staged, &home), undisturbed, "{what}");
    }
}

#[test]
fn a_part_that_is_gone_is_noticed_and_staged_again() {
    let project = Project::new(200, false);
    let home = project.home("home");
    let undisturbed = project.results(&home);
    let pattern = format!("{}/stage/orders_old/*.parquet", home.display());
    let part = glob::glob(&pattern).expect("a glob").next().expect("a part").expect("a path");
    fs::remove_file(part).expect("the part goes");
    project.run(&home, &["diff"]).exits(4).says(&["is gone", "recon stage"]);
    let staged = project.stage(&home).exits(0);
    assert_eq!(staged.sum("units_read"), 1);
    assert_eq!(project.results_after(&staged, &home), undisturbed);
}

/// Damages a staged file: `diff` refuses it by its name, with hashes and without, and `stage` reads its unit again.
#[track_caller]
fn noticed_and_mended(project: &Project, undisturbed: &Results, file: &str, (what, damage): Damage) {
    for (hashed, asks) in [(false, true), (false, false), (true, true), (true, false)] {
        let when = format!("{file}: {what}; hashed: {hashed}, diff before stage: {asks}");
        let home = project.home(&format!("damaged {what} {hashed} {asks}"));
        let staged = project.stage(&home);
        if hashed {
            assert_eq!(&project.results_after(&staged, &home), undisturbed, "{when}");
        }
        let path = first(&home, file);
        damage(&path);
        if asks {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            project.run(&home, &["diff"]).exits(4).says(&[&name, "help: run `recon stage`"]);
        }
        let staged = project.stage(&home);
        assert_eq!(staged.sum("units_read"), 1, "{when}");
        assert_eq!(&project.results_after(&staged, &home), undisturbed, "{when}");
        fs::remove_dir_all(&home).expect("the home goes");
    }
}

#[test]
fn a_damaged_part_is_never_compared_and_staged_again() {
    let project = Project::new(200, false);
    let undisturbed = project.results(&project.home("undisturbed"));
    let damages: [Damage; 5] = [
        ("last row removed", lose_the_last_row),
        ("every row removed", lose_every_row),
        ("a bit", flip_a_bit),
        ("cut short", cut_short),
        ("emptied", |path| fs::write(path, "").expect("a file")),
    ];
    for damage in damages {
        noticed_and_mended(&project, &undisturbed, "stage/orders_old/*.parquet", damage);
    }
}

#[test]
fn a_part_that_rotted_on_the_disk_is_noticed_before_it_is_hashed() {
    let project = Project::new(200, false);
    let undisturbed = project.results(&project.home("undisturbed"));
    let home = project.home("home");
    project.stage(&home).exits(0);
    let part = first(&home, "stage/orders_old/*.parquet");
    let modified = fs::metadata(&part).and_then(|facts| facts.modified()).expect("a time");
    flip_a_bit(&part);
    // As if nobody had written to it.
    let file = File::options().write(true).open(&part).expect("a file");
    file.set_modified(modified).expect("the time can be set");
    let name = part.file_name().expect("a name").to_string_lossy().into_owned();
    project.run(&home, &["diff"]).exits(4).says(&[&name, "another content", "help: run `recon stage`"]);
    let staged = project.stage(&home).exits(0);
    assert_eq!(staged.sum("units_read"), 1);
    assert_eq!(project.results_after(&staged, &home), undisturbed);
}

#[test]
fn damaged_failures_are_never_taken_for_none() {
    let project = Project::new(200, true);
    let undisturbed = project.results(&project.home("undisturbed"));
    let damages: [Damage; 4] = [
        ("every row removed", lose_every_row),
        ("a bit", flip_a_bit),
        ("cut short", cut_short),
        ("deleted", |path| fs::remove_file(path).expect("the file goes")),
    ];
    for damage in damages {
        noticed_and_mended(&project, &undisturbed, "stage/orders_old/*-failures.parquet", damage);
    }
}

#[test]
fn damaged_hashes_are_made_again() {
    let project = Project::new(200, true);
    let home = project.home("home");
    let undisturbed = project.results(&home);
    let damages: [Damage; 5] = [
        ("deleted", |path| fs::remove_file(path).expect("the file goes")),
        ("cut short", cut_short),
        ("a bit", flip_a_bit),
        ("last row removed", lose_the_last_row),
        ("emptied", |path| fs::write(path, "").expect("a file")),
    ];
    for file in ["hash-0*.parquet", "hash-unparsed.parquet", "failed-0*.parquet"] {
        for (what, damage) in damages {
            damage(&first(&home, &format!("stage/diff/*/*/{file}")));
            let staged = project.stage(&home).exits(3);
            assert_eq!(staged.sum("units_read"), 0, "{file}: {what}");
            assert_eq!(project.results_after(&staged, &home), undisturbed, "{file}: {what}");
        }
    }
}

#[test]
fn a_ledger_of_a_newer_version_is_left_alone() {
    let project = Project::new(200, false);
    let home = project.home("home");
    project.stage(&home).exits(0);
    let ledger = || Connection::open(home.join("ledger.db")).expect("the ledger opens");
    let set = |version: i64| ledger().pragma_update(None, "user_version", version).expect("a version");
    let known = ledger().pragma_query_value(None, "user_version", |row| row.get(0)).expect("a version");
    set(99);
    for command in [&["stage"][..], &["diff"], &["status"], &["runs"]] {
        project.run(&home, command).exits(4).says(&["ledger.db is of version 99", "newer recon"]);
    }
    set(known);
    assert_eq!(project.stage(&home).exits(0).sum("units_read"), 0);
}

#[test]
fn a_ledger_of_an_older_version_is_brought_up_to_date_by_whoever_writes() {
    let project = Project::new(200, false);
    let home = project.home("home");
    fs::create_dir_all(&home).expect("a home");
    let ledger = Connection::open(home.join("ledger.db")).expect("a ledger");
    ledger.execute_batch(include_str!("../../../queries/ledger/0001_create.sql")).expect("its first version");
    ledger.pragma_update(None, "user_version", 1).expect("a version");
    drop(ledger);
    project.run(&home, &["status"]).exits(4).says(&["ledger.db was made by an earlier recon", "recon stage"]);
    project.stage(&home).exits(0);
    project.run(&home, &["status"]).exits(0);
    assert_eq!(project.stage(&home).exits(0).sum("units_read"), 0);
}

#[test]
fn a_ledger_that_is_no_database_is_refused() {
    let project = Project::new(200, false);
    let home = project.home("home");
    project.stage(&home).exits(0);
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(home.join(format!("ledger.db{suffix}")));
    }
    fs::write(home.join("ledger.db"), "not a database ".repeat(5_000)).expect("a file");
    for command in [&["stage"][..], &["diff"], &["status"]] {
        project.run(&home, command).exits(4).says(&["ledger.db"]);
    }
}

#[test]
fn hashes_of_a_lost_ledger_are_never_used_again() {
    let project = Project::new(200, false);
    let home = project.home("home");
    project.results(&home);
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(home.join(format!("ledger.db{suffix}")));
    }
    let file = project.file("items_new", 0);
    let text = fs::read_to_string(&file).expect("a file");
    fs::write(&file, text.replace("I#8,8\n", "I#8,7\n")).expect("a file");
    let undisturbed = project.results(&project.home("afresh"));
    assert_eq!(project.results(&home), undisturbed);
}
