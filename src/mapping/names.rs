//! The names that the spec's SQL may use on one side, and what its expressions are bound to.
//!
//! A dataset's columns go by their exact names. For documents a dotted path (`attributes.price`) is a name too: it becomes a
//! column of its own, of the type that is found there.

use super::access::{Access, path_sql, pointer};
use super::expression::{self, Sees};
use super::facts::{Facts, Place};
use super::resolve::StoreType;
use super::side::{Column, Staged, document_sql};
use crate::error::{Error, Result};
use crate::query::{self, identifier, literal, render};
use crate::spec::{Spec, Sql};
use crate::warehouse::Warehouse;

/// A name that SQL can use.
struct Logical {
    name: String,
    /// What it stands for, over the physical columns.
    sql: String,
    /// The same for a row that did not parse, whose number may be wider than all that did.
    unparsed_sql: String,
}

/// One side's names.
pub struct Names<'a> {
    spec: &'a Spec,
    warehouse: &'a Warehouse,
    /// The side.
    pub staged: &'a Staged,
    logical: Vec<Logical>,
    facts: Facts,
}

impl<'a> Names<'a> {
    /// Gathers the names that these expressions need. `used` are read as they are and need names only where they are more
    /// than a name themselves; the values of `seen` are shown to SQL, typed, even where they are no more than that.
    ///
    /// # Errors
    /// What the engine says of the staged rows.
    pub fn new(
        spec: &'a Spec,
        warehouse: &'a Warehouse,
        staged: &'a Staged,
        used: &[&Sql],
        seen: &[&Sql],
    ) -> Result<Self> {
        let mut names = Self { spec, warehouse, staged, logical: Vec::new(), facts: Facts::default() };
        let plain = used.iter().filter_map(|sql| names.plain(sql));
        let typed: Vec<Place<'_>> = plain.filter(|(_, path)| !path.is_empty()).collect();
        let expressions =
            used.iter().copied().filter(|sql| names.plain(sql).is_none()).chain(seen.iter().copied());
        let paths: Vec<Vec<String>> = expressions
            .flat_map(|sql| query::paths(&sql.text).unwrap_or_default())
            .filter(|path| !path.call)
            .map(|path| path.parts)
            .collect();
        let place = |p: &Vec<String>| staged.column(&p[0]).map(|c| (c, p[1..].to_vec()));
        let sized: Vec<Place<'_>> = paths.iter().filter_map(place).collect();
        names.facts = Facts::gather(staged, warehouse, &typed, &sized)?;
        for column in &staged.columns {
            let sql = |cast| match &column.store {
                StoreType::Document { .. } => document_sql(column, names.facts.size(column, &[]), cast),
                StoreType::Number => {
                    let text = identifier(&column.physical[0].1);
                    match names.facts.size(column, &[]) {
                        Some((precision, scale)) => {
                            format!("{cast}({text} as decimal({precision}, {scale}))")
                        }
                        None => text,
                    }
                }
                _ => identifier(&column.physical[0].1),
            };
            let (sql, unparsed_sql) = (sql("cast"), sql("try_cast"));
            names.logical.push(Logical { name: column.sql_name.clone(), sql, unparsed_sql });
        }
        for path in paths.iter().filter(|path| path.len() > 1) {
            names.add_path(path);
        }
        Ok(names)
    }

    /// The attribute and path that an expression plainly is.
    fn plain(&self, sql: &Sql) -> Option<(&'a Column, Vec<String>)> {
        if let Some(name) = &sql.plain_name {
            return self.staged.columns.iter().find(|c| c.name == *name).map(|c| (c, Vec::new()));
        }
        let mut parts = query::single_path(&sql.text)?;
        let column = self.staged.column(&parts[0])?;
        let path = parts.split_off(1);
        (path.is_empty() || self.staged.is_schemaless()).then_some((column, path))
    }

    /// Binds an expression.
    ///
    /// # Errors
    /// SQL that does not parse or bind, an unknown column: exit 2 with the place in the spec.
    pub fn access(&self, sql: &Sql, optional: bool) -> Result<Access> {
        if let Some((column, path)) = self.plain(sql) {
            return Ok(match &column.store {
                StoreType::Document { dynamodb, .. } if !path.is_empty() => {
                    let tags = self.facts.tags(column, &path);
                    let physical = column.physical.iter().filter(|(tag, _)| tag == "M").cloned().collect();
                    Access::Document {
                        physical,
                        path,
                        store: StoreType::Document { dynamodb: *dynamodb, tags },
                    }
                }
                _ => Access::of_column(column),
            });
        }
        let nowhere = || Access::Document {
            physical: Vec::new(),
            path: Vec::new(),
            store: StoreType::Document { dynamodb: true, tags: Vec::new() },
        };
        if self.staged.is_schemaless() && self.staged.columns.is_empty() {
            return Ok(nowhere());
        }
        if optional && self.staged.is_schemaless() && query::single_path(&sql.text).is_some() {
            return Ok(nowhere());
        }
        let store = self.bind(sql)?;
        Ok(Access::Expression { sql: self.rewrite(sql), store })
    }

    /// What the spec's own predicate sees of an expression's value.
    pub fn predicate(&self, sql: &Sql, access: &Access) -> String {
        match (access, self.plain(sql)) {
            (Access::Column { sql, .. }, _) => sql.clone(),
            (Access::Expression { sql, .. }, _) => format!("try(({sql}\n))"),
            (Access::Document { .. }, Some((column, path))) if path.is_empty() => {
                identifier(&column.sql_name)
            }
            (Access::Document { .. }, Some(_)) => self.rewrite(sql),
            (Access::Document { .. }, None) => "null::varchar".to_owned(),
        }
    }

    /// The type of that in SQL, in which a document's numbers have a size.
    ///
    /// # Errors
    /// An interruption.
    pub fn sql_store(&self, sql: &Sql, access: &Access) -> Result<StoreType> {
        let query = format!(
            "select ({}\n) as __recon_value from (select __recon_pos {} from ({}) as staged) as __recon_rows",
            self.predicate(sql, access),
            self.logical_sql(),
            self.staged.rows_sql()
        );
        let described = self.warehouse.describe(&query)?.ok();
        let found = described.and_then(|columns| columns.first().map(|c| StoreType::from_duckdb(&c.ty)));
        Ok(found.unwrap_or_else(|| access.store().clone()))
    }

    /// The expression with each path replaced by the column that stands for it.
    pub fn rewrite(&self, sql: &Sql) -> String {
        let mut text = sql.text.clone();
        for path in
            query::paths(&sql.text).unwrap_or_default().iter().rev().filter(|p| !p.call && p.parts.len() > 1)
        {
            let name = path.parts.join(".");
            if self.staged.is_schemaless() && self.logical.iter().any(|logical| logical.name == name) {
                text.replace_range(path.range.clone(), &identifier(&name));
            }
        }
        text
    }

    /// The column that an expression plainly is, where it is one.
    pub(super) fn plain_column(&self, sql: &Sql) -> Option<&'a Column> {
        self.plain(sql).filter(|(_, path)| path.is_empty()).map(|(column, _)| column)
    }

    /// An expression over the names, also where it is no more than one of them.
    pub(super) fn expression(&self, sql: &Sql) -> String {
        match self.plain_column(sql) {
            Some(column) => identifier(&column.sql_name),
            None => self.rewrite(sql),
        }
    }

    /// The select list that gives the names their columns, as a continuation of a list.
    pub fn logical_sql(&self) -> String {
        self.select(|logical| &logical.sql)
    }

    /// As [`Names::logical_sql`], for rows that did not parse.
    pub fn unparsed_sql(&self) -> String {
        self.select(|logical| &logical.unparsed_sql)
    }

    fn select(&self, sql: fn(&Logical) -> &String) -> String {
        let mut out = String::new();
        for logical in &self.logical {
            out.push_str(&format!(", {} as {}", sql(logical), identifier(&logical.name)));
        }
        if self.staged.is_schemaless() {
            // A field that is plainly an attribute is read from the physical columns themselves.
            for (_, physical) in self.staged.columns.iter().flat_map(|c| &c.physical) {
                out.push_str(&format!(", {}", identifier(physical)));
            }
        }
        out
    }

    /// The type of an expression over this side's names.
    ///
    /// # Errors
    /// SQL that does not parse or bind, with its place in the spec.
    pub fn bind(&self, sql: &Sql) -> Result<StoreType> {
        self.check(sql, Sees::Row)?;
        let expression = self.rewrite(sql);
        let query = format!(
            "select ({expression}\n) as __recon_value, try({{'v': ({expression}\n)}}) as __recon_tried from (select __recon_pos {} from ({}) as staged) as __recon_rows",
            self.logical_sql(),
            self.staged.rows_sql()
        );
        match self.warehouse.describe(&query)? {
            Ok(columns) => Ok(StoreType::from_duckdb(&columns[0].ty)),
            Err(message) => Err(self.binding_error(sql, &message)),
        }
    }

    /// Whether it is one expression, of no more than it may see.
    ///
    /// # Errors
    /// SQL that is not, with its place in the spec.
    pub(super) fn check(&self, sql: &Sql, sees: Sees) -> Result<()> {
        let is_column = |name: &str| self.staged.column(name).is_some();
        match expression::problem(self.warehouse, &sql.text, sees, &is_column)? {
            Some(problem) => Err(self.at(sql, problem.offset, &problem.message, None)),
            None => Ok(()),
        }
    }

    /// What the engine says against a piece of SQL, with its place in the spec.
    pub(super) fn binding_error(&self, sql: &Sql, message: &str) -> Error {
        let unknown = message.split("column \"").nth(1).and_then(|rest| rest.split('"').next());
        let Some(name) = unknown.filter(|_| message.contains("not found")) else {
            let first = message.lines().next().unwrap_or(message);
            let is_open = message.contains("must appear in the GROUP BY clause");
            let help =
                "say how the rows of a group become one value, as in `max(x)`, or add it to `group_by`";
            let help = is_open.then(|| help.to_owned());
            return self.at(sql, 0, &format!("SQL that cannot be used here: {first}"), help);
        };
        let place = query::paths(&sql.text)
            .unwrap_or_default()
            .into_iter()
            .find(|p| p.parts.iter().any(|x| x == name));
        let mut near: Vec<_> = self
            .logical
            .iter()
            .map(|l| (strsim::jaro_winkler(&l.name.to_lowercase(), &name.to_lowercase()), &l.name))
            .filter(|(likeness, _)| *likeness > 0.7)
            .collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0));
        let near: Vec<String> = near.iter().take(3).map(|(_, known)| format!("`{known}`")).collect();
        let help = match near.is_empty() {
            false => format!("did you mean {}?", near.join(", ")),
            true => {
                let all: Vec<String> =
                    self.logical.iter().take(12).map(|l| format!("`{}`", l.name)).collect();
                format!("its columns are {}", all.join(", "))
            }
        };
        let message = format!("unknown column `{name}` in dataset `{}`", self.staged.dataset.name);
        self.at(sql, place.map_or(0, |p| p.range.start), &message, Some(help))
    }

    /// An error at a byte offset inside a piece of the spec's SQL.
    pub(super) fn at(&self, sql: &Sql, offset: usize, message: &str, help: Option<String>) -> Error {
        let (line, column) = sql.place(offset);
        let error = self.spec.error_at(line, column, 1, message);
        error.help(help.unwrap_or_else(|| "`recon check` shows the columns that SQL can use".to_owned()))
    }

    /// A path of an expression that is in no document, in words. Misspelt, it would pass for a value that is NULL everywhere.
    ///
    /// # Errors
    /// What the engine says of the staged rows.
    pub fn unseen(&self, sql: &Sql) -> Result<Option<String>> {
        if !self.staged.is_schemaless() || sql.plain_name.is_some() {
            return Ok(None);
        }
        for path in query::paths(&sql.text).unwrap_or_default() {
            // A name alone that is no attribute is an error of its own.
            let Some(column) = self.staged.column(&path.parts[0]) else { continue };
            if path.call || path.parts.len() < 2 || self.occurs(column, &path.parts[1..])? {
                continue;
            }
            let (name, dataset) = (path.parts.join("."), &self.staged.dataset.name);
            let near = self.near(column, &path.parts)?;
            let help = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            return Ok(Some(format!("`{name}` is in no document of dataset `{dataset}`{help}")));
        }
        Ok(None)
    }

    fn occurs(&self, column: &Column, path: &[String]) -> Result<bool> {
        let Some((_, root)) = column.physical.iter().find(|(tag, _)| tag == "M") else { return Ok(false) };
        let (value, pointer, rows) =
            (identifier(root), literal(&pointer(path, None)), self.staged.rows_sql());
        let pieces = [("value", value.as_str()), ("pointer", &pointer), ("rows", &rows)];
        let sql = render(include_str!("../../queries/mapping/path_occurs.sql"), &pieces);
        Ok(!self.warehouse.integers(&sql)?.is_empty())
    }

    /// The path that was most likely meant: another name in the same map.
    fn near(&self, column: &Column, parts: &[String]) -> Result<Option<String>> {
        let Some((_, root)) = column.physical.iter().find(|(tag, _)| tag == "M") else { return Ok(None) };
        let (above, last) = parts.split_at(parts.len() - 1);
        let value = match &above[1..] {
            [] => identifier(root),
            path => format!("json_extract({}, {})", identifier(root), literal(&pointer(path, Some("M")))),
        };
        let rows = self.staged.rows_sql();
        let pieces = [("value", value.as_str()), ("rows", &rows)];
        let names =
            self.warehouse.texts(&render(include_str!("../../queries/mapping/path_names.sql"), &pieces))?;
        let names: Vec<String> = names.into_iter().filter_map(|mut row| row.remove(0)).collect();
        let likeness = |name: &str| strsim::jaro_winkler(&name.to_lowercase(), &last[0].to_lowercase());
        let near = names.iter().map(|name| (likeness(name), name)).filter(|(likeness, _)| *likeness > 0.7);
        let near = near.max_by(|a, b| a.0.total_cmp(&b.0));
        Ok(near.map(|(_, name)| format!("{}.{name}", above.join("."))))
    }

    fn add_path(&mut self, parts: &[String]) {
        let name = parts.join(".");
        let known = self.logical.iter().any(|logical| logical.name == name);
        let Some(column) = self.staged.column(&parts[0]).filter(|_| !known && self.staged.is_schemaless())
        else {
            return;
        };
        let path = &parts[1..];
        let tags = self.facts.tags(column, path);
        let sql = |cast: &str| match tags.as_slice() {
            [] => "null::varchar".to_owned(),
            [tag] => {
                let text = path_sql(&column.physical, path, tag);
                match (tag.as_str(), self.facts.size(column, path)) {
                    ("N", Some((precision, scale))) => {
                        format!("{cast}({text} as decimal({precision}, {scale}))")
                    }
                    ("BOOL", _) => format!("cast({text} as boolean)"),
                    ("B", _) => format!("from_base64({text})"),
                    _ => text,
                }
            }
            _ => {
                let root =
                    column.physical.iter().find(|(tag, _)| tag == "M").map(|(_, name)| identifier(name));
                format!("json_extract({}, {})", root.unwrap_or_default(), literal(&pointer(path, None)))
            }
        };
        let (sql, unparsed_sql) = (sql("cast"), sql("try_cast"));
        self.logical.push(Logical { name, sql, unparsed_sql });
    }
}
