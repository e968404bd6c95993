//! The integration tests: one binary, one module per subject.

mod access;
mod afresh;
mod bad_input;
mod changed_only;
mod cli;
mod credentials;
mod demo;
mod directions;
mod docs;
mod duplicates;
mod dynamodb;
mod expressions;
#[cfg(feature = "faults")]
mod faults;
mod golden;
mod group_by;
mod hidden;
mod init;
mod layering;
mod migrate;
mod mysql;
mod naive;
mod odd_paths;
mod operation;
mod pairs;
mod paths;
mod postgres;
mod project;
mod random;
mod rules_sql;
mod s3;
mod servers;
mod shell;
mod show;
mod sqlite;
mod urls;
