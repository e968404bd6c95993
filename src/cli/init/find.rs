//! Which entities two locations hold: tables of the same name, kinds of items and the table that each became, or just one.

use super::key::{self, KeyGuess};
use super::location::Location;
use super::mapping::{Mapping, Side, map, singular, spelling};
use super::sample::{Column, Sample, Sampler};
use super::split::{Group, Split, split};
use super::write;
use crate::error::{Error, Result};
use crate::reconcile::report::terminal::thousands;
use crate::spec::{Dataset, TableName};

/// A side on the command line.
pub(super) struct Given<'a> {
    /// `source` or `target`.
    pub(super) word: &'static str,
    pub(super) location: &'a Location,
    /// `--source-table` or `--target-table`.
    pub(super) table: Option<&'a str>,
}

/// A dataset of the spec to be.
pub(super) struct Described<'a> {
    pub(super) name: String,
    pub(super) location: &'a Location,
    /// The table of a SQL database.
    pub(super) table: Option<String>,
    pub(super) sample: Sample,
}

/// An entity of the spec to be.
pub(super) struct Entity {
    pub(super) name: String,
    /// The datasets of source and target, by their place in [`Found::datasets`].
    pub(super) datasets: [usize; 2],
    /// The kinds of items that source and target are.
    pub(super) groups: [Option<Group>; 2],
    /// Rows of both that were looked at.
    pub(super) rows: [u64; 2],
    pub(super) mapping: Mapping,
    pub(super) key: Option<KeyGuess>,
}

/// Everything that goes into the spec.
#[derive(Default)]
pub(super) struct Found<'a> {
    pub(super) datasets: Vec<Described<'a>>,
    pub(super) entities: Vec<Entity>,
    /// What is in the locations and in no entity.
    pub(super) left_out: Vec<String>,
}

/// What a location holds.
enum Holds {
    /// One thing, or the one table that was named.
    One(Option<String>),
    /// Tables.
    Tables(Vec<String>),
}

/// How datasets are opened: the spec's own way.
pub(super) type Open<'a> = dyn Fn(&str, &Location, &[(&str, &str)]) -> Result<Dataset> + 'a;

/// Finds the entities of two locations.
///
/// # Errors
/// A location that cannot be reached or read; tables of which none goes with the other side (exit 2).
pub(super) fn find<'a>(
    source: &Given<'a>,
    target: &Given<'a>,
    sampler: &Sampler,
    open: &Open<'_>,
) -> Result<Found<'a>> {
    let mut finder = Finder { sampler, open, found: Found::default() };
    let of_source = finder.holds(source)?;
    let of_target = finder.holds(target)?;
    match (of_source, of_target) {
        (Holds::One(a), Holds::One(b)) => {
            let (a, b) = (finder.dataset(source, a, None)?, finder.dataset(target, b, None)?);
            finder.one_to_one(a, b)?;
        }
        (Holds::Tables(a), Holds::Tables(b)) => finder.tables(source, target, &a, &b)?,
        (Holds::One(one), Holds::Tables(tables)) => finder.one_to_tables(source, one, target, &tables)?,
        (Holds::Tables(tables), Holds::One(one)) => finder.one_to_tables(target, one, source, &tables)?,
    }
    Ok(finder.found)
}

struct Finder<'a, 'f> {
    sampler: &'f Sampler,
    open: &'f Open<'f>,
    found: Found<'a>,
}

impl<'a> Finder<'a, '_> {
    fn holds(&mut self, given: &Given<'_>) -> Result<Holds> {
        let Given { word, location, table } = given;
        match table {
            Some(_) if !location.has_tables() => {
                return Err(Error::usage(format!("--{word}-table, but {} is no database", location.shown))
                    .help("leave it out"));
            }
            Some(table) => {
                let name = TableName::parse(table).map_err(|why| {
                    Error::usage(format!("--{word}-table {table}: {why}")).help(TableName::HELP)
                })?;
                return Ok(Holds::One(Some(name.to_string())));
            }
            None if !location.has_tables() => return Ok(Holds::One(None)),
            None => {}
        }
        let query = match location.kind {
            "postgres" => include_str!("../../../queries/init/postgres_tables.sql"),
            "mysql" => include_str!("../../../queries/init/mysql_tables.sql"),
            _ => include_str!("../../../queries/init/sqlite_tables.sql"),
        };
        let dataset = (self.open)(word, location, &[("query", query)])?;
        let mut tables = Vec::new();
        for row in self.sampler.texts(&dataset)? {
            let mut cells = row.into_iter();
            let Some(name) = cells.next().flatten() else { continue };
            match cells.next().flatten() {
                Some(why) => {
                    self.found.left_out.push(format!("table {} of the {word}: {why}", as_written(&name)));
                }
                None => tables.push(as_written(&name)),
            }
        }
        match tables.len() {
            0 => Err(Error::failed(format!("{} has no tables that can be read", location.shown))
                .help("check the database's name and the user's rights")),
            1 => Ok(Holds::One(tables.pop())),
            _ => Ok(Holds::Tables(tables)),
        }
    }

    /// Looks at a dataset and keeps it; `part` tells several of one location apart.
    fn dataset(&mut self, given: &Given<'a>, table: Option<String>, part: Option<&str>) -> Result<usize> {
        let name = match part {
            Some(part) => self.free_name(&format!("{}_{}", given.word, write::bare(part))),
            None => given.word.to_owned(),
        };
        let options: Vec<(&str, &str)> = table.iter().map(|table| ("table", table.as_str())).collect();
        let dataset = (self.open)(&name, given.location, &options)?;
        let sample = self.sampler.look(&dataset)?;
        self.found.datasets.push(Described { name, location: given.location, table, sample });
        Ok(self.found.datasets.len() - 1)
    }

    /// A name that no dataset has yet. Each has a folder of its own, and some file systems know no case.
    fn free_name(&self, wanted: &str) -> String {
        let is_taken = |name: &str| self.found.datasets.iter().any(|d| d.name.eq_ignore_ascii_case(name));
        let mut name = wanted.to_owned();
        for n in 2.. {
            if !is_taken(&name) {
                break;
            }
            name = format!("{wanted}_{n}");
        }
        name
    }

    fn one_to_one(&mut self, source: usize, target: usize) -> Result<()> {
        let splits = [self.split(source)?, self.split(target)?];
        let stems = [self.stem(source), self.stem(target)];
        let name = stems.iter().rev().find(|stem| !stem.is_empty()).cloned();
        let mut groups = [None, None];
        for (n, split) in splits.into_iter().enumerate() {
            let (items, other) = if n == 0 { (source, target) } else { (target, source) };
            // Where the other side has the key as it is, it is a copy, of whatever the table holds.
            let Some(split) = split.filter(|split| !self.has_columns(other, &split.key)) else { continue };
            groups[n] = self.one_group(split, items, other)?;
        }
        let of_group = groups.iter().flatten().map(Group::name).next();
        let name = of_group.or(name).unwrap_or_else(|| "record".to_owned());
        self.entity(&name, source, target, groups)
    }

    /// The kind of items that the other side most likely holds; the others are left out, and that is said.
    fn one_group(&mut self, split: Split, items: usize, other: usize) -> Result<Option<Group>> {
        let Split { mut groups, others, .. } = split;
        let stem = singular(&self.stem(other));
        let named = groups.iter().position(|group| names(group).iter().flatten().any(|name| *name == stem));
        let columns: Vec<String> =
            self.found.datasets[other].sample.columns.iter().map(|c| spelling(&c.name)).collect();
        let mut shares = Vec::new();
        for (i, group) in groups.iter().enumerate() {
            let found = self.columns_of(items, group)?;
            shares.push((found.iter().filter(|c| columns.contains(&spelling(&c.name))).count(), i));
        }
        let most = shares.iter().map(|(n, _)| *n).max().unwrap_or(0);
        let best: Vec<usize> =
            shares.iter().filter(|(n, _)| *n == most && most > 0).map(|(_, i)| *i).collect();
        let only = if groups.len() == 1 { Some(0) } else { None };
        let Some(at) = named.or(only).or((best.len() == 1).then(|| best[0])) else { return Ok(None) };
        let mut group = groups.remove(at);
        if groups.is_empty() && others == 0 {
            // Nothing else is there: a condition would only hide what comes later.
            group.condition.clear();
        }
        self.leave_out(items, &groups, others)?;
        Ok(Some(group))
    }

    fn tables(&mut self, source: &Given<'a>, target: &Given<'a>, a: &[String], b: &[String]) -> Result<()> {
        let (mut left, mut right) = (a.to_vec(), b.to_vec());
        let mut pairs = Vec::new();
        for measure in [
            |name: &str| own_name(name),
            |name: &str| spelling(&own_name(name)),
            |name: &str| singular(&own_name(name)),
        ] {
            let alone = |all: &[String], name: &str| all.iter().filter(|t| measure(t) == name).count() == 1;
            let shared: Vec<String> =
                left.iter().map(|t| measure(t)).filter(|n| alone(&left, n) && alone(&right, n)).collect();
            for name in shared {
                let take = |from: &mut Vec<String>| {
                    from.iter().position(|t| measure(t) == name).map(|at| from.remove(at))
                };
                pairs.extend(take(&mut left).zip(take(&mut right)));
            }
        }
        if pairs.is_empty() {
            return Err(Error::usage("no table of the source has the name of one of the target").help(
                format!(
                    "name one each with --source-table and --target-table; the source has {}, the target {}",
                    listed(a),
                    listed(b)
                ),
            ));
        }
        pairs.sort_by_key(|(table, _)| a.iter().position(|other| other == table));
        for (from, to) in pairs {
            let (name, other) = (own_name(&to), own_name(&from));
            let a = self.dataset(source, Some(from), Some(&other))?;
            let b = self.dataset(target, Some(to), Some(&name))?;
            self.entity(&name, a, b, [None, None])?;
        }
        for (given, tables) in [(source, left), (target, right)] {
            self.found
                .left_out
                .extend(tables.iter().map(|table| format!("table {table} of the {}", given.word)));
        }
        Ok(())
    }

    /// One dataset against a database of several tables: by the kinds of its items, else by its name.
    fn one_to_tables(
        &mut self,
        given: &Given<'a>,
        one: Option<String>,
        database: &Given<'a>,
        tables: &[String],
    ) -> Result<()> {
        let at = self.dataset(given, one, None)?;
        let pair = |finder: &mut Self, name: &str, table: &str, group: Option<Group>, part: Option<&str>| {
            let other = finder.dataset(database, Some(table.to_owned()), part)?;
            match given.word {
                "source" => finder.entity(name, at, other, [group, None]),
                _ => finder.entity(name, other, at, [None, group]),
            }
        };
        let stem = singular(&self.stem(at));
        let mut left: Vec<&String> = tables.iter().collect();
        if let Some(split) = self.split(at)? {
            let (mut of_none, mut found) = (Vec::new(), Vec::new());
            for group in split.groups {
                let near = names(&group);
                let is =
                    |table: &&String| near.iter().flatten().any(|name| *name == singular(&own_name(table)));
                match left.iter().position(is) {
                    Some(table) => found.push((group, left.remove(table))),
                    None => of_none.push(group),
                }
            }
            if !found.is_empty() {
                for (group, table) in found {
                    let name = own_name(table);
                    pair(self, &name, table, Some(group), Some(&name))?;
                }
                let word = database.word;
                self.found.left_out.extend(left.iter().map(|table| format!("table {table} of the {word}")));
                return self.leave_out(at, &of_none, split.others);
            }
        }
        if let Some(table) = tables.iter().find(|table| singular(&own_name(table)) == stem) {
            return pair(self, &own_name(table), table, None, None);
        }
        Err(Error::usage(format!("{} has several tables", database.location.shown)).help(format!(
            "name one of them with --{}-table: {}",
            database.word,
            listed(tables)
        )))
    }

    fn split(&self, at: usize) -> Result<Option<Split>> {
        split(&self.found.datasets[at].sample, &self.sampler.warehouse)
    }

    /// A name for what a dataset holds.
    fn stem(&self, at: usize) -> String {
        let Described { location, table, .. } = &self.found.datasets[at];
        table.as_deref().map_or_else(|| location.stem.clone(), own_name)
    }

    fn has_columns(&self, at: usize, names: &[String]) -> bool {
        let columns = &self.found.datasets[at].sample.columns;
        names.iter().all(|name| columns.iter().any(|c| spelling(&c.name) == spelling(name)))
    }

    fn columns_of(&self, at: usize, group: &Group) -> Result<Vec<Column>> {
        Ok(self.found.datasets[at].sample.counted(&self.sampler.warehouse, &group.filter)?.1)
    }

    /// Says which kinds of items go into no entity, and what they are made of.
    fn leave_out(&mut self, at: usize, groups: &[Group], others: u64) -> Result<()> {
        let word = self.found.datasets[at].name.clone();
        for group in groups {
            let made_of: Vec<String> = self
                .columns_of(at, group)?
                .iter()
                .map(|c| format!("{} ({})", c.name, write::share(c.present, group.items)))
                .collect();
            self.found.left_out.push(format!(
                "items {} of the {word}, {} of those read: {}",
                group.shown(),
                thousands(group.items),
                made_of.join(", ")
            ));
        }
        if others > 0 {
            let what = format!(
                "items of the {word} of no kind that their keys tell, {} of those read",
                thousands(others)
            );
            self.found.left_out.push(what);
        }
        Ok(())
    }

    fn entity(&mut self, name: &str, a: usize, b: usize, groups: [Option<Group>; 2]) -> Result<()> {
        let is_taken = |name: &str| self.found.entities.iter().any(|entity| entity.name == name);
        let mut own = write::bare(name);
        for n in 2.. {
            if !is_taken(&own) {
                break;
            }
            own = format!("{}_{n}", write::bare(name));
        }
        let warehouse = &self.sampler.warehouse;
        let [of_source, of_target] = &groups;
        let source = Side::new("source", &self.found.datasets[a].sample, of_source.clone(), warehouse)?;
        let target = Side::new("target", &self.found.datasets[b].sample, of_target.clone(), warehouse)?;
        let mapping = map(&own, &source, &target, warehouse)?;
        let key = key::guess(&own, &mapping, &source, &target, warehouse)?;
        let rows = [source.rows, target.rows];
        self.found.entities.push(Entity { name: own, datasets: [a, b], groups, rows, mapping, key });
        Ok(())
    }
}

/// What a table may be called that holds this kind of items: by its last word or all of them, then by its first.
fn names(group: &Group) -> [Option<String>; 3] {
    let of = |word: Option<&String>| word.map(|word| singular(word));
    let is_first = |word: &&String| group.words.len() == 1 || is_main(group, word);
    [of(group.words.last()), Some(singular(&group.name())), of(group.words.first().filter(is_first))]
}

/// Whether a kind of items within a partition is what the partition is about: its `PROFILE`, `METADATA` and the like.
fn is_main(group: &Group, first: &str) -> bool {
    let last = group.words.last().map(|word| spelling(word)).unwrap_or_default();
    last == spelling(first)
        || ["profile", "metadata", "meta", "info", "details", "detail", "root", "main"]
            .contains(&last.as_str())
}

/// A table's own name, without its schema.
fn own_name(table: &str) -> String {
    TableName::parse(table).map_or_else(|_| table.to_owned(), |name| name.table().text.clone())
}

/// A table's name with quotes only where they are needed.
fn as_written(table: &str) -> String {
    let is_plain = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
            && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    match TableName::parse(table) {
        Ok(mut name) => {
            name.parts.iter_mut().for_each(|part| part.quoted = !is_plain(&part.text));
            name.to_string()
        }
        Err(_) => table.to_owned(),
    }
}

fn listed(tables: &[String]) -> String {
    let shown: Vec<&str> = tables.iter().take(20).map(String::as_str).collect();
    let more = if tables.len() > shown.len() { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}
