//! The integration tests: one binary, one module per subject.

mod bad_input;
mod cli;
mod demo;
mod golden;
mod layering;
mod project;
mod shell;
