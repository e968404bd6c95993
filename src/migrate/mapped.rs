//! What of a record is written where: an entity's fields as columns of its target.
//!
//! The fields mean here what they mean in a comparison: they are read by the same accesses and cast to the same classes, so that
//! what is written is what `diff` expects to find.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::mapping::access::Access;
use crate::mapping::plan::{EntityPlan, Side, Status};
use crate::mapping::resolve::StoreType;
use crate::mapping::side::{Column as StagedColumn, Staged};
use crate::query::{identifier, is_closed, single_path};
use crate::spec::{
    Dataset, Entity, Field, Nulls, OnConflict, Policy, Precision, Provenance, Spec, Sql, TextRule, Writing,
};
use crate::store::table::TableFacts;
use crate::value::Value;
use crate::value::cast::{Class, Reading, cast};
use crate::value::column::ColumnType;
use crate::warehouse::Warehouse;

/// What a target can hold.
#[derive(Clone, Debug)]
pub enum Shape {
    /// The columns of a table.
    Table(TableFacts),
    /// Any attributes, of DynamoDB's types or of JSON's.
    Documents {
        /// The types are DynamoDB's.
        dynamodb: bool,
    },
    /// Any columns, all of them text.
    Text,
}

/// A column that is written.
#[derive(Clone, Debug)]
pub struct Column {
    /// The entity's field, for messages and reports; of a provenance column its own name.
    pub field: String,
    /// The target's column, or the attribute.
    pub name: String,
    /// Names below the attribute.
    pub path: Vec<String>,
    /// Whether it is one of the key's.
    pub is_key: bool,
    /// Its type in a table.
    pub ty: Option<ColumnType>,
    /// The unit to which the spec says that its times may be cut, in nanoseconds.
    pub precision: Option<Precision>,
    /// What becomes of it where the record is there already.
    pub on_conflict: OnConflict,
    /// Where its value comes from.
    pub source: Origin,
}

/// Where a column's value comes from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// The source's rows.
    Field {
        /// How it is read.
        access: Access,
        /// The first of its columns in the query.
        first: usize,
        /// The class to which it is cast.
        class: Class,
        /// How its texts are read.
        reading: Reading,
    },
    /// Recon itself.
    Provenance(Provenance),
}

impl Column {
    /// The class to which its values are cast; `None` where they are recon's own.
    pub fn class(&self) -> Option<Class> {
        match &self.source {
            Origin::Field { class, .. } => Some(*class),
            Origin::Provenance(_) => None,
        }
    }

    /// Its value, where it comes from the source.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub fn value<'a>(
        &self,
        cells: &[crate::value::arrow::Cells<'a>],
        row: usize,
    ) -> Result<Value<'a>, String> {
        match &self.source {
            Origin::Field { access, first, class, reading } => {
                cast(access.value(cells, *first, row)?, *class, reading)
            }
            Origin::Provenance(_) => Ok(Value::Null),
        }
    }
}

/// An entity and its two sides, made ready to be written.
pub struct Prepared {
    /// The entity, its fields as they are written.
    pub entity: Entity,
    /// The staged source.
    pub source: Staged,
    /// The target, as it would be staged without a row.
    pub target: Staged,
    /// What the target can hold.
    pub shape: Shape,
    /// Where each of the entity's fields is written.
    places: Vec<Place>,
}

/// Where a field is written.
#[derive(Clone, Debug)]
struct Place {
    field: String,
    name: String,
    path: Vec<String>,
    ty: Option<ColumnType>,
}

impl Prepared {
    /// Finds out where each field is written. `more` is SQL over the source's rows that selects fewer of them.
    ///
    /// # Errors
    /// An entity without a key; a field that no column of the target corresponds to (exit 2, with what would help).
    pub fn new(
        spec: &Spec,
        entity: &Entity,
        source: Staged,
        target: &Dataset,
        shape: Shape,
        more: Option<&str>,
    ) -> Result<Self> {
        let at = format!("{}: entity `{}`", spec.path.display(), entity.name);
        if entity.key.is_empty() {
            return Err(Error::usage(format!("{at} has no key, so nothing tells which record is which"))
                .help(format!("name its fields with `key = [\"…\"]` under [entities.{}]", entity.name)));
        }
        let mut entity = entity.clone();
        entity.target_filter = None;
        let all = entity.fields.take().unwrap_or_else(|| own_names(&source));
        let mut fields: Vec<Field> =
            all.into_iter().filter(|f| !f.rule.ignore || f.from.plain_name.is_none()).collect();
        let mut places = Vec::new();
        for field in &mut fields {
            if entity.key.contains(&field.name) && loosens(field) {
                return Err(Error::usage(format!(
                    "{at}: key `{}` has a rule by which different keys match, so a record would be written beside its other spelling",
                    field.name
                ))
                .help("make the keys alike in `from`, as in `lower(trim(name))`, and take the rule away"));
            }
            let place = place(field, &shape).map_err(|(what, help)| {
                Error::usage(format!("{at}, field `{}`: {what}", field.name)).help(help)
            })?;
            field.to = plain(&place.field);
            field.rule.ignore = false;
            field.rule.sql = None;
            (field.rule.tolerance, field.rule.relative) = (None, None);
            places.push(place);
        }
        entity.fields = Some(fields);
        if let Some(more) = more {
            if !is_closed(more) {
                return Err(Error::usage(format!("--where {more}: not exactly one expression"))
                    .help("it is SQL over the source's rows, as `where` in the spec is"));
            }
            let own = entity.source_filter.as_ref().map_or("true", |sql| sql.text.as_str());
            let text = format!("({own}\n) and ({more}\n)");
            entity.source_filter = Some(Sql { text, line: entity.line, column: 1, plain_name: None });
        }
        let columns = places.iter().map(|place| staged_column(place, &shape)).collect();
        let target = Staged::unstaged(target, columns);
        Ok(Self { entity, source, target, shape, places })
    }

    /// Plans the entity.
    ///
    /// # Errors
    /// Unknown columns, SQL that does not parse, types that do not go together (exit 2, with the place).
    pub fn plan<'a>(&'a self, spec: &'a Spec, warehouse: &'a Warehouse) -> Result<Mapped<'a>> {
        let plan = EntityPlan::new(spec, warehouse, &self.entity, &self.source, &self.target, &[])?;
        let mut columns = Vec::new();
        let mut first = 1; // behind the position
        for field in &plan.fields {
            let Status::Compared { class, .. } = field.status else {
                let Status::NotCompared(reason) = &field.status else { continue };
                return Err(Error::usage(format!(
                    "{}: entity `{}`, field `{}` cannot be written: {reason}",
                    spec.path.display(),
                    self.entity.name,
                    field.name
                ))
                .help("map it, give it a `type`, or ignore it in the spec"));
            };
            let of_entity = self.entity.fields.iter().flatten().find(|f| f.name == field.name);
            let of_entity = of_entity.expect("every plan is of a field");
            let place = self.places.iter().find(|p| p.field == field.name).expect("every field has a place");
            let access = field.access(Side::Source).expect("a compared field has both sides").clone();
            let normaliser = plan.normaliser(field, Side::Source).expect("a compared field has a class");
            let width = access.select().len();
            columns.push(Column {
                field: field.name.clone(),
                name: place.name.clone(),
                path: place.path.clone(),
                is_key: field.is_key,
                ty: place.ty.clone(),
                precision: field.rule.precision,
                on_conflict: of_entity.on_conflict.clone(),
                source: Origin::Field { access, first, class, reading: normaliser.reading },
            });
            first += width;
        }
        let width = first;
        let writing = self.entity.writing.clone();
        columns.extend(self.provenance(spec, &writing)?);
        let version = writing.version.as_ref().and_then(|name| columns.iter().position(|c| c.field == *name));
        Ok(Mapped { plan, columns, width, version, writing, shape: &self.shape })
    }

    fn provenance(&self, spec: &Spec, writing: &Writing) -> Result<Vec<Column>> {
        let mut columns = Vec::new();
        for (what, name) in &writing.provenance {
            let ty = match &self.shape {
                Shape::Table(facts) => {
                    let found = facts.columns.iter().find(|c| c.name == *name);
                    let Some(found) = found else {
                        let at = format!("{}: entity `{}`", spec.path.display(), self.entity.name);
                        return Err(Error::usage(format!(
                            "{at}: the target has no column `{name}` for its provenance"
                        ))
                        .help(format!("alter table … add column {} text", identifier(name))));
                    };
                    Some(found.ty.clone())
                }
                Shape::Documents { .. } | Shape::Text => None,
            };
            columns.push(Column {
                field: name.clone(),
                name: name.clone(),
                path: Vec::new(),
                is_key: false,
                ty,
                precision: None,
                on_conflict: OnConflict::Overwrite,
                source: Origin::Provenance(*what),
            });
        }
        Ok(columns)
    }
}

/// An entity whose records can be read and written.
pub struct Mapped<'a> {
    /// How the source is read.
    pub plan: EntityPlan<'a>,
    /// What is written; the key's columns first, in the key's order, and provenance last.
    pub columns: Vec<Column>,
    /// The query's columns, the position among them.
    pub width: usize,
    /// The column that holds the version, among `columns`.
    pub version: Option<usize>,
    /// How records are written.
    pub writing: Writing,
    /// What the target can hold.
    pub shape: &'a Shape,
}

impl Mapped<'_> {
    /// The key's columns.
    pub fn key(&self) -> &[Column] {
        &self.columns[..self.plan.entity.key.len()]
    }

    /// The columns that are compared with what is there, to tell whether a record has to be written.
    pub fn compared(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|c| !c.is_key && matches!(c.source, Origin::Field { .. }))
    }

    /// Whether NULL is written as a value of its own where the target knows NULL and absence.
    pub fn writes_null(&self) -> bool {
        self.writing.null.unwrap_or_else(|| self.plan.source.dataset.kind.is_schemaless())
    }

    /// Which records are written.
    pub fn policy(&self) -> Policy {
        self.writing.policy
    }
}

/// No two columns may be one attribute, or lie one in the other.
///
/// # Errors
/// Two that are or do (exit 2).
pub fn check_places(mapped: &Mapped<'_>) -> Result<()> {
    let mut seen: BTreeMap<Vec<&String>, &str> = BTreeMap::new();
    for column in &mapped.columns {
        let path: Vec<&String> = std::iter::once(&column.name).chain(&column.path).collect();
        let overlaps =
            |(other, _): &(&Vec<&String>, &&str)| other.starts_with(&path) || path.starts_with(other);
        if let Some((other, field)) = seen.iter().find(overlaps) {
            let shown =
                |path: &[&String]| path.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(".");
            return Err(Error::usage(format!(
                "fields `{field}` and `{}` are written to one place: `{}` and `{}`",
                column.field,
                shown(other),
                shown(&path)
            ))
            .help("map one of them to another attribute with `to`"));
        }
        seen.insert(path, &column.field);
    }
    Ok(())
}

/// Whether a field's rule takes different values for equal ones where records are matched by it.
fn loosens(field: &Field) -> bool {
    let rule = &field.rule;
    rule.text != TextRule::default() || rule.precision.is_some() || rule.nulls == Some(Nulls::EmptyIsNull)
}

/// A field for every column of the source.
fn own_names(source: &Staged) -> Vec<Field> {
    let field = |column: &StagedColumn| Field {
        name: column.name.clone(),
        from: plain(&column.name),
        to: plain(&column.name),
        ty: None,
        rule: crate::spec::Rule::default(),
        valid: crate::spec::Valid::default(),
        on_conflict: OnConflict::default(),
        line: 0,
    };
    source.columns.iter().map(field).collect()
}

fn plain(name: &str) -> Sql {
    Sql { text: identifier(name), line: 0, column: 0, plain_name: Some(name.to_owned()) }
}

/// Where a field is written; else what is wrong and what would help.
fn place(field: &Field, shape: &Shape) -> Result<Place, (String, String)> {
    let path = match &field.to.plain_name {
        Some(name) => Some(vec![name.clone()]),
        None => single_path(&field.to.text),
    };
    let facts = match shape {
        Shape::Table(facts) => facts,
        Shape::Documents { .. } | Shape::Text => {
            // An expression over the target tells how it is read; it is written under the field's own name.
            let mut path = path.unwrap_or_else(|| vec![field.name.clone()]);
            let name = path.remove(0);
            if !path.is_empty() && matches!(shape, Shape::Text) {
                return Err((
                    format!("`to` is a path, but the target has plain columns: {}", field.to.text),
                    "name the column with `to`".to_owned(),
                ));
            }
            return Ok(Place { field: field.name.clone(), name, path, ty: None });
        }
    };
    let is_expression = path.is_none();
    let wanted = match path.as_deref() {
        Some([name]) => name.clone(),
        _ => field.name.clone(),
    };
    let exact = facts.columns.iter().find(|c| c.name == wanted);
    let mut near = facts.columns.iter().filter(|c| c.name.eq_ignore_ascii_case(&wanted));
    let found =
        exact.or_else(|| near.next().filter(|_| field.to.plain_name.is_none() && near.next().is_none()));
    match found {
        Some(column) => Ok(Place {
            field: field.name.clone(),
            name: column.name.clone(),
            path: Vec::new(),
            ty: Some(column.ty.clone()),
        }),
        None if is_expression => Err((
            format!("`to` is an expression ({}), so nothing says which column is written", field.to.text),
            "call the field as the column is called".to_owned(),
        )),
        None => {
            let known: Vec<&str> = facts.columns.iter().take(20).map(|c| c.name.as_str()).collect();
            Err((
                format!("the target has no column `{wanted}`; it has {}", known.join(", ")),
                format!(
                    "add it (`alter table … add column {} …`), map the field with `to`, or ignore it in the spec",
                    identifier(&wanted)
                ),
            ))
        }
    }
}

/// The place as a staged target would have it. Each has a column of its own, also where several are paths in one attribute.
fn staged_column(place: &Place, shape: &Shape) -> StagedColumn {
    let (store, physical) = match (&place.ty, shape) {
        (Some(ty), _) => (StoreType::from(ty), vec![(ty.to_string(), place.name.clone())]),
        (None, Shape::Documents { dynamodb }) => {
            (StoreType::Document { dynamodb: *dynamodb, tags: Vec::new() }, Vec::new())
        }
        (None, _) => (StoreType::Untyped, vec![(String::new(), place.name.clone())]),
    };
    StagedColumn { name: place.field.clone(), sql_name: place.field.clone(), store, physical }
}
