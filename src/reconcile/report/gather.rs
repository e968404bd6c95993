//! What the tables of a diff add up to: where the findings are, which differences come again and again, and why records failed.
//!
//! The files are read one row at a time, and what is kept of them is bounded.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::rows::{Cells, Rows};
use crate::error::Result;

/// The tables whose rows are records that are not matched, with the word for each.
pub const TABLES: [(&str, &str); 4] = [
    ("mismatches.csv", "mismatched"),
    ("missing.csv", "missing"),
    ("extra.csv", "extra"),
    ("duplicates.csv", "duplicate"),
];
/// Columns of `mismatches.csv` behind the key's.
const AFTER_KEY: usize = 5;
/// Different differences, and different beginnings of keys, that are counted.
const DISTINCT_MAX: usize = 20_000;
/// Of so long values it is not asked whether they come again.
const VALUE_BYTES_MAX: usize = 200;
/// Ranges or beginnings of keys that are shown.
pub const BARS_MAX: usize = 20;
/// Differences of a field that are shown.
const CHANGES_MAX: usize = 3;
/// First differences of a field that are kept.
const FIRST_MAX: usize = 3;

/// A difference that comes again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// By so much.
    By(String),
    /// From one value to another.
    FromTo(Option<String>, Option<String>),
}

/// A differing cell.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The key's values.
    pub key: Cells,
    /// The source's value.
    pub source: Option<String>,
    /// The target's value.
    pub target: Option<String>,
}

/// Why records did not go through.
#[derive(Clone, Debug)]
pub struct Failures {
    /// The entity; `None` of rows that belong to none.
    pub entity: Option<String>,
    /// Where: `stage`, `migrate`, …
    pub stage: String,
    /// The class.
    pub class: String,
    /// The code.
    pub code: String,
    /// How many.
    pub records: u64,
    /// The first one's words.
    pub first: String,
}

/// How many records there are by the ranges of a part of their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The entity.
    pub entity: String,
    /// The number of the key's field.
    pub part: usize,
    /// In words, with the records in it.
    pub ranges: Vec<(String, u64)>,
    /// Whether there are others, with fewer records in them.
    pub is_cut: bool,
}

/// What the tables add up to.
#[derive(Clone, Debug, Default)]
pub struct Gathered {
    /// The names of the key's columns.
    pub keys: Vec<String>,
    /// Rows of each of [`TABLES`].
    pub rows: [u64; 4],
    /// The first differences by entity and field.
    pub first: BTreeMap<(String, String), Vec<Difference>>,
    /// The most frequent differences by entity and field, with how often they are there.
    pub changes: BTreeMap<(String, String), Vec<(Change, u64)>>,
    /// Whether there were more different differences than are counted.
    pub changes_cut: bool,
    /// Where the records are that are not matched.
    pub places: Vec<Place>,
    /// By entity, stage, class and code.
    pub failures: Vec<Failures>,
}

/// Reads the tables of a diff. Those that are not there are empty.
///
/// # Errors
/// A file that is damaged.
pub fn gather(folder: &Path) -> Result<Gathered> {
    let mut out = Gathered { failures: failures(folder)?, ..Gathered::default() };
    let mut changes: HashMap<(String, String), HashMap<Changed, u64>> = HashMap::new();
    let (mut distinct, mut extents) = (0, BTreeMap::<(String, usize), Extent>::new());
    each_finding(folder, |table, key_width, cells, is_new_record| {
        out.rows[table] += 1;
        let entity = cells[0].clone().unwrap_or_default();
        if is_new_record {
            for (i, part) in cells[1..=key_width].iter().enumerate() {
                extents.entry((entity.clone(), i)).or_default().add(part.as_deref());
            }
        }
        if table > 0 {
            return;
        }
        let [field, _, source, target, delta] = &cells[1 + key_width..] else { return };
        let place = (entity, field.clone().unwrap_or_default());
        let first = out.first.entry(place.clone()).or_default();
        if first.len() < FIRST_MAX {
            let key = cells[1..=key_width].to_vec();
            first.push(Difference { key, source: source.clone(), target: target.clone() });
        }
        let short = |text: &Option<String>| text.as_ref().is_none_or(|text| text.len() <= VALUE_BYTES_MAX);
        if !(short(source) && short(target)) {
            return;
        }
        let changed = match delta {
            Some(delta) => (Some(delta.clone()), None, None),
            None => (None, source.clone(), target.clone()),
        };
        let of_field = changes.entry(place).or_default();
        if let Some(count) = of_field.get_mut(&changed) {
            *count += 1;
        } else if distinct < DISTINCT_MAX {
            distinct += 1;
            of_field.insert(changed, 1);
        } else {
            out.changes_cut = true;
        }
    })?;
    if out.rows.iter().any(|rows| *rows > 0) {
        let header = Rows::open(&folder.join(TABLES[0].0))?.header().to_vec();
        out.keys = header[1..header.len().saturating_sub(AFTER_KEY).max(1)].to_vec();
    }
    out.changes = changes.into_iter().map(|(place, found)| (place, most_frequent(found))).collect();
    out.places = places(folder, extents)?;
    Ok(out)
}

/// Delta, else source and target.
type Changed = (Option<String>, Option<String>, Option<String>);

fn most_frequent(found: HashMap<Changed, u64>) -> Vec<(Change, u64)> {
    let mut found: Vec<(Changed, u64)> = found.into_iter().filter(|(_, count)| *count > 1).collect();
    found.sort_by(|(a, n), (b, m)| m.cmp(n).then_with(|| a.cmp(b)));
    let change = |(delta, source, target): Changed| match delta {
        Some(delta) => Change::By(delta),
        None => Change::FromTo(source, target),
    };
    found.into_iter().take(CHANGES_MAX).map(|(changed, count)| (change(changed), count)).collect()
}

/// Hands over the rows of [`TABLES`]: the table's number, the width of its keys, the cells, and whether they are the first ones of
/// their record.
fn each_finding(folder: &Path, mut each: impl FnMut(usize, usize, &Cells, bool)) -> Result<()> {
    let mut key_width = None;
    for (table, (name, _)) in TABLES.iter().enumerate() {
        let path = folder.join(name);
        if !path.exists() {
            continue;
        }
        let mut rows = Rows::open(&path)?;
        // Every table has the same columns for the keys; in this one it is known how many others there are.
        let width = *key_width.get_or_insert(rows.header().len().saturating_sub(1 + AFTER_KEY));
        let mut before: Cells = Vec::new();
        while let Some(cells) = rows.next_row()? {
            let is_new_record = table > 0 || before.get(..=width) != cells.get(..=width);
            each(table, width, &cells, is_new_record);
            before = cells;
        }
    }
    Ok(())
}

/// What the values of a part of a key have in common.
#[derive(Clone, Debug, Default)]
struct Extent {
    /// The least and the greatest, while all are whole numbers.
    numbers: Option<(i64, i64)>,
    is_text: bool,
    /// What all texts begin with.
    common: Option<String>,
}

impl Extent {
    fn add(&mut self, part: Option<&str>) {
        let Some(part) = part else { return };
        match part.parse::<i64>() {
            Ok(n) => {
                let (least, most) = self.numbers.unwrap_or((n, n));
                self.numbers = Some((least.min(n), most.max(n)));
            }
            Err(_) => self.is_text = true,
        }
        let common = self.common.take().unwrap_or_else(|| part.to_owned());
        let same = common.char_indices().zip(part.chars()).find(|((_, a), b)| a != b);
        let length = same.map_or(common.len().min(part.len()), |((at, _), _)| at);
        self.common = Some(common[..length].to_owned());
    }

    /// The range that a value is in: of as many numbers as the others, or the texts with such a beginning.
    fn range_of(&self, part: Option<&str>) -> (i128, String) {
        let Some(part) = part else { return (i128::MIN, "NULL".to_owned()) };
        match (self.numbers, part.parse::<i64>()) {
            (Some((least, most)), Ok(n)) if !self.is_text => {
                let (least, most, n) = (i128::from(least), i128::from(most), i128::from(n));
                let width = (most - least + 1 + BARS_MAX as i128 - 1) / BARS_MAX as i128;
                let from = least + (n - least) / width * width;
                let to = (from + width - 1).min(most);
                (from, if from == to { from.to_string() } else { format!("{from} to {to}") })
            }
            _ => {
                let common = self.common.as_deref().unwrap_or_default().chars().count();
                let start: String = part.chars().take(common + 2).collect();
                let is_whole = start.len() == part.len();
                (0, if is_whole { start } else { format!("{start}…") })
            }
        }
    }
}

/// Counts the records by ranges of their keys, for the parts of keys of which there are several.
fn places(folder: &Path, extents: BTreeMap<(String, usize), Extent>) -> Result<Vec<Place>> {
    let mut counts: BTreeMap<(String, usize), BTreeMap<(i128, String), u64>> = BTreeMap::new();
    each_finding(folder, |_, key_width, cells, is_new_record| {
        if !is_new_record {
            return;
        }
        let entity = cells[0].clone().unwrap_or_default();
        for (i, part) in cells[1..=key_width].iter().enumerate() {
            let place = (entity.clone(), i);
            let Some(range) = extents.get(&place).map(|extent| extent.range_of(part.as_deref())) else {
                continue;
            };
            let of_part = counts.entry(place).or_default();
            if of_part.contains_key(&range) || of_part.len() < DISTINCT_MAX {
                *of_part.entry(range).or_default() += 1;
            }
        }
    })?;
    let shown = counts.into_iter().map(|((entity, i), ranges)| {
        let ranges = if ranges.len() > BARS_MAX { shorter(ranges) } else { ranges };
        let mut ranges: Vec<((i128, String), u64)> = ranges.into_iter().collect();
        let is_cut = ranges.len() > BARS_MAX;
        if is_cut {
            ranges.sort_by(|(a, n), (b, m)| m.cmp(n).then_with(|| a.cmp(b)));
            ranges.truncate(BARS_MAX);
        }
        let ranges = ranges.into_iter().map(|((_, range), count)| (range, count)).collect();
        Place { entity, part: i, ranges, is_cut }
    });
    Ok(shown.filter(|place: &Place| place.ranges.len() > 1).collect())
}

/// The ranges of texts with beginnings that are a character shorter.
fn shorter(ranges: BTreeMap<(i128, String), u64>) -> BTreeMap<(i128, String), u64> {
    let mut found = BTreeMap::new();
    for ((at, range), count) in ranges {
        let start = range.strip_suffix('…').and_then(|start| start.char_indices().last());
        let range = start.map_or_else(|| range.clone(), |(end, _)| format!("{}…", &range[..end]));
        *found.entry((at, range)).or_default() += count;
    }
    found
}

/// Counts the rows of a run's `failures.csv`.
///
/// # Errors
/// A file that is damaged.
pub fn failures(folder: &Path) -> Result<Vec<Failures>> {
    let path = folder.join("failures.csv");
    if !path.exists() {
        return Ok(Vec::new());
    }
    let mut rows = Rows::open(&path)?;
    let mut found: BTreeMap<[Option<String>; 4], (u64, String)> = BTreeMap::new();
    while let Some(cells) = rows.next_row()? {
        let Some([stage, class, code, _, message, _]) = cells.last_chunk::<6>() else { continue };
        let place = [cells[0].clone(), stage.clone(), class.clone(), code.clone()];
        found.entry(place).or_insert_with(|| (0, message.clone().unwrap_or_default())).0 += 1;
    }
    let failures = found.into_iter().map(|([entity, stage, class, code], (records, first))| Failures {
        entity,
        stage: stage.unwrap_or_default(),
        class: class.unwrap_or_default(),
        code: code.unwrap_or_default(),
        records,
        first,
    });
    Ok(failures.collect())
}

/// Hands over the first rows of [`TABLES`], in their order, until `each` says that it is enough: the table's word, and what its columns
/// hold.
///
/// # Errors
/// A file that is damaged; what `each` says.
pub fn each_record(folder: &Path, mut each: impl FnMut(&str, Record<'_>) -> Result<bool>) -> Result<()> {
    let mut key_width = None;
    for (name, word) in TABLES {
        let path = folder.join(name);
        if !path.exists() {
            continue;
        }
        let mut rows = Rows::open(&path)?;
        let width = *key_width.get_or_insert(rows.header().len().saturating_sub(1 + AFTER_KEY));
        while let Some(cells) = rows.next_row()? {
            let rest = if word == "mismatched" { &cells[1 + width..] } else { &[] };
            let record = Record { entity: cells[0].as_deref(), key: &cells[1..=width], rest };
            if !each(word, record)? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// A row of [`TABLES`].
pub struct Record<'a> {
    /// The entity.
    pub entity: Option<&'a str>,
    /// The key's values; of an entity with a shorter key than others there are NULLs behind them.
    pub key: &'a [Option<String>],
    /// Field, rule, source's value, target's value and delta of a differing cell.
    pub rest: &'a [Option<String>],
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(parts: &[Option<&str>]) -> Vec<String> {
        let mut extent = Extent::default();
        parts.iter().for_each(|part| extent.add(*part));
        parts.iter().map(|part| extent.range_of(*part).1).collect()
    }

    #[test]
    fn numbers_are_in_ranges_of_one_width() {
        assert_eq!(ranges(&[Some("0"), Some("99"), None]), ["0 to 4", "95 to 99", "NULL"]);
        assert_eq!(ranges(&[Some("7"), Some("8")]), ["7", "8"]);
        let ends = [i64::MIN.to_string(), i64::MAX.to_string()];
        assert_eq!(ranges(&[Some(&ends[0]), Some(&ends[1])]).len(), 2);
    }

    #[test]
    fn texts_are_put_together_by_their_beginning() {
        assert_eq!(ranges(&[Some("img-001"), Some("img-0"), Some("img-2")]), ["img-00…", "img-0", "img-2"]);
        assert_eq!(ranges(&[Some("ä1"), Some("äö2x"), Some("")]), ["ä1", "äö…", ""]);
        assert_eq!(ranges(&[Some("1"), Some("x")]), ["1", "x"]);
    }
}
