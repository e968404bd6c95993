//! An entity's plan: for each field how both sides are read, in which class it is compared and by which rule.

mod columns;
mod proven;

use self::columns::{check_key, same_names, unmapped};
use self::proven::proven;
use super::access::Access;
use super::direct;
use super::expression::{self, Sees};
use super::names::Names;
use super::projection::{self, Query, UnparsedSql};
use super::resolve::{StoreType, resolve};
use super::rules::normal::Normaliser;
use super::rules::own_sql::{self, Shown};
use super::rules::{self, tolerance};
use super::side::Staged;
use crate::error::{Error, Result};
use crate::ledger::proof::Proof;
use crate::spec::{BytesEncoding, DatasetKind, Entity, Field, Nulls, Rule, Spec, Sql};
use crate::value::cast::{BytesText, Class, Reading, Zone};
use crate::value::kind::Type;
use crate::warehouse::Warehouse;

/// One side of every field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What was there first.
    Source,
    /// What should equal it.
    Target,
}

impl Side {
    /// The word for messages and file names.
    pub fn word(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Target => "target",
        }
    }
}

/// How a field is compared on both sides.
#[derive(Clone, Debug)]
pub struct FieldPlan {
    /// Its name.
    pub name: String,
    /// Its rule.
    pub rule: Rule,
    /// Whether it is one of the key's.
    pub is_key: bool,
    /// How it is compared, or why it is not.
    pub status: Status,
    /// A remark for the report.
    pub note: Option<String>,
    /// How the source is read.
    pub source: Option<Access>,
    /// How the target is read.
    pub target: Option<Access>,
    /// Where it has a predicate of its own: the types of both sides in SQL.
    pub sql_stores: Option<[StoreType; 2]>,
}

/// Whether and how a field is compared.
#[derive(Clone, Debug)]
pub enum Status {
    /// It is.
    Compared {
        /// The class of its values.
        class: Class,
        /// Scale of a tolerant field's values beside the hash.
        scale: u32,
    },
    /// Left out by the spec.
    Ignored,
    /// It cannot be, for this reason.
    NotCompared(String),
}

/// What the values of a field showed while they were read: it is planned again with this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The field.
    pub field: String,
    /// Why it cannot be compared; `None`: its timestamps must carry an offset.
    pub not_compared: Option<String>,
}

/// Everything that is needed to compare an entity.
pub struct EntityPlan<'a> {
    /// The entity.
    pub entity: &'a Entity,
    /// The staged source.
    pub source: &'a Staged,
    /// The staged target.
    pub target: &'a Staged,
    /// What was proven equal in the stores and not staged.
    pub proof: Option<&'a Proof>,
    /// The key's fields first, in the key's order, then the others in the order of the spec.
    pub fields: Vec<FieldPlan>,
    /// Columns of either side that no field uses.
    pub unmapped: Vec<String>,
    /// What the user should know of the spec beside that.
    pub remarks: Vec<String>,
    /// The query of the source, with the fields' columns in their order.
    pub source_query: Query,
    /// The query of the target.
    pub target_query: Query,
    /// The columns of the source's parts that are all its query gives, where it computes nothing.
    pub source_direct: Option<Vec<direct::Column>>,
    /// The same of the target.
    pub target_direct: Option<Vec<direct::Column>>,
    /// How the source's rows that did not parse are looked at.
    pub source_unparsed: UnparsedSql,
    /// The same for the target's.
    pub target_unparsed: UnparsedSql,
    /// Whether another entity reads the source's dataset too, or its rows are folded, so that a row that does not parse belongs
    /// to none.
    pub source_is_shared: bool,
    /// The same for the target's dataset.
    pub target_is_shared: bool,
    /// Whether a NULL in the key means an item without its key.
    pub source_needs_key: bool,
    /// The same for the target.
    pub target_needs_key: bool,
}

impl FieldPlan {
    /// Whether its values go into the comparison.
    pub fn is_compared(&self) -> bool {
        matches!(self.status, Status::Compared { .. })
    }

    /// Whether its values stay beside the hash, and at which scale.
    pub fn tolerant_scale(&self) -> Option<u32> {
        match self.status {
            Status::Compared { scale, .. } if rules::is_tolerant(&self.rule) => Some(scale),
            _ => None,
        }
    }

    /// How a side's values are shown to the predicate of its own, where it has one.
    pub fn shown_to_sql(&self, side: Side) -> Option<Shown> {
        self.shown_of(self.sql_stores.as_ref()?, side)
    }

    /// How a side's values are shown to SQL that sees the field, whatever its rule.
    pub fn shown(&self, side: Side) -> Option<Shown> {
        self.shown_of(&[self.source.as_ref()?.store().clone(), self.target.as_ref()?.store().clone()], side)
    }

    fn shown_of(&self, stores: &[StoreType; 2], side: Side) -> Option<Shown> {
        let Status::Compared { class, .. } = self.status else { return None };
        // A float among numbers stays one: its digits may be more than a decimal holds.
        let class = match (class, &stores[side as usize]) {
            (Class::Number, StoreType::Float32) => Class::Float32,
            (Class::Number, StoreType::Float64) => Class::Float64,
            (class, _) => class,
        };
        let scale = |store: &StoreType| match store {
            StoreType::Int | StoreType::Float32 | StoreType::Float64 => 0,
            StoreType::Decimal(size) => size.scale,
            _ => own_sql::OPEN_SCALE,
        };
        Some(Shown::of(class, stores.iter().map(scale).max().unwrap_or(0)))
    }

    /// The predicate of its own over both sides' values beside the hash, where it has one. `index` is its place in the plan.
    pub fn own_predicate(&self, index: usize) -> Option<String> {
        Some(self.shown_to_sql(Side::Source)?.predicate(&self.rule.sql.as_ref()?.text, index))
    }

    /// Its access on a side.
    pub fn access(&self, side: Side) -> Option<&Access> {
        match side {
            Side::Source => self.source.as_ref(),
            Side::Target => self.target.as_ref(),
        }
    }
}

impl<'a> EntityPlan<'a> {
    /// Plans an entity over two staged datasets.
    ///
    /// # Errors
    /// Unknown columns, SQL that does not parse, rules that do not fit the types (exit 2, with the place).
    pub fn new(
        spec: &'a Spec,
        warehouse: &'a Warehouse,
        entity: &'a Entity,
        source: &'a Staged,
        target: &'a Staged,
        overrides: &[Override],
    ) -> Result<Self> {
        let proof = proven(entity, source, target)?;
        let fields = match &entity.fields {
            Some(fields) => fields.clone(),
            None => same_names(entity, source, target),
        };
        check_key(spec, entity, &fields, source, target)?;
        if !entity.group_by.is_empty() {
            let what = format!("the rows of entity `{}` were not folded", entity.name);
            return Err(Error::failed(what).help("this is a defect of recon; please report it with the spec"));
        }
        let used = |pick: fn(&Field) -> &Sql, filter: &'a Option<Sql>| -> Vec<Sql> {
            let live = fields.iter().filter(|f| !f.rule.ignore);
            live.map(|f| pick(f).clone()).chain(filter.clone()).collect()
        };
        let seen = |pick: fn(&Field) -> &Sql| -> Vec<Sql> {
            fields.iter().filter(|f| f.rule.sql.is_some()).map(|f| pick(f).clone()).collect()
        };
        let names = |staged, pick: fn(&Field) -> &Sql, filter| {
            let (used, seen) = (used(pick, filter), seen(pick));
            Names::new(
                spec,
                warehouse,
                staged,
                &used.iter().collect::<Vec<_>>(),
                &seen.iter().collect::<Vec<_>>(),
            )
        };
        let source_names = names(source, |f| &f.from, &entity.source_filter)?;
        let target_names = names(target, |f| &f.to, &entity.target_filter)?;
        let mut plans: Vec<FieldPlan> = Vec::new();
        for field in &fields {
            let mut plan = plan_field(spec, entity, field, &source_names, &target_names)?;
            apply(overrides, &mut plan);
            plans.push(plan);
        }
        let position =
            |f: &FieldPlan| entity.key.iter().position(|k| *k == f.name).unwrap_or(entity.key.len());
        plans.sort_by_key(position);
        let shared = |dataset: &str| {
            spec.entities.iter().filter(|e| e.source == dataset || e.target == dataset).count() > 1
        };
        let (of_source, of_target) = (entity.source_filter.as_ref(), entity.target_filter.as_ref());
        let plan = Self {
            entity,
            source,
            target,
            proof,
            unmapped: unmapped(entity, &fields, source, target),
            remarks: remarks(entity, &source_names, &target_names)?,
            source_query: projection::query(&plans, &fields, Side::Source, &source_names, of_source)?,
            target_query: projection::query(&plans, &fields, Side::Target, &target_names, of_target)?,
            source_unparsed: projection::unparsed(&source_names, of_source),
            target_unparsed: projection::unparsed(&target_names, of_target),
            source_direct: projection::direct(&plans, Side::Source, source, of_source),
            target_direct: projection::direct(&plans, Side::Target, target, of_target),
            source_is_shared: shared(&entity.source) || source.folded.is_some(),
            target_is_shared: shared(&entity.target),
            source_needs_key: projection::needs_key(source),
            target_needs_key: projection::needs_key(target),
            fields: plans,
        };
        plan.check_rules(spec)?;
        Ok(plan)
    }

    /// The key's fields.
    pub fn key(&self) -> &[FieldPlan] {
        &self.fields[..self.entity.key.len()]
    }

    /// Whether whole rows are compared as a multiset.
    pub fn is_keyless(&self) -> bool {
        self.entity.key.is_empty()
    }

    /// The query of a side.
    pub fn query(&self, side: Side) -> String {
        self.query_over(side, &self.staged(side).rows_sql())
    }

    /// The query of a side over some of its rows.
    pub fn query_over(&self, side: Side, rows: &str) -> String {
        match side {
            Side::Source => self.source_query.over(rows),
            Side::Target => self.target_query.over(rows),
        }
    }

    /// The query of a side with other columns (a continuation of a select list) than the compared fields'.
    pub fn query_of_columns(&self, side: Side, columns: &str) -> String {
        let rows = self.staged(side).rows_sql();
        match side {
            Side::Source => self.source_query.of_columns(columns, &rows),
            Side::Target => self.target_query.of_columns(columns, &rows),
        }
    }

    /// The columns of a side's parts, where these are all that its query gives.
    pub fn direct(&self, side: Side) -> Option<&[direct::Column]> {
        match side {
            Side::Source => self.source_direct.as_deref(),
            Side::Target => self.target_direct.as_deref(),
        }
    }

    /// How a side's rows that did not parse are looked at.
    pub fn unparsed(&self, side: Side) -> &UnparsedSql {
        match side {
            Side::Source => &self.source_unparsed,
            Side::Target => &self.target_unparsed,
        }
    }

    /// The staged dataset of a side.
    pub fn staged(&self, side: Side) -> &'a Staged {
        match side {
            Side::Source => self.source,
            Side::Target => self.target,
        }
    }

    /// How a field's values of one side are brought to the form that is compared.
    pub fn normaliser(&self, field: &FieldPlan, side: Side) -> Option<Normaliser> {
        let Status::Compared { class, .. } = field.status else { return None };
        let (source, target) = (field.source.as_ref()?, field.target.as_ref()?);
        let staged = self.staged(side);
        let both_express = source.expresses_absence() && target.expresses_absence();
        let declared = self.entity.fields.iter().flatten().any(|f| f.name == field.name && f.ty.is_some());
        Some(Normaliser {
            class,
            reading: Reading {
                timezone: staged.dataset.timezone.as_deref().and_then(crate::spec::time_zone),
                bytes: match &staged.dataset.kind {
                    DatasetKind::Csv(options) => Some(match options.encoding {
                        BytesEncoding::Hex => BytesText::Hex,
                        BytesEncoding::Base64 => BytesText::Base64,
                    }),
                    _ => None,
                },
                free: declared || *field.access(side)?.store() == StoreType::Untyped,
            },
            rule: field.rule.clone(),
            absent_is_null: !both_express && field.rule.nulls != Some(Nulls::Strict),
        })
    }

    /// Binds the spec's own predicates to the types of both sides.
    ///
    /// # Errors
    /// SQL that does not parse or bind (exit 2, with the place).
    pub fn check_predicates(&self, spec: &Spec, warehouse: &Warehouse) -> Result<()> {
        for (i, field) in self.fields.iter().enumerate().filter(|(_, f)| f.is_compared()) {
            let (Some(sql), Some(predicate)) = (&field.rule.sql, field.own_predicate(i)) else { continue };
            if let Some(problem) = expression::problem(warehouse, &sql.text, Sees::Row, &|_| false)? {
                let (line, column) = sql.place(problem.offset);
                let error = spec.error_at(line, column, 1, &problem.message);
                return Err(error.help("the predicate sees the two values as `source` and `target`"));
            }
            let values = |side| {
                let typed = field.shown_to_sql(side).and_then(|shown| shown.no_values(i));
                typed.unwrap_or_else(|| self.query(side))
            };
            let query = format!(
                "select {predicate} from ({}\n) as s, ({}\n) as t",
                values(Side::Source),
                values(Side::Target)
            );
            if let Err(message) = warehouse.describe(&query)? {
                let first = message.lines().next().unwrap_or_default();
                return Err(Error::usage(format!(
                    "{}:{}:{}: field `{}`: {first}\n  in: {}",
                    spec.path.display(),
                    sql.line,
                    sql.column,
                    field.name,
                    sql.text
                ))
                .help("the predicate sees the two values as `source` and `target`"));
            }
        }
        Ok(())
    }

    /// Puts the blame for a query that failed on the spec's filter, where that is what fails. The engine's own words would show
    /// the value that it fails for.
    pub fn blame_filter(&self, spec: &Spec, warehouse: &Warehouse, side: Side, error: Error) -> Error {
        let (filter, word) = match side {
            Side::Source => (&self.entity.source_filter, "where"),
            Side::Target => (&self.entity.target_filter, "target_where"),
        };
        let Some(sql) = filter else { return error };
        // Counting needs no column: nothing but the filter is computed.
        if warehouse.integers(&format!("select count(*) from ({}\n) as rows", self.query(side))).is_ok() {
            return error;
        }
        let dataset = &self.staged(side).dataset.name;
        spec.error_at(sql.line, sql.column, 1, &format!("`{word}` fails for some row of dataset `{dataset}`"))
            .help(
                "write it so that it holds or does not for every row, as with `try_cast` in place of `cast`",
            )
    }

    fn check_rules(&self, spec: &Spec) -> Result<()> {
        let bound = |f: &&FieldPlan| {
            rules::is_tolerant(&f.rule) || f.rule.sql.is_some() || f.rule.precision.is_some()
        };
        for field in self.fields.iter().filter(bound) {
            let Status::Compared { class, .. } = field.status else { continue };
            let number = matches!(
                class,
                Class::Int | Class::Number | Class::Decimal(_) | Class::Float32 | Class::Float64
            );
            let time = matches!(
                class,
                Class::Timestamp(_) | Class::Date | Class::Time | Class::TimeTz | Class::Interval
            );
            let duration = matches!(field.rule.tolerance, Some(crate::spec::Tolerance::Duration(_)));
            let (needs_key, change) = (
                "give the entity a `key`: without one there are no pairs of records to compare",
                "change the rule, or give the field a `type`",
            );
            let mut help = change;
            let wrong = if field.rule.sql.is_some() {
                // Without a key there are no pairs that a predicate could look at.
                if !self.is_keyless() {
                    continue;
                }
                help = needs_key;
                "`sql` in an entity without a key"
            } else if field.rule.precision.is_some() && (!time || class == Class::Interval) {
                "a precision on a field that is no time"
            } else if !rules::is_tolerant(&field.rule) {
                continue;
            } else if !number && !time {
                "a tolerance on a field that is neither number nor time"
            } else if time && (field.rule.relative.is_some() || !duration) {
                "a tolerance on a time must be a duration, as in \"1s\""
            } else if number && duration {
                "a tolerance on a number must be a number"
            } else if self.is_keyless() {
                help = needs_key;
                "a tolerance in an entity without a key"
            } else {
                continue;
            };
            return Err(Error::usage(format!(
                "{}: entity `{}`, field `{}`: {wrong}",
                spec.path.display(),
                self.entity.name,
                field.name
            ))
            .help(help));
        }
        Ok(())
    }
}

/// What the field's values showed takes the place of what its types promised.
fn apply(overrides: &[Override], plan: &mut FieldPlan) {
    let Some(found) = overrides.iter().find(|o| o.field == plan.name) else { return };
    plan.status = match &found.not_compared {
        Some(reason) => Status::NotCompared(reason.clone()),
        None => Status::Compared { class: Class::Timestamp(Zone::Instant), scale: tolerance::TIME_SCALE },
    };
}

fn plan_field(
    spec: &Spec,
    entity: &Entity,
    field: &Field,
    source: &Names<'_>,
    target: &Names<'_>,
) -> Result<FieldPlan> {
    let is_key = entity.key.contains(&field.name);
    let mut plan = FieldPlan {
        name: field.name.clone(),
        rule: field.rule.clone(),
        is_key,
        status: Status::Ignored,
        note: None,
        source: None,
        target: None,
        sql_stores: None,
    };
    if field.rule.ignore {
        // They are shown all the same, where they can be read.
        plan.source = source.access(&field.from, false).ok();
        plan.target = target.access(&field.to, true).ok();
        return Ok(plan);
    }
    if entity.fields.is_none() {
        let has = |names: &Names<'_>| names.staged.columns.iter().any(|c| c.name == field.name);
        let empty = |names: &Names<'_>| names.staged.is_schemaless() && names.staged.columns.is_empty();
        for (names, other, word) in [(source, target, "source"), (target, source, "target")] {
            if has(names) && !has(other) && !empty(other) {
                let reason = format!("only in the {word}; map it or ignore it in the spec");
                plan.status = Status::NotCompared(reason);
                return Ok(plan);
            }
        }
    }
    let (from, to) =
        (source.access(&field.from, false)?, target.access(&field.to, field.to.plain_name.is_some())?);
    let unseen = [source.unseen(&field.from)?, target.unseen(&field.to)?].into_iter().flatten().next();
    let is_unseen = unseen.is_some();
    let resolved = match unseen {
        Some(unseen) => Err(unseen),
        None => resolve(from.store(), to.store(), field.ty, &field.rule),
    };
    plan.status = match resolved {
        Ok(resolved) => {
            plan.note = resolved.note;
            Status::Compared {
                class: resolved.class,
                scale: scale(resolved.class, [from.store(), to.store()], field.ty),
            }
        }
        Err(_) if field.rule.sql.is_some() && !is_unseen => Status::Compared { class: Class::Any, scale: 0 },
        Err(reason) if is_key => {
            return Err(Error::usage(format!(
                "{}: entity `{}`, key field `{}`: {reason}",
                spec.path.display(),
                entity.name,
                field.name
            )));
        }
        Err(reason) => Status::NotCompared(reason),
    };
    if field.rule.sql.is_some() {
        plan.sql_stores = Some([source.sql_store(&field.from, &from)?, target.sql_store(&field.to, &to)?]);
    }
    (plan.source, plan.target) = (Some(from), Some(to));
    Ok(plan)
}

fn scale(class: Class, stores: [&StoreType; 2], declared: Option<Type>) -> u32 {
    match (class, declared) {
        (_, Some(Type::Decimal(Some(size)))) => size.scale.min(tolerance::SCALE_MAX),
        (Class::Int, _) => 0,
        (Class::Timestamp(_) | Class::Date | Class::Time | Class::TimeTz | Class::Interval, _) => {
            tolerance::TIME_SCALE
        }
        _ => stores
            .iter()
            .map(|store| match store {
                StoreType::Int => 0,
                StoreType::Decimal(size) => size.scale,
                _ => tolerance::OPEN_SCALE,
            })
            .max()
            .unwrap_or(tolerance::OPEN_SCALE),
    }
}

/// What the user should know of an entity beside its fields.
fn remarks(entity: &Entity, source: &Names<'_>, target: &Names<'_>) -> Result<Vec<String>> {
    let mut remarks = Vec::new();
    let filters = [&entity.source_filter, &entity.target_filter];
    let [of_source, of_target] = filters.map(|filter| filter.as_ref().map(|sql| &sql.text));
    let is_folded = source.staged.folded.is_some();
    if entity.source == entity.target && of_source == of_target && !is_folded {
        remarks.push(format!("source and target are the same rows, those of dataset `{}`", entity.source));
    }
    for ((filter, names), word) in filters.into_iter().zip([source, target]).zip(["where", "target_where"]) {
        if let Some(unseen) = filter.as_ref().map(|sql| names.unseen(sql)).transpose()?.flatten() {
            remarks.push(format!("`{word}`: {unseen}"));
        }
    }
    Ok(remarks)
}
