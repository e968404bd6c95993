//! Datasets: kinds, options, locations, interpolation.

use super::*;
use crate::spec::{BytesEncoding, Compression, CsvOptions, DatasetKind, Storage};

#[track_caller]
fn kind(lines: &str) -> DatasetKind {
    good(&dataset(lines)).datasets[0].kind.clone()
}

#[track_caller]
fn csv(lines: &str) -> CsvOptions {
    match kind(&format!("kind = \"csv\"\nuri = \"a.csv\"\n{lines}")) {
        DatasetKind::Csv(options) => options,
        other => panic!("not csv: {other:?}"),
    }
}

#[track_caller]
fn bad_csv(lines: &str) -> String {
    bad(&dataset(&format!("kind = \"csv\"\nuri = \"a.csv\"\n{lines}")))
}

#[test]
fn csv_by_default() {
    let expected = CsvOptions {
        uri: "a.csv".to_owned(),
        delimiter: b',',
        quote: b'"',
        header: true,
        columns: None,
        null_tokens: Vec::new(),
        encoding: BytesEncoding::Hex,
    };
    assert_eq!(csv(""), expected);
}

#[test]
fn csv_with_everything() {
    let options = csv("delimiter = \"\\t\"\nquote = \"'\"\nheader = false\ncolumns = [\"a\", \"B c\"]\n\
                       null_tokens = [\"NULL\", \"\\\\N\"]\nencoding = \"base64\"");
    let expected = CsvOptions {
        uri: "a.csv".to_owned(),
        delimiter: b'\t',
        quote: b'\'',
        header: false,
        columns: Some(vec!["a".to_owned(), "B c".to_owned()]),
        null_tokens: vec!["NULL".to_owned(), "\\N".to_owned()],
        encoding: BytesEncoding::Base64,
    };
    assert_eq!(options, expected);
}

#[test]
fn compression_is_one_of_three_and_of_files_that_are_written() {
    let of = |kind: &str, word: &str| {
        dataset(&format!("kind = \"{kind}\"\nuri = \"a\"\ncompression = \"{word}\""))
    };
    assert_eq!(good(&of("jsonl", "gzip")).datasets[0].compression, Some(Compression::Gzip));
    assert_eq!(good(&dataset("kind = \"jsonl\"\nuri = \"a\"")).datasets[0].compression, None);
    assert_has(&bad(&of("csv", "zst")), &["did you mean `zstd`"]);
    let owners = "`compression` belongs to the kinds csv, jsonl, parquet";
    assert_has(&bad(&of("dynamodb-export", "gzip")), &[owners]);
}

#[test]
fn tab_in_a_literal_string() {
    assert_eq!(csv(r"delimiter = '\t'").delimiter, b'\t');
}

#[test]
fn delimiter_is_one_ascii_byte() {
    for text in ["", ";;", "é"] {
        let report = bad_csv(&format!("delimiter = \"{text}\""));
        assert_has(&report, &["recon.toml:4:13: `delimiter` must be exactly one ASCII character"]);
    }
    assert_has(&bad_csv("quote = \"\""), &["`quote` must be exactly one ASCII character"]);
}

#[test]
fn delimiter_is_no_line_break() {
    assert_has(&bad_csv("delimiter = \"\\n\""), &["`delimiter` cannot be a line break"]);
    assert_has(&bad_csv("quote = \"\\r\""), &["`quote` cannot be a line break"]);
}

#[test]
fn delimiter_and_quote_differ() {
    assert_has(&bad_csv("delimiter = '\"'"), &["4:13: `delimiter` and `quote` are the same"]);
    assert_has(&bad_csv("quote = ','"), &["4:9: `delimiter` and `quote` are the same"]);
}

#[test]
fn columns_and_a_header_contradict() {
    assert_has(
        &bad_csv("header = true\ncolumns = [\"a\"]"),
        &["5:11: `columns` and `header = true` contradict"],
    );
}

#[test]
fn columns_alone_mean_that_there_is_no_header() {
    assert!(!csv("columns = [\"a\"]").header);
}

#[test]
fn no_header_and_no_columns() {
    let options = csv("header = false");
    assert_eq!((options.header, options.columns), (false, None));
}

#[test]
fn columns_have_names_of_their_own() {
    assert_has(&bad_csv("columns = [\"a\", \"a\"]"), &["4:17: this column is named twice"]);
    assert_has(&bad_csv("columns = [\"a\", \"\"]"), &["4:17: a column needs a name"]);
    assert_has(&bad_csv("columns = []"), &["4:11: `columns` is empty"]);
}

#[test]
fn unknown_encoding() {
    assert_has(
        &bad_csv("encoding = \"base46\""),
        &["4:12: `base46` is no encoding", "did you mean `base64`?"],
    );
}

#[test]
fn jsonl_and_parquet() {
    assert_eq!(
        kind("kind = \"jsonl\"\nuri = \"a/*.jsonl\""),
        DatasetKind::Jsonl { uri: "a/*.jsonl".to_owned() }
    );
    assert_eq!(kind("kind = \"parquet\"\nuri = \"/a\""), DatasetKind::Parquet { uri: "/a".to_owned() });
}

#[test]
fn dynamodb_export() {
    let found = kind(
        "kind = \"dynamodb-export\"\nuri = \"full\"\nincrements = [\"i1\", \"${EXPORTS}/i2\"]\nallow_gap = true",
    );
    let DatasetKind::DynamodbExport(options) = found else { panic!("an export") };
    assert_eq!((options.uri.as_str(), options.allow_gap), ("full", true));
    assert_eq!(options.increments, ["i1", "/exports/i2"]);
}

#[test]
fn unknown_kind() {
    let report = bad(&dataset("kind = \"cvs\"\nuri = \"a\""));
    assert_has(&report, &["2:8: `cvs` is no kind of dataset", "did you mean `csv`?"]);
}

#[test]
fn live_stores_say_where_they_are_and_what_is_read() {
    let postgres = |rest: &str| dataset(&format!("kind = \"postgres\"\n{rest}"));
    let good = good(&postgres("url = \"postgres://me:s3cret@host/db\"\ntable = 'public.\"Odd.Name\"'"));
    let DatasetKind::Postgres(options) = &good.datasets[0].kind else { panic!("{:?}", good.datasets[0]) };
    assert_eq!(options.url.secret(), "postgres://me:s3cret@host/db");
    assert_eq!(good.datasets[0].kind.place(), "postgres://me@host/db public.\"Odd.Name\"");
    assert!(!format!("{:?}", good.datasets).contains("s3cret"));
    let url = "url = \"postgres://host/db\"\n";
    for (rest, wrong) in [
        ("table = \"a\"", "dataset `a` has no `url`"),
        (
            "url = \"mysql://h/s3cret\"\ntable = \"a\"",
            "the `url` of a postgres dataset begins with `postgres://`",
        ),
        (url, "dataset `a` does not say what to read"),
        (&format!("{url}table = \"a b\""), "this is no table's name"),
        (&format!("{url}query = \" ; \""), "the query is empty"),
        (&format!("{url}query_file = \"nowhere.sql\""), "cannot read"),
        (&format!("{url}table = \"a\"\nquery = \"select 1\""), "`query` and `table` contradict each other"),
    ] {
        let report = bad(&postgres(rest));
        assert_has(&report, &[wrong]);
        assert_eq!(report.matches("error: ").count(), 1, "{report}");
    }
    let dynamodb = |rest: &str| bad(&dataset(&format!("kind = \"dynamodb\"\ntable = \"t\"\n{rest}")));
    assert_has(&dynamodb("segments = 0"), &["`segments` is a number from 1"]);
    assert_has(&dynamodb("sort_prefix = \"x\""), &["`sort_prefix` without `partition`"]);
    assert_has(&bad(&dataset("kind = \"sqlite\"\ntable = \"t\"")), &["dataset `a` has no `path`"]);
}

#[test]
fn kind_and_uri_are_needed() {
    assert_has(&bad(&dataset("uri = \"a\"")), &["1:11: dataset `a` has no `kind`", "one of csv, jsonl"]);
    assert_has(&bad(&dataset("kind = \"csv\"")), &["1:11: dataset `a` has no `uri`"]);
}

#[test]
fn option_of_another_kind() {
    assert_eq!(
        bad(&dataset("kind = \"jsonl\"\nuri = \"a\"\ndelimiter = \";\"")),
        "error: recon.toml:4:1: `delimiter` belongs to kind csv\n  |\n4 | delimiter = \";\"\n  | ^^^^^^^^^\n  \
         help: dataset `a` is of kind jsonl: remove it"
    );
    assert_has(&bad_csv("increments = []"), &["`increments` belongs to kind dynamodb-export"]);
    assert_has(&bad_csv("url = \"x\""), &["`url` belongs to the kinds postgres, mysql"]);
    assert_has(&bad_csv("path_style = true"), &["`path_style` belongs to datasets with an `s3://` uri"]);
    assert_has(
        &bad_csv("region = \"x\""),
        &["`region` belongs to kind dynamodb and to datasets with an `s3://` uri"],
    );
}

#[test]
fn object_storage_and_how_it_is_reached() {
    let lines = "kind = \"csv\"\nuri = \"s3://bucket/a.csv\"\nendpoint = \"http://x\"\nregion = \"x\"\n\
                 path_style = true\nunsigned = true";
    let spec = good(&dataset(lines));
    let found = spec.dataset("a").unwrap();
    assert_eq!(found.kind.place(), "s3://bucket/a.csv");
    assert_eq!(
        found.storage,
        Storage {
            endpoint: Some("http://x".to_owned()),
            region: Some("x".to_owned()),
            path_style: true,
            unsigned: true,
            requester_pays: false
        }
    );
    let export = "kind = \"dynamodb-export\"\nuri = \"a\"\nincrements = [\"s3://b\"]\nregion = \"x\"";
    assert_eq!(good(&dataset(export)).dataset("a").unwrap().storage.region.as_deref(), Some("x"));
    assert_has(&bad(&dataset("kind = \"csv\"\nuri = \"s3:///a\"")), &["3:7: the bucket is missing"]);
    let sqlite = "kind = \"sqlite\"\npath = \"s3://b/a.db\"\ntable = \"t\"";
    assert_has(&bad(&dataset(sqlite)), &["3:8: this file is only read on this machine"]);
}

#[test]
fn only_local_files() {
    assert_has(
        &bad(&dataset("kind = \"csv\"\nuri = \"https://x/a.csv\"")),
        &["3:7: files are read on this machine and in S3"],
    );
    assert_eq!(
        kind("kind = \"jsonl\"\nuri = \"file:///a/b\""),
        DatasetKind::Jsonl { uri: "/a/b".to_owned() }
    );
}

#[test]
fn relative_locations_start_at_the_folder_of_the_spec() {
    let at = |path: &str, uri: &str| {
        let text = dataset(&format!("kind = \"jsonl\"\nuri = \"{uri}\""));
        match parse(&text, Path::new(path), &env).expect("this spec is right").datasets[0].kind.clone() {
            DatasetKind::Jsonl { uri } => uri,
            other => panic!("not jsonl: {other:?}"),
        }
    };
    assert_eq!(at("recon.toml", "a/b"), "a/b");
    assert_eq!(at("x/recon.toml", "a/b"), "x/a/b");
    assert_eq!(at("x/recon.toml", "/a/b"), "/a/b");
    assert_eq!(at("x[1]/recon.toml", "a"), "x[1]/a");
    assert_eq!(at("x[1]/recon.toml", "*.jsonl"), "x[[]1[]]/*.jsonl");
}

#[test]
fn environment_is_put_in() {
    assert_eq!(csv("null_tokens = [\"$x ${SECRET} $${SECRET} $\"]").null_tokens, ["$x hunter2 ${SECRET} $"]);
}

#[test]
fn unset_variable_is_named_with_its_place() {
    assert_eq!(
        bad(&dataset("kind = \"csv\"\nuri = \"${SECRET}/${NOPE}/a.csv\"")),
        "error: recon.toml:3:18: the environment variable `NOPE` is not set\n  |\n\
         3 | uri = \"${SECRET}/${NOPE}/a.csv\"\n  |                  ^^^^^^^\n  \
         help: set it (`export NOPE=…`), or write `$${NOPE}` where the text itself is meant"
    );
}

#[test]
fn broken_interpolation() {
    assert_has(&bad_csv("null_tokens = [\"a${B\"]"), &["4:18: `${` without its `}`"]);
    assert_has(
        &bad_csv("null_tokens = [\"${A:-b}\"]"),
        &["4:17: `A:-b` is no name of an environment variable"],
    );
    assert_has(&bad_csv("null_tokens = [\"${}\"]"), &["`` is no name"]);
}

#[test]
fn values_of_the_environment_are_never_shown() {
    // `bad` looks for the value in every report; these are the places where it could slip in.
    bad_csv("delimiter = \"${SECRET}\"");
    assert_has(&bad_csv("timezone = \"${SECRET}\""), &["`${SECRET}` is no time zone"]);
    bad(&dataset("kind = \"csv\"\nuri = \"${SECRET}://x\""));
    bad(&dataset("kind = \"${SECRET}\"\nuri = \"x\""));
}

#[test]
fn empty_location() {
    assert_has(&bad(&dataset("kind = \"csv\"\nuri = \"${EMPTY}\"")), &["3:7: the location is empty"]);
}

#[test]
fn sql_and_rules_are_not_interpolated() {
    let filter =
        the_entity(&good(&entity("where = \"n = '${SECRET}'\""))).source_filter.expect("it has a filter");
    assert_eq!(filter.text, "n = '${SECRET}'");
    assert_has(
        &bad(&entity("").replace("source = \"a\"", "source = \"${SECRET}\"")),
        &["called `${SECRET}`"],
    );
}

#[test]
fn time_zones() {
    for zone in ["Europe/Zurich", "UTC", "+02:00", "-05:30"] {
        let spec = good(&dataset(&format!("kind = \"csv\"\nuri = \"a\"\ntimezone = \"{zone}\"")));
        assert_eq!(spec.datasets[0].timezone.as_deref(), Some(zone));
    }
    assert_has(
        &bad_csv("timezone = \"Europe/Zuerich\""),
        &["4:12: `Europe/Zuerich` is no", "mean `Europe/Zurich`?"],
    );
    for zone in ["EST5EDT4,M3.2.0,M11.1.0", "02:00", "+99:00", "", "nowhere at all"] {
        assert_has(&bad_csv(&format!("timezone = \"{zone}\"")), &["is no time zone"]);
    }
}

#[test]
fn dataset_names_are_safe_as_folders() {
    for name in ["../x", "a/b", "", ".hidden", "a b"] {
        let text =
            dataset("kind = \"csv\"\nuri = \"a\"").replace("datasets.a", &format!("datasets.\"{name}\""));
        assert_has(&bad(&text), &["1:11: ", "cannot be the name of a dataset"]);
    }
}
