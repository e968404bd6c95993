//! DynamoDB as a target. It has no transaction over a batch: what is there is read, the old images of a batch are put on disk, and
//! only then its items are written, one by one, each on the condition that nobody changed it since.
//!
//! No mark stays in anybody's items. A batch that may be there in part is read again: an item that is what it was to become was
//! written, one that is its old image was not, and anything else is somebody else's change, which is reported and left alone.

mod encode;
mod find;
mod link;
mod merge;
mod session;
mod tempo;
mod undo;
mod write;

use aws_sdk_dynamodb::types::{ScalarAttributeType, TableDescription, TableStatus};
use sha2::{Digest, Sha256};

use self::encode::{encode, encode_key, key_type_of};
use self::link::Link;
use self::merge::{Wanted, path_of};
use self::session::DynamodbSession;
pub use self::undo::DynamodbUndo;
use super::mapped::{Mapped, check_places};
use super::script::{Frame, Scripted};
use super::{Batch, Defaults, Fault, Session, Target, Trouble};
use crate::error::{Error, Result};
use crate::spec::{DynamodbOptions, OnConflict};
use crate::store::dynamodb::{self, Item, item, key_names, key_type};
use crate::store::net::block_on;
use crate::value::Value;

/// Batches under way at once.
const BATCHES: usize = 2;
/// Requests that each of them has under way.
const REQUESTS: usize = 5;
/// Bytes of an item.
const ITEM_BYTES_MAX: u64 = 400 << 10;
/// Bytes of an item that one write unit pays for.
const UNIT_BYTES: u64 = 1 << 10;

/// A table of DynamoDB.
pub struct DynamodbTarget<'a> {
    mapped: &'a Mapped<'a>,
    link: Link,
    fingerprint: String,
    /// The types of the key's attributes, in the order of the entity's key.
    key_types: Vec<ScalarAttributeType>,
    /// The place in the table's key of each of the entity's.
    key_places: Vec<usize>,
    units_a_second: Option<u64>,
}

impl<'a> DynamodbTarget<'a> {
    /// Looks the table up.
    ///
    /// # Errors
    /// A key that is not the table's, attributes of which one lies in another, a rule in SQL (exit 2); a table that is not there, may
    /// not be looked at, or is not ready.
    pub fn open(options: &DynamodbOptions, mapped: &'a Mapped<'a>) -> Result<Self> {
        let place = dynamodb::place(options);
        let (client, table) = block_on(async {
            let client = dynamodb::client(options).await;
            let table = dynamodb::describe(&client, options).await?;
            Ok::<_, Error>((client, table))
        })?;
        is_ready(&table, &place)?;
        let names = key_names(&table);
        let key_types = check_key(mapped, &table, &names, &place)?;
        check_attributes(mapped, &place)?;
        let of = |name: &String| names.iter().position(|n| n == name).unwrap_or_default();
        let units = table.provisioned_throughput().and_then(|t| t.write_capacity_units());
        Ok(Self {
            mapped,
            fingerprint: fingerprint(options, &table),
            key_places: mapped.key().iter().map(|column| of(&column.name)).collect(),
            key_types,
            units_a_second: units.and_then(|units| u64::try_from(units).ok()).filter(|units| *units > 0),
            link: Link::new(&client, options, names),
        })
    }

    /// A record as attributes.
    ///
    /// # Errors
    /// A value that DynamoDB cannot hold.
    fn wanted(&self, row: usize, values: &[Value<'_>]) -> Result<Wanted, Fault> {
        wanted(self.mapped, row, values, (&self.key_types, &self.key_places))
    }

    /// A new item of a record, where it is not too large.
    fn new_item(&self, values: &[Value<'_>]) -> Result<Item, Fault> {
        new_item(self.mapped, values, &self.key_types, &self.key_places)
    }
}

/// A record as attributes; of each of the key's its type and its place in the table's key.
fn wanted(
    mapped: &Mapped<'_>,
    row: usize,
    values: &[Value<'_>],
    (types, places): (&[ScalarAttributeType], &[usize]),
) -> Result<Wanted, Fault> {
    let (mut key, mut attributes) = (Item::new(), Vec::with_capacity(values.len()));
    for (i, (column, value)) in mapped.columns.iter().zip(values).enumerate() {
        if let (true, Some(ty)) = (column.is_key, types.get(i)) {
            key.insert(column.name.clone(), encode_key(column, value, places[i], ty)?);
            attributes.push(None);
        } else {
            attributes.push(encode(column, value, mapped.writes_null())?);
        }
    }
    Ok(Wanted { row, key, attributes })
}

/// The item that a record becomes where there is none yet. `types` and `places` are those of the key's columns.
///
/// # Errors
/// What DynamoDB cannot hold.
pub(super) fn new_item(
    mapped: &Mapped<'_>,
    values: &[Value<'_>],
    types: &[ScalarAttributeType],
    places: &[usize],
) -> Result<Item, Fault> {
    let item = merge::merge(mapped, &wanted(mapped, 0, values, (types, places))?, None)?;
    check_size(&item).map(|_| item)
}

/// An item's size in bytes.
///
/// # Errors
/// One that DynamoDB does not hold.
fn check_size(item: &Item) -> Result<u64, Fault> {
    match item::size(item) {
        size if size > ITEM_BYTES_MAX => {
            let message = format!("an item of {size} bytes, where DynamoDB holds {ITEM_BYTES_MAX}");
            Err(Fault::permanent("too_large", None, message))
        }
        size => Ok(size),
    }
}

/// What tells the table from others.
fn fingerprint(options: &DynamodbOptions, table: &TableDescription) -> String {
    let arn = table.table_arn().unwrap_or(&options.table);
    let at = options.endpoint.as_ref().map(|endpoint| format!(" at {endpoint}")).unwrap_or_default();
    format!("dynamodb {arn}{at}")
}

/// Hex SHA-256 of an item, however it is spelled.
fn digest(item: &Item) -> String {
    Sha256::digest(item::canonical(item)).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_ready(table: &TableDescription, place: &str) -> Result<()> {
    match table.table_status() {
        // While it is updated (capacity, an index), a table is read and written as ever.
        None | Some(TableStatus::Active | TableStatus::Updating) => Ok(()),
        Some(other) => Err(Error::failed(format!("{place} is {}, so it cannot be written", other.as_str()))
            .help("wait until it is ACTIVE, then run the same command again")),
    }
}

/// The types of the key's attributes.
fn check_key(
    mapped: &Mapped<'_>,
    table: &TableDescription,
    names: &[String],
    place: &str,
) -> Result<Vec<ScalarAttributeType>> {
    let key = mapped.key();
    let (mut own, mut theirs): (Vec<_>, Vec<_>) =
        (key.iter().map(|column| path_of(column).join(".")).collect(), names.to_vec());
    own.sort();
    theirs.sort();
    if own != theirs {
        return Err(Error::usage(format!(
            "{place}: the entity's key is ({}), and the table's is ({})",
            key.iter().map(|column| path_of(column).join(".")).collect::<Vec<_>>().join(", "),
            names.join(", ")
        ))
        .help(format!("key = [{}]", names.iter().map(|n| format!("{n:?}")).collect::<Vec<_>>().join(", "))));
    }
    let mut types = Vec::new();
    for column in key {
        let ty = key_type(table, &column.name).unwrap_or(ScalarAttributeType::S);
        let class = column.class();
        if let Some(is) = class.and_then(key_type_of).filter(|is| *is != ty) {
            let word = class.map_or("", |class| class.word());
            let types = match ty {
                ScalarAttributeType::N => "int",
                ScalarAttributeType::B => "bytes",
                _ => "string",
            };
            let would = match is {
                ScalarAttributeType::S | ScalarAttributeType::N | ScalarAttributeType::B => {
                    format!("would be of type {}", is.as_str())
                }
                _ => "is no type of key".to_owned(),
            };
            return Err(Error::usage(format!(
                "{place}: key `{}` is of type {}, and a {word} {would}",
                column.name,
                ty.as_str()
            ))
            .help(format!("give field `{}` `type = \"{types}\"`, or cast it in its `from`", column.field)));
        }
        types.push(ty);
    }
    Ok(types)
}

/// Rules in SQL have nobody to run them.
fn check_attributes(mapped: &Mapped<'_>, place: &str) -> Result<()> {
    for column in &mapped.columns {
        if matches!(column.on_conflict, OnConflict::Sql(_)) {
            return Err(Error::usage(format!(
                "{place}: field `{}` has `on_conflict` in SQL, which DynamoDB does not run",
                column.field
            ))
            .help("use `overwrite`, `keep`, `coalesce` or `greatest`"));
        }
    }
    check_places(mapped).map_err(|e| e.of(place))
}

impl Target for DynamodbTarget<'_> {
    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn defaults(&self) -> Defaults {
        Defaults { batch_records: 500, concurrency: BATCHES }
    }

    fn preview(&self, values: &[Value<'_>]) -> Result<Vec<Option<String>>, Fault> {
        self.new_item(values)?;
        Ok(values.iter().map(|value| value.display().map(|text| text.into_owned())).collect())
    }

    /// A unit a started KB of the item, indexes left out.
    fn cost(&self, values: &[Value<'_>]) -> Result<Option<u64>, Fault> {
        Ok(Some(check_size(&self.new_item(values)?)?.div_ceil(UNIT_BYTES).max(1)))
    }

    fn units_a_second(&self) -> Option<u64> {
        self.units_a_second
    }

    fn writes_in_parts(&self) -> bool {
        true
    }

    fn script_frame(&self) -> Result<Frame> {
        Ok(Frame { comment: None, head: "", foot: "" })
    }

    fn script(&self, batch: &Batch<'_>, out: &mut String) -> Result<Scripted, Trouble> {
        DynamodbSession::new(self).script(batch, out)
    }

    fn session(&self) -> Result<Box<dyn Session + '_>, Trouble> {
        Ok(Box::new(DynamodbSession::new(self)))
    }

    /// Nothing of recon's is there.
    fn forget(&self, _run_id: &str, _entity: &str) -> Result<()> {
        Ok(())
    }
}
