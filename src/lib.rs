//! recon: verifies, drives, repairs and rolls back data migrations from a local ledger.
pub mod error;
pub mod value;
pub mod event;
pub mod spec;
pub mod fault;
pub mod query;
pub mod ledger;
pub mod warehouse;
pub mod stage;
