//! What identifies a record: a primary key that one of the stores declares, else what is unique and never NULL in the rows
//! that were read; with the evidence, and whether that is enough.

use super::mapping::{Field, Mapping, Side, singular, spelling};
use super::split::key_names;
use crate::error::Result;
use crate::mapping::resolve::StoreType;
use crate::reconcile::report::terminal::thousands;
use crate::warehouse::Warehouse;

/// Columns of which two or three together are looked at.
const COLUMNS_TOGETHER_MAX: usize = 8;

/// A guess at the key.
#[derive(Clone, Debug)]
pub(super) struct KeyGuess {
    /// The key's fields.
    pub(super) fields: Vec<String>,
    /// Whether the evidence speaks for it on both sides.
    pub(super) is_sure: bool,
    /// The evidence, in words.
    pub(super) why: String,
}

/// Fields that may be the key, and what speaks for it.
struct Candidate {
    /// Indexes of the fields.
    fields: Vec<usize>,
    /// The smaller, the better.
    rank: u8,
    evidence: [Evidence; 2],
}

/// What one side says of a candidate.
#[derive(Clone, Copy, Debug, Default)]
struct Evidence {
    declared: Option<&'static str>,
    rows: u64,
    /// Rows without NULL.
    values: u64,
    distinct: u64,
}

impl Evidence {
    fn is_unique(&self) -> bool {
        self.declared.is_some() || (self.values == self.rows && self.distinct == self.rows)
    }

    /// Whether no more than some duplicates speak against it.
    fn is_nearly_unique(&self) -> bool {
        let more = self.rows - self.distinct.min(self.rows);
        self.is_unique() || (self.values == self.rows && more <= (self.rows / 10).max(1))
    }

    fn words(&self, side: &Side<'_>) -> String {
        let rows = if self.rows == 1 { "row".to_owned() } else { format!("{} rows", thousands(self.rows)) };
        let read = match side.sample.is_whole {
            true if self.rows == 1 => "its only row".to_owned(),
            true => format!("all {rows}"),
            false => format!("the first {rows}"),
        };
        let word = side.word;
        match (self.declared, self.rows) {
            (Some(declared), _) => format!("{declared} of the {word}"),
            (None, 0) => format!("no rows in the {word} to tell"),
            _ if self.is_unique() => format!("in the {word} unique and not null in {read}"),
            _ => {
                let nulls = self.rows - self.values;
                let again = self.values - self.distinct.min(self.values);
                let mut against = Vec::new();
                if nulls > 0 {
                    against.push(format!("null in {}", thousands(nulls)));
                }
                if again > 0 {
                    against.push(format!("a repetition in {}", thousands(again)));
                }
                format!("in the {word} {} of {read}", against.join(" and "))
            }
        }
    }
}

/// Guesses an entity's key; `None` where nothing looks like one.
///
/// # Errors
/// What the engine says.
pub(super) fn guess(
    entity: &str,
    mapping: &Mapping,
    source: &Side<'_>,
    target: &Side<'_>,
    warehouse: &Warehouse,
) -> Result<Option<KeyGuess>> {
    let fields = &mapping.fields;
    let ranks: Vec<Option<u8>> = fields.iter().map(|field| name_rank(entity, field)).collect();
    let by_store = declared(fields, source, target).into_iter().chain(customary(fields, source, target));
    let mut sets: Vec<(Vec<usize>, u8)> = by_store.map(|set| (set, 0)).collect();
    sets.extend(ranks.iter().enumerate().filter_map(|(i, rank)| Some((vec![i], rank.as_ref()? * 4))));
    let likely = |together: usize| -> Vec<(Vec<usize>, u8)> {
        let mut good: Vec<usize> =
            (0..fields.len()).filter(|i| ranks[*i].is_some_and(|rank| rank < 3)).collect();
        good.sort_by_key(|i| ranks[*i]);
        good.truncate(COLUMNS_TOGETHER_MAX);
        good.sort_unstable();
        let rank = |set: &[usize]| {
            let all_ids = set.iter().all(|i| ranks[*i] <= Some(1));
            if all_ids || set.iter().any(|i| ranks[*i] == Some(0)) { 6 } else { 9 }
        };
        choose(&good, together).into_iter().map(|set| (set.clone(), rank(&set))).collect()
    };
    let mut all = weigh(sets, fields, source, target, warehouse)?;
    for together in [2, 3] {
        if !all.iter().any(|candidate| candidate.is_sure() && candidate.rank < 6) {
            all.extend(weigh(likely(together), fields, source, target, warehouse)?);
        }
    }
    // Where there is not one row, only a name speaks for a column.
    let has_rows = source.rows + target.rows > 0;
    all.retain(|candidate| candidate.is_likely() && (has_rows || candidate.rank <= 4));
    // Sorting keeps the order of the fields among equals.
    all.sort_by_key(Candidate::weight);
    Ok(all.into_iter().next().map(|best| KeyGuess {
        fields: best.fields.iter().map(|i| fields[*i].name.clone()).collect(),
        is_sure: best.is_sure() && best.evidence.iter().any(|e| e.rows > 0 || e.declared.is_some()),
        why: why(&best.evidence, source, target),
    }))
}

impl Candidate {
    fn is_declared(&self) -> bool {
        self.evidence.iter().any(|evidence| evidence.declared.is_some())
    }

    fn is_sure(&self) -> bool {
        self.evidence.iter().all(Evidence::is_unique)
    }

    fn is_likely(&self) -> bool {
        self.is_declared() || self.evidence.iter().all(Evidence::is_nearly_unique)
    }

    /// The smaller, the better: what a store declares first. Where not all rows speak for it, a name alone still weighs
    /// something, a chance nothing.
    fn weight(&self) -> u8 {
        match (self.is_declared(), self.is_sure(), self.rank) {
            (true, true, _) => 0,
            (true, false, _) => 2,
            (false, true, rank) => rank + 1,
            (false, false, 0) => 4,
            (false, false, rank) => rank + 20,
        }
    }
}

fn why(evidence: &[Evidence; 2], source: &Side<'_>, target: &Side<'_>) -> String {
    match (evidence[0].declared, evidence[1].declared) {
        (Some(a), Some(b)) if a == b => format!("{a} of both sides"),
        _ => format!("{}; {}", evidence[1].words(target), evidence[0].words(source)),
    }
}

/// The sets of fields that one side declares unique, primary keys first.
fn declared(fields: &[Field], source: &Side<'_>, target: &Side<'_>) -> Vec<Vec<usize>> {
    let mut sets: Vec<Vec<usize>> = Vec::new();
    let keys = |side: &Side<'_>| vec![side.sample.key.clone()];
    let unique = |side: &Side<'_>| side.sample.unique.clone();
    for (names, side) in [(keys(target), 1), (keys(source), 0), (unique(target), 1), (unique(source), 0)] {
        for names in names.iter().filter(|names| !names.is_empty()) {
            let found = names.iter().map(|name| fields.iter().position(|f| column_of(f, side) == Some(name)));
            if let Some(set) = found.collect::<Option<Vec<usize>>>().filter(|set| comparable(fields, set)) {
                sets.push(set);
            }
        }
    }
    sets
}

/// The key of a DynamoDB table, which an export does not tell, by the names that it usually has.
fn customary(fields: &[Field], source: &Side<'_>, target: &Side<'_>) -> Option<Vec<usize>> {
    [(target, 1), (source, 0)].into_iter().find_map(|(side, n)| {
        let names = if side.sample.key.is_empty() { key_names(side.sample) } else { Vec::new() };
        let found = names.iter().map(|name| fields.iter().position(|f| column_of(f, n) == Some(name)));
        found.collect::<Option<Vec<usize>>>().filter(|set| !set.is_empty() && comparable(fields, set))
    })
}

fn comparable(fields: &[Field], set: &[usize]) -> bool {
    set.iter().all(|i| fields[*i].is_compared)
}

fn column_of(field: &Field, side: usize) -> Option<&String> {
    let place = if side == 0 { &field.source } else { &field.target };
    place.column().map(|column| &column.name)
}

/// Counts on both sides.
fn weigh(
    sets: Vec<(Vec<usize>, u8)>,
    fields: &[Field],
    source: &Side<'_>,
    target: &Side<'_>,
    warehouse: &Warehouse,
) -> Result<Vec<Candidate>> {
    let mut sides = Vec::new();
    for (n, side) in [source, target].into_iter().enumerate() {
        let place = |i: &usize| if n == 0 { fields[*i].source.value() } else { fields[*i].target.value() };
        let values: Vec<Vec<String>> = sets.iter().map(|(set, _)| set.iter().map(place).collect()).collect();
        let counts = side.sample.together(warehouse, side.filter(), &values)?;
        let evidence = sets.iter().zip(counts).map(|((set, _), (values, distinct))| {
            let names: Option<Vec<&String>> = set.iter().map(|i| column_of(&fields[*i], n)).collect();
            let is = |declared: &Vec<String>| {
                names.as_ref().is_some_and(|names| {
                    !declared.is_empty()
                        && declared.len() == names.len()
                        && declared.iter().all(|name| names.contains(&name))
                })
            };
            let declared = match (is(&side.sample.key), side.sample.unique.iter().any(is)) {
                (true, _) => Some("primary key"),
                (_, true) => Some("unique constraint"),
                _ => None,
            };
            Evidence { declared, rows: side.rows, values, distinct }
        });
        sides.push(evidence.collect::<Vec<_>>());
    }
    let candidates = sets.into_iter().enumerate();
    Ok(candidates
        .map(|(i, (fields, rank))| Candidate { fields, rank, evidence: [sides[0][i], sides[1][i]] })
        .collect())
}

/// How much a field's name and type look like a key's: 0 most, 3 least; `None`: never.
fn name_rank(entity: &str, field: &Field) -> Option<u8> {
    use StoreType as S;
    let stores = [field.source.store(), field.target.store()];
    let never = |store: &&StoreType| match store {
        S::Float32 | S::Float64 | S::Bool | S::Json | S::Map | S::List | S::Other(_) => true,
        S::Document { tags, .. } => !tags.iter().all(|tag| matches!(tag.as_str(), "S" | "N")),
        _ => false,
    };
    if !field.is_compared || stores.iter().any(never) {
        return None;
    }
    let (name, entity) = (spelling(&field.name), singular(entity));
    let of_entity = |word: &str| name == word || name == format!("{entity}{word}");
    if ["id", "uuid", "guid", "key", "pk"].iter().any(|word| of_entity(word)) {
        return Some(0);
    }
    if ["id", "uuid", "guid", "key", "code", "no", "number", "sk"].iter().any(|word| name.ends_with(word)) {
        return Some(1);
    }
    let value = |store: &&StoreType| {
        matches!(
            store,
            S::Timestamp { .. } | S::Date | S::Time | S::TimeTz | S::Interval | S::Decimal(_) | S::Number
        )
    };
    Some(if stores.iter().any(value) { 3 } else { 2 })
}

/// All choices of so many of these.
fn choose(from: &[usize], many: usize) -> Vec<Vec<usize>> {
    match (many, from.split_first()) {
        (0, _) => vec![Vec::new()],
        (_, None) => Vec::new(),
        (_, Some((first, rest))) => {
            let with = choose(rest, many - 1).into_iter().map(|mut set| {
                set.insert(0, *first);
                set
            });
            with.chain(choose(rest, many)).collect()
        }
    }
}
