//! What serde reads of a spec, before anything is checked.
//!
//! The doc comments of these structs are what an editor shows: they become the JSON Schema of [`super::json_schema`].
//! Words out of a fixed list are plain strings here, so that `check.rs` can say "did you mean".

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use toml::Spanned;

use super::words;

/// A value and the bytes of the file that it was read from.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<T>::deserialize(deserializer)?;
        Ok(Self { span: spanned.span(), value: spanned.into_inner() })
    }
}

/// A place makes no difference to the schema.
impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A TOML table whose keys are the user's own names, in the order of the file.
#[derive(Debug)]
pub(super) struct Named<T>(pub(super) Vec<(At<String>, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(NamedVisitor(PhantomData))
    }
}

struct NamedVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for NamedVisitor<T> {
    type Value = Named<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named<T>, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Named(entries))
    }
}

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Named_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": generator.subschema_for::<T>() })
    }
}

/// Either a string, which is the short form, or a table with everything.
#[derive(Debug)]
pub(super) enum ShortOr<T> {
    Short(String),
    Long(Box<T>),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for ShortOr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShortOrVisitor(PhantomData))
    }
}

struct ShortOrVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ShortOrVisitor<T> {
    type Value = ShortOr<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a table")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(ShortOr::Short(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(|table| ShortOr::Long(Box::new(table)))
    }
}

impl<T: JsonSchema> JsonSchema for ShortOr<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("string_or_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string", "minLength": 1 }, generator.subschema_for::<T>()] })
    }
}

/// A number as TOML has it, or a string that holds one (or a duration).
#[derive(Clone, Debug)]
pub(super) enum RawAmount {
    Integer(i64),
    /// A float or a large whole number, of which only the file's own text is exact: it is read from the span.
    Float,
    Text(String),
}

impl<'de> Deserialize<'de> for RawAmount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AmountVisitor)
    }
}

struct AmountVisitor;

impl Visitor<'_> for AmountVisitor {
    type Value = RawAmount;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or a string")
    }

    fn visit_i64<E>(self, number: i64) -> Result<RawAmount, E> {
        Ok(RawAmount::Integer(number))
    }

    fn visit_f64<E>(self, _: f64) -> Result<RawAmount, E> {
        Ok(RawAmount::Float)
    }

    fn visit_i128<E>(self, _: i128) -> Result<RawAmount, E> {
        Ok(RawAmount::Float)
    }

    fn visit_u128<E>(self, _: u128) -> Result<RawAmount, E> {
        Ok(RawAmount::Float)
    }

    fn visit_str<E>(self, text: &str) -> Result<RawAmount, E> {
        Ok(RawAmount::Text(text.to_owned()))
    }
}

impl JsonSchema for RawAmount {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Amount".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "number", "minimum": 0 }, { "type": "string", "minLength": 1 }] })
    }
}

/// A value that a rule names, which may be negative: a number as TOML has it, or a string.
#[derive(Clone, Debug)]
pub(super) struct RawBound(pub(super) RawAmount);

impl<'de> Deserialize<'de> for RawBound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        RawAmount::deserialize(deserializer).map(Self)
    }
}

impl JsonSchema for RawBound {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Bound".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["number", "string"] })
    }
}

/// `length`: a number, or a table of `min` and `max`.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawLength {
    pub(super) min: Option<u64>,
    pub(super) max: Option<u64>,
}

/// `length` as a table.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
#[schemars(rename = "Length")]
struct RawLengths {
    /// The least length.
    min: Option<u64>,
    /// The greatest length.
    max: Option<u64>,
}

impl<'de> Deserialize<'de> for RawLength {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LengthVisitor)
    }
}

struct LengthVisitor;

impl<'de> Visitor<'de> for LengthVisitor {
    type Value = RawLength;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or a table of `min` and `max`")
    }

    fn visit_i64<E: serde::de::Error>(self, length: i64) -> Result<RawLength, E> {
        let length = u64::try_from(length).map_err(|_| E::custom("a length is not negative"))?;
        Ok(RawLength { min: Some(length), max: Some(length) })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawLength, A::Error> {
        let RawLengths { min, max } = RawLengths::deserialize(MapAccessDeserializer::new(map))?;
        Ok(RawLength { min, max })
    }
}

impl JsonSchema for RawLength {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "LengthOrTable".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<RawLengths>();
        json_schema!({ "anyOf": [{ "type": "integer", "minimum": 0 }, table] })
    }
}

/// What the two sides of a migration are and how they correspond.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
#[schemars(rename = "Spec", title = "recon.toml")]
pub(super) struct RawSpec {
    /// What can be staged, by name: an export, a table, a set of files.
    #[schemars(required)]
    pub(super) datasets: Option<Named<RawDataset>>,
    /// Logical record types, by name: where each is on both sides, its key, its fields.
    #[schemars(required)]
    pub(super) entities: Option<Named<RawEntity>>,
    /// Commands that are told how a run goes, each by one JSON object on its stdin. Whoever can edit the spec can run commands by them.
    pub(super) hooks: Option<RawHooks>,
}

/// Commands that are told how a run goes: a program and its arguments, or one string for `sh -c`. They are run as they stand here.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
#[schemars(rename = "Hooks")]
pub(super) struct RawHooks {
    /// stage, diff, migrate, replay: when the run begins or goes on.
    pub(super) on_start: Option<At<RawCommand>>,
    /// stage: after each file or range; migrate, replay: after each batch.
    pub(super) on_unit: Option<At<RawCommand>>,
    /// stage, migrate, replay: at most once a second while the run goes on.
    pub(super) on_progress: Option<At<RawCommand>>,
    /// stage, diff, migrate, replay: when the run is over, however it ended.
    pub(super) on_complete: Option<At<RawCommand>>,
}

/// A command: a string for the shell, or a program and its arguments.
#[derive(Clone, Debug)]
pub(super) enum RawCommand {
    Shell(String),
    Program(Vec<String>),
}

impl<'de> Deserialize<'de> for RawCommand {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CommandVisitor)
    }
}

struct CommandVisitor;

impl<'de> Visitor<'de> for CommandVisitor {
    type Value = RawCommand;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or an array of strings")
    }

    fn visit_str<E>(self, text: &str) -> Result<RawCommand, E> {
        Ok(RawCommand::Shell(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut words: A) -> Result<RawCommand, A::Error> {
        let mut all = Vec::new();
        while let Some(word) = words.next_element()? {
            all.push(word);
        }
        Ok(RawCommand::Program(all))
    }
}

impl JsonSchema for RawCommand {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Command".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "string", "minLength": 1 },
            { "type": "array", "items": { "type": "string" }, "minItems": 1 },
        ] })
    }
}

/// One physical thing that can be staged. In every string but `kind`, `encoding`, `compression` and `query`, `${NAME}` stands for an
/// environment variable and `$${` for a plain `${`.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
#[schemars(rename = "Dataset")]
pub(super) struct RawDataset {
    /// What it is.
    #[schemars(required, extend("enum" = words::KINDS))]
    pub(super) kind: Option<At<String>>,
    /// A file, a folder, a glob or an `s3://` location; for dynamodb-export the export's folder. A relative path starts at the
    /// spec's folder.
    pub(super) uri: Option<At<String>>,
    /// IANA zone (`Europe/Zurich`) or fixed offset (`+02:00`) of the timestamps that carry none.
    pub(super) timezone: Option<At<String>>,
    /// csv: the character between cells, `,` if not given.
    pub(super) delimiter: Option<At<String>>,
    /// csv: the character around quoted cells, `"` if not given.
    pub(super) quote: Option<At<String>>,
    /// csv: whether the first record of each file names the columns. True if not given, unless `columns` is. Without a
    /// header and without `columns` the columns are called c1, c2, ….
    pub(super) header: Option<At<bool>>,
    /// csv: the columns' names where there is no header.
    pub(super) columns: Option<At<Vec<At<String>>>>,
    /// csv: unquoted texts that mean NULL, besides the empty one.
    pub(super) null_tokens: Option<Vec<At<String>>>,
    /// csv: how bytes fields are written, `hex` (`\x…`) if not given.
    #[schemars(extend("enum" = words::ENCODINGS))]
    pub(super) encoding: Option<At<String>>,
    /// csv, jsonl, parquet, where it is written: how its files are compressed; `none` if not given, for parquet `zstd`.
    #[schemars(extend("enum" = words::COMPRESSIONS))]
    pub(super) compression: Option<At<String>>,
    /// dynamodb-export: the incremental exports that follow the full one, in order.
    pub(super) increments: Option<Vec<At<String>>>,
    /// dynamodb-export: accept a gap or an overlap between the windows of the chain; every report then shows it.
    pub(super) allow_gap: Option<bool>,
    /// sqlite: the database's file.
    pub(super) path: Option<At<String>>,
    /// postgres, mysql: where the database is. Take secrets from the environment: `${DATABASE_URL}`.
    pub(super) url: Option<At<String>>,
    /// sqlite, postgres, mysql: a table in SQL identifier syntax (`public."Odd.Name"`). dynamodb: the table's name.
    pub(super) table: Option<At<String>>,
    /// sqlite, postgres, mysql: a query in place of a table.
    pub(super) query: Option<At<String>>,
    /// sqlite, postgres, mysql: a file with the query.
    pub(super) query_file: Option<At<String>>,
    /// dynamodb, object storage: the region.
    pub(super) region: Option<At<String>>,
    /// dynamodb, object storage: another endpoint than the region's own.
    pub(super) endpoint: Option<At<String>>,
    /// dynamodb: how many segments are scanned in parallel.
    pub(super) segments: Option<At<u32>>,
    /// dynamodb: strongly consistent reads, at twice the price.
    pub(super) consistent: Option<bool>,
    /// dynamodb: only the items of this partition key, read by Query.
    pub(super) partition: Option<At<String>>,
    /// dynamodb, with `partition`: only the items whose sort key begins like this.
    pub(super) sort_prefix: Option<At<String>>,
    /// dynamodb: most read capacity units a second.
    pub(super) max_rcu: Option<At<u32>>,
    /// Object storage: the bucket is part of the path, not of the host.
    pub(super) path_style: Option<At<bool>>,
    /// Object storage: requests are not signed.
    pub(super) unsigned: Option<At<bool>>,
    /// Object storage: whoever asks pays for the requests.
    pub(super) requester_pays: Option<At<bool>>,
}

/// One logical record type.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
#[schemars(rename = "Entity")]
pub(super) struct RawEntity {
    /// The dataset it comes from.
    #[schemars(required)]
    pub(super) source: Option<At<String>>,
    /// The dataset it is in afterwards.
    #[schemars(required)]
    pub(super) target: Option<At<String>>,
    /// SQL over the source's rows that selects this entity's.
    #[serde(rename = "where")]
    pub(super) source_filter: Option<At<String>>,
    /// SQL over the target's rows that selects this entity's.
    pub(super) target_where: Option<At<String>>,
    /// The fields that identify a record, in order. Without a key, whole rows are compared.
    pub(super) key: Option<Vec<At<String>>>,
    /// SQL over the source's rows: rows that agree in it fold into one record, and `from` may use aggregates.
    pub(super) group_by: Option<At<Vec<At<String>>>>,
    /// migrate: which records are written: `upsert`, if not given, `insert-only` or `update-only`.
    #[schemars(extend("enum" = words::POLICIES))]
    pub(super) write: Option<At<String>>,
    /// migrate: the field that holds a record's version; a record that is there is overwritten only by a higher one.
    pub(super) version: Option<At<String>>,
    /// migrate, dynamodb: what becomes of NULL: `omit` leaves the attribute out, `null` writes DynamoDB's NULL; if not
    /// given, a table's NULL is left out and a document's is written.
    #[schemars(extend("enum" = words::WRITE_NULLS))]
    pub(super) write_null: Option<At<String>>,
    /// migrate, dynamodb: nobody else writes to the table meanwhile, so that items may be written 25 at a time and without
    /// conditions.
    pub(super) exclusive: Option<bool>,
    /// migrate: columns of the target that say where each record came from.
    pub(super) provenance: Option<RawProvenance>,
    /// validate, migrate: lists of fields whose values no two records share. A record with a NULL among them shares nothing.
    pub(super) unique: Option<Vec<At<Vec<At<String>>>>>,
    /// validate, migrate: SQL over the entity's fields that holds for every record: name = "condition". NULL is no violation.
    pub(super) checks: Option<Named<At<String>>>,
    /// The compared values: field = SQL over the source's attributes, or a table with more. If not given, all fields with
    /// the same name on both sides are compared.
    pub(super) fields: Option<Named<At<ShortOr<RawField>>>>,
    /// What this entity's fields refer to: field = "entity.field", or a table for a composite key.
    pub(super) references: Option<Named<At<ShortOr<RawReference>>>>,
}

/// One compared value of a record and how it is compared: exactly, if no rule is given.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
#[schemars(rename = "Field")]
pub(super) struct RawField {
    /// SQL over the source's attributes; the attribute of the field's own name if not given.
    pub(super) from: Option<At<String>>,
    /// SQL over the target's columns; the column of the field's own name if not given.
    pub(super) to: Option<At<String>>,
    /// Its type, if not the one that the stores say. From CSV it is string unless given.
    #[serde(rename = "type")]
    #[schemars(extend("anyOf" = words::type_choices()))]
    pub(super) ty: Option<At<String>>,
    /// Largest accepted difference, inclusive: a number, or for times a duration such as "1.5s" (ns, us, ms, s, m, h, d).
    pub(super) tolerance: Option<At<RawAmount>>,
    /// Largest accepted difference, inclusive, as a share of the larger of the two absolute values.
    pub(super) relative: Option<At<RawAmount>>,
    /// Unit to which times are cut before they are compared.
    #[schemars(extend("enum" = words::PRECISIONS))]
    pub(super) precision: Option<At<String>>,
    /// How `precision` gets there: `truncate`, if not given, or `round` (half away from zero).
    #[schemars(extend("enum" = words::ROUNDINGS))]
    pub(super) rounding: Option<At<String>>,
    /// Normalisations of text: trim, collapse (white space), casefold, nfc.
    #[schemars(extend("items" = words::text_choices()))]
    pub(super) text: Option<At<Vec<At<String>>>>,
    /// What absent, NULL and the empty string mean; if not given, absent equals NULL where a side cannot express absence.
    #[schemars(extend("enum" = words::NULLS))]
    pub(super) nulls: Option<At<String>>,
    /// Compare as JSON documents: key order free, numbers exact, array order kept.
    pub(super) json: Option<At<bool>>,
    /// Compare without regard to order.
    pub(super) set: Option<At<bool>>,
    /// Own predicate over `source` and `target`; a NULL result is unequal.
    pub(super) sql: Option<At<String>>,
    /// migrate: what becomes of the field where the record is there already: `overwrite`, if not given, `keep`, `coalesce`
    /// (the new value unless it is NULL) or `greatest`.
    #[schemars(extend("enum" = words::ON_CONFLICTS))]
    pub(super) on_conflict: Option<At<String>>,
    /// migrate, SQL targets: the same as SQL of the target over `old.COLUMN` and `new.COLUMN`.
    pub(super) on_conflict_sql: Option<At<String>>,
    /// validate, migrate: there is a value, neither NULL nor absent.
    pub(super) required: Option<At<bool>>,
    /// validate, migrate: the least value of a number or a time.
    pub(super) min: Option<At<RawBound>>,
    /// validate, migrate: the greatest value of a number or a time.
    pub(super) max: Option<At<RawBound>>,
    /// validate, migrate: characters of a text, bytes, or elements of a list or a set: how many, or at least and at most.
    pub(super) length: Option<At<RawLength>>,
    /// validate, migrate: a regular expression that a text has somewhere in it; `^…$` for the whole of it.
    pub(super) pattern: Option<At<String>>,
    /// validate, migrate: the only values.
    pub(super) one_of: Option<At<Vec<At<RawBound>>>>,
    /// validate, migrate: SQL that holds for the field's `value`; the entity's other fields are there under their names. NULL is
    /// no violation.
    pub(super) check: Option<At<String>>,
    /// Left out of the comparison, on purpose. It is not written either, unless `from` is given.
    pub(super) ignore: Option<At<bool>>,
}

/// Columns of the target that say where a record came from.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
#[schemars(rename = "Provenance")]
pub(super) struct RawProvenance {
    /// The column for the run's id.
    pub(super) run: Option<At<String>>,
    /// The column for the moment when the run began.
    pub(super) at: Option<At<String>>,
    /// The column for the record's key; a JSON array where the key has several fields.
    pub(super) source_key: Option<At<String>>,
    /// The column for the value of the `version` field in the source.
    pub(super) source_version: Option<At<String>>,
}

/// A reference over several fields, or one whose names hold dots.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
#[schemars(rename = "Reference")]
pub(super) struct RawReference {
    /// The referring fields of this entity; if not given, the field that the reference is named after.
    pub(super) fields: Option<Vec<At<String>>>,
    /// The entity referred to.
    #[schemars(required)]
    pub(super) entity: Option<At<String>>,
    /// Its fields, as many as `fields`; its key if not given.
    pub(super) to: Option<At<Vec<At<String>>>>,
}
