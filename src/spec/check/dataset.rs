//! Datasets: what each is, where it lies, and that it has no option of another kind.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::Checker;
use crate::spec::interpolate::interpolate;
use crate::spec::raw::{At, RawDataset};
use crate::spec::suggest::{closest, did_you_mean};
use crate::spec::unknown::tables_in;
use crate::spec::words::{COMPRESSIONS, ENCODINGS, KINDS, OBJECT_STORAGE, OPTIONS, belongs, has_uri};
use crate::spec::{
    BytesEncoding, Compression, CsvOptions, Dataset, DatasetKind, ExportOptions, SqlOptions, time_zone,
};

impl Checker<'_> {
    pub(super) fn dataset(&mut self, name: &At<String>, raw: &RawDataset) -> Option<Dataset> {
        self.dataset_name(name);
        let kind = self.kind(name, raw)?;
        self.foreign_options(name, raw, kind);
        let timezone = raw.timezone.as_ref().and_then(|at| self.timezone(at));
        let kind = match kind {
            "postgres" | "mysql" => {
                let (url, what) = (self.url(name, raw), self.what(name, raw));
                let options = SqlOptions { url: url?, what: what? };
                if kind == "postgres" { DatasetKind::Postgres(options) } else { DatasetKind::Mysql(options) }
            }
            "sqlite" => {
                let path = self.needed(name, "path", raw.path.as_ref(), "the database's file");
                let (path, what) = (path.and_then(|at| self.local_file(at)), self.what(name, raw));
                DatasetKind::Sqlite { path: path?, what: what? }
            }
            "dynamodb" => DatasetKind::Dynamodb(self.dynamodb(name, raw)?),
            files => {
                let uri = self.needed(name, "uri", raw.uri.as_ref(), "a file, a folder or a glob")?;
                let uri = self.location(uri);
                match files {
                    "csv" => DatasetKind::Csv(self.csv(raw, uri)?),
                    "jsonl" => DatasetKind::Jsonl { uri: uri? },
                    "parquet" => DatasetKind::Parquet { uri: uri? },
                    _ => DatasetKind::DynamodbExport(self.export(raw, uri)?),
                }
            }
        };
        let storage = self.storage(raw)?;
        let compression = match &raw.compression {
            Some(at) => Some(self.word(at, "compression", &COMPRESSIONS)?),
            None => None,
        };
        let compression = compression.map(|i| [Compression::None, Compression::Gzip, Compression::Zstd][i]);
        let line = self.line(name);
        Some(Dataset { name: name.value.clone(), kind, timezone, storage, compression, line })
    }

    /// A dataset's name is also the name of its folder in the stage.
    fn dataset_name(&mut self, name: &At<String>) {
        let fits = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.value.is_empty() || name.value.starts_with('.') || !name.value.chars().all(fits) {
            self.report(
                &name.span,
                format!("`{}` cannot be the name of a dataset", name.value.escape_debug()),
                "use letters, digits, `_` and `-`",
            );
        }
    }

    fn kind(&mut self, name: &At<String>, raw: &RawDataset) -> Option<&'static str> {
        let Some(at) = &raw.kind else {
            let help = format!("add `kind = \"…\"`, one of {}", KINDS.join(", "));
            self.report(&name.span, format!("dataset `{}` has no `kind`", name.value), help);
            return None;
        };
        self.word(at, "kind of dataset", &KINDS).map(|i| KINDS[i])
    }

    fn foreign_options(&mut self, name: &At<String>, raw: &RawDataset, kind: &str) {
        let locations = raw.uri.iter().chain(raw.increments.iter().flatten());
        let mut locations = locations.filter_map(|at| interpolate(&at.value, self.env).ok());
        let in_object_storage = has_uri(kind) && locations.any(|uri| uri.starts_with("s3://"));
        let document = self.document;
        let table = tables_in(document, "datasets").find(|(other, _)| *other == name.value);
        let keys: Vec<(&str, Range<usize>)> = table
            .into_iter()
            .flat_map(|(_, table)| table.keys())
            .map(|key| (key.get_ref().as_ref(), key.span()))
            .collect();
        for (option, span) in keys {
            if belongs(option, kind) || (in_object_storage && OBJECT_STORAGE.contains(&option)) {
                continue;
            }
            let owners =
                OPTIONS.iter().find(|(other, _)| *other == option).map_or(&[][..], |(_, kinds)| kinds);
            let message = match owners {
                [] if option == "endpoint" || option == "region" => {
                    format!("`{option}` belongs to kind dynamodb and to datasets with an `s3://` uri")
                }
                [] => format!("`{option}` belongs to datasets with an `s3://` uri"),
                [owner] => format!("`{option}` belongs to kind {owner}"),
                owners => format!("`{option}` belongs to the kinds {}", owners.join(", ")),
            };
            self.report(&span, message, format!("dataset `{}` is of kind {kind}: remove it", name.value));
        }
    }

    fn timezone(&mut self, at: &At<String>) -> Option<String> {
        let value = self.interpolated(at)?;
        if time_zone(&value).is_some() {
            return Some(value);
        }
        let known: Vec<String> = jiff::tz::db().available().map(|name| name.as_str().to_owned()).collect();
        let help = match closest(&at.value, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "write an IANA name such as `Europe/Zurich`, or an offset such as `+02:00`".to_owned(),
        };
        self.report(&at.span, format!("`{}` is no time zone", at.value), help);
        None
    }

    /// An object's URI, or a local path as seen from the current folder. The spec's own paths start at the spec's folder.
    pub(super) fn location(&mut self, at: &At<String>) -> Option<String> {
        let value = self.interpolated(at)?;
        if value.trim().is_empty() {
            self.report(&at.span, "the location is empty", "write a file, a folder or a glob");
            return None;
        }
        match value.split_once("://") {
            Some(("file", path)) if path.starts_with('/') => return Some(path.to_owned()),
            Some(("s3", place)) => {
                if place.split('/').next().is_some_and(|bucket| !bucket.is_empty()) {
                    return Some(value);
                }
                self.report(&at.span, "the bucket is missing", "write `s3://BUCKET/KEY`");
                return None;
            }
            Some((scheme, _)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+') => {
                self.report(
                    &at.span,
                    "files are read on this machine and in S3",
                    "give a file, a folder, a glob or an `s3://` uri",
                );
                return None;
            }
            _ => {}
        }
        let folder = self.text.path.parent().unwrap_or(Path::new(""));
        let resolved = resolve(folder, &value);
        if resolved.is_none() {
            self.report(&at.span, "the spec's own folder is not valid UTF-8", "give an absolute path");
        }
        resolved
    }

    /// The path of a file that is only read on this machine.
    pub(super) fn local_file(&mut self, at: &At<String>) -> Option<String> {
        let location = self.location(at)?;
        if location.starts_with("s3://") {
            self.report(&at.span, "this file is only read on this machine", "copy it here and give its path");
            return None;
        }
        Some(location)
    }

    fn csv(&mut self, raw: &RawDataset, uri: Option<String>) -> Option<CsvOptions> {
        let delimiter = raw.delimiter.as_ref().map_or(Some(b','), |at| self.csv_byte(at, "delimiter"));
        let quote = raw.quote.as_ref().map_or(Some(b'"'), |at| self.csv_byte(at, "quote"));
        if let Some(span) = raw.quote.as_ref().or(raw.delimiter.as_ref()).map(|at| &at.span)
            && delimiter.is_some()
            && delimiter == quote
        {
            self.report(span, "`delimiter` and `quote` are the same character", "give one of them another");
        }
        let columns = raw.columns.as_ref().and_then(|at| self.columns(at));
        let header = raw.header.as_ref().map_or(raw.columns.is_none(), |at| at.value);
        if let Some(at) = &raw.columns
            && header
        {
            self.report(
                &at.span,
                "`columns` and `header = true` contradict each other",
                "remove `columns`, or say `header = false` where the files have none",
            );
        }
        let tokens = raw.null_tokens.as_deref().unwrap_or_default();
        let null_tokens = tokens.iter().map(|at| self.interpolated(at)).collect::<Vec<_>>();
        let encoding = match &raw.encoding {
            Some(at) => self.word(at, "encoding", &ENCODINGS)?,
            None => 0,
        };
        let encoding = if encoding == 0 { BytesEncoding::Hex } else { BytesEncoding::Base64 };
        Some(CsvOptions {
            uri: uri?,
            delimiter: delimiter?,
            quote: quote?,
            header,
            columns,
            null_tokens: null_tokens.into_iter().collect::<Option<_>>()?,
            encoding,
        })
    }

    fn csv_byte(&mut self, at: &At<String>, option: &str) -> Option<u8> {
        let value = self.interpolated(at)?;
        match value.as_bytes() {
            // As typed in a literal TOML string.
            b"\\t" => Some(b'\t'),
            [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r') => Some(*byte),
            [b'\n' | b'\r'] => {
                self.report(
                    &at.span,
                    format!("`{option}` cannot be a line break"),
                    "a line break ends the record",
                );
                None
            }
            _ => {
                let help = "write one character, such as \";\" or \"\\t\"";
                self.report(&at.span, format!("`{option}` must be exactly one ASCII character"), help);
                None
            }
        }
    }

    fn columns(&mut self, at: &At<Vec<At<String>>>) -> Option<Vec<String>> {
        if at.value.is_empty() {
            self.report(&at.span, "`columns` is empty", "name the columns in the order of the file");
            return None;
        }
        let mut names: Vec<String> = Vec::new();
        for column in &at.value {
            let name = self.interpolated(column)?;
            if name.is_empty() || names.contains(&name) {
                let what =
                    if name.is_empty() { "a column needs a name" } else { "this column is named twice" };
                self.report(&column.span, what, "every column needs a name of its own");
                return None;
            }
            names.push(name);
        }
        Some(names)
    }

    fn export(&mut self, raw: &RawDataset, uri: Option<String>) -> Option<ExportOptions> {
        let increments = raw.increments.as_deref().unwrap_or_default();
        let increments: Vec<_> = increments.iter().map(|at| self.location(at)).collect();
        Some(ExportOptions {
            uri: uri?,
            increments: increments.into_iter().collect::<Option<_>>()?,
            allow_gap: raw.allow_gap.unwrap_or(false),
        })
    }

    /// A dataset that an entity names.
    pub(super) fn known_dataset(&mut self, at: &At<String>, names: &[&str]) -> Option<String> {
        if names.contains(&at.value.as_str()) {
            return Some(at.value.clone());
        }
        let help = match names {
            [] => format!("describe it under `[datasets.{}]`", at.value),
            names => did_you_mean(&at.value, names.iter().copied(), "the datasets are"),
        };
        self.report(&at.span, format!("no dataset is called `{}`", at.value), help);
        None
    }
}

/// A path of the spec as seen from the current folder; `None` if the folder's name is no text.
fn resolve(folder: &Path, value: &str) -> Option<String> {
    let has_glob = |text: &str| text.contains(['*', '?', '[']);
    if folder.as_os_str().is_empty() || Path::new(value).is_absolute() {
        return Some(value.to_owned());
    }
    let folder = folder.to_str()?;
    let joined: PathBuf = Path::new(folder).join(value);
    if has_glob(folder) && has_glob(value) && !joined.exists() {
        // Only the spec's own characters are a pattern: a folder called `data[1]` is only a name.
        return Some(Path::new(&glob::Pattern::escape(folder)).join(value).to_str()?.to_owned());
    }
    Some(joined.to_str()?.to_owned())
}
