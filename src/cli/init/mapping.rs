//! Which column of the source is which of the target: by name, exactly or by spelling, never two to one; and whether their
//! types go together.

use super::sample::{Column, Sample};
use super::split::Group;
use crate::error::Result;
use crate::mapping::resolve::{StoreType, resolve};
use crate::query::render;
use crate::spec::Rule;
use crate::value::kind::Type;
use crate::warehouse::Warehouse;

/// One side of an entity.
pub(super) struct Side<'a> {
    /// `source` or `target`.
    pub(super) word: &'static str,
    pub(super) sample: &'a Sample,
    /// The kind of items that it is, in a table of several.
    pub(super) group: Option<Group>,
    /// Its columns, counted over its own rows.
    pub(super) columns: Vec<Column>,
    /// Its rows of the sample.
    pub(super) rows: u64,
}

/// A field of the entity.
#[derive(Clone, Debug)]
pub(super) struct Field {
    /// Its name, the target's.
    pub(super) name: String,
    pub(super) source: Place,
    pub(super) target: Place,
    /// How the two found each other.
    pub(super) how: How,
    /// The type that has to be said.
    pub(super) ty: Option<Type>,
    /// What there is to say of it.
    pub(super) remark: Option<String>,
    /// Whether it can be compared like this.
    pub(super) is_compared: bool,
}

/// Where a side's values come from.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// A column.
    Column(Column),
    /// What follows a word in an item's key.
    Rest {
        /// The spec's SQL.
        spec: String,
        /// The same on the sample.
        sample: String,
    },
}

/// How two columns found each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// By the same name.
    Name,
    /// By names that differ in case, `_`, `-` and the like.
    Spelling,
    /// `id` and the entity's name with it, as `id` and `userId`.
    Entity,
    /// Values of the two that are the same.
    Values {
        /// Different values of the key's rest that the other side has.
        found: u64,
        /// Different values of the key's rest.
        of: u64,
    },
    /// As the only column left for the other side's key.
    Guess,
}

/// What two sides have in common, and what not.
#[derive(Debug, Default)]
pub(super) struct Mapping {
    pub(super) fields: Vec<Field>,
    pub(super) only_source: Vec<Column>,
    pub(super) only_target: Vec<Column>,
}

impl<'a> Side<'a> {
    /// A dataset's rows, or those of one kind.
    ///
    /// # Errors
    /// What the engine says.
    pub(super) fn new(
        word: &'static str,
        sample: &'a Sample,
        group: Option<Group>,
        warehouse: &Warehouse,
    ) -> Result<Self> {
        let filter = group.as_ref().map_or("true", |group| group.filter.as_str());
        let (rows, columns) = sample.counted(warehouse, filter)?;
        Ok(Self { word, sample, group, columns, rows })
    }

    /// Whether its rows are documents.
    fn is_schemaless(&self) -> bool {
        self.sample.dataset.kind.is_schemaless()
    }

    /// The condition on the sample's rows that makes them this side's.
    pub(super) fn filter(&self) -> &str {
        self.group.as_ref().map_or("true", |group| group.filter.as_str())
    }
}

impl Place {
    /// What the store says of it.
    pub(super) fn store(&self) -> &StoreType {
        match self {
            Self::Column(column) => &column.store,
            Self::Rest { .. } => &StoreType::Text,
        }
    }

    /// The engine's SQL of its values in the sample.
    pub(super) fn value(&self) -> String {
        match self {
            Self::Column(column) => column.value.clone(),
            Self::Rest { sample, .. } => sample.clone(),
        }
    }

    /// The spec's SQL.
    pub(super) fn sql(&self) -> String {
        match self {
            Self::Column(column) => column.sql.clone(),
            Self::Rest { spec, .. } => spec.clone(),
        }
    }

    /// The column's name, where it is one.
    pub(super) fn column(&self) -> Option<&Column> {
        match self {
            Self::Column(column) => Some(column),
            Self::Rest { .. } => None,
        }
    }
}

/// The name without case and without what spellings differ in.
pub(super) fn spelling(name: &str) -> String {
    let plain: String = name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    if plain.is_empty() { name.to_owned() } else { plain }
}

/// The name of one of several, as far as a final `s` tells.
pub(super) fn singular(name: &str) -> String {
    let name = spelling(name);
    match (name.strip_suffix("ies"), name.strip_suffix('s')) {
        (Some(stem), _) if stem.len() > 1 => format!("{stem}y"),
        (_, Some(stem)) if stem.len() > 1 && !stem.ends_with('s') => stem.to_owned(),
        _ => name,
    }
}

/// Maps a source to a target.
///
/// # Errors
/// What the engine says.
pub(super) fn map(
    entity: &str,
    source: &Side<'_>,
    target: &Side<'_>,
    warehouse: &Warehouse,
) -> Result<Mapping> {
    let mut left = source.columns.clone();
    // A field needs a name.
    let (mut open, nameless): (Vec<Column>, Vec<Column>) =
        target.columns.iter().cloned().partition(|column| !column.name.is_empty());
    let mut fields = Vec::new();
    pair(How::Name, &mut left, &mut open, &mut fields, |column| column.own_name.clone());
    pair(How::Spelling, &mut left, &mut open, &mut fields, |column| spelling(&column.own_name));
    let entity = singular(entity);
    pair(How::Entity, &mut left, &mut open, &mut fields, |column| match spelling(&column.own_name) {
        name if name == "id" => format!("{entity}id"),
        name => name,
    });
    derive(source, target, &mut open, &mut fields, warehouse)?;
    derive(target, source, &mut left, &mut fields, warehouse)?;
    dig(source, &mut left, &mut open, true, &mut fields, warehouse)?;
    dig(target, &mut open, &mut left, false, &mut fields, warehouse)?;
    moments(source, target, &mut fields, warehouse)?;
    let position = |field: &Field| {
        let name = |side: &Side<'_>, place: &Place| {
            let column = place.column()?;
            side.columns.iter().position(|known| known.name == column.name)
        };
        name(target, &field.target).or_else(|| name(source, &field.source)).unwrap_or(usize::MAX)
    };
    fields.sort_by_key(position);
    open.extend(nameless);
    Ok(Mapping { fields, only_source: left, only_target: open })
}

/// Pairs what has one name by some measure, and only what has it alone on its side.
fn pair(
    how: How,
    left: &mut Vec<Column>,
    open: &mut Vec<Column>,
    fields: &mut Vec<Field>,
    name: impl Fn(&Column) -> String,
) {
    let names = |side: &[Column]| side.iter().map(&name).collect::<Vec<_>>();
    let (of_left, of_open) = (names(left), names(open));
    let alone = |all: &[String], name: &String| all.iter().filter(|other| *other == name).count() == 1;
    let shared: Vec<&String> =
        of_open.iter().filter(|name| alone(&of_open, name) && alone(&of_left, name)).collect();
    for shared in shared {
        let taken = |side: &mut Vec<Column>| {
            let at = side.iter().position(|column| name(column) == *shared)?;
            Some(side.remove(at))
        };
        if let (Some(source), Some(target)) = (taken(left), taken(open)) {
            let name = if target.is_inside { &source.name } else { &target.name }.clone();
            fields.push(field(name, Place::Column(source), Place::Column(target), how));
        }
    }
}

/// Pairs what is left of one side with what is inside the maps that are left of the other.
fn dig(
    side: &Side<'_>,
    own: &mut Vec<Column>,
    others: &mut Vec<Column>,
    is_source: bool,
    fields: &mut Vec<Field>,
    warehouse: &Warehouse,
) -> Result<()> {
    let is_map = |column: &&Column| column.tags().is_some_and(|tags| tags == ["M"]) && !column.is_inside;
    let maps: Vec<Column> = own.iter().filter(is_map).cloned().collect();
    let mut inside = Vec::new();
    for map in maps.iter().filter(|_| !others.is_empty()) {
        inside.extend(side.sample.inside(warehouse, side.filter(), map)?);
    }
    let (all, before) = (inside.clone(), fields.len());
    for (how, measure) in [(How::Name, str::to_owned as fn(&str) -> String), (How::Spelling, spelling)] {
        let name = |column: &Column| measure(&column.own_name);
        match is_source {
            true => pair(how, &mut inside, others, fields, name),
            false => pair(how, others, &mut inside, fields, name),
        }
    }
    // A map of which some is mapped is not left out as a whole.
    let place = |field: &Field| if is_source { field.source.sql() } else { field.target.sql() };
    let mapped: Vec<String> = fields[before..].iter().map(place).collect();
    for map in maps {
        let of_map =
            |column: &&Column| column.sql == format!("{}.{}", map.sql, super::sql_name(&column.own_name));
        let (parts, rest): (Vec<&Column>, Vec<&Column>) =
            all.iter().filter(of_map).partition(|column| mapped.contains(&column.sql));
        if !parts.is_empty() {
            own.retain(|column| column.name != map.name);
            own.extend(rest.into_iter().cloned());
        }
    }
    Ok(())
}

/// A timestamp with its offset, as ISO 8601 or as a database prints it.
const MOMENT: &str = r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}(:?\d{2})?)";

/// Compares as instants what is text on both sides and in every row that was read a timestamp with its offset: the two may write
/// one instant in two ways. Between two schemaless sides texts are what they are.
fn moments(source: &Side<'_>, target: &Side<'_>, fields: &mut [Field], warehouse: &Warehouse) -> Result<()> {
    let is_text = |place: &Place| place.column().is_some_and(Column::is_text);
    let are_texts = |field: &Field| {
        let both = is_text(&field.source) && is_text(&field.target);
        both && !(source.is_schemaless() && target.is_schemaless())
    };
    let texts: Vec<usize> = (0..fields.len()).filter(|i| are_texts(&fields[*i])).collect();
    let values =
        |pick: fn(&Field) -> &Place| texts.iter().map(|i| pick(&fields[*i]).value()).collect::<Vec<_>>();
    let (ours, theirs) = (values(|field| &field.source), values(|field| &field.target));
    let of_source = source.sample.all_match(warehouse, source.filter(), &ours, MOMENT)?;
    let of_target = target.sample.all_match(warehouse, target.filter(), &theirs, MOMENT)?;
    for ((i, a), b) in texts.into_iter().zip(of_source).zip(of_target) {
        if a && b {
            fields[i].ty = Some(Type::Timestamp);
            fields[i].remark = Some("every value read is a timestamp with its offset".to_owned());
        }
    }
    Ok(())
}

/// Finds for the columns that are left of one side what of the other's key they are, where that is one kind of items of a table
/// of several: `USER#123` has the `id` 123 in its key alone.
fn derive(
    items: &Side<'_>,
    other: &Side<'_>,
    columns: &mut Vec<Column>,
    fields: &mut Vec<Field>,
    warehouse: &Warehouse,
) -> Result<()> {
    let Some(group) = &items.group else { return Ok(()) };
    let mut rests = group.rests.clone();
    for in_key in [true, false] {
        for column in columns.clone() {
            if other.sample.key.contains(&column.name) != in_key {
                continue;
            }
            let Some((at, how)) = best_rest(items, other, &column, &rests, in_key, warehouse)? else {
                continue;
            };
            let (spec, sample) = rests.remove(at);
            columns.retain(|known| known.name != column.name);
            let (rest, name) = (Place::Rest { spec, sample }, column.name.clone());
            fields.push(match items.word {
                "source" => field(name, rest, Place::Column(column), how),
                _ => field(name, Place::Column(column), rest, how),
            });
        }
    }
    Ok(())
}

/// The rest of a key whose values a column has most of; for the other side's own key the first, should there be no such value.
fn best_rest(
    items: &Side<'_>,
    other: &Side<'_>,
    column: &Column,
    rests: &[(String, String)],
    is_key: bool,
    warehouse: &Warehouse,
) -> Result<Option<(usize, How)>> {
    let theirs = other.sample.texts_sql(other.filter(), &column.value);
    let mut best: Option<(usize, u64, u64)> = None;
    for (at, (_, rest)) in rests.iter().enumerate().filter(|_| items.rows > 0 && other.rows > 0) {
        let ours = items.sample.texts_sql(items.filter(), rest);
        let pieces = [("ours", ours.as_str()), ("theirs", &theirs)];
        let sql = render(include_str!("../../../queries/init/shared_values.sql"), &pieces);
        let counts: Vec<u64> = warehouse
            .integers(&sql)?
            .into_iter()
            .flatten()
            .map(|n| u64::try_from(n.unwrap_or(0)).unwrap_or(0))
            .collect();
        let [found, of] = counts[..] else { continue };
        if found * 2 >= of.min(column.distinct) && found > 0 && best.is_none_or(|(_, most, _)| found > most) {
            best = Some((at, found, of));
        }
    }
    Ok(match best {
        Some((at, found, of)) => Some((at, How::Values { found, of })),
        None => (is_key && !rests.is_empty()).then_some((0, How::Guess)),
    })
}

fn field(name: String, source: Place, target: Place, how: How) -> Field {
    let rule = Rule::default();
    let (mut ty, mut remark, mut is_compared) = (None, None, true);
    if let Err(reason) = resolve(source.store(), target.store(), None, &rule) {
        ty = safe_type(source.store(), target.store());
        ty = ty.filter(|ty| resolve(source.store(), target.store(), Some(*ty), &rule).is_ok());
        is_compared = ty.is_some();
        remark = (!is_compared).then(|| format!("not compared yet: {reason}"));
    }
    if let (StoreType::Timestamp { zoned: a }, StoreType::Timestamp { zoned: b }) =
        (source.store(), target.store())
        && a != b
    {
        is_compared = false;
        let side = if *a { "target" } else { "source" };
        remark = Some(format!(
            "with a time zone against without: not compared until the {side}'s dataset has a `timezone`"
        ));
    }
    Field { name, source, target, how, ty, remark, is_compared }
}

/// A type in which two types can be compared without anything being lost, where they are not by themselves.
fn safe_type(a: &StoreType, b: &StoreType) -> Option<Type> {
    one_way(a, b).or_else(|| one_way(b, a))
}

fn one_way(a: &StoreType, b: &StoreType) -> Option<Type> {
    use StoreType as S;
    let tags: Vec<&str> = match a {
        S::Document { tags, .. } => tags.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    };
    let is_text = matches!(a, S::Text) || tags == ["S"];
    let is_tree = matches!(a, S::Json | S::Map | S::List)
        || (!tags.is_empty() && tags.iter().all(|t| matches!(*t, "M" | "L")));
    Some(match b {
        S::Int if is_text => Type::Int,
        S::Decimal(_) | S::Number if is_text => Type::Decimal(None),
        S::Float32 | S::Float64 if is_text => Type::Float,
        S::Bool | S::BoolInt if is_text => Type::Bool,
        S::Int | S::BoolInt if matches!(a, S::Bool) || tags == ["BOOL"] => Type::Bool,
        S::Timestamp { .. } if is_text || matches!(a, S::Date) => Type::Timestamp,
        S::Date if is_text => Type::Date,
        S::Time if is_text => Type::Time,
        S::TimeTz if is_text => Type::TimeTz,
        S::Interval if is_text => Type::Interval,
        S::Uuid if is_text => Type::Uuid,
        S::Json if is_text || is_tree => Type::Json,
        S::Text | S::Untyped if is_tree => Type::Json,
        // As text, `1` is not `01`.
        S::Text | S::Untyped if tags == ["N"] || tags == ["BOOL"] || tags.len() > 1 => Type::String,
        _ => return None,
    })
}
