//! The spec's own conditions over a record's fields: bound to their types once, and asked of the values that recon cast.

use crate::error::Result;
use crate::mapping::expression::{self, Sees};
use crate::mapping::plan::{EntityPlan, Side};
use crate::mapping::rules::own_sql::{Shown, SqlType};
use crate::query::{self, identifier};
use crate::spec::{Spec, Sql};
use crate::warehouse::Warehouse;

/// How a field's own value is called in its `check`.
const VALUE: &str = "value";

/// A condition that can be asked of the rows of a pass.
pub(super) struct Check {
    /// The condition, as it stands in the spec.
    pub(super) text: String,
    /// The fields that it sees, by their places in the plan, each with the name that it has for the condition and its type.
    pub(super) sees: Vec<(usize, String, SqlType)>,
}

/// The fields of a plan as SQL names them: two that differ in case alone are told apart as columns are.
fn names(plan: &EntityPlan<'_>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for field in &plan.fields {
        let (mut name, mut n) = (field.name.clone(), 2);
        while names.iter().any(|taken| taken.eq_ignore_ascii_case(&name)) {
            name = format!("{}~{n}", field.name);
            n += 1;
        }
        names.push(name);
    }
    names
}

impl Check {
    /// Binds a condition; `of` is the field that it belongs to, whose value it sees as `value`.
    ///
    /// # Errors
    /// SQL that is not one condition over the entity's fields (exit 2, with the place).
    pub(super) fn bind(
        spec: &Spec,
        warehouse: &Warehouse,
        plan: &EntityPlan<'_>,
        side: Side,
        sql: &Sql,
        of: Option<usize>,
    ) -> Result<Self> {
        let at = |offset: usize, message: &str| {
            let (line, column) = sql.place(offset);
            spec.error_at(line, column, 1, message)
        };
        let names = names(plan);
        let all =
            names.iter().enumerate().filter(|(_, name)| of.is_none() || !name.eq_ignore_ascii_case(VALUE));
        let mut visible: Vec<(usize, &str)> = all.map(|(i, name)| (i, name.as_str())).collect();
        visible.extend(of.map(|i| (i, VALUE)));
        let is_visible = |name: &str| visible.iter().any(|(_, known)| known.eq_ignore_ascii_case(name));
        if let Some(problem) = expression::problem(warehouse, &sql.text, Sees::Row, &is_visible)? {
            return Err(
                at(problem.offset, &problem.message).help("write one condition over the entity's fields")
            );
        }
        let mut sees = Vec::new();
        for path in query::paths(&sql.text).unwrap_or_default().iter().filter(|path| !path.call) {
            let Some((i, name)) =
                visible.iter().find(|(_, known)| known.eq_ignore_ascii_case(&path.parts[0]))
            else {
                continue;
            };
            match plan.fields[*i].shown(side) {
                Some(Shown::As(ty)) if !sees.iter().any(|(_, known, _)| known == name) => {
                    sees.push((*i, (*name).to_owned(), ty));
                }
                Some(Shown::As(_)) => {}
                Some(Shown::AsStored) | None => {
                    let message =
                        format!("field `{}` is not of one type, so SQL cannot see it", plan.fields[*i].name);
                    return Err(at(path.range.start, &message).help("give the field a `type`"));
                }
            }
        }
        let check = Self { text: sql.text.clone(), sees };
        let typed: Vec<String> = check
            .sees
            .iter()
            .map(|(_, name, ty)| format!(", cast(null as {}) as {}", ty.name(), identifier(name)))
            .collect();
        let query = format!(
            "select ({}\n) as holds from (select 0 as __recon_pos {}) as record",
            sql.text,
            typed.concat()
        );
        let known = || {
            let shown: Vec<String> = visible.iter().map(|(_, name)| format!("`{name}`")).collect();
            format!("it sees {}", shown.join(", "))
        };
        match warehouse.describe(&query)? {
            Err(message) => Err(at(0, message.lines().next().unwrap_or_default()).help(known())),
            Ok(columns) if columns[0].ty != "BOOLEAN" => {
                let message = format!("not a condition: it gives {}", columns[0].ty);
                Err(at(0, &message).help("write what is true of every valid record, as in `price >= 0`"))
            }
            Ok(_) => Ok(check),
        }
    }

    /// The values that it sees out of a pass's columns `s<i>`, as a continuation of a select list.
    pub(super) fn values(&self) -> String {
        let value = |(i, name, ty): &(usize, String, SqlType)| {
            format!(", {} as {}", ty.seen(&format!("s{i}")), identifier(name))
        };
        self.sees.iter().map(value).collect()
    }
}
