//! The statements that write a record into one table, made once.

use crate::ledger::manifest::{Change, Image, Op};
use crate::migrate::mapped::{Column, Mapped};
use crate::query::{identifier, render};
use crate::spec::{OnConflict, Policy};

/// The statements for one table. The parameters of each are the record's values, in the order of its columns, the key's first.
pub(super) struct Statements {
    /// Reads the row of a key.
    pub(super) image: String,
    /// Finds out whether a record that is there would be changed, and may be.
    pub(super) judge: String,
    /// Writes what is not there; `None` where only what is there is changed.
    pub(super) insert: Option<String>,
    /// Changes what is there; `None` where it stays.
    pub(super) update: Option<String>,
    /// The columns of an image, in order.
    pub(super) images: Vec<String>,
    /// Where each written column is among them.
    pub(super) places: Vec<usize>,
    /// The columns that are written.
    pub(super) written: Vec<String>,
    /// The table, for the manifest and in SQL.
    pub(super) table: String,
}

impl Statements {
    /// `collations` are those of the key's unique index.
    pub(super) fn new(
        table: &str,
        mapped: &Mapped<'_>,
        images: &[&str],
        collations: &[Option<String>],
    ) -> Self {
        let names: Vec<String> = mapped.columns.iter().map(|c| identifier(&c.name)).collect();
        let same: Vec<String> = collations
            .iter()
            .enumerate()
            .map(|(i, collation)| {
                let collate = collation.as_ref().map(|name| format!(" collate {}", identifier(name)));
                format!("old.{} = ?{}{}", names[i], i + 1, collate.unwrap_or_default())
            })
            .collect();
        let places: Vec<String> = (1..=names.len()).map(|i| format!("?{i}")).collect();
        let values: Vec<String> =
            places.iter().zip(&names).map(|(place, name)| format!("{place} as {name}")).collect();
        let differs: Vec<String> = mapped
            .compared()
            .map(|c| format!("old.{} is not {} collate binary", identifier(&c.name), new_value(c)))
            .collect();
        let set: Vec<String> = mapped
            .columns
            .iter()
            .filter(|c| !c.is_key)
            .map(|c| format!("{} = {}", identifier(&c.name), new_value(c)))
            .collect();
        let allowed = mapped.version.map_or("true".to_owned(), |at| {
            format!("(old.{v} is null or old.{v} < new.{v}) is true", v = names[at])
        });
        let differs = if differs.is_empty() { "false".to_owned() } else { differs.join(" or ") };
        let image_list: Vec<String> = images.iter().map(|name| format!("old.{}", identifier(name))).collect();
        let pieces = [
            ("table", table),
            ("same", &same.join(" and ")),
            ("values", &values.join(", ")),
            ("differs", &differs),
            ("allowed", &allowed),
            ("set", &set.join(", ")),
            ("columns", &names.join(", ")),
            ("places", &places.join(", ")),
            ("images", &image_list.join(", ")),
        ];
        let fill = |template: &str| render(template, &pieces);
        let place = |c: &Column| images.iter().position(|name| *name == c.name);
        Self {
            image: fill(include_str!("../../../queries/migrate/sqlite/image.sql")),
            judge: fill(include_str!("../../../queries/migrate/sqlite/judge.sql")),
            insert: (mapped.policy() != Policy::UpdateOnly)
                .then(|| fill(include_str!("../../../queries/migrate/sqlite/insert.sql"))),
            update: (mapped.policy() != Policy::InsertOnly && !set.is_empty())
                .then(|| fill(include_str!("../../../queries/migrate/sqlite/update.sql"))),
            images: images.iter().map(|name| (*name).to_owned()).collect(),
            places: mapped
                .columns
                .iter()
                .map(|c| place(c).expect("no written column is generated"))
                .collect(),
            written: mapped.columns.iter().map(|c| c.name.clone()).collect(),
            table: table.to_owned(),
        }
    }

    /// A change of one row, without its images.
    pub(super) fn change(&self, batch: u64, op: Op, key: Image, digest: String) -> Change {
        Change::without_images(&self.table, batch, op, key, digest)
    }
}

/// What a column is set to where the record is there.
fn new_value(column: &Column) -> String {
    let name = identifier(&column.name);
    match &column.on_conflict {
        OnConflict::Overwrite => format!("new.{name}"),
        OnConflict::Keep => format!("old.{name}"),
        OnConflict::Coalesce => format!("coalesce(new.{name}, old.{name})"),
        // NULL is less than any value.
        OnConflict::Greatest => format!("coalesce(max(new.{name}, old.{name}), new.{name}, old.{name})"),
        OnConflict::Sql(sql) => format!("({}\n)", sql.text),
    }
}
