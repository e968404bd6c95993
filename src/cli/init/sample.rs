//! Looking at a dataset: its first rows are staged into a folder that is thrown away, and DuckDB counts what is in them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use super::sql_name;
use crate::cli::progress::Bar;
use crate::cli::{Global, Interrupts};
use crate::error::{Context, Result};
use crate::event::Progress;
use crate::ledger::Ledger;
use crate::mapping::access::pointer;
use crate::mapping::resolve::StoreType;
use crate::mapping::side::{Staged, document_sql};
use crate::query::{identifier, literal, render};
use crate::spec::Dataset;
use crate::stage;
use crate::stage::document::Names;
use crate::stage::run::{self, Options, definition};
use crate::store::table::TableFacts;
use crate::warehouse::Warehouse;

/// Where samples are kept while `recon init` runs.
pub(super) struct Sampler {
    pub(super) warehouse: Warehouse,
    ledger: Ledger,
    run_id: String,
    progress: Arc<Progress>,
    tables: AtomicU32,
    rows_max: u64,
    _bar: Bar,
    _listening: Interrupts,
    _folder: TempDir,
}

/// The first rows of a dataset, and what the store says of it.
pub(super) struct Sample {
    pub(super) dataset: Dataset,
    /// Its columns, with what the rows show of them.
    pub(super) columns: Vec<Column>,
    /// Rows that were read.
    pub(super) rows: u64,
    /// Whether there are no others.
    pub(super) is_whole: bool,
    /// Rows that did not parse.
    pub(super) failures: u64,
    /// The columns of its primary key.
    pub(super) key: Vec<String>,
    /// The columns of its other unique constraints.
    pub(super) unique: Vec<Vec<String>>,
    /// The table of the engine that holds the rows: `v0`, `v1`, … their values, `t0`, `t1`, … the types of a document's.
    table: String,
}

/// What the keys of some items begin with.
pub(super) struct Beginning {
    /// The partition key's beginning, where it has one.
    pub(super) first: Option<String>,
    /// The sort key's.
    pub(super) second: Option<String>,
    /// How many items there are.
    pub(super) items: u64,
}

/// A column, an attribute, or one inside a map.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// As the store spells it, with the map's name where it is inside one.
    pub(super) name: String,
    /// The same without the map.
    pub(super) own_name: String,
    /// As the spec's SQL spells it.
    pub(super) sql: String,
    /// The engine's SQL of its values in the sample.
    pub(super) value: String,
    /// The engine's SQL of a document's types.
    tag: String,
    /// Its type.
    pub(super) store: StoreType,
    /// Whether it is inside a map.
    pub(super) is_inside: bool,
    /// Rows that have it, NULLs included.
    pub(super) present: u64,
    /// Different values.
    pub(super) distinct: u64,
    /// Rows in which it has a value.
    pub(super) values: u64,
}

impl Column {
    fn uncounted((i, (name, spelt, store)): (usize, (&String, &String, StoreType))) -> Self {
        let (value, tag) = (format!("v{i}"), format!("t{i}"));
        let (name, own_name, sql) = (name.clone(), name.clone(), sql_name(spelt));
        Self { name, own_name, sql, value, tag, store, is_inside: false, present: 0, distinct: 0, values: 0 }
    }

    /// The types of an attribute, `NULL` left out.
    pub(super) fn tags(&self) -> Option<&[String]> {
        match &self.store {
            StoreType::Document { tags, .. } => Some(tags),
            _ => None,
        }
    }

    /// Whether it holds nothing but texts.
    pub(super) fn is_text(&self) -> bool {
        match &self.store {
            StoreType::Document { tags, .. } => tags.as_slice() == ["S"],
            store => matches!(store, StoreType::Text | StoreType::Untyped),
        }
    }
}

impl Sampler {
    /// An empty folder for samples of at most `rows_max` rows.
    ///
    /// # Errors
    /// A temporary folder that cannot be made.
    pub(super) fn new(global: &Global, rows_max: u64) -> Result<Self> {
        let folder = TempDir::with_prefix("recon-init-").or_failed(|| {
            format!("cannot make a folder in {}, which TMPDIR may move", std::env::temp_dir().display())
        })?;
        let progress = Arc::new(Progress::default());
        let warehouse = Warehouse::in_memory(global.threads(), global.engine_memory())?;
        warehouse.spill_to(folder.path())?;
        warehouse.stop_with(&progress)?;
        let ledger = Ledger::open(&folder.path().join("home"), "init")?;
        let run_id = ledger.begin_run("init", "")?;
        Ok(Self {
            warehouse,
            ledger,
            run_id,
            tables: AtomicU32::new(0),
            rows_max,
            _bar: Bar::start(global, "looking at", &progress),
            _listening: Interrupts::listen(&progress)?,
            _folder: folder,
            progress,
        })
    }

    /// Reads the first rows of a dataset.
    ///
    /// # Errors
    /// A dataset that cannot be reached or read.
    pub(super) fn look(&self, dataset: &Dataset) -> Result<Sample> {
        let (staged, facts, failures) = self.stage(dataset)?;
        let facts = facts.unwrap_or_default();
        let number = self.tables.fetch_add(1, Ordering::Relaxed);
        let (table, sql_columns) = (format!("sample_{number}"), staged.columns.iter().enumerate());
        let values: Vec<String> = sql_columns.map(|(i, column)| values_sql(i, column)).collect();
        let (columns, limit) = (values.join(", "), self.rows_max.to_string());
        let pieces = [
            ("table", table.as_str()),
            ("columns", if values.is_empty() { "1 as nothing" } else { &columns }),
            ("rows", &staged.rows_sql()),
            ("limit", &limit),
        ];
        self.warehouse.execute(&render(include_str!("../../../queries/init/sample.sql"), &pieces))?;
        let mut sample = Sample {
            dataset: dataset.clone(),
            columns: Vec::new(),
            rows: 0,
            is_whole: staged.rows() < self.rows_max,
            failures,
            key: facts.key.clone(),
            unique: facts.unique.clone(),
            table,
        };
        let columns = match staged.columns.is_empty() {
            true => {
                facts.columns.iter().map(|c| (&c.name, &c.name, StoreType::from(&c.ty))).collect::<Vec<_>>()
            }
            false => staged.columns.iter().map(|c| (&c.name, &c.sql_name, c.store.clone())).collect(),
        };
        sample.columns = columns.into_iter().enumerate().map(Column::uncounted).collect();
        if !staged.columns.is_empty() {
            (sample.rows, sample.columns) = sample.count(&self.warehouse, &sample.columns, "true")?;
        }
        Ok(sample)
    }

    /// The rows of a dataset whose columns are texts.
    ///
    /// # Errors
    /// As [`Sampler::look`].
    pub(super) fn texts(&self, dataset: &Dataset) -> Result<Vec<Vec<Option<String>>>> {
        let (staged, ..) = self.stage(dataset)?;
        let columns: Vec<String> = staged.columns.iter().map(|c| identifier(&c.physical[0].1)).collect();
        if columns.is_empty() {
            return Ok(Vec::new());
        }
        let (columns, rows) = (columns.join(", "), staged.rows_sql());
        self.warehouse.texts(&format!("select {columns} from ({rows}) as staged order by __recon_pos"))
    }

    fn stage(&self, dataset: &Dataset) -> Result<(Staged, Option<TableFacts>, u64)> {
        let names = Arc::new(Names::new(&dataset.name));
        let facts = stage::open(dataset, &names, false)
            .and_then(|source| source.facts())
            .map_err(|e| e.of(&format!("the {}", dataset.name)))?;
        // One thread reads the units in their order, so that it is the first rows that are read.
        let options = Options {
            threads: 1,
            copy: false,
            errors_max: None,
            rows_max: Some(self.rows_max),
            changed_only: None,
        };
        let outcomes = run::stage(&[dataset], &self.ledger, &self.run_id, &options, &self.progress)?;
        let definition = definition(dataset, self.ledger.home(), false);
        let staged = Staged::load(&self.ledger, &self.warehouse, dataset, &definition)?;
        Ok((staged, facts, outcomes.iter().map(|outcome| outcome.failures).sum()))
    }
}

impl Sample {
    /// Counts the columns over the rows for which `filter` holds, a condition on the engine's names. An attribute that none of
    /// them has is left out.
    ///
    /// # Errors
    /// What the engine says.
    pub(super) fn counted(&self, warehouse: &Warehouse, filter: &str) -> Result<(u64, Vec<Column>)> {
        if self.rows == 0 {
            return Ok((0, self.columns.clone()));
        }
        let (rows, columns) = self.count(warehouse, &self.columns, filter)?;
        let is_there = |column: &Column| column.present > 0 || !self.dataset.kind.is_schemaless();
        Ok((rows, columns.into_iter().filter(is_there).collect()))
    }

    fn count(&self, warehouse: &Warehouse, columns: &[Column], filter: &str) -> Result<(u64, Vec<Column>)> {
        let mut counts = vec!["count(*)".to_owned()];
        for column in columns {
            let (value, tag, tags) = (&column.value, &column.tag, column.tags());
            let present = tags.map_or("1", |_| tag);
            counts.push(format!("count({present}), count({value}), count(distinct {value})"));
            let of_tag = |name: &String| format!("count(*) filter ({tag} = {})", literal(name));
            counts.extend(tags.unwrap_or_default().iter().map(of_tag));
        }
        let sql = format!("select {} from {} where {filter}", counts.join(", "), self.table);
        let row = warehouse.integers(&sql)?.pop().unwrap_or_default();
        let mut found = row.into_iter().map(number);
        let rows = found.next().unwrap_or(0);
        let mut next = || found.next().unwrap_or(0);
        let counted = columns.iter().map(|column| {
            let (present, values, distinct) = (next(), next(), next());
            let mut column = Column { present, values, distinct, ..column.clone() };
            if let StoreType::Document { tags, .. } = &mut column.store {
                tags.retain(|_| next() > 0);
            }
            column
        });
        Ok((rows, counted.collect()))
    }

    /// How many rows have a value in each of these, and how many different ones they have together.
    ///
    /// # Errors
    /// What the engine says.
    pub(super) fn together(
        &self,
        warehouse: &Warehouse,
        filter: &str,
        sets: &[Vec<String>],
    ) -> Result<Vec<(u64, u64)>> {
        let all_there = |values: &[String]| {
            values.iter().map(|value| format!("{value} is not null")).collect::<Vec<_>>().join(" and ")
        };
        let counts = sets.iter().map(|values| {
            let there = all_there(values);
            format!("count(*) filter ({there}), count(distinct row({})) filter ({there})", values.join(", "))
        });
        let counts: Vec<String> = counts.collect();
        if counts.is_empty() || self.rows == 0 {
            return Ok(vec![(0, 0); counts.len()]);
        }
        let sql = format!("select {} from {} where {filter}", counts.join(", "), self.table);
        let row = warehouse.integers(&sql)?.pop().unwrap_or_default();
        Ok(row.chunks(2).map(|two| (number(two[0]), number(two[1]))).collect())
    }

    /// The engine's query of the different texts of an expression over rows.
    pub(super) fn texts_sql(&self, filter: &str, value: &str) -> String {
        format!("select distinct cast({value} as varchar) as text from {} where {filter}", self.table)
    }

    /// Which of these have in every row that has a value one of this shape, a regular expression.
    ///
    /// # Errors
    /// What the engine says.
    pub(super) fn all_match(
        &self,
        warehouse: &Warehouse,
        filter: &str,
        values: &[String],
        shape: &str,
    ) -> Result<Vec<bool>> {
        if values.is_empty() || self.rows == 0 {
            return Ok(vec![false; values.len()]);
        }
        let shape = literal(shape);
        let matching = |value: &String| {
            format!(
                "cast(coalesce(bool_and(regexp_full_match(cast({value} as varchar), {shape})), false) as integer)"
            )
        };
        let matching: Vec<String> = values.iter().map(matching).collect();
        let sql = format!("select {} from {} where {filter}", matching.join(", "), self.table);
        let row = warehouse.integers(&sql)?.pop().unwrap_or_default();
        Ok(row.into_iter().map(|cell| cell == Some(1)).collect())
    }

    /// The attributes inside a map, one level deep, as columns that are counted but for their different values.
    ///
    /// # Errors
    /// What the engine says.
    pub(super) fn inside(&self, warehouse: &Warehouse, filter: &str, map: &Column) -> Result<Vec<Column>> {
        let StoreType::Document { dynamodb, .. } = map.store else { return Ok(Vec::new()) };
        let pieces = [("value", map.value.as_str()), ("table", &self.table), ("filter", filter)];
        let rows = warehouse.texts(&render(include_str!("../../../queries/init/inside.sql"), &pieces))?;
        let mut found: Vec<Column> = Vec::new();
        for row in rows {
            let [Some(name), Some(tag), Some(items)] = &row[..] else { continue };
            if found.last().is_none_or(|column| column.own_name != *name) {
                found.push(Column {
                    name: format!("{}.{name}", map.name),
                    own_name: name.clone(),
                    sql: format!("{}.{}", map.sql, sql_name(name)),
                    value: String::new(),
                    tag: String::new(),
                    store: StoreType::Document { dynamodb, tags: Vec::new() },
                    is_inside: true,
                    present: 0,
                    distinct: 0,
                    values: 0,
                });
            }
            let column = found.last_mut().expect("just pushed");
            let items = items.parse().unwrap_or(0);
            column.present += items;
            if let (StoreType::Document { tags, .. }, true) = (&mut column.store, tag != "NULL") {
                tags.push(tag.clone());
                column.values += items;
            }
        }
        for column in &mut found {
            let of_tag = |tag: &String| {
                let place = pointer(std::slice::from_ref(&column.own_name), Some(tag));
                format!("json_extract_string({}, {})", map.value, literal(&place))
            };
            let values: Vec<String> = column.tags().unwrap_or_default().iter().map(of_tag).collect();
            column.value = format!(
                "coalesce({}, null)",
                if values.is_empty() { "null".to_owned() } else { values.join(", ") }
            );
        }
        Ok(found)
    }

    /// How many items there are of each pair of beginnings.
    ///
    /// # Errors
    /// What the engine says.
    pub(super) fn groups(
        &self,
        warehouse: &Warehouse,
        first: &str,
        second: &str,
        most: usize,
    ) -> Result<Vec<Beginning>> {
        let pieces =
            [("first", first), ("second", second), ("table", &self.table), ("most", &most.to_string())];
        let sql = render(include_str!("../../../queries/init/prefixes.sql"), &pieces);
        let rows = warehouse.texts(&sql)?;
        let read = |row: Vec<Option<String>>| {
            let mut cells = row.into_iter();
            let mut next = || cells.next().flatten();
            let (first, second) = (next(), next());
            Beginning { first, second, items: next().and_then(|n| n.parse().ok()).unwrap_or(0) }
        };
        Ok(rows.into_iter().map(read).collect())
    }
}

fn number(cell: Option<i64>) -> u64 {
    u64::try_from(cell.unwrap_or(0)).unwrap_or(0)
}

/// A column's values and, of a document, their types.
fn values_sql(i: usize, column: &crate::mapping::side::Column) -> String {
    match &column.store {
        StoreType::Document { .. } => {
            let cases = column
                .physical
                .iter()
                .map(|(tag, name)| format!("when {} is not null then {}", identifier(name), literal(tag)));
            let tag = format!("case {} end", cases.collect::<Vec<_>>().join(" "));
            format!("{} as v{i}, {tag} as t{i}", document_sql(column, None, "cast"))
        }
        _ => format!("{} as v{i}", identifier(&column.physical[0].1)),
    }
}
