//! Typed values: what a cell is, exactly, whatever store it came from.
pub mod kind;
