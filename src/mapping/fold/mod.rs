//! `group_by`: several staged rows of an entity's source fold into one record.
//!
//! In: a staged source and an entity whose `from` may hold aggregates. One query of the engine folds the rows. Its result is kept as a
//! Parquet file in a folder of its own under the home, `folds/`, and is read as any staged rows are. Out: that source, whose columns are
//! the entity's fields, and the entity as it is read from there.
//!
//! The file is sorted by its groups, so that a record's position follows from the rows alone. It is named after all that decides its
//! content, counts once `done.json` lies beside it, and is made again where it is gone or damaged.

mod kept;
mod ordered;

use std::borrow::Cow;
use std::path::Path;

use self::kept::KeptColumn;
use super::expression::Sees;
use super::names::Names;
use super::resolve::StoreType;
use super::side::{Column, Staged};
use crate::error::{Error, ErrorKind, Result};
use crate::event::Progress;
use crate::query::{identifier, paths, render};
use crate::spec::{DatasetKind, Entity, Field, Spec, Sql};
use crate::value::column::ColumnType;
use crate::warehouse::Warehouse;

/// The engine's words for values that an expression cannot take, or whose sum is too large.
const OF_VALUES: [&str; 3] = ["Conversion Error", "Out of Range Error", "Invalid Input Error"];
/// Types that Parquet does not hold exactly, inside a list or a struct.
const INEXACT: [&str; 7] =
    ["HUGEINT", "UHUGEINT", "BIGNUM", "INTERVAL", "TIME WITH TIME ZONE", "TIME_NS", "UNION"];

/// What folding works with.
pub struct Folding<'a> {
    /// The spec.
    pub spec: &'a Spec,
    /// The engine.
    pub warehouse: &'a Warehouse,
    /// The home.
    pub home: &'a Path,
    /// The home's seed: another ledger counts its generations from 1 again.
    pub seed: u64,
    /// Worker threads.
    pub threads: usize,
    /// Who may want to stop.
    pub progress: &'a Progress,
    /// What is done where the home has no such fold.
    pub make: Make<'a>,
}

/// Where a fold goes that the home does not have.
#[derive(Clone, Copy, Debug)]
pub enum Make<'a> {
    /// Into the home.
    AtHome,
    /// Into this folder.
    At(&'a Path),
    /// Into this folder, without a record: its columns alone are wanted.
    Columns(&'a Path),
    /// Nowhere: somebody else holds the home.
    Nowhere,
}

/// An entity as it is read once its rows are folded: its fields are columns, and nothing is left to be filtered.
pub fn as_read(entity: &Entity) -> Cow<'_, Entity> {
    if entity.group_by.is_empty() {
        return Cow::Borrowed(entity);
    }
    let mut own = entity.clone();
    own.group_by = Vec::new();
    own.source_filter = None;
    for field in own.fields.iter_mut().flatten() {
        // That an ignored field has a `from` says that it is migrated.
        let is_plain = !field.rule.ignore || field.from.plain_name.is_some();
        field.from.plain_name = is_plain.then(|| field.name.clone());
        field.from.text = identifier(&field.name);
    }
    Cow::Owned(own)
}

/// The fields that are read: one that is ignored and has no `from` may be in the target alone.
fn read(entity: &Entity) -> impl Iterator<Item = &Field> {
    entity.fields.iter().flatten().filter(|f| !f.rule.ignore || f.from.plain_name.is_none())
}

impl Folding<'_> {
    /// Folds an entity's rows, or finds them folded already. An entity without `group_by` is returned as it is.
    ///
    /// # Errors
    /// SQL that cannot be used, or fails for some rows (exit 2, with the place); staged rows that are damaged, a disk that is full.
    pub fn fold<'e>(&self, entity: &'e Entity, source: Staged) -> Result<(Cow<'e, Entity>, Staged)> {
        if entity.group_by.is_empty() {
            return Ok((Cow::Borrowed(entity), source));
        }
        if source.dataset.kind.is_schemaless() && source.columns.is_empty() {
            return Ok((as_read(entity), kept::nothing(&source, read(entity))));
        }
        let name = kept::name(self.seed, entity, &source);
        let own = self.home.join("folds").join(&name);
        if let Some(done) = kept::find(&own) {
            return Ok((as_read(entity), done.staged(&source, &own, self.warehouse)?));
        }
        let folder = match self.make {
            Make::AtHome => own,
            Make::At(folder) | Make::Columns(folder) => folder.join(&name),
            Make::Nowhere => {
                let what = format!("entity `{}` was not compared yet as it is staged now", entity.name);
                return Err(Error::failed(what));
            }
        };
        let has_rows = !matches!(self.make, Make::Columns(_));
        if has_rows {
            source.verify(self.threads, self.progress)?;
        }
        let query = Query::of(self, entity, &source)?;
        let sql = if has_rows { query.all() } else { query.none() };
        let done = kept::write(&folder, self.warehouse, &sql, query.kept, query.unused)
            .map_err(|error| query.blame.find(self, &source, error))?;
        Ok((as_read(entity), done.staged(&source, &folder, self.warehouse)?))
    }
}

/// The query that folds, in pieces.
struct Query {
    logical: String,
    rows: String,
    filter: String,
    groups: Vec<String>,
    columns: Vec<String>,
    kept: Vec<KeptColumn>,
    unused: Vec<String>,
    blame: Blame,
}

impl Query {
    fn of(folding: &Folding<'_>, entity: &Entity, source: &Staged) -> Result<Self> {
        let grouped: Vec<&Sql> = entity.group_by.iter().map(|sql| group_of(entity, sql)).collect();
        let used: Vec<&Sql> = read(entity)
            .map(|f| &f.from)
            .chain(grouped.iter().copied())
            .chain(&entity.source_filter)
            .collect();
        let names = Names::new(folding.spec, folding.warehouse, source, &[], &used)?;
        for sql in &used {
            if let Some(words) = names.unseen(sql)? {
                return Err(names.at(sql, 0, &words, None));
            }
        }
        let mut groups = Vec::new();
        for (sql, said) in grouped.iter().zip(&entity.group_by) {
            names.check(sql, Sees::RowToGroup)?;
            if paths(&sql.text).unwrap_or_default().iter().all(|path| path.call) {
                let help = "name a field or a column: rows that agree in it become one record";
                return Err(names.at(said, 0, "a constant groups nothing", Some(help.to_owned())));
            }
            names.bind(sql)?;
            groups.push(format!("({}\n)", names.expression(sql)));
        }
        let filter = match &entity.source_filter {
            None => "true".to_owned(),
            Some(sql) => {
                names.bind(sql)?;
                keep(&names.rewrite(sql), source, &groups)
            }
        };
        let mut query = Self {
            logical: names.logical_sql(),
            rows: source.rows_sql(),
            filter,
            groups,
            columns: Vec::new(),
            kept: Vec::new(),
            unused: unused(source, &used),
            blame: Blame::default(),
        };
        for field in read(entity) {
            query.add(&names, folding.warehouse, field)?;
        }
        query.blame.filter = entity.source_filter.clone().map(|sql| (sql, query.filtered()));
        Ok(query)
    }

    /// Adds a field, with the type that its expression has over a group.
    fn add(&mut self, names: &Names<'_>, warehouse: &Warehouse, field: &Field) -> Result<()> {
        let sql = &field.from;
        names.check(sql, Sees::Group)?;
        let text = match ordered::ordered(warehouse, &names.expression(sql))? {
            Ok(text) => format!("({text}\n)"),
            Err(problem) => {
                let help = "rows come to an aggregate in any order, so it has to say which one it wants";
                return Err(names.at(sql, problem.offset, &problem.message, Some(help.to_owned())));
            }
        };
        let alone = self.select(&format!("{text} as __recon_value"), &self.filter);
        let ty = match warehouse.describe(&alone)? {
            Ok(columns) => columns[0].ty.clone(),
            Err(message) => return Err(names.binding_error(sql, &message)),
        };
        let own = names.plain_column(sql).filter(|column| keeps_type(names.staged, column, &ty));
        let (cast, tag) = match own {
            Some(column) => (None, column.physical[0].0.clone()),
            None => carried(&ty).map_err(|words| {
                let help = "cast what is in it, as in `list(n::decimal(38, 0) order by n)`".to_owned();
                names.at(sql, 0, &words, Some(help))
            })?,
        };
        let value = cast.map_or_else(|| text.clone(), |cast| format!("cast({text} as {cast})"));
        let physical = format!("__recon_f{}", self.columns.len());
        self.columns.push(format!("{value} as {physical}"));
        self.blame.fields.push((field.clone(), self.select(&format!("{value} as v"), &self.filter)));
        let ty = own.is_none().then_some(ty);
        self.kept.push(KeptColumn { name: field.name.clone(), physical, tag, ty });
        Ok(())
    }

    fn all(&self) -> String {
        self.select(&self.columns.join(", "), &self.filter)
    }

    fn none(&self) -> String {
        self.select(&self.columns.join(", "), "false")
    }

    fn select(&self, columns: &str, filter: &str) -> String {
        let order: Vec<String> = self.groups.iter().map(|group| format!("{group} nulls first")).collect();
        let pieces = [
            ("columns", columns),
            ("logical", &self.logical),
            ("rows", &self.rows),
            ("filter", filter),
            ("groups", &self.groups.join(", ")),
            ("order", &order.join(", ")),
        ];
        render(include_str!("../../../queries/mapping/fold.sql"), &pieces)
    }

    /// The rows that are folded, without being folded.
    fn filtered(&self) -> String {
        let pieces = [
            ("columns", ""),
            ("logical", self.logical.as_str()),
            ("rows", &self.rows),
            ("filter", &self.filter),
        ];
        render(include_str!("../../../queries/mapping/project.sql"), &pieces)
    }
}

/// What is grouped by: the name of a field stands for its `from`.
fn group_of<'e>(entity: &'e Entity, sql: &'e Sql) -> &'e Sql {
    let field = entity.fields.iter().flatten().find(|field| field.name == sql.text);
    field.map_or(sql, |field| &field.from)
}

/// The filter. An item without its key, of which the filter cannot say whether it belongs here, makes a record without a key, which
/// then fails by name.
fn keep(filter: &str, source: &Staged, groups: &[String]) -> String {
    if !source.dataset.kind.is_dynamodb() {
        return format!("({filter}\n)");
    }
    let none: Vec<String> = groups.iter().map(|group| format!("{group} is null")).collect();
    format!("(({filter}\n) or (({filter}\n) is null and {}))", none.join(" and "))
}

/// The columns of a dataset that no expression names.
fn unused(source: &Staged, used: &[&Sql]) -> Vec<String> {
    let mut names: Vec<&str> = Vec::new();
    for sql in used {
        names.extend(sql.plain_name.as_deref());
        for path in paths(&sql.text).unwrap_or_default() {
            names.extend(source.column(&path.parts[0]).map(|column| column.name.as_str()));
        }
    }
    let all = source.columns.iter().map(|column| column.name.clone());
    all.filter(|name| !names.contains(&name.as_str())).collect()
}

/// Whether a field that plainly is a column keeps the store's own type, which the engine does not know.
fn keeps_type(source: &Staged, column: &Column, ty: &str) -> bool {
    match (&column.store, &source.dataset.kind) {
        (StoreType::Document { .. }, _) | (_, DatasetKind::Parquet { .. }) => false,
        (StoreType::Number, _) => ty == "VARCHAR",
        _ => true,
    }
}

/// How Parquet holds a type of the engine exactly: what it is cast to, and the tag by which it is read back.
fn carried(ty: &str) -> Result<(Option<&'static str>, String), String> {
    let tag = |ty: ColumnType| ty.to_string();
    Ok(match StoreType::from_duckdb(ty) {
        StoreType::Int if ["HUGEINT", "UHUGEINT", "BIGNUM"].contains(&ty) => {
            (Some("decimal(38, 0)"), String::new())
        }
        StoreType::TimeTz => (Some("varchar"), tag(ColumnType::TimeTz)),
        StoreType::Interval => (Some("varchar"), tag(ColumnType::Interval)),
        StoreType::Text | StoreType::Other(_) => (Some("varchar"), String::new()),
        StoreType::Time if ty != "TIME" => return Err(format!("{ty} cannot be folded exactly")),
        StoreType::List | StoreType::Map => match INEXACT.iter().find(|inexact| ty.contains(*inexact)) {
            Some(inexact) => return Err(format!("{inexact} inside {ty} cannot be folded exactly")),
            None => (None, String::new()),
        },
        _ => (None, String::new()),
    })
}

/// What finds out for which piece of the spec a fold failed. The engine's own words would show the value that it fails for.
#[derive(Default)]
struct Blame {
    filter: Option<(Sql, String)>,
    fields: Vec<(Field, String)>,
}

impl Blame {
    fn find(&self, folding: &Folding<'_>, source: &Staged, error: Error) -> Error {
        let words = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        if error.kind() == ErrorKind::Incomplete || !OF_VALUES.iter().any(|word| words.contains(word)) {
            return error;
        }
        let dataset = &source.dataset.name;
        let count = |sql: &str, what: &str| format!("select count({what}) from ({sql}\n) as rows");
        let fails = |sql: String| folding.warehouse.integers(&sql).is_err();
        if let Some((sql, query)) = self.filter.as_ref().filter(|(_, query)| fails(count(query, "*"))) {
            let _ = query;
            let words = format!("`where` fails for some row of dataset `{dataset}`");
            return folding.spec.error_at(sql.line, sql.column, 1, &words).help(
                "write it so that it holds or does not for every row, as with `try_cast` in place of `cast`",
            );
        }
        match self.fields.iter().find(|(_, query)| fails(count(query, "v"))) {
            Some((field, _)) => {
                let words = format!(
                    "field `{}` has no value for some group of dataset `{dataset}`: a cast fails, or a sum is too large",
                    field.name
                );
                folding.spec.error_at(field.from.line, field.from.column, 1, &words).help(
                    "write it so that every group has one: `try_cast` in place of `cast`; of a sum with more than 38 digits `sum(x::double)`",
                )
            }
            None => error,
        }
    }
}
