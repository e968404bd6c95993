//! Stores: how they are reached, and what they say of themselves. What is read there `stage` knows, and `migrate` what is written.

pub mod aws;
pub mod dynamodb;
pub mod files;
pub mod mysql;
pub mod net;
pub mod postgres;
pub mod sqlite;
pub mod table;

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It only reads, and the store holds it to that.
    Read,
    /// It writes, too.
    Write,
}
