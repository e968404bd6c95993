//! A staged dataset as the reconciliation sees it: its parts, its columns by their exact names, and its rows as SQL.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::access::Access;
use super::pipeline::spawn_workers;
use super::resolve::StoreType;
use crate::error::{Context, Error, Result};
use crate::event::Progress;
use crate::ledger::part::{Damage, Part};
use crate::ledger::proof::Proof;
use crate::ledger::{Ledger, moments};
use crate::query::{self, identifier, literal, render};
use crate::spec::{Dataset, DatasetKind};
use crate::value::column::ColumnType;
use crate::warehouse::Warehouse;

/// Columns of recon's own in the parts: the line on which each row began, and in a chain of exports whether it is a deletion.
const COLUMN_LINE: &str = "__recon_line";
const COLUMN_DELETED: &str = "__recon_deleted";

/// What recon's own columns in parts begin with.
const RESERVED: &str = "__recon_";

/// A dataset whose newest generation is whole.
#[derive(Clone, Debug)]
pub struct Staged {
    /// The dataset.
    pub dataset: Dataset,
    /// The number of its newest generation.
    pub generation: i64,
    /// When its staging began, RFC 3339.
    pub began_at: String,
    /// When it was staged, RFC 3339.
    pub staged_at: String,
    /// What the user was warned of.
    pub warnings: Vec<String>,
    /// What was proven equal in the stores and not staged.
    pub proof: Option<Proof>,
    /// Where its own parts lie.
    pub folder: PathBuf,
    /// Its parts; a position's upper bits are an index into this.
    pub parts: Vec<StagedPart>,
    /// Its columns, in the order in which they were first seen.
    pub columns: Vec<Column>,
    /// Rows that did not parse.
    pub failures: Vec<StagedFailures>,
    /// Whether each row knows the line on which it began.
    pub has_lines: bool,
    /// Whether rows of later windows take the place of earlier ones.
    pub is_chain: bool,
    /// What its records were folded from, where each is made of several rows; see [`super::fold`].
    pub folded: Option<Folded>,
}

/// What folded records were made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folded {
    /// Staged rows that are in them.
    pub rows: u64,
    /// Columns of the dataset that nothing uses.
    pub unused: Vec<String>,
}

/// A part and the file that it was read from.
#[derive(Clone, Debug)]
pub struct StagedPart {
    /// The Parquet file.
    pub path: PathBuf,
    /// The input file.
    pub unit: String,
    /// What the ledger says of it.
    pub written: Part,
}

/// The rows of a unit that did not parse.
#[derive(Clone, Debug)]
pub struct StagedFailures {
    /// The Parquet file that holds them.
    pub path: PathBuf,
    /// The input file.
    pub unit: String,
    /// How many.
    pub rows: u64,
    /// What the ledger says of the file.
    pub written: Part,
}

/// A column by its exact name.
#[derive(Clone, Debug)]
pub struct Column {
    /// As the source spells it.
    pub name: String,
    /// As SQL must spell it: the same, or with `~2` where another column differs only in case.
    pub sql_name: String,
    /// What the store says of it.
    pub store: StoreType,
    /// For documents, each type's tag and its physical column, `NULL` included; for tables one entry, with the column's type as
    /// tag where the table is a live one.
    pub physical: Vec<(String, String)>,
}

impl Column {
    /// A live table's type of the column, where its values are carried as text that has to be read.
    pub fn carried(&self) -> Option<ColumnType> {
        self.physical[0].0.parse().ok().filter(ColumnType::is_read_from_text)
    }
}

/// A physical column as staging recorded it.
pub(crate) struct Physical {
    pub(crate) physical: String,
    pub(crate) attribute: String,
    pub(crate) tag: String,
}

impl Staged {
    /// Looks a dataset's newest generation up.
    ///
    /// # Errors
    /// A dataset that is not staged, or whose staging is not finished.
    pub fn load(ledger: &Ledger, warehouse: &Warehouse, dataset: &Dataset, definition: &str) -> Result<Self> {
        let next = "run `recon stage` first";
        let generation = ledger
            .latest_generation(&dataset.name)?
            .ok_or_else(|| Error::failed(format!("dataset `{}` is not staged", dataset.name)).help(next))?;
        if !generation.complete {
            return Err(Error::failed(format!("the staging of dataset `{}` is not finished", dataset.name))
                .help("run `recon stage` again: it goes on from where it stopped"));
        }
        if generation.definition != definition {
            return Err(Error::failed(format!(
                "dataset `{}` changed in the spec since it was staged",
                dataset.name
            ))
            .help("run `recon stage` again"));
        }
        let folder = ledger.home().join("stage").join(&dataset.name);
        // Absolute, so that the views work for whoever opens the engine's file from elsewhere.
        let folder =
            std::path::absolute(&folder).or_failed(|| format!("cannot find {}", folder.display()))?;
        let (mut parts, mut failures, mut physical) = (Vec::new(), Vec::new(), Vec::new());
        let (mut has_lines, mut is_chain) = (false, false);
        let (units, mut warnings) = (ledger.units(generation.id)?, generation.warnings);
        if dataset.kind.is_live() {
            warnings.extend(moments(&units));
        }
        for unit in units {
            let damaged = |e: serde_json::Error| Error::failed("the ledger's units are damaged").caused_by(e);
            let columns: Vec<ColumnRow> = serde_json::from_str(&unit.columns).map_err(damaged)?;
            let checked = |part: &Part| {
                part.check(&folder)
                    .map_err(|damage| damaged_part(&part.path(&folder), &dataset.name, &damage))
            };
            for written in unit.parts()? {
                checked(&written)?;
                parts.push(StagedPart { path: written.path(&folder), unit: unit.path.clone(), written });
            }
            let failed = unit.failed()?;
            if failed.as_ref().map_or(0, |part| part.rows) != unit.failures {
                let what = format!("the ledger's failures of {} contradict each other", unit.path);
                return Err(Error::failed(what).help("run `recon reset` and stage again"));
            }
            if let Some(written) = failed {
                checked(&written)?;
                let (path, rows) = (written.path(&folder), written.rows);
                failures.push(StagedFailures { path, unit: unit.path.clone(), rows, written });
            }
            for c in columns {
                has_lines |= c.physical == COLUMN_LINE;
                is_chain |= c.physical == COLUMN_DELETED;
                // A document's attribute may begin like that too: its column ends with a type.
                if !c.physical.starts_with(RESERVED) || !c.tag.is_empty() {
                    physical.push(Physical { physical: c.physical, attribute: c.attribute, tag: c.tag });
                }
            }
        }
        let mut staged = Self {
            dataset: dataset.clone(),
            generation: generation.id,
            began_at: generation.started_at,
            staged_at: generation.completed_at.unwrap_or_default(),
            warnings,
            proof: generation.proof,
            folder,
            parts,
            columns: Vec::new(),
            failures,
            has_lines,
            is_chain,
            folded: None,
        };
        staged.columns = staged.find_columns(warehouse, physical)?;
        Ok(staged)
    }

    /// A dataset of which nothing is staged, as it would be if it were: it has these columns and no row.
    pub fn unstaged(dataset: &Dataset, columns: Vec<Column>) -> Self {
        Self {
            dataset: dataset.clone(),
            generation: 0,
            began_at: String::new(),
            staged_at: String::new(),
            warnings: Vec::new(),
            proof: None,
            folder: PathBuf::new(),
            parts: Vec::new(),
            columns,
            failures: Vec::new(),
            has_lines: false,
            is_chain: false,
            folded: None,
        }
    }

    /// Whether somebody wrote to one of its own files since it was staged.
    pub fn is_touched(&self) -> bool {
        self.written().any(|part| part.is_touched(&self.folder))
    }

    /// Rows in its parts.
    pub fn rows(&self) -> u64 {
        self.parts.iter().map(|part| part.written.rows).sum()
    }

    /// Reads every one of its own files and holds it against its digest. A damaged one is put aside, so that it is staged
    /// again.
    ///
    /// # Errors
    /// A file that is not what it was when it was written (exit 4); an interruption.
    pub fn verify(&self, threads: usize, progress: &Progress) -> Result<()> {
        let (written, next) = (self.written().collect::<Vec<_>>(), AtomicUsize::new(0));
        spawn_workers(threads.min(written.len()), |_| {
            while let Some(part) = written.get(next.fetch_add(1, Ordering::Relaxed)) {
                progress.check()?;
                if let Err(damage) = part.verify(&self.folder) {
                    part.put_aside(&self.folder);
                    return Err(damaged_part(&part.path(&self.folder), &self.dataset.name, &damage));
                }
            }
            Ok(())
        })?;
        Ok(())
    }

    fn written(&self) -> impl Iterator<Item = &Part> {
        let parts = self.parts.iter().map(|part| &part.written);
        parts.chain(self.failures.iter().map(|failures| &failures.written))
    }

    /// All staged rows that count, as a query with `__recon_pos`.
    pub fn rows_sql(&self) -> String {
        if self.parts.is_empty() {
            return "select null::bigint as __recon_pos where false".to_owned();
        }
        let rows = self.parts_sql();
        match self.latest_changes_sql() {
            Some(latest) => {
                let pieces = [("rows", rows.as_str()), ("latest", &latest)];
                render(include_str!("../../queries/mapping/live_rows.sql"), &pieces)
            }
            None => rows,
        }
    }

    fn parts_sql(&self) -> String {
        let parts: Vec<String> = self.parts.iter().map(|p| query::file(&p.path)).collect();
        render(include_str!("../../queries/mapping/staged_rows.sql"), &[("parts", &parts.join(", "))])
    }

    /// In a chain of exports, the last window in which each key changed, as a query.
    pub(crate) fn latest_changes_sql(&self) -> Option<String> {
        if !self.is_chain {
            return None;
        }
        let files: Vec<String> = self.failures.iter().map(|f| query::file(&f.path)).collect();
        let failed = include_str!("../../queries/mapping/failed_changes.sql");
        let failures = match files.is_empty() {
            true => String::new(),
            false => render(failed, &[("files", &files.join(", "))]),
        };
        let pieces = [("rows", self.parts_sql()), ("failures", failures)];
        let pieces: Vec<(&str, &str)> = pieces.iter().map(|(name, piece)| (*name, piece.as_str())).collect();
        Some(render(include_str!("../../queries/mapping/latest_changes.sql"), &pieces))
    }

    /// Makes a view of the dataset under its name, with its columns under theirs, for whoever opens the engine's file.
    ///
    /// # Errors
    /// What the engine says.
    pub fn make_view(&self, warehouse: &Warehouse) -> Result<()> {
        if self.columns.is_empty() {
            return Ok(());
        }
        let columns: Vec<String> = self
            .columns
            .iter()
            .map(|c| match c.store {
                StoreType::Document { .. } => {
                    format!("{} as {}", document_sql(c, None, "cast"), identifier(&c.sql_name))
                }
                _ => format!("{} as {}", identifier(&c.physical[0].1), identifier(&c.sql_name)),
            })
            .collect();
        let pieces = [
            ("name", identifier(&self.dataset.name)),
            ("columns", columns.join(", ")),
            ("rows", self.rows_sql()),
        ];
        let pieces: Vec<(&str, &str)> = pieces.iter().map(|(name, piece)| (*name, piece.as_str())).collect();
        warehouse.execute(&render(include_str!("../../queries/mapping/dataset_view.sql"), &pieces))
    }

    /// Copies of some rows (see `subset`), as a query like [`Staged::rows_sql`]'s: with every column, also those that no part
    /// of these rows has.
    pub fn copied_rows_sql(&self, files: &[PathBuf]) -> String {
        let files: Vec<String> = files.iter().map(|p| query::file(p)).collect();
        let (files, parts) = (files.join(", "), self.parts_sql());
        match self.is_schemaless() {
            true => {
                let pieces = [("files", files.as_str()), ("parts", &parts)];
                render(include_str!("../../queries/mapping/copied_documents.sql"), &pieces)
            }
            false => render(include_str!("../../queries/mapping/copied_rows.sql"), &[("files", &files)]),
        }
    }

    /// Whether the parts are ours as staging writes them, rather than the engine's or a user's Parquet files.
    pub fn has_own_parts(&self) -> bool {
        self.folded.is_none() && !matches!(self.dataset.kind, DatasetKind::Parquet { .. })
    }

    /// The column of this exact name, or the only one that differs from it in case alone (as in SQL).
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name == name).or_else(|| {
            let mut near = self.columns.iter().filter(|c| c.sql_name.eq_ignore_ascii_case(name));
            near.next().filter(|_| near.next().is_none())
        })
    }

    /// The column that an access reads whole, by its exact name.
    pub(crate) fn column_of(&self, access: &Access) -> Option<&str> {
        let physical = match access {
            Access::Column { physical, .. } => physical,
            Access::Document { physical, path, .. } if path.is_empty() => &physical.first()?.1,
            _ => return None,
        };
        let column = self.columns.iter().find(|c| c.physical.iter().any(|(_, name)| name == physical));
        column.map(|column| column.name.as_str())
    }

    /// Some of its rows, by position, copied into a file, as a dataset of its own with the same columns.
    ///
    /// # Errors
    /// What the engine says; a disk that is full.
    pub fn subset(&self, warehouse: &Warehouse, positions: &[i64], file: &Path) -> Result<Self> {
        let wanted: Vec<String> = positions.iter().map(i64::to_string).collect();
        // Without any position the file holds the columns alone.
        let wanted = if wanted.is_empty() { "null".to_owned() } else { wanted.join(", ") };
        let pieces = [("rows", self.rows_sql()), ("positions", wanted), ("file", query::file(file))];
        let pieces: Vec<(&str, &str)> = pieces.iter().map(|(name, piece)| (*name, piece.as_str())).collect();
        warehouse.execute(&render(include_str!("../../queries/mapping/subset.sql"), &pieces))?;
        let path = std::path::absolute(file).or_failed(|| format!("cannot find {}", file.display()))?;
        let rows = positions.len() as u64;
        let written = Part { file: path.display().to_string(), rows, seal: None };
        let part = StagedPart { path, unit: "as staged".to_owned(), written };
        let subset =
            Self { parts: vec![part], failures: Vec::new(), is_chain: false, proof: None, ..self.clone() };
        if !self.has_own_parts() {
            // A user's own file may hold types that the engine writes as others.
            let mut columns = self.columns.clone();
            subset.type_columns(warehouse, &mut columns)?;
            if columns.iter().zip(&self.columns).any(|(now, before)| now.store != before.store) {
                let name = &self.dataset.name;
                return Err(Error::failed(format!(
                    "rows of dataset `{name}` cannot be copied with their types"
                )));
            }
        }
        Ok(subset)
    }

    /// Whether its columns have the names and types of another staging's.
    pub fn has_columns_of(&self, other: &Self) -> bool {
        let of = |staged: &Self| {
            let mut columns: Vec<_> =
                staged.columns.iter().map(|c| (c.name.clone(), c.physical[0].0.clone())).collect();
            columns.sort();
            columns
        };
        of(self) == of(other)
    }

    /// The same rows with the columns that another staging of the dataset had too; `file` gets those columns without rows.
    ///
    /// # Errors
    /// What the engine says; a disk that is full.
    pub fn with_columns_of(mut self, other: &Self, warehouse: &Warehouse, file: &Path) -> Result<Self> {
        self.parts.extend(other.subset(warehouse, &[], file)?.parts);
        let physical = other.columns.iter().chain(&self.columns).flat_map(|column| {
            column.physical.iter().map(|(tag, physical)| Physical {
                physical: physical.clone(),
                attribute: column.name.clone(),
                tag: tag.clone(),
            })
        });
        self.columns = self.find_columns(warehouse, physical.collect())?;
        Ok(self)
    }

    /// Whether absent and NULL are two things in this dataset.
    pub fn is_schemaless(&self) -> bool {
        self.folded.is_none() && self.dataset.kind.is_schemaless()
    }

    pub(super) fn find_columns(&self, warehouse: &Warehouse, physical: Vec<Physical>) -> Result<Vec<Column>> {
        let mut columns: Vec<Column> = Vec::new();
        for p in physical {
            let entry = match columns.iter_mut().find(|c| c.name == p.attribute) {
                Some(column) => column,
                None => {
                    let name = p.attribute.clone();
                    columns.push(Column {
                        sql_name: name.clone(),
                        name,
                        store: StoreType::Untyped,
                        physical: Vec::new(),
                    });
                    columns.last_mut().expect("just pushed")
                }
            };
            if !entry.physical.iter().any(|(tag, _)| *tag == p.tag) {
                entry.physical.push((p.tag, p.physical));
            }
        }
        self.type_columns(warehouse, &mut columns)?;
        // Which of two spellings gets the suffix must not depend on which file was read first.
        let mut order: Vec<usize> = (0..columns.len()).collect();
        if self.is_schemaless() {
            order.sort_by(|a, b| columns[*a].name.cmp(&columns[*b].name));
        }
        let mut taken: Vec<String> = Vec::new();
        for i in order {
            // SQL has no empty names.
            let name = if columns[i].name.is_empty() { "~".to_owned() } else { columns[i].name.clone() };
            let mut free = name.clone();
            let mut n = 2;
            while taken.contains(&free.to_lowercase()) {
                free = format!("{name}~{n}");
                n += 1;
            }
            taken.push(free.to_lowercase());
            columns[i].sql_name = free;
        }
        Ok(columns)
    }

    fn type_columns(&self, warehouse: &Warehouse, columns: &mut [Column]) -> Result<()> {
        match &self.dataset.kind {
            // They were typed when they were folded.
            _ if self.folded.is_some() => {}
            DatasetKind::Csv(_) => {}
            DatasetKind::Parquet { .. } => {
                let described = warehouse.describe(&self.rows_sql())?.map_err(|e| {
                    Error::failed(format!("cannot read dataset `{}`", self.dataset.name)).caused_by(e)
                })?;
                for column in columns {
                    let found = described.iter().find(|d| d.name == column.physical[0].1);
                    column.store = found.map_or_else(
                        || StoreType::Other("unknown type".to_owned()),
                        |d| StoreType::from_duckdb(&d.ty),
                    );
                }
            }
            DatasetKind::Postgres(_) | DatasetKind::Mysql(_) | DatasetKind::Sqlite { .. } => {
                for column in columns {
                    let ty = column.physical[0].0.parse::<ColumnType>();
                    column.store = ty.as_ref().map_or_else(|e| StoreType::Other(e.clone()), StoreType::from);
                }
            }
            kind
            @ (DatasetKind::Jsonl { .. } | DatasetKind::DynamodbExport(_) | DatasetKind::Dynamodb(_)) => {
                let dynamodb = kind.is_dynamodb();
                for column in columns {
                    column.physical.sort();
                    let tags = column
                        .physical
                        .iter()
                        .map(|(tag, _)| tag.clone())
                        .filter(|tag| tag != "NULL")
                        .collect();
                    column.store = StoreType::Document { dynamodb, tags };
                }
            }
        }
        Ok(())
    }
}

#[derive(serde::Deserialize)]
struct ColumnRow {
    physical: String,
    attribute: String,
    tag: String,
}

/// The error of a staged file that is not what it was when it was written.
pub(crate) fn damaged_part(path: &Path, dataset: &str, damage: &Damage) -> Error {
    Error::failed(format!("{} of dataset `{dataset}` {damage}", path.display()))
        .help("run `recon stage` to stage it again")
}

/// How a column of a document appears in SQL, by its name: a number is a decimal wide enough, an attribute of several types
/// is JSON of the typed form. `cast` is the engine's function for that.
pub fn document_sql(column: &Column, decimal: Option<(u32, u32)>, cast: &str) -> String {
    let physical: Vec<_> = column.physical.iter().filter(|(tag, _)| tag != "NULL").collect();
    match physical.as_slice() {
        [] => "null::varchar".to_owned(),
        [(tag, name)] => match (tag.as_str(), decimal) {
            ("N", Some((precision, scale))) => {
                format!("{cast}({} as decimal({precision}, {scale}))", identifier(name))
            }
            _ => identifier(name),
        },
        several => {
            let cases = several.iter().map(|(tag, name)| {
                let name = identifier(name);
                let value = match tag.as_str() {
                    "M" | "L" => format!("{name}::json"),
                    "B" => format!("to_json(to_base64({name}))"),
                    _ => format!("to_json({name})"),
                };
                format!("when {name} is not null then json_object({}, {value})", literal(tag))
            });
            format!("(case {} end)", cases.collect::<Vec<_>>().join(" "))
        }
    }
}
