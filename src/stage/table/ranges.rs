//! What the readers of tables have in common: the ranges in which one is read, and what is said where there is none.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::stage::Stamp;
use crate::stage::{Unit, changed};
use crate::store::table::TableFacts;

/// A part of a table's rows that is read at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    /// Its name, the same from one run to the next.
    pub(crate) name: String,
    /// What follows `from`, condition included.
    pub(crate) from: String,
    /// About how large it is.
    pub(crate) bytes: u64,
    /// In what its rows have their places, where the range is one of places; they may have others once that is another.
    pub(crate) file: Option<i64>,
}

impl Range {
    /// What is left of a table whose other ranges were proven equal.
    pub(crate) fn of_changed(shown: &str, from: &str, units: &[changed::Unit]) -> Vec<Self> {
        let range = |unit: &changed::Unit| Self {
            name: format!("{shown} {}", unit.name),
            from: format!("{from} where {}", unit.condition),
            bytes: 0,
            file: None,
        };
        units.iter().map(range).collect()
    }

    /// The range that a unit stands for.
    ///
    /// # Errors
    /// A unit of another table.
    pub(crate) fn of_unit<'a>(ranges: &'a [Self], unit: &Unit, shown: &str) -> Result<&'a Self> {
        let name = unit.path.display().to_string();
        let found = ranges.iter().find(|range| range.name == name);
        found.ok_or_else(|| Error::failed(format!("{name} is no range of {shown}")))
    }
}

/// The units of a table that is read as of one moment, and what there is to say of its columns.
pub(crate) fn units(ranges: &[Range], moment: &str, facts: &TableFacts) -> (Vec<Unit>, Vec<String>) {
    let unit = |range: &Range| Unit {
        path: PathBuf::from(&range.name),
        stamp: Stamp(moment.to_owned()),
        bytes: range.bytes,
        expected: None,
        file: range.file,
        window: 0,
        is_live: true,
    };
    let remarks = facts.columns.iter().filter_map(|column| {
        column.remark.as_ref().map(|remark| format!("column `{}`: {remark}", column.name))
    });
    (ranges.iter().map(unit).collect(), remarks.collect())
}

/// The error for a table that is not there. `known` are the tables that are, as SQL names them.
pub(crate) fn no_table(store: &str, name: &str, table: &str, known: &[String]) -> Error {
    const SHOWN_MAX: usize = 12;
    let likeness = |known: &String| {
        let last = known.rsplit('.').next().unwrap_or(known).trim_matches('"');
        strsim::jaro_winkler(&last.to_lowercase(), &table.to_lowercase())
    };
    let near = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b))).filter(|k| likeness(k) > 0.7);
    let help = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "no table at all can be seen there".to_owned(),
        None => format!("it has {}", known.iter().take(SHOWN_MAX).cloned().collect::<Vec<_>>().join(", ")),
    };
    Error::failed(format!("{store}: there is no table {name}")).help(help)
}
