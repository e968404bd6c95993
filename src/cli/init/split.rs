//! A DynamoDB table of several kinds of items: which kinds there are, told by what their keys begin with.
//!
//! `pk = USER#123`, `sk = ORDER#9`: a kind is what stands before the first `#` of the partition key, and of the sort key where
//! one partition holds several kinds. A word without any `#` (`sk = PROFILE`) is a kind of its own.

use super::sample::{Beginning, Column, Sample};
use crate::error::Result;
use crate::query::literal;
use crate::warehouse::Warehouse;

/// Names that partition keys and sort keys have, where the store does not say which they are.
const PARTITION_KEYS: [&str; 6] = ["pk", "_pk", "partitionkey", "partition_key", "hashkey", "hash_key"];
const SORT_KEYS: [&str; 7] = ["sk", "_sk", "sortkey", "sort_key", "rangekey", "range_key", "rk"];
/// More beginnings than this are no kinds of items but names of their own.
const KINDS_MAX: usize = 60;

/// The kinds of items of a table.
pub(super) struct Split {
    /// The kinds, the most frequent first.
    pub(super) groups: Vec<Group>,
    /// Items that begin with no word and `#`.
    pub(super) others: u64,
    /// The key's attributes.
    pub(super) key: Vec<String>,
}

/// One kind of items.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// The words that its keys begin with: the partition key's, then the sort key's where that makes the kind.
    pub(super) words: Vec<String>,
    /// `where`, in the spec's SQL.
    pub(super) condition: String,
    /// The same for the sample.
    pub(super) filter: String,
    /// What follows the words in the keys: the spec's SQL and the sample's.
    pub(super) rests: Vec<(String, String)>,
    /// Items of the sample.
    pub(super) items: u64,
}

impl Group {
    /// Those of its items whose sort key begins with a word; where all do, nothing has to be said of it.
    fn within(mut self, sk: &Column, word: &str, is_one_of_several: bool) -> Self {
        if is_one_of_several {
            let is = |name: &str| format!(" and split_part({name}, '#', 1) = {}", literal(word));
            self.condition.push_str(&is(&sk.sql));
            self.filter.push_str(&is(&sk.value));
            self.words.push(word.to_owned());
        }
        self.rests.push(after(sk, word));
        self
    }

    /// The same, with its sort key as it is.
    fn beside(mut self, sk: &Column) -> Self {
        self.rests.push((sk.sql.clone(), sk.value.clone()));
        self
    }

    /// A name for the entity.
    pub(super) fn name(&self) -> String {
        self.words.join("_").to_lowercase()
    }

    /// How its keys look.
    pub(super) fn shown(&self) -> String {
        self.words.iter().map(|word| format!("{word}#")).collect::<Vec<_>>().join(" / ")
    }
}

/// The attributes of the key of a DynamoDB table, as far as its store or their names tell; none of another dataset.
pub(super) fn key_names(sample: &Sample) -> Vec<String> {
    let Some(pk) = partition_key(sample) else { return Vec::new() };
    [Some(pk), sort_key(sample)].into_iter().flatten().map(|column| column.name.clone()).collect()
}

fn partition_key(sample: &Sample) -> Option<&Column> {
    if sample.dataset.kind.is_dynamodb() { key_column(sample, 0, &PARTITION_KEYS) } else { None }
}

fn sort_key(sample: &Sample) -> Option<&Column> {
    key_column(sample, 1, &SORT_KEYS)
}

/// Finds the kinds of items; `None` where the keys tell none.
///
/// # Errors
/// What the engine says.
pub(super) fn split(sample: &Sample, warehouse: &Warehouse) -> Result<Option<Split>> {
    let Some(pk) = partition_key(sample).filter(|_| sample.rows > 0) else { return Ok(None) };
    let sk = sort_key(sample);
    let first = format!("case when contains({0}, '#') then split_part({0}, '#', 1) end", pk.value);
    let second =
        sk.map_or_else(|| "null::varchar".to_owned(), |sk| format!("split_part({}, '#', 1)", sk.value));
    let by_pk = sample.groups(warehouse, &first, "null::varchar", KINDS_MAX + 1)?;
    let is_kind = |word: &Option<String>| word.as_deref().is_some_and(is_word);
    if by_pk.len() > KINDS_MAX || !by_pk.iter().any(|of| is_kind(&of.first)) {
        return Ok(None);
    }
    let most = KINDS_MAX * KINDS_MAX;
    let by_both = sample.groups(warehouse, &first, &second, most)?;
    let (mut groups, mut others) = (Vec::new(), 0);
    for Beginning { first, items, .. } in by_pk {
        let Some(word) = first.filter(|word| is_word(word)) else {
            others += items;
            continue;
        };
        let below: Vec<(&str, u64)> = by_both
            .iter()
            .filter(|of| of.first.as_deref() == Some(word.as_str()))
            .map(|of| (of.second.as_deref().unwrap_or_default(), of.items))
            .collect();
        // Values separate nothing.
        let are_words = below.len() <= KINDS_MAX && below.iter().all(|(word, _)| is_word(word));
        match sk.filter(|_| are_words) {
            Some(sk) if below.len() > 1 => {
                groups.extend(below.iter().map(|(second, n)| group(pk, &word, *n).within(sk, second, true)));
            }
            Some(sk) => {
                groups.extend(below.iter().map(|(second, n)| group(pk, &word, *n).within(sk, second, false)))
            }
            None => groups.push(sk.into_iter().fold(group(pk, &word, items), |group, sk| group.beside(sk))),
        }
    }
    groups.sort_by(|a, b| b.items.cmp(&a.items).then_with(|| a.words.cmp(&b.words)));
    let key = key_names(sample);
    Ok(Some(Split { groups, others, key }))
}

/// The partition key (0) or the sort key (1) of texts.
fn key_column<'s>(sample: &'s Sample, place: usize, names: &[&str]) -> Option<&'s Column> {
    let by_name = |wanted: &str| sample.columns.iter().find(|c| c.name.to_lowercase() == wanted);
    let found = match sample.key.get(place) {
        Some(name) => sample.columns.iter().find(|column| column.name == *name),
        None if !sample.key.is_empty() => None,
        None => names.iter().find_map(|name| by_name(name)),
    };
    found.filter(|column| column.values == sample.rows && column.is_text())
}

/// Whether it looks like the name of a kind rather than like a value.
fn is_word(text: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    text.len() <= 40
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(inside)
        && text.chars().filter(char::is_ascii_digit).count() <= 2
}

/// The items whose partition key begins with a word.
fn group(pk: &Column, word: &str, items: u64) -> Group {
    let begins = |name: &str| format!("starts_with({name}, {})", literal(&format!("{word}#")));
    Group {
        words: vec![word.to_owned()],
        condition: begins(&pk.sql),
        filter: begins(&pk.value),
        rests: vec![after(pk, word)],
        items,
    }
}

/// What follows a word and its `#`.
fn after(column: &Column, word: &str) -> (String, String) {
    let rest = |name: &str| format!("substr({name}, {})", word.chars().count() + 2);
    (rest(&column.sql), rest(&column.value))
}
