//! Reports: the CSV files, `summary.json`, and the summary on the terminal, which are made from an [`EntityResult`] and the
//! findings that it points to; and what is made from those files again: the page, Markdown, JUnit's XML. Each appears only when it is
//! whole.

pub mod csv;
pub mod document;
pub mod found;
pub mod gather;
pub mod html;
pub mod junit;
pub mod markdown;
pub mod of_diff;
pub mod parquet;
pub mod references;
pub mod rows;
pub mod spot_check;
pub mod summary;
pub mod terminal;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;

use super::diff::{EntityResult, Look};
use crate::error::{Context, Error, Result};
use crate::fault;
use crate::query::{self, literal, render};
use crate::warehouse::Warehouse;
use csv::{CsvFile, Style};

/// A differing cell, for the terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// The entity.
    pub entity: String,
    /// The key's values.
    pub key: Vec<Option<String>>,
    /// The field.
    pub field: String,
    /// The source's value.
    pub source: Option<String>,
    /// The target's value.
    pub target: Option<String>,
    /// The kinds of both values, as in `string` or `absent`.
    pub kinds: [String; 2],
    /// The key as `recon show` takes it; `None` where a field of it is redacted.
    pub shown_by: Option<Vec<(String, Option<String>)>>,
}

/// The files that a diff writes. The summary stands for all of them: it is the first to go and the last to come.
pub const FILES: [&str; 9] = [
    "mismatches.csv",
    "missing.csv",
    "extra.csv",
    "duplicates.csv",
    "failures.csv",
    "orphans.csv",
    "proven.csv",
    html::NAME,
    SUMMARY,
];
const SUMMARY: &str = "summary.json";

/// Makes a folder ready for reports; what a killed run had begun to write there goes.
///
/// # Errors
/// A folder that cannot be made.
pub fn begin(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).or_failed(|| format!("cannot write {}", folder.display()))?;
    for name in FILES {
        // It is there only after a kill, and in the way of nobody.
        let _ = fs::remove_file(folder.join(name).with_extension("tmp"));
    }
    Ok(())
}

/// Takes the summary of an earlier run away, so that its counts are never beside the tables of this one.
///
/// # Errors
/// A file that cannot be removed.
pub fn forget_summary(folder: &Path) -> Result<()> {
    let path = folder.join(SUMMARY);
    match fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::failed(format!("cannot replace {}", path.display())).caused_by(e))
        }
        _ => csv::sync_folder(folder),
    }
}

/// Writes `summary.json`, once the tables have their names for good.
///
/// # Errors
/// A disk that is full or refuses.
pub fn write_summary(folder: &Path, text: &str) -> Result<()> {
    csv::sync_folder(folder)?;
    fault::point("report.before-summary");
    csv::write_whole(&folder.join(SUMMARY), text)?;
    csv::sync_folder(folder)
}

/// How many differing cells the terminal shows.
const EXAMPLES_MAX: usize = 5;

/// Writes every table of [`FILES`] but `orphans.csv` into a folder and returns the first differences. The summary of an earlier run in that
/// folder goes first.
///
/// # Errors
/// What the engine says; a disk that is full.
pub fn write_csvs(
    results: &[EntityResult],
    warehouse: &Warehouse,
    folder: &Path,
    style: &Style,
) -> Result<Vec<Example>> {
    let layout = Layout::new(results);
    forget_summary(folder)?;
    let examples = mismatches(results, warehouse, folder, style, &layout)?;
    records(results, warehouse, folder, style, &layout, "missing.csv", 2)?;
    records(results, warehouse, folder, style, &layout, "extra.csv", 3)?;
    duplicates(results, warehouse, folder, style, &layout)?;
    failures(results, warehouse, folder, style, &layout)?;
    proven(results, folder, style)?;
    Ok(examples)
}

/// Which ranges of keys were not staged, since both stores hold the same in them.
fn proven(results: &[EntityResult], folder: &Path, style: &Style) -> Result<()> {
    let mut file = CsvFile::create(&folder.join("proven.csv"), style, ["entity", "from", "to", "rows"])?;
    for result in results {
        // The bounds are values of the key.
        let hidden = result.key.iter().any(|name| style.redact.contains(name));
        for range in result.proof.iter().flat_map(|proof| &proof.ranges) {
            let bound = |bound: &Option<String>| bound.clone().filter(|_| !hidden);
            let (from, to) = (bound(&range.from), bound(&range.to));
            let cells = [Some(result.name.clone()), from, to, Some(range.rows.to_string())];
            write(&mut file, &cells)?;
        }
    }
    file.finish()
}

/// Takes the values of redacted fields out of what is known of other fields, and their differences out of their own.
pub fn redact(results: &mut [EntityResult], style: &Style) {
    for field in results.iter_mut().flat_map(|result| &mut result.fields) {
        if style.redact.contains(&field.name) {
            field.matched.max_delta = None;
            field.mismatched.max_delta = None;
        }
        if let Some(common) = &mut field.concentration {
            common.value = style.shown(&common.field, Some(&common.value)).unwrap_or_default();
        }
    }
}

/// The columns that several entities share in one file: keys by position, fields by name.
struct Layout {
    keys: Vec<String>,
    fields: Vec<String>,
}

impl Layout {
    fn new(results: &[EntityResult]) -> Self {
        let keys = key_columns(&results.iter().map(|result| result.key.as_slice()).collect::<Vec<_>>());
        let mut fields: Vec<String> = Vec::new();
        for name in results.iter().flat_map(|r| r.fields[r.key.len()..].iter().map(|f| &f.name)) {
            if !fields.contains(name) {
                fields.push(name.clone());
            }
        }
        Self { keys, fields }
    }

    fn header<'a>(&'a self, rest: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
        std::iter::once("entity").chain(self.keys.iter().map(String::as_str)).chain(rest).collect()
    }

    /// A record's key cells, shown in the style and padded to the file's width.
    fn key(&self, result: &EntityResult, style: &Style, texts: &[Option<String>]) -> Vec<Option<String>> {
        let shown = result.key.iter().zip(texts).map(|(name, text)| style.shown(name, text.as_deref()));
        let mut cells: Vec<_> = shown.collect();
        cells.resize(self.keys.len(), None);
        cells
    }
}

/// The columns for the keys of several entities: by position, with the names of all that have a field there.
pub fn key_columns(keys: &[&[String]]) -> Vec<String> {
    let width = keys.iter().map(|key| key.len()).max().unwrap_or(0);
    let column = |i: usize| {
        let mut names: Vec<&str> = keys.iter().filter_map(|key| key.get(i)).map(String::as_str).collect();
        names.dedup();
        names.join("/")
    };
    (0..width).map(column).collect()
}

fn files_exist(pattern: &str) -> bool {
    glob::glob(pattern).is_ok_and(|mut files| files.next().is_some())
}

fn text(batch: &RecordBatch, column: usize, row: usize) -> Option<String> {
    let array = batch.column(column).as_string::<i32>();
    array.is_valid(row).then(|| array.value(row).to_owned())
}

fn number(batch: &RecordBatch, name: &str, row: usize) -> Option<i64> {
    let array = batch.column_by_name(name)?.as_primitive::<Int64Type>();
    array.is_valid(row).then(|| array.value(row))
}

fn write(file: &mut CsvFile, cells: &[Option<String>]) -> Result<()> {
    file.row(cells.iter().map(Option::as_deref))
}

fn mismatches(
    results: &[EntityResult],
    warehouse: &Warehouse,
    folder: &Path,
    style: &Style,
    layout: &Layout,
) -> Result<Vec<Example>> {
    let header = layout.header(["field", "rule", "source_value", "target_value", "delta"]);
    let mut file = CsvFile::create(&folder.join("mismatches.csv"), style, header)?;
    let mut examples = Vec::new();
    let looks = results.iter().flat_map(|result| result.looks.iter().map(move |look| (result, look)));
    for (result, look) in looks.filter(|(_, look)| look.has_cells()) {
        warehouse.stream(&look.cells_sql(), |batch| {
            for row in 0..batch.num_rows() {
                let width = result.key.len();
                let key: Vec<_> = (0..width).map(|i| text(&batch, i, row)).collect();
                let field = text(&batch, width, row).unwrap_or_default();
                let redacted = style.redact.contains(&field);
                let source = style.shown(&field, text(&batch, width + 2, row).as_deref());
                let target = style.shown(&field, text(&batch, width + 3, row).as_deref());
                let delta = text(&batch, width + 4, row).filter(|_| !redacted);
                let mut cells = vec![Some(result.name.clone())];
                cells.extend(layout.key(result, style, &key));
                cells.extend([
                    Some(field.clone()),
                    text(&batch, width + 1, row),
                    source.clone(),
                    target.clone(),
                    delta,
                ]);
                write(&mut file, &cells)?;
                if examples.len() < EXAMPLES_MAX {
                    let kinds = [width + 5, width + 6].map(|i| text(&batch, i, row).unwrap_or_default());
                    let open = !result.key.iter().any(|name| style.redact.contains(name));
                    let shown_by = open.then(|| result.key.iter().cloned().zip(key).collect());
                    let key = cells[1..=width].to_vec();
                    let entity = result.name.clone();
                    examples.push(Example { entity, key, field, source, target, kinds, shown_by });
                }
            }
            Ok(())
        })?;
    }
    file.finish()?;
    Ok(examples)
}

impl Look {
    /// Whether there are differing cells that still stand.
    pub(in crate::reconcile) fn has_cells(&self) -> bool {
        self.stands[1] && files_exist(&self.judged.cells)
    }

    /// The differing cells in the report's order.
    fn cells_sql(&self) -> String {
        let template = include_str!("../../../queries/reconcile/report_cells.sql");
        render(template, &[("cells", &literal(&self.judged.cells))])
    }
}

/// Streams an entity's records of one verdict in the report's order.
fn each_record(
    result: &EntityResult,
    warehouse: &Warehouse,
    verdict: usize,
    mut each: impl FnMut(&Look, &RecordBatch, usize) -> Result<()>,
) -> Result<()> {
    for look in &result.looks {
        if look.stands[verdict] && files_exist(&look.judged.records) {
            let sql = records_sql(look, result.key.len(), verdict);
            warehouse
                .stream(&sql, |batch| (0..batch.num_rows()).try_for_each(|row| each(look, &batch, row)))?;
        }
    }
    Ok(())
}

fn records_sql(look: &Look, key_width: usize, verdict: usize) -> String {
    let records = literal(&look.judged.records);
    let mut places =
        vec!["select null::bigint as pos, false as on_target, null::bigint as line where false".to_owned()];
    for (staged, on_target) in look.sides.iter().zip(["false", "true"]) {
        if staged.has_lines && verdict == 4 {
            let pieces = [
                ("rows", staged.rows_sql()),
                ("on_target", on_target.to_owned()),
                ("records", records.clone()),
            ];
            let pieces: Vec<(&str, &str)> =
                pieces.iter().map(|(name, piece)| (*name, piece.as_str())).collect();
            places.push(render(include_str!("../../../queries/reconcile/report_places.sql"), &pieces));
        }
    }
    // Only of a duplicate may all rows be such that did not parse.
    let keys = match verdict {
        5 => unparsed_keys(look, key_width),
        _ => "select null::bigint as pos, false as on_target where false".to_owned(),
    };
    let (places, verdict) = (places.join("\nunion all\n"), verdict.to_string());
    let pieces = [("records", records.as_str()), ("places", &places), ("keys", &keys), ("verdict", &verdict)];
    render(include_str!("../../../queries/reconcile/report_records.sql"), &pieces)
}

fn unparsed_keys(look: &Look, key_width: usize) -> String {
    let texts: String = (0..key_width).map(|i| format!(", u{i}")).collect();
    format!("select pos, on_target{texts} from read_parquet({})", query::file(&look.unparsed))
}

/// A record's text of every field of the plan; the columns come after verdict, on_target and pos.
fn field_texts(result: &EntityResult, batch: &RecordBatch, row: usize) -> Vec<Option<String>> {
    (0..result.fields.len()).map(|i| text(batch, 3 + i, row)).collect()
}

fn records(
    results: &[EntityResult],
    warehouse: &Warehouse,
    folder: &Path,
    style: &Style,
    layout: &Layout,
    name: &str,
    verdict: usize,
) -> Result<()> {
    let header = layout.header(layout.fields.iter().map(String::as_str));
    let mut file = CsvFile::create(&folder.join(name), style, header)?;
    for result in results {
        each_record(result, warehouse, verdict, |_, batch, row| {
            let texts = field_texts(result, batch, row);
            let mut cells = vec![Some(result.name.clone())];
            cells.extend(layout.key(result, style, &texts));
            for field in &layout.fields {
                let own =
                    result.fields.iter().position(|f| f.name == *field).and_then(|i| texts[i].as_deref());
                cells.push(style.shown(field, own));
            }
            write(&mut file, &cells)
        })?;
    }
    file.finish()
}

fn duplicates(
    results: &[EntityResult],
    warehouse: &Warehouse,
    folder: &Path,
    style: &Style,
    layout: &Layout,
) -> Result<()> {
    let header = layout.header(["source_count", "target_count", "equal"]);
    let mut file = CsvFile::create(&folder.join("duplicates.csv"), style, header)?;
    for result in results {
        each_record(result, warehouse, 5, |_, batch, row| {
            let unparsed = unparsed_key(result, batch, row);
            let texts = unparsed.unwrap_or_else(|| field_texts(result, batch, row));
            let equal = batch.column_by_name("equal").is_some_and(|c| c.as_boolean().value(row));
            let mut cells = vec![Some(result.name.clone())];
            cells.extend(layout.key(result, style, &texts));
            cells.push(number(batch, "source_count", row).map(|n| n.to_string()));
            cells.push(number(batch, "target_count", row).map(|n| n.to_string()));
            cells.push(Some(equal.to_string()));
            write(&mut file, &cells)
        })?;
    }
    file.finish()
}

/// The key of a record of which only rows are known that did not parse.
fn unparsed_key(result: &EntityResult, batch: &RecordBatch, row: usize) -> Option<Vec<Option<String>>> {
    let first = batch.schema().index_of("u0").ok()?;
    let texts: Vec<_> = (0..result.key.len()).map(|i| text(batch, first + i, row)).collect();
    texts.iter().any(Option::is_some).then_some(texts)
}

fn failures(
    results: &[EntityResult],
    warehouse: &Warehouse,
    folder: &Path,
    style: &Style,
    layout: &Layout,
) -> Result<()> {
    let header = layout.header(["stage", "class", "code", "column", "message", "attempts"]);
    let mut file = CsvFile::create(&folder.join("failures.csv"), style, header)?;
    // The rows of a dataset that several entities share are reported once.
    let (mut seen, mut seen_again) = (BTreeSet::new(), BTreeSet::new());
    for result in results {
        for (n, look) in result.looks.iter().enumerate() {
            let datasets = [0, 1].map(|side: usize| look.sides[side].dataset.name.as_str());
            // Looking again reads each entity's records for itself, and may meet one row twice.
            let mut first = |side: usize| n > 0 || seen.insert(datasets[side]);
            let reported = [0, 1].map(|side| result.owns_unparsed[side] || first(side));
            unparsed_rows((result, look), warehouse, style, layout, reported, |row, is_shared| {
                if n == 0 || !is_shared || seen_again.insert(row.to_vec()) {
                    write(&mut file, row)
                } else {
                    Ok(())
                }
            })?;
        }
        uncast_rows(result, warehouse, style, layout, &mut file)?;
    }
    file.finish()
}

/// What every row of a diff's `failures.csv` has after its key.
fn failure_cells(code: String, column: Option<String>, message: String) -> [Option<String>; 6] {
    let word = |text: &str| Some(text.to_owned());
    [word("stage"), word("permanent"), Some(code), column, Some(message), word("1")]
}

/// The rows of an entity that did not parse, of the sides of which they are reported.
fn unparsed_rows(
    (result, look): (&EntityResult, &Look),
    warehouse: &Warehouse,
    style: &Style,
    layout: &Layout,
    reported: [bool; 2],
    mut each: impl FnMut(&[Option<String>], bool) -> Result<()>,
) -> Result<()> {
    let template = include_str!("../../../queries/reconcile/report_unparsed.sql");
    warehouse.stream(&render(template, &[("file", &query::file(&look.unparsed))]), |batch| {
        for row in 0..batch.num_rows() {
            let side = usize::from(batch.column(0).as_boolean().value(row));
            if !reported[side] {
                continue;
            }
            let owned = result.owns_unparsed[side];
            let key = match owned {
                true => {
                    let texts: Vec<_> = (0..result.key.len()).map(|i| text(&batch, 6 + i, row)).collect();
                    layout.key(result, style, &texts)
                }
                false => vec![None; layout.keys.len()],
            };
            let unit = text(&batch, 1, row).unwrap_or_default();
            let place = number(&batch, "line", row).map_or_else(|| unit.clone(), |n| format!("{unit}:{n}"));
            let message = format!("{place}: {}", text(&batch, 5, row).unwrap_or_default());
            let mut cells = vec![owned.then(|| result.name.clone())];
            cells.extend(key);
            let code = text(&batch, 4, row).unwrap_or_default();
            cells.extend(failure_cells(code, text(&batch, 3, row), message));
            each(&cells, !owned)?;
        }
        Ok(())
    })
}

/// The rows of an entity that do not cast.
fn uncast_rows(
    result: &EntityResult,
    warehouse: &Warehouse,
    style: &Style,
    layout: &Layout,
    file: &mut CsvFile,
) -> Result<()> {
    each_record(result, warehouse, 4, |look, batch, row| {
        let texts = field_texts(result, batch, row);
        let on_target = batch.column(1).as_boolean().value(row);
        let staged = &look.sides[usize::from(on_target)];
        let pos = number(batch, "pos", row).unwrap_or(0);
        let unit = staged.parts.get((pos >> 40) as usize).map_or("", |part| part.unit.as_str());
        let line = number(batch, "line", row)
            .map_or_else(|| format!("row {}", (pos & ((1 << 40) - 1)) + 1), |line| line.to_string());
        let code = batch.column_by_name("code").map(|c| c.as_string::<i32>().value(row).to_owned());
        let message = batch.column_by_name("message").map(|c| c.as_string::<i32>().value(row).to_owned());
        let field = number(batch, "failed_field", row).and_then(|i| result.fields.get(i as usize));
        let mut cells = vec![Some(result.name.clone())];
        cells.extend(layout.key(result, style, &texts));
        let message = format!("{unit}:{line}: {}", message.unwrap_or_default());
        cells.extend(failure_cells(code.unwrap_or_default(), field.map(|f| f.name.clone()), message));
        write(file, &cells)
    })
}

/// Writes the `failures.csv` of a staging: every row that did not parse, by file and line. `files` are pairs of input file and
/// Parquet file with its failures.
///
/// # Errors
/// What the engine says; a disk that is full.
pub fn stage_failures(
    files: &[(String, std::path::PathBuf)],
    warehouse: &Warehouse,
    path: &Path,
    style: &Style,
) -> Result<()> {
    let header = ["entity", "stage", "class", "code", "column", "message", "attempts"];
    let mut file = CsvFile::create(path, style, header)?;
    for (unit, failures) in files {
        let template = include_str!("../../../queries/reconcile/stage_failures.sql");
        let sql = render(template, &[("file", &query::file(failures))]);
        warehouse.stream(&sql, |batch| {
            (0..batch.num_rows()).try_for_each(|row| {
                let place =
                    number(&batch, "line", row).map_or_else(|| unit.clone(), |line| format!("{unit}:{line}"));
                let message = format!("{place}: {}", text(&batch, 3, row).unwrap_or_default());
                let (code, column) = (text(&batch, 2, row), text(&batch, 1, row));
                file.row([
                    None,
                    Some("stage"),
                    Some("permanent"),
                    code.as_deref(),
                    column.as_deref(),
                    Some(message.as_str()),
                    Some("1"),
                ])
            })
        })?;
    }
    file.finish()
}
