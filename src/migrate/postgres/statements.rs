//! The statements that write a batch into one table, made once.

use crate::ledger::manifest::{Change, Image, Op};
use crate::migrate::mapped::{Column, Mapped};
use crate::query::{identifier, render};
use crate::spec::{OnConflict, Policy};
use crate::value::column::ColumnType;

/// The statements for one table.
#[derive(Clone, Debug)]
pub(super) struct Statements {
    /// Makes the temporary table.
    pub(super) create: String,
    /// Copies a batch into it.
    pub(super) copy: String,
    /// Reads what is there, and locks it.
    pub(super) images: String,
    /// Finds what differs, and what of it may be changed.
    pub(super) differing: String,
    /// Writes what is not there; `None` where only what is there is changed.
    pub(super) insert: Option<String>,
    /// The same where nothing is expected to be there: it fails where something is.
    pub(super) insert_new: Option<String>,
    /// Changes what is there; `None` where it stays.
    pub(super) update: Option<String>,
    /// The columns of an image, in order.
    pub(super) image_columns: Vec<String>,
    /// The columns that are written.
    pub(super) written: Vec<String>,
    /// The key's columns.
    pub(super) key: Vec<String>,
    /// The table, for the manifest.
    pub(super) table: String,
}

impl Statements {
    pub(super) fn new(table: &str, mapped: &Mapped<'_>, images: &[&str], overriding: &str) -> Self {
        let names = |columns: &[Column]| columns.iter().map(|c| identifier(&c.name)).collect::<Vec<_>>();
        let (written, key) = (names(&mapped.columns), names(mapped.key()));
        let same = key.iter().map(|k| format!("old.{k} = new.{k}")).collect::<Vec<_>>().join(" and ");
        let one = |(i, name): (usize, &&str)| format!("old.{}::text as i{i}", identifier(name));
        let image_list: Vec<String> = images.iter().enumerate().map(one).collect();
        let row: Vec<String> = images.iter().map(|name| format!("old.{}::text", identifier(name))).collect();
        let digest = format!("encode(sha256(convert_to(row({})::text, 'UTF8')), 'hex')", row.join(", "));
        let set = |c: &Column| format!("{} = {}", identifier(&c.name), new_value(c));
        let set: Vec<String> = mapped.columns.iter().filter(|c| !c.is_key).map(set).collect();
        let (before, after): (Vec<String>, Vec<String>) =
            mapped.compared().map(|c| (format!("old.{}", identifier(&c.name)), new_value(c))).unzip();
        let differs = differs(&before, &after);
        let version = mapped.version.map(|at| identifier(&mapped.columns[at].name));
        let lower = version.map(|v| format!("(old.{v} is null or old.{v} < new.{v})"));
        let allowed = match mapped.policy() {
            Policy::InsertOnly => "false".to_owned(),
            Policy::Upsert | Policy::UpdateOnly => lower.unwrap_or_else(|| "true".to_owned()),
        };
        let fill = |template: &str, more: &[(&str, &str)]| {
            let pieces = [
                ("table", table),
                ("same", same.as_str()),
                ("differs", differs.as_str()),
                ("allowed", &allowed),
            ];
            let pieces: Vec<(&str, &str)> = pieces.into_iter().chain(more.iter().copied()).collect();
            render(template, &pieces)
        };
        let values: Vec<String> = written.iter().map(|c| format!("new.{c}")).collect();
        let key_texts: Vec<String> = key.iter().map(|k| format!("old.{k}::text")).collect();
        let (images_sql, key_list) = (image_list.join(", "), key.join(", "));
        let insert = |template: &str| {
            let more = [
                ("columns", written.join(", ")),
                ("overriding", overriding.to_owned()),
                ("values", values.join(", ")),
                ("key", key_list.clone()),
                ("returning", format!("{digest}, {}", key_texts.join(", "))),
            ];
            let more: Vec<(&str, &str)> = more.iter().map(|(name, piece)| (*name, piece.as_str())).collect();
            (mapped.policy() != Policy::UpdateOnly).then(|| fill(template, &more))
        };
        Self {
            create: fill(
                include_str!("../../../queries/migrate/postgres/create_batch.sql"),
                &[("columns", &written.join(", "))],
            ),
            copy: format!("copy recon_batch (recon_n, {}) from stdin", written.join(", ")),
            images: {
                let more = [("images", images_sql.as_str()), ("other", &other_key(mapped))];
                fill(include_str!("../../../queries/migrate/postgres/images.sql"), &more)
            },
            differing: fill(include_str!("../../../queries/migrate/postgres/differing.sql"), &[]),
            insert: insert(include_str!("../../../queries/migrate/postgres/insert.sql")),
            insert_new: insert(include_str!("../../../queries/migrate/postgres/insert_new.sql")),
            update: (mapped.policy() != Policy::InsertOnly && !set.is_empty()).then(|| {
                let more = [("set", set.join(", ")), ("returning", format!("{digest}, {images_sql}"))];
                let more: Vec<(&str, &str)> =
                    more.iter().map(|(name, piece)| (*name, piece.as_str())).collect();
                fill(include_str!("../../../queries/migrate/postgres/update.sql"), &more)
            }),
            image_columns: images.iter().map(|name| (*name).to_owned()).collect(),
            written: mapped.columns.iter().map(|c| c.name.clone()).collect(),
            key: mapped.key().iter().map(|c| c.name.clone()).collect(),
            table: table.to_owned(),
        }
    }

    /// A change of one row, without its images.
    pub(super) fn change(&self, batch: u64, op: Op, key: Image, digest: String) -> Change {
        Change::without_images(&self.table, batch, op, key, digest)
    }
}

/// Whether what is there differs from what would be written. As texts: types without an operator for equality, and equal values that
/// are not the same one.
fn differs(before: &[String], after: &[String]) -> String {
    match before.is_empty() {
        true => "false".to_owned(),
        false => format!("row({})::text is distinct from row({})::text", before.join(", "), after.join(", ")),
    }
}

/// Whether a row that was found by its key has another one, which only its collation or type takes for the same.
fn other_key(mapped: &Mapped<'_>) -> String {
    let is_text = |c: &&Column| c.ty == Some(ColumnType::Text);
    let differs = |c: &Column| {
        format!("old.{0}::text collate \"C\" <> new.{0}::text collate \"C\"", identifier(&c.name))
    };
    let columns: Vec<String> = mapped.key().iter().filter(is_text).map(differs).collect();
    if columns.is_empty() { "false".to_owned() } else { columns.join(" or ") }
}

/// What a column is set to where the record is there.
fn new_value(column: &Column) -> String {
    let name = identifier(&column.name);
    match &column.on_conflict {
        OnConflict::Overwrite => format!("new.{name}"),
        OnConflict::Keep => format!("old.{name}"),
        OnConflict::Coalesce => format!("coalesce(new.{name}, old.{name})"),
        OnConflict::Greatest => format!("greatest(new.{name}, old.{name})"),
        OnConflict::Sql(sql) => format!("({}\n)", sql.text),
    }
}
