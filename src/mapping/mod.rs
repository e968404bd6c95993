//! An entity over its two sides: what of them its fields are, in which types they meet, and how their values are read.
//!
//! In reading order: `side` (a staged dataset), `fold` (several of its rows as one record), `resolve` (types), `names`, `expression`, `facts` and `access` (the spec's
//! SQL and how values are read), `rules` (when two values are equal), `plan` and `projection` (an entity, and its sides as SQL),
//! `direct` (parts that are read without the engine).

pub mod access;
pub mod direct;
pub mod expression;
mod facts;
pub mod fold;
pub mod names;
pub mod pipeline;
pub mod plan;
pub mod projection;
pub mod resolve;
pub mod rules;
pub mod side;
