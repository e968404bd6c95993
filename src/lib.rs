//! recon: verifies, drives, repairs and rolls back data migrations from a local ledger.
//!
//! Data flows one way. `spec` says what the two sides are. `stage` reads each side, unit by unit, into typed Parquet parts
//! and records every unit in the `ledger`. `mapping` plans an entity over its two sides. `reconcile` streams both out of the
//! `warehouse`, brings every value to its canonical form (`value`), joins hashes of rows, looks at the values of those that differ,
//! and writes the reports. `validate` holds one side against the
//! rules that its own values have to keep.
//!
//! Modules in reading order; imports go downward only, from `cli` to `value` and `error`, and a test holds them to it.

pub mod cli;
pub mod error;
pub mod event;
pub mod fault;
pub mod ledger;
pub mod mapping;
pub mod migrate;
pub mod query;
pub mod reconcile;
pub mod rollback;
pub mod spec;
pub mod stage;
pub mod store;
pub mod validate;
pub mod value;
pub mod warehouse;
