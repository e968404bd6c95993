//! `stage --changed-only`: two tables of one kind are compared in their stores, range of keys by range of keys, and only the
//! ranges that differ are read.
//!
//! A range is proven equal where both sides count the same rows in it and the sums of both halves of their rows' MD5 are the
//! same: 128 bits, added up as whole numbers, so that changes cannot cancel as they do in XOR. A row's MD5 is that of its values'
//! own text with each value's bounds in it, after a random seed, so that nobody can prepare two rows with one digest. Where a store's text is not exact, or two equal texts could compare as different, the
//! tables are staged whole, and the reason is said.

mod fit;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use xxhash_rust::xxh3::xxh3_64;

use self::fit::fit;
use super::Source;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::event::{self, Progress};
use crate::ledger::proof::{Proof, ProvenRange, mapping};
use crate::ledger::random_id;
use crate::spec::{Entity, Spec};

/// About so many ranges is a table cut into, within the bounds below.
const RANGES: u64 = 256;
const RANGE_ROWS_MIN: u64 = 64;
const RANGE_ROWS_MAX: u64 = 16_384;
/// Ranges that are added up in one session, one after the other.
const RANGES_AT_ONCE: usize = 32;
/// What is read as one unit: so many rows of ranges that differ, from so many places.
const UNIT_ROWS: u64 = 262_144;
const UNIT_SPANS: usize = 64;

/// The values of a key, as SQL of the store writes them.
pub type Cut = Vec<String>;

/// A range of keys: from the first to just before the second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its first key; `None`: from the beginning.
    pub from: Option<Cut>,
    /// The key after its last; `None`: to the end.
    pub to: Option<Cut>,
}

impl Span {
    fn shown(&self) -> String {
        let [from, to] = [&self.from, &self.to].map(|cut| cut.as_ref().map(shown).unwrap_or_default());
        format!("{from}..{to}")
    }
}

fn shown(cut: &Cut) -> String {
    if let [one] = cut.as_slice() { one.clone() } else { format!("({})", cut.join(", ")) }
}

/// What a store adds up of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sum {
    /// Its rows.
    pub rows: u64,
    /// Rows that have a digest; one that is too long for the store's functions has none.
    pub digests: u64,
    /// The sums of the digests' halves, as the store writes whole numbers.
    pub halves: [String; 2],
}

impl Sum {
    /// From the four columns of a store's `sums.sql`.
    ///
    /// # Errors
    /// Counts that are no numbers.
    pub fn read([rows, digests, high, low]: [String; 4]) -> Result<Self> {
        let number = |text: String| text.parse().or_failed(|| format!("the store counted `{text}`"));
        Ok(Self { rows: number(rows)?, digests: number(digests)?, halves: [high, low] })
    }
}

/// A table whose store can add up its rows without sending them. All of it as of the moment as of which the source reads.
pub trait Summing: Send + Sync {
    /// Why this table's rows cannot be added up exactly, where they cannot.
    ///
    /// # Errors
    /// A store that does not answer.
    fn unfit(&self) -> Result<Option<String>>;

    /// Of what type a column's text is, where equal texts of that type are equal values; `None` where that is not so.
    fn form(&self, column: &str) -> Option<String>;

    /// How many rows there are.
    ///
    /// # Errors
    /// A store that does not answer.
    fn count(&self, progress: &Progress) -> Result<u64>;

    /// The keys at which to cut it into ranges of so many rows, rising.
    ///
    /// # Errors
    /// A store that does not answer or cannot do it.
    fn cuts(&self, key: &[String], every: u64, progress: &Progress) -> Result<Vec<Cut>>;

    /// What is true of the rows of a range of the key, in SQL.
    fn condition(&self, key: &[String], span: &Span) -> String;

    /// The sums of these columns over the rows of each condition. `seed`, hex digits, goes before each row's text.
    ///
    /// # Errors
    /// A store that does not answer or cannot do it.
    fn sums(
        &self,
        columns: &[String],
        conditions: &[String],
        seed: &str,
        progress: &Progress,
    ) -> Result<Vec<Sum>>;

    /// From now on the source's units are these.
    fn narrow(&mut self, units: &[Unit]);
}

/// What is added up: columns of one side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Summed {
    /// The key's columns.
    key: Vec<String>,
    /// All compared columns, the key's among them.
    columns: Vec<String>,
}

/// Rows that are read together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// What tells it from others of the table, the same where its ranges are the same.
    pub name: String,
    /// What is true of its rows, in SQL.
    pub condition: String,
}

/// Compares both sides of an entity in their stores and narrows the sources to what differs. In words why not, where that cannot
/// be done exactly; then nothing is narrowed.
///
/// # Errors
/// An interruption.
pub fn prove(
    spec: &Spec,
    entity: &Entity,
    source: &mut dyn Source,
    target: &mut dyn Source,
    threads: usize,
    progress: &Progress,
) -> Result<Result<Proof, String>> {
    let mut work = || -> Result<Result<Proof, String>> {
        let (Some(source_facts), Some(target_facts)) = (source.facts()?, target.facts()?) else {
            return Ok(Err("only tables can be compared in their stores".to_owned()));
        };
        let summed = match fit(spec, entity, &source_facts, &target_facts) {
            Ok(summed) => summed,
            Err(reason) => return Ok(Err(reason)),
        };
        let (Some(source), Some(target)) = (source.summing(), target.summing()) else {
            return Ok(Err("stores of this kind have nothing to add rows up with".to_owned()));
        };
        compare(entity, [source, target], &summed, threads, progress)
    };
    match work() {
        Err(error) if error.kind() != ErrorKind::Incomplete => Ok(Err(in_words(&error))),
        done => done,
    }
}

fn in_words(error: &Error) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause}")
}

fn compare(
    entity: &Entity,
    sides: [&mut dyn Summing; 2],
    summed: &[Summed; 2],
    threads: usize,
    progress: &Progress,
) -> Result<Result<Proof, String>> {
    for (one, other) in summed[0].columns.iter().zip(&summed[1].columns) {
        let why = match (sides[0].form(one), sides[1].form(other)) {
            (Some(form), Some(other)) if form == other => continue,
            (Some(form), Some(other)) => format!("they are {form} and {other}"),
            _ => "their type is more than its text".to_owned(),
        };
        return Ok(Err(format!(
            "equal texts of the columns `{one}` and `{other}` are not equal values: {why}"
        )));
    }
    let mut counts = [0; 2];
    for (side, count) in sides.iter().zip(&mut counts) {
        if let Some(reason) = side.unfit()? {
            return Ok(Err(reason));
        }
        *count = side.count(progress)?;
    }
    let every = (counts[0].max(counts[1]) / RANGES).clamp(RANGE_ROWS_MIN, RANGE_ROWS_MAX);
    let spans = spans(sides[0].cuts(&summed[0].key, every, progress)?);
    let seed = format!("{}{}", random_id(), random_id());
    let sums = both_sums([&*sides[0], &*sides[1]], summed, &spans, &seed, threads, progress)?;
    for (sums, count) in sums.iter().zip(counts) {
        let rows: u64 = sums.iter().map(|sum| sum.rows).sum();
        if rows != count {
            // The other side's order of keys is another one: a row would be in two ranges.
            return Ok(Err(format!(
                "the two tables sort their keys differently: {rows} rows are in the ranges where there are {count}"
            )));
        }
    }
    let [source_sums, target_sums] = sums;
    let is_equal: Vec<bool> =
        source_sums.iter().zip(&target_sums).map(|(s, t)| s == t && s.digests == s.rows).collect();
    if !is_equal.contains(&true) {
        return Ok(Err("no range of keys is the same on both sides".to_owned()));
    }
    let rows: Vec<u64> = source_sums.iter().zip(&target_sums).map(|(s, t)| s.rows.max(t.rows)).collect();
    let units = units(&spans, &rows, &is_equal);
    for (side, summed) in sides.into_iter().zip(summed) {
        let units: Vec<Unit> = units.iter().map(|spans| unit(side, &summed.key, spans)).collect();
        side.narrow(&units);
    }
    let range = |(span, sum): (&Span, &Sum)| ProvenRange {
        from: span.from.as_ref().map(shown),
        to: span.to.as_ref().map(shown),
        rows: sum.rows,
        sums: sum.halves.join(" "),
    };
    let proven = spans.iter().zip(&source_sums).zip(&is_equal).filter(|(_, equal)| **equal);
    Ok(Ok(Proof {
        id: random_id(),
        entity: entity.name.clone(),
        mapping: mapping(entity),
        how: format!(
            "the same number of rows and the same sums of both 64-bit halves of each row's seeded MD5, over {}",
            summed[0].columns.join(", ")
        ),
        seed,
        ranges_all: spans.len() as u64,
        ranges: proven.map(|(both, _)| range(both)).collect(),
    }))
}

fn spans(cuts: Vec<Cut>) -> Vec<Span> {
    let mut from = None;
    let mut spans = Vec::with_capacity(cuts.len() + 1);
    for cut in cuts {
        spans.push(Span { from: from.replace(cut.clone()), to: Some(cut) });
    }
    spans.push(Span { from, to: None });
    spans
}

/// The sums of both sides, several ranges at a time.
fn both_sums(
    sides: [&dyn Summing; 2],
    summed: &[Summed; 2],
    spans: &[Span],
    seed: &str,
    threads: usize,
    progress: &Progress,
) -> Result<[Vec<Sum>; 2]> {
    let chunks: Vec<&[Span]> = spans.chunks(RANGES_AT_ONCE).collect();
    event::add(&progress.units_total, 2 * chunks.len() as u64);
    let jobs = 2 * chunks.len();
    let results: Vec<Mutex<Option<Result<Vec<Sum>>>>> = (0..jobs).map(|_| Mutex::default()).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        while !progress.stop_requested() {
            let job = next.fetch_add(1, Ordering::Relaxed);
            let Some(result) = results.get(job) else { return };
            let side = job % 2;
            let condition = |span: &Span| sides[side].condition(&summed[side].key, span);
            let conditions: Vec<String> = chunks[job / 2].iter().map(condition).collect();
            let sums = sides[side].sums(&summed[side].columns, &conditions, seed, progress);
            *result.lock().expect("nobody panics while storing sums") = Some(sums);
            event::add(&progress.units_done, 1);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(2, jobs) {
            scope.spawn(work);
        }
    });
    progress.check()?;
    let mut both = [Vec::new(), Vec::new()];
    for (job, result) in results.into_iter().enumerate() {
        let sums = result.into_inner().expect("nobody panicked").expect("every job was done")?;
        both[job % 2].extend(sums);
    }
    Ok(both)
}

/// The ranges that differ, put together to units: neighbours become one.
fn units(spans: &[Span], rows: &[u64], is_equal: &[bool]) -> Vec<Vec<Span>> {
    let mut units: Vec<Vec<Span>> = Vec::new();
    let mut open_rows = UNIT_ROWS;
    for (i, span) in spans.iter().enumerate().filter(|(i, _)| !is_equal[*i]) {
        let is_full =
            open_rows + rows[i] > UNIT_ROWS || units.last().is_none_or(|unit| unit.len() >= UNIT_SPANS);
        if is_full {
            units.push(Vec::new());
            open_rows = 0;
        }
        open_rows += rows[i];
        let unit = units.last_mut().expect("the first one opens a unit");
        match unit.last_mut().filter(|last| last.to.is_some() && last.to == span.from) {
            Some(last) => last.to.clone_from(&span.to),
            None => unit.push(span.clone()),
        }
    }
    // Without rows a unit still tells the columns.
    if units.is_empty() { vec![Vec::new()] } else { units }
}

fn unit(side: &dyn Summing, key: &[String], spans: &[Span]) -> Unit {
    let all: Vec<String> = spans.iter().map(Span::shown).collect();
    let ranges = match all.as_slice() {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [first, more @ ..] => {
            let digest = xxh3_64(all.join("\n").as_bytes());
            format!("{first} and {} more ranges ({digest:016x})", more.len())
        }
    };
    let conditions: Vec<String> =
        spans.iter().map(|span| format!("({})", side.condition(key, span))).collect();
    let condition = if spans.is_empty() { "false".to_owned() } else { conditions.join(" or ") };
    Unit { name: format!("({}) {ranges}", key.join(", ")), condition }
}
