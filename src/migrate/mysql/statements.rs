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
    /// Those of the key.
    pub(super) key: Vec<(String, bool)>,
    /// The columns that are written.
    pub(super) written: Vec<String>,
    /// Recon's own table.
    pub(super) markers: String,
    /// The table.
    pub(super) table: String,
}

/// How a column's value is selected for an image, so that it is that value's whole: floats with all their digits, bits as a number,
/// text as it is or, where it is not in UTF-8, its bytes; and whether those are bytes.
fn image(name: &str, limits: &Limits) -> (String, bool) {
    let column = format!("old.{}", quoted(name));
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

impl Statements {
    pub(super) fn new(database: &str, table: &str, mapped: &Mapped<'_>, found: &[Found]) -> Self {
        let of = |column: &Column| {
            found.iter().find(|f| f.name == column.name).expect("every written column was found")
        };
        let [quoted_table, batch, markers] = [table, "recon_batch", "recon_batches"]
            .map(|name| format!("{}.{}", quoted(database), quoted(name)));
        let names: Vec<String> = mapped.columns.iter().map(|c| quoted(&c.name)).collect();
        let list = |parts: &mut dyn Iterator<Item = String>, by: &str| parts.collect::<Vec<_>>().join(by);
        let same =
            list(&mut mapped.key().iter().map(|c| format!("old.{0} = new.{0}", quoted(&c.name))), " and ");
        let exact = list(
            &mut mapped.key().iter().map(|c| {
                let side = |side: &str| exactly(&format!("{side}.{}", quoted(&c.name)), &of(c).limits);
                format!("{} <=> {}", side("old"), side("new"))
            }),
            " and ",
        );
        let own: Vec<&Found> = found.iter().filter(|f| !f.generated).collect();
        let images = list(&mut own.iter().map(|f| image(&f.name, &f.limits).0), ", ");
        let key_images = list(&mut mapped.key().iter().map(|c| image(&c.name, &of(c).limits).0), ", ");
        let digests =
            own.iter().map(|f| format!("coalesce(sha2({}, 256), '-')", image(&f.name, &f.limits).0));
        let digest = format!("sha2(concat_ws(',', {}), 256)", digests.collect::<Vec<_>>().join(", "));
        let new_name = |i: usize, c: &Column| match c.on_conflict {
            OnConflict::Overwrite => format!("new.{}", names[i]),
            _ => format!("new.recon_r{i}"),
        };
        let numbered = || mapped.columns.iter().enumerate().filter(|(_, c)| !c.is_key);
        let resolved = || numbered().filter(|(_, c)| c.on_conflict != OnConflict::Overwrite);
        let differs = numbered().filter(|(_, c)| c.class().is_some()).map(|(i, c)| {
            let limits = &of(c).limits;
            let (old, new) = (format!("old.{}", names[i]), new_name(i, c));
            format!("not ({} <=> {})", exactly(&old, limits), exactly(&new, limits))
        });
        let differs = differs.collect::<Vec<_>>().join(" or ");
        let declared = |name: &str, c: &Column| format!("{name} {} null default null", of(c).declared);
        let columns = mapped.columns.iter().enumerate().map(|(i, c)| declared(&names[i], c));
        let columns = columns.chain(resolved().map(|(i, c)| declared(&format!("recon_r{i}"), c)));
        let verified = mapped.columns.iter().filter(|c| of(c).limits.is_to_be_verified());
        let verified = list(&mut verified.map(|c| quoted(&c.name)), ", ");
        let pieces = [
            ("table", quoted_table.clone()),
            ("batch", batch),
            ("same", same),
            ("exact", exact),
            (
                "set",
                list(&mut numbered().map(|(i, c)| format!("old.{} = {}", names[i], new_name(i, c))), ", "),
            ),
            (
                "resolved",
                list(&mut resolved().map(|(i, c)| format!("new.recon_r{i} = {}", new_value(c))), ", "),
            ),
            ("differs", if differs.is_empty() { "false".to_owned() } else { differs }),
            ("allowed", allowed(mapped)),
            ("values", list(&mut names.iter().map(|name| format!("new.{name}")), ", ")),
            ("digest", digest),
        ];
        let fill = |template: &str, more: &[(&str, &str)]| {
            let known = pieces.iter().map(|(name, piece)| (*name, piece.as_str()));
            let all: Vec<(&str, &str)> = more.iter().copied().chain(known).chain(LATER).collect();
            render(template, &all)
        };
        let plain = |template: &str| fill(template, &[]);
        let written = include_str!("../../../queries/migrate/mysql/written.sql");
        let all_names = names.join(", ");
        let hexed = |f: &Found| (f.name.clone(), image(&f.name, &f.limits).1);
        Self {
            create: fill(
                include_str!("../../../queries/migrate/mysql/create_batch.sql"),
                &[("columns", &columns.collect::<Vec<_>>().join(",\n  "))],
            ),
            empty: plain(include_str!("../../../queries/migrate/mysql/empty_batch.sql")),
            load: fill(include_str!("../../../queries/migrate/mysql/load.sql"), &[("columns", &all_names)]),
            loaded: (!verified.is_empty()).then(|| {
                fill(include_str!("../../../queries/migrate/mysql/loaded.sql"), &[("columns", &verified)])
            }),
            images: fill(include_str!("../../../queries/migrate/mysql/images.sql"), &[("images", &images)]),
            mark: plain(include_str!("../../../queries/migrate/mysql/mark.sql")),
            keep_documents: plain(include_str!("../../../queries/migrate/mysql/keep_documents.sql")),
            resolve: (resolved().next().is_some())
                .then(|| plain(include_str!("../../../queries/migrate/mysql/resolve.sql"))),
            differing: plain(include_str!("../../../queries/migrate/mysql/differing.sql")),
            insert: (mapped.policy() != Policy::UpdateOnly).then(|| {
                fill(include_str!("../../../queries/migrate/mysql/insert.sql"), &[("columns", &all_names)])
            }),
            update: (mapped.policy() != Policy::InsertOnly && numbered().next().is_some())
                .then(|| plain(include_str!("../../../queries/migrate/mysql/update.sql"))),
            inserted: fill(written, &[("images", &key_images), ("state", "0")]),
            updated: fill(written, &[("images", &images), ("state", "2")]),
            taken: plain(include_str!("../../../queries/migrate/mysql/taken.sql")),
            image_columns: own.iter().map(|f| hexed(f)).collect(),
            key: mapped.key().iter().map(|c| hexed(of(c))).collect(),
            written: mapped.columns.iter().map(|c| c.name.clone()).collect(),
            markers,
            table: quoted_table,
        }
    }

    /// A change of one row, without its images.
    pub(super) fn change(&self, batch: u64, op: Op, key: Image, digest: String) -> Change {
        Change {
            seq: 0,
            batch,
            op,
            table: self.table.clone(),
            key,
            columns: Vec::new(),
            post_hash: Some(digest),
            pre: None,
            post: None,
        }
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
