//! The statements that write a batch into one table, made once.

use super::columns::{Found, Kind, Limits};
use crate::ledger::manifest::{Change, Image, Op};
use crate::migrate::mapped::{Column, Mapped};
use crate::query::render;
use crate::spec::{OnConflict, Policy};
use crate::store::mysql::quoted;

/// The statements for one table. Those that take a range of places have `{{low}}` and `{{high}}` in them.
pub(super) struct Statements {
    /// Makes the temporary table.
    pub(super) create: String,
    /// Empties it.
    pub(super) empty: String,
    /// Loads records; `{{rows}}` is still in it.
    pub(super) load: String,
    /// Reads columns back that have to be verified; `None` where there are none.
    pub(super) loaded: Option<String>,
    /// Reads what is there, and locks it.
    pub(super) images: String,
    /// Marks records; `{{state}}` and `{{places}}` are still in it.
    pub(super) mark: String,
    /// Keeps documents that are there; `{{column}}` and `{{places}}` are still in it.
    pub(super) keep_documents: String,
    /// Works out what is not simply overwritten; `None` where everything is.
    pub(super) resolve: Option<String>,
    /// Finds what would be changed.
    pub(super) differing: String,
    /// Writes what is not there; `None` where only what is there is changed.
    pub(super) insert: Option<String>,
    /// Changes what is there; `None` where it stays.
    pub(super) update: Option<String>,
    /// Reads the keys of inserted rows.
    pub(super) inserted: String,
    /// Reads changed rows.
    pub(super) updated: String,
    /// Whether a key is there exactly; `{{place}}` is still in it.
    pub(super) taken: String,
    /// The columns of an image, in order, and whether its bytes are written as hex digits.
    pub(super) image_columns: Vec<(String, bool)>,
    /// Their names.
    pub(super) image_names: Vec<String>,
    /// Those of the key.
    pub(super) key: Vec<(String, bool)>,
    /// The columns that are written.
    pub(super) written: Vec<String>,
    /// The table.
    pub(super) table: String,
}

/// How a column's value is selected for an image, so that it is that value's whole: floats with all their digits, bits as a number,
/// text as it is or, where it is not in UTF-8, its bytes; and whether those are bytes. `side` is the row's name in the statement.
pub(super) fn image(side: &str, name: &str, limits: &Limits) -> (String, bool) {
    let column = format!("{side}.{}", quoted(name));
    match limits.kind {
        Kind::Float | Kind::Double => (format!("({column} + 0e0)"), false),
        Kind::Bit(_) => (format!("({column} + 0)"), false),
        Kind::Bytes { .. } => (column, true),
        Kind::Geometry => (format!("cast({column} as binary)"), true),
        Kind::Text { .. } | Kind::Enum(_) | Kind::Set(_) if !limits.is_utf8() => {
            (format!("cast({column} as binary)"), true)
        }
        _ => (column, false),
    }
}

/// A value for a comparison byte by byte: by the column's collation different texts are equal.
fn exactly(value: &str, limits: &Limits) -> String {
    match limits.kind {
        Kind::Text { .. }
        | Kind::Enum(_)
        | Kind::Set(_)
        | Kind::Bytes { .. }
        | Kind::Geometry
        | Kind::Other => {
            format!("cast({value} as binary)")
        }
        Kind::Document => format!("cast(cast({value} as char) as binary)"),
        _ => value.to_owned(),
    }
}

/// Whether a column of the table has byte by byte what that of the temporary one has.
pub(super) fn same_exactly(name: &str, limits: &Limits) -> String {
    let side = |side: &str| exactly(&format!("{side}.{}", quoted(name)), limits);
    format!("{} <=> {}", side("old"), side("new"))
}

/// A column of the temporary table, that takes what this one takes.
pub(super) fn declared(name: String, found: &Found) -> String {
    format!("{name} {} null default null", found.declared)
}

/// The names of the pieces that are put in later stay as they are.
const LATER: [(&str, &str); 7] = [
    ("low", "{{low}}"),
    ("high", "{{high}}"),
    ("rows", "{{rows}}"),
    ("state", "{{state}}"),
    ("places", "{{places}}"),
    ("column", "{{column}}"),
    ("place", "{{place}}"),
];

/// What the statements are put together from.
struct Pieces<'a> {
    mapped: &'a Mapped<'a>,
    /// For each written column what was found of it.
    found: Vec<&'a Found>,
    /// The columns of an image.
    images: Vec<&'a Found>,
    /// In quotes: database and name of the table, and of the temporary one.
    tables: [String; 2],
}

impl Pieces<'_> {
    fn columns(&self) -> impl Iterator<Item = (usize, &Column, &Found)> {
        let found = self.mapped.columns.iter().zip(&self.found).enumerate();
        found.map(|(i, (column, found))| (i, column, *found))
    }

    fn others(&self) -> impl Iterator<Item = (usize, &Column, &Found)> {
        self.columns().filter(|(_, column, _)| !column.is_key)
    }

    /// Those that are not simply overwritten.
    fn resolved(&self) -> impl Iterator<Item = (usize, &Column, &Found)> {
        self.others().filter(|(_, column, _)| column.on_conflict != OnConflict::Overwrite)
    }

    fn key(&self) -> impl Iterator<Item = (usize, &Column, &Found)> {
        self.columns().take(self.mapped.key().len())
    }

    /// The columns' names, each behind `before`.
    fn names(&self, before: &str) -> String {
        list(self.columns().map(|(_, column, _)| format!("{before}{}", quoted(&column.name))), ", ")
    }

    /// The columns of the temporary table.
    fn declared(&self) -> String {
        let columns = self.columns().map(|(_, column, found)| declared(quoted(&column.name), found));
        let resolved = self.resolved().map(|(i, _, found)| declared(format!("recon_r{i}"), found));
        list(columns.chain(resolved), ",\n  ")
    }

    fn exact(&self) -> String {
        let exact = self.key().map(|(_, column, found)| same_exactly(&column.name, &found.limits));
        list(exact, " and ")
    }

    fn differs(&self) -> String {
        let compared = self.others().filter(|(_, column, _)| column.class().is_some());
        let differs = compared.map(|(i, column, found)| {
            let old = exactly(&format!("old.{}", quoted(&column.name)), &found.limits);
            format!("not ({old} <=> {})", exactly(&resolved_name(i, column), &found.limits))
        });
        let differs = list(differs, " or ");
        if differs.is_empty() { "false".to_owned() } else { differs }
    }

    fn digest(&self) -> String {
        let digests = self
            .images
            .iter()
            .map(|found| format!("coalesce(sha2({}, 256), '-')", image("old", &found.name, &found.limits).0));
        format!("sha2(concat_ws(',', {}), 256)", list(digests, ", "))
    }

    fn all(&self) -> Vec<(&'static str, String)> {
        let [table, batch] = self.tables.clone();
        let same = self.key().map(|(_, column, _)| format!("old.{0} = new.{0}", quoted(&column.name)));
        let set = self
            .others()
            .map(|(i, column, _)| format!("old.{} = {}", quoted(&column.name), resolved_name(i, column)));
        let resolved =
            self.resolved().map(|(i, column, _)| format!("new.recon_r{i} = {}", new_value(column)));
        vec![
            ("table", table),
            ("batch", batch),
            ("same", list(same, " and ")),
            ("exact", self.exact()),
            ("set", list(set, ", ")),
            ("resolved", list(resolved, ", ")),
            ("differs", self.differs()),
            ("allowed", allowed(self.mapped)),
            ("values", self.names("new.")),
            ("digest", self.digest()),
        ]
    }
}

fn list(parts: impl Iterator<Item = String>, by: &str) -> String {
    parts.collect::<Vec<_>>().join(by)
}

/// What holds the value that a column is to have.
fn resolved_name(i: usize, column: &Column) -> String {
    match column.on_conflict {
        OnConflict::Overwrite => format!("new.{}", quoted(&column.name)),
        _ => format!("new.recon_r{i}"),
    }
}

impl Statements {
    /// `found` are all columns of the table, those that are written among them.
    pub(super) fn new(database: &str, table: &str, mapped: &Mapped<'_>, found: &[Found]) -> Self {
        let of = |column: &Column| {
            found.iter().find(|f| f.name == column.name).expect("every written column was found")
        };
        let tables = [table, "recon_batch"];
        let pieces = Pieces {
            mapped,
            found: mapped.columns.iter().map(of).collect(),
            images: found.iter().filter(|f| !f.generated).collect(),
            tables: tables.map(|name| format!("{}.{}", quoted(database), quoted(name))),
        };
        let all = pieces.all();
        let fill = |template: &str, more: &[(&str, &str)]| {
            let known = all.iter().map(|(name, piece)| (*name, piece.as_str()));
            render(template, &more.iter().copied().chain(known).chain(LATER).collect::<Vec<_>>())
        };
        let plain = |template: &str| fill(template, &[]);
        let written = include_str!("../../../queries/migrate/mysql/written.sql");
        let names = pieces.names("");
        let hexed = |f: &Found| (f.name.clone(), image("old", &f.name, &f.limits).1);
        let selected = |found: &mut dyn Iterator<Item = &Found>| {
            list(found.map(|f| image("old", &f.name, &f.limits).0), ", ")
        };
        let images = selected(&mut pieces.images.iter().copied());
        let key_images = selected(&mut pieces.key().map(|(_, _, found)| found));
        let verified = pieces.columns().filter(|(_, _, found)| found.limits.is_to_be_verified());
        let verified = list(verified.map(|(_, column, _)| quoted(&column.name)), ", ");
        let (inserts, updates) =
            (mapped.policy() != Policy::UpdateOnly, mapped.policy() != Policy::InsertOnly);
        Self {
            create: fill(
                include_str!("../../../queries/migrate/mysql/create_batch.sql"),
                &[("columns", &pieces.declared())],
            ),
            empty: plain(include_str!("../../../queries/migrate/mysql/empty_batch.sql")),
            load: fill(include_str!("../../../queries/migrate/mysql/load.sql"), &[("columns", &names)]),
            loaded: (!verified.is_empty()).then(|| {
                fill(include_str!("../../../queries/migrate/mysql/loaded.sql"), &[("columns", &verified)])
            }),
            images: fill(include_str!("../../../queries/migrate/mysql/images.sql"), &[("images", &images)]),
            mark: plain(include_str!("../../../queries/migrate/mysql/mark.sql")),
            keep_documents: plain(include_str!("../../../queries/migrate/mysql/keep_documents.sql")),
            resolve: (pieces.resolved().next().is_some())
                .then(|| plain(include_str!("../../../queries/migrate/mysql/resolve.sql"))),
            differing: plain(include_str!("../../../queries/migrate/mysql/differing.sql")),
            insert: inserts.then(|| {
                fill(include_str!("../../../queries/migrate/mysql/insert.sql"), &[("columns", &names)])
            }),
            update: (updates && pieces.others().next().is_some())
                .then(|| plain(include_str!("../../../queries/migrate/mysql/update.sql"))),
            inserted: fill(written, &[("images", &key_images), ("state", "0")]),
            updated: fill(written, &[("images", &images), ("state", "2")]),
            taken: plain(include_str!("../../../queries/migrate/mysql/taken.sql")),
            image_columns: pieces.images.iter().map(|f| hexed(f)).collect(),
            image_names: pieces.images.iter().map(|f| f.name.clone()).collect(),
            key: pieces.key().map(|(_, _, found)| hexed(found)).collect(),
            written: mapped.columns.iter().map(|c| c.name.clone()).collect(),
            table: pieces.tables[0].clone(),
        }
    }

    /// A change of one row, without its images.
    pub(super) fn change(&self, batch: u64, op: Op, key: Image, digest: String) -> Change {
        Change::without_images(&self.table, batch, op, key, digest)
    }
}

/// Whether a record that is there may be overwritten.
fn allowed(mapped: &Mapped<'_>) -> String {
    match mapped.version {
        None => "true".to_owned(),
        Some(at) => {
            let version = quoted(&mapped.columns[at].name);
            format!("coalesce(old.{version} is null or old.{version} < new.{version}, false)")
        }
    }
}

/// What a column is to have where the record is there.
fn new_value(column: &Column) -> String {
    let name = quoted(&column.name);
    match &column.on_conflict {
        OnConflict::Overwrite => format!("new.{name}"),
        OnConflict::Keep => format!("old.{name}"),
        OnConflict::Coalesce => format!("coalesce(new.{name}, old.{name})"),
        // NULL is less than any value.
        OnConflict::Greatest => format!("coalesce(greatest(new.{name}, old.{name}), new.{name}, old.{name})"),
        OnConflict::Sql(sql) => format!("({}\n)", sql.text),
    }
}
