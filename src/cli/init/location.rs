//! What the user named on the command line: which kind of dataset it is, and how the spec says so.
//!
//! In: `a.csv`, `exports/`, `postgres://…`, `dynamodb:TABLE`, or any of them behind the name of its kind (`csv:a.txt`). Out: the
//! kind and the options of a dataset. A password is taken out: the spec gets a variable in its place.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::spec::{self, KINDS, Storage, Url};
use crate::stage::Unit;
use crate::stage::input::Input;
use crate::store::files::{Files, has_extension, is_remote, not_there};

/// What SQLite's files begin with: <https://www.sqlite.org/fileformat.html>, 1.3.
const SQLITE_MAGIC: &[u8] = b"SQLite format 3\0";
/// Files of an export that say that it is one.
const MANIFESTS: [&str; 3] = ["manifest-summary.json", "manifest-files.json", "_started"];
/// The folder in which AWS puts exports.
const EXPORTS_FOLDER: &str = "AWSDynamoDB";
/// Extensions of files, and the kind that they tell.
const EXTENSIONS: [(&str, &[&str]); 5] = [
    ("csv", &[".csv", ".tsv", ".txt"]),
    ("jsonl", &[".jsonl", ".ndjson"]),
    ("parquet", &[".parquet"]),
    ("sqlite", &[".db", ".sqlite", ".sqlite3", ".db3"]),
    ("dynamodb-export", &[".ion"]),
];
/// Delimiters that a header without any comma may have.
const DELIMITERS: [char; 3] = [';', '\t', '|'];
/// Longest beginning of a file that is looked at, in bytes.
const LOOKED_AT_MAX: usize = 1 << 16;

/// One side, as the spec will describe it.
#[derive(Clone, Debug)]
pub(super) struct Location {
    /// The spec's word for what it is.
    pub(super) kind: &'static str,
    /// Options of the dataset beside `kind`, in the order in which they are written.
    pub(super) options: Vec<(&'static str, String)>,
    /// A variable that the spec names in place of what the user gave, and its value.
    pub(super) secret: Option<(&'static str, String)>,
    /// For people, without any password.
    pub(super) shown: String,
    /// A name for what it holds, where a file or a table gives one.
    pub(super) stem: String,
}

/// What holds for both sides.
pub(super) struct Around<'a> {
    /// The spec's file.
    pub(super) spec: &'a Path,
    /// `--region`.
    pub(super) region: Option<&'a str>,
    /// `--endpoint`.
    pub(super) endpoint: Option<&'a str>,
    /// The environment.
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
}

impl Location {
    /// Finds out what `given` is; `variable` takes the place of a URL with a password.
    ///
    /// # Errors
    /// A variable that is not set, a location that tells no kind (exit 2); one that is not there (exit 4).
    pub(super) fn find(given: &str, variable: &'static str, around: &Around<'_>) -> Result<Self> {
        let meant = spec::interpolated(given, around.env)?;
        let (kind, place) = match named_kind(&meant) {
            Some((kind, place)) => (Some(kind), place),
            None => (None, meant.as_str()),
        };
        // What is written is what was given, but for the kind in front of it.
        let written = match named_kind(given) {
            _ if place == meant => given,
            Some((_, place)) => place,
            None => place,
        };
        let written = written.to_owned();
        if place.to_ascii_lowercase().contains("password=") && !place.contains("://") {
            return Err(Error::usage("this is no location but a list of parameters, one of them a password")
                .help("write a URL: `postgres://USER:PASSWORD@HOST:PORT/DATABASE`"));
        }
        let kind = kind.or_else(|| url_kind(place));
        if !matches!(kind, Some("postgres" | "mysql" | "dynamodb")) && may_hold_password(place) {
            return Err(Error::usage("the location is neither a file that is there nor a URL that recon knows; it is not shown, since it may hold a password")
                .help("write `postgres://…`, `mysql://…`, `s3://BUCKET/PREFIX`, `dynamodb:TABLE` or a path"));
        }
        match kind {
            Some(kind @ ("postgres" | "mysql")) => Self::database(kind, place, written, variable),
            Some("dynamodb") => Ok(Self::dynamodb(place, &written, around)),
            kind => Self::files(kind, place, written, around),
        }
    }

    /// Whether it has tables, of which one has to be named.
    pub(super) fn has_tables(&self) -> bool {
        matches!(self.kind, "postgres" | "mysql" | "sqlite")
    }

    fn database(kind: &'static str, url: &str, written: String, variable: &'static str) -> Result<Self> {
        Url::new(url).check()?;
        let shown = Url::new(url).shown();
        let is_secret = Url::new(written.as_str()).has_password();
        let secret = is_secret.then(|| (variable, url.to_owned()));
        let written = if is_secret { format!("${{{variable}}}") } else { written };
        Ok(Self { kind, options: vec![("url", written)], secret, shown, stem: String::new() })
    }

    fn dynamodb(table: &str, written: &str, around: &Around<'_>) -> Self {
        let mut options = vec![("table", written.to_owned())];
        options.extend(reached(around));
        let stem = table.rsplit(['/', ':']).next().unwrap_or_default().to_owned();
        Self { kind: "dynamodb", options, secret: None, shown: format!("dynamodb:{table}"), stem }
    }

    fn files(kind: Option<&'static str>, place: &str, written: String, around: &Around<'_>) -> Result<Self> {
        let remote = is_remote(place);
        let local = place.strip_prefix("file://").unwrap_or(place);
        let (region, endpoint) = (around.region.map(str::to_owned), around.endpoint.map(str::to_owned));
        let files = Files::new(&Storage { region, endpoint, ..Storage::default() });
        let kind = match kind {
            Some(kind) => kind,
            None => kind_of_files(local, &files)?,
        };
        let option = if kind == "sqlite" { "path" } else { "uri" };
        let has_variable = written.replace("$${", "").contains("${");
        let own = if remote || has_variable { written } else { as_seen_from(around.spec, local)? };
        let mut options = vec![(option, own)];
        if kind == "csv" {
            options.extend(delimiter(local, &files)?.map(|c| ("delimiter", c.to_string())));
        }
        if remote {
            options.extend(reached(around));
        }
        let shown = place.to_owned();
        Ok(Self { kind, options, secret: None, stem: stem(local), shown })
    }
}

fn reached(around: &Around<'_>) -> Vec<(&'static str, String)> {
    let given = [("region", around.region), ("endpoint", around.endpoint)];
    given.into_iter().filter_map(|(name, value)| Some((name, value?.to_owned()))).collect()
}

/// `csv:place` and the like. A database's URL begins with its kind, too.
fn named_kind(text: &str) -> Option<(&'static str, &str)> {
    let (word, place) = text.split_once(':')?;
    let kind = KINDS.into_iter().find(|kind| *kind == word)?;
    match kind {
        "postgres" | "mysql" => Some((kind, text)),
        "sqlite" | "dynamodb" => Some((kind, place.strip_prefix("//").unwrap_or(place))),
        _ => Some((kind, place)),
    }
}

fn url_kind(text: &str) -> Option<&'static str> {
    match text.split_once("://")?.0 {
        "postgresql" => Some("postgres"),
        "mariadb" => Some("mysql"),
        _ => None,
    }
}

fn no_kind(place: &str) -> Error {
    Error::usage(format!("{place} does not tell what it holds"))
        .help(format!("put its kind in front, as in `csv:{place}`; the kinds are {}", KINDS.join(", ")))
}

fn kind_of_name(name: &str) -> Option<&'static str> {
    let of_extension = EXTENSIONS.iter().find(|(_, extensions)| has_extension(name, extensions));
    let is_export = name.contains(EXPORTS_FOLDER) || MANIFESTS.iter().any(|file| name.ends_with(file));
    of_extension.map(|(kind, _)| *kind).or(is_export.then_some("dynamodb-export"))
}

/// The kind of files: by manifests, by the first bytes, by extension.
fn kind_of_files(place: &str, files: &Files) -> Result<&'static str> {
    let path = Path::new(place);
    match files.folder(path)? {
        Some(folder) => {
            let is_manifest = |name: &str| folder.file(&path.join(name)).is_some();
            if MANIFESTS.iter().any(|name| is_manifest(name))
                || folder.folders.contains(&path.join(EXPORTS_FOLDER))
            {
                return Ok("dynamodb-export");
            }
        }
        None if !place.contains(['*', '?', '[']) && files.file(path)?.is_none() => {
            return Err(not_there(place).help("name a file, a folder, a glob or a URL"));
        }
        None => {}
    }
    let known: Vec<&str> = EXTENSIONS.iter().flat_map(|(_, list)| *list).copied().chain([".json"]).collect();
    let mut kinds: Vec<&'static str> = Vec::new();
    for unit in files.list(place, &known)? {
        let kind = kind_of_file(&unit, files)?.ok_or_else(|| no_kind(&unit.path.display().to_string()))?;
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    match kinds.as_slice() {
        [kind] => Ok(kind),
        several => Err(Error::usage(format!("{place} holds files of several kinds: {}", several.join(", ")))
            .help("name the files of one kind, as in `folder/*.csv`")),
    }
}

fn kind_of_file(unit: &Unit, files: &Files) -> Result<Option<&'static str>> {
    let name = unit.path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    if let Some(kind) = kind_of_name(&name).filter(|kind| *kind != "sqlite") {
        return Ok(Some(kind));
    }
    let first = first_bytes(unit, files)?;
    if first.starts_with(SQLITE_MAGIC) {
        return Ok(Some("sqlite"));
    }
    if kind_of_name(&name).is_some() {
        // A database that is empty has no first bytes; what is none is said where it is opened.
        return Ok(Some("sqlite"));
    }
    let text: String =
        String::from_utf8_lossy(&first).chars().filter(|c| !c.is_whitespace()).take(16).collect();
    let is_export = text.starts_with("{\"Item\":{") || text.starts_with("$ion_1_0");
    Ok(match has_extension(&name, &[".json"]) {
        true if is_export => Some("dynamodb-export"),
        true => Some("jsonl"),
        false => None,
    })
}

/// The beginning of a file, decompressed.
fn first_bytes(unit: &Unit, files: &Files) -> Result<Vec<u8>> {
    let mut reader = BufReader::with_capacity(LOOKED_AT_MAX, Input::open(files, unit, &Arc::default())?);
    // What cannot be decompressed is said where it is staged.
    Ok(reader.fill_buf().map(<[u8]>::to_vec).unwrap_or_default())
}

/// The delimiter of files whose header has no comma.
fn delimiter(place: &str, files: &Files) -> Result<Option<char>> {
    let Some(unit) = files.list(place, EXTENSIONS[0].1)?.into_iter().next() else { return Ok(None) };
    let first = first_bytes(&unit, files)?;
    let header =
        String::from_utf8_lossy(first.split(|b| matches!(b, b'\n' | b'\r')).next().unwrap_or_default());
    let mut found = DELIMITERS.into_iter().filter(|c| header.contains(*c));
    Ok(match (header.contains(','), found.next(), found.next()) {
        (false, Some(one), None) => Some(one),
        _ => None,
    })
}

/// Whether a text that is no database's URL may have been meant as one, or as the parameters of one.
fn may_hold_password(place: &str) -> bool {
    let lower = place.to_ascii_lowercase();
    let local = lower.strip_prefix("file://").unwrap_or(&lower);
    let is_url = local.contains("://") && !is_remote(local);
    let has_user = local.contains(':') && local.contains('@');
    (is_url || has_user || lower.contains("password=")) && !Path::new(place).exists()
}

/// A path as the spec has to name it: relative to the spec's folder, where it lies in it.
fn as_seen_from(spec: &Path, place: &str) -> Result<String> {
    let folder = spec.parent().unwrap_or(Path::new(""));
    // In the spec `${` begins a variable.
    let text = |path: &Path| path.to_str().map(|text| text.replace("${", "$${"));
    let seen = if folder.as_os_str().is_empty() || Path::new(place).is_absolute() {
        PathBuf::from(place)
    } else {
        let fail = || Error::failed("the current folder is not there");
        let (place, folder) = (std::path::absolute(place), std::path::absolute(folder));
        let (place, folder) = (place.map_err(|_| fail())?, folder.map_err(|_| fail())?);
        place.strip_prefix(&folder).map(Path::to_path_buf).unwrap_or(place)
    };
    text(&seen).ok_or_else(|| Error::usage("the path is not UTF-8").help("rename its folders, or copy it"))
}

/// A file's or folder's own name without its extensions.
fn stem(place: &str) -> String {
    let name = place.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let stem = name.split('.').next().unwrap_or_default();
    if stem.contains(['*', '?', '[']) { String::new() } else { stem.to_owned() }
}
