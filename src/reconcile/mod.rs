//! Reconciliation: what both staged sides have in common, what differs, and what could not be compared.
//!
//! In reading order: `hash`, `classify`, `judge` (the three passes over what `mapping` plans), `diff` (all of it), `again`
//! (a second look at what differs), `show`, `report`.

pub mod again;
pub mod classify;
pub mod diff;
mod done;
pub mod failed;
pub mod hash;
pub mod judge;
pub mod report;
mod shortcut;
pub mod show;
mod subset;
