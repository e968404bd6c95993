//! As what a comparison reads a field back: what would not be compared is refused before anything is written, and what would be read as
//! another value is no record of the file.

use crate::error::{Error, Result};
use crate::mapping::plan::{FieldPlan, Side};
use crate::mapping::resolve::{StoreType, resolve};
use crate::migrate::Fault;
use crate::migrate::mapped::{Column, Mapped};
use crate::value::cast::{Class, Reading, cast};
use crate::value::kind::Element;
use crate::value::{Value, json};

/// How a column is read back.
pub(super) struct Kept {
    /// The class in which it is compared, and how its texts are read; `None` of a column that is not.
    compared: Option<(Class, Reading)>,
}

/// The plan of a column's field; `None` for what recon itself writes.
pub(super) fn plan_of<'m>(mapped: &'m Mapped<'_>, column: &Column) -> Option<&'m FieldPlan> {
    column.class().and_then(|_| mapped.plan.fields.iter().find(|field| field.name == column.field))
}

impl Kept {
    /// For each of the columns, by what the format will have of it.
    ///
    /// # Errors
    /// Fields that would not be compared (exit 2).
    pub(super) fn all(mapped: &Mapped<'_>, stores: &[StoreType]) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for (column, store) in mapped.columns.iter().zip(stores) {
            let Some(field) = plan_of(mapped, column) else {
                all.push(Self { compared: None });
                continue;
            };
            let declared = mapped.plan.entity.fields.iter().flatten().find(|f| f.name == field.name);
            let source = field.source.as_ref().expect("a written field is read").store();
            let class = match column.class() {
                Some(Class::Any) => Class::Any,
                _ => {
                    let resolved = resolve(source, store, declared.and_then(|f| f.ty), &field.rule);
                    let resolved = resolved.map_err(|why| {
                        Error::usage(format!(
                            "field `{}` would be written as {}, and a comparison could not hold it against its source: {why}",
                            column.field,
                            store.describe()
                        ))
                        .help(format!(
                            "give field `{}` a `type`, such as \"decimal(18,4)\", \"json\", \"bytes\" or \"string\"",
                            column.field
                        ))
                    });
                    resolved?.class
                }
            };
            let normaliser =
                mapped.plan.normaliser(field, Side::Target).expect("a written field has a class");
            all.push(Self { compared: Some((class, normaliser.reading)) });
        }
        Ok(all)
    }

    /// Holds what would be read back against what is meant.
    ///
    /// # Errors
    /// Another value, or none.
    pub(super) fn check(&self, column: &Column, back: Value<'_>, meant: &Value<'_>) -> Result<(), Fault> {
        let Some((class, reading)) = &self.compared else { return Ok(()) };
        // The zone of the target's dataset is none of the source's.
        let free = Reading { free: true, ..Reading::default() };
        let same = cast(back, *class, reading)
            .is_ok_and(|back| cast(meant.clone(), *class, &free).is_ok_and(|meant| back.same(&meant)));
        if same {
            return Ok(());
        }
        let what = meant.kind_name();
        let message = format!(
            "a {what} that would be read back as another value; give the field a `type` that holds it"
        );
        Err(Fault::permanent("changed", Some(&column.field), message))
    }

    /// A value as text; `None` for NULL.
    ///
    /// # Errors
    /// A value that would be read back as another.
    pub(super) fn text(
        &self,
        column: &Column,
        value: &Value<'_>,
        bytes: fn(&[u8]) -> String,
    ) -> Result<Option<String>, Fault> {
        let text = match value {
            Value::Null | Value::Absent => return Ok(None),
            Value::Text(text) if column.class() != Some(Class::Json) => return Ok(Some(text.to_string())),
            value if column.class() == Some(Class::Json) => json::canonical(value),
            Value::Bytes(content) => bytes(content),
            other => other.display().unwrap_or_default().into_owned(),
        };
        self.check(column, Value::Text(text.as_str().into()), value)?;
        Ok(Some(text))
    }
}

/// What a store of documents has of a class.
pub(super) fn document(mapped: &Mapped<'_>, column: &Column, dynamodb: bool) -> StoreType {
    let tag = match column.class() {
        None => "S",
        Some(Class::Any) => {
            let store =
                plan_of(mapped, column).and_then(|field| field.source.as_ref()).map(|a| a.store().clone());
            return store.unwrap_or(StoreType::Untyped);
        }
        Some(Class::Int | Class::Number | Class::Decimal(_) | Class::Float32 | Class::Float64) => "N",
        Some(Class::Bool) => "BOOL",
        Some(Class::Json) => "M",
        Some(Class::List) => "L",
        Some(Class::Bytes) if dynamodb => "B",
        Some(Class::Set(Some(Element::String))) if dynamodb => "SS",
        Some(Class::Set(Some(Element::Number))) if dynamodb => "NS",
        Some(Class::Set(Some(Element::Bytes))) if dynamodb => "BS",
        Some(Class::Set(_)) => "L",
        Some(
            Class::Text
            | Class::Bytes
            | Class::Timestamp(_)
            | Class::Date
            | Class::Time
            | Class::TimeTz
            | Class::Interval
            | Class::Uuid,
        ) => "S",
    };
    StoreType::Document { dynamodb, tags: vec![tag.to_owned()] }
}
