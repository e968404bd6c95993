//! The integration tests: one binary, one module per subject.

mod cli;
mod demo;
mod golden;
mod layering;
mod project;
mod shell;
