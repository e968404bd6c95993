//! Files in S3 as a side: each kind, in one piece and in many; what changed; what goes wrong.

use std::fs;

use crate::project::{Project, Ran, write_export, write_parquet};
use crate::servers::proxy::{ALWAYS, Answer, Body, HttpProxy};
use crate::servers::s3::{
    ENVIRONMENT, bucket, dataset, dataset_at, endpoint, get, port, put, put_all, put_folder,
};

const ENTITY: &str = "[entities.row]\nsource = \"a\"\ntarget = \"b\"\nkey = [\"id\"]\n";

/// The environment without any credentials, in whatever place.
const NOBODY: [(&str, &str); 5] = [
    ("AWS_EC2_METADATA_DISABLED", "true"),
    ("AWS_CONFIG_FILE", "/nonexistent"),
    ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent"),
    ("AWS_ACCESS_KEY_ID", ""),
    ("AWS_SECRET_ACCESS_KEY", ""),
];

/// The other side, where it does not matter.
const OTHER: &str = "[datasets.b]\nkind = \"csv\"\nuri = \"b.csv\"\n";

/// A project whose source is that dataset.
fn write_spec(project: &Project, dataset: &str) {
    project.write("b.csv", "id\n1\n");
    project.write("recon.toml", dataset.to_owned() + OTHER + ENTITY);
}

fn stage(project: &Project) -> Ran {
    project.recon_with(&["stage"], &ENVIRONMENT)
}

/// Stages and compares: the exit code, and how many rows each side has.
#[track_caller]
fn compared(project: &Project) -> (i32, u64, u64) {
    let staged = stage(project);
    assert_eq!(staged.code, 0, "{}", staged.stderr);
    // What was staged is compared without the store.
    let ran = project.recon_with(&["diff", "--out", "out"], &NOBODY);
    let row = &project.summary("out")["entities"]["row"];
    let count = |name: &str| row[name].as_u64().expect("a count");
    assert_eq!(count("matched"), count("source_rows"), "{row}");
    (ran.code, count("source_rows"), count("target_rows"))
}

fn csv(rows: std::ops::Range<u32>) -> String {
    let mut text = "id,text\n".to_owned();
    rows.for_each(|n| text.push_str(&format!("{n},{}\n", "x".repeat(n as usize % 90))));
    text
}

#[test]
fn files_of_each_kind_are_what_they_are_on_this_machine() {
    bucket("kinds");
    let local = Project::new();
    // 23 MiB: several ranges, and more than are asked for ahead.
    let (large, lines) = (csv(0..500_000), "{\"id\":1,\"text\":\"é\"}\n{\"id\":2}\n");
    local.write("large.csv", &large);
    put("kinds", "large.csv", &large, &[]);
    local.write("lines.jsonl", lines);
    put("kinds", "lines.jsonl", lines, &[]);
    let parquet = local.path("rows.parquet");
    write_parquet("select i::bigint as id, i / 3 as text from range(200000) t(i)", &parquet);
    put("kinds", "rows.parquet", fs::read(&parquet).unwrap(), &[]);
    for (kind, file, rows) in
        [("csv", "large.csv", 500_000), ("jsonl", "lines.jsonl", 2), ("parquet", "rows.parquet", 200_000)]
    {
        let project = Project::new();
        let own = format!("[datasets.b]\nkind = \"{kind}\"\nuri = \"{}\"\n", local.path(file).display());
        project.write("recon.toml", dataset("a", kind, &format!("s3://kinds/{file}")) + &own + ENTITY);
        assert_eq!(compared(&project), (0, rows, rows), "{kind}");
    }
}

#[test]
fn a_folder_of_more_objects_than_a_page_and_a_glob() {
    bucket("many");
    let object = |n: u32| (format!("day={}/part-{n}.csv", n % 7), format!("id,text\n{n},x\n"));
    let mut objects: Vec<_> = (0..1_105).map(object).collect();
    objects.push(("_tmp/part-0.csv".to_owned(), "not,read\n".to_owned()));
    objects.push(("day=0/readme.md".to_owned(), "not read".to_owned()));
    put_all("many", &objects);
    let project = Project::new();
    project.write("all.csv", csv(0..1_105).replace('x', ""));
    let own = "[datasets.b]\nkind = \"csv\"\nuri = \"all.csv\"\n";
    let entity = format!("{ENTITY}[entities.row.fields]\nid = \"id\"\n");
    project.write("recon.toml", dataset("a", "csv", "s3://many") + own + &entity);
    assert_eq!(compared(&project), (0, 1_105, 1_105));
    // What lies in folders that a glob matches is what these give, one by one.
    project.write("recon.toml", dataset("a", "csv", "s3://many/day=*/") + own + &entity);
    assert_eq!(compared(&project), (0, 1_105, 1_105));
    // Of day 3 alone there are 158: what the others hold is missing on this side.
    for uri in
        ["s3://many/day=3/*.csv", "s3://many/day=3", "s3://many/day=3/", "s3://many/*=3/", "s3://many/d*=3"]
    {
        project.write("recon.toml", dataset("a", "csv", uri) + own + &entity);
        assert_eq!(compared(&project), (1, 158, 1_105), "{uri}");
    }
}

/// A page of a listing that is not the last one, from a store that gives no token to go on with.
const PAGE_WITHOUT_TOKEN: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
    <ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>cut</Name><Prefix>p/</Prefix>\
    <KeyCount>1</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>true</IsTruncated>\
    <Contents><Key>p/0.csv</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;x&quot;</ETag>\
    <Size>5</Size><StorageClass>STANDARD</StorageClass></Contents></ListBucketResult>";

#[test]
fn a_listing_that_breaks_off_is_no_listing() {
    bucket("cut");
    for n in 0..2 {
        put("cut", &format!("p/{n}.csv"), format!("id\n{n}\n"), &[]);
    }
    let page =
        Answer { to: "ListObjectsV2", requests: ALWAYS, status: 200, body: Body::Text(PAGE_WITHOUT_TOKEN) };
    let proxy = HttpProxy::to(port(), vec![page]);
    let project = Project::new();
    for uri in ["s3://cut/p/", "s3://cut/p/*.csv"] {
        write_spec(&project, &dataset_at(&proxy.endpoint, "a", "csv", uri));
        let ran = stage(&project);
        assert_eq!(ran.code, 4, "{}", ran.stderr);
        let words = ["s3://cut/p/: the listing ends before its end", "ListObjectsV2"];
        assert!(words.iter().all(|word| ran.stderr.contains(word)), "{}", ran.stderr);
    }
    proxy.step_aside();
    assert!(stage(&project).stdout.contains("a: 2 rows from 2 units"));
}

#[test]
fn an_export_and_its_increments_with_their_manifests() {
    bucket("exports");
    let project = Project::new();
    let item = |id: u32, text: &str| {
        format!("{{\"Item\":{{\"id\":{{\"N\":\"{id}\"}},\"text\":{{\"S\":\"{text}\"}}}}}}\n")
    };
    let full = write_export(&project.path("up/pre"), 0, &(item(1, "a") + &item(2, "b")));
    let change = "{\"Metadata\":{\"WriteTimestampMicros\":{\"N\":\"1\"}},\"Keys\":{\"id\":{\"N\":\"2\"}},\
                  \"NewImage\":{\"id\":{\"N\":\"2\"},\"text\":{\"S\":\"c\"}}}\n";
    let increment = write_export(&project.path("up/pre"), 1, change);
    put_folder("exports", &project.path("up"));
    project.write("b.csv", "id,text\n1,a\n2,c\n");
    let chain = format!("increments = [\"s3://exports/pre/{increment}\"]\n\n");
    let spec = |uri: &str, more: &str| {
        dataset("a", "dynamodb-export", uri).trim_end().to_owned() + "\n" + more + OTHER + ENTITY
    };
    project.write("recon.toml", spec(&format!("s3://exports/pre/{full}/"), &chain));
    assert_eq!(compared(&project), (0, 2, 2));
    let checked = project.recon_with(&["check"], &ENVIRONMENT);
    assert!(!checked.stdout.contains("neither checksums"), "{}", checked.stdout);
    // Two exports below the prefix: which is meant, the user has to say.
    project.write("recon.toml", spec("s3://exports/pre", ""));
    let ran = stage(&project);
    assert_eq!(ran.code, 4);
    assert!(ran.stderr.contains("several exports") && ran.stderr.contains("(full, as of"), "{}", ran.stderr);
    // Data files alone, and one that is not what the manifest says.
    project.write("recon.toml", spec(&format!("s3://exports/pre/{full}/data"), ""));
    assert!(stage(&project).stderr.contains("no manifests"));
    put("exports", &format!("pre/{full}/data/abcdefghijklmnopqrstuvwxy0.json.gz"), "x", &[]);
    project.write("recon.toml", spec(&format!("s3://exports/pre/{full}"), ""));
    let ran = stage(&project);
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    assert!(ran.stderr.contains("its MD5 is"), "{}", ran.stderr);
}

#[test]
fn only_what_changed_is_read_again() {
    bucket("again");
    for n in 0..3 {
        put("again", &format!("p/{n}.csv"), format!("id\n{n}\n"), &[]);
    }
    let project = Project::new();
    write_spec(&project, &dataset("a", "csv", "s3://again/p"));
    let read = || {
        let ran = project.recon_with(&["stage", "--format", "json"], &ENVIRONMENT);
        let told: serde_json::Value = serde_json::from_str(&ran.stdout).expect(&ran.stderr);
        told["datasets"]["a"]["units_read"].as_u64().expect("a number")
    };
    assert_eq!((read(), read()), (3, 0));
    put("again", "p/1.csv", "id\n7\n", &[]);
    assert_eq!(read(), 1);
}

#[test]
fn keys_that_are_one_path_are_several_objects() {
    bucket("odd");
    for (n, key) in ["p/x.csv", "p//x.csv", "p/y/x.csv"].iter().enumerate() {
        put("odd", key, format!("id\n{n}\n"), &[]);
    }
    let project = Project::new();
    write_spec(&project, &dataset("a", "csv", "s3://odd/p/"));
    let ran = stage(&project);
    assert!(ran.stdout.contains("a: 3 rows from 3 units"), "{} {}", ran.stdout, ran.stderr);
}

#[test]
fn bytes_that_are_not_those_that_were_stored_are_refused() {
    bucket("sums");
    let right = "id\n1\n";
    let project = Project::new();
    // CRC-32 of the bytes, and of others: the server keeps what it is told.
    for (key, crc, code) in [("right.csv", "zVvpDw==", 0), ("wrong.csv", "AAAAAA==", 4)] {
        let sum = format!("x-amz-checksum-crc32: {crc}");
        put("sums", key, right, &["x-amz-sdk-checksum-algorithm: CRC32", &sum]);
        write_spec(&project, &dataset("a", "csv", &format!("s3://sums/{key}")));
        let ran = stage(&project);
        assert_eq!(ran.code, code, "{key}: {}", ran.stderr);
        if code == 4 {
            assert!(
                ran.stderr.contains("s3://sums/wrong.csv did not arrive as it is stored"),
                "{}",
                ran.stderr
            );
        }
    }
}

#[test]
fn what_goes_wrong_names_the_place_and_the_next_step() {
    bucket("wrong");
    put("wrong", "a.csv", "id\n1\n", &["x-amz-acl: public-read"]);
    let project = Project::new();
    let good = dataset("a", "csv", "s3://wrong/a.csv");
    for (spec, environment, message, help) in [
        (dataset("a", "csv", "s3://wrong/b.csv"), &ENVIRONMENT[..], "s3://wrong/b.csv is not there", "case"),
        (dataset("a", "csv", "s3://wrong/a*.tsv"), &ENVIRONMENT[..], "no object matches", "aws s3 ls"),
        (dataset("a", "jsonl", "s3://wrong/"), &ENVIRONMENT[..], "holds no file that ends in .jsonl", "glob"),
        (dataset("a", "csv", "s3://nobodys/a.csv"), &ENVIRONMENT[..], "s3://nobodys", "the bucket's name"),
        (good.clone(), &NOBODY[..], "s3://wrong/a.csv", "no credentials were found; tried"),
        (
            "[datasets.a]\nkind = \"csv\"\nuri = \"s3://wrong/a.csv\"\nendpoint = \"http://127.0.0.1:1\"\n"
                .to_owned(),
            &ENVIRONMENT[..],
            "s3://wrong/a.csv",
            "check that the endpoint is there",
        ),
    ] {
        write_spec(&project, &spec);
        let ran = project.recon_with(&["stage"], environment);
        assert_eq!(ran.code, 4, "{}", ran.stderr);
        assert!(ran.stderr.contains(message) && ran.stderr.contains(help), "{message}: {}", ran.stderr);
    }
    // Without a signature what is public can be read.
    write_spec(&project, &(good.trim_end().to_owned() + "\nunsigned = true\n\n"));
    assert_eq!(project.recon_with(&["stage"], &NOBODY).code, 0);
}

#[test]
fn reports_never_take_the_place_of_an_input() {
    bucket("inputs");
    put("inputs", "in/missing.csv", "id\n1\n", &[]);
    put("inputs", "in/more.csv", "id\n2\n", &[]);
    let project = Project::new();
    let at = endpoint();
    let environment = [&ENVIRONMENT[..], &[("AWS_ENDPOINT_URL_S3", at.as_str())]].concat();
    // Named itself, or as one of a folder's or a glob's; also where recon wrote its reports before.
    for (marked, uri) in [false, true].into_iter().flat_map(|marked| {
        ["s3://inputs/in/missing.csv", "s3://inputs/in", "s3://inputs/*/m*.csv"].map(|uri| (marked, uri))
    }) {
        if marked {
            put("inputs", "in/.recon-reports", "", &[]);
        }
        write_spec(&project, &dataset("a", "csv", uri));
        assert_eq!(stage(&project).code, 0);
        for out in ["s3://inputs/in", "s3://inputs/in/"] {
            let ran = project.recon_with(&["diff", "--out", out], &environment);
            let words = match uri {
                "s3://inputs/in" => {
                    "the next `recon stage` would read mismatches.csv there as a file of dataset `a`"
                }
                "s3://inputs/*/m*.csv" => "the next `recon stage` would read mismatches.csv there",
                _ => "--out would overwrite s3://inputs/in/missing.csv, an input of dataset `a`",
            };
            assert!(ran.code == 2 && ran.stderr.contains(words), "{uri} {out}: {} {}", ran.code, ran.stderr);
        }
    }
    assert_eq!(get("inputs", "in/missing.csv"), b"id\n1\n");
}

#[test]
fn reports_go_where_the_user_wants_them() {
    bucket("reports");
    let project = Project::new();
    write_spec(&project, "[datasets.a]\nkind = \"csv\"\nuri = \"a.csv\"\n");
    // 40 MB of missing records: more than one request takes.
    project.write("a.csv", csv(0..800_000));
    project.write("b.csv", "id,text\n1,other\n");
    assert_eq!(project.recon(&["stage"]).code, 0);
    let at = endpoint();
    let environment = [&ENVIRONMENT[..], &[("AWS_ENDPOINT_URL_S3", at.as_str())]].concat();
    let diff = |out: &str| project.recon_with(&["diff", "--out", out], &environment);
    for _ in 0..2 {
        let ran = diff("s3://reports/run/one/");
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        assert!(ran.stdout.contains("reports in s3://reports/run/one\n"), "{}", ran.stdout);
        for command in ["runs", "status"] {
            let said = project.recon(&[command]).stdout;
            assert!(said.contains("s3://reports/run/one"), "{command}: {said}");
        }
    }
    assert_eq!(project.recon(&["diff", "--out", "out"]).code, 1);
    for name in ["mismatches.csv", "missing.csv", "extra.csv", "duplicates.csv", "failures.csv"] {
        let (there, here) =
            (get("reports", &format!("run/one/{name}")), fs::read(project.path("out").join(name)).unwrap());
        assert!(there == here, "{name}: {} bytes there, {} here", there.len(), here.len());
    }
    let summary: serde_json::Value = serde_json::from_slice(&get("reports", "run/one/summary.json")).unwrap();
    assert_eq!(summary["entities"]["row"]["missing"], 799_999);
    put("reports", "mine/summary.json", "{}", &[]);
    for (out, code, words) in [
        ("s3://reports/mine", 2, "would overwrite s3://reports/mine/summary.json"),
        ("s3:///x", 2, "the bucket is missing"),
        ("s3://nobodys/x", 4, "s3://nobodys/x"),
    ] {
        let ran = diff(out);
        assert!(ran.code == code && ran.stderr.contains(words), "{out}: {} {}", ran.code, ran.stderr);
    }
    assert_eq!(get("reports", "mine/summary.json"), b"{}");
}

#[test]
fn reports_do_not_go_where_a_dataset_would_read_them() {
    bucket("own");
    put("own", "day=1/a.csv", "id\n1\n", &[]);
    let at = endpoint();
    let environment = [&ENVIRONMENT[..], &[("AWS_ENDPOINT_URL_S3", at.as_str())]].concat();
    let project = Project::new();
    for (uri, out, code) in [
        ("s3://own", "s3://own/reports", 2),
        ("s3://own", "s3://own/_reports", 0),
        ("s3://own/day=1/", "s3://own/day=1", 2),
        ("s3://own/day=*/", "s3://own/day=2", 2),
        ("s3://own/day=1", "s3://own/day=10", 0),
        ("s3://own/day=*/a.csv", "s3://own/day=1", 0),
    ] {
        write_spec(&project, &dataset("a", "csv", uri));
        let staged = stage(&project);
        assert_eq!(staged.code, 0, "{uri}: {}", staged.stderr);
        let ran = project.recon_with(&["diff", "--out", out], &environment);
        assert_eq!(ran.code, code, "{uri} {out}: {}", ran.stderr);
        assert_eq!(code == 2, ran.stderr.contains("a file of dataset `a`"), "{uri} {out}: {}", ran.stderr);
    }
}

#[test]
fn an_object_in_an_archive_has_to_be_restored() {
    bucket("archive");
    put("archive", "a.csv", "id\n1\n", &["x-amz-storage-class: GLACIER"]);
    let project = Project::new();
    write_spec(&project, &dataset("a", "csv", "s3://archive/a.csv"));
    let ran = stage(&project);
    assert!(ran.code == 4 && ran.stderr.contains("restore it first"), "{} {}", ran.code, ran.stderr);
}
