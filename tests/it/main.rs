//! The integration tests: one binary, one module per subject.

mod bad_input;
mod cli;
mod demo;
mod duplicates;
mod expressions;
#[cfg(feature = "faults")]
mod faults;
mod golden;
mod layering;
mod naive;
mod odd_paths;
mod paths;
mod project;
mod random;
mod rules_sql;
mod shell;
mod show;
