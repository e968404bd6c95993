//! Live datasets: where each is, and what of it is read.

use super::Checker;
use crate::spec::raw::{At, RawDataset};
use crate::spec::{DynamodbOptions, Storage, TableName, Url, What};

impl Checker<'_> {
    /// An option without which a dataset of its kind means nothing.
    pub(super) fn needed<'r>(
        &mut self,
        name: &At<String>,
        option: &str,
        given: Option<&'r At<String>>,
        what: &str,
    ) -> Option<&'r At<String>> {
        if given.is_none() {
            let message = format!("dataset `{}` has no `{option}`", name.value);
            self.report(&name.span, message, format!("add `{option} = \"…\"`: {what}"));
        }
        given
    }

    /// The URL of a database.
    pub(super) fn url(&mut self, name: &At<String>, raw: &RawDataset) -> Option<Url> {
        let kind = raw.kind.as_ref().map_or("", |at| at.value.as_str());
        let at = self.needed(name, "url", raw.url.as_ref(), "as in `url = \"${DATABASE_URL}\"`")?;
        let url = self.interpolated(at)?;
        let schemes: &[&str] = match kind {
            "postgres" => &["postgres://", "postgresql://"],
            _ => &["mysql://", "mariadb://"],
        };
        if schemes.iter().any(|scheme| url.starts_with(scheme)) {
            let url = Url::new(url);
            if let Err(why) = url.check() {
                self.report(&at.span, why.to_string(), why.help_text().unwrap_or_default());
                return None;
            }
            return Some(url);
        }
        // The text itself may be a secret, so it is not repeated.
        let message = format!("the `url` of a {kind} dataset begins with `{}`", schemes[0]);
        self.report(&at.span, message, format!("write `{}USER@HOST:PORT/DATABASE`", schemes[0]));
        None
    }

    /// Exactly one of `table`, `query` and `query_file`.
    pub(super) fn what(&mut self, name: &At<String>, raw: &RawDataset) -> Option<What> {
        let given: Vec<(&str, &At<String>)> =
            [("table", &raw.table), ("query", &raw.query), ("query_file", &raw.query_file)]
                .into_iter()
                .filter_map(|(option, at)| Some((option, at.as_ref()?)))
                .collect();
        let (option, at) = match given.as_slice() {
            [one] => *one,
            [] => {
                let message = format!("dataset `{}` does not say what to read", name.value);
                self.report(
                    &name.span,
                    message,
                    "add `table = \"…\"`, `query = \"…\"` or `query_file = \"…\"`",
                );
                return None;
            }
            [_, (option, second), ..] => {
                let message = format!("`{option}` and `{}` contradict each other", given[0].0);
                self.report(&second.span, message, "keep one of `table`, `query` and `query_file`");
                return None;
            }
        };
        match option {
            "table" => {
                let text = self.interpolated(at)?;
                TableName::parse(&text)
                    .map(What::Table)
                    .map_err(|why| self.report(&at.span, why, TableName::HELP))
                    .ok()
            }
            "query" => self.query(at, at.value.clone()),
            _ => {
                let path = self.local_file(at)?;
                match std::fs::read_to_string(&path) {
                    Ok(text) => self.query(at, text),
                    Err(error) => {
                        let message = format!("cannot read {path}: {error}");
                        self.report(&at.span, message, "a relative path starts at the folder of the spec");
                        None
                    }
                }
            }
        }
    }

    fn query(&mut self, at: &At<String>, text: String) -> Option<What> {
        let text = text.trim().trim_end_matches(';').trim_end().to_owned();
        if text.is_empty() {
            self.report(&at.span, "the query is empty", "write one `select`");
            return None;
        }
        Some(What::Query(text))
    }

    pub(super) fn dynamodb(&mut self, name: &At<String>, raw: &RawDataset) -> Option<DynamodbOptions> {
        let table = self.needed(name, "table", raw.table.as_ref(), "the table's name")?;
        let table = self.interpolated(table);
        let mut text = |at: &Option<At<String>>| match at {
            Some(at) => self.interpolated(at).map(Some),
            None => Some(None),
        };
        let (region, endpoint) = (text(&raw.region), text(&raw.endpoint));
        let (partition, sort_prefix) = (text(&raw.partition), text(&raw.sort_prefix));
        let mut count = |at: &Option<At<u32>>, option: &str, most: u32| {
            let at = at.as_ref()?;
            if at.value == 0 || at.value > most {
                let message = format!("`{option}` is a number from 1 to {most}");
                self.report(&at.span, message, "leave it out for what the table suggests");
            }
            Some(at.value)
        };
        // DynamoDB's own limit of `TotalSegments`.
        let (segments, rcu_max) =
            (count(&raw.segments, "segments", 1_000_000), count(&raw.max_rcu, "max_rcu", u32::MAX));
        if let (Some(at), None) = (&raw.sort_prefix, &raw.partition) {
            self.report(&at.span, "`sort_prefix` without `partition`", "a Query needs a partition key");
        }
        Some(DynamodbOptions {
            table: table?,
            region: region?,
            endpoint: endpoint?,
            segments,
            consistent: raw.consistent.unwrap_or(false),
            partition: partition?,
            sort_prefix: sort_prefix?,
            rcu_max,
        })
    }

    /// How object storage is reached.
    pub(super) fn storage(&mut self, raw: &RawDataset) -> Option<Storage> {
        let is = |at: &Option<At<bool>>| at.as_ref().is_some_and(|at| at.value);
        let mut text = |at: &Option<At<String>>| match at {
            Some(at) => self.interpolated(at).map(Some),
            None => Some(None),
        };
        let (endpoint, region) = (text(&raw.endpoint), text(&raw.region));
        Some(Storage {
            endpoint: endpoint?,
            region: region?,
            path_style: is(&raw.path_style),
            unsigned: is(&raw.unsigned),
            requester_pays: is(&raw.requester_pays),
        })
    }
}
