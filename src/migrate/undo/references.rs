//! Foreign keys that refer to a table: what they make of other rows when one goes or changes is somebody's loss.

use std::collections::BTreeSet;

/// A foreign key that refers to a table. Whatever it does when a row goes, it is looked at before: one that is deferred would speak only
/// when the batch is committed.
pub(crate) struct Reference {
    /// The table that refers.
    pub(crate) child: String,
    /// Whether it is the table itself.
    pub(crate) is_self: bool,
    /// The column of the child, and the one that it refers to.
    pub(crate) columns: Vec<[String; 2]>,
}

impl Reference {
    /// The condition that a row of the child refers to one of the table, `old`. The column that is referred to stands first: its
    /// collation is the one that counts.
    pub(crate) fn refers(&self, quoted: impl Fn(&str) -> String) -> String {
        let pairs = self.columns.iter();
        let pairs = pairs.map(|[child, parent]| format!("old.{} = child.{}", quoted(parent), quoted(child)));
        pairs.collect::<Vec<_>>().join(" and ")
    }

    /// What is said of a row that it refers to.
    pub(crate) fn detail(&self) -> String {
        format!("rows of {} refer to it", self.child)
    }
}

/// Which foreign keys are asked after.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// Only those that refer to one of these columns; `None` for all.
    pub columns: Option<&'a BTreeSet<String>>,
    /// Not those of these tables.
    pub not_of: &'a [String],
}

impl Asked<'_> {
    /// Those that are asked after.
    pub(crate) fn of<'r>(&self, references: &'r [Reference]) -> impl Iterator<Item = &'r Reference> {
        references.iter().filter(|reference| {
            // SQLite's foreign keys may spell a column otherwise than its table.
            let is_changed = |parent: &String| {
                self.columns
                    .is_none_or(|columns| columns.iter().any(|name| name.eq_ignore_ascii_case(parent)))
            };
            let is_touched = reference.columns.iter().any(|[_, parent]| is_changed(parent));
            is_touched && !self.not_of.contains(&reference.child)
        })
    }
}
