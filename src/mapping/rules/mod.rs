//! Rules: how one field is compared.
//!
//! Most rules are a normalisation: both sides are brought to one form (`normal.rs`), the form goes into the row hash, and
//! equal hashes are equal rows. A tolerance cannot be hashed: its values stay beside the hash and a SQL predicate looks at
//! both (`tolerance.rs`), and so does a predicate of the spec's own (`own_sql.rs`). Whatever is not equal that way is judged here, exactly, on two [`Value`]s.

pub mod normal;
pub mod own_sql;
pub mod tolerance;

use crate::spec::{Nulls, Rule};
use crate::value::{Number, Value};

/// What two values of a field are to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The same value.
    Equal,
    /// Not the same, but the rule takes them for equal.
    EqualByRule {
        /// target − source, where both are numbers or times.
        delta: Option<Number>,
    },
    /// Different.
    Unequal {
        /// target − source, where both are numbers or times.
        delta: Option<Number>,
        /// Whether exactly one of them is there.
        null_mismatch: bool,
    },
}

/// A value in the two forms in which it is looked at.
#[derive(Clone, Debug)]
pub struct Seen<'a> {
    /// Cast to the field's class, before any rule.
    pub raw: Value<'a>,
    /// After the rule's normalisations.
    pub normal: Value<'a>,
}

/// The spec's word for how a field is compared.
pub fn word(rule: &Rule) -> &'static str {
    if rule.ignore {
        "ignore"
    } else if rule.sql.is_some() {
        "sql"
    } else if rule.tolerance.is_some() {
        "tolerance"
    } else if rule.relative.is_some() {
        "relative"
    } else if rule.precision.is_some() {
        "precision"
    } else if rule.text != crate::spec::TextRule::default() {
        "text"
    } else if rule.json {
        "json"
    } else if rule.set {
        "set"
    } else if rule.nulls.is_some() {
        "nulls"
    } else {
        "exact"
    }
}

/// Whether a field's values stay beside the hash.
pub fn is_tolerant(rule: &Rule) -> bool {
    rule.tolerance.is_some() || rule.relative.is_some()
}

/// Whether two values can be equal by the rule and yet different as they are, so that such pairs are counted.
pub fn has_own_forms(rule: &Rule) -> bool {
    rule.precision.is_some()
        || rule.sql.is_some()
        || rule.text != crate::spec::TextRule::default()
        || rule.json
        || rule.set
        || matches!(rule.nulls, Some(Nulls::EmptyIsNull | Nulls::AbsentIsNull))
}

/// Judges two values of a field, exactly. `sql` is what the field's own predicate said, where it has one.
pub fn judge(rule: &Rule, source: &Seen<'_>, target: &Seen<'_>, sql: Option<bool>) -> Judgement {
    let delta = tolerance::delta(&source.raw, &target.raw);
    let same = source.raw.same(&target.raw);
    let by_rule = match sql {
        Some(holds) => holds,
        None => source.normal.same(&target.normal) || tolerance::within(rule, &source.normal, &target.normal),
    };
    match (same, by_rule) {
        (true, true) => Judgement::Equal,
        (false, true) => Judgement::EqualByRule { delta },
        (_, false) => {
            let null_mismatch = source.normal.is_null() != target.normal.is_null()
                || (source.normal.is_null() && !source.normal.same(&target.normal));
            Judgement::Unequal { delta, null_mismatch }
        }
    }
}
