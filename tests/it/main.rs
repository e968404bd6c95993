//! The integration tests: one binary, one module per subject.

mod bad_input;
mod cli;
mod demo;
mod duplicates;
mod dynamodb;
mod expressions;
#[cfg(feature = "faults")]
mod faults;
mod golden;
mod init;
mod layering;
mod mysql;
mod naive;
mod odd_paths;
mod paths;
mod postgres;
mod project;
mod random;
mod rules_sql;
#[expect(dead_code, reason = "each store's tests come with the store")]
mod servers;
mod shell;
mod show;
mod sqlite;
