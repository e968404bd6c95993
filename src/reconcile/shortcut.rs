//! The short way of the most frequent values, from cell to canonical bytes: texts as texts, whole numbers as numbers. What a
//! shortcut appends is what the general way would append ([`Access::value`], [`Normaliser::normal_only`],
//! [`Value::encode`]); it leaves everything unusual to that.

use arrow::array::Array;

use crate::mapping::access::Access;
use crate::mapping::plan::{FieldPlan, Status};
use crate::mapping::rules;
use crate::mapping::rules::normal::Normaliser;
use crate::value::arrow::Cells;
use crate::value::cast::Class;
use crate::value::{Number, Value};

/// The short way of one side of a field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shortcut {
    /// Texts that are compared as they are.
    Text,
    /// Whole numbers that are compared as numbers.
    Int {
        /// Whether texts may be read as numbers.
        of_texts: bool,
    },
}

impl Shortcut {
    /// The shortcut of a field's side: only where nothing is done to its values but to cast them, and they are hashed.
    pub(super) fn of(field: &FieldPlan, access: &Access, normaliser: &Normaliser) -> Option<Self> {
        let is_plain = !rules::has_own_forms(&field.rule)
            && field.rule.sql.is_none()
            && field.tolerant_scale().is_none()
            && matches!(access, Access::Column { .. });
        match &field.status {
            Status::Compared { class, .. } if is_plain => Self::of_class(*class, normaliser.reading.free),
            _ => None,
        }
    }

    fn of_class(class: Class, free: bool) -> Option<Self> {
        match class {
            Class::Text => Some(Self::Text),
            Class::Int | Class::Number => Some(Self::Int { of_texts: free }),
            _ => None,
        }
    }

    /// Appends the canonical bytes of a cell and says whether it did.
    #[inline]
    pub(super) fn encode(self, cells: &Cells<'_>, row: usize, out: &mut Vec<u8>) -> bool {
        let int = match (self, cells) {
            (Self::Text, Cells::Text(texts)) if texts.is_valid(row) => {
                Value::encode_text(texts.value(row), out);
                return true;
            }
            (Self::Int { of_texts: true }, Cells::Text(texts)) if texts.is_valid(row) => {
                Number::short_int(texts.value(row).as_bytes())
            }
            (Self::Int { .. }, Cells::Int64(ints)) if ints.is_valid(row) => Some(ints.value(row)),
            _ => None,
        };
        int.inspect(|value| Value::encode_int(*value, out)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray};
    use proptest::prelude::*;

    use super::*;
    use crate::spec::Rule;
    use crate::value::cast::Reading;

    /// Takes both ways; what the short one appends must be what the general one appends.
    fn same(cells: &Cells<'_>, class: Class, free: bool) -> Result<bool, TestCaseError> {
        let reading = Reading { free, ..Reading::default() };
        let normaliser = Normaliser { class, reading, rule: Rule::default(), absent_is_null: true };
        let mut short = Vec::new();
        let shortcut = Shortcut::of_class(class, free).expect("a class with a shortcut");
        let is_short = shortcut.encode(cells, 0, &mut short);
        if is_short {
            let value = cells.value(0).and_then(|value| normaliser.normal_only(value));
            prop_assert_eq!(value.map(|value| value.encoded()), Ok(short));
        } else {
            prop_assert!(short.is_empty());
        }
        Ok(is_short)
    }

    proptest! {
        #[test]
        fn texts(text in "[-+]?[0-9]{0,20}([.][0-9]{0,3})?(e[0-9])?| ?[0-9]+ ?|\\PC{0,8}", free in any::<bool>()) {
            let array = StringArray::from(vec![text.as_str()]);
            for class in [Class::Int, Class::Number, Class::Text] {
                let is_short = same(&Cells::new(&array), class, free)?;
                let digits = text.strip_prefix('-').unwrap_or(&text);
                let is_usual = (1..=18).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
                prop_assert!(is_short || !(class == Class::Text || free && is_usual));
            }
        }

        #[test]
        fn ints(value in proptest::option::of(any::<i64>()), zeros in 0u32..19, free in any::<bool>()) {
            let array = Int64Array::from(vec![value.map(|v| v / 10i64.pow(zeros) * 10i64.pow(zeros))]);
            for class in [Class::Int, Class::Number] {
                prop_assert_eq!(same(&Cells::new(&array), class, free)?, value.is_some());
            }
        }
    }
}
