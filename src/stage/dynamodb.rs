//! DynamoDB tables: a parallel scan, or a query of one partition. Indexes are never used in the table's place.
//!
//! A table has no snapshot: while it is written to, its items are read at different moments, and every report says so. The
//! step of a staging is a segment (`Scan`'s `Segment` of `TotalSegments`); there are so many of them that none is long.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{
    AttributeValue, KeysAndAttributes, ReturnConsumedCapacity, ScalarAttributeType, TableDescription,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use xxhash_rust::xxh3::Xxh3;

use super::document::json_text::Cursor;
use super::document::typed::{read_item, salvage};
use super::document::{DocumentBuilder, Names, Stop};
use super::input::Digests;
use super::sink::{Failure, PartWriter, UnitSink};
use super::{Keys, Source, Stamp, Unit};
use crate::error::{Error, Result};
use crate::event::{self, Progress};
use crate::spec::DynamodbOptions;
use crate::store::aws::{Refused, patiently};
use crate::store::dynamodb::item::{attribute, read_key, write_item};
use crate::store::dynamodb::{self, Item, key_names, key_type};
use crate::store::net::block_on;
use crate::store::table::{TableColumn, TableFacts};
use crate::value::column::ColumnType;
use crate::value::{Number, Value};

/// About so much of a table is one segment.
const SEGMENT_BYTES: u64 = 64 << 20;
/// More segments than this do not make the step shorter in any way that counts.
const SEGMENTS_MAX: u64 = 4_096;
/// About so much of a segment is a step, in bytes of DynamoDB JSON: what was read before is not read again after a kill.
const STEP_BYTES: u64 = 16 << 20;
/// Between a segment's name and the key behind which a later step of it begins.
const AFTER: &str = ", after ";
/// Keys of one `BatchGetItem` (DynamoDB's limit).
const KEYS_AT_ONCE: usize = 100;
/// Between two looks at whether somebody wants to stop.
const TICK: Duration = Duration::from_millis(100);

/// Opens a table.
///
/// # Errors
/// No credentials; a table that is not there or may not be read.
pub(crate) fn open(options: &DynamodbOptions, names: Arc<Names>) -> Result<Box<dyn Source>> {
    let place = dynamodb::place(options);
    let (client, table) = block_on(async {
        let client = dynamodb::client(options).await;
        let table = dynamodb::describe(&client, options).await?;
        Ok::<_, Error>((client, table))
    })?;
    let keys = key_names(&table);
    let is_binary = |name: &String| key_type(&table, name) == Some(ScalarAttributeType::B);
    if let Some(partition) = options.partition.as_ref().filter(|_| is_binary(&keys[0]))
        && STANDARD.decode(partition).is_err()
    {
        return Err(Error::usage(format!(
            "{place}: its partition key is binary, and `partition` is no base64"
        ))
        .help("write the key's bytes in base64, as DynamoDB's JSON does"));
    }
    if options.sort_prefix.is_some() && keys.len() < 2 {
        return Err(Error::failed(format!("{place} has no sort key, so `sort_prefix` means nothing"))
            .help("leave `sort_prefix` out"));
    }
    Ok(Box::new(DynamodbSource {
        client,
        options: options.clone(),
        names,
        place,
        table,
        keys,
        only: None,
        pace: Pace::default(),
    }))
}

struct DynamodbSource {
    client: Client,
    options: DynamodbOptions,
    names: Arc<Names>,
    place: String,
    table: TableDescription,
    keys: Vec<String>,
    only: Option<Keys>,
    pace: Pace,
}

/// Read capacity units that were used since the first request, by all segments together.
#[derive(Default)]
struct Pace(Mutex<Option<(Instant, f64)>>);

impl Pace {
    /// Counts units, and says how long to wait until so many were allowed.
    fn spend(&self, units: f64, most: u32) -> Duration {
        let mut spent = self.0.lock().expect("nobody panics while counting");
        let (began, sum) = spent.get_or_insert_with(|| (Instant::now(), 0.0));
        *sum += units;
        Duration::from_secs_f64(*sum / f64::from(most)).saturating_sub(began.elapsed())
    }
}

/// What a unit reads.
enum Part {
    Segment { number: i32, of: i32 },
    Partition,
    Keys,
}

/// A page of items, and from where to go on.
struct Page {
    items: Vec<Item>,
    next: Option<Item>,
    units: f64,
}

impl DynamodbSource {
    fn parts(&self) -> Vec<(String, Part)> {
        let table = &self.options.table;
        if self.only.is_some() {
            return vec![(format!("{table} keys"), Part::Keys)];
        }
        if self.options.partition.is_some() {
            return vec![(format!("{table} partition"), Part::Partition)];
        }
        let size = u64::try_from(self.table.table_size_bytes().unwrap_or(0)).unwrap_or(0);
        // A power of two, so that a table that grew a little keeps its segments.
        let suggested = (size / SEGMENT_BYTES + 1).next_power_of_two().clamp(4, SEGMENTS_MAX);
        let of = self.options.segments.map_or(suggested as i32, |n| i32::try_from(n).unwrap_or(i32::MAX));
        (0..of)
            .map(|number| (format!("{table} segment {number} of {of}"), Part::Segment { number, of }))
            .collect()
    }

    async fn ask(&self, part: &Part, start: Option<Item>, wanted: &mut Vec<Item>) -> Result<Page, Refused> {
        match part {
            Part::Segment { number, of } => {
                let request =
                    self.client.scan().table_name(&self.options.table).segment(*number).total_segments(*of);
                let request = request
                    .consistent_read(self.options.consistent)
                    .return_consumed_capacity(ReturnConsumedCapacity::Total)
                    .set_exclusive_start_key(start);
                let page = request.send().await.map_err(|e| Refused::new(&self.place, e))?;
                let units = page.consumed_capacity.and_then(|c| c.capacity_units).unwrap_or(0.0);
                Ok(Page { items: page.items.unwrap_or_default(), next: page.last_evaluated_key, units })
            }
            Part::Partition => {
                let key_type = |name: &str, text: &str| self.key_value(name, text);
                let partition = self.options.partition.as_deref().unwrap_or_default();
                let mut condition = "#p = :p".to_owned();
                let mut request = self
                    .client
                    .query()
                    .table_name(&self.options.table)
                    .expression_attribute_names("#p", &self.keys[0])
                    .expression_attribute_values(":p", key_type(&self.keys[0], partition));
                if let Some(prefix) = &self.options.sort_prefix {
                    condition.push_str(" and begins_with(#s, :s)");
                    request = request
                        .expression_attribute_names("#s", &self.keys[1])
                        .expression_attribute_values(":s", AttributeValue::S(prefix.clone()));
                }
                let request = request
                    .key_condition_expression(condition)
                    .consistent_read(self.options.consistent)
                    .return_consumed_capacity(ReturnConsumedCapacity::Total)
                    .set_exclusive_start_key(start);
                let page = request.send().await.map_err(|e| Refused::new(&self.place, e))?;
                let units = page.consumed_capacity.and_then(|c| c.capacity_units).unwrap_or(0.0);
                Ok(Page { items: page.items.unwrap_or_default(), next: page.last_evaluated_key, units })
            }
            Part::Keys => self.get(wanted).await,
        }
    }

    /// Gets the next items of those that are wanted.
    async fn get(&self, wanted: &mut Vec<Item>) -> Result<Page, Refused> {
        let now = wanted.split_off(wanted.len().saturating_sub(KEYS_AT_ONCE));
        if now.is_empty() {
            return Ok(Page { items: Vec::new(), next: None, units: 0.0 });
        }
        let asked = KeysAndAttributes::builder()
            .set_keys(Some(now.clone()))
            .consistent_read(true)
            .build()
            .map_err(|e| Refused::for_good(Error::failed(format!("{}: {e}", self.place))))?;
        let request = self.client.batch_get_item().request_items(&self.options.table, asked);
        let request = request.return_consumed_capacity(ReturnConsumedCapacity::Total);
        let page = match request.send().await {
            Ok(page) => page,
            Err(error) => {
                wanted.extend(now);
                return Err(Refused::new(&self.place, error));
            }
        };
        let used = page.consumed_capacity.unwrap_or_default();
        let units = used.iter().filter_map(|capacity| capacity.capacity_units).sum();
        let items = page.responses.and_then(|mut r| r.remove(&self.options.table)).unwrap_or_default();
        let left = page.unprocessed_keys.and_then(|mut r| r.remove(&self.options.table));
        let left = left.map(|left| left.keys).unwrap_or_default();
        // So a table throttles that has read nothing at all.
        let is_throttled = items.is_empty() && !left.is_empty();
        wanted.extend(left);
        if is_throttled {
            return Err(Refused::throttled(&self.place, "every key came back as an UnprocessedKey"));
        }
        // Something to go on with, whatever it is, while keys are left.
        let next = (!wanted.is_empty()).then(Item::new);
        Ok(Page { items, next, units })
    }

    /// A text as a value of a key's attribute, whose type the table declares.
    fn key_value(&self, name: &str, text: &str) -> AttributeValue {
        match key_type(&self.table, name) {
            Some(ScalarAttributeType::N) => AttributeValue::N(text.to_owned()),
            // `open` has looked whether it is base64.
            Some(ScalarAttributeType::B) => {
                AttributeValue::B(Blob::new(STANDARD.decode(text).unwrap_or_default()))
            }
            _ => AttributeValue::S(text.to_owned()),
        }
    }

    async fn read_part(&self, part: &Part, start: Option<Item>, sink: &UnitSink) -> Result<Digests> {
        let mut rows = Rows {
            builder: DocumentBuilder::new(Arc::clone(&self.names), false),
            part: sink.part(),
            sink,
            text: String::new(),
            count: 0,
            bytes: 0,
            digest: Xxh3::new(),
        };
        let mut wanted = self.wanted()?;
        let mut start = start;
        loop {
            sink.progress().check()?;
            let page = patiently(&self.place, async || {
                // Also while the table throttles.
                sink.progress().check().map_err(Refused::for_good)?;
                self.ask(part, start.clone(), &mut wanted).await
            });
            let page = page.await?;
            for item in page.items {
                rows.push(item)?;
            }
            self.keep_pace(page.units, sink.progress()).await?;
            start = page.next;
            if start.is_none() || (rows.bytes >= STEP_BYTES && !matches!(part, Part::Keys)) {
                break;
            }
        }
        let next = start.map(|key| {
            let mut text = String::new();
            write_item(&key, &mut text);
            text
        });
        Ok(Digests { next, ..rows.finish()? })
    }

    /// Whether an item with this key is read, where only a partition is or a part of one.
    fn is_inside(&self, columns: &[String], values: &[Value<'_>]) -> bool {
        let value =
            |name: &String| columns.iter().zip(values).find(|(column, _)| *column == name).map(|(_, v)| v);
        let in_partition = self.options.partition.as_ref().is_none_or(|partition| {
            let wanted = self.key_value(&self.keys[0], partition);
            value(&self.keys[0]).is_some_and(|v| match (&wanted, attribute(v)) {
                // As numbers, whatever their digits.
                (AttributeValue::N(wanted), Ok(AttributeValue::N(is))) => {
                    Number::parse(wanted).ok() == Number::parse(&is).ok()
                }
                (wanted, Ok(is)) => *wanted == is,
                (_, Err(_)) => false,
            })
        });
        let in_part = self.options.sort_prefix.as_ref().is_none_or(|prefix| {
            let sort = self.keys.get(1).and_then(value);
            matches!(sort, Some(Value::Text(text)) if text.starts_with(prefix.as_str()))
        });
        in_partition && in_part
    }

    /// Waits until so many units were allowed, or somebody wants to stop.
    async fn keep_pace(&self, units: f64, progress: &Progress) -> Result<()> {
        let Some(most) = self.options.rcu_max else { return Ok(()) };
        let mut left = self.pace.spend(units, most);
        if !left.is_zero() {
            let ms = left.as_millis();
            tracing::debug!("{}: waiting {ms} ms for {most} read capacity units a second", self.place);
        }
        while !left.is_zero() {
            progress.check()?;
            let tick = left.min(TICK);
            tokio::time::sleep(tick).await;
            left -= tick;
        }
        Ok(())
    }

    /// The keys that are wanted, as DynamoDB takes them.
    fn wanted(&self) -> Result<Vec<Item>> {
        let Some(only) = &self.only else { return Ok(Vec::new()) };
        let keys = only.values.iter().map(|values| {
            let pairs = only.columns.iter().zip(values);
            pairs.map(|(name, value)| Ok((name.clone(), attribute(value)?))).collect::<Result<Item, String>>()
        });
        keys.collect::<Result<_, _>>().map_err(|why| Error::failed(format!("{}: a key is {why}", self.place)))
    }
}

impl Source for DynamodbSource {
    fn units(&self) -> Result<(Vec<Unit>, Vec<String>)> {
        let parts = self.parts();
        let size = u64::try_from(self.table.table_size_bytes().unwrap_or(0)).unwrap_or(0);
        let bytes = size / parts.len() as u64;
        let unit = |name: &String| Unit {
            path: PathBuf::from(name),
            // The same for all: that they are of different moments is said once, below.
            stamp: Stamp("scan".to_owned()),
            bytes,
            expected: None,
            file: None,
            window: 0,
            is_live: true,
        };
        let warning = "not one moment: a scan has no snapshot, so items that changed meanwhile may be of before or after";
        Ok((parts.iter().map(|(name, _)| unit(name)).collect(), vec![warning.to_owned()]))
    }

    fn read(&self, unit: &Unit, sink: &UnitSink, _workers: usize) -> Result<Digests> {
        let name = unit.path.display().to_string();
        let (name, after) = name.split_once(AFTER).map_or((name.as_str(), None), |(n, key)| (n, Some(key)));
        let part = self.parts().into_iter().find(|(other, _)| other == name);
        let (_, part) = part.ok_or_else(|| Error::failed(format!("{name} is no part of {}", self.place)))?;
        let start = after.map(read_key).transpose().map_err(|e| e.of(&self.place))?;
        block_on(self.read_part(&part, start, sink))
    }

    fn rest(&self, unit: &Unit, next: &str) -> Unit {
        let name = unit.path.display().to_string();
        let segment = name.split_once(AFTER).map_or(name.as_str(), |(segment, _)| segment);
        Unit { path: PathBuf::from(format!("{segment}{AFTER}{next}")), bytes: 0, ..unit.clone() }
    }

    fn stamp(&self, unit: &Unit) -> Result<Stamp> {
        Ok(unit.stamp.clone())
    }

    fn facts(&self) -> Result<Option<TableFacts>> {
        let column = |name: &String| {
            let ty = match key_type(&self.table, name) {
                Some(ScalarAttributeType::N) => ColumnType::Number,
                Some(ScalarAttributeType::B) => ColumnType::Bytes,
                _ => ColumnType::Text,
            };
            TableColumn { name: name.clone(), ty, remark: None }
        };
        Ok(Some(TableFacts {
            columns: self.keys.iter().map(column).collect(),
            key: self.keys.clone(),
            unique: Vec::new(),
            rows: self.table.item_count().and_then(|n| u64::try_from(n).ok()),
        }))
    }

    fn only(&self, keys: &Keys) -> Result<Option<Box<dyn Source>>> {
        let (mut wanted, mut own) = (keys.columns.clone(), self.keys.clone());
        wanted.sort();
        own.sort();
        if wanted != own {
            return Ok(None);
        }
        // What is outside the partition or its part is no item of this dataset.
        let mut keys = keys.clone();
        keys.values.retain(|values| self.is_inside(&keys.columns, values));
        Ok(Some(Box::new(Self {
            client: self.client.clone(),
            options: self.options.clone(),
            names: Arc::clone(&self.names),
            place: self.place.clone(),
            table: self.table.clone(),
            keys: self.keys.clone(),
            only: Some(keys),
            pace: Pace::default(),
        })))
    }
}

/// Items on their way to the sink: each is written as DynamoDB JSON and read as an export's is, so that there is one reading.
struct Rows<'a> {
    builder: DocumentBuilder,
    part: PartWriter<'a>,
    sink: &'a UnitSink,
    text: String,
    count: u64,
    bytes: u64,
    digest: Xxh3,
}

impl Rows<'_> {
    fn push(&mut self, item: Item) -> Result<()> {
        self.text.clear();
        write_item(&item, &mut self.text);
        self.count += 1;
        self.bytes += self.text.len() as u64;
        self.digest.update(self.text.as_bytes());
        event::add(&self.sink.progress().bytes_done, self.text.len() as u64);
        match read_item(&mut Cursor::new(&self.text), &mut self.builder) {
            Ok(()) => self.builder.keep(self.count, None),
            Err(Stop::Row(fault)) => {
                self.builder.give_up();
                let mut cells = std::collections::BTreeMap::new();
                salvage(&mut Cursor::new(&self.text), &mut cells);
                let (column, code, message) = (fault.attribute, fault.code, fault.message);
                self.sink.fail(Failure {
                    line: Some(self.count),
                    column,
                    code,
                    message,
                    cells,
                    change: None,
                })?;
            }
            Err(Stop::Fatal(error)) => return Err(error),
        }
        if self.builder.is_full() { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        match self.builder.take()? {
            Some(batch) => self.part.write(&batch),
            None => Ok(()),
        }
    }

    fn finish(mut self) -> Result<Digests> {
        self.flush()?;
        self.part.finish()?;
        Ok(Digests {
            bytes: self.bytes,
            xxh3: format!("{:032x}", self.digest.digest128()),
            md5: None,
            next: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_share_one_pace() {
        let pace = Pace::default();
        assert_eq!(pace.spend(0.0, 10), Duration::ZERO);
        // Of one unit a second, two segments took a day's worth each.
        let (day, hour) = (Duration::from_secs(86_400), Duration::from_secs(3_600));
        let waits = [pace.spend(86_400.0, 1), pace.spend(86_400.0, 1)];
        assert!(waits[0] <= day && waits[0] > day - hour, "{waits:?}");
        assert!(waits[1] <= 2 * day && waits[1] > 2 * day - hour, "{waits:?}");
    }
}
