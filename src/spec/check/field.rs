//! Fields: where a value comes from on each side, and its type.

use super::Checker;
use crate::spec::raw::{At, RawField, ShortOr};
use crate::spec::suggest::did_you_mean;
use crate::spec::{Field, OnConflict, Rule, Sql, Valid};
use crate::value::kind::{TYPE_NAMES, Type};

/// What people call a type elsewhere.
const SYNONYMS: [(&str, &str); 14] = [
    ("text", "string"),
    ("varchar", "string"),
    ("char", "string"),
    ("integer", "int"),
    ("bigint", "int"),
    ("number", "decimal"),
    ("numeric", "decimal"),
    ("double", "float"),
    ("real", "float"),
    ("boolean", "bool"),
    ("datetime", "timestamp"),
    ("timestamptz", "timestamp"),
    ("jsonb", "json"),
    ("set", "set<string>"),
];

impl Checker<'_> {
    pub(super) fn field(
        &mut self,
        name: &At<String>,
        raw: &At<ShortOr<RawField>>,
        is_key: bool,
    ) -> Option<Field> {
        if name.value.is_empty() {
            self.report(&name.span, "a field needs a name", "write the name of the target's column");
            return None;
        }
        let of_name = |part: &str| format!("`{part}` of field `{}`", name.value);
        let (from, to, ty, rule, valid, on_conflict) = match &raw.value {
            ShortOr::Short(text) => {
                let at = At { value: text.clone(), span: raw.span.clone() };
                (
                    self.sql(&at, &of_name("from"))?,
                    self.own_name(name),
                    None,
                    Rule::default(),
                    Valid::default(),
                    OnConflict::default(),
                )
            }
            ShortOr::Long(table) => {
                let from = self.sql_or_own_name(table.from.as_ref(), name, &of_name("from"));
                let to = self.sql_or_own_name(table.to.as_ref(), name, &of_name("to"));
                let ty = table.ty.as_ref().and_then(|at| self.ty(at));
                let rule = self.rule(name, table, ty, is_key);
                let on_conflict = self.on_conflict(name, table, is_key);
                let valid = self.valid(name, table, ty);
                (from?, to?, ty, rule?, valid, on_conflict)
            }
        };
        Some(Field {
            name: name.value.clone(),
            from,
            to,
            ty,
            rule,
            valid,
            on_conflict,
            line: self.line(name),
        })
    }

    fn sql_or_own_name(&mut self, at: Option<&At<String>>, name: &At<String>, what: &str) -> Option<Sql> {
        match at {
            Some(at) => self.sql(at, what),
            None => Some(self.own_name(name)),
        }
    }

    /// The attribute or column of the field's own name, whatever characters it has.
    fn own_name(&self, name: &At<String>) -> Sql {
        let (line, column) = self.text.position(self.text.content_start(&name.span));
        let text = format!("\"{}\"", name.value.replace('"', "\"\""));
        Sql { text, line, column, plain_name: Some(name.value.clone()) }
    }

    fn ty(&mut self, at: &At<String>) -> Option<Type> {
        match at.value.parse() {
            Ok(ty) => Some(ty),
            Err(message) => {
                let synonym = SYNONYMS.iter().find(|(word, _)| at.value.eq_ignore_ascii_case(word));
                let help = match synonym {
                    Some((_, ty)) => format!("did you mean `{ty}`?"),
                    None if at.value.starts_with("decimal(") => "write it as in `decimal(18,4)`".to_owned(),
                    None => did_you_mean(&at.value, TYPE_NAMES, "the types are"),
                };
                self.report(&at.span, message, help);
                None
            }
        }
    }
}
