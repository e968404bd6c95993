//! Taking back what runs changed, from their manifests: newest change first, each on the condition that the row is what the run made
//! of it.
//!
//! In reading order: `plan` (which changes, in which batches), `keys` (single records), `preview` (what a plan would do, and whether the
//! target is as it was), `run` (the batches' states and tries). What a store does for it is in `migrate::undo`.
//!
//! # Order of writes
//! As in a migration: the ledger says that a batch is about to be taken back; the target's transaction takes the batch's marker, locks
//! and reads what is there, writes, and has its own old images on disk before it commits; then the ledger says that it was taken back.
//! A rollback that is killed goes on where it stopped, and one that has ended can be rolled back itself.

pub mod keys;
pub mod plan;
pub mod preview;
pub mod run;
