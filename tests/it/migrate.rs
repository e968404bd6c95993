//! Writing to a target: what is planned, what goes in, what does not and why, and going on after an end in the middle.

mod dynamodb;
mod exact;
mod files;
pub(crate) mod migration;
mod mysql;
mod postgres;
mod script;
mod sqlite;
