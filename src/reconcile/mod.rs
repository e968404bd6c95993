//! Reconciliation: what both staged sides have in common, what differs, and what could not be compared.
//!
//! In reading order: `side` (a staged dataset), `resolve` (types), `names`, `expression`, `facts` and `access` (the spec's
//! SQL and how values are read), `plan` and `projection` (an entity, and its sides as SQL), `hash`, `classify`, `judge` (the
//! three passes), `diff` (all of it), `report`.

pub mod access;
pub mod again;
pub mod classify;
pub mod diff;
mod direct;
mod done;
mod expression;
mod facts;
pub mod failed;
pub mod hash;
pub mod judge;
pub mod names;
mod pipeline;
pub mod plan;
pub mod projection;
pub mod report;
pub mod resolve;
pub mod rules;
mod shortcut;
pub mod show;
pub mod side;
mod subset;
