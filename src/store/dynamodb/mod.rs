//! DynamoDB tables as they are read and written: the client, what a table says of itself, and items.

pub(crate) mod failure;
pub(crate) mod item;

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::types::{AttributeValue, KeyType, ScalarAttributeType, TableDescription};

use super::aws::{self, Refused, patiently};
use crate::error::{Error, Result};
use crate::spec::DynamodbOptions;

/// An item, or a key.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// The table's name in messages.
pub(crate) fn place(options: &DynamodbOptions) -> String {
    format!("DynamoDB table {}", options.table)
}

/// A client that tries requests again by itself.
pub(crate) async fn client(options: &DynamodbOptions) -> Client {
    Client::new(&aws::config(options.region.as_deref(), options.endpoint.as_deref(), false).await)
}

/// The same for requests whose every try is our own decision.
pub(crate) fn without_retries(client: &Client) -> Client {
    Client::from_conf(client.config().to_builder().retry_config(RetryConfig::disabled()).build())
}

/// What a table says of itself.
///
/// # Errors
/// No credentials; a table that is not there or may not be looked at.
pub(crate) async fn describe(client: &Client, options: &DynamodbOptions) -> Result<TableDescription> {
    let place = place(options);
    let described = patiently(&place, async || {
        let request = client.describe_table().table_name(&options.table);
        request.send().await.map_err(|e| Refused::new(&place, e))
    });
    described.await?.table.ok_or_else(|| Error::failed(format!("{place}: nothing is said of it")))
}

/// The names of the key's attributes: the partition key, then the sort key.
pub(crate) fn key_names(table: &TableDescription) -> Vec<String> {
    let mut keys: Vec<_> = table.key_schema().iter().collect();
    keys.sort_by_key(|key| *key.key_type() != KeyType::Hash);
    keys.into_iter().map(|key| key.attribute_name().to_owned()).collect()
}

/// The declared type of an attribute; only those of keys have one.
pub(crate) fn key_type(table: &TableDescription, name: &str) -> Option<ScalarAttributeType> {
    let declared = table.attribute_definitions().iter().find(|d| d.attribute_name() == name);
    declared.map(|d| d.attribute_type().clone())
}
