//! Tolerances: the SQL predicate over the columns beside the hash, and the same on two values.
//!
//! Beside the hash a tolerant value is a `decimal(38, scale)` (times in seconds, scale 9). What that does not hold is kept as
//! text in the column's wide twin; a pair with such a text, unless both are the same, is left to the exact judgement.

use crate::query::{literal, render};
use crate::spec::{Rule, Tolerance};
use crate::value::time::Moment;
use crate::value::{Number, Value};

/// Scale of times beside the hash: seconds with nanoseconds.
pub const TIME_SCALE: u32 = 9;
/// Scale of numbers whose stores name none.
pub const OPEN_SCALE: u32 = 9;
/// Digits after the point that a stored value can have; what has more is kept as text.
pub const SCALE_MAX: u32 = 38;
/// Largest stored unscaled value: the difference of any two is still a `decimal(38)`.
const STORED_MAX: i128 = 4 * 10i128.pow(37);

/// A tolerant value as it lies beside the hash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// Unscaled value at the field's scale.
    pub scaled: Option<i128>,
    /// The value's text where `scaled` does not hold it.
    pub wide: Option<String>,
}

/// The form beside the hash; both parts are empty for NULL and absent, which the row hash tells apart.
pub fn beside(value: &Value<'_>, scale: u32) -> Beside {
    if value.is_null() {
        return Beside::default();
    }
    let scaled = match value {
        // Nanoseconds are what is stored of a time.
        Value::Timestamp { at: Moment::At(ns), .. } if scale == TIME_SCALE => Some(*ns),
        _ => magnitude(value).and_then(|n| n.to_scaled(scale)),
    };
    let scaled = scaled.filter(|n| n.unsigned_abs() < STORED_MAX.unsigned_abs());
    let wide = if scaled.is_some() { None } else { value.display().map(|text| text.into_owned()) };
    Beside { scaled, wide }
}

/// A number as it is, a time in seconds; `None` for what has no place on a line.
fn magnitude(value: &Value<'_>) -> Option<Number> {
    match value {
        Value::Number(number) => Some(number.clone()),
        Value::Float32(f) => Number::from_f32(*f),
        Value::Float64(f) => Number::from_f64(*f),
        Value::Timestamp { at: Moment::At(ns), .. } => Some(Number::from_scaled(*ns, 9)),
        Value::Date(Moment::At(days)) => Some(Number::from(*days * 86_400)),
        Value::Time(ns) => Some(Number::from_scaled((*ns).into(), 9)),
        Value::TimeTz(ns, offset_s) => {
            Some(Number::from_scaled(i128::from(*ns) - i128::from(*offset_s) * 1_000_000_000, 9))
        }
        // Months and days have no length of their own: only what has neither can be near to something else.
        Value::Interval(i) if i.months == 0 && i.days == 0 => Some(Number::from_scaled(i.micros.into(), 6)),
        _ => None,
    }
}

/// target − source in units or seconds, where both have a place on the same line.
pub fn delta(source: &Value<'_>, target: &Value<'_>) -> Option<Number> {
    let comparable = match (source, target) {
        (Value::Timestamp { zoned: a, .. }, Value::Timestamp { zoned: b, .. }) => a == b,
        (Value::Date(_), Value::Date(_))
        | (Value::Time(_), Value::Time(_))
        | (Value::TimeTz(..), Value::TimeTz(..)) => true,
        (Value::Interval(a), Value::Interval(b)) => a.months == b.months && a.days == b.days,
        (
            Value::Number(_) | Value::Float32(_) | Value::Float64(_),
            Value::Number(_) | Value::Float32(_) | Value::Float64(_),
        ) => true,
        _ => false,
    };
    if !comparable {
        return None;
    }
    if let (Value::Interval(a), Value::Interval(b)) = (source, target) {
        return Some(Number::from_scaled(i128::from(b.micros) - i128::from(a.micros), 6));
    }
    Some(magnitude(target)?.minus(&magnitude(source)?))
}

/// Whether the rule's tolerance takes two values for equal: |target − source| ≤ tolerance, or ≤ relative · max(|a|, |b|).
pub fn within(rule: &Rule, source: &Value<'_>, target: &Value<'_>) -> bool {
    let Some(delta) = delta(source, target) else { return false };
    let delta = delta.abs();
    let absolute = rule.tolerance.as_ref().map(limit).is_some_and(|limit| delta <= limit);
    let relative =
        rule.relative.as_deref().and_then(|share| Number::parse(share).ok()).is_some_and(|share| {
            let (Some(a), Some(b)) = (magnitude(source), magnitude(target)) else { return false };
            delta <= share.times(&a.abs().max(b.abs()))
        });
    absolute || relative
}

/// The tolerance in units or seconds.
fn limit(tolerance: &Tolerance) -> Number {
    match tolerance {
        Tolerance::Number(text) => Number::parse(text).expect("checked with the spec"),
        Tolerance::Duration(ns) => Number::from_scaled(*ns, 9),
    }
}

/// The SQL predicate over `s.t<i>`, `s.w<i>`, `t.t<i>`, `t.w<i>`: true only where the values surely are within the tolerance.
pub fn predicate(rule: &Rule, index: usize, scale: u32) -> String {
    let mut bounds = Vec::new();
    if let Some(tolerance) = &rule.tolerance {
        // Stored values are multiples of 10^-scale, so the tolerance may be cut to one.
        let limit = literal(&floor_at(&limit(tolerance), scale));
        bounds.push(format!("abs(s.t{index} - t.t{index}) <= cast({limit} as decimal(38, {scale}))"));
    }
    if let Some(share) = &rule.relative {
        // The margin is a thousand times what two roundings to a double can be off.
        bounds.push(format!(
            "cast(abs(s.t{index} - t.t{index}) as double) <= cast({} as double) * (1 - 1e-12) \
             * cast(greatest(abs(s.t{index}), abs(t.t{index})) as double)",
            literal(share)
        ));
    }
    let (index, within) = (index.to_string(), bounds.join(" or "));
    let pieces = [("i", index.as_str()), ("within", &within)];
    render(include_str!("../../../queries/mapping/within_tolerance.sql"), &pieces)
}

/// The largest multiple of 10^-scale that is at most `limit`, as text; more than any stored difference is cut to that.
fn floor_at(limit: &Number, scale: u32) -> String {
    let most = Number::from_scaled(2 * STORED_MAX, scale as i32);
    limit.floor_at(scale).min(most).to_string()
}
