//! Requests to a table: at the tempo that it takes, tried again where that may help, and what their errors mean for the batch.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, KeysAndAttributes, PutRequest, ReturnValuesOnConditionCheckFailure, WriteRequest,
};

use super::merge::Update;
use super::tempo::Tempo;
use crate::error::{Error, Result};
use crate::event::{self, Progress};
use crate::migrate::retry::Retries;
use crate::migrate::{Fault, FaultClass, Trouble};
use crate::spec::DynamodbOptions;
use crate::store::aws::{Patience, Refused};
use crate::store::dynamodb::failure::Failure;
use crate::store::dynamodb::item::canonical;
use crate::store::dynamodb::{self, Item};

/// Between two looks at whether somebody wants to stop.
const TICK: Duration = Duration::from_millis(100);

/// A table, and how it is asked.
pub(super) struct Link {
    client: Client,
    table: String,
    place: String,
    /// The key's attributes, the partition key first.
    keys: Vec<String>,
    tempo: Tempo,
}

/// Why a request came to nothing.
pub(super) enum Stop {
    /// For a reason of the record's.
    Record(Fault),
    /// For a reason of the batch's.
    Batch(Trouble),
}

/// What a conditional write came to.
pub(super) enum Answer {
    Written,
    /// The condition did not hold; this is there.
    Refused(Option<Item>),
}

/// How often is tried, and who may want to stop.
#[derive(Clone, Copy)]
pub(super) struct How<'a> {
    pub(super) retries: Retries,
    pub(super) progress: &'a Progress,
}

impl How<'_> {
    async fn wait(&self, mut left: Duration) -> Result<(), Stop> {
        while !left.is_zero() {
            self.progress.check().map_err(|e| Stop::Batch(Trouble::Fatal(e)))?;
            let tick = left.min(TICK);
            tokio::time::sleep(tick).await;
            left -= tick;
        }
        Ok(())
    }
}

impl Link {
    pub(super) fn new(client: &Client, options: &DynamodbOptions, keys: Vec<String>) -> Self {
        Self {
            // Every try is counted here, so the SDK makes none of its own.
            client: dynamodb::without_retries(client),
            table: options.table.clone(),
            place: dynamodb::place(options),
            keys,
            tempo: Tempo::new(),
        }
    }

    /// The table's name, as the spec has it.
    pub(super) fn table(&self) -> &str {
        &self.table
    }

    /// The key's attributes, the partition key first.
    pub(super) fn keys(&self) -> &[String] {
        &self.keys
    }

    /// The first of the key's attributes, which every item has.
    pub(super) fn partition_key(&self) -> &str {
        &self.keys[0]
    }

    /// One text for all spellings of an item's key.
    pub(super) fn key_text(&self, item: &Item) -> String {
        let key = self.keys.iter().filter_map(|name| Some((name.clone(), item.get(name)?.clone())));
        canonical(&key.collect())
    }

    /// Sends a request about so many items until it is answered. `tries` counts those that were not throttled.
    pub(super) async fn ask<T>(
        &self,
        how: How<'_>,
        items: u64,
        tries: &mut u64,
        mut request: impl AsyncFnMut() -> Result<T, Failure>,
    ) -> Result<T, Stop> {
        let mut patience = Patience::with_writing(&self.place);
        let mut again = 0;
        loop {
            how.wait(self.tempo.take(items, Instant::now())).await?;
            *tries += 1;
            let pause = match request().await {
                Ok(answer) => return Ok(answer),
                Err(Failure::Throttled(refused)) => {
                    *tries -= 1;
                    self.tempo.throttled(Instant::now());
                    how.progress.check().map_err(|e| Stop::Batch(Trouble::Fatal(e)))?;
                    patience.wait(refused).await.map_err(|e| Stop::Batch(Trouble::Fatal(e)))?;
                    Duration::ZERO
                }
                Err(Failure::Again(code, message)) if again == how.retries.tries => {
                    return Err(Stop::Record(Fault {
                        class: FaultClass::Retryable,
                        code,
                        column: None,
                        message,
                    }));
                }
                Err(Failure::Again(code, message)) => {
                    again += 1;
                    tracing::info!("{}: {code}: {message}; trying again", self.place);
                    how.retries.pause_before(again)
                }
                Err(Failure::Record(code, message)) => {
                    return Err(Stop::Record(Fault::permanent(&code, None, message)));
                }
                Err(Failure::Lost(error)) => return Err(Stop::Batch(Trouble::Lost(error))),
                Err(Failure::Fatal(error)) => return Err(Stop::Batch(Trouble::Fatal(error))),
            };
            event::add(&how.progress.retries, 1);
            how.wait(pause).await?;
        }
    }

    /// Gets the items with these keys (at most 100), consistently, by the text of their key.
    pub(super) async fn get(&self, how: How<'_>, keys: &[Item]) -> Result<HashMap<String, Item>, Stop> {
        let (mut left, mut found, mut tries) = (keys.to_vec(), HashMap::new(), 0);
        while !left.is_empty() {
            let page = self.ask(how, 0, &mut tries, async || {
                let asked = KeysAndAttributes::builder().set_keys(Some(left.clone())).consistent_read(true);
                let asked = asked
                    .build()
                    .map_err(|e| Failure::Fatal(Error::failed(format!("{}: {e}", self.place))))?;
                let request = self.client.batch_get_item().request_items(&self.table, asked);
                let page = request.send().await.map_err(|e| Failure::of(&self.place, e))?;
                let items: Vec<Item> = page.responses.unwrap_or_default().into_values().flatten().collect();
                let rest = page.unprocessed_keys.unwrap_or_default().into_values();
                let rest: Vec<Item> = rest.flat_map(|keys| keys.keys).collect();
                match items.is_empty() && !rest.is_empty() {
                    true => Err(self.nothing_done("every key came back as an UnprocessedKey")),
                    false => Ok((items, rest)),
                }
            });
            let (items, rest) = page.await?;
            found.extend(items.into_iter().map(|item| (self.key_text(&item), item)));
            left = rest;
        }
        Ok(found)
    }

    /// Puts an item where there is none.
    pub(super) async fn put_new(&self, how: How<'_>, item: &Item, tries: &mut u64) -> Result<Answer, Stop> {
        self.ask(how, 1, tries, async || {
            let request = self
                .client
                .put_item()
                .table_name(&self.table)
                .set_item(Some(item.clone()))
                .condition_expression("attribute_not_exists(#k)")
                .expression_attribute_names("#k", self.partition_key())
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
            match request.send().await {
                Ok(_) => Ok(Answer::Written),
                Err(error) => match error.as_service_error() {
                    Some(PutItemError::ConditionalCheckFailedException(refused)) => {
                        Ok(Answer::Refused(refused.item.clone()))
                    }
                    _ => Err(Failure::of(&self.place, error)),
                },
            }
        })
        .await
    }

    /// Changes an item that is as it was.
    pub(super) async fn update(
        &self,
        how: How<'_>,
        key: &Item,
        update: &Update,
        tries: &mut u64,
    ) -> Result<Answer, Stop> {
        self.ask(how, 1, tries, async || {
            let values: Option<HashMap<String, AttributeValue>> =
                Some(update.values.clone()).filter(|values| !values.is_empty());
            let request = self
                .client
                .update_item()
                .table_name(&self.table)
                .set_key(Some(key.clone()))
                .update_expression(&update.update)
                .condition_expression(&update.condition)
                .set_expression_attribute_names(Some(update.names.clone()))
                .set_expression_attribute_values(values)
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
            match request.send().await {
                Ok(_) => Ok(Answer::Written),
                Err(error) => match error.as_service_error() {
                    Some(UpdateItemError::ConditionalCheckFailedException(refused)) => {
                        Ok(Answer::Refused(refused.item.clone()))
                    }
                    _ => Err(Failure::of(&self.place, error)),
                },
            }
        })
        .await
    }

    /// Removes an item on the condition of an update.
    pub(super) async fn delete(
        &self,
        how: How<'_>,
        key: &Item,
        update: &Update,
        tries: &mut u64,
    ) -> Result<Answer, Stop> {
        self.ask(how, 1, tries, async || {
            let values = Some(update.values.clone()).filter(|values| !values.is_empty());
            let request = self
                .client
                .delete_item()
                .table_name(&self.table)
                .set_key(Some(key.clone()))
                .condition_expression(&update.condition)
                .set_expression_attribute_names(Some(update.names.clone()))
                .set_expression_attribute_values(values)
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
            match request.send().await {
                Ok(_) => Ok(Answer::Written),
                Err(error) => match error.as_service_error() {
                    Some(DeleteItemError::ConditionalCheckFailedException(refused)) => {
                        Ok(Answer::Refused(refused.item.clone()))
                    }
                    _ => Err(Failure::of(&self.place, error)),
                },
            }
        })
        .await
    }

    /// Puts items (at most 25) whatever is there; returns those that the table had no time for.
    pub(super) async fn put_all(
        &self,
        how: How<'_>,
        items: &[&Item],
        tries: &mut u64,
    ) -> Result<Vec<Item>, Stop> {
        self.ask(how, items.len() as u64, tries, async || {
            let fail = |e| Failure::Fatal(Error::failed(format!("{}: {e}", self.place)));
            let requests: Result<Vec<WriteRequest>, Failure> = items
                .iter()
                .map(|item| {
                    let put = PutRequest::builder().set_item(Some((*item).clone())).build().map_err(fail)?;
                    Ok(WriteRequest::builder().put_request(put).build())
                })
                .collect();
            let request = self.client.batch_write_item().request_items(&self.table, requests?);
            let answer = request.send().await.map_err(|e| Failure::of(&self.place, e))?;
            let rest = answer.unprocessed_items.unwrap_or_default().into_values().flatten();
            let rest: Vec<Item> = rest.filter_map(|request| Some(request.put_request?.item)).collect();
            match rest.len() == items.len() {
                true => Err(self.nothing_done("every item came back as an UnprocessedItem")),
                false => Ok(rest),
            }
        })
        .await
    }

    /// The table took a part of a request only, which is its way to ask for fewer.
    pub(super) async fn slow_down(&self, how: How<'_>) -> Result<(), Stop> {
        self.tempo.throttled(Instant::now());
        event::add(&how.progress.retries, 1);
        how.wait(how.retries.pause_before(1)).await
    }

    fn nothing_done(&self, what: &str) -> Failure {
        Failure::Throttled(Refused::throttled(&self.place, what))
    }
}
