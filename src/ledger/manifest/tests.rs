use super::*;
use serde_json::json;

fn head() -> Head {
    Head {
        format: FORMAT,
        run_id: "run".to_owned(),
        spec_digest: "spec".to_owned(),
        entity: "e".to_owned(),
        target: "postgres db t".to_owned(),
        columns: vec!["id".to_owned(), "v".to_owned()],
        version: None,
        undo_of: None,
        complete: false,
        segments: Vec::new(),
    }
}

fn change(n: u64) -> Change {
    let image =
        |text: &str| json!({ "id": n.to_string(), "v": text }).as_object().cloned().unwrap_or_default();
    Change {
        seq: 0,
        batch: n / 3,
        pos: Some(n as i64),
        origin: None,
        op: if n.is_multiple_of(2) { Op::Insert } else { Op::Update },
        table: "t".to_owned(),
        key: image("").into_iter().take(1).collect(),
        columns: vec!["id".to_owned(), "v".to_owned()],
        post_hash: Some(format!("{n:064x}")),
        pre: (n % 2 == 1).then(|| image("old\n\u{0}\"")),
        post: Some(image("new")),
    }
}

fn changes(range: std::ops::Range<u64>) -> Vec<Change> {
    range.map(change).collect()
}

/// All changes of a manifest, without their numbers, and what it was found to be.
fn all(folder: &Path) -> Result<(Vec<Change>, Verified)> {
    let mut found = Vec::new();
    let verified = read(folder, |change| {
        assert_eq!(change.seq, found.len() as u64 + 1);
        found.push(Change { seq: 0, ..change });
        Ok(())
    })?;
    Ok((found, verified))
}

/// A manifest of 30 changes in ten batches and several segments.
fn written(folder: &Path) {
    let mut writer = Writer::create(folder, head()).expect("a manifest");
    writer.segment_bytes = 400;
    for n in 0..10 {
        writer.append(&mut changes(3 * n..3 * n + 3)).expect("a batch");
    }
    writer.finish().expect("an end");
}

#[test]
fn what_was_appended_is_read_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    written(folder.path());
    let (found, verified) = all(folder.path()).expect("a whole manifest");
    assert_eq!(found, changes(0..30));
    let head = read_head(folder.path()).expect("a head");
    assert!(head.complete && head.segments.len() > 2, "{head:?}");
    assert_eq!((verified.changes, verified.torn_bytes), (30, 0));
    assert_eq!(verified.segments, head.segments.len() as u64);
    assert!(Writer::create(folder.path(), head).is_err(), "a manifest is never written over");
}

#[test]
fn a_torn_end_is_cut_wherever_it_is_torn() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut writer = Writer::create(folder.path(), head()).expect("a manifest");
    writer.append(&mut changes(0..3)).expect("a batch");
    let open = path_of(folder.path(), 0);
    let first = fs::metadata(&open).expect("a segment").len();
    writer.append(&mut changes(3..6)).expect("a batch");
    drop(writer);
    let whole = fs::read(&open).expect("a segment");
    for size in 0..=whole.len() as u64 {
        let copy = tempfile::tempdir().expect("a folder");
        fs::copy(folder.path().join(HEAD), copy.path().join(HEAD)).expect("a head");
        fs::write(path_of(copy.path(), 0), &whole[..size as usize]).expect("a segment");
        let expected = if size == whole.len() as u64 {
            6
        } else if size >= first {
            3
        } else {
            0
        };
        let (found, verified) = all(copy.path()).expect("torn, but not damaged");
        assert_eq!((found, verified.changes), (changes(0..expected), expected), "{size} bytes");
        let missing = Writer::reopen(copy.path(), expected + 1).err().expect("a change is missing");
        assert!(missing.to_string().contains("is damaged"), "{missing}");
        assert_eq!(
            fs::read(copy.path().join(open.file_name().expect("a name"))).expect("it is left").len() as u64,
            size
        );
        let mut writer = Writer::reopen(copy.path(), expected).expect("a manifest that goes on");
        writer.append(&mut changes(expected..expected + 2)).expect("a batch");
        writer.finish().expect("an end");
        let (found, verified) = all(copy.path()).expect("whole again");
        assert_eq!((found, verified.torn_bytes), (changes(0..expected + 2), 0), "{size} bytes");
    }
}

#[test]
fn another_format_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    for (format, whose) in [(FORMAT - 1, "an older recon"), (FORMAT + 1, "a newer recon")] {
        fs::write(folder.path().join(HEAD), json!({ "format": format }).to_string()).expect("a head");
        let refused = read_head(folder.path()).expect_err("what nobody here knows");
        assert!(refused.to_string().contains(whose), "{refused}");
    }
}

#[test]
fn a_byte_that_changes_anywhere_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    written(folder.path());
    let segments = read_head(folder.path()).expect("a head").segments;
    for segment in &segments {
        let path = folder.path().join(&segment.file);
        let whole = fs::read(&path).expect("a segment");
        for at in (0..whole.len()).step_by(7) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, bytes).expect("a segment");
            let error = all(folder.path()).expect_err("it is damaged");
            assert!(error.report().contains(&segment.file), "{}", error.report());
        }
        fs::write(&path, whole).expect("a segment");
    }
    // A segment that is gone, and one in the place of another.
    let [one, other] = [&segments[0], &segments[1]].map(|segment| folder.path().join(&segment.file));
    let bytes = fs::read(&one).expect("a segment");
    fs::copy(&other, &one).expect("a segment");
    assert!(all(folder.path()).is_err());
    fs::remove_file(&one).expect("a segment");
    assert!(all(folder.path()).is_err());
    fs::write(&one, bytes).expect("a segment");
    assert!(all(folder.path()).is_ok());
}

#[test]
fn the_changes_of_a_batch_are_found_in_closed_and_open_segments() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut writer = Writer::create(folder.path(), head()).expect("a manifest");
    writer.segment_bytes = 1_000;
    for n in 0..10 {
        writer.append(&mut changes(3 * n..3 * n + 3)).expect("a batch");
    }
    assert!(writer.open.is_some() && !writer.head.segments.is_empty(), "closed segments and an open one");
    let wanted = std::collections::HashSet::from([0, 9, 77]);
    let found = changes_of(folder.path(), &wanted).expect("a whole manifest");
    let seqs = |batch: u64| found.get(&batch).map(|all| all.iter().map(|c| c.seq).collect::<Vec<_>>());
    assert_eq!((seqs(0), seqs(9), seqs(77)), (Some(vec![1, 2, 3]), Some(vec![28, 29, 30]), None));
}
