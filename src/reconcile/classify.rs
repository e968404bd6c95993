//! The verdict of every row, decided by the engine on the hashes of both sides.

use std::path::Path;

use super::hash::Hashed;
use crate::error::{Error, Result};
use crate::mapping::plan::EntityPlan;
use crate::mapping::rules::{self, tolerance};
use crate::query::{self, literal, render};
use crate::value::Number;
use crate::warehouse::Warehouse;

/// Rows by verdict. Counts are rows, of each side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows of the source.
    pub source_rows: u64,
    /// Rows of the target.
    pub target_rows: u64,
    /// Pairs that are equal.
    pub matched: u64,
    /// Pairs that differ.
    pub mismatched: u64,
    /// Source rows without a counterpart.
    pub missing: u64,
    /// Target rows without a counterpart.
    pub extra: u64,
    /// Source rows whose key occurs more than once on a side.
    pub duplicate_source: u64,
    /// Target rows whose key occurs more than once on a side.
    pub duplicate_target: u64,
    /// Source rows that could not be compared.
    pub unchecked: u64,
    /// Target rows that could not be compared.
    pub unchecked_target: u64,
}

impl Counts {
    /// Whether no record differs or is on one side only.
    pub fn is_equal(&self) -> bool {
        self.mismatched + self.missing + self.extra + self.duplicate_source + self.duplicate_target == 0
    }

    /// Holds the sums by verdict against the rows that were read.
    ///
    /// # Errors
    /// Rows that were lost or counted twice: a defect of recon, never to be shown as a result.
    pub fn check(&self, entity: &str) -> Result<()> {
        let source = self.matched + self.mismatched + self.missing + self.duplicate_source + self.unchecked;
        let target =
            self.matched + self.mismatched + self.extra + self.duplicate_target + self.unchecked_target;
        if source == self.source_rows && target == self.target_rows {
            return Ok(());
        }
        Err(Error::failed(format!(
            "the verdicts of entity `{entity}` do not add up: {source} of {} source rows, {target} of {} target rows",
            self.source_rows, self.target_rows
        ))
        .help("this is a defect of recon and no result is given; please report it with the spec"))
    }
}

/// What a field's rule let pass in some records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ByRule {
    /// Pairs that differ and are equal by the rule.
    pub equal: u64,
    /// Largest |target − source|.
    pub max_delta: Option<Number>,
}

impl ByRule {
    /// Adds a difference.
    pub fn see(&mut self, delta: Option<&Number>) {
        self.max_delta = self.max_delta.take().into_iter().chain(delta.map(Number::abs)).max();
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: &Self) -> Self {
        let max_delta = self.max_delta.iter().chain(&other.max_delta).max().cloned();
        Self { equal: self.equal + other.equal, max_delta }
    }
}

/// The engine's verdicts.
pub struct Classified {
    /// Rows by verdict, before the exact judgement.
    pub counts: Counts,
    /// By field of the plan.
    pub beside: Vec<ByRule>,
    /// Whether some key occurs more than once.
    pub has_duplicates: bool,
}

/// Decides the verdicts and writes them to `file`, whole.
///
/// # Errors
/// What the engine says; a disk that is full.
pub fn classify(
    plan: &EntityPlan<'_>,
    warehouse: &Warehouse,
    source: &Hashed,
    target: &Hashed,
    file: &Path,
) -> Result<Classified> {
    let parts =
        |hashed: &Hashed| format!("read_parquet({}, hive_partitioning = false)", literal(&hashed.parts()));
    let (source_parts, target_parts) = (parts(source), parts(target));
    let (to, verdicts) = (literal(&file.display().to_string()), query::file(file));
    let mut has_duplicates = false;
    if plan.is_keyless() {
        let pieces = [("source", source_parts.as_str()), ("target", &target_parts), ("file", &to)];
        warehouse
            .execute(&render(include_str!("../../queries/reconcile/classify_whole_rows.sql"), &pieces))?;
    } else {
        let (source, target) = (&source_parts, &target_parts);
        let join = Join { plan, warehouse, source, target, to: &to, verdicts: &verdicts };
        if !join.finds_no_duplicates()? {
            has_duplicates = join.find_duplicates()?;
            join.classify(has_duplicates, "")?;
        }
    }
    let counts = count(warehouse, &verdicts, source.learned.rows, target.learned.rows)?;
    let beside = statistics(plan, warehouse, &verdicts)?;
    Ok(Classified { counts, beside, has_duplicates })
}

/// The join of two sides with a key.
struct Join<'a> {
    plan: &'a EntityPlan<'a>,
    warehouse: &'a Warehouse,
    source: &'a str,
    target: &'a str,
    /// The verdicts' file, to write it.
    to: &'a str,
    /// The same, to read it.
    verdicts: &'a str,
}

impl Join<'_> {
    /// Joins as if every key occurred once a side, and says whether that is so: then the verdicts are final. Looking for
    /// duplicates beforehand would cost more than the join itself.
    ///
    /// Of a key with m rows in the source and n in the target, each source row comes out max(n, 1) times and each target row
    /// max(m, 1) times. So where no row came out twice, a key of both sides occurs once on each; and the keys of one side
    /// alone are looked at. More rows than there are on both sides come out only of repeated keys, so the join ends there,
    /// however many pairs these would make.
    fn finds_no_duplicates(&self) -> Result<bool> {
        let rows = |parts: &str| -> Result<i64> {
            Ok(self.warehouse.integers(&format!("select count(*) from {parts}"))?[0][0].unwrap_or(0))
        };
        let (source_rows, target_rows) = (rows(self.source)?, rows(self.target)?);
        self.classify(false, &format!("limit {}", source_rows + target_rows + 1))?;
        let joined = include_str!("../../queries/reconcile/joined_rows.sql");
        let found = self.warehouse.integers(&render(joined, &[("verdicts", self.verdicts)]))?;
        Ok(found[0] == [Some(source_rows), Some(target_rows), Some(0)])
    }

    /// Gathers the keys that occur more than once in `duplicate_keys`, and says whether there are any.
    fn find_duplicates(&self) -> Result<bool> {
        let beside = self.plan.fields.iter().enumerate().flat_map(|(i, field)| {
            let tolerant = field.tolerant_scale().map(|_| format!("t{i}, w{i}"));
            let predicate = (field.is_compared() && field.rule.sql.is_some())
                .then(|| format!("cast(s{i} as varchar) as s{i}"));
            tolerant.into_iter().chain(predicate)
        });
        let columns: Vec<String> = ["r1".to_owned(), "r2".to_owned()].into_iter().chain(beside).collect();
        let image = columns.join(", ");
        let pieces = [("source", self.source), ("target", self.target), ("image", &image)];
        self.warehouse
            .execute(&render(include_str!("../../queries/reconcile/duplicate_keys.sql"), &pieces))?;
        Ok(self.warehouse.integers("select count(*) from duplicate_keys")?[0][0] != Some(0))
    }

    /// Writes the verdicts: those of `duplicate_keys` apart, where it has any, and of the others at most `rows_max`.
    fn classify(&self, has_duplicates: bool, rows_max: &str) -> Result<()> {
        let (mut equal, mut beside, mut no_beside) = (String::new(), String::new(), String::new());
        for (i, field) in self.plan.fields.iter().enumerate().filter(|(_, f)| f.is_compared()) {
            if let Some(scale) = field.tolerant_scale() {
                equal.push_str(&format!("and {}", tolerance::predicate(&field.rule, i, scale)));
                beside.push_str(&format!(", t.t{i} - s.t{i} as d{i}"));
                no_beside.push_str(", null");
            }
            if let Some(own) = field.own_predicate(i) {
                equal.push_str(&format!("and {own}"));
                beside.push_str(&format!(", {own} as p{i}"));
                no_beside.push_str(", null");
            }
            if rules::has_own_forms(&field.rule) {
                beside.push_str(&format!(", s.x{i} <> t.x{i} as x{i}"));
                no_beside.push_str(", null");
            }
        }
        let (except, duplicates) = match has_duplicates {
            false => ("", String::new()),
            true => {
                let pieces = [("source", self.source), ("target", self.target), ("no_beside", &no_beside)];
                let rows = render(include_str!("../../queries/reconcile/duplicate_rows.sql"), &pieces);
                ("anti join duplicate_keys using (k1, k2)", rows)
            }
        };
        let pieces = [
            ("source", self.source),
            ("target", self.target),
            ("except", except),
            ("equal", &equal),
            ("beside", &beside),
            ("rows_max", rows_max),
            ("duplicates", &duplicates),
            ("file", self.to),
        ];
        self.warehouse.execute(&render(include_str!("../../queries/reconcile/classify.sql"), &pieces))
    }
}

fn count(warehouse: &Warehouse, verdicts: &str, source_rows: u64, target_rows: u64) -> Result<Counts> {
    let mut counts = Counts { source_rows, target_rows, ..Counts::default() };
    let template = include_str!("../../queries/reconcile/count_verdicts.sql");
    for row in warehouse.integers(&render(template, &[("verdicts", verdicts)]))? {
        let n = |i: usize| row[i].unwrap_or(0) as u64;
        match n(0) {
            0 => counts.matched = n(1),
            1 => counts.mismatched = n(1),
            2 => counts.missing = n(2),
            3 => counts.extra = n(3),
            4 => (counts.unchecked, counts.unchecked_target) = (n(2), n(3)),
            _ => (counts.duplicate_source, counts.duplicate_target) = (n(2), n(3)),
        }
    }
    Ok(counts)
}

fn statistics(plan: &EntityPlan<'_>, warehouse: &Warehouse, verdicts: &str) -> Result<Vec<ByRule>> {
    let mut selects = Vec::new();
    let mut asked = Vec::new();
    for (i, field) in plan.fields.iter().enumerate().filter(|(_, f)| f.is_compared()) {
        if field.tolerant_scale().is_some() {
            selects.push(format!("count(*) filter (d{i} <> 0)::varchar, max(abs(d{i}))::varchar"));
            asked.push(i);
        } else if rules::has_own_forms(&field.rule) && !plan.is_keyless() {
            selects.push(format!("count(*) filter (x{i})::varchar, null::varchar"));
            asked.push(i);
        }
    }
    let mut beside = vec![ByRule::default(); plan.fields.len()];
    if selects.is_empty() {
        return Ok(beside);
    }
    let sql = format!("select {} from {verdicts} where verdict = 0", selects.join(", "));
    let row = warehouse.texts(&sql)?.pop().unwrap_or_default();
    for (pair, i) in row.chunks(2).zip(asked) {
        beside[i] = ByRule {
            equal: pair[0].as_deref().and_then(|n| n.parse().ok()).unwrap_or(0),
            max_delta: pair[1].as_deref().and_then(|text| Number::parse(text).ok()),
        };
    }
    Ok(beside)
}
